"""Metrics: what processes count reaches the table in time, and is shown as Prometheus reads it."""
import contextlib
import os
import re
import signal

from test_api import ApiTest

SAMPLE = re.compile(r'([a-z_]+)(?:\{([a-z_]+="(?:[^"\\\n]|\\["\\n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\["\\n])*")*)\})? (-?[0-9.e+-]+)')


class Metrics(ApiTest):

    def text(self):
        answer = self.raw("GET", "/api/v1/metrics/prometheus", headers=self.credentials())
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        return answer.body.decode()

    def credentials(self):
        return {"Authorization": f"Bearer {self.key('r-viewer')}"}

    def read(self):
        """Series by name and labels; the text is held against the format on the way."""
        families, series, family = {}, {}, None
        for line in self.text().splitlines():
            if line.startswith("# HELP "):
                family, text = line[7:].split(" ", 1)
                self.assertNotIn(family, families)
                self.assertTrue(text)
            elif line.startswith("# TYPE "):
                name, kind = line[7:].split(" ")
                self.assertEqual(name, family)
                self.assertIn(kind, ("counter", "gauge", "histogram"))
                families[name] = kind
            else:
                found = SAMPLE.fullmatch(line)
                self.assertTrue(found, line)
                name, labels, value = found.groups()
                base = re.sub("_(bucket|sum|count)$", "", name) if families[family] == "histogram" else name
                self.assertEqual(base, family, line)
                self.assertNotIn((name, labels), series)
                series[name, labels] = float(value)
        self.assertEqual(list(families), sorted(families))
        return families, series

    def value(self, name, labels=None):
        return self.read()[1].get((name, labels), 0.0)

    def grows(self, act, *names):
        """What an act adds to each; workers write after five seconds, also when nobody asks them anything."""
        before = self.read()[1]
        act()

        still = list(names)

        def all_grew():
            after = self.read()[1]
            still[:] = [name for name in names if after[name] <= before[name]]
            return not still
        try:
            self.stack.wait(all_grew, seconds=60, what="they grow")
        finally:
            self.assertEqual(still, [])

    def test_every_family_is_there_from_zero(self):
        families, series = self.read()
        wanted = """directory directory_failures new_nonce new_nonce_failures new_account new_account_failures new_account_idempotent
            update_account update_account_failures deactivate_account new_order new_order_failures new_order_rejected finalize_order
            finalize_order_failures cert_download cert_download_failures authz_read challenge_respond challenge_respond_failures
            challenge_validate_valid challenge_validate_invalid key_change key_change_failures revoke_cert revoke_cert_failures renewal_info
            renewal_info_failures gc_nonces_reaped gc_authzs_expired gc_orders_invalidated gc_runs gc_run_failures bad_nonce""".split()
        for name in wanted:
            with self.subTest(name):
                self.assertEqual(families[f"certctl_acme_{name}_total"], "counter")
                self.assertIn((f"certctl_acme_{name}_total", None), series)
        self.assertIn(("certctl_acme_problems_total", 'type="rejectedIdentifier"'), series)
        self.assertIn(("certctl_acme_rate_limited_total", 'bucket="new_order"'), series)
        self.assertIn(("certctl_ocsp_counter_total", 'label="edge_refresh_failed"'), series)
        self.assertIn(("certctl_acme_orders", 'status="processing"'), series)
        for name in ("acme_challenges_processing", "acme_challenge_queue_age_seconds", "acme_open_trust_profiles", "certificate_total",
                     "job_pending", "agent_online", "uptime_seconds", "schema_version"):
            self.assertEqual(families[f"certctl_{name}"], "gauge", name)
            self.assertIn((f"certctl_{name}", None), series)
        self.assertEqual(families["certctl_acme_finalize_duration_seconds"], "histogram")
        self.assertTrue([labels for name, labels in series if name == "certctl_sealed_rows" and labels.startswith('table="acme_nonce_keys",version=')])

    def test_an_order_is_counted(self):
        def act():
            acme = self.client()
            self.assertEqual(self.raw("GET", "/acme/profile/prof-test/directory").status, 200)
            acme.obtain("metrics.example.org")
            self.client(key=acme.key)
            self.assertEqual(acme.order("bad name").status, 400)
            self.assertEqual(acme.post(acme.kid, {"contact": ["mailto:m@example.org"]}).status, 200)
            answer = acme.post("/new-order", {"identifiers": [{"type": "dns", "value": "n.example.org"}]}, nonce="AAAA")
            self.assertProblem(answer, 400, "badNonce")
            self.assertEqual(acme.post(acme.kid, {"status": "deactivated"}).status, 200)
        self.grows(act, *((f"certctl_acme_{name}_total", None) for name in (
            "directory", "new_nonce", "new_account", "new_account_idempotent", "new_order", "new_order_failures", "new_order_rejected", "finalize_order",
            "cert_download", "update_account", "deactivate_account", "bad_nonce")),
            ("certctl_acme_problems_total", 'type="badNonce"'), ("certctl_acme_problems_total", 'type="rejectedIdentifier"'),
            ("certctl_acme_finalize_duration_seconds_count", None), ("certctl_acme_finalize_duration_seconds_bucket", 'le="+Inf"'),
            ("certctl_acme_orders", 'status="valid"'))
        _, series = self.read()
        buckets = [value for (name, _), value in series.items() if name == "certctl_acme_finalize_duration_seconds_bucket"]
        self.assertEqual(buckets, sorted(buckets), "summed up")
        self.assertEqual(buckets[-1], series["certctl_acme_finalize_duration_seconds_count", None])

    def test_a_worker_that_ends_writes(self):
        def counted():
            return float(self.stack.value("SELECT coalesce(sum(value), 0) FROM metric_counters WHERE name = 'certctl_acme_directory_total'"))
        before = counted()
        for _ in range(5):
            self.assertEqual(self.raw("GET", "/acme/profile/prof-test/directory").status, 200)
        for pid in self.stack.pids("certctl-acme"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        self.stack.wait(lambda: counted() >= before + 5, seconds=60, what="what was counted is written")
        self.stack.wait(lambda: self.raw("GET", "/acme/profile/prof-test/directory").status == 200, seconds=60, what="there are workers again")

    def test_gauges_are_the_rows(self):
        self.stack.sql("INSERT INTO certificate_profiles (id, name, issuer_id) VALUES ('prof-open', 'Open', 'iss-local') ON CONFLICT DO NOTHING; "
                       "INSERT INTO certificate_profiles (id, name, issuer_id, required_san_patterns) VALUES ('prof-open-not', 'Not open', "
                       "'iss-local', '[\"a[.]example\"]'), ('prof-open-choice', 'Not open, but for a choice', 'iss-local', '[\"a[.]example\"]') "
                       "ON CONFLICT DO NOTHING; INSERT INTO acme_profile_settings (profile_id, settings) VALUES ('prof-open-choice', "
                       "'{\"selectable_profiles\":[\"prof-open\"]}') ON CONFLICT DO NOTHING")
        count = "SELECT count(*) FROM certificate_profiles p LEFT JOIN acme_profile_settings s ON s.profile_id = p.id WHERE p.enabled AND " \
                "p.acme_auth_mode = 'trust_authenticated' AND NOT coalesce((s.settings->>'eab_required')::boolean, false) AND (p.required_san_patterns = " \
                "'[]' OR EXISTS (SELECT 1 FROM certificate_profiles c WHERE c.enabled AND c.required_san_patterns = '[]' AND " \
                "s.settings->'selectable_profiles' ? c.id::text)) " \
                "AND NOT coalesce((s.settings->>'require_mtls')::boolean, false)"
        self.stack.wait(lambda: self.value("certctl_acme_open_trust_profiles") == float(self.stack.value(count)), what="open profiles are counted")

    def test_orders_by_status(self):
        acme = self.client()
        acme.obtain("by-status.example.org")
        acme.order("by-status-open.example.org")
        self.stack.sql(f"UPDATE acme_orders SET status = 'invalid' WHERE order_id = '{acme.order('by-status-bad.example.org').json['finalize'].split('/')[-2]}'")

        def rows():
            return {f'status="{status}"': float(count) for status, count in self.stack.sql("SELECT status, count(*) FROM acme_orders GROUP BY 1")}

        def shown():
            return {labels: value for (name, labels), value in self.read()[1].items() if name == "certctl_acme_orders" and value}
        self.stack.wait(lambda: shown() == rows(), 60, "gauges are the rows")
        self.assertEqual(set(rows()) & {f'status="{status}"' for status in ("ready", "valid", "invalid")},
                         {f'status="{status}"' for status in ("ready", "valid", "invalid")})

    def test_json(self):
        body = self.good("/metrics")
        self.assertEqual(list(body), ["gauge", "counter", "uptime"])
        gauge = body["gauge"]
        self.assertEqual(list(gauge), ["certificate_total", "certificate_active", "certificate_expiring_soon", "certificate_expired",
                                       "certificate_revoked", "agent_total", "agent_online", "job_pending"])
        self.assertEqual(gauge["certificate_total"], sum(gauge[f"certificate_{kind}"] for kind in ("active", "expiring_soon", "expired", "revoked")))
        self.assertGreater(gauge["certificate_total"], 0)
        self.assertEqual(list(body["counter"]), ["job_completed_total", "job_failed_total", "notifications_dead_total"])

    def test_permissions(self):
        for path in ("/metrics", "/metrics/prometheus"):
            with self.subTest(path):
                self.assertEqual(self.raw("GET", f"/api/v1{path}").status, 401)
                self.assertRefused(self.get(path, key=self.key("r-agent")), 403, "forbidden")
