//! The timeouts of a request. Pure arithmetic: time is passed in.
//!
//! There are three kinds of them, which are never mixed: the request's deadline (`total`), the timeouts of its
//! phases, and those of an idle connection, which are limits of the manager and not here.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::vocabulary::{Kind, Timeout};

/// The timeouts of one request. Threads: a value.
///
/// Defaults never hang for ever: resolve, connect and tls 10 s each, pool 30 s, write, head and
/// read 60 s each; total none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    limits: [Option<Duration>; SETTABLE],
    /// The slowest body that is accepted: bytes per second over a window of waiting.
    pub(crate) min_rate: Option<(u64, Duration)>,
}

/// Timeouts of a request that override its client's. Threads: a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overrides {
    /// One of the limits was set.
    has_limits: bool,
    limits: [Option<Option<Duration>>; SETTABLE],
    pub(crate) min_rate: Option<(u64, Duration)>,
}

/// The moment a wait ends, and the timeout that ends it. Threads: a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    /// When; `None` is never.
    pub(crate) at: Option<Instant>,
    /// Which timeout that is.
    pub(crate) timeout: Timeout,
}

/// [`Timeout::None`] to [`Timeout::Read`]; the first place stays empty.
const SETTABLE: usize = Timeout::Read as usize + 1;

impl Default for Timeouts {
    fn default() -> Self {
        let s = |seconds| Some(Duration::from_secs(seconds));
        //       none, total, pool, resolve, connect, tls, write, head, read
        let limits = [None, None, s(30), s(10), s(10), s(10), s(60), s(60), s(60)];
        Self { limits, min_rate: None }
    }
}

impl Timeouts {
    /// Sets a timeout that can be set; `None` is no timeout.
    pub(crate) fn set(&mut self, timeout: Timeout, limit: Option<Duration>) {
        if timeout.can_be_set() {
            self.limits[timeout as usize] = limit;
        }
    }

    /// One timeout; `None` is none.
    pub(crate) fn get(&self, timeout: Timeout) -> Option<Duration> {
        self.limits.get(timeout as usize).copied().flatten()
    }

    pub(crate) fn with(mut self, over: &Overrides) -> Self {
        if over.has_limits {
            for (mine, theirs) in self.limits.iter_mut().zip(&over.limits) {
                if let Some(limit) = theirs {
                    *mine = *limit;
                }
            }
        }
        self.min_rate = over.min_rate.or(self.min_rate);
        self
    }
}

impl Overrides {
    /// Whether it overrides nothing.
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_limits && self.min_rate.is_none()
    }

    pub(crate) fn set(&mut self, timeout: Timeout, limit: Option<Duration>) {
        if timeout.can_be_set() {
            self.has_limits = true;
            self.limits[timeout as usize] = Some(limit);
        }
    }
}

impl Deadline {
    /// No deadline.
    pub(crate) const NEVER: Self = Self { at: None, timeout: Timeout::None };

    /// `limit` after `start`. A time that [`Instant`] can't hold is no deadline.
    pub(crate) fn after(start: Instant, limit: Option<Duration>, timeout: Timeout) -> Self {
        let at = limit.and_then(|limit| start.checked_add(limit));
        Self { at, timeout: if at.is_some() { timeout } else { Timeout::None } }
    }

    /// The earlier of two; the first one if they are equal.
    #[must_use]
    pub(crate) fn or(self, other: Self) -> Self {
        match (self.at, other.at) {
            (Some(a), Some(b)) if b < a => other,
            (None, Some(_)) => other,
            _ => self,
        }
    }
}

/// Refuses a timeout that can't be set.
pub(crate) fn check_can_be_set(which: Timeout) -> Result<(), Error> {
    if which.can_be_set() {
        return Ok(());
    }
    Err(Error::new(Kind::InvalidArgument, format!("the timeout {which} can't be set")))
}

/// Refuses a limit of zero.
pub(crate) fn not_zero(limit: Option<Duration>) -> Result<Option<Duration>, Error> {
    if limit == Some(Duration::ZERO) {
        let what = "a timeout of zero is refused: give a positive time, or None for no limit";
        return Err(Error::new(Kind::InvalidTimeout, what));
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_refused_with_a_message_that_names_the_way_out() {
        let error = not_zero(Some(Duration::ZERO)).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidTimeout);
        assert!(error.message().contains("None for no limit"));
        assert_eq!(not_zero(None).unwrap(), None);
    }

    #[test]
    fn the_earlier_deadline_wins_and_says_which_it_is() {
        let now = Instant::now();
        let soon = Deadline::after(now, Some(Duration::from_millis(1)), Timeout::Head);
        let late = Deadline::after(now, Some(Duration::from_secs(1)), Timeout::Total);
        assert_eq!(late.or(soon).timeout, Timeout::Head);
        assert_eq!(soon.or(late).timeout, Timeout::Head);
        let never = Deadline::NEVER;
        assert_eq!(never.or(late).timeout, Timeout::Total);
    }

    #[test]
    fn a_huge_limit_is_no_limit() {
        let never = Deadline::after(Instant::now(), Some(Duration::MAX), Timeout::Total);
        assert_eq!(never, Deadline::NEVER);
    }

    #[test]
    fn a_request_overrides_each_timeout_of_its_client() {
        let mut over = Overrides::default();
        over.set(Timeout::Head, None);
        over.set(Timeout::Total, Some(Duration::from_secs(1)));
        let both = Timeouts::default().with(&over);
        assert_eq!(both.get(Timeout::Head), None);
        assert_eq!(both.get(Timeout::Total), Some(Duration::from_secs(1)));
        assert_eq!(both.get(Timeout::Read), Some(Duration::from_secs(60)));
    }
}
