"""What the parts can do at best on this machine, at this hour."""
import glob
import os
import subprocess

from measure import Refused, load, middle

DIRECTORY_SIZE = 700  # bytes; about what a directory has


def commits(site, connections, seconds=3):
    """Commits a second: each one row into a table with a primary key."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/pgbench"))
    if not found:
        raise Refused("there is no pgbench")
    site.sql("CREATE TABLE IF NOT EXISTS public.bench_commits (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text)")
    script = os.path.join(site.home, "commit.sql")
    with open(script, "w", encoding="utf-8") as out:
        out.write("INSERT INTO public.bench_commits (text) VALUES (:client_id);\n")
    command = [found[-1], "-n", "-M", "prepared", "-h", site.pg_socket, "-U", "postgres", "-c", str(connections), "-j", "1",
               "-T", str(seconds), "-f", script, "certctl"]
    if site.isolated:
        command = ["runuser", "-u", "postgres", "--", *command]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, cwd="/")
    for line in done.stdout.splitlines():
        if line.startswith("tps = "):
            return float(line.split()[2])
    raise Refused(f"pgbench: {done.stderr}")


def signatures(seconds):
    """P-256 signatures a second on one core, as OpenSSL counts them."""
    done = subprocess.run(["openssl", "speed", "-mr", "-seconds", str(seconds), "ecdsap256"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("+F4:"))
    return float(line.split(":")[3])


def web(site, base, what, options, count):
    done = load(site.get_load(f"{base}/{what}", connections=options.connections, count=count, warmup=count // 10))
    if done["errors"]:
        raise Refused(f"{what}: {done['first_error']}")
    return done


def limits(site, options, say):
    count = options.count or 20000
    seconds = 1 if options.smoke else 3
    base = site.open_limits(DIRECTORY_SIZE)
    answers = ("static", "cached", "plain") if site.web == "nginx" else ("static", "plain")  # our Apache's cache is of OCSP alone
    seen = {name: [] for name in (*answers, "commits_1", "commits_32", "signatures")}
    for _ in range(options.rounds):
        for name in answers:
            seen[name].append(web(site, base, name, options, count))
        seen["commits_1"].append(commits(site, 1, seconds))
        seen["commits_32"].append(commits(site, 32, seconds))
        seen["signatures"].append(signatures(seconds))
    rates = {name: middle([one["rate"] if isinstance(one, dict) else one for one in values]) for name, values in seen.items()}
    for name, rate in rates.items():
        say(f"{name:12} {rate:10.0f} /s")
    return {
        "rate": rates["plain"], "limit": rates["static"],
        "ratio": middle([one["rate"] / other["rate"] for one, other in zip(seen["plain"], seen["static"])]),
        "p50_ms": middle([one["request"]["p50_ms"] for one in seen["plain"]]),
        "p99_ms": middle([one["request"]["p99_ms"] for one in seen["plain"]]),
        "errors": 0, **rates,
    }
