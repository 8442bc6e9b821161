"""nginx and Apache give the same answers (10 section 9): one matrix of requests over both, side by side."""
import atexit
import json
import os
import re
import socket
import ssl
import unittest

from acme_client import Answer, Client, csr
from case import ENVIRONMENT, PROFILES, shared_stack
from cryptography.hazmat.primitives.asymmetric import ec
from stack import Stack

JOSE = {"Content-Type": "application/jose+json"}
PROFILE = "/acme/profile/prof-test"
# Of each answer these are equal, or missing on both sides.
HEADERS = ("Content-Type", "Location", "Link", "Allow", "Cache-Control", "Retry-After", "Access-Control-Allow-Origin",
           "Access-Control-Allow-Methods", "Access-Control-Expose-Headers", "Strict-Transport-Security", "X-Frame-Options",
           "X-Content-Type-Options", "Referrer-Policy", "Content-Security-Policy", "Permissions-Policy", "Vary", "ETag")
# Method, path, body, header fields.
MATRIX = (
    ("GET", "/health", None, {}),
    ("HEAD", "/health", None, {}),
    ("POST", "/health", b"", {}),
    ("OPTIONS", "/health", None, {}),
    ("GET", "/ready", None, {}),
    ("GET", "/health?verbose=1", None, {}),
    ("GET", "/health/", None, {}),
    ("GET", "/healthy", None, {}),
    ("GET", "/api/v1/nothing", None, {}),
    ("GET", "/", None, {}),
    ("GET", "/index.html", None, {}),
    ("POST", "/nothing", b"x", {}),
    ("DELETE", "/nothing", None, {}),
    ("GET", "/acmedotcom", None, {}),
    ("GET", "/acme", None, {}),
    ("GET", "/acme/", None, {}),
    ("GET", "/acme/nothing", None, {}),
    ("GET", "/acme/directory", None, {}),
    ("GET", "/acme/directory/", None, {}),
    ("GET", "/acme//directory", None, {}),
    ("GET", "/acme/./directory", None, {}),
    ("GET", "/acme/x/../directory", None, {}),
    ("GET", "/health/../acme/directory", None, {}),
    ("GET", "/acme/../health", None, {}),
    ("GET", "/acme/%64irectory", None, {}),
    ("GET", "/acme/a%2fb", None, {}),
    ("GET", "/acme/a%5cb", None, {}),
    ("GET", "/acme/a%0ab", None, {}),
    ("GET", PROFILE + "/order/a%20b", None, {}),
    ("GET", PROFILE + "/order/" + "a" * 300, None, {}),
    ("GET", PROFILE + "/directory?" + "q" * 9000, None, {}),
    ("GET", PROFILE + "/directory", None, {}),
    ("HEAD", PROFILE + "/directory", None, {}),
    ("GET", PROFILE + "/directory", None, {"X-Forwarded-For": "192.0.2.1", "X_Forwarded_For": "192.0.2.1"}),
    ("GET", PROFILE + "/directory", None, {"Proxy": "http://192.0.2.1/"}),
    ("GET", PROFILE + "/directory", None, {"X-Request-ID": "mine"}),
    ("GET", "/acme/profile/prof-nobody/directory", None, {}),
    ("HEAD", PROFILE + "/new-nonce", None, {}),
    ("GET", PROFILE + "/new-nonce", None, {}),
    ("OPTIONS", PROFILE + "/new-order", None, {"Origin": "https://example.org"}),
    ("GET", PROFILE + "/new-order", None, {}),
    ("PUT", PROFILE + "/new-order", b"{}", JOSE),
    ("FOO", PROFILE + "/new-order", None, {}),
    ("POST", PROFILE + "/new-order", b"", JOSE),
    ("POST", PROFILE + "/new-order", b"{}", JOSE),
    ("POST", PROFILE + "/new-order", b"{}", {"Content-Type": "application/json"}),
    ("POST", PROFILE + "/new-order", b"{}", {}),
    ("POST", PROFILE + "/new-order", b'{"protected":"","payload":"","signature":""}', JOSE),
    ("POST", PROFILE + "/new-order?x=1", b"{}", JOSE),
    ("POST", PROFILE + "/new-order", b"x" * (128 * 1024), JOSE),
    ("POST", PROFILE + "/new-order", b"x" * (128 * 1024 + 1), JOSE),
    ("GET", "/.well-known/pki/nothing", None, {}),
    ("GET", "/.well-known/pki/crl/", None, {}),
    ("GET", "/.well-known/pki/ca", None, {}),
    ("GET", "/.well-known/pki/crl/none", None, {}),
    ("GET", "/.well-known/pki/ca/none", None, {}),
    ("GET", "/.well-known/pki/ca/" + "a" * 129, None, {}),
    ("GET", "/.well-known/pki/crl/..%2f..%2fcertctl.env", None, {}),
    ("GET", "/.well-known/pki/crl/iss-local/", None, {}),
    ("POST", "/.well-known/pki/crl/iss-local", b"", {}),
    ("OPTIONS", "/.well-known/pki/crl/none", None, {}),
    ("GET", "/acme/directory", None, {"Host": "evil.example"}),
    ("GET", "/nothing", None, {"Host": "evil.example"}),
    ("GET", "/health", None, {"Host": "LOCALHOST"}),
    ("GET", "/health", None, {"Host": "localhost."}),
    ("GET", "/health", None, {"Host": "127.0.0.1"}),
    ("GET", "/health", None, {"Expect": "100-continue"}),
)
# What no library sends: the bytes of a request up to its end.
RAW = (
    ("absolute form", b"GET https://localhost/acme/directory HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    ("foreign absolute form", b"GET https://evil.example/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    ("HTTP/1.0", b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n"),
    ("no host", b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n"),
    ("no line", b"\x01\x02\r\n\r\n"),
    ("a bad escape", b"GET /nothing%zz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    ("a long line", b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    ("a long field", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 20000 + b"\r\nConnection: close\r\n\r\n"),
)

_other = {}


def two_stacks():
    """The shared stack and one with the other web server, nginx first."""
    shared = shared_stack()
    if not _other:
        other = Stack(ENVIRONMENT, name="other", web="apache" if shared.web == "nginx" else "nginx")
        atexit.register(other.stop, keep=bool(os.environ.get("CERTCTL_CHECK_KEEP")))
        other.start()
        other.sql(PROFILES)
        _other["stack"] = other
    return sorted((shared, _other["stack"]), key=lambda stack: stack.web, reverse=True)


def without_chance(text, stack):
    """Ports, ids and times of one installation replaced by words."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID", text)  # first: it may hold the digits of the port
    text = text.replace(f":{stack.port}", ":PORT")
    text = re.sub(r"(acme-\w+|mc|ica|ca)-[0-9a-z]{26}", r"\1-ID", text)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)


def elements(fields):
    """A list as one text, however it was spread over fields; empty elements do not count (RFC 9110 section 5.6.1)."""
    return ", ".join(sorted(element for element in re.split(r", *", ", ".join(fields)) if element))


def seen(answer, stack, bare=False):
    """What must be equal."""
    headers = {name: without_chance(elements(answer.headers.get_all(name)), stack)
               for name in HEADERS if answer.headers.get_all(name)}
    headers["X-Request-ID"] = bare or bool(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
                                                        answer.headers.get("X-Request-ID") or ""))
    headers["Replay-Nonce"] = len(answer.headers.get("Replay-Nonce") or "")
    body = without_chance(answer.body.decode(), stack)
    if bare:
        body = re.sub(r'"request_id":"(UUID)?"', '"request_id":""', body)
    return {"status": answer.status, "headers": headers, "body": body}


def raw(stack, sent):
    """An answer to these bytes over a connection of its own."""
    context = ssl.create_default_context(cafile=stack.root_pem)
    with socket.create_connection(("127.0.0.1", stack.port), timeout=60) as plain, \
            context.wrap_socket(plain, server_hostname="localhost") as wire:
        wire.sendall(sent)
        data = b""
        try:
            while chunk := wire.recv(65536):
                data += chunk
        except (ConnectionResetError, ssl.SSLError):
            pass
    return parsed(data)


def parsed(data):
    import http.client
    import io

    class Wire:
        def makefile(self, *_):
            return io.BytesIO(data)

    response = http.client.HTTPResponse(Wire())
    response.begin()
    return Answer(response.status, response.headers, response.read())


class BothServers(unittest.TestCase):

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.stacks = two_stacks()

    def test_they_are_two(self):
        names = [Client(stack).raw("GET", "/health").headers["Server"] for stack in self.stacks]
        self.assertEqual(names, ["nginx", "Apache"])

    def test_the_matrix(self):
        for method, path, body, headers in MATRIX:
            answers = [Client(stack).raw(method, path, body, headers) for stack in self.stacks]
            with self.subTest(f"{method} {path[:60]} {str(headers)[:60]}"):
                self.assertEqual(*(seen(answer, stack) for answer, stack in zip(answers, self.stacks)))

    def test_what_no_library_sends(self):
        """Apache has no id for a request that it could not read, so ids are not compared here."""
        for about, sent in RAW:
            with self.subTest(about):
                self.assertEqual(*(seen(raw(stack, sent), stack, bare=True) for stack in self.stacks))

    def test_plain_http_to_the_tls_port(self):
        answers = []
        for stack in self.stacks:
            with socket.create_connection(("127.0.0.1", stack.port), timeout=60) as wire:
                wire.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                data = b""
                while chunk := wire.recv(65536):
                    data += chunk
            answers.append(seen(parsed(data), stack, bare=True))
        self.assertEqual(*answers)
        self.assertEqual((answers[0]["status"], json.loads(answers[0]["body"])["code"]), (400, "malformed"))

    def test_a_body_without_a_length(self):
        """nginx reads it first and announces its length; Apache would write it to the disk without limit."""
        nginx, apache = (Client(stack).raw("POST", PROFILE + "/new-order", iter([b"{", b"}"]), JOSE) for stack in self.stacks)
        self.assertEqual((nginx.status, apache.status), (400, 411))
        self.assertEqual(apache.headers["Content-Type"], "application/problem+json")
        self.assertIn("Content-Length", apache.json["detail"])

    def test_a_whole_issuance(self):
        """Each answer on the way to a certificate, and its refusals."""
        runs = []
        for stack in self.stacks:
            acme = Client(stack, "prof-test")
            answers = [acme.register(), acme.post(acme.kid or "", {}), acme.order("both.example.org", "two.example.org")]
            order = answers[-1]
            answers.append(acme.order("*.bad..name"))
            answers.append(acme.post("/new-order", {}, nonce="x"))
            answers.append(acme.post(order.json["authorizations"][0]))
            answers.append(acme.post(order.headers["Location"]))
            names = ["both.example.org", "two.example.org"]
            answers.append(acme.finalize(order.json, csr(ec.generate_private_key(ec.SECP256R1()), names[:1])))
            answers.append(acme.finalize(order.json, csr(ec.generate_private_key(ec.SECP256R1()), names)))
            chain = acme.post(answers[-1].json["certificate"])
            self.assertEqual((chain.status, chain.body.count(b"BEGIN CERTIFICATE")), (200, 2))
            chain.body = b""
            runs.append([seen(answer, stack) for answer in [*answers, chain]])
        for first, second in zip(*runs):
            self.assertEqual(re.sub(r"[A-Za-z0-9_-]{43}", "TOKEN", json.dumps(first)),
                             re.sub(r"[A-Za-z0-9_-]{43}", "TOKEN", json.dumps(second)))

    def test_a_responder_that_is_gone(self):
        """Other statuses (nginx 502, Apache 503), but the same shape, and Retry-After."""
        for stack in self.stacks:
            with self.subTest(stack.web):
                path = os.path.join(stack.dir, "run", "acme.sock")
                os.rename(path, path + ".away")
                try:
                    answer = Client(stack).raw("GET", "/acme/directory")
                finally:
                    os.rename(path + ".away", path)
                self.assertIn(answer.status, (502, 503))
                self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
                self.assertEqual((answer.json["type"], answer.json["status"], answer.headers["Retry-After"]),
                                 ("urn:ietf:params:acme:error:serverInternal", answer.status, "5"))
                self.assertEqual(answer.json["request_id"], answer.headers["X-Request-ID"])
                self.assertEqual(Client(stack).raw("GET", "/acme/directory").status, 200)
