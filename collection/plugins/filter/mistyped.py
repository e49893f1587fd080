# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which options of the roles have a value that is not of their type."""

from __future__ import annotations

DOCUMENTATION = r"""
name: mistyped
short_description: Which options of the roles have a value of the wrong type
version_added: 1.0.0
description:
  - For the first play of each playbook. Ansible itself reports this when a role begins, at length and once for each
    router.
  - The types are in C(meta/argument_specs.yml) of the role. A value that cannot be rendered yet is left to others.
positional: _input, hostvars, entries, others
options:
  _input:
    description: Names of the hosts of the run.
    type: list
    elements: str
    required: true
  entries:
    description: The entry points of roles that will run, each as C(ROLE/ENTRY).
    type: list
    elements: str
    required: true
  others:
    description: Options that something else checks.
    type: list
    elements: str
    default: []
extends_documentation_fragment: [wgmesh.router.inventory]
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
- name: Refuse an option that is not of its type
  ansible.builtin.fail:
    msg: "{{ mistyped }}"
  when: mistyped | length > 0
  vars:
    mistyped: "{{ groups.routers | wgmesh.router.mistyped(hostvars, ['mesh/drain']) }}"
"""

RETURN = r"""
_value:
  description: One line. Empty if all is well.
  type: str
  sample: "mesh_drain_wait: got soon, expected a whole number, 0 or more"
"""

import difflib
import functools
import os
import re

from ansible import context
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.yaml import yaml_load  # by libyaml where there is one
from ansible.parsing.dataloader import DataLoader
from ansible.utils.display import Display

from ansible_collections.wgmesh.router.plugins.filter.hookable import hookable
from ansible_collections.wgmesh.router.plugins.filter.members import FIELDS
from ansible_collections.wgmesh.router.plugins.filter.objections import extra, read
from ansible_collections.wgmesh.router.plugins.plugin_utils.answers import listed
from ansible_collections.wgmesh.router.plugins.plugin_utils.site import cut

SPECS = os.path.join(os.path.dirname(__file__), "../../roles/%s/meta/argument_specs.yml")

# Their playbooks leave out who is absent.
PRESENT = ("mesh/measure", "mesh/preview", "mesh/status")

WORDS = {
    "bool": ("true or false", "true or false"), "dict": ("a dictionary", "dictionaries"), "float": ("a number, 0 or more", "numbers"),
    "int": ("a whole number, 0 or more", "whole numbers"), "list": ("a list", "lists"), "path": ("a path", "paths"), "str": ("a text", "texts"),
}  # fmt: skip

# What Ansible's validator makes one of that type of, and Jinja and the modules do not. A site or zone may be a number.
UNLIKE = {"int": (bool,), "float": (bool,), "list": (bool, int, float), "path": (bool, int, float, list, dict), "str": (bool, list, dict)}

# The words that Jinja's filter bool knows. Ansible's validator knows more, which Jinja takes for false.
BOOLEAN = ("true", "false", "yes", "no", "on", "off", "1", "0")

# What the modules and Ansible take of a type, where that is less than all of it: a router would refuse it later. What the
# plan is made of it judges itself. Texts are matched as the bytes that they are.
MOST = 10**9
PORT = (1, 65535)
RANGES = {
    "mesh_confirm_timeout": (0, 86400), "mesh_contact_timeout": (1, MOST), "mesh_measure_at_once": (1, MOST), "mesh_measure_count": (1, 1000),
    "mesh_measure_interval": (0.01, 60), "mesh_measure_parallel": (1, 128), "mesh_measure_port": PORT, "mesh_measure_seconds": (1, 600),
    "mesh_measure_size": (16, 65000), "mesh_task_timeout": (1, MOST), "mesh_tunnel_input_ports": PORT, "mesh_upgrade_wait": (1, MOST),
    "routes_back_after": (1, 86400), "routes_start_after": (1, 3600), "routes_timeout": (1, MOST),
}  # fmt: skip
NAME = (rb"([A-Za-z0-9_][A-Za-z0-9_.-]{0,62})?", "at most 63 letters, digits and _.-")
URL = (rb"(https?://.*)?", "a URL")
TEXTS = {
    "mesh_drain_why": (rb'[^"\\\x00-\x1f\x7f]{0,100}', 'one line of at most 100 bytes, without " and \\'), "mesh_name": NAME, "mesh_name_before": NAME,
    "routes_api_endpoint": URL, "routes_mesh": (rb"([a-z]([a-z0-9-]{0,26}[a-z0-9])?)?", "at most 28 small letters, digits and hyphens"),
    "routes_metadata_endpoint": URL,
}  # fmt: skip

ROLES = ("mesh", "router", "routes")

# Files that a play writes at its end, on the controller.
WRITTEN = ("mesh_adopt_file", "mesh_preview_file", "mesh_report_file")

# The options of plays, which no role has (docs/variables.md), and what a play of each runs.
RAW_OF_PLAYS = {"mesh_add": "router/main", "mesh_join_address": "", "mesh_join_port": "", "mesh_remove": "mesh/remove", "router_hosts": "router/main"}
OF_PLAYS = {"mesh_measure_at_once": {"type": "int"}, **{name: {"type": "raw"} for name in RAW_OF_PLAYS}}
RUN_BY = {"mesh_measure_at_once": "mesh/measure", **RAW_OF_PLAYS}

# Options of the mesh play that are about how it changes the tunnels, and what does so. The others may be about the plan,
# which each play has.
OF_CHANGES = ("mesh_plan_faults", "mesh_regenerate_keys", "mesh_replaced", "mesh_rotate_preshared_keys", "mesh_take_over")
CHANGES = ("mesh/main", "mesh/replace", "mesh/rotate", "mesh/upgrade")

# What runs the tasks of the hook.
HOOKED = ("mesh/replace", "mesh/upgrade")


def mistyped(names, hostvars, entries, others=()):
    """Return the line."""
    loader = getattr(hostvars, "_loader", None) or DataLoader()
    for given, shared in extra(loader):
        line = unknown(given, shared, names, hostvars, entries, loader) if given.startswith(tuple(role + "_" for role in ROLES)) else ""
        if line:
            return "-e %s: is not an option: expected %s" % (cut(given), line)
    for name, meant, hosts in misspelt(names, hostvars, loader):
        Display().warning("%s: %s is not an option, and nothing uses it: it looks like %s" % (listed(hosts), cut(name), meant))
    found = {}
    for host in names:
        variables = hostvars[host]
        gone = read(variables, "mesh_state", "present")[0] == "absent"
        for entry in ("", *entries):
            for option, spec in (described(*entry.split("/")) if entry else OF_PLAYS).items():
                if option == "mesh_site":  # of an absent router the id alone is kept, so the role cannot need it
                    spec = {**spec, "required": not gone}
                line = "" if option in others or gone and entry in PRESENT else wrong(variables, option, spec)
                if option == "mesh_upgrade_hook" and entry in HOOKED and not line:
                    line = hook(read(variables, option, None)[0], loader)
                if line and host not in found.setdefault(line, []):
                    found[line].append(host)
    # What all of several have was most likely said once.
    lines = [line if len(hosts) == len(names) > 1 else "%s: %s" % (listed(hosts), line) for line, hosts in found.items()]
    return " ".join(lines[:1] + ["(and %d more)" % (len(lines) - 1)] * (len(lines) > 1))


def misspelt(names, hostvars, loader):
    """Yield each variable of the inventory that is almost an option which its hosts do not have, and that no other value
    of theirs is made of: its name, the option, and the hosts. It may still be somebody's own."""
    raw = {host: hostvars.raw_get(host) for host in names} if hasattr(hostvars, "raw_get") else {}
    given, found = {name for name, _shared in extra(loader)}, {}
    for host, variables in raw.items():
        for name in variables:
            if name.startswith(tuple(role + "_" for role in ROLES)):
                found.setdefault(name, []).append(host)
    for name in sorted(set(found) - known() - given):
        near = difflib.get_close_matches(name, sorted(known()), 1, 0.85)
        lack = [host for host in found[name] if near and near[0] not in raw[host]]
        if lack and not any(name in str(value) for variables in raw.values() for key, value in variables.items() if key != name):
            yield name, near[0], lack


@functools.lru_cache(maxsize=None)
def known():
    """The options of all plays and roles."""
    return frozenset((*OF_PLAYS, *(option for role in ROLES for entry in specs(role).values() for option in entry["options"])))


def unknown(name, shared, names, hostvars, entries, loader):
    """Return what was most likely meant by a name that is not an option, or nothing. Warn of an option that does nothing
    in this play, unless it is in a file, which several plays may share."""
    if name in known():
        if name in RUN_BY:
            used = RUN_BY[name] in ("", *entries)
        elif name in OF_CHANGES:
            used = any(entry in CHANGES for entry in entries)
        else:
            used = any(name in described(*entry.split("/")) for entry in ("mesh/main", *entries))
        if entries and not shared and not used:
            Display().warning("-e %s: it is an option of other plays, and does nothing in this one: leave it out" % name)
        return ""
    near = difflib.get_close_matches(name, sorted(known()), 1, 0.9)
    if shared:  # a file may have a name of somebody's own that the option is made of
        return near[0] if near and not any(near[0] in hostvars[host] for host in names) else ""
    if near or not name.startswith("mesh_") or mentioned(name, names, hostvars, loader):
        return "".join(near)
    return difflib.get_close_matches(name, sorted(known()), 1, 0)[0] + ", or for a variable of your own a name without mesh_"


def mentioned(name, names, hostvars, loader):
    """Report whether somebody's own playbook, the inventory or the hook may be made of a name."""
    if any(not str(playbook).startswith("wgmesh.router.") for playbook in context.CLIARGS.get("args") or ()):
        return True
    try:
        values = (value for host in names for key, value in hostvars.raw_get(host).items() if key != name)
        paths = {str(read(hostvars[host], "mesh_upgrade_hook", "")[0] or "") for host in names}
        return any(name in str(value) for value in values) or any(name in contents(path, loader) for path in paths)
    except (AnsibleError, OSError, UnicodeError):  # a vault without its key, or no hook: another line says so
        return True


def hook(path, loader):
    """Return what is wrong with a hook, or nothing."""
    if path and not os.path.isfile(path):
        return "mesh_upgrade_hook: %s is not a file on the controller: expected a file of tasks, by its whole path" % path
    try:
        return hookable(path, contents(path, loader)) if path else ""
    except (AnsibleError, OSError, UnicodeError):
        return "mesh_upgrade_hook: %s cannot be read: correct its permissions, or give the password of its vault" % path


@functools.lru_cache(maxsize=None)
def contents(path, loader):
    """Return the text of a hook; of none it is empty."""
    if not path:
        return ""
    opened = loader.get_real_file(os.path.realpath(path))  # of a vault it is a copy
    try:
        with open(opened, encoding="utf-8") as file:
            return file.read()
    finally:
        loader.cleanup_tmp_file(opened)


@functools.lru_cache(maxsize=None)
def specs(role):
    with open(SPECS % role, encoding="utf-8") as file:
        return yaml_load(file)["argument_specs"]


def described(role, entry):
    return specs(role)[entry]["options"]


def wrong(variables, option, spec):
    """Return what is wrong with one option of one host, or nothing."""
    value, lost = read(variables, option, None)
    if lost or value is None and spec.get("required"):
        return "" if lost else "%s is missing: set it in the inventory" % option
    rules = {key: spec[key] for key in ("type", "elements", "choices") if key in spec}
    if value is None:  # a router's own may be unset, and a text that is nothing is empty
        nothing = option in variables and option.removeprefix("mesh_") not in FIELDS and (rules["type"] in ("bool", "float", "int") or "choices" in rules)
        return "%s: got nothing, expected %s" % (option, expected(option, rules)) if nothing else ""
    value = plain(value)
    result = ArgumentSpecValidator({option: rules}).validate({option: value})
    beyond = not result.error_messages and outside(option, rules, result.validated_parameters[option])
    kinds = [(rules.get("type"), value)] + [(rules.get("elements"), one) for one in (value if isinstance(value, list) else ())]
    added = rules.get("type") == "list" and option.startswith("router_") and isinstance(value, str)  # one list to another
    if not (result.error_messages or beyond or added or any(unlike(*kind) for kind in kinds)):
        path = os.path.abspath(os.path.expanduser(str(value))) if value and option in WRITTEN else ""
        if not path or os.path.isdir(os.path.dirname(path)) and not os.path.isdir(path):
            return ""
        return "%s: got %s, expected a file in a folder that is there" % (option, cut(path))
    return "%s: got %s, expected %s" % (option, cut(" ".join(str(value).split()) or "nothing", 40), expected(option, rules))


def outside(option, rules, value):
    """Report whether a value of the right type is none that the modules take."""
    if option in TEXTS:
        return not re.fullmatch(TEXTS[option][0], value.encode(errors="surrogateescape"))
    least, most = RANGES.get(option, (0, MOST))
    numbers = value if rules.get("elements") == "int" else [value] if rules["type"] in ("int", "float") else ()
    return any(not least <= number <= most for number in numbers)


def unlike(kind, value):
    """Report whether a value is none of a type, although Ansible takes it for one."""
    if kind == "bool":
        return isinstance(value, str) and value.lower() not in BOOLEAN
    return isinstance(value, UNLIKE.get(kind, ())) or kind == "int" and isinstance(value, float) and value % 1 != 0


def plain(value):
    """The same without what Ansible renders when it is looked at. The validator copies what it
    is given, and from ansible-core 2.19 on all variables of all hosts with that."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def expected(option, rules):
    """Say in words what an option has to be."""
    several = rules.get("type") == "list"
    if option in TEXTS:
        return TEXTS[option][1]
    if "choices" in rules:
        return "%s of %s" % ("some" if several else "one", ", ".join(map(str, rules["choices"])))
    words = "a list of " + WORDS[rules["elements"]][1] if several and "elements" in rules else WORDS[rules.get("type", "str")][0]
    if option not in RANGES:
        return words
    least, most = RANGES[option]
    return words.partition(",")[0] + (", %s or more" % least if most == MOST else " from %s to %s" % (least, most))


class FilterModule:
    def filters(self):
        return {"mistyped": mistyped}
