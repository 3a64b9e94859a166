//! Who waits for a connection, and who is next. First come, first served: by ticket, over all
//! origins.
//!
//! A waiter needs a slot (to dial), or would take a connection that becomes free, or both. Who
//! dials has its slot and waits no more, but a connection that becomes free meanwhile is its own if it
//! came first; its dial then goes on for nobody in particular.

use std::sync::Arc;

use super::deferred::Aftermath;
use super::state::{Stage, State, Waiter};
use crate::manager::connection::Connection;
use crate::manager::control::Control;
use crate::vocabulary::CloseReason;

/// Who gets a connection that became free.
pub(super) enum Next {
    /// The one with that ticket takes it.
    Taker(u64),
    /// Somebody who came earlier waits for its slot, and can't use it.
    Seeker,
    Nobody,
}

impl State {
    /// Whether a connection may be opened in that line.
    pub(super) fn has_room(&self, line: usize) -> bool {
        self.open < self.limits.total
            && self.groups[self.lines[line].group].open < self.limits.per_origin
    }

    /// Makes room by closing what is idle. The slot is free when the socket is gone, and goes to
    /// whoever waits for it.
    pub(super) fn make_room(&mut self, line: usize, after: &mut Aftermath) -> bool {
        let group = self.lines[line].group;
        if self.groups[group].open >= self.limits.per_origin {
            return self.evict_of(group, after);
        }
        self.evict(after)
    }

    /// Puts somebody in the queue for a slot.
    pub(super) fn enqueue(&mut self, line: usize, control: &Arc<Control>, fresh: bool) {
        let ticket = self.register(line, control, fresh, None);
        self.block(ticket, line);
    }

    /// Whether there is a dial in the background that nobody waits for.
    pub(super) fn has_dial_ahead(&self, line: usize) -> bool {
        self.lines[line].ahead > self.lines[line].promised.len()
    }

    /// Has somebody wait for a dial in the background.
    pub(super) fn promise(&mut self, line: usize, control: &Arc<Control>) {
        let ticket = self.register(line, control, false, None);
        self.lines[line].promised.insert(ticket);
    }

    /// The dial that somebody was promised takes too long: it gets into the queue for a slot, of
    /// which there may be one.
    pub(super) fn stop_waiting_for_dial(&mut self, control: &Control, after: &mut Aftermath) {
        let ticket = control.ticket();
        let Some(line) = self.waiters.get(&ticket).map(|waiter| waiter.line) else { return };
        if self.lines[line].promised.remove(&ticket) {
            self.block(ticket, line);
            self.serve(after);
        }
    }

    /// A dial that was for whoever comes is over. Who was promised one too many, the last who came,
    /// gets into the queue for a slot, of which there may be one.
    pub(super) fn came_to_nothing(&mut self, line: usize, after: &mut Aftermath) {
        self.lines[line].ahead -= 1;
        if self.lines[line].promised.len() > self.lines[line].ahead
            && let Some(ticket) = self.lines[line].promised.pop_last()
        {
            self.block(ticket, line);
            self.serve(after);
        }
    }

    fn block(&mut self, ticket: u64, line: usize) {
        let group = self.lines[line].group;
        self.groups[group].blocked.insert(ticket);
        self.queued += 1;
        self.list(group);
    }

    /// Notes somebody who dials and would take a connection that becomes free.
    pub(super) fn would_take(&mut self, line: usize, control: &Arc<Control>, dial: u64) {
        self.register(line, control, false, Some(dial));
    }

    fn register(
        &mut self,
        line: usize,
        control: &Arc<Control>,
        fresh: bool,
        dial: Option<u64>,
    ) -> u64 {
        // Who comes back keeps its place.
        let ticket = match control.ticket() {
            0 => {
                self.next_ticket += 1;
                self.next_ticket - 1
            }
            kept => kept,
        };
        control.set_ticket(ticket);
        self.lines[line].waiting += 1;
        if !fresh {
            self.lines[line].takers.insert(ticket);
        }
        let waiter = Waiter { control: Arc::clone(control), line, fresh, dial };
        self.waiters.insert(ticket, waiter);
        ticket
    }

    /// Takes somebody out, whatever it waited for; its line may be empty then.
    pub(super) fn unregister(&mut self, ticket: u64) -> Option<Waiter> {
        let waiter = self.waiters.remove(&ticket)?;
        let line = &mut self.lines[waiter.line];
        line.waiting -= 1;
        line.takers.remove(&ticket);
        line.promised.remove(&ticket);
        let group = line.group;
        if self.groups[group].blocked.remove(&ticket) {
            self.queued -= 1;
            self.list(group);
        }
        Some(waiter)
    }

    /// [`unregister`](Self::unregister) for one who leaves; nobody else's turn changes by that,
    /// unless it held others up.
    pub(super) fn cancel_wait(&mut self, control: &Control, after: &mut Aftermath) {
        if let Some(waiter) = self.unregister(control.ticket()) {
            self.serve(after);
            self.tidy(waiter.line);
        }
    }

    /// Who gets a connection of that line that became free.
    pub(super) fn next_for(&mut self, line: usize) -> Next {
        if self.waiters.is_empty() {
            return Next::Nobody;
        }
        // Those who were ended in the meantime are about to leave.
        let waiters = &self.waiters;
        let waits =
            |ticket: &&u64| waiters.get(ticket).is_some_and(|w| w.control.cause().is_none());
        let taker = self.lines[line].takers.iter().find(waits).copied();
        let group = &self.groups[self.lines[line].group];
        // Slots that are about to be free are theirs.
        let mut seeker = None;
        if group.blocked.len() > group.falling {
            seeker = group.blocked.iter().find(waits).copied();
        }
        if self.queued > self.falling {
            for (first, group) in &self.hungry {
                if seeker.is_some_and(|seeker| seeker < *first) {
                    break;
                }
                let live = self.groups[*group].blocked.iter().find(waits).copied();
                seeker = seeker.into_iter().chain(live).min();
            }
        }
        match (taker, seeker) {
            (Some(taker), Some(seeker)) if seeker < taker => Next::Seeker,
            (Some(taker), _) => Next::Taker(taker),
            (None, Some(_)) => Next::Seeker,
            (None, None) => Next::Nobody,
        }
    }

    /// Gives a connection to the one with that ticket.
    pub(super) fn grant(
        &mut self,
        ticket: u64,
        connection: Box<Connection>,
        after: &mut Aftermath,
    ) {
        let Some(waiter) = self.unregister(ticket) else { return };
        let id = connection.record.id;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        waiter.control.set_connection(id);
        entry.stage = Stage::Granted { connection, to: Arc::clone(&waiter.control) };
        match waiter.dial.and_then(|dial| Some((dial, &self.entries.get(&dial)?.stage))) {
            // A slot that it was given and has not used is free again.
            Some((dial, Stage::Reserved(_))) => self.fall(dial, CloseReason::DialFailed, after),
            Some((dial, Stage::Dialling(_))) => self.is_ahead(dial),
            _ => {}
        }
        after.woken.push(waiter.control);
    }

    /// Gives slots to those who wait for them, for as long as there are any. If there are none, what
    /// is idle makes room, one at a time.
    pub(super) fn serve(&mut self, after: &mut Aftermath) {
        self.give_slots(after);
        let somebody_waits = self.hungry.keys().any(|ticket| self.waits(*ticket));
        if somebody_waits && self.closed.is_none() && self.falling == 0 {
            self.evict(after);
        }
    }

    fn waits(&self, ticket: u64) -> bool {
        self.waiters.get(&ticket).is_some_and(|waiter| waiter.control.cause().is_none())
    }

    fn give_slots(&mut self, after: &mut Aftermath) {
        while self.open < self.limits.total
            && self.closed.is_none()
            && let Some((ticket, group)) = self.hungry.first_key_value().map(|(t, g)| (*t, *g))
        {
            let Some(waiter) = self.waiters.get_mut(&ticket) else {
                self.hungry.remove(&ticket);
                continue;
            };
            let (control, line, fresh) = (Arc::clone(&waiter.control), waiter.line, waiter.fresh);
            self.groups[group].blocked.remove(&ticket);
            self.queued -= 1;
            if control.cause().is_some() {
                // It is about to leave; its row stays for that.
                self.list(group);
                continue;
            }
            let owner = Arc::clone(&control);
            let record = self.take_slot(line, || Stage::Reserved(owner));
            control.set_connection(record.id);
            if fresh {
                self.unregister(ticket);
            } else if let Some(waiter) = self.waiters.get_mut(&ticket) {
                waiter.dial = Some(record.id);
            }
            self.list(group);
            after.woken.push(control);
        }
    }

    /// Puts a group on the list of those that only the total limit holds up, or takes it off.
    pub(super) fn list(&mut self, group: usize) {
        let Some(it) = self.groups.get_mut(group) else { return };
        let row = (it.open < self.limits.per_origin).then(|| it.blocked.first().copied()).flatten();
        if it.listed != row {
            if let Some(old) = it.listed {
                self.hungry.remove(&old);
            }
            if let Some(new) = row {
                self.hungry.insert(new, group);
            }
            it.listed = row;
        }
    }
}
