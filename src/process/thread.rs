//! The library's own threads: the one place where they are started.
//!
//! None of them takes a signal of the program's. A signal that was sent to the process goes to any
//! thread that does not block it (signal(7)): a program that blocks one in its own threads, to
//! wait for it with sigwait(3) or signalfd(2), would find it delivered here, where its default
//! action ends the process.

#![allow(unsafe_code)] // System calls.

use std::io;
use std::mem::MaybeUninit;

/// Starts a thread that is never joined. `stack` is the size of its stack in bytes; `None` takes the
/// default of the standard library.
///
/// # Errors
/// The system has no thread for it, mostly EAGAIN.
pub(crate) fn start_thread(
    name: &str,
    stack: Option<usize>,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let mut thread = std::thread::Builder::new().name(name.into());
    if let Some(bytes) = stack {
        thread = thread.stack_size(bytes);
    }
    // A new thread inherits the mask of the thread that starts it (pthread_create(3)). Were the
    // signals blocked by the new thread, one could arrive before that.
    let _held = Held::hold();
    thread.spawn(work).map(drop)
}

/// While it lives, this thread takes no signals but those of its own faults.
struct Held(libc::sigset_t);

impl Held {
    fn hold() -> Self {
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: sigfillset(3) initialises the set, which sigdelset(3) and pthread_sigmask(3) read;
        // the latter initialises the other one. None of them can fail with these arguments.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            for fault in FAULTS {
                libc::sigdelset(all.as_mut_ptr(), fault);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            Self(before.assume_init())
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: the set that the system gave us.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut())
        };
    }
}

/// Signals that a thread raises by what it executes. POSIX leaves it undefined what happens if they
/// are blocked then (pthread_sigmask, "the result is undefined"), and a callback of the program's
/// may be in a language whose runtime handles them.
const FAULTS: [i32; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];
