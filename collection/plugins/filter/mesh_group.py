# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The group of the inventory whose hosts are the routers."""

from __future__ import annotations

DOCUMENTATION = r"""
name: mesh_group
short_description: The group of the inventory whose hosts are the routers
version_added: 1.0.0
description:
  - Ansible chooses the hosts of a play before it reads the variables of the inventory. This filter finds C(mesh_group)
    there, too.
  - A host counts as a router if it is in the group that its own C(mesh_group) names.
  - Needs C(hostvars), which Ansible has from the second play on. The playbook C(wgmesh.router.members) is the first
    of each playbook of this collection, and refuses an inventory that does not name one group.
positional: _input, groups, hostvars, entries
options:
  _input:
    description: The value of C(mesh_group) if the inventory does not set it, C(mesh_group | default('routers')).
    type: str
    required: true
  entries:
    description:
      - What will be run of the roles, each as C(ROLE/ENTRY).
      - A run that changes routers is refused with C(--start-at-task), which would leave out its checks, and each
        run with C(--skip-tags always), which could leave out everything and end well.
    type: list
    elements: str
    default: []
extends_documentation_fragment: [wgmesh.router.inventory, wgmesh.router.inventory.groups]
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
- name: Find the routers
  ansible.builtin.import_playbook: wgmesh.router.members

- name: Do something on the routers
  hosts: "{{ mesh_group | default('routers') | wgmesh.router.mesh_group(groups, hostvars | default({})) }}"
  tasks: []
"""

RETURN = r"""
_value:
  description: The name of the group.
  type: str
"""

from ansible import context
from ansible.errors import AnsibleError, AnsibleFilterError

# What changes a router, and looks first whether it may.
LOOKS_FIRST = frozenset("mesh/" + play for play in ("drain", "main", "remove", "replace", "reset", "rotate", "undrain", "upgrade")) | {"routes/main"}


def mesh_group(said, groups, hostvars, entries=()):
    """Return the name of the group whose hosts are the routers."""
    if context.CLIARGS.get("start_at_task") and not LOOKS_FIRST.isdisjoint(entries):
        raise AnsibleFilterError("--start-at-task leaves out what this playbook looks at first: give the same command without it")
    if entries:
        checked()
    return sorted(routers(said, groups, hostvars) or [said])[0]


def checked():
    """Refuse a run without the check that it does something, which has the tag always."""
    if "always" in context.CLIARGS.get("skip_tags", ()):
        raise AnsibleFilterError("--skip-tags always leaves out the check that a run does something: give the same command without it")


def routers(said, groups, hostvars):
    """Return {group: its first router} of those that hosts of theirs name as their mesh_group."""
    found = {}
    for name, variables in readable(groups["all"] if hostvars else (), hostvars):
        group = str(variables.get("mesh_group", said))
        if name in groups.get(group, ()):
            found.setdefault(group, name)
    return found


def readable(names, hostvars):
    """Yield the hosts whose variables can be loaded, with these. Those in another team's vault cannot, and a mesh needs none of them."""
    for name in names:
        try:
            yield name, hostvars[name]
        except AnsibleError:
            continue


class FilterModule:
    def filters(self):
        return {"mesh_group": mesh_group}
