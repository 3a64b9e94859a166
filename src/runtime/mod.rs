//! Waiting: the one place where anything blocks.
//!
//! A task waits for a descriptor to be ready, for an [`Notify`] to be set, or for a deadline.
//! How it waits is the [`Waiter`]'s business: [`thread`] blocks the caller's own thread in
//! poll(2); [`fiber`] parks a coroutine, so that its [`event_loop`] runs others meanwhile. The code
//! above is the same and does not know. Work that can't wait in that way, or takes long, is done
//! [`run_on_worker`].
//!
//! ```text
//!   engine      a job is given to one of the I/O threads
//!     io_thread   runs an event loop, or lets a guest run it (lead)
//!       event_loop  fibers that are due, descriptors that are ready (epoll), timers
//!         fiber       a job on a stack of its own, and how it waits
//!     reactor     what others know of an event loop: wake-ups, jobs
//!   source      a descriptor, and what is known of it between two waits
//!   event       what others set; wakeup is how a thread in poll(2) hears of it
//! ```
//!
//! Knows nothing of HTTP, connections or cancelling: whoever cancels sets the event or shuts
//! the socket down, and the wait ends because what it waited for has happened.

mod engine;
mod event_loop;
mod fiber;
mod handoff;
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
mod worker;
mod worker_pool;

pub(crate) use engine::Engine;
pub(crate) use event_loop::wake_deferred;
pub(crate) use interest::Interest;
pub(crate) use io_thread::{Driver, was_interrupted};
pub(crate) use notify::{Notify, close_unused_wakeups};
pub(crate) use oneshot::Oneshot;
pub(crate) use source::Source;
pub(crate) use spawner::Spawner;
pub(crate) use sys::{Descriptor, are_readable, is_ready, no_thread, open_without_waiting};
pub(crate) use task::{
    on_thread_stack, trim_stack, wait, wait_any, wait_fd, work_is_interrupted, yield_if_due,
};
pub(crate) use thread::{InterruptCheck, set_interrupt_check};
pub(crate) use wait_for::{PollEntry, WaitFor, WaitUntil, WakeReason};
pub(crate) use wake_target::WakeTarget;
pub(crate) use worker::{
    NotDone, is_on_fiber, run_on_own_worker, run_on_worker, run_on_worker_soon,
};
pub(crate) use worker_pool::{THREAD_WAIT, WorkerPool};
