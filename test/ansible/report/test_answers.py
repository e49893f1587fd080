"""What the words of a router may do to who reads them: a terminal, the agent of a CI, Ansible itself."""

import base64
import json
import os
import re
import subprocess
import tempfile
import time
import types
import unittest
import unittest.mock

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins import loader

getattr(loader, "init_plugin_loader", bool)()  # ansible-core 2.14 does it by itself, from ANSIBLE_COLLECTIONS_PATH

from ansible_collections.wgmesh.router.plugins.action import bird_config, mesh_report, mesh_steps, without_facts  # noqa: E402
from ansible_collections.wgmesh.router.plugins.plugin_utils import answers, causes, report, wgmesh  # noqa: E402

# What agents take for orders: Azure's and GitHub's old one anywhere in a line, TeamCity's too, GitHub's new one at its beginning.
# And a template, which Ansible does.
ORDER = re.compile(r"\{[{%#]|##[\w.-]*\[|^\s*::(?![0-9a-f]{1,4}\b)[a-z-]+.*::", re.M | re.I)
ORDERS = (
    "a ##vso[task.setvariable variable=BASH_ENV]/tmp/x", "##[add-path]/tmp", "###[error]", "##\u200bvso[x.y]z", "##teamcity[x]", "##TEAM-city.2[x]",
    "::stop-commands::x", "  ::add-mask::x", ":\u200b:set-env name=A::b", "a\n::group::x", ":::debug::x", "::ERROR file=a::x",
    "a" * 60 + "::stop-commands::x ::debug::", "word " * 20 + "::debug::", "{{ lookup('pipe', 'id') }}", "{\u200b% x %}", "{{{#",
)  # fmt: skip


HOST = "192.0.2.1"  # has the form of a name and of an address
ASKED = {"router": HOST, "name": HOST, "tunnels": [{"number": 1, "peer": HOST, "role": "initiator"}]}


def hostile(kind, text):
    """A value of a type that has a text wherever one may be."""
    if isinstance(kind, answers.List):
        return [hostile(kind.elements, text)]
    if isinstance(kind, answers.Whole):
        return {**hostile(kind.known, text), text: text, "deeper": [{text: [text]}]}
    if isinstance(kind, answers.Object):
        return {name: hostile(one, text) for name, (one, _needed) in kind.fields.items()}
    if isinstance(kind, answers.Plain):
        return False if kind is answers.BOOL else 1
    if isinstance(kind, answers.Key):
        return None if kind.null else base64.b64encode(bytes(kind.size)).decode()
    return HOST if kind.form else text


def texts(value):
    if isinstance(value, dict):
        return [text for pair in value.items() for one in pair for text in texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in texts(one)]
    return [value] if isinstance(value, str) else []


def came(action, module, answer, **arguments):
    """What the action plugin passes on of an answer."""
    plugin = object.__new__(action.ActionModule)
    plugin._task = types.SimpleNamespace(delegate_to=None, args=arguments)
    return plugin._accept(module, {"stdout_lines": [json.dumps(answer)], "stderr_lines": [], "rc": 0}, {"inventory_hostname": "gcp-1"})


def numbers(count, turn, kinds=10**6, end=""):
    """A text of lines, none of which is more than a hundredth of it."""
    return "".join("%d%s\n" % (i * turn % count % kinds, end) for i in range(count))


def sizes(result):
    diff = result["diff"]
    return [len((one["before"] + one["after"]).splitlines()) for one in (diff if isinstance(diff, list) else [diff])]


HARD = {"before": numbers(8000, 1, 150), "after": numbers(8000, 7919, 150)}  # Ansible took minutes
EASY = {"before": numbers(3000, 1), "after": "one more\n" + numbers(3000, 1) + "another\n"}
LONG = {"before": "".join("%d\na%d\n" % (i, i) for i in range(800)), "after": "".join("%d\nb%d\n" % (i, i) for i in range(800))}


class Test(unittest.TestCase):
    def test_an_agent_obeys_nobody(self):
        for order in ORDERS:
            for module, table in answers.ANSWERS.items():
                told = hostile(answers.Object({**answers.COMMON, **table}), order)
                for given in (told, {**told, "failed": True}, {"failed": True, "msg": order, order: 1}):
                    accepted = answers.accept(module, HOST, ASKED, given)
                    if given is told and module != "mesh_measure":  # where the text may be a name of two alone
                        self.assertFalse(accepted["failed"], accepted)
                    for text in texts(accepted):
                        self.assertNotRegex(text, ORDER, module)
            row = {"routers": [order], "ends": [], "cause": order, "do": order, "kind": "failed", "follows": []}
            for width in range(30, 90):  # one of them begins a line with it
                pad = "x" * (width - 25) + " "
                for line in report.table([{**row, "cause": pad + order}]) + report.notes([{"routers": [order], "text": pad + order}]):
                    self.assertNotRegex(line, ORDER)

    def test_a_module_of_ansibles_is_bounded(self):
        """And ssh's words about it obey nobody, also where it is out of reach."""
        def run(says):
            plugin, action = object.__new__(without_facts.ActionModule), unittest.mock.Mock()
            plugin._task = unittest.mock.Mock(args={"module": "copy", "options": {}}, async_val=0, check_mode=False)
            plugin._connection = unittest.mock.Mock(**{"exec_command.side_effect": says})
            plugin._play_context = plugin._loader = plugin._templar = None
            plugin._shared_loader_obj = unittest.mock.Mock(**{"action_loader.get.return_value": action})
            action.run.side_effect = lambda task_vars: {"changed": True, "msg": plugin._connection.exec_command("true")[1].decode()}
            return plugin.run(task_vars={})

        self.assertEqual({"changed": True, "msg": "as it was"}, run(lambda _command: (0, b"as it was", b"")))
        self.assertRegex(run(lambda _command: (0, b"x" * 20000000, b""))["msg"], "^it answered 20 MB in 1 lines: expected at most 16 MB")
        for kind in (AnsibleConnectionFailure, AnsibleError):  # it is out of reach; a file did not get there
            with self.assertRaises(kind) as failed:
                run(kind("".join(ORDERS)))
            self.assertNotRegex(str(failed.exception), ORDER)

    def test_a_target_that_fails_reads_its_input(self):
        """Else ssh may end while the input is on its way, and the host counts as gone."""
        words = {"cases": "", "environment": "", "module": "x", "build": "x", "answer": wgmesh.ANSWER, "root_dir": "/dev/null", "user_dir": "/dev/null"}
        start = wgmesh.START.format(dirs="/dev", check="", **words)
        for script, said in ((start, "^wgmesh-target: Linux"), (wgmesh.UPLOAD.format(**words), "mkdir")):
            with self.subTest(script), subprocess.Popen(
                ["sh", "-c", wgmesh.one_line(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            ) as shell:
                time.sleep(0.2)  # it has failed by then
                shell.stdin.write(bytes(1 << 20))
                self.assertRegex(shell.communicate()[0].decode(), said)

    def test_an_address_stays(self):
        for text in ("::1", "fe80::1", "via ::", "::/0", "[2001:db8::a]:51820", "2001:db8::a::", "fd00:31::14:0/127", "::ffff:192.0.2.1", "::beef", "## head", "a[0]", "#[x]", "ip6 daddr fd00::10-fd00::20 accept"):
            self.assertEqual(text, answers.line(text))

    def test_a_diff_costs_no_more_than_it_may(self):
        """difflib's work grows with the third power of the lines, and is done in the main process for all routers."""
        bird = {"pending": False, "drained": False, "drained_why": "", "disruptive": [], "established": [], "source_addresses": [], "failed": False}
        for diff, want in ((HARD, 1), (EASY, 6002), (LONG, 3200), ({"before": "x\n" * 250000, "after": "x\n"}, 1), ({"before": "", "after": "y\n" * 9}, 9)):
            self.assertEqual([want], sizes(came(bird_config, "bird_config", {**bird, "diff": diff})))
            self.assertEqual([2, want], sizes(without_facts.accept({"diff": [{"before": "a\n", "after": "b\n"}, diff]})))
        self.assertEqual({"before": "", "after": "its diff is too large to show: 8000 lines before, 8000 after\n"},
                         came(bird_config, "bird_config", {**bird, "diff": HARD})["diff"])
        self.assertEqual([1], sizes(without_facts.accept({"diff": {"before": dict.fromkeys(map(str, range(250000))), "after": {}}})))
        steps = [{"name": name, "module": "bird_config", "register": name} for name in "abcd"]
        told = {"answers": {step["register"]: {**bird, "diff": LONG} for step in steps}}
        self.assertEqual([3200, 3200, 1, 1], sizes(came(mesh_steps, "mesh_steps", told, steps=steps)), "all steps are one answer")

    def test_eyes_are_not_drowned(self):
        def gate(*warnings, **more):
            return {"removed": [], "warnings": list(warnings), **more}

        many = ["warning %d" % i for i in range(500)]
        rest = "and 480 more warnings, which are not shown"
        self.assertEqual([*many[:20], rest], answers.accept("mesh_gate", "gcp-1", {}, gate(*many))["warnings"])
        preview = {"preview": {"lines": []}, "warnings": many}
        self.assertEqual(many, answers.accept("mesh_preview", "localhost", {}, preview)["warnings"], "the operator's own")
        self.assertEqual(many[:20], answers.accept("mesh_gate", "gcp-1", {}, gate(*many[:20]))["warnings"])
        self.assertIn("has owner, which nobody knows here", answers.accept("mesh_gate", "gcp-1", {}, gate(*many, owner=1))["warnings"][-1])
        steps = [{"name": name, "module": "mesh_gate", "register": name} for name in "abcd"]
        told = {"answers": {step["register"]: gate(*[step["name"] + text for text in many]) for step in steps}, "warnings": many}
        self.assertEqual(21, len(came(mesh_steps, "mesh_steps", told, steps=steps)["warnings"]), "all steps are one answer")
        for asked, lines in ((3, 32), (0, 20)):
            got = answers.accept("mesh_measure", "gcp-1", {"tunnels": [{}] * (asked - 1), "results": [{}] * (asked > 0)}, {"lines": many})["lines"]
            self.assertEqual([*many[:lines], "and %d more lines, which are not shown" % (500 - lines)], got)

    def test_an_upload_has_its_time_once(self):
        """Who says in each task that it has no program would hold all others each time."""
        with tempfile.TemporaryDirectory() as folder, unittest.mock.patch.object(wgmesh.C, "DEFAULT_LOCAL_TMP", folder):
            self.assertLessEqual(500, wgmesh.upload_time("azure-1 f00d", 60))
            (first,) = os.listdir(folder)
            for ago, want in ((300, 300), (570, 60), (9000, 60), (-9000, 600)):
                os.utime(os.path.join(folder, first), (time.time() - ago,) * 2)
                self.assertAlmostEqual(want, wgmesh.upload_time("azure-1 f00d", 60), delta=100)
            self.assertLessEqual(500, wgmesh.upload_time("azure-2 f00d", 60))

    def test_a_program_that_dies_says_why(self):
        for said, want in (
            (["fatal error: failed to reserve page summary memory", "runtime stack:", "r15    0x0"], "fatal error: failed to reserve page summary memory"),
            (["panic: runtime error: index out of range [1]", "", "goroutine 1 [running]:"], "panic: runtime error: index out of range [1]"),
            (["sh: 1: set: Illegal option", "Killed"], "Killed"),
        ):
            self.assertEqual(wgmesh.ending({"rc": 2, "stderr_lines": said, "stdout_lines": []}), "exit status 2, " + want)

    def test_a_shell_that_runs_nothing_says_what_to_do(self):
        plugin = object.__new__(bird_config.ActionModule)
        plugin._task = types.SimpleNamespace(delegate_to=None, args={})
        for said, do in {
            "rbash: line 1: /bin/sh: restricted: cannot specify `/' in command names": "give that user a login shell that runs commands (chsh -s /bin/sh)",
            "This account is currently not available.": "give that user a login shell that runs commands (chsh -s /bin/sh)",
            "sh: 1: cannot create /tmp/x: No space left on device": "make room on its disk (df -h), and run again",
            "Killed": "look at what else that host says (journalctl -b), and run again",
        }.items():
            told = plugin._accept("wg_tunnel", {"stdout_lines": [], "stderr_lines": [said], "rc": 1}, {"inventory_hostname": "gcp-1"})
            self.assertEqual({"cause": "the module ended without a result: exit status 1, " + said, "do": do}, told["causes"][0])

    def test_no_router_fills_the_screen(self):
        out, seen = [], {"aws-1": {"__mesh_status": {"lines": list(map(str, range(20000))), "troubles": []}}}
        plugin = object.__new__(mesh_report.ActionModule)
        plugin._task, plugin.display = types.SimpleNamespace(args={"tunnels": True}), lambda text, *_color, **_more: out.append(text)
        plugin.show(seen, ["aws-1"], [], [], None, 1)
        self.assertEqual(["", "aws-1", *map(str, range(24)), "and 19976 more lines, which are not shown"], out)

    def test_a_measurement_is_of_the_two_ends(self):
        """One answer failed those that drew the table, or named somebody else."""
        free = dict.fromkeys(answers.WAY, 0) | {"blocked": False, "ping_error": "", "throughput_error": "", "missing": ""}
        one = {"router": "gcp-1", "peer": "aws-1", "name": "wg1", "outside": {**free, "address": ""}, "inside": {**free, "address": "fd00::1"}}
        asked = {"router": "gcp-1", "tunnels": [{"peer": "aws-1", "name": "wg1"}, {"peer": "aws-2", "name": "wg2"}]}

        def wrong(*tunnels, host="gcp-1", **more):
            return answers.accept("mesh_measure", host, {**asked, **more}, {"tunnels": list(tunnels)}).get("msg", "").split("not used: ")[-1].split("; ")[0]

        def way(**more):
            return {**one, "inside": {**one["inside"], **more}}

        self.assertEqual("", wrong(one, {**one, "peer": "aws-2", "name": "wg2"}))
        self.assertEqual("", wrong(way(missing="gcp-1")))
        self.assertEqual("", wrong(way(missing="aws-1"), host="aws-1", state="serving"))
        self.assertEqual("", wrong(*[way(missing="x")] * 3, results=[one]), "it draws what others said")
        self.assertIn('tunnels[0].inside.address: found "zzz", expected an IP address or nothing', wrong(way(address="zzz")))
        for bad in ([way(missing="aws-2")], [way(missing="aws-1")], [{**one, "peer": "aws-2"}], [one] * 20000, [{**one, "router": "aws-1"}]):
            self.assertRegex(wrong(*bad), r"^tunnels\[\d\]\.\S+: found .*, expected")
        self.assertIn("tunnels[0].inside.missing", wrong(way(missing="gcp-1"), host="aws-1", state="serving"))

    def test_who_drew_blames_a_pair(self):
        drawn = {"tunnels": [{}], "troubles": [{"router": "gcp-1", "peer": "aws-1", "cause": "its port is closed", "do": "open it"}]}
        rows = causes.causes({name: {"__mesh_table": drawn} for name in ("aws-1", "aws-2", "gcp-1")}, ["aws-1", "aws-2", "gcp-1"], ["aws-1", "aws-2", "gcp-1"])
        self.assertEqual([(["gcp-1 - aws-1"], ["aws-1", "gcp-1"])], [(row["routers"], row["ends"]) for row in rows])


if __name__ == "__main__":
    unittest.main()
