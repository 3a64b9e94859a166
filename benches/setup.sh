# The library as it is installed, the programs in C, and the servers: what run.sh and instructions.sh share. To be sourced in
# the package's own directory; sets `target`, `built`, `python` and, by serve, `work` and `servers`, which has words KEY=VALUE.
#
# shellcheck shell=sh

target=${CARGO_TARGET_DIR:-$PWD/target}
built=$target/bench
python=${PYTHON:-python3}
PATH=$PATH:/usr/sbin:/sbin
export CARGO_TARGET_DIR="$target" LC_ALL=C
work=
started=

have() { command -v "$1" > /dev/null 2>&1; }
say() { printf '%s\n' "$*" >&2; }

# Compiles the library, with its SONAME, and all programs of this folder. HANGUP_BENCH_LIBRARY names a library that is
# measured in place of the one that would be built.
build() {
    mkdir -p "$built"
    library=${HANGUP_BENCH_LIBRARY:-$target/release/libhangup.so}
    if [ -z "${HANGUP_BENCH_LIBRARY:-}" ]; then
        say "building the library"
        "${CARGO:-cargo}" build --quiet --release -p hangup-c
    fi
    rm -f "$built/libhangup.so.0"
    cp "$library" "$built/libhangup.so.0"
    for source in benches/*.c; do
        program=$(basename "$source" .c)
        "${CC:-cc}" -std=gnu11 -O2 -g -Wall -Wextra -I include "$source" -o "$built/$program" \
            "$built/libhangup.so.0" -Wl,-rpath,"$built" -lcurl -lssl -lcrypto -lpthread
    done
}

clean_up() {
    for process in $started; do
        kill "$process" 2> /dev/null || true
        wait "$process" 2> /dev/null || true
    done
    rm -rf "$work"
}

# Starts the servers on free ports of 127.0.0.1, with all files in the directory `work`, which is removed at the end together
# with them. $1: words; the file that is sent packed is only made if "packed", "br" or "zstd"
# is one of them.
#
# $together: a command before nginx, which keeps it on one processor.
serve() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/hangup-bench.XXXXXX")
    trap clean_up EXIT
    trap 'exit 1' INT TERM HUP
    chmod 755 "$work" # nginx's workers may be another user's
    mkdir "$work/files" "$work/state"
    printf 'ok.' > "$work/files/small"
    head -c 10240 /dev/zero > "$work/files/10k"
    head -c 1048576 /dev/zero > "$work/files/1m"
    head -c 100000000 /dev/zero > "$work/files/large"
    cp "$work/files/large" "$work/files/chunked"
    codings=
    case " $1 " in *" packed "* | *" br "* | *" zstd "*) make_packed ;; esac
    sh benches/certificates.sh "$work"
    # shellcheck disable=SC2046 # words
    set -- $("$python" -c '
import socket
ends = [socket.create_server(("127.0.0.1", 0)) for _ in range(6)]
print(*[end.getsockname()[1] for end in ends])')
    # A thousand origins and one more: addresses of this machine, all with the same port. The client and nginx's worker have
    # a descriptor for each connection.
    origins=1000
    files=$(ulimit -Hn)
    case $files in
    *[!0-9]*) files=1000000 ;;
    esac
    each=$(((files - 2500) / origins))
    [ $each -lt 10 ] || each=10
    [ $each -ge 1 ] || each=1
    write_nginx_conf "$@"
    mkfifo "$work/state/alive"
    exec 9<> "$work/state/alive"
    # shellcheck disable=SC2086 # words
    ${together:-} nginx -e stderr -p "$work" -c nginx.conf 9>&- &
    started=$!
    tries=0
    until "$built/small_get" socket "http://127.0.0.1:$1/small" 1 0 > /dev/null 2>&1; do
        tries=$((tries + 1))
        if [ $tries -gt 50 ]; then
            say "nginx does not come up"
            exit 1
        fi
        sleep 0.1
    done
    # It ends by itself after an hour, and with this shell.
    "$built/chunk_server" 3600 > "$work/state/chunks" 9>&- &
    started="$started $!"
    # These end with their standard input, that is with this shell, too.
    "$built/sink" < "$work/state/alive" > "$work/state/sink" 9>&- &
    started="$started $!"
    "$built/sink" "$work/cert.pem" "$work/key.pem" < "$work/state/alive" > "$work/state/sink_tls" 9>&- &
    started="$started $!"
    # shellcheck disable=SC2086 # words
    ${together:-} "$built/sink" < "$work/state/alive" > "$work/state/sink_near" 9>&- &
    started="$started $!"
    for server in chunks sink sink_tls sink_near; do
        until [ -s "$work/state/$server" ]; do
            sleep 0.1
        done
    done
    servers="work=$work roots=$work/root.pem http=http://127.0.0.1:$1 https=https://127.0.0.1:$2
        full_tls=https://127.0.0.1:$3 short=http://127.0.0.1:$4 short_tls=https://127.0.0.1:$5 many=$6 each=$each
        origins=http://127.0.0.1:$6 streams=$((each * origins)) chunks=http://127.0.0.1:$(cat "$work/state/chunks")
        sink=http://127.0.0.1:$(cat "$work/state/sink") sink_near=http://127.0.0.1:$(cat "$work/state/sink_near")
        sink_tls=https://127.0.0.1:$(cat "$work/state/sink_tls")"
    for coding in $codings; do
        servers="$servers $coding=http://127.0.0.1:$1"
    done
}

# Text of small numbers, which packs about as well as pages do; nginx sends the packed file that is beside it.
make_packed() {
    "$python" -c '
import random, sys
chance = random.Random(1)
line = [b"%x " % chance.randrange(1 << chance.choice((8, 16, 24))) for _ in range(20000)]
text = b"".join(chance.choice(line) for _ in range(2000000))
sys.stdout.buffer.write((text * 20)[:int(sys.argv[1])])' "${packed_bytes:-100000000}" > "$work/files/packed"
    gzip -6 -k "$work/files/packed"
    codings=packed
    mkdir "$work/files/br" "$work/files/zstd"
    if have brotli && brotli -q 5 -c "$work/files/packed" > "$work/files/br/packed"; then
        codings="$codings br"
    else
        say "no brotli: there is no body in br"
    fi
    if have zstd && zstd -q -3 -c "$work/files/packed" > "$work/files/zstd/packed"; then
        codings="$codings zstd"
    else
        say "no zstd: there is no body in zstd"
    fi
}

write_nginx_conf() { # ports: http, https, full handshakes, short, short with TLS, many origins
    everywhere=$("$python" -c "
for i in range(1, $origins + 2):
    print(f'listen 127.0.{i // 256}.{i % 256}:$6;')")
    headers=$("$python" -c '
for i in range(22):
    print(f"add_header X-Header-{i} \"the value of header number {i}\";")')
    # Twice the 9,000 in flight as well: those of the last client may not be closed yet when the next one begins.
    slots=$((each * origins + 12200))
    most=$((slots + 100))
    [ $most -le "$files" ] || most=$files
    cat > "$work/nginx.conf" << END
daemon off;
worker_processes 1;
worker_rlimit_nofile $most;
pid state/pid;
error_log stderr error;
events { worker_connections $slots; }
http {
    access_log off;
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=32;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_body_temp_path state/a;
    proxy_temp_path state/b;
    fastcgi_temp_path state/c;
    uwsgi_temp_path state/d;
    scgi_temp_path state/e;
    root files;
    ssl_certificate cert.pem;
    ssl_certificate_key key.pem;
    server {
        listen 127.0.0.1:$1 backlog=4096;
        listen 127.0.0.1:$2 ssl backlog=4096;
        location /chunked { ssi on; ssi_types *; }
        location /packed { gzip_static on; }
        location /br/ { add_header Content-Encoding br; }
        location /zstd/ { add_header Content-Encoding zstd; }
        location = /headers { $headers try_files /small =404; }
        location = /to { return 302 /small; }
        $everywhere
    }
    # Each connection has one request; TLS sessions are resumed, as everywhere but in the next one.
    server {
        listen 127.0.0.1:$4 backlog=4096;
        listen 127.0.0.1:$5 ssl backlog=4096;
        keepalive_timeout 0;
    }
    server {
        listen 127.0.0.1:$3 ssl backlog=4096;
        keepalive_timeout 0;
        ssl_session_tickets off;
        ssl_session_cache off;
    }
}
END
}
