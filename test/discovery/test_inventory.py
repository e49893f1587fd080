"""examples/inventory as it is: the vendors' collections and clients, against stand-ins for their clouds.

The company of examples/field-case, with its routers in three clouds, Consul and a file, has to get the same plan.
"""

import base64
import json
import pathlib
import re
import shutil
import tempfile
import unittest

import aws_moto
import azure_fake
import consul_fake
import google_fake
import internet
import lab
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

# What docs/discovery.md gives the reader of AWS to have.
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["ec2:DescribeInstances"], "Resource": "*"}]}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEm5FHHMTJ2gGcJFKBSjUpxbAyhxN3rt3pV0VNqUrGPw"


# pkg/cloud/hostkey/hostkey_test.go has it, too: what Go signs is what Python checks.
GOLDEN = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop wgmesh:i-0a:"
    "dCr4HKqyObXkQ2S6I+My4aw7bTpxsyV8iiiJ9JQp5jv01dPdMzIwOAAeNFvrjcuWGptIYMyNlDiK2n0KjVYZCg=="
)


def published(name, key=None):
    """What `wgmesh-cloud publish-host-key` publishes on the router of this name."""
    key = key or Ed25519PrivateKey.generate()
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return "%s wgmesh:i-0a:%s" % (line, base64.b64encode(key.sign(b"wgmesh host key of " + name.encode())).decode())


def words(number, site, zone, **more):
    return {"mesh": "wan", "mesh_id": str(number), "mesh_site": site, "mesh_zone": zone, **more}


class Test(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="wgmesh-discovery.")))
        cls.aws = aws = aws_moto.AWS()
        aws.vm("aws-1", "198.51.100.11", words(5, "aws", "a", mesh_host_key=KEY, mesh_route_tables="rtb-0a,rtb-0b"))
        aws.vm("aws-2", "", words(6, "aws", "c", mesh_endpoint="198.51.100.12"))
        aws.vm("database", "198.51.100.13", {"mesh": "another"})
        gone = aws.vm("aws-1", "", words(5, "aws", "a"))
        aws.ec2.terminate_instances(InstanceIds=[gone])
        cls.credentials = {
            **aws.user("reader", POLICY),
            "AZURE_CLIENT_ID": azure_fake.CLIENT,
            "AZURE_SECRET": azure_fake.SECRET,
            "AZURE_TENANT": azure_fake.TENANT,
            "AZURE_SUBSCRIPTION_ID": azure_fake.SUBSCRIPTION,
            "GOOGLE_APPLICATION_CREDENTIALS": str(cls.folder / "google.json"),
        }
        aws.enforce(True)

    @classmethod
    def tearDownClass(cls):
        cls.aws.server.stop()

    def setUp(self):
        self.azure, self.google, self.consul = azure_fake.Azure(), google_fake.Google(), consul_fake.Consul()
        a, g, c = self.azure, self.google, self.consul
        a.vm("azure-1", "203.0.113.11", words(3, "azure", "1"))
        # Stopped for a moment, or being changed, it is a router nevertheless.
        a.vm("azure-2", "203.0.113.12", words(4, "azure", "2"), power="deallocated", state="Updating")
        a.vm("database", "203.0.113.13")
        g.vm("gcp-1", "europe-west3-b", "198.51.100.71", words(7, "gcp", "b"), {"mesh_host_key": KEY.replace("Em5F", "Em5G")})
        g.vm("database", "europe-west3-a", "198.51.100.72", {"mesh": "another"})
        c.register("office-2", "10.0.1.12", meta=words(2, "office", "hq", mesh_endpoint="192.0.2.12"))
        (self.folder / "google.json").write_text(g.service_account())

        hosts = {
            aws_moto.API: internet.forward(self.aws.port),
            azure_fake.LOGIN: a.login,
            azure_fake.API: a.play,
            google_fake.TOKENS: g.tokens,
            google_fake.API: g.play,
            google_fake.BOUNDARY: g.boundary,
        }
        self.net = internet.Internet(self.folder, hosts)
        server = lab.serve(c.play)
        for one in (server, self.net):
            self.addCleanup(one.server_close)
            self.addCleanup(one.shutdown)
        here = pathlib.Path(__file__).parent
        site = "lib/python3.11/site-packages"
        self.ansible = lab.Ansible(
            "newest",
            [here / "unused", lab.ROOT / "build/venv-clouds" / site, lab.ROOT / "build/venv-moto" / site],
            CONSUL_HTTP_ADDR="127.0.0.1:%d" % server.server_address[1],
            **self.net.env(),
            **self.credentials,
        )

    def tearDown(self):
        self.assertEqual([], self.net.strangers, "somebody else was asked")

    def routers(self, **more):
        hosts, groups, said = self.ansible.inventory(lab.EXAMPLES, **more)
        self.assertIsNotNone(hosts, said)
        return {name: hosts[name] for name in groups["routers"] + groups["mesh_from_office"]}

    def plans(self, inventory):
        to = self.folder / "plans.json"
        done = self.ansible.run("ansible-playbook", "-i", inventory, "-e", "to=%s" % to, pathlib.Path(__file__).parent / "plan.yml")
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        return json.loads(to.read_text()), done.stderr

    def test_same_plan_as_the_field_case(self):
        want, _ = self.plans(lab.ROOT / "examples/field-case/inventory.yml")
        self.assertEqual(7, len(want))
        have, said = self.plans(lab.EXAMPLES)
        self.assertEqual({"gcp-1", "aws-1"}, {peer["name"] for peer in have["office-1"]["gate"]["peers"]}, "who has a mesh_host_key")
        self.assertEqual([["rtb-0a", "rtb-0b"], []], [have[name]["failover"]["tables"] for name in ("aws-1", "aws-2")])
        for plan in (*want.values(), *have.values()):
            del plan["gate"], plan["failover"]  # the field case has no host keys and no route tables
        self.assertEqual(want, have)
        # azure_rm has no prefix for its variables.
        self.assertEqual([], [one for one in lab.warnings(said) if one and not re.match(r"Found variable using reserved name '?(name|tags)\b", one)])

    def test_published_keys(self):
        """Each cloud's VM has a place for its key; what the operator gives counts first."""
        self.assertEqual(GOLDEN, published("azure-1", Ed25519PrivateKey.from_private_bytes(bytes(32))))
        azure, gcp, other = published("azure-3"), published("gcp-2"), published("gcp-1")
        self.azure.vm("azure-3", "203.0.113.14", words(13, "azure", "1"), published=azure)
        self.azure.vm("azure-4", "203.0.113.15", words(14, "azure", "1", mesh_host_key=KEY.replace("Em5F", "Em5H")), published=published("azure-4"))
        self.google.vm("gcp-2", "europe-west3-b", "198.51.100.73", words(15, "gcp", "b"))
        self.google.published = {"gcp-1": other, "gcp-2": gcp + "\n", "database": "not asked for"}
        hosts = self.routers()
        self.assertEqual([azure, gcp], [hosts[name]["mesh_host_key"] for name in ("azure-3", "gcp-2")])
        self.assertEqual([KEY.replace("Em5F", "Em5G"), KEY.replace("Em5F", "Em5H")], [hosts[name]["mesh_host_key"] for name in ("gcp-1", "azure-4")])
        self.assertEqual("", hosts["azure-1"]["mesh_host_key"])
        plans, _ = self.plans(lab.EXAMPLES)
        self.assertIn({"name": "gcp-2", "host_key": " ".join(gcp.split()[:2])}, plans["office-1"]["gate"]["peers"])
        self.assertEqual([azure, gcp, KEY], [self.brought()[name].get("mesh_host_key") for name in ("azure-3", "gcp-2", "aws-1")])

        # A router of which Google does not say it now is without a key, and that is all.
        refusal, often = google_fake.Google.refusal, "its guest attributes have been asked for too often"
        for trouble, told in (
            (refusal(429, "rateLimitExceeded", "Quota exceeded for quota metric 'Guest attribute queries'."), often),
            (refusal(403, "rateLimitExceeded", "Rate Limit Exceeded"), often),
            (refusal(403, "userRateLimitExceeded", "User Rate Limit Exceeded"), often),
            (refusal(403, "quotaExceeded", "Quota exceeded"), often),
            (refusal(503, "backendError", "try again"), "its guest attributes could not be read: Google answers 503: run it again later"),
            ((500, {}, b"no JSON"), "its guest attributes could not be read: Google answers 500: run it again later"),
            (None, "its guest attributes could not be read: no answer (ProxyError): run it again later"),  # the net here is one
        ):
            self.google.trouble = {"gcp-2": [trouble] * 2}
            hosts, _, said = self.ansible.inventory(lab.EXAMPLES)
            self.assertIsNotNone(hosts, said)
            self.assertFalse(hosts["gcp-2"].get("mesh_host_key"))
            self.assertEqual(azure, hosts["azure-3"]["mesh_host_key"])
            self.assertIn("router gcp-2: mesh_host_key is left out: " + told, said)
        for once in (refusal(503, "backendError", "try again"), None):
            self.google.trouble = {"gcp-2": [once]}
            self.assertEqual(gcp, self.routers()["gcp-2"]["mesh_host_key"])

        self.google.blind = True
        said = self.refused()
        self.assertRegex(
            said,
            r"routers\.yml: guest attributes of projects/wan-routers/zones/europe-west3-b/instances/gcp-2: "
            r"the permission compute\.instances\.getGuestAttributes is missing: allow it",
        )

    def brought(self):
        """What examples/join/host_keys.yml brings to the routers, read by an Ansible that runs templates."""
        to = self.folder / "brought.yml"
        more = ("-e", "path=%s" % to, "-e", "ansible_connection=local", "-e", "ansible_become=false", "-l", "office-1")
        more += ("-e", "ansible_python_interpreter={{ ansible_playbook_python }}")
        done = self.ansible.run("ansible-playbook", "-i", lab.EXAMPLES, *more, lab.ROOT / "examples/join/host_keys.yml")
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        hosts, _, said = lab.Ansible("2.14").inventory(to)
        self.assertIsNotNone(hosts, said)
        return hosts

    def test_published_lies(self):
        """A router that was taken over publishes what it likes: it loses its own key, and nobody else does."""
        hostile = "{{ lookup('pipe', 'touch %s/ran') }}" % self.folder
        key = Ed25519PrivateKey.generate()
        owner = published("azure-3", key)
        self.azure.vm("azure-3", "203.0.113.14", words(8, "azure", "1"), published=owner)
        lies = {
            "template": hostile,
            "template behind": " ".join(owner.split()[:2]) + " " + hostile,
            "copied": owner,
            "bare": " ".join(owner.split()[:2]),
            "proof of another": " ".join(owner.split()[:2]) + " " + published("gcp-4").split()[2],
            "line": owner + "\nssh-ed25519 AAAA",
            "private": "-----BEGIN OPENSSH PRIVATE KEY-----",
            "nothing": "ssh-ed25519 AAAA",
        }
        liars = {}
        for number, (what, lie) in enumerate(lies.items()):
            name = "gcp-%d" % number if number != 1 else "gcp-9"
            self.google.vm(name, "europe-west3-b", "198.51.100.%d" % (80 + number), words(9 + number, "gcp", "b"))
            self.google.published[name] = lie
            liars[name] = what
            if number < 6:
                name = "azure-%d" % (40 + number)
                self.azure.vm(name, "203.0.113.%d" % (80 + number), words(17 + number, "azure", "1"), published=lie)
                liars[name] = what
        hosts, _, said = self.ansible.inventory(lab.EXAMPLES)
        self.assertIsNotNone(hosts, said)
        self.assertEqual(owner, hosts["azure-3"]["mesh_host_key"])
        for host, what in liars.items():
            self.assertEqual("", hosts[host]["mesh_host_key"], "%s: %s" % (host, what))
            self.assertRegex(said, r"router %s: mesh_host_key is (not an SSH public key|the key of azure-3) and is left out" % host)
        plans, _ = self.plans(lab.EXAMPLES)
        self.assertEqual({"azure-3", "gcp-1", "aws-1"}, {peer["name"] for peer in plans["office-1"]["gate"]["peers"]})
        brought = self.brought()
        self.assertEqual({"azure-3", "gcp-1", "aws-1"}, {name for name, one in brought.items() if "mesh_host_key" in one})
        self.assertFalse((self.folder / "ran").exists(), "a template ran")

    def test_site_of_a_source(self):
        """Who may write tags in one cloud makes no router of another site."""
        self.azure.vm("azure-3", "203.0.113.14", words(13, "office", "1"))
        self.assertEqual("azure", self.routers()["azure-3"]["mesh_site"])

        loose = self.folder / "loose"
        shutil.copytree(lab.EXAMPLES, loose)
        (loose / "azure_rm.yml").write_text((loose / "azure_rm.yml").read_text().replace("\"'azure'\"", "tags.mesh_site"))
        hosts, _, said = self.ansible.inventory(loose)
        self.assertIsNone(hosts)
        told = [one for one in lab.warnings(said) if "/routers.yml: " in one][0]
        self.assertRegex(told, r"router azure-3 \(found by azure_\w+\): mesh_site is office, and the source azure has routers of azure only")
        self.assertNotIn("azure-1", told)

    def test_absent_by_tag(self):
        """Each source has a word for a router that is out: the others have no tunnel to it, and its id stays taken."""
        self.vms(("aws-3", "198.51.100.23", words(10, "aws", "a", mesh_state="absent")))
        self.azure.vm("azure-3", "203.0.113.14", words(13, "azure", "1", mesh_state="absent"))
        self.google.vm("gcp-2", "europe-west3-b", "198.51.100.73", words(15, "gcp", "b", mesh_state="absent"))
        self.consul.register("office-3", "10.0.1.13", meta=words(16, "office", "hq", mesh_endpoint="192.0.2.13", mesh_state="absent"))
        gone = {"aws-3", "azure-3", "gcp-2", "office-3"}
        self.assertEqual(gone, {name for name, one in self.routers().items() if one.get("mesh_state") == "absent"})
        plans, _ = self.plans(lab.EXAMPLES)
        self.assertEqual(gone, {one["name"] for one in plans["office-1"]["gate"]["removed"]})
        ends = {name: {one["peer"] for one in plan["preshared_keys"]} for name, plan in plans.items()}
        self.assertFalse(gone & set().union(*ends.values()), ends)

    def test_cache(self):
        cache = {
            "ANSIBLE_INVENTORY_CACHE": "1",
            "ANSIBLE_INVENTORY_CACHE_PLUGIN": "ansible.builtin.jsonfile",
            "ANSIBLE_INVENTORY_CACHE_CONNECTION": str(self.folder / "cache"),
        }
        first = self.routers(env=cache)
        self.assertEqual(["aws-1", "aws-2", "azure-1", "azure-2", "gcp-1", "office-1", "office-2"], sorted(first))
        self.assertEqual([KEY, "198.51.100.71"], [first["aws-1"]["mesh_host_key"], first["gcp-1"]["ansible_host"]])
        for secret in (self.credentials["AWS_SECRET_ACCESS_KEY"], azure_fake.SECRET, "azure-token", "google-token", "BEGIN PRIVATE KEY"):
            self.assertNotIn(secret, str(first))
        self.everything_down()
        for name, one in self.routers(env=cache).items():
            self.assertEqual(mesh(first[name]), mesh(one), name)

    def everything_down(self):
        self.azure.down = True
        self.google.refused = google_fake.Google.refusal(503, "backendError", "try again")
        self.consul.raw = (500, {}, b"No cluster leader")
        self.net.hosts[aws_moto.API] = lambda *_: (503, {"Content-Type": "text/plain"}, b"")

    def test_down(self):
        """A source that does not answer fails the inventory; who goes on without it is told what is missing."""
        self.consul.raw = (500, {}, b"No cluster leader")
        _, _, said = self.ansible.inventory(lab.EXAMPLES)
        self.assertRegex(said, r"(?m)^\[ERROR\]: Completely failed to parse inventory source \S+/consul\.yml")
        self.everything_down()
        env = {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "0", "AWS_MAX_ATTEMPTS": "1"}
        _, groups, said = self.ansible.inventory(lab.EXAMPLES, env=env)
        self.assertEqual(["office-1"], groups["mesh_from_office"], said)
        said = lab.warnings(said)
        for file in ("aws_ec2", "azure_rm", "gcp_compute", "consul"):
            self.assertTrue([one for one in said if "auto" in one and "/%s.yml" % file in one], (file, said))
        told = [one for one in said if "/routers.yml: " in one][0]
        for site in ("aws", "azure", "gcp"):
            self.assertIn("site %s: no source has a router of it: look at the source's credentials, filter and region" % site, told)

    def test_forbidden(self):
        """Azure's plugin passes over what it may not read, and shows nothing."""
        self.azure.forbidden = "/virtualMachines"
        self.assertRegex(self.refused(), r"routers\.yml: site azure: no source has a router of it")

    def refused(self):
        hosts, _, said = self.ansible.inventory(lab.EXAMPLES)
        self.assertIsNone(hosts, "the inventory is read")
        return [one for one in lab.warnings(said) if "/routers.yml: " in one][0]

    def vms(self, *wanted):
        """More instances in AWS, for one test."""
        self.aws.enforce(False)
        ids = [self.aws.vm(*one) for one in wanted]
        self.aws.enforce(True)

        def clean():
            self.aws.enforce(False)
            self.aws.ec2.terminate_instances(InstanceIds=ids)
            self.aws.enforce(True)

        self.addCleanup(clean)
        return ids

    def test_tags_missing(self):
        """Each of them is said, all at once."""
        nameless, first, second = self.vms(
            ("", "198.51.100.21", words(10, "aws", "a")), ("twin", "198.51.100.22", words(11, "aws", "a")), ("twin", "", words(12, "aws", "c"))
        )
        self.azure.vm("aws-2", "203.0.113.13", words(13, "azure", "1"))
        self.azure.vm("azure-3", "", {"mesh": "wan", "mesh_site": "azur"})
        self.google.vm("gcp-2", "europe-west3-b", "", {"mesh": "wan", "mesh_id": "15", "mesh_site": "gcp"})
        self.google.vm("gcp-3", "europe-west3-b", "", words(16, "gcp", "b"), {"mesh_endpoint": "none"})
        self.azure.forbidden = "/publicIPAddresses/azure-1"
        said = self.refused()
        for told in (
            r"router azure-1 \(found by azure_\w+\): mesh_endpoint is missing: expected the address at which the others reach it, or none",
            r"router aws-2: there are several machines with this name \(aws_i_\w+, azure_\w+\): rename all but one",
            r"router twin: there are several machines with this name \(%s\)"
            % ", ".join(sorted("aws_" + i.replace("-", "_") for i in (first, second))),
            r"router azure-3 \(found by azure_\w+\): mesh_endpoint is missing",
            r"router azure-3 \(found by azure_\w+\): mesh_id is missing: expected a number of its own, 1 or higher",
            r"router gcp-2 \(found by gcp_\d+\): mesh_endpoint is missing: expected the address at which the others reach it, or none",
            r"router gcp-2 \(found by gcp_\d+\): mesh_zone is missing: expected one of b",
        ):
            self.assertRegex(said, told)
        self.assertNotIn(nameless, said)
        self.assertNotIn("gcp-3", said)

    def test_values_wrong(self):
        """mesh_plan_info says what is wrong with values, and who has the same id."""
        self.vms(("", "198.51.100.21", words(3, "aws", "a")))
        self.google.vm("gcp-2", "europe-west3-b", "", words(16, "gcp", "x"), {"mesh_endpoint": "none", "mesh_host_key": "ssh-dss AAAA"})
        args = ["-i", lab.EXAMPLES, "-e", "to=/nonexistent", pathlib.Path(__file__).parent / "plan.yml"]
        done = self.ansible.run("ansible-playbook", *args)
        self.assertNotEqual(0, done.returncode)
        self.assertRegex(done.stdout, r"routers azure-1, i-\w+: id 3 is given to all of them")
        self.assertRegex(done.stdout, r"router gcp-2: site gcp has no zone \W+x\W+: expected one of b")
        self.assertRegex(done.stderr + done.stdout, r"router gcp-2: mesh_host_key is not an SSH public key and is left out")


def mesh(variables):
    return {key: value for key, value in variables.items() if key.startswith(("mesh_", "ansible_host"))}


if __name__ == "__main__":
    unittest.main()
