//! The C side as the Rust tests see it: the header and its functions, the library that `cargo test` has just
//! built, the compilers, and a way to compile and run a program against all of that.
//!
//! Included by the tests that need it (`#[path = "c/abi.rs"] mod abi;`), each of which uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What every C and C++ program here must compile without.
pub const WARNINGS: [&str; 6] =
    ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-compare", "-Werror"];

/// How long a program may take before it counts as hung, in seconds.
const PATIENCE: &str = "240";

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where cargo builds: this test is `<target>/<profile>/deps/<name>-<hash>`.
pub fn target_dir() -> PathBuf {
    profile_dir().parent().expect("a target directory").to_owned()
}

/// `<target>/<profile>`, where binaries are.
pub fn profile_dir() -> PathBuf {
    library_dir().parent().expect("a profile directory").to_owned()
}

/// The directory with the `libhangup.so` of this build, and a link to it by its SONAME, by which programs load it.
pub fn library_dir() -> PathBuf {
    let test = env::current_exe().expect("the path of this test");
    let deps = test.parent().expect("a test is in a directory").to_owned();
    assert!(
        deps.join("libhangup.so").exists(),
        "no libhangup.so in {}: cargo builds it with the tests, as a cdylib",
        deps.display()
    );
    let linked = std::os::unix::fs::symlink("libhangup.so", deps.join("libhangup.so.0"));
    if let Err(error) = linked {
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists, "{error}");
    }
    deps
}

/// A fresh directory for what one test makes, `<target>/abi/<program>/<test>/<name>`.
pub fn scratch(name: &str) -> PathBuf {
    let program = env::current_exe().expect("the path of this test");
    let thread = std::thread::current();
    let dir = target_dir()
        .join("abi")
        .join(program.file_stem().expect("a file name"))
        // Make and PKG_CONFIG_PATH both give a colon a meaning.
        .join(thread.name().unwrap_or("test").replace("::", "-"))
        .join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a directory under the target directory");
    dir
}

/// The C compiler: `$CC`, or `cc`.
pub fn cc() -> OsString {
    env::var_os("CC").unwrap_or_else(|| "cc".into())
}

/// The C++ compiler: `$CXX`, or `c++`.
pub fn cxx() -> OsString {
    env::var_os("CXX").unwrap_or_else(|| "c++".into())
}

/// `$CFLAGS`, word by word.
fn cflags() -> Vec<String> {
    let flags = env::var("CFLAGS").unwrap_or_default();
    flags.split_whitespace().map(str::to_owned).collect()
}

/// The sanitizers' flags if `HANGUP_SANITIZE` is set: to `thread`, or to anything else for address and undefined behaviour.
pub fn sanitizers() -> &'static [&'static str] {
    if sanitizes_threads() {
        &["-fsanitize=thread", "-g"]
    } else if is_set("HANGUP_SANITIZE") {
        &["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]
    } else {
        &[]
    }
}

/// Whether programs are to be compiled with ThreadSanitizer.
pub fn sanitizes_threads() -> bool {
    env::var("HANGUP_SANITIZE").is_ok_and(|value| value == "thread")
}

/// Whether a variable is there and says neither nothing nor no.
pub fn is_set(name: &str) -> bool {
    env::var(name).is_ok_and(|value| !value.is_empty() && value != "0")
}

/// Compiles `sources` (all C, or all C++) to `output`, linked with the library of this build.
pub fn compile(sources: &[&Path], output: &Path, flags: &[&str]) {
    let is_cpp = sources.iter().any(|source| source.extension().is_some_and(|e| e == "cpp"));
    let library = library_dir();
    let mut command = Command::new(if is_cpp { cxx() } else { cc() });
    command
        .args(WARNINGS)
        .args(cflags())
        .args(sanitizers())
        .args(flags)
        .arg("-I")
        .arg(root().join("include"))
        .arg("-I")
        .arg(root().join("bindings/cpp"))
        .args(sources)
        .arg("-o")
        .arg(output)
        .arg("-L")
        .arg(&library)
        .arg(format!("-Wl,-rpath,{}", library.display()))
        .args(["-lhangup", "-pthread"]);
    succeed(&mut command);
}

/// How to run a program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Under {
    /// As it is; under valgrind if `HANGUP_VALGRIND` is set.
    Nothing,
    /// Under valgrind in any case.
    Valgrind,
}

/// A command that runs `program`, bounded in time; `args` are the program's.
pub fn command(program: &Path, under: Under) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", PATIENCE]);
    // Cargo's own search path goes before a program's: an older library of `cargo build` may stand there.
    command.env_remove("LD_LIBRARY_PATH");
    if under == Under::Valgrind || is_set("HANGUP_VALGRIND") {
        require("valgrind", "apt-get install valgrind, or make deps");
        // Valgrind runs one thread at a time, so everything takes long; the programs ask for this.
        command.env("HANGUP_SLOW", "20").arg("valgrind").args([
            "--quiet",
            "--leak-check=full",
            // What the shared manager holds for ever is "possibly lost": Rust points into the middle of its
            // blocks. A block without any pointer to it is certainly lost.
            "--show-leak-kinds=definite",
            "--errors-for-leak-kinds=definite",
            "--error-exitcode=9",
            "--fair-sched=yes",
        ]);
    } else if sanitizes_threads() {
        let list = root().join("tests/c/tsan.supp");
        let options = format!("suppressions={} halt_on_error=1 die_after_fork=0", list.display());
        command.env("HANGUP_SLOW", "5").env("TSAN_OPTIONS", options);
    } else if is_set("HANGUP_SANITIZE") {
        // The order of libraries is another one with LD_PRELOAD; cancel.c needs that. A thread that was cancelled
        // leaves redzones on its stack, over which the sanitizer itself stumbles when it gives back the thread's
        // alternate signal stack.
        let options = "verify_asan_link_order=0 use_sigaltstack=0";
        command.env("HANGUP_SLOW", "5").env("ASAN_OPTIONS", options);
    }
    command.arg(program);
    command
}

/// Runs a command and fails with all it said unless it exits 0.
pub fn succeed(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{} can't be run: {e}", command.get_program().display()));
    assert!(
        output.status.success(),
        "{command:?}\nended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Fails with the way to install it if a tool is missing.
pub fn require(tool: &str, how: &str) {
    assert!(has(tool), "this test needs {tool}: {how}");
}

/// Whether a tool is there.
pub fn has(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The header's declarations: its text without comments and lines for the preprocessor.
pub fn header_declarations() -> String {
    let header = std::fs::read_to_string(root().join("include/hangup.h")).expect("the header");
    let code = without_comments(&header).replace("\\\n", " ");
    code.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
}

/// The functions that the header declares.
pub fn header_functions() -> BTreeSet<String> {
    // The last word before an opening parenthesis; types of callbacks have a `*` there.
    let declarations = header_declarations();
    let mut found = BTreeSet::new();
    for (at, _) in declarations.match_indices('(') {
        let before = &declarations[..at];
        let start =
            before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |i| i + 1);
        if before[start..].starts_with("hangup_") {
            found.insert(before[start..].to_owned());
        }
    }
    assert!(found.len() > 50, "the header could not be read: {found:?}");
    found
}

fn without_comments(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("/*") {
        code.push_str(&rest[..start]);
        rest = rest[start..].find("*/").map_or("", |end| &rest[start + end + 2..]);
    }
    code.push_str(rest);
    code
}
