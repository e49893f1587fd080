# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of which a play before has noted something."""

from __future__ import annotations

DOCUMENTATION = r"""
name: noted
short_description: The hosts for which an earlier play has set a fact
version_added: 1.0.0
description:
  - Returns which of some hosts have a given fact. C(group_by) is not suitable for that, since a group exists as long as
    Ansible runs, and the next playbook of a run would use it as its own.
positional: _input, hostvars, fact, most
options:
  _input:
    description: The hosts to check, in this order.
    type: list
    elements: str
    required: true
  fact:
    description: The name, or the beginning of the name, of the fact that C(ansible.builtin.set_fact) has set.
    type: str
    required: true
  most:
    description: How many hosts are enough, by default all.
    type: int
extends_documentation_fragment: [wgmesh.router.inventory]
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
- name: Do something on the routers that had their turn
  hosts: "{{ groups.routers | wgmesh.router.noted(hostvars | default({}), 'had_its_turn') }}"
  tasks: []
"""

RETURN = r"""
_value:
  description: The names of the hosts.
  type: list
  elements: str
"""

from itertools import islice


def noted(names, hostvars, fact, most=None):
    """Return the names."""
    variables = getattr(hostvars, "raw_get", hostvars.get)  # nothing of others is rendered
    known = (name for name in names if name in hostvars)
    return list(islice((name for name in known if any(key.startswith(fact) and value for key, value in variables(name).items())), most))


class FilterModule:
    def filters(self):
        return {"noted": noted}
