# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routers of a site, for what drains one of them."""

from __future__ import annotations

from ansible_collections.wgmesh.router.plugins.plugin_utils import causes

LONGEST = 60

# Before the name of a run in the reason of its drains.
RUN = ", run "


def of_site(name, hostvars, group):
    """Return the names of the routers of the site of this one, itself among them, without those that are absent."""
    site = str(hostvars[name].get("mesh_site"))  # one may be a number, and another one a cloud's tag
    return [other for other in group if str(hostvars[other].get("mesh_site")) == site and hostvars[other].get("mesh_state", "present") != "absent"]


def cut(text, most=LONGEST):
    """Return what of a text fits into a line beside other words."""
    return text if len(text) <= most else text[: most - 3] + "..."


def taken(name, why):
    """Return a line that says that somebody else drained a router."""
    return "%s is drained (%s): undrain it first, or leave it out with --limit" % (name, cut(why or "nobody said why"))


def silent(result, before, after=""):
    """Return a line that says why a router did not say how it is, and what to do, between other words."""
    cause, do = causes.fit(*causes.of_result(result, "failed")[0][:2])
    room = causes.MOST - len(before + ": : " + do + after)
    return "%s: %s: %s%s" % (before, causes.squeezed(cause, max(room, 30)), do, after)
