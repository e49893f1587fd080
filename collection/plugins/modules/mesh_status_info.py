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
  - Checks the WireGuard handshake, the BGP and the BFD session of each tunnel, pings through it with packets of its
    full MTU, looks for every expected network in the kernel's routes, and pings other routers from site to site.
  - Names each problem in one line, with what was expected and what to do next. For a tunnel it names the cause, not its
    consequences.
  - A handshake is missing if there was none, or with a keepalive if it is older than 180 seconds. Handshakes that
    arrive and are never completed indicate pre-shared keys that differ. A wait of more than 5 seconds shows that best.
  - Asks the kernel how it forwards packets from each tunnel into I(source_networks) and from there to I(prefixes), with
    the rules, tables, routes and sysctls of the host, and names the one that drops or diverts them. Asks the same for
    packets that the router itself sends.
  - Sends pings that another router has to forward into its site, to hosts of I(probe) and to the other routers there,
    and reports which router forwards nothing. Asks by ARP for the gateways into the own site.
  - Reads nftables and both kinds of iptables, and names the rule or the policy that drops or rewrites such packets. A
    rule that drops a part of them is a warning. So is a rule that drops packets that come only when something is lost,
    such as packets from one tunnel into another.
  - If the host has a file of this project with an nftables table, names the table if it is not loaded.
  - Can wait until everything is well. Changes nothing.
options:
  tunnels:
    description:
      - The tunnels to check, as C(plan.status.tunnels) of M(wgmesh.router.mesh_plan_info) has them.
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
        description: The name of the BGP protocol in BIRD. If not set, no session is expected.
        type: str
      endpoint:
        description:
          - Where this router calls the peer, an address and a port such as C(203.0.113.12:51820). A warning says that the peer
            calls from another address now, which answers ping as this one does not.
        type: str
      mtu:
        description: The size in bytes of the packets that have to get through without fragmentation. With C(0) only
          small pings are sent.
        type: int
      as:
        description: The AS number of the peer. With C(0) it is not compared.
        type: int
      listen_port:
        description: The UDP port on which the interface has to listen. C(0) is not compared.
        type: int
      networks:
        description:
          - The networks of the peer's site. Addresses of the peer in I(reach) that are in none of these networks are
            not pinged, and a warning names them. If left out, the addresses may be anywhere.
        type: list
        elements: str
      probe:
        description:
          - Hosts behind the peer. A ping to each of them is sent into the tunnel whatever this router's own routes say,
            so that the peer has to forward it. So are pings to the addresses that I(reach) has for the other routers of
            its site. If it has nothing to forward to, a warning names its site, unless I(require) is given.
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
        description: The AS number of that site. With it I(require) can find which router announces the network.
        type: int
      transit:
        description:
          - The AS numbers of the sites without a tunnel to that site, whose traffic this router carries there. A filter
            that drops that traffic is a problem. A filter that would drop the traffic of sites that lose their tunnels
            is a warning.
          - If left out, this router carries no traffic of other sites there. M(wgmesh.router.mesh_plan_info) sets it if
            the site has C(transit).
        type: list
        elements: int
  unreachable:
    description:
      - Whether packets for I(prefixes) have to be refused while no tunnel leads there. The option C(unreachable) of
        M(wgmesh.router.bird_config) sets that up.
    type: bool
    default: false
  source_networks:
    description:
      - The networks of the router's own site. Pings of I(reach) come from the router's address inside them, because
        other sites have a route back only to these networks.
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
      - Hosts of the router's own site that have to answer a ping from it. If there are none, and no other router at its
        site, a warning says that nobody can test whether it forwards.
    type: list
    elements: str
    default: []
  require:
    description:
      - The routers for which I(wait) waits, and which C(required_healthy) describes. If left out, all routers.
    type: list
    elements: str
  silent:
    description:
      - Routers whose pings do not count; only their sessions count. A module with the option C(guard) returns those
        that did not answer before the change.
    type: list
    elements: str
    default: []
  accept:
    description:
      - What you accept on this router, by the names of the checks of M(wgmesh.router.mesh_preflight_info), which has an
        option with the same name.
      - With C(networks), a subnet of this host that covers a part of another site's network is only a warning. A subnet
        that covers all of it, and a route that somebody made, are still problems. The other names change nothing here.
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
      - Seconds to wait until everything required is well. The wait ends earlier if waiting cannot help, for example if
        an interface does not exist, BIRD does not run or answer, another program holds TCP 179, or a peer has not sent
        a key.
      - If a peer does not answer pings, though its BGP and BFD sessions prove that packets get through, it is named,
        and the module does not wait for it.
    type: int
    default: 0
  settle:
    description:
      - The wait ends when nothing has become healthy for this number of seconds. With C(0) it goes on.
    type: int
    default: 0
  waited:
    description:
      - Seconds for which the network was left alone before this task. They count for C(settle). So if Ansible has fewer
        forks than routers, the later routers do not wait again for what the first ones waited for.
    type: int
    default: 0
  drain_warn:
    description: Seconds after which the note about a drain (C(notes)) says that it is long. With C(0) it never does.
    type: int
    default: 0
  key_age_warn:
    description: Age in seconds at which C(notes) calls a private key or a pre-shared key old. With C(0) it never does.
    type: int
    default: 0
  image_age_warn:
    description: Age in seconds at which C(notes) calls the image old. With C(0) it never does.
    type: int
    default: 0
  failover:
    description: Whether C(wgmesh-failover), which the role C(wgmesh.router.routes) sets up, has to keep route tables of
      the cloud pointed at routers that are alive. C(notes) says if it does not run.
    type: bool
    default: false
  failover_plan:
    description:
      - C(plan.failover) of M(wgmesh.router.mesh_plan_info). If it has C(peers), that daemon has to run, as with
        I(failover). C(notes) and C(failover) say if C(/etc/wgmesh/failover.json), with which it was started, has
        another plan.
    type: dict
  traffic:
    description: Seconds for which to count the packets that this router forwards, C(forwarded) and C(carried). With
      C(0) they are left out.
    type: int
    default: 0
  pending:
    description:
      - The peers whose tunnels wait for something, as C(pending) of M(wgmesh.router.wg_tunnel) has them. They are named
        with the reason, and the module does not wait for them.
    type: list
    elements: dict
    default: []
    suboptions:
      tunnel: {description: The interface., type: str}
      peer: {description: The name of the router at the other end., type: str}
      reason: {description: The reason for the wait., type: str}
      refused: {description: Whether an answer of the peer was refused., type: bool}
  ping:
    description:
      - Whether to ping. Without pings, only handshakes, sessions and routes count, which is what a change of routing
        can cut.
    type: bool
    default: true
  expect:
    description:
      - With C(healthy) any problem is a failure. With C(any) the module only reports.
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
      - The name of this router in the metrics. If left out, the name of the host.
    type: str
  metrics_file:
    description:
      - Writes the result to this file, in the format of Prometheus's textfile collector, also if the module fails. This
        does not count as a change. The names of the metrics start with C(wgmesh_).
    type: path
extends_documentation_fragment: [wgmesh.router.attributes]
attributes:
  check_mode:
    details:
      - Checks and waits as usual, but writes no I(metrics_file).
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
  description: Whether the routers that I(require) names have no problem.
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
    peer: {description: The router at the other end; empty if it concerns this router alone or a network., type: str}
    cause:
      description: What was found. If there is a router at the other end, or I(owners), the text describes it as a cause
        of that router.
      type: str
    do: {description: 'What to do about it. Both together have at most 160 characters.', type: str}
    here:
      description: The same as this router alone sees it.
      type: dict
      contains:
        cause: {description: What was found., type: str}
        do: {description: What to do about it., type: str}
    text: {description: The line of I(problems)., type: str}
    follows: {description: Whether it is a network without a route., type: bool}
    network: {description: That network., type: str}
    owners:
      description: The routers that have to announce I(network) and do not, though their sessions are up. Empty if a missing session may be the reason.
      type: list
      elements: str
    final: {description: Whether waiting cannot help., type: bool}
    cut: {description: 'Whether the tunnel has no handshake, or no complete session.', type: bool}
    alone: {description: 'Whether only I(peer) has the fault, and the tunnel is well.', type: bool}
sick:
  description: Why this router has no session at all, in a few words. Empty if it has one.
  returned: always
  type: list
  elements: str
  sample: ["TCP 179 is held by nginx, pid 812"]
tunnels:
  description: The state of each tunnel.
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
  description: The routers to which the kernel sends packets for the networks of I(prefixes).
  returned: when the kernel's routes can be read
  type: list
  elements: dict
  contains:
    network: {description: The network., type: str}
    peer: {description: The router at the other end of the tunnel., type: str}
transit:
  description:
    - Traffic that a filter on this router drops when other sites have lost their tunnels to each other and send through
      this router. C(ways) of their routers shows whether they do. A warning reports it, too.
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
    - How old the keys and the image of this router are, and how long ago a drain, and a change that waits for its
      confirmation, began. Unknown ages are left out.
    - The age of the private key is the age of its file. The age of a pre-shared key is in its record. The age of the
      image is the age of C(/etc/wgmesh/image), which an image build touches. The image play does not touch an existing
      file.
  returned: always
  type: list
  elements: dict
  contains:
    what: {description: "C(private_key), C(preshared_key), C(image), C(drain) or C(waiting_change).", type: str}
    peer: {description: "The router at the other end, for a pre-shared key.", type: str}
    seconds: {description: The age., type: int}
reboot_required:
  description:
    - Whether the system asks for a reboot (C(/run/reboot-required)), or a newer kernel of the same flavour is installed
      than the running one (C(/boot/vmlinuz-*)). I(notes) says which.
  returned: always
  type: bool
time:
  description: The time of this router, in Unix time. If it differs from the controller's by more than a minute,
    I(notes) says so, and I(lines) does not.
  returned: always
  type: int
failover:
  description: The state of C(wgmesh-failover), if the options I(failover) or I(failover_plan) ask for it.
  returned: always
  type: dict
  contains:
    runs:
      description: Whether it runs.
      type: bool
    trouble:
      description: Why route tables do not follow the routers as planned, or that the cloud refuses it. Empty if they
        follow, or if nothing is planned.
      type: str
      sample: wgmesh-failover watches an older plan (partner aws-3)
    rests:
      description: The tables for which it has nothing left to do, since they point at this router, or another router of
        the site has to take them. It knows only its router's own tables, and those of routers that are down or drained.
      type: list
      elements: str
drained_seconds:
  description: For how many seconds this router has been drained.
  returned: always
  type: int
drained_why:
  description: The reason of the drain.
  returned: always
  type: str
forwarded:
  description:
    - Packets per second that the kernel forwards. Packets that the router itself sends and receives, such as BGP, BFD
      and pings, are not counted.
  returned: with I(traffic)
  type: int
carried:
  description: What each tunnel carries in that time, BGP, BFD and pings included.
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
    - The tunnels as a table for a terminal of 80 columns. C(!) marks those with a problem. A summary follows the table,
      and then ages and notes.
    - The column C(mtu) has the size that gets through without fragmentation, or with C(<) the smallest that does not.
  returned: always
  type: list
  elements: str
  sample:
    - "  tunnel peer    handshake rtt    mtu  bgp         bfd  routes"
    - "  wg15   azure-1 12 s      2.3 ms 1340 Established Up   4"
    - "! wg20   aws-2   190 s     -      -    Active      Down 0"
    - "not healthy, problems: 1, 1/2 tunnels, 3/3 prefixes"
notes:
  description: Other facts about this router, such as an old BIRD. These lines are in I(lines), too.
  returned: always
  type: list
  elements: str
"""
