//! An event: set from any thread, waited for by one task. A thread's is an eventfd(2), so that
//! poll can wait for it beside a socket; a fiber's is a flag and the word where to find the fiber.

#![allow(unsafe_code)] // System calls.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::fiber;
use super::reactor::Reactor;
use super::thread::readable_now;
use crate::process::generation;

/// A level-triggered flag that ends a wait. Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct Event(Kind);

#[derive(Debug)]
enum Kind {
    /// An eventfd(2): for threads, and for whoever polls it beside other things.
    Descriptor { fd: OwnedFd, process: u32 },
    /// Of a fiber, which needs no descriptor to be found.
    Fiber { set: AtomicBool, reactor: Arc<Reactor>, fiber: u64 },
}

impl Event {
    /// One with a descriptor.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the flags are those of eventfd(2).
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self(Kind::Descriptor { fd, process: generation() }))
    }

    /// One that only this fiber waits for.
    pub(super) fn of_fiber(reactor: &Arc<Reactor>, fiber: u64) -> Self {
        let reactor = Arc::clone(reactor);
        Self(Kind::Fiber { set: AtomicBool::new(false), reactor, fiber })
    }

    /// One for the current task to wait for; a thread's is the one that it keeps, if it has one:
    /// for a short wait that spares two system calls. Who used it before may set it still: whoever
    /// is woken looks what has happened.
    pub(crate) fn take() -> io::Result<Arc<Self>> {
        if let Some(fiber) = fiber::current() {
            return Ok(Arc::new(fiber.event()));
        }
        match SPARE.try_with(Cell::take) {
            // An inherited one is its parent's as well, whose wake-ups a forked child would take away.
            Ok(Some(event)) if event.is_of_this_process() => Ok(event),
            _ => Self::new().map(Arc::new),
        }
    }

    /// Keeps it for this thread's next [`take`](Self::take): one, which is closed with the thread.
    pub(crate) fn keep(event: Arc<Self>) {
        if matches!(event.0, Kind::Descriptor { .. }) {
            let _ = SPARE.try_with(|spare| spare.set(Some(event)));
        }
    }

    /// Sets it. Never blocks: the counter can't overflow before 2^64 calls.
    pub(crate) fn set(&self) {
        match &self.0 {
            Kind::Descriptor { fd, .. } => {
                let one = 1u64.to_ne_bytes();
                // SAFETY: eight readable bytes, and a descriptor that lives as long as `self`.
                unsafe { libc::write(fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
            }
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
            Kind::Descriptor { fd, .. } => {
                let mut count = [0u8; 8];
                // SAFETY: eight writable bytes, and a descriptor that lives as long as `self`.
                unsafe { libc::read(fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
            }
            Kind::Fiber { set, .. } => set.store(false, Ordering::SeqCst),
        }
    }

    /// Its descriptor; -1, which poll(2) ignores, for a fiber's.
    pub(crate) fn fd(&self) -> RawFd {
        match &self.0 {
            Kind::Descriptor { fd, .. } => fd.as_raw_fd(),
            Kind::Fiber { .. } => -1,
        }
    }

    /// Whether it is set; only a fiber's knows that without a system call.
    pub(super) fn is_set(&self) -> bool {
        match &self.0 {
            Kind::Descriptor { fd, .. } => readable_now(&[fd.as_raw_fd()])[0],
            Kind::Fiber { set, .. } => set.load(Ordering::SeqCst),
        }
    }

    fn is_of_this_process(&self) -> bool {
        match &self.0 {
            Kind::Descriptor { process, .. } => *process == generation(),
            Kind::Fiber { .. } => false,
        }
    }
}

thread_local! {
    static SPARE: Cell<Option<Arc<Event>>> = const { Cell::new(None) };
}
