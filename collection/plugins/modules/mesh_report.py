#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This runs on the controller, as an action plugin. This file is its documentation.

DOCUMENTATION = r"""
module: mesh_report
short_description: Report the faults of the whole mesh at the end of a play
version_added: 1.0.0
description:
  - Prints one table of the faults of the mesh, each cause once, and of warnings. It combines the results that the role
    C(mesh) registered for all routers, also for those that failed.
  - Runs on the controller, once for all routers. It changes nothing but I(file). It does not make the run red; the
    failed tasks do.
  - This is a part of the role C(mesh) and of the playbooks, and reads their variables.
options:
  goal:
    description: Which of the results C(healthy) and C(required_healthy) of M(wgmesh.router.mesh_status_info) has to be
      true. C(preview) and C(measured) are for a run that does not ask whether routers are well, and needs neither.
    type: str
    choices: [healthy, required_healthy, preview, measured]
    default: healthy
  file:
    description: A file on the controller for the same as JSON. Its folder has to exist. Empty for none. Its C(healthy)
      is false if there is a cause. It is true if there is none, the I(goal) is C(healthy) and a router was asked.
      Otherwise it is null.
    type: str
    default: ""
  lines:
    description: Lines to print before the table.
    type: list
    elements: str
    default: []
  tunnels:
    description: Whether to print a table of the tunnels of each router, too.
    type: bool
    default: false
  reads:
    description: Whether the run only reads. Its findings then count in check mode, too, and I(file) is written.
    type: bool
    default: false
  members:
    description: The routers of the inventory. A router that is not among them, and lost its tunnels in this run, is
      named in a warning. Empty for no such warning.
    type: list
    elements: str
    default: []
  refused:
    description: The faults of the inventory, as the filter C(objections) returns them. If there is one, the task fails.
    type: list
    elements: str
    default: []
extends_documentation_fragment: [wgmesh.router.attributes]
attributes:
  diff_mode:
    support: none
    details:
      - There is never a change on a router.
  platform:
    platforms: all
author:
  - wgmesh.router contributors (@wgmesh)
seealso:
  - module: wgmesh.router.mesh_status_info
"""

EXAMPLES = r"""
- name: Say what is wrong with the mesh, if anything is
  wgmesh.router.mesh_report:
    file: /var/lib/mesh/report.json
    tunnels: true
  run_once: true
"""

RETURN = r"""
causes:
  description: What is wrong, one element for each cause.
  returned: success
  type: list
  elements: dict
  contains:
    routers:
      description: The routers that have the cause. C(aws-1 - gcp-1) are the ends of a tunnel, and C(aws - gcp) two
        sites that lost each other.
      type: list
      elements: str
    cause:
      description: What was found.
      type: str
    do:
      description: What to do about it.
      type: str
    kind:
      description: The kind of cause, one word.
      type: str
    follows:
      description: The routers that have a fault because of it, C(routers), and their number, C(count).
      type: dict
"""
