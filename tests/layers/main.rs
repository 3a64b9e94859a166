//! Who may use whom in `src`: a module uses only modules below it, no files use each other in a circle, and
//! the operating system is named in the `sys` folders alone.
//!
//! What is not so yet stands in a list of exceptions with the reason; a line that is not needed any more fails
//! the test, too. The files' uses are read from their text ([`sources`]).

mod sources;

use std::collections::{BTreeMap, BTreeSet};

use sources::{Sources, Use};

/// The modules of `src` from the top to the bottom: a module uses only those that stand below it.
const LAYERS: &[&str] = &[
    "ffi",
    "driver",
    "queue",
    "submit",
    "download",
    "ureq",
    "client",
    "form",
    "response",
    "stream",
    "request",
    "http",
    "target",
    "json",
    "manager",
    "net",
    "caller_reader",
    "upload",
    "threads",
    "trace",
    "runtime",
    "response_head",
    "keep_alive",
    "authority",
    "timeouts",
    "transfer",
    "cancel",
    "headers",
    "auth",
    "secret",
    "error",
    "timings",
    "tcp_facts",
    "features",
    "vocabulary",
    "spare_memory",
    "sync",
    "timer",
    "process",
];

/// Uses that go up: the module, the one that it uses, and why.
const UPWARD: &[(&str, &str, &str)] = &[];

/// Modules whose files use each other in a circle, and why.
const IN_A_CIRCLE: &[(&str, &str)] = &[];

/// Names of the operating system's interface.
const SYSTEM_NAMES: [&str; 13] = [
    "libc",
    "RawFd",
    "OwnedFd",
    "BorrowedFd",
    "AsRawFd",
    "AsFd",
    "FromRawFd",
    "IntoRawFd",
    "std::os",
    "pollfd",
    "eventfd",
    "epoll",
    "accept4",
];

/// Where they may stand: the folders of system calls, and the C ABI, which has C's types.
const SYSTEM_FOLDERS: [&str; 4] =
    ["src/runtime/sys/", "src/net/sys/", "src/process/sys/", "src/ffi/"];

/// Modules that name the system elsewhere, and why.
const SYSTEM_ELSEWHERE: &[(&str, &str)] = &[];

#[test]
fn a_module_uses_only_modules_below_it() {
    let rank = |file: &str| {
        let layer = layer(file);
        LAYERS.iter().position(|name| *name == layer).unwrap_or_else(|| {
            panic!("give `{layer}` ({file}) its place among the LAYERS of this test")
        })
    };
    let mut upward = Vec::new();
    for used in uses() {
        if rank(&used.to) < rank(&used.from) {
            upward.push(used);
        }
    }
    let excepted: BTreeSet<_> = UPWARD.iter().map(|(from, to, _)| (*from, *to)).collect();
    let found: BTreeSet<_> =
        upward.iter().map(|used| (layer(&used.from), layer(&used.to))).collect();
    let wrong: Vec<&Use> = upward
        .iter()
        .filter(|used| !excepted.contains(&(layer(&used.from), layer(&used.to))))
        .collect();
    assert!(
        wrong.is_empty(),
        "move what is used into the lower module, or pass it in as a closure or a trait; uses that go \
         up:\n{}",
        list(&wrong)
    );
    let stale: Vec<_> = excepted.difference(&found).collect();
    assert!(stale.is_empty(), "remove these lines of UPWARD, nothing goes up there: {stale:#?}");
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let uses = uses();
    let circles = inside_circles(&uses);
    let excepted: BTreeSet<&str> = IN_A_CIRCLE.iter().map(|(module, _)| *module).collect();
    let found: BTreeSet<&str> = circles.iter().map(|used| layer(&used.from)).collect();
    let wrong: Vec<&Use> =
        circles.into_iter().filter(|used| !excepted.contains(layer(&used.from))).collect();
    assert!(
        wrong.is_empty(),
        "files that use each other, directly or through others: move what both need into a file of its \
         own below them, or let the parent only declare and re-export; their uses:\n{}",
        list(&wrong)
    );
    let stale: Vec<_> = excepted.difference(&found).collect();
    assert!(stale.is_empty(), "remove these lines of IN_A_CIRCLE, no circle is left: {stale:?}");
}

#[test]
fn the_system_is_named_in_the_sys_folders_alone() {
    let (mut wrong, mut found) = (Vec::new(), BTreeSet::new());
    let excepted: BTreeSet<&str> = SYSTEM_ELSEWHERE.iter().map(|(module, _)| *module).collect();
    for file in Sources::of_this_package().files {
        if SYSTEM_FOLDERS.iter().any(|folder| file.path.starts_with(folder)) {
            continue;
        }
        for (number, line) in file.code.lines().enumerate() {
            for name in SYSTEM_NAMES.iter().filter(|name| names_it(line, name)) {
                match excepted.get(layer(&file.path)) {
                    Some(module) => _ = found.insert(*module),
                    None => wrong.push(format!("{}:{}: {name}", file.path, number + 1)),
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "put the system call or type behind a function of sys:\n{}",
        wrong.join("\n")
    );
    let stale: Vec<_> = excepted.difference(&found).collect();
    assert!(stale.is_empty(), "remove these lines of SYSTEM_ELSEWHERE: {stale:?}");
}

/// A thread of the library takes no signal of the program: `process/thread.rs` blocks them all.
#[test]
fn threads_are_started_in_one_place() {
    let mut wrong = Vec::new();
    for file in Sources::of_this_package().files {
        if file.path.ends_with("process/thread.rs") {
            continue;
        }
        for (number, line) in file.code.lines().enumerate() {
            for way in ["thread::spawn", "thread::Builder", "thread::scope", "pthread_create"] {
                if line.contains(way) {
                    wrong.push(format!("{}:{}: {way}", file.path, number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "use process::start_thread:\n{}", wrong.join("\n"));
}

#[test]
fn uses_are_read_as_they_are_written() {
    let a = "use crate::b::{self, Thing, inner::Deep as D};\nfn f() { b::g(); super::x(); }";
    let b = "mod inner;\npub use inner::Shown;\npub struct Thing; // crate::a::X\nconst S: &str = \
             \"crate::a::Y\";\n#[cfg(test)]\nmod tests { use crate::a::Z; }\n";
    let sources = Sources::of_texts(&[
        ("lib.rs", "mod a;\nmod b;\nfn x() {}", &[]),
        ("a.rs", a, &["a"]),
        ("b/mod.rs", b, &["b"]),
        (
            "b/inner.rs",
            "pub struct Shown;\nfn h<'a>(_: &'a str) { let _ = crate::b::Shown; }",
            &["b", "inner"],
        ),
    ]);
    let uses: Vec<_> = sources.uses().into_iter().map(|used| (used.from, used.to)).collect();
    let pairs = [("a.rs", "b/inner.rs"), ("a.rs", "b/mod.rs"), ("a.rs", "lib.rs")];
    assert_eq!(uses, pairs.map(|(from, to)| (from.to_owned(), to.to_owned())));
}

#[test]
fn circles_are_found_over_several_files() {
    let edge = |from: &str, to: &str| Use { from: from.into(), to: to.into(), path: String::new() };
    let uses = [edge("a", "b"), edge("b", "c"), edge("c", "a"), edge("c", "d"), edge("e", "a")];
    assert_eq!(inside_circles(&uses), [&uses[0], &uses[1], &uses[2]]);
    assert!(inside_circles(&uses[1..]).is_empty());
}

/// Every use of a file by another one, but for those of the crate's root, which only declares and re-exports.
fn uses() -> Vec<Use> {
    let mut uses = Sources::of_this_package().uses();
    uses.retain(|used| used.from != "src/lib.rs");
    uses
}

/// `src/net/tls.rs` is in the layer `net`.
fn layer(file: &str) -> &str {
    let inside = file.strip_prefix("src/").expect("a file of src");
    inside.split('/').next().expect("a name").trim_end_matches(".rs")
}

/// The uses between files that reach each other.
fn inside_circles(uses: &[Use]) -> Vec<&Use> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for used in uses {
        next.entry(&used.from).or_default().push(&used.to);
    }
    let reaches = |from: &str, to: &str| {
        let (mut open, mut seen) = (vec![from], BTreeSet::new());
        while let Some(file) = open.pop() {
            if file == to {
                return true;
            }
            if seen.insert(file) {
                open.extend(next.get(file).into_iter().flatten());
            }
        }
        false
    };
    uses.iter().filter(|used| reaches(&used.to, &used.from)).collect()
}

/// Whether a line has a name as a whole word.
fn names_it(line: &str, name: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(name)
        .any(|(at, _)| !line[..at].ends_with(part) && !line[at + name.len()..].starts_with(part))
}

fn list(uses: &[&Use]) -> String {
    let line =
        |used: &&Use| format!("    (\"{}\", \"{}\", \"{}\"),\n", used.from, used.to, used.path);
    uses.iter().map(line).collect()
}
