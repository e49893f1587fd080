#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The module itself is a binary, which the collection's action plugin brings to
# the host. This file is its documentation.

DOCUMENTATION = r"""
module: wg_psk
short_description: Pre-shared keys of a router's WireGuard tunnels, which nobody else sees
version_added: 0.1.0
description:
  - The initiator of a tunnel makes its pre-shared key and seals it to the responder. Ansible carries the envelope. The
    responder opens it. Only these two routers can open it. The key is in no option, result, diff or log.
  - An envelope is HPKE (RFC 9180) with MLKEM768-X25519, HKDF-SHA256 and ChaCha20-Poly1305. It is bound to the names and
    the WireGuard public keys of both routers, the number of the tunnel and the generation of the key, and only the
    holder of the initiator's WireGuard private key can make it. It opens for nothing else.
  - Run it twice in a play, for all routers, with I(state=sealed) and then with I(state=opened).
  - Both ends report a C(psk_id) for each key, so that the keys can be compared.
  - The initiator seals its present key on every run, so a responder that lost the key gets it again. The initiator
    makes a new key if there is none, if the file is not readable as a key or is not the recorded one, if one of the two
    routers has a new public key, or if I(rotate) asks for it.
  - A generation is the millisecond (Unix time) in which the key was made, or one more than the generation of the former
    key, whichever is higher. The responder refuses an envelope of a lower generation than it holds, unless one of the
    public keys is new.
  - A wrong answer of a peer (a bad key, an envelope that does not open, a second envelope) delays only the tunnel to
    that peer, with the reason in C(pending).
  - The tunnels of routers that are not in I(peers) are left alone, whatever state they are in.
  - A tunnel with number 20 has the files C(20.psk), as C(wg genpsk) writes it, and C(20.json) in I(directory), both
    with mode C(0600). Nothing in the second file is secret. A wrong mode or owner is corrected.
options:
  state:
    description:
      - C(sealed) handles the tunnels of which this router is the initiator. C(opened) handles those of which it is the
        responder.
    type: str
    choices: [sealed, opened]
    required: true
  name:
    description: Name of this router, as the other routers know it.
    type: str
    required: true
  tunnels:
    description: All tunnels of this router, as C(plan.preshared_keys) of M(wgmesh.router.mesh_plan_info) has them.
    type: list
    elements: dict
    default: []
    suboptions:
      number:
        description: Number of the tunnel, the same on both ends and different for each tunnel.
        type: int
        required: true
      peer:
        description: Name of the router at the other end.
        type: str
        required: true
      role:
        description: The role of this router in the tunnel. The other end has the other role.
        type: str
        choices: [initiator, responder]
        required: true
      interface:
        description: Its interface, if that is not I(interface_prefix) and the number.
        type: str
        version_added: 1.0.0
  peers:
    description: The routers of this run, each as C(public) of M(wgmesh.router.wg_keypair).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the router.
        type: str
        required: true
      public_key:
        description: Its WireGuard public key. If it is missing, the tunnel is reported as pending.
        type: str
      sealing_key:
        description: The public half of its sealing key.
        type: str
  envelopes:
    description:
      - With I(state=opened), what the initiators returned as C(envelopes). Those for other routers are ignored.
    type: list
    elements: dict
    default: []
    suboptions:
      tunnel: {description: Number of the tunnel., type: int, required: true}
      from: {description: Name of the initiator., type: str, required: true}
      to: {description: Name of the responder., type: str, required: true}
      generation: {description: Generation of the key., type: int, required: true}
      sealed: {description: The envelope itself., type: str, required: true}
  directory:
    description:
      - The store of this router's pre-shared keys. It is made with mode C(0700) when it is missing.
      - It is refused when group or others may write in it, or when a file in it is a symbolic link.
    type: path
    default: /etc/wireguard/wgmesh-psk
  private_key_file:
    description: The WireGuard private key of this router.
    type: path
    default: /etc/wireguard/wgmesh.key
  sealing_key_file:
    description: The private half of the sealing key of this router.
    type: path
    default: /etc/wireguard/wgmesh.seal
  rotate:
    description:
      - With I(state=sealed), the tunnels that get a new key although their present key is valid.
      - C(true) for all, or a list of tunnel numbers and names of peers. Entries that are not tunnels of this router are
        ignored, so all routers can get the same list.
      - Tunnels keep working during a rotation if both ends get the new key within about a minute.
    type: list
    elements: str
    default: []
  replaced:
    description:
      - Peers that were replaced. While the machine with the recorded public key of a peer is alive (its BFD session is
        up, or its last handshake is recent and its packets arrive), another key of that peer is refused, unless the
        peer is named here.
    type: list
    elements: str
    default: []
  interface_prefix:
    description: Tunnel 20 is the interface with this prefix and C(20). The module checks there whether a peer that has
      a new key is alive.
    type: str
    default: wg
  control_socket:
    description: BIRD's control socket, used to find out whether such a peer is alive.
    type: path
    default: /run/bird/bird.ctl
  removed:
    description:
      - Peers that were removed from the mesh. In early versions meshes had no names. I(purge) removes a key from such a
        version if it is for one of these peers. Otherwise it leaves the key alone, since it may be your own.
    type: list
    elements: str
    default: []
  known:
    description:
      - Also list in C(known) the keys that need no work on this router. If both ends list the same key, and each lists
        the other's present public key, there is nothing to seal.
    type: bool
    default: false
    version_added: 1.0.0
  purge:
    description:
      - Removes the keys of tunnels that are not in I(tunnels).
      - Only keys with a record of this module for I(mesh) are removed.
    type: bool
    default: false
  stale_peers:
    description: With I(purge), the only peers whose keys to remove, as M(wgmesh.router.wg_tunnel) returned them.
    type: list
    elements: str
    version_added: 1.0.0
extends_documentation_fragment: [wgmesh.router.attributes, wgmesh.router.guard, wgmesh.router.mesh]
attributes:
  check_mode:
    details:
      - A key that is not made yet has no envelope, and is missing in C(psks). The responder reports it as pending.
  diff_mode:
    details:
      - Shows generations and ids of keys, and for which tunnels there will be new ones.
  idempotent:
    support: partial
    details:
      - Envelopes are different on every run, which is not a change. Not with I(rotate).
  safe_file_operations:
    details:
      - The record is written before the key, so that no generation is used twice, wherever a run is cut off. The tunnel
        then keeps its old key until the next run.
author:
  - wgmesh.router contributors (@wgmesh)
seealso:
  - module: wgmesh.router.wg_keypair
  - module: wgmesh.router.wg_tunnel
"""

EXAMPLES = r"""
- name: Make and seal the pre-shared keys that this router initiates
  wgmesh.router.wg_psk:
    state: sealed
    name: "{{ inventory_hostname }}"
    tunnels: "{{ mesh.plan.preshared_keys }}"
    peers: "{{ ansible_play_hosts | map('extract', hostvars, 'keypair') | map(attribute='public') | list }}"
  register: sealed

- name: Open those that were sealed for this router
  wgmesh.router.wg_psk:
    state: opened
    name: "{{ inventory_hostname }}"
    tunnels: "{{ mesh.plan.preshared_keys }}"
    peers: "{{ ansible_play_hosts | map('extract', hostvars, 'keypair') | map(attribute='public') | list }}"
    envelopes: "{{ ansible_play_hosts | map('extract', hostvars, 'sealed') | map(attribute='envelopes') | flatten }}"

- name: Give tunnel 20, and all tunnels to azure-1, a new key
  wgmesh.router.wg_psk:
    state: sealed
    name: "{{ inventory_hostname }}"
    tunnels: "{{ mesh.plan.preshared_keys }}"
    peers: "{{ ansible_play_hosts | map('extract', hostvars, 'keypair') | map(attribute='public') | list }}"
    rotate: [20, azure-1]
"""

RETURN = r"""
envelopes:
  description: One envelope for each tunnel that this router initiates and whose peer is in the run. Nothing in it is secret.
  returned: with I(state=sealed)
  type: list
  elements: dict
  contains:
    tunnel: &tunnel {description: Number of the tunnel., type: int}
    from: {description: Name of this router., type: str}
    to: {description: Name of the router that can open it., type: str}
    generation: &generation {description: Generation of the key., type: int}
    sealed: {description: "The envelope itself, 1560 characters.", type: str}
  sample: [{tunnel: 20, from: office-2, to: gcp-1, generation: 1763890000123, sealed: 3q2+7wABAgME...}]
psks:
  description: The keys that this router holds, for the tunnels that I(state) handles.
  returned: success
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
  sample: [{tunnel: 20, peer: gcp-1, psk_id: 5f0c91aa, generation: 1763890000123}]
known:
  description: The keys of all tunnels, except keys that are missing, damaged, readable by others, or of a router that
    was rebuilt.
  returned: with I(known=true)
  type: list
  elements: dict
  contains:
    tunnel: *tunnel
    peer: *peer
    psk_id: {description: As in C(psks)., type: str}
    generation: *generation
    peer_public_key: {description: The public key at the other end that it is bound to., type: str}
  sample: [{tunnel: 20, peer: gcp-1, psk_id: 5f0c91aa, generation: 1763890000123, peer_public_key: pFG3Dy4tXk...}]
pending:
  description: Tunnels whose key has to wait, although the peer is in the run. Their present keys are left alone.
  returned: success
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
  sample: [{tunnel: 20, peer: office-2, reason: no envelope came from office-2}]
done:
  description: What was done, in words, also when the module failed half-way.
  returned: changed
  type: list
  elements: str
  sample: [made a key for tunnel 20 to gcp-1 (there is none)]
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
