"""dns-01, dns-account-01, dns-persist-01, tls-alpn-01 and CAA, good and hostile; http-01 and the rules of all are in test_challenge.py."""
import base64
import hashlib
import ipaddress
import os
import signal
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

import targets
from acme_client import Key, b64u, csr
from challenge_case import ChallengeTest, shared, shared_tls_port
from stack import Stack
from test_clients import ClientTest
from test_issuance import verify_strictly

PREFIX = "urn:ietf:params:acme:error:"


def dns(name):
    return x509.DNSName(name)


class ProofTest(ChallengeTest):

    def key_authorization(self, acme, challenge):
        return f"{challenge['token']}.{acme.key.thumbprint()}"

    def challenge(self, authz, kind):
        return next(c for c in authz["challenges"] if c["type"] == kind)

    def value(self, acme, challenge):
        """What a TXT record must say."""
        return b64u(hashlib.sha256(self.key_authorization(acme, challenge).encode()).digest())

    def publish(self, acme, authz, kind="dns-01", at=None):
        challenge = self.challenge(authz, kind)
        self.names.txt.setdefault(at or f"_acme-challenge.{authz['identifier']['value']}", []).append(self.value(acme, challenge))
        return challenge

    def respond(self, acme, challenge):
        answer = acme.post(challenge["url"], {})
        self.assertEqual((answer.status, answer.json["status"]), (200, "processing"), answer)

    def by_dns(self, acme, order):
        for authz in self.authz(acme, order):
            if authz["status"] == "pending":
                self.respond(acme, self.publish(acme, authz))

    def problem(self, acme, order):
        """Of the order's one failed identifier."""
        done = self.settled(acme, order.headers["Location"])
        self.assertEqual((done["status"], len(done["error"]["subproblems"])), ("invalid", 1), done)
        return done["error"]["subproblems"][0]

    def assertSubproblem(self, problem, kind, status, words):
        self.assertEqual((problem["type"], problem["status"]), (PREFIX + kind, status), problem)
        self.assertIn(words, problem["detail"])

    def told(self, acme, order):
        """The problem of the order's one challenge, once it was tried."""
        found = []

        def tried():
            found[:] = self.authz(acme, order.json)[0]["challenges"]
            return "error" in found[0] or found[0]["status"] == "valid"
        Stack.wait(tried, what="the challenge is tried")
        return found[0].get("error")

    def assertIssued(self, acme, order, names, sans):
        answer = acme.finalize(order, csr(ec.generate_private_key(ec.SECP256R1()), names))
        self.assertEqual(answer.json["status"], "valid", answer)
        chain = acme.post(answer.json["certificate"]).body.decode()
        good, said = verify_strictly(self.stack, chain)
        self.assertTrue(good, said)
        leaf = x509.load_pem_x509_certificate(chain.encode())
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(sorted(str(entry.value) for entry in found), sorted(sans))
        return answer


    def stale(self, acme, *names, **members):
        """An order that is ready, the CAA of whose first name was looked at 8 hours ago."""
        order = acme.order(*names, **members)
        self.by_dns(acme, order.json)
        ready = self.settled(acme, order.headers["Location"])
        self.assertEqual(ready["status"], "ready", ready)
        authz = ready["authorizations"][0].rsplit("/", 1)[1]
        self.stack.sql(f"UPDATE acme_authorizations SET caa_checked_at = now() - interval '8 hours' WHERE authz_id = '{authz}'")
        return ready, order.headers["Location"], csr(ec.generate_private_key(ec.SECP256R1()), names)

    def approved_late(self, acme, name, hours):
        """An order that somebody approves so long after CAA was looked at: its URL, and how many questions came before."""
        order = acme.order(name)
        self.by_dns(acme, order.json)
        url = order.headers["Location"]
        ready = self.settled(acme, url, seconds=60)
        answer = acme.finalize(ready, csr(ec.generate_private_key(ec.SECP256R1()), [name]))
        self.assertEqual((answer.json["status"], answer.headers["Retry-After"]), ("processing", "60"), answer)
        self.stack.sql(f"UPDATE acme_authorizations SET caa_checked_at = now() - interval '{hours} hours' WHERE identifier->>'value' = '{name}'")
        return url, len(self.names.asked)

    def approve(self, *urls):
        listed = "', '".join(url.rsplit("/", 1)[1] for url in urls)
        settled = self.stack.sql("SELECT approval_settle(a, 'approved', 'somebody', NULL, NULL) FROM issuance_approval_requests a JOIN acme_orders o "
                                 f"ON o.job_id = a.job_id WHERE o.order_id IN ('{listed}')")
        self.assertEqual(settled, [["t"]] * len(urls))
        self.time_passes()

    def of_order(self, order, what):
        return self.stack.value(what.format(order["finalize"].split("/")[-2]))


class Dns(ProofTest):
    seconds = 50
    long = True

    def client(self, profile="prof-proof-all", key=None, register=True):
        return super().client(profile, key, register)

    def test_a_name_and_its_wildcard_in_one_order(self):
        acme = self.client()
        names = ("both.test", "*.both.test")
        order = acme.order(*names)
        self.assertEqual(order.json["identifiers"], [{"type": "dns", "value": name} for name in names])
        plain, wild = self.authz(acme, order.json)
        self.assertEqual((plain["identifier"]["value"], wild["identifier"]["value"]), ("both.test", "both.test"))
        self.assertNotIn("wildcard", plain)
        self.assertIs(wild["wildcard"], True)
        self.assertEqual([c["type"] for c in plain["challenges"]], ["http-01", "dns-01", "tls-alpn-01"])
        self.assertEqual([c["type"] for c in wild["challenges"]], ["dns-01"])
        url = self.challenge(wild, "dns-01")["url"]
        for kind in ("http-01", "tls-alpn-01", "dns-account-01", "dns-persist-01"):  # what is not offered cannot be answered
            self.assertProblem(acme.post(url.replace("dns-01", kind), {}), 404, "malformed")
        self.by_dns(acme, order.json)
        self.assertEqual(len(self.names.txt["_acme-challenge.both.test"]), 2)
        done = self.settled(acme, order.headers["Location"])
        self.assertEqual(done["status"], "ready", done)
        for authz in self.authz(acme, done):
            self.assertEqual([(c["type"], c["status"]) for c in authz["challenges"]], [("dns-01", "valid")])
        self.assertIssued(acme, done, names, names)

    def test_one_of_two_values_is_not_enough_for_both(self):
        acme = self.client()
        order = acme.order("half.test", "*.half.test")
        plain, wild = self.authz(acme, order.json)
        self.respond(acme, self.publish(acme, plain))
        self.respond(acme, self.challenge(wild, "dns-01"))
        problem = self.problem(acme, order)
        self.assertEqual(problem["identifier"], {"type": "dns", "value": "*.half.test"})
        self.assertSubproblem(problem, "incorrectResponse", 403, f'has "{self.value(acme, self.challenge(plain, "dns-01"))}" and 0 others')

    def test_aliases_and_pieces(self):
        acme = self.client()
        order = acme.order("alias.test", "pieces.test", "crowd.test")
        alias, pieces, crowd = self.authz(acme, order.json)
        self.names.aliases.update({"_acme-challenge.alias.test": "a1.elsewhere.test", "a1.elsewhere.test": "a2.elsewhere.test",
                                   "a2.elsewhere.test": "a3.elsewhere.test"})
        self.respond(acme, self.publish(acme, alias, at="a3.elsewhere.test"))
        value = self.value(acme, self.challenge(pieces, "dns-01"))
        self.names.txt["_acme-challenge.pieces.test"] = [(value[:1], "", value[1:20], value[20:])]
        self.respond(acme, self.challenge(pieces, "dns-01"))
        self.names.txt["_acme-challenge.crowd.test"] = [f"other {i}" for i in range(15)]
        self.respond(acme, self.publish(acme, crowd))
        self.assertEqual(self.settled(acme, order.headers["Location"])["status"], "ready")

    def test_a_record_that_comes_late(self):
        acme = self.client()
        order = acme.order("late.test")
        authz = self.authz(acme, order.json)[0]
        self.names.txt["_acme-challenge.late.test"] = ["an old value"]
        self.respond(acme, self.challenge(authz, "dns-01"))
        Stack.wait(lambda: "error" in self.challenge(self.authz(acme, order.json)[0], "dns-01"), what="the first failure shows")
        told = self.challenge(self.authz(acme, order.json)[0], "dns-01")
        self.assertEqual((told["status"], told["error"]["type"]), ("processing", PREFIX + "incorrectResponse"))
        self.publish(acme, authz)
        self.assertEqual(self.settled(acme, order.headers["Location"])["status"], "ready")

    def test_what_fails(self):
        cases = {
            "none.test": (targets.NXDOMAIN, "dns", 400, "NXDOMAIN for _acme-challenge.none.test TXT"),
            "empty-dns.test": ([], "dns", 400, "no TXT record"),
            "broken-dns.test": (targets.SERVFAIL, "dns", 400, "SERVFAIL"),
            "mute-dns.test": (None, "dns", 400, "_acme-challenge.mute-dns.test TXT"),
            "wrong-dns.test": (["no\x01t \xff it"], "incorrectResponse", 403, 'has "no?t ? it" and 0 others'),
            "long-dns.test": (["x" * 400], "incorrectResponse", 403, '"' + "x" * 100 + '"'),
            "loop-dns.test": (None, "dns", 400, "SERVFAIL"),
        }
        acme = self.client()
        self.names.aliases.update({"_acme-challenge.loop-dns.test": "loop-dns.test", "loop-dns.test": "_acme-challenge.loop-dns.test"})
        orders = {}
        for name, (records, *_) in cases.items():
            self.names.txt[f"_acme-challenge.{name}"] = records
            orders[name] = acme.order(name)
            self.respond(acme, self.challenge(self.authz(acme, orders[name].json)[0], "dns-01"))
        for name, (_, kind, status, words) in cases.items():
            with self.subTest(name):
                self.assertSubproblem(self.problem(acme, orders[name]), kind, status, words)
        rows = self.stack.sql("SELECT DISTINCT c.attempts FROM acme_challenges c JOIN acme_authorizations z USING (authz_id) "
                              "WHERE z.identifier->>'value' = ANY ('{none.test,wrong-dns.test}')")
        self.assertEqual(rows, [["2"]])  # both may pass: tried again

    def label(self, acme):
        return "_" + base64.b32encode(hashlib.sha256(acme.kid.encode()).digest()[:10]).decode().lower()

    def test_an_account_has_a_label_of_its_own(self):
        acme = self.client("prof-proof-label")
        names = ("label.test", "*.label.test")
        self.names.caa["label.test"] = [(0, "issue", f"ca.test; accounturi={acme.kid}; validationmethods=dns-account-01")]
        order = acme.order(*names)
        for authz in self.authz(acme, order.json):
            self.assertEqual([c["type"] for c in authz["challenges"]], ["dns-account-01"])
            self.respond(acme, self.publish(acme, authz, "dns-account-01", f"{self.label(acme)}._acme-challenge.label.test"))
        done = self.settled(acme, order.headers["Location"])
        self.assertEqual(done["status"], "ready", done)
        self.assertNotIn(("_acme-challenge.label.test", targets.TXT), self.names.asked)
        self.assertIssued(acme, done, names, names)

    def test_labels_that_prove_nothing(self):
        """dns-01's own name, another account's label, the label of another name, and a wrong value at the right one."""
        acme, other = self.client("prof-proof-label"), self.client("prof-proof-label")
        mine, theirs = self.label(acme), self.label(other)
        self.assertNotEqual(mine, theirs)
        cases = {
            "unlabelled.test": ("_acme-challenge.unlabelled.test", "dns", 400),
            "other-label.test": (f"{theirs}._acme-challenge.other-label.test", "dns", 400),
            "bare-label.test": (f"{mine[1:]}._acme-challenge.bare-label.test", "dns", 400),
            "other-name.test": (f"{mine}._acme-challenge.test", "dns", 400),
            "other-value.test": (None, "incorrectResponse", 403),
            "caa-method.test": (f"{mine}._acme-challenge.caa-method.test", "caa", 403),
        }
        self.names.caa["caa-method.test"] = [(0, "issue", "ca.test; validationmethods=dns-01")]
        orders = {}
        for name, (at, *_) in cases.items():
            orders[name] = acme.order(name)
            authz = self.authz(acme, orders[name].json)[0]
            if at:
                self.publish(acme, authz, "dns-account-01", at)
            else:  # the other account's thumbprint
                self.publish(other, authz, "dns-account-01", f"{mine}._acme-challenge.{name}")
            self.respond(acme, self.challenge(authz, "dns-account-01"))
        for name, (_, kind, status) in cases.items():
            with self.subTest(name):
                self.assertSubproblem(self.told(acme, orders[name]), kind, status, name if kind == "caa" else f"{mine}._acme-challenge.{name}")

    def test_a_profile_has_a_resolver_of_its_own(self):
        own = targets.Names()
        self.addCleanup(own.close)
        self.stack.sql("INSERT INTO certificate_profiles (id, name, issuer_id, acme_auth_mode) VALUES "
                       "('prof-own-dns', 'Own DNS', 'iss-local', 'challenge'), ('prof-bad-dns', 'Bad DNS', 'iss-local', 'challenge')")
        self.stack.sql("INSERT INTO acme_profile_settings (profile_id, settings) VALUES "
                       f"('prof-own-dns', '{{\"resolver\":\"127.0.0.1:{own.port}\"}}'), ('prof-bad-dns', '{{\"resolver\":\"rubbish\"}}')")
        acme = self.client("prof-own-dns")
        order = acme.order("inside.test", "web-inside.test")
        inside, web = self.authz(acme, order.json)
        own.txt["_acme-challenge.inside.test"] = [self.value(acme, self.challenge(inside, "dns-01"))]
        own.zone["web-inside.test"] = ["127.0.0.1"]  # addresses too come from there
        self.respond(acme, self.challenge(inside, "dns-01"))
        self.respond(acme, self.offer(acme, web))
        self.assertEqual(self.settled(acme, order.headers["Location"])["status"], "ready")
        self.assertEqual([name for name, _ in self.names.asked if name.endswith("inside.test")], [])
        bad = self.client("prof-bad-dns")
        order = bad.order("unasked.test")
        self.respond(bad, self.challenge(self.authz(bad, order.json)[0], "dns-01"))
        self.assertSubproblem(self.problem(bad, order), "serverInternal", 500, "failed on our side")

    def test_killed_while_it_waits_for_dns(self):
        acme = self.client()
        order = acme.order("killed-dns.test")
        authz = self.authz(acme, order.json)[0]
        value = [self.value(acme, self.challenge(authz, "dns-01"))]
        asked, speaks = threading.Event(), threading.Event()

        def first_mute(_):
            asked.set()
            return value if speaks.is_set() else None

        self.names.txt["_acme-challenge.killed-dns.test"] = first_mute
        self.respond(acme, self.challenge(authz, "dns-01"))
        self.assertTrue(asked.wait(90))
        for pid in self.stack.pids("certctl-job-acme-validate"):
            os.kill(pid, signal.SIGKILL)
        speaks.set()
        self.assertEqual(self.challenge(self.authz(acme, order.json)[0], "dns-01")["status"], "processing")
        self.stack.sql("UPDATE acme_challenges SET lease_until = now() WHERE lease_until IS NOT NULL")  # time passes
        self.assertEqual(self.settled(acme, order.headers["Location"])["status"], "ready")
        self.assertEqual(self.stack.value("SELECT count(*) FROM audit_events WHERE action = 'acme_challenge_completed' "
                                          f"AND resource_id = '{order.headers['Location'].rsplit('/', 1)[1]}'"), "1")


class Persist(ProofTest):
    """dns-persist-01: a record that stays, and is looked at for each order. The stack's own names are ca.test and other-ca.test."""

    def client(self, profile="prof-proof-persist", key=None, register=True):
        return super().client(profile, key, register)

    def say(self, name, *records):
        self.names.txt[f"_validation-persist.{name}"] = list(records)

    def answered(self, acme, *names):
        order = acme.order(*names)
        self.assertEqual(order.status, 201, order)
        for authz in self.authz(acme, order.json):
            self.respond(acme, self.challenge(authz, "dns-persist-01"))
        return order

    def test_one_record_for_each_order(self):
        acme = self.client()
        names = ("stays.test", "*.stays.test")
        self.names.caa["stays.test"] = [(0, "issue", f"ca.test; accounturi={acme.kid}; validationmethods=dns-persist-01")]
        record = f"ca.test; accounturi={acme.kid}; policy=wildcard; persistUntil={int(time.time()) + 86400}"
        self.say("stays.test", "else.test; accounturi=https://else.test/1", "rubbish;", "ca.test; accounturi=https://else.test/1", (record[:9], "", record[9:]))
        order = acme.order(*names)
        for authz in self.authz(acme, order.json):
            self.assertEqual([set(c) for c in authz["challenges"]], [{"type", "url", "status", "accounturi", "issuer-domain-names"}])
            challenge = authz["challenges"][0]
            self.assertEqual((challenge["type"], challenge["status"], challenge["accounturi"], challenge["issuer-domain-names"]),
                             ("dns-persist-01", "pending", acme.kid, ["ca.test", "other-ca.test"]))
            self.assertEqual(acme.post(challenge["url"]).json, challenge)
            self.respond(acme, challenge)
        done = self.settled(acme, order.headers["Location"])
        self.assertEqual(done["status"], "ready", done)
        for authz in self.authz(acme, done):
            self.assertEqual([(c["type"], c["status"], "token" in c) for c in authz["challenges"]], [("dns-persist-01", "valid", False)])
        self.assertIssued(acme, done, names, names)
        again = self.answered(acme, *names)  # nothing of the first order serves, and nothing new is published
        self.assertEqual(set(again.json["authorizations"]) & set(done["authorizations"]), set())
        self.assertEqual(self.settled(acme, again.headers["Location"])["status"], "ready")
        self.say("stays.test", "else.test; accounturi=https://else.test/1")
        gone = self.answered(acme, "stays.test")
        self.assertSubproblem(self.told(acme, gone), "incorrectResponse", 403, "names no issuer domain of ours")

    def test_what_fails(self):
        acme, other = self.client(), self.client()
        good = f"ca.test; accounturi={acme.kid}"
        soon, late = int(time.time()) + 86400, int(time.time()) - 1
        wrong = "incorrectResponse", 403
        cases = {
            "p-none.test": (targets.NXDOMAIN, "dns", 400, "NXDOMAIN for _validation-persist.p-none.test TXT"),
            "p-empty.test": ([], "dns", 400, "no TXT record"),
            "p-issuer.test": ([f"else.test; accounturi={acme.kid}"], *wrong, "names no issuer domain of ours"),
            "p-below.test": ([f"x.ca.test; accounturi={acme.kid}"], *wrong, "names no issuer domain of ours"),
            "p-account.test": ([f"ca.test; accounturi={other.kid}"], *wrong, "names another account"),
            "p-case.test": ([f"ca.test; accounturi={acme.kid.upper()}"], *wrong, "names another account"),
            "p-noaccount.test": (["ca.test; policy=wildcard"], *wrong, "has no accounturi"),
            "p-past.test": ([f"{good}; persistUntil={late}"], *wrong, "is past its persistUntil"),
            "p-until.test": ([f"{good}; persistUntil=tomorrow"], *wrong, "is malformed"),
            "p-twice.test": ([f"{good}; accounturi={acme.kid}"], *wrong, "is malformed"),
            "p-open.test": ([f"{good};"], *wrong, "is malformed"),
            "p-token.test": (["no\x01t \xff it"], *wrong, 'the nearest, "no?t ? it", is malformed'),
            "*.p-wild.test": ([good], *wrong, "lacks policy=wildcard"),
            "*.p-policy.test": ([f"{good}; policy=all; persistUntil={soon}"], *wrong, "lacks policy=wildcard"),
            "*.p-halves.test": ([good, f"ca.test; accounturi={other.kid}; policy=wildcard"], *wrong, "of 2 records none fits"),
        }
        self.names.caa["p-caa.test"] = [(0, "issue", "ca.test; validationmethods=dns-01")]
        cases["p-caa.test"] = ([good], "caa", 403, "at p-caa.test")
        orders = {}
        for name, (records, *_) in cases.items():
            self.names.txt["_validation-persist." + name.removeprefix("*.")] = records
            orders[name] = self.answered(acme, name)
        for name, (_, kind, status, words) in cases.items():
            with self.subTest(name):
                self.assertSubproblem(self.told(acme, orders[name]), kind, status, words)

    def test_a_record_that_is_mended(self):
        acme = self.client()
        self.say("mended.test", f"ca.test; accounturi={acme.kid};")
        order = self.answered(acme, "mended.test")
        Stack.wait(lambda: "error" in self.authz(acme, order.json)[0]["challenges"][0], what="the first failure shows")
        self.say("mended.test", f"OTHER-CA.test;AccountURI={acme.kid}")
        self.stack.sql("UPDATE acme_challenges SET next_attempt_at = now() WHERE status = 'processing'")  # time passes
        self.assertEqual(self.settled(acme, order.headers["Location"])["status"], "ready")

    def test_what_is_offered(self):
        """To names and wildcards, in the table's order; with a token for the other types; what was proved ahead serves no order."""
        acme = self.client("prof-proof-drafts")
        plain, wild, address = self.authz(acme, acme.order("offered.good.test", "*.offered.good.test", "127.0.0.1").json)
        self.assertEqual([(c["type"], "token" in c, "accounturi" in c) for c in plain["challenges"]],
                         [("http-01", True, False), ("dns-account-01", True, False), ("dns-persist-01", False, True)])
        self.assertEqual([c["type"] for c in wild["challenges"]], ["dns-account-01", "dns-persist-01"])
        self.assertEqual([c["type"] for c in address["challenges"]], ["http-01"])
        url = address["challenges"][0]["url"].replace("http-01", "dns-persist-01")
        self.assertProblem(acme.post(url, {}), 404, "malformed", "no such challenge")
        self.assertProblem(self.client().order("127.0.0.1"), 400, "rejectedIdentifier")
        ahead = acme.post("/new-authz", {"identifier": {"type": "dns", "value": "ahead-stays.test"}})
        self.say("ahead-stays.test", f"ca.test; accounturi={acme.kid}")
        self.respond(acme, self.challenge(ahead.json, "dns-persist-01"))
        self.assertEqual(self.settled(acme, ahead.headers["Location"])["status"], "valid")
        order = acme.order("ahead-stays.test").json
        self.assertEqual(order["status"], "pending")
        self.assertNotIn(ahead.headers["Location"], order["authorizations"])

    def test_an_account_moves_to_another_key(self):
        """The record stays good, since the account's URL does."""
        acme = self.client()
        self.say("moved.test", f"ca.test; accounturi={acme.kid}")
        self.assertEqual(acme.change_key(Key()).status, 200)
        order = self.answered(acme, "moved.test")
        self.assertEqual(self.settled(acme, order.headers["Location"])["status"], "ready")


class Killed(ProofTest):
    """Done means 12 of 01: kill -9 of the jobs at each step of validation and of section 10.3. The order is not lost, nothing is made
    twice. http-01 is in test_challenge.Crowd, dns-01 in Dns, job-processor in test_approvals.Races, the responder below and in
    tests/fault/test_seams.py, which kills it at each of its calls."""

    once = True
    seconds = 20

    def client(self, profile="prof-proof-all", key=None, register=True):
        return super().client(profile, key, register)

    def mute_once(self):
        """What a DNS table may hold: no answer until it speaks; and the two events."""
        asked, speaks = threading.Event(), threading.Event()

        def entry(_):
            asked.set()
            return [] if speaks.is_set() else None
        return entry, asked, speaks

    def one_of_all(self, url):
        """One certificate, one version, one audit row, one job at most."""
        order = url.rsplit("/", 1)[1]
        self.assertEqual(self.stack.sql(
            f"SELECT (SELECT count(*) FROM managed_certificates WHERE name = 'acme-{order}'), "
            f"(SELECT count(*) FROM certificate_versions v JOIN managed_certificates m ON m.id = v.certificate_id WHERE m.name = 'acme-{order}'), "
            f"(SELECT count(*) FROM audit_events WHERE resource_id = '{order}' AND action = 'acme_order_finalized'), "
            f"(SELECT count(*) < 2 FROM jobs j JOIN managed_certificates m ON m.id = j.certificate_id WHERE m.name = 'acme-{order}')"),
            [["1", "1", "1", "t"]])

    def completed_once(self, url):
        self.assertEqual(self.stack.value("SELECT count(*) FROM audit_events WHERE action = 'acme_challenge_completed' "
                                          f"AND resource_id = '{url.rsplit('/', 1)[1]}'"), "1")

    def test_in_a_handshake_of_tls_alpn(self):
        tls = targets.Tls(self.tls_port)
        self.addCleanup(tls.close)
        acme = self.client("prof-proof-tls")
        order = acme.order("killed-alpn.good.test")
        challenge = self.challenge(self.authz(acme, order.json)[0], "tls-alpn-01")
        tls.shows["killed-alpn.good.test"] = (targets.alpn_certificate([dns("killed-alpn.good.test")], self.key_authorization(acme, challenge)),
                                              ["acme-tls/1"])
        came, goes = threading.Event(), threading.Event()

        def mute(_):
            came.set()
            goes.wait(60)
        tls.behaviour = mute
        self.respond(acme, challenge)
        self.assertTrue(came.wait(60))
        self.stack.kill("certctl-job-acme-validate")
        tls.behaviour = None
        goes.set()
        self.assertEqual(self.challenge(self.authz(acme, order.json)[0], "tls-alpn-01")["status"], "processing")
        self.time_passes()
        self.assertEqual(self.settled(acme, order.headers["Location"])["status"], "ready")
        self.completed_once(order.headers["Location"])

    def test_while_caa_is_asked_for_after_a_proof(self):
        acme = self.client()
        self.names.caa["killed-caa.test"], asked, speaks = self.mute_once()
        order = acme.order("killed-caa.test")
        self.by_dns(acme, order.json)
        self.assertTrue(asked.wait(60))
        self.stack.kill("certctl-job-acme-validate")
        speaks.set()
        self.assertEqual(acme.post(order.headers["Location"]).json["status"], "pending")
        self.time_passes()
        done = self.settled(acme, order.headers["Location"])
        self.completed_once(order.headers["Location"])
        self.assertIssued(acme, done, ["killed-caa.test"], ["killed-caa.test"])
        self.one_of_all(order.headers["Location"])

    def test_while_caa_is_asked_for_again(self):
        acme = self.client()
        ready, url, request = self.stale(acme, "killed-again.test")
        self.names.caa["killed-again.test"], asked, speaks = self.mute_once()
        self.assertEqual(acme.finalize(ready, request).json["status"], "processing")
        self.assertTrue(asked.wait(60))
        self.stack.kill("certctl-job-acme-finalize")
        speaks.set()
        self.assertEqual(acme.post(url).json["status"], "processing")
        self.time_passes()
        self.assertEqual(self.settled(acme, url)["status"], "valid")
        self.one_of_all(url)

    def test_while_the_job_is_made(self):
        """In the middle of the transaction that hands the order to the queue: all of it or nothing."""
        acme = self.client()
        ready, url, request = self.stale(acme, "killed-handing.test")
        self.names.caa["killed-handing.test"], asked, speaks = self.mute_once()
        self.assertEqual(acme.finalize(ready, request).json["status"], "processing")
        self.assertTrue(asked.wait(60))
        name = "acme-" + url.rsplit("/", 1)[1]
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%acme_finalize_result%'"
        with self.stack.holding(f"SELECT 1 FROM managed_certificates WHERE name = '{name}' FOR UPDATE") as ask:
            speaks.set()
            self.stack.wait(lambda: ask(waits) == ["1"], what="the transaction waits in its middle")
            self.stack.kill("certctl-job-acme-finalize")
            ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%acme_finalize_result%'")
        order = url.rsplit("/", 1)[1]
        self.time_passes()
        self.assertEqual(self.settled(acme, url)["status"], "valid")
        self.one_of_all(url)
        self.assertEqual(self.stack.value(f"SELECT job_id IS NOT NULL FROM acme_orders WHERE order_id = '{order}'"), "t")

    def test_while_caa_is_asked_for_after_an_approval(self):
        acme = self.client("prof-proof-gated")
        url, _ = self.approved_late(acme, "killed-late.test", 9)
        self.names.caa["killed-late.test"], asked, speaks = self.mute_once()
        self.approve(url)
        self.assertTrue(asked.wait(60))
        self.stack.kill("certctl-job-acme-finalize")
        self.stack.kill("certctl-job-job-processor")
        speaks.set()
        self.assertEqual(acme.post(url).json["status"], "processing")
        self.time_passes()
        self.assertEqual(self.settled(acme, url, seconds=60)["status"], "valid")
        self.one_of_all(url)

    def test_the_responder_while_it_leaves_the_order(self):
        """Before and after the commit of issuance_park; the client tries again."""
        acme = self.client()
        ready, url, request = self.stale(acme, "killed-leaving.test")
        order = url.rsplit("/", 1)[1]
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%issuance_park%'"

        def finalize():
            try:
                acme.finalize(ready, request)
            except (OSError, ValueError):
                pass
        thread = threading.Thread(target=finalize)
        with self.stack.holding(f"SELECT 1 FROM acme_orders WHERE order_id = '{order}' FOR UPDATE") as ask:
            thread.start()
            self.stack.wait(lambda: ask(waits) == ["1"], what="the transaction waits in its middle")
            self.stack.kill("certctl-acme")
            ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%issuance_park%'")
        thread.join()
        self.stack.wait(lambda: len(self.stack.pids("certctl-acme")) >= 2, what="workers are back")
        again = self.client(key=acme.key)
        self.assertEqual(again.post(url).json["status"], "ready")
        self.assertEqual(self.stack.value(f"SELECT count(*) FROM managed_certificates WHERE name = 'acme-{order}'"), "0")
        self.names.caa["killed-leaving.test"], asked, speaks = self.mute_once()
        self.assertEqual(again.finalize(ready, request).json["status"], "processing")
        self.assertTrue(asked.wait(60))
        self.stack.kill("certctl-acme")  # the answer was lost, let us say
        self.stack.wait(lambda: len(self.stack.pids("certctl-acme")) >= 2, what="workers are back")
        once_more = self.client(key=acme.key)
        self.assertEqual(once_more.finalize(ready, request).json["status"], "processing")
        speaks.set()
        self.assertEqual(self.settled(once_more, url)["status"], "valid")
        self.one_of_all(url)


class TlsAlpn(ProofTest):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tls = targets.Tls(cls().tls_port)
        cls.addClassCleanup(cls.tls.close)

    def client(self, profile="prof-proof-tls", key=None, register=True):
        return super().client(profile, key, register)

    def order(self, acme, *names):
        order = acme.order(*names)
        self.assertEqual(order.status, 201, order)
        return order, [self.challenge(authz, "tls-alpn-01") for authz in self.authz(acme, order.json)]

    def test_a_name_and_an_address(self):
        acme = self.client()
        order, (name, address) = self.order(acme, "alpn.good.test", "127.0.0.1")
        self.tls.shows["alpn.good.test"] = (targets.alpn_certificate([dns("ALPN.good.test")], self.key_authorization(acme, name)),
                                            ["acme-tls/1"])
        self.tls.shows["1.0.0.127.in-addr.arpa"] = (targets.alpn_certificate(
            [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))], self.key_authorization(acme, address)), ["h2", "acme-tls/1"])
        self.respond(acme, name)
        self.respond(acme, address)
        done = self.settled(acme, order.headers["Location"])
        self.assertEqual(done["status"], "ready", done)
        self.assertIssued(acme, done, ["alpn.good.test", "127.0.0.1"], ["alpn.good.test", "127.0.0.1"])
        self.assertEqual(self.tls.asked.count("1.0.0.127.in-addr.arpa"), 1)

    def test_an_address_by_http(self):
        acme = self.client("prof-proof-all")
        order = acme.order("127.0.0.1")
        authz = self.authz(acme, order.json)[0]
        self.assertEqual((authz["identifier"], [c["type"] for c in authz["challenges"]]),
                         ({"type": "ip", "value": "127.0.0.1"}, ["http-01", "tls-alpn-01"]))
        self.respond(acme, self.offer(acme, authz))
        done = self.settled(acme, order.headers["Location"])
        self.assertEqual(done["status"], "ready", done)
        key = ec.generate_private_key(ec.SECP256R1())
        self.assertProblem(acme.finalize(done, csr(key, ["127.0.0.2"])), 400, "badCSR", "127.0.0.2")
        self.assertProblem(acme.finalize(done, csr(key, ["127.0.0.1", "extra.test"])), 400, "badCSR", "extra.test")
        self.assertIssued(acme, done, ["127.0.0.1"], ["127.0.0.1"])

    def test_what_is_refused(self):
        """Each fails by one thing alone, and is tried once."""
        foreign = ec.generate_private_key(ec.SECP256R1())
        cases = {
            "two-names": (dict(more=[dns("another.test")]), "incorrectResponse", "and no other name"),
            "no-names": (dict(names=[]), "incorrectResponse", "one subjectAltName"),
            "other-name": (dict(names=[dns("another.test")]), "incorrectResponse", "of another name"),
            "wild-name": (dict(names=[dns("*.good.test")]), "incorrectResponse", "of another name"),
            "as-address": (dict(names=[x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), "incorrectResponse", "of another name"),
            "not-critical": (dict(critical=False), "incorrectResponse", "must be critical"),
            "no-extension": (dict(times=0), "incorrectResponse", "one acmeIdentifier"),
            "other-digest": (dict(value=b"\x04\x20" + bytes(32)), "incorrectResponse", "not the digest"),
            "bare-digest": (dict(bare=True), "incorrectResponse", "not the digest"),
            "trailing": (dict(trailing=True), "incorrectResponse", "not the digest"),
            "foreign": (dict(signed_by=foreign), "incorrectResponse", "not signed by itself"),
            "other-alpn": (dict(protocols=["h2"]), "tls", "did not agree on acme-tls/1"),
            "unknown-name": (None, "tls", "handshake"),
        }
        acme = self.client()
        orders = {}
        for label, (how, _, _) in cases.items():
            host = f"{label}.good.test"
            orders[label], (challenge,) = self.order(acme, host)
            if how is not None:
                how = dict(how)
                proof = self.key_authorization(acme, challenge)
                digest = hashlib.sha256(proof.encode()).digest()
                protocols = how.pop("protocols", ["acme-tls/1"])
                names = how.pop("names", [dns(host)]) + how.pop("more", [])
                if how.pop("bare", False):
                    how["value"] = digest
                if how.pop("trailing", False):
                    how["value"] = b"\x04\x20" + digest + b"\0"
                self.tls.shows[host] = (targets.alpn_certificate(names, proof, **how), protocols)
            self.respond(acme, challenge)
        for label, (_, kind, words) in cases.items():
            with self.subTest(label):
                self.assertSubproblem(self.problem(acme, orders[label]), kind, 400 if kind == "tls" else 403, words)
                self.assertEqual(self.tls.asked.count(f"{label}.good.test"), 1)

    def test_hostile_peers(self):
        """Rubbish, silence and addresses that are not contacted."""
        acme = self.client()
        behaviours = {
            "rubbish": lambda c: c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n") or True,
            "hangs-up": lambda c: True,
            "silent": lambda c: threading.Event().wait(60) or True,
        }
        told = {"rubbish": ("tls", "handshake"), "hangs-up": ("tls", "handshake"), "silent": ("connection", "handshake did not come in time")}
        trap = targets.listen("127.0.0.2", self.tls_port)
        self.addCleanup(targets.close, trap)
        trap.settimeout(0)
        self.addCleanup(setattr, self.tls, "behaviour", None)
        for label, behaviour in behaviours.items():
            with self.subTest(label):
                self.tls.behaviour = behaviour
                order, (challenge,) = self.order(acme, f"{label}-peer.good.test")
                self.respond(acme, challenge)
                self.assertSubproblem(self.problem(acme, order), told[label][0], 400, told[label][1])
        self.names.zone["inside-tls.test"] = ["127.0.0.2"]
        order, (challenge,) = self.order(acme, "inside-tls.test")
        self.respond(acme, challenge)
        problem = self.problem(acme, order)
        self.assertSubproblem(problem, "connection", 400, "inside-tls.test resolves to an address this server does not contact")
        self.assertNotIn("127.0.0", problem["detail"])
        with self.assertRaises(BlockingIOError):
            trap.accept()


class Caa(ProofTest):
    """The stack's own names are ca.test and other-ca.test."""

    def client(self, profile="prof-proof-all", key=None, register=True):
        return super().client(profile, key, register)

    def outcome(self, acme, name):
        """Status of the order of this name, proved by dns-01, and its problem."""
        order = acme.order(name)
        self.by_dns(acme, order.json)
        done = self.settled(acme, order.headers["Location"], seconds=120)
        return done["status"], (done.get("error") or {"subproblems": [None]})["subproblems"][0]

    def test_the_table(self):
        acme = self.client()
        kid = acme.kid
        cases = {
            "forbids": ([(0, "issue", ";")], False),
            "empty": ([(0, "issue", "")], False),
            "ours": ([(0, "issue", "ca.test")], True),
            "ours-in-capitals": ([(0, "ISSUE", " CA.Test ")], True),
            "the-other": ([(0, "issue", "else.test"), (0, "issue", "other-ca.test; some=thing")], True),
            "theirs": ([(0, "issue", "else.test")], False),
            "suffix": ([(0, "issue", "not-ca.test")], False),
            "no-issue": ([(0, "iodef", "mailto:a@example.org")], True),
            "wild-alone": ([(0, "issuewild", ";")], True),  # says nothing of plain names
            "this-account": ([(0, "issue", f"ca.test; accounturi={kid}")], True),
            "that-account": ([(0, "issue", f"ca.test; accounturi={kid}x")], False),
            "two-accounts": ([(0, "issue", f"ca.test; accounturi={kid}; accounturi={kid}")], False),
            "this-method": ([(0, "issue", "ca.test; validationmethods=http-01,dns-01")], True),
            "that-method": ([(0, "issue", "ca.test; validationmethods=http-01")], False),
            "malformed": ([(0, "issue", "ca.test; %")], False),
            "critical-unknown": ([(128, "tbs", "x"), (0, "issue", "ca.test")], False),
            "unknown": ([(0, "tbs", "x"), (0, "issue", "ca.test")], True),
            "critical-known": ([(128, "issue", "ca.test")], True),
            "cut-off": ([b"\0\x09issue"], False),
        }
        orders = {}
        for label, (records, _) in cases.items():
            self.names.caa[f"{label}.caa.test"] = records
            orders[label] = acme.order(f"{label}.caa.test")
            self.by_dns(acme, orders[label].json)
        for label, (_, allowed) in cases.items():
            with self.subTest(label):
                done = self.settled(acme, orders[label].headers["Location"], seconds=120)
                self.assertEqual(done["status"], "ready" if allowed else "invalid", done)
                if not allowed:
                    self.assertSubproblem(done["error"]["subproblems"][0], "caa", 403, f"at {label}.caa.test")
                    self.assertProblem(acme.finalize(done, csr(ec.generate_private_key(ec.SECP256R1()), [f"{label}.caa.test"])),
                                       403, "orderNotReady")
        attempts = self.stack.sql("SELECT DISTINCT c.attempts FROM acme_challenges c JOIN acme_authorizations z USING (authz_id) "
                                  "WHERE z.identifier->>'value' LIKE '%.caa.test'")
        self.assertEqual(attempts, [["1"]])  # a refusal is final

    def test_wildcards(self):
        acme = self.client()
        self.names.caa.update({"w1.test": [(0, "issue", "ca.test"), (0, "issuewild", ";")], "w2.test": [(0, "issue", ";"), (0, "issuewild", "ca.test")],
                               "w3.test": [(0, "issue", ";")]})
        for name, status in (("w1.test", "ready"), ("*.w1.test", "invalid"), ("w2.test", "invalid"), ("*.w2.test", "ready"),
                             ("*.w3.test", "invalid")):
            with self.subTest(name):
                self.assertEqual(self.outcome(acme, name)[0], status)

    def test_the_tree_is_climbed(self):
        acme = self.client()
        self.names.caa["climb.test"] = [(0, "issue", ";")]
        self.names.caa["near.climb.test"] = [(0, "issue", "ca.test")]
        status, problem = self.outcome(acme, "a.b.climb.test")
        self.assertEqual(status, "invalid")
        self.assertSubproblem(problem, "caa", 403, "at climb.test do not")
        self.assertEqual(self.outcome(acme, "a.near.climb.test")[0], "ready")
        # Of an alias its target's records count, and not those above the target.
        self.names.aliases.update({"points.climbing.test": "deep.climb.test", "points-near.test": "near.climb.test"})
        self.names.txt["_acme-challenge.points.climbing.test"] = []
        self.assertEqual(self.outcome(acme, "points.climbing.test")[0], "ready")
        self.assertEqual(self.outcome(acme, "points-near.test")[0], "ready")

    def test_servers_that_fail_forbid(self):
        acme = self.client()
        self.names.caa["broken-caa.test"] = targets.SERVFAIL
        status, problem = self.outcome(acme, "a.broken-caa.test")
        self.assertEqual(status, "invalid")
        self.assertSubproblem(problem, "dns", 400, "SERVFAIL for broken-caa.test CAA")

    def test_each_name_is_looked_at(self):
        """Let's Encrypt, 2020-02-29: of N names one was checked N times. Every place of the refused one."""
        for place in range(3):
            acme = self.client()
            names = [f"n{place}-{i}.each.test" for i in range(3)]
            self.names.caa[names[place]] = [(0, "issue", ";")]
            order = acme.order(*names)
            challenges = [self.publish(acme, authz) for authz in self.authz(acme, order.json)]
            challenges.append(challenges.pop(place))  # last, since the order ends with it
            for challenge in challenges:
                self.respond(acme, challenge)
            problem = self.problem(acme, order)
            self.assertEqual(problem["identifier"]["value"], names[place])
            asked = {name for name, kind in self.names.asked if kind == targets.CAA}
            self.assertLessEqual(set(names), asked)

    def test_it_counts_for_http_and_not_for_addresses_and_may_be_off(self):
        acme = self.client()
        self.names.caa["web.good.test"] = [(0, "issue", ";")]
        order = acme.order("web.good.test", "127.0.0.1")
        for authz in self.authz(acme, order.json):
            self.respond(acme, self.offer(acme, authz))
        problem = self.problem(acme, order)
        self.assertEqual(problem["identifier"]["value"], "web.good.test")
        self.assertSubproblem(problem, "caa", 403, "at web.good.test")
        heedless = self.client("prof-proof-heedless")
        order = heedless.order("web.good.test")
        self.respond(heedless, self.offer(heedless, self.authz(heedless, order.json)[0]))
        self.assertEqual(self.settled(heedless, order.headers["Location"])["status"], "ready")

    def test_at_finalize_it_must_be_fresh(self):
        """Let's Encrypt, 2015-12-07: CAA is decided at finalize too. After 8 hours it is looked at again, by a job."""
        acme = self.client()
        names = ("old.fresh.test", "new.fresh.test")
        ready, url, request = self.stale(acme, *names)
        before = len(self.names.asked)
        answer = acme.finalize(ready, request)
        self.assertEqual((answer.status, answer.json["status"], answer.headers["Retry-After"], answer.headers["Location"]),
                         (200, "processing", "2", url), answer)
        done = self.settled(acme, url)
        self.assertEqual(done["status"], "valid", done)
        asked = {name for name, kind in self.names.asked[before:] if kind == targets.CAA}
        self.assertEqual(asked & set(names), {names[0]})  # the other is fresh
        good, said = verify_strictly(self.stack, acme.post(done["certificate"]).body.decode())
        self.assertTrue(good, said)
        same = acme.finalize(done, request)
        self.assertEqual((same.status, same.json), (200, done))
        rows = "SELECT count(*) FROM certificate_versions v JOIN managed_certificates m ON m.id = v.certificate_id WHERE m.name = 'acme-{}'"
        self.assertEqual(self.of_order(done, rows), "1")
        self.assertEqual(self.of_order(done, "SELECT o.csr_pem = j.csr_pem AND j.status = 'Completed' AND o.caa_checked_at IS NOT NULL "
                                       "FROM acme_orders o JOIN jobs j ON j.id = o.job_id WHERE o.order_id = '{}'"), "t")
        self.assertEqual(self.of_order(done, "SELECT count(*) FROM audit_events WHERE action = 'acme_order_finalized' AND resource_id = '{}'"), "1")

    def test_the_job_issues_what_the_order_selected(self):
        acme = self.client("prof-proof-choice")
        ready, url, request = self.stale(acme, "days.fresh.test", profile="prof-proof-days")
        self.assertEqual(acme.finalize(ready, request).json["status"], "processing")
        done = self.settled(acme, url, seconds=60)
        self.assertEqual((done["status"], done["profile"]), ("valid", "prof-proof-days"), done)
        leaf = x509.load_pem_x509_certificate(acme.post(done["certificate"]).body)
        self.assertLessEqual((leaf.not_valid_after - leaf.not_valid_before).total_seconds(), 432000 + 3600)
        self.assertEqual(self.of_order(done, "SELECT m.certificate_profile_id FROM managed_certificates m WHERE m.name = 'acme-{}'"), "prof-proof-days")

    def test_an_approval_that_comes_late(self):
        """It may take a week: what was looked at more than 8 hours ago is looked at before the job goes on, and may end it."""
        acme = self.client("prof-proof-gated")
        names = {"late.fresh.test": 9, "gone-late.fresh.test": 9, "soon.fresh.test": 7}
        urls, asked = {}, len(self.names.asked)
        for name, hours in names.items():
            urls[name], asked = self.approved_late(acme, name, hours)
        self.names.caa["gone-late.fresh.test"] = [(0, "issue", ";")]
        self.addCleanup(self.names.caa.pop, "gone-late.fresh.test")
        self.approve(*urls.values())
        done = {name: self.settled(acme, url, seconds=90) for name, url in urls.items()}
        self.assertEqual([done[name]["status"] for name in names], ["valid", "invalid", "valid"], done)
        self.assertEqual({name for name, kind in self.names.asked[asked:] if kind == targets.CAA} & set(names), {"late.fresh.test", "gone-late.fresh.test"})
        gone = done["gone-late.fresh.test"]
        self.assertEqual((gone["error"]["type"], gone["error"]["status"]), (PREFIX + "caa", 403), gone)
        rows = ("SELECT j.status, j.completed_at IS NOT NULL, m.status, (SELECT count(*) FROM certificate_versions v WHERE v.certificate_id = m.id), "
                "o.caa_due, (SELECT count(*) FROM audit_events e WHERE e.resource_id = o.order_id AND e.action IN ('acme_order_finalized', 'acme_order_failed')) "
                "FROM acme_orders o JOIN jobs j ON j.id = o.job_id JOIN managed_certificates m ON m.id = j.certificate_id WHERE o.order_id = '{}'")
        for name, wanted in zip(names, (["Completed", "t", "Active", "1", "f", "1"], ["Cancelled", "t", "Failed", "0", "f", "1"],
                                        ["Completed", "t", "Active", "1", "f", "1"])):
            self.assertEqual(self.stack.sql(rows.format(urls[name].rsplit("/", 1)[1])), [wanted], name)
        # Whoever took the job up a second time tried it once.
        self.assertEqual(self.of_order(done["late.fresh.test"], "SELECT j.attempts FROM jobs j JOIN acme_orders o ON o.job_id = j.id "
                                       "WHERE o.order_id = '{}'"), "1")

    def test_a_name_that_is_forbidden_meanwhile(self):
        acme = self.client()
        names = ("gone.fresh.test", "stays.fresh.test")
        ready, url, request = self.stale(acme, *names)
        self.names.caa[names[0]] = [(0, "issue", ";")]
        self.addCleanup(self.names.caa.pop, names[0])
        self.assertEqual(acme.finalize(ready, request).json["status"], "processing")
        done = self.settled(acme, url)
        self.assertEqual((done["status"], done["error"]["type"], done["error"]["status"]), ("invalid", PREFIX + "caa", 403), done)
        self.assertIn("at gone.fresh.test", done["error"]["detail"])
        self.assertEqual([s["identifier"] for s in done["error"]["subproblems"]], [{"type": "dns", "value": names[0]}])
        self.assertProblem(acme.finalize(done, request), 403, "orderNotReady", "invalid")
        self.assertEqual(self.of_order(done, "SELECT m.status FROM managed_certificates m WHERE m.name = 'acme-{}'"), "Failed")
        self.assertEqual(self.of_order(done, "SELECT count(*) FROM audit_events WHERE action = 'acme_order_failed' AND resource_id = '{}'"), "1")
        self.assertEqual(self.of_order(done, "SELECT job_id IS NULL FROM acme_orders WHERE order_id = '{}'"), "t")
        again = acme.order(*names)  # the name is proved and asked for anew
        self.assertEqual((again.status, again.json["status"]), (201, "pending"))

    def test_servers_that_fail_for_a_while_and_for_good(self):
        acme = self.client()
        fails = {}

        def once(name):
            fails[name] = fails.get(name, 0) + 1
            return targets.SERVFAIL if fails[name] == 1 else []
        for name, caa, status in (("once.fresh.test", once, "valid"), ("never.fresh.test", targets.SERVFAIL, "invalid")):
            ready, url, request = self.stale(acme, name)
            self.names.caa[name] = caa
            self.assertEqual(acme.finalize(ready, request).json["status"], "processing")
            done = self.settled(acme, url)
            self.assertEqual(done["status"], status, done)
        self.assertEqual((done["error"]["type"], done["error"]["status"]), (PREFIX + "dns", 400), done)
        self.assertEqual(self.of_order(done, "SELECT finalize_attempts FROM acme_orders WHERE order_id = '{}'"), "2")

    def test_an_approval_comes_after_it(self):
        acme = self.client("prof-proof-gated")
        ready, url, request = self.stale(acme, "asked.fresh.test")
        self.assertEqual(acme.finalize(ready, request).headers["Retry-After"], "2")
        waits = ("SELECT a.id FROM issuance_approval_requests a JOIN acme_orders o ON o.job_id = a.job_id "
                 "WHERE o.order_id = '{}' AND a.state = 'pending'")
        self.stack.wait(lambda: self.of_order(ready, waits), 60, what="an approval is asked for")
        self.assertEqual((acme.post(url).json["status"], acme.post(url).headers["Retry-After"]), ("processing", "60"))
        row = self.stack.sql("SELECT a.requested_by, a.metadata->>'common_name' FROM issuance_approval_requests a JOIN acme_orders o ON o.job_id = a.job_id "
                             f"WHERE o.order_id = '{url.rsplit('/', 1)[1]}'")
        self.assertEqual(row, [["acme:" + acme.kid.rsplit("/", 1)[1], "asked.fresh.test"]])


class RealClients(ClientTest):
    """Clients of Debian prove by DNS, through hooks that write where our DNS server reads, and by TLS."""

    seconds = 60
    long = True

    profile = "prof-proof-every"  # they pass by types that they do not know, one of which has no token

    @classmethod
    def setUpClass(cls):
        cls.stack, cls.names, _ = shared()
        cls.tls_port = shared_tls_port()

    def setUp(self):
        super().setUp()
        self.names.folder = f"{self.home}/dns"
        os.mkdir(self.names.folder)
        self.addCleanup(setattr, self.names, "folder", None)

    def script(self, text):
        path = f"{self.home}/hook"
        with open(path, "w", encoding="utf-8") as out:
            out.write("#!/bin/sh\n" + text)
        os.chmod(path, 0o755)
        return path

    def lego(self, how, names, *ours):
        hook = self.script(f'[ "$1" = present ] && echo "$3" >>"{self.names.folder}/${{2%.}}"\nexit 0\n')
        if how == "dns":
            ours = (*ours, "--dns.resolvers", f"127.0.0.1:{self.names.port}")
        self.typed("lego", how, names, ours, [("/etc/lego-publish", hook), ("/etc/lego", f"{self.home}/lego")])
        return f"{self.home}/lego/certificates/{names[0]}.crt"

    def test_lego_by_dns(self):
        names = ("lego-dns.test", "*.lego-dns.test")
        self.assertChain(self.lego("dns", names), *names)
        self.assertProvedBy("dns-01", *names)

    def test_lego_by_tls(self):
        names = ("lego-tls-1.good.test", "lego-tls-2.good.test")
        self.assertChain(self.lego("tls", names, "--tls.port", f"127.0.0.1:{self.tls_port}"), *names)
        self.assertProvedBy("tls-alpn-01", *names)

    def test_lego_with_rsa4096(self):
        """Both the account's key and the certificate's."""
        names = ("lego-rsa4096.test", "lego-rsa4096-2.test")
        path = self.lego("dns", names, "--key-type", "rsa4096")
        self.assertChain(path, *names)
        self.assertEqual(self.account_key(path), "RSA-4096")
        with open(path, "rb") as source:
            self.assertEqual(x509.load_pem_x509_certificate(source.read()).public_key().key_size, 4096)

    def test_uacme_by_dns(self):
        names = ("uacme-dns.test", "*.uacme-dns.test")
        hook = self.script(f'[ "$2" = dns-01 ] || exit 1\n[ "$1" = begin ] || exit 0\necho "$5" >>"{self.names.folder}/_acme-challenge.$3"\n')
        self.uacme(hook, "new", "a@example.org")
        self.uacme(hook, "issue", *names)
        self.assertChain(f"{self.home}/uacme/{names[0]}/cert.pem", *names)
        self.assertProvedBy("dns-01", *names)

    def test_lego_takes_an_address_for_a_name(self):
        """lego 4.9 sends it with type dns; what it is told says so. Addresses by a client that knows them: TlsAlpn."""
        with self.assertRaises(AssertionError) as failed:
            self.lego("http", ("127.0.0.1", "lego-address.good.test"), "--http.port", f"127.0.0.1:{shared()[2]}")
        self.assertIn("urn:ietf:params:acme:error:rejectedIdentifier", str(failed.exception))

    def test_certbot_by_dns(self):
        names = ("certbot-dns.test", "*.certbot-dns.test")
        hook = self.script(f'echo "$CERTBOT_VALIDATION" >>"{self.names.folder}/_acme-challenge.$CERTBOT_DOMAIN"\n')
        self.typed("certbot", "dns", names, ("--config-dir", f"{self.home}/config", "--work-dir", f"{self.home}/work", "--logs-dir",
                                             f"{self.home}/logs", "--non-interactive"), [("/etc/letsencrypt/publish-txt", hook)])
        self.assertChain(f"{self.home}/config/live/{names[0]}/fullchain.pem", *names)
        self.assertProvedBy("dns-01", *names)

    def dehydrated(self, *arguments, config=""):
        with open(f"{self.home}/config", "w", encoding="utf-8") as out:
            out.write(f'CA="{self.directory()}"\nBASEDIR="{self.home}"\nCURL_OPTS="--cacert {self.stack.root_pem}"\n'
                      f'CONTACT_EMAIL=a@example.org\n{config}')
        self.run_client("dehydrated", "-f", f"{self.home}/config", "--register", "--accept-terms")
        self.run_client("dehydrated", "-f", f"{self.home}/config", "-c", *arguments)

    def test_dehydrated_by_dns(self):
        names = ("dehydrated-dns.test", "*.dehydrated-dns.test")
        hook = self.script(f'[ "$1" = deploy_challenge ] && echo "$4" >>"{self.names.folder}/_acme-challenge.$2"\nexit 0\n')
        self.dehydrated("-t", "dns-01", "-k", hook, "-d", " ".join(names))
        self.assertChain(os.path.realpath(f"{self.home}/certs/{names[0]}/fullchain.pem"), *names)
        self.assertProvedBy("dns-01", *names)

    def test_dehydrated_by_tls(self):
        names = ("dehydrated-tls-1.good.test", "dehydrated-tls-2.good.test")
        tls = targets.Tls(self.tls_port)
        self.addCleanup(tls.close)
        tls.folder = f"{self.home}/alpn-certs"
        os.mkdir(tls.folder)
        self.dehydrated("-t", "tls-alpn-01", "-d", " ".join(names), config=f'ALPNCERTDIR="{tls.folder}"\n')
        self.assertChain(os.path.realpath(f"{self.home}/certs/{names[0]}/fullchain.pem"), *names)
        self.assertProvedBy("tls-alpn-01", *names)


del ProofTest, ChallengeTest, ClientTest
