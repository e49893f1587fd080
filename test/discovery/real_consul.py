"""The plugin, the example and the registration of docs/discovery.md, against the real Consul of `make consul`."""

import os
import pathlib
import re
import subprocess
import tempfile
import time
import unittest

import lab

ROOT_TOKEN = "11111111-2222-3333-4444-555555555555"
READER = 'service "wgmesh-router" { policy = "read" }\n'
SETTINGS = """
acl { enabled = true  default_policy = "deny"  tokens { initial_management = "%s" } }
datacenter = "munich"  node_name = "office-2"  disable_update_check = true  log_level = "ERROR"
"""


class Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="wgmesh-discovery.")))
        cls.write("consul.hcl", SETTINGS % ROOT_TOKEN)
        log = cls.enterClassContext(open(cls.folder / "log", "w", encoding="utf-8"))
        args = ["agent", "-dev", "-bind", "127.0.0.1", "-client", "127.0.0.1", "-config-file", cls.folder / "consul.hcl"]
        agent = subprocess.Popen([os.environ["CONSUL"], *args], stdout=log, stderr=log)
        cls.addClassCleanup(agent.wait)
        cls.addClassCleanup(agent.kill)
        documented = (lab.ROOT / "docs/discovery.md").read_text(encoding="utf-8")
        registration = cls.write("router.json", re.search(r"```json\n(.*?)```", documented, re.S)[1])
        deadline = time.monotonic() + 60
        while subprocess.run(cls.command("services", "register", registration), env=cls.env(), capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline and agent.poll() is None, (cls.folder / "log").read_text()
            time.sleep(0.5)
        cls.reader = cls.token("reader", READER + 'node_prefix "" { policy = "read" }\n')
        cls.weak = cls.token("weak", READER)

    @classmethod
    def write(cls, name, text):
        path = cls.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    @staticmethod
    def env():
        return {"CONSUL_HTTP_TOKEN": ROOT_TOKEN, "PATH": os.environ["PATH"]}

    @staticmethod
    def command(*args):
        return [os.environ["CONSUL"], *args]

    @classmethod
    def token(cls, name, rules):
        def run(*args):
            return subprocess.run(cls.command("acl", *args), env=cls.env(), capture_output=True, text=True, check=True).stdout

        run("policy", "create", "-name", name, "-rules", rules)
        return re.search(r"SecretID: +(\S+)", run("token", "create", "-policy-name", name))[1]

    def ask(self, token, source):
        return lab.Ansible("newest").inventory(source, env={"CONSUL_HTTP_TOKEN": token} if token else {})

    def source(self, **more):
        return self.write("a.consul.yml", "plugin: wgmesh.router.consul\n" + "".join("%s: %s\n" % one for one in more.items()))

    def test_example(self):
        hosts, groups, said = self.ask(self.reader, lab.EXAMPLES / "consul.yml")
        self.assertIsNotNone(hosts, said)
        self.assertEqual((["office-2"], ["office-2"]), (groups["routers"], groups["mesh_from_consul"]))
        have = {key: value for key, value in hosts["office-2"].items() if key.startswith("mesh_") and isinstance(value, str)}
        want = {"mesh_id": "2", "mesh_site": "office", "mesh_zone": "hq", "mesh_endpoint": "192.0.2.12", "mesh_host_key": ""}
        self.assertEqual(want, {key: have[key] for key in want})

    def test_options(self):
        hosts, _, said = self.ask(self.reader, self.source(datacenters="['*']", stale="true", passing="true"))
        self.assertEqual(("passing", "munich"), (hosts["office-2"]["consul_status"], hosts["office-2"]["consul_datacenter"]), said)

    def test_errors(self):
        for token, options, words in (
            (self.weak, {}, "Consul kept a part of its answer back: give a token with service:read for wgmesh-router and node:read"),
            ("", {}, "Consul has no instance of the service wgmesh-router with these tags and metadata; or the token may not read it"),
            ("99999999-2222-3333-4444-555555555555", {}, "Consul answers 403: ACL not found"),
            (self.reader, {"service": "another"}, "no instance of the service another"),
            (self.reader, {"datacenters": "[paris]"}, "Consul answers 500: No path to datacenter"),
        ):
            hosts, _, said = self.ask(token, self.source(**options))
            self.assertIsNone(hosts)
            self.assertRegex(said, words)


if __name__ == "__main__":
    unittest.main()
