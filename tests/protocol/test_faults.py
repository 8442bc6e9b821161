"""Things that break: the signer, the database, workers. Each test has a stack of its own to break."""
import hashlib
import itertools
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from acme_client import Client, csr
from case import shared_stack
from stack import Stack
from test_routes import fcgi


class Faults(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(name="faults", env={"CERTCTL_ACME_SERVER_RATE_LIMIT_CONCURRENT_ORDERS": "5",
                                              "CERTCTL_ACME_SERVER_RATE_LIMIT_ORDERS_PER_HOUR": "30",
                                              "CERTCTL_ACME_SERVER_RATE_LIMIT_NEW_ACCOUNTS_PER_IP_PER_HOUR": "20",
                                              "CERTCTL_ACME_SERVER_TOS_URL": "https://example.org/terms"})
        cls.addClassCleanup(cls.stack.stop, keep=bool(os.environ.get("CERTCTL_CHECK_KEEP")))
        cls.stack.start()

    def client(self):
        acme = Client(self.stack, "prof-test")
        acme.register()
        return acme

    def test_signer_gone_and_back(self):
        acme = self.client()
        order = acme.order("signer.example.org")
        der = csr(ec.generate_private_key(ec.SECP256R1()), ["signer.example.org"])
        self.stack.run("stop", "signer")
        answer = acme.finalize(order.json, der)
        self.assertEqual((answer.status, answer.type, answer.headers["Retry-After"]), (503, "serverInternal", "5"), answer)
        self.assertEqual(acme.post(order.headers["Location"]).json["status"], "ready")
        self.stack.run("up")
        self.assertEqual(acme.finalize(order.json, der).status, 200)

    def test_signer_killed_again_and_again(self):
        acme = self.client()
        for i in range(3):
            self.stack.kill("certctl-signer")
            self.stack.wait(lambda: len(self.stack.pids("certctl-signer")) >= 2, what="signers are back")
            acme.obtain(f"killed-{i}.example.org")

    def test_database_gone_and_back(self):
        acme = self.client()
        order = acme.order("database.example.org")
        nonce = acme.nonce()
        self.stack.run("stop", "postgres")
        answer = acme.post("/new-order", {"identifiers": [{"type": "dns", "value": "x.example.org"}]}, nonce=nonce)
        self.assertEqual((answer.status, answer.type, answer.headers["Retry-After"]), (503, "serverInternal", "5"), answer)
        ready = acme.raw("GET", "/ready")
        self.assertEqual((ready.status, ready.json), (503, {"status": "db_unavailable", "error": "database unreachable"}))
        self.assertEqual(acme.raw("GET", "/health").status, 200)
        self.stack.run("up")
        self.stack.wait(lambda: acme.raw("GET", "/ready").status == 200, what="ready again")
        acme.next_nonce = None
        der = csr(ec.generate_private_key(ec.SECP256R1()), ["database.example.org"])
        self.assertEqual(acme.finalize(order.json, der).status, 200)

    def cut_off_at_the_commit(self, name, login):
        """The commit of an issuance waits for a lock when its session is ended. The serial that was signed."""
        acme = self.client()
        order = acme.order(name)
        der = csr(ec.generate_private_key(ec.SECP256R1()), [name])
        answers = []
        with self.stack.holding("LOCK TABLE managed_certificates IN ACCESS EXCLUSIVE MODE") as ask:
            thread = threading.Thread(target=lambda: answers.append(acme.finalize(order.json, der)))
            thread.start()
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'certctl_acme' AND wait_event_type = 'Lock'"
            self.stack.wait(lambda: ask(waiting) == ["1"], what="the commit waits")
            self.stack.sql(f"ALTER ROLE certctl_acme {login}")
            self.stack.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'certctl_acme'")
        thread.join()
        with open(self.stack.signer_log, encoding="utf-8") as source:
            serials = [entry["serial"] for entry in map(json.loads, source) if f"dns:{name}" in entry.get("names", [])]
        return acme, order, der, answers[0], serials

    def entered(self, serial):
        return self.stack.value("SELECT source || ' ' || (crl_entry_der IS NOT NULL) || ' ' || (SELECT count(*) FROM audit_events "
                                f"WHERE resource_id = '{serial}' AND action = 'certificate_revoked') || ' ' || (SELECT count(*) FROM "
                                f"notification_events WHERE message LIKE '%{serial}%') FROM certificate_revocations "
                                f"WHERE serial_number = '{serial}'")

    def test_a_signature_whose_commit_failed_is_discarded(self):
        """At once where the database can be reached, else when it can again (00 decision 64)."""
        acme, order, der, answer, serials = self.cut_off_at_the_commit("cut-off.example.org", "LOGIN")
        self.assertEqual((answer.status, len(serials)), (503, 1), answer)  # the order is ready still
        self.stack.wait(lambda: self.entered(serials[0]) == "discarded true 1 0", what="entered at once")

        self.addCleanup(self.stack.sql, "ALTER ROLE certctl_acme LOGIN")
        acme, order, der, answer, serials = self.cut_off_at_the_commit("no-login.example.org", "NOLOGIN")
        self.assertEqual((answer.status, len(serials)), (503, 1), answer)
        self.assertIsNone(self.entered(serials[0]))
        self.stack.sql("ALTER ROLE certctl_acme LOGIN")

        def asked_and_entered():
            acme.raw("GET", "/acme/profile/prof-test/directory")
            return self.entered(serials[0]) == "discarded true 1 0"

        self.stack.wait(asked_and_entered, what="entered when the database is back")
        acme.next_nonce = None
        self.assertEqual(acme.finalize(order.json, der).status, 200)
        self.assertEqual(self.entered(serials[0]), "discarded true 1 0")

    def test_a_commit_whose_answer_was_lost(self):
        """The commit came through: the order is valid, and the client is told so, not that it repeats itself."""
        acme = self.client()
        order = acme.order("lost-answer.example.org")
        der = csr(ec.generate_private_key(ec.SECP256R1()), ["lost-answer.example.org"])
        waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND usename ="
        message = "SELECT pg_logical_emit_message(true, 'probe', '')"
        answers = []
        probe = threading.Thread(target=self.stack.sql, args=(message,))
        finalize = threading.Thread(target=lambda: answers.append(acme.finalize(order.json, der)))

        def set_standby(statement):
            self.stack.sql(f"ALTER SYSTEM {statement}")
            self.stack.sql("SELECT pg_reload_conf()")

        self.addCleanup(set_standby, "RESET synchronous_standby_names")
        set_standby("SET synchronous_standby_names = 'nobody'")  # a commit is kept, and its session waits for more
        probe.start()
        self.stack.wait(lambda: self.stack.value(f"SELECT count(*) {waiting} 'postgres'") == "1", what="commits wait")
        finalize.start()
        self.stack.wait(lambda: self.stack.value(f"SELECT count(*) {waiting} 'certctl_acme'") == "1", what="the commit waits")
        self.stack.sql(f"SELECT pg_terminate_backend(pid) {waiting} 'certctl_acme'")
        set_standby("RESET synchronous_standby_names")
        finalize.join()
        probe.join()
        self.assertEqual((answers[0].status, answers[0].json["status"]), (200, "valid"), answers[0])
        self.assertEqual(acme.post(answers[0].json["certificate"]).status, 200)

    def test_a_foreign_schema_is_refused(self):
        acme = self.client()
        self.stack.sql("INSERT INTO schema_migrations (version) VALUES ('9999')")
        self.addCleanup(self.stack.sql, "DELETE FROM schema_migrations WHERE version = '9999'")
        self.stack.kill("certctl-acme")  # each connection is checked when it is opened
        self.stack.wait(lambda: len(self.stack.pids("certctl-acme")) >= 2, what="workers are back")
        answer = acme.raw("GET", "/acme/profile/prof-test/directory")
        self.assertEqual((answer.status, answer.type, answer.headers["Retry-After"]), (503, "serverInternal", "5"), answer)
        self.assertIn("schema 9999", answer.json["detail"])
        ready = acme.raw("GET", "/ready")
        self.assertEqual((ready.status, ready.json["status"]), (503, "schema_mismatch"))
        self.stack.sql("DELETE FROM schema_migrations WHERE version = '9999'")
        self.assertEqual(acme.raw("GET", "/acme/profile/prof-test/directory").status, 200)

    @staticmethod
    def ocsp_status(acme, serial):
        """None where there is no answer about it."""
        answer = acme.raw("GET", f"/.well-known/pki/ocsp/iss-local/{serial}")
        if answer.status != 200:
            return None
        response = ocsp.load_der_ocsp_response(answer.body)
        return response.certificate_status if response.response_status == ocsp.OCSPResponseStatus.SUCCESSFUL else None

    def test_workers_killed_under_load(self):
        """A kill loses at most the request in flight; what a client holds is recorded, and once."""
        held, wrong = [], []
        stop = threading.Event()

        def work(number, acme):
            names = (f"load-{number}-{i}.example.org" for i in itertools.count())
            name, key = next(names), ec.generate_private_key(ec.SECP256R1())
            while not stop.wait(0.02):
                try:
                    order = acme.order(name)  # the one that is open, where the last try lost its answer
                    if order.status == 429:
                        return
                    if order.status != 201:
                        continue
                    done = acme.finalize(order.json, csr(key, [name]))
                    if done.status == 200:
                        held.append(done.json["certificate"].rsplit("/", 1)[1])
                        name, key = next(names), ec.generate_private_key(ec.SECP256R1())
                    elif done.status not in (400, 502, 503, 504):
                        wrong.append(done)
                except (OSError, ValueError, KeyError):
                    continue

        threads = [threading.Thread(target=work, args=(n, self.client())) for n in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(10):
            time.sleep(0.3)
            self.stack.kill("certctl-acme")
        try:
            while len(held) <= 5:  # a busy machine must get on with it between two kills
                count = len(held)
                self.stack.wait(lambda count=count: len(held) > count, what=f"certificate {count + 1}")
                self.stack.kill("certctl-acme")
        finally:
            stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertGreater(len(held), 5)
        self.stack.wait(lambda: len(self.stack.pids("certctl-acme")) >= 2, what="workers are back")
        recorded = {row[0] for row in self.stack.sql("SELECT m.id FROM managed_certificates m "
                                                     "JOIN certificate_versions v ON v.id = m.current_version_id")}
        self.assertEqual(set(held) - recorded, set())
        serials = [row[0] for row in self.stack.sql("SELECT serial_number FROM certificate_versions WHERE certificate_id = "
                                                    f"ANY('{{{','.join(held)}}}')")]
        self.assertEqual(len(serials), len(held))
        for serial in serials:
            self.stack.wait(lambda serial=serial: self.ocsp_status(Client(self.stack), serial) == ocsp.OCSPCertStatus.GOOD, what=f"OCSP knows {serial}")
        twice = self.stack.sql("SELECT certificate_id FROM certificate_versions GROUP BY 1 HAVING count(*) > 1")
        self.assertEqual(twice, [])
        odd = self.stack.sql("SELECT order_id FROM acme_orders WHERE (status = 'valid') <> (certificate_id IS NOT NULL)")
        self.assertEqual(odd, [])

    def test_workers_killed_while_revoking(self):
        """Who hears 200 or alreadyRevoked can rely on it, and a revocation has all of its rows or none."""
        acme = self.client()
        names = [f"killed-revoke-{i}.example.org" for i in range(24)]
        leaves = [x509.load_pem_x509_certificate(acme.obtain(name)[0].encode()) for name in names]
        told, wrong, queue = [], [], list(leaves)

        def work():
            worker = Client(self.stack, "prof-test", acme.key)
            worker.kid = acme.kid
            while queue:
                leaf = queue.pop()
                try:
                    answer = worker.revoke(leaf.public_bytes(serialization.Encoding.DER), 4)
                except (OSError, ValueError, KeyError):
                    queue.append(leaf)
                    continue
                if answer.status == 200 or answer.type == "alreadyRevoked":
                    told.append(f"{leaf.serial_number:x}")
                elif answer.type in ("badNonce", None, "serverInternal"):
                    queue.append(leaf)
                else:
                    wrong.append(answer)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        pause = 0.05
        while any(thread.is_alive() for thread in threads):
            self.stack.kill("certctl-acme")
            time.sleep(pause)
            pause = min(pause * 1.1, 2)  # a busy machine must get on with it at some time
        self.assertEqual(wrong, [])
        self.assertEqual(sorted(told), sorted(f"{leaf.serial_number:x}" for leaf in leaves))
        rows = self.stack.sql("""
            SELECT r.serial_number, m.status, r.crl_entry_der IS NOT NULL,
                   (SELECT count(*) FROM audit_events a WHERE a.action = 'certificate_revoked' AND a.resource_id = m.id),
                   (SELECT count(*) FROM ocsp_invalidations o WHERE o.serial_hex = r.serial_number),
                   (SELECT count(*) FROM notification_events n WHERE n.certificate_id = m.id)
              FROM certificate_revocations r JOIN managed_certificates m ON m.id = r.certificate_id
             WHERE m.common_name LIKE 'killed-revoke-%' ORDER BY 1""")
        self.assertEqual(rows, [[serial, "Revoked", "t", "1", "1", "2"] for serial in sorted(told)])

    def test_limits(self):
        acme = self.client()
        began, made = time.monotonic(), 5

        def until_refused():
            """Thirty an hour, and one more each two minutes."""
            nonlocal made
            while (answer := acme.order(f"hour-{made}.example.org")).status == 201:
                made += 1
                self.assertLessEqual(made, 30 + (time.monotonic() - began) / 120 + 1)
                self.stack.sql(f"UPDATE acme_orders SET status = 'invalid' WHERE account_id = '{acme.kid.rsplit('/', 1)[1]}'")
            self.assertEqual((answer.status, answer.type), (429, "rateLimited"), answer)
            self.assertIn("request rate limit exceeded", answer.json["detail"])
            self.assertGreater(int(answer.headers["Retry-After"]), 0)

        for i in range(5):
            self.assertEqual(acme.order(f"limit-{i}.example.org").status, 201)
        answer = acme.order("limit-5.example.org")
        self.assertEqual((answer.status, answer.type, answer.headers["Retry-After"]), (429, "rateLimited", "30"), answer)
        self.assertIn("too many concurrent orders", answer.json["detail"])
        self.assertEqual(acme.order("limit-4.example.org").status, 201)  # the same one again costs nothing
        self.stack.sql(f"UPDATE acme_orders SET status = 'invalid' WHERE account_id = '{acme.kid.rsplit('/', 1)[1]}'")
        until_refused()
        self.assertGreaterEqual(made, 30)
        self.stack.run("stop", "acme")
        self.stack.run("up")
        until_refused()

    def test_zz_new_accounts_per_address(self):
        """Twenty an hour, fewer of which the tests above need, and one more each three minutes."""
        made, began = 0, time.monotonic()
        while (answer := Client(self.stack, "prof-test").post("/new-account", {"termsOfServiceAgreed": True})).status == 201:
            made += 1
            self.assertLessEqual(made, 20 + (time.monotonic() - began) / 180 + 1)
        self.assertEqual((answer.status, answer.type), (429, "rateLimited"), answer)
        self.assertGreater(int(answer.headers["Retry-After"]), 0)

    def test_terms(self):
        acme = Client(self.stack, "prof-test")
        self.assertEqual(acme.raw("GET", acme.prefix + "/directory").json["meta"]["termsOfService"], "https://example.org/terms")
        answer = acme.post("/new-account", {})
        self.assertEqual((answer.status, answer.type), (403, "userActionRequired"), answer)
        self.assertEqual(answer.json["instance"], "https://example.org/terms")
        self.assertEqual(answer.links.count('<https://example.org/terms>;rel="terms-of-service"'), 1, answer.links)


class Disabled(unittest.TestCase):

    def test_everything_is_404(self):
        """A responder whose master switch is off, alone on a socket of its own: it needs no database."""
        key = "ab" * 32
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
            path = os.path.join(folder, "acme.sock")
            listener.bind(path)
            listener.listen(16)
            worker = subprocess.Popen(
                [os.path.join(shared_stack().dir, "bin", "certctl-acme")], stdin=listener, stderr=subprocess.DEVNULL,
                env={"CERTCTL_EDGE_KEY_SHA256": hashlib.sha256(key.encode()).hexdigest(), "CERTCTL_ACME_SERVER_ENABLED": "false",
                     "CERTCTL_DATABASE_URL": f"host={folder} dbname=nobody", "CERTCTL_RUNTIME_DIR": folder,
                     **{name: os.environ[name] for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS") if name in os.environ}})
            try:
                for method, target in (("GET", "/acme/directory"), ("POST", "/acme/new-order"), ("GET", "/acme/new-order"),
                                       ("GET", "/acme/nothing"), ("HEAD", "/acme/profile/x/new-nonce")):
                    head, body = fcgi(path, {"REQUEST_METHOD": method, "REQUEST_URI": target, "CERTCTL_SURFACE": "acme",
                                             "REQUEST_SCHEME": "https", "HTTPS": "on", "SERVER_NAME": "localhost",
                                             "SERVER_PORT": "443", "CERTCTL_EDGE_KEY": key, "CONTENT_LENGTH": "0"})
                    self.assertTrue(head.startswith("Status: 404"), f"{method} {target}: {head}")
                    if method != "HEAD":
                        self.assertIn(b"the ACME server is disabled", body)
            finally:
                worker.terminate()
                self.assertEqual(worker.wait(120), 0)
