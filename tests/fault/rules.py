"""The checker: what must hold afterwards, whatever was killed. Each rule yields its complaints."""
import collections
import hashlib
import json

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding


def number(serial):
    return int(serial, 16)


def repeated(values):
    return sorted(str(value) for value, count in collections.Counter(values).items() if count > 1)


def certificate_has_record(world):
    """No certificate without its record: what a client holds is in the database, octet for octet."""
    known = {number(v["serial"]): v for v in world.versions}
    for held in world.seen("held"):
        version = known.get(number(held["serial"]))
        if not version:
            yield f"a client holds {held['serial']}, which no record knows"
        elif version["sha256"] != held["sha256"] or version["certificate_id"] != held["certificate"]:
            yield f"a client holds another {held['serial']} than the record"


def record_has_certificate(world):
    """No record without its certificate: its bytes are there, of a CA of ours, signed once in the log."""
    lines = collections.defaultdict(list)
    for line in world.signed("sign-leaf"):
        lines[number(line["serial"])].append(line["certificate_sha256"])
    issuers = {ca["id"]: x509.load_der_x509_certificate(bytes.fromhex(ca["der"])) for ca in world.cas}
    versions = {v["id"]: v for v in world.versions}
    for version in world.versions:
        yield from leaf_complaints(version, issuers.get(version["ca_id"]))
        if lines[number(version["serial"])] != [version["sha256"]]:
            yield f"record {version['id']} is not signed once in the log"
    for managed in world.managed:
        if managed["status"] in ("Pending", "Failed") and managed["current_version_id"] is None:
            continue  # its order's rules judge it
        version = versions.get(managed["current_version_id"])
        if not version or version["certificate_id"] != managed["id"]:
            yield f"certificate {managed['id']} has no version"
    managed = {m["id"] for m in world.managed}
    for version in world.versions:
        if version["certificate_id"] not in managed:
            yield f"version {version['id']} has no certificate"


def leaf_complaints(version, issuer):
    try:
        leaf = x509.load_pem_x509_certificate(version["pem_chain"].encode())
    except ValueError:
        yield f"record {version['id']} holds no certificate"
        return
    der = leaf.public_bytes(Encoding.DER)
    if hashlib.sha256(der).hexdigest() != version["sha256"] or leaf.serial_number != number(version["serial"]):
        yield f"record {version['id']} holds another certificate"
    try:
        issuer.public_key().verify(leaf.signature, leaf.tbs_certificate_bytes, ec.ECDSA(leaf.signature_hash_algorithm))
    except (InvalidSignature, AttributeError):
        yield f"record {version['id']} is not of its CA"


def serial_is_once(world):
    """No serial twice: among records, among signatures, nor both issued and thrown away."""
    versions = [number(v["serial"]) for v in world.versions]
    for serial in repeated(versions):
        yield f"serial {int(serial):x} is recorded twice"
    for serial in repeated(number(line["serial"]) for line in world.signed("sign-leaf")):
        yield f"serial {int(serial):x} was signed twice"
    for row in world.revocations:
        if row["source"] != "request" and number(row["serial"]) in versions:
            yield f"serial {row['serial']} is recorded and thrown away"


def order_has_one_certificate(world):
    """No order with two certificates; a valid one has exactly one, an open one none, each with its audit row."""
    made = collections.Counter(m["name"].removeprefix("acme-") for m in world.managed
                               if m["name"].startswith("acme-") and m["status"] not in ("Pending", "Failed"))
    audits = collections.Counter(a["resource_id"] for a in world.audits)
    versions = {v["id"]: v["certificate_id"] for v in world.versions}
    for order in world.orders:
        whole = int(order["status"] == "valid")
        if made[order["id"]] != whole or audits[order["id"]] != whole or bool(order["certificate_id"]) != bool(whole):
            yield f"order {order['id']} is {order['status']} with {made[order['id']]} certificates, {audits[order['id']]} audit rows"
        elif whole and versions.get(order["certificate_version_id"]) != order["certificate_id"]:
            yield f"order {order['id']} names a version that is not its certificate's"
    known = {order["id"] for order in world.orders}
    for order in made.keys() - known:
        yield f"a certificate of order {order}, which is not there"
    for name in repeated(v["certificate_id"] for v in world.versions):
        yield f"certificate {name} has two versions"
    told = collections.defaultdict(set)
    for event in world.seen("order") + world.seen("held"):
        told[event["order"]].add(event["certificate"])
    for order, certificates in told.items():
        if len(certificates - {None}) > 1:
            yield f"clients were told several certificates of order {order}"


def order_under_way_is_not_lost(world):
    """An order in processing has one certificate that waits, and somebody who goes on with it: a job that is not over, or
    acme-finalize, which has the CSR. No other order has a certificate that waits, none has a second job, and one whose
    job issued is valid."""
    waiting = collections.Counter(m["name"].removeprefix("acme-") for m in world.managed if m["status"] == "Pending")
    jobs = {job["id"]: job for job in world.jobs}
    versions = collections.Counter(v["certificate_id"] for v in world.versions)
    for order in world.orders:
        under_way = order["status"] == "processing"
        if waiting[order["id"]] != int(under_way):
            yield f"order {order['id']} is {order['status']} with {waiting[order['id']]} certificates that wait"
        job = jobs.get(order["job_id"])
        if under_way and not (order["csr"] if job is None else not job["over"]):
            yield f"order {order['id']} is in processing, and nobody goes on with it"
        if job and job["status"] == "Completed" and order["status"] != "valid":
            yield f"the job of order {order['id']} is done, and the order {order['status']}"
    for job in world.jobs:
        if job["status"] == "Completed" and job["type"] == "Issuance" and versions[job["certificate_id"]] != 1:
            yield f"job {job['id']} is done with {versions[job['certificate_id']]} versions"
    for name in repeated(job["certificate_id"] for job in world.jobs if job["type"] == "Issuance"):
        yield f"certificate {name} has two jobs"


def answer_lasts(world):
    """What a client was told stays: its order, the order's certificate, its revocation."""
    orders = {order["id"]: order for order in world.orders}
    for event in world.seen("order"):
        order = orders.get(event["order"])
        if not order:
            yield f"a client was told of order {event['order']}, which is not there"
        elif event["status"] == "valid" and (order["status"], order["certificate_id"]) != ("valid", event["certificate"]):
            yield f"a client was told that order {event['order']} is valid; it is {order['status']}"
    revoked = {number(row["serial"]) for row in world.revocations}
    for event in world.seen("revoked"):
        if number(event["serial"]) not in revoked:
            yield f"a client was told that {event['serial']} is revoked; it is not"


def nonce_is_once(world):
    """No nonce accepted twice. A read commits its nonce lazily (decision 9): only a crash of the database
    between two reads may have forgotten it, and then the same request reads the same again."""
    accepted = collections.defaultdict(list)
    for event in world.seen("answer"):
        if 200 <= event["status"] < 300:
            accepted[event["nonce"]].append(event)
    crashes = [event["at"] for event in world.seen("incident") if event["what"].startswith("database killed")]
    for nonce, events in accepted.items():
        for first, second in zip(events, events[1:]):
            forgotten = any(first["at"] - 1 <= crash <= second["at"] for crash in crashes)
            if not (first["reads"] and second["reads"] and first["path"] == second["path"] and forgotten):
                yield f"nonce {nonce} was accepted for {first['path']} and for {second['path']}"


def signatures_unaccounted(world):
    """Signatures that neither a record nor a revocation knows: the reconciliation will make orphans of them."""
    known = {number(v["serial"]) for v in world.versions} | {number(r["serial"]) for r in world.revocations}
    return [line for line in world.signed("sign-leaf") if number(line["serial"]) not in known]


def signature_is_accounted(world):
    """Every signature is recorded, thrown away or an orphan to be, and no client holds or was told an orphan;
    what was thrown away is revoked with an entry for the CRL."""
    held = {number(event["serial"]) for event in world.seen("held")}
    for line in signatures_unaccounted(world):
        if number(line["serial"]) in held:
            yield f"a client holds the orphan {line['serial']}"
    signed = {number(line["serial"]) for line in world.signed("sign-leaf")}
    for row in world.revocations:
        if row["source"] != "request" and (number(row["serial"]) not in signed or not row["entry"]):
            yield f"{row['serial']} is thrown away, but was never signed or has no entry"


def log_is_a_chain(world):
    """Each line of the signer's log follows the one before."""
    previous, expected = "0" * 64, 1
    for line in world.log:
        try:
            entry = json.loads(line)
        except ValueError:
            yield f"line {expected} of the signer's log is torn"
            return
        if entry["line"] != expected or entry["prev"] != previous:
            yield f"line {entry['line']} of the signer's log does not follow the one before"
            return
        previous, expected = hashlib.sha256(line).hexdigest(), expected + 1


def crl_number(crl):
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def crl_is_whole(world):
    """The published list is the stored one, of its CA, not older than any number signed, and has all revocations."""
    issuers = {ca["id"]: x509.load_der_x509_certificate(bytes.fromhex(ca["der"])) for ca in world.cas}
    stored = {row["ca_id"]: bytes.fromhex(row["der"]) for row in world.crls}
    for ca in world.cas:
        der = world.published.get(ca["id"])
        if der is None or der != stored.get(ca["id"]):
            yield f"the published CRL of {ca['id']} is not the stored one"
            continue
        crl = x509.load_der_x509_crl(der)
        if not crl.is_signature_valid(issuers[ca["id"]].public_key()):
            yield f"the published CRL of {ca['id']} is not of its CA"
        if crl_number(crl) > ca["crl_number"]:
            yield f"the published CRL of {ca['id']} has a number that the database does not know"
        listed = {entry.serial_number for entry in crl}
        wanted = {number(row["serial"]) for row in world.revocations if row["ca_id"] == ca["id"]}
        for serial in wanted ^ listed:
            yield f"{serial:x} is {'not on' if serial in wanted else 'on'} the CRL of {ca['id']}"


def crl_number_is_once(world):
    """Of one CA no two lists of one number."""
    for pair in repeated((line["ca_sha256"], line["crl_number"]) for line in world.signed("sign-crl")):
        yield f"two lists were signed for {pair}"


RULES = (certificate_has_record, record_has_certificate, serial_is_once, order_has_one_certificate, order_under_way_is_not_lost, answer_lasts,
         nonce_is_once, signature_is_accounted, log_is_a_chain, crl_is_whole, crl_number_is_once)


def complaints(world):
    return [f"{rule.__name__}: {text}" for rule in RULES for text in rule(world)]
