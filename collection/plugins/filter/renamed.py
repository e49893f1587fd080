# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What routers that were known before a change are called in its plan."""

from __future__ import annotations

DOCUMENTATION = r"""
name: renamed
short_description: The names that routers have in the plan, if a change renames them
version_added: 1.0.0
description:
  - A router that gets another name in the inventory keeps the interface of its tunnel, or the address in it. So the
    routers that worked before are found under their new names. A router of which the plan has neither name, interface
    nor address is no longer planned, and is left out.
positional: _input, before, planned
options:
  _input:
    description: The names before.
    type: list
    elements: str
    required: true
  before:
    description: The tunnels before, I(worked_over) of a module with the option C(guard).
    type: list
    elements: dict
    required: true
  planned:
    description: The tunnels of the plan, each with C(peer), C(name) and C(address).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show who must not be cut off
  ansible.builtin.debug:
    msg: "{{ tunnels.worked | wgmesh.router.renamed(tunnels.worked_over, planned.plan.status.tunnels) }}"
"""

RETURN = r"""
_value:
  description: The names in the plan.
  type: list
  elements: str
  sample: [azure-1]
"""


def renamed(names, before, planned):
    """Return the names of the plan."""
    kept = {tunnel["peer"] for tunnel in planned}
    out = []
    for name in names:
        ends = [end for end in before if end["peer"] == name]
        now = [tunnel["peer"] for tunnel in planned if any(tunnel[same] == end[same] for end in ends for same in ("name", "address"))]
        out += [name] if name in kept else now
    return list(dict.fromkeys(out))


class FilterModule:
    def filters(self):
        return {"renamed": renamed}
