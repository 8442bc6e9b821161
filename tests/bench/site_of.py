"""The stack of one bench: everything that ./run makes, of a plain build, with limits far away."""
import json
import os
import signal
import socket
import subprocess
import sys
import zlib

from measure import Refused

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "protocol"))
from stack import TOP, Stack, free_port  # pylint: disable=wrong-import-position

PROFILES = {"trust": "prof-test", "challenge": "prof-chal"}

# On, as where it is used, but never met. Workers stay, so that what they grow by is seen.
ENVIRONMENT = {
    "CERTCTL_ACME_SERVER_RATE_LIMIT_CONCURRENT_ORDERS": "1000000000",
    "CERTCTL_ACME_SERVER_RATE_LIMIT_ORDERS_PER_HOUR": "1000000000",
    "CERTCTL_ACME_SERVER_RATE_LIMIT_NEW_ACCOUNTS_PER_IP_PER_HOUR": "1000000000",
    "CERTCTL_OCSP_RATE_LIMIT_PER_IP_MIN": "1000000",
    "CERTCTL_OUTBOUND_ALLOW_CIDRS": "127.0.0.1/32",
    "CERTCTL_WORKER_MAX_REQUESTS": "1000000000",
}

LOCAL_CONF = """
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.track = all
"""

NGINX = """
# Written by tests/bench: what the web server can do at best, beside the site and as the site does it.
fastcgi_cache_path {run}/nginx/temp/bench keys_zone=bench:1m;
server {{
    listen 127.0.0.1:{port} ssl http2;
    listen 127.0.0.1:{plain_port};
    server_name localhost;
    ssl_protocols TLSv1.3;
    location = /static {{
        default_type text/plain;
        alias {run}/nginx/bench.txt;
    }}
    location = /plain {{
        include {run}/nginx/certctl-fastcgi.conf;
        fastcgi_param CERTCTL_SURFACE bench;
        fastcgi_pass unix:{run}/run/trivial.sock;
    }}
    location = /cached {{
        include {run}/nginx/certctl-fastcgi.conf;
        fastcgi_param CERTCTL_SURFACE bench;
        fastcgi_pass unix:{run}/run/trivial.sock;
        fastcgi_cache bench;
        fastcgi_cache_key $uri;
        fastcgi_cache_valid 200 1h;
    }}
}}
"""

APACHE = """
# Written by tests/bench: what the web server can do at best, beside the site and as the site does it.
Listen 127.0.0.1:{port} https
Listen 127.0.0.1:{plain_port} http
Alias /static {run}/apache/bench.txt
<Macro BenchLimits>
    Include {run}/apache/certctl-fastcgi.conf
    <Location /static>
        Require all granted
    </Location>
    <LocationMatch "^/plain$">
        ProxyPassMatch "unix:{run}/run/trivial.sock|fcgi://bench-trivial" enablereuse=off retry=0 connectiontimeout=5 timeout=10
        ProxyFCGISetEnvIf "true" CERTCTL_SURFACE bench
        BufferSize 131072
        SetInputFilter BUFFER
        Require all granted
    </LocationMatch>
</Macro>
<VirtualHost 127.0.0.1:{port}>
    ServerName localhost:{port}
    SSLEngine On
    SSLCertificateFile {run}/site/current/certificate.pem
    SSLCertificateKeyFile {run}/site/current/key.pem
    Use BenchLimits
</VirtualHost>
<VirtualHost 127.0.0.1:{plain_port}>
    ServerName localhost:{plain_port}
    Use BenchLimits
</VirtualHost>
UndefMacro BenchLimits
"""

# What a finished order of this profile is made of, for sql-load.
MODEL = """
SELECT json_build_object('profile', o.profile_id, 'mode', o.auth_mode, 'issuer', o.issuer_id, 'ca', c.id,
         'owner', m.owner_id, 'team', m.team_id, 'policy', m.renewal_policy_id, 'chain_pem', v.pem_chain,
         'csr_pem', v.csr_pem, 'details', e.details::text, 'thumbprint', a.jwk_thumbprint,
         'profile_version', p.row_version, 'ca_version', c.row_version,
         'accounts', (SELECT json_agg(x.account_id) FROM (SELECT account_id FROM acme_accounts
                       WHERE profile_id = o.profile_id ORDER BY created_at DESC LIMIT {accounts}) x))
  FROM acme_orders o
  JOIN acme_accounts a ON a.account_id = o.account_id
  JOIN managed_certificates m ON m.id = o.certificate_id
  JOIN certificate_versions v ON v.id = o.certificate_version_id
  JOIN certificate_profiles p ON p.id = o.profile_id
  JOIN ca_instances c ON c.id = v.ca_id
  JOIN audit_events e ON e.resource_id = o.order_id AND e.action = 'acme_order_finalized'
 WHERE o.status = 'valid' AND o.profile_id = '{profile}' AND v.csr_pem IS NOT NULL
 ORDER BY o.created_at DESC LIMIT 1
"""


def build(say):
    """The directory of a plain build, made now where CERTCTL_RUN_BUILD names none."""
    given = os.environ.get("CERTCTL_RUN_BUILD")
    place = given or f"/var/tmp/certctl-bench-{zlib.crc32(TOP.encode()):08x}/build"
    steps = [["make", "-C", place, "-j", str(os.cpu_count()), what] for what in ("all", "bench")]  # "all" is a make of its own
    if not os.path.exists(os.path.join(place, "Makefile")):
        if given:
            raise Refused(f"{place} is no build")
        os.makedirs(place, exist_ok=True)
        if not os.path.exists(os.path.join(TOP, "configure")):
            steps.insert(0, ["autoreconf", "-fi", TOP])
        steps.insert(-2, ["sh", "-c", f"cd '{place}' && '{TOP}/configure'"])
    say(f"building in {place}")
    for step in steps:
        done = subprocess.run(step, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise Refused(f"{' '.join(step)}:\n{done.stdout[-3000:]}")
    with open(os.path.join(place, "Makefile"), encoding="utf-8") as makefile:
        if "CERTCTL_SANITIZED" in makefile.read():
            raise Refused(f"{place} has sanitizers, and figures of it mean nothing")
    return place


class Site(Stack):
    """A stack, and what a bench asks of it."""

    def __init__(self, say, workers, web="nginx", statements=False):
        self.say = say
        self.build = build(say)
        self.workers = workers
        self.dns_port, self.proof_port = free_port(), free_port()
        self.limit_port, self.plain_port = free_port(), free_port()
        self.trivial = None
        super().__init__(name="bench", workers=workers, web=web, env={
            **ENVIRONMENT,
            "CERTCTL_ACME_SERVER_HTTP01_PORT": str(self.proof_port),
            "CERTCTL_ACME_SERVER_ADDR_RESOLVER": f"127.0.0.1:{self.dns_port}",
        })
        self.environment.update(CERTCTL_RUN_BUILD=self.build, CERTCTL_RUN_RATE="1000000")
        self.statements = statements

    def start(self):
        self.say(f"starting a site in {self.dir}")
        if self.run("up", check=False).returncode != 0:
            self.run("up")  # goes on where the first one stopped: a new site certificate may come between key and chain
        if self.statements:
            with open(os.path.join(self.dir, "pg", "data", "local.conf"), "a", encoding="utf-8") as out:
                out.write(LOCAL_CONF)
            self.run("stop", "postgres")
            self.run("up")
            self.sql("CREATE EXTENSION pg_stat_statements")
        return self

    def stop(self, keep=False):
        if self.trivial:
            self.trivial.kill()
            self.trivial.wait()
        super().stop(keep)

    def program(self, name):
        return os.path.join(self.build, "tests", "bench", name)

    def leader(self, name):
        try:
            with open(os.path.join(self.dir, "pid", name), encoding="utf-8") as source:
                return int(source.read().split()[0])
        except OSError:
            return None

    def leaders(self):
        """What is measured, by the names of ./run; tick is the parent of all jobs."""
        names = ("postgres", "acme", "pki", "signer", self.web, "tick")
        return {name: pid for name in names if (pid := self.leader(name))}

    def directory(self, mode):
        return f"{self.url}/acme/profile/{PROFILES[mode]}"

    def acme_load(self, mode, **options):
        """The command of one run of the ACME client."""
        command = [self.program("acme-load"), f"--directory={self.directory(mode)}", f"--root={self.root_pem}"]
        if mode == "challenge":
            command += [f"--dns-port={self.dns_port}", f"--http-port={self.proof_port}"]
        return command + [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]

    def sql_load(self, mode, shared, **options):
        """The command of one run of the statements alone. An order must have been issued before."""
        return self.modelled("sql-load", mode, shared, options)

    def issue_load(self, **options):
        """The same of issuances alone, with the settings that the site's processes have."""
        with open(os.path.join(self.dir, "certctl.env"), encoding="utf-8") as lines:
            settings = [line.rstrip("\n") for line in lines if line.startswith("CERTCTL_")]
        return ["env", *settings, *self.modelled("issue-load", "trust", False, options)]

    def modelled(self, program, mode, shared, options):
        model = self.value(MODEL.format(profile=PROFILES[mode], accounts=1 if shared else self.workers))
        if not model:
            raise Refused(f"no finished order to take as a model for {mode}")
        path = os.path.join(self.home, "model.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(json.loads(model), out)
        return [self.program(program), f"--model={path}", f"--database=host={self.pg_socket} dbname=certctl",
                f"--connections={self.workers}",
                *(f"--{name.replace('_', '-')}={value}" for name, value in options.items())]

    def open_limits(self, size):
        """Makes the web server serve a file and a trivial responder of so many bytes beside the site."""
        self.trivial = subprocess.Popen(  # pylint: disable=consider-using-with
            [self.program("trivial"), os.path.join(self.dir, "run", "trivial.sock"), str(self.workers), str(size)], cwd="/")
        folder = os.path.join(self.dir, self.web)
        template, main, word, reload = {
            "nginx": (NGINX, "nginx.conf", "include", signal.SIGHUP),
            "apache": (APACHE, "apache2.conf", "Include", signal.SIGUSR1),
        }[self.web]
        with open(os.path.join(folder, "bench.txt"), "w", encoding="utf-8") as out:
            out.write("x" * size)
        with open(os.path.join(folder, "bench.conf"), "w", encoding="utf-8") as out:
            out.write(template.format(run=self.dir, port=self.limit_port, plain_port=self.plain_port))
        path = os.path.join(folder, main)
        with open(path, encoding="utf-8") as source:
            text = source.read().rstrip()
        line = f"{word} {folder}/bench.conf"
        # nginx wants it inside its http block, whose end is the file's
        text = f"{text[:-1]}    {line};\n}}\n" if self.web == "nginx" else f"{text}\n{line}\n"
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        os.kill(self.leader(self.web), reload)
        self.wait(self.limits_listen, what="the web server serves the limits")
        return f"https://localhost:{self.limit_port}"

    def limits_listen(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.limit_port)) == 0

    def get_load(self, url, **options):
        return [self.program("get-load"), f"--url={url}", f"--root={self.root_pem}",
                *(f"--{name}={value}" for name, value in options.items())]
