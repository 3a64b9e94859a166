//! An event: set from any thread, waited for by one. An eventfd(2), so that poll can wait
//! for it beside a socket.

#![allow(unsafe_code)] // System calls.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use crate::process::generation;

/// A level-triggered flag with a descriptor. Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct Event {
    fd: OwnedFd,
    process: u32,
}

impl Event {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the flags are those of eventfd(2).
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else owns.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) }, process: generation() })
    }

    /// The one that this thread keeps, or a new one: for a short wait that spares two system calls.
    /// Who used it before may set it still: whoever is woken looks what has happened.
    pub(crate) fn take() -> io::Result<Arc<Self>> {
        match SPARE.try_with(Cell::take) {
            // An inherited one is its parent's as well, whose wake-ups a forked child would take away.
            Ok(Some(event)) if event.process == generation() => Ok(event),
            _ => Self::new().map(Arc::new),
        }
    }

    /// Keeps it for this thread's next [`take`](Self::take): one, which is closed with the thread.
    pub(crate) fn keep(event: Arc<Self>) {
        let _ = SPARE.try_with(|spare| spare.set(Some(event)));
    }

    /// Sets it. Never blocks: the counter can't overflow before 2^64 calls.
    pub(crate) fn set(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight readable bytes, and a descriptor that lives as long as `self`.
        unsafe { libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Takes it back, for a wait for something else.
    pub(crate) fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight writable bytes, and a descriptor that lives as long as `self`.
        unsafe { libc::read(self.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

thread_local! {
    static SPARE: Cell<Option<Arc<Event>>> = const { Cell::new(None) };
}
