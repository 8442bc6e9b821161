"""OCSP with a million certificates known: kept by the web server, stored as a row, and with a nonce."""
import hashlib
import os
import random

from costs import Profile
from measure import Refused, cpu, load, middle, rss_mb
from orders import warm

KNOWN = 1000000
ANSWER_SIZE = 705  # octets; about what an answer has
EDGE_CERTIFICATES = 64
PATH = "/.well-known/pki/ocsp/iss-local"

# Indexes that are no constraint are made anew afterwards, which is much faster; nothing here is durable.
PREPARE = """
DO $$
DECLARE
    indexes text[];
    definition text;
BEGIN
    SET LOCAL session_replication_role = replica;
    SET LOCAL synchronous_commit = off;
    SET LOCAL maintenance_work_mem = '256MB';
    SELECT array_agg(pg_get_indexdef(i.indexrelid)) INTO indexes FROM pg_index i
     WHERE i.indrelid = 'certificate_versions'::regclass AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid);
    FOR definition IN SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     WHERE i.indrelid = 'certificate_versions'::regclass AND NOT EXISTS (SELECT 1 FROM pg_constraint n WHERE n.conindid = i.indexrelid)
    LOOP
        EXECUTE format('DROP INDEX %I', definition);
    END LOOP;
    INSERT INTO certificate_versions (id, certificate_id, issuer_id, ca_id, serial_number, not_before, not_after, fingerprint_sha256,
           spki_sha256, pem_chain, key_algorithm, key_size)
    SELECT 'cv-bench-' || n, m.certificate_id, m.issuer_id, m.ca_id, '4' || substr(md5(n::text), 2), m.not_before, m.not_after,
           md5(n::text) || md5(n::text), md5(n::text) || md5(n::text), '', 'ECDSA', 256
      FROM generate_series(1, {known}) n,
           (SELECT v.* FROM certificate_versions v JOIN issuing_cas c ON c.id = v.ca_id WHERE v.issuer_id = 'iss-local' LIMIT 1) m;
    FOREACH definition IN ARRAY indexes LOOP
        EXECUTE definition;
    END LOOP;
END $$
"""


def serial(number):
    """As PREPARE makes them: all over the range, as real ones are."""
    return "4" + hashlib.md5(str(number).encode()).hexdigest()[1:]


class Known:
    """A site that knows so many certificates, and what asks it."""

    def __init__(self, site, options, say):
        self.site, self.options = site, options
        self.size = 5000 if options.smoke else KNOWN
        self.drawn = random.Random(1).sample(range(1, self.size + 1), self.size)
        warm(site, options)
        say(f"entering {self.size} certificates")
        site.sql(PREPARE.format(known=self.size))
        site.sql("VACUUM ANALYZE certificate_versions")
        site.sql("CHECKPOINT")
        self.ca = os.path.join(site.home, "ca.pem")
        text = site.value("SELECT replace(encode(cert_der, 'base64'), E'\\n', '') FROM ca_instances "
                          "WHERE id IN (SELECT id FROM issuing_cas WHERE issuer_id = 'iss-local')")
        with open(self.ca, "w", encoding="ascii") as out:
            out.write("-----BEGIN CERTIFICATE-----\n" + "\n".join(text[at:at + 64] for at in range(0, len(text), 64)) + "\n-----END CERTIFICATE-----\n")
        site.wait(self.answers, 30, "the responder has its certificate")
        site.open_limits(ANSWER_SIZE)
        self.limit_base = f"http://localhost:{site.plain_port}"

    def answers(self):
        return load(self.command(self.serials(1, keep=True), count=1))["errors"] == 0

    def serials(self, count, keep=False):
        """A file of serials that were not asked for before."""
        if len(self.drawn) < count:
            raise Refused(f"{count} more certificates are wanted than are known")
        path = os.path.join(self.site.home, "serials")
        with open(path, "w", encoding="ascii") as out:
            out.writelines(serial(number) + "\n" for number in self.drawn[:count])
        if not keep:
            del self.drawn[:count]
        return path

    def command(self, serials, **options):
        return [self.site.program("ocsp-load"), f"--url={self.site.http_url}{PATH}", f"--ca={self.ca}", f"--serials={serials}",
                *(f"--{name}={value}" for name, value in options.items())]

    def load(self, serials, **options):
        """One run, with what it cost of CPU by program, in ms a request."""
        begun = {}
        done = load(self.command(serials, connections=self.connections, **options),
                    lambda word, _: begun.update(cpu(self.site.leaders())))
        done["cpu_ms"] = self.cpu_since(begun, options["count"])
        if done["errors"]:
            self.site.say(f"{done['errors']} errors, the last: {done['first_error']}")
        return done

    def cpu_since(self, begun, count):
        return {name: 1000 * (seconds - begun.get(name, seconds)) / count for name, seconds in cpu(self.site.leaders()).items()}

    def limit(self, what, count):
        return self.fetch(f"{self.limit_base}/{what}", count)

    def fetch(self, url, count):
        warmup = count // 10
        begun = cpu(self.site.leaders())
        done = load(self.site.get_load(url, connections=self.connections, count=count, warmup=warmup))
        done["cpu_ms"] = self.cpu_since(begun, count + warmup)
        return done

    def publish(self):
        """The URL of a file of an answer's size, among those that the site serves from its disk."""
        with open(os.path.join(self.site.dir, "pki", "ca", "bench.crt"), "w", encoding="ascii") as out:
            out.write("x" * ANSWER_SIZE)
        os.chmod(out.name, 0o644)
        return f"{self.site.http_url}/.well-known/pki/ca/bench"

    @property
    def connections(self):
        return min(self.options.connections, 32)

    def behind(self):
        """Requests that the responder has logged."""
        with open(os.path.join(self.site.dir, "log", "pki.log"), "rb") as source:
            return sum(1 for line in source if b'"request"' in line)


def report(known, rounds, limit_rounds, **more):
    return {
        "rate": middle([one["rate"] for one in rounds]), "limit": middle([one["rate"] for one in limit_rounds]),
        "ratio": middle([one["rate"] / limit["rate"] for one, limit in zip(rounds, limit_rounds)]),
        "ratios": [one["rate"] / limit["rate"] for one, limit in zip(rounds, limit_rounds)],
        "p50_ms": middle([one["request"]["p50_ms"] for one in rounds]),
        "p99_ms": middle([one["request"]["p99_ms"] for one in rounds]),
        "errors": sum(one["errors"] for one in rounds + limit_rounds),
        "rss_mb": rss_mb(known.site.pids("certctl-pki")), "connections": known.connections, "known": known.size,
        "cpu_ms": {name: middle([one["cpu_ms"][name] for one in rounds]) for name in rounds[-1]["cpu_ms"]},
        **more,
    }


def ocsp_edge(site, options, say):
    """POST and GET of what the web server keeps, against a file of the same server and log; ratio is the smaller of both."""
    known = Known(site, options, say)
    count = options.count or 200000  # some seconds each: a shorter window shows what else the machine does
    serials = known.serials(EDGE_CERTIFICATES)
    warmup = max(count // 10, 10 * EDGE_CERTIFICATES)
    file = known.publish()
    rounds, behind = {name: [] for name in ("file", "bare", "post", "get")}, 0
    for number in range(options.rounds):
        rounds["bare"].append(known.limit("static", count))
        rounds["file"].append(known.fetch(file, count))
        for form in ("post", "get"):  # kept from here on, since each is asked twice
            known.load(serials, form=form, count=EDGE_CERTIFICATES, warmup=EDGE_CERTIFICATES)
        before = known.behind()
        with Profile(site, options, number):
            rounds["post"].append(known.load(serials, form="post", count=count, warmup=warmup))
        rounds["get"].append(known.load(serials, form="get", count=count, warmup=warmup))
        behind += known.behind() - before
        say(f"round {number + 1}: " + ", ".join(f"{name} {seen[-1]['rate']:.0f}/s" for name, seen in rounds.items()))

    def ratio(form, limit):
        return middle([one["rate"] / other["rate"] for one, other in zip(rounds[form], rounds[limit])])
    result = report(known, rounds["post"], rounds["file"], post_ratio=ratio("post", "file"), get_ratio=ratio("get", "file"),
                    get_rate=middle([one["rate"] for one in rounds["get"]]), bare_rate=middle([one["rate"] for one in rounds["bare"]]),
                    bare_ratio=min(ratio("post", "bare"), ratio("get", "bare")), behind=behind,
                    web_cpu_us={name: middle([1000 * one["cpu_ms"][site.web] for one in seen]) for name, seen in rounds.items()})
    result["errors"] += sum(one["errors"] for one in rounds["get"] + rounds["bare"])
    result["ratio"] = min(result["post_ratio"], result["get_ratio"])
    return result


def against_plain(known, options, say, one_round):
    count = options.count or 15000
    plains, rounds = [], []
    for number in range(options.rounds):
        plains.append(known.limit("plain", count))
        rounds.append(one_round(number, count))
        say(f"round {number + 1}: {rounds[-1]['rate']:.0f}/s, plain {plains[-1]['rate']:.0f}/s, "
            f"ratio {rounds[-1]['rate'] / plains[-1]['rate']:.2f}")
    return rounds, plains


def ocsp_miss(site, options, say):
    """Nothing in front, but a stored row: GETs store rows, then POSTs of the same are asked for the first time."""
    known = Known(site, options, say)

    def one_round(number, count):
        warmup = max(1, count // 10)
        serials = known.serials(count + warmup)
        known.load(serials, form="get", count=count, warmup=warmup)
        with Profile(site, options, number):
            return known.load(serials, form="post", count=count, warmup=warmup)
    rounds, plains = against_plain(known, options, say, one_round)
    return report(known, rounds, plains, rows=int(site.value("SELECT count(*) FROM ocsp_response_cache")))


def ocsp_nonce(site, options, say):
    """A signature for each."""
    known = Known(site, options, say)

    def one_round(number, count):
        serials = known.serials(count)
        with Profile(site, options, number):
            return known.load(serials, form="post", nonce=1, count=count, warmup=max(1, count // 10))
    rounds, plains = against_plain(known, options, say, one_round)
    return report(known, rounds, plains)


BENCHES = {
    "ocsp-edge": (ocsp_edge, "OCSP answers that the web server keeps, POST and GET, against a static file"),
    "ocsp-miss": (ocsp_miss, "OCSP answers that are stored as rows, against plain FastCGI"),
    "ocsp-nonce": (ocsp_nonce, "OCSP with a nonce: each answer signed, against plain FastCGI"),
}
