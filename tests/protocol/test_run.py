"""./run itself: idempotent, honest about what is wrong, and it stops what it started."""
import os
import re
import shutil
import signal
import subprocess
import time
import unittest

from acme_client import Client
from stack import TOP, Stack


class Place(unittest.TestCase):
    """Where no stack is needed."""

    def setUp(self):
        self.stack = Stack(name="place")
        self.addCleanup(shutil.rmtree, self.stack.home, ignore_errors=True)
        for folder in ("", "pid", "log"):
            os.mkdir(os.path.join(self.stack.dir, folder))
        self.write(".certctl-run", "separate users" if self.stack.isolated else f"one uid {os.getuid()}")

    def write(self, name, text):
        with open(os.path.join(self.stack.dir, name), "w", encoding="utf-8") as out:
            out.write(text + "\n")

    def sleeper(self, name):
        """A process of ours, recorded as ./run records its own."""
        process = subprocess.Popen(["perl", "-e", "$SIG{WINCH} = sub { exit }; sleep 600"], start_new_session=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        with open(f"/proc/{process.pid}/stat", encoding="utf-8") as source:
            began = source.read().rsplit(")", 1)[1].split()[19]
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as source:
            self.write(f"pid/{name}", f"{process.pid} {began} {source.read().strip()} x")
        return process

    @unittest.skipUnless(os.geteuid() == 0, "only root can give a directory away")
    def test_anothers_directory_is_left_alone(self):
        """Whoever made it first in /var/tmp would have root stop, start and write what he names there."""
        process = self.sleeper("acme")
        victim = os.path.join(self.stack.home, "victim")
        with open(victim, "w", encoding="utf-8") as out:
            out.write("kept")
        os.symlink(victim, os.path.join(self.stack.dir, ".lock"))
        os.chown(self.stack.dir, 65534, 65534)
        for command in (["stop"], ["destroy", "--yes"], ["status"], ["check-statements"], ["doctor"]):
            done = self.stack.run(*command, check=False)
            self.assertNotEqual(done.returncode, 0, done.stdout)
            self.assertIn("belongs to somebody else", done.stdout)
        self.assertIsNone(process.poll())
        with open(victim, encoding="utf-8") as source:
            self.assertEqual(source.read(), "kept")

    def test_destroy_stops_either_web_server(self):
        """Where the choice was changed and nothing started since, the other one runs."""
        process = self.sleeper({"nginx": "apache", "apache": "nginx"}[self.stack.web])
        self.stack.run("destroy", "--yes")
        self.assertFalse(os.path.exists(self.stack.dir))
        self.assertIsNotNone(process.wait(60))

    def test_a_cluster_half_made_is_made_anew(self):
        self.addCleanup(self.stack.run, "destroy", "--yes")
        data = os.path.join(self.stack.dir, "pg", "data")
        with subprocess.Popen([os.path.join(TOP, "run"), "prepare"], env=self.stack.environment, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, start_new_session=True) as first:
            self.stack.wait(lambda: os.path.exists(data + "/PG_VERSION") or os.path.exists(data + ".new/PG_VERSION")
                            or first.poll() is not None, what="initdb is at work")
            os.killpg(first.pid, signal.SIGKILL)
        self.stack.run("prepare")
        self.assertFalse(os.path.exists(data + ".new"))


class Run(unittest.TestCase):
    seconds = 110  # so that it begins early
    long = True

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(name="run")
        cls.addClassCleanup(cls.stack.stop, keep=bool(os.environ.get("CERTCTL_CHECK_KEEP")))
        cls.stack.start()

    def test_second_run_changes_nothing(self):
        before = {name: self.stack.pids(name) for name in ("certctl-acme", "certctl-signer", "certctl-probe")}
        with open(self.stack.root_pem, encoding="utf-8") as source:
            root = source.read()
        said = self.stack.run("up").stdout
        self.assertIn("nothing to do", said)
        self.assertEqual({name: self.stack.pids(name) for name in before}, before)
        with open(self.stack.root_pem, encoding="utf-8") as source:
            self.assertEqual(source.read(), root)
        self.assertEqual(self.stack.value("SELECT count(*) FROM ca_instances"), "2")

    def test_it_says_what_one_needs(self):
        said = self.stack.run("up").stdout
        fingerprint = said.split("SHA-256")[1].split()[0]
        self.assertRegex(fingerprint, r"^([0-9A-F]{2}:){31}[0-9A-F]{2}$")
        for word in ("curl --cacert", "update-ca-certificates", "keytool", "REQUESTS_CA_BUNDLE", "lego --server"):
            self.assertIn(word, said)
        if not self.stack.isolated:
            self.assertIn("isolation", said)

    def test_idle_costs_little(self):
        """A job that polls without a pause would be thousands of transactions; ticks and polls are some fifty."""
        count = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'certctl'"
        self.stack.wait(lambda: self.stack.pids("certctl-job-crl-generation"), what="the lingering jobs run")
        time.sleep(2)
        before = int(self.stack.value(count))
        time.sleep(5)
        self.assertLess(int(self.stack.value(count)) - before, 250)

    def test_doctor_finds_nothing(self):
        said = self.stack.run("doctor").stdout
        self.assertIn("all is well", said)
        self.assertEqual(len(re.findall(r"(?m)^  ok    OCSP +ica-\S+: signed by its responder", said)), 2, said)
        self.assertRegex(said, r"(?m)^  ok    OCSP refresh +\S+ answers")

    def test_doctor_names_what_ocsp_lacks(self):
        """A key that is gone, a responder's certificate that is over, a listener that nobody opened; each told with its cure."""
        (over, _), (_, path) = self.stack.sql("SELECT ca_id, key_path FROM ocsp_responders ORDER BY ca_id")
        env = os.path.join(self.stack.dir, "certctl.env")
        with open(env, encoding="utf-8") as source:
            text = source.read()
        self.stack.run("stop", "tick-pki")  # or its job cures it
        os.rename(path, path + ".kept")
        try:
            self.stack.sql(f"UPDATE ocsp_responders SET not_after = now() WHERE ca_id = '{over}'")
            with open(env, "w", encoding="utf-8") as out:
                out.write(re.sub(r"(?m)^CERTCTL_OCSP_REFRESH_SOCKET=.*$", "CERTCTL_OCSP_REFRESH_SOCKET=/nobody.sock", text))
            done = self.stack.run("doctor", check=False)
        finally:
            with open(env, "w", encoding="utf-8") as out:
                out.write(text)
            os.rename(path + ".kept", path)
            self.stack.run("up")
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stdout, rf"(?m)^  FAIL  OCSP +{over} has no responder whose certificate lives: .*; cure: ")
        self.assertRegex(done.stdout, rf"(?m)^  FAIL  OCSP +certctl-pki cannot read {re.escape(path)}; cure: ")
        self.assertRegex(done.stdout, r"(?m)^  FAIL  OCSP refresh +/nobody.sock does not answer .*; cure: ")
        self.stack.wait(lambda: self.stack.value("SELECT bool_and(not_after > now()) FROM ocsp_responders") == "t", what="a responder again")

    def test_doctor_names_a_revoked_grant(self):
        self.stack.sql("REVOKE SELECT ON acme_accounts FROM certctl_acme")
        try:
            done = self.stack.run("doctor", check=False)
        finally:
            self.stack.sql("GRANT SELECT ON acme_accounts TO certctl_acme")
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"(?m)^  FAIL  schema .*certctl-acme")
        self.assertIn("cure", done.stdout)

    def test_doctor_names_a_stopped_process(self):
        self.stack.run("stop", "signer")
        try:
            done = self.stack.run("doctor", check=False)
            status = self.stack.run("status", check=False)
        finally:
            self.stack.run("up")
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"(?m)^  FAIL  signer +is not running; cure: ")
        self.assertNotIn("backup", done.stdout)  # nobody knows yet whether a key is missing
        self.assertEqual(status.returncode, 3)
        self.assertRegex(status.stdout, r"stopped\s+signer\b")

    def test_stop_and_up_keep_what_was_issued(self):
        acme = Client(self.stack, "prof-test")
        acme.register()
        _, order = acme.obtain("kept.example.org")
        self.stack.run("stop")
        for name in ("certctl-acme", "certctl-signer", "certctl-probe", "certctl-tick", "postgres"):
            self.assertEqual(self.stack.pids(name), [], name)
        self.assertEqual(self.stack.web_pids(), [])
        self.stack.run("up")
        self.assertEqual(acme.post(order["certificate"]).status, 200)

    def test_the_web_server_can_be_changed(self):
        """The choice is remembered, the port stays, and only one of the two runs."""
        acme = Client(self.stack, "prof-test")
        for web, other in (("apache", "nginx"), ("nginx", "apache")):
            with self.subTest(web):
                self.stack.environment["CERTCTL_RUN_WEB"] = web
                self.stack.run("up")
                del self.stack.environment["CERTCTL_RUN_WEB"]
                self.assertIn("nothing to do", self.stack.run("up").stdout)
                self.assertEqual(acme.raw("GET", "/health").headers["Server"].lower(), web)
                self.assertNotEqual(self.stack.web_pids(web), [])
                self.assertEqual(self.stack.web_pids(other), [])
                self.assertRegex(self.stack.run("status").stdout, rf"running\s+{web}\b")
                self.assertEqual(self.stack.run("doctor", check=False).returncode, 0)
        self.stack.environment["CERTCTL_RUN_WEB"] = self.stack.web
        self.stack.run("up")

    def test_a_bad_setting_stops_before_anything_starts(self):
        path = os.path.join(self.stack.home, "bad.env")
        with open(path, "w", encoding="utf-8") as out:
            out.write("CERTCTL_ACME_SERVER_ORDER_TTL=soon\n")
        os.chmod(path, 0o644)
        environment = self.stack.environment
        self.stack.environment = {**environment, "CERTCTL_RUN_ENV": path}
        try:
            done = self.stack.run("up", check=False)
        finally:
            self.stack.environment = environment
            self.stack.run("up")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("CERTCTL_ACME_SERVER_ORDER_TTL", done.stdout)
        self.assertIn("soon", done.stdout)
