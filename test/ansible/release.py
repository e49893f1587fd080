#!/usr/bin/env python3
"""Spoil a copy of the tarball's content in every way that release_check.py looks for, and see
that it notices. Nothing else may fail with it, so that no check is red or green by chance."""

import json
import os
import pathlib
import re
import shutil
import sys
import tarfile
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / ".ci"))
import release_check as rc


def edit(name, pattern, new):
    def spoil(folder):
        path = folder / name
        before = path.read_text(encoding="utf-8")
        after = re.sub(pattern, new, before, count=1, flags=re.M)
        assert after != before, "%s: nothing matches %s" % (name, pattern)
        replace(path, after)

    return spoil


def replace(path, text):
    """Write another file, and not into the one that the copies share."""
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8")


def write(name, content="x"):
    def spoil(folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        replace(folder / name, content)

    return spoil


def remove(name):
    def spoil(folder):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def info(**values):
    def spoil(folder):
        path = folder / "MANIFEST.json"
        manifest = json.loads(path.read_text(encoding="utf-8"))
        manifest["collection_info"].update(values)
        replace(path, json.dumps(manifest))

    return spoil


def other_architecture(folder):
    """A program under the name of the other one, with the right sum."""
    programs = folder / rc.BINARIES
    (programs / "wgmesh_linux_arm64").unlink()
    shutil.copy(programs / "wgmesh_linux_amd64", programs / "wgmesh_linux_arm64")
    path = programs / "manifest.json"
    sums = re.findall(r'"sha256": "(\w+)"', path.read_text(encoding="utf-8"))
    replace(path, path.read_text(encoding="utf-8").replace(sums[1], sums[0]))


def link(folder):
    (folder / "docs/link").symlink_to("README.md")


MANIFEST = rc.BINARIES + "/manifest.json"
SPOILS = {
    "_version": [info(version="0.9.0"), info(version="1.0"), info(version="1.0.0-rc1")],
    "_metadata": [info(issues=None), info(license_file=None), info(authors=[])],
    "_tags": [info(tags=["wireguard"])],
    "_dependencies": [info(dependencies={"ansible.utils": "*"}), info(dependencies={"ansible.utils": ">=2.0.0"})],
    "_folders": [write("plugins/bin/wgmesh"), write("plugins/util/x")],
    "_info": [edit("plugins/modules/wg_psk.py", r"^description:$", "description:\n  - Looks at keys. It changes nothing.")],
    "_redirects": [
        edit("meta/runtime.yml", r"redirect: wgmesh\.router\.mesh_plan_info", "redirect: wgmesh.router.mesh_plans"),
        edit("meta/runtime.yml", r"removal_version: .*", "removal_date: 2030-01-01")],
    "_authors": [
        edit("plugins/modules/wg_tunnel.py", r"\(@\w+\)", ""), edit("plugins/modules/wg_psk.py", r"^version_added.*\n", "")],
    "_requires": [edit("meta/runtime.yml", r"^requires_ansible.*\n", "")],
    "_cores": [edit("README.md", r"^\| ansible-core \| [^|]*\|", "| ansible-core | 2.14, 2.99 |"), edit("README.md", r"^\| ansible-core \|", "| core |")],
    "_changelog": [
        edit("CHANGELOG.md", r"^## v1.*$", "## v9"), edit("changelogs/changelog.yaml", r"^  1\.0\.0:", "  1.0.1:"), write("changelogs/fragments/late.yml")],
    "_sections": [edit("README.md", r"^## Requirements$", "## What it needs"), edit("README.md", r"^## Variables$([\s\S]*?)^## Documentation$", r"## Documentation\1## Variables")],
    "_readme": [edit("README.md", r"forum\.ansible\.com", "example.com"), edit("README.md", r"semver\.org", "example.com")],
    "_urls": [edit("README.md", r"https://github\.com/wgmesh/router/blob/main/docs/README\.md", "docs/README.md"),
              edit("roles/mesh/README.md", r"$", "[x](../../docs/join.md)")],
    "_roles": [remove("roles/mesh/README.md"), remove("roles/routes/meta/argument_specs.yml")],
    "_community": [remove("CODE_OF_CONDUCT.md"), remove("SECURITY.md")],
    "_licence": [write("LICENSE", "MIT"), edit("plugins/filter/members.py", r"SPDX-License-Identifier.*", "")],
    "_third_parties": [edit("THIRD-PARTY-LICENSES", r"^github\.com/vishvananda/netlink v[^ ]*,", "github.com/vishvananda/netlink v0.0.1,"), remove("THIRD-PARTY-LICENSES")],
    "_origin": [
        edit(MANIFEST, r'"commit": "\w+"', '"commit": ""'), edit(MANIFEST, r'"dirty": false', '"dirty": true'),
        edit(MANIFEST, r'"commit": "....', '"commit": "0000'), write(rc.BINARIES + "/wg"), other_architecture],
    "_clean": [link, write("plugins/filter/__pycache__/x.pyc"), write("docs/notes.orig")],
    "_environment": [remove("meta/execution-environment.yml"), remove("meta/ee-bindep.txt")],
}  # fmt: skip
# Another version is not in the changelog, and without a minimum nothing is tested from it.
FOLLOWS = {"_version": {"_changelog"}, "_requires": {"_cores"}}
BY_SIZE, BY_HAND = {"_size"}, {"_maintained", "_tag"}
SLOW = {"_origin", "_third_parties"}  # they read all the programs


def failing(folder, size, without=frozenset()):
    """The names of the requirements that do not hold."""
    release = rc.Release(folder, size)
    causes = {check.__name__: check(release) for _, _, check in rc.REQUIREMENTS if check.__name__ not in without}
    return {name for name, cause in causes.items() if cause and not isinstance(cause, rc.Known)}


def main():
    (tarball,) = (rc.REPOSITORY / "build").glob("wgmesh-router-*.tar.gz")
    names = {check.__name__ for _, _, check in rc.REQUIREMENTS}
    assert names == set(SPOILS) | BY_SIZE | BY_HAND, names ^ (set(SPOILS) | BY_SIZE | BY_HAND)
    with tempfile.TemporaryDirectory() as work:
        good = pathlib.Path(work, "good")
        with tarfile.open(tarball) as archive:
            archive.extractall(good)
        # What is between two releases on main: fragments, and a tree with edits.
        shutil.rmtree(good / "changelogs/fragments", ignore_errors=True)
        manifest = good / MANIFEST
        manifest.write_text(
            manifest.read_text(encoding="utf-8").replace('"dirty": true', '"dirty": false'), encoding="utf-8"
        )
        size = tarball.stat().st_size
        assert failing(good, size) == set(), failing(good, size)
        assert failing(good, 16_000_000, SLOW) == {"_size"}
        done = 1
        for name, spoils in SPOILS.items():
            for number, spoil in enumerate(spoils):
                bad = pathlib.Path(work, "bad")
                shutil.copytree(good, bad, symlinks=True, copy_function=os.link)
                spoil(bad)
                found = failing(bad, size, SLOW - {name})
                assert found - FOLLOWS.get(name, set()) == {name}, "%s, spoil %d: found %s" % (
                    name,
                    number,
                    sorted(found) or "nothing",
                )
                shutil.rmtree(bad)
                done += 1
    print("release: %d ways to spoil a release, each noticed, and no other requirement with it" % done)


main()
