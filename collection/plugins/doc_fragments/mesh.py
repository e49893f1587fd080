# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of every module that makes something for a mesh."""


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  mesh:
    description:
      - The name of the mesh that this is for. Everything that is made carries it, and only what carries it is changed
        or removed. One host is in one mesh; what another one made there is refused by name.
      - Empty is for your own use, outside of any mesh. The mesh play leaves that alone.
    type: str
    default: ""
  mesh_before:
    description: A mesh whose things count as those of I(mesh). Its former name, or the mesh that the host leaves for
      it.
    type: str
    default: ""
"""
