#!/bin/sh
# Builds libhangup and installs it for C and C++:
#
#     bindings/c/install.sh [PREFIX] [DESTDIR]
#
# PREFIX (/usr/local) is where programs will find it and is written into hangup.pc; DESTDIR (empty) is put before it
# when files are copied, for packages. Needs cargo and a linker; nothing is written outside of the target directory and
# DESTDIR/PREFIX.
set -eu

prefix=${1:-/usr/local}
destdir=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cd "$root"

metadata=$(cargo metadata --format-version 1 --no-deps)
field() { # the first "name":"value" in the metadata: of the package hangup
    printf '%s' "$metadata" | tr '{' '\n' | grep "\"name\":\"hangup\"" | sed -n "s/.*\"$1\":\"\\([^\"]*\\)\".*/\\1/p" | head -n 1
}
version=$(field version)
abi=${version%%.*}
target=$(printf '%s' "$metadata" | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
if [ -z "$version" ] || [ -z "$target" ]; then
    echo "install.sh: cargo metadata does not tell version and target directory" >&2
    exit 1
fi
out=$target/release
soname=libhangup.so.$abi

has_soname() {
    readelf -d "$out/libhangup.so" 2>/dev/null | grep -q "SONAME.*\\[$soname\\]"
}
build_shared() {
    # The SONAME belongs to the library alone. Set in a build script it would leak into the libraries that depend on the
    # crate. nodelete: the library has threads and a fork handler, and must not vanish under them in dlclose.
    cargo rustc --quiet --release --lib --crate-type cdylib -p hangup-c -- \
        -C "link-arg=-Wl,-soname,$soname" -C link-arg=-Wl,-z,nodelete
}
build_shared
if ! has_soname; then
    # A plain `cargo build --release` has put its own library there, and cargo takes that for this one.
    rm -f "$out/libhangup.so" "$out/deps/libhangup.so"
    build_shared
fi
if ! has_soname; then
    echo "install.sh: $out/libhangup.so has not the SONAME $soname" >&2
    exit 1
fi
shared=$(mktemp)
trap 'rm -f "$shared"' EXIT
cp "$out/libhangup.so" "$shared"

# What a program that links libhangup.a has to link besides; rustc says it in a note.
if ! notes=$(cargo rustc --release --lib --crate-type staticlib -p hangup-c -- --print native-static-libs 2>&1); then
    printf '%s\n' "$notes" >&2
    exit 1
fi
private=$(printf '%s\n' "$notes" | sed -n 's/.*native-static-libs: *//p' | tail -n 1)
private=${private:--lgcc_s -lutil -lrt -lpthread -lm -ldl -lc}

lib=$destdir$prefix/lib
include=$destdir$prefix/include
fill() { # a template, with its names filled in
    sed -e "s|@PREFIX@|$prefix|g" -e "s|@VERSION@|$version|g" -e "s|@ABI@|$abi|g" \
        -e "s|@PRIVATE_LIBS@|$2|g" "$here/$1"
}
mkdir -p "$lib/pkgconfig" "$lib/cmake/hangup" "$include"
# A library in use is replaced and not written into.
rm -f "$lib/libhangup.so.$version"
cp "$shared" "$lib/libhangup.so.$version"
chmod 755 "$lib/libhangup.so.$version"
ln -sf "libhangup.so.$version" "$lib/$soname"
ln -sf "$soname" "$lib/libhangup.so"
cp "$out/libhangup.a" "$lib/libhangup.a"
chmod 644 "$lib/libhangup.a"
cp include/hangup.h bindings/cpp/hangup.hpp bindings/cpp/hangup_async.hpp "$include/"
fill hangup.pc.in "$private" > "$lib/pkgconfig/hangup.pc"
fill hangupConfig.cmake.in "$(printf '%s' "$private" | tr -s ' ' ';')" > "$lib/cmake/hangup/hangupConfig.cmake"
fill hangupConfigVersion.cmake.in "" > "$lib/cmake/hangup/hangupConfigVersion.cmake"
echo "hangup $version is installed in $destdir$prefix"
