# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of every module that makes something for a mesh."""


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  mesh:
    description:
      - The name of the mesh. Everything that is made carries this name, and only things with this name are changed or
        removed. A host is in one mesh. If another mesh made something there, the module refuses the host and names that
        mesh.
      - Leave it empty for your own use, outside any mesh. The mesh play leaves that alone.
    type: str
    default: ""
  mesh_before:
    description: Another name whose things count as part of I(mesh). The former name of the mesh, or the mesh that the
      host leaves for it.
    type: str
    default: ""
"""
