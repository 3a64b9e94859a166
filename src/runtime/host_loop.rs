//! An event loop that a host drives: a program with an event loop of its own polls one descriptor, and runs on its own
//! thread what is ready here. No other thread has to be woken for that.
//!
//! The loop's own thread watches ([`LoopHandoff::lend`](super::handoff::LoopHandoff::lend)): if the host does not come
//! although there is something to do, the thread runs the loop until the host comes again.

use std::io;
use std::sync::Arc;

use super::event_loop;
use super::io_thread::{AloneTurn, Driver, IoThread};
use super::stackful;
use super::sys::{Descriptor, DescriptorGroup};

/// Threads: any thread at any time; one drives it. Its drop ends it as soon as it has nothing left to do.
#[derive(Debug)]
pub(crate) struct HostLoop {
    io_thread: Arc<IoThread>,
    /// Readable while there is something to do, or the other descriptor is readable.
    group: Arc<DescriptorGroup>,
}

impl HostLoop {
    /// A loop, and its thread. `beside` is readable while the host has another reason to come. `None` where there are no
    /// coroutines: threads of the library do all of the work then.
    pub(crate) fn start(beside: Option<Descriptor>) -> io::Result<Option<Arc<Self>>> {
        if stackful::are_off() {
            return Ok(None);
        }
        let group = Arc::new(DescriptorGroup::open()?);
        if let Some(beside) = beside {
            group.add(beside)?;
        }
        let io_thread = IoThread::start_for_host(&group)?;
        Ok(Some(Arc::new(Self { io_thread, group })))
    }

    /// What the host polls.
    pub(crate) fn group(&self) -> &DescriptorGroup {
        &self.group
    }

    /// Runs on this thread what is ready, and returns whether there is more. Doesn't wait: neither for what is not ready
    /// nor for the loop, if its own thread runs it for a moment. Then the descriptor is readable again soon.
    pub(crate) fn visit(&self) -> bool {
        !event_loop::is_here() && self.io_thread.visit()
    }

    /// Lets this thread begin what it is about to spawn; `None` if the loop has something else to do.
    pub(crate) fn begin_alone(&self) -> Option<AloneTurn> {
        self.io_thread.begin_alone()
    }

    /// Lets this thread run the loop while it waits; `None` if another thread drives it.
    pub(crate) fn try_drive(&self) -> Option<Driver> {
        if event_loop::is_here() {
            return None;
        }
        Arc::clone(&self.io_thread).drive_for_host()
    }

    pub(super) fn io_thread(&self) -> &Arc<IoThread> {
        &self.io_thread
    }
}

impl Drop for HostLoop {
    fn drop(&mut self) {
        self.io_thread.stop();
    }
}

/// An event loop that only threads drive that wait for what it brings, and otherwise its own: that of one queue. Threads:
/// any thread at any time; one drives it. Its drop ends it as soon as it has nothing left to do.
#[derive(Debug)]
pub(crate) struct OwnLoop(Arc<IoThread>);

impl OwnLoop {
    /// A loop, and its thread. `None` where there are no coroutines.
    pub(crate) fn start() -> io::Result<Option<Self>> {
        if stackful::are_off() { Ok(None) } else { Ok(Some(Self(IoThread::start()?))) }
    }

    /// Lets this thread run the loop while it waits; `None` if another thread drives it.
    pub(crate) fn try_drive(&self) -> Option<Driver> {
        Arc::clone(&self.0).try_drive(usize::MAX)
    }

    pub(super) fn io_thread(&self) -> &Arc<IoThread> {
        &self.0
    }
}

impl Drop for OwnLoop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
