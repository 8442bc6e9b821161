#!/usr/bin/python3
"""Runs the protocol tests, or those whose names hold one of the arguments; ends with a count."""
import os
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


def flatten(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flatten(test)
        else:
            yield test


class Lines(unittest.TextTestResult):
    """One line a test, with its time; failures in full at once."""

    def startTest(self, test):
        self.began = time.monotonic()
        self.bad = False
        super(unittest.TextTestResult, self).startTest(test)

    def say(self, word, test):
        self.stream.writeln(f"{word} {test.id()} ({time.monotonic() - self.began:.1f} s)")
        self.stream.flush()

    passed = 0

    def addSuccess(self, test):
        self.passed += 1
        self.say("ok  ", test)

    def fail_now(self, test, error):
        self.bad = True
        self.say("FAIL", test)
        self.stream.writeln(self._exc_info_to_string(error, test))

    def addFailure(self, test, err):
        unittest.TestResult.addFailure(self, test, err)
        self.fail_now(test, err)

    def addError(self, test, err):
        unittest.TestResult.addError(self, test, err)
        self.began = getattr(self, "began", time.monotonic())
        self.fail_now(test, err)

    def addSubTest(self, test, subtest, err):
        unittest.TestResult.addSubTest(self, test, subtest, err)
        if err:
            self.fail_now(subtest, err)

    def addSkip(self, test, reason):
        unittest.TestResult.addSkip(self, test, reason)
        self.began = getattr(self, "began", time.monotonic())
        self.say(f"skip ({reason})", test)


def main(folder=HERE, name="protocol"):
    sys.path.insert(0, folder)
    found = list(flatten(unittest.defaultTestLoader.discover(folder, "test_*.py")))
    chosen = [t for t in found if not sys.argv[1:] or any(word in t.id() for word in sys.argv[1:])]
    suite = unittest.TestSuite()
    by_class = {}
    for test in chosen:
        by_class.setdefault(type(test), []).append(test)
    for tests in by_class.values():
        suite.addTests(tests)
    result = unittest.TextTestRunner(stream=sys.stdout, resultclass=Lines, verbosity=0).run(suite)
    failed = len(chosen) - result.passed - len(result.skipped)  # what never ran did not pass
    print(f"{name}: {result.passed} passed, {failed} failed, {len(result.skipped)} skipped")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
