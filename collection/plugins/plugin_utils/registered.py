# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role mesh registered for a router, whether by a task or by a step of one."""

from __future__ import annotations

import multiprocessing

# Tasks of several steps, each of which registers something.
PHASES = ("__mesh_begun", "__mesh_links")

# What a process of Ansible's for one task has looked up. The templates of the task ask for the same of all
# routers again and again.
LOOKED = []


class Once:
    """A mapping of which each value is looked up once."""

    def __init__(self, mapping, look=None):
        self.mapping, self.look, self.found = mapping, look or mapping.__getitem__, {}

    def __contains__(self, name):
        return name in self.mapping

    def __getitem__(self, name):
        if name not in self.found:
            self.found[name] = self.look(name)
        return self.found[name]

    def get(self, name, default=None):
        return self[name] if name in self.mapping else default


def once(hostvars):
    """Return hostvars of which each variable is looked up once. Ansible looks through all of
    a value for templates each time. What a router answered is none, and a phase is large."""

    def of_host(name):
        if not hasattr(hostvars, "raw_get"):
            return Once(hostvars[name])
        raw, rendered = hostvars.raw_get(name), hostvars[name]  # each time that is asked, the group_vars are looked for
        return Once(raw, lambda key: raw[key] if key in PHASES and isinstance(raw[key], dict) else rendered[key])

    if isinstance(hostvars, Once):
        return hostvars
    if multiprocessing.parent_process() is None:  # here variables change between the tasks
        return Once(hostvars, of_host)
    if not LOOKED or LOOKED[0].mapping is not hostvars:
        LOOKED[:] = [Once(hostvars, of_host)]
    return LOOKED[0]


def registered(variables, name):
    """Return what is registered under name, and {} when nothing is."""
    for phase in PHASES:
        answers = (variables.get(phase) or {}).get("answers") or {}
        if name in answers:
            return answers[name]
    return variables.get(name) or {}


def status(variables):
    """Return what a router saw of the network: last of all, or where nobody changed anything with the rest."""
    waited = variables.get("__mesh_status") or {}
    return registered(variables, "__mesh_proved") if waited.get("skipped") else waited
