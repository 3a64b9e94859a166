//! The pool: every open connection, by id and by key, behind the only lock on a request's path.
//!
//! Nothing slow happens under the lock: no socket is closed, nobody is woken, no code of others
//! runs. What falls out of the pool is carried out of the critical section and ended there.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connection::{Connection, ConnectionInfo, Reason, Record, Where};
use super::control::{Cause, Control};
use super::key::PoolKey;
use super::{How, Limits, Stats};
use crate::process::generation;

/// Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct Pool {
    state: Mutex<State>,
    /// The process that the connections belong to.
    generation: AtomicU32,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<u64, Entry, Spread>,
    /// Idle connections of a key, the most recently used last.
    idle: HashMap<Arc<PoolKey>, VecDeque<u64>, Spread>,
    /// Idle connections in the order in which they became idle. A row whose stamp is not its
    /// entry's is out of date and is skipped: taking one out of the middle costs nothing.
    by_age: VecDeque<(u64, u64)>,
    idle_count: usize,
    next_stamp: u64,
    limits: Limits,
    counters: Stats,
    shut: bool,
    /// How the last ones ended.
    ended: VecDeque<(u64, Reason)>,
}

#[derive(Debug)]
struct Entry {
    record: Arc<Record>,
    slot: Slot,
}

#[derive(Debug)]
enum Slot {
    Dialling(Arc<Control>),
    InUse(Arc<Control>),
    Idle { connection: Box<Connection>, since: Instant, stamp: u64 },
}

/// What fell out of the pool: ended when it is dropped, after the lock.
#[derive(Default)]
struct Fallen(Vec<(Entry, Reason)>);

/// Why the pool gives no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    ShutDown,
    /// The exchange was ended in the meantime; its control says by whom.
    Ended,
}

impl Pool {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let state = Mutex::new(State { limits, ..State::default() });
        Arc::new(Self { state, generation: AtomicU32::new(generation()) })
    }

    /// An idle connection of that key, if there is one; it is the caller's from now on.
    pub(crate) fn take_idle(
        &self,
        key: &Arc<PoolKey>,
        control: &Arc<Control>,
        now: Instant,
    ) -> Result<Option<Connection>, Refused> {
        let mut fallen = Fallen::default();
        let mut state = self.lock();
        state.admits(control)?;
        state.expire(now, &mut fallen);
        let Some(id) = state.idle.get_mut(&**key).and_then(VecDeque::pop_back) else {
            return Ok(None);
        };
        state.idle_count -= 1;
        let slot = Slot::InUse(Arc::clone(control));
        let Some(entry) = state.entries.get_mut(&id) else { return Ok(None) };
        let Slot::Idle { connection, .. } = std::mem::replace(&mut entry.slot, slot) else {
            return Ok(None);
        };
        connection.record.requests.fetch_add(1, Ordering::Relaxed);
        control.has(id);
        state.counters.reused += 1;
        drop(state);
        Ok(Some(*connection))
    }

    /// Takes in a connection that is about to be dialled.
    pub(crate) fn begin_dial(
        &self,
        key: &Arc<PoolKey>,
        control: &Arc<Control>,
    ) -> Result<Arc<Record>, Refused> {
        let record = Record::new(Arc::clone(key));
        let mut state = self.lock();
        state.admits(control)?;
        state.counters.opened += 1;
        control.has(record.id);
        let slot = Slot::Dialling(Arc::clone(control));
        state.entries.insert(record.id, Entry { record: Arc::clone(&record), slot });
        Ok(record)
    }

    /// The dial is done: the connection serves its first exchange.
    pub(crate) fn dialled(&self, record: &Record, control: &Arc<Control>) -> Result<(), Refused> {
        let mut state = self.lock();
        let entry = state.entry_of(record.id, control).ok_or(Refused::Ended)?;
        entry.slot = Slot::InUse(Arc::clone(control));
        record.requests.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Takes a connection back after an exchange that ended well. The exchange is over when this
    /// returns `true`; `false` means that somebody ended it first.
    pub(crate) fn give_back(
        &self,
        connection: Connection,
        control: &Arc<Control>,
        now: Instant,
    ) -> bool {
        let mut fallen = Fallen::default();
        let mut state = self.lock();
        let id = connection.record.id;
        // Settled under the lock: from here on nobody can end this exchange, and its connection
        // is somebody else's.
        if state.entry_of(id, control).is_none() || !control.settle(Cause::Done) {
            drop(state);
            connection.record.end();
            return false;
        }
        state.admit_idle(connection, now, &mut fallen);
        true
    }

    /// Closes the connection of an exchange, for the exchange's own reason.
    pub(crate) fn close_mine(&self, id: u64, control: &Control, reason: Reason) {
        let mut fallen = Fallen::default();
        let mut state = self.lock();
        if state.entry_of(id, control).is_some() {
            state.fall(id, reason, &mut fallen);
            control.has(0);
        }
        drop(state);
    }

    /// Ends whatever connection an exchange has, because the exchange was ended from outside.
    pub(crate) fn end_lease(&self, control: &Control, reason: Reason) {
        let id = control.connection();
        if id != 0 {
            let mut fallen = Fallen::default();
            let mut state = self.lock();
            if state.entry_of(id, control).is_some() {
                state.fall(id, reason, &mut fallen);
            }
            drop(state);
        }
    }

    /// Closes those that `which` picks; answers how many were closed or marked.
    pub(crate) fn close(&self, how: How, cause: Cause, which: impl Fn(&Record) -> bool) -> usize {
        let mut fallen = Fallen::default();
        let mut state = self.lock();
        let picked: Vec<u64> =
            state.entries.values().filter(|e| which(&e.record)).map(|e| e.record.id).collect();
        for id in &picked {
            state.close(*id, how, cause, &mut fallen);
        }
        drop(state);
        picked.len()
    }

    /// Closes one by its id; `false` if it is not open.
    pub(crate) fn close_one(&self, id: u64, how: How) -> bool {
        let mut fallen = Fallen::default();
        let mut state = self.lock();
        let found = state.entries.contains_key(&id);
        if found {
            state.close(id, how, Cause::ClosedById, &mut fallen);
        }
        drop(state);
        found
    }

    /// Closes what has been idle for at least `idle_for`.
    pub(crate) fn close_idle(&self, idle_for: Duration, now: Instant) -> usize {
        let mut fallen = Fallen::default();
        let mut state = self.lock();
        let due = |entry: &&Entry| match entry.slot {
            Slot::Idle { since, .. } => now.saturating_duration_since(since) >= idle_for,
            _ => false,
        };
        let picked: Vec<u64> = state.entries.values().filter(due).map(|e| e.record.id).collect();
        for id in &picked {
            state.fall(*id, Reason::IdleTooLong, &mut fallen);
        }
        drop(state);
        picked.len()
    }

    pub(crate) fn shut_down(&self) {
        let mut fallen = Fallen::default();
        let mut state = self.lock();
        state.shut = true;
        let all: Vec<u64> = state.entries.keys().copied().collect();
        for id in all {
            state.close(id, How::Now, Cause::ShutDown, &mut fallen);
        }
        drop(state);
    }

    pub(crate) fn set_limits(&self, limits: Limits, now: Instant) {
        let mut fallen = Fallen::default();
        let mut state = self.lock();
        state.limits = limits;
        state.expire(now, &mut fallen);
        while state.idle_count > limits.idle_total && state.drop_oldest(&mut fallen) {}
        let keys: Vec<Arc<PoolKey>> = state.idle.keys().cloned().collect();
        for key in keys {
            state.trim(&key, &mut fallen);
        }
        drop(state);
    }

    pub(crate) fn limits(&self) -> Limits {
        self.lock().limits
    }

    pub(crate) fn list(&self, now: Instant) -> Vec<ConnectionInfo> {
        let mut fallen = Fallen::default();
        let mut state = self.lock();
        state.expire(now, &mut fallen);
        let mut open: Vec<(Arc<Record>, Where)> =
            state.entries.values().map(|e| (Arc::clone(&e.record), e.slot.place())).collect();
        drop(state);
        open.sort_unstable_by_key(|(record, _)| record.id);
        open.into_iter().map(|(record, place)| record.info(place, now)).collect()
    }

    pub(crate) fn stats(&self, now: Instant) -> Stats {
        let mut fallen = Fallen::default();
        let mut state = self.lock();
        state.expire(now, &mut fallen);
        let mut stats = Stats { dialling: 0, in_use: 0, idle: 0, ..state.counters };
        for entry in state.entries.values() {
            match entry.slot {
                Slot::Dialling(_) => stats.dialling += 1,
                Slot::InUse(_) => stats.in_use += 1,
                Slot::Idle { .. } => stats.idle += 1,
            }
        }
        stats
    }

    pub(crate) fn why_ended(&self, id: u64) -> Option<Reason> {
        self.lock().ended.iter().rev().find(|(ended, _)| *ended == id).map(|(_, reason)| *reason)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No critical section can panic half-way: each leaves the maps in step at every call out.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = generation();
        if self.generation.swap(now, Ordering::Relaxed) != now {
            state.forget_all();
        }
        state
    }
}

impl State {
    fn admits(&self, control: &Control) -> Result<(), Refused> {
        if control.cause().is_some() {
            return Err(Refused::Ended);
        }
        if self.shut { Err(Refused::ShutDown) } else { Ok(()) }
    }

    /// The entry, if it is the one that this exchange has.
    fn entry_of(&mut self, id: u64, control: &Control) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(&id)?;
        match &entry.slot {
            Slot::Dialling(owner) | Slot::InUse(owner) if std::ptr::eq(&**owner, control) => {
                Some(entry)
            }
            _ => None,
        }
    }

    fn admit_idle(&mut self, connection: Connection, now: Instant, fallen: &mut Fallen) {
        let id = connection.record.id;
        if let Some(reason) = connection.record.is_closing() {
            return self.fall_with(connection, reason, fallen);
        }
        let Limits { idle_total, idle_per_origin, .. } = self.limits;
        if self.shut || idle_total == 0 || idle_per_origin == 0 {
            let reason = if self.shut { Reason::ManagerShutDown } else { Reason::PoolFull };
            return self.fall_with(connection, reason, fallen);
        }
        let stamp = self.next_stamp;
        self.next_stamp += 1;
        let key = Arc::clone(&connection.record.key);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.slot = Slot::Idle { connection: Box::new(connection), since: now, stamp };
        self.by_age.push_back((id, stamp));
        self.idle_count += 1;
        match self.idle.get_mut(&key) {
            Some(line) => line.push_back(id),
            None => drop(self.idle.insert(Arc::clone(&key), VecDeque::from([id]))),
        }
        self.trim(&key, fallen);
        if self.idle_count > idle_total {
            self.drop_oldest(fallen);
        }
        self.expire(now, fallen);
        self.compact();
    }

    /// Keeps the bound on idle connections of one key; the least recently used go.
    fn trim(&mut self, key: &Arc<PoolKey>, fallen: &mut Fallen) {
        while let Some(line) = self.idle.get(key)
            && line.len() > self.limits.idle_per_origin
            && let Some(id) = line.front().copied()
        {
            self.fall(id, Reason::PoolFull, fallen);
        }
    }

    fn drop_oldest(&mut self, fallen: &mut Fallen) -> bool {
        while let Some((id, stamp)) = self.by_age.pop_front() {
            if self.idle_since(id, stamp).is_some() {
                self.fall(id, Reason::PoolFull, fallen);
                return true;
            }
        }
        false
    }

    /// Closes what has been idle for too long. Looks at the oldest only.
    fn expire(&mut self, now: Instant, fallen: &mut Fallen) {
        let Some(idle_for) = self.limits.idle_for else { return };
        while let Some((id, stamp)) = self.by_age.front().copied() {
            match self.idle_since(id, stamp) {
                Some(since) if now.saturating_duration_since(since) < idle_for => return,
                Some(_) => self.fall(id, Reason::IdleTooLong, fallen),
                None => {}
            }
            self.by_age.pop_front();
        }
    }

    fn idle_since(&self, id: u64, stamp: u64) -> Option<Instant> {
        match self.entries.get(&id)?.slot {
            Slot::Idle { since, stamp: mine, .. } if mine == stamp => Some(since),
            _ => None,
        }
    }

    /// Throws the rows away that are out of date, once they are the most: constant time each.
    fn compact(&mut self) {
        if self.by_age.len() > 2 * self.idle_count + 64 {
            let mut rows = std::mem::take(&mut self.by_age);
            rows.retain(|(id, stamp)| self.idle_since(*id, *stamp).is_some());
            self.by_age = rows;
        }
    }

    fn close(&mut self, id: u64, how: How, cause: Cause, fallen: &mut Fallen) {
        let Some(entry) = self.entries.get(&id) else { return };
        let reason = cause.into();
        match (&entry.slot, how) {
            (Slot::Dialling(_) | Slot::InUse(_), How::Graceful) => entry.record.close_after(reason),
            (Slot::Dialling(control) | Slot::InUse(control), How::Now) => {
                // Under the lock, so that nobody sees the connection gone and no cause for it.
                control.settle(cause);
                self.fall(id, reason, fallen);
            }
            (Slot::Idle { .. }, _) => self.fall(id, reason, fallen),
        }
    }

    /// Takes a connection out, whatever it does.
    fn fall(&mut self, id: u64, reason: Reason, fallen: &mut Fallen) {
        let Some(entry) = self.entries.remove(&id) else { return };
        match &entry.slot {
            Slot::Idle { .. } => {
                self.idle_count -= 1;
                if let Some(line) = self.idle.get_mut(&entry.record.key) {
                    line.retain(|other| *other != id);
                    if line.is_empty() {
                        self.idle.remove(&entry.record.key);
                    }
                }
            }
            Slot::Dialling(_) => self.counters.dials_failed += 1,
            Slot::InUse(_) => {}
        }
        self.note(id, reason);
        fallen.0.push((entry, reason));
    }

    /// [`fall`](Self::fall) for a connection that comes back and can't stay: it gets its goodbye.
    fn fall_with(&mut self, connection: Connection, reason: Reason, fallen: &mut Fallen) {
        if let Some(mut entry) = self.entries.remove(&connection.record.id) {
            self.note(connection.record.id, reason);
            entry.slot =
                Slot::Idle { connection: Box::new(connection), since: Instant::now(), stamp: 0 };
            fallen.0.push((entry, reason));
        }
    }

    fn note(&mut self, id: u64, reason: Reason) {
        self.counters.closed += 1;
        if reason == Reason::StaleAtCheckout {
            self.counters.stale += 1;
            self.counters.reused -= 1;
        }
        if self.ended.len() == REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back((id, reason));
    }

    /// The child of a fork starts empty: the parent's connections are closed here without a word
    /// on the wire, and exchanges that were copied with the memory can't go on.
    fn forget_all(&mut self) {
        for (_, entry) in self.entries.drain() {
            match &entry.slot {
                Slot::Dialling(control) | Slot::InUse(control) => {
                    drop(control.settle(Cause::Forked))
                }
                Slot::Idle { .. } => {}
            }
            entry.record.forget();
        }
        let limits = self.limits;
        *self = Self { limits, shut: self.shut, ..Self::default() };
    }
}

impl Slot {
    fn place(&self) -> Where {
        match self {
            Self::Dialling(_) => Where::Dialling,
            Self::InUse(_) => Where::InUse,
            Self::Idle { since, .. } => Where::Idle(*since),
        }
    }
}

impl Drop for Fallen {
    fn drop(&mut self) {
        for (entry, _) in self.0.drain(..) {
            match entry.slot {
                Slot::Idle { mut connection, .. } => connection.stream.say_goodbye(),
                Slot::Dialling(control) | Slot::InUse(control) => control.wake(),
            }
            entry.record.end();
        }
    }
}

/// How many endings are remembered for [`Pool::why_ended`].
const REMEMBERED: usize = 256;

/// Ids are consecutive and keys bring their own hash: one multiplication spreads either.
type Spread = BuildHasherDefault<SpreadHasher>;

#[derive(Default)]
struct SpreadHasher(u64);

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
