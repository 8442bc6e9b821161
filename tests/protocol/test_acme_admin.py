"""The ACME server's side of the REST API (01 section 18), and what it leads to: keys for external account
bindings, in the hands of our own client and of certbot and lego."""
import hashlib
import hmac
import json
import os
import re
import subprocess

import sealed
from acme_client import Client, Key, b64u, b64u_bytes
from test_api import ApiTest
from test_clients import ClientTest

NOBODY = "external account binding is not valid"

WORLD = """
INSERT INTO teams (id, name) VALUES ('t-eab', 'Bound') ON CONFLICT DO NOTHING;
INSERT INTO owners (id, name, team_id) VALUES ('o-eab', 'Bound', 't-eab') ON CONFLICT DO NOTHING;
"""

DIGESTS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


class AdminTest(ApiTest):

    seconds = 20
    sample = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stack.sql(WORLD)

    def made(self, **body):
        """A key, as the answer to its creation tells it."""
        answer = self.send("POST", "/acme/eab-keys", body)
        self.assertEqual(answer.status, 201, answer)
        return answer.json

    def like(self, profile="prof-eab", reusable=False):
        """Another kid for one and the same key, without the 0.2 s that sealing takes, and opening."""
        if not AdminTest.sample:
            AdminTest.sample = self.made()
        made = {**self.sample, "kid": f"eab-like{os.urandom(8).hex()}"}
        self.stack.sql("INSERT INTO acme_eab_keys (kid, hmac_enc, profile_id, reusable, created_by) "
                       f"SELECT '{made['kid']}', hmac_enc, '{profile}', {reusable}, 'test' FROM acme_eab_keys WHERE kid = '{self.sample['kid']}'")
        return made

    def listed(self, made):
        """The same key in the list."""
        rows = self.good("/acme/eab-keys?per_page=500")["data"]
        return next(row for row in rows if row["kid"] == made["kid"])

    def events(self, resource, *actions):
        names = ", ".join(f"'{action}'" for action in actions)
        return self.stack.sql("SELECT action, actor, actor_type, event_category FROM audit_events "
                              f"WHERE resource_id = '{resource}' AND action IN ({names}) ORDER BY seq")

    @staticmethod
    def binding(acme, made, alg="HS256", payload=None, mac=None, **header):
        """The inner JWS; a member of the header that is None is left out."""
        members = {"alg": alg, "kid": made["kid"], "url": acme.base + acme.prefix + "/new-account", **header}
        members = {name: value for name, value in members.items() if value is not None}
        body = payload if isinstance(payload, bytes) else json.dumps(payload or acme.key.jwk()).encode()
        first, second = b64u(json.dumps(members).encode()), b64u(body)
        key = b64u_bytes(made["hmac_key"])
        digest = DIGESTS.get(alg, hashlib.sha256)
        return {"protected": first, "payload": second,
                "signature": b64u(mac if mac is not None else hmac.new(key, f"{first}.{second}".encode(), digest).digest())}

    def register(self, made, profile="prof-eab", acme=None, **options):
        """(client, answer); the client knows its account where there is one."""
        acme = acme or self.client(profile, register=False)
        answer = acme.post("/new-account", {"termsOfServiceAgreed": True, "externalAccountBinding": self.binding(acme, made, **options)})
        if answer.status in (200, 201):
            acme.kid = answer.headers["Location"]
        return acme, answer

    def account(self, acme):
        """Its row."""
        return self.stack.sql("SELECT status, coalesce(eab_kid, ''), coalesce(owner_id, ''), coalesce(allowed_identifiers::text, '') "
                              f"FROM acme_accounts WHERE account_id = '{acme.kid.rsplit('/', 1)[1]}'")[0]

    def accounts_of(self, made):
        return [row[0] for row in self.stack.sql(f"SELECT status FROM acme_accounts WHERE eab_kid = '{made['kid']}'")]


class EabKeys(AdminTest):
    """What operators do with them."""

    def test_a_key_is_told_once_and_lies_sealed(self):
        made = self.made(profile_id="prof-eab", owner_id="o-eab", team_id="t-eab", allowed_identifiers=["*.Corp.example", "one.example.org", "192.0.2.7"],
                         expires_at="2099-01-02T03:04:05Z")
        self.assertRegex(made["kid"], r"^eab-[0-9a-hjkmnp-tv-z]{26}$")
        self.assertEqual(len(b64u_bytes(made["hmac_key"])), 64)
        actor = self.keys["r-admin"][2]
        self.assertEqual({name: value for name, value in made.items() if name not in ("kid", "hmac_key", "created_at")},
                         {"profile_id": "prof-eab", "owner_id": "o-eab", "team_id": "t-eab", "reusable": False, "status": "active",
                          "allowed_identifiers": ["*.corp.example", "one.example.org", "192.0.2.7"], "expires_at": "2099-01-02T03:04:05Z",
                          "created_by": actor, "account_count": 0})
        listed = self.listed(made)
        self.assertEqual(listed, {name: value for name, value in made.items() if name != "hmac_key"})
        blob = self.stack.value(f"SELECT encode(hmac_enc, 'hex') FROM acme_eab_keys WHERE kid = '{made['kid']}'")
        self.assertEqual(sealed.unseal(sealed.passphrase(self.stack), bytes.fromhex(blob)), b64u_bytes(made["hmac_key"]))
        self.assertEqual(self.events(made["kid"], "acme_eab_key_created"), [["acme_eab_key_created", actor, "APIKey", "config"]])
        told = self.stack.value(f"SELECT string_agg(details::text, '') FROM audit_events WHERE resource_id = '{made['kid']}'")
        self.assertNotIn(made["hmac_key"], told)
        self.assertNotIn("hmac", told)

    def test_a_key_of_no_words_is_for_all_profiles_and_one_account(self):
        made = self.made()
        self.assertEqual(sorted(made), ["account_count", "created_at", "created_by", "hmac_key", "kid", "reusable", "status"])
        self.assertEqual(self.register(made, profile="prof-other")[1].status, 201)
        self.assertEqual(self.listed(made)["status"], "bound")

    def test_nothing_tells_it_twice(self):
        body = {"profile_id": "prof-eab"}
        key = os.urandom(8).hex()
        first = self.send("POST", "/acme/eab-keys", body, Idempotency_Key=key)
        self.assertEqual(first.status, 201, first)
        self.assertEqual(self.send("POST", "/acme/eab-keys", body, Idempotency_Key=key).status, 409)
        self.assertEqual(self.stack.value(f"SELECT body IS NULL FROM api_idempotency WHERE key = '{key}'"), "t")

    def test_bad_bodies(self):
        for body, field, problem in (
                ({"profile_id": "prof-nowhere"}, "profile_id", 'no such profile "prof-nowhere"'),
                ({"owner_id": "o-nobody"}, "owner_id", 'no such owner "o-nobody"'),
                ({"team_id": "t-nobody"}, "team_id", 'no such team "t-nobody"'),
                ({"profile_id": "a b"}, "profile_id", "is not an id"),
                ({"profile_id": 7}, "profile_id", "must be a string"),
                ({"reusable": "yes"}, "reusable", "must be true or false"),
                ({"allowed_identifiers": "x.example"}, "allowed_identifiers", "must be an array of strings"),
                ({"allowed_identifiers": []}, "allowed_identifiers", "is empty"),
                ({"allowed_identifiers": [7]}, "allowed_identifiers", "must be a string"),
                ({"allowed_identifiers": ["*"]}, "allowed_identifiers", "is no name"),
                ({"allowed_identifiers": ["a.*.example"]}, "allowed_identifiers", "is no name"),
                ({"allowed_identifiers": ["192.0.2.0/24"]}, "allowed_identifiers", "is no name"),
                ({"allowed_identifiers": [f"n{n}.example" for n in range(101)]}, "allowed_identifiers", "at most 100"),
                ({"expires_at": "tomorrow"}, "expires_at", "must be an RFC 3339 time"),
                ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at", "must be in the future")):
            with self.subTest(str(body)[:60]):
                answer = self.send("POST", "/acme/eab-keys", body)
                self.assertEqual(answer.status, 400, answer)
                self.assertIn(problem, answer.json["message"])
                if "details" in answer.json:
                    self.assertEqual(answer.json["details"][0]["field"], field)
        for body in (b"", b"[]", b"{", b'{"reusable":true,"reusable":false}'):
            self.assertEqual(self.send("POST", "/acme/eab-keys", body).status, 400, body)
        many = self.send("POST", "/acme/eab-keys", {"reusable": 1, "expires_at": 1})
        self.assertEqual([problem["field"] for problem in many.json["details"]], ["reusable", "expires_at"])
        for path, status, message in (("/acme/eab-keys/a%20b", 400, "EAB key ID is invalid"), ("/acme/eab-keys/eab-nobody", 404, "EAB key not found"),
                                      ("/acme/eab-keys/eab-nobody?revoke_accounts=1", 400, "revoke_accounts must be true or false"),
                                      ("/acme/eab-keys/eab-nobody?revoke_accounts=%zz", 400, None)):
            answer = self.send("DELETE", path)
            self.assertEqual(answer.status, status, answer)
            if message:
                self.assertEqual(answer.json["message"], message)
        self.assertEqual(self.send("PUT", "/acme/eab-keys/eab-nobody", {}).status, 405)

    def test_who_may(self):
        made = self.like()
        calls = (("GET", "/acme/eab-keys", None), ("POST", "/acme/eab-keys", {}), ("DELETE", f"/acme/eab-keys/{made['kid']}", None))
        for method, path, body in calls:
            self.assertEqual(self.raw(method, "/api/v1" + path, json.dumps(body) if body is not None else None).status, 401)
            for role in ("r-operator", "r-viewer", "r-auditor", "r-agent"):
                with self.subTest(f"{method} as {role}"):
                    self.assertRefused(self.send(method, path, body, key=self.key(role)), 403, "forbidden")
        self.assertEqual(self.listed(made)["status"], "active")

    def test_scoped_grants(self):
        """Whoever may act for one profile gives out keys for it, and sees and ends no others."""
        key, _, name = self.new_key("--role=r-admin")
        self.stack.sql(f"UPDATE actor_roles SET scope_type = 'profile', scope_id = 'prof-eab' WHERE actor_id = '{name}'")
        mine, other, whole = self.like(), self.like("prof-other"), self.made()
        seen = [row["kid"] for row in self.good("/acme/eab-keys?per_page=500", key=key)["data"]]
        self.assertIn(mine["kid"], seen)
        self.assertFalse({other["kid"], whole["kid"]} & set(seen))
        for body in ({}, {"profile_id": "prof-other"}):
            self.assertRefused(self.send("POST", "/acme/eab-keys", body, key=key), 403, "forbidden")
        self.assertEqual(self.send("POST", "/acme/eab-keys", {"profile_id": "prof-eab"}, key=key).status, 201)
        for made in (other, whole):
            self.assertRefused(self.send("DELETE", f"/acme/eab-keys/{made['kid']}", key=key), 403, "forbidden")
        self.assertEqual(self.send("DELETE", f"/acme/eab-keys/{mine['kid']}", key=key).status, 204)
        self.assertEqual([self.listed(made)["status"] for made in (mine, other, whole)], ["revoked", "active", "active"])

    def test_pages_and_filters(self):
        self.stack.sql("INSERT INTO certificate_profiles (id, name, issuer_id) VALUES ('prof-eab-pages', 'EAB pages', 'iss-local') ON CONFLICT DO NOTHING")
        made = [self.like("prof-eab-pages") for _ in range(3)]
        self.send("DELETE", f"/acme/eab-keys/{made[1]['kid']}")
        self.stack.sql(f"UPDATE acme_eab_keys SET expires_at = now() - interval '1 s' WHERE kid = '{made[2]['kid']}'")
        path = "/acme/eab-keys?profile_id=prof-eab-pages"
        first, second = self.good(path + "&per_page=2"), self.good(path + "&per_page=2&page=2")
        self.assertEqual((first["total"], first["page"], first["per_page"]), (3, 1, 2))
        self.assertEqual([row["kid"] for row in first["data"] + second["data"]], [key["kid"] for key in reversed(made)])
        for status, key in (("active", made[0]), ("revoked", made[1]), ("expired", made[2])):
            self.assertEqual([row["kid"] for row in self.good(f"{path}&status={status}")["data"]], [key["kid"]], status)
        self.assertEqual(self.get(path + "&status=lost", Prefer="handling=strict").status, 400)

    def test_no_responder_reads_the_table(self):
        """certctl-acme gets what it names, certctl-api nothing at all."""
        made = self.like()
        for role in ("certctl_acme", "certctl_api", "certctl_jobs"):
            for right in ("SELECT", "INSERT", "UPDATE", "DELETE"):
                self.assertEqual(self.stack.value(f"SELECT has_any_column_privilege('{role}', 'acme_eab_keys', '{right}')"
                                                  if right != "DELETE" else f"SELECT has_table_privilege('{role}', 'acme_eab_keys', 'DELETE')"), "f")
        for role, function, may in (("certctl_acme", "acme_eab_sealed(text, text)", "t"), ("certctl_api", "acme_eab_sealed(text, text)", "f"),
                                    ("certctl_acme", "acme_eab_revoke(text, boolean, text, text, text, inet, text)", "f")):
            self.assertEqual(self.stack.value(f"SELECT has_function_privilege('{role}', '{function}', 'EXECUTE')"), may, (role, function))
        self.assertEqual(self.stack.value(f"SELECT acme_eab_sealed('{made['kid']}', 'prof-eab') IS NOT NULL"), "t")


class Host(AdminTest):
    """certctl-admin eab, for a host without the API."""

    def admin(self, *arguments, check=True):
        """With what the processes that seal are given besides the stack's settings."""
        with open(os.path.join(self.stack.dir, "certctl.env"), encoding="utf-8") as source:
            lines = dict(line.rstrip("\n").split("=", 1) for line in source if re.match(r"[A-Z_]+=", line))
        environment = {**lines, **sealed.lines(self.stack), "PATH": "/usr/bin:/bin", "SUDO_USER": "somebody"}
        done = subprocess.run([os.path.join(self.stack.dir, "bin", "certctl-admin"), *arguments], text=True, cwd="/", check=False, env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if check:
            self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def test_a_key_from_its_making_to_its_end(self):
        said = self.admin("eab", "new", "--profile=prof-eab", "--owner=o-eab", "--allow=*.Host.example", "--allow=host.example", "--expires=1h")
        kid, hmac_key = said.stdout.split()
        made = {"kid": kid, "hmac_key": hmac_key}
        shown = self.listed(made)
        self.assertEqual((shown["profile_id"], shown["owner_id"], shown["allowed_identifiers"], shown["reusable"], shown["status"]),
                         ("prof-eab", "o-eab", ["*.host.example", "host.example"], False, "active"))
        self.assertIn("somebody", shown["created_by"])
        acme, answer = self.register(made)
        self.assertEqual(answer.status, 201, answer)
        self.assertEqual(self.account(acme)[:3], ["valid", kid, "o-eab"])
        line, = [line.split("\t") for line in self.admin("eab", "list").stdout.splitlines() if line.startswith(kid)]
        self.assertEqual(line[1:4], ["prof-eab", "bound", "1"])
        self.assertNotIn(hmac_key, self.admin("eab", "list").stdout)
        self.admin("eab", "revoke", kid)
        self.assertEqual((self.listed(made)["status"], self.account(acme)[0]), ("revoked", "valid"))
        self.admin("eab", "revoke", kid, "--accounts")
        self.assertEqual(self.account(acme)[0], "revoked")
        self.assertEqual([row[:3] for row in self.events(kid, "acme_eab_key_created", "acme_eab_key_revoked")],
                         [[action, shown["created_by"], "User"] for action in ("acme_eab_key_created", *["acme_eab_key_revoked"] * 2)])

    def test_what_is_refused(self):
        before = self.stack.value("SELECT count(*) FROM acme_eab_keys")
        for arguments, words in ((("--owner=o-nobody",), "there is no such owner"), (("--profile=a b",), "is not an id"),
                                 (("--allow=a.*.example",), "is no name"), (("--expires=soon",), "is no duration")):
            done = self.admin("eab", "new", *arguments, check=False)
            self.assertEqual((done.returncode, done.stdout), (1, ""), done)
            self.assertIn(words, done.stderr)
        for arguments in (("new", "--lost"), ("new", "more"), ("revoke",), ("revoke", "a", "b"), ("list", "a")):
            self.assertEqual(self.admin("eab", *arguments, check=False).returncode, 64, arguments)
        self.assertEqual(self.admin("eab", "revoke", "eab-nobody", check=False).returncode, 1)
        self.assertEqual(self.stack.value("SELECT count(*) FROM acme_eab_keys"), before)


class Bindings(AdminTest):
    """What a registration makes of them (01 section 8.3)."""

    def test_one_key_one_account(self):
        made = self.made(profile_id="prof-eab", owner_id="o-eab", allowed_identifiers=["*.bound.example", "bound.example"])
        acme = self.client("prof-eab", register=False)
        binding = self.binding(acme, made)
        answer = acme.post("/new-account", {"externalAccountBinding": binding, "termsOfServiceAgreed": True})
        self.assertEqual((answer.status, answer.json["externalAccountBinding"]), (201, binding), answer)
        acme.kid = answer.headers["Location"]
        account = acme.kid.rsplit("/", 1)[1]
        self.assertEqual(self.account(acme), ["valid", made["kid"], "o-eab", '["*.bound.example", "bound.example"]'])
        listed = self.listed(made)
        self.assertEqual((listed["status"], listed["bound_account_id"], listed["account_count"]), ("bound", account, 1))
        self.assertEqual(self.events(made["kid"], "acme_eab_key_bound"), [["acme_eab_key_bound", f"acme:{account}", "System", "cert_lifecycle"]])
        self.assertEqual(self.stack.value(f"SELECT details->>'eab_kid' FROM audit_events WHERE action = 'acme_account_created' "
                                          f"AND resource_id = '{account}'"), made["kid"])
        # Whoever knows the key comes too late; whoever has the account gets it again.
        self.assertProblem(self.register(made)[1], 401, "unauthorized", NOBODY)
        again = Client(self.stack, "prof-eab", acme.key)
        answer = again.post("/new-account", {"externalAccountBinding": self.binding(again, made)})
        self.assertEqual((answer.status, answer.headers["Location"]), (200, acme.kid))
        refused = acme.order("a.bound.example", "bound.example", "elsewhere.example")
        self.assertProblem(refused, 400, "rejectedIdentifier")
        self.assertEqual([entry["identifier"]["value"] for entry in refused.json["subproblems"]], ["elsewhere.example"])
        _, order = acme.obtain("a.bound.example", "bound.example")
        certificate = order["certificate"].rsplit("/", 1)[1]
        self.assertEqual(self.stack.value(f"SELECT owner_id FROM managed_certificates WHERE id = '{certificate}'"), "o-eab")

    def test_a_reusable_key_makes_many(self):
        made = self.like(reusable=True)
        clients = [self.register(made, alg=alg) for alg in DIGESTS]
        self.assertEqual([answer.status for _, answer in clients], [201, 201, 201])
        listed = self.listed(made)
        self.assertEqual((listed["status"], listed["account_count"]), ("active", 3))
        self.assertEqual(listed["bound_account_id"], clients[0][0].kid.rsplit("/", 1)[1])
        self.assertEqual(len(self.events(made["kid"], "acme_eab_key_bound")), 3)

    def test_a_binding_that_nobody_asked_for_is_looked_at_too(self):
        made = self.like("prof-test")
        self.assertProblem(self.register(made, profile="prof-test", mac=bytes(32))[1], 401, "unauthorized", NOBODY)
        acme, answer = self.register(made, profile="prof-test")
        self.assertEqual(answer.status, 201)
        self.assertEqual(self.account(acme)[1], made["kid"])
        self.assertEqual(self.client("prof-test", register=False).register().status, 201)

    def test_every_failure_is_the_same(self):
        """Nobody learns whether a kid is known."""
        past, ended, other, bound, good = (self.like(profile) for profile in
                                           ("prof-eab", "prof-eab", "prof-other", "prof-eab", "prof-eab"))
        self.stack.sql(f"UPDATE acme_eab_keys SET expires_at = now() - interval '1 s' WHERE kid = '{past['kid']}'")
        self.send("DELETE", f"/acme/eab-keys/{ended['kid']}")
        self.register(bound)
        unknown = {**good, "kid": "eab-" + "0" * 26}
        swapped = {**good, "hmac_key": b64u(os.urandom(64))}
        bodies = set()
        for about, made, options in (("unknown", unknown, {}), ("expired", past, {}), ("revoked", ended, {}), ("another profile's", other, {}),
                                     ("bound", bound, {}), ("another key", swapped, {}), ("no MAC", good, {"mac": b""}),
                                     ("half a MAC", good, {"mac": bytes(16)}), ("of another length", good, {"mac": bytes(48)}),
                                     ("strange kid", {**good, "kid": "'; -- \u00e9" + "x" * 300}, {})):
            with self.subTest(about):
                answer = self.register(made, **options)[1]
                self.assertProblem(answer, 401, "unauthorized", NOBODY)
                bodies.add((answer.json["type"], answer.json["detail"], tuple(sorted(answer.json))))
        self.assertEqual(len(bodies), 1, bodies)
        self.assertEqual(self.listed(good)["status"], "active")
        self.assertEqual(self.register(good)[1].status, 201)

    def test_what_is_no_binding(self):
        made = self.like(reusable=True)
        acme = self.client("prof-eab", register=False)
        good = self.binding(acme, made)
        url = acme.base + acme.prefix + "/new-account"
        cases = (
            ("no text", "binding"), ("a list", []), ("empty", {}), ("a member less", {name: good[name] for name in ("protected", "payload")}),
            ("a member more", {**good, "header": {}}), ("no base64url", {**good, "protected": good["protected"] + "="}),
            ("no header", {**good, "protected": b64u(b"[]")}), ("no JSON in the payload", self.binding(acme, made, payload=b"{")),
            ("no payload", self.binding(acme, made, payload=b" ")), ("another's key", self.binding(acme, made, payload=Key().jwk())),
            ("no key", self.binding(acme, made, payload={"kty": "EC"})), ("alg none", self.binding(acme, made, alg="none")),
            ("a signature", self.binding(acme, made, alg="ES256")), ("no alg", self.binding(acme, made, alg=None)),
            ("no kid", self.binding(acme, made, kid=None)), ("a number as kid", self.binding(acme, made, kid=7)), ("empty kid", self.binding(acme, made, kid="")),
            ("no url", self.binding(acme, made, url=None)), ("another url", self.binding(acme, made, url=url + "/")),
            ("the url of another profile", self.binding(acme, made, url=url.replace("prof-eab", "prof-test"))),
            ("a nonce", self.binding(acme, made, nonce=acme.nonce())), ("a jwk", self.binding(acme, made, jwk=acme.key.jwk())),
            ("crit", self.binding(acme, made, crit=["exp"])))
        for about, binding in cases:
            with self.subTest(about):
                answer = acme.post("/new-account", {"externalAccountBinding": binding})
                self.assertProblem(answer, 400, "malformed")
                self.assertNotIn("algorithms", answer.json)
        self.assertProblem(acme.post("/new-account", {}), 403, "externalAccountRequired")
        self.assertEqual(self.accounts_of(made), [])
        self.assertEqual(self.register(made, acme=acme)[1].status, 201)

    def test_the_key_itself_may_be_written_otherwise(self):
        """The payload is compared as a key, not as a text."""
        made = self.like()
        acme = self.client("prof-eab", register=False)
        jwk = dict(reversed(list(acme.key.jwk().items())))
        answer = self.register(made, acme=acme, payload=json.dumps({**jwk, "use": "sig"}, indent=2).encode())[1]
        self.assertEqual(answer.status, 201, answer)

    def test_one_account_whoever_races(self):
        """Two that hold the key, and wait for its row at once; then a crowd."""
        made = self.like()
        row = f"SELECT 1 FROM acme_eab_keys WHERE kid = '{made['kid']}' FOR UPDATE"
        answers = self.at_once([lambda: self.register(made)[1] for _ in range(2)], held=row)
        self.assertEqual(sorted(answer.status for answer in answers), [201, 401])
        self.assertEqual(self.accounts_of(made), ["valid"])
        made = self.like()
        answers = self.at_once([lambda: self.register(made)[1] for _ in range(8)])
        self.assertEqual(sorted(answer.status for answer in answers), [201] + [401] * 7)
        self.assertEqual(self.accounts_of(made), ["valid"])
        self.assertEqual(len(self.events(made["kid"], "acme_eab_key_bound")), 1)

    def test_one_client_that_asks_twice(self):
        """The loser of a race with itself gets its account, though the key is used up by then."""
        made = self.like()
        key = Key()
        row = f"SELECT 1 FROM acme_eab_keys WHERE kid = '{made['kid']}' FOR UPDATE"
        answers = self.at_once([lambda: self.register(made, acme=Client(self.stack, "prof-eab", key))[1] for _ in range(2)], held=row)
        self.assertEqual(sorted(answer.status for answer in answers), [200, 201])
        self.assertEqual(len({answer.headers["Location"] for answer in answers}), 1)
        self.assertEqual(self.accounts_of(made), ["valid"])

    def test_a_key_that_ends(self):
        made = self.like(reusable=True)
        acme, _ = self.register(made)
        order = acme.order("ends.example.org")
        path = f"/acme/eab-keys/{made['kid']}"
        self.assertEqual(self.send("DELETE", path).status, 204)
        revoked_at = self.listed(made)["revoked_at"]
        self.assertProblem(self.register(made)[1], 401, "unauthorized", NOBODY)
        self.assertEqual(acme.post(acme.kid, None).json["status"], "valid")
        self.assertEqual(self.send("DELETE", path + "?revoke_accounts=false").status, 204)
        self.assertEqual(len(self.events(made["kid"], "acme_eab_key_revoked")), 1)
        self.assertEqual(self.send("DELETE", path + "?revoke_accounts=true").status, 204)
        self.assertProblem(acme.post(acme.kid, None), 401, "unauthorized", "the account is revoked")
        self.assertEqual(self.account(acme)[0], "revoked")
        order_id = order.headers["Location"].rsplit("/", 1)[1]
        self.assertEqual(self.stack.sql(f"SELECT status, error->>'detail' FROM acme_orders WHERE order_id = '{order_id}'"),
                         [["invalid", "account revoked"]])
        self.assertEqual(self.send("DELETE", path + "?revoke_accounts=true").status, 204)
        actor = self.keys["r-admin"][2]
        self.assertEqual(self.events(made["kid"], "acme_eab_key_revoked"), [["acme_eab_key_revoked", actor, "APIKey", "config"]] * 2)
        self.assertEqual(self.events(acme.kid.rsplit("/", 1)[1], "acme_account_revoked"), [["acme_account_revoked", actor, "APIKey", "config"]])
        self.assertEqual(self.listed(made)["revoked_at"], revoked_at)

    def test_no_account_slips_through_a_revocation(self):
        for _ in range(3):
            made = self.like(reusable=True)
            gone = f"/acme/eab-keys/{made['kid']}?revoke_accounts=true"
            answers = self.at_once([lambda: self.register(made)[1] for _ in range(3)] + [lambda: self.send("DELETE", gone)])
            self.assertEqual({answer.status for answer in answers} - {201, 401, 204}, set())
            self.assertEqual(set(self.accounts_of(made)) - {"revoked"}, set())


class Support(AdminTest):
    """What operators see of the server's profiles, accounts and orders, and how they end an account."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stack.sql("""
            INSERT INTO certificate_profiles (id, name, issuer_id, acme_auth_mode, required_san_patterns) VALUES
              ('prof-seen', 'Seen', 'iss-local', 'trust_authenticated', '[]'), ('prof-seen-asked', 'Seen, challenged', 'iss-local', 'challenge', '[]'),
              ('prof-seen-bound', 'Seen, bound', NULL, 'trust_authenticated', '[]'), ('prof-seen-tls', 'Seen, mTLS', 'iss-local', 'trust_authenticated', '[]'),
              ('prof-seen-named', 'Seen, named', 'iss-local', 'trust_authenticated', '["x"]'),
              ('prof-seen-choice', 'Seen, named but for a choice', 'iss-local', 'trust_authenticated', '["x"]') ON CONFLICT DO NOTHING;
            INSERT INTO acme_profile_settings (profile_id, settings) VALUES ('prof-seen-bound', '{"eab_required":true}'),
              ('prof-seen-tls', '{"require_mtls":true}'), ('prof-seen-choice', '{"selectable_profiles":["prof-seen"]}') ON CONFLICT DO NOTHING;""")

    @staticmethod
    def id_of(url):
        return url.rsplit("/", 1)[1]

    def profile(self, name):
        return next(row for row in self.good("/admin/acme/profiles")["data"] if row["id"] == name)

    def test_profiles(self):
        shown = self.good("/admin/acme/profiles")
        self.assertEqual(shown["total"], len(shown["data"]))
        self.assertEqual({row["id"]: row["open_trust"] for row in shown["data"] if row["id"].startswith("prof-seen")},
                         {"prof-seen": True, "prof-seen-asked": False, "prof-seen-bound": False, "prof-seen-tls": False, "prof-seen-named": False,
                          "prof-seen-choice": True})
        before = self.profile("prof-seen")
        self.assertEqual((before["auth_mode"], before["issuer_id"], before["eab_required"], before["require_mtls"], before["enabled"]),
                         ("trust_authenticated", "iss-local", False, False, True))
        acme = self.client("prof-seen")
        self.assertEqual(before["directory_url"], f"{acme.base}{acme.prefix}/directory")
        self.assertEqual(acme.raw("GET", before["directory_url"][len(acme.base):]).status, 200)
        failed, ready = acme.order("seen-failed.example.org"), acme.order("seen-ready.example.org")
        self.assertEqual((failed.status, ready.status), (201, 201))
        self.stack.sql(f"UPDATE acme_orders SET status = 'invalid', updated_at = now() WHERE order_id = '{self.id_of(failed.headers['Location'])}'")
        after = self.profile("prof-seen")
        self.assertEqual([after[name] - before[name] for name in ("accounts", "active_orders", "failures_24h")], [1, 1, 1])
        self.stack.sql("UPDATE acme_orders SET updated_at = now() - interval '25 hours' WHERE "
                       f"order_id = '{self.id_of(failed.headers['Location'])}'")
        self.assertEqual(self.profile("prof-seen")["failures_24h"], before["failures_24h"])
        self.assertEqual(self.profile("prof-seen-bound")["eab_required"], True)

    def test_what_orders_are_found_by(self):
        """As our sessions plan, beside 3000 orders that are not kept: the newest of all accounts by an index, none by reading the table."""
        account = self.id_of(self.client("prof-seen").kid)
        many = (f"INSERT INTO acme_orders (order_id, account_id, identifiers, status, expires_at, profile_id, created_at) "
                f"SELECT 'plan-' || i, '{account}', '[]', CASE WHEN i % 3 = 0 THEN 'invalid' ELSE 'ready' END::acme_order_status, "
                "now() + i * interval '1 minute', 'prof-seen', now() - interval '1 day' + i * interval '1 minute' FROM generate_series(1, 3000) i")

        def plan(statement):
            shown = self.stack.sql(f"BEGIN; {many}; ANALYZE acme_orders; SET LOCAL enable_seqscan = off; EXPLAIN {statement}; ROLLBACK")
            return " ".join(row[0] for row in shown)
        newest = plan("SELECT v.id, v.created_at FROM api_acme_orders v ORDER BY v.created_at DESC, v.id DESC LIMIT 51")
        self.assertIn("Index Scan Backward using acme_orders_created", newest)
        for statement, index in (
                ("SELECT count(*) FROM acme_orders WHERE certificate_id IS NOT NULL", "acme_orders_cert"),
                ("SELECT status, count(*) FROM acme_orders WHERE certificate_id IS NULL AND status IN ('valid', 'invalid') GROUP BY 1",
                 "acme_orders_unissued"),
                ("SELECT order_id FROM acme_orders WHERE status IN ('pending', 'ready') AND expires_at < now() ORDER BY expires_at LIMIT 5000 "
                 "FOR UPDATE SKIP LOCKED", "acme_orders_open")):
            shown = plan(statement)
            self.assertIn(index, shown)
            self.assertNotIn("Seq Scan", shown)

    def test_accounts_of_open_trust_are_warned_of(self):
        """Each new one, once, in the log and in its audit row; none where something stands before the names."""
        def told(account):
            return [line for line in self.stack.log("acme.log") if line.get("account") == account and "open trust" in line.get("msg", "")]

        def audited(account):
            return self.stack.value(f"SELECT details->>'open_trust' FROM audit_events WHERE action = 'acme_account_created' AND resource_id = '{account}'")
        acme = self.client("prof-seen")
        account = self.id_of(acme.kid)
        self.stack.wait(lambda: told(account), 60, "the warning")
        self.client("prof-seen", key=acme.key)
        chosen = self.id_of(self.client("prof-seen-choice").kid)  # named, but an order may select what is not
        self.stack.wait(lambda: told(chosen), 60, "the warning")
        self.assertEqual(audited(chosen), "true")
        others = [self.id_of(self.client(name).kid) for name in ("prof-seen-asked", "prof-seen-named")]
        line, = told(account)
        self.assertEqual((line["level"].lower(), line["profile"]), ("warn", "prof-seen"))
        self.assertEqual(audited(account), "true")
        for other in others:
            self.assertEqual((told(other), audited(other)), ([], None), other)

    def test_accounts(self):
        acme = self.client("prof-seen", register=False)
        acme.register(contact=["mailto:seen@example.org"])
        account = self.id_of(acme.kid)
        orders = [acme.order(f"seen-{n}.example.org") for n in range(11)]
        path = f"/acme/accounts/{account}"
        answer = self.get(path)
        shown = answer.json
        self.assertEqual((shown["id"], shown["profile_id"], shown["status"], shown["contact"], shown["jwk_thumbprint"]),
                         (account, "prof-seen", "valid", ["mailto:seen@example.org"], acme.key.thumbprint()))
        self.assertEqual([order["id"] for order in shown["orders"]], [self.id_of(order.headers["Location"]) for order in reversed(orders)][:10])
        self.assertEqual(shown["orders"][0]["identifiers"], [{"type": "dns", "value": "seen-10.example.org"}])
        self.assertNotIn("jwk_pem", answer.body.decode())
        self.assertEqual(self.get(path, If_None_Match=answer.headers["ETag"]).status, 304)
        acme.order("seen-more.example.org")
        self.assertEqual(self.get(path, If_None_Match=answer.headers["ETag"]).status, 200)
        listed = self.good("/acme/accounts?profile_id=prof-seen&status=valid&per_page=1")
        self.assertEqual(listed["data"], [{name: value for name, value in shown.items() if name != "orders"}])
        self.assertEqual(listed["per_page"], 1)
        self.assertEqual(self.good("/acme/accounts?profile_id=prof-seen&status=revoked")["data"], [])
        made = self.like("prof-seen")
        bound, _ = self.register(made, profile="prof-seen")
        self.assertEqual([row["id"] for row in self.good(f"/acme/accounts?eab_kid={made['kid']}")["data"]], [self.id_of(bound.kid)])
        self.assertEqual(self.good(f"/acme/accounts/{self.id_of(bound.kid)}")["eab_kid"], made["kid"])
        self.assertRefused(self.get("/acme/accounts/acme-acc-nobody"), 404, "not_found", "ACME account not found")
        self.assertEqual(self.get("/acme/accounts/a%20b").status, 400)

    def test_orders_with_what_was_seen_of_each_challenge(self):
        acme = self.client("prof-seen-asked")
        order = acme.order("asked-1.example.org", "asked-2.example.org")
        order_id, account = self.id_of(order.headers["Location"]), self.id_of(acme.kid)
        authz = self.id_of(order.json["authorizations"][0])
        problem = {"type": "urn:ietf:params:acme:error:dns", "detail": "no address", "status": 400}
        self.stack.sql(f"""
            INSERT INTO acme_challenges (challenge_id, authz_id, account_id, type, status, error, attempts, validation_record)
            VALUES ('{authz.replace("acme-authz", "acme-chall")}.http-01', '{authz}', '{account}', 'http-01', 'invalid', '{json.dumps(problem)}', 3,
                    '{{"address":"192.0.2.9"}}');
            UPDATE acme_orders SET status = 'invalid', error = '{json.dumps(problem)}' WHERE order_id = '{order_id}'""")
        shown, = self.good(f"/acme/orders?account_id={account}&status=invalid")["data"]
        self.assertEqual((shown["id"], shown["account_id"], shown["profile_id"], shown["auth_mode"], shown["error"]),
                         (order_id, account, "prof-seen-asked", "challenge", problem))
        self.assertEqual([z["identifier"]["value"] for z in shown["authorizations"]], ["asked-1.example.org", "asked-2.example.org"])
        challenge, = shown["authorizations"][0]["challenges"]
        self.assertEqual((challenge["type"], challenge["status"], challenge["attempts"], challenge["error"], challenge["validation_record"]),
                         ("http-01", "invalid", 3, problem, {"address": "192.0.2.9"}))
        self.assertEqual(shown["authorizations"][1]["challenges"], [])
        self.assertNotIn("token", json.dumps(shown))
        self.assertEqual(self.good(f"/acme/orders?account_id={account}&status=valid")["total"], 0)
        acme.order("asked-3.example.org")
        first, second = (self.good(f"/acme/orders?account_id={account}&per_page=1&page={page}") for page in (1, 2))
        self.assertEqual((first["total"], [row["identifiers"][0]["value"] for row in first["data"] + second["data"]]),
                         (2, ["asked-3.example.org", "asked-1.example.org"]))
        self.assertEqual(self.get("/acme/orders?status=lost", Prefer="handling=strict").status, 400)
        trusted = self.client("prof-seen")
        _, done = trusted.obtain("seen-valid.example.org")
        shown, = self.good(f"/acme/orders?account_id={self.id_of(trusted.kid)}")["data"]
        self.assertEqual((shown["status"], shown["certificate_id"]), ("valid", self.id_of(done["certificate"])))

    def test_an_account_is_revoked(self):
        acme = self.client("prof-seen-asked")
        account = self.id_of(acme.kid)
        order = acme.order("revoked.example.org")
        authz = self.id_of(order.json["authorizations"][0])
        self.stack.sql(f"""
            INSERT INTO acme_challenges (challenge_id, authz_id, account_id, type, status, next_attempt_at)
            VALUES ('{authz.replace("acme-authz", "acme-chall")}.http-01', '{authz}', '{account}', 'http-01', 'processing', now() + interval '1 day')""")
        path = f"/acme/accounts/{account}/revoke"
        answers = self.at_once([lambda: self.send("POST", path) for _ in range(3)])
        self.assertEqual([(answer.status, answer.json) for answer in answers], [(200, {"status": "revoked"})] * 3)
        self.assertEqual(self.send("POST", path).status, 200)
        actor = self.keys["r-admin"][2]
        self.assertEqual(self.events(account, "acme_account_revoked"), [["acme_account_revoked", actor, "APIKey", "config"]])
        self.assertProblem(acme.post(acme.kid, None), 401, "unauthorized", "the account is revoked")
        self.assertProblem(Client(self.stack, "prof-seen-asked", acme.key).post("/new-account", {}), 401, "unauthorized", "revoked")
        shown, = self.good(f"/acme/orders?account_id={account}")["data"]
        self.assertEqual((shown["status"], shown["error"]["detail"]), ("invalid", "account revoked"))
        authz, = shown["authorizations"]
        self.assertEqual((authz["status"], authz["challenges"][0]["status"]), ("deactivated", "invalid"))
        gone = self.client("prof-seen")
        gone.post(gone.kid, {"status": "deactivated"})
        self.assertRefused(self.send("POST", f"/acme/accounts/{self.id_of(gone.kid)}/revoke"), 409, "state", "the account is not valid any more")
        self.assertRefused(self.send("POST", "/acme/accounts/acme-acc-nobody/revoke"), 404, "not_found", "ACME account not found")
        self.assertEqual(self.send("POST", "/acme/accounts/a%20b/revoke").status, 400)

    def test_who_may_and_for_what(self):
        mine, other = self.client("prof-seen"), self.client("prof-other")
        revoke = f"/acme/accounts/{self.id_of(mine.kid)}/revoke"
        calls = (("GET", "/admin/acme/profiles"), ("GET", "/acme/accounts"), ("GET", f"/acme/accounts/{self.id_of(mine.kid)}"), ("POST", revoke),
                 ("GET", "/acme/orders"))
        for method, path in calls:
            with self.subTest(path):
                self.assertEqual(self.raw(method, "/api/v1" + path).status, 401)
                for role in ("r-operator", "r-viewer"):
                    self.assertRefused(self.send(method, path, key=self.key(role)), 403, "forbidden")
        key, _, name = self.new_key("--role=r-admin")
        self.stack.sql(f"UPDATE actor_roles SET scope_type = 'profile', scope_id = 'prof-other' WHERE actor_id = '{name}'")
        self.assertEqual([row["id"] for row in self.good("/admin/acme/profiles", key=key)["data"]], ["prof-other"])
        self.assertEqual({row["profile_id"] for row in self.good("/acme/accounts?per_page=500", key=key)["data"]}, {"prof-other"})
        self.assertEqual({row["profile_id"] for row in self.good("/acme/orders?per_page=500", key=key)["data"]} - {"prof-other"}, set())
        for method, path in calls[2:4]:
            self.assertRefused(self.send(method, path, key=key), 403, "forbidden")
        self.assertEqual(self.get(f"/acme/accounts/{self.id_of(other.kid)}", key=key).status, 200)
        self.assertEqual(self.send("POST", f"/acme/accounts/{self.id_of(other.kid)}/revoke", key=key).status, 200)
        self.assertEqual(mine.post(mine.kid, None).status, 200)


class EabClients(ClientTest):
    """Clients of Debian under a profile that wants a binding."""

    profile = "prof-eab"
    seconds = 30

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stack.sql(WORLD)

    def made(self):
        return self.eab_key(profile_id=self.profile, owner_id="o-eab")

    def fails(self, *command, **environment):
        done = subprocess.run(command, cwd=self.home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180, check=False,
                              env={**os.environ, "HOME": self.home, **environment})
        self.assertNotEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def accounts_of(self, made):
        return self.stack.sql(f"SELECT status, owner_id FROM acme_accounts WHERE eab_kid = '{made['kid']}'")

    def certbot_command(self, made, folder, name):
        return ("certbot", "certonly", "--standalone", "--http-01-port", "0", "--http-01-address", "127.0.0.1", "--agree-tos", "-m", "a@example.org",
                "-d", name, "--eab-kid", made["kid"], "--eab-hmac-key", made["hmac_key"], "--server", self.directory(), "--non-interactive",
                "--config-dir", f"{folder}/config", "--work-dir", f"{folder}/work", "--logs-dir", f"{folder}/logs")

    def test_certbot(self):
        made = self.made()
        self.run_client(*self.certbot_command(made, f"{self.home}/first", "certbot-eab.example.org"), REQUESTS_CA_BUNDLE=self.stack.root_pem)
        self.assertChain(f"{self.home}/first/config/live/certbot-eab.example.org/fullchain.pem", "certbot-eab.example.org")
        self.assertEqual(self.accounts_of(made), [["valid", "o-eab"]])
        said = self.fails(*self.certbot_command(made, f"{self.home}/second", "certbot-eab.example.org"), REQUESTS_CA_BUNDLE=self.stack.root_pem)
        self.assertIn(NOBODY, said)
        self.assertEqual(self.accounts_of(made), [["valid", "o-eab"]])

    def lego_command(self, made, folder, name):
        return ("lego", "--server", self.directory(), "--accept-tos", "--email", "a@example.org", "--path", folder, "--domains", name, "--http",
                "--http.port", "127.0.0.1:0", "--eab", "--kid", made["kid"], "--hmac", made["hmac_key"], "run")

    def test_lego(self):
        made = self.made()
        self.run_client(*self.lego_command(made, f"{self.home}/first", "lego-eab.example.org"), LEGO_CA_CERTIFICATES=self.stack.root_pem)
        self.assertChain(f"{self.home}/first/certificates/lego-eab.example.org.crt", "lego-eab.example.org")
        self.assertEqual(self.accounts_of(made), [["valid", "o-eab"]])
        said = self.fails(*self.lego_command(made, f"{self.home}/second", "lego-eab.example.org"), LEGO_CA_CERTIFICATES=self.stack.root_pem)
        self.assertIn("401", said)
        self.assertIn(NOBODY, said)
        self.assertEqual(self.accounts_of(made), [["valid", "o-eab"]])
