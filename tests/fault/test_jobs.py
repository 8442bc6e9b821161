"""Jobs and their seams: the n-th call of a CRL build fails or kills it, and what is published is whole."""
import os
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import test_seams
from rules import complaints, crl_is_whole
from seam import DATABASE, FAIL, FILE, KILL_AFTER, SHORT, SIGNER
from world import look

JOB = "certctl-job-crl-generation"
# Killed before a call is killed after the one before: for a job nobody sees a difference.
ALL = (FAIL, KILL_AFTER)


@test_seams.IN_FULL
class Jobs(test_seams.Base):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ca = cls.stack.value("SELECT id FROM issuing_cas WHERE issuer_id = 'iss-local'")
        cls.file = os.path.join(cls.stack.dir, "pki", "crl", cls.ca + ".crl")
        with open(os.path.join(cls.stack.dir, "certctl.env"), encoding="utf-8") as source:
            cls.settings = [line.strip() for line in source if "=" in line and not line.startswith("#")]

    def job(self):
        """One run as its user, at once; what it says is in the log of the test's directory."""
        user = ["setpriv", "--reuid=certctl-jobs", "--regid=certctl-jobs", "--init-groups"] if os.geteuid() == 0 else []
        with open(self.stack.home + "/job.log", "a", encoding="utf-8") as out:
            return subprocess.run(["env", "-i", "PATH=/usr/bin:/bin", "PGUSER=certctl_jobs", *self.settings, *user,
                                   os.path.join(self.stack.dir, "bin", JOB), "--force"],
                                  cwd="/", stdout=out, stderr=out, timeout=180, check=False).returncode

    def due(self):
        """At once, not after the pauses that a revocation and a failure are given."""
        self.stack.sql("DELETE FROM crl_generation_events")
        self.stack.sql("UPDATE ca_instances SET crl_dirty_since = now() - interval '1 minute' WHERE crl_dirty_since IS NOT NULL")

    def published(self):
        with open(self.file, "rb") as source:
            return source.read()

    def revocation(self):
        """One more revocation; the published list stays the old one or becomes the new one."""
        leaf = self.leaf()
        revoked = self.patiently(self.acme.revoke, leaf.public_bytes(Encoding.DER), 4)
        self.assertEqual(revoked.status, 200)
        self.recorder.add("revoked", serial=f"{leaf.serial_number:x}")
        self.due()
        before = self.published()

        def judge():
            now = self.published()
            if now != before:
                self.assertIn(leaf.serial_number, {entry.serial_number for entry in x509.load_der_x509_crl(now)})
            self.due()
            self.assertEqual(self.job(), 0)
            self.assertEqual(list(crl_is_whole(look(self.stack, self.recorder))), [])
            self.assertEqual([name for name in os.listdir(os.path.dirname(self.file)) if not name.endswith(".crl")], [])

        return self.job, judge

    def test_crl_and_the_files(self):
        self.each_call(JOB, FILE, self.revocation, (*ALL, SHORT))

    def test_crl_and_the_database(self):
        self.each_call(JOB, DATABASE, self.revocation, ALL)

    def test_crl_and_the_signers_client(self):
        self.each_call(JOB, SIGNER, self.revocation, ALL)

    def test_crl_and_the_signers_files(self):
        self.each_call("certctl-signer", FILE, self.revocation, (*ALL, SHORT))

    def test_zz_the_checker_finds_nothing(self):
        self.assertEqual(complaints(look(self.stack, self.recorder)), [])
