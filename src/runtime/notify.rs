//! A notification: set from any thread, waited for by one task.
//!
//! A thread's is a flag, and an eventfd(2) only for as long as it waits. A fiber's is a flag and the key of the
//! fiber. One that a program may poll has an eventfd of its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::reactor::Reactor;
use super::sys::{self, Descriptor, EventFd};
use super::wakeup::{WakeFlag, Wakeable, WakeupUse, Wakeups, Watch};
use super::worker_pool::is_worker;
use crate::process::PerProcess;

/// A level-triggered flag that ends a wait. Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct Notify(Kind);

#[derive(Debug)]
enum Kind {
    /// For a program that polls it beside other descriptors.
    Polled(EventFd),
    /// For a thread, which polls a descriptor only while it waits.
    Thread(WakeFlag<EventFd>),
    /// For a fiber, which needs no descriptor to be woken.
    Fiber { set: AtomicBool, reactor: Arc<Reactor>, fiber: u64 },
}

/// What a thread that waits for a notification polls.
pub(super) enum Polled<'a> {
    Own(&'a EventFd),
    Shared(Watch<'a, EventFd>),
    Nothing,
}

impl Notify {
    /// One with a descriptor.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Kind::Polled(EventFd::open()?)))
    }

    pub(super) fn of_thread() -> Self {
        Self(Kind::Thread(WakeFlag::new()))
    }

    /// One that only this fiber waits for.
    pub(super) fn of_fiber(reactor: &Arc<Reactor>, fiber: u64) -> Self {
        let reactor = Arc::clone(reactor);
        Self(Kind::Fiber { set: AtomicBool::new(false), reactor, fiber })
    }

    /// Sets it. Never blocks.
    pub(crate) fn set(&self) {
        match &self.0 {
            Kind::Polled(fd) => fd.signal(),
            Kind::Thread(flag) => flag.set(),
            Kind::Fiber { set, reactor, fiber } => {
                if !set.swap(true, Ordering::SeqCst) {
                    reactor.wake_fiber(*fiber);
                }
            }
        }
    }

    /// Clears it, for a wait for something else.
    pub(crate) fn clear(&self) {
        match &self.0 {
            Kind::Polled(fd) => fd.clear(),
            Kind::Thread(flag) => flag.clear(),
            Kind::Fiber { set, .. } => set.store(false, Ordering::SeqCst),
        }
    }

    /// Its descriptor; [`Descriptor::NONE`] if it has none of its own.
    pub(crate) fn descriptor(&self) -> Descriptor {
        match &self.0 {
            Kind::Polled(fd) => fd.descriptor(),
            Kind::Thread(_) | Kind::Fiber { .. } => Descriptor::NONE,
        }
    }

    /// Whether it is set; for one with a descriptor this is a system call.
    pub(crate) fn is_set(&self) -> bool {
        match &self.0 {
            Kind::Polled(fd) => sys::are_readable(&[fd.descriptor()])[0],
            Kind::Thread(flag) => flag.is_set(),
            Kind::Fiber { set, .. } => set.load(Ordering::SeqCst),
        }
    }

    /// What this thread polls to wait for it; `None` if it is set. `beside_others`: it polls other descriptors
    /// as well.
    pub(super) fn poll_for(&self, beside_others: bool) -> io::Result<Option<Polled<'_>>> {
        Ok(Some(match &self.0 {
            Kind::Polled(fd) => Polled::Own(fd),
            Kind::Fiber { .. } => Polled::Nothing,
            Kind::Thread(flag) => {
                let how = WakeupUse { may_share: beside_others, keep: !is_worker() };
                match flag.watch(wakeups(), how)? {
                    Some(watch) => Polled::Shared(watch),
                    None => return Ok(None),
                }
            }
        }))
    }
}

fn wakeups() -> &'static Wakeups<EventFd> {
    /// The child of a fork has its own: its parent's threads wait with the parent's.
    static WAKEUPS: PerProcess<Wakeups<EventFd>> = PerProcess::new();
    WAKEUPS.get(|_| Wakeups::new())
}

/// Closes the descriptors that are kept for the next waits: a manager ended, and it may be the last.
pub(crate) fn close_unused_wakeups() {
    wakeups().close_unused();
}

impl Polled<'_> {
    /// Whether the descriptor was readable for this notification, and not for another one that shares it.
    pub(super) fn is_for(&self, notify: &Notify) -> bool {
        match self {
            Self::Own(_) => true,
            Self::Shared(_) | Self::Nothing => notify.is_set(),
        }
    }

    pub(super) fn descriptor(&self) -> Descriptor {
        match self {
            Self::Own(fd) => fd.descriptor(),
            Self::Shared(watch) => watch.descriptor().descriptor(),
            Self::Nothing => Descriptor::NONE,
        }
    }
}

impl Wakeable for EventFd {
    fn open() -> io::Result<Self> {
        Self::open()
    }

    fn signal(&self) {
        self.signal();
    }

    fn clear(&self) {
        self.clear();
    }
}
