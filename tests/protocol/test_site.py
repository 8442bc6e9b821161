"""The web server's own certificate: issued by our CA, replaced under load, watched when it is not served."""
import hashlib
import os
import socket
import ssl
import subprocess
import threading
import time
import unittest

from cryptography import x509

from stack import Stack


class Site(unittest.TestCase):
    seconds = 160  # so that it begins first
    long = True

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(name="site")
        cls.addClassCleanup(cls.stack.stop, keep=bool(os.environ.get("CERTCTL_CHECK_KEEP")))
        cls.stack.start()

    def served(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.stack.port), timeout=60) as wire:
            with context.wrap_socket(wire, server_hostname="localhost") as tls:
                return x509.load_der_x509_certificate(tls.getpeercert(True))

    def due(self):
        self.stack.sql("UPDATE scheduler_state SET next_due_at = now() WHERE job LIKE 'site-certificate@%'")

    def revoke_current(self):
        serial = f"{self.served().serial_number:x}"
        self.stack.sql("INSERT INTO certificate_revocations (id, certificate_id, serial_number, issuer_id, ca_id, not_after, revoked_by) "
                       f"SELECT 'rev-{serial}', certificate_id, serial_number, issuer_id, ca_id, not_after, 'test' "
                       f"FROM certificate_versions WHERE serial_number = '{serial}'")

    def test_it_is_ours_recorded_and_trusted(self):
        leaf = self.served()
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(names.get_values_for_type(x509.DNSName), ["localhost"])
        self.assertEqual([str(a) for a in names.get_values_for_type(x509.IPAddress)], ["127.0.0.1", "::1"])
        row = self.stack.sql("SELECT m.name, m.source, m.status, v.certificate_id FROM certificate_versions v JOIN managed_certificates m "
                             f"ON m.id = v.certificate_id WHERE v.serial_number = '{leaf.serial_number:x}'")
        self.assertEqual(len(row), 1)
        self.assertTrue(row[0][0].startswith("site-"), row)
        self.assertEqual(self.stack.value("SELECT actor FROM audit_events WHERE action = 'site_certificate_issued' AND "
                                          f"resource_id = '{row[0][3]}'"), "certctl-job-site-certificate")
        for host in ("localhost", "127.0.0.1", "[::1]"):
            done = subprocess.run(["curl", "-s", "-o", "/dev/null", "--noproxy", "*", "--cacert", self.stack.root_pem,
                                   f"https://{host}:{self.stack.port}/health"], check=False)
            if host != "[::1]" or os.path.exists("/proc/net/if_inet6"):
                self.assertEqual(done.returncode, 0, host)

    @unittest.skipUnless(os.geteuid() == 0, "separate users exist only where ./run is root")
    def test_key_and_directory_are_the_jobs_alone(self):
        place = os.path.join(self.stack.dir, "site")
        key = os.path.join(place, "current", "key.pem")
        self.assertEqual(os.stat(place).st_mode & 0o777, 0o700)
        self.assertEqual(os.stat(key).st_mode & 0o777, 0o600)
        for user in ("certctl-acme", "certctl-ca", "www-data", "nobody"):
            done = subprocess.run(["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--", "cat", key], check=False, cwd="/",
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.assertNotEqual(done.returncode, 0, user)

    def test_a_three_minute_certificate_is_replaced_without_a_refused_connection(self):
        self.stack.sql("UPDATE certificate_profiles SET max_ttl_seconds = 180 WHERE id = 'prof-test'")
        self.addCleanup(self.stack.sql, "UPDATE certificate_profiles SET max_ttl_seconds = 7776000 WHERE id = 'prof-test'")
        stop, refused, seen, expired = threading.Event(), [], [], []

        def connect():
            while not stop.is_set():
                try:
                    leaf = self.served()
                except OSError as error:
                    refused.append(repr(error))
                    continue
                if leaf.serial_number not in seen:
                    seen.append(leaf.serial_number)
                if leaf.not_valid_after.timestamp() < time.time() - time.timezone - 1 and leaf.serial_number not in expired:
                    expired.append(leaf.serial_number)

        first = self.served().serial_number
        threads = [threading.Thread(target=connect) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            self.revoke_current()  # the long-lived one goes; from here on by age
            began = time.monotonic()
            while len(seen) < 3 and time.monotonic() - began < 400:
                self.due()
                time.sleep(2)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(refused, [])
        self.assertEqual(expired, [])
        self.assertEqual(seen[0], first)
        self.assertGreaterEqual(len(seen), 3, "replaced twice: once revoked, once by age")
        leaf = self.served()
        self.assertEqual((leaf.not_valid_after - leaf.not_valid_before).total_seconds(), 180)
        versions = [name for name in os.listdir(os.path.join(self.stack.dir, "site")) if name.startswith("v-")]
        self.assertLessEqual(len(versions), 3)

    def test_what_is_not_served_is_an_alert(self):
        self.stack.run("stop", "site-reload")
        try:
            before = self.served().serial_number
            self.revoke_current()
            self.due()
            self.stack.wait(lambda: self.stack.value("SELECT count(*) FROM notification_events WHERE type = 'SystemAlert'") == "1", 300,
                            "the alert")
            self.assertEqual(self.served().serial_number, before)
            payload = self.stack.value("SELECT payload->>'served_sha256' FROM notification_events WHERE type = 'SystemAlert'")
            from cryptography.hazmat.primitives.serialization import Encoding
            self.assertEqual(payload, hashlib.sha256(self.served().public_bytes(Encoding.DER)).hexdigest())
            self.stack.wait(lambda: self.stack.value("SELECT last_result FROM scheduler_state WHERE job LIKE 'site-certificate@%'") == "failed",
                            what="the run failed")
        finally:
            self.stack.run("up")
        self.stack.wait(lambda: self.served().serial_number != before, what="taken over after all")

    def test_what_the_web_server_refuses_is_turned_back(self):
        place = os.path.join(self.stack.dir, "site")
        broken = os.path.join(place, "v-99999999999-broken")

        def turned_back():
            """False where the job, which runs once more after a failure, was faster with a certificate of its own."""
            before = os.readlink(os.path.join(place, "current"))
            os.makedirs(broken, exist_ok=True)
            for name in ("key.pem", "certificate.pem"):
                with open(os.path.join(broken, name), "w", encoding="utf-8") as out:
                    out.write("nothing")
            os.symlink(os.path.basename(broken), os.path.join(place, ".test"))
            os.rename(os.path.join(place, ".test"), os.path.join(place, "current"))
            self.stack.wait(lambda: os.readlink(os.path.join(place, "current")) != os.path.basename(broken), what="nobody keeps what is refused")
            return os.readlink(os.path.join(place, "current")) == before
        self.stack.wait(turned_back, what="turned back")
        self.served()


if __name__ == "__main__":
    unittest.main()
