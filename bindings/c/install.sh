#!/bin/sh
# Builds libhangup and installs it for C and C++:
#
#     bindings/c/install.sh [PREFIX] [DESTDIR]
#
# PREFIX (default /usr/local) is the directory where programs will find it; it is written into hangup.pc. DESTDIR
# (default empty) is put before PREFIX when files are copied, for packages. Needs cargo and a linker, and writes only to
# the target directory and to DESTDIR/PREFIX. Those who have cargo-c can run `cargo cinstall -p hangup-c` instead.
set -eu

prefix=${1:-/usr/local}
destdir=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
cargo=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-$PWD/target}

package=$("$cargo" pkgid -p hangup-c) # path+file:///...#hangup-c@VERSION
version=${package##*[@#]}
abi=${version%%.*}

# Both libraries by one build. rustc prints a note with the libraries that a program needs besides libhangup.a.
if ! output=$("$cargo" rustc --release --lib -p hangup-c --crate-type cdylib,staticlib --target-dir "$target" \
    -- --print native-static-libs 2>&1); then
    printf '%s\n' "$output" >&2
    exit 1
fi
private=$(printf '%s\n' "$output" | sed -n 's/.*native-static-libs: *//p' | tail -n 1)
private=${private:--lgcc_s -lutil -lrt -lpthread -lm -ldl -lc}

lib=$destdir$prefix/lib
include=$destdir$prefix/include
expand() { # TEMPLATE PRIVATE_LIBS: prints a template with its variables replaced
    sed -e "s|@PREFIX@|$prefix|g" -e "s|@VERSION@|$version|g" -e "s|@ABI@|$abi|g" \
        -e "s|@PRIVATE_LIBS@|$2|g" "$here/$1"
}
mkdir -p "$lib/pkgconfig" "$lib/cmake/hangup" "$include"
# Removed first: a running program may have the old library mapped.
rm -f "$lib/libhangup.so.$version"
cp "$target/release/libhangup.so" "$lib/libhangup.so.$version"
chmod 755 "$lib/libhangup.so.$version"
ln -sf "libhangup.so.$version" "$lib/libhangup.so.$abi"
ln -sf "libhangup.so.$abi" "$lib/libhangup.so"
cp "$target/release/libhangup.a" "$lib/libhangup.a"
chmod 644 "$lib/libhangup.a"
cp include/hangup.h bindings/cpp/hangup.hpp bindings/cpp/hangup_async.hpp "$include/"
expand hangup.pc.in "$private" > "$lib/pkgconfig/hangup.pc"
expand hangupConfig.cmake.in "$(printf '%s' "$private" | tr -s ' ' ';')" > "$lib/cmake/hangup/hangupConfig.cmake"
expand hangupConfigVersion.cmake.in "" > "$lib/cmake/hangup/hangupConfigVersion.cmake"
echo "hangup $version is installed in $destdir$prefix"
