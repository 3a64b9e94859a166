//! A descriptor that is readable while one of some others is: epoll(7), which can itself be polled.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::Descriptor;

/// The descriptor that an event loop polls ([`Driver::descriptor`](crate::Driver::descriptor)).
pub type BorrowedDescriptor<'a> = BorrowedFd<'a>;

/// Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct DescriptorGroup(OwnedFd);

impl DescriptorGroup {
    pub(crate) fn open() -> io::Result<Self> {
        // SAFETY: no pointers; the flag is one of epoll_create1(2).
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the system has just made this descriptor, and only this value owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Adds a descriptor, until it is closed.
    pub(crate) fn add(&self, descriptor: Descriptor) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        let (group, one) = (self.0.as_raw_fd(), descriptor.number());
        // SAFETY: the event lives during the call, and the descriptor of the group as long as `self`.
        let added = unsafe { libc::epoll_ctl(group, libc::EPOLL_CTL_ADD, one, &raw mut event) };
        if added == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Whether one that was added counts.
    pub(crate) fn set_polled(&self, descriptor: Descriptor, counts: bool) {
        let events = if counts { libc::EPOLLIN as u32 } else { 0 };
        let mut event = libc::epoll_event { events, u64: 0 };
        let (group, one) = (self.0.as_raw_fd(), descriptor.number());
        // SAFETY: as in `add`. It fails only for one that was not added.
        unsafe { libc::epoll_ctl(group, libc::EPOLL_CTL_MOD, one, &raw mut event) };
    }

    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor::of(&self.0)
    }

    pub(crate) fn borrowed(&self) -> BorrowedDescriptor<'_> {
        self.0.as_fd()
    }
}
