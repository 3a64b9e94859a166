//! Waiting: the one place where anything blocks.
//!
//! A task waits for a descriptor to be ready, for an [`Notify`] to be set, or for a deadline.
//! How it waits is the [`Waiter`]'s business: [`thread`] blocks the caller's own thread in
//! poll(2); [`fiber`] parks a coroutine, so that its [`event_loop`] runs others meanwhile. The code
//! above is the same and does not know. Work that can't wait in that way, or takes long, is done
//! [`run_on_worker`].
//!
//! ```text
//!   engine      a job is given to one of the I/O threads
//!     io_thread   runs an event loop, or lets a guest run it (lead)
//!       event_loop  fibers that are due, descriptors that are ready (epoll), timers
//!         fiber       a job on a stack of its own, and how it waits
//!     reactor     what others know of an event loop: wake-ups, jobs
//!   source      a descriptor, and what is known of it between two waits
//!   event       what others set; wakeup is how a thread in poll(2) hears of it
//! ```
//!
//! Knows nothing of HTTP, connections or cancelling: whoever cancels sets the event or shuts
//! the socket down, and the wait ends because what it waited for has happened.

mod engine;
mod event_loop;
mod fiber;
mod handoff;
mod io_thread;
mod notify;
mod oneshot;
mod reactor;
mod readiness;
mod sleep_flag;
mod source;
mod spawner;
mod stackful;
mod thread;
mod timers;
mod wakeup;
mod worker;
mod worker_pool;

use std::io;
use std::sync::Arc;
use std::time::Instant;

pub(crate) use engine::Engine;
pub(crate) use io_thread::{Driver, was_interrupted};
pub(crate) use notify::{Notify, close_unused_wakeups};
pub(crate) use oneshot::Oneshot;
pub(crate) use source::Source;
pub(crate) use spawner::Spawner;
pub(crate) use thread::{InterruptCheck, readable_now, ready_now, set_interrupt_check};
pub(crate) use worker::{
    NotDone, is_on_fiber, run_on_own_worker, run_on_worker, run_on_worker_soon,
};
pub(crate) use worker_pool::{THREAD_PATIENCE, WorkerPool, no_thread};

use crate::timeouts::Deadline;
use crate::vocabulary::Timeout;

/// What a descriptor shall be ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
    Either,
}

/// What to wait for; at least one of the two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitFor<'a> {
    pub(crate) fd: Option<(&'a Arc<Source>, Interest)>,
    pub(crate) notify: Option<&'a Notify>,
}

/// One of several descriptors to wait for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PollEntry<'a> {
    pub(crate) source: &'a Arc<Source>,
    pub(crate) interest: Interest,
    /// The wait's answer: whether this one is ready, also for having failed.
    pub(crate) ready: bool,
}

/// Why a wait ended. Errors and hang-ups of a descriptor count as ready for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WakeReason {
    Ready {
        read: bool,
        write: bool,
    },
    Notified,
    Deadline,
    /// The thread's interrupt check said so: a signal that wants the call to end.
    Interrupted,
}

/// When a wait must be over, and what time it was when that was decided. Looking at the clock
/// costs as much as a small system call on some machines, so whoever has just looked says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitUntil {
    pub(crate) at: Option<Instant>,
    pub(crate) now: Instant,
    /// Which timeout this is; it is only passed through, for the error.
    pub(crate) timeout: Timeout,
}

impl WaitUntil {
    pub(crate) fn new(at: Option<Instant>) -> Self {
        Self { at, now: Instant::now(), timeout: Timeout::None }
    }

    pub(crate) fn of(deadline: Deadline, now: Instant) -> Self {
        Self { at: deadline.at, now, timeout: deadline.timeout }
    }

    pub(crate) fn deadline(self) -> Deadline {
        Deadline { at: self.at, timeout: self.timeout }
    }

    /// Time has passed: for the next wait with the same deadline.
    #[must_use]
    pub(crate) fn later(self) -> Self {
        Self { now: Instant::now(), ..self }
    }

    pub(crate) fn has_come(self) -> bool {
        self.at.is_some_and(|at| at <= self.now)
    }
}

/// A way to wait.
pub(crate) trait Waiter {
    fn wait(&self, want: WaitFor<'_>, until: WaitUntil) -> io::Result<WakeReason>;

    /// Waits for any of several descriptors, or for the event. [`WakeReason::Ready`] says that at least
    /// one is; which ones is written into them.
    fn wait_any(
        &self,
        fds: &mut [PollEntry<'_>],
        notify: &Notify,
        until: WaitUntil,
    ) -> io::Result<WakeReason>;
}

/// Waits in the way of the current task.
pub(crate) fn wait(want: WaitFor<'_>, until: WaitUntil) -> io::Result<WakeReason> {
    match fiber::current() {
        None => thread::ThreadWaiter.wait(want, until),
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
        None => thread::ThreadWaiter.wait_any(fds, notify, until),
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

/// Somebody who is told that there is something, by a system call or worse.
pub(crate) trait WakeTarget: Send + Sync {
    fn ring(&self);
}

impl std::fmt::Debug for dyn WakeTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ring")
    }
}

/// Rings: right here; on an I/O thread after its next few turns, so that what they bring is told
/// by one ring.
pub(crate) fn wake_deferred(waker: Arc<dyn WakeTarget>) {
    if let Some(waker) = event_loop::defer_wake(waker) {
        waker.ring();
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
