"""backup verify restores into a database of its own, names what does not hold, and leaves nothing behind (10 section 17)."""
import hashlib
import hmac
import json
import os
import signal
import struct
import subprocess

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from test_hierarchy import HierarchyTest

HEADER, CHUNK = 96, 65536


class Set:
    """A back-up opened as lib/backup/README.md has it, to be written again with other content under the same passphrase."""

    def __init__(self, path, passphrase):
        with open(path, "rb") as source:
            data = source.read()
        self.header, self.passphrase = data[:HEADER], passphrase
        key = self.keys(self.header)[0]
        plain, number, at = b"", 0, HEADER
        while at < len(data):
            part = data[at:at + CHUNK + 16]
            at += len(part)
            plain += AESGCM(key).decrypt(self.nonce(number, at == len(data)), part, self.header[64:])
            number += 1
        self.records, at = [], 0
        while at < len(plain):
            kind, size = plain[at:at + 1], struct.unpack(">I", plain[at + 1:at + 5])[0]
            self.records.append((kind, plain[at + 5:at + 5 + size]))
            at += 5 + size

    @staticmethod
    def nonce(number, last):
        return b"\0" * 3 + number.to_bytes(8, "big") + bytes([last])

    def keys(self, header):
        derived = hashlib.scrypt(self.passphrase, salt=header[32:64], n=1 << header[17], r=8, p=1, maxmem=1 << 30, dklen=64)
        return derived[:32], derived[32:]

    def entries(self):
        """[name, content] of each entry, in their order."""
        found = []
        for kind, content in self.records:
            if kind == b"E":
                found.append([json.loads(content), b""])
            elif kind == b"D":
                found[-1][1] += content
        return found

    def write(self, path, head=None, manifest=None, change=lambda name, content: content):
        """With other counts, or other contents of entries (None: left out)."""
        parts = [(b"H", json.dumps({**json.loads(self.records[0][1]), **(head or {})}).encode())]
        listed = []
        for entry, content in self.entries():
            content = change(entry["name"], content)
            if content is None:
                continue
            digest = hashlib.sha256(content).digest()
            parts.append((b"E", json.dumps(entry).encode()))
            parts += [(b"D", content[at:at + CHUNK]) for at in range(0, len(content), CHUNK)]
            parts.append((b"F", digest))
            listed.append({"name": entry["name"], "size": len(content), "sha256": digest.hex()})
        parts.append((b"M", json.dumps({**json.loads(self.records[-1][1]), **(manifest or {}), "entries": listed}).encode()))
        plain = b"".join(kind + struct.pack(">I", len(content)) + content for kind, content in parts)
        header = self.header[:17] + bytes([10]) + self.header[18:32] + os.urandom(32)  # the cheapest cost
        key, proof = self.keys(header)
        header += hmac.new(proof, header, "sha256").digest()
        with open(path, "wb") as out:
            out.write(header)
            chunks = [plain[at:at + CHUNK] for at in range(0, len(plain), CHUNK)]
            for number, chunk in enumerate(chunks):
                out.write(AESGCM(key).encrypt(self.nonce(number, number == len(chunks) - 1), chunk, header[64:]))
        return path


class VerifyTest(HierarchyTest):

    def backup(self, *arguments, **options):
        command = [os.path.join(self.stack.dir, "bin", "certctl-admin"), "backup", *arguments]
        return subprocess.run(command, env={**self.environment(), "LC_ALL": "C.UTF-8"}, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False, **options)

    def create(self, name):
        path = os.path.join(self.stack.home, name)
        done = self.backup("create", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        return path

    def scratch(self):
        return self.stack.sql("SELECT datname FROM pg_database WHERE datname LIKE 'certctl\\_verify\\_%'")

    def opened(self, path):
        with open(os.path.join(self.stack.dir, "secrets", "backup.passphrase"), "rb") as source:
            return Set(path, source.read().rstrip(b"\n"))

    def assertRefused(self, words, *arguments):
        done = self.backup("verify", *arguments)
        self.assertEqual(done.returncode, 1, (words, done.stdout, done.stderr))
        self.assertIn(words, done.stderr.splitlines()[-1])
        self.assertNotIn("Sanitizer", done.stderr)
        self.assertNotIn("\nwhole\n", done.stdout)
        self.assertEqual(self.scratch(), [])
        return done.stdout

    def live(self):
        """What a verification could have spoilt: databases, roles, and what stands in the tables."""
        return (self.stack.sql("SELECT datname FROM pg_database ORDER BY 1"), self.stack.sql("SELECT rolname, rolcanlogin FROM pg_roles ORDER BY 1"),
                self.stack.sql("SELECT count(*), md5(string_agg(id || serial_number || fingerprint_sha256 || md5(pem_chain), ',' ORDER BY id)) FROM certificate_versions"))


class Verify(VerifyTest):

    seconds = 8

    def test_a_good_one(self):
        acme = self.client()
        acme.obtain("verified.example.org")
        good = self.create("good.backup")
        before = self.live()
        done = self.backup("verify", good)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertEqual(done.stdout.splitlines()[-1], "whole")
        count = next(line for line in done.stdout.splitlines() if line.startswith("certificates\t")).split("\t")[1]
        self.assertIn(f"\ncertificates looked at\t{count}\n", done.stdout)
        self.assertEqual(self.live(), before)
        self.assertEqual(self.scratch(), [])
        done = self.backup("verify", "--file-only", good)
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1]), (0, "whole"), done.stderr)
        self.assertNotIn("looked at", done.stdout)


class Tampered(VerifyTest):

    seconds = 40
    long = True

    def good(self):
        """One back-up for all tests of the class."""
        path = os.path.join(self.stack.home, "verified.backup")
        return path if os.path.exists(path) else self.create("verified.backup")

    def test_2_a_file_that_says_other_than_its_database(self):
        """Sealed as it should be: whoever has the passphrase wrote it, and the database still does not fit."""
        opened = self.opened(self.good())
        path = os.path.join(self.stack.home, "other.backup")
        certificates = json.loads(opened.records[-1][1])["certificates"]
        keys = [entry["name"] for entry, _ in opened.entries() if entry["name"].startswith("ca/") and entry["name"].endswith(".key")]
        opened.write(path, head={"schema": 7}, manifest={"certificates": certificates + 1, "cas": []},
                     change=lambda name, content: None if name == keys[0] else content)
        said = self.assertRefused("the back-up does not hold: the head says schema 7, the database is of 1, and 3 more of its faults above", path)
        for fault in (f"the manifest says {certificates + 1} certificates, the database has {certificates}", "the manifest names other CAs",
                      "is not in the file"):
            self.assertIn(fault, said)
        opened.write(path, change=lambda name, content: content[:len(content) // 2] if name == "database" else content)
        self.assertRefused("the database of the back-up cannot be restored: pg_restore failed", path)
        opened.write(path, change=lambda name, content: b"x" * 99 if name == "database" else content)
        self.assertRefused("the database of the back-up cannot be restored: pg_restore failed", path)
        opened.write(path, change=lambda name, content: None if name == "database" else content)
        self.assertRefused("there is no database in the back-up", path)
        with open(os.path.join(self.stack.home, "wrong"), "w", encoding="ascii", opener=lambda p, flags: os.open(p, flags, 0o600)) as out:
            out.write("correct horse battery\n")
        self.assertRefused("the passphrase does not open", f"--passphrase-file={out.name}", path)
        self.assertEqual(self.backup("verify").returncode, 64)

    def test_3_rows_that_were_changed(self):
        """Each by another hand than ours, before the back-up was taken: it restores, and does not hold."""
        acme = self.client()
        rows = [acme.obtain(f"v{n}.verified.example.org") for n in range(5)]
        self.assertEqual(len(rows), 5)
        first = [row[0] for row in self.stack.sql("SELECT v.id FROM certificate_versions v JOIN managed_certificates m ON m.id = v.certificate_id "
                                                  "WHERE m.common_name LIKE 'v_.verified.example.org' ORDER BY m.common_name")]
        changes = (("serial_number = 'badcafe'", "its serial is not that of its certificate"),
                   ("fingerprint_sha256 = repeat('0', 64)", "its fingerprint is not that of its certificate"),
                   ("not_after = not_after + interval '1 day'", "its end is not that of its certificate"),
                   ("ca_id = NULL", "it names no CA, and its issuer has CAs"),
                   ("pem_chain = 'x'", "its certificate cannot be read"))
        self.stack.sql("CREATE TABLE kept_versions AS SELECT * FROM certificate_versions; CREATE TABLE kept_seals AS SELECT * FROM audit_seals")
        event, kept = self.stack.sql("SELECT id, action FROM audit_events ORDER BY seq DESC LIMIT 1")[0]
        try:
            self.stack.sql("SET session_replication_role = replica; INSERT INTO audit_seals (seal_no, members, row_count, leaves, merkle_root, "
                           "seal_hash, min_ts, max_ts, sealed_at) SELECT 1 + coalesce((SELECT max(seal_no) FROM audit_seals), 0), "
                           "int8multirange(int8range(e.seq, e.seq, '[]')), 1, audit_leaf_hash(e), audit_leaf_hash(e), "
                           "sha256('x'), e.\"timestamp\", e.\"timestamp\", now() FROM audit_events e WHERE e.id = '" + event + "'")
            sealed = self.create("sealed.backup")
            done = self.backup("verify", sealed)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("\nsealed events\t1\n", done.stdout)
            self.stack.sql(f"SET session_replication_role = replica; UPDATE audit_events SET action = 'forged' WHERE id = '{event}'; " +
                           "; ".join(f"UPDATE certificate_versions SET {change} WHERE id = '{version}'"
                                     for (change, _), version in zip(changes, first)))
            tampered = self.create("tampered.backup")
        finally:
            self.stack.sql(f"SET session_replication_role = replica; UPDATE audit_events SET action = '{kept}' WHERE id = '{event}'; "
                           "DELETE FROM audit_seals a WHERE NOT EXISTS (SELECT 1 FROM kept_seals k WHERE k.seal_no = a.seal_no); "
                           "UPDATE certificate_versions v SET serial_number = k.serial_number, fingerprint_sha256 = k.fingerprint_sha256, "
                           "not_after = k.not_after, ca_id = k.ca_id, pem_chain = k.pem_chain FROM kept_versions k WHERE k.id = v.id; "
                           "DROP TABLE kept_versions, kept_seals")
        said = self.assertRefused(f'the back-up does not hold: the audit chain is broken at "{event}", and 5 more of its faults above', tampered)
        for (_, fault), version in zip(changes, first):
            self.assertIn(f"fault\tcertificate version {version}: {fault}\n", said)

    def test_4_killed(self):
        """Whoever is killed, the database beside goes; one that is left behind by both goes next time."""
        good = self.good()
        command = [os.path.join(self.stack.dir, "bin", "certctl-admin"), "backup", "verify", good]
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            with self.subTest(number), subprocess.Popen(command, env=self.environment(), cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                                        stderr=subprocess.DEVNULL) as process:
                self.stack.wait(lambda process=process: self.scratch() or process.poll() is not None, 60, "the database beside")
                self.assertIsNone(process.poll())
                process.send_signal(number)
                process.wait(timeout=60)
                self.stack.wait(lambda: not self.scratch(), 60, "the database beside is gone")
        self.stack.sql("CREATE DATABASE certctl_verify_0123456789abcdef TEMPLATE template0")
        self.stack.sql("CREATE DATABASE certctl_verify_mine TEMPLATE template0")
        try:
            done = []

            def verified():  # who cleared up may still hold the lock
                done[:] = [self.backup("verify", good)]
                return "another verification is at work" not in done[0].stderr
            self.stack.wait(verified, 60, "a turn")
            self.assertEqual(done[0].returncode, 0, done[0].stderr)
            self.assertEqual(self.scratch(), [["certctl_verify_mine"]])
        finally:
            self.stack.sql("DROP DATABASE certctl_verify_mine")
