#!/usr/bin/python3
"""Runs the protocol tests, or those whose names hold one of the arguments; ends with a count.

CERTCTL_TEST_PARTS=N: in N processes, each with a shared stack of its own, which take class after class
from one queue. Most tests wait more than they work.
CERTCTL_TEST_SHORT: without the classes that say `long`, where no argument names any."""
import os
import subprocess
import sys
import tempfile
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


QUEUE = "CERTCTL_TEST_QUEUE"  # a file of numbers of classes, read in turn by the processes that share its offset


def next_class(queue):
    """Eight octets a class; one read takes one, whoever else reads."""
    record = os.read(queue, 8)
    return int(record) if record else None


def in_parts(parts, count, name):
    """This command once more in so many processes; prints what they print, and one count."""
    with tempfile.TemporaryFile() as queue:
        queue.write(b"".join(b"%7d\n" % number for number in range(count)))
        queue.seek(0)
        outputs = [tempfile.TemporaryFile(mode="w+") for _ in range(parts)]
        running = [subprocess.Popen([sys.executable, *sys.argv], stdout=output, stderr=subprocess.STDOUT, pass_fds=(queue.fileno(),),
                                    env={**os.environ, QUEUE: str(queue.fileno())}) for output in outputs]
        codes = [process.wait() for process in running]
    counts = [0, 0, 0]
    for output in outputs:
        output.seek(0)
        for line in output:
            if line.startswith(f"{name}: "):
                counts = [a + int(word) for a, word in zip(counts, line.split()[1::2])]
            else:
                sys.stdout.write(line)
        output.close()
    counts[1] += sum(code not in (0, 1) for code in codes)  # one that died told nothing
    print(f"{name}: {counts[0]} passed, {counts[1]} failed, {counts[2]} skipped")
    return 1 if counts[1] or not counts[0] else 0


def main(folder=HERE, name="protocol"):
    sys.path.insert(0, folder)
    found = list(flatten(unittest.defaultTestLoader.discover(folder, "test_*.py")))
    chosen = [t for t in found if not sys.argv[1:] or any(word in t.id() for word in sys.argv[1:])]
    if os.environ.get("CERTCTL_TEST_SHORT") and not sys.argv[1:]:
        chosen = [test for test in chosen if not getattr(type(test), "long", False)]
    by_class = {}
    for test in chosen:
        by_class.setdefault(type(test), []).append(test)
    classes = sorted(by_class, key=lambda kind: -getattr(kind, "seconds", 0))
    parts = int(os.environ.get("CERTCTL_TEST_PARTS") or 1)
    if parts > 1 and QUEUE not in os.environ:
        return in_parts(parts, len(classes), name)
    taken = list(range(len(classes)))
    if QUEUE in os.environ:
        queue = int(os.environ[QUEUE])
        taken = iter(lambda: next_class(queue), None)
    passed = failed = skipped = 0
    for number in taken:
        tests = by_class[classes[number]]
        result = unittest.TextTestRunner(stream=sys.stdout, resultclass=Lines, verbosity=0).run(unittest.TestSuite(tests))
        passed += result.passed
        skipped += len(result.skipped)
        failed += len(tests) - result.passed - len(result.skipped)  # what never ran did not pass
        sys.stdout.flush()
    print(f"{name}: {passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
