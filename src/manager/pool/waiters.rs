//! The waiters, and which of them is next: in the order of their arrival (their tickets), over all
//! origins.
//!
//! A waiter needs a slot to dial with, or takes a connection that becomes free, or both. An exchange
//! that dials has its slot, but is still a waiter: if a connection becomes free first, the exchange
//! gets that one, and its dial goes on as a background dial.

use std::sync::Arc;

use super::deferred::Deferred;
use super::entry::Stage;
use super::state::{State, Waiter};
use crate::manager::connection::Connection;
use crate::manager::control::Control;
use crate::vocabulary::CloseReason;

/// What to do with a connection that became free.
pub(super) enum NextWaiter {
    /// Give it to the waiter with that ticket.
    Reuses(u64),
    /// Close it: an earlier waiter needs its slot and cannot reuse the connection.
    NeedsSlot,
    None,
}

impl State {
    /// Whether a connection of that key may be opened.
    pub(super) fn has_room(&self, key_id: usize) -> bool {
        let origin = &self.origins[self.keys[key_id].origin_id];
        self.open < self.limits.total && origin.open < origin.limit(&self.limits)
    }

    /// Makes room by closing an idle connection; `false` if there is none. The slot is free when
    /// that socket is gone, and goes to the first waiter.
    pub(super) fn make_room(&mut self, key_id: usize, deferred: &mut Deferred) -> bool {
        let origin_id = self.keys[key_id].origin_id;
        let origin = &self.origins[origin_id];
        if origin.open >= origin.limit(&self.limits) {
            return self.evict_from_origin(origin_id, deferred);
        }
        self.evict(deferred)
    }

    /// Adds a waiter for a slot.
    pub(super) fn enqueue(&mut self, key_id: usize, control: &Arc<Control>, fresh: bool) {
        let ticket = self.register(key_id, control, fresh, None);
        self.wait_for_slot(ticket, key_id);
    }

    /// Has an exchange wait whose dial found no free local port, and closes that dial: it waits as at the limit of
    /// its origin, for another connection of it that becomes free or closes. Returns `false`, and does nothing, if there
    /// is none.
    pub(super) fn wait_for_port(
        &mut self,
        id: u64,
        control: &Arc<Control>,
        fresh: bool,
        deferred: &mut Deferred,
    ) -> bool {
        let Some(entry) = self.entry_of(id, control) else { return false };
        let key_id = entry.slot.key_id();
        let origin_id = self.keys[key_id].origin_id;
        // All others, whatever they do: each has a port, or has just left one.
        let others = self.origins[origin_id].open - 1;
        if others == 0 || self.queued >= self.limits.queue {
            return false;
        }
        self.unregister(control.ticket());
        self.origins[origin_id].port_limit = Some(others);
        self.enqueue(key_id, control, fresh);
        self.remove(id, CloseReason::DialFailed, deferred);
        // An idle one of another key is of no use to it.
        self.evict_from_origin(origin_id, deferred);
        true
    }

    /// Adds a waiter for a background dial.
    pub(super) fn promise(&mut self, key_id: usize, control: &Arc<Control>) {
        let ticket = self.register(key_id, control, false, None);
        self.keys[key_id].promised.insert(ticket);
    }

    /// Adds an exchange that dials, and takes a connection that becomes free first.
    pub(super) fn register_dialling(&mut self, key_id: usize, control: &Arc<Control>, dial: u64) {
        self.register(key_id, control, false, Some(dial));
    }

    /// Whether there is a background dial that is not promised to a waiter.
    pub(super) fn has_unclaimed_dial(&self, key_id: usize) -> bool {
        self.keys[key_id].background_dials > self.keys[key_id].promised.len()
    }

    /// The dial that was promised takes too long: its waiter waits for a slot from now on, and there
    /// may be a free one.
    pub(super) fn stop_waiting_for_dial(&mut self, control: &Control, deferred: &mut Deferred) {
        let ticket = control.ticket();
        let Some(key_id) = self.waiters.get(&ticket).map(|waiter| waiter.key_id) else { return };
        if self.keys[key_id].promised.remove(&ticket) {
            self.wait_for_slot(ticket, key_id);
            self.serve_waiters(deferred);
        }
    }

    /// A background dial is over. If more waiters were promised one than are left, the last of them
    /// waits for a slot from now on. There may be a free one, so the caller serves the waiters.
    pub(super) fn background_dial_ended(&mut self, key_id: usize) {
        let key = &mut self.keys[key_id];
        key.background_dials -= 1;
        if key.promised.len() > key.background_dials
            && let Some(ticket) = key.promised.pop_last()
        {
            self.wait_for_slot(ticket, key_id);
        }
    }

    fn wait_for_slot(&mut self, ticket: u64, key_id: usize) {
        let origin_id = self.keys[key_id].origin_id;
        self.origins[origin_id].slot_waiters.insert(ticket);
        self.queued += 1;
        self.update_waiting_origin(origin_id);
    }

    fn register(
        &mut self,
        key_id: usize,
        control: &Arc<Control>,
        fresh: bool,
        dial: Option<u64>,
    ) -> u64 {
        // An exchange that waited before keeps its place.
        let ticket = match control.ticket() {
            0 => {
                self.next_ticket += 1;
                self.next_ticket - 1
            }
            kept => kept,
        };
        control.set_ticket(ticket);
        self.keys[key_id].waiting += 1;
        if !fresh {
            self.keys[key_id].reuse_waiters.insert(ticket);
        }
        let waiter = Waiter { control: Arc::clone(control), key_id, fresh, dial };
        self.waiters.insert(ticket, waiter);
        ticket
    }

    /// Takes a waiter out of all lists. Its key may be unused afterwards.
    pub(super) fn unregister(&mut self, ticket: u64) -> Option<Waiter> {
        let waiter = self.waiters.remove(&ticket)?;
        let key = &mut self.keys[waiter.key_id];
        key.waiting -= 1;
        key.reuse_waiters.remove(&ticket);
        key.promised.remove(&ticket);
        let origin_id = key.origin_id;
        if self.origins[origin_id].slot_waiters.remove(&ticket) {
            self.queued -= 1;
            self.update_waiting_origin(origin_id);
        }
        Some(waiter)
    }

    /// Takes the waiter of an exchange out, if there is one, and serves those that it held up.
    pub(super) fn cancel_wait(&mut self, control: &Control, deferred: &mut Deferred) {
        if let Some(waiter) = self.unregister(control.ticket()) {
            self.serve_waiters(deferred);
            self.remove_key_if_unused(waiter.key_id);
        }
    }

    /// Decides for a connection of that key that became free.
    pub(super) fn next_waiter(&self, key_id: usize) -> NextWaiter {
        if self.waiters.is_empty() {
            return NextWaiter::None;
        }
        // Waiters whose exchange was ended are about to take themselves out.
        let is_waiting = |ticket: &&u64| self.is_waiting(**ticket);
        let reuses = self.keys[key_id].reuse_waiters.iter().find(is_waiting).copied();
        let origin = &self.origins[self.keys[key_id].origin_id];
        // The slots of closing connections go to the first waiters, which need no other then.
        let mut needs_slot = None;
        if origin.slot_waiters.len() > origin.closing {
            needs_slot = origin.slot_waiters.iter().find(is_waiting).copied();
        }
        if self.queued > self.closing {
            for (first, origin_id) in &self.waiting_origins {
                if needs_slot.is_some_and(|earliest| earliest < *first) {
                    break;
                }
                let slot_waiters = &self.origins[*origin_id].slot_waiters;
                let live = slot_waiters.iter().find(is_waiting).copied();
                needs_slot = needs_slot.into_iter().chain(live).min();
            }
        }
        match (reuses, needs_slot) {
            (Some(reuses), Some(needs_slot)) if needs_slot < reuses => NextWaiter::NeedsSlot,
            (Some(reuses), _) => NextWaiter::Reuses(reuses),
            (None, Some(_)) => NextWaiter::NeedsSlot,
            (None, None) => NextWaiter::None,
        }
    }

    /// Gives a connection to the waiter with that ticket.
    pub(super) fn grant(
        &mut self,
        ticket: u64,
        connection: Box<Connection>,
        deferred: &mut Deferred,
    ) {
        let Some(waiter) = self.unregister(ticket) else { return };
        let id = connection.record.id;
        let Some(mut entry) = self.entries.get_mut(id) else { return };
        waiter.control.set_connection(id);
        entry.set_stage(Stage::Granted { connection, to: Arc::clone(&waiter.control) });
        match waiter.dial.and_then(|dial| Some((dial, self.entries.get(dial)?.stage()))) {
            // A slot that the waiter was given and did not use is free again.
            Some((dial, Stage::Reserved(_))) => {
                self.remove(dial, CloseReason::DialFailed, deferred);
            }
            Some((dial, Stage::Dialling(_))) => self.mark_background(dial),
            _ => {}
        }
        deferred.work().to_wake.push(waiter.control);
    }

    /// Gives the free slots to the waiters for one. If there is none left, closes an idle connection
    /// to make room, one at a time.
    pub(super) fn serve_waiters(&mut self, deferred: &mut Deferred) {
        self.grant_slots(deferred);
        let one_waits = self.waiting_origins.keys().any(|ticket| self.is_waiting(*ticket));
        if one_waits && self.closed.is_none() && self.closing == 0 {
            self.evict(deferred);
        }
    }

    fn is_waiting(&self, ticket: u64) -> bool {
        self.waiters.get(&ticket).is_some_and(|waiter| waiter.control.cause().is_none())
    }

    fn grant_slots(&mut self, deferred: &mut Deferred) {
        while self.open < self.limits.total
            && self.closed.is_none()
            && let Some((&ticket, &origin_id)) = self.waiting_origins.first_key_value()
        {
            let Some(waiter) = self.waiters.get_mut(&ticket) else {
                self.waiting_origins.remove(&ticket);
                continue;
            };
            let (control, key_id, fresh) =
                (Arc::clone(&waiter.control), waiter.key_id, waiter.fresh);
            self.origins[origin_id].slot_waiters.remove(&ticket);
            self.queued -= 1;
            if control.cause().is_some() {
                // The ended exchange is about to take its waiter out itself.
                self.update_waiting_origin(origin_id);
                continue;
            }
            let owner = Arc::clone(&control);
            let record = self.take_slot(key_id, || Stage::Reserved(owner));
            control.set_connection(record.id);
            if fresh {
                self.unregister(ticket);
            } else if let Some(waiter) = self.waiters.get_mut(&ticket) {
                waiter.dial = Some(record.id);
            }
            self.update_waiting_origin(origin_id);
            deferred.work().to_wake.push(control);
        }
    }

    /// Puts an origin into `waiting_origins` or takes it out, after its slots, its limit or its
    /// waiters have changed.
    pub(super) fn update_waiting_origin(&mut self, origin_id: usize) {
        let Some(origin) = self.origins.get_mut(origin_id) else { return };
        if origin.slot_waiters.is_empty() {
            // The next dial finds out whether there are ports again.
            origin.port_limit = None;
        }
        let has_room = origin.open < origin.limit(&self.limits);
        let row = has_room.then(|| origin.slot_waiters.first().copied()).flatten();
        if origin.waiting_row != row {
            if let Some(old) = origin.waiting_row {
                self.waiting_origins.remove(&old);
            }
            if let Some(new) = row {
                self.waiting_origins.insert(new, origin_id);
            }
            origin.waiting_row = row;
        }
    }
}
