//! What other threads know of an event loop: where they leave jobs and wake-ups for it.
//!
//! Nothing here blocks. The thread that runs the loop is woken by a system call only when it sleeps there
//! ([`SleepFlag`]).

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use mio::{Poll, Registry, Token, Waker};

use super::sleep_flag::SleepFlag;
use super::sys::{self, Descriptor, TimerFd};
use super::wake_target::WakeTarget;
use crate::process::fork_generation;
use crate::sync::{Mutex, lock};

/// Work for a fiber of its own, called once. The argument is an error if there is no stack for it.
///
/// It is no `FnOnce`: a boxed one is moved out of its box to be called, onto the fiber's stack. A submitted
/// request's closure is some hundred bytes there, for as long as the request is in flight.
pub(super) type Job = Box<dyn FnMut(io::Result<()>) + Send>;

/// Threads: any thread at any time.
#[derive(Debug)]
pub(super) struct Reactor {
    id: u64,
    process: u32,
    registry: Registry,
    waker: Waker,
    sleep: SleepFlag,
    /// The inbox holds a fiber to be woken: mostly one that was cancelled.
    urgent: AtomicBool,
    inbox: Mutex<Inbox>,
    /// Jobs that were given and have not ended.
    jobs_under_way: AtomicUsize,
    stopped: AtomicBool,
    /// Of a loop that a host drives: wakes it at the next deadline of a fiber.
    timer: Option<TimerFd>,
}

/// What other threads left for the loop.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) jobs: Vec<Job>,
    /// Fibers to be woken.
    pub(super) woken: Vec<u64>,
    /// Tokens of descriptors that are closed.
    pub(super) closed: Vec<usize>,
}

impl Reactor {
    /// A reactor, and what its loop polls.
    pub(super) fn new() -> io::Result<(Arc<Self>, Poll)> {
        Self::with_timer(None)
    }

    /// The same for a loop that a host drives: what is polled is readable at a deadline, too.
    pub(super) fn for_host() -> io::Result<(Arc<Self>, Poll)> {
        Self::with_timer(Some(TimerFd::open()?))
    }

    fn with_timer(timer: Option<TimerFd>) -> io::Result<(Arc<Self>, Poll)> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let poll = Poll::new()?;
        if let Some(timer) = &timer {
            sys::register_input(poll.registry(), timer.descriptor(), TIMER.0)?;
        }
        let reactor = Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            process: fork_generation(),
            registry: poll.registry().try_clone()?,
            waker: Waker::new(poll.registry(), WAKER)?,
            sleep: SleepFlag::new(),
            urgent: AtomicBool::new(false),
            inbox: Mutex::default(),
            jobs_under_way: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            timer,
        };
        REACTORS.fetch_add(1, Ordering::Relaxed);
        Ok((Arc::new(reactor), poll))
    }

    /// Unique in the process, and not 0.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn give(&self, job: Job) {
        self.jobs_under_way.fetch_add(1, Ordering::Relaxed);
        self.leave(|inbox| inbox.jobs.push(job));
    }

    pub(super) fn job_ended(&self) {
        self.jobs_under_way.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn jobs_under_way(&self) -> usize {
        self.jobs_under_way.load(Ordering::Relaxed)
    }

    /// Has a fiber look again at what it waits for. Does nothing if it has ended or runs.
    pub(super) fn wake_fiber(&self, fiber: u64) {
        self.leave(|inbox| {
            inbox.woken.push(fiber);
            self.urgent.store(true, Ordering::SeqCst);
        });
    }

    /// Frees a token. The loop is not woken for that.
    pub(super) fn forget(&self, token: usize) {
        if self.is_of_this_process() {
            lock(&self.inbox).closed.push(token);
            self.sleep.leave_quietly();
        }
    }

    /// Ends the loop as soon as it has nothing left to do.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.leave(|_| {});
    }

    pub(super) fn register(&self, descriptor: Descriptor, token: usize) -> io::Result<()> {
        sys::register(&self.registry, descriptor, token)
    }

    pub(super) fn deregister(&self, descriptor: Descriptor) {
        if self.is_of_this_process() {
            // It fails if the descriptor is not registered, which is what is wanted.
            let _ = sys::deregister(&self.registry, descriptor);
        }
    }

    /// What was left since the last call; `None` if nothing was.
    pub(super) fn take_inbox(&self) -> Option<Inbox> {
        if !self.sleep.take() {
            return None;
        }
        self.urgent.store(false, Ordering::SeqCst);
        Some(std::mem::take(&mut *lock(&self.inbox)))
    }

    pub(super) fn has_inbox(&self) -> bool {
        self.sleep.has_inbox()
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.urgent.load(Ordering::SeqCst)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// The loop is about to sleep. Returns `false` if something was left for it, and it must not.
    pub(super) fn begin_sleep(&self) -> bool {
        self.sleep.begin_sleep()
    }

    pub(super) fn end_sleep(&self) {
        self.sleep.end_sleep();
    }

    /// What the loop polls, to be polled itself: readable while there is something that the loop has not seen.
    pub(super) fn descriptor(&self) -> Descriptor {
        Descriptor::of(&self.registry)
    }

    /// Makes that readable.
    pub(super) fn ring(&self) {
        let _ = self.waker.wake();
    }

    /// Makes that readable after so long. Only for a host's loop.
    pub(super) fn ring_after(&self, time: Duration) {
        if let Some(timer) = &self.timer {
            timer.set(time);
        }
    }

    fn leave(&self, what: impl FnOnce(&mut Inbox)) {
        // In the child of a fork the loop's thread does not exist, and the descriptors are the parent's too.
        if !self.is_of_this_process() {
            return;
        }
        what(&mut lock(&self.inbox));
        self.wake_loop();
    }

    fn wake_loop(&self) {
        if self.sleep.leave() {
            // eventfd(2): it fails only where a wake-up is pending anyway.
            let _ = self.waker.wake();
        }
    }

    fn is_of_this_process(&self) -> bool {
        self.process == fork_generation()
    }
}

/// The thread that runs the loop looks again whether it shall go on.
impl WakeTarget for Reactor {
    fn wake(&self) {
        if self.is_of_this_process() {
            self.wake_loop();
        }
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        REACTORS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether there is more than one event loop, or was until a moment ago.
#[inline]
pub(crate) fn has_several_loops() -> bool {
    REACTORS.load(Ordering::Relaxed) > 1
}

static REACTORS: AtomicUsize = AtomicUsize::new(0);

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("jobs", &self.jobs.len()).finish_non_exhaustive()
    }
}

/// The token of the wake-up; descriptors have smaller ones.
pub(super) const WAKER: Token = Token(usize::MAX);
/// The token of the timer.
pub(super) const TIMER: Token = Token(usize::MAX - 1);
