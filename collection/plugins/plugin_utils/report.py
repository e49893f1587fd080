# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How people and tools are shown what is wrong with a mesh: a table for a terminal of 80 columns, and JSON."""

from __future__ import annotations

import datetime
import json
import os
import tempfile
import textwrap

from ansible_collections.wgmesh.router.plugins.plugin_utils.answers import listed
from ansible_collections.wgmesh.router.plugins.plugin_utils.causes import plain

WIDTH = 80
# How wide the column of router names may be, and for one name that is longer, as those with a domain are.
WIDEST = 20
WIDEST_NAME = 32
# How many characters of names a row may have.
WHOSE = 100
VERSION = 1
# How many rows people are shown; tools get all.
MOST_ROWS = 60


def table(rows):
    """Return the lines of the table of causes, none of them wider than WIDTH."""
    more, rows = len(rows) - MOST_ROWS, rows[:MOST_ROWS]
    head = ("ROUTER", "FOLLOWS", "CAUSE -> WHAT TO DO")
    cells = [(whose(row), counted(len(row["follows"])), row) for row in rows]
    longest = max(len(name) for cell in cells for name in cell[0].split() or [""])  # nobody can search for a part of one
    first = min(max(WIDEST, min(WIDEST_NAME, longest)), max(len(name) for name in (head[0], *(cell[0] for cell in cells))))
    second = max(len(count) for count in (head[1], *(cell[1] for cell in cells)))
    rest = WIDTH - first - second - 4
    lines = ["%-*s  %-*s  %s" % (first, head[0], second, head[1], head[2])]
    for routers, follows, row in cells:
        left = wrapped(routers, first)
        right = wrapped(plain(row["cause"]), rest) + wrapped("-> " + plain(row["do"]), rest, "   ")
        for i in range(max(len(left), len(right))):
            part = [left[i] if i < len(left) else "", follows if i == 0 else "", right[i] if i < len(right) else ""]
            lines.append(("%-*s  %-*s  %s" % (first, part[0], second, part[1], part[2])).rstrip())
    return lines + ["and %d more: mesh_report_file has them all" % more] * (more > 0)


def notes(warnings):
    """Return the lines of warnings, each with its routers."""
    lines = []
    for warning in warnings:
        lines += wrapped("%s: %s" % (plain(listed(warning["routers"], WHOSE)), plain(warning["text"])), WIDTH, "  ")
    return lines


def whose(row):
    """The routers of a row. What is wrong with the inventory is not that of any one."""
    return "the mesh" if row["kind"] == "plan" and len(row["ends"]) > 1 and row["ends"] == row["follows"] else plain(listed(row["routers"], WHOSE))


def counted(number):
    return "%d router%s" % (number, "s" * (number != 1)) if number else "-"


def wrapped(text, width, indent=""):
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=True) or [""]


def document(rows, warnings, healthy, play):
    """Return what tools read. docs/at-night.md has the fields."""
    return {
        "version": VERSION,
        "play": play,
        "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "healthy": healthy,
        "causes": [
            {
                "routers": row["routers"], "cause": row["cause"], "do": row["do"], "kind": row["kind"],
                "follows": {"count": len(row["follows"]), "routers": row["follows"]},
            }
            for row in rows
        ],
        "warnings": warnings,
    }  # fmt: skip


def write(path, content):
    """Write a file as a whole or not at all."""
    path = os.path.expanduser(path)
    handle, temp = tempfile.mkstemp(prefix=".wgmesh-report-", dir=os.path.dirname(path) or ".")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.replace(temp, path)
    except BaseException:
        os.unlink(temp)
        raise
