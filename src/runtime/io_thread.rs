//! An I/O thread: it runs its event loop, unless a driver does so for a while.

#![allow(unsafe_code)] // A loop goes from one thread to another.

use std::io;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use mio::Poll;

use super::event_loop::{self, EventLoop};
use super::handoff::LoopHandoff;
use super::interest::Interest;
use super::reactor::{Job, Reactor};
use super::sys::{self, DescriptorGroup, PollSlot};
use super::thread;
use super::wait_for::{WaitUntil, WakeReason};
use super::wake_target::WakeTarget;
use crate::process::start_thread;

/// Threads: any thread at any time.
#[derive(Debug)]
pub(super) struct IoThread {
    reactor: Arc<Reactor>,
    handoff: LoopHandoff<OwnedLoop>,
    /// The loop is a host's, which polls this group with the reactor's descriptor in it, and comes when it is readable.
    host: Option<Weak<DescriptorGroup>>,
}

/// An event loop that can go from one thread to another, so that a thread that waits for completions can run
/// it: then a completion costs no switch to another thread (`benches/README.md`, the rows of one queue).
struct OwnedLoop(Rc<EventLoop>);

// SAFETY: the invariant is that no other thread has a share of the loop, or of anything in it that is not
// `Send`, while it moves. The other shares are in its fibers, which are in the loop and move with it. None of
// them runs between two calls of `EventLoop::run`, which removes the share from the thread-local value of the
// thread that ran it before it returns. `LoopHandoff` moves it under a lock, which orders what one thread did
// before what the next one does. Fibers look thread-local values up anew after each wait, by calls that are
// not inlined (`fiber::current`, `event_loop::here`).
unsafe impl Send for OwnedLoop {}

impl std::fmt::Debug for OwnedLoop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventLoop").finish_non_exhaustive()
    }
}

impl IoThread {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Arc<Self>> {
        Self::start_with(Reactor::new()?, None)
    }

    /// Starts the thread of a loop that a host drives, which polls this group.
    pub(super) fn start_for_host(group: &Arc<DescriptorGroup>) -> io::Result<Arc<Self>> {
        let (reactor, poll) = Reactor::for_host()?;
        group.add(reactor.descriptor())?;
        Self::start_with((reactor, poll), Some(Arc::downgrade(group)))
    }

    fn start_with(
        (reactor, poll): (Arc<Reactor>, Poll),
        host: Option<Weak<DescriptorGroup>>,
    ) -> io::Result<Arc<Self>> {
        let io_thread = Arc::new(Self { reactor, handoff: LoopHandoff::new(), host });
        if io_thread.host.is_some() {
            io_thread.handoff.want_first();
        }
        let for_thread = Arc::clone(&io_thread);
        start_thread("hangup-io", None, move || {
            let reactor = Arc::clone(&for_thread.reactor);
            for_thread.run(OwnedLoop(Rc::new(EventLoop::new(reactor, poll))));
        })?;
        Ok(io_thread)
    }

    /// Gives it a job.
    pub(super) fn give(&self, job: Job) {
        self.reactor.give(job);
    }

    /// Ends the thread as soon as it has nothing left to do.
    pub(super) fn stop(&self) {
        self.reactor.stop();
    }

    fn run(&self, mut event_loop: OwnedLoop) {
        let mut asked = false;
        while !event_loop.0.is_over() {
            event_loop.0.run(None, || !self.handoff.is_wanted() && !event_loop.0.is_over());
            if self.handoff.is_wanted() && !event_loop.0.is_over() {
                event_loop = if self.host.is_some() {
                    event_loop.0.rest();
                    let ring = || {
                        self.let_host_poll(true);
                        // The host that asked went on without it. The first time no host did.
                        if std::mem::replace(&mut asked, true) {
                            self.reactor.ring();
                        }
                    };
                    self.handoff.lend(event_loop, ring, |waits| self.has_work(waits))
                } else {
                    self.handoff.hand_over(event_loop)
                };
            }
        }
        self.handoff.end();
    }

    /// Whether the resting loop has something to do; `waits` until it has.
    fn has_work(&self, waits: bool) -> bool {
        let mut slot = [PollSlot::new(self.reactor.descriptor(), Interest::Read)];
        let limit = if waits { None } else { Some(Duration::ZERO) };
        sys::poll(&mut slot, limit).is_ok_and(|ready| ready > 0)
    }

    /// Whether the reactor's descriptor counts in what the host polls.
    fn let_host_poll(&self, counts: bool) {
        if let Some(group) = self.host.as_ref().and_then(Weak::upgrade) {
            group.set_polled(self.reactor.descriptor(), counts);
        }
    }

    /// A host runs what is ready, on this thread, if the loop is free. Doesn't wait. Returns whether there is more.
    pub(super) fn visit(&self) -> bool {
        let free = self.handoff.try_take(|| {
            // Until it is lent the thread sees to what is ready: the host would only find the loop taken, again and again.
            self.let_host_poll(false);
            self.reactor.wake();
        });
        let Some(OwnedLoop(event_loop)) = free else { return false };
        event_loop.run_ready();
        let rests = event_loop.rest();
        self.handoff.leave(OwnedLoop(event_loop), false);
        !rests
    }

    /// Lets the host's thread begin a job that it is about to give, if the loop is free and has no other. The thread that
    /// leaves the job makes no system call for it.
    pub(super) fn begin_alone(self: &Arc<Self>) -> Option<AloneTurn> {
        if self.reactor.jobs_under_way() > 0 || event_loop::is_here() {
            return None;
        }
        let event_loop = self.handoff.take_if_free()?;
        self.reactor.end_sleep();
        Some(AloneTurn { event_loop: Some(event_loop), io_thread: Arc::clone(self) })
    }

    /// Lets the host's thread run the loop while it waits.
    pub(super) fn drive_for_host(self: Arc<Self>) -> Option<Driver> {
        if self.reactor.is_stopped() {
            return None;
        }
        let event_loop = self.handoff.take_when_free(|| self.reactor.wake())?;
        Some(Driver { event_loop: Some(event_loop), io_thread: self, needed: false })
    }

    /// Lets the calling thread run the loop, if the loop has no other jobs than the `ours` that the thread
    /// waits for.
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

/// A host's turn of a loop that had nothing to do, for the job that it is given meanwhile: its drop runs it as far as that goes
/// without a wait. Threads: its own.
#[derive(Debug)]
pub(crate) struct AloneTurn {
    event_loop: Option<OwnedLoop>,
    io_thread: Arc<IoThread>,
}

impl Drop for AloneTurn {
    fn drop(&mut self) {
        if let Some(OwnedLoop(event_loop)) = self.event_loop.take() {
            event_loop.run_ready();
            event_loop.rest();
            self.io_thread.handoff.leave(OwnedLoop(event_loop), false);
        }
    }
}

/// The right to run an I/O thread's loop in its place, until [`leave`](Self::leave). Threads: a value.
#[derive(Debug)]
pub(crate) struct Driver {
    event_loop: Option<OwnedLoop>,
    io_thread: Arc<IoThread>,
    /// The thread shall go on with the loop at once.
    needed: bool,
}

impl Driver {
    /// Makes [`run`](Self::run) look again whether it shall go on.
    pub(crate) fn waker(&self) -> Arc<dyn WakeTarget> {
        Arc::<Reactor>::clone(&self.io_thread.reactor)
    }

    /// Runs the loop for as long as `goes_on` returns true, until that time, or until a signal interrupts this
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

    /// Gives the loop back. If it has no other jobs than the `ours` that this thread waits for, the loop's own
    /// thread lets it rest for a moment, because this driver mostly comes again.
    pub(crate) fn leave(mut self, ours: usize) {
        let reactor = &self.io_thread.reactor;
        self.needed = reactor.is_stopped() || reactor.jobs_under_way() > ours;
        // A host comes again when the descriptor says so, and else the thread.
        self.needed &= self.io_thread.host.is_none();
    }
}

/// Asks the thread's check whether a driver whose wait was interrupted shall end it. To be called without the
/// loop: the check is a callback of the program, which may itself wait for what the loop brings.
pub(crate) fn was_interrupted() -> bool {
    thread::wants_an_end()
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(event_loop) = self.event_loop.take() {
            if self.io_thread.host.is_some() {
                event_loop.0.rest();
            }
            self.io_thread.handoff.leave(event_loop, self.needed);
        }
    }
}
