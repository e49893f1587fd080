#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The module itself is a binary, which the collection's action plugin brings to
# the host. This file is its documentation.

DOCUMENTATION = r"""
module: mesh_steps
short_description: Run several modules of this collection in one round trip
version_added: 1.0.0
description:
  - Runs modules one after another on the router, like separate tasks, and stops after the first that fails. An Ansible
    task costs a round trip and work on the controller, which is more than most of these modules need.
  - Each step has its own check mode and diff, and each answer is checked like the answer of the module alone. If
    a step may change something, the router's lock is held from the first step to the last step that may.
  - 'A step may take an option from the answer of an earlier step, or from I(given). C({"$from": "mesh.plan.tunnels"})
    is C(plan.tunnels) of the step that registers C(mesh). C($default) beside it is used if there is no such key.'
  - A step that confirms a change has to be the first, since the task then runs over a new connection.
  - The timeout of the task applies to all steps together. C(module_defaults) of the modules do not apply to their
    steps.
options:
  given:
    description:
      - Values that several steps need, by the names to which they refer. Ansible renders a template again wherever it
        is used, which takes most of the time of a task.
    type: dict
  steps:
    description: The steps, in their order.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The purpose of the step, as the name of a task. It appears in the step's diff and failure.
        type: str
        required: true
      module:
        description: A module of this collection, without C(wgmesh.router.). Not a cloud module, and not this one.
        type: str
        required: true
      register:
        description:
          - The key of I(answers) for this step, by which later steps refer to it. A value of I(given) may have the same
            name, for the case that the step is skipped.
        type: str
        required: true
      args:
        description: The options of the module.
        type: dict
      when:
        description: Skip the step if this is false or empty. It may be a reference.
        type: raw
      unless:
        description: Skip the step if this is true or not empty. It may be a reference.
        type: raw
      check:
        description: Run this step in check mode, whether or not the others are. It looks, under the same lock as the others.
        type: bool
        default: false
extends_documentation_fragment: [wgmesh.router.attributes]
attributes:
  diff_mode:
    details:
      - Shows the diff of each step under its name.
author:
  - wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
- name: Plan the mesh, and let the kernel forward
  wgmesh.router.mesh_steps:
    steps:
      - name: Plan the mesh
        module: mesh_plan_info
        register: mesh
        args:
          router: "{{ inventory_hostname }}"
          routers: "{{ groups.routers | wgmesh.router.members(hostvars) }}"
          sites: "{{ mesh_sites }}"
      - name: Let the kernel forward between the tunnels
        module: sysctl_router
        register: sysctl
        args:
          ipv6: {$from: mesh.plan.sysctl.ipv6}
          interfaces: {$from: mesh.plan.sysctl.interfaces}
  register: result

- name: Show which file it wrote
  ansible.builtin.debug:
    msg: "{{ result.answers.sysctl.path }}"
"""

RETURN = r"""
answers:
  description: For each step that ran, under the name that it registers, what its module returned.
  returned: success
  type: dict
  sample: {sysctl: {changed: false, path: /etc/sysctl.d/99-zz-wgmesh.conf}}
"""
