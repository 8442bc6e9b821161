"""The checker's self-test: a small whole world passes, and each doctored one is told by its rule."""
import copy
import datetime
import hashlib
import json
import unittest

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from rules import RULES, complaints
from world import World

NOW = datetime.datetime(2030, 1, 1)
DAY = datetime.timedelta(days=1)
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Checker")])


def certificate(key, issuer_key, serial):
    built = x509.CertificateBuilder().subject_name(NAME).issuer_name(NAME).public_key(key.public_key()).serial_number(serial)
    return built.not_valid_before(NOW).not_valid_after(NOW + DAY).sign(issuer_key, hashes.SHA256())


def crl(key, crl_number, serials):
    built = x509.CertificateRevocationListBuilder().issuer_name(NAME).last_update(NOW).next_update(NOW + DAY)
    built = built.add_extension(x509.CRLNumber(crl_number), critical=False)
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW).build()
        built = built.add_revoked_certificate(entry)
    return built.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def chain(entries):
    lines, previous = [], "0" * 64
    for at, entry in enumerate(entries, 1):
        lines.append(json.dumps({"line": at, **entry, "prev": previous}).encode())
        previous = hashlib.sha256(lines[-1]).hexdigest()
    return lines


def sign_leaf(serial, digest):
    return {"kind": "sign-leaf", "serial": f"{serial:x}", "certificate_sha256": digest}


def sign_crl(crl_number):
    return {"kind": "sign-crl", "ca_sha256": "ca", "crl_number": crl_number}


class Checker(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.ca_key = ec.generate_private_key(ec.SECP256R1())
        cls.leaves = [certificate(ec.generate_private_key(ec.SECP256R1()), cls.ca_key, serial) for serial in (0x11, 0x12)]
        cls.digests = [hashlib.sha256(leaf.public_bytes(Encoding.DER)).hexdigest() for leaf in cls.leaves]

    def setUp(self):
        """Two certificates, the second revoked; one signature thrown away, one that will be an orphan; an open order."""
        ca = certificate(self.ca_key, self.ca_key, 1).public_bytes(Encoding.DER).hex()
        lists = crl(self.ca_key, 2, [0x12, 0x13])
        world = World(events=[], published={"ca": lists})
        world.cas = [{"id": "ca", "crl_number": 2, "der": ca}]
        world.crls = [{"ca_id": "ca", "crl_number": 2, "der": lists.hex()}]
        self.entries = [sign_crl(1), sign_leaf(0x13, "thrown"), sign_leaf(0x14, "orphan")]
        for at, leaf in enumerate(self.leaves):
            serial, order = f"{leaf.serial_number:x}", f"order-{at}"
            world.versions.append({"id": f"cv-{at}", "certificate_id": f"mc-{at}", "serial": serial, "sha256": self.digests[at],
                                   "ca_id": "ca", "pem_chain": leaf.public_bytes(Encoding.PEM).decode()})
            world.managed.append({"id": f"mc-{at}", "name": f"acme-{order}", "status": "Active", "current_version_id": f"cv-{at}"})
            world.orders.append({"id": order, "status": "valid", "certificate_id": f"mc-{at}", "certificate_version_id": f"cv-{at}",
                                 "job_id": None, "csr": True})
            world.audits.append({"action": "acme_order_finalized", "resource_id": order})
            world.events += [self.answer(f"nonce-{at}"), {"kind": "order", "order": order, "status": "valid", "certificate": f"mc-{at}"},
                             {"kind": "held", "order": order, "certificate": f"mc-{at}", "serial": serial, "sha256": self.digests[at]}]
            self.entries.append(sign_leaf(leaf.serial_number, self.digests[at]))
        world.orders.append({"id": "order-2", "status": "ready", "certificate_id": None, "certificate_version_id": None, "job_id": None, "csr": False})
        for name, job in (("order-3", None), ("order-4", "job-4")):  # CAA is looked at; the queue has it
            world.orders.append({"id": name, "status": "processing", "certificate_id": None, "certificate_version_id": None, "job_id": job, "csr": True})
            world.managed.append({"id": f"mc-{name}", "name": f"acme-{name}", "status": "Pending", "current_version_id": None})
        world.jobs = [{"id": "job-4", "certificate_id": "mc-order-4", "status": "Running", "over": False, "type": "Issuance"}]
        world.revocations = [{"serial": "12", "source": "request", "ca_id": "ca", "certificate_id": "mc-1", "entry": "30"},
                             {"serial": "13", "source": "discarded", "ca_id": "ca", "certificate_id": None, "entry": "30"}]
        world.events.append({"kind": "revoked", "serial": "12"})
        self.entries.append(sign_crl(2))
        world.log = chain(self.entries)
        self.world = world

    @staticmethod
    def answer(nonce, at=1.0, reads=False, path="/order"):
        return {"kind": "answer", "nonce": nonce, "status": 200, "type": None, "reads": reads, "path": path, "at": at}

    def told_by(self, *rules):
        """Exactly these rules complain."""
        self.assertEqual(sorted({text.split(":")[0] for text in complaints(self.world)}), sorted(rules))

    def test_the_whole_world_passes(self):
        self.assertEqual(complaints(self.world), [])

    def test_an_empty_world_passes(self):
        self.assertEqual(complaints(World(events=[])), [])

    def test_a_held_certificate_without_record(self):
        self.world.events.append({"kind": "held", "order": "order-2", "certificate": "mc-9", "serial": "99", "sha256": "x"})
        self.told_by("certificate_has_record")

    def test_a_held_certificate_of_other_bytes(self):
        self.world.events.append({"kind": "held", "order": "order-0", "certificate": "mc-0", "serial": "11", "sha256": "x"})
        self.told_by("certificate_has_record")

    def test_a_record_that_was_never_signed(self):
        self.world.log = chain(self.entries[:3] + self.entries[4:])
        self.told_by("record_has_certificate")

    def test_a_record_of_another_certificate(self):
        self.world.versions[0]["pem_chain"] = self.world.versions[1]["pem_chain"]
        self.told_by("record_has_certificate")

    def test_a_record_of_another_ca(self):
        stranger = certificate(self.ca_key, ec.generate_private_key(ec.SECP256R1()), 0x11)
        digest = hashlib.sha256(stranger.public_bytes(Encoding.DER)).hexdigest()
        self.world.versions[0].update(pem_chain=stranger.public_bytes(Encoding.PEM).decode(), sha256=digest)
        self.world.events = [e for e in self.world.events if e.get("serial") != "11"]
        self.entries[3]["certificate_sha256"] = digest
        self.world.log = chain(self.entries)
        self.told_by("record_has_certificate")

    def test_a_certificate_without_version(self):
        self.world.managed[0]["current_version_id"] = None
        self.told_by("record_has_certificate")

    def test_a_version_without_certificate(self):
        self.world.versions[0]["certificate_id"] = "mc-9"
        self.assertIn("record_has_certificate: version cv-0 has no certificate", complaints(self.world))

    def test_a_serial_signed_twice(self):
        self.world.log = chain(self.entries + [sign_leaf(0x14, "again")])
        self.told_by("serial_is_once")

    def test_a_serial_recorded_twice(self):
        self.world.versions.append(copy.copy(self.world.versions[0]))
        self.told_by("serial_is_once", "order_has_one_certificate")

    def test_a_serial_issued_and_thrown_away(self):
        self.world.revocations[0]["source"] = "discarded"
        self.told_by("serial_is_once")

    def test_an_order_with_two_certificates(self):
        self.world.managed.append({**self.world.managed[0], "current_version_id": "cv-0"})
        self.told_by("order_has_one_certificate")

    def test_an_order_told_two_certificates(self):
        self.world.events.append({"kind": "order", "order": "order-0", "status": "ready", "certificate": "mc-1"})
        self.told_by("order_has_one_certificate")

    def test_a_valid_order_without_certificate(self):
        self.world.orders[2]["status"] = "valid"
        self.told_by("order_has_one_certificate")

    def test_a_certificate_of_an_open_order(self):
        self.world.orders[0].update(status="ready")
        self.world.events = [e for e in self.world.events if e["kind"] != "order"]
        self.told_by("order_has_one_certificate")

    def test_an_issuance_without_audit_row(self):
        self.world.audits.pop()
        self.told_by("order_has_one_certificate")

    def test_a_certificate_of_no_order(self):
        self.world.orders.pop(0)
        self.world.events = [e for e in self.world.events if e["kind"] != "order"]
        self.told_by("order_has_one_certificate")

    def test_an_order_that_nobody_goes_on_with(self):
        self.world.jobs[0].update(status="Failed", over=True)
        self.told_by("order_under_way_is_not_lost")

    def test_an_order_that_lost_its_csr(self):
        self.world.orders[3]["csr"] = False
        self.told_by("order_under_way_is_not_lost")

    def test_an_order_that_lost_its_certificate(self):
        self.world.managed = [m for m in self.world.managed if m["name"] != "acme-order-3"]
        self.told_by("order_under_way_is_not_lost")

    def test_a_certificate_that_waits_for_a_dead_order(self):
        self.world.orders[3]["status"] = "invalid"
        self.told_by("order_under_way_is_not_lost")

    def test_a_job_that_is_done_without_a_version(self):
        self.world.jobs[0].update(status="Completed", over=True)
        self.told_by("order_under_way_is_not_lost")

    def test_two_jobs_of_one_order(self):
        self.world.jobs.append({**self.world.jobs[0], "id": "job-5"})
        self.told_by("order_under_way_is_not_lost")

    def test_an_order_that_was_told_and_is_gone(self):
        self.world.events.append({"kind": "order", "order": "order-9", "status": "ready", "certificate": None})
        self.told_by("answer_lasts")

    def test_a_valid_order_that_is_valid_no_more(self):
        self.world.events.append({"kind": "order", "order": "order-2", "status": "valid", "certificate": "mc-5"})
        self.told_by("answer_lasts")

    def test_a_revocation_that_was_told_and_is_gone(self):
        self.world.events.append({"kind": "revoked", "serial": "11"})
        self.told_by("answer_lasts")

    def test_a_nonce_accepted_twice(self):
        self.world.events.append(self.answer("nonce-0", 2.0))
        self.told_by("nonce_is_once")

    def test_a_nonce_of_a_read_and_a_crash(self):
        self.world.events += [self.answer("lazy", 5.0, True), self.answer("lazy", 7.0, True)]
        self.told_by("nonce_is_once")
        self.world.events.append({"kind": "incident", "what": "database killed", "at": 6.0})
        self.assertEqual(complaints(self.world), [])

    def test_a_nonce_of_a_write_and_a_crash(self):
        self.world.events += [self.answer("busy", 5.0), self.answer("busy", 7.0),
                              {"kind": "incident", "what": "database killed", "at": 6.0}]
        self.told_by("nonce_is_once")

    def test_an_orphan_in_a_clients_hands(self):
        self.world.events.append({"kind": "held", "order": "order-2", "certificate": "mc-9", "serial": "14", "sha256": "orphan"})
        self.told_by("certificate_has_record", "signature_is_accounted")

    def test_a_throw_away_without_entry(self):
        self.world.revocations[1]["entry"] = None
        self.told_by("signature_is_accounted")

    def test_a_line_that_is_gone(self):
        del self.world.log[2]
        self.told_by("log_is_a_chain")

    def test_a_line_that_is_torn(self):
        self.world.log.append(self.world.log[0][:40])
        self.told_by("log_is_a_chain")

    def test_a_published_list_that_is_not_the_stored_one(self):
        self.world.published["ca"] = crl(self.ca_key, 2, [0x12, 0x13])
        self.told_by("crl_is_whole")

    def test_a_list_without_a_revocation(self):
        self.world.revocations.append({**self.world.revocations[1], "serial": "14"})
        self.told_by("crl_is_whole")

    def test_a_list_with_a_stranger(self):
        self.world.revocations.pop()
        self.told_by("crl_is_whole")

    def test_a_list_of_another_ca(self):
        der = crl(ec.generate_private_key(ec.SECP256R1()), 2, [0x12, 0x13])
        self.world.published["ca"] = der
        self.world.crls[0]["der"] = der.hex()
        self.told_by("crl_is_whole")

    def test_a_list_of_the_future(self):
        self.world.cas[0]["crl_number"] = 1
        self.told_by("crl_is_whole")

    def test_two_lists_of_one_number(self):
        self.world.log = chain(self.entries + [sign_crl(2)])
        self.told_by("crl_number_is_once")

    def test_every_rule_is_doctored(self):
        """A new rule needs a case here that makes it complain."""
        with open(__file__, encoding="utf-8") as source:
            text = source.read()
        self.assertEqual([rule.__name__ for rule in RULES if f'"{rule.__name__}' not in text], [])
