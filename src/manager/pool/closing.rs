//! Closes from outside an exchange: of some connections, of the idle ones, and of the whole pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::deferred::Deferred;
use super::lock::Pool;
use super::state::{Closed, State};
use crate::manager::connection::Record;
use crate::manager::control::Cause;
use crate::runtime::Notify;
use crate::vocabulary::{CloseMode, CloseReason};

impl Pool {
    /// Closes the connections that `matches` picks. Returns how many were closed or, gracefully,
    /// marked.
    pub(crate) fn close(
        &self,
        how: CloseMode,
        cause: Cause,
        matches: impl Fn(&Record) -> bool,
    ) -> usize {
        self.with_state(|state, deferred| {
            let matching = state.connections().filter(|entry| matches(&entry.record));
            let mut ids: Vec<u64> = matching.map(|entry| entry.record.id).collect();
            // Mostly in the order in which they became idle: then each is the first row of the lists.
            ids.sort_unstable();
            state.close_all(&ids, how, cause, deferred);
            ids.len()
        })
    }

    /// Closes one connection; `false` if none with that id is open.
    pub(crate) fn close_one(&self, id: u64, how: CloseMode) -> bool {
        self.with_state(|state, deferred| {
            let found = state.entries.get(id).is_some_and(|entry| !entry.stage().is_reserved());
            if found {
                state.close_all(&[id], how, Cause::ClosedById, deferred);
            }
            found
        })
    }

    /// Closes the connections that have been idle for at least `idle_for`; returns how many.
    pub(crate) fn close_idle(
        &self,
        idle_for: Duration,
        reason: CloseReason,
        now: Instant,
    ) -> usize {
        self.with_state(|state, deferred| {
            let rows = state.idle.iter_from(0);
            let old = rows.filter(|row| now.saturating_duration_since(row.since) >= idle_for);
            let ids: Vec<u64> = old.map(|row| row.id).collect();
            for id in &ids {
                state.remove(*id, reason, deferred);
            }
            ids.len()
        })
    }

    /// Gives no new leases, ends the waits, closes the idle connections, and lets the exchanges in
    /// progress finish. Returns whether nothing is open; otherwise `empty` is set when that is so.
    pub(crate) fn drain(&self, empty: &Arc<Notify>) -> bool {
        self.with_state(|state, deferred| {
            self.refuse_leases(state, Closed::Draining, deferred);
            let ids: Vec<u64> = state.entries.ids().collect();
            state.close_all(&ids, CloseMode::Graceful, Cause::ShutDown, deferred);
            let is_empty = state.open == 0;
            if !is_empty {
                state.drains.push(Arc::clone(empty));
            }
            is_empty
        })
    }

    /// Forgets a drain's notification; returns how many connections are open.
    pub(crate) fn stop_waiting_for_drain(&self, empty: &Arc<Notify>) -> usize {
        self.with_state(|state, _| {
            state.drains.retain(|other| !Arc::ptr_eq(other, empty));
            state.open
        })
    }

    /// Gives no new leases, and closes everything now.
    pub(crate) fn shut_down(&self) {
        self.with_state(|state, deferred| {
            self.refuse_leases(state, Closed::ShutDown, deferred);
            let ids: Vec<u64> = state.entries.ids().collect();
            state.close_all(&ids, CloseMode::Now, Cause::ShutDown, deferred);
        });
    }

    /// Gives no new leases, and ends the exchanges that wait.
    fn refuse_leases(&self, state: &mut State, how: Closed, deferred: &mut Deferred) {
        if state.closed != Some(Closed::ShutDown) {
            state.closed = Some(how);
            self.publish_closed(how);
        }
        state.end_pauses(deferred);
        for waiter in state.waiters.values() {
            // An exchange that dials is in progress, and a drain lets it finish.
            let in_progress = waiter.dial.is_some() && how == Closed::Draining;
            if !in_progress && waiter.control.try_finish(Cause::ShutDown) {
                deferred.work().to_wake.push(Arc::clone(&waiter.control));
            }
        }
    }
}
