"""Every row of 01 section 6.1 and of its error table (section 16): which test meets it through the web server,
and the tests of what no other file has."""
import contextlib
import hashlib
import hmac
import importlib
import json
import os
import re
import socket
import stat
import subprocess
import time
import unittest

from cryptography.hazmat.primitives.asymmetric import ec

import sealed
import test_renewal
from acme_client import Client, Key, b64u, b64u_bytes, csr, number
from case import ProtocolTest
from stack import TOP

# Check of section 6.1: tests.
OPENING = {
    1: ("test_refusals.OpeningRefusals.test_01_media_type", "test_refusals.OpeningRefusals.test_01_media_type_parameters_are_ignored"),
    2: ("test_refusals.OpeningRefusals.test_02_body_size_limits",),
    3: ("test_refusals.OpeningRefusals.test_03_json",),
    4: ("test_refusals.OpeningRefusals.test_04_members",),
    5: ("test_refusals.OpeningRefusals.test_05_base64url",),
    6: ("test_refusals.OpeningRefusals.test_06_algorithm",),
    7: ("test_refusals.OpeningRefusals.test_07_critical_headers",),
    8: ("test_refusals.OpeningRefusals.test_08_url",),
    9: ("test_refusals.OpeningRefusals.test_09_nonce", "test_error_table.Openings.test_09_age_of_a_nonce"),
    10: ("test_refusals.OpeningRefusals.test_10_exactly_one_of_kid_and_jwk",),
    11: ("test_refusals.OpeningRefusals.test_11_the_endpoint_admits_that_form",),
    12: ("test_refusals.OpeningRefusals.test_12_unacceptable_keys", "test_refusals.OpeningRefusals.test_12_unknown_account",
         "test_error_table.Openings.test_12_rules_of_each_key"),
    13: ("test_refusals.OpeningRefusals.test_13_account_of_another_profile", "test_refusals.OpeningRefusals.test_13_deactivated_account",
         "test_error_table.Openings.test_13_an_account_that_an_operator_revoked"),
    14: ("test_refusals.OpeningRefusals.test_14_algorithm_must_fit_the_key",),
    15: ("test_refusals.OpeningRefusals.test_15_signature",),
    16: ("test_refusals.OpeningRefusals.test_16_replay", "test_refusals.OpeningRefusals.test_16_a_refused_request_cannot_be_replayed",
         "test_refusals.OpeningRefusals.test_16_reads_and_finalize_cannot_be_replayed"),
    17: ("test_refusals.OpeningRefusals.test_17_payload",),
}

# Type and status of section 16: tests, or why nothing leads there yet.
ERRORS = {
    ("accountDoesNotExist", 400): ("test_refusals.OpeningRefusals.test_12_unknown_account", "test_refusals.Accounts.test_only_return_existing"),
    ("alreadyReplaced", 409): ("test_renewal.Replaces.test_11_a_second_order_for_one_certificate", "test_renewal.Replaces.test_race"),
    ("alreadyRevoked", 400): ("test_revocation.Refusals.test_5_already_revoked",),
    ("badCSR", 400): ("test_refusals.Finalize.test_csr_that_is_none", "test_refusals.Finalize.test_names", "test_refusals.Finalize.test_extensions"),
    ("badNonce", 400): ("test_refusals.OpeningRefusals.test_09_nonce", "test_refusals.OpeningRefusals.test_16_replay"),
    ("badPublicKey", 400): ("test_refusals.OpeningRefusals.test_12_unacceptable_keys", "test_refusals.Finalize.test_keys",
                            "test_refusals.Finalize.test_blocked_key"),
    ("badRevocationReason", 400): ("test_revocation.Refusals.test_6_bad_reasons",),
    ("badSignatureAlgorithm", 400): ("test_refusals.OpeningRefusals.test_06_algorithm", "test_refusals.OpeningRefusals.test_14_algorithm_must_fit_the_key"),
    ("caa", 403): ("test_proofs.Caa.test_the_table", "test_proofs.Caa.test_a_name_that_is_forbidden_meanwhile"),
    ("connection", 400): ("test_challenge.Hostile.test_each_gets_its_problem_and_delays_nobody",),
    ("dns", 400): ("test_challenge.Hostile.test_each_gets_its_problem_and_delays_nobody", "test_proofs.Dns.test_what_fails"),
    ("tls", 400): ("test_challenge.Hostile.test_each_gets_its_problem_and_delays_nobody", "test_proofs.TlsAlpn.test_what_is_refused"),
    ("externalAccountRequired", 403): ("test_refusals.Accounts.test_external_account_binding_is_enforced",),
    ("incorrectResponse", 403): ("test_challenge.Rules.test_one_of_three_fails", "test_challenge.Hostile.test_each_gets_its_problem_and_delays_nobody"),
    ("invalidContact", 400): ("test_refusals.Accounts.test_contacts",),
    ("unsupportedContact", 400): ("test_refusals.Accounts.test_contacts",),
    ("invalidProfile", 400): ("test_refusals.Orders.test_malformed", "test_profile_selection.Selection.test_what_cannot_be_selected"),
    ("malformed", 400): ("test_refusals.Orders.test_malformed", "test_routes.Routes.test_query_on_a_post"),
    ("malformed", 403): ("test_routes.EdgeKey.test_right_key",),  # no https: over the socket alone, plain http leads to no responder
    ("malformed", 404): ("test_refusals.Orders.test_unknown_objects", "test_routes.Routes.test_unknown_paths",
                         "test_error_table.OtherSettings.test_the_server_is_disabled"),
    ("malformed", 405): ("test_routes.Routes.test_wrong_methods",),
    ("malformed", 406): ("test_refusals.Finalize.test_download_forms",),
    ("malformed", 413): ("test_routes.Routes.test_too_large",),
    ("malformed", 415): ("test_refusals.OpeningRefusals.test_01_media_type",),
    ("malformed", 501): ("test_web_servers.BothServers.test_the_matrix",),
    ("orderNotReady", 403): ("test_challenge.Success.test_two_names", "test_refusals.Finalize.test_repeat_and_other_csr",
                             "test_refusals.Finalize.test_expired_order", "test_error_table.States.test_an_invalid_order_tells_why"),
    ("rateLimited", 429): ("test_faults.Faults.test_limits", "test_faults.Faults.test_zz_new_accounts_per_address", "test_key_change.KeyChange.test_limit",
                           "test_error_table.States.test_an_account_with_a_thousand_challenges_waits"),
    ("rejectedIdentifier", 400): ("test_refusals.Orders.test_identifiers", "test_refusals.Orders.test_profile_rules",
                                  "test_error_table.States.test_an_account_may_be_bound_to_names"),
    ("unsupportedIdentifier", 400): ("test_refusals.Orders.test_identifiers",),
    ("serverInternal", 500): ("test_error_table.States.test_a_profile_without_an_issuer",),
    ("serverInternal", 503): ("test_faults.Faults.test_signer_gone_and_back", "test_faults.Faults.test_database_gone_and_back",
                              "test_error_table.States.test_an_issuer_without_a_ca"),
    ("unauthorized", 401): ("test_refusals.OpeningRefusals.test_15_signature", "test_refusals.Orders.test_objects_of_another_account",
                            "test_error_table.States.test_a_profile_that_wants_a_client_certificate"),
    ("unauthorized", 409): ("test_key_change.KeyChange.test_the_key_of_another_account", "test_key_change.KeyChange.test_two_changes_of_one_account"),
    ("userActionRequired", 403): ("test_faults.Faults.test_terms", "test_routes.Routes.test_directories_that_are_none",
                                  "test_error_table.OtherSettings.test_no_default_profile"),
    ("userActionRequired", 404): ("test_routes.Routes.test_directories_that_are_none",),
}
# What section 14 limits and nothing enforces yet.
NOT_BUILT = {"acme:failed": "failed validations per hour: 429 at new-order"}


class Table(unittest.TestCase):
    """The tables above are true."""

    def test_every_test_that_is_named_exists(self):
        named = {name for tests in (*OPENING.values(), *ERRORS.values()) if not isinstance(tests, str) for name in tests}
        for name in sorted(named):
            module, case, test = name.split(".")
            self.assertTrue(callable(getattr(getattr(importlib.import_module(module), case, None), test, None)), name)

    def test_every_check_has_a_test(self):
        self.assertEqual(sorted(OPENING), list(range(1, 18)))

    def test_every_word_of_the_responder_is_in_the_table(self):
        """What fcgi/acme/problem.c and the site of nginx can say."""
        with open(f"{TOP}/fcgi/acme/problem.c", encoding="utf-8") as source:
            text = source.read()
        said = {(kind, int(status)) for status, kind in re.findall(r'\{[A-Z_]+,\s*(\d{3}), "(\w+)"\s*\}', text)}
        self.assertGreater(len(said), 20)
        self.assertEqual(said - set(ERRORS), set())

    def test_what_is_not_built_is_not_there(self):
        """A row that says why nothing leads there must go when something does."""
        for name, why in NOT_BUILT.items():
            for folder, _, files in os.walk(f"{TOP}/sql/functions"):
                for file in files:
                    with open(os.path.join(folder, file), encoding="utf-8") as source:
                        self.assertNotIn(name, source.read(), f"{file}: {why}")


class Openings(ProtocolTest):

    def setUp(self):
        self.acme = self.client()

    def made(self, seconds):
        """A nonce as the server would have made it so many seconds from now."""
        key, secret = self.stack.sql("SELECT key_id, encode(secret_enc, 'hex') FROM acme_nonce_keys WHERE retired_at IS NULL ORDER BY created_at DESC")[0]
        head = bytes([int(key)]) + int(time.time() + seconds).to_bytes(5, "big") + os.urandom(16)
        plain = sealed.unseal(sealed.passphrase(self.stack), bytes.fromhex(secret))
        return b64u(head + hmac.new(plain, head, hashlib.sha256).digest()[:16])

    def test_09_age_of_a_nonce(self):
        """Five minutes, and a minute of a clock that is ahead (01 section 7)."""
        for seconds in (-240, 0):
            self.assertEqual(self.acme.post(self.acme.kid, nonce=self.made(seconds)).status, 200, seconds)
        for seconds in (-301, -86400, 120, 86400):
            answer = self.acme.post(self.acme.kid, nonce=self.made(seconds))
            self.assertProblem(answer, 400, "badNonce", "expired")
            self.assertEqual(self.acme.post(self.acme.kid).status, 200)  # with the nonce of the refusal

    def test_12_rules_of_each_key(self):
        """01 section 6.3."""
        rsa, point, octets = Key("RSA-2048").jwk(), Key().jwk(), b64u(b"\1" * 32)
        n = int.from_bytes(b64u_bytes(rsa["n"]), "big")
        cases = [("even n", {**rsa, "n": number(n - 1)}, "n must be odd"), ("leading zero", {**rsa, "n": b64u(b"\0" + b64u_bytes(rsa["n"]))}, "n must be"),
                 ("2047 bits", {**rsa, "n": number((n >> 1) | 1)}, "2047 bits"), ("8193 bits", {**rsa, "n": number((1 << 8192) | 1)}, "8193 bits"),
                 ("even e", {**rsa, "e": number(65536)}, "e must be odd"), ("e of 1", {**rsa, "e": number(1)}, "at least 3"),
                 ("large e", {**rsa, "e": number((1 << 32) + 1)}, "below 2^32"), ("no kty", {"n": rsa["n"]}, "kty"), ("no crv", {**point, "crv": None}, "crv"),
                 ("no y", {name: value for name, value in point.items() if name != "y"}, "y"), ("long x", {**point, "x": b64u(bytes(33))}, "33 octets"),
                 ("padded", {**point, "x": point["x"] + "="}, "base64url"), ("Ed448", {"kty": "OKP", "crv": "Ed448", "x": octets}, "crv"),
                 ("short Ed25519", {"kty": "OKP", "crv": "Ed25519", "x": b64u(bytes(31))}, "31 octets")]
        cases += [(f"private {member}", {**(rsa if member != "k" else point), member: octets}, "private key material")
                  for member in ("d", "p", "q", "dp", "dq", "qi", "oth", "k")]
        for about, jwk, says in cases:
            with self.subTest(about):
                answer = self.client(register=False).post("/new-account", {}, jwk=jwk)
                self.assertProblem(answer, 400, "badPublicKey", says)
                self.assertNotIn(octets, answer.body.decode())

    def test_13_an_account_that_an_operator_revoked(self):
        self.stack.sql(f"UPDATE acme_accounts SET status = 'revoked' WHERE account_id = '{self.acme.kid.rsplit('/', 1)[1]}'")
        self.assertProblem(self.acme.order("revoked-account.example.org"), 401, "unauthorized", "the account is revoked")
        again = Client(self.stack, "prof-test", self.acme.key)
        self.assertProblem(again.post("/new-account", {"termsOfServiceAgreed": True}), 401, "unauthorized", "account is revoked")

    def test_either_family_admits_the_kid_of_the_default_profile(self):
        """01 section 8.1."""
        account = self.acme.kid.rsplit("/", 1)[1]
        for kid in (f"{self.acme.base}/acme/account/{account}", f"{self.acme.base}/acme/profile/prof-test/account/{account}"):
            for path in (f"/acme/account/{account}", f"/acme/profile/prof-test/account/{account}"):
                self.assertEqual(self.acme.post(path, None, kid=kid).status, 200, (kid, path))

    def test_headers_of_every_refusal(self):
        """01 section 2.1: a client can go on from any refusal of a POST."""
        path = self.acme.prefix + "/new-order"
        body = self.acme.jws(self.acme.base + path, {})
        for answer in (self.acme.post_body(path, body, "application/json"), self.acme.post_body(path, "{"), self.acme.post(path, {}, alg="none"),
                       self.acme.post(path, {}, url="x"), self.acme.post(path, {}, nonce="x"), self.acme.post(path, {}, kid="x"),
                       self.acme.post_body(path, {**body, "signature": b64u(bytes(64))}), self.acme.post(path, b"[]"),
                       self.acme.post("/order/acme-ord-0"), self.acme.post("/nothing"), self.acme.post("/acme/profile/prof-nobody/new-order")):
            with self.subTest(answer.json["detail"]):
                self.assertEqual(len(answer.headers["Replay-Nonce"]), 51)
                self.assertEqual(answer.headers["Cache-Control"], "no-store")
                self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "*")
                self.assertEqual({element for element in answer.elements("Access-Control-Expose-Headers")},
                                 {"Link", "Replay-Nonce", "Location", "Retry-After"})
                self.assertTrue(any(link.endswith('/directory>;rel="index"') for link in answer.links), answer.links)
                self.assertEqual(answer.json["status"], answer.status)
                self.assertLessEqual(set(answer.json), {"type", "detail", "status", "algorithms"})


class States(ProtocolTest):
    """Orders, profiles, issuers and accounts in states that refuse."""

    def profile(self, name, columns="", values="", settings=None):
        self.stack.sql(f"INSERT INTO certificate_profiles (id, name{columns}) VALUES ('{name}', '{name}'{values}) ON CONFLICT DO NOTHING")
        if settings is not None:
            self.stack.sql(f"INSERT INTO acme_profile_settings (profile_id, settings) VALUES ('{name}', '{settings}') ON CONFLICT DO NOTHING")
        return self.client(name, register=False)

    def test_an_invalid_order_tells_why(self):
        acme = self.client()
        order = acme.order("invalid-order.example.org")
        problem = {"type": "urn:ietf:params:acme:error:unauthorized", "detail": "request was rejected by an approver", "status": 403}
        self.stack.sql(f"UPDATE acme_orders SET status = 'invalid', error = '{json.dumps(problem)}' "
                       f"WHERE order_id = '{order.headers['Location'].rsplit('/', 1)[1]}'")
        answer = acme.finalize(order.json, csr(ec.generate_private_key(ec.SECP256R1()), ["invalid-order.example.org"]))
        self.assertProblem(answer, 403, "orderNotReady", "the order is invalid")
        self.assertEqual(answer.json["subproblems"], [problem])
        self.assertEqual(acme.post(order.headers["Location"]).json["error"], problem)

    def test_an_order_under_way_is_answered_as_it_is(self):
        acme = self.client()
        order = acme.order("processing.example.org")
        url = order.headers["Location"]
        self.stack.sql(f"UPDATE acme_orders SET status = 'processing' WHERE order_id = '{url.rsplit('/', 1)[1]}'")
        self.addCleanup(self.stack.sql, f"UPDATE acme_orders SET status = 'invalid' WHERE order_id = '{url.rsplit('/', 1)[1]}'")
        for answer in (acme.finalize(order.json, csr(ec.generate_private_key(ec.SECP256R1()), ["processing.example.org"])), acme.post(url)):
            self.assertEqual((answer.status, answer.json["status"], answer.headers["Retry-After"], answer.headers["Location"]),
                             (200, "processing", "2", url), answer)

    def test_an_account_may_be_bound_to_names(self):
        acme = self.client()
        self.stack.sql("UPDATE acme_accounts SET allowed_identifiers = '[\"one.example.org\", \"*.corp.example\"]' "
                       f"WHERE account_id = '{acme.kid.rsplit('/', 1)[1]}'")
        answer = acme.order("one.example.org", "a.corp.example", "corp.example", "two.example.org")
        self.assertProblem(answer, 400, "rejectedIdentifier", "one or more identifiers were rejected")
        self.assertEqual([(p["identifier"]["value"], p["type"].rsplit(":", 1)[1], p["status"]) for p in answer.json["subproblems"]],
                         [("corp.example", "rejectedIdentifier", 400), ("two.example.org", "rejectedIdentifier", 400)])
        self.assertIn("outside what this account may ask for", answer.json["subproblems"][0]["detail"])
        self.assertEqual(acme.order("one.example.org", "b.a.corp.example").status, 201)

    def test_an_account_with_a_thousand_challenges_waits(self):
        acme = self.profile("prof-crowded", ", issuer_id, acme_auth_mode", ", 'iss-local', 'challenge'")
        acme.register()
        account = acme.kid.rsplit("/", 1)[1]
        self.stack.sql(f"""
            WITH z AS (INSERT INTO acme_authorizations (authz_id, account_id, identifier, status, expires_at)
                       SELECT 'acme-authz-crowd' || n, '{account}', '{{"type":"dns","value":"crowd.test"}}', 'pending', now() + interval '1 hour'
                         FROM generate_series(1, 1000) n RETURNING authz_id)
            INSERT INTO acme_challenges (challenge_id, authz_id, account_id, type, status, next_attempt_at)
            SELECT 'acme-chall-' || substr(authz_id, 12) || '.http-01', authz_id, '{account}', 'http-01', 'processing', now() + interval '1 hour' FROM z""")
        self.addCleanup(self.stack.sql, f"DELETE FROM acme_authorizations WHERE account_id = '{account}' AND authz_id LIKE 'acme-authz-crowd%'")
        order = acme.order("one-more.example.org")
        challenge = acme.post(order.json["authorizations"][0]).json["challenges"][0]
        answer = acme.post(challenge["url"], {})
        self.assertProblem(answer, 429, "rateLimited", "retry later")
        self.assertEqual(answer.headers["Retry-After"], "30")

    def test_a_profile_without_an_issuer(self):
        self.stack.sql("INSERT INTO issuers (id, name, type, config) SELECT 'iss-second', 'Second', type, '{}' FROM issuers WHERE id = 'iss-local' "
                       "ON CONFLICT DO NOTHING")
        self.addCleanup(self.stack.sql, "DELETE FROM issuers WHERE id = 'iss-second'")
        acme = self.profile("prof-no-issuer")
        acme.register()
        answer = acme.order("no-issuer.example.org")
        self.assertProblem(answer, 500, "serverInternal", "no issuer is configured for this profile")
        self.assertEqual(answer.json["request_id"], answer.headers["X-Request-ID"])
        self.stack.wait(lambda: any("prof-no-issuer" in json.dumps(line) and "CERTCTL_ACME_SERVER_ISSUER_ID" in json.dumps(line)
                                    for line in self.stack.log("acme.log")), what="the log names profile and variable")

    def test_an_issuer_without_a_ca(self):
        self.stack.sql("INSERT INTO issuers (id, name, type, config) SELECT 'iss-empty', 'Empty', type, '{}' FROM issuers WHERE id = 'iss-local' "
                       "ON CONFLICT DO NOTHING")
        acme = self.profile("prof-no-ca", ", issuer_id", ", 'iss-empty'")
        acme.register()
        order = acme.order("no-ca.example.org")
        self.assertEqual(order.status, 201, order)
        answer = acme.finalize(order.json, csr(ec.generate_private_key(ec.SECP256R1()), ["no-ca.example.org"]))
        self.assertProblem(answer, 503, "serverInternal")
        self.assertEqual(answer.headers["Retry-After"], "5")
        self.assertEqual(answer.json["request_id"], answer.headers["X-Request-ID"])
        self.assertEqual(acme.post(order.headers["Location"]).json["status"], "ready")
        self.stack.sql("UPDATE issuers SET enabled = false WHERE id = 'iss-empty'")

    def test_a_profile_that_wants_a_client_certificate(self):
        acme = self.profile("prof-mtls", ", issuer_id", ", 'iss-local'", '{"require_mtls":true}')
        self.assertEqual(acme.raw("GET", acme.prefix + "/directory").status, 200)
        answer = acme.post("/new-account", {"termsOfServiceAgreed": True}, headers={"SSL-Client-Verify": "SUCCESS", "SSL_CLIENT_VERIFY": "SUCCESS"})
        self.assertProblem(answer, 401, "unauthorized", "client certificate")

    def test_a_profile_that_was_disabled_meanwhile(self):
        acme = self.profile("prof-to-disable", ", issuer_id", ", 'iss-local'")
        acme.register()
        self.stack.sql("UPDATE certificate_profiles SET enabled = false WHERE id = 'prof-to-disable'")
        for ask in (lambda: acme.raw("GET", acme.prefix + "/directory"), lambda: acme.post("/new-order", {}), lambda: acme.post(acme.kid, None)):
            found = []

            def refused(ask=ask, found=found):  # by whichever worker: each has the profile of the last five seconds
                found[:] = [ask()]
                return found[0].status == 403
            self.stack.wait(refused, what="the worker reads it again")
            self.assertProblem(found[0], 403, "userActionRequired", "disabled")


class WorkerTest(ProtocolTest):
    """One worker with other settings in the pool's place, behind the same web server."""

    @contextlib.contextmanager
    def worker(self, **changes):
        path = os.path.join(self.stack.dir, "run", "acme.sock")
        with open(os.path.join(self.stack.dir, "certctl.env"), encoding="utf-8") as source:
            settings = dict(line.rstrip("\n").split("=", 1) for line in source if re.match(r"[A-Z]\w*=", line))
        settings.update(sealed.lines(self.stack))
        # Nobody begins another where this one leaves: with sanitizers it grows.
        settings.update({"PGUSER": "certctl_acme", "CERTCTL_WORKER_MAX_RSS": "64GiB"}, **changes)
        command = [os.path.join(self.stack.dir, "bin", "certctl-acme")]
        if self.stack.isolated:
            command = ["setpriv", "--reuid=certctl-acme", "--regid=certctl-acme", "--init-groups", "--", *command]
        else:
            settings.pop("PGUSER")
        before = os.stat(path)
        os.rename(path, path + ".away")
        try:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
                os.chown(path, before.st_uid, before.st_gid)
                os.chmod(path, stat.S_IMODE(before.st_mode))
                listener.listen(64)
                process = subprocess.Popen(command, stdin=listener, stderr=subprocess.DEVNULL, cwd="/",
                                           env={"PATH": os.environ["PATH"], **{n: v for n, v in settings.items() if v is not None}})
                try:
                    yield
                finally:
                    process.terminate()
                    self.assertEqual(process.wait(120), 0)
        finally:
            os.rename(path + ".away", path)


class OtherSettings(WorkerTest):

    def test_no_default_profile(self):
        with self.worker(CERTCTL_ACME_SERVER_DEFAULT_PROFILE_ID=None):
            acme = self.client(None, register=False)
            for answer in (acme.raw("GET", "/acme/directory"), acme.raw("GET", "/acme/new-nonce"),
                           acme.post("/new-account", {}, nonce="x"), acme.post("/new-order", {}, nonce="x")):
                self.assertProblem(answer, 403, "userActionRequired", "/acme/profile/{id}/directory")
                self.assertIn("CERTCTL_ACME_SERVER_DEFAULT_PROFILE_ID", answer.json["detail"])
            self.client().obtain("no-default.example.org")

    def test_the_server_is_disabled(self):
        with self.worker(CERTCTL_ACME_SERVER_ENABLED="false"):
            acme = self.client(register=False)
            for method, path in (("GET", "/acme/directory"), ("HEAD", "/acme/new-nonce"), ("GET", "/acme/nothing"), ("POST", "/acme/new-order"),
                                 ("GET", "/acme/profile/prof-test/directory"), ("PUT", "/acme/new-order")):
                answer = acme.raw(method, path)
                self.assertEqual(answer.status, 404, path)
                if method != "HEAD":
                    self.assertProblem(answer, 404, "malformed", "the ACME server is disabled")

    def test_terms_and_what_the_directory_says(self):
        terms = "https://example.org/terms"
        with self.worker(CERTCTL_ACME_SERVER_TOS_URL=terms, CERTCTL_ACME_SERVER_WEBSITE="https://example.org", CERTCTL_ACME_SERVER_MAX_IDENTIFIERS="2"):
            acme = self.client(register=False)
            link = f'<{terms}>;rel="terms-of-service"'
            answer = acme.post("/new-account", {})
            self.assertProblem(answer, 403, "userActionRequired", terms)
            self.assertEqual(answer.json["instance"], terms)
            self.assertIn(link, answer.links)
            self.assertIn(link, acme.register().links)  # 201
            self.assertIn(link, Client(self.stack, "prof-test", acme.key).register().links)  # 200
            self.assertEqual(acme.raw("GET", acme.prefix + "/directory").json["meta"], {"termsOfService": terms, "website": "https://example.org"})
            self.assertEqual(acme.order("a.example.org", "b.example.org").status, 201)
            self.assertProblem(acme.order("a.example.org", "b.example.org", "c.example.org"), 400, "malformed", "at most 2")

    def test_renewal_information_is_off(self):
        acme = self.client()
        chain, _ = acme.obtain("ari-off.example.org")
        name = test_renewal.cert_id(test_renewal.leaf_of(chain))
        with self.worker(CERTCTL_ACME_SERVER_ARI_ENABLED="false"):
            self.assertProblem(acme.raw("GET", f"{acme.prefix}/renewal-info/{name}"), 404, "malformed",
                               "ACME Renewal Information is disabled on this server")
            self.assertNotIn("renewalInfo", acme.raw("GET", acme.prefix + "/directory").json)
        for prefix in ("/acme", "/acme/profile/prof-test"):
            self.assertEqual(acme.raw("GET", prefix + "/directory").json["renewalInfo"], f"{acme.base}{prefix}/renewal-info")

    def test_settings_of_renewal_information(self):
        page = "https://example.org/why"
        acme = self.client()
        chain, order = acme.obtain("ari-settings.example.org")
        path = f"{acme.prefix}/renewal-info/{test_renewal.cert_id(test_renewal.leaf_of(chain))}"
        early = "UPDATE managed_certificates SET early_renewal_at = {} WHERE id = '" + order["certificate"].rsplit("/", 1)[1] + "'"
        for interval, seconds in (("90s", "90"), ("10ms", "1"), ("0s", "21600")):
            with self.worker(CERTCTL_ACME_SERVER_ARI_EXPLANATION_URL=page, CERTCTL_ACME_SERVER_ARI_POLL_INTERVAL=interval):
                answer = acme.raw("GET", path)
                self.assertEqual((answer.headers["Retry-After"], "explanationURL" in answer.json), (seconds, False))
                self.stack.sql(early.format("now()"))
                answer = acme.raw("GET", path)
                self.assertEqual((answer.headers["Retry-After"], answer.json["explanationURL"]), ("300", page))
                self.stack.sql(early.format("NULL"))

    def test_a_renewal_in_time_takes_no_token(self):
        """One order an hour: renewals are exempt once their window has begun, and not before."""
        acme = self.client()
        name = test_renewal.cert_id(test_renewal.leaf_of(acme.obtain("ari-exempt.example.org")[0]))
        managed = f"(SELECT certificate_id FROM acme_orders WHERE account_id = '{acme.kid.rsplit('/', 1)[1]}' AND certificate_id IS NOT NULL)"
        with self.worker(CERTCTL_ACME_SERVER_RATE_LIMIT_ORDERS_PER_HOUR="1"):
            self.assertEqual(acme.order("ari-token.example.org").status, 201)
            self.assertProblem(acme.order("ari-token-2.example.org"), 429, "rateLimited")
            self.assertProblem(acme.order("ari-exempt.example.org", "x.example.org", replaces=name), 429, "rateLimited")
            self.stack.sql(f"UPDATE managed_certificates SET early_renewal_at = now() WHERE id IN {managed}")
            self.assertEqual(acme.order("ari-exempt.example.org", "x.example.org", replaces=name).status, 201)
            self.assertProblem(acme.order("ari-token-2.example.org"), 429, "rateLimited")


if __name__ == "__main__":
    unittest.main()
