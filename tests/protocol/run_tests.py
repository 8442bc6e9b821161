#!/usr/bin/python3
"""Runs the protocol tests, or those whose names hold one of the arguments; ends with a count.

CERTCTL_TEST_PARTS=N: in N processes, each with a shared stack of its own, which take class after class
from one queue. Most tests wait more than they work.
CERTCTL_TEST_SHORT: without the classes that say `long`, where no argument names any.

One to three tests that failed are run once more, on a new stack and with nothing beside them. Who passes then counts
as passed and is called unsteady, with its first failure above: a fault, of the test or of ours, that somebody has to
find, but no reason to withhold what a thousand others passed. More than three are no chance, and classes that say
`once` assert what must never happen, however seldom: theirs stay failures."""
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

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.passed = set()

    def addSuccess(self, test):
        self.passed.add(test.id())
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
AGAIN = "CERTCTL_TEST_AGAIN"  # the ids of the tests of a second look, a line each
AT_MOST_AGAIN = 3


def next_class(queue):
    """Eight octets a class; one read takes one, whoever else reads."""
    record = os.read(queue, 8)
    return int(record) if record else None


class Tally:
    """What came of some tests: how many passed or were skipped, the ids of those that failed, and how many nobody knows of."""

    def __init__(self, name):
        self.name = name
        self.passed = self.skipped = self.lost = 0
        self.failed = []

    def __str__(self):
        return f"{self.name}: {self.passed} passed, {len(self.failed) + self.lost} failed, {self.skipped} skipped"

    def show(self):
        """For `read`: a line for each failure, then the count."""
        for test in self.failed:
            print(f"{self.name} failed: {test}")
        print(self)
        sys.stdout.flush()

    def read(self, lines):
        """Adds what another process has shown; passes on what else it said."""
        for line in lines:
            if line.startswith(f"{self.name} failed: "):
                self.failed.append(line.split(": ", 1)[1].strip())
            elif line.startswith(f"{self.name}: "):
                self.passed += int(line.split()[1])
                self.skipped += int(line.split()[5])
            else:
                sys.stdout.write(line)

    def look_again(self, once):
        """Runs the few that failed once more; takes back the failures of those that pass now."""
        if not self.failed or self.lost or len(self.failed) > AT_MOST_AGAIN or once.intersection(self.failed):
            return
        print(f"Once more, alone: {' '.join(self.failed)}", flush=True)
        second = Tally(self.name)
        with subprocess.Popen([sys.executable, sys.argv[0]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={**os.environ, AGAIN: "\n".join(self.failed)}) as process:
            second.read(process.stdout)
        if second.passed != len(self.failed) - len(second.failed):
            return  # it died
        for test in set(self.failed).difference(second.failed):
            print(f"UNSTEADY {test}: failed, and passed when run again")
        self.passed += second.passed
        self.failed = second.failed


def in_parts(tally, parts, count):
    """This command once more in so many processes; prints what they print."""
    with tempfile.TemporaryFile() as queue:
        queue.write(b"".join(b"%7d\n" % number for number in range(count)))
        queue.seek(0)
        outputs = [tempfile.TemporaryFile(mode="w+") for _ in range(parts)]
        running = [subprocess.Popen([sys.executable, *sys.argv], stdout=output, stderr=subprocess.STDOUT, pass_fds=(queue.fileno(),),
                                    env={**os.environ, QUEUE: str(queue.fileno())}) for output in outputs]
        codes = [process.wait() for process in running]
    for output in outputs:
        output.seek(0)
        tally.read(output)
        output.close()
    tally.lost += sum(code not in (0, 1) for code in codes)  # one that died told nothing


def run_class(tally, tests):
    result = unittest.TextTestRunner(stream=sys.stdout, resultclass=Lines, verbosity=0).run(unittest.TestSuite(tests))
    skipped = {test.id() for test, _ in result.skipped}
    tally.passed += len(result.passed)
    tally.skipped += len(skipped)
    tally.failed += [test.id() for test in tests if test.id() not in result.passed | skipped]  # what never ran did not pass
    sys.stdout.flush()


def choose(found):
    """Of all tests those that the arguments or the environment name."""
    if AGAIN in os.environ:
        return [test for test in found if test.id() in os.environ[AGAIN].split("\n")]
    if sys.argv[1:]:
        return [test for test in found if any(word in test.id() for word in sys.argv[1:])]
    return [test for test in found if not (os.environ.get("CERTCTL_TEST_SHORT") and getattr(type(test), "long", False))]


def main(folder=HERE, name="protocol", again=True):
    sys.path.insert(0, folder)
    chosen = choose(list(flatten(unittest.defaultTestLoader.discover(folder, "test_*.py"))))
    by_class = {}
    for test in chosen:
        by_class.setdefault(type(test), []).append(test)
    classes = sorted(by_class, key=lambda kind: -getattr(kind, "seconds", 0))
    parts = int(os.environ.get("CERTCTL_TEST_PARTS") or 1)
    inner = QUEUE in os.environ or AGAIN in os.environ
    tally = Tally(name)
    if parts > 1 and not inner:
        in_parts(tally, parts, len(classes))
    else:
        taken = iter(lambda: next_class(int(os.environ[QUEUE])), None) if QUEUE in os.environ else range(len(classes))
        for number in taken:
            run_class(tally, by_class[classes[number]])
    if inner:
        tally.show()
    else:
        if again:
            tally.look_again({test.id() for test in chosen if getattr(type(test), "once", False)})
        print(tally)
    return 1 if tally.failed or tally.lost or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
