//! What waiting needs of the operating system. A port to another system is one more folder beside `unix`
//! with the same names; nothing else in `runtime` names the system.

#![allow(unsafe_code)] // System calls.

mod unix;

pub use unix::{BorrowedDescriptor, OwnedDescriptor};
pub(crate) use unix::{
    Descriptor, DescriptorGroup, EventFd, Opened, PollSlot, ReadFd, TimerFd, are_readable,
    deregister, discard_pages, is_file_at, is_ready, no_thread, open_or_create,
    open_without_waiting, page_size, poll, poll_readable, read_without_waiting, register,
    register_input, sync_directory, try_lock,
};
