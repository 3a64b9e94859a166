//! The examples of every language: each is built, run against the demo server, and must print the expected outcome.
//! Python's run with `$HANGUP_PYTHON`, or with python3 if it has hangup.

use crate::abi;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use testserver::DemoServer;

/// An example and what its output must contain in every language. Case and spaces are ignored: Rust's `InUse` is C's
/// "in use".
const EXAMPLES: [(&str, &[&str]); 4] = [
    ("get", &["200", "new", "used again"]),
    ("timeout_and_cancel", &["timed", "head", "cancelled", "the user left"]),
    ("close_and_list", &["2 open", "in use", "idle", "closed", "0 open"]),
    ("lost_connections", &["safe to send again: yes", "acknowledged: all", "round-trip", "closed"]),
];

/// Examples that exist in C, C++ and Python.
const BOUND: [(&str, &[&str]); 2] = [
    ("limits_and_drain", &["timed", "pool", "1 had to wait", "1 left", "drained", "shut"]),
    ("events", &["opened", "leased", "phase head", "returned", "closed", "0 events were lost"]),
];

/// Examples that exist in Rust alone.
const IN_RUST: [(&str, &[&str]); 1] =
    [("ureq", &["ureq: 200", "1 idle connection", "used again: true", "ended:", "deadline"])];

/// Thousands of concurrent requests, in the idiom of each language.
const THOUSAND: [(&str, &[&str]); 1] =
    [("thousand", &["1000 requests", "1000 responses", "5000 bytes", "0 failures", "connections"])];

/// Examples that bring a server of their own.
const ALONE: [(&str, &[&str]); 1] =
    [("websocket", &["upgraded", "hello", "closed", "stream", "the server has ended"])];

/// Runs an example and checks its output.
fn run_and_check(command: &mut Command, example: &str, server: &DemoServer) {
    check(command.arg(server.http_url("")), example);
}

fn check(command: &mut Command, example: &str) {
    let output = abi::succeed(command);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let plain = |text: &str| text.to_lowercase().replace(' ', "");
    let rest = BOUND.iter().chain(&IN_RUST).chain(&THOUSAND).chain(&ALONE);
    let mut examples = EXAMPLES.iter().chain(rest);
    let (_, wanted) =
        examples.find(|(name, _)| *name == example).expect("an example with this name");
    for word in *wanted {
        assert!(
            plain(&said).contains(&plain(word)),
            "{command:?} does not say \"{word}\":\n{said}"
        );
    }
    let lines = said.lines().count();
    assert!((2..=20).contains(&lines), "{lines} lines are no few clear lines:\n{said}");
}

fn compiled(language: &str, flags: &[&str]) {
    let server = DemoServer::start();
    let dir = abi::scratch(&format!("examples-{language}"));
    for (example, _) in EXAMPLES.into_iter().chain(BOUND) {
        let source =
            abi::root().join("examples").join(language).join(format!("{example}.{language}"));
        let program = dir.join(example);
        abi::compile(&[&source], &program, flags);
        run_and_check(&mut abi::command(&program, abi::Under::Nothing), example, &server);
    }
}

#[test]
fn in_c() {
    compiled("c", &[]);
}

#[test]
fn in_cpp() {
    compiled("cpp", &["-std=c++17", "-Wconversion"]);
}

#[test]
fn thousands_of_submissions_at_once() {
    let server = DemoServer::start();
    let dir = abi::scratch("examples-thousand");
    abi::require("pkg-config", "apt-get install pkg-config, or make deps");
    let mut ask = Command::new("pkg-config");
    assert!(
        ask.args(["--exists", "libuv"]).status().is_ok_and(|status| status.success()),
        "this test needs libuv: apt-get install libuv1-dev, or make deps"
    );
    let output = abi::succeed(Command::new("pkg-config").args(["--cflags", "--libs", "libuv"]));
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    // The libraries precede the sources on this command line.
    let libuv: Vec<_> =
        ["-Wl,--no-as-needed"].into_iter().chain(output.split_whitespace()).collect();
    for (source, flags) in [
        ("c/epoll_thousand.c", &[][..]),
        ("c/epoll_driven.c", &[]),
        ("c/libuv_thousand.c", &libuv),
        ("cpp/thousand.cpp", &["-std=c++17", "-Wconversion"]),
    ] {
        let program = dir.join(Path::new(source).file_stem().expect("a file name"));
        abi::compile(&[&abi::root().join("examples").join(source)], &program, flags);
        run_and_check(&mut abi::command(&program, abi::Under::Nothing), "thousand", &server);
    }
}

#[test]
fn in_rust() {
    // `cargo test` has built them, `cargo test --test package` has not.
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "hangup", "--examples"]);
    if abi::profile_dir().ends_with("release") {
        build.arg("--release");
    }
    abi::succeed(build.env("CARGO_TARGET_DIR", abi::target_dir()).current_dir(abi::root()));
    let server = DemoServer::start();
    let same_names = EXAMPLES.map(|(example, _)| (example, example));
    let others = [("submit", "thousand"), ("ureq", "ureq")];
    for (binary, example) in same_names.into_iter().chain(others) {
        let program = abi::profile_dir().join("examples").join(binary);
        run_and_check(&mut abi::command(&program, abi::Under::Nothing), example, &server);
    }
    for (example, _) in ALONE {
        let program = abi::profile_dir().join("examples").join(example);
        check(&mut abi::command(&program, abi::Under::Nothing), example);
    }
}

#[test]
fn in_python() {
    let given = env::var_os("HANGUP_PYTHON");
    let python = PathBuf::from(given.clone().unwrap_or_else(|| "python3".into()));
    if !imports_hangup(&python) {
        assert!(
            given.is_none(),
            "{} can't import hangup: pip install ./bindings/python, or make test",
            python.display()
        );
        eprintln!("skipped: python3 has no hangup (make test installs it)");
        return;
    }
    let server = DemoServer::start();
    for (example, _) in EXAMPLES.into_iter().chain(BOUND).chain(THOUSAND) {
        let script = abi::root().join("examples/python").join(format!("{example}.py"));
        assert!(script.exists(), "{} is missing", script.display());
        let mut command = abi::command(&python, abi::Under::Nothing);
        run_and_check(command.arg("-B").arg(script), example, &server);
    }
    for (example, _) in ALONE {
        let script = abi::root().join("examples/python").join(format!("{example}.py"));
        check(abi::command(&python, abi::Under::Nothing).arg("-B").arg(script), example);
    }
}

fn imports_hangup(python: &Path) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", "import hangup"]).output().is_ok_and(|output| output.status.success())
}
