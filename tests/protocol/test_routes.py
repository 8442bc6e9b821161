"""The way to a handler: unknown routes, methods, bodies, the edge key, headers that all answers bear."""
import os
import socket
import struct
import unittest

from case import ProtocolTest


def fcgi(path, params, stdin=b""):
    """One FastCGI request over a unix socket, as a process on this host could send it."""
    def length(text):
        return bytes([len(text)]) if len(text) < 128 else struct.pack(">I", len(text) | 0x80000000)

    def record(kind, content):
        return struct.pack(">BBHHBx", 1, kind, 1, len(content), 0) + content

    block = b"".join(length(n) + length(v) + n + v for n, v in
                     ((n.encode(), v.encode()) for n, v in params.items()))
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(60)
        wire.connect(path)
        wire.sendall(record(1, struct.pack(">HB5x", 1, 0)) + record(4, block) + record(4, b"")
                     + (record(5, stdin) if stdin else b"") + record(5, b""))
        data = b""
        while chunk := wire.recv(65536):
            data += chunk
    out = b""
    while len(data) >= 8:
        _, kind, _, size, padding = struct.unpack(">BBHHB", data[:7])
        if kind == 6:
            out += data[8:8 + size]
        data = data[8 + size + padding:]
    head, _, body = out.partition(b"\r\n\r\n")
    return head.decode(), body


class Routes(ProtocolTest):

    def setUp(self):
        self.acme = self.client(register=False)

    def test_unknown_paths(self):
        for path in ("/acme/nothing", "/acme/profile/prof-test/nothing", "/acme/", "/acme/profile/prof-test/order/a%20b",
                     "/acme/profile/prof-test//directory",
                     "/acme/directory/"):
            with self.subTest(path):
                answer = self.acme.raw("GET", path)
                self.assertProblem(answer, 404, "malformed", "no such ACME resource")
        answer = self.acme.raw("POST", "/acme/profile/prof-test/order/" + "a" * 129, b"{}")
        self.assertProblem(answer, 404, "malformed", "no such ACME resource")
        for path in ("/acmedotcom", "/nothing", "/api/v1/nothing"):
            with self.subTest(path):
                answer = self.acme.raw("GET", path)
                self.assertEqual(answer.status, 404)
                self.assertEqual(answer.headers["Content-Type"], "application/json")
                self.assertEqual(answer.json["code"], "not_found")

    def test_wrong_methods(self):
        for path in ("/new-order", "/order/acme-ord-1", "/cert/mc-1", "/new-account"):
            with self.subTest(path):
                answer = self.acme.raw("GET", self.acme.prefix + path)
                self.assertProblem(answer, 405, "malformed", "POST-as-GET")
                self.assertEqual(answer.headers["Allow"], "OPTIONS, POST")
        self.assertProblem(self.acme.raw("DELETE", self.acme.prefix + "/directory"), 405, "malformed")
        answer = self.acme.raw("POST", "/health")
        self.assertEqual((answer.status, answer.headers["Allow"]), (405, "GET, HEAD, OPTIONS"))
        self.assertEqual(answer.json["code"], "method_not_allowed")

    def test_query_on_a_post(self):
        answer = self.acme.raw("POST", self.acme.prefix + "/new-order?x=1", b"{}", {"Content-Type": "application/jose+json"})
        self.assertProblem(answer, 400, "malformed", "query")

    def test_too_large(self):
        body = b"x" * (128 * 1024 + 1)
        answer = self.acme.raw("POST", self.acme.prefix + "/new-order", body, {"Content-Type": "application/jose+json"})
        self.assertProblem(answer, 413, "malformed", "request body")
        answer = self.acme.raw("POST", self.acme.prefix + "/new-order", body[:128 * 1024],
                               {"Content-Type": "application/jose+json"})
        self.assertProblem(answer, 400, "malformed", "request body too large")

    def test_options(self):
        answer = self.acme.raw("OPTIONS", self.acme.prefix + "/new-order")
        self.assertEqual((answer.status, answer.headers["Access-Control-Allow-Origin"]), (204, "*"))
        self.assertIn("POST", answer.headers["Access-Control-Allow-Methods"])

    def test_directory(self):
        answer = self.acme.raw("GET", self.acme.prefix + "/directory")
        here = self.acme.base + self.acme.prefix
        self.assertEqual(answer.json, {"newNonce": here + "/new-nonce", "newAccount": here + "/new-account",
                                       "newOrder": here + "/new-order", "revokeCert": here + "/revoke-cert",
                                       "keyChange": here + "/key-change", "renewalInfo": here + "/renewal-info"})
        self.assertNotIn("meta", answer.json)
        self.assertNotIn("Link", answer.headers)
        self.assertEqual(answer.headers["Cache-Control"], "public, max-age=0, no-cache")
        short = self.acme.raw("GET", "/acme/directory")
        self.assertEqual(short.json["newOrder"], self.acme.base + "/acme/new-order")

    def test_directories_that_are_none(self):
        self.assertProblem(self.acme.raw("GET", "/acme/profile/prof-nobody/directory"), 404, "userActionRequired", "profile not found")
        self.assertProblem(self.acme.raw("GET", "/acme/profile/prof-disabled/directory"), 403, "userActionRequired", "disabled")

    def test_nonces(self):
        head = self.acme.raw("HEAD", self.acme.prefix + "/new-nonce")
        get = self.acme.raw("GET", self.acme.prefix + "/new-nonce")
        self.assertEqual((head.status, head.body, get.status, get.body), (200, b"", 204, b""))
        for answer in (head, get):
            self.assertRegex(answer.headers["Replay-Nonce"], r"^[A-Za-z0-9_-]{51}$")
            self.assertEqual(answer.headers["Cache-Control"], "no-store")
            self.assertIn('rel="index"', answer.headers["Link"])
        self.assertNotEqual(head.headers["Replay-Nonce"], get.headers["Replay-Nonce"])

    def test_headers_of_every_answer(self):
        acme = self.client()
        order = acme.order("headers.example.org")
        for answer in (order, acme.post(order.headers["Location"]), acme.post("/new-order", {}),
                       acme.post("/new-order", {}, nonce="x")):
            self.assertIn(f'<{acme.base}{acme.prefix}/directory>;rel="index"', answer.links)
            self.assertEqual(answer.headers["Cache-Control"], "no-store")
            self.assertEqual(len(answer.headers["Replay-Nonce"]), 51)
            self.assertRegex(answer.headers["X-Request-ID"], r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")

    def test_probe(self):
        health = self.acme.raw("GET", "/health")
        self.assertEqual((health.status, health.json), (200, {"status": "healthy"}))
        ready = self.acme.raw("GET", "/ready")
        self.assertEqual((ready.status, ready.json), (200, {"status": "ready", "db": "reachable"}))
        version = self.acme.raw("GET", "/api/v1/version").json
        self.assertEqual(sorted(version), ["build_time", "commit", "go_version", "modified", "version"])
        for header in ("Strict-Transport-Security", "X-Frame-Options", "X-Content-Type-Options", "Referrer-Policy",
                       "Content-Security-Policy", "Permissions-Policy"):
            self.assertIn(header, health.headers)

    def test_a_foreign_host_name_is_not_served(self):
        answer = self.acme.raw("GET", "/acme/directory", headers={"Host": "evil.example"})
        self.assertEqual(answer.status, 421)


class EdgeKey(ProtocolTest):
    """Who reaches a socket without the web server's key gets nothing (00 decision 47)."""

    def params(self, **changes):
        params = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/acme/directory", "CERTCTL_SURFACE": "acme", "HTTPS": "on",
                  "REQUEST_SCHEME": "https", "SERVER_NAME": "localhost", "SERVER_PORT": "443", "CONTENT_LENGTH": "0"}
        params.update(changes)
        return {name: value for name, value in params.items() if value is not None}

    def socket(self, name="acme"):
        return os.path.join(self.stack.dir, "run", f"{name}.sock")

    def key(self):
        with open(os.path.join(self.stack.dir, "secrets", "edge.nginx"), encoding="utf-8") as source:
            return source.read().split()[-1].rstrip(";")

    def test_missing_and_wrong(self):
        for about, key in (("missing", None), ("empty", ""), ("wrong", "0" * 64), ("its digest", "e" * 64)):
            with self.subTest(about):
                head, body = fcgi(self.socket(), self.params(CERTCTL_EDGE_KEY=key))
                self.assertTrue(head.startswith("Status: 403"), head)
                self.assertIn(b"misrouted request", body)
                self.assertNotIn("\nReplay-Nonce:", head)

    @unittest.skipUnless(os.geteuid() == 0, "the key's file is readable by root alone")
    def test_right_key(self):
        head, _ = fcgi(self.socket(), self.params(CERTCTL_EDGE_KEY=self.key()))
        self.assertIn("\nReplay-Nonce:", head)
        head, body = fcgi(self.socket(), self.params(CERTCTL_EDGE_KEY=self.key(), CERTCTL_SURFACE="api"))
        self.assertTrue(head.startswith("Status: 500"), head)
        self.assertIn(b"misrouted request", body)
        head, body = fcgi(self.socket(), self.params(CERTCTL_EDGE_KEY=self.key(), REQUEST_SCHEME="http", HTTPS=None))
        self.assertTrue(head.startswith("Status: 403"), head)
        self.assertIn(b"HTTPS only", body)

    def test_the_key_is_nowhere_to_be_read(self):
        if os.geteuid() != 0:
            self.skipTest("one uid")
        key = self.key()
        for folder in ("log", "run", "nginx", "apache"):
            for root, _, files in os.walk(os.path.join(self.stack.dir, folder)):
                for name in files:
                    path = os.path.join(root, name)
                    if os.path.isfile(path):
                        with open(path, "rb") as source:
                            self.assertNotIn(key.encode(), source.read(), path)
