#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
DOCUMENTATION = r"""
module: mesh_plan_info
short_description: Compute one router's part of a WireGuard and BGP mesh
version_added: 1.0.0
description:
  - Takes the whole mesh and returns what follows from it for one router, in the options of the other modules of this
    collection. Tunnels, addresses, ports, MTUs, allowed IPs, BGP neighbors, announced prefixes and kernel settings.
  - Every pair of routers has one tunnel with one number on both ends. For the ids i < j it is (j-1)(j-2)/2 + i, so it
    never moves when other routers come or go. Tunnel 20 is interface C(wg20), UDP port 51820 and link network number 20
    of the pool at both ends.
  - Refuses a mesh that cannot work, with every problem listed at once, one line each. Among them are overlapping
    networks, ids and AS numbers that are used twice, an endpoint inside a network that is routed into the tunnels, a
    link pool that is too small or in use, and unknown sites and zones.
  - Warns about what works but is rarely intended, in the same words for each router, so that Ansible shows it once.
    Examples are AS numbers that are not private, endpoints of different families, and two routers without a tunnel
    because neither has an endpoint. The last is refused only if no third router can carry their traffic.
  - Is pure. It reads nothing but its options, I(gate_file) and I(tunnel_directory), and changes nothing.
options:
  router:
    description: Name of the router to plan, one of C(routers).
    type: str
    required: true
  gate_file:
    description:
      - The file C(gate.json) of M(wgmesh.router.mesh_gate) on this router. A router that was removed from the mesh, by
        the mesh play or because most of the others report it as removed, is absent from the plan, whatever I(routers)
        says, with a warning.
      - Use it for a router that joins by itself, whose inventory may be older, and for plays that take one router after
        the other, since the inventory may not yet have the removed routers as absent. If empty, as in the mesh play,
        I(routers) decides.
    type: path
    default: ""
  tunnel_directory:
    description:
      - Folder of the router's tunnels, C(/etc/wireguard). With it, a I(link_pool) is refused if it would give other
        addresses to tunnels that M(wgmesh.router.wg_tunnel) has made. The role C(mesh) sets it while the inventory does
        not set C(mesh_link_pool), so that a new default does not change addresses.
    type: path
    default: ""
  known_only:
    description:
      - Leave out the routers to which I(gate_file) has no tunnel, so that an inventory that is too old makes nothing
        new.
    type: bool
    default: false
  faults:
    description:
      - How many things fail together on a model of the mesh, C(one) or C(two) as in M(wgmesh.router.mesh_preview_info).
        C(auto) is two for up to 20 routers. What such a fault cuts is in C(faults), and each is a warning.
      - The controller tries the faults once for each host of the task, so let one host do it. A step of
        M(wgmesh.router.mesh_steps) does not have this option.
    type: str
    choices: [none, one, two, auto]
    default: none
extends_documentation_fragment: [wgmesh.router.plan, wgmesh.router.attributes]
attributes:
  check_mode:
    details:
      - Nothing is ever changed.
  diff_mode:
    support: none
    details:
      - There is nothing to compare with.
  idempotent:
    details:
      - The same options give the same plan, whatever the order of dictionaries.
seealso:
  - module: wgmesh.router.wg_tunnel
  - module: wgmesh.router.wg_psk
  - module: wgmesh.router.bird_config
  - module: wgmesh.router.sysctl_router
  - module: wgmesh.router.mesh_preview_info
  - module: wgmesh.router.mesh_status_info
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
- name: Plan a mesh of two sites
  wgmesh.router.mesh_plan_info:
    router: "{{ inventory_hostname }}"
    routers:
      office-1: {id: 1, site: office, endpoint: 192.0.2.11}
      azure-1: {id: 2, site: azure, zone: "1", endpoint: 203.0.113.11}
      azure-2: {id: 3, site: azure, zone: "2", endpoint: 203.0.113.12}
    sites:
      office:
        as: 65010
        networks: [10.0.0.0/16]
      azure:
        as: 65020
        cloud: azure
        networks: [10.1.0.0/16]
        zones:
          "1": [10.1.1.0/24]
          "2": {networks: [10.1.2.0/24], gateway: 10.1.2.254}
  register: mesh

- name: Plan the mesh of the inventory
  wgmesh.router.mesh_plan_info:
    router: "{{ inventory_hostname }}"
    routers: "{{ groups.routers | wgmesh.router.members(hostvars) }}"
    sites: "{{ mesh_sites }}"
  register: mesh

- name: Say what two faults cut, before anything is made
  wgmesh.router.mesh_plan_info:
    router: azure-1
    routers: "{{ groups.routers | wgmesh.router.members(hostvars) }}"
    sites: "{{ mesh_sites }}"
    faults: two
  delegate_to: localhost
  run_once: true
  register: tried
  failed_when: tried.faults | length > 0

- name: Make the tunnels of the plan
  wgmesh.router.wg_tunnel:
    tunnels: "{{ mesh.plan.tunnels }}"
    public_keys: "{{ public_keys }}"
"""

RETURN = r"""
faults:
  description: What the faults of the option I(faults) cut, one line each.
  returned: when I(faults) is not C(none)
  type: list
  elements: str
  sample: ["without router gcp-1: nobody reaches gcp, which has no other router"]
left_out:
  description: The routers that C(routers) has as present and I(gate_file) keeps out.
  returned: success
  type: list
  elements: str
  sample: []
plan:
  description: What follows from the mesh for C(router). All lists are sorted, and none is null.
  returned: success
  type: dict
  contains:
    router:
      description: The router itself.
      type: dict
      sample: {name: aws-1, id: 5, site: aws, zone: a, as: 65030}
    tunnels:
      description: For the option of the same name of M(wgmesh.router.wg_tunnel).
      type: list
      elements: dict
      sample:
        - name: wg20
          listen_port: 51820
          addresses: [198.18.20.1/24]
          mtu: 1400
          peers:
            - name: gcp-1
              endpoint: 198.51.100.71:51820
              allowed_ips: [10.0.0.0/16, 10.1.0.0/16, 10.3.0.0/16, 198.18.20.0/24]
              persistent_keepalive: 25
              preshared_key_file: /etc/wireguard/wgmesh-psk/20.psk
    measure:
      description:
        - For M(wgmesh.router.mesh_measure_info), C(tunnels) of which this router is the initiator, with C(name),
          C(peer), C(address) and, unless the peer has none, C(endpoint).
      type: dict
    gate:
      description:
        - For M(wgmesh.router.mesh_gate), C(peers) with C(name) and C(host_key) of those that have a host key, and
          C(removed) with C(name), C(id) and C(host_key) of the routers that are absent in I(routers). C(apart) has
          C(name) and C(id) of the other routers that have no tunnel to this one, if there are any.
      type: dict
    failover:
      description:
        - For C(/etc/wgmesh/failover.json), which the role C(routes) writes for C(wgmesh-cloud failover). All lists are
          empty at a site without C(route_tables).
      type: dict
      contains:
        router:
          description: The router itself.
          type: str
          sample: aws-1
        cloud:
          description: The cloud of its site.
          type: str
          sample: aws
        prefixes:
          description: Networks of the other sites that have a router, of the address families of the router's own site.
          type: list
          elements: str
          sample: [10.0.0.0/16, 10.1.0.0/16]
        tables:
          description: Route tables of the router's zone.
          type: list
          elements: str
          sample: [rtb-0a]
        after:
          description: How long a session has to be down, in milliseconds. It is one BFD interval.
          type: int
          sample: 300
        peers:
          description: Routers of other sites with the BFD sessions to them.
          type: list
          elements: dict
          sample: [{name: office-1, interface: wg7, address: 198.18.7.1}]
        partners:
          description: The other routers of the site, their tables, and which routers come before this one in taking
            these tables.
          type: list
          elements: dict
          sample: [{name: aws-2, interface: wg15, address: 198.18.15.2, tables: [rtb-0c], before: []}]
    preshared_keys:
      description: For the option C(tunnels) of M(wgmesh.router.wg_psk). The router with the lower id is the initiator.
      type: list
      elements: dict
      sample: [{number: 20, peer: gcp-1, role: initiator}]
    bird:
      description: For the options of the same names of M(wgmesh.router.bird_config).
      type: dict
      contains:
        router_id:
          description: The router's id as a dotted quad.
          type: str
          sample: 0.0.0.5
        as:
          description: AS number of the router's site.
          type: int
          sample: 65030
        transit:
          description: Whether the router's site may carry traffic between other sites.
          type: bool
        networks:
          description: Networks of the router's site.
          type: list
          elements: str
          sample: [10.2.0.0/16]
        static:
          description: Routes to the networks and subnets of the router's site. There is C(interface) too where the
            gateway names one, and C(connected), C(derived), C(outside) and C(source) as in M(wgmesh.router.bird_config).
          type: list
          elements: dict
          sample: [{network: 10.2.0.0/16, via: 10.2.1.1, onlink: false}]
        originate:
          description: Prefixes that the router announces, the lower MED being preferred.
          type: list
          elements: dict
          sample: [{network: 10.2.0.0/16, med: 50}, {network: 10.2.1.0/24, med: 0}, {network: 10.2.2.0/24, med: 100}]
        owners:
          description: All prefixes that may be announced, by the site that owns them.
          type: list
          elements: dict
          sample: [{as: 65040, site: gcp, networks: [10.3.0.0/16, 10.3.1.0/24]}]
        neighbors:
          description: BGP sessions, one for each tunnel. With IPv6 there are C(address6) and C(local_address6) too.
          type: list
          elements: dict
          sample:
            - name: gcp_1
              router: gcp-1
              interface: wg20
              address: 198.18.20.2
              local_address: 198.18.20.1
              as: 65040
              transit: true
              import_limit: 14
        bfd:
          description: BFD interval in milliseconds, and the number of missing packets after which the path counts as
            dead.
          type: dict
          sample: {interval: 300, multiplier: 3}
    sysctl:
      description: For the options of the same names of M(wgmesh.router.sysctl_router).
      type: dict
      sample: {ipv6: false, reserved_ports: [51801, 51820], interfaces: [wg1, wg20]}
    status:
      description: For the options of the same names of M(wgmesh.router.mesh_status_info).
      type: dict
      contains:
        tunnels:
          description: The tunnels with the names of their BGP sessions, the peers' link addresses and AS numbers, and
            the networks of their sites.
          type: list
          elements: dict
          sample: [{name: wg20, peer: gcp-1, neighbor: gcp_1, address: 198.18.20.2, mtu: 1400, listen_port: 51820, as: 65040, networks: [10.3.0.0/16]}]
        prefixes:
          description: Prefixes of the other sites that have a present router. C(transit) lists the sites, by their AS
            numbers, that have no tunnel to that site and need this router's site to carry their traffic there.
          type: list
          elements: dict
          sample: [{network: 10.3.0.0/16, site: gcp, as: 65040, transit: []}]
        source_networks:
          description: Networks of the router's own site, from which test traffic has to come.
          type: list
          elements: str
          sample: [10.2.0.0/16]
"""
