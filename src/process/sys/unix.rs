//! Unix: pthread_atfork(3) and pthread_sigmask(3).

use std::mem::MaybeUninit;

/// Has `handler` called in the child of each fork from here on. It may only touch atomics, which is all that
/// is allowed in the child of a process with threads. If there is no memory for it, forks are not noticed.
pub(in crate::process) fn at_fork_in_child(handler: extern "C" fn()) {
    // SAFETY: the handler is a function, which lives for ever; the library is never unloaded (its linker flag
    // `nodelete`).
    unsafe { libc::pthread_atfork(None, None, Some(handler)) };
}

/// While it lives, this thread takes no signals but those of its own faults.
pub(in crate::process) struct BlockedSignals(libc::sigset_t);

impl BlockedSignals {
    pub(in crate::process) fn block() -> Self {
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: sigfillset(3) initialises the set, which sigdelset(3) and pthread_sigmask(3) read; the
        // latter initialises the other one. None of them can fail with these arguments.
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

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: the set that the system gave in `block`.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut())
        };
    }
}

/// Signals that a thread raises by what it executes. POSIX leaves it undefined what happens if they are
/// blocked then (pthread_sigmask, "the result is undefined"), and a callback of the program may be in a
/// language whose runtime handles them.
const FAULTS: [i32; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];
