//! What happened to connections, for whoever asks: a bounded ring that is there only while
//! somebody listens.
//!
//! Rows are written where the thing happens, under the pool's lock, so their order is the true
//! one; listeners are told after it was given back. A listener that is too slow loses the oldest
//! rows and is told how many.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::key::PoolKey;
use super::pool::Pool;
use crate::error::Error;
use crate::process::fork_generation;
use crate::runtime::{Notify, WaitFor, WaitUntil, WakeReason, wait};
use crate::timeouts::Deadline;
use crate::vocabulary::{CloseReason, EventType, Kind, Phase, Timeout};

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A connection began to be dialled.
    Opened,
    /// It began to serve an exchange.
    Leased,
    /// It came back from an exchange, or from a dial that nobody waits for any more, and is idle.
    Returned,
    /// It was closed.
    Closed(CloseReason),
    /// A request began to wait for a connection (there is none yet: the id is 0).
    Queued,
    /// A request is sent again, because this connection broke before the response.
    Retried,
    /// A phase of an exchange on this connection, and how long it took. All of them are told together
    /// when the exchange is over, which may be after its connection was returned or closed.
    Phase(Phase, Duration),
}

impl EventKind {
    /// Its name, for example "leased".
    pub fn name(self) -> &'static str {
        self.event_type().name()
    }

    /// The same without its details.
    pub(crate) fn event_type(self) -> EventType {
        match self {
            Self::Opened => EventType::Opened,
            Self::Leased => EventType::Leased,
            Self::Returned => EventType::Returned,
            Self::Closed(_) => EventType::Closed,
            Self::Queued => EventType::Queued,
            Self::Retried => EventType::Retried,
            Self::Phase(..) => EventType::Phase,
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One thing that happened. Threads: a value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// Consecutive in a manager, from when somebody began to listen.
    pub number: u64,
    /// When, counted from when somebody began to listen.
    pub at: Duration,
    /// What.
    pub what: EventKind,
    /// The connection; 0 if there is none.
    pub connection: u64,
    /// Scheme, host and port.
    pub origin: String,
}

/// Somebody who listens to a manager. What happens from its beginning on can be read once by each
/// listener. Threads: one at a time.
#[derive(Debug)]
pub struct Events {
    pool: Arc<Pool>,
    listener: Arc<Listener>,
    next: u64,
    lost: u64,
    process: u32,
}

/// Threads: any.
#[derive(Debug)]
pub(super) struct Listener {
    event: Arc<Notify>,
    /// The event is set, or about to be: setting it again would be a system call for nothing.
    rung: AtomicBool,
    /// Nobody shall wait for more.
    closed: AtomicBool,
}

/// Ends a listener's wait from any thread. Threads: any thread at any time.
#[derive(Clone, Debug)]
pub struct Closer(Arc<Listener>);

/// The rows that are kept. Lives under the pool's lock.
#[derive(Debug)]
pub(super) struct Ring {
    rows: VecDeque<Row>,
    /// The number of the first row.
    first: u64,
    capacity: usize,
    listeners: Vec<Arc<Listener>>,
    start: Instant,
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    at: Duration,
    what: EventKind,
    connection: u64,
    key: Arc<PoolKey>,
}

impl Ring {
    pub(super) fn new() -> Self {
        Self {
            rows: VecDeque::new(),
            first: 1,
            capacity: 0,
            listeners: Vec::new(),
            start: Instant::now(),
        }
    }

    /// Takes a listener in; answers the number of the first row that is for it.
    pub(super) fn join(&mut self, listener: &Arc<Listener>, capacity: usize) -> u64 {
        self.capacity = self.capacity.max(capacity);
        self.listeners.push(Arc::clone(listener));
        self.first + self.rows.len() as u64
    }

    /// Takes a listener out; answers whether there is none left.
    pub(super) fn part(&mut self, listener: &Arc<Listener>) -> bool {
        self.listeners.retain(|other| !Arc::ptr_eq(other, listener));
        self.listeners.is_empty()
    }

    pub(super) fn record(
        &mut self,
        what: EventKind,
        connection: u64,
        key: &Arc<PoolKey>,
        rung: &mut Vec<Arc<Notify>>,
    ) {
        if self.rows.len() == self.capacity {
            self.rows.pop_front();
            self.first += 1;
        }
        let at = self.start.elapsed();
        self.rows.push_back(Row { at, what, connection, key: Arc::clone(key) });
        for listener in &self.listeners {
            if !listener.rung.swap(true, Ordering::SeqCst) {
                rung.push(Arc::clone(&listener.event));
            }
        }
    }

    /// The row with that number, or the oldest one that is left; its number, and whether there are
    /// more.
    pub(super) fn read(&self, number: u64) -> Option<(u64, Row, bool)> {
        let number = number.max(self.first);
        let index = usize::try_from(number - self.first).ok()?;
        self.rows.get(index).map(|row| (number, row.clone(), index + 1 < self.rows.len()))
    }
}

impl Events {
    pub(super) fn listen(pool: &Arc<Pool>, capacity: usize) -> Result<Self, Error> {
        if capacity == 0 {
            let what = "a ring for 0 events holds none; give the number that may wait to be read, such as 1024";
            return Err(Error::new(Kind::InvalidArgument, what));
        }
        let event = Notify::new().map_err(|error| {
            Error::from_os(Kind::System, "no descriptor for the events of a manager", &error)
        })?;
        let listener = Arc::new(Listener {
            event: Arc::new(event),
            rung: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        let next = pool.listen(&listener, capacity);
        let process = fork_generation();
        Ok(Self { pool: Arc::clone(pool), listener, next, lost: 0, process })
    }

    /// The next thing that happened; waits for one, at most `limit` (`None` waits for ever,
    /// [`Duration::ZERO`] not at all). `Ok(None)`: nothing happened in that time.
    ///
    /// # Errors
    /// [`Kind::Cancelled`] if a signal ended the wait (the binding's interrupt check);
    /// [`Kind::Closed`] after a [`Closer`] was used, when all that happened before was read;
    /// [`Kind::Forked`] in the child of a fork; [`Kind::System`].
    pub fn next(&mut self, limit: Option<Duration>) -> Result<Option<Event>, Error> {
        if self.process != fork_generation() {
            // The descriptor is the parent's, too: to clear it here would be to deafen the parent.
            let what = "these events are of the parent of this process; begin to listen again";
            return Err(Error::new(Kind::Forked, what));
        }
        let deadline = Deadline::after(Instant::now(), limit, Timeout::Total).at;
        loop {
            // Before the look: what is recorded after it sets the event again.
            self.listener.event.clear();
            self.listener.rung.store(false, Ordering::SeqCst);
            if let Some((number, row, more)) = self.pool.read_event(self.next) {
                self.lost += number - self.next;
                self.next = number + 1;
                let Row { at, what, connection, key } = row;
                if more {
                    // For whoever polls the descriptor.
                    self.listener.event.set();
                }
                let origin = key.origin.to_string();
                return Ok(Some(Event { number, at, what, connection, origin }));
            }
            if self.listener.closed.load(Ordering::SeqCst) {
                self.listener.event.set();
                return Err(Error::new(Kind::Closed, "nobody listens to these events any more"));
            }
            let until = WaitUntil::new(deadline);
            if until.has_come() {
                return Ok(None);
            }
            let want = WaitFor { fd: None, notify: Some(&self.listener.event) };
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

    /// What ends a wait from another thread.
    pub fn closer(&self) -> Closer {
        Closer(Arc::clone(&self.listener))
    }

    /// How many things happened that this listener was too slow for.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// A descriptor that is readable when there is something to read, for poll and its like. It is
    /// closed with the listener.
    pub fn descriptor(&self) -> i32 {
        self.listener.event.fd()
    }
}

impl Closer {
    /// From now on nobody waits: [`Events::next`] answers [`Kind::Closed`] when there is no more to
    /// read.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
        self.0.event.set();
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.pool.stop_listening(&self.listener);
    }
}
