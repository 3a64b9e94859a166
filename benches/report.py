"""The lines of run.sh as one table of medians, to standard output and with --write into README.md.

    report.py [--write] [--versions TEXT] LINES

A line is `BENCH MODE name=value...`. A ratio is the median of the ratios of neighbouring turns, which the machine's
moods touch less than the ratio of two medians. rows.py says which rows there are, except for those with a shape of their own,
which are here.

The last lines say how many rows have hangup ahead of a peer, and which have it behind. Rows against a bare socket or another
mode of hangup are not counted.
"""

import argparse
import collections
import re
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import rows

README = Path(__file__).resolve().parent / "README.md"
BEGIN, END = "<!-- the table: written by run.sh --write -->", "<!-- the end of the table -->"
PHASES = ["resolve", "connect", "tls", "write", "head", "read"]


class Lines:
    def __init__(self, text):
        self.values = collections.defaultdict(list)
        for line in text.splitlines():
            words = line.split()
            pairs = [word.split("=", 1) for word in words if "=" in word]
            place = [word for word in words if "=" not in word]
            place += [value for name, value in pairs if name == "phase"]
            for name, value in pairs:
                if name != "phase":
                    self.values[(*place, name)].append(float(value))

    def all(self, *place):
        return self.values.get(place, [])

    def clients(self, bench, work):
        """The clients of lines `BENCH CLIENT WORK ...` or `BENCH CLIENT-WORK ...`, in their order, with those words."""
        found = {}
        for key in self.values:
            if key[0] == bench and len(key) == 4 and key[2] == work:
                found[key[1]] = key[1:3]
            elif key[0] == bench and len(key) == 3 and key[1].endswith(f"-{work}"):
                found[key[1].removesuffix(f"-{work}")] = key[1:2]
        return found

    def median(self, *place):
        values = self.all(*place)
        return statistics.median(values) if values else None


# Of each number that programs print and that is compared: how the row names it, its unit, whether less is better, and which
# numbers of the same lines are its CPU.
VALUES = {
    "rps": ("requests/s", "", False, ("cpu_us",)),
    "mb_s": ("MB/s", "", False, ("cpu_s_gb", "cpu_ms_mb")),
    "mbps": ("MB/s", "", False, ("cpu_ms",)),
    "cpu_us": ("user and kernel CPU", "µs", True, ()),
    "user_us": ("user CPU", "µs", True, ()),
    "peak_over_body": ("most memory, in sizes of the body", "", True, ()),
    "peak_mb": ("most memory", "MB", True, ()),
    "over_ms": ("time", "ms", True, ()),
    "over_cpu_ms": ("CPU", "ms", True, ()),
    "p50_ms": ("median latency at 60 % of aiohttp's most", "ms", True, ()),
    "p99_ms": ("99th percentile of it", "ms", True, ()),
    "bytes": ("heap", "bytes", True, ()),
}
# Within this of the peer, a row is neither ahead nor behind.
LEVEL = 0.03
# Not peers but measures: no client can be quicker than these, and these are hangup.
MEASURES = {"socket", "epoll", "apart", "hangup-16", "submitted", "one"}


@dataclass
class Row:
    what: str
    ours: str
    peer: str = ""
    theirs: str = ""
    ratio: str = ""
    cpu: str = ""
    wanted: str = ""
    met: str = ""
    # hangup / peer as "how many times better", for the summary: of the number and of its CPU.
    better: tuple = (None, None)


def ratio(ours, theirs):
    """The median over the turns."""
    pairs = [a / b for a, b in zip(ours, theirs) if b]
    return statistics.median(pairs) if pairs else None


def number(value, unit=""):
    if value is None:
        return "-"
    if value >= 1000:
        text = f"{value:,.0f}"
    elif value >= 100:
        text = f"{value:.0f}"
    elif value >= 1:
        text = f"{value:.1f}"
    else:
        text = f"{value:.3f}"
    return text + (f" {unit}" if unit else "")


def verdict(value, at_least=None, at_most=None):
    """What was wanted, and whether it is so."""
    if value is None or (at_least is None and at_most is None):
        return "", ""
    good = value >= at_least if at_least is not None else value <= at_most
    bound = f"at least {at_least:g}" if at_least is not None else f"at most {at_most:g}"
    return bound, "yes" if good else "**no**"


class Comparisons:
    """Makes rows of lines."""

    def __init__(self, lines):
        self.lines = lines

    def compared(self, what, bench, name, peer, ours="hangup", **wanted):
        """The row of a number of hangup's and a peer's, if there are both. A mode is a word or several."""
        label, unit, less, cpus = VALUES[name]
        places = [(bench, *((mode,) if isinstance(mode, str) else mode)) for mode in (ours, peer)]
        mine, theirs = (self.lines.all(*place, name) for place in places)
        if not mine or not theirs:
            return
        r = ratio(mine, theirs)
        cpu = None
        for name_of_cpu in cpus:
            cpu = cpu or ratio(*(self.lines.all(*place, name_of_cpu) for place in places))
        a, b = statistics.median(mine), statistics.median(theirs)
        better = (None, None)
        if r and places[1][1] not in MEASURES:
            better = (1 / r if less else r, 1 / cpu if cpu else None)
        yield Row(
            f"{what}: {label}",
            number(a, unit),
            LABELS.get(places[1][1], places[1][1]),
            number(b, unit),
            "" if r is None else f"{r:.2f}",
            f"{cpu:.2f}" if cpu else "",
            *verdict(r, **wanted),
            better,
        )

    def bounded(self, what, value, unit, **wanted):
        """The row of a number of hangup's that has a bound of its own."""
        if value is not None:
            wanted, met = verdict(value, **wanted)
            yield Row(what, number(value, unit), wanted=wanted, met=met)

    def of_bench(self, bench):
        """The rows of a benchmark of rows.py."""
        if not bench.what:
            return
        values = bench.value.split()
        less = {name: VALUES[name][2] for name in values}
        if not bench.works:
            for peer in bench.turns:
                for name in values if peer != bench.ours else ():
                    usual = bench.wanted.get(peer, None if peer in MEASURES else 1) if name == values[0] else 1
                    bound = bench.wanted.get(f"{peer} {name}", usual)
                    bound = {"at_most" if less[name] else "at_least": bound}
                    yield from self.compared(bench.what, bench.name, name, peer, bench.ours, **bound)
            return
        for work, text in bench.works.items():
            for name in values:
                places = self.lines.clients(bench.name, work)
                for peer, mode in places.items():
                    if peer != bench.ours and bench.ours in places:
                        bound = bench.wanted.get(f"{peer} {work} {name}", bench.wanted.get(name, 1))
                        bound = {"at_most" if less[name] else "at_least": bound}
                        what = f"{bench.what}, {text}"
                        yield from self.compared(what, bench.name, name, mode, places[bench.ours], **bound)


def all_rows(lines):
    make = Comparisons(lines)
    special = {
        "small_get": small_get_rows,
        "share": shared_rows,
        "inflight_memory": memory_rows,
        "inflight_cancel": cancel_in_flight_rows,
        "idle_scaling": many_idle_rows,
        "idle_plain": idle_rows,
        "cancel": cancel_rows,
        "syscalls": system_call_rows,
        "python_get": python_rows,
    }
    for bench in rows.BENCHES:
        yield from make.of_bench(bench)
        if bench.name in special:
            yield from special[bench.name](lines, make)


def small_get_rows(lines, make):
    yield from make.compared("small GET", "small_get", "user_us", "curl", at_most=0.6)
    yield from make.compared("small GET, URL as text", "small_get", "rps", "curl", ours="hangup-url")


def system_call_rows(lines, make):
    def calls(mode):
        found = {
            key[2]: value[0] for key, value in lines.values.items() if key[:2] == ("syscalls", mode) and key[3] == "calls"
        }
        return sum(found.values()), " + ".join(f"{count:.1f} {name}" for name, count in sorted(found.items()))

    ours, theirs = calls("hangup"), calls("curl")
    if ours[0] and theirs[0]:
        r = ours[0] / theirs[0]
        met = "yes" if ours[0] <= 4.01 else "**no**"
        yield Row("system calls a request", ours[1], "curl easy", theirs[1], f"{r:.2f}", "", "at most 4", met, (1 / r, None))


def idle_rows(lines, make):
    """Rows of what an idle connection costs."""
    for what, bench, bound in [("plain", "idle_plain", 4096), ("TLS", "idle_tls", 16384)]:
        ours, theirs = lines.median(bench, "hangup", "bytes"), lines.median(bench, "curl", "bytes")
        if ours is not None and theirs is not None:
            name = f"heap of an idle connection, {what}"
            wanted, met = verdict(ours, at_most=bound)
            r = f"{ours / theirs:.2f}"
            yield Row(name, number(ours, "bytes"), "curl easy", number(theirs, "bytes"), r, "", wanted, met, (theirs / ours, None))


def python_rows(lines, make):
    for peer, bound in [("pycurl", 0.8), ("requests", 8), ("httpx", None)]:
        yield from make.compared("Python, small GET", "python_get", "rps", peer, at_least=bound)


def shared_rows(lines, make):
    """Rows of sixteen threads that have eight connections."""
    what = "16 threads, 8 connections"
    yield from make.compared(what, "share", "rps", "curl-lent", at_least=1)
    yield from make.compared(what, "share", "rps", "curl-share")
    for peer in "curl-lent", "curl-share":
        yield from make.compared(what, "share", "user_us", peer)
    ours, theirs = lines.all("share", "hangup", "opened"), lines.all("share", "curl-share", "opened")
    if ours and theirs:
        ends = [
            f"signal {signal:.0f} after {done:,.0f} requests"
            for signal, done in zip(*(lines.all("share", "curl-share", name) for name in ("signal", "done")))
            if signal
        ]
        opened = f"{max(theirs):,.0f}" + "".join(f"; {end}" for end in ends)
        wanted, met = verdict(max(ours), at_most=8)
        label = LABELS["curl-share"]
        yield Row(f"{what}: connections opened", f"{max(ours):.0f}", label, opened, wanted=wanted, met=met)
    ours, free = lines.all("share", "hangup", "user_us"), lines.all("share", "hangup-16", "user_us")
    if ours and free:
        waiting = statistics.median(a - b for a, b in zip(ours, free))
        yield from make.bounded("user CPU of waiting in line", waiting, "µs", at_most=10)


def memory_rows(lines, make):
    """Rows of what requests in flight cost."""
    median = lines.median
    for mode, what, bound in [
        ("head", "memory of an exchange in flight, plain", 24 * 1024),
        ("tls", "memory of a handshake that got no answer", 110 * 1024),
        ("flight", "memory of a handshake before its last byte", 110 * 1024),
        ("read", "memory of a response that streams", None),
    ]:
        yield from make.bounded(what, median("inflight_memory", mode, "bytes"), "bytes", at_most=bound)
    for mode, name in [("head", "plain"), ("flight", "handshake"), ("read", "streaming")]:
        left = median("inflight_memory", mode, "left")
        trimmed = median("inflight_memory", mode, "left_trimmed")
        if left is not None:
            what = f"two seconds after all were cancelled, {name}: left of it, and after malloc_trim"
            yield Row(what, f"{left:.0%}, {trimmed:.0%}")
    count = median("inflight_memory", "read", "exchanges")
    if count is not None:
        what = f"{count:,.0f} responses that stream"
        yield Row(f"{what}: threads, the caller's included", f"{median('inflight_memory', 'read', 'threads'):.0f}")
        cpu = median("inflight_memory", "read", "cpu_ms_s")
        yield from make.bounded(f"{what}: CPU for 1,000 bytes a second", cpu, "ms/s")


def cancel_in_flight_rows(lines, make):
    """Rows of cancels beside many requests."""
    median = lines.median
    for mode, what, bound in [
        ("alone", "cancel of one exchange through a queue: median, worst", None),
        ("own", "cancel beside 1,000 in flight: median, worst", 0.2),
        ("shared", "cancel beside 1,000 in flight, on their queue: median, worst", None),
    ]:
        value = median("inflight_cancel", mode, "median_ms")
        if value is not None:
            worst, running = (median("inflight_cancel", mode, name) for name in ("worst_ms", "running_ms"))
            text = f"{value:.3f}, {worst:.2f} ({running:.2f}) ms"
            met = ("yes" if value < bound else "**no**") if bound else ""
            yield Row(what, text, wanted=f"under {bound:g} ms" if bound else "", met=met)
    for mode, what in [("each", "a token each"), ("one", "one token")]:
        value = median("inflight_cancel", mode, "all_ms")
        yield from make.bounded(f"1,000 cancelled at once, {what}: until the last one was taken", value, "ms")


def many_idle_rows(lines, make):
    """Rows of one connection that is used beside many that are not."""

    def values(mode, name):
        return lines.all("idle_scaling", mode, name)

    if not values("many", "rps") or not values("few", "rps"):
        return
    count = f"{values('many', 'idle')[0]:,.0f}"
    for what, name, unit, wanted in [
        ("requests/s", "rps", "", {"at_least": 0.9}),
        ("user CPU", "user_us", "µs", {"at_most": 1.1}),
        ("user and kernel CPU", "cpu_us", "µs", {"at_most": 1.1}),
    ]:
        many, few = values("many", name), values("few", name)
        # CPU is added up: part of it is sampled, and not every turn sees as many sweeps as the next.
        r = ratio(many, few) if name == "rps" else sum(many) / sum(few)
        a, b = statistics.median(many), statistics.median(few)
        row = number(a, unit), "10 idle", number(b, unit), f"{r:.2f}", "", *verdict(r, **wanted)
        yield Row(f"beside {count} idle connections: {what}", *row)
    for what, name, unit in [
        ("without requests, CPU", "rest_ms", "ms/s"),
        ("list, CPU", "list_cpu_ms", "ms"),
        ("count, CPU", "stats_cpu_ms", "ms"),
        ("close all, CPU", "close_cpu_ms", "ms"),
        ("close all, time", "close_ms", "ms"),
    ]:
        a, b = (statistics.median(values(mode, name)) for mode in ("many", "few"))
        yield Row(f"{count} idle connections: {what}", number(a, unit), "10 idle", number(b, unit))


def cancel_rows(lines, make):
    """Rows of the cancel latencies: median, worst, and the worst without the wait for a CPU."""

    def ours(who, phase):
        median = lines.median("cancel", who, phase, "median_ms")
        worst, running = (max(lines.all("cancel", who, phase, name)) for name in ("worst_ms", "running_ms"))
        late, rounds = (sum(lines.all("cancel", who, phase, name)) for name in ("late", "rounds"))
        return median, f"{median:.3f}, {worst:.2f} ({running:.2f}) ms", f"{late:.0f} of {rounds:.0f}" if late else ""

    for phase in PHASES:
        if not lines.all("cancel", "hangup", phase, "median_ms"):
            continue
        median, text, late = ours("hangup", phase)
        theirs = lines.median("cancel", "curl", phase, "median_ms")
        met = "**no**" if median >= 0.2 else f"median; {late} late" if late else "yes"
        peer = ("curl's callback", number(theirs, "ms")) if theirs else ("", "")
        better = (theirs / median, None) if theirs else (None, None)
        yield Row(f"cancel in {phase}: median, worst", text, *peer, "", "", "under 0.2, 5 ms", met, better)
    if lines.all("cancel", "floor", "poll", "median_ms"):
        _, text, late = ours("floor", "poll")
        yield Row("the floor: woken from poll", text, met=f"{late} late" if late else "")


LABELS = {
    "own": "ureq's own pool",
    "curl": "curl easy",
    "curl-large": "curl, large buffer",
    "curl-lent": "curl easy, lent",
    "curl-multi": "curl multi",
    "curl-share": "curl's share object",
    "apart": "hangup, a thread apart",
    "epoll": "bare epoll loop",
    "go": "Go net/http",
    "one": "one such thread",
    "hyper": "hyper-util",
    "socket": "bare socket",
    **{f"{peer}-{work}": peer for peer in ("aiohttp", "httpx") for work in ("1", "16", "100", "pieces", "whole")},
}


def table(lines, versions):
    head = ["what", "hangup", "peer", "peer's", "hangup / peer", "CPU, hangup / peer", "wanted", "met"]
    found = list(all_rows(lines))
    text = [head, ["---", "---:", "---", "---:", "---:", "---:", "---", "---"]]
    text += [[r.what, r.ours, r.peer, r.theirs, r.ratio, r.cpu, r.wanted, r.met] for r in found]
    out = "\n".join("| " + " | ".join(row) + " |" for row in text)
    out += "\n\n" + "\n".join(summary(found)) + "\n"
    return f"{out}\nPeers: {versions}.\n" if versions else out


def summary(found):
    """How many rows have hangup ahead of a peer, and which have it behind."""
    for index, name in enumerate(["Rows", "The same rows by CPU"]):
        better = [(row.better[index], row) for row in found if row.better[index]]
        behind = sorted(((b, row) for b, row in better if b < 1 - LEVEL), key=lambda pair: pair[0])
        ahead = sum(b > 1 + LEVEL for b, _ in better)
        level = len(better) - ahead - len(behind)
        yield f"{name}: {ahead} ahead, {level} level (within {LEVEL:.0%}), {len(behind)} behind."
        for b, row in behind:
            yield f"- behind: {row.what}, {row.peer}: {b:.2f} of it"
        yield ""
    yield f"Wanted and not met: {sum('no' in row.met for row in found)} of {sum(bool(row.wanted) for row in found)}."


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true")
    arguments.add_argument("--versions", default="")
    arguments.add_argument("lines", type=Path)
    given = arguments.parse_args()
    text = table(Lines(given.lines.read_text()), given.versions)
    print(text)
    if given.write:
        readme = README.read_text(encoding="utf-8")
        pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
        if not pattern.search(readme):
            return f"{README} has no place for the table"
        README.write_text(pattern.sub(lambda _: f"{BEGIN}\n{text}{END}", readme), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
