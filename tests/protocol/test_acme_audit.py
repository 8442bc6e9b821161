"""Audit rows of ACME (01 section 17): who, what, and the details that the contract lists.

Rows that need a stack of their own are held elsewhere: acme_challenge_completed and acme_authz_deactivated in test_challenge.py,
acme_order_failed in test_approvals.py, acme_gc_swept in test_acme_gc.py, keys of external accounts in test_acme_admin.py."""
import json

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from acme_client import Key, csr
from case import ProtocolTest


class Rows(ProtocolTest):

    def rows(self, actor):
        found = self.stack.sql("SELECT action, actor_type, resource_type, resource_id, details FROM audit_events "
                               f"WHERE actor = 'acme:{actor}' ORDER BY seq")
        return {action: (kind, resource, name, json.loads(details)) for action, kind, resource, name, details in found}

    def assertRow(self, row, resource, name, **details):
        """The members that are named, with their values; ... stands for any."""
        kind, found, found_name, told = row
        self.assertEqual((kind, found, found_name), ("System", resource, name))
        for member, value in details.items():
            self.assertIn(member, told)
            if value is not ...:
                self.assertEqual(told[member], value, member)

    def test_a_life(self):
        """An account from its registration to its end."""
        acme = self.client(register=False)
        acme.register(contact=["mailto:a@example.org"])
        account, first = acme.kid.rsplit("/", 1)[1], acme.key.thumbprint()
        chain, order = acme.obtain("audit.example.org")
        leaf = x509.load_pem_x509_certificate(chain.encode())
        self.assertEqual(acme.revoke(leaf.public_bytes(serialization.Encoding.DER), 4).status, 200)
        self.assertEqual(acme.post(acme.kid, {"contact": ["mailto:b@example.org", "mailto:c@example.org"]}).status, 200)
        new = Key()
        self.assertEqual(acme.change_key(new).status, 200)
        acme.key = new
        self.assertEqual(acme.post(acme.kid, {"status": "deactivated"}).status, 200)
        rows = self.rows(account)
        self.assertRow(rows["acme_account_created"], "acme_account", account, profile_id="prof-test", jwk_thumbprint=first, contact_count=1,
                       tos_agreed=True, client_ip=..., open_trust=True)
        order_id = rows["acme_order_created"][2]
        self.assertRow(rows["acme_order_created"], "acme_order", order_id, account_id=account, profile_id="prof-test",
                       auth_mode="trust_authenticated", identifier_n=1, identifiers=[{"type": "dns", "value": "audit.example.org"}])
        self.assertRow(rows["acme_order_finalized"], "acme_order", order_id, profile_id="prof-test", certificate_id=...,
                       serial=f"{leaf.serial_number:x}".rjust(len(rows["acme_order_finalized"][3]["serial"]), "0"), version_id=...)
        self.assertEqual(rows["certificate_revoked"][1], "certificate")
        self.assertRow(rows["acme_account_updated"], "acme_account", account, account_id=account, contact_count=2)
        self.assertRow(rows["acme_account_key_rolled"], "acme_account", account, old_thumbprint=first, new_thumbprint=new.thumbprint(),
                       profile_id="prof-test")
        self.assertRow(rows["acme_account_deactivated"], "acme_account", account, account_id=account, new_status="deactivated")
        self.assertEqual(len(rows), 7, rows.keys())

    def test_a_request_that_is_refused(self):
        """04 section 6.2: what a policy refuses leaves a row, with the reason and the key; a bad nonce leaves none."""
        acme = self.client()
        account = acme.kid.rsplit("/", 1)[1]
        order = acme.order("refused.example.org").json
        weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
        answer = acme.finalize(order, csr(ec.generate_private_key(ec.SECP256R1()), ["other.example.org"], "other.example.org"))
        self.assertProblem(answer, 400, "badCSR")
        row = self.rows(account)["certificate_issue_rejected"]
        self.assertRow(row, "acme_order", order["finalize"].rsplit("/", 2)[1], code=..., detail=answer.json["detail"], profile_id="prof-test",
                       source="ACME", spki_sha256=..., common_name="other.example.org")
        self.assertProblem(acme.finalize(order, csr(weak, ["refused.example.org"])), 400, "badPublicKey")
        count = "SELECT count(*) FROM audit_events WHERE action = 'certificate_issue_rejected' AND actor = 'acme:" + account + "'"
        self.assertEqual(self.stack.value(count), "2")
        good = acme.finalize(order, csr(ec.generate_private_key(ec.SECP256R1()), ["refused.example.org"]))
        self.assertEqual(good.json["status"], "valid", "the order stayed ready")
        self.assertEqual(self.stack.value(count), "2")
        again = acme.order("refused-again.example.org").json
        for _ in range(25):
            self.assertProblem(acme.finalize(again, csr(weak, ["refused-again.example.org"])), 400, "badPublicKey")
        self.assertIn(int(self.stack.value(count)), (22, 23), "who repeats it fills no table")
