# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what was found on routers that were made by hand to the variables of a mesh."""

from __future__ import annotations

import ipaddress
from collections import Counter

from ansible_collections.wgmesh.router.plugins.plugin_utils.answers import Wrong, short
from ansible_collections.wgmesh.router.plugins.plugin_utils.hand_networks import outside, wider
from ansible_collections.wgmesh.router.plugins.plugin_utils.hand_sites import Sites, given
from ansible_collections.wgmesh.router.plugins.plugin_utils.hand_tunnels import Lost, tunnels

PORT_BASES = (51800, *range(20000, 60000, 1000))
POOLS = ("198.18.0.0/16", "198.19.0.0/16", "172.30.0.0/16", "10.254.0.0/16")
ORDINARY = ("Device", "Kernel", "Static", "Direct", "BFD", "BGP")
MODULE_KEEPALIVE = 25
OVERHEAD = {4: 60, 6: 80}
UNDERLAY = {"azure": 1400, "gcp": 1460}


class Adoption:
    """All of it: made once, read by the filter."""

    def __init__(self, routers, variables):
        self.routers, self.variables, self.lost = routers, variables, Lost()
        self.tunnels, self.prefix = tunnels(routers, self.lost)
        self.ids = self.numbered()
        self.sites = Sites(routers, variables, self.tunnels, self.lost)
        self.keepalive = self.common([end.peer.keepalive for end in self.ends()], MODULE_KEEPALIVE)
        self.base = self.port_base()
        self.at = {name: self.endpoints(name) for name in routers}
        self.links = self.linked()
        self.mtus()
        self.compare()

    def ends(self):
        return [end for tunnel in self.tunnels for end in tunnel.ends]

    @staticmethod
    def common(values, default):
        return Counter(values).most_common(1)[0][0] if values else default

    def numbered(self):
        """Return the ids: those that are given, and the lowest ones that are free."""
        given = {name: int(have["mesh_id"]) for name, have in self.variables.items() if str(have.get("mesh_id", "")).isdigit()}
        free = (number for number in range(1, 10000) if number not in given.values())
        return {name: given.get(name) or next(free) for name in self.routers}

    def number(self, one, other):
        low, high = sorted((self.ids[one], self.ids[other]))
        return (high - 1) * (high - 2) // 2 + low

    def port_base(self):
        """Return the first base below which new tunnels meet no port of the interfaces that are there."""
        last = max(self.ids.values())
        ports = {interface.port for has in self.routers.values() for interface in has.interfaces.values()}
        for base in PORT_BASES:
            if not any(base < port <= base + last * last // 2 for port in ports):
                return base
        return PORT_BASES[0]

    def pool(self):
        """Return the first pool that no address is in."""
        there = [address.network for has in self.routers.values() for address in has.addresses]
        there += [address.network for has in self.routers.values() for interface in has.interfaces.values() for address in interface.addresses]
        there += [network for one in self.sites.networks.values() for network in one]
        for pool in map(ipaddress.ip_network, POOLS):
            if not any(pool.version == network.version and pool.overlaps(network) for network in there):
                return str(pool)
        return POOLS[0]

    def endpoints(self, name):
        """Return where the others call a router: the address of the most, and others by the site of who calls."""
        said, theirs = {}, self.variables[name].get("mesh_endpoints") or {}
        if not isinstance(theirs, dict):
            raise Wrong(short(theirs), "addresses by the names of sites", "mesh_endpoints of %s" % name)
        for tunnel in self.tunnels:
            if name in tunnel.pair:
                mine, other = tunnel.of(name)
                called, named = other.called()
                if named:
                    do = "it gets %s" % called[0] if called else "set mesh_endpoint of %s" % name
                    self.lost.add(other.where, "its Endpoint is a host name", "the mesh has addresses: " + do)
                if other.said is None and called != other.peer.endpoint:
                    do = "taken for its NAT's; if that is forwarded, set mesh_endpoint, and endpoint_port in mesh_links"
                    self.lost.add(other.where, "%s was seen at a port not its own" % name, do)
                if called is not None:
                    said.setdefault(self.sites.of[other.router], Counter())[str(called[0])] += 1
        total = sum(said.values(), Counter())
        given = self.variables[name].get("mesh_endpoint")
        most = given or (total.most_common(1)[0][0] if total else None)
        by_site = {site: votes.most_common(1)[0][0] for site, votes in sorted(said.items())}
        by_site = {site: address for site, address in by_site.items() if address != most}
        return {"all": most, "sites": {**by_site, **theirs}}

    def linked(self):
        """Return the ends that do not follow from the numbers, by router and peer."""
        out = {name: {} for name in self.routers}
        for tunnel in self.tunnels:
            for end, other in (tunnel.ends, tunnel.ends[::-1]):
                link = {"interface": end.interface.name, "listen_port": end.interface.port, "addresses": [str(a) for a in end.addresses]}
                called = other.called()[0]
                if called and called[1] != end.interface.port:
                    if self.sites.of[other.router] in self.at[end.router]["sites"]:
                        self.lost.add(other.where, "it calls %s at port %d, which listens on %d" % (end.router, called[1], end.interface.port),
                                      "it will call %d" % end.interface.port)
                    else:
                        link["endpoint_port"] = called[1]
                out[end.router][other.router] = link
        taken = {tunnel.pair for tunnel in self.tunnels}
        for name, has in self.routers.items():
            for other in self.routers:
                new = self.prefix + str(self.number(name, other)) if other != name else ""
                if new in has.names and frozenset((name, other)) not in taken:
                    out[name][other] = {"interface": self.free(has.names, new)}
        return out

    @staticmethod
    def free(names, name):
        return next(one for one in ("%s%s" % (name, letter) for letter in "abcdefghijklmnopqrstuvwxyz") if one not in names)

    def mtus(self):
        """Give the sites the MTU from which that of the tunnels follows."""
        most = {}
        for tunnel in self.tunnels:
            for end in tunnel.ends:
                site = self.sites.of[end.router]
                most[site] = max(most.get(site, 0), end.interface.mtu + self.overhead(tunnel))
        for site, mtu in most.items():
            entry = self.sites.entries[site]
            if "mtu" not in entry and mtu != self.outside(site):
                entry["mtu"] = mtu

    def outside(self, site):
        entry = self.sites.entries[site]
        return int(entry.get("mtu") or UNDERLAY.get(entry.get("cloud"), 1500))

    def overhead(self, tunnel):
        addresses = [end.called()[0] for end in tunnel.ends]
        return OVERHEAD[max([called[0].version for called in addresses if called] or [4])]

    def compare(self):
        """Tell what the mesh changes of what it takes over."""
        for tunnel in self.tunnels:
            mtu = min(self.outside(self.sites.of[end.router]) for end in tunnel.ends) - self.overhead(tunnel)
            for end, other in (tunnel.ends, tunnel.ends[::-1]):
                if end.interface.mtu != mtu:
                    self.lost.add(end.where, "MTU %d" % end.interface.mtu, "it becomes %d, which follows from the sites" % mtu)
                if end.peer.keepalive != self.keepalive:
                    self.lost.add(end.where, "PersistentKeepalive %d" % end.peer.keepalive, "all have one: it becomes %d" % self.keepalive)
                self.compare_endpoint(end, other)
                for name, value in end.interface.lines:
                    self.compare_line(end, name, value)
                self.compare_allowed(end)
                self.compare_owner(end)
        outside(self.routers, self.sites, self.lost)
        wider(self.tunnels, self.sites, self.lost)
        for name, has in self.routers.items():
            self.compare_bird(name, has)
        self.compare_sites()

    def compare_endpoint(self, end, other):
        called, at = end.called()[0], self.at[other.router]
        will = at["sites"].get(self.sites.of[end.router]) or at["all"]
        if called and str(called[0]) != will:
            self.lost.add(end.where, "it calls %s at %s, others of its site at %s" % (other.router, called[0], will), "it will call %s" % will)

    def compare_line(self, end, name, value):
        if name.lower() == "table":
            if value.lower() not in ("off", "auto", ""):
                self.lost.add(end.where, "Table = %s" % value, "the mesh routes in the main table")
        elif name.lower() not in ("saveconfig", "fwmark" if end.interface.mark else ""):
            self.lost.add(end.where, "its file has %s" % name, "not kept: have a unit of your own do it, or see mesh_tunnel_input")

    def compare_allowed(self, end):
        wide = [network for network in end.peer.allowed if network.prefixlen == 0]
        if wide and end.interface.mark:
            do = "the take-over refuses it: give it the sites' networks in its file, and bring it up again"
            self.lost.add(end.where, "FwMark with AllowedIPs %s" % wide[0], do)
        elif end.interface.mark:
            self.lost.add(end.where, "FwMark is set", "it and wg-quick's rules stay until a boot; the mesh has none")
        elif wide:
            self.lost.add(end.where, "AllowedIPs %s" % wide[0], "they become the networks of the sites")

    def compare_owner(self, end):
        """Tell what else makes an interface at a boot than the file for wg-quick that the mesh writes and enables."""
        for who in end.interface.made:
            self.lost.add(end.where, "%s makes it at a boot" % who, "so will wg-quick for the mesh: take it out there")
        if end.interface.made:
            return
        if end.said is None:
            self.lost.add(end.where, "no wg-quick file with the peer", "end what made it, or it does so again at a boot")
        elif end.interface.unit and not end.interface.unit.startswith("enabled"):
            found = "wg-quick@ is not enabled for it, but %s" % end.interface.unit
            self.lost.add(end.where, found, "the mesh enables it: end what else makes it at a boot")

    def compare_sites(self):
        """Tell what the file has more than mesh_sites of the inventory. That may be in group_vars, which count more."""
        theirs, more = given(self.variables), {}
        for site, entry in self.sites.entries.items() if theirs else ():
            for field, value in entry.items():
                if value and theirs.get(site, {}).get(field) != value:
                    value = ", ".join(value) if isinstance(value, list) else value
                    more.setdefault("%s %s" % (field, value), []).append(site)
        for what, of in more.items():
            self.lost.add("mesh_sites", "%s of %s is added to yours" % (what, ", ".join(of)), "group_vars count more than the file: have it there too")

    def compare_bird(self, name, has):
        far = {str(address.ip) for tunnel in self.tunnels if name in tunnel.pair for address in tunnel.of(name)[1].addresses}
        for session in has.sessions:
            if session.kind not in ORDINARY:
                self.lost.add(name, "BIRD has %s, a protocol %s" % (session.name, session.kind), "the mesh's bird.conf has none: it ends")
            elif session.kind == "BGP" and session.neighbor and session.neighbor not in far:
                self.lost.add(name, "BGP session %s with %s is in no such tunnel" % (session.name, session.neighbor), "it ends")

    def lines(self):
        return self.lost.lines()

    def shared(self):
        """Return the variables of the group."""
        out = {"mesh_sites": self.sites.entries, "mesh_interface_prefix": self.prefix, "mesh_keepalive": self.keepalive,
               "mesh_port_base": self.base, "mesh_link_pool": self.pool()}
        # What the routers say already is theirs to say.
        said = next(iter(self.variables.values()))
        return {name: value for name, value in out.items() if name == "mesh_sites" or said.get(name) is None}

    def hosts(self):
        """Return the variables of each router."""
        out = {}
        for name in self.routers:
            mine = {"mesh_id": self.ids[name], "mesh_site": self.sites.of[name]}
            theirs, at = self.variables[name], self.at[name]
            zone, gateway = theirs.get("mesh_zone"), theirs.get("mesh_gateway") or self.sites.gateways.get(name)
            if zone:
                mine["mesh_zone"] = zone
            if at["all"]:
                mine["mesh_endpoint"] = at["all"]
            if at["sites"]:
                mine["mesh_endpoints"] = at["sites"]
            if gateway:
                mine["mesh_gateway"] = gateway
            if self.links[name]:
                mine["mesh_links"] = self.links[name]
            out[name] = mine
        return out
