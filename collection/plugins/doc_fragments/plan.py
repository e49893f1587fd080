# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of what plans a mesh: who its routers are, and where."""


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  routers:
    description:
      - All routers of the mesh by name, not only those of this run.
      - C(id) is a small number, C(1) to C(166) with the default ports, that is unique in the mesh and is kept for life (required).
      - C(site) is the router's site, one of C(sites) (required).
      - C(zone) is the router's zone, one of the zones of its site.
      - C(endpoint) is the IP address at which the other routers reach it. Leave it out for a router that cannot be
        reached from outside. Two such routers have no tunnel, and a third router carries their traffic. An IPv6 address
        may be in a network of the router's own site, as in a cloud. The routers of other sites themselves reach this
        address outside the tunnels, and their nodes reach it through them.
      - C(endpoint_port_base) is I(port_base) for this router alone, at C(endpoint) and on the router. Routers behind
        one public address need different values. Each gets a range of ports that is forwarded to it.
      - C(listen_port_base) sets the ports on which the router listens, if the forwarding changes the ports.
      - C(endpoints) are addresses that the routers of some sites use in place of C(endpoint), by the name of their
        site. They are direct, with the ports on which the router listens. For routers of one site behind one address,
        use the address in the LAN.
      - C(state) is C(present) (the default) or C(absent). An absent router has no tunnels, but its id stays taken.
      - C(gateway) is the next hop towards the networks of the router's own site, as C(address) or C(address%interface),
        or a list of one for IPv4 and one for IPv6. If not set, the first of these that exists is used - the gateway of
        the router's zone, the gateway of its site, the first host address of the zone's first network, and the first
        host address of the site's first network.
      - C(gateway=none) means that the router itself is the gateway, with the site's networks on its own interfaces. It
        applies to the address families for which no other gateway is given. It is not needed if the derived gateway is
        an own address of the router.
      - C(probe) lists hosts behind the router that answer ping. The other routers use them to test whether it forwards.
      - C(host_key) is the public half of the router's SSH host key, C(ssh-ed25519 AAAA...), for routers that join by
        themselves at boot. They recognise each other by it; see M(wgmesh.router.mesh_gate).
      - C(route_tables) are the ids of AWS's route tables of the router's zone. The router keeps them pointed at itself,
        and another router of its site takes them while it is down. A table belongs to one router only.
      - C(links) are ends of tunnels that existed before the mesh, by the name of the peer. Each has C(interface),
        C(listen_port), C(endpoint_port) (if the forwarding changes it) and C(addresses), one per family, with the
        length of the link network. Values that are left out follow from the tunnel's number. The play
        C(wgmesh.router.adopt) writes them.
    type: dict
    required: true
  sites:
    description:
      - The sites of the mesh by name.
      - C(as) is the site's AS number, which no other site has (required). There is a warning for a number that is not
        private (RFC 6996), and for C(64512) and C(65515), which gateways of AWS and Azure use.
      - C(networks) is a list of the prefixes that the site owns, IPv4, IPv6 or both (required).
      - C(zones) are the site's failure domains by name. Each is a list of subnets, or a dictionary of C(networks) and
        C(gateway). Traffic to these subnets enters the site by a router of the zone as long as one is alive.
      - C(cloud) is C(azure), C(aws), C(gcp) or C(other) (the default, and what any other word counts as). It sets the
        MTU outside the tunnels to 1400, 1500, 1460 and 1500.
      - C(mtu) is that MTU in bytes, if the cloud's value is not right.
      - C(gateway) is as in C(routers), for all routers of the site.
      - C(probe) is as in C(routers), for all routers of the site.
      - C(onlink=true) means that the gateway is in no subnet of the router's own address, as on GCP.
      - C(transit=false) means that the site must not carry traffic between two others that have lost their direct
        tunnels.
    type: dict
    required: true
  link_pool:
    description:
      - IPv4 network from which the link networks of the tunnels are taken. No site and no router may use any part of
        it.
      - The default is from the range for benchmarking devices (RFC 2544), which no cloud, VPC, container engine or
        provider assigns. Before 1.0.0 it was 172.31.0.0/16, the default VPC of AWS.
    type: str
    default: 198.18.0.0/16
  link_prefix_length:
    description:
      - Length of an IPv4 link network, C(8) to C(31). The router with the lower id has its first host address.
      - With C(24) and the default C(link_pool), tunnel 20 has 198.18.20.0/24.
    type: int
    default: 31
  link_pool6:
    description:
      - IPv6 network from which the link networks of the tunnels, a /127 each, are taken. It is used only if some site
        has IPv6 networks.
      - The default is a unique local prefix that spells C(wgmesh) in ASCII. If you already have a unique local prefix,
        use a /64 of it.
    type: str
    default: "fd77:676d:6573:6800::/64"
  port_base:
    description: This plus a tunnel's number is its UDP port at both ends, unless a router has its own.
    type: int
    default: 51800
  interface_prefix:
    description: This followed by a tunnel's number is its interface. Linux allows 15 characters in all.
    type: str
    default: wg
  persistent_keepalive:
    description: Seconds between keepalive packets, or C(0) for none.
    type: int
    default: 25
  bfd:
    description: How fast BFD notices that a tunnel is dead. C(normal) is 3 x 300 ms, C(fast) is 3 x 100 ms.
    type: str
    choices: [normal, fast]
    default: normal
  preshared_key_directory:
    description: Folder on the router for the pre-shared keys of its tunnels. Only their paths are in the plan.
    type: path
    default: /etc/wireguard/wgmesh-psk
"""
