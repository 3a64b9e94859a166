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

import shlex
import string
import subprocess
import sys
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
    # The ratio that is wanted of each peer where it is not 1 (or of each work, or of "work value").
    wanted: dict = field(default_factory=dict)
    # Turns a round.
    times: int = 1
    # Client and server share a processor: see run.sh.
    together: bool = False
    # Measured once, after the rounds.
    once: bool = False
    # For programs that print lines `CLIENT WORK name=value`: the texts of the works; `what` is before them.
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


def inflight(level, **more):
    end = f"{{http}}/small ok. {level} 12000"
    turns = {
        "hangup": f"{{bin}}/inflight hangup {end}",
        "curl-multi": f"{{bin}}/inflight_curl poll {end}",
        "go": f"{{go}}/inflight_go {end}",
        "hyper": f"{{hyper}}/inflight-hyper {end}",
        "apart": f"{{bin}}/inflight apart {end}",
        "epoll": f"{{bin}}/inflight socket {end}",
    }
    wanted = {"curl-multi": 1.3, "go": 1.5, "hyper": 0.95}
    return Bench(f"inflight_{level}", turns, f"{level:,} in flight", wanted=wanted, **more)


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
    get("short", "a connection a request", "{short}/small", 3000),
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
    inflight(16),
    inflight(256),
    inflight(1000),
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
    Bench("python_async", {"": "{python} benches/python_async.py {http}/small 0.25 2"}),
]


def chosen(names):
    wrong = [name for name in names if not any(name in bench.name for bench in BENCHES)]
    if wrong:
        sys.exit(f"no row has {' or '.join(wrong)} in its name; `rows.py list` prints the names")
    return [bench for bench in BENCHES if not names or any(name in bench.name for name in names)]


def keys(bench, mode):
    return {key for _, key, _, _ in string.Formatter().parse(bench.turns[mode]) if key} | set(bench.needs)


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
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=LONGEST_TURN)
        except subprocess.TimeoutExpired:
            self.say(f"{bench.name} {mode} took longer than {LONGEST_TURN} s: its numbers are left out")
            return
        if done.returncode != 0:
            self.say(f"{bench.name} {mode} failed: its numbers are left out")
            return
        for line in done.stdout.splitlines():
            print(bench.name, mode, line, file=self.lines, flush=True)

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
