//! An event: set from any thread, waited for by one task. A thread's is a flag, and an eventfd(2)
//! only for as long as it waits; a fiber's is a flag and the word where to find the fiber. One that
//! others may poll has an eventfd of its own.

#![allow(unsafe_code)] // System calls.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::fiber;
use super::reactor::Reactor;
use super::thread::readable_now;
use super::wakeup::{Descriptor, Flag, Manner, Wakeups, Watch};
use super::worker_pool::is_worker;
use crate::process::{PerProcess, fork_generation};

/// A level-triggered flag that ends a wait. Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct Notify(Kind);

#[derive(Debug)]
enum Kind {
    /// For a caller that polls it beside other descriptors.
    Polled(EventFd),
    /// Of a thread, which polls it while it waits.
    Thread(Flag<EventFd>),
    /// Of a fiber, which needs no descriptor to be found.
    Fiber { set: AtomicBool, reactor: Arc<Reactor>, fiber: u64 },
}

/// An eventfd(2).
#[derive(Debug)]
pub(super) struct EventFd {
    fd: OwnedFd,
    /// An inherited one is the parent's as well, whose waits the child of a fork would end.
    process: u32,
}

/// What a thread that waits for an event polls.
pub(super) enum Polls<'a> {
    Own(&'a EventFd),
    Lent(Watch<'a, EventFd>),
    Nothing,
}

impl Notify {
    /// One with a descriptor.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Kind::Polled(EventFd::open()?)))
    }

    /// One that only this fiber waits for.
    pub(super) fn of_fiber(reactor: &Arc<Reactor>, fiber: u64) -> Self {
        let reactor = Arc::clone(reactor);
        Self(Kind::Fiber { set: AtomicBool::new(false), reactor, fiber })
    }

    /// One for the current task to wait for. It holds no descriptor while nobody waits.
    pub(crate) fn take() -> Arc<Self> {
        Arc::new(match fiber::current() {
            Some(fiber) => fiber.notify(),
            None => Self(Kind::Thread(Flag::new())),
        })
    }

    /// Sets it. Never blocks.
    pub(crate) fn set(&self) {
        match &self.0 {
            Kind::Polled(fd) => fd.signal(),
            Kind::Thread(flag) => flag.set(),
            Kind::Fiber { set, reactor, fiber } => {
                if !set.swap(true, Ordering::SeqCst) {
                    reactor.wake(*fiber);
                }
            }
        }
    }

    /// Takes it back, for a wait for something else.
    pub(crate) fn clear(&self) {
        match &self.0 {
            Kind::Polled(fd) => fd.clear(),
            Kind::Thread(flag) => flag.clear(),
            Kind::Fiber { set, .. } => set.store(false, Ordering::SeqCst),
        }
    }

    /// The descriptor of one that has it; -1, which poll(2) ignores, for others.
    pub(crate) fn fd(&self) -> RawFd {
        match &self.0 {
            Kind::Polled(fd) => fd.raw(),
            Kind::Thread(_) | Kind::Fiber { .. } => -1,
        }
    }

    /// Whether it is set; of one with a descriptor the system knows.
    pub(crate) fn is_set(&self) -> bool {
        match &self.0 {
            Kind::Polled(fd) => readable_now(&[fd.raw()])[0],
            Kind::Thread(flag) => flag.is_set(),
            Kind::Fiber { set, .. } => set.load(Ordering::SeqCst),
        }
    }

    /// What this thread polls to wait for it, `beside` other descriptors; `None` if it is set.
    pub(super) fn polls(&self, beside: bool) -> io::Result<Option<Polls<'_>>> {
        Ok(Some(match &self.0 {
            Kind::Polled(fd) => Polls::Own(fd),
            Kind::Fiber { .. } => Polls::Nothing,
            Kind::Thread(flag) => {
                let manner = Manner { shares: beside, lasts: !is_worker() };
                match flag.watch(wakeups(), manner)? {
                    Some(watch) => Polls::Lent(watch),
                    None => return Ok(None),
                }
            }
        }))
    }
}

fn wakeups() -> &'static Wakeups<EventFd> {
    /// The child of a fork has its own: others wait with its parent's.
    static WAKEUPS: PerProcess<Wakeups<EventFd>> = PerProcess::new();
    WAKEUPS.get(|_| Wakeups::new())
}

/// Closes the descriptors that are kept for the next waits: a manager ended, and there may be no more.
pub(crate) fn close_unused_wakeups() {
    wakeups().close_unused();
}

impl Polls<'_> {
    /// Whether the descriptor was readable for this event, whose it is.
    pub(super) fn is_for(&self, notify: &Notify) -> bool {
        match self {
            Self::Own(_) => true,
            Self::Lent(_) | Self::Nothing => notify.is_set(),
        }
    }

    pub(super) fn fd(&self) -> RawFd {
        match self {
            Self::Own(fd) => fd.raw(),
            Self::Lent(watch) => watch.descriptor().raw(),
            Self::Nothing => -1,
        }
    }
}

impl EventFd {
    fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Descriptor for EventFd {
    fn open() -> io::Result<Self> {
        // SAFETY: no pointers; the flags are those of eventfd(2).
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, process: fork_generation() })
    }

    /// The counter can't overflow before 2^64 calls.
    fn signal(&self) {
        if self.process == fork_generation() {
            let one = 1u64.to_ne_bytes();
            // SAFETY: eight readable bytes, and a descriptor that lives as long as `self`.
            unsafe { libc::write(self.raw(), one.as_ptr().cast(), one.len()) };
        }
    }

    fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight writable bytes, and a descriptor that lives as long as `self`.
        unsafe { libc::read(self.raw(), count.as_mut_ptr().cast(), count.len()) };
    }
}
