# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a router's answer Ansible compares line by line for --diff.

It does so in its main process and without a time limit, by difflib, whose work may grow with the third power of the lines: for one
router's answer all others would wait until they took their changes back. So the work is counted here, until it is too much.
"""

from __future__ import annotations

import difflib
import itertools
import json

# Steps of difflib for one answer. 1,600 lines that change in each second one are shown.
MOST_WORK = 2000000
# A line is read, hashed, coloured and printed, too.
LINE = 10
# As many characters are compared in a step.
STEP = 1000


class TooMuch(Exception):
    """More work than there may be."""


class Counted(difflib.SequenceMatcher):
    """As unified_diff uses it, with the work that is left."""

    def __init__(self, before, after, left):
        super().__init__(None, before, after)
        work = (1 + len(line) // STEP + len(self.b2j.get(line, ())) for line in before)
        self.left, self.until = left, [0, *itertools.accumulate(work)]

    def find_longest_match(self, alo=0, ahi=None, blo=0, bhi=None):
        self.left -= self.until[ahi] - self.until[alo]
        if self.left < 0:
            raise TooMuch
        return super().find_longest_match(alo, ahi, blo, bhi)


def shown(answer):
    """Return a result whose diffs together are no more work than there may be. The others become a line."""
    if "diff" not in answer:
        return answer
    left, out = MOST_WORK, []
    for diff in answer["diff"] if isinstance(answer["diff"], list) else [answer["diff"]]:
        if isinstance(diff, dict) and "before" in diff and "after" in diff:
            before, after = (lines(diff[side]) for side in ("before", "after"))
            left -= LINE * (1 + len(before) + len(after))
            try:
                if left < 0:
                    raise TooMuch
                counted = Counted(before, after, left)
                counted.get_matching_blocks()
                left = counted.left
            except TooMuch:
                left = 0
                diff = {**diff, "before": "", "after": "its diff is too large to show: %d lines before, %d after\n" % (len(before), len(after))}
        out.append(diff)
    return {**answer, "diff": out if isinstance(answer["diff"], list) else out[0]}


def lines(value):
    """The lines that Ansible makes of one side."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True, indent=4, default=str)
    return text.splitlines(True)
