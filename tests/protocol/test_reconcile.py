"""The signer's log held against the database: what nobody recorded is revoked, and a log that was tampered with is told
(04 section 4.5, 00 decisions 51 and 64)."""
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import time
import unittest

from cryptography import x509
from cryptography.x509 import ocsp

from stack import Stack
from test_crl import Crl, PEM

GRACE = 6
PROGRAM = "tests/protocol/lost-responder"


class Reconcile(Crl):
    """A stack of its own, with seconds in the place of five minutes."""

    seconds = 130  # so that it begins first
    long = True

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(name="reconcile", env={"CERTCTL_ACME_SERVER_RATE_LIMIT_CONCURRENT_ORDERS": "0",
                                                 "CERTCTL_ACME_SERVER_RATE_LIMIT_ORDERS_PER_HOUR": "0",
                                                 "CERTCTL_SIGNER_RECONCILE_GRACE": f"{GRACE}s",
                                                 "CERTCTL_SIGNER_RECONCILE_INTERVAL": "10s"})
        cls.addClassCleanup(cls.stack.stop, keep=bool(os.environ.get("CERTCTL_CHECK_KEEP")))
        cls.stack.start()
        build = os.environ.get("CERTCTL_RUN_BUILD") or os.path.join(cls.stack.dir, "build")
        if not os.path.exists(os.path.join(build, PROGRAM)):
            subprocess.run(["make", "-C", build, PROGRAM], stdout=subprocess.DEVNULL, check=True)
        cls.program = shutil.copy(os.path.join(build, PROGRAM), os.path.join(cls.stack.home, "lost-responder"))
        cls.ca = cls.stack.value("SELECT id FROM issuing_cas WHERE issuer_id = 'iss-local'")
        cls.key_ref = cls.stack.value("SELECT key_ref FROM issuing_cas WHERE issuer_id = 'iss-local'")

    def setUp(self):
        self.breaks_before = self.breaks()

    def keep(self, name, count=1):
        """Certificates that a lost certctl-acme has signed and tells nobody of."""
        command = [self.program, os.path.join(self.stack.dir, "run", "signer.sock"), self.key_ref, name, str(count)]
        if self.stack.isolated:
            command = ["setpriv", "--reuid=certctl-acme", "--regid=certctl-acme", "--init-groups", "--", *command]
        done = subprocess.run(command, stdout=subprocess.PIPE, cwd="/", text=True, check=True)
        blocks = done.stdout.split("-----END CERTIFICATE-----\n")[:-1]
        self.assertEqual(len(blocks), count)
        return [x509.load_pem_x509_certificate((block + "-----END CERTIFICATE-----\n").encode()) for block in blocks]

    def wait_revoked(self, certificates, seconds=240):
        def all_there():
            crl = self.crl()
            return all(crl.get_revoked_certificate_by_serial_number(c.serial_number) is not None for c in certificates)
        self.wait(all_there, seconds=seconds, what="the list has them")

    def ocsp_status(self, certificate):
        """As whoever checks it hears by plain http; None while there is no responder."""
        answer = ocsp.load_der_ocsp_response(self.get(f"/.well-known/pki/ocsp/iss-local/{certificate.serial_number:x}").body)
        return answer.certificate_status if answer.response_status == ocsp.OCSPResponseStatus.SUCCESSFUL else None

    def rows_of(self, certificate):
        serial = f"{certificate.serial_number:x}"
        return self.stack.sql(f"""
            SELECT r.source, r.reason, r.revoked_by, r.certificate_id IS NULL, r.crl_entry_der IS NOT NULL,
                   (SELECT count(*) FROM audit_events a WHERE a.action = 'signer_orphan_revoked' AND a.resource_id = '{serial}'
                       AND a.actor_type = 'System'),
                   (SELECT count(*) FROM notification_events n WHERE n.type = 'SystemAlert' AND n.message LIKE '%{serial}%'),
                   (SELECT count(*) FROM ocsp_invalidations o WHERE o.serial_hex = '{serial}')
              FROM certificate_revocations r WHERE r.serial_number = '{serial}'""")

    WHOLE = [["orphan", "unspecified", "certctl-job-signer-reconcile", "t", "t", "1", "1", "1"]]

    def breaks(self):
        return int(self.stack.value("SELECT count(*) FROM audit_events WHERE action = 'signer_log_broken'"))

    def cursor(self):
        rows = self.stack.sql("SELECT line_no, line_sha256 FROM signer_log_cursors")
        return (int(rows[0][0]), rows[0][1]) if rows else (0, None)

    def log_lines(self):
        with open(self.stack.signer_log, "rb") as source:
            return source.read().rpartition(b"\n")[0].splitlines()  # one that is being written is none yet

    def read_to_the_end(self):
        def done():
            last = self.log_lines()[-1]
            return self.cursor() == (json.loads(last)["line"], hashlib.sha256(last).hexdigest())
        self.wait(done, seconds=240, what="the log is read")

    @contextlib.contextmanager
    def job_away(self):
        """Nobody reads the log meanwhile."""
        self.stack.run("stop", "tick-reconcile" if self.stack.isolated else "tick")
        self.wait(lambda: not self.stack.pids("certctl-job-signer-reconcile"), what="the job has ended")
        yield
        self.stack.run("up")

    def wait_break(self, words):
        """Told once; a file that is read anew from its start tells its older breaks once more."""
        def told():
            return self.stack.sql("SELECT a.details->>'why', n.severity, n.type FROM audit_events a JOIN notification_events n "
                                  "ON n.payload = a.details WHERE a.action = 'signer_log_broken' ORDER BY a.seq "
                                  f"OFFSET {self.breaks_before}")
        self.wait(lambda: any(words in row[0] for row in told()), seconds=240, what=f"{words}: told")
        self.assertEqual({tuple(row[1:]) for row in told()}, {("critical", "SystemAlert")})
        self.assertEqual(sum(words in row[0] for row in told()), 1)

    def test_a_kept_certificate_is_revoked(self):
        honest = self.issue("honest.example.org")
        signed = time.monotonic()
        kept = self.keep("kept.example.org")[0]
        self.assertEqual(self.openssl("openssl", "verify", "-CAfile", "{ca}", "-partial_chain", "{leaf}",
                                      ca=self.ca_pem(self.ca).public_bytes(PEM), leaf=kept.public_bytes(PEM))[0], 0)
        self.wait_revoked([kept])
        self.assertGreater(time.monotonic() - signed, GRACE - 1)
        self.assertEqual(self.rows_of(kept), self.WHOLE)
        for leaf, status in ((kept, ocsp.OCSPCertStatus.REVOKED), (honest, ocsp.OCSPCertStatus.GOOD)):
            self.wait(lambda leaf=leaf, status=status: self.ocsp_status(leaf) == status, what=f"OCSP says {status}")
        message = self.stack.value(f"SELECT message FROM notification_events WHERE message LIKE '%{kept.serial_number:x}%'")
        if self.stack.isolated:
            self.assertIn("(certctl-acme)", message)
        self.assertIsNone(self.find(honest))
        self.assertEqual(self.stack.value("SELECT count(*) FROM signer_log_unrecorded"), "0")
        self.assertEqual(self.breaks(), self.breaks_before)

    def test_many_and_the_job_killed_again_and_again(self):
        kept = self.keep("many.example.org", 700)
        deadline = time.monotonic() + 12
        while time.monotonic() < deadline:
            self.stack.kill("certctl-job-signer-reconcile")
            time.sleep(0.2)
        self.wait_revoked(kept, seconds=300)
        serials = "', '".join(f"{c.serial_number:x}" for c in kept)
        self.assertEqual(self.stack.sql("SELECT resource_id FROM audit_events WHERE action = 'signer_orphan_revoked' "
                                        f"AND resource_id IN ('{serials}') GROUP BY 1 HAVING count(*) <> 1"), [])
        self.assertEqual(self.rows_of(kept[0]), self.WHOLE)
        self.assertEqual(self.rows_of(kept[-1]), self.WHOLE)
        self.assertEqual(self.breaks(), self.breaks_before)

    def test_rotations_lose_nothing(self):
        self.read_to_the_end()
        kept = []
        with self.job_away():
            for day in ("20261101", "20261201"):
                kept += self.keep("rotated.example.org")
                status = os.stat(self.stack.signer_log)
                os.rename(self.stack.signer_log, f"{self.stack.signer_log}-{day}")
                with open(self.stack.signer_log, "wb"):  # as logrotate's "create" does
                    os.chmod(self.stack.signer_log, 0o640)
                    os.chown(self.stack.signer_log, status.st_uid, status.st_gid)
                kept += self.keep("rotated.example.org")
        self.wait_revoked(kept)
        self.assertEqual([self.rows_of(c) for c in kept], [self.WHOLE] * 4)
        self.assertEqual(self.breaks(), self.breaks_before)

    def test_a_shorter_log_is_told(self):
        self.keep("shorter.example.org", 3)
        self.read_to_the_end()
        size = sum(len(line) + 1 for line in self.log_lines()[:-2])
        os.truncate(self.stack.signer_log, size)
        self.wait_break("shorter than it was")
        self.wait_revoked(self.keep("after-shorter.example.org"))  # the job goes on

    def test_an_altered_line_is_told(self):
        """Of lines that were read the last one is looked at again; of others each."""
        before = b""
        while b"altered.example.org" not in before:  # the list of an earlier orphan may come behind it
            self.keep("altered.example.org", 2)
            self.read_to_the_end()
            before = self.log_lines()[-1]
        with open(self.stack.signer_log, "r+b") as out:
            out.seek(-len(before) - 1, os.SEEK_END)
            out.write(before.replace(b"altered.example.org", b"another.example.org"))
        self.wait_break("is not what it was")
        self.read_to_the_end()
        self.wait_revoked(self.keep("after-altered.example.org"))

    def test_a_missing_line_is_told(self):
        self.read_to_the_end()
        with self.job_away():
            kept = self.keep("missing.example.org", 3)
            lines = self.log_lines()
            with open(self.stack.signer_log, "r+b") as out:
                out.write(b"".join(line + b"\n" for line in lines[:-2] + lines[-1:]))
                out.truncate()
        self.wait_break("stands behind line")
        self.wait_revoked([kept[0], kept[2]])

    def test_a_foreign_log_in_its_place_is_told(self):
        self.read_to_the_end()
        with self.job_away():
            self.stack.run("stop", "signer")
            self.stack.run("stop", "signer-admin")
            os.rename(self.stack.signer_log, os.path.join(self.stack.home, "taken-away"))
        kept = self.keep("after-foreign.example.org")  # its first line says that there were none before it
        self.wait_break("new chain")
        self.wait_revoked(kept)

    def test_a_certificate_of_an_unknown_ca_is_told(self):
        self.read_to_the_end()
        last = self.log_lines()[-1]
        entry = json.loads(last)
        entry.update(line=entry["line"] + 1, kind="sign-leaf", peer="certctl-acme", ca_sha256="ab" * 32, serial="5eed",
                     not_after="2027-01-01T00:00:00Z", certificate_sha256="cd" * 32, prev=hashlib.sha256(last).hexdigest())
        with open(self.stack.signer_log, "ab") as out:
            out.write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")
        told = "SELECT count(*) FROM notification_events WHERE payload->>'kind' = 'signer_unknown_ca'"
        self.wait(lambda: self.stack.value(told) == "1", seconds=240, what="told")
        time.sleep(5)
        self.assertEqual(self.stack.value(told), "1")
        self.assertEqual(self.stack.value("SELECT told FROM signer_log_unrecorded"), "t")
        self.stack.sql("DELETE FROM signer_log_unrecorded")
        self.wait_revoked(self.keep("after-unknown.example.org"))

    @unittest.skipUnless(os.geteuid() == 0, "separate users exist only where ./run is root")
    def test_who_reads_the_log(self):
        for user, status in (("certctl-reconcile", 0), ("certctl-acme", 1), ("certctl-jobs", 1), ("nobody", 1)):
            done = subprocess.run(["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--", "cat", self.stack.signer_log],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, cwd="/")
            self.assertEqual(done.returncode, status, user)
        done = subprocess.run(["setpriv", "--reuid=certctl-reconcile", "--regid=certctl-reconcile", "--init-groups", "--", "tee", "-a",
                               self.stack.signer_log], input=b"", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, cwd="/")
        self.assertNotEqual(done.returncode, 0)


def load_tests(loader, _tests, _pattern):
    """Not those of the class that this one stands on."""
    return unittest.TestSuite(Reconcile(name) for name in loader.getTestCaseNames(Reconcile) if name in Reconcile.__dict__)
