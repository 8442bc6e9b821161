"""OCSP: what real clients accept, what is refused and how, revocations through the web server's cache, rotation of keys."""
import base64
import contextlib
import datetime
import hashlib
import http.client
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509 import ocsp

from acme_client import Client, Key, b64u
from stack import Stack, free_port
from test_issuance import split
from test_routes import fcgi

HERE = os.path.dirname(os.path.abspath(__file__))
PATH = "/.well-known/pki/ocsp/iss-local"
MALFORMED, INTERNAL, TRY_LATER, UNAUTHORIZED = (bytes([0x30, 3, 0x0A, 1, n]) for n in (1, 2, 3, 6))
MEDIA = "application/ocsp-request"
GOOD, REVOKED, UNKNOWN = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN


def der(tag, *parts):
    content = b"".join(parts)
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x80 + (size.bit_length() + 7) // 8]) + size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag]) + length + content


class OcspTest(unittest.TestCase):
    """A stack of its own: tests stop its parts and turn its limits."""

    env = {}

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(name="ocsp", env={"CERTCTL_ACME_SERVER_RATE_LIMIT_CONCURRENT_ORDERS": "0",
                                            "CERTCTL_ACME_SERVER_RATE_LIMIT_ORDERS_PER_HOUR": "0",
                                            "CERTCTL_OCSP_RATE_LIMIT_PER_IP_MIN": "0", **cls.env})
        cls.addClassCleanup(cls.stack.stop, keep=bool(os.environ.get("CERTCTL_CHECK_KEEP")))
        cls.stack.start()
        cls.stack.sql("INSERT INTO certificate_profiles (id, name, issuer_id, must_staple) VALUES "
                      "('prof-staple', 'Staple', 'iss-local', true) ON CONFLICT DO NOTHING")
        cls.folder = tempfile.mkdtemp(dir=cls.stack.home)
        cls.ca_id = cls.stack.value("SELECT id FROM issuing_cas WHERE issuer_id = 'iss-local'")
        cls.acme = Client(cls.stack, "prof-test")
        cls.acme.register()
        chain, _ = cls.acme.obtain("first.ocsp.example.org")
        leaf, ca = split(chain)[:2]
        cls.ca = x509.load_pem_x509_certificate(ca.encode())
        cls.ca_file = cls.write("ca.pem", ca)
        cls.leaf = x509.load_pem_x509_certificate(leaf.encode())
        cls.stack.wait(lambda: cls.ask(cls.leaf).response_status == ocsp.OCSPResponseStatus.SUCCESSFUL, what="the first answer")

    @classmethod
    def write(cls, name, text):
        path = os.path.join(cls.folder, name)
        with open(path, "w", encoding="ascii") as out:
            out.write(text)
        return path

    @classmethod
    def issue(cls, name):
        chain, _ = cls.acme.obtain(name)
        return x509.load_pem_x509_certificate(split(chain)[0].encode())

    @classmethod
    def revoke(cls, leaf, reason=4):
        answer = cls.acme.post("/revoke-cert", {"certificate": b64u(leaf.public_bytes(Encoding.DER)), "reason": reason})
        assert answer.status == 200, answer

    @classmethod
    def send(cls, method, path, body=None, headers=None, port=None):
        wire = http.client.HTTPConnection("localhost", port or cls.stack.http_port, timeout=60)
        try:
            wire.putrequest(method, path, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                wire.putheader(name, value)
            if body is not None:
                wire.putheader("Content-Length", str(len(body)))
            wire.endheaders(body)
            answer = wire.getresponse()
            answer.body = answer.read()
            return answer
        finally:
            wire.close()

    @classmethod
    def post(cls, body, path=PATH, media=MEDIA):
        return cls.send("POST", path, body, {"Content-Type": media} if media else {})

    @classmethod
    def request(cls, leaf, algorithm=None, nonce=None):
        builder = ocsp.OCSPRequestBuilder().add_certificate(leaf, cls.ca, algorithm or hashes.SHA1())
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), False)
        return builder.build().public_bytes(Encoding.DER)

    @classmethod
    def ask(cls, leaf, algorithm=None, nonce=None):
        answer = cls.post(cls.request(leaf, algorithm, nonce))
        assert answer.status == 200, (answer.status, answer.body)
        return ocsp.load_der_ocsp_response(answer.body)

    @classmethod
    def get(cls, leaf, algorithm=None):
        return cls.send("GET", PATH + "/" + urllib.parse.quote(base64.b64encode(cls.request(leaf, algorithm)).decode(), safe=""))

    def assertStatus(self, body, status):
        self.assertEqual(ocsp.load_der_ocsp_response(body).certificate_status, status)

    def cert_id(self, serial, algorithm="sha1", null=True, ca=None):
        ca = ca or self.ca
        oid = {"sha1": "06052b0e03021a", "sha256": "0609608648016503040201", "md5": "06082a864886f70d0205"}[algorithm]
        key = ca.public_key()
        bits = x509.SubjectKeyIdentifier.from_public_key(key).digest if algorithm == "sha1" else None
        if bits is None:
            bits = hashlib.new(algorithm, key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)).digest()
        return der(0x30, der(0x30, bytes.fromhex(oid), b"\x05\x00" if null else b""),
                   der(4, hashlib.new(algorithm, ca.subject.public_bytes()).digest()), der(4, bits), serial)

    def number(self, value):
        return der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))

    def whole(self, *ids, extensions=b"", before=b"", after=b""):
        return der(0x30, der(0x30, before, der(0x30, *(der(0x30, one) for one in ids)), extensions), after)

    def nonce(self, content, critical=False):
        return der(0xA2, der(0x30, der(0x30, bytes.fromhex("06092b0601050507300102"), b"\x01\x01\xff" if critical else b"", der(4, content))))


class Accepted(OcspTest):
    """Clients of others."""

    def openssl(self, *arguments, issuer=None):
        done = subprocess.run(["openssl", "ocsp", "-issuer", issuer or self.ca_file, "-CAfile", self.stack.root_pem, "-url",
                               self.stack.http_url + PATH, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("Response verify OK", done.stdout)
        return done.stdout

    def test_openssl(self):
        files = [self.write(f"leaf{n}.pem", self.issue(f"openssl{n}.ocsp.example.org").public_bytes(Encoding.PEM).decode()) for n in range(3)]
        for more in ([], ["-no_nonce"], ["-sha256"], ["-sha256", "-no_nonce"], ["-sha512"]):
            said = self.openssl(*more, "-cert", files[0])
            self.assertIn(": good", said)
            self.assertNotIn("no nonce in response", said)
        three = self.openssl("-cert", files[0], "-cert", files[1], "-cert", files[2])
        self.assertEqual(three.count(": good"), 3)

    def test_the_ca_itself(self):
        """By the responder of its parent (RFC 6960 section 4.2.2.2: issued directly by the CA of the certificate)."""
        self.assertIn(": good", self.openssl("-cert", self.ca_file, issuer=self.stack.root_pem))

    def test_gnutls(self):
        leaf = self.write("gnutls.pem", self.issue("gnutls.ocsp.example.org").public_bytes(Encoding.PEM).decode())
        for more in ([], ["--nonce"]):
            done = subprocess.run(["ocsptool", f"--ask={self.stack.http_url}{PATH}", "--load-issuer", self.ca_file, "--load-cert", leaf,
                                   "--load-trust", self.ca_file, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertIn("Certificate Status: good", done.stdout)
            self.assertRegex(done.stdout, "Verifying OCSP Response: Success|Signature Algorithm: ECDSA-SHA256")

    def test_every_form_of_get(self):
        answers = set()
        leaf = self.issue("get.ocsp.example.org")
        raw = base64.b64encode(self.request(leaf)).decode()
        for tail in (raw, raw.rstrip("="), urllib.parse.quote(raw, safe=""), urllib.parse.quote(raw, safe="/+="),
                     raw.replace("+", "-").replace("/", "_"), raw.replace("+", "%20"), "/" + raw, f"{leaf.serial_number:x}",
                     f"{leaf.serial_number:X}", f"0x00{leaf.serial_number:x}"):
            answer = self.send("GET", f"{PATH}/{tail}")
            self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/ocsp-response"), tail)
            self.assertStatus(answer.body, GOOD)
            answers.add(ocsp.load_der_ocsp_response(answer.body).serial_number)
        self.assertEqual(answers, {leaf.serial_number})
        for name in (self.ca_id, "iss-local"):
            self.assertStatus(self.send("GET", f"/.well-known/pki/ocsp/{name}/{raw}").body, GOOD)

    def test_slashes_in_base64(self):
        """A serial is imported whose request has slashes, two of them side by side, plus signs and padding in its base64."""
        found = {}
        for n in range(1, 200000):
            serial = (n * 0x9E3779B97F4A7C15F39CC0605CEDC835) % (1 << 126)
            text = base64.b64encode(self.whole(self.cert_id(self.number(serial)))).decode()
            tail = text[-24:]
            if "//" in tail and "+" in tail and tail.endswith("="):
                found = {"serial": serial, "text": text}
                break
        self.assertTrue(found)
        self.stack.sql("INSERT INTO certificate_versions (id, certificate_id, issuer_id, ca_id, serial_number, not_before, not_after, "
                       f"fingerprint_sha256, pem_chain) SELECT 'cv-slash', certificate_id, issuer_id, ca_id, '{found['serial']:x}', not_before, "
                       f"not_after, repeat('e', 64), '' FROM certificate_versions WHERE serial_number = '{self.leaf.serial_number:x}'")
        for tail in (found["text"], urllib.parse.quote(found["text"], safe=""), urllib.parse.quote(found["text"], safe="/"),
                     urllib.parse.quote(found["text"], safe="/+="), found["text"].replace("//", "/%2F"), found["text"].replace("+", "%2b")):
            self.assertStatus(self.send("GET", f"{PATH}/{tail}").body, GOOD)

    def test_imported_serials_that_begin_with_0(self):
        """Stored canonically, asked in the octets of DER and in every spelling of hex (04 section 19, 1)."""
        for n, serial in enumerate((0x0A1B2C3D4E5F60718293A4B5C6D7E8F, 0x00F00D, 0x0080, 0x7)):
            self.stack.sql("INSERT INTO certificate_versions (id, certificate_id, issuer_id, ca_id, serial_number, not_before, not_after, "
                           f"fingerprint_sha256, pem_chain) SELECT 'cv-zero-{n}', certificate_id, issuer_id, ca_id, '{serial:x}', not_before, "
                           f"not_after, repeat('{n}', 64), '' FROM certificate_versions WHERE serial_number = '{self.leaf.serial_number:x}'")
            body = self.whole(self.cert_id(self.number(serial)))
            self.assertStatus(self.post(body).body, GOOD)
            self.assertStatus(self.send("GET", f"{PATH}/{urllib.parse.quote(base64.b64encode(body).decode(), safe='')}").body, GOOD)
            for tail in (f"{serial:x}", f"0{serial:x}", f"{serial:040x}", f"{serial:040X}", f"0x{serial:x}", ":".join(
                    f"{octet:02x}" for octet in serial.to_bytes(20, "big"))):
                answer = ocsp.load_der_ocsp_response(self.send("GET", f"{PATH}/{tail}").body)
                self.assertEqual((answer.certificate_status, answer.serial_number), (GOOD, serial), tail)

    @unittest.skipUnless(shutil.which("java"), "no java")
    def test_java(self):
        """PKIXRevocationChecker, by OCSP alone and by CRLs alone: accepted, and refused when revoked."""
        chain, _ = self.acme.obtain("java.ocsp.example.org")
        path = self.write("java.pem", chain)
        leaf = x509.load_pem_x509_certificate(split(chain)[0].encode())
        for kind in ("ocsp", "crl"):
            self.assertEqual(self.java(path, kind), (0, "valid"))
        self.revoke(leaf)
        self.stack.wait(lambda: self.java(path, "ocsp") == (1, "REVOKED"), what="revoked by OCSP")
        self.stack.wait(lambda: self.java(path, "crl") == (1, "REVOKED"), what="revoked by the CRL")

    def java(self, path, kind):
        done = subprocess.run(["java", os.path.join(HERE, "PkixCheck.java"), self.stack.root_pem, path, kind], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False, timeout=120)
        return done.returncode, done.stdout.split(",")[0].strip()

    def test_cert_ids_are_echoed(self):
        for algorithm in ("sha1", "sha256"):
            for null in (True, False):
                body = self.whole(self.cert_id(self.number(self.leaf.serial_number), algorithm, null))
                answer = self.post(body)
                self.assertStatus(answer.body, GOOD)
                self.assertIn(body[8:], answer.body)

    def test_nonces(self):
        one = self.cert_id(self.number(self.leaf.serial_number))
        for size, status in ((1, 200), (32, 200), (33, 200), (128, 200)):
            for wrapped in (True, False):
                value = der(4, b"n" * size) if wrapped else b"n" * size
                answer = self.post(self.whole(one, extensions=self.nonce(value)))
                self.assertEqual(answer.status, status)
                self.assertStatus(answer.body, GOOD)
                self.assertIn(self.nonce(value)[2 if len(value) < 100 else 3:], answer.body)
                self.assertEqual(answer.headers["Cache-Control"], "no-store")
        for size in (0, 129):
            answer = self.post(self.whole(one, extensions=self.nonce(der(4, b"n" * size))))
            self.assertEqual((answer.status, answer.body), (200, MALFORMED))

    def test_headers(self):
        leaf = self.issue("headers.ocsp.example.org")
        # Kept in front at once; where nothing is kept there, when the worker has stored what it signed.
        self.stack.wait(lambda: self.get(leaf).body == self.get(leaf).body, 60, "an answer that lasts")
        answer = self.get(leaf)
        response = ocsp.load_der_ocsp_response(answer.body)
        self.assertEqual(answer.headers["ETag"], f'"{hashlib.sha256(answer.body).hexdigest()}"')
        # Apache's own cache is told by s-maxage.
        self.assertRegex(answer.headers["Cache-Control"], r"^(s-maxage=60, )?max-age=\d+, public, no-transform, must-revalidate$")
        self.assertEqual(answer.headers["Last-Modified"], response.this_update.strftime("%a, %d %b %Y %H:%M:%S GMT"))
        self.assertEqual(answer.headers["Expires"], response.next_update.strftime("%a, %d %b %Y %H:%M:%S GMT"))
        self.assertIsNone(answer.headers["X-Accel-Expires"])
        self.assertLessEqual(len(answer.body), 800)
        path = PATH + "/" + base64.b64encode(self.request(leaf)).decode()  # Apache keeps no answer to this spelling
        kept = PATH + "/" + urllib.parse.quote(base64.b64encode(self.request(leaf)).decode(), safe="")
        for spelling in (path, kept):
            self.stack.wait(lambda spelling=spelling: self.send("GET", spelling).body == self.send("GET", spelling).body, 60, "one that lasts")
            tag = self.send("GET", spelling).headers["ETag"]
            for headers in ({"If-None-Match": tag}, {"If-None-Match": f'"x", W/{tag}'}):
                again = self.send("GET", spelling, headers=headers)
                self.assertEqual((again.status, again.body), (304, b""))
        head = self.send("HEAD", path)
        self.assertEqual((head.status, head.body), (200, b""))

    def test_must_staple_and_stapling(self):
        """A certificate that must be stapled; curl --cert-status believes the stapled answer."""
        acme = Client(self.stack, "prof-staple")
        acme.register()
        key = Key().private
        chain, _ = acme.obtain("localhost", key=key)
        leaf = x509.load_pem_x509_certificate(split(chain)[0].encode())
        feature = leaf.extensions.get_extension_for_class(x509.TLSFeature).value
        self.assertEqual(list(feature), [x509.TLSFeatureType.status_request])
        access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        urls = [one.access_location.value for one in access if one.access_method == x509.oid.AuthorityInformationAccessOID.OCSP]
        self.assertEqual(urls, [self.stack.http_url + PATH])
        chain_file = self.write("staple.pem", chain)
        key_file = self.write("staple.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
        port = free_port()
        server = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", chain_file, "-cert_chain", chain_file, "-key",
                                   key_file, "-status_url", self.stack.http_url + PATH, "-status", "-www", "-CAfile", self.ca_file],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            done = subprocess.run(["curl", "-sv", "--retry", "60", "--retry-delay", "1", "--retry-connrefused", "--noproxy", "*", "--cert-status", "--cacert", self.stack.root_pem, f"https://localhost:{port}/"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=180)
        finally:
            server.terminate()
            said = server.communicate(timeout=60)[0].decode(errors="replace")
        self.assertEqual(done.returncode, 0, done.stderr + said)
        self.assertIn("SSL certificate status: good (0)", done.stderr)


class Refused(OcspTest):
    """04 section 10.1, row by row."""

    env = {"CERTCTL_OCSP_EDGE_TTL": "3600"}

    def assertOcsp(self, answer, status, body):
        self.assertEqual((answer.status, answer.body), (status, body))
        self.assertEqual(answer.headers["Content-Type"], "application/ocsp-response")
        self.assertEqual(answer.headers["Cache-Control"], "no-store")

    def assertJson(self, answer, status, error):
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.headers["Content-Type"], "application/json")
        self.assertIn(error, json.loads(answer.body)["error"])

    def test_method(self):
        for path in (PATH, PATH + "/00"):
            for method in ("PUT", "DELETE", "PATCH"):
                answer = self.send(method, path, b"")
                self.assertJson(answer, 405, "method not allowed")
                self.assertIn("GET", answer.headers["Allow"])

    def test_media_type(self):
        body = self.request(self.leaf)
        self.assertJson(self.post(self.request(self.leaf, nonce=b"x"), media="application/json"), 415, "Content-Type must be application/ocsp-request, got")
        for media in (None, MEDIA, MEDIA + "; charset=binary", "Application/OCSP-Request"):
            self.assertStatus(self.post(body, media=media).body, GOOD)

    def test_length(self):
        self.assertEqual(self.post(b"0" * 16385).status, 413)
        self.assertOcsp(self.post(b"0" * 16384), 400, MALFORMED)

    def test_no_request(self):
        for path in (PATH, PATH + "/"):
            self.assertJson(self.send("GET", path), 400, "Issuer ID and serial number are required")
        self.assertOcsp(self.post(b""), 400, MALFORMED)

    def test_issuer(self):
        self.assertJson(self.post(self.request(self.leaf), path="/.well-known/pki/ocsp/iss-none"), 404, "issuer not found: iss-none")
        self.stack.sql("INSERT INTO issuers (id, name, type) VALUES ('iss-remote', 'Remote', 'VaultPKI') ON CONFLICT DO NOTHING")
        self.assertJson(self.post(self.request(self.leaf), path="/.well-known/pki/ocsp/iss-remote"), 501, "issuer type VaultPKI does not support OCSP")

    def test_der(self):
        good = self.request(self.leaf)
        one = self.cert_id(self.number(self.leaf.serial_number))
        for about, body in {
                "garbage": b"garbage", "a byte behind": good + b"\0", "cut": good[:-1], "indefinite": b"\x30\x80" + good[2:] + b"\0\0",
                "v2": self.whole(one, before=der(0xA0, der(2, b"\x01"))), "empty list": self.whole(),
                "17 requests": self.whole(*[one] * 17), "critical": self.whole(one, extensions=der(0xA2, der(0x30, der(
                    0x30, bytes.fromhex("06032a0304"), b"\x01\x01\xff", der(4, b"\x05\x00"))))),
                "two nonces": self.whole(one, extensions=der(0xA2, der(0x30, *[self.nonce(der(4, b"n"))[4:]] * 2)))}.items():
            with self.subTest(about):
                self.assertOcsp(self.post(body), 400, MALFORMED)
        self.assertEqual(self.post(self.whole(*[one] * 16)).status, 200)

    def test_base64(self):
        raw = base64.b64encode(self.request(self.leaf)).decode()
        for about, tail in {"no base64": "M!!!", "cut": raw[:-5], "double-encoded": urllib.parse.quote(urllib.parse.quote(raw, safe=""), safe=""),
                            "dots": "MF/../" + raw, "a bad escape": raw + "%zz", "too long": "M" * 2049, "NUL": raw + "%00",
                            "a line feed": raw[:20] + "%0A" + raw[20:], "a serial above 20 octets": "f" * 41}.items():
            with self.subTest(about):
                answer = self.send("GET", f"{PATH}/{tail}")
                self.assertIn(answer.status, (400, 404) if about == "NUL" else (400,), answer.body)  # Apache's own
                if answer.headers["Content-Type"] == "application/ocsp-response":
                    self.assertOcsp(answer, 400, MALFORMED)
        self.assertOcsp(self.send("GET", f"{PATH}/{urllib.parse.quote(urllib.parse.quote(raw, safe=''), safe='')}"), 400, MALFORMED)

    def test_foreign(self):
        serial = self.number(self.leaf.serial_number)
        ours = self.cert_id(serial)
        hash_of_name = hashlib.sha1(self.ca.subject.public_bytes()).digest()
        self.assertOcsp(self.post(self.whole(ours.replace(hash_of_name, b"\1" * 20))), 200, UNAUTHORIZED)
        self.assertOcsp(self.post(self.whole(self.cert_id(serial, "md5"))), 200, UNAUTHORIZED)
        root = x509.load_pem_x509_certificate(open(self.stack.root_pem, "rb").read())
        self.assertOcsp(self.post(self.whole(ours, self.cert_id(serial, ca=root))), 200, UNAUTHORIZED)
        self.assertOcsp(self.post(self.whole(self.cert_id(serial, ca=root)), path=f"/.well-known/pki/ocsp/{self.ca_id}"), 200, UNAUTHORIZED)

    def test_unknown(self):
        for about, serial in {"never issued": self.number(1 << 100), "negative": b"\x02\x01\xff", "above 20 octets": self.number(1 << 161),
                              "of the other CA": self.number(self.ca.serial_number)}.items():
            with self.subTest(about):
                answer = self.post(self.whole(self.cert_id(serial)))
                self.assertEqual(answer.status, 200)
                self.assertIn(b"\x82\x00", answer.body)
        self.assertStatus(self.send("GET", f"{PATH}/{1 << 100:x}").body, UNKNOWN)

    def test_the_responder_of_another_ca(self):
        for sign, status in (("=", b"\x80\x00"), ("<>", b"\x82\x00")):
            of = f"SELECT cert_serial FROM ocsp_responders WHERE issuer_id = 'iss-local' AND cert_serial IS NOT NULL AND ca_id {sign} '{self.ca_id}' LIMIT 1"
            self.stack.wait(lambda of=of: self.stack.value(of), 60, "its certificate")
            asked = self.cert_id(self.number(int(self.stack.value(of), 16)))
            self.assertIn(asked + status, self.post(self.whole(asked)).body)

    def test_kept_in_front_until_it_ends(self):
        """However long the web server may keep answers: an answer is backdated by a minute, and so has less than an hour to live."""
        with open(os.path.join(self.stack.dir, "secrets", "edge.nginx"), encoding="utf-8") as source:
            key = source.read().split()[-1].rstrip(";")
        before = int(time.time())
        head, body = fcgi(os.path.join(self.stack.dir, "run", "pki.sock"), {
            "REQUEST_METHOD": "GET", "REQUEST_URI": f"{PATH}/{self.leaf.serial_number:x}", "CERTCTL_SURFACE": "pki", "REQUEST_SCHEME": "http",
            "SERVER_NAME": "localhost", "SERVER_PORT": "80", "CERTCTL_EDGE_KEY": key, "CONTENT_LENGTH": "0", "REMOTE_ADDR": "127.0.0.1"})
        ends = ocsp.load_der_ocsp_response(body).next_update.replace(tzinfo=datetime.timezone.utc).timestamp()
        kept = int(re.search(r"^X-Accel-Expires: ([0-9]+)\r?$", head, re.MULTILINE)[1])
        self.assertGreater(kept, 0)
        self.assertLess(kept, 3600 - 59)
        self.assertGreaterEqual(ends, before + kept)

    def test_database_away(self):
        """500 and internalError, and as before when it is back."""
        self.stack.run("stop", "postgres")
        try:
            answer = self.post(self.request(self.leaf, nonce=b"away"))
            self.assertOcsp(answer, 500, INTERNAL)
        finally:
            self.stack.run("up")
        self.assertEqual(self.ask(self.leaf, nonce=b"back").certificate_status, GOOD)


class Rotation(OcspTest):
    """Keys and certificates of responders; and what the web server keeps ends, though nobody tells it."""

    env = {"CERTCTL_OCSP_EDGE_TTL": "2"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = cls.stack.bench("ocsp-load")

    def test_what_is_kept_ends(self):
        """A revocation of which no row tells the job: each form says so in the end, in a whole answer."""
        chain, _ = self.acme.obtain("ends.ocsp.example.org")
        leaf = x509.load_pem_x509_certificate(split(chain)[0].encode())
        serial = f"{leaf.serial_number:x}"
        forms = (lambda: self.get(leaf), lambda: self.send("GET", f"{PATH}/{serial}"), lambda: self.post(self.request(leaf)))
        for form in forms * 2:
            self.assertStatus(form().body, GOOD)
        self.stack.sql("INSERT INTO certificate_revocations (id, certificate_id, serial_number, issuer_id, ca_id, not_after, reason, revoked_by) "
                       f"SELECT 'rev-{serial}', certificate_id, serial_number, issuer_id, ca_id, not_after, 'superseded', 'test' "
                       f"FROM certificate_versions WHERE serial_number = '{serial}'")
        for form in forms:
            def ended(form=form):
                answer = form()
                self.assertEqual((answer.status, answer.headers["Content-Length"]), (200, str(len(answer.body))))
                return ocsp.load_der_ocsp_response(answer.body).certificate_status == REVOKED
            self.stack.wait(ended, 60, "revoked")

    def serials(self):
        return dict(self.stack.sql("SELECT ca_id, cert_serial FROM ocsp_responders ORDER BY 1"))

    def make_due(self):
        self.stack.sql("UPDATE ocsp_responders SET not_after = now() + interval '1 day'")

    def load(self, name, *arguments, url=None):
        """The load client, which looks at each answer whole, and the file of what it says."""
        url = url or f"http://localhost:{self.stack.http_port}"
        out = open(os.path.join(self.folder, name), "w+", encoding="utf-8")  # pylint: disable=consider-using-with
        self.addCleanup(out.close)
        process = subprocess.Popen(  # pylint: disable=consider-using-with
            [self.client, f"--url={url}{PATH}", f"--ca={self.ca_file}", f"--serials={self.asked_of}",
             "--believe=1", "--count=1000000000", *arguments],
            stdout=out, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process, out

    def said(self, out):
        out.seek(0)
        return out.read().splitlines()

    def errors(self, url, *arguments):
        process, out = self.load("few", "--count=4", "--nonce=1", *arguments, url=url)
        self.assertEqual(process.wait(60), 0)
        return json.loads(self.said(out)[-1])["errors"]

    def test_0_the_load_client_believes_nothing(self):
        self.asked_of = self.write("serials", f"{self.leaf.serial_number:x}\n")
        lies = {
            "none": lambda request: self.post(request).body,
            "another nonce": lambda request: self.post(self.request(self.leaf, nonce=b"other")).body,
            "no nonce": lambda request: self.post(self.request(self.leaf)).body,
            "its octet": lambda request: (lambda body: body[:200] + bytes([body[200] ^ 1]) + body[201:])(self.post(request).body),
            "later": lambda request: self.post(request).body + b"\0",
            "refused": lambda request: TRY_LATER,
        }

        class Liar(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            lie = ""

            def do_POST(self):
                body = lies[Liar.lie](self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):  # pylint: disable=arguments-differ
                pass
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar) as server:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
            for Liar.lie in lies:
                with self.subTest(Liar.lie):
                    found = self.errors(f"http://localhost:{server.server_port}", "--connections=1")
                    self.assertEqual(found, 0 if Liar.lie == "none" else 4)
            server.shutdown()
        self.asked_of = self.write("serials", f"{self.leaf.serial_number:x} revoked\n")
        self.assertEqual(self.errors(f"http://localhost:{self.stack.http_port}"), 4)

    def under_load(self, disturb):
        """What the web server keeps, and what each time a responder signs; good and revoked, while something happens to the responders."""
        revoked = self.issue(f"{self._testMethodName.replace('_', '-')}.ocsp.example.org")
        self.revoke(revoked)
        self.stack.wait(lambda: self.ask(revoked, nonce=b"r").certificate_status == REVOKED, what="revoked")
        self.asked_of = self.write("serials", f"{self.leaf.serial_number:x}\n{revoked.serial_number:x} revoked\n")
        loads = [self.load("edge", "--form=get", "--connections=8", "--warmup=50"),
                 self.load("responder", "--nonce=1", "--connections=2", "--warmup=50")]
        for _, out in loads:
            self.stack.wait(lambda out=out: self.said(out) == ["window 0"], what="the load")
        disturb()
        for n in range(30):
            self.assertEqual(self.ask(self.leaf, nonce=b"%d" % n).certificate_status, GOOD)
        for process, _ in loads:
            process.terminate()
        self.assertEqual([process.wait(60) for process, _ in loads], [0, 0])
        done = [json.loads(self.said(out)[-1]) for _, out in loads]
        print(f"# {done[0]['rate']:.0f} answers a second of the web server and {done[1]['rate']:.0f} of a responder meanwhile")
        self.assertEqual([(one["errors"], one["first_error"]) for one in done], [(0, "")] * 2)
        self.assertTrue(all(one["request"]["n"] > 0 for one in done), done)

    def asked(self, serial):
        """The very first question about it, so that no web server has kept anything."""
        return self.post(self.whole(self.cert_id(self.number(serial)))).body

    def row(self, serial, column="encode(response_der, 'hex')"):
        return self.stack.value(f"SELECT {column} FROM ocsp_response_cache WHERE serial_hex = '{serial:x}' AND hash_alg = 'sha1'")

    def presign(self, value):
        self.stack.sql(f"UPDATE issuers SET config = coalesce(config, '{{}}') || '{{\"ocsp_presign\": {value}}}' WHERE id = 'iss-local'")

    def walk(self):
        """A whole walk of the job over the certificates."""
        self.stack.sql("UPDATE ocsp_responders SET ahead_begun_at = NULL, ahead_not_after = NULL")
        self.stack.wait(lambda: self.stack.value("SELECT bool_and(ahead_begun_at IS NOT NULL AND ahead_not_after IS NULL) FROM ocsp_responders") == "t",
                        what="a walk from one end to the other")

    def insert(self, first, count, not_after="now() + interval '30 days'"):
        """Certificates of which only the database knows."""
        self.stack.sql("INSERT INTO certificate_versions (id, certificate_id, issuer_id, ca_id, serial_number, not_before, not_after, fingerprint_sha256, "
                       f"pem_chain) SELECT 'cv-ahead-' || n, certificate_id, issuer_id, ca_id, to_hex(n), now() - interval '60 days', {not_after}, "
                       f"lpad(to_hex(n), 64, 'a'), '' FROM certificate_versions, generate_series({first}, {first + count - 1}) n "
                       f"WHERE serial_number = '{self.leaf.serial_number:x}'")

    def test_1_the_certificate(self):
        der_cert = self.ask(self.leaf).certificates[0]
        usage = der_cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        self.assertEqual(list(usage), [x509.oid.ExtendedKeyUsageOID.OCSP_SIGNING])
        der_cert.extensions.get_extension_for_class(x509.OCSPNoCheck)
        self.assertLessEqual(der_cert.not_valid_after - der_cert.not_valid_before, datetime.timedelta(days=31))
        self.assertEqual(der_cert.issuer, self.ca.subject)
        self.assertEqual(self.stack.value(f"SELECT count(*) FROM ocsp_responders WHERE cert_serial = '{der_cert.serial_number:x}'"), "1")
        self.assertStatus(self.post(self.whole(self.cert_id(self.number(der_cert.serial_number)))).body, GOOD)

    def test_2_under_load(self):
        seen = [self.serials()]

        def rotate():
            for _ in range(3):
                self.make_due()
                self.stack.wait(lambda: all(self.serials()[ca] != serial for ca, serial in seen[-1].items()), what="new responders")
                seen.append(self.serials())
                self.stack.wait(lambda: f"{self.ask(self.leaf, nonce=b'n').certificates[0].serial_number:x}" == seen[-1][self.ca_id], what="in use")
        self.under_load(rotate)
        rows = self.stack.value("SELECT count(*) FROM audit_events WHERE action = 'ocsp_responder_rotated'")
        self.assertGreaterEqual(int(rows), 8)

    def test_3_killed_in_the_middle(self):
        """kill -9 of both jobs at all sorts of moments: never a lost answer, and in the end one good responder for each CA."""
        def kill():
            for n in range(12):
                self.make_due()
                time.sleep(0.05 * n)
                self.stack.kill("certctl-job-ocsp-presign")
                if n % 3 == 0:
                    self.stack.kill("certctl-job-crl-generation")
            good = ("SELECT count(*) FROM ocsp_responders WHERE not_after > now() + interval '20 days' AND wanted_spki IS NULL "
                    "AND cert_pem IS NOT NULL")
            self.stack.wait(lambda: self.stack.value(good) == "2", what="responders are good again")
        self.under_load(kill)

    def test_4_gone(self):
        """The runbook's DELETE: tryLater for a moment, then a new key of mode 0600, and nobody else can read it."""
        self.stack.sql("DELETE FROM ocsp_responder_certs")
        time.sleep(1.1)
        statuses = set()
        self.stack.wait(lambda: (statuses.add(self.post(self.request(self.leaf, nonce=b"g")).body), self.ask(self.leaf, nonce=b"g").response_status)[1]
                        == ocsp.OCSPResponseStatus.SUCCESSFUL, what="an answer again")
        folder = os.path.join(self.stack.dir, "state", "ocsp")
        self.assertEqual(os.stat(folder).st_mode & 0o777, 0o700)
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):  # the job tidies, and makes the key of another CA
                self.assertEqual(os.stat(os.path.join(folder, name)).st_mode & 0o777, 0o600, name)

    def test_5_old_files_go_and_nothing_is_signed_ahead_by_default(self):
        leaf = self.issue("default.ocsp.example.org")
        folder = os.path.join(self.stack.dir, "state", "ocsp")

        def named():
            return {row[0] for row in self.stack.sql("SELECT key_path FROM ocsp_responders")}

        def tidied():
            found = {os.path.join(folder, name) for name in os.listdir(folder)}
            return found == named()
        self.stack.wait(lambda: self.stack.value("SELECT count(*) FROM ocsp_responders WHERE cert_pem IS NOT NULL AND wanted_spki IS NULL") == "2",
                        what="each CA has its responder again")
        self.stack.sql("UPDATE ocsp_responders SET updated_at = now() - interval '25 hours'")
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                os.utime(os.path.join(folder, name), (1, time.time() - 90000))
        self.stack.kill("certctl-job-ocsp-presign")  # the next one tidies at once
        self.stack.wait(tidied, what="only the keys in use")
        self.assertIsNone(self.row(leaf.serial_number))  # tidying is the last of what a look does
        self.assertEqual(self.stack.value("SELECT count(*) FROM ocsp_responders WHERE ahead_begun_at IS NOT NULL"), "0")

    def test_6_signed_ahead(self):
        """Every live certificate has its answer before anybody asks, and the first who asks gets that one: no signature."""
        good, revoked, aged = (self.issue(f"{name}.ahead.example.org").serial_number for name in ("good", "revoked", "aged"))
        self.stack.sql("INSERT INTO certificate_revocations (id, certificate_id, serial_number, issuer_id, ca_id, not_after, reason, revoked_by) "
                       f"SELECT 'rev-ahead', certificate_id, serial_number, issuer_id, ca_id, not_after, 'keyCompromise', 'test' "
                       f"FROM certificate_versions WHERE serial_number = '{revoked:x}'")
        self.insert(0xE0000, 1, "now() - interval '1 day'")
        self.presign("true")
        self.addCleanup(self.presign, "false")
        self.walk()
        self.assertEqual(self.stack.value("SELECT count(*) FROM certificate_versions v WHERE not_after > now() AND NOT EXISTS (SELECT 1 FROM "
                                          "ocsp_response_cache c WHERE c.serial_hex = v.serial_number AND c.hash_alg = 'sha1')"), "0")
        self.assertIsNone(self.row(0xE0000), "an expired one")
        self.assertEqual(self.stack.value("SELECT count(*) FROM ocsp_response_cache WHERE cert_status = 'unknown'"), "0")
        for serial, status in ((good, GOOD), (revoked, REVOKED)):
            body = self.asked(serial)
            self.assertEqual(body.hex(), self.row(serial))
            self.assertStatus(body, status)
        answer = ocsp.load_der_ocsp_response(self.asked(revoked))
        self.assertEqual(answer.revocation_reason, x509.ReasonFlags.key_compromise)
        # Only what is past half its life, or says what is not so any more, is signed anew.
        kept = self.row(revoked)
        self.stack.sql(f"UPDATE ocsp_response_cache SET this_update = now() - interval '2 hours' WHERE serial_hex = '{aged:x}'; "
                       "INSERT INTO certificate_revocations (id, certificate_id, serial_number, issuer_id, ca_id, not_after, reason, revoked_by) "
                       f"SELECT 'rev-late', certificate_id, serial_number, issuer_id, ca_id, not_after, 'superseded', 'test' "
                       f"FROM certificate_versions WHERE serial_number = '{good:x}'")
        self.assertStatus(self.post(self.whole(self.cert_id(self.number(good))), path=f"/.well-known/pki/ocsp/{self.ca_id}").body, REVOKED)
        self.walk()
        self.assertEqual(self.row(aged, "this_update > now() - interval '10 minutes'"), "t")
        self.assertEqual(self.row(good, "cert_status"), "revoked")
        self.assertEqual(self.row(revoked), kept)

    def test_7_killed_while_signing_ahead(self):
        """kill -9 in the middle of the walk: in the end each has its one row, and it is true."""
        self.insert(0xF0000, 2500)
        self.presign("true")
        self.addCleanup(self.presign, "false")
        self.stack.sql("UPDATE ocsp_responders SET ahead_begun_at = NULL, ahead_not_after = NULL")
        stored = ("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'certctl-job-ocsp-presign' AND wait_event_type = 'Lock' "
                  "AND query LIKE 'INSERT INTO ocsp_response_cache%'")
        with self.stack.holding("LOCK TABLE ocsp_response_cache IN SHARE MODE") as ask:
            self.stack.wait(lambda: ask(stored) != ["0"], what="the job stores what it signed")
            self.stack.kill("certctl-job-ocsp-presign")
            self.stack.sql("UPDATE scheduler_state SET run_requested_at = now() WHERE job LIKE 'ocsp-presign@%'")  # it need not wait
        self.walk()
        rows = self.stack.sql("SELECT v.serial_number, c.cert_status, encode(c.response_der, 'hex') FROM certificate_versions v LEFT JOIN "
                              "ocsp_response_cache c ON c.serial_hex = v.serial_number WHERE v.id LIKE 'cv-ahead-%' AND v.not_after > now()")
        self.assertEqual(len(rows), 2500)
        self.assertEqual({status for _, status, _ in rows}, {"good"})
        for serial, _, body in rows[::250]:
            response = ocsp.load_der_ocsp_response(bytes.fromhex(body))
            self.assertEqual((response.certificate_status, response.serial_number), (GOOD, int(serial, 16)))


class NotKept(OcspTest):
    """CERTCTL_OCSP_EDGE_TTL=0: the web server keeps nothing."""

    env = {"CERTCTL_OCSP_EDGE_TTL": "0"}

    def test_no_good_once_the_revocation_has_returned(self):
        leaf = self.issue("nottl.ocsp.example.org")
        body, tail = self.request(leaf), base64.b64encode(self.request(leaf)).decode()
        asks = (lambda: self.post(body), lambda: self.send("GET", f"{PATH}/{urllib.parse.quote(tail, safe='')}"),
                lambda: self.send("GET", f"{PATH}/{leaf.serial_number:x}"))
        heard, stop = [], threading.Event()

        def listen(ask):
            while not stop.is_set():
                asked = time.monotonic()
                answer = ask()
                heard.append((asked, ocsp.load_der_ocsp_response(answer.body).certificate_status if answer.status == 200 else answer.status))
        threads = [threading.Thread(target=listen, args=(ask,)) for ask in asks]
        for thread in threads:
            thread.start()
        self.stack.wait(lambda: len(heard) > 60, what="answers before the revocation")
        self.revoke(leaf)
        revoked = time.monotonic()
        count = len(heard)
        self.stack.wait(lambda: len(heard) > count + 60, what="answers after the revocation")
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual({status for asked, status in heard if asked > revoked}, {REVOKED})
        self.assertLessEqual({status for _, status in heard}, {GOOD, REVOKED})

    def test_each_reaches_the_responder(self):
        before = len([line for line in self.stack.log("pki.log") if line.get("msg") == "request"])
        for _ in range(10):
            self.assertStatus(self.post(self.request(self.leaf)).body, GOOD)
        self.stack.wait(lambda: len([line for line in self.stack.log("pki.log") if line.get("msg") == "request"]) >= before + 10,
                        what="ten lines")

    def test_counters(self):
        """04 section 10.7: as many as there were, by label."""
        def counts():
            """A worker writes what it has counted at the latest when it ends."""
            self.stack.run("stop", "pki")
            rows = self.stack.sql("SELECT substring(labels from '\"(.*)\"'), sum(value)::bigint FROM metric_counters "
                                  "WHERE name = 'certctl_ocsp_counter_total' GROUP BY 1")
            self.stack.run("up")
            return {label: int(value) for label, value in rows}
        before = counts()
        unknown = self.whole(self.cert_id(self.number(0xDEAD)))
        sent = {"request_get": 7, "request_invalid": 5 + 1, "cert_not_found": 3, "nonce_malformed": 1, "nonce_echoed": 4, "issuer_not_found": 2}
        for _ in range(7):
            self.send("GET", f"{PATH}/{self.leaf.serial_number:x}")
        for _ in range(5):
            self.post(b"garbage")
        for _ in range(3):
            self.post(unknown)
        for n in range(4):
            self.ask(self.leaf, nonce=bytes([n + 1]))
        self.post(self.whole(self.cert_id(self.number(1)), extensions=self.nonce(der(4, b""))))
        for _ in range(2):
            self.post(self.request(self.leaf), path="/.well-known/pki/ocsp/iss-none")

        after = counts()
        self.assertEqual({label: after.get(label, 0) - before.get(label, 0) for label in sent}, sent)

    def test_unknown_answers_are_bounded(self):
        """04 section 10.6: one process signs 200 "unknown" a second; who guesses more is answered unsigned."""
        bodies, answers = [self.whole(self.cert_id(self.number((1 << 90) + n))) for n in range(3000)], []

        def ask(part):
            answers.extend(self.post(body).body for body in part)
        threads = [threading.Thread(target=ask, args=(bodies[n::6],)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        signed = [body for body in answers if body != UNAUTHORIZED]
        self.assertEqual(len(answers), 3000)
        self.assertGreater(len(signed), 0)
        for body in signed[:20]:
            self.assertStatus(body, UNKNOWN)
        self.assertStatus(self.post(self.request(self.leaf)).body, GOOD)  # others are not touched by it
        rows = self.stack.value(f"SELECT count(*) FROM ocsp_response_cache WHERE serial_hex = '{1 << 90:x}'")
        self.assertEqual(rows, "0")


class Limited(OcspTest):
    """The limit of one address, 1,000 a minute as shipped: in front, and the responder's own."""

    env = {"CERTCTL_OCSP_RATE_LIMIT_PER_IP_MIN": "1000"}

    def test_0_not_of_refreshes(self):
        """What replaces kept answers has no limit, neither in front nor behind: a hundred and fifty times nine, then one more."""
        told = "SELECT coalesce(sum(value), 0) FROM metric_counters WHERE name = 'certctl_ocsp_counter_total' AND labels = 'label=\"edge_refresh\"'"
        invalid = "INSERT INTO ocsp_invalidations (issuer_id, ca_id, serial_hex)"
        before = int(self.stack.value(told))
        self.stack.sql(f"{invalid} SELECT 'iss-local', '{self.ca_id}', 'fade' || to_hex(n) FROM generate_series(1, 150) n")
        self.stack.wait(lambda: int(self.stack.value(told)) >= before + 150, what="all are told once")
        self.assertStatus(self.get(self.leaf).body, GOOD)
        self.assertStatus(self.post(self.request(self.leaf)).body, GOOD)
        serial = f"{self.leaf.serial_number:x}"
        self.stack.sql("INSERT INTO certificate_revocations (id, certificate_id, serial_number, issuer_id, ca_id, not_after, reason, revoked_by) "
                       f"SELECT 'rev-{serial}', certificate_id, serial_number, issuer_id, ca_id, not_after, 'certificateHold', 'test' "
                       f"FROM certificate_versions WHERE serial_number = '{serial}'; {invalid} VALUES ('iss-local', '{self.ca_id}', '{serial}')")
        for kept in (self.get, lambda leaf: self.post(self.request(leaf))):
            self.stack.wait(lambda kept=kept: ocsp.load_der_ocsp_response(kept(self.leaf).body).certificate_status == REVOKED, 50, "it is replaced")

    def flood(self, mark):
        """Bodies of POSTs from four connections until 300 were refused, and how long they took."""
        answers, began = [], time.monotonic()

        def ask(first):
            wire = http.client.HTTPConnection("localhost", self.stack.http_port, timeout=60)
            for n in range(first, 20000, 4):
                if sum(one[3] == UNAUTHORIZED for one in answers[:]) >= 300:
                    break
                body = self.request(self.leaf, nonce=b"%s%06d" % (mark, n))
                try:
                    wire.request("POST", PATH, body, {"Content-Type": MEDIA})
                    answer = wire.getresponse()
                except http.client.RemoteDisconnected:  # a web server that was reloaded closes what is idle
                    wire.close()
                    wire.request("POST", PATH, body, {"Content-Type": MEDIA})
                    answer = wire.getresponse()
                answers.append((answer.status, answer.headers["Content-Type"], answer.headers["Retry-After"], answer.read()))
            wire.close()
        threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers, time.monotonic() - began

    def assertLimited(self, answers, took):
        refused = [one for one in answers if one[3] == UNAUTHORIZED]
        self.assertEqual(set(refused), {(200, "application/ocsp-response", "60", UNAUTHORIZED)})
        self.assertEqual({one[0] for one in answers}, {200})
        allowed = len(answers) - len(refused)
        self.assertGreaterEqual(allowed, 940)  # workers take twenty at a time, and may hold some that nobody asks for
        self.assertLessEqual(allowed, 1000 + took * 1000 / 60 + 60)

    def test_1_in_front(self):
        """Of one address: about 1,000 answers, the rest unauthorized."""
        self.assertLimited(*self.flood(b"f"))

    def test_2_of_the_responder(self):
        """The limit in front is off: the responder's own holds."""
        if self.stack.web == "nginx":  # Apache has none
            path = os.path.join(self.stack.dir, "nginx", "certctl-ocsp.conf")
            with open(path, encoding="utf-8") as source:
                text = source.read()
            with open(path, "w", encoding="utf-8") as out:
                out.write(re.sub(r"(?m)^ *limit_req .*$", "", text))
            old = self.stack.web_pids()
            with open(os.path.join(self.stack.dir, "pid", "nginx"), encoding="utf-8") as source:
                os.kill(int(source.read().split()[0]), signal.SIGHUP)
            self.stack.wait(lambda: len(set(self.stack.web_pids()) - set(old)) > 0 and len(set(old) & set(self.stack.web_pids())) == 1,
                            what="new workers of the web server")
        self.stack.sql("DELETE FROM rate_limit_buckets")
        time.sleep(5.1)  # what workers hold of a bucket is void then
        self.assertLimited(*self.flood(b"w"))
        counted = ("SELECT coalesce(sum(value), 0) > 0 FROM metric_counters WHERE name = 'certctl_ocsp_counter_total' "
                   "AND labels = 'label=\"rate_limited\"'")
        self.stack.wait(lambda: (self.post(self.request(self.leaf, nonce=b"n")), self.stack.value(counted))[1] == "t", what="counted")


if __name__ == "__main__":
    unittest.main()
