//! Links the extension to `libhangup.so.0`, by that name, and has it looked for beside the extension.
//!
//! `HANGUP_LIB_DIR` says where the library is while linking; `build_backend.py` sets it. Checking needs no
//! library. The flags stand here because this is a leaf: in a crate that others depend on they would leak.

fn main() {
    println!("cargo::rerun-if-env-changed=HANGUP_LIB_DIR");
    if let Ok(dir) = std::env::var("HANGUP_LIB_DIR") {
        println!("cargo::rerun-if-changed={dir}/libhangup.so.0");
        println!("cargo::rustc-link-arg=-L{dir}");
    }
    println!("cargo::rustc-link-arg=-l:libhangup.so.0");
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN");
}
