# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option of every module that can make its change on trial."""


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  guard:
    description:
      - Seconds after which the change is taken back unless M(wgmesh.router.mesh_guard) confirms it. The modules of one
        run share one guard; the first that is about to write arms it, on the router, where it needs neither the
        controller nor a connection. A reboot takes an unconfirmed change back too.
      - C(0) keeps the change at once.
    type: int
    default: 0
"""
