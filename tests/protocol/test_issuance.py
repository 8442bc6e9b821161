"""Certificates as they come out, what is recorded with them, and what a request costs."""
import json
import os
import subprocess
import tempfile
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtensionOID

from acme_client import Key, b64u, csr
from case import ProtocolTest


def split(chain):
    return [part + "-----END CERTIFICATE-----\n" for part in chain.split("-----END CERTIFICATE-----\n") if part.strip()]


def verify_strictly(stack, chain):
    with tempfile.TemporaryDirectory() as folder:
        leaf, rest = os.path.join(folder, "leaf.pem"), os.path.join(folder, "rest.pem")
        parts = split(chain)
        for path, content in ((leaf, parts[0]), (rest, "".join(parts[1:]))):
            with open(path, "w", encoding="utf-8") as out:
                out.write(content)
        done = subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", stack.root_pem,
                               "-untrusted", rest, leaf], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode == 0, done.stdout


class Certificates(ProtocolTest):

    def setUp(self):
        self.acme = self.client()

    def test_strict_verification(self):
        for key in (ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1()),
                    rsa.generate_private_key(public_exponent=65537, key_size=2048)):
            names = ("strict.example.org", "*.strict.example.org", "192.0.2.10", "2001:db8::10", "printer")
            chain, _ = self.acme.obtain(*names, key=key)
            good, said = verify_strictly(self.stack, chain)
            self.assertTrue(good, said)

    def test_form(self):
        names = ("form-1.example.org", "form-2.example.org", "192.0.2.11")
        chain, _ = self.acme.obtain(*names)
        leaf = x509.load_pem_x509_certificate(split(chain)[0].encode())
        san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(san.get_values_for_type(x509.DNSName), list(names[:2]))
        self.assertEqual([str(a) for a in san.get_values_for_type(x509.IPAddress)], [names[2]])
        self.assertLess(leaf.serial_number, 2 ** 127)
        self.assertGreater(leaf.serial_number, 2 ** 64)
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
        self.assertTrue(usage.critical and usage.value.digital_signature)
        self.assertFalse(usage.value.key_encipherment)
        chain, _ = self.acme.obtain("rsa.example.org", key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
        leaf = x509.load_pem_x509_certificate(split(chain)[0].encode())
        self.assertTrue(leaf.extensions.get_extension_for_class(x509.KeyUsage).value.key_encipherment)

    def test_chain_is_leaf_and_issuing_ca_without_the_root(self):
        chain, _ = self.acme.obtain("chain.example.org")
        parts = [x509.load_pem_x509_certificate(part.encode()) for part in split(chain)]
        self.assertEqual(len(parts), 2)
        self.assertEqual(parts[0].issuer, parts[1].subject)
        with open(self.stack.root_pem, "rb") as source:
            root = x509.load_pem_x509_certificate(source.read())
        self.assertEqual(parts[1].issuer, root.subject)
        self.assertNotEqual(parts[1].subject, root.subject)

    def test_profiles_decide(self):
        short = self.client("prof-five")
        chain, _ = short.obtain("five.example.org")
        leaf = x509.load_pem_x509_certificate(split(chain)[0].encode())
        self.assertEqual((leaf.not_valid_after - leaf.not_valid_before).total_seconds(), 300)
        oids = [extension.oid.dotted_string for extension in leaf.extensions]
        self.assertIn("2.5.29.56", oids)
        self.assertNotIn(ExtensionOID.CRL_DISTRIBUTION_POINTS.dotted_string, oids)
        access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        self.assertEqual([one.access_method for one in access], [x509.AuthorityInformationAccessOID.CA_ISSUERS])
        staple = self.client("prof-staple")
        chain, _ = staple.obtain("staple.example.org")
        leaf = x509.load_pem_x509_certificate(split(chain)[0].encode())
        self.assertEqual(list(leaf.extensions.get_extension_for_class(x509.TLSFeature).value), [x509.TLSFeatureType.status_request])
        shown = subprocess.run(["openssl", "x509", "-noout", "-text"], input=chain, stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertRegex(shown, r"TLS Feature: *\n +status_request\n")

    def test_a_short_lived_leaf_is_on_no_list(self):
        """Revoked before another one that the list soon has, and OCSP says so all the same (04 section 17)."""
        short, other = self.client("prof-five"), self.acme
        leaves = [x509.load_pem_x509_certificate(acme.obtain(name)[0].encode())
                  for acme, name in ((short, "short.example.org"), (other, "long.example.org"))]
        for acme, leaf in zip((short, other), leaves):
            self.assertEqual(acme.revoke(leaf.public_bytes(serialization.Encoding.DER), 1).status, 200)
        lists = []

        def listed():
            answer = other.raw("GET", "/.well-known/pki/crl/iss-local")
            lists[:] = [x509.load_der_x509_crl(answer.body)] if answer.status == 200 else []
            return lists and lists[0].get_revoked_certificate_by_serial_number(leaves[1].serial_number)
        self.stack.wait(listed, what="the other is on the list")
        self.assertIsNone(lists[0].get_revoked_certificate_by_serial_number(leaves[0].serial_number))

        def said():
            answer = ocsp.load_der_ocsp_response(other.raw("GET", f"/.well-known/pki/ocsp/iss-local/{leaves[0].serial_number:x}").body)
            return answer.response_status == ocsp.OCSPResponseStatus.SUCCESSFUL and answer.certificate_status == ocsp.OCSPCertStatus.REVOKED
        self.stack.wait(said, what="OCSP says revoked")

    def test_long_common_name_is_left_out(self):
        name = "a" * 60 + ".example.org"
        chain, _ = self.acme.obtain(name)
        leaf = x509.load_pem_x509_certificate(split(chain)[0].encode())
        self.assertEqual(list(leaf.subject), [])
        self.assertTrue(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical)
        self.assertTrue(verify_strictly(self.stack, chain)[0])

    def test_what_is_recorded(self):
        chain, order = self.acme.obtain("record-1.example.org", "record-2.example.org")
        leaf = x509.load_pem_x509_certificate(split(chain)[0].encode())
        name = order["certificate"].rsplit("/", 1)[1]
        row = self.stack.sql(
            "SELECT m.status, m.source, m.common_name, array_to_string(m.sans, ','), m.owner_id, m.team_id, m.renewal_policy_id, "
            "v.serial_number, v.fingerprint_sha256, v.pem_chain LIKE '%END CERTIFICATE%', v.key_algorithm, v.key_size "
            f"FROM managed_certificates m JOIN certificate_versions v ON v.id = m.current_version_id WHERE m.id = '{name}'")
        self.assertEqual(row, [["Active", "ACME", "record-1.example.org", "record-1.example.org,record-2.example.org",
                                "o-enrollment", "t-enrollment", "rp-none", f"{leaf.serial_number:x}",
                                leaf.fingerprint(hashes.SHA256()).hex(), "t", "ECDSA", "256"]])
        actions = self.stack.sql(
            "SELECT action, actor, actor_type, resource_type FROM audit_events WHERE resource_id = "
            f"(SELECT order_id FROM acme_orders WHERE certificate_id = '{name}') ORDER BY seq")
        account = "acme:" + self.acme.kid.rsplit("/", 1)[1]
        self.assertEqual(actions, [["acme_order_created", account, "System", "acme_order"],
                                   ["acme_order_finalized", account, "System", "acme_order"]])

    def test_superseding(self):
        _, first = self.acme.obtain("superseded.example.org")
        _, second = self.acme.obtain("superseded.example.org")
        old, new = (order["certificate"].rsplit("/", 1)[1] for order in (first, second))
        self.assertEqual(self.stack.value(f"SELECT tags->>'superseded_by' FROM managed_certificates WHERE id = '{old}'"), new)

    def test_trust_mode_objects(self):
        order = self.acme.order("trust.example.org", "*.trust.example.org")
        self.assertEqual(order.json["status"], "ready")
        plain, wild = (self.acme.post(url).json for url in order.json["authorizations"])
        self.assertEqual(plain["identifier"], {"type": "dns", "value": "trust.example.org"})
        self.assertNotIn("wildcard", plain)
        self.assertEqual((wild["identifier"]["value"], wild["wildcard"]), ("trust.example.org", True))
        for authz, kind in ((plain, "http-01"), (wild, "dns-01")):
            self.assertEqual([(c["type"], c["status"]) for c in authz["challenges"]], [(kind, "valid")])
            self.assertIn("validated", authz["challenges"][0])
            self.assertEqual(len(authz["challenges"][0]["token"]), 43)
            challenge = self.acme.post(authz["challenges"][0]["url"])
            self.assertEqual(challenge.json, authz["challenges"][0])
            self.assertIn(f'<{order.json["authorizations"][0 if kind == "http-01" else 1]}>;rel="up"',
                          challenge.links)

    def race(self, name):
        """Fifty finalizes of one order at once, each with a nonce of its own."""
        order = self.acme.order(name).json
        der = csr(ec.generate_private_key(ec.SECP256R1()), [name])
        url = order["finalize"]
        bodies = [self.acme.jws(url, {"csr": b64u(der)}) for _ in range(50)]
        answers = []
        threads = [threading.Thread(target=lambda body=body: answers.append(
            self.acme.raw("POST", url[len(self.acme.base):], json.dumps(body),
                          {"Content-Type": "application/jose+json"}))) for body in bodies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([a.status for a in answers], [200] * 50, answers[:2])
        return answers

    def test_fifty_finalizes_of_one_order(self):
        """Done means 13 of 01: one certificate, all answers 200."""
        answers = self.race("race.example.org")
        self.assertEqual(len({a.json["certificate"] for a in answers}), 1)
        self.assertEqual(self.stack.value("SELECT count(*) FROM managed_certificates WHERE common_name = 'race.example.org'"), "1")
        kept = self.stack.value("SELECT count(*) FROM certificate_versions v JOIN managed_certificates m ON m.id = v.certificate_id "
                                "WHERE m.common_name = 'race.example.org'")
        self.assertEqual(kept, "1")

    def test_thrown_away_signatures_are_entered_as_revoked(self):
        """Every signature of a race is a version or a discarded entry. Those of other tests may have lost their asker."""
        end = os.path.getsize(self.stack.signer_log)
        self.race("thrown-away.example.org")
        with open(self.stack.signer_log, encoding="utf-8") as source:
            source.seek(end)
            serials = {entry["serial"] for entry in map(json.loads, source)
                       if entry.get("kind") == "sign-leaf" and entry.get("serial")}
        known = {row[0] for row in self.stack.sql("SELECT serial_number FROM certificate_versions UNION "
                                                  "SELECT serial_number FROM certificate_revocations WHERE source = 'discarded'")}
        self.assertTrue(serials)
        self.assertEqual(serials - known, set())


class Costs(ProtocolTest):
    """Two round trips and one commit at most for a POST that changes state (design section 3)."""

    long = True

    def costs(self, answers):
        """(round trips, commits) of each."""
        return [(line["db_round_trips"], line["db_commits"]) for line in self.stack.requests("acme", answers)]

    def cost(self, answer):
        return self.costs([answer])[0]

    def warm(self, acme):
        """Each worker prepares its statements and reads keys and profile once."""
        for i in range(12):
            acme.obtain(f"warm-{i}.example.org")

    def test_round_trips_and_commits(self):
        """Best of three: a worker reads its profile once more every five seconds."""
        acme = self.client()
        self.warm(acme)
        key = Key()

        def finalize(i):
            order = acme.order(f"cost-finalize-{i}.example.org").json
            return acme.finalize(order, csr(ec.generate_private_key(ec.SECP256R1()), [f"cost-finalize-{i}.example.org"]))

        for about, act in (
                ("new-account", lambda i: self.client(register=False).register()),
                ("new-order", lambda i: acme.order(f"cost-{i}.example.org")), ("finalize", finalize),
                ("update", lambda i: acme.post(acme.kid, {"contact": ["mailto:a@example.org"]})),
                ("key-change", lambda i: self.client().change_key(Key())),
                ("revoke by the account", lambda i: acme.revoke(self.leaf(acme, f"cost-account-{i}.example.org", Key()), 4)),
                ("revoke by the key", lambda i: acme.revoke(self.leaf(acme, f"cost-key-{i}.example.org", key), 4, key=key)),
                ("revoke the key", lambda i: acme.revoke(self.leaf(acme, f"cost-compromise-{i}.example.org", Key()), 1))):
            with self.subTest(about):
                costs = []
                for i in range(3):
                    answer = act(i)
                    self.assertIn(answer.status, (200, 201), answer)
                    costs.append(self.cost(answer))
                trips, commits = min(costs)
                self.assertLessEqual(trips, 2, costs)
                # A read is a transaction of its own too; one of the two writes.
                self.assertLessEqual(commits, 2, costs)

    def leaf(self, acme, name, key):
        chain, _ = acme.obtain(name, key=key.private)
        return x509.load_pem_x509_certificate(split(chain)[0].encode()).public_bytes(serialization.Encoding.DER)

    def writes(self, act):
        """Transaction ids that an act took. Jobs of the stack write too, so the least of some tries counts."""
        counts = []
        with self.stack.holding("SELECT 1") as ask:  # no psql begins meanwhile, and our own look takes none
            for attempt in range(4):
                before = int(ask("SELECT txid_snapshot_xmax(txid_current_snapshot())")[0])
                act(attempt)
                counts.append(int(ask("SELECT txid_snapshot_xmax(txid_current_snapshot())")[0]) - before)
        return min(counts)

    def test_one_writing_commit(self):
        acme = self.client()
        self.warm(acme)
        orders = []
        self.assertEqual(self.writes(lambda i: orders.append(acme.order(f"commit-{i}.example.org").json)), 1)
        ready = [csr(ec.generate_private_key(ec.SECP256R1()), [f"commit-{i}.example.org"]) for i in range(len(orders))]
        self.assertEqual(self.writes(lambda i: self.assertEqual(acme.finalize(orders[i], ready[i]).status, 200)), 1)

    def test_one_writing_commit_of_revocation_and_key_change(self):
        acme = self.client()
        self.warm(acme)
        leaf = self.leaf(acme, "commit-revoke.example.org", Key())
        answer = acme.revoke(leaf, 1)
        self.assertEqual(answer.status, 200)
        # The CRL job writes as soon as it is woken; so the transaction is asked of the rows.
        serial = f"{x509.load_der_x509_certificate(leaf).serial_number:x}"
        self.assertEqual(len(self.stack.sql(
            f"""SELECT xmin FROM certificate_revocations WHERE serial_number = '{serial}'
                UNION SELECT m.xmin FROM managed_certificates m JOIN certificate_versions v ON v.certificate_id = m.id
                       WHERE v.serial_number = '{serial}'
                UNION SELECT xmin FROM audit_events WHERE request_id = '{answer.headers["X-Request-ID"]}'""")), 1)
        # The change of a key has a subtransaction, for the index to decide in.
        self.assertEqual(self.writes(lambda i: self.assertEqual(acme.change_key(Key()).status, 200)), 2)

    def test_the_past_of_an_account_costs_nothing(self):
        """Rows of acme_orders that an order reads, through whatever index, after 300 others of its account."""
        acme = self.client()
        key = ec.generate_private_key(ec.SECP256R1())
        for number in range(300):
            acme.obtain(f"past-{number}.example.org", key=key)

        def rows_read():
            time.sleep(1.1)  # sessions report at most once a second
            acme.obtain(f"report-{time.monotonic_ns()}.example.org", key=key)
            acme.obtain(f"report-{time.monotonic_ns()}.example.org", key=key)
            return int(self.stack.value("SELECT seq_tup_read + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = t.relname)"
                                        "  FROM pg_stat_user_tables t WHERE relname = 'acme_orders'"))

        def rows_an_order():
            before = rows_read()
            for _ in range(20):
                acme.obtain(f"now-{time.monotonic_ns()}.example.org", key=key)
            return (rows_read() - before) / 22

        costs = [rows_an_order()]
        while costs[-1] >= 40 and len(costs) < 4:  # jobs read the table too, some of them all of it
            costs.append(rows_an_order())
        self.assertLess(costs[-1], 40, costs)

    def test_directory_and_nonces_need_no_database(self):
        """But a worker's first of each, which opens the key of nonces, and a worker's look at its profile every five seconds."""
        acme = self.client()
        for path in ("/directory", "/new-nonce"):
            began = time.monotonic()
            answers = [acme.raw("HEAD", acme.prefix + path) for _ in range(60)]
            looks = len(self.stack.pids("certctl-acme")) * (2 + int((time.monotonic() - began) / 5))
            costs = [trips for trips, _ in self.costs(answers)]
            self.assertLessEqual(sum(trips > 0 for trips in costs), looks, (path, costs))


class Keys(ProtocolTest):

    def test_account_keys_of_all_kinds_issue(self):
        for kind in ("P-256", "P-384", "P-521", "RSA-2048", "RSA-4096", "Ed25519"):
            with self.subTest(kind):
                acme = self.client(key=Key(kind))
                chain, _ = acme.obtain(f"{kind.lower()}.example.org")
                self.assertTrue(verify_strictly(self.stack, chain)[0])

    def test_ed25519_leaf_is_the_profiles_decision(self):
        acme = self.client()
        order = acme.order("ed.example.org")
        answer = acme.finalize(order.json, csr(ed25519.Ed25519PrivateKey.generate(), ["ed.example.org"]))
        self.assertProblem(answer, 400, "badCSR", "Ed25519")
