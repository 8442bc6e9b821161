"""directory and new-nonce: requests that change nothing, against a responder that does nothing."""
import limits
from measure import load, middle, rss_mb
from site_of import PROFILES


def against_plain(site, options, say, path, method, connections=16):
    count = options.count or 15000
    connections = min(options.connections, connections)
    base = site.open_limits(limits.DIRECTORY_SIZE)
    url = f"{site.url}/acme/profile/{PROFILES['trust']}/{path}"
    rounds, plains, statics = [], [], []
    for number in range(options.rounds):
        common = {"connections": connections, "count": count, "warmup": count // 10, "method": method}
        plains.append(load(site.get_load(f"{base}/plain", **common)))
        rounds.append(load(site.get_load(url, **common)))
        statics.append(load(site.get_load(f"{base}/static", **common)))
        say(f"round {number + 1}: {rounds[-1]['rate']:.0f}/s, plain {plains[-1]['rate']:.0f}/s, static {statics[-1]['rate']:.0f}/s")
        if rounds[-1]["errors"]:
            say(f"{rounds[-1]['errors']} errors, the last: {rounds[-1]['first_error']}")
    return {
        "rate": middle([one["rate"] for one in rounds]), "limit": middle([one["rate"] for one in plains]),
        "ratio": middle([one["rate"] / plain["rate"] for one, plain in zip(rounds, plains)]),
        "static": middle([one["rate"] for one in statics]),
        "ratio_of_static": middle([one["rate"] / static["rate"] for one, static in zip(rounds, statics)]),
        "p50_ms": middle([one["request"]["p50_ms"] for one in rounds]),
        "p99_ms": middle([one["request"]["p99_ms"] for one in rounds]),
        "errors": sum(one["errors"] for one in rounds + plains + statics),
        "rss_mb": rss_mb(site.pids("certctl-acme")), "connections": connections,
    }


def directory(site, options, say):
    return against_plain(site, options, say, "directory", "GET")


def new_nonce(site, options, say):
    """A flood of nonces leaves nothing behind: each row that it wrote is an error."""
    rows = "SELECT count(*) FROM replay_guard"
    before = int(site.value(rows))
    result = against_plain(site, options, say, "new-nonce", "HEAD")
    result["errors"] += abs(int(site.value(rows)) - before)
    return result
