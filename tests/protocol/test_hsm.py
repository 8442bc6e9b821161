"""CA keys in a PKCS#11 token (SoftHSM): the tests of issuance once more, and a token that goes away."""
import atexit
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import test_issuance
import test_refusals
import test_revocation
from acme_client import csr
from case import ENVIRONMENT, PROFILES, ProtocolTest, shared_stack
from stack import Stack
from test_issuance import split

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "pin-271828-of-the-token"  # digits alone would be met by chance, in digests and times

_kept = {}


class Token:
    """A SoftHSM token that belongs to the signer's user."""

    def __init__(self, base):
        self.home = tempfile.mkdtemp(prefix="token-", dir=base)
        self.conf = os.path.join(self.home, "softhsm2.conf")
        self.tokens = os.path.join(self.home, "tokens")
        self.pin_file = os.path.join(self.home, "pin")
        os.mkdir(self.tokens)
        for path, text in ((self.conf, f"directories.tokendir = {self.tokens}\nlog.level = ERROR\n"), (self.pin_file, PIN + "\n")):
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)
        os.chmod(self.pin_file, 0o400)
        self.as_user = []
        if os.geteuid() == 0:
            for path in (self.home, self.tokens, self.conf, self.pin_file):
                shutil.chown(path, "certctl-signer", "certctl-signer")
            self.as_user = ["runuser", "-u", "certctl-signer", "--"]
        self.util("--init-token", "--free", "--label", "certctl protocol", "--pin", PIN, "--so-pin", "314159")

    def util(self, *arguments):
        subprocess.run([*self.as_user, "env", f"SOFTHSM2_CONF={self.conf}", "softhsm2-util", *arguments], check=True, cwd="/",
                       stdout=subprocess.DEVNULL)

    @property
    def environment(self):
        return {"CERTCTL_CA_KEY_DRIVER": "pkcs11", "CERTCTL_PKCS11_MODULE": MODULE, "CERTCTL_PKCS11_TOKEN": "certctl protocol",
                "CERTCTL_PKCS11_PIN_FILE": self.pin_file, "CERTCTL_PKCS11_PATHS": self.home, "SOFTHSM2_CONF": self.conf}


def hsm_stack():
    """A stack of its own, whose root and issuing CA are in a token. The shared one first: it makes the users."""
    if "stack" not in _kept:
        shared_stack()
        base = os.path.dirname(shared_stack().home)
        _kept["token"] = Token(base)
        stack = Stack(workers=4, env={**ENVIRONMENT, **_kept["token"].environment}, name="hsm")
        atexit.register(shutil.rmtree, _kept["token"].home, ignore_errors=True)
        atexit.register(stack.stop, keep=bool(os.environ.get("CERTCTL_CHECK_KEEP")))
        stack.start()
        stack.sql(PROFILES)
        _kept["stack"] = stack
    return _kept["stack"]


class HsmTest(ProtocolTest):

    @classmethod
    def setUpClass(cls):
        cls.stack = hsm_stack()
        cls.token = _kept["token"]


class HsmCertificates(test_issuance.Certificates):
    """What holds for the file key holds for the token's."""

    setUpClass = HsmTest.__dict__["setUpClass"]


def same_tests(kind):
    """The test class once more, with the stack whose CA keys are in the token."""
    return type("Hsm" + kind.__name__, (kind,), {"setUpClass": HsmTest.__dict__["setUpClass"], "__module__": __name__})


HsmKeys = same_tests(test_issuance.Keys)
HsmFinalize = same_tests(test_refusals.Finalize)
HsmRevocations = same_tests(test_revocation.Revocations)
HsmCompromise = same_tests(test_revocation.Compromise)


class HsmLoad(HsmTest):

    seconds = 75
    long = True

    def test_a_thousand_by_four_workers_and_two_signers(self):
        """04 section 18. No two serials are equal, and every certificate is of the token's CA."""
        self.assertGreaterEqual(len(self.stack.pids("certctl-signer")), 2)
        self.assertGreaterEqual(len(self.stack.pids("certctl-acme")), 4)
        issuing = x509.load_pem_x509_certificate(self.stack.value("SELECT replace(chain_pem, E'\\n', '#') FROM issuing_cas WHERE issuer_id = 'iss-local'")
                                                 .replace("#", "\n").split("-----END CERTIFICATE-----")[0].encode() + b"-----END CERTIFICATE-----\n")
        chains = []

        def worker(number):
            acme = self.client()
            for i in range(125):
                chains.append(acme.obtain(f"n{i}.w{number}.load.example.org")[0])

        threads = [threading.Thread(target=worker, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(chains), 1000)
        leaves = [x509.load_pem_x509_certificate(split(chain)[0].encode()) for chain in chains]
        self.assertEqual(len({leaf.serial_number for leaf in leaves}), 1000)
        for leaf in leaves:
            issuing.public_key().verify(leaf.signature, leaf.tbs_certificate_bytes, ec.ECDSA(leaf.signature_hash_algorithm))
        stored = {row[0] for row in self.stack.sql("SELECT serial_number FROM certificate_versions")}
        self.assertEqual({f"{leaf.serial_number:x}" for leaf in leaves} - stored, set())
        self.assertEqual([serial for serial in stored if not re.fullmatch("[1-9a-f][0-9a-f]{0,31}", serial) or int(serial, 16) >> 127], [])
        self.assertEqual(self.stack.ca_keys, [])


class HsmToken(HsmTest):

    def test_no_key_is_in_a_file(self):
        self.assertEqual(self.stack.ca_keys, [])
        references = [row[0] for row in self.stack.sql("SELECT key_ref FROM ca_instances ORDER BY created_at")]
        self.assertEqual(len(set(references)), 2)
        for reference in references:
            self.assertRegex(reference, r"^pkcs11:token=certctl%20protocol;id=(%[0-9A-F]{2}){16};type=private$")
        folder = os.path.join(self.stack.dir, "state", "ca")
        self.assertEqual(len([name for name in os.listdir(folder) if name.endswith(".facts")]), 2)

    def test_the_pin_is_nowhere(self):
        folders = [os.path.join(self.stack.dir, name) for name in ("log", "state")]
        found = subprocess.run(["grep", "-rlF", PIN, *folders], stdout=subprocess.PIPE, text=True, check=False)
        self.assertEqual(found.stdout, "")

    def test_the_approval_showed_the_driver(self):
        body = json.loads(self.stack.value("SELECT body FROM ca_requests WHERE kind = 'bootstrap'"))
        self.assertEqual((body["root_driver"], body["issuing_driver"]), ("pkcs11", "pkcs11"))

    def test_a_token_that_goes_away_and_comes_back(self):
        """503 meanwhile, the order stays ready, and nothing is restarted."""
        acme = self.client()
        acme.obtain("before.hsm.example.org")
        pids = self.stack.pids("certctl-signer")
        order = acme.order("away.hsm.example.org")
        der = csr(ec.generate_private_key(ec.SECP256R1()), ["away.hsm.example.org"])
        os.rename(self.token.tokens, self.token.tokens + ".aside")
        try:
            answer = acme.finalize(order.json, der)
            self.assertEqual(answer.status, 503, answer)
            self.assertIn("Retry-After", answer.headers)
        finally:
            os.rename(self.token.tokens + ".aside", self.token.tokens)
        self.assertEqual(acme.finalize(order.json, der).status, 200)
        acme.obtain("after.hsm.example.org")
        self.assertEqual(self.stack.pids("certctl-signer"), pids)

    def test_a_crl_is_signed_in_the_token(self):
        acme = self.client()
        chain, _ = acme.obtain("revoked.hsm.example.org")
        leaf = x509.load_pem_x509_certificate(split(chain)[0].encode())
        der = leaf.public_bytes(serialization.Encoding.DER)
        self.assertEqual(acme.revoke(der, 4).status, 200)
        issuing = x509.load_pem_x509_certificate(split(chain)[1].encode())

        def listed():
            with urllib.request.urlopen(f"{self.stack.http_url}/.well-known/pki/crl/iss-local", timeout=60) as answer:
                crl = x509.load_der_x509_crl(answer.read())
            self.assertTrue(crl.is_signature_valid(issuing.public_key()))
            return crl.get_revoked_certificate_by_serial_number(leaf.serial_number)

        self.stack.wait(listed, what="the serial on a CRL of the token's key")
