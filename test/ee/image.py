#!/usr/bin/env python3
"""Build an execution environment as a root file system, where no container can be had.

image.py DEFINITION TARBALL FOLDER: ansible-builder makes its Containerfile of the
definition, with the tarball for the collection, and each of its lines is run with chroot.
FOLDER/final is the image. Of the machine it gets how to reach the network, and no more.
"""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import yaml

NETWORK = {
    "/etc/resolv.conf": "etc/resolv.conf",
    "/etc/hosts": "etc/hosts",
    "/etc/ssl/certs/ca-certificates.crt": "etc/machine.crt",
}
TRUSTED = dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), "/etc/machine.crt")


def context(definition, tarball, folder):
    """Let ansible-builder write its Containerfile, and return the folder of it."""
    wanted = yaml.safe_load(pathlib.Path(definition).read_text(encoding="utf-8"))
    wanted["dependencies"]["galaxy"] = {"collections": [{"name": "collection/" + tarball.name, "type": "file"}]}
    wanted["additional_build_files"] = [{"src": str(tarball.resolve()), "dest": "collection"}]
    (folder / "execution-environment.yml").write_text(yaml.safe_dump(wanted), encoding="utf-8")
    subprocess.run(["ansible-builder", "create", "--output-filename", "Containerfile"], cwd=folder, check=True)
    return folder / "context"


def base(image, root):
    """Make what the base image has."""
    assert image.endswith("debian:12"), "image.py: %s: only debian:12 can be made here" % image
    if not root.exists():
        subprocess.run(["mmdebstrap", "--mode=root", "--variant=minbase", "bookworm", str(root) + ".new"], check=True)
        os.rename(str(root) + ".new", root)


def copy(source, target):
    """cp with a folder's content, as COPY does it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", *(["-T"] if source.is_dir() else []), source, target], check=True)


class Stage:
    """One FROM: a root file system, and what RUN finds in its environment."""

    def __init__(self, root, environment):
        self.root, self.environment, self.workdir = root, dict(environment), "/"

    def below(self, path):
        return self.root / str(pathlib.PurePosixPath(self.workdir, path)).lstrip("/")

    def run(self, command):
        print("RUN", command, flush=True)
        script = "mount -t proc proc proc; mount --rbind /dev dev; exec chroot . sh -c %s" % shlex.quote(
            "cd %s && %s" % (self.workdir, command)
        )
        machine = {k: v for k, v in os.environ.items() if k.lower().endswith("_proxy") or k == "PIP_INDEX_URL"}
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "DEBIAN_FRONTEND": "noninteractive",
            **TRUSTED,
            **machine,
            **self.environment,
        }
        subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "sh", "-ec", script], cwd=self.root, env=environment, check=True
        )


def build(folder, files):
    stages, arguments, stage = {}, {}, None
    text = (files / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            name, _, stage_name = rest.partition(" AS ")
            name = re.sub(r"\$(\w+)", lambda m: arguments[m.group(1)], name)
            root = folder / stage_name
            shutil.rmtree(root, ignore_errors=True)
            if name not in stages:
                base(name, folder / "debian")
            before = stages.get(name)
            subprocess.run(["cp", "-a", before.root if before else folder / "debian", root], check=True)
            stage = stages[stage_name] = Stage(root, before.environment if before else {})
            for path, inside in NETWORK.items() if not before else ():
                copy(pathlib.Path(path).resolve(), root / inside)
        elif word == "ARG" and stage is None:
            key, _, value = rest.partition("=")
            arguments[key] = value.strip('"')
        elif word == "ARG":
            stage.environment.setdefault(rest, arguments[rest])
        elif word == "ENV":
            key, _, value = rest.partition("=")
            stage.environment[key] = value
        elif word == "WORKDIR":
            stage.workdir = rest
            stage.below(".").mkdir(parents=True, exist_ok=True)
        elif word == "COPY":
            found = re.fullmatch(r"(?:--from=(\S+) )?(\S+) (\S+)", rest)
            origin = stages[found.group(1)].root if found.group(1) else files
            copy(origin / found.group(2).strip("/"), stage.below(found.group(3)))
        elif word == "RUN":
            stage.run(rest)
        elif word and word not in ("USER", "LABEL", "ENTRYPOINT", "CMD") and not word.startswith("#"):
            sys.exit("image.py: Containerfile: %s: not known here" % line)


def main(definition, tarball, folder):
    folder = pathlib.Path(folder).resolve()
    shutil.rmtree(folder / "context", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    build(folder, context(definition, pathlib.Path(tarball), folder))


main(*sys.argv[1:])
