# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What routers that were made by hand send to each other, and let in, compared with the networks of the sites."""

from __future__ import annotations

from collections import Counter

from ansible_collections.wgmesh.router.plugins.plugin_utils.hand_sites import inside
from ansible_collections.wgmesh.router.plugins.plugin_utils.hand_tunnels import LONGEST

THEY_END = ("%s, which others send there, are of no site", "they end: add them to mesh_sites.%s.networks")
IT_ENDS = ("%s, which others send there, is of no site", "it ends: add it to mesh_sites.%s.networks")


def among(network, networks):
    return any(inside(network, one) for one in networks)


def outside(routers, sites, lost):
    """Tell of networks that go from router to router, by AllowedIPs or a route of the kernel's, and are of no site. What BIRD announces
    by protocol direct, or has learnt from the kernel, is one of the others' routes."""
    keys = {interface.key: name for name, has in routers.items() for interface in has.interfaces.values()}
    known, sent = [network for networks in sites.networks.values() for network in networks], {}
    for name, has in routers.items():
        for interface in has.interfaces.values():
            for peer, far in [(peer, keys[key]) for key, peer in interface.peers.items() if key in keys]:
                known += [address.network for address in interface.addresses]
                ways = [way for way in interface.ways if len(interface.peers) == 1 or among(way, peer.allowed)]
                if any(way.prefixlen == 0 for way in ways):
                    lost.add("%s %s" % (name, interface.name), "the default route leads into it", "it ends")
                for network in sorted({*peer.allowed, *ways}, key=str):
                    sent.setdefault(network, Counter())[sites.of[far]] += 1
    left = {}
    for network in sorted(sent, key=lambda n: (n.version, n)):
        if network.prefixlen and not network.is_link_local and not network.is_multicast and not among(network, known):
            left.setdefault(sent[network].most_common(1)[0][0], []).append(str(network))
    for site, networks in left.items():
        for some in packed(networks, LONGEST - len("site : : ") - 2 * len(site) - len("".join(THEY_END))):
            found, do = THEY_END if len(some) > 1 else IT_ENDS
            lost.add("site " + site, found % ", ".join(some), do % site)


def packed(words, room):
    """Return lists of the words, each as long as fits."""
    out, used = [], room
    for word in words:
        used += len(word) + 2
        if used > room or not out:
            out.append([])
            used = len(word)
        out[-1].append(word)
    return out


def wider(tunnels, sites, lost):
    """Tell what comes out of a tunnel that did not: the mesh lets in all other sites, since a third one may have to carry their traffic."""
    for tunnel in tunnels:
        for end, other in (tunnel.ends, tunnel.ends[::-1]):
            mine, far = sites.of[end.router], sites.of[other.router]
            shut = {site for site, networks in sites.networks.items() if site != mine and not all(among(n, end.peer.allowed) for n in networks)}
            if far in shut:
                lost.add(end.where, "AllowedIPs have not all of site %s" % far, "the mesh's have")
            if shut - {far} and sites.entries[far].get("transit") is not False:
                lost.add(end.where, "AllowedIPs have not all of third sites", "the mesh's have, but for a site with transit: false")
