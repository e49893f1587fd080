# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What routers of other sites say that a router does not forward into its site."""

from __future__ import annotations

DOCUMENTATION = r"""
name: unforwarded
short_description: What a router does not forward into its site, as routers of other sites report
version_added: 1.0.0
description:
  - Each of them has pinged hosts and routers of the site through this one. A router that does not answer reports
    nothing.
  - If a host answers through no router of the site, that need not be a fault of the routers. So pings that are also
    lost through one of I(beside) do not count.
  - A router that was taken over can lie. What one router alone reports, while two others get their answers, does not
    count.
positional: _input, seen, beside
options:
  _input:
    description: The name of the router.
    type: str
    required: true
  seen:
    description: The results of a loop over the routers of other sites, each of which planned and checked itself.
    type: list
    elements: dict
    required: true
  beside:
    description: The names of the routers of its site.
    type: list
    elements: str
    default: []
  doubted:
    description: Return what does not count for that instead.
    type: bool
    default: false
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
  description: One line for each.
  type: list
  elements: str
  sample: ["aws-1: no answer from 10.1.2.4 comes back through azure-1, but through azure-2"]
"""

from ansible_collections.wgmesh.router.plugins.plugin_utils.answers import listed


def unforwarded(name, seen, beside=(), doubted=False):
    """Return the lines."""
    said, well = {}, []
    for result in seen:
        status = (result.get("answers") or {}).get("__mesh_seen") or {}
        alone = [trouble for trouble in status.get("troubles") or [] if trouble["alone"]]
        others = {trouble["text"] for trouble in alone if trouble["peer"] in beside and trouble["peer"] != name}
        causes = [t["here"]["cause"] for t in alone if t["peer"] == name and t["text"] not in others]
        if causes:
            said[result["item"]] = causes
        elif asks(status, name):
            well.append(result["item"])
    lone = len(said) == 1 and len(well) > 1
    if doubted:
        words = "%s alone says: %s; %s get theirs: look at %s; if it was taken over: docs/taken-over.md"
        return [words % (who, causes[0], listed(sorted(well), 40), who) for who, causes in said.items() if lone]
    return ["%s: %s" % (who, cause) for who, causes in said.items() for cause in causes if not lone]


def asks(status, name):
    """Whether a router can ask by way of this one, and misses no answer."""
    tunnels = [tunnel for tunnel in status.get("tunnels") or [] if tunnel["peer"] == name and tunnel["healthy"]]
    return bool(tunnels and status.get("source_addresses")) and name not in [trouble["peer"] for trouble in status["troubles"]]


class FilterModule:
    def filters(self):
        return {"unforwarded": unforwarded}
