"""The REST routes of the CA hierarchy: asked for by the API, approved on the signer's host, ended by the API (04 section 5, 05 section 4.3)."""
import json
import os
import re
import shutil
import subprocess
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

import test_hierarchy
from acme_client import csr
from case import ENVIRONMENT
from stack import Stack
from test_issuance import split


class ApiTest(test_hierarchy.HierarchyTest):

    mode = "api"
    keys = {}

    def setUp(self):
        self.raw = self.client(register=False).raw

    def key(self, role="r-admin"):
        if role not in self.keys:
            done = subprocess.run([os.path.join(self.stack.dir, "bin", "certctl-admin"), "key", "new", f"--role={role}"], text=True, cwd="/",
                                  check=True, env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.keys[role] = done.stdout.strip(), re.search(r"name ([\w-]+), role", done.stderr).group(1)
        return self.keys[role][0]

    def call(self, method, path, body=None, role="r-admin"):
        headers = {"Authorization": f"Bearer {self.key(role)}", "Content-Type": "application/json"}
        return self.raw(method, "/api/v1" + path, body if body is None or isinstance(body, str) else json.dumps(body), headers)

    def good(self, method, path, body=None, status=200):
        answer = self.call(method, path, body)
        self.assertEqual(answer.status, status, answer.body)
        return answer.json

    def assertRefused(self, answer, status, message):
        self.assertEqual(answer.status, status, answer.body)
        self.assertTrue(answer.json["message"].startswith(message), answer.body)

    def path(self):
        return f"/issuers/iss-{self.mode}/intermediates"

    def ask(self, path=None, **body):
        """202; the request's id."""
        answer = self.good("POST", path or self.path(), body, 202)
        self.assertEqual(answer["status"], "pending")
        self.assertRegex(answer["request_id"], r"^car-\w{26}$")
        return answer["request_id"]

    def ended(self, request):
        self.stack.wait(lambda: self.good("GET", f"/intermediates/requests/{request}")["state"] in ("done", "failed"), what=f"end of {request}")
        return self.good("GET", f"/intermediates/requests/{request}")

    def create(self, path=None, **body):
        """The CA, approved on the host."""
        request = self.ask(path, **body)
        self.admin("approve", request, "--yes")
        ended = self.ended(request)
        self.assertEqual(ended["state"], "done", ended)
        return ended["intermediate_ca_id"]

    def ca(self, name):
        return self.stack.value(f"SELECT id FROM intermediate_cas WHERE owning_issuer_id = 'iss-{self.mode}' AND name = '{name}'")

    def events(self):
        """certctl_intermediate_ca_events_total by kind."""
        return {kind: int(value) for kind, value in self.stack.sql("SELECT split_part(labels, '\"', 2), sum(value)::integer FROM metric_counters "
                                                                   "WHERE name = 'certctl_intermediate_ca_events_total' GROUP BY 1")}

    def assertNames(self, certificate, ca, ocsp_url):
        """Where its status, its signer's list and its signer's certificate are (04 sections 5.3, 6.6)."""
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        self.assertEqual([(one.access_method, one.access_location.value) for one in access],
                         [(x509.AuthorityInformationAccessOID.OCSP, ocsp_url),
                          (x509.AuthorityInformationAccessOID.CA_ISSUERS, f"{self.stack.http_url}/.well-known/pki/ca/{ca}")])
        self.assertEqual([name.value for point in points for name in point.full_name], [f"{self.stack.http_url}/.well-known/pki/crl/{ca}"])

    def root_key(self, name, config=None, subject="/CN=API Root"):
        """A key in the signer's directory, and its self-signed certificate."""
        path = os.path.join(self.stack.dir, "state", "ca", name + ".key")
        self.enterprise.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)
        os.chmod(path, 0o600)
        if os.geteuid() == 0:
            shutil.chown(path, "certctl-signer", "certctl-signer")
        self.enterprise.write(name + ".cnf", config or test_hierarchy.ENTERPRISE)
        self.enterprise.openssl("req", "-x509", "-new", "-key", path, "-out", name + ".pem", "-days", "3000", "-subj", subject,
                                "-extensions", "v3_ca", "-config", name + ".cnf")
        return "file:" + path, self.enterprise.read(name + ".pem")


PATHLEN_2 = test_hierarchy.ENTERPRISE.replace("CA:TRUE\nkeyUsage = critical,keyCertSign", "CA:TRUE,pathlen:2\nkeyUsage = critical,keyCertSign")


class Hierarchy(ApiTest):
    """Root, policy and issuing CA by API and `ca approve`; then their ends."""

    def test_1_from_root_to_leaf(self):
        reference, pem = self.root_key("api-root", PATHLEN_2)
        request = self.ask(name="root", root_cert_pem=pem, key_driver_id=reference)
        said = self.good("GET", f"/intermediates/requests/{request}")
        self.assertEqual((said["id"], said["state"], said["requested_by"]), (request, "pending", self.keys["r-admin"][1]))
        self.assertNotIn("error", said)
        shown = self.admin("approve", request, "--yes").stdout
        self.assertIn(said["fields_sha256"], shown)
        self.assertIn(self.keys["r-admin"][1], shown)
        before = self.events()
        root = self.ended(request)["intermediate_ca_id"]
        policy = self.create(name="policy", parent_ca_id=root, ttl_days=900, name_constraints=[{"permitted": ["api.example.org"], "excluded": ["no.api.example.org"]}],
                             ocsp_responder_url="http://ocsp.policy.example/",
                             subject={"common_name": "API Policy", "organization": ["Example", "Other"], "organizational_unit": ["Unit"],
                                      "country": ["DE"], "locality": ["Köln"], "province": ["NRW"]}, metadata={"team": "blue"})
        issuing = self.create(name="issuing", parent_ca_id=policy, subject={"common_name": "API Issuing"}, algorithm="ECDSA-P384",
                              ocsp_responder_url="http://ocsp.issuing.example/x")
        after = self.events()
        self.assertEqual([after[kind] - before.get(kind, 0) for kind in ("create_child",)], [2])
        self.assertGreaterEqual(after["create_root"], 2)  # this one, and the site's
        rows = self.good("GET", self.path())["data"]
        self.assertEqual([row["id"] for row in rows], [root, policy, issuing])
        row = self.good("GET", f"/intermediates/{policy}")
        self.assertEqual(row, rows[1])
        self.assertEqual((row["owning_issuer_id"], row["parent_ca_id"], row["name"], row["state"], row["path_len_constraint"], row["metadata"]),
                         (f"iss-{self.mode}", root, "policy", "active", 1, {"team": "blue"}))
        self.assertEqual(row["name_constraints"], [{"permitted": ["api.example.org"], "excluded": ["no.api.example.org"]}])
        self.assertEqual(row["subject"], "CN=API Policy,OU=Unit,O=Other,O=Example,L=Köln,ST=NRW,C=DE")
        self.assertEqual((rows[2]["path_len_constraint"], "metadata" in rows[2], "parent_ca_id" in rows[0]), (0, False, False))
        country = self.certificate_of(policy).subject.get_attributes_for_oid(x509.NameOID.COUNTRY_NAME)[0]
        self.assertEqual(country._type.name, "PrintableString")
        self.assertEqual(self.good("GET", "/issuers/iss-single/intermediates"), {"data": []})
        self.assertNames(x509.load_pem_x509_certificate(split(self.issue("api", "www.api.example.org"))[0].encode()), issuing, "http://ocsp.issuing.example/x")
        self.assertNames(self.certificate_of(issuing), policy, "http://ocsp.policy.example/")
        self.assertNames(self.certificate_of(policy), root, f"{self.stack.http_url}/.well-known/pki/ocsp/iss-{self.mode}")
        self.assertEqual((rows[1]["ocsp_responder_url"], "ocsp_responder_url" in rows[0]), ("http://ocsp.policy.example/", False))
        self.assertEqual([r[0] for r in self.stack.sql(f"SELECT action FROM audit_events WHERE resource_id IN ('{request}', '{root}') AND resource_type = 'intermediate_ca' ORDER BY seq")],
                         ["ca_request_created", "ca_request_approved", "intermediate_ca_root_created"])

    def test_2_what_can_be_known_is_refused_at_once(self):
        root, policy, issuing = (self.ca(name) for name in ("root", "policy", "issuing"))
        reference, pem = self.root_key("api-other")
        child = {"name": "x", "parent_ca_id": policy, "subject": {"common_name": "X"}}
        before = self.stack.value("SELECT count(*) FROM ca_requests")
        for status, message, body in (
                (400, "Invalid request body", "{"),
                (400, "name required", {}),
                (400, "name required", {"name": ""}),
                (400, "root_cert_pem + key_driver_id required when parent_ca_id is empty", {"name": "x"}),
                (400, "root_cert_pem + key_driver_id required when parent_ca_id is empty", {"name": "x", "root_cert_pem": pem}),
                (409, "the issuer has a CA of that name", {**child, "name": "issuing"}),
                (409, "the issuer has an active root already", {"name": "x", "root_cert_pem": pem, "key_driver_id": reference}),
                (404, "intermediate CA not found", {**child, "parent_ca_id": "ica-none"}),
                (404, "intermediate CA not found", {**child, "parent_ca_id": self.stack.value("SELECT id FROM intermediate_cas WHERE owning_issuer_id = 'iss-local' LIMIT 1")}),
                (400, "requested path length exceeds parent's PathLenConstraint", {**child, "parent_ca_id": issuing}),
                (400, "requested path length exceeds parent's PathLenConstraint", {**child, "path_len_constraint": 1}),
                (400, "requested path length exceeds parent's PathLenConstraint", {**child, "parent_ca_id": root, "path_len_constraint": 2}),
                (400, "child name constraints not a subset of parent's", {**child, "name_constraints": [{"permitted": ["example.org"]}]}),
                (400, "child name constraints not a subset of parent's", {**child, "name_constraints": [{"permitted": ["a.api.example.org"]}, {"permitted": ["xapi.example.org"]}]}),
                (400, "child name constraints not a subset of parent's", {**child, "name_constraints": [{"excluded": ["other.api.example.org"]}]}),
                (400, "name_constraints: element 1", {**child, "name_constraints": ["example.org"]}),
                (400, "permitted_dns", {**child, "name_constraints": [{"permitted": ["*.api.example.org"]}]}),
                (400, "subject.common_name required", {**child, "subject": {}}),
                (400, "subject.common_name required", {"name": "x", "parent_ca_id": policy}),
                (400, '"de" is no country', {**child, "subject": {"common_name": "X", "country": ["de"]}}),
                (400, "algorithm", {**child, "algorithm": "Ed25519"}),
                (400, "ttl_days must be", {**child, "ttl_days": 99999}),
                (400, "ttl_days must be", {**child, "ttl_days": -1}),
                (400, "path_len", {**child, "path_len_constraint": -2}),
                (400, "metadata", {**child, "metadata": {"a": 1}}),
                (400, '"ftp://x" is no http URL', {**child, "ocsp_responder_url": "ftp://x"})):
            with self.subTest(message=message, body=body):
                self.assertRefused(self.call("POST", self.path(), body), status, message)
        self.assertRefused(self.call("POST", "/issuers/iss-none/intermediates", child), 404, "issuer not found: iss-none")
        self.assertRefused(self.call("GET", "/issuers/iss-none/intermediates"), 404, "issuer not found: iss-none")
        self.assertRefused(self.call("GET", "/intermediates/ica-none"), 404, "intermediate CA not found")
        self.assertRefused(self.call("GET", "/intermediates/requests/car-none"), 404, "CA request not found")
        for path in ("retire", "revoke"):
            self.assertRefused(self.call("POST", f"/intermediates/ica-none/{path}"), 404, "intermediate CA not found")
        self.assertRefused(self.call("POST", f"/intermediates/{issuing}/revoke", {"reason": "certificateHold"}), 400, "invalid revocation reason")
        self.assertRefused(self.call("POST", f"/intermediates/{issuing}/revoke", {"reason": "none"}), 400, "invalid revocation reason")
        self.assertEqual(self.stack.value("SELECT count(*) FROM ca_requests"), before)

    def test_3_roots_that_are_none(self):
        reference, pem = self.root_key("api-spare")
        root = {"name": "x", "root_cert_pem": pem, "key_driver_id": reference}
        leaf = self.enterprise.sign(self.leaf_csr())
        path = "/issuers/iss-spare/intermediates"
        for message, body in (("invalid cert PEM", {**root, "root_cert_pem": "nonsense"}),
                              ("invalid cert PEM", {**root, "root_cert_pem": pem + pem}),
                              ("invalid cert PEM", {**root, "root_cert_pem": pem.replace("MI", "MJ", 1)}),
                              ("supplied root cert is not self-signed", {**root, "root_cert_pem": split(leaf)[0]}),
                              ("unknown key driver reference", {**root, "key_driver_id": "memory:1"}),
                              ("a key driver reference holds no PIN", {**root, "key_driver_id": "pkcs11:token=a;id=%01?pin-value=1234"})):
            with self.subTest(message=message):
                self.assertRefused(self.call("POST", path, body), 400, message)
        other, _ = self.root_key("api-another")
        request = self.ask(path, **{**root, "key_driver_id": other})
        self.admin("approve", request, "--yes")
        ended = self.ended(request)
        self.assertEqual((ended["state"], "intermediate_ca_id" in ended), ("failed", False))
        self.assertIn("does not match", ended["error"])

    def leaf_csr(self):
        key = ec.generate_private_key(ec.SECP256R1())
        return (x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Sub")]))
                .sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode())

    def test_4_who_may(self):
        for role in ("r-viewer", "r-operator"):
            for method, path in (("GET", self.path()), ("POST", self.path()), ("GET", f"/intermediates/{self.ca('root')}"),
                                 ("POST", f"/intermediates/{self.ca('root')}/retire"), ("POST", f"/intermediates/{self.ca('issuing')}/revoke")):
                self.assertEqual(self.call(method, path, {} if method == "POST" else None, role).status, 403, (role, method, path))
        answer = self.raw("POST", "/api/v1" + self.path(), "{}", {"Content-Type": "application/json"})
        self.assertEqual(answer.status, 401, answer.body)
        self.assertEqual(self.good("GET", f"/intermediates/{self.ca('root')}")["state"], "active")

    def as_api(self, statement):
        return self.stack.sql(f"SET ROLE certctl_api; {statement}")

    def test_5_the_api_cannot_approve(self):
        request = self.ask(name="never", parent_ca_id=self.ca("policy"), subject={"common_name": "Never"})
        for statement in (f"UPDATE ca_requests SET state = 'approved' WHERE id = '{request}'",
                          f"UPDATE ca_requests SET approved_at = now() WHERE id = '{request}'",
                          f"DELETE FROM ca_requests WHERE id = '{request}'",
                          "INSERT INTO ca_requests (id, kind, issuer_id, body, requested_by, fields_sha256, state) "
                          "SELECT 'car-forged', kind, issuer_id, body, requested_by, fields_sha256, 'approved' FROM ca_requests LIMIT 1",
                          "UPDATE intermediate_cas SET state = 'active'", "UPDATE ca_instances SET state = 'active'",
                          "INSERT INTO certificate_revocations SELECT * FROM certificate_revocations"):
            with self.subTest(statement), self.assertRaisesRegex(AssertionError, "permission denied"):
                self.as_api(statement)
        # What is changed after the approval is not carried out, whoever changed it.
        self.stack.run("stop", "tick-ca")
        try:
            self.admin("approve", request, "--yes")
            self.stack.sql(f"UPDATE ca_requests SET body = jsonb_set(body, '{{common_name}}', '\"Evil\"') WHERE id = '{request}'")
        finally:
            self.stack.run("up")
        ended = self.ended(request)
        self.assertEqual(ended["state"], "failed", ended)
        self.assertIn("not those that were approved", ended["error"])
        self.assertIsNone(self.ca("never"))

    def ocsp_of(self, ca, issuer):
        """What the issuer's responder says of a CA's certificate."""
        asked = ocsp.OCSPRequestBuilder().add_certificate(self.certificate_of(ca) if isinstance(ca, str) else ca, self.certificate_of(issuer),
                                                          hashes.SHA1()).build()
        found = {}

        def answered():
            answer = self.raw("POST", f"/.well-known/pki/ocsp/iss-{self.mode}", asked.public_bytes(serialization.Encoding.DER),
                              {"Content-Type": "application/ocsp-request"})
            if answer.status != 200:
                return False
            found["it"] = ocsp.load_der_ocsp_response(answer.body)
            return found["it"].response_status == ocsp.OCSPResponseStatus.SUCCESSFUL
        self.stack.wait(answered, 60, "an OCSP answer")
        return found["it"]

    def becomes_revoked(self, ca, issuer):
        """The web server may keep what was asked before; it is told within a second, where the machine is not busy."""
        found = []

        def revoked():
            found[:] = [self.ocsp_of(ca, issuer)]
            return found[0].certificate_status == ocsp.OCSPCertStatus.REVOKED
        self.stack.wait(revoked, what="OCSP says revoked")
        return found[0]

    def test_6_revoked(self):
        policy, root = self.ca("policy"), self.ca("root")
        second = self.create(name="second", parent_ca_id=policy, subject={"common_name": "API Second"})
        below = self.create(name="mid", parent_ca_id=root, subject={"common_name": "API Mid"}, path_len_constraint=1)
        lowest = self.create(name="lowest", parent_ca_id=below, subject={"common_name": "API Lowest"})
        partner = self.done("sign", f"--parent={policy}", "--csr=-", "--name=partner", "--days=200", text=self.leaf_csr())
        outside = x509.load_pem_x509_certificate(self.good("GET", f"/intermediates/{self.made(partner)}")["cert_pem"].encode())
        self.assertEqual(self.ocsp_of(second, policy).certificate_status, ocsp.OCSPCertStatus.GOOD)
        self.assertEqual(self.ocsp_of(outside, policy).certificate_status, ocsp.OCSPCertStatus.GOOD)
        self.assertEqual(self.good("POST", f"/intermediates/{second}/revoke", {"reason": "keyCompromise"}), {"status": "revoked"})
        answer = self.becomes_revoked(second, policy)
        self.assertEqual(answer.revocation_reason, x509.ReasonFlags.key_compromise)
        self.good("POST", f"/intermediates/{self.made(partner)}/revoke")
        self.becomes_revoked(outside, policy)
        serials = [self.certificate_of(second).serial_number, outside.serial_number]
        self.stack.wait(lambda: all(self.crl(policy).get_revoked_certificate_by_serial_number(serial) for serial in serials), what="both on the CRL")
        self.assertRefused(self.call("POST", f"/intermediates/{second}/revoke"), 409, "already revoked")
        self.assertRefused(self.call("POST", f"/intermediates/{root}/revoke"), 409, "a root is on no CA's CRL")
        # What is below goes with it.
        self.good("POST", f"/intermediates/{below}/revoke", {"reason": "cessationOfOperation"})
        for ca in (second, below, lowest):
            self.assertEqual(self.state_of(ca), ["retired", "retired"])
        self.closed(second, below, lowest)
        self.assertIn(self.issuing(self.mode), (self.ca("issuing"), self.ca("issuing-2")))
        audit = self.stack.sql(f"SELECT details->>'reason', details->>'serial' FROM audit_events WHERE action = 'intermediate_ca_revoked' AND resource_id = '{second}'")
        self.assertEqual(audit, [["keyCompromise", f"{serials[0]:x}"]])
        chain = self.chain_of(second)
        with tempfile.TemporaryDirectory() as folder:
            for name, text in (("ca.pem", chain), ("crls.pem", "".join(self.crl(ca).public_bytes(serialization.Encoding.PEM).decode() for ca in (policy, root))),
                               ("child.pem", split(chain)[0])):
                with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
                    out.write(text)
            said = subprocess.run(["openssl", "verify", "-x509_strict", "-crl_check_all", "-CRLfile", "crls.pem", "-CAfile", "ca.pem", "child.pem"], cwd=folder,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertIn("certificate revoked", said.stdout)

    def test_6_renewed(self):
        old = self.ca("issuing")
        for body, message in (({"rekey": False}, "rekey must be true"), ({"ttl_days": -1}, "ttl_days must be"), ({"ttl_days": 20000}, "ttl_days must be")):
            self.assertRefused(self.call("POST", f"/intermediates/{old}/renew", body), 400, message)
        partner = self.done("sign", f"--parent={self.ca('policy')}", "--csr=-", "--name=elsewhere", "--days=200", text=self.leaf_csr())
        self.assertRefused(self.call("POST", f"/intermediates/{self.made(partner)}/renew"), 409, "the CA's key is elsewhere")
        before = self.events()
        new = self.create(f"/intermediates/{old}/renew", rekey=True, ttl_days=400)
        after = self.events()
        self.assertEqual([after[kind] - before.get(kind, 0) for kind in ("create_child", "retire_retiring")], [1, 1])
        row = self.good("GET", f"/intermediates/{new}")
        self.assertEqual((row["name"], row["state"], row["path_len_constraint"], row["subject"]), ("issuing-2", "active", 0, "CN=API Issuing"))
        self.assertEqual(self.certificate_of(new).public_key().curve.name, "secp384r1")
        self.assertEqual(self.state_of(old), ["retiring", "retiring"])
        self.assertRefused(self.call("POST", f"/intermediates/{old}/renew"), 409, "only an active CA is renewed")
        self.assertEqual(self.issuing(self.mode), new)
        leaf = x509.load_pem_x509_certificate(split(self.issue("api", "renewed.api.example.org"))[0].encode())
        self.assertNames(leaf, new, "http://ocsp.issuing.example/x")

    def test_7_retired(self):
        policy, issuing = self.ca("policy"), self.ca("issuing-2")
        chain = self.issue("api", "last.api.example.org")
        done = self.good("POST", f"/intermediates/{policy}/retire", {"note": "old"})
        self.assertEqual(done, {"id": policy, "decided_by": self.keys["r-admin"][1], "confirmed": False})
        self.assertEqual(self.state_of(policy), ["retiring", "retiring"])
        self.assertRefused(self.call("POST", f"/intermediates/{policy}/retire"), 409, "already retiring; pass confirm=true to terminalize")
        self.assertRefused(self.call("POST", f"/intermediates/{policy}/retire", {"confirm": True}), 409, "CA cannot retire: active children still issuing")
        self.assertRefused(self.call("POST", self.path(), {"name": "late", "parent_ca_id": policy, "subject": {"common_name": "Late"}}),
                           409, "parent CA is not in active state")
        self.good("POST", f"/intermediates/{issuing}/retire")
        # It is the issuing CA in force until it is retired for good.
        self.assertEqual(self.issuing(self.mode), issuing)
        self.issue("api", "retiring.api.example.org", java=False)
        for ca in (self.ca("issuing"), self.ca("elsewhere")):
            if self.good("GET", f"/intermediates/{ca}")["state"] == "active":
                self.good("POST", f"/intermediates/{ca}/retire")
            self.good("POST", f"/intermediates/{ca}/retire", {"confirm": True})
        self.assertRefused(self.call("POST", f"/intermediates/{policy}/retire", {"confirm": True}), 409, "CA cannot retire: active children still issuing")
        for ca in (issuing, policy):
            self.assertEqual(self.good("POST", f"/intermediates/{ca}/retire", {"confirm": True})["confirmed"], True)
            self.assertEqual(self.state_of(ca), ["retired", "retired"])
            self.assertRefused(self.call("POST", f"/intermediates/{ca}/retire", {"confirm": True}), 409, "already retired")
        self.closed(issuing, policy)
        said = self.admin("retire", issuing)
        self.assertIn("is retired already, and its signer signs no certificate with it", said.stderr)
        acme = self.client("prof-api")
        order = acme.order("none.api.example.org")
        answer = acme.finalize(order.json, csr(ec.generate_private_key(ec.SECP256R1()), ["none.api.example.org"]))
        self.assertGreaterEqual(answer.status, 400, answer)
        # Its list and its answers stay, and what is revoked now is on both.
        leaf = x509.load_pem_x509_certificate(split(chain)[0].encode())
        self.assertEqual(self.ocsp_of(leaf, issuing).certificate_status, ocsp.OCSPCertStatus.GOOD)
        number = self.crl(issuing).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        self.stack.sql(f"UPDATE ca_instances SET crl_dirty_since = now() - interval '1 minute' WHERE id = '{issuing}'")
        self.stack.wait(lambda: self.crl(issuing).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number > number, what="a newer list")
        self.assertTrue(self.crl(issuing).is_signature_valid(self.certificate_of(issuing).public_key()))
        notes = self.stack.sql(f"SELECT action, coalesce(details->>'note', '') FROM audit_events WHERE resource_id = '{policy}' AND action LIKE 'intermediate_ca_retir%' ORDER BY seq")
        self.assertEqual(notes, [["intermediate_ca_retiring", "old"], ["intermediate_ca_retired", ""]])
        self.assertGreaterEqual(self.events()["retire_retired"], 2)


class ApprovedByApi(ApiTest):
    """CERTCTL_CA_APPROVAL=api: nobody has to be on the signer's host."""

    mode = "local"
    keys = {}

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(env={**ENVIRONMENT, "CERTCTL_CA_APPROVAL": "api"}, name="approval")
        cls.addClassCleanup(cls.stack.stop, keep=bool(os.environ.get("CERTCTL_CHECK_KEEP")))
        cls.stack.start()

    def test_carried_out_at_once_and_announced(self):
        root = self.stack.value("SELECT id FROM intermediate_cas WHERE parent_ca_id IS NULL")
        request = self.ask(name="second", parent_ca_id=root, subject={"common_name": "Second"})
        ended = self.ended(request)
        self.assertEqual(ended["state"], "done", ended)
        self.assertEqual(self.stack.sql(f"SELECT approved_by, approved_at FROM ca_requests WHERE id = '{request}'"), [["", ""]])
        for name in ("api.log", "acme.log", "signer.log", "tick-ca.log"):
            with open(os.path.join(self.stack.dir, "log", name), encoding="utf-8") as source:
                self.assertIn("CERTCTL_CA_APPROVAL=api: CA requests are carried out without approval", source.read(), name)
