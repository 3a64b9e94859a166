//! What the pool's lock protects: the maps, kept in step. Who waits is in [`waiters`](super::waiters),
//! what is idle in [`idle`](super::idle).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Weak};
use std::time::Instant;

use slab::Slab;

use super::deferred::Aftermath;
use super::lru::Ages;
use super::slot::Slot;
use super::{LeaseError, Pool};
use crate::manager::connection::{Connection, Record, Where};
use crate::manager::control::{Cause, Control};
use crate::manager::events::{EventKind, Ring};
use crate::manager::key::{Origin, PoolKey};
use crate::manager::{Limits, Stats};
use crate::net::Stop;
use crate::runtime::Notify;
use crate::vocabulary::{CloseMode, CloseReason};

#[derive(Debug)]
pub(super) struct State {
    pub(super) pool: Weak<Pool>,
    pub(super) entries: HashMap<u64, Entry, Spread>,
    /// One line for each key that has a connection or a waiter.
    pub(super) lines: Slab<Line>,
    pub(super) keys: HashMap<Arc<PoolKey>, usize, Spread>,
    /// One group for each origin that has a line.
    pub(super) groups: Slab<Group>,
    pub(super) origins: HashMap<Origin, usize>,
    /// Slots in use.
    pub(super) open: usize,
    /// Those of them whose connection is out already: free as soon as its socket is gone.
    pub(super) falling: usize,
    /// Slots of dials that were closed: free when whoever dials has let go of its sockets.
    pub(super) parting: HashMap<u64, Slot, Spread>,
    /// Who waits, or dials and would take a connection that becomes free: by ticket, so in the order
    /// in which they came.
    pub(super) waiters: BTreeMap<u64, Waiter>,
    /// The first in the queue of each group that only the total limit keeps from dialling.
    pub(super) hungry: BTreeMap<u64, usize>,
    pub(super) queued: usize,
    pub(super) next_ticket: u64,
    /// All that are idle.
    pub(super) ages: Ages,
    pub(super) next_stamp: u64,
    /// When the sweep comes next, if something is idle.
    pub(super) sweep_at: Option<Instant>,
    pub(super) limits: Limits,
    pub(super) counters: Stats,
    pub(super) closed: Option<Closed>,
    /// Told when nothing is open any more.
    pub(super) drains: Vec<Arc<Notify>>,
    /// How the last ones ended.
    pub(super) ended: VecDeque<(u64, CloseReason)>,
    /// What happened, if somebody listens.
    pub(super) ring: Option<Box<Ring>>,
}

/// No new leases are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// Running exchanges finish.
    Draining = 1,
    ShutDown = 2,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: Arc<Record>,
    pub(super) stage: Stage,
    pub(super) slot: Slot,
    /// A dial that is for whoever comes: counted in its line.
    pub(super) ahead: bool,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// A slot for somebody who waits, and will dial.
    Reserved(Arc<Control>),
    /// Being dialled by whoever has that control: an exchange, or nobody's dial in the background.
    Dialling(Arc<Control>),
    InUse(Arc<Control>),
    /// Given to somebody who waits, and has not fetched it yet.
    Granted {
        connection: Box<Connection>,
        to: Arc<Control>,
    },
    Idle {
        connection: Box<Connection>,
        since: Instant,
        stamp: u64,
    },
    /// Idle, and the sweep is just looking at it.
    Looked,
}

/// The connections of one key. Kept for as long as there is one, or somebody waits for one.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) key: Arc<PoolKey>,
    pub(super) group: usize,
    pub(super) open: usize,
    pub(super) waiting: usize,
    pub(super) idle: Ages,
    /// Tickets of those who would take a connection. If there are any, none is idle.
    pub(super) takers: BTreeSet<u64>,
    /// Dials in the background, which are for whoever comes.
    pub(super) ahead: usize,
    /// Tickets of those who came, and wait for one of them instead of dialling too. Never more than
    /// there are such dials.
    pub(super) promised: BTreeSet<u64>,
}

/// The connections of one origin: what its limits count.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) lines: Vec<usize>,
    pub(super) open: usize,
    pub(super) falling: usize,
    pub(super) idle: usize,
    /// Tickets of those who need a slot.
    pub(super) blocked: BTreeSet<u64>,
    /// Its row in `hungry`.
    pub(super) listed: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) control: Arc<Control>,
    pub(super) line: usize,
    /// Wants a new connection, not one that was used before.
    pub(super) fresh: bool,
    /// Has a slot: waits no more, but would rather take a connection that becomes free.
    pub(super) dial: Option<u64>,
}

impl Group {
    /// Those that are not about to go.
    pub(super) fn staying(&self) -> usize {
        self.open - self.falling
    }
}

impl State {
    pub(super) fn new(pool: Weak<Pool>, limits: Limits, closed: Option<Closed>) -> Self {
        Self {
            pool,
            entries: HashMap::default(),
            lines: Slab::new(),
            keys: HashMap::default(),
            groups: Slab::new(),
            origins: HashMap::new(),
            open: 0,
            falling: 0,
            parting: HashMap::default(),
            waiters: BTreeMap::new(),
            hungry: BTreeMap::new(),
            queued: 0,
            next_ticket: 1,
            ages: Ages::default(),
            next_stamp: 1,
            sweep_at: None,
            limits,
            counters: Stats::default(),
            closed,
            drains: Vec::new(),
            ended: VecDeque::new(),
            ring: None,
        }
    }

    /// Those that are not about to go.
    pub(super) fn staying(&self) -> usize {
        self.open - self.falling
    }

    /// All that is a connection, or is being dialled to be one.
    pub(super) fn connections(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| !entry.stage.is_reserved())
    }

    pub(super) fn admits(&self, control: &Control) -> Result<(), LeaseError> {
        if control.cause().is_some() {
            return Err(LeaseError::Stop(Stop::Ended));
        }
        if self.closed.is_some() { Err(LeaseError::ShutDown) } else { Ok(()) }
    }

    /// The entry, if it is the one that this exchange has.
    pub(super) fn entry_of(&mut self, id: u64, control: &Control) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(&id)?;
        match &entry.stage {
            Stage::Reserved(owner)
            | Stage::Dialling(owner)
            | Stage::InUse(owner)
            | Stage::Granted { to: owner, .. }
                if std::ptr::eq(&**owner, control) =>
            {
                Some(entry)
            }
            _ => None,
        }
    }

    /// The line of a key; a new one if there is none.
    pub(super) fn line_of(&mut self, key: &Arc<PoolKey>) -> usize {
        if let Some(line) = self.keys.get(&**key) {
            return *line;
        }
        let group = match self.origins.get(&key.origin) {
            Some(group) => *group,
            None => {
                let group = self.groups.insert(Group::default());
                self.origins.insert(key.origin.clone(), group);
                group
            }
        };
        let line = self.lines.insert(Line {
            key: Arc::clone(key),
            group,
            open: 0,
            waiting: 0,
            idle: Ages::default(),
            takers: BTreeSet::new(),
            ahead: 0,
            promised: BTreeSet::new(),
        });
        self.groups[group].lines.push(line);
        self.keys.insert(Arc::clone(key), line);
        line
    }

    /// Takes a line away that nobody needs any more.
    pub(super) fn tidy(&mut self, line: usize) {
        let Line { key, group, open: 0, waiting: 0, .. } = &self.lines[line] else { return };
        let (key, group) = (Arc::clone(key), *group);
        self.keys.remove(&*key);
        self.lines.remove(line);
        let siblings = &mut self.groups[group].lines;
        siblings.retain(|other| *other != line);
        if siblings.is_empty() {
            self.origins.remove(&key.origin);
            self.groups.remove(group);
        }
    }

    /// A slot and an entry for a connection that is about to be dialled.
    pub(super) fn take_slot(&mut self, line: usize, stage: impl FnOnce() -> Stage) -> Arc<Record> {
        let record = Record::new(Arc::clone(&self.lines[line].key));
        self.lines[line].open += 1;
        self.groups[self.lines[line].group].open += 1;
        self.open += 1;
        self.enter(&record, stage(), Slot::new(Weak::clone(&self.pool), line));
        record
    }

    /// Takes a connection in that has its slot.
    pub(super) fn enter(&mut self, record: &Arc<Record>, stage: Stage, slot: Slot) {
        // A slot alone is no connection yet.
        self.counters.opened += u64::from(!stage.is_reserved());
        self.entries
            .insert(record.id, Entry { record: Arc::clone(record), stage, slot, ahead: false });
    }

    pub(super) fn close(&mut self, id: u64, how: CloseMode, cause: Cause, after: &mut Aftermath) {
        let Some(entry) = self.entries.get(&id) else { return };
        let reason = cause.into();
        match (&entry.stage, how) {
            (Stage::Idle { .. } | Stage::Looked, _) => self.fall(id, reason, after),
            (Stage::Dialling(control), _) if control.is_detached() => {
                // There is no exchange to let finish.
                control.try_finish(cause);
                self.part(id, reason, after);
            }
            (_, CloseMode::Graceful) => entry.record.close_after(reason),
            // Its exchange was given another connection just now: that one is not meant.
            (Stage::Dialling(control), _) if control.connection() != id => {
                self.part(id, reason, after);
            }
            (
                Stage::Reserved(control)
                | Stage::Dialling(control)
                | Stage::InUse(control)
                | Stage::Granted { to: control, .. },
                CloseMode::Now,
            ) => {
                // Under the lock, so that nobody sees the connection gone and no cause for it. If
                // somebody was first, that one is about to let it go, for a reason of its own; it
                // must not go to anybody else then.
                if !control.try_finish(cause) {
                    entry.record.close_after(reason);
                } else if matches!(entry.stage, Stage::Dialling(_)) {
                    self.part(id, reason, after);
                } else {
                    self.fall(id, reason, after);
                }
            }
        }
    }

    /// Takes a connection out, whatever it does.
    pub(super) fn fall(&mut self, id: u64, reason: CloseReason, after: &mut Aftermath) {
        if let Some(entry) = self.remove(id, reason, after) {
            self.let_fall(entry, after);
        }
    }

    /// Takes a dial out that somebody else runs: its sockets are that one's, and so is its slot
    /// until they are gone ([`parted`](Self::parted)).
    fn part(&mut self, id: u64, reason: CloseReason, after: &mut Aftermath) {
        let Some(entry) = self.remove(id, reason, after) else { return };
        let Entry { stage, slot, ahead, .. } = entry;
        let line = slot.line();
        self.count_falling(line);
        self.parting.insert(id, slot);
        if ahead {
            self.came_to_nothing(line, after);
        }
        if let Stage::Dialling(control) = stage {
            after.woken.push(control);
        }
    }

    /// Whoever dialled has let go: if the dial was closed, its slot is free.
    pub(super) fn parted(&mut self, id: u64, after: &mut Aftermath) {
        after.freed.extend(self.parting.remove(&id));
    }

    /// An entry that is out of the maps: its socket is ended and its slot freed after the lock.
    pub(super) fn let_fall(&mut self, entry: Entry, after: &mut Aftermath) {
        let (line, ahead) = (entry.slot.line(), entry.ahead);
        self.count_falling(line);
        after.fallen.push(entry);
        if ahead {
            self.came_to_nothing(line, after);
        }
    }

    fn count_falling(&mut self, line: usize) {
        self.falling += 1;
        self.groups[self.lines[line].group].falling += 1;
    }

    /// [`fall`](Self::fall) for a connection that comes back and can't stay: it gets its goodbye.
    pub(super) fn fall_with(
        &mut self,
        connection: Box<Connection>,
        reason: CloseReason,
        after: &mut Aftermath,
    ) {
        if let Some(mut entry) = self.remove(connection.record.id, reason, after) {
            let since = entry.record.born;
            entry.stage = Stage::Idle { connection, since, stamp: 0 };
            self.let_fall(entry, after);
        }
    }

    /// A dial is for whoever comes from now on.
    pub(super) fn is_ahead(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id)
            && !std::mem::replace(&mut entry.ahead, true)
        {
            self.lines[entry.slot.line()].ahead += 1;
        }
    }

    /// Takes an entry out of the maps; its slot is still taken.
    pub(super) fn remove(
        &mut self,
        id: u64,
        reason: CloseReason,
        after: &mut Aftermath,
    ) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        match &entry.stage {
            Stage::Idle { stamp, .. } => {
                self.ages.remove(*stamp);
                let line = &mut self.lines[entry.slot.line()];
                line.idle.remove(*stamp);
                self.groups[line.group].idle -= 1;
            }
            Stage::Dialling(_) => self.counters.dials_failed += 1,
            Stage::Reserved(_) | Stage::InUse(_) | Stage::Granted { .. } | Stage::Looked => {}
        }
        if entry.stage.is_reserved() {
            // Nothing was begun.
            return Some(entry);
        }
        self.counters.closed += 1;
        if reason == CloseReason::StaleAtCheckout {
            self.counters.stale += 1;
            self.counters.reused -= 1;
        }
        if self.ended.len() == REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back((id, reason));
        self.tell(EventKind::Closed(reason), &entry.record, after);
        Some(entry)
    }

    /// A slot is free again: whoever is first in line for it gets it.
    pub(super) fn release(&mut self, line: usize, after: &mut Aftermath) {
        let group = self.lines[line].group;
        self.lines[line].open -= 1;
        self.groups[group].open -= 1;
        self.groups[group].falling -= 1;
        self.open -= 1;
        self.falling -= 1;
        self.list(group);
        self.serve(after);
        self.tidy(line);
        if self.open == 0 {
            after.rung.append(&mut self.drains);
        }
    }

    /// The child of a fork starts empty: the parent's connections are closed here without a word
    /// on the wire, and exchanges that were copied with the memory can't go on.
    pub(super) fn forget_all(&mut self) {
        for waiter in self.waiters.values() {
            waiter.control.try_finish(Cause::Forked);
        }
        for (_, entry) in self.entries.drain() {
            match &entry.stage {
                Stage::Reserved(control)
                | Stage::Dialling(control)
                | Stage::InUse(control)
                | Stage::Granted { to: control, .. } => {
                    control.try_finish(Cause::Forked);
                }
                Stage::Idle { .. } | Stage::Looked => {}
            }
            entry.record.forget();
        }
        *self = Self::new(Weak::new(), self.limits, self.closed);
    }
}

impl Stage {
    /// Whether there is only a slot, and nothing of a connection yet.
    pub(super) fn is_reserved(&self) -> bool {
        matches!(self, Self::Reserved(_))
    }

    pub(super) fn place(&self, record: &Record) -> Where {
        match self {
            Self::Reserved(_) | Self::Dialling(_) => Where::Dialling,
            Self::InUse(_) | Self::Granted { .. } => Where::InUse,
            Self::Idle { since, .. } => Where::Idle(*since),
            Self::Looked => Where::Idle(record.born),
        }
    }
}

/// How many endings are remembered for [`Pool::close_reason_of`].
const REMEMBERED: usize = 256;

/// Ids are consecutive and keys bring their own hash: one multiplication spreads either.
pub(super) type Spread = BuildHasherDefault<SpreadHasher>;

#[derive(Default)]
pub(super) struct SpreadHasher(u64);

impl Hasher for SpreadHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 divided by the golden ratio (Knuth, TAOCP 6.4).
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
