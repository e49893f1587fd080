# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What still uses a router that is drained."""

from __future__ import annotations

DOCUMENTATION = r"""
name: undrained
short_description: What still uses a drained router
version_added: 1.0.0
description:
  - Combines the routes in the kernels of the other routers with what the kernel of the drained router forwards.
  - A router that was taken over can lie. If one router of another site alone reports something, and the tunnel between
    it and another router of this site is well, the report counts only if the drained router forwards anything.
  - Where the drained router has route tables of AWS, the C(wgmesh-failover) of each of I(beside) has to say that nothing is left to do.
positional: _input, others, traffic
options:
  _input:
    description: The name of the drained router.
    type: str
    required: true
  others:
    description: The results of a loop over the other routers, each of which planned and checked itself.
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
  beside:
    description: The names of the other routers of its site.
    type: list
    elements: str
    default: []
  hostvars:
    description: The variables of all routers. Without them no route table is asked for.
    type: dict
    default: {}
  doubted:
    description: Return what one router alone reports instead.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Say what still uses this router
  ansible.builtin.debug:
    msg: "{{ inventory_hostname | wgmesh.router.undrained(others.results, traffic) }}"
"""

RETURN = r"""
_value:
  description: One line for each. Empty if the router may go.
  type: list
  elements: str
  sample: ["aws-1 has no other way to 10.1.0.0/16 than by azure-1: mend aws-1, or remove it if it was taken over (docs/taken-over.md)"]
"""

from ansible_collections.wgmesh.router.plugins.plugin_utils.answers import listed
from ansible_collections.wgmesh.router.plugins.plugin_utils.site import cut


def undrained(name, others, traffic, most=0, beside=(), doubted=False, hostvars=None):
    """Return the lines."""
    used = {result["item"]: listed(ways(result, name), 40) for result in others if ways(result, name)}
    alone, mate = contradicted(list(used), others, beside)
    mend = "mend %s, or remove it if it was taken over (docs/taken-over.md)"
    if doubted:
        words = "%s alone says that it has no other way to %s than by %s, but the tunnel between it and %s is well: " + mend
        return [words % (alone, used[alone], name, mate, alone)] if alone else []
    lines = [("%s has no other way to %s than by %s: " + mend) % (who, used[who], name, who) for who in used if who != alone]
    lines += unmoved(name, [result for result in others if result["item"] in beside], hostvars or {name: {}})
    forwarded = traffic.get("forwarded", 0)
    if forwarded > most:
        by = sorted(traffic.get("carried") or [], key=lambda tunnel: -tunnel["received"] - tunnel["sent"])[:2]
        most_used = ", ".join("%s %s: %d in, %d out" % (tunnel["name"], tunnel["peer"], tunnel["received"], tunnel["sent"]) for tunnel in by)
        whence = "" if lines else "; its own site sends it (a route table, a balancer, a gateway), or its containers"
        near = {tunnel["peer"]: tunnel["bgp"] for tunnel in traffic.get("tunnels") or [] if tunnel["peer"] in beside and tunnel.get("bgp")}
        if near and "Established" not in near.values():  # as roles/router/files/root/usr/local/libexec/wgmesh-health.sh
            whence += "; it has no session to %s, so it acts as the last way out of its site: mend that, or while it lives " % listed(list(near), 40)
            whence += "`systemctl stop wgmesh-health.socket` on %s" % name
        elif whence:
            whence += ": end it, or let it break by -e mesh_drain_traffic=N"
        if alone:
            whence = "; of the others only %s says that it sends here: " % alone + mend % alone
        lines.append("%s forwards %d packets/s (%s)%s" % (name, forwarded, most_used, whence))
    return lines


def unmoved(name, beside, hostvars):
    """Which route tables may still point here. A call of the cloud's that hangs is no trouble yet, so each has to be said to be done."""
    tables = hostvars[name].get("mesh_route_tables") or []
    for result in beside if tables else ():
        daemon = status(result).get("failover") or {"trouble": "", "rests": []}
        left = [table for table in [*tables, *(hostvars[result["item"]].get("mesh_route_tables") or [])] if table not in daemon["rests"]]
        if daemon["trouble"]:
            yield "%s of its site: %s: mend that, and run again" % (result["item"], cut(daemon["trouble"]))
        elif left:
            yield "%s of its site does not say that %s has moved: see `wgmesh-cloud failover --show` there, and run again" % (result["item"], left[0])


def contradicted(users, others, beside):
    """The one router that says it, when it is of another site, and who of this site could carry what it sends."""
    for result in others if len(users) == 1 and users[0] not in beside else ():
        seen = status(result)
        if result["item"] in beside and not seen.get("drained"):
            if any(tunnel["peer"] == users[0] and tunnel["healthy"] for tunnel in seen.get("tunnels") or []):
                return users[0], result["item"]
    return None, None


def ways(result, name):
    """The networks that a router reaches by the drained one."""
    return [way["network"] for way in status(result).get("ways") or [] if way["peer"] == name]


def status(result):
    """What a router has seen, empty when it did not answer, or could not read its own routes."""
    seen = (result.get("answers") or {}).get("__mesh_seen") or {}
    return seen if "ways" in seen else {}


class FilterModule:
    def filters(self):
        return {"undrained": undrained}
