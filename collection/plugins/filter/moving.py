# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a router cannot be added or removed."""

from __future__ import annotations

from ansible_collections.wgmesh.router.plugins.plugin_utils.site import cut

DOCUMENTATION = r"""
name: moving
short_description: Why a router cannot be added or removed
version_added: 1.0.0
description:
  - For the plays C(wgmesh.router.add) and C(wgmesh.router.remove), before anything is done. A router to add has to be
    in the inventory with an id that no other router has or had. The plan reports other mistakes of an inventory.
  - It has to be in the run, together with another router that has a tunnel to it.
positional: _input, play, members, targeted
options:
  _input:
    description: The name that was given.
    type: str
    required: true
  play:
    description: C(add) or C(remove).
    type: str
    required: true
  members:
    description: The routers by name, as the filter P(wgmesh.router.members#filter) has them.
    type: dict
    required: true
  targeted:
    description: The hosts of the run, C(ansible_play_hosts_all). The default is all hosts.
    type: list
    elements: str
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
- name: Refuse what cannot be added
  ansible.builtin.fail:
    msg: "{{ refused }}"
  when: refused | length > 0
  vars:
    refused: "{{ mesh_add | wgmesh.router.moving('add', groups.routers | wgmesh.router.members(hostvars)) }}"
"""

RETURN = r"""
_value:
  description: One line. Empty if it is possible.
  type: str
  sample: "azure-3 has no mesh_id: give it 8, the lowest that nobody has or had"
"""

import re


def moving(name, play, members, targeted=None):
    """Return why a router cannot be added or removed, or nothing."""
    if not name:
        return "no router is named: -e mesh_%s=NAME, one of the inventory" % play
    if not isinstance(name, str):
        return "mesh_%s: got %s, expected the name of one router" % (play, cut(str(name)))
    if name not in members:
        return "%s is not a router of the inventory: %s" % (name, "put it there first" if play == "add" else "name one that is, by its name there")
    if targeted is not None and name not in targeted:
        return "%s is not in this run, so nothing is changed there: leave --limit out" % name
    others = [other for other, of in members.items() if other != name and of.get("state") != "absent"]
    alone = targeted is not None and others and not set(others) & set(targeted)
    if play == "remove":
        if not others:
            return "%s is the only router: wgmesh.router.reset makes its host as it was" % name
        if alone:
            return "nobody of this run would end a tunnel to %s: leave --limit out, or name the others with it" % name
        return ""
    router = members[name]
    if router.get("state") == "absent":
        return "%s is mesh_state: absent in the inventory: take that line away, and run this again" % name
    mine = number(router.get("id"))
    taken = {number(of.get("id")): other for other, of in sorted(members.items()) if other != name}
    free = next(n for n in range(1, len(taken) + 2) if n not in taken)
    if mine is None:
        return "%s has no mesh_id: give it %d, the lowest that nobody has or had" % (name, free)
    if mine in taken:
        return "%s has the mesh_id %d of %s: give it %d, the lowest that nobody has or had" % (name, mine, taken[mine], free)
    if alone:
        return "nobody of this run would have a tunnel to %s: leave --limit out, or name the others with it" % name
    return ""


def number(value):
    """The id that a variable says, or None. Some inventories have texts only, and some take each number for a fraction."""
    whole = re.fullmatch(r"([0-9]+)(\.0+)?", str(value).strip())
    return int(whole.group(1)) if whole else None


class FilterModule:
    def filters(self):
        return {"moving": moving}
