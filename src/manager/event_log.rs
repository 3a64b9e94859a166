//! The log behind a manager's events: a bounded ring that is there only while it has subscribers.
//!
//! Events are recorded where they happen, under the pool's lock, so their order is the true one;
//! subscribers are notified after the lock was released. A subscriber that is too slow loses the
//! oldest events.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::key::PoolKey;
use crate::runtime::Notify;
use crate::vocabulary::{CloseReason, EventType, Phase, RetryReason};

/// What can happen.
///
/// ```
/// let kind = hangup::EventKind::Closed(hangup::CloseReason::IdleTooLong);
/// assert_eq!(kind.name(), "closed");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A dial began.
    Opened,
    /// A connection began to serve an exchange.
    Leased,
    /// A connection came back from an exchange, or from a background dial, and is idle.
    Returned,
    /// A connection was closed.
    Closed(CloseReason),
    /// A request began to wait for a connection. It has none yet, so the id is 0.
    Queued,
    /// A request is sent again: why, and after which delay. The connection is that of the last attempt, or 0.
    Retried(RetryReason, Duration),
    /// A phase of an exchange on this connection, and how long it took. The phases of an exchange
    /// are recorded together when it is over, which may be after its connection was returned or
    /// closed.
    Phase(Phase, Duration),
    /// Entries of the environment's `no_proxy` are not understood and are passed over:
    /// [`Client::ignored_no_proxy`](crate::Client::ignored_no_proxy) returns them. Recorded once for a client, by
    /// its first request while there is a subscription; the origin is that request's, and the id is 0.
    NoProxyIgnored,
    /// A request on this connection waits, and bytes of it have not been acknowledged for longer than lost
    /// packets explain. `Probed` follows, at once or as soon as the limits leave room for a second connection; `Lost` or
    /// `Recovered` ends it, or `Closed`, if a timeout or a cancel ends the request before that.
    Suspected,
    /// After `Suspected`: a second connection to the same origin is being opened, to find out whether the network or this
    /// connection is gone. That one has an id and events of its own. If it can't be made, the network is away, and
    /// `Probed` comes again after a pause, which grows up to 16 s.
    Probed,
    /// After `Probed`: the second connection was made, and the bytes were still not acknowledged. `Closed` follows, with
    /// [`CloseReason::PeerSilent`], also for idle connections of the origin that have been idle since then; the request is
    /// sent again (`Retried`) or fails with [`Kind::PeerSilent`](crate::Kind::PeerSilent).
    Lost,
    /// After `Suspected` or `Probed`: the bytes were acknowledged, or an answer came, and the exchange goes on. The second
    /// connection, if it is made, becomes idle.
    Recovered,
    /// The network of the machine changed, as the system said
    /// ([`Manager::set_network_watch`](crate::Manager::set_network_watch)) or the program did
    /// ([`Manager::network_changed`](crate::Manager::network_changed)): addresses that were looked up are forgotten.
    /// The connections that are closed for it have events of their own. The id is 0, and the origin is empty.
    NetworkChanged,
}

/// The events that are kept, and their subscribers. Threads: one at a time, under the pool's lock.
#[derive(Debug)]
pub(super) struct EventLog {
    rows: VecDeque<LoggedEvent>,
    /// The number of the first row.
    first: u64,
    capacity: usize,
    subscribers: Vec<Arc<Subscriber>>,
    start: Instant,
}

#[derive(Clone, Debug)]
pub(super) struct LoggedEvent {
    /// Since the log began.
    pub(super) at: Duration,
    pub(super) kind: EventKind,
    pub(super) connection: u64,
    pub(super) key: Option<Arc<PoolKey>>,
}

/// What the log knows of a subscriber. Threads: any.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) notify: Arc<Notify>,
    /// `notify` is set or about to be: setting it again would be a needless system call.
    pub(super) is_notified: AtomicBool,
    /// The subscriber shall not wait any more.
    pub(super) is_closed: AtomicBool,
}

impl EventLog {
    pub(super) fn new() -> Self {
        Self {
            rows: VecDeque::new(),
            first: 1,
            capacity: 0,
            subscribers: Vec::new(),
            start: Instant::now(),
        }
    }

    /// Adds a subscriber; returns the number of the first event that is for it. All subscribers
    /// share one ring, of the largest capacity that one of them asked for.
    pub(super) fn subscribe(&mut self, subscriber: &Arc<Subscriber>, capacity: usize) -> u64 {
        self.capacity = self.capacity.max(capacity);
        self.subscribers.push(Arc::clone(subscriber));
        self.first + self.rows.len() as u64
    }

    /// Removes a subscriber; returns whether it was the last one.
    pub(super) fn unsubscribe(&mut self, subscriber: &Arc<Subscriber>) -> bool {
        self.subscribers.retain(|other| !Arc::ptr_eq(other, subscriber));
        self.subscribers.is_empty()
    }

    /// Appends an event, and adds to `to_notify` the subscribers that are not notified yet.
    pub(super) fn record(
        &mut self,
        kind: EventKind,
        connection: u64,
        key: Option<&Arc<PoolKey>>,
        to_notify: &mut Vec<Arc<Notify>>,
    ) {
        if self.rows.len() == self.capacity {
            self.rows.pop_front();
            self.first += 1;
        }
        let at = self.start.elapsed();
        self.rows.push_back(LoggedEvent { at, kind, connection, key: key.map(Arc::clone) });
        for subscriber in &self.subscribers {
            if !subscriber.is_notified.swap(true, Ordering::SeqCst) {
                to_notify.push(Arc::clone(&subscriber.notify));
            }
        }
    }

    /// The event with that number, or the oldest one that is left; its number, and whether there
    /// are more.
    pub(super) fn read(&self, number: u64) -> Option<(u64, LoggedEvent, bool)> {
        let number = number.max(self.first);
        let index = usize::try_from(number - self.first).ok()?;
        self.rows.get(index).map(|row| (number, row.clone(), index + 1 < self.rows.len()))
    }
}

impl EventKind {
    /// Its name, for example "leased".
    pub fn name(self) -> &'static str {
        self.event_type().name()
    }

    /// The same without its details.
    pub(crate) fn event_type(self) -> EventType {
        match self {
            Self::Opened => EventType::Opened,
            Self::Leased => EventType::Leased,
            Self::Returned => EventType::Returned,
            Self::Closed(_) => EventType::Closed,
            Self::Queued => EventType::Queued,
            Self::Retried(..) => EventType::Retried,
            Self::Phase(..) => EventType::Phase,
            Self::NoProxyIgnored => EventType::NoProxyIgnored,
            Self::Suspected => EventType::Suspected,
            Self::Probed => EventType::Probed,
            Self::Lost => EventType::Lost,
            Self::Recovered => EventType::Recovered,
            Self::NetworkChanged => EventType::NetworkChanged,
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
