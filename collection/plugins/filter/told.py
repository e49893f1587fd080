# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the routers told in this run, each under the name by which it was asked."""

DOCUMENTATION = r"""
name: told
short_description: What the routers reported in this run, each under the name by which it was asked
version_added: 1.0.0
description:
  - Collects what the role C(mesh) registered for each router. A router that is not in the run, failed or could not be
    reached is missing.
  - A router speaks only for itself. Its keys are stored under the name of the host that was asked, and only envelopes
    that it sends itself count.
positional: _input, hostvars, to
options:
  _input:
    description: Names of the routers, usually C(groups.routers).
    type: list
    elements: str
    required: true
  to:
    description: The router for which the envelopes are, by default any.
    type: str
extends_documentation_fragment: [wgmesh.router.inventory]
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
- name: Open the pre-shared keys that were sealed for this router
  wgmesh.router.wg_psk:
    state: opened
    name: "{{ inventory_hostname }}"
    tunnels: "{{ __mesh_plan.plan.preshared_keys }}"
    peers: "{{ told.peers }}"
    envelopes: "{{ told.envelopes }}"
  vars:
    told: "{{ groups.routers | wgmesh.router.told(hostvars, inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description:
    - C(peers), for the option of that name of M(wgmesh.router.wg_psk).
    - C(public_keys), for the option of that name of M(wgmesh.router.wg_tunnel).
    - C(envelopes), the envelopes for the router I(to), or all.
    - C(reach), for the option of that name of M(wgmesh.router.mesh_status_info).
    - C(heard), for the option of that name of M(wgmesh.router.mesh_gate).
    - C(changed), the names of the routers that changed something in this run, or of which this is not known.
    - C(proved), the names of the routers that were well while they changed nothing.
    - C(renewed), the names of the routers that have a new key from a change that waits for its confirmation.
    - C(stale), the routers to which some of them had a tunnel that is no longer wanted.
    - C(known), for C(initiator) and C(responder), whether both ends reported that they know the pre-shared key of each
      tunnel in which the router I(to) has that role.
    - C(opened), whether the router I(to) has nothing to open, because it knows these keys and nobody sent it an envelope.
    - C(behind), the numbers of the tunnels whose pre-shared key the router I(to) makes, and of which the other end
      reported a newer key.
    - C(waited_for), whether the router I(to) has no change that waits for its confirmation, or reached somebody before it.
    - C(failed), the names of the routers on which a task failed.
    - C(sick), these names, and the names of the routers that reported in this run what is wrong with them.
  type: dict
"""

import time

from ansible_collections.wgmesh.router.plugins.plugin_utils.registered import PHASES, Once, once, registered

# What changes a router before the last look at it.
CHANGES = ("__mesh_begun", "__mesh_sealed", "__mesh_links")

# Seconds by which the clocks of routers may be ahead of this one.
APART = 600


def told(names, hostvars, to=None):
    """Return what RETURN lists, of the routers that answered."""
    found = {"peers": [], "public_keys": {}, "envelopes": [], "reach": {}, "heard": {}}
    found.update((which, []) for which in ("changed", "proved", "renewed", "stale", "failed", "sick"))
    hostvars = once(hostvars)
    for name in names:
        variables = hostvars[name]
        public = part(variables, "__mesh_keypair", "public") or {}
        if public.get("public_key"):
            found["peers"].append({"name": name, "public_key": public["public_key"], "sealing_key": public["sealing_key"]})
            found["public_keys"][name] = public["public_key"]
        found["envelopes"] += [e for e in part(variables, "__mesh_sealed", "envelopes") or () if e["from"] == name and to in (None, e["to"])]
        addresses = part(variables, "__mesh_bird", "source_addresses")
        if addresses is None:
            addresses = part(variables, "__mesh_addresses", "source_addresses")
        if addresses is not None:
            found["reach"][name] = addresses
        removed = part(variables, "__mesh_keypair", "removed")
        if removed is not None:
            found["heard"][name] = removed
        if any(part(variables, phase, "changed") or part(variables, phase, "failed") for phase in CHANGES):
            found["changed"].append(name)
        if part(variables, "__mesh_proved", "healthy"):
            found["proved"].append(name)
        if part(variables, "__mesh_keypair", "renewed"):
            found["renewed"].append(name)
        found["stale"] += part(variables, "__mesh_tunnels", "stale_peers") or ()
        failed = bool(variables.get("__mesh_failed"))
        found["failed"] += [name] if failed else []
        found["sick"] += [name] if failed or part(variables, "__mesh_kept", "sick") else []
    found["known"], found["behind"] = known(to, hostvars, found["public_keys"]) if to in names else ({}, [])
    found["waited_for"] = waited_for(hostvars[to]) if to in names else True
    found["opened"] = found["known"].get("responder", False) and not found["envelopes"]
    return found


def waited_for(variables):
    """Whether nothing is armed, or there are those whom the change must not cut off: the first module that armed the guard says so."""
    armed = next((answer for answer in guards(variables) if answer["armed"]), None)
    return not armed or bool(armed.get("worked") or armed.get("routed"))


def guards(variables):
    """What the modules say that change a router, in their order."""
    begun, links = (list(((variables.get(phase) or {}).get("answers") or {}).values()) for phase in PHASES)
    answers = [*begun, *(variables.get(name) or {} for name in ("__mesh_keypair", "__mesh_sealed")), *links]
    return [answer for answer in answers if "armed" in answer]


def known(name, hostvars, public_keys, held=None):
    """Whether a router has nothing to seal, and nothing to open; it has when not all were asked at
    once, since mesh_peer wants an envelope. And the tunnels for which it has to make a new key, since
    the other end has a newer one of it: its guard took that back, or it was restored from a backup."""
    held = held or keys(hostvars)
    asked = "__mesh_held" in ((hostvars[name].get("__mesh_begun") or {}).get("answers") or {})
    out, behind = {"initiator": asked, "responder": asked}, []
    for tunnel in (part(hostvars[name], "__mesh_plan", "plan") or part(hostvars[name], "__mesh_planned", "plan") or {}).get("preshared_keys") or ():
        peer = tunnel["peer"]
        if peer in public_keys:
            here, there = (
                held[router].get((tunnel.get("number"), other, public_keys.get(other, ""))) for router, other in ((name, peer), (peer, name))
            )
            if here is None or here != there:
                out[tunnel["role"]] = False
            # A generation is when it was made, in ms. With one of the future each run would make a key.
            if here and there and here[1] < there[1] <= (time.time() + APART) * 1000 and tunnel["role"] == "initiator":
                behind.append(str(tunnel["number"]))
    return out, behind


def keys(hostvars):
    """What each end says of its keys: {(tunnel, peer, the public key of that peer): (psk_id, generation)} by the router."""

    def look(router):
        variables, out = hostvars[router], {}
        # Of mesh_peer first: a router that was in its turn before was asked again since.
        for one in part(variables, "__mesh_keypair", "known") or part(variables, "__mesh_held", "known") or ():
            out.setdefault((one["tunnel"], one["peer"], one["peer_public_key"]), (one["psk_id"], one["generation"]))
        return out

    return Once(hostvars, look)


def part(variables, variable, key):
    """What a registered variable has under key, None when there is none."""
    return registered(variables, variable).get(key)


class FilterModule:
    def filters(self):
        return {"told": told}
