//! How an exchange gets a connection and gives it back: the pool's part of a lease.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::deferred::Deferred;
use super::entry::Stage;
use super::expiry::idle_expired;
use super::lock::Pool;
use super::lru::IdleRow;
use super::state::State;
use crate::manager::connection::{Connection, Record};
use crate::manager::control::{Cause, Control, EndLease};
use crate::manager::event_log::EventKind;
use crate::manager::key::PoolKey;
use crate::net::Stop;
use crate::runtime::{has_several_loops, loop_here};
use crate::vocabulary::{CloseReason, Timeout};

/// What an exchange gets that asks for a connection.
#[derive(Debug)]
pub(crate) enum Checkout {
    /// An open connection, which the exchange owns from now on.
    Open(Box<Connection>),
    /// A slot: the exchange dials.
    Dial(Arc<Record>),
    /// Nothing yet: the exchange waits until its control is woken, and then polls. If `promised`, it
    /// waits for a background dial, and calls [`Pool::stop_waiting_for_dial`] if that takes too long.
    Wait { promised: bool },
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum LeaseError {
    ShutDown,
    /// The limit of waiters is reached; so many wait.
    QueueFull(usize),
    /// There was no free local port for another connection until the end of the wait, which that timeout set.
    NoPort(Timeout),
    /// The wait or the dial stopped. After [`Stop::Ended`] the control has the cause.
    Stop(Stop),
}

impl From<Stop> for LeaseError {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl Pool {
    /// An idle connection of that key, a slot for a new one, or a place among the waiters.
    pub(crate) fn checkout(
        &self,
        key: &Arc<PoolKey>,
        control: &Arc<Control>,
        fresh: bool,
        now: Instant,
    ) -> Result<Checkout, LeaseError> {
        self.with_state(|state, deferred| {
            state.check_open(control)?;
            state.close_idle_too_long(now, deferred);
            let key_id = state.key_id_of(key);
            if !fresh
                && let Some(connection) = state.lease_newest_idle(key_id, control, now, deferred)
            {
                return Ok(Checkout::Open(connection));
            }
            if !fresh && state.has_unclaimed_dial(key_id) {
                state.counters.waited += 1;
                state.promise(key_id, control);
                state.record_queued(key_id, deferred);
                return Ok(Checkout::Wait { promised: true });
            }
            if state.has_room(key_id) {
                return Ok(Checkout::Dial(state.begin_dial(key_id, control, fresh, deferred)));
            }
            // An idle connection of another key makes room; its slot is free after its socket was
            // closed, and until then the exchange waits.
            if !state.make_room(key_id, deferred) && state.queued >= state.limits.queue {
                state.counters.refused += 1;
                let queued = state.queued;
                state.remove_key_if_unused(key_id);
                return Err(LeaseError::QueueFull(queued));
            }
            state.counters.waited += 1;
            state.enqueue(key_id, control, fresh);
            state.record_queued(key_id, deferred);
            Ok(Checkout::Wait { promised: false })
        })
    }

    /// What the waiter of an exchange was given meanwhile.
    pub(crate) fn poll(&self, control: &Arc<Control>) -> Result<Checkout, LeaseError> {
        self.with_state(|state, deferred| {
            if control.cause().is_some() {
                return Err(LeaseError::Stop(Stop::Ended));
            }
            Ok(state.poll(control, deferred))
        })
    }

    /// The background dial that was promised takes too long: the exchange waits for a slot as well.
    pub(crate) fn stop_waiting_for_dial(&self, control: &Control) {
        self.with_state(|state, deferred| state.stop_waiting_for_dial(control, deferred));
    }

    /// Stops waiting, because the exchange was ended or its time is over. If it was given something
    /// in the last moment, it still gets that, unless it was ended: then another waiter does.
    pub(crate) fn cancel_wait(&self, control: &Arc<Control>, now: Instant) -> Checkout {
        self.with_state(|state, deferred| {
            if control.cause().is_none() {
                let checkout = state.poll(control, deferred);
                if !matches!(checkout, Checkout::Wait { .. }) {
                    return checkout;
                }
            }
            state.cancel_wait(control, deferred);
            state.return_granted(control, now, deferred);
            Checkout::Wait { promised: false }
        })
    }

    /// The idle connection that an exchange was given turned out to be dead, for that reason, and its
    /// socket was ended. Returns another one, or a dial in the same slot: the exchange keeps its turn.
    pub(crate) fn replace(
        &self,
        id: u64,
        control: &Arc<Control>,
        reason: CloseReason,
        now: Instant,
    ) -> Result<Checkout, LeaseError> {
        self.with_state(|state, deferred| {
            if state.entry_of(id, control).is_none() {
                return Err(LeaseError::Stop(Stop::Ended));
            }
            let open = state.check_open(control);
            let entry = state.unlink(id, reason, deferred);
            let Some(entry) = entry else { return Err(LeaseError::Stop(Stop::Ended)) };
            state.counters.stale += 1;
            state.counters.reused -= 1;
            if let Err(refused) = open {
                state.close_later(entry, deferred);
                return Err(refused);
            }
            let key_id = entry.slot.key_id();
            if let Some(connection) = state.lease_newest_idle(key_id, control, now, deferred) {
                state.close_later(entry, deferred);
                return Ok(Checkout::Open(connection));
            }
            let record = state.new_record(key_id);
            state.insert(&record, Stage::Dialling(Arc::clone(control)), entry.slot);
            control.set_connection(record.id);
            state.register_dialling(key_id, control, record.id);
            state.record_event(EventKind::Opened, &record, deferred);
            Ok(Checkout::Dial(record))
        })
    }

    /// Takes a connection back after an exchange that ended well, and finishes that exchange;
    /// `false` if another cause ended it first, and the connection is closed.
    pub(crate) fn give_back(
        &self,
        connection: Box<Connection>,
        control: &Arc<Control>,
        now: Instant,
    ) -> bool {
        let lost = self.with_state(|state, deferred| {
            // Finished under the lock: no cause can end the exchange after its connection was given
            // to another one.
            let entry = state.entry_of(connection.record.id, control);
            let Some(key_id) = entry.map(|entry| entry.slot.key_id()) else {
                return Some(connection);
            };
            if !control.try_finish(Cause::Done) {
                return Some(connection);
            }
            state.offer(connection, key_id, now, deferred);
            None
        });
        if let Some(connection) = &lost {
            connection.record.end();
        }
        lost.is_none()
    }

    /// Closes the connection of an exchange, for the exchange's own reason.
    pub(crate) fn close_lease(&self, id: u64, control: &Control, reason: CloseReason) {
        self.with_state(|state, deferred| {
            state.dial_released(id, deferred);
            if state.entry_of(id, control).is_some() {
                state.remove(id, reason, deferred);
            }
        });
    }
}

impl Pool {
    /// Before the connection of an exchange is closed by a deadline from outside: its error tells what TCP knew.
    #[cold]
    fn keep_tcp_info(&self, control: &Control) {
        let record = self.with_state(|state, _| {
            let entry = state.entry_of(control.connection(), control)?;
            Some(Arc::clone(&entry.record))
        });
        // Without the lock: the system is asked.
        if let Some(record) = record {
            record.keep_tcp_info();
        }
    }
}

impl EndLease for Pool {
    /// An exchange that still waits or dials closes that itself, as soon as it is woken.
    fn end_lease(&self, control: &Control, reason: CloseReason) {
        if reason == CloseReason::TimedOut {
            self.keep_tcp_info(control);
        }
        self.with_state(|state, deferred| {
            // Read under the lock: another thread may give the exchange its connection just now,
            // having seen no cause yet.
            let id = control.connection();
            let entry = state.entry_of(id, control);
            if entry.is_some_and(|entry| matches!(entry.stage(), Stage::InUse(_))) {
                state.remove(id, reason, deferred);
            }
        });
    }
}

impl State {
    /// Whether that exchange can be given a connection at all.
    fn check_open(&self, control: &Control) -> Result<(), LeaseError> {
        if control.cause().is_some() {
            return Err(LeaseError::Stop(Stop::Ended));
        }
        if self.closed.is_some() { Err(LeaseError::ShutDown) } else { Ok(()) }
    }

    /// Gives an open connection to an exchange.
    fn lease(
        &mut self,
        connection: Box<Connection>,
        control: &Arc<Control>,
        deferred: &mut Deferred,
    ) -> Box<Connection> {
        if let Some(mut entry) = self.entries.get_mut(connection.record.id) {
            entry.set_stage(Stage::InUse(Arc::clone(control)));
        }
        self.leased(&connection, control, deferred);
        connection
    }

    /// Gives the most recently used idle connection of a key to an exchange. Closes those that have expired.
    fn lease_newest_idle(
        &mut self,
        key_id: usize,
        control: &Arc<Control>,
        now: Instant,
        deferred: &mut Deferred,
    ) -> Option<Box<Connection>> {
        loop {
            let newest = *self.keys[key_id].idle.newest()?;
            let near = if has_several_loops() { self.near_idle(key_id) } else { None };
            let IdleRow { id, seq, since } = near.unwrap_or(newest);
            let mut entry = self.entries.get_mut(id)?;
            if let Some(reason) = idle_expired(&self.limits, &entry.record, since, now) {
                self.remove(id, reason, deferred);
                continue;
            }
            let mut connection = entry.take_idle(Stage::InUse(Arc::clone(control)))?;
            self.remove_idle_row(key_id, seq);
            connection.was_idle(since, now);
            self.leased(&connection, control, deferred);
            return Some(connection);
        }
    }

    /// One of the most recently used idle connections, which the event loop of this thread used last: for another one
    /// the loop has to register it, which takes two system calls. `None` if this is no fiber, too.
    #[cold]
    fn near_idle(&self, key_id: usize) -> Option<IdleRow> {
        let here = loop_here()?;
        let newest = self.keys[key_id].idle.newest_first().take(NEAR);
        let near = newest.filter(|row| {
            let stage = self.entries.get(row.id).map(|entry| entry.stage());
            matches!(stage, Some(Stage::Idle { connection, .. }) if connection.stream.is_at(here))
        });
        near.copied().next()
    }

    /// An exchange has got an open connection.
    fn leased(&mut self, connection: &Connection, control: &Control, deferred: &mut Deferred) {
        connection.record.requests.fetch_add(1, Ordering::Relaxed);
        control.set_connection(connection.record.id);
        self.counters.reused += 1;
        self.record_event(EventKind::Leased, &connection.record, deferred);
    }

    fn begin_dial(
        &mut self,
        key_id: usize,
        control: &Arc<Control>,
        fresh: bool,
        deferred: &mut Deferred,
    ) -> Arc<Record> {
        let record = self.take_slot(key_id, || Stage::Dialling(Arc::clone(control)));
        control.set_connection(record.id);
        if !fresh {
            self.register_dialling(key_id, control, record.id);
        }
        self.record_event(EventKind::Opened, &record, deferred);
        record
    }

    /// Takes what was granted to an exchange.
    pub(super) fn poll(&mut self, control: &Arc<Control>, deferred: &mut Deferred) -> Checkout {
        let Some(mut entry) = self.entry_of(control.connection(), control) else {
            return Checkout::Wait { promised: false };
        };
        match entry.set_stage(Stage::Taken) {
            Stage::Granted { connection, .. } => {
                Checkout::Open(self.lease(connection, control, deferred))
            }
            Stage::Reserved(owner) => {
                entry.set_stage(Stage::Dialling(owner));
                let record = Arc::clone(&entry.record);
                self.counters.opened += 1;
                self.record_event(EventKind::Opened, &record, deferred);
                Checkout::Dial(record)
            }
            stage => {
                entry.set_stage(stage);
                Checkout::Wait { promised: false }
            }
        }
    }

    /// Gives to others what was granted to an exchange that was ended, or whose time is over.
    pub(super) fn return_granted(
        &mut self,
        control: &Control,
        now: Instant,
        deferred: &mut Deferred,
    ) {
        let id = control.connection();
        let Some(mut entry) = self.entry_of(id, control) else { return };
        let key_id = entry.slot.key_id();
        match entry.set_stage(Stage::Taken) {
            Stage::Granted { connection, .. } => self.offer(connection, key_id, now, deferred),
            stage => {
                let unused = matches!(stage, Stage::Reserved(_));
                entry.set_stage(stage);
                if unused {
                    self.remove(id, CloseReason::Cancelled, deferred);
                }
            }
        }
    }
}

/// Among how many of the newest idle connections one of the own event loop is looked for.
const NEAR: usize = 8;
