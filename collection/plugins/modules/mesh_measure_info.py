#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The module itself is a binary, which the collection's action plugin brings to
# the host. This file is its documentation.

DOCUMENTATION = r"""
module: mesh_measure_info
short_description: Measure the time and throughput that a tunnel costs
version_added: 1.0.0
description:
  - Pings the peer's outside address with ping(8), and then its end of the tunnel through the tunnel's interface. Prints
    the two side by side. With I(throughput) it does the same with iperf3(1).
  - Tunnels are measured one after another, and so are the two paths of each. The play C(wgmesh.router.measure) measures
    each tunnel of the mesh once, from the router with the lower id, one router after another.
  - An endpoint that answers no ping, or a firewall that admits no iperf3 from outside, is noted in the table and is not
    a failure. Changes nothing. Check mode sends nothing and shows the addresses that would be measured.
options:
  state:
    description:
      - C(measured) measures I(tunnels).
      - C(serving), on the peer, starts an iperf3 server for each path to it that I(tunnels) names. The server is bound
        to that one address, runs as the user nobody, and serves one test. It ends after that test, with C(stopped), or
        by itself if there is no test, at the latest after two times I(seconds) and 40 seconds.
      - C(stopped), on the peer, ends those servers.
    type: str
    choices: [measured, serving, stopped]
    default: measured
  tunnels:
    description:
      - The tunnels to measure, as C(plan.measure.tunnels) of M(wgmesh.router.mesh_plan_info) has them.
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
      endpoint:
        description: The peer's outside address, without a port. A peer without one is measured inside only.
        type: str
  results:
    description:
      - What earlier calls returned as C(tunnels), also on other routers. It goes into the same table; results of the
        same tunnel are put together.
    type: list
    elements: dict
    default: []
    suboptions:
      router:
        description: The router that measured.
        type: str
      peer:
        description: The router at the other end.
        type: str
      name:
        description: The interface.
        type: str
      outside:
        description: The path outside the tunnel.
        type: dict
        suboptions: &way
          address: {description: The address that was measured. Empty when there is none., type: str}
          sent: {description: Pings sent; C(0) when none was., type: int}
          received: {description: Pings that were answered., type: int}
          min: {description: The least round-trip time in milliseconds., type: float}
          avg: {description: The average., type: float}
          max: {description: The most., type: float}
          mdev: {description: "The deviation, as ping has it.", type: float}
          ping_error: {description: The message of ping when it could not send., type: str}
          mbits: {description: Throughput received by the peer in Mbit/s. C(0) when it is not known., type: float}
          retransmits: {description: Segments that TCP sent again., type: int}
          blocked: {description: Whether the port of the iperf3 server lets nobody in., type: bool}
          missing: {description: The router that has no iperf3., type: str}
          throughput_error: {description: Why there is no throughput otherwise., type: str}
      inside:
        description: The path inside the tunnel.
        type: dict
        suboptions: *way
  router:
    description:
      - The name of the router that measures, in the results. Left out, it is the name of the host.
    type: str
  ping:
    description:
      - Whether to ping.
    type: bool
    default: true
  count:
    description:
      - How many pings to send on each path.
    type: int
    default: 10
  size:
    description:
      - Bytes of data in a ping. 1272 makes packets of 1300 bytes with IPv4 and 1320 with IPv6, which every tunnel of
        the clouds carries without fragmentation.
    type: int
    default: 1272
  interval:
    description:
      - Seconds between two pings.
    type: float
    default: 0.2
  throughput:
    description:
      - Whether to measure the throughput to a server that C(state=serving) started on the peer just before.
      - Needs the package iperf3 on both routers. No other part of this collection needs it.
    type: bool
    default: false
  parallel:
    description:
      - TCP streams at once.
    type: int
    default: 4
  seconds:
    description:
      - How long to send on each path.
    type: int
    default: 5
  port:
    description:
      - TCP port of the server.
    type: int
    default: 5201
extends_documentation_fragment: [wgmesh.router.attributes]
attributes:
  check_mode:
    details:
      - Sends nothing and starts nothing.
  diff_mode:
    support: none
  safe_file_operations:
    details:
      - Writes no files.
author:
  - wgmesh.router contributors (@wgmesh)
seealso:
  - module: wgmesh.router.mesh_plan_info
  - module: wgmesh.router.mesh_status_info
"""

EXAMPLES = r"""
- name: Measure one tunnel
  wgmesh.router.mesh_measure_info:
    tunnels:
      - {name: wg20, peer: aws-2, address: 198.18.20.2, endpoint: 198.51.100.12}
  register: measured

- name: Show it
  ansible.builtin.debug:
    msg: "{{ measured.lines }}"
"""

RETURN = r"""
tunnels:
  description:
    - What was measured, one entry for each tunnel.
    - With C(state=serving) these are only the tunnels that cannot be served.
  returned: unless C(state=stopped)
  type: list
  elements: dict
  contains:
    router:
      description: The router that measured.
      type: str
    peer:
      description: The router at the other end.
      type: str
    name:
      description: The interface.
      type: str
    outside:
      description: What was measured outside of the tunnel.
      type: dict
      contains: &told
        address: {description: "The address that was measured. Empty when there is none.", type: str}
        sent: {description: "Pings sent; C(0) when none was.", type: int}
        received: {description: "Pings that were answered.", type: int}
        min: {description: "The least round-trip time in milliseconds.", type: float}
        avg: {description: "The average.", type: float}
        max: {description: "The most.", type: float}
        mdev: {description: "The deviation, as ping has it.", type: float}
        ping_error: {description: "Why nothing was measured.", type: str}
        mbits: {description: "Mbit/s that arrived at the peer; C(0) when not known.", type: float}
        retransmits: {description: "TCP segments that were sent again.", type: int}
        blocked: {description: "Whether the port of the test is not open on this way.", type: bool}
        missing: {description: "The router that lacks iperf3.", type: str}
        throughput_error: {description: "Why no throughput was measured.", type: str}
    inside:
      description: What was measured inside of it.
      type: dict
      contains: *told
  sample:
    - router: office-1
      peer: aws-2
      name: wg20
      outside: {address: 198.51.100.12, sent: 10, received: 10, min: 2.1, avg: 2.3, max: 2.9, mdev: 0.2}
      inside: {address: 198.18.20.2, sent: 10, received: 10, min: 2.4, avg: 2.6, max: 3.3, mdev: 0.2}
lines:
  description:
    - The tunnels as a table. Times are the least and the average, then comes the loss; the last column is what the
      tunnel adds to the average. The last line sums up.
  returned: unless C(state=stopped)
  type: list
  elements: str
  sample:
    - "office-1 - aws-2  wg20   outside 2.1/2.3 ms 0 %   inside 2.4/2.6 ms 0 %   + 0.30 ms"
    - "tunnels: 1, measured on both ways: 1, what a tunnel costs: median + 0.30 ms, most + 0.30 ms (times are min/avg)"
problems:
  description: One line for each thing that should have been measured and was not.
  returned: unless C(state=stopped)
  type: list
  elements: str
troubles:
  description: The same, in parts.
  returned: unless C(state=stopped)
  type: list
  elements: dict
  contains:
    router: {description: The router to check., type: str}
    peer: {description: "The other router, if the fault may be on either one. Absent otherwise.", type: str}
    cause: {description: What was found., type: str}
    do: {description: What to do about it., type: str}
  sample:
    - "iperf3 is not on aws-2: install it on aws-2 (apt-get install iperf3, dnf install iperf3)"
"""
