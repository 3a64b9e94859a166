#!/bin/sh
# System calls a request, by strace -c, of small_get's modes:
#
#     benches/syscalls.sh SMALL_GET URL [MODE...]
#
# Counts a run of 11,000 requests and one of 1,000, and divides the difference by 10,000: what a program does once, at
# its beginning and its end, is not in it. One line a mode and call: `MODE CALL calls=N failed=N` (EAGAIN, mostly).
set -eu

program=$1
url=$2
shift 2
[ $# -gt 0 ] || set -- hangup curl socket
counts=$(mktemp)
trap 'rm -f "$counts"' EXIT

count() { # count MODE REQUESTS: lines "call calls failed"
    strace -f -c -o "$counts" "$program" "$1" "$url" "$2" 0 > /dev/null
    # "% time, seconds, usecs/call, calls, [errors,] syscall"; a line of dashes before and after the rows.
    awk '/^-/ { table = !table; next } table { print $NF, $4, (NF == 6 ? $5 : 0) }' "$counts"
}

for mode in "$@"; do
    {
        count "$mode" 11000 | sed 's/^/many /'
        count "$mode" 1000 | sed 's/^/few /'
    } | awk -v mode="$mode" '
        $1 == "many" { calls[$2] += $3; failed[$2] += $4 }
        $1 == "few" { calls[$2] -= $3; failed[$2] -= $4 }
        END {
            for (name in calls) if (calls[name] >= 100) {
                printf "%s %s calls=%.2f failed=%.2f\n", mode, name, calls[name] / 10000, failed[name] / 10000
            }
        }' | sort
done
