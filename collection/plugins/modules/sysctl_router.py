#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The module itself is a binary, which the collection's action plugin brings to
# the host. This file is its documentation.

DOCUMENTATION = r"""
module: sysctl_router
short_description: Kernel parameters of a Linux host that forwards between tunnels
version_added: 0.1.0
description:
  - Sets the forwarding profile now, in C(/proc/sys), and for every boot, in a drop-in of sysctl.d(5). Each is read,
    compared and corrected separately.
  - "The profile: C(net.ipv4.ip_forward=1), C(net.ipv4.fib_multipath_hash_policy=1), C(net.ipv4.tcp_mtu_probing=1),
    C(net.ipv4.ip_nonlocal_bind=1); for C(all), C(default) and each of I(interfaces) C(rp_filter=0) and
    C(accept_redirects=0); C(send_redirects=0) for every interface; with I(ipv6) C(net.ipv6.conf.all.forwarding=1),
    C(net.ipv6.fib_multipath_hash_policy=1) and C(net.ipv6.ip_nonlocal_bind=1)."
  - C(ip_nonlocal_bind) is for BFD. BIRD binds the socket of a session only once, and Linux announces a new address a
    moment before a program can bind to it. Without this parameter such a session stays dead behind a healthy BGP
    session.
  - C(rp_filter) in force is the larger of the values of C(all) and of the interface. With redundant tunnels a reply may
    take another path than the request, so both have to be 0.
  - Reports what overrides the profile. This can be a file that is read later and sets another value, among
    C(/etc/sysctl.d), C(/run/sysctl.d), C(/usr/local/lib/sysctl.d), C(/usr/lib/sysctl.d), C(/etc/sysctl.conf) and an
    enabled ufw's C(/etc/ufw/sysctl.conf); C(/etc/network/interfaces), where ifup would set C(accept_ra) back; or an
    interface that is not in I(interfaces) and has C(rp_filter=1).
  - If this kernel, or the network namespace of a container, does not have a parameter or does not allow setting it, a
    warning reports that, and the parameter is only written to the file. In a container this applies to C(net.core.*).
  - The drop-in records the former value of each parameter. With I(state=present) a parameter that is no longer wanted
    gets it back, unless somebody has changed the parameter since. Parameters of interfaces keep their value.
options:
  state:
    description:
      - C(present) sets the profile.
      - C(absent) removes the drop-in and restores the former value of every parameter that still has our value. If the
        drop-in does not know the former value, the host's other files give it. If they do not either, there is a
        warning.
    type: str
    choices: [present, absent]
    default: present
  ipv6:
    description:
      - Whether to forward IPv6 too. If not set, the drop-in decides, and if there is no drop-in, IPv6 is not forwarded.
      - A kernel that forwards IPv6 ignores router advertisements if C(accept_ra=1), and immediately drops the routes
        that it has from them. So an interface that has such routes gets C(net.ipv6.conf.NAME.accept_ra=2) before that,
        and in the drop-in for the next boot. Other interfaces keep their value.
      - systemd-networkd and NetworkManager process advertisements themselves, with C(accept_ra=0), whether or not the
        kernel forwards. So they are left alone.
    type: bool
  interfaces:
    description:
      - Interfaces, such as C(wg20), that get their own C(rp_filter) and C(accept_redirects). They need not exist yet.
      - If not set, the interfaces in the drop-in are kept.
    type: list
    elements: str
  reserved_ports:
    description:
      - UDP and TCP ports, or ranges such as C(51801-51821), that the kernel must not assign to programs that ask for
        any free port. A tunnel whose port is taken at boot does not come up.
      - They are merged into C(net.ipv4.ip_local_reserved_ports). Ports that others reserved stay. Ports that this
        module reserved and that are no longer wanted are released; the drop-in records which ports these are.
      - If not set, the ports in the drop-in are kept.
    type: list
    elements: str
  rmem_default:
    description: The least C(net.core.rmem_default) in bytes. A larger value stays. C(0) leaves it alone.
    type: int
    default: 1048576
  rmem_max:
    description:
      - The least C(net.core.rmem_max) in bytes. A larger value stays. C(0) leaves it alone.
      - Userspace WireGuard asks for 7 MiB.
    type: int
    default: 8388608
  wmem_max:
    description: The least C(net.core.wmem_max) in bytes. A larger value stays. C(0) leaves it alone.
    type: int
    default: 8388608
  path:
    description:
      - The drop-in. The last file that sets a parameter wins, and files are sorted by name whatever folder they are in.
        So the default sorts after the files of distributions and clouds, such as C(99-sysctl.conf) or GCP's
        C(60-gce-network-security.conf).
    type: path
    default: /etc/sysctl.d/99-zz-wgmesh.conf
  mesh:
    description: The name of the host's mesh, a comment in the drop-in. Empty keeps the present name.
    type: str
    default: ""
extends_documentation_fragment: [wgmesh.router.attributes, wgmesh.router.guard]
attributes:
  diff_mode:
    details:
      - Shows the parameters of the profile and the drop-in.
author:
  - wgmesh.router contributors (@wgmesh)
seealso:
  - module: wgmesh.router.mesh_plan_info
  - module: ansible.posix.sysctl
"""

EXAMPLES = r"""
- name: Make a router of any Linux host
  wgmesh.router.sysctl_router:

- name: Let it forward IPv6 too, with two tunnels whose ports are to stay free for them
  wgmesh.router.sysctl_router:
    ipv6: true
    interfaces: [wg0, wg1]
    reserved_ports: [51820-51821]

- name: As the plan of the mesh has it
  wgmesh.router.sysctl_router:
    ipv6: "{{ mesh.plan.sysctl.ipv6 }}"
    interfaces: "{{ mesh.plan.sysctl.interfaces }}"
    reserved_ports: "{{ mesh.plan.sysctl.reserved_ports }}"
  register: profile

- name: Be strict about what will not hold
  ansible.builtin.fail:
    msg: "{{ profile.defeated | map(attribute='reason') | join(', ') }}"
  when: profile.defeated | length > 0
"""

RETURN = r"""
path:
  description: The drop-in.
  returned: success
  type: str
  sample: /etc/sysctl.d/99-zz-wgmesh.conf
reserved_ports:
  description: All ports that are reserved now, in the kernel's notation, those of others included.
  returned: success
  type: str
  sample: 51801-51806,51810
file_only:
  description: Parameters that cannot be set here, so they are only in the drop-in.
  returned: success
  type: list
  elements: str
  sample: [net.core.rmem_default, net.core.rmem_max, net.core.wmem_max]
defeated:
  description: Parameters that do not keep the value of the profile. There is a warning for each.
  returned: success
  type: list
  elements: dict
  contains:
    key: {description: The parameter., type: str}
    want: {description: The value of the profile., type: str}
    found: {description: "The value it will have, or has.", type: str}
    by: {description: "The file, or the interface, that has it.", type: str}
    reason: {description: "Why it wins, and what to do.", type: str}
  sample:
    - key: net.ipv4.ip_forward
      want: "1"
      found: "0"
      by: /etc/sysctl.d/99-zzz-gce.conf
      reason: >-
        /etc/sysctl.d/99-zzz-gce.conf sets net.ipv4.ip_forward=0, expected 1, and it sorts after our drop-in: remove the
        line there
done:
  description: What was done, in words, also when the module failed half-way.
  returned: changed
  type: list
  elements: str
  sample: [wrote /etc/sysctl.d/99-zz-wgmesh.conf, set net.ipv4.ip_forward=1]
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
