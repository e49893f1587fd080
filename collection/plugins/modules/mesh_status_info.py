#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The module itself is a binary, which the collection's action plugin brings to
# the host. This file is its documentation.

DOCUMENTATION = r"""
module: mesh_status_info
short_description: Report whether the tunnels of a router work, and name each fault
version_added: 1.0.0
description:
  - Looks at the WireGuard handshake, the BGP and the BFD session of each tunnel, pings through it with packets of its
    whole MTU, looks for every expected network in the kernel's routes, and pings other routers from site to site.
  - Names each problem in one line, with what was expected and what to do next. For a tunnel it names the cause, not its
    consequences.
  - A handshake is missing when there was none, or with a keepalive when it is older than 180 seconds. Handshakes that
    arrive and are never completed indicate pre-shared keys that differ; waiting for more than 5 seconds shows that
    best.
  - Asks the kernel what it does with packets that are only forwarded, from each tunnel into I(source_networks) and from
    there to I(prefixes), with the rules, tables, routes and sysctls of the host, and names the one that drops or
    diverts them. The same for what the router itself sends.
  - Sends pings that another router has to forward into its site, to hosts of I(probe) and to the other routers there,
    and tells which router forwards nothing. Asks by ARP for the gateways into the own site.
  - Reads nftables and both kinds of iptables, and names the rule or the policy that drops or rewrites such packets. One
    that drops a part of them is a warning, and so is one that drops what comes only when something is lost, as from one
    tunnel into another.
  - Where a file of this project with an nftables table is on the host, names the table if it is not loaded.
  - Can wait until all is well. Changes nothing.
options:
  tunnels:
    description:
      - The tunnels to look at, as C(plan.status.tunnels) of M(wgmesh.router.mesh_plan_info) has them.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The interface, for example C(wg20).
        type: str
        required: true
      peer:
        description: The name of the router at the other end.
        type: str
        required: true
      address:
        description: The peer's address in the tunnel.
        type: str
        required: true
      neighbor:
        description: The name of the BGP protocol in BIRD. Without one no session is expected.
        type: str
      endpoint:
        description:
          - Where this router calls the peer, an address and a port such as C(203.0.113.12:51820). A warning says that the peer
            calls from another address now, which answers ping as this one does not.
        type: str
      mtu:
        description: The size in bytes of the packets that have to get through whole. C(0) pings with small ones only.
        type: int
      as:
        description: The AS number of the peer. C(0) is not compared.
        type: int
      listen_port:
        description: The UDP port on which the interface has to listen. C(0) is not compared.
        type: int
      networks:
        description:
          - The networks of the peer's site. Addresses of the peer in I(reach) that are in none of them are not asked,
            and a warning names them. Left out, they may be anywhere.
        type: list
        elements: str
      probe:
        description:
          - Hosts behind the peer. A ping to each of them is sent into the tunnel whatever this router's own routes say,
            so that the peer has to forward it. So are pings to the addresses that I(reach) has for the other routers of
            its site. Where there is nothing to forward for it, a warning names its site, unless I(require) is given.
        type: list
        elements: str
  prefixes:
    description:
      - Networks that have to be in the kernel's main table, through one of the tunnels.
    type: list
    elements: dict
    default: []
    suboptions:
      network:
        description: The network, for example C(10.2.0.0/16).
        type: str
        required: true
      site:
        description: The site that it belongs to, for messages.
        type: str
      as:
        description: The AS number of that site, with which I(require) can tell who announces the network.
        type: int
      transit:
        description:
          - The AS numbers of the sites without a tunnel to that one, for which this router carries what they send there. A
            filter that drops it is a problem, and one that drops what sites would send that lose their tunnels a warning.
          - Left out, this router carries nothing of other sites there. M(wgmesh.router.mesh_plan_info) has it where the
            site has C(transit).
        type: list
        elements: int
  unreachable:
    description:
      - Whether packets for I(prefixes) have to be refused while no tunnel has a way there. The option C(unreachable) of
        M(wgmesh.router.bird_config) sees to that.
    type: bool
    default: false
  source_networks:
    description:
      - The networks of the router's own site. Pings of I(reach) come from the router's address inside of them, because
        that is what other sites know a way back to.
    type: list
    elements: str
    default: []
  reach:
    description:
      - Addresses of other routers in their sites that have to answer a ping of 1272 bytes, by the name of the router.
        The router's own addresses are left out.
    type: dict
    default: {}
  probe:
    description:
      - Hosts of the router's own site that have to answer a ping from it. Without any, and without another router at
        its site, a warning says that nobody can try what it forwards.
    type: list
    elements: str
    default: []
  require:
    description:
      - The routers that I(wait) waits for and that C(required_healthy) is about. Left out, it is all of them.
    type: list
    elements: str
  silent:
    description:
      - Routers whose sessions count and whose pings do not. A module with the option
        C(guard) returns those that did not answer before the change.
    type: list
    elements: str
    default: []
  accept:
    description:
      - What you accept of this router, by the names of the checks of M(wgmesh.router.mesh_preflight_info), which has an option
        of that name.
      - With C(networks) a warning says that a subnet of this host takes a part of another site's network. What takes all
        of it, and a route that somebody made, stay problems. The other names change nothing here.
    type: list
    elements: str
    choices: [addresses, bird, files, interfaces, ipv6, machine, networks, ping, ports, programs]
    default: []
  bfd:
    description:
      - Whether each BGP session has to have a BFD session.
    type: bool
    default: true
  wait:
    description:
      - Seconds to wait until everything required is well. The wait ends sooner when time can mend nothing of what is
        missing, such as an interface that does not exist, a BIRD that does not run or answer, TCP 179 in the hands of
        another program, or a peer that has not sent a key.
      - A peer that does not answer pings, though its BGP and BFD sessions prove that packets get through, is named and
        not waited for.
    type: int
    default: 0
  settle:
    description:
      - Seconds after which the wait ends when nothing new became healthy in them. With C(0) it goes on.
    type: int
    default: 0
  waited:
    description:
      - Seconds for which the network was left alone before this task. They count for C(settle), so that the routers
        which Ansible gets to later, since it has fewer forks than routers, do not wait again for what the first waited
        for.
    type: int
    default: 0
  drain_warn:
    description: Seconds after which the note about a drain (C(notes)) says that it is a long one. With C(0) it never
      does.
    type: int
    default: 0
  key_age_warn:
    description: Seconds after which a private key or a pre-shared key is an old one, and C(notes) says so. With C(0) it
      never is.
    type: int
    default: 0
  image_age_warn:
    description: Seconds after which the image is an old one, and C(notes) says so. With C(0) it never is.
    type: int
    default: 0
  failover:
    description: Whether C(wgmesh-failover), which the role C(wgmesh.router.routes) sets up, keeps route tables of the cloud at
      routers that live. C(notes) says when it does not run.
    type: bool
    default: false
  failover_plan:
    description:
      - C(plan.failover) of M(wgmesh.router.mesh_plan_info). Where it has C(peers), that daemon has to run, as with I(failover), and
        C(notes) and C(failover) say when C(/etc/wgmesh/failover.json), which it was started with, has another plan.
    type: dict
  traffic:
    description: Seconds for which to count what this router forwards, C(forwarded) and C(carried). With C(0) they are
      left out.
    type: int
    default: 0
  pending:
    description:
      - The peers whose tunnels wait for something, as C(pending) of M(wgmesh.router.wg_tunnel) has them. They are named
        with the reason and not waited for.
    type: list
    elements: dict
    default: []
    suboptions:
      tunnel:
        description: The interface.
        type: str
      peer:
        description: The name of the router at the other end.
        type: str
      reason:
        description: The reason for the wait.
        type: str
      refused:
        description: Whether an answer of the peer was refused.
        type: bool
  ping:
    description:
      - Whether to ping. Without, what counts are handshakes, sessions and routes, which is what a change of routing can
        cut.
    type: bool
    default: true
  expect:
    description:
      - With C(healthy) any problem is a failure; with C(any) the module only reports.
    type: str
    choices: [healthy, any]
    default: healthy
  control_socket:
    description:
      - BIRD's control socket.
    type: path
    default: /run/bird/bird.ctl
  router:
    description:
      - The name of this router in the metrics. Left out, it is the name of the host.
    type: str
  metrics_file:
    description:
      - Writes what was seen to this file, in the format of Prometheus's textfile collector, also when that is a
        failure. That is not a change. The names of the metrics start with C(wgmesh_).
    type: path
extends_documentation_fragment: [wgmesh.router.attributes]
attributes:
  check_mode:
    details:
      - Looks and waits as always, but writes no I(metrics_file).
  diff_mode:
    support: none
author:
  - wgmesh.router contributors (@wgmesh)
seealso:
  - module: wgmesh.router.mesh_plan_info
"""

EXAMPLES = r"""
- name: Wait for one tunnel
  wgmesh.router.mesh_status_info:
    tunnels:
      - {name: wg20, peer: aws-2, address: 198.18.20.2, mtu: 1340, neighbor: aws_2}
    wait: 30

- name: Look at the whole mesh, and go on
  wgmesh.router.mesh_status_info:
    tunnels: "{{ mesh.plan.status.tunnels }}"
    prefixes: "{{ mesh.plan.status.prefixes }}"
    expect: any
  register: status

- name: Show it
  ansible.builtin.debug:
    msg: "{{ status.lines }}"
"""

RETURN = r"""
healthy:
  description: Whether there is no problem at all.
  returned: always
  type: bool
required_healthy:
  description: Whether there is no problem with what I(require) names.
  returned: always
  type: bool
problems:
  description: One line for each problem.
  returned: always
  type: list
  elements: str
  sample:
    - >-
      tunnel wg20 to aws-2: no handshake for 190 s, last endpoint 198.51.100.12:51820: check UDP 51820 in the firewalls
      of both ends, and that aws-2 runs
troubles:
  description: The same, in parts, for the summary of a whole mesh.
  returned: always
  type: list
  elements: dict
  contains:
    peer: {description: The router at the other end; empty when it is about this router alone or a network., type: str}
    cause:
      description: What was found. When there is a router at the other end, or I(owners), it is worded as a cause that that one has.
      type: str
    do: {description: 'What to do about it. Both together have at most 160 characters.', type: str}
    here:
      description: The same as this router alone sees it.
      type: dict
      contains:
        cause: {description: What was found., type: str}
        do: {description: What to do about it., type: str}
    text: {description: The line of I(problems)., type: str}
    follows: {description: Whether it is a network without a way., type: bool}
    network: {description: That network., type: str}
    owners:
      description: The routers that have to bring I(network) and do not, though the sessions with them are up. None, where a missing session may be why.
      type: list
      elements: str
    final: {description: Whether time cannot mend it., type: bool}
    cut: {description: 'Whether the tunnel has no handshake, or no whole session.', type: bool}
    alone: {description: 'Whether it is that of I(peer) alone, and the tunnel is well.', type: bool}
sick:
  description: Why this router has no session with anybody, in a few words; empty when that is not so.
  returned: always
  type: list
  elements: str
  sample: ["TCP 179 is held by nginx, pid 812"]
tunnels:
  description: What was seen of each tunnel.
  returned: always
  type: list
  elements: dict
  contains:
    name: {description: The interface., type: str}
    peer: {description: The router at the other end., type: str}
    healthy: {description: 'Whether the tunnel, its BGP and its BFD session have no problem.', type: bool}
    handshake_age: {description: Seconds since the last handshake; -1 when there was none., type: float}
    endpoint: {description: Where the peer's last packet came from., type: str}
    rx: {description: Bytes received., type: int}
    tx: {description: Bytes sent., type: int}
    rtt: {description: Round-trip time in milliseconds; -1 when nothing answers., type: float}
    path_mtu: {description: The largest packet in bytes that got through whole; 0 when not known., type: int}
    bgp: {description: The state of the BGP session., type: str}
    bfd: {description: The state of the BFD session., type: str}
    imported: {description: Routes taken from the peer., type: int}
    preshared_key: {description: Whether the tunnel has a pre-shared key., type: bool}
ways:
  description: To whom the kernel sends what goes to the networks of I(prefixes).
  returned: always
  type: list
  elements: dict
  contains:
    network: {description: The network., type: str}
    peer: {description: The router at the other end of the tunnel., type: str}
transit:
  description:
    - What a filter here keeps from other sites when they have lost their tunnels to each other, and send through this
      router. Whether they do is in C(ways) of their routers. A warning says it, too.
  returned: always
  type: list
  elements: dict
  contains:
    peer: {description: The router of another site that would send it., type: str}
    networks: {description: 'What it would be for, one network of each site where there are many.', type: list, elements: str}
    cause: {description: What was found., type: str}
    do: {description: What to do about it., type: str}
drained:
  description: Whether this router is drained (M(wgmesh.router.bird_config)), as its BIRD says.
  returned: always
  type: bool
ages:
  description:
    - How old the keys and the image of this router are, and how long a drain and a change that waits for its confirmation
      have been there. What is not known is left out.
    - The age of the private key is that of its file, that of a pre-shared key is in its record, and that of the image is
      that of C(/etc/wgmesh/image), which an image build touches. The image play on a router that has it does not.
  returned: always
  type: list
  elements: dict
  contains:
    what:
      description: C(private_key), C(preshared_key), C(image), C(drain) or C(waiting_change).
      type: str
    peer:
      description: The router at the other end, for a pre-shared key.
      type: str
    seconds:
      description: The age.
      type: int
reboot_required:
  description:
    - Whether the system asks for a reboot (C(/run/reboot-required)), or a newer kernel of the same flavour is
      installed than runs (C(/boot/vmlinuz-*)). I(notes) says which.
  returned: always
  type: bool
time:
  description: The time of this router, in Unix time. When it is more than a minute apart from the controller's, I(notes)
    says so, and I(lines) does not.
  returned: always
  type: int
failover:
  description: What is to be known of C(wgmesh-failover), by the options I(failover) and I(failover_plan).
  returned: always
  type: dict
  contains:
    runs:
      description: Whether it runs.
      type: bool
    trouble:
      description: Why route tables do not follow the routers as planned, or that the cloud refuses it; empty when they do, or nothing is planned.
      type: str
      sample: wgmesh-failover watches an older plan (partner aws-3)
    rests:
      description: The tables of which it has nothing left to do, since they point at this router, or another one of the site is to take them.
        It knows only of its router's own, and of those of routers that are down or drained.
      type: list
      elements: str
drained_seconds:
  description: For how many seconds it has been.
  returned: always
  type: int
drained_why:
  description: The reason that was given.
  returned: always
  type: str
forwarded:
  description:
    - Packets per second that the kernel forwards. What the router itself sends and receives, such as BGP, BFD and
      pings, is not among them.
  returned: with I(traffic)
  type: int
carried:
  description: What each tunnel carries meanwhile, BGP, BFD and pings included.
  returned: with I(traffic)
  type: list
  elements: dict
  contains:
    name: {description: The interface., type: str}
    peer: {description: The router at the other end., type: str}
    received: {description: Packets per second out of the tunnel., type: int}
    sent: {description: Packets per second into the tunnel., type: int}
source_addresses:
  description: The router's own addresses in I(source_networks), for the option I(reach) on the others.
  returned: always
  type: list
  elements: str
lines:
  description:
    - The tunnels as a table for a terminal of 80 columns. C(!) marks those with a problem. A line after the table sums up; ages and notes follow it.
    - The column C(mtu) has the size that gets through whole, or with C(<) the least that does not.
  returned: always
  type: list
  elements: str
  sample:
    - "  tunnel peer    handshake rtt    mtu  bgp         bfd  routes"
    - "  wg15   azure-1 12 s      2.3 ms 1340 Established Up   4"
    - "! wg20   aws-2   190 s     -      -    Active      Down 0"
    - "not healthy, problems: 1, 1/2 tunnels, 3/3 prefixes"
notes:
  description: What is to be known about this router beside its health, such as an old BIRD. These lines are in
    I(lines), too.
  returned: always
  type: list
  elements: str
"""
