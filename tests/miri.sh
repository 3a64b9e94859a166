#!/bin/sh
# The unit tests of wait, manager and cancel under Miri, which looks for undefined behaviour and data races. It needs a
# nightly toolchain, which nothing else here does.
set -eu

cargo=${CARGO:-cargo}
if ! "$cargo" +nightly miri --version >/dev/null 2>&1; then
    echo "Miri is missing; this is how it is installed:" >&2
    echo "    rustup toolchain install nightly --component miri,rust-src" >&2
    exit 1
fi
# The clock and the names of the machine are the real ones.
MIRIFLAGS="-Zmiri-disable-isolation ${MIRIFLAGS:-}" \
    "$cargo" +nightly miri test --lib --target-dir "${CARGO_TARGET_DIR:-target}/miri" -- wait:: manager:: cancel::
