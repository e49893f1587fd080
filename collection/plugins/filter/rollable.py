# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a router cannot have its turn in a run that drains one after the other."""

from __future__ import annotations

from ansible_collections.wgmesh.router.plugins.plugin_utils.site import RUN, of_site, silent, taken

DOCUMENTATION = r"""
name: rollable
short_description: Why a router cannot have its turn in a run that drains one after the other
version_added: 1.0.0
description:
  - Each router of such a run is drained, changed and undrained. So its site needs another router, the router has to
    answer, and it must not be drained for another reason, which somebody may still need.
  - Keys of the only router of a site are rotated without a drain.
  - A router that a run of the same kind left drained is not refused, so that the run can continue.
positional: _input, hostvars, group, why, seen
options:
  _input:
    description: The name of the router.
    type: str
    required: true
  why:
    description: The reason for which such a run drains routers.
    type: str
    required: true
  seen:
    description: What the router reports about itself, the result of a plan and a status check.
    type: dict
    required: true
  force:
    description: Whether the only router of a site is accepted, too.
    type: bool
    default: false
extends_documentation_fragment: [wgmesh.router.inventory, wgmesh.router.inventory.routers]
"""

EXAMPLES = r"""
- name: Refuse what would cut a site off
  ansible.builtin.fail:
    msg: "{{ refused }}"
  when: refused | length > 0
  vars:
    refused: "{{ inventory_hostname | wgmesh.router.rollable(hostvars, groups.routers, 'upgrade', looked) }}"
"""

RETURN = r"""
_value:
  description: One line. Empty if the router can have its turn.
  type: str
  sample: "azure-1 is drained (a new disk): undrain it first, or leave it out with --limit"
"""


def rollable(name, hostvars, group, why, seen, force=False):
    """Return the line."""
    mine = of_site(name, hostvars, group)
    if mine == [name] and why != "rotate" and not force:
        return "%s is the only router of its site: leave it out with --limit, or accept the cut with -e mesh_drain_force=true" % name
    status = (seen.get("answers") or {}).get("__mesh_seen")
    if status is None:
        return silent(seen, name, ", or leave it out with --limit")
    if status["drained"] and status["drained_why"].partition(RUN)[0] != why:
        return taken(name, status["drained_why"])
    return ""


class FilterModule:
    def filters(self):
        return {"rollable": rollable}
