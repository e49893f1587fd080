#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is an action plugin. This file is its documentation.

DOCUMENTATION = r"""
module: bounded_raw
short_description: Run a command on a host that may have no Python, and bound what it says
version_added: 1.0.0
description:
  - What M(ansible.builtin.raw) does. That holds and shows whatever the host says, without a limit. A host that was taken
    over, or whose disk or clock is broken, could fill the memory of the controller.
  - This takes at most 1 MB of standard output and of standard error, in at most 20,000 lines, and fails with one line if
    there is more. What a terminal or a CI agent could take for an order is removed.
  - The command is run by C(sh), whatever the login shell of the user is, and has no terminal and no input. How people become
    root makes no difference.
  - When the time of the keyword C(timeout) is over, the command is ended on the host too, with everything that it started
    and that is in its process group.
  - The roles of this collection use it. Use it in a hook of the playbooks C(upgrade) and C(replace), too.
options:
  command:
    description: The command, in the language of C(sh).
    type: str
    required: true
attributes:
  check_mode:
    support: none
    description: Is skipped in check mode, as M(ansible.builtin.raw) is.
  diff_mode:
    support: none
    description: Shows no differences.
  platform:
    support: full
    platforms: posix
    description: Hosts with C(sh), C(cat), C(head) and C(timeout).
notes:
  - The keyword C(environment) works, as it does not for M(ansible.builtin.raw). Arguments of the keyword C(args) do not.
author:
  - wgmesh.router contributors (@wgmesh)
seealso:
  - module: ansible.builtin.raw
  - module: wgmesh.router.without_facts
"""

EXAMPLES = r"""
- name: Ask which kernel runs, in a hook
  wgmesh.router.bounded_raw:
    command: uname -r
  register: upgrade_kernel
  changed_when: false
"""

RETURN = r"""
rc:
  description: The exit status of the command.
  returned: always
  type: int
  sample: 0
stdout:
  description: What it wrote to standard output. Where becoming root needs a terminal, standard error is in it, too.
  returned: always
  type: str
  sample: |
    6.1.0-28-amd64
stdout_lines:
  description: The same, line by line.
  returned: always
  type: list
  elements: str
  sample: [6.1.0-28-amd64]
stderr:
  description: What it wrote to standard error.
  returned: always
  type: str
  sample: ""
stderr_lines:
  description: The same, line by line.
  returned: always
  type: list
  elements: str
  sample: []
"""
