# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who was removed from the mesh, as most of the others say."""

from __future__ import annotations

DOCUMENTATION = r"""
name: kept_out
short_description: The routers that were removed from the mesh before
version_added: 1.0.0
description:
  - Returns which of some routers the others keep out although the inventory still has them as present. It takes two that
    say so, and more than half of those that answered, since one that was taken over may lie.
  - The answers are those that the role C(wgmesh.router.mesh) has registered.
positional: _input, hostvars
options:
  _input:
    description: The names of the routers.
    type: list
    elements: str
    required: true
extends_documentation_fragment: [wgmesh.router.inventory]
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
- name: Say who was removed
  ansible.builtin.debug:
    msg: "{{ groups.routers | wgmesh.router.kept_out(hostvars) }}"
"""

RETURN = r"""
_value:
  description: The names of the routers.
  type: list
  elements: str
"""


def kept_out(names, hostvars):
    """Return the names."""
    said = {name: (hostvars[name].get("__mesh_kept_out") or {}).get("left_out") for name in names if name in hostvars}
    out = []
    for name in names:
        votes = [name in left for router, left in said.items() if router != name and left is not None]
        if sum(votes) >= 2 and 2 * sum(votes) > len(votes):
            out.append(name)
    return out


class FilterModule:
    def filters(self):
        return {"kept_out": kept_out}
