# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the routers told in this run, each under the name by which it was asked."""

DOCUMENTATION = r"""
name: told
short_description: What the routers told in this run, each under the name by which it was asked
version_added: 1.0.0
description:
  - Collects what the role C(mesh) registered for each router. A router that is not in the run, failed or could not be
    reached is missing.
  - A router speaks for itself only. Its keys are filed under the name of the host that was asked, and of its envelopes
    those count that it sends itself.
positional: _input, hostvars
options:
  _input:
    description: Names of the routers, usually C(groups.routers).
    type: list
    elements: str
    required: true
  hostvars:
    description: Ansible's C(hostvars).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Open the pre-shared keys that were sealed for this router
  wgmesh.router.wg_psk:
    state: opened
    name: "{{ inventory_hostname }}"
    tunnels: "{{ __mesh_plan.plan.preshared_keys }}"
    peers: "{{ told.peers }}"
    envelopes: "{{ told.envelopes | selectattr('to', 'equalto', inventory_hostname) }}"
  vars:
    told: "{{ groups.routers | wgmesh.router.told(hostvars) }}"
"""

RETURN = r"""
_value:
  description:
    - C(peers), for the option of that name of M(wgmesh.router.wg_psk).
    - C(envelopes), all of them.
    - C(reach), for the option of that name of M(wgmesh.router.mesh_status_info).
    - C(heard), for the option of that name of M(wgmesh.router.mesh_gate).
    - C(stale), to whom some of them had a tunnel that is wanted no more.
  type: dict
"""


from ansible_collections.wgmesh.router.plugins.plugin_utils.registered import registered


def told(names, hostvars):
    """Return {peers, envelopes, reach, heard, stale} of the routers that answered."""
    found = {"peers": [], "envelopes": [], "reach": {}, "heard": {}, "stale": []}
    for name in names:
        variables = hostvars[name]
        public = part(variables, "__mesh_keypair", "public") or {}
        if public.get("public_key"):
            found["peers"].append({"name": name, "public_key": public["public_key"], "sealing_key": public["sealing_key"]})
        found["envelopes"] += [e for e in part(variables, "__mesh_sealed", "envelopes") or () if e["from"] == name]
        addresses = part(variables, "__mesh_bird", "source_addresses")
        if addresses is None:
            addresses = part(variables, "__mesh_addresses", "source_addresses")
        if addresses is not None:
            found["reach"][name] = addresses
        removed = part(variables, "__mesh_keypair", "removed")
        if removed is not None:
            found["heard"][name] = removed
        found["stale"] += part(variables, "__mesh_tunnels", "stale_peers") or ()
    return found


def part(variables, variable, key):
    """What a registered variable has under key, None when there is none."""
    return registered(variables, variable).get(key)


class FilterModule:
    def filters(self):
        return {"told": told}
