# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

from ansible_collections.wgmesh.router.plugins.plugin_utils import wgmesh

MODEL = "wgmesh.router.mesh_preview_info"

# What has the model try something. The module refuses any other word but its default.
TRIED = ("one", "two", "auto")

# Options that MODEL has not: they are about the router.
OWN = ("router", "gate_file", "known_only", "tunnel_directory")

# How many lines become warnings.
MOST_WARNINGS = 20


class ActionModule(wgmesh.ActionModule):
    """Plans on the host, and has the controller try what may fail, when that is asked for."""

    def _run_module(self, task_vars):
        result = super()._run_module(task_vars)
        result.pop("faults", None)  # not a host's to say
        if result.get("failed") or not self._tries():
            return result
        tried = self._try(task_vars)
        if tried.get("failed"):
            return tried
        lines = tried["preview"]["cut"]
        shown = lines[:MOST_WARNINGS]
        if len(lines) > MOST_WARNINGS:
            shown = [*shown, "faults: and %d more: the playbook preview writes all to mesh_preview_file" % (len(lines) - MOST_WARNINGS)]
        return {**result, "faults": lines, "warnings": [*result.get("warnings", []), *shown]}

    def _tries(self):
        return self._task.args.get("faults") in TRIED

    def _arguments(self):
        return {name: value for name, value in super()._arguments().items() if name != "faults" or not self._tries()}

    def _try(self, task_vars):
        """What the model says, which runs on the controller whoever the task is for."""
        task, loader = self._task.copy(), self._shared_loader_obj
        task.action, task.delegate_to = MODEL, "localhost"
        task.args = {name: value for name, value in task.args.items() if name not in OWN}
        connection = loader.connection_loader.get("ansible.builtin.local", self._play_context, os.devnull)
        action = loader.action_loader.get(
            MODEL, task=task, connection=connection, play_context=self._play_context, loader=self._loader, templar=self._templar, shared_loader_obj=loader,
        )
        return action.run(task_vars=task_vars["hostvars"]["localhost"])
