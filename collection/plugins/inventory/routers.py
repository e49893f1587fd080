# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for what other sources of an inventory can get wrong in silence."""

DOCUMENTATION = r"""
name: routers
short_description: Refuses an inventory of routers that is incomplete
version_added: 1.0.0
description:
  - Adds no host. It checks the routers that the sources before it found, in clouds and elsewhere. It fails if one of
    them lacks something, with every problem in one line. So it has to be the last source. In a folder, its file must
    have the last name.
  - A router needs C(mesh_id), C(mesh_site), C(mesh_endpoint), and C(mesh_zone) if its site has zones. Set
    C(mesh_endpoint=none) for a router that nobody can call from outside.
  - Each site of C(mesh_sites) needs a router, because some plugins show an empty cloud if a permission is missing.
    Templates in C(mesh_sites) are rendered, unless a program is among the sources. If C(mesh_sites) is a template that
    cannot be rendered, there is a warning.
  - If a router is in no group C(mesh_from_) and its C(mesh_site) is a template, the template is rendered with that
    router's variables of the inventory, unless a program is among the sources. If it cannot be rendered, for example
    because it needs facts, and for other routers, there is a warning. Each such template may then stand for one empty
    site. With more empty sites than such templates it fails.
  - Two machines with one name would become one host of the inventory. It finds them by the groups whose names begin
    with C(mesh_from_). Each source makes one such group for each machine, and a router may be in at most one of them.
  - The file's name ends in C(routers.yml) or C(routers.yaml).
  - Before ansible-core 2.19 Ansible runs discovered values as templates. With such a version it refuses an inventory
    that has a program or another plugin's configuration among its sources, except P(wgmesh.router.consul#inventory),
    which marks its values as plain text.
  - A discovered router that publishes its own C(mesh_host_key) never makes the inventory fail. A value that is not a
    public key, or is the key of another router, is left out with a warning. A key belongs to the router with this key
    that is in no group C(mesh_from_), or else to the router that proves that it has the key. If no router or several
    routers do, all discovered routers lose it.
notes:
  - M(wgmesh.router.mesh_plan_info) checks whether the values make a mesh.
  - By default, Ansible continues without a source that fails. Set C(any_unparsed_is_failed=true) in the section
    C(inventory) of C(ansible.cfg), or the environment variable C(ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=1). C(wgmesh
    join) does.
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
  sites:
    description:
      - The sites to which a source's routers may belong, by the text after C(mesh_from_) in the names of the source's
        groups.
      - Without it, anybody who may write tags in one cloud can make a router of another site.
    type: dict
    default: {}
  guest_attributes:
    description:
      - Read the C(mesh_host_key) of VMs that P(google.cloud.gcp_compute#inventory) found from their guest attributes,
        in which nobody else can write. A key from the source takes precedence.
      - Needs the permission C(compute.instances.getGuestAttributes), and uses Google's application default credentials.
    type: bool
    default: false
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
# routers.yml, in a folder with aws_ec2.yml, office.yml and group_vars/routers.yml
plugin: wgmesh.router.routers
sites: {aws: aws, azure: azure, gcp: gcp, consul: [munich, vienna]}
guest_attributes: true
"""

import os
import re

from ansible.errors import AnsibleParserError
from ansible.inventory.helpers import get_group_vars
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.release import __version__
from ansible.utils.vars import combine_vars
from ansible.vars.plugins import get_vars_from_inventory_sources

from ansible_collections.wgmesh.router.plugins.plugin_utils.host_keys import Busy, GuestAttributes, HostKeyError, key_of, proven

OWN = ("wgmesh.router.consul", "wgmesh.router.routers")
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
        problems = list(old_core(loader, inventory.processed_sources))
        found = [(host, variables(host, loader, sources)) for host in hosts]
        program = any(map(is_program, inventory.processed_sources))  # what it prints is a template for Ansible
        for host, known in found if not (program or problems) else ():
            if marked(known.get("mesh_sites")):
                known["mesh_sites"] = rendered(self.templar, known, "mesh_sites")
            if is_template(known) and not origins(host):
                known["mesh_site"] = rendered(self.templar, known, "mesh_site")
        problems += [problem for host, known in found for problem in check(host, known, self.get_option("sites"))]
        said, empty = [], list(empty_sites([known for _host, known in found]))
        templates = {host.name: site_of(known) for host, known in found if is_template(known) and known.get("mesh_state") != "absent"}
        sites = found[0][1].get("mesh_sites")
        if isinstance(sites, str) and marked(sites):
            said.append("mesh_sites is a template that is not rendered here, so nobody looks for a site without a router, nor for zones: write them out")
        if templates:
            said.append(
                "mesh_site of %s is a template that is not rendered here, so nobody looks for its zones, and an empty site may be taken for its own: "
                "write the site, or have compose of its source give it" % ", ".join(templates)
            )
        if len(empty) > len(set(templates.values())):  # else each may be the site of one of them
            problems += empty + said
        try:
            if self.get_option("guest_attributes") and not problems:
                said += read_guest_attributes(found)
        except HostKeyError as error:
            problems.append(" ".join(str(error).split()))
        if problems:
            raise AnsibleParserError("%s: %s" % (path, "; ".join(problems)))
        for line in said + list(left_out(found)):
            self.display.warning("%s: %s" % (path, line))
        for host, known in found:
            if known.get("mesh_endpoint") == "none":
                inventory.set_variable(host.name, "mesh_endpoint", "")
            if known.get("mesh_host_key") != host.get_vars().get("mesh_host_key") and origins(host):
                inventory.set_variable(host.name, "mesh_host_key", known.get("mesh_host_key") or "")


def old_core(loader, sources):
    """What is wrong with sources that find hosts, on a core that takes texts for templates."""
    if tuple(map(int, __version__.split(".")[:2])) >= (2, 19):
        return
    for source in sources:
        if finds(loader, source):
            yield "ansible-core %s runs what %s finds as templates: expected 2.19 or newer" % (__version__, source)


def is_program(source):
    return os.path.isfile(source) and os.access(source, os.X_OK)


def finds(loader, source):
    """Whether a source is a program or the configuration of a plugin that does not mark what it found."""
    if not os.path.isfile(source):
        return False
    if is_program(source):
        return True
    try:
        content = loader.load_from_file(source)
    except Exception:
        return False  # it has been read, so it is a list of another form
    return isinstance(content, dict) and content.get("plugin", OWN[0]) not in OWN


def read_guest_attributes(found):
    """Adds the host keys that VMs of Google Cloud have published, and says whose it could not."""
    attributes = None
    for host, known in found:
        link = known.get("gcp_selfLink")
        if isinstance(link, str) and not known.get("mesh_host_key") and known.get("mesh_state") != "absent":
            attributes = attributes or GuestAttributes()
            try:
                known["mesh_host_key"] = attributes.host_key(link)
            except Busy as error:
                yield "router %s: mesh_host_key is left out: %s" % (host.name, error)


def left_out(found):
    """Takes away, and names, keys that a router must not have said. What is in no source's group is the operator's own."""
    owners = {}
    for host, known in found:
        line = known.get("mesh_host_key")
        if not line or known.get("mesh_state") == "absent":
            continue
        key = key_of(line)
        if key:
            owners.setdefault(key, []).append((host, known, proven(host.name, line)))
        elif origins(host):
            known["mesh_host_key"] = ""
            yield "router %s: mesh_host_key is not an SSH public key and is left out: expected ssh-ed25519 AAAA...; the others will not let it join" % host.name
    for same in owners.values():
        # What the operator gave has no proof and needs none. Without either it is for nobody to say whose it is.
        own = [host.name for host, _known, _proof in same if not origins(host)] or [host.name for host, _known, proof in same if proof]
        for host, known, _proof in same if len(same) > 1 else ():
            if origins(host) and own != [host.name]:
                known["mesh_host_key"] = ""
                other = [name for name in own + [one[0].name for one in same] if name != host.name][0]
                too, who = ("", host.name) if own and host.name not in own else (", too,", "one of them")
                yield "router %s: mesh_host_key is the key of %s%s and is left out: has somebody taken %s over?" % (host.name, other, too, who)


def origins(host):
    """What follows mesh_from_ in the names of the host's groups."""
    return sorted(match.group(1) for match in (ORIGIN.fullmatch(group.name) for group in host.get_groups()) if match)


def variables(host, loader, sources):
    """What Ansible will know of a host: what sources and group_vars say of its groups and of itself."""
    groups = host.get_groups()
    known = combine_vars(get_group_vars(groups), get_vars_from_inventory_sources(loader, sources, groups, "all"))
    known = combine_vars(known, host.get_vars())
    return combine_vars(known, get_vars_from_inventory_sources(loader, sources, [host], "all"))


def site_of(known):
    """A router's site, which may be a number in YAML, and another one's a cloud's tag."""
    site = known.get("mesh_site")
    return "" if site is None else str(site)


def marked(value):
    return any(mark in str(value) for mark in ("{{", "{%"))


def is_template(known):
    return marked(site_of(known))


def rendered(templar, known, word):
    """What the operator's template gives. What a plugin found stays a text: its mark, or want of trust, sees to it."""
    templar.available_variables = known
    try:
        return templar.template(known[word])
    except Exception:
        return known[word]  # it needs facts, or another router


def check(host, known, pinned):
    """What is wrong with one router."""
    machines = origins(host)
    if len(machines) > 1:
        yield "router %s: there are several machines with this name (%s): rename all but one" % (host.name, ", ".join(machines))
        return  # their variables are mixed
    if known.get("mesh_state") == "absent":
        return
    where = " (found by %s)" % machines[0] if machines else ""
    for source, allowed in sorted(pinned.items()):
        allowed = allowed if isinstance(allowed, list) else [allowed]
        if machines and (machines[0] + "_").startswith(source + "_") and site_of(known) not in ("", *map(str, allowed)):
            yield "router %s%s: mesh_site is %s, and the source %s has routers of %s only: correct its tag, or sites here" % (
                host.name, where, known["mesh_site"], source, " and ".join(map(str, allowed)),
            )
    sites = known.get("mesh_sites")
    site = {str(name): site for name, site in sites.items()}.get(site_of(known)) if isinstance(sites, dict) else None
    zones = site.get("zones") if isinstance(site, dict) else None
    zones = sorted(map(str, zones)) if isinstance(zones, (dict, list)) else []
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
    there = {site_of(known) for known in routers}
    sites = routers[0].get("mesh_sites")
    for site in sorted(set(map(str, sites if isinstance(sites, dict) else ())) - there):
        yield (
            "site %s: no source has a router of it: look at the source's credentials, filter and region, or take the site out of mesh_sites" % site
        )
