"""What the play adopt makes of routers that were made by hand, on the Ansible of the environment.

.ci/test-ansible runs it with the oldest and the newest core. A network of three sites is described
as adopt.sh prints it, and the plan of the inventory has to be what was there.
"""

import base64
import hashlib
import ipaddress
import json
import pathlib
import sys
import tempfile
import unittest

import warm

warm.find_collections()
from ansible_collections.wgmesh.router.plugins.filter.adopted import adopted  # noqa: E402
from ansible_collections.wgmesh.router.plugins.filter.mistyped import mistyped  # noqa: E402

SITES = {"azure": (65020, "10.1.0.0/16"), "aws": (65030, "10.2.0.0/16"), "gcp": (65040, "10.3.0.0/16")}
ROUTERS = {"azure-1": "203.0.113.11", "azure-2": "203.0.113.12", "aws-1": "198.51.100.11", "gcp-1": "198.51.100.71"}


def key(name):
    return base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()


class Network:
    """A network that somebody made by hand. Tests change it before it is read."""

    def __init__(self, routers=None, bird=True):
        self.routers = routers or ROUTERS
        self.bird = bird
        self.keys = {}
        self.interfaces = {name: {} for name in self.routers}  # by name
        self.extra = {name: [] for name in self.routers}
        self.systems = {}  # AS numbers that are not the site's, by router
        self.number = 0
        names = list(self.routers)
        for i, one in enumerate(names):
            for other in names[i + 1:]:
                self.join(one, other)

    def join(self, one, other):
        self.number += 1
        network = "172.31.%d" % self.number
        for end, far, host, back in ((one, other, 7, 9), (other, one, 9, 7)):
            self.interfaces[end]["wg-" + far.replace(".", "-")[:12]] = {
                "peer": [far], "address": "%s.%d/24" % (network, host), "far": "%s.%d" % (network, back), "port": 41000 + self.number,
                "endpoint": "%s:%d" % (self.routers[far], 41000 + self.number), "allowed": [network + ".0/24", *self.nets(end, far)],
                "mtu": 1340, "keepalive": "60", "calls": True,
            }

    def nets(self, end, far):
        return [network for site, (_as, network) in SITES.items() if site != self.site(end) or site == self.site(far)]

    @staticmethod
    def site(name):
        return name.split("-")[0]

    def text(self, name):
        lines, links, site = [], [], SITES.get(self.site(name), (65099, "10.9.0.0/16"))
        mine = ipaddress.ip_network(site[1])[256 + 10 + list(self.routers).index(name)]
        for interface, has in self.interfaces[name].items():
            lines.append("key\t%s\t%s" % (interface, key(has.get("key", name))))
            lines.append("port\t%s\t%d" % (interface, has["port"]))
            lines.append("mark\t%s\t%s" % (interface, has.get("mark", "off")))
            for peer in has["peer"]:
                public = key(has.get("peer_key", peer))
                lines.append("endpoint\t%s\t%s\t%s" % (interface, public, has["endpoint"]))
                lines.append("allowed\t%s\t%s\t%s" % (interface, public, " ".join(has["allowed"])))
                lines.append("keepalive\t%s\t%s\t%s" % (interface, public, has["keepalive"]))
                if has["calls"]:
                    lines.append("calls\t%s\t%s\t%s" % (interface, public, has["endpoint"] if has["calls"] is True else has["calls"]))
            lines += ["line\t%s\t%s" % (interface, line) for line in has.get("lines", ["Table\toff"])]
            lines.append("unit\t%s\t%s" % (interface, has.get("unit", "enabled")))
            lines += ["made\t%s\t%s" % (interface, who) for who in has.get("made", ())]
            address, length = has["address"].split("/")
            links.append({"ifname": interface, "mtu": has["mtu"], "addr_info": [{"local": address, "prefixlen": int(length)}]})
        links.append({"ifname": "eth0", "mtu": 1500, "addr_info": [{"local": str(mine), "prefixlen": 24}, {"local": "fe80::1", "prefixlen": 64}]})
        links.append({"ifname": "lo", "mtu": 65536, "addr_info": [{"local": "127.0.0.1", "prefixlen": 8}]})
        lines.append("ip\t" + json.dumps(links))
        gateway = str(ipaddress.ip_network(site[1])[257])
        lines.append("route\t" + json.dumps([{"dst": "default", "gateway": gateway, "dev": "eth0"}, {"dst": site[1], "dev": "eth0"}]))
        if self.bird:
            lines += ["bird\t" + line for line in self.birdc(name, site, gateway)]
        return "\n".join(lines + self.extra[name]) + "\n"

    def birdc(self, name, site, gateway):
        lines = ["BIRD 2.0.12 ready.", "Name       Proto      Table      State  Since         Info", "device1    Device     ---        up     10:00:00.000"]
        for has in (one for one in self.interfaces[name].values() if "far" in one):
            peer = has["peer"][0]
            lines += [
                "to_%s BGP        ---        up     10:00:00.000  Established" % peer.replace("-", "_"), "  BGP state:          Established",
                "    Neighbor address: " + has["far"], "    Neighbor AS:      %d" % SITES.get(self.site(peer), (65099,))[0],
                "    Local AS:         %d" % self.systems.get(name, site[0]),
            ]
        return lines + ["Table master4:", "%s          unicast [static1 10:00:00] * (200)" % site[1], "\tvia %s on eth0" % gateway]

    def adopt(self, **variables):
        hostvars = {name: {"__mesh_read": {"rc": 0, "stdout": self.text(name)}, **variables} for name in self.routers}
        return adopted(list(self.routers), hostvars)


class Adopt(unittest.TestCase):
    maxDiff = None

    def test_all_is_kept(self):
        got = Network().adopt()
        self.assertEqual("", got["refused"])
        self.assertEqual([], got["lost"])
        self.assertEqual(6, got["tunnels"])
        self.assertEqual({
            "mesh_sites": {
                "azure": {"as": 65020, "networks": ["10.1.0.0/16"], "mtu": 1400}, "aws": {"as": 65030, "networks": ["10.2.0.0/16"], "mtu": 1400},
                "gcp": {"as": 65040, "networks": ["10.3.0.0/16"], "mtu": 1400},
            },
            "mesh_interface_prefix": "wg", "mesh_keepalive": 60, "mesh_port_base": 51800, "mesh_link_pool": "198.18.0.0/16",
        }, got["vars"])
        self.assertEqual({
            "mesh_id": 3, "mesh_site": "aws", "mesh_endpoint": "198.51.100.11", "mesh_gateway": "10.2.1.1", "mesh_links": {
                "azure-1": {"interface": "wg-azure-1", "listen_port": 41002, "addresses": ["172.31.2.9/24"]},
                "azure-2": {"interface": "wg-azure-2", "listen_port": 41004, "addresses": ["172.31.4.9/24"]},
                "gcp-1": {"interface": "wg-gcp-1", "listen_port": 41006, "addresses": ["172.31.6.7/24"]},
            },
        }, got["hosts"]["aws-1"])

    def test_both_families(self):
        """The plays take what is written, lists among it."""
        network = Network()
        network.extra["aws-1"] = [
            'ip\t[{"ifname": "eth1", "addr_info": [{"local": "fd02::10", "prefixlen": 64}]}]',
            "bird\tTable master6:", "bird\tfd02::/48            unicast [static2 10:00:00] * (200)", "bird\t\tvia fd02::1 on eth1",
        ]
        got = network.adopt()
        self.assertEqual(["10.2.1.1", "fd02::1"], got["hosts"]["aws-1"]["mesh_gateway"])
        self.assertEqual("10.3.1.1", got["hosts"]["gcp-1"]["mesh_gateway"])
        self.assertEqual("", mistyped(list(ROUTERS), {name: {**got["vars"], **has} for name, has in got["hosts"].items()}, ["mesh/main"]))

    def test_without_bird(self):
        got = Network(bird=False).adopt()
        self.assertEqual(6, got["tunnels"])
        self.assertEqual(["10.1.0.0/16"], got["vars"]["mesh_sites"]["azure"]["networks"])  # the others send it there, and it has an address in it
        self.assertEqual("10.1.1.1", got["hosts"]["azure-1"]["mesh_gateway"])
        self.assertEqual("azure", got["hosts"]["azure-2"]["mesh_site"])
        self.assertIn("site azure: made of azure-1, azure-2 by the name: set mesh_site for those that are not of one site", got["lost"])
        self.assertIn("site aws: no AS number was found: it gets 65001; any private one will do", got["lost"])

    def test_what_others_say_counts(self):
        sites = {"azure": {"as": 64999, "cloud": "azure", "networks": "10.1.0.0/16"}}
        got = Network().adopt(mesh_sites=sites, mesh_keepalive=25, mesh_interface_prefix="wg")
        self.assertEqual({"as": 64999, "cloud": "azure", "networks": "10.1.0.0/16"}, got["vars"]["mesh_sites"]["azure"])
        self.assertNotIn("mesh_keepalive", got["vars"])
        self.assertNotIn("mtu", sites["azure"])

    def test_what_is_added_to_theirs(self):
        """A mesh_sites of group_vars counts more than the file, whoever wrote more into that."""
        network, sites = Network(), {name: {"as": system, "networks": [net]} for name, (system, net) in SITES.items()}
        lost = "mesh_sites: mtu 1400 of azure, aws, gcp is added to yours: group_vars count more than the file: have it there too"
        self.assertEqual([lost], network.adopt(mesh_sites=sites)["lost"])
        for one in sites.values():
            one["mtu"] = 1400
        self.assertEqual([], network.adopt(mesh_sites=sites)["lost"])
        network.birdc = lambda name, site, gateway: Network.birdc(network, name, site, "10.2.200.1" if name == "aws-1" else gateway)
        self.assertEqual(["mesh_sites: onlink True of aws is added to yours: group_vars count more than the file: have it there too"],
                         network.adopt(mesh_sites=sites)["lost"])
        self.assertEqual([], network.adopt()["lost"])

    def test_what_is_not_expressed(self):
        ends = ("azure-1", "wg-aws-1", "aws-1", "wg-azure-1")
        for what, change, more in (
            ("azure-1 wg-aws-1: it has 2 peers: ", {"peer": ["aws-1", "gcp-1"]}, {}),
            ("azure-1 wg-aws-1: its peer ", {"peer_key": "a stranger"}, {}),
            ("azure-1 wg-aws-1: its file has PostUp: not kept", {"lines": ["PostUp"]}, {}),
            ("azure-1 wg-aws-1: Table = 51820: the mesh routes in the main table", {"lines": ["Table\t51820"]}, {}),
            ("azure-1 wg-aws-1: FwMark is set: it and wg-quick's rules stay until a boot", {"mark": "0xca6c"}, {}),
            ("azure-1 wg-aws-1: FwMark with AllowedIPs 0.0.0.0/0: the take-over refuses it: ", {"mark": "0xca6c", "allowed": ["0.0.0.0/0"]}, {}),
            ("azure-1 wg-aws-1: AllowedIPs 0.0.0.0/0: they become the networks", {"allowed": ["0.0.0.0/0"]}, {}),
            ("site aws: 10.77.0.0/16, which others send there, is of no site: it ends", {"allowed": ["10.77.0.0/16"]}, {}),
            ("azure-1 wg-aws-1: AllowedIPs have not all of site aws: the mesh's have", {"allowed": ["10.2.7.0/24", "10.3.0.0/16"]}, {}),
            ("azure-1 wg-aws-1: AllowedIPs have not all of third sites: the mesh's have", {"allowed": ["10.2.0.0/16"]}, {}),
            ("azure-1 wg-aws-1: PersistentKeepalive 0: all have one: it becomes 60", {"keepalive": "off"}, {}),
            ("azure-1 wg-aws-1: MTU 1300: it becomes 1340", {"mtu": 1300}, {}),
            ("azure-1 wg-aws-1: its Endpoint is a host name: ", {"calls": "gw.example.com:41002"}, {}),
            ("azure-1 wg-aws-1: its private key is not that of the other interfaces", {"key": "another"}, {"peer_key": "another"}),
            ("azure-1 wg-aws-1: 172.31.2.7/32 and 172.31.2.9/24 at aws-1 are in no IPv4 network", {"address": "172.31.2.7/32"}, {}),
        ):
            with self.subTest(what):
                network = Network()
                network.interfaces[ends[0]][ends[1]].update(change)
                network.interfaces[ends[2]][ends[3]].update(more)
                got = network.adopt()
                self.assertEqual("", got["refused"])
                self.assertTrue([line for line in got["lost"] if line.startswith(what)], got["lost"])
                for line in got["lost"]:
                    self.assertLessEqual(len(line), 160)

    def test_networks_of_no_site(self):
        """What the BIRD of gcp-1 has by protocol direct, or has learnt from the kernel, is seen by where the others send it."""
        network = Network()
        for name in ("azure-1", "azure-2", "aws-1"):
            into = {"gateway": "172.31.9.9", "dev": "wg-gcp-1"}
            network.extra[name].append("route\t" + json.dumps([
                {"dst": "10.77.0.0/16", "protocol": "bird", **into}, {"dst": "10.78.1.1", "protocol": "bird", **into}, {"dst": "default", **into},
                {"dst": "10.3.5.0/24", "protocol": "bird", **into}, {"dst": "172.31.6.0/28", **into}, {"dst": "fe80::/64", "dev": "wg-gcp-1"},
                {"dst": "10.79.0.0/16", "nexthops": [into, {"gateway": "172.31.9.8", "dev": "wg-aws-1"}]}, {"type": "unreachable", "dst": "10.80.0.0/16"}]))
        self.assertEqual([
            "azure-1 wg-gcp-1, azure-2 wg-gcp-1, aws-1 wg-gcp-1: the default route leads into it: it ends",
            "site gcp: 10.77.0.0/16, 10.78.1.1/32, 10.79.0.0/16, which others send there, are of no site: they end: add them to mesh_sites.gcp.networks",
            ], network.adopt()["lost"])
        # None is cut off, however many there are.
        network = Network()
        many = ["10.77.%d.0/24" % n for n in range(100)]
        network.interfaces["azure-1"]["wg-gcp-1"]["allowed"] += many
        lost = network.adopt()["lost"]
        self.assertLess(len(lost), 30)
        for one in many:
            self.assertEqual(1, " ".join(lost).count(one + ","))
        # Where the tunnel is none that can be taken.
        network = Network()
        network.interfaces["azure-1"]["wg-gcp-1"].update({"peer": ["gcp-1", "aws-1"], "allowed": ["10.77.0.0/16"]})
        self.assertIn("site gcp: 10.77.0.0/16, which others send there, is of no site: it ends: add it to mesh_sites.gcp.networks", network.adopt()["lost"])

    def test_a_network_around_a_link(self):
        """Roaming users have addresses of the site, by an interface that is not a tunnel of the mesh."""
        network = Network()
        network.interfaces["azure-1"]["wg0"] = {
            "peer": ["laptop 1", "laptop 2"], "address": "10.1.250.1/24", "port": 51820, "endpoint": "(none)", "allowed": ["10.1.250.2/32"],
            "mtu": 1420, "keepalive": "off", "calls": "(none)"}
        for bird in (True, False):
            network.bird = bird
            self.assertEqual(["10.1.0.0/16"], network.adopt()["vars"]["mesh_sites"]["azure"]["networks"])
        # What is inside a link is of the link.
        network = Network()
        network.extra["azure-1"] = ["bird\t172.31.2.0/28          unicast [static1 10:00:00] * (200)", "bird\t\tvia 10.1.1.1 on eth0"]
        self.assertEqual(["10.1.0.0/16"], network.adopt()["vars"]["mesh_sites"]["azure"]["networks"])

    def test_one_line_a_cause(self):
        network = Network()
        for has in network.interfaces.values():
            for interface in has.values():
                interface.update({"lines": ["PostUp"], "allowed": ["0.0.0.0/0"]})
        self.assertEqual([
            "azure-1 wg-aws-1, aws-1 wg-azure-1, azure-1 wg-azure-2 and 9 more: its file has PostUp: not kept: "
            "have a unit of your own do it, or see mesh_tunnel_input",
            "azure-1 wg-aws-1, aws-1 wg-azure-1, azure-1 wg-azure-2, azure-2 wg-azure-1 and 8 more: AllowedIPs 0.0.0.0/0: "
            "they become the networks of the sites"],
            network.adopt()["lost"])
        network = Network()
        network.interfaces["azure-1"]["wg-aws-1"].update({"mark": "0xca6c", "lines": ["FwMark"]})
        self.assertEqual(["azure-1 wg-aws-1: FwMark is set: it and wg-quick's rules stay until a boot; the mesh has none"], network.adopt()["lost"])

    def sites(self, got):
        """Return the sites of the routers, and the AS number and networks of the sites."""
        self.assertEqual("", got["refused"])
        for line in got["lost"]:
            self.assertLessEqual(len(line), 160)
        return ({name: have["mesh_site"] for name, have in got["hosts"].items()},
                {name: (entry["as"], entry["networks"]) for name, entry in got["vars"]["mesh_sites"].items()})

    def test_one_as_for_all(self):
        """An iBGP full mesh: the clouds stay apart, since what is inside a site is not encrypted."""
        network = Network()
        network.systems = dict.fromkeys(ROUTERS, 65000)
        of, sites = self.sites(network.adopt())
        self.assertEqual({"azure-1": "azure", "azure-2": "azure", "aws-1": "aws", "gcp-1": "gcp"}, of)
        self.assertEqual({"aws": (65001, ["10.2.0.0/16"]), "azure": (65002, ["10.1.0.0/16"]), "gcp": (65003, ["10.3.0.0/16"])}, sites)
        self.assertEqual(["AS 65000: sites aws, azure, gcp share it: each gets one of its own; set mesh_site for those that are one site"],
                         network.adopt()["lost"])
        # A way to the cloud for all that is private says nothing of who is of one.
        for name in ROUTERS:
            network.extra[name] = ["bird\t10.0.0.0/8          unicast [static1 10:00:00] * (200)", "bird\t\tvia 10.99.0.1 on eth0"]
        of, _sites = self.sites(network.adopt())
        self.assertEqual({"azure", "aws", "gcp"}, set(of.values()))
        network.extra = {name: [] for name in ROUTERS}
        # Theirs counts who say it.
        of, sites = self.sites(network.adopt(mesh_site="all"))
        self.assertEqual({"all": (65000, ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"])}, sites)
        of, sites = self.sites(network.adopt(mesh_sites={"one": {"as": "65000"}}))
        self.assertEqual(set(of.values()), {"one"})
        of, sites = self.sites(network.adopt(mesh_sites={"azure": {"as": 65000}}))
        self.assertEqual({"azure", "aws", "gcp"}, set(of.values()))
        self.assertEqual([65000, 65001, 65002], [sites[name][0] for name in ("azure", "aws", "gcp")])

    def test_one_site_of_many_names(self):
        """The networks say it: it is one site, and that is told."""
        network = Network({"fra-1": "203.0.113.1", "ber-1": "203.0.113.2", "aws-1": "198.51.100.11"})
        network.systems = {"fra-1": 65050, "ber-1": 65050}
        got = network.adopt()
        of, sites = self.sites(got)
        self.assertEqual({"fra-1": "as65050", "ber-1": "as65050", "aws-1": "aws"}, of)
        self.assertIn("site as65050: made of fra-1, ber-1 by AS 65050 and a network: set mesh_site for those that are not of one site", got["lost"])

    def test_an_as_a_router(self):
        network = Network()
        network.systems = {"azure-1": 65101, "azure-2": 65102}
        got = network.adopt()
        of, sites = self.sites(got)
        self.assertEqual({"azure-1": "azure", "azure-2": "azure", "aws-1": "aws", "gcp-1": "gcp"}, of)
        self.assertIn("site azure: its routers have the AS numbers 65101, 65102: all get 65101", got["lost"])
        network.systems["azure-2"] = 0  # its BIRD says none
        of, sites = self.sites(network.adopt())
        self.assertEqual((65101, ["10.1.0.0/16"]), sites["azure"])
        self.assertEqual("azure", of["azure-2"])

    def test_names_with_domains(self):
        routers = {"gw1.azure.example.com": "203.0.113.11", "gw2.azure.example.com": "203.0.113.12", "gw1.aws.example.com": "198.51.100.11"}
        of, _sites = self.sites(Network(routers, bird=False).adopt())
        self.assertEqual({"gw1.azure.example.com": "gw-azure", "gw2.azure.example.com": "gw-azure", "gw1.aws.example.com": "gw-aws"}, of)
        routers = {"azure-1.example.com": "203.0.113.11", "azure-2.example.com": "203.0.113.12", "aws-1.example.com": "198.51.100.11"}
        of, _sites = self.sites(Network(routers, bird=False).adopt())
        self.assertEqual(["azure", "azure", "aws"], list(of.values()))
        routers = {"203.0.113.11": "203.0.113.11", "203.0.113.12": "203.0.113.12", "198.51.100.11": "198.51.100.11"}
        of, _sites = self.sites(Network(routers, bird=False).adopt())
        self.assertEqual(["203-0-113", "203-0-113", "198-51-100"], list(of.values()))

    def test_mesh_sites_of_theirs(self):
        got = Network().adopt(mesh_sites={"azure": {"networks": "10.1.0.0/16, 10.9.0.0/16", "mtu": "1500", "as": "65020"}})
        self.assertEqual("", got["refused"])
        self.assertEqual("10.1.0.0/16, 10.9.0.0/16", got["vars"]["mesh_sites"]["azure"]["networks"])
        for sites, want in (
            ({"azure": {"networks": "10.1.0.0/16 10.9.0.0/16"}}, 'mesh_sites.azure.networks: found "10.1.0.0/16 10.9.0.0/16", expected'),
            ({"azure": {"networks": ["10.1.0.1/16"]}}, 'mesh_sites.azure.networks: found "10.1.0.1/16", expected networks'),
            ({"azure": {"networks": 10}}, "mesh_sites.azure.networks: found 10, expected"),
            ({"azure": {"as": "AS65020"}}, 'mesh_sites.azure.as: found "AS65020", expected a number'),
            ({"azure": {"mtu": [1400]}}, "mesh_sites.azure.mtu: found a list of 1, expected a number"),
            ({"azure": "65020"}, 'mesh_sites.azure: found "65020", expected an object'),
            ("azure", 'mesh_sites: found "azure", expected an object'),
        ):
            with self.subTest(want):
                got = Network().adopt(mesh_sites=sites)
                self.assertTrue(got["refused"].startswith(want), got["refused"])

    def test_one_end_only(self):
        network = Network()
        del network.interfaces["aws-1"]["wg-azure-1"]
        got = network.adopt()
        self.assertEqual(5, got["tunnels"])
        self.assertIn("azure-1 wg-aws-1: aws-1 has no interface with the other end: the mesh makes a tunnel beside it; end this one by hand", got["lost"])
        self.assertNotIn("azure-1", got["hosts"]["aws-1"]["mesh_links"])

    def test_ports_behind_nat(self):
        network = Network()
        network.interfaces["azure-1"]["wg-gcp-1"]["endpoint"] = "198.51.100.71:7000"
        got = network.adopt()
        self.assertEqual(7000, got["hosts"]["gcp-1"]["mesh_links"]["azure-1"]["endpoint_port"])
        self.assertNotIn("endpoint_port", got["hosts"]["gcp-1"]["mesh_links"]["aws-1"])

    def test_a_router_that_calls_only(self):
        network = Network()
        for name in ("azure-1", "azure-2", "aws-1"):
            network.interfaces[name]["wg-gcp-1"]["calls"] = "(none)"
        self.assertNotIn("mesh_endpoint", network.adopt()["hosts"]["gcp-1"])

    def test_names(self):
        network = Network()
        network.interfaces["azure-1"]["tun.1"] = network.interfaces["azure-1"].pop("wg-aws-1")
        got = network.adopt()
        self.assertIn("azure-1 tun.1: its name does not begin with wg", " ".join(got["lost"]))
        network = Network()
        network.interfaces["azure-1"]["wg2"] = {**network.interfaces["azure-1"].pop("wg-aws-1"), "peer_key": "a stranger"}
        self.assertEqual({"interface": "wg2a"}, network.adopt()["hosts"]["azure-1"]["mesh_links"]["aws-1"])

    def test_files_of_no_interface(self):
        """What lies in /etc/wireguard beside the files of what runs says nothing."""
        network = Network()
        for name in ("client_alice_laptop", "wg0 (copy)", "wg0-before-move-2023"):
            network.extra["gcp-1"] += ["calls\t%s\t%s\t192.0.2.1:1" % (name, key("x")), "line\t%s\tTable\t{{ x }}" % name, "ours\t%s" % name]
        self.assertEqual(([], ""), (network.adopt()["lost"], network.adopt()["refused"]))

    def test_forms_of_files(self):
        for line, want in (
            ("Table\tvpn_table", "azure-1 wg-aws-1: Table = vpn_table: the mesh routes in the main table"),
            ("Table\tx; {{ y }}", "azure-1 wg-aws-1: Table = ?: the mesh routes in the main table"),
            ("Table\tOff", None), ("Table\t", None), ("SAVECONFIG", None), ("table\tauto", None),
            ("PostUp", "azure-1 wg-aws-1: its file has PostUp: not kept"),
        ):
            with self.subTest(line):
                network = Network()
                network.interfaces["azure-1"]["wg-aws-1"]["lines"] = [line]
                got = network.adopt()
                self.assertEqual("", got["refused"])
                self.assertEqual(want is None, not [one for one in got["lost"] if want is None or one.startswith(want)], got["lost"])
        network = Network()
        network.interfaces["azure-1"]["wg-aws-1"]["lines"] = ["{{ x }}"]
        self.assertRegex(network.adopt()["refused"], r"^azure-1: line \d+ \(line\) of /etc/wireguard/wg-aws-1.conf: found what is not of its form, ")
        network = Network()
        network.interfaces["azure-1"]["wg-aws-1"]["mtu"] = float("inf")  # 1e999, in JSON
        self.assertRegex(network.adopt()["refused"], "^azure-1: ip: found what is not of its form, ")

    def test_interfaces_of_any_name(self):
        network = Network()
        network.interfaces["azure-1"]["wg=aws+1"] = network.interfaces["azure-1"].pop("wg-aws-1")
        self.assertIn("azure-1 wg=aws+1: its name does not begin with wg", " ".join(network.adopt()["lost"]))
        network = Network()
        network.interfaces["azure-1"]["wg {{ x }}"] = network.interfaces["azure-1"].pop("wg-aws-1")
        got = network.adopt()
        self.assertEqual(("", 5), (got["refused"], got["tunnels"]))
        self.assertIn("azure-1: an interface of WireGuard has a name that wg-quick does not take: the mesh leaves it alone", got["lost"])
        self.assertNotIn("{{", json.dumps(got))

    def test_a_server_of_laptops(self):
        """A road warriors' interface stays, and is not to be ended."""
        network = Network()
        network.interfaces["azure-1"]["wg0"] = {
            "peer": ["laptop %d" % n for n in range(50)], "address": "10.8.0.1/24", "port": 51820, "endpoint": "(none)", "allowed": ["10.8.0.2/32"],
            "mtu": 1420, "keepalive": "off", "calls": "(none)"}
        got = network.adopt()
        self.assertEqual(6, got["tunnels"])
        self.assertEqual(["azure-1 wg0: none of its 50 peers is a router of the group: it stays as it is; what is behind it is of no site unless you add it"],
                         got["lost"])

    def test_endpoints_of_files(self):
        """An address in a file counts more than where the other end was seen last."""
        network = Network()
        network.interfaces["azure-1"]["wg-gcp-1"].update({"calls": "198.51.100.71:41003", "endpoint": "192.0.2.77:3456"})
        got = network.adopt()
        self.assertEqual([], got["lost"])
        self.assertNotIn("endpoint_port", got["hosts"]["gcp-1"]["mesh_links"]["azure-1"])
        # A name that was never resolved.
        network.interfaces["azure-1"]["wg-gcp-1"].update({"calls": "gw.example.com:41003", "endpoint": "(none)"})
        got = network.adopt()
        self.assertEqual("", got["refused"])
        self.assertTrue([line for line in got["lost"] if line.startswith("azure-1 wg-gcp-1: its Endpoint is a host name")], got["lost"])
        # A peer that the file has not, since a hook adds it.
        network = Network(bird=False)
        for name in ("azure-1", "azure-2", "aws-1"):
            network.interfaces[name]["wg-gcp-1"].update({"calls": None, "lines": ["PostUp"]})
        self.assertEqual("198.51.100.71", network.adopt()["hosts"]["gcp-1"]["mesh_endpoint"])

    def test_no_file(self):
        network = Network()
        for has in network.interfaces["azure-1"].values():
            has.update({"calls": None, "lines": []})
        self.assertEqual(["azure-1 wg-aws-1, azure-1 wg-azure-2, azure-1 wg-gcp-1: no wg-quick file with the peer: "
                          "end what made it, or it does so again at a boot"], network.adopt()["lost"])

    def test_two_owners_at_a_boot(self):
        network = Network()
        network.interfaces["azure-1"]["wg-aws-1"]["unit"] = "disabled"
        network.interfaces["azure-1"]["wg-gcp-1"]["made"] = ["ifupdown"]
        network.interfaces["azure-2"]["wg-gcp-1"].update({"made": ["NetworkManager"], "unit": "disabled"})
        network.interfaces["aws-1"]["wg-gcp-1"].update({"made": ["systemd-networkd"], "calls": None, "lines": []})
        network.interfaces["gcp-1"]["wg-aws-1"]["unit"] = ""  # no systemd
        self.assertEqual([
            "azure-1 wg-aws-1: wg-quick@ is not enabled for it, but disabled: the mesh enables it: end what else makes it at a boot",
            "azure-1 wg-gcp-1: ifupdown makes it at a boot: so will wg-quick for the mesh: take it out there",
            "azure-2 wg-gcp-1: NetworkManager makes it at a boot: so will wg-quick for the mesh: take it out there",
            "aws-1 wg-gcp-1: systemd-networkd makes it at a boot: so will wg-quick for the mesh: take it out there"], network.adopt()["lost"])

    def test_behind_nat_without_a_file(self):
        """Where an end was seen last is the port of its NAT, which is another tomorrow."""
        network = Network()
        for name in ("azure-1", "azure-2", "aws-1"):
            network.interfaces[name]["wg-gcp-1"].update({"calls": None, "lines": [], "endpoint": "198.51.100.71:6%s00" % len(name)})
        got = network.adopt()
        self.assertNotIn("mesh_endpoint", got["hosts"]["gcp-1"])
        for link in got["hosts"]["gcp-1"]["mesh_links"].values():
            self.assertNotIn("endpoint_port", link)
        self.assertIn("azure-1 wg-gcp-1 and 2 more: gcp-1 was seen at a port not its own: "
                      "taken for its NAT's; if that is forwarded, set mesh_endpoint, and endpoint_port in mesh_links", got["lost"])

    def test_forms_of_bird(self):
        network = Network()
        network.extra["gcp-1"] = [
            "bird\tto-upstream:1 BGP        ---        start  10:00:00.000  Active", "bird\t    Neighbor address: 10.3.0.9",
            "bird\t    Local AS:         65040",
            "bird\tinside     BGP        ---        start  10:00:00.000  Passive", "bird\t    Neighbor range:   10.3.0.0/16"]
        lost = network.adopt()["lost"]
        self.assertIn("gcp-1: BGP session to-upstream:1 with 10.3.0.9 is in no such tunnel: it ends", lost)
        self.assertIn("gcp-1: BGP session inside with 10.3.0.0/16 is in no such tunnel: it ends", lost)

    def test_variables_of_theirs(self):
        got = Network().adopt(mesh_gateway="10.2.9.9", mesh_endpoints={"gcp": "192.0.2.5"})
        self.assertEqual("10.2.9.9", got["hosts"]["aws-1"]["mesh_gateway"])
        self.assertEqual({"gcp": "192.0.2.5"}, got["hosts"]["aws-1"]["mesh_endpoints"])
        self.assertIn("gcp-1 wg-aws-1: it calls aws-1 at 198.51.100.11, others of its site at 192.0.2.5: it will call 192.0.2.5", got["lost"])
        got = Network().adopt(mesh_endpoints="192.0.2.5")
        self.assertEqual('mesh_endpoints of azure-1: found "192.0.2.5", expected addresses by the names of sites', got["refused"])

    def test_other_protocols(self):
        network = Network()
        network.extra["gcp-1"] = ["bird\tospf1      OSPF       master4    up     10:00:00.000  Running",
                                  "bird\tupstream   BGP        ---        start  10:00:00.000  Active", "bird\t    Neighbor address: 10.3.0.9"]
        lost = network.adopt()["lost"]
        self.assertIn("gcp-1: BIRD has ospf1, a protocol OSPF: the mesh's bird.conf has none: it ends", lost)
        self.assertIn("gcp-1: BGP session upstream with 10.3.0.9 is in no such tunnel: it ends", lost)

    def test_refused(self):
        names = list(ROUTERS)
        network = Network()
        texts = {name: {"__mesh_read": {"rc": 0, "stdout": network.text(name)}} for name in names}
        for answer, want in (
            ({}, "gcp-1 was not read: all routers are read in one run, without --limit"),
            ({"rc": 1, "stdout": ""}, "gcp-1 was not read"),
            ({"rc": 0, "stdout": "key\twg0\tsecret\n"}, "gcp-1: line 1"),
            ({"rc": 0, "stdout": "port\twg0\t70000\n"}, "gcp-1: line 1"),
            ({"rc": 0, "stdout": "port\twg0\tx\n"}, "gcp-1: line 1 (port) of wg0: found"),
            ({"rc": 0, "stdout": "reboot\twg0\t1\n"}, "gcp-1: line 1"),
            ({"rc": 0, "stdout": "ip\t[1, 2]\n"}, "gcp-1: ip"),
            ({"rc": 0, "stdout": 'ip\t[{"ifname": "e", "addr_info": [{"local": "fe80::1%{{ x }}", "prefixlen": 8}]}]\n'}, "gcp-1: ip"),
            ({"rc": 0, "stdout": "ip\t" + "[" * 100000 + "\n"}, "gcp-1: "),
            ({"rc": 0, "stdout": "key\twg0\t%s\n" % key("azure-1")}, "azure-1 and gcp-1 have the same key"),
            ({"rc": 0, "stdout": "x" * (1024 * 1024 + 1)}, "gcp-1: its answer: found 1048577 characters, expected at most 1048576"),
        ):
            with self.subTest(want):
                got = adopted(names, {**texts, "gcp-1": {"__mesh_read": answer}})
                self.assertTrue(got["refused"].startswith(want), got["refused"])
                self.assertLessEqual(len(got["refused"]), 160)
                self.assertNotIn("secret", got["refused"])
        nothing = {name: {"__mesh_read": {"rc": 0, "stdout": "ip\t[]\n"}} for name in names}
        self.assertEqual("no WireGuard interface on azure-1: bring the network up first, since what runs is read", adopted(names, nothing)["refused"])
        nothing["azure-1"]["__mesh_read"]["stdout"] += "key\twg1\t%s\nours\twg1\n" % key("x")
        self.assertIn("azure-1: all of its WireGuard interfaces are the mesh's already", adopted(names, nothing)["refused"])


# Prints the plan of each router, a line each.
PLAN = """
- hosts: routers
  gather_facts: false
  tasks:
    - wgmesh.router.mesh_plan_info:
        router: "{{ inventory_hostname }}"
        routers: "{{ groups.routers | wgmesh.router.members(hostvars) }}"
        sites: "{{ mesh_sites }}"
        link_pool: "{{ mesh_link_pool }}"
        port_base: "{{ mesh_port_base }}"
        interface_prefix: "{{ mesh_interface_prefix }}"
        persistent_keepalive: "{{ mesh_keepalive }}"
      register: mesh
    - copy: {content: "{{ mesh.plan.tunnels | to_json }}", dest: "{{ folder }}/{{ inventory_hostname }}.json"}
"""


class Play(unittest.TestCase):
    """The play itself, with what adopt.sh would print in files."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder, self.network = pathlib.Path(folder.name), Network()
        for name in ROUTERS:
            (self.folder / name).write_text(self.network.text(name), encoding="utf-8")
        hosts = {"routers": {"hosts": {name: {} for name in ROUTERS}, "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}}
        (self.folder / "hosts.yml").write_text(json.dumps(hosts), encoding="utf-8")
        (self.folder / "plan.yml").write_text(PLAN, encoding="utf-8")

    def play(self, *args):
        read = {"__mesh_adopt": "cat %s/{{ inventory_hostname }}" % self.folder, "folder": str(self.folder)}
        done = warm.play("-i", "hosts.yml", "-e", json.dumps(read), *args, cwd=self.folder)
        return done.returncode, done.stdout + done.stderr

    def test_the_plan_is_what_was_there(self):
        code, out = self.play("wgmesh.router.adopt", "-e", "mesh_adopt_file=mesh.yml", "--check", "--diff")
        self.assertEqual(0, code, out)
        self.assertIn("mesh_links", out)
        self.assertFalse((self.folder / "mesh.yml").exists())
        code, out = self.play("wgmesh.router.adopt", "-e", "mesh_adopt_file=mesh.yml")
        self.assertEqual(0, code, out)
        self.assertIn("6 tunnels of 4 routers can be taken over", out)
        code, out = self.play("-i", "mesh.yml", "plan.yml")
        self.assertEqual(0, code, out)
        for name in ROUTERS:
            tunnels = json.loads((self.folder / (name + ".json")).read_text(encoding="utf-8"))
            self.assertEqual(3, len(tunnels))
            for tunnel in tunnels:
                has, peer = self.network.interfaces[name][tunnel["name"]], tunnel["peers"][0]
                self.assertEqual(
                    (has["port"], [has["address"]], has["mtu"], has["peer"], has["endpoint"], int(has["keepalive"])),
                    (tunnel["listen_port"], tunnel["addresses"], tunnel["mtu"], [peer["name"]], peer["endpoint"], peer["persistent_keepalive"]))
                self.assertEqual(set(), set(has["allowed"]) - set(peer["allowed_ips"]))

    def test_a_file_of_others_stays(self):
        there = self.folder / "mesh.yml"
        there.write_text("mine", encoding="utf-8")
        code, out = self.play("wgmesh.router.adopt", "-e", "mesh_adopt_file=mesh.yml")
        self.assertNotEqual(0, code, out)
        self.assertIn("mesh_adopt_file: mesh.yml exists and has other content", out)
        self.assertEqual("mine", there.read_text(encoding="utf-8"))
        code, out = self.play("wgmesh.router.adopt", "-e", "mesh_adopt_file=mesh.yml", "-e", "mesh_adopt_overwrite=true")
        self.assertEqual(0, code, out)
        self.assertIn("changed=1", out)
        code, out = self.play("wgmesh.router.adopt", "-e", "mesh_adopt_file=mesh.yml")
        self.assertEqual(0, code, out)
        self.assertNotIn("changed=1", out)
        # A link is not the file that it names, which may be anybody's.
        other = there.rename(self.folder / "other")
        there.symlink_to(other)
        code, out = self.play("wgmesh.router.adopt", "-e", "mesh_adopt_file=mesh.yml")
        self.assertIn("mesh_adopt_file: mesh.yml exists and has other content", out)
        other.write_text("mine", encoding="utf-8")
        code, out = self.play("wgmesh.router.adopt", "-e", "mesh_adopt_file=mesh.yml", "-e", "mesh_adopt_overwrite=true")
        self.assertEqual((0, "mine", False), (code, other.read_text(encoding="utf-8"), there.is_symlink()), out)

    def test_limit(self):
        code, out = self.play("wgmesh.router.adopt", "--limit", "aws-1")
        self.assertNotEqual(0, code, out)
        self.assertIn("azure-1 was not read: all routers are read in one run", out)


if __name__ == "__main__":
    unittest.main()
