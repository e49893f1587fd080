# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one of Ansible's own modules on a router, which sets no variable by what it answers.

Ansible takes facts from every module, and a fact stands above the variables of the inventory. A router that was
taken over would say by one which site it is of, or which file of the controller it is to be given.
"""

from __future__ import annotations

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.unsafe_proxy import wrap_var

from ansible_collections.wgmesh.router.plugins.plugin_utils import answers, diffs, wgmesh

FIELDS = {"changed": bool, "failed": bool, "skipped": bool, "msg": str, "diff": (dict, list), "uid": int}


class ActionModule(ActionBase):
    """The other module's action, and what counts of its result."""

    TRANSFERS_FILES = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        if set(self._task.args) != {"module", "options"} or not isinstance(self._task.args["options"], dict):
            found = ", ".join(sorted(map(str, self._task.args))) or "nothing"
            return answers.failed("without_facts: found %s" % found, "give module, a name such as copy, and options, an object")
        task = self._task.copy()
        name, task.args = self._task.args["module"], self._task.args["options"]
        task.action = "ansible.legacy." + name
        get = self._shared_loader_obj.action_loader.get
        given = {
            "task": task, "connection": self._connection, "play_context": self._play_context, "loader": self._loader,
            "templar": self._templar, "shared_loader_obj": self._shared_loader_obj,
        }  # fmt: skip
        action = get(task.action, **given) or get("ansible.legacy.normal", **given)
        try:
            with wgmesh.bounded(self._connection):
                try:
                    return wrap_var(accept(action.run(task_vars=task_vars)))
                finally:
                    action.cleanup()
        except wgmesh.Refusal as refusal:
            self._connection._shell.tmpdir = None  # the host says too much even of its end
            return refusal.result()
        except AnsibleError as err:
            raise wgmesh.disarmed(err) from None


def accept(answer):
    """What counts of an answer, without what a terminal could take for an order."""
    return diffs.shown({field: harmless(answer[field]) for field, kind in FIELDS.items() if isinstance(answer.get(field), kind)})


def harmless(value, depth=0):
    if isinstance(value, str):
        return answers.printable(str(value)[: answers.LONGEST_TEXT], lines=True)
    if depth > answers.MOST_DEPTH:
        return None
    if isinstance(value, dict):
        return {harmless(str(name)): harmless(one, depth + 1) for name, one in value.items()}
    return [harmless(one, depth + 1) for one in value] if isinstance(value, (list, tuple)) else value


__all__ = ["ActionModule"]
