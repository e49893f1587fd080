"""Whose key counts where several routers have the same one."""

import base64
import sys
import unittest

import lab
from ansible.inventory.group import Group
from ansible.inventory.host import Host
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

sys.path.insert(0, str(lab.ROOT / "build"))
from ansible_collections.wgmesh.router.plugins.inventory.routers import left_out  # noqa: E402


def key(name=""):
    """A line that has a proof of the router of this name, and its type and key alone."""
    private = Ed25519PrivateKey.generate()
    bare = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return "%s wgmesh:i-0a:%s" % (bare, base64.b64encode(private.sign(b"wgmesh host key of " + name.encode())).decode()), bare


class Test(unittest.TestCase):
    def left(self, **lines):
        """Who loses its key, and whose that is, with a comma where nobody can say so. Names that begin with office are the operator's own."""
        found = []
        for name, line in lines.items():
            host = Host(name)
            if not name.startswith("office"):
                host.add_group(Group("mesh_from_" + name))
            found.append((host, {"mesh_host_key": line}))
        said = sorted(left_out(found))
        lost = {host.name for host, known in found if not known["mesh_host_key"]}
        self.assertEqual(lost, {line.split(":")[0].removeprefix("router ") for line in said}, said)
        return {line.split()[1][:-1]: line.split(" is the key of ")[1].split()[0] if " is the key of " in line else "" for line in said}

    def test_whose_it_is(self):
        _, bare = key()
        proof, proven = key("gcp_1")
        twin = " ".join((proven, proof.split()[2]))
        for want, lines in (
            ({}, {"office_1": bare, "gcp_1": proof}),
            ({}, {"aws_1": bare, "gcp_1": proof}),
            ({"gcp_1": "office_1"}, {"office_1": bare, "gcp_1": bare}),
            ({"gcp_1": "office_1"}, {"gcp_1": bare, "office_1": bare + " root@office-1"}),
            ({"aws_1": "gcp_1"}, {"aws_1": proof, "gcp_1": proof}),
            ({"aws_1": "gcp_1", "azure_1": "gcp_1"}, {"aws_1": proven, "azure_1": twin, "gcp_1": proof}),
            # What the operator says counts before what anybody proves.
            ({"gcp_1": "office_1"}, {"office_1": proven, "gcp_1": proof}),
            # It is for nobody to say whose it is.
            ({"aws_1": "gcp_1,", "gcp_1": "aws_1,"}, {"aws_1": bare, "gcp_1": bare}),
            ({"aws_1": "azure_1,", "azure_1": "aws_1,", "gcp_1": "aws_1,"}, {"aws_1": bare, "azure_1": bare, "gcp_1": bare}),
            # The operator's own mistake, which mesh_plan_info refuses.
            ({}, {"office_1": bare, "office_2": bare}),
            ({"gcp_1": "office_1"}, {"office_1": bare, "office_2": bare, "gcp_1": bare}),
        ):
            self.assertEqual(want, self.left(**lines), lines)

    def test_what_is_no_key(self):
        """What mesh_plan_info takes for none it would refuse for the whole mesh."""
        _, bare = key()
        for line in (bare + "=", bare + "==", bare.replace(" ", "\x1c"), bare.replace(" ", "\x85"), bare + "\n", "ssh-ed25519 AAAA", 7, ["a"]):
            self.assertEqual({"gcp_1": ""}, self.left(gcp_1=line), line)
        self.assertEqual({}, self.left(gcp_1=" %s \t a comment " % bare.replace(" ", "\t")))


if __name__ == "__main__":
    unittest.main()
