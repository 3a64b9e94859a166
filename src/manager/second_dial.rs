//! A second connection to the same place, dialled in the background while an exchange waits on its own one: if it
//! connects, the network is not away.
//!
//! It is a connection as any other: the limits count it, and it is kept for the next request. The exchange that has
//! begun it only learns how it ended.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use crate::runtime::Notify;
use crate::sync::lock;

/// How the second dial went. Threads: any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DialOutcome {
    Running,
    Connected,
    Failed,
}

/// What the exchange has of the dial that it has begun. Its drop leaves the dial alone. Threads: one at a time.
#[derive(Debug)]
pub(crate) struct SecondDial(Arc<Shared>);

/// What the dial has of the exchange: its drop says that the dial failed, unless it was said that it connected.
#[derive(Debug)]
pub(super) struct DialReport(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    outcome: AtomicU8,
    /// How long the peer took to accept it, if it did.
    accepted_in: OnceLock<Duration>,
    /// Set when the outcome is known.
    waiting: Mutex<Weak<Notify>>,
}

impl SecondDial {
    /// Both ends. The notification is set when the outcome is known.
    pub(super) fn new(notify: &Arc<Notify>) -> (Self, DialReport) {
        let shared = Arc::new(Shared {
            outcome: AtomicU8::new(DialOutcome::Running as u8),
            accepted_in: OnceLock::new(),
            waiting: Mutex::new(Arc::downgrade(notify)),
        });
        (Self(Arc::clone(&shared)), DialReport(shared))
    }

    pub(crate) fn outcome(&self) -> DialOutcome {
        match self.0.outcome.load(Ordering::SeqCst) {
            CONNECTED => DialOutcome::Connected,
            FAILED => DialOutcome::Failed,
            _ => DialOutcome::Running,
        }
    }

    /// How long the peer, or the proxy, took to accept the connection, without the handshakes on it; 0 before that.
    pub(crate) fn accepted_in(&self) -> Duration {
        self.0.accepted_in.get().copied().unwrap_or_default()
    }
}

impl Drop for SecondDial {
    /// The task waits for other things from here on.
    fn drop(&mut self) {
        *lock(&self.0.waiting) = Weak::new();
    }
}

impl DialReport {
    /// The peer has accepted the connection after that time; the handshakes come next.
    pub(super) fn accepted(&self, after: Duration) {
        let _ = self.0.accepted_in.set(after);
    }

    /// The connection is in the pool.
    pub(super) fn connected(&self) {
        self.tell(CONNECTED);
    }

    fn tell(&self, outcome: u8) {
        let first = self.0.outcome.compare_exchange(
            DialOutcome::Running as u8,
            outcome,
            Ordering::SeqCst,
            Ordering::SeqCst,
        );
        if first.is_ok()
            && let Some(notify) = lock(&self.0.waiting).upgrade()
        {
            notify.set();
        }
    }
}

impl Drop for DialReport {
    fn drop(&mut self) {
        self.tell(FAILED);
    }
}

const CONNECTED: u8 = DialOutcome::Connected as u8;
const FAILED: u8 = DialOutcome::Failed as u8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dial_that_is_dropped_has_failed_and_the_first_outcome_counts() {
        let notify = Arc::new(Notify::new().unwrap());
        let (dial, report) = SecondDial::new(&notify);
        assert_eq!(dial.outcome(), DialOutcome::Running);
        assert!(!notify.is_set());
        drop(report);
        assert_eq!(dial.outcome(), DialOutcome::Failed);
        assert!(notify.is_set());
        notify.clear();
        let (dial, report) = SecondDial::new(&notify);
        assert_eq!(dial.accepted_in(), Duration::ZERO);
        report.accepted(Duration::from_millis(20));
        report.connected();
        drop(report);
        assert_eq!(dial.outcome(), DialOutcome::Connected);
        assert_eq!(dial.accepted_in(), Duration::from_millis(20));
        notify.clear();
        let (dial, report) = SecondDial::new(&notify);
        drop(dial);
        report.connected();
        assert!(!notify.is_set(), "the task waits for other things");
    }
}
