"""Chains beside the CA's own: set on the host, offered with the download, chosen by clients (RFC 8555 section 7.4.2)."""
import datetime
import os
import re
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from test_clients import ClientTest
from test_issuance import split

DAY = datetime.timedelta(days=1)
USAGE = x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
                      data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False)


def pem(*certificates):
    return "".join(certificate.public_bytes(serialization.Encoding.PEM).decode() for certificate in certificates)


class Root:
    """A CA of somebody else, which certifies keys of ours."""

    def __init__(self, name):
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self.sign(self.name, self.key.public_key(), 2)

    def sign(self, subject, key, path_len, ski=None, begin=-DAY, end=300 * DAY, is_ca=True):
        now = datetime.datetime.utcnow()
        identifier = ski or x509.SubjectKeyIdentifier.from_public_key(key)
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key).serial_number(x509.random_serial_number())
                .not_valid_before(now + begin).not_valid_after(now + end)
                .add_extension(x509.BasicConstraints(is_ca, path_len if is_ca else None), True).add_extension(USAGE, True)
                .add_extension(identifier, False)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False).sign(self.key, hashes.SHA256()))

    def crossed(self, certificate, **other):
        """A certificate for the subject and key of this one."""
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        ski = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return self.sign(certificate.subject, certificate.public_key(), **{"path_len": basic.path_length, "ski": ski, **other})


class Chains(ClientTest):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ca = cls.stack.value("SELECT id FROM issuing_cas WHERE issuer_id = 'iss-local'")
        parts = split(cls.stack.value(f"SELECT replace(chain_pem, E'\\n', '#') FROM ca_instances WHERE id = '{cls.ca}'").replace("#", "\n"))
        cls.issuing, cls.root = (x509.load_pem_x509_certificate(part.encode()) for part in parts)
        cls.other, cls.old = Root("Other Root"), Root("Old Root")
        cls.by_other = pem(cls.other.crossed(cls.issuing), cls.other.certificate)
        cls.by_old = pem(cls.issuing, cls.old.crossed(cls.root), cls.old.certificate)

    @classmethod
    def environment(cls):
        with open(os.path.join(cls.stack.dir, "certctl.env"), encoding="utf-8") as source:
            env = dict(line.rstrip("\n").split("=", 1) for line in source if re.match(r"[A-Z_0-9]+=", line))
        return {**env, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}

    def admin(self, *arguments, text="", status=0):
        done = subprocess.run([os.path.join(self.stack.dir, "bin", "certctl-admin"), "ca", "chains", *arguments], env=self.environment(), cwd="/",
                              input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, status, done)
        return done

    def file(self, text):
        """Where certctl-ca may read it."""
        self.files = getattr(self, "files", 0) + 1
        path = os.path.join(self.stack.home, f"{type(self).__name__}-{self._testMethodName}-{self.files}.pem")
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        os.chmod(path, 0o644)
        self.addCleanup(os.remove, path)
        return path

    def set(self, *chains):
        self.addCleanup(self.admin, self.ca, "--none")
        self.admin(self.ca, *(self.file(chain) for chain in chains))

    def stored(self):
        return self.stack.value(f"SELECT cardinality(alternate_chains) FROM ca_instances WHERE id = '{self.ca}'")

    def alternates(self, answer):
        return [link[1:link.index(">")] for link in answer.links if link.endswith(';rel="alternate"')]

    def verifies(self, chain, root):
        """With this root alone, by a strict verifier."""
        leaf, *between = split(chain)
        done = subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", self.file(pem(root)), "-untrusted",
                               self.file("".join(between)), self.file(leaf)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_downloads(self):
        acme = self.client()
        _, order = acme.obtain("chains-1.example.org")
        url = order["certificate"]
        plain = acme.post(url)
        self.assertEqual(self.alternates(plain), [])
        self.assertProblem(acme.post(f"{url}/1"), 404, "malformed", "no such chain")
        self.set(self.by_other, self.by_old)
        own = acme.post(url)
        self.assertEqual((own.status, own.body), (200, plain.body))
        self.assertEqual(self.alternates(own), [f"{url}/1", f"{url}/2"])
        first, second = acme.post(f"{url}/1"), acme.post(f"{url}/2")
        for answer, others, root in ((own, [1, 2], self.root), (first, [0, 2], self.other.certificate), (second, [0, 1], self.old.certificate)):
            self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/pem-certificate-chain"))
            self.assertEqual(self.alternates(answer), [f"{url}/{n}" if n else url for n in others])
            self.assertIn(f'<{acme.base}{acme.prefix}/directory>;rel="index"', answer.links)
            self.verifies(answer.body.decode(), root)
            self.assertNotIn(pem(root), answer.body.decode())
        leaf = split(own.body.decode())[0]
        self.assertEqual(first.body.decode(), leaf + split(self.by_other)[0])
        self.assertEqual(second.body.decode(), leaf + "".join(split(self.by_old)[:2]))
        der = acme.post(f"{url}/2", headers={"Accept": "application/pkix-cert"})
        self.assertEqual((der.headers["Content-Type"], der.body), ("application/pkix-cert", x509.load_pem_x509_certificate(leaf.encode()).public_bytes(
            serialization.Encoding.DER)))
        self.assertProblem(acme.post(f"{url}/1", headers={"Accept": "text/html"}), 406, "malformed")
        self.assertProblem(acme.post(f"{url}/1", {}), 400, "malformed", "payload must be empty")
        # A later certificate has them too, in the family of paths that its client uses.
        _, later = acme.obtain("chains-2.example.org")
        self.assertEqual(self.alternates(acme.post(later["certificate"])), [f"{later['certificate']}/{n}" for n in (1, 2)])
        self.admin(self.ca, "--none")
        self.assertEqual(self.alternates(acme.post(url)), [])
        self.assertProblem(acme.post(f"{url}/1"), 404, "malformed", "no such chain")

    def test_numbers_and_owners(self):
        acme, other = self.client(), self.client()
        _, order = acme.obtain("chains-3.example.org")
        url = order["certificate"]
        self.set(self.by_other)
        for number in ("0", "2", "-1", "01", "+1", "1.0", "x", "1x", "9999999999", "99999999999999999999", "%31", "1/1"):
            with self.subTest(number):
                self.assertProblem(acme.post(f"{url}/{number}"), 404, "malformed")
        self.assertProblem(acme.post(f"{url[:url.rindex('/')]}/mc-0/1"), 404, "malformed", "no such certificate")
        for number in ("1", "2", "x"):  # whose it is comes before what there is
            self.assertProblem(other.post(f"{url}/{number}"), 401, "unauthorized", "does not own")
        self.assertEqual(acme.raw("GET", url[len(acme.base):] + "/1").status, 405)
        nonce = acme.nonce()
        self.assertEqual(acme.post(f"{url}/1", nonce=nonce).status, 200)
        self.assertProblem(acme.post(f"{url}/1", nonce=nonce), 400, "badNonce")

    def test_of_the_ca_that_signed(self):
        """Not of the one that would sign now, nor of the CA above."""
        acme = self.client()
        _, order = acme.obtain("chains-4.example.org")
        root = self.stack.value(f"SELECT parent_ca_id FROM intermediate_cas WHERE id = '{self.ca}'")
        self.addCleanup(self.admin, root, "--none")
        self.admin(root, self.file(pem(self.old.crossed(self.root), self.old.certificate)))
        self.assertEqual(self.alternates(acme.post(order["certificate"])), [])

    def test_what_is_set(self):
        self.set(self.by_other, self.by_old)
        shown = [line.split("\t") for line in self.admin(self.ca).stdout.splitlines()]
        self.assertEqual([line[:2] for line in shown], [["0", self.root.subject.rfc4514_string()], ["1", "CN=Other Root"], ["2", "CN=Old Root"]])
        self.assertEqual(shown[1][2], self.other.certificate.not_valid_after.strftime("%Y-%m-%dT%H:%M:%SZ"))
        told = self.stack.sql("SELECT actor_type, details->>'chains', event_category FROM audit_events WHERE action = 'ca_chains_set' "
                              f"AND resource_id = '{self.ca}' ORDER BY seq DESC LIMIT 1")
        self.assertEqual(told, [["User", '["CN=Other Root", "CN=Old Root"]', "config"]])
        self.admin(self.ca, "-", text=self.by_old)
        self.assertEqual(self.stored(), "1")
        self.assertEqual([line.split("\t")[1] for line in self.admin(self.ca).stdout.splitlines()][1:], ["CN=Old Root"])

    def test_what_is_refused(self):
        """Each is named, and what was set stays."""
        self.set(self.by_other)
        stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
        for about, text, says in (
                ("nothing", "hello", "expected CERTIFICATE block"),
                ("no certificate", "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n", ""),
                ("another key", pem(self.other.sign(self.issuing.subject, stranger, 0)), "not of the CA's subject and key"),
                ("another subject", pem(self.other.sign(self.root.subject, self.issuing.public_key(), 0)), "not of the CA's subject and key"),
                ("the root first", pem(self.other.certificate, self.other.crossed(self.issuing)), "not of the CA's subject and key"),
                ("another identifier", pem(self.other.crossed(self.issuing, ski=x509.SubjectKeyIdentifier(b"x" * 20))), "another subject key identifier"),
                ("no CA", pem(self.other.crossed(self.issuing, is_ca=False)), "is not a CA"),
                ("it has ended", pem(self.other.crossed(self.issuing, end=-DAY / 2)), "has expired"),
                ("it has not begun", pem(self.other.crossed(self.issuing, begin=DAY)), "is not yet valid"),
                ("a link is missing", pem(self.issuing, self.other.certificate), "certificate 2 of the file is not the issuer"),
                ("another of that name", pem(self.other.crossed(self.issuing), Root("Other Root").certificate), "is not the issuer"),
                ("no room below", pem(self.issuing, self.old.crossed(self.root, path_len=0)), "certificate 2 of the file allows 0 CAs below it, and has 1"),
                ("the CA's own", pem(self.issuing, self.root), "the same as chain 0"),
                ("and without its root", pem(self.issuing), "the same as chain 0"),
                ("too long", pem(*[self.issuing] * 9), "more than 8 certificates")):
            with self.subTest(about):
                path = self.file(text)
                said = self.admin(self.ca, path, status=1).stderr
                self.assertIn(says, said)
                self.assertIn(path, said)
                self.assertEqual(self.stored(), "1")
        twice = self.file(self.by_old)
        self.assertIn("the same as chain 1", self.admin(self.ca, twice, twice, status=1).stderr)
        self.assertIn("more than 8 chains", self.admin(self.ca, *[twice] * 9, status=1).stderr)
        self.assertIn("cannot be opened", self.admin(self.ca, "/nowhere/at/all.pem", status=1).stderr)
        self.assertIn("there is no CA", self.admin("ica-nobody", "--none", status=1).stderr)
        for arguments in ((), (self.ca, "--lost"), (self.ca, "--none", twice), (self.ca, twice, "--none")):
            self.admin(*arguments, status=64)
        self.assertEqual(self.stored(), "1")

    def test_no_responder_sets_them(self):
        for role in ("certctl_acme", "certctl_api", "certctl_pki", "certctl_jobs"):
            self.assertEqual(self.stack.value(f"SELECT has_column_privilege('{role}', 'ca_instances', 'alternate_chains', 'UPDATE')"), "f", role)

    def read(self, path):
        with open(path, encoding="utf-8") as source:
            return source.read()

    def test_lego_prefers(self):
        self.set(self.by_other, self.by_old)
        for number, (prefers, root) in enumerate((("Other Root", self.other), ("Old Root", self.old), ("Nobody", None))):
            name = f"lego-prefers-{number}.{self.domain}"
            self.run_client("lego", "--server", self.directory(), "--accept-tos", "--email", "a@mail.test", "--path", f"{self.home}/lego",
                            "--domains", name, "--http", "--http.port", "127.0.0.1:1", "run", "--preferred-chain", prefers,
                            LEGO_CA_CERTIFICATES=self.stack.root_pem)
            self.verifies(self.read(f"{self.home}/lego/certificates/{name}.crt"), root.certificate if root else self.root)

    def test_certbot_prefers(self):
        self.set(self.by_other, self.by_old)
        for number, (prefers, root) in enumerate((("Other Root", self.other), ("Old Root", self.old))):
            name = f"certbot-prefers-{number}.{self.domain}"
            self.certbot("certonly", "--webroot", "--webroot-path", self.home, "--agree-tos", "--email", "a@mail.test", "-d", name,
                         "--preferred-chain", prefers)
            self.verifies(self.read(f"{self.home}/config/live/{name}/fullchain.pem"), root.certificate)
