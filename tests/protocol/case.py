"""What the protocol tests share: one stack for all, started by the first test that needs it."""
import atexit
import contextlib
import os
import threading
import unittest

from acme_client import Client
from stack import Stack

PROFILES = """
INSERT INTO certificate_profiles (id, name, issuer_id, required_san_patterns, enabled) VALUES
  ('prof-other', 'Other', 'iss-local', '[]', true),
  ('prof-patterns', 'Patterns', 'iss-local', '["[a-z0-9-]+\\\\.corp\\\\.example"]', true),
  ('prof-disabled', 'Disabled', 'iss-local', '[]', false)
ON CONFLICT DO NOTHING;
INSERT INTO certificate_profiles (id, name, issuer_id, max_ttl_seconds, allow_short_lived) VALUES
  ('prof-five', 'Five minutes', 'iss-local', 300, true) ON CONFLICT DO NOTHING;
INSERT INTO certificate_profiles (id, name, issuer_id, must_staple) VALUES
  ('prof-staple', 'Staple', 'iss-local', true) ON CONFLICT DO NOTHING;
INSERT INTO certificate_profiles (id, name, issuer_id, allowed_key_algorithms) VALUES
  ('prof-p384', 'P-384 only', 'iss-local', '[{"algorithm":"ECDSA","min_size":384}]') ON CONFLICT DO NOTHING;
INSERT INTO certificate_profiles (id, name, issuer_id) VALUES
  ('prof-eab', 'Bound', 'iss-local'), ('prof-plain', 'No wildcards', 'iss-local') ON CONFLICT DO NOTHING;
INSERT INTO certificate_profiles (id, name, issuer_id, acme_auth_mode) VALUES
  ('prof-persist', 'Records that stay', 'iss-local', 'challenge'),
  ('prof-persist-http', 'Records that stay, or http-01', 'iss-local', 'challenge') ON CONFLICT DO NOTHING;
INSERT INTO acme_profile_settings (profile_id, settings) VALUES
  ('prof-eab', '{"eab_required":true}'),
  ('prof-persist', '{"challenge_types":["dns-persist-01"]}'),
  ('prof-persist-http', '{"challenge_types":["dns-persist-01","http-01"]}'),
  ('prof-plain', '{"allow_wildcard":false,"allow_single_label":false,"identifier_types":["dns"]}')
ON CONFLICT DO NOTHING;
"""

# Limits so high that only the tests of limits meet them.
ENVIRONMENT = {
    "CERTCTL_ACME_SERVER_RATE_LIMIT_CONCURRENT_ORDERS": "0",
    "CERTCTL_ACME_SERVER_RATE_LIMIT_ORDERS_PER_HOUR": "0",
    "CERTCTL_ACME_SERVER_RATE_LIMIT_NEW_ACCOUNTS_PER_IP_PER_HOUR": "0",
    "CERTCTL_RATE_LIMIT_BURST": "100000",
    "CERTCTL_CORS_ORIGINS": "https://console.example",
    "CERTCTL_LOG_LEVEL": "debug",
}

_shared = {}


def shared_stack():
    """One stack for the whole run."""
    if "stack" not in _shared:
        stack = Stack(env=ENVIRONMENT)
        atexit.register(stack.stop, keep=bool(os.environ.get("CERTCTL_CHECK_KEEP")))
        stack.start()
        stack.sql(PROFILES)
        _shared["stack"] = stack
    return _shared["stack"]


class ProtocolTest(unittest.TestCase):
    """A test against the shared stack."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.stack = shared_stack()

    def client(self, profile="prof-test", key=None, register=True):
        client = Client(self.stack, profile, key)
        if register:
            client.register()
        return client

    def assertProblem(self, answer, status, kind, detail=None):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers["Content-Type"], "application/problem+json", answer)
        self.assertEqual(answer.json["type"], f"urn:ietf:params:acme:error:{kind}", answer)
        self.assertEqual(answer.json["status"], status)
        if detail:
            self.assertIn(detail, answer.json["detail"])
        self.assertNotRegex(answer.json["detail"], r"SELECT|INSERT|\.c:|/var/|/home/")

    def at_once(self, calls, held=None, role="certctl_acme"):
        """Every call in a thread of its own; the answers in any order. `held`: a statement whose locks
        are kept until every call (no more of them than workers) waits for one. A responder waits three
        seconds for a lock, and a worker's first request may take longer: who was told 503 asks again."""
        answers = []
        held_on = threading.Event()

        def work(call):
            answer = call()
            while held_on.is_set() and answer.status == 503:
                answer = call()
            answers.append(answer)
        threads = [threading.Thread(target=work, args=(call,)) for call in calls]
        waiting = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}' AND wait_event_type = 'Lock'"
        with self.stack.holding(held) if held else contextlib.nullcontext() as ask:
            if held:
                held_on.set()
            for thread in threads:
                thread.start()
            if held:
                try:
                    self.stack.wait(lambda: ask(waiting) == [str(len(calls))], what="all wait for the locks")
                finally:
                    held_on.clear()
        for thread in threads:
            thread.join()
        self.assertEqual(len(answers), len(calls))
        return answers
