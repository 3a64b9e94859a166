//! `docs/features.md` is true as far as hangup's own column goes: what it names exists, and every function of the C ABI has a row, so
//! that a new one is not forgotten; C++ and Python call it, or it is listed here with the reason why not. `docs/wire.md` has every
//! rule that is a reason for a known difference from another client.
//!
//! What the other columns say about other clients is from their documentation, and not looked at, except for its form.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const COLUMNS: [&str; 6] = ["feature", "hangup", "libcurl", "Go", "requests", "httpx"];

/// What the C++ header does not call, because C++ has it otherwise: an error has its status, and the macros of the header are the
/// number of the version.
const NOT_IN_CPP: [&str; 2] = ["hangup_error_status", "hangup_version"];

/// What the extension module of Python does not call, because Python has it otherwise.
const NOT_IN_PYTHON: [&str; 19] = [
    // Settings and requests are values of Python: keyword arguments, `TLS`, `RequestInfo`; clients are made and not changed.
    "hangup_client_clear_connect_to",
    "hangup_client_get",
    "hangup_client_manager",
    "hangup_client_set_proxy_from_env",
    "hangup_client_set_tls_certificate",
    "hangup_client_set_tls_dangerously_accept_any_certificate",
    "hangup_client_set_tls_roots",
    "hangup_client_set_tls_roots_file",
    "hangup_error_method",
    "hangup_error_status",
    "hangup_has_feature",
    "hangup_request_method",
    // The list as JSON has them.
    "hangup_connections_certificate_at",
    "hangup_connections_facts_at",
    // Forms and bodies are encoded, opened and iterated in Python.
    "hangup_form_add_text",
    "hangup_request_set_body_fd",
    "hangup_request_set_body_urlencoded",
    // All header fields are taken at once.
    "hangup_response_header",
    "hangup_response_header_value",
];

/// Functions that need no row: they end, share or copy a handle, name a value, or count what another function returns.
const WITHOUT_A_ROW: [&str; 5] = ["_free", "_ref", "_copy", "_text", "_count"];

#[test]
fn every_table_has_the_same_columns_and_no_empty_cell() {
    for (number, cells) in rows() {
        assert_eq!(cells.len(), COLUMNS.len(), "line {number}: {cells:?}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "line {number}: {cells:?}");
        for peer in &cells[2..] {
            let verdict = peer.split([':', ',', ';', ' ']).next();
            assert!(
                matches!(verdict, Some("yes" | "no" | "partly")),
                "line {number}: \"{peer}\" does not begin with yes, no or partly"
            );
        }
    }
}

#[test]
fn every_name_of_our_column_exists() {
    let functions = functions();
    let header = read("include/hangup.h");
    let rust = sources("src", "rs");
    let python = sources("bindings/python/python/hangup", "py");
    let mut wrong = Vec::new();
    for (number, cells) in rows() {
        let ours = &cells[1];
        let names: Vec<&str> = quoted(ours).collect();
        if names.is_empty() && ours != "no" && !ours.starts_with("no: ") {
            wrong.push(format!("line {number}: \"{ours}\" names nothing"));
        }
        for name in names {
            let exists = if name.starts_with("hangup_") {
                functions.contains(name)
            } else if name.starts_with("HANGUP_") {
                header.lines().any(|line| first_word(line) == name)
            } else if let Some(path) = name.strip_prefix("hangup::") {
                path.split("::").all(|part| is_public_in_rust(&rust, part))
            } else if let Some(path) = name.strip_prefix("hangup.") {
                path.split('.').all(|part| is_defined_in_python(&python, part))
            } else {
                root().join(name).is_file()
            };
            if !exists {
                wrong.push(format!("line {number}: {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "in docs/features.md, but not in hangup:\n{}", wrong.join("\n"));
}

#[test]
fn every_function_of_the_c_abi_has_a_row() {
    let rows = rows();
    let named: BTreeSet<&str> = rows.iter().flat_map(|(_, cells)| quoted(&cells[1])).collect();
    let functions = functions();
    let missing: Vec<&String> = functions
        .iter()
        .filter(|name| !WITHOUT_A_ROW.iter().any(|end| name.ends_with(end)))
        .filter(|name| !named.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "add to a row of docs/features.md: {missing:#?}");
}

#[test]
fn cpp_and_python_have_what_c_has() {
    let cpp = words(&sources("bindings/cpp", "hpp"));
    let python = sources("bindings/python/src", "rs");
    // `sys.rs` declares every function.
    let declarations = read("bindings/python/src/sys.rs");
    let python = words(&python.replace(&declarations, ""));
    for (language, called, not_called) in
        [("C++", cpp, &NOT_IN_CPP[..]), ("Python", python, &NOT_IN_PYTHON[..])]
    {
        let without = |name: &String| {
            ["_text", "_ref", "_copy"].iter().any(|end| name.ends_with(end))
                || not_called.contains(&name.as_str())
        };
        let functions = functions();
        let missing: Vec<_> =
            functions.iter().filter(|name| !called.contains(*name) && !without(name)).collect();
        assert!(missing.is_empty(), "{language} lacks {missing:#?}");
        let listed: Vec<_> = not_called.iter().filter(|name| called.contains(**name)).collect();
        assert!(listed.is_empty(), "{language} has these by now: {listed:#?}");
    }
}

/// The identifiers of a text.
fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').map(str::to_owned).collect()
}

#[test]
fn every_reason_for_a_known_difference_is_in_the_document_about_the_wire() {
    let document = rules(&read("docs/wire.md"));
    let differences = read("tests/fuzz/differences.json");
    let missing: Vec<String> =
        rules(&differences).into_iter().filter(|rule| !document.contains(rule)).collect();
    assert!(
        missing.is_empty(),
        "differences.json has these reasons, docs/wire.md not: {missing:?}"
    );
}

/// What a text names as "9112 section 7.1", or "RFC 9112 section 7.1", without what follows.
fn rules(text: &str) -> BTreeSet<String> {
    let mut rules = BTreeSet::new();
    for (at, _) in text.match_indices(" section ") {
        let rfc: String = text[..at].chars().rev().take(4).collect();
        let section = text[at + " section ".len()..]
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .next()
            .unwrap_or("")
            .trim_end_matches('.');
        if rfc.len() == 4 && rfc.chars().all(|c| c.is_ascii_digit()) {
            let rfc: String = rfc.chars().rev().collect();
            rules.insert(format!("{rfc} section {section}"));
        }
    }
    assert!(!rules.is_empty(), "a text without rules");
    rules
}

/// The rows of all tables below their heads, with the number of the line.
fn rows() -> Vec<(usize, Vec<String>)> {
    let text = read("docs/features.md");
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some(line) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else {
            continue;
        };
        let cells: Vec<String> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
        let is_head = cells == COLUMNS || cells.iter().all(|cell| cell == "---");
        if !is_head {
            rows.push((index + 1, cells));
        }
    }
    assert!(rows.len() > 100, "docs/features.md has {} rows", rows.len());
    rows
}

/// The functions of the C ABI.
fn functions() -> BTreeSet<String> {
    read("tests/abi/symbols.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// Whether a module, a type or a function of this name is public somewhere in the sources.
fn is_public_in_rust(sources: &str, name: &str) -> bool {
    let kinds = ["pub mod", "pub struct", "pub enum", "pub fn", "pub trait", "pub type"];
    sources.lines().any(|line| {
        kinds.iter().any(|kind| {
            line.trim_start()
                .strip_prefix(kind)
                .is_some_and(|rest| rest.starts_with(' ') && first_word(rest) == name)
        })
    })
}

/// Whether a class, a function or a field of this name is defined somewhere in the package.
fn is_defined_in_python(sources: &str, name: &str) -> bool {
    sources.lines().any(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("async ").unwrap_or(line);
        match line.strip_prefix("def ").or_else(|| line.strip_prefix("class ")) {
            Some(rest) => first_word(rest) == name,
            None => line.strip_prefix(name).is_some_and(|rest| rest.starts_with(": ")),
        }
    })
}

/// What stands between backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// All files below a folder that end so, one after the other.
fn sources(folder: &str, end: &str) -> String {
    let mut text = String::new();
    let mut folders: Vec<PathBuf> = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the package").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == end) {
                text.push_str(&fs::read_to_string(&path).expect("a source file"));
            }
        }
    }
    text
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).expect("a file of the package")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
