#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
DOCUMENTATION = r"""
module: bird_config
short_description: Configure BIRD so that a bad change takes itself back
version_added: 0.1.0
description:
  - Renders C(bird.conf) from structured options, lets BIRD's own parser check it, and lets the running BIRD try it out.
    Unless a later task confirms it, over a new connection, BIRD goes back by itself, also when the controller is gone
    or the change cut the router off. The file on disk is touched only after the confirmation, so a crash or a reboot
    meanwhile goes back too.
  - One BGP session per neighbor, with BFD, and with IPv6 routes as well when the neighbor has IPv6 link addresses. eBGP
    between sites, iBGP within a site.
  - A prefix is accepted only if the AS at the end of its path is its owner, and only exactly as listed in C(owners). So
    a default route, a tunnel's network, a bogon, a more specific prefix or another site's prefix is never taken,
    whoever sends it.
  - A subnet that the host is connected to is never beaten. All routes have a metric worse than any that DHCP or a
    network manager gives, and a network that lies inside of such a subnet is announced and not installed.
  - Asks the daemon itself which text it runs. A file that was changed but never loaded, a session that someone disabled
    and a change that was cut off half-way are noticed and mended.
options:
  state:
    description:
      - C(applied) makes BIRD run the configuration. When that is a change, it waits for its confirmation for C(timeout)
        seconds. A second and different change is refused meanwhile, because BIRD keeps one undo only.
      - C(confirmed) keeps the change that waits and writes it to disk. Fails when BIRD has taken it back already. No
        change when nothing waits.
      - C(undone) takes the change that waits back at once. No change when nothing waits.
      - C(floor) sees to I(unreachable), and to the rule for what is C(outside) in I(static), and leaves BIRD alone. Meant
        to come before the kernel is told to forward (M(wgmesh.router.sysctl_router)). It takes nothing away;
        C(applied) does that, or C(confirmed) when a change waited.
      - C(drained) and C(undrained) change nothing of the configuration that is there but whether the router is drained,
        and need no other option. C(drained) asks all neighbors to use other routers (GRACEFUL_SHUTDOWN, RFC 8326), and
        sends the site's own traffic by the site's other routers. All sessions stay up, so nothing is lost when the
        router then goes away. As with C(applied), the change waits for its confirmation. While one of them waits, the other
        takes it back.
      - C(absent) ends BIRD and takes away all that this module made. A C(bird.conf) that was there before it is put
        back, and BIRD runs that one again; without one the service is disabled. It needs no other option, and cannot be
        taken back.
    type: str
    choices: [applied, confirmed, undone, floor, drained, undrained, absent]
    default: applied
  used_by:
    description:
      - Routers that may still use this one, by their names in the inventory. With I(state=absent) it is an error, and
        nothing is changed, when one of them has a session with it and it is not drained.
    type: list
    elements: str
    default: []
  timeout:
    description:
      - Seconds until BIRD takes an unconfirmed change back. C(0) keeps the change at once.
      - It guards BIRD alone. With I(guard) both run out together, and M(wgmesh.router.mesh_guard) confirms both.
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
      - A path has at most three AS numbers. So two sites may carry, one after the other, and a chain has four sites
        at most. C(mesh_plan_info) plans no chain of more than three.
    type: bool
    default: false
  networks:
    description:
      - Networks of the router's site. The host's first address in them becomes the source of the router's own packets
        into the mesh (C(krt_prefsrc)), because the far ends have no route to a tunnel's address. One on C(lo) comes last,
        because several hosts may have the same there.
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
          - Address of the gateway. Without it, the route goes straight out of C(interface). A link-local one needs
            C(interface).
          - An address of the host's own is the same as C(connected).
        type: str
      onlink:
        description: Take the gateway as reachable although it is in no subnet of the host, as on GCP.
        type: bool
        default: false
      interface:
        description:
          - Interface of the gateway. With C(onlink) and without this, it is the interface that has an address inside
            C(networks), or else that of the default route.
        type: str
      connected:
        description:
          - The host itself is the gateway. The route goes straight out of the interface that has an address in
            C(network), or else in C(networks). It is instead of C(via).
        type: bool
        default: false
      derived:
        description:
          - Nobody gave C(via), it is the first address of a network. Where it is in no subnet of the host, the gateway
            of the default route counts instead, if that is on an interface with an address inside C(networks).
        type: bool
        default: false
      outside:
        description:
          - The way is the host's default route, whatever other sites announce, for what the host itself sends. For the end of
            a tunnel that is in another site's network, so that the tunnel's own packets do not go into a tunnel. What the host
            forwards there does. It is instead of C(via).
          - BIRD follows the default route within a second when another one takes its place, or when its interface or gateway
            changes. For that it learns this one route from the kernel, which no neighbor hears of. BIRD learns none by a gateway
            that is in no subnet of the host and is not link-local; such a gateway is the one that there is when this module runs.
          - BIRD has these routes in the kernel's table 157157. A rule of the priority 32765 leads there what comes from C(lo), which
            is what the host itself sends. The rule is in the list of the floor (I(unreachable)) as C(::/0), and comes and goes with it.
            C(state=floor) brings it before BIRD moves the routes.
        type: bool
        default: false
  originate:
    description: Prefixes to announce, each while an entry of C(static) for the very same network stands.
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
          - Of the routers of one site, traffic enters by the one with the lowest MED.
          - A way with up to C(50) that another router of the own site knows is as good as one by an own tunnel with
            more than C(50).
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
        description: Exactly these prefixes and no more specific ones. A prefix has one owner.
        type: list
        elements: str
        default: []
      carried:
        description: None of its routers is a neighbor, and a neighbor carries its traffic. It counts as a neighbor for
          I(unreachable).
        type: bool
        default: false
  neighbors:
    description: The BGP sessions.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the protocol in BIRD. Letters, digits and underscores, and no word of BIRD's language.
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
        description: Believe the neighbor about prefixes of third sites too, not only about its own.
        type: bool
        default: false
      import_limit:
        description:
          - Routes taken from the neighbor per address family. What is beyond is ignored, and the session stays.
          - C(0) is twice the number of all owned prefixes.
        type: int
        default: 0
  bfd:
    description: Pace of failure detection. Both ends of a session should have the same.
    type: dict
    default: {interval: 300, multiplier: 3}
    suboptions:
      interval:
        description: Milliseconds between two packets.
        type: int
        default: 300
      multiplier:
        description: So many packets missing mean that the path is dead.
        type: int
        default: 3
  drain:
    description:
      - With C(state=applied), whether the router is drained, as C(state=drained) and C(state=undrained) make it.
      - Without it, that stays as it is on the router. It is a line of C(bird.conf), so a reboot keeps it too, and so
        does a run with an older inventory.
    type: bool
  drain_why:
    description:
      - The reason of a drain, for whoever looks at the router meanwhile. One line of at most 100 bytes without C(") and
        backslash.
      - Without it, the reason of a router that is drained already stays as it is. With C(state=applied) it does so in any case.
      - One that ends in C(, run NAME) is of a run, and what is before that is its kind. With C(state=drained) a run refuses a router that
        is drained for another reason than a run of its kind, unless that is C(replace); and without a reason one of a run is refused.
      - With C(state=undrained), the reason that has ended. A router that is drained for another one by now is refused.
    type: str
    default: ""
    version_added: 1.0.0
  unreachable:
    description:
      - Refuse packets to what the AS of a neighbor in another site owns while no neighbor has a way to it. The sender
        is told at once.
      - This is the floor below BIRD's routes, and not BIRD's. For the outermost of these networks the kernel has a
        route of type C(unreachable), of the worst metric (4294967295), with the protocol number 157, in the main table.
        Any other route for such a network, or for a part of it, wins over it. So nothing leaves by the default route
        while BIRD is stopped, upgraded or has no configuration that it can use.
      - The list is C(/etc/wgmesh/floor). With systemd and I(manage_unit), the unit C(wgmesh-floor.service) brings it
        back at boot, before the sysctls, all networks and BIRD. C(/etc/systemd/networkd.conf.d/50-wgmesh.conf) keeps
        networkd from removing routes, rules and next hops that it did not make; where networkd runs it is restarted, once, to read that.
      - While a change waits for its confirmation without I(guard), the list stays as it was. C(state=confirmed) brings it
        up to the change, and needs no other option for that. What BIRD takes back leaves nothing refused.
      - With I(guard), what is to be refused is so at once, and the guard takes it back with the change.
      - Only routes with that protocol number, and rules for the table 157157, are ever changed or removed.
      - With C(false) they go by the host's other routes, by the default route as a rule, and leave unencrypted, or come
        back from a cloud's route table that names this router. Choose it where another way, such as a leased line,
        is to carry them then.
    type: bool
    default: true
  hold_time:
    description: Seconds without a BGP message after which a session ends. BFD is much faster. This is its backstop.
    type: int
    default: 30
  path:
    description:
      - BIRD's configuration file. The one from before the first run is kept, with C(.orig) added, and put back by C(state=absent).
      - Any other that is not the module's has eight digits, too, for example C(bird.conf.orig-3fd30542). It is never removed.
      - Without it, the one that the distribution's BIRD reads. C(/etc/bird/bird.conf) on Debian and Ubuntu,
        C(/etc/bird.conf) on EL and Fedora.
    type: path
  control_socket:
    description: BIRD's control socket.
    type: path
    default: /run/bird/bird.ctl
  service:
    description:
      - Systemd unit of BIRD, which is started when BIRD does not run.
      - An empty string leaves starting BIRD to you. The file is written.
    type: str
    default: bird
  manage_unit:
    description:
      - Keep a drop-in for C(service), where systemd runs. A crashed BIRD is restarted in 200 ms, it has priority, and
        C(systemctl reload) is refused while a change waits for its confirmation.
      - Where BIRD is to run and C(service) is disabled, it is enabled, without I(guard) when the change is kept. A unit
        that is masked or has nothing to enable stays as it is.
      - A copy of the file that was written last is kept, with C(.good) added. When BIRD is to start and refuses its
        file, or the file breaks off as a power cut leaves one, it starts with the copy, and says so in one line. The
        file is kept with C(.damaged) added. A file that was changed by hand and that BIRD accepts is left alone.
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
      - The text on disk before and after, and what the daemon does. It has no secrets.
requirements:
  - BIRD 2.0.8 or a later 2, or 3.1 or a later 3, on the target. Any other is refused before a write. The text is not
    the same for both, so this module has to run again after an upgrade from BIRD 2 to 3.
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
  description: A change waits for C(state=confirmed). In check mode, whether one would.
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
  description: The reason of the drain, C(drain_why) of whoever drained it.
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
    peer:
      description: The name that the router had when that change began.
      type: str
    name:
      description: The interface.
      type: str
    address:
      description: The address of the router in the tunnel.
      type: str
"""
