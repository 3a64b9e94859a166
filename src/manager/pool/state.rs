//! What the pool's lock protects: the maps, kept in step, and what falls out of them.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::Instant;

use super::Refused;
use crate::manager::connection::{Connection, Reason, Record, Where};
use crate::manager::control::{Cause, Control};
use crate::manager::key::PoolKey;
use crate::manager::{How, Limits, Stats};

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) entries: HashMap<u64, Entry, Spread>,
    /// Idle connections of a key, the most recently used last.
    pub(super) idle: HashMap<Arc<PoolKey>, VecDeque<u64>, Spread>,
    /// Idle connections in the order in which they became idle. A row whose stamp is not its
    /// entry's is out of date and is skipped: taking one out of the middle costs nothing.
    by_age: VecDeque<(u64, u64)>,
    pub(super) idle_count: usize,
    next_stamp: u64,
    pub(super) limits: Limits,
    pub(super) counters: Stats,
    pub(super) shut: bool,
    /// How the last ones ended.
    pub(super) ended: VecDeque<(u64, Reason)>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: Arc<Record>,
    pub(super) slot: Slot,
}

#[derive(Debug)]
pub(super) enum Slot {
    Dialling(Arc<Control>),
    InUse(Arc<Control>),
    Idle { connection: Box<Connection>, since: Instant, stamp: u64 },
}

/// What fell out of the pool: ended when it is dropped, after the lock.
#[derive(Default)]
pub(super) struct Fallen(Vec<(Entry, Reason)>);

impl State {
    pub(super) fn new(limits: Limits, shut: bool) -> Self {
        Self { limits, shut, ..Self::default() }
    }

    pub(super) fn admits(&self, control: &Control) -> Result<(), Refused> {
        if control.cause().is_some() {
            return Err(Refused::Ended);
        }
        if self.shut { Err(Refused::ShutDown) } else { Ok(()) }
    }

    /// The entry, if it is the one that this exchange has.
    pub(super) fn entry_of(&mut self, id: u64, control: &Control) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(&id)?;
        match &entry.slot {
            Slot::Dialling(owner) | Slot::InUse(owner) if std::ptr::eq(&**owner, control) => {
                Some(entry)
            }
            _ => None,
        }
    }

    pub(super) fn admit_idle(&mut self, connection: Connection, now: Instant, fallen: &mut Fallen) {
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
    pub(super) fn trim(&mut self, key: &Arc<PoolKey>, fallen: &mut Fallen) {
        while let Some(line) = self.idle.get(key)
            && line.len() > self.limits.idle_per_origin
            && let Some(id) = line.front().copied()
        {
            self.fall(id, Reason::PoolFull, fallen);
        }
    }

    pub(super) fn drop_oldest(&mut self, fallen: &mut Fallen) -> bool {
        while let Some((id, stamp)) = self.by_age.pop_front() {
            if self.idle_since(id, stamp).is_some() {
                self.fall(id, Reason::PoolFull, fallen);
                return true;
            }
        }
        false
    }

    /// Closes what has been idle for too long. Looks at the oldest only.
    pub(super) fn expire(&mut self, now: Instant, fallen: &mut Fallen) {
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

    pub(super) fn close(&mut self, id: u64, how: How, cause: Cause, fallen: &mut Fallen) {
        let Some(entry) = self.entries.get(&id) else { return };
        let reason = cause.into();
        match (&entry.slot, how) {
            (Slot::Dialling(_) | Slot::InUse(_), How::Graceful) => entry.record.close_after(reason),
            (Slot::Dialling(control) | Slot::InUse(control), How::Now) => {
                // Under the lock, so that nobody sees the connection gone and no cause for it. If
                // somebody was first, that one is about to close it, for a reason of its own.
                if control.settle(cause) {
                    self.fall(id, reason, fallen);
                }
            }
            (Slot::Idle { .. }, _) => self.fall(id, reason, fallen),
        }
    }

    /// Takes a connection out, whatever it does.
    pub(super) fn fall(&mut self, id: u64, reason: Reason, fallen: &mut Fallen) {
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
            // The last of its key leaves no empty line behind.
            Slot::InUse(_) if self.idle.get(&entry.record.key).is_some_and(VecDeque::is_empty) => {
                self.idle.remove(&entry.record.key);
            }
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
    pub(super) fn forget_all(&mut self) {
        for (_, entry) in self.entries.drain() {
            match &entry.slot {
                Slot::Dialling(control) | Slot::InUse(control) => {
                    control.settle(Cause::Forked);
                }
                Slot::Idle { .. } => {}
            }
            entry.record.forget();
        }
        *self = Self::default();
    }
}

impl Slot {
    pub(super) fn place(&self) -> Where {
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
