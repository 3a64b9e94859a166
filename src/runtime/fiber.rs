//! The fiber form: a task with a stack of its own parks, and its I/O thread goes on with others.
//!
//! A fiber stays with its event loop, but that may go on on another thread, so nothing that belongs
//! to a thread is held over a wait.

#![allow(unsafe_code)] // Leaving a stack.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::event_loop::EventLoop;
use super::notify::Notify;
use super::source::Source;
use super::stackful::Suspender;
use super::thread::mark_ready;
use super::{Interest, PollEntry, WaitFor, WaitUntil, Waiter, WakeReason};

/// A fiber that runs. Threads: its own.
pub(super) struct Fiber {
    event_loop: Rc<EventLoop>,
    key: u64,
    out: Suspender,
    /// What it may still do before others get a turn.
    left: Cell<u32>,
}

thread_local! {
    /// Who runs on this thread; none if it is no I/O thread.
    static RUNNING: Cell<Option<Rc<Fiber>>> = const { Cell::new(None) };
}

/// The fiber that runs here, if this is one. One that panics counts as none: the count of a thread's
/// panics must not go to another one, so what is dropped on the way blocks this thread, if it waits.
// Not inlined: after a wait this may be another thread, and the compiler believes that the place of
// a thread-local value never changes within a function.
#[inline(never)]
pub(super) fn current() -> Option<Rc<Fiber>> {
    if std::thread::panicking() {
        return None;
    }
    RUNNING
        .try_with(|running| {
            let fiber = running.take();
            running.set(fiber.clone());
            fiber
        })
        .ok()
        .flatten()
}

/// Who runs on this thread from now on; answers who did.
#[inline(never)] // As for `current`.
fn run_here(fiber: Option<Rc<Fiber>>) -> Option<Rc<Fiber>> {
    RUNNING.replace(fiber)
}

/// A fiber that is not on its own stack; on its end it is again.
struct Back(Option<Rc<Fiber>>);

impl Drop for Back {
    fn drop(&mut self) {
        run_here(self.0.take());
    }
}

impl Fiber {
    /// Runs a job as a fiber, on its stack, from its beginning to its end.
    pub(super) fn run(event_loop: Rc<EventLoop>, key: u64, out: Suspender, job: impl FnOnce()) {
        run_here(Some(Rc::new(Self { event_loop, key, out, left: Cell::new(TURN) })));
        job();
        run_here(None);
    }

    /// What wakes it is an event of its own, without a descriptor.
    pub(super) fn notify(&self) -> Notify {
        Notify::of_fiber(self.event_loop.reactor(), self.key)
    }

    /// Suspends it until somebody wakes it, for whatever reason, or until that time.
    fn park(&self, until: Option<Instant>) {
        self.event_loop.parks(self.key, until);
        self.suspend();
    }

    /// Lets others have their turn.
    fn step_back(&self) {
        self.event_loop.steps_back(self.key);
        self.suspend();
    }

    fn suspend(&self) {
        let me = run_here(None);
        // SAFETY: `self` is the fiber that runs on this thread: it comes from `current`, and this
        // is called on its stack.
        unsafe { self.out.suspend() };
        self.left.set(TURN);
        run_here(me);
    }

    /// Calls on the stack of its thread, where it is no fiber.
    pub(super) fn on_thread_stack<T>(&self, call: impl FnOnce() -> T) -> T {
        let _back = Back(run_here(None));
        // SAFETY: as in `suspend`.
        unsafe { self.out.on_thread_stack(call) }
    }

    /// Gives back what memory of its stack it does not use now.
    pub(super) fn trim(&self) {
        // SAFETY: as in `suspend`.
        unsafe { self.out.trim() };
    }

    /// Counts a step of work that did not have to wait.
    pub(super) fn yield_if_due(&self) {
        match self.left.get() {
            0 => self.step_back(),
            left => self.left.set(left - 1),
        }
    }

    /// The number of its reactor.
    pub(super) fn reactor_id(&self) -> u64 {
        self.event_loop.reactor().id()
    }

    /// Begins to wait for a descriptor.
    fn watch(&self, source: &Arc<Source>, interest: Interest) -> io::Result<()> {
        self.event_loop.lives_here(source)?;
        source.notes().waits(self.key, interest);
        Ok(())
    }

    /// Looks, and looks again whenever it is woken.
    fn look_until(
        &self,
        until: WaitUntil,
        mut look: impl FnMut() -> Option<WakeReason>,
    ) -> WakeReason {
        if let Some(woken) = look() {
            self.yield_if_due();
            return woken;
        }
        let mut now = until.now;
        loop {
            if until.at.is_some_and(|at| at <= now) {
                return WakeReason::Deadline;
            }
            self.park(until.at);
            if let Some(woken) = look() {
                return woken;
            }
            now = self.event_loop.now();
        }
    }
}

impl Waiter for Fiber {
    fn wait(&self, want: WaitFor<'_>, until: WaitUntil) -> io::Result<WakeReason> {
        if let Some((source, interest)) = want.fd {
            self.watch(source, interest)?;
        }
        let woken = self.look_until(until, || {
            if want.notify.is_some_and(Notify::is_set) {
                return Some(WakeReason::Notified);
            }
            let (source, interest) = want.fd?;
            let ready = source.notes().take(interest);
            ready.any().then(|| WakeReason::Ready { read: ready.read(), write: ready.write() })
        });
        if let Some((source, _)) = want.fd {
            source.notes().waits_no_more();
            if matches!(woken, WakeReason::Ready { read: true, .. }) {
                source.promises_input();
            }
        }
        Ok(woken)
    }

    fn wait_any(
        &self,
        fds: &mut [PollEntry<'_>],
        notify: &Notify,
        until: WaitUntil,
    ) -> io::Result<WakeReason> {
        for one in fds.iter() {
            self.watch(one.source, one.interest)?;
        }
        let mut failure = None;
        let woken = self.look_until(until, || {
            if notify.is_set() {
                return Some(WakeReason::Notified);
            }
            // What is remembered may be stale, and who connects believes what it is told.
            let ready = mark_ready(fds).unwrap_or_else(|error| {
                failure = Some(error);
                true
            });
            ready.then_some(WakeReason::Ready { read: true, write: true })
        });
        for one in fds.iter() {
            one.source.notes().waits_no_more();
        }
        match failure {
            None => Ok(woken),
            Some(error) => Err(error),
        }
    }
}

/// Steps of work in a row: at most a few hundred microseconds with bodies as fast as memory.
const TURN: u32 = 16;
