//! Who may use whom in `src`: each layer uses only what lies beneath it, and what is Linux-only stands behind
//! one small door. Reads the code's `crate::` paths; tests inside the files may look anywhere.

use std::fs;
use std::path::{Path, PathBuf};

/// From the top. What stands on one line may use each other.
const LAYERS: [&[&str]; 9] = [
    &["ffi"],
    &["client", "request", "response", "submit", "queue", "target"],
    &["http"],
    &["manager"],
    &["net"],
    &["caller_reader"],
    &["runtime"],
    &["response_head"],
    // Words, arithmetic and tokens: for all to use, and they use nothing but each other.
    &["authority", "error", "timeouts", "vocabulary", "cancel", "secret", "sync", "process"],
];

/// Names that only Linux has, and where alone they may stand.
const LINUX_ONLY: [&str; 5] = ["eventfd", "epoll", "/proc", "SOCK_CLOEXEC", "accept4"];
const LINUX_DOOR: [&str; 2] = ["runtime", "net"];

#[test]
fn a_layer_uses_only_what_lies_beneath_it() {
    let mut wrong = Vec::new();
    for (layer, file, code) in sources() {
        let Some(own) = rank(&layer) else {
            wrong.push(format!(
                "{}: `{layer}` has no place in the layers of this test",
                file.display()
            ));
            continue;
        };
        for (number, line) in code.lines().enumerate() {
            for used in used_in(line) {
                // What begins with a capital is re-exported by lib.rs: a name for users, not for the inside.
                if rank(&used).is_none_or(|theirs| theirs < own) {
                    wrong.push(format!(
                        "{}:{}: {layer} uses crate::{used}",
                        file.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn linux_stands_behind_one_small_door() {
    let mut wrong = Vec::new();
    for (layer, file, code) in sources() {
        if LINUX_DOOR.contains(&layer.as_str()) {
            continue;
        }
        for (number, line) in code.lines().enumerate() {
            for name in LINUX_ONLY.iter().filter(|name| line.contains(**name)) {
                wrong.push(format!("{}:{}: {name}", file.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "only src/runtime and src/net may name these:\n{}", wrong.join("\n"));
}

/// A thread of the library takes no signal of the program's: `process/thread.rs` sees to that.
#[test]
fn threads_are_started_in_one_place() {
    let mut wrong = Vec::new();
    for (_, file, code) in sources() {
        if file.ends_with("process/thread.rs") || file.ends_with("tests.rs") {
            continue;
        }
        for (number, line) in code.lines().enumerate() {
            for way in ["thread::spawn", "thread::Builder", "thread::scope", "pthread_create"] {
                if line.contains(way) {
                    wrong.push(format!("{}:{}: {way}", file.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "use process::start_thread:\n{}", wrong.join("\n"));
}

#[test]
fn paths_are_read_as_they_are_written() {
    assert_eq!(used_in("use crate::net::{Stop, dial};"), ["net"]);
    assert_eq!(
        used_in("use crate::{error::Error, net, limits::{Deadline, Timeouts}};"),
        ["error", "net", "limits"]
    );
    assert_eq!(used_in("    let x = crate::wait::now() + crate::Thing::new();"), ["wait", "Thing"]);
    assert_eq!(used_in("pub(crate) fn nothing() {}"), [""; 0]);
    assert_eq!(code_of("a // crate::b\n//! c\nd\n#[cfg(test)]\nmod tests {}\n"), "a \n\nd\n");
}

/// A layer's place, 0 at the top.
fn rank(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|names| names.contains(&layer))
}

/// Every file below `src` but `lib.rs`: its layer, its path and its code.
fn sources() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    files.sort();
    assert!(files.len() > 10, "src could not be read");
    files
        .into_iter()
        .map(|file| {
            let inside = file.strip_prefix(&src).expect("below src").to_owned();
            let first = inside.components().next().expect("a name").as_os_str().to_string_lossy();
            let layer = first.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&file).expect("a source file");
            (layer, Path::new("src").join(inside), code_of(&text))
        })
        .filter(|(layer, ..)| layer != "lib")
        .collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// The text without comments, line by line, up to the tests at its end. A `//` in a text ends the line here
/// too, which hides nothing that matters.
fn code_of(text: &str) -> String {
    let is_test =
        |line: &&str| line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test,");
    let lines = text.lines().take_while(|line| !is_test(line));
    lines.map(|line| line.split("//").next().unwrap_or("").to_owned() + "\n").collect()
}

/// The first names after each `crate::` of a line, those of a group included.
fn used_in(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, path) in line.match_indices("crate::") {
        let rest = &line[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(heads_of(group)),
            None => found.push(head_of(rest)),
        }
    }
    found
}

/// `a::b, c, d::{e, f}}` as `a`, `c`, `d`.
fn heads_of(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let (mut depth, mut start) = (0i32, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth < 0 || (depth == 0 && c == ',') {
            heads.push(head_of(group[start..at].trim()));
            start = at + 1;
        }
        if depth < 0 {
            break;
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

fn head_of(path: &str) -> String {
    path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}
