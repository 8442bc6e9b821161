"""run_tests.py itself: what failed is counted as failed, and who gets a second look."""
import os
import subprocess
import sys
import tempfile
import textwrap
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))

START = f"""
    import os, sys
    sys.path.insert(0, {HERE!r})
    from run_tests import main
    sys.exit(main(os.path.dirname(os.path.abspath(__file__)), "sample"))
"""

TESTS = """
    import os, unittest

    def first_time(name):
        try:
            os.close(os.open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "seen-" + name), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    class Sample(unittest.TestCase):
        once = %(once)s

        def test_good(self):
            pass

        def test_left_out(self):
            self.skipTest("as it should be")

        def test_some(self):
            for number in range(%(broken)d):
                with self.subTest(number):
                    self.fail("always")

        def test_unsteady(self):
            self.assertFalse(%(unsteady)s and first_time("unsteady"))

    class Dying(unittest.TestCase):
        def test_dies(self):
            if %(dies)s:
                os._exit(9)

    class Unset(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            if %(unset)s and first_time("unset"):
                raise OSError("no stack")

        def test_one(self):
            pass

        def test_two(self):
            pass
"""


class Runner(unittest.TestCase):

    def run_sample(self, parts, **what):
        """(exit code, last line, the lines on unsteady tests)."""
        values = {"once": False, "broken": 0, "unsteady": False, "dies": False, "unset": False, **what}
        with tempfile.TemporaryDirectory() as folder:
            for name, text in (("run_sample.py", START), ("test_sample.py", TESTS % values)):
                with open(os.path.join(folder, name), "w", encoding="utf-8") as target:
                    target.write(textwrap.dedent(text))
            env = {name: value for name, value in os.environ.items() if not name.startswith("CERTCTL_TEST_")}
            done = subprocess.run([sys.executable, os.path.join(folder, "run_sample.py")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, check=False, env={**env, "CERTCTL_TEST_PARTS": parts})
        lines = done.stdout.splitlines()
        return done.returncode, lines[-1] if lines else "", [line for line in lines if line.startswith("UNSTEADY")]

    def test_counts(self):
        unsteady = "UNSTEADY test_sample.Sample.test_unsteady: failed, and passed when run again"
        for about, what, code, last, named in (
                ("all good", {}, 0, "sample: 6 passed, 0 failed, 1 skipped", []),
                ("a steady failure", {"broken": 1}, 1, "sample: 5 passed, 1 failed, 1 skipped", []),
                ("one test with two failures", {"broken": 2}, 1, "sample: 5 passed, 1 failed, 1 skipped", []),
                ("an unsteady one", {"unsteady": True}, 0, "sample: 6 passed, 0 failed, 1 skipped", [unsteady]),
                ("both", {"unsteady": True, "broken": 1}, 1, "sample: 5 passed, 1 failed, 1 skipped", [unsteady]),
                ("what must never happen", {"unsteady": True, "once": True}, 1, "sample: 5 passed, 1 failed, 1 skipped", []),
                ("a class that could not begin", {"unset": True}, 0, "sample: 6 passed, 0 failed, 1 skipped",
                 [f"UNSTEADY test_sample.Unset.test_{one}: failed, and passed when run again" for one in ("one", "two")]),
                ("four are no chance", {"unset": True, "unsteady": True, "broken": 1}, 1, "sample: 2 passed, 4 failed, 1 skipped", [])):
            for parts in ("1", "2"):
                with self.subTest(about, parts=parts):
                    found = self.run_sample(parts, **what)
                    self.assertEqual((found[0], found[1], sorted(found[2])), (code, last, named))

    def test_a_part_that_dies(self):
        code, last, named = self.run_sample("2", dies=True)
        self.assertEqual((code, named), (1, []))
        self.assertRegex(last, "sample: [0-9]+ passed, [1-9][0-9]* failed")
