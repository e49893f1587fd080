# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a mesh, in one line for each router that is the cause."""

from __future__ import annotations

DOCUMENTATION = r"""
name: summary
short_description: What is wrong with a mesh, in one line for each router that is the cause
version_added: 0.1.0
description:
  - Puts together what the routers of a run have seen. A cause is told once, by the router that has it; what follows
    from it for the others is counted and not listed.
  - What a router says about itself, or how it left the run, comes first. Of the rest, a router that several others miss is
    the cause; what only two routers see of each other is told as it is.
positional: _input, hostvars, targeted, alive
options:
  _input:
    description: The router for which to tell it. It gets the lines that are about it and its peers.
    type: str
    required: true
  hostvars:
    description: Ansible's C(hostvars).
    type: dict
    required: true
  targeted:
    description: The routers that the run began with, C(ansible_play_hosts_all).
    type: list
    elements: str
    required: true
  alive:
    description: The routers that are still in the run, C(ansible_play_hosts).
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Say what is not healthy
  ansible.builtin.fail:
    msg: "{{ inventory_hostname | wgmesh.router.summary(hostvars, ansible_play_hosts_all, ansible_play_hosts) }}"
"""

RETURN = r"""
_value:
  description: The lines, joined; empty when nothing is wrong.
  type: str
  sample: "azure-1: TCP 179 is held by nginx, pid 812; 6 routers have no session with it"
"""

# The results of the role's tasks, in their order.
RESULTS = ("plan", "preflight", "keypair", "sealed", "opened", "floor", "sysctl", "tunnels", "bird", "kept", "confirmed", "status")


def summary(name, hostvars, targeted, alive):
    """Return the lines for one router."""
    # With fewer forks than routers, the first may have failed at this very task.
    alive = [*alive, *(router for router in targeted if router not in alive and finished(hostvars[router]))]
    troubles = {router: seen(hostvars[router]) if router in alive else [] for router in targeted}
    # Who misses whom, and why.
    misses = {
        router: {trouble["peer"]: trouble for trouble in reversed(list_) if trouble.get("peer")}
        for router, list_ in troubles.items()
    }
    causes = {router: failure(hostvars[router]) for router in targeted if router not in alive}
    for router in alive:
        own = [trouble["text" if router == name else "cause"] for trouble in troubles.get(router, []) if not trouble.get("peer") and not trouble.get("follows")]
        if own:
            causes[router] = own[0]
    for peer in sorted({peer for list_ in misses.values() for peer in list_}):
        if peer not in alive and peer not in causes:
            causes[peer] = "it was not in this run, and " + common(misses, peer)
    while True:
        # Pairs of which no end is a cause yet: who misses whom.
        left = sorted((a, b) for a in misses for b in misses[a] if a not in causes and b not in causes)
        missed = [b for _, b in left]
        worst = max(sorted(set(missed)), key=missed.count, default=None)
        if worst is None or missed.count(worst) < 2:  # one witness proves nothing
            break
        causes[worst] = common(misses, worst)

    lines = []
    for router in sorted(causes):
        without = {a for a in misses if router in misses[a]} | set(misses.get(router, {}))
        if router == name or name in without:
            lines.append("%s: %s%s" % (router, causes[router].removeprefix(router + ": "), counted(len(without))))
    by_cause = {}
    for a, b in left:
        if a == name:
            by_cause.setdefault(misses[a][b]["cause"], []).append(b)
    for cause, peers in by_cause.items():
        lines.append(misses[name][peers[0]]["text"] if len(peers) == 1 else "%s: %s" % (", ".join(peers), cause))
    if not lines:
        lines = [trouble["text"] for trouble in troubles.get(name, [])]
    return "; ".join(lines)


def finished(variables):
    """Whether a router came to the end of the run."""
    status = variables.get("__mesh_status") or {}
    return "troubles" in status and not status.get("failed")


def seen(variables):
    """What a router that is in the run still has seen."""
    status = variables.get("__mesh_status") or {}
    troubles = [trouble for trouble in status.get("troubles") or [] if "cause" in trouble and "text" in trouble]
    return [{**trouble, "cause": ": ".join(filter(None, (trouble["cause"], trouble.get("do"))))} for trouble in troubles]


def failure(variables):
    """Why a router left the run, on one line."""
    if "__mesh_failed" in variables:
        return " ".join(str(variables["__mesh_failed"]).split())
    for result in RESULTS:
        result = variables.get("__mesh_" + result) or {}
        if result.get("failed") or result.get("unreachable"):
            return " ".join(str(result.get("msg", "it failed")).split())
    return "it left the run"


def common(misses, router):
    """What most others say about a router."""
    said = [list_[router]["cause"] for list_ in misses.values() if router in list_]
    return max(sorted(set(said)), key=said.count)


def counted(number):
    if not number:
        return ""
    return "; %d router%s no session with it" % (number, " has" if number == 1 else "s have")


class FilterModule:
    def filters(self):
        return {"summary": summary}
