#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The module itself is a binary, which the collection's action plugin brings to
# the host. This file is its documentation.

DOCUMENTATION = r"""
module: mesh_guard
short_description: Keep or take back a router's change that waits for confirmation
version_added: 1.0.0
description:
  - With the option I(guard), M(wgmesh.router.wg_keypair), M(wgmesh.router.wg_psk), M(wgmesh.router.sysctl_router),
    M(wgmesh.router.wg_tunnel) and M(wgmesh.router.bird_config) change a router on trial. Before the first of them
    writes, a process is started on the router that takes the whole change back after that time. This module confirms
    the change or takes it back.
  - Files are restored byte for byte, with their modes and owners. The running state (tunnels, their keys, kernel
    parameters, BIRD) is restored field by field.
  - The task that confirms runs over a new connection. If a router has cut off its own management, the change cannot be
    confirmed.
  - The command in docs/guard.md, run on the router by hand, does the same as I(state=undone).
options:
  state:
    description:
      - C(confirmed) keeps the change. It is an error if the change was already taken back, or if nobody can tell that
        it was kept.
      - C(undone) takes the change back now.
      - Both do nothing if no change waits.
    type: str
    required: true
    choices: [confirmed, undone]
  change:
    description:
      - The change to confirm or take back, as the last module of the run returned it. Empty for any waiting change.
      - If somebody has written since, C(confirmed) is an error, and C(undone) takes that back, too. If another change
        waits, C(undone) does nothing.
    type: str
    default: ""
  first:
    description:
      - The change as the first module of the run returned it. If it is not I(change), it was settled while the run went on,
        and C(confirmed) is an error unless it was kept.
    type: str
    default: ""
extends_documentation_fragment: [wgmesh.router.attributes]
attributes:
  diff_mode:
    details:
      - Shows the paths of the files that the change may touch, and nothing of their content.
author:
  - wgmesh.router contributors (@wgmesh)
seealso:
  - module: wgmesh.router.bird_config
  - module: wgmesh.router.mesh_status_info
"""

EXAMPLES = r"""
- name: Reconcile the tunnels, for two minutes
  wgmesh.router.wg_tunnel:
    tunnels: "{{ mesh.plan.tunnels }}"
    guard: 120
  register: tunnels

- name: Check that all routers that could be reached before still can
  wgmesh.router.mesh_status_info:
    tunnels: "{{ mesh.plan.status.tunnels }}"
    require: "{{ tunnels.worked }}"
    wait: 60
    expect: any
  register: network

- name: Keep the change, or take it back
  wgmesh.router.mesh_guard:
    state: "{{ network.required_healthy | ternary('confirmed', 'undone') }}"
    change: "{{ tunnels.change }}"
"""

RETURN = r"""
done:
  description: What was done, in words, also when the module failed half-way.
  returned: changed
  type: list
  elements: str
  sample: [confirmed the configuration, wrote /etc/bird/bird.conf, "kept the change of 14:03:12"]
"""
