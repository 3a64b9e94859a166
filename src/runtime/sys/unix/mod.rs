//! Unix: poll(2), eventfd(2), and epoll(7) or kqueue(2) through mio.

mod descriptor;
mod descriptor_group;
mod event_fd;
mod file;
mod memory;
mod poll;
mod read_fd;
mod registry;
mod timer_fd;

use std::io;

pub(crate) use descriptor::Descriptor;
pub use descriptor_group::BorrowedDescriptor;
pub(crate) use descriptor_group::DescriptorGroup;
pub(crate) use event_fd::EventFd;
pub(crate) use file::{
    is_file_at, open_or_create, open_without_waiting, read_without_waiting, sync_directory,
    try_lock,
};
pub(crate) use memory::{discard_pages, page_size};
pub(crate) use poll::{PollSlot, are_readable, is_ready, poll, poll_readable};
pub use read_fd::OwnedDescriptor;
pub(crate) use read_fd::{Opened, ReadFd};
pub(crate) use registry::{deregister, register, register_input};
pub(crate) use timer_fd::TimerFd;

/// The error of a system that makes no more threads (pthread_create(3)).
pub(crate) fn no_thread() -> io::Error {
    io::Error::from_raw_os_error(libc::EAGAIN)
}
