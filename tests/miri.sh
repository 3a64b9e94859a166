#!/bin/sh
# The unit tests of runtime, manager and cancel under Miri, which looks for undefined behaviour and data races, as far as it
# can run them: it knows no poll(2) (runtime::thread, and most of manager::pool), no ioctl(2) on a pair of sockets, no memory
# without access (the stacks of runtime::engine), and the longer tests of manager::pool take hours. Those have the model
# checker (tests/loom) and the sanitizers. It needs a nightly toolchain, which nothing else here does.
set -eu

cargo=${CARGO:-cargo}
if ! "$cargo" +nightly miri --version >/dev/null 2>&1; then
    echo "Miri is missing; this is how it is installed:" >&2
    echo "    rustup toolchain install nightly --component miri,rust-src" >&2
    exit 1
fi
# The clock is the real one.
MIRIFLAGS="-Zmiri-disable-isolation ${MIRIFLAGS:-}" "$cargo" +nightly miri test --lib \
    --target-dir "${CARGO_TARGET_DIR:-target}/miri" -- \
    cancel:: runtime::handoff runtime::timers runtime::worker_pool manager::key manager::limits
