# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role mesh registered for a router, whether by a task or by a step of one."""

from __future__ import annotations

# Tasks of several steps, each of which registers something.
PHASES = ("__mesh_begun", "__mesh_links")


def registered(variables, name):
    """Return what is registered under name, and {} when nothing is."""
    for phase in PHASES:
        answers = (variables.get(phase) or {}).get("answers") or {}
        if name in answers:
            return answers[name]
    return variables.get(name) or {}
