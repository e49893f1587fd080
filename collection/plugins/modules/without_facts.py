#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is an action plugin. This file is its documentation.

DOCUMENTATION = r"""
module: without_facts
short_description: Run another module on a host, so that its answer cannot set variables
version_added: 1.0.0
description:
  - Ansible takes facts from the answer of every module, and a fact overrides the variables of the inventory. So a host
    that was taken over could change its own site, or choose which file of the controller is copied to it.
  - This runs the module, and takes from its answer only what is listed below, without terminal control characters.
  - The role C(router) copies its files with it. Use it in a hook of the playbooks C(upgrade) and C(replace), too.
options:
  module:
    description: The module, one of ansible-core's own, such as C(copy).
    type: str
    required: true
  options:
    description: Its options.
    type: dict
    required: true
attributes:
  check_mode:
    support: full
    description: Can run in check mode and report what would change, as far as the other module can.
  diff_mode:
    support: full
    description: Shows what the other module shows.
  platform:
    support: full
    platforms: posix
    description: Hosts that the other module is for.
author:
  - wgmesh.router contributors (@wgmesh)
seealso:
  - module: ansible.builtin.copy
"""

EXAMPLES = r"""
- name: Upgrade the packages, in a hook
  wgmesh.router.without_facts:
    module: apt
    options:
      upgrade: safe
      update_cache: true
"""

RETURN = r"""
uid:
  description: What the module C(user) returns.
  returned: for that module
  type: int
  sample: 998
"""
