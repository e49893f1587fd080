"""ansible-playbook for tests that run it a hundred times: its imports, a second of a processor, are made once.

A process that has made them forks for each run. Ansible reads the path of the collections once, so
that is a link, which each run sets.
"""

import atexit
import gc
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

TIMEOUT = 1200  # seconds: a play that waits for ever is the end of its test, not of CI


class _Server:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="wgmesh-warm-"))
        self.lead(os.environ["ANSIBLE_COLLECTIONS_PATH"].split(":")[0])
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(self.folder)},
        )  # fmt: skip
        atexit.register(self.end)

    def lead(self, collections):
        link = self.folder / "ansible_collections"
        link.unlink(missing_ok=True)
        link.symlink_to(pathlib.Path(collections).resolve() / "ansible_collections")

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.folder)

    def run(self, run):
        self.process.stdin.write(json.dumps(run) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


_server = None


def play(*args, collections=None, env=None, cwd=None):
    """What subprocess.run of ansible-playbook returns: the code, and the texts. No variable of env may be one of Ansible's."""
    global _server
    _server = _server or _Server()
    _server.lead(collections or os.environ["ANSIBLE_COLLECTIONS_PATH"].split(":")[0])
    with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
        where = {"cwd": str(cwd or os.getcwd()), "out": out.name, "err": err.name}
        code = _server.run({"args": ["ansible-playbook", *args], "env": {"PATH": os.environ["PATH"], **(env or {})}, **where})
        return subprocess.CompletedProcess(args, code, out.read(), err.read())


def find_collections():
    """Have Python import the collections of the environment."""
    try:
        from ansible.plugins.loader import init_plugin_loader
    except ImportError:  # the oldest core
        from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

        _AnsibleCollectionFinder(paths=os.environ["ANSIBLE_COLLECTIONS_PATH"].split(":"))._install()
    else:
        init_plugin_loader()


def serve():
    import ansible.cli.playbook
    from ansible import constants

    # Its search would copy the memory of each process that a play forks, and they end soon.
    gc.disable()
    for line in sys.stdin:
        run = json.loads(line)
        child = os.fork()
        if child:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            continue
        for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, run["out"], os.O_WRONLY), (2, run["err"], os.O_WRONLY)):
            os.dup2(os.open(path, flags), number)
        os.chdir(run["cwd"])
        os.environ.update(run["env"])
        sys.argv = run["args"]
        signal.alarm(TIMEOUT)
        os.makedirs(constants.DEFAULT_LOCAL_TMP, exist_ok=True)  # made with the imports, and gone when a run ends
        ansible.cli.playbook.main(run["args"])
        sys.exit()


if __name__ == "__main__":
    serve()
