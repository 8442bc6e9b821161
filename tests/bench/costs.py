"""Where the time of an order goes: statement by statement, and function by function."""
import os
import shutil
import subprocess

from measure import family, trees

STATEMENTS = """
SELECT calls, round(total_exec_time::numeric, 1) AS ms, round((100 * total_exec_time / sum(total_exec_time) FILTER (WHERE toplevel) OVER ())::numeric, 1) AS share,
       round(mean_exec_time::numeric, 4) AS mean_ms, rows, wal_bytes, shared_blks_dirtied, toplevel,
       left(regexp_replace(query, '[[:space:]]+', ' ', 'g'), 160) AS query
  FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 60
"""


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
            self.report("functions.txt", "comm,dso,symbol", 0.15)
            self.report("processes.txt", "comm", 0.1)
            self.report("libraries.txt", "comm,dso", 0.1)
        rows = self.site.sql(STATEMENTS)
        heads = "calls ms share% mean_ms rows wal_bytes blocks_dirtied toplevel query".split()
        self.write("statements.txt", "\n".join("\t".join(row) for row in [heads, *rows]) + "\n")

    def report(self, name, order, least):
        done = subprocess.run(["perf", "report", "-i", self.path("perf.data"), "--stdio", "--sort", order, "--percent-limit", str(least)],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        self.write(name, "\n".join(line for line in done.stdout.splitlines() if line and not line.startswith("#")) + "\n")
