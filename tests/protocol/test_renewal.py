"""When to renew (ARI, RFC 9773), and orders that say what they renew."""
import datetime
import ssl
import unittest

from acme_client import b64u, csr
from case import ProtocolTest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

DAY = datetime.timedelta(days=1)


def instant(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")


def leaf_of(pem):
    return x509.load_pem_x509_certificate(pem.encode() if isinstance(pem, str) else pem)


def cert_id(leaf, key_id=None, serial=None):
    """The identifier of RFC 9773 section 4.1; key_id and serial replace the certificate's octets."""
    if key_id is None:
        key_id = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    if serial is None:
        serial = leaf.serial_number.to_bytes(leaf.serial_number.bit_length() // 8 + 1, "big")
    return f"{b64u(key_id)}.{b64u(serial)}"


class Renewal(ProtocolTest):

    def obtain(self, acme, *names):
        """The leaf, and the id of its managed certificate."""
        chain, order = acme.obtain(*names)
        return leaf_of(chain), order["certificate"].rsplit("/", 1)[1]

    def info(self, acme, name):
        return acme.raw("GET", f"{acme.prefix}/renewal-info/{name}")

    def site_leaf(self):
        """The web server's own certificate: ours, and of no ACME order."""
        return leaf_of(ssl.get_server_certificate(("localhost", self.stack.port)))


class Information(Renewal):

    def assertWindow(self, answer, start, end, retry):
        self.assertEqual(answer.status, 200, answer)
        window = answer.json["suggestedWindow"]
        self.assertEqual((instant(window["start"]), instant(window["end"])), (start, end))
        self.assertEqual(answer.headers["Retry-After"], str(retry))

    def assertAtOnce(self, answer, before):
        """The window ended half an hour before the answer."""
        window = answer.json["suggestedWindow"]
        start, end = instant(window["start"]), instant(window["end"])
        self.assertEqual(end - start, datetime.timedelta(minutes=30))
        self.assertGreaterEqual(end, before - datetime.timedelta(minutes=30, seconds=1))
        self.assertLessEqual(end, datetime.datetime.utcnow() - datetime.timedelta(minutes=29))
        self.assertEqual(answer.headers["Retry-After"], "300")

    def test_10_the_documented_window(self):
        """Done-means 10: 90 days under rp-default, and a past window once it is revoked."""
        acme = self.client()
        leaf, managed = self.obtain(acme, "ari-window.example.org")
        self.stack.sql(f"UPDATE managed_certificates SET renewal_policy_id = 'rp-default' WHERE id = '{managed}'")
        end = leaf.not_valid_after
        self.assertGreater(end - leaf.not_valid_before, 89 * DAY)
        for prefix in ("/acme", "/acme/profile/prof-test"):
            answer = acme.raw("GET", f"{prefix}/renewal-info/{cert_id(leaf)}")
            self.assertWindow(answer, end - 30 * DAY, end - 15 * DAY, 21600)
            self.assertEqual(list(answer.json), ["suggestedWindow"])
            self.assertEqual(answer.headers["Content-Type"], "application/json")
            self.assertEqual(answer.headers["Cache-Control"], "no-store")
            self.assertIsNone(answer.headers["Replay-Nonce"])
            self.assertIn(f'<{acme.base}{prefix}/directory>;rel="index"', answer.links)
        self.assertEqual(self.info(acme, cert_id(leaf)).body, self.info(acme, cert_id(leaf)).body)  # it does not move
        before = datetime.datetime.utcnow()
        self.assertEqual(acme.revoke(leaf.public_bytes(Encoding.DER), 4).status, 200)
        self.assertAtOnce(self.info(acme, cert_id(leaf)), before)

    def test_windows_of_other_cases(self):
        acme = self.client()
        leaf, managed = self.obtain(acme, "ari-cases.example.org")
        name, life, end = cert_id(leaf), leaf.not_valid_after - leaf.not_valid_before, leaf.not_valid_after
        self.stack.sql(f"""INSERT INTO renewal_policies (id, name, renewal_window_days) VALUES ('rp-ari-365', 'ari 365', 365)
                             ON CONFLICT DO NOTHING;
                           UPDATE managed_certificates SET renewal_policy_id = 'rp-ari-365' WHERE id = '{managed}'""")
        seconds = int(life.total_seconds())
        self.assertWindow(self.info(acme, name), end - datetime.timedelta(seconds=seconds // 3),
                          end - datetime.timedelta(seconds=seconds // 9), 21600)
        before = datetime.datetime.utcnow()
        self.stack.sql(f"UPDATE managed_certificates SET early_renewal_at = now() WHERE id = '{managed}'")
        self.assertAtOnce(self.info(acme, name), before)
        self.stack.sql(f"UPDATE managed_certificates SET early_renewal_at = now() + interval '1 day' WHERE id = '{managed}'")
        self.assertEqual(self.info(acme, name).headers["Retry-After"], "21600")
        self.stack.sql(f"""UPDATE certificate_versions SET not_before = now() - interval '9 days', not_after = now() - interval '2 seconds'
                            WHERE certificate_id = '{managed}'""")
        window = self.info(acme, name).json["suggestedWindow"]
        self.assertEqual(instant(window["end"]) - instant(window["start"]), DAY)
        self.assertGreaterEqual(instant(window["start"]), before.replace(microsecond=0))

    def test_a_certificate_of_no_order_is_known(self):
        leaf = self.site_leaf()
        answer = self.info(self.client(register=False), cert_id(leaf))
        self.assertEqual(answer.status, 200, answer)
        self.assertLess(instant(answer.json["suggestedWindow"]["end"]), leaf.not_valid_after)

    def test_refusals(self):
        acme = self.client()
        leaf, _ = self.obtain(acme, "ari-refusals.example.org")
        key_id, serial = cert_id(leaf).split(".")
        for name in (key_id, f"{key_id}.", f".{serial}", f"{key_id}.{serial}.", f"{key_id}.{serial}.{serial}",
                     cert_id(leaf, serial=b"\x80\x01"), cert_id(leaf, serial=b"\0"), cert_id(leaf, serial=b"\0\x01"),
                     f"{key_id}.AB", cert_id(leaf, serial=b"\x01" * 33)):
            with self.subTest(name):
                self.assertProblem(self.info(acme, name), 400, "malformed", "ARI cert-id is malformed")
        other = leaf.serial_number ^ 1
        for name in (cert_id(leaf, serial=other.to_bytes(other.bit_length() // 8 + 1, "big")), cert_id(leaf, key_id=b"\x01" * 20),
                     cert_id(leaf, key_id=b"\x01"), cert_id(self.site_leaf(), key_id=b"\x02" * 20)):
            with self.subTest(name):
                self.assertProblem(self.info(acme, name), 404, "malformed", "not known to this server")
        for name in ("a" * 129, "a=.AQ", "a%20b.AQ"):
            with self.subTest(name):
                self.assertProblem(self.info(acme, name), 404, "malformed", "no such ACME resource")
        answer = acme.post(f"/renewal-info/{cert_id(leaf)}")
        self.assertProblem(answer, 405, "malformed")
        self.assertEqual(answer.headers["Allow"], "GET, HEAD, OPTIONS")
        self.assertProblem(acme.raw("GET", f"/acme/profile/prof-none/renewal-info/{cert_id(leaf)}"), 404, "userActionRequired")

    def test_one_query(self):
        acme = self.client()
        leaf, _ = self.obtain(acme, "ari-cost.example.org")
        answers = [self.info(acme, cert_id(leaf)) for _ in range(12)]
        # The best of twelve: a worker's first reads the profile too, and prepares its statements.
        self.assertEqual(min(line["db_round_trips"] for line in self.stack.requests("acme", answers)), 1)


class Replaces(Renewal):

    def tag(self, managed):
        return self.stack.value(f"SELECT tags->>'superseded_by' FROM managed_certificates WHERE id = '{managed}'")

    def test_11_a_second_order_for_one_certificate(self):
        """Done-means 11, and the way of an order that replaces: echoed, superseding, taken back when it fails."""
        acme = self.client()
        leaf, old = self.obtain(acme, "replaces.example.org", "replaces-gone.example.org")
        name = cert_id(leaf)
        order = acme.order("replaces.example.org", "replaces-new.example.org", replaces=name)
        self.assertEqual((order.status, order.json["replaces"]), (201, name), order)
        self.assertEqual(acme.post(order.headers["Location"]).json["replaces"], name)
        again = acme.order("replaces.example.org", "replaces-new.example.org", replaces=name)
        self.assertEqual((again.status, again.headers["Location"]), (201, order.headers["Location"]))  # the same request once more
        plain = acme.order("replaces.example.org", "replaces-new.example.org")
        self.assertEqual(plain.status, 201)
        self.assertNotEqual(plain.headers["Location"], order.headers["Location"])  # which is another order, and says nothing of it
        self.assertNotIn("replaces", plain.json)
        self.assertProblem(acme.order("replaces.example.org", replaces=name), 409, "alreadyReplaced", "already")

        self.stack.sql(f"UPDATE acme_orders SET status = 'invalid' WHERE order_id = '{order.headers['Location'].rsplit('/', 1)[1]}'")
        order = acme.order("replaces.example.org", replaces=name)
        self.assertEqual(order.status, 201, order)  # an order that failed gives the certificate back
        self.assertFalse(self.tag(old))
        done = self.finalize(acme, order, "replaces.example.org")
        self.assertEqual(done["replaces"], name)
        self.assertEqual(self.tag(old), done["certificate"].rsplit("/", 1)[1])
        self.assertProblem(acme.order("replaces.example.org", replaces=name), 409, "alreadyReplaced")
        details = self.stack.value(f"SELECT details->>'replaces' FROM audit_events WHERE action = 'acme_order_created' "
                                   f"AND resource_id = '{order.headers['Location'].rsplit('/', 1)[1]}'")
        self.assertEqual(details, name)

    def finalize(self, acme, order, *names):
        done = acme.finalize(order.json, csr(ec.generate_private_key(ec.SECP256R1()), names))
        self.assertEqual(done.status, 200, done)
        return done.json

    def test_refusals(self):
        acme = self.client()
        leaf, _ = self.obtain(acme, "replaces-refused.example.org")
        names = ("replaces-refused.example.org",)
        self.assertProblem(acme.order(*names, replaces="no-dot"), 400, "malformed", "ARI cert-id is malformed")
        self.assertProblem(acme.order(*names, replaces=""), 400, "malformed", "ARI cert-id is malformed")
        self.assertProblem(acme.order(*names, replaces=7), 400, "malformed", "replaces")
        self.assertProblem(acme.order(*names, replaces=cert_id(leaf, serial=b"\x07")), 404, "malformed", "not known to this server")
        self.assertProblem(acme.order(*names, replaces=cert_id(self.site_leaf())), 401, "unauthorized", "not one of this account")
        self.assertProblem(self.client().order(*names, replaces=cert_id(leaf)), 401, "unauthorized", "not one of this account")
        self.assertProblem(self.client("prof-other").order(*names, replaces=cert_id(leaf)), 401, "unauthorized")
        self.assertProblem(acme.order("replaces-other.example.org", replaces=cert_id(leaf)), 400, "malformed", "no identifier in common")
        account = acme.kid.rsplit("/", 1)[1]
        self.assertEqual(self.stack.value(f"SELECT count(*) FROM acme_orders WHERE account_id = '{account}'"), "1")
        self.assertEqual(acme.order(*names, replaces=cert_id(leaf)).status, 201)

    def test_race(self):
        """Orders of different names for one certificate at once: one comes through."""
        acme = self.client()
        leaf, old = self.obtain(acme, "replaces-race.example.org")
        clients = [self.client(key=acme.key) for _ in range(8)]
        answers = self.at_once([lambda i=i, one=one: one.order("replaces-race.example.org", f"race-{i}.example.org", replaces=cert_id(leaf))
                                for i, one in enumerate(clients)])
        self.assertEqual(sorted(answer.status for answer in answers), [201] + 7 * [409], answers)
        self.assertEqual({answer.type for answer in answers}, {None, "alreadyReplaced"})
        self.assertEqual(self.stack.value(f"SELECT count(*) FROM acme_orders WHERE replaces_certificate_id = '{old}'"), "1")

    def test_the_index_decides(self):
        """Who comes around the account's lock meets the index: a row that is not committed yet is waited for."""
        acme = self.client()
        leaf, old = self.obtain(acme, "replaces-index.example.org")
        account = acme.kid.rsplit("/", 1)[1]
        answers = self.at_once(
            [lambda: acme.order("replaces-index.example.org", "index.example.org", replaces=cert_id(leaf))],
            held=f"""INSERT INTO acme_orders (order_id, account_id, identifiers, status, expires_at, replaces_certificate_id)
                     VALUES ('acme-ord-{old}', '{account}', '[]', 'ready', now() + interval '1 hour', '{old}')""")
        self.assertEqual(answers[0].status, 201, answers)  # what was held is rolled back
        self.stack.sql(f"UPDATE acme_orders SET status = 'invalid' WHERE replaces_certificate_id = '{old}'")


if __name__ == "__main__":
    unittest.main()
