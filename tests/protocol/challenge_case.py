"""What the tests of challenges share: a stack, and a client whose proofs are put in place."""
import atexit
import os

import targets
from case import ProtocolTest
from stack import Stack, free_port

PROFILE = """
INSERT INTO certificate_profiles (id, name, issuer_id, acme_auth_mode) VALUES
  ('prof-proof', 'Proof', 'iss-local', 'challenge'), ('prof-proof-b', 'Proof B', 'iss-local', 'challenge'),
  ('prof-proof-dns', 'Proof by DNS', 'iss-local', 'challenge'), ('prof-proof-tls', 'Proof by TLS', 'iss-local', 'challenge'),
  ('prof-proof-all', 'All proofs', 'iss-local', 'challenge'), ('prof-proof-label', 'Proof by label', 'iss-local', 'challenge'),
  ('prof-proof-heedless', 'Without CAA', 'iss-local', 'challenge'), ('prof-proof-persist', 'Proof that stays', 'iss-local', 'challenge'),
  ('prof-proof-drafts', 'Types of drafts', 'iss-local', 'challenge'), ('prof-proof-choice', 'Proofs and a choice', 'iss-local', 'challenge'),
  ('prof-proof-every', 'Every type', 'iss-local', 'challenge')
ON CONFLICT DO NOTHING;
INSERT INTO certificate_profiles (id, name, max_ttl_seconds) VALUES ('prof-proof-days', 'Five days', 432000) ON CONFLICT DO NOTHING;
INSERT INTO certificate_profiles (id, name, issuer_id, acme_auth_mode, requires_approval) VALUES
  ('prof-proof-gated', 'Proof, and two persons', 'iss-local', 'challenge', true) ON CONFLICT DO NOTHING;
INSERT INTO acme_profile_settings (profile_id, settings) VALUES
  ('prof-proof', '{"challenge_types":["http-01"]}'), ('prof-proof-b', '{"challenge_types":["http-01"]}'),
  ('prof-proof-dns', '{"challenge_types":["dns-01"]}'), ('prof-proof-tls', '{"challenge_types":["tls-alpn-01"]}'),
  ('prof-proof-label', '{"challenge_types":["dns-account-01"]}'), ('prof-proof-heedless', '{"caa":"off"}'),
  ('prof-proof-persist', '{"challenge_types":["dns-persist-01"]}'),
  ('prof-proof-drafts', '{"challenge_types":["dns-persist-01","dns-account-01","http-01"],"preauthorization":true}'),
  ('prof-proof-choice', '{"selectable_profiles":["prof-proof-days"]}'),
  ('prof-proof-every', '{"challenge_types":["http-01","dns-01","tls-alpn-01","dns-account-01","dns-persist-01"]}')
ON CONFLICT DO NOTHING;
"""

_shared = {}


def shared():
    """One stack for what proves something, with its own DNS and ports of its own for http-01 and tls-alpn-01."""
    if not _shared:
        names, port, tls_port = targets.Names(), free_port(), free_port()
        stack = Stack(name="challenge", env={
            "CERTCTL_ACME_SERVER_RATE_LIMIT_CONCURRENT_ORDERS": "0",
            "CERTCTL_ACME_SERVER_RATE_LIMIT_ORDERS_PER_HOUR": "0",
            "CERTCTL_ACME_SERVER_RATE_LIMIT_NEW_ACCOUNTS_PER_IP_PER_HOUR": "0",
            "CERTCTL_ACME_SERVER_HTTP01_PORT": str(port),
            "CERTCTL_ACME_SERVER_TLSALPN01_PORT": str(tls_port),
            "CERTCTL_ACME_SERVER_DNS01_RESOLVER": f"127.0.0.1:{names.port}",
            "CERTCTL_ACME_SERVER_CAA_IDENTITIES": "ca.test, other-ca.test",
            "CERTCTL_ACME_SERVER_ADDR_RESOLVER": f"127.0.0.1:{names.port}",
            "CERTCTL_ACME_SERVER_CHALLENGE_TIMEOUT": "12s",
            "CERTCTL_ACME_SERVER_VALIDATION_ATTEMPTS": "2",
            "CERTCTL_ACME_SERVER_RATE_LIMIT_FAILED_VALIDATIONS_PER_HOUR": "3",
            "CERTCTL_OUTBOUND_ALLOW_CIDRS": "127.0.0.1/32",
            "CERTCTL_BLOCK_RFC1918_OUTBOUND": "true",
        })
        atexit.register(stack.stop, keep=bool(os.environ.get("CERTCTL_CHECK_KEEP")))
        stack.start()
        stack.sql(PROFILE)
        _shared.update(stack=stack, names=names, port=port, tls_port=tls_port)
    return _shared["stack"], _shared["names"], _shared["port"]


def shared_tls_port():
    """Where that stack looks for tls-alpn-01."""
    shared()
    return _shared["tls_port"]


class ChallengeTest(ProtocolTest):
    """Helpers; `web` answers on the http-01 port for as long as the class runs."""

    @classmethod
    def setUpClass(cls):
        cls.stack, cls.names, cls.port = shared()
        cls.web = targets.Web(cls.port)
        cls.addClassCleanup(cls.web.close)

    @property
    def tls_port(self):
        return shared_tls_port()

    def client(self, profile="prof-proof", key=None, register=True):
        return super().client(profile, key, register)

    def authz(self, acme, order):
        return [acme.post(url).json for url in order["authorizations"]]

    def offer(self, acme, authz, kind="http-01"):
        """The challenge of an authorization, its proof put in place."""
        challenge = next(c for c in authz["challenges"] if c["type"] == kind)
        self.web.proofs[challenge["token"]] = f"{challenge['token']}.{acme.key.thumbprint()}"
        return challenge

    def answer_all(self, acme, order):
        for authz in self.authz(acme, order):
            if authz["status"] == "pending":
                answer = acme.post(self.offer(acme, authz)["url"], {})
                self.assertEqual(answer.status, 200, answer)

    def settled(self, acme, url, states=("pending", "processing"), seconds=120):
        """The object at the URL once it is in none of these states."""
        found = []

        def over():
            found[:] = [acme.post(url)]
            return found[0].json["status"] not in states

        Stack.wait(over, seconds, what=f"{url} leaves {states}")
        return found[0].json

    def ready(self, acme, *names):
        order = acme.order(*names)
        self.assertEqual(order.status, 201, order)
        self.answer_all(acme, order.json)
        settled = self.settled(acme, order.headers["Location"])
        self.assertEqual(settled["status"], "ready", settled)
        return settled

    def time_passes(self):
        """Leases of who was killed end, and the jobs begin anew at once."""
        self.stack.sql("UPDATE acme_challenges SET lease_until = now() WHERE lease_until IS NOT NULL; "
                       "UPDATE acme_orders SET lease_until = now() WHERE lease_until IS NOT NULL; "
                       "UPDATE scheduler_state SET next_due_at = now() WHERE job LIKE 'acme-%' OR job LIKE 'job-%'")

    def errors(self, acme, order):
        return {a["identifier"]["value"]: c.get("error") for a in self.authz(acme, order) for c in a["challenges"]}
