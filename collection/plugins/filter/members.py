# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routers of the inventory, as the mesh_plan_info module wants them."""

DOCUMENTATION = r"""
name: members
short_description: The routers of the inventory, for the mesh_plan_info module
version_added: 0.1.0
description:
  - Reads only the C(mesh_) variables of each router, never all of its variables,
    so no other secret or broken template of the inventory is touched.
  - Takes the inventory's hosts and not the hosts of the run, so that C(--limit) does not change who is a member.
positional: _input, hostvars
options:
  _input:
    description: Names of the routers, usually C(groups.routers).
    type: list
    elements: str
    required: true
extends_documentation_fragment: [wgmesh.router.inventory]
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
- name: Plan the mesh
  wgmesh.router.mesh_plan_info:
    router: "{{ inventory_hostname }}"
    routers: "{{ groups.routers | wgmesh.router.members(hostvars) }}"
    sites: "{{ mesh_sites }}"
"""

RETURN = r"""
_value:
  description: One entry for each router, by its name in the inventory.
  type: dict
"""

import multiprocessing
import os

FIELDS = (
    "id", "site", "zone", "endpoint", "endpoint_port_base", "listen_port_base", "endpoints", "state", "gateway", "host_key", "route_tables",
    "probe", "links",
)


# What was found in a process of Ansible's for one task, which a loop asks for each item. It is of the
# run's own inventory, so who reads another one asks member.
FOUND = {}


def members(names, hostvars):
    """Return {name: {id, site, zone, endpoint, ...}} of the routers."""
    key = (os.getpid(), *names)
    if multiprocessing.parent_process() is None:  # here variables change between the tasks
        FOUND.clear()
    if key not in FOUND:
        FOUND[key] = {name: member(hostvars[name]) for name in names}
    return {name: dict(of) for name, of in FOUND[key].items()}


def member(variables):
    # .get, so that a variable that is not set stays away: mesh_plan_info then says
    # which router lacks it.
    found = {field: variables.get("mesh_" + field) for field in FIELDS}
    # A number in YAML, a text in a cloud's tag; an absent router may have none, and Jinja compares it.
    found["site"] = "" if found["site"] is None else str(found["site"])
    return {field: value for field, value in found.items() if value is not None}


class FilterModule:
    def filters(self):
        return {"members": members}
