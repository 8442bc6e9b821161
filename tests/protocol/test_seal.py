"""Secrets at rest (04 section 15): blobs of another implementation, a passphrase that changes while orders are made."""
import os
import signal
import subprocess
import threading
import unittest

import sealed
import test_error_table
from case import ENVIRONMENT, PROFILES, ProtocolTest
from stack import Stack

MISSING = "crypto: CERTCTL_CONFIG_ENCRYPTION_KEY is required to encrypt or decrypt sensitive config"
CONFIG = b'{"token":"hvs.s3cret","addr":"https://vault.example"}'
BEFORE = "a passphrase of long ago, which opens nothing here"


class Sealed(ProtocolTest):
    """A stack of its own: its passphrase changes."""

    seconds = 90
    long = True

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(env=ENVIRONMENT, name="seal")
        cls.addClassCleanup(cls.stack.stop, keep=bool(os.environ.get("CERTCTL_CHECK_KEEP")))
        cls.stack.start()
        cls.stack.sql(PROFILES)

    def settings(self, **changes):
        with open(os.path.join(self.stack.dir, "certctl.env"), encoding="utf-8") as source:
            lines = dict(line.rstrip("\n").split("=", 1) for line in source if line[0].isalpha())
        return {"PATH": "/usr/bin:/bin", **lines, **sealed.lines(self.stack), **changes}

    def reseal(self, *arguments, background=False, **changes):
        environment = {name: value for name, value in self.settings(**changes).items() if value is not None}
        command = [os.path.join(self.stack.dir, "bin", "certctl-admin"), "reseal", *(arguments or ["--all"])]
        if background:
            return subprocess.Popen(command, env=environment, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return subprocess.run(command, env=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    def insert(self, identifier, blob, source="env"):
        self.stack.sql(f"INSERT INTO issuers (id, name, type, config, encrypted_config, source) VALUES ('{identifier}', '{identifier}', "
                       f"'VaultPKI', '{{}}', '\\x{blob.hex()}', '{source}')")
        self.addCleanup(self.stack.sql, f"DELETE FROM issuers WHERE id = '{identifier}'")

    def blobs(self):
        return {row[0]: bytes.fromhex(row[1]) for row in
                self.stack.sql("SELECT id, encode(encrypted_config, 'hex') FROM issuers WHERE encrypted_config IS NOT NULL")}

    def told(self):
        return int(self.stack.value("SELECT coalesce(sum((details->>'count')::integer), 0) FROM audit_events WHERE action = 'secret_resealed' "
                                    "AND details->>'table' = 'issuers'"))

    def test_all_versions_become_v3(self):
        now = sealed.passphrase(self.stack)
        told = self.told()
        self.insert("iss-v1", sealed.seal(1, now, CONFIG))
        self.insert("iss-v1-as-3", sealed.seal(1, now, CONFIG, nonce=b"\3" + os.urandom(11)))
        self.insert("iss-v2", sealed.seal(2, now, CONFIG))
        self.insert("iss-v3", sealed.seal(3, now, CONFIG))
        self.insert("iss-before", sealed.seal(3, BEFORE, CONFIG))
        before = self.blobs()
        dry = self.reseal("--all", "--dry-run", CERTCTL_CONFIG_ENCRYPTION_KEY_PREVIOUS=BEFORE)
        self.assertEqual(dry.returncode, 0, dry.stdout)
        self.assertIn("issuers.encrypted_config\twould re-seal 4\tcurrent 1", dry.stdout)
        self.assertEqual(self.blobs(), before)
        done = self.reseal(CERTCTL_CONFIG_ENCRYPTION_KEY_PREVIOUS=BEFORE)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("issuers.encrypted_config\tre-sealed 4\tcurrent 1", done.stdout)
        after = self.blobs()
        self.assertEqual({name: sealed.unseal(now, blob) for name, blob in after.items()}, {name: CONFIG for name in before})
        self.assertEqual(after["iss-v3"], before["iss-v3"])
        self.assertEqual(len({blob[1:17] for blob in after.values()}), 5, "a salt of its own each")
        self.assertEqual(self.told() - told, 4)
        again = self.reseal()
        self.assertIn("issuers.encrypted_config\tre-sealed 0\tcurrent 5", again.stdout)
        self.assertEqual(self.blobs(), after)
        self.assertEqual(self.told() - told, 4)

    def test_a_row_that_does_not_open_stays(self):
        self.insert("iss-foreign", sealed.seal(3, BEFORE, CONFIG))
        self.insert("iss-noise", os.urandom(60))
        self.insert("iss-tiny", b"\3")
        self.insert("iss-good", sealed.seal(2, sealed.passphrase(self.stack), CONFIG))
        before = self.blobs()
        done = self.reseal()
        self.assertEqual(done.returncode, 1)
        for name in ("iss-foreign", "iss-noise", "iss-tiny"):
            self.assertIn(f'issuers.encrypted_config of "{name}": a stored secret cannot be opened with the configured encryption key', done.stdout)
            self.assertEqual(self.blobs()[name], before[name])
        self.assertEqual(self.blobs()["iss-good"][0], 3)

    def test_a_wrong_passphrase_is_told_at_once(self):
        self.insert("iss-kept", sealed.seal(2, sealed.passphrase(self.stack), CONFIG))
        before = self.blobs()
        for verb in ("--all", "--check"):
            done = self.reseal(verb, CERTCTL_CONFIG_ENCRYPTION_KEY=BEFORE, CERTCTL_CONFIG_ENCRYPTION_KEY_FILE=None)
            self.assertEqual((done.returncode, done.stdout), (1, "certctl-admin: encryption key does not match this database\n"))
        done = self.reseal(CERTCTL_CONFIG_ENCRYPTION_KEY_FILE=None)
        self.assertEqual((done.returncode, done.stdout), (1, f"certctl-admin: {MISSING}\n"))
        done = self.reseal(CERTCTL_CONFIG_ENCRYPTION_KEY="x" * 31, CERTCTL_CONFIG_ENCRYPTION_KEY_FILE=None)
        self.assertEqual(done.returncode, 78)
        self.assertIn("CERTCTL_CONFIG_ENCRYPTION_KEY too short (31 bytes; minimum 32). Generate with: openssl rand -base64 32", done.stdout)
        self.assertEqual(self.blobs(), before)

    def test_killed_half_way_it_goes_on(self):
        """A batch is written at once or not at all, with its row of the audit log."""
        now = sealed.passphrase(self.stack)
        blob = sealed.seal(1, now, CONFIG)
        self.stack.sql("INSERT INTO issuers (id, name, type, config, encrypted_config, source) SELECT 'iss-many-' || lpad(i::text, 3, '0'), "
                       f"'many ' || i, 'VaultPKI', '{{}}', '\\x{blob.hex()}', 'env' FROM generate_series(1, 13) AS i")
        self.addCleanup(self.stack.sql, "DELETE FROM issuers WHERE id LIKE 'iss-many-%'")
        told = self.told()
        # Where the second batch waits; in three seconds it gives up, which leaves the same behind as the kill.
        with self.stack.holding("SELECT 1 FROM issuers WHERE id = 'iss-many-011' FOR UPDATE"):
            running = self.reseal(background=True)
            try:
                self.stack.wait(lambda: self.told() > told, what="the first batch")
            finally:
                running.send_signal(signal.SIGKILL)
                running.wait()
        self.assertEqual([blob[0] for blob in self.blobs().values()].count(3), 10)
        self.assertEqual(self.told() - told, 10)
        done = self.reseal()
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("re-sealed 3\tcurrent 10", done.stdout)
        self.assertEqual({sealed.unseal(now, blob) for blob in self.blobs().values()}, {CONFIG})

    def test_no_start_without_the_passphrase_of_a_secret(self):
        self.insert("iss-database", sealed.seal(3, sealed.passphrase(self.stack), CONFIG), source="database")
        environment = self.settings(PGUSER="certctl_jobs", CERTCTL_CONFIG_ENCRYPTION_KEY_FILE=None)
        command = [os.path.join(self.stack.dir, "bin", "certctl-job-rate-limit-gc"), "--force"]
        if self.stack.isolated:
            command = ["setpriv", "--reuid=certctl-jobs", "--regid=certctl-jobs", "--init-groups", "--", *command]

        def refused():
            done = subprocess.run(command, env={n: v for n, v in environment.items() if v is not None}, cwd="/", stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False)
            return done.returncode == 78 and MISSING in done.stdout

        self.stack.wait(refused, what="a refused start")
        socket = os.path.join(self.stack.dir, "run", "acme.sock")
        os.rename(socket, socket + ".away")
        self.addCleanup(os.rename, socket + ".away", socket)
        command = ["spawn-fcgi", "-n", "-s", socket, "--", os.path.join(self.stack.dir, "bin", "certctl-acme")]
        if self.stack.isolated:
            command[1:1] = ["-u", "certctl-acme", "-g", "certctl-acme"]
        environment["PGUSER"] = "certctl_acme"
        done = subprocess.run(command, env={n: v for n, v in environment.items() if v is not None}, cwd="/", stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        self.assertIn(MISSING, done.stdout)
        self.assertEqual(done.returncode, 78)
        os.unlink(socket)

    def test_the_passphrase_changes_while_orders_are_made(self):
        stop = threading.Event()
        made, failed = [], []

        def order(number):
            acme = self.client()
            while not stop.is_set():
                try:
                    acme.obtain(f"seal-{number}-{len(made)}.example.org")
                    made.append(number)
                except Exception as error:  # whatever it is, it is a failure of this test
                    failed.append(repr(error))
                    return

        folder = os.path.join(self.stack.dir, "seal")
        old = os.path.join(folder, "config-encryption-key")
        new = os.path.join(folder, "config-encryption-key.new")
        group = os.stat(old).st_gid
        with open(new, "w", encoding="utf-8") as out:
            out.write("another passphrase, which came with the rotation\n")
        os.chown(new, -1, group)
        os.chmod(new, 0o640)
        with open(os.path.join(folder, "seal.env"), "w", encoding="utf-8") as out:
            out.write(f"CERTCTL_CONFIG_ENCRYPTION_KEY_FILE={new}\nCERTCTL_CONFIG_ENCRYPTION_KEY_PREVIOUS_FILE={old}\n")
        self.insert("iss-rotated", sealed.seal(3, sealed.passphrase(self.stack), CONFIG))
        self.stack.run("up")
        threads = [threading.Thread(target=order, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        try:
            self.stack.wait(lambda: len(made) > 3 or failed, what="orders before")
            done = self.reseal()
            here = len(made)
            self.stack.wait(lambda: len(made) > here + 3 or failed, what="orders after")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual((done.returncode, failed), (0, []), done.stdout)
        self.assertRegex(done.stdout, r"acme_nonce_keys.secret_enc\tre-sealed [12]\t")
        self.assertEqual(sealed.unseal("another passphrase, which came with the rotation", self.blobs()["iss-rotated"]), CONFIG)
        # Now the old one can go, and a nonce that it has covered is a good one still.
        acme = self.client()
        nonce = acme.raw("HEAD", "/acme/new-nonce").headers["Replay-Nonce"]
        os.replace(new, old)
        with open(os.path.join(folder, "seal.env"), "w", encoding="utf-8") as out:
            out.write(f"CERTCTL_CONFIG_ENCRYPTION_KEY_FILE={old}\n")
        self.stack.run("up")
        self.assertEqual(acme.post(acme.kid, nonce=nonce).status, 200)
        acme.obtain("seal-after.example.org")
        self.assertIn("the passphrase is this database's", self.stack.run("doctor", check=False).stdout)


class NoPassphrase(test_error_table.OtherSettings):
    """An ACME server without one answers 503 and says why; with another than the database's as well."""

    def refused(self, detail, **changes):
        with self.worker(**changes):
            acme = self.client(register=False)
            self.assertEqual(acme.raw("GET", "/acme/directory").status, 200)
            for answer in (acme.raw("GET", "/acme/new-nonce"), acme.post("/new-account", {}, nonce="A" * 51)):
                self.assertProblem(answer, 503, "serverInternal", detail)
                self.assertEqual(answer.headers["Retry-After"], "5")
                self.assertNotIn("Replay-Nonce", answer.headers)

    def test_none(self):
        self.refused(MISSING, CERTCTL_CONFIG_ENCRYPTION_KEY_FILE=None)

    def test_another(self):
        self.refused("a stored secret cannot be opened with the configured encryption key",
                     CERTCTL_CONFIG_ENCRYPTION_KEY_FILE=None, CERTCTL_CONFIG_ENCRYPTION_KEY=BEFORE)


for name in dir(test_error_table.OtherSettings):
    if name.startswith("test_"):
        setattr(NoPassphrase, name, None)

if __name__ == "__main__":
    unittest.main()
