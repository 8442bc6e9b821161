#!/usr/bin/python3
"""`make install` into a scratch directory: everything is where the units look for it, and tables agree.

usage: tests/install.py BUILD-DIRECTORY
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = None
# What systemd-analyze may say without a fault of ours: its own units, and a database that is elsewhere. One unit is
# root's, and must test and reload a web server.
SCORE_MAX = 2.0
SCORES_MAX = {"certctl-site-reload.service": 3.0, "certctl-backup.service": 3.0}
ROOTS = set(SCORES_MAX)


def read(*parts):
    with open(os.path.join(*parts), encoding="utf-8") as source:
        return source.read()


def catalogue():
    """name: (user, role, lingers) from jobs/run/catalogue.c."""
    rows = re.findall(r'\{"([a-z-]+)",\s*\d+,\s*"([a-z-]+)",\s*"([a-z_]+)",\s*JOB_\w+,\s*(true|false)', read(TOP, "jobs/run/catalogue.c"))
    return {name: (user, role, lingers == "true") for name, user, role, lingers in rows}


class Install(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="install-")
        cls.addClassCleanup(shutil.rmtree, cls.root)
        os.chmod(cls.root, 0o755)
        subprocess.run(["make", "-s", "-C", BUILD, "install", f"DESTDIR={cls.root}"], check=True, stdout=subprocess.DEVNULL)
        found = [folder for folder, _, _ in os.walk(cls.root) if folder.endswith("/lib/systemd/system")]
        cls.units = found[0]
        cls.prefix = found[0][len(cls.root):-len("/lib/systemd/system")]

    def files(self, pattern):
        return sorted(name for name in os.listdir(self.units) if re.fullmatch(pattern, name))

    def setting(self, unit, name):
        return re.findall(rf"(?m)^{name}=(.*)$", read(self.units, unit))

    def test_every_program_that_a_unit_starts_is_installed(self):
        started = set()
        for unit in self.files(r".*\.service"):
            commands = self.setting(unit, "ExecStart") + self.setting(unit, "ExecStartPre")
            self.assertTrue(self.setting(unit, "ExecStart"), unit)
            for command in commands:
                program = command.split()[0]
                started.add(program)
                self.assertTrue(os.access(self.root + program, os.X_OK), f"{unit}: {program}")
        for folder in ("fcgi", "jobs"):
            for name in os.listdir(f"{self.root}{self.prefix}/lib/certctl/{folder}"):
                self.assertIn(f"{self.prefix}/lib/certctl/{folder}/{name}", started, "a program that no unit starts")

    def test_nothing_is_left_to_be_filled_in(self):
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(folder, name)
                if not path.endswith(".in") and "/lib/certctl/" not in path and "/sbin/certctl-" not in path:
                    self.assertNotRegex(read(path), r"@[A-Z]+@", path)

    def test_programs_know_where_they_are(self):
        migrate = f"{self.root}{self.prefix}/sbin/certctl-migrate"
        said = subprocess.run([migrate, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                              env={}).stdout
        self.assertIn(f"{self.prefix}/share/certctl/sql", said)
        self.assertTrue(os.path.isfile(f"{self.root}{self.prefix}/share/certctl/sql/0001_baseline.sql"))
        listed = subprocess.run([f"{self.root}{self.prefix}/lib/certctl/certctl-config", "list"], stdout=subprocess.PIPE,
                                text=True, check=False, env={}).stdout
        self.assertIn(f"{self.prefix}/share/certctl/sql", listed)

    def test_catalogue_and_units_and_cron_agree(self):
        jobs = catalogue()
        self.assertGreater(len(jobs), 2)
        self.assertEqual(self.files(r"certctl-job-.*\.service"), [f"certctl-job-{name}.service" for name in sorted(jobs)])
        self.assertEqual(self.files(r"certctl-job-.*\.timer"), [f"certctl-job-{name}.timer" for name in sorted(jobs)])
        wanted = self.setting("certctl-jobs.target", "Wants")[0].split()
        self.assertEqual(sorted(wanted), self.files(r"certctl-job-.*\.timer"))
        for name, (user, role, lingers) in jobs.items():
            with self.subTest(name):
                unit = f"certctl-job-{name}.service"
                self.assertEqual(self.setting(unit, "User"), [user])
                self.assertIn(f"PGUSER={role}", self.setting(unit, "Environment"))
                self.assertEqual("--linger=" in self.setting(unit, "ExecStart")[0], lingers)
                self.assertEqual(self.setting(f"certctl-job-{name}.timer", "AccuracySec"), ["1s"])
        cron = read(TOP, "cron/certctl.in")
        self.assertEqual(sorted(re.findall(r"(?m)^\* \* \* \* \* (\S+) ", cron)), sorted({user for user, _, _ in jobs.values()}))

    def test_responders_of_the_tree_and_of_the_units_agree(self):
        built = sorted(name for name in os.listdir(f"{TOP}/fcgi") if os.path.exists(f"{TOP}/fcgi/{name}/room.am"))
        self.assertEqual(self.files(r"certctl-[a-z]+\.socket"), sorted([f"certctl-{name}.socket" for name in built]
                                                                       + ["certctl-signer.socket"]))
        for name in built:
            with self.subTest(name):
                socket = f"certctl-{name}.socket"
                self.assertEqual(self.setting(socket, "ListenStream"), [f"/run/certctl/{name}.sock"])
                self.assertEqual(self.setting(socket, "SocketUser") + self.setting(socket, "SocketGroup")
                                 + self.setting(socket, "SocketMode"), [f"certctl-{name}", "certctl-edge", "0660"])
                self.assertIn(f"certctl-{name}.target", self.setting("certctl.target", "Wants")[0].split())

    def test_sockets_bear_many_starts(self):
        """00 decision 45."""
        for socket in self.files(r".*\.socket"):
            with self.subTest(socket):
                self.assertEqual(self.setting(socket, "Service"), [socket.replace(".socket", "@1.service")])
                self.assertEqual(self.setting(socket, "TriggerLimitIntervalSec"), ["0"])
                service = socket.replace(".socket", "@.service")
                self.assertEqual(self.setting(service, "StandardInput"), ["socket"])
                self.assertEqual(self.setting(service, "Restart") + self.setting(service, "RestartPreventExitStatus")
                                 + self.setting(service, "StartLimitIntervalSec"), ["always", "78", "0"])

    def test_users_are_those_of_run_and_of_pg_ident(self):
        run = set(re.search(r"users_all='([^']*)'", read(TOP, "scripts/run/users.sh")).group(1).split())
        system = re.findall(r"(?m)^u (\S+)", read(TOP, "systemd/sysusers.conf"))
        self.assertEqual(sorted(system), sorted(run))
        self.assertEqual(sorted(re.findall(r"(?m)^m (\S+) certctl$", read(TOP, "systemd/sysusers.conf"))), sorted(run))
        mapped = dict(re.findall(r"(?m)^certctl (certctl-\S+)\s+(\S+)$", read(TOP, "systemd/pg_ident.conf")))
        special = {"certctl-audit": "certctl_sealer"}
        self.assertEqual(mapped, {user: special.get(user, user.replace("-", "_")) for user in run if user != "certctl-signer"})
        for unit in self.files(r".*\.service"):
            if unit not in ROOTS:  # without User=
                self.assertIn(self.setting(unit, "User")[0], run, unit)

    def test_directories_are_those_of_run(self):
        """Mode and owners in tmpfiles.d, against the table of ./run."""
        place = dict((path, (mode, owner, group)) for mode, owner, group, path in
                     re.findall(r"(?m)^(\d{4}) (\S+) (\S+) (\S+)$", read(TOP, "scripts/run/place.sh")))
        system = dict((path, (mode, owner, group)) for path, mode, owner, group in
                      re.findall(r"(?m)^d (\S+)\s+(\d{4})\s+(\S+)\s+(\S+)$", read(TOP, "systemd/tmpfiles.conf")))
        for ours, theirs in (("run/jobs", "/run/certctl/jobs"), ("run/wake", "/run/certctl/wake"),
                             ("state/ca", "/var/lib/certctl/ca"), ("state/ca-approvals", "/var/lib/certctl/ca-approvals"),
                             ("state/signer-log", "/var/log/certctl"), ("pki", "/var/cache/certctl/pki"), ("state/ocsp", "/var/lib/certctl/ocsp")):
            self.assertEqual(system[theirs], place[ours], theirs)

    def test_workers(self):
        script = f"{self.root}{self.prefix}/sbin/certctl-workers"

        def workers(*arguments):
            done = subprocess.run([script, *arguments], env={**os.environ, "DESTDIR": self.root}, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, check=False)
            return done.returncode, done.stdout.strip()

        self.assertEqual(workers("acme"), (0, "1"))
        for count in ("5", "3", "1", "2"):
            self.assertEqual(workers("acme", count)[0], 0)
            self.assertEqual(workers("acme"), (0, count))
        self.assertEqual(workers("acme", "auto")[0], 0)
        self.assertEqual(workers("acme")[1], str(2 * min(len(os.sched_getaffinity(0)), 8)))
        for wrong in (("acme", "0"), ("acme", "x"), ("acme", "201"), ("nobody", "1"), ()):
            self.assertEqual(workers(*wrong)[0], 64, wrong)

    def test_the_site_is_reloaded_by_a_path(self):
        self.assertEqual(self.setting("certctl-site-reload.path", "PathChanged"), ["/var/lib/certctl/site"])
        self.assertEqual(self.setting("certctl-site-reload.service", "User"), [])
        wanted = " ".join(self.setting("certctl.target", "Wants")).split()
        self.assertLessEqual({"certctl-site-reload.path", "certctl-site-reload.service"}, set(wanted))

    def test_a_stop_of_the_whole_stops_everything(self):
        """Seen under a running systemd: what belongs to no target goes on."""
        targets = {"certctl.target"} | set(self.files(r"certctl-.*\.target"))
        for unit in self.files(r"certctl-.*\.(service|socket|timer|path|target)"):
            self.assertLessEqual(set(self.setting(unit, "PartOf")), targets, unit)
            self.assertTrue(self.setting(unit, "PartOf"), unit)
            if not unit.endswith(".target"):  # a sixth restart within ten seconds would fail the unit
                self.assertEqual(self.setting(unit, "StartLimitIntervalSec"), ["0"], unit)

    def scratch_site(self, own):
        """A root directory in which certctl-site can work, with a certificate of the administrator's own or without."""
        site = f"{self.root}{self.prefix}/sbin/certctl-site"
        root = tempfile.mkdtemp(prefix="site-")
        self.addCleanup(shutil.rmtree, root)
        etc = re.search(r"(?m)^settings=(\S+)$", read(site)).group(1)
        os.makedirs(f"{root}{etc}/tls")
        os.makedirs(f"{root}/logs")
        os.makedirs(os.path.dirname(f"{root}{self.prefix}/share/certctl"))
        shutil.copytree(f"{self.root}{self.prefix}/share/certctl", f"{root}{self.prefix}/share/certctl")
        if own:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-subj",
                            "/CN=localhost", "-keyout", f"{root}{etc}/tls/key.pem", "-out", f"{root}{etc}/tls/certificate.pem"],
                           check=True, stderr=subprocess.DEVNULL)
        return site, root, etc

    def sites(self, own):
        """What certctl-site prints for each server, after both have taken what it wrote."""
        site, root, etc = self.scratch_site(own)
        said, reloaded = [], []
        for web in ("nginx", "apache"):
            said.append(subprocess.run([site, web, "8443", "8080", "acme.example.org", "acme2.example.org", "192.0.2.1"], check=True,
                                       env={**os.environ, "DESTDIR": root}, stdout=subprocess.PIPE, text=True).stdout)
            reloaded.append(read(f"{root}{etc}/site.env") if os.path.exists(f"{root}{etc}/site.env") else None)
        # What nginx is told by its own socket, Apache is through the plain port.
        self.assertEqual(said[1], "CERTCTL_OCSP_REFRESH_SOCKET=127.0.0.1:8080\n" + said[0])
        self.assertEqual(os.stat(f"{root}{etc}/edge.nginx").st_mode & 0o777, 0o600)
        self.assertEqual(os.stat(f"{root}{etc}/edge.apache").st_mode & 0o777, 0o600)
        for folder, _, names in os.walk(root + etc):  # the scratch directory stands for /
            for name in names:
                if name.endswith(".der"):
                    continue
                path = os.path.join(folder, name)
                text = re.sub(r"/var/log/\w+/", f"{root}/logs/", read(path).replace(etc + "/", f"{root}{etc}/"))
                text = text.replace("/var/lib/certctl/", f"{root}/var/lib/certctl/").replace("/run/apache2/", f"{root}/logs/")
                with open(path, "w", encoding="utf-8") as out:
                    for place in ("/run/apache2/", "/var/lib/nginx/", "unix:/run/certctl/ocsp-refresh"):
                        text = text.replace(place, ("unix:" if place.startswith("unix:") else "") + f"{root}/logs/")
                    out.write(text)
        self.nginx(root, f"{root}{etc}/nginx/certctl.conf")
        self.apache(root, f"{root}{etc}/apache/certctl.conf")
        return said[0], reloaded, root

    def test_sites_are_taken_by_the_web_servers(self):
        said, reloaded, root = self.sites(own=True)
        self.assertRegex(said, r"^CERTCTL_EDGE_KEY_SHA256=[0-9a-f]{64}\n$")
        self.assertEqual(reloaded, [None, None])
        self.assertFalse(os.path.exists(f"{root}/var/lib/certctl"))

    def test_a_site_whose_certificate_is_certctls(self):
        said, reloaded, root = self.sites(own=False)
        self.assertRegex(said, r"^CERTCTL_EDGE_KEY_SHA256=[0-9a-f]{64}\nCERTCTL_SITE_CERT_NAMES=acme.example.org,acme2.example.org,192.0.2.1\n"
                               r"CERTCTL_SITE_CERT_PROBE=127.0.0.1:8443\n$")
        self.assertEqual(reloaded, ["CERTCTL_SITE_SERVER=--server=nginx\n", "CERTCTL_SITE_SERVER=--server=apache2\n"])
        first = f"{root}/var/lib/certctl/site/current"
        self.assertEqual(os.readlink(first), "first")
        self.assertEqual(os.stat(f"{first}/key.pem").st_mode & 0o777, 0o600)
        names = subprocess.run(["openssl", "x509", "-in", f"{first}/certificate.pem", "-noout", "-ext", "subjectAltName"], check=True,
                               stdout=subprocess.PIPE, text=True).stdout
        self.assertIn("DNS:acme.example.org, DNS:acme2.example.org, IP Address:192.0.2.1", names)

    @staticmethod
    def nginx_of_debian(root, site):
        """The distribution's own file with our site in its http block, or the least that is one."""
        if not os.path.exists("/etc/nginx/nginx.conf"):
            return f"pid {root}/pid; events {{}} http {{ include {site}; }}\n"
        text = re.sub(r"(?m)^pid .*|^include .*", "", read("/etc/nginx/nginx.conf"))
        text = text.replace("include /etc/nginx/conf.d/*.conf;", f"include {site};")
        text = text.replace("include /etc/nginx/sites-enabled/*;", "").replace("/var/log/nginx/", f"{root}/logs/")
        return f"pid {root}/pid;\n{text}"

    def nginx(self, root, site):
        with open(f"{root}/nginx.conf", "w", encoding="utf-8") as out:
            out.write(self.nginx_of_debian(root, site))
        self.accepts("/usr/sbin/nginx", "-t", "-c", f"{root}/nginx.conf", "-e", f"{root}/logs/error.log")

    def apache(self, root, site):
        modules = re.findall(r"(?m)^LoadModule (\S+) @MODULES_DIR@/(\S+)$", read(TOP, "apache/apache2.conf.in"))
        with open(f"{root}/apache2.conf", "w", encoding="utf-8") as out:
            out.writelines(f"LoadModule {name} /usr/lib/apache2/modules/{file}\n" for name, file in modules)
            out.write(f"ServerName localhost\nDefaultRuntimeDir {root}/logs\nErrorLog {root}/logs/error.log\nInclude {site}\n")
        self.accepts("/usr/sbin/apache2", "-t", "-f", f"{root}/apache2.conf")

    def accepts(self, program, *arguments):
        if not os.path.exists(program):
            self.skipTest(f"no {program}")
        done = subprocess.run([program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)

    def analyze(self, *arguments):
        if not shutil.which("systemd-analyze"):
            self.skipTest("no systemd-analyze")
        return subprocess.run(["systemd-analyze", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False, env={**os.environ, "SYSTEMD_COLORS": "0", "SYSTEMD_LOG_LEVEL": "warning"})

    def scratch_units(self):
        """Copies whose programs are those of the scratch directory, since systemd-analyze looks whether they are there."""
        folder = tempfile.mkdtemp(prefix="units-")
        self.addCleanup(shutil.rmtree, folder)
        for name in os.listdir(self.units):
            text = re.sub(r"(?m)^(ExecStart(?:Pre)?=)", rf"\g<1>{self.root}", read(self.units, name))
            with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
                out.write(text)
        return folder

    def test_systemd_verifies_every_unit(self):
        folder = self.scratch_units()
        names = [os.path.join(folder, name.replace("@.", "@1.")) for name in sorted(os.listdir(folder))]
        for name in names:
            if "@1." in name:
                os.rename(name.replace("@1.", "@."), name)
                os.symlink(name, name.replace("@1.", "@."))
        done = self.analyze("verify", "--man=no", "--recursive-errors=yes", *names)
        ours = [line for line in done.stdout.splitlines() if "certctl" in line]
        self.assertEqual(ours, [])

    def test_services_are_confined(self):
        folder = self.scratch_units()
        for name in sorted(os.listdir(folder)):
            if not name.endswith(".service"):
                continue
            with self.subTest(name):
                done = self.analyze("security", "--offline=yes", "--no-pager", os.path.join(folder, name))
                score = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
                self.assertIsNotNone(score, done.stdout)
                print(f"{name}: {score.group(1)}", file=sys.stderr)
                self.assertLessEqual(float(score.group(1)), SCORES_MAX.get(name, SCORE_MAX), name)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    BUILD = os.path.abspath(sys.argv.pop())
    unittest.main(verbosity=2)
