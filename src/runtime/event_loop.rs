//! An event loop: runs fibers that are due, then asks the kernel which descriptors are ready and
//! the clock whose time has come, then runs those.
//!
//! Everybody has a turn: at most [`BATCH`] fibers run between two looks at the kernel, in the
//! order in which they became due, each for a bounded stretch of work. Who was woken by another
//! thread goes first: mostly that is somebody who was cancelled.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use slab::Slab;

use super::fiber::Fiber;
use super::reactor::{Job, Reactor, WAKER};
use super::readiness::Readiness;
use super::source::Source;
use super::stackful::{Stackful, Stacks};
use super::timers::Timers;
use super::{WakeReason, WakeTarget};

/// Threads: the one that runs it.
pub(super) struct EventLoop {
    reactor: Arc<Reactor>,
    /// What it polls, and what that said last.
    kernel: RefCell<(Poll, Events)>,
    fibers: RefCell<Slab<FiberSlot>>,
    /// Whose turn it is, by key.
    due: RefCell<VecDeque<u64>>,
    timers: RefCell<Timers>,
    sources: RefCell<Slab<Arc<Source>>>,
    stacks: RefCell<Stacks>,
    /// Whom to ring after these turns.
    bells: RefCell<Vec<Arc<dyn WakeTarget>>>,
    /// The time of the last look at the clock.
    now: Cell<Instant>,
    born: Cell<u32>,
    /// Turns since the last look at the kernel.
    turns: Cell<usize>,
    /// When stacks are to be given back.
    trim_at: Cell<Instant>,
}

/// A fiber's place.
struct FiberSlot {
    /// Which of those who had this place it is.
    generation: u32,
    /// Not there while it runs.
    coroutine: Option<Stackful>,
    parked: bool,
    until: Option<Instant>,
}

impl EventLoop {
    pub(super) fn new(reactor: Arc<Reactor>, poll: Poll) -> Self {
        let now = Instant::now();
        Self {
            reactor,
            kernel: RefCell::new((poll, Events::with_capacity(EVENTS))),
            fibers: RefCell::default(),
            due: RefCell::default(),
            timers: RefCell::default(),
            sources: RefCell::default(),
            stacks: RefCell::default(),
            bells: RefCell::default(),
            now: Cell::new(now),
            born: Cell::new(0),
            turns: Cell::new(0),
            trim_at: Cell::new(now),
        }
    }

    pub(super) fn reactor(&self) -> &Arc<Reactor> {
        &self.reactor
    }

    pub(super) fn now(&self) -> Instant {
        self.now.get()
    }

    /// Whether there is nothing left to do and nothing more will come.
    pub(super) fn is_over(&self) -> bool {
        self.reactor.is_stopped() && self.fibers.borrow().is_empty() && !self.reactor.has_news()
    }

    /// Runs it on this thread for as long as it `goes_on`, until that time, or until it is interrupted by
    /// a signal.
    pub(super) fn run(
        self: &Rc<Self>,
        until: Option<Instant>,
        mut goes_on: impl FnMut() -> bool,
    ) -> WakeReason {
        let _here = Here::begin(self);
        loop {
            // Who begins now can rely on what the kernel says after that.
            self.take_news();
            if !goes_on() {
                return WakeReason::Notified;
            }
            if until.is_some_and(|until| until <= self.now()) {
                return WakeReason::Deadline;
            }
            if self.look(self.nap(until)).is_err() {
                return WakeReason::Interrupted;
            }
            if self.due.borrow().is_empty() {
                self.take_news();
            }
            self.give_turns();
        }
    }

    /// Asks the kernel and the clock what has happened; waits for that, at most for so long. An error: a
    /// signal ended the wait.
    fn look(&self, nap: Option<Duration>) -> io::Result<()> {
        let may_sleep = nap != Some(Duration::ZERO);
        let nap = if may_sleep && self.reactor.begin_sleep() { nap } else { Some(Duration::ZERO) };
        let mut kernel = self.kernel.borrow_mut();
        let (poll, events) = &mut *kernel;
        // Nothing else can fail with a descriptor that is ours.
        let interrupted = poll.poll(events, nap);
        if interrupted.is_err() {
            events.clear();
        }
        if may_sleep {
            self.reactor.end_sleep();
        }
        self.now.set(Instant::now());
        self.turns.set(0);
        for notify in events.iter().filter(|notify| notify.token() != WAKER) {
            self.happened(notify);
        }
        drop(kernel);
        self.ring();
        if self.now() >= self.trim_at.get() {
            self.trim_at.set(self.now() + TRIM);
            self.stacks.borrow_mut().trim();
        }
        interrupted
    }

    /// What others left for us. Who they woke goes first.
    fn take_news(self: &Rc<Self>) {
        let Some(inbox) = self.reactor.take_news() else { return };
        for token in inbox.gone {
            self.sources.borrow_mut().try_remove(token);
        }
        for job in inbox.jobs {
            self.begin(job);
        }
        for fiber in inbox.woken.into_iter().rev() {
            if self.wake(fiber) {
                self.due.borrow_mut().push_front(fiber);
            }
        }
    }

    fn begin(self: &Rc<Self>, mut job: Job) {
        let stack = self.stacks.borrow_mut().take();
        let stack = match stack {
            Ok(stack) => stack,
            Err(error) => {
                // The job reports it; what is called then may be other people's code.
                let _ = catch_unwind(AssertUnwindSafe(|| job(Err(error))));
                return self.reactor.job_ended();
            }
        };
        let generation = self.born.get().wrapping_add(1).max(1);
        self.born.set(generation);
        let mut fibers = self.fibers.borrow_mut();
        let place = fibers.vacant_entry();
        let key = key(place.key(), generation);
        let event_loop = Rc::clone(self);
        let coroutine = Stackful::new(stack, move |out| {
            // What a job has to say about its own panic it said.
            Fiber::run(event_loop, key, out, || {
                let _ = catch_unwind(AssertUnwindSafe(|| job(Ok(()))));
            });
        });
        place.insert(FiberSlot {
            generation,
            coroutine: Some(coroutine),
            parked: false,
            until: None,
        });
        drop(fibers);
        self.due.borrow_mut().push_back(key);
    }

    fn give_turns(self: &Rc<Self>) {
        while self.turns.get() < BATCH {
            let Some(fiber) = self.due.borrow_mut().pop_front() else { break };
            if let Some(next) = self.due.borrow().front() {
                self.with_seat(*next, |seat| seat.coroutine.as_ref().map(Stackful::prefetch));
            }
            self.resume(fiber);
            self.turns.set(self.turns.get() + 1);
            if self.reactor.is_urgent() {
                self.take_news();
            }
            if self.turns.get().is_multiple_of(RINGING) {
                self.ring_all();
            }
        }
        self.ring_all();
    }

    fn ring_all(&self) {
        // Who is rung may put something in again.
        for waker in self.bells.take() {
            waker.ring();
        }
    }

    fn resume(&self, fiber: u64) {
        let taken = self.with_seat(fiber, |seat| seat.coroutine.take()).flatten();
        let Some(mut coroutine) = taken else { return };
        if coroutine.resume() {
            self.fibers.borrow_mut().remove(place(fiber));
            self.reactor.job_ended();
            self.stacks.borrow_mut().keep(coroutine.into_stack());
        } else {
            self.with_seat(fiber, |seat| seat.coroutine = Some(coroutine));
        }
    }

    /// How long to wait, if nothing happens before: not at all if somebody is due, and at most until
    /// that time.
    fn nap(&self, until: Option<Instant>) -> Option<Duration> {
        if !self.due.borrow().is_empty() {
            return Some(Duration::ZERO);
        }
        let tidy = self.stacks.borrow().has_many().then(|| self.trim_at.get());
        let next = self.timers.borrow().next().into_iter().chain(tidy).chain(until).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn happened(&self, event: &mio::event::Event) {
        let source = self.sources.borrow().get(event.token().0).cloned();
        let Some(waiter) = source.and_then(|source| source.notes().happened(readiness_of(event)))
        else {
            return;
        };
        if self.wake(waiter) {
            self.due.borrow_mut().push_back(waiter);
        }
    }

    /// Wakes those whose time has come.
    fn ring(&self) {
        loop {
            let Some(place) = self.timers.borrow_mut().ring(self.now()) else { return };
            let Some((until, generation)) = self
                .fibers
                .borrow()
                .get(place)
                .filter(|seat| seat.parked)
                .and_then(|seat| Some((seat.until?, seat.generation)))
            else {
                continue;
            };
            if until > self.now() {
                self.timers.borrow_mut().set(place, until);
            } else if self.wake(key(place, generation)) {
                // It has waited long enough.
                self.due.borrow_mut().push_front(key(place, generation));
            }
        }
    }

    /// Whether that fiber was parked, and is to have its turn.
    fn wake(&self, fiber: u64) -> bool {
        self.with_seat(fiber, |seat| std::mem::take(&mut seat.parked)).unwrap_or(false)
    }

    /// A fiber is about to suspend until it is woken, or until that time.
    pub(super) fn parks(&self, fiber: u64, until: Option<Instant>) {
        self.with_seat(fiber, |seat| (seat.parked, seat.until) = (true, until));
        if let Some(until) = until {
            self.timers.borrow_mut().set(place(fiber), until);
        }
    }

    /// A fiber is about to suspend until everybody else had a turn.
    pub(super) fn steps_back(&self, fiber: u64) {
        self.due.borrow_mut().push_back(fiber);
    }

    /// A descriptor shall be watched here.
    pub(super) fn lives_here(&self, source: &Arc<Source>) -> io::Result<()> {
        let enter = || self.sources.borrow_mut().insert(Arc::clone(source));
        source.live_with(&self.reactor, enter)
    }

    fn with_seat<T>(&self, fiber: u64, what: impl FnOnce(&mut FiberSlot) -> T) -> Option<T> {
        let mut fibers = self.fibers.borrow_mut();
        let seat = fibers.get_mut(place(fiber))?;
        (key(place(fiber), seat.generation) == fiber).then(|| what(seat))
    }
}

impl Drop for EventLoop {
    /// Descriptors that are open, but that nobody waits for, outlive it; they hold a share of the
    /// reactor, and with that its own descriptors.
    fn drop(&mut self) {
        for (_, source) in self.sources.get_mut().iter() {
            source.lives_no_more_with(&self.reactor);
        }
    }
}

thread_local! {
    static HERE: RefCell<Option<Rc<EventLoop>>> = const { RefCell::new(None) };
}

/// While this thread runs a loop.
struct Here;

impl Here {
    fn begin(event_loop: &Rc<EventLoop>) -> Self {
        HERE.set(Some(Rc::clone(event_loop)));
        Self
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        HERE.set(None);
    }
}

/// The loop that this thread runs.
// Not inlined: a fiber may be on another thread after a wait, and the compiler believes that the
// place of a thread-local value never changes within a function.
#[inline(never)]
fn here() -> Option<Rc<EventLoop>> {
    // A thread that is ending runs none any more.
    HERE.try_with(|here| here.borrow().clone()).ok().flatten()
}

pub(super) fn is_here() -> bool {
    here().is_some()
}

/// Has the loop that this thread runs ring soon; gives the bell back if it runs none.
pub(super) fn defer_wake(waker: Arc<dyn WakeTarget>) -> Option<Arc<dyn WakeTarget>> {
    let Some(event_loop) = here() else { return Some(waker) };
    event_loop.bells.borrow_mut().push(waker);
    None
}

fn readiness_of(event: &mio::event::Event) -> Readiness {
    [
        (event.is_readable(), Readiness::READ),
        (event.is_writable(), Readiness::WRITE),
        (event.is_read_closed(), Readiness::READ_ENDED),
        (event.is_write_closed(), Readiness::WRITE_ENDED),
        (event.is_error(), Readiness::ENDED),
        (event.is_priority(), Readiness::SHORT_READS),
    ]
    .into_iter()
    .filter(|(is, _)| *is)
    .fold(Readiness::NONE, |all, (_, one)| all.and(one))
}

/// A fiber's name: its place, and which of those who had that place it is. Never 0.
fn key(place: usize, generation: u32) -> u64 {
    (u64::from(generation) << 32) | (place as u64 & 0xffff_ffff)
}

fn place(fiber: u64) -> usize {
    (fiber & 0xffff_ffff) as usize
}

/// Turns between two looks at the kernel.
const BATCH: usize = 16;
/// Turns between two rings: few enough that nobody notices, enough to spare most of the calls.
const RINGING: usize = 8;
/// What the kernel tells at once.
const EVENTS: usize = 1024;
/// How often unneeded stacks are given back.
const TRIM: Duration = Duration::from_secs(1);
