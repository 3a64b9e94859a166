//! Links the extension to `libhangup.so.0`, by that name, with a run path of its own directory.
//!
//! `HANGUP_LIB_DIR` is the directory of the library while linking; `build_backend.py` sets it. `cargo check` needs no
//! library.

fn main() {
    println!("cargo::rerun-if-env-changed=HANGUP_LIB_DIR");
    if let Ok(dir) = std::env::var("HANGUP_LIB_DIR") {
        println!("cargo::rerun-if-changed={dir}/libhangup.so.0");
        println!("cargo::rustc-link-arg=-L{dir}");
    }
    println!("cargo::rustc-link-arg=-l:libhangup.so.0");
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN");
}
