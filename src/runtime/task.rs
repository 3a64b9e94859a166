//! What the current task can do, whether it is a fiber or a thread of the caller: wait, let others have
//! their turn, and leave its stack.

use std::io;
use std::sync::Arc;

use super::interest::Interest;
use super::notify::Notify;
use super::source::Source;
use super::wait_for::{PollEntry, WaitFor, WaitUntil, WakeReason};
use super::{fiber, thread};

/// Waits in the way of the current task.
pub(crate) fn wait(want: WaitFor<'_>, until: WaitUntil) -> io::Result<WakeReason> {
    match fiber::current() {
        None => thread::wait(want, until),
        Some(fiber) => fiber.wait(want, until),
    }
}

/// Waits for any of several descriptors in the way of the current task: for a dial that tries
/// several addresses at once. All else has one descriptor, and [`wait`] is the cheaper way.
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

/// Calls somebody else's code: not on a fiber's stack, which may be too small for it.
pub(crate) fn on_thread_stack<T>(call: impl FnOnce() -> T) -> T {
    match fiber::current() {
        None => call(),
        Some(fiber) => fiber.on_thread_stack(call),
    }
}

/// Deep calls are done with, and a wait may follow: a task that has a stack of its own gives the
/// memory back that it needed for them.
pub(crate) fn trim_stack() {
    if let Some(fiber) = fiber::current() {
        fiber.trim();
    }
}

/// A step of work is done without a wait: others that share the thread may want their turn.
pub(crate) fn yield_if_due() {
    if let Some(fiber) = fiber::current() {
        fiber.yield_if_due();
    }
}

/// Whether the interrupt check of the current task's thread wants an end, for work that does not
/// wait: asked at its tick. A fiber's check is asked by the thread that waits for it.
pub(crate) fn work_is_interrupted() -> bool {
    thread::has_check() && fiber::current().is_none() && thread::wants_an_end_by_now()
}
