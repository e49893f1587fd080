# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interfaces of routers that were made by hand are the two ends of a tunnel that a mesh can take over."""

from __future__ import annotations

import re
from collections import Counter

from ansible_collections.wgmesh.router.plugins.plugin_utils.by_hand import endpoint

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")
BESIDE = "the mesh makes a tunnel beside it; end this one by hand"


LONGEST = 160


class Lost:
    """What an inventory does not express: a line for each cause, with those that it is of."""

    def __init__(self):
        self.said = {}  # (found, do): where

    def add(self, where, found, do):
        of = self.said.setdefault((found, do), [])
        if where not in of:
            of.append(where)

    def lines(self):
        return [line(of, found, do) for (found, do), of in self.said.items()]


def line(of, found, do):
    """Return a line that is not too long: of its parts the first gives way, and then the second."""
    where, rest = of[0], of[1:]
    while rest and len(where) + len(rest[0]) + len(found) + len(do) + (16 if rest[1:] else 6) <= LONGEST:
        where += ", " + rest.pop(0)
    if rest:
        where += " and %d more" % len(rest)
    room = max(LONGEST - len(where) - len(do) - 4, 3)
    found = found if len(found) <= room else found[: room - 3] + "..."
    return ("%s: %s: %s" % (where, found, do))[:LONGEST]


class End:
    """One end of a tunnel."""

    def __init__(self, router, interface):
        self.router, self.interface, self.other = router, interface, None
        self.addresses = []

    @property
    def where(self):
        return "%s %s" % (self.router, self.interface.name)

    @property
    def peer(self):
        """The one peer."""
        return next(iter(self.interface.peers.values()))

    @property
    def far(self):
        """The public key of the one peer."""
        return next(iter(self.interface.peers))

    def called(self):
        """Return (address, port) at which this end calls the other, and whether its file has a name there. Without a file, another port
        than the other end listens on is taken for that of a NAT, which is another tomorrow."""
        live, said = self.peer.endpoint, self.said
        if said is None:
            return (live if live and live[1] == self.other.interface.port else None), False
        try:
            return endpoint(said), False  # None: it has only learnt where the other end is
        except ValueError:
            return live, True

    @property
    def said(self):
        """What the wg-quick file has as its Endpoint, None without a file or where the peer is not in it."""
        return (self.interface.calls or {}).get(self.far)


class Tunnel:
    """Two ends, in the order of the routers."""

    def __init__(self, one, other):
        self.ends = (one, other)
        one.other, other.other = other, one

    def of(self, router):
        """Return the end of this router, and the other one."""
        one, other = self.ends
        return (one, other) if one.router == router else (other, one)

    @property
    def pair(self):
        return frozenset(end.router for end in self.ends)


def tunnels(routers, lost):
    """Return the tunnels that a mesh can take over, and the prefix of their interfaces."""
    out = addressed(mutual(ends(routers, lost), lost), lost)
    out = one_key(once(out, lost), lost)
    prefix = prefix_of([end.interface.name for tunnel in out for end in tunnel.ends], routers)
    named = []
    for tunnel in out:
        strange = [end for end in tunnel.ends if not (NAME.match(end.interface.name) and end.interface.name.startswith(prefix))]
        for end in strange:
            lost.add(end.where, "its name does not begin with %s, as the most do, or has a dot" % prefix, BESIDE)
        if not strange:
            named.append(tunnel)
    return named, prefix


def ends(routers, lost):
    """Return the interfaces with one peer."""
    out, known = [], {interface.key for has in routers.values() for interface in has.interfaces.values()}
    for router, has in routers.items():
        if has.unnamed:
            lost.add(router, "an interface of WireGuard has a name that wg-quick does not take", "the mesh leaves it alone")
        for name in sorted(has.interfaces):
            interface = has.interfaces[name]
            end = End(router, interface)
            if len(interface.peers) > 1 and not known & set(interface.peers):
                what = "none of its %d peers is a router of the group" % len(interface.peers)
                lost.add(end.where, what, "it stays as it is; what is behind it is of no site unless you add it")
            elif len(interface.peers) != 1 or not interface.key:
                what = "%d peers" % len(interface.peers) if interface.key else "no private key"
                lost.add(end.where, "it has %s" % what, "a mesh has one interface a peer: %s" % BESIDE)
            else:
                out.append(end)
    return out


def mutual(all_ends, lost):
    """Return the tunnels: two ends, each with the key of the other as its peer."""
    by_key, out, taken = {}, [], set()
    for end in all_ends:
        by_key.setdefault(end.interface.key, []).append(end)
    for end in all_ends:
        others = by_key.get(end.far, [])
        if not others:
            lost.add(end.where, "its peer %s... is not a router of the group, or has several peers there" % end.far[:8], "it stays as it is")
            continue
        back = [other for other in others if other.router != end.router and other.far == end.interface.key]
        if not back:
            lost.add(end.where, "%s has no interface with the other end" % others[0].router, BESIDE)
        elif end not in taken:
            # Of several between the same two, the one whose port is called.
            free = [other for other in back if other not in taken]
            free.sort(key=lambda other: not any(calls(*way) for way in ((end, other), (other, end))))
            if free:
                taken |= {end, free[0]}
                out.append(Tunnel(end, free[0]))
    for end in all_ends:
        back = [other for other in by_key.get(end.far, []) if other.router != end.router and other.far == end.interface.key]
        if back and end not in taken:
            lost.add(end.where, "%s has no other end for it" % back[0].router, BESIDE)
    return out


def calls(end, other):
    return end.peer.endpoint is not None and end.peer.endpoint[1] == other.interface.port


def addressed(all_tunnels, lost):
    """Return the tunnels whose ends have addresses of one network."""
    out = []
    for tunnel in all_tunnels:
        one, other = tunnel.ends
        for mine in one.interface.addresses:
            for theirs in other.interface.addresses:
                fresh = all(mine.version != had.version for had in one.addresses)
                if fresh and mine.network == theirs.network and mine.ip != theirs.ip and mine.network.prefixlen < mine.max_prefixlen:
                    one.addresses.append(mine)
                    other.addresses.append(theirs)
        if not any(address.version == 4 for address in one.addresses):
            have = "%s and %s" % tuple(", ".join(map(str, end.interface.addresses)) or "no address" for end in tunnel.ends)
            lost.add(one.where, "%s at %s are in no IPv4 network of their own" % (have, other.router), BESIDE)
            continue
        for end in tunnel.ends:
            for address in end.interface.addresses:
                if address not in end.addresses:
                    lost.add(end.where, "address %s has no counterpart at the other end" % address, "it is taken away")
        out.append(tunnel)
    return out


def once(all_tunnels, lost):
    """Return one tunnel between two routers."""
    out, seen = [], set()
    for tunnel in all_tunnels:
        one, other = tunnel.ends
        if tunnel.pair in seen:
            lost.add(one.where, "a second tunnel to %s" % other.router, "a mesh has one: end this one by hand")
        else:
            seen.add(tunnel.pair)
            out.append(tunnel)
    return out


def one_key(all_tunnels, lost):
    """Return the tunnels that have the most common private key of their router: a mesh has one for each."""
    keys = {}
    for tunnel in all_tunnels:
        for end in tunnel.ends:
            keys.setdefault(end.router, Counter())[end.interface.key] += 1
    out = []
    for tunnel in all_tunnels:
        strange = [end for end in tunnel.ends if keys[end.router].most_common(1)[0][0] != end.interface.key]
        for end in strange:
            lost.add(end.where, "its private key is not that of the other interfaces", "a router of a mesh has one: %s" % BESIDE)
        if not strange:
            out.append(tunnel)
    return out


def prefix_of(names, routers):
    """Return what the names of the most interfaces begin with, and no other interface of a router."""
    wireguard = {(router, name) for router, has in routers.items() for name in set(has.interfaces) | has.ours}
    others = [name for router, has in routers.items() for name in has.names if (router, name) not in wireguard]
    candidates = {name[:length] for name in names if NAME.match(name) for length in range(1, min(len(name), 10) + 1)}
    fit = [c for c in candidates if not c[-1].isdigit() and not any(other.startswith(c) for other in others)]
    return max(fit, key=lambda c: (sum(name.startswith(c) for name in names), c.isalpha(), len(c), c), default="wg")
