#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The module itself is a binary, which the collection's action plugin brings to
# the host. This file is its documentation.

DOCUMENTATION = r"""
module: mesh_peer
short_description: Set up one tunnel of this router with the public keys of the other end
version_added: 1.0.0
description:
  - Sets up this router's end of the tunnel to one other router, from the plan that M(wgmesh.router.mesh_gate) left here
    and from the public keys of the other one. It sets up the pre-shared key, the boot files and the interface like
    M(wgmesh.router.wg_psk) and M(wgmesh.router.wg_tunnel). No other tunnel is touched.
  - Makes this router's own keys when it has none yet.
  - This is the one module that a router which joins by itself may run on another one (C(wgmesh gate)). The caller can
    set only I(state), I(public_key), I(sealing_key) and I(envelopes). I(name) is the caller, and this router sets
    everything else.
  - Refuses a I(public_key) other than the one in use while the machine with the old key is alive (its BFD session is
    up, or its last handshake is recent and its packets arrive), because two machines with one id would take the tunnel
    from each other. A replaced router is let in as soon as the old machine is gone, or if I(replaced) names it.
  - The interface gets the other router's key together with the pre-shared key that belongs to it. While that pre-shared
    key is missing, the tunnel keeps its present keys.
options:
  state:
    description:
      - C(peered) sets the tunnel up.
      - C(settled) does the same, and ends a handover, but refuses a I(public_key) other than the one that was told last.
      - C(known) only returns the public halves of this router's keys, and which pre-shared key the tunnel has here.
    type: str
    choices: [known, peered, settled]
    default: peered
  name:
    description: The router at the other end, by its name in the inventory.
    type: str
    required: true
  public_key:
    description: Its WireGuard public key, base64. Required unless I(state=known).
    type: str
  sealing_key:
    description: The public half of its sealing key. Required unless I(state=known).
    type: str
  envelopes:
    description: Sealed pre-shared keys from it, as M(wgmesh.router.wg_psk) returned them there, when it is the
      initiator.
    type: list
    elements: dict
    default: []
    suboptions:
      tunnel: {description: Number of the tunnel., type: int, required: true}
      from: {description: The router that sealed it., type: str, required: true}
      to: {description: The router that can open it. Envelopes to others are ignored., type: str, required: true}
      generation: {description: Generation of the key. It grows with every new key., type: int, required: true}
      sealed: {description: "The envelope, base64.", type: str, required: true}
  gate_file:
    description: The plan that M(wgmesh.router.mesh_gate) left.
    type: path
    default: /etc/wgmesh/gate.json
  private_key_file:
    description: This router's WireGuard private key.
    type: path
    default: /etc/wireguard/wgmesh.key
  sealing_key_file:
    description: The private half of its sealing key.
    type: path
    default: /etc/wireguard/wgmesh.seal
  identity_file:
    description: The record of the machine on which both were made.
    type: path
    default: /etc/wireguard/wgmesh.id
  psk_directory:
    description: The folder of the pre-shared keys.
    type: path
    default: /etc/wireguard/wgmesh-psk
  directory:
    description: The folder of the C(wg-quick) files.
    type: path
    default: /etc/wireguard
  control_socket:
    description: BIRD's control socket, used to find out whether the other end is alive.
    type: path
    default: /run/bird/bird.ctl
  replaced:
    description: Routers that were replaced. A router that is named here is let in with a new key although the old
      machine is alive.
    type: list
    elements: str
    default: []
  handover:
    description: For how many seconds the other end may still use its old key, as in M(wgmesh.router.wg_tunnel).
    type: int
    default: 0
extends_documentation_fragment: [wgmesh.router.attributes]
attributes:
  diff_mode:
    details:
      - Shows public data only.
author:
  - wgmesh.router contributors (@wgmesh)
seealso:
  - module: wgmesh.router.mesh_gate
  - module: wgmesh.router.wg_psk
  - module: wgmesh.router.wg_tunnel
"""

EXAMPLES = r"""
- name: Learn the public keys of this router
  wgmesh.router.mesh_peer:
    state: known
    name: azure-1
  register: here

- name: Set up the tunnel to azure-1
  wgmesh.router.mesh_peer:
    name: azure-1
    public_key: "{{ azure_1.public.public_key }}"
    sealing_key: "{{ azure_1.public.sealing_key }}"
    envelopes: "{{ sealed_on_azure_1.envelopes }}"
"""

RETURN = r"""
router:
  description: The name of this router.
  returned: success
  type: str
  sample: office-1
interface:
  description: The interface of the tunnel.
  returned: success
  type: str
  sample: wg2
public:
  description: The public data of this router, for the option I(peers) of M(wgmesh.router.wg_psk) on the other one.
  returned: success
  type: dict
  contains:
    name:
      description: The name of this router.
      type: str
    public_key:
      description: The WireGuard public key, or C(null) in check mode when it is yet to be made.
      type: str
    sealing_key:
      description: The public half of the sealing key, or C(null) in check mode when it is yet to be made.
      type: str
  sample: {name: office-1, public_key: hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=, sealing_key: 3q2+7wABAgMEBQYH...}
removed:
  description:
    - The routers that were removed from the mesh as far as this router knows itself (from the mesh play or its
      inventory), and not from other routers.
  returned: success, since version 0.3.0
  type: list
  elements: dict
  contains:
    name: {description: Its name in the inventory., type: str}
    id: {description: Its id., type: int}
  sample: [{name: aws-9, id: 9}]
envelopes:
  description: The tunnel's pre-shared key, sealed to the other router, when this one is the initiator.
  returned: unless I(state=known)
  type: list
  elements: dict
  contains:
    tunnel: &tunnel {description: Number of the tunnel., type: int}
    from: {description: Name of this router., type: str}
    to: {description: Name of the router that can open it., type: str}
    generation: &generation {description: Generation of the key., type: int}
    sealed: {description: "The envelope itself, 1560 characters.", type: str}
psks:
  description: The pre-shared key that this router holds for the tunnel, by its id.
  returned: unless I(state=known)
  type: list
  elements: dict
  contains:
    tunnel: *tunnel
    peer: &peer
      description: Name of the router at the other end.
      type: str
    psk_id:
      description: 8 hexadecimal digits of an HMAC of the key. They are the same on both ends when the keys are.
      type: str
    generation: *generation
  sample: [{tunnel: 2, peer: azure-1, psk_id: 3f2a9c11, generation: 1790000000000}]
known:
  description:
    - The pre-shared key of the tunnel here, as M(wgmesh.router.wg_psk) returns it with I(known=true). If this router is
      the responder and has a newer key than the initiator, which may have been restored from a backup, the initiator
      makes a new key for this tunnel.
  returned: I(state=known)
  type: list
  elements: dict
  contains:
    tunnel: *tunnel
    peer: *peer
    psk_id: {description: As in C(psks)., type: str}
    generation: *generation
    peer_public_key: {description: The public key at the other end that it is bound to., type: str}
  sample: [{tunnel: 2, peer: azure-1, psk_id: 3f2a9c11, generation: 1790000000000, peer_public_key: pFG3Dy4tXk...}]
pending:
  description: What the tunnel still waits for.
  returned: unless I(state=known)
  type: list
  elements: dict
  contains:
    tunnel: *tunnel
    peer: *peer
    reason:
      description: What is missing or wrong.
      type: str
    refused:
      description: Whether the peer sent something that is refused. Waiting does not help. Only present if it is true.
      type: bool
done:
  description: What was done, in words, also when the module failed half-way.
  returned: changed
  type: list
  elements: str
"""
