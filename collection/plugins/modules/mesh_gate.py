#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The module itself is a binary, which the collection's action plugin brings to
# the host. This file is its documentation.

DOCUMENTATION = r"""
module: mesh_gate
short_description: Set which routers may ask this one for the tunnel between the two
version_added: 1.0.0
description:
  - Routers that join the mesh by themselves at boot (the play C(wgmesh.router.join)) reach the others over SSH, as the
    account C(wgmesh). This module writes the three files that decide what they can do there. All of it is public data.
  - C(authorized_keys) lets in every router of the plan that has a C(host_key), bound to its name and to one command,
    C(wgmesh gate NAME), which runs M(wgmesh.router.mesh_peer) for that router and nothing else. No shell, no file, no
    forwarding.
  - C(known_hosts) has the host keys of the other routers, under their names in the inventory.
  - C(gate.json) describes this router's own tunnels. A caller cannot change it.
  - C(gate.json) also records which routers were removed from the mesh, and by whom. A router that is absent in the plan
    is removed, and so is a router that is no longer in the plan. It is refused from then on. I(keep_removed) describes
    who can let it in again.
  - The account, its line in C(sudoers) and in sshd's configuration come with the image (the role C(router) with
    C(router_join=true)).
options:
  state:
    description:
      - C(present) writes the three files.
      - C(updated) writes them only if one of them exists already.
    type: str
    choices: [present, updated]
    default: present
  keep_removed:
    description:
      - With C(false), as in the mesh play, I(plan) decides. A router that is present in it is let in again. A router
        that is absent, or no longer in it, is removed until another run with C(false) has it as present.
      - With C(true), as in C(wgmesh join), routers that were removed stay removed, because I(plan) comes from the
        router's own inventory, which may be old.
    type: bool
    default: false
  heard:
    description:
      - The routers that others report as removed, C(removed) of M(wgmesh.router.mesh_peer), by the name of the router
        that was asked. For I(keep_removed=true).
      - A router is removed if at least two others, and more than half of those that answered, report it as removed. It
        is let in again if the same number no longer does. A single router is not believed, and is named in a warning.
    type: dict
    default: {}
  plan:
    description: The plan of this router, as M(wgmesh.router.mesh_plan_info) returned it.
    type: dict
    required: true
  interface_prefix:
    description: The prefix of the names of the tunnels' interfaces.
    type: str
    default: wg
  directory:
    description: The folder of the three files.
    type: path
    default: /etc/wgmesh
extends_documentation_fragment: [wgmesh.router.attributes, wgmesh.router.mesh]
attributes:
  diff_mode:
    details:
      - Shows public data only.
author:
  - wgmesh.router contributors (@wgmesh)
seealso:
  - module: wgmesh.router.mesh_plan_info
  - module: wgmesh.router.mesh_peer
"""

EXAMPLES = r"""
- name: Plan the mesh of the inventory
  wgmesh.router.mesh_plan_info:
    router: "{{ inventory_hostname }}"
    routers: "{{ groups.routers | wgmesh.router.members(hostvars) }}"
    sites: "{{ mesh_sites }}"
  register: mesh

- name: Let the other routers ask for their tunnels
  wgmesh.router.mesh_gate:
    plan: "{{ mesh.plan }}"
"""

RETURN = r"""
removed:
  description: The routers that are removed, by their names in the inventory.
  returned: success
  type: list
  elements: str
  sample: [azure-1]
done:
  description: What was done, in words, also when the module failed half-way.
  returned: changed
  type: list
  elements: str
  sample: [wrote /etc/wgmesh/authorized_keys]
"""
