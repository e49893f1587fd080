# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What filters are given of the inventory."""


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  hostvars:
    description: Ansible's C(hostvars).
    type: dict
    required: true
"""
    GROUPS = r"""
options:
  groups:
    description: Ansible's C(groups).
    type: dict
    required: true
"""
    ROUTERS = r"""
options:
  group:
    description: The names of all routers.
    type: list
    elements: str
    required: true
"""
