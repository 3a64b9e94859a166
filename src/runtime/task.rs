//! What the current task can do, whether it is a fiber or a thread of the caller: wait, let others have
//! their turn, and leave its stack.

use std::io;
use std::sync::Arc;

use super::interest::Interest;
use super::notify::Notify;
use super::source::Source;
use super::wait_for::{PollEntry, WaitFor, WaitUntil, WakeReason};
use super::{fiber, thread};

/// Waits, as a thread or as a fiber.
pub(crate) fn wait(want: WaitFor<'_>, until: WaitUntil) -> io::Result<WakeReason> {
    match fiber::current() {
        None => thread::wait(want, until),
        Some(fiber) => fiber.wait(want, until),
    }
}

/// Waits for any of several descriptors, or for the notification. [`WakeReason::Ready`] means that at least one
/// is ready; `ready` of each entry says which. For a dial that tries several addresses at once; for one
/// descriptor [`wait`] costs less.
pub(crate) fn wait_any(
    fds: &mut [PollEntry<'_>],
    notify: &Notify,
    until: WaitUntil,
) -> io::Result<WakeReason> {
    match fiber::current() {
        None => thread::wait_any(fds, notify, until),
        Some(fiber) => fiber.wait_any(fds, notify, until),
    }
}

/// Waits for a descriptor.
pub(crate) fn wait_fd(
    source: &Arc<Source>,
    interest: Interest,
    until: WaitUntil,
) -> io::Result<WakeReason> {
    wait(WaitFor { fd: Some((source, interest)), notify: None }, until)
}

/// Calls on the thread's stack, and not on a fiber's, which may be too small for it. The call must not wait:
/// there it is no fiber, and would block the I/O thread.
pub(crate) fn on_thread_stack<T>(call: impl FnOnce() -> T) -> T {
    match fiber::current() {
        None => call(),
        Some(fiber) => fiber.on_thread_stack(call),
    }
}

/// Gives the memory of a fiber's stack that deep calls touched, and that is not in use now, back to the system.
/// For after such calls, where a long wait may follow. It costs a system call.
pub(crate) fn trim_stack() {
    if let Some(fiber) = fiber::current() {
        fiber.trim();
    }
}

/// To be called after each step of work that did not wait: lets other fibers of the thread have their turn, every
/// few steps.
pub(crate) fn yield_if_due() {
    if let Some(fiber) = fiber::current() {
        fiber.yield_if_due();
    }
}

/// Whether the interrupt check of the current thread wants an end, for work that does not wait. It is asked no
/// more often than its tick. On a fiber it is `false`: there the thread that waits for the fiber asks its check.
pub(crate) fn work_is_interrupted() -> bool {
    thread::has_check() && fiber::current().is_none() && thread::wants_an_end_by_now()
}
