#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The module itself is a binary, which the collection's action plugin brings to
# the host. This file is its documentation.

DOCUMENTATION = r"""
module: mesh_preflight_info
short_description: Check that a plan can work on a host
version_added: 1.0.0
description:
  - Compares a host with its plan before anything is written on it. Each conflict is reported
    in one line, with its owner and what to do, and the task fails. A harmless conflict is a warning.
  - A host that is in another mesh is refused first, whatever the options.
  - Only reads, in well under a second. Reports nothing about a router that is as planned.
options:
  plan:
    description: The plan for this router, as M(wgmesh.router.mesh_plan_info) returns it.
    type: dict
    required: true
  accept:
    description:
      - The checks whose conflicts you accept. Their findings become warnings, unless a module refuses them as well - an
        unsuitable BIRD, and an interface, a file or an address of a tunnel that belongs to somebody else.
      - C(programs) asks whether BIRD, WireGuard and their tools are installed, and warns when the image play has not come to its end.
      - C(files) asks whether the run can write to its folders.
      - C(bird) asks whether the installed BIRD is suitable and may start, and whether it works for something else,
        whose configuration would be replaced.
      - C(interfaces) asks whether somebody else has the name of a tunnel or of its file, which is refused in any case.
      - C(machine) asks whether the id of the machine, to which the keys belong, is new at each boot.
      - C(ports) asks whether somebody else holds the UDP ports of the tunnels, or the ports of BGP and BFD.
      - C(addresses) asks whether a tunnel's addresses are in a subnet or a route of this host, or hide its name server
        or its cloud's services.
      - C(networks) asks whether a subnet or a route of this host is in a network of another site.
      - C(ipv6) asks whether IPv6 is off although the plan needs it.
      - C(ping) asks whether the host answers ping.
    type: list
    elements: str
    choices: [addresses, bird, files, interfaces, ipv6, machine, networks, ping, ports, programs]
    default: []
  private_key_file:
    description: Path of this router's private key. It identifies the interfaces of this router.
    type: path
    default: /etc/wireguard/wgmesh.key
  directory:
    description: Folder of the wg-quick files.
    type: path
    default: /etc/wireguard
  control_socket:
    description: Path of the control socket of this router's BIRD. It identifies the process.
    type: path
    default: /run/bird/bird.ctl
  bind_to_machine:
    description: The same as in M(wgmesh.router.wg_keypair) and M(wgmesh.router.wg_tunnel).
    type: bool
    default: true
extends_documentation_fragment: [wgmesh.router.attributes, wgmesh.router.mesh]
attributes:
  diff_mode:
    support: none
    details:
      - There is never a change.
author:
  - wgmesh.router contributors (@wgmesh)
seealso:
  - module: wgmesh.router.mesh_plan_info
  - module: wgmesh.router.mesh_status_info
"""

EXAMPLES = r"""
- name: Plan the mesh
  wgmesh.router.mesh_plan_info:
    router: "{{ inventory_hostname }}"
    routers: "{{ groups.routers | wgmesh.router.members(hostvars) }}"
    sites: "{{ mesh_sites }}"
  register: mesh

- name: Look before the first change
  wgmesh.router.mesh_preflight_info:
    plan: "{{ mesh.plan }}"

- name: The same, where Docker's network may hide a part of another site
  wgmesh.router.mesh_preflight_info:
    plan: "{{ mesh.plan }}"
    accept: [networks]
"""

RETURN = r"""
causes:
  description: The conflicts, one element for each cause. If there is one, the task fails.
  returned: failure
  type: list
  elements: dict
  contains:
    cause:
      description: What was found, with its owner.
      type: str
      sample: UDP 51820 is held by flannel-wg, and wg20 needs it
    do:
      description: What to do about it.
      type: str
      sample: stop it, or set another mesh_port_base
"""
