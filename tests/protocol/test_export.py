"""Certificates as PEM and PKCS#12 (04 section 14), read by keytool and openssl."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from test_issuance import split
from test_revocation_api import RevokeTest


class Export(RevokeTest):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.mkdtemp(dir=cls.stack.home)

    def setUp(self):
        super().setUp()
        name = self.id().rsplit(".", 1)[1].replace("_", "-") + ".example.org"
        self.chain, _ = self.client().obtain(name)
        self.leaf = x509.load_pem_x509_certificate(self.chain.encode())
        self.certificate = self.stack.value(f"SELECT certificate_id FROM certificate_versions WHERE serial_number = '{self.leaf.serial_number:x}'")
        self.stored = self.good(f"/certificates/{self.certificate}/versions")["data"][0]["pem_chain"]  # with the root
        self.path = f"/certificates/{self.certificate}/export"

    def written(self, answer, count):
        """The audit rows of a request, by action."""
        rows = self.stack.sql(f"SELECT action, details, actor FROM audit_events WHERE request_id = '{answer.headers['X-Request-ID']}' "
                              "AND resource_type = 'certificate' ORDER BY action")
        self.assertEqual(len(rows), count, rows)
        return {row[0]: json.loads(row[1]) for row in rows}

    def file(self, password=None, body=None):
        answer = self.post(self.path + "/pkcs12", body if body is not None else {} if password is None else {"password": password})
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual((answer.headers["Content-Type"], answer.headers["Content-Disposition"], answer.headers["Cache-Control"]),
                         ("application/x-pkcs12", 'attachment; filename="certificate.p12"', "no-store"))
        path = os.path.join(self.folder, f"{self.certificate}.p12")
        with open(path, "wb") as out:
            out.write(answer.body)
        return path, answer

    def told(self, *command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd="/")
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_pem(self):
        answer = self.get(self.path + "/pem")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/json"))
        self.assertEqual(list(answer.json), ["cert_pem", "chain_pem", "full_pem"])
        whole = answer.json["full_pem"]
        self.assertEqual(whole, answer.json["cert_pem"] + answer.json["chain_pem"])
        self.assertEqual([x509.load_pem_x509_certificate(block.encode()) for block in split(whole)],
                         [x509.load_pem_x509_certificate(block.encode()) for block in split(self.stored)])
        self.assertNotIn("\n\n", whole)
        self.assertTrue(answer.json["cert_pem"].endswith("-----END CERTIFICATE-----\n"))
        facts = {"serial": f"{self.leaf.serial_number:x}", "has_private_key": False, "actor_kind": "APIKey"}
        self.assertEqual(self.written(answer, 2), {"cert_export_pem": facts, "export_pem": facts})
        for value in ("true", "1"):
            loaded = self.get(f"{self.path}/pem?download={value}")
            self.assertEqual((loaded.status, loaded.body.decode()), (200, whole))
            self.assertEqual((loaded.headers["Content-Type"], loaded.headers["Content-Disposition"]),
                             ("application/x-pem-file", 'attachment; filename="certificate.pem"'))
        self.assertEqual(self.get(f"{self.path}/pem?download=false").json["full_pem"], whole)
        self.assertRefused(self.get(f"{self.path}/pem?download=perhaps"), 400, "invalid", "`download` must be true or false")

    def test_pkcs12(self):
        for password in (None, "", "secret \u00fc\u20ac", "x" * 256):
            with self.subTest(password):
                path, answer = self.file(password)
                key, leaf, others = pkcs12.load_key_and_certificates(answer.body, (password or "").encode() or None)
                self.assertIsNone(key)
                found = {one.public_bytes(Encoding.DER) for one in [leaf, *others] if one}
                self.assertEqual(found, {x509.load_pem_x509_certificate(block.encode()).public_bytes(Encoding.DER) for block in split(self.stored)})
                facts = {"serial": f"{self.leaf.serial_number:x}", "has_private_key": False, "actor_kind": "APIKey", "cipher": "AES-256-CBC-PBE2-SHA256"}
                self.assertEqual(self.written(answer, 2), {"cert_export_pkcs12": facts, "export_pkcs12": facts})
                told = self.told("openssl", "pkcs12", "-info", "-nokeys", "-in", path, "-passin", f"pass:{password or ''}")
                self.assertRegex(told, r"MAC: sha256, Iteration 2048")
                self.assertRegex(told, r"PKCS7 Encrypted data: PBES2, PBKDF2, AES-256-CBC, Iteration 2048, PRF hmacWithSHA256")
                self.assertEqual(told.count("BEGIN CERTIFICATE"), len(split(self.stored)))
                self.assertNotIn("PRIVATE KEY", told)
                self.assertEqual(told.count("2.16.840.1.113894.746875.1.1"), len(split(self.stored)))
        self.assertNotEqual(subprocess.run(["openssl", "pkcs12", "-in", path, "-nokeys", "-passin", "pass:wrong"], stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL, check=False).returncode, 0)

    @unittest.skipUnless(shutil.which("keytool"), "no java")
    def test_keytool(self):
        """Java lists every entry as trusted, with and without a password."""
        for password in (None, "changeit"):
            path, _ = self.file(password)
            told = self.told("keytool", "-J-Xmx64m", "-list", "-storetype", "PKCS12", "-keystore", path, "-storepass", password or "")
            self.assertEqual(told.count("trustedCertEntry"), len(split(self.stored)), told)
            self.assertIn(f"contains {len(split(self.stored))} entr", told)
            self.assertIn(self.leaf.subject.rfc4514_string().lower(), told.lower())

    def test_bodies(self):
        path = self.path + "/pkcs12"
        for body in (b"{", b"[]", b'{"password":"\\u0000"}', b"\xff"):
            self.assertRefused(self.post(path, body), 400, "malformed")
        self.assertRefused(self.post(path, {"password": 7}), 400, "invalid")
        self.assertRefused(self.post(path, {"password": "x" * 257}), 400, "invalid", "password: at most 256 bytes")
        self.assertRefused(self.post(path, {}, Content_Type="multipart/form-data"), 415, "media_type")
        self.assertEqual(self.post(path).status, 200, "no body is no password")
        self.assertEqual(self.post(path, {"password": None}).status, 200)

    def test_what_is_not_there(self):
        for verb, ask in (("pem", self.get), ("pkcs12", self.post)):
            self.assertRefused(ask(f"/certificates/mc-none/export/{verb}"), 404, "not_found", "Certificate not found")
            self.assertRefused(ask(f"/certificates/mc-walk-2/export/{verb}"), 404, "not_found", "Certificate not found")
            self.assertRefused(ask(f"/certificates/a%20b/export/{verb}"), 400, "invalid", "Certificate ID is invalid")
            self.assertRefused(ask(f"{self.path}/{verb}", key=self.key("r-auditor")), 403, "forbidden")
            self.assertEqual(ask(f"{self.path}/{verb}", key=self.key("r-viewer")).status, 200)
        for broken in ("no certificate", self.chain[:200], self.chain.replace("MII", "MIJ"), ""):
            self.stack.sql(f"UPDATE certificate_versions SET pem_chain = '{broken}' WHERE serial_number = '{self.leaf.serial_number:x}'")
            for verb, ask in (("pem", self.get), ("pkcs12", self.post)):
                answer = ask(f"{self.path}/{verb}")
                self.assertRefused(answer, 422, "unprocessable", "Certificate data cannot be parsed as X.509")
                written = self.written(answer, 1)["cert_export_failed"]
                self.assertEqual((sorted(written), written["serial"]), (["error", "serial"], f"{self.leaf.serial_number:x}"))

    def test_scoped_grant(self):
        key, _, name = self.new_key("--role=r-viewer")
        self.stack.sql(f"UPDATE actor_roles SET scope_type = 'profile', scope_id = 'prof-other' WHERE actor_id = '{name}'")
        self.assertRefused(self.get(f"{self.path}/pem", key=key), 403, "forbidden")
        self.stack.sql(f"UPDATE actor_roles SET scope_id = 'prof-test' WHERE actor_id = '{name}'")
        self.assertEqual(self.get(f"{self.path}/pem", key=key).status, 200)

    def test_the_limit(self):
        """Fifty an hour, whatever the form, by actor."""
        key, _, name = self.new_key("--role=r-viewer")
        self.assertEqual(self.get(f"{self.path}/pem", key=key).status, 200)
        self.stack.sql(f"UPDATE rate_limit_buckets SET timestamps = array_fill(clock_timestamp(), ARRAY[49]) WHERE bucket_key = 'export:{name}'")
        self.assertEqual(self.post(f"{self.path}/pkcs12", key=key).status, 200, "the fiftieth")
        for answer in (self.get(f"{self.path}/pem", key=key), self.post(f"{self.path}/pkcs12", key=key)):
            self.assertEqual(answer.status, 429)
            seconds = int(answer.headers["Retry-After"])
            self.assertIn(seconds, range(3300, 3601))  # of the forty-nine takes of just now
            self.assertEqual({member: answer.json[member] for member in ("error", "retry_after_seconds", "code", "request_id")},
                             {"error": "rate_limit_exceeded", "retry_after_seconds": seconds, "code": "rate_limited",
                              "request_id": answer.headers["X-Request-ID"]})
            self.written(answer, 0)
        self.assertEqual(self.get(f"{self.path}/pem").status, 200, "another actor is not held up")
        self.stack.sql(f"UPDATE rate_limit_buckets SET timestamps = array_fill(clock_timestamp() - interval '61 min', ARRAY[50]) WHERE bucket_key = 'export:{name}'")
        self.assertEqual(self.get(f"{self.path}/pem", key=key).status, 200, "an hour later")

    def test_versions_say_what_was_revoked(self):
        self.assertNotIn("revoked_at", self.good(f"/certificates/{self.certificate}/versions")["data"][0])
        self.assertEqual(self.post(f"/certificates/{self.certificate}/revoke", {"reason": "superseded"}).status, 200)
        version = self.good(f"/certificates/{self.certificate}/versions")["data"][0]
        self.assertEqual(version["revocation_reason"], "superseded")
        self.assertRegex(version["revoked_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(version["ca_id"], self.stack.value("SELECT id FROM issuing_cas WHERE issuer_id = 'iss-local'"))
