//! A subscription to a manager's events, which a thread or a program's own poll loop reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::event_log::{EventKind, LoggedEvent, Subscriber};
use super::pool::Pool;
use crate::error::Error;
use crate::process::fork_generation;
use crate::runtime::{Notify, WaitFor, WaitUntil, WakeReason, wait};
use crate::timeouts::Deadline;
use crate::vocabulary::{Kind, Timeout};

/// One event. Threads: a value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// Consecutive in a manager, from its first subscription on.
    pub number: u64,
    /// When it happened, counted from the manager's first subscription.
    pub at: Duration,
    /// What happened.
    pub kind: EventKind,
    /// The connection; 0 if there is none.
    pub connection: u64,
    /// Scheme, host and port; empty if the event concerns no origin.
    pub origin: String,
}

/// A subscription to a manager's events: each event from its beginning on can be read once. Ends with
/// its drop. Threads: one at a time.
///
/// ```
/// let manager = hangup::Manager::new(hangup::Limits::default());
/// let mut events = manager.events(1024)?;
/// while let Some(event) = events.next(Some(std::time::Duration::ZERO))? {
///     println!("{:?} {} {}", event.at, event.kind, event.origin);
/// }
/// # Ok::<(), hangup::Error>(())
/// ```
#[derive(Debug)]
pub struct Events {
    pool: Arc<Pool>,
    subscriber: Arc<Subscriber>,
    next: u64,
    lost: u64,
    process: u32,
}

/// Ends the waits of a subscription, see [`Events::closer`]. Threads: any thread at any time.
///
/// ```
/// let manager = hangup::Manager::new(hangup::Limits::default());
/// let mut events = manager.events(16)?;
/// events.closer().close();
/// assert_eq!(events.next(None).unwrap_err().kind(), hangup::Kind::Closed);
/// # Ok::<(), hangup::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EventsCloser(Arc<Subscriber>);

impl Events {
    pub(super) fn subscribe(pool: &Arc<Pool>, capacity: usize) -> Result<Self, Error> {
        if capacity == 0 {
            let what = "a ring for 0 events holds none; give the number that may wait to be read, such as 1024";
            return Err(Error::new(Kind::InvalidArgument, what));
        }
        let notify = Notify::new().map_err(|error| {
            Error::from_os(Kind::System, "no descriptor for the events of a manager", &error)
        })?;
        let subscriber = Arc::new(Subscriber {
            notify: Arc::new(notify),
            is_notified: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        });
        let next = pool.subscribe(&subscriber, capacity);
        let process = fork_generation();
        Ok(Self { pool: Arc::clone(pool), subscriber, next, lost: 0, process })
    }

    /// The next event. Waits for one for at most `limit`; `None` waits for ever, [`Duration::ZERO`]
    /// does not wait. Returns `Ok(None)` if none happened in that time.
    ///
    /// # Errors
    /// [`Kind::Cancelled`] if a signal ended the wait (the binding's interrupt check);
    /// [`Kind::Closed`] after an [`EventsCloser`] was used, when all earlier events were read;
    /// [`Kind::Forked`] in the child of a fork; [`Kind::System`].
    pub fn next(&mut self, limit: Option<Duration>) -> Result<Option<Event>, Error> {
        if self.process != fork_generation() {
            // The parent polls the same descriptor: clearing it here would lose its wake-ups.
            let what =
                "these events belong to the parent of this process; subscribe again in the child";
            return Err(Error::new(Kind::Forked, what));
        }
        let deadline = Deadline::after(Instant::now(), limit, Timeout::Total).at;
        loop {
            // Before the log is read: an event that is recorded after that sets it again.
            self.subscriber.notify.clear();
            self.subscriber.is_notified.store(false, Ordering::SeqCst);
            if let Some((number, row, more)) = self.pool.read_event(self.next) {
                self.lost += number - self.next;
                self.next = number + 1;
                let LoggedEvent { at, kind, connection, key } = row;
                if more {
                    // The descriptor is readable while there are unread events.
                    self.subscriber.notify.set();
                }
                let origin = key.map_or_else(String::new, |key| key.origin.to_string());
                return Ok(Some(Event { number, at, kind, connection, origin }));
            }
            if self.subscriber.is_closed.load(Ordering::SeqCst) {
                self.subscriber.notify.set();
                return Err(Error::new(Kind::Closed, "these events were closed"));
            }
            let until = WaitUntil::new(deadline);
            if until.has_come() {
                return Ok(None);
            }
            let want = WaitFor { fd: None, notify: Some(&self.subscriber.notify) };
            match wait(want, until) {
                Ok(WakeReason::Notified | WakeReason::Ready { .. }) => {}
                Ok(WakeReason::Deadline) => return Ok(None),
                Ok(WakeReason::Interrupted) => {
                    return Err(Error::new(Kind::Cancelled, "interrupted by a signal"));
                }
                Err(error) => return Err(Error::from_os(Kind::System, "can't wait", &error)),
            }
        }
    }

    /// A handle that ends a wait in [`next`](Self::next) from another thread.
    pub fn closer(&self) -> EventsCloser {
        EventsCloser(Arc::clone(&self.subscriber))
    }

    /// How many events this subscription was too slow to read.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// A descriptor for poll(2) and its like, readable while there are unread events. It is closed
    /// with the subscription.
    pub fn descriptor(&self) -> i32 {
        self.subscriber.notify.descriptor().number()
    }
}

impl EventsCloser {
    /// Ends the wait in [`Events::next`] and all later ones: with [`Kind::Closed`], after the events
    /// that are left were read.
    pub fn close(&self) {
        self.0.is_closed.store(true, Ordering::SeqCst);
        self.0.notify.set();
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.pool.unsubscribe(&self.subscriber);
    }
}
