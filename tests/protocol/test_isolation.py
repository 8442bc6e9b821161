"""Who may hold what (design section 1): keys, sockets, database roles. Needs separate users: root."""
import json
import os
import pwd
import socket
import struct
import subprocess
import unittest

from case import ProtocolTest

RESPONDERS = ("certctl-acme", "certctl-api", "certctl-probe")
SERVICES = RESPONDERS + ("certctl-jobs", "certctl-ca")


def as_user(user, *command):
    return subprocess.run(["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--", *command], cwd="/",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


@unittest.skipUnless(os.geteuid() == 0, "separate users exist only where ./run is root")
class Isolation(ProtocolTest):

    once = True

    def test_only_the_signer_can_read_a_ca_key(self):
        keys = self.stack.ca_keys
        self.assertEqual(len(keys), 2)
        for key in keys:
            status = os.stat(key)
            self.assertEqual((pwd.getpwuid(status.st_uid).pw_name, status.st_mode & 0o777), ("certctl-signer", 0o600))
            self.assertEqual(as_user("certctl-signer", "cat", key).returncode, 0)
            for user in SERVICES + ("www-data", "postgres", "nobody"):
                self.assertNotEqual(as_user(user, "cat", key).returncode, 0, f"{user} reads {key}")

    def test_no_process_but_the_signer_holds_a_key(self):
        """Neither an open file nor the key's own octets in memory."""
        material = []
        for path in self.stack.ca_keys:
            der = subprocess.run(["openssl", "pkey", "-in", path, "-outform", "DER"], stdout=subprocess.PIPE, check=True).stdout
            text = subprocess.run(["openssl", "pkey", "-in", path, "-text", "-noout"], stdout=subprocess.PIPE, check=True).stdout
            lines = text.decode().split("priv:")[1].split("pub:")[0].split()
            secret = bytes.fromhex("".join(lines).replace(":", ""))[-32:]
            self.assertIn(secret, der)
            material.append(secret)
        self.client().obtain("memory.example.org")  # every process has worked
        looked_at = 0
        for program in ("certctl-acme", "certctl-probe", "certctl-tick", "certctl-job-ca-hierarchy", self.stack.web):
            for pid in self.stack.pids(program) or self.stack.web_pids(program):
                looked_at += 1
                for secret in material:
                    self.assertFalse(self.in_memory(pid, secret), f"{program} {pid} holds a CA key")
        self.assertGreaterEqual(looked_at, 6)
        for pid in self.stack.pids("certctl-signer"):
            self.assertEqual(pwd.getpwuid(os.stat(f"/proc/{pid}").st_uid).pw_name in ("certctl-signer", "root"), True)

    @staticmethod
    def in_memory(pid, secret):
        try:
            with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
                for line in maps:
                    span, rights = line.split()[:2]
                    start, end = (int(part, 16) for part in span.split("-"))
                    if "rw" not in rights or end - start > 1 << 28:
                        continue
                    memory.seek(start)
                    try:
                        if secret in memory.read(end - start):
                            return True
                    except OSError:
                        continue
        except (FileNotFoundError, ProcessLookupError):
            return False
        return False

    def login(self, user, role):
        return as_user(user, "psql", "-X", "-A", "-t", "-h", self.stack.pg_socket, "-U", role, "-d", "certctl",
                       "-c", "SELECT session_user")

    def test_each_process_logs_in_as_its_own_role_only(self):
        roles = ["certctl_acme", "certctl_probe", "certctl_jobs", "certctl_ca", "certctl_owner", "postgres", "certctl_api"]
        for user in SERVICES:
            own = user.replace("-", "_")
            done = self.login(user, own)
            self.assertEqual((done.returncode, done.stdout.strip()), (0, own))
            for role in roles:
                if role != own:
                    self.assertNotEqual(self.login(user, role).returncode, 0, f"{user} logs in as {role}")
        for user in ("www-data", "certctl-signer", "nobody"):
            for role in roles:
                self.assertNotEqual(self.login(user, role).returncode, 0, f"{user} logs in as {role}")

    def test_nobody_changes_audit_rows(self):
        for user in SERVICES:
            for statement in ("DELETE FROM audit_events", "UPDATE audit_events SET actor = 'x'", "TRUNCATE audit_events",
                              "SET ROLE certctl_owner"):
                done = as_user(user, "psql", "-X", "-v", "ON_ERROR_STOP=1", "-h", self.stack.pg_socket, "-U",
                               user.replace("-", "_"), "-d", "certctl", "-c", statement)
                self.assertNotEqual(done.returncode, 0, f"{user}: {statement}")
                self.assertIn("permission denied", done.stdout)

    def test_a_month_that_began_without_its_partition(self):
        """Its rows lie in the default partition. The months after it, and the days of the other table, are made all the same."""
        said = self.stack.sql("BEGIN; INSERT INTO audit_events (id, actor, actor_type, action, resource_type, resource_id, \"timestamp\") "
                              "VALUES ('audit-late', 'x', 'System', 'x', 'x', 'x', '2071-03-05T00:00:00Z'); "
                              "SELECT partitions_ensure('2071-03-01T00:00:00Z'), to_regclass('audit_events_207103') IS NULL, "
                              "to_regclass('audit_events_207106'), to_regclass('endpoint_health_history_20710308'); ROLLBACK")
        self.assertIn(["11", "t", "audit_events_207106", "endpoint_health_history_20710308"], said)

    def test_a_responder_cannot_reach_the_admin_socket(self):
        script = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])"
        admin = os.path.join(self.stack.dir, "run", "signer-admin.sock")
        plain = os.path.join(self.stack.dir, "run", "signer.sock")
        self.assertEqual(as_user("certctl-acme", "/usr/bin/python3", "-c", script, plain).returncode, 0)
        self.assertEqual(as_user("certctl-ca", "/usr/bin/python3", "-c", script, admin).returncode, 0)
        for user in ("certctl-acme", "certctl-jobs", "certctl-probe", "www-data", "nobody"):
            self.assertNotEqual(as_user(user, "/usr/bin/python3", "-c", script, admin).returncode, 0, user)
        for user in ("www-data", "nobody"):
            self.assertNotEqual(as_user(user, "/usr/bin/python3", "-c", script, plain).returncode, 0, user)

    def test_responder_sockets_are_the_web_servers(self):
        script = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])"
        for name in ("acme", "api", "probe"):
            path = os.path.join(self.stack.dir, "run", f"{name}.sock")
            self.assertEqual(as_user("www-data", "/usr/bin/python3", "-c", script, path).returncode, 0)
            for user in ("certctl-jobs", "certctl-ca", "nobody"):
                self.assertNotEqual(as_user(user, "/usr/bin/python3", "-c", script, path).returncode, 0, f"{user} {name}")

    def ask_signer(self, user, kind, fields=b"", name="signer"):
        """The octets of the signer's answer to one request of a user."""
        script = ("import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
                  "s.sendall(bytes.fromhex(sys.argv[2])); sys.stdout.write(s.recv(65536).hex())")
        body = bytes([1, kind]) + fields
        frame = struct.pack(">I", len(body)) + body
        said = as_user(user, "/usr/bin/python3", "-c", script, os.path.join(self.stack.dir, "run", f"{name}.sock"), frame.hex()).stdout
        return bytes.fromhex(said)

    def refusals(self, user):
        """What the signer's log says of them: what was asked, and the reason."""
        with open(self.stack.signer_log, encoding="utf-8") as source:
            return [(line["asked"], line["reason"]) for line in map(json.loads, source) if line["kind"] == "refused" and line["peer"] == user]

    def test_a_peer_that_may_not_ask_is_refused_and_logged(self):
        """certctl-probe is in the common group, so it reaches the socket, and is in no row of the table."""
        before = len(self.refusals("certctl-probe"))
        good, bad = self.ask_signer("certctl-acme", 1), self.ask_signer("certctl-probe", 1)
        self.assertEqual(struct.unpack(">I", good[:4])[0], len(good) - 4)
        self.assertNotIn(b"forbidden", good)
        self.assertIn(b"forbidden", bad)
        self.assertEqual(self.refusals("certctl-probe")[before:], [("ping", "forbidden")])

    def test_a_responder_that_asks_for_more_than_leaves(self):
        """With a key that there is: whatever is no leaf is refused before it is read, and stands in the log."""
        reference = self.stack.value("SELECT key_ref FROM issuing_cas WHERE issuer_id = 'iss-local'").encode()
        key = b"\1" + struct.pack(">I", len(reference)) + reference
        before = len(self.refusals("certctl-acme"))
        self.assertNotIn(b"forbidden", self.ask_signer("certctl-acme", 2, key))  # public-key
        kinds = ((4, "sign-crl"), (5, "sign-ocsp-responder"), (16, "generate"), (17, "sign-ca"), (18, "sign-csr"), (19, "forget"), (20, "facts"),
                 (21, "crl-floor"), (22, "close"), (99, "99"))
        for kind, _ in kinds:
            self.assertIn(b"forbidden", self.ask_signer("certctl-acme", kind, key))
        self.assertEqual(self.refusals("certctl-acme")[before:], [(asked, "forbidden") for _, asked in kinds])
        self.assertEqual(len(self.stack.ca_keys), 2)

    def test_the_signers_log_is_a_chain(self):
        import hashlib
        self.client().obtain("chain.example.org")
        with open(self.stack.signer_log, "rb") as source:
            lines = source.read().splitlines(keepends=True)
        self.assertGreater(len(lines), 2)
        previous = None
        for line in lines:
            entry = json.loads(line)
            if previous is not None:
                self.assertEqual(entry["prev"], hashlib.sha256(previous.rstrip(b"\n")).hexdigest())
            previous = line


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as source:
        return dict(line.rstrip("\n").split(":\t", 1) for line in source if ":\t" in line)


class Confinement(ProtocolTest):
    """What a confined process cannot do is tried in tests/unit/core/confine.c; here: that each one is."""

    once = True

    PROGRAMS = ("certctl-acme", "certctl-api", "certctl-pki", "certctl-probe", "certctl-signer", "certctl-tick", "certctl-job-acme-validate",
                "certctl-job-ca-hierarchy", "certctl-job-crl-generation", "certctl-job-signer-reconcile")

    def setUp(self):
        with open(os.path.join(self.stack.dir, "bin", "certctl-signer"), "rb") as source:
            self.sanitized = b"__asan_init" in source.read()

    def confined(self, program):
        """Each process of a program, or one of a job, has laid on what it lays on: who has just begun has not yet."""
        states = [self.is_confined(pid, program) for pid in self.stack.pids(program)]
        return any(states) if program.startswith("certctl-job-") else bool(states) and all(states)

    def is_confined(self, pid, program):
        try:
            status = status_of(pid)
        except OSError:  # it has ended
            return False
        # What certctl-tick laid on, with which a job begins, and what the job adds.
        least = 0 if self.sanitized else 2 if program.startswith("certctl-job-") else 1
        return status.get("NoNewPrivs") == "1" and int(status.get("Seccomp_filters", -1)) >= least

    def test_every_process_is_confined(self):
        for program in self.PROGRAMS:
            # A job that ended with a failure comes again with the next minute.
            self.stack.wait(lambda program=program: self.confined(program), 120, what=f"a confined {program}")

    def test_no_process_said_that_something_was_left_out(self):
        self.client().obtain("confined.example.org")
        for name in os.listdir(os.path.join(self.stack.dir, "log")):
            with open(os.path.join(self.stack.dir, "log", name), encoding="utf-8", errors="replace") as source:
                self.assertNotIn("confinement_partial", source.read(), name)

    def test_doctor_tells(self):
        said = self.stack.run("doctor", check=False).stdout
        self.assertRegex(said, r"warn\S*  confinement +these binaries are built with sanitizers" if self.sanitized else
                         r"ok\S*    confinement +\d+ processes have no new privileges")


class Statements(ProtocolTest):

    def test_every_statement_is_prepared_under_its_own_role(self):
        """Columns, types and grants of each binary's statements, against the migrated schema."""
        done = self.stack.run("check-statements", check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        for binary in ("certctl-acme", "certctl-api", "certctl-admin", "certctl-probe", "certctl-job-ca-hierarchy", "certctl-job-rate-limit-gc",
                       "certctl-job-housekeeping"):
            self.assertRegex(done.stdout, rf"{binary}: \d+ statements")
