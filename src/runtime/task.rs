//! What the current task can do, whether it is a fiber or a thread of the caller: wait, let others have
//! their turn, and leave its stack.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

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

/// Whether the task may wait inside of a read, for [`READ_WAIT`] at most: it is a thread, its deadline is far away, and its
/// interrupt check is not to be asked before. What the kernel's timer is late by in so short a time does not matter then.
#[inline]
pub(crate) fn may_wait_in_read(until: WaitUntil) -> bool {
    let is_far = |at: Instant| at.saturating_duration_since(until.now) >= 2 * READ_WAIT;
    until.at.is_none_or(is_far) && fiber::current().is_none() && !thread::asks_within(READ_WAIT)
}

/// After a wait inside of a read that brought nothing: whether the thread's interrupt check wants the call to end.
#[cold]
pub(crate) fn is_interrupted() -> bool {
    thread::wants_an_end()
}

/// How long a wait inside of a read takes at most. poll(2) goes on with it, which is exact.
pub(crate) const READ_WAIT: Duration = Duration::from_millis(50);

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
