//! Tests that need a process of their own: to count its descriptors and threads, to change its limits, or to preload a
//! library. Such a test runs itself again in a child process.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Runs `body` in a child process that runs no other test. `name` is the full name of the calling test.
#[track_caller]
pub fn in_own_process(name: &str, body: impl FnOnce()) {
    in_own_process_with(name, &[], body);
}

/// As [`in_own_process`], with these in the child's environment.
#[track_caller]
pub fn in_own_process_with(name: &str, env: &[(&str, &str)], body: impl FnOnce()) {
    if is_own_process_of(name) {
        return body();
    }
    let begun = Instant::now();
    let child = again(name, env).spawn().expect("a child process");
    assert_passed(name, begun, child);
}

/// Whether this is the child process that [`again`] starts for a test. One that hangs is ended, not waited for.
pub fn is_own_process_of(name: &str) -> bool {
    let inside = std::env::var(INSIDE).as_deref() == Ok(name);
    if inside {
        // SAFETY: no pointers.
        unsafe { libc::alarm(LIFE.as_secs() as u32) };
    }
    inside
}

/// The command that runs the test of that full name alone in a process of its own.
pub fn again(name: &str, env: &[(&str, &str)]) -> Command {
    let me = std::env::current_exe().expect("the path of this test");
    let mut command = Command::new(me);
    command
        .args(["--exact", name, "--include-ignored", "--nocapture", "--test-threads", "1"])
        .env(INSIDE, name)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Waits for the child of [`again`], prints what it measured, and fails as its test did.
#[track_caller]
pub fn assert_passed(name: &str, begun: Instant, child: Child) {
    let output = child.wait_with_output().expect("the child's output");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    let measured =
        |line: &&str| ["latency", "numbers: ", "skipped: "].iter().any(|word| line.contains(word));
    for line in said.lines().filter(measured) {
        println!("{line}");
    }
    assert!(
        output.status.success(),
        "{name}, in its own process, after {:?}: {}\n{said}\n{complained}",
        begun.elapsed(),
        output.status
    );
    assert!(said.contains("1 passed"), "{name} is not the name of this test:\n{said}");
}

/// Runs the tests of this program whose names contain one of `names` again, with a pool of threads in place of fibers.
#[track_caller]
pub fn run_again_on_threads(names: &[&str]) {
    let me = std::env::current_exe().expect("the path of this test");
    let output = Command::new(me)
        .args(names)
        .env("HANGUP_ENGINE", "threads")
        .stdin(Stdio::null())
        .output()
        .expect("a child process");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "on threads: {}\n{said}", output.status);
    for name in names {
        assert!(said.lines().any(|line| line.contains(name) && line.ends_with("ok")), "no {name}");
    }
}

/// A shared library in which getaddrinfo(3) blocks for a minute for [`BLOCKED`] and names below it. The path is for
/// `LD_PRELOAD`.
pub fn blocking_resolver() -> PathBuf {
    preloaded("blocked-resolver", BLOCKING_RESOLVER)
}

/// A shared library with which the process can start no thread while [`refuse_threads`] is in effect. The path is for
/// `LD_PRELOAD`.
pub fn thread_refuser() -> PathBuf {
    preloaded("thread-refuser", THREAD_REFUSER)
}

/// Makes pthread_create(3) fail with EAGAIN from now on, or succeed again. Needs [`thread_refuser`].
pub fn refuse_threads(refuse: bool) {
    // SAFETY: a NUL-terminated name; the function that has it takes an int.
    unsafe {
        let function = libc::dlsym(libc::RTLD_DEFAULT, c"refuse_threads".as_ptr());
        assert!(!function.is_null(), "the library is not preloaded");
        let function: extern "C" fn(libc::c_int) = std::mem::transmute(function);
        function(refuse.into());
    }
}

/// Compiles C source to a shared library.
fn preloaded(name: &str, source: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned();
    let path = dir.join(format!("{name}-{}.so", source.len()));
    if path.exists() {
        return path;
    }
    // Compiled under another name and renamed, so that a test on another thread never loads a part of it.
    let draft = dir.join(format!("{:?}-{}.so", std::thread::current().id(), std::process::id()));
    let mut compiler = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-x", "c", "-", "-ldl", "-o"])
        .arg(&draft)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a C compiler (apt-get install gcc)");
    std::io::Write::write_all(&mut compiler.stdin.take().unwrap(), source.as_bytes()).unwrap();
    let mut complaints = String::new();
    compiler.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
    assert!(compiler.wait().unwrap().success(), "{complaints}");
    std::fs::rename(&draft, &path).unwrap();
    path
}

/// The host that [`blocking_resolver`] never finds.
pub const BLOCKED: &str = "blocked.test";

const BLOCKING_RESOLVER: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <time.h>

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    size_t length = host ? strlen(host) : 0;
    if (length >= 12 && strcmp(host + length - 12, "blocked.test") == 0) {
        struct timespec minute = {60, 0};
        nanosleep(&minute, NULL);
        return EAI_AGAIN;
    }
    return ((lookup *)dlsym(RTLD_NEXT, "getaddrinfo"))(host, service, hints, found);
}
"#;

const THREAD_REFUSER: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

typedef int create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

static volatile int refusing;

void refuse_threads(int refuse)
{
    refusing = refuse;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *argument)
{
    if (refusing)
        return EAGAIN;
    return ((create *)dlsym(RTLD_NEXT, "pthread_create"))(thread, attr, start, argument);
}
"#;

const INSIDE: &str = "HANGUP_TEST_ALONE";

/// A child that runs longer than this is ended.
const LIFE: Duration = Duration::from_secs(120);
