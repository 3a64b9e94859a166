//! The library's own threads: the one place where they are started.
//!
//! None of them takes a signal of the program. A signal that is sent to a process goes to any thread that
//! does not block it (signal(7)). If a program blocks one in its own threads, to wait for it with sigwait(3)
//! or signalfd(2), it would be delivered to a thread of the library, where its default action ends the
//! process.

use std::io;

use super::sys::BlockedSignals;

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
    let _blocked = BlockedSignals::block();
    thread.spawn(work).map(drop)
}
