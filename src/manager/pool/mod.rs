//! The pool: every open connection, by id and by key, behind the only lock on a request's path.
//!
//! Nothing slow happens under the lock: no socket is closed, nobody is woken, no code of others
//! runs. What falls out of the pool is carried out of the critical section and ended there.

mod state;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use self::state::{Entry, Fallen, Slot, State};
use super::connection::{Connection, ConnectionInfo, Reason, Record, Where};
use super::control::{Cause, Control};
use super::key::PoolKey;
use super::{How, Limits, Stats};
use crate::process::PerProcess;

/// Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The connections belong to a process.
    state: PerProcess<Mutex<State>>,
    /// What a forked child takes over, to be had without the lock.
    limits: ArcSwap<Limits>,
    shut: AtomicBool,
    /// Requests that were sent again after a kept connection was lost.
    retried: AtomicU64,
}

/// Why the pool gives no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    ShutDown,
    /// The exchange was ended in the meantime; its control says by whom.
    Ended,
}

impl Pool {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let (state, shut) = (PerProcess::new(), AtomicBool::new(false));
        let (limits, retried) = (ArcSwap::from_pointee(limits), AtomicU64::new(0));
        let pool = Self { state, limits, shut, retried };
        // Now, and not in a child: it must find out that it is one.
        drop(pool.lock());
        Arc::new(pool)
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
        }
        drop(state);
    }

    /// Ends whatever connection an exchange has, because the exchange was ended from outside.
    pub(crate) fn end_lease(&self, control: &Control, reason: Reason) {
        let id = control.connection();
        if id != 0 {
            self.close_mine(id, control, reason);
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
        self.shut.store(true, Ordering::Relaxed);
        let all: Vec<u64> = state.entries.keys().copied().collect();
        for id in all {
            state.close(id, How::Now, Cause::ShutDown, &mut fallen);
        }
        drop(state);
    }

    /// Changes the limits in one step, so that two who change different ones don't undo each other.
    pub(crate) fn change_limits<E>(
        &self,
        now: Instant,
        change: impl FnOnce(&mut Limits) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut fallen = Fallen::default();
        let mut state = self.lock();
        let mut limits = state.limits;
        change(&mut limits)?;
        state.limits = limits;
        self.limits.store(Arc::new(limits));
        state.expire(now, &mut fallen);
        while state.idle_count > limits.idle_total && state.drop_oldest(&mut fallen) {}
        let keys: Vec<Arc<PoolKey>> = state.idle.keys().cloned().collect();
        for key in keys {
            state.trim(&key, &mut fallen);
        }
        drop(state);
        Ok(())
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

    /// A request goes out again because the peer had closed its connection, which is this one.
    pub(crate) fn note_retry(&self, _connection: u64) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn why_ended(&self, id: u64) -> Option<Reason> {
        self.lock().ended.iter().rev().find(|(ended, _)| *ended == id).map(|(_, reason)| *reason)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = self.state.get(|parents| self.begin(parents));
        // No critical section can panic half-way: each leaves the maps in step at every call out.
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty pool: the first one, or that of a forked child, which forgets its parent's. If a
    /// thread of the parent had the lock when it forked, nobody will ever give it back here: then
    /// the descriptors stay open in the child, unused. (The parent's closes are seen by the peer
    /// all the same: it shuts down before it closes.)
    fn begin(&self, parents: Option<&Mutex<State>>) -> Mutex<State> {
        match parents.map(Mutex::try_lock) {
            Some(Ok(mut old)) => old.forget_all(),
            Some(Err(TryLockError::Poisoned(old))) => old.into_inner().forget_all(),
            Some(Err(TryLockError::WouldBlock)) | None => {}
        }
        Mutex::new(State::new(**self.limits.load(), self.shut.load(Ordering::Relaxed)))
    }
}
