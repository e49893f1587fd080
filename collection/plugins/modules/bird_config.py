#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
DOCUMENTATION = r"""
module: bird_config
short_description: Configure BIRD so that a bad change is undone by itself
version_added: 0.1.0
description:
  - Renders C(bird.conf) from structured options, lets BIRD's own parser check it, and lets the running BIRD try it out.
    Unless a later task confirms it over a new connection, BIRD restores the former configuration by itself, also when
    the controller is gone or the change cut the router off. The file on disk is changed only after the confirmation, so
    a crash or a reboot before that restores the former configuration, too.
  - One BGP session per neighbor, with BFD, and with IPv6 routes as well when the neighbor has IPv6 link addresses. eBGP
    between sites, iBGP within a site.
  - A prefix is accepted only if the AS at the end of its path is its owner, and only exactly as listed in C(owners). So
    a default route, a tunnel's network, a bogon, a more specific prefix or another site's prefix is never accepted,
    whoever sends it.
  - Routes of a subnet to which the host is connected always win. All routes of BIRD have a metric worse than any that
    DHCP or a network manager sets, and a network inside such a subnet is announced and not installed.
  - Asks the daemon itself which configuration it runs. The module finds and corrects a file that was changed but never
    loaded, a session that somebody disabled, and a change that was cut off half-way.
options:
  state:
    description:
      - C(applied) makes BIRD run the configuration. If that is a change, it waits C(timeout) seconds for its
        confirmation. Meanwhile a second, different change is refused, because BIRD keeps only one undo.
      - C(confirmed) keeps the waiting change and writes it to disk. It fails if BIRD has already taken the change back.
        It changes nothing if no change waits.
      - C(undone) takes the waiting change back at once. It changes nothing if no change waits.
      - C(floor) sets up I(unreachable), and the rule for routes that are C(outside) in I(static), and leaves BIRD
        alone. Use it before the kernel starts to forward (M(wgmesh.router.sysctl_router)). It removes nothing.
        C(applied) removes what is no longer wanted, or C(confirmed) if a change waited.
      - C(drained) and C(undrained) change only whether the router is drained, in the present configuration, and need no
        other option. C(drained) asks all neighbors to use other routers (GRACEFUL_SHUTDOWN, RFC 8326), and sends the
        site's own traffic through the site's other routers. All sessions stay up, so nothing is lost when the router
        then goes away. As with C(applied), the change waits for its confirmation. While one of the two waits, the other
        takes it back.
      - C(absent) stops BIRD and removes everything that this module made. If there was a C(bird.conf) before, it is
        restored, and BIRD runs it again. If not, the service is disabled. C(absent) needs no other option, and cannot
        be undone.
    type: str
    choices: [applied, confirmed, undone, floor, drained, undrained, absent]
    default: applied
  used_by:
    description:
      - Routers that may still use this one, by their names in the inventory. With I(state=absent), if one of them has a
        session with this router and this router is not drained, the module fails and changes nothing.
    type: list
    elements: str
    default: []
  timeout:
    description:
      - Seconds until BIRD takes an unconfirmed change back. C(0) keeps the change at once.
      - It guards only BIRD. With I(guard) both timeouts end at the same time, and M(wgmesh.router.mesh_guard) confirms
        both.
    type: int
    default: 120
  router_id:
    description:
      - BGP identifier, written as an IPv4 address and unique among all routers. Among equal paths the lowest one wins.
      - Required when C(state=applied).
    type: str
  as:
    description: AS number of the router's site. Required when C(state=applied).
    type: int
  transit:
    description:
      - Announce prefixes of third sites too, for neighbors that have lost their own tunnels to them.
      - A path has at most three AS numbers. So traffic may pass through two further sites, one after the other, and a
        chain has at most four sites. C(mesh_plan_info) plans no chain of more than three.
    type: bool
    default: false
  networks:
    description:
      - Networks of the router's site. The host's first address in them becomes the source of the router's own packets
        into the mesh (C(krt_prefsrc)), because the far ends have no route to a tunnel's address. An address on C(lo)
        comes last, because several hosts may have the same address there.
    type: list
    elements: str
    default: []
  static:
    description: Routes into the router's own site.
    type: list
    elements: dict
    default: []
    suboptions:
      network:
        description: The destination.
        type: str
        required: true
      via:
        description:
          - Address of the gateway. Without it, the route goes directly out of C(interface). A link-local address needs
            C(interface).
          - An own address of the host is the same as C(connected).
        type: str
      onlink:
        description: Treat the gateway as reachable although it is in no subnet of the host, as on GCP.
        type: bool
        default: false
      interface:
        description:
          - Interface of the gateway. With C(onlink) and without this option, it is the interface that has an address
            inside C(networks), or else the interface of the default route.
        type: str
      connected:
        description:
          - The host itself is the gateway. The route goes directly out of the interface that has an address in
            C(network), or else in C(networks). Use it instead of C(via).
        type: bool
        default: false
      derived:
        description:
          - Whether C(via) was not configured, but derived as the first address of a network. If it is in no subnet of
            the host, the gateway of the default route is used instead, provided that it is on an interface with an
            address inside C(networks).
        type: bool
        default: false
      outside:
        description:
          - For packets that the host itself sends, use the host's default route, whatever other sites announce. It is
            for the endpoint of a tunnel in another site's network, so that the tunnel's own packets do not go into a
            tunnel. Packets that the host forwards there do go into a tunnel. Use it instead of C(via).
          - BIRD follows the default route within a second when another one takes its place, or when its interface or
            gateway changes. For that it learns this one route from the kernel, and announces it to no neighbor. BIRD cannot
            learn a route whose gateway is in no subnet of the host and is not link-local. Then the gateway stays the one
            from the last run of this module.
          - BIRD puts these routes into the kernel's table 157157. A rule with the priority 32765 uses that table for
            packets from C(lo), which are those that the host itself sends. The rule is in the list of the floor
            (I(unreachable)) as C(::/0), and is added and removed with it. C(state=floor) adds it before BIRD moves the
            routes.
        type: bool
        default: false
      source:
        description:
          - The host's own address that its packets there carry (C(krt_prefsrc)), with C(outside). It is the endpoint
            that the other end knows. The kernel might choose another one of the host's addresses, and the other end,
            which then answers to that one, has no way to it outside of the tunnels.
          - Left out while the host has no such address, for example where it is the address of a NAT.
          - For an endpoint outside of all networks in C(owners), the route is only made where the host has this address and
            no route of its own there except the default route.
        type: str
  originate:
    description: Prefixes to announce. Each is announced while an entry of C(static) for exactly the same network
      exists.
    type: list
    elements: dict
    default: []
    suboptions:
      network:
        description: The prefix.
        type: str
        required: true
      med:
        description:
          - Traffic enters a site by the router with the lowest MED.
          - A route with up to C(50) through another router of the own site is as good as a route through an own tunnel
            with more than C(50).
        type: int
        default: 0
  owners:
    description: Which prefixes may have which AS as their origin, for all sites including the router's own.
    type: list
    elements: dict
    default: []
    suboptions:
      as:
        description: AS number of the owner.
        type: int
        required: true
      site:
        description: Name of the owner, for the comments in the file.
        type: str
      networks:
        description: Exactly these prefixes, and no more specific ones. A prefix has only one owner.
        type: list
        elements: str
        default: []
      carried:
        description: Whether none of its routers is a neighbor, and a neighbor carries its traffic. The owner then
          counts as a neighbor for I(unreachable).
        type: bool
        default: false
  neighbors:
    description: The BGP sessions.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the protocol in BIRD. Letters, digits and underscores. It must not be a keyword of BIRD.
        type: str
        required: true
      router:
        description: Name of the neighbor in the inventory, for C(established) and for the comments in the file.
        type: str
      interface:
        description: Interface of the tunnel.
        type: str
        required: true
      address:
        description: IPv4 address of the neighbor's end of the tunnel.
        type: str
        required: true
      local_address:
        description: IPv4 address of the own end.
        type: str
        required: true
      address6:
        description: IPv6 address of the neighbor's end, when the session carries IPv6 routes.
        type: str
      local_address6:
        description: IPv6 address of the own end.
        type: str
      as:
        description: AS number of the neighbor. The router's own AS makes it iBGP.
        type: int
        required: true
      transit:
        description: Accept prefixes of third sites from the neighbor too, not only its own.
        type: bool
        default: false
      import_limit:
        description:
          - Routes to accept from the neighbor per address family. Further routes are ignored, and the session stays up.
          - C(0) is twice the number of all owned prefixes.
        type: int
        default: 0
  bfd:
    description: Speed of failure detection. Both ends of a session should have the same values.
    type: dict
    default: {interval: 300, multiplier: 3}
    suboptions:
      interval:
        description: Milliseconds between two packets.
        type: int
        default: 300
      multiplier:
        description: The number of missing packets after which the path counts as dead.
        type: int
        default: 3
  drain:
    description:
      - With C(state=applied), whether the router is drained, as with C(state=drained) and C(state=undrained).
      - If not set, the present state of the router stays. It is a line of C(bird.conf), so a reboot keeps it, and so
        does a run with an older inventory.
    type: bool
  drain_why:
    description:
      - The reason of a drain, for people who look at the router meanwhile. One line of at most 100 bytes, without C(")
        and backslash.
      - If not set, the reason of a router that is already drained stays. With C(state=applied) it stays in any case.
      - A reason that ends with C(, run NAME) belongs to a run, and the text before that is the kind of the run. With
        C(state=drained) and such a reason, a router is refused if it is already drained for a reason other than that of
        a run of the same kind. A run of the kind C(replace) accepts any reason. With C(state=drained) and no reason, a
        router is refused if a run has drained it.
      - With C(state=undrained), the reason that has ended. A router that is now drained for another reason is refused.
    type: str
    default: ""
    version_added: 1.0.0
  unreachable:
    description:
      - Refuse packets to the networks of other sites that have a neighbor here, while no neighbor has a route to them.
        The sender is told at once.
      - This is the floor below BIRD's routes, and BIRD does not make it. For the largest of these networks the kernel
        has a route of type C(unreachable) in the main table, with the worst metric (4294967295) and the protocol number
        157. Any other route for such a network, or for a part of it, wins over it. So nothing leaves by the default
        route while BIRD is stopped, is upgraded or has no usable configuration.
      - The list is C(/etc/wgmesh/floor). With systemd and I(manage_unit), the unit C(wgmesh-floor.service) restores it
        at boot, before the sysctls, all networks and BIRD. C(/etc/systemd/networkd.conf.d/50-wgmesh.conf) keeps
        networkd from removing routes, rules and next hops that it did not make. If networkd runs, it is restarted once
        to read that file.
      - While a change waits for its confirmation without I(guard), the list stays as it was. C(state=confirmed) updates
        it to match the change, and needs no other option for that. If BIRD takes the change back, the list is
        unchanged.
      - With I(guard), the list is changed at once, and the guard takes it back with the change.
      - Only routes with that protocol number, and rules for the table 157157, are ever changed or removed.
      - With C(false) such packets use the host's other routes, usually the default route. They leave unencrypted, or
        come back from a cloud's route table that names this router. Choose this if another path, such as a leased line,
        is to carry them.
    type: bool
    default: true
  hold_time:
    description: Seconds without a BGP message after which a session ends. BFD is much faster. This is the fallback.
    type: int
    default: 30
  path:
    description:
      - BIRD's configuration file. The file from before the first run is kept, with C(.orig) added to its name, and
        C(state=absent) restores it.
      - Any later file that is not the module's also gets eight digits, for example C(bird.conf.orig-3fd30542). It is
        never removed.
      - The default is the file that the distribution's BIRD reads. C(/etc/bird/bird.conf) on Debian and Ubuntu,
        C(/etc/bird.conf) on EL and Fedora.
    type: path
  control_socket:
    description: BIRD's control socket.
    type: path
    default: /run/bird/bird.ctl
  service:
    description:
      - Systemd unit of BIRD, which is started if BIRD does not run.
      - With an empty string you have to start BIRD yourself. The file is still written.
    type: str
    default: bird
  manage_unit:
    description:
      - Keep a drop-in for C(service), if systemd runs. With it, a crashed BIRD is restarted in 200 ms, BIRD has
        priority, and C(systemctl reload) is refused while a change waits for its confirmation.
      - If BIRD is to run and C(service) is disabled, it is enabled; without I(guard) this happens when the change is
        kept. A unit that is masked or has nothing to enable stays as it is.
      - A copy of the file that was written last is kept, with C(.good) added to its name. If BIRD refuses its file at a
        start, or the file is cut off as after a power cut, BIRD starts with the copy, and says so in one line. The file
        is kept with C(.damaged) added. A file that was changed by hand and that BIRD accepts is left alone.
    type: bool
    default: true
extends_documentation_fragment: [wgmesh.router.attributes, wgmesh.router.guard, wgmesh.router.mesh]
attributes:
  check_mode:
    details:
      - The configuration is checked by BIRD's parser in check mode too. A BIRD that does not run, and cannot be started
        without systemd, is a warning there.
  diff_mode:
    details:
      - Shows the text on disk before and after, and what the daemon does. It contains no secrets.
requirements:
  - BIRD 2.0.8 or a later 2, or 3.1 or a later 3, on the target. Any other version is refused before anything is
    written. The configuration differs between the two, so run this module again after an upgrade from BIRD 2 to 3.
seealso:
  - module: wgmesh.router.mesh_plan_info
  - module: wgmesh.router.mesh_status_info
  - name: BIRD 2 manual
    description: The language that the options are named after.
    link: https://bird.network.cz/?get_doc&f=bird.html&v=20
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
- name: Announce an office network to the router of a data center
  wgmesh.router.bird_config:
    router_id: 0.0.0.1
    as: 65010
    networks: [10.0.0.0/16]
    static:
      - network: 10.0.0.0/16
        via: 10.0.0.1
    originate:
      - network: 10.0.0.0/16
    owners:
      - {as: 65010, site: office, networks: [10.0.0.0/16]}
      - {as: 65020, site: dc, networks: [10.1.0.0/16]}
    neighbors:
      - name: dc_1
        router: dc-1
        interface: wg1
        address: 198.18.1.2
        local_address: 198.18.1.1
        as: 65020
  register: bird

# The connection must be a new one: a router that cut itself off cannot confirm.
- name: Close the connection
  ansible.builtin.meta: reset_connection

- name: Keep the change
  wgmesh.router.bird_config:
    state: confirmed
  when: bird.pending

- name: Take the routing from the plan of a mesh
  wgmesh.router.bird_config:
    router_id: "{{ mesh.plan.bird.router_id }}"
    as: "{{ mesh.plan.bird.as }}"
    transit: "{{ mesh.plan.bird.transit }}"
    networks: "{{ mesh.plan.bird.networks }}"
    static: "{{ mesh.plan.bird.static }}"
    originate: "{{ mesh.plan.bird.originate }}"
    owners: "{{ mesh.plan.bird.owners }}"
    neighbors: "{{ mesh.plan.bird.neighbors }}"
    bfd: "{{ mesh.plan.bird.bfd }}"
"""

RETURN = r"""
pending:
  description: Whether a change waits for C(state=confirmed). In check mode, whether one would.
  returned: success
  type: bool
  sample: true
disruptive:
  description: BGP sessions that the change restarts, by the names of their protocols. All others stay up.
  returned: success
  type: list
  elements: str
  sample: [azure_1]
drained:
  description: Whether the router is drained when the change is done.
  returned: success
  type: bool
  sample: false
drained_why:
  description: The reason of the drain, as given in C(drain_why).
  returned: success
  type: str
  sample: a new kernel
established:
  description: Routers whose BGP sessions were up before the change, by C(router) of C(neighbors).
  returned: success
  type: list
  elements: str
  sample: [azure-1, gcp-1]
source_addresses:
  description: The host's own addresses inside C(networks). The first of each family is the source of its own packets.
  returned: success
  type: list
  elements: str
  sample: [10.1.1.4]
done:
  description: What was done, in words, also when the module failed half-way.
  returned: changed
  type: list
  elements: str
  sample: ["configured BIRD, which takes it back in 120 s unless it is confirmed"]
armed:
  description: A change of this router, of this module or another one of the run, waits for M(wgmesh.router.mesh_guard).
  returned: when I(guard) is not 0
  type: bool
  sample: true
change:
  description: The name of that change, for the option I(change) of M(wgmesh.router.mesh_guard). Empty when none waits.
  returned: when I(guard) is not 0
  type: str
  sample: k3v7q2m5x4ab/3
routed:
  description: The networks to which BIRD had a way through a tunnel when that change began. Empty when no change waits.
  returned: when I(guard) is not 0
  type: list
  elements: str
  sample: [10.0.0.0/16]
silent:
  description: Those of I(worked) that did not answer each ping when that change began. Empty when no change waits.
  returned: when I(guard) is not 0
  type: list
  elements: str
  sample: []
worked:
  description: The routers whose BGP sessions, and BFD sessions, were up when that change began. Empty when no change waits.
  returned: when I(guard) is not 0
  type: list
  elements: str
  sample: [aws-1, office-1]
worked_over:
  description: The tunnels of I(worked), since a change may give a router another name. Empty when no change waits.
  returned: when I(guard) is not 0
  type: list
  elements: dict
  sample: [{peer: aws-1, name: wg20, address: 100.64.0.41}]
  contains:
    peer: {description: The name that the router had when that change began., type: str}
    name: {description: The interface., type: str}
    address: {description: The address of the router in the tunnel., type: str}
"""
