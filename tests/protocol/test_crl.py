"""CRLs and CA certificates as files, from the revocation in the database to what a client downloads."""
import datetime
import glob
import http.client
import os
import subprocess
import tempfile
import threading
import time
import unittest

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from acme_client import Client
from stack import Stack
from test_issuance import split

PEM = Encoding.PEM
ISSUER = "/.well-known/pki/crl/iss-local"


class Crl(unittest.TestCase):
    """A stack of its own: tests stop its parts."""

    seconds = 60  # so that it begins first

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(name="crl", env={"CERTCTL_ACME_SERVER_RATE_LIMIT_CONCURRENT_ORDERS": "0",
                                           "CERTCTL_ACME_SERVER_RATE_LIMIT_ORDERS_PER_HOUR": "0",
                                           "CERTCTL_CRL_MAX_AGE": "1800"})
        cls.addClassCleanup(cls.stack.stop, keep=bool(os.environ.get("CERTCTL_CHECK_KEEP")))
        cls.stack.start()
        cls.wait(lambda: cls.get(ISSUER).status == 200, what="the first list")
        cls.ca = cls.stack.value("SELECT id FROM issuing_cas WHERE issuer_id = 'iss-local'")
        cls.root = cls.stack.value("SELECT id FROM ca_instances WHERE path_len = 1")

    @classmethod
    def wait(cls, condition, seconds=90, what="condition"):
        cls.stack.wait(condition, seconds, what)

    @classmethod
    def get(cls, path, method="GET", headers=None):
        """Over plain http, as a client that has to check a certificate does."""
        wire = http.client.HTTPConnection("localhost", cls.stack.http_port, timeout=60)
        try:
            wire.request(method, path, headers=headers or {})
            answer = wire.getresponse()
            answer.body = answer.read()
            return answer
        finally:
            wire.close()

    def crl(self, path=ISSUER):
        answer = self.get(path)
        self.assertEqual(answer.status, 200, answer.body)
        return x509.load_der_x509_crl(answer.body)

    @staticmethod
    def number(crl):
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number

    def issue(self, name):
        acme = Client(self.stack, "prof-test")
        acme.register()
        chain, _ = acme.obtain(name)
        return x509.load_pem_x509_certificate(split(chain)[0].encode())

    def revoke(self, certificate, reason="keyCompromise", more="", columns=""):
        """What a revocation commits (04 section 8.3), as the owner of the database."""
        serial = f"{certificate.serial_number:x}"
        self.stack.sql(
            "WITH found AS (SELECT v.certificate_id, v.serial_number, v.issuer_id, v.ca_id, v.not_after FROM certificate_versions v "
            f"WHERE v.serial_number = '{serial}'), "
            "entered AS (INSERT INTO certificate_revocations (id, certificate_id, serial_number, issuer_id, ca_id, not_after, reason, "
            f"revoked_by {columns}) SELECT 'rev-{serial}', certificate_id, serial_number, issuer_id, ca_id, not_after, '{reason}', "
            f"'test' {more} FROM found RETURNING ca_id) "
            "UPDATE ca_instances SET crl_dirty_since = coalesce(crl_dirty_since, now()) WHERE id = (SELECT ca_id FROM entered)")

    def find(self, certificate, path=ISSUER):
        return self.crl(path).get_revoked_certificate_by_serial_number(certificate.serial_number)

    def force(self, **options):
        """One run of the job beside the one that lingers, as certctl-tick would start it on another host."""
        environment = {}
        with open(os.path.join(self.stack.dir, "certctl.env"), encoding="utf-8") as lines:
            for line in lines:
                if line.strip() and not line.startswith("#"):
                    name, _, value = line.rstrip("\n").partition("=")
                    environment[name] = value
        environment.update(PATH="/usr/bin:/bin", PGUSER="certctl_jobs", **options)
        command = [os.path.join(self.stack.dir, "bin", "certctl-job-crl-generation"), "--force"]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=certctl-jobs", "--regid=certctl-jobs", "--init-groups", "--", *command]
        return subprocess.run(command, env=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)

    def dirty(self):
        self.stack.sql("UPDATE ca_instances SET crl_dirty_since = now() - interval '1 min' WHERE path_len = 0")

    def openssl(self, *arguments, **files):
        with tempfile.TemporaryDirectory() as folder:
            paths = {}
            for name, content in files.items():
                paths[name] = os.path.join(folder, name)
                with open(paths[name], "wb") as out:
                    out.write(content)
            done = subprocess.run([a.format(**paths) for a in arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, check=False)
            return done.returncode, done.stdout

    def ca_pem(self, name):
        answer = self.get(f"/.well-known/pki/ca/{name}")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/pkix-cert"))
        return x509.load_der_x509_certificate(answer.body)

    def test_a_revoked_certificate_is_on_the_next_list(self):
        leaf, plain = self.issue("revoked.example.org"), self.issue("unspecified.example.org")
        self.assertIsNone(self.find(leaf))
        before = self.number(self.crl())
        self.revoke(leaf)
        self.revoke(plain, "unspecified")
        self.wait(lambda: self.find(leaf) is not None and self.find(plain) is not None, what="both on the list")
        entry = self.find(leaf)
        self.assertEqual(entry.extensions.get_extension_for_class(x509.CRLReason).value.reason, x509.ReasonFlags.key_compromise)
        self.assertEqual(len(self.find(plain).extensions), 0)  # RFC 5280 section 5.3.1
        self.assertGreater(self.number(self.crl()), before)

    def admin(self, *arguments):
        return subprocess.run([os.path.join(self.stack.dir, "bin", "certctl-admin"), *arguments], cwd="/", text=True, check=False,
                              env={**self.settings(), "PATH": "/usr/bin:/bin", "PGUSER": "certctl_ca"},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def settings(self):
        with open(os.path.join(self.stack.dir, "certctl.env"), encoding="utf-8") as lines:
            return dict(line.rstrip("\n").split("=", 1) for line in lines if line.strip() and not line.startswith("#"))

    def test_numbers_leap_after_a_restore(self):
        before = self.number(self.crl())
        done = self.admin("crl", "bump", "iss-local")
        self.assertEqual((done.returncode, done.stdout.split("\t")[0]), (0, self.ca), done.stdout)
        leapt = int(done.stdout.split("\t")[1])
        self.assertGreaterEqual(leapt, before + 1000)
        # the signer takes at most 1000 above its own: as after a restore of a database that is behind
        self.stack.sql(f"UPDATE ca_instances SET crl_number = crl_number - 100 WHERE id = '{self.ca}'")
        self.wait(lambda: self.number(self.crl()) > before + 800, what="the leap is on a list")
        known = self.number(self.crl())
        done = self.admin("crl", "bump", self.ca, f"--to={known + 50}")
        self.assertEqual((done.returncode, done.stdout), (0, f"{self.ca}\t{known + 50}\n"))
        self.wait(lambda: self.number(self.crl()) > known + 50, what="above the number that was named")
        self.assertEqual(self.admin("crl", "bump", self.ca, f"--to={known}").returncode, 1)  # never back
        self.assertEqual(self.admin("crl", "bump", "nobody").returncode, 1)
        self.assertEqual(self.admin("crl", "bump", self.ca, "--to=x").returncode, 64)
        self.assertEqual(self.stack.value("SELECT count(*) FROM audit_events WHERE action = 'crl_number_bumped' "
                                          f"AND resource_id = '{self.ca}'"), "2")

    def test_revocations_may_wait_for_the_regular_list(self):
        leaf = self.issue("patient.example.org")
        self.stack.run("stop", "tick")
        self.wait(lambda: not self.stack.pids("certctl-job-crl-generation"), what="nobody builds")
        self.revoke(leaf)
        self.dirty()
        self.assertEqual(self.force(CERTCTL_CRL_REGENERATE_ON_REVOKE="false").returncode, 0)
        self.assertIsNone(self.find(leaf))
        self.assertEqual(self.force().returncode, 0)
        self.assertIsNotNone(self.find(leaf))
        self.stack.run("up")

    def test_a_list_must_outlive_two_builds(self):
        for validity, status in (("2h", 78), ("2h1s", 0), ("1h", 78)):
            done = subprocess.run([os.path.join(self.stack.dir, "bin", "certctl-config"), "check"], check=False, cwd="/", text=True,
                                  env={**self.settings(), "CERTCTL_CRL_GENERATION_INTERVAL": "1h", "CERTCTL_CRL_VALIDITY": validity},
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertEqual(done.returncode, status, done.stdout)
            self.assertEqual("CERTCTL_CRL_VALIDITY" in done.stdout, status != 0)

    def test_a_wake_is_faster_than_the_poll(self):
        leaf = self.issue("woken.example.org")
        wake = os.path.join(self.stack.dir, "run", "wake", "crl-generation.sock")
        self.wait(lambda: os.path.exists(wake), what="the job lingers")
        self.revoke(leaf)
        script = "import socket,sys; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', sys.argv[1])"
        subprocess.run(["/usr/bin/python3", "-c", script, wake], check=False)
        self.wait(lambda: self.find(leaf) is not None, what="on the list")

    def test_a_list_of_several_pieces(self):
        """Above 1 MiB it goes to the database piece by piece; the file is the whole."""
        self.stack.sql("INSERT INTO certificate_revocations (id, source, serial_number, issuer_id, ca_id, not_after, reason, revoked_by, revoked_at, "
                       "crl_entry_der, issuer_notified) SELECT 'rev-piece-' || n, 'orphan', serial, 'iss-local', "
                       f"'{self.ca}', now() + interval '30 days', 'unspecified', 'test', '2026-01-02 03:04:05Z', "
                       "decode('30210210' || serial || '170d' || encode('260102030405Z', 'hex'), 'hex'), true "
                       "FROM (SELECT n, '4' || substr(md5(n::text), 2) AS serial FROM generate_series(1, 40000) n) made; "
                       f"UPDATE ca_instances SET crl_dirty_since = now() WHERE id = '{self.ca}'")
        try:
            self.wait(lambda: len(self.crl()) >= 40000, what="the long list")
            long = self.crl()
            self.assertGreater(len(long.public_bytes(Encoding.DER)), 2**20)
            self.assertTrue(long.is_signature_valid(self.ca_pem(self.ca).public_key()))
            self.assertEqual(self.stack.value("SELECT count(*) FROM crl_pieces"), "0")
        finally:
            self.stack.sql("DELETE FROM certificate_revocations WHERE id LIKE 'rev-piece-%'; "
                           f"UPDATE ca_instances SET crl_dirty_since = now() WHERE id = '{self.ca}'")
        self.wait(lambda: len(self.crl()) < 40000, what="the short list again")

    def test_prepared_entries_are_taken_as_they_are(self):
        leaf = self.issue("prepared.example.org")
        serial = leaf.serial_number.to_bytes((leaf.serial_number.bit_length() + 8) // 8, "big")
        body = b"\x02" + bytes([len(serial)]) + serial + b"\x17\x0d261120010203Z"
        self.revoke(leaf, more=f", '\\x{(bytes([0x30, len(body)]) + body).hex()}'", columns=", crl_entry_der")
        self.wait(lambda: self.find(leaf) is not None, what="on the list")
        self.assertEqual(self.find(leaf).revocation_date, datetime.datetime(2026, 11, 20, 1, 2, 3))

    def test_verification_by_openssl_and_gnutls(self):
        leaf, good = self.issue("checked.example.org"), self.issue("good.example.org")
        self.revoke(leaf)
        self.wait(lambda: self.find(leaf) is not None, what="on the list")
        with open(self.stack.root_pem, "rb") as source:
            root = source.read()
        issuing = self.ca_pem(self.ca).public_bytes(PEM)
        lists = self.crl().public_bytes(PEM) + self.crl(f"/.well-known/pki/crl/{self.root}").public_bytes(PEM)
        status, said = self.openssl("openssl", "crl", "-inform", "DER", "-noout", "-CAfile", "{ca}", "-in", "{crl}", ca=issuing,
                                    crl=self.get(ISSUER).body)
        self.assertEqual((status, "verify OK" in said), (0, True), said)
        for certificate, wanted in ((good, 0), (leaf, 2)):
            status, said = self.openssl("openssl", "verify", "-x509_strict", "-crl_check_all", "-CAfile", "{root}", "-untrusted",
                                        "{ca}", "-CRLfile", "{crl}", "{leaf}", root=root, ca=issuing, crl=lists,
                                        leaf=certificate.public_bytes(PEM))
            self.assertEqual(status, wanted, said)
            self.assertEqual("certificate revoked" in said, wanted == 2, said)
        status, said = self.openssl("certtool", "--verify-crl", "--load-ca-certificate", "{ca}", "--infile", "{crl}", ca=issuing,
                                    crl=self.crl().public_bytes(PEM))
        self.assertEqual((status, "Verified" in said), (0, True), said)
        status, said = self.openssl("certtool", "--crl-info", "--infile", "{crl}", crl=self.crl().public_bytes(PEM))
        self.assertIn(f"{leaf.serial_number:x}", said.replace(":", "").lower())

    def test_the_urls_in_certificates_lead_to_the_files(self):
        leaf = self.issue("urls.example.org")
        points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        self.assertEqual([a.access_method.dotted_string for a in access], ["1.3.6.1.5.5.7.48.1", "1.3.6.1.5.5.7.48.2"])
        crl_url, ca_url = points[0].full_name[0].value, access[1].access_location.value
        for url in (crl_url, ca_url):
            self.assertTrue(url.startswith(self.stack.http_url + "/.well-known/pki/"), url)
        issuer = self.ca_pem(ca_url.rsplit("/", 1)[1])
        self.assertEqual(issuer.subject, leaf.issuer)
        self.assertTrue(self.crl(crl_url[len(self.stack.http_url):]).is_signature_valid(issuer.public_key()))
        above = issuer.extensions.get_extension_for_class(x509.CRLDistributionPoints).value[0].full_name[0].value
        self.assertTrue(self.crl(above[len(self.stack.http_url):]).is_signature_valid(self.ca_pem(self.root).public_key()))

    def test_form(self):
        crl, issuer = self.crl(f"/.well-known/pki/crl/{self.root}"), self.ca_pem(self.root)
        self.assertEqual(crl.issuer, issuer.subject)
        self.assertEqual([e.oid.dotted_string for e in crl.extensions], ["2.5.29.35", "2.5.29.20"])
        self.assertFalse(any(e.critical for e in crl.extensions))
        self.assertEqual(crl.next_update - crl.last_update, datetime.timedelta(hours=24))
        self.assertEqual(len(crl), 0)
        end = crl.tbs_certlist_bytes.index(crl.next_update.strftime("%y%m%d%H%M%SZ").encode()) + 13
        self.assertEqual(crl.tbs_certlist_bytes[end], 0xA0)  # no list of entries, where there is none

    def test_headers_and_conditional_requests(self):
        path = f"/.well-known/pki/crl/{self.root}"  # the other list may be made anew between two requests
        answer = self.get(path)
        self.assertEqual(answer.headers["Content-Type"], "application/pkix-crl")
        self.assertEqual(answer.headers["Cache-Control"], "public, max-age=1800, must-revalidate")
        self.assertTrue(answer.headers["ETag"])
        self.assertTrue(answer.headers["X-Request-ID"])
        crl = x509.load_der_x509_crl(answer.body)
        stamp = crl.last_update.strftime("%a, %d %b %Y %H:%M:%S GMT")
        self.assertEqual(answer.headers["Last-Modified"], stamp)
        for headers in ({"If-None-Match": answer.headers["ETag"]}, {"If-None-Match": "*"},
                        {"If-None-Match": '"x", W/' + answer.headers["ETag"].removeprefix("W/")}, {"If-Modified-Since": stamp}):
            again = self.get(path, headers=headers)
            self.assertEqual((again.status, again.body), (304, b""), headers)
            self.assertEqual(again.headers["Cache-Control"], answer.headers["Cache-Control"])
        self.assertEqual(self.get(path, headers={"If-None-Match": '"other"'}).status, 200)
        head = self.get(path, "HEAD")
        self.assertEqual((head.status, head.body, head.headers["Content-Length"]), (200, b"", str(len(answer.body))))

    def test_refusals(self):
        for path, status, code in ((ISSUER + "x", 404, "not_found"), ("/.well-known/pki/ca/none", 404, "not_found"),
                                   ("/.well-known/pki/crl/", 400, "malformed"), ("/.well-known/pki/ca", 400, "malformed"),
                                   ("/.well-known/pki/crl/" + "a" * 129, 404, "not_found"), ("/.well-known/pki/nothing", 404, "not_found"),
                                   ("/.well-known/pki/crl/..", 404, "not_found"), ("/.well-known/pki/crl/..%2f..%2fcertctl.env", 404, "not_found"),
                                   ("/health", 404, "not_found"), ("/acme/directory", 404, "not_found")):
            with self.subTest(path):
                answer = self.get(path)
                self.assertEqual((answer.status, answer.headers["Content-Type"]), (status, "application/json"), answer.body)
                self.assertIn(f'"code":"{code}"'.encode(), answer.body)
                self.assertNotIn("Retry-After", answer.headers)
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            answer = self.get(ISSUER, method)
            self.assertEqual((answer.status, answer.headers["Allow"]), (405, "GET, HEAD"), method)

    def test_https_serves_the_same(self):
        acme = Client(self.stack, "prof-test")
        answer = acme.raw("GET", ISSUER)
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/pkix-crl"))
        self.assertEqual(acme.raw("GET", "/.well-known/pki/crl/none").status, 404)

    def test_a_lost_file_is_503_and_comes_back(self):
        path = os.path.join(self.stack.dir, "pki", "crl", "iss-local.crl")
        self.stack.run("stop", "tick")
        self.wait(lambda: not self.stack.pids("certctl-job-crl-generation"), what="nobody builds")
        os.unlink(path)
        answer = self.get(ISSUER)
        self.assertEqual((answer.status, answer.headers["Retry-After"]), (503, "5"), answer.body)
        self.assertIn(b'"error":"CRL not available yet"', answer.body)
        self.stack.run("up")
        self.wait(lambda: self.get(ISSUER).status == 200, what="published again")
        number = self.number(self.crl())
        self.stack.sql("DELETE FROM crl_cache")
        for name in glob.glob(os.path.join(self.stack.dir, "pki", "crl", "*.crl")):
            os.unlink(name)
        gone = time.monotonic()

        def built():
            answer = self.get(ISSUER)
            self.assertIn((answer.status, answer.headers["Retry-After"]), ((200, None), (503, "5")), answer.body)
            return answer.status == 200
        self.wait(built, what="built again")
        print(f"# built again {time.monotonic() - gone:.3f} s after file and row went")
        self.assertGreater(self.number(self.crl()), number)
        with open(path, "wb") as out:
            out.write(b"no list")
        self.wait(lambda: self.get(ISSUER).body[:1] == b"0", what="a broken file is replaced")

    def test_an_expired_list_is_not_served(self):
        self.stack.run("stop", "signer")
        try:
            self.stack.sql("UPDATE crl_cache SET next_update = now() - interval '1 s'")
            self.wait(lambda: self.get(ISSUER).status == 503, what="withdrawn")
            self.wait(lambda: self.stack.value("SELECT count(*) FROM crl_generation_events WHERE NOT succeeded") != "0",
                      what="the failure is recorded")
            self.assertIn("signer", self.stack.value("SELECT error FROM crl_generation_events WHERE NOT succeeded LIMIT 1"))
        finally:
            self.stack.run("up")
        self.wait(lambda: self.get(ISSUER).status == 200, what="built again")

    def test_works_with_all_responders_stopped(self):
        """The web server alone; and when all is back, the CA is the one from before, to the last octet."""
        def certificates():
            return {name: self.get(f"/.well-known/pki/ca/{name}").body for name in (self.ca, self.root)}

        def rows():
            return self.stack.sql("SELECT id, encode(cert_der, 'hex'), md5(chain_pem), key_ref FROM ca_instances ORDER BY id")
        before, known = certificates(), rows()
        self.assertEqual({row[0]: bytes.fromhex(row[1]) for row in known}, before)
        places = os.listdir(os.path.join(self.stack.dir, "pid"))
        self.stack.run("stop", *sorted(name for name in places if "." not in name and name != self.stack.web))
        try:
            for program in ("certctl-acme", "certctl-api", "certctl-pki", "certctl-probe", "certctl-signer", "certctl-tick", "postgres"):
                self.assertEqual(self.stack.pids(program), [], program)
            self.assertEqual(self.get(ISSUER).status, 200)
            self.assertEqual(certificates(), before)
        finally:
            self.stack.run("up")
        self.assertEqual((certificates(), rows()), (before, known))
        leaf = self.issue("restarted.example.org")
        x509.load_der_x509_certificate(before[self.ca]).public_key().verify(leaf.signature, leaf.tbs_certificate_bytes,
                                                                            ec.ECDSA(leaf.signature_hash_algorithm))

    def test_numbers_never_go_back_over_restarts(self):
        seen = [self.number(self.crl())]
        for part in ("signer", "postgres", "tick"):
            self.stack.run("stop", part)
            self.stack.run("up")
            self.dirty()
            self.wait(lambda: self.number(self.crl()) > seen[-1], what=f"a list after the restart of {part}")
            seen.append(self.number(self.crl()))
        self.assertEqual(seen, sorted(set(seen)))
        # A database that forgot: the signer has not, and the job works its way up.
        self.stack.sql("UPDATE ca_instances SET crl_number = crl_number - 2 WHERE path_len = 0; DELETE FROM crl_cache")
        self.wait(lambda: self.stack.value(f"SELECT max(crl_number) FROM crl_cache WHERE ca_id = '{self.ca}'") not in (None, ""),
                  what="a list after the database went back")
        self.wait(lambda: self.get(ISSUER).status == 200 and self.number(self.crl()) > seen[-1], what="it is newer")

    def test_a_hundred_builds_at_once_strictly_increase(self):
        first = int(self.stack.value("SELECT coalesce(max(id), 0) FROM crl_generation_events"))
        stop, served = threading.Event(), []

        def build(number):
            directory = os.path.join(self.stack.dir, "hosts", str(number))
            while not stop.is_set():
                self.dirty()
                self.force(CERTCTL_RUNTIME_DIR=directory, CERTCTL_PKI_PUBLISH_DIR=os.path.join(directory, "pki"))

        for number in range(4):  # four hosts: each its own lock and its own files
            directory = os.path.join(self.stack.dir, "hosts", str(number))
            os.makedirs(os.path.join(directory, "jobs"), exist_ok=True)
            for path in (directory, os.path.join(directory, "jobs")):
                os.chmod(path, 0o777)
        threads = [threading.Thread(target=build, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        done = f"SELECT count(*) FROM crl_generation_events WHERE succeeded AND ca_id = '{self.ca}' AND id > {first}"
        deadline = time.monotonic() + 900
        while int(self.stack.value(done)) < 100 and time.monotonic() < deadline:
            answer = self.get(ISSUER)
            if answer.status == 200:
                served.append(self.number(x509.load_der_x509_crl(answer.body)))
            time.sleep(0.05)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertGreaterEqual(int(self.stack.value(done)), 100)
        numbers = [int(row[0]) for row in self.stack.sql("SELECT crl_number FROM crl_generation_events WHERE succeeded "
                                                         f"AND ca_id = '{self.ca}' AND id > {first} ORDER BY id")]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual(served, sorted(served))
        failed = self.stack.sql(f"SELECT error FROM crl_generation_events WHERE NOT succeeded AND id > {first}")
        self.assertEqual(failed, [])

    def test_what_is_listed(self):
        """Every unexpired revocation; others until they have stood on a list after their expiry (RFC 5280 section 3.3)."""
        cases = (("aa01", "now() + interval '1 day'", "false", "false", "NULL", True),
                 ("aa02", "NULL", "false", "false", "NULL", True),
                 ("aa03", "now() - interval '23 hours'", "false", "false", "NULL", True),   # look-back: 24 h
                 ("aa04", "now() - interval '25 hours'", "false", "false", "NULL", False),
                 ("aa05", "now() - interval '5 years'", "true", "false", "NULL", True),     # code signing
                 ("aa06", "now() + interval '1 hour'", "false", "true", "NULL", False),     # short-lived
                 ("aa07", "now() + interval '1 day'", "false", "false", "now()", False))    # lifted
        for serial, not_after, permanent, short, lifted, _ in cases:
            self.stack.sql("INSERT INTO certificate_revocations (id, source, serial_number, issuer_id, ca_id, not_after, reason, "
                           "revoked_by, crl_permanent, short_lived, lifted_at) VALUES "
                           f"('rev-{serial}', 'discarded', '{serial}', 'iss-local', '{self.ca}', {not_after}, 'superseded', 'test', "
                           f"{permanent}, {short}, {lifted})")
        self.dirty()
        listed = set()

        def new():  # one that was under way does not know them yet
            listed.clear()
            listed.update(f"{entry.serial_number:x}" for entry in self.crl())
            return "aa01" in listed
        self.wait(new, what="a new list")
        for serial, *_, wanted in cases:
            self.assertEqual(serial in listed, wanted, serial)

    def test_every_revocation_is_on_the_list(self):
        before = self.number(self.crl())
        self.dirty()
        self.wait(lambda: self.number(self.crl()) > before, what="a new list")
        self.wait(lambda: self.stack.value("SELECT count(*) FROM ca_instances WHERE crl_dirty_since IS NOT NULL") == "0", what="no other is due")
        revoked = {row[0] for row in self.stack.sql("SELECT serial_number FROM certificate_revocations WHERE lifted_at IS NULL AND "
                                                    f"NOT short_lived AND ca_id = '{self.ca}' AND (not_after IS NULL OR not_after > now())")}
        self.assertNotEqual(revoked, set())
        # The file comes after the row.
        self.wait(lambda: revoked <= {f"{entry.serial_number:x}" for entry in self.crl()}, what="all stand on the list")


if __name__ == "__main__":
    unittest.main()
