"""Revocation by account and by certificate key (01 section 13, 04 section 8), row by row."""
import datetime
import hashlib
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from acme_client import Client, Key, b64u, csr
from case import ProtocolTest

REASONS = {0: "unspecified", 1: "keyCompromise", 2: "caCompromise", 3: "affiliationChanged", 4: "superseded",
           5: "cessationOfOperation", 6: "certificateHold", 8: "unspecified", 9: "privilegeWithdrawn", 10: "unspecified"}
STRANGER = "the requester is not authorized to revoke this certificate"
DER = serialization.Encoding.DER


def spki_hash(key):
    return hashlib.sha256(key.private.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()


class RevocationTest(ProtocolTest):

    def leaf(self, acme, *names, key=None):
        """(certificate, its key) of a new order."""
        key = key or Key()
        chain, _ = acme.obtain(*names, key=key.private)
        return x509.load_pem_x509_certificate(chain.encode()), key

    def foreign_leaf(self, name, key, days=30, known=True):
        """A certificate that no CA of ours signed; `known`: as if a remote issuer had, so that keys and
        dates are possible which our profiles forbid."""
        now = datetime.datetime.utcnow()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = ec.generate_private_key(ec.SECP256R1())
        leaf = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.private.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=60))
                .not_valid_after(now + datetime.timedelta(days=days))
                .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False).sign(signer, hashes.SHA256()))
        if known:
            self.stack.sql(f"""
                WITH v AS (INSERT INTO certificate_versions (id, certificate_id, issuer_id, serial_number, not_before,
                                                             not_after, fingerprint_sha256, spki_sha256, pem_chain)
                           VALUES ('cv-{name}', 'mc-{name}', 'iss-local', '{leaf.serial_number:x}', '{leaf.not_valid_before}Z',
                                   '{leaf.not_valid_after}Z', '{leaf.fingerprint(hashes.SHA256()).hex()}',
                                   '{spki_hash(key)}', ''))
                INSERT INTO managed_certificates (id, name, common_name, sans, owner_id, team_id, issuer_id,
                                                  renewal_policy_id, status, current_version_id)
                VALUES ('mc-{name}', '{name}', '{name}', '{{{name}}}', 'o-enrollment', 't-enrollment', 'iss-local',
                        'rp-none', 'Active', 'cv-{name}')""")
        return leaf

    def revocations(self, leaf):
        return self.stack.sql("SELECT reason, revoked_by FROM certificate_revocations "
                              f"WHERE serial_number = '{leaf.serial_number:x}'")

    def assertRevoked(self, leaf, reason, actor=None):
        rows = self.revocations(leaf)
        self.assertEqual([row[0] for row in rows], [reason])
        if actor:
            self.assertEqual(rows[0][1], actor)


class Refusals(RevocationTest):
    """In the order of 01 section 13."""

    def setUp(self):
        self.acme = self.client()

    def test_1_form_of_the_key(self):
        leaf, key = self.leaf(self.acme, "form-key.example.org")
        payload = {"certificate": b64u(leaf.public_bytes(DER))}
        both = self.acme.post("/revoke-cert", payload, jwk=self.acme.key.jwk())
        self.assertProblem(both, 400, "malformed", "exactly one of kid and jwk")
        self.assertProblem(self.acme.post("/revoke-cert", payload, kid=None), 400, "malformed", "exactly one of kid and jwk")
        private = {**key.jwk(), "d": b64u(b"\1" * 32)}
        answer = self.acme.post("/revoke-cert", payload, key=key, kid=None, jwk=private)
        self.assertProblem(answer, 400, "badPublicKey", "private key material")
        answer = self.acme.post("/revoke-cert", payload, key=Key(), kid=None, jwk=key.jwk())
        self.assertProblem(answer, 401, "unauthorized", "signature")
        self.assertProblem(self.acme.post("/revoke-cert", payload, kid=self.acme.kid[:-26] + "0" * 26), 400, "accountDoesNotExist")
        self.assertEqual(self.revocations(leaf), [])

    def test_1_a_deactivated_account_revokes_nothing(self):
        leaf, _ = self.leaf(self.acme, "deactivated-revoke.example.org")
        self.acme.post(self.acme.kid, {"status": "deactivated"})
        self.assertProblem(self.acme.revoke(leaf.public_bytes(DER)), 401, "unauthorized", "deactivated")
        self.assertEqual(self.revocations(leaf), [])

    def test_2_payload(self):
        leaf, _ = self.leaf(self.acme, "payload.example.org")
        der = leaf.public_bytes(DER)
        for about, payload, says in (
                ("no payload", None, "payload"), ("no certificate", {}, "certificate"),
                ("certificate is no text", {"certificate": 7}, "certificate"),
                ("certificate in PEM", {"certificate": leaf.public_bytes(serialization.Encoding.PEM).decode()}, "certificate"),
                ("empty", {"certificate": ""}, "empty"), ("cut off", {"certificate": b64u(der[:-1])}, "DER"),
                ("trailing bytes", {"certificate": b64u(der + b"\0")}, "followed by other bytes"),
                ("no certificate at all", {"certificate": b64u(b"\x30\0")}, "DER"),
                ("reason is text", {"certificate": b64u(der), "reason": "1"}, "reason"),
                ("reason is no integer", {"certificate": b64u(der), "reason": 1.0}, "reason"),
                ("reason is a truth", {"certificate": b64u(der), "reason": True}, "reason")):
            with self.subTest(about):
                self.assertProblem(self.acme.post("/revoke-cert", payload), 400, "malformed", says)
        self.assertEqual(self.revocations(leaf), [])

    def test_3_unknown_certificate(self):
        key = Key()
        leaf = self.foreign_leaf("unknown.example.org", key, known=False)
        for about, signer in (("account", None), ("its key", key)):
            with self.subTest(about):
                answer = self.acme.revoke(leaf.public_bytes(DER), key=signer)
                self.assertProblem(answer, 404, "malformed", "the supplied certificate is not known to this server")

    def test_3_a_look_alike_is_unknown(self):
        """Issuer, serial, names and key are right, the signature is not."""
        leaf, key = self.leaf(self.acme, "look-alike.example.org")
        der = bytearray(leaf.public_bytes(DER))
        der[-1] ^= 1
        self.assertProblem(self.acme.revoke(bytes(der), key=key), 404, "malformed", "not known to this server")
        self.assertEqual(self.revocations(leaf), [])

    def test_3_the_signature_is_checked_too(self):
        """The row says that our CA signed it. It did not."""
        key = Key()
        name = "claimed.example.org"
        leaf = self.foreign_leaf(name, key)
        self.stack.sql("UPDATE certificate_versions SET ca_id = (SELECT id FROM issuing_cas WHERE issuer_id = 'iss-local') "
                       f"WHERE id = 'cv-{name}'")
        self.assertProblem(self.acme.revoke(leaf.public_bytes(DER), key=key), 404, "malformed", "not known to this server")

    def test_4_strangers_learn_nothing(self):
        """The same answer whether the certificate is good, revoked or expired, and whatever the reason."""
        good, _ = self.leaf(self.acme, "stranger-1.example.org")
        revoked, _ = self.leaf(self.acme, "stranger-2.example.org")
        self.assertEqual(self.acme.revoke(revoked.public_bytes(DER)).status, 200)
        expired = self.foreign_leaf("stranger-3.example.org", Key(), days=-1)
        other = self.client()
        for leaf in (good, revoked, expired):
            for reason in (None, 1, 7):
                for signer in (None, Key(), Key("RSA-2048"), other.key):
                    answer = other.revoke(leaf.public_bytes(DER), reason, key=signer)
                    self.assertProblem(answer, 401, "unauthorized")
                    self.assertEqual(answer.json["detail"], STRANGER)
        self.assertEqual(self.revocations(good), [])

    def test_4_the_account_key_as_jwk_is_not_the_certificates(self):
        leaf, _ = self.leaf(self.acme, "account-as-jwk.example.org")
        self.assertProblem(self.acme.revoke(leaf.public_bytes(DER), key=self.acme.key), 401, "unauthorized", STRANGER)

    def test_4_weak_keys_get_as_far_as_the_authorization(self):
        leaf, _ = self.leaf(self.acme, "weak-stranger.example.org")
        self.assertProblem(self.acme.revoke(leaf.public_bytes(DER), key=Key("RSA-1024")), 401, "unauthorized", STRANGER)

    def test_5_already_revoked(self):
        leaf, key = self.leaf(self.acme, "already.example.org")
        der = leaf.public_bytes(DER)
        self.assertEqual(self.acme.revoke(der, 4).status, 200)
        for reason in (None, 4, 1, 7):
            for signer in (None, key):
                self.assertProblem(self.acme.revoke(der, reason, key=signer), 400, "alreadyRevoked", "revoked already")
        self.assertRevoked(leaf, "superseded")

    def test_5_expired(self):
        key = Key()
        leaf = self.foreign_leaf("expired-leaf.example.org", key, days=-1)
        for reason in (None, 7):
            answer = self.acme.revoke(leaf.public_bytes(DER), reason, key=key)
            self.assertProblem(answer, 400, "malformed", "certificate has expired")
        self.assertEqual(self.revocations(leaf), [])

    def test_6_bad_reasons(self):
        leaf, key = self.leaf(self.acme, "bad-reason.example.org")
        for reason in (-1, 7, 11, 2 ** 40):
            for signer in (None, key):
                answer = self.acme.revoke(leaf.public_bytes(DER), reason, key=signer)
                self.assertProblem(answer, 400, "badRevocationReason", f"reason {reason} is none of")
                for code, text in ((0, "unspecified"), (6, "certificateHold"), (9, "privilegeWithdrawn")):
                    self.assertIn(f"{code} {text}", answer.json["detail"])
        self.assertEqual(self.revocations(leaf), [])

    def test_replay(self):
        leaf, _ = self.leaf(self.acme, "replay-revoke.example.org")
        other, _ = self.leaf(self.acme, "replay-revoke-2.example.org")
        path = self.acme.prefix + "/revoke-cert"
        body = self.acme.jws(self.acme.base + path, {"certificate": b64u(leaf.public_bytes(DER))})
        nonce = self.acme.nonce()
        self.assertEqual(self.acme.post_body(path, body).status, 200)
        self.assertProblem(self.acme.post_body(path, body), 400, "badNonce", "used before")
        payload = {"certificate": b64u(other.public_bytes(DER))}
        self.assertEqual(self.acme.post("/revoke-cert", {}, nonce=nonce).status, 400)  # refused, and the nonce is gone
        self.assertProblem(self.acme.post("/revoke-cert", payload, nonce=nonce), 400, "badNonce", "used before")
        self.assertEqual(self.revocations(other), [])


class Revocations(RevocationTest):

    def test_every_reason_by_account_and_by_key(self):
        acme = self.client()
        account = "acme:" + acme.kid.rsplit("/", 1)[1]
        for code, text in REASONS.items():
            for by_key in (False, True):
                with self.subTest(f"{code}, {'key' if by_key else 'account'}"):
                    leaf, key = self.leaf(acme, f"reason-{code}-{by_key}.example.org".lower())
                    answer = acme.revoke(leaf.public_bytes(DER), code, key=key if by_key else None)
                    self.assertEqual((answer.status, answer.body), (200, b""), answer)
                    self.assertIn("Replay-Nonce", answer.headers)
                    self.assertEqual(answer.headers["Cache-Control"], "no-store")
                    self.assertRevoked(leaf, text, f"acme-cert-key:{leaf.serial_number:x}" if by_key else account)

    def test_keys_of_all_kinds_revoke(self):
        acme = self.client(register=False)  # whoever has the key needs no account
        owner = self.client()
        for kind in ("P-256", "P-384", "RSA-2048"):
            with self.subTest(kind):
                leaf, key = self.leaf(owner, f"kind-{kind.lower()}.example.org", key=Key(kind))
                self.assertEqual(acme.revoke(leaf.public_bytes(DER), key=key).status, 200)
                self.assertRevoked(leaf, "unspecified")
        for kind in ("RSA-1024", "P-521", "Ed25519"):
            with self.subTest(f"{kind}, which no profile takes"):
                key = Key(kind)
                leaf = self.foreign_leaf(f"kind-{kind.lower()}.example.org", key)
                self.assertEqual(acme.revoke(leaf.public_bytes(DER), key=key).status, 200)
                self.assertRevoked(leaf, "unspecified")

    def test_another_profiles_directory(self):
        leaf, key = self.leaf(self.client(), "other-directory.example.org")
        other = Client(self.stack, "prof-other")
        self.assertEqual(other.revoke(leaf.public_bytes(DER), key=key).status, 200)

    def test_what_is_recorded(self):
        acme = self.client()
        leaf, _ = self.leaf(acme, "written-1.example.org", "written-2.example.org")
        serial = f"{leaf.serial_number:x}"
        version = self.stack.sql("SELECT id, certificate_id, ca_id, not_after FROM certificate_versions "
                                 f"WHERE serial_number = '{serial}'")[0]
        self.stack.sql("INSERT INTO ocsp_response_cache (issuer_id, serial_hex, response_der, cert_status, this_update, next_update) "
                       f"VALUES ('iss-local', '{serial}', '', 'good', now(), now() + interval '1 hour'), "
                       "('iss-local', 'abc', '', 'good', now(), now() + interval '1 hour') ON CONFLICT DO NOTHING")
        built = self.stack.value(f"SELECT crl_number FROM ca_instances WHERE id = '{version[2]}'")
        answer = acme.revoke(leaf.public_bytes(DER), 3)
        self.assertEqual(answer.status, 200, answer)
        row = self.stack.sql("SELECT source, certificate_id, issuer_id, reason, ca_id, not_after, crl_permanent, short_lived, "
                             "issuer_notified, revoked_at > now() - interval '1 minute', "
                             "to_char(revoked_at AT TIME ZONE 'UTC', 'YYMMDDHH24MISS'), encode(crl_entry_der, 'hex') "
                             f"FROM certificate_revocations WHERE serial_number = '{serial}'")
        self.assertEqual(row[0][:10], ["request", version[1], "iss-local", "affiliationChanged", version[2], version[3],
                                       "f", "f", "t", "t"])
        # SEQUENCE { serial, UTCTime, { reasonCode 3 } }, with the very second of the row.
        number = leaf.serial_number.to_bytes(leaf.serial_number.bit_length() // 8 + 1, "big")
        body = (bytes([2, len(number)]) + number + b"\x17\x0d" + row[0][10].encode() + b"Z"
                + bytes.fromhex("300c300a0603551d1504030a0103"))
        self.assertEqual(row[0][11], (bytes([0x30, len(body)]) + body).hex())
        self.assertEqual(self.stack.sql("SELECT status, revocation_reason, revoked_at = (SELECT revoked_at FROM "
                                        f"certificate_revocations WHERE serial_number = '{serial}') "
                                        f"FROM managed_certificates WHERE id = '{version[1]}'"), [["Revoked", "affiliationChanged", "t"]])
        self.assertEqual(self.stack.sql(f"SELECT crl_dirty_since IS NOT NULL OR crl_number > {built} "
                                        f"FROM ca_instances WHERE id = '{version[2]}'"), [["t"]])
        self.assertEqual(self.stack.sql(f"SELECT issuer_id, ca_id FROM ocsp_invalidations WHERE serial_hex = '{serial}'"),
                         [["iss-local", version[2]]])
        self.assertEqual(self.stack.sql(f"SELECT serial_hex FROM ocsp_response_cache WHERE serial_hex = 'abc' "
                                        f"OR (serial_hex = '{serial}' AND cert_status <> 'revoked')"), [["abc"]])
        account = "acme:" + acme.kid.rsplit("/", 1)[1]
        self.assertEqual(self.stack.sql("SELECT actor, actor_type, action, details->>'common_name', details->>'serial', "
                                        "details->>'reason', details->>'scope', request_id FROM audit_events "
                                        f"WHERE resource_type = 'certificate' AND resource_id = '{version[1]}'"),
                         [[account, "System", "certificate_revoked", "written-1.example.org", serial, "affiliationChanged",
                           "version", answer.headers["X-Request-ID"]]])
        self.assertEqual(self.stack.sql("SELECT type, channel, recipient, message FROM notification_events "
                                        f"WHERE certificate_id = '{version[1]}' ORDER BY channel"),
                         [["Revocation", channel, "o-enrollment", "[REVOKED] The certificate for written-1.example.org has been "
                           "revoked. Reason: affiliationChanged."] for channel in ("Email", "Webhook")])
        self.assertEqual(self.stack.value(f"SELECT count(*) FROM blocked_keys WHERE actor = '{account}'"), "0")

    def test_code_signing_entries_stay_on_the_list(self):
        acme = self.client("prof-plain")
        leaf, _ = self.leaf(acme, "permanent.example.org")
        self.stack.sql("UPDATE certificate_profiles SET allowed_ekus = '[\"codeSigning\"]' WHERE id = 'prof-plain'")
        self.addCleanup(self.stack.sql, "UPDATE certificate_profiles SET allowed_ekus = '[\"serverAuth\"]' WHERE id = 'prof-plain'")
        self.assertEqual(acme.revoke(leaf.public_bytes(DER)).status, 200)
        self.assertEqual(self.stack.value("SELECT crl_permanent FROM certificate_revocations "
                                          f"WHERE serial_number = '{leaf.serial_number:x}'"), "t")

    def test_an_older_version_leaves_the_certificate_as_it_is(self):
        """Renewed certificates are good whatever happens to the version before; archived ones stay archived."""
        acme = self.client()
        for state, name in (("Active", "older.example.org"), ("Archived", "archived.example.org")):
            with self.subTest(state):
                leaf, key = self.leaf(acme, name)
                if state == "Active":
                    newer = self.foreign_leaf("newer-" + name, key)
                    self.stack.sql("UPDATE managed_certificates SET current_version_id = (SELECT id FROM certificate_versions "
                                   f"WHERE serial_number = '{newer.serial_number:x}') WHERE common_name = '{name}'")
                else:
                    self.stack.sql(f"UPDATE managed_certificates SET status = 'Archived' WHERE common_name = '{name}'")
                self.assertEqual(acme.revoke(leaf.public_bytes(DER)).status, 200)
                self.assertRevoked(leaf, "unspecified")
                self.assertEqual(self.stack.value(f"SELECT status FROM managed_certificates WHERE common_name = '{name}'"), state)

    def test_thrown_away_signatures_have_entries(self):
        """What issuance_discard enters goes on the list as well (00 decision 64)."""
        acme = self.client()
        order = acme.order("thrown-entry.example.org").json
        der = csr(Key().private, ["thrown-entry.example.org"])
        self.at_once([lambda body=acme.jws(order["finalize"], {"csr": b64u(der)}):
                      acme.post_body(order["finalize"][len(acme.base):], body) for _ in range(2)],
                     held=f"SELECT 1 FROM acme_orders WHERE order_id = '{order['finalize'].split('/')[-2]}' FOR UPDATE")
        self.assertEqual(self.stack.value("SELECT count(*) FROM certificate_revocations WHERE source = 'discarded' AND "
                                          "(crl_entry_der IS NULL OR position('\\x170d' || convert_to(to_char(revoked_at "
                                          "AT TIME ZONE 'UTC', 'YYMMDDHH24MISS'), 'UTF8') IN crl_entry_der) = 0)"), "0")
        self.assertNotEqual(self.stack.value("SELECT count(*) FROM certificate_revocations WHERE source = 'discarded'"), "0")


class Authorizations(RevocationTest):
    """RFC 8555 section 7.6: an account that proved every name may revoke what another one ordered."""

    NAMES = ("proved-1.example.org", "*.proved-2.example.org")

    def setUp(self):
        self.stack.sql("INSERT INTO certificate_profiles (id, name, issuer_id, acme_auth_mode) "
                       "VALUES ('prof-proof', 'Proof', 'iss-local', 'challenge') ON CONFLICT DO NOTHING")
        self.owner = self.client()

    def prove(self, acme, name, challenge="valid", status="valid", life="1 hour", wildcard=None):
        bare = name[2:] if name.startswith("*.") else name
        wildcard = name.startswith("*.") if wildcard is None else wildcard
        account = acme.kid.rsplit("/", 1)[1]
        authz = f"az-{account[-20:]}-{bare}-{wildcard}"
        self.stack.sql(f"""
            INSERT INTO acme_authorizations (authz_id, identifier, status, expires_at, wildcard, account_id)
            VALUES ('{authz}', '{{"type":"dns","value":"{bare}"}}', '{status}', now() + interval '{life}', {wildcard}, '{account}')""")
        if challenge:
            self.stack.sql("INSERT INTO acme_challenges (challenge_id, authz_id, account_id, type, status) "
                           f"VALUES ('ch-{authz}', '{authz}', '{account}', 'dns-01', '{challenge}')")

    def test_all_names_are_proved(self):
        leaf, _ = self.leaf(self.owner, *self.NAMES)
        acme = self.client("prof-proof")
        for name in self.NAMES:
            self.prove(acme, name)
        self.assertEqual(acme.revoke(leaf.public_bytes(DER), 4).status, 200)
        self.assertRevoked(leaf, "superseded", "acme:" + acme.kid.rsplit("/", 1)[1])

    def test_less_is_not_enough(self):
        leaf, _ = self.leaf(self.owner, *self.NAMES)
        for about, second in (("one name alone", None), ("pending", {"status": "pending"}), ("expired", {"life": "-1 second"}),
                              ("no challenge was passed", {"challenge": None}), ("a failed challenge", {"challenge": "invalid"}),
                              ("not as a wildcard", {"wildcard": False}), ("deactivated", {"status": "deactivated"})):
            with self.subTest(about):
                acme = self.client("prof-proof")
                self.prove(acme, self.NAMES[0])
                if second is not None:
                    self.prove(acme, self.NAMES[1], **second)
                self.assertProblem(acme.revoke(leaf.public_bytes(DER)), 401, "unauthorized", STRANGER)
        self.assertEqual(self.revocations(leaf), [])

    def test_trust_mode_proves_nothing(self):
        leaf, _ = self.leaf(self.owner, *self.NAMES)
        other = self.client()
        self.leaf(other, *self.NAMES)  # its authorizations are valid, since it is trusted
        self.assertProblem(other.revoke(leaf.public_bytes(DER)), 401, "unauthorized", STRANGER)
        for name in self.NAMES:
            self.prove(other, name)
        self.assertProblem(other.revoke(leaf.public_bytes(DER)), 401, "unauthorized", STRANGER)
        self.assertEqual(self.revocations(leaf), [])


class Compromise(RevocationTest):
    """keyCompromise takes the key out of the world (04 section 8.2)."""

    def test_an_account_does_not_speak_for_the_key(self):
        """Whoever holds a victim's CSR could order with it and call the key compromised."""
        victim, thief = self.client(), self.client("prof-other")
        leaf, key = self.leaf(victim, "victim.example.org")
        stolen, _ = self.leaf(thief, "victim.example.org", key=key)
        self.assertEqual(thief.revoke(stolen.public_bytes(DER), 1).status, 200)
        self.assertRevoked(stolen, "keyCompromise")
        self.assertEqual(self.revocations(leaf), [])
        self.assertEqual(self.stack.sql(f"SELECT 1 FROM blocked_keys WHERE spki_sha256 = '{spki_hash(key)}'"), [])

    def test_siblings_and_the_key_itself(self):
        acme, other = self.client(), self.client("prof-other")
        leaf, key = self.leaf(acme, "compromise-1.example.org")
        sibling, _ = self.leaf(other, "compromise-2.example.org", key=key)
        before, _ = self.leaf(acme, "compromise-3.example.org", key=key)
        unrelated, _ = self.leaf(acme, "compromise-4.example.org")
        expired = self.foreign_leaf("compromise-5.example.org", key, days=-1)
        self.assertEqual(acme.revoke(before.public_bytes(DER), 4).status, 200)
        self.assertEqual(acme.revoke(leaf.public_bytes(DER), 1, key=key).status, 200)
        actor = f"acme-cert-key:{leaf.serial_number:x}"
        self.assertRevoked(leaf, "keyCompromise", actor)
        self.assertRevoked(sibling, "keyCompromise", actor)
        self.assertRevoked(before, "superseded")
        self.assertEqual((self.revocations(unrelated), self.revocations(expired)), ([], []))
        self.assertEqual(self.stack.sql(f"SELECT reason, actor FROM blocked_keys WHERE spki_sha256 = '{spki_hash(key)}'"),
                         [["keyCompromise", actor]])
        for name in ("compromise-1", "compromise-2"):
            self.assertEqual(self.stack.sql(f"""
                SELECT m.status, count(DISTINCT a.id), count(DISTINCT n.id), count(DISTINCT o.id), min(a.details->>'scope')
                  FROM managed_certificates m
                  JOIN certificate_versions v ON v.id = m.current_version_id
                  LEFT JOIN audit_events a ON a.resource_id = m.id AND a.action = 'certificate_revoked'
                                          AND a.details->>'serial' = v.serial_number
                  LEFT JOIN notification_events n ON n.certificate_id = m.id
                  LEFT JOIN ocsp_invalidations o ON o.serial_hex = v.serial_number
                 WHERE m.common_name = '{name}.example.org' GROUP BY m.status"""), [["Revoked", "1", "2", "1", "same_key"]])
        entries = self.stack.sql("SELECT length(crl_entry_der) FROM certificate_revocations WHERE serial_number IN "
                                 f"('{leaf.serial_number:x}', '{sibling.serial_number:x}')")
        self.assertEqual(len(entries), 2)
        order = acme.order("compromise-6.example.org").json
        self.assertProblem(acme.finalize(order, csr(key.private, ["compromise-6.example.org"])), 400, "badPublicKey", "key")
        self.assertEqual(acme.finalize(order, csr(Key().private, ["compromise-6.example.org"])).status, 200)

    def test_other_reasons_leave_siblings_alone(self):
        acme = self.client()
        leaf, key = self.leaf(acme, "superseded-1.example.org")
        sibling, _ = self.leaf(acme, "superseded-2.example.org", key=key)
        self.assertEqual(acme.revoke(leaf.public_bytes(DER), 4).status, 200)
        self.assertEqual(self.revocations(sibling), [])
        self.leaf(acme, "superseded-3.example.org", key=key)

    def test_nothing_of_the_key_slips_through(self):
        """Certificates of a key are issued while it is revoked: each is revoked, or was refused."""
        acme = self.client()
        for turn in range(4):
            leaf, key = self.leaf(acme, f"slip-{turn}.example.org")
            orders = [acme.order(f"slip-{turn}-{i}.example.org").json for i in range(8)]
            bodies = [(order["finalize"], acme.jws(order["finalize"], {"csr": b64u(csr(
                key.private, [order["identifiers"][0]["value"]]))})) for order in orders]
            path = acme.prefix + "/revoke-cert"
            revoke = acme.jws(acme.base + path, {"certificate": b64u(leaf.public_bytes(DER)), "reason": 1}, key=key, kid=None,
                              jwk=key.jwk())
            calls = [lambda url=url, body=body: acme.post_body(url[len(acme.base):], body) for url, body in bodies]
            calls.insert(2 + turn, lambda path=path, revoke=revoke: acme.post_body(path, revoke))
            self.assertEqual([answer for answer in self.at_once(calls) if answer.status not in (200, 400)], [])
            left = self.stack.sql("SELECT v.id FROM certificate_versions v LEFT JOIN certificate_revocations r "
                                  f"USING (issuer_id, serial_number) WHERE v.spki_sha256 = '{spki_hash(key)}' AND r.id IS NULL")
            self.assertEqual(left, [])


class Races(RevocationTest):

    once = True

    def test_thirty_revocations_of_one_certificate(self):
        acme = self.client()
        leaf, key = self.leaf(acme, "race-revoke.example.org")
        der = b64u(leaf.public_bytes(DER))
        path = acme.prefix + "/revoke-cert"
        bodies = []
        for i in range(30):
            if i % 2:
                bodies.append(acme.jws(acme.base + path, {"certificate": der, "reason": 5}))
            else:
                bodies.append(acme.jws(acme.base + path, {"certificate": der, "reason": 1}, key=key, kid=None, jwk=key.jwk()))
        answers = self.at_once([lambda body=body: acme.post_body(path, body) for body in bodies])
        self.assertEqual(sorted(a.status for a in answers), [200] + [400] * 29, answers[:3])
        self.assertEqual({a.type for a in answers if a.status == 400}, {"alreadyRevoked"})
        self.assertEqual(len(self.revocations(leaf)), 1)
        for table in ("audit_events WHERE action = 'certificate_revoked' AND details->>'serial'", "ocsp_invalidations WHERE serial_hex"):
            self.assertEqual(self.stack.value(f"SELECT count(*) FROM {table} = '{leaf.serial_number:x}'"), "1")

    def test_two_that_have_both_read(self):
        """Both saw a good certificate before either could write."""
        acme = self.client()
        leaf, key = self.leaf(acme, "both-read.example.org")
        other = Client(self.stack, "prof-test")
        answers = self.at_once([lambda: acme.revoke(leaf.public_bytes(DER), 4), lambda: other.revoke(leaf.public_bytes(DER), 5, key=key)],
                               held="SELECT 1 FROM managed_certificates WHERE common_name = 'both-read.example.org' FOR UPDATE")
        self.assertEqual(sorted(a.status for a in answers), [200, 400], answers)
        self.assertProblem(next(a for a in answers if a.status == 400), 400, "alreadyRevoked", "revoked already")
        self.assertEqual(len(self.revocations(leaf)), 1)

    def test_the_connection_breaks_in_the_commit(self):
        """Nothing is known to have changed, the answer says so, and asking again is safe."""
        acme = self.client()
        leaf, _ = self.leaf(acme, "broken-commit.example.org")
        answers = []
        thread = threading.Thread(target=lambda: answers.append(acme.revoke(leaf.public_bytes(DER), 4)))
        mine = "FROM pg_stat_activity WHERE usename = 'certctl_acme' AND wait_event_type = 'Lock'"
        with self.stack.holding("SELECT 1 FROM managed_certificates WHERE common_name = 'broken-commit.example.org' FOR UPDATE") as ask:
            thread.start()
            self.stack.wait(lambda: ask(f"SELECT count(*) {mine}") == ["1"], what="it waits for the row")
            ask(f"SELECT pg_terminate_backend(pid) {mine}")
            thread.join()
        self.assertProblem(answers[0], 503, "serverInternal")
        self.assertEqual(self.revocations(leaf), [])
        self.assertEqual(acme.revoke(leaf.public_bytes(DER), 4).status, 200)

    def test_compromise_of_siblings_at_once(self):
        """Each names another certificate of one key first: no deadlock, and every one is revoked once."""
        acme = self.client()
        key = Key()
        leaves = [self.leaf(acme, f"both-{i}.example.org", key=key)[0] for i in range(6)]
        path = acme.prefix + "/revoke-cert"
        bodies = [acme.jws(acme.base + path, {"certificate": b64u(leaf.public_bytes(DER)), "reason": 1}, key=key, kid=None,
                           jwk=key.jwk()) for leaf in leaves]
        answers = self.at_once([lambda body=body: acme.post_body(path, body) for body in bodies])
        self.assertEqual(sorted(a.status for a in answers), [200] + [400] * 5, answers)
        self.assertEqual({a.type for a in answers if a.status == 400}, {"alreadyRevoked"})
        for leaf in leaves:
            self.assertRevoked(leaf, "keyCompromise")
