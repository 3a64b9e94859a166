//! An I/O thread: it runs its event loop, unless a guest does so for a while.

#![allow(unsafe_code)] // A loop goes from one thread to another.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use super::event_loop::{self, EventLoop};
use super::handoff::LoopHandoff;
use super::reactor::{Job, Reactor};
use super::thread;
use super::wait_for::{WaitUntil, WakeReason};
use super::wake_target::WakeTarget;
use crate::process::start_thread;

/// Threads: any thread at any time.
#[derive(Debug)]
pub(super) struct IoThread {
    reactor: Arc<Reactor>,
    handoff: LoopHandoff<OwnedLoop>,
}

/// A loop with all that belongs to it.
struct OwnedLoop(Rc<EventLoop>);

// SAFETY: the other shares of the loop, and all that is not `Send` in it, are in its fibers, which
// are in it and go with it: between two of its rounds none runs, and what is in the thread-local
// places of the one who ran it is taken back (`EventLoop::run`). The lock in `LoopHandoff` orders what one
// thread did before what the next one does. What a fiber finds in a thread-local place it asks for
// anew, by a call that is not inlined, after each wait (`fiber::current`).
unsafe impl Send for OwnedLoop {}

impl std::fmt::Debug for OwnedLoop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventLoop").finish_non_exhaustive()
    }
}

impl IoThread {
    /// Starts one.
    pub(super) fn start() -> io::Result<Arc<Self>> {
        let (reactor, poll) = Reactor::new()?;
        let io_thread = Arc::new(Self { reactor, handoff: LoopHandoff::new() });
        let for_thread = Arc::clone(&io_thread);
        start_thread("hangup-io", None, move || {
            let reactor = Arc::clone(&for_thread.reactor);
            for_thread.run(OwnedLoop(Rc::new(EventLoop::new(reactor, poll))));
        })?;
        Ok(io_thread)
    }

    /// A job for it.
    pub(super) fn give(&self, job: Job) {
        self.reactor.give(job);
    }

    /// Ends the thread as soon as it has nothing left to do.
    pub(super) fn stop(&self) {
        self.reactor.stop();
    }

    fn run(&self, mut event_loop: OwnedLoop) {
        while !event_loop.0.is_over() {
            event_loop.0.run(None, || !self.handoff.is_wanted() && !event_loop.0.is_over());
            if self.handoff.is_wanted() && !event_loop.0.is_over() {
                event_loop = self.handoff.hand_over(event_loop);
            }
        }
        self.handoff.end();
    }

    /// Lets this thread run the loop, if it does nothing but what this thread waits for, which are
    /// `ours` jobs.
    pub(super) fn try_drive(self: Arc<Self>, ours: usize) -> Option<Driver> {
        if self.reactor.is_stopped()
            || self.reactor.jobs_under_way() > ours
            || event_loop::is_here()
        {
            return None;
        }
        let event_loop = self.handoff.try_drive(|| self.reactor.wake())?;
        Some(Driver { event_loop: Some(event_loop), io_thread: self, needed: true })
    }
}

/// Who runs an I/O thread's loop in its place. Ends: with [`leave`](Self::leave). Threads: a value.
#[derive(Debug)]
pub(crate) struct Driver {
    event_loop: Option<OwnedLoop>,
    io_thread: Arc<IoThread>,
    /// The thread shall go on with the loop at once.
    needed: bool,
}

impl Driver {
    /// Has it look again whether it shall go on.
    pub(crate) fn waker(&self) -> Arc<dyn WakeTarget> {
        Arc::<Reactor>::clone(&self.io_thread.reactor)
    }

    /// Runs the loop for as long as it `goes_on`, until that time, or until a signal interrupts this
    /// thread: then the thread's check is to be [asked](was_interrupted).
    pub(crate) fn run(&self, until: WaitUntil, mut goes_on: impl FnMut() -> bool) -> WakeReason {
        let Some(OwnedLoop(event_loop)) = &self.event_loop else { return WakeReason::Notified };
        let reactor = &self.io_thread.reactor;
        let tick = thread::tick_at();
        let soonest = until.at.into_iter().chain(tick).min();
        match event_loop.run(soonest, || goes_on() && !reactor.is_stopped()) {
            WakeReason::Deadline if soonest == tick => WakeReason::Interrupted,
            woken => woken,
        }
    }

    /// Leaves the loop to its thread, or to the next guest: mostly to this one again, if it does
    /// nothing but what this one waits for, which are `ours` jobs.
    pub(crate) fn leave(mut self, ours: usize) {
        let reactor = &self.io_thread.reactor;
        self.needed = reactor.is_stopped() || reactor.jobs_under_way() > ours;
    }
}

/// Whether a guest whose wait was interrupted shall end it. To be asked without the loop: the answer
/// is somebody else's code, which may itself wait for what the loop brings.
pub(crate) fn was_interrupted() -> bool {
    thread::wants_an_end()
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(event_loop) = self.event_loop.take() {
            self.io_thread.handoff.leave(event_loop, self.needed);
        }
    }
}
