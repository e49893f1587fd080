# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who was removed from the mesh, as most of the others say."""

from __future__ import annotations

from ansible_collections.wgmesh.router.plugins.plugin_utils.answers import listed

DOCUMENTATION = r"""
name: kept_out
short_description: The routers that were removed from the mesh before
version_added: 1.0.0
description:
  - Returns which of some routers the others keep out although the inventory still has them as present. It takes two that
    say so, and more than half of those that answered, since one that was taken over may lie.
  - Where too few were asked for that, or as many say that it was not removed, nobody can tell, and I(doubted) has a line.
  - The answers are those that the role C(wgmesh.router.mesh) has registered.
positional: _input, hostvars
options:
  _input:
    description: The names of the routers.
    type: list
    elements: str
    required: true
  doubted:
    description: Return a line for each router of which nobody can tell instead.
    type: bool
    default: false
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
  description: The names of the routers, or the lines.
  type: list
  elements: str
"""

DOUBT = "%s was removed from the mesh, says %s, and %s: set mesh_state: absent for it, or let it in first with the mesh play"


def kept_out(names, hostvars, doubted=False):
    """Return the names, or the lines."""
    said = {name: left_out(hostvars[name]) for name in names if name in hostvars}
    out, doubts = [], []
    for name in names:
        asked = {router: name in left for router, left in said.items() if router != name and left is not None}
        say = [router for router in asked if asked[router]]
        others = [router for router in asked if not asked[router]]
        if len(say) >= 2 and len(say) > len(others):
            out.append(name)
        elif say and len(say) >= len(others):
            doubts.append(DOUBT % (name, listed(say, 40), listed(others, 40) + " does not" if others else "nobody else was asked"))
    return doubts if doubted else out


def left_out(variables):
    """Whom a router keeps out: it was asked that alone, or with how it is."""
    looked = (variables.get("__mesh_roll_seen") or {}).get("answers") or {}
    return (looked.get("__mesh_kept_out") or variables.get("__mesh_kept_out") or {}).get("left_out")


class FilterModule:
    def filters(self):
        return {"kept_out": kept_out}
