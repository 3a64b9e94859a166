#!/bin/sh
# Installs with apt-get what is missing for a task, and says what and why:
#
#     tests/deps.sh demo|test|bench...
#
# Asks the system only when something is missing. Needs root or sudo then. Rust is not installed here: rustup.rs has it.
set -eu

missing=
want() { # want PACKAGE WHY CHECK...: the package is missing if the check fails
    package=$1
    why=$2
    shift 2
    if ! "$@" >/dev/null 2>&1; then
        echo "missing: $package ($why)"
        missing="$missing $package"
    fi
}
have() {
    # nginx lives in sbin, which is not on everybody's path.
    PATH=$PATH:/usr/sbin:/sbin command -v "$1"
}
python=${PYTHON:-python3}
c_header() {
    printf '#include <%s>\n' "$1" | ${CC:-cc} -E -x c -
}

if ! have "${CARGO:-cargo}" >/dev/null; then
    echo "cargo is missing: https://rustup.rs" >&2
    exit 1
fi
for task in "$@"; do
    case $task in
    demo)
        want gcc "compiles the C half of the demo, and links Rust" have "${CC:-cc}"
        want libc6-dev "the C headers" c_header stdio.h
        want python3 "the Python half of the demo" have "$python"
        want python3-venv "a place for the Python package" "$python" -c "import ensurepip, venv"
        ;;
    test)
        want g++ "compiles the C++ tests" have "${CXX:-c++}"
        want binutils "nm and readelf, which look at the library" have readelf
        want clang "compiles the header, as another compiler" have clang
        want doxygen "reads the header's comments" have doxygen
        want valgrind "runs C programs and finds leaks" have valgrind
        want pkg-config "the installed library is found by it" have pkg-config
        want libuv1-dev "an event loop that others wrote" c_header uv.h
        want cmake "the installed library is found by it" have cmake
        want nginx-light "a server that others wrote" have nginx
        want curl "a client that others wrote" have curl
        want openssl "makes keys and certificates in other formats" have openssl
        want python3-dev "a C extension is built" "$python" -c \
            "import os, sysconfig; os.stat(os.path.join(sysconfig.get_path('include'), 'Python.h'))"
        ;;
    bench)
        want nginx-light "the server that is measured against" have nginx
        want libcurl4-openssl-dev "the client that is measured against" c_header curl/curl.h
        want libssl-dev "a server that stops in the middle of a handshake" c_header openssl/ssl.h
        want openssl "makes the servers' certificates" have openssl
        want valgrind "counts instructions" have valgrind
        want strace "counts system calls" have strace
        want brotli "packs a body in br" have brotli
        want zstd "packs a body in zstd" have zstd
        ;;
    *)
        echo "deps.sh: no task $task" >&2
        exit 2
        ;;
    esac
done

if [ -z "$missing" ]; then
    exit 0
fi
if ! have apt-get >/dev/null; then
    echo "This is not a Debian system: please install what these packages hold:$missing" >&2
    exit 1
fi
root=
if [ "$(id -u)" -ne 0 ]; then
    if ! have sudo >/dev/null; then
        echo "Please run this as root: apt-get install$missing" >&2
        exit 1
    fi
    root=sudo
fi
echo "installing:$missing"
$root apt-get update -qq
# shellcheck disable=SC2086 # the names are words
DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq --no-install-recommends $missing
