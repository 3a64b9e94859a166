//! An event loop of the program does the work of what is submitted, on its own thread.
//!
//! For a program with mio, epoll(7) or another loop that polls descriptors. Where submitted work runs else, and what an
//! event loop is, is a matter of `runtime`.

use std::io;
use std::sync::Arc;

use crate::error::Error;
use crate::process::fork_generation;
use crate::runtime::{BorrowedDescriptor, DescriptorGroup, HostLoop, SpawnPlace};
use crate::vocabulary::Kind;

/// Does the work of submitted requests on the thread of the program's own event loop, so that no other thread has to be woken
/// for them.
///
/// The program polls one [`descriptor`](Self::descriptor) beside its others, and calls [`drive`](Self::drive) when it is
/// readable. What is submitted in [`enter`](Self::enter) runs there: requests, reads of bodies, writes of uploads, streams.
/// Outcomes arrive during `drive`: a future's waker is called then, and so is the function that was given to
/// [`Client::submit_with`](crate::Client::submit_with).
///
/// If the program does not call `drive` although the descriptor is readable, because it computes or blocks, a thread of the
/// library does the work after 10 to 20 milliseconds, until `drive` is called again. That thread sleeps otherwise. Timeouts
/// make the descriptor readable, too, so that the program needs no timer for them.
///
/// Each driver has an event loop of its own: threads with a driver each do not wait for each other, and share the connections of
/// their clients. Dropped, it leaves what is under way to its thread.
///
/// The work runs on separate stacks (256 KiB each) on the thread that drives; signal handlers meanwhile find such a stack. With
/// the environment variable `HANGUP_ENGINE=threads`, and where there are no such stacks, threads of the library do all of the
/// work, and the descriptor is never readable.
///
/// Threads: any thread at any time; one drives at a time.
///
/// ```
/// use std::sync::mpsc;
/// use std::time::Duration;
///
/// use hangup::{Client, Driver, Request, Timeout};
/// use mio::unix::SourceFd;
/// use mio::{Events, Interest, Poll, Token};
/// use std::os::fd::AsRawFd;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
/// let driver = Driver::new()?;
/// let number = driver.descriptor().as_raw_fd();
/// poll.registry().register(&mut SourceFd(&number), Token(0), Interest::READABLE)?;
///
/// let mut request = Request::new("GET", "http://127.0.0.1:9/")?;
/// request.set_timeout(Timeout::Total, Some(Duration::from_secs(30)))?;
/// let (sender, receiver) = mpsc::channel();
/// driver.enter(|| Client::default().submit_with(request, move |outcome| drop(sender.send(outcome))));
/// let outcome = loop {
///     // mio reports a descriptor when it becomes readable: `drive` comes first, and says whether to come again.
///     while driver.drive()? {}
///     match receiver.try_recv() {
///         Ok(outcome) => break outcome,
///         Err(_) => poll.poll(&mut events, None)?,
///     }
/// };
/// assert_eq!(outcome.unwrap_err().kind(), hangup::Kind::ConnectFailed);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Driver {
    work: Work,
    process: u32,
}

/// Where the work is done.
#[derive(Debug)]
enum Work {
    Here(Arc<HostLoop>),
    /// By threads of the library. The descriptor is never readable.
    Elsewhere(DescriptorGroup),
}

impl Driver {
    /// A new event loop, and its thread, which sleeps while the program drives.
    ///
    /// # Errors
    /// [`Kind::System`]: the process has no free descriptor or thread.
    pub fn new() -> Result<Self, Error> {
        let work = match HostLoop::start(None) {
            Ok(Some(host)) => Ok(Work::Here(host)),
            Ok(None) => DescriptorGroup::open().map(Work::Elsewhere),
            Err(error) => Err(error),
        };
        let work = work.map_err(|error| match error.kind() {
            // pthread_create(3).
            io::ErrorKind::WouldBlock => Error::no_thread(&error),
            _ => Error::from_os(Kind::System, "can't start an event loop", &error),
        })?;
        Ok(Self { work, process: fork_generation() })
    }

    /// Readable while [`drive`](Self::drive) has something to do. Only to be polled, best level-triggered.
    pub fn descriptor(&self) -> BorrowedDescriptor<'_> {
        match &self.work {
            Work::Here(host) => host.group(),
            Work::Elsewhere(group) => group,
        }
        .borrowed()
    }

    /// Does the work that is ready, on this thread: receives, sends, decrypts, decodes. Never waits; returns after a bounded
    /// amount of work. Returns whether there is more to do, and the descriptor is still readable: a loop that polls
    /// edge-triggered, as that of mio, calls it until it returns false.
    ///
    /// It does nothing while another thread drives, and if it is called by a function that this work calls.
    ///
    /// # Errors
    /// [`Kind::Forked`] in the child of a fork: make a new driver there.
    pub fn drive(&self) -> Result<bool, Error> {
        if self.is_forked() {
            let what = "this driver is of the parent of this process; make a new one";
            return Err(Error::new(Kind::Forked, what));
        }
        Ok(match &self.work {
            Work::Here(host) => host.visit(),
            Work::Elsewhere(_) => false,
        })
    }

    /// Calls `submits`. What it submits, and what it begins to read or write in the background, is the work of this driver;
    /// that of futures begins when they are polled, so a program that polls futures does that in here. In the child of a fork
    /// a thread of the library does that work.
    pub fn enter<T>(&self, submits: impl FnOnce() -> T) -> T {
        let host = match &self.work {
            Work::Here(host) if !self.is_forked() => Some(host),
            _ => None,
        };
        let _place = SpawnPlace::enter(host);
        submits()
    }

    fn is_forked(&self) -> bool {
        self.process != fork_generation()
    }
}
