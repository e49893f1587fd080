"""The table that a failed run ends with: what it says, and how both cores show it."""

import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
sys.path.insert(0, os.environ["ANSIBLE_COLLECTIONS_PATH"])  # .ci/test-ansible sets it

from ansible_collections.wgmesh.router.plugins.plugin_utils import causes, registered, report  # noqa: E402, F401

# After those: ansible-core 2.14 finds no module of a collection when an action plugin is loaded.
from ansible_collections.wgmesh.router.plugins.action import mesh_report  # noqa: E402

ROUTERS = ["aws-1", "aws-2", "azure-1", "azure-2", "gcp-1", "gcp-2", "office-1"]
HELD = {
    "peer": "", "cause": "TCP 179 is held by nginx, pid 812, and BIRD has to listen there", "do": "stop that program, and run the mesh play again",
    "follows": False, "final": True,
}  # fmt: skip


PROBE = {**HELD, "cause": "10.1.3.20 of its own site does not answer", "do": "look at mesh_gateway", "final": False}


def misses(peer, **more):
    return {
        "peer": peer, "cause": "no handshake", "do": "check that it runs, and UDP in its firewall", "follows": False, "final": False,
        "here": {"cause": "no handshake yet, last endpoint 198.51.100.7:51820", "do": "check UDP 51820 in the firewalls of both ends, and that %s runs" % peer},
        **more,
    }  # fmt: skip


def lost(peer):
    cause = "forwards nothing to 10.1.3.20 of its site"
    return misses(peer, cause="it " + cause, do="look at its gateway", here={"cause": "%s %s" % (peer, cause), "do": "look at its gateway"}, alone=True)


def status(*troubles, sick=(), **more):
    return {"__mesh_status": {"healthy": not troubles, "troubles": list(troubles), "sick": list(sick), "tunnels": [{"name": "wg1", "peer": "one"}], **more}}


def lacks(network, *owners):
    """A network without a way, which owners do not bring though there are sessions with them."""
    here = {"cause": "prefix %s of gcp: no tunnel has a route to it" % network, "do": "look at birdc show route"}
    cause = {"cause": "others have no route to %s of its site" % network, "do": "look at its gateway"} if owners else here
    return {"peer": "", **cause, "here": here, "follows": True, "final": False, "network": network, "owners": list(owners)}


def mesh(told, routers=ROUTERS):
    """Routers with all tunnels, and their sites."""
    return {name: {**status(*told.get(name, ()), tunnels=[{"peer": peer} for peer in routers]), "mesh_site": name.split("-")[0]} for name in routers}


def without(router, cause, **more):
    """A mesh in which everybody misses one router, which says why or nothing."""
    return {name: cause if name == router else status(misses(router, **more)) for name in ROUTERS}


HOSTILE = "\x1b[2J\u202eit\r\nfails \u2026 " + "\x07" * 5 + "a" * 3000

SCENES = {
    "a port is held": (
        without("azure-1", status(HELD, sick=["x"])), [],
        """
ROUTER   FOLLOWS    CAUSE -> WHAT TO DO
azure-1  6 routers  TCP 179 is held by nginx, pid 812, and BIRD has to listen
                    there
                    -> stop that program, and run the mesh play again""",
        ["azure-1"],
    ),
    "nobody hears it, and it hears nobody": (
        without("azure-1", status(*[misses(name) for name in ROUTERS if name != "azure-1"])), [],
        """
ROUTER   FOLLOWS    CAUSE -> WHAT TO DO
azure-1  6 routers  no handshake
                    -> check that it runs, and UDP in its firewall""",
        ["azure-1"],
    ),
    "two do not hear each other": (
        {"aws-1": status(misses("office-1")), "office-1": status(misses("aws-1", final=True, here={"cause": "interface wg7 does not exist", "do": "run the mesh play here"}))}, [],
        """
ROUTER            FOLLOWS  CAUSE -> WHAT TO DO
aws-1 - office-1  -        interface wg7 does not exist
                           -> run the mesh play here""",
        ["aws-1", "office-1"],
    ),
    "one has looked at the network before, since nobody changed anything": (
        {
            "aws-1": {"__mesh_status": {"skipped": True}, "__mesh_links": {"answers": {"__mesh_proved": status(misses("office-1"))["__mesh_status"]}}},
            "office-1": status(misses("aws-1")),
        }, [],
        """
ROUTER            FOLLOWS  CAUSE -> WHAT TO DO
aws-1 - office-1  -        no handshake yet, last endpoint 198.51.100.7:51820
                           -> check UDP 51820 in the firewalls of both ends, and
                              that office-1 runs""",
        ["aws-1", "office-1"],
    ),
    "one does not forward, and one has seen it": (
        {"office-1": status(lost("azure-1"))}, [],
        """
ROUTER              FOLLOWS  CAUSE -> WHAT TO DO
azure-1 - office-1  -        azure-1 forwards nothing to 10.1.3.20 of its site
                             -> look at its gateway""",
        ["azure-1"],
    ),
    "one does not forward, and two have seen it": (
        {"office-1": status(lost("azure-1")), "aws-1": status(lost("azure-1"))}, [],
        """
ROUTER   FOLLOWS    CAUSE -> WHAT TO DO
azure-1  2 routers  it forwards nothing to 10.1.3.20 of its site
                    -> look at its gateway""",
        ["azure-1"],
    ),
    "two forward nothing to each other": (
        {"office-1": status(lost("azure-1")), "azure-1": status(lost("office-1"))}, [],
        """
ROUTER              FOLLOWS  CAUSE -> WHAT TO DO
azure-1 - office-1  -        azure-1 forwards nothing to 10.1.3.20 of its site
                             -> look at its gateway
azure-1 - office-1  -        office-1 forwards nothing to 10.1.3.20 of its site
                             -> look at its gateway""",
        ["azure-1", "office-1"],
    ),
    "a tunnel is down at one end, and at the other something is lost": (
        {"office-1": status(lost("azure-1")), "azure-1": status(misses("office-1"))}, [],
        """
ROUTER              FOLLOWS  CAUSE -> WHAT TO DO
azure-1 - office-1  -        no handshake yet, last endpoint 198.51.100.7:51820
                             -> check UDP 51820 in the firewalls of both ends,
                                and that office-1 runs""",
        ["azure-1", "office-1"],
    ),
    "a host is down, as its routers say": (
        {
            "office-1": status(lost("azure-1"), lost("azure-2")), "aws-1": status(lost("azure-1"), lost("azure-2")),
            **{name: status({**HELD, "cause": "10.1.3.20 of its own site does not answer", "do": "look at mesh_gateway"}) for name in ("azure-1", "azure-2")},
        }, [],
        """
ROUTER            FOLLOWS    CAUSE -> WHAT TO DO
azure-1, azure-2  2 routers  10.1.3.20 of its own site does not answer
                             -> look at mesh_gateway""",
        ["azure-1", "azure-2"],
    ),
    "a rule of the image, which each has seen for its own networks": (
        {name: status({
            **HELD, "cause": "iptables FORWARD: policy drop drops icmp between sites", "do": "put a rule that accepts it first", "final": False,
            "here": {"cause": "iptables FORWARD: policy drop drops icmp from 10.%d.0.0/16 to 10.9.0.0/16" % i, "do": "put a rule that accepts it first"},
        }) for i, name in enumerate(ROUTERS)}, [],
        """
ROUTER                FOLLOWS  CAUSE -> WHAT TO DO
aws-1, aws-2,         -        iptables FORWARD: policy drop drops icmp between
azure-1, azure-2,              sites
gcp-1, gcp-2,                  -> put a rule that accepts it first
office-1""",
        ROUTERS,
    ),
    "a host behind a router is down, and nobody has a session with that router": (
        without("azure-1", status(PROBE, *[misses(name, cut=True) for name in ROUTERS if name != "azure-1"]), cut=True), [],
        """
ROUTER   FOLLOWS    CAUSE -> WHAT TO DO
azure-1  6 routers  no handshake
                    -> check that it runs, and UDP in its firewall
azure-1  -          10.1.3.20 of its own site does not answer
                    -> look at mesh_gateway""",
        ["azure-1"],
    ),
    "a host behind a router is down, and one tunnel of that router as well": (
        {"aws-1": status(lost("azure-1")), "azure-1": status(PROBE, misses("gcp-1", cut=True)), "gcp-1": status(lost("azure-1"))}, [],
        """
ROUTER           FOLLOWS    CAUSE -> WHAT TO DO
azure-1          2 routers  10.1.3.20 of its own site does not answer
                            -> look at mesh_gateway
azure-1 - gcp-1  -          no handshake yet, last endpoint 198.51.100.7:51820
                            -> check UDP 51820 in the firewalls of both ends,
                               and that gcp-1 runs""",
        ["azure-1", "gcp-1"],
    ),
    "a host behind a router is down, which an older program says": (
        without("azure-1", status(PROBE)), [],
        """
ROUTER   FOLLOWS    CAUSE -> WHAT TO DO
azure-1  6 routers  10.1.3.20 of its own site does not answer
                    -> look at mesh_gateway""",
        ["azure-1"],
    ),
    "the inventory does not describe a mesh": (
        {name: {"__mesh_preview" if name == "gcp-1" else "__mesh_plan": {"failed": False, "causes": [
            {"cause": "routers aws-1, aws-2: id 5 is given to all of them", "do": "give each its own, and leave that of an absent router alone"},
            {"cause": "link_pool: 10.1.0.0/24 overlaps network 10.1.0.0/16 of site azure", "do": "take a network that no site uses"},
        ]}} for name in ROUTERS}, ROUTERS,
        """
ROUTER    FOLLOWS    CAUSE -> WHAT TO DO
the mesh  7 routers  link_pool: 10.1.0.0/24 overlaps network 10.1.0.0/16 of site
                     azure
                     -> take a network that no site uses
the mesh  7 routers  routers aws-1, aws-2: id 5 is given to all of them
                     -> give each its own, and leave that of an absent router
                        alone""",
        ROUTERS,
    ),
    "three fail early, two for one reason": (
        {
            "aws-1": {"__mesh_keypair": {"failed": True, "causes": [{"cause": "write /etc/wireguard/wgmesh.key: no space left on device", "do": ""}]}},
            "gcp-1": {"__mesh_links": {"failed": True, "msg": "Open the keys: no space", "answers": {
                "__mesh_opened": {"failed": True, "causes": [{"cause": "write /etc/wireguard/wgmesh.key: no space left on device", "do": ""}]}}}},
            "aws-2": {"__mesh_links": {"failed": True, "msg": "no answer within 10 s, the timeout of this task: look at what hangs on this host", "no_answer": True}},
            "gcp-2": status(misses("aws-1"), misses("gcp-1")),
        }, ["aws-1", "aws-2", "gcp-1"],
        """
ROUTER        FOLLOWS   CAUSE -> WHAT TO DO
aws-1, gcp-1  1 router  write /etc/wireguard/wgmesh.key: no space left on device
                        -> make room on its disk (df -h), and run again
aws-2         -         no answer within 10 s, the timeout of this task
                        -> look at what hangs on this host""",
        ["aws-1", "aws-2", "gcp-1"],
    ),
    "a key is refused": (
        {"aws-1": {**status(), "__mesh_links": {"answers": {"__mesh_tunnels": {"pending": [
            {"peer": "azure-1", "refused": True, "reason": "azure-1: it has a new public key: name it in mesh_replaced"}]}}}}}, [],
        """
ROUTER   FOLLOWS   CAUSE -> WHAT TO DO
azure-1  1 router  it has a new public key
                   -> name it in mesh_replaced""",
        ["azure-1"],
    ),
    "a disk was copied": (
        {
            **{
                name: {
                    **status(misses("aws-2")), "__mesh_keypair": {"public_key": name},
                    "__mesh_sealed": {"pending": [{"peer": "aws-2", "refused": True, "reason": "aws-2: it has a new public key: name it in mesh_replaced"}]},
                }
                for name in ROUTERS
            },
            "aws-1": {**status(), "__mesh_keypair": {"public_key": "one"}},
            "aws-2": {"__mesh_keypair": {"public_key": "one"}, "__mesh_tunnels": {"failed": True, "msg": "wg15: peer aws-1: x= is this router's own public key; give the peer's"}},
        }, ["aws-2"],
        """
ROUTER         FOLLOWS    CAUSE -> WHAT TO DO
aws-1 - aws-2  5 routers  aws-1, aws-2 have the same key
                          -> empty /etc/machine-id of the copy, reboot it, and
                             run again""",
        ["aws-1", "aws-2"],
    ),
    "two names are one machine": (
        {name: {**status(), "ansible_host": "192.0.2.1", "__mesh_keypair": {"public_key": "one"}} for name in ("aws-1", "aws-2")}, [],
        """
ROUTER         FOLLOWS  CAUSE -> WHAT TO DO
aws-1 - aws-2  -        aws-1, aws-2 have the same key
                        -> correct ansible_host of one of them""",
        ["aws-1", "aws-2"],
    ),
    "a change was taken back": (
        {"aws-1": {"__mesh_lost": ["gcp-1", "gcp-2"], "__mesh_kept": {"troubles": [misses("gcp-1"), misses("gcp-2")]}}}, ["aws-1"],
        """
ROUTER  FOLLOWS  CAUSE -> WHAT TO DO
aws-1   -        its change cut off gcp-1, gcp-2, so it was taken back: no
                 handshake
                 -> before the next run: check that it runs, and UDP in its
                    firewall""",
        ["aws-1"],
    ),
    "another run settled it": (
        {"aws-1": {"__mesh_lost": ["gcp-1"], "__mesh_undone": {"changed": False}}}, ["aws-1"],
        """
ROUTER  FOLLOWS  CAUSE -> WHAT TO DO
aws-1   -        its change cut off gcp-1, and another run has settled it
                 -> look at those tunnels before the next run""",
        ["aws-1"],
    ),
}  # fmt: skip


class Rows(unittest.TestCase):
    def test_scenes(self):
        for name, (seen, early, want, red) in SCENES.items():
            with self.subTest(name):
                hostvars = {router: seen.get(router, status()) for router in ROUTERS}
                alive = [router for router in ROUTERS if router not in early]
                rows = causes.causes(hostvars, ROUTERS, alive)
                self.assertEqual(want.strip("\n"), "\n".join(report.table(rows)))
                self.assertEqual([router for router in red if router not in early], sorted(causes.blamed(rows, hostvars, ROUTERS, alive)))

    def test_reads_what_the_roles_register(self):
        roles = pathlib.Path(os.environ["ANSIBLE_COLLECTIONS_PATH"], "ansible_collections/wgmesh/router/roles")
        text = "".join(path.read_text() for path in roles.glob("*/tasks/*.yml"))
        for name in (*causes.RESULTS, *causes.LOOPS):
            self.assertRegex(text, r"register: %s\b" % name)

    def test_unreachable(self):
        said = "Failed to connect to the host via ssh: ssh: connect to host 198.51.100.7 port 22: No route to host"
        rows = causes.causes({"aws-1": {"__mesh_plan": {"unreachable": True, "msg": said}}, "aws-2": status()}, ["aws-1", "aws-2"], ["aws-2"])
        self.assertEqual([("ssh: connect to host 198.51.100.7 port 22: No route to host", "check that it runs, its address, and SSH in its firewall", "unreachable")], [(r["cause"], r["do"], r["kind"]) for r in rows])

    def test_a_task_had_no_more_time(self):
        for said in ("The raw action failed to execute in the expected time frame (600) and was terminated", "Task failed: Timed out after 600 second(s)."):
            rows = causes.causes({"aws-1": {"__mesh_back": {"failed": True, "msg": said}}}, ["aws-1"], [])
            self.assertEqual(["check that it runs and what hangs there (its load, its disk), then run again"], [row["do"] for row in rows])

    def test_keys_that_one_refuses_of_all_and_all_of_one(self):
        def refused(*peers):
            return {**status(), "__mesh_opened": {"pending": [{"peer": p, "refused": True, "reason": p + ": its envelope: run it again"} for p in peers]}}

        hostvars = {name: refused("azure-1") for name in ROUTERS} | {"azure-1": refused(*[name for name in ROUTERS if name != "azure-1"])}
        rows = causes.causes(hostvars, ROUTERS, ROUTERS)
        self.assertEqual([(["azure-1"], 6)], [(row["routers"], len(row["follows"])) for row in rows])
        self.assertEqual(["azure-1"], list(causes.blamed(rows, hostvars, ROUTERS, ROUTERS)))

    def test_one_liar(self):
        """What one router said of each other one made those red, and itself not."""
        others = [name for name in ROUTERS if name != "aws-1"]
        site = {name: name.split("-")[0] for name in ROUTERS}
        honest = {name: {**status(tunnels=[{"peer": peer} for peer in ROUTERS]), "mesh_site": site[name]} for name in ROUTERS}
        pending = {"pending": [{"peer": peer, "refused": True, "reason": peer + ": its envelope: run it again"} for peer in others]}
        for lie in (status(*map(lost, others)), {**status(), "__mesh_opened": pending}):
            hostvars = {**honest, "aws-1": {**honest["aws-1"], **lie}}
            rows = causes.causes(hostvars, ROUTERS, ROUTERS)
            self.assertEqual(6, len(rows))
            for row in rows:
                self.assertEqual((2, True), (len(row["ends"]), "aws-1" in row["ends"]), row)
        planned = {name: {**honest[name], "__mesh_plan": {"plan": {}}} for name in ROUTERS}
        for lie in (status(HELD, *map(misses, others)), {"__mesh_plan": {"failed": True, "causes": [{"cause": "site gcp has no networks", "do": "give it some"}]}}):
            rows = causes.causes({**planned, "aws-1": {**planned["aws-1"], **lie}}, ROUTERS, others if "__mesh_plan" in lie else ROUTERS)
            self.assertEqual([(["aws-1"], [])], [(row["routers"], row["follows"]) for row in rows])

    def test_two_sites(self):
        """One of two that lose each other was blamed by alphabet, as if its routers were dead."""
        aws, azure, gcp, office = ROUTERS[:2], ROUTERS[2:4], ROUTERS[4:6], ROUTERS[6:]
        yet = "no handshake yet, last endpoint 198.51.100.7:51820"

        def between(*sites, both=True):
            """What is told when those of the first site have lost those of the others."""
            told = {}
            for one in sites[0]:
                for other in sum(sites[1:], []):
                    told.setdefault(one, []).append(misses(other, cut=True))
                    if both:
                        told.setdefault(other, []).append(misses(one, cut=True))
            return told

        scenes = {
            "of two routers each": (between(azure, gcp), [("azure - gcp", "every tunnel, as azure-1 - gcp-1: " + yet, 0)], azure + gcp),
            "of which one has one router": (
                between(office, azure), [("azure - office", "every tunnel, as azure-1 - office-1: " + yet, 0)], azure + office,
            ),
            "and one router alone has looked": (
                between(office, azure, both=False), [("azure - office", "every tunnel, as azure-1 - office-1: " + yet, 0)], azure + office,
            ),
            "and two others, too": (
                {**between(azure, gcp), **between(office, aws)},
                [("aws - office", "every tunnel, as aws-1 - office-1: " + yet, 0), ("azure - gcp", "every tunnel, as azure-1 - gcp-1: " + yet, 0)], ROUTERS,
            ),
            "and one of them others": (between(gcp, azure, office), [("gcp-1, gcp-2", "no handshake", 3)], gcp),
            "but for one tunnel": (
                {**between(azure, gcp[:1]), "azure-1": [misses(name, cut=True) for name in gcp]},
                [("gcp-1", "no handshake", 2), ("azure-1 - gcp-2", yet, 0)], ["azure-1", "gcp-1", "gcp-2"],
            ),
            "as a router of two says": (
                {"aws-1": [misses(name) for name in ROUTERS[1:]]}, [("aws-1 - " + name, yet, 0) for name in ROUTERS[1:]], ROUTERS,
            ),
            "which forward nothing to each other, and have tunnels": (
                {name: [lost(peer) for peer in gcp] for name in azure}, [("gcp-1, gcp-2", "it forwards nothing to 10.1.3.20 of its site", 2)], gcp,
            ),
        }
        for name, (told, want, red) in scenes.items():
            with self.subTest(name):
                hostvars = mesh(told)
                rows = causes.causes(hostvars, ROUTERS, ROUTERS)
                self.assertEqual(want, [(", ".join(row["routers"]), row["cause"], len(row["follows"])) for row in rows])
                self.assertEqual(sorted(red), sorted(causes.blamed(rows, hostvars, ROUTERS, ROUTERS)))

    def test_transit_that_is_dropped(self):
        """What a router keeps from others is a warning, until these have no other way."""
        told = {"cause": "nft inet f c: policy drop drops what other sites that lose each other send by here", "do": "accept it"}
        net = {"aws": "10.2.0.0/16", "azure": "10.1.0.0/16", "gcp": "10.3.0.0/16"}

        def found(*users, by="azure-1", **more):
            """What is found when a filter of azure-1 keeps gcp's from aws and aws's from gcp, and users send each other's by a router."""
            hostvars = mesh({})
            to = {"aws": net["gcp"], "gcp": net["aws"]}
            hostvars["azure-1"]["__mesh_status"]["transit"] = [{"peer": p, "networks": [to[p[:3]]], **told} for p in ("aws-1", "aws-2", "gcp-1", "gcp-2")]
            for name in users:
                hostvars[name]["__mesh_status"]["ways"] = [{"network": to[name[:3]], "peer": by}, {"network": net["azure"], "peer": "azure-1"}]
            rows = causes.causes(hostvars, ROUTERS, ROUTERS, **more)
            hostvars["azure-1"]["__mesh_status"]["warnings"] = ["%(cause)s: %(do)s" % told]
            self.assertEqual(not rows, bool(mesh_report.told(hostvars, ROUTERS, rows)), "it is said once")
            return [(row["routers"], row["cause"], row["follows"]) for row in rows], sorted(causes.blamed(rows, hostvars, ROUTERS, ROUTERS))

        self.assertEqual(([], []), found())
        self.assertEqual(([], []), found("aws-1", "gcp-1", by="azure-2"))
        self.assertEqual(([], []), found("aws-1", "gcp-1", network=False))
        self.assertEqual(([(["azure-1"], told["cause"], ["aws-1", "gcp-1"])], ["azure-1"]), found("aws-1", "gcp-1"))
        self.assertEqual(([(["azure-1 - gcp-2"], "azure-1: " + told["cause"], [])], ["azure-1", "gcp-2"]), found("gcp-2"))

    def test_two_sites_that_are_numbers(self):
        """One says its site in YAML, another one in a cloud's tag."""
        routers, sites = ["a-1", "a-2", "b-1", "b-2", "c-1"], [1, "1", 2, 2, 3]
        hostvars = mesh({name: [misses(peer, cut=True) for peer in routers[2:4]] for name in routers[:2]}, routers)
        for name, site in zip(routers, sites):
            hostvars[name]["mesh_site"] = site
        rows = causes.causes(hostvars, routers, routers)
        self.assertEqual([(["1 - 2"], "tunnel")], [(row["routers"], row["kind"]) for row in rows])
        self.assertEqual(3, causes.Mesh(hostvars, routers, routers, "healthy", True).content("a-1", []))  # a-2 need not see it

    def test_two_sites_and_a_dead_router(self):
        told = {name: [misses("office-1", cut=True)] for name in ROUTERS[:6]}
        for one, other in [("azure-1", "gcp-1"), ("azure-1", "gcp-2"), ("azure-2", "gcp-1"), ("azure-2", "gcp-2")]:
            told[one].append(misses(other, cut=True))
            told[other].append(misses(one, cut=True))
        rows = causes.causes(mesh(told), ROUTERS, ROUTERS)
        self.assertEqual([["office-1"], ["azure - gcp"]], [row["routers"] for row in rows])

    def test_networks_that_nobody_brings(self):
        net, others = "10.3.0.0/16", [name for name in ROUTERS if not name.startswith("gcp")]
        own = {**PROBE, "cause": "it has no route for %s" % net}
        silent = misses("azure-1", cause="no answer to ping", here={"cause": "198.18.0.1 does not answer ping", "do": "admit ICMP at both ends"})
        everybody = {name: [lacks(net, "gcp-1", "gcp-2")] for name in others}
        gone, here = "others have no route to %s of its site" % net, "prefix %s of gcp: no tunnel has a route to it" % net
        cut = "no handshake yet, last endpoint 198.51.100.7:51820"
        scenes = {
            "and nothing else is wrong": (everybody, ROUTERS, [("gcp-1, gcp-2", gone, 5)], "gcp-1 gcp-2"),
            "and a small thing is wrong elsewhere": (
                {**everybody, "aws-1": [*everybody["aws-1"], silent]}, ROUTERS,
                [("gcp-1, gcp-2", gone, 5), ("aws-1 - azure-1", "198.18.0.1 does not answer ping", 0)], "aws-1 azure-1 gcp-1 gcp-2",
            ),
            "and a tunnel of one of them is down": (
                {**everybody, "aws-1": [misses("gcp-1", cut=True), lacks(net, "gcp-2")]}, ROUTERS,
                [("gcp-1, gcp-2", gone, 5), ("aws-1 - gcp-1", cut, 0)], "aws-1 gcp-1 gcp-2",
            ),
            "one is dead, and the other brings nothing": (
                {name: [misses("gcp-1", cut=True), lacks(net, "gcp-2")] for name in others}, [name for name in ROUTERS if name != "gcp-1"],
                [("gcp-1", "it left this run", 5), ("gcp-2", gone, 5)], "gcp-2",
            ),
            "which they say themselves": (
                {**everybody, "gcp-1": [own], "gcp-2": [own]}, ROUTERS, [("gcp-1, gcp-2", own["cause"], 5)], "gcp-1 gcp-2",
            ),
            "of one that has a small thing of another kind": (
                {**everybody, "gcp-1": [PROBE]}, ROUTERS, [("gcp-1, gcp-2", gone, 5), ("gcp-1", PROBE["cause"], 0)], "gcp-1 gcp-2",
            ),
            "since no session is left": (
                {name: [misses("gcp-1", cut=True), misses("gcp-2", cut=True), lacks(net)] for name in others}, ROUTERS,
                [("gcp-1, gcp-2", "no handshake", 5)], "gcp-1 gcp-2",
            ),
            "for one alone, which filters it or lies": (
                {"aws-1": everybody["aws-1"], "aws-2": [silent]}, ROUTERS,
                [("aws-1", here, 0), ("aws-2 - azure-1", "198.18.0.1 does not answer ping", 0)], "aws-1 aws-2 azure-1",
            ),
            "for the routers of one site": (
                {"aws-1": everybody["aws-1"], "aws-2": everybody["aws-2"]}, ROUTERS, [("aws-1, aws-2", here, 0)], "aws-1 aws-2",
            ),
            "by one that is not of this mesh": (
                {"aws-1": [lacks(net, "nobody"), silent]}, ROUTERS, [("aws-1 - azure-1", silent["here"]["cause"], 0)], "aws-1 azure-1",
            ),
            "as a liar has it that names none": (
                {"aws-1": [{**lacks(net, "gcp-1"), "network": ""}, silent]}, ROUTERS, [("aws-1 - azure-1", silent["here"]["cause"], 0)], "aws-1 azure-1",
            ),
            "as one lies of all": (
                {"office-1": [lacks("10.%d.0.0/16" % i, name) for i, name in enumerate(ROUTERS)]}, ROUTERS,
                [("office-1", "no tunnel has a route to 10.0.0.0/16, 10.1.0.0/16, 10.2.0.0/16 and 3 more", 0)], "office-1",
            ),
        }
        for name, (told, alive, want, red) in scenes.items():
            with self.subTest(name):
                hostvars = {name: seen if name in alive else {} for name, seen in mesh(told).items()}
                rows = causes.causes(hostvars, ROUTERS, alive)
                self.assertEqual(want, [(", ".join(row["routers"]), row["cause"], len(row["follows"])) for row in rows])
                self.assertEqual(red.split(), sorted(causes.blamed(rows, hostvars, ROUTERS, alive)))

    def test_a_network_of_two_routers(self):
        """Where nobody else can see it, either of the two may be wrong."""
        for targeted, red in ((["aws-1", "gcp-1"], ["aws-1", "gcp-1"]), (["aws-1"], ["aws-1"])):
            hostvars = mesh({"aws-1": [lacks("10.3.0.0/16", "gcp-1")]}, targeted) | {"gcp-1": {"mesh_site": "gcp", **status()}}
            rows = causes.causes(hostvars, targeted, targeted)
            self.assertEqual([["aws-1 - gcp-1"]], [row["routers"] for row in rows])
            self.assertEqual(red, sorted(causes.blamed(rows, hostvars, targeted, targeted)))

    def test_a_network_of_a_site_that_is_not_in_the_run(self):
        targeted = ["aws-1", "azure-1"]
        hostvars = mesh({name: [lacks("10.9.0.0/16", "gcp-1")] for name in targeted})
        rows = causes.causes(hostvars, targeted, targeted)
        self.assertEqual([(["gcp-1"], "not in this run: others have no route to 10.9.0.0/16 of its site")], [(row["routers"], row["cause"]) for row in rows])
        self.assertEqual(targeted, sorted(causes.blamed(rows, hostvars, targeted, targeted)))

    def test_outside_of_the_run(self):
        hostvars = {"aws-1": status(misses("aws-2")), "aws-2": {}}
        rows = causes.causes(hostvars, ["aws-1"], ["aws-1"])
        self.assertEqual("not in this run: no handshake", rows[0]["cause"])
        self.assertEqual({"aws-1": "aws-2"}, causes.blamed(rows, hostvars, ["aws-1"], ["aws-1"]))

    def test_whatever_a_router_says_fits(self):
        for n in (1, 20, 63, 253):
            name = ("r%d-" % n * n)[:n]
            own = {"peer": "", "cause": HOSTILE, "do": HOSTILE, "follows": False}
            hostvars = {name: status(*[{**own, "cause": "%d%s" % (i, HOSTILE)} for i in range(2000)]), "b": status({**misses("nobody"), "peer": "no such router"})}
            rows = causes.causes(hostvars, list(hostvars), list(hostvars))
            self.assertLessEqual(len(rows), causes.MOST_CAUSES)
            for row in rows:
                self.assertLessEqual(len(row["cause"]) + len(row["do"]), causes.MOST)
            for line in report.table(rows):
                self.assertLessEqual(len(line), report.WIDTH)
                self.assertRegex(line, "^[ -~]*$")

    def test_a_name_with_its_domain_is_whole(self):
        """It was broken after 20 letters, so that nobody found it with a search, or copied it."""
        names = ["PAR-GW1.corp.example.com", "dub-r2.aws.example.com"]
        rows = causes.causes({name: status(HELD) for name in names}, names, names)
        rows[0]["routers"] = [" - ".join(names)]
        self.assertEqual(["ROUTER", *(word for name in (names[0], "-", names[1]) for word in [name])], " ".join(
            line[:24].strip() for line in report.table(rows)).split())

    def test_warnings_leave_room_for_notes(self):
        found = status(warnings=["warning %d" % n for n in range(25)], notes=["the image is 200 d old"])
        texts = [warning["text"] for warning in mesh_report.told({"aws-1": found}, ["aws-1"])]
        self.assertIn("the image is 200 d old", texts)
        self.assertEqual(21, len(texts))

    def test_mends_it_itself(self):
        """The check mode of a mesh play that would write a tunnel's file said that it differs, and to run the mesh play."""
        notes = ["after the next boot it will not be as it is now (/etc/wireguard/wg1.conf differs): run the mesh play", "the image is 200 d old"]
        for changed, check, want in ((True, True, notes[1:]), (True, False, notes), (False, True, notes)):
            found = {**status(notes=notes), "__mesh_links": {"changed": changed, "answers": {"__mesh_tunnels": {}}}}
            self.assertEqual(want, [warning["text"] for warning in mesh_report.told({"aws-1": found}, ["aws-1"], check=check)])

    def test_who_vanished(self):
        """A line deleted in the inventory, or an account that a plugin could not ask, removed routers that carried traffic, and all was green."""
        def ended(*peers, worked=(), changed=True):
            answers = {"__mesh_tunnels": {"stale_peers": list(peers)}, "__mesh_bird": {"worked": list(worked)}}
            return {**status(), "__mesh_links": {"answers": answers}, "__mesh_purged": {"changed": changed}}

        def said(check=False, members=("aws_1", "aws_2", "azure_1"), **told):
            return [(w["routers"], w["text"]) for w in mesh_report.vanished(registered.once(told), list(told), members, check)]

        do = " (set mesh_state: absent, or put it back and run again)"
        are = "azure_3 is not a router of the inventory any more: its tunnels"
        self.assertEqual([], said(aws_1=status(), aws_2=ended(changed=False), azure_1={}))
        self.assertEqual([], said(aws_1=ended("azure_1"), aws_2=ended("azure_1")), "it is absent, or has another site")
        self.assertEqual([], said(aws_1=ended("azure_3", changed=False)), "the run came not so far")
        self.assertEqual([], said(members=[], aws_1=ended("azure_3")), "it leaves another mesh")
        both = {"aws_1": ended("azure_3"), "aws_2": ended("azure_3", worked=["azure_1", "azure_3"])}
        self.assertEqual([(["aws_1", "aws_2"], are + ", which were up, were removed" + do)], said(**both))
        self.assertEqual([(["aws_1"], are + " were removed" + do)], said(aws_1=ended("azure_3", worked=["azure_1"])))
        self.assertEqual([(["aws_1"], are + " would be removed" + do)], said(check=True, aws_1=ended("azure_3")))
        three = "azure_3, azure_4 are not routers of the inventory any more: their tunnels were removed (set mesh_state: absent, or put them back and run again)"
        self.assertEqual([(["aws_1", "aws_2"], three)], said(aws_1=ended("azure_4", "azure_3"), aws_2=ended("azure_3"), azure_1=status()))

    def test_a_thousand_causes(self):
        rows = causes.causes({"r%d" % i: status({**HELD, "cause": "cause %d" % i}) for i in range(1000)}, ["r%d" % i for i in range(1000)], ["r%d" % i for i in range(1000)])
        self.assertEqual(1000, len(rows))
        self.assertEqual("and 940 more: mesh_report_file has them all", report.table(rows)[-1])


class Cores(unittest.TestCase):
    """The table as each core shows it, whatever the options of its output."""

    def play(self, core, name, *more, **environment):
        seen, early, _, _ = SCENES[name]
        with tempfile.TemporaryDirectory() as folder:
            inventory = {"all": {"hosts": {router: seen.get(router, status()) for router in ROUTERS}, "vars": {"early": early, "file": folder + "/report.json"}}}
            with open(folder + "/hosts.json", "w", encoding="utf-8") as out:
                json.dump(inventory, out)
            command = [ROOT + "/build/venv-%s/bin/ansible-playbook" % core, "-i", folder + "/hosts.json", HERE + "/play.yml", *more]
            done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
            with open(folder + "/report.json", encoding="ascii") as file:
                return done, json.load(file)

    def test_shows_it_once_and_last(self):
        ways = {
            "plain": {"ANSIBLE_NOCOLOR": "1"},
            "colour": {"ANSIBLE_FORCE_COLOR": "1"},
            "yaml": {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml"},
            "stderr": {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_DISPLAY_FAILED_STDERR": "1"},
            "one fork": {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORKS": "1"},
        }
        for core in os.environ.get("CORES", "2.14 newest").split():
            for name, (_, early, want, red) in SCENES.items():
                # Each is a run of Ansible: all ways once, and what goes other ways through it.
                for way, environment in list(ways.items())[: {"a port is held": 5, "the inventory does not describe a mesh": 1, "two do not hear each other": 1}.get(name, 0)]:
                    with self.subTest(core=core, scene=name, way=way):
                        done, written = self.play(core, name, **environment)
                        self.assertEqual(2, done.returncode, done.stdout + done.stderr)
                        out = re.sub(r"\x1b\[[0-9;]*m", "", done.stderr if way == "stderr" else done.stdout)
                        self.assertEqual(1, out.count(want), out)
                        after = re.sub(r"^(?:\nok: \[\S+\])?\n*(?:PLAY RECAP [^\n]*\n(?:\S+ +: ok=[^\n]*\n)*)?\n*$", "", out.partition(want)[2])
                        self.assertEqual("", after, "something comes after the table")
                        failed = re.findall(r"(?m)^(\S+) +: ok=.* failed=[1-9]", re.sub(r"\x1b\[[0-9;]*m", "", done.stdout))
                        self.assertEqual(sorted(red), sorted(failed))
                        self.assertFalse(written["healthy"])
                        self.assertEqual(sorted(set("kind cause do follows routers".split())), sorted(written["causes"][0]))

    def test_status_in_check_mode(self):
        """It was red for a table that did not follow, and wrote no file. A run that shows tunnels need not be that."""
        for core in os.environ.get("CORES", "2.14 newest").split():
            done, written = self.play(core, "a port is held", "--check", "-e", "reads=true", ANSIBLE_NOCOLOR="1")
            self.assertEqual((2, 1), (done.returncode, done.stdout.count(SCENES["a port is held"][2])), done.stdout + done.stderr)
            self.assertIs(False, written["healthy"])
            self.assertLess(abs(time.time() - datetime.datetime.fromisoformat(written["at"]).timestamp()), 3600)
            with self.assertRaises(FileNotFoundError):
                self.play(core, "a port is held", "--check", "-e", "tunnels=true", ANSIBLE_NOCOLOR="1")

    def test_says_that_all_is_well_in_one_line(self):
        for core in os.environ.get("CORES", "2.14 newest").split():
            SCENES["well"] = ({}, [], "", [])
            try:
                done, written = self.play(core, "well", ANSIBLE_NOCOLOR="1")
            finally:
                del SCENES["well"]
            self.assertEqual(0, done.returncode, done.stdout)
            self.assertEqual(1, done.stdout.count("healthy: 7 routers, 7 tunnels\n"), done.stdout)
            self.assertNotIn("FOLLOWS", done.stdout)
            self.assertEqual((True, []), (written["healthy"], written["causes"]))

    def test_says_nothing_of_health_that_nobody_asked_for(self):
        """A drain, a preview and a measurement replaced what the status play had written of a sick mesh by healthy: true."""
        core = os.environ.get("CORES", "2.14 newest").split()[0]
        want = {
            "healthy": ({}, True), "preview": ({}, None), "measured": ({}, None), "required_healthy": ({"aws-1": status(HELD, required_healthy=True)}, None),
            "nobody": (dict.fromkeys(ROUTERS, {}), None),
        }  # fmt: skip
        for goal, (seen, healthy) in want.items():
            with self.subTest(goal):
                SCENES["asked"] = (seen, [], "", [])
                try:
                    done, written = self.play(core, "asked", "-e", "goal=" + goal.replace("nobody", "healthy"), ANSIBLE_NOCOLOR="1")
                finally:
                    del SCENES["asked"]
                self.assertEqual((0, healthy, [], healthy is True), (done.returncode, written["healthy"], written["causes"], "\nhealthy: 7" in done.stdout), done.stdout)

    def test_who_cannot_serve_a_measurement(self):
        """The tunnel was nowhere, or the router was named that had asked."""
        collection = pathlib.Path(os.environ["ANSIBLE_COLLECTIONS_PATH"], "ansible_collections/wgmesh/router")
        for core in os.environ.get("CORES", "2.14 newest").split():
            with self.subTest(core=core), tempfile.TemporaryDirectory() as folder:
                stub = pathlib.Path(folder, "ansible_collections/wgmesh/router")
                shutil.copytree(collection / "plugins", stub / "plugins", ignore=shutil.ignore_patterns("bin"))
                shutil.copytree(collection / "meta", stub / "meta")
                shutil.copy(HERE + "/stub.py", stub / "plugins/action/mesh_measure_info.py")
                command = [ROOT + "/build/venv-%s/bin/ansible-playbook" % core, "-i", "a,gone,hangs,well,", HERE + "/measure.yml"]
                command += ["-e", json.dumps({"roles": str(collection / "roles"), "file": folder + "/report.json"})]
                environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": folder, "ANSIBLE_NOCOLOR": "1"}
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                with open(folder + "/report.json", encoding="ascii") as file:
                    said = [(row["routers"], row["cause"]) for row in json.load(file)["causes"]]
                self.assertEqual([
                    (["gone"], "ssh: connect to host 192.0.2.1 port 22: No route to host"),
                    (["hangs"], "no answer within 60 s, the timeout of this task"),
                ], said, done.stdout)  # fmt: skip
                self.assertEqual(["well"], re.findall("^measured: (.*)", done.stdout, re.M), done.stdout)

    def test_gone(self):
        """What the router's end did is said, and not what ssh says of its own way there."""
        mux = "Failed to connect to the host via ssh: mux_client_request_session: read from master failed: Broken pipe\r\n"
        for text, want in {
            mux + "Connection timed out during banner exchange\r\nproxy dialer did not pass back a connection": "Connection timed out during banner exchange",
            "Failed to connect to the host via ssh: ssh: connect to host 192.0.2.1 port 22: Connection refused": "ssh: connect to host 192.0.2.1 port 22: Connection refused",
            mux + "mm_receive_fd: recvmsg: expected received 1 got 0\nproxy dialer did not pass back a connection": "ssh lost its connection",
        }.items():
            cause, do = causes.gone(text)
            self.assertEqual("it is gone: " + want, cause)
            self.assertTrue(do.endswith(", then run again"), do)
            self.assertEqual(want, causes.of_result({"unreachable": True, "msg": text}, "failed")[0][0])
        own = 'ControlPath "/x" too long for Unix domain socket'
        self.assertEqual(own, causes.of_result({"unreachable": True, "msg": own}, "failed")[0][0], "all there is")


if __name__ == "__main__":
    unittest.main()
