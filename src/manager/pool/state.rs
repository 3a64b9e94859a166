//! What the pool's lock protects: the maps, which every method leaves consistent. Waiters are served
//! in [`waiters`](super::waiters), idle connections are kept in [`idle`](super::idle).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use slab::Slab;

use super::deferred::Deferred;
use super::entry::{Entries, Entry, Listed, Stage, Unlisted};
use super::expiries::Expiries;
use super::id_hasher::BuildIdHasher;
use super::lru::LruList;
use super::slot::{FreeSlots, Slot};
use crate::manager::connection::{Connection, Record};
use crate::manager::control::{Cause, Control};
use crate::manager::event_log::{EventKind, EventLog};
use crate::manager::key::{Origin, PoolKey};
use crate::manager::limits::{Limits, Stats};
use crate::runtime::{InputWatch, Notify};
use crate::timer::TimerTarget;
use crate::vocabulary::{CloseMode, CloseReason};

/// Threads: one at a time, under the pool's lock.
pub(super) struct State {
    /// The pool itself, for its slots and for the sweep.
    owner: Weak<dyn FreeSlots>,
    pub(super) swept: Weak<dyn TimerTarget>,
    pub(super) entries: Entries,
    /// One entry for each key that has a connection or a waiter.
    pub(super) keys: Slab<KeyEntry>,
    pub(super) key_index: HashMap<Arc<PoolKey>, usize, BuildIdHasher>,
    /// One entry for each origin that has a key.
    pub(super) origins: Slab<OriginEntry>,
    pub(super) origin_index: HashMap<Origin, usize>,
    /// Slots in use.
    pub(super) open: usize,
    /// Slots in use whose connection was taken out: each is free as soon as its socket is gone.
    pub(super) closing: usize,
    /// Slots of dials that were closed: each is free when the dialling exchange has closed its
    /// sockets. They are counted in `closing`.
    pub(super) closing_dials: HashMap<u64, Slot, BuildIdHasher>,
    /// By ticket, and so in the order of their arrival.
    pub(super) waiters: BTreeMap<u64, Waiter>,
    /// The origins with waiters for a slot that only the total limit holds up, by the ticket of the
    /// first of these waiters.
    pub(super) waiting_origins: BTreeMap<u64, usize>,
    /// Calls that wait between their exchanges.
    pub(super) pauses: Slab<Arc<Control>>,
    /// Waiters for a slot.
    pub(super) queued: usize,
    pub(super) next_ticket: u64,
    /// All idle connections.
    pub(super) idle: LruList,
    pub(super) next_seq: u64,
    /// When the next sweep is scheduled; `None` while nothing is idle.
    pub(super) sweep_at: Option<Instant>,
    /// The sweep has seen the idle connections whose sequence numbers are below.
    pub(super) swept_to: u64,
    /// It has asked below for the silence of the long idle ones.
    pub(super) asked_to: u64,
    /// Reports input on the connections that the sweep has seen idle; there from the first of them until none is open.
    pub(super) watch: Option<Arc<InputWatch>>,
    /// When idle connections expire by limits of their own.
    pub(super) expiries: Expiries,
    /// How many idle connections the sweeps have looked at.
    #[cfg(test)]
    pub(super) visits: usize,
    pub(super) limits: Limits,
    pub(super) counters: Stats,
    pub(super) closed: Option<Closed>,
    /// Notified when nothing is open any more.
    pub(super) drains: Vec<Arc<Notify>>,
    /// The connections that were closed last, with their reasons.
    pub(super) recently_closed: VecDeque<(u64, CloseReason)>,
    /// There while the manager's events have a subscriber.
    pub(super) event_log: Option<Box<EventLog>>,
}

/// No new leases are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// Exchanges in progress finish.
    Draining = 1,
    ShutDown = 2,
}

/// The connections and the waiters of one key.
pub(super) struct KeyEntry {
    pub(super) key: Arc<PoolKey>,
    pub(super) origin_id: usize,
    /// Slots in use.
    pub(super) open: usize,
    pub(super) waiting: usize,
    pub(super) idle: LruList,
    /// Tickets of the waiters that take a connection that becomes free. While there are any, no
    /// connection of the key is idle.
    pub(super) reuse_waiters: BTreeSet<u64>,
    /// Dials whose connections are for any waiter.
    pub(super) background_dials: usize,
    /// Tickets of the waiters that wait for a background dial and do not dial themselves. There are
    /// never more of them than background dials.
    pub(super) promised: BTreeSet<u64>,
}

/// The connections of one origin: what its limits count.
#[derive(Default)]
pub(super) struct OriginEntry {
    pub(super) key_ids: Vec<usize>,
    /// Slots in use, and those of them whose connection was taken out.
    pub(super) open: usize,
    pub(super) closing: usize,
    pub(super) idle: usize,
    /// Tickets of the waiters for a slot.
    pub(super) slot_waiters: BTreeSet<u64>,
    /// The ticket under which the origin stands in `waiting_origins`.
    pub(super) waiting_row: Option<u64>,
    /// More connections than that found no free local port. Until no exchange waits for a slot any more, it is a
    /// limit like the one of the settings.
    pub(super) port_limit: Option<usize>,
}

/// An exchange that waits for a connection or a slot, or that dials and takes a connection that
/// becomes free first.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) control: Arc<Control>,
    pub(super) key_id: usize,
    /// Wants a new connection, not one that was used before.
    pub(super) fresh: bool,
    /// The connection that it dials, or holds a slot for.
    pub(super) dial: Option<u64>,
}

impl OriginEntry {
    /// Connections that are not about to be closed.
    pub(super) fn staying(&self) -> usize {
        self.open - self.closing
    }

    /// How many slots may be in use.
    pub(super) fn limit(&self, limits: &Limits) -> usize {
        self.port_limit.unwrap_or(usize::MAX).min(limits.per_origin)
    }
}

impl State {
    pub(super) fn new(
        owner: Weak<dyn FreeSlots>,
        swept: Weak<dyn TimerTarget>,
        limits: Limits,
        closed: Option<Closed>,
    ) -> Self {
        Self {
            owner,
            swept,
            entries: Entries::default(),
            keys: Slab::new(),
            key_index: HashMap::default(),
            origins: Slab::new(),
            origin_index: HashMap::new(),
            open: 0,
            closing: 0,
            closing_dials: HashMap::default(),
            waiters: BTreeMap::new(),
            waiting_origins: BTreeMap::new(),
            pauses: Slab::new(),
            queued: 0,
            next_ticket: 1,
            idle: LruList::default(),
            next_seq: 1,
            sweep_at: None,
            swept_to: 0,
            asked_to: 0,
            watch: None,
            expiries: Expiries::default(),
            #[cfg(test)]
            visits: 0,
            limits,
            counters: Stats::default(),
            closed,
            drains: Vec::new(),
            recently_closed: VecDeque::new(),
            event_log: None,
        }
    }

    /// Takes a slot for a new connection of that key, and lists it.
    pub(super) fn take_slot(
        &mut self,
        key_id: usize,
        stage: impl FnOnce() -> Stage,
    ) -> Arc<Record> {
        let record = self.new_record(key_id);
        self.keys[key_id].open += 1;
        self.origins[self.keys[key_id].origin_id].open += 1;
        self.open += 1;
        self.insert(&record, stage(), Slot::new(Weak::clone(&self.owner), key_id));
        record
    }

    pub(super) fn new_record(&self, key_id: usize) -> Arc<Record> {
        Record::new(Arc::clone(&self.keys[key_id].key), self.limits.keep_alive)
    }

    /// Lists a connection that has a slot.
    pub(super) fn insert(&mut self, record: &Arc<Record>, stage: Stage, slot: Slot) {
        // A slot alone is no connection yet.
        self.counters.opened += u64::from(!stage.is_reserved());
        self.entries.insert(record, stage, slot);
    }

    /// Closes connections, or marks them for a graceful close after their exchanges. The waiters that
    /// were promised a closed dial are served after the last close: in the order of their arrival,
    /// whatever the order of the closes.
    pub(super) fn close_all(
        &mut self,
        ids: &[u64],
        how: CloseMode,
        cause: Cause,
        deferred: &mut Deferred,
    ) {
        for id in ids {
            self.close(*id, how, cause, deferred);
        }
        self.serve_waiters(deferred);
    }

    /// [`close_all`](Self::close_all) for one of them, without serving the waiters.
    fn close(&mut self, id: u64, how: CloseMode, cause: Cause, deferred: &mut Deferred) {
        let Some(entry) = self.entries.get(id) else { return };
        let reason = cause.into();
        match (entry.stage(), how) {
            (Stage::Idle { .. } | Stage::Probed | Stage::Taken, _) => {
                self.remove(id, reason, deferred)
            }
            (Stage::Dialling(control), _) if control.is_detached() => {
                // There is no exchange that a graceful close could let finish.
                control.try_finish(cause);
                self.close_dial(id, reason, deferred);
            }
            (_, CloseMode::Graceful) => entry.record.close_after(reason),
            // Its exchange was granted another connection meanwhile, and that one goes on.
            (Stage::Dialling(control), _) if control.connection() != id => {
                self.close_dial(id, reason, deferred);
            }
            (
                Stage::Reserved(control)
                | Stage::Dialling(control)
                | Stage::InUse(control)
                | Stage::Granted { to: control, .. },
                CloseMode::Now,
            ) => {
                // The cause is set under the lock, so that no thread sees the connection gone and
                // no cause for it. If another cause was first, the exchange is about to let the
                // connection go; the mark keeps it from being reused then.
                if !control.try_finish(cause) {
                    entry.record.close_after(reason);
                } else if matches!(entry.stage(), Stage::Dialling(_)) {
                    self.close_dial(id, reason, deferred);
                } else {
                    self.remove(id, reason, deferred);
                }
            }
        }
    }

    /// Takes a connection out, whatever its stage, and closes it after the lock.
    pub(super) fn remove(&mut self, id: u64, reason: CloseReason, deferred: &mut Deferred) {
        if let Some(entry) = self.unlink(id, reason, deferred) {
            self.close_later(entry, deferred);
        }
    }

    /// [`remove`](Self::remove) for a connection that comes back and can't stay: its stream is shut
    /// down cleanly.
    pub(super) fn close_returned(
        &mut self,
        connection: Box<Connection>,
        reason: CloseReason,
        deferred: &mut Deferred,
    ) {
        if let Some(mut entry) = self.unlink(connection.record.id, reason, deferred) {
            let since = entry.record.opened_at;
            entry.stage = Stage::Idle { connection, since, seq: 0 };
            self.close_later(entry, deferred);
        }
    }

    /// Takes out a dial that an exchange runs. The exchange owns the sockets, and the slot stays
    /// taken until they are closed ([`dial_released`](Self::dial_released)). The caller serves the
    /// waiters.
    fn close_dial(&mut self, id: u64, reason: CloseReason, deferred: &mut Deferred) {
        let Some(entry) = self.unlink(id, reason, deferred) else { return };
        let Unlisted { stage, slot, background, .. } = entry;
        let key_id = slot.key_id();
        self.count_closing(key_id);
        self.closing_dials.insert(id, slot);
        if background {
            self.background_dial_ended(key_id);
        }
        if let Stage::Dialling(control) = stage {
            deferred.work().to_wake.push(control);
        }
    }

    /// The sockets of a dial are gone. If the dial was closed, its slot is free.
    pub(super) fn dial_released(&mut self, id: u64, deferred: &mut Deferred) {
        if let Some(slot) = self.closing_dials.remove(&id) {
            deferred.work().free_slots.push(slot);
        }
    }

    /// Closes the socket of an unlinked entry, and then frees its slot, after the lock.
    pub(super) fn close_later(&mut self, entry: Unlisted, deferred: &mut Deferred) {
        let (key_id, background) = (entry.slot.key_id(), entry.background);
        self.count_closing(key_id);
        deferred.work().to_close.push(entry);
        if background {
            self.background_dial_ended(key_id);
            self.serve_waiters(deferred);
        }
    }

    fn count_closing(&mut self, key_id: usize) {
        self.closing += 1;
        self.origins[self.keys[key_id].origin_id].closing += 1;
    }

    /// Takes an entry out of the maps; its slot stays taken.
    pub(super) fn unlink(
        &mut self,
        id: u64,
        reason: CloseReason,
        deferred: &mut Deferred,
    ) -> Option<Unlisted> {
        let (entry, expires) = self.entries.remove(id)?;
        self.expiries.set(id, expires, None);
        match &entry.stage {
            Stage::Idle { seq, .. } => {
                self.remove_idle_row(entry.slot.key_id(), *seq);
            }
            Stage::Dialling(_) => self.counters.dials_failed += 1,
            Stage::Reserved(_)
            | Stage::InUse(_)
            | Stage::Granted { .. }
            | Stage::Probed
            | Stage::Taken => {}
        }
        if entry.stage.is_reserved() {
            // It was never counted as opened.
            return Some(entry);
        }
        self.counters.closed += 1;
        if self.recently_closed.len() == REMEMBERED {
            self.recently_closed.pop_front();
        }
        self.recently_closed.push_back((id, reason));
        self.record_event(EventKind::Closed(reason), &entry.record, deferred);
        Some(entry)
    }

    /// Sockets are gone: their slots go to the first waiters. The argument has the keys of the slots.
    pub(super) fn free_slots(&mut self, key_ids: &[usize], deferred: &mut Deferred) {
        for key_id in key_ids {
            let origin_id = self.keys[*key_id].origin_id;
            self.keys[*key_id].open -= 1;
            self.origins[origin_id].open -= 1;
            self.origins[origin_id].closing -= 1;
            self.open -= 1;
            self.closing -= 1;
            self.update_waiting_origin(origin_id);
        }
        self.serve_waiters(deferred);
        for key_id in key_ids {
            self.remove_key_if_unused(*key_id);
        }
        if self.open == 0 {
            let work = deferred.work();
            work.to_notify.append(&mut self.drains);
            work.unused_watch = self.watch.take();
        }
    }

    /// Makes a dial a background dial.
    pub(super) fn mark_background(&mut self, id: u64) {
        if let Some(mut entry) = self.entries.get_mut(id)
            && !std::mem::replace(&mut entry.background, true)
        {
            self.keys[entry.slot.key_id()].background_dials += 1;
        }
    }

    /// The index of a key's entry; makes the entry if there is none.
    pub(super) fn key_id_of(&mut self, key: &Arc<PoolKey>) -> usize {
        if let Some(key_id) = self.key_index.get(&**key) {
            return *key_id;
        }
        let origin_id = match self.origin_index.get(&key.origin) {
            Some(origin_id) => *origin_id,
            None => {
                let origin_id = self.origins.insert(OriginEntry::default());
                self.origin_index.insert(key.origin.clone(), origin_id);
                origin_id
            }
        };
        let key_id = self.keys.insert(KeyEntry {
            key: Arc::clone(key),
            origin_id,
            open: 0,
            waiting: 0,
            idle: LruList::default(),
            reuse_waiters: BTreeSet::new(),
            background_dials: 0,
            promised: BTreeSet::new(),
        });
        self.origins[origin_id].key_ids.push(key_id);
        self.key_index.insert(Arc::clone(key), key_id);
        key_id
    }

    /// Removes a key's entry if it has neither a connection nor a waiter, and its origin's with the
    /// last key.
    pub(super) fn remove_key_if_unused(&mut self, key_id: usize) {
        let Some(KeyEntry { key, origin_id, open: 0, waiting: 0, .. }) = self.keys.get(key_id)
        else {
            return;
        };
        let (key, origin_id) = (Arc::clone(key), *origin_id);
        self.key_index.remove(&*key);
        self.keys.remove(key_id);
        let siblings = &mut self.origins[origin_id].key_ids;
        siblings.retain(|other| *other != key_id);
        if siblings.is_empty() {
            self.origin_index.remove(&key.origin);
            self.origins.remove(origin_id);
        }
    }

    /// Connections that are not about to be closed.
    pub(super) fn staying(&self) -> usize {
        self.open - self.closing
    }

    /// The connections and the dials; not the slots that are only reserved.
    pub(super) fn connections(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| !entry.stage().is_reserved())
    }

    /// The entry of that connection, if the exchange with that control owns it.
    pub(super) fn entry_of(&mut self, id: u64, control: &Control) -> Option<Listed<'_>> {
        let entry = self.entries.get_mut(id)?;
        let is_owner = entry.stage().owner().is_some_and(|owner| std::ptr::eq(&**owner, control));
        is_owner.then_some(entry)
    }

    /// Empties the state in the child of a fork: closes the parent's connections here without
    /// sending anything, and finishes the exchanges that were copied with the memory.
    pub(super) fn forget_all(&mut self) {
        for waiter in self.waiters.values() {
            waiter.control.try_finish(Cause::Forked);
        }
        for (_, control) in &self.pauses {
            control.try_finish(Cause::Forked);
        }
        for entry in self.entries.drain() {
            if let Some(control) = entry.stage.owner() {
                control.try_finish(Cause::Forked);
            }
            entry.record.forget();
        }
        if let Some(watch) = &self.watch {
            watch.close();
        }
        let (owner, swept) = (Weak::clone(&self.owner), Weak::clone(&self.swept));
        *self = Self::new(owner, swept, self.limits, self.closed);
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, waiters, closed, .. } = self;
        f.debug_struct("State")
            .field("entries", entries)
            .field("waiters", waiters)
            .field("closed", closed)
            .finish_non_exhaustive()
    }
}

/// How many closed connections are remembered.
const REMEMBERED: usize = 256;
