//! A Rust program that depends on the crate exports no function of the C ABI. A plugin that exported them and were loaded
//! before libhangup would replace them for every user of libhangup in the process. Such a program may be built with
//! panic=abort, and the C library may not.

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

    // The C libraries are not built for it either.
    for library in ["libhangup.so", "libhangup.a"] {
        for place in [&built, &built.join("deps")] {
            assert!(!fs::exists(place.join(library)).unwrap(), "{library} in {}", place.display());
        }
    }
}
