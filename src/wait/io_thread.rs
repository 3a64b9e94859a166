//! An I/O thread: runs fibers that are due, then asks the kernel which descriptors are ready and
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

use super::Ring;
use super::fiber::Fiber;
use super::reactor::{Job, Reactor, WAKER};
use super::readiness::Readiness;
use super::source::Source;
use super::stackful::{Stackful, Stacks};
use super::timers::Timers;

/// Threads: one, its own.
pub(super) struct IoThread {
    reactor: Arc<Reactor>,
    fibers: RefCell<Slab<Seat>>,
    /// Whose turn it is, by key.
    due: RefCell<VecDeque<u64>>,
    timers: RefCell<Timers>,
    sources: RefCell<Slab<Arc<Source>>>,
    stacks: RefCell<Stacks>,
    /// Whom to ring after these turns.
    bells: RefCell<Vec<Arc<dyn Ring>>>,
    /// The time of the last look at the clock.
    now: Cell<Instant>,
    born: Cell<u32>,
}

/// A fiber's place.
struct Seat {
    /// Which of those who had this place it is.
    generation: u32,
    /// Not there while it runs.
    coroutine: Option<Stackful>,
    parked: bool,
    until: Option<Instant>,
}

impl IoThread {
    /// Starts one.
    pub(super) fn start() -> io::Result<Arc<Reactor>> {
        let (reactor, poll) = Reactor::new()?;
        let for_thread = Arc::clone(&reactor);
        let thread = std::thread::Builder::new().name("hangup-io".into());
        thread.spawn(move || Rc::new(Self::new(for_thread)).run(poll))?;
        Ok(reactor)
    }

    fn new(reactor: Arc<Reactor>) -> Self {
        Self {
            reactor,
            fibers: RefCell::default(),
            due: RefCell::default(),
            timers: RefCell::default(),
            sources: RefCell::default(),
            stacks: RefCell::default(),
            bells: RefCell::default(),
            now: Cell::new(Instant::now()),
            born: Cell::new(0),
        }
    }

    pub(super) fn reactor(&self) -> &Arc<Reactor> {
        &self.reactor
    }

    pub(super) fn now(&self) -> Instant {
        self.now.get()
    }

    fn run(self: Rc<Self>, mut poll: Poll) {
        HERE.set(Some(Rc::clone(&self)));
        let mut events = Events::with_capacity(EVENTS);
        let mut trim_at = self.now();
        loop {
            self.take_news();
            self.give_turns();
            if self.reactor.is_stopped()
                && self.fibers.borrow().is_empty()
                && !self.reactor.has_news()
            {
                return HERE.set(None);
            }
            let tidy = self.stacks.borrow().has_many().then_some(trim_at);
            let nap = self.nap(tidy);
            let nap = if nap == Some(Duration::ZERO) || !self.reactor.lie_down() {
                Some(Duration::ZERO)
            } else {
                nap
            };
            // Interrupted by a signal: then there are no events. Nothing else can fail with a
            // descriptor that is ours.
            if poll.poll(&mut events, nap).is_err() {
                events.clear();
            }
            self.reactor.get_up();
            self.now.set(Instant::now());
            for event in events.iter().filter(|event| event.token() != WAKER) {
                self.happened(event);
            }
            self.ring();
            if self.now() >= trim_at {
                trim_at = self.now() + TRIM;
                self.stacks.borrow_mut().trim();
            }
        }
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
        // Without a stack the job is dropped; whoever gave it hears of that.
        let Ok(stack) = self.stacks.borrow_mut().take() else { return };
        let generation = self.born.get().wrapping_add(1).max(1);
        self.born.set(generation);
        let mut fibers = self.fibers.borrow_mut();
        let place = fibers.vacant_entry();
        let key = key(place.key(), generation);
        let thread = Rc::clone(self);
        let coroutine = Stackful::new(stack, move |out| {
            // What a job has to say about its own panic it said.
            Fiber::run(thread, key, out, || {
                let _ = catch_unwind(AssertUnwindSafe(&mut job));
            });
        });
        place.insert(Seat { generation, coroutine: Some(coroutine), parked: false, until: None });
        drop(fibers);
        self.due.borrow_mut().push_back(key);
    }

    fn give_turns(self: &Rc<Self>) {
        for turn in 1..=BATCH {
            let Some(fiber) = self.due.borrow_mut().pop_front() else { break };
            self.resume(fiber);
            if self.reactor.is_urgent() {
                self.take_news();
            }
            if turn % RINGING == 0 {
                self.ring_all();
            }
        }
        self.ring_all();
    }

    fn ring_all(&self) {
        // Who is rung may put something in again.
        for bell in self.bells.take() {
            bell.ring();
        }
    }

    fn resume(&self, fiber: u64) {
        let taken = self.with_seat(fiber, |seat| seat.coroutine.take()).flatten();
        let Some(mut coroutine) = taken else { return };
        if coroutine.resume() {
            self.fibers.borrow_mut().remove(place(fiber));
            self.stacks.borrow_mut().keep(coroutine.into_stack());
        } else {
            self.with_seat(fiber, |seat| seat.coroutine = Some(coroutine));
        }
    }

    /// When to wake up, if nothing happens before: at once if somebody is due.
    fn nap(&self, tidy: Option<Instant>) -> Option<Duration> {
        if !self.due.borrow().is_empty() {
            return Some(Duration::ZERO);
        }
        let next = self.timers.borrow().next().into_iter().chain(tidy).min()?;
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

    fn with_seat<T>(&self, fiber: u64, what: impl FnOnce(&mut Seat) -> T) -> Option<T> {
        let mut fibers = self.fibers.borrow_mut();
        let seat = fibers.get_mut(place(fiber))?;
        (key(place(fiber), seat.generation) == fiber).then(|| what(seat))
    }
}

thread_local! {
    static HERE: RefCell<Option<Rc<IoThread>>> = const { RefCell::new(None) };
}

/// Has the I/O thread that this is ring soon; gives the bell back if this is none.
pub(super) fn ring_later(bell: Arc<dyn Ring>) -> Option<Arc<dyn Ring>> {
    // A thread that is ending is no I/O thread any more.
    let here = HERE.try_with(|here| here.borrow().clone()).ok().flatten();
    let Some(thread) = here else { return Some(bell) };
    thread.bells.borrow_mut().push(bell);
    None
}

fn readiness_of(event: &mio::event::Event) -> Readiness {
    [
        (event.is_readable(), Readiness::READ),
        (event.is_writable(), Readiness::WRITE),
        (event.is_read_closed(), Readiness::READ_ENDED),
        (event.is_write_closed(), Readiness::WRITE_ENDED),
        (event.is_error(), Readiness::ENDED),
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
const BATCH: usize = 64;
/// Turns between two rings: few enough that nobody notices, enough to spare most of the calls.
const RINGING: usize = 8;
/// What the kernel tells at once.
const EVENTS: usize = 1024;
/// How often unneeded stacks are given back.
const TRIM: Duration = Duration::from_secs(1);
