//! How an exchange gets a connection, and how it gives it back: the pool's half of a lease.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::deferred::Aftermath;
use super::state::{Stage, State};
use super::{Checkout, LeaseError, Pool};
use crate::manager::connection::{Connection, Record};
use crate::manager::control::{Cause, Control};
use crate::manager::events::EventKind;
use crate::manager::key::PoolKey;
use crate::net::Stop;
use crate::vocabulary::CloseReason;

/// What became of a dial that is done.
#[derive(Debug)]
pub(crate) enum Dialled {
    /// The connection serves its first exchange.
    Mine(Box<Connection>),
    /// Another one became free first; the dialled one is the pool's.
    Other(Box<Connection>),
}

/// A connection that is dialled for whoever comes, and what ends its dial.
pub(crate) type BackgroundSlot = (Arc<Record>, Arc<Control>);

impl Pool {
    /// A connection of that key, or a slot for one, or a place in the queue.
    pub(crate) fn checkout(
        &self,
        key: &Arc<PoolKey>,
        control: &Arc<Control>,
        fresh: bool,
        now: Instant,
    ) -> Result<Checkout, LeaseError> {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        state.admits(control)?;
        state.expire(now, &mut after);
        let line = state.line_of(key);
        if !fresh && let Some(connection) = state.take_idle(line, now, &mut after) {
            return Ok(Checkout::Open(state.lease(connection, control, &mut after)));
        }
        if !fresh && state.has_dial_ahead(line) {
            state.counters.waited += 1;
            state.promise(line, control);
            state.tell_queued(line, &mut after);
            return Ok(Checkout::Wait { promised: true });
        }
        if state.has_room(line) {
            return Ok(Checkout::Dial(state.begin_dial(line, control, fresh, &mut after)));
        }
        // What is idle for somebody else makes room; that takes as long as to close a socket.
        if !state.make_room(line, &mut after) && state.queued >= state.limits.queue {
            state.counters.refused += 1;
            let queued = state.queued;
            state.tidy(line);
            return Err(LeaseError::QueueFull(queued));
        }
        state.counters.waited += 1;
        state.enqueue(line, control, fresh);
        state.tell_queued(line, &mut after);
        Ok(Checkout::Wait { promised: false })
    }

    /// Somebody has waited long enough for a dial in the background.
    pub(crate) fn stop_waiting_for_dial(&self, control: &Control) {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        state.stop_waiting_for_dial(control, &mut after);
        drop(state);
    }

    /// What somebody who waits was given in the meantime.
    pub(crate) fn poll(&self, control: &Arc<Control>) -> Result<Checkout, LeaseError> {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        if control.cause().is_some() {
            return Err(LeaseError::Stop(Stop::Ended));
        }
        Ok(state.poll(control, &mut after))
    }

    /// Leaves the queue, because the exchange was ended or its time is over. What it was given in
    /// the last moment it still gets, unless it was ended: then somebody else does.
    pub(crate) fn cancel_wait(&self, control: &Arc<Control>, now: Instant) -> Checkout {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        if control.cause().is_none() {
            let answer = state.poll(control, &mut after);
            if !matches!(answer, Checkout::Wait { .. }) {
                return answer;
            }
        }
        state.cancel_wait(control, &mut after);
        state.pass_on(control, now, &mut after);
        Checkout::Wait { promised: false }
    }

    /// The dial is done.
    pub(crate) fn dialled(
        &self,
        connection: Box<Connection>,
        control: &Arc<Control>,
        short: bool,
        now: Instant,
    ) -> Result<Dialled, LeaseError> {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        state.cancel_wait(control, &mut after);
        let id = connection.record.id;
        let Some(entry) = state.entry_of(id, control) else {
            // Closed under us: the cause is there, or we were given another one first.
            state.parted(id, &mut after);
            let given = state.take_given(control, now, &mut after);
            drop(state);
            // First the socket, then the slot.
            connection.record.end();
            return given.map(Dialled::Other).ok_or(LeaseError::Stop(Stop::Ended));
        };
        if control.cause().is_none() && control.connection() == id {
            entry.stage = Stage::InUse(Arc::clone(control));
            connection.record.requests.fetch_add(1, Ordering::Relaxed);
            state.tell(EventKind::Leased, &connection.record, &mut after);
            return Ok(Dialled::Mine(connection));
        }
        // Nobody's from here on: for whoever waits, or idle.
        if short {
            state.fall_with(connection, CloseReason::AskedByRequest, &mut after);
        } else {
            state.offer_dialled(connection, now, &mut after);
        }
        let given = state.take_given(control, now, &mut after);
        given.map(Dialled::Other).ok_or(LeaseError::Stop(Stop::Ended))
    }

    /// The exchange's dial shall go on for `background`. Answers whether it does: not if somebody closed
    /// the connection, or nobody gets one any more.
    pub(crate) fn detach_dial(
        &self,
        id: u64,
        control: &Control,
        background: &Arc<Control>,
    ) -> bool {
        let mut state = self.lock();
        let closed = state.closed.is_some();
        match state.entry_of(id, control) {
            Some(entry) if !closed && entry.record.is_closing().is_none() => {
                entry.stage = Stage::Dialling(Arc::clone(background));
                background.set_connection(id);
                state.is_ahead(id);
                true
            }
            _ => false,
        }
    }

    /// The exchange stops to dial: it was ended, its time is over, the dial failed, or it was given
    /// another connection, which it gets here. Unless the dial was bequeathed its sockets are gone.
    pub(crate) fn stop_dialling(
        &self,
        id: u64,
        control: &Arc<Control>,
        reason: CloseReason,
        now: Instant,
    ) -> Option<Box<Connection>> {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        state.cancel_wait(control, &mut after);
        state.parted(id, &mut after);
        if matches!(state.entry_of(id, control).map(|entry| &entry.stage), Some(Stage::Dialling(_)))
        {
            state.fall(id, reason, &mut after);
        }
        state.take_given(control, now, &mut after)
    }

    /// A dial in the background is done: its connection is for whoever waits, or idle.
    pub(crate) fn background_dialled(
        &self,
        connection: Box<Connection>,
        control: &Control,
        now: Instant,
    ) {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        if state.entry_of(connection.record.id, control).is_some() {
            state.offer_dialled(connection, now, &mut after);
        } else {
            state.parted(connection.record.id, &mut after);
            drop(state);
            // First the socket, then the slot.
            connection.record.end();
        }
    }

    /// Slots for dials that nobody asked for yet: as many as are missing for `wanted` idle
    /// connections, if the limits allow. Nobody is made to wait or to go for them.
    pub(crate) fn reserve_background_dials(
        &self,
        key: &Arc<PoolKey>,
        wanted: usize,
        make: impl Fn() -> Arc<Control>,
    ) -> Result<Vec<BackgroundSlot>, LeaseError> {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        if state.closed.is_some() {
            return Err(LeaseError::ShutDown);
        }
        let line = state.line_of(key);
        let wanted = wanted.min(state.limits.idle_per_origin).min(state.limits.idle_total);
        let missing = wanted.saturating_sub(state.lines[line].idle.len() + state.lines[line].ahead);
        let mut slots = Vec::new();
        while slots.len() < missing && state.has_room(line) {
            let control = make();
            let owner = Arc::clone(&control);
            let record = state.take_slot(line, || Stage::Dialling(owner));
            control.set_connection(record.id);
            state.is_ahead(record.id);
            state.tell(EventKind::Opened, &record, &mut after);
            slots.push((record, control));
        }
        state.tidy(line);
        Ok(slots)
    }

    /// The open connection that an exchange was given turned out to be dead, and was ended. Another
    /// one instead, in the same slot: its place in the queue is not lost.
    pub(crate) fn replace(
        &self,
        id: u64,
        control: &Arc<Control>,
        now: Instant,
    ) -> Result<Checkout, LeaseError> {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        let reason = CloseReason::StaleAtCheckout;
        if state.entry_of(id, control).is_none() {
            return Err(LeaseError::Stop(Stop::Ended));
        }
        let admitted = state.admits(control);
        let Some(entry) = state.remove(id, reason, &mut after) else {
            return Err(LeaseError::Stop(Stop::Ended));
        };
        if let Err(refused) = admitted {
            state.let_fall(entry, &mut after);
            return Err(refused);
        }
        let line = entry.slot.line();
        if let Some(connection) = state.take_idle(line, now, &mut after) {
            state.let_fall(entry, &mut after);
            return Ok(Checkout::Open(state.lease(connection, control, &mut after)));
        }
        let record = Record::new(Arc::clone(&state.lines[line].key));
        state.enter(&record, Stage::Dialling(Arc::clone(control)), entry.slot);
        control.set_connection(record.id);
        state.would_take(line, control, record.id);
        state.tell(EventKind::Opened, &record, &mut after);
        Ok(Checkout::Dial(record))
    }

    /// Takes a connection back after an exchange that ended well. The exchange is over when this
    /// returns `true`; `false` means that somebody ended it first.
    pub(crate) fn give_back(
        &self,
        connection: Box<Connection>,
        control: &Arc<Control>,
        now: Instant,
    ) -> bool {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        // Settled under the lock: from here on nobody can end this exchange, and its connection
        // is somebody else's.
        if state.entry_of(connection.record.id, control).is_none()
            || !control.try_finish(Cause::Done)
        {
            drop(state);
            connection.record.end();
            return false;
        }
        state.offer(connection, now, &mut after);
        true
    }

    /// Closes the connection of an exchange, for the exchange's own reason.
    pub(crate) fn close_lease(&self, id: u64, control: &Control, reason: CloseReason) {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        state.parted(id, &mut after);
        if state.entry_of(id, control).is_some() {
            state.fall(id, reason, &mut after);
        }
        drop(state);
    }

    /// Ends the connection that an exchange uses, because the exchange was ended from outside. One
    /// that still waits or dials sees to that itself, as soon as it is woken.
    pub(crate) fn end_lease(&self, control: &Control, reason: CloseReason) {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        // Not before: it may be given its connection just now, by somebody who saw no cause yet.
        let id = control.connection();
        if matches!(state.entry_of(id, control).map(|entry| &entry.stage), Some(Stage::InUse(_))) {
            state.fall(id, reason, &mut after);
        }
        drop(state);
    }

    /// A slot is free again: its socket is gone.
    pub(super) fn release(&self, line: usize) {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        state.release(line, &mut after);
        drop(state);
    }
}

impl State {
    /// An open connection becomes an exchange's.
    fn lease(
        &mut self,
        connection: Box<Connection>,
        control: &Arc<Control>,
        after: &mut Aftermath,
    ) -> Box<Connection> {
        let id = connection.record.id;
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.stage = Stage::InUse(Arc::clone(control));
        }
        connection.record.requests.fetch_add(1, Ordering::Relaxed);
        control.set_connection(id);
        self.counters.reused += 1;
        self.tell(EventKind::Leased, &connection.record, after);
        connection
    }

    fn begin_dial(
        &mut self,
        line: usize,
        control: &Arc<Control>,
        fresh: bool,
        after: &mut Aftermath,
    ) -> Arc<Record> {
        let record = self.take_slot(line, || Stage::Dialling(Arc::clone(control)));
        control.set_connection(record.id);
        if !fresh {
            self.would_take(line, control, record.id);
        }
        self.tell(EventKind::Opened, &record, after);
        record
    }

    /// [`offer`](Self::offer) for a connection that was dialled for whoever comes.
    fn offer_dialled(&mut self, connection: Box<Connection>, now: Instant, after: &mut Aftermath) {
        let Some(entry) = self.entries.get_mut(&connection.record.id) else { return };
        let (line, was_ahead) = (entry.slot.line(), std::mem::take(&mut entry.ahead));
        entry.stage = Stage::Looked;
        self.offer(connection, now, after);
        if was_ahead {
            // Somebody who was not promised it may have it now.
            self.came_to_nothing(line, after);
        }
    }

    /// The connection that somebody who dials was given meanwhile.
    fn take_given(
        &mut self,
        control: &Arc<Control>,
        now: Instant,
        after: &mut Aftermath,
    ) -> Option<Box<Connection>> {
        if control.cause().is_some() {
            self.pass_on(control, now, after);
            return None;
        }
        match self.poll(control, after) {
            Checkout::Open(connection) => Some(connection),
            _ => None,
        }
    }

    /// What somebody was given and has not fetched is for others: the exchange was ended.
    fn pass_on(&mut self, control: &Control, now: Instant, after: &mut Aftermath) {
        let id = control.connection();
        let Some(entry) = self.entry_of(id, control) else { return };
        match std::mem::replace(&mut entry.stage, Stage::Looked) {
            Stage::Granted { connection, .. } => self.offer(connection, now, after),
            stage => {
                let unused = matches!(stage, Stage::Reserved(_));
                entry.stage = stage;
                if unused {
                    self.fall(id, CloseReason::Cancelled, after);
                }
            }
        }
    }

    fn poll(&mut self, control: &Arc<Control>, after: &mut Aftermath) -> Checkout {
        let Some(entry) = self.entry_of(control.connection(), control) else {
            return Checkout::Wait { promised: false };
        };
        match std::mem::replace(&mut entry.stage, Stage::Looked) {
            Stage::Granted { connection, .. } => {
                Checkout::Open(self.lease(connection, control, after))
            }
            Stage::Reserved(owner) => {
                entry.stage = Stage::Dialling(owner);
                let record = Arc::clone(&entry.record);
                self.counters.opened += 1;
                self.tell(EventKind::Opened, &record, after);
                Checkout::Dial(record)
            }
            stage => {
                entry.stage = stage;
                Checkout::Wait { promised: false }
            }
        }
    }
}
