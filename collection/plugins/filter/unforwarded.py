# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What routers of other sites say that a router does not forward into its site."""

from __future__ import annotations

DOCUMENTATION = r"""
name: unforwarded
short_description: What routers of other sites say that a router does not forward into its site
version_added: 1.0.0
description:
  - Each of them has pinged hosts and routers of the site by way of this one. A router that does not answer says nothing.
  - A host that answers through no router of the site is none of their faults as far as is known. So what is lost through
    one of I(beside) as well does not count.
positional: _input, seen, beside
options:
  _input:
    description: The name of the router.
    type: str
    required: true
  seen:
    description: The results of a loop over the routers of other sites, each of which planned and looked at itself.
    type: list
    elements: dict
    required: true
  beside:
    description: The names of the other routers of its site.
    type: list
    elements: str
    default: []
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
- name: Refuse to have it carry traffic
  ansible.builtin.fail:
    msg: "{{ lost | first }}"
  when: lost | length > 0
  vars:
    lost: "{{ inventory_hostname | wgmesh.router.unforwarded(looked.results, ['azure-2']) }}"
"""

RETURN = r"""
_value:
  description: One line for each of it.
  type: list
  elements: str
  sample: ["aws-1: no answer from 10.1.2.4 comes back through azure-1, but through azure-2"]
"""


def unforwarded(name, seen, beside=()):
    """Return the lines."""
    lines = []
    for result in seen:
        status = (result.get("answers") or {}).get("__mesh_seen") or {}
        alone = [trouble for trouble in status.get("troubles") or [] if trouble["alone"]]
        others = {trouble["text"] for trouble in alone if trouble["peer"] in beside}
        lines += ["%s: %s" % (result["item"], t["here"]["cause"]) for t in alone if t["peer"] == name and t["text"] not in others]
    return lines


class FilterModule:
    def filters(self):
        return {"unforwarded": unforwarded}
