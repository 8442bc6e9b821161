"""What ends by itself (01 section 15): orders, authorizations, nonce keys; and the limit on failed validations (section 14)."""
import base64
import os
import subprocess
import time

from cryptography.hazmat.primitives.asymmetric import ec

import sealed
import targets
import test_challenge
from acme_client import csr


def clear_of(nonce):
    return base64.urlsafe_b64decode(nonce + "=" * (-len(nonce) % 4))


class Collected(test_challenge.Success.__base__):

    def collect(self, check=True):
        """One run as certctl-tick would start it, at once."""
        environment = {"PATH": "/usr/bin:/bin", "PGUSER": "certctl_jobs"}
        with open(os.path.join(self.stack.dir, "certctl.env"), encoding="utf-8") as lines:
            environment.update(line.rstrip("\n").split("=", 1) for line in lines if line.strip() and not line.startswith("#"))
        environment.update(sealed.lines(self.stack))
        command = [os.path.join(self.stack.dir, "bin", "certctl-job-acme-gc"), "--force"]
        if self.stack.isolated:
            command = ["setpriv", "--reuid=certctl-jobs", "--regid=certctl-jobs", "--init-groups", "--", *command]

        def done():
            ran = subprocess.run(command, env=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if check:
                self.assertEqual(ran.returncode, 0, ran.stdout)
            return "still active" not in ran.stdout and "another host" not in ran.stdout

        self.stack.wait(done, what="a run of its own")

    def audits(self):
        return int(self.stack.value("SELECT count(*) FROM audit_events WHERE action = 'acme_gc_swept'"))

    def age(self, order, table="acme_orders", column="order_id"):
        key = order.headers["Location"].rsplit("/", 1)[1] if column == "order_id" else order
        self.stack.sql(f"UPDATE {table} SET expires_at = now() - interval '1 second' WHERE {column} = '{key}'")
        return key

    def test_what_expired_ends_and_the_rest_stays(self):
        acme = self.client()
        late, stale, young = acme.order("late.good.test"), acme.order("stale.good.test", "fresh.good.test"), acme.order("young.good.test")
        self.age(late)
        authz = self.authz(acme, stale.json)[0]
        self.offer(acme, authz)
        self.age(stale.json["authorizations"][0].rsplit("/", 1)[1], "acme_authorizations", "authz_id")
        self.collect()
        ended = {"type": "urn:ietf:params:acme:error:serverInternal", "detail": "order expired before issuance", "status": 500}
        for order in (late, stale):
            shown = acme.post(order.headers["Location"]).json
            self.assertEqual((shown["status"], shown["error"]), ("invalid", ended))
        self.assertEqual([a["status"] for a in self.authz(acme, stale.json)], ["expired", "pending"])
        self.assertEqual(acme.post(young.headers["Location"]).json["status"], "pending")
        answer = acme.finalize(late.json, csr(ec.generate_private_key(ec.SECP256R1()), ["late.good.test"]))
        self.assertProblem(answer, 403, "orderNotReady")
        row = self.stack.sql("SELECT actor, actor_type, details->>'sweep', details->>'count' FROM audit_events "
                             f"WHERE action = 'acme_gc_swept' AND details->'ids' ? '{late.headers['Location'].rsplit('/', 1)[1]}'")
        self.assertEqual(row[0][:3], ["acme-system:gc", "System", "orders"])
        before = self.audits()
        self.collect()  # the second run changes nothing
        self.assertEqual(self.audits(), before)

    TABLES = ("acme_orders", "acme_authorizations", "acme_order_authorizations", "acme_challenges", "acme_validation_results", "acme_nonce_keys")

    def all_rows(self):
        """A digest of each table of ACME, and how many audit rows it wrote."""
        digests = ", ".join(f"(SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table} t)" for table in self.TABLES)
        return self.stack.sql(f"SELECT {digests}, (SELECT count(*) FROM audit_events WHERE action = 'acme_gc_swept')")

    def test_twice_in_a_row(self):
        """Done means 25 of 01: the second run changes nothing, orphans are gone, the audit log verifies."""
        acme = self.client()
        account = acme.kid.rsplit("/", 1)[1]
        order = acme.order("orphans.good.test")
        name = self.age(order)
        authz = order.json["authorizations"][0].rsplit("/", 1)[1]
        self.age(authz, "acme_authorizations", "authz_id")
        self.stack.sql(f"""
            INSERT INTO acme_challenges (challenge_id, authz_id, account_id, type, status) VALUES ('gc-orphan', '{authz}', '{account}', 'http-01', 'invalid');
            INSERT INTO acme_validation_results (challenge_id, attempt, perspective, ok) VALUES ('gc-orphan', 1, 'elsewhere', false)""")
        self.collect()
        self.stack.sql(f"UPDATE acme_orders SET expires_at = now() - interval '91 days' WHERE order_id = '{name}'")
        self.collect()
        left = (f"SELECT (SELECT count(*) FROM acme_orders WHERE order_id = '{name}'), (SELECT count(*) FROM acme_authorizations WHERE authz_id = '{authz}'), "
                "(SELECT count(*) FROM acme_challenges WHERE challenge_id = 'gc-orphan'), "
                "(SELECT count(*) FROM acme_validation_results WHERE challenge_id = 'gc-orphan')")
        self.assertEqual(self.stack.sql(left), [["0", "0", "0", "0"]])
        before = self.all_rows()
        self.collect()
        self.assertEqual(self.all_rows(), before)
        self.assertEqual(self.stack.value("SELECT first_break_pos FROM audit_events_verify_chain()"), "-1")

    def test_old_orders_go_and_certificates_stay(self):
        acme = self.client()
        names = ["gone.good.test", "kept.good.test", "long.good.test"]
        settled = {name: self.ready(acme, name) for name in names}
        certificates = {}
        for name in names[1:]:
            done = acme.finalize(settled[name], csr(ec.generate_private_key(ec.SECP256R1()), [name]))
            certificates[name] = done.json["certificate"].rsplit("/", 1)[1]
        order_ids = {name: settled[name]["finalize"].split("/")[-2] for name in names}
        listed = "', '".join(order_ids.values())
        self.stack.sql(f"UPDATE acme_orders SET created_at = now() - interval '92 days', expires_at = now() - interval '91 days' WHERE order_id IN ('{listed}')")
        self.stack.sql(f"UPDATE acme_orders SET status = 'invalid' WHERE order_id = '{order_ids['gone.good.test']}'")
        self.stack.sql("UPDATE acme_authorizations SET expires_at = now() - interval '90 days' WHERE identifier->>'value' = 'gone.good.test'")
        self.stack.sql("UPDATE managed_certificates SET expires_at = now() - interval '31 days' "
                       f"WHERE id = '{certificates['long.good.test']}'")
        self.stack.sql("UPDATE scheduler_state SET last_success_at = now() - interval '2 hours' WHERE job = 'acme-gc'")
        self.collect()
        left = {row[0] for row in self.stack.sql(f"SELECT order_id FROM acme_orders WHERE order_id IN ('{listed}')")}
        self.assertEqual(left, {order_ids["kept.good.test"]})
        self.assertEqual(self.stack.value("SELECT count(*) FROM acme_authorizations WHERE identifier->>'value' = 'gone.good.test'"), "0")
        self.assertEqual(self.stack.value("SELECT count(*) FROM managed_certificates WHERE id IN "
                                          f"('{certificates['kept.good.test']}', '{certificates['long.good.test']}')"), "2")

    def test_many_and_killed_in_the_middle(self):
        acme = self.client()
        account = acme.kid.rsplit("/", 1)[1]
        self.collect()  # what others left: a batch that begins with theirs is not counted below
        self.stack.sql(f"""
            INSERT INTO acme_orders (order_id, account_id, identifiers, status, expires_at, profile_id)
            SELECT 'gc-order-' || i, '{account}', '[]', 'pending', now() - interval '1 hour', 'prof-proof' FROM generate_series(1, 6000) i;
            INSERT INTO acme_authorizations (authz_id, order_id, identifier, status, expires_at, account_id)
            SELECT 'gc-authz-' || i, 'gc-order-' || i, '{{"type":"dns","value":"x"}}', 'pending', now() - interval '1 hour', '{account}'
              FROM generate_series(1, 6000) i;
            INSERT INTO acme_order_authorizations SELECT 'gc-order-' || i, 'gc-authz-' || i, 1 FROM generate_series(1, 6000) i;
            INSERT INTO acme_challenges (challenge_id, authz_id, account_id, type, status)
            SELECT 'gc-chall-' || i, 'gc-authz-' || i, '{account}', 'http-01', 'pending' FROM generate_series(1, 6000) i""")
        self.stack.sql("UPDATE scheduler_state SET next_due_at = now() WHERE job = 'acme-gc'")
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            self.stack.kill("certctl-job-acme-gc")
            self.stack.sql("UPDATE scheduler_state SET next_due_at = now() WHERE job = 'acme-gc'")
            time.sleep(0.1)
        halves = ("SELECT count(*) FROM acme_orders o JOIN acme_authorizations z ON z.order_id = o.order_id JOIN acme_challenges c "
                  "ON c.authz_id = z.authz_id WHERE o.order_id LIKE 'gc-order-%' AND "
                  "NOT ((z.status, c.status) IN (('pending', 'pending'), ('expired', 'invalid')))")
        self.assertEqual(self.stack.value(halves), "0")
        self.collect()
        self.assertEqual(self.stack.sql("SELECT o.status, z.status, c.status, count(*) FROM acme_orders o JOIN acme_authorizations z "
                                        "ON z.order_id = o.order_id JOIN acme_challenges c ON c.authz_id = z.authz_id "
                                        "WHERE o.order_id LIKE 'gc-order-%' GROUP BY 1, 2, 3"), [["invalid", "expired", "invalid", "6000"]])
        self.assertEqual(self.stack.value("SELECT sum((details->>'count')::integer) FROM audit_events WHERE action = 'acme_gc_swept' "
                                          "AND details->>'sweep' = 'authorizations' AND details->'ids'->>0 LIKE 'gc-authz-%'"), "6000")
        self.stack.sql("DELETE FROM acme_orders WHERE order_id LIKE 'gc-order-%'; DELETE FROM acme_authorizations WHERE authz_id LIKE 'gc-authz-%'")

    def test_nonce_keys_change_and_no_nonce_is_lost(self):
        acme = self.client()
        first = [acme.raw("HEAD", "/acme/profile/prof-proof/new-nonce").headers["Replay-Nonce"] for _ in range(8)]
        key = clear_of(first[0])[0]
        self.stack.sql("UPDATE acme_nonce_keys SET created_at = now() - interval '25 hours', retired_at = retired_at - interval '25 hours'")
        self.collect()
        self.assertEqual(self.stack.sql("SELECT key_id, retired_at IS NULL FROM acme_nonce_keys ORDER BY created_at DESC LIMIT 2"),
                         [[str((key + 1) % 256), "t"], [str(key), "f"]])
        self.collect()  # young: no other one
        self.assertLessEqual(int(self.stack.value("SELECT count(*) FROM acme_nonce_keys")), 2)
        for nonce in first:
            self.assertEqual(acme.post(f"/account/{acme.kid.rsplit('/', 1)[1]}", {}, nonce=nonce).status, 200)
        self.stack.kill("certctl-acme")
        self.stack.wait(lambda: len(self.stack.pids("certctl-acme")) >= 2, what="workers are back")
        fresh = acme.raw("HEAD", "/acme/profile/prof-proof/new-nonce").headers["Replay-Nonce"]
        self.assertEqual(clear_of(fresh)[0], (key + 1) % 256)

    def test_a_name_that_failed_too_often(self):
        acme, other = self.client(), self.client()
        self.web.behaviours["often.good.test"] = lambda connection, path: targets.reply(connection, 200, "wrong")
        for _ in range(3):
            order = acme.order("often.good.test")
            self.assertEqual(order.status, 201, order)
            self.answer_all(acme, order.json)
            self.assertEqual(self.settled(acme, order.headers["Location"])["status"], "invalid")
        answer = acme.order("fine.good.test", "often.good.test")
        self.assertProblem(answer, 429, "rateLimited", "too many failed validations")
        self.assertEqual([(s["identifier"]["value"], s["type"].rsplit(":", 1)[1]) for s in answer.json["subproblems"]],
                         [("often.good.test", "rateLimited")])
        self.assertTrue(3000 < int(answer.headers["Retry-After"]) <= 3600, answer.headers["Retry-After"])
        self.assertEqual(acme.order("fine.good.test").status, 201)
        self.assertEqual(other.order("often.good.test").status, 201)
