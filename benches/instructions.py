"""Instructions in user space of each kind of work, by callgrind, beside the table in instructions.txt.

    instructions.py [--write] [--only NAME]... KEY=VALUE...

A number is the difference of two runs of different length, so that nothing that is done once is in it; it hardly depends on the
machine's mood, and knows nothing of cache misses. A row that is worse than the table's by more than 5 % is measured twice
more, and the least counts; so it is for the table. Ends with 1 if a row is still worse then, and says which; rows that are better by more than 5 % are
named as well. --write makes the table of what was measured, or of some of its rows. Run by instructions.sh, which gives the
KEYs; rows without their keys are left out, and that is said.
"""

import argparse
import re
import subprocess
import string
import sys
from pathlib import Path

TABLE = Path(__file__).resolve().parent / "instructions.txt"
WORSE = 1.05
HEAD = """\
# Instructions in user space of one request, or of what the row says, hangup's and the program's together, by callgrind.
# `make bench-instructions` compares with this table, and ends with an error where a row is worse by more than 5 %;
# `sh benches/instructions.sh --write` writes it.
"""

# Each row: its text, its command, and how many requests the shorter and the longer run have.
ROWS = [
    ("small GET", "{bin}/small_get hangup {http}/small {n} 0", 500, 1500),
    ("small GET, URL as text", "{bin}/small_get hangup-url {http}/small {n} 0", 500, 1500),
    ("submitted small GET, 16 in flight", "{bin}/inflight hangup {http}/small ok. 16 {n}", 500, 2500),
    ("30 response headers", "{bin}/get hangup {http}/headers {n} 10", 500, 1500),
    ("10 KiB body", "{bin}/get hangup {http}/10k {n} 10", 500, 1500),
    ("1 MiB body", "{bin}/get hangup {http}/1m {n} 10", 50, 250),
    ("redirect: two requests", "{bin}/get hangup {http}/to {n} 10", 500, 1500),
    ("small GET, an empty jar", "{bin}/redirect_jar hangup {http}/small 0 {n} 10", 500, 1500),
    ("small GET, a jar with 50 cookies of other sites", "{bin}/redirect_jar hangup {http}/small 50 {n} 10", 500, 1500),
    ("small GET, 50 cookies that are sent", "{bin}/redirect_jar hangup {http}/small own50 {n} 10", 200, 700),
    ("1,000 origins in turn", "{bin}/get hangup {origins}/small {n} 1000 origins=1000", 1000, 4000),
    ("a connection a request, the server closes", "{bin}/get hangup {short}/small {n} 10", 100, 500),
    ("a connection a request, the client closes", "{bin}/short hangup short {http}/small 3 {n}", 100, 500),
    ("POST of 1 KiB, memory", "{bin}/upload hangup memory {sink}/ 1024 {n}", 500, 1500),
    ("submitted POST of 1 KiB, memory", "{bin}/upload submitted memory {sink}/ 1024 {n}", 500, 1500),
    *(
        (f"upload of 1 MiB, {how}", f"{{bin}}/upload hangup {how} {{sink}}/ 1048576 {{n}}", 50, 250)
        # Not one that a second thread writes: how often the threads wait for each other is different each time.
        for how in ("memory", "reader", "file", "chunked")
    ),
    ("upload of 1 MiB over TLS, memory", "{bin}/upload hangup memory {sink_tls}/ 1048576 {n} {roots}", 10, 40),
    ("1 MiB in chunks of 16 bytes", "{bin}/get hangup {chunks}/chunks/16/1048576 {n} 1", 2, 12),
    ("1 MiB in chunks of 256 bytes", "{bin}/get hangup {chunks}/chunks/256/1048576 {n} 1", 5, 45),
    ("1 MiB in chunks of 16 KiB", "{bin}/get hangup {chunks}/chunks/16384/1048576 {n} 1", 20, 120),
    ("4 MB body, gzip", "{bin}/get hangup {packed}/packed {n} 1 decode=1", 1, 4),
    ("4 MB body, br", "{bin}/get hangup {br}/br/packed {n} 1 decode=1", 1, 4),
    ("4 MB body, zstd", "{bin}/get hangup {zstd}/zstd/packed {n} 1 decode=1", 1, 4),
    ("TLS, small GET", "{bin}/get hangup {https}/small {n} 10 roots={roots}", 500, 1500),
    ("TLS, 10 KiB body", "{bin}/get hangup {https}/10k {n} 10 roots={roots}", 200, 700),
    ("TLS, 1 MiB body", "{bin}/get hangup {https}/1m {n} 2 roots={roots}", 10, 40),
    ("TLS, a connection a request, resumed", "{bin}/get hangup {short_tls}/small {n} 5 roots={roots}", 20, 120),
    ("TLS, a connection a request, full handshake", "{bin}/get hangup {full_tls}/small {n} 5 roots={roots}", 20, 120),
]


def count(command):
    """The instructions of a run."""
    callgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    done = subprocess.run([*callgrind, *command.split()], capture_output=True, text=True, timeout=300)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        sys.exit(f"{command}: {done.stderr}")
    return int(found.group(1))


def each(command, few, many, given):
    runs = [count(command.format(n=n, **given)) for n in (few, many)]
    return round((runs[1] - runs[0]) / (many - few))


def read_table():
    if not TABLE.exists():
        return {}
    lines = [line.split(None, 1) for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {line[1]: int(line[0].replace(",", "")) for line in lines if len(line) == 2}


def write_table(table, versions):
    text = HEAD + f"# {versions}\n"
    text += "".join(f"{table[row[0]]:>12,}  {row[0]}\n" for row in ROWS if row[0] in table)
    TABLE.write_text(text, encoding="utf-8")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true")
    arguments.add_argument("--only", action="append", default=[])
    arguments.add_argument("--versions", default="")
    arguments.add_argument("given", nargs="*")
    options = arguments.parse_args()
    given = dict(word.split("=", 1) for word in options.given)
    chosen = [row for row in ROWS if not options.only or any(name in row[0] for name in options.only)]
    if not chosen:
        return f"no row has {' or '.join(options.only)} in its text"
    table, found, worse, better = read_table(), {}, [], []
    print(f"{'instructions':>12}  {'table':>12}  ratio")
    for text, command, few, many in chosen:
        missing = {key for _, key, _, _ in string.Formatter().parse(command) if key} - {"n"} - set(given)
        if missing:
            print(f"left out: {text}: there is no {', '.join(sorted(missing))}")
            continue
        found[text] = each(command, few, many, given)
        before = table.get(text)
        for _ in range(2):
            if options.write or (before and found[text] > before * WORSE):
                found[text] = min(found[text], each(command, few, many, given))
        ratio = found[text] / before if before else None
        words = f"{before:>12,}  {ratio:5.2f}" if before else f"{'-':>12}      -"
        print(f"{found[text]:>12,}  {words}  {text}", flush=True)
        if ratio and ratio > WORSE:
            worse.append(f"{text}: {ratio:.2f} of the table's {before:,}")
        elif ratio and ratio < 2 - WORSE:
            better.append(f"{text}: {ratio:.2f} of the table's {before:,}")
    for title, rows in [("Better by more than 5 %", better), ("WORSE by more than 5 %", worse)]:
        print(f"{title}: {len(rows)}" + "".join(f"\n    {row}" for row in rows))
    if options.write:
        write_table({**table, **found}, options.versions)
        return 0
    if worse:
        return "a row is worse than instructions.txt has it: mend it, or say why in the commit that writes the table anew"
    return 0


if __name__ == "__main__":
    sys.exit(main())
