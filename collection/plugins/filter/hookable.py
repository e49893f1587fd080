# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a hook cannot run."""

from __future__ import annotations

import re

import yaml

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.mod_args import ModuleArgsParser
from ansible.playbook.block import Block
from ansible.playbook.task import Task

from ansible_collections.wgmesh.router.plugins.plugin_utils.site import cut

DOCUMENTATION = r"""
name: hookable
short_description: Why a hook cannot run
version_added: 1.0.0
description:
  - Ansible reads a file of tasks only when it runs it. A hook runs when its router is drained, but mistakes in it
    should be reported before that. So each of its tasks is read here as Ansible reads it, also tasks in blocks.
  - Files that it includes and the options of its modules are not checked.
positional: _input, text
options:
  _input:
    description: The path of the file.
    type: str
    required: true
  text:
    description: Its content.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse a hook that is not a list of tasks
  ansible.builtin.fail:
    msg: "{{ refused }}"
  when: refused | length > 0
  vars:
    refused: "{{ mesh_upgrade_hook | wgmesh.router.hookable(lookup('ansible.builtin.file', mesh_upgrade_hook)) }}"
"""

RETURN = r"""
_value:
  description: One line. Empty if it can run.
  type: str
  sample: "mesh_upgrade_hook: /srv/reboot.yml: task 2: this controller has no module rebot: correct it, or install its collection"
"""

BLOCK = ("block", "rescue", "always")


def hookable(path, text):
    """Return the line. What Ansible says of a task may hold its options, and with them a secret."""
    found = of_text("".join(text), path)  # libyaml takes no text of Ansible's own types
    return "mesh_upgrade_hook: %s%s" % (path, found) if found else ""


def of_text(text, path):
    try:
        yaml.compose(text, Loader=yaml.SafeLoader)
        tasks = DataLoader().load(text, file_name=path, show_content=False)
    except yaml.MarkedYAMLError as error:
        return " is not YAML (line %d: %s): correct it" % (error.problem_mark.line + 1, error.problem)
    except (yaml.YAMLError, AnsibleError):
        return " is not YAML: correct it"
    if not isinstance(tasks, list) or not tasks:
        return " has no tasks: expected a list of them"
    for i, task in enumerate(tasks, 1):
        found = of_task(task)
        if found:
            return ": task %d%s" % (i, found)
    return ""


def of_task(task):
    if isinstance(task, dict):
        task = {str(key): value for key, value in task.items()}  # to YAML on and yes are no words
    if not isinstance(task, dict) or any(key.split(".")[-1] in ("hosts", "import_playbook") for key in task):
        return " is not one: expected a file of tasks, not a playbook"
    if "collections" in task:  # its modules are looked for elsewhere
        return ""
    if any(name in task for name in BLOCK):
        inside = [task.get(name) or [] for name in BLOCK]
        if "block" not in task or not all(isinstance(tasks, list) for tasks in inside):
            return " is not a block with a list of tasks: correct it"
        return strange(task, Block.fattributes) or next(filter(None, map(of_task, sum(inside, []))), "")
    try:
        action, options = ModuleArgsParser(task, collection_list=["wgmesh.router", "ansible.legacy"]).parse()[:2]
    except AnsibleError as error:
        module = re.search(r"resolve module/action '([\w.]+)'", str(error))
        if module:
            return ": this controller has no module %s: correct it, or install its collection" % module[1]
        return " cannot be read: expected one module, and what goes with it"
    ends = str(options.get("_raw_params")) if action.rpartition(".")[2] == "meta" else ""
    if ends.startswith("end_"):
        return ": meta: %s would end the router's turn while it is drained: give the tasks a when" % cut(ends)
    return strange(task, (*Task.fattributes, "local_action", action))


def strange(task, known):
    others = [key for key in task if key not in known and not key.startswith("with_")]
    return ": %s is not a keyword: correct it" % cut(others[0]) if others else ""


class FilterModule:
    def filters(self):
        return {"hookable": hookable}
