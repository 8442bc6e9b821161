"""Challenge mode with http-01: our client and those of Debian against targets good and hostile."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from cryptography.hazmat.primitives.asymmetric import ec

import targets
from acme_client import Client, csr
from challenge_case import ChallengeTest, shared
from stack import Stack
from test_clients import Clients
from test_issuance import verify_strictly


class Success(ChallengeTest):

    def test_two_names(self):
        acme = self.client()
        names = ("a.good.test", "b.good.test")
        order = acme.order(*names)
        url = order.headers["Location"]
        self.assertEqual((order.status, order.json["status"]), (201, "pending"), order)
        self.assertProblem(acme.finalize(order.json, csr(ec.generate_private_key(ec.SECP256R1()), names)), 403, "orderNotReady")
        for authz in self.authz(acme, order.json):
            self.assertEqual(authz["status"], "pending")
            self.assertEqual([c["type"] for c in authz["challenges"]], ["http-01"])
            self.assertEqual(authz["challenges"][0]["status"], "pending")
        for authz_url in order.json["authorizations"]:
            challenge = self.offer(acme, acme.post(authz_url).json)
            self.assertEqual(acme.post(challenge["url"]).json["status"], "pending")  # a read changes nothing
            answer = acme.post(challenge["url"], {})
            self.assertEqual((answer.status, answer.json["status"], answer.headers["Retry-After"]), (200, "processing", "2"), answer)
            self.assertIn(f'<{authz_url}>;rel="up"', answer.links)
        done = self.settled(acme, url)
        self.assertEqual(done["status"], "ready", done)
        self.assertNotIn("error", done)
        for authz in self.authz(acme, done):
            self.assertEqual((authz["status"], len(authz["challenges"])), ("valid", 1), authz)
            self.assertEqual(authz["challenges"][0]["status"], "valid")
            self.assertIn("validated", authz["challenges"][0])
        finished = acme.finalize(done, csr(ec.generate_private_key(ec.SECP256R1()), names))
        self.assertEqual(finished.json["status"], "valid", finished)
        chain = acme.post(finished.json["certificate"]).body.decode()
        self.assertTrue(verify_strictly(self.stack, chain)[0])
        rows = self.stack.sql("SELECT action, actor, details->>'valid', jsonb_array_length(details->'challenges') FROM audit_events "
                              f"WHERE resource_id = '{url.rsplit('/', 1)[1]}' ORDER BY seq")
        self.assertEqual([row[0] for row in rows],
                         ["acme_order_created", "acme_challenge_completed", "acme_order_finalized"])
        self.assertEqual(rows[1][1:], [f"acme:{acme.kid.rsplit('/', 1)[1]}", "true", "2"])

    def test_the_request_as_it_arrives(self):
        acme = self.client()
        self.ready(acme, "head.good.test")
        lines = self.web.heads["head.good.test"].split("\r\n")
        self.assertRegex(lines[0], r"^GET /\.well-known/acme-challenge/[A-Za-z0-9_-]{43} HTTP/1\.1$")
        self.assertIn("Accept: */*", lines)
        self.assertIn("Connection: close", lines)
        self.assertTrue(any(line.startswith("User-Agent: certctl-acme/") for line in lines), lines)
        self.assertFalse(any(line.lower().startswith(("cookie:", "accept-encoding:", "authorization:")) for line in lines), lines)
        self.assertEqual(self.web.hits["head.good.test"], 1)

    def test_an_address(self):
        acme = self.client()
        done = self.ready(acme, "127.0.0.1")
        self.assertEqual(acme.finalize(done, csr(ec.generate_private_key(ec.SECP256R1()), ["127.0.0.1"])).json["status"], "valid")

    def test_redirects_within_the_rules(self):
        acme = self.client()
        self.web.behaviours["r0.good.test"] = targets.redirect(lambda path: f"http://r1.good.test:{self.port}{path}", 301)
        self.web.behaviours["r1.good.test"] = targets.redirect(lambda path: f"//r2.good.test:{self.port}/elsewhere/{path}", 307)
        self.ready(acme, "r0.good.test")
        self.assertEqual(self.web.hits["r2.good.test"], 1)
        # Ten redirects, the most that are followed.
        for i in range(10):
            self.web.behaviours[f"ten-{i}.good.test"] = targets.redirect(
                lambda path, i=i: f"http://ten-{i + 1}.good.test:{self.port}{path}", (301, 302, 303, 307, 308)[i % 5])
        self.ready(acme, "ten-0.good.test")

    def test_ipv6_first_and_one_fallback(self):
        self.names.zone["dual.test"] = ["2001:db8::1", "127.0.0.1"]  # documentation: nobody answers there
        acme = self.client()
        self.ready(acme, "dual.test")
        self.assertEqual(self.web.hits["dual.test"], 1)

    def test_a_proof_serves_the_next_order_too(self):
        acme = self.client()
        self.ready(acme, "again.good.test")
        hits = self.web.hits["again.good.test"]
        self.stack.sql("UPDATE acme_authorizations SET expires_at = date_trunc('second', now()) + interval '2 hours' "
                       f"WHERE account_id = '{acme.kid.rsplit('/', 1)[1]}'")
        order = acme.order("again.good.test", "127.0.0.1")
        self.assertEqual(order.json["status"], "pending")
        ends = [acme.post(url).json["expires"] for url in order.json["authorizations"]]
        self.assertEqual(order.json["expires"], min(ends))  # nothing is issued by a proof that is over
        self.assertNotEqual(*ends)
        self.assertEqual(sorted(a["status"] for a in self.authz(acme, order.json)), ["pending", "valid"])
        self.answer_all(acme, order.json)
        self.assertEqual(self.settled(acme, order.headers["Location"])["status"], "ready")
        self.assertEqual(self.web.hits["again.good.test"], hits)

    def test_a_ready_order_ends_with_the_first_of_its_authorizations(self):
        acme = self.client()
        order = acme.order("first.good.test", "last.good.test")
        self.stack.sql("UPDATE acme_orders SET expires_at = now() + interval '9 days' "
                       f"WHERE order_id = '{order.headers['Location'].rsplit('/', 1)[1]}'")
        self.answer_all(acme, order.json)
        done = self.settled(acme, order.headers["Location"])
        self.assertEqual(done["expires"], min(authz["expires"] for authz in self.authz(acme, done)))

    def test_what_fails_once_is_tried_again(self):
        acme = self.client()

        looked = threading.Event()

        def then_waits(connection, path):
            looked.wait(10)
            self.web.prove(connection, path)

        def first_fails(connection, path):
            self.web.behaviours["once.good.test"] = then_waits
            targets.reply(connection, 503)

        self.web.behaviours["once.good.test"] = first_fails
        order = acme.order("once.good.test")
        self.answer_all(acme, order.json)
        seen = []

        def told():
            seen[:] = [acme.post(order.json["authorizations"][0])]
            return "error" in seen[0].json["challenges"][0]

        Stack.wait(told, what="the first failure shows")
        challenge = seen[0].json["challenges"][0]
        self.assertEqual((seen[0].json["status"], challenge["status"], seen[0].headers["Retry-After"]), ("pending", "processing", "2"))
        self.assertEqual(challenge["error"]["type"], "urn:ietf:params:acme:error:incorrectResponse")
        self.assertIn("status 503", challenge["error"]["detail"])
        self.assertEqual(acme.post(order.headers["Location"]).headers["Retry-After"], "2")
        looked.set()
        self.assertEqual(self.settled(acme, order.headers["Location"])["status"], "ready")
        self.assertNotIn("error", self.authz(acme, order.json)[0]["challenges"][0])


class Rules(ChallengeTest):

    def test_answering(self):
        acme, other = self.client(), self.client()
        order = acme.order("rules.good.test")
        challenge = self.authz(acme, order.json)[0]["challenges"][0]
        self.assertProblem(other.post(challenge["url"], {}), 401, "unauthorized", "does not own")
        self.assertProblem(acme.post(challenge["url"].replace("http-01", "dns-01"), {}), 404, "malformed")
        self.assertProblem(acme.post(challenge["url"].replace("http-01", "tls-alpn-01"), {}), 404, "malformed")
        self.assertProblem(acme.post(challenge["url"].replace("http-01", "rubbish"), {}), 404, "malformed")
        self.assertProblem(acme.post(acme.prefix + "/challenge/acme-chall-0000000000000000000000000y.http-01", {}), 404, "malformed")
        self.assertEqual(self.stack.value("SELECT count(*) FROM acme_challenges WHERE challenge_id LIKE "
                                          f"'{challenge['url'].rsplit('/', 1)[1].rsplit('.', 1)[0]}%'"), "0")
        self.offer(acme, self.authz(acme, order.json)[0])
        self.assertEqual(acme.post(challenge["url"], {"keyAuthorization": "old"}).json["status"], "processing")
        self.settled(acme, order.headers["Location"])
        again = acme.post(challenge["url"], {})  # idempotent
        self.assertEqual((again.status, again.json["status"]), (200, "valid"))
        self.assertEqual(self.web.hits["rules.good.test"], 1)

    def test_a_type_that_was_answered_stays_though_it_is_not_offered(self):
        self.stack.sql("""
            INSERT INTO certificate_profiles (id, name, issuer_id, acme_auth_mode) VALUES ('prof-turned', 'Turned', 'iss-local', 'challenge');
            INSERT INTO acme_profile_settings (profile_id, settings) VALUES ('prof-turned', '{"challenge_types":["http-01","dns-01"]}')""")
        acme = self.client("prof-turned")
        proved = self.ready(acme, "turned-1.good.test")
        other = acme.order("turned-2.good.test").json
        old = self.authz(acme, other)[0]["challenges"][0]["url"]
        self.stack.sql("""UPDATE acme_profile_settings SET settings = '{"challenge_types":["dns-01"]}' WHERE profile_id = 'prof-turned'""")
        self.stack.kill("certctl-acme")  # who remembers the profile
        self.stack.wait(lambda: len(self.stack.pids("certctl-acme")) >= 2, what="workers are back")
        valid = self.authz(acme, proved)[0]
        self.assertEqual([(c["type"], c["status"]) for c in valid["challenges"]], [("http-01", "valid")])
        self.assertEqual(acme.post(valid["challenges"][0]["url"], {}).json["status"], "valid")
        self.assertEqual([c["type"] for c in self.authz(acme, other)[0]["challenges"]], ["dns-01"])
        for payload in (None, {}):
            self.assertProblem(acme.post(old, payload), 404, "malformed", "no such challenge")

        # Another that was answered is not listed beside the one that proved, and can be read.
        self.stack.sql(f"""
            INSERT INTO acme_challenges (challenge_id, authz_id, account_id, type, status)
            SELECT replace(z.authz_id, 'authz', 'chall') || '.dns-01', z.authz_id, z.account_id, 'dns-01', 'invalid'
              FROM acme_authorizations z WHERE z.authz_id = '{proved["authorizations"][0].rsplit("/", 1)[1]}'""")
        self.assertEqual(len(self.authz(acme, proved)[0]["challenges"]), 1)
        failed = acme.post(valid["challenges"][0]["url"].replace("http-01", "dns-01"))
        self.assertEqual((failed.status, failed.json["status"]), (200, "invalid"), failed)

    def test_many_answers_at_once_make_one_attempt(self):
        acme = self.client()
        order = acme.order("many.good.test")
        challenge = self.offer(acme, self.authz(acme, order.json)[0])
        bodies = [acme.jws(challenge["url"], {}, nonce=acme.raw("HEAD", acme.prefix + "/new-nonce").headers["Replay-Nonce"])
                  for _ in range(8)]
        answers = []
        threads = [threading.Thread(target=lambda b=b: answers.append(
            acme.post_body(challenge["url"][len(acme.base):], b))) for b in bodies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([a.status for a in answers], [200] * 8)
        self.assertEqual(self.settled(acme, order.headers["Location"])["status"], "ready")
        self.assertEqual(self.web.hits["many.good.test"], 1)

    def test_wildcards_and_addresses(self):
        acme = self.client()
        answer = acme.order("*.good.test")
        self.assertProblem(answer, 400, "rejectedIdentifier")
        self.assertEqual(answer.json["subproblems"][0]["detail"], "no challenge can validate a wildcard here")
        for address in ("127.0.0.2", "::1", "169.254.169.254", "10.1.2.3", "64:ff9b::7f00:2"):
            answer = acme.order("fine.good.test", address)
            self.assertProblem(answer, 400, "rejectedIdentifier")
            self.assertEqual([p["identifier"]["value"] for p in answer.json["subproblems"]], [address])
            self.assertIn("does not contact", answer.json["subproblems"][0]["detail"])
        answer = self.client("prof-proof-dns").order("a.good.test", "127.0.0.1")  # DNS proves no address
        self.assertProblem(answer, 400, "rejectedIdentifier")
        self.assertEqual([p["detail"] for p in answer.json["subproblems"]], ["no challenge can validate this identifier here"])

    def test_one_of_three_fails(self):
        acme = self.client()
        order = acme.order("fine-1.good.test", "wrong.good.test", "fine-2.good.test")
        self.web.behaviours["wrong.good.test"] = lambda connection, path: targets.reply(connection, 200, "something \x01 else")
        self.answer_all(acme, order.json)
        done = self.settled(acme, order.headers["Location"])
        self.assertEqual(done["status"], "invalid")
        self.assertEqual((done["error"]["type"], done["error"]["status"], done["error"]["detail"]),
                         ("urn:ietf:params:acme:error:incorrectResponse", 403, "one or more authorizations failed"))
        self.assertEqual(len(done["error"]["subproblems"]), 1)
        sub = done["error"]["subproblems"][0]
        self.assertEqual(sub["identifier"], {"type": "dns", "value": "wrong.good.test"})
        self.assertEqual(sub["type"], "urn:ietf:params:acme:error:incorrectResponse")
        self.assertIn('"something ? else"', sub["detail"])
        self.assertEqual(self.web.hits["wrong.good.test"], 1)  # a wrong body is final
        wrong = self.authz(acme, done)[1]
        self.assertEqual((wrong["status"], wrong["challenges"][0]["status"]), ("invalid", "invalid"))
        self.assertIn("error", wrong["challenges"][0])
        again = acme.post(wrong["challenges"][0]["url"], {})
        self.assertEqual((again.status, again.json["status"]), (200, "invalid"))
        self.assertProblem(acme.post(done["authorizations"][1], {"status": "deactivated"}), 400, "malformed", "over")
        self.assertProblem(acme.finalize(done, csr(ec.generate_private_key(ec.SECP256R1()), ["fine-1.good.test"])), 403, "orderNotReady")
        rows = self.stack.sql("SELECT details->>'valid' FROM audit_events WHERE action = 'acme_challenge_completed' "
                              f"AND resource_id = '{order.headers['Location'].rsplit('/', 1)[1]}'")
        self.assertEqual(rows, [["false"]])

    def test_deactivation(self):
        acme, other = self.client(), self.client()
        order = acme.order("gone-1.good.test", "gone-2.good.test")
        first = order.json["authorizations"][0]
        self.assertProblem(other.post(first, {"status": "deactivated"}), 401, "unauthorized")
        self.assertProblem(acme.post(first, {"status": "valid"}), 400, "malformed")
        self.assertProblem(acme.post(first, {"status": "deactivated", "more": 1}), 400, "malformed")
        answer = acme.post(first, {"status": "deactivated"})
        self.assertEqual((answer.status, answer.json["status"]), (200, "deactivated"), answer)
        self.assertEqual(acme.post(first, {"status": "deactivated"}).json["status"], "deactivated")
        self.assertEqual(acme.post(order.headers["Location"]).json["status"], "invalid")
        challenge = self.authz(acme, order.json)[0]["challenges"][0]
        self.assertProblem(acme.post(challenge["url"], {}), 400, "malformed", "challenge is no longer in pending state")
        second = self.authz(acme, order.json)[1]["challenges"][0]  # its order is dead
        self.assertProblem(acme.post(second["url"], {}), 400, "malformed", "challenge is no longer in pending state")
        self.assertEqual(self.stack.value("SELECT count(*) FROM audit_events WHERE action = 'acme_authz_deactivated' "
                                          f"AND resource_id = '{first.rsplit('/', 1)[1]}'"), "1")
        # A valid one too: it serves no further order.
        self.ready(acme, "gone-3.good.test")
        url = acme.order("gone-3.good.test").json["authorizations"][0]
        self.assertEqual(acme.post(url, {"status": "deactivated"}).json["status"], "deactivated")
        self.assertEqual(acme.order("gone-3.good.test").json["status"], "pending")


class Hostile(ChallengeTest):
    """Each gets the problem that fits, costs one slot for a while, and delays nobody else."""

    seconds = 90  # so that it begins first

    def cases(self):
        """host: (DNS, behaviour, problem, words)."""
        port, here = self.port, ["127.0.0.1"]

        def rebinding():
            answers = iter((["127.0.0.1"], ["127.0.0.2"]))
            return lambda kind: next(answers, ["127.0.0.2"]) if kind == targets.A else []

        def to(location):
            return targets.redirect(location)

        guarded = "resolves to an address this server does not contact"
        told = "is an address this server does not contact"  # the target named it, so it may be named to it
        return {
            "silent.test": (here, targets.never_answers, "connection", "headers did not come in time"),
            "slow-headers.test": (here, targets.drips_headers, "connection", "headers did not come in time"),
            "slow-body.test": (here, targets.drips_body, "connection", "did not come in time"),
            "endless-headers.test": (here, targets.endless_headers, "incorrectResponse", "headers are larger"),
            "huge.test": (here, targets.sends_a_gigabyte(self.web.sent, "huge.test"), "incorrectResponse", "larger than 16384 bytes"),
            "one-too-many.test": (here, lambda c, p: targets.reply(c, 200, "a" * 16385), "incorrectResponse", "larger than 16384"),
            "just-fits.test": (here, lambda c, p: targets.reply(c, 200, "a" * 16384), "incorrectResponse", "not the key authorization"),
            "no-http.test": (here, lambda c, p: c.sendall(b"SSH-2.0-x\r\n\r\n"), "incorrectResponse", "no HTTP"),
            "resets.test": (here, lambda c, p: c.close(), "connection", "broke"),
            "missing.test": (here, lambda c, p: targets.reply(c, 404), "incorrectResponse", "status 404"),
            "loop.test": (here, to(lambda p: f"http://loop.test:{port}{p}"), "incorrectResponse", "redirect loop"),
            "eleven.test": (here, to(lambda p: f"/{len(p)}{p}"), "incorrectResponse", "more than 10 redirects"),
            "port.test": (here, to(lambda p: f"http://port.test:8080{p}"), "incorrectResponse", "port 8080"),
            "file.test": (here, to("file:///etc/passwd"), "incorrectResponse", "scheme"),
            "gopher.test": (here, to("gopher://gopher.test:80/x"), "incorrectResponse", "scheme"),
            "user.test": (here, to(lambda p: f"http://u:p@user.test:{port}{p}"), "incorrectResponse", "user name"),
            "slash.test": (here, to(lambda p: f"http://slash.test.well-known{p}"), "incorrectResponse", "slash is missing"),
            "to-guarded.test": (here, to(lambda p: f"http://127.0.0.2:{port}{p}"), "connection", told),
            "to-short-form.test": (here, to(lambda p: f"http://127.2:{port}{p}"), "connection", told),
            "to-v6.test": (here, to(lambda p: f"http://[::1]:{port}{p}"), "connection", told),
            "to-guarded-name.test": (here, to(lambda p: f"http://guarded.test:{port}{p}"), "connection", guarded),
            "tls.test": (here, to(lambda p: f"https://tls.test:{port}{p}"), "tls", "handshake"),
            "guarded.test": (["127.0.0.2"], None, "connection", guarded),
            "mixed.test": (["127.0.0.1", "127.0.0.2"], None, "connection", guarded),
            "private.test": (["10.1.2.3"], None, "connection", guarded),
            "metadata.test": (["169.254.169.254"], None, "connection", guarded),
            "to-metadata.test": (here, to("http://169.254.169.254/latest"), "connection", told),
            "v6-loopback.test": (["::1"], None, "connection", guarded),
            "mapped.test": (["::ffff:127.0.0.2"], None, "connection", guarded),
            "nat64.test": (["64:ff9b::7f00:2"], None, "connection", guarded),
            "half-hidden.test": (["127.0.0.1", "64:ff9b::7f00:2"], None, "connection", guarded),
            "localhost": (["127.0.0.1"], None, "connection", guarded),  # the resolver's own answer holds ::1 too
            "rebinding.test": (rebinding(), to(lambda p: f"http://rebinding.test:{port}/second{p}"), "connection", guarded),
            "nothing.test": (targets.NXDOMAIN, None, "dns", "NXDOMAIN"),
            "empty.test": ([], None, "dns", "no A record"),
            "broken.test": (targets.SERVFAIL, None, "dns", "SERVFAIL"),
            "mute.test": (None, None, "dns", "mute.test"),
        }

    def test_each_gets_its_problem_and_delays_nobody(self):
        traps = [self.web.trap(address) for address in ("127.0.0.2", "::1")]
        for trap in traps:
            self.addCleanup(targets.close, trap)
        cases = self.cases()
        for i in range(12):  # more than there are slots
            cases[f"silent-{i}.test"] = (["127.0.0.1"], targets.never_answers, "connection", "headers did not come in time")
        for host, (zone, behaviour, _, _) in cases.items():
            self.names.zone[host] = zone
            if behaviour:
                self.web.behaviours[host] = behaviour
        bad, good = self.client(), self.client()
        meanwhile = good.order(*[f"meanwhile-{i}.good.test" for i in range(20)])
        challenges = [self.offer(good, authz)["url"] for authz in self.authz(good, meanwhile.json)]
        orders = {}
        for host in cases:
            orders[host] = bad.order(host)
            self.answer_all(bad, orders[host].json)
        slow = orders["silent-11.test"].headers["Location"]
        # 20 of somebody else's, answered after all of them, are done while the hostile ones still wait.
        for url in challenges:
            self.assertEqual(good.post(url, {}).status, 200)
        self.assertEqual(self.settled(good, meanwhile.headers["Location"])["status"], "ready")
        self.assertEqual(bad.post(slow).json["status"], "pending")
        for host, (_, _, kind, words) in cases.items():
            with self.subTest(host):
                done = self.settled(bad, orders[host].headers["Location"], seconds=300)
                self.assertEqual(done["status"], "invalid")
                problem = done["error"]["subproblems"][0]
                self.assertEqual(problem["type"], f"urn:ietf:params:acme:error:{kind}", problem)
                self.assertEqual(problem["status"], 403 if kind == "incorrectResponse" else 400)
                self.assertIn(words, problem["detail"])
                if words == "resolves to an address this server does not contact":
                    self.assertNotRegex(problem["detail"], r"127\.0\.0\.|::1|10\.1\.|169\.254")
        self.assertEqual(self.web.traps, {"127.0.0.2": [], "::1": []})
        self.assertLess(self.web.sent["huge.test"], 16 << 20)  # what fits into the sockets' buffers
        logged = []

        def told():
            logged[:] = [line for line in self.stack.log("tick.log") if line.get("identifier") == "guarded.test"]
            return logged
        self.stack.wait(told, what="the log has the address")
        self.assertEqual(logged[0]["address"], "127.0.0.2")

    def test_without_the_exception_loopback_is_never_contacted(self):
        path = os.path.join(self.stack.home, "test.env")
        with open(path, encoding="utf-8") as source:
            before = source.read()

        def settings(text):
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)
            self.stack.run("up")

        settings(before.replace("CERTCTL_OUTBOUND_ALLOW_CIDRS=127.0.0.1/32", "CERTCTL_OUTBOUND_ALLOW_CIDRS="))
        self.addCleanup(settings, before)
        hosts = {"v4.loop.test": ["127.0.0.1"], "v6.loop.test": ["::1"], "mapped.loop.test": ["::ffff:127.0.0.1"],
                 "nat64.loop.test": ["64:ff9b::7f00:1"], "sixtofour.loop.test": ["2002:7f00:1::"], "any.loop.test": ["0.0.0.0"]}
        self.names.zone.update(hosts)
        trap = self.web.trap("::1")
        self.addCleanup(targets.close, trap)
        acme = self.client()
        for host in hosts:
            order = acme.order(host)
            self.answer_all(acme, order.json)
            done = self.settled(acme, order.headers["Location"])
            problem = done["error"]["subproblems"][0]
            self.assertEqual((problem["type"], problem["detail"]),
                             ("urn:ietf:params:acme:error:connection", f"{host} resolves to an address this server does not contact"))
            self.assertNotIn(host, self.web.hits)
        self.assertEqual(self.web.traps["::1"], [])


class CrowdTest(ChallengeTest):

    def job(self, *arguments):
        """A second acme-validate, as if on another host: with a runtime directory of its own."""
        folder = tempfile.mkdtemp(prefix="second-", dir=self.stack.dir)
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        os.makedirs(f"{folder}/jobs")
        os.chmod(folder, 0o777)
        os.chmod(f"{folder}/jobs", 0o777)
        with open(f"{self.stack.dir}/certctl.env", encoding="utf-8") as source:
            lines = [line.strip() for line in source if line.startswith(("CERTCTL_", "ASAN_", "UBSAN_"))]
        command = ["env", *lines, f"CERTCTL_RUNTIME_DIR={folder}", "PGUSER=certctl_jobs",
                   f"{self.stack.dir}/bin/certctl-job-acme-validate", "--host=second", *arguments]
        if self.stack.isolated:
            command = ["runuser", "-u", "certctl-jobs", "--", *command]
        process = subprocess.Popen(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        return process

    def drive(self, count, instances, label="crowd"):
        """So many orders of five names, answered at once by five accounts; beside the stack's own so many more acme-validate."""
        for _ in range(instances - 1):
            self.job("--linger=5m", "--force")
        clients = [self.client() for _ in range(5)]
        orders = []
        for i in range(count):
            acme = clients[i % 5]
            orders.append((acme, acme.order(*[f"{label}-{i}-{n}.good.test" for n in range(5)])))
        answers = []
        for acme, order in orders:
            for authz in self.authz(acme, order.json):
                answers.append((acme, self.offer(acme, authz)["url"]))
        wrong = []

        def answer(acme, mine):
            one = Client(self.stack, "prof-proof", acme.key)  # nonces are not shared
            one.kid = acme.kid
            for url in mine:
                got = one.post(url, {})
                if got.status != 200:
                    wrong.append(got)

        threads = [threading.Thread(target=answer, args=(acme, [u for a, u in answers if a is acme])) for acme in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        for acme, order in orders:
            self.assertEqual(self.settled(acme, order.headers["Location"], seconds=120)["status"], "ready")
        accounts = ", ".join(f"'{acme.kid.rsplit('/', 1)[1]}'" for acme in clients)
        self.assertEqual(self.stack.value(f"SELECT count(*) FROM acme_challenges WHERE status = 'processing' AND account_id IN ({accounts})"), "0")
        twice = {host: hits for host, hits in self.web.hits.items() if host.startswith(f"{label}-") and hits != 1}
        self.assertEqual(twice, {})
        rows = self.stack.sql("SELECT count(*), count(DISTINCT resource_id) FROM audit_events WHERE action = 'acme_challenge_completed' "
                              f"AND details::text LIKE '%\"{label}-%'")
        self.assertEqual(rows, [[str(count), str(count)]])


class Crowd(CrowdTest):

    def test_fifty_orders_of_five_names_by_two_instances(self):
        self.drive(50, 2)

    def test_killed_in_the_middle_it_is_finished_later_and_once(self):
        came, go = threading.Event(), threading.Event()
        acme = self.client()

        def first_time_waits(connection, path):
            first = not came.is_set()
            came.set()
            if first:
                go.wait(30)
                return
            self.web.prove(connection, path)

        self.web.behaviours["killed.good.test"] = first_time_waits
        order = acme.order("killed.good.test", "unhurt.good.test")
        self.answer_all(acme, order.json)
        self.assertTrue(came.wait(90))
        Stack.wait(lambda: "unhurt.good.test" in self.web.hits, what="the other name was asked for")
        for pid in self.stack.pids("certctl-job-acme-validate"):
            os.kill(pid, signal.SIGKILL)
        go.set()
        authz = order.json["authorizations"][0]
        self.assertEqual(acme.post(authz).json["challenges"][0]["status"], "processing")
        self.stack.sql("UPDATE acme_challenges SET lease_until = now() WHERE lease_until IS NOT NULL")  # time passes
        self.assertEqual(self.settled(acme, order.headers["Location"])["status"], "ready")
        self.assertEqual(self.web.hits["killed.good.test"], 2)
        self.assertEqual(self.stack.value("SELECT count(*) FROM audit_events WHERE action = 'acme_challenge_completed' "
                                          f"AND resource_id = '{order.headers['Location'].rsplit('/', 1)[1]}'"), "1")
        attempts = self.stack.value("SELECT attempts FROM acme_challenges WHERE authz_id = "
                                    f"'{authz.rsplit('/', 1)[1]}'")
        self.assertEqual(attempts, "2")

    def test_what_killed_each_who_took_it_ends(self):
        """It is not tried again, and neither waits nor keeps its order waiting for the rest of its life."""
        acme = self.client()
        self.web.behaviours["worn.good.test"] = lambda connection, path: None  # nobody comes
        order = acme.order("worn.good.test")
        authz = order.json["authorizations"][0]
        challenge = self.offer(acme, acme.post(authz).json)
        self.stack.sql(f"""
            INSERT INTO acme_challenges (challenge_id, authz_id, account_id, type, status, token, thumbprint, next_attempt_at, account_url,
                                         attempts, claimed_by, lease_until)
            SELECT '{challenge["url"].rsplit("/", 1)[1]}', z.authz_id, z.account_id, 'http-01', 'processing', z.token,
                   '{acme.key.thumbprint()}', now(), '{acme.kid}', 7, 'nobody:1:0', now()
              FROM acme_authorizations z WHERE z.authz_id = '{authz.rsplit("/", 1)[1]}'""")
        self.assertEqual(self.settled(acme, order.headers["Location"])["status"], "invalid")
        ended = acme.post(authz).json["challenges"][0]
        self.assertEqual((ended["status"], ended["error"]["type"].rsplit(":", 1)[1]), ("invalid", "serverInternal"), ended)
        self.assertNotIn("worn.good.test", self.web.hits)

    def test_told_to_stop_it_finishes_what_it_began(self):
        came = threading.Event()
        acme = self.client()

        def slow(connection, path):
            came.set()
            time.sleep(2)
            self.web.prove(connection, path)

        self.web.behaviours["stopped.good.test"] = slow
        order = acme.order("stopped.good.test")
        self.answer_all(acme, order.json)
        self.assertTrue(came.wait(90))
        for pid in self.stack.pids("certctl-job-acme-validate"):
            os.kill(pid, signal.SIGTERM)
        self.assertEqual(self.settled(acme, order.headers["Location"])["status"], "ready")
        self.assertEqual(self.web.hits["stopped.good.test"], 1)


class FourWorkers(CrowdTest):
    """Done means 14 of 01; Crowd is its short form."""

    seconds = 60
    long = True

    def test_two_hundred_orders_of_five_names_by_four_workers(self):
        self.drive(200, 4, "workers")


class Queue(ChallengeTest):
    """Accounts take turns (01 section 11.2): the thousands of one keep nobody waiting, whatever the order of arrival."""

    PENDING = int(os.environ.get("CERTCTL_TEST_PENDING", "400"))  # 10,000 for doc/performance.md
    HOST = "thousands.good.test"

    def fill(self, acme, first, last):
        """Challenges of this account that wait for their validation; the web server proves them all by one token."""
        account, token = acme.kid.rsplit("/", 1)[1], "thousands-of-" + acme.key.thumbprint()[:16]
        self.web.proofs[token] = f"{token}.{acme.key.thumbprint()}"
        rows = f"generate_series({first}, {last}) i"
        name = f"'{acme.key.thumbprint()[:12]}-' || i"
        self.stack.sql(f"""
            INSERT INTO acme_orders (order_id, account_id, identifiers, status, expires_at, profile_id, auth_mode)
            SELECT 'queue-o-' || {name}, '{account}', '[]', 'pending', now() + interval '1 day', 'prof-proof', 'challenge' FROM {rows};
            INSERT INTO acme_authorizations (authz_id, order_id, identifier, status, expires_at, token, account_id)
            SELECT 'queue-z-' || {name}, 'queue-o-' || {name}, '{{"type":"dns","value":"{self.HOST}"}}', 'pending', now() + interval '1 day',
                   '{token}', '{account}' FROM {rows};
            INSERT INTO acme_order_authorizations SELECT 'queue-o-' || {name}, 'queue-z-' || {name}, 1 FROM {rows};
            INSERT INTO acme_challenges (challenge_id, authz_id, account_id, type, status, token, thumbprint, next_attempt_at, account_url)
            SELECT 'queue-c-' || {name}, 'queue-z-' || {name}, '{account}', 'http-01', 'processing', '{token}', '{acme.key.thumbprint()}',
                   now(), '{acme.kid}' FROM {rows}""")

    def count(self, acme, status):
        return int(self.stack.value(f"SELECT count(*) FROM acme_challenges WHERE account_id = '{acme.kid.rsplit('/', 1)[1]}' AND status = '{status}'"))

    def test_one_order_among_thousands(self):
        """The targets of the many say nothing until the few are done: who waited for them would wait for ever."""
        crowd, lone, late = self.client(), self.client(), self.client()
        goes = threading.Event()

        def hold(connection, path):
            goes.wait(60)
            self.web.prove(connection, path)
        self.web.behaviours[self.HOST] = hold
        self.addCleanup(goes.set)
        self.fill(crowd, 1, self.PENDING // 2)
        self.stack.wait(lambda: self.web.hits.get(self.HOST, 0) > 0, 60, "the many are under way")
        self.ready(lone, "lone.good.test")  # behind the first half
        self.fill(crowd, self.PENDING // 2 + 1, self.PENDING)
        self.ready(late, "late-1.good.test", "late-2.good.test")  # behind all
        self.assertEqual(self.count(crowd, "valid"), 0)
        self.assertGreater(self.count(crowd, "processing"), self.PENDING // 2)
        began, held = time.monotonic(), self.count(crowd, "processing")
        del self.web.behaviours[self.HOST]
        goes.set()
        self.stack.wait(lambda: self.count(crowd, "processing") == 0, 60 + self.PENDING / 10, "they drain")
        took = time.monotonic() - began
        print(f"     {held} pending validations drained in {took:.1f} s, {held / took:.0f} a second", flush=True)
        # What was held past its time may have failed; nothing else does.
        self.assertEqual(self.stack.value(f"SELECT count(*) FROM acme_challenges WHERE account_id = '{crowd.kid.rsplit('/', 1)[1]}' "
                                          "AND status = 'invalid' AND error->>'type' NOT LIKE '%:connection'"), "0")
        self.assertEqual(self.stack.value(f"SELECT count(*) FROM acme_orders o JOIN acme_challenges c ON c.authz_id = replace(o.order_id, 'queue-o-', 'queue-z-') "
                                          f"WHERE o.account_id = '{crowd.kid.rsplit('/', 1)[1]}' AND "
                                          "(o.status, c.status) NOT IN (('ready', 'valid'), ('invalid', 'invalid'))"), "0")


class RealClients(Clients):
    """The clients of test_clients.py again, with proofs to give; nobody else is on the port."""

    seconds = 90  # so that it begins first
    long = True

    domain = "good.test"
    profile = "prof-proof"

    @classmethod
    def setUpClass(cls):
        cls.stack, cls.names, cls.port = shared()

    def http01_port(self):
        return self.port

    def webroot(self):
        folder = super().webroot()
        server = subprocess.Popen(["python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", folder, str(self.port)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        Stack.wait(self.listens, what="the web server listens")
        return folder

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def time_passes(self):
        """What was proved is too old to serve the renewal."""
        self.stack.sql("UPDATE acme_authorizations SET expires_at = now() + interval '1 minute' WHERE status = 'valid'")

    def assertProved(self, name, times):
        self.assertEqual(self.stack.value(
            "SELECT count(*) FROM acme_challenges c JOIN acme_authorizations a USING (authz_id) "
            f"WHERE c.status = 'valid' AND a.identifier->>'value' = '{name}'"), str(times), name)


del ChallengeTest, Clients
