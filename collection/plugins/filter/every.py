# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether no router of a run has anything left to do in one of its phases."""

from __future__ import annotations

DOCUMENTATION = r"""
name: every
short_description: Whether every router of a run has a phase behind it
version_added: 1.0.0
description:
  - Reports whether no router of the run has anything left to do in a phase of the mesh play. The play then skips the
    phase once for all routers. A task that is skipped by each router costs Ansible a process for each.
positional: _input, hostvars, targeted, alive, state
options:
  _input:
    description: Names of the routers, usually C(groups.routers).
    type: list
    elements: str
    required: true
  targeted:
    description: The routers with which the run began, C(ansible_play_hosts_all).
    type: list
    elements: str
    required: true
  alive:
    description: The routers that are still in the run, C(ansible_play_hosts).
    type: list
    elements: str
    required: true
  state:
    description:
      - C(unasked), the inventory asks none of them for what the play does first.
      - C(planned), none was told that the inventory does not describe a mesh.
      - C(sealed), both ends of each tunnel know the same pre-shared key, and nobody asked for new ones.
      - C(kept), none of those whose change waits for its confirmation has anybody to wait for, as they said with the change.
      - C(settled), all were well while nobody changed anything, and C(ended).
      - C(ended), nothing failed, nothing is to be removed, and no router is to be blamed.
    type: str
    choices: [unasked, planned, sealed, kept, settled, ended]
    required: true
extends_documentation_fragment: [wgmesh.router.inventory]
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
- name: Make and seal the pre-shared keys
  ansible.builtin.include_tasks: seal.yml
  run_once: "{{ all_sealed }}"
  when: not all_sealed
  vars:
    all_sealed: "{{ groups.routers | wgmesh.router.every(hostvars, ansible_play_hosts_all, ansible_play_hosts, 'sealed') }}"
"""

RETURN = r"""
_value:
  description: Whether no router has anything left to do.
  type: bool
"""

from ansible import context

from ansible_collections.wgmesh.router.plugins.filter.blamed import blamed
from ansible_collections.wgmesh.router.plugins.filter.objections import read
from ansible_collections.wgmesh.router.plugins.filter.told import guards, keys, known, told
from ansible_collections.wgmesh.router.plugins.plugin_utils.registered import once, registered

# Options that ask for what the mesh play does first, and the values with which they ask for nothing.
ASKS_NOTHING = {"mesh_plan_faults": ("none",), **dict.fromkeys(("mesh_rotate_preshared_keys", "mesh_take_over"), (False, "false", "no"))}


def every(names, hostvars, targeted, alive, state):
    """Report it. This runs in Ansible's own process, too, where an answer that nobody expects would end the run of all routers."""
    phase = STATES[state]
    try:
        return phase(names, once(hostvars), targeted, alive)
    except (AttributeError, LookupError, TypeError, ValueError):
        return False  # each router finds out for itself


def unasked(_names, hostvars, _targeted, alive):
    if any(not str(playbook).startswith("wgmesh.router.") for playbook in context.CLIARGS.get("args") or ()):
        return False  # a play of somebody's own may say what hostvars have not
    asked = ((hostvars[router], name) for router in alive for name in ASKS_NOTHING if name in hostvars[router])
    return all(read(variables, name, None)[0] in ASKS_NOTHING[name] for variables, name in asked)


def planned(_names, hostvars, _targeted, alive):
    return not any("causes" in registered(hostvars[router], "__mesh_plan") for router in alive)


def sealed(names, hostvars, _targeted, alive):
    public_keys, held = told(names, hostvars)["public_keys"], keys(hostvars)
    # Who is absent was asked nothing.
    asked = [router for router in alive if (hostvars[router].get("__mesh_begun") or {}).get("answers")]
    # __mesh_ends: somebody wants to rotate them.
    return all(known(router, hostvars, public_keys, held)[0]["initiator"] and not hostvars[router].get("__mesh_ends") for router in asked)


def kept(_names, hostvars, _targeted, alive):
    return all("__mesh_kept" in ((hostvars[router].get("__mesh_links") or {}).get("answers") or {}) for router in alive if armed(hostvars[router]))


def settled(names, hostvars, targeted, alive):
    said = told(names, hostvars)
    if said["changed"] or not set(alive) <= set(said["proved"]):
        return False
    waits = any(armed(hostvars[router]) or hostvars[router].get("__mesh_taken") for router in alive)
    return not waits and ended(names, hostvars, targeted, alive)


def ended(names, hostvars, targeted, alive):
    said = told(names, hostvars)
    if said["failed"] or not set(said["stale"]) <= set(names):
        return False
    stale = any(registered(hostvars[router], "__mesh_tunnels").get("stale") for router in alive)
    removed = any(registered(hostvars[router], "__mesh_plan")["plan"]["gate"]["removed"] for router in alive)
    return not stale and not removed and not blamed(hostvars, targeted, alive)


def armed(variables):
    """Whether a change of a router waits for its confirmation."""
    return any(guard["armed"] for guard in guards(variables))


STATES = {"unasked": unasked, "planned": planned, "sealed": sealed, "kept": kept, "settled": settled, "ended": ended}


class FilterModule:
    def filters(self):
        return {"every": every}
