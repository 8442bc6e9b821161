"""Where the time of an order goes: statement by statement, and function by function."""
import bisect
import collections
import glob
import os
import re
import shutil
import subprocess

from measure import family, trees

STATEMENTS = """
SELECT calls, round(total_exec_time::numeric, 1),
       round((100 * total_exec_time / sum(total_exec_time) FILTER (WHERE toplevel) OVER ())::numeric, 1),
       round(mean_exec_time::numeric, 4), rows, wal_bytes, shared_blks_dirtied, toplevel,
       left(regexp_replace(query, '[[:space:]]+', ' ', 'g'), 160)
  FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 60
"""
HEADS = "calls ms share% mean_ms rows wal_bytes blocks_dirtied toplevel query".split()

LINE = re.compile(r"\s*([\d.]+)%\s+(\S+)\s+(\S+)\s+\[(.)\] (\S+)")
SMALLEST = 0.15  # per cent


class Symbols:
    """What a stripped file exports; an address belongs to the last one before it."""

    def __init__(self, path):
        done = subprocess.run(["nm", "-D", "--defined-only", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              check=False)
        words = (line.split() for line in done.stdout.splitlines())
        known = sorted((int(one[0], 16), one[2].split("@")[0]) for one in words if len(one) == 3)
        self.addresses, self.names = [address for address, _ in known], [name for _, name in known]

    def name(self, address):
        at = bisect.bisect(self.addresses, address) - 1
        return f"after {self.names[at]}" if at >= 0 else hex(address)


def path_of(library):
    """Where perf's short name lies on Debian."""
    found = [path for pattern in ("/usr/lib/*-linux-gnu/{}", "/usr/lib/postgresql/*/bin/{}", "/usr/lib/postgresql/*/lib/{}", "/usr/sbin/{}")
             for path in glob.glob(pattern.format(library))]
    return found[0] if found else None


def functions(report):
    """perf's lines by process, library and function; what has no name goes to its nearest exported neighbour."""
    sums, symbols = collections.Counter(), {}
    for line in report.splitlines():
        match = LINE.match(line)
        if not match:
            continue
        share, process, library, _, name = match.groups()
        if name.startswith("0x") and path_of(library):
            symbols.setdefault(library, Symbols(path_of(library)))
            name = symbols[library].name(int(name, 16))
        sums[process, library, name] += float(share)
    return "".join(f"{share:6.2f}  {process:16} {library:24} {name}\n" for (process, library, name), share in sums.most_common()
                   if share >= SMALLEST)


class Profile:
    """Around one round: resets what PostgreSQL counts, and samples the site where perf is."""

    def __init__(self, site, options, number):
        self.site, self.folder, self.number = site, options.profile, number
        self.perf = None

    def __enter__(self):
        if not self.folder:
            return self
        os.makedirs(self.folder, exist_ok=True)
        self.site.sql("SELECT pg_stat_statements_reset()")
        if shutil.which("perf"):
            self.perf = subprocess.Popen(
                ["perf", "record", "-q", "-F", "499", "-e", "cpu-clock", "-p", ",".join(self.pids()), "-o", self.path("perf.data")],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def pids(self):
        """The site's own processes; what they fork is sampled with them."""
        children = trees()
        return [str(one) for leader in self.site.leaders().values() for one in family(leader, children)]

    def path(self, name):
        return os.path.join(self.folder, f"{self.number + 1}-{name}")

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as out:
            out.write(text)

    def __exit__(self, kind, value, trace):
        if not self.folder:
            return
        if self.perf:
            self.perf.send_signal(2)
            self.perf.wait()
            self.write("functions.txt", functions(self.report("comm,dso,symbol")))
            self.write("libraries.txt", self.report("comm,dso"))
        rows = self.site.sql(STATEMENTS)
        self.write("statements.txt", "\n".join("\t".join(row) for row in [HEADS, *rows]) + "\n")

    def report(self, order):
        done = subprocess.run(["perf", "report", "-i", self.path("perf.data"), "--stdio", "--sort", order],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        return "".join(f"{line}\n" for line in done.stdout.splitlines() if line and not line.startswith("#"))
