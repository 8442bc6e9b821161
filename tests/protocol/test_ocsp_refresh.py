"""What the web server keeps of OCSP, and who tells it of revocations (04 section 11)."""
import base64
import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

import sealed
from acme_client import Key, b64u
from test_issuance import split
from test_ocsp import GOOD, PATH, REVOKED, UNKNOWN, OcspTest

INVALID = "INSERT INTO ocsp_invalidations (issuer_id, ca_id, serial_hex)"


class Listener:
    """In the web server's place: answers each request, and remembers the serials in their order."""

    def __init__(self, path):
        self.told, self.lock = [], threading.Lock()
        self.on_told = lambda serial: None
        self.requests = []  # of each connection
        self.first = {}  # on which connection a serial was told first
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        os.chmod(path, 0o777)
        self.socket.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                threading.Thread(target=self.serve, args=(self.socket.accept()[0],), daemon=True).start()

    def serve(self, wire):
        count = [0]
        self.requests.append(count)
        with contextlib.suppress(OSError, ValueError), wire, wire.makefile("rwb") as stream:
            while True:
                method, path, _ = stream.readline().decode().split()
                count[0] += 1
                fields = {}
                while line := stream.readline().strip():
                    name, value = line.decode().split(": ")
                    fields[name] = value
                stream.read(int(fields.get("Content-Length", 0)))
                if re.fullmatch("[0-9a-f]+", path.rsplit("/", 1)[1]):  # the short form, the last of the nine
                    with self.lock:
                        self.first.setdefault(path.rsplit("/", 1)[1], count)
                        self.told.append(path.rsplit("/", 1)[1])
                    self.on_told(self.told[-1])
                stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                stream.flush()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Revoked(OcspTest):
    """From the revocation's answer to what anybody hears, through what the web server keeps."""

    def forms(self, leaf):
        """The nine requests whose answers may be kept (04 section 11.2)."""
        serial = self.number(leaf.serial_number)
        bodies = [self.whole(self.cert_id(serial, algorithm, null)) for algorithm in ("sha1", "sha256") for null in (True, False)]
        tails = [urllib.parse.quote(base64.b64encode(body).decode(), safe="") for body in bodies] + [f"{leaf.serial_number:x}"]
        return [lambda body=body: self.post(body) for body in bodies] + [lambda tail=tail: self.send("GET", f"{PATH}/{tail}") for tail in tails]

    def assertAll(self, leaf, status):
        for form in self.forms(leaf):
            answer = form()
            self.assertEqual(answer.status, 200)
            self.assertStatus(answer.body, status)

    def test_every_kept_answer_is_replaced(self):
        leaf = self.issue("kept.ocsp.example.org")
        for _ in range(2):
            self.assertAll(leaf, GOOD)
        # They are kept indeed: nobody is behind. Apache keeps no POST, and GETs in two spellings of the slash.
        raw = base64.b64encode(self.request(leaf)).decode()
        self.assertStatus(self.send("GET", f"{PATH}/{urllib.parse.quote(raw, safe='/')}").body, GOOD)
        gets = [*self.forms(leaf)[4:], lambda: self.send("GET", f"{PATH}/{urllib.parse.quote(raw, safe='/')}")]
        # Who wants nothing kept plants no answer under a spelling that no revocation names.
        serial = self.number(leaf.serial_number)
        bare = next(text for text in (base64.b64encode(self.whole(self.cert_id(serial, algorithm, null))).decode()
                                      for algorithm in ("sha1", "sha256") for null in (True, False)) if set(text) & set("+="))
        for headers in ({"Cache-Control": "no-cache"}, {"Pragma": "no-cache"}):
            self.assertStatus(self.send("GET", f"{PATH}/{urllib.parse.quote(bare, safe='/')}", headers=headers).body, GOOD)
        self.stack.run("stop", "pki")
        try:
            # More than once: nginx keeps the files open that it reads again.
            for form in 3 * (gets if self.stack.web == "apache" else self.forms(leaf)):
                answer = form()
                self.assertEqual((answer.status, answer.headers["Content-Type"], answer.headers["Content-Length"]),
                                 (200, "application/ocsp-response", str(len(answer.body))))
                self.assertStatus(answer.body, GOOD)
            self.assertEqual(self.post(self.request(leaf, nonce=b"n")).status, 502 if self.stack.web == "nginx" else 503)
            if self.stack.web == "apache":
                self.assertEqual(self.post(self.request(leaf)).status, 503)
                self.assertEqual(self.send("GET", f"{PATH}/{bare}").status, 503)
                self.assertEqual(self.send("GET", f"{PATH}/{urllib.parse.quote(raw, safe='')}?x=1").status, 503)
        finally:
            self.stack.run("up")
        self.revoke(leaf)
        began = time.monotonic()
        self.stack.wait(lambda: all(ocsp.load_der_ocsp_response(form().body).certificate_status == REVOKED for form in [*self.forms(leaf), *gets]),
                        60, "revoked in every form")
        print(f"# revoked in every form {time.monotonic() - began:.3f} s after the revocation's answer")
        response = self.ask(leaf)
        self.assertEqual(response.revocation_reason, x509.ReasonFlags.superseded)
        self.assertAlmostEqual(response.revocation_time.timestamp(), response.produced_at.timestamp(), delta=60)
        self.stack.wait(lambda: self.listed(leaf), what="the next CRL has it")

    def test_who_asks_once_leaves_no_file(self):
        if self.stack.web != "nginx":  # Apache keeps the first answer
            return
        body = self.request(self.issue("once.ocsp.example.org"))

        def files():
            found = 0
            for folder, _, names in os.walk(os.path.join(self.stack.dir, "nginx", "cache", "certctl-ocsp")):
                for name in names:
                    with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, name), "rb") as source:
                        found += b"\nKEY: ocsp|POST|" + PATH.encode() + b"|" + body in source.read()
            return found
        self.assertStatus(self.post(body).body, GOOD)
        self.assertEqual(files(), 0)
        self.assertStatus(self.post(body).body, GOOD)
        self.stack.wait(lambda: files() == 1, 60, "the second answer is kept")

    def listed(self, leaf):
        answer = self.send("GET", "/.well-known/pki/crl/iss-local")
        return answer.status == 200 and x509.load_der_x509_crl(answer.body).get_revoked_certificate_by_serial_number(leaf.serial_number)

    def test_no_stale_good(self):
        """POSTs from four threads all the while: in the end nobody hears good, though answers from before were on their way."""
        leaf = self.issue("stale.ocsp.example.org")
        body = self.request(leaf)
        stop = threading.Event()
        heard = []

        def listen():
            while not stop.is_set():
                asked = time.monotonic()
                answer = self.post(body)
                heard.append((asked, ocsp.load_der_ocsp_response(answer.body).certificate_status if answer.status == 200 else answer.status))
        threads = [threading.Thread(target=listen) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        self.revoke(leaf)
        revoked = time.monotonic()
        time.sleep(8)

        def the_last():
            return [status for _, status in sorted(heard, key=lambda one: one[0])[-20:]]
        # A busy machine is later; yet before the web server's own minute is over.
        self.stack.wait(lambda: the_last() == [REVOKED] * 20, 45, "nobody hears good any more")
        stop.set()
        for thread in threads:
            thread.join()
        late = [asked - revoked for asked, status in heard if asked > revoked and status != REVOKED]
        self.assertEqual([status for _, status in heard if status not in (GOOD, REVOKED)], [])
        print(f"# good was heard until {max(late, default=0):.3f} s after the revocation's answer, of {len(heard)} answers")
        self.assertEqual(the_last(), [REVOKED] * 20)

    def test_the_job_alone(self):
        """A revocation of which only the rows tell, as on another host, and one that comes while the job is killed."""
        for kill in (False, True):
            leaf = self.issue(f"job{kill}.ocsp.example.org".lower())
            self.assertAll(leaf, GOOD)
            serial = f"{leaf.serial_number:x}"
            if kill:
                self.stack.kill("certctl-job-ocsp-refresh")
            self.stack.sql(f"""
                WITH v AS (SELECT * FROM certificate_versions WHERE serial_number = '{serial}'),
                     i AS (INSERT INTO ocsp_invalidations (issuer_id, ca_id, serial_hex) SELECT issuer_id, ca_id, serial_number FROM v)
                INSERT INTO certificate_revocations (id, certificate_id, serial_number, issuer_id, ca_id, not_after, reason, revoked_by)
                SELECT 'rev-{serial}', certificate_id, serial_number, issuer_id, ca_id, not_after, 'superseded', 'test' FROM v""")
            self.stack.wait(lambda leaf=leaf: all(ocsp.load_der_ocsp_response(form().body).certificate_status == REVOKED
                                                  for form in self.forms(leaf)), 60, "told by the job")

    def test_orphans_and_discarded(self):
        """A revocation without a version counts; a lifted one does not (04 section 10.3)."""
        for number, (source, lifted, status) in enumerate((("orphan", "NULL", REVOKED), ("discarded", "NULL", REVOKED), ("discarded", "now()", UNKNOWN))):
            serial = 0xABC000 + number
            self.stack.sql("INSERT INTO certificate_revocations (id, source, serial_number, issuer_id, ca_id, reason, revoked_by, lifted_at) VALUES "
                           f"('rev-{serial}', '{source}', '{serial:x}', 'iss-local', '{self.ca_id}', 'unspecified', 'test', {lifted})")
            answer = self.post(self.whole(self.cert_id(self.number(serial))))
            self.assertStatus(answer.body, status)

    def test_a_stored_good_is_dead_on_arrival(self):
        leaf = self.issue("stored.ocsp.example.org")
        path = f"/.well-known/pki/ocsp/{self.ca_id}"  # under the CA's own id nothing is kept in front
        self.assertStatus(self.post(self.request(leaf)).body, GOOD)
        serial = f"{leaf.serial_number:x}"
        rows = f"SELECT cert_status FROM ocsp_response_cache WHERE serial_hex = '{serial}'"
        self.stack.wait(lambda: (time.sleep(1.1), self.ask(leaf, nonce=b"x"), self.stack.value(rows))[2] == "good", what="the answer is stored")
        self.stack.sql("INSERT INTO certificate_revocations (id, certificate_id, serial_number, issuer_id, ca_id, not_after, reason, revoked_by) "
                       f"SELECT 'rev-{serial}', certificate_id, serial_number, issuer_id, ca_id, not_after, 'keyCompromise', 'test' "
                       f"FROM certificate_versions WHERE serial_number = '{serial}'")
        self.assertEqual(self.stack.value(rows), "good")
        self.assertStatus(self.post(self.request(leaf), path=path).body, REVOKED)

    def test_a_key_takes_its_certificates_along(self):
        """keyCompromise by the key's holder: each certificate of the key, in OCSP at once."""
        key = Key()
        leaves = []
        for n in range(2):
            chain, _ = self.acme.obtain(f"key{n}.ocsp.example.org", key=key.private)
            leaves.append(x509.load_pem_x509_certificate(split(chain)[0].encode()))
            self.assertStatus(self.post(self.request(leaves[n])).body, GOOD)
        answer = self.acme.post("/revoke-cert", {"certificate": b64u(leaves[0].public_bytes(Encoding.DER)), "reason": 1}, key=key, kid=None, jwk=key.jwk())
        self.assertEqual(answer.status, 200, answer)
        for leaf in leaves:
            self.stack.wait(lambda leaf=leaf: ocsp.load_der_ocsp_response(self.post(self.request(leaf)).body).certificate_status == REVOKED, 60, "revoked")

    def test_nonces_are_never_kept(self):
        body = self.request(self.leaf, nonce=b"the same")
        first, second = self.post(body), self.post(body)
        self.assertNotEqual(first.body, second.body)  # signed twice: ECDSA is random

    def listen(self):
        """A web server of the test's own."""
        self.folder = tempfile.mkdtemp(prefix="edge-", dir=self.stack.dir)
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        for name in ("", "jobs", "wake"):
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)
            os.chmod(os.path.join(self.folder, name), 0o777)
        self.edge = Listener(os.path.join(self.folder, "edge.sock"))
        self.addCleanup(self.edge.close)
        self.addCleanup(self.stack.sql, "DELETE FROM ocsp_invalidations WHERE serial_hex ~ '^fade'")

    def start(self):
        """The job, as on another host."""
        with open(f"{self.stack.dir}/certctl.env", encoding="utf-8") as source:
            lines = [line.strip() for line in source if line.startswith(("CERTCTL_", "ASAN_", "UBSAN_"))]
        command = ["env", *lines, f"CERTCTL_RUNTIME_DIR={self.folder}", f"CERTCTL_OCSP_REFRESH_SOCKET={self.folder}/edge.sock",
                   "CERTCTL_NODE_ID=urgency", "PGUSER=certctl_jobs", f"{self.stack.dir}/bin/certctl-job-ocsp-refresh", "--host=urgency",
                   "--force", "--linger=10m"]
        if self.stack.isolated:
            command = ["runuser", "-u", "certctl-jobs", "--", *command]
        environment = {**os.environ, **sealed.lines(self.stack)}
        process = subprocess.Popen(command, cwd="/", env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)

    def invalid(self, *serials):
        """Rows of one transaction."""
        self.stack.sql(f"{INVALID} SELECT 'iss-local', '{self.ca_id}', unnest('{{{','.join(serials)}}}'::text[])")

    def wake(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
            wire.sendto(b"w", os.path.join(self.folder, "wake", "ocsp-refresh.sock"))

    def test_who_waits_least(self):
        """In which order the job tells."""
        self.listen()
        crowd = [f"fade{n:04x}" for n in range(60)]
        self.invalid("fadea")
        self.invalid(*crowd)
        self.invalid("fadeb")
        came = {}

        def one_more(serial):
            """While the crowd is told, first for the first time and then again, somebody revokes one more."""
            told = self.edge.told
            name = "fadec" if len(told) == 20 else "faded" if told.count(serial) == 2 and serial in crowd and "faded" not in came else None
            if name:
                came[name] = len(told)
                self.invalid(name)
                self.wake()
        self.edge.on_told = one_more
        self.start()
        passed = "SELECT last_id >= (SELECT max(id) FROM ocsp_invalidations WHERE serial_hex = 'fadeb') FROM ocsp_edge_cursors WHERE node_id = 'urgency'"
        self.stack.wait(lambda: set(self.edge.told) >= {*crowd, "fadea", "fadeb", "fadec"}, 60, "all are told")
        # Where the job was later than five seconds, it tells once: then nothing more comes until the rows are passed.
        self.stack.wait(lambda: "faded" in self.edge.told or self.stack.value(passed) == "t", 90, "the crowd is told again")
        told = list(self.edge.told)
        # Eight are under way at once: who takes the turn of another has waited for it.
        self.assertLessEqual(told.index("fadeb"), 7, "who was revoked alone comes before the crowd")
        self.assertLessEqual(told.index("fadea"), 8, "who was revoked alone comes before the crowd")
        for name, at in came.items():
            # Those that are told meanwhile may be asked about twice, where the machine is slow.
            self.assertLessEqual(told.index(name), at + 2 * 8, f"{name} has not waited: {told}")

    def test_a_connection_each(self):
        """Neighbours in the order of telling are under way on connections of their own, and one is left before a web server would end it."""
        self.listen()
        crowd = [f"fade{n:04x}" for n in range(200)]
        self.invalid(*crowd)
        self.start()
        self.stack.wait(lambda: len(set(self.edge.told)) == 200, 90, "all are told")
        for apart in range(1, 8):
            for one, other in zip(crowd, crowd[apart:]):
                self.assertIsNot(self.edge.first[one], self.edge.first[other], f"{one} and {other}")
        self.assertLessEqual(max(count[0] for count in self.edge.requests), 100, "Apache as Debian has it serves no more on one connection")


if __name__ == "__main__":
    unittest.main()
