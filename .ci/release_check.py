#!/usr/bin/env python3
"""Print what Ansible's community package, Galaxy and Red Hat's certification require of a
collection, one line each, and whether it holds for the tarball.

.ci/release_check.py [TARBALL]: by default the one in build/. Exit status 1 when one does not hold.

What needs their own tools (sanity, importer, ansible-lint, documentation) is .ci/galaxy's.
Sources, in the brackets: package: https://docs.ansible.com/projects/ansible/devel/community/collection_contributors/collection_requirements.html,
hub: galaxy-importer with Automation Hub's settings, redhat: https://docs.ansible.com/projects/partner-certification-requirements.
"""

import base64
import hashlib
import json
import pathlib
import re
import struct
import subprocess
import sys
import tarfile
import tempfile

import yaml

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
# Folders of plugins that the package's requirements list.
FOLDERS = set(
    "action become cache callback cliconf connection doc_fragments filter httpapi inventory lookup"
    " module_utils modules netconf plugin_utils shell strategy terminal test vars".split()
)
# One of these is required by the importer (galaxy_importer/constants.py).
TAGS = set(
    "application cloud database eda infrastructure linux monitoring networking security storage"
    " tools windows".split()
)
# The order of Red Hat's template for a README, in our words.
SECTIONS = (
    "Requirements",
    "Install",
    "Three commands",
    "Variables",
    "Documentation",
    "Tested with",
    "Releases, support, conduct",
    "Licence",
)
BINARIES = "plugins/plugin_utils/bin"
MACHINES = {"amd64": 62, "arm64": 183}  # e_machine of an ELF file
GALAXY_LIMIT = 20 * 1024 * 1024  # bytes of a request
# How many versions of ansible-core its makers mend: the newest and those before it.
MAINTAINED = 3

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the changelog is long
REQUIREMENTS = []


def requirement(source, words):
    """Register a function that returns why a requirement does not hold, or nothing."""

    def register(check):
        REQUIREMENTS.append((source, words, check))
        return check

    return register


class Known(str):
    """Why something does not hold that is left so on purpose. It fails nothing."""


class Release:
    """A tarball, unpacked, beside the repository that it comes from."""

    def __init__(self, folder, size, repository=REPOSITORY):
        self.folder, self.size, self.repository = pathlib.Path(folder), size, pathlib.Path(repository)

    def text(self, name):
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def load(self, name):
        return yaml.load(self.text(name), LOADER) or {}

    @property
    def info(self):
        return self.load("MANIFEST.json").get("collection_info", {})

    @property
    def minimum(self):
        found = re.match(r">=(\d+)\.(\d+)", str(self.load("meta/runtime.yml").get("requires_ansible", "")))
        return tuple(int(n) for n in found.groups()) if found else None

    def documents(self):
        """The documentation of each module."""
        for path in sorted((self.folder / "plugins/modules").glob("*.py")):
            found = re.search(r'^DOCUMENTATION = r?"""\n(.*?)"""', path.read_text(encoding="utf-8"), re.S | re.M)
            yield path.stem, yaml.load(found.group(1), LOADER) if found else {}


@requirement("package hub", "a version of semver, 1.0.0 or later")
def _version(r):
    version = str(r.info.get("version", ""))
    if not re.fullmatch(r"[1-9]\d*\.\d+\.\d+", version):
        return "galaxy.yml: version %r" % version


@requirement("package", "galaxy.yml: authors, description, licence, repository, issues, documentation, homepage")
def _metadata(r):
    lacks = [
        key
        for key in ("authors", "description", "repository", "issues", "documentation", "homepage")
        if not r.info.get(key)
    ]
    if not (r.info.get("license") or r.info.get("license_file")):
        lacks.append("license or license_file")
    return lacks and "galaxy.yml lacks " + ", ".join(lacks)


@requirement("hub", "a tag of the importer's list")
def _tags(r):
    return not TAGS & set(r.info.get("tags") or []) and "galaxy.yml: expected one of " + ", ".join(sorted(TAGS))


@requirement("package", "no dependency, or one with a lower and an upper bound")
def _dependencies(r):
    open_ended = [
        name
        for name, versions in (r.info.get("dependencies") or {}).items()
        if ">" not in versions or "<" not in versions
    ]
    return open_ended and "galaxy.yml: dependencies of any version: " + ", ".join(open_ended)


@requirement("package", "plugins only in folders that Ansible knows")
def _folders(r):
    unknown = sorted(p.name for p in (r.folder / "plugins").iterdir() if p.is_dir() and p.name not in FOLDERS)
    return unknown and "plugins/" + ", plugins/".join(unknown)


@requirement("package", "what only reads is called _info or _facts")
def _info(r):
    # A module that cannot change anything says so in its documentation.
    wrong = [
        name
        for name, doc in r.documents()
        if re.search(r"changes nothing(?! but)", " ".join(str(line) for line in doc.get("description", [])))
        and not name.endswith(("_info", "_facts"))
    ]
    return wrong and ", ".join(wrong)


@requirement("package", "former names of modules are redirects that say when they end")
def _redirects(r):
    here = {name for name, _ in r.documents()}
    wrong = [
        "%s %s" % (kind, name)
        for kind, names in (r.load("meta/runtime.yml").get("plugin_routing") or {}).items()
        for name, routing in names.items()
        if routing.get("redirect", "").rpartition(".")[2] not in here
        or kind == "modules"
        and not (routing.get("deprecation") or {}).get("removal_version")
    ]
    return wrong and "meta/runtime.yml: " + ", ".join(wrong)


@requirement("package", "every module names its author's account and the version that it came with")
def _authors(r):
    def named(author):
        return all("(@" in one for one in ([author] if isinstance(author, str) else author or [""]))

    wrong = [name for name, doc in r.documents() if not doc.get("version_added") or not named(doc.get("author"))]
    return wrong and ", ".join(wrong)


@requirement("package hub", "requires_ansible in meta/runtime.yml")
def _requires(r):
    return r.minimum is None and "meta/runtime.yml: requires_ansible %r" % r.load("meta/runtime.yml").get(
        "requires_ansible"
    )


def cores(r, pre=False):
    """The versions of ansible-core, as numbers, of our virtual environments."""
    for path in sorted((r.repository / ".ci").glob("requirements-*.txt")):
        found = re.search(r"^ansible-core==(\d+)\.(\d+)", path.read_text(encoding="utf-8"), re.M)
        if found and (pre or path.name != "requirements-pre.txt"):
            yield int(found.group(1)), int(found.group(2))


@requirement("redhat", "requires_ansible names no ansible-core that is out of maintenance")
def _maintained(r):
    major, newest = max(cores(r))
    if r.minimum and r.minimum < (major, newest - MAINTAINED + 1):
        return Known("it says %d.%d, which Debian 12 has: the package takes that, certification does not" % r.minimum)


@requirement("package", "tests run on every ansible-core that is promised, from the oldest")
def _cores(r):
    found = {"%d.%d" % core for core in cores(r, pre=True)}
    row = re.search(r"^\| ansible-core \| ([^|]*)", r.text("README.md"), re.M)
    promised = set(re.findall(r"\d+\.\d+", row.group(1))) if row else set()
    if not r.minimum or "%d.%d" % r.minimum not in found or not promised or promised - found:
        return "README's table says %s, .ci/requirements-* have %s" % (sorted(promised), sorted(found))


@requirement("package", "a changelog of this version, with its date and no fragment left")
def _changelog(r):
    version = str(r.info.get("version"))
    release = (r.load("changelogs/changelog.yaml").get("releases") or {}).get(version)
    if not release or not release.get("release_date"):
        return "changelogs/changelog.yaml has no %s: make changelog" % version
    if not re.search(r"^## v?" + re.escape(version) + r"\s", r.text("CHANGELOG.md").replace("\\", ""), re.M):
        return "CHANGELOG.md has no %s: make changelog" % version
    left = [p.name for p in (r.folder / "changelogs/fragments").glob("*.y*ml")]
    return left and "changelogs/fragments/%s: make changelog" % ", ".join(sorted(left))


@requirement("redhat", "README in the order of the template")
def _sections(r):
    there = re.findall(r"^## (.*)$", r.text("README.md"), re.M)
    wanted = [s for s in SECTIONS if s in there]
    if len(wanted) < len(SECTIONS):
        return "README.md lacks " + ", ".join(s for s in SECTIONS if s not in there)
    return sorted(wanted, key=there.index) != wanted and "README.md: " + ", ".join(s for s in there if s in SECTIONS)


@requirement("package", "README: installation, Python, semver, changelog, forum, issues, code of conduct, support")
def _readme(r):
    text = r.text("README.md")
    wanted = {
        "ansible-galaxy collection install wgmesh.router": "ansible-galaxy collection install wgmesh.router", "requirements.yml": "requirements.yml",
        "Python": r"Python \(|Python that|Python 3", "semver": r"semver\.org", "changelog": r"CHANGELOG\.md", "forum": r"forum\.ansible\.com", "issues": "/issues",
        "code of conduct": r"CODE_OF_CONDUCT\.md", "support": "support",
    }  # fmt: skip
    lacks = [name for name, pattern in wanted.items() if not re.search(pattern, text)]
    return lacks and "README.md lacks " + ", ".join(lacks)


@requirement("redhat", "READMEs have full URLs only")
def _urls(r):
    wrong = [
        "%s: %s" % (path.relative_to(r.folder), link)
        for path in [r.folder / "README.md", *sorted(r.folder.glob("roles/*/README.md"))]
        if path.exists()
        for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
        if not re.match(r"https?://|#", link)
    ]
    return wrong and ", ".join(wrong)


@requirement("hub package", "every role has a README and its arguments")
def _roles(r):
    wrong = [
        role.name
        for role in sorted((r.folder / "roles").iterdir())
        if not (role / "README.md").exists() or not (role / "meta/argument_specs.yml").exists()
    ]
    return wrong and ", ".join(wrong)


@requirement("package", "code of conduct, security policy, and in the repository how to contribute")
def _community(r):
    lacks = [name for name in ("CODE_OF_CONDUCT.md", "SECURITY.md") if not r.text(name)]
    lacks += [name for name in ("CONTRIBUTING.md",) if not (r.repository / name).exists()]
    return lacks and ", ".join(lacks)


@requirement("package", "GPL-3.0-or-later for the collection, in LICENSE and in each plugin")
def _licence(r):
    if "GNU GENERAL PUBLIC LICENSE" not in r.text("LICENSE"):
        return "LICENSE"
    wrong = [
        p.name
        for p in sorted(r.folder.glob("plugins/**/*.py"))
        if "SPDX-License-Identifier: GPL-3.0-or-later" not in p.read_text(encoding="utf-8")
    ]
    return wrong and ", ".join(wrong)


@requirement("package", "the licence of every module that is linked into a program")
def _third_parties(r):
    text = r.text("THIRD-PARTY-LICENSES")
    lacks = set()
    for program in sorted((r.folder / BINARIES).glob("wgmesh*_linux_*")):
        listed = subprocess.run(
            ["go", "version", "-m", str(program)], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
        linked = {"%s %s" % found for found in re.findall(r"^\tdep\t(\S+)\t(\S+)", listed, re.M)}
        lacks |= {one for one in linked if not re.search(r"^%s, (licen|copying)" % re.escape(one), text, re.M | re.I)}
    return lacks and "THIRD-PARTY-LICENSES lacks " + ", ".join(sorted(lacks))


@requirement("package", "programs of a known origin: their sums and the commit, and nothing uncommitted in them")
def _origin(r):
    manifest = json.loads(r.text(BINARIES + "/manifest.json") or "{}")
    commit = manifest.get("commit", "")
    if not re.fullmatch(r"[0-9a-f]{40}", commit) or manifest.get("dirty"):
        return "manifest.json: commit %r%s" % (commit, ", dirty" if manifest.get("dirty") else "")
    listed = set()
    for program in ("wgmesh", "wgmesh-cloud"):
        for system, entry in (manifest.get(program) or {}).items():
            listed.add(entry["file"])
            path = r.folder / BINARIES / entry["file"]
            content = path.read_bytes() if path.exists() else b""
            if hashlib.sha256(content).hexdigest() != entry["sha256"]:
                return "%s: not the one of manifest.json" % entry["file"]
            if (
                content[:4] != b"\x7fELF"
                or struct.unpack_from("<H", content, 18)[0] != MACHINES[system.rpartition("_")[2]]
            ):
                return "%s: not a program for %s" % (entry["file"], system)
            if commit.encode() not in content:
                return "%s does not know its commit" % entry["file"]
    there = {p.name for p in (r.folder / BINARIES).iterdir()} - {"manifest.json"}
    return (there != listed or len(listed) != 4) and "%s: %s" % (BINARIES, ", ".join(sorted(there ^ listed)))


@requirement("package", "a tarball that Galaxy takes: 20 MiB as base64")
def _size(r):
    # ansible-core up to 2.21 sends lines of base64 with CRLF (ansible/module_utils/urls.py).
    sent = r.size * len(base64.encodebytes(bytes(57)).rstrip()) // 57 + 2 * (r.size // 57 + 1)
    return sent > GALAXY_LIMIT and "%d bytes are sent for %d" % (sent, r.size)


@requirement("package", "no link, no cache and no build product in the tarball")
def _clean(r):
    wrong = [
        str(p.relative_to(r.folder))
        for p in sorted(r.folder.rglob("*"))
        if p.is_symlink()
        or p.name in ("__pycache__", ".git", ".DS_Store", ".ansible")
        or p.suffix in (".pyc", ".swp", ".orig")
        or (p.suffix in (".gz", ".zip", ".exe", ".so") and p.is_file())
    ]
    return wrong and ", ".join(wrong[:5])


@requirement("redhat", "meta/execution-environment.yml, and the lists that it names")
def _environment(r):
    environment = r.load("meta/execution-environment.yml")
    named = (environment.get("dependencies") or {}).values()
    if not environment.get("version") or not named:
        return "meta/execution-environment.yml: no version, or no dependencies"
    lacks = [name for name in named if not (r.folder / name).exists()]
    return lacks and "meta/execution-environment.yml names " + ", ".join(lacks)


@requirement("package", "a tag in git for the version")
def _tag(r):
    tag = "v%s" % r.info.get("version")
    found = subprocess.run(
        ["git", "-C", str(r.repository), "tag", "--list", tag], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    return not found.strip() and Known("%s comes last, when all of this holds" % tag)


def main(arguments):
    tarballs = [pathlib.Path(a) for a in arguments] or sorted((REPOSITORY / "build").glob("wgmesh-router-*.tar.gz"))
    if len(tarballs) != 1 or not tarballs[0].is_file():
        sys.exit(
            "release_check: expected one tarball, got %s: run make collection"
            % (", ".join(map(str, tarballs)) or "none")
        )
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(tarballs[0]) as archive:
            archive.extractall(folder)
        release = Release(folder, tarballs[0].stat().st_size)
        for source, words, check in REQUIREMENTS:
            cause = check(release)
            state = "open " if isinstance(cause, Known) else "FAILS" if cause else "holds"
            failed += state == "FAILS"
            print("%s  %s [%s]%s" % (state, words, source, ": %s" % cause if cause else ""))
    print("%s: %d requirements, %d do not hold" % (tarballs[0].name, len(REQUIREMENTS), failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
