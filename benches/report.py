"""The lines of run.sh as one table of medians, to standard output and with --write into README.md.

    report.py [--write] [--versions TEXT] LINES

A line is `BENCH MODE name=value...`. A ratio is the median of the ratios of neighbouring turns, which the machine's
moods touch less than the ratio of two medians.
"""

import argparse
import collections
import re
import statistics
import sys
from pathlib import Path

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

    def median(self, *place):
        values = self.all(*place)
        return statistics.median(values) if values else None


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


def rows(lines):
    """Rows of (what, ours, peer's name, peer's, ratio, wanted, met)."""

    def compared(what, bench, name, peer, unit="", ours="hangup", **wanted):
        mine, theirs = lines.all(bench, ours, name), lines.all(bench, peer, name)
        if not mine or not theirs:
            return
        r = ratio(mine, theirs)
        a, b = statistics.median(mine), statistics.median(theirs)
        yield what, number(a, unit), LABELS.get(peer, peer), number(b, unit), f"{r:.2f}", *verdict(r, **wanted)

    def bounded(what, value, unit, peer, theirs, **wanted):
        if value is None:
            return
        yield what, number(value, unit), peer, number(theirs, unit) if peer else "", "", *verdict(value, **wanted)

    small = "small GET"
    yield from compared(f"{small}: requests/s", "small_get", "rps", "curl", at_least=1)
    yield from compared(f"{small}: user CPU", "small_get", "user_us", "curl", "µs", at_most=0.6)
    yield from compared(f"{small}: user and kernel CPU", "small_get", "cpu_us", "curl", "µs")
    yield from compared(f"{small}: instructions in user space", "instructions", "count", "curl")
    yield from compared(f"{small}: requests/s", "small_get", "rps", "socket")
    yield from compared(f"{small}, URL as text: requests/s", "small_get", "rps", "curl", ours="hangup-url")
    yield from compared(f"{small}, URL as text: user CPU", "small_get", "user_us", "curl", "µs", ours="hangup-url")
    yield from compared(
        f"{small}, URL as text: instructions", "instructions", "count", "curl", ours="hangup-url"
    )

    yield from compared("ureq: small GET: requests/s", "ureq", "rps", "own", ours="managed")
    yield from compared("ureq: small GET: user and kernel CPU", "ureq", "cpu_us", "own", "µs", ours="managed")

    def calls(mode):
        found = {
            key[2]: value[0] for key, value in lines.values.items() if key[:2] == ("syscalls", mode) and key[3] == "calls"
        }
        return sum(found.values()), " + ".join(f"{count:.1f} {name}" for name, count in sorted(found.items()))

    ours, theirs = calls("hangup"), calls("curl")
    if ours[0]:
        yield "system calls a request", ours[1], "curl easy", theirs[1], f"{ours[0] / theirs[0]:.2f}", "at most 4", (
            "yes" if ours[0] <= 4.01 else "**no**"
        )

    yield from compared("100 MB body: MB/s", "large_body", "mb_s", "curl", at_least=1)
    yield from compared("100 MB body: MB/s", "large_body", "mb_s", "curl-large")
    yield from compared("100 MB body: MB/s", "large_body", "mb_s", "socket")
    for what, bench in [("chunked", "large_chunked"), ("gzip", "large_gzip")]:
        yield from compared(f"100 MB body, {what}: MB/s", bench, "mb_s", "curl", at_least=1)
        yield from compared(f"100 MB body, {what}: MB/s", bench, "mb_s", "curl-large")
    yield from compared("16 threads: requests/s", "threads", "rps", "curl")
    yield from compared("16 threads: user and kernel CPU", "threads", "cpu_us", "curl", "µs")

    yield from shared(lines, compared)
    yield from in_flight(lines, compared, bounded)
    yield from many_idle(lines)

    for what, bench, bound in [("plain", "idle_plain", 4096), ("TLS", "idle_tls", 16384)]:
        yield from bounded(
            f"heap of an idle connection, {what}",
            lines.median(bench, "hangup", "bytes"),
            "bytes",
            "curl easy",
            lines.median(bench, "curl", "bytes"),
            at_most=bound,
        )

    yield from cancels(lines)

    for peer, bound in [("pycurl", 0.8), ("requests", 8), ("httpx", None)]:
        yield from compared("Python, small GET: requests/s", "python", "rps", peer, at_least=bound)
    yield from compared("Python, small GET: user and kernel CPU", "python", "cpu_us", "pycurl", "µs")
    yield from asyncio_rows(compared)


def asyncio_rows(compared):
    """Rows of many requests in flight on one event loop."""
    for count in 16, 100:
        what, ours = f"asyncio, {count} in flight", f"hangup-{count}"
        for peer, bound in [("aiohttp", 2), ("httpx", 10)]:
            wanted = {"at_least": bound} if count == 100 else {}
            yield from compared(f"{what}: requests/s", "python_async", "rps", f"{peer}-{count}", ours=ours, **wanted)
            yield from compared(f"{what}: user and kernel CPU", "python_async", "cpu_us", f"{peer}-{count}", "µs", ours=ours)
        peer = f"aiohttp-{count}"
        load = f"{what}, 60 % of aiohttp's most"
        yield from compared(f"{load}: median latency", "python_async", "p50_ms", peer, "ms", ours=ours)
        wanted = {"at_most": 1} if count == 100 else {}
        yield from compared(f"{load}: 99th percentile", "python_async", "p99_ms", peer, "ms", ours=ours, **wanted)


def shared(lines, compared):
    """Rows of sixteen threads that have eight connections."""
    what = "16 threads, 8 connections"
    yield from compared(f"{what}: requests/s", "share", "rps", "curl-lent", at_least=1)
    yield from compared(f"{what}: requests/s", "share", "rps", "curl-share")
    for peer in "curl-lent", "curl-share":
        yield from compared(f"{what}: user CPU", "share", "user_us", peer, "µs")
        yield from compared(f"{what}: user and kernel CPU", "share", "cpu_us", peer, "µs")
    ours, theirs = lines.all("share", "hangup", "opened"), lines.all("share", "curl-share", "opened")
    if ours and theirs:
        ends = [
            f"signal {signal:.0f} after {done:,.0f} requests"
            for signal, done in zip(*(lines.all("share", "curl-share", name) for name in ("signal", "done")))
            if signal
        ]
        opened = f"{max(theirs):,.0f}" + "".join(f"; {end}" for end in ends)
        met = verdict(max(ours), at_most=8)
        yield f"{what}: connections opened", f"{max(ours):.0f}", LABELS["curl-share"], opened, "", *met
    ours, free = lines.all("share", "hangup", "user_us"), lines.all("share", "hangup-16", "user_us")
    if ours and free:
        waiting = statistics.median(a - b for a, b in zip(ours, free))
        yield "user CPU of waiting in line", number(waiting, "µs"), "", "", "", *verdict(waiting, at_most=10)


def in_flight(lines, compared, bounded):
    """Rows of many requests at once."""
    for level in 16, 256, 1000:
        bench, what = f"inflight_{level}", f"{level:,} in flight"
        for peer, bound in [("curl-multi", 1.3), ("go", 1.5), ("hyper", 0.95), ("apart", None), ("epoll", None)]:
            yield from compared(f"{what}: requests/s", bench, "rps", peer, at_least=bound)
        for peer in "curl-multi", "go", "hyper", "apart", "epoll":
            yield from compared(f"{what}: user and kernel CPU", bench, "cpu_us", peer, "µs")

    median = lines.median

    def plain(what, value, unit="", **wanted):
        yield from bounded(what, value, unit, "", None, **wanted)

    for mode, what, bound in [
        ("head", "memory of an exchange in flight, plain", 24 * 1024),
        ("tls", "memory of a handshake that got no answer", 110 * 1024),
        ("flight", "memory of a handshake before its last byte", 110 * 1024),
        ("read", "memory of a response that streams", None),
    ]:
        yield from plain(what, median("inflight_memory", mode, "bytes"), "bytes", at_most=bound)
    for mode, name in [("head", "plain"), ("flight", "handshake"), ("read", "streaming")]:
        left = median("inflight_memory", mode, "left")
        trimmed = median("inflight_memory", mode, "left_trimmed")
        if left is not None:
            what = f"two seconds after all were cancelled, {name}: left of it, and after malloc_trim"
            yield what, f"{left:.0%}, {trimmed:.0%}", "", "", "", "", ""
    count = median("inflight_memory", "read", "exchanges")
    if count is not None:
        what = f"{count:,.0f} responses that stream"
        threads = f"{median('inflight_memory', 'read', 'threads'):.0f}"
        yield f"{what}: threads, the caller's included", threads, "", "", "", "", ""
        yield from plain(f"{what}: CPU for 1,000 bytes a second", median("inflight_memory", "read", "cpu_ms_s"), "ms/s")

    for mode, what, bound in [
        ("alone", "cancel of one exchange through a queue: median, worst", None),
        ("own", "cancel beside 1,000 in flight: median, worst", 0.2),
        ("shared", "cancel beside 1,000 in flight, on their queue: median, worst", None),
    ]:
        value = median("inflight_cancel", mode, "median_ms")
        if value is not None:
            worst, running = (median("inflight_cancel", mode, name) for name in ("worst_ms", "running_ms"))
            text = f"{value:.3f}, {worst:.2f} ({running:.2f}) ms"
            wanted = f"under {bound:g} ms" if bound else ""
            yield what, text, "", "", "", wanted, ("yes" if value < bound else "**no**") if bound else ""
    for mode, what in [("each", "a token each"), ("one", "one token")]:
        value = median("inflight_cancel", mode, "all_ms")
        yield from plain(f"1,000 cancelled at once, {what}: until the last one was taken", value, "ms")


def many_idle(lines):
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
        row = number(a, unit), "10 idle", number(b, unit), f"{r:.2f}", *verdict(r, **wanted)
        yield f"beside {count} idle connections: {what}", *row
    for what, name, unit in [
        ("without requests, CPU", "rest_ms", "ms/s"),
        ("list, CPU", "list_cpu_ms", "ms"),
        ("count, CPU", "stats_cpu_ms", "ms"),
        ("close all, CPU", "close_cpu_ms", "ms"),
        ("close all, time", "close_ms", "ms"),
    ]:
        a, b = (statistics.median(values(mode, name)) for mode in ("many", "few"))
        yield f"{count} idle connections: {what}", number(a, unit), "10 idle", number(b, unit), "", "", ""


def cancels(lines):
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
        yield f"cancel in {phase}: median, worst", text, *peer, "", "under 0.2, 5 ms", met
    if lines.all("cancel", "floor", "poll", "median_ms"):
        _, text, late = ours("floor", "poll")
        yield "the floor: woken from poll", text, "", "", "", "", f"{late} late" if late else ""


LABELS = {
    "own": "ureq's own pool",
    "curl": "curl easy",
    "curl-large": "curl, 256 KiB buffer",
    "curl-lent": "curl easy, lent",
    "curl-multi": "curl multi",
    "curl-share": "curl's share object",
    "apart": "hangup, a thread apart",
    "epoll": "bare epoll loop",
    "go": "Go net/http",
    "hyper": "hyper-util",
    "socket": "bare socket",
    **{f"{peer}-{count}": peer for peer in ("aiohttp", "httpx") for count in (16, 100)},
}


def table(lines, versions):
    head = ["what", "hangup", "peer", "peer's", "hangup / peer", "wanted", "met"]
    text = [head, ["---", "---:", "---", "---:", "---:", "---", "---"], *rows(lines)]
    out = "\n".join("| " + " | ".join(row) + " |" for row in text)
    return f"{out}\n\nPeers: {versions}.\n" if versions else out + "\n"


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
