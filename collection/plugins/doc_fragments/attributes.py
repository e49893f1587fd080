# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every module. A module says only where it differs."""


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Can run in check mode and return changed status prediction without modifying the target.
  diff_mode:
    support: full
    description: Will return details on what has changed, or would change, with I(--diff).
  idempotent:
    support: full
    description: When run twice in a row outside check mode, the second run reports no change.
  safe_file_operations:
    support: full
    description: Writes files so that a crash leaves the old file or the new one.
  platform:
    support: full
    platforms: linux
    description: Systems that the module runs on.
"""
