//! The fibers of an event loop: where each of them is, whose turn it is, which deadlines they have, and which
//! descriptors are registered for them.
//!
//! Knows neither the kernel nor how a fiber suspends: the event loop takes turns from here, and a fiber says
//! here what it waits for before it suspends.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use slab::Slab;

use super::reactor::Reactor;
use super::readiness::Readiness;
use super::source::Source;
use super::stackful::Stackful;
use super::timers::Timers;

/// Threads: the one that runs the loop.
pub(super) struct RunQueue {
    reactor: Arc<Reactor>,
    fibers: RefCell<Slab<FiberSlot>>,
    /// The fibers that may run, in the order in which they became due.
    due: RefCell<VecDeque<FiberKey>>,
    timers: RefCell<Timers>,
    sources: RefCell<Slab<Arc<Source>>>,
    /// The time of the last look at the clock.
    now: Cell<Instant>,
    last_generation: Cell<u32>,
}

/// A fiber's place in the slab, and which of the fibers that had this place it is. Never 0.
pub(super) type FiberKey = u64;

struct FiberSlot {
    generation: u32,
    /// `None` while it runs.
    coroutine: Option<Stackful>,
    parked: bool,
    until: Option<Instant>,
}

impl RunQueue {
    pub(super) fn new(reactor: Arc<Reactor>) -> Self {
        Self {
            reactor,
            fibers: RefCell::default(),
            due: RefCell::default(),
            timers: RefCell::default(),
            sources: RefCell::default(),
            now: Cell::new(Instant::now()),
            last_generation: Cell::new(0),
        }
    }

    pub(super) fn reactor(&self) -> &Arc<Reactor> {
        &self.reactor
    }

    pub(super) fn now(&self) -> Instant {
        self.now.get()
    }

    pub(super) fn set_now(&self, now: Instant) {
        self.now.set(now);
    }

    /// Whether it has no fiber.
    pub(super) fn is_empty(&self) -> bool {
        self.fibers.borrow().is_empty()
    }

    pub(super) fn has_due(&self) -> bool {
        !self.due.borrow().is_empty()
    }

    /// Adds a fiber, which is due; `make` gets its key.
    pub(super) fn add(&self, make: impl FnOnce(FiberKey) -> Stackful) {
        let generation = self.last_generation.get().wrapping_add(1).max(1);
        self.last_generation.set(generation);
        let mut fibers = self.fibers.borrow_mut();
        let entry = fibers.vacant_entry();
        let key = key(entry.key(), generation);
        let coroutine = Some(make(key));
        entry.insert(FiberSlot { generation, coroutine, parked: false, until: None });
        drop(fibers);
        self.due.borrow_mut().push_back(key);
    }

    pub(super) fn remove(&self, fiber: FiberKey) {
        self.fibers.borrow_mut().remove(slot_index(fiber));
    }

    /// The next fiber that is due. What the one after it needs of its stack is fetched into the cache.
    pub(super) fn next_due(&self) -> Option<FiberKey> {
        let fiber = self.due.borrow_mut().pop_front()?;
        if let Some(next) = self.due.borrow().front() {
            self.with_slot(*next, |slot| slot.coroutine.as_ref().map(Stackful::prefetch));
        }
        Some(fiber)
    }

    pub(super) fn take_coroutine(&self, fiber: FiberKey) -> Option<Stackful> {
        self.with_slot(fiber, |slot| slot.coroutine.take()).flatten()
    }

    pub(super) fn put_coroutine(&self, fiber: FiberKey, coroutine: Stackful) {
        self.with_slot(fiber, |slot| slot.coroutine = Some(coroutine));
    }

    /// The first deadline of a fiber, or an earlier time.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.timers.borrow().next()
    }

    /// Makes the fibers due whose deadlines have come; they run first.
    pub(super) fn wake_expired(&self) {
        loop {
            let Some(index) = self.timers.borrow_mut().pop_expired(self.now()) else { return };
            let Some((until, generation)) = self
                .fibers
                .borrow()
                .get(index)
                .filter(|slot| slot.parked)
                .and_then(|slot| Some((slot.until?, slot.generation)))
            else {
                continue;
            };
            if until > self.now() {
                self.timers.borrow_mut().set(index, until);
            } else {
                self.wake_first(key(index, generation));
            }
        }
    }

    /// Makes a parked fiber due before all others; does nothing if it runs or has ended.
    pub(super) fn wake_first(&self, fiber: FiberKey) {
        if self.unpark(fiber) {
            self.due.borrow_mut().push_front(fiber);
        }
    }

    /// The kernel says what a descriptor is ready for: the fiber that waits for that is due.
    pub(super) fn source_is_ready(&self, token: usize, readiness: Readiness) {
        let source = self.sources.borrow().get(token).cloned();
        if let Some(waiter) = source.and_then(|source| source.ready_state().add(readiness))
            && self.unpark(waiter)
        {
            self.due.borrow_mut().push_back(waiter);
        }
    }

    pub(super) fn forget_source(&self, token: usize) {
        self.sources.borrow_mut().try_remove(token);
    }

    /// Whether that fiber was parked.
    fn unpark(&self, fiber: FiberKey) -> bool {
        self.with_slot(fiber, |slot| std::mem::take(&mut slot.parked)).unwrap_or(false)
    }

    /// A fiber is about to suspend until it is woken, or until that time.
    pub(super) fn park(&self, fiber: FiberKey, until: Option<Instant>) {
        self.with_slot(fiber, |slot| (slot.parked, slot.until) = (true, until));
        if let Some(until) = until {
            self.timers.borrow_mut().set(slot_index(fiber), until);
        }
    }

    /// A fiber is about to suspend until every other one that is due had its turn.
    pub(super) fn requeue(&self, fiber: FiberKey) {
        self.due.borrow_mut().push_back(fiber);
    }

    /// Registers a descriptor with this loop's reactor, unless it is.
    pub(super) fn register(&self, source: &Arc<Source>) -> io::Result<()> {
        let add = || self.sources.borrow_mut().insert(Arc::clone(source));
        source.register_with(&self.reactor, add)
    }

    fn with_slot<T>(&self, fiber: FiberKey, what: impl FnOnce(&mut FiberSlot) -> T) -> Option<T> {
        let mut fibers = self.fibers.borrow_mut();
        let slot = fibers.get_mut(slot_index(fiber))?;
        (key(slot_index(fiber), slot.generation) == fiber).then(|| what(slot))
    }
}

impl Drop for RunQueue {
    /// Open descriptors that no fiber waits for outlive the loop. They hold a share of the reactor, and with
    /// that the reactor's own descriptors.
    fn drop(&mut self) {
        for (_, source) in self.sources.get_mut().iter() {
            source.reactor_ended(&self.reactor);
        }
    }
}

fn key(index: usize, generation: u32) -> FiberKey {
    (u64::from(generation) << 32) | (index as u64 & 0xffff_ffff)
}

fn slot_index(fiber: FiberKey) -> usize {
    (fiber & 0xffff_ffff) as usize
}
