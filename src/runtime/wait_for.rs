//! What a wait is for, until when, and why it ended.

use std::sync::Arc;
use std::time::Instant;

use super::interest::Interest;
use super::notify::Notify;
use super::source::Source;
use super::sys::PollSlot;
use crate::timeouts::Deadline;
use crate::vocabulary::Timeout;

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
    /// Set by the wait: whether this one is ready, or has failed.
    pub(crate) ready: bool,
    /// Set by the wait: whether the kernel reports an error or the end of it.
    pub(crate) broken: bool,
}

impl<'a> PollEntry<'a> {
    pub(crate) fn new(source: &'a Arc<Source>, interest: Interest) -> Self {
        Self { source, interest, ready: false, broken: false }
    }

    /// What poll(2) answered.
    pub(super) fn answered(&mut self, slot: &PollSlot) {
        (self.ready, self.broken) = (slot.is_ready(), slot.is_broken());
    }

    pub(super) fn slot(&self) -> PollSlot {
        PollSlot::new(self.source.descriptor(), self.interest)
    }
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
    /// The thread's interrupt check wants the call to end, mostly because of a signal.
    Interrupted,
}

/// When a wait must be over, and what time it was when that was decided. The clock is not read again for
/// that: on some machines it costs as much as a small system call.
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
