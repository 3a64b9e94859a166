//! What others know of an event loop: where they leave jobs and wake-ups for it.
//!
//! Nothing here blocks, and who runs the loop is woken by a system call only when it sleeps there
//! ([`SleepFlag`]).

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use mio::unix::SourceFd;
use mio::{Interest, Poll, Registry, Token, Waker};

use super::WakeTarget;
use super::sleep_flag::SleepFlag;
use crate::process::fork_generation;
use crate::sync::{Mutex, lock};

/// Work for a fiber of its own. It is done once; it is no `FnOnce`, because that is moved out of its
/// box to be called, and so onto a stack. An error says why there is no stack for it.
pub(super) type Job = Box<dyn FnMut(io::Result<()>) + Send>;

/// Threads: any thread at any time.
#[derive(Debug)]
pub(super) struct Reactor {
    id: u64,
    process: u32,
    registry: Registry,
    waker: Waker,
    /// News are what is in the inbox.
    nap: SleepFlag,
    /// Whether that is somebody to be woken: mostly one who was cancelled.
    urgent: AtomicBool,
    inbox: Mutex<Inbox>,
    /// Jobs that were given and have not ended.
    under_way: AtomicUsize,
    stopped: AtomicBool,
}

/// What was left for the thread.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) jobs: Vec<Job>,
    pub(super) woken: Vec<u64>,
    /// Tokens of descriptors that are closed.
    pub(super) gone: Vec<usize>,
}

impl Reactor {
    /// One, and what its thread polls.
    pub(super) fn new() -> io::Result<(Arc<Self>, Poll)> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let poll = Poll::new()?;
        let reactor = Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            process: fork_generation(),
            registry: poll.registry().try_clone()?,
            waker: Waker::new(poll.registry(), WAKER)?,
            nap: SleepFlag::new(),
            urgent: AtomicBool::new(false),
            inbox: Mutex::default(),
            under_way: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        };
        Ok((Arc::new(reactor), poll))
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// A job for it.
    pub(super) fn give(&self, job: Job) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.leave(|inbox| inbox.jobs.push(job));
    }

    pub(super) fn job_ended(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Has a fiber look again what it waits for. One that is gone, or does not wait, does not mind.
    pub(super) fn wake(&self, fiber: u64) {
        self.leave(|inbox| {
            inbox.woken.push(fiber);
            self.urgent.store(true, Ordering::SeqCst);
        });
    }

    /// A token is free again. There is time for that.
    pub(super) fn forget(&self, token: usize) {
        if self.is_ours() {
            lock(&self.inbox).gone.push(token);
            self.nap.leave_quietly();
        }
    }

    /// Ends the thread as soon as it has nothing left to do.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.leave(|_| {});
    }

    pub(super) fn register(&self, fd: RawFd, token: usize) -> io::Result<()> {
        let all = Interest::READABLE | Interest::WRITABLE;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let all = all | Interest::PRIORITY;
        self.registry.register(&mut SourceFd(&fd), Token(token), all)
    }

    pub(super) fn unregister(&self, fd: RawFd) {
        if self.is_ours() {
            // It is not there any more: that is what was wanted.
            let _ = self.registry.deregister(&mut SourceFd(&fd));
        }
    }

    /// What was left since the last time.
    pub(super) fn take_news(&self) -> Option<Inbox> {
        if !self.nap.take() {
            return None;
        }
        self.urgent.store(false, Ordering::SeqCst);
        Some(std::mem::take(&mut *lock(&self.inbox)))
    }

    pub(super) fn has_news(&self) -> bool {
        self.nap.has_news()
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.urgent.load(Ordering::SeqCst)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// The thread wants to sleep; `false` if there is something for it.
    pub(super) fn begin_sleep(&self) -> bool {
        self.nap.begin_sleep()
    }

    pub(super) fn end_sleep(&self) {
        self.nap.end_sleep();
    }

    fn leave(&self, what: impl FnOnce(&mut Inbox)) {
        // In a forked child its thread is not there, and the descriptors are the parent's too.
        if !self.is_ours() {
            return;
        }
        what(&mut lock(&self.inbox));
        self.rouse();
    }

    /// Wakes who sleeps in the loop.
    fn rouse(&self) {
        if self.nap.leave() {
            // eventfd(2): it fails only where a wake-up is pending anyway.
            let _ = self.waker.wake();
        }
    }

    fn is_ours(&self) -> bool {
        self.process == fork_generation()
    }
}

/// Has whoever runs the loop look again whether it shall go on.
impl WakeTarget for Reactor {
    fn ring(&self) {
        if self.is_ours() {
            self.rouse();
        }
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("jobs", &self.jobs.len()).finish_non_exhaustive()
    }
}

/// The token of the wake-up; descriptors have smaller ones.
pub(super) const WAKER: Token = Token(usize::MAX);
