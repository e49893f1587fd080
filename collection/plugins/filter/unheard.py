# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a machine that cannot be drained is not to be taken for gone."""

from __future__ import annotations

from ansible_collections.wgmesh.router.plugins.filter.undrained import contradicted, status, ways
from ansible_collections.wgmesh.router.plugins.plugin_utils.answers import listed

DOCUMENTATION = r"""
name: unheard
short_description: Why a machine that cannot be drained must not be treated as gone
version_added: 1.0.0
description:
  - A machine that does not answer, or has no BGP session, may be gone, or only out of the controller's reach. The other
    routers know whether they send to it. If no router of a site answers, this is not known for that site.
  - A router that was taken over can lie. What one router of another site alone reports does not count if the tunnel
    between it and another router of this site is well, and no other router that answers has a working tunnel to the
    machine.
positional: _input, hostvars, group, seen, answers, beside
options:
  _input:
    description: The name of the router.
    type: str
    required: true
  seen:
    description: The results of a loop over the other routers, each of which planned and checked itself.
    type: list
    elements: dict
    required: true
  answers:
    description: Whether the machine itself answers.
    type: bool
    default: false
  beside:
    description: The names of the other routers of its site.
    type: list
    elements: str
    default: []
extends_documentation_fragment: [wgmesh.router.inventory, wgmesh.router.inventory.routers]
"""

EXAMPLES = r"""
- name: Refuse to lose what the others send
  ansible.builtin.fail:
    msg: "{{ refused }}"
  when: refused | length > 0
  vars:
    refused: "{{ inventory_hostname | wgmesh.router.unheard(hostvars, groups.routers, looked.results) }}"
"""

RETURN = r"""
_value:
  description: One line. Empty if it may be treated as gone.
  type: str
  sample: "azure-1 does not answer, so it is not drained, and gcp-1 sends to it: mend its SSH, or accept the cut with -e mesh_drain_force=true"
"""


def unheard(name, hostvars, group, seen, answers=False, beside=()):
    """Return the line."""
    alone, _mate = contradicted([result["item"] for result in seen if ways(result, name)], seen, beside)
    if any(tunnel["peer"] == name and tunnel["healthy"] for result in seen if result["item"] != alone for tunnel in status(result).get("tunnels") or []):
        alone = None  # it is alive
    found = "%s has no BGP session" % name if answers else "%s does not answer" % name
    for result in seen:
        if ways(result, name) and result["item"] != alone:
            do = "mend %s, or accept the cut with -e mesh_drain_force=true" % ("it" if answers else "its SSH")
            return "%s, so it is not drained, and %s sends to it: %s" % (found, result["item"], do)
    heard = [result["item"] for result in seen if status(result)]
    there = {other: str(hostvars[other].get("mesh_site")) for other in group if hostvars[other].get("mesh_state", "present") != "absent"}
    known = {there[other] for other in [name, *heard] if other in there}
    silent = sorted({*there.values()} - known)
    if not silent:
        return ""
    others = len(there) - (name in there)
    count = "%d of %d others are silent" % (others - len(heard), others)
    return "%s, and no router of %s answers (%s), so nobody knows who uses it: mend SSH, or -e mesh_drain_force=true" % (found, listed(silent, 40), count)


class FilterModule:
    def filters(self):
        return {"unheard": unheard}
