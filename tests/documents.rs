//! The documents at the root and in `docs` are true: the files that they name exist, and the commands that they name are targets of
//! the Makefile, which `make help` lists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const DOCUMENTS: [&str; 6] = [
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "README.md",
    "docs/features.md",
    "docs/lost-connections.md",
    "docs/wire.md",
];

#[test]
fn every_file_that_a_document_names_exists() {
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        let linked = parts(&text, "](", ")").filter(|target| !target.contains("://"));
        let quoted = parts(&text, "`", "`").filter(|part| is_a_path(part));
        for path in linked.chain(quoted) {
            let path = path.split('#').next().unwrap_or(path);
            // A link begins at the document's own folder. A path below `src` is written without it.
            let own = Path::new(document).parent().unwrap_or(Path::new(""));
            let folders = [own, Path::new(""), Path::new("src")];
            if !folders.iter().any(|folder| root().join(folder).join(path).exists()) {
                missing.push(format!("{document}: {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "no such file:\n{}", missing.join("\n"));
}

#[test]
fn every_make_command_of_a_document_is_a_target_that_help_lists() {
    let makefile = read("Makefile");
    let targets: BTreeSet<&str> = makefile
        .lines()
        .find_map(|line| line.strip_prefix(".PHONY: "))
        .expect("a line of targets")
        .split_whitespace()
        .filter(|target| *target != "help")
        .collect();
    let help: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| line.trim().strip_prefix("@echo \"make ")?.split_whitespace().next())
        .collect();
    assert_eq!(help, targets, "`make help` and the Makefile's targets");
    for document in DOCUMENTS {
        for command in parts(&read(document), "`make ", "`") {
            let target = command.split_whitespace().next().unwrap_or("");
            assert!(targets.contains(target), "{document}: `make {command}`");
        }
    }
}

#[test]
fn the_code_about_lost_connections_is_that_of_the_examples() {
    let text = read("docs/lost-connections.md");
    let mut blocks = 0;
    for (language, example) in
        [("c", "examples/c/lost_connections.c"), ("python", "examples/python/lost_connections.py")]
    {
        let example = unindented(&read(example));
        for block in text.split(&format!("```{language}\n")).skip(1) {
            let code = unindented(block.split("```").next().unwrap_or(block));
            assert!(example.contains(&code), "no part of the example in {language}:\n{code}");
            blocks += 1;
        }
    }
    assert_eq!(blocks, 4);
}

/// The lines without the spaces before them.
fn unindented(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.trim_start())).collect()
}

/// Whether a quoted part of a document is the path of a file or a folder.
fn is_a_path(part: &str) -> bool {
    let is_plain = part.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let ends = [".rs", ".md", ".h", ".hpp", ".c", ".cpp", ".py", ".sh", ".toml", ".txt"];
    is_plain
        && part.contains('/')
        && (part.ends_with('/') || ends.iter().any(|end| part.ends_with(end)))
}

/// What stands between two marks on one line.
fn parts<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().flat_map(move |line| {
        let mut rest = line;
        std::iter::from_fn(move || {
            let (_, after) = rest.split_once(open)?;
            let (part, after) = after.split_once(close)?;
            rest = after;
            Some(part)
        })
    })
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).expect("a file of the package")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
