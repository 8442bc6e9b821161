"""What processes cost, and running the load programs beside them."""
import json
import os
import resource
import statistics
import subprocess

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Refused(Exception):
    """The bench cannot be run; the message says why."""


def stat_fields(pid):
    """The fields of /proc/PID/stat behind the name; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as source:
            return source.read().rsplit(")", 1)[1].split()
    except OSError:
        return None


def trees():
    """parent -> children, of all processes now."""
    children = {}
    for entry in os.listdir("/proc"):
        fields = stat_fields(entry) if entry.isdigit() else None
        if fields:
            children.setdefault(int(fields[1]), []).append(int(entry))
    return children


def family(pid, children):
    yield pid
    for child in children.get(pid, ()):
        yield from family(child, children)


def cpu_of(pid):
    """Seconds of one process and of those of its children that it has waited for."""
    fields = stat_fields(pid)
    return sum(int(fields[i]) for i in (11, 12, 13, 14)) / TICK if fields else 0.0


def cpu(leaders):
    """name -> seconds so far, of each leader with all below it, dead or alive."""
    children = trees()
    return {name: sum(cpu_of(one) for one in family(pid, children)) for name, pid in leaders.items()}


def titles_cpu(pid):
    """Seconds by title, of PostgreSQL's living processes."""
    found = {}
    for one in trees().get(pid, ()):
        try:
            with open(f"/proc/{one}/cmdline", encoding="utf-8", errors="replace") as source:
                words = source.read().replace("\0", " ").split()
        except OSError:
            continue
        title = words[1] if len(words) > 1 else "postgres"
        found[title] = found.get(title, 0.0) + cpu_of(one)
    return found


def rss_mb(pids):
    """The largest resident size among them."""
    sizes = [0]
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm", encoding="utf-8") as source:
                sizes.append(int(source.read().split()[1]) * PAGE)
        except OSError:
            pass
    return round(max(sizes) / 2**20, 2)


def load(command, on_word=None, cwd="/"):
    """Runs a load program. Its lines "word number" are told as they come; the last one is its result."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    result = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=cwd) as running:
        for line in running.stdout:
            if line.startswith("{"):
                result = json.loads(line)
            elif on_word:
                word, number = line.split()
                on_word(word, int(number))
    if running.returncode != 0 or result is None:
        raise Refused(f"{os.path.basename(command[0])} exited {running.returncode}")
    return result


def middle(values):
    return statistics.median(values) if values else None


def rounded(value):
    """Figures as people read them: three digits that count."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    if isinstance(value, float):
        return round(value, 1 if abs(value) >= 100 else 3)
    return value
