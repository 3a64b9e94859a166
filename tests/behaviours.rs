//! `tests/BEHAVIOURS.md` is complete: every test that it lists exists, every test whose name begins with a code is listed
//! under that code, and so is every case of the corpus. Reads sources only; knows nothing of the library.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The groups of codes, in the document's order: R1, R2, ... S12.
const GROUPS: &str = "RLCTXYWQPUS";

/// The codes of the document, and the tests listed under each.
type Document = BTreeMap<String, BTreeSet<String>>;

#[test]
fn every_listed_test_exists() {
    for (code, tests) in document() {
        assert!(!tests.is_empty(), "{code} has no test");
        for test in tests {
            let (file, name) = test.split_once("::").unwrap_or((&test, ""));
            let source = fs::read_to_string(root().join(file));
            let source = source.unwrap_or_else(|error| panic!("{code}: {file}: {error}"));
            let there = match Path::new(file).extension().and_then(|extension| extension.to_str()) {
                Some("rs") => source.contains(&format!("fn {name}(")),
                Some("py") => source.contains(&format!("def {name}(")),
                Some("json") => {
                    source.contains(&format!("\"name\": \"{}", name.trim_end_matches('*')))
                }
                Some("c" | "cpp") => name.is_empty() && source.contains("main("),
                _ => panic!("{code}: {file} is no test"),
            };
            assert!(there, "{code}: there is no {test}");
        }
    }
}

#[test]
fn every_test_with_a_code_is_listed() {
    let document = document();
    let mut missing = Vec::new();
    for (code, test) in coded_tests() {
        if !document.get(&code).is_some_and(|tests| tests.contains(&test)) {
            missing.push(format!("{code}: `{test}`"));
        }
    }
    assert!(missing.is_empty(), "tests/BEHAVIOURS.md lacks:\n{}", missing.join("\n"));
}

#[test]
fn codes_are_numbered_without_gaps_in_the_order_of_their_groups() {
    let text = text();
    let codes: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let mut expected = Vec::new();
    for group in GROUPS.chars() {
        let count = codes.iter().filter(|code| code.starts_with(group)).count();
        assert!(count > 0, "the group {group} is empty");
        expected.extend((1..=count).map(|number| format!("{group}{number}")));
    }
    assert_eq!(codes, expected);
}

#[test]
fn what_is_not_covered_names_a_code_of_the_document() {
    let (document, text) = (document(), text());
    let (_, open) = text.split_once("## Not covered yet").expect("the last section");
    for line in open.lines().filter_map(|line| line.strip_prefix("- ")) {
        let (code, reason) = line.split_once(": ").expect("a code and a reason");
        assert!(document.contains_key(code) && !reason.is_empty(), "{line}");
    }
}

fn document() -> Document {
    let mut document = Document::new();
    let mut code = None;
    for line in text().lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            code = Some(heading.to_owned());
            document.entry(heading.to_owned()).or_default();
        } else if line.starts_with("## ") {
            code = None;
        } else if let (Some(code), Some(item)) = (&code, line.strip_prefix("- `")) {
            let test = item.strip_suffix('`').expect("one test in each line").to_owned();
            assert!(document.get_mut(code).unwrap().insert(test), "{code} lists {item} twice");
        }
    }
    document
}

/// Every Rust test function whose name begins with a code, and every prefix of a case in the corpus.
fn coded_tests() -> BTreeSet<(String, String)> {
    let mut tests = BTreeSet::new();
    for file in files(&root().join("tests")) {
        let path = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let source = fs::read_to_string(&file).unwrap();
        if path.ends_with(".rs") {
            let names = source.lines().filter_map(|line| line.strip_prefix("fn ")?.split_once('('));
            tests.extend(
                names.filter_map(|(name, _)| Some((code(name)?, format!("{path}::{name}")))),
            );
        } else {
            let names =
                source.split("\"name\": \"").skip(1).filter_map(|rest| rest.split_once('"'));
            tests.extend(names.filter_map(|(name, _)| {
                let code = code(name)?;
                Some((code.clone(), format!("{path}::{code}_*")))
            }));
        }
    }
    assert!(tests.len() > 150, "{} tests with a code were found", tests.len());
    tests
}

/// `R12` of `r12_the_sweep_...` and of `R12_...`.
fn code(name: &str) -> Option<String> {
    let (code, _) = name.split_once('_')?;
    let (group, number) = (code.chars().next()?.to_ascii_uppercase(), code.get(1..)?);
    (GROUPS.contains(group) && number.parse::<u32>().is_ok()).then(|| format!("{group}{number}"))
}

/// The Rust tests of the library below a directory, and the corpus. The scripted server has tests of its own.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["server", "loom", "plugin"].contains(&name) {
            found.extend(files(&path));
        } else if name.ends_with(".rs") || directory.ends_with("corpus") && name.ends_with(".json")
        {
            found.push(path);
        }
    }
    found
}

fn text() -> String {
    fs::read_to_string(root().join("tests/BEHAVIOURS.md")).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
