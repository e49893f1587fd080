"""What the callback plugin of joins makes of words that other routers chose."""

import importlib.util
import pathlib
import unittest

PLUGIN = pathlib.Path(__file__).parents[2] / "collection/plugins/callback/join.py"


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
