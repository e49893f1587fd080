"""What the plays of day two ask before they do something, of routers that answer as a test says, on the Ansible of the environment.

.ci/test-ansible runs it, and CI with the oldest core alone: its proofs run these plays on the newest that Debian's Python runs.
"""

import json
import os
import pathlib
import re
import tempfile
import unittest
import unittest.mock

import warm

warm.find_collections()
from ansible_collections.wgmesh.router.plugins.filter.hookable import hookable  # noqa: E402
from ansible_collections.wgmesh.router.plugins.filter.listed import listed  # noqa: E402


class Turns(unittest.TestCase):
    """What the plays of day two ask before they do something, of routers that answer as a test says."""

    SITES = {"azure": ["azure-1", "azure-2"], "aws": ["aws-1", "aws-2"], "gcp": ["gcp-1"]}
    ROUTERS = [router for routers in SITES.values() for router in routers]
    STUB = (
        "import json\nfrom ansible.plugins.action import ActionBase\n\n\nclass ActionModule(ActionBase):\n"
        "    def run(self, tmp=None, task_vars=None):\n"
        "        name, args = self._task.action.split('.')[-1], self._task.args\n"
        "        host = str(self._task.delegate_to or task_vars['inventory_hostname'])\n"
        "        with open(%r) as f:\n"
        "            told = json.load(f)\n"
        "        seen = told.get(host)\n"
        "        status = {'tunnels': [], 'prefixes': [], 'source_networks': []}\n"
        "        failover = {'peers': []}\n"
        "        planned = [step['args'] for step in args.get('steps', []) if step['module'] == 'mesh_plan_info'] + [args]\n"
        "        out = [host] + (seen or {}).get('out', []) if planned[0].get('gate_file') else [host]\n"
        "        peers = [{'peer': router, 'role': 'initiator', 'number': 1} for router in task_vars['groups']['routers'] if router not in out]\n"
        "        plan = {'plan': {'status': status, 'failover': failover, 'preshared_keys': peers, 'gate': {'removed': []}, 'bird': {'bfd': {'interval': 300}}}}\n"
        "        plan['left_out'] = [router for router in out[1:] if planned[0]['routers'][router].get('state') != 'absent']\n"
        "        plan['plan']['measure'] = {'tunnels': (seen or {}).get('measure', [])}\n"
        "        if name == 'mesh_plan_info' and (seen or not args.get('gate_file')):\n"
        "            return plan\n"
        "        if seen is None:\n"
        "            alone = {'failed': True, 'no_answer': True, 'msg': 'it is gone: Connection refused: check that it runs'}\n"
        "            return {'unreachable': True, 'msg': 'Connection refused'} if self._task.ignore_unreachable or name != 'mesh_status_info' else alone\n"
        "        looks = [args] + [step['args'] for step in args.get('steps', []) if step['module'] == 'mesh_status_info']\n"
        "        if not any('networks' in look.get('accept', []) for look in looks):\n"
        "            seen = dict(seen, troubles=seen['troubles'] + seen.get('networks', []))\n"
        "        if seen['ages'] and seen['ages'][0]['seconds'] < 60 and any(step['name'] == 'Check whether a change waits' for step in args.get('steps', [])):\n"
        "            with open(%r, 'w') as f:\n"
        "                json.dump({**told, host: {**seen, 'ages': []}}, f)\n"
        "        if name == 'mesh_status_info':\n"
        "            return dict({'forwarded': 0, **seen}, notes=seen['notes'] if args.get('failover_plan') == failover else [])\n"
        "        with open(%r, 'a') as f:\n"
        "            f.write(''.join('%%s: %%s\\n' %% (host, step['name']) for step in args['steps']))\n"
        "        reach = [step['args'].get('reach') for step in args['steps'] if step['module'] == 'mesh_status_info']\n"
        "        crossed = seen.get('crossed', []) if {'azure-1': ['10.1.1.4'], 'azure-2': ['10.1.2.4']} in reach else []\n"
        "        if 'used' in seen and any(step.get('check') for step in args['steps']):\n            return {'failed': True, 'msg': seen['used'], 'answers': {'__mesh_unused': {'failed': True}}}\n"
        "        by = {'mesh_plan_info': plan, 'mesh_status_info': dict(seen, troubles=seen['troubles'] + crossed)}\n"
        "        by.update({'bird_config': seen['bird']} if 'bird' in seen else {})\n"
        "        drains = [step['args'] for step in args['steps'] if step['args'].get('state') in ('drained', 'undrained')]\n"
        "        with open(%r, 'a') as f:\n"
        "            f.write(''.join('%%s: %%s%%s\\n' %% (host, 'undrained ' * (drain['state'] == 'undrained'), drain['drain_why']) for drain in drains))\n"
        "        for drain in drains:\n"
        "            now = {'drained': drain['state'] == 'drained', 'drained_why': str(drain['drain_why']) if drain['state'] == 'drained' else ''}\n"
        "            later = told.get('later', {}) if now['drained'] else {}\n"
        "            by.setdefault('bird_config', {'stale': [], 'pending': [], **now})\n"
        "            with open(%r, 'w') as f:\n"
        "                json.dump({**told, host: told[host] if 'bird' in told[host] else {**told[host], **now}, **later}, f)\n"
        "        by['mesh_peer'] = {'public': {'public_key': 'a', 'sealing_key': 'b'}, 'removed': seen.get('says', [])}\n"
        "        by['wg_keypair'] = {'public_key': 'of ' + host}\n"
        "        if task_vars['inventory_hostname'] in out[1:]:\n            return {'failed': True, 'msg': 'it was removed from the mesh'}\n"
        "        return {'answers': {step['register']: by.get(step['module'], {'stale': [], 'pending': []}) for step in args['steps']}}\n"
    )

    WRONG = (
        "from ansible.plugins.action import ActionBase\n\n\nclass ActionModule(ActionBase):\n    def run(self, tmp=None, task_vars=None):\n"
        "        return {'failed': True, 'msg': 'routers azure-1, gcp-1: id 1 is given to all of them: give each its own'}\n"
    )

    def setUp(self):
        self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        source, copy = (root / "ansible_collections/wgmesh/router" for root in (pathlib.Path(os.environ["ANSIBLE_COLLECTIONS_PATH"]), self.root))
        stubs = ("mesh_steps.py", "mesh_plan_info.py", "mesh_status_info.py")
        for folder in ("", "plugins", "plugins/action", "roles", "roles/router", "roles/router/tasks"):
            (copy / folder).mkdir(parents=True)
            for path in (source / folder).iterdir():
                if path.name not in ("plugins", "action", "roles", "router", "tasks", "main.yml", "__pycache__", *stubs):
                    (copy / folder / path.name).symlink_to(path)
        # The role itself would make a router of this machine, whenever a play goes further than a test expects.
        (copy / "roles/router/tasks/main.yml").write_text("- ansible.builtin.set_fact: {__router_state: {missing: no-such-package}}\n")
        for name in stubs:
            (copy / "plugins/action" / name).write_text(self.STUB % tuple(str(self.root / file) for file in ("seen", "seen", "did", "whys", "seen")))
        self.hook, self.ran = self.root / "hook.yml", self.root / "ran"
        self.hook.write_text("- {ansible.builtin.raw: touch %s}\n- {ansible.builtin.fail: {msg: the hook ends here}}\n" % self.ran)

    def seen(self, name, drained=False, bgp="Established", **more):
        """What a router says of a mesh that is well."""
        tunnels = [{"name": "wg%d" % i, "peer": peer, "healthy": True, "bgp": bgp} for i, peer in enumerate(self.ROUTERS) if peer != name]
        well = {"healthy": True, "required_healthy": True, "tunnels": tunnels, "troubles": [], "ways": [], "notes": [], "ages": []}
        addresses = {"azure-1": ["10.1.1.4"], "azure-2": ["10.1.2.4"]}.get(name, [])
        failover = {"runs": False, "trouble": "", "rests": ["rtb-aws-1", "rtb-aws-2"]}
        return {"drained": drained, "drained_why": "", "source_addresses": addresses, "failover": failover, **well, **more}

    @staticmethod
    def lost(*peers, host="10.1.2.4"):
        """What a router of another site says when no ping comes back through some of this one."""
        found = "no answer from %s comes back through %s" % (host, ", ".join(peers))
        return [{"peer": peer, "alone": True, "text": found, "here": {"cause": found, "do": "look at both"}} for peer in peers]

    def play(self, name, *args, silent=(), tables=False, own=None, **seen):
        """The code, the output, and what has been done to whom."""
        answers = {router: None if router in silent else self.seen(router) for router in self.ROUTERS}
        answers.update({router.replace("_", "-"): answer for router, answer in seen.items()})
        (self.root / "seen").write_text(json.dumps(answers))
        for path in (self.root / "did", self.root / "whys", self.ran):
            path.unlink(missing_ok=True)
        hosts = {
            router: {"mesh_id": self.ROUTERS.index(router) + 1, "mesh_site": site, "mesh_endpoint": "192.0.2.%d" % (self.ROUTERS.index(router) + 1)}
            for site, routers in self.SITES.items() for router in routers
        }  # fmt: skip
        for router, variables in (own or {}).items():
            hosts[router].update(variables)
        for router in self.SITES["aws"] if tables else ():
            hosts[router]["mesh_route_tables"] = ["rtb-" + router]
        sites = {site: {"as": 65020 + i, "networks": ["10.%d.0.0/16" % (i + 1)]} for i, site in enumerate(self.SITES)}
        common = {"mesh_sites": sites, "ansible_connection": "local", "mesh_upgrade_wait": 1, "mesh_drain_wait": 1, "mesh_wait": 1}
        meshes = {site + "s": {"hosts": dict.fromkeys(routers)} for site, routers in self.SITES.items()}
        (self.root / "hosts.yml").write_text(json.dumps({"all": {"vars": common, "children": {"routers": {"hosts": hosts}, **meshes}}}))
        name = name if "/" in name else "wgmesh.router." + name
        done = warm.play("-i", str(self.root / "hosts.yml"), name, *args, collections=self.root)
        did = (self.root / "did").read_text().splitlines() if (self.root / "did").exists() else []
        out = " ".join((done.stdout + done.stderr).replace(" -> ", ": ").split()).replace(" : ", ": ")
        return done.returncode, out, [line for line in did if not re.search("Look|See who|Check whether|Find out which key|Plan", line)]

    def replace(self, *args, **more):
        return self.play("replace", "--limit", "azure-1", "-e", "mesh_upgrade_hook=%s" % self.hook, *args, **more)

    def test_needs_a_way_back(self):
        """New private keys that nothing takes back."""
        code, out, did = self.play("rotate", "-e", "mesh_rotate=private", "-e", "mesh_confirm_timeout=0")
        self.assertEqual((2, [], 1), (code, did, out.count("FAILED!")), out)
        self.assertIn("mesh_confirm_timeout: found 0, expected seconds for mesh_rotate=private", out)

    def meshed(self, facts):
        """The mesh play is one that every router leaves with these facts."""
        playbooks = self.root / "ansible_collections/wgmesh/router/playbooks"
        source = playbooks.resolve()
        playbooks.unlink()
        playbooks.mkdir()
        for path in source.iterdir():
            (playbooks / path.name).symlink_to(path)
        (playbooks / "mesh.yml").unlink()
        (playbooks / "mesh.yml").write_text("- {hosts: routers, gather_facts: false, tasks: [{ansible.builtin.set_fact: %s}]}\n" % json.dumps(facts))

    def test_removed_is_no_way_out(self):
        """The last to keep its session was the drained one: it told the probe that it is the way out, and took the site's tables."""
        self.meshed({"__mesh_links": {"answers": {}}})
        systemctl = self.root / "systemctl"
        systemctl.write_text("#!/bin/sh\necho systemctl $* >>%s/did\necho a secret\n" % self.root)
        systemctl.chmod(0o755)
        ends = ["azure-1: Drain this router"]
        for unit in ("wgmesh-health.socket", "wgmesh-failover.service"):
            ends += ["systemctl -q is-active " + unit, "systemctl stop " + unit]
        with unittest.mock.patch.dict(os.environ, PATH=str(self.root) + ":" + os.environ["PATH"]):
            for more, want in (((), ends), (("--check",), ends[:1]), (("-e", "mesh_drain=false"), [])):
                with self.subTest(more):
                    code, out, did = self.play("remove", "-e", "mesh_remove=azure-1", *more)
                    self.assertEqual((0, want, False), (code, did, "a secret" in out), out)
            systemctl.write_text("#!/bin/sh\nsleep 60\n")
            code, out, _did = self.play("remove", "-e", "mesh_remove=azure-1 mesh_task_timeout=15")
            self.assertEqual((2, True), (code, "azure-1 is not removed" in out), out)
            systemctl.write_text("#!/bin/sh\necho systemctl $* >>%s/did\n" % self.root)
            code, out, did = self.play("undrain", "--limit", "azure-1", azure_1=self.seen("azure-1", True))  # somebody thought better of it
            self.assertEqual((0, True), (code, "systemctl start wgmesh-health.socket" in did), (out, did))
            # A router that went away while they start was called well: nothing asked it any more.
            self.assertLess(did.index("systemctl start wgmesh-health.socket"), did.index("azure-1: Undrain this router"))

    def test_added_but_drained(self):
        """The drain of a remove stays on the machine, and add was green with a router that carries nothing."""
        drained = {"drained": True, "drained_why": "remove"}
        again = {"__mesh_status": {"skipped": True}, "__mesh_links": {"answers": {"__mesh_proved": drained}}}  # nothing changed
        for facts, want in (({"__mesh_status": drained}, 2), ({"__mesh_status": {"drained": False}}, 0), (again, 2)):
            with self.subTest(facts):
                self.setUp()
                self.meshed(facts)
                code, out, _did = self.play("add", "-e", "mesh_add=azure-1")
                line = "azure-1 has its tunnels, but is drained (remove) and carries nothing: wgmesh.router.undrain --limit azure-1"
                self.assertEqual((want, want > 0), (code, line in out), out)

    def test_keeps_out_who_was_removed(self):
        """Between a remove and mesh_state: absent in the inventory, a turn of any other router let it in again."""
        self.obedient()
        knows = {router.replace("-", "_"): self.seen(router, out=["gcp-1"]) for router in self.ROUTERS if router != "gcp-1"}
        for play, router, want in (("upgrade", "azure-1", 0), ("callback", "aws-2", 0), ("callback", "gcp-1", 2)):
            with self.subTest(play + router):
                code, out, did = self.play(play, "--limit", router, **knows)
                self.assertEqual((want, []), (code, [line for line in did if line.startswith("gcp-1: Ask the peer")]), out)
                if want:
                    self.assertIn("it was removed from the mesh", out)

    def test_others_let_nobody_in_again(self):
        """Until the inventory calls it absent, the next remove or add let in who was removed. One alone removes nobody."""
        self.meshed({"__mesh_links": {"answers": {}}})
        (self.root / "ansible_collections/wgmesh/router/playbooks/mesh.yml").write_text(
            "- hosts: routers\n  gather_facts: false\n  tasks:\n    - debug: {msg: \"gcp-1 is {{ hostvars['gcp-1'].mesh_state | default('present') }}\"}\n")
        knows = {router.replace("-", "_"): self.seen(router, out=["gcp-1"]) for router in self.SITES["aws"] + ["azure-2"]}
        one = {"aws_1": knows["aws_1"]}
        refused = "gcp-1 was removed from the mesh, says aws-1, and %s: set mesh_state: absent for it, or let it in first with the mesh play"
        for play, name, who, limit, want in (
            ("remove", "azure-1", knows, "", "gcp-1 is absent"), ("add", "azure-1", knows, "", "gcp-1 is absent"),
            ("add", "gcp-1", knows, "", "gcp-1 is present"), ("remove", "azure-1", one, "", "gcp-1 is present"),
            ("add", "azure-1", knows, "awss,azure-1", "gcp-1 is absent"),  # and whoever is not in this run
            ("remove", "azure-1", one, "aws-1,azure-1", refused % "nobody else was asked"),
            ("add", "azure-1", one, "aws-1,aws-2,azure-1", refused % "aws-2 does not"),
            ("remove", "gcp-1", one, "aws-1,aws-2,gcp-1", "gcp-1 is absent"),  # again, for those that were not in the run before
        ):
            with self.subTest((play, name, limit, want)):
                limits = ("--limit", limit) if limit else ()
                code, out, did = self.play(play, "-e", "mesh_%s=%s mesh_drain=false" % (play, name), *limits, **who)
                self.assertIn(want, out)
                if want.startswith("gcp-1 was"):
                    self.assertEqual((2, [], False, 1), (code, did, "Make a router" in out, out.count("FAILED!")), out)

    def test_asks_who_is_dead_once(self):
        """A router that is off cost two of SSH's timeouts: it was asked who was removed, and then for its plan."""
        code, out, _did = self.play("remove", "-e", "mesh_remove=azure-1 mesh_drain=false", silent=["aws-1"])
        self.assertEqual((True, 1), (code in (2, 4), len(re.findall(r"\[aws-1\]: UNREACHABLE", out))), out)
        self.assertIn("aws-1 - Connection refused: check that it runs", out)
        self.play("upgrade", "--limit", "azure-1", silent=["azure-2"])
        steps = ("See who was removed from the mesh", "Plan the mesh", "Look at the network")
        self.assertIn("".join("azure-1: %s\n" % step for step in steps), (self.root / "did").read_text())

    def test_leaves_out_who_was_removed_before_it_was_there(self):
        """A new machine had one tunnel with a removed router, of which it had never heard. One that says so alone removes nobody."""
        self.obedient()
        (self.root / "ansible_collections/wgmesh/router/plugins/action/mesh_gate.py").write_text(
            "import json\nfrom ansible.plugins.action import ActionBase\n\n\nclass ActionModule(ActionBase):\n    def run(self, tmp=None, task_vars=None):\n"
            "        args, host = self._task.args, task_vars['inventory_hostname']\n"
            "        said = [out['name'] for names in (args.get('heard') or {}).values() for out in names] if args['keep_removed'] else []\n"
            "        out = sorted({name for name in said if said.count(name) > 1})\n"
            "        with open(%r) as f:\n            told = json.load(f)\n"
            "        told[host].update({'out': out} if out else {})\n"
            "        with open(%r, 'w') as f:\n            json.dump(told, f)\n"
            "        return {'changed': len(out) > 0, 'removed': out}\n" % (str(self.root / "seen"), str(self.root / "seen")))
        says = {router.replace("-", "_"): self.seen(router, says=[{"name": "gcp-1", "id": 5}]) for router in self.SITES["aws"]}
        for who, want in ((says, False), ({"aws_1": says["aws_1"]}, True)):
            with self.subTest(want):
                code, out, _did = self.play("callback", "--limit", "azure-1", **who)
                told = out.partition("Have the peers set up their ends]")[2].partition("TASK [")[0]
                self.assertEqual((0, True, want), (code, "azure-1: aws-1" in told, "azure-1: gcp-1" in told), out)

    def test_removed_says_who_is_alone(self):
        self.meshed({"__mesh_links": {"answers": {}}})
        for name, alone in (("azure-1", "azure-2 is the only router of azure now: nobody stands in for it"), ("gcp-1", "")):
            with self.subTest(name):
                code, out, _did = self.play("remove", "-e", "mesh_remove=" + name, "-e", "mesh_drain=false")
                self.assertEqual((0, True), (code, name + " has no tunnel any more" in out), out)
                self.assertEqual(bool(alone), "is the only router of" in out, out)
                self.assertIn(alone, out)
        (self.root / "ansible_collections/wgmesh/router/playbooks/mesh.yml").write_text("- {hosts: routers, gather_facts: false, tasks: []}\n")
        code, out, _did = self.play("remove", "-e", "mesh_remove=azure-1", "-e", "mesh_drain=false")
        self.assertEqual((2, False), (code, "has no tunnel any more" in out), out)
        self.assertIn("azure-1 may still have a tunnel to aws-1, aws-2, azure-2, gcp-1: not in this run, or failed in it", out)

    def test_described(self):
        """What is wrong with an inventory was said of each router, in other words: it does not say how it is."""
        (self.root / "ansible_collections/wgmesh/router/plugins/action/mesh_plan_info.py").write_text(self.WRONG)
        for name in ("upgrade", "rotate", "add"):
            with self.subTest(name):
                code, out, did = self.play(name, "-e", "mesh_add=azure-1")
                self.assertEqual((2, [], 1), (code, did, out.count("FAILED!")), out)
                self.assertIn("[azure-1: localhost]: FAILED!", out)
                self.assertIn("routers azure-1, gcp-1: id 1 is given to all of them: give each its own", out)
                self.assertNotIn("wgmesh.router.router", out)

    def test_add_checked(self):
        """In check mode a host without packages went on to the mesh play, which refused it for what only a real run installs."""
        code, out, _did = self.play("add", "--check", "-e", "mesh_add=azure-1")
        self.assertEqual((0, 0), (code, out.count("included:")), out)
        self.assertIn("azure-1: its tunnels cannot be checked before it has its packages (no-such-package): run it without --check", out)
        self.assertEqual([], re.findall(r"(?:ok|changed): \[(?:azure-2|aws-1)", out.partition("[Make a router")[2]), out)

    def test_names_one(self):
        """Without a hook and a limit, whoever comes first was drained."""
        for more in ((), ("--check",), ("--limit", "azure-1,gcp-1")):
            with self.subTest(more):
                code, out, did = self.play("replace", *more)
                self.assertEqual((2, [], 1), (code, did, out.count("FAILED!")), out)
                several = 2 if "--limit" in more else 5
                self.assertIn("this run would replace %d routers, and no mesh_upgrade_hook does it: name one router with --limit" % several, out)

    def test_may_be_the_new_machine(self):
        """Where a mesh play had peered the new machine, the same command told to put another one in its place."""
        for seconds, want in ((720, True), (90000, False)):
            with self.subTest(seconds):
                seen = self.seen("azure-1", ages=[{"what": "private_key", "peer": "", "seconds": seconds}])
                code, out, _did = self.play("replace", "--limit", "azure-1", azure_1=seen)
                self.assertEqual((2, True), (code, "azure-1 is drained and may go: put the new machine in its place" in out), out)
                self.assertEqual(want, "unless this is the new one: its key is 12 minutes old, and wgmesh.router.undrain is all" in out, out)

    def test_drained_by_a_run(self):
        """Who drained a router of a run was told that it may go, and the run undrained it."""
        begun = self.seen("azure-1", True, drained_why="upgrade, run 4f2a")
        code, out, did = self.play("drain", "--limit", "azure-1", azure_1=begun)
        self.assertEqual((2, False), (code, "azure-1: Drain this router" in did), out)
        self.assertIn("azure-1 is drained by another run (upgrade, run 4f2a): wait for it, or take it over with -e mesh_drain_why=REASON", out)
        ticket = ("-e", '{"mesh_drain_why": 4711}')
        for why in (("-e", "mesh_drain_why=disk"), ticket):
            code, out, did = self.play("drain", "--limit", "azure-1", *why, azure_1=begun)
            self.assertEqual((0, True), (code, "azure-1: Drain this router" in did), out)
        for why in ((), ticket):
            _code, out, did = self.play("remove", "-e", "mesh_remove=azure-1", *why, azure_1=begun)
            self.assertIn("azure-1: Drain this router", did, out)

    def test_undrains_who_is_well(self):
        """A router whose tunnels were all dead was undrained, and nobody was told."""
        dead = self.seen("azure-1", True, healthy=False, required_healthy=False)
        for tunnel in dead["tunnels"]:
            tunnel["healthy"] = False
            here = {"cause": "no handshake", "do": "run the mesh play there"}
            trouble = {"peer": tunnel["peer"], "text": "no handshake", "follows": False, "alone": False, "final": False, "here": here, **here}
            dead["troubles"].append(trouble)
        code, out, did = self.play("undrain", "--limit", "azure-1", azure_1=dead)
        self.assertEqual((2, []), (code, did), out)
        self.assertIn("azure-1 stays drained: none of its 4 tunnels is well: mend it first, or wgmesh.router.undrain -e mesh_drain_force=true", out)
        self.assertRegex(out, "ROUTER FOLLOWS CAUSE: WHAT TO DO .*no handshake")
        undrained = ["azure-1: Undrain this router"]
        code, out, did = self.play("undrain", "--limit", "azure-1", "-e", "mesh_drain_force=true", azure_1=dead)
        self.assertEqual((0, undrained), (code, did), out)
        dead["tunnels"][0]["healthy"] = True
        code, out, did = self.play("undrain", "--limit", "azure-1", azure_1=dead)
        self.assertEqual((0, undrained), (code, did), out)
        self.assertRegex(out, "ROUTER FOLLOWS CAUSE: WHAT TO DO .*no handshake")
        code, out, did = self.play("undrain", "--limit", "azure-1", azure_1=self.seen("azure-1", True))
        self.assertEqual((0, undrained, False), (code, did, "FOLLOWS" in out), out)

    def test_drains_beside_who_forwards(self):
        """A router whose machine drops what it forwards got the site's traffic."""
        sees = {"gcp_1": self.seen("gcp-1", crossed=self.lost("azure-2", host="10.1.1.4"))}
        for play in (["drain"], ["upgrade", "-e", "mesh_drain_force=true"]):
            with self.subTest(play):
                code, out, did = self.play(*play, "--limit", "azure-1", **sees)
                self.assertEqual((2, []), (code, did), out)
                found = "azure-2 of its site does not forward (gcp-1: no answer from 10.1.1.4 comes ...): mend that one, or who says so (docs/taken-over.md)"
                self.assertIn("azure-1 is not drained: " + found, out)
        drained = ["azure-1: Drain this router"]
        code, out, did = self.play("drain", "--limit", "azure-1", "-e", "mesh_drain_force=true", **sees)
        self.assertEqual((0, drained), (code, did), out)
        lost = self.lost("azure-1") + self.lost("aws-2") + self.lost("azure-1", "azure-2", host="10.1.9.9")
        code, out, did = self.play("drain", "--limit", "azure-1", silent=["aws-1"], gcp_1=self.seen("gcp-1", crossed=lost))
        self.assertEqual((0, drained), (code, did), out)

    def test_accepts_what_a_router_says(self):
        """A network that was accepted stayed red, and nobody of its site could be drained or undrained. It is accepted of that router alone."""
        here = {"cause": "docker0 takes 10.3.5.0/24 of gcp away", "do": "remove it"}
        docker = {"networks": [{"peer": "", "text": "docker0 takes 10.3.5.0/24 of gcp", "follows": False, "alone": False, "here": here, **here}]}
        accepts = {router: {router: {"mesh_accept": ["networks"]}} for router in self.SITES["azure"]}
        plays = (("status", "azure-2", False), ("undrain", "azure-2", True), ("drain", "azure-1", False))
        for play, limit, drained in plays:
            for of, code in (("azure-2", 0), ("azure-1", 2)):
                with self.subTest(play=play, of=of):
                    sees = self.seen("azure-2", drained, **docker)
                    got, out, _did = self.play(play, "--limit", limit, own=accepts[of], azure_2=sees)
                    self.assertEqual((code, code == 2), (got, "docker0 takes" in out), out)

    def test_drains_beside_who_takes_the_tables(self):
        """The tables of the second of two routers stayed with it: the machine that was made of the first had no daemon."""
        off = self.seen("aws-1", failover={"runs": False, "trouble": "wgmesh-failover does not run", "rests": []})
        for play in (["drain"], ["upgrade"], ["rotate", "-e", "mesh_rotate=private"]):
            with self.subTest(play):
                code, out, did = self.play(*play, "--limit", "aws-2", tables=True, aws_1=off)
                self.assertEqual((2, []), (code, did), out)
                self.assertIn("aws-2 is not drained: aws-1 of its site: wgmesh-failover does not run: run wgmesh.router.routes first", out)
        drained = ["aws-2: Drain this router"]
        for args, more in (((), {"aws_1": off}), ((), {"tables": True}), (("-e", "mesh_drain_force=true"), {"tables": True, "aws_1": off})):
            code, out, did = self.play("drain", "--limit", "aws-2", *args, **more)
            self.assertEqual((0, drained), (code, did), out)

    def test_drains_when_the_tables_moved(self):
        """A zone that was silent for three seconds was taken for moved, though the other daemon could not move its table."""
        vain = self.seen("aws-1", failover={"runs": True, "trouble": "wgmesh-failover tries in vain (rtb-aws-2: denied)", "rests": []})
        code, out, did = self.play("drain", "--limit", "aws-2", tables=True, aws_1=vain)
        self.assertEqual((2, []), (code, did), out)
        self.assertIn("aws-1 of its site: wgmesh-failover tries in vain (rtb-aws-2: denied): see journalctl -u wgmesh-failover there", out)
        code, out, did = self.play("drain", "--limit", "aws-2", tables=True, later={"aws-1": vain})
        self.assertEqual((2, ["aws-2: Drain this router"], False), (code, did, "may go" in out), out)
        self.assertIn("it is drained and stays so, but aws-1 of its site: wgmesh-failover tries in vain (rtb-aws-2: denied): mend that", out)
        hangs = self.seen("aws-1", failover={"runs": True, "trouble": "", "rests": ["rtb-aws-1"]})  # a call that hangs is no trouble yet
        code, out, did = self.play("drain", "--limit", "aws-2", tables=True, later={"aws-1": hangs})
        self.assertEqual((2, ["aws-2: Drain this router"], False), (code, did, "may go" in out), out)
        self.assertIn("it is drained and stays so, but aws-1 of its site does not say that rtb-aws-2 has moved: see `wgmesh-cloud", out)

    def test_rotates_after_another_run(self):
        """Two runs at once gave a router keys of which its peers were told only one."""
        self.obedient()
        (self.root / "ansible_collections/wgmesh/router/plugins/action/wg_keypair.py").write_text(
            "from ansible.plugins.action import ActionBase\n\n\nclass ActionModule(ActionBase):\n    def run(self, tmp=None, task_vars=None):\n"
            "        alone = self._task.args.get('public_key') == {'always': 'of ' + task_vars['inventory_hostname'], 'never': 'a'}[self._task.args['regenerate']]\n" # another one has made keys since it looked
            "        return {'failed': not alone, 'public': {'public_key': 'a', 'sealing_key': 'b'}}\n")
        line = "a change of %s waits for its confirmation, by another run: let that end, and run again"
        for router, seconds, want in (("gcp-1", 5, 0), ("azure-1", 5, 0), ("azure-1", 600, 2)):  # it ends while this one waits, or does not
            with self.subTest(router=router, seconds=seconds):
                waits = {router.replace("-", "_"): self.seen(router, ages=[{"what": "waiting_change", "peer": "", "seconds": seconds}])}
                code, out, did = self.play("rotate", "-e", "mesh_rotate=private", "-e", "mesh_confirm_timeout=1", "--limit", router, **waits)
                self.assertEqual((want, want > 0), (code, line % router in out), out)
                self.assertEqual(want == 0 and router == "azure-1", "azure-1: Drain this router" in did, "drained before: %s" % out)
                self.assertRegex(out, "RETRYING: .*Wait until no other run changes ")
                self.assertEqual(want == 0, "Make the keys of this router" in out, out)

    def test_says_what_watches_no_table(self):
        """What looks last at a router that was changed is what the report has."""
        note = "wgmesh-failover does not run, so no route table follows the routers: run wgmesh.router.routes"
        for play in ("status", "undrain"):
            with self.subTest(play):
                code, out, _did = self.play(play, "--limit", "azure-1", azure_1=self.seen("azure-1", play == "undrain", notes=[note]))
                self.assertEqual(0, code, out)
                self.assertIn("WARNINGS (no harm yet) azure-1: " + note, out)

    def test_asks_the_peers_first(self):
        """A peer that is out of reach ended the run when the router was drained, and changed."""
        for play in (["rotate", "-e", "mesh_rotate=private"], ["upgrade", "-e", "mesh_drain_force=true"]):
            with self.subTest(play):
                code, out, did = self.play(*play, "--limit", "azure-1", silent=["gcp-1"])
                self.assertEqual((2, []), (code, did), out)
                self.assertIn("azure-1 is left as it is: gcp-1 has to hear of it: Connection refused: check that it runs, its address", out)
        code, out, did = self.play("rotate", "-e", "mesh_rotate=private", "--limit", "gcp-1", silent=["azure-1"])
        self.assertEqual((2, []), (code, did), out)
        self.assertIn("gcp-1 is left as it is: azure-1 has to hear of it: Connection refused: check that it runs, its address", out)

    def test_takes_no_fact(self):
        """A router that was taken over set the variables of the rest of the run by what it answered to the hook."""
        copy, report = self.root / "ansible_collections/wgmesh/router/plugins", self.root / "report"
        facts = {"mesh_site": "aws", "mesh_report_file": str(report), "mesh_group": "all"}
        (copy / "action/liar.py").write_text(
            "from ansible.plugins.action import ActionBase\n\n\nclass ActionModule(ActionBase):\n    def run(self, tmp=None, task_vars=None):\n"
            "        return {'changed': True, 'ansible_facts': %r}\n" % facts)
        (copy / "modules").unlink()
        (copy / "modules").mkdir()
        (copy / "modules/liar.py").write_text("")
        self.hook.write_text("- {wgmesh.router.liar: {}}\n")
        code, out, did = self.play("upgrade", "--limit", "azure-1", "-e", "mesh_upgrade_hook=%s" % self.hook)
        self.assertEqual((2, ["azure-1: Drain this router"], False), (code, did, report.exists()), out)
        self.assertIn("azure-1: its facts say mesh_group and 2 more", out)
        self.assertRegex(out, "azure-1 stays drained: Go no further: azure-1: its facts say")
        self.assertNotIn("it left this run", out, "the table says why")

    def test_undrains_who_forwards(self):
        """A new machine with a source/destination check got the site's traffic."""
        new = {"drained_why": "a new machine, replace has not ended"}
        drained = {"azure_1": self.seen("azure-1", True, **new), "azure_2": self.seen("azure-2")}
        sees = {"aws_2": self.seen("aws-2", crossed=self.lost("azure-1"))}
        line = "azure-1 stays drained: aws-2: no answer from 10.1.2.4 comes back through azure-1: mend it first, or wgmesh.router.undrain -e "
        code, out, did = self.play("undrain", "--limit", "azure-1", **drained, **sees)
        self.assertEqual((2, []), (code, did), out)
        self.assertIn(line, out)
        undrained = ["azure-1: Undrain this router"]
        code, out, did = self.play("undrain", "--limit", "azure-1", "-e", "mesh_drain_force=true", **drained, **sees)
        self.assertEqual((0, undrained), (code, did), out)
        lost = self.lost("azure-2") + self.lost("azure-1", "azure-2", host="10.1.9.9")
        code, out, did = self.play("undrain", "--limit", "azure-1", silent=["gcp-1"], **drained, aws_2=self.seen("aws-2", crossed=lost))
        self.assertEqual((0, undrained), (code, did), out)

    def test_one_liar(self):
        """One router that was taken over kept all others from being drained and undrained, by what it said of them."""
        lies = self.seen("gcp-1", ways=[{"network": "10.1.0.0/16", "peer": "azure-1"}], crossed=self.lost("azure-2", host="10.1.1.4"))
        others = {router.replace("-", "_"): self.seen(router, source_addresses=["10.2.1.4"]) for router in self.SITES["aws"]}
        drained = ["azure-1: Drain this router"]
        code, out, did = self.play("drain", "--limit", "azure-1", gcp_1=lies, **others)
        self.assertEqual((0, drained), (code, did), out)
        self.assertIn("gcp-1 alone says: no answer from 10.1.1.4 comes back through azure-2; aws-1, aws-2 get theirs: look at gcp-1", out)
        self.assertIn("gcp-1 alone says that it has no other way to 10.1.0.0/16 than by azure-1, but", out)
        self.assertIn("azure-1 is drained: no kernel of 3 other routers sends anything to it, and its own forwards 0 packets/s", out)
        # What it sends counts, and so does a way that it lacks beside this one.
        code, out, did = self.play("drain", "--limit", "azure-1", gcp_1=lies, azure_1=self.seen("azure-1", forwarded=9, carried=[]), **others)
        self.assertEqual((2, drained), (code, did), out)
        self.assertIn("it is drained and stays so, but azure-1 forwards 9 packets/s (); of the others only gcp-1 says that it sends here", out)
        mate = self.seen("azure-2")
        next(tunnel for tunnel in mate["tunnels"] if tunnel["peer"] == "gcp-1")["healthy"] = False
        code, out, did = self.play("drain", "--limit", "azure-1", gcp_1=lies, azure_2=mate, **others)
        self.assertEqual((2, drained), (code, did), out)
        self.assertIn("it is drained and stays so, but gcp-1 has no other way to 10.1.0.0/16 than by azure-1: mend gcp-1, or remove it if", out)
        lies["crossed"] = self.lost("azure-1")
        code, out, did = self.play("undrain", "--limit", "azure-1", azure_1=self.seen("azure-1", True), gcp_1=lies, **others)
        self.assertEqual((0, ["azure-1: Undrain this router"]), (code, did), out)
        self.assertIn("gcp-1 alone says: no answer from 10.1.2.4 comes back through azure-1; aws-1, aws-2 get theirs: look at gcp-1", out)

    def test_waits_for_all_at_once(self):
        """Each of the others was waited for in its turn, mesh_drain_wait for what held up all of them."""
        uses = {"ways": [{"network": "10.1.0.0/16", "peer": "azure-1"}]}
        others = {router.replace("-", "_"): self.seen(router, **uses) for router in self.ROUTERS if router != "azure-1"}
        code, out, did = self.play("drain", "--limit", "azure-1", "-e", "mesh_drain_wait=3", **others)
        self.assertEqual((2, ["azure-1: Drain this router"]), (code, did), out)
        self.assertRegex(out, r"it is drained and stays so, but \S+ has no other way to 10.1.0.0/16 than by azure-1")
        asked = (self.root / "did").read_text().partition("Drain this router")[2].splitlines()
        asked = [line.partition(":")[0] for line in asked if "Look" in line]
        # The first is asked twice, unless the machine is so slow that the time is over with the first answer.
        self.assertEqual((4, list(dict.fromkeys(asked)), True), (len(set(asked)), asked[-4:], len(asked) <= 5), out)

    def test_three_draw_the_table(self):
        """The results of all went to every router: with 100 of them, 100 times those of all tunnels."""
        action = self.root / "ansible_collections/wgmesh/router/plugins/action/mesh_measure_info.py"
        action.unlink()
        action.write_text(
            "from ansible.plugins.action import ActionBase\n\n\nclass ActionModule(ActionBase):\n    def run(self, tmp=None, task_vars=None):\n"
            "        host, results = task_vars['inventory_hostname'], self._task.args.get('results')\n"
            "        if host in task_vars['gone'] or results is None and host == task_vars.get('reboots'):\n            return {'unreachable': True, 'msg': 'Connection refused'}\n"
            "        with open(%r, 'a') as f:\n            f.write('' if results is None else '%%s %%d\\n' %% (host, len(results)))\n"
            "        trouble = {'router': 'gcp-1', 'cause': 'it lies' if host == 'gcp-1' else 'no ping', 'do': 'look at it'}\n"
            "        lines, troubles = (['TABLE'], [trouble]) if results or host == 'gcp-1' else (['no tunnel'], [])\n"
            "        troubles = [] if task_vars.get('calm') else troubles\n"
            "        tunnels = [{'router': host, 'peer': peer} for peer in ('gcp-1', 'nobody')] if results is None else results\n"
            "        return {'tunnels': tunnels, 'lines': lines, 'problems': troubles, 'troubles': troubles}\n" % str(self.root / "did"))
        for gone, draw in (([], ["azure-1", "azure-2", "aws-1"]), (["azure-1", "aws-1"], ["azure-2", "aws-2", "gcp-1"])):
            with self.subTest(gone):
                code, out, _did = self.play("measure", "-e", json.dumps({"gone": gone}))
                count = len(self.ROUTERS) - len(gone)
                want = ["%s %d" % (router, count if router in draw else 0) for router in self.ROUTERS if router not in gone]
                asked = [line for line in (self.root / "did").read_text().splitlines() if ":" not in line]
                self.assertEqual((4 if gone else 2, sorted(want)), (code, sorted(asked)), out)
                self.assertRegex(out, r"\*\*\* TABLE ROUTER FOLLOWS .*gcp-1 - no ping: look at it")
                self.assertNotIn("it lies", out)
        code, out, _did = self.play("measure", "-e", '{"gone": [], "calm": true}')
        self.assertEqual(0, code, out)
        self.assertIn("*** TABLE", out)
        self.assertNotIn("healthy", out, "nobody asked")
        # One that was out of reach in its turn alone was in the table, and the run was not red.
        code, out, _did = self.play("measure", "-e", '{"gone": [], "calm": true, "reboots": "azure-2"}')
        self.assertEqual(2, code, out)
        self.assertIn("not all could be measured: the table at the end says why", out)
        self.assertRegex(out, "ROUTER FOLLOWS .*azure-2 .*Connection refused: check that it runs")

    def test_measures_routers_and_each_once(self):
        """The plan of a router that was taken over said for how long, and how often, the controller measures with it."""
        action = self.root / "ansible_collections/wgmesh/router/plugins/action/mesh_measure_info.py"
        action.unlink()
        action.write_text(
            "from ansible.plugins.action import ActionBase\n\n\nclass ActionModule(ActionBase):\n    def run(self, tmp=None, task_vars=None):\n"
            "        with open(%r, 'a') as f:\n            f.write('%%s %%d %%d\\n' %% (task_vars['inventory_hostname'], len(self._task.args['tunnels']), self._task.timeout)\n"
            "                    if 'count' in self._task.args else '')\n"
            "        return {'tunnels': [], 'lines': [], 'problems': [], 'troubles': []}\n" % str(self.root / "did"))
        here = {"name": "wg1", "peer": "azure-2", "address": "10.254.0.1"}
        for count, lie in ((1, [here] * 1000), (1, [{**here, "peer": "nobody"}, here, {}, 7]), (0, {"a": here})):
            with self.subTest(str(lie)[:200]):
                code, out, _did = self.play("measure", azure_1=self.seen("azure-1", measure=lie), gcp_1=self.seen("gcp-1", measure=[here]))
                asked = [line for line in (self.root / "did").read_text().splitlines() if ":" not in line]
                self.assertEqual((2, ["azure-1 %d %d" % (count, 60 + 10 * count), "azure-2 0 60", "aws-1 0 60", "aws-2 0 60", "gcp-1 1 70"]), (code, asked), out)
                self.assertIn("azure-1 - its plan has tunnels to others than the routers of routers, or two to one of them", out)

    def obedient(self, *more):
        """The modules that a turn runs beside those of the stub say that they did it."""
        for name in ("mesh_gate", "mesh_guard", "mesh_peer", "mesh_preflight_info", "wg_keypair", "wg_psk", *more):
            action = self.root / "ansible_collections/wgmesh/router/plugins/action" / (name + ".py")
            action.unlink()
            action.write_text(
                "from ansible.plugins.action import ActionBase\n\n\nclass ActionModule(ActionBase):\n    def run(self, tmp=None, task_vars=None):\n"
                "        tunnels = [] if 'results' in self._task.args else [dict.fromkeys(('router', 'peer'), task_vars['inventory_hostname'])]\n"
                "        drawn = {'tunnels': tunnels, 'problems': [], 'troubles': [], 'lines': self._task.args.get('results'), 'rotate': self._task.args.get('rotate')}\n"
                "        return {'public': {'public_key': 'a', 'sealing_key': 'b'}, 'envelopes': [], 'pending': [], 'removed': [], **drawn}\n")

    def test_rotates_all_or_nothing(self):
        """With -e mesh_rotate_preshared_keys=1 only the key of tunnel 1 was new, and with y none."""
        self.obedient()
        seal = {"include_role": {"name": "wgmesh.router.mesh", "tasks_from": "seal"}, "vars": {"__mesh_plan": {"plan": {"preshared_keys": []}}}}
        tasks = [seal, {"debug": {"msg": "rotates {{ __mesh_sealed.rotate }}"}}]
        (self.root / "seal.yml").write_text(json.dumps([{"hosts": "azure-1", "gather_facts": False, "tasks": tasks}]))
        for value, want in (("1", True), ("off", False)):
            _code, out, _did = self.play(str(self.root / "seal.yml"), "-e", "mesh_rotate_preshared_keys=" + value)
            self.assertIn("rotates [%s]" % want, out)

    def site(self, *plays):
        """A playbook of somebody's own, of several of ours in one run: the names, each with the mesh if it is not all of them."""
        path = self.root / "site.yml"
        path.write_text(json.dumps([{"import_playbook": "wgmesh.router." + name, "vars": more} for name, more in plays]))
        return str(path)

    def test_several_in_one_run(self):
        """The groups and facts of a play before were taken for its own by the next one."""
        self.obedient("mesh_measure_info")
        azure, aws, limit = {"mesh_group": "azures"}, {"mesh_group": "awss"}, ("--limit", "azure-1,aws-1")
        # Not the routers of the mesh before, nor new private keys for those that were upgraded: nobody asks for these.
        code, out, did = self.play(self.site(("upgrade", azure), ("upgrade", aws), ("rotate", {})), *limit)
        self.assertEqual((0, ["azure-1", "aws-1"]), (code, [line.partition(":")[0] for line in did if "Drain" in line]), out)
        self.assertIn("PLAY [Rotate the pre-shared keys] ", out)
        # Each mesh has a table of its own.
        code, out, did = self.play(self.site(("measure", azure), ("measure", aws)), *limit)
        self.assertEqual((0, ["azure-1", "aws-1"]), (code, re.findall(r"\{'router': '(\S+?)', 'peer'", out)), out)

    def test_goes_on_with_who_was_begun(self):
        """Nobody else of its site can go while it is drained."""
        self.obedient()
        begun = self.seen("azure-2", True, drained_why="upgrade, run 4f2a")
        code, out, did = self.play("upgrade", "--limit", "azures", azure_2=begun)
        self.assertEqual("azure-2: Drain this router", next(line for line in did if "Drain" in line), out)

    def test_one_liar_had_its_turn(self):
        """What it had said in its own turn was held against those of the turns after."""
        self.obedient()
        here = {"cause": "it forwards nothing", "do": "look at it"}
        trouble = {"peer": "aws-1", "text": "it forwards nothing", "follows": False, "alone": True, "final": False, "cut": False, "here": here, **here}
        lies = self.seen("azure-1", healthy=False, required_healthy=False, troubles=[trouble])
        others = {router.replace("-", "_"): self.seen(router, source_addresses=["10.9.1.4"]) for router in self.ROUTERS if router != "azure-1"}
        code, out, did = self.play("upgrade", "--limit", "azure-1,aws-1", azure_1=lies, **others)
        self.assertEqual(0, code, out)
        self.assertIn("aws-1: Undrain this router", did, out)

    def test_hooks(self):
        """What is not a list of tasks ended the run after the drain, or did nothing and was green."""
        self.hook.write_text("- hosts: all\n  tasks: []\n")
        for play in ("replace", "upgrade"):
            code, out, did = self.play(play, "--limit", "azure-1", "-e", "mesh_upgrade_hook=%s" % self.hook)
            self.assertEqual((2, []), (code, did), out)
            self.assertIn("mesh_upgrade_hook: %s: task 1 is not one: expected a file of tasks, not a playbook" % self.hook, out)
            own = self.root / "own.yml"
            role = {"name": "wgmesh.router.mesh", "tasks_from": play}
            for hook, want in ((self.hook, ": task 1 is not one: expected a file of tasks, not a playbook"), ("/nope.yml", " has no tasks: expected a list of them")):
                tasks = [{"ansible.builtin.include_role": role, "vars": {"__mesh_turn": play, "mesh_upgrade_hook": str(hook)}}]
                own.write_text(json.dumps([{"hosts": "routers", "gather_facts": False, "tasks": tasks}]))
                code, out, did = self.play(str(own), "--limit", "azure-1")
                self.assertEqual((2, []), (code, did), out)
                self.assertIn("mesh_upgrade_hook: %s%s" % (hook, want), out)

    def test_listed(self):
        for names, want in (
            ([], ""),
            (["azure-1", "aws-1"], "azure-1, aws-1"),
            (["azure-%d" % i for i in range(100)], "azure-0, azure-1, azure-2, azure-3, azure-4 and 95 more"),
            (["a" * 63], "a" * 57 + "..."),
            (["a" * 63, "b" * 63], "a" * 46 + "... and 1 more"),
            ((name for name in ("azure-1", "aws-1")), "azure-1, aws-1"),
        ):
            self.assertEqual(want, listed(names))

    def test_begins_at_its_beginning(self):
        """A run that began at a later task drained the only router of its site, and named no reason."""
        self.obedient()
        for play, task in (("drain", "Ask everyone to use other routers"), ("mesh", "Begin"), ("add", "Make a router of its host"), ("routes", "Say")):
            with self.subTest(play):
                code, out, did = self.play(play, "--limit", "aws-1", "--start-at-task", task)
                self.assertEqual([], did, out)
                self.assertNotEqual(0, code, out)
                self.assertIn("--start-at-task leaves out what this playbook looks at first: give the same command without it", out)

    def test_hook_ends_its_play(self):
        """Each router of the run stayed drained, and it was green."""
        self.obedient()
        self.hook.write_text("- ansible.builtin.include_tasks: inner.yml\n")
        for play, ends in (("upgrade", "end_play"), ("replace", "end_host")):
            (self.hook.parent / "inner.yml").write_text("- ansible.builtin.meta: %s\n" % ends)
            code, out, did = self.play(play, "--limit", "azure-1", "-e", "mesh_upgrade_hook=%s" % self.hook)
            self.assertEqual(2, code, out)
            self.assertIn("azure-1: the hook ended the play, so nobody looked whether the router is well, and it stays drained", out)

    def test_hookable(self):
        for text, want in (
            ("- ansible.builtin.raw: [\n", "is not YAML (line 2: "),
            ("- {ansible.builtin.raw: id}\n---\n- {ansible.builtin.raw: id}\n", "is not YAML (line 2: "),
            ("", "has no tasks: expected a list of them"),
            ("---\n# nothing\n", "has no tasks: expected a list of them"),
            ("[]", "has no tasks: expected a list of them"),
            ("ansible.builtin.raw: id\n", "has no tasks: expected a list of them"),
            ("- ansible.builtin.raw\n", "task 1 is not one: expected a file of tasks"),
            ("- import_playbook: wgmesh.router.mesh\n", "task 1 is not one: expected a file of tasks, not a playbook"),
            ("- {raw: id, command: id}\n", "task 1 cannot be read"),
            ("- {name: nothing}\n", "task 1 cannot be read"),
            ("- {raw: id}\n- {rebot: }\n", "task 2: this controller has no module rebot"),
            ("- {raw: id}\n- {block: [{raw: id}], rescue: [{no.such.thing: }]}\n", "task 2: this controller has no module no.such.thing"),
            ("- {raw: id, whn: false}\n", "task 1: whn is not a keyword"),
            ("- {raw: id}\n- {block: [{meta: end_host, when: x}]}\n", "task 2: meta: end_host would end the router's turn"),
            ("- {ansible.builtin.meta: end_play}\n", "task 1: meta: end_play would end the router's turn"),
            ("- {meta: clear_facts}\n- {action: meta noop}\n", ""),
            ("- {raw: id, on: x}\n", "task 1: True is not a keyword"),
            ("- {raw: id, 1: x}\n", "task 1: 1 is not a keyword"),
            ("- {block: [{raw: id}], whn: false}\n", "task 1: whn is not a keyword"),
            ("- {always: [{raw: id}]}\n", "task 1 is not a block with a list of tasks"),
            ("- {block: {raw: id}}\n", "task 1 is not a block with a list of tasks"),
            ("- {debug: {msg: !unsafe '{{ x'}}\n- {local_action: {module: command, cmd: id}}\n- {action: '{{ x }}'}\n", ""),
            ("- {collections: [community.aws], block: [{ec2_ami_info: }]}\n", ""),
            ("- {raw: id, with_items: [1], register: x}\n- {include_tasks: x.yml}\n- {wgmesh.router.mesh_guard: {state: absent}}\n- {mesh_guard: {}}\n", ""),
            ("- debug:\n    msg: !vault |\n      $ANSIBLE_VAULT;1.1;AES256\n      6162\n", ""),
        ):
            with self.subTest(text):
                line = hookable("/h.yml", text)
                self.assertEqual(bool(want), bool(line), line)
                self.assertIn(want, line)
                self.assertTrue(line.startswith("mesh_upgrade_hook: /h.yml" if want else ""), line)
                self.assertLessEqual(len(line), 160)
        for path in pathlib.Path(__file__).parents[2].glob("examples/upgrade/*.yml"):
            self.assertEqual("", hookable(str(path), path.read_text()))

    def test_sick(self):
        """A machine whose large packets are lost has no tunnel that is well, and everybody sends to it: it is drained all the same."""
        sick = self.seen("azure-1", healthy=False)
        for tunnel in sick["tunnels"]:
            tunnel["healthy"] = False
        code, out, did = self.replace(azure_1=sick)
        self.assertEqual((2, ["azure-1: Drain this router"], True), (code, did, self.ran.exists()), out)
        uses = self.seen("aws-1", ways=[{"network": "10.1.0.0/16", "peer": "azure-1"}])
        code, out, did = self.replace(azure_1=self.seen("azure-1", bgp="Active"), aws_1=uses)
        self.assertEqual((2, [], False), (code, did, self.ran.exists()), out)
        self.assertIn("azure-1 has no BGP session, so it is not drained, and aws-1 sends to it: mend it, or accept the cut with", out)
        code, out, did = self.replace(azure_1=self.seen("azure-1", bgp="Active"))
        self.assertEqual((2, [], True), (code, did, self.ran.exists()), out)

    def test_two_at_once(self):
        """Each had the other's drain for its own, and the hook of both made a machine. The one that drained it last goes on."""
        theirs = self.seen("azure-1", True, bird={"stale": [], "pending": []})
        for play in ("replace", "upgrade"):
            with self.subTest(play):
                here = {**theirs, "drained_why": play + ", run beef", "bird": {**theirs["bird"], "drained_why": play + ", run cafe"}}
                args = ("--limit", "azure-1", "-e", "mesh_upgrade_hook=%s" % self.hook)
                code, out, did = self.play(play, *args, azure_1=here)
                self.assertEqual((2, ["azure-1: Drain this router"], False), (code, did, self.ran.exists()), out)
                self.assertIn("azure-1 was drained again meanwhile (%s, run beef): leave it to whoever did that" % play, out)
                self.assertRegex((self.root / "whys").read_text(), "^azure-1: %s, run [0-9a-f]{4}\n$" % play)
                here["drained_why"] = play + ", run cafe"
                self.play(play, *args, azure_1=here)
                self.assertTrue(self.ran.exists())

    def test_drained_by_another_meanwhile(self):
        """Who drained a router was told that it may go, and stays so, when a run had drained it meanwhile, and undrained it later."""
        theirs = self.seen("azure-1", True, drained_why="upgrade, run beef")
        for why in ((), ("-e", "mesh_drain_why= disk")):
            code, out, did = self.play("drain", "--limit", "azure-1", *why, later={"azure-1": theirs})
            self.assertEqual((2, ["azure-1: Drain this router"], False), (code, did, "may go" in out), out)
            self.assertIn("azure-1 was drained again meanwhile (upgrade, run beef): leave it to whoever did that", out)
            code, out, did = self.play("drain", "--limit", "azure-1", *why)
            self.assertEqual((0, True), (code, "azure-1 is drained: no kernel" in out), out)

    def test_gone_meanwhile(self):
        """A router that went away once it was drained was asked 16 times what it forwards, and then whether it is drained still."""
        code, out, _did = self.play("drain", "--limit", "azure-1", "-e", "mesh_drain_wait=8", later={"azure-1": None})
        self.assertEqual((2, False, 0), (code, "RETRYING" in out, len(re.findall("drained still] \\*+ (?!skipping)", out))), out)
        self.assertIn("it is drained and stays so, but it is gone: Connection refused: check that it runs", out)

    def test_undrained_meanwhile(self):
        """The hook ran on a router that somebody had undrained before, under traffic."""
        for play in ("drain", "upgrade", "replace"):
            with self.subTest(play):
                args = () if play == "drain" else ("-e", "mesh_upgrade_hook=%s" % self.hook)
                code, out, did = self.play(play, "--limit", "azure-1", *args, later={"azure-1": self.seen("azure-1")})
                self.assertEqual((2, ["azure-1: Drain this router"], False, False), (code, did, self.ran.exists(), "may go" in out), out)
                self.assertIn("azure-1 was undrained meanwhile, and is in use: find out who did that, and run again", out)
        code, out, did = self.replace(later={"azure-1": self.seen("azure-1", bgp="")})
        self.assertTrue(self.ran.exists(), "a BIRD that hangs says nothing of it: " + out)

    def test_undrained_and_in_use(self):
        """Who was undrained meanwhile is used by all: the router was called drained, and the one that said so a liar."""
        ways = [{"network": "10.1.0.0/16", "peer": "azure-1"}]
        for who in (("gcp-1",), ("gcp-1", "aws-1")):
            with self.subTest(who):
                uses = {router.replace("-", "_"): self.seen(router, ways=ways) for router in who}
                code, out, _did = self.play("drain", "--limit", "azure-1", later={"azure-1": self.seen("azure-1")}, **uses)
                self.assertEqual((2, False, False), (code, "drained and stays so" in out, "alone says that" in out), out)
                self.assertIn("was undrained meanwhile, and is in use: find out who did that, and run again", out)

    def test_undrains_no_hook(self):
        """Who undrained all routers undrained one in the middle of the hook of somebody else's run."""
        begun = self.seen("azure-1", True, drained_why="upgrade, run 4f2a")
        code, out, did = self.play("undrain", azure_1=begun)
        self.assertEqual((2, []), (code, did), out)
        self.assertIn("azure-1 stays drained: a run has drained it (upgrade, run 4f2a): wait for it, or undrain it alone with --limit", out)
        code, out, did = self.play("undrain", "--limit", "azure-1", azure_1=begun)
        self.assertEqual((0, ["azure-1: Undrain this router"]), (code, did), out)
        # Nor one that a run drains between the look and the undrain.
        code, out, did = self.play("undrain", azure_1=self.seen("azure-1", True, drained_why="disk"))
        self.assertEqual((0, ["azure-1: Undrain this router"]), (code, did), out)
        self.assertEqual("azure-1: undrained disk\n", (self.root / "whys").read_text())

    def test_resets_no_one_undrained_meanwhile(self):
        """A router was reset under traffic that somebody had undrained while the reset waited for its last packet."""
        was = {"stale": [], "pending": [], "drained": True}
        for now, want in ((False, 2), (True, 0)):
            with self.subTest(now):
                code, out, _did = self.play("reset", "--check", "--limit", "azure-1", azure_1=self.seen("azure-1", now, bird=was))
                self.assertEqual((want, want > 0), (code, "azure-1 was undrained meanwhile, and is in use: mend it first, or" in out), out)

    def test_resets_no_one_undrained_at_last(self):
        """Between the last look and the first stop were seconds, in which a router was undrained and reset under traffic."""
        used = "Find out who uses it now: it is still used by gcp-1: run wgmesh.router.drain for it first"
        was = {"stale": [], "pending": [], "drained": True}
        raw = self.root / "ansible_collections/wgmesh/router/plugins/action/bounded_raw.py"
        raw.unlink()  # it would be this machine
        raw.write_text(
            "from ansible.plugins.action import ActionBase\n\n\nclass ActionModule(ActionBase):\n    def run(self, tmp=None, task_vars=None):\n"
            "        return {'changed': False, 'rc': 0, 'stdout': '', 'stdout_lines': []}\n")  # fmt: skip
        for more, state in ((("--check",), "is as it was"), ((), "has its tunnels and keys, and no services")):
            with self.subTest(state):
                code, out, did = self.play("reset", *more, "--limit", "azure-1", azure_1=self.seen("azure-1", True, bird=was, used=used))
                self.assertEqual((2, 1), (code, out.count("azure-1 %s (%s): mend that, and give the same" % (state, used))), out)
                self.assertLess(did.index("azure-1: Find out who uses it now"), did.index("azure-1: End BIRD, and put the former bird.conf back"))

    def test_undrains_its_own(self):
        """A replace undrained the new machine whatever somebody had drained it for meanwhile, and a rotate the only router of a site."""
        self.obedient()
        new = "a new machine, replace has not ended"
        for play, router, seen, want in (
            (["replace"], "azure-1", self.seen("azure-1", True, drained_why=new), new),  # the same command again
            (["replace"], "azure-1", self.seen("azure-1"), "replace, run [0-9a-f]{4}"),  # the hook left it as it was
            (["replace"], "azure-1", self.seen("azure-1", True, bgp="", drained_why="disk"), "disk"),  # so it was found
            (["replace"], "azure-1", self.seen("azure-1", bgp=""), new),
            (["rotate", "-e", "mesh_rotate=private"], "gcp-1", self.seen("gcp-1"), "rotate"),
            (["rotate", "-e", "mesh_rotate=private"], "gcp-1", self.seen("gcp-1", True, drained_why="rotate, run 4f2a"), "rotate, run 4f2a"),
        ):
            with self.subTest(play=play, want=want):
                self.hook.write_text("- {ansible.builtin.debug: {}}\n")
                hook = ("-e", "mesh_upgrade_hook=%s" % self.hook) if play == ["replace"] else ()
                code, out, did = self.play(*play, "--limit", router, *hook, **{router.replace("-", "_"): seen})
                self.assertEqual(0, code, out)
                self.assertRegex((self.root / "whys").read_text(), "%s: undrained %s\n$" % (router, want), out)

    def test_two_of_a_site(self):
        """Two runs drained both routers of a site, each before the other's drain was there to be seen, and both hooks ran."""
        for play in ("replace", "upgrade", "drain"):
            with self.subTest(play):
                args = (play, "--limit", "azure-1", *(() if play == "drain" else ("-e", "mesh_upgrade_hook=%s" % self.hook)))
                drained = self.seen("azure-2", True, drained_why="upgrade, run beef")
                code, out, did = self.play(*args, azure_2=drained)
                self.assertEqual((2, [], False), (code, did, self.ran.exists()), out)
                self.assertIn("azure-1 is not drained: azure-2 of its site is drained already: undrain that one first", out)
                code, out, did = self.play(*args, later={"azure-2": drained})
                self.assertEqual((2, ["azure-1: Drain this router"], False), (code, did, self.ran.exists()), out)
                self.assertIn("azure-1 is drained and stays so, as azure-2 of its site is, too (upgrade, run beef): wait for whoever drained "
                              "that one, or undrain it, and run again", out)
                self.assertNotIn("may go", out)

    def test_unheard(self):
        """A machine that nobody heard was taken for gone: when the controller reached nobody, the hook destroyed one in use."""
        others = [router for router in self.ROUTERS if router != "azure-1"]
        away = {"azure_1": None}
        uses = self.seen("gcp-1", ways=[{"network": "10.1.0.0/16", "peer": "azure-1"}])
        for silent, more, want in (
            (others, {}, "azure-1 does not answer, and no router of aws, gcp answers (4 of 4 others are silent), so nobody knows who uses it: mend SSH, or -e mesh_drain_force=true"),
            (["aws-1", "gcp-1"], {}, "azure-1 does not answer, and no router of gcp answers (2 of 4 others are silent), so nobody knows who uses it: mend SSH"),
            ([], {"gcp_1": uses}, "azure-1 does not answer, so it is not drained, and gcp-1 sends to it: mend its SSH, or accept the cut with -e mesh_drain_force=true"),
            (["aws-1"], {}, ""),
        ):
            with self.subTest(silent):
                code, out, did = self.replace(silent=silent, **away, **more)
                self.assertEqual((2, want == "", []), (code, self.ran.exists(), did), out)
                self.assertIn(want or "azure-1 is not replaced: ansible.builtin.fail: the hook ends here: mend it, and run again", out)
        self.replace("-e", "mesh_drain_force=true", silent=others, **away)
        self.assertTrue(self.ran.exists())

    def test_unheard_but_by_one(self):
        """One router, which may have been taken over, kept a dead machine from being replaced."""
        def others(**more):
            seen = {router.replace("-", "_"): self.seen(router) for router in self.ROUTERS if router != "azure-1"}
            for status in seen.values():
                for tunnel in status["tunnels"]:
                    tunnel["healthy"] = tunnel["peer"] != "azure-1"
            return {"azure_1": None, **seen, **{router: dict(seen[router], **say) for router, say in more.items()}}

        says = {"ways": [{"network": "10.1.0.0/16", "peer": "azure-1"}]}
        alone = "gcp-1 alone says that it has no other way to 10.1.0.0/16 than by azure-1, but the tunnel between it and azure-2 is well"
        refused = "azure-1 does not answer, so it is not drained, and %s sends to it"
        up = {"tunnels": self.seen("aws-1")["tunnels"]}
        cut = {"tunnels": [{"name": "wg1", "peer": "gcp-1", "healthy": False, "bgp": "Active"}]}
        for more, ran, want in (
            ({"gcp_1": says}, True, alone),
            ({"gcp_1": says, "aws_1": up}, False, refused % "gcp-1"),  # it is alive
            ({"gcp_1": says, "aws_1": says}, False, refused.partition("%s")[0]),
            ({"azure_2": says}, False, refused % "azure-2"),  # of its site
            ({"gcp_1": says, "azure_2": cut}, False, refused % "gcp-1"),  # nobody else carries it
            ({"gcp_1": says, "azure_2": {"drained": True}}, False, refused % "gcp-1"),
        ):
            with self.subTest(want):
                code, out, did = self.replace(**others(**more))
                self.assertEqual((2, ran, []), (code, self.ran.exists(), did), out)
                self.assertIn(want, out)


if __name__ == "__main__":
    unittest.main()
