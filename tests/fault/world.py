"""What is there afterwards: database, signer log, published CRLs; together with what the clients saw."""
import contextlib
import glob
import json
import os
import time
from dataclasses import dataclass, field

from rules import crl_is_whole

# name in World: columns and table; each row comes as a dictionary
TABLES = {
    "versions": "SELECT id, certificate_id, serial_number AS serial, fingerprint_sha256 AS sha256, ca_id, pem_chain "
                "FROM certificate_versions",
    "managed": "SELECT id, name, status, current_version_id FROM managed_certificates",
    "revocations": "SELECT serial_number AS serial, source, ca_id, certificate_id, encode(crl_entry_der, 'hex') AS entry "
                   "FROM certificate_revocations",
    "orders": "SELECT order_id AS id, status, certificate_id, certificate_version_id, job_id, csr_pem IS NOT NULL AS csr FROM acme_orders",
    "jobs": "SELECT id, certificate_id, status, completed_at IS NOT NULL AS over, type FROM jobs",
    "audits": "SELECT action, resource_id FROM audit_events WHERE action = 'acme_order_finalized'",
    "cas": "SELECT id, crl_number, encode(cert_der, 'hex') AS der FROM ca_instances",
    "crls": "SELECT ca_id, crl_number, encode(crl_der, 'hex') AS der FROM crl_cache WHERE kind = 'full'",
}


@dataclass
class World:
    events: list
    log: list = field(default_factory=list)        # lines of the signer, as bytes without their line feed
    published: dict = field(default_factory=dict)  # CA id: DER
    versions: list = field(default_factory=list)
    managed: list = field(default_factory=list)
    revocations: list = field(default_factory=list)
    orders: list = field(default_factory=list)
    jobs: list = field(default_factory=list)
    audits: list = field(default_factory=list)
    cas: list = field(default_factory=list)
    crls: list = field(default_factory=list)

    def seen(self, kind):
        return [event for event in self.events if event["kind"] == kind]

    def signed(self, kind):
        """Lines of that kind, decoded; a line that is no JSON is the chain rule's to tell."""
        found = []
        for line in self.log:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("kind") == kind:
                found.append(entry)
        return found


def look(stack, recorder):
    """The world of a stack at rest: one snapshot of the database, then the files."""
    world = World(events=list(recorder.events))
    query = ";".join(f"SELECT json_build_object('{name}', row_to_json(t)) FROM ({sql}) t" for name, sql in TABLES.items())
    for (text,) in stack.sql(f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;{query};COMMIT"):
        if text.startswith("{"):
            for name, row in json.loads(text).items():
                getattr(world, name).append(row)
    with open(stack.signer_log, "rb") as source:
        world.log = source.read().split(b"\n")
    if world.log and world.log[-1] == b"":
        world.log.pop()
    for ca in world.cas:
        for path in glob.glob(os.path.join(stack.dir, "pki", "crl", ca["id"] + ".crl")):
            with contextlib.suppress(FileNotFoundError), open(path, "rb") as source:  # withdrawn meanwhile
                world.published[ca["id"]] = source.read()
    return world


def at_rest(stack, recorder, seconds=120):
    """The world in which the CRLs are whole, to be judged as it is: a second look might find the next list half-way. After
    so many seconds the last one."""
    deadline = time.monotonic() + seconds
    while True:
        world = look(stack, recorder)
        if not list(crl_is_whole(world)) or time.monotonic() > deadline:
            return world
        time.sleep(0.2)
