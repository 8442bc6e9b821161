"""Web servers that fetch their own certificates: Caddy and Apache's mod_md, set up as doc/clients says,
obtain, serve and renew; each by http-01, by tls-alpn-01 and where the account is trusted."""
import glob
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import unittest

import guide
from challenge_case import shared, shared_tls_port
from stack import Stack
from test_clients import ClientTest

MODULES = "/usr/lib/apache2/modules"
LONG_S = 300  # for what a web server does by itself


class WebServerTest(ClientTest):
    """One web server of the test's own, on the ports where the challenge stack looks."""

    @classmethod
    def setUpClass(cls):
        cls.stack, cls.names, cls.port = shared()
        cls.tls_port = shared_tls_port()

    def setUp(self):
        super().setUp()
        os.chmod(self.home, 0o755)  # Apache's children are somebody else
        self.server = None
        self.addCleanup(self.stop)

    def begin(self, *command):
        self.output = f"{self.home}/output"
        with open(self.output, "ab") as output:
            self.server = subprocess.Popen(command, cwd=self.home, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={
                **os.environ, "HOME": self.home, "XDG_DATA_HOME": f"{self.home}/data", "XDG_CONFIG_HOME": f"{self.home}/config"})

    def stop(self):
        if self.server:
            self.server.terminate()
            self.server.wait()
            self.server = None

    def told(self):
        """What the server has said so far, for the failure's sake."""
        texts = []
        for path in (self.output, *glob.glob(f"{self.home}/*.log")):
            with open(path, encoding="utf-8", errors="replace") as source:
                texts.append(source.read()[-6000:])
        return "\n".join(texts)

    def wait(self, condition, what):
        def over():
            if self.server.poll() is not None:
                raise AssertionError(f"the server ended before: {what}\n{self.told()}")
            return condition()

        try:
            Stack.wait(over, LONG_S, what)
        except AssertionError as never:
            raise AssertionError(f"{never}\n{self.told()}") from None

    def words(self, *sites):
        return {"directory": self.directory(), "root": self.stack.root_pem, "sites": sites}

    def bound(self, path, made):
        """The certificate's account used this key."""
        self.assertEqual(self.stack.value(f"SELECT eab_kid FROM acme_accounts WHERE account_id = '{self.account(path)}'"), made["kid"])

    def key(self):
        """Of a profile that wants a binding, in trust mode."""
        self.profile = "prof-web-eab"
        self.stack.sql("INSERT INTO certificate_profiles (id, name, issuer_id) VALUES ('prof-web-eab', 'Bound web servers', 'iss-local') "
                       "ON CONFLICT DO NOTHING; INSERT INTO acme_profile_settings (profile_id, settings) VALUES "
                       "('prof-web-eab', '{\"eab_required\":true}') ON CONFLICT DO NOTHING")
        made = self.eab_key(profile_id=self.profile)
        return made, {"key_id": made["kid"], "mac_key": made["hmac_key"]}

    def served(self, name):
        """Serial number of what the server shows for this name to a client that trusts our root alone, or None."""
        context = ssl.create_default_context(cafile=self.stack.root_pem)
        try:
            with socket.create_connection(("127.0.0.1", self.tls_port), timeout=60) as plain, \
                    context.wrap_socket(plain, server_hostname=name) as wrapped:
                der = wrapped.getpeercert(binary_form=True)
        except OSError:
            return None
        path = f"{self.home}/served.pem"
        with open(path, "w", encoding="ascii") as out:
            out.write(ssl.DER_cert_to_PEM_cert(der))
        return self.serial(path)

    def time_passes(self):
        """What was proved is too old to serve the renewal."""
        self.stack.sql("UPDATE acme_authorizations SET expires_at = now() + interval '1 minute' WHERE status = 'valid'")

    def account(self, path):
        return self.stack.value(f"SELECT account_id FROM acme_orders WHERE certificate_id = '{self.certificate(path)[0]}'")

    def assertRenewed(self, old, new, *names):
        """From successor to successor the old one leads to the new one, where the account is the same."""
        self.assertChain(new, *names)
        certificate, status, successor = self.certificate(old)
        self.assertEqual(status, "Active")
        if self.account(old) != self.account(new):
            self.assertEqual(successor, "")
            return
        while successor:
            certificate = successor
            successor = self.stack.value(f"SELECT coalesce(tags->>'superseded_by', '') FROM managed_certificates WHERE id = '{certificate}'")
        self.assertEqual(certificate, self.certificate(new)[0])

    def life(self, kind, *names):
        """Obtain, serve, renew, serve; `kind` of proof, or None in trust mode."""
        self.profile = {"http-01": "prof-proof", "tls-alpn-01": "prof-proof-tls", None: "prof-test"}[kind]
        self.obtain(*names)
        first = {}
        for path, of in self.files(*names):
            self.assertChain(path, *of)
            first[path] = self.kept(path)
            for name in of:
                self.wait(lambda name=name, path=path: self.served(name) == self.serial(path), f"{name} is served")
        self.time_passes()
        self.renew(*names)
        kept = 0
        for path, of in self.files(*names):
            self.wait(lambda path=path: self.serial(path) != self.serial(first[path]), "a new certificate is in its place")
            self.assertRenewed(first[path], path, *of)
            kept += self.account(first[path]) == self.account(path)
            for name in of:
                self.wait(lambda name=name, path=path: self.served(name) == self.serial(path), f"the new one of {name} is served")
        self.assertGreater(kept, 0)  # Caddy registers once for each site that it begins at the same time, and keeps one account
        self.assertProved(kind, *names)

    def assertProved(self, kind, *names):
        """For each of the two orders, by this type and no other; never where the account is trusted."""
        for name in names:
            rows = self.stack.sql("SELECT c.type, count(*) > 1 FROM acme_challenges c JOIN acme_authorizations z USING (authz_id) "
                                  f"WHERE c.status = 'valid' AND c.validated_at IS NOT NULL AND z.identifier->>'value' = '{name}' GROUP BY 1")
            self.assertEqual(rows, [[kind, "t"]] if kind else [], name)


@unittest.skipUnless(shutil.which("caddy"), "Debian's caddy is not installed; ./check --all installs it")
class Caddy(WebServerTest):
    """A Caddyfile of doc/clients/caddy.md, with our ports added to its global options."""

    seconds = 40
    long = True

    def caddyfile(self, text):
        path = f"{self.home}/Caddyfile"
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def adapt(self, path):
        """Caddy's own translation to JSON: or its complaint, a text."""
        done = subprocess.run(["caddy", "adapt", "--config", path, "--adapter", "caddyfile"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False, env={**os.environ, "HOME": self.home})
        return json.loads(done.stdout) if done.returncode == 0 else done.stderr

    def configured(self, *names, block="", change=None, **key):
        """The configuration in JSON: the guide's with what a server beside others on loopback needs."""
        text = guide.block("caddy", "caddyfile", block, **self.words(*names), **key)
        ours = ["admin off", f"http_port {self.port}", f"https_port {self.tls_port}", "default_bind 127.0.0.1", "skip_install_trust"]
        text = text if text.startswith("{\n") else "{\n}\n" + text
        made = self.adapt(self.caddyfile("{\n    " + "\n    ".join(ours) + text[1:]))
        if change:
            change(made["apps"]["tls"]["automation"])
        path = f"{self.home}/caddy.json"
        with open(path, "w", encoding="utf-8") as out:
            json.dump(made, out)
        return path

    def files(self, *names):
        """Caddy has a certificate for each site."""
        return [(path, (name,)) for name in names for path in glob.glob(f"{self.home}/data/caddy/certificates/*/{name}/{name}.crt")]

    def obtain(self, *names, block="", **key):
        self.begin("caddy", "run", "--config", self.configured(*names, block=block, **key))
        self.wait(lambda: len(self.files(*names)) == len(names), "Caddy has its certificates")

    def renew(self, *names):
        """Started as one to whom every certificate is due, whatever its age, also the one that it has just
        renewed; so it is ended between two renewals, and another of the usual manner serves what there is."""
        def due(automation):
            for policy in automation["policies"]:
                policy["renewal_window_ratio"] = 1.0

        first = {path: self.serial(path) for path, _ in self.files(*names)}
        self.stop()
        self.begin("caddy", "run", "--config", self.configured(*names, change=due))
        self.wait(lambda: self.between() and all(self.serial(path) != first[path] for path in first), "all are renewed")
        self.stop()
        self.begin("caddy", "run", "--config", self.configured(*names))

    def between(self):
        """Whether each renewal that began has ended."""
        with open(self.output, encoding="utf-8") as source:
            text = source.read()
        return text.count('"renewing certificate"') == text.count('"certificate renewed successfully"') > 0

    def test_by_http(self):
        self.life("http-01", "caddy-http-1.good.test", "caddy-http-2.good.test")

    def test_by_tls(self):
        self.life("tls-alpn-01", "caddy-tls-1.good.test", "caddy-tls-2.good.test")

    def test_trusted(self):
        self.life(None, "caddy-trust-1.good.test", "caddy-trust-2.good.test")

    def test_directory_of_one_site(self):
        name = "caddy-site.good.test"
        self.obtain(name, block="site")
        (path, _), = self.files(name)
        self.assertChain(path, name)

    def test_a_profile_that_wants_a_binding(self):
        name = "caddy-eab.good.test"
        made, key = self.key()
        self.obtain(name, block="eab", **key)
        (path, _), = self.files(name)
        self.assertChain(path, name)
        self.bound(path, made)

    def test_what_the_guide_says_of_syntax(self):
        text = guide.block("caddy", "caddyfile", "refused", **self.words("caddy-refused.good.test"))
        self.assertIn("unknown subdirective: acme_ca", self.adapt(self.caddyfile(text)))


@unittest.skipUnless(os.path.exists(f"{MODULES}/mod_md.so"), "no mod_md in the installed apache2-bin")
class ModMd(WebServerTest):
    """The configuration of doc/clients/apache-mod_md.md, in an Apache of the test's own."""

    seconds = 40
    long = True

    def configured(self, *names, more=""):
        modules = ("mpm_event", "authz_core", "socache_shmcb", "ssl", "md")
        text = guide.block("apache-mod_md", "apache", more=[("*:443", f"127.0.0.1:{self.tls_port}")], **self.words(*names))
        server = [f"ServerRoot {self.home}", "ServerName 127.0.0.1", f"PidFile {self.home}/apache.pid", f"DefaultRuntimeDir {self.home}",
                  "Mutex posixsem", f"ErrorLog {self.home}/apache.log", "LogLevel warn md:debug",
                  *(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in modules),
                  "User www-data", "Group www-data", f"Listen 127.0.0.1:{self.port}", f"Listen 127.0.0.1:{self.tls_port}",
                  "SSLSessionCache none", f"MDStoreDir {self.home}/md", f"MDPortMap http:{self.port} https:{self.tls_port}", "MDRetryDelay 5s"]
        path = f"{self.home}/apache.conf"
        with open(path, "w", encoding="utf-8") as out:
            out.write("\n".join(server) + "\n" + more + "\n" + text)
        return path

    def files(self, *names):
        """mod_md has one for all."""
        return [(f"{self.home}/md/domains/{names[0]}/pubcert.pem", names)]

    def came(self, name):
        """mod_md is done with what it fetched; the next graceful restart takes it."""
        try:
            with open(f"{self.home}/md/staging/{name}/job.json", encoding="utf-8") as source:
                return json.load(source).get("finished") is True
        except (OSError, ValueError):
            return False

    def taken(self, *names):
        self.wait(lambda: self.came(names[0]), "mod_md has a certificate")
        self.configured(*names)  # the usual again, where it was another
        self.server.send_signal(signal.SIGUSR1)
        self.wait(lambda: os.path.exists(self.files(*names)[0][0]) and not self.came(names[0]), "mod_md uses it")

    def obtain(self, *names, more=""):
        path = self.configured(*names, more=more)
        self.run_client("/usr/sbin/apache2", "-t", "-f", path)
        self.begin("/usr/sbin/apache2", "-DFOREGROUND", "-f", path)
        self.taken(*names)

    def renew(self, *names):
        """Every certificate is due, whatever its age."""
        self.configured(*names, more="MDRenewWindow 365d")
        self.server.send_signal(signal.SIGUSR1)
        self.taken(*names)

    def test_by_http(self):
        self.life("http-01", "md-http-1.good.test", "md-http-2.good.test")

    def test_by_tls(self):
        self.life("tls-alpn-01", "md-tls-1.good.test", "md-tls-2.good.test")

    def test_trusted(self):
        self.life(None, "md-trust-1.good.test", "md-trust-2.good.test")

    def test_a_profile_that_wants_a_binding(self):
        names = ("md-eab-1.good.test", "md-eab-2.good.test")
        made, key = self.key()
        self.obtain(*names, more=guide.block("apache-mod_md", "apache", "eab", **key))
        (path, _), = self.files(*names)
        self.assertChain(path, *names)
        self.bound(path, made)


del WebServerTest, ClientTest
