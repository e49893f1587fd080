# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import re

import yaml

from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.wgmesh.router.plugins.filter.members import member
from ansible_collections.wgmesh.router.plugins.filter.mesh_group import mesh_group
from ansible_collections.wgmesh.router.plugins.filter.objections import DEFAULTS, key, objections, read, reason
from ansible_collections.wgmesh.router.plugins.plugin_utils import wgmesh

# The options of the module and the variables of an inventory that are them. What an
# inventory does not say has the same default in both.
SETTINGS = {
    "sites": "mesh_sites", "link_pool": "mesh_link_pool", "link_prefix_length": "mesh_link_prefix_length", "link_pool6": "mesh_link_pool6",
    "port_base": "mesh_port_base", "interface_prefix": "mesh_interface_prefix", "persistent_keepalive": "mesh_keepalive", "bfd": "mesh_bfd",
}  # fmt: skip

# What the mesh play tells a router besides the plan, and the router keeps.
TOLD = ("mesh_bind_to_machine", "mesh_metrics_file", "mesh_name", "mesh_tunnel_input", "mesh_tunnel_input_ports", "mesh_unreachable")

# A default that is another option.
REFERENCE = re.compile(r"{{ (\w+) }}")


def told(variables, option, defaults):
    """The value of an option for one host, as text that is the same for the same value."""
    if option not in variables:
        return REFERENCE.sub(lambda other: told(variables, other[1], defaults), str(key(defaults[option])))
    value = read(variables, option, None)[0]
    return "" if value is None else str(key(value))


def settings(group, groups, hostvars):
    """What each router of a group is told."""
    with open(DEFAULTS, encoding="utf-8") as file:
        defaults = yaml.safe_load(file) | {"mesh_name": group}
    return {name: {option: told(hostvars[name], option, defaults) for option in TOLD} for name in groups.get(group, [])}


class ActionModule(wgmesh.ActionModule):
    """Reads the other inventory that a preview compares with, on the controller."""

    def _run_module(self, task_vars):
        against = self._task.args.get("against")
        if isinstance(against, str):
            if against.strip():
                groups, hostvars = task_vars["groups"], task_vars["hostvars"]
                group = mesh_group(self._said(task_vars), groups, hostvars)
                self._task.args.update(against=self._read(against.strip(), task_vars), settings=settings(group, groups, hostvars))
            else:
                del self._task.args["against"]
        return super()._run_module(task_vars)

    def _said(self, task_vars):
        return str(self._variable(task_vars, "mesh_group", "routers"))

    def _read(self, path, task_vars):
        path = os.path.expanduser(path)
        if not os.path.exists(path):
            raise wgmesh.Refusal("against: there is no %s" % path, "give the path of an inventory")
        try:
            return self._mesh(path, task_vars)
        except AnsibleError as err:
            raise wgmesh.Refusal("against %s: %s" % (path, reason(err)), "correct that inventory, or give what opens its vault") from err

    def _mesh(self, path, task_vars):
        inventory = InventoryManager(loader=self._loader, sources=[path])
        variables = VariableManager(loader=self._loader, inventory=inventory)
        hostvars = HostVars(inventory=inventory, variable_manager=variables, loader=self._loader)
        if not inventory.get_hosts():
            raise wgmesh.Refusal("against %s: no host was found there" % path, "read the warnings before this: it is not an inventory, or is in a vault")
        groups, said = inventory.get_groups_dict(), self._said(task_vars)
        for line in objections(said, groups, hostvars, [host.name for host in inventory.get_hosts()],
                               ["mesh_interface_prefix", "mesh_keepalive"]):
            cause, _colon, do = line.rpartition(": ")
            raise wgmesh.Refusal("against %s: %s" % (path, cause or do), do if cause else "correct that inventory")
        group = mesh_group(said, groups, hostvars)
        names = groups[group]
        present = [name for name in names if hostvars[name].get("mesh_state", "present") != "absent"] or names
        first = hostvars[sorted(present)[0]]
        found = {option: first.get(variable) for option, variable in SETTINGS.items()}
        return {
            "routers": {name: member(hostvars[name]) for name in names}, "settings": settings(group, groups, hostvars),
            **{option: value for option, value in found.items() if value is not None},
        }  # fmt: skip
