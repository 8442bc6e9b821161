"""Processes killed at random under many clients, the database with them; the checker judges afterwards."""
import concurrent.futures
import random
import signal
import threading
import time
import unittest

from breaker import FULL, Database, Killer, fresh, say, seed, signal_all
from recorder import Customer, Recorder
from rules import complaints, signatures_unaccounted
from world import at_rest

WORKERS = 4
KILLED = ("certctl-acme", "certctl-acme", "certctl-signer", "certctl-job-crl-generation", "certctl-job-acme-validate",
          "certctl-job-rate-limit-gc", "certctl-api", "certctl-tick", "certctl-job-job-processor", "certctl-job-acme-finalize")
STOPS = ((signal.SIGINT, "database stopped fast"), (signal.SIGQUIT, "database killed by an immediate stop"),
         (signal.SIGKILL, "database killed -9"))


class Pools(unittest.TestCase):
    """Issue 4: each worker killed 20 times within 10 s, and the pool is complete again, 2 s later where nothing else runs."""

    @classmethod
    def setUpClass(cls):
        cls.stack = fresh(cls, name="pools", workers=WORKERS)

    def pools(self):
        yield "certctl-acme", WORKERS
        if FULL:
            yield "certctl-signer", 3
            yield "certctl-api", 2
            yield "certctl-probe", 2

    def kill_each(self, program, count, times, seconds):
        """Every process of the pool, so many times, at even distances."""
        killed, began = 0, time.monotonic()
        for turn in range(times):
            time.sleep(max(0, began + turn * seconds / times - time.monotonic()))
            pids = self.stack.pids(program)
            signal_all(pids)
            killed += len(pids)
        say(f"{program}: {killed} of {count} × {times} kills in {time.monotonic() - began:.1f} s")
        self.assertGreater(killed, count)
        return killed

    def test_twenty_kills_in_ten_seconds(self):
        for program, count in self.pools():
            with self.subTest(program):
                killed = self.kill_each(program, count, 20, 9.5)
                began = time.monotonic()
                self.stack.wait(lambda program=program, count=count: len(self.stack.pids(program)) == count, what=f"the pool after {killed} kills")
                say(f"the pool is complete {time.monotonic() - began:.1f} s later")
        customer = Customer(self.stack, Recorder(), random.Random(1), "after")
        for _ in range(20):
            customer.step()
        self.assertGreater(customer.done, 2)

    def children(self, name):
        """Of the supervisor of this pool, whether they have begun yet or not."""
        with open(f"{self.stack.dir}/pid/{name}", encoding="utf-8") as source:
            leader = source.read().split()[0]
        try:
            with open(f"/proc/{leader}/task/{leader}/children", encoding="ascii") as source:
                return [int(pid) for pid in source.read().split()]
        except OSError:
            self.fail(f"the supervisor of {name} has ended")

    def test_workers_that_die_at_once(self):
        """Killed as soon as they are there: multiwatch counts deaths within a millisecond of the start, and
        after four in a row it gives the place up unless it is told -r."""
        end = time.monotonic() + 3
        while time.monotonic() < end:
            signal_all(self.children("acme"))
        self.stack.wait(lambda: len(self.stack.pids("certctl-acme")) == WORKERS, what="the pool is complete")


class Crowd(unittest.TestCase):
    """Issue 4: 200 concurrent clients under random kills and a database restart; the checker finds nothing."""

    CLIENTS = 200
    SECONDS = 60 if FULL else 12

    @classmethod
    def setUpClass(cls):
        cls.stack = fresh(cls, name="crowd", workers=WORKERS, env={"CERTCTL_APPROVAL_BYPASS": "true"})
        cls.stack.sql("INSERT INTO certificate_profiles (id, name, issuer_id, requires_approval) VALUES ('prof-queue', 'By the queue', 'iss-local', true)")

    def profile(self, number):
        """One in eight goes by the queue (01 section 10.3): parked, granted by the bypass, issued by job-processor."""
        return "prof-queue" if number % 8 == 0 else "prof-test"

    def leases_end(self):
        """Time passes: what a killed worker had claimed is given back."""
        self.stack.sql("UPDATE jobs SET lease_until = now() - interval '1 second' WHERE status = 'Running'; "
                       "UPDATE scheduler_state SET next_due_at = now() WHERE job LIKE 'job-%'")

    def drive(self, customer, end):
        while time.monotonic() < end:
            customer.step()

    def break_database(self, database, recorder, end):
        """In turn in every way; the short form has room for the worst."""
        for number, what in STOPS if FULL else STOPS[2:]:
            time.sleep(self.SECONDS / 5)
            recorder.incident(what)
            database.restart(number)
        self.assertLess(time.monotonic(), end + 300)

    def test_two_hundred_clients(self):
        dice = random.Random(seed("crowd"))
        recorder = Recorder(self.stack.home + "/recorder.jsonl")
        customers = [Customer(self.stack, recorder, random.Random(dice.random()), f"crowd-{n}", self.profile(n))
                     for n in range(self.CLIENTS)]
        killer = Killer(self.stack, KILLED, random.Random(dice.random()))
        end = time.monotonic() + self.SECONDS
        threads = [threading.Thread(target=self.drive, args=(customer, end), daemon=True) for customer in customers]
        for thread in [killer, *threads]:  # the process first, while there is one thread
            thread.start()
        self.break_database(Database(self.stack), recorder, end)
        for thread in threads:
            thread.join(120)
        killer.stop()
        self.leases_end()
        self.stack.wait(lambda: len(self.stack.pids("certctl-acme")) == WORKERS, what="the pool is complete")
        with concurrent.futures.ThreadPoolExecutor(20) as crew:
            settled = list(crew.map(Customer.settle, customers))
        self.judge(recorder, customers, settled, killer.kills)

    def judge(self, recorder, customers, settled, kills):
        world = at_rest(self.stack, recorder)
        answers = [event["status"] for event in recorder.events if event["kind"] == "answer"]
        say(f"{kills} kills, {len(answers)} requests ({sum(not 200 <= s < 300 for s in answers)} not answered well), "
            f"{len(world.versions)} certificates, {len(signatures_unaccounted(world))} orphans to be, "
            f"{len(world.revocations)} revocations")
        self.assertEqual(complaints(world), [])
        self.assertEqual([answer for customer in customers for answer in customer.wrong], [])
        self.assertEqual(settled.count(False), 0)
        self.assertGreater(len(world.versions), 1)  # more than the site's own
        say(f"{sum(job['status'] == 'Completed' for job in world.jobs)} certificates by the queue")
        self.assertGreater(kills, 0)
