"""The benchmarks: which programs take turns, and which rows of the table come from them. Run by run.sh.

    rows.py needs [NAME...]                              what must be built or served for them, a word each
    rows.py list [NAME...]                               their names
    rows.py measure ROUNDS LIMIT LINES [KEY=VALUE...] -- [NAME...]
                                                         takes the turns, and writes lines for report.py to LINES

A benchmark is chosen by a NAME that is a part of its own, as "tls" is of "tls_small"; without any all are. A command's
{key} is a word that run.sh gives as KEY=VALUE. Turns whose keys are not given (a peer that can't be built) are left out, and
that is said. In every round each benchmark's turns follow each other (A B A B). After LIMIT seconds no turn begins, except
that each benchmark has one round; so that all ends.
"""

import os
import shlex
import signal
import string
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

# What may take no longer than this is a turn, in seconds.
LONGEST_TURN = 60


@dataclass
class Bench:
    name: str
    # The command of each mode; "" for a program that takes the turns itself and begins each line with its mode.
    turns: dict
    # The row's text; report.py has the rows of those without.
    what: str = ""
    # What is compared, a word or several: see VALUES in report.py.
    value: str = "rps"
    # The ratio that is wanted, where it is not 1: of a peer, of "peer value", or with works of "peer work value" and "value".
    wanted: dict = field(default_factory=dict)
    # Turns a round.
    times: int = 1
    # Client and server share a processor: see run.sh.
    together: bool = False
    # Measured once, after the rounds.
    once: bool = False
    # For programs that print lines `CLIENT WORK name=value` or `CLIENT-WORK name=value`: the texts of the works.
    works: dict = field(default_factory=dict)
    # The mode that is hangup's.
    ours: str = "hangup"
    # Keys that must be given, besides those in the commands.
    needs: tuple = ()


def get(name, what, path, requests, value="rps", peers=("curl", "ureq", "hyper", "go"), options="", together=True, **more):
    """One GET after the other with each client."""
    commands = {
        "hangup": "{bin}/get hangup",
        "curl": "{bin}/get curl",
        "curl-large": "{bin}/get curl-large",
        "socket": "{bin}/get socket",
        "ureq": "{ureq}/get-ureq",
        "hyper": "{hyper}/get-hyper",
        "go": "{go}/get_go",
    }
    warm_up = max(1, min(50, requests // 10)) if "origins" not in options else 1000
    end = f"{path} {requests} {warm_up} {options}"
    turns = {mode: f"{commands[mode]} {end}" for mode in ("hangup", *peers)}
    return Bench(name, turns, what, value, together=together, **more)


def tls(name, what, server, path, requests, **more):
    return get(name, what, f"{{{server}}}{path}", requests, options="roots={roots}", **more)


def inflight(name, what, in_flight, requests, path="{http}/small", body="ok.", options="", measures=True, **more):
    """Many GETs at once with each client."""
    end = f"{path} {body} {in_flight} {requests} {options}"
    turns = {
        "hangup": f"{{bin}}/inflight hangup {end}",
        "curl-multi": f"{{bin}}/inflight_curl poll {end}",
        "go": f"{{go}}/inflight_go {end}",
        "hyper": f"{{hyper}}/inflight-hyper {end}",
    }
    if measures:
        turns |= {"apart": f"{{bin}}/inflight apart {end}", "epoll": f"{{bin}}/inflight socket {end}"}
    return Bench(name, turns, what, **more)


def upload(how, text, size, count, server="sink", peers=("curl", "curl-large", "hyper", "ureq"), value="mb_s", **more):
    """The same body again and again, with each client."""
    end = f"{{{server}}}/ {size} {count}" + (" {roots}" if server == "sink_tls" else "")
    commands = {"hyper": "{hyper}/serial-hyper", "ureq": "{ureq}/serial-ureq"}
    turns = {mode: f"{commands.get(mode, '{bin}/upload ' + mode)} {how} {end}" for mode in ("hangup", *peers)}
    start = "upload_tls" if server == "sink_tls" else "upload"
    return Bench(f"{start}_{how}_{size}", turns, f"upload of {text}", value, **more)


def chunks(size, text, total, bodies):
    # Two processors: the server has as much to do as the client.
    peers = ("curl", "curl-large", "ureq", "hyper", "go")
    path = f"{{chunks}}/chunks/{size}/{total}"
    return get(f"chunks_{size}", f"chunks of {text}", path, bodies, "mb_s", peers, together=False)


BENCHES = [
    # One small request after the other.
    Bench(
        "small_get",
        {mode: f"{{bin}}/small_get {mode} {{http}}/small 10000" for mode in ("hangup", "curl", "hangup-url", "socket")},
        "small GET",
        times=2,
        together=True,
    ),
    get("small_get_peers", "small GET", "{http}/small", 8000, peers=("ureq", "hyper", "go")),
    Bench(
        "ureq",
        {mode: f"{{ureq}}/small-get-ureq {mode} {{http}}/small 5000" for mode in ("managed", "own")},
        "ureq over the manager: small GET",
        times=2,
        together=True,
        ours="managed",
    ),
    get("headers_30", "30 response headers", "{http}/headers", 6000),
    get("body_10k", "10 KiB body", "{http}/10k", 6000),
    get("body_1m", "1 MiB body", "{http}/1m", 300, "mb_s", ("curl", "curl-large", "ureq", "hyper", "go")),
    get("redirect", "redirect: two requests", "{http}/to", 4000, peers=("curl", "ureq", "go")),
    *(
        Bench(
            f"jar_{jar}",
            {mode: f"{{bin}}/redirect_jar {mode} {{http}}/small {jar} {count}" for mode in ("hangup", "curl")},
            f"small GET, {text}",
            together=True,
        )
        for jar, text, count in [
            ("0", "an empty jar", 6000),
            ("50", "a jar with 50 cookies of other sites", 6000),
            ("own50", "50 cookies that are sent", 1500),
        ]
    ),
    get("origins_1000", "1,000 origins in turn", "{origins}/small", 6000, options="origins=1000"),
    # New connections.
    Bench(
        "short",
        {
            "hangup": "{bin}/short hangup short {http}/small 3 3000",
            "curl": "{bin}/short curl short {http}/small 3 3000",
            "ureq": "{ureq}/serial-ureq short {http}/small 3 3000",
            "hyper": "{hyper}/serial-hyper short {http}/small 3 3000",
            "socket": "{bin}/short socket short {http}/small 3 3000",
        },
        "a connection a request, the client closes",
        together=True,
        wanted={"ureq": 1.1},
    ),
    get("short_by_server", "a connection a request, the server closes", "{short}/small", 3000),
    tls("tls_cold_resumed", "TLS, a connection a request, resumed", "short_tls", "/small", 1000),
    tls("tls_cold_full", "TLS, a connection a request, full handshake", "full_tls", "/small", 400),
    # TLS on a kept connection.
    tls("tls_small", "TLS, small GET", "https", "/small", 6000),
    tls("tls_10k", "TLS, 10 KiB body", "https", "/10k", 5000),
    tls("tls_1m", "TLS, 1 MiB body", "https", "/1m", 150, value="mb_s"),
    tls("tls_large", "TLS, 100 MB body", "https", "/large", 2, value="mb_s", together=False),
    # Large bodies.
    Bench(
        "large_body",
        {mode: f"{{bin}}/large_body {mode} {{http}}/large 4" for mode in ("hangup", "curl", "curl-large", "socket")},
        "100 MB body",
        "mb_s",
    ),
    get("large_peers", "100 MB body", "{http}/large", 4, "mb_s", ("ureq", "hyper", "go"), together=False),
    Bench(
        "large_chunked",
        {mode: f"{{bin}}/large_body {mode} {{http}}/chunked 4" for mode in ("hangup", "curl", "curl-large")},
        "100 MB body, chunked by nginx",
        "mb_s",
    ),
    chunks(16, "16 bytes", 8_000_000, 4),
    chunks(256, "256 bytes", 64_000_000, 4),
    chunks(16384, "16 KiB", 6400 * 16384, 4),
    chunks(1048576, "1 MiB", 100 * 1048576, 4),
    get("gzip", "100 MB body, gzip", "{packed}/packed", 1, "mb_s", ("curl", "ureq"), "decode=1", together=False),
    get("br", "100 MB body, br", "{br}/br/packed", 1, "mb_s", ("curl", "ureq"), "decode=1", together=False),
    get("zstd", "100 MB body, zstd", "{zstd}/zstd/packed", 2, "mb_s", ("curl",), "decode=1", together=False),
    # Uploads.
    upload("memory", "1 KiB, memory", 1024, 6000, "sink_near", value="rps", together=True),
    *(
        upload(how, f"{text}, {how}", size, count)
        for size, text, count in [(1048576, "1 MiB", 150), (100_000_000, "100 MB", 3)]
        for how in ("memory", "reader", "file", "chunked")
    ),
    # The others have no such body: curl's is the reader, which it calls back for.
    Bench(
        "upload_pushed_100000000",
        {
            "hangup": "{bin}/upload hangup pushed {sink}/ 100000000 3",
            "curl": "{bin}/upload curl reader {sink}/ 100000000 3",
        },
        "upload of 100 MB, pushed by a second thread",
        "mb_s",
    ),
    upload("memory", "100 MB over TLS, memory", 100_000_000, 2, "sink_tls"),
    upload("reader", "100 MB over TLS, reader", 100_000_000, 2, "sink_tls"),
    Bench("large_file", {"hangup": "{bin}/large_file {http}/large {work}/state/large 4"}),
    Bench(
        "large_upload", {mode: f"{{bin}}/large_file upload {mode} {{work}}/files/large 4" for mode in ("file", "pushed", "reader")}
    ),
    # Threads.
    Bench(
        "threads",
        {mode: f"{{bin}}/threads {mode} {{http}}/small 16 1000" for mode in ("hangup", "curl")},
        "16 threads",
        times=2,
    ),
    Bench(
        "share",
        {
            "hangup": "{bin}/share hangup {http}/small 16 1000 8",
            "hangup-16": "{bin}/share hangup {http}/small 16 1000 16",
            "curl-lent": "{bin}/share curl-lent {http}/small 16 1000 8",
            "curl-share": "{bin}/share curl-share {http}/small 16 500 8",
        },
    ),
    # In flight.
    *(
        inflight(f"inflight_{n}", f"{n:,} in flight", n, 12000, wanted={"curl-multi": 1.3, "go": 1.5, "hyper": 0.95})
        for n in (16, 256, 1000)
    ),
    inflight(
        "inflight_9000", "9,000 in flight", 9000, 20000, measures=False, value="rps peak_mb",
        wanted={"hyper": 1.2, "hyper peak_mb": 0.5},
    ),
    inflight("inflight_1m", "1 MiB as a whole, 16 in flight", 16, 500, "{http}/1m", "size=1048576", measures=False),
    inflight("inflight_tls", "TLS, 1,000 in flight", 1000, 12000, "{https}/small", options="roots={roots}", measures=False),
    # Threads with a queue each.
    *(
        Bench(
            f"callers_{name}",
            {"two": f"{{bin}}/callers {name} 2 16 20000", "one": f"{{bin}}/callers {name} 1 16 20000"},
            text,
            "rps cpu_us",
            wanted={"one rps": 1.5, "one cpu_us": 1.1},
            ours="two",
        )
        for name, text in [
            ("waits", "two threads with a queue each, 16 in flight each"),
            ("drives", "two event loops with a queue each, 16 in flight each"),
        ]
    ),
    Bench(
        "callers_share",
        {"two": "{bin}/callers waits 2 16 20000 share", "one": "{bin}/callers waits 1 16 20000 share"},
        "two threads with a queue each and one pool of connections",
        "rps cpu_us",
        wanted={"one rps": 1.5, "one cpu_us": 1.1},
        ours="two",
    ),
    # Cancels.
    Bench("cancel", {"": "{bin}/cancel 100 {curls}"}),
    Bench("inflight_cancel", {"": "{bin}/inflight_cancel {http}/small 1000 300"}, once=True),
    # Memory.
    Bench(
        "inflight_memory",
        {
            **{mode: f"{{bin}}/inflight_memory {mode} 1000 {{work}}" for mode in ("head", "tls", "flight")},
            # A descriptor for each, here and in the server.
            "read": "{bin}/inflight_memory read {streams} {work}",
        },
        once=True,
    ),
    Bench("idle_scaling", {"": "{bin}/idle_scaling {many} /small 1000 {each} 12000 16"}, once=True, together=True),
    *(
        Bench(
            f"idle_{name}",
            {mode: f"{{bin}}/idle_memory {mode} {{{server}}}/small {{roots}} 500" for mode in ("hangup", "curl")},
            once=True,
        )
        for name, server in [("plain", "http"), ("tls", "https")]
    ),
    Bench("syscalls", {"": "sh benches/syscalls.sh {bin}/small_get {http}/small"}, once=True, needs=("strace",)),
    # Python; the programs take turns themselves.
    Bench("python_get", {"": "{python} benches/python_get.py {http}/small 0.2 3"}, together=True),
    Bench(
        "python_small",
        {"": "{python} benches/python_small.py {http}/small {https}/small {sink_near}/ {roots} 0.2 2"},
        "Python",
        together=True,
        works={
            "get": "small GET of a client",
            "get_tls": "small GET of a client, TLS",
            "post_json": "small POST of JSON",
            "module_get": "small GET by the module's function",
            "threads": "small GETs by 16 threads",
        },
    ),
    *(
        Bench(
            f"python_{name}",
            {"": f"{{python}} benches/python_bodies.py {{http}} {{https}} {{roots}} 1 {' '.join(works)}"},
            "Python",
            "mbps peak_over_body" if name == "content" else "mbps",
            {"peak_over_body": 1.1},
            works=works,
        )
        for name, works in [
            (
                "content",
                {
                    "content": "100 MB as bytes",
                    "content_chunked": "100 MB as bytes, chunked",
                    "content_tls": "100 MB as bytes, TLS",
                },
            ),
            (
                "stream",
                {
                    "stream": "100 MB in pieces",
                    "stream_tls": "100 MB in pieces, TLS",
                    "chunks": "100 MB in pieces of 100,000 bytes",
                },
            ),
            (
                "upload",
                {
                    "bytes": "POST of 100 MB, bytes",
                    "bytearray": "POST of 100 MB, bytearray",
                    "file": "POST of 100 MB, file",
                    "iterator": "POST of 100 MB, iterator",
                },
            ),
        ]
    ),
    Bench(
        "python_start",
        {"": "{python} benches/python_start.py {http}/small {https}/small {roots} 3"},
        "Python, a new process",
        "over_ms over_cpu_ms",
        {f"pycurl {work} {name}": 1.3 for work in ("import", "get", "get_tls") for name in ("over_ms", "over_cpu_ms")},
        works={"import": "import", "get": "the first response", "get_tls": "the first response, TLS"},
    ),
    Bench(
        "python_async",
        {"": "{python} benches/python_async.py {http}/small 0.25 2"},
        "asyncio",
        "rps p50_ms p99_ms",
        {
            "aiohttp 1 rps": 1.5,
            **{f"aiohttp {n} rps": 5 for n in (16, 100)},
            **{f"aiohttp {n} {name}": 0.5 for n in (1, 16, 100) for name in ("p50_ms", "p99_ms")},
        },
        works={str(n): f"{n} in flight" for n in (1, 16, 100)},
    ),
    *(
        Bench(
            f"python_async_{name}",
            {"": f"{{python}} benches/python_async.py stream {{{server}}}/large 2 {options}"},
            f"asyncio, 100 MB{text}",
            "mb_s",
            {"aiohttp pieces mb_s": least},
            works={"pieces": "in pieces", "whole": "as bytes"},
        )
        for name, server, options, text, least in [("stream", "http", "", "", 1.5), ("stream_tls", "https", "{roots}", ", TLS", 1)]
    ),
]


def chosen(names):
    wrong = [name for name in names if not any(name in bench.name for bench in BENCHES)]
    if wrong:
        sys.exit(f"no row has {' or '.join(wrong)} in its name; `rows.py list` prints the names")
    return [bench for bench in BENCHES if not names or any(name in bench.name for name in names)]


def keys(bench, mode):
    return {key for _, key, _, _ in string.Formatter().parse(bench.turns[mode]) if key} | set(bench.needs)


def run(command):
    """What it printed, its exit status (None if it took too long), and the largest memory that it had, in bytes."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    late = threading.Event()

    def end():
        late.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(LONGEST_TURN, end)
    timer.start()
    try:
        output = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return output, None if late.is_set() else process.returncode, used.ru_maxrss * 1024


class Rounds:
    """The turns of the chosen benchmarks."""

    def __init__(self, given, lines):
        self.given = given
        self.lines = lines
        self.said = set()

    def turn(self, bench, mode, round_number):
        words = {**self.given, "curls": "3" if round_number == 0 else "0"}
        missing = keys(bench, mode) - set(words)
        if missing:
            self.say(f"{bench.name} {mode}: left out, because there is no {', '.join(sorted(missing))}")
            return
        command = shlex.split(bench.turns[mode].format(**words))
        if bench.together:
            command = shlex.split(words.get("together", "")) + command
        output, status, peak = run(command)
        if status is None:
            self.say(f"{bench.name} {mode} took longer than {LONGEST_TURN} s: its numbers are left out")
        elif status != 0:
            self.say(f"{bench.name} {mode} failed: its numbers are left out")
        else:
            for line in output.splitlines():
                print(bench.name, mode, line, file=self.lines)
            if mode:
                print(bench.name, mode, f"peak_mb={peak / 1e6:.1f}", file=self.lines)
            self.lines.flush()

    def say(self, text):
        if text not in self.said:
            print(text, file=sys.stderr, flush=True)
        self.said.add(text)


def measure(rounds, limit, lines, given, benches):
    begin = time.monotonic()
    with open(lines, "w", encoding="utf-8") as file:
        turns = Rounds(given, file)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            for bench in benches:
                if bench.once:
                    continue
                for _ in range(bench.times):
                    for mode in bench.turns:
                        turns.turn(bench, mode, number)
                if number > 0 and time.monotonic() - begin > limit:
                    print(f"{limit:.0f} s are over: the rest of the rounds is left out", file=sys.stderr)
                    break
            if time.monotonic() - begin > limit:
                break
        for bench in benches:
            for mode in bench.turns if bench.once else ():
                print(f"{bench.name} {mode}", file=sys.stderr)
                turns.turn(bench, mode, 0)


def main():
    words = sys.argv[1:]
    if words[:1] == ["needs"]:
        benches = chosen(words[1:])
        print(*sorted(set().union(*(keys(bench, mode) for bench in benches for mode in bench.turns))))
    elif words[:1] == ["list"]:
        print(*(bench.name for bench in chosen(words[1:])), sep="\n")
    elif words[:1] == ["measure"] and "--" in words[4:]:
        end = words.index("--")
        given = dict(word.split("=", 1) for word in words[4:end])
        measure(int(words[1]), float(words[2]), words[3], given, chosen(words[end + 1 :]))
    else:
        return __doc__
    return 0


if __name__ == "__main__":
    sys.exit(main())
