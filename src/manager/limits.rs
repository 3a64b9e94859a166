//! The bounds and the counters of a manager.

use std::time::Duration;

/// The bounds of a manager, changeable while it runs. Threads: a value.
///
/// A count of `usize::MAX` is no limit.
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
    /// Requests that may wait for a connection; one more is refused at once. Default 10,000; 0: nobody waits.
    pub queue: usize,
    /// How long a connection may be idle; `None` is for ever. Default 90 s.
    pub idle_for: Option<Duration>,
    /// How old a connection may become; each one gets up to a tenth less, so that those that were
    /// opened together don't close together. It is closed between exchanges, never inside one.
    /// Default `None`: as old as it likes.
    pub max_age: Option<Duration>,
    /// How many requests a connection may serve; `None` is any number, the default.
    pub max_requests: Option<u64>,
    /// After how much silence the kernel probes whether the peer is still there (SO_KEEPALIVE,
    /// tcp(7)), for connections that are opened from now on; `None` is never. Default 15 s.
    pub keep_alive: Option<Duration>,
}

/// Counters of a manager. Threads: a value.
///
/// `dialling`, `in_use`, `idle` and `queued` are of now, the others since the beginning. They are
/// taken in one step: `opened` is always `closed` and what is open now.
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
    /// Closed, for whatever reason.
    pub closed: u64,
    /// Requests that were given an open connection.
    pub reused: u64,
    /// Dials that did not become a connection.
    pub dials_failed: u64,
    /// Idle connections that the look at checkout found dead.
    pub stale: u64,
    /// Idle connections that the sweep found closed by the peer, or talking.
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
    /// How old the connection with that id may become: up to a tenth less than `max_age`, spread by
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
