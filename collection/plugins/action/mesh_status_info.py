# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from ansible_collections.wgmesh.router.plugins.plugin_utils.wgmesh import ActionModule

__all__ = ["ActionModule"]
