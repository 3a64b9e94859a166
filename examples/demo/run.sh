#!/bin/sh
# Builds the demo's server and its C half, and runs it. `make demo` calls this, after tests/venv.sh has made the Python
# environment.
set -eu

cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-$PWD/target}
python=${HANGUP_PYTHON:-$target/venv/bin/python}
built=$target/demo
mkdir -p "$built"

echo "building the server"
"${CARGO:-cargo}" build --quiet -p testserver

# The C half is linked with the very library that the Python package brings: by its name, libhangup.so.0, which the
# process has loaded before. Two copies of it would be two managers.
include=$("$python" -c "import hangup; print(hangup.get_include())")
library=$("$python" -c "import hangup; print(hangup.get_library())")
echo "compiling examples/demo/demo.c"
"${CC:-cc}" -O2 -Wall -Wextra -shared -fPIC -I "$include" examples/demo/demo.c -o "$built/libdemo.so" \
    -L "$(dirname "$library")" -l:libhangup.so.0

echo
exec "$python" -B examples/demo/demo.py --library "$built/libdemo.so" --server "$target/debug/hangup-testserver"
