"""Real clients of Debian obtain certificates through the real web server, in trust mode."""
import glob
import os
import shutil
import subprocess
import tempfile

from case import ProtocolTest
from stack import free_port
from test_issuance import verify_strictly


class Clients(ProtocolTest):

    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="client-", dir=self.stack.dir)
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)

    def run_client(self, *command, **environment):
        done = subprocess.run(command, cwd=self.home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180,
                              check=False, env={**os.environ, "HOME": self.home, **environment})
        self.assertEqual(done.returncode, 0, f"{' '.join(command)}\n{done.stdout}")
        return done.stdout

    def directory(self, profile="prof-test"):
        return f"{self.stack.url}/acme/profile/{profile}/directory"

    def assertChain(self, path, *names):
        with open(path, encoding="utf-8") as source:
            chain = source.read()
        good, said = verify_strictly(self.stack, chain)
        self.assertTrue(good, said)
        text = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", path], stdout=subprocess.PIPE,
                              text=True, check=True).stdout
        for name in names:
            self.assertIn(f"DNS:{name}", text)

    def assertRevoked(self, path, reason):
        """The certificate in this file, as the database has it."""
        said = subprocess.run(["openssl", "x509", "-noout", "-serial", "-in", path], stdout=subprocess.PIPE, text=True, check=True).stdout
        serial = said.strip().split("=")[1].lower().lstrip("0")
        self.assertEqual(self.stack.sql(f"SELECT reason FROM certificate_revocations WHERE serial_number = '{serial}'"), [[reason]])

    def certbot(self, *arguments):
        return self.run_client("certbot", *arguments, "--server", self.directory(), "--config-dir", f"{self.home}/config",
                               "--work-dir", f"{self.home}/work", "--logs-dir", f"{self.home}/logs", "--non-interactive",
                               REQUESTS_CA_BUNDLE=self.stack.root_pem)

    def test_certbot(self):
        names = ("certbot-1.example.org", "certbot-2.example.org")
        standalone = ("--standalone", "--http-01-port", str(free_port()))
        self.certbot("certonly", *standalone, "--agree-tos", "-m", "a@example.org", "-d", names[0], "-d", names[1])
        path = f"{self.home}/config/live/{names[0]}/fullchain.pem"
        self.assertChain(path, *names)
        with open(path, encoding="utf-8") as source:
            first = source.read()
        self.certbot("renew", "--force-renewal", "--no-random-sleep-on-renew")
        with open(path, encoding="utf-8") as source:
            self.assertNotEqual(source.read(), first)
        self.assertChain(path, *names)
        live = f"{self.home}/config/live/{names[0]}"
        with open(f"{self.home}/first.pem", "w", encoding="utf-8") as out:
            out.write(first)
        self.certbot("revoke", "--cert-path", f"{self.home}/first.pem", "--reason", "superseded", "--no-delete-after-revoke")
        self.assertRevoked(f"{self.home}/first.pem", "superseded")
        self.certbot("revoke", "--cert-path", f"{live}/cert.pem", "--key-path", f"{live}/privkey.pem", "--reason", "keycompromise",
                     "--no-delete-after-revoke")
        self.assertRevoked(f"{live}/cert.pem", "keyCompromise")
        self.certbot("update_account", "-m", "b@example.org")
        self.certbot("unregister")

    def test_lego(self):
        for kind in ("ec256", "ec384", "rsa2048"):
            with self.subTest(kind):
                name = f"lego-{kind}.example.org"
                common = ("lego", "--server", self.directory(), "--accept-tos", "--email", f"{kind}@example.org",
                          "--path", f"{self.home}/{kind}", "--key-type", kind, "--domains", name, "--http",
                          "--http.port", f"127.0.0.1:{free_port()}")
                path = f"{self.home}/{kind}/certificates/{name}.crt"
                self.run_client(*common, "run", LEGO_CA_CERTIFICATES=self.stack.root_pem)
                self.assertChain(path, name)
                self.run_client(*common, "revoke", "--keep", LEGO_CA_CERTIFICATES=self.stack.root_pem)
                self.assertRevoked(path, "unspecified")

    def uacme(self, name, script_text):
        """uacme trusts the system's store alone; for it, and in a mount namespace, that is our root."""
        hook = f"{self.home}/hook"
        with open(hook, "w", encoding="utf-8") as out:
            out.write(script_text)
        os.chmod(hook, 0o755)
        namespace = ("unshare", "--mount", "--propagation=unchanged") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--mount")
        script = 'mount --bind "$1" /etc/ssl/certs/ca-certificates.crt && shift && exec "$@"'
        common = (*namespace, "sh", "-c", script, "sh", self.stack.root_pem, "uacme", "-v", "-y", "-a", self.directory(),
                  "-c", f"{self.home}/uacme")
        self.run_client(*common, "new", "a@example.org")
        self.run_client(*common, "-h", hook, "issue", name)
        path = f"{self.home}/uacme/{name}/cert.pem"
        self.assertChain(path, name)
        shutil.copy(path, f"{self.home}/kept.pem")
        self.run_client(*common, "newkey")
        self.run_client(*common, "revoke", path)
        self.assertRevoked(f"{self.home}/kept.pem", "unspecified")

    def test_uacme(self):
        self.uacme("uacme.example.org", "#!/bin/sh\nexit 0\n")

    def dehydrated(self, name, wellknown):
        with open(f"{self.home}/config", "w", encoding="utf-8") as out:
            out.write(f'CA="{self.directory()}"\nBASEDIR="{self.home}"\nCURL_OPTS="--cacert {self.stack.root_pem}"\n'
                      f'WELLKNOWN="{wellknown}"\nCONTACT_EMAIL=a@example.org\n')
        self.run_client("dehydrated", "-f", f"{self.home}/config", "--register", "--accept-terms")
        self.run_client("dehydrated", "-f", f"{self.home}/config", "-c", "-d", name)
        found = glob.glob(f"{self.home}/certs/{name}/fullchain.pem")
        self.assertEqual(len(found), 1)
        self.assertChain(found[0], name)
        leaf = os.path.realpath(f"{self.home}/certs/{name}/cert.pem")
        shutil.copy(leaf, f"{self.home}/kept.pem")
        self.run_client("dehydrated", "-f", f"{self.home}/config", "--revoke", leaf)
        self.assertRevoked(f"{self.home}/kept.pem", "unspecified")

    def test_dehydrated(self):
        os.mkdir(f"{self.home}/wellknown")
        self.dehydrated("dehydrated.example.org", f"{self.home}/wellknown")
