#!/usr/bin/python
# Copyright: (c) 2026, the wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The module itself is a binary, which the collection's action plugin brings to
# the host. This file is its documentation.

DOCUMENTATION = r"""
module: wg_tunnel
short_description: WireGuard interfaces of a router, live and at boot
version_added: 0.1.0
description:
  - Brings WireGuard interfaces to a wanted state, all interfaces of the host in one call.
  - The state in the kernel and the state after a boot are read, compared and corrected field by field. A working
    interface is never taken down, and a peer that did not change keeps its session.
  - At boot the interfaces come up without Ansible, from C(wg-quick) files and enabled units C(wg-quick@NAME.service).
    Without systemd the interfaces are started with C(wg-quick up).
  - Beside each file is a copy, C(NAME.conf.good). With systemd, a drop-in of C(wg-quick@.service) restores a missing or
    incomplete file from its copy before the interface comes up, keeps the damaged file as C(NAME.conf.damaged), and
    says so in one line. It also refuses to reload a tunnel of this module, because C(wg syncconf) would remove its
    keys. Tunnels of others are left to C(wg-quick).
  - Where there is systemd-networkd, C(/etc/systemd/network/00-wgmesh-NAME.network) has it leave the interface alone.
    Otherwise a file for every interface (C(Name=*)) has it take the addresses away.
  - Private and pre-shared keys are never options, and are not in the files that this module writes. Options name them
    by the path of their file on the host.
  - The kernel's WireGuard is used where the kernel has it, else the package C(wireguard-go).
  - The address from which a peer was heard last (its endpoint) may differ from the configured one, since peers roam.
    The configured endpoint is set only for a new peer, when it was changed in the task, or when there was no handshake
    for 180 seconds.
options:
  tunnels:
    description:
      - The wanted interfaces. Interfaces that are not in the list are left alone, see I(purge).
      - An empty list asks for none.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the interface, at most 15 characters.
          - If this module did not make the existing file or interface of this name, or made it for another mesh, that
            is an error, and it is left alone.
        type: str
        required: true
      listen_port:
        description: UDP port, different for each interface. With C(0) any free port is used, and the port is not
          compared.
        type: int
        default: 0
      addresses:
        description: Own addresses with the prefix length of the link network, such as C(198.18.20.1/31). Others are
          removed, except automatic link-local ones.
        type: list
        elements: str
        default: []
      mtu:
        description: MTU in bytes, at least 1280 with an IPv6 address. With C(0) C(wg-quick) chooses it, and it is not
          compared.
        type: int
        default: 0
      peers:
        description: The peers. Others on this interface are removed.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: The name of this peer. It is the key into I(public_keys), and a comment in the file.
            type: str
            required: true
          public_key:
            description: The peer's public key, base64. It takes precedence over the one in I(public_keys).
            type: str
          endpoint:
            description: IP address and UDP port of the peer, such as C(203.0.113.12:51820) or C([2001:db8::12]:51820).
              Leave it out for a peer that calls this router.
            type: str
          allowed_ips:
            description:
              - Networks from which the peer may send, and to which packets are sent through it. No routes are made for
                them.
              - An additional network on the interface stays if it lies inside a network of the same peer, because it
                adds nothing and cannot be removed without dropping packets.
            type: list
            elements: str
            default: []
          persistent_keepalive:
            description: Seconds between packets that keep a NAT open. C(0) is off.
            type: int
            default: 0
          preshared_key_file:
            description: Absolute path of a file on the host with the pre-shared key, mode 0600. Leave it out for none.
            type: path
  private_key_file:
    description: Absolute path of the file on the host with the private key of all these interfaces, mode 0600.
    type: path
    default: /etc/wireguard/wgmesh.key
  public_keys:
    description:
      - Public keys by name of peer.
      - A peer whose key is neither here nor in its I(tunnels[].peers[].public_key) keeps the key that it has on the
        host. If it has none, the peer is not configured, and is reported in C(pending).
      - The peers report these keys themselves. A value is refused, with a warning and in C(pending), if it is not a
        key, if it is this router's own key, or if it is new while the machine with the old key is alive (its BFD
        session is up, or its last handshake is recent and its packets arrive). All other peers are set up.
    type: dict
    default: {}
  replaced:
    description: Peers that were replaced. Their new key is accepted although the machine with the old key is alive.
    type: list
    elements: str
    default: []
  handover:
    description:
      - For how many seconds a peer of I(replaced) may still use its old key. Its new key is a second peer of the
        interface, without allowed IPs, until a packet arrives from it. Then it gets the allowed IPs, and no packet is
        lost.
      - A separate process does this (C(wgmesh handover)). It gives the allowed IPs back if a packet with the old key
        arrives again, because the other end has taken its change back. After these seconds it removes the old key as
        soon as another packet with the new key arrives.
      - With C(0), and in the next run without this option in which the peer reports a key, the other key is removed at
        once.
    type: int
    default: 0
  hold:
    description:
      - When this router has a new private key, for how many milliseconds its packets wait until the peers, which know
        the key by I(handover), are ready. C(0), or 50 to 1000. It has to be longer than a packet takes to the peer.
      - WireGuard keeps 128 packets for each peer that long. With C(0) the key changes at once, and packets are lost
        until the next handshake.
    type: int
    default: 0
  removed:
    description:
      - Peers that were removed from the mesh. In early versions meshes had no names. I(purge) removes a tunnel from
        such a version if it leads to one of these peers. Otherwise it leaves the tunnel alone, since it may be your
        own.
    type: list
    elements: str
    default: []
  purge:
    description:
      - Whether to remove interfaces that this module made for I(mesh) and that are not in I(tunnels). Others are never
        removed.
      - With I(guard), one of them is replaced even without this option if its port or its addresses conflict with a
        wanted interface (for example with another I(interface_prefix)).
    type: bool
    default: false
  stale:
    description: With I(purge), the only interfaces to remove, as a run before returned them. What has been made since stays.
    type: list
    elements: str
    version_added: 1.0.0
  stale_peers:
    description: With I(stale), to whom these interfaces are, as a run before returned it. One that has another peer by now stays.
    type: list
    elements: str
    version_added: 1.0.0
  mss_clamp:
    description:
      - Whether to keep the nftables table C(inet wgmesh), which clamps the MSS of forwarded TCP connections to the MTU
        of the tunnel, in both directions.
      - C(false) removes the clamp, also from interfaces of I(mesh) that are not in I(tunnels). Interfaces of another
        mesh keep it. Without I(mesh), interfaces that are not in I(tunnels) keep it, since they may be in another list.
      - The tables of the role C(wgmesh.router.router) (metadata guard, health port) are loaded again too, if their
        files exist and the tables are not loaded.
      - With systemd, a drop-in of C(nftables.service) restores the table when that unit has flushed all tables, for
        example at its reload.
    type: bool
    default: true
  input:
    description:
      - Which packets the router accepts from I(tunnels) for itself. Forwarded packets are not affected.
      - C(accept) leaves it to the host's own firewall.
      - C(mesh) accepts ICMP, BGP (TCP 179), BFD (UDP 3784 and 3785), I(input_ports), and answers to requests of the
        router itself, and drops the rest, in the nftables table C(inet wgmesh). It needs no connection tracking. At
        boot such a tunnel stays down if its filter cannot be loaded.
      - Tunnels of this module that are not in I(tunnels) keep their setting.
    type: str
    choices: [accept, mesh]
    default: accept
  input_ports:
    description:
      - Additional TCP ports that I(input=mesh) leaves open, such as C(22) for SSH, or the port of
        M(wgmesh.router.mesh_measure_info).
      - There is one list for all tunnels of this host.
    type: list
    elements: int
    default: []
  interface_prefix:
    description: The clamp applies to all interfaces whose names start with this, and to those of I(tunnels).
    type: str
    default: wg
  directory:
    description:
      - Folder of the C(wg-quick) files and of C(wgmesh.nft).
      - Units are managed only for the default folder, since C(wg-quick@.service) reads no other.
    type: path
    default: /etc/wireguard
  control_socket:
    description: BIRD's control socket, used to find out whether a peer that has a new key is alive.
    type: path
    default: /run/bird/bird.ctl
  gate:
    description:
      - The plan of this router, as M(wgmesh.router.mesh_plan_info) returned it. Updates the files of
        M(wgmesh.router.mesh_gate) if they exist, like that module with C(state=updated), before anything else is done.
        So a router that is purged here is refused by the gate.
      - Empty leaves those files alone.
    type: dict
    default: {}
  gate_directory:
    description: The folder of those files.
    type: path
    default: /etc/wgmesh
  bind_to_machine:
    description:
      - Whether the tunnels come up at boot only on the machine on which they were made, by its C(/etc/machine-id).
      - Set C(false) if C(/etc/machine-id) is new at each boot, for example with a root file system in memory. A clone
        of the disk is then not distinguished from this machine.
    type: bool
    default: true
requirements:
  - package wireguard-tools
  - package nftables, with I(mss_clamp=true) or I(input=mesh)
  - package wireguard-go, when the kernel has no WireGuard
notes:
  - Do not reload these units (C(systemctl reload wg-quick@NAME)). C(wg syncconf) treats the missing private key as an
    instruction to remove the key. The next run of this module corrects that.
extends_documentation_fragment: [wgmesh.router.attributes, wgmesh.router.guard, wgmesh.router.mesh]
attributes:
  diff_mode:
    details:
      - Shows no secrets.
  idempotent:
    details:
      - A peer that roamed is not a change.
seealso:
  - module: wgmesh.router.mesh_plan_info
  - module: wgmesh.router.wg_keypair
  - module: wgmesh.router.wg_psk
author:
  - The wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
# Useful alone: two offices, the key was made with `wg genkey` (umask 077).
- name: Join the two offices
  wgmesh.router.wg_tunnel:
    private_key_file: /etc/wireguard/private.key
    tunnels:
      - name: wg-berlin
        listen_port: 51820
        addresses: [198.18.0.0/31]
        mtu: 1420
        peers:
          - name: berlin
            public_key: Aiz8Gu9ORFxTzmFLyb96CLfqmfGADBGo51j4IvNU9Do=
            endpoint: 198.51.100.7:51820
            allowed_ips: [198.18.0.0/31, 10.20.0.0/16]
            persistent_keepalive: 25

- name: A server for people on the road, who call from anywhere
  wgmesh.router.wg_tunnel:
    private_key_file: /etc/wireguard/private.key
    tunnels:
      - name: wg-road
        listen_port: 51821
        addresses: [10.99.0.1/24, "fd00:99::1/64"]
        mtu: 1320
        peers:
          - {name: ann, allowed_ips: [10.99.0.2/32, "fd00:99::2/128"], preshared_key_file: /etc/wireguard/ann.psk}
          - {name: bob, allowed_ips: [10.99.0.3/32, "fd00:99::3/128"]}
    public_keys:
      ann: wFOfKN+QVWbLC/SUwFRDHWMD7QDZhTIx+83Sd0Uk6x4=
      bob: "{{ bob_public_key }}"

- name: All tunnels of this router, as planned, and no others
  wgmesh.router.wg_tunnel:
    mesh: vpn
    tunnels: "{{ mesh.plan.tunnels }}"
    public_keys: "{{ public_keys }}"
    purge: true
"""

RETURN = r"""
done:
  description: What was done, in words. Also when a part of it failed.
  returned: changed
  type: list
  elements: str
  sample: ["wg20: mtu 1340", "wg20: peer azure-2 (allowed_ips)"]
stale:
  description: Interfaces that this module made for I(mesh) and that are no longer wanted. With I(purge=true) they were
    removed.
  returned: success
  type: list
  elements: str
  sample: [wg15]
stale_peers:
  description: The routers at the other ends of those.
  returned: success
  type: list
  elements: str
  sample: [azure-1]
pending:
  description: Peers that cannot be configured yet. Their present configuration on the host stays. If such a peer is the
    only peer of its tunnel, the peer that was configured before stays too, since it may be the same peer under another
    name.
  returned: success
  type: list
  elements: dict
  contains:
    tunnel:
      description: Name of the interface.
      type: str
    peer:
      description: Name of the peer.
      type: str
    reason:
      description: What is missing or wrong.
      type: str
    refused:
      description: Whether the peer sent something that is refused. Waiting does not help. Only present if it is true.
      type: bool
  sample: [{tunnel: wg20, peer: azure-2, reason: its public key is not known yet}]
implementation:
  description: C(kernel), or C(userspace) if wireguard-go runs any of the interfaces. Empty if there is none.
  returned: success
  type: str
  sample: kernel
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
