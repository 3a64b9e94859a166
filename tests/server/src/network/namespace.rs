//! The two network namespaces (network_namespaces(7)): that of a process, and that of a thread in it.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

/// Lets a command start in a new network namespace. A user who may not make one gets a new user namespace with it, in
/// which he may (user_namespaces(7)). `spawn` fails if neither is permitted.
pub fn isolate(command: &mut Command) {
    command.env(OUTSIDE, current());
    // SAFETY: neither has arguments, neither can fail.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let (users, groups) = (format!("0 {user} 1\n"), format!("0 {group} 1\n"));
    // SAFETY: the closure makes system calls only, which are async-signal-safe, and its memory was made before the fork.
    unsafe {
        command.pre_exec(move || {
            if libc::unshare(libc::CLONE_NEWNET) == 0 {
                return Ok(());
            }
            called(libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET))?;
            write(c"/proc/self/setgroups", b"deny")?;
            write(c"/proc/self/uid_map", users.as_bytes())?;
            write(c"/proc/self/gid_map", groups.as_bytes())
        });
    }
}

/// Fails in a process that was not started with [`isolate`].
pub(super) fn check() -> io::Result<()> {
    match std::env::var(OUTSIDE) {
        Ok(outside) if outside != current() => Ok(()),
        _ => Err(io::Error::other("this process is not in a network namespace of its own")),
    }
}

/// A thread in a namespace of its own. Ends when dropped; the namespace goes when the last thread and socket in it does.
#[derive(Debug)]
pub(super) struct Far {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

type Job = Box<dyn FnOnce() + Send>;

impl Far {
    /// Makes the namespace, and in it what `prepare` makes.
    pub(super) fn start(
        prepare: impl FnOnce() -> io::Result<File> + Send + 'static,
    ) -> io::Result<(Far, File)> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (sender, prepared) = mpsc::channel();
        let thread = thread::Builder::new().name("testserver-far".to_owned()).spawn(move || {
            // SAFETY: no pointers. It changes the namespace of this thread alone.
            let entered = called(unsafe { libc::unshare(libc::CLONE_NEWNET) });
            if sender.send(entered.and_then(|()| prepare())).is_ok() {
                queue.into_iter().for_each(|job| job());
            }
        })?;
        let far = Far { jobs: Some(jobs), thread: Some(thread) };
        let device = prepared.recv().map_err(io::Error::other)??;
        Ok((far, device))
    }

    /// Runs `work` on the thread and waits for it. A panic of `work` is one here.
    pub(super) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, result) = mpsc::channel();
        let job = Box::new(move || {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            let _ = sender.send(outcome);
        });
        self.jobs.as_ref().expect("a thread until the end").send(job).expect("a thread that runs");
        match result.recv().expect("a thread that runs") {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The calling thread's network namespace, by the name that the kernel gives it.
fn current() -> String {
    fs::read_link("/proc/thread-self/ns/net")
        .map_or_else(|_| "unknown".to_owned(), |path| path.to_string_lossy().into_owned())
}

/// Writes a file of /proc in the child of a fork, where nothing may be allocated.
fn write(path: &std::ffi::CStr, text: &[u8]) -> io::Result<()> {
    // SAFETY: a NUL-terminated path, and a buffer with its length; the descriptor is closed before it is forgotten.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        called(file)?;
        let written = libc::write(file, text.as_ptr().cast(), text.len());
        let result = called(if written < 0 { -1 } else { 0 });
        libc::close(file);
        result
    }
}

fn called(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// In the environment of an isolated process: the namespace that it was started from.
const OUTSIDE: &str = "HANGUP_TEST_OUTSIDE";
