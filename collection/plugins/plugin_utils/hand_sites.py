# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sites of routers that were made by hand: who is of which, its AS number, its networks and the ways into it."""

from __future__ import annotations

import copy
import ipaddress
import re
from collections import Counter

FIRST_AS = 65001


class Sites:
    """The sites, from what the routers say, what BIRD says and their names."""

    def __init__(self, routers, variables, tunnels, lost):
        self.routers, self.tunnels, self.lost = routers, tunnels, lost
        given = next((have["mesh_sites"] for have in variables.values() if isinstance(have.get("mesh_sites"), dict)), {})
        # What others hold stays theirs: these entries are added to.
        self.entries = {str(name): copy.deepcopy(dict(entry or {})) for name, entry in given.items()}
        self.systems = {name: self.system(name) for name in routers}
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
        """Give a site to each router that names none: that of its AS number, or of its name without its number."""
        groups = {}
        for name in self.routers:
            if not self.of[name]:
                groups.setdefault(self.systems[name] or stem(name), []).append(name)
        stems = Counter(one for group in groups.values() for one in {stem(name) for name in group})
        for group, names in groups.items():
            common = {stem(name) for name in names}
            alone = len(common) == 1 and stems[next(iter(common))] == 1
            site = next(iter(common)) if alone else "as%s" % group
            for name in names:
                self.of[name] = site
            if not isinstance(group, int) and len(names) > 1:
                self.lost.add("site " + site, "made of %s by the name" % ", ".join(names), "set mesh_site for those that are not of one site")

    def number_them(self):
        """Give each site its AS number."""
        for site, entry in self.entries.items():
            numbers = Counter(self.systems[name] for name in self.members(site) if self.systems[name])
            if "as" not in entry and numbers:
                entry["as"] = numbers.most_common(1)[0][0]
            if len(numbers) > 1:
                self.lost.add("site " + site, "its routers have the AS numbers %s" % ", ".join(map(str, sorted(numbers))), "all get %s" % entry["as"])
        taken = {entry.get("as") for entry in self.entries.values()}
        free = (number for number in range(FIRST_AS, FIRST_AS + 500) if number not in taken)
        for site, entry in self.entries.items():
            if "as" not in entry:
                entry["as"] = next(free)
                self.lost.add("site " + site, "no AS number was found", "it gets %d; any private one will do" % entry["as"])

    def route(self, site):
        """Find the networks of a site, and the next hops of its routers into them."""
        entry, members = self.entries[site], self.members(site)
        said = entry.get("networks") or []
        networks = [ipaddress.ip_network(str(one)) for one in (said.split(",") if isinstance(said, str) else said)]
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
        return {n for n in out if n.prefixlen > 0 and not n.is_link_local and not any(n.version == link.version and n.overlaps(link) for link in links)}

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


def stem(name):
    """Return the name of a router without its domain and its number."""
    label = name.split(".")[0] if not re.match(r"[\d.:]+\Z", name) else name.replace(".", "-").replace(":", "-")
    return re.sub(r"[-_]?\d+\Z", "", label) or label


def inside(network, other):
    return network.version == other.version and network.subnet_of(other)
