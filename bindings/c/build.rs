//! The linker flags of `libhangup.so`. They stand here alone, so that every build of it has them: by cargo, by
//! `install.sh`, by cargo-c, for the Python package, for the tests and for the benchmarks.
//!
//! They can't leak: cargo gives `rustc-link-arg` to the targets of this package only.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let abi = env!("CARGO_PKG_VERSION_MAJOR");
    println!("cargo::rustc-link-arg=-Wl,-soname,libhangup.so.{abi}");
    // dlclose(3) must not unmap the library: its threads, its thread-locals and its fork handler stay.
    println!("cargo::rustc-link-arg=-Wl,-z,nodelete");
}
