"""A back-up older than a thousand issuances and ten revocations, restored: nothing is lost, nothing is valid again, and the
restore may be killed at any instant (10 section 17, 00 decision 65)."""
import hashlib
import http.client
import json
import os
import signal
import subprocess
import time
import unittest

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from acme_client import Client, Key, csr
from stack import Stack
from test_issuance import split

SINCE = 1000
CRL = "/.well-known/pki/crl/iss-local"
OCSP = "/.well-known/pki/ocsp/iss-local"
GOOD, REVOKED = 0x80, 0xA1  # the tags of CertStatus


def der(tag, *parts):
    content = b"".join(parts)
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8 or 1, "big")
    return bytes([tag]) + (size if len(content) < 128 else bytes([0x80 + len(size)]) + size) + content


class Backup(unittest.TestCase):
    """One story, told once: the tests look at its parts. They run in the order of their names."""

    seconds = 240  # so that it begins first
    long = True

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(name="backup", env={"CERTCTL_ACME_SERVER_RATE_LIMIT_CONCURRENT_ORDERS": "0",
                                              "CERTCTL_ACME_SERVER_RATE_LIMIT_ORDERS_PER_HOUR": "0",
                                              "CERTCTL_ACME_SERVER_RATE_LIMIT_NEW_ACCOUNTS_PER_IP_PER_HOUR": "0",
                                              "CERTCTL_OCSP_RATE_LIMIT_PER_IP_MIN": "0",
                                              "CERTCTL_SIGNER_RECONCILE_GRACE": "6s",
                                              "CERTCTL_SIGNER_RECONCILE_INTERVAL": "10s"})
        cls.addClassCleanup(cls.stack.stop, keep=bool(os.environ.get("CERTCTL_CHECK_KEEP")))
        cls.stack.environment["CERTCTL_RUN_RATE"] = "100000"
        cls.stack.start()
        cls.load = cls.stack.bench("acme-load")
        cls.file = os.path.join(cls.stack.home, "old.backup")
        cls.wait(lambda: cls.get(CRL).status == 200, what="the first list")
        cls.issue_and_revoke()
        cls.lose_everything()

    @classmethod
    def wait(cls, condition, seconds=120, what="condition"):
        cls.stack.wait(condition, seconds, what)

    # ---- the story ----

    @classmethod
    def issue_and_revoke(cls):
        cls.acme = Client(cls.stack, "prof-test")
        cls.acme.register()
        cls.keys = {}
        cls.before = [cls.issue(f"before-{n}.example.org") for n in range(4)]
        cls.revoke(cls.before[0], 1)
        cls.wait(lambda: len(cls.crl()) == 1, what="the list of before")
        cls.done = cls.admin("backup", "create", cls.file)
        assert cls.done.returncode == 0, cls.done.stderr
        subprocess.run([cls.load, f"--directory={cls.stack.url}/acme/profile/prof-test",
                        f"--root={cls.stack.root_pem}", "--accounts=own", "--connections=4", f"--count={SINCE - 12}", "--names=1"],
                       stdout=subprocess.DEVNULL, check=True, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
        cls.after = [cls.issue(f"after-{n}.example.org") for n in range(12)]
        for leaf in cls.after[:8]:
            cls.revoke(leaf, 4)
        for leaf, reason in zip(cls.before[1:3], (1, 5)):
            cls.revoke(leaf, reason)
        cls.revoked = cls.before[:3] + cls.after[:8]
        cls.wait(lambda: len(cls.crl()) == 11, what="the list of after")
        cls.known = {row[0]: row[1] for row in cls.stack.sql("SELECT serial_number, fingerprint_sha256 FROM certificate_versions")}
        cls.ca_id = cls.stack.value("SELECT id FROM issuing_cas WHERE issuer_id = 'iss-local'")

        def under_each_name():  # one after the other
            cls.numbers = dict(cls.stack.sql("SELECT id, crl_number FROM ca_instances"))
            cls.lists = cls.published()
            return all(cls.lists.get(f"{name}.crl") == int(number) for name, number in cls.numbers.items())
        cls.wait(under_each_name, what="the newest lists are files")
        with open(os.path.join(cls.stack.dir, "secrets", "edge.nginx"), encoding="ascii") as source:
            cls.edge = source.read()

    @classmethod
    def published(cls):
        """The number of the list in each file."""
        return {name: cls.number(x509.load_der_x509_crl(cls.file_bytes("pki", "crl", name)))
                for name in os.listdir(cls.path("pki", "crl")) if name.endswith(".crl")}

    @classmethod
    def lose_everything(cls):
        """What is left: the signer's log, the published lists, the passphrase."""
        cls.running = cls.admin("backup", "restore", cls.file)
        cls.stop_all()
        cls.drop("certctl")
        for place in ("ca", "ocsp", "ca-approvals"):
            folder = os.path.join(cls.stack.dir, "state", place)
            for name in os.listdir(folder):
                os.unlink(os.path.join(folder, name))
        os.unlink(os.path.join(cls.stack.dir, "secrets", "edge.nginx"))

    # ---- its tools ----

    @classmethod
    def path(cls, *parts):
        return os.path.join(cls.stack.dir, *parts)

    @classmethod
    def file_bytes(cls, *parts):
        with open(cls.path(*parts), "rb") as source:
            return source.read()

    @classmethod
    def command(cls, *arguments):
        """certctl-admin as the operator calls it: root, with the settings of the installation."""
        with open(cls.path("certctl.env"), encoding="utf-8") as source:
            settings = [line.rstrip("\n") for line in source if line[:1].isalpha()]
        return ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", *settings, cls.path("bin", "certctl-admin"), *arguments]

    @classmethod
    def admin(cls, *arguments):
        return subprocess.run(cls.command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=900, check=False, cwd="/")

    @classmethod
    def stop_all(cls):
        names = [name for name in os.listdir(cls.path("pid")) if name != "postgres" and "." not in name]
        if names:
            cls.stack.run("stop", *names)

    @classmethod
    def cluster(cls, statement):
        """As the superuser, in the database that is always there."""
        command = [word if word != "certctl" else "postgres" for word in cls.stack.psql("-c", statement)]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd="/").stdout.split()

    @classmethod
    def drop(cls, name):
        cls.cluster(f'DROP DATABASE IF EXISTS "{name}" (FORCE)')

    @classmethod
    def databases(cls):
        return cls.cluster("SELECT datname FROM pg_database WHERE datname LIKE 'certctl%' ORDER BY 1")

    @classmethod
    def get(cls, path, method="GET", body=None, headers=None):
        wire = http.client.HTTPConnection("localhost", cls.stack.http_port, timeout=60)
        try:
            wire.request(method, path, body=body, headers=headers or {})
            answer = wire.getresponse()
            answer.body = answer.read()
            return answer
        finally:
            wire.close()

    @classmethod
    def crl(cls):
        return x509.load_der_x509_crl(cls.get(CRL).body)

    @staticmethod
    def number(crl):
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number

    @classmethod
    def issue(cls, name):
        key = ec.generate_private_key(ec.SECP256R1())
        chain, _ = cls.acme.obtain(name, key=key)
        leaf, cls.ca = (x509.load_pem_x509_certificate(part.encode()) for part in split(chain)[:2])
        cls.keys[leaf.serial_number] = key
        return leaf

    @classmethod
    def revoke(cls, leaf, reason):
        answer = cls.acme.revoke(leaf.public_bytes(Encoding.DER), reason)
        assert answer.status == 200, answer

    @classmethod
    def ocsp(cls, serial):
        """The tag of CertStatus; the request names the CA by SHA-1 (RFC 6960 section 4.1.1)."""
        key = x509.SubjectKeyIdentifier.from_public_key(cls.ca.public_key()).digest
        number = der(2, serial.to_bytes(serial.bit_length() // 8 + 1, "big"))
        one = der(0x30, der(0x30, der(0x30, bytes.fromhex("06052b0e03021a"), b"\x05\x00"),
                            der(4, hashlib.sha1(cls.ca.subject.public_bytes()).digest()), der(4, key), number))
        answer = cls.get(OCSP, "POST", der(0x30, der(0x30, der(0x30, one))), {"Content-Type": "application/ocsp-request"})
        if answer.status != 200 or len(answer.body) < 100:
            return None
        at = answer.body.index(number) + len(number)
        return answer.body[at]

    def restore(self, *more):
        return self.admin("backup", "restore", *more, self.file)

    def assertRefused(self, done, words):
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertNotIn("Sanitizer", done.stderr)
        self.assertIn(words, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertNotRegex(done.stderr, r"\.c:|SELECT|==")

    def assertUntouched(self):
        self.assertEqual(os.listdir(self.path("state", "ca")), [])
        self.assertNotIn("certctl", self.databases())
        self.assertFalse(os.path.exists(self.path("state", "restoring")))

    # ---- what is refused ----

    def test_1_the_file_says_what_is_in_it(self):
        done = self.admin("backup", "verify", self.file)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines()[-1], "whole")
        self.assertIn("\nrevocations\t1\n", done.stdout)
        for name in ("database", "log/signer.log"):
            self.assertIn(f"\nfile\t{name}\t", done.stdout)
        self.assertIn("/secrets/edge.nginx", done.stdout)
        self.assertNotIn("backup.passphrase", done.stdout)
        self.assertEqual(os.stat(self.file).st_mode & 0o777, 0o600)
        with open(self.file, "rb") as source:
            content = source.read()
        for word in (b"PGDMP", b"PRIVATE KEY", b"BEGIN", b"example.org"):
            self.assertNotIn(word, content)

    def test_1_an_existing_file_is_not_replaced(self):
        self.assertRefused(self.admin("backup", "create", self.file), "is there already")

    def test_1_refused_while_it_runs(self):
        self.assertRefused(self.running, "certctl runs here")

    def test_1_refused_in_words(self):
        size = os.path.getsize(self.file)
        broken = os.path.join(self.stack.home, "broken.backup")
        with open(self.file, "rb") as source:
            content = source.read()
        chunk = 65536 + 16
        for words, text in (("no back-up of certctl", b"x" * 200), ("cut off in its header", content[:50]),
                            ("its end is missing", content[:96 + 2 * chunk]), ("cut off", content[:size - 1]),
                            ("damaged in chunk 2", content[:96 + chunk + 9] + b"!!" + content[96 + chunk + 11:]),
                            ("no back-up of certctl", b"")):
            with open(broken, "wb") as out:
                out.write(text)
            for verb in ("verify", "restore"):
                self.assertRefused(self.admin("backup", verb, broken), words)
        self.assertRefused(self.admin("backup", "restore", broken + ".gone"), "cannot be opened")
        wrong = os.path.join(self.stack.home, "wrong")
        for text, mode, words in (("correct horse battery\n", 0o600, "the passphrase does not open"), ("short\n", 0o600, "a passphrase has 12"),
                                  ("correct horse battery\n", 0o640, "yours alone")):
            with open(wrong, "w", encoding="ascii") as out:
                out.write(text)
            os.chmod(wrong, mode)
            self.assertRefused(self.restore(f"--passphrase-file={wrong}"), words)
        self.assertRefused(self.restore(f"--passphrase-file={wrong}.gone"), "no terminal")
        self.assertEqual(self.admin("backup", "restore").returncode, 64)
        self.assertEqual(self.admin("backup", "create").returncode, 64)
        self.assertUntouched()

    def test_2_refused_without_the_log(self):
        moved = os.path.join(self.stack.home, "moved.log")
        os.rename(self.stack.signer_log, moved)
        try:
            self.assertRefused(self.restore(), "the signer's log is not here")
            with open(moved, "rb") as source:
                lines = source.read().splitlines(keepends=True)
            other = os.path.join(self.stack.home, "other.log")
            with open(other, "wb") as out:
                out.writelines(lines[-20:])
            self.assertRefused(self.restore(f"--log={other}"), "does not go on from line")
        finally:
            os.rename(moved, self.stack.signer_log)
        self.assertUntouched()

    def test_2_refused_without_the_lists(self):
        moved = os.path.join(self.stack.home, "moved.crl")
        os.rename(self.path("pki", "crl"), moved)
        try:
            self.assertRefused(self.restore(), "was signed, the newest at hand is 0: give it by --crl=FILE")
            self.assertRefused(self.restore(f"--crl={self.file}"), "is no CRL in DER")
        finally:
            os.rename(moved, self.path("pki", "crl"))
        self.assertUntouched()

    # ---- the restore ----

    def test_3_killed_again_and_again(self):
        """At each step that can be seen from outside: either nothing has changed, or nothing starts."""
        steps = (
            ("staging", lambda: os.path.isdir(self.path("state", "restore"))),
            ("staged", lambda: os.path.exists(self.path("state", "restore", "log", "signer.log"))),
            ("a database beside", lambda: "certctl_restoring" in self.databases()),
            ("filled", lambda: "certctl_restoring" in self.databases() and self.tables() > 50),
            ("marked", lambda: os.path.exists(self.path("state", "restoring"))),
            ("a key", lambda: any(name.endswith(".key") for name in os.listdir(self.path("state", "ca")))),
            ("a number", lambda: any(name.endswith(".state") for name in os.listdir(self.path("state", "ca")))),
            ("swapped", lambda: "certctl" in self.databases()),
        )
        seen = []
        for name, condition in steps:
            with subprocess.Popen(self.command("backup", "restore", self.file), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True, cwd="/") as process:
                while process.poll() is None and not condition():
                    pass
                if process.poll() is None:
                    seen.append(name)
                process.send_signal(signal.SIGKILL)
                process.wait()
                if process.returncode > 0:
                    self.fail(f"{name}: {process.stderr.read()}")
            self.judge(name)
        self.assertGreaterEqual(len(seen), 5, seen)
        done = self.restore()
        if done.returncode != 0:  # the last kill came after the end
            self.assertIn("has CAs already", done.stderr)
        self.assertFalse(os.path.exists(self.path("state", "restoring")))
        self.assertFalse(os.path.exists(self.path("state", "restore")))
        self.assertEqual(self.databases(), ["certctl"])

    def tables(self):
        command = [word if word != "certctl" else "certctl_restoring" for word in self.stack.psql("-c", "SELECT count(*) FROM pg_class")]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False, cwd="/")
        return int(done.stdout or 0) - 350

    def judge(self, name):
        if os.path.exists(self.path("state", "restoring")):
            done = self.stack.run("up", check=False)
            self.assertNotEqual(done.returncode, 0, name)
            self.assertIn("a restore did not come to its end", done.stdout)
        elif "certctl" in self.databases():
            self.assertEqual(len(self.stack.sql("SELECT 1 FROM certificate_versions")), len(self.known), name)
        else:
            self.assertEqual(os.listdir(self.path("state", "ca")), [], name)

    def test_4_nothing_is_lost_and_nothing_valid_again(self):
        self.assertEqual(self.file_bytes("secrets", "edge.nginx").decode(), self.edge)
        for name in os.listdir(self.path("state", "ca")):
            status = os.stat(self.path("state", "ca", name))
            self.assertEqual(status.st_mode & 0o077, 0, name)
            self.assertEqual(status.st_uid, os.stat(self.path("state", "ca")).st_uid, name)
        numbers = [int(self.file_bytes("state", "ca", name).split()[1]) for name in os.listdir(self.path("state", "ca"))
                   if name.endswith(".state")]
        self.assertEqual(sorted(numbers), sorted(self.lists[f"{name}.crl"] for name in self.numbers))
        self.stack.run("up")
        found = {row[0]: row[1] for row in self.stack.sql("SELECT serial_number, fingerprint_sha256 FROM certificate_versions")}
        self.assertEqual({serial: found.get(serial) for serial in self.known}, self.known)
        self.assertGreaterEqual(len(self.known), SINCE)
        self.wait(lambda: self.crl_is_newer() and len(self.crl()) >= 11, what="a list of after the restore")
        self.wait(lambda: all(self.published().get(name, 0) > number for name, number in self.lists.items()), what="each CA's, under each name")
        crl = self.crl()
        self.assertTrue(crl.is_signature_valid(self.ca.public_key()))
        self.assertEqual({entry.serial_number for entry in crl}, {leaf.serial_number for leaf in self.revoked})
        reasons = {entry.serial_number: entry.extensions.get_extension_for_class(x509.CRLReason).value.reason for entry in crl}
        self.assertEqual(reasons[self.before[1].serial_number], x509.ReasonFlags.key_compromise)
        self.assertEqual(reasons[self.after[0].serial_number], x509.ReasonFlags.superseded)
        self.assertEqual(self.stack.value("SELECT count(*) FROM blocked_keys"), "1")  # of before[1]; the list alone says why

    def crl_is_newer(self):
        answer = self.get(CRL)
        return answer.status == 200 and self.number(x509.load_der_x509_crl(answer.body)) > int(self.numbers[self.ca_id])

    def test_5_ocsp_knows_each(self):
        self.wait(lambda: self.ocsp(self.before[3].serial_number) == GOOD, what="the responder's key")
        revoked = {leaf.serial_number for leaf in self.revoked}
        wrong = [serial for serial in self.known
                 if self.ocsp(int(serial, 16)) != (REVOKED if int(serial, 16) in revoked else GOOD)]
        self.assertEqual(wrong, [])

    def test_5_nobody_becomes_an_orphan(self):
        last = self.file_bytes("state", "signer-log", "signer.log").splitlines()[-1]
        self.wait(lambda: self.stack.value("SELECT line_sha256 FROM signer_log_cursors") == hashlib.sha256(last).hexdigest()
                  or self.stack.value("SELECT max(line_no) FROM signer_log_cursors") > "0", what="the log is read on")
        time.sleep(8)  # longer than the grace
        self.assertEqual(self.stack.value("SELECT count(*) FROM audit_events WHERE action IN ('signer_orphan_revoked', 'signer_log_broken', "
                                          "'signer_orphan_unknown_ca')"), "0")
        self.assertEqual(self.stack.value("SELECT count(*) FROM audit_events WHERE action = 'database_restored'"), "1")

    def test_6_life_goes_on(self):
        fresh = self.issue("fresh.example.org")
        self.assertNotIn(f"{fresh.serial_number:x}", self.known)
        self.assertEqual(self.ocsp(fresh.serial_number), GOOD)
        # A certificate of which only the log is known can be revoked, with its own key.
        restored = self.after[9]
        key = Key(private=self.keys[restored.serial_number])
        answer = self.acme.revoke(restored.public_bytes(Encoding.DER), 4, key=key)
        self.assertEqual(answer.status, 200, answer)
        self.wait(lambda: self.crl().get_revoked_certificate_by_serial_number(restored.serial_number) is not None, what="it is on the list")
        self.wait(lambda: self.ocsp(restored.serial_number) == REVOKED, what="OCSP says revoked")
        answer = self.acme.revoke(self.after[1].public_bytes(Encoding.DER), 4, key=Key(private=self.keys[self.after[1].serial_number]))
        self.assertProblemOf(answer, "alreadyRevoked")
        # A key that was compromised after the back-up is blocked.
        order = self.acme.order("blocked.example.org")
        done = self.acme.finalize(order.json, csr(self.keys[self.before[1].serial_number], ["blocked.example.org"]))
        self.assertNotEqual(done.status, 200, done)

    def assertProblemOf(self, answer, kind):
        self.assertEqual(answer.json["type"], f"urn:ietf:params:acme:error:{kind}", answer)

    def test_7_a_living_installation_is_not_covered_up(self):
        self.stop_all()
        self.assertRefused(self.restore(), "has CAs already: --force")

    def test_8_the_log_and_the_numbers_are_lost_too(self):
        """What was issued is given up by saying so; what was revoked is not, and the numbers leap."""
        highest = max(self.number(x509.load_der_x509_crl(self.file_bytes("pki", "crl", name))) for name in os.listdir(self.path("pki", "crl")))
        for name in os.listdir(self.path("state", "ca")):
            if name.endswith(".state"):
                os.unlink(self.path("state", "ca", name))
        os.unlink(self.stack.signer_log)
        root, = (self.path("state", "ca", name) for name in os.listdir(self.path("state", "ca")) if name.startswith("root-") and name.endswith(".facts"))
        with open(root, encoding="ascii") as old:
            facts = json.load(old) | {"retired": True}
        with open(root, "w", encoding="ascii") as closed:  # as the signer has it when its CA is retired
            json.dump(facts, closed)
        done = self.restore("--force", "--without-log")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"stays so for the signer: {root}\n", done.stdout)
        with open(root, encoding="ascii") as kept:
            self.assertEqual(json.load(kept), facts)
        self.assertEqual(len([name for name in self.databases() if ".before-restore-" in name]), 1)
        self.stack.run("up")
        self.wait(lambda: self.get(CRL).status == 200 and self.number(self.crl()) >= highest + 1000, what="the number leapt")
        listed = {entry.serial_number for entry in self.crl()}
        self.assertLessEqual({leaf.serial_number for leaf in self.revoked}, listed)
        self.issue("again.example.org")

    def test_9_a_lost_memory_of_numbers_alone(self):
        """crl bump sets both numbers, and the next list is above what anybody has seen."""
        before = self.number(self.crl())
        name = next(name for name in os.listdir(self.path("state", "ca")) if name.startswith("issuing-") and name.endswith(".state"))
        os.unlink(self.path("state", "ca", name))
        done = self.admin("crl", "bump", self.ca_id)
        self.assertEqual(done.returncode, 0, done.stderr)
        number = int(done.stdout.split()[1])
        self.assertGreaterEqual(number, before + 1000)
        self.wait(lambda: self.number(self.crl()) > number, what="a list above it")


def load_tests(loader, _tests, _pattern):
    """In their order, which is the story's."""
    return unittest.TestSuite(Backup(name) for name in loader.getTestCaseNames(Backup))
