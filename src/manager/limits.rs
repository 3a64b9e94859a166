//! The bounds and the counters of a manager.

use std::time::Duration;

use crate::error::Error;
use crate::vocabulary::Kind;

/// The bounds of a manager, changeable while it runs. Threads: a value.
///
/// A count of `usize::MAX` is no limit.
///
/// ```
/// let limits = hangup::Limits { total: 100, per_origin: 10, ..hangup::Limits::default() };
/// assert!(limits.check().is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections in all: being dialled, in use and idle. Default: no limit. At the limit the
    /// least recently used idle connection makes room; without one, requests queue.
    pub total: usize,
    /// Open connections of one origin, counted as `total` is. Default: no limit.
    pub per_origin: usize,
    /// Idle connections in all. Default 256.
    pub idle_total: usize,
    /// Idle connections of one origin. Default 64.
    pub idle_per_origin: usize,
    /// Requests that may wait for a connection; one more is refused at once. Default 10,000; with 0
    /// no request waits.
    pub queue: usize,
    /// How long a connection may be idle; `None` is without limit. Default 90 s. `Keep-Alive: timeout=N` in a
    /// response (RFC 9112 section C.2.2) shortens it for its connection to N seconds less one, or to half of N if N
    /// is less than 2.
    pub idle_for: Option<Duration>,
    /// How old a connection may become; each one gets up to a tenth less, so that those that were
    /// opened together don't close together. It is closed between exchanges, never inside one.
    /// Default `None`: no limit.
    pub max_age: Option<Duration>,
    /// How many requests a connection may serve. Default `None`: no limit.
    pub max_requests: Option<u64>,
    /// After how much silence the kernel probes whether the peer is still there (SO_KEEPALIVE,
    /// tcp(7)), for connections that are opened from now on; `None` is never. Default 15 s. The probes
    /// are 3 s apart, or as far apart as that silence is long if it is shorter, and three that are not
    /// answered end the connection: after 24 s by default. TCP counts in whole seconds, and at least one.
    ///
    /// An idle connection that does not answer is not used: it is closed with
    /// [`CloseReason::PeerSilent`](crate::CloseReason::PeerSilent) before a request is sent on it. On a connection of
    /// [`ConnectionMode::CloseAfter`](crate::ConnectionMode::CloseAfter) this is set in the first wait of
    /// more than a second.
    pub keep_alive: Option<Duration>,
}

/// Counters of a manager. Threads: a value.
///
/// `dialling`, `in_use`, `idle` and `queued` are numbers of the moment; the others count from the
/// beginning. All are taken in one step: `opened` is always `closed` plus what is open.
///
/// ```
/// let manager = hangup::Manager::new(hangup::Limits::default());
/// let stats = manager.stats();
/// assert_eq!((stats.dialling, stats.in_use, stats.idle), (0, 0, 0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Being dialled.
    pub dialling: u64,
    /// Serving an exchange.
    pub in_use: u64,
    /// Idle.
    pub idle: u64,
    /// Requests waiting for a connection.
    pub queued: u64,
    /// Opened.
    pub opened: u64,
    /// Closed, for any reason.
    pub closed: u64,
    /// Requests that were given an open connection.
    pub reused: u64,
    /// Dials that did not become a connection.
    pub dials_failed: u64,
    /// Idle connections that the check at checkout found unusable: closed by the peer, with unexpected data, or silent.
    pub stale: u64,
    /// Idle connections that the sweep found closed by the peer, with unexpected data, or silent.
    pub swept: u64,
    /// Requests that had to wait for a connection.
    pub waited: u64,
    /// Requests that were refused because the queue was full.
    pub refused: u64,
    /// Requests that were sent again.
    pub retried: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total: usize::MAX,
            per_origin: usize::MAX,
            idle_total: 256,
            idle_per_origin: 64,
            queue: 10_000,
            idle_for: Some(Duration::from_secs(90)),
            max_age: None,
            max_requests: None,
            keep_alive: Some(Duration::from_secs(15)),
        }
    }
}

impl Limits {
    /// Checks that a manager can work with these. Limits under which no request could be sent are
    /// refused. So are times of zero, which means "no limit" in other libraries.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for 0 in `total`, `per_origin` or `max_requests`;
    /// [`Kind::InvalidTimeout`] for zero in `idle_for`, `max_age` or `keep_alive`.
    pub fn check(&self) -> Result<(), Error> {
        for (count, what) in [(self.total, "in all"), (self.per_origin, "of one origin")] {
            if count == 0 {
                let what = format!(
                    "a limit of 0 connections {what} would let no request pass: to end a manager, \
                     shut it down or drain it"
                );
                return Err(Error::new(Kind::InvalidArgument, what));
            }
        }
        if self.max_requests == Some(0) {
            let what = "a connection that may serve 0 requests is of no use: give 1 or more, \
                        or None for no limit";
            return Err(Error::new(Kind::InvalidArgument, what));
        }
        let times = [
            (self.idle_for, "idle", "to keep no idle connection, limit their number to 0"),
            (self.max_age, "old", "for one request a connection, limit its requests to 1"),
            (self.keep_alive, "silent before it is probed", "give at least 1 ms"),
        ];
        for (time, what, instead) in times {
            if time.is_some_and(|time| time.is_zero()) {
                let what = format!(
                    "a limit of 0 ms for how long a connection is {what} is refused: set no limit instead; \
                     {instead}"
                );
                return Err(Error::new(Kind::InvalidTimeout, what));
            }
        }
        Ok(())
    }

    /// How old the connection with that id may become: up to a tenth less than `max_age`, depending on
    /// its id.
    pub(super) fn age_of(&self, id: u64) -> Option<Duration> {
        let age = self.max_age?;
        // Consecutive ids land far apart (the golden ratio, Knuth, TAOCP 6.4).
        let spread = u32::try_from(id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54).unwrap_or(0);
        Some(age - (age / 10240) * spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_no_request_can_pass_are_refused_with_advice() {
        let (none, zero) = (Limits::default(), Some(Duration::ZERO));
        assert!(none.check().is_ok());
        for (limits, kind, word) in [
            (Limits { total: 0, ..none }, Kind::InvalidArgument, "drain"),
            (Limits { per_origin: 0, ..none }, Kind::InvalidArgument, "shut it down"),
            (Limits { max_requests: Some(0), ..none }, Kind::InvalidArgument, "1 or more"),
            (Limits { idle_for: zero, ..none }, Kind::InvalidTimeout, "limit their number to 0"),
            (Limits { max_age: zero, ..none }, Kind::InvalidTimeout, "no limit"),
            (Limits { keep_alive: zero, ..none }, Kind::InvalidTimeout, "1 ms"),
        ] {
            let error = limits.check().unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(error.message().contains(word), "{}", error.message());
        }
        let strict = Limits { queue: 0, idle_total: 0, idle_per_origin: 0, ..none };
        assert!(strict.check().is_ok(), "no waiter and no idle connection is legal");
    }

    #[test]
    fn connections_of_one_age_are_not_closed_together() {
        let age = Duration::from_secs(100);
        let limits = Limits { max_age: Some(age), ..Limits::default() };
        let mut ages: Vec<_> = (1..=100).map(|id| limits.age_of(id).unwrap()).collect();
        assert!(ages.iter().all(|one| *one <= age && *one >= age * 9 / 10));
        ages.sort_unstable();
        ages.dedup();
        assert!(ages.len() > 90);
        assert_eq!(Limits::default().age_of(1), None);
    }
}
