#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The module itself is a binary, which the collection's action plugin brings to
# the host. This file is its documentation.

DOCUMENTATION = r"""
module: wg_keypair
short_description: A router's WireGuard key and sealing key, made on the router
version_added: 0.1.0
description:
  - Makes the WireGuard private key of a router, and a sealing key, to which other routers seal pre-shared keys (see
    M(wgmesh.router.wg_psk)). Both are made on the router and stay there. The public halves are returned.
  - Key files belong to the user that the module runs as, have mode C(0600), and are created exclusively. An existing
    key is never replaced unless I(regenerate) says so. A wrong mode or owner is corrected.
  - Remembers on which machine the keys were made. When the disk was cloned (C(/etc/machine-id) has changed), the clone
    gets new keys, with a warning. A machine without C(/etc/machine-id) gives a warning on every run, because a clone of
    it cannot be distinguished from it.
  - Refuses to work while an image is built, because every router made from the image would have the same keys. It is an
    image build if I(image_build) is set, if the file C(/run/wgmesh-image-build) exists, or if C(/etc/machine-id) is
    empty or contains C(uninitialized). The error names keys that are already in the image.
  - A folder that is missing is made with mode C(0700). A folder in which group or others may write is refused. So is a
    key file that is not a regular file, for example a symbolic link.
options:
  state:
    description:
      - C(present) makes sure that the router has keys.
      - C(absent) removes the keys and the record of the machine. They cannot be restored.
    type: str
    choices: [present, absent]
    default: present
  name:
    description: Name of the router, as the other routers know it. It is returned beside the keys.
    type: str
    required: true
  private_key_file:
    description: The WireGuard private key, as C(wg genkey) writes it. A key that it has made is kept.
    type: path
    default: /etc/wireguard/wgmesh.key
  sealing_key_file:
    description: The private half of the sealing key (MLKEM768-X25519).
    type: path
    default: /etc/wireguard/wgmesh.seal
  identity_file:
    description: The record of the machine, a hash of its id. Nothing in it is secret.
    type: path
    default: /etc/wireguard/wgmesh.id
  regenerate:
    description:
      - When existing keys are replaced by new ones. The choices are those of M(community.crypto.openssl_privatekey).
        With each of them a missing key is made, and a wrong mode or owner is corrected.
      - C(never) keeps every key. Keys that were made on another machine are kept with a warning. A file that is not
        readable as a key is an error.
      - C(fail) is like C(never), but keys that were made on another machine are an error.
      - C(partial_idempotence) makes new keys when they were made on another machine. A file that is not readable as a
        key is an error.
      - C(full_idempotence) also replaces a file that is not readable as a key.
      - C(always) makes new keys on every run, and is not idempotent.
      - A router with a new key is cut off until its peers know the key, so run the play for all routers. While the
        tunnel is alive, peers accept the new key only if the option C(replaced) of M(wgmesh.router.wg_psk) and
        M(wgmesh.router.wg_tunnel) names the router, which the role C(mesh) does in a run with
        C(mesh_regenerate_keys=always).
    type: str
    choices: [never, fail, partial_idempotence, full_idempotence, always]
    default: partial_idempotence
  public_key:
    description:
      - The public key that the other routers have received. If the router no longer has this key, for example because
        another run has made new keys meanwhile, the module fails and does nothing. Empty for any key.
      - With I(regenerate=always), the key that the new key replaces.
    type: str
    default: ""
  image_build:
    description: Whether the host is being made into an image. If so, this module refuses to work.
    type: bool
    default: false
  bind_to_machine:
    description:
      - Whether the keys belong to the machine on which they were made, by its C(/etc/machine-id).
      - Set C(false) if C(/etc/machine-id) is new at each boot, for example with a root file system in memory. A clone
        of the disk is then not distinguished from this machine.
    type: bool
    default: true
extends_documentation_fragment: [wgmesh.router.attributes, wgmesh.router.guard, wgmesh.router.mesh]
attributes:
  check_mode:
    details:
      - A key that is missing or would be replaced is returned as C(null).
  diff_mode:
    details:
      - Shows public keys, the fingerprint of the sealing key, and which files get a new key.
  idempotent:
    support: partial
    details:
      - Not with I(regenerate=always).
  safe_file_operations:
    details:
      - Temporary files that a killed run left are removed by the next one.
author:
  - wgmesh.router contributors (@wgmesh)
seealso:
  - module: wgmesh.router.wg_psk
  - module: wgmesh.router.wg_tunnel
"""

EXAMPLES = r"""
- name: Make the keys of this router
  wgmesh.router.wg_keypair:
    name: "{{ inventory_hostname }}"
  register: keypair

- name: Give a router new keys
  wgmesh.router.wg_keypair:
    name: "{{ inventory_hostname }}"
    regenerate: always

- name: Only look whether the keys are right, and fail on a cloned disk
  wgmesh.router.wg_keypair:
    name: "{{ inventory_hostname }}"
    regenerate: fail
  check_mode: true
"""

RETURN = r"""
public:
  description: What other routers need to know, for the option I(peers) of M(wgmesh.router.wg_psk).
  returned: success
  type: dict
  contains:
    name:
      description: The option I(name).
      type: str
      sample: azure-1
    public_key:
      description: The WireGuard public key, or C(null) in check mode when it is yet to be made.
      type: str
      sample: hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=
    sealing_key:
      description: The public half of the sealing key (1624 characters), or C(null) in check mode when it is yet to be
        made.
      type: str
      sample: 3q2+7wABAgMEBQYH...
name:
  description: The same as C(public.name).
  returned: success
  type: str
  sample: azure-1
public_key:
  description: The same as C(public.public_key).
  returned: success
  type: str
  sample: hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=
sealing_key:
  description: The same as C(public.sealing_key).
  returned: success
  type: str
  sample: 3q2+7wABAgMEBQYH...
done:
  description: What was done, in words, also when the module failed half-way.
  returned: changed
  type: list
  elements: str
  sample: [made private key /etc/wireguard/wgmesh.key (there is none)]
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
renewed:
  description: Whether a change that waits for M(wgmesh.router.mesh_guard) has replaced the private key of this router.
    Its peers may still know the old key.
  returned: when I(guard) is not 0
  type: bool
  sample: false
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
