"""What the signer knows about a CA is changed by a request that is approved on its host, and by nothing else (04 sections 4.0 and 5.2)."""
import datetime
import json
import subprocess
import threading

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from acme_client import csr
from test_hierarchy import HierarchyTest
from test_issuance import split



class Facts(HierarchyTest):

    seconds = 12

    def ca(self):
        """The one CA of the issuer, made when it is first needed."""
        ca = self.issuing("facts")
        if not ca:
            self.done("self-signed", "--issuer=iss-facts", "--cn=Facts CA", "--base-url=http://old.example")
            ca = self.issuing("facts")
        return ca

    def change(self, *arguments):
        return self.done("facts", self.ca(), *arguments)

    def leaf(self, name):
        chain = self.issue("facts", name, java=False)
        return chain, x509.load_pem_x509_certificate(split(chain)[0].encode())

    def assertPlaces(self, leaf, base):
        access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        self.assertEqual([one.access_location.value for one in access],
                         [f"{base}/.well-known/pki/ocsp/iss-facts", f"{base}/.well-known/pki/ca/{self.ca()}"])
        self.assertEqual([name.value for point in points for name in point.full_name], [f"{base}/.well-known/pki/crl/{self.ca()}"])

    def refusedAtOnce(self, words, *arguments, status=1):
        done = self.admin("facts", *arguments, check=False)
        self.assertEqual((done.returncode, done.stdout), (status, ""), (arguments, done.stderr))
        self.assertIn(words, done.stderr)

    def count(self):
        return self.stack.value("SELECT count(*) FROM ca_requests")

    def test_1_new_leaves_say_what_was_approved(self):
        ca = self.ca()
        chain, old = self.leaf("a.facts.example.org")
        self.assertPlaces(old, "http://old.example")
        before = self.facts_of(ca)
        request = self.admin("facts", ca, "--base-url=http://new.example", "--max-leaf-days=5").stdout.strip()
        self.assertEqual(self.facts_of(ca), before)
        shown = self.admin("approve", request, "--yes").stdout
        for line in (f"was:          max_leaf_days {before['max_leaf_days']}\n", "will be:      max_leaf_days 5\n",
                     f'was:          crl_urls ["http://old.example/.well-known/pki/crl/{ca}"]\n',
                     f'will be:      crl_urls ["http://new.example/.well-known/pki/crl/{ca}"]\n'):
            self.assertIn(line, shown)
        self.stack.wait(lambda: self.stack.value(f"SELECT state FROM ca_requests WHERE id = '{request}'") == "done", 60, "the change")
        after = self.facts_of(ca)
        changed = {name for name in after if after[name] != before[name]}
        self.assertEqual((changed, set(after)), ({"max_leaf_days", "ocsp_urls", "ca_issuers_urls", "crl_urls"}, set(before)))
        _, new = self.leaf("b.facts.example.org")
        self.assertPlaces(new, "http://new.example")
        self.assertLessEqual(new.not_valid_after - new.not_valid_before, datetime.timedelta(days=5))
        self.assertGreater(old.not_valid_after - old.not_valid_before, datetime.timedelta(days=5))
        self.verify(chain, self.chain_of(ca), java=False)
        self.assertEqual(self.audit(request), ["ca_facts_changed"])
        details = json.loads(self.stack.value(f"SELECT details FROM audit_events WHERE action = 'ca_facts_changed' AND request_id = '{request}'"))
        self.assertEqual((details["intermediate_ca_id"], details["ca_request_id"], details["changes"]["max_leaf_days"]),
                         (ca, request, {"old": before["max_leaf_days"], "new": 5}))
        said = dict(line.split("\t") for line in self.admin("facts", ca).stdout.splitlines())
        self.assertEqual({name: json.loads(text) for name, text in said.items()}, {k: v for k, v in after.items() if k != "ca_certificate"})

    def test_2_the_signer_refuses_what_they_no_longer_allow(self):
        self.change("--eku=clientAuth", "--exclude=no.facts.example.org", "--clear=crl_urls")
        self.assertNotIn("BEGIN", self.signs_leaf(self.ca(), "a.facts.example.org"))
        acme = self.client("prof-facts")
        order = acme.order("server.facts.example.org")
        answer = acme.finalize(order.json, csr(ec.generate_private_key(ec.SECP256R1()), ["server.facts.example.org"]))
        self.assertGreaterEqual(answer.status, 400, answer)
        self.change("--eku=serverAuth", "--eku=clientAuth")
        self.assertIn("excluded", self.signs_leaf(self.ca(), "x.no.facts.example.org"))
        _, leaf = self.leaf("c.facts.example.org")
        with self.assertRaises(x509.ExtensionNotFound):
            leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints)
        self.change("--clear=excluded_dns", "--base-url=http://new.example")
        self.assertPlaces(self.leaf("x.no.facts.example.org")[1], "http://new.example")

    def test_3_what_is_wrong_is_named_at_once(self):
        ca, count = self.ca(), self.count()
        now = self.facts_of(ca)["max_leaf_days"]
        root = self.stack.value("SELECT id FROM intermediate_cas WHERE owning_issuer_id = 'iss-local' AND parent_ca_id IS NULL")
        for words, arguments in (
                ("there is no CA", ("ica-none", "--max-leaf-days=5")),
                ("facts: max_leaf_days is outside its limits", (ca, "--max-leaf-days=0")),
                ("facts: max_leaf_days is outside its limits", (ca, "--max-leaf-days=36601")),
                ("facts: ca_issuers_urls has an item that is no http, https or ldap URL", (ca, "--base-url=ftp://x", "--ocsp-url=http://x")),
                ("facts: allowed_ekus names an EKU that no leaf may have", (ca, "--eku=OCSPSigning")),
                ("facts: allowed_policies has an item that cannot stand there", (ca, "--policy=any")),
                ("facts: permitted_dns has an item that cannot stand there", (ca, "--permit=*.example.org")),
                ('"ftp://x" is no http URL', (ca, "--ocsp-url=ftp://x")),
                ("nothing would change", (ca, f"--max-leaf-days={now}")),
                ('the CA\'s facts do not say "retired"', (ca, "--clear=retired")),
                ('no request changes "ca_certificate" of a CA\'s facts', (ca, "--clear=ca_certificate")),
                ("crl_urls is both set and cleared", (ca, "--clear=crl_urls", "--base-url=http://other.example")),
                ("the CA signs certificates of CAs alone", (root, "--eku=serverAuth"))):
            with self.subTest(words=words, arguments=arguments):
                self.refusedAtOnce(words, *arguments)
        for arguments in ((), (ca, "--max-leaf-days=x"), (ca, "--max-leaf-days=-1"), (ca, "--crl-validity=1ms"), (ca, "--unknown"), (ca, root)):
            with self.subTest(arguments=arguments):
                self.refusedAtOnce("usage: certctl-admin ca facts", *arguments, status=64)
        self.assertEqual(self.count(), count)

    def ended(self, request):
        self.stack.wait(lambda: self.stack.value(f"SELECT state FROM ca_requests WHERE id = '{request}'") in ("done", "failed"), 60, f"end of {request}")
        return self.stack.sql(f"SELECT state, error_status, error FROM ca_requests WHERE id = '{request}'")[0]

    def test_4_fields_that_were_changed_after_they_were_seen(self):
        """Somebody changes the row while it is being approved: what was seen is approved, what stands there is not done."""
        ca = self.ca()
        before = self.facts_of(ca)
        request = self.admin("facts", ca, "--max-leaf-days=70").stdout.strip()
        said = []
        thread = threading.Thread(target=lambda: said.append(self.admin("approve", request, "--yes")))
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'certctl_ca' AND wait_event_type = 'Lock'"
        with subprocess.Popen(self.stack.psql(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/") as session:
            session.stdin.write(f"BEGIN; UPDATE ca_requests SET body = jsonb_set(body, '{{change,max_leaf_days,new}}', '3000') WHERE id = '{request}'; SELECT 'held';\n")
            session.stdin.flush()
            while session.stdout.readline() not in ("held\n", ""):
                pass
            thread.start()
            self.stack.wait(lambda: self.stack.value(waiting) == "1", 60, "who approves waits")
            session.stdin.write("COMMIT;\n")
            session.stdin.close()
            thread.join()
        self.assertIn("will be:      max_leaf_days 70\n", said[0].stdout)
        self.assertEqual(self.ended(request), ["failed", "403", "the fields are not those that were approved on the signer's host"])
        self.assertEqual((self.facts_of(ca), self.audit(request)), (before, []))

    def test_4_of_two_steps_from_one_place_one_is_made(self):
        ca = self.ca()
        first, second, late = (self.admin("facts", ca, f"--max-leaf-days={days}").stdout.strip() for days in (71, 72, 73))
        self.admin("approve", first, "--yes")
        done = self.admin("approve", second, "--yes", check=False)
        self.assertEqual(self.ended(first), ["done", "", ""])
        if done.returncode == 0:  # approved before the first was carried out
            self.assertEqual(self.ended(second), ["failed", "409", "max_leaf_days was changed after the request was made: it is 71 now"])
        self.assertEqual(self.facts_of(ca)["max_leaf_days"], 71)
        done = self.admin("approve", late, "--yes", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("max_leaf_days was changed after the request was made", done.stderr)
        self.admin("refuse", late)
        self.assertEqual(self.ended(late)[:2], ["failed", "403"])
        self.assertEqual([self.audit(request) for request in (first, second, late)], [["ca_facts_changed"], [], []])

    def test_4_bodies_that_nobody_here_wrote(self):
        """Who may write a row may not write what the signer believes: it is not even shown for approval."""
        ca = self.ca()
        for words, body in (('no request changes "retired"', {"ca_id": ca, "change": {"retired": {"old": True, "new": None}}}),
                            ("max_leaf_days must have old and new", {"ca_id": ca, "change": {"max_leaf_days": {"new": 9}}}),
                            ("max_leaf_days must have old and new", {"ca_id": ca, "change": {"max_leaf_days": {"old": None, "new": "9"}}}),
                            ("crl_urls must have old and new", {"ca_id": ca, "change": {"crl_urls": {"old": None, "new": [1]}}}),
                            ("max_leaf_days is the same, old and new", {"ca_id": ca, "change": {"max_leaf_days": {"old": 9, "new": 9}}}),
                            ("change required", {"ca_id": ca}),
                            ("nothing would change", {"ca_id": ca, "change": {}}),
                            ("facts has no member", {"ca_id": ca, "days": 9, "change": {"max_leaf_days": {"old": 1, "new": 9}}})):
            with self.subTest(words):
                self.stack.sql("INSERT INTO ca_requests (id, kind, issuer_id, body, requested_by, fields_sha256) VALUES ('car-facts-forged', 'facts', "
                               f"'iss-facts', '{json.dumps(body)}', 'nobody', repeat('0', 64))")
                try:
                    done = self.admin("approve", "car-facts-forged", "--yes", check=False)
                finally:
                    self.stack.sql("DELETE FROM ca_requests WHERE id = 'car-facts-forged'")
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn(words, done.stderr)

    def test_4_what_a_rotated_ca_takes_along(self):
        """What was changed since the old one was made, and its places under the new one's name; others where they are asked for."""
        old = self.ca()
        self.change("--base-url=http://heir.example", "--max-leaf-days=74", "--eku=serverAuth", "--exclude=no.facts.example.org",
                    "--signatures-per-hour=5000", "--crl-validity=200h")
        before = self.facts_of(old)
        self.done("rotate", old)
        new, after = self.ca(), self.facts_of(self.ca())
        self.assertNotEqual((new, after["ca_certificate"]), (old, before["ca_certificate"]))
        expected = json.loads(json.dumps(before).replace(old, new)) | {"ca_certificate": after["ca_certificate"]}
        self.assertEqual(after, expected)
        self.assertPlaces(self.leaf("heir.facts.example.org")[1], "http://heir.example")
        self.assertIn("excluded", self.signs_leaf(new, "x.no.facts.example.org"))
        self.done("rotate", new, "--base-url=http://asked.example")
        self.assertEqual(self.facts_of(self.ca())["max_leaf_days"], 74)
        self.assertPlaces(self.leaf("asked.facts.example.org")[1], "http://asked.example")
        self.change("--clear=excluded_dns", "--eku=serverAuth", "--eku=clientAuth")

    def test_5_a_retired_ca_stays_so(self):
        """Its lists may have to live longer; it is not opened again."""
        ca = self.ca()
        self.done("retire", ca)
        self.done("retire", ca, "--confirm")
        self.closed(ca)
        self.refusedAtOnce('no request changes "retired"', ca, "--clear=retired")
        self.done("facts", ca, "--crl-validity=720h")
        facts = self.facts_of(ca)
        self.assertEqual((facts["retired"], facts["crl_validity_seconds"]), (True, 30 * 86400))
        self.closed(ca)

    def test_5_a_responder_of_its_own(self):
        """Its URL is the row's too, and a new base does not move it."""
        parent = self.stack.value("SELECT id FROM ca_instances WHERE issuer_id = 'iss-local' AND path_len = 1")
        made = self.made(self.done("create", f"--parent={parent}", "--cn=Own Responder"))
        row = f"SELECT coalesce(ocsp_responder_url, 'none') FROM intermediate_cas WHERE id = '{made}'"
        self.done("facts", made, "--ocsp-url=http://ocsp.example/{ca}")
        self.assertEqual((self.facts_of(made)["ocsp_urls"], self.stack.value(row)), ([f"http://ocsp.example/{made}"], "http://ocsp.example/{ca}"))
        self.done("facts", made, "--base-url=http://moved.example")
        facts = self.facts_of(made)
        self.assertEqual((facts["ocsp_urls"], facts["crl_urls"]), ([f"http://ocsp.example/{made}"], [f"http://moved.example/.well-known/pki/crl/{made}"]))
        self.done("facts", made, "--clear=ocsp_urls")
        self.assertEqual(("ocsp_urls" in self.facts_of(made), self.stack.value(row)), (False, "none"))
        self.done("retire", made)
        self.done("retire", made, "--confirm")
