"""The n-th call through each seam fails, or kills who makes it, for every n; afterwards the database holds the
old state or the new, and the next try comes to its end."""
import errno
import unittest

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from acme_client import csr
from breaker import FULL, fresh, say
from recorder import BROKEN, RecordingClient, Recorder
from rules import complaints, signatures_unaccounted
from seam import ACTIONS, DATABASE, FAIL, FAIL_AFTER, FILE, KILL_AFTER, KILL_BEFORE, NETWORK, SHORT, SIGNER, SeamStack
from world import at_rest

CALLS_MOST = 80  # a scenario that makes more calls than this never ends

# What a call is told when it fails: what the kernel would say there.
ERRORS = {DATABASE: errno.ECONNRESET, SIGNER: errno.ECONNRESET, NETWORK: errno.ECONNRESET, FILE: errno.ENOSPC}
ALWAYS = (FAIL, KILL_BEFORE, KILL_AFTER) if FULL else (FAIL, KILL_AFTER)
IN_FULL = unittest.skipUnless(FULL, "in the full form")
NAMES = {DATABASE: "database", SIGNER: "signer", NETWORK: "network", FILE: "file"}


class Base(unittest.TestCase):
    """One worker, so that each call has its number; jobs run when the test says so."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.stack = fresh(cls, SeamStack, name="seams", workers=1)
        cls.seam = cls.stack.seam
        cls.stack.run("stop", "tick")
        cls.recorder = Recorder(cls.stack.home + "/recorder.jsonl")
        cls.acme = RecordingClient(cls.stack, "prof-test", cls.recorder)
        cls.acme.register()
        cls.count = 0

    def tearDown(self):
        self.seam.disarm()
        self.stack.wait_pool("certctl-acme", 1)
        self.stack.wait_pool("certctl-signer", 3)

    def names(self):
        type(self).count += 1
        return [f"seam-{self.count}.example.org", f"seam-{self.count}.example.net"]

    def quietly(self, call, *arguments):
        """The answer, or None where none came."""
        try:
            return call(*arguments)
        except BROKEN:
            return None

    def patiently(self, call, *arguments, status=200):
        """Until it is answered well, as a client that tries again; the seam is disarmed by now."""
        for _ in range(5):
            answer = self.quietly(call, *arguments)
            if answer is not None and answer.status == status:
                return answer
        self.fail(f"{call.__name__} does not come to its end: {answer}")

    def each_call(self, program, kind, scenario, actions=ALWAYS):
        """scenario() prepares and returns (attempt, judge); both run once for each call that the attempt makes."""
        for action in actions:
            calls = []
            for at in range(1, CALLS_MOST):
                attempt, judge = scenario()
                self.seam.arm(program, kind, action, at, ERRORS[kind])
                attempt()
                fired, function = self.seam.disarm()
                with self.subTest(f"{program}: {NAMES[kind]} call {at} ({function}) {ACTIONS[action]}"):
                    judge()
                if not fired:
                    break
                calls.append(function)
            else:
                self.fail("the scenario makes ever more calls")
            self.assertGreater(len(calls), 0, f"{program} makes no call through the {NAMES[kind]} seam")
            say(f"{program}, {NAMES[kind]} {ACTIONS[action]}: {len(calls)} calls broken ({' '.join(dict.fromkeys(calls))})")

    def leaf(self):
        """A certificate of our own."""
        names = self.names()
        order = self.patiently(self.acme.order, *names, status=201)
        done = self.patiently(self.acme.finalize, order.json, csr(ec.generate_private_key(ec.SECP256R1()), names))
        chain = self.patiently(self.acme.post, done.json["certificate"])
        return x509.load_pem_x509_certificate(chain.body)


class Seams(Base):
    """What a client asks, and each call that comes of it."""

    def finalize(self):
        """An order that is ready, its finalize, and the only two states that may come of it."""
        names = self.names()
        order = self.patiently(self.acme.order, *names, status=201)
        der = csr(ec.generate_private_key(ec.SECP256R1()), names)
        name = order.headers["Location"].rsplit("/", 1)[1]

        def judge():
            rows = self.stack.sql(f"""
                SELECT o.status, o.certificate_id IS NOT NULL, o.csr_sha256 IS NOT NULL,
                       (SELECT count(*) FROM managed_certificates m WHERE m.name = 'acme-' || o.order_id),
                       (SELECT count(*) FROM certificate_versions v WHERE v.certificate_id = o.certificate_id),
                       (SELECT count(*) FROM audit_events a WHERE a.action = 'acme_order_finalized' AND a.resource_id = o.order_id)
                  FROM acme_orders o WHERE o.order_id = '{name}'""")
            self.assertIn(rows, [[["ready", "f", "f", "0", "0", "0"]], [["valid", "t", "t", "1", "1", "1"]]])
            done = self.patiently(self.acme.finalize, order.json, der)
            self.assertEqual(done.json["status"], "valid")
            if rows[0][0] == "valid":
                kept = self.stack.value(f"SELECT certificate_id FROM acme_orders WHERE order_id = '{name}'")
                self.assertEqual(done.json["certificate"].rsplit("/", 1)[1], kept)
            chain = self.patiently(self.acme.post, done.json["certificate"])
            self.acme.saw_leaf(name, done.json["certificate"], chain.body)

        return lambda: self.quietly(self.acme.finalize, order.json, der), judge

    def new_order(self):
        names = self.names()

        def judge():
            rows = self.stack.sql(f"""
                SELECT o.status, (SELECT count(*) FROM acme_order_authorizations a WHERE a.order_id = o.order_id),
                       (SELECT count(*) FROM audit_events e WHERE e.resource_id = o.order_id)
                  FROM acme_orders o WHERE o.identifiers::text LIKE '%{names[0]}%'""")
            self.assertIn(rows, [[], [["ready", "2", "1"]]])
            self.patiently(self.acme.order, *names, status=201)

        return lambda: self.quietly(self.acme.order, *names), judge

    def new_account(self):
        acme = RecordingClient(self.stack, "prof-test", self.recorder)
        busy = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'certctl_acme' AND state = 'active'"

        def judge():
            # What a killed worker had sent may still be carried out.
            self.stack.wait(lambda: self.stack.value(busy) == "0", what="no statement is under way")
            rows = self.stack.sql(f"SELECT status FROM acme_accounts WHERE jwk_thumbprint = '{acme.key.thumbprint()}'")
            self.assertIn(rows, [[], [["valid"]]])
            self.patiently(acme.post, "/new-account", {"termsOfServiceAgreed": True}, status=200 if rows else 201)

        return lambda: self.quietly(acme.post, "/new-account", {"termsOfServiceAgreed": True}), judge

    def revoke(self):
        leaf = self.leaf()
        der, serial = leaf.public_bytes(Encoding.DER), f"{leaf.serial_number:x}"

        def judge():
            rows = self.stack.sql(f"""
                SELECT m.status, r.crl_entry_der IS NOT NULL,
                       (SELECT count(*) FROM audit_events a WHERE a.action = 'certificate_revoked' AND a.resource_id = m.id)
                  FROM certificate_versions v JOIN managed_certificates m ON m.id = v.certificate_id
                  LEFT JOIN certificate_revocations r ON r.serial_number = v.serial_number WHERE v.serial_number = '{serial}'""")
            self.assertIn(rows, [[["Active", "f", "0"]], [["Revoked", "t", "1"]]])
            for _ in range(5):
                answer = self.quietly(self.acme.revoke, der, 4)
                if answer is not None and (answer.status == 200 or answer.type == "alreadyRevoked"):
                    self.recorder.add("revoked", serial=serial)
                    return
            self.fail(f"the revocation does not come to its end: {answer}")

        return lambda: self.quietly(self.acme.revoke, der, 4), judge

    # the seams of the ACME worker and of the signer

    def test_finalize_and_the_database(self):
        self.each_call("certctl-acme", DATABASE, self.finalize, (*ALWAYS, FAIL_AFTER) if FULL else ALWAYS)

    def test_finalize_and_the_signers_client(self):
        self.each_call("certctl-acme", SIGNER, self.finalize)

    @IN_FULL
    def test_finalize_and_the_signer(self):
        self.each_call("certctl-signer", SIGNER, self.finalize)

    def test_finalize_and_the_signers_files(self):
        self.each_call("certctl-signer", FILE, self.finalize, (*ALWAYS, SHORT) if FULL else (KILL_AFTER, SHORT))

    @IN_FULL
    def test_finalize_and_the_web_server(self):
        self.each_call("certctl-acme", NETWORK, self.finalize)

    @IN_FULL
    def test_new_order_and_the_database(self):
        self.each_call("certctl-acme", DATABASE, self.new_order)

    @IN_FULL
    def test_new_account_and_the_database(self):
        self.each_call("certctl-acme", DATABASE, self.new_account)

    def test_revoke_and_the_database(self):
        self.each_call("certctl-acme", DATABASE, self.revoke)

    def test_zz_the_checker_finds_nothing(self):
        """After all of these, by every rule; the CRLs are made first."""
        self.stack.run("up")
        world = at_rest(self.stack, self.recorder)
        say(f"{len(world.versions)} certificates, {len(signatures_unaccounted(world))} orphans to be, "
            f"{len(world.revocations)} revocations")
        self.assertEqual(complaints(world), [])
