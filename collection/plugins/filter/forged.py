# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts say by their facts what is the inventory's to say."""

from __future__ import annotations

DOCUMENTATION = r"""
name: forged
short_description: Which hosts have facts with names that only the inventory may set
version_added: 1.0.0
description:
  - Ansible takes facts from the answer of every module, keeps them for the whole run, or longer with a fact cache, and
    lets them override the variables of the inventory. So a router that was taken over could change its own site, or
    choose which file of the controller a task reads.
positional: _input, hostvars
options:
  _input:
    description: The hosts to check.
    type: list
    elements: str
    required: true
extends_documentation_fragment: [wgmesh.router.inventory]
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
- name: Go no further with a router that sets variables
  ansible.builtin.fail:
    msg: "{{ item }}"
  loop: "{{ [inventory_hostname] | wgmesh.router.forged(hostvars) }}"
"""

RETURN = r"""
_value:
  description: One line for each such host.
  type: list
  elements: str
  sample: ["azure-1: its facts say mesh_site, which is the inventory's to say: clear its fact cache, and see whether it was taken over"]
"""

import functools
import os
import re

import yaml

from ansible_collections.wgmesh.router.plugins.filter.mesh_group import readable

# The names that begin so are ours. Of the other roles' prefixes others may have facts, too.
OURS = re.compile(r"mesh_|wgmesh_|__mesh_|__router_|__routes_|against$")

ROLES = os.path.join(os.path.dirname(__file__), "../../roles")


@functools.lru_cache(maxsize=None)
def options():
    """The variables of the other two roles."""
    found = set()
    for role in ("router", "routes"):
        with open(os.path.join(ROLES, role, "meta/argument_specs.yml"), encoding="utf-8") as file:
            for entry in yaml.safe_load(file)["argument_specs"].values():
                found |= set(entry.get("options") or {})
    return found


def forged(names, hostvars):
    """Return the lines."""
    lines = []
    for name, variables in readable(names, hostvars):
        said = sorted(fact for fact in map(str, variables.get("ansible_facts") or {}) if OURS.match(fact) or fact in options())
        if said:
            first = re.sub(r"\W", "?", said[0])[:40]  # an old core renders what is made of it
            lines.append(
                "%s: its facts say %s%s, which is the inventory's to say: clear its fact cache, and see whether it was taken over"
                % (name, first, " and %d more" % (len(said) - 1) if len(said) > 1 else ""))
    return lines


class FilterModule:
    def filters(self):
        return {"forged": forged}
