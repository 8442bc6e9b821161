"""Slow clients hold connections, never workers: while they dawdle, others are served (00 decision 48)."""
import os
import socket
import ssl
import threading
import time

from case import ProtocolTest

SLOW = 50
OTHERS = 4
REQUESTS = 200
PIPELINED = 300  # with a small window, far more answers than all buffers on the way hold


class SlowClients(ProtocolTest):
    long = True

    def connection(self, receive_bytes=None):
        """TLS by hand: http.client would read and write for us."""
        context = ssl.create_default_context(cafile=self.stack.root_pem)
        plain = socket.socket()
        if receive_bytes:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        plain.settimeout(60)
        plain.connect(("127.0.0.1", self.stack.port))
        wire = context.wrap_socket(plain, server_hostname="localhost")
        self.addCleanup(wire.close)
        return wire

    def slow_body(self):
        """A request whose body has begun and will not end."""
        wire = self.connection()
        wire.sendall(b"POST /acme/profile/prof-test/new-order HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n"
                     b"Content-Type: application/jose+json\r\n\r\n" + b"x" * 1000)
        return wire

    def slow_reader(self):
        """Many requests on one connection, and no answer read: they fill every buffer."""
        wire = self.connection(receive_bytes=2048)
        wire.sendall(b"GET /acme/profile/prof-test/new-order HTTP/1.1\r\nHost: localhost\r\n\r\n" * PIPELINED)
        return wire

    def others(self, about):
        """REQUESTS requests by clients with nothing to hide; their durations."""
        durations = []
        failures = []

        def work(share):
            try:
                acme = self.client()
                for number in range(share):
                    began = time.monotonic()
                    if number % 2:
                        answer = acme.raw("HEAD", acme.prefix + "/new-nonce")
                        good = answer.status == 200
                        acme.next_nonce = answer.headers["Replay-Nonce"]
                    else:
                        answer = acme.post(acme.kid, None)
                        good = answer.status == 200
                    durations.append(time.monotonic() - began)
                    if not good:
                        failures.append(answer)
            except Exception as error:  # a thread's exception would be lost
                failures.append(error)

        threads = [threading.Thread(target=work, args=(REQUESTS // OTHERS,)) for _ in range(OTHERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(600)
        self.assertFalse(any(thread.is_alive() for thread in threads), f"{about}: others hang")
        self.assertEqual(failures, [], about)
        self.assertEqual(len(durations), REQUESTS, about)
        durations.sort()
        print(f"     {self.stack.web}, {about}: p50 {durations[REQUESTS // 2] * 1e3:.0f} ms, "
              f"p99 {durations[REQUESTS * 99 // 100] * 1e3:.0f} ms", flush=True)

    def unanswered(self, wires):
        count = 0
        for wire in wires:
            wire.setblocking(False)
            try:
                wire.recv(1)
            except ssl.SSLWantReadError:
                count += 1
            except OSError:
                pass
        return count

    def held_by_workers(self):
        """Accepted connections of the responder's socket, each of which would be a worker."""
        path = os.path.join(self.stack.dir, "run", "acme.sock")
        with open("/proc/net/unix", encoding="utf-8") as source:
            lines = [line.split() for line in source]
        return sum(1 for line in lines if line[-1] == path and line[5] == "03")

    def test_slow_bodies(self):
        began = time.monotonic()
        wires = [self.slow_body() for _ in range(SLOW)]
        self.stack.wait(lambda: self.held_by_workers() == 0, what="no worker has a body that is not whole")
        self.others(f"{SLOW} slow bodies")
        waiting = self.unanswered(wires)
        if time.monotonic() - began < 15:  # afterwards the web server may have lost its patience
            self.assertEqual(waiting, SLOW)

    def test_slow_readers(self):
        wires = [self.slow_reader() for _ in range(SLOW)]
        self.others(f"{SLOW} slow readers")
        self.stack.wait(lambda: self.held_by_workers() == 0, what="no worker waits for a reader")
        self.assertEqual(len(wires), SLOW)

    def test_both_at_once(self):
        wires = [self.slow_body() for _ in range(SLOW)] + [self.slow_reader() for _ in range(SLOW)]
        self.others(f"{SLOW} slow bodies and {SLOW} slow readers")
        self.assertEqual(len(wires), 2 * SLOW)

    def test_a_slow_reader_gets_every_answer(self):
        wire = self.slow_reader()
        self.stack.wait(lambda: self.held_by_workers() == 0, what="no worker waits for the reader")
        data = b""
        while data.count(b"HTTP/1.1 405 ") < PIPELINED:
            chunk = wire.recv(65536)
            self.assertTrue(chunk, f"closed after {data.count(b'HTTP/1.1 ')} answers")
            data += chunk
        self.assertEqual(data.count(b"HTTP/1.1 "), PIPELINED)
