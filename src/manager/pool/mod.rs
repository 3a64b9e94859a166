//! The pool: every open connection, by id and by key, and who waits for one, behind the only lock
//! on a request's path.
//!
//! Nothing slow happens under the lock: no socket is closed, nobody is woken, no code of others
//! runs. What is left to do is carried out of the critical section ([`deferred`]).

mod checkout;
mod deferred;
mod idle;
mod lru;
mod slot;
mod state;
#[cfg(test)]
mod tests;
mod waiters;
mod watch;

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

pub(crate) use self::checkout::Dialled;
use self::deferred::Aftermath;
use self::state::{Closed, State};
use super::connection::{Connection, ConnectionInfo, Record, Where};
use super::control::Cause;
use super::{CloseMode, Limits, Stats};
use crate::net::Stop;
use crate::net::dns::Resolver;
use crate::process::PerProcess;
use crate::runtime::Notify;
use crate::vocabulary::CloseReason;

/// Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The connections belong to a process.
    state: PerProcess<Mutex<State>>,
    me: Weak<Self>,
    /// What a forked child takes over, to be had without the lock.
    limits: ArcSwap<Limits>,
    closed: AtomicU8,
    /// Somebody listens to events: what is not recorded under the lock asks here first.
    listening: AtomicBool,
    resolver: Arc<Resolver>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum LeaseError {
    ShutDown,
    /// The queue is as long as it may be: that many wait.
    QueueFull(usize),
    /// The wait or the dial stopped. After [`Stop::Ended`] the control has the cause.
    Stop(Stop),
}

impl From<Stop> for LeaseError {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// What a request gets that asks for a connection, or comes to fetch one.
#[derive(Debug)]
pub(crate) enum Checkout {
    /// An open connection; it is the caller's from now on.
    Open(Box<Connection>),
    /// A slot: dial.
    Dial(Arc<Record>),
    /// Nothing yet: wait for the control's event, then fetch. `promised`: for a dial that somebody
    /// else began; insist if that takes too long.
    Wait { promised: bool },
}

impl Pool {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let pool = Arc::new_cyclic(|me| Self {
            state: PerProcess::new(),
            me: Weak::clone(me),
            limits: ArcSwap::from_pointee(limits),
            closed: AtomicU8::new(OPEN),
            listening: AtomicBool::new(false),
            resolver: Arc::new(Resolver::new()),
        });
        // Now, and not in a child: it must find out that it is one.
        drop(pool.lock());
        pool
    }

    pub(crate) fn resolver(&self) -> &Arc<Resolver> {
        &self.resolver
    }

    /// Closes those that `which` picks; answers how many were closed or marked.
    pub(crate) fn close(
        &self,
        how: CloseMode,
        cause: Cause,
        which: impl Fn(&Record) -> bool,
    ) -> usize {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        let picked: Vec<u64> =
            state.connections().filter(|e| which(&e.record)).map(|e| e.record.id).collect();
        for id in &picked {
            state.close(*id, how, cause, &mut after);
        }
        drop(state);
        picked.len()
    }

    /// Closes one by its id; `false` if it is not open.
    pub(crate) fn close_one(&self, id: u64, how: CloseMode) -> bool {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        let found = state.entries.get(&id).is_some_and(|entry| !entry.stage.is_reserved());
        if found {
            state.close(id, how, Cause::ClosedById, &mut after);
        }
        drop(state);
        found
    }

    /// Closes what has been idle for at least `idle_for`.
    pub(crate) fn close_idle(
        &self,
        idle_for: Duration,
        reason: CloseReason,
        now: Instant,
    ) -> usize {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        let all = state.ages.from(0);
        let picked = all.filter(|row| now.saturating_duration_since(row.since) >= idle_for);
        let picked: Vec<u64> = picked.map(|row| row.id).collect();
        for id in &picked {
            state.fall(*id, reason, &mut after);
        }
        drop(state);
        picked.len()
    }

    /// No new leases from now on; what is idle is closed, what runs finishes, who waits is refused.
    /// `empty` is set when nothing is open any more. Answers whether that is so already.
    pub(crate) fn drain(&self, empty: &Arc<Notify>) -> bool {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        self.refuse(&mut state, Closed::Draining, &mut after);
        let all: Vec<u64> = state.entries.keys().copied().collect();
        for id in all {
            state.close(id, CloseMode::Graceful, Cause::ShutDown, &mut after);
        }
        let is_empty = state.open == 0;
        if !is_empty {
            state.drains.push(Arc::clone(empty));
        }
        is_empty
    }

    /// How many connections are open, until nobody waits for `empty` any more.
    pub(crate) fn left(&self, empty: &Arc<Notify>) -> usize {
        let mut state = self.lock();
        state.drains.retain(|other| !Arc::ptr_eq(other, empty));
        state.open
    }

    pub(crate) fn shut_down(&self) {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        self.refuse(&mut state, Closed::ShutDown, &mut after);
        let all: Vec<u64> = state.entries.keys().copied().collect();
        for id in all {
            state.close(id, CloseMode::Now, Cause::ShutDown, &mut after);
        }
        drop(state);
    }

    /// From now on nobody gets a connection, and nobody waits for one.
    fn refuse(&self, state: &mut State, how: Closed, after: &mut Aftermath) {
        if state.closed != Some(Closed::ShutDown) {
            state.closed = Some(how);
            self.closed.store(how as u8, Ordering::Relaxed);
        }
        for waiter in state.waiters.values() {
            // Who dials already is running: a drain lets it finish.
            let running = waiter.dial.is_some() && how == Closed::Draining;
            if !running && waiter.control.try_finish(Cause::ShutDown) {
                after.woken.push(Arc::clone(&waiter.control));
            }
        }
    }

    /// Changes the limits in one step, so that two who change different ones don't undo each other.
    pub(crate) fn change_limits<E>(
        &self,
        now: Instant,
        change: impl FnOnce(&mut Limits) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        let mut limits = state.limits;
        change(&mut limits)?;
        state.limits = limits;
        self.limits.store(Arc::new(limits));
        state.apply_limits(now, &mut after);
        drop(state);
        Ok(())
    }

    pub(crate) fn limits(&self) -> Limits {
        **self.limits.load()
    }

    pub(crate) fn list(&self, now: Instant) -> Vec<ConnectionInfo> {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        state.expire(now, &mut after);
        let mut open: Vec<(Arc<Record>, Where)> = state
            .connections()
            .map(|e| (Arc::clone(&e.record), e.stage.place(&e.record)))
            .collect();
        drop(state);
        open.sort_unstable_by_key(|(record, _)| record.id);
        open.into_iter().map(|(record, place)| record.info(place, now)).collect()
    }

    pub(crate) fn stats(&self, now: Instant) -> Stats {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        state.expire(now, &mut after);
        let queued = state.queued as u64;
        let mut stats = Stats { queued, ..state.counters };
        for entry in state.connections() {
            match entry.stage.place(&entry.record) {
                Where::Dialling => stats.dialling += 1,
                Where::InUse => stats.in_use += 1,
                Where::Idle(_) => stats.idle += 1,
            }
        }
        stats
    }

    pub(crate) fn close_reason_of(&self, id: u64) -> Option<CloseReason> {
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
        let closed = match self.closed.load(Ordering::Relaxed) {
            OPEN => None,
            closed if closed == Closed::Draining as u8 => Some(Closed::Draining),
            _ => Some(Closed::ShutDown),
        };
        Mutex::new(State::new(Weak::clone(&self.me), self.limits(), closed))
    }
}

/// None of [`Closed`]'s.
const OPEN: u8 = 0;
