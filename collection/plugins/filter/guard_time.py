# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For how long a change of a router waits."""

from __future__ import annotations

DOCUMENTATION = r"""
name: guard_time
short_description: For how many seconds a change waits for its confirmation
version_added: 1.0.0
description:
  - A change waits for the next one, or for its confirmation. The first router waits for the last one, in two tasks. With few
    forks these come one after the other. With many forks the controller computes all the same, and 3 s are for what it does
    for a router.
positional: _input, routers, forks, more
options:
  _input:
    description: The value of C(mesh_confirm_timeout).
    type: int
    required: true
  routers:
    description: The routers with which the run began, C(ansible_play_hosts_all).
    type: list
    elements: str
    required: true
  forks:
    description: How many of them have their turn at once, C(ansible_forks).
    type: int
    required: true
  more:
    description: For how many seconds longer the change waits, by default as long as these routers take.
    type: int
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
- name: Make the keys of this router
  wgmesh.router.wg_keypair:
    name: "{{ inventory_hostname }}"
    guard: "{{ 120 | wgmesh.router.guard_time(ansible_play_hosts_all, ansible_forks) }}"
"""

RETURN = r"""
_value:
  description: The seconds, 0 for no guard.
  type: int
"""

# The most that a module takes: a day.
MOST = 86400


def guard_time(confirm, routers, forks, more=None):
    """Return the seconds."""
    after = len(routers) - 1
    if more is None:
        more = max(10 * (after // int(forks)), 3 * after)
    return min(int(confirm) + int(more), MOST) if int(confirm) > 0 else 0


class FilterModule:
    def filters(self):
        return {"guard_time": guard_time}
