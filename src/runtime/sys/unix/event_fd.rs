//! A descriptor that another thread makes readable: eventfd(2).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::Descriptor;
use crate::process::fork_generation;

/// Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct EventFd {
    fd: OwnedFd,
    /// The child of a fork shares an inherited one with its parent, whose waits it would end.
    process: u32,
}

impl EventFd {
    pub(crate) fn open() -> io::Result<Self> {
        // SAFETY: no pointers; the flags are those of eventfd(2).
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the system has just made this descriptor, and only this value owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, process: fork_generation() })
    }

    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor::of(&self.fd)
    }

    /// Makes it readable. Never blocks: the counter can't overflow before 2^64 calls.
    pub(crate) fn signal(&self) {
        if self.process == fork_generation() {
            let one = 1u64.to_ne_bytes();
            // SAFETY: eight readable bytes, and a descriptor that lives as long as `self`.
            unsafe { libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        }
    }

    /// Makes it unreadable.
    pub(crate) fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight writable bytes, and a descriptor that lives as long as `self`.
        unsafe { libc::read(self.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}
