"""renew-now: an operator has clients that ask for renewal information renew at once (01 section 12)."""
import unittest

from acme_client import csr
from cryptography.hazmat.primitives.asymmetric import ec
from test_renewal import cert_id, leaf_of
from test_revocation_api import RevokeTest


class RenewNow(RevokeTest):

    def path(self, certificate):
        return f"/acme/certificates/{certificate}/renew-now"

    def retry(self, leaf):
        return self.raw("GET", f"/acme/profile/prof-test/renewal-info/{cert_id(leaf)}").headers["Retry-After"]

    def test_one_certificate(self):
        certificate, leaf, _ = self.issued("renew-now.example.org")
        self.assertEqual(self.retry(leaf), "21600")
        answer = self.post(self.path(certificate), {"reason": "weak CA"})
        self.assertEqual((answer.status, sorted(answer.json)), (200, ["certificate_id", "early_renewal_at"]), answer)
        self.assertEqual(self.retry(leaf), "300")
        self.assertEqual(self.audits("acme_renew_now_set", certificate), [{"reason": "weak CA"}])
        again = self.post(self.path(certificate), {"reason": "once more"})
        self.assertEqual(again.json, answer.json)  # the first wish stands
        self.assertEqual(self.stack.value(f"SELECT early_renewal_reason FROM managed_certificates WHERE id = '{certificate}'"), "weak CA")
        self.assertEqual(len(self.audits("acme_renew_now_set", certificate)), 2)

    def test_refusals(self):
        certificate, leaf, _ = self.issued("renew-refused.example.org")
        path = self.path(certificate)
        for body, message in (({}, "Reason is required"), ({"reason": ""}, "Reason is required"), ({"reason": None}, "Reason is required"),
                              ({"reason": 7}, None), (b"", None), (b"[]", None), ({"reason": "x" * 501}, "reason is longer than 500 bytes")):
            with self.subTest(body):
                answer = self.post(path, body)
                self.assertEqual(answer.status, 400, answer)
                self.assertIn(message or "", answer.json["message"])
        self.assertEqual(self.post(path, {"reason": "x" * 500}).status, 200)
        self.assertRefused(self.post(self.path("mc-none"), {"reason": "x"}), 404, "not_found", "Certificate not found")
        self.assertEqual(self.post(self.path("a%20b"), {"reason": "x"}).status, 400)
        self.assertEqual(self.post(path, {"reason": "x"}, key=self.key("r-operator")).status, 403)
        certificate, leaf, _ = self.issued("renew-revoked.example.org")
        self.assertEqual(self.post(f"/certificates/{certificate}/revoke", {"reason": "superseded"}).status, 200)
        self.assertEqual(self.post(self.path(certificate), {"reason": "x"}).status, 409)
        self.assertEqual(self.audits("acme_renew_now_set", certificate), [])
        self.assertRefused(self.post("/acme/issuers/iss-none/renew-now", {"reason": "x"}), 404, "not_found", "Issuer not found")
        self.assertRefused(self.post("/acme/issuers/iss-local/renew-now", {}), 400, "invalid", "Reason is required")

    def test_scoped_grant(self):
        certificate, _, _ = self.issued("renew-scope.example.org")
        other, _, _ = self.issued("renew-scope-other.example.org", profile="prof-other")
        key, _, name = self.new_key("--role=r-admin")
        self.stack.sql(f"UPDATE actor_roles SET scope_type = 'profile', scope_id = 'prof-other' WHERE actor_id = '{name}'")
        self.assertEqual(self.post(self.path(other), {"reason": "x"}, key=key).status, 200)
        self.assertEqual(self.post(self.path(certificate), {"reason": "x"}, key=key).status, 403)
        self.assertEqual(self.post("/acme/issuers/iss-local/renew-now", {"reason": "x"}, key=key).status, 403)

    def test_an_issuers_certificates(self):
        """Beside the stack's own issuer, so that its certificates stay as they are."""
        self.stack.sql("INSERT INTO issuers (id, name, type, enabled) VALUES ('iss-renew', 'Renew', 'GenericCA', false)")
        self.addCleanup(self.stack.sql, """UPDATE managed_certificates SET issuer_id = 'iss-local' WHERE issuer_id = 'iss-renew';
                                           DELETE FROM issuers WHERE id = 'iss-renew'""")
        made = [self.issued(f"renew-fleet-{i}.example.org")[0] for i in range(5)]
        listed = ", ".join(f"'{one}'" for one in made)
        self.stack.sql(f"UPDATE managed_certificates SET issuer_id = 'iss-renew' WHERE id IN ({listed})")
        self.stack.sql(f"UPDATE managed_certificates SET status = 'Archived' WHERE id = '{made[0]}'")
        self.stack.sql(f"UPDATE managed_certificates SET tags = tags || '{{\"superseded_by\":\"x\"}}' WHERE id = '{made[1]}'")
        answer = self.post("/acme/issuers/iss-renew/renew-now", {"reason": "the CA goes"})
        self.assertEqual((answer.status, answer.json), (200, {"issuer_id": "iss-renew", "total_set": 3}), answer)
        self.assertEqual(self.stack.value(f"SELECT count(*) FROM managed_certificates WHERE id IN ({listed}) AND early_renewal_reason = 'the CA goes'"), "3")
        again = self.post("/acme/issuers/iss-renew/renew-now", {"reason": "again"})
        self.assertEqual(again.json["total_set"], 0)
        self.assertEqual(self.audits("acme_renew_now_set", "iss-renew"), [{"reason": "the CA goes", "total": 3}])

    def test_the_next_version_ends_it(self):
        """A renewal that replaces is a new certificate: nobody asks for its renewal."""
        acme = self.client()
        chain, order = acme.obtain("renew-next.example.org")
        certificate = order["certificate"].rsplit("/", 1)[1]
        self.assertEqual(self.post(self.path(certificate), {"reason": "x"}).status, 200)
        wanted = acme.order("renew-next.example.org", replaces=cert_id(leaf_of(chain)))
        done = acme.finalize(wanted.json, csr(ec.generate_private_key(ec.SECP256R1()), ["renew-next.example.org"]))
        fresh = acme.post(done.json["certificate"]).body
        self.assertEqual(self.retry(leaf_of(fresh)), "21600")


if __name__ == "__main__":
    unittest.main()
