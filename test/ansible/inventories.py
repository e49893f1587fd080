"""Which inventories the playbooks refuse before they ask a router anything, on the Ansible of the environment.

.ci/test-ansible runs it with each core, and CI with the newest alone. No host of these inventories exists.
"""

import contextlib
import hashlib
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import tempfile
import time
import unittest
import unittest.mock

import warm
import yaml
from ansible import context
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager
from jinja2 import Undefined

warm.find_collections()
from ansible_collections.wgmesh.router.plugins.action import mesh_preview_info  # noqa: E402
from ansible_collections.wgmesh.router.plugins.filter.drainable import drainable  # noqa: E402
from ansible_collections.wgmesh.router.plugins.filter.every import every  # noqa: E402
from ansible_collections.wgmesh.router.plugins.filter.forged import forged  # noqa: E402
from ansible_collections.wgmesh.router.plugins.filter.image_hosts import image_hosts  # noqa: E402
from ansible_collections.wgmesh.router.plugins.filter.members import FIELDS, members  # noqa: E402
from ansible_collections.wgmesh.router.plugins.filter.mesh_group import mesh_group  # noqa: E402
from ansible_collections.wgmesh.router.plugins.filter.mistyped import SPECS, mistyped  # noqa: E402
from ansible_collections.wgmesh.router.plugins.filter.moving import moving  # noqa: E402
from ansible_collections.wgmesh.router.plugins.filter.objections import objections  # noqa: E402
from ansible_collections.wgmesh.router.plugins.filter.rollable import rollable  # noqa: E402
from ansible_collections.wgmesh.router.plugins.filter.told import told  # noqa: E402
from ansible_collections.wgmesh.router.plugins.filter.undrained import undrained  # noqa: E402
from ansible_collections.wgmesh.router.plugins.filter.unforwarded import unforwarded  # noqa: E402
from ansible_collections.wgmesh.router.plugins.filter.unheard import unheard  # noqa: E402
from ansible_collections.wgmesh.router.plugins.plugin_utils import answers, wgmesh  # noqa: E402
from ansible_collections.wgmesh.router.plugins.plugin_utils.site import of_site  # noqa: E402

# After those: ansible-core 2.14 finds no module of a collection when an action plugin is loaded.
from ansible_collections.wgmesh.router.plugins.action import mesh_status_info, mesh_steps  # noqa: E402

PLAYBOOKS = (
    "mesh", "status", "measure", "routes", "callback", "join", "drain", "undrain", "preview", "reset", "add", "remove", "rotate", "replace", "upgrade",
    "adopt",
)  # fmt: skip

# The plays that an accepted inventory gets instead of one that needs routers.
PLAYS = {"IMAGE": """
- import_playbook: wgmesh.router.image_hosts
- hosts: "{{ mesh_group | default('routers') | wgmesh.router.image_hosts(
    groups, hostvars | default({}), router_hosts | default(''), packer_build_name is defined) }}"
  gather_facts: false
  tasks:
    - debug: {msg: "router {{ inventory_hostname }}"}
""", "SHOW": """
- import_playbook: wgmesh.router.members
- hosts: "{{ mesh_group | default('routers') | wgmesh.router.mesh_group(groups, hostvars | default({})) }}"
  gather_facts: false
  tasks:
    - debug: {msg: "router {{ inventory_hostname }}"}
""", "TAGGED": """
- import_playbook: wgmesh.router.members
  tags: [net]
- hosts: routers
  gather_facts: false
  tags: [net]
  tasks:
    - debug: {msg: "router {{ inventory_hostname }}"}
""", "PLAN": """
- hosts: routers
  gather_facts: false
  tasks:
    - wgmesh.router.mesh_plan_info:
        router: "{{ inventory_hostname }}"
        routers: "{{ groups.routers | wgmesh.router.members(hostvars) }}"
        sites: "{{ mesh_sites }}"
""", "FAULTS": """
- hosts: routers
  gather_facts: false
  module_defaults:
    wgmesh.router.mesh_plan_info:
      router: "{{ inventory_hostname }}"
      routers: "{{ groups.routers | wgmesh.router.members(hostvars) }}"
      sites: "{{ mesh_sites }}"
  tasks:
    - wgmesh.router.mesh_plan_info: {faults: one}
      become: true
      become_method: su
      run_once: true
      vars: {wgmesh_remote_dir: /tmp/wgmesh-test}
      register: tried
    - assert:
        that:
          - tried.faults | length == 4
          - tried.plan.router.name == 'azure-1'
    - wgmesh.router.mesh_plan_info:
      delegate_to: localhost
      register: plain
    - assert: {that: plain.faults is not defined}
    - wgmesh.router.mesh_plan_info: {faults: three}
      delegate_to: localhost
      register: wrong
      failed_when: "'faults: expected one of none, one, two, auto' not in wrong.msg"
    - wgmesh.router.mesh_steps:
        steps:
          - name: Plan
            module: mesh_plan_info
            register: plan
            args: {router: azure-1, routers: "{{ groups.routers | wgmesh.router.members(hostvars) }}", sites: "{{ mesh_sites }}", faults: one}
      delegate_to: localhost
      register: step
      failed_when: "'faults: one is tried on the controller' not in step.msg"
""", "GUARD": """
- hosts: all
  gather_facts: false
  vars: {mesh_confirm_timeout: 120}
  vars_files: ["{{ role_vars }}"]
  tasks:
    - {debug: {msg: "it waits {{ __mesh_guard }} s"}, run_once: true}
""", "SITE": """
- hosts: all
  gather_facts: false
  vars_files: ["{{ role_vars }}"]
  tasks:
    - debug: {msg: "its site has [{{ __mesh_site_routers | join(',') }}]"}
""", "SEEN": """
- hosts: all
  gather_facts: false
  vars_files: ["{{ role_vars }}"]
  tasks:
    - debug: {msg: "it confirms [{{ __mesh_first_change }}] to [{{ __mesh_last_change }}]"}
""", "KEPT": """
- hosts: all
  gather_facts: false
  vars_files: ["{{ role_vars }}"]
  tasks:
    - debug: {msg: "it keeps [{{ __mesh_worked | sort | join(',') }}] without pings of [{{ __mesh_worked_silent | join(',') }}]"}
""", "FORMER": """
- hosts: routers
  gather_facts: false
  module_defaults:
    group/wgmesh.router.all: {sites: "{{ mesh_sites }}"}
  tasks:
    - wgmesh.router.mesh_plan: &plan
        router: "{{ inventory_hostname }}"
        routers: "{{ groups.routers | wgmesh.router.members(hostvars) }}"
      register: before
    - wgmesh.router.mesh_plan_info: *plan
      register: now
    - assert: {that: before.plan == now.plan}
- hosts: routers
  gather_facts: false
  tasks:
    - wgmesh.router.mesh_measure: {router: azure-1, tunnels: []}
    - wgmesh.router.mesh_status: {ping: false, expect: any, plan: 5}
      ignore_errors: true
    - wgmesh.router.mesh_preflight: {plam: 5}
      ignore_errors: true
""", "CACHED": """
- hosts: azure-1
  gather_facts: false
  tasks:
    - ansible.builtin.set_fact: {mesh_site: aws, mesh_report_file: '{{ playbook_dir }}/report', cacheable: true}
"""}

ROLE_VARS = pathlib.Path(__file__).parents[2] / "roles/mesh/vars/main.yml"
FACTS = "{{ ansible_facts.default_ipv4.address }}"
SITES = {"azure": {"as": 65020, "networks": ["10.1.0.0/16"]}, "aws": {"as": 65030, "networks": "10.2.0.0/16", "transit": False}}


def inventory(group="routers", everywhere=None, azure=None, aws=None, **hosts):
    """Two routers in a group, a child group each, and a database."""
    routers = {
        "azure-1": {"mesh_id": 1, "mesh_site": "azure", "mesh_endpoint": "192.0.2.1", **hosts.get("azure_1", {})},
        "aws-1": {"mesh_id": 2, "mesh_site": "aws", "mesh_endpoint": "192.0.2.2", **hosts.get("aws_1", {})},
    }
    return {"all": {
        "vars": {"mesh_sites": SITES, **(everywhere or {})},
        "children": {
            group: {"children": {"azure": {}, "aws": {}}},
            "azure": {"hosts": {"azure-1": routers["azure-1"]}, "vars": azure or {}},
            "aws": {"hosts": {"aws-1": routers["aws-1"]}, "vars": aws or {}},
            "databases": {"hosts": {"db-1": {}}},
        },
    }}


def leftover(tree, name):
    """The same with one more group, which has the database."""
    tree["all"]["children"][name] = {"hosts": {"db-1": {}}}
    return tree


def other(**change):
    return {**SITES, "azure": {**SITES["azure"], **change}}


ACCEPTED = {
    "the group's usual name": (inventory(), []),
    "mesh_group for all": (inventory("vpn", {"mesh_group": "vpn"}), []),
    "mesh_group for the routers": (inventory("vpn", azure={"mesh_group": "vpn"}, aws={"mesh_group": "vpn"}), []),
    "mesh_group with -e": (inventory("vpn"), ["-e", "mesh_group=vpn"]),
    "-e goes before the inventory": (inventory("vpn", {"mesh_group": "another"}), ["-e", "mesh_group=vpn"]),
    "a group routers that is left over": (leftover(inventory("vpn", {"mesh_group": "vpn"}), "routers"), []),
    "a database has the mesh's settings otherwise": (inventory(azure={"mesh_port_base": 52800}, aws={"mesh_port_base": "52800"}), []),
    "a default that is said by some": (inventory(azure={"mesh_port_base": 51800, "mesh_bfd": "normal"}), []),
    "sites written otherwise": (inventory(azure={"mesh_sites": other(networks="10.1.0.0/16", **{"as": "65020"})}), []),
    "an absent router with other settings": (inventory(azure={"mesh_port_base": 52800}, azure_1={"mesh_state": "absent"}), []),
    "an absent router without facts": (inventory(aws_1={"mesh_state": "absent", "mesh_endpoint": FACTS}), []),
    "a limit with patterns": (inventory(), ["--limit", "a*s-1:&all,~azu.*,localhost"]),
    "routers that were replaced": (inventory(azure={"mesh_replaced": "aws-1, azure-1"}, aws={"mesh_replaced": ["azure-1"]}), []),
    "a keepalive of one's own": (inventory(azure={"mesh_keepalive": 60, "mesh_interface_prefix": "wgm", "mesh_wait": 10}), []),
    "an endpoint made of what is there": (inventory(azure_1={"mesh_endpoint": "{{ outside }}", "outside": "192.0.2.9"}), []),
    "a key of a site that is nothing": (inventory(azure={"mesh_sites": other(gateway=None)}), []),
    "a truth written otherwise": (inventory(azure={"mesh_sites": {**SITES, "aws": {**SITES["aws"], "transit": "no"}}}), []),
    "one address, with other ports or jump hosts, or of one that is absent": (
        inventory(everywhere={"ansible_host": "192.0.2.9", "ansible_ssh_common_args": "-J {{ inventory_hostname }}"}), []),
    "facts that are gathered": (inventory(azure_1={"mesh_endpoint": FACTS}), []),
}

REFUSED = {
    "another group": (inventory("vpn"), [], "the group routers is not in the inventory: put the routers into it, or set mesh_group"),
    "a group that does not exist": (inventory(), ["-e", "mesh_group=rooters"], "the group rooters is not in the inventory"),
    "no group": (inventory(), ["-e", "mesh_group="], "the group '' is not in the inventory"),
    "an empty group": ({"all": {"hosts": {"db-1": {}}, "children": {"routers": {}}}}, [], "the group routers has no hosts"),
    "no inventory at all": ({}, [], "the group routers is not in the inventory"),
    "mesh_group for one of them": (
        inventory("vpn", azure={"mesh_group": "vpn"}), [], "azure-1 has mesh_group vpn, aws-1 routers: set it for all"),
    "mesh_group for others": (inventory(azure={"mesh_group": "vpn"}, aws={"mesh_group": "vpn"}), [], "the group vpn is not in the inventory"),
    "two meshes": (
        leftover(inventory(everywhere={}), "vpn") | {"vpn": {"vars": {"mesh_group": "vpn"}}}, [],
        "azure-1 is a router of the group routers, db-1 is a router of the group vpn: choose one with -e mesh_group=NAME"),
    "a run without routers": (inventory(), ["--limit", "db-1"], "no host of this run is a router: the group routers has none of db-1"),
    "a limit to who is absent": (
        inventory(aws_1={"mesh_state": "absent"}), ["--limit", "aws-1"],
        "aws-1 is mesh_state: absent, and no other router is in this run: leave --limit out, or name a router with it that is present"),
    "mesh_replaced that names nobody": (
        inventory(everywhere={"mesh_replaced": 5}), [], "mesh_replaced: 5 is not a router of the inventory: name one that is"),
    "mesh_replaced that is misspelt": (
        inventory(everywhere={"mesh_replaced": "aws-1, azrue-1"}), [], "mesh_replaced: azrue-1 is not a router of the inventory: name one that is"),
    "one address": (
        inventory(azure_1={"ansible_host": "192.0.2.9"}, aws_1={"ansible_host": "{{ one }}", "one": "192.0.2.9", "ansible_port": 22}), [],
        "azure-1, aws-1 have one ansible_host, 192.0.2.9: correct it, or give each its own ansible_port"),
    "one address in two forms": (
        inventory(azure_1={"ansible_host": "2001:DB8:0::1"}, aws_1={"ansible_host": "2001:db8::1"}), [],
        "azure-1, aws-1 have one ansible_host, 2001:db8::1: correct it"),
    "the name of another one": (inventory(azure_1={"ansible_host": "aws-1"}), [], "azure-1, aws-1 have one ansible_host, aws-1: correct"),
    "no name": (inventory(azure={"mesh_name": ""}, aws={"mesh_name": None}), [], "azure-1, aws-1: mesh_name: got nothing, expected a name: leave it out"),
    "a host with the name of the group": (
        leftover(inventory("db-1", {"mesh_group": "db-1"}), "others"), [], "the group db-1 has the name of a host: rename one of them"),
    "a limit that is misspelt, after a blank": (
        inventory(), ["--limit", "aws-1, azrue"], "--limit: azrue is neither a host nor a group of the inventory: correct it"),
    "a limit that is misspelt": (inventory(), ["--limit", "aws-1,!azrue"], "--limit: azrue is neither a host nor a group of the inventory: correct it"),
    "port base": (inventory(azure={"mesh_port_base": 52800}), [], "azure-1 has mesh_port_base 52800, aws-1 51800: set it for all"),
    "port base, with a limit": (
        inventory(azure={"mesh_port_base": 52800}), ["--limit", "aws-1"], "azure-1 has mesh_port_base 52800, aws-1 51800: set it for all"),
    "link pool": (inventory(aws={"mesh_link_pool": "10.9.0.0/16"}), [], ", aws-1 10.9.0.0/16: set it for all"),
    "link pool of IPv6": (inventory(aws={"mesh_link_pool6": "fd00::/64"}), [], "azure-1 has mesh_link_pool6 fd77:676d:6573:6800::/64, aws-1 fd00::/64: set"),
    "link networks": (inventory(aws_1={"mesh_link_prefix_length": 24}), [], "azure-1 has mesh_link_prefix_length 31, aws-1 24: set"),
    "BFD": (inventory(aws={"mesh_bfd": "fast"}), [], "azure-1 has mesh_bfd normal, aws-1 fast: set"),
    "AS number": (inventory(azure={"mesh_sites": other(**{"as": 65021})}), [], "azure-1 has mesh_sites.azure.as 65021, aws-1 65020: set"),
    "transit": (inventory(azure={"mesh_sites": other(transit=False)}), [], "azure-1 has mesh_sites.azure.transit False, aws-1 nothing: set"),
    "no sites": (inventory(azure={"mesh_sites": None}), [], "azure-1 has mesh_sites nothing, aws-1 something: set"),
    "endpoint of facts": (inventory(aws_1={"mesh_endpoint": FACTS}), [], "aws-1: mesh_endpoint cannot be rendered ("),
    "endpoint of facts, with a limit": (
        inventory(aws_1={"mesh_endpoint": FACTS}), ["--limit", "azure-1"], "): gather the facts of all routers first, or write the value"),
    "endpoint of nothing": (inventory(aws_1={"mesh_endpoint": "{{ outside }}"}), [], "aws-1: mesh_endpoint cannot be rendered ("),
    "gateway of facts": (inventory(aws={"mesh_gateway": "{{ ansible_default_ipv4.gateway }}"}), [], "aws-1: mesh_gateway cannot be rendered ("),
    "sites of facts": (inventory(aws={"mesh_sites": other(networks=[FACTS])}), [], "aws-1: mesh_sites cannot be rendered ("),
}


# What the image play takes: who of the inventory, or nobody and an error.
ALONE = {"all": {"hosts": {"new-vm": {}}}}
TAKEN = {
    "routers, and no database": (inventory(), [], ["azure-1", "aws-1"]),
    "mesh_group": (inventory("vpn", {"mesh_group": "vpn"}), [], ["azure-1", "aws-1"]),
    "a group with the name of a host": (leftover(inventory("db-1", {"mesh_group": "db-1"}), "others"), [], ["azure-1", "aws-1"]),
    "one that is absent": (inventory(azure_1={"mesh_state": "absent"}), [], ["aws-1"]),
    "all that is absent": (inventory(azure_1={"mesh_state": "absent"}), ["--limit", "azure-1"], []),
    "router_hosts with -e": (inventory(), ["-e", "router_hosts=azure"], ["azure-1"]),
    "all, said aloud": (inventory(), ["-e", "router_hosts=all"], ["azure-1", "aws-1", "db-1"]),
    "router_hosts in the inventory": (inventory(everywhere={"router_hosts": "aws"}), [], ["aws-1"]),
    "a limit": (inventory(), ["--limit", "aws-1"], ["aws-1"]),
    "no group, and a name": (inventory("vpn"), ["-e", "router_hosts=vpn"], ["azure-1", "aws-1"]),
    "Packer": ({"all": {"hosts": {"default": {}}}}, ["-e", "packer_build_name=amazon-ebs.router"], ["default"]),
    "Packer, with groups": (inventory("vpn"), ["-e", "packer_build_name=x", "--limit", "azure-1"], ["azure-1"]),
    "one host": (ALONE, [], ["new-vm"]),
    "no group": (inventory("vpn"), [], []),
    "one host, which is something else": ({"all": {"children": {"databases": {"hosts": {"db-1": {}}}}}}, [], []),
    "a limit to others": (inventory(), ["--limit", "db-1"], []),
    "a name that is not there": (inventory(), ["-e", "router_hosts=rooters"], []),
    "an empty inventory": ({"all": {}}, [], []),
}


class Test(unittest.TestCase):
    maxDiff = None

    def play(self, tree, *args):
        with tempfile.TemporaryDirectory() as folder:
            hosts = pathlib.Path(folder, "inventory.yml")
            hosts.write_text(json.dumps(tree))
            for name, text in PLAYS.items():
                pathlib.Path(folder, name).write_text(text)
            done = warm.play("-i", str(hosts), *[folder + "/" + arg if arg in PLAYS else arg for arg in args])
            self.assertFalse(pathlib.Path(folder, "report").exists(), "a fact said where a report goes")
        # As the table has it, on one line again.
        return done.returncode, " ".join((done.stdout + done.stderr).replace(" -> ", ": ").split()).replace(" : ", ": ")

    def ends(self, want, tree, *args):
        """What a run says that ends with that status."""
        code, out = self.play(tree, *args)
        self.assertEqual(want, code, out)
        return out

    def test_named_by_the_inventory(self):
        """The drain had no host then, nothing was removed, and the end said that it had been."""
        for name in ("add", "remove"):
            out = self.ends(2, inventory(everywhere={"mesh_" + name: "aws-1"}), "wgmesh.router." + name)
            self.assertIn("mesh_%s: got aws-1 from the inventory, expected it on the command line: -e mesh_%s=aws-1" % (name, name), out)

    def test_vault_of_others(self):
        """A database whose variables are in another team's vault was the end of every play."""
        class Hostvars(dict):
            def __getitem__(self, name):
                if name == "db-1":
                    raise AnsibleError("Attempting to decrypt but no vault secrets found")
                return super().__getitem__(name)

        hostvars = Hostvars({"aws-1": {"mesh_group": "vpn"}, "db-1": {}})
        groups = {"all": ["db-1", "aws-1"], "vpn": ["aws-1"]}
        class Vaulted(dict):
            def get(self, name, default=None):
                if name == "mesh_sites":
                    raise AnsibleError("Attempting to decrypt but no vault secrets found")
                return super().get(name, default)

        line = "aws-1: mesh_sites cannot be rendered (Attempting to decrypt but no vault secrets found): give the key of its vault, or write the value"
        self.assertIn(line, objections("routers", {"all": ["aws-1"], "routers": ["aws-1"]}, {"aws-1": Vaulted()}, ["aws-1"]))
        self.assertEqual(("vpn", "vpn", []), (mesh_group("routers", groups, hostvars), image_hosts("routers", groups, hostvars), forged(hostvars, hostvars)))

    def test_sites_that_are_numbers(self):
        hostvars = {"azure-1": {"mesh_site": 1}, "azure-2": {"mesh_site": "1"}, "aws-1": {"mesh_site": 2}}
        self.assertEqual(["azure-1", "azure-2"], of_site("azure-1", hostvars, list(hostvars)))
        self.assertEqual(["1", "1", "2"], [router["site"] for router in members(hostvars, hostvars).values()])
        seen = [{"item": "azure-2", "answers": {"__mesh_seen": {"tunnels": [], "ways": []}}}]
        self.assertEqual("", unheard("aws-1", hostvars, list(hostvars), seen))  # azure-2 speaks for azure-1
        for blind in ({"tunnels": []}, {"failed": True, "msg": "no answer"}):  # a look that failed counted as one that found nothing
            seen[0]["answers"]["__mesh_seen"] = blind
            self.assertIn("no router of 1 answers", unheard("aws-1", hostvars, list(hostvars), seen))

    def test_absent_without_a_site(self):
        """Its id is all that is kept of it. The plays of a router's day ended with an error of Jinja."""
        tree = inventory()
        tree["all"]["children"]["azure"]["hosts"]["old"] = {"mesh_id": 3, "mesh_state": "absent"}
        told, _, _ = self.filters(tree, [])
        self.assertEqual([], told)
        out = self.ends(0, tree, "SITE", "--limit", "azure-1", "-e", "role_vars=%s mesh_group=routers" % ROLE_VARS)
        self.assertIn("its site has [azure-1]", out)

    def test_guard(self):
        """From the first router's last step to its confirmation all others have that step, and the look at what worked."""
        for routers, forks, want in ((1, 5, 120), (7, 5, 138), (7, 1, 180), (100, 5, 417), (100, 50, 417), (100, 2, 610)):
            tree = {"all": {"hosts": {"router-%d" % i: {} for i in range(routers)}}}
            out = self.ends(0, tree, "GUARD", "-f", str(forks), "-e", "role_vars=%s" % ROLE_VARS)
            self.assertIn("it waits %d s" % want, out)

    def test_seen(self):
        """What waits when a later step found that the change is settled is another run's."""
        seen = {
            ("a/1", "a/1"): ["", "a/1"],
            ("a/1", "a/2"): ["a/1", "a/2", None],
            ("b/2", "b/2"): ["b/2", ""],
            ("d/1", "e/1"): ["d/1", "", "e/1"],  # its first was settled meanwhile: not by this run
            ("", ""): ["", None],
        }

        def answers(changes):
            return {"step-%d" % -j: {} if c is None else {"armed": bool(c), "change": c} for j, c in enumerate(changes)}

        hosts = {"router-%d" % i: {"__mesh_links": {"answers": answers(changes)}} for i, changes in enumerate(seen.values())}
        # One that failed before a step had seen anything confirms no more than what was there then.
        seen["c/1", "c/1"] = []
        hosts["router-%d" % len(hosts)] = {"__mesh_sealed": {"armed": True, "change": "c/1"}, "__mesh_links": {"answers": {"step-1": {"failed": True}}}}
        out = self.ends(0, {"all": {"hosts": {**hosts, "router-9": {}}}}, "SEEN", "-e", "role_vars=%s" % ROLE_VARS)
        for i, want in [*enumerate(seen), (9, ("", ""))]:
            self.assertIn('ok: [router-%d] => { "msg": "it confirms [%s] to [%s]" }' % (i, *want), out)

    def test_renamed(self):
        """Routers that got another name in the same run were not missed when the change cut them off."""

        def end(peer, name, address):
            return {"peer": peer, "name": name, "address": address}

        over = [end("azure-1", "wg20", "100.64.0.1"), end("aws-1", "wg21", "100.64.0.3")]
        cases = (
            (over, over, "aws-1,azure-1] without pings of [aws-1"),
            ([end("az-1", "wg20", "100.64.9.1"), end("ec2-1", "wg21", "100.64.9.3")], over, "az-1,ec2-1] without pings of [ec2-1"),
            ([end("az-1", "t20", "100.64.0.1"), end("ec2-1", "t21", "100.64.0.3")], over, "az-1,ec2-1] without pings of [ec2-1"),
            ([end("azure-1", "wg30", "100.64.9.1"), end("new-1", "wg31", "100.64.9.3")], over, "azure-1] without pings of ["),
            # Of names that are swapped nobody can tell it from new ids, so the name counts.
            ([end("aws-1", "wg20", "100.64.0.1"), end("azure-1", "wg21", "100.64.0.3")], over, "aws-1,azure-1] without pings of [aws-1"),
            (over, None, "aws-1,azure-1] without pings of [aws-1"),  # what an older program has told
            ([end("az-1", "wg20", "100.64.0.1")], [], "] without pings of ["),
        )
        hosts = {
            "router-%d" % i: {
                "__mesh_begun": {"answers": {"__mesh_plan": {"plan": {"status": {"tunnels": tunnels}}}}},
                "__mesh_links": {"answers": {"step": {
                    "armed": True, "worked": ["azure-1", "aws-1"], "silent": ["aws-1"], "routed": [], **({} if before is None else {"worked_over": before}),
                }}},
            }
            for i, (tunnels, before, _want) in enumerate(cases)
        }  # fmt: skip
        out = self.ends(0, {"all": {"hosts": hosts}}, "KEPT", "-e", "role_vars=%s" % ROLE_VARS, "-e", '{"__mesh_dropped": []}')
        for i, (_tunnels, _before, want) in enumerate(cases):
            self.assertIn('ok: [router-%d] => { "msg": "it keeps [%s]" }' % (i, want), out)

    def test_metrics(self):
        """The metrics had the host's own name, which no peer knows, and which each new machine changes. And cron has the status play."""
        found = {}

        def walk(name, value):
            for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
                walk(name, part)
            if isinstance(value, dict) and value.get("metrics_file"):
                found.setdefault(name, []).append(value.get("router"))

        for tasks in sorted(pathlib.Path(__file__).parents[2].glob("roles/mesh/tasks/*.yml")):
            walk(tasks.stem, yaml.safe_load(tasks.read_text()))
        name = "{{ inventory_hostname }}"
        self.assertEqual({"after": [name], "links": [{"$from": "name"}], "status": [name]}, found)

    def test_patience(self):
        """A task that changes a router, a file for each of its tunnels, had the time of one that is done at once."""
        short = []

        def walk(name, task):
            for part in task if isinstance(task, list) else [task[word] for word in ("block", "rescue", "always") if word in task]:
                walk(name, part)
            if isinstance(task, list) or task.get("check_mode"):
                return
            steps = [(word.rpartition(".")[2], value) for word, value in task.items() if word.startswith("wgmesh.router.")]
            inside = [step for _word, args in steps for step in (args or {}).get("steps", []) if isinstance(step, dict)]
            steps += [(step["module"], step["args"]) for step in inside]
            if any(word in ("wg_psk", "wg_tunnel", "bird_config", "sysctl_router") and not args.get("known") for word, args in steps):
                short.extend(["%s: %s" % (name, task["name"])] if "mesh_task_timeout" not in str(task["timeout"]) else [])

        for tasks in sorted(pathlib.Path(__file__).parents[2].glob("roles/mesh/tasks/*.yml")):
            walk(tasks.name, yaml.safe_load(tasks.read_text()))
        self.assertEqual([], short)

    def filters(self, tree, args):
        """What the filters say, with the variables as this core renders them: lines, the group, and what the image play takes."""
        loader = DataLoader()
        with tempfile.TemporaryDirectory() as folder:
            hosts = pathlib.Path(folder, "inventory.yml")
            hosts.write_text(json.dumps(tree))
            inventory = InventoryManager(loader=loader, sources=[str(hosts)])
        options = dict(zip(args[::2], args[1::2]))
        variables = VariableManager(loader=loader, inventory=inventory)
        extra = options.get("-e")
        variables._extra_vars = dict([extra.split("=")]) if extra else {}
        variables.set_host_facts("azure-1", {"default_ipv4": {"address": "192.0.2.9"}})
        targeted = [host.name for host in inventory.get_hosts(options.get("--limit", "all"))] or ["localhost"]
        hostvars = HostVars(inventory, variables, loader)
        said = extra.split("=")[1] if extra else "routers"
        groups = inventory.get_groups_dict()
        pattern = image_hosts("routers", groups, hostvars, variables._extra_vars.get("router_hosts", ""), "packer_build_name" in variables._extra_vars)
        taken = {host.name for host in inventory.get_hosts(pattern or "!all")} & set(targeted)
        return objections(said, groups, hostvars, targeted, limit=options.get("--limit", "")), mesh_group(said, groups, hostvars), taken

    def test_accepted(self):
        for name, (tree, args) in ACCEPTED.items():
            with self.subTest(name):
                told, group, _ = self.filters(tree, args)
                self.assertEqual([], told)
                self.assertEqual("vpn" if "vpn" in tree["all"]["children"] else "routers", group)

    def test_refused(self):
        for name, (tree, args, want) in REFUSED.items():
            with self.subTest(name):
                told, _, _ = self.filters(tree, args)
                self.assertEqual(1, len(told), told)
                self.assertIn(want, told[0])
                self.assertLessEqual(len(told[0]), 160)
                self.assertNotIn("{", told[0])  # Ansible would render it

    def test_image(self):
        for name, (tree, args, want) in TAKEN.items():
            with self.subTest(name):
                self.assertEqual(set(want), self.filters(tree, args)[2])
        for name in ("router_hosts in the inventory", "a name that is not there"):
            with self.subTest(name):
                tree, args, want = TAKEN[name]
                code, out = self.play(tree, "IMAGE", *args)
                self.assertEqual(0 if want else 2, code, out)
                for host in ("azure-1", "aws-1", "db-1", "new-vm", "default"):
                    self.assertEqual(host in want, '"router %s"' % host in out, out)
                if not want:
                    self.assertIn("no host of this run is to be a router (", out)

    def test_run(self):
        out = self.ends(0, ACCEPTED["mesh_group for all"][0], "SHOW")
        for name, present in {"azure-1": True, "aws-1": True, "db-1": False}.items():
            self.assertEqual(present, '"router %s"' % name in out, out)

        tree, args, want = REFUSED["endpoint of facts, with a limit"]
        code, out = self.play(tree, "SHOW", *args)
        self.assertNotEqual(0, code, out)
        self.assertIn(want, out)
        self.assertNotIn('"router', out)

    def test_facts(self):
        """A router said by a fact which site it is of, and that stood above the inventory."""
        code, out = self.play(inventory(), "CACHED", "SHOW")
        self.assertEqual((2, 0), (code, out.count('"router')), out)
        self.assertIn("azure-1 - its facts say mesh_report_file and 1 more, which is the inventory's to say: clear its fact cache", out)
        said = {"a": {"ansible_facts": {"mesh_{{ 1 }}": 1}}, "b": {"ansible_facts": {"router_ipv6": 1}}, "c": {"ansible_facts": {"router_id": 1}}, "d": {}}
        lines = forged(list(said), said)
        self.assertEqual(["a: its facts say mesh_???1???,", "b: its facts say router_ipv6,"], [line.split(" which")[0] for line in lines])

    def test_tags(self):
        """A run of which no task has the tags is no green one. A play that is imported under a tag can be chosen by it."""
        for want, args in {
            "the tags of this run (net)": ["--tags", "net"], "the tags of this run (all, untagged)": ["--skip-tags", "untagged"],
            "--skip-tags always leaves out the check that a run does something: give the same": ["--tags", "net", "--skip-tags", "always"],
        }.items():  # fmt: skip
            for play in ("SHOW", "IMAGE"):
                with self.subTest([play, *args]):
                    code, out = self.play(inventory(), play, *args)
                    self.assertNotEqual(0, code, out)
                    self.assertIn(want, out)
        out = self.ends(0, inventory(), "TAGGED", "--tags", "net")
        self.assertIn('"router aws-1"', out)

    def test_warned_once(self):
        """A mesh that warns says it once, however many routers plan it."""
        tree = inventory(everywhere={"mesh_sites": other(**{"as": 64512}), "ansible_connection": "local"})
        out = self.ends(0, tree, "PLAN")
        self.assertEqual(1, " ".join(out.split()).count("site azure: as 64512 is the default"), out)
        self.assertEqual(2, out.count("ok: ["), out)

    def test_former_names(self):
        """What only reads had names without _info. They are taken, and told once."""
        out = self.ends(0, inventory(everywhere={"ansible_connection": "local"}), "--limit", "azure-1", "FORMER")
        for name in ("plan", "measure", "status", "preflight"):
            self.assertIn("wgmesh.router.mesh_%s has been deprecated. Use wgmesh.router.mesh_%s_info instead" % (name, name), out)
        self.assertIn("plan: unknown option", out)
        self.assertIn("plam: unknown option", out)

    def test_every_playbook(self):
        self.assertEqual(0, self.play(inventory(), "--syntax-check", *["wgmesh.router." + name for name in PLAYBOOKS])[0])
        for name in PLAYBOOKS:
            with self.subTest(name):
                text = (pathlib.Path(__file__).parents[2] / "collection/playbooks" / (name + ".yml")).read_text()
                plays = yaml.safe_load(text)
                self.assertEqual("wgmesh.router.members", plays[0]["ansible.builtin.import_playbook"])
                for play in plays[1:]:  # with ansible.cfg's free one, a refusal ends one host's run and no other
                    if play.get("hosts", "localhost") != "localhost":
                        self.assertEqual("ansible.builtin.linear", play.get("strategy"), play["name"])
                        self.assertIs(False, play.get("any_errors_fatal"), play["name"])  # nor one host's failure that of all
        code, out = self.play({"all": {"hosts": {"db-1": {}}}}, "wgmesh.router.join")
        self.assertNotEqual(0, code, out)
        self.assertIn("the group routers is not in the inventory", out)

    def test_joins(self):
        """A join of nobody was green."""
        for args, want in (
            (("-e", "wgmesh_self=azrue-1"), "azrue-1 is not a router of the inventory: name the one on which this runs, or run wgmesh join there"),
            (("-e", "wgmesh_self=db-1"), "db-1 is not a router of the inventory: name the one"),
            ((), "localhost is not a router of the inventory: name the one"),
            (("-e", "wgmesh_self=aws-1", "--limit", "azure-1"), "aws-1 is not in this run: leave --limit out"),
        ):
            with self.subTest(args):
                out = self.ends(2, inventory(), "wgmesh.router.join", *args)
                self.assertEqual(1, out.count("wgmesh_self: " + want), out)
                self.assertNotIn("Make ready", out)
        with tempfile.TemporaryDirectory() as folder:
            for own, refused in (("ssh-ed25519 AAAAmine a comment", False), ("ssh-ed25519 AAAAother", True)):
                pathlib.Path(folder, "key.pub").write_text(own + "\n")
                tree = inventory(aws_1={"mesh_host_key": "ssh-ed25519 AAAAmine", "mesh_id": 1, "wgmesh_remote_dir": folder})  # no mesh: nothing is made
                out = self.play(tree, "wgmesh.router.join", "-e", "wgmesh_self=aws-1", "-e", "wgmesh_identity_file=%s/key" % folder)[1]
                self.assertEqual(refused, "the SSH host key here is not the mesh_host_key of aws-1: run this there, or name the router" in out, out)
                self.assertEqual(not refused, "TASK [wgmesh.router.mesh: Plan the mesh]" in out, out)

    def test_joins_whom_it_can_ask(self):
        """A mesh_endpoint that is {{ ansible_host }}, as most say it for all, was that of the play, which is made of it."""
        join = yaml.safe_load(pathlib.Path(os.environ["ANSIBLE_COLLECTIONS_PATH"], "ansible_collections/wgmesh/router/playbooks/join.yml").read_text())
        asks = next(play for play in join if play["name"] == "Ask the other routers")
        shown = [{"ansible.builtin.debug": {"msg": "asked {{ ansible_host }} port {{ ansible_port }}"}}]
        with tempfile.TemporaryDirectory() as folder:
            site = pathlib.Path(folder, "site.yml")
            site.write_text(json.dumps([{"import_playbook": "wgmesh.router.members"}, {**asks, "tasks": shown}]))
            for option in ("mesh_endpoint", "mesh_join_address"):
                tree = inventory(everywhere={option: "{{ ansible_host }}", "mesh_join_port": "{{ ansible_port }}", "ansible_port": 2222},
                                 azure_1={"ansible_host": "[2001:db8::1]"})
                if option == "mesh_endpoint":
                    del tree["all"]["children"]["azure"]["hosts"]["azure-1"]["mesh_endpoint"]
                code, out = self.play(tree, str(site), "-e", "wgmesh_self=aws-1")
                self.assertEqual((0, True), (code, "asked 2001:db8::1 port 2222" in out), out)

    def test_gone(self):
        """The only router of a run goes away: nobody else is left to say so, and what to do."""
        tree = inventory(everywhere={"ansible_host": "127.0.0.{{ mesh_id }}", "ansible_port": 1, "mesh_drain_why": "rotate"})
        for name in ("mesh", "status", "drain", "undrain", "reset", "remove"):
            with self.subTest(name):
                limit = "azure-1,aws-1" if name == "remove" else "azure-1"
                out = self.ends(4 if name == "remove" else 2, tree, "wgmesh.router." + name, "--limit", limit, "-e", "mesh_remove=azure-1")
                self.assertIn("Connection refused: check that it runs, its address, and SSH in its firewall", out)
                self.assertNotIn("azure-1]: UNREACHABLE", out)
                self.assertEqual(name == "remove", "azure-1 is not removed: it cannot be drained" in out, out)
                self.assertEqual(name not in ("reset", "remove"), "ROUTER FOLLOWS CAUSE" in out, out)
                self.assertNotIn("inventory does not describe", out)
        code, out = self.play(tree, "wgmesh.router.status")
        self.assertEqual(4, code, "others are in the run\n" + out)

    def test_hook(self):
        """A machine that does not answer may be gone, and is replaced. A hook is run for no inventory that is not understood."""
        with tempfile.TemporaryDirectory() as folder:
            hook, ran = pathlib.Path(folder, "hook.yml"), pathlib.Path(folder, "ran")
            hook.write_text("- {ansible.builtin.command: touch %s, delegate_to: localhost, become: false}\n" % ran)
            for want, change in (("id 1 is given to all of them", {"mesh_id": 1}), ("", {"mesh_state": "absent"}), ("", {})):
                tree = inventory(aws_1={"ansible_host": "127.0.0.1", "ansible_port": 1, **change})
                if "mesh_state" in change:
                    tree["all"]["children"]["aws"]["hosts"]["aws-2"] = {**tree["all"]["children"]["aws"]["hosts"]["aws-1"], "mesh_state": "present", "mesh_id": 3}
                with self.subTest(change):
                    ran.unlink(missing_ok=True)
                    code, out = self.play(
                        tree, "wgmesh.router.replace", "--limit", "aws", "-e", "mesh_upgrade_hook=%s mesh_upgrade_wait=1 mesh_drain_force=true" % hook)  # fmt: skip
                    self.assertEqual(2, code, out)
                    self.assertIn(want, out)
                    self.assertNotIn("is absent", out, "it keeps nobody after it from its turn")
                    self.assertEqual(want == "", ran.exists(), out)

    def test_goes_on_to_who_is_there(self):
        """The line of a router that was removed stays in the inventory, and keeps none of the others from its turn."""
        tree = inventory(azure_1={"mesh_state": "absent"}, everywhere={"ansible_host": "127.0.0.{{ mesh_id }}", "ansible_port": 1})
        for name, gone in (("drain", "aws-1 - it is gone"), ("undrain", "aws-1 - it is gone"), ("callback", "fatal: [aws-1]: UNREACHABLE!")):
            with self.subTest(name):
                code, out = self.play(tree, "wgmesh.router." + name)
                self.assertEqual(4 if name == "callback" else 2, code, out)
                self.assertNotIn("inventory does not describe", out)
                self.assertNotIn("fatal: [azure-1]", out)
                self.assertIn(gone, out)

    def test_mistyped(self):
        """An option that is not of its type, or does nothing, is refused in one line, before a router is asked."""
        for name, args, want in (
            ("mesh", ("-e", "mesh_wait=soon"), "mesh_wait: got soon, expected a whole number, 0 or more"),
            ("measure", ("-e", "mesh_measure_at_once=abc"), "mesh_measure_at_once: got abc, expected a whole number, 1 or more"),
            ("preview", ("-e", '{"mesh_preview_file": true}'), "mesh_preview_file: got True, expected a path"),
            ("preview", ("-e", "mesh_preview_file=/nope/x.json"), "mesh_preview_file: got /nope/x.json, expected a file in a folder that is there"),
            ("rotate", ("-e", "mesh_rotate=publik"), "mesh_rotate: got publik, expected some of preshared, private"),
            ("rotate", ("-e", '{"mesh_rotate": []}'), "mesh_rotate: names no keys, expected some of preshared, private"),
            ("rotate", ("-e", "mesh_rotat=private"), "-e mesh_rotat: is not an option: expected mesh_rotate"),
            ("upgrade", ("-e", '{"mesh_upgrade_hok": "x.yml"}'), "-e mesh_upgrade_hok: is not an option: expected mesh_upgrade_hook"),
            ("drain", ("-e", "mesh_of_mine=1"),
             "-e mesh_of_mine: is not an option: expected mesh_zone, or for a variable of your own a name without mesh_"),
            ("upgrade", ("-e", "mesh_upgrade_hook=/nope.yml"),
             "mesh_upgrade_hook: /nope.yml is not a file on the controller: expected a file of tasks, by its whole path"),
            ("IMAGE", ("-e", "router_jion=true"), "-e router_jion: is not an option: expected router_join"),
            ("drain", ("-e", "mesh_drain_force=flase", "--limit", "aws-1"), "aws-1: mesh_drain_force: got flase, expected true or false"),
            ("add", ("-e", "mesh_add=aws-1", "-e", '{"router_packages_apt": {"bird2": true}}'), "router_packages_apt: got {'bird2': True}, expected a list of texts"),
            ("remove", ("-e", "mesh_remove=aws-1", "-e", "mesh_drain=flase"), "mesh_drain: got flase, expected true or false"),
            ("IMAGE", ("-e", "router_ipv6=perhaps"), "router_ipv6: got perhaps, expected true or false"),
        ):
            with self.subTest(name):
                out = self.ends(2, inventory(), name if name in PLAYS else "wgmesh.router." + name, *args)
                self.assertIn('FAILED! => {"changed": false, "msg": "%s"}' % want, out)
                self.assertNotIn("argument_spec", out)
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # as AWX gives them
            pathlib.Path("ev.yml").write_text("mesh_rotat: private\n")
            for path in ("ev.yml", folder + "/ev.yml"):
                code, out = self.play(inventory(), "wgmesh.router.rotate", "-e", "@" + path)
                self.assertEqual((2, True), (code, "-e mesh_rotat: is not an option: expected mesh_rotate" in out), out)
            pathlib.Path("ev.yml").write_text("{mesh_names: {prod: blue}, mesh_name: '{{ mesh_names.prod }}', mesh_remove: aws-1}\n")
            _code, out = self.play(inventory(), "wgmesh.router.preview", "-e", "@ev.yml")
            self.assertNotIn("is not an option", out)
            self.assertNotIn("of other plays", out)
        with tempfile.TemporaryDirectory() as folder:  # a hook, and a playbook, may be made of it
            hook = pathlib.Path(folder, "hook.yml")
            hook.write_text("- {ansible.builtin.raw: 'apply {{ mesh_of_mine }}'}\n")
            _code, out = self.play(inventory(), "wgmesh.router.upgrade", "-e", "mesh_upgrade_hook=%s mesh_of_mine=x mesh_of_nobody=x" % hook)
            self.assertEqual({"mesh_of_nobody"}, set(re.findall("-e ([a-z_]+): is not an option", out)), out)
            _code, out = self.play(inventory(), "IMAGE", "-e", "mesh_of_nobody=x")
            self.assertNotIn("is not an option", out)
        blue = inventory(aws_1={"mesh_report_file": "/tmp/{{ mesh_of_mine }}"})
        _code, out = self.play(blue, "wgmesh.router.reset", "-e", "mesh_of_mine=nope", "-e", "mesh_remove=x mesh_drain_wait=1 mesh_wait=2 mesh_take_over=true")
        self.assertNotIn("is not an option", out)
        for option in ("mesh_remove", "mesh_drain_wait", "mesh_take_over"):
            self.assertEqual(1, out.count("-e %s: it is an option of other plays, and does nothing in this one: leave it out" % option), out)
        self.assertEqual(3, out.count("of other plays"), out)
        for play, more in (("remove", " mesh_drain=false"), ("add", "")):  # the mesh play is a part of them
            _code, out = self.play(inventory(), "wgmesh.router." + play, "-e", "mesh_%s=aws-1%s" % (play, more))
            self.assertNotIn("of other plays", out)
        # In the inventory it may be somebody's own, so it is said. Not where the option is there, too, or is made of it.
        aws = {"mesh_endpont": "192.0.2.7", "mesh_gateways": ["none"], "mesh_gateway": "{{ mesh_gateways }}", "mesh_ids": 1}
        tree = inventory(everywhere={"mesh_bdf": "fast"}, aws_1={"mesh_endpoint": None, **aws})
        del tree["all"]["children"]["aws"]["hosts"]["aws-1"]["mesh_endpoint"]
        _code, out = self.play(tree, "wgmesh.router.preview")
        said = re.findall(r"([^ :]+(?:, [^ :]+)*): (mesh_[a-z]+) is not an option, and nothing uses it: it looks like ([a-z_]+)", " ".join(out.split()))
        self.assertEqual([("azure-1, aws-1", "mesh_bdf", "mesh_bfd"), ("aws-1", "mesh_endpont", "mesh_endpoint")], said, out)

    def test_rotates_where_it_can_plan(self):
        """A controller that does not run our program, such as a Mac, does not know the other ends."""
        with tempfile.TemporaryDirectory() as folder:
            uname = pathlib.Path(folder, "uname")
            uname.write_text("#!/bin/sh\necho Darwin arm64\n")
            uname.chmod(0o755)
            with unittest.mock.patch.dict(os.environ, PATH=folder + ":" + os.environ["PATH"]):
                for order in (("rotate",), ("mesh", "-e", "mesh_rotate_preshared_keys=true")):
                    with self.subTest(order[0]):
                        out = self.ends(2, inventory(), "wgmesh.router." + order[0], *order[1:], "--limit", "aws-1")
                        self.assertIn("Darwin arm64", out)
                        self.assertNotIn("UNREACHABLE", out)

    def test_rotates_nothing(self):
        """Routers whose tunnels all end outside of the run would keep their pre-shared keys. No host of these is asked."""
        tree = inventory(azure_1={"mesh_endpoint": None})
        more = {"azure-2": {"mesh_id": 3, "mesh_site": "azure"}, "azure-3": {"mesh_id": 4, "mesh_site": "azure", "mesh_state": "absent"}}
        tree["all"]["children"]["azure"]["hosts"].update(more)
        for limit, who, keys in (
            ("aws-1", "aws-1", "preshared"), ("azure-1,azure-2,azure-3", "azure-1, azure-2", "preshared,private"),
        ):
            with self.subTest(limit):
                out = self.ends(2, tree, "wgmesh.router.rotate", "--limit", limit, "-e", "mesh_rotate=" + keys)
                self.assertEqual(1, out.count("FAILED!"), out)
                self.assertIn('"msg": "%s: a pre-shared key has two ends, and the other one is not in this run: name both routers' % who, out)
                self.assertNotIn("UNREACHABLE", out)
        code, out = self.play(tree, "wgmesh.router.rotate", "-e", "ansible_ssh_common_args='-o ConnectTimeout=1'")
        self.assertIn("UNREACHABLE", out, "all of them are not refused")
        order = ("wgmesh.router.mesh", "-e", "mesh_rotate_preshared_keys=true", "-e", "ansible_ssh_common_args='-o ConnectTimeout=1'")
        for limit in ("aws-1", "azure-1,azure-3"):
            with self.subTest("mesh " + limit):
                out = self.ends(2, tree, *order, "--limit", limit)
                self.assertEqual(1, out.count("FAILED!"), out)
                self.assertIn('"msg": "%s: a pre-shared key has two ends, and the other one is not in this run' % limit.split(",")[0], out)
                self.assertNotIn("UNREACHABLE", out)
        for more in ((), ("--limit", "aws-1,azure-1")):
            code, out = self.play(tree, *order, *more)
            self.assertIn("UNREACHABLE", out, "both ends are there")

    def test_limited(self):
        """A limit that leaves nobody who does anything. Reset is for hosts that are absent, too."""
        gone = inventory(aws_1={"mesh_state": "absent", "ansible_host": "127.0.0.1", "ansible_port": 1})
        code, out = self.play(gone, "wgmesh.router.mesh", "--limit", "aws-1")
        self.assertEqual((2, True), (code, "aws-1 is mesh_state: absent, and no other router" in out), out)
        code, out = self.play(gone, "wgmesh.router.reset", "--limit", "aws-1")
        self.assertEqual((2, True), (code, "Connection refused" in out), out)
        code, out = self.play(inventory(), "wgmesh.router.drain", "--limit", "aws-1,azrue-1", "-e", "of_mine=1")
        self.assertEqual((2, True), (code, "--limit: azrue-1 is neither a host nor a group of the inventory: correct it" in out), out)
        self.assertNotIn("UNREACHABLE", out)

    def test_limit_of_a_file(self):
        """Ansible takes an empty file for no limit at all, and leaves out with a warning what is not there."""
        for text, want in (
            ("\n", "names no host: leave --limit out if all are meant"),
            ("aws-1\nazrue-1\n", "--limit: azrue-1 is neither a host nor a group of the inventory: correct it"),
        ):
            with self.subTest(text), tempfile.NamedTemporaryFile("w", suffix=".retry") as file:
                file.write(text)
                file.flush()
                code, out = self.play(inventory(), "wgmesh.router.status", "--limit", "@" + file.name)
                self.assertEqual((2, True), (code, want in " ".join(out.split())), out)
                self.assertNotIn("UNREACHABLE", out)

    def test_resets_one(self):
        """A limit that was forgotten made all routers forget their keys. No host of these is asked."""
        tree = inventory(everywhere={"ansible_host": "127.0.0.{{ mesh_id }}", "ansible_port": 1})
        for more in ((), ("-e", "mesh_reset_force=true"), ("--check",), ("--limit", "aws-1,azure-1")):
            with self.subTest(more):
                code, out = self.play(tree, "wgmesh.router.reset", *more)
                self.assertEqual((2, 1), (code, out.count("FAILED!")), out)
                self.assertIn("this run would reset 2 routers: name one with --limit, or all of the mesh with -e mesh_reset_all=true", out)
                self.assertNotIn("Connection refused", out)
        gone = inventory(aws_1={"mesh_state": "absent"}, everywhere={"ansible_host": "127.0.0.{{ mesh_id }}", "ansible_port": 1})
        for play in ("reset", "mesh", "remove"):  # a reset of one took all for absent, and asked for no option
            _code, out = self.play(tree, "wgmesh.router." + play, "-e", "mesh_state=absent mesh_id=1")
            refused = "the mesh - mesh_id, mesh_state: given with -e, which is for all routers and overrides the inventory: leave it out, and run again"
            self.assertEqual((1, 1), (out.count("FAILED!"), out.count(refused)), out)
        for case, more in ((tree, ("--limit", "aws-1")), (tree, ("-e", "mesh_reset_all=true")), (gone, ())):
            with self.subTest(more):
                self.assertIn("Connection refused", self.play(case, "wgmesh.router.reset", *more)[1])

    def test_preview(self):
        """No host of these exists: the preview asks none."""
        with tempfile.TemporaryDirectory() as folder:
            before, result, broken = (pathlib.Path(folder, name) for name in ("before.yml", "preview.json", "broken.yml"))
            before.write_text(json.dumps(inventory()))
            broken.write_text(json.dumps(inventory(aws_1={"mesh_id": 1})))
            more = inventory(azure={"mesh_endpoint": "192.0.2.3"})
            more["all"]["children"]["azure"]["hosts"]["azure-2"] = {"mesh_id": 3, "mesh_site": "azure"}
            out = self.ends(0, more, "wgmesh.router.preview", "-e", "against=%s" % before, "-e", "mesh_preview_file=%s" % result)
            seen = json.loads(result.read_text())
            self.assertEqual({"azure-1": "changed", "azure-2": "new", "aws-1": "changed"}, {r["router"]: r["state"] for r in seen["routers"]})
            for want in ("azure-2 is new", "aws-1 is changed", "What is lost: nothing that was there", "without router aws-1: nobody reaches aws"):
                self.assertIn(want, out)
            self.assertNotIn("without router azure-1: nobody", out)
            code, out = self.play(more, "wgmesh.router.preview", "-e", "against=%s" % broken)
            self.assertNotEqual(0, code, out)
            self.assertIn("id 1", out)
            # The same routers, and one has another id.
            out = self.ends(0, inventory(aws_1={"mesh_id": 9}), "wgmesh.router.preview", "-e", "against=%s" % before)
            self.assertIn("aws-1 is changed: ", out)
            # What routers are told besides the plan, and what is a default that nobody has said.
            said = {"mesh_tunnel_input": "mesh", "mesh_measure_port": 5202, "mesh_name": "routers", "mesh_unreachable": "yes"}
            args = ("-e", "against=%s" % before, "-e", "mesh_preview_file=%s" % result)
            out = self.ends(0, inventory(everywhere=said, azure_1={"mesh_bind_to_machine": False}), "wgmesh.router.preview", *args)
            told = {r["router"]: r["settings"] for r in json.loads(result.read_text())["routers"]}
            shared = ["mesh_tunnel_input accept -> mesh", "mesh_tunnel_input_ports 5201 -> 5202"]
            self.assertEqual({"azure-1": ["mesh_bind_to_machine true -> false", *shared], "aws-1": shared}, told)
            self.assertIn("~ mesh_bind_to_machine true: false", out)
            # What is wrong is the other inventory, and says so.
            vault = "$ANSIBLE_VAULT;1.1;AES256\n" + "3031" * 20
            for file in ("group_vars/routers.yml", "hosts.yml"):
                other = pathlib.Path(folder, "against")
                (other / "group_vars").mkdir(parents=True, exist_ok=True)
                (other / "hosts.yml").write_text(before.read_text())
                (other / file).write_text(vault)
                out = self.ends(2, inventory(), "wgmesh.router.preview", "-e", "against=%s" % (other / "hosts.yml"))
                self.assertIn('"msg": "against %s/hosts.yml: ' % other, out)
                self.assertIn("vault secrets", out)
                self.assertNotIn("is not in the inventory", out)
            # A pull request has no key of a vault, and needs none of what is in it.
            vaulted = pathlib.Path(folder, "vaulted.yml")
            secret = "!vault |\n      $ANSIBLE_VAULT;1.1;AES256\n      " + "3031" * 20
            names = (
                "become", "become_exe", "become_pass", "become_password", "become_user", "connection", "host", "password", "port",
                "private_key_file", "ssh_common_args", "ssh_host", "ssh_pass", "ssh_password", "ssh_port", "ssh_private_key_file", "ssh_user", "user",
            )
            vaulted.write_text("all:\n  vars:\n" + "".join("    ansible_%s: %s\n" % (name, secret) for name in names))
            out = self.ends(0, inventory(), "-i", str(vaulted), "wgmesh.router.preview", "-e", '{"mesh_preview_file": null}')
            # But the mesh may be made of them.
            endpoint = {"ansible_host": "192.0.2.9", "mesh_endpoint": "{{ ansible_host }}"}
            code, out = self.play(inventory(azure_1=endpoint), "wgmesh.router.preview")
            self.assertEqual(0, code, out)  # the preview's own would be refused: localhost is no address
            # An inventory may say it for all. Here it makes nobody out of root, and fails if it is tried.
            become = {"ansible_become": True, "ansible_become_user": "nobody", "ansible_become_exe": "/bin/false"}
            out = self.ends(0, inventory(everywhere=become), "wgmesh.router.preview", "-e", "mesh_preview_file=%s" % result)
            # All are planned with the variables of one router.
            mixed = inventory(azure_1={"mesh_keepalive": 60})
            before.write_text(json.dumps(mixed))
            want = "azure-1 has mesh_keepalive 60, aws-1 25: set it for all"
            for args in ((mixed,), (inventory(), "-e", "against=%s" % before)):
                code, out = self.play(args[0], "wgmesh.router.preview", *args[1:])
                self.assertEqual((True, True), (code != 0, want in out.replace("against %s: " % before, "")), out)
            # A name is that of the folder in which the command runs, and a task runs in the one of its playbook.
            with contextlib.chdir(folder):
                code, out = self.play(inventory(), "wgmesh.router.preview", "-e", "mesh_preview_file=here.json")
            self.assertEqual((0, True), (code, pathlib.Path(folder, "here.json").exists()), out)

    def test_preview_follows_no_link(self):
        """Where others may write, one of them may have put a link to a file of ours."""
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            other, link = pathlib.Path("other"), pathlib.Path("link.json")
            for name in ("link.json", folder + "/link.json"):
                other.write_text("mine")
                link.unlink(missing_ok=True)
                link.symlink_to(other)
                code, out = self.play(inventory(), "wgmesh.router.preview", "-e", "mesh_preview_file=" + name)
                self.assertEqual((0, "mine", False), (code, other.read_text(), link.is_symlink()), out)
                self.assertIn("lines", json.loads(link.read_text()))

    def test_preview_runs_on_the_controller(self):
        """The routers' folder for our program was used on the controller, where nobody may make it."""
        tree = inventory()
        tree["all"]["children"]["routers"]["vars"] = {"wgmesh_remote_dir": "/dev/null/of-routers"}
        out = self.ends(0, tree, "wgmesh.router.preview")
        code, out = self.play(inventory(everywhere={"wgmesh_remote_dir": "/dev/null/of-all"}), "wgmesh.router.preview")
        self.assertIn("set wgmesh_remote_dir of localhost to a folder that can be written", out)

    def test_plan_tries_faults(self):
        """The controller tries them, whoever the task is for, and before the mesh play asks a router."""
        everywhere = {"ansible_connection": "local", "wgmesh_remote_dir": "/var/empty/router"}
        out = self.ends(0, inventory(everywhere=everywhere), "FAULTS")
        self.assertEqual(1, out.count("[WARNING]: without router aws-1: nobody reaches aws, which has no other router"), out)
        first = inventory(azure_1={"mesh_state": "absent"})  # which runs no task of it
        first["all"]["children"]["azure"]["hosts"]["azure-2"] = {"mesh_id": 3, "mesh_site": "azure", "mesh_endpoint": "192.0.2.3"}
        code, out = self.play(first, "wgmesh.router.mesh", "-e", "mesh_plan_faults=one", "-e", "ansible_ssh_common_args='-o ConnectTimeout=1'")
        self.assertNotEqual(0, code, out)
        self.assertEqual(1, out.count("[WARNING]: without router azure-2: nobody reaches azure, which has no other router"), out)
        self.assertLess(out.index("Try on a model of the network"), out.index("UNREACHABLE"))
        code, out = self.play(inventory(aws_1={"mesh_id": 1}), "wgmesh.router.mesh", "-e", "mesh_plan_faults=one")
        self.assertNotEqual(0, code, out)
        self.assertIn("id 1", out)
        self.assertNotIn("UNREACHABLE", out)
        self.assertIn("mesh_plan_faults", self.play(inventory(), "wgmesh.router.mesh", "-e", "mesh_plan_faults=three")[1])

    def test_callback_plans_the_peers(self):
        code, out = self.play(inventory(azure={"mesh_keepalive": 60}), "--limit", "azure-1", "wgmesh.router.callback")
        self.assertNotEqual(0, code, out)
        self.assertIn("azure-1 has mesh_keepalive 60, aws-1 25: set it for all", out)


class Options(unittest.TestCase):
    """Options that are not of their type."""

    WRONG = {"int": "abc", "bool": "perhaps", "float": "fast", "list": {"a": 1}, "dict": 5}
    # What Ansible's own validator takes for another type, and Jinja or a module does not, or takes for something else.
    UNLIKE = {
        "int": (True, 5.5), "bool": (2, [True], "y", "t", "n"), "float": (True,), "list": (5, False), "dict": ([1],),
        "str": (False, ["a"], {"a": 1}), "path": (5, False, 5.5, ["a"]),
    }  # fmt: skip
    RIGHT = {"int": "16", "bool": "no", "float": "0.1", "list": "a,b", "dict": {"a": 1}, "str": "", "path": "/tmp/x", "raw": [1]}

    @staticmethod
    def specs(role):
        return yaml.safe_load(pathlib.Path(SPECS % role).read_text())["argument_specs"]

    def test_every_option(self):
        for role in ("mesh", "router", "routes"):
            for entry, about in self.specs(role).items():
                needed = {option: self.RIGHT[spec["type"]] for option, spec in about["options"].items() if spec.get("required") or option == "mesh_site"}
                for option, spec in about["options"].items():
                    of, names = [role + "/" + entry], ["azure-1", "aws-1"]
                    kind, right = spec["type"], spec["choices"][0] if "choices" in spec else self.RIGHT[spec["type"]]
                    if kind == "list" and (role == "router" or spec.get("elements") == "int"):
                        right = ["a"] if role == "router" else "22,80"
                    right = "" if option == "mesh_upgrade_hook" else right
                    for wrong in self.UNLIKE.get(kind, ()) + ((["a", True], [["b"]], "a,b")[: 3 if role == "router" else 2] if kind == "list" else ()):
                        line = mistyped(["x"], {"x": {**needed, option: wrong}}, of)
                        self.assertTrue(line.startswith("x: %s: got %s, expected " % (option, wrong)), (option, wrong, line))
                    self.assertEqual("", mistyped(names, dict.fromkeys(names, {**needed, option: right}), of), option)
                    if kind in self.WRONG or "choices" in spec:
                        one = {"azure-1": needed, "aws-1": {**needed, option: self.WRONG.get(kind, "abc")}}
                        line = mistyped(names, one, of)
                        self.assertTrue(line.startswith("aws-1: %s: got " % option) and ", expected " in line, line)
                        self.assertLessEqual(len(line), 160)
                        self.assertEqual(line.removeprefix("aws-1: "), mistyped(names, dict.fromkeys(names, one["aws-1"]), of))
                for option in needed:
                    less = {key: value for key, value in needed.items() if key != option}
                    self.assertEqual("x: %s is missing: set it in the inventory" % option, mistyped(["x"], {"x": less}, [role + "/" + entry]))

    # What is about a run, and what no router keeps.
    OF_A_RUN = {
        "mesh_accept", "mesh_confirm_timeout", "mesh_contact_timeout", "mesh_drain_warn", "mesh_group", "mesh_image_age_warn", "mesh_key_age_warn",
        "mesh_name_before", "mesh_plan_faults", "mesh_regenerate_keys", "mesh_replaced", "mesh_report_file", "mesh_rotate_preshared_keys", "mesh_settle",
        "mesh_take_over", "mesh_task_timeout", "mesh_wait",
    }  # fmt: skip

    def test_previewed(self):
        """Every option of the mesh play is planned, compared by the preview, or of a run alone."""
        planned = {*mesh_preview_info.SETTINGS.values(), *("mesh_" + field for field in FIELDS)}
        options = set(self.specs("mesh")["main"]["options"]) - planned
        self.assertEqual(set(), self.OF_A_RUN & set(mesh_preview_info.TOLD))
        self.assertEqual(options, self.OF_A_RUN | set(mesh_preview_info.TOLD))

    def test_nothing(self):
        """A text or a list may be named without a value, and is empty then: nothing has no length."""
        roles = pathlib.Path(SPECS % "mesh").parents[2]
        for role in ("mesh", "router", "routes"):
            options = {option: spec for about in self.specs(role).values() for option, spec in about["options"].items()}
            texts = [option for option, spec in options.items() if spec["type"] in ("list", "path", "raw", "str") and "choices" not in spec]
            for file in roles.glob("*/*/*.yml"):
                if file.name != "argument_specs.yml":
                    self.assertNotRegex(file.read_text(), r"\b(%s)\)? (\| (length|map)\b|\+)" % "|".join(texts), file)

    def test_otherwise(self):
        of = ["mesh/drain"]
        needed = {"mesh_sites": {}, "mesh_id": 1, "mesh_site": "a"}
        for want, options in {
            "x: mesh_drain_wait: got -1, expected a whole number, 0 or more": {"mesh_drain_wait": -1},
            "x: mesh_drain_wait: got nothing, expected a whole number, 0 or more": {"mesh_drain_wait": ""},
            "x: mesh_bfd: got slow, expected one of normal, fast": {"mesh_bfd": "slow"},
            "x: mesh_tunnel_input_ports: got ['ssh'], expected a list of whole numbers from 1 to 65535": {"mesh_tunnel_input_ports": ["ssh"]},
            "x: mesh_wait: got %s..., expected a whole number, 0 or more" % ("a " * 19)[:37]: {"mesh_wait": "a\n" * 100},
            "x: mesh_wait: got b, expected a whole number, 0 or more (and 1 more)": {"mesh_drain_wait": "a", "mesh_wait": "b"},
            "x: mesh_wait: got nothing, expected a whole number, 0 or more": {"mesh_wait": None},
            "x: mesh_report_file: got /nope/x.json, expected a file in a folder that is there": {"mesh_report_file": "/nope/x.json"},
            "x: mesh_tunnel_input_ports: got [22, 99999], expected a list of whole numbers from 1 to 65535": {"mesh_tunnel_input_ports": [22, 99999]},
            "x: mesh_contact_timeout: got 0, expected a whole number, 1 or more": {"mesh_contact_timeout": "0"},  # which Ansible takes for ever
            "x: mesh_wait: got %d, expected a whole number, 0 or more" % 10**10: {"mesh_wait": 10**10},  # Python's alarm has no such time
            "x: mesh_drain_why: got a \"b\", expected one line of at most 100 bytes, without \" and \\": {"mesh_drain_why": 'a "b"'},
            "x: mesh_name: got a b, expected at most 63 letters, digits and _.-": {"mesh_name": "a b"},
            "": {
                "mesh_endpoint_port_base": None, "mesh_report_file": None, "mesh_upgrade_wait": "not of this play", "mesh_settle": "{{ later }}",
                "mesh_drain_why": "\udcff",  # a byte of the command line that is not UTF-8
            },
        }.items():
            self.assertEqual(want, mistyped(["x"], {"x": {**needed, **options}}, of))
        with tempfile.TemporaryDirectory() as folder:
            hook = pathlib.Path(folder, "hook.yml")
            for text, want in (
                ("- {raw: id}\n", ""), ("- {raw: id, whn: x}\n", ": task 1: whn is not a keyword: correct it"),
                ("$ANSIBLE_VAULT;1.1;AES256\n00\n", " cannot be read: correct its permissions, or give the password of its vault"),
            ):
                hook.write_text(text)
                same = {"mesh_sites": {}, "mesh_id": 1, "mesh_site": "a", "mesh_upgrade_hook": str(hook)}
                line = mistyped(["x", "y"], {"x": same, "y": same}, ["mesh/upgrade"])
                self.assertEqual("mesh_upgrade_hook: %s%s" % (hook, want) if want else "", line)
        self.assertEqual("", mistyped(["x"], {"x": {"mesh_state": "absent"}}, ["mesh/status"]))
        self.assertEqual("", mistyped(["x"], {"x": {"mesh_sites": {}, "mesh_id": 1, "mesh_state": "absent"}}, of))
        self.assertEqual("", mistyped(["x"], {"x": {**needed, "mesh_id": "x"}}, of, ["mesh_id"]))

    def test_every_playbook(self):
        """Each names what it runs of the roles, as far as that has options."""
        for name in PLAYBOOKS:
            plays = yaml.safe_load((pathlib.Path(__file__).parents[2] / "collection/playbooks" / (name + ".yml")).read_text())
            runs = {"mesh/main"} if "wgmesh.router.mesh" in str(plays[1:]) and name == "mesh" else set()
            runs |= {role["role"].rpartition(".")[2] + "/main" for play in plays for role in play.get("roles", [])}
            tasks = [task for play in plays for task in play.get("tasks", [])]
            while tasks:
                task = tasks.pop()
                tasks += task.get("block", []) + task.get("always", []) + task.get("rescue", [])
                for word in ("ansible.builtin.import_role", "ansible.builtin.include_role"):
                    if word in task:
                        runs.add(task[word]["name"].rpartition(".")[2] + "/" + task[word].get("tasks_from", "main"))
            said = plays[0].get("vars", {}).get("__mesh_entries", ["mesh/main"])
            missing = {run for run in runs if run.split("/")[1] in self.specs(run.split("/")[0])} - set(said)
            self.assertEqual(set(), missing - ({"mesh/roll", "mesh/main"} if name in ("rotate", "upgrade") else set()), name)


class AsItIs(unittest.TestCase):
    """What only the image was told stays on its routers, whatever play makes them up to date."""

    def test_unset(self):
        play = """
- hosts: localhost
  gather_facts: false
  tasks:
    - {ansible.builtin.raw: printf 'health=%s\\njoin=%s\\nmetadata=absent\\nmakestep=yes\\noff=\\n', check_mode: false, register: __router_look}
    - {ansible.builtin.include_role: {name: wgmesh.router.router, tasks_from: services, public: true}}
    - {ansible.builtin.debug: {msg: "join {{ __router_join }}"}}
  vars:
    router_protect_metadata: false
"""
        health, sources = "item=/usr/local/libexec/wgmesh-health.sh", "item=/etc/wgmesh/health-sources.nft"
        for state, said, want in (
            ("listening", "", {health, "join True"}),
            ("stopped", "", {health, "join True", "Answer the load balancer's probe"}),
            ("absent", "", {"join False"}),
            ("listening", "false", {"join False", "Stop answering it"}),
            ("absent", "true", {health, sources, "join True", "Answer the load balancer's probe"}),
        ):
            with self.subTest(state + said), tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder, "play.yml")
                path.write_text(play % (state, "absent" if state == "absent" else "installed"))
                extra = ["-e", "router_health=%s router_join=%s" % (said, said)] if said else []
                done = warm.play("-v", "--check", "-i", "localhost,", "-c", "local", *extra, str(path))
                self.assertEqual(0, done.returncode, done.stdout)
                lines = done.stdout.replace("(item", "\nitem").replace(")", "\n").splitlines()
                found = {word for word in (health, sources) if word in lines} | {"join %s" % it for it in (True, False) if '"join %s"' % it in done.stdout}
                for task in ("Answer the load balancer's probe", "Stop answering it"):
                    answer = done.stdout.partition(task)[2].partition("TASK [")[0]
                    self.assertTrue(answer, done.stdout)
                    found |= set() if "Conditional" in answer or "conditional" in answer else {task}
                self.assertEqual(want, found, done.stdout)


class Extra(unittest.TestCase):
    """What is given with -e goes before what a play or a task sets."""

    # Patience where a router joins by itself; -e mesh_state is refused.
    KNOWN = {"join.yml: mesh_contact_timeout", "join.yml: mesh_task_timeout", "join.yml: mesh_settle", "remove.yml: mesh_state", "absent.yml: mesh_state"}

    def test_nobody_sets_an_option(self):
        root, found = pathlib.Path(__file__).parents[2], set()

        def look(name, node):
            if isinstance(node, list):
                for one in node:
                    look(name, one)
            elif isinstance(node, dict):
                for word in ("vars", "ansible.builtin.set_fact"):
                    found.update("%s: %s" % (name, option) for option in node.get(word) or {} if option.startswith(("mesh_", "router_", "routes_")))
                for one in node.values():
                    look(name, one)

        for path in [*root.glob("collection/playbooks/*.yml"), *root.glob("roles/*/tasks/*.yml")]:
            look(path.name, yaml.safe_load(path.read_text()))
        self.assertEqual(self.KNOWN, found)


class Routes(unittest.TestCase):
    """What the role routes does on a router, with a folder for its root and a systemctl that writes down what it is told."""

    def setUp(self):
        self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        bin_dir = self.root / "bin"
        bin_dir.mkdir()
        (bin_dir / "systemctl").write_text("#!/bin/sh\ncase $1 in is-*) echo ${1#is-}d ;; *) echo $* >> %s/told ;; esac\n" % self.root)
        (bin_dir / "systemctl").chmod(0o755)
        self.build = hashlib.sha256(b"#!/bin/sh\n").hexdigest()
        (self.root / self.build).mkdir()
        (self.root / self.build / "wgmesh").write_text("#!/bin/sh\n")
        self.config = self.root / "failover.json"
        self.extra = {
            "__routes_program": str(self.root / "wgmesh-cloud"), "__routes_build_dir": str(self.root), "mesh_contact_timeout": 10, "mesh_task_timeout": 60,
            "__routes_builds": {system: {"sha256": self.build} for system in ("linux_amd64", "linux_arm64")},
            "__routes_files": [{"path": str(self.config), "content": "{}"}],
            "__routes_failover": {"cloud": "aws", "prefixes": ["10.0.0.0/16"], "tables": ["rtb-0a"], "partners": [{"tables": ["rtb-0c"]}]},
        }  # fmt: skip
        self.env = {"PATH": "%s:%s" % (bin_dir, os.environ["PATH"])}
        self.collections = None

    def run_tasks(self, tasks, *args, hosts="localhost", fails=None):
        """The numbers of tasks that changed, and what systemctl has been told. With fails the run ends with that."""
        play = self.root / "play.yml"
        role = {"ansible.builtin.include_role": {"name": "wgmesh.router.routes", "tasks_from": tasks}}
        play.write_text(json.dumps([{"hosts": "all", "connection": "local", "gather_facts": False, "tasks": [role]}]))
        done = warm.play("-i", hosts + ",", "-e", json.dumps(self.extra), str(play), *args, collections=self.collections, env=self.env)
        self.assertEqual(fails is None, done.returncode == 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, fails or "PLAY RECAP")
        told = self.root / "told"
        return done.stdout.count("changed: "), told.read_text().splitlines() if told.exists() else []

    def test_check_says_what_a_run_does(self):
        self.assertEqual((3, []), self.run_tasks("daemon", "--check"))
        self.assertFalse(self.config.exists())
        started = ["daemon-reload", "enable -q wgmesh-failover", "restart wgmesh-failover"]
        self.assertEqual((3, started), self.run_tasks("daemon"))
        (self.root / "told").unlink()
        self.assertEqual((1, []), self.run_tasks("absent", "--check"))
        self.assertTrue(self.config.exists())
        self.assertEqual((1, ["disable -q --now wgmesh-failover", "daemon-reload"]), self.run_tasks("absent"))
        self.assertFalse(self.config.exists())
        self.assertEqual(0, self.run_tasks("absent", "--check")[0])

    def test_one_after_the_other(self):
        """The daemons of a site were all restarted at once, and for 10 s none counted a partner as dead."""
        (self.root / "bin/systemctl").write_text("#!/bin/sh\ncase $1 in is-*) echo active ;; restart) echo restart >> %s/told ;; esac\n" % self.root)
        (self.root / "bin/sleep").write_text("#!/bin/sh\n/bin/sleep 0.5; echo slept $1 >> %s/told\n" % self.root)
        (self.root / "bin/sleep").chmod(0o755)
        self.extra["__routes_told"] = {"changed": True}
        self.assertEqual(["restart", "slept 10"] * 2, self.run_tasks("daemon", hosts="one,two")[1])

    def test_what_is_not_as_it_should_be(self):
        """A folder of somebody else's brought root's program, a file that could not be read was none, and who hung held up all for half an hour."""
        (self.root / self.build / "wgmesh").write_text("#!/bin/sh\ntouch /root/theirs\n")
        self.assertEqual((0, []), self.run_tasks("daemon", fails="is another file than that build"))
        self.assertFalse((self.root / "wgmesh-cloud").exists())
        (self.root / self.build / "wgmesh").write_text("#!/bin/sh\n")
        self.config.mkdir()
        self.assertEqual([], self.run_tasks("daemon", fails="Is a directory")[1])
        self.config.rmdir()
        (self.root / "bin/systemctl").write_text("#!/bin/sh\nsleep 20\n")
        self.extra.update(mesh_contact_timeout=1, mesh_task_timeout=1)
        self.run_tasks("daemon", fails="no answer within 2 s")

    def test_files_of_tomorrow(self):
        """The clock was ahead when they were written: they were newer than each start, and each run restarted the daemon."""
        run = self.root / "run"
        self.extra["__routes_run"] = str(run)
        (self.root / "bin/systemctl").write_text(
            "#!/bin/sh\ncase $1 in is-enabled) echo enabled ;; is-active) echo active ;; restart) rm -rf {0}; mkdir {0}; echo restart >> {1}/told ;; esac\n"
            .format(run, self.root)
        )  # fmt: skip
        (self.root / "bin/sleep").write_text("#!/bin/sh\n")
        (self.root / "bin/sleep").chmod(0o755)
        self.assertEqual((3, ["restart"]), self.run_tasks("daemon"))
        for path in (self.config, self.root / "wgmesh-cloud"):
            os.utime(path, (time.time() + 86400,) * 2)
        self.assertEqual((1, ["restart"] * 2), self.run_tasks("daemon"))
        self.assertEqual((0, ["restart"] * 2), self.run_tasks("daemon"))

    def test_network_that_left(self):
        """The module is one that writes down what it is told."""
        source, copy = (root / "ansible_collections/wgmesh/router" for root in (pathlib.Path(os.environ["ANSIBLE_COLLECTIONS_PATH"]), self.root))
        for folder in ("", "plugins", "plugins/action"):
            (copy / folder).mkdir(parents=True)
            for path in (source / folder).iterdir():
                if path.name not in ("plugins", "action", "__pycache__", "cloud_routes.py"):
                    (copy / folder / path.name).symlink_to(path)
        asked = self.root / "asked"
        (copy / "plugins/action/cloud_routes.py").write_text(
            "import json\nfrom ansible.plugins.action import ActionBase\n\n\nclass ActionModule(ActionBase):\n"
            "    def run(self, tmp=None, task_vars=None):\n"
            "        with open(%r, 'a') as f:\n"
            "            f.write(json.dumps(dict(self._task.args, check=self._task.check_mode)) + '\\n')\n"
            "        return {'changed': True}\n" % str(asked)
        )
        self.collections = self.root
        self.config.write_text('{\n    "prefixes": [\n        "10.0.0.0/16",\n        "10.3.0.0/16",\n        "2001:db8:3::/48"\n    ]\n}\n')
        for args, times in ((["--check"], 1), ([], 2)):  # a second time after the start, for the daemon that was there
            self.run_tasks("daemon", *args)
            told = [json.loads(line) for line in asked.read_text().splitlines()]
            self.assertEqual(times, len(told))
            for one in told:
                self.assertEqual(["10.3.0.0/16", "2001:db8:3::/48"], one["prefixes"])
                self.assertEqual(["rtb-0a", "rtb-0c"], one["tables"], "this router may be standing in")
                self.assertEqual(("aws", "mesh", "absent", bool(args)), (one["cloud"], one["mesh"], one["state"], one["check"]))
            asked.unlink()
        self.run_tasks("daemon")
        self.assertFalse(asked.exists())


class Members(unittest.TestCase):
    def test_once_in_a_task(self):
        """A loop over the peers looked up all variables of all routers for each of them: 0.2 s with 100 routers and ansible-core 2.14."""
        looked = []

        class Hostvars(dict):
            def __getitem__(self, name):
                looked.append(name)
                return {"mesh_id": len(looked)}

        def ask():
            return [members(["a"], Hostvars())["a"]["id"] for _ in range(2)]

        def in_a_task():
            context = multiprocessing.get_context("fork")
            queue = context.SimpleQueue()
            process = context.Process(target=lambda: queue.put(ask()))
            process.start()
            found = queue.get()
            process.join()
            return found

        self.assertEqual(([1, 2], [3, 3], [3, 4], [5, 5]), (ask(), in_a_task(), ask(), in_a_task()))


class Clocks(unittest.TestCase):
    """The clock of a running router that was wrong was seen by nobody."""

    ANSWER = {
        "drained": False, "drained_seconds": 0, "drained_why": "", "failover": {"runs": False, "trouble": "", "rests": []}, "healthy": True,
        "reboot_required": False, "required_healthy": True,
        **{key: [] for key in ("ages", "lines", "problems", "sick", "source_addresses", "transit", "troubles", "tunnels", "ways")},
    }  # fmt: skip

    def notes(self, plugin, then, **clock):
        """The notes of an answer that is on its way from 1000 to 1300."""
        action = plugin.ActionModule.__new__(plugin.ActionModule)
        step = {"name": "Look", "module": "mesh_status_info", "register": "seen"}
        action._task = unittest.mock.Mock(args={"steps": [step]})
        wall, steady = iter(clock.get("wall", (1000, 1300))), iter(clock.get("steady", (50, 350)))
        with unittest.mock.patch.object(wgmesh, "time", unittest.mock.Mock(time=lambda: next(wall), monotonic=lambda: next(steady))):
            action._execute = lambda start, stdin: "said"
            self.assertEqual("said", action._ask("", b""))
        answer = {**self.ANSWER, "notes": ["old"], "time": then}
        if plugin is mesh_steps:
            found = action._check_answer("mesh_steps", "aws-1", {"changed": False, "answers": {"seen": answer}})["answers"]["seen"]
        else:
            found = action._check_answer("mesh_status", "aws-1", answer)
        self.assertNotIn("failed", found, found)
        self.assertEqual("old", found["notes"][0])
        return found["notes"][1:]

    def test_apart(self):
        line = "its clock is %s the controller's: set the one that is wrong, as by chronyc makestep"
        for plugin in (mesh_status_info, mesh_steps):
            for then, said in (
                (1000 - 60, None), (1300 + 60, None), (1150, None), (1000 - 61, "1 min behind"), (1300 + 120, "2 min ahead of"),
                (1000 - 7200, "2 h behind"), (1300 + 86400 * 400, "400 d ahead of"),
            ):  # fmt: skip
                self.assertEqual([line % said] if said else [], self.notes(plugin, then), then)

    def test_set_here(self):
        """A clock of the controller that is set meanwhile, and a laptop that sleeps, tell nothing of the router's."""
        for wall, steady in (((1000, 100), (50, 60)), ((1000, 9000), (50, 60))):
            for then in (1000, wall[1]):
                self.assertEqual([], self.notes(mesh_status_info, then, wall=wall, steady=steady))

    def test_told_by_another_clock(self):
        """A router makes a pre-shared key anew of which the other end has a newer one, by the routers' clocks. One of years ahead is a lie."""
        def router(public_key, peer, role, generation):
            held = {"tunnel": 3, "peer": peer[0], "peer_public_key": peer[1], "psk_id": str(generation), "generation": generation}
            tunnel = {"number": 3, "peer": peer[0], "role": role}
            public = {"public_key": public_key, "sealing_key": "s"}
            return {"__mesh_keypair": {"public": public, "known": [held]}, "__mesh_plan": {"plan": {"preshared_keys": [tunnel]}}}

        now = 1790000000  # of the controller
        for ahead, behind in ((-60, ["3"]), (300, ["3"]), (86400 * 365, [])):
            hostvars = {
                "aws-1": router("A", ("gcp-1", "G"), "initiator", (now - 3600) * 1000),
                "gcp-1": router("G", ("aws-1", "A"), "responder", (now + ahead) * 1000),
            }
            with unittest.mock.patch.object(time, "time", lambda: now):
                self.assertEqual(behind, told(list(hostvars), hostvars, "aws-1")["behind"], ahead)
                self.assertEqual([], told(list(hostvars), hostvars, "gcp-1")["behind"], "it makes none")


class Every(unittest.TestCase):
    """A phase is skipped for all routers only if none of them has anything to do in it."""

    STATES = ("unasked", "planned", "sealed", "kept", "settled", "ended")

    @staticmethod
    def router(public_key, peer, role):
        held = {"tunnel": 3, "peer": peer[0], "peer_public_key": peer[1], "psk_id": "p", "generation": 1}
        tunnel = {"number": 3, "peer": peer[0], "role": role}
        return {
            "__mesh_begun": {"changed": False, "answers": {
                "__mesh_keypair": {"public": {"public_key": public_key, "sealing_key": "s"}},
                "__mesh_held": {"known": [held]},
                "__mesh_plan": {"plan": {"preshared_keys": [tunnel], "gate": {"removed": []}}},
            }},
            "__mesh_links": {"changed": False, "answers": {
                "__mesh_tunnels": {"stale": [], "stale_peers": [], "armed": False}, "__mesh_proved": {"healthy": True, "troubles": []},
            }},
        }  # fmt: skip

    def mesh(self):
        return {"aws-1": self.router("A", ("gcp-1", "G"), "initiator"), "gcp-1": self.router("G", ("aws-1", "A"), "responder")}

    def states(self, hostvars, alive=("aws-1", "gcp-1")):
        names = ["aws-1", "gcp-1"]
        return [state for state in self.STATES if every(names, hostvars, names, list(alive), state)]

    def test_nothing_to_do(self):
        self.assertEqual(list(self.STATES), self.states(self.mesh()))

    def test_one_has(self):
        for left, phase, part, value in (
            ("planned", "__mesh_begun", ("answers", "__mesh_plan", "causes"), []),
            ("sealed", "__mesh_begun", ("answers", "__mesh_held", "known"), []),
            ("sealed", "__mesh_begun", ("answers", "__mesh_keypair", "public", "public_key"), "new"),
            ("sealed", "__mesh_ends", ("skipped",), False),
            ("kept", "__mesh_links", ("answers", "__mesh_tunnels", "armed"), True),
            ("settled", "__mesh_begun", ("changed",), True),
            ("settled", "__mesh_links", ("changed",), True),
            ("settled", "__mesh_links", ("failed",), True),
            ("settled", "__mesh_links", ("answers", "__mesh_proved", "healthy"), False),
            ("settled", "__mesh_links", ("answers", "__mesh_tunnels", "armed"), True),
            ("settled", "__mesh_taken", ("rc",), 0),
            ("ended", "__mesh_links", ("answers", "__mesh_tunnels", "stale"), ["wg4"]),
            ("ended", "__mesh_links", ("answers", "__mesh_tunnels", "stale_peers"), ["old-1"]),
            ("ended", "__mesh_begun", ("answers", "__mesh_plan", "plan", "gate", "removed"), [{"name": "old-1"}]),
            ("ended", "__mesh_failed", (), "it failed"),
        ):
            for router in ("aws-1", "gcp-1"):
                hostvars = self.mesh()
                if not part:
                    hostvars[router][phase] = value
                else:
                    at = hostvars[router].setdefault(phase, {})
                    for key in part[:-1]:
                        at = at[key]
                    at[part[-1]] = value
                self.assertNotIn(left, self.states(hostvars), (router, phase, part))

    def test_absent_and_gone(self):
        hostvars = self.mesh()
        hostvars["gcp-1"] = {"__mesh_begun": {"skipped": True, "changed": False}}
        self.assertEqual(["unasked", "planned", "sealed", "kept"], self.states(hostvars), "who is absent was asked nothing")
        self.assertEqual(["unasked", "planned", "sealed", "kept"], self.states({**self.mesh(), "gcp-1": {}}))

    def test_kept(self):
        hostvars = self.mesh()
        hostvars["gcp-1"]["__mesh_links"]["answers"]["__mesh_tunnels"]["armed"] = True
        hostvars["gcp-1"]["__mesh_links"]["answers"]["__mesh_kept"] = {"healthy": False}
        self.assertEqual(["unasked", "planned", "sealed", "kept", "ended"], self.states(hostvars))

    def test_asked(self):
        for name, value, asks in (
            ("mesh_plan_faults", "none", False), ("mesh_plan_faults", "one", True), ("mesh_plan_faults", False, True),
            ("mesh_rotate_preshared_keys", "no", False), ("mesh_rotate_preshared_keys", "yes", True),
            ("mesh_take_over", False, False), ("mesh_take_over", True, True), ("mesh_take_over", Undefined(name="x"), True),
        ):  # fmt: skip
            hostvars = self.mesh()
            hostvars["gcp-1"][name] = value
            self.assertEqual(not asks, "unasked" in self.states(hostvars), (name, value))
        for playbooks, asks in ((["wgmesh.router.mesh"], False), (["site.yml"], True), (["wgmesh.router.mesh", "site.yml"], True)):
            with unittest.mock.patch.dict(context.CLIARGS._store, args=playbooks):
                self.assertEqual(not asks, "unasked" in self.states(self.mesh()), "a play of somebody's own may say more than hostvars")

    def test_hostile(self):
        """What one router answers ends no run of others."""
        hostvars = self.mesh()
        hostvars["gcp-1"]["__mesh_begun"]["answers"]["__mesh_plan"]["plan"]["gate"] = "none"
        self.assertEqual(["unasked", "planned", "sealed", "kept"], self.states(hostvars))

    def test_waited_for(self):
        """Who reached nobody before a change has nobody to wait for."""
        for answer, waits in (
            ({}, True), ({"armed": False}, True), ({"armed": True, "worked": [], "routed": []}, False),
            ({"armed": True, "worked": ["gcp-1"], "routed": []}, True), ({"armed": True, "worked": [], "routed": ["10.1.0.0/16"]}, True),
        ):  # fmt: skip
            hostvars = self.mesh()
            hostvars["aws-1"]["__mesh_begun"]["answers"]["__mesh_keypair"].update(answer)
            hostvars["aws-1"]["__mesh_sealed"] = {"armed": True, "worked": [], "routed": []} if waits and answer.get("armed") else {}
            self.assertIs(waits, told(list(hostvars), hostvars, "aws-1")["waited_for"], "the first that armed the guard says so")


class NewKeys(unittest.TestCase):
    """Who hears of new keys while a router does not answer. The modules are one stub, which writes down what it is told."""

    STUB = """
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        name, args = self._task.action.split(".")[-1], self._task.args
        steps = args["steps"] if name == "mesh_steps" else [{"module": name, "args": args}]
        for module, state in [(step["module"], step["args"].get("state", "")) for step in steps]:
            with open(%r, "a") as told:
                told.write("%%s %%s\\n" %% (module, state))
            if (module, str(self._task.delegate_to)) == (%r, "gcp-1") and state != "known":
                return {"failed": True, "msg": "it is gone"}
        with open(told.name, "a") as told:
            told.write("asked %%s\\n" %% (self._task.delegate_to or "itself"))
        plan = {"preshared_keys": [{"peer": peer, "role": "initiator"} for peer in ("aws-1", "gcp-1")], "status": {"tunnels": []}}
        key = {"public": {"public_key": "a", "sealing_key": "b"}, "envelopes": [], "pending": []}
        return {"plan": plan, "removed": [], **key, "answers": {"__mesh_seen": {"drained": False, "troubles": []}, "__mesh_call_key": key}}
"""

    def run_tasks(self, tasks, failing, **given):
        """The output of a run in which one module fails at gcp-1, what mesh_peer was told, and how often aws-1 was asked anything."""
        tree = inventory(everywhere={"ansible_connection": "local"})
        tree["all"]["children"]["azure"]["hosts"]["gcp-1"] = {"mesh_id": 3, "mesh_site": "aws", "mesh_endpoint": "192.0.2.3"}
        staged = pathlib.Path(os.environ["ANSIBLE_COLLECTIONS_PATH"].split(":")[0], "ansible_collections/wgmesh/router")
        with tempfile.TemporaryDirectory() as folder:
            copied, told = pathlib.Path(folder, "ansible_collections/wgmesh/router"), pathlib.Path(folder, "told")
            shutil.copytree(staged, copied, ignore=shutil.ignore_patterns("wgmesh*_linux_*"))
            for action in (copied / "plugins/action").glob("*.py"):
                action.write_text(self.STUB % (str(told), failing))
            role = {"ansible.builtin.include_role": {"name": "wgmesh.router.mesh", "tasks_from": tasks}, "vars": given}
            pathlib.Path(folder, "play.yml").write_text(json.dumps([{"hosts": "azure-1", "gather_facts": False, "tasks": [role]}]))
            pathlib.Path(folder, "hosts.yml").write_text(json.dumps(tree))
            done = warm.play("-i", folder + "/hosts.yml", folder + "/play.yml", collections=folder)
            self.assertEqual(2, done.returncode, done.stdout + done.stderr)
            lines = told.read_text().splitlines()
            return done.stdout, [line for line in lines if line.startswith("mesh_peer")], lines.count("asked aws-1")

    def test_one_does_not_answer(self):
        out, told, asked = self.run_tasks("call", "mesh_plan_info", __mesh_handover=100)
        self.assertIn("not peered with 1 of its routers", out)
        self.assertEqual((["mesh_peer known"], 1), (told, asked), out)

    def test_one_takes_no_new_key(self):
        """Nobody said who had heard of a key that was not taken after all. Of three questions in the first round trip each was one."""
        out, told, asked = self.run_tasks("rotate", "mesh_peer", __mesh_turn="rotate")
        self.assertEqual((["mesh_peer known", "mesh_peer known", "mesh_peer ", "mesh_peer "], 3), (told, asked), out)
        self.assertIn("mend it, and run again: its new key is known to aws-1", out)


class Drains(unittest.TestCase):
    """Who is drained, and what still uses him."""

    HOSTS = {
        "azure-1": {"mesh_site": "azure"}, "azure-2": {"mesh_site": "azure"}, "azure-9": {"mesh_site": "azure", "mesh_state": "absent"},
        "gcp-1": {"mesh_site": "gcp"},
    }  # fmt: skip

    MEND = "mend gcp-1, or remove it if it was taken over (docs/taken-over.md)"

    @staticmethod
    def seen(name, drained=False, troubles=(), ways=(), runs=False, trouble="", why="", **more):
        found = {"drained": drained, "drained_why": why, "troubles": [{"peer": peer, "text": text} for peer, text in troubles], "ways": list(ways)}
        found["failover"] = {"runs": runs, "trouble": trouble, "rests": []}
        return {"item": name, "answers": {"__mesh_seen": {**found, **more}}}

    def refused(self, name, seen, targeted=None, **more):
        line = drainable(name, self.HOSTS, list(self.HOSTS), targeted or [name], seen, **more)
        self.assertLessEqual(len(line), 160, line)
        return line

    def test_refused(self):
        well = [self.seen("azure-1"), self.seen("azure-2", troubles=[("azure-1", "it is sick itself")])]
        refused = "connect to host azure-2: Connection refused"
        wrong = answers.failed("Incorrect sudo password", "correct ansible_become_password")
        self.assertEqual("", self.refused("azure-1", well))
        for words, line in {
            "azure-9 is not drained: the inventory has it absent": self.refused("azure-9", []),
            "azure-1, azure-2 are of one site: name one": self.refused("azure-1", well, ["azure-1", "azure-2", "azure-9"]),
            "gcp-1 is not drained: it is the only router of its site": self.refused("gcp-1", [self.seen("gcp-1")]),
            "azure-2 of its site is drained already: undrain": self.refused("azure-1", [well[0], self.seen("azure-2", True)]),
            "azure-2 of its site: connect to host azure-2: Connection refused: check that it runs": self.refused(
                "azure-1", [well[0], {"item": "azure-2", "unreachable": True, "msg": "Failed to connect to the host via ssh: " + refused}]),
            "azure-2 of its site: Incorrect sudo password: correct ansible_become_password": self.refused(
                "azure-1", [well[0], {"item": "azure-2", **wrong}]),
            "azure-2 of its site is not well (no route": self.refused("azure-1", [well[0], self.seen("azure-2", troubles=[("", "no route " * 30)])]),
        }.items():
            self.assertIn(words, line)
        lost = self.seen("gcp-1")
        found = "no answer from 10.1.1.4 comes back through azure-2, but through azure-1"
        lost["answers"]["__mesh_seen"]["troubles"] = [{"peer": "azure-2", "alone": True, "text": found, "here": {"cause": found}}]
        line = self.refused("azure-1", well, crossed=[{"item": "aws-1", "unreachable": True}, lost])
        self.assertIn("azure-2 of its site does not forward (gcp-1: no answer from 10.1.1.4 comes ...): mend", line)
        self.assertEqual("", self.refused("gcp-1", [self.seen("gcp-1")], force=True))
        self.assertEqual("", self.refused("azure-1", [self.seen("azure-1", True)]), "it goes on")

    def test_nobody_reaches_it(self):
        """One router of another site that was down, or forwarded nothing, kept everybody else from being drained."""
        cut, silent = {"peer": "gcp-1", "text": "tunnel wg6 to gcp-1: no handshake", "cut": True}, {"peer": "gcp-1", "text": "no answer", "alone": True}
        without = {"peer": "", "text": "network 10.3.0.0/16: no route", "follows": True, "network": "10.3.0.0/16"}
        slow, own = {"peer": "gcp-1", "text": "large packets are lost"}, {"peer": "", "text": "no forwarding"}
        for mine, others, counts in (
            ([cut, without], [cut, without], False),
            ([cut, without], [slow, without], False),
            ([silent], [silent], False),
            ([], [cut, without], True),
            ([slow], [cut], True),
            ([], [silent], True),
            ([cut], [silent, without], True),
            ([cut, without], [dict(without, network="10.4.0.0/16")], True),
            ([cut], [dict(cut, peer="aws-1")], True),
            ([own, cut], [own], True),
        ):
            with self.subTest(mine=mine, others=others):
                seen = [self.seen(name, **{"troubles": []}) for name in ("azure-1", "azure-2")]
                for result, troubles in zip(seen, (mine, others)):
                    result["answers"]["__mesh_seen"]["troubles"] = [{"alone": False, **trouble} for trouble in troubles]
                line = self.refused("azure-1", seen)
                self.assertEqual(counts, bool(line), line)
                self.assertIn("azure-2 of its site is not well (" if counts else "", line)
        self.assertIn("(tunnel wg6 to gcp-1: no handshake): mend that one, or gcp-1 (docs/taken-over.md)", self.refused(
            "azure-1", [self.seen("azure-1"), self.seen("azure-2", troubles=[("gcp-1", cut["text"])])]))

    def test_route_tables(self):
        """Who is to take the tables of a router that is drained had no daemon, or one that did not know of it."""
        hosts = {name: {"mesh_site": "aws", "mesh_route_tables": tables} for name, tables in (("aws-1", ["rtb-a"]), ("aws-2", ["rtb-c"]), ("aws-3", []))}
        off, old = "wgmesh-failover does not run", "wgmesh-failover watches an older plan (partner aws-3%s)" % (", network 10.1.0.0/16" * 9)
        runs, none = {"runs": True}, {"trouble": off}
        for router, one, two, three, want in (
            ("aws-1", runs, runs, runs, ""),
            ("aws-1", none, runs, runs, ""),
            ("aws-1", runs, none, runs, "aws-2 of its site: wgmesh-failover does not run"),
            ("aws-1", runs, {"runs": True, "trouble": old}, runs, "aws-2 of its site: wgmesh-failover watches an older plan (partner"),
            ("aws-1", none, none, none, "aws-2 of its site: wgmesh-failover does not run"),
            ("aws-1", runs, runs, none, "aws-3 of its site: wgmesh-failover does not run"),
            # Without a table it may stand in for another one, which takes its own back; if it stands in at all.
            ("aws-3", none, runs, runs, "aws-1 of its site: wgmesh-failover does not run"),
            ("aws-3", none, none, none, ""),
        ):
            with self.subTest(router=router, want=want, one=one):
                seen = [self.seen("aws-1", **one), self.seen("aws-2", **two), self.seen("aws-3", **three)]
                line = drainable(router, hosts, list(hosts), [router], seen)
                self.assertLessEqual(len(line), 160, line)
                self.assertEqual(bool(want), bool(line), line)
                self.assertTrue(line.startswith(want and "%s is not drained: %s" % (router, want)), line)
                self.assertTrue(line.endswith(want and ": run wgmesh.router.routes first"), line)
                self.assertEqual("", drainable(router, hosts, list(hosts), [router], seen, force=True))
        for host in hosts.values():
            host["mesh_route_tables"] = []
        self.assertEqual("", drainable("aws-1", hosts, list(hosts), ["aws-1"], [self.seen(name, trouble=off) for name in hosts]), "nobody has a table")

    def test_turns(self):
        seen = self.seen("azure-1")
        other = self.seen("azure-1", True, why="a new disk " * 20)
        for words, name, found, more in (
            ("", "azure-1", seen, {}),
            ("gcp-1 is the only router of its site: leave it out with --limit", "gcp-1", seen, {}),
            ("", "gcp-1", seen, {"force": True}),
            ("azure-1: ssh does not answer: check that it runs", "azure-1", {"unreachable": True, "msg": "ssh does not answer"}, {"force": True}),
            ("azure-1: Incorrect sudo password: correct ansible_become_password, or leave it out", "azure-1",
             answers.failed("Incorrect sudo password", "correct ansible_become_password"), {}),
            ("azure-1: it is locked", "azure-1",
             answers.failed("it is locked by pid 5 " + "of a long name " * 20, "wait for it, and run again"), {}),
            ("azure-1 is drained (a new disk a new", "azure-1", other, {}),
        ):
            line = rollable(name, self.HOSTS, list(self.HOSTS), "upgrade", found, **more)
            self.assertLessEqual(len(line), 160, line)
            self.assertTrue(line.startswith(words) and bool(line) == bool(words), line)
        self.assertEqual("", rollable("gcp-1", self.HOSTS, list(self.HOSTS), "rotate", self.seen("gcp-1")), "keys change without a drain")
        other["answers"]["__mesh_seen"]["drained_why"] = "rotate, run 4f2a"
        self.assertEqual("", rollable("azure-1", self.HOSTS, list(self.HOSTS), "rotate", other), "it goes on")

    def test_drained_since_the_run_began(self):
        for had, why, want in (
            ("", "", ""), ("new disk", "", ""), ("new disk", "new cable", ""), ("new disk", "replace", ""),
            ("upgrade, run 4f2a", "upgrade, run 9b01", ""), ("upgrade", "upgrade, run 9b01", ""),
            ("new disk", "upgrade, run 9b01", "azure-1 is drained (new disk): undrain it first, or leave it out with --limit"),
            ("", "rotate, run 9b01", "azure-1 is drained (nobody said why): undrain it first, or leave it out with --limit"),
            ("rotate, run 4f2a", "upgrade, run 9b01", "azure-1 is drained (rotate, run 4f2a): undrain it first, or leave it out with --limit"),
            ("upgrade, run 4f2a", "new disk", ""), ("upgrade, run 4f2a", 4711, ""),
            ("upgrade, run 4f2a", "", "azure-1 is drained by another run (upgrade, run 4f2a): wait for it, or take it over with -e mesh_drain_why=REASON"),
        ):
            with self.subTest(had=had, why=why):
                seen = [self.seen("azure-1", True, why=had), self.seen("azure-2")]
                line = drainable("azure-1", self.HOSTS, list(self.HOSTS), ["azure-1"], seen, why=why)
                self.assertEqual(want, line)
                self.assertLessEqual(len(line), 160, line)

    def test_left(self):
        others = [self.seen("gcp-1", ways=[{"network": "10.1.0.0/16", "peer": "azure-1"}, {"network": "10.9.0.0/16", "peer": "azure-2"}]), {"item": "x"}]
        carried = [{"name": "wg6", "peer": "azure-2", "received": 5, "sent": 205}, {"name": "wg2", "peer": "office-1", "received": 4, "sent": 4}]
        traffic = {"forwarded": 200, "carried": carried}
        lines = undrained("azure-1", others, traffic)
        self.assertEqual("gcp-1 has no other way to 10.1.0.0/16 than by azure-1: " + self.MEND, lines[0])
        self.assertIn("azure-1 forwards 200 packets/s (wg6 azure-2: 5 in, 205 out", lines[1])
        # Nor is all that a host forwards its site's: it may have containers.
        line = undrained("azure-1", [], traffic)[0]
        self.assertIn("; its own site sends it (a route table, a balancer, a gateway), or its containers: ", line)
        self.assertTrue(line.endswith(": end it, or let it break by -e mesh_drain_traffic=N"), line)
        self.assertEqual([], undrained("azure-1", others[1:], {"forwarded": 1}, 1))

    def test_tables_have_moved(self):
        """A drain was green while a call of the cloud's hung, which is no trouble for 20 s."""
        hosts = {name: {"mesh_site": "aws", "mesh_route_tables": tables} for name, tables in (("aws-1", ["rtb-a"]), ("aws-2", ["rtb-c"]), ("aws-3", []))}
        for name, rests, trouble, want in (
            ("aws-1", ["rtb-a", "rtb-c"], "", ""),
            ("aws-1", ["rtb-c"], "", "aws-2 of its site does not say that rtb-a has moved"),
            ("aws-1", ["rtb-a"], "", "aws-2 of its site does not say that rtb-c has moved"),
            ("aws-1", ["rtb-a", "rtb-c"], "no", "aws-2 of its site: no: mend that"),
            ("aws-1", None, "", "aws-2 of its site does not say that rtb-a has moved"),
            ("aws-3", [], "", ""),
        ):
            failover = {"runs": True, "trouble": trouble, "rests": rests}
            others = [{"item": "aws-2"} if rests is None else self.seen("aws-2", failover=failover), self.seen("gcp-1")]
            lines = undrained(name, others, {}, beside=["aws-2"], hostvars=hosts)
            self.assertEqual((want != "", True), (len(lines) > 0, "".join(lines).startswith(want)), lines)
            self.assertLessEqual(len("".join(lines)), 160, lines)

    def test_drained_and_last_way_out(self):
        """What has lost the tunnels inside its site cannot know that the other router lives, and a balancer was never told to leave it."""
        alone = "it has no session to azure-2, azure-3, so it acts as the last way out of its site: mend that, or while"
        for two, three, office, want in (
            ("Active", "Idle", "Established", True),
            ("", "", "Established", False),
            ("Active", "Established", "Established", False),
            ("Established", "Established", "Active", False),
        ):
            tunnels = [{"peer": "azure-2", "bgp": two}, {"peer": "azure-3", "bgp": three}, {"peer": "office-1", "bgp": office}]
            lines = undrained("azure-1", [], {"forwarded": 9, "tunnels": tunnels}, beside=["azure-2", "azure-3"])
            self.assertEqual((want, not want), (alone in lines[0], "mesh_drain_traffic" in lines[0]), lines)
        self.assertNotIn("last way out", undrained("azure-1", [], {"forwarded": 9, "tunnels": tunnels})[0], "the only router of its site")

    def test_one_says_that_it_uses(self):
        """A router that was taken over kept everybody else from being drained: it said that it had its way by whoever was."""
        way = [{"network": "10.1.0.0/16", "peer": "azure-1"}]
        uses, none = self.seen("gcp-1", ways=way), {"forwarded": 0}
        well, ill = ([{"peer": "gcp-1", "healthy": healthy}] for healthy in (True, False))
        mate = self.seen("azure-2", tunnels=well)
        said = "gcp-1 has no other way to 10.1.0.0/16 than by azure-1"
        for others, traffic, want, doubted in (
            ([uses, mate], none, [], True),
            ([uses, mate], {}, [], True),
            ([uses, mate], {"forwarded": 9}, ["azure-1 forwards 9 packets/s (); of the others only gcp-1 says that it sends here: " + self.MEND], True),
            ([uses, self.seen("azure-2", tunnels=ill)], none, [said], False),
            ([uses, self.seen("azure-2", True, tunnels=well)], none, [said], False),
            ([uses, {"item": "azure-2"}], none, [said], False),
            ([uses], none, [said], False),
            ([uses, mate, self.seen("aws-1", ways=way)], none, [said, "aws-1 has no other way"], False),
            ([self.seen("azure-2", ways=way, tunnels=well), self.seen("azure-3", tunnels=[{"peer": "azure-2", "healthy": True}])], none, ["azure-2 has"], False),
        ):
            lines = undrained("azure-1", others, traffic, beside=["azure-2", "azure-3"])
            self.assertEqual(len(want), len(lines), lines)
            for line, words in zip(lines, want):
                self.assertTrue(line.startswith(words), line)
            lines = undrained("azure-1", others, traffic, beside=["azure-2", "azure-3"], doubted=True)
            self.assertEqual(doubted, bool(lines), lines)
            self.assertIn(said.replace("has", "alone says that it has") if doubted else "", "".join(lines))

    def test_one_says_that_it_does_not_forward(self):
        """The same by what does not come back through it."""
        def accuses(name, *peers):
            result = self.seen(name)
            found = [{"peer": peer, "alone": True, "text": "10.1.9.9", "here": {"cause": "no answer through azure-1"}} for peer in peers]
            result["answers"]["__mesh_seen"]["troubles"] = found
            return result

        def gets(name, healthy=True, addresses=("10.2.1.4",)):
            return self.seen(name, tunnels=[{"peer": "azure-1", "healthy": healthy}], source_addresses=list(addresses))

        lies, honest = accuses("gcp-1", "azure-1"), [gets("aws-1"), gets("aws-2")]
        for seen, doubted in (
            ([lies, *honest], True),
            ([lies, honest[0]], False),
            ([lies, honest[0], {"item": "aws-2", "unreachable": True}], False),
            ([lies, honest[0], gets("aws-2", healthy=False)], False),
            ([lies, honest[0], gets("aws-2", addresses=())], False),
            ([lies, honest[0], accuses("aws-2", "azure-1", "azure-2")], False),
            ([lies, *honest, accuses("office-1", "azure-1")], False),
        ):
            lines, doubts = (unforwarded("azure-1", seen, ["azure-1", "azure-2"], doubted=of) for of in (False, True))
            self.assertEqual((doubted, not doubted), (bool(doubts), bool(lines)), (seen, lines, doubts))
            said = "gcp-1 alone says: no answer through azure-1; aws-1, aws-2 get theirs: look at gcp-1; if it was taken over: docs/taken-over.md"
            self.assertEqual([said] if doubted else [], doubts)
        self.assertEqual([], unforwarded("azure-1", [accuses("gcp-1", "azure-1", "azure-2")], ["azure-1", "azure-2"]))


class Moving(unittest.TestCase):
    """What stands against adding or removing a router."""

    MEMBERS = {"one-1": {"id": 1}, "two-1": {"id": "2"}, "gone-1": {"id": 4, "state": "absent"}, "new-1": {}, "odd-1": {"id": "x"}}

    def test_add(self):
        two = {**self.MEMBERS, "new-1": {"id": 3}}
        for name, members, want in (
            ("", self.MEMBERS, "no router is named: -e mesh_add=NAME, one of the inventory"),
            ("nobody", self.MEMBERS, "nobody is not a router of the inventory: put it there first"),
            (["new-1"], self.MEMBERS, "mesh_add: got ['new-1'], expected the name of one router"),
            ("new-1", self.MEMBERS, "new-1 has no mesh_id: give it 3, the lowest that nobody has or had"),
            ("odd-1", two, "odd-1 has no mesh_id: give it 5, the lowest that nobody has or had"),
            ("new-1", {**self.MEMBERS, "new-1": {"id": 4}}, "new-1 has the mesh_id 4 of gone-1: give it 3, the lowest that nobody has or had"),
            ("new-1", {**self.MEMBERS, "new-1": {"id": 3.0}, "odd-1": {"id": "5.00"}}, ""),
            ("new-1", {**self.MEMBERS, "new-1": {"id": 2.0}}, "new-1 has the mesh_id 2 of two-1: give it 3, the lowest that nobody has or had"),
            ("new-1", {**self.MEMBERS, "new-1": {"id": 2.5}}, "new-1 has no mesh_id: give it 3, the lowest that nobody has or had"),
            ("new-1", {**self.MEMBERS, "odd-1": {"id": "3.0"}}, "new-1 has no mesh_id: give it 5, the lowest that nobody has or had"),
            ("gone-1", two, "gone-1 is mesh_state: absent in the inventory: take that line away, and run this again"),
            ("new-1", two, ""),
            ("two-1", two, ""),
        ):
            with self.subTest(name):
                self.assertEqual(want, moving(name, "add", members))
                self.assertLessEqual(len(want), 160)

        new = {**self.MEMBERS, "new-1": {"id": 3}}
        self.assertEqual("", moving("new-1", "add", new, ["new-1", "one-1"]))
        self.assertEqual("", moving("new-1", "add", {"new-1": {"id": 1}}, ["new-1"]))  # the first of all
        self.assertEqual("new-1 is not in this run, so nothing is changed there: leave --limit out", moving("new-1", "add", new, ["one-1"]))

    def test_limited(self):
        """A run without the router itself, or without the others, was green and said that it was removed."""
        for name, limit, want in (
            ("add", "aws-1", "azure-1 is not in this run, so nothing is changed there: leave --limit out"),
            ("remove", "aws-1", "azure-1 is not in this run, so nothing is changed there: leave --limit out"),
            ("add", "azure-1,db-1", "nobody of this run would have a tunnel to azure-1: leave --limit out, or name the others with it"),
            ("remove", "azure-1,db-1", "nobody of this run would end a tunnel to azure-1: leave --limit out, or name the others with it"),
        ):
            with self.subTest(name + " " + limit):
                code, out = Test.play(self, inventory(), "wgmesh.router." + name, "--limit", limit, "-e", "mesh_%s=azure-1" % name)
                self.assertEqual(2, code, out)
                self.assertIn('FAILED! => {"changed": false, "msg": "%s"}' % want, out)
                self.assertNotIn("UNREACHABLE", out)

    def test_remove(self):
        self.assertEqual("", moving("one-1", "remove", self.MEMBERS))
        self.assertEqual("", moving("gone-1", "remove", self.MEMBERS))  # a run that was cut off goes on
        self.assertEqual("x is not a router of the inventory: name one that is, by its name there", moving("x", "remove", self.MEMBERS))
        alone = {"one-1": {"id": 1}, "gone-1": self.MEMBERS["gone-1"]}
        self.assertEqual("", moving("one-1", "remove", self.MEMBERS, ["db-1", "one-1", "two-1"]))
        self.assertEqual("one-1 is not in this run, so nothing is changed there: leave --limit out", moving("one-1", "remove", self.MEMBERS, ["two-1"]))
        self.assertEqual(
            "nobody of this run would end a tunnel to one-1: leave --limit out, or name the others with it",
            moving("one-1", "remove", self.MEMBERS, ["one-1", "gone-1", "db-1"]))
        self.assertEqual("one-1 is the only router: wgmesh.router.reset makes its host as it was", moving("one-1", "remove", alone))


if __name__ == "__main__":
    unittest.main()
