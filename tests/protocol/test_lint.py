"""certctl-job-certificate-lint: what was issued is held against the rules of today, once (00 decision 50)."""
import datetime
import json
import os
import signal
import subprocess
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from test_revocation_api import RevokeTest

SECOND = datetime.timedelta(seconds=1)


def longer_than_its_ca():
    """A chain whose leaf outlives its CA by a second."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lint.example")])

    def certificate(end):
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(
            x509.random_serial_number()).not_valid_before(now).not_valid_after(now + end).sign(key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM).decode()
    day = datetime.timedelta(days=1)
    return certificate(day + SECOND) + certificate(day)


class Lint(RevokeTest):

    seconds = 6
    RULES = "2"  # LINT_VERSION
    ERROR = "RFC 5280 6.1.3: validity must lie inside the CA's"

    def setUp(self):
        super().setUp()
        self.certificate, leaf, _ = self.issued(f"lint-{uuid.uuid4()}.example")
        self.version = self.stack.value(f"SELECT id FROM certificate_versions WHERE serial_number = '{leaf.serial_number:x}'")
        self.stack.sql("UPDATE certificate_lint_walk SET after = ''")

    def command(self):
        """The job as certctl-tick would start it, and its environment."""
        environment = {"PATH": "/usr/bin:/bin", "PGUSER": "certctl_jobs"}
        with open(os.path.join(self.stack.dir, "certctl.env"), encoding="utf-8") as lines:
            environment.update(line.rstrip("\n").split("=", 1) for line in lines if line.strip() and not line.startswith("#"))
        command = [os.path.join(self.stack.dir, "bin", "certctl-job-certificate-lint"), "--force"]
        if self.stack.isolated:
            command = ["setpriv", "--reuid=certctl-jobs", "--regid=certctl-jobs", "--init-groups", "--", *command]
        return command, environment

    def lint(self, *options):
        command, environment = self.command()
        said = []

        def done():
            ran = subprocess.run(command + list(options), env=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True, check=False)
            self.assertEqual(ran.returncode, 0, ran.stdout)
            said[:] = [ran.stdout]
            return "still active" not in ran.stdout and "another host" not in ran.stdout
        self.stack.wait(done, seconds=60, what="a run of its own")
        return said[0]

    def row(self):
        rows = self.stack.sql(f"SELECT linter, error, warnings, linted_at FROM certificate_lints WHERE version_id = '{self.version}'")
        return rows[0] if rows else None

    def told(self):
        return [json.loads(row[0]) for row in self.stack.sql(
            f"SELECT details FROM audit_events WHERE action = 'certificate_lint_failed' AND resource_id = '{self.certificate}'")]

    def shown(self):
        return self.good(f"/certificates/{self.certificate}/versions")["data"][0].get("lint")

    def spoil(self):
        self.stack.sql(f"UPDATE certificate_versions SET pem_chain = '{longer_than_its_ca()}' WHERE id = '{self.version}';"
                       f"DELETE FROM certificate_lints WHERE version_id = '{self.version}'")

    def assertFound(self):
        self.assertEqual(self.row()[:3], [self.RULES, self.ERROR, ""])
        self.assertEqual([(event["version_id"], event["rule"], event["linter"]) for event in self.told()], [(self.version, self.ERROR, int(self.RULES))])

    def test_what_we_issue_is_clean(self):
        self.lint()
        first = self.row()
        self.assertEqual(first[:3], [self.RULES, "", ""])
        self.assertIsNone(self.shown())
        self.lint()
        self.assertEqual(self.row(), first, "once")
        self.assertEqual(self.stack.value("SELECT count(*) FROM certificate_lints l JOIN certificate_versions v ON v.id = l.version_id "
                                          "WHERE v.ca_id IS NULL OR v.pem_chain = ''"), "0", "only what a CA of ours issued")

    def test_what_breaks_a_rule(self):
        self.stack.sql("DELETE FROM notification_events WHERE dedup_key LIKE 'certificate-lint:%'")
        self.spoil()
        self.assertIn(self.ERROR, self.lint())
        self.assertFound()
        shown = self.shown()
        self.assertEqual({**shown, "linted_at": ""}, {"linter": int(self.RULES), "error": self.ERROR, "linted_at": ""})
        alerts = "SELECT type, severity, message LIKE '%certificate_lint_failed%' FROM notification_events WHERE dedup_key LIKE 'certificate-lint:%'"
        self.assertEqual(self.stack.sql(alerts), [["SystemAlert", "warning", "t"]])
        self.lint()
        self.assertFound()
        self.assertEqual(len(self.stack.sql(alerts)), 1)

    def test_a_chain_that_cannot_be_read(self):
        for chain, error in (("x", "the stored chain cannot be read: "), (longer_than_its_ca().split("-----END")[0] + "-----END CERTIFICATE-----\n",
                                                                        "the stored chain lacks the certificate of its CA")):
            with self.subTest(error):
                self.stack.sql(f"UPDATE certificate_versions SET pem_chain = '{chain}' WHERE id = '{self.version}';"
                               f"DELETE FROM certificate_lints WHERE version_id = '{self.version}'; UPDATE certificate_lint_walk SET after = ''")
                self.lint()
                self.assertTrue(self.row()[1].startswith(error), self.row())

    def test_rules_that_came_later(self):
        """A finding of older rules is replaced."""
        self.lint()
        self.stack.sql(f"UPDATE certificate_lints SET linter = 0, error = 'gone', warnings = '{{old}}' WHERE version_id = '{self.version}'")
        self.lint()
        self.assertEqual(self.row()[:3], [self.RULES, "", ""])
        self.assertEqual(self.told(), [])

    def test_the_walk_goes_on(self):
        """A run that was cut short is taken up, and the end leads to the beginning."""
        first, second = (row[0] for row in self.stack.sql("SELECT id FROM certificate_versions ORDER BY id LIMIT 2"))
        place = "SELECT after FROM certificate_lint_walk"
        self.lint("--limit=1")
        self.assertEqual(self.stack.value(place), first)
        self.lint("--limit=1")
        self.assertEqual(self.stack.value(place), second)
        self.assertIn('"would":"store findings of"', self.lint("--dry-run"))
        self.assertEqual(self.stack.value(place), second)
        self.lint()
        self.assertIsNone(self.stack.value(place) or None)

    def test_killed(self):
        """Between its look and its commit: nothing is stored, and the next run stores it once."""
        self.spoil()
        command, environment = self.command()
        waiting = "SELECT pid FROM pg_stat_activity WHERE application_name = 'certctl-job-certificate-lint' AND wait_event_type = 'Lock'"
        with self.stack.holding("LOCK TABLE certificate_lints IN SHARE MODE") as ask:
            with subprocess.Popen(command, env=environment, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
                self.stack.wait(lambda: ask(waiting), what="the job waits for the lock")
                job.send_signal(signal.SIGKILL)
            ask(waiting.replace("SELECT pid", "SELECT pg_terminate_backend(pid)"))
            self.stack.wait(lambda: not ask(waiting), what="its session is gone")
        self.assertIsNone(self.row())
        self.assertEqual(self.told(), [])
        self.lint()
        self.assertFound()
