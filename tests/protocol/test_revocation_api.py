"""Revocation by the REST API (04 section 8, 05 section 4.2)."""
import datetime
import http.client
import json
import os
import signal
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from acme_client import Key, b64u, csr
from test_api import ApiTest
from test_issuance import split
from test_ocsp import MEDIA, der
from test_revocation import spki_hash

DER = serialization.Encoding.DER
REASONS = ("unspecified", "keyCompromise", "caCompromise", "affiliationChanged", "superseded", "cessationOfOperation", "certificateHold",
           "privilegeWithdrawn")


class RevokeTest(ApiTest):

    def post(self, path, body=None, key=None, **headers):
        """`body`: an object, or bytes as they are; None: none."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["Authorization"] = f"Bearer {key or self.key()}"
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.raw("POST", "/api/v1" + path, data, sent)

    def issued(self, *names, key=None, profile="prof-test"):
        """(id of the certificate, leaf, key) of a new one."""
        key = key or Key()
        chain, _ = self.client(profile).obtain(*names, key=key.private)
        leaf = x509.load_pem_x509_certificate(chain.encode())
        self.issuer = x509.load_pem_x509_certificate(split(chain)[1].encode())
        return self.stack.value(f"SELECT certificate_id FROM certificate_versions WHERE serial_number = '{leaf.serial_number:x}'"), leaf, key

    def older(self, certificate, name, key=None, age="1 day"):
        """One more leaf, as if it were an older version of that certificate."""
        _, leaf, _ = self.issued(name, key=key)
        self.stack.sql(f"""UPDATE certificate_versions SET certificate_id = '{certificate}', created_at = now() - interval '{age}'
                            WHERE serial_number = '{leaf.serial_number:x}'""")
        return leaf

    def rows(self, leaf):
        return self.stack.sql("SELECT reason, revoked_by, revoked_at, encode(crl_entry_der, 'hex'), invalidity_date FROM certificate_revocations "
                              f"WHERE serial_number = '{leaf.serial_number:x}' AND lifted_at IS NULL")

    def reason(self, leaf):
        rows = self.rows(leaf)
        self.assertLessEqual(len(rows), 1)
        return rows[0][0] if rows else None

    def state(self, certificate):
        return self.stack.sql(f"SELECT status, revocation_reason FROM managed_certificates WHERE id = '{certificate}'")[0]

    def audits(self, action, certificate):
        return [json.loads(row[0]) for row in self.stack.sql(f"SELECT details FROM audit_events WHERE action = '{action}' AND "
                                                              f"resource_id = '{certificate}' ORDER BY seq")]

    def ocsp_status(self, leaf):
        """What the web server says on the plain port."""
        body = ocsp.OCSPRequestBuilder().add_certificate(leaf, self.issuer, hashes.SHA1()).build().public_bytes(DER)
        answer = self.raw("POST", "/.well-known/pki/ocsp/iss-local", body, {"Content-Type": "application/ocsp-request"})
        self.assertEqual(answer.status, 200, answer)
        return ocsp.load_der_ocsp_response(answer.body)

    def listed(self, leaf):
        answer = self.raw("GET", "/.well-known/pki/crl/iss-local")
        self.assertEqual(answer.status, 200, answer)
        return x509.load_der_x509_crl(answer.body).get_revoked_certificate_by_serial_number(leaf.serial_number)

    def assertDone(self, answer, **members):
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.json, {"status": "revoked", **members})


class Revoke(RevokeTest):

    def test_every_reason(self):
        for reason in (None, *REASONS):
            with self.subTest(reason):
                certificate, leaf, _ = self.issued(f"api-reason-{reason}.example.org".lower())
                answer = self.post(f"/certificates/{certificate}/revoke", {"reason": reason} if reason else None)
                more = {"revoked_serials": [f"{leaf.serial_number:x}"]} if reason == "keyCompromise" else {}
                self.assertDone(answer, **more)
                self.assertEqual(answer.headers["Content-Type"], "application/json")
                self.assertEqual(self.reason(leaf), reason or "unspecified")
                self.assertEqual(self.rows(leaf)[0][1], self.keys["r-admin"][2])
                self.assertEqual(self.state(certificate), ["Revoked", reason or "unspecified"])

    def test_whatever_content_type_says(self):
        """A body is never ignored (05 section 2.1)."""
        for n, kind in enumerate(("application/json; charset=utf-8", "application/x-www-form-urlencoded", "text/plain")):
            certificate, leaf, _ = self.issued(f"api-type-{n}.example.org")
            self.assertDone(self.post(f"/certificates/{certificate}/revoke", {"reason": "superseded"}, Content_Type=kind))
            self.assertEqual(self.reason(leaf), "superseded")

    def test_what_is_recorded(self):
        certificate, leaf, _ = self.issued("api-written.example.org")
        serial = f"{leaf.serial_number:x}"
        answer = self.post(f"/certificates/{certificate}/revoke", {"reason": "affiliationChanged", "invalidity_date": "2026-01-02T03:04:05+01:00"})
        self.assertDone(answer)
        rows = self.rows(leaf)
        self.assertIn("20260102020405Z".encode().hex(), rows[0][3], "the entry has the invalidity date")
        self.assertEqual(self.audits("certificate_revoked", certificate),
                         [{"common_name": "api-written.example.org", "serial": serial, "reason": "affiliationChanged", "scope": "latest"}])
        self.assertEqual(self.stack.sql("SELECT actor, actor_type, request_id FROM audit_events WHERE action = 'certificate_revoked' AND "
                                        f"resource_id = '{certificate}'"), [[self.keys["r-admin"][2], "APIKey", answer.headers["X-Request-ID"]]])
        self.assertEqual(self.stack.sql("SELECT channel, type, message FROM notification_events WHERE "
                                        f"certificate_id = '{certificate}' ORDER BY channel"),
                         [[channel, "Revocation", "[REVOKED] The certificate for api-written.example.org has been revoked. "
                           "Reason: affiliationChanged."] for channel in ("Email", "Webhook")])
        self.assertEqual(self.stack.value(f"SELECT count(*) FROM ocsp_invalidations WHERE serial_hex = '{serial}'"), "1")
        shown = self.good(f"/certificates/{certificate}")
        self.assertEqual((shown["status"], shown["revocation_reason"]), ("Revoked", "affiliationChanged"))
        costs = {self.log_line(answer)["db_round_trips"]}
        for n in range(3):  # a worker that prepares or takes its map needs more, once
            other, _, _ = self.issued(f"api-written-{n}.example.org")
            costs.add(self.log_line(self.post(f"/certificates/{other}/revoke"))["db_round_trips"])
        self.assertEqual(min(costs), 4, "admission, reading, commit; and the access row")

    def test_asked_again(self):
        certificate, leaf, _ = self.issued("api-again.example.org")
        self.assertDone(self.post(f"/certificates/{certificate}/revoke", {"reason": "superseded"}))
        before = self.rows(leaf)
        for reason in ("superseded", "certificateHold", "unspecified"):
            self.assertDone(self.post(f"/certificates/{certificate}/revoke", {"reason": reason}), already_revoked=True)
        self.assertEqual(self.rows(leaf), before)
        self.assertEqual(len(self.audits("certificate_revoked", certificate)), 1)
        self.assertEqual(self.state(certificate), ["Revoked", "superseded"])

    def test_ocsp_and_crl(self):
        """The next question to OCSP is answered with revoked; the next CRL lists it."""
        certificate, leaf, _ = self.issued("api-told.example.org")
        self.assertEqual(self.ocsp_status(leaf).certificate_status, ocsp.OCSPCertStatus.GOOD)
        self.assertEqual(self.ocsp_status(leaf).certificate_status, ocsp.OCSPCertStatus.GOOD)
        self.assertDone(self.post(f"/certificates/{certificate}/revoke", {"reason": "cessationOfOperation"}))
        began = time.monotonic()
        self.stack.wait(lambda: self.ocsp_status(leaf).certificate_status == ocsp.OCSPCertStatus.REVOKED, 60, "OCSP says revoked")
        print(f"# OCSP says revoked {time.monotonic() - began:.3f} s after the API's answer")
        self.assertEqual(self.ocsp_status(leaf).revocation_reason, x509.ReasonFlags.cessation_of_operation)
        self.stack.wait(lambda: self.listed(leaf) is not None, what="the CRL lists it")
        print(f"# the CRL lists it {time.monotonic() - began:.3f} s after the API's answer")

    def test_expired(self):
        certificate, leaf, _ = self.issued("api-expired.example.org")
        self.stack.sql(f"UPDATE certificate_versions SET not_before = now() - interval '9 days', not_after = now() - interval '1 day' WHERE "
                       f"serial_number = '{leaf.serial_number:x}'")
        self.assertDone(self.post(f"/certificates/{certificate}/revoke", {"reason": "superseded"}))
        self.assertEqual(self.reason(leaf), "superseded")


class Refused(RevokeTest):

    def test_bodies(self):
        certificate, leaf, _ = self.issued("api-bodies.example.org")
        path = f"/certificates/{certificate}/revoke"
        for body in (b"{", b"[]", b"null", b"7", b"\xff", b"{}x", b'{"reason":"a","reason":"b"}', b'{"reason":"\\u0000"}',
                     b"[" * 40 + b"]" * 40, b"reason=superseded", b" "):
            with self.subTest(body):
                answer = self.post(path, body)
                self.assertRefused(answer, 400, "malformed")
                self.assertTrue(answer.json["message"].startswith("Invalid request body"), answer)
        for body, field in (({"reason": 1}, "reason"), ({"reason": ["superseded"]}, "reason"), ({"scope": True}, "scope"), ({"serial": 7}, "serial"),
                            ({"serial": "x"}, "serial"), ({"serial": ""}, "serial"), ({"invalidity_date": "yesterday"}, "invalidity_date"),
                            ({"invalidity_date": 7}, "invalidity_date"), ({"invalidity_date": "2226-01-01T00:00:00Z"}, "invalidity_date"),
                            ({"invalidity_date": "1969-12-31T23:59:59Z"}, "invalidity_date")):
            with self.subTest(body):
                answer = self.post(path, body)
                self.assertRefused(answer, 400, "invalid")
                self.assertEqual(answer.json["details"][0]["field"], field)
        for reason in ("KeyCompromise", "", "removeFromCRL", "aACompromise", "1", "ä" * 300, "a\nb"):
            with self.subTest(reason):
                answer = self.post(path, {"reason": reason})
                self.assertRefused(answer, 400, "invalid")
                self.assertTrue(f"invalid revocation reason: {reason}".startswith(answer.json["message"]), answer)
                self.assertTrue(answer.json["message"].startswith("invalid revocation reason: "), answer)
        self.assertRefused(self.post(path, {"scope": "all"}), 400, "invalid", "invalid scope: all")
        self.assertRefused(self.post(path, {"scope": "version"}), 400, "invalid", "invalid scope: version")
        self.assertRefused(self.post(path, {}, Content_Type="multipart/form-data"), 415, "media_type", "Content-Type must be application/json")
        self.assertRefused(self.post(path, {}, Content_Encoding="gzip"), 415, "media_type")
        self.assertIsNone(self.reason(leaf))
        self.assertDone(self.post(path, {"reason": None, "scope": None, "serial": None, "invalidity_date": None, "other": 1}))
        self.assertEqual(self.reason(leaf), "unspecified")

    def test_states(self):
        certificate, leaf, _ = self.issued("api-states.example.org")
        self.stack.sql(f"UPDATE managed_certificates SET status = 'Archived' WHERE id = '{certificate}'")
        self.assertRefused(self.post(f"/certificates/{certificate}/revoke"), 400, "invalid", "cannot revoke archived certificate")
        self.assertIsNone(self.reason(leaf))
        self.assertRefused(self.post("/certificates/mc-none/revoke"), 404, "not_found", "Certificate not found")
        self.assertRefused(self.post("/certificates/mc-walk-2/revoke"), 409, "state", "certificate has no issued version")
        self.assertRefused(self.post("/certificates/mc-walk-1/revoke", {"serial": "def"}), 404, "not_found", "Certificate version not found")
        self.assertRefused(self.post("/certificates/a%20b/revoke"), 400, "invalid", "Certificate ID is invalid")
        self.assertEqual(self.get("/certificates/mc-walk-1/revoke").status, 405)

    def test_rights(self):
        certificate, leaf, _ = self.issued("api-rights.example.org")
        for verb in ("revoke", "unrevoke"):
            for role in ("r-viewer", "r-auditor", "r-agent"):
                self.assertRefused(self.post(f"/certificates/{certificate}/{verb}", key=self.key(role)), 403, "forbidden")
        self.assertIsNone(self.reason(leaf))
        self.assertDone(self.post(f"/certificates/{certificate}/revoke", key=self.key("r-operator")))

    def test_scoped_grants(self):
        """Who may revoke in one profile alone speaks for no key, and for no certificate of another."""
        key, _, name = self.new_key("--role=r-operator")
        self.stack.sql(f"UPDATE actor_roles SET scope_type = 'profile', scope_id = 'prof-other' WHERE actor_id = '{name}'")
        shared = Key()
        foreign, foreign_leaf, _ = self.issued("api-scope-1.example.org", key=shared)
        own, own_leaf, _ = self.issued("api-scope-2.example.org", key=shared, profile="prof-other")
        self.assertRefused(self.post(f"/certificates/{foreign}/revoke", key=key), 403, "forbidden")
        self.assertRefused(self.post(f"/certificates/{foreign}/unrevoke", key=key), 403, "forbidden")
        self.assertRefused(self.post(f"/certificates/{own}/revoke", {"scope": "same_key"}, key=key), 403, "forbidden")
        self.assertEqual((self.reason(own_leaf), self.reason(foreign_leaf)), (None, None))
        self.assertDone(self.post(f"/certificates/{own}/revoke", {"reason": "keyCompromise"}, key=key),
                        revoked_serials=[f"{own_leaf.serial_number:x}"])
        self.assertEqual((self.reason(own_leaf), self.reason(foreign_leaf)), ("keyCompromise", None))
        self.assertEqual(self.stack.sql(f"SELECT 1 FROM blocked_keys WHERE spki_sha256 = '{spki_hash(shared)}'"), [])

    def test_no_right_on_the_tables(self):
        """What a lost responder can write of revocations is what the functions write."""
        for role in ("certctl_api", "certctl_acme"):
            for table in ("blocked_keys", "ocsp_invalidations", "notification_events"):
                self.assertEqual(self.stack.value(f"SELECT has_any_column_privilege('{role}', '{table}', 'INSERT,UPDATE') OR "
                                                  f"has_table_privilege('{role}', '{table}', 'DELETE')"), "f", (role, table))
            self.assertEqual(self.stack.value(f"SELECT has_any_column_privilege('{role}', 'certificate_revocations', 'UPDATE') OR "
                                              f"has_table_privilege('{role}', 'certificate_revocations', 'DELETE')"), "f", role)

    def test_a_failing_database(self):
        """A statement that is refused is 500 in the words of the route."""
        certificate, leaf, _ = self.issued("api-broken.example.org")
        self.stack.sql(f"""CREATE FUNCTION test_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                               IF NEW.serial_number = '{leaf.serial_number:x}' THEN RAISE 'no'; END IF; RETURN NEW; END $$;
                           CREATE TRIGGER test_refuse BEFORE INSERT ON certificate_revocations FOR EACH ROW EXECUTE FUNCTION test_refuse()""")
        try:
            self.assertRefused(self.post(f"/certificates/{certificate}/revoke"), 500, "internal", "Failed to revoke certificate")
        finally:
            self.stack.sql("DROP FUNCTION test_refuse CASCADE")
        self.assertEqual((self.reason(leaf), self.state(certificate)[0]), (None, "Active"))
        self.assertDone(self.post(f"/certificates/{certificate}/revoke"))


class Scopes(RevokeTest):

    def setUp(self):
        super().setUp()
        self.base = self.id().rsplit(".", 1)[1].replace("_", "-")

    def three(self):
        """The certificate, its newest leaf and key, and two older ones: of that key, and of another."""
        certificate, leaf, key = self.issued(f"{self.base}-0.example.org")
        return certificate, leaf, key, self.older(certificate, f"{self.base}-1.example.org", key), self.older(certificate, f"{self.base}-2.example.org")

    def serials(self, *leaves):
        return sorted(f"{leaf.serial_number:x}" for leaf in leaves)

    def test_latest(self):
        certificate, leaf, _, same, other = self.three()
        answer = self.post(f"/certificates/{certificate}/revoke", {"scope": "latest"})
        self.assertEqual(answer.json["status"], "revoked")
        self.assertNotIn("revoked_serials", answer.json)
        self.assertEqual(sorted(answer.json["still_valid_serials"]), self.serials(same, other))
        self.assertEqual([self.reason(one) for one in (leaf, same, other)], ["unspecified", None, None])
        again = self.post(f"/certificates/{certificate}/revoke")
        self.assertEqual((again.json["already_revoked"], sorted(again.json["still_valid_serials"])), (True, self.serials(same, other)))

    def test_all_versions(self):
        certificate, leaf, _, same, other = self.three()
        gone = self.older(certificate, f"{self.base}-3.example.org")
        self.stack.sql(f"UPDATE certificate_versions SET not_before = now() - interval '9 d', not_after = now() - interval '1 s' WHERE serial_number = '{gone.serial_number:x}'")
        answer = self.post(f"/certificates/{certificate}/revoke", {"scope": "all_versions", "reason": "superseded"})
        self.assertEqual(sorted(answer.json["revoked_serials"]), self.serials(leaf, same, other))
        self.assertNotIn("still_valid_serials", answer.json)
        self.assertEqual([self.reason(one) for one in (leaf, same, other, gone)], ["superseded"] * 3 + [None])
        self.assertEqual({row["scope"] for row in self.audits("certificate_revoked", certificate)}, {"all_versions"})
        self.assertDone(self.post(f"/certificates/{certificate}/revoke", {"scope": "all_versions"}), already_revoked=True)

    def test_the_others_afterwards(self):
        """The newest was revoked before; all versions still means the others."""
        certificate, leaf, _, same, other = self.three()
        self.assertEqual(self.post(f"/certificates/{certificate}/revoke", {"reason": "superseded"}).status, 200)
        answer = self.post(f"/certificates/{certificate}/revoke", {"scope": "all_versions"})
        self.assertEqual(sorted(answer.json["revoked_serials"]), self.serials(same, other))
        self.assertEqual([self.reason(one) for one in (leaf, same, other)], ["superseded", "unspecified", "unspecified"])
        self.assertEqual(self.state(certificate), ["Revoked", "superseded"])

    def test_same_key(self):
        certificate, leaf, key, same, other = self.three()
        sibling, sibling_leaf, _ = self.issued(f"{self.base}-sibling.example.org", key=key, profile="prof-other")
        answer = self.post(f"/certificates/{certificate}/revoke", {"scope": "same_key", "reason": "superseded"})
        self.assertEqual(sorted(answer.json["revoked_serials"]), self.serials(leaf, same, sibling_leaf))
        self.assertEqual(answer.json["still_valid_serials"], self.serials(other))
        self.assertEqual(self.state(sibling), ["Revoked", "superseded"])
        self.assertEqual(self.stack.sql(f"SELECT 1 FROM blocked_keys WHERE spki_sha256 = '{spki_hash(key)}'"), [])

    def test_serial(self):
        certificate, leaf, _, same, other = self.three()
        spelled = ":".join(f"{other.serial_number:032X}"[i:i + 2] for i in range(0, 32, 2))
        answer = self.post(f"/certificates/{certificate}/revoke", {"serial": spelled, "reason": "superseded"})
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(sorted(answer.json["still_valid_serials"]), self.serials(leaf, same))
        self.assertEqual([self.reason(one) for one in (leaf, same, other)], [None, None, "superseded"])
        self.assertEqual(self.state(certificate), ["Active", ""])
        self.assertEqual(self.audits("certificate_revoked", certificate)[-1]["scope"], "version")
        self.assertTrue(self.post(f"/certificates/{certificate}/revoke", {"serial": f"{other.serial_number:x}"}).json["already_revoked"])
        stranger, _, _ = self.issued(f"{self.base}-stranger.example.org")
        self.assertRefused(self.post(f"/certificates/{stranger}/revoke", {"serial": f"{leaf.serial_number:x}"}), 404, "not_found",
                           "Certificate version not found")

    def test_compromise(self):
        """The key goes out of the world: siblings everywhere, and no further certificate of it."""
        certificate, leaf, key, same, other = self.three()
        sibling, sibling_leaf, _ = self.issued(f"{self.base}-sibling.example.org", key=key, profile="prof-other")
        answer = self.post(f"/certificates/{certificate}/revoke", {"reason": "keyCompromise"})
        self.assertEqual(sorted(answer.json["revoked_serials"]), self.serials(leaf, same, sibling_leaf))
        self.assertEqual(answer.json["still_valid_serials"], self.serials(other))
        self.assertEqual(self.state(sibling), ["Revoked", "keyCompromise"])
        self.assertEqual(self.stack.sql(f"SELECT reason, actor FROM blocked_keys WHERE spki_sha256 = '{spki_hash(key)}'"),
                         [["keyCompromise", self.keys["r-admin"][2]]])
        acme = self.client()
        order = acme.order(f"{self.base}-new.example.org").json
        self.assertProblem(acme.finalize(order, csr(key.private, [f"{self.base}-new.example.org"])), 400, "badPublicKey", "key")
        self.assertDone(self.post(f"/certificates/{sibling}/revoke", {"reason": "keyCompromise"}), already_revoked=True)

    def test_compromise_of_all_versions(self):
        """Each of their keys."""
        certificate, leaf, key, same, other = self.three()
        answer = self.post(f"/certificates/{certificate}/revoke", {"reason": "keyCompromise", "scope": "all_versions"})
        self.assertEqual(sorted(answer.json["revoked_serials"]), self.serials(leaf, same, other))
        self.assertEqual(self.stack.value(f"""SELECT count(*) FROM blocked_keys WHERE spki_sha256 IN
            (SELECT spki_sha256 FROM certificate_versions WHERE certificate_id = '{certificate}')"""), "2")

    def test_upgrade(self):
        """Revoked for another reason before: the reason changes, the time stays (04 section 8.2)."""
        certificate, leaf, key = self.issued(f"{self.base}-0.example.org")
        _, sibling, _ = self.issued(f"{self.base}-1.example.org", key=key)
        self.assertDone(self.post(f"/certificates/{certificate}/revoke", {"reason": "superseded"}))
        before = self.rows(leaf)[0]
        self.stack.sql("SELECT pg_sleep(1.1)")  # the time would be another
        answer = self.post(f"/certificates/{certificate}/revoke", {"reason": "keyCompromise", "invalidity_date": "2026-01-01T00:00:00Z"})
        self.assertEqual(sorted(answer.json["revoked_serials"]), self.serials(leaf, sibling))
        after = self.rows(leaf)[0]
        self.assertEqual((before[0], after[0], after[2]), ("superseded", "keyCompromise", before[2]))
        moment = datetime.datetime.fromisoformat(before[2] + ":00" if len(before[2]) == 22 else before[2]).astimezone(datetime.timezone.utc)
        self.assertIn(moment.strftime("%y%m%d%H%M%SZ").encode().hex(), after[3], "the entry has the time of the row")
        self.assertEqual(self.state(certificate), ["Revoked", "keyCompromise"])
        self.assertEqual(self.audits("certificate_revoked", certificate)[-1]["reason_before"], "superseded")
        # Within a second: the job tells of the first revocation again just now, with the answer from before.
        self.stack.wait(lambda: self.ocsp_status(leaf).revocation_reason == x509.ReasonFlags.key_compromise, what="OCSP says so")
        self.stack.wait(lambda: self.listed(leaf) is not None and self.listed(leaf).extensions.get_extension_for_class(x509.CRLReason).value.reason
                        == x509.ReasonFlags.key_compromise, what="the list says so")
        self.assertDone(self.post(f"/certificates/{certificate}/revoke", {"reason": "keyCompromise"}), already_revoked=True)
        self.assertEqual(self.stack.value(f"SELECT count(*) FROM blocked_keys WHERE spki_sha256 = '{spki_hash(key)}'"), "1")

    def test_what_an_account_called_compromised(self):
        """It does not speak for the key; the operator's word blocks it although the reason is the same."""
        key = Key()
        acme = self.client()
        chain, _ = acme.obtain(f"{self.base}.example.org", key=key.private)
        leaf = x509.load_pem_x509_certificate(chain.encode())
        self.assertEqual(acme.post("/revoke-cert", {"certificate": b64u(leaf.public_bytes(DER)), "reason": 1}).status, 200)
        self.assertEqual(self.stack.sql(f"SELECT 1 FROM blocked_keys WHERE spki_sha256 = '{spki_hash(key)}'"), [])
        certificate = self.stack.value(f"SELECT certificate_id FROM certificate_versions WHERE serial_number = '{leaf.serial_number:x}'")
        self.assertEqual(self.post(f"/certificates/{certificate}/revoke", {"reason": "keyCompromise"}).status, 200)
        self.assertEqual(self.stack.sql(f"SELECT 1 FROM blocked_keys WHERE spki_sha256 = '{spki_hash(key)}'"), [["1"]])
        self.assertEqual(self.rows(leaf)[0][1], "acme:" + acme.kid.rsplit("/", 1)[1], "the revocation stays whose it was")


class Hold(RevokeTest):

    def test_held_and_lifted(self):
        certificate, leaf, _ = self.issued("api-hold.example.org")
        self.assertDone(self.post(f"/certificates/{certificate}/revoke", {"reason": "certificateHold"}))
        self.assertEqual(self.ocsp_status(leaf).revocation_reason, x509.ReasonFlags.certificate_hold)
        self.stack.wait(lambda: self.listed(leaf) is not None, what="the CRL lists it")
        answer = self.post(f"/certificates/{certificate}/unrevoke")
        self.assertEqual((answer.status, answer.json), (200, {"status": "unrevoked"}))
        self.stack.wait(lambda: self.ocsp_status(leaf).certificate_status == ocsp.OCSPCertStatus.GOOD, what="OCSP says good")
        self.stack.wait(lambda: self.listed(leaf) is None, what="the CRL has it no more")
        self.assertEqual(self.state(certificate), ["Active", ""])
        self.assertNotIn("revoked_at", self.good(f"/certificates/{certificate}"))
        self.assertEqual(self.audits("certificate_unrevoked", certificate), [{"common_name": "api-hold.example.org", "serial": f"{leaf.serial_number:x}"}])
        self.assertRefused(self.post(f"/certificates/{certificate}/unrevoke"), 409, "state", "only certificateHold can be lifted")
        self.assertDone(self.post(f"/certificates/{certificate}/revoke", {"reason": "superseded"}))
        self.assertEqual((self.reason(leaf), self.state(certificate)), ("superseded", ["Revoked", "superseded"]))
        self.stack.wait(lambda: self.ocsp_status(leaf).certificate_status == ocsp.OCSPCertStatus.REVOKED, what="OCSP says revoked again")

    def test_the_client_revokes_what_was_lifted(self):
        """ACME's revocation too enters it anew."""
        key = Key()
        certificate, leaf, _ = self.issued("api-hold-acme.example.org", key=key)
        self.assertDone(self.post(f"/certificates/{certificate}/revoke", {"reason": "certificateHold"}))
        self.assertEqual(self.post(f"/certificates/{certificate}/unrevoke").status, 200)
        self.assertEqual(self.client().revoke(leaf.public_bytes(DER), 4, key=key).status, 200)
        self.assertEqual(self.reason(leaf), "superseded")

    def test_refused(self):
        certificate, leaf, _ = self.issued("api-hold-not.example.org")
        for reason in (None, "superseded", "keyCompromise"):
            if reason:
                self.assertEqual(self.post(f"/certificates/{certificate}/revoke", {"reason": reason}).status, 200)
            self.assertRefused(self.post(f"/certificates/{certificate}/unrevoke"), 409, "state", "only certificateHold can be lifted")
            self.assertEqual(self.reason(leaf), reason)
        self.assertRefused(self.post("/certificates/mc-none/unrevoke"), 404, "not_found", "Certificate not found")
        self.assertRefused(self.post(f"/certificates/{certificate}/unrevoke", {"serial": "abc"}), 404, "not_found", "Certificate version not found")
        self.assertRefused(self.post(f"/certificates/{certificate}/unrevoke", b"x"), 400, "malformed")

    def test_an_older_version(self):
        certificate, leaf, _ = self.issued("api-hold-0.example.org")
        older = self.older(certificate, "api-hold-1.example.org")
        self.assertEqual(self.post(f"/certificates/{certificate}/revoke", {"reason": "certificateHold", "scope": "all_versions"}).status, 200)
        self.assertEqual(self.post(f"/certificates/{certificate}/unrevoke", {"serial": f"{older.serial_number:X}"}).status, 200)
        self.assertEqual((self.reason(leaf), self.reason(older), self.state(certificate)[0]), ("certificateHold", None, "Revoked"))
        self.assertEqual(self.post(f"/certificates/{certificate}/unrevoke").status, 200)
        self.assertEqual((self.reason(leaf), self.state(certificate)[0]), (None, "Active"))


class Races(RevokeTest):

    once = True

    def test_two_at_once(self):
        """Both have read a valid certificate before either can write."""
        certificate, leaf, _ = self.issued("api-race.example.org")
        answers = self.at_once([lambda reason=reason: self.post(f"/certificates/{certificate}/revoke", {"reason": reason})
                                for reason in ("superseded", "cessationOfOperation")], role="certctl_api",
                               held=f"SELECT 1 FROM managed_certificates WHERE id = '{certificate}' FOR UPDATE")
        self.assertEqual([answer.status for answer in answers], [200, 200])
        self.assertEqual(sorted(answer.json.get("already_revoked", False) for answer in answers), [False, True])
        self.assertEqual((len(self.rows(leaf)), len(self.audits("certificate_revoked", certificate))), (1, 1))

    def test_overtaken_by_another_reason(self):
        """A compromise that comes second is an upgrade, also when it read a valid certificate."""
        for turn in range(3):
            certificate, leaf, _ = self.issued(f"api-overtaken-{turn}.example.org")
            answers = self.at_once([lambda reason=reason: self.post(f"/certificates/{certificate}/revoke", {"reason": reason})
                                    for reason in ("superseded", "keyCompromise")], role="certctl_api",
                                   held=f"SELECT 1 FROM managed_certificates WHERE id = '{certificate}' FOR UPDATE")
            self.assertEqual([answer.status for answer in answers], [200, 200])
            self.assertEqual(self.reason(leaf), "keyCompromise")

    def test_a_renewal_in_between(self):
        """The newest version is another one by the commit: that one is revoked."""
        certificate, old, _ = self.issued("api-renewed.example.org")
        _, new, _ = self.issued("api-renewed-new.example.org")
        serial = f"{new.serial_number:x}"
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.post(f"/certificates/{certificate}/revoke")))
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'certctl_api' AND wait_event_type = 'Lock'"
        with self.stack.holding(f"""UPDATE certificate_versions SET certificate_id = '{certificate}' WHERE serial_number = '{serial}';
                UPDATE managed_certificates SET current_version_id = (SELECT id FROM certificate_versions WHERE serial_number = '{serial}')
                 WHERE id = '{certificate}'; SELECT 'locked'; COMMIT; BEGIN; SELECT 1 FROM managed_certificates WHERE id = '{certificate}' FOR UPDATE""") as ask:
            thread.start()
            self.stack.wait(lambda: ask(waiting) == ["1"], what="the commit waits")
        thread.join()
        self.assertEqual(answers[0].status, 200, answers[0])
        self.assertEqual((self.reason(new), self.reason(old)), ("unspecified", None))

    def test_thirty_at_once(self):
        certificate, leaf, _ = self.issued("api-thirty.example.org")
        answers = self.at_once([lambda: self.post(f"/certificates/{certificate}/revoke", {"reason": "superseded"}) for _ in range(30)])
        self.assertEqual({answer.status for answer in answers}, {200})
        self.assertEqual(sum("already_revoked" not in answer.json for answer in answers), 1)
        self.assertEqual(len(self.rows(leaf)), 1)

    def test_nothing_of_the_key_slips_through(self):
        """ACME issues certificates of the key while the operator calls it compromised."""
        acme = self.client()
        for turn in range(3):
            certificate, _, key = self.issued(f"api-slip-{turn}.example.org")
            orders = [acme.order(f"api-slip-{turn}-{i}.example.org").json for i in range(8)]
            bodies = [(order["finalize"], acme.jws(order["finalize"], {"csr": b64u(csr(key.private, [order["identifiers"][0]["value"]]))}))
                      for order in orders]
            calls = [lambda url=url, body=body: acme.post_body(url[len(acme.base):], body) for url, body in bodies]
            calls.insert(2 + turn, lambda certificate=certificate: self.post(f"/certificates/{certificate}/revoke", {"reason": "keyCompromise"}))
            self.assertEqual([answer for answer in self.at_once(calls) if answer.status not in (200, 400)], [])
            self.assertEqual(self.stack.sql("SELECT v.id FROM certificate_versions v LEFT JOIN certificate_revocations r "
                                            f"USING (issuer_id, serial_number) WHERE v.spki_sha256 = '{spki_hash(key)}' AND r.id IS NULL"), [])

    def waits_in_the_commit(self, certificate, disturb):
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.post(f"/certificates/{certificate}/revoke", {"reason": "superseded"})))
        waiting = "FROM pg_stat_activity WHERE usename = 'certctl_api' AND wait_event_type = 'Lock'"
        with self.stack.holding(f"SELECT 1 FROM managed_certificates WHERE id = '{certificate}' FOR UPDATE") as ask:
            thread.start()
            self.stack.wait(lambda: ask(f"SELECT count(*) {waiting}") == ["1"], what="the commit waits")
            disturb(lambda: ask(f"SELECT pg_terminate_backend(pid) {waiting}"))
        thread.join()
        return answers[0]

    def test_the_worker_is_killed(self):
        """Nothing or all of it; asking again is enough."""
        certificate, leaf, _ = self.issued("api-killed.example.org")

        def kill(_):
            for pid in self.stack.pids("certctl-api"):
                os.kill(pid, signal.SIGKILL)
        answer = self.waits_in_the_commit(certificate, kill)
        self.assertIn(answer.status, (502, 503), answer)
        self.stack.wait(lambda: self.get(f"/certificates/{certificate}").status == 200, what="workers are back")
        self.stack.wait(lambda: self.stack.value("SELECT count(*) FROM pg_stat_activity WHERE usename = 'certctl_api' AND state = 'active'") == "0",
                        what="the orphaned session is gone")
        before = self.reason(leaf)
        self.assertIn((before, self.state(certificate)[0]), ((None, "Active"), ("superseded", "Revoked")))
        again = self.post(f"/certificates/{certificate}/revoke", {"reason": "superseded"})
        self.assertDone(again, **({"already_revoked": True} if before else {}))
        self.assertEqual((len(self.rows(leaf)), len(self.audits("certificate_revoked", certificate))), (1, 1))

    def test_the_database_is_lost(self):
        certificate, leaf, _ = self.issued("api-lost.example.org")
        answer = self.waits_in_the_commit(certificate, lambda terminate: terminate())
        self.assertRefused(answer, 503, "unavailable")
        self.assertIn("Retry-After", answer.headers)
        self.assertIsNone(self.reason(leaf))
        self.assertDone(self.post(f"/certificates/{certificate}/revoke", {"reason": "superseded"}))


class Bulk(RevokeTest):

    seconds = 90
    ZERO = {"total_matched": 0, "total_revoked": 0, "total_skipped": 0, "total_failed": 0}

    def many(self, tag, count, profile="prof-test", source="API", status="Active", version=True):
        """Certificates with a version each, as if issued; an owner and a team of their own."""
        self.stack.sql(f"""
            INSERT INTO teams (id, name) VALUES ('t-{tag}', '{tag}') ON CONFLICT DO NOTHING;
            INSERT INTO owners (id, name, team_id) VALUES ('o-{tag}', '{tag}', 't-{tag}') ON CONFLICT DO NOTHING;
            INSERT INTO managed_certificates (id, name, common_name, owner_id, team_id, issuer_id, renewal_policy_id, certificate_profile_id,
                                              status, source, expires_at, revoked_at)
            SELECT 'mc-{tag}-' || n, '{tag} ' || n, '{tag}' || n || '.example', 'o-{tag}', 't-{tag}', 'iss-local', 'rp-none', '{profile}', '{status}',
                   '{source}', now() + interval '30 d', CASE '{status}' WHEN 'Revoked' THEN now() END FROM generate_series(1, {count}) n""")
        if version:
            self.stack.sql(f"""
                INSERT INTO certificate_versions (id, certificate_id, issuer_id, serial_number, not_before, not_after, fingerprint_sha256, spki_sha256,
                                                  ca_id, pem_chain)
                SELECT 'cv-{tag}-' || n, 'mc-{tag}-' || n, 'iss-local', 'b' || left(encode(sha256(('{tag}' || n)::bytea), 'hex'), 30), now() - interval '1 d',
                       now() + interval '30 d', encode(sha256(('f{tag}' || n)::bytea), 'hex'), encode(sha256(('k{tag}' || n)::bytea), 'hex'),
                       (SELECT id FROM issuing_cas WHERE issuer_id = 'iss-local'), '' FROM generate_series(1, {count}) n;
                UPDATE managed_certificates SET current_version_id = replace(id, 'mc-', 'cv-') WHERE owner_id = 'o-{tag}'""")

    def bulk(self, body, est=False, **options):
        return self.post(("/est" if est else "") + "/certificates/bulk-revoke", body, **options)

    def assertTotals(self, answer, matched, revoked, skipped=0, failed=0, **more):
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.json, {"total_matched": matched, "total_revoked": revoked, "total_skipped": skipped, "total_failed": failed, **more})

    def revoked(self, tag):
        return int(self.stack.value(f"SELECT count(*) FROM certificate_revocations WHERE certificate_id IN (SELECT id FROM managed_certificates "
                                    f"WHERE owner_id = 'o-{tag}')"))

    def whole(self, tag, count, reason):
        """Each certificate has one revocation with its entry, one audit row and two notices."""
        self.assertEqual(self.stack.sql(f"""
            SELECT count(*), count(DISTINCT m.id), count(*) FILTER (WHERE r.reason = '{reason}' AND r.crl_entry_der IS NOT NULL),
                   count(*) FILTER (WHERE m.status = 'Revoked' AND m.revocation_reason = '{reason}'),
                   sum((SELECT count(*) FROM notification_events n WHERE n.certificate_id = m.id)),
                   (SELECT count(*) FROM audit_events a WHERE a.action = 'certificate_revoked' AND a.resource_id LIKE 'mc-{tag}-%'),
                   (SELECT count(DISTINCT a.resource_id) FROM audit_events a WHERE a.action = 'certificate_revoked' AND a.resource_id LIKE 'mc-{tag}-%')
              FROM managed_certificates m LEFT JOIN certificate_revocations r ON r.certificate_id = m.id WHERE m.owner_id = 'o-{tag}'"""),
                         [[str(n) for n in (count, count, count, count, 2 * count, count, count)]])

    def short_ocsp(self, serial):
        answer = self.raw("GET", f"/.well-known/pki/ocsp/iss-local/{serial}")
        self.assertEqual(answer.status, 200, answer)
        return ocsp.load_der_ocsp_response(answer.body).certificate_status

    def not_revoked_by_ocsp(self, serials):
        """Of which OCSP says anything else: sixteen a request, from an address of their own, whose limit is theirs."""
        hashes_of = "SELECT encode(name_sha1, 'hex'), encode(key_sha1, 'hex') FROM ca_instances JOIN issuing_cas USING (id) WHERE issuing_cas.issuer_id = 'iss-local'"
        name, key = (der(4, bytes.fromhex(value)) for value in self.stack.sql(hashes_of)[0])
        numbers = {serial: der(2, bytes.fromhex("0" * (len(serial) % 2) + serial)) for serial in serials}
        wire, left = http.client.HTTPConnection("127.0.0.1", self.stack.http_port, timeout=60, source_address=("127.0.0.9", 0)), []
        for first in range(0, len(serials), 16):
            part = serials[first:first + 16]
            ids = (der(0x30, der(0x30, der(0x30, bytes.fromhex("06052b0e03021a0500")), name, key, numbers[serial])) for serial in part)
            wire.request("POST", "/.well-known/pki/ocsp/iss-local", der(0x30, der(0x30, der(0x30, *ids))),
                         {"Content-Type": MEDIA, "Host": f"localhost:{self.stack.http_port}"})
            answer = wire.getresponse()
            body = answer.read()
            self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/ocsp-response"), body)
            left += [serial for serial in part if numbers[serial] + b"\xa1" not in body]  # RFC 6960 section 4.2.1: [1] is revoked
        wire.close()
        return left

    def test_bodies(self):
        self.many("body", 1)
        need = "(profile_id, owner_id, agent_id, issuer_id, team_id, or certificate_ids)"
        narrower = f"At least one narrower criterion is required {need}; EST bulk-revoke is implicitly Source-scoped to EST"
        for est in (False, True):
            for body, message in (({"owner_id": "o-body"}, "Revocation reason is required"), ({"reason": "", "owner_id": "o-body"}, "Revocation reason is required"),
                                  ({"reason": "x y", "owner_id": "o-body"}, "Invalid revocation reason: x y"),
                                  ({"reason": "superseded"}, narrower if est else f"At least one filter criterion is required {need}"),
                                  ({"reason": "superseded", "owner_id": "", "certificate_ids": []}, narrower if est else f"At least one filter criterion is required {need}"),
                                  ({"reason": "superseded", "filter": {}}, narrower if est else f"At least one filter criterion is required {need}")):
                with self.subTest(body, est=est):
                    self.assertRefused(self.bulk(body, est), 400, "invalid", message)
            for body in ({"reason": 1, "owner_id": "o-body"}, {"reason": "superseded", "owner_id": 1}, {"reason": "superseded", "certificate_ids": "mc"},
                         {"reason": "superseded", "certificate_ids": [1]}, {"reason": "superseded", "filter": []}, {"reason": "superseded", "owner_id": "o-body", "dry_run": 1}):
                with self.subTest(body, est=est):
                    self.assertRefused(self.bulk(body, est), 400, "invalid")
            for body in (None, b"{", b"[]"):
                self.assertRefused(self.bulk(body, est), 400, "malformed")
            for role in ("r-operator", "r-viewer"):
                self.assertRefused(self.bulk({"reason": "superseded", "owner_id": "o-body"}, est, key=self.key(role)), 403, "forbidden")
        self.assertEqual(self.revoked("body"), 0)
        self.assertEqual(self.get("/certificates/bulk-revoke").status, 405)

    def test_criteria(self):
        self.many("crit", 6)
        self.stack.sql("UPDATE managed_certificates SET certificate_profile_id = 'prof-other' WHERE id IN ('mc-crit-1', 'mc-crit-2')")
        self.stack.sql("INSERT INTO certificate_target_mappings (certificate_id, target_id) VALUES ('mc-crit-3', 'tgt-walk')")
        for body, matched in (({"owner_id": "o-crit"}, 6), ({"team_id": "t-crit"}, 6), ({"owner_id": "o-crit", "profile_id": "prof-other"}, 2),
                              ({"owner_id": "o-crit", "issuer_id": "iss-local"}, 6), ({"owner_id": "o-crit", "issuer_id": "iss-none"}, 0),
                              ({"owner_id": "o-crit", "agent_id": "agent-walk"}, 1), ({"owner_id": "o-crit", "certificate_ids": ["mc-crit-4", "mc-walk-1"]}, 1),
                              ({"filter": {"owner_id": "o-crit", "profile_id": "prof-other"}}, 2), ({"owner_id": "o-crit", "filter": {"profile_id": "prof-other"}}, 2),
                              ({"certificate_ids": ["mc-crit-5", "mc-crit-5", "mc-crit-6"]}, 2)):
            with self.subTest(body):
                answer = self.bulk({"reason": "superseded", "dry_run": True, **body})
                self.assertEqual((answer.json["total_matched"], answer.json["total_revoked"]), (matched, matched), answer)
                self.assertEqual(len(answer.json["certificate_ids"]), matched)
        self.assertEqual(self.revoked("crit"), 0)
        self.assertTotals(self.bulk({"reason": "superseded", "owner_id": "o-crit", "profile_id": "prof-other"}), 2, 2)
        self.assertEqual(self.revoked("crit"), 2)

    def test_skipped_and_failed(self):
        self.many("skip", 6)
        self.stack.sql("UPDATE managed_certificates SET status = 'Archived' WHERE id = 'mc-skip-1';"
                       "UPDATE managed_certificates SET current_version_id = NULL WHERE id = 'mc-skip-2'")
        self.assertEqual(self.post("/certificates/mc-skip-3/revoke").status, 200)
        answer = self.bulk({"reason": "superseded", "certificate_ids": [f"mc-skip-{n}" for n in range(1, 7)] + ["mc-nope", "a b", ""]})
        self.assertEqual([answer.json[f"total_{word}"] for word in ("matched", "revoked", "skipped", "failed")], [9, 3, 2, 4])
        self.assertEqual(answer.json["errors"], [{"certificate_id": "", "error": "certificate not found"}, {"certificate_id": "a b", "error": "certificate not found"},
                                                 {"certificate_id": "mc-nope", "error": "certificate not found"},
                                                 {"certificate_id": "mc-skip-2", "error": "certificate has no issued version"}])
        self.assertEqual(self.state("mc-skip-3"), ["Revoked", "unspecified"])
        audits = self.stack.sql(f"SELECT action, actor, details FROM audit_events WHERE request_id = '{answer.headers['X-Request-ID']}' AND resource_id = 'bulk'")
        self.assertEqual([row[:2] for row in audits], [["bulk_revocation_initiated", self.keys["r-admin"][2]]])
        self.assertEqual(json.loads(audits[0][2]), {"reason": "superseded", "criteria": {"certificate_ids": 9}, "total_matched": 9, "total_revoked": 3,
                                                    "total_skipped": 2, "total_failed": 4})

    def test_est(self):
        self.many("est", 3, source="EST")
        self.many("est2", 2, source="API")
        answer = self.bulk({"reason": "cessationOfOperation", "issuer_id": "iss-local", "certificate_ids": ["mc-est-1", "mc-est-2", "mc-est2-1"]}, est=True)
        self.assertTotals(answer, 2, 2)
        self.assertEqual((self.revoked("est"), self.revoked("est2")), (2, 0))
        self.assertEqual(self.stack.sql(f"SELECT action, details->'criteria'->>'source' FROM audit_events WHERE request_id = '{answer.headers['X-Request-ID']}' "
                                        "AND resource_id = 'bulk' ORDER BY action"), [["bulk_revocation_initiated", "EST"], ["est_bulk_revoke", "EST"]])
        self.assertTotals(self.bulk({"reason": "cessationOfOperation", "owner_id": "o-est"}, est=True), 3, 1, 2)

    def test_scoped_grant(self):
        """What lies outside of it is not found."""
        self.many("narrow", 4)
        self.stack.sql("UPDATE managed_certificates SET certificate_profile_id = 'prof-other' WHERE id IN ('mc-narrow-1', 'mc-narrow-2')")
        key, _, name = self.new_key("--role=r-admin")
        self.stack.sql(f"UPDATE actor_roles SET scope_type = 'profile', scope_id = 'prof-other' WHERE actor_id = '{name}'")
        answer = self.bulk({"reason": "superseded", "certificate_ids": ["mc-narrow-1", "mc-narrow-3"]}, key=key)
        self.assertTotals(answer, 2, 1, 0, 1, errors=[{"certificate_id": "mc-narrow-3", "error": "certificate not found"}])
        self.assertTotals(self.bulk({"reason": "superseded", "owner_id": "o-narrow"}, key=key), 2, 1, 1)
        self.assertEqual(self.revoked("narrow"), 2)

    def test_compromise(self):
        """The siblings of each key go along, and no key is used again."""
        self.many("comp", 3)
        self.many("sib", 2)
        self.stack.sql("UPDATE certificate_versions SET spki_sha256 = (SELECT spki_sha256 FROM certificate_versions WHERE id = 'cv-comp-1') WHERE id = 'cv-sib-1'")
        self.assertTotals(self.bulk({"reason": "keyCompromise", "owner_id": "o-comp"}), 3, 3)
        self.assertEqual((self.revoked("comp"), self.revoked("sib"), self.state("mc-sib-1")), (3, 1, ["Revoked", "keyCompromise"]))
        self.assertEqual(self.stack.value("SELECT count(*) FROM blocked_keys WHERE spki_sha256 IN (SELECT spki_sha256 FROM certificate_versions WHERE "
                                          "certificate_id LIKE 'mc-comp-%')"), "3")

    def test_a_failing_batch(self):
        """One that cannot be entered does not keep back the others of its batch."""
        self.many("fail", 7)
        self.stack.sql("""CREATE FUNCTION test_refuse_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                              IF NEW.certificate_id = 'mc-fail-4' THEN RAISE 'no'; END IF; RETURN NEW; END $$;
                          CREATE TRIGGER test_refuse_one BEFORE INSERT ON certificate_revocations FOR EACH ROW EXECUTE FUNCTION test_refuse_one()""")
        try:
            answer = self.bulk({"reason": "superseded", "owner_id": "o-fail"})
        finally:
            self.stack.sql("DROP FUNCTION test_refuse_one CASCADE")
        self.assertTotals(answer, 7, 6, 0, 1, errors=[{"certificate_id": "mc-fail-4", "error": "Failed to revoke certificate"}])
        self.assertEqual((self.revoked("fail"), self.state("mc-fail-4")[0]), (6, "Active"))
        self.assertTotals(self.bulk({"reason": "superseded", "owner_id": "o-fail"}), 7, 1, 6)
        self.whole("fail", 7, "superseded")

    def test_the_database_is_lost(self):
        """503; what was committed stays, the rest is done by a repetition."""
        self.many("gone", 1200)
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.bulk({"reason": "superseded", "owner_id": "o-gone"})))
        waiting = "FROM pg_stat_activity WHERE usename = 'certctl_api' AND wait_event_type = 'Lock'"
        last = self.stack.value("SELECT max(id COLLATE \"C\") FROM managed_certificates WHERE owner_id = 'o-gone'")
        with self.stack.holding(f"SELECT 1 FROM managed_certificates WHERE id = '{last}' FOR UPDATE") as ask:
            thread.start()
            self.stack.wait(lambda: ask(f"SELECT count(*) {waiting}") == ["1"], what="the last batch waits")
            ask(f"SELECT pg_terminate_backend(pid) {waiting}")
        thread.join()
        self.assertRefused(answers[0], 503, "unavailable")
        done = self.revoked("gone")
        self.assertEqual(done, 1000)
        self.assertTotals(self.bulk({"reason": "superseded", "owner_id": "o-gone"}), 1200, 200, 1000)
        self.whole("gone", 1200, "superseded")

    def test_one_does_not_wait_for_many(self):
        """Each batch moves the list of many ahead, and not that of one certificate."""
        self.many("flow", 300)
        certificate, leaf, _ = self.issued("api-flow.example.org")
        for n in range(1, 301):
            self.assertTotals(self.bulk({"reason": "superseded", "certificate_ids": [f"mc-flow-{n}"]}), 1, 1)
            if n == 1:
                self.assertDone(self.post(f"/certificates/{certificate}/revoke", {"reason": "superseded"}))
            if self.listed(leaf):
                return
            time.sleep(0.2)  # well within the two seconds of quiet that many wait for
        self.fail("no list until the last of many")

    def test_ten_thousand(self):
        """Killed half-way and repeated: nothing twice, nothing left; one CRL for what the second call did."""
        self.many("mass", 10000)
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.bulk({"reason": "superseded", "owner_id": "o-mass"})))
        thread.start()
        self.stack.wait(lambda: self.revoked("mass") >= 2000, 60, "some are done")
        self.stack.kill("certctl-api")
        thread.join()
        self.assertIn(answers[0].status, (502, 503), answers[0])
        self.stack.wait(lambda: self.stack.value("SELECT count(*) FROM pg_stat_activity WHERE usename = 'certctl_api' AND state = 'active'") == "0",
                        what="the orphaned session is gone")
        done = self.revoked("mass")
        self.assertTrue(2000 <= done < 10000 and done % 500 == 0, done)
        self.stack.wait(lambda: self.stack.value("SELECT count(coalesce(crl_dirty_since, crl_batched_at)) FROM ca_instances") == "0", what="its list is made")
        number = "SELECT crl_number FROM ca_instances JOIN issuing_cas USING (id) WHERE issuing_cas.issuer_id = 'iss-local'"
        before, began = int(self.stack.value(number)), time.monotonic()
        answer = self.bulk({"reason": "superseded", "owner_id": "o-mass"})
        took = time.monotonic() - began
        self.assertTotals(answer, 10000, 10000 - done, done)
        self.whole("mass", 10000, "superseded")
        self.stack.wait(lambda: self.stack.value("SELECT count(coalesce(crl_dirty_since, crl_batched_at)) FROM ca_instances") == "0", what="the list is made")
        lists = int(self.stack.value(number)) - before
        print(f"# {10000 - done} revoked in {took:.1f} s, lists: {lists}")
        # Two seconds of quiet, or twenty in all, end the waiting: then there is one more list every two seconds.
        pause = float(self.stack.value("SELECT max(pause) FROM (SELECT extract(epoch FROM \"timestamp\" - lag(\"timestamp\") OVER (ORDER BY \"timestamp\")) "
                                       f"AS pause FROM audit_events WHERE request_id = '{answer.headers['X-Request-ID']}') p"))
        self.assertIn(lists, range(1, 2 + (int(took / 2) if pause > 0.9 or took > 18 else 0)))
        serials = [row[0] for row in self.stack.sql("SELECT serial_number FROM certificate_versions WHERE id LIKE 'cv-mass-%'")]
        self.assertEqual(self.short_ocsp(serials[0]), ocsp.OCSPCertStatus.REVOKED)
        began = time.monotonic()
        self.assertEqual(self.not_revoked_by_ocsp(serials), [])
        print(f"# OCSP said so of each in {time.monotonic() - began:.1f} s")

        def listed():
            crl = x509.load_der_x509_crl(self.raw("GET", "/.well-known/pki/crl/iss-local").body)
            return all(crl.get_revoked_certificate_by_serial_number(int(serial, 16)) for serial in serials[::10])
        self.stack.wait(listed, what="all stand on the list")
        self.assertTotals(self.bulk({"reason": "superseded", "owner_id": "o-mass"}), 10000, 0, 10000)
