#!/bin/sh
# Instructions of each kind of work by callgrind, compared with the committed table:
#
#     benches/instructions.sh [--write] [NAME...]
#
# Ends with an error if a row is worse than benches/instructions.txt has it by more than 5 %. A NAME chooses the rows that
# have it in their text, as "TLS". --write writes the table. Takes about four minutes besides building; needs valgrind.
# `make bench-instructions` calls this, and so does `make bench` at its end.
set -eu
umask 022

cd "$(dirname "$0")/.."
. benches/setup.sh
arguments=
[ "${1:-}" != --write ] || {
    arguments=--write
    shift
}
if ! have valgrind; then
    say "valgrind is missing: instructions can't be counted"
    exit 1
fi
build
packed_bytes=4000000
# memcpy is counted by its own instructions everywhere: callgrind counts each byte of `rep movsb`, which not every processor has.
export GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=1073741824
# On one processor with the server: how many responses come at once depends less on the machine's mood.
together=
if have taskset && taskset -c 0 true 2> /dev/null; then
    together="taskset -c 0"
fi
serve packed
versions="$("${RUSTC:-rustc}" --version | cut -d ' ' -f 1-2), $(valgrind --version)"
for name in "$@"; do
    set -- "$@" --only="$name"
    shift
done
# shellcheck disable=SC2086 # words
$together "$python" -B benches/instructions.py $arguments "$@" --versions "$versions" bin="$built" $servers
