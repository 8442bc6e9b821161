"""Two persons for one certificate (04 section 13): the gate, decisions, who may make them, and what becomes of them."""
import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from acme_client import csr
from case import ProtocolTest
from stack import free_port

GATED = """
INSERT INTO certificate_profiles (id, name, issuer_id, required_san_patterns, requires_approval) VALUES
  ('prof-gated', 'Gated', 'iss-local', '[]', true) ON CONFLICT DO NOTHING;
"""

REJECTED = {"type": "urn:ietf:params:acme:error:unauthorized", "detail": "request was rejected by an approver", "status": 403}


class ApprovalTest(ProtocolTest):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stack.sql(GATED)
        cls.keys = {}
        cls.count = 0

    def setUp(self):
        self.raw = self.client(register=False).raw

    def new_key(self, name, role="r-operator"):
        made = subprocess.run([f"{self.stack.dir}/bin/certctl-admin", "key", "new", f"--name={name}", f"--role={role}"],
                              env=self.admin_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True)
        return made.stdout.strip()

    def admin_environment(self):
        environment = {"PATH": "/usr/bin:/bin", "PGUSER": "postgres", "SUDO_USER": "somebody"}
        with open(f"{self.stack.dir}/certctl.env", encoding="utf-8") as lines:
            environment.update(line.rstrip("\n").split("=", 1) for line in lines if line.strip() and not line.startswith("#"))
        return environment

    def key(self, name="alice", role="r-operator"):
        """One key a name and class, so that nobody is anybody else."""
        if name not in self.keys:
            type(self).keys[name] = self.new_key(f"{name}-{type(self).__name__.lower()}", role)
        return self.keys[name]

    def actor(self, name="alice"):
        self.key(name)
        return f"{name}-{type(self).__name__.lower()}"

    def call(self, method, path, key=None, body=None, **headers):
        sent = {"Authorization": f"Bearer {key or self.key()}", **headers}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return self.raw(method, "/api/v1" + path, body=body, headers=sent)

    def decide(self, approval, verb="approve", key=None, body=None):
        return self.call("POST", f"/approvals/{approval}/{verb}", key=key, body=body)

    def assertRefused(self, answer, status, message):
        self.assertEqual((answer.status, answer.json["message"]), (status, message), answer)

    def wait_for_approval(self, acme=None):
        """An order that waits: client, order URL, its key, and the row of its approval."""
        acme = acme or self.client("prof-gated")
        type(self).count += 1
        name = f"n{self.count}.{type(self).__name__.lower()}.example.org"
        key = ec.generate_private_key(ec.SECP256R1())
        order = acme.order(name)
        der = csr(key, [name])
        answer = acme.finalize(order.json, der)
        self.assertEqual((answer.status, answer.json["status"], answer.headers["Retry-After"]), (200, "processing", "60"), answer)
        self.assertNotIn("certificate", answer.json)
        url = order.headers["Location"]
        row = self.stack.sql("SELECT a.id, a.job_id, a.certificate_id FROM issuance_approval_requests a "
                             f"JOIN acme_orders o ON o.job_id = a.job_id WHERE o.order_id = '{url.rsplit('/', 1)[1]}'")
        self.assertEqual(len(row), 1)
        return Waiting(acme, order, url, name, key, der, *row[0])

    def job(self, waiting):
        return self.stack.value(f"SELECT status FROM jobs WHERE id = '{waiting.job}'")

    def ends(self, waiting, state):
        shown = []

        def look():
            shown[:] = [waiting.acme.post(waiting.url).json]
            return shown[0]["status"] == state
        self.stack.wait(look, what=f"the order is {state}")
        return shown[0]

    def is_issued(self, waiting):
        order = self.ends(waiting, "valid")
        chain = waiting.acme.post(order["certificate"]).body.decode()
        self.assertIn("BEGIN CERTIFICATE", chain)
        rows = self.stack.sql("SELECT m.status, count(v.id), count(DISTINCT v.spki_sha256) FROM managed_certificates m JOIN certificate_versions v "
                              f"ON v.certificate_id = m.id WHERE m.id = '{waiting.certificate}' GROUP BY 1")
        self.assertEqual(rows, [["Active", "1", "1"]])
        self.assertEqual(self.job(waiting), "Completed")
        return chain

    def nothing_was_issued(self, waiting):
        self.assertEqual(self.stack.value(f"SELECT count(*) FROM certificate_versions WHERE certificate_id = '{waiting.certificate}'"), "0")

    def audits(self, approval):
        return [row[0] for row in self.stack.sql(f"SELECT action FROM audit_events WHERE resource_type = 'approval_request' "
                                                 f"AND resource_id = '{approval}' ORDER BY seq")]

    def next_processor(self):
        """A killed run leaves its claim behind; certctl-tick waits for the interval of the job to end."""
        self.stack.sql("UPDATE scheduler_state SET next_due_at = now() WHERE job LIKE 'job-processor%'")

    def run_job(self, name, alone=False, **more):
        """One run as certctl-tick would start it, at once; `alone`: whoever else runs is killed."""
        environment = {"PATH": "/usr/bin:/bin", "PGUSER": "certctl_jobs"}
        with open(os.path.join(self.stack.dir, "certctl.env"), encoding="utf-8") as lines:
            environment.update(line.rstrip("\n").split("=", 1) for line in lines if line.strip() and not line.startswith("#"))
        environment.update(more)
        command = [os.path.join(self.stack.dir, "bin", f"certctl-job-{name}"), "--force"]
        if self.stack.isolated:
            command = ["setpriv", "--reuid=certctl-jobs", "--regid=certctl-jobs", "--init-groups", "--", *command]

        def done():
            if alone:
                self.stack.kill(f"certctl-job-{name}")
            ran = subprocess.run(command, env=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            self.assertEqual(ran.returncode, 0, ran.stdout)
            return "still active" not in ran.stdout and "another host" not in ran.stdout
        self.stack.wait(done, what="a run of its own")


class Waiting:
    def __init__(self, acme, order, url, name, key, der, approval, job, certificate):
        self.acme, self.order, self.url, self.name, self.key, self.der = acme, order, url, name, key, der
        self.approval, self.job, self.certificate = approval, job, certificate


class Gate(ApprovalTest):

    def test_approved(self):
        w = self.wait_for_approval()
        self.nothing_was_issued(w)
        self.assertEqual(self.stack.value(f"SELECT status FROM managed_certificates WHERE id = '{w.certificate}'"), "Pending")
        polled = w.acme.post(w.url)
        self.assertEqual((polled.json["status"], polled.headers["Retry-After"]), ("processing", "60"))
        answer = self.decide(w.approval, body={"note": "seen"})
        self.assertEqual((answer.status, answer.json), (200, {"id": w.approval, "decided_by": self.actor(), "action": "approved"}))
        self.is_issued(w)
        self.assertEqual(self.audits(w.approval), ["approval_requested", "approval_approved"])
        done = self.stack.sql("SELECT action, actor, details->>'job_id' FROM audit_events WHERE resource_id = "
                              f"'{w.url.rsplit('/', 1)[1]}' AND action = 'acme_order_finalized'")
        self.assertEqual(done, [["acme_order_finalized", f"acme:{w.acme.kid.rsplit('/', 1)[1]}", w.job]])
        again = w.acme.finalize(w.order.json, w.der)
        self.assertEqual((again.status, again.json["status"]), (200, "valid"))

    def test_rejected(self):
        w = self.wait_for_approval()
        answer = self.decide(w.approval, "reject", body={"note": "who is that?"})
        self.assertEqual((answer.status, answer.json["action"]), (200, "rejected"))
        self.assertEqual(self.ends(w, "invalid")["error"], REJECTED)
        self.assertEqual(self.stack.sql(f"SELECT status, last_error, failure_class FROM jobs WHERE id = '{w.job}'"),
                         [["Cancelled", "approval rejected: who is that?", "cancelled"]])
        self.assertEqual(self.stack.value(f"SELECT status FROM managed_certificates WHERE id = '{w.certificate}'"), "Failed")
        self.nothing_was_issued(w)
        self.assertProblem(w.acme.finalize(w.order.json, w.der), 403, "orderNotReady")

    def test_a_profile_without_approval_makes_no_job(self):
        _, order = self.client().obtain("ungated.example.org")
        certificate = order["certificate"].rsplit("/", 1)[1]
        self.assertEqual(self.stack.value(f"SELECT count(*) FROM jobs WHERE certificate_id = '{certificate}'"), "0")
        self.assertEqual(self.stack.value(f"SELECT job_id IS NULL FROM acme_orders WHERE certificate_id = '{certificate}'"), "t")

    def test_what_would_be_refused_does_not_wait(self):
        acme = self.client("prof-gated")
        order = acme.order("refused.example.org")
        answer = acme.finalize(order.json, csr(ec.generate_private_key(ec.SECP256R1()), ["other.example.org"]))
        self.assertProblem(answer, 400, "badCSR")
        self.assertEqual(acme.post(order.headers["Location"]).json["status"], "ready")

    def test_the_approval_is_of_one_csr(self):
        w = self.wait_for_approval()
        other = csr(ec.generate_private_key(ec.SECP256R1()), [w.name])
        self.assertProblem(w.acme.finalize(w.order.json, other), 403, "orderNotReady")
        same = w.acme.finalize(w.order.json, w.der)
        self.assertEqual((same.status, same.json["status"], same.headers["Retry-After"]), (200, "processing", "60"))
        # Changed behind the approver's back, and then approved: it waits again.
        changed = x509.load_der_x509_csr(other).public_bytes(serialization.Encoding.PEM).decode()
        self.stack.sql(f"UPDATE jobs SET csr_pem = '{changed}' WHERE id = '{w.job}'")
        self.assertEqual(self.decide(w.approval).status, 200)
        pending = f"SELECT count(*) FROM issuance_approval_requests WHERE job_id = '{w.job}' AND state = 'pending'"
        self.stack.wait(lambda: self.stack.value(pending) == "1", what="a new request")
        self.assertEqual(self.job(w), "AwaitingApproval")
        self.nothing_was_issued(w)

    def test_no_job_runs_without_an_approval(self):
        w = self.wait_for_approval()
        failed = subprocess.run([*self.stack.psql(), "-c", f"UPDATE jobs SET status = 'Pending' WHERE id = '{w.job}'"],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertIn("no approved request", failed.stdout)
        # As a responder that was taken over would: a job of its own, ready to run.
        self.stack.sql("INSERT INTO managed_certificates (id, name, common_name, sans, owner_id, team_id, issuer_id, renewal_policy_id, "
                       "certificate_profile_id) SELECT 'mc-forged', 'forged', common_name, sans, owner_id, team_id, issuer_id, "
                       f"renewal_policy_id, certificate_profile_id FROM managed_certificates WHERE id = '{w.certificate}'; "
                       "INSERT INTO jobs (id, type, certificate_id, status, csr_pem, requested_by, approval_id) SELECT 'job-forged', type, 'mc-forged', "
                       f"'Pending', csr_pem, requested_by, '{w.approval}' FROM jobs WHERE id = '{w.job}'")
        self.stack.wait(lambda: self.stack.value("SELECT status FROM jobs WHERE id = 'job-forged'") == "AwaitingApproval", what="it waits")
        self.assertEqual(self.stack.value("SELECT count(*) FROM certificate_versions WHERE certificate_id = 'mc-forged'"), "0")

    def test_a_closed_account_gets_nothing(self):
        w = self.wait_for_approval()
        self.stack.sql(f"UPDATE acme_accounts SET status = 'deactivated' WHERE account_id = '{w.acme.kid.rsplit('/', 1)[1]}'")
        self.assertEqual(self.decide(w.approval).status, 200)
        self.stack.wait(lambda: self.job(w) == "Failed", what="the job failed")
        self.nothing_was_issued(w)
        self.assertEqual(self.stack.sql(f"SELECT failure_class, completed_at IS NOT NULL FROM jobs WHERE id = '{w.job}'"), [["permanent", "t"]])
        self.assertEqual(self.stack.sql(f"SELECT status, error->>'detail' FROM acme_orders WHERE job_id = '{w.job}'"),
                         [["invalid", "issuer rejected the CSR"]])
        self.assertEqual(self.stack.value("SELECT count(*) FROM audit_events WHERE action = 'acme_order_failed' "
                                          f"AND details->>'job_id' = '{w.job}'"), "1")

    def test_certbot_waits(self):
        name = "certbot.approved.example.org"
        home = tempfile.mkdtemp(prefix="client-", dir=self.stack.dir)
        self.addCleanup(shutil.rmtree, home, ignore_errors=True)
        with subprocess.Popen(["certbot", "certonly", "--standalone", "--http-01-port", str(free_port()), "--http-01-address", "127.0.0.1",
                               "--agree-tos", "-m", "a@example.org", "-d", name, "--server",
                               f"{self.stack.url}/acme/profile/prof-gated/directory", "--config-dir", f"{home}/config",
                               "--work-dir", f"{home}/work", "--logs-dir", f"{home}/logs", "--non-interactive"],
                              env={**os.environ, "HOME": home, "REQUESTS_CA_BUNDLE": self.stack.root_pem}, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True) as certbot:
            waits = f"SELECT id FROM issuance_approval_requests WHERE metadata->>'common_name' = '{name}' AND state = 'pending'"
            self.stack.wait(lambda: self.stack.value(waits), seconds=180, what="certbot's request")
            self.assertIsNone(certbot.poll())
            self.assertEqual(self.decide(self.stack.value(waits)).status, 200)
            said = certbot.communicate(timeout=300)[0]
        self.assertEqual(certbot.returncode, 0, said)
        with open(f"{home}/config/live/{name}/fullchain.pem", encoding="utf-8") as chain:
            self.assertIn("BEGIN CERTIFICATE", chain.read())

    def test_the_database_goes_away(self):
        w = self.wait_for_approval()
        self.stack.sql("ALTER ROLE certctl_jobs NOLOGIN")
        try:
            self.stack.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'certctl_jobs'")
            self.assertEqual(self.decide(w.approval).status, 200)
            self.assertEqual(self.job(w), "Pending")
        finally:
            self.stack.sql("ALTER ROLE certctl_jobs LOGIN")
        self.next_processor()
        self.is_issued(w)
        w = self.wait_for_approval()
        self.stack.sql("ALTER ROLE certctl_api NOLOGIN")
        try:
            self.stack.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'certctl_api'")
            self.assertEqual(self.decide(w.approval).status, 503)
        finally:
            self.stack.sql("ALTER ROLE certctl_api LOGIN")
        self.assertEqual(self.job(w), "AwaitingApproval")
        self.assertEqual(self.audits(w.approval), ["approval_requested"])

    def test_two_notices_to_the_owner(self):
        w = self.wait_for_approval()
        rows = self.stack.sql("SELECT channel, message FROM notification_events WHERE type = 'ApprovalRequested' "
                              f"AND payload->>'approval_id' = '{w.approval}' ORDER BY channel")
        self.assertEqual([row[0] for row in rows], ["Email", "Webhook"])
        self.assertIn(w.name, rows[0][1])


class Deciders(ApprovalTest):

    def test_the_requester_and_the_same_person(self):
        w = self.wait_for_approval()
        self.stack.sql(f"UPDATE issuance_approval_requests SET requested_by = '{self.actor('carol')}' WHERE id = '{w.approval}'")
        text = "approver cannot be the same as requester (two-person integrity)"
        for verb in ("approve", "reject"):
            self.assertRefused(self.decide(w.approval, verb, key=self.key("carol")), 403, text)
        # Two keys that one person made are one person.
        self.stack.sql("INSERT INTO users (id, email, local) VALUES ('u-dora', 'dora@example.org', true) ON CONFLICT DO NOTHING")
        first, second = self.key("dora"), self.key("doras-other")
        self.stack.sql(f"UPDATE api_keys SET created_by = 'u-dora' WHERE name IN ('{self.actor('dora')}', '{self.actor('doras-other')}'); "
                       "UPDATE issuance_approval_requests SET requested_by = 'somebody', requested_by_user_id = 'u-dora' "
                       f"WHERE id = '{w.approval}'")
        for key in (first, second):
            self.assertRefused(self.decide(w.approval, key=key), 403, text)
        self.assertEqual(self.job(w), "AwaitingApproval")
        self.assertEqual(self.decide(w.approval).status, 200)

    def test_the_same_again_and_the_opposite(self):
        w = self.wait_for_approval()
        for _ in range(2):
            self.assertEqual(self.decide(w.approval).json["action"], "approved")
        decided = "approval request already decided"
        self.assertRefused(self.decide(w.approval, "reject"), 409, decided)
        self.assertRefused(self.decide(w.approval, key=self.key("bob")), 409, decided)
        self.assertEqual(self.audits(w.approval), ["approval_requested", "approval_approved"])
        votes = self.stack.sql(f"SELECT actor, decision FROM approval_votes WHERE approval_id = '{w.approval}'")
        self.assertEqual(votes, [[self.actor(), "approved"]])

    def test_bodies(self):
        w = self.wait_for_approval()
        for body in (b"{", b"[]", b"nothing", b'{"note":"a","note":"b"}'):
            self.assertRefused(self.decide(w.approval, body=body), 400, "invalid JSON body")
        self.assertEqual(self.decide(w.approval, body={"note": 5}).status, 400)
        self.assertRefused(self.decide(w.approval, body={"note": "é" * 2001}), 400, "`note` has more than 2000 characters")
        self.assertEqual(self.decide(w.approval, body={"note": "é" * 2000}).status, 200)
        self.assertEqual(self.stack.value(f"SELECT char_length(decision_note) FROM issuance_approval_requests WHERE id = '{w.approval}'"), "2000")

    def test_permissions(self):
        w = self.wait_for_approval()
        viewer = self.key("viewer", "r-viewer")
        self.assertEqual(self.call("GET", f"/approvals/{w.approval}", key=viewer).status, 200)
        for verb in ("approve", "reject"):
            self.assertRefused(self.decide(w.approval, verb, key=viewer), 403, "Insufficient permissions")
        self.assertEqual(self.call("GET", "/approvals", key=self.key("agent", "r-agent")).status, 403)
        self.assertEqual(self.raw("POST", f"/api/v1/approvals/{w.approval}/approve").status, 401)
        # A grant for another profile does not reach this one.
        scoped = self.key("scoped")
        self.stack.sql(f"UPDATE actor_roles SET scope_type = 'profile', scope_id = 'prof-test' WHERE actor_id = '{self.actor('scoped')}'; ")
        self.assertRefused(self.decide(w.approval, key=scoped), 403, "Insufficient permissions")
        self.assertEqual(self.call("GET", "/approvals", key=scoped).json["total"], 0)
        self.stack.sql(f"UPDATE actor_roles SET scope_id = 'prof-gated' WHERE actor_id = '{self.actor('scoped')}'")
        self.assertEqual(self.decide(w.approval, key=scoped).status, 200)

    def test_unknown(self):
        for verb in ("approve", "reject"):
            self.assertRefused(self.decide("apr-none", verb), 404, "approval request not found")
        self.assertRefused(self.call("GET", "/approvals/apr-none"), 404, "approval request not found")

    def test_by_the_job(self):
        w = self.wait_for_approval()
        owner = self.key("owner")
        self.stack.sql("INSERT INTO owners (id, name, email, team_id) VALUES ('o-approve', "
                       f"'{self.actor('owner').upper()}', 'nobody@example.org', 't-enrollment') ON CONFLICT DO NOTHING; "
                       f"UPDATE managed_certificates SET owner_id = 'o-approve' WHERE id = '{w.certificate}'")
        self.assertRefused(self.call("POST", f"/jobs/{w.job}/approve", key=owner), 403,
                           "Self-approval is forbidden: the certificate owner cannot approve their own renewal")
        answer = self.call("POST", f"/jobs/{w.job}/approve")
        self.assertEqual((answer.status, answer.json), (200, {"status": "job_approved"}))
        self.is_issued(w)
        self.assertRefused(self.call("POST", f"/jobs/{w.job}/approve"), 400,
                           "cannot approve job with status Completed (must be AwaitingApproval)")
        self.assertRefused(self.call("POST", f"/jobs/{w.job}/reject"), 400,
                           "cannot reject job with status Completed (must be AwaitingApproval)")
        w = self.wait_for_approval()
        self.assertEqual(self.call("POST", f"/jobs/{w.job}/reject", body={"reason": "no"}).json, {"status": "job_rejected"})
        self.assertEqual(self.stack.value(f"SELECT last_error FROM jobs WHERE id = '{w.job}'"), "rejected: no")
        w = self.wait_for_approval()
        self.assertEqual(self.call("POST", f"/jobs/{w.job}/reject").status, 200)
        self.assertEqual(self.stack.value(f"SELECT last_error FROM jobs WHERE id = '{w.job}'"), "rejected by user")

    def test_lists(self):
        w = self.wait_for_approval()
        shown = self.call("GET", f"/approvals/{w.approval}").json
        self.assertEqual({name: shown[name] for name in ("id", "kind", "certificate_id", "job_id", "profile_id", "requested_by", "state")},
                         {"id": w.approval, "kind": "cert_issuance", "certificate_id": w.certificate, "job_id": w.job,
                          "profile_id": "prof-gated", "requested_by": f"acme:{w.acme.kid.rsplit('/', 1)[1]}", "state": "pending"})
        self.assertEqual((shown["metadata"]["common_name"], shown["metadata"]["source"]), (w.name, "ACME"))
        self.assertTrue(re.fullmatch("[0-9a-f]{64}", shown["metadata"]["csr_sha256"]))
        newest = self.call("GET", "/approvals?state=pending").json
        self.assertEqual(set(newest), {"data", "page", "per_page", "total"})
        self.assertEqual((newest["data"][0]["id"], newest["per_page"]), (w.approval, 50))
        for query, found in ((f"certificate_id={w.certificate}", 1), (f"requested_by={shown['requested_by']}", 1),
                             (f"certificate_id={w.certificate}&state=approved", 0), (f"certificate_id={w.certificate}&kind=profile_edit", 0)):
            self.assertEqual(self.call("GET", f"/approvals?{query}").json["total"], found, query)
        self.assertEqual(self.decide(w.approval, "reject").status, 200)
        shown = self.call("GET", f"/approvals/{w.approval}").json
        self.assertEqual((shown["state"], shown["decided_by"]), ("rejected", self.actor()))

    def test_the_role_writes_nothing_itself(self):
        for role in ("certctl_api", "certctl_acme", "certctl_jobs"):
            for table in ("issuance_approval_requests", "approval_votes"):
                for right in ("INSERT", "UPDATE", "DELETE"):
                    self.assertEqual(self.stack.value(f"SELECT has_table_privilege('{role}', '{table}', '{right}')"), "f", (role, table, right))


class Races(ApprovalTest):

    once = True

    def test_two_at_once(self):
        for verbs in (("approve", "approve"), ("approve", "reject"), ("reject", "reject")):
            w = self.wait_for_approval()
            keys = (self.key("alice"), self.key("bob"))
            answers = self.together([lambda k=k, v=v: self.client(register=False).raw(
                "POST", f"/api/v1/approvals/{w.approval}/{v}", headers={"Authorization": f"Bearer {k}"}) for k, v in zip(keys, verbs)])
            self.assertEqual(sorted(answer.status for answer in answers), [200, 409], verbs)
            won = next(answer for answer in answers if answer.status == 200).json["action"]
            self.assertEqual(self.stack.value(f"SELECT state FROM issuance_approval_requests WHERE id = '{w.approval}'"), won)
            self.assertEqual(self.stack.value(f"SELECT count(*) FROM approval_votes WHERE approval_id = '{w.approval}'"), "1")
            if won == "approved":
                self.is_issued(w)
            else:
                self.ends(w, "invalid")

    def together(self, calls):
        answers = []
        threads = [threading.Thread(target=lambda call=call: answers.append(call())) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    def test_one_order_finalized_by_many(self):
        acme = self.client("prof-gated")
        name = "many.races.example.org"
        order = acme.order(name)
        der = csr(ec.generate_private_key(ec.SECP256R1()), [name])
        answers = self.together([lambda: acme.finalize(order.json, der)] * 8)
        self.assertEqual({(answer.status, answer.json["status"]) for answer in answers}, {(200, "processing")})
        self.assertEqual(self.stack.value("SELECT count(*) FROM jobs j JOIN managed_certificates m ON m.id = j.certificate_id "
                                          f"WHERE m.common_name = '{name}'"), "1")

    def test_processors_killed(self):
        waiting = [self.wait_for_approval() for _ in range(12)]
        stop = threading.Event()

        def killer():
            while not stop.wait(0.05):
                self.stack.kill("certctl-job-job-processor")
        thread = threading.Thread(target=killer)
        thread.start()
        try:
            for w in waiting:
                self.assertEqual(self.decide(w.approval).status, 200)
        finally:
            stop.set()
            thread.join()
        # What a killed one had claimed comes back when its lease is over.
        self.stack.sql("UPDATE jobs SET lease_until = now() - interval '1 second' WHERE status = 'Running' AND claimed_by IS NOT NULL")
        self.run_job("job-timeout")
        self.next_processor()
        for w in waiting:
            self.is_issued(w)

    def test_killed_between_claim_and_commit(self):
        w = self.wait_for_approval()
        self.assertEqual(self.decide_while_signer_is_asked(w), 200)
        self.assertEqual(self.job(w), "Running")
        self.nothing_was_issued(w)
        self.run_job("job-timeout")
        self.assertEqual(self.job(w), "Running")  # its lease still runs
        self.stack.sql(f"UPDATE jobs SET lease_until = now() - interval '1 second' WHERE id = '{w.job}'")
        self.run_job("job-timeout")
        self.next_processor()
        self.is_issued(w)
        self.assertEqual(self.stack.value(f"SELECT attempts FROM jobs WHERE id = '{w.job}'"), "2")

    def decide_while_signer_is_asked(self, w):
        """Approved; the processor claims, signs, and is killed while its commit waits for a lock."""
        key_lock = "SELECT pg_advisory_xact_lock(hashtextextended('key:' || '{}', 0))"
        spki = w.key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        with self.stack.holding(key_lock.format(hashlib.sha256(spki).hexdigest())) as ask:
            status = self.decide(w.approval).status
            blocked = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'certctl_jobs' AND wait_event_type = 'Lock' AND query LIKE '%issuance_commit%'"
            self.stack.wait(lambda: ask(blocked) == ["1"], what="the commit waits")
            self.stack.kill("certctl-job-job-processor")
            ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'certctl_jobs' AND wait_event_type = 'Lock'")
        return status


class Expiry(ApprovalTest):

    def test_nobody_decides(self):
        late, young = self.wait_for_approval(), self.wait_for_approval()
        self.stack.sql(f"UPDATE issuance_approval_requests SET created_at = now() - interval '169 hours' WHERE id = '{late.approval}'; "
                       f"UPDATE issuance_approval_requests SET created_at = now() - interval '167 hours' WHERE id = '{young.approval}'")
        self.run_job("job-timeout")
        self.assertEqual(self.stack.sql("SELECT state, decided_by, decision_note FROM issuance_approval_requests "
                                        f"WHERE id = '{late.approval}'"),
                         [["expired", "system-reaper", "auto-expired by scheduler reaper at CERTCTL_JOB_AWAITING_APPROVAL_TIMEOUT"]])
        self.assertEqual(self.stack.sql(f"SELECT status, last_error FROM jobs WHERE id = '{late.job}'"),
                         [["Cancelled", "approval expired: timed out without review"]])
        self.assertEqual(self.ends(late, "invalid")["error"], REJECTED)
        self.assertEqual(self.audits(late.approval), ["approval_requested", "approval_expired"])
        self.assertEqual(self.stack.sql("SELECT actor, details->>'timeout_reason', details->>'age_hours' FROM audit_events "
                                        f"WHERE action = 'job_timeout' AND resource_id = '{late.job}'"), [["system", "approval_timeout", "169"]])
        self.assertRefused(self.decide(late.approval), 409, "approval request already decided")
        self.nothing_was_issued(late)
        self.run_job("job-timeout")
        self.assertEqual(self.audits(late.approval), ["approval_requested", "approval_expired"])
        self.assertEqual(self.job(young), "AwaitingApproval")
        self.assertEqual(self.decide(young.approval).status, 200)
        self.is_issued(young)


class LeftBehind(ApprovalTest):
    """Orders whose job ended, by whomever, without telling them: acme-finalize sweeps (01 section 10.3)."""

    seconds = 10
    INTERNAL = "urn:ietf:params:acme:error:serverInternal"

    def sweep(self):
        """The next acme-finalize begins with it; the one that lingers did so when it began."""
        self.stack.kill("certctl-job-acme-finalize")
        self.stack.sql("UPDATE scheduler_state SET next_due_at = now() WHERE job LIKE 'acme-finalize%'")

    def force(self, w, through, last):
        """The job in another state, by the transitions that are allowed, in one transaction that nobody sees into."""
        approved = (f"UPDATE issuance_approval_requests SET state = 'approved', decided_by = 'x', decided_at = now() WHERE id = '{w.approval}'; "
                    f"UPDATE jobs SET approval_id = '{w.approval}' WHERE id = '{w.job}'; ") if through else ""
        self.stack.sql(approved + "".join(f"UPDATE jobs SET status = '{status}' WHERE id = '{w.job}'; " for status in through)
                       + f"UPDATE jobs SET {last} WHERE id = '{w.job}'")

    def test_what_a_job_left_behind(self):
        kept = self.wait_for_approval()
        ended = {"cancelled": ("Cancelled", "cancelled", "the request was cancelled"),
                 "permanent": ("Failed", "permanent", "issuer rejected the CSR"),
                 "transient": ("Failed", "transient", "the certificate could not be issued")}
        waiting = {what: self.wait_for_approval() for what in ended}
        later = self.wait_for_approval()
        for what, (status, failure, _) in ended.items():
            self.force(waiting[what], [] if status == "Cancelled" else ["Pending", "Running"],
                       f"status = '{status}', failure_class = '{failure}', last_error = 'its own words', completed_at = now()")
        self.force(later, ["Pending", "Running"], "status = 'Failed', failure_class = 'transient', next_attempt_at = now() + interval '1 hour'")
        self.sweep()
        for what, (_, _, detail) in ended.items():
            w = waiting[what]
            self.assertEqual(self.ends(w, "invalid")["error"], {"type": self.INTERNAL, "detail": detail, "status": 500})
            self.assertEqual(self.stack.value(f"SELECT status FROM managed_certificates WHERE id = '{w.certificate}'"), "Failed")
            self.assertEqual(self.stack.value("SELECT count(*) FROM audit_events WHERE action = 'acme_order_failed' "
                                              f"AND resource_id = '{w.url.rsplit('/', 1)[1]}' AND details->>'error' = 'its own words'"), "1")
            self.nothing_was_issued(w)
        self.assertEqual({w.acme.post(w.url).json["status"] for w in (kept, later)}, {"processing"})
        self.assertEqual(self.decide(kept.approval).status, 200)
        self.is_issued(kept)

    def test_a_worker_that_is_lost_for_good(self):
        w = self.wait_for_approval()
        self.force(w, ["Pending"], "status = 'Running', attempts = max_attempts, claimed_by = 'gone', lease_until = now() - interval '1 second'")
        self.run_job("job-timeout")
        self.assertEqual(self.ends(w, "invalid")["error"],
                         {"type": self.INTERNAL, "detail": "the certificate could not be issued", "status": 500})
        self.nothing_was_issued(w)


class Edits(ApprovalTest):
    """Edits of profiles that want two persons (04 section 13.5)."""

    def profile(self, gated=True):
        type(self).count += 1
        made = self.call("POST", "/profiles", body={"name": f"edited {self.count} {id(type(self))}", "requires_approval": gated,
                                                    "description": "as it was"})
        self.assertEqual(made.status, 201, made)
        return made.json["id"]

    def edit(self, profile, key=None, method="PUT", **members):
        answer = self.call(method, f"/profiles/{profile}", key=key, body=members)
        self.assertEqual(answer.status, 202, answer)
        approval = answer.json["pending_approval_id"]
        self.assertEqual(answer.json, {"status": "pending_approval", "pending_approval_id": approval,
                                       "message": "profile edit requires approval (see /v1/approvals/{id}/approve)"})
        return approval

    def shown(self, profile):
        return self.call("GET", f"/profiles/{profile}").json

    def test_approved(self):
        profile = self.profile()
        before = self.shown(profile)
        approval = self.edit(profile, description="as it shall be", max_ttl_seconds=86400, issuer_id="iss-local")
        self.assertEqual(self.shown(profile), before)
        row = self.call("GET", f"/approvals/{approval}").json
        self.assertEqual((row["kind"], row["profile_id"], row["requested_by"], row["state"]), ("profile_edit", profile, self.actor(), "pending"))
        wished = json.loads(base64.b64decode(row["payload"]))
        self.assertEqual((wished["description"], wished["max_ttl_seconds"]), ("as it shall be", 86400))
        self.assertRefused(self.decide(approval), 403, "approver cannot be the same as requester (two-person integrity)")
        self.assertEqual(self.decide(approval, key=self.key("bob")).json["action"], "approved")
        after = self.shown(profile)
        self.assertEqual((after["description"], after["max_ttl_seconds"], after["issuer_id"]), ("as it shall be", 86400, "iss-local"))
        self.assertEqual({name: after[name] for name in before if name not in ("description", "max_ttl_seconds", "updated_at")},
                         {name: before[name] for name in before if name not in ("description", "max_ttl_seconds", "updated_at")})
        self.assertEqual(self.decide(approval, key=self.key("bob")).status, 200)
        self.assertEqual(self.shown(profile), after)
        rows = self.stack.sql("SELECT action, actor FROM audit_events WHERE action LIKE 'profile.%' AND "
                              f"resource_id = '{profile}' ORDER BY seq")
        self.assertEqual(rows, [["profile.edit_request", self.actor()], ["profile.edit_applied", self.actor("bob")]])
        self.assertEqual(self.audits(approval), ["approval_profile_edit_requested", "approval_approved"])

    def test_rejected(self):
        profile = self.profile()
        before = self.shown(profile)
        approval = self.edit(profile, description="other")
        self.assertEqual(self.decide(approval, "reject", key=self.key("bob"), body={"note": "no"}).json["action"], "rejected")
        self.assertEqual(self.shown(profile), before)
        self.edit(profile, description="another")  # the next one may ask

    def test_what_is_gated(self):
        profile = self.profile(gated=False)
        self.assertEqual(self.call("PUT", f"/profiles/{profile}", body={"description": "free"}).status, 200)
        approval = self.edit(profile, requires_approval=True)  # neither in nor out by one alone
        self.assertNotIn("requires_approval", self.shown(profile))
        self.assertRefused(self.call("PUT", f"/profiles/{profile}", body={"requires_approval": True}), 409,
                           "an edit of this profile waits for approval already")
        self.assertEqual(self.decide(approval, key=self.key("bob")).status, 200)
        self.assertTrue(self.shown(profile)["requires_approval"])
        approval = self.edit(profile, method="PATCH", requires_approval=False)
        self.assertTrue(self.shown(profile)["requires_approval"])
        self.assertRefused(self.call("DELETE", f"/profiles/{profile}", key=self.key("admin", "r-admin")), 409,
                           "Cannot delete profile: it requires approval; disable it by an edit")
        self.assertEqual(self.decide(approval, key=self.key("bob")).status, 200)
        self.assertNotIn("requires_approval", self.shown(profile))

    def test_the_profile_changed_meanwhile(self):
        profile = self.profile()
        approval = self.edit(profile, description="late")
        self.stack.sql(f"UPDATE certificate_profiles SET description = 'faster' WHERE id = '{profile}'")
        self.assertRefused(self.decide(approval, key=self.key("bob")), 409, "profile changed since this edit was requested")
        self.assertEqual(self.shown(profile)["description"], "faster")
        self.assertEqual(self.audits(approval), ["approval_profile_edit_requested", "approval_profile_apply_failed"])
        self.assertEqual(self.decide(approval, "reject", key=self.key("bob")).status, 200)

    def test_what_cannot_be_written_is_not_approved(self):
        self.stack.sql("INSERT INTO owners (id, name, team_id) VALUES ('o-fleeting', 'fleeting', 't-enrollment') ON CONFLICT DO NOTHING")
        profile = self.profile()
        approval = self.edit(profile, enroll_owner_id="o-fleeting")
        self.stack.sql("DELETE FROM owners WHERE id = 'o-fleeting'")
        answer = self.decide(approval, key=self.key("bob"))
        self.assertIn(answer.status, (400, 409, 422), answer)
        self.assertEqual(self.call("GET", f"/approvals/{approval}").json["state"], "pending")
        self.assertNotIn("enroll_owner_id", self.shown(profile))
        self.assertEqual(self.audits(approval), ["approval_profile_edit_requested", "approval_profile_apply_failed"])

    def test_expiry_leaves_the_profile(self):
        profile = self.profile()
        before = self.shown(profile)
        approval = self.edit(profile, description="too late")
        self.stack.sql(f"UPDATE issuance_approval_requests SET created_at = now() - interval '169 hours' WHERE id = '{approval}'")
        self.run_job("job-timeout")
        self.assertEqual(self.call("GET", f"/approvals/{approval}").json["state"], "expired")
        self.assertEqual(self.shown(profile), before)


class Bypass(ApprovalTest):
    """CERTCTL_APPROVAL_BYPASS, for development, as the processor alone reads it."""

    def test_bypass(self):
        w = self.wait_for_approval()
        # The one that waits for work holds the lock of the host; and certctl-tick begins no other meanwhile.
        self.addCleanup(self.next_processor)
        self.stack.sql("UPDATE scheduler_state SET next_due_at = now() + interval '1 hour' WHERE job LIKE 'job-processor%'")
        self.run_job("job-processor", alone=True, CERTCTL_APPROVAL_BYPASS="true")
        self.is_issued(w)
        self.assertEqual(self.audits(w.approval), ["approval_requested", "approval_bypassed"])
        self.assertEqual(self.stack.sql("SELECT state, decided_by FROM issuance_approval_requests "
                                        f"WHERE id = '{w.approval}'"), [["approved", "system-bypass"]])
        self.assertEqual(self.stack.value("SELECT has_function_privilege('certctl_acme', 'approval_bypass(text, text)', 'EXECUTE') OR "
                                          "has_function_privilege('certctl_api', 'approval_bypass(text, text)', 'EXECUTE')"), "f")
