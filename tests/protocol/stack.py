"""One whole certctl on loopback, started by ./run in a directory of its own."""
import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def free_port():
    """Below the ports that the kernel gives to clients: until its owner listens, nobody else shall get it."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="utf-8") as source:
        end = min(int(source.read().split()[0]), 32768)
    while True:
        port = random.randrange(10000, end)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Stack:
    """Directory, port and database of one test run. `env` are further CERTCTL_* lines; `web` is nginx
    or apache, by default what CERTCTL_TEST_WEB says."""

    def __init__(self, env=None, workers=2, name="stack", web=None):
        self.web = web or os.environ.get("CERTCTL_TEST_WEB") or "nginx"
        base = os.environ.get("CERTCTL_CHECK_DIR") or tempfile.gettempdir()
        os.makedirs(base, exist_ok=True)
        home = tempfile.mkdtemp(prefix=f"{name}-", dir=base)
        os.chmod(home, 0o755)
        self.home = home
        self.dir = os.path.join(home, "run")
        self.port = free_port()
        self.http_port = free_port()
        self.url = f"https://localhost:{self.port}"
        self.http_url = f"http://localhost:{self.http_port}"
        self.environment = {
            **os.environ,
            "CERTCTL_RUN_DIR": self.dir,
            "CERTCTL_RUN_PORT": str(self.port),
            "CERTCTL_RUN_HTTP_PORT": str(self.http_port),
            "CERTCTL_RUN_WEB": self.web,
            "CERTCTL_RUN_DEMO": "no",
            "CERTCTL_RUN_WORKERS": str(workers),
        }
        env = dict(env or {})
        for variable in ("ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS"):  # the services' reports go where ./check looks
            if variable in os.environ:
                env[variable] = os.environ[variable]
        if env:
            path = os.path.join(home, "test.env")
            with open(path, "w", encoding="utf-8") as out:
                out.writelines(f"{name}={value}\n" for name, value in env.items())
            os.chmod(path, 0o644)
            self.environment["CERTCTL_RUN_ENV"] = path

    @property
    def root_pem(self):
        return os.path.join(self.dir, "root.pem")

    @property
    def isolated(self):
        """Separate users exist only where ./run is root."""
        return os.geteuid() == 0

    def run(self, *arguments, check=True):
        done = subprocess.run([os.path.join(TOP, "run"), *arguments], env=self.environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"./run {' '.join(arguments)} exited {done.returncode}:\n{done.stdout}")
        return done

    def start(self):
        self.run("up")
        return self

    def stop(self, keep=False):
        if keep:
            self.run("stop", check=False)
            return
        self.run("destroy", "--yes", check=False)
        shutil.rmtree(self.home, ignore_errors=True)

    def psql(self, *arguments):
        """The command line of a psql as the owner of the cluster."""
        command = ["psql", "-X", "-A", "-t", "-F", "\x1f", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h", self.pg_socket,
                   "-d", "certctl", *arguments]
        return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else command

    @contextlib.contextmanager
    def holding(self, statement):
        """A transaction that ran this statement, and keeps its locks until the end of the block. It gives a function that
        asks in the same session, without the start of a psql: who waits for a lock waits three seconds at most."""
        with subprocess.Popen(self.psql(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/") as session:
            session.stdin.write(f"BEGIN; {statement}; SELECT 'held';\n")
            session.stdin.flush()

            def answer():
                lines = []
                while (line := session.stdout.readline()) not in ("held\n", ""):
                    lines.append(line.rstrip("\n"))
                return lines

            def ask(query):
                session.stdin.write(f"SELECT pg_stat_clear_snapshot() \\g /dev/null\n{query};\n\\echo held\n")
                session.stdin.flush()
                return answer()

            answer()
            yield ask
            session.stdin.close()

    def sql(self, statement):
        """Rows as lists of texts, as the owner of the cluster."""
        done = subprocess.run(self.psql("-c", statement), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, cwd="/")
        if done.returncode != 0:
            raise AssertionError(f"{statement}: {done.stderr}")
        return [line.split("\x1f") for line in done.stdout.splitlines() if line]

    def value(self, statement):
        rows = self.sql(statement)
        return rows[0][0] if rows else None

    @property
    def pg_socket(self):
        return os.path.join(self.dir, "run", "pg")

    @property
    def signer_log(self):
        return os.path.join(self.dir, "state", "signer-log", "signer.log")

    @property
    def ca_keys(self):
        folder = os.path.join(self.dir, "state", "ca")
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".key")]

    def log(self, name):
        path = os.path.join(self.dir, "log", name)
        if not os.path.exists(path):
            return []
        lines = []
        with open(path, encoding="utf-8", errors="replace") as source:
            for line in source:
                try:
                    lines.append(json.loads(line))
                except ValueError:
                    lines.append({"text": line.rstrip()})
        return lines

    def requests(self, program, answers):
        """The line that a responder logs at the end of each of these requests. Other lines carry the request's id too, and
        a client has its answer before that last line is written."""
        wanted = [answer.headers["X-Request-ID"] for answer in answers]
        found = {}

        def seen():
            found.update((line["request_id"], line) for line in self.log(f"{program}.log")
                         if line.get("msg") == "request" and line["request_id"] in wanted)
            return len(found) == len(set(wanted))
        self.wait(seen, what=f"log lines of {wanted}")
        return [found[one] for one in wanted]

    def pids(self, program):
        """Processes of this stack whose binary has this name."""
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as source:
                    command = source.read().split(b"\0")
                with open(f"/proc/{entry}/environ", "rb") as source:
                    environment = source.read()
            except OSError:
                continue
            if command and os.path.basename(command[0]).decode() == program and self.dir.encode() in environment:
                found.append(int(entry))
        return sorted(found)

    def web_pids(self, web=None):
        """The web server that ./run has recorded and its children, whose own lines and environments say nothing."""
        try:
            with open(os.path.join(self.dir, "pid", web or self.web), encoding="utf-8") as source:
                leader = source.read().split()[0]
        except OSError:
            return []
        found = []
        for entry in os.listdir("/proc"):
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8") as source:
                    state, parent = source.read().rsplit(")", 1)[1].split()[:2]
            except (OSError, IndexError):
                continue
            if state != "Z" and leader in (entry, parent):
                found.append(int(entry))
        return sorted(found)

    def bench(self, name):
        """A program of tests/bench, made where it is missing; by one of us, since all share the build."""
        build = os.environ.get("CERTCTL_RUN_BUILD") or os.path.join(self.dir, "build")
        with open(os.path.join(build, "bench.lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            subprocess.run(["make", "-C", build, f"tests/bench/{name}"], stdout=subprocess.DEVNULL, check=True)
        return os.path.join(build, "tests", "bench", name)

    def kill(self, program):
        for pid in self.pids(program):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    @staticmethod
    def wait(condition, seconds=90, what="condition"):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return
            time.sleep(0.1)
        raise AssertionError(f"not within {seconds} s: {what}")
