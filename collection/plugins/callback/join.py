# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a join has to say on a router's console: a line for each router that it did not reach."""

DOCUMENTATION = r"""
name: join
type: aggregate
short_description: Print one line for each router that a join did not reach
version_added: 1.0.0
description:
  - Prints nothing about what works. For each host that failed or is unreachable it prints one line with the reason
    and, where the reason is known, what to do.
  - The command C(wgmesh join) runs the playbook C(wgmesh.router.join) with it and makes its own summary from the file that
    the environment variable C(WGMESH_JOIN_REPORT) names. Without that variable the plugin prints a summary itself.
  - Use it as C(stdout_callback) in place of Ansible's own output, or beside another callback in C(callbacks_enabled).
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
# Only what a run did not reach, of any playbook of this collection:
#
#   ANSIBLE_STDOUT_CALLBACK=wgmesh.router.join ansible-playbook -i inventory.yml wgmesh.router.mesh
#
# or in ansible.cfg:
#
#   [defaults]
#   stdout_callback = wgmesh.router.join
"""

import json
import os
import re

from ansible.plugins.callback import CallbackBase

from ansible_collections.wgmesh.router.plugins.plugin_utils import answers

PEER_ACTIONS = ("wgmesh.router.mesh_peer", "mesh_peer")

PLAN_ACTIONS = ("wgmesh.router.mesh_plan_info", "mesh_plan_info")

GATE_ACTIONS = ("wgmesh.router.mesh_gate", "mesh_gate")

# What warns of something that a person has to know: a clone of another machine, a
# router that was removed from the mesh.
LOUD_ACTIONS = ("wgmesh.router.wg_keypair", "wg_keypair") + PLAN_ACTIONS + GATE_ACTIONS

FAIL_ACTIONS = ("ansible.builtin.fail", "ansible.builtin.assert", "fail", "assert")

# What ssh says, and what it means between routers of a mesh.
CAUSES = (
    (r"Permission denied", "refused the key of {self}: its inventory has another mesh_host_key for {self}, or none"),
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed|No \S+ host key is known",
        "its SSH host key is not the mesh_host_key of the inventory",
    ),
    (r"(?:ssh: )?(connect to host .*|Could not resolve hostname .*|Connection (?:timed out|closed|reset).*)", "cannot be reached: {0}"),
    (r"(timed out|Timeout\b.*)", "cannot be reached: {0}"),
)


def condense(text):
    """Make a text one line of a length that a console shows.

    Others wrote it: what a terminal would not print but obey becomes a space.
    """
    return answers.line(" ".join("".join(c if c.isprintable() else " " for c in str(text)).split()), 300)


def unreachable(text, name):
    """Say why a host is unreachable for the router called name."""
    for pattern, words in CAUSES:
        match = re.search(pattern, text)
        if match:
            return condense(words.format(*match.groups(), self=name or "this router"))
    text = re.sub(r"^(Task failed: )?(Data could not be sent to remote host \S+\. )?(Failed to connect to the host via ssh:)?", "", text)
    return condense("cannot be reached: " + (text.strip() or "ssh does not say why"))


def failure(told):
    """Say why a task failed. A program that gave no result said it on its stderr."""
    text = str(told.get("msg") or told.get("reason") or "failed, and does not say why")
    if re.search(r"^MODULE FAILURE|No start of json char found", text):
        text = "ended without a result: %s" % (told.get("module_stderr") or told.get("module_stdout") or "and said nothing")
    return condense(re.sub(r"^Task failed: (Module failed: |Action failed: )?", "", text))


class CallbackModule(CallbackBase):
    """Print what does not work."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "wgmesh.router.join"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.name = ""  # of the router that joins
        self.peered = set()
        self.lost = set()  # failed or unreachable, at any task
        self.left_out = set()  # by the play, such as a router whose state is absent
        self.removed = set()  # from the mesh, perhaps only heard of in this run
        self.planned = False
        self.changed = 0
        self.said = set()

    def v2_playbook_on_play_start(self, play):
        variables = play.get_variable_manager().get_vars(play=play)
        self.name = str(variables.get("wgmesh_self") or self.name)

    def v2_runner_on_ok(self, result):
        if self.is_loop(result):
            return  # its items came one by one
        self.changed += bool(result._result.get("changed"))
        self.planned |= result._task.action in PLAN_ACTIONS and "causes" not in result._result
        if result._task.action in GATE_ACTIONS:
            self.removed.update(result._result.get("removed") or ())
        if result._task.action in LOUD_ACTIONS:
            for warning in result._result.get("warnings") or ():
                self.tell(self.host(result), condense(warning))
        # The play first asks a peer who it is, and then has it set up its end.
        if result._task.action in PEER_ACTIONS and result._task.args.get("state") != "known":
            self.peered.add(self.host(result))

    def v2_runner_on_skipped(self, result):
        if result._task.action in PEER_ACTIONS and not self.is_loop(result):
            self.left_out.add(self.host(result))

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if ignore_errors or self.is_loop(result):
            return
        reason = failure(result._result)
        if "wgmesh.router." not in result._task.action and result._task.action not in FAIL_ACTIONS:
            reason = condense("%s: %s" % (result._task.get_name(), reason))
        self.say(self.host(result), reason)

    def v2_runner_on_unreachable(self, result):
        self.say(self.host(result), unreachable(str(result._result.get("msg", "")), self.name))

    v2_runner_item_on_ok = v2_runner_on_ok
    v2_runner_item_on_failed = v2_runner_on_failed
    v2_runner_item_on_skipped = v2_runner_on_skipped
    v2_runner_item_on_unreachable = v2_runner_on_unreachable

    def v2_playbook_on_no_hosts_matched(self):
        self.say("", "no host of the inventory is in the play")

    def v2_playbook_on_stats(self, stats):
        others = (set(stats.processed) - self.left_out | self.peered | self.lost) - self.removed - {self.name, "localhost"}
        report = {
            "peered": sorted(self.peered & others),
            "missing": sorted(others - self.peered),
            "changed": self.changed,
            "planned": self.planned,
        }
        path = os.environ.get("WGMESH_JOIN_REPORT")
        if path:
            with open(path, "w", encoding="utf-8") as file:
                json.dump(report, file)
            return
        line = "%s: peered with %d of %d routers" % (self.name, len(report["peered"]), len(others))
        if report["missing"]:
            line += "; not with " + ", ".join(report["missing"])
        self._display.display(line)

    def say(self, host, reason):
        """Print a line about a host that is lost, once."""
        if host:
            self.lost.add(host)
        self.tell(host, reason)

    def tell(self, host, reason):
        """Print a line about a host, once."""
        if (host, reason) not in self.said:
            self.said.add((host, reason))
            self._display.display("%s: %s" % (host, reason) if host else reason)

    @staticmethod
    def is_loop(result):
        return "results" in result._result and result._task.loop is not None

    @staticmethod
    def host(result):
        """Name the host that a task was done on, also when another one delegated it."""
        delegated = result._result.get("_ansible_delegated_vars") or {}
        return delegated.get("ansible_delegated_host") or result._host.get_name()
