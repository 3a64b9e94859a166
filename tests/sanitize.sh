#!/bin/sh
# The programs in tests/c and tests/fuzz with the compiler's sanitizers, against the library as cargo builds it.
set -eu

cargo=${CARGO:-cargo}
# Valgrind and a sanitizer exclude each other.
HANGUP_SANITIZE=1 "$cargo" test --test c_abi -- --skip c_programs_are_clean_under_valgrind
HANGUP_SANITIZE=1 "$cargo" test --test fuzz -- random_calls
# taker.c needs more time with ThreadSanitizer than its servers live.
HANGUP_SANITIZE=thread "$cargo" test --test c_abi -- --skip c_programs_are_clean_under_valgrind --skip taker
HANGUP_SANITIZE=thread "$cargo" test --test fuzz -- random_calls
