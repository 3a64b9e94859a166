//! An event loop: runs the fibers that are due, then asks the kernel which descriptors are ready and the
//! clock which deadlines have come, then runs those fibers.
//!
//! It is fair: at most [`BATCH`] fibers run between two looks at the kernel, in the order in which they
//! became due, each for a bounded stretch of work. A fiber that another thread woke goes first: mostly it
//! was cancelled.

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use super::fiber::Fiber;
use super::reactor::{Job, Reactor, TIMER, WAKER};
use super::readiness::Readiness;
use super::run_queue::{FiberKey, RunQueue};
use super::stackful::{Stackful, Stacks};
use super::wait_for::WakeReason;
use super::wake_target::WakeTarget;

/// Threads: the one that runs it.
pub(super) struct EventLoop {
    /// Each fiber has a share of it.
    queue: Rc<RunQueue>,
    kernel: RefCell<(Poll, Events)>,
    stacks: RefCell<Stacks>,
    /// To be woken after the next few turns, so that one wake-up serves what several fibers bring.
    deferred_wakes: RefCell<Vec<Arc<dyn WakeTarget>>>,
    /// Turns since the last look at the kernel.
    turns: Cell<usize>,
    /// When unneeded stacks are given back next.
    trim_at: Cell<Instant>,
    /// When a resting loop's timer wakes its host, if it is set.
    timer_at: Cell<Option<Instant>>,
}

impl EventLoop {
    pub(super) fn new(reactor: Arc<Reactor>, poll: Poll) -> Self {
        Self {
            queue: Rc::new(RunQueue::new(reactor)),
            kernel: RefCell::new((poll, Events::with_capacity(MAX_EVENTS))),
            stacks: RefCell::default(),
            deferred_wakes: RefCell::default(),
            turns: Cell::new(0),
            trim_at: Cell::new(Instant::now()),
            timer_at: Cell::new(None),
        }
    }

    fn reactor(&self) -> &Reactor {
        self.queue.reactor()
    }

    /// Whether there is nothing left to do and nothing more will come.
    pub(super) fn is_over(&self) -> bool {
        self.reactor().is_stopped() && self.queue.is_empty() && !self.reactor().has_inbox()
    }

    /// Runs the loop on this thread for as long as `goes_on` returns true, until that time, or until a
    /// signal interrupts it.
    pub(super) fn run(
        self: &Rc<Self>,
        until: Option<Instant>,
        mut goes_on: impl FnMut() -> bool,
    ) -> WakeReason {
        let _here = Here::begin(self);
        loop {
            // Jobs begin before the look at the kernel: they can rely on what it says after that.
            self.take_inbox();
            if !goes_on() {
                return WakeReason::Notified;
            }
            if until.is_some_and(|until| until <= self.queue.now()) {
                return WakeReason::Deadline;
            }
            if self.poll(self.poll_timeout(until)).is_err() {
                return WakeReason::Interrupted;
            }
            if !self.queue.has_due() {
                self.take_inbox();
            }
            self.run_due();
        }
    }

    /// Runs what is ready, for a bounded time. Doesn't wait. [`rest`](Self::rest) has to follow.
    pub(super) fn run_ready(self: &Rc<Self>) {
        let _here = Here::begin(self);
        self.reactor().end_sleep();
        for _ in 0..ROUNDS_OF_A_VISIT {
            self.take_inbox();
            // A signal that interrupts it has taken no event away.
            let _ = self.poll(Some(Duration::ZERO));
            if !self.queue.has_due() {
                self.take_inbox();
            }
            self.run_due();
            if !self.queue.has_due() && !self.reactor().has_inbox() {
                break;
            }
        }
    }

    /// No thread runs the loop from here on: what the reactor's descriptor shows says whether there is something to do.
    /// Returns `false` if there is.
    pub(super) fn rest(&self) -> bool {
        let trim = self.stacks.borrow().has_many().then(|| self.trim_at.get());
        let next = self.queue.next_deadline().into_iter().chain(trim).min();
        // A timer that is early costs a look at the clock; to set it anew for each later deadline would cost more.
        if let Some(next) = next
            && self.timer_at.get().is_none_or(|earlier| next < earlier)
        {
            self.timer_at.set(Some(next));
            self.reactor().ring_after(next.saturating_duration_since(Instant::now()));
        }
        let rests = self.reactor().begin_sleep() && !self.queue.has_due();
        if !rests {
            self.reactor().ring();
        }
        rests
    }

    /// Asks the kernel and the clock what has happened; waits for that, at most for so long. An error means
    /// that a signal ended the wait.
    fn poll(&self, timeout: Option<Duration>) -> io::Result<()> {
        let may_sleep = timeout != Some(Duration::ZERO);
        let timeout =
            if may_sleep && self.reactor().begin_sleep() { timeout } else { Some(Duration::ZERO) };
        let mut kernel = self.kernel.borrow_mut();
        let (poll, events) = &mut *kernel;
        // EINTR is the only error that a valid epoll descriptor can give (epoll_wait(2)).
        let interrupted = poll.poll(events, timeout);
        if interrupted.is_err() {
            events.clear();
        }
        if may_sleep {
            self.reactor().end_sleep();
        }
        let now = Instant::now();
        self.queue.set_now(now);
        self.turns.set(0);
        for event in &*events {
            match event.token() {
                WAKER => {}
                TIMER => self.timer_at.set(None),
                token => self.queue.source_is_ready(token.0, readiness_of(event)),
            }
        }
        drop(kernel);
        self.queue.wake_expired();
        if now >= self.trim_at.get() {
            self.trim_at.set(now + TRIM_INTERVAL);
            self.stacks.borrow_mut().trim();
        }
        interrupted
    }

    /// Takes what other threads left. The fibers that they woke go first.
    fn take_inbox(&self) {
        let Some(inbox) = self.reactor().take_inbox() else { return };
        for token in inbox.closed {
            self.queue.forget_source(token);
        }
        for job in inbox.jobs {
            self.begin(job);
        }
        for fiber in inbox.woken.into_iter().rev() {
            self.queue.wake_first(fiber);
        }
    }

    fn begin(&self, mut job: Job) {
        let stack = self.stacks.borrow_mut().take();
        let stack = match stack {
            Ok(stack) => stack,
            Err(error) => {
                // The job reports it, which may call a callback of the program.
                let _ = catch_unwind(AssertUnwindSafe(|| job(Err(error))));
                return self.reactor().job_ended();
            }
        };
        self.queue.add(|key| {
            let queue = Rc::clone(&self.queue);
            Stackful::new(stack, move |out| {
                Fiber::run(queue, key, out, || {
                    // A job reports its own panic before it unwinds to here.
                    let _ = catch_unwind(AssertUnwindSafe(|| job(Ok(()))));
                });
            })
        });
    }

    fn run_due(&self) {
        while self.turns.get() < BATCH {
            let Some(fiber) = self.queue.next_due() else { break };
            self.resume(fiber);
            self.turns.set(self.turns.get() + 1);
            if self.reactor().is_urgent() {
                self.take_inbox();
            }
            if self.turns.get().is_multiple_of(TURNS_PER_WAKE) {
                self.wake_deferred();
            }
        }
        self.wake_deferred();
    }

    fn wake_deferred(&self) {
        // A target that is woken may defer a wake-up again.
        for target in self.deferred_wakes.take() {
            target.wake();
        }
    }

    fn resume(&self, fiber: FiberKey) {
        let Some(mut coroutine) = self.queue.take_coroutine(fiber) else { return };
        if coroutine.resume() {
            self.queue.remove(fiber);
            self.reactor().job_ended();
            self.stacks.borrow_mut().keep(coroutine.into_stack());
        } else {
            self.queue.put_coroutine(fiber, coroutine);
        }
    }

    /// How long to wait for the kernel: not at all if a fiber is due, and at most until that time.
    fn poll_timeout(&self, until: Option<Instant>) -> Option<Duration> {
        if self.queue.has_due() {
            return Some(Duration::ZERO);
        }
        let trim = self.stacks.borrow().has_many().then(|| self.trim_at.get());
        let next = self.queue.next_deadline().into_iter().chain(trim).chain(until).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }
}

thread_local! {
    static HERE: RefCell<Option<Rc<EventLoop>>> = const { RefCell::new(None) };
}

/// While it lives, this thread runs a loop.
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
// Not inlined: a fiber may be on another thread after a wait, and the compiler assumes that the address of
// a thread-local value never changes within a function.
#[inline(never)]
fn here() -> Option<Rc<EventLoop>> {
    // A thread that is ending runs none any more.
    HERE.try_with(|here| here.borrow().clone()).ok().flatten()
}

/// Whether this thread runs a loop.
pub(super) fn is_here() -> bool {
    here().is_some()
}

/// Wakes a target: now, or on an I/O thread after its next few turns, so that one wake-up serves what
/// several fibers bring.
pub(crate) fn wake_deferred(target: Arc<dyn WakeTarget>) {
    match here() {
        Some(event_loop) => event_loop.deferred_wakes.borrow_mut().push(target),
        None => target.wake(),
    }
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

/// Turns between two looks at the kernel.
const BATCH: usize = 16;
/// How often a visit of a host looks at the kernel at most: the host has other work, too.
const ROUNDS_OF_A_VISIT: usize = 8;
/// Turns between two deferred wake-ups: few enough to add no delay that a program could notice, enough to
/// spare most of the system calls.
const TURNS_PER_WAKE: usize = 8;
/// The kernel reports at most so many descriptors at once.
const MAX_EVENTS: usize = 1024;
/// How often unneeded stacks are given back.
const TRIM_INTERVAL: Duration = Duration::from_secs(1);
