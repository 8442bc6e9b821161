"""What acme-validate talks to in tests: a DNS server and a web server of ours on loopback, whose names
can behave as badly as the test wants."""
import datetime
import hashlib
import os
import socket
import ssl
import struct
import tempfile
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID, ObjectIdentifier

A, CNAME, TXT, AAAA, CAA = 1, 5, 16, 28, 257
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3


def txt_rdata(text):
    """A text, cut where it must be, or a tuple of character-strings."""
    pieces = text if isinstance(text, tuple) else [text[i:i + 255] for i in range(0, len(text), 255)] or [""]
    return b"".join(bytes([len(piece)]) + piece.encode("latin-1") for piece in pieces)


def caa_rdata(record):
    """Flags, tag and value, or octets as they are."""
    if isinstance(record, bytes):
        return record
    flags, tag, value = record
    return bytes([flags, len(tag)]) + tag.encode() + value.encode("latin-1")


def name_rdata(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


class Names:
    """DNS over UDP. zone: name -> list of addresses, an rcode, None (no answer at all), or a function
    of the type that returns one of these. Names that nobody entered are found at 127.0.0.1 when they
    end in .good.test; all others do not exist. txt and caa: likewise with their records; aliases:
    name -> name."""

    def __init__(self):
        self.zone = {}
        self.txt = {}
        self.caa = {}
        self.aliases = {}
        self.folder = None  # of files that bear a name and hold its TXT records, a line each
        self.asked = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                query, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            answer = self.answer(query)
            if answer:
                self.socket.sendto(answer, peer)

    def look_up(self, name, kind):
        """An rcode, None, or (type, RDATA) of each record."""
        path = os.path.join(self.folder or "", name)
        if kind == TXT and self.folder and os.path.exists(path):
            with open(path, encoding="utf-8") as source:
                return [(TXT, txt_rdata(line)) for line in source.read().split("\n") if line]
        if name in self.aliases:
            return [(CNAME, name_rdata(self.aliases[name]))]
        table = {TXT: self.txt, CAA: self.caa}.get(kind, self.zone)
        entry = table.get(name, self.zone.get(name, ["127.0.0.1"] if name.endswith(".good.test") else NXDOMAIN))
        entry = entry(kind) if callable(entry) else entry
        if not isinstance(entry, list):
            return entry
        if table is self.zone:
            return [(AAAA if ":" in a else A, socket.inet_pton(socket.AF_INET6 if ":" in a else socket.AF_INET, a)) for a in entry]
        return [(kind, (txt_rdata if kind == TXT else caa_rdata)(record)) for record in entry] if name in table else []

    def answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += query[at] + 1
        kind = struct.unpack(">H", query[at + 1:at + 3])[0]
        question = query[12:at + 5]
        name = ".".join(labels).lower()
        self.asked.append((name, kind))
        found = self.look_up(name, kind)
        if found is None:
            return None
        rcode, records = (found, []) if isinstance(found, int) else (NOERROR, found)
        data = [record for record in records if record[0] in (kind, CNAME)]
        answer = query[:2] + struct.pack(">HHHHH", 0x8180 | rcode, 1, len(data), 0, 0) + question
        for its_kind, raw in data:
            answer += b"\xc0\x0c" + struct.pack(">HHIH", its_kind, 1, 0, len(raw)) + raw
        return answer

    def close(self):
        self.socket.close()


class Web:
    """One thread a connection. proofs: token -> key authorization. behaviours: host -> function of the
    connection and the path, instead of the proof."""

    def __init__(self, port=0):
        self.proofs = {}
        self.behaviours = {}
        self.hits = {}
        self.heads = {}
        self.sent = {}
        self.lock = threading.Lock()
        self.socket = listen("127.0.0.1", port)
        self.port = self.socket.getsockname()[1]
        self.traps = {}
        threading.Thread(target=accept_all, args=(self.socket, self.serve), daemon=True).start()

    def trap(self, address):
        """Listens on an address that nobody may come to; connections to it are kept in traps."""
        came = self.traps.setdefault(address, [])
        trap = listen(address, self.port)

        def record(connection):
            came.append(connection.getpeername())
            connection.close()

        threading.Thread(target=accept_all, args=(trap, record), daemon=True).start()
        return trap

    def serve(self, connection):
        with connection:
            try:
                connection.settimeout(60)
                head = b""
                while b"\r\n\r\n" not in head:
                    piece = connection.recv(4096)
                    if not piece:
                        return
                    head += piece
                    if head[:1] == b"\x16":  # a TLS handshake, of which we know nothing
                        reply(connection, 400)
                        return
                lines = head.decode("latin-1").split("\r\n")
                path = lines[0].split(" ")[1]
                host = next((line[5:].strip() for line in lines if line.lower().startswith("host:")), "")
                host = host.rsplit(":", 1)[0] if host.endswith(f":{self.port}") else host
                with self.lock:
                    self.hits[host] = self.hits.get(host, 0) + 1
                    self.heads[host] = head.decode("latin-1")
                self.behaviours.get(host, self.prove)(connection, path)
            except OSError:
                pass

    def prove(self, connection, path):
        proof = self.proofs.get(path.rsplit("/", 1)[-1])
        reply(connection, 200 if proof else 404, (proof or "no such token") + "\n")

    def close(self):
        close(self.socket)


class Tls:
    """tls-alpn-01: shows what `shows` says for the name that the client asks for: a certificate and its
    key in PEM, and the protocols it agrees to. behaviour: function of the raw connection; true: it is done."""

    def __init__(self, port):
        self.shows = {}
        self.asked = []
        self.behaviour = None
        self.folder = None
        self.socket = listen("127.0.0.1", port)
        self.nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.nobody.sni_callback = self.choose
        threading.Thread(target=accept_all, args=(self.socket, self.serve), daemon=True).start()

    def choose(self, connection, name, _):
        self.asked.append(name)
        made = f"{self.folder}/{name}.crt.pem"
        if self.folder and os.path.exists(made):  # of dehydrated
            with open(made, "rb") as certificate, open(f"{self.folder}/{name}.key.pem", "rb") as key:
                self.shows[name] = (certificate.read() + key.read(), ["acme-tls/1"])
        if name not in self.shows:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        pem, protocols = self.shows[name]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(protocols)
        with tempfile.NamedTemporaryFile(suffix=".pem") as out:
            out.write(pem)
            out.flush()
            context.load_cert_chain(out.name)
        connection.context = context
        return None

    def serve(self, connection):
        with connection:
            connection.settimeout(60)
            try:
                if self.behaviour and self.behaviour(connection):
                    return
                with self.nobody.wrap_socket(connection, server_side=True) as wrapped:
                    wrapped.recv(1)
            except OSError:  # ssl.SSLError too
                pass

    def close(self):
        close(self.socket)


def alpn_certificate(names, proof, critical=True, signed_by=None, value=None, times=1):
    """Certificate and key of RFC 8737 in PEM. `value`: of the extension, instead of the proof's digest."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "proof")])
    value = value if value is not None else b"\x04\x20" + hashlib.sha256(proof.encode()).digest()
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if times:
        builder = builder.add_extension(x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.5.5.7.1.31"), value), critical=critical)
    made = builder.sign(signed_by or key, hashes.SHA256())
    return made.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def close(listener):
    """A socket that a thread waits on stays until the thread wakes."""
    try:
        listener.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    listener.close()


def listen(address, port):
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(1024)
    return listener


def accept_all(listener, serve):
    while True:
        try:
            connection, _ = listener.accept()
        except ConnectionAbortedError:  # its client gave up before we came
            continue
        except OSError:
            return
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def reply(connection, status, body="", **headers):
    lines = [f"HTTP/1.1 {status} Word", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1"))


def redirect(location, status=302):
    return lambda connection, path: reply(connection, status, Location=location(path) if callable(location) else location)


def never_answers(connection, path):
    time.sleep(60)


def drips_headers(connection, path):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for i in range(600):
        connection.sendall(f"X-{i}: a\r\n".encode())
        time.sleep(0.1)


def drips_body(connection, path):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    for _ in range(600):
        connection.sendall(b"a")
        time.sleep(0.1)


def endless_headers(connection, path):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-Filler: " + b"a" * 4000 + b"\r\n")


def sends_a_gigabyte(counts, host):
    """Without a length, so that only reading tells; counts what the kernel took."""

    def behave(connection, path):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        counts[host] = 0
        block = b"a" * 65536
        while counts[host] < 1 << 30:
            connection.sendall(block)
            counts[host] += len(block)

    return behave
