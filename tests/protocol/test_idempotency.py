"""Idempotency-Key on POSTs of the REST API: one effect, one answer, whoever races or dies (05 section 2.10)."""
import json
import os
import re
import signal
import threading
import unittest
import uuid

import yaml

from stack import TOP
from test_approvals import ApprovalTest
from test_intermediates import ApiTest
from test_revocation_api import RevokeTest


class Once(RevokeTest):

    seconds = 8

    def once(self, key, path="/profiles", body=None, actor=None):
        return self.post(path, body, key=actor, Idempotency_Key=key)

    def profile(self, key, name, actor=None, **members):
        return self.once(key, "/profiles", {"name": name, **members}, actor)

    @staticmethod
    def fresh():
        return f"k-{uuid.uuid4()}", f"once {uuid.uuid4()}"

    def count(self, name):
        return self.stack.value(f"SELECT count(*) FROM certificate_profiles WHERE name = '{name}'")

    def kept(self, key):
        return self.stack.sql(f"SELECT actor, status, content_type, location, body FROM api_idempotency WHERE key = '{key}'")

    def assertReplayed(self, answer, first):
        self.assertEqual(answer.status, first.status, answer)
        self.assertEqual(answer.body, first.body)
        self.assertEqual(answer.headers.get("Idempotency-Replayed"), "true", answer)
        self.assertNotIn("Idempotency-Replayed", first.headers)
        for name in ("Content-Type", "Location", "ETag"):
            self.assertEqual(answer.headers.get(name), first.headers.get(name))

    def test_the_same_again(self):
        key, name = self.fresh()
        first = self.profile(key, name)
        self.assertEqual(first.status, 201, first)
        for _ in range(3):
            self.assertReplayed(self.profile(key, name), first)
        self.assertEqual(self.count(name), "1")
        self.assertEqual(self.stack.value(f"SELECT count(*) FROM audit_events WHERE action = 'create_profile' AND "
                                          f"resource_id = '{first.json['id']}'"), "1")
        self.assertEqual(self.stack.value(f"SELECT expires_at - created_at FROM api_idempotency WHERE key = '{key}'"), "1 day")

    def test_another_request(self):
        key, name = self.fresh()
        first = self.profile(key, name)
        self.assertEqual(first.status, 201, first)
        for answer in (self.profile(key, name + " x"), self.once(key, "/profiles?x=1", {"name": name}), self.once(key, "/approvals/a/approve")):
            self.assertRefused(answer, 422, "unprocessable", "Idempotency-Key was used for another request")
        self.assertEqual(self.count(name + " x"), "0")
        self.assertReplayed(self.profile(key, name), first)

    def test_another_actor(self):
        """A key is its sender's: nobody learns what another did under it."""
        key, name = self.fresh()
        other = self.new_key("--role=r-admin")[0]
        first = self.profile(key, name)
        second = self.profile(key, name + " 2", actor=other)
        self.assertEqual((first.status, second.status), (201, 201), second)
        self.assertReplayed(self.profile(key, name + " 2", actor=other), second)
        self.assertReplayed(self.profile(key, name), first)
        self.assertEqual(len({row[0] for row in self.kept(key)}), 2)

    def test_who_may_no_more(self):
        """Whose right is gone learns nothing of an answer that was theirs."""
        key, name = self.fresh()
        actor, identity, _ = self.new_key("--role=r-admin")
        self.assertEqual(self.profile(key, name, actor=actor).status, 201)
        self.admin("key", "revoke", identity)
        self.stack.wait(lambda: self.profile(key, name, actor=actor).status == 401, what="the key is refused")

    def test_keys(self):
        for bad in ("x" * 129, "a b", "a\tb", "\u00e9"):
            with self.subTest(bad):
                name = self.fresh()[1]
                self.assertRefused(self.profile(bad.encode().decode("latin-1"), name), 400, "invalid",
                                   "Idempotency-Key must be 1 to 128 visible ASCII characters")
                self.assertEqual(self.count(name), "0")
        key, name = self.fresh()
        longest = (key + "~!" + "x" * 128)[:128]
        first = self.profile(longest, name)
        self.assertEqual(first.status, 201, first)
        self.assertReplayed(self.profile(longest, name), first)

    def test_refusals_are_not_kept(self):
        key, name = self.fresh()
        self.assertRefused(self.profile(key, name, max_ttl_seconds=-1), 400, "invalid", "max_ttl_seconds cannot be negative")
        self.assertEqual(self.kept(key), [])
        first = self.profile(key, name)
        self.assertEqual(first.status, 201, first)
        key, _ = self.fresh()
        for _ in range(2):
            self.assertRefused(self.profile(key, name), 409, "duplicate", "A profile with this name already exists")
        self.assertEqual(self.kept(key), [])

    def test_what_a_refusal_wrote_stays(self):
        """Its audit row, as without a key; and the key is free."""
        key, _ = self.fresh()
        certificate, leaf, _ = self.issued("once-broken.example")
        self.stack.sql(f"UPDATE certificate_versions SET pem_chain = 'x' WHERE serial_number = '{leaf.serial_number:x}'")
        for attempt in (1, 2):
            answer = self.once(key, f"/certificates/{certificate}/export/pkcs12", {})
            self.assertRefused(answer, 422, "unprocessable", "Certificate data cannot be parsed as X.509")
            self.assertEqual(len(self.audits("cert_export_failed", certificate)), attempt)
        self.assertEqual(self.kept(key), [])

    def test_only_posts(self):
        key, name = self.fresh()
        made = self.profile(self.fresh()[0], name)
        path = "/profiles/" + made.json["id"]
        for description in ("a", "b"):
            answer = self.send("PATCH", path, {"description": description}, Idempotency_Key=key)
            self.assertEqual((answer.status, answer.json["description"]), (200, description), answer)
        self.assertEqual(self.get(path, Idempotency_Key="a b").status, 200)
        self.assertEqual(self.kept(key), [])

    def test_expired(self):
        key, name = self.fresh()
        first = self.profile(key, name)
        self.stack.sql(f"UPDATE api_idempotency SET expires_at = now() WHERE key = '{key}'")
        second = self.profile(key, name + " later")
        self.assertEqual(second.status, 201, second)
        self.assertNotEqual(second.json["id"], first.json["id"])
        self.assertReplayed(self.profile(key, name + " later"), second)

    def test_revocation(self):
        """Without the key the second would say `already_revoked`."""
        key, _ = self.fresh()
        certificate, leaf, _ = self.issued("once.example")
        path = f"/certificates/{certificate}/revoke"
        first = self.once(key, path, {"reason": "superseded"})
        self.assertDone(first)
        self.assertReplayed(self.once(key, path, {"reason": "superseded"}), first)
        self.assertEqual(self.reason(leaf), "superseded")
        self.assertRefused(self.once(key, path, {"reason": "keyCompromise"}), 422, "unprocessable")

    def test_secrets_are_not_kept(self):
        key, _ = self.fresh()
        certificate, _, _ = self.issued("once-export.example")
        path = f"/certificates/{certificate}/export/pkcs12"
        first = self.once(key, path, {"password": "s3cret"})
        self.assertEqual((first.status, first.headers["Content-Type"]), (200, "application/x-pkcs12"), first)
        answer = self.once(key, path, {"password": "s3cret"})
        self.assertRefused(answer, 409, "conflict", "already completed; secret not repeated")
        self.assertEqual([row[1:] for row in self.kept(key)], [["", "", "", ""]])

    # --- races ---

    def test_many_at_once(self):
        key, name = self.fresh()
        answers = self.at_once([lambda: self.profile(key, name)] * 8)
        good = [answer for answer in answers if answer.status == 201]
        for answer in answers:
            if answer.status != 201:
                self.assertRefused(answer, 409, "duplicate", "a request with this Idempotency-Key is in progress")
                self.assertEqual(answer.headers["Retry-After"], "1")
        self.assertGreaterEqual(len(good), 1)
        self.assertEqual(len({answer.body for answer in good}), 1)
        self.assertEqual(self.count(name), "1")

    def while_it_runs(self, statement, call):
        """The answer of `call` and of the same call while the first is held up. It waits three seconds for a lock: where the second
        took longer than that, nothing was done, and both are made again."""
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'certctl_api' AND wait_event_type = 'Lock'"
        answers = []

        def held_up():
            first = []
            thread = threading.Thread(target=lambda: first.append(call()))
            with self.stack.holding(statement) as ask:
                thread.start()
                self.stack.wait(lambda: first or ask(waiting) == ["1"], what="the first waits")
                second = call()
            thread.join()
            answers[:] = [first[0], second]
            return first[0].status != 503
        self.stack.wait(held_up, what="a second call within three seconds")
        return answers

    def test_in_progress(self):
        key, name = self.fresh()
        first, second = self.while_it_runs("LOCK TABLE certificate_profiles IN SHARE MODE", lambda: self.profile(key, name))
        self.assertEqual(first.status, 201, first)
        self.assertRefused(second, 409, "duplicate", "a request with this Idempotency-Key is in progress")
        self.assertReplayed(self.profile(key, name), first)

    def test_bulk(self):
        """It commits in batches; the key is its session's until it has answered."""
        key, _ = self.fresh()
        certificate, leaf, _ = self.issued("once-bulk.example")
        body = {"reason": "superseded", "certificate_ids": [certificate]}
        first, second = self.while_it_runs(f"SELECT 1 FROM managed_certificates WHERE id = '{certificate}' FOR UPDATE",
                                           lambda: self.once(key, "/certificates/bulk-revoke", body))
        self.assertEqual((first.status, first.json["total_revoked"]), (200, 1), first)
        self.assertRefused(second, 409, "duplicate", "a request with this Idempotency-Key is in progress")
        self.assertReplayed(self.once(key, "/certificates/bulk-revoke", body), first)
        other = self.once(key, "/certificates/bulk-revoke", dict(body, reason="keyCompromise"))
        self.assertRefused(other, 422, "unprocessable", "Idempotency-Key was used for another request")
        for _ in range(8):  # of whichever worker
            self.assertReplayed(self.once(key, "/certificates/bulk-revoke", body), first)
        self.assertEqual(self.reason(leaf), "superseded")
        self.assertEqual(self.stack.value("SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' "
                                          "AND a.usename = 'certctl_api' AND a.state = 'idle'"), "0")

    def test_the_worker_is_killed(self):
        """Nothing of it is left: the key is free, and whoever asks again is the first."""
        key, name = self.fresh()
        lost = []
        thread = threading.Thread(target=lambda: lost.append(self.profile(key, name)))
        with self.stack.holding("LOCK TABLE certificate_profiles IN SHARE MODE") as ask:
            thread.start()
            waiting = "SELECT pid FROM pg_stat_activity WHERE usename = 'certctl_api' AND wait_event_type = 'Lock'"
            self.stack.wait(lambda: len(ask(waiting)) == 1, what="it waits")
            for pid in self.stack.pids("certctl-api"):
                os.kill(pid, signal.SIGKILL)
            thread.join()
        self.assertIn(lost[0].status, (502, 503), lost[0])
        answers = []

        def again():
            answers.append(self.profile(key, name))
            return answers[-1].status not in (409, 502, 503)
        self.stack.wait(again, seconds=60, what="an answer")
        self.assertEqual(answers[-1].status, 201, answers[-1])
        self.assertNotIn("Idempotency-Replayed", answers[-1].headers)
        self.assertEqual(self.count(name), "1")


class OnceApproval(ApprovalTest):
    """Decisions under a key: the second is the first one's answer, whatever has become of it since."""

    seconds = 6

    def twice(self, path, body, other, key=None):
        """The answers of a decision and of its repeat; another body under the same key is refused."""
        once = f"k-{uuid.uuid4()}"
        first = self.call("POST", path, key=key, body=body, **{"Idempotency-Key": once})
        self.assertEqual(first.status, 200, first)
        again = self.call("POST", path, key=key, body=body, **{"Idempotency-Key": once})
        self.assertEqual((again.status, again.body, again.headers.get("Idempotency-Replayed")), (200, first.body, "true"))
        self.assertNotIn("Idempotency-Replayed", first.headers)
        self.assertRefused(self.call("POST", path, key=key, body=other, **{"Idempotency-Key": once}), 422, "Idempotency-Key was used for another request")
        return first

    def test_approved_once(self):
        waiting = self.wait_for_approval()
        first = self.twice(f"/approvals/{waiting.approval}/approve", {"note": "good"}, {"note": "better"})
        self.assertEqual(first.json, {"id": waiting.approval, "decided_by": self.actor(), "action": "approved"})
        self.is_issued(waiting)
        self.assertEqual(self.audits(waiting.approval).count("approval_approved"), 1)
        # Without the key it is another decision.
        self.assertEqual(self.decide(waiting.approval, "reject").status, 409)

    def test_rejected_once(self):
        waiting = self.wait_for_approval()
        self.twice(f"/approvals/{waiting.approval}/reject", {"note": "no"}, {"note": "never"})
        self.ends(waiting, "invalid")
        self.nothing_was_issued(waiting)
        self.assertEqual(self.audits(waiting.approval).count("approval_rejected"), 1)

    def test_by_its_job(self):
        waiting = self.wait_for_approval()
        first = self.twice(f"/jobs/{waiting.job}/approve", {"note": "good"}, {})
        self.assertEqual(first.json, {"status": "job_approved"})
        self.is_issued(waiting)
        other = self.wait_for_approval()
        first = self.twice(f"/jobs/{other.job}/reject", {}, {"note": "x"})
        self.assertEqual(first.json, {"status": "job_rejected"})
        self.ends(other, "invalid")


class OnceCa(ApiTest):
    """The verbs of CAs: asked once, ended once; a repeated retirement is no confirmation."""

    seconds = 8
    mode = "local"
    keys = {}

    def twice(self, path, body, other, status=200):
        once = f"k-{uuid.uuid4()}"

        def send(what):
            return self.raw("POST", "/api/v1" + path, json.dumps(what), {"Authorization": f"Bearer {self.key()}", "Content-Type": "application/json",
                                                                        "Idempotency-Key": once})
        first = send(body)
        self.assertEqual(first.status, status, first)
        again = send(body)
        self.assertEqual((again.status, again.body, again.headers.get("Idempotency-Replayed")), (status, first.body, "true"))
        self.assertRefused(send(other), 422, "Idempotency-Key was used for another request")
        return first.json

    def requests(self, body):
        return self.stack.value(f"SELECT count(*) FROM ca_requests WHERE body @> '{json.dumps(body)}'")

    def events(self, action, ca):
        return self.stack.value(f"SELECT count(*) FROM audit_events WHERE action = '{action}' AND resource_id = '{ca}'")

    def test_asked_and_ended_once(self):
        parent = self.stack.value("SELECT id FROM ca_instances WHERE issuer_id = 'iss-local' AND path_len = 1")
        name = f"Once {uuid.uuid4()}"
        body = {"name": name, "parent_ca_id": parent, "subject": {"common_name": name}}
        request = self.twice(self.path(), body, {**body, "ttl_days": 9}, 202)["request_id"]
        self.assertEqual(self.requests({"name": name}), "1")
        self.admin("approve", request, "--yes")
        ca = self.ended(request)["intermediate_ca_id"]
        renewal = self.twice(f"/intermediates/{ca}/renew", {"rekey": True, "ttl_days": 300}, {"rekey": True, "ttl_days": 301}, 202)["request_id"]
        self.assertEqual(self.requests({"ca_id": ca}), "1")
        self.admin("refuse", renewal)
        self.twice(f"/intermediates/{ca}/retire", {"note": "old"}, {"confirm": True})
        self.assertEqual(self.state_of(ca), ["retiring", "retiring"])
        self.assertEqual(self.events("intermediate_ca_retiring", ca), "1")
        self.twice(f"/intermediates/{ca}/revoke", {"reason": "superseded"}, {"reason": "keyCompromise"})
        self.assertEqual((self.state_of(ca), self.events("intermediate_ca_revoked", ca)), (["retired", "retired"], "1"))
        self.assertEqual(self.stack.value(f"SELECT reason FROM certificate_revocations r JOIN intermediate_cas m ON m.serial_number = r.serial_number "
                                          f"WHERE m.id = '{ca}'"), "superseded")


class Document(unittest.TestCase):

    def test_each_post_takes_a_key(self):
        """What api_once serves is what doc/openapi.yaml says: every POST and nothing else, with its two refusals."""
        with open(os.path.join(TOP, "fcgi", "api", "routes.def"), encoding="utf-8") as source:
            routes = re.findall(r'^ROUTE\(([^,]*), "([^"]*)"', source.read(), re.M)
        with open(os.path.join(TOP, "doc", "openapi.yaml"), encoding="utf-8") as source:
            paths = yaml.safe_load(source)["paths"]
        self.assertGreater(len(routes), 40)
        for method, path in routes:
            with self.subTest(method=method, path=path):
                operation = paths[path][method.lower()]
                named = [one.get("$ref") for one in operation.get("parameters", []) + paths[path].get("parameters", [])]
                self.assertEqual("#/components/parameters/idempotencyKey" in named, method == "POST")
                if method == "POST":
                    self.assertLessEqual({"409", "422"}, set(operation["responses"]))
