"""Clocks that step, forward and back: of the responders, of the signer, of the jobs. No nonce comes to life again,
nothing is issued that the checker minds, and all goes on when the clock is right again."""
import random
import unittest

from breaker import FULL, fresh
from recorder import Customer, Recorder
from rules import complaints
from seam import SeamStack
from world import at_rest

HOUR = 3600
STEPS = (2 * HOUR, -2 * HOUR, 400 * 24 * HOUR, -400 * 24 * HOUR) if FULL else (-2 * HOUR,)
IN_FULL = unittest.skipUnless(FULL, "in the full form")


class Clock(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.stack = fresh(cls, SeamStack, name="clock", workers=2)
        cls.recorder = Recorder(cls.stack.home + "/recorder.jsonl")

    def tearDown(self):
        self.stack.seam.clear()

    def customer(self, name):
        return Customer(self.stack, self.recorder, random.Random(name), name)

    def serve(self, customer, steps=12):
        before = customer.done
        for _ in range(steps):
            customer.step()
        return customer.done - before

    def goes_on(self, customer):
        """The clock is right again."""
        self.stack.seam.clear()
        self.assertTrue(customer.settle())
        customer.wrong.clear()  # what it was refused by a clock that was wrong
        self.assertGreater(self.serve(customer), 2)
        self.assertEqual(customer.wrong, [])

    def test_responders(self):
        for step in STEPS:
            with self.subTest(step=step):
                customer = self.customer(f"responder{step}".replace("-", "b"))
                self.serve(customer)
                self.stack.seam.shift("certctl-acme", step)
                self.serve(customer)
                self.goes_on(customer)

    @IN_FULL
    def test_signer(self):
        for step in STEPS:
            with self.subTest(step=step):
                customer = self.customer(f"signer{step}".replace("-", "b"))
                self.serve(customer)
                self.stack.seam.shift("certctl-signer", step)
                self.serve(customer)
                self.goes_on(customer)

    def spent(self, customer):
        """A request that was answered well and spent its nonce."""
        answer = customer.acme.order(f"spent-{len(self.recorder.events)}.example.org")
        self.assertEqual(answer.status, 201, answer)
        return customer.acme.last_body

    def test_a_spent_nonce_stays_spent(self):
        """The worker's clock is behind the database's: what collects expired nonces must not make them good again."""
        customer = self.customer("nonce")
        customer.acme.register()
        for step in (-2 * HOUR, 2 * HOUR):
            with self.subTest(step=step):
                self.stack.seam.shift("certctl-acme", step)
                customer.acme.next_nonce = None
                body = self.spent(customer)
                self.stack.sql("DELETE FROM replay_guard WHERE expires_at < now()")  # what rate-limit-gc does
                self.stack.seam.shift("certctl-acme", step)
                again = customer.acme.post_body(*body)
                self.assertEqual((again.status, again.type), (400, "badNonce"), again)

    @IN_FULL
    def test_jobs(self):
        for step in STEPS:
            with self.subTest(step=step):
                self.stack.seam.shift("certctl-job-*", step)
                customer = self.customer(f"jobs{step}".replace("-", "b"))
                self.serve(customer)
                self.stack.kill("certctl-job-crl-generation")
                self.goes_on(customer)

    def test_zz_the_checker_finds_nothing(self):
        self.stack.seam.clear()
        self.assertEqual(complaints(at_rest(self.stack, self.recorder)), [])
