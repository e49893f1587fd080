"""What the words of a router may do to who reads them: a terminal, the agent of a CI, Ansible itself."""

import os
import re
import sys
import unittest

sys.path.insert(0, os.environ["ANSIBLE_COLLECTIONS_PATH"])  # .ci/test-ansible sets it

from ansible_collections.wgmesh.router.plugins.plugin_utils import answers, report  # noqa: E402

# What agents take for orders: Azure's and GitHub's old one anywhere in a line, TeamCity's too, GitHub's new one at its beginning.
ORDER = re.compile(r"##[\w.-]*\[|^\s*::(?![0-9a-f]{1,4}\b)[a-z-]+.*::", re.M)
ORDERS = (
    "a ##vso[task.setvariable variable=BASH_ENV]/tmp/x", "##[add-path]/tmp", "###[error]", "##\u200bvso[x.y]z", "##teamcity[x]", "##TEAM-city.2[x]",
    "::stop-commands::x", "  ::add-mask::x", ":\u200b:set-env name=A::b", "a\n::group::x", ":::debug::x", "::ERROR file=a::x",
    "a" * 60 + "::stop-commands::x ::debug::", "word " * 20 + "::debug::",
)  # fmt: skip


def hostile(kind, text):
    """A value of a type that has a text wherever one may be."""
    if isinstance(kind, answers.List):
        return [hostile(kind.elements, text)]
    if isinstance(kind, answers.Whole):
        return {**hostile(kind.known, text), text: text, "deeper": [{text: [text]}]}
    if isinstance(kind, answers.Object):
        return {name: hostile(one, text) for name, (one, _needed) in kind.fields.items()}
    if isinstance(kind, answers.Plain):
        return False if kind is answers.BOOL else 1
    return None if isinstance(kind, answers.Key) else "192.0.2.1" if kind is answers.ADDRESS else text


def texts(value):
    if isinstance(value, dict):
        return [text for pair in value.items() for one in pair for text in texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in texts(one)]
    return [value] if isinstance(value, str) else []


class Test(unittest.TestCase):
    def test_an_agent_obeys_nobody(self):
        for order in ORDERS:
            for module, table in answers.ANSWERS.items():
                told = hostile(answers.Object({**answers.COMMON, **table}), order)
                for given in (told, {**told, "failed": True}, {"failed": True, "msg": order, order: 1}):
                    for text in texts(answers.accept(module, "gcp-1", {}, given)):
                        self.assertNotRegex(text, ORDER, module)
            row = {"routers": [order], "ends": [], "cause": order, "do": order, "kind": "failed", "follows": []}
            for width in range(30, 90):  # one of them begins a line with it
                pad = "x" * (width - 25) + " "
                for line in report.table([{**row, "cause": pad + order}]) + report.notes([{"routers": [order], "text": pad + order}]):
                    self.assertNotRegex(line, ORDER)

    def test_an_address_stays(self):
        for text in ("::1", "fe80::1", "via ::", "::/0", "[2001:db8::a]:51820", "2001:db8::a::", "fd00:31::14:0/127", "::ffff:192.0.2.1", "::beef", "## head", "a[0]", "#[x]"):
            self.assertEqual(text, answers.line(text))


if __name__ == "__main__":
    unittest.main()
