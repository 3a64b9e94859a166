//! The manager's events: the subscribers, and what is recorded. Without a subscriber nothing is
//! recorded.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::deferred::Deferred;
use super::lock::Pool;
use super::state::State;
use crate::manager::connection::Record;
use crate::manager::event_log::{EventKind, EventLog, LoggedEvent, Subscriber};
use crate::manager::key::PoolKey;
use crate::vocabulary::{Phase, RetryReason};

impl Pool {
    /// Adds a subscriber; returns the number of the first event that is for it.
    pub(in crate::manager) fn subscribe(
        &self,
        subscriber: &Arc<Subscriber>,
        capacity: usize,
    ) -> u64 {
        self.with_state(|state, _| {
            let log = state.event_log.get_or_insert_with(|| Box::new(EventLog::new()));
            let next = log.subscribe(subscriber, capacity);
            self.has_subscribers.store(true, Ordering::Relaxed);
            next
        })
    }

    pub(in crate::manager) fn unsubscribe(&self, subscriber: &Arc<Subscriber>) {
        self.with_state(|state, _| {
            if state.event_log.as_mut().is_some_and(|log| log.unsubscribe(subscriber)) {
                state.event_log = None;
                self.has_subscribers.store(false, Ordering::Relaxed);
            }
        });
    }

    /// The event with that number, see [`EventLog::read`].
    pub(in crate::manager) fn read_event(&self, number: u64) -> Option<(u64, LoggedEvent, bool)> {
        self.with_state(|state, _| state.event_log.as_ref()?.read(number))
    }

    /// Whether events are recorded. An exchange asks this before it measures its phases.
    pub(crate) fn has_subscribers(&self) -> bool {
        self.has_subscribers.load(Ordering::Relaxed)
    }

    /// Counts a request that is sent again.
    #[cold]
    pub(crate) fn note_retry(
        &self,
        connection: u64,
        key: &Arc<PoolKey>,
        reason: RetryReason,
        delay: Duration,
    ) {
        self.with_state(|state, deferred| {
            state.counters.retried += 1;
            let what = EventKind::Retried(reason, delay);
            state.record_event_of(what, connection, Some(key), deferred);
        });
    }

    /// Records that entries of the environment's `no_proxy` were passed over.
    #[cold]
    pub(crate) fn note_no_proxy_ignored(&self, key: &Arc<PoolKey>) {
        self.with_state(|state, deferred| {
            state.record_event_of(EventKind::NoProxyIgnored, 0, Some(key), deferred);
        });
    }

    /// Records how long the phases of an exchange took.
    pub(crate) fn note_phases(
        &self,
        connection: u64,
        key: &Arc<PoolKey>,
        phases: &[(Phase, Duration)],
    ) {
        self.with_state(|state, deferred| {
            for (phase, took) in phases {
                let what = EventKind::Phase(*phase, *took);
                state.record_event_of(what, connection, Some(key), deferred);
            }
        });
    }
}

impl State {
    /// Records an event of a connection.
    pub(super) fn record_event(
        &mut self,
        what: EventKind,
        record: &Record,
        deferred: &mut Deferred,
    ) {
        self.record_event_of(what, record.id, Some(&record.key), deferred);
    }

    /// Records that a request of that key waits.
    pub(super) fn record_queued(&mut self, key_id: usize, deferred: &mut Deferred) {
        let key = Arc::clone(&self.keys[key_id].key);
        self.record_event_of(EventKind::Queued, 0, Some(&key), deferred);
    }

    /// Records an event that need not concern a connection or an origin.
    pub(super) fn record_event_of(
        &mut self,
        what: EventKind,
        id: u64,
        key: Option<&Arc<PoolKey>>,
        deferred: &mut Deferred,
    ) {
        if let Some(log) = &mut self.event_log {
            log.record(what, id, key, &mut deferred.work().to_notify);
        }
    }
}
