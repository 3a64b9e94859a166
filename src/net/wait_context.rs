//! How the steps of a dial wait: for a socket, and beside it for a notification that the dial shall stop.
//!
//! Knows nothing of what is dialled.

use std::time::Instant;

use super::Stop;
use super::socket::InUse;
use crate::runtime::{Interest, Notify, WaitFor, WaitUntil, WakeReason, wait};
use crate::timeouts::Deadline;

/// The bounds of one phase's waits. Threads: one at a time.
pub(super) struct WaitContext<'a> {
    pub(super) deadline: Deadline,
    pub(super) event: &'a Notify,
    /// Asked after each wake-up by the event.
    pub(super) must_stop: &'a dyn Fn() -> bool,
}

impl WaitContext<'_> {
    /// Waits until the socket is ready.
    pub(super) fn ready(&self, socket: &InUse<'_>, interest: Interest) -> Result<(), Stop> {
        loop {
            let want = WaitFor { fd: Some((socket.source(), interest)), notify: Some(self.event) };
            match wait(want, self.until()).map_err(Stop::Io)? {
                WakeReason::Ready { .. } => return Ok(()),
                reason => self.check(reason)?,
            }
        }
    }

    /// Waits for the event alone.
    pub(super) fn wait_for_event(&self) -> Result<(), Stop> {
        let want = WaitFor { fd: None, notify: Some(self.event) };
        self.check(wait(want, self.until()).map_err(Stop::Io)?)
    }

    /// [`wait_for_event`](Self::wait_for_event), or until that time.
    pub(super) fn wait_for_event_by(&self, by: Instant) -> Result<(), Stop> {
        if self.deadline.at.is_some_and(|deadline| deadline <= by) {
            return self.wait_for_event();
        }
        let want = WaitFor { fd: None, notify: Some(self.event) };
        match wait(want, WaitUntil::new(Some(by))).map_err(Stop::Io)? {
            WakeReason::Deadline => Ok(()),
            reason => self.check(reason),
        }
    }

    fn until(&self) -> WaitUntil {
        WaitUntil::of(self.deadline, Instant::now())
    }

    /// Whether to go on waiting after a wake-up.
    pub(super) fn check(&self, reason: WakeReason) -> Result<(), Stop> {
        match reason {
            WakeReason::Ready { .. } => Ok(()),
            WakeReason::Deadline => Err(Stop::Deadline(self.deadline.timeout)),
            WakeReason::Interrupted => Err(Stop::Interrupted),
            WakeReason::Notified => {
                // Cleared before the question: what happens after the question sets it again.
                self.event.clear();
                if (self.must_stop)() { Err(Stop::Ended) } else { Ok(()) }
            }
        }
    }
}
