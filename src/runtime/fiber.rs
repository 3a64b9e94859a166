//! How a fiber waits: a task with a stack of its own parks, and its event loop goes on with others.
//!
//! A fiber stays with its event loop, but the loop may go on on another thread. So nothing that belongs to a
//! thread is held over a wait.

#![allow(unsafe_code)] // Leaving a stack.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::interest::Interest;
use super::notify::Notify;
use super::run_queue::{FiberKey, RunQueue};
use super::source::Source;
use super::stackful::Suspender;
use super::sys::{self, PollSlot};
use super::wait_for::{PollEntry, WaitFor, WaitUntil, WakeReason};

/// A fiber that runs. Threads: its own.
pub(super) struct Fiber {
    queue: Rc<RunQueue>,
    key: FiberKey,
    suspender: Suspender,
    /// Steps of work that it may still do before others get a turn.
    steps_left: Cell<u32>,
}

thread_local! {
    /// The fiber that runs on this thread.
    static RUNNING: Cell<Option<Rc<Fiber>>> = const { Cell::new(None) };
}

/// The fiber that runs here, if this is one. One that panics counts as none: the standard library counts
/// panics by thread, and a wait could move the fiber to another thread. So what is dropped while it unwinds
/// blocks this thread if it waits.
// Not inlined: after a wait this may be another thread, and the compiler assumes that the address of a
// thread-local value never changes within a function.
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

/// Sets the fiber that runs on this thread from here on. Returns the one that did.
#[inline(never)] // As for `current`.
fn set_current(fiber: Option<Rc<Fiber>>) -> Option<Rc<Fiber>> {
    RUNNING.replace(fiber)
}

/// Makes a fiber the current one again when it is dropped.
struct Restore(Option<Rc<Fiber>>);

impl Drop for Restore {
    fn drop(&mut self) {
        set_current(self.0.take());
    }
}

impl Fiber {
    /// Runs a job as a fiber, on its stack, from its beginning to its end.
    pub(super) fn run(
        queue: Rc<RunQueue>,
        key: FiberKey,
        suspender: Suspender,
        job: impl FnOnce(),
    ) {
        let steps_left = Cell::new(STEPS_IN_A_TURN);
        set_current(Some(Rc::new(Self { queue, key, suspender, steps_left })));
        job();
        set_current(None);
    }

    /// A notification for this fiber to wait for. It has no descriptor.
    pub(super) fn notify(&self) -> Notify {
        Notify::of_fiber(self.queue.reactor(), self.key)
    }

    /// Suspends it until it is woken, for whatever reason, or until that time.
    fn park(&self, until: Option<Instant>) {
        self.queue.park(self.key, until);
        self.suspend();
    }

    fn suspend(&self) {
        #[cfg(test)]
        super::stack_probe::note_wait(self.stack_limit());
        let fiber = set_current(None);
        // SAFETY: `self` is the fiber that runs on this thread, because it comes from `current`. So this is
        // called on its stack.
        unsafe { self.suspender.suspend() };
        self.steps_left.set(STEPS_IN_A_TURN);
        set_current(fiber);
    }

    /// Calls on the stack of its thread. There `current` is `None`.
    pub(super) fn on_thread_stack<T>(&self, call: impl FnOnce() -> T) -> T {
        let _restore = Restore(set_current(None));
        // SAFETY: as in `suspend`; and `call` does not suspend, because it finds no current fiber.
        unsafe { self.suspender.on_thread_stack(call) }
    }

    /// Gives the memory of its stack that is not in use now back to the system.
    pub(super) fn trim(&self) {
        #[cfg(test)]
        if super::stack_probe::is_measured(self.stack_limit()) {
            return;
        }
        // SAFETY: as in `suspend`.
        unsafe { self.suspender.trim() };
    }

    /// Where its stack ends.
    #[cfg(test)]
    pub(super) fn stack_limit(&self) -> usize {
        self.suspender.limit()
    }

    /// Counts a step of work that did not have to wait; after some of them others get a turn.
    pub(super) fn yield_if_due(&self) {
        match self.steps_left.get() {
            0 => {
                self.queue.requeue(self.key);
                self.suspend();
            }
            left => self.steps_left.set(left - 1),
        }
    }

    /// The id of its loop's reactor.
    fn reactor_id(&self) -> u64 {
        self.queue.reactor().id()
    }

    /// Begins to wait for a descriptor.
    fn begin_wait(&self, source: &Arc<Source>, interest: Interest) -> io::Result<()> {
        self.queue.register(source)?;
        source.ready_state().begin_wait(self.key, interest);
        Ok(())
    }

    /// Looks, and looks again whenever it is woken.
    fn look_until(
        &self,
        until: WaitUntil,
        mut look: impl FnMut() -> Option<WakeReason>,
    ) -> WakeReason {
        if let Some(reason) = look() {
            self.yield_if_due();
            return reason;
        }
        let mut now = until.now;
        loop {
            if until.at.is_some_and(|at| at <= now) {
                return WakeReason::Deadline;
            }
            self.park(until.at);
            if let Some(reason) = look() {
                return reason;
            }
            now = self.queue.now();
        }
    }

    pub(super) fn wait(&self, want: WaitFor<'_>, until: WaitUntil) -> io::Result<WakeReason> {
        if let Some((source, interest)) = want.fd {
            self.begin_wait(source, interest)?;
        }
        let reason = self.look_until(until, || {
            if want.notify.is_some_and(Notify::is_set) {
                return Some(WakeReason::Notified);
            }
            let (source, interest) = want.fd?;
            let ready = source.ready_state().take(interest);
            ready.any().then(|| WakeReason::Ready { read: ready.read(), write: ready.write() })
        });
        if let Some((source, _)) = want.fd {
            source.ready_state().end_wait();
            if matches!(reason, WakeReason::Ready { read: true, .. }) {
                source.promise_input();
            }
        }
        Ok(reason)
    }

    pub(super) fn wait_any(
        &self,
        entries: &mut [PollEntry<'_>],
        notify: &Notify,
        until: WaitUntil,
    ) -> io::Result<WakeReason> {
        for entry in entries.iter() {
            self.begin_wait(entry.source, entry.interest)?;
        }
        let mut failure = None;
        let reason = self.look_until(until, || {
            if notify.is_set() {
                return Some(WakeReason::Notified);
            }
            // The kernel is asked: what is remembered may be stale, and a connect relies on it.
            let ready = mark_ready(entries).unwrap_or_else(|error| {
                failure = Some(error);
                true
            });
            ready.then_some(WakeReason::Ready { read: true, write: true })
        });
        for entry in entries.iter() {
            entry.source.ready_state().end_wait();
        }
        match failure {
            None => Ok(reason),
            Some(error) => Err(error),
        }
    }
}

/// The number of the event loop whose fiber this is; `None` on a thread.
pub(crate) fn loop_here() -> Option<u64> {
    Some(current()?.reactor_id())
}

impl Notify {
    /// One for the current task to wait for. It holds no descriptor while nothing waits for it.
    pub(crate) fn for_this_task() -> Arc<Self> {
        Arc::new(match current() {
            Some(fiber) => fiber.notify(),
            None => Self::of_thread(),
        })
    }
}

impl Source {
    /// All that came was read, and nothing is expected for now.
    pub(crate) fn mark_idle(&self) {
        self.set_read_by(self.reactor_here());
    }

    /// Whether nothing has come since [`mark_idle`](Self::mark_idle), no byte and no end, as far as the kernel
    /// reported when the loop that runs here last looked: a moment ago, and without a system call.
    pub(crate) fn was_silent(&self) -> bool {
        self.reactor_here().is_some_and(|reactor| self.is_silent_for(reactor))
    }

    /// The reactor that it is registered with, if that is the one of the current fiber.
    fn reactor_here(&self) -> Option<u64> {
        let home = self.home_id();
        (home != 0 && current()?.reactor_id() == home).then_some(home)
    }
}

/// Marks the entries that are ready. Returns `false` if none is. Doesn't wait. A failure is an error: the
/// kernel reports only once that a descriptor became ready, so a later call would not see it.
fn mark_ready(entries: &mut [PollEntry<'_>]) -> io::Result<bool> {
    let mut slots: Vec<_> = entries.iter().map(PollEntry::slot).collect();
    loop {
        match sys::poll(&mut slots, Some(Duration::ZERO)) {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    for (entry, slot) in entries.iter_mut().zip(&slots) {
        entry.answered(slot);
    }
    Ok(slots.iter().any(PollSlot::is_ready))
}

/// Steps of work in a row: a few hundred microseconds at most, with bodies that are in memory.
const STEPS_IN_A_TURN: u32 = 16;
