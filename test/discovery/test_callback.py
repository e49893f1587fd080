"""What the callback plugin of joins makes of words that other routers chose."""

import importlib.util
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).parents[2]
PLUGIN = ROOT / "collection/plugins/callback/join.py"
sys.path.insert(0, str(ROOT / "build"))  # .ci/test-discovery stages the collection there


class Test(unittest.TestCase):
    def test_a_terminal_obeys_nobody(self):
        spec = importlib.util.spec_from_file_location("join", PLUGIN)
        join = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(join)
        for text in ("\x1b[2Joff\x9b1mice\r\n-1\a \u202ego\x7fne\u2028", {"msg": "\x1b]0;x\a"}):
            said = (join.condense(text), join.failure({"msg": text}), join.unreachable(str(text), "azure-1"))
            for line in said:
                self.assertTrue(line.isprintable(), ascii(line))
        self.assertEqual("[2Joff 1mice -1 go ne", join.condense("\x1b[2Joff\x9b1mice\r\n-1\a \u202ego\x7fne\u2028"))
        self.assertEqual("no: # #[x] : :debug: :y", join.condense("no: ##[x]\n::debug::y"))
