//! The pool and its lock, the only one that every request takes.
//!
//! Nothing slow happens under the lock: no socket is closed, no thread is woken, no code of another
//! layer runs. [`Pool::with_state`] is the only way to the state, and it does that work after it has
//! released the lock.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use arc_swap::ArcSwap;

use super::deferred::Deferred;
use super::slot::FreeSlots;
use super::state::{Closed, State};
use crate::manager::limits::Limits;
use crate::net::dns::Resolver;
use crate::process::PerProcess;
use crate::timer::TimerTarget;

/// Every open connection, by id and by key, and the waiters. Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct Pool {
    /// One for each process of a line of forks: connections belong to a process.
    state: PerProcess<Mutex<State>>,
    this: Weak<Self>,
    /// A copy of the limits, for readers and for a forked child, which can't take the parent's lock.
    limits: ArcSwap<Limits>,
    /// A copy of the state's `closed`, for a forked child: [`OPEN`], or the number of a [`Closed`].
    closed: AtomicU8,
    /// Whether the events have a subscriber.
    pub(super) has_subscribers: AtomicBool,
    resolver: Arc<Resolver>,
    /// Whether changes of the network that the system tells of are acted on.
    pub(super) watches_network: AtomicBool,
    /// The process (see [`fork_generation`](crate::process::fork_generation)) whose listener tells it of them, plus
    /// one; 0 for none.
    pub(super) joined_in: AtomicU32,
}

impl Pool {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let pool = Arc::new_cyclic(|this| Self {
            state: PerProcess::new(),
            this: Weak::clone(this),
            limits: ArcSwap::from_pointee(limits),
            closed: AtomicU8::new(OPEN),
            has_subscribers: AtomicBool::new(false),
            resolver: Arc::new(Resolver::new()),
            watches_network: AtomicBool::new(true),
            joined_in: AtomicU32::new(0),
        });
        // Makes the state before any fork, so that a child can tell it from its own.
        pool.with_state(|_, _| ());
        pool
    }

    /// Runs a critical section, and after it what it has deferred.
    #[inline]
    pub(super) fn with_state<R>(&self, f: impl FnOnce(&mut State, &mut Deferred) -> R) -> R {
        // Locals are dropped in reverse order: first the guard, which unlocks, then the deferred
        // work, which is carried out by its drop.
        let mut deferred = Deferred::default();
        let mut state = self.lock();
        f(&mut state, &mut deferred)
    }

    pub(crate) fn limits(&self) -> Limits {
        **self.limits.load()
    }

    pub(crate) fn resolver(&self) -> &Arc<Resolver> {
        &self.resolver
    }

    /// To be called under the lock, with the limits that the state has got.
    pub(super) fn publish_limits(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
    }

    /// To be called under the lock, with what the state has got.
    pub(super) fn publish_closed(&self, closed: Closed) {
        self.closed.store(closed as u8, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = self.state.get(|parents| self.first_state(parents));
        // A panic leaves the state usable: every method keeps the maps consistent at each call.
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of this process: the first one, or that of a forked child, which forgets its
    /// parent's. If a thread of the parent held the lock during the fork, it is locked for ever in
    /// the child; then the parent's descriptors stay open there, unused. The peers still see the
    /// parent's closes, because a close is a shutdown(2) first.
    fn first_state(&self, parents: Option<&Mutex<State>>) -> Mutex<State> {
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
        let owner: Weak<dyn FreeSlots> = self.this.clone();
        let swept: Weak<dyn TimerTarget> = self.this.clone();
        Mutex::new(State::new(owner, swept, self.limits(), closed))
    }
}

impl FreeSlots for Pool {
    fn free_slots(&self, key_ids: &[usize]) {
        self.with_state(|state, deferred| state.free_slots(key_ids, deferred));
    }
}

/// The number of no [`Closed`].
const OPEN: u8 = 0;
