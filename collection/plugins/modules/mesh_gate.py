#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The module itself is a binary, which the collection's action plugin brings to
# the host. This file is its documentation.

DOCUMENTATION = r"""
module: mesh_gate
short_description: Which routers may ask this one for the tunnel between the two
version_added: 0.2.0
description:
  - Routers that join the mesh by themselves at boot (the play C(wgmesh.router.join)) reach the others over SSH, as the
    account C(wgmesh). This module writes the three files that decide what they can do there. All of it is public data.
  - C(authorized_keys) lets in every router of the plan that has a C(host_key), bound to its name and to one command,
    C(wgmesh gate NAME), which runs M(wgmesh.router.mesh_peer) for that router and nothing else. No shell, no file, no
    forwarding.
  - C(known_hosts) has the host keys by which this router knows the others, under their names in the inventory.
  - C(gate.json) is what this router knows about its own tunnels. A caller can not change it.
  - The account, its line in C(sudoers) and in sshd's configuration come with the image (the role C(router) with
    C(router_join=true)).
options:
  plan:
    description: The plan of this router, as M(wgmesh.router.mesh_plan) returned it.
    type: dict
    required: true
  interface_prefix:
    description: What the names of the tunnels' interfaces begin with.
    type: str
    default: wg
  directory:
    description: The folder of the three files.
    type: path
    default: /etc/wgmesh
extends_documentation_fragment: [wgmesh.router.attributes]
attributes:
  diff_mode:
    details:
      - Shows public data only.
author:
  - wgmesh.router contributors
seealso:
  - module: wgmesh.router.mesh_plan
  - module: wgmesh.router.mesh_peer
"""

EXAMPLES = r"""
- name: Plan the mesh of the inventory
  wgmesh.router.mesh_plan:
    router: "{{ inventory_hostname }}"
    routers: "{{ groups.routers | wgmesh.router.members(hostvars) }}"
    sites: "{{ mesh_sites }}"
  register: mesh

- name: Let the other routers ask for their tunnels
  wgmesh.router.mesh_gate:
    plan: "{{ mesh.plan }}"
"""

RETURN = r"""
done:
  description: What was done, in words, also when the module failed half-way.
  returned: changed
  type: list
  elements: str
  sample: [wrote /etc/wgmesh/authorized_keys]
"""

if __name__ == "__main__":
    # Ansible runs this only when it did not find the action plugin.
    print(
        '{"failed": true, "msg": "mesh_gate is a Go binary, run through the action plugin of the collection: call it'
        ' as wgmesh.router.mesh_gate, with the collection built by make collection on the collections path"}'
    )
    raise SystemExit(1)
