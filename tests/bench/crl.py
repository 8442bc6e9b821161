"""crl-build: a CA's list of 1,000, 100,000 and 1,000,000 entries, against the bare COPY of the same entries."""
import os
import re
import subprocess
import threading
import time

from measure import Refused, middle

SIZES = (1000, 100000, 1000000)

# Entries as a revocation stores them: serial of 16 octets, UTCTime (04 section 9.2).
PREPARE = """
DO $$
DECLARE
    index text;
BEGIN
    SET LOCAL session_replication_role = replica;
    SET LOCAL synchronous_commit = off;
    SET LOCAL maintenance_work_mem = '256MB';
    SELECT pg_get_indexdef('certificate_revocations_crl'::regclass) INTO index;
    DROP INDEX certificate_revocations_crl;
    INSERT INTO certificate_revocations (id, source, serial_number, issuer_id, ca_id, reason, revoked_by, revoked_at, not_after,
           crl_entry_der, issuer_notified)
    SELECT 'rev-bench-' || n, 'orphan', '4' || substr(md5(n::text), 2), 'iss-local', c.id, 'unspecified', 'bench',
           '2026-01-01 00:00:00Z'::timestamptz + (n % 86400) * interval '1 second', now() + interval '30 days',
           decode('30210210' || '4' || substr(md5(n::text), 2) || '170d' || encode(convert_to(to_char(
               '2026-01-01 00:00:00'::timestamp + (n % 86400) * interval '1 second', 'YYMMDDHH24MISS') || 'Z', 'UTF8'), 'hex'), 'hex'), true
      FROM generate_series({first}, {last}) n, issuing_cas c WHERE c.issuer_id = 'iss-local';
    EXECUTE index;
END $$
"""

ENTRIES = ("SELECT crl_entry_der FROM certificate_revocations WHERE ca_id = '{ca}' AND lifted_at IS NULL AND NOT short_lived "
           "AND (crl_permanent OR not_after IS NULL OR not_after >= now() - interval '2 days') ORDER BY revoked_at, serial_number")


def copy_seconds(site, ca):
    """The entries alone, to nowhere, as psql times it: the start of psql does not count."""
    script = f"\\timing on\nCOPY ({ENTRIES.format(ca=ca)}) TO STDOUT (FORMAT binary) \\g /dev/null\n"
    done = subprocess.run(site.psql(), input=script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, cwd="/")
    found = re.search(r"Time: ([\d.]+) ms", done.stdout)
    if not found:
        raise Refused(done.stdout + done.stderr)
    return float(found.group(1)) / 1000


class Peak(threading.Thread):
    """The largest resident size of one process; what it had before its exec does not count."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.kilobytes, self.ended = pid, 0, threading.Event()

    def run(self):
        while not self.ended.wait(0.002):
            try:
                with open(f"/proc/{self.pid}/status", encoding="utf-8") as source:
                    text = source.read()
            except OSError:
                return
            if "Name:\tcertctl-job" in text and "VmHWM:" in text:
                self.kilobytes = int(text.split("VmHWM:")[1].split()[0])


def settings(site):
    with open(os.path.join(site.dir, "certctl.env"), encoding="utf-8") as lines:
        return dict(line.rstrip("\n").split("=", 1) for line in lines if line.strip() and not line.startswith("#"))


def run_job(site):
    """One run of the job, as certctl-tick starts it. Seconds and MB."""
    command = [os.path.join(site.dir, "bin", "certctl-job-crl-generation"), "--force"]
    if site.isolated:
        command = ["setpriv", "--reuid=certctl-jobs", "--regid=certctl-jobs", "--init-groups", "--", *command]
    began = time.monotonic()
    with subprocess.Popen(command, env={**settings(site), "PATH": "/usr/bin:/bin", "PGUSER": "certctl_jobs"}, cwd="/",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as job:
        peak = Peak(job.pid)
        peak.start()
        said = job.communicate()[0]
        took = time.monotonic() - began
        peak.ended.set()
    if job.returncode != 0:
        raise Refused(f"the job exited {job.returncode}: {said}")
    return took, peak.kilobytes / 1024


def build(site, ca, idle_mb):
    """One list: from the start of the job to the published file, and what the job says of itself."""
    before = site.value(f"SELECT crl_number FROM ca_instances WHERE id = '{ca}'")
    site.sql(f"UPDATE ca_instances SET crl_dirty_since = now() - interval '1 minute' WHERE id = '{ca}'")
    took, peak_mb = run_job(site)
    rows = site.sql(f"SELECT crl_number, revoked_count, octet_length(crl_der), generation_duration_ms FROM crl_cache WHERE ca_id = '{ca}'")
    number, count, size, milliseconds = map(int, rows[0])
    path = os.path.join(site.dir, "pki", "crl", "iss-local.crl")
    if number <= int(before) or os.path.getsize(path) != size:
        raise Refused("no new list was published")
    return {"entries": count, "build_s": milliseconds / 1000, "all_s": took, "crl_mb": size / 2**20, "peak_mb": peak_mb,
            "memory_ratio": (peak_mb - idle_mb) * 2**20 / size}


def crl_build(site, options, say):
    """rate: entries a second of the largest list; limit: of the bare COPY."""
    ca = site.value("SELECT id FROM issuing_cas WHERE issuer_id = 'iss-local'")
    site.run("stop", "tick")
    site.wait(lambda: not site.pids("certctl-job-crl-generation"), what="nobody else builds")
    _, idle_mb = run_job(site)
    sizes = (100, options.count or 1000) if options.smoke else SIZES
    before, result = 0, {}
    for size in sizes:
        site.sql(PREPARE.format(first=before + 1, last=size))
        site.sql("VACUUM ANALYZE certificate_revocations")
        site.sql("CHECKPOINT")
        before = size
        copies, builds = [], []
        for _ in range(options.rounds):
            copies.append(copy_seconds(site, ca))
            builds.append(build(site, ca, idle_mb))
        if any(one["entries"] < size for one in builds):
            raise Refused(f"a list has fewer than {size} entries")
        of_size = {name: middle([one[name] for one in builds]) for name in builds[0]}
        of_size.update(copy_s=middle(copies), ratio=middle([copy / one["build_s"] for copy, one in zip(copies, builds) if one["build_s"]] or [1.0]))
        result[str(size)] = of_size
        say(f"{size} entries: COPY {of_size['copy_s']:.3f} s, list {of_size['build_s']:.3f} s, published after {of_size['all_s']:.3f} s, "
            f"{of_size['peak_mb']:.0f} MB for {of_size['crl_mb']:.1f} MB")
    largest = result[str(sizes[-1])]
    return {
        "rate": largest["entries"] / largest["all_s"], "limit": largest["entries"] / largest["copy_s"], "ratio": largest["ratio"],
        "p50_ms": 1000 * largest["build_s"], "p99_ms": 1000 * max(one["build_s"] for one in builds), "errors": 0,
        "rss_mb": largest["peak_mb"], "idle_mb": idle_mb, "lists": result,
    }


BENCHES = {"crl-build": (crl_build, "CRLs of a thousand to a million entries, against the bare COPY of the entries")}
