# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command on a router that may have no Python, and hold no more of what it says than somebody reads.

Ansible's own raw holds and shows all of it, whatever it is. The shell there lets through a byte more than is taken, so
that too much is noticed, and drops the rest: a command that has its work to do is not ended by what it says meanwhile.
"""

from __future__ import annotations

from ansible.utils.unsafe_proxy import wrap_var

from ansible_collections.wgmesh.router.plugins.plugin_utils import answers, wgmesh

MOST = 1000000

# Read as START in wgmesh. No shell that POSIX asks for has pipefail: the exit status has a way of its own. Nobody tells
# a command without a terminal that its ssh is gone, so it has the time that the task has, with all that it started.
COMMAND = """\
command=$(cat);
bounded() {{ head -c {most}; head -c {dropped} >/dev/null; }};
exec 3>&1 4>&2;
status=$({{ {{ {{ {environment} {ends} sh -c "$command" 3>&- 4>&- 5>&-; echo $? >&5; }} | bounded >&3; }} 2>&1 | bounded >&4; }} 5>&1);
exit $status
"""


class ActionModule(wgmesh.ActionModule):
    """A command, which changes what it likes."""

    _most = MOST

    def _run_module(self, task_vars):
        command = self._task.args.get("command")
        if set(self._task.args) != {"command"} or not isinstance(command, str):
            found = ", ".join(sorted(map(str, self._task.args))) or "nothing"
            raise wgmesh.Refusal("bounded_raw: found %s" % found, "give command, a text for sh, and nothing else")
        if self._task.check_mode:
            return {"skipped": True}
        self._ssh_arguments()
        ends = "timeout -k 9 %d" % self._task.timeout if self._task.timeout else ""
        script = COMMAND.format(most=MOST + 1, dropped=1000 * MOST, environment=self._environment(), ends=ends)
        answer = self._execute(script, command.encode())
        answer["stderr"] = "".join(wgmesh.without_chatter(answer["stderr"].splitlines(keepends=True)))
        said = {name: answers.printable(answer[name], lines=True) for name in ("stdout", "stderr")}
        failed = {"failed": True, "msg": "non-zero return code"} if answer["rc"] else {}
        return wrap_var({"changed": True, "rc": answer["rc"], **said, **{name + "_lines": said[name].splitlines() for name in said}, **failed})


__all__ = ["ActionModule"]
