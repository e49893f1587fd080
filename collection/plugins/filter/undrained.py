# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What still uses a router that is drained."""

from __future__ import annotations

DOCUMENTATION = r"""
name: undrained
short_description: What still uses a router that is drained
version_added: 1.0.0
description:
  - Puts together what the kernels of the other routers say of their ways, and what that of the drained router forwards.
positional: _input, others, traffic
options:
  _input:
    description: The name of the drained router.
    type: str
    required: true
  others:
    description: The results of a loop over the other routers, each of which planned and looked at itself.
    type: list
    elements: dict
    required: true
  traffic:
    description: The result of M(wgmesh.router.mesh_status_info) with I(traffic) on the drained router.
    type: dict
    required: true
  most:
    description: Packets per second that count as none.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Say what still uses this router
  ansible.builtin.debug:
    msg: "{{ inventory_hostname | wgmesh.router.undrained(others.results, traffic) }}"
"""

RETURN = r"""
_value:
  description: One line for each of it, none when the router may go.
  type: list
  elements: str
  sample: ["aws-1 has no other way to 10.1.0.0/16 than by azure-1"]
"""


def undrained(name, others, traffic, most=0):
    """Return the lines."""
    lines = []
    for result in others:
        networks = ways(result, name)
        if networks:
            more = " and %d more" % (len(networks) - 2) if len(networks) > 2 else ""
            lines.append("%s has no other way to %s%s than by %s" % (result["item"], ", ".join(networks[:2]), more, name))
    forwarded = traffic.get("forwarded", 0)
    if forwarded > most:
        by = sorted(traffic.get("carried") or [], key=lambda tunnel: -tunnel["received"] - tunnel["sent"])[:2]
        most_used = ", ".join("%s %s: %d in, %d out" % (tunnel["name"], tunnel["peer"], tunnel["received"], tunnel["sent"]) for tunnel in by)
        whence = "" if lines else "; no other router does it, so it comes from its own site: a route table, a balancer, a gateway"
        lines.append("%s forwards %d packets/s (%s)%s" % (name, forwarded, most_used, whence))
    return lines


def ways(result, name):
    """The networks that a router reaches by the drained one."""
    seen = (result.get("answers") or {}).get("__mesh_seen") or {}
    return [way["network"] for way in seen.get("ways") or [] if way["peer"] == name]


class FilterModule:
    def filters(self):
        return {"undrained": undrained}
