# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sites of routers that were made by hand: who is of which, its AS number, its networks and the ways into it."""

from __future__ import annotations

import copy
import ipaddress
import itertools
import os
import re
from collections import Counter

from ansible_collections.wgmesh.router.plugins.plugin_utils.answers import Wrong, short

PRIVATE = (range(65001, 65535), range(4200000000, 4294967295))


class Sites:
    """The sites, from what the routers say, what BIRD says and their names. Raises Wrong where mesh_sites is not of its form."""

    def __init__(self, routers, variables, tunnels, lost):
        self.routers, self.tunnels, self.lost = routers, tunnels, lost
        self.entries = given(variables)
        self.systems = {name: self.system(name) for name in routers}
        self.stems = stems(routers)
        self.of = {name: str(variables[name].get("mesh_site") or "") for name in routers}
        self.name_them()
        for site in sorted(set(self.of.values())):
            self.entries.setdefault(site, {})
        self.number_them()
        self.networks, self.gateways = {}, {}
        for site in self.entries:
            self.route(site)
        self.overlaps()

    def members(self, site):
        return [name for name in self.routers if self.of[name] == site]

    def system(self, name):
        """Return the AS number of a router by its BIRD, 0 without one."""
        numbers = Counter(session.local for session in self.routers[name].sessions if session.local)
        if len(numbers) > 1:
            self.lost.add(name, "BIRD has the AS numbers %s" % ", ".join(map(str, sorted(numbers))), "a router of a mesh has one, that of its site")
        return numbers.most_common(1)[0][0] if numbers else 0

    def name_them(self):
        """Give a site to each router that names none: what others say of it, else those of its AS number and name."""
        for name, site in {name: self.said(name) for name in self.routers if not self.of[name]}.items():
            self.of[name] = site
        groups = self.groups()
        choices = []
        for group in groups:
            number, stem = group[0]
            choices.append([stem] if len({one for _system, one in group}) == 1 else [])
            choices[-1] += ["as%d" % number, "%s-as%d" % (stem, number)]
        taken = Counter(choice for group in choices for choice in group)
        taken.update({*self.entries, *self.of.values()})
        for group, names in zip(groups, choices):
            site = next((name for name in names if taken[name] == 1), names[-1])
            members = [name for name in self.routers if not self.of[name] and (self.systems[name], self.stems[name]) in group]
            self.tell(site, group, members, taken)
            self.of.update(dict.fromkeys(members, site))

    def said(self, name):
        """Return the site that others put a router into: with its like, by its name, or by its AS number."""
        system, stem = self.systems[name], self.stems[name]
        like = {self.of[other] for other in self.routers if self.of[other] and (self.systems[other], self.stems[other]) == (system, stem)}
        if len(like) == 1:
            return like.pop()
        sites = {*self.entries, *self.of.values()}
        if stem in sites:
            return stem
        if not system or any(self.systems[other] == system and self.stems[other] in sites for other in self.routers):
            return ""
        return next((site for site, entry in self.entries.items() if entry.get("as") == system), "")

    def groups(self):
        """Return those that are of one site, as lists of AS number and name. Clouds may share an AS number, as in an iBGP full mesh,
        and what is inside a site is not encrypted. So names stay apart unless the AS is not all routers', and BIRD leads into one network."""
        out, networks, several = [], {}, len(set(self.systems.values()) - {0}) > 1
        for name, has in self.routers.items():
            if not self.of[name]:
                into = {network for network, hop in has.networks.items() if hop}
                networks.setdefault((self.systems[name], self.stems[name]), set()).update(into)
        for unit, into in networks.items():
            near = [group for group in out if any(
                unit[1] == other[1] and 0 in (unit[0], other[0])
                or (unit[1] == other[1] or several and unit[0] == other[0] > 0) and into & networks[other] for other in group)]
            out = [group for group in out if group not in near] + [sorted([unit, *(one for group in near for one in group)], reverse=True)]
        return out

    def tell(self, site, group, members, taken):
        """Tell what of a site is a guess."""
        by = ""
        if len({stem for _system, stem in group}) > 1:
            by = "AS %d and a network" % group[0][0]
        elif taken[group[0][1]] > 1:
            by = "its AS number, apart from others of that name"
        elif not group[-1][0] and len(members) > 1:
            by = "the name"
        if by:
            self.lost.add("site " + site, "made of %s by %s" % (", ".join(members), by), "set mesh_site for those that are not of one site")

    def number_them(self):
        """Give each site its AS number."""
        numbers = {site: Counter(self.systems[name] for name in self.members(site) if self.systems[name]) for site in self.entries}
        sites = Counter(number for one in numbers.values() for number in one)
        taken = {entry.get("as") for entry in self.entries.values()} | set(sites)
        free = (number for number in itertools.chain(*PRIVATE) if number not in taken)
        for number in sorted(number for number, times in sites.items() if times > 1):
            sharing = [site for site in self.entries if number in numbers[site]]
            self.lost.add("AS %d" % number, "sites %s share it" % ", ".join(sharing), "each gets one of its own; set mesh_site for those that are one site")
        said = {entry.get("as") for entry in self.entries.values()}
        for site, entry in self.entries.items():
            if "as" not in entry:
                own = [number for number, _times in numbers[site].most_common() if sites[number] == 1 and number not in said]
                entry["as"] = own[0] if own else next(free)
                if not numbers[site]:
                    self.lost.add("site " + site, "no AS number was found", "it gets %d; any private one will do" % entry["as"])
            if len(numbers[site]) > 1:
                self.lost.add("site " + site, "its routers have the AS numbers %s" % ", ".join(map(str, sorted(numbers[site]))), "all get %s" % entry["as"])

    def route(self, site):
        """Find the networks of a site, and the next hops of its routers into them."""
        entry, members = self.entries[site], self.members(site)
        networks = networks_of(site, entry.get("networks") or [])
        if not networks:
            every = {network for name in members for network in self.candidates(name)}
            networks = sorted((n for n in every if not any(n != m and inside(n, m) for m in every)), key=lambda n: (n.version, n))
            entry["networks"] = [str(network) for network in networks]
        if not networks and members:
            self.lost.add("site " + site, "no network was found", "set mesh_sites.%s.networks" % site)
        self.networks[site] = networks
        for name in members:
            ways = self.ways(name, networks)
            if ways:
                self.gateways[name] = ways if len(ways) > 1 else ways[0]
                subnets = [address.network for address in self.routers[name].addresses]
                if not any(ipaddress.ip_address(way) in subnet for way in ways for subnet in subnets if subnet.prefixlen < subnet.max_prefixlen):
                    entry.setdefault("onlink", True)

    def candidates(self, name):
        """Return what may be a network of the router's site: a static route of BIRD's, and what others send here and it has an address in."""
        has = self.routers[name]
        out = set(has.networks)
        for tunnel in self.tunnels:
            if name in tunnel.pair:
                out |= {n for n in tunnel.of(name)[1].peer.allowed if any(a.version == n.version and a.ip in n for a in has.addresses)}
        links = [address.network for interface in has.interfaces.values() for address in interface.addresses]
        return {n for n in out if n.prefixlen > 0 and not n.is_link_local and not any(inside(n, link) for link in links)}

    def ways(self, name, networks):
        """Return the next hops into the networks, one of a family: BIRD's, the kernel's, or the default one where it is in the site."""
        has, out = self.routers[name], []
        for version in (4, 6):
            mine = [n for n in networks if n.version == version]
            default = has.hops.get(ipaddress.ip_network("0.0.0.0/0" if version == 4 else "::/0"))
            found = [has.networks[n] for n in mine if has.networks.get(n)] + [has.hops[n] for n in mine if n in has.hops]
            if default and any(ipaddress.ip_address(default) in n for n in mine):
                found.append(default)
            own = {str(address.ip) for address in has.addresses}
            found = [way for way in found if way not in own and not ipaddress.ip_address(way).is_link_local]
            out += found[:1]
        return out

    def overlaps(self):
        """Tell of networks that two sites have."""
        sites = sorted(self.networks)
        for i, site in enumerate(sites):
            for other in sites[i + 1:]:
                for one in self.networks[site]:
                    for two in self.networks[other]:
                        if one.version == two.version and one.overlaps(two):
                            self.lost.add("sites %s and %s" % (site, other), "networks %s and %s overlap" % (one, two), "correct them in mesh_sites")


def given(variables):
    """Return what mesh_sites says, which others hold: it is added to."""
    sites = next((have["mesh_sites"] for have in variables.values() if have.get("mesh_sites")), {})
    out = {}
    if not isinstance(sites, dict):
        raise Wrong(short(sites), "an object", "mesh_sites")
    for site, entry in sites.items():
        if not isinstance(entry, (dict, type(None))):
            raise Wrong(short(entry), "an object", "mesh_sites.%s" % site)
        entry = out[str(site)] = copy.deepcopy(dict(entry or {}))
        for field in {"as", "mtu"} & set(entry):
            if not re.match(r"\d{1,10}\Z", str(entry[field])):
                raise Wrong(short(entry[field]), "a number", "mesh_sites.%s.%s" % (site, field))
            entry[field] = int(entry[field])
    return out


def networks_of(site, networks):
    """Return the networks of a site, which are a list or have commas between."""
    out = []
    for one in networks.split(",") if isinstance(networks, str) else networks if isinstance(networks, list) else [networks]:
        try:
            out.append(ipaddress.ip_network(str(one).strip()))
        except ValueError:
            raise Wrong(short(one), "networks, such as 10.1.0.0/16", "mesh_sites.%s.networks" % site) from None
    return out


def stems(names):
    """Return the names of routers without their numbers, and without what their domains have in common."""
    parts = {name: name.split(".") if not re.match(r"[\d.:]+\Z", name) else [re.sub("[.:]", "-", name)] for name in names}
    common = len(os.path.commonprefix([labels[:0:-1] for labels in parts.values() if len(labels) > 1] or [[]]))
    out = {}
    for name, (label, *domain) in parts.items():
        label = re.sub(r"[-_]?\d+\Z", "", label)
        out[name] = "-".join(([label] if label else []) + domain[: max(len(domain) - common, 0)]) or parts[name][0]
    return out


def inside(network, other):
    return network.version == other.version and network.subnet_of(other)
