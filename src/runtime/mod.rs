//! Waiting: the one place where anything blocks.
//!
//! A task waits for a descriptor to be ready, for a [`Notify`] to be set, or for a deadline. A thread of the
//! caller blocks in poll(2) ([`thread`]); a submitted task is a [`fiber`], which parks while its
//! [`event_loop`] runs others. Both call the same functions ([`task`]).
//!
//! ```text
//!   engine        gives a job to one of the I/O threads
//!     io_thread     runs an event loop, or lends it to a thread that waits for it (handoff)
//!       event_loop    runs fibers that are due, asks the kernel which descriptors are ready
//!         fiber         a job on a stack of its own (stackful), and how it waits
//!           run_queue     where each fiber is: due, parked, its deadline (timers)
//!     reactor       what other threads know of an event loop: jobs, wake-ups (sleep_flag)
//!   host_loop     the same for a host: an event loop of the caller's, which polls one descriptor and drives
//!   source        a descriptor, and what is known of it between two waits (readiness)
//!   input         a descriptor of the caller's that is read
//!   watch         many descriptors that no task waits for, and which of them got input
//!   notify        what another thread sets; wakeup is how a thread in poll(2) notices it
//!   worker        work that must not run on an I/O thread, done by a worker_pool
//!   sys           all that the operating system has to do with it
//! ```
//!
//! # What code above must obey
//! It may run on a fiber, so it is not free to do what any code does:
//! - **No lock guard, and nothing of a thread's own, is held over a wait.** After a wait the fiber may be on
//!   another thread. A thread-local is looked up anew after each wait, in a function that is not inlined.
//! - **Nothing blocks** but through [`wait`] and its kin. What takes long, may block, or is a callback of the
//!   program goes to [`run_on_worker`] or one of its kin.
//! - **The stack has 256 KiB**, and what a parked fiber has touched of it stays in memory for as long as it is
//!   in flight. Deep calls that do not wait go through [`on_thread_stack`] (the TLS engine, the HTTP codec,
//!   callbacks that may not block); [`trim_stack`] before a long wait gives back what deeper calls touched.
//!   Inside of [`on_thread_stack`] the code is no fiber: a wait there would block the I/O thread.
//! - **A loop that reads or writes without waiting calls [`yield_if_due`]**, or it keeps its I/O thread.
//! - A panic may unwind a fiber, up to its job. Meanwhile it counts as no fiber, so what is dropped must not
//!   wait.
//!
//! Knows nothing of HTTP, connections or cancelling: a cancel sets the notification or shuts the socket down,
//! and the wait ends because what it waited for has happened.

mod engine;
mod event_loop;
mod fiber;
mod handoff;
mod host_loop;
mod input;
mod interest;
mod io_thread;
mod notify;
mod oneshot;
mod reactor;
mod readiness;
mod run_queue;
mod sleep_flag;
mod source;
mod spawner;
#[cfg(test)]
pub(crate) mod stack_probe;
mod stackful;
mod sys;
mod task;
mod thread;
mod timers;
mod wait_for;
mod wake_target;
mod wakeup;
mod watch;
mod worker;
mod worker_pool;

pub(crate) use engine::Engine;
pub(crate) use event_loop::wake_deferred;
pub(crate) use fiber::loop_here;
pub(crate) use host_loop::{HostLoop, OwnLoop};
pub(crate) use input::InputDescriptor;
pub(crate) use interest::Interest;
pub(crate) use io_thread::{AloneTurn, Driver, was_interrupted};
pub(crate) use notify::{Notify, close_unused_wakeups};
pub(crate) use oneshot::Oneshot;
pub(crate) use reactor::has_several_loops;
pub(crate) use source::Source;
pub(crate) use spawner::{SpawnPlace, Spawner};
pub(crate) use sys::DescriptorGroup;
#[cfg(test)]
pub(crate) use sys::are_readable;
pub use sys::{BorrowedDescriptor, OwnedDescriptor};
pub(crate) use sys::{
    Descriptor, Opened, ReadFd, is_file_at, is_ready, no_thread, open_or_create,
    open_without_waiting, poll_readable, read_without_waiting, sync_directory, try_lock,
};
pub(crate) use task::{
    READ_WAIT, is_interrupted, may_wait_in_read, on_thread_stack, trim_stack, wait, wait_any,
    wait_fd, work_is_interrupted, yield_if_due,
};
pub(crate) use thread::{InterruptCheck, set_interrupt_check};
pub(crate) use wait_for::{PollEntry, WaitFor, WaitUntil, WakeReason};
pub(crate) use wake_target::WakeTarget;
pub(crate) use watch::InputWatch;
pub(crate) use worker::{
    NotDone, is_on_fiber, run_on_own_worker, run_on_worker, run_on_worker_soon,
};
pub(crate) use worker_pool::{THREAD_WAIT, WorkerPool};
