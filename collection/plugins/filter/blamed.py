# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routers that a run is red for."""

from __future__ import annotations

DOCUMENTATION = r"""
name: blamed
short_description: The routers because of which a run is red
version_added: 1.0.0
description:
  - Combines the findings of the routers of a run. A cause belongs to one router, or to the two ends of a tunnel. Its
    consequences do not make other routers red. If the router with the cause is not in the run, the routers that miss it
    are named.
positional: _input, targeted, alive
options:
  _input:
    description: Ansible's C(hostvars).
    type: dict
    required: true
  targeted:
    description: The routers with which the run began, C(ansible_play_hosts_all).
    type: list
    elements: str
    required: true
  alive:
    description: The routers that are still in the run, C(ansible_play_hosts).
    type: list
    elements: str
    required: true
  goal:
    description: Which of the results C(healthy) and C(required_healthy) of M(wgmesh.router.mesh_status_info) has to be true.
    type: str
    default: healthy
  by:
    description: The only router whose findings count, if the run takes one router after the other. Empty for all.
    type: str
    default: ''
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
- name: Say which router is not well
  ansible.builtin.fail:
    msg: "{{ blamed[inventory_hostname] }}: the table at the end says why, and what to do"
  when: inventory_hostname in blamed
  vars:
    blamed: "{{ hostvars | wgmesh.router.blamed(ansible_play_hosts_all, ansible_play_hosts) }}"
"""

RETURN = r"""
_value:
  description: For each router that fails, the names of the routers that are the cause.
  type: dict
"""

from ansible_collections.wgmesh.router.plugins.plugin_utils import causes, registered


def blamed(hostvars, targeted, alive, goal="healthy", by=""):
    """Return the routers that are to fail."""
    known = registered.once(hostvars)
    hostvars = registered.Once(known, lambda name: known[name] if by in ("", name) else {})
    return causes.blamed(causes.causes(hostvars, targeted, alive, goal), hostvars, targeted, alive, goal)


class FilterModule:
    def filters(self):
        return {"blamed": blamed}
