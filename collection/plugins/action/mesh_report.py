# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say at the end of a play what is wrong with the whole mesh, once and as a table.

It is a task of the roles, which run it once for all routers, also when tasks before it failed: it changes nothing, and
the failed tasks make the run red. It prints with Ansible's own Display, so that no callback puts the table into a line of
JSON; where another program reads standard output, or failures go to standard error, so does the table. Options: file,
goal, lines, tunnels, reads, members, and refused for what is wrong with an inventory, which is the one thing that it fails for.
"""

from __future__ import annotations

from ansible import constants as C
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.wgmesh.router.plugins.plugin_utils import answers, causes, registered, report


class ActionModule(ActionBase):
    """Read what the play has registered."""

    _requires_connection = False
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        hostvars = registered.once(task_vars["hostvars"])
        targeted, alive = (task_vars[name] for name in ("ansible_play_hosts_all", "ansible_play_hosts"))
        # A run that only reads says in check mode, too, what it has seen.
        check = bool(task_vars.get("ansible_check_mode")) and not self.option("reads", False)
        goal, refused = self.option("goal", "healthy"), self.option("refused", [])
        rows = causes.inventory(refused, hostvars) if refused else causes.causes(hostvars, targeted, alive, goal, network=not check)
        warnings = vanished(hostvars, targeted, self.option("members", []), check) + told(hostvars, targeted, rows, check)
        seen = [router for router in sorted(alive) if causes.finished(hostvars[router])]
        well = goal == "healthy" and not rows and not check and seen
        healthy = summary(hostvars, seen) if well else None
        self.show(hostvars, seen, rows, warnings, healthy, len(task_vars["groups"]["all"]))
        said = False if rows else True if well else None  # of a run that asked nobody, or for its own routers alone
        content = report.document(rows, warnings, said, task_vars.get("ansible_play_name", ""))
        path = self.option("file", "")
        if isinstance(path, str) and path and not check:  # what is none is said by another task
            try:
                report.write(path, content)
            except OSError as error:
                cause = "mesh_report_file %s: %s" % (path, error.strerror)
                return dict(result, failed=True, msg=cause + ": name a file in a folder that is there on the controller")
        if refused:
            return dict(result, failed=True, msg="the inventory does not describe a mesh: the table above says why, and what to do")
        return {**result, "changed": False, "causes": content["causes"]}

    def option(self, name, default):
        return self._task.args.get(name) or default

    def show(self, hostvars, seen, rows, warnings, healthy, routers):
        """Print the tables, each line by itself. A router plans its own tunnels, and has none to others than these."""
        lines = list(self.option("lines", []))
        if self.option("tunnels", False):
            for router in seen:
                found = registered.status(hostvars[router])
                own = [line for line in found.get("lines") or [] if line not in (found.get("notes") or [])]
                lines += ["", router, *answers.few(own, answers.rows(routers), "lines")]
        for line in lines:
            self.display(causes.plain_row(line))
        if warnings:
            self.display("\n".join(["", "WARNINGS (no harm yet)", *report.notes(warnings)]), C.COLOR_WARN)
        if rows:
            self.display("\n".join(["", *report.table(rows)]), C.COLOR_ERROR, failed=True)
        elif healthy:
            self.display(("\n" if lines else "") + healthy, C.COLOR_OK)

    def display(self, text, color=None, failed=False):
        machine = "json" in C.DEFAULT_STDOUT_CALLBACK  # it alone has standard output
        stderr = machine or failed and C.config.get_config_value("display_failed_stderr", plugin_type="callback", plugin_name="default")
        Display().display(text, color=color, stderr=bool(stderr))


def told(hostvars, targeted, rows=(), check=False):
    """The warnings of mesh_status, each once: those apart from what is wrong. None of a kind crowds out the other. What does
    harm by now is a row, with the router before it or without. The check mode of a mesh play does not warn of what the play mends."""
    out, worse = {}, ["%s: %s" % (row["cause"], row["do"]) for row in rows]
    for router in targeted:
        found, links = registered.status(hostvars[router]), hostvars[router].get("__mesh_links") or {}
        mends = check and links.get("changed") and "__mesh_tunnels" in (links.get("answers") or {})
        for text in [text for kind in ("notes", "warnings") for text in (found.get(kind) or [])[: causes.MOST_CAUSES]]:
            if not (mends and text.endswith(": run the mesh play")):
                out.setdefault(causes.plain(text), []).append(router)
    return [{"routers": sorted(out[text]), "text": text} for text in sorted(out) if not any(row.endswith(text) for row in worse)]


def vanished(hostvars, targeted, members, check):
    """One warning of the routers whose tunnels this run removed although nobody called them absent. The run is green, and a line of
    the inventory may have gone by mistake, or an account that a plugin could not ask."""
    gone, ended, up = set(), [], set()
    for router in targeted:
        peers = set(registered.registered(hostvars[router], "__mesh_tunnels").get("stale_peers") or ()) - set(members)
        if peers and (hostvars[router].get("__mesh_purged") or {}).get("changed"):
            gone |= peers
            ended.append(router)
            up.update(registered.registered(hostvars[router], "__mesh_bird").get("worked") or ())
    if not gone or not members:
        return []
    is_a, its, it = ("is not a router", "its", "it") if len(gone) == 1 else ("are not routers", "their", "them")
    text = "%s %s of the inventory any more: %s tunnels%s %s removed (set mesh_state: absent, or put %s back and run again)" % (
        answers.listed(sorted(gone)), is_a, its, ", which were up," if gone & up else "", "would be" if check else "were", it
    )  # fmt: skip
    return [{"routers": sorted(ended), "text": causes.plain(text)}]


def summary(hostvars, seen):
    """One line for a mesh that nothing is wrong with."""
    # The two ends of one may have different names.
    tunnels = {frozenset((router, tunnel["peer"])) for router in seen for tunnel in registered.status(hostvars[router]).get("tunnels") or []}
    return "healthy: %d router%s, %d tunnel%s" % (len(seen), "s" * (len(seen) != 1), len(tunnels), "s" * (len(tunnels) != 1))
