"""Each refusal of 01 section 6.1, and of new-account, new-order, finalize and the downloads:
status, problem type, and a detail that names the fault."""
import base64
import json
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from acme_client import Client, Key, b64u, b64u_bytes, csr
from case import ProtocolTest


class OpeningRefusals(ProtocolTest):
    """The checks of 01 section 6.1, by their number there."""

    def setUp(self):
        self.acme = self.client()

    def test_01_media_type(self):
        body = self.acme.jws(self.acme.base + self.acme.prefix + "/new-order", {})
        answer = self.acme.post_body(self.acme.prefix + "/new-order", body, content_type="application/json")
        self.assertProblem(answer, 415, "malformed", "application/jose+json")
        self.assertIn("Replay-Nonce", answer.headers)

    def test_01_media_type_parameters_are_ignored(self):
        path = self.acme.prefix + "/account/" + self.acme.kid.rsplit("/", 1)[1]
        body = self.acme.jws(self.acme.base + path, None)
        answer = self.acme.post_body(path, body, content_type="Application/JOSE+json; charset=utf-8")
        self.assertEqual(answer.status, 200, answer)

    def test_02_body_size_limits(self):
        path = self.acme.prefix + "/new-order"
        body = json.dumps(self.acme.jws(self.acme.base + path, {"identifiers": []}))
        whole = body + " " * (65536 - len(body))
        self.assertProblem(self.acme.post_body(path, whole), 400, "malformed", "identifiers")
        self.assertProblem(self.acme.post_body(path, whole + " "), 400, "malformed", "request body too large")
        self.assertProblem(self.acme.post_body(path, ""), 400, "malformed", "empty")

    def test_03_json(self):
        path = self.acme.prefix + "/new-order"
        good = json.dumps(self.acme.jws(self.acme.base + path, {}))
        for about, body in {"not JSON": "{", "array": "[]", "trailing bytes": good + "x",
                            "duplicate member": good[:-1] + ',"payload":""}',
                            "invalid UTF-8": b'{"protected":"\xff"}'}.items():
            with self.subTest(about):
                self.assertProblem(self.acme.post_body(path, body), 400, "malformed")

    def test_04_members(self):
        path = self.acme.prefix + "/new-order"
        good = self.acme.jws(self.acme.base + path, {})
        for about, change in {"header": {"header": {"alg": "ES256"}}, "signatures": {"signatures": []},
                              "payload is no text": {"payload": {}},
                              "signature is no text": {"signature": 7}}.items():
            with self.subTest(about):
                answer = self.acme.post_body(path, {**good, **change})
                self.assertProblem(answer, 400, "malformed", next(iter(change)))
        self.assertProblem(self.acme.post_body(path, {**good, "extra": "x"}), 400, "malformed", "members other than")
        for missing in good:
            with self.subTest(f"{missing} is missing"):
                body = {name: value for name, value in good.items() if name != missing}
                self.assertProblem(self.acme.post_body(path, body), 400, "malformed", missing)

    def test_05_base64url(self):
        path = self.acme.prefix + "/new-order"
        good = self.acme.jws(self.acme.base + path, {})
        for about, change in {"padding": {"protected": good["protected"] + "="},
                              "plus": {"signature": "+" + good["signature"][1:]},
                              "white space": {"payload": good["payload"] + " "},
                              "protected is no object": {"protected": b64u(b"[]")},
                              "duplicate in protected": {"protected": b64u(b'{"alg":"ES256","alg":"ES256"}')}}.items():
            with self.subTest(about):
                self.assertProblem(self.acme.post_body(path, {**good, **change}), 400, "malformed")

    def test_06_algorithm(self):
        for algorithm in ("none", "HS256", "RS384", "PS256", "es256", ""):
            with self.subTest(algorithm):
                answer = self.acme.post("/new-order", {}, alg=algorithm)
                self.assertProblem(answer, 400, "badSignatureAlgorithm")
                self.assertEqual(answer.json["algorithms"], ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
        self.assertEqual(self.acme.post("/new-order", {}, alg=7).status, 400)

    def test_07_critical_headers(self):
        for change in ({"crit": ["b64"]}, {"b64": False}, {"typ": "JWT"}):
            with self.subTest(str(change)):
                self.assertProblem(self.acme.post("/new-order", {}, **change), 400, "malformed", next(iter(change)))

    def test_08_url(self):
        other = self.client("prof-other")
        for about, url in {"another path": self.acme.base + self.acme.prefix + "/new-account",
                           "another host": self.acme.base.replace("localhost", "example.com") + self.acme.prefix + "/new-order",
                           "another profile": other.base + other.prefix + "/new-order",
                           "http": self.acme.base.replace("https", "http") + self.acme.prefix + "/new-order",
                           "absent": None}.items():
            with self.subTest(about):
                self.assertProblem(self.acme.post("/new-order", {}, **{"url": url}), 401, "unauthorized", "url")

    def test_09_nonce(self):
        good = self.acme.nonce()
        raw = bytearray(b64u_bytes(good))
        raw[10] ^= 1
        for about, nonce in {"absent": None, "empty": "", "garbage": "abc", "forged": b64u(bytes(raw)),
                             "unknown key": b64u(bytes([(raw[0] + 77) % 256]) + bytes(raw[1:])),
                             "too long": good + "A", "not base64url": good[:-1] + "="}.items():
            with self.subTest(about):
                answer = self.acme.post("/new-order", {}, nonce=nonce)
                self.assertProblem(answer, 400, "badNonce", "nonce")
                self.assertEqual(len(answer.headers["Replay-Nonce"]), 51)

    def test_10_exactly_one_of_kid_and_jwk(self):
        both = self.acme.post("/new-order", {}, jwk=self.acme.key.jwk())
        self.assertProblem(both, 400, "malformed", "exactly one of kid and jwk")
        neither = self.acme.post("/new-order", {}, kid=None)
        self.assertProblem(neither, 400, "malformed", "exactly one of kid and jwk")

    def test_11_the_endpoint_admits_that_form(self):
        answer = self.acme.post("/new-order", {}, kid=None, jwk=self.acme.key.jwk())
        self.assertProblem(answer, 400, "malformed", "requires `kid`")
        answer = self.acme.post("/new-account", {})
        self.assertProblem(answer, 400, "malformed", "requires `jwk`")

    def test_12_unacceptable_keys(self):
        weak = Client(self.stack, "prof-test", Key("RSA-1024"))
        self.assertProblem(weak.post("/new-account", {}), 400, "badPublicKey", "2048")
        acme = self.client(register=False)
        good = acme.key.jwk()
        for about, jwk, says in (
                ("private part", {**good, "d": b64u(b"\1" * 32)}, "private key material"),
                ("point off the curve", {**good, "x": b64u(b"\1" * 32)}, ""),
                ("coordinate too short", {**good, "x": b64u(b"\1" * 31)}, ""),
                ("symmetric", {"kty": "oct", "k": b64u(b"\1" * 32)}, ""),
                ("unknown curve", {**good, "crv": "secp256k1"}, ""),
                ("X25519", {"kty": "OKP", "crv": "X25519", "x": b64u(b"\1" * 32)}, "")):
            with self.subTest(about):
                answer = acme.post("/new-account", {}, jwk=jwk)
                self.assertProblem(answer, 400, "badPublicKey", says)
                self.assertNotIn(b64u(b"\1" * 32), answer.body.decode())

    def test_12_unknown_account(self):
        unknown = self.acme.kid[:-26] + "0" * 26
        self.assertProblem(self.acme.post("/new-order", {}, kid=unknown), 400, "accountDoesNotExist")
        for kid in ("https://example.com/acme/account/x", self.acme.kid + "/orders", "x"):
            with self.subTest(kid):
                self.assertProblem(self.acme.post("/new-order", {}, kid=kid), 400, "malformed", "kid")

    def test_13_account_of_another_profile(self):
        other = self.client("prof-other")
        foreign = self.acme.kid.replace("prof-test", "prof-other").replace("/acme/account", other.prefix + "/account")
        answer = other.post("/new-order", {}, kid=foreign, key=self.acme.key)
        self.assertProblem(answer, 401, "unauthorized", "another profile")

    def test_13_deactivated_account(self):
        path = self.acme.kid
        self.assertEqual(self.acme.post(path, {"status": "deactivated"}).json["status"], "deactivated")
        self.assertProblem(self.acme.post("/new-order", {}), 401, "unauthorized", "deactivated")
        again = Client(self.stack, "prof-test", self.acme.key)
        self.assertProblem(again.post("/new-account", {}), 401, "unauthorized", "deactivated")

    def test_14_algorithm_must_fit_the_key(self):
        for kind, wrong in (("P-256", "ES384"), ("P-384", "ES256"), ("P-256", "RS256"), ("P-256", "EdDSA")):
            with self.subTest(f"{kind} with {wrong}"):
                acme = self.client(key=Key(kind))
                self.assertProblem(acme.post("/new-order", {}, alg=wrong), 400, "badSignatureAlgorithm")

    def test_15_signature(self):
        path = self.acme.prefix + "/new-order"
        good = self.acme.jws(self.acme.base + path, {"identifiers": []})
        der = b64u(b"\x30\x06\x02\x01\x01\x02\x01\x01")
        for about, change in {"other payload": {"payload": b64u(b'{"identifiers":[1]}')},
                              "zeros": {"signature": b64u(bytes(64))}, "short": {"signature": b64u(bytes(63))},
                              "DER": {"signature": der}, "empty": {"signature": ""}}.items():
            with self.subTest(about):
                answer = self.acme.post_body(path, {**good, **change})
                self.assertProblem(answer, 401, "unauthorized", "signature")
        self.assertProblem(self.acme.post_body(path, good), 400, "malformed", "identifiers")  # the nonce was not burnt

    def test_16_replay(self):
        path = self.acme.prefix + "/new-order"
        names = {"identifiers": [{"type": "dns", "value": "replay.example.org"}]}
        body = self.acme.jws(self.acme.base + path, names)
        self.assertEqual(self.acme.post_body(path, body).status, 201)
        answer = self.acme.post_body(path, body)
        self.assertProblem(answer, 400, "badNonce", "used before")
        self.assertEqual(self.acme.order("replay.example.org").status, 201)  # with the nonce of the refusal

    def test_16_a_refused_request_cannot_be_replayed(self):
        path = self.acme.prefix + "/new-order"
        body = self.acme.jws(self.acme.base + path, {"identifiers": []})
        self.assertProblem(self.acme.post_body(path, body), 400, "malformed")
        self.assertProblem(self.acme.post_body(path, body), 400, "badNonce", "used before")

    def test_16_reads_and_finalize_cannot_be_replayed(self):
        order = self.acme.order("once.example.org")
        for url, payload in ((order.headers["Location"], None), (order.json["authorizations"][0], None),
                             (order.json["finalize"], {"csr": b64u(csr(ec.generate_private_key(ec.SECP256R1()),
                                                                       ["once.example.org"]))})):
            with self.subTest(url):
                path = url[len(self.acme.base):]
                body = self.acme.jws(url, payload)
                self.assertEqual(self.acme.post_body(path, body).status, 200)
                self.assertProblem(self.acme.post_body(path, body), 400, "badNonce", "used before")

    def test_17_payload(self):
        for about, payload in {"array": b"[]", "null": b"null", "text": b'"x"', "duplicates": b'{"a":1,"a":2}',
                               "not JSON": b"{"}.items():
            with self.subTest(about):
                self.assertProblem(self.acme.post("/new-order", payload), 400, "malformed", "payload")
        self.assertProblem(self.acme.post("/new-order", None), 400, "malformed", "payload")

    def test_rubbish_writes_nothing(self):
        # Of before, a job may collect some meanwhile.
        written = "SELECT count(*) FROM replay_guard WHERE expires_at > '{}'".format(
            self.stack.value("SELECT coalesce(max(expires_at), now()) FROM replay_guard"))
        for _ in range(5):
            self.acme.raw("HEAD", self.acme.prefix + "/new-nonce")
            path = self.acme.prefix + "/new-order"
            good = self.acme.jws(self.acme.base + path, {})
            self.acme.post_body(path, {**good, "signature": b64u(bytes(64))})
        self.assertEqual(self.stack.value(written), "0")
        self.assertEqual(self.acme.post(self.acme.kid, None).status, 200)
        self.assertEqual(self.stack.value(written), "1")  # what is no rubbish does


class Accounts(ProtocolTest):

    def test_every_key_kind_registers(self):
        for kind in ("P-256", "P-384", "P-521", "RSA-2048", "RSA-4096", "Ed25519"):
            with self.subTest(kind):
                acme = self.client(key=Key(kind), register=False)
                answer = acme.register(contact=["mailto:a@example.org"])
                self.assertEqual(answer.status, 201)
                self.assertEqual(answer.json["contact"], ["mailto:a@example.org"])
                self.assertEqual(answer.json["status"], "valid")
                row = self.stack.sql("SELECT jwk_thumbprint, profile_id FROM acme_accounts "
                                     f"WHERE account_id = '{acme.kid.rsplit('/', 1)[1]}'")
                self.assertEqual(row, [[acme.key.thumbprint(), "prof-test"]])

    def test_known_key_gets_its_account_unchanged(self):
        acme = self.client(register=False)
        first = acme.register(contact=["mailto:first@example.org"])
        again = Client(self.stack, "prof-test", acme.key)
        second = again.register(contact=["mailto:second@example.org"])
        self.assertEqual((first.status, second.status), (201, 200))
        self.assertEqual(first.headers["Location"], second.headers["Location"])
        self.assertEqual(second.json["contact"], ["mailto:first@example.org"])

    def test_only_return_existing(self):
        acme = self.client(register=False)
        self.assertProblem(acme.post("/new-account", {"onlyReturnExisting": True}), 400, "accountDoesNotExist")

    def test_contacts(self):
        for contact, kind in (("tel:+123", "unsupportedContact"), ("mailto:a@b.example?subject=x", "invalidContact"),
                              ("mailto:a@b.example,c@d.example", "invalidContact"), ("mailto:nobody", "invalidContact"),
                              ("mailto:@b.example", "invalidContact"), ("mailto:ä@b.example", "invalidContact"),
                              ("nobody", "invalidContact"), ("mailto:" + "a" * 250 + "@b.example", "invalidContact")):
            with self.subTest(contact[:40]):
                acme = self.client(register=False)
                self.assertProblem(acme.post("/new-account", {"contact": [contact]}), 400, kind)
        acme = self.client(register=False)
        answer = acme.post("/new-account", {"contact": ["mailto:a@b.example"] * 11})
        self.assertProblem(answer, 400, "invalidContact", "11")
        for payload in ({"contact": "mailto:a@b.example"}, {"contact": [7]}, {"termsOfServiceAgreed": "yes"}):
            self.assertProblem(acme.post("/new-account", payload), 400, "malformed", next(iter(payload)))

    def test_external_account_binding_is_enforced(self):
        acme = self.client("prof-eab", register=False)
        self.assertTrue(acme.raw("GET", acme.prefix + "/directory").json["meta"]["externalAccountRequired"])
        self.assertProblem(acme.post("/new-account", {}), 403, "externalAccountRequired")
        header = b64u(json.dumps({"alg": "HS256", "kid": "eab-nobody", "url": acme.base + acme.prefix + "/new-account"}).encode())
        binding = {"protected": header, "payload": b64u(json.dumps(acme.key.jwk()).encode()), "signature": b64u(bytes(32))}
        self.assertProblem(acme.post("/new-account", {"externalAccountBinding": binding}), 401, "unauthorized",
                           "external account binding is not valid")
        self.assertProblem(acme.post("/new-account", {"externalAccountBinding": {"protected": "x"}}), 400, "malformed")

    def test_update_read_and_list(self):
        acme = self.client()
        self.assertEqual(acme.post(acme.kid, None).json["status"], "valid")
        changed = acme.post(acme.kid, {"contact": ["mailto:new@example.org"]})
        self.assertEqual(changed.json["contact"], ["mailto:new@example.org"])
        self.assertEqual(acme.post(acme.kid, {"contact": []}).json["contact"], [])
        self.assertProblem(acme.post(acme.kid, {"contact": None}), 400, "malformed", "contact")
        self.assertProblem(acme.post(acme.kid, {"status": "revoked"}), 400, "malformed", "deactivated")
        order = acme.order("list-1.example.org", "list-2.example.org")
        listed = acme.post(acme.kid + "/orders", None)
        self.assertEqual(listed.json["orders"], [order.headers["Location"]])
        other = self.client()
        self.assertProblem(other.post(acme.kid, None), 401, "unauthorized", "kid does not match")

    def test_cursors(self):
        acme = self.client()
        order = acme.order("cursor.example.org").headers["Location"]
        for at, listed in (("32503680000.000001", [order]), ("32503680000", [order]), ("1.5", [])):
            with self.subTest(at):
                answer = acme.post(f"{acme.kid}/orders?cursor={b64u(f'{at} acme-ord-0'.encode())}", None)
                self.assertEqual((answer.status, answer.json["orders"]), (200, listed), answer)
        for at in ("", ".", "1.", ".5", "1.2.3", "1e9", "-1", "9" * 12, "9" * 400, "1.0000001", "x"):
            with self.subTest(at):
                answer = acme.post(f"{acme.kid}/orders?cursor={b64u(f'{at} acme-ord-0'.encode())}", None)
                self.assertProblem(answer, 400, "malformed", "invalid cursor")

    def test_deactivation_ends_what_was_under_way(self):
        acme = self.client()
        order = acme.order("deactivated.example.org").headers["Location"].rsplit("/", 1)[1]
        acme.post(acme.kid, {"status": "deactivated"})
        self.assertEqual(self.stack.sql(f"SELECT status, error->>'detail' FROM acme_orders WHERE order_id = '{order}'"),
                         [["invalid", "account deactivated"]])


class Orders(ProtocolTest):

    def setUp(self):
        self.acme = self.client()

    def test_identifiers(self):
        good = {"type": "dns", "value": "good.example.org"}
        for about, identifier, kind in (
                ("U-label", {"type": "dns", "value": "bücher.example"}, "rejectedIdentifier"),
                ("trailing dot", {"type": "dns", "value": "example.org."}, "rejectedIdentifier"),
                ("underscore", {"type": "dns", "value": "a_b.example.org"}, "rejectedIdentifier"),
                ("hyphen first", {"type": "dns", "value": "-a.example.org"}, "rejectedIdentifier"),
                ("label of 64", {"type": "dns", "value": "a" * 64 + ".example.org"}, "rejectedIdentifier"),
                ("wildcard inside", {"type": "dns", "value": "a.*.example.org"}, "rejectedIdentifier"),
                ("two wildcards", {"type": "dns", "value": "*.*.example.org"}, "rejectedIdentifier"),
                ("address as dns", {"type": "dns", "value": "192.0.2.1"}, "rejectedIdentifier"),
                ("numeric TLD", {"type": "dns", "value": "a.123"}, "rejectedIdentifier"),
                ("port", {"type": "dns", "value": "example.org:443"}, "rejectedIdentifier"),
                ("broken punycode", {"type": "dns", "value": "xn--0.example.org"}, "rejectedIdentifier"),
                ("short IPv6 not canonical", {"type": "ip", "value": "2001:db8:0:0::1"}, "rejectedIdentifier"),
                ("mapped IPv4", {"type": "ip", "value": "::ffff:192.0.2.1"}, "rejectedIdentifier"),
                ("prefix", {"type": "ip", "value": "192.0.2.0/24"}, "rejectedIdentifier"),
                ("unknown type", {"type": "email", "value": "a@example.org"}, "unsupportedIdentifier")):
            with self.subTest(about):
                answer = self.acme.post("/new-order", {"identifiers": [good, identifier]})
                self.assertProblem(answer, 400, "rejectedIdentifier", "one or more identifiers were rejected")
                problems = answer.json["subproblems"]
                self.assertEqual([p["identifier"] for p in problems], [identifier])
                self.assertEqual(problems[0]["type"], f"urn:ietf:params:acme:error:{kind}")
                self.assertTrue(problems[0]["detail"])

    def test_all_bad_identifiers_are_named_at_once(self):
        bad = [{"type": "dns", "value": "a_.example.org"}, {"type": "ip", "value": "x"}]
        answer = self.acme.post("/new-order", {"identifiers": [bad[0], {"type": "dns", "value": "ok.example.org"}, bad[1]]})
        self.assertEqual([p["identifier"] for p in answer.json["subproblems"]], bad)

    def test_profile_rules(self):
        acme = self.client("prof-patterns")
        answer = acme.order("a.corp.example", "a.corp.example.evil.org")
        self.assertProblem(answer, 400, "rejectedIdentifier")
        self.assertEqual([p["identifier"]["value"] for p in answer.json["subproblems"]], ["a.corp.example.evil.org"])
        self.assertEqual(acme.order("a.corp.example", "b.corp.example").status, 201)
        plain = self.client("prof-plain")
        for name in ("*.example.org", "printer", "192.0.2.7"):
            with self.subTest(name):
                self.assertProblem(plain.order("ok.example.org", name), 400, "rejectedIdentifier")

    def test_without_a_name_of_ours_no_record_names_us(self):
        """dns-persist-01 where CERTCTL_ACME_SERVER_CAA_IDENTITIES is not set."""
        answer = self.client("prof-persist").order("nameless.example.org")
        self.assertProblem(answer, 400, "rejectedIdentifier")
        self.assertEqual([p["detail"] for p in answer.json["subproblems"]], ["no challenge can validate this identifier here"])
        acme = self.client("prof-persist-http")
        challenges = acme.post(acme.order("nameless.example.org").json["authorizations"][0]).json["challenges"]
        self.assertEqual([c["type"] for c in challenges], ["http-01"])
        self.assertProblem(acme.post(challenges[0]["url"].replace("http-01", "dns-persist-01"), {}), 404, "malformed", "no such challenge")

    def test_malformed(self):
        for about, payload, says in (("none", {}, "identifiers"), ("empty", {"identifiers": []}, "identifiers"),
                                     ("too many", {"identifiers": [{"type": "dns", "value": f"n{i}.example.org"}
                                                                   for i in range(101)]}, "101"),
                                     ("no value", {"identifiers": [{"type": "dns"}]}, "identifiers[0]"),
                                     ("bad date", {"identifiers": [{"type": "dns", "value": "a.example.org"}],
                                                   "notAfter": "tomorrow"}, "notAfter")):
            with self.subTest(about):
                self.assertProblem(self.acme.post("/new-order", payload), 400, "malformed", says)
        answer = self.acme.order("a.example.org", profile="prof-other")
        self.assertProblem(answer, 400, "invalidProfile", "prof-other")

    def test_validity(self):
        def at(seconds):
            return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))

        for about, members, says in (("notAfter too soon", {"notAfter": at(200)}, "notAfter"),
                                     ("notBefore too early", {"notBefore": at(-4000)}, "notBefore"),
                                     ("notBefore too late", {"notBefore": at(90000)}, "notBefore"),
                                     ("the beginning of time", {"notBefore": "1970-01-01T00:00:00Z"}, "notBefore"),
                                     ("over when time began", {"notAfter": "1970-01-01T00:00:00Z"}, "notAfter"),
                                     ("longer than the profile", {"notAfter": at(91 * 86400)}, "profile"),
                                     ("end before start", {"notBefore": at(7200), "notAfter": at(3600)}, "notAfter")):
            with self.subTest(about):
                self.assertProblem(self.acme.order("v.example.org", **members), 400, "malformed", says)
        wanted = at(86400)
        key = ec.generate_private_key(ec.SECP256R1())
        order = self.acme.order("v.example.org", notAfter=wanted)
        self.assertEqual(order.json["notAfter"], wanted)
        done = self.acme.finalize(order.json, csr(key, ["v.example.org"]))
        leaf = x509.load_pem_x509_certificate(self.acme.post(done.json["certificate"]).body)
        self.assertEqual(leaf.not_valid_after.strftime("%Y-%m-%dT%H:%M:%SZ"), wanted)

    def test_same_request_same_order(self):
        first = self.acme.order("same-1.example.org", "same-2.example.org")
        second = self.acme.order("SAME-2.example.org", "same-1.example.org", )
        self.assertEqual((first.status, second.status), (201, 201))
        self.assertEqual(first.headers["Location"], second.headers["Location"])

    def test_objects_of_another_account(self):
        order = self.acme.order("own.example.org")
        _, done = self.acme.obtain("own-2.example.org")
        authz = order.json["authorizations"][0]
        challenge = self.acme.post(authz).json["challenges"][0]["url"]
        other = self.client()
        der = csr(ec.generate_private_key(ec.SECP256R1()), ["own.example.org"])
        for url, payload in ((order.headers["Location"], None), (authz, None), (challenge, None),
                             (done["certificate"], None), (order.json["finalize"], {"csr": b64u(der)})):
            with self.subTest(url):
                self.assertProblem(other.post(url, payload), 401, "unauthorized", "does not own")

    def test_unknown_objects(self):
        for path in ("/order/acme-ord-0", "/authz/acme-authz-0", "/challenge/acme-chall-0.http-01", "/cert/mc-0",
                     "/challenge/x"):
            with self.subTest(path):
                self.assertProblem(self.acme.post(path, None), 404, "malformed")
        answer = self.acme.post("/order/acme-ord-0/finalize", {"csr": ""})
        self.assertProblem(answer, 404, "malformed")


class Finalize(ProtocolTest):

    def setUp(self):
        self.acme = self.client()
        self.key = ec.generate_private_key(ec.SECP256R1())

    def order(self, *names):
        return self.acme.order(*names).json

    def refused(self, names, der, kind, says, profile=None):
        acme = self.client(profile) if profile else self.acme
        order = acme.order(*names)
        answer = acme.finalize(order.json, der)
        self.assertProblem(answer, 400, kind, says)
        self.assertEqual(acme.post(order.headers["Location"]).json["status"], "ready")
        return answer

    def test_csr_that_is_none(self):
        order = self.order("csr.example.org")
        for about, payload, says in (("absent", {}, "csr"), ("number", {"csr": 7}, "csr"), ("not base64url", {"csr": "+"}, "csr"),
                                     ("empty", {"csr": ""}, "0 bytes"), ("not DER", {"csr": b64u(b"abc")}, "")):
            with self.subTest(about):
                self.assertProblem(self.acme.post(order["finalize"], payload), 400, "badCSR", says)
        der = csr(self.key, ["csr.example.org"])
        self.assertProblem(self.acme.finalize(order, der + b"\0"), 400, "badCSR", "followed by other bytes")
        self.assertProblem(self.acme.finalize(order, der[:-1]), 400, "badCSR")
        self.assertProblem(self.acme.finalize(order, bytes(32769)), 400, "badCSR", "32769")
        broken = bytearray(der)
        broken[-1] ^= 1
        self.assertProblem(self.acme.finalize(order, bytes(broken)), 400, "badCSR")
        self.assertProblem(self.acme.post(order["finalize"], None), 400, "malformed", "payload")
        self.assertEqual(self.acme.finalize(order, der).status, 200)

    def test_names(self):
        names = ["a.example.org", "b.example.org"]
        for about, asked, common_name, says in (
                ("one missing", names[:1], None, "b.example.org"),
                ("one too many", names + ["evil.example.org"], None, "evil.example.org"),
                ("foreign common name", names, "evil.example.org", "evil.example.org"),
                ("a duplicate does not count twice", ["a.example.org", "a.example.org"], None, "b.example.org"),
                ("none", [], None, "a.example.org")):
            with self.subTest(about):
                self.refused(names, csr(self.key, asked, common_name), "badCSR", says)
        other_type = x509.SubjectAlternativeName([x509.DNSName("a.example.org"), x509.DNSName("b.example.org"),
                                                  x509.RFC822Name("x@example.org")])
        self.refused(names, csr(self.key, [], None, [(other_type, False)]), "badCSR", "email")

    def test_a_name_that_cannot_be_seen(self):
        """U+200B: the refusal names it and where it stands (04 section 6.3)."""
        name = "a\u200b.example.org".encode()
        value = bytes([0x30, len(name) + 2, 0x82, len(name)]) + name
        hidden = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), value)
        self.refused(["a.example.org"], csr(self.key, [], None, [(hidden, False)]), "rejectedIdentifier",
                     "contains zero-width character U+200B at byte offset 1")

    def test_keys(self):
        names = ["key.example.org"]
        weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
        self.refused(names, csr(weak, names), "badPublicKey", "1024")
        self.refused(names, csr(self.key, names), "badCSR", "ECDSA", profile="prof-p384")
        self.refused(names, csr(self.acme.key.private, names), "badCSR", "account")
        sha1 = csr(rsa.generate_private_key(public_exponent=65537, key_size=2048), names, digest=hashes.SHA1())
        self.refused(names, sha1, "badCSR", "SHA1")

    def test_extensions(self):
        names = ["ext.example.org"]
        ca = [(x509.BasicConstraints(ca=True, path_length=None), True)]
        self.refused(names, csr(self.key, names, None, ca), "badCSR", "CA")
        odd = [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\0"), False)]
        self.refused(names, csr(self.key, names, None, odd), "badCSR", "1.3.6.1.4.1.99999.1")

    def test_wished_usages_are_ignored(self):
        usage = [(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CODE_SIGNING]), False),
                 (x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)]
        order = self.order("usage.example.org")
        done = self.acme.finalize(order, csr(self.key, ["usage.example.org"], None, usage))
        leaf = x509.load_pem_x509_certificate(self.acme.post(done.json["certificate"]).body)
        self.assertEqual(list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value),
                         [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH])
        self.assertFalse(leaf.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign)
        self.assertFalse(leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)

    def test_repeat_and_other_csr(self):
        order = self.order("repeat.example.org")
        der = csr(self.key, ["repeat.example.org"])
        first = self.acme.finalize(order, der)
        again = self.acme.finalize(order, der)
        self.assertEqual((first.status, again.status), (200, 200))
        self.assertEqual(first.json["certificate"], again.json["certificate"])
        self.assertIn("Location", again.headers)
        other = csr(ec.generate_private_key(ec.SECP256R1()), ["repeat.example.org"])
        self.assertProblem(self.acme.finalize(order, other), 403, "orderNotReady", "another CSR")

    def test_expired_order(self):
        order = self.acme.order("expired.example.org")
        name = order.headers["Location"].rsplit("/", 1)[1]
        self.stack.sql(f"UPDATE acme_orders SET expires_at = now() - interval '1 second' WHERE order_id = '{name}'")
        answer = self.acme.finalize(order.json, csr(self.key, ["expired.example.org"]))
        self.assertProblem(answer, 403, "orderNotReady", "expired")

    def test_blocked_key(self):
        from cryptography.hazmat.primitives import serialization
        import hashlib
        spki = self.key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.stack.sql("INSERT INTO blocked_keys (spki_sha256, reason, actor) "
                       f"VALUES ('{hashlib.sha256(spki).hexdigest()}', 'keyCompromise', 'test')")
        self.refused(["blocked.example.org"], csr(self.key, ["blocked.example.org"]), "badPublicKey", "key")

    def test_download_forms(self):
        chain, order = self.acme.obtain("form.example.org")
        der = self.acme.post(order["certificate"], headers={"Accept": "application/pkix-cert"})
        self.assertEqual(der.headers["Content-Type"], "application/pkix-cert")
        lines = chain.split("-----END CERTIFICATE-----")[0].splitlines()[1:]
        self.assertEqual(base64.b64decode("".join(lines)), der.body)
        answer = self.acme.post(order["certificate"], headers={"Accept": "text/html"})
        self.assertProblem(answer, 406, "malformed", "pem-certificate-chain")
        for name in ("*/*", "application/pem-certificate-chain, */*;q=0.5"):
            answer = self.acme.post(order["certificate"], headers={"Accept": name})
            self.assertEqual(answer.headers["Content-Type"], "application/pem-certificate-chain")
