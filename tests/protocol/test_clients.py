"""Real clients of Debian obtain, renew and revoke through the real web server: in trust mode here, with
proofs to give in test_challenge.RealClients."""
import base64
import glob
import json
import os
import shutil
import subprocess
import tempfile

import guide
from acme_client import b64u_bytes
from case import ProtocolTest
from stack import free_port
from test_issuance import verify_strictly


class ClientTest(ProtocolTest):
    """What tests of other people's clients share."""

    domain = "example.org"
    profile = "prof-test"

    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="client-", dir=self.stack.dir)
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)

    def run_client(self, *command, **environment):
        done = subprocess.run(command, cwd=self.home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180,
                              check=False, env={**os.environ, "HOME": self.home, **environment})
        self.assertEqual(done.returncode, 0, f"{' '.join(command)}\n{done.stdout}")
        return done.stdout

    def typed(self, page, name, sites, extra=(), more=(), before=()):
        """The command lines of this block of a guide, one after the other, with our names; `extra` words follow the
        program's, `before` precede it."""
        for words, variables in guide.commands(page, name, directory=self.directory(), root=self.stack.root_pem, sites=sites, more=more):
            self.run_client(*before, words[0], *extra, *words[1:], **variables)

    def directory(self):
        return f"{self.stack.url}/acme/profile/{self.profile}/directory"

    def kept(self, path):
        """A copy that the client does not know of."""
        copy = tempfile.mktemp(prefix="kept-", suffix=".pem", dir=self.home)
        shutil.copy(path, copy)
        return copy

    @staticmethod
    def serial(path):
        """As the database writes it."""
        said = subprocess.run(["openssl", "x509", "-noout", "-serial", "-in", path], stdout=subprocess.PIPE, text=True, check=True).stdout
        return said.strip().split("=")[1].lower().lstrip("0")

    def certificate(self, path):
        """(id, status, superseded_by) of the managed certificate of this file."""
        rows = self.stack.sql("SELECT m.id, m.status, coalesce(m.tags->>'superseded_by', '') FROM managed_certificates m JOIN "
                              f"certificate_versions v ON v.certificate_id = m.id WHERE v.serial_number = '{self.serial(path)}'")
        self.assertEqual(len(rows), 1, path)
        return tuple(rows[0])

    def assertChain(self, path, *names):
        """Trusted by a strict verifier, of these names alone, recorded, and nobody's predecessor yet."""
        with open(path, encoding="utf-8") as source:
            chain = source.read()
        good, said = verify_strictly(self.stack, chain)
        self.assertTrue(good, said)
        text = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", path], stdout=subprocess.PIPE,
                              text=True, check=True).stdout
        self.assertEqual(sorted(part.strip() for part in text.split("\n")[1].split(",")), sorted(f"DNS:{name}" for name in names))
        self.assertEqual(self.certificate(path)[1:], ("Active", ""))

    def assertRevoked(self, path, reason):
        self.assertEqual(self.stack.sql(f"SELECT reason FROM certificate_revocations WHERE serial_number = '{self.serial(path)}'"), [[reason]])
        self.assertEqual(self.certificate(path)[1], "Revoked")

    def assertProvedBy(self, kind, *names):
        """Each of these, the wildcard too, by this type alone."""
        for name in names:
            rows = self.stack.sql("SELECT DISTINCT c.type FROM acme_challenges c JOIN acme_authorizations z USING (authz_id) "
                                  f"WHERE c.status = 'valid' AND z.identifier->>'value' = '{name.removeprefix('*.')}' "
                                  f"AND z.wildcard = {'true' if name.startswith('*.') else 'false'}")
            self.assertEqual(rows, [[kind]], name)

    def certbot(self, *arguments):
        return self.run_client("certbot", *arguments, "--server", self.directory(), "--config-dir", f"{self.home}/config",
                               "--work-dir", f"{self.home}/work", "--logs-dir", f"{self.home}/logs", "--non-interactive",
                               REQUESTS_CA_BUNDLE=self.stack.root_pem)

    def account_key(self, path):
        """Kind of the key of the account that has this certificate; the database has a JWK in PEM's clothes."""
        lines = self.stack.sql("SELECT a.jwk_pem FROM acme_accounts a JOIN acme_orders o USING (account_id) "
                               f"WHERE o.certificate_id = '{self.certificate(path)[0]}'")
        jwk = json.loads(base64.b64decode("".join(line[0] for line in lines[1:-1])))
        return jwk.get("crv") or f"RSA-{len(b64u_bytes(jwk['n'])) * 8}"

    def eab_key(self, **body):
        """By the API, as an operator would."""
        environment = {"PATH": "/usr/bin:/bin"}
        with open(f"{self.stack.dir}/certctl.env", encoding="utf-8") as lines:
            environment.update(line.rstrip("\n").split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        key = subprocess.run([f"{self.stack.dir}/bin/certctl-admin", "key", "new", "--admin"], env=environment, stdout=subprocess.PIPE, text=True,
                             check=True).stdout.strip()
        answer = self.client(register=False).raw("POST", "/api/v1/acme/eab-keys", json.dumps(body),
                                                 {"Authorization": f"Bearer {key}"})
        self.assertEqual(answer.status, 201, answer)
        return answer.json

    @property
    def our_root_alone(self):
        """uacme trusts the system's store alone; for it, and in a mount namespace, that is our root."""
        namespace = ("unshare", "--mount", "--propagation=unchanged") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--mount")
        script = 'mount --bind "$1" /etc/ssl/certs/ca-certificates.crt && shift && exec "$@"'
        return (*namespace, "sh", "-c", script, "sh", self.stack.root_pem)

    def uacme(self, hook, *arguments):
        self.run_client(*self.our_root_alone, "uacme", "-v", "-y", "-a", self.directory(), "-c", f"{self.home}/uacme", "-h", hook, *arguments)


class Clients(ClientTest):
    """Each test is a client's whole life; what differs by mode are the few methods that come first."""

    def http01_port(self):
        """Where a client that proves by itself may listen; nobody comes."""
        return free_port()

    def webroot(self):
        folder = f"{self.home}/web"
        os.makedirs(f"{folder}/.well-known/acme-challenge")
        return folder

    def time_passes(self):
        """From obtaining to renewing."""

    def assertProved(self, name, times):
        """So often the server came to see: never, where the account is trusted."""

    def assertRenewed(self, old, new, *names):
        """A new certificate of the same names; the old one knows its successor and is as good as before."""
        self.assertChain(new, *names)
        self.assertNotEqual(self.serial(old), self.serial(new))
        self.assertEqual(self.certificate(old)[1:], ("Active", self.certificate(new)[0]))
        for name in names:
            self.assertProved(name, 2)

    def certbot_by(self, how, *ours, more=()):
        names = (f"{how}-1.{self.domain}", f"{how}-2.{self.domain}")
        live = f"{self.home}/config/live/{names[0]}"
        places = ("--config-dir", f"{self.home}/config", "--work-dir", f"{self.home}/work", "--logs-dir", f"{self.home}/logs", "--non-interactive")

        def typed(name, *extra, more=()):
            self.typed("certbot", name, names, (*places, *extra), [*more, ("/etc/letsencrypt", f"{self.home}/config")])

        typed(how, *ours, more=more)
        self.assertChain(f"{live}/fullchain.pem", *names)
        first = self.kept(f"{live}/cert.pem")
        self.time_passes()
        typed("renew", "--force-renewal", "--no-random-sleep-on-renew")
        self.assertRenewed(first, f"{live}/fullchain.pem", *names)
        typed("revoke", "--no-delete-after-revoke", more=[("/etc/letsencrypt/live/www.example.org/cert.pem", first)])
        self.assertRevoked(first, "superseded")
        self.assertChain(f"{live}/fullchain.pem", *names)  # its successor is untouched
        typed("revoke-by-key", "--no-delete-after-revoke")
        self.assertRevoked(f"{live}/cert.pem", "keyCompromise")
        typed("account")

    def test_certbot_standalone(self):
        self.certbot_by("standalone", "--http-01-port", str(self.http01_port()), "--http-01-address", "127.0.0.1")

    def test_certbot_webroot(self):
        self.certbot_by("webroot", more=[("/var/www/html", self.webroot())])

    def lego(self, kind, key, code, reason):
        """The certificate's key is of this kind, and so is lego's account key."""
        names = (f"lego-{kind}-1.{self.domain}", f"lego-{kind}-2.{self.domain}")
        home = f"{self.home}/{kind}"

        def typed(name, *more):
            self.typed("lego", name, names, ("--key-type", kind, "--http.port", f"127.0.0.1:{self.http01_port()}"), [*more, ("/etc/lego", home)])

        path = f"{home}/certificates/{names[0]}.crt"
        typed("http")
        self.assertChain(path, *names)
        self.assertEqual(self.account_key(path), key)
        first = self.kept(path)
        self.time_passes()
        typed("renew", ("--days 30", "--days 365 --no-random-sleep"))
        self.assertRenewed(first, path, *names)
        typed("revoke", ("--reason 4", f"--keep --reason {code}"))
        self.assertRevoked(path, reason)
        self.assertEqual(self.certificate(first)[1], "Active")

    def test_lego_ec256(self):
        self.lego("ec256", "P-256", 0, "unspecified")

    def test_lego_ec384(self):
        self.lego("ec384", "P-384", 4, "superseded")

    def test_lego_rsa(self):
        self.lego("rsa2048", "RSA-2048", 5, "cessationOfOperation")

    def test_uacme(self):
        """With the hook that Debian ships."""
        names = (f"uacme-1.{self.domain}", f"uacme-2.{self.domain}")
        folder = f"{self.webroot()}/.well-known/acme-challenge"

        def typed(name):
            self.typed("uacme", name, names, ("-v",), [("/etc/ssl/uacme", f"{self.home}/uacme"), ("/var/www/html/.well-known/acme-challenge", folder)],
                       self.our_root_alone)

        typed("obtain")
        path = f"{self.home}/uacme/{names[0]}/cert.pem"
        self.assertChain(path, *names)
        first = self.kept(path)
        self.time_passes()
        os.environ["UACME_CHALLENGE_PATH"] = folder
        self.addCleanup(os.environ.pop, "UACME_CHALLENGE_PATH")
        self.uacme("/usr/share/uacme/uacme.sh", "-f", "issue", *names)
        self.assertRenewed(first, path, *names)
        key = f"{self.home}/uacme/private/{names[0]}/key.pem"
        self.uacme("/usr/share/uacme/uacme.sh", "revoke", self.kept(first), key)  # it renames what it revoked
        self.assertRevoked(first, "unspecified")
        second = self.kept(path)
        typed("revoke")
        self.assertRevoked(second, "superseded")

    def test_dehydrated(self):
        names = (f"dehydrated-1.{self.domain}", f"dehydrated-2.{self.domain}")
        places = [("/var/lib/dehydrated", self.home), ("/var/www/html", self.webroot())]
        with open(f"{self.home}/config", "w", encoding="utf-8") as out:
            out.write(guide.block("dehydrated", "sh", "config", directory=self.directory(), root=self.stack.root_pem, more=places))

        def dehydrated(*arguments):
            self.run_client("dehydrated", "-f", f"{self.home}/config", *arguments)

        def current(name):
            found = glob.glob(f"{self.home}/certs/{names[0]}/{name}.pem")
            self.assertEqual(len(found), 1)
            return os.path.realpath(found[0])

        self.typed("dehydrated", "obtain", names, ("-f", f"{self.home}/config"), places)
        self.assertChain(current("fullchain"), *names)
        first = current("cert")
        self.time_passes()
        dehydrated("-c", "-x", "-d", " ".join(names))
        self.assertRenewed(first, current("fullchain"), *names)
        copies = [self.kept(leaf) for leaf in (first, current("cert"))]
        dehydrated("--revoke", first)
        self.typed("dehydrated", "revoke", names, ("-f", f"{self.home}/config"), places)
        for copy in copies:
            self.assertRevoked(copy, "unspecified")
