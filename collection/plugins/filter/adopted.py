# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of routers that were made by hand."""

from __future__ import annotations

DOCUMENTATION = r"""
name: adopted
short_description: The inventory of routers that were made by hand
version_added: 1.0.0
description:
  - Makes an inventory from what C(adopt.sh) read on all routers, for the play C(wgmesh.router.adopt). Reports what the
    inventory cannot express, one line each.
  - Variables of the mesh that the routers already have, such as C(mesh_sites), C(mesh_site), C(mesh_zone), C(mesh_id)
    and C(mesh_endpoint), take precedence. The rest is found on the routers, or guessed and reported.
positional: _input, hostvars
options:
  _input:
    description: The names of the routers.
    type: list
    elements: str
    required: true
  hostvars:
    description: Ansible's C(hostvars). What C(adopt.sh) printed is registered there, as C(__mesh_read).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Make an inventory
  ansible.builtin.set_fact:
    adoption: "{{ groups.routers | wgmesh.router.adopted(hostvars) }}"
"""

RETURN = r"""
_value:
  description: C(refused), one line if no inventory could be made; C(vars) of the group and C(hosts); C(lost), what
    could not be expressed; C(tunnels), how many were found.
  type: dict
"""

from ansible_collections.wgmesh.router.plugins.plugin_utils.adoption import Adoption
from ansible_collections.wgmesh.router.plugins.plugin_utils.answers import Wrong
from ansible_collections.wgmesh.router.plugins.plugin_utils.by_hand import found


def adopted(names, hostvars):
    """Return the inventory and what it does not say."""
    routers, keys = {}, {}
    for name in names:
        read = hostvars[name].get("__mesh_read") or {}
        if read.get("rc") != 0 or not read.get("stdout"):
            return refused("%s was not read: all routers are read in one run, without --limit, since a tunnel has two ends" % name)
        try:
            routers[name] = found(read["stdout"])
        except Wrong as wrong:
            return refused("%s: %s: found %s, expected %s: it is not adopted" % (name, wrong.field or "its answer", wrong.found, wrong.expected))
        for interface in routers[name].interfaces.values():
            other = keys.setdefault(interface.key or name, name)
            if other != name:  # the tunnels of one would become those of the other
                return refused("%s and %s have the same key, or one of them lies: give the copy a key of its own, and see who has read it" % (other, name))
    if not any(router.interfaces for router in routers.values()):
        ours = [name for name, router in routers.items() if router.ours]
        if ours:
            return refused("%s: all of its WireGuard interfaces are the mesh's already: there is nothing to adopt" % ours[0])
        return refused("no WireGuard interface on %s: bring the network up first, since what runs is read" % names[0])
    try:
        adoption = Adoption(routers, {name: hostvars[name] for name in names})
    except Wrong as wrong:
        return refused("%s: found %s, expected %s" % (wrong.field, wrong.found, wrong.expected))
    return {
        "refused": "", "vars": adoption.shared(), "hosts": adoption.hosts(), "lost": adoption.lines(), "tunnels": len(adoption.tunnels),
    }


def refused(line):
    return {"refused": line, "vars": {}, "hosts": {}, "lost": [], "tunnels": 0}


class FilterModule:
    def filters(self):
        return {"adopted": adopted}
