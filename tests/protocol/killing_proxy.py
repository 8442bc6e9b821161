"""Relays connections to a unix socket, and kills who makes connection number STEP // 2: before it is passed on (even), or when it
has been answered there and not yet here (odd). For test_hierarchy.py; runs as the user whom the other end expects.

usage: killing_proxy.py LISTEN TARGET STEP"""
import os
import signal
import socket
import struct
import sys

listen, target, step = sys.argv[1], sys.argv[2], int(sys.argv[3])
server = socket.socket(socket.AF_UNIX)
server.bind(listen)
server.listen()


def take(stream):
    """One frame with its length."""
    data = b""
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
        more = stream.recv(65536)
        if not more:
            return data
        data += more
    return data


for number in range(step // 2 + 1):
    peer, _ = server.accept()
    pid = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    request = take(peer)
    last = number == step // 2
    if last and step % 2 == 0:
        os.kill(pid, signal.SIGKILL)
        break
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(target)
        wire.sendall(request)
        reply = take(wire)
    if last:
        os.kill(pid, signal.SIGKILL)
        break
    peer.sendall(reply)
    peer.close()
