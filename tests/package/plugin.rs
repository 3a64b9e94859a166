//! A Rust program that depends on the crate has none of the C ABI in it: a plugin that exported these functions, loaded
//! before libhangup, would take over the manager of everybody who uses that. And it may be built with panic=abort, which
//! the C library may not.

use crate::abi;

use std::fs;
use std::process::Command;

#[test]
fn a_plugin_exports_nothing_of_the_library_and_may_abort_on_panic() {
    abi::require("nm", "apt-get install binutils");
    let target = abi::target_dir().join("plugin");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .args(["build", "--quiet", "--package", "hangup-test-plugin", "--target-dir"])
        .arg(&target);
    build.current_dir(abi::root());
    build.env("CARGO_PROFILE_DEV_PANIC", "abort").env("CARGO_PROFILE_DEV_DEBUG", "0");
    abi::succeed(&mut build);

    let built = target.join("debug");
    let plugin = built.join("libhangup_test_plugin.so");
    let listing =
        abi::succeed(Command::new("nm").args(["-D", "--defined-only", "-P"]).arg(plugin)).stdout;
    let listing = String::from_utf8_lossy(&listing);
    let exported: Vec<&str> =
        listing.lines().filter_map(|line| line.split(['@', ' ']).next()).collect();
    assert_eq!(exported, ["plugin_get"]);

    // Nor are the C libraries built on the way.
    for library in ["libhangup.so", "libhangup.a"] {
        for place in [&built, &built.join("deps")] {
            assert!(!fs::exists(place.join(library)).unwrap(), "{library} in {}", place.display());
        }
    }
}
