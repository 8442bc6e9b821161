"""The local issuer in its three modes, and what happens to CAs: made, certified elsewhere, rotated, retired (04 sections 3 and 5)."""
import atexit
import datetime
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

from acme_client import csr
from case import ENVIRONMENT, ProtocolTest
from stack import Stack
from test_issuance import split

HERE = os.path.dirname(os.path.abspath(__file__))

MODES = ("single", "adcs", "tree", "taken", "api", "spare", "crowd", "facts")
ISSUERS = "".join(
    f"INSERT INTO issuers (id, name, type) VALUES ('iss-{mode}', 'Issuer {mode}', 'GenericCA');"
    f"INSERT INTO certificate_profiles (id, name, issuer_id) VALUES ('prof-{mode}', 'Profile {mode}', 'iss-{mode}');"
    for mode in MODES)

ENTERPRISE = """
[ca]
default_ca = root
[root]
database = index.txt
new_certs_dir = .
serial = serial
certificate = root.pem
private_key = root.key
default_md = sha256
default_days = 400
policy = any
copy_extensions = none
unique_subject = no
[any]
commonName = supplied
organizationName = optional
[SubCA]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,digitalSignature,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
nameConstraints = critical,permitted;DNS:adcs.example.org,permitted;IP:192.0.2.0/255.255.255.0
[Leaf]
basicConstraints = CA:FALSE
[req]
distinguished_name = dn
[dn]
[v3_ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
"""


class Enterprise:
    """The enterprise's own root: openssl ca, as ADCS with its SubCA template would sign."""

    def __init__(self, base):
        self.home = tempfile.mkdtemp(prefix="enterprise-", dir=base)
        for name, text in (("openssl.cnf", ENTERPRISE), ("index.txt", ""), ("serial", "1000\n")):
            self.write(name, text)
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "root.key", "-out", "root.pem", "-days", "800",
                     "-subj", "/O=Enterprise/CN=Enterprise Root", "-extensions", "v3_ca", "-config", "openssl.cnf")

    def openssl(self, *arguments):
        done = subprocess.run(["openssl", *arguments], cwd=self.home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"openssl {arguments}: {done.stdout}")

    def write(self, name, text):
        path = os.path.join(self.home, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def read(self, name):
        with open(os.path.join(self.home, name), encoding="utf-8") as source:
            return source.read()

    def sign(self, request, template="SubCA"):
        """The certificate, and then the root's: the file that 3.4 wants."""
        self.write("sub.csr", request)
        self.openssl("ca", "-batch", "-config", "openssl.cnf", "-extensions", template, "-in", "sub.csr", "-out", "sub.pem", "-notext")
        return self.read("sub.pem") + self.read("root.pem")


class HierarchyTest(ProtocolTest):

    @classmethod
    def setUpClass(cls):
        if "stack" not in HierarchyTest.__dict__:
            stack = Stack(env=ENVIRONMENT, name="hierarchy")
            HierarchyTest.stack = stack
            stack.start()
            stack.sql(ISSUERS)
            HierarchyTest.enterprise = Enterprise(stack.home)
            atexit.register(stack.stop, keep=bool(os.environ.get("CERTCTL_CHECK_KEEP")))

    def environment(self):
        with open(os.path.join(self.stack.dir, "certctl.env"), encoding="utf-8") as source:
            env = dict(line.rstrip("\n").split("=", 1) for line in source if re.match(r"[A-Z_0-9]+=", line))
        return {**env, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}

    def admin(self, *arguments, text="", check=True):
        """certctl-admin ca as root on the host; what comes on stdin is `text`."""
        done = subprocess.run([os.path.join(self.stack.dir, "bin", "certctl-admin"), "ca", *arguments], env=self.environment(), cwd="/",
                              input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"certctl-admin ca {arguments}: {done.stderr}")
        return done

    def as_ca(self, *command):
        return ["setpriv", "--reuid=certctl-ca", "--regid=certctl-ca", "--init-groups", "--", *command] if os.geteuid() == 0 else list(command)

    def job(self, **more):
        """The hierarchy job by hand, in the role of its user."""
        return subprocess.Popen(self.as_ca(os.path.join(self.stack.dir, "bin", "certctl-job-ca-hierarchy"), "--force"), cwd="/",
                                env={**self.environment(), "PGUSER": "certctl_ca", **more}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def request(self, *arguments, text=""):
        """Asked, approved on the host; (state, error) of the request in the end, and its id."""
        request = self.admin(*arguments, text=text).stdout.strip()
        self.assertRegex(request, r"^car-\w{26}$")
        self.admin("approve", request, "--yes")
        states = ("done", "failed")
        self.stack.wait(lambda: self.stack.value(f"SELECT state FROM ca_requests WHERE id = '{request}'") in states, what=f"end of {request}")
        return request

    def done(self, *arguments, text=""):
        request = self.request(*arguments, text=text)
        state, error = self.stack.sql(f"SELECT state, error FROM ca_requests WHERE id = '{request}'")[0]
        self.assertEqual((state, error), ("done", ""), arguments)
        return request

    def refused(self, detail, *arguments, text="", status=None):
        request = self.request(*arguments, text=text)
        state, error, code = self.stack.sql(f"SELECT state, error, error_status FROM ca_requests WHERE id = '{request}'")[0]
        self.assertEqual(state, "failed", arguments)
        self.assertIn(detail, error)
        if status:
            self.assertEqual(code, str(status), error)
        self.assertEqual(self.admin("result", request, check=False).returncode, 1)

    def made(self, request):
        return self.stack.value(f"SELECT intermediate_ca_id FROM ca_requests WHERE id = '{request}'")

    def issuing(self, mode):
        return self.stack.value(f"SELECT id FROM issuing_cas WHERE issuer_id = 'iss-{mode}'")

    def chain_of(self, ca):
        return self.stack.value(f"SELECT replace(chain_pem, E'\\n', '#') FROM ca_instances WHERE id = '{ca}'").replace("#", "\n")

    def certificate_of(self, ca):
        return x509.load_pem_x509_certificate(split(self.chain_of(ca))[0].encode())

    def state_of(self, ca):
        return self.stack.sql(f"SELECT c.state, coalesce(m.state, c.state) FROM ca_instances c LEFT JOIN intermediate_cas m ON m.id = c.id "
                              f"WHERE c.id = '{ca}'")[0]

    def facts_of(self, ca):
        """What the signer's file says of a CA's key."""
        with open(self.stack.value(f"SELECT key_ref FROM ca_instances WHERE id = '{ca}'")[len("file:"):] + ".facts", encoding="utf-8") as source:
            return json.load(source)

    def signs_leaf(self, ca, name="lost.example.org"):
        """What the signer says to a responder that asks for a leaf whatever the database says: the certificate, or its refusal."""
        build = os.environ.get("CERTCTL_RUN_BUILD") or os.path.join(os.path.dirname(os.path.dirname(HERE)), "build")
        program = shutil.copy(os.path.join(build, "tests", "protocol", "lost-responder"), os.path.join(self.stack.home, "lost-responder"))
        command = [program, os.path.join(self.stack.dir, "run", "signer.sock"), self.stack.value(f"SELECT key_ref FROM ca_instances WHERE id = '{ca}'"),
                   name]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=certctl-acme", "--regid=certctl-acme", "--init-groups", "--", *command]
        done = subprocess.run(command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        return done.stdout or done.stderr

    def closed(self, *cas):
        """The signer has been told that they are retired, and holds to it."""
        due = "SELECT count(*) FROM ca_instances WHERE facts_close_due IS NOT NULL AND id IN ({})".format(", ".join(f"'{ca}'" for ca in cas))
        self.stack.wait(lambda: self.stack.value(due) == "0", what="closed facts")
        for ca in cas:
            self.assertIs(self.facts_of(ca).get("retired"), True, ca)
            self.assertIn("the CA is retired: it signs no certificate any more", self.signs_leaf(ca))

    def audit(self, request):
        return [row[0] for row in self.stack.sql(f"SELECT action FROM audit_events WHERE request_id = '{request}' ORDER BY seq")]

    def crl(self, ca):
        """The list of a CA by plain http, once it is there."""
        found = {}

        def there():
            try:
                with urllib.request.urlopen(f"{self.stack.http_url}/.well-known/pki/crl/{ca}", timeout=60) as answer:
                    found["crl"] = x509.load_der_x509_crl(answer.read())
            except OSError:
                return False
            return True

        self.stack.wait(there, what=f"CRL of {ca}")
        return found["crl"]

    def verify(self, leaf_chain, ca_chain, java=True, gnutls=True):
        """Every verifier at hand accepts leaf, CAs and root (the last of ca_chain)."""
        leaf, *between = split(leaf_chain)
        cas = split(ca_chain)
        between = between or cas[:-1]
        with tempfile.TemporaryDirectory() as folder:
            paths = {}
            for name, text in (("leaf", leaf), ("between", "".join(p for p in between if p != cas[-1])), ("root", cas[-1])):
                paths[name] = os.path.join(folder, name + ".pem")
                with open(paths[name], "w", encoding="utf-8") as out:
                    out.write(text)
            whole = os.path.join(folder, "whole.pem")
            with open(whole, "w", encoding="utf-8") as out:
                out.write(leaf + "".join(p for p in between if p != cas[-1]))
            commands = [["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", paths["root"],
                         *(["-untrusted", paths["between"]] if os.path.getsize(paths["between"]) else []), paths["leaf"]],
                        *([["certtool", "--verify", "--load-ca-certificate", paths["root"], "--infile", whole]] if gnutls else [])]
            if java and os.environ.get("CERTCTL_TEST_JAVA") and shutil.which("java"):
                commands.append(["java", os.path.join(HERE, "PkixCheck.java"), paths["root"], whole])
            for command in commands:
                said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
                self.assertEqual(said.returncode, 0, f"{command}: {said.stdout}")

    def issue(self, mode, *names, java=True):
        """Through ACME; the chain holds against the issuer's CA."""
        acme = self.client(f"prof-{mode}")
        chain, _ = acme.obtain(*names)
        self.verify(chain, self.chain_of(self.issuing(mode)), java)
        return chain


class Single(HierarchyTest):
    """One CA that signs leaves itself."""

    def answered(self, leaf, ca_id, status):
        """Under the issuer's name, by the responder of the key that signed it and by no other."""
        ca = self.certificate_of(ca_id)
        body = ocsp.OCSPRequestBuilder().add_certificate(leaf, ca, hashes.SHA256()).build().public_bytes(serialization.Encoding.DER)
        seen = []

        def said():
            wire = http.client.HTTPConnection("localhost", self.stack.http_port, timeout=60)
            try:
                wire.request("POST", "/.well-known/pki/ocsp/iss-single", body, {"Content-Type": "application/ocsp-request"})
                seen.append(ocsp.load_der_ocsp_response(wire.getresponse().read()))
            finally:
                wire.close()
            return seen[-1].response_status == ocsp.OCSPResponseStatus.SUCCESSFUL and seen[-1].certificate_status == status
        self.stack.wait(said, what=f"OCSP says {status}")
        responder = seen[-1].certificates[0]
        self.assertEqual(seen[-1].serial_number, leaf.serial_number)
        self.assertEqual(self.stack.sql(f"SELECT ca_id FROM ocsp_responders WHERE cert_serial = '{responder.serial_number:x}'"), [[ca_id]])
        ca.public_key().verify(responder.signature, responder.tbs_certificate_bytes, ec.ECDSA(responder.signature_hash_algorithm))
        responder.public_key().verify(seen[-1].signature, seen[-1].tbs_response_bytes, ec.ECDSA(seen[-1].signature_hash_algorithm))

    def test_0_jobs_at_once_make_one_ca_for_a_crowd(self):
        """However many hosts carry the request out; then fifty clients at once, each of whose leaves holds (04 section 18)."""
        request = self.admin("self-signed", "--issuer=iss-crowd", "--cn=Crowd CA").stdout.strip()
        hosts = [os.path.join(self.stack.dir, "hosts", f"ca-{number}") for number in range(4)]  # each its own lock
        for host in hosts:
            os.makedirs(os.path.join(host, "jobs"), exist_ok=True)
            for path in (host, os.path.join(host, "jobs")):
                os.chmod(path, 0o777)
        self.stack.kill("certctl-job-ca-hierarchy")  # the one that lingers has the lock of all hosts
        self.admin("approve", request, "--yes")
        for job in [self.job(CERTCTL_RUNTIME_DIR=host) for host in hosts]:
            job.wait(timeout=60)
        self.stack.wait(lambda: self.stack.value(f"SELECT state FROM ca_requests WHERE id = '{request}'") in ("done", "failed"), what="its end")
        self.assertEqual(self.stack.sql(f"SELECT state, error FROM ca_requests WHERE id = '{request}'"), [["done", ""]])
        self.assertEqual(self.audit(request), ["ca_bootstrap"])
        self.assertEqual(self.stack.value("SELECT count(*) FROM ca_instances WHERE issuer_id = 'iss-crowd'"), "1")
        self.assertEqual(len([key for key in self.stack.ca_keys if "crowd" in os.path.basename(key)]), 1)
        chains = self.at_once([lambda number=number: self.client("prof-crowd").obtain(f"crowd-{number}.example.org")[0] for number in range(50)])
        with tempfile.TemporaryDirectory() as folder:
            for number, chain in enumerate([*chains, self.chain_of(self.issuing("crowd"))]):
                with open(os.path.join(folder, f"{number}.pem"), "w", encoding="utf-8") as out:
                    out.write(split(chain)[0])
            said = subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", "50.pem", *(f"{number}.pem" for number in range(50))], cwd=folder,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual((said.returncode, said.stdout.count(": OK")), (0, 50), said.stdout)
        self.assertEqual(len({x509.load_pem_x509_certificate(split(chain)[0].encode()).serial_number for chain in chains}), 50)

    def test_1_self_signed_and_rotated(self):
        request = self.done("self-signed", "--issuer=iss-single", "--cn=Single CA", "--organization=Example")
        self.assertEqual(self.audit(request), ["ca_bootstrap"])
        first = self.issuing("single")
        self.assertRegex(first, r"^ca-[0-9a-f]{16}$")
        ca = self.certificate_of(first)
        self.assertEqual(ca.subject, ca.issuer)
        self.assertEqual((ca.not_valid_after - ca.not_valid_before).days, 3649)
        acme = self.client("prof-single")
        chain, _ = acme.obtain("a.single.example.org")
        self.verify(chain, self.chain_of(first))
        leaf = x509.load_pem_x509_certificate(split(chain)[0].encode())
        points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        self.assertIn(f"/crl/{first}", points[0].full_name[0].value)

        self.refused("has an active CA already", "self-signed", "--issuer=iss-single", "--cn=Another", status=409)
        request = self.done("rotate", first)
        self.assertEqual(self.audit(request), ["ca_instance_activated", "intermediate_ca_retiring"])
        second = self.issuing("single")
        self.assertNotEqual(first, second)
        self.assertEqual(self.certificate_of(second).subject, ca.subject)
        self.assertEqual(self.state_of(first)[0], "retiring")
        self.issue("single", "b.single.example.org")

        # The old leaf and a new one both verify, each below its own CA, and both are revoked by their own.
        self.verify(chain, self.chain_of(first))
        new = x509.load_pem_x509_certificate(split(acme.obtain("c.single.example.org")[0])[0].encode())
        self.answered(leaf, first, ocsp.OCSPCertStatus.GOOD)
        self.answered(new, second, ocsp.OCSPCertStatus.GOOD)
        self.assertEqual(acme.revoke(new.public_bytes(serialization.Encoding.DER), 4).status, 200)
        self.stack.wait(lambda: self.crl(second).get_revoked_certificate_by_serial_number(new.serial_number), what="the new serial on the new CA's list")
        self.assertIsNone(self.crl(first).get_revoked_certificate_by_serial_number(new.serial_number))
        self.answered(new, second, ocsp.OCSPCertStatus.REVOKED)
        # The old key still answers for what it signed.
        self.assertEqual(acme.revoke(leaf.public_bytes(serialization.Encoding.DER), 4).status, 200)
        self.answered(leaf, first, ocsp.OCSPCertStatus.REVOKED)
        self.stack.wait(lambda: self.crl(first).get_revoked_certificate_by_serial_number(leaf.serial_number), what="the serial on its own CA's list")
        self.assertIsNone(self.crl(second).get_revoked_certificate_by_serial_number(leaf.serial_number))
        self.assertTrue(self.crl(first).is_signature_valid(ca.public_key()))
        self.assertTrue(self.crl(second).is_signature_valid(self.certificate_of(second).public_key()))

    def test_2_retired_for_good(self):
        first = self.stack.value("SELECT id FROM ca_instances WHERE issuer_id = 'iss-single' AND state = 'retiring'")
        self.refused("already retiring", "retire", first, status=409)
        request = self.done("retire", first, "--confirm")
        self.assertEqual(self.audit(request), ["intermediate_ca_retired"])
        self.assertEqual(self.state_of(first)[0], "retired")
        self.closed(first)
        again = self.admin("retire", first, "--confirm")
        self.assertEqual(again.stdout, "")
        self.assertIn(f"{first} is retired already, and its signer signs no certificate with it", again.stderr)
        # Its CRL goes on, as long as its certificate lives.
        before = self.crl(first).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        self.stack.sql(f"UPDATE ca_instances SET crl_dirty_since = now() - interval '1 min' WHERE id = '{first}'")
        self.stack.wait(lambda: self.crl(first).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number > before, what="one more CRL")
        self.assertEqual(self.state_of(self.issuing("single"))[0], "active")
        self.issue("single", "c.single.example.org")

    def test_3_issues_until_it_is_retired(self):
        second = self.issuing("single")
        self.done("rotate", second)
        third = self.issuing("single")
        self.done("retire", third)
        self.assertEqual([self.state_of(ca)[0] for ca in (second, third)], ["retiring", "retiring"])
        # The one in force issues on; the one that was replaced does not come back.
        self.assertEqual(self.issuing("single"), third)
        self.issue("single", "d.single.example.org")
        self.done("retire", third, "--confirm")
        self.assertIsNone(self.issuing("single"))
        self.closed(third)
        acme = self.client("prof-single")
        order = acme.order("e.single.example.org")
        self.assertGreaterEqual(acme.finalize(order.json, csr(ec.generate_private_key(ec.SECP256R1()), ["e.single.example.org"])).status, 400)


class Adcs(HierarchyTest):
    """A sub-CA under an enterprise root."""

    def test_1_certified_elsewhere(self):
        request = self.done("csr", "--issuer=iss-adcs", "--cn=ADCS Sub CA", "--organization=Example", "--path-len=0", "--algorithm=RSA-3072")
        self.assertEqual(self.audit(request), ["ca_csr_created"])
        pem = self.admin("result", request).stdout
        asked = x509.load_pem_x509_csr(pem.encode())
        self.assertTrue(asked.is_signature_valid)
        self.assertEqual(asked.public_key().key_size, 3072)
        basic = asked.extensions.get_extension_for_class(x509.BasicConstraints)
        self.assertTrue(basic.critical)
        self.assertEqual((basic.value.ca, basic.value.path_length), (True, 0))
        usage = asked.extensions.get_extension_for_class(x509.KeyUsage).value
        self.assertTrue(usage.key_cert_sign and usage.crl_sign)

        # What the enterprise must not send back.
        self.refused("IsCA=false", "import", f"--request={request}", "--chain=-", text=self.enterprise.sign(pem, "Leaf"), status=400)
        good = self.enterprise.sign(pem)
        sub, root = split(good)
        self.refused("not the issuer of the one before it", "import", f"--request={request}", "--chain=-", text=sub + self.strange(), status=400)
        self.refused("does not match", "import", "--issuer=iss-adcs", "--key=" + self.other_key(), "--chain=-", text=good, status=400)
        self.assertIsNone(self.issuing("adcs"))

        done = self.done("import", f"--request={request}", "--chain=-", text=good)
        self.assertEqual(self.audit(done), ["ca_instance_activated"])
        self.assertEqual(len(split(self.chain_of(self.issuing("adcs")))), 2)
        self.assertEqual(split(self.chain_of(self.issuing("adcs")))[1], root)
        self.issue("adcs", "a.adcs.example.org", "192.0.2.33")

    def strange(self):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Stranger")])
        now = datetime.datetime.utcnow()
        made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
                .not_valid_before(now).not_valid_after(now.replace(year=now.year + 1))
                .add_extension(x509.BasicConstraints(True, None), True)
                .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True).sign(key, hashes.SHA256()))
        return made.public_bytes(serialization.Encoding.PEM).decode()

    def other_key(self):
        return self.stack.value("SELECT key_ref FROM ca_instances WHERE issuer_id = 'iss-local' ORDER BY id LIMIT 1")

    def test_2_the_constraints_of_its_certificate_bind_every_leaf(self):
        """Of all kinds: the DNS names and the addresses that the enterprise permitted."""
        for names in (("www.example.com",), ("a.adcs.example.org", "192.0.3.1"), ("*.example.org",)):
            acme = self.client("prof-adcs")
            order = acme.order(*names)
            answer = acme.finalize(order.json, csr(ec.generate_private_key(ec.SECP256R1()), list(names)))
            self.assertProblem(answer, 400, "rejectedIdentifier", "the CA's")
        self.issue("adcs", "b.adcs.example.org")

    def test_3_rotated_by_the_same_two_commands(self):
        first = self.issuing("adcs")
        self.refused("ask it by ca csr", "rotate", first, status=409)
        request = self.done("csr", "--issuer=iss-adcs", "--cn=ADCS Sub CA", "--path-len=0")
        self.done("import", f"--request={request}", "--chain=-", text=self.enterprise.sign(self.admin("result", request).stdout))
        self.assertNotEqual(self.issuing("adcs"), first)
        self.assertEqual(self.state_of(first)[0], "retiring")
        self.issue("adcs", "c.adcs.example.org")
        self.assertTrue(self.crl(first).is_signature_valid(self.certificate_of(first).public_key()))

    def test_4_a_key_has_one_ca(self):
        """Whom the enterprise certifies anew with the old key would take the old one's facts, numbers of lists and OCSP answers."""
        ca = self.issuing("adcs")
        before = self.facts_of(ca)
        key, request = self.stack.sql(f"SELECT c.key_ref, r.id FROM ca_instances c JOIN ca_requests r ON r.key_ref = c.key_ref AND r.kind = 'csr' WHERE c.id = '{ca}'")[0]
        again = self.enterprise.sign(self.admin("result", request).stdout)
        self.refused(f"CA {ca} has that key already", "import", f"--request={request}", "--chain=-", text=again, status=409)
        self.refused(f"CA {ca} has that key already", "import", "--issuer=iss-taken", f"--key={key}", "--chain=-", text=again, status=409)
        self.assertEqual((self.issuing("adcs"), self.facts_of(ca)), (ca, before))
        self.issue("adcs", "d.adcs.example.org")


class Taken(HierarchyTest):
    """A key that was there before, with its certificate."""

    def test_import_of_a_key(self):
        folder = os.path.join(self.stack.dir, "state", "ca")
        path = os.path.join(folder, "old.key")
        self.enterprise.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)
        os.chmod(path, 0o644)
        if os.geteuid() == 0:
            shutil.chown(path, "certctl-signer", "certctl-signer")
        self.enterprise.openssl("req", "-x509", "-new", "-key", path, "-out", "old.pem", "-days", "300", "-subj", "/CN=Old CA",
                                "-extensions", "v3_ca", "-config", "openssl.cnf")
        pem = self.enterprise.read("old.pem")
        request = self.admin("import", "--issuer=iss-taken", f"--key=file:{path}", "--chain=-", text=pem).stdout.strip()
        shown = self.admin("approve", request, "--yes").stdout
        self.assertIn("Old CA", shown)
        time.sleep(1)
        # A loose mode is no refusal for good: it can be tightened, and the request goes on.
        self.assertEqual(self.stack.value(f"SELECT state FROM ca_requests WHERE id = '{request}'"), "approved")
        os.chmod(path, 0o600)
        self.stack.wait(lambda: self.stack.value(f"SELECT state FROM ca_requests WHERE id = '{request}'") == "done", what="the import")
        self.issue("taken", "a.taken.example.org")
        self.assertTrue(os.path.exists(path))


class Tree(HierarchyTest):
    """A hierarchy of three levels with constraints."""

    def ca(self, name):
        return self.stack.value(f"SELECT id FROM intermediate_cas WHERE owning_issuer_id = 'iss-tree' AND name = '{name}'")

    def test_1_a_root_from_elsewhere_and_what_is_below(self):
        folder = os.path.join(self.stack.dir, "state", "ca")
        path = os.path.join(folder, "tree-root.key")
        self.enterprise.openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", path)
        os.chmod(path, 0o600)
        if os.geteuid() == 0:
            shutil.chown(path, "certctl-signer", "certctl-signer")
        self.enterprise.write("tree.cnf", ENTERPRISE.replace("CA:TRUE\nkeyUsage = critical,keyCertSign", "CA:TRUE,pathlen:2\nkeyUsage = critical,keyCertSign"))
        self.enterprise.openssl("req", "-x509", "-new", "-key", path, "-out", "tree.pem", "-days", "3000", "-subj", "/CN=Tree Root",
                                "-extensions", "v3_ca", "-config", "tree.cnf")
        pem = self.enterprise.read("tree.pem")
        self.refused("not self-signed", "import", "--issuer=iss-tree", "--tree", f"--key=file:{path}", "--chain=-",
                     text=self.enterprise.sign(self.leaf_csr()), status=400)
        request = self.done("import", "--issuer=iss-tree", "--tree", "--name=root", f"--key=file:{path}", "--chain=-", text=pem)
        self.assertEqual(self.audit(request), ["intermediate_ca_root_created"])
        self.assertEqual(self.stack.value("SELECT hierarchy_mode FROM issuers WHERE id = 'iss-tree'"), "tree")

        root = self.ca("root")
        request = self.done("create", f"--parent={root}", "--cn=Policy CA", "--name=policy", "--permit=tree.example.org", "--exclude=secret.tree.example.org")
        self.assertEqual(self.audit(request), ["intermediate_ca_child_created"])
        policy = self.certificate_of(self.made(request))
        self.assertEqual(policy.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length, 1)
        self.done("create", f"--parent={self.ca('policy')}", "--cn=Tree Issuing CA", "--name=issuing", "--permit=a.tree.example.org",
                  "--permit=b.tree.example.org", "--exclude=secret.tree.example.org", "--days=300")
        issuing = self.certificate_of(self.ca("issuing"))
        self.assertEqual(issuing.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length, 0)
        constraints = issuing.extensions.get_extension_for_class(x509.NameConstraints)
        self.assertTrue(constraints.critical)
        self.assertEqual([n.value for n in constraints.value.permitted_subtrees], ["a.tree.example.org", "b.tree.example.org"])
        self.assertEqual(self.issuing("tree"), self.ca("issuing"))
        self.assertEqual(len(split(self.chain_of(self.ca("issuing")))), 3)
        self.issue("tree", "www.a.tree.example.org", "a.tree.example.org")
        # Java 17 keeps the first of several permitted subtrees that narrow one above, and forgets the others.
        self.issue("tree", "www.a.tree.example.org", "b.tree.example.org", java=False)

    def leaf_csr(self):
        key = ec.generate_private_key(ec.SECP256R1())
        return (x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Sub")]))
                .sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode())

    def test_2_refusals_name_the_dimension(self):
        root, policy, issuing = (self.ca(name) for name in ("root", "policy", "issuing"))
        before = self.stack.value("SELECT count(*) FROM intermediate_cas"), self.keys()
        for detail, status, *arguments in (
                ("PathLenConstraint, which is 0", 400, f"--parent={issuing}", "--cn=X"),
                ("PathLenConstraint, which is 1", 400, f"--parent={policy}", "--cn=X", "--path-len=1"),
                ("PathLenConstraint, which is 2", 400, f"--parent={root}", "--cn=X", "--path-len=7"),
                ('permitted_dns holds "example.org"', 400, f"--parent={policy}", "--cn=X", "--permit=example.org"),
                ('permitted_dns holds "xtree.example.org"', 400, f"--parent={policy}", "--cn=X", "--permit=xtree.example.org"),
                ('excluded_dns lacks "secret.tree.example.org"', 400, f"--parent={policy}", "--cn=X", "--exclude=other.tree.example.org"),
                ("of that name", 409, f"--parent={policy}", "--cn=X", "--name=issuing")):
            with self.subTest(arguments):
                self.refused(detail, "create", *arguments, status=status)
        self.assertEqual((self.stack.value("SELECT count(*) FROM intermediate_cas"), self.keys()), before)
        for arguments, word in ((("create", "--parent=ica-none", "--cn=X"), "there is no CA"),
                                (("create", f"--parent={root}", "--cn=X", "--algorithm=DSA"), "algorithm"),
                                (("create", f"--parent={root}", "--cn=X", "--driver=cloud"), "driver"),
                                (("create", f"--parent={root}", "--cn=X", "--days=99999"), "usage"),
                                (("create", f"--parent={root}", "--cn=X", "--permit=*.example"), "no DNS name"),
                                (("create", f"--parent={root}"), "common_name required"),
                                (("retire", root, "--days=3"), "usage"),
                                (("import", "--request=car-none", "--chain=-"), "no request of kind csr"),
                                (("sign", f"--parent={root}", "--csr=/nonexistent"), "cannot be opened")):
            with self.subTest(arguments):
                done = self.admin(*arguments, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(word, done.stderr + done.stdout)

    def keys(self):
        return sorted(name for name in os.listdir(os.path.join(self.stack.dir, "state", "ca")) if name.endswith(".key"))

    def test_3_constraints_bind_leaves_in_the_signer(self):
        acme = self.client("prof-tree")
        for name in ("c.tree.example.org", "example.org", "xa.tree.example.org"):
            order = acme.order(name)
            answer = acme.finalize(order.json, csr(ec.generate_private_key(ec.SECP256R1()), [name]))
            self.assertProblem(answer, 400, "rejectedIdentifier", "outside the CA's permitted names")
        self.assertEqual(self.stack.value("SELECT count(*) FROM certificate_versions v JOIN managed_certificates m ON m.id = v.certificate_id "
                                          "WHERE m.common_name IN ('c.tree.example.org', 'example.org', 'xa.tree.example.org')"), "0")

    def test_4_a_ca_elsewhere_asks_ours(self):
        request = self.done("sign", f"--parent={self.ca('policy')}", "--csr=-", "--name=partner", "--days=200", text=self.leaf_csr())
        made = self.made(request)
        sub, *above = split(self.admin("result", request).stdout)
        ca = x509.load_pem_x509_certificate(sub.encode())
        self.assertEqual(ca.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length, 0)
        self.assertEqual(len(above), 2)
        self.assertEqual(self.stack.sql(f"SELECT key_driver_id, (SELECT count(*) FROM ca_instances WHERE id = m.id) FROM intermediate_cas m "
                                        f"WHERE id = '{made}'"), [["external", "0"]])
        self.assertEqual(self.issuing("tree"), self.ca("issuing"))
        broken = self.leaf_csr().replace("MI", "MJ", 1)
        done = self.admin("sign", f"--parent={self.ca('policy')}", "--csr=-", "--name=broken", text=broken)
        approved = self.admin("approve", done.stdout.strip(), "--yes", check=False)
        self.assertNotEqual(approved.returncode, 0)
        self.admin("refuse", done.stdout.strip())

    def test_4_constraints_of_every_kind(self):
        """Permitted and excluded, within the parent's of the same kind, in the certificate, and held against leaves as every verifier holds them."""
        permits = ("kinds.example.org", "IP:192.0.2.0/24", "IP:2001:db8::/32", "email:kinds.example.org", "URI:.kinds.example.org")
        excludes = ("no.kinds.example.org", "IP:192.0.2.128/25", "email:root@kinds.example.org", "URI:no.kinds.example.org")
        upper = self.made(self.done("create", f"--parent={self.ca('root')}", "--cn=Kinds Policy", "--path-len=1", *(f"--permit={one}" for one in permits)))
        for detail, *arguments in (('permitted_dns holds "IP:192.0.0.0/16"', "--permit=IP:192.0.0.0/16"),
                                   ('permitted_dns holds "email:other.example.org"', "--permit=email:other.example.org"),
                                   ('permitted_dns holds "URI:kinds.example.org"', "--permit=URI:kinds.example.org")):
            self.refused(detail, "create", f"--parent={upper}", "--cn=X", *arguments, status=400)
        for wrong in ("IP:192.0.2.1/24", "IP:192.0.2.0", "email:*.example.org", "URI:https://kinds.example.org/"):
            done = self.admin("create", f"--parent={upper}", "--cn=X", f"--exclude={wrong}", check=False)
            self.assertIn(f'excluded_dns: "{wrong}"', done.stderr)
        below = self.made(self.done("create", f"--parent={upper}", "--cn=Kinds Below", "--permit=IP:192.0.2.0/25"))
        self.assertEqual(json.loads(self.stack.value(f"SELECT name_constraints FROM intermediate_cas WHERE id = '{below}'")),
                         [{"permitted": ["IP:192.0.2.0/25", *(one for one in permits if not one.startswith("IP:"))]}])
        ca = self.made(self.done("create", f"--parent={self.ca('root')}", "--cn=Kinds", "--path-len=0", *(f"--permit={one}" for one in permits),
                                 *(f"--exclude={one}" for one in excludes)))
        constraints = self.certificate_of(ca).extensions.get_extension_for_class(x509.NameConstraints)
        self.assertTrue(constraints.critical)
        self.assertEqual([str(name.value) for name in constraints.value.permitted_subtrees], [one.split(":", 1)[-1] if one[:3] != "IP:" else one[3:] for one in permits])
        self.assertEqual([str(name.value) for name in constraints.value.excluded_subtrees], [one.split(":", 1)[-1] if one[:3] != "IP:" else one[3:] for one in excludes])
        self.assertEqual(json.loads(self.stack.value(f"SELECT name_constraints FROM intermediate_cas WHERE id = '{ca}'")),
                         [{"permitted": list(permits), "excluded": list(excludes)}])
        for name, bound in (("kinds.example.com", "permitted names"), ("x.no.kinds.example.org", "excluded names"),
                            ("IP:198.51.100.1", "permitted addresses"), ("IP:192.0.2.129", "excluded addresses"), ("IP:2001:db9::1", "permitted addresses"),
                            ("email:a@x.kinds.example.org", "permitted mailboxes"), ("email:root@kinds.example.org", "excluded mailboxes"),
                            ("URI:https://kinds.example.org/", "permitted URIs"), ("URI:https://no.kinds.example.org/", "excluded URIs"),
                            ("URI:urn:kinds.example.org", "permitted URIs")):
            with self.subTest(name):
                self.assertIn(f"CA's {bound}", self.signs_leaf(ca, name))
        for name in ("www.kinds.example.org", "IP:192.0.2.1", "IP:2001:db8::1", "email:a@kinds.example.org", "URI:https://www.kinds.example.org/"):
            with self.subTest(name):
                # GnuTLS knows no constraints of URIs, and so accepts no certificate with a URI below them.
                self.verify(self.signs_leaf(ca, name), self.chain_of(ca), gnutls=not name.startswith("URI:"))
        for one in (ca, below, upper):
            self.done("retire", one)
            self.done("retire", one, "--confirm")

    def test_5_rotated_and_retired(self):
        old = self.ca("issuing")
        request = self.done("rotate", old)
        self.assertEqual(self.audit(request), ["intermediate_ca_child_created", "intermediate_ca_retiring"])
        new = self.made(request)
        self.assertEqual(self.stack.value(f"SELECT name FROM intermediate_cas WHERE id = '{new}'"), "issuing-2")
        self.assertEqual(self.issuing("tree"), new)
        self.assertEqual(self.certificate_of(new).subject, self.certificate_of(old).subject)
        self.assertEqual(self.state_of(old), ["retiring", "retiring"])
        self.issue("tree", "www.b.tree.example.org", java=False)
        self.refused("only an active one renews", "rotate", old, status=409)
        self.assertTrue(self.crl(old).is_signature_valid(self.certificate_of(old).public_key()))
        root = self.ca("root")
        self.done("retire", root)
        self.refused("parent CA is not in active state", "create", f"--parent={root}", "--cn=Late", status=409)
        self.refused("active children still issuing", "retire", root, "--confirm", status=409)
        self.issue("tree", "still.a.tree.example.org")


class Killed(HierarchyTest):
    """kill -9 of the job at each of its steps, and what is left."""

    once = True
    long = True

    def setUp(self):
        self.stack.run("stop", *(name for name in ("tick-ca", "tick") if os.path.exists(os.path.join(self.stack.dir, "pid", name))))
        self.addCleanup(self.stack.run, "up")

    def killed_at(self, step):
        """The job, killed before (even) or after (odd) the signer answered it for the (step // 2 + 1)th time."""
        folder = tempfile.mkdtemp(dir=self.stack.home)
        os.chmod(folder, 0o777)
        path = os.path.join(folder, "proxy.sock")
        relay = subprocess.Popen(self.as_ca("/usr/bin/python3", os.path.join(HERE, "killing_proxy.py"), path,
                                            os.path.join(self.stack.dir, "run", "signer-admin.sock"), str(step)), cwd="/")
        self.stack.wait(lambda: os.path.exists(path), what="the proxy")
        status = self.job(CERTCTL_SIGNER_ADMIN_SOCKET=path).wait(timeout=180)
        relay.wait(timeout=120)
        return status

    def consistent(self):
        """Every instance has its row, every key of a row signs, one CA issues."""
        self.assertEqual(self.stack.sql("SELECT m.id FROM intermediate_cas m LEFT JOIN ca_instances c ON c.id = m.id "
                                        "WHERE c.id IS NULL AND m.key_driver_id <> 'external'"), [])
        self.assertEqual(self.stack.sql("SELECT m.id FROM intermediate_cas m JOIN ca_instances c ON c.id = m.id WHERE c.state <> m.state"), [])
        for row in self.stack.sql("SELECT key_ref FROM ca_instances"):
            self.assertTrue(os.path.exists(row[0][len("file:"):] + ".facts"), row)

    def test_killed_at_each_step(self):
        parent = self.stack.value("SELECT id FROM ca_instances WHERE issuer_id = 'iss-local' AND path_len = 1")
        # generate, sign-ca, facts: before the signer hears of it, and after it answered.
        for step in range(6):
            with self.subTest(step):
                request = self.admin("create", f"--parent={parent}", f"--cn=Killed {step}").stdout.strip()
                self.admin("approve", request, "--yes")
                rows = self.stack.value("SELECT count(*) FROM ca_instances")
                self.assertEqual(self.killed_at(step), -signal.SIGKILL)
                self.assertEqual(self.stack.value("SELECT count(*) FROM ca_instances"), rows)
                self.assertEqual(self.stack.value(f"SELECT state FROM ca_requests WHERE id = '{request}'"), "approved")
                self.consistent()
                self.assertEqual(self.job().wait(timeout=180), 0)
                self.assertEqual(self.stack.value(f"SELECT state FROM ca_requests WHERE id = '{request}'"), "done")
                self.consistent()

    def killed(self, ask, connections, still):
        """For every place in the conversation with the signer: a request, the job killed there, nothing stored; then the job as it is."""
        for step in range(2 * connections):
            with self.subTest(step):
                request = ask(step)
                self.admin("approve", request, "--yes")
                before = self.stack.value(still)
                self.assertEqual(self.killed_at(step), -signal.SIGKILL)
                self.assertEqual(self.stack.value(still), before)
                self.assertEqual(self.stack.value(f"SELECT state FROM ca_requests WHERE id = '{request}'"), "approved")
                self.consistent()
                self.assertEqual(self.job().wait(timeout=180), 0)
                self.assertEqual(self.stack.sql(f"SELECT state, error FROM ca_requests WHERE id = '{request}'"), [["done", ""]])
                self.consistent()

    def by_hand(self, *arguments, text=""):
        """A request, approved and carried out."""
        request = self.admin(*arguments, text=text).stdout.strip()
        self.admin("approve", request, "--yes")
        self.assertEqual(self.job().wait(timeout=180), 0)
        return request

    ROOT = "SELECT id FROM ca_instances WHERE issuer_id = 'iss-local' AND path_len = 1"
    ROWS = "SELECT count(*) || ' ' || (SELECT count(*) FROM intermediate_cas) FROM ca_instances"

    def test_killed_while_asking_elsewhere(self):
        self.killed(lambda step: self.admin("csr", "--issuer=iss-adcs", f"--cn=Asks {step}").stdout.strip(), 2, self.ROWS)

    def test_killed_while_importing(self):
        def ask(step):
            path = os.path.join(self.stack.dir, "state", "ca", f"killed-{step}.key")
            self.enterprise.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)
            os.chmod(path, 0o600)
            if os.geteuid() == 0:
                shutil.chown(path, "certctl-signer", "certctl-signer")
            self.enterprise.openssl("req", "-x509", "-new", "-key", path, "-out", "killed.pem", "-days", "300", "-subj", f"/CN=Killed {step}",
                                    "-extensions", "v3_ca", "-config", "openssl.cnf")
            return self.admin("import", "--issuer=iss-taken", f"--key=file:{path}", "--chain=-", text=self.enterprise.read("killed.pem")).stdout.strip()
        self.killed(ask, 1, self.ROWS)

    def test_killed_while_certifying(self):
        parent = self.stack.value("SELECT id FROM ca_instances WHERE issuer_id = 'iss-local' AND path_len = 1")

        def ask(step):
            key = ec.generate_private_key(ec.SECP256R1())
            wanted = (x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Sub {step}")]))
                      .sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode())
            return self.admin("sign", f"--parent={parent}", "--csr=-", f"--name=killed {step}", text=wanted).stdout.strip()
        self.killed(ask, 1, self.ROWS)

    def test_killed_while_retiring(self):
        parent = self.stack.value("SELECT id FROM ca_instances WHERE issuer_id = 'iss-local' AND path_len = 1")

        def ask(step):
            made = self.made(self.by_hand("create", f"--parent={parent}", f"--cn=Retires {step}"))
            self.by_hand("retire", made)
            return self.admin("retire", made, "--confirm").stdout.strip()

        for step in range(2):  # before the signer hears of it, and after it has answered
            with self.subTest(step):
                request = ask(step)
                self.admin("approve", request, "--yes")
                ca = self.stack.value(f"SELECT body->>'ca_id' FROM ca_requests WHERE id = '{request}'")
                self.assertEqual(self.killed_at(step), -signal.SIGKILL)
                self.assertEqual(self.state_of(ca), ["retired", "retired"])
                self.assertEqual(self.stack.value(f"SELECT facts_close_due IS NULL FROM ca_instances WHERE id = '{ca}'"), "f")
                self.assertEqual("retired" in self.facts_of(ca), step == 1)
                said = self.admin("retire", ca, check=False)
                self.assertEqual((said.returncode, said.stdout), (75, ""))
                self.assertIn("has not told its signer yet", said.stderr)
                # A signer that is away is asked again, later and later.
                self.job(CERTCTL_SIGNER_ADMIN_SOCKET="/nonexistent").wait(timeout=180)
                self.assertEqual(self.stack.value(f"SELECT facts_close_due > now() - interval '1 minute' FROM ca_instances WHERE id = '{ca}'"), "t")
                self.stack.sql(f"UPDATE ca_instances SET facts_close_due = now() WHERE id = '{ca}'")
                self.assertEqual(self.job().wait(timeout=180), 0)
                self.closed(ca)
                self.consistent()

    def test_killed_while_changing_facts(self):
        """Asked what it knows, told what it shall know: told twice it says the same, and one row tells of it."""
        made = self.made(self.by_hand("create", f"--parent={self.stack.value(self.ROOT)}", "--cn=Its facts change"))
        told = f"SELECT count(*) FROM audit_events WHERE action = 'ca_facts_changed' AND resource_id = '{made}'"

        def ask(step):
            self.assertEqual(self.stack.value(told), str(step))
            self.assertEqual(self.facts_of(made)["max_leaf_days"], 100 + step if step else 3660)
            return self.admin("facts", made, f"--max-leaf-days={101 + step}").stdout.strip()
        self.killed(ask, 2, told)
        self.assertEqual((self.stack.value(told), self.facts_of(made)["max_leaf_days"]), ("4", 104))
        # The file is written, the row waits for a lock.
        request = self.admin("facts", made, "--max-leaf-days=200").stdout.strip()
        self.admin("approve", request, "--yes")
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'certctl_ca' AND wait_event_type = 'Lock'"
        with self.stack.holding("LOCK TABLE audit_events IN SHARE MODE"):
            job = self.job()
            self.stack.wait(lambda: self.stack.value(waiting) == "1", what="the job waits")
            job.kill()
            job.wait()
        self.assertEqual((self.facts_of(made)["max_leaf_days"], self.stack.value(told)), (200, "4"))
        self.assertEqual(self.job().wait(timeout=60), 0)
        self.assertEqual((self.stack.value(told), self.stack.value(f"SELECT state FROM ca_requests WHERE id = '{request}'")), ("5", "done"))
        self.by_hand("retire", made)
        self.by_hand("retire", made, "--confirm")
        self.consistent()

    def test_killed_in_the_transaction(self):
        old = self.issuing("local")
        request = self.admin("rotate", old).stdout.strip()
        self.admin("approve", request, "--yes")
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'certctl_ca' AND wait_event_type = 'Lock'"
        for table in ("intermediate_cas", "ca_instances", "ca_requests", "audit_events"):
            with self.subTest(table):
                with self.stack.holding(f"LOCK TABLE {table} IN SHARE MODE") as ask:
                    job = self.job()
                    self.stack.wait(lambda ask=ask: ask(waiting) == ["1"], what="the job waits")
                    job.kill()
                    job.wait()
                self.stack.wait(lambda: self.stack.value("SELECT count(*) FROM pg_stat_activity WHERE usename = 'certctl_ca'") == "0",
                                what="its session ended")
                self.assertEqual(self.issuing("local"), old)
                self.assertEqual(self.state_of(old), ["active", "active"])
                self.consistent()
        self.assertEqual(self.job().wait(timeout=180), 0)
        new = self.issuing("local")
        self.assertNotEqual(new, old)
        self.assertEqual(self.state_of(old), ["retiring", "retiring"])
        self.consistent()
        self.client().obtain("after-kill.example.org")


class Loaded(Killed):
    """CERTCTL_CA_CERT_PATH and CERTCTL_CA_KEY_PATH: each start's exact message, then the import (04 sections 3.2, 3.4, 18)."""

    test_killed_at_each_step = test_killed_while_asking_elsewhere = test_killed_while_importing = None
    test_killed_while_certifying = test_killed_while_retiring = test_killed_in_the_transaction = test_killed_while_changing_facts = None

    def start(self, pem, key):
        """One run of the job; what it says of the issuer."""
        path = os.path.join(self.folder, "ca.pem")
        with open(path, "w", encoding="utf-8") as out:
            out.write(pem)
        os.chmod(path, 0o644)
        self.job(CERTCTL_CA_CERT_PATH=path, **({"CERTCTL_CA_KEY_PATH": key} if key else {})).wait(timeout=180)
        return self.stack.sql("SELECT test_status, last_error FROM issuers WHERE id = 'iss-local'")[0]

    def key(self, name, mode=0o600):
        path = os.path.join(self.stack.dir, "state", "ca", name)
        self.enterprise.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
        os.chmod(path, mode)
        if os.geteuid() == 0:
            shutil.chown(path, "certctl-signer", "certctl-signer")
        return path

    def certify(self, key, name, extension="SubCA", *more):
        self.enterprise.openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", "loaded.csr", "-config", "openssl.cnf")
        self.enterprise.openssl("ca", "-batch", "-config", "openssl.cnf", "-extensions", extension, "-in", "loaded.csr", "-out", "loaded.pem", "-notext", *more)
        return self.enterprise.read("loaded.pem") + self.enterprise.read("root.pem")

    def test_loaded(self):
        self.folder = tempfile.mkdtemp(dir=self.stack.home)
        os.chmod(self.folder, 0o755)
        key, other, loose = self.key("loaded.key"), self.key("loaded-other.key"), self.key("loaded-loose.key", 0o644)
        good = self.certify(key, "Loaded CA")
        requests = "SELECT count(*) FROM ca_requests WHERE requested_by = 'certctl-job-ca-hierarchy'"
        old = self.certify(key, "Old CA", "SubCA", "-startdate", "20200101000000Z", "-enddate", "20210101000000Z")
        young = self.certify(key, "Young CA", "SubCA", "-startdate", "20400101000000Z", "-enddate", "20410101000000Z")
        for message, pem, reference in (
                ("^ca_cert_path and ca_key_path must both be set for sub-CA mode$", good, None),
                (r"^invalid CA certificate PEM \(expected CERTIFICATE block\)$", "nonsense", key),
                (r"^invalid CA certificate PEM \(expected CERTIFICATE block\)$", "-----BEGIN PRIVATE KEY-----\n", key),
                (r"^loaded certificate is not a CA \(BasicConstraints.IsCA=false\)$", self.certify(key, "Leaf", "Leaf"), key),
                (r'^CA certificate "Old CA" has expired \(not_after=2021-01-01T00:00:00Z, now=2\S+Z\)$', old, key),
                (r'^CA certificate "Young CA" is not yet valid \(not_before=2040-01-01T00:00:00Z, now=2\S+Z\)$', young, key),
                ("^certificate 2 of the file is not the issuer of the one before it$", split(good)[0] * 2, key),
                ("^CA key does not match CA certificate$", good, other),
                (f"^CA key file {re.escape(loose)} has mode 0644; must be 0600 or stricter$", good, loose)):
            with self.subTest(message):
                status, error = self.start(pem, reference)
                self.assertEqual(status, "failed")
                self.assertRegex(error, message)
                self.assertEqual(self.stack.value(requests), "0")
        self.stack.sql("UPDATE issuers SET hierarchy_mode = 'single' WHERE id = 'iss-local'")
        self.addCleanup(self.stack.sql, "UPDATE issuers SET hierarchy_mode = 'tree' WHERE id = 'iss-local'")
        for _ in range(2):  # asked for once
            self.assertEqual(self.start(good, key), ["success", ""])
            self.assertEqual(self.stack.value(requests), "1")
        request = self.stack.value("SELECT id FROM ca_requests WHERE requested_by = 'certctl-job-ca-hierarchy'")
        self.assertEqual(self.stack.value(f"SELECT state FROM ca_requests WHERE id = '{request}'"), "pending")
        self.assertIn("Loaded CA", self.admin("approve", request, "--yes").stdout)
        self.start(good, key)
        self.assertEqual(self.audit(request), ["ca_instance_activated"])
        self.assertEqual(self.stack.value("SELECT count(*) FROM ca_instances WHERE issuer_id = 'iss-local' AND state = 'active' AND intermediate_ca_id IS NULL"), "1")
        self.start(good, key)
        self.assertEqual(self.stack.value(requests), "1")
        self.consistent()
