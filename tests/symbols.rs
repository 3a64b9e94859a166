//! What the library exports is what the header declares is what `tests/abi/symbols.txt` promises, each symbol
//! with the version that it appeared in. A symbol is never removed or renamed within a SONAME.
//!
//! The SONAME itself is looked at where a library is installed: `tests/package/install.rs`.

#[path = "c/abi.rs"]
mod abi;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

#[test]
fn the_library_exports_what_the_header_declares() {
    abi::require("nm", "apt-get install binutils");
    let library = abi::library_dir().join("libhangup.so");
    let listing =
        abi::succeed(Command::new("nm").args(["-D", "--defined-only", "-P"]).arg(library)).stdout;
    let exported: BTreeSet<String> = String::from_utf8_lossy(&listing)
        .lines()
        .filter_map(|line| line.split(['@', ' ']).next())
        .map(str::to_owned)
        .collect();
    assert_eq!(exported, abi::header_functions(), "left: exported, right: in the header");
}

#[test]
fn the_ledger_lists_what_the_header_declares() {
    let path = abi::root().join("tests/abi/symbols.txt");
    let text = fs::read_to_string(&path).expect("tests/abi/symbols.txt");
    let mut names = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, version) =
            line.split_once(' ').unwrap_or_else(|| panic!("{line}: name, space, version"));
        let parts: Vec<u32> =
            version.trim().split('.').map_while(|part| part.parse().ok()).collect();
        assert_eq!(parts.len(), 3, "{line}: the version that it appeared in, as 0.1.0");
        assert!(parts <= version_of_the_crate(), "{line}: a version that is yet to come");
        names.push(name.to_owned());
    }
    let sorted: BTreeSet<String> = names.iter().cloned().collect();
    let in_order: Vec<String> = sorted.iter().cloned().collect();
    assert_eq!(names, in_order, "tests/abi/symbols.txt is sorted, each name once");
    let header = abi::header_functions();
    let missing: Vec<_> = header.difference(&sorted).collect();
    let gone: Vec<_> = sorted.difference(&header).collect();
    assert!(
        missing.is_empty(),
        "new: add to tests/abi/symbols.txt with this version: {missing:#?}"
    );
    assert!(
        gone.is_empty(),
        "gone from the header, which breaks every program that uses them: {gone:#?}"
    );
}

/// The header's version macros say the crate's version, and so does the number that C computes with.
#[test]
fn the_header_says_the_version_of_the_crate() {
    let header = fs::read_to_string(abi::root().join("include/hangup.h")).expect("the header");
    let parts = version_of_the_crate();
    let number = parts[0] * 1_000_000 + parts[1] * 1000 + parts[2];
    assert!(
        header.contains(&format!("#define HANGUP_VERSION {number}\n")),
        "HANGUP_VERSION is not {number}"
    );
    let text = format!("#define HANGUP_VERSION_TEXT \"{}\"\n", env!("CARGO_PKG_VERSION"));
    assert!(header.contains(&text), "HANGUP_VERSION_TEXT is not {}", env!("CARGO_PKG_VERSION"));
}

fn version_of_the_crate() -> Vec<u32> {
    env!("CARGO_PKG_VERSION").split('.').map_while(|part| part.parse().ok()).collect()
}
