//! The library's threads block the program's signals.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::mem::MaybeUninit;
use std::path::Path;

use hangup::{Body, CancelToken, CloseMode, ConnectionState, Phase};
use testserver::{Certificate, Script, Server, Step};

use crate::support::counted_reader::CountedReader;
use crate::support::form::Form;
use crate::support::own_process::in_own_process_with;
use crate::support::submissions::{PolledSubmission, buffered_get, errors, with_token};
use crate::support::{ms, post, request, wait_until};

/// The names of the threads that [`every_kind_of_thread_blocks_signals`] starts, truncated as the kernel does it.
const KINDS: [&str; 7] = [
    "hangup-crypto",
    "hangup-file",
    "hangup-io",
    "hangup-resolve",
    "hangup-timer",
    "hangup-upload",
    "hangup-upload-e",
];

/// Signals that a thread raises by its own fault.
const FAULTS: [i32; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];

#[test]
fn no_thread_of_the_library_takes_a_signal_of_the_program() {
    let name = "signals::no_thread_of_the_library_takes_a_signal_of_the_program";
    in_own_process_with(name, &[], every_kind_of_thread_blocks_signals);
}

#[test]
fn no_thread_of_the_pool_of_threads_takes_a_signal_of_the_program() {
    let name = "signals::no_thread_of_the_pool_of_threads_takes_a_signal_of_the_program";
    in_own_process_with(name, &[("HANGUP_ENGINE", "threads")], || {
        let server = Server::start(Script::answering("ok"));
        let client = Form::Blocking.client();
        client.submit(buffered_get(&server.url("/"), 10)).wait().unwrap();
        let there = assert_signals_are_blocked();
        assert!(there.contains("hangup-io"), "{there:?}");
    });
}

fn every_kind_of_thread_blocks_signals() {
    let before = own_mask();
    let answers = vec![
        Step::head(),
        Step::body(),
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ];
    let plain = Server::start(Script::every(vec![Step::forever(answers)]));
    let tls = Server::start_tls(Certificate::Good, Script::answering("ok"));
    let silent = Server::start(Script::every(vec![Step::head(), Step::Stall]));
    let client = Form::Blocking.tls_client();
    // A lookup, a handshake, and an idle connection afterwards.
    let by_name = format!("http://localhost:{}/", plain.port());
    client.submit(buffered_get(&by_name, 10)).wait().unwrap();
    client.submit(buffered_get(&tls.url("/"), 10)).wait().unwrap();
    // Bodies from a file and from a reader.
    let mut file = tempfile();
    file.1.write_all(b"some bytes").unwrap();
    client.submit(post(&plain.url("/"), Body::file(&file.0).unwrap())).wait().unwrap();
    fs::remove_file(&file.0).unwrap();
    let (source, _) = CountedReader::pieces(3, 100, |_| {});
    client.submit(post(&plain.url("/"), source.chunked())).wait().unwrap();
    // A deadline that is set while a call waits.
    let token = CancelToken::new();
    let late =
        PolledSubmission::new(client.submit(with_token(request("GET", &silent.url("/")), &token)));
    let waiting =
        || client.manager().connections().iter().any(|one| one.state == ConnectionState::InUse);
    wait_until("the silent server", waiting);
    token.after(ms(1));
    assert_eq!(errors(vec![late])[0].phase(), Phase::Head);

    let there = assert_signals_are_blocked();
    let missing: Vec<_> = KINDS.iter().filter(|kind| !there.contains(**kind)).collect();
    assert!(missing.is_empty(), "not there: {missing:?}, but {there:?}");
    assert_eq!(own_mask(), before, "the caller's own mask is as it was");
    client.manager().close_all(CloseMode::Now);
}

/// Checks each running thread of the library, and returns their names.
#[track_caller]
fn assert_signals_are_blocked() -> BTreeSet<String> {
    let mut there = BTreeSet::new();
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        // A thread that has ended meanwhile takes no signal.
        let Some((name, blocked)) = blocked_by(&task) else { continue };
        if !name.starts_with("hangup-") {
            continue;
        }
        let never = [libc::SIGKILL, libc::SIGSTOP];
        let real_time = libc::SIGRTMIN()..=libc::SIGRTMAX();
        for signal in (1..32).chain(real_time) {
            if !FAULTS.contains(&signal) && !never.contains(&signal) {
                assert!(blocked & bit(signal) != 0, "{name}: signal {signal}");
            }
        }
        // glibc blocks all signals in a thread that is being started.
        wait_until("the signals of faults", || {
            let faults: u64 = FAULTS.iter().map(|fault| bit(*fault)).sum();
            blocked_by(&task).is_none_or(|(_, blocked)| blocked & faults == 0)
        });
        there.insert(name);
    }
    there
}

/// The name of a thread, and which signals it blocks; `None` if it has ended.
fn blocked_by(task: &Path) -> Option<(String, u64)> {
    let name = fs::read_to_string(task.join("comm")).ok()?;
    let status = fs::read_to_string(task.join("status")).ok()?;
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"))?;
    Some((name.trim().to_owned(), u64::from_str_radix(blocked.trim(), 16).ok()?))
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Which signals this thread blocks.
fn own_mask() -> Vec<i32> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: asks for the mask, and the set is written whole.
    let set = unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), set.as_mut_ptr());
        set.assume_init()
    };
    // SAFETY: a set that the system gave us.
    (1..65).filter(|signal| unsafe { libc::sigismember(&raw const set, *signal) } == 1).collect()
}

fn tempfile() -> (std::path::PathBuf, fs::File) {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("signals-body");
    let file = fs::File::create(&path).unwrap();
    (path, file)
}
