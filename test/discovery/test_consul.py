"""The inventory plugin for Consul, on the oldest and the newest ansible-core."""

import json
import os
import pathlib
import ssl
import tempfile
import unittest

import consul_fake
import lab

CORES = os.environ.get("CORES", "2.14 newest").split()
SECRET = "6f2a6c0e-canary-4c7e"


class Test(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="wgmesh-discovery.")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.consul = consul_fake.Consul()
        self.url = self.serve(self.consul)

    def serve(self, consul, context=None):
        server = lab.serve(consul.play, context)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return "%s://127.0.0.1:%d" % ("https" if context else "http", server.server_address[1])

    def source(self, name, **options):
        path = self.folder / ("%s.consul.yml" % name)
        path.write_text(json.dumps({"plugin": "wgmesh.router.consul", "url": self.url, **options}, default=str))
        return path

    def each(self, *sources, **more):
        for core in CORES:
            print("ansible-core", core, self.id(), flush=True)
            yield lab.Ansible(core).inventory(*sources, **more)

    def test_hosts(self):
        hostile = "{{ lookup('pipe', 'touch %s/ran') }}" % self.folder
        c = self.consul
        c.register("office-1", "10.0.0.11", meta={"mesh": "wan", "mesh_id": "1", "note": hostile}, tags=["eu", "vpn"], service_address="10.0.0.99")
        c.register("office-2", "10.0.0.12", meta={"mesh": "wan", "mesh_id": "2"}, tags=["eu"], checks=["passing", "critical"])
        c.register("foreign", "10.0.0.13", meta={"mesh": "lab"}, tags=["eu"])
        c.register("web", "10.0.0.14", service="web")
        c.register("vienna-1", "10.9.0.1", datacenter="vienna", meta={"mesh": "wan", "mesh_id": "9"})
        compose = {"mesh_id": "consul_service_meta.mesh_id", "note": "consul_service_meta.note | default('none')"}
        every = self.source("every", meta={"mesh": "wan"}, datacenters=["*"], compose=compose, groups={"routers": "true"}, strict=True)
        passing = self.source(
            "passing", passing=True, hostname="'passing-' ~ consul_node", keyed_groups=[{"key": "consul_datacenter", "prefix": "dc"}]
        )
        tagged = self.source("tagged", tags=["vpn", "eu"], hostname="'tagged-' ~ consul_service_address")
        empty = self.source("empty", service="nothing", allow_empty=True)
        for hosts, groups, said in self.each(every, passing, tagged, empty):
            self.assertIsNotNone(hosts, said)
            self.assertEqual(["office-1", "office-2", "passing-foreign", "passing-office-1", "tagged-10.0.0.99", "vienna-1"], sorted(hosts), said)
            self.assertEqual(["office-1", "office-2", "vienna-1"], sorted(groups["routers"]))
            self.assertEqual(["passing-foreign", "passing-office-1"], sorted(groups["dc_munich"]))
            one = hosts["office-1"]
            self.assertEqual(["10.0.0.99", "10.0.0.11", "munich"], [one[k] for k in ("ansible_host", "consul_node_address", "consul_datacenter")])
            self.assertEqual(["critical", "10.0.0.12"], [hosts["office-2"][k] for k in ("consul_status", "ansible_host")])
            self.assertEqual({"rack": "r1"}, one["consul_node_meta"])
            self.assertEqual(hostile, one["note"])
            self.assertFalse((self.folder / "ran").exists(), "a template of the catalogue ran")
            self.assertNotIn("WARNING", said)

    def test_templates_stay_text(self):
        """Also when a task uses the variable, which is when Ansible would run it."""
        hostile = "{{ lookup('pipe', 'touch %s/ran') }}" % self.folder
        self.consul.register("office-1", meta={"mesh_site": hostile})
        source = self.source("hostile", compose={"mesh_site": "consul_service_meta.mesh_site"})
        play = self.folder / "play.yml"
        play.write_text(
            "- hosts: all\n  gather_facts: false\n  connection: local\n  tasks:\n"
            "    - ansible.builtin.debug: {msg: '{{ mesh_site }} and {{ consul_service_meta }}'}\n"
        )
        for core in CORES:
            with self.subTest(core=core):
                done = lab.Ansible(core).run("ansible-playbook", "-i", source, play)
                self.assertEqual(0, done.returncode, done.stdout + done.stderr)
                self.assertIn("lookup(", done.stdout)
                self.assertFalse((self.folder / "ran").exists(), "a template of the catalogue ran")

    def test_routers_on_an_old_core(self):
        """Which runs what is found as templates: routers.yml refuses sources that find, but for ours."""
        template = "{{ lookup('pipe', 'touch %s/ran') }}" % self.folder
        self.consul.register("office-1", meta={"mesh": "wan", "mesh_site": template})
        words = {"mesh_id": "1", "mesh_endpoint": "'none'"}
        words["mesh_site"] = words["mesh_sites"] = "consul_service_meta.mesh_site"
        ours = self.source("ours", compose=words, groups={"routers": "true"})
        listed, other, program, last = (self.folder / name for name in ("a.yml", "b.yml", "c.sh", "routers.yml"))
        office_2 = "{mesh_id: 2, mesh_site: office, mesh_endpoint: none, plugin: x}"
        listed.write_text("routers: {hosts: {office-2: %s}}\n" % office_2)
        compose = dict.fromkeys(("mesh_site", "mesh_sites"), "'{' ~ %s" % json.dumps(template[1:]))
        other.write_text(json.dumps({"plugin": "ansible.builtin.constructed", "strict": True, "compose": compose}))
        office_3 = {"mesh_id": 3, "mesh_site": template, "mesh_sites": template, "mesh_endpoint": "none"}
        told = json.dumps({"routers": {"hosts": ["office-3"]}, "_meta": {"hostvars": {"office-3": office_3}}})
        program.write_text("#!/bin/sh\ncat <<'END'\n%s\nEND\n" % told)
        program.chmod(0o755)
        last.write_text("plugin: wgmesh.router.routers\n")
        for core in CORES:
            with self.subTest(core=core):
                ansible = lab.Ansible(core)
                hosts, _, said = ansible.inventory(listed, ours, last)
                self.assertIsNotNone(hosts, said)
                for source in (other, program):
                    hosts, _, said = ansible.inventory(listed, source, last)
                    if core == "newest":
                        self.assertIsNotNone(hosts, said)
                        continue
                    self.assertIsNone(hosts)
                    told = r"ansible-core 2\.14\.\d+ runs what \S+/%s finds as templates: expected 2\.19 or newer" % source.name
                    self.assertRegex("\n".join(lab.warnings(said)), told)
        self.assertFalse((self.folder / "ran").exists(), "a template of the catalogue ran")

    def test_sites_that_are_numbers_or_templates(self):
        """All sites were said to have no router, for want of a permission."""
        hosts, last = self.folder / "a.yml", self.folder / "routers.yml"
        last.write_text("plugin: wgmesh.router.routers\nsites: {office: 1}\n")
        vienna = "mesh_id: 2, mesh_site: 2, mesh_endpoint: none"
        sites = "mesh_sites: {1: {}, 2: {zones: {x: []}}, 3: {}}"
        third = "three: {mesh_id: 3, mesh_endpoint: none, mesh_site: %s}"
        hostile = "{{ lookup('pipe', 'touch %s/ran') }}" % self.folder
        same = '"{{ nowhere }}"}, again: {mesh_id: 4, mesh_endpoint: none, mesh_sites: {1: {}, 2: {}, %s}, mesh_site: "{{ nowhere }}"'
        others = same + '}, zero: {mesh_state: absent, mesh_site: "{{ never }}"'
        unrendered = ("is a template that is not rendered here", "write the site, or have compose of its source give it")
        for zone, site, want, fails in (
            ("x", "3", (), False),
            ("x", "2", ("site 3: no source has a router of it",), True),
            ("''", "3", ("router two: mesh_zone is missing: expected one of x",), True),
            ("x", '"{{ here }}"', (), False),
            ("x", '"{% if true %}3{% endif %}"', (), False),
            ("x", '"{{ here - 1 }}", mesh_zone: x', ("site 3: no source has a router of it",), True),
            ("x", '"{{ here - 1 }}"', ("router three: mesh_zone is missing: expected one of x",), True),
            ("x", '"{{ nowhere }}"', unrendered, False),
            ("x", others % "3: {}", unrendered, False),
            ("x", others % "3: {}, 4: {}", (*unrendered, "site 3: no source has a router of it", "site 4: no source has a router of it"), True),
            # What a source says is not rendered, whoever has the template.
            ("x", '3}, spy: {mesh_id: 4, mesh_endpoint: none, mesh_site: "%s"' % hostile, ("router spy (found by office): mesh_site is {{ lookup(",), True),
        ):
            hosts.write_text(
                "mesh_from_office: {hosts: {one: {}, spy: {}}}\n"
                "routers: {vars: {here: 3, %s}, hosts: {one: {mesh_id: 1, mesh_site: '1', mesh_endpoint: none}, two: {%s, mesh_zone: %s}, %s}}\n"
                % (sites, vienna, zone, third % site)
            )
            for found, _, said in self.each(hosts, last):
                told = "\n".join(one for one in lab.warnings(said) if "routers.yml: " in one)
                with self.subTest(site=site):
                    self.assertEqual(fails, found is None, said)
                    self.assertEqual(bool(want), bool(told), said)
                    for text in want:
                        self.assertIn(text, told)
        self.assertFalse((self.folder / "ran").exists(), "a template of a source ran")

    def test_all_sites_are_a_template(self):
        """It switched off the question for a site without a router, whose tunnels the next run then took away."""
        hosts, last = self.folder / "a.yml", self.folder / "routers.yml"
        last.write_text("plugin: wgmesh.router.routers\n")
        self.consul.register("office-1", meta={"site": "1"})
        words = {"mesh_id": "1", "mesh_endpoint": "'none'", "mesh_site": "consul_service_meta.site"}
        found = self.source("b", compose=words, groups={"routers": "true"})
        zone = "router two: mesh_zone is missing: expected one of x"
        warning = "mesh_sites is a template that is not rendered here, so nobody looks for a site without a router, nor for zones: write them out"
        for sites, two, want, fails in (
            ('"{{ ours }}"', "mesh_site: 2, mesh_zone: x", (), False),
            ('"{{ ours }}"', "mesh_site: 1", ("site 2: no source has a router of it",), True),
            ('"{{ ours }}"', "mesh_site: 2", (zone,), True),
            ('{1: {}, 2: "{{ ours[2] }}"}', "mesh_site: 2", (zone,), True),
            ('{1: {}, 2: {zones: "{{ nowhere }}"}, 3: {}}', "mesh_site: 2", ("site 3: no source has a router of it",), True),
            ('"{{ nowhere }}"', "mesh_site: 2", (warning,), False),
        ):
            hosts.write_text(
                "routers: {vars: {ours: {1: {}, 2: {zones: {x: []}}}, mesh_sites: %s}, hosts: {two: {mesh_id: 2, mesh_endpoint: none, %s}}}\n"
                % (sites, two)
            )
            for there, _, said in self.each(hosts, found, last):
                told = "\n".join(one for one in lab.warnings(said) if "routers.yml: " in one)
                with self.subTest(sites=sites, two=two):
                    self.assertEqual(fails, there is None, said)
                    self.assertEqual(bool(want), bool(told), said)
                    for text in want:
                        self.assertIn(text, told)
                    self.assertNotIn("router two: mesh_zone is missing: expected one of  ", told)

    def test_token_and_tls(self):
        ca, cert, key = lab.authority(self.folder, ["127.0.0.1"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        context.verify_mode = ssl.CERT_REQUIRED  # as verify_incoming of Consul
        context.load_verify_locations(ca)
        self.consul.secret = SECRET
        self.consul.register("office-1")
        token = self.folder / "token"
        token.write_text(SECRET + "\n")
        source = self.source("tls", url=self.serve(self.consul, context), ca_file=ca, client_cert=cert, client_key=key, token_file=token)
        by_env = self.folder / "env.consul.yml"
        by_env.write_text("plugin: wgmesh.router.consul\nhostname: \"'env-' ~ consul_node\"\n")
        env = {"CONSUL_HTTP_ADDR": self.url[len("http://") :], "CONSUL_HTTP_TOKEN": SECRET, "http_proxy": "http://127.0.0.1:9"}
        for hosts, _groups, said in self.each(source, by_env, env=env, more=["-vvvv"]):
            self.assertIsNotNone(hosts, said)
            self.assertEqual(["env-office-1", "office-1"], sorted(hosts))
            self.assertNotIn(SECRET, said + str(hosts))

    def test_errors(self):
        """Each in one line that names the file, what was expected and what to do; none with the token."""
        ca, cert, key = lab.authority(self.folder, ["127.0.0.1"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        guarded, broken, slow, lost, moved = (consul_fake.Consul() for _ in range(5))
        guarded.secret = "strong"
        guarded.register("office-1")
        broken.raw = (200, {}, {"not": "a list"})
        moved.raw = (302, {"Location": self.url + "/v1/health/service/wgmesh-router"}, b"")
        slow.slow.set()
        lost.lost = {"X-Consul-KnownLeader": "false", "X-Consul-LastContact": "7000"}
        lost.register("office-1")
        for _ in range(2):
            self.consul.register("twin")
        self.consul.register("nameless", service="nameless", datacenter="vienna", meta={"x": "{{ 7 * 7 }}"})
        for name, service_address in {"option": "-oProxyCommand=touch${IFS}/x;false", "spaces": "10.0.0.1 -oProxyCommand=x", "lines": "a\nb", "zone": "fe80::1%$(id)"}.items():
            self.consul.register("address-" + name, service="address-" + name, service_address=service_address)
        self.consul.register("-oProxyCommand", service="option")
        token, empty, weak = (self.folder / name for name in ("token", "empty", "weak"))
        token.write_text(SECRET)
        empty.write_text("\n")
        weak.write_text("weak")
        at = {name: self.serve(c) for name, c in {"guarded": guarded, "broken": broken, "slow": slow, "lost": lost, "moved": moved}.items()}
        expected = {
            "proxy": ({"use_proxy": True}, r"no answer of Consul: http_proxy or https_proxy is not the URL of a proxy: expected http://"),
            "down": ({"url": "http://127.0.0.1:9"}, r"Connection refused; set url or CONSUL_HTTP_ADDR to an agent or a server that runs"),
            "tls": ({"url": self.serve(self.consul, context)}, r"certificate is not trusted \(.*\): name the authority's in ca_file"),
            "url": (
                {"url": "unix:///run/consul.sock"},
                r"url or CONSUL_HTTP_ADDR is not an address of Consul: expected such as https://consul.example:8501",
            ),
            "slow": ({"url": at["slow"], "timeout": 1}, r"no answer of Consul within 1 s, which timeout is"),
            "lost": ({"url": at["lost"]}, r"Consul answers 500: No cluster leader"),
            "datacenter": ({"datacenters": ["paris"]}, r"dc=paris: Consul answers 500: No path to datacenter"),
            "broken": ({"url": at["broken"]}, r"this is not an answer of Consul: expected a JSON list"),
            "moved": ({"url": at["moved"], "token_file": weak}, r"Consul answers 302"),
            "refused": (
                {"url": at["guarded"], "token_file": token},
                r"403: ACL not found; give a token with service:read for wgmesh-router and node:read",
            ),
            "weak": ({"url": at["guarded"], "token_file": weak}, r"kept a part of its answer back: give a token with service:read for wgmesh-router"),
            "anonymous": (
                {"url": at["guarded"]},
                r"no instance of the service wgmesh-router with these tags and metadata; or the token may not read it",
            ),
            "nofile": ({"token_file": self.folder / "none"}, r"token_file \S+/none cannot be read: No such file or directory"),
            "emptyfile": ({"token_file": empty}, r"token_file \S+/empty is empty: expected the ACL token and nothing else"),
            "nocafile": ({"url": self.serve(self.consul, context), "ca_file": "/none.pem"}, r"none\.pem|No such file"),
            "twice": (
                {},
                r"host twin is there twice, as service wgmesh-router of node twin in munich and as .*set hostname so that the names differ",
            ),
            "named": (
                {"service": "nameless", "datacenters": ["vienna"], "hostname": "nothing"},
                r"hostname nothing gives no name for service nameless",
            ),
            "template": (
                {"service": "nameless", "datacenters": ["vienna"], "hostname": "consul_service_meta.x"},
                r"gives no name for service .*: expected letters, digits and",
            ),
            "dashed": ({"service": "option"}, r"gives no name for service .*: expected letters, digits and"),
            **{
                "address-" + name: (
                    {"service": "address-" + name},
                    r"service address-%s of node address-%s has the address .*: expected an IP address or a host name" % (name, name),
                )
                for name in ("option", "spaces", "lines", "zone")
            },
            "strict": (
                {"service": "nameless", "datacenters": ["vienna"], "strict": True, "compose": {"a": "b"}},
                r"Could not set a for host nameless",
            ),
            "option": ({"tokn": "x"}, r"tokn is not an option of this plugin: see ansible-doc -t inventory wgmesh\.router\.consul"),
        }
        sources = {name: self.source(name, **options) for name, (options, _) in expected.items()}
        fine = self.source("stale", url=at["lost"], stale=True)
        env = {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "0", "http_proxy": "http:/user:%s@127.0.0.1:9" % SECRET}
        for hosts, _groups, said in self.each(*sources.values(), fine, env=env):
            self.assertIsNotNone(hosts, said)
            self.assertIn("office-1", hosts)
            self.assertRegex(" ".join(said.split()), r"Consul has no leader; its answer is 7 s old or more")
            self.assertNotIn(SECRET, said)
            for name, (_, words) in expected.items():
                lines = [line for line in lab.warnings(said) if "auto" in line and "/%s.consul.yml" % name in line]
                self.assertEqual(1, len(lines), "%s in\n%s" % (name, said))
                self.assertRegex(lines[0], words)

    def test_cache(self):
        self.consul.register("office-1", meta={"mesh": "wan"})
        source = self.source("cached", meta={"mesh": "wan"})
        for core in CORES:
            with self.subTest(core=core):
                cache = self.folder / ("cache-" + core)
                env = {"ANSIBLE_INVENTORY_CACHE": "1", "ANSIBLE_INVENTORY_CACHE_PLUGIN": "jsonfile", "ANSIBLE_INVENTORY_CACHE_CONNECTION": str(cache)}
                ansible = lab.Ansible(core, **env)
                self.consul.raw = None
                first = ansible.inventory(source)[:2]
                self.assertEqual(["office-1"], list(first[0]))
                self.consul.raw = (500, {}, b"down")
                self.assertEqual(first, ansible.inventory(source)[:2])


if __name__ == "__main__":
    unittest.main()
