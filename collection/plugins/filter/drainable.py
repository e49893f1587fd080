# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a router is not to be drained now."""

from __future__ import annotations

from ansible_collections.wgmesh.router.plugins.filter.unforwarded import unforwarded
from ansible_collections.wgmesh.router.plugins.plugin_utils.answers import listed
from ansible_collections.wgmesh.router.plugins.plugin_utils.site import RUN, cut, of_site, silent, taken

DOCUMENTATION = r"""
name: drainable
short_description: Why a router must not be drained now
version_added: 1.0.0
description:
  - A router can be drained only if the other routers of its site carry its traffic. So there has to be another router,
    and each has to be well, must not be drained itself, and has to forward as far as other sites can see. A fault that
    this router has too does not count. If route tables follow the routers, each has to run C(wgmesh-failover) on the
    present plan, and it has to be able to move them. A run drains one router of a site.
  - A router that is already drained is not asked again, so that a run that was cut off can continue. But a run does not
    take a router that somebody has drained for another reason since the run began, and nobody can take a run's router
    without a reason of their own.
positional: _input, hostvars, group, targeted, seen, force, crossed, needs, why
options:
  _input:
    description: The name of the router.
    type: str
    required: true
  targeted:
    description: The routers of the run, C(ansible_play_hosts_all).
    type: list
    elements: str
    required: true
  seen:
    description: The results of a loop over the routers of the site, each of which planned and checked itself.
    type: list
    elements: dict
    required: true
  force:
    description: Whether it is drained even without the others.
    type: bool
    default: false
  crossed:
    description: The results of a loop over the routers of other sites, each of which pinged through the routers of this
      site.
    type: list
    elements: dict
    default: []
  needs:
    description: The routers that have to be told of changes to it while it is drained.
    type: list
    elements: str
    default: []
  why:
    description: The reason of the drain. If a run drains one router after the other, the reason ends with C(, run
      NAME).
    type: str
    default: ""
extends_documentation_fragment: [wgmesh.router.inventory, wgmesh.router.inventory.routers]
"""

EXAMPLES = r"""
- name: Refuse a drain that would cut the site off
  ansible.builtin.fail:
    msg: "{{ refused }}"
  when: refused | length > 0
  vars:
    refused: "{{ inventory_hostname | wgmesh.router.drainable(hostvars, groups.routers, ansible_play_hosts_all, looked.results) }}"
"""

RETURN = r"""
_value:
  description: One line. Empty if it may be drained.
  type: str
  sample: "azure-1 is not drained: azure-2 of its site is drained already: undrain that one first"
"""


def drainable(name, hostvars, group, targeted, seen, force=False, crossed=(), needs=(), why=""):
    """Return the line."""
    mine, why = of_site(name, hostvars, group), str(why or "")  # a reason may be a number
    if name not in mine:
        return refusal(name, "the inventory has it absent", "drain routers that are there")
    several = [other for other in mine if other in targeted]
    if len(several) > 1:
        return refusal(name, "%s are of one site" % listed(several), "name one router of a site with --limit")
    results = {result.get("item"): result for result in [*seen, *crossed]}
    answers = {of: status(result) for of, result in results.items()}
    for other in needs:
        if answers.get(other) is None:
            return silent(results.get(other) or {}, "%s is left as it is: %s has to hear of it" % (name, other))
    if (answers.get(name) or {}).get("drained"):
        had = answers[name]["drained_why"]
        if RUN in why and had.partition(RUN)[0] != why.partition(RUN)[0]:
            return taken(name, had)
        if RUN in had and not why:
            return "%s is drained by another run (%s): wait for it, or take it over with -e mesh_drain_why=REASON" % (name, cut(had))
        return ""
    if force:
        return ""
    others = [other for other in mine if other != name]
    if not others:
        return refusal(name, "it is the only router of its site", "add another one, or accept the cut with -e mesh_drain_force=true")
    for other in others:
        answer = answers.get(other)
        if answer is None:
            return silent(results.get(other) or {}, "%s is not drained: %s of its site" % (name, other))
        if answer["drained"]:
            return refusal(name, "%s of its site is drained already" % other, "undrain that one first")
        own = (answers.get(name) or {}).get("troubles") or []
        troubles = [trouble for trouble in answer["troubles"] if trouble["peer"] != name and not any(shared(trouble, t) for t in own)]
        if troubles:
            peer = troubles[0]["peer"]
            do = "mend that one, or %s (docs/taken-over.md)" % peer if peer else "mend that one first"
            return refusal(name, "%s of its site is not well (%s)" % (other, cut(troubles[0]["text"], 40 if peer else 60)), do)
        lost = unforwarded(other, crossed, [name])
        if lost:
            return refusal(name, "%s of its site does not forward (%s)" % (other, cut(lost[0], 40)), "mend that one, or who says so (docs/taken-over.md)")
        # The other one takes the tables of this one, or its own back, which a daemon here may hold.
        held = hostvars[name].get("mesh_route_tables") or (answers.get(name) or answer)["failover"]["runs"] and hostvars[other].get("mesh_route_tables")
        if held and answer["failover"]["trouble"]:
            return refusal(name, "%s of its site: %s" % (other, cut(answer["failover"]["trouble"])), vain(answer) or "run wgmesh.router.routes first")
    return ""


def vain(answer):
    """What to do about a daemon that runs and cannot move a table."""
    return "see journalctl -u wgmesh-failover there" if " in vain (" in answer["failover"]["trouble"] else ""


def shared(theirs, mine):
    """Whether what another router of its site cannot do is what this one cannot do either: the drain takes it from nobody."""
    if (theirs["peer"], theirs.get("network")) != (mine["peer"], mine.get("network")):
        return False
    return bool(mine.get("cut")) or any(theirs.get(kind) and mine.get(kind) for kind in ("alone", "follows"))


def status(result):
    """What a router has seen of itself, None when it did not answer."""
    return (result.get("answers") or {}).get("__mesh_seen")


def refusal(name, found, do):
    return "%s is not drained: %s: %s" % (name, found, do)


class FilterModule:
    def filters(self):
        return {"drainable": drainable}
