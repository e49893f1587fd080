# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts that the image play makes routers of."""

from __future__ import annotations

DOCUMENTATION = r"""
name: image_hosts
short_description: The hosts that the image play makes into routers
version_added: 1.0.0
description:
  - The hosts that C(router_hosts) names, as an extra variable or in the inventory. Without it, the group of the
    routers, as the other playbooks find it (C(mesh_group)), except routers with C(mesh_state=absent). Other hosts of an
    inventory are left alone.
  - If Packer made the inventory, or it has one host in no group (C(-i new-vm,)), that host.
positional: _input, groups, hostvars, asked, packer
options:
  _input:
    description: The value of C(mesh_group) if the inventory does not set it, C(mesh_group | default('routers')).
    type: str
    required: true
  asked:
    description: The value of C(router_hosts) outside the inventory. Empty for none.
    type: str
    default: ""
  packer:
    description: Whether Packer runs the play.
    type: bool
    default: false
extends_documentation_fragment: [wgmesh.router.inventory, wgmesh.router.inventory.groups]
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
- name: Find the hosts
  ansible.builtin.import_playbook: wgmesh.router.image_hosts

- name: Do something on them
  hosts: "{{ 'routers' | wgmesh.router.image_hosts(groups, hostvars | default({}), router_hosts | default('')) }}"
  tasks: []
"""

RETURN = r"""
_value:
  description: A pattern of hosts. Empty when there is none.
  type: str
"""

from ansible_collections.wgmesh.router.plugins.filter.mesh_group import checked, readable, routers


def image_hosts(said, groups, hostvars, asked="", packer=False):
    """Return the pattern."""
    checked()
    told = sorted({pattern(variables.get("router_hosts")) for name, variables in readable(groups["all"], hostvars)} - {""}) if hostvars else []
    if asked or told:
        return pattern(asked) or ":".join(told)
    if packer:
        return "all"
    found = sorted(routers(said, groups, hostvars))
    if found:
        gone = [name for name in sorted({name for group in found for name in groups[group]}) if hostvars[name].get("mesh_state") == "absent"]
        names = [name for group in found for name in (groups[group] if group in groups["all"] else [group])]  # a host's name goes before a group's
        return ":".join([*names, *("!" + name for name in gone)])
    alone = groups["all"] if len(groups["all"]) == 1 else []
    return ":".join(name for name in alone if name in groups.get("ungrouped", ()))


def pattern(value):
    """A list of hosts is a pattern too."""
    return ":".join(map(str, value)) if isinstance(value, (dict, list, tuple)) else str(value or "")


class FilterModule:
    def filters(self):
        return {"image_hosts": image_hosts}
