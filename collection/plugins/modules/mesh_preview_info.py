#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
DOCUMENTATION = r"""
module: mesh_preview_info
short_description: Say what a change does to a mesh, and what is left of it when something fails
version_added: 1.0.0
description:
  - Plans every router of the mesh, tries what may fail on a model of the network, and compares with the mesh as it is when
    I(against) gives that. No router is asked anything; the playbook C(wgmesh.router.preview) runs it on the controller.
  - The model is BGP with the filters of M(wgmesh.router.bird_config), and the allowed IPs of the tunnels. It knows the state in
    which a network comes to rest, and nothing of BFD, timers, MTUs, load, firewalls and the clouds' route tables.
options:
  faults:
    description:
      - What may fail together.
      - C(one) looks at each router, tunnel, zone and site that is away, and at each pair of sites without a way between them. C(two)
        looks at all pairs of these as well, and C(auto) does so for up to 20 routers.
    type: str
    choices: [one, two, auto]
    default: auto
  against:
    description:
      - The mesh as it is, by the options of this module, to compare with. The preview then says what each router changes, which
        sessions start anew, which traffic moves or is cut, and what is lost.
      - In a task it may also be the path of an inventory on the controller.
    type: dict
  settings:
    description:
      - What the mesh play tells each router besides the plan, by the router's name, each a dictionary of texts such as
        C(mesh_tunnel_input=accept). What I(against) has under the same names and is another text is a change.
      - With the path of an inventory in I(against) a task has those of both inventories by itself.
    type: dict
  show:
    description: Names of the routers whose changes and traffic the preview has. All when it is empty.
    type: list
    elements: str
extends_documentation_fragment: [wgmesh.router.plan, wgmesh.router.attributes]
attributes:
  check_mode:
    details:
      - Nothing is ever changed.
  diff_mode:
    support: none
    details:
      - The changes are in what it returns.
  idempotent:
    details:
      - The same options give the same preview.
seealso:
  - module: wgmesh.router.mesh_plan_info
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
- name: Preview the mesh of the inventory
  wgmesh.router.mesh_preview_info:
    routers: "{{ groups.routers | wgmesh.router.members(hostvars) }}"
    sites: "{{ mesh_sites }}"
    against: inventory-as-it-is.yml
  delegate_to: localhost
  run_once: true
  register: mesh
"""

RETURN = r"""
preview:
  description: What becomes of the mesh, and what is left of it when something fails.
  returned: success
  type: dict
  contains:
    lines:
      description: All of it for people.
      type: list
      elements: str
    routers:
      description:
        - What each router changes, empty without I(against). C(router), C(former) (its name before, when it has another one),
          C(state) (C(new), C(removed), C(changed) or C(same)), C(tunnels), C(bird) (the lines of bird.conf that go and come),
          C(resets) (the peers whose session starts anew), C(plan) (what goes and comes of kernel parameters, gate, failover and
          the rest of the plan) and C(settings) (what it is told besides).
      type: list
      elements: dict
    traffic:
      description: What takes another way, empty without I(against). C(router), C(network), C(was), C(is),
        which is empty for a cut, and C(removed), when the inventory has the network no more.
      type: list
      elements: dict
    faults:
      description:
        - C(routers), C(tunnels), C(prefixes), and how many faults were tried, C(singles) and C(doubles). C(healthy), each of
          C(single), and each of C(double) that cuts what neither fault cuts alone, have C(faults), C(cut), C(gone), C(moved) and
          C(uneven).
      type: dict
    cut:
      description: What is cut when everything works, what one fault cuts, and two beyond that. One line each.
      type: list
      elements: str
    lost:
      description: What the mesh to compare with keeps, always or when something fails, and this one does not. One line each.
      type: list
      elements: str
    removed:
      description: The networks and sites that the inventory has no more, and the mesh to compare with has. One line each.
      type: list
      elements: str
"""
