"""start: from exec of a worker to its first answer, without and with the database."""
import os
import pwd
import socket
import struct
import subprocess
import time

from measure import Refused, middle, rss_mb

AIM_MS = 10.0


def record(kind, content):
    return struct.pack(">BBHHBB", 1, kind, 1, len(content), 0, 0) + content


def pair(name, value):
    def size(text):
        return struct.pack(">B", len(text)) if len(text) < 128 else struct.pack(">I", len(text) | 0x80000000)
    return size(name) + size(value) + name + value


def fastcgi(params):
    """One whole request of role RESPONDER without a body."""
    block = b"".join(pair(name.encode(), value.encode()) for name, value in params.items())
    return record(1, struct.pack(">HB5x", 1, 0)) + record(4, block) + record(4, b"") + record(5, b"")


def answer(connection):
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def environment(site):
    lines = []
    for name in ("certctl.env", "seal/seal.env"):
        with open(os.path.join(site.dir, name), encoding="utf-8") as source:
            lines += [line.strip() for line in source if "=" in line and not line.startswith("#")]
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PGUSER": "certctl_acme", **dict(line.split("=", 1) for line in lines)}


def edge_key(site):
    with open(os.path.join(site.dir, "secrets", "edge.nginx"), encoding="utf-8") as source:
        return source.read().split()[2].rstrip(";")


def credentials(site):
    if not site.isolated:
        return {}
    user = pwd.getpwnam("certctl-acme")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": os.getgrouplist("certctl-acme", user.pw_gid)}


def spawn(command, listening, env, **more):
    return subprocess.Popen(command, stdin=listening, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env,
                            cwd="/", close_fds=True, **more)


def cpu_ms(pid):
    """What a process has run so far, to the nanosecond, where the kernel tells."""
    try:
        with open(f"/proc/{pid}/schedstat", encoding="utf-8") as source:
            return int(source.read().split()[0]) / 1e6
    except OSError:
        return None


def one_start(site, path, request, env):
    """Of a request that waits there already: milliseconds until its answer, of them on a CPU, resident size, answer."""
    with socket.socket(socket.AF_UNIX) as listening:
        if os.path.exists(path):
            os.unlink(path)
        listening.bind(path)
        os.chmod(path, 0o666)
        listening.listen(16)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(request)
            began = time.perf_counter()
            with spawn([os.path.join(site.dir, "bin", "certctl-acme")], listening, env, **credentials(site)) as worker:
                data = answer(client)
                took = 1000 * (time.perf_counter() - began)
                ran, size = cpu_ms(worker.pid), rss_mb([worker.pid])
                worker.terminate()
    if b"Status: " not in data:
        raise Refused(f"the worker answered {data[:200]!r}")
    return took, ran, size, data


def exec_alone(env, **more):
    began = time.perf_counter()
    with spawn(["/bin/true"], subprocess.DEVNULL, env, **more) as worker:
        worker.wait()
        return 1000 * (time.perf_counter() - began)


def start(site, options, say):
    count = 10 if options.smoke else options.count or 100
    env, path = environment(site), os.path.join(site.home, "start.sock")
    common = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/acme/profile/prof-test/directory", "QUERY_STRING": "",
              "SERVER_NAME": "localhost", "SERVER_PORT": str(site.port), "SERVER_PROTOCOL": "HTTP/1.1",
              "CERTCTL_SURFACE": "acme", "REMOTE_ADDR": "127.0.0.1", "HTTPS": "on", "REQUEST_SCHEME": "https",
              "REQUEST_ID": "0" * 32, "DOCUMENT_URI": "/acme/profile/prof-test/directory"}
    ready = [one_start(site, path, fastcgi(common), env) for _ in range(count)]
    full = [one_start(site, path, fastcgi({"CERTCTL_EDGE_KEY": edge_key(site), **common}), env) for _ in range(count)]
    alone = [exec_alone(env, **credentials(site)) for _ in range(count)]
    if b"Status: 403" not in ready[0][3] or b"Status: 200" not in full[0][3]:
        raise Refused(f"the worker answered {ready[0][3][:200]!r} and {full[0][3][:200]!r}")
    times = sorted(one[0] for one in ready)
    with_database = sorted(one[0] for one in full)
    ran = [one[1] for one in ready if one[1] is not None]
    say(f"ready {middle(times):.1f} ms, of them {middle(ran) or 0:.1f} on a CPU, "
        f"with its first statement {middle(with_database):.1f} ms, /bin/true {middle(alone):.1f} ms")
    return {
        "rate": 1000 / middle(times), "limit": 1000 / AIM_MS, "ratio": AIM_MS / middle(times),
        "p50_ms": middle(times), "p99_ms": times[(99 * len(times) - 1) // 100], "errors": 0,
        "rss_mb": max(one[2] for one in full), "cpu_p50_ms": middle(ran),
        "first_answer_p50_ms": middle(with_database), "first_answer_p99_ms": with_database[(99 * count - 1) // 100],
        "exec_p50_ms": middle(alone),
    }
