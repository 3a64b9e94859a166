//! Dials: how one that is done enters the pool, and how one goes on without its exchange.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::checkout::{Checkout, LeaseError};
use super::deferred::Deferred;
use super::entry::Stage;
use super::lock::Pool;
use super::state::State;
use crate::manager::connection::{Connection, Record};
use crate::manager::control::Control;
use crate::manager::event_log::EventKind;
use crate::manager::key::PoolKey;
use crate::net::Stop;
use crate::vocabulary::CloseReason;

/// Which connection an exchange gets when its dial is done.
#[derive(Debug)]
pub(crate) enum Dialled {
    /// The dialled one.
    Mine(Box<Connection>),
    /// Another one, which became free first; the dialled one belongs to the pool.
    Other(Box<Connection>),
}

/// A connection that is dialled in the background, and the control that ends its dial.
pub(crate) type BackgroundSlot = (Arc<Record>, Arc<Control>);

impl Pool {
    /// The dial of an exchange is done. `short`: the connection serves this exchange only, and is
    /// closed if the exchange does not need it.
    pub(crate) fn dialled(
        &self,
        connection: Box<Connection>,
        control: &Arc<Control>,
        short: bool,
        now: Instant,
    ) -> Result<Dialled, LeaseError> {
        self.with_state(|state, deferred| {
            state.cancel_wait(control, deferred);
            let id = connection.record.id;
            let Some(mut entry) = state.entry_of(id, control) else {
                // The dial was closed. Either that ended the exchange, or the exchange was granted
                // another connection before.
                deferred.work().closed_meanwhile.push(*connection);
                state.dial_released(id, deferred);
                let granted = state.take_granted(control, now, deferred);
                return granted.map(Dialled::Other).ok_or(LeaseError::Stop(Stop::Ended));
            };
            if control.cause().is_none() && control.connection() == id {
                entry.set_stage(Stage::InUse(Arc::clone(control)));
                connection.record.requests.fetch_add(1, Ordering::Relaxed);
                state.record_event(EventKind::Leased, &connection.record, deferred);
                return Ok(Dialled::Mine(connection));
            }
            // The exchange does not need it any more.
            if short {
                state.close_returned(connection, CloseReason::AskedByRequest, deferred);
            } else {
                state.offer_dialled(connection, now, deferred);
            }
            let granted = state.take_granted(control, now, deferred);
            granted.map(Dialled::Other).ok_or(LeaseError::Stop(Stop::Ended))
        })
    }

    /// Has the dial of an exchange go on under the control `background`; `false` if the connection
    /// was closed, or the pool gives no connections any more.
    pub(crate) fn detach_dial(
        &self,
        id: u64,
        control: &Control,
        background: &Arc<Control>,
    ) -> bool {
        self.with_state(|state, _| {
            let closed = state.closed.is_some();
            match state.entry_of(id, control) {
                Some(mut entry) if !closed && entry.record.close_reason().is_none() => {
                    entry.set_stage(Stage::Dialling(Arc::clone(background)));
                    background.set_connection(id);
                    state.mark_background(id);
                    true
                }
                _ => false,
            }
        })
    }

    /// The exchange stops dialling: it was ended, its time is over, the dial failed, or it was
    /// granted another connection, which is returned. Unless the dial was detached, its sockets are
    /// closed already.
    pub(crate) fn stop_dialling(
        &self,
        id: u64,
        control: &Arc<Control>,
        reason: CloseReason,
        now: Instant,
    ) -> Option<Box<Connection>> {
        self.with_state(|state, deferred| {
            state.cancel_wait(control, deferred);
            state.dial_released(id, deferred);
            let entry = state.entry_of(id, control);
            if entry.is_some_and(|entry| matches!(entry.stage(), Stage::Dialling(_))) {
                state.remove(id, reason, deferred);
            }
            state.take_granted(control, now, deferred)
        })
    }

    /// The dial of an exchange found no free local port (connect(2), EADDRNOTAVAIL); its sockets are closed already.
    /// Returns whether the exchange waits now, for another connection of its origin that becomes free or leaves its
    /// port. If it does not, the caller stops dialling.
    pub(crate) fn wait_for_port(&self, id: u64, control: &Arc<Control>, fresh: bool) -> bool {
        self.with_state(|state, deferred| {
            let dials = control.cause().is_none() && control.connection() == id;
            if !dials || state.closed.is_some() {
                return false;
            }
            let Some(key_id) = state.entry_of(id, control).map(|entry| entry.slot.key_id()) else {
                return false;
            };
            let waits = state.wait_for_port(id, control, fresh, deferred);
            if waits {
                state.counters.waited += 1;
                state.record_queued(key_id, deferred);
            }
            waits
        })
    }

    /// A background dial is done: its connection is for a waiter, or idle.
    pub(crate) fn background_dialled(
        &self,
        connection: Box<Connection>,
        control: &Control,
        now: Instant,
    ) {
        self.with_state(|state, deferred| {
            let id = connection.record.id;
            if state.entry_of(id, control).is_some() {
                state.offer_dialled(connection, now, deferred);
            } else {
                deferred.work().closed_meanwhile.push(*connection);
                state.dial_released(id, deferred);
            }
        });
    }

    /// Takes slots for background dials: as many as are missing for `wanted` idle connections, if
    /// the limits allow. No idle connection is closed for them, and no waiter is passed over.
    pub(crate) fn reserve_background_dials(
        &self,
        key: &Arc<PoolKey>,
        wanted: usize,
        new_control: impl Fn() -> Arc<Control>,
    ) -> Result<Vec<BackgroundSlot>, LeaseError> {
        self.with_state(|state, deferred| {
            if state.closed.is_some() {
                return Err(LeaseError::ShutDown);
            }
            let key_id = state.key_id_of(key);
            let wanted = wanted.min(state.limits.idle_per_origin).min(state.limits.idle_total);
            let entry = &state.keys[key_id];
            let missing = wanted.saturating_sub(entry.idle.len() + entry.background_dials);
            let mut slots = Vec::new();
            while slots.len() < missing && state.has_room(key_id) {
                let control = new_control();
                let owner = Arc::clone(&control);
                let record = state.take_slot(key_id, || Stage::Dialling(owner));
                control.set_connection(record.id);
                state.mark_background(record.id);
                state.record_event(EventKind::Opened, &record, deferred);
                slots.push((record, control));
            }
            state.remove_key_if_unused(key_id);
            Ok(slots)
        })
    }
}

impl State {
    /// [`offer`](Self::offer) for a connection whose dial was for any waiter.
    fn offer_dialled(
        &mut self,
        connection: Box<Connection>,
        now: Instant,
        deferred: &mut Deferred,
    ) {
        let Some(mut entry) = self.entries.get_mut(connection.record.id) else { return };
        let key_id = entry.slot.key_id();
        let was_background = std::mem::take(&mut entry.background);
        entry.set_stage(Stage::Taken);
        self.offer(connection, key_id, now, deferred);
        if was_background {
            // A waiter that was not promised it may have got it.
            self.background_dial_ended(key_id);
            self.serve_waiters(deferred);
        }
    }

    /// The connection that an exchange was granted while it dialled. If the exchange was ended, the
    /// connection goes to others.
    fn take_granted(
        &mut self,
        control: &Arc<Control>,
        now: Instant,
        deferred: &mut Deferred,
    ) -> Option<Box<Connection>> {
        if control.cause().is_some() {
            self.return_granted(control, now, deferred);
            return None;
        }
        match self.poll(control, deferred) {
            Checkout::Open(connection) => Some(connection),
            _ => None,
        }
    }
}
