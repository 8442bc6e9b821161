"""doc/acme-conformance.md and doc/pki-conformance.md are true; and what no other file has of the first: certbot's account and revocations to
their ends, doors between profiles, two nodes, the 101st order, and a client that asks as cert-manager does."""
import hashlib
import json
import os
import re
import subprocess
import time
import unittest

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from acme_client import Client, Key, b64u, b64u_bytes, csr
from case import ProtocolTest
from challenge_case import ChallengeTest
from stack import TOP
from test_clients import ClientTest
from test_error_table import WorkerTest
from test_issuance import split, verify_strictly

PAGES = {"acme-conformance.md": 25, "pki-conformance.md": 35}  # lines of each
DER = Encoding.DER


class Page(unittest.TestCase):
    """Each line has tests, and each test that is named exists."""

    def rows(self, page):
        with open(os.path.join(TOP, "doc", page), encoding="utf-8") as source:
            return re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \|$", source.read(), re.M)

    def test_every_line_is_there_once(self):
        for page, lines in PAGES.items():
            self.assertEqual([int(number) for number, _, _ in self.rows(page)], list(range(1, lines + 1)), page)

    def test_every_name_exists(self):
        for page in PAGES:
            for number, _, tests in self.rows(page):
                names = re.findall(r"`([^`]+)`", tests)
                self.assertNotEqual(names, [], f"line {number} of {page} names no test")
                for name in names:
                    with self.subTest(page=page, line=number, name=name):
                        self.assertExists(name)

    def assertExists(self, name):
        """A file of the tree, or a test, or all of a class or module."""
        if "/" in name:
            self.assertTrue(os.path.exists(os.path.join(TOP, name)))
            return
        found = unittest.defaultTestLoader.loadTestsFromName(name)
        self.assertGreater(found.countTestCases(), 0)
        for test in found:
            self.assertNotIn("_FailedTest", type(test).__name__)


class Certbot(ClientTest):
    """An account from its first day to its last."""

    def obtained(self, name, directory=None):
        """`--server` once more: the last one counts."""
        self.certbot("certonly", "--standalone", "--agree-tos", "-m", "a@example.org", "-d", name, directory=directory)
        return f"{self.home}/config/live/{name}"

    def certbot(self, *arguments, directory=None):
        return self.run_client("certbot", *arguments, "--server", directory or self.directory(), "--config-dir", f"{self.home}/config",
                               "--work-dir", f"{self.home}/work", "--logs-dir", f"{self.home}/logs", "--non-interactive",
                               REQUESTS_CA_BUNDLE=self.stack.root_pem)

    def account(self):
        """Our client in the place of certbot's."""
        folder, = [place for place, _, files in os.walk(f"{self.home}/config/accounts") if "private_key.json" in files]
        with open(f"{folder}/private_key.json", encoding="utf-8") as source:
            jwk = {name: int.from_bytes(b64u_bytes(value), "big") for name, value in json.load(source).items() if name != "kty"}
        public = rsa.RSAPublicNumbers(jwk["e"], jwk["n"])
        private = rsa.RSAPrivateNumbers(jwk["p"], jwk["q"], jwk["d"], jwk["dp"], jwk["dq"], jwk["qi"], public).private_key()
        acme = Client(self.stack, self.profile, Key(f"RSA-{private.key_size}", private))
        with open(f"{folder}/regr.json", encoding="utf-8") as source:
            acme.kid = json.load(source)["uri"]
        return acme

    def test_the_shorthand_is_the_default_profile(self):
        name = "shorthand.example.org"
        live = self.obtained(name, f"{self.stack.url}/acme/directory")
        self.assertChain(f"{live}/fullchain.pem", name)
        self.assertEqual(self.stack.value("SELECT o.profile_id FROM acme_orders o WHERE o.certificate_id = "
                                          f"'{self.certificate(f'{live}/cert.pem')[0]}'"), "prof-test")

    def test_the_account_is_changed_and_ended(self):
        self.obtained("unregister.example.org")
        acme = self.account()
        self.certbot("update_account", "-m", "b@example.org")
        self.assertEqual(acme.post(acme.kid).json["contact"], ["mailto:b@example.org"])
        self.certbot("unregister")
        self.assertProblem(acme.post(acme.kid), 401, "unauthorized", "deactivated")
        self.assertProblem(acme.order("after.example.org"), 401, "unauthorized", "deactivated")
        self.assertProblem(Client(self.stack, self.profile, acme.key).post("/new-account", {"termsOfServiceAgreed": True}), 401, "unauthorized")

    def assertSeenRevoked(self, live):
        """By who asks openssl for OCSP and by who reads the list."""
        leaf = f"{live}/cert.pem"
        with open(leaf, "rb") as source:
            certificate = x509.load_pem_x509_certificate(source.read())
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        url = points[0].full_name[0].value

        def ocsp():
            done = subprocess.run(["openssl", "ocsp", "-issuer", f"{live}/chain.pem", "-CAfile", self.stack.root_pem, "-cert", leaf,
                                   "-url", f"{self.stack.http_url}/.well-known/pki/ocsp/iss-local"], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False)
            return "Response verify OK" in done.stdout and f"{leaf}: revoked" in done.stdout

        def listed():
            done = subprocess.run(["curl", "-sf", url], stdout=subprocess.PIPE, check=False)
            return done.returncode == 0 and x509.load_der_x509_crl(done.stdout).get_revoked_certificate_by_serial_number(
                certificate.serial_number) is not None

        self.stack.wait(ocsp, 120, "OCSP says so")
        self.stack.wait(listed, 120, "the list says so")

    def test_revocations_are_seen_and_not_repeated(self):
        for name, how in (("seen-account.example.org", ()), ("seen-key.example.org", ("--key-path",))):
            with self.subTest(name):
                live = self.obtained(name)
                how = [*how, f"{live}/privkey.pem"] if how else []
                self.certbot("revoke", "--cert-path", f"{live}/cert.pem", *how, "--reason", "keycompromise" if how else "superseded",
                             "--no-delete-after-revoke")
                self.assertSeenRevoked(live)
                with open(f"{live}/cert.pem", "rb") as source:
                    der = x509.load_pem_x509_certificate(source.read()).public_bytes(DER)
                self.assertProblem(self.account().revoke(der), 400, "alreadyRevoked")


class Doors(ProtocolTest):

    def test_another_profiles_account_finds_every_door_shut(self):
        """Under its true name, under a name that fits the addresses, and for what is there at its own addresses."""
        owner, stranger = self.client("prof-test"), self.client("prof-other")
        chain, done = owner.obtain("doors.example.org")
        order = owner.order("doors-2.example.org")
        authz = order.json["authorizations"][0]
        challenge = owner.post(authz).json["challenges"][0]["url"]
        der = x509.load_pem_x509_certificate(chain.encode()).public_bytes(DER)
        request = {"csr": b64u(csr(ec.generate_private_key(ec.SECP256R1()), ["doors-2.example.org"]))}
        forged = stranger.kid.replace(stranger.prefix, owner.prefix)
        for url, payload in ((owner.base + owner.prefix + "/new-order", {"identifiers": [{"type": "dns", "value": "x.example.org"}]}),
                             (owner.kid, None), (owner.kid, {"status": "deactivated"}), (order.headers["Location"], None), (authz, None),
                             (authz, {"status": "deactivated"}), (challenge, None), (challenge, {}), (order.json["finalize"], request),
                             (done["certificate"], None), (owner.base + owner.prefix + "/revoke-cert", {"certificate": b64u(der)})):
            with self.subTest(url, payload=payload):
                self.assertProblem(stranger.post(url, payload), 400, "malformed", "not an account URL of this profile")
                self.assertProblem(stranger.post(url, payload, kid=forged), 401, "unauthorized")
                if not url.endswith("/new-order"):
                    self.assertProblem(stranger.post(url.replace(owner.prefix, stranger.prefix), payload), 401, "unauthorized")
        self.assertProblem(stranger.revoke(der), 401, "unauthorized")
        self.assertEqual(owner.post(owner.kid).json["status"], "valid")
        self.assertEqual(owner.post(authz).json["status"], "valid")
        self.assertEqual(self.stack.value("SELECT count(*) FROM certificate_revocations WHERE serial_number = "
                                          f"'{x509.load_der_x509_certificate(der).serial_number:x}'"), "0")


class Nodes(WorkerTest):
    """A worker of its own process, with no past, is as good as another node: they share the database alone."""

    def captured(self, acme, name):
        return acme.jws(acme.base + acme.prefix + "/new-order", {"identifiers": [{"type": "dns", "value": name}]})

    def test_what_one_node_took_another_refuses(self):
        acme = self.client()
        path = acme.prefix + "/new-order"
        here, unspent = self.captured(acme, "node-1.example.org"), self.captured(acme, "node-2.example.org")
        self.assertEqual(acme.post_body(path, here).status, 201)
        with self.worker():
            self.assertProblem(acme.post_body(path, here), 400, "badNonce", "used before")
            self.assertEqual(acme.order("node-1.example.org").status, 201)  # with the nonce of the refusal
            self.assertEqual(acme.post_body(path, unspent).status, 201)  # a nonce of the first node
            nonce = acme.next_nonce
        self.assertProblem(acme.post_body(path, unspent), 400, "badNonce", "used before")
        acme.next_nonce = nonce
        self.assertEqual(acme.order("node-3.example.org").status, 201)  # a nonce of the second

    def test_the_hundred_and_first_order_of_an_hour(self):
        """By the limit that is set when nothing is said; a node that comes new counts on."""
        acme = self.client()
        began, made = time.monotonic(), 0

        def until_refused():
            nonlocal made
            while (answer := acme.order(f"hour-{made}.example.org")).status == 201:
                made += 1
                self.assertLessEqual(made, 100 + (time.monotonic() - began) / 36 + 1)  # one more each 36 s
            self.assertProblem(answer, 429, "rateLimited")
            self.assertGreater(int(answer.headers["Retry-After"]), 0)

        with self.worker(CERTCTL_ACME_SERVER_RATE_LIMIT_ORDERS_PER_HOUR=None):
            until_refused()
            self.assertGreaterEqual(made, 100)
        for _ in range(2):
            with self.worker(CERTCTL_ACME_SERVER_RATE_LIMIT_ORDERS_PER_HOUR=None):
                until_refused()


class CertManager(ChallengeTest):
    """cert-manager's library (golang.org/x/crypto/acme as it is forked there): its order of requests and the headers
    and members that it goes by. Not the controller itself, for which a cluster would be needed."""

    profile = "prof-proof-dns"

    def go(self, acme, url, payload=None):
        """One signed POST as the library makes it, which takes its next nonce from each answer."""
        answer = acme.post(url, payload, headers={"User-Agent": "cert-manager-challenges/v1.15.3 (linux/amd64) cert-manager/4ae7c4e"})
        self.assertIn(answer.status, (200, 201), answer)
        self.assertTrue(acme.next_nonce)
        return answer

    def account(self):
        """Registered by one controller; each other begins by asking whose key it is."""
        acme = super().client(self.profile, Key("RSA-2048"), register=False)
        directory = acme.raw("GET", acme.prefix + "/directory").json
        self.assertLessEqual({"newNonce", "newAccount", "newOrder", "revokeCert", "keyChange"}, set(directory))
        self.assertEqual(acme.post(directory["newAccount"], {"onlyReturnExisting": True}).type, "accountDoesNotExist")
        made = self.go(acme, directory["newAccount"], {"termsOfServiceAgreed": True, "contact": ["mailto:a@example.org"]})
        self.assertEqual((made.status, made.json["status"]), (201, "valid"))
        again = Client(self.stack, self.profile, acme.key)
        known = self.go(again, directory["newAccount"], {"onlyReturnExisting": True})
        self.assertEqual((known.status, known.headers["Location"]), (200, made.headers["Location"]))
        acme.kid = made.headers["Location"]
        return acme, directory

    def prove(self, acme, url):
        """The authorization is fetched, the one challenge accepted, and both are asked for until they are over."""
        authz = self.go(acme, url).json
        self.assertLessEqual({"identifier", "status", "challenges", "expires"}, set(authz))
        challenge = next(one for one in authz["challenges"] if one["type"] == "dns-01")
        self.names.txt.setdefault(f"_acme-challenge.{authz['identifier']['value']}", []).append(self.txt_value(acme, challenge["token"]))
        self.go(acme, challenge["url"], {})
        self.assertEqual(self.settled(acme, url)["status"], "valid")

    @staticmethod
    def txt_value(acme, token):
        return b64u(hashlib.sha256(f"{token}.{acme.key.thumbprint()}".encode()).digest())

    def test_from_order_to_secret(self):
        acme, directory = self.account()
        names = ("cert-manager.test", "*.cert-manager.test")
        identifiers = [{"type": "dns", "value": name} for name in names]
        order = self.go(acme, directory["newOrder"], {"identifiers": identifiers})
        self.assertEqual(order.status, 201)
        url = order.headers["Location"]
        for authorization in order.json["authorizations"]:
            self.prove(acme, authorization)
        ready = self.settled(acme, url)
        self.assertEqual(ready["status"], "ready", ready)
        self.assertEqual(self.go(acme, url).headers["Location"], url)  # the library takes the order's URI from here
        request = {"csr": b64u(csr(ec.generate_private_key(ec.SECP256R1()), names))}
        final = self.go(acme, ready["finalize"], request)
        self.assertEqual((final.headers["Location"], final.json["status"]), (url, "valid"))
        chain = self.go(acme, final.json["certificate"])
        self.assertEqual(chain.headers["Content-Type"], "application/pem-certificate-chain")
        self.assertTrue(verify_strictly(self.stack, chain.body.decode())[0])
        self.assertGreaterEqual(len(split(chain.body.decode())), 2)
        # A controller that was stopped before it wrote the Secret does the last steps again (cert-manager 758, 4697).
        self.assertEqual(self.go(acme, ready["finalize"], request).json["certificate"], final.json["certificate"])
        self.assertEqual(self.go(acme, self.go(acme, url).json["certificate"]).body, chain.body)
        self.assertEqual(self.stack.value("SELECT count(*) FROM certificate_versions v JOIN acme_orders o USING (certificate_id) "
                                          f"WHERE o.order_id = '{url.rsplit('/', 1)[1]}'"), "1")
        der = x509.load_pem_x509_certificate(chain.body).public_bytes(DER)
        self.go(acme, directory["revokeCert"], {"certificate": b64u(der), "reason": 0})
