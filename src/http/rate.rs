//! The maximum rate of a body: after each piece, when the next one may be moved.
//!
//! A piece is a tenth of a second's bytes at most, so that the rate is kept over any second. The time of a pause belongs to
//! no timeout but the total one, and does not count for the minimum rate. It does not know in which direction the body goes.

use std::time::{Duration, Instant};

use super::exchange::ExchangeShared;
use crate::net::Stop;
use crate::runtime::{WaitFor, WaitUntil, WakeReason, wait};
use crate::timeouts::Deadline;
use crate::vocabulary::Timeout;

/// Threads: one at a time.
#[derive(Debug)]
pub(super) struct RateLimit {
    bytes_per_second: u64,
    /// `None` before the first piece.
    next: Option<Instant>,
}

impl RateLimit {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), next: None }
    }

    /// How large a piece may be.
    pub(super) fn max_piece(&self) -> usize {
        usize::try_from(self.bytes_per_second / 10).unwrap_or(usize::MAX).max(1)
    }

    /// Until when to wait before the next piece; `None` if it may be moved now.
    pub(super) fn pause(&self, now: Instant) -> Option<Instant> {
        self.next.filter(|next| *next > now)
    }

    /// A piece was moved.
    pub(super) fn moved(&mut self, bytes: usize, now: Instant) {
        // What was not used is lost, except for the delay of a pause that ended late.
        let late = now.checked_sub(CATCH_UP).unwrap_or(now);
        let from = self.next.unwrap_or(now).max(late);
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(self.bytes_per_second);
        let took = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.next = from.checked_add(took);
    }
}

impl ExchangeShared {
    /// Waits, without a socket, until that time.
    ///
    /// # Errors
    /// What ended the exchange, or its total timeout.
    #[inline(never)]
    pub(super) fn pause(&self, at: Instant) -> Result<(), Stop> {
        let wake = self.register_wake();
        loop {
            wake.clear();
            self.check()?;
            let now = Instant::now();
            if now >= at {
                return Ok(());
            }
            let own = Deadline { at: Some(at), timeout: Timeout::None };
            let deadline = match self.total_deadline() {
                total if total.at.is_some_and(|total| total < at) => total,
                _ => own,
            };
            let want = WaitFor { fd: None, notify: Some(&wake) };
            match wait(want, WaitUntil::of(deadline, now)).map_err(Stop::Io)? {
                WakeReason::Deadline if deadline.timeout == Timeout::None => return Ok(()),
                WakeReason::Deadline => return Err(Stop::Deadline(deadline.timeout)),
                WakeReason::Interrupted => return Err(Stop::Interrupted),
                WakeReason::Notified | WakeReason::Ready { .. } => {}
            }
        }
    }
}

/// How late a pause may end without lowering the rate.
const CATCH_UP: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_and_time_that_was_not_used_is_lost() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut rate = RateLimit::new(1000);
        assert_eq!(rate.max_piece(), 100);
        assert_eq!(rate.pause(start), None);
        rate.moved(100, start);
        assert_eq!(rate.pause(start), Some(at(100)));
        // It was woken a little late, which does not lower the rate.
        rate.moved(100, at(110));
        assert_eq!(rate.pause(at(110)), Some(at(200)));
        // A second without a byte is no reason for more bytes later.
        rate.moved(100, at(1200));
        assert_eq!(rate.pause(at(1150)), Some(at(1200)));
        rate.moved(100, at(1200));
        assert_eq!(rate.pause(at(1200)), Some(at(1300)));
    }

    #[test]
    fn any_rate_moves_something() {
        let now = Instant::now();
        let mut slow = RateLimit::new(1);
        assert_eq!(slow.max_piece(), 1);
        slow.moved(1, now);
        assert_eq!(slow.pause(now), Some(now + Duration::from_secs(1)));
        let mut fast = RateLimit::new(u64::MAX);
        assert!(fast.max_piece() > 1 << 30);
        fast.moved(usize::MAX, now);
    }
}
