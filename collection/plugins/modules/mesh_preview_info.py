#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
DOCUMENTATION = r"""
module: mesh_preview_info
short_description: Show what a change does to a mesh, and what still works when something fails
version_added: 1.0.0
description:
  - Plans every router of the mesh, tries faults on a model of the network, and compares with the present mesh if
    I(against) gives that. It asks no router. The playbook C(wgmesh.router.preview) runs it on the controller.
  - The model is BGP with the filters of M(wgmesh.router.bird_config), and the allowed IPs of the tunnels. It computes
    the state in which a network converges. It does not include BFD, timers, MTUs, load, firewalls and the clouds' route
    tables.
options:
  faults:
    description:
      - How many things fail together.
      - C(one) tries each router, tunnel, zone and site as failed, and each pair of sites without a path between them.
        C(two) tries all pairs of these faults as well. C(auto) does so for up to 20 routers.
    type: str
    choices: [one, two, auto]
    default: auto
  against:
    description:
      - The present mesh, as options of this module, to compare with. The preview then reports what each router changes,
        which sessions restart, which traffic moves or is cut, and what is lost.
      - In a task it may also be the path of an inventory on the controller.
    type: dict
  settings:
    description:
      - What the mesh play sets on each router besides the plan, by the router's name. Each is a dictionary of texts
        such as C(mesh_tunnel_input=accept). If I(against) has another text under the same name, that is a change.
      - If I(against) is the path of an inventory, a task fills in the settings of both inventories by itself.
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
  description: What the change does to the mesh, and what still works when something fails.
  returned: success
  type: dict
  contains:
    lines:
      description: The whole result as text.
      type: list
      elements: str
    routers:
      description:
        - What each router changes, empty without I(against). C(router), C(former) (its name before, when it has another
          one), C(state) (C(new), C(removed), C(changed) or C(same)), C(tunnels), C(bird) (the lines of bird.conf that
          are removed and added), C(resets) (the peers whose session restarts), C(plan) (the removed and added kernel
          parameters, gate, failover and other parts of the plan) and C(settings) (what else is set on it).
      type: list
      elements: dict
    traffic:
      description: Traffic that takes another path, empty without I(against). C(router), C(network), C(was), C(is),
        which is empty for a cut, and C(removed), if the inventory no longer has the network.
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
      description: What works in the mesh to compare with, always or when something fails, and not in this one. One line
        each.
      type: list
      elements: str
    removed:
      description: The networks and sites that the mesh to compare with has, and the inventory no longer has. One line
        each.
      type: list
      elements: str
"""
