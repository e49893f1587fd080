# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for what other sources of an inventory can get wrong in silence."""

from __future__ import annotations

import re

from ansible.errors import AnsibleParserError
from ansible.inventory.helpers import get_group_vars
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.utils.vars import combine_vars
from ansible.vars.plugins import get_vars_from_inventory_sources

DOCUMENTATION = r"""
name: routers
short_description: Refuses an inventory of routers in which something is missing
version_added: 0.2.0
description:
  - Adds no host. It looks at the routers that the sources before it found, in clouds and elsewhere, and fails when one
    of them lacks what it needs, with every problem in one line. So it has to be the last source. In a folder, the one
    whose file has the last name.
  - A router needs C(mesh_id), C(mesh_site), C(mesh_endpoint), and C(mesh_zone) where its site has zones. A router that nobody can
    call from outside says so with C(mesh_endpoint=none).
  - Each site of C(mesh_sites) needs a router. Some plugins show an empty cloud to those who may not look into it.
  - Two machines with one name would become one host of the inventory. It sees them by the groups whose names begin with
    C(mesh_from_). A router has to be in one of them at most, and each source makes one for each machine.
  - The file's name ends in C(routers.yml) or C(routers.yaml).
notes:
  - Whether the values make a mesh is for M(wgmesh.router.mesh_plan) to say.
  - Ansible goes on without a source that fails, unless it is told not to. Set C(any_unparsed_is_failed=true) in the section
    C(inventory) of F(ansible.cfg), or the environment variable C(ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=1). C(wgmesh join) does.
options:
  plugin:
    description: This plugin.
    type: str
    required: true
    choices: [wgmesh.router.routers]
  group:
    description: The group whose hosts are the routers.
    type: str
    default: routers
author: wgmesh.router contributors
"""

EXAMPLES = r"""
# routers.yml, in a folder with aws_ec2.yml, office.yml and group_vars/routers.yml
plugin: wgmesh.router.routers
"""

ORIGIN = re.compile(r"mesh_from_(.+)")


class InventoryModule(BaseInventoryPlugin):
    NAME = "wgmesh.router.routers"

    def verify_file(self, path):
        return super().verify_file(path) and path.endswith(("routers.yml", "routers.yaml"))

    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        name = self.get_option("group")
        group = inventory.groups.get(name)
        hosts = sorted(group.get_hosts(), key=lambda host: host.name) if group else []
        if not hosts:
            raise AnsibleParserError("%s: no source before this one has a host in the group %s" % (path, name))
        # Sources that have been read, the one of this plugin last.
        sources = inventory.processed_sources + [path]
        found = [(host, variables(host, loader, sources)) for host in hosts]
        problems = [problem for host, known in found for problem in check(host, known)]
        problems += empty_sites([known for _host, known in found])
        if problems:
            raise AnsibleParserError("%s: %s" % (path, "; ".join(problems)))
        for host, known in found:
            if known.get("mesh_endpoint") == "none":
                inventory.set_variable(host.name, "mesh_endpoint", "")


def variables(host, loader, sources):
    """What Ansible will know of a host: what sources and group_vars say of its groups and of itself."""
    groups = host.get_groups()
    known = combine_vars(get_group_vars(groups), get_vars_from_inventory_sources(loader, sources, groups, "all"))
    known = combine_vars(known, host.get_vars())
    return combine_vars(known, get_vars_from_inventory_sources(loader, sources, [host], "all"))


def check(host, known):
    """What is wrong with one router."""
    origins = sorted(match.group(1) for match in (ORIGIN.fullmatch(group.name) for group in host.get_groups()) if match)
    if len(origins) > 1:
        yield "router %s: there are several machines with this name (%s): rename all but one" % (host.name, ", ".join(origins))
        return  # their variables are mixed
    if known.get("mesh_state") == "absent":
        return
    where = " (found by %s)" % origins[0] if origins else ""
    sites = known.get("mesh_sites")
    site = sites.get(known.get("mesh_site")) if isinstance(sites, dict) else None
    zones = sorted(map(str, site.get("zones") or {})) if isinstance(site, dict) else []
    wanted = {
        "mesh_id": "a number of its own, 1 or higher",
        "mesh_site": "one of %s" % (", ".join(sorted(map(str, sites))) if isinstance(sites, dict) else "mesh_sites"),
        "mesh_endpoint": "the address at which the others reach it, or none",
    }
    if zones:
        wanted["mesh_zone"] = "one of %s" % ", ".join(zones)
    for word, meaning in sorted(wanted.items()):
        if known.get(word) in (None, ""):
            yield "router %s%s: %s is missing: expected %s" % (host.name, where, word, meaning)


def empty_sites(routers):
    """Sites without a router: their source may be silent for want of a permission."""
    there = {known.get("mesh_site") for known in routers}
    sites = routers[0].get("mesh_sites")
    for site in sorted(set(sites if isinstance(sites, dict) else ()) - there):
        yield (
            "site %s: no source has a router of it: look at the source's credentials, filter and region, or take the site out of mesh_sites" % site
        )
