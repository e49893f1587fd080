# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in one line, however many there are."""

from __future__ import annotations

from ansible_collections.wgmesh.router.plugins.plugin_utils.answers import listed

DOCUMENTATION = r"""
name: listed
short_description: Names in one line, however many there are
version_added: 1.0.0
description:
  - Joins names by commas. Of those that do not fit it says how many there are.
positional: _input, most
options:
  _input:
    description: The names.
    type: list
    elements: str
    required: true
  most:
    description: How many characters the line may have.
    type: int
    default: 60
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
- name: Say who is not in this run
  ansible.builtin.debug:
    msg: "not in this run: {{ groups.routers | difference(ansible_play_hosts_all) | wgmesh.router.listed }}"
"""

RETURN = r"""
_value:
  description: A part of a line.
  type: str
  sample: azure-1, azure-2, aws-1 and 40 more
"""


class FilterModule:
    def filters(self):
        return {"listed": listed}
