//! Connections that come back, and idle ones: which waiter gets them, and which are closed.

use std::time::{Duration, Instant};

use super::deferred::Deferred;
use super::entry::Stage;
use super::expiry::expired;
use super::lru::IdleRow;
use super::state::State;
use super::waiters::NextWaiter;
use crate::manager::connection::{Connection, Record};
use crate::manager::event_log::EventKind;
use crate::manager::limits::Limits;
use crate::vocabulary::CloseReason;

impl State {
    /// A connection is free: gives it to a waiter, makes it idle, or closes it.
    pub(super) fn offer(
        &mut self,
        connection: Box<Connection>,
        key_id: usize,
        now: Instant,
        deferred: &mut Deferred,
    ) {
        let Some(connection) = self.offer_to_waiters(connection, key_id, now, deferred) else {
            return;
        };
        self.record_event(EventKind::Returned, &connection.record, deferred);
        let seq = self.next_seq;
        self.next_seq += 1;
        self.make_idle(connection, (now, seq), key_id, now, deferred);
    }

    /// [`offer`](Self::offer) after a probe: no exchange used the connection, so it keeps its place
    /// among the idle ones.
    pub(super) fn put_back(
        &mut self,
        connection: Box<Connection>,
        place: (Instant, u64),
        now: Instant,
        deferred: &mut Deferred,
    ) {
        let Some(mut entry) = self.entries.get_mut(connection.record.id) else { return };
        let key_id = entry.slot.key_id();
        entry.set_stage(Stage::Taken);
        if let Some(connection) = self.offer_to_waiters(connection, key_id, now, deferred) {
            self.make_idle(connection, place, key_id, now, deferred);
        }
    }

    /// Gives a connection to a waiter or closes it. Returns it if it can stay and no waiter takes it.
    fn offer_to_waiters(
        &mut self,
        connection: Box<Connection>,
        key_id: usize,
        now: Instant,
        deferred: &mut Deferred,
    ) -> Option<Box<Connection>> {
        if let Some(reason) = self.must_close(&connection.record, key_id, now) {
            self.close_returned(connection, reason, deferred);
            return None;
        }
        match self.next_waiter(key_id) {
            NextWaiter::Reuses(ticket) => self.grant(ticket, connection, deferred),
            NextWaiter::NeedsSlot => {
                self.close_returned(connection, CloseReason::PoolFull, deferred);
            }
            NextWaiter::None => return Some(connection),
        }
        None
    }

    /// Why a connection can't serve another exchange, if it can't.
    fn must_close(&self, record: &Record, key_id: usize, now: Instant) -> Option<CloseReason> {
        let limits = &self.limits;
        if let Some(reason) = record.close_reason() {
            return Some(reason);
        }
        if self.closed.is_some() {
            return Some(CloseReason::ManagerShutDown);
        }
        if let Some(reason) = expired(limits, record, now) {
            return Some(reason);
        }
        // The limits may have been lowered while it was in use.
        let origin = &self.origins[self.keys[key_id].origin_id];
        let too_many = origin.staying() > limits.per_origin || self.staying() > limits.total;
        too_many.then_some(CloseReason::PoolFull)
    }

    fn make_idle(
        &mut self,
        connection: Box<Connection>,
        (since, seq): (Instant, u64),
        key_id: usize,
        now: Instant,
        deferred: &mut Deferred,
    ) {
        let Limits { idle_total, idle_per_origin, .. } = self.limits;
        if idle_total == 0 || idle_per_origin == 0 {
            return self.close_returned(connection, CloseReason::PoolFull, deferred);
        }
        let id = connection.record.id;
        let Some(mut entry) = self.entries.get_mut(id) else { return };
        entry.set_stage(Stage::Idle { connection, since, seq });
        let origin_id = self.keys[key_id].origin_id;
        self.keys[key_id].idle.add(IdleRow { id, seq, since });
        self.idle.add(IdleRow { id, seq, since });
        self.origins[origin_id].idle += 1;
        if self.origins[origin_id].idle > idle_per_origin {
            self.evict_from_origin(origin_id, deferred);
        }
        if self.idle.len() > idle_total {
            self.evict(deferred);
        }
        self.schedule_sweep(now, deferred);
    }

    /// Takes an idle connection out of the lists of idle ones, for the sweep.
    pub(super) fn take_to_probe(&mut self, id: u64, seq: u64) -> Option<Box<Connection>> {
        let mut entry = self.entries.get_mut(id)?;
        if !matches!(entry.stage(), Stage::Idle { seq: current, .. } if *current == seq) {
            return None;
        }
        let key_id = entry.slot.key_id();
        let connection = entry.take_idle(Stage::Probed)?;
        self.remove_idle_row(key_id, seq);
        Some(connection)
    }

    /// A connection is not idle any more.
    #[inline]
    pub(super) fn remove_idle_row(&mut self, key_id: usize, seq: u64) {
        let key = &mut self.keys[key_id];
        key.idle.remove(seq);
        self.origins[key.origin_id].idle -= 1;
        self.idle.remove(seq);
    }

    /// Closes the least recently used idle connection of an origin; `false` if there is none.
    pub(super) fn evict_from_origin(&mut self, origin_id: usize, deferred: &mut Deferred) -> bool {
        let key_ids = self.origins[origin_id].key_ids.iter();
        let oldest = key_ids.filter_map(|key_id| self.keys[*key_id].idle.oldest());
        let oldest = oldest.min_by_key(|row| row.seq).map(|row| row.id);
        oldest.map(|id| self.remove(id, CloseReason::PoolFull, deferred)).is_some()
    }

    /// Closes the least recently used idle connection of all; `false` if there is none.
    pub(super) fn evict(&mut self, deferred: &mut Deferred) -> bool {
        let oldest = self.idle.oldest().map(|row| row.id);
        oldest.map(|id| self.remove(id, CloseReason::PoolFull, deferred)).is_some()
    }

    /// Since when a connection is idle, if it is and has that sequence number.
    pub(super) fn idle_since(&self, id: u64, seq: u64) -> Option<Instant> {
        match self.entries.get(id)?.stage() {
            Stage::Idle { since, seq: current, .. } if *current == seq => Some(*since),
            _ => None,
        }
    }

    /// Schedules a sweep early enough for a connection that became idle now.
    pub(super) fn schedule_sweep(&mut self, now: Instant, deferred: &mut Deferred) {
        let wait = self.limits.idle_for.map_or(SWEEP_INTERVAL, |most| most.min(SWEEP_INTERVAL));
        let at = now + wait;
        // A sweep that is long overdue got no thread.
        if self.sweep_at.is_none_or(|planned| at < planned || planned + SWEEP_INTERVAL < now) {
            self.sweep_at = Some(at);
            deferred.work().sweep = Some((self.swept.clone(), at));
        }
    }

    /// When the sweep that has just ended must run again; `None` if nothing is idle.
    pub(super) fn next_sweep(&mut self, now: Instant) -> Option<Instant> {
        let latest = now + SWEEP_INTERVAL;
        let due = |row: &IdleRow| self.limits.idle_for.and_then(|most| row.since.checked_add(most));
        let next = |row: &IdleRow| due(row).map_or(latest, |due| due.min(latest));
        self.sweep_at = self.idle.oldest().map(next);
        self.sweep_at
    }
}

/// How often the idle connections are swept.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);
