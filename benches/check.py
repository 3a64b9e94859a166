"""Whether the lists of this folder are whole: each program that a row runs exists, and each program is run by a row; names are
there once; numbers that are compared are known to report.py; the table of instructions has the rows of instructions.py.

    check.py

Prints what is wrong and ends with 1, or prints nothing. tests/benches.rs runs it, and so does run.sh.
"""

import collections
import re
import sys
from pathlib import Path

import instructions
import report
import rows

HERE = Path(__file__).resolve().parent
SERVERS = {"chunk_server", "sink"}


def programs_of(command):
    """The files whose programs a command runs."""
    for name in re.findall(r"\{bin\}/(\w+)", command):
        yield HERE / f"{name}.c"
    for name in re.findall(r"\{go\}/(\w+)_go", command):
        yield HERE / "peers" / f"{name}.go"
    for name in re.findall(r"benches/(\w+\.(?:py|sh))", command):
        yield HERE / name


def main():
    wrong = []
    commands = [command for bench in rows.BENCHES for command in bench.turns.values()]
    run = {file for command in commands for file in programs_of(command)}
    wrong += [f"no such program: {file.name}" for file in sorted(run) if not file.exists()]
    for peer in "hyper", "ureq":
        bins = re.findall(r'^name = "(.*)"$', (HERE / "peers" / peer / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)
        asked = {name for command in commands for name in re.findall(rf"\{{{peer}\}}/([\w-]+)", command)}
        wrong += [f"peers/{peer} has no {name}" for name in sorted(asked - set(bins))]
    ours = {*HERE.glob("*.c"), *HERE.glob("python_*.py")} - {HERE / f"{name}.c" for name in SERVERS}
    wrong += [f"no row runs {file.name}" for file in sorted(ours - run)]

    for what, names in [
        ("benchmark", [bench.name for bench in rows.BENCHES]),
        ("row of instructions", [row[0] for row in instructions.ROWS]),
    ]:
        counts = collections.Counter(names)
        wrong += [f"the {what} {name} is there {count} times" for name, count in counts.items() if count > 1]
    for bench in rows.BENCHES:
        unknown = set(bench.value.split()) - set(report.VALUES)
        wrong += [f"{bench.name}: report.py does not know {name}" for name in sorted(unknown)]
        if bench.what and not bench.works and bench.ours not in bench.turns:
            wrong.append(f"{bench.name}: there is no mode {bench.ours}")

    table = instructions.read_table()
    texts = {row[0] for row in instructions.ROWS}
    wrong += [f"instructions.txt has no number for: {text}" for text in sorted(texts - set(table))]
    wrong += [f"instructions.py has no row: {text}" for text in sorted(set(table) - texts)]
    for row in instructions.ROWS:
        wrong += [f"no such program: {file.name}" for file in programs_of(row[1]) if not file.exists()]

    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
