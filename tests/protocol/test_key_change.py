"""A new key for an account (RFC 8555 section 7.3.5, 01 section 8.5), row by row."""
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from acme_client import Client, Key, b64u
from case import ProtocolTest


class KeyChange(ProtocolTest):

    def setUp(self):
        self.acme = self.client()
        self.account = self.acme.kid.rsplit("/", 1)[1]

    def stored(self, acme=None):
        account = (acme or self.acme).kid.rsplit("/", 1)[1]
        return self.stack.value(f"SELECT jwk_thumbprint FROM acme_accounts WHERE account_id = '{account}'")

    def refused(self, status, kind, says, new=None, **how):
        old = self.acme.key
        self.assertProblem(self.acme.change_key(new or Key(), **how), status, kind, says)
        self.assertEqual(self.stored(), old.thumbprint())

    def test_inner_form(self):
        for about, inner, says in (("empty", {}, "protected"), ("no text", {"protected": {}, "payload": "", "signature": ""}, "protected"),
                                   ("header", {"protected": "", "payload": "", "signature": "", "header": {}}, "header")):
            with self.subTest(about):
                self.refused(400, "malformed", says, inner=inner)
        self.assertProblem(self.acme.post("/key-change", None), 400, "malformed", "payload")
        self.refused(400, "badSignatureAlgorithm", "alg", alg="none")
        self.refused(400, "badSignatureAlgorithm", "alg", alg="HS256")
        self.refused(400, "badSignatureAlgorithm", "ES384", alg="ES384")

    def test_inner_keys(self):
        self.refused(400, "malformed", "not kid", kid=self.acme.kid)
        self.refused(400, "malformed", "not kid", kid=self.acme.kid, jwk=None)
        self.refused(400, "malformed", "no jwk", jwk=None)
        self.refused(400, "badPublicKey", "2048", new=Key("RSA-1024"))
        new = Key()
        self.refused(400, "badPublicKey", "private key material", new=new, jwk={**new.jwk(), "d": b64u(b"\1" * 32)})

    def test_inner_header(self):
        self.refused(400, "malformed", "nonce", nonce=self.acme.nonce())
        self.refused(400, "malformed", "nonce", nonce=7)
        self.refused(401, "unauthorized", "url", url=self.acme.base + self.acme.prefix + "/new-order")
        self.refused(401, "unauthorized", "url", url=None)

    def test_inner_signature(self):
        self.refused(401, "unauthorized", "signature", signed_by=Key())
        self.refused(401, "unauthorized", "signature", signed_by=self.acme.key)

    def test_inner_payload(self):
        good = {"account": self.acme.kid, "oldKey": self.acme.key.jwk()}
        for about, payload, says in (
                ("array", b"[]", "payload"), ("empty", b"", "payload"),
                ("no account", {"oldKey": good["oldKey"]}, "account"), ("account is no text", {**good, "account": 7}, "account"),
                ("another account", {**good, "account": self.client().kid}, "account"),
                ("almost the account", {**good, "account": self.acme.kid.replace("localhost", "LOCALHOST")}, "account"),
                ("no oldKey", {"account": self.acme.kid}, "oldKey"), ("oldKey is text", {**good, "oldKey": "x"}, "oldKey"),
                ("oldKey is no key", {**good, "oldKey": {}}, "kty")):
            with self.subTest(about):
                self.refused(400, "malformed", says, payload=payload)
        self.refused(401, "unauthorized", "oldKey", payload={**good, "oldKey": Key().jwk()})
        self.refused(400, "malformed", "the new key is the old one", new=self.acme.key)

    def test_outer_needs_the_account(self):
        new = Key()
        self.refused(400, "malformed", "requires `kid`", outer={"kid": None, "jwk": self.acme.key.jwk()})
        self.refused(401, "unauthorized", "signature", new=new, outer={"key": new})

    def test_keys_of_all_kinds(self):
        acme = self.acme
        first = acme.key
        for kind in ("P-384", "P-521", "RSA-2048", "Ed25519"):
            with self.subTest(kind):
                new = Key(kind)
                answer = acme.change_key(new)
                self.assertEqual(answer.status, 200, answer)
                self.assertEqual((answer.json["status"], answer.headers["Location"]), ("valid", acme.kid))
                self.assertEqual(self.stored(), new.thumbprint())
                self.assertEqual(acme.post(acme.kid).status, 200)
        self.assertProblem(acme.post(acme.kid, None, key=first), 400, "badSignatureAlgorithm")
        chain, _ = acme.obtain("rolled.example.org")
        der = x509.load_pem_x509_certificate(chain.encode()).public_bytes(serialization.Encoding.DER)
        self.assertEqual(acme.change_key(Key()).status, 200)
        self.assertEqual(acme.revoke(der).status, 200)

    def test_the_old_key_is_worth_nothing(self):
        old, new = self.acme.key, Key()
        self.assertEqual(self.acme.change_key(new).status, 200)
        self.assertProblem(self.acme.post("/new-order", {}, key=old), 401, "unauthorized", "signature")
        again = Client(self.stack, "prof-test", old)
        self.assertProblem(again.post("/new-account", {"onlyReturnExisting": True}), 400, "accountDoesNotExist")
        found = Client(self.stack, "prof-test", new)
        self.assertEqual(found.register(onlyReturnExisting=True).headers["Location"], self.acme.kid)

    def test_what_is_recorded(self):
        old, new = self.acme.key, Key()
        answer = self.acme.change_key(new)
        rows = self.stack.sql("SELECT actor, actor_type, resource_type, details->>'old_thumbprint', details->>'new_thumbprint', "
                              "details->>'profile_id', request_id FROM audit_events "
                              f"WHERE action = 'acme_account_key_rolled' AND resource_id = '{self.account}'")
        self.assertEqual(rows, [["acme:" + self.account, "System", "acme_account", old.thumbprint(), new.thumbprint(), "prof-test",
                                 answer.headers["X-Request-ID"]]])

    def test_the_key_of_another_account(self):
        other = self.client()
        answer = self.acme.change_key(other.key)
        self.assertProblem(answer, 409, "unauthorized", "another account")
        self.assertEqual(answer.headers["Location"], other.kid)
        self.assertEqual(self.stored(), self.acme.key.thumbprint())
        elsewhere = self.client("prof-other")  # accounts are a profile's own, and so are their keys
        self.assertEqual(self.acme.change_key(elsewhere.key).status, 200)

    def test_replay(self):
        new = Key()
        nonce = self.acme.nonce()
        self.assertEqual(self.acme.change_key(new, outer={"nonce": nonce}).status, 200)
        self.assertProblem(self.acme.change_key(Key(), outer={"nonce": nonce}), 400, "badNonce", "used before")
        self.assertEqual(self.stored(), new.thumbprint())

    def test_limit(self):
        for _ in range(5):
            self.assertEqual(self.acme.change_key(Key()).status, 200)
        answer = self.acme.change_key(Key())
        self.assertProblem(answer, 429, "rateLimited", "request rate limit exceeded")
        self.assertGreater(int(answer.headers["Retry-After"]), 0)
        self.assertEqual(self.stored(), self.acme.key.thumbprint())
        self.assertEqual(self.client().change_key(Key()).status, 200)  # an account's own limit

    def held(self, accounts, calls):
        """All calls have read their account before the first may write."""
        listed = ", ".join(f"'{acme.kid.rsplit('/', 1)[1]}'" for acme in accounts)
        return self.at_once(calls, held=f"SELECT 1 FROM acme_accounts WHERE account_id IN ({listed}) FOR UPDATE")

    def test_two_changes_of_one_account(self):
        """Both were signed with the key that was the account's when they came."""
        twin = Client(self.stack, "prof-test", self.acme.key)
        twin.kid = self.acme.kid
        answers = self.held([self.acme], [lambda: self.acme.change_key(Key()), lambda: twin.change_key(Key())])
        self.assertEqual(sorted(a.status for a in answers), [200, 409], answers)
        late = next(a for a in answers if a.status == 409)
        self.assertProblem(late, 409, "unauthorized", "the account key was changed concurrently; retry")
        winner = self.acme if self.stored() == self.acme.key.thumbprint() else twin
        self.assertEqual(winner.post(winner.kid).status, 200)

    def test_two_accounts_want_one_key(self):
        other, new = self.client(), Key()
        answers = self.held([self.acme, other], [lambda: self.acme.change_key(new), lambda: other.change_key(new)])
        self.assertEqual(sorted(a.status for a in answers), [200, 409], answers)
        winner = self.acme if self.stored() == new.thumbprint() else other
        late = next(a for a in answers if a.status == 409)
        self.assertProblem(late, 409, "unauthorized", "another account")
        self.assertEqual(late.headers["Location"], winner.kid)
