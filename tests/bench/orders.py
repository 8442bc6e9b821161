"""sql and acme-order: one order, from its statements alone to whole ones over HTTPS."""
import os

import limits
from costs import Profile
from measure import Refused, cpu, load, middle, rss_mb, titles_cpu

DUPLICATES = """
SELECT count(*) - count(DISTINCT (issuer_id, serial_number)) FROM certificate_versions
"""


class Watch:
    """What the processes of a site cost inside one window."""

    def __init__(self, site, at=1000):
        self.site, self.at = site, at
        self.begun = self.titles = None
        self.rss_early = None

    def rss(self):
        return rss_mb(self.site.pids("certctl-acme"))

    def word(self, word, number):
        if word == "window":
            self.begun = cpu(self.site.leaders())
            self.titles = titles_cpu(self.site.leader("postgres"))
        if word == "progress" and number >= self.at and self.rss_early is None:
            self.rss_early = self.rss()

    def cost(self, count):
        """Milliseconds of CPU an order, by program, and of PostgreSQL by process title."""
        now, titles = cpu(self.site.leaders()), titles_cpu(self.site.leader("postgres"))
        by_program = {name: 1000 * (seconds - self.begun.get(name, 0.0)) / count for name, seconds in now.items()}
        by_title = {name: 1000 * (seconds - self.titles.get(name, 0.0)) / count for name, seconds in titles.items()}
        return by_program, {name: value for name, value in by_title.items() if value > 0.01}


def without_jobs(site, mode):
    """sql validates by itself: the job would take its challenges."""
    if mode == "challenge":
        site.run("stop", "tick")


def with_jobs(site, mode):
    if mode == "challenge":
        site.run("up")


def warm(site, options):
    """Accounts to order for, and an order to copy."""
    done = load(site.acme_load(options.mode, accounts="own", connections=max(site.workers, 4), count=40, names=1))
    if done["errors"]:
        raise Refused(f"{done['errors']} of 40 first orders failed, the first: {done['first_error']}")


def sql_once(site, options, count):
    without_jobs(site, options.mode)
    watch = Watch(site)
    command = site.sql_load(options.mode, options.accounts == "shared", count=count, warmup=max(10, count // 10))
    result = load(command, watch.word)
    by_program, _ = watch.cost(count)
    with_jobs(site, options.mode)
    return {"rate": result["rate"], "order": result["order"], "postgres_cpu_ms": by_program["postgres"],
            "all_cpu_ms": by_program["postgres"] + 1000 * result["client_cpu_s"] / count,
            "statements": result["statements"]}


def acme_once(site, options, count):
    watch = Watch(site)
    warmup = max(min(count // 10, 1000), options.connections)
    command = site.acme_load(options.mode, accounts=options.accounts, connections=options.connections, count=count,
                             names=options.names, warmup=warmup, progress=1000)
    result = load(command, watch.word)
    by_program, by_title = watch.cost(count)
    by_program["client"] = 1000 * result["client_cpu_s"] / count
    result.update(cpu_ms=by_program, postgres_cpu_by_process_ms=by_title,
                  rss_mb=watch.rss(), rss_early_mb=watch.rss_early)
    if result["errors"]:
        site.say(f"{result['errors']} errors, the first: {result['first_error']}")
    return result


def sql(site, options, say):
    count = options.count or 4000
    warm(site, options)
    rounds = []
    commit_rates = []
    for number in range(options.rounds):
        commit_rates.append(limits.commits(site, site.workers, 1 if options.smoke else 3))
        with Profile(site, options, number):
            rounds.append(sql_once(site, options, count))
        say(f"round {number + 1}: {rounds[-1]['rate']:.0f} orders/s, {commit_rates[-1]:.0f} commits/s, "
            f"PostgreSQL {rounds[-1]['postgres_cpu_ms']:.2f} ms CPU an order")
    return {
        "mode": options.mode, "accounts": options.accounts, "workers": site.workers,
        "rate": middle([one["rate"] for one in rounds]), "limit": middle(commit_rates),
        "ratio": middle([one["rate"] / limit for one, limit in zip(rounds, commit_rates)]),
        "p50_ms": middle([one["order"]["p50_ms"] for one in rounds]),
        "p99_ms": middle([one["order"]["p99_ms"] for one in rounds]),
        "errors": 0,  # any would have ended the program
        "postgres_cpu_ms": middle([one["postgres_cpu_ms"] for one in rounds]),
        "statements": rounds[-1]["statements"],
    }


def figures(site, options, limit_rounds, rounds):
    last = rounds[-1]
    early = next((one["rss_early_mb"] for one in rounds if one["rss_early_mb"]), None)
    return {
        "mode": options.mode, "accounts": options.accounts, "web": site.web, "workers": site.workers,
        "connections": options.connections, "names": options.names, "orders": sum(one["orders"] for one in rounds),
        "rate": middle([one["rate"] for one in rounds]),
        "limit": middle([one["rate"] for one in limit_rounds]),
        "ratio": middle([one["rate"] / limit["rate"] for one, limit in zip(rounds, limit_rounds)]),
        "ratios": [one["rate"] / limit["rate"] for one, limit in zip(rounds, limit_rounds)],
        "cpu_ratio": middle([limit["all_cpu_ms"] / sum(one["cpu_ms"].values()) for one, limit in zip(rounds, limit_rounds)]),
        "p50_ms": middle([one["request"]["p50_ms"] for one in rounds]),
        "p99_ms": middle([one["request"]["p99_ms"] for one in rounds]),
        "order_p50_ms": middle([one["order"]["p50_ms"] for one in rounds]),
        "order_p99_ms": middle([one["order"]["p99_ms"] for one in rounds]),
        "errors": sum(one["errors"] for one in rounds),
        "server_errors": sum(one["server_errors"] for one in rounds),
        "duplicate_serials": int(site.value(DUPLICATES)),
        "requests_an_order": last["requests"] / max(1, last["orders"]),
        "rss_mb": max(one["rss_mb"] for one in rounds),
        "rss_early_mb": early,
        "postgres_cpu_ms": middle([one["cpu_ms"]["postgres"] for one in rounds]),
        "sql_postgres_cpu_ms": middle([one["postgres_cpu_ms"] for one in limit_rounds]),
        "cpu_ms": {name: middle([one["cpu_ms"].get(name, 0.0) for one in rounds]) for name in last["cpu_ms"]},
        "postgres_cpu_by_process_ms": last["postgres_cpu_by_process_ms"],
        "steps": {name: [one["p50_ms"], one["p99_ms"]] for name, one in last["steps"].items()},
        "load_average": os.getloadavg()[0],
    }


def acme_order(site, options, say):
    count = options.count or (3000 if options.mode == "trust" else 1500)
    warm(site, options)
    limit_rounds, rounds = [], []
    for number in range(options.rounds):
        limit_rounds.append(sql_once(site, options, min(count, 5000)))
        with Profile(site, options, number):
            rounds.append(acme_once(site, options, count))
        say(f"round {number + 1}: {rounds[-1]['rate']:.0f} orders/s of {limit_rounds[-1]['rate']:.0f}, "
            f"ratio {rounds[-1]['rate'] / limit_rounds[-1]['rate']:.2f}, p99 {rounds[-1]['request']['p99_ms']:.0f} ms, "
            f"PostgreSQL {rounds[-1]['cpu_ms']['postgres']:.2f} ms CPU an order, {rounds[-1]['errors']} errors")
    if not all(one["orders"] for one in rounds):
        raise Refused(f"not one order came through: {rounds[-1].get('first_error')}")
    result = figures(site, options, limit_rounds, rounds)
    result["errors"] += result["duplicate_serials"]
    return result


def issue_once(site, count, whole):
    watch = Watch(site)
    each = max(1, count // site.workers)
    done = load(site.issue_load(count=each, warmup=max(1, each // 10), whole=whole), watch.word)
    done["cpu_ms"], _ = watch.cost(done["issued"])
    return done


def issue(site, options, say):
    """lifecycle_issue from as many threads as there are workers: no web server, no JSON, no JWS."""
    count = options.count or 8000
    warm(site, options)
    rounds, limit_rounds = [], []
    for number in range(options.rounds):
        limit_rounds.append(issue_once(site, count, 0))
        with Profile(site, options, number):
            rounds.append(issue_once(site, count, 1))
        say(f"round {number + 1}: {rounds[-1]['rate']:.0f}/s of {limit_rounds[-1]['rate']:.0f}")
    return {
        "rate": middle([one["rate"] for one in rounds]), "limit": middle([one["rate"] for one in limit_rounds]),
        "ratio": middle([one["rate"] / limit["rate"] for one, limit in zip(rounds, limit_rounds)]),
        "p50_ms": middle([one["issuance"]["p50_ms"] for one in rounds]), "p99_ms": middle([one["issuance"]["p99_ms"] for one in rounds]),
        "errors": 0,  # any would have ended the program
        "rss_mb": rss_mb(site.pids("certctl-signer")), "workers": site.workers,
        "cpu_ms": {name: middle([one["cpu_ms"].get(name, 0.0) for one in rounds]) for name in rounds[-1]["cpu_ms"]},
    }
