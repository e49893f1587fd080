"""The get-pip of ansible-test, from what Python brings along: no server is asked."""

import ensurepip
import os
import subprocess
import sys

ensurepip.bootstrap()
os.environ.pop("PIP_CONFIG_FILE", None)  # which it sets to no file, for itself
wanted = [argument for argument in sys.argv[1:] if not argument.startswith("--no-")]
if wanted:
    subprocess.check_call([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted])
