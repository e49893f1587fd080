# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of an inventory stands against a run, before a router is asked anything."""

from __future__ import annotations

DOCUMENTATION = r"""
name: objections
short_description: Why an inventory does not allow a run, before any router is asked
version_added: 1.0.0
description:
  - A host that has facts with names that only the inventory may set, as the filter P(wgmesh.router.forged#filter) finds
    them.
  - A variable of one router, such as C(mesh_id) or C(mesh_state), that was given with C(-e), which is for all routers.
  - No group of routers, or more than one; a run without a router, or only with absent ones.
  - A C(--limit) with a name that does not exist, which Ansible ignores with a warning, also in a file (C(@mesh.retry));
    an empty file, which Ansible takes for all hosts; C(mesh_replaced) in the same way.
  - A variable that must be the same on all routers, such as C(mesh_port_base), but differs on some. Each router plans
    both ends of its tunnels from its own variables.
  - Two routers to which a connection by SSH goes to one place, by the inventory alone. A name is not resolved.
  - A variable that is a template which cannot be rendered, for example one with facts that were not gathered.
positional: _input, groups, hostvars, targeted
options:
  _input:
    description: The value of C(mesh_group) if the inventory does not set it, C(mesh_group | default('routers')).
    type: str
    required: true
  targeted:
    description: The hosts of the run, C(ansible_play_hosts_all).
    type: list
    elements: str
    required: true
  also:
    description: Additional variables that must be the same on all routers.
    type: list
    elements: str
    default: []
  limit:
    description: The value of C(--limit), C(ansible_limit).
    type: str
    default: ''
  absent:
    description: Whether a run with only absent routers has something to do.
    type: bool
    default: false
  joins:
    description: The router that joins by itself, C(wgmesh_self).
    type: str
    default: ''
extends_documentation_fragment: [wgmesh.router.inventory, wgmesh.router.inventory.groups]
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
- name: Refuse an inventory that cannot work
  ansible.builtin.fail:
    msg: "{{ item }}"
  loop: "{{ mesh_group | default('routers') | wgmesh.router.objections(groups, hostvars, ansible_play_hosts_all) }}"
"""

RETURN = r"""
_value:
  description: One line for each reason. Empty if there is none.
  type: list
  elements: str
  sample: ["azure-1 has mesh_port_base 52800, aws-1 51800: set it for all"]
"""

import ipaddress
import os
import re

import yaml

from ansible import context
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.splitter import parse_kv
from jinja2 import Undefined
from jinja2.exceptions import UndefinedError

from ansible_collections.wgmesh.router.plugins.filter.forged import forged
from ansible_collections.wgmesh.router.plugins.filter.members import FIELDS
from ansible_collections.wgmesh.router.plugins.filter.mesh_group import routers
from ansible_collections.wgmesh.router.plugins.plugin_utils.answers import listed
from ansible_collections.wgmesh.router.plugins.plugin_utils.site import cut

# What the two ends of a tunnel have to plan alike.
SHARED = (
    "mesh_bfd", "mesh_group", "mesh_link_pool", "mesh_link_pool6", "mesh_link_prefix_length", "mesh_name", "mesh_port_base", "mesh_sites",
)

TEMPLATE = re.compile(r"\{[{%][-+]?\s*(.*?)\s*[-+]?[%}]\}", re.DOTALL)

DEFAULTS = os.path.join(os.path.dirname(__file__), "../../roles/mesh/defaults/main.yml")


# What else than ansible_host says where a connection ends: behind a jump host an address may be another one.
PLACE = ("ansible_port", "ansible_user", "ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_executable", "ansible_ssh_extra_args",
         "ansible_ssh_host", "ansible_ssh_port", "ansible_ssh_user")

SSH = ("paramiko", "paramiko_ssh", "smart", "ssh", "ansible.builtin.ssh", "ansible.builtin.paramiko_ssh")

BOOLS = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false"}

# A part of --limit that is a name, and no pattern of names.
NAME = re.compile(r"[&!]?([A-Za-z0-9_][A-Za-z0-9_.-]*)")


def objections(said, groups, hostvars, targeted, also=(), limit="", absent=False, joins=""):
    """Return the lines."""
    lines = forged([name for name in groups["all"] if name in hostvars], hostvars)
    if lines:
        return lines
    # Of route tables none can be meant, of all.
    own = {"mesh_" + field for field in FIELDS if field != "route_tables"} & dict(extra(getattr(hostvars, "_loader", None) or DataLoader())).keys()
    if own:
        return ["%s: given with -e, which is for all routers and overrides the inventory: leave it out, and run again" % listed(sorted(own))]
    found = routers(said, groups, hostvars)
    if not found:
        return [nobody(said, groups, hostvars)]
    if len(found) > 1:
        return ["%s: choose one with -e mesh_group=NAME" % ", ".join(
            "%s is a router of the group %s" % (name, group) for group, name in sorted(found.items()))]
    group = next(iter(found))
    if group in groups["all"]:  # which Ansible would take for that host
        return ["the group %s has the name of a host: rename one of them" % group]
    members = list(groups[group])
    limited, empty = limits(limit)
    if empty:  # which Ansible takes for no limit at all
        return ["--limit: %s names no host: leave --limit out if all are meant" % cut(empty)]
    named = [name[1] for name in map(NAME.fullmatch, limited) if name]
    unknown = [name for name in named if name not in {*groups, *groups["all"], "localhost"}]
    if unknown:
        return ["--limit: %s is neither a host nor a group of the inventory: correct it" % cut(unknown[0])]
    if joins and joins not in members:
        return ["wgmesh_self: %s is not a router of the inventory: name the one on which this runs, or run wgmesh join there" % cut(joins)]
    if joins and joins not in targeted:
        return ["wgmesh_self: %s is not in this run: leave --limit out" % cut(joins)]
    if not set(members) & set(targeted):
        return ["no host of this run is a router: the group %s has none of %s" % (group, listed(targeted))]
    with open(DEFAULTS, encoding="utf-8") as file:
        defaults = yaml.safe_load(file) | {"mesh_name": group}
    lines = []
    values = {name: {} for name in members}
    present, places = [], {}
    for name in members:
        variables = hostvars[name]  # once: Ansible looks for the group_vars each time
        state, lost = read(variables, "mesh_state", "present")
        gone = state == "absent"
        if not gone:
            present.append(name)
            if read(variables, "ansible_connection", "ssh")[0] in SSH:
                places.setdefault(spelt(str(read(variables, "ansible_host", "")[0] or name)), []).append((name, variables))
        for variable in ["mesh_" + field for field in FIELDS] + ([] if gone else [*SHARED, *also]):
            values[name][variable], lost = read(variables, variable, defaults.get(variable))
            if lost and not (gone and variable not in ("mesh_id", "mesh_state", "mesh_host_key")):
                lines.append(unrendered(name, variable, lost))
    if not absent and not set(present) & set(targeted):
        return ["%s is mesh_state: absent, and no other router is in this run: leave --limit out, or name a router with it that is present"
                % listed([name for name in members if name in targeted])]
    strangers = sorted({other for name in present for other in replaced(hostvars[name])} - set(members))
    if strangers:
        return ["mesh_replaced: %s is not a router of the inventory: name one that is" % cut(strangers[0])]
    nameless = [name for name in present if values[name]["mesh_name"] in (None, "")]
    if nameless and not lines:
        return ["%s: mesh_name: got nothing, expected a name: leave it out, and it is that of the group" % listed(nameless)]
    lines = lines or [line for host, several in places.items() for line in doubled(host, several)]
    # One that is not rendered is not compared.
    return lines or [line for variable in [*SHARED, *also] for line in differing(variable, {name: values[name][variable] for name in present})]


def extra(loader):
    """The names that were given with -e, and whether in a file, as those of AWX are. A file is read as Ansible did
    when it began, from another folder: it has it still."""
    for text in context.CLIARGS.get("extra_vars") or ():
        text = str(text).strip()
        try:
            if text[:1] == "@":
                found = loader.load_from_file(os.path.abspath(os.path.expanduser(text[1:])))
            else:
                found = yaml.safe_load(text) if text[:1] in ("{", "[") else {} if text[:1] in ("/", ".") else parse_kv(text)
        except (yaml.YAMLError, AnsibleError):
            continue  # Ansible has said so
        yield from ((name, text[:1] == "@") for name in found or () if isinstance(name, str))


def spelt(host):
    """Return an address as others spell it, too, and a name as it is."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


def doubled(host, several):
    """Say which of several names are one machine."""
    same = {}
    for name, variables in several if len(several) > 1 else ():
        place = [str(read(variables, variable, "")[0] or "") for variable in PLACE]
        same.setdefault((place[0] or "22", *place[1:]), []).append(name)
    found = (listed(names) for names in same.values() if len(names) > 1)
    return ["%s have one ansible_host, %s: correct it, or give each its own ansible_port" % (names, cut(host, 40)) for names in found]


def limits(limit):
    """Return the parts of --limit, those of a file (@mesh.retry) too, as Ansible reads it; and the first file that has none."""
    parts = []
    for part in map(str.strip, re.split("[,:]", limit)):
        if not part.startswith("@"):
            parts.append(part)
            continue
        with open(part[1:], encoding="utf-8") as file:  # it is there, or Ansible had ended
            lines = [line.strip() for line in file if line.strip()]
        if not lines:
            return parts, part
        parts += lines
    return parts, ""


def replaced(variables):
    """The routers that mesh_replaced names, as the role takes them apart."""
    value = read(variables, "mesh_replaced", [])[0]
    names = value.split(",") if isinstance(value, str) else value if isinstance(value, (list, tuple)) else [value or ""]
    return {str(name).strip() for name in names} - {""}


def nobody(said, groups, hostvars):
    """Say that there is no router."""
    wanted = sorted({str(hostvars[name].get("mesh_group", said)) for name in groups["all"]}, key=lambda group: bool(groups.get(group))) or [said]
    if groups.get(wanted[0]):
        missing = "the hosts of the group %s have another mesh_group"
    else:
        missing = "the group %s has no hosts" if wanted[0] in groups else "the group %s is not in the inventory"
    return (missing + ": put the routers into it, or set mesh_group to the group that has them") % (wanted[0] or "''")


def read(variables, name, default):
    """Return a variable of a host, and why it could not be rendered."""
    try:
        value = variables.get(name, default)
        if isinstance(value, Undefined):
            value = str(value)  # raises what is missing
        text = repr(value)  # whatever is inside is rendered now
    except (AnsibleError, UndefinedError) as err:
        return None, reason(err)
    lost = TEMPLATE.search(text)  # the oldest core gives back what it could not render
    return (None, lost.group(1)) if lost else (value, None)


def reason(err):
    """What an error says, without what is wrapped around it."""
    while err.__cause__ is not None:
        err = err.__cause__
    return str(getattr(err, "message", None) or err).splitlines()[0]


def unrendered(name, variable, why):
    do = "give the key of its vault" if "decrypt" in why.lower() else "gather the facts of all routers first"
    return "%s: %s cannot be rendered (%s): %s, or write the value" % (name, variable, cut(why, 48), do)


def differing(variable, values):
    """Say of a variable who has which value, when they are not all the same."""
    first = {}
    for name, value in values.items():
        first.setdefault(key(value), []).append(name)
    if len(first) < 2:
        return []
    # The rarest first: it is most likely the wrong one.
    names = [have[0] for have in sorted(first.values(), key=len)]
    path = variable
    if isinstance(values[names[0]], dict) and isinstance(values[names[1]], dict):
        path, values = within(path, {name: values[name] for name in names[:2]})
        names = names[:2]
    told = ["%s %s" % (name, shown(values[name])) for name in names]
    return ["%s has %s %s: set it for all" % (names[0], path, ", ".join([shown(values[names[0]]), *told[1:]]))]


def within(path, values):
    """Follow two dictionaries down to where they differ."""
    one, two = values.values()
    while isinstance(one, dict) and isinstance(two, dict):
        one, two = ({str(k): v for k, v in side.items()} for side in (one, two))  # zones: {1: ...} and {"1": ...}
        here = sorted(k for k in [*one, *two] if key(one.get(k)) != key(two.get(k)))[0]
        path, one, two = "%s.%s" % (path, here), one.get(here), two.get(here)
    return path, dict(zip(values, (one, two)))


def key(value):
    """The same for what YAML, INI files and clouds' tags write differently."""
    if isinstance(value, dict):
        return tuple(sorted((str(k), key(v)) for k, v in value.items() if v is not None))
    if isinstance(value, (list, tuple)):
        return ",".join(str(key(v)) for v in value)
    if isinstance(value, str):
        return BOOLS.get(value.strip().lower()) or ",".join(part.strip() for part in value.split(","))
    return str(value).lower() if isinstance(value, bool) else str(value)


def shown(value):
    if value in (None, ""):
        return "nothing"
    if isinstance(value, dict):
        return "something"
    if isinstance(value, (list, tuple)):
        value = ", ".join(str(v) for v in value)
    return cut(str(value), 40)


class FilterModule:
    def filters(self):
        return {"objections": objections}
