#!/usr/bin/python3
"""Each bench as short as it can be: it runs, its line has all members, and nothing failed. No times."""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
RUNS = (["limits", "--count=500"], ["sql"], ["sql", "--mode=challenge"], ["acme-order", "--count=1000"], ["acme-order", "--mode=challenge", "--names=2"],
        ["acme-order", "--accounts=shared", "--web=apache"], ["directory", "--count=500"],
        ["directory", "--count=500", "--web=apache"], ["new-nonce", "--count=5000"], ["start"],
        ["ocsp-edge", "--count=500"], ["ocsp-miss", "--count=500"], ["ocsp-nonce", "--count=500"], ["ocsp-nonce", "--count=500", "--web=apache"], ["crl-build"], ["issue"])
NUMBERS = ("rate", "limit", "ratio", "p50_ms", "p99_ms", "errors")


def fault_of(arguments):
    done = subprocess.run([os.path.join(HERE, "bench"), *arguments, "--smoke"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False)
    lines = done.stdout.splitlines()
    if done.returncode != 0 or len(lines) != 1:
        return f"exit {done.returncode}\n{done.stdout}{done.stderr}"
    result = json.loads(lines[0])
    if result["name"] != arguments[0] or "rss_mb" not in result:
        return f"not the members: {result}"
    bad = [name for name in NUMBERS if not isinstance(result.get(name), (int, float))]
    if bad or result["rate"] <= 0 or result["errors"] != 0:
        return f"{bad}: {result}"
    wanted = next((int(word[8:]) for word in arguments if word.startswith("--count=")), 200)
    if arguments[0] == "acme-order" and result["orders"] != wanted:
        return f"{result['orders']} of {wanted} orders came through"
    return None


def main():
    failed = 0
    for arguments in RUNS:
        fault = fault_of(arguments)
        failed += bool(fault)
        print(f"{'FAIL' if fault else 'ok  '} {' '.join(arguments)}{': ' + fault if fault else ''}", flush=True)
    print(f"bench: {len(RUNS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
