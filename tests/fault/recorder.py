"""What clients saw: every answer of every client, in the order in which it came, for the checker."""
import hashlib
import http.client
import json
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from acme_client import Client, b64u_bytes, csr

BROKEN = (OSError, http.client.HTTPException, ValueError, KeyError)


def hex_serial(leaf):
    return f"{leaf.serial_number:x}"


class Recorder:
    """Events as dictionaries; also a line each in a file, for a person afterwards."""

    def __init__(self, path=None):
        self.events = []
        self.lock = threading.Lock()
        self.out = open(path, "a", encoding="utf-8", buffering=1) if path else None

    def add(self, kind, **facts):
        event = {"kind": kind, "at": time.monotonic(), **facts}
        with self.lock:
            self.events.append(event)
            if self.out:
                self.out.write(json.dumps(event) + "\n")

    def incident(self, what):
        self.add("incident", what=what)


class RecordingClient(Client):
    """Each POST is an event, whether an answer came or not."""

    def __init__(self, stack, profile, recorder, key=None):
        super().__init__(stack, profile, key)
        self.recorder = recorder
        self.last_body = None

    def post_body(self, path, body, content_type="application/jose+json", headers=None):
        self.next_nonce = None
        self.last_body = (path, body)
        header = json.loads(b64u_bytes(body["protected"]))
        facts = {"path": path, "nonce": header.get("nonce"), "reads": body["payload"] == "", "client": id(self)}
        try:
            answer = super().post_body(path, body, content_type, headers)
        except BROKEN as error:
            self.recorder.add("answer", status=0, type=repr(error)[:80], **facts)
            raise
        # the web server's own pages know no problem document
        kind = answer.type if answer.headers.get("Content-Type") == "application/problem+json" else None
        self.recorder.add("answer", status=answer.status, type=kind, **facts)
        if answer.status in (200, 201) and "/order/" in (answer.headers.get("Location") or ""):
            self.saw_order(answer)
        return answer

    def saw_order(self, answer):
        order = answer.json
        self.recorder.add("order", order=answer.headers["Location"].rsplit("/", 1)[1], status=order["status"],
                          certificate=(order.get("certificate") or "/").rsplit("/", 1)[1] or None)

    def replay(self):
        """The last request once more, octet for octet."""
        if self.last_body:
            self.post_body(*self.last_body)

    def saw_leaf(self, order, url, pem):
        leaf = x509.load_pem_x509_certificate(pem)
        self.recorder.add("held", order=order, certificate=url.rsplit("/", 1)[1], serial=hex_serial(leaf),
                          sha256=hashlib.sha256(leaf.public_bytes(serialization.Encoding.DER)).hexdigest())
        return leaf


class Customer:
    """One client's life: orders, finalizes, fetches, sometimes revokes and replays; what broke it tries
    again as a real client does, with the same CSR."""

    def __init__(self, stack, recorder, dice, name, profile="prof-test"):
        self.acme = RecordingClient(stack, profile, recorder)
        self.recorder, self.dice, self.name = recorder, dice, name
        self.turn = 0
        self.open = None  # (names, key, CSR, order URL or None)
        self.wrong = []
        self.done = 0

    def step(self):
        """One request, or one chain of them; never raises for what a broken server may do."""
        try:
            if not self.acme.kid:
                self.acme.register()
            elif self.open is None:
                self.begin()
            else:
                self.go_on()
            if self.dice.random() < 0.1:
                self.acme.replay()
        except (*BROKEN, AssertionError):
            if self.dice.random() < 0.3:
                try:
                    self.acme.replay()
                except BROKEN:
                    pass

    def begin(self):
        self.turn += 1
        names = [f"{self.name}-{self.turn}.example.org", f"{self.name}-{self.turn}.example.net"]
        key = ec.generate_private_key(ec.SECP256R1())
        self.open = (names, key, csr(key, names), None)
        self.go_on()

    def go_on(self):
        names, key, der, url = self.open
        if url is None:
            answer = self.acme.order(*names)
            if self.unfit(answer, 201):
                return
            url = answer.headers["Location"]
            self.open = (names, key, der, url)
        order = self.acme.post(url)
        if self.unfit(order, 200):
            return
        if order.json["status"] == "ready":
            order = self.acme.finalize(order.json, der)
            if self.unfit(order, 200):
                return
        if order.json["status"] == "processing":
            return  # a job issues it: asked again with the next step
        if order.json["status"] != "valid":
            self.wrong.append(order)
            self.open = None
            return
        address = order.json["certificate"]
        chain = self.acme.post(address)
        if self.unfit(chain, 200):
            return
        leaf = self.acme.saw_leaf(url.rsplit("/", 1)[1], address, chain.body)
        self.open = None
        self.done += 1
        if self.dice.random() < 0.2:
            self.revoke(leaf)

    def revoke(self, leaf):
        answer = self.acme.revoke(leaf.public_bytes(serialization.Encoding.DER), 4)
        if answer.status == 200 or answer.type == "alreadyRevoked":
            self.recorder.add("revoked", serial=hex_serial(leaf))

    def unfit(self, answer, status):
        """True when it must be tried again; what no fault explains is kept."""
        if answer.status == status:
            return False
        if answer.status < 500 and answer.type != "badNonce":
            self.wrong.append(answer)
            self.open = None
        return True

    def settle(self, seconds=240):
        """Until what is open has come to its end."""
        deadline = time.monotonic() + seconds
        while self.open is not None and time.monotonic() < deadline:
            self.step()
        return self.open is None
