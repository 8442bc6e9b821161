"""Breaking a stack: random kills from a printed seed, and PostgreSQL stopped in every way it can be."""
import glob
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

from seam import SeamStack
from stack import Stack

FULL = os.environ.get("CERTCTL_FAULT") == "full"
# No limit of ours ends a test of something else.
ENVIRONMENT = {
    "CERTCTL_ACME_SERVER_RATE_LIMIT_CONCURRENT_ORDERS": "0",
    "CERTCTL_ACME_SERVER_RATE_LIMIT_ORDERS_PER_HOUR": "0",
    "CERTCTL_ACME_SERVER_RATE_LIMIT_NEW_ACCOUNTS_PER_IP_PER_HOUR": "0",
    "CERTCTL_RATE_LIMIT_BURST": "100000",
}


def seed(name):
    """Printed, so that a failure's kills can be had again: CERTCTL_FAULT_SEED."""
    value = int(os.environ.get("CERTCTL_FAULT_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"     {name}: CERTCTL_FAULT_SEED={value}", flush=True)
    return value


def fresh(case, stack_class=Stack, **options):
    """A stack for one class of tests."""
    stack = stack_class(env={**ENVIRONMENT, **options.pop("env", {})}, **options)
    stack.environment["CERTCTL_RUN_RATE"] = "100000"
    case.addClassCleanup(stack.stop, keep=bool(os.environ.get("CERTCTL_CHECK_KEEP")))
    return stack.start()


def state_of(pid):
    """State and start time, or None."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as source:
            fields = source.read().rsplit(")", 1)[1].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return None


def is_running(pid):
    state = state_of(pid)
    return state is not None and state[0] != "Z"


def signal_all(pids, number=signal.SIGKILL):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


class Database:
    """The stack's PostgreSQL, stopped and started without ./run, which would also mend what else is broken."""

    def __init__(self, stack):
        self.stack = stack
        self.data = os.path.join(stack.dir, "pg", "data")
        with open(os.path.join(self.data, "PG_VERSION"), encoding="utf-8") as source:
            self.bin = f"/usr/lib/postgresql/{source.read().strip()}/bin"

    def pid(self):
        with open(os.path.join(self.data, "postmaster.pid"), encoding="utf-8") as source:
            return int(source.readline())

    def backends(self):
        found = []
        for path in glob.glob("/proc/[0-9]*/cwd"):
            try:
                if os.readlink(path) == self.data:
                    found.append(int(path.split("/")[2]))
            except OSError:
                pass
        return [pid for pid in found if is_running(pid)]

    def stop(self, number):
        """SIGINT: fast; SIGQUIT: immediate; SIGKILL: the postmaster and all of its children at once."""
        postmaster = self.pid()
        signal_all([postmaster, *self.backends()] if number == signal.SIGKILL else [postmaster], number)
        Stack.wait(lambda: not is_running(postmaster) and not self.backends(), 60, "PostgreSQL is gone")

    def start(self, check=True):
        lock = os.path.join(self.data, "postmaster.pid")
        if os.path.exists(lock) and not is_running(self.pid()):
            for path in [lock, *glob.glob(self.stack.pg_socket + "/.s.PGSQL.*")]:
                os.unlink(path)  # where nobody reaps, the number still answers
        as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        log = os.path.join(self.stack.dir, "log", "restart.log")
        with open(log, "a+", encoding="utf-8") as out:
            done = subprocess.run([*as_postgres, self.bin + "/pg_ctl", "start", "-D", self.data, "-w", "-t", "60", "-s"], cwd="/",
                                  check=False, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                  env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"})
            out.seek(0)
            words = out.read()[-2000:]
        if done.returncode == 0:
            self.record()
        elif check:
            raise AssertionError(f"PostgreSQL does not start: {words}")
        return done.returncode == 0

    def record(self):
        """./run knows its processes by these words."""
        path = os.path.join(self.stack.dir, "pid", "postgres")
        with open(path, encoding="utf-8") as source:
            words = source.read().split()
        words[:2] = [str(self.pid()), state_of(self.pid())[1]]
        with open(path, "w", encoding="utf-8") as out:
            out.write(" ".join(words) + "\n")

    def answers(self):
        try:
            return self.stack.value("SELECT 1") == "1"
        except AssertionError:
            return False

    def restart(self, number):
        self.stop(number)
        self.start()


class Killer(multiprocessing.Process):
    """Kills processes of these programs, one or all at a time, until it is stopped; a process, since among
    hundreds of threads it would hardly have its turn."""

    def __init__(self, stack, programs, dice, pause=(0.05, 0.5)):
        super().__init__(daemon=True)
        self.stack, self.programs, self.dice, self.pause = stack, programs, dice, pause
        self.over = multiprocessing.Event()
        self.counted = multiprocessing.Value("i", 0)

    def run(self):
        while not self.over.wait(self.dice.uniform(*self.pause)):
            pids = self.stack.pids(self.dice.choice(self.programs))
            if pids and self.dice.random() < 0.7:
                pids = [self.dice.choice(pids)]
            signal_all(pids)
            self.counted.value += len(pids)

    @property
    def kills(self):
        return self.counted.value

    def stop(self):
        self.over.set()
        self.join()


def say(text):
    print("     " + text, file=sys.stdout, flush=True)


__all__ = ["FULL", "Database", "Killer", "SeamStack", "fresh", "is_running", "say", "seed", "signal_all", "state_of", "time"]
