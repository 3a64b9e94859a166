//! The handle by which other threads end an exchange. A cancel, a close and a shutdown end exchanges
//! here only, and the first cause that is set counts.
//!
//! It is bound to the exchange and not to a socket: after the exchange has given its connection back
//! there is nothing left to end. Knows nothing of the pool.

use std::fmt;
use std::ops::Deref;

use crate::cancel::{Watch, Why};
use crate::runtime::Notify;
use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, Weak, lock};
use crate::vocabulary::CloseReason;

/// Why an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The cancel token was fired.
    Cancelled = 1,
    /// The cancel token's deadline came.
    TokenDeadline = 2,
    /// The connection was closed by its id, now.
    ClosedById = 3,
    /// The connection was closed with its origin, now.
    ClosedByOrigin = 4,
    /// The connection was closed with all others, now.
    ClosedByAll = 5,
    /// The response was closed by another thread.
    ResponseClosed = 6,
    /// The manager was shut down.
    ShutDown = 7,
    /// The thread's interrupt check asked for it.
    Interrupted = 8,
    /// The process forked, and this is the child.
    Forked = 9,
    /// The exchange ended by itself: no other cause can be set any more.
    Done = 10,
    /// The network changed: ends background dials, never exchanges.
    NetworkChanged = 11,
    /// The connection was handed over, and its stream was closed.
    StreamClosed = 12,
}

/// One exchange, as other threads end it. Threads: any thread at any time; no method blocks.
#[derive(Debug)]
pub(crate) struct Control {
    cause: AtomicU8,
    /// The connection that the exchange has or dials; 0 for none.
    connection: AtomicU64,
    /// Its place among the waiters; 0 before it had one. It is kept when the exchange waits again.
    ticket: AtomicU64,
    /// It belongs to a background dial.
    detached: bool,
    /// Set while the exchange waits.
    wake: Mutex<Option<Arc<Notify>>>,
    pool: Weak<dyn EndLease>,
}

/// The pool, as controls see it.
pub(crate) trait EndLease: fmt::Debug + Send + Sync {
    /// Closes the connection that an exchange uses, because another thread ended the exchange.
    fn end_lease(&self, control: &Control, reason: CloseReason);
}

impl Control {
    pub(crate) fn new(pool: &Arc<impl EndLease + 'static>) -> Arc<Self> {
        Self::make(pool, false)
    }

    /// For a background dial.
    pub(super) fn detached(pool: &Arc<impl EndLease + 'static>) -> Arc<Self> {
        Self::make(pool, true)
    }

    fn make(pool: &Arc<impl EndLease + 'static>, detached: bool) -> Arc<Self> {
        let pool: Weak<dyn EndLease> = Arc::downgrade(pool) as Weak<_>;
        Arc::new(Self {
            cause: AtomicU8::new(0),
            connection: AtomicU64::new(0),
            ticket: AtomicU64::new(0),
            detached,
            wake: Mutex::new(None),
            pool,
        })
    }

    /// Ends the exchange, unless it ended before. When this returns, its connection is closed and is
    /// out of the pool.
    pub(crate) fn end(&self, cause: Cause) {
        if self.try_finish(cause) {
            if let Some(pool) = self.pool.upgrade() {
                pool.end_lease(self, cause.into());
            }
            self.wake();
        }
    }

    /// Sets the cause of the end. Returns `false` if there was one before. The caller of the first one
    /// closes the connection and wakes the exchange.
    pub(crate) fn try_finish(&self, cause: Cause) -> bool {
        let first = self.cause.compare_exchange(0, cause as u8, Ordering::SeqCst, Ordering::SeqCst);
        first.is_ok()
    }

    /// Wakes the exchange if it waits with a registration. A wait for its socket ends when the socket is
    /// shut down.
    pub(crate) fn wake(&self) {
        let event = lock(&self.wake).clone();
        if let Some(event) = event {
            event.set();
        }
    }

    /// Registers what [`wake`](Self::wake) sets, for the next wait. The caller looks at
    /// [`cause`](Self::cause) after this: as [`end`](Self::end) sets the cause before it wakes, either
    /// the caller sees the cause, or its wait is woken.
    pub(crate) fn register_wake(&self) -> WakeRegistration<'_> {
        let event = Notify::for_this_task();
        *lock(&self.wake) = Some(Arc::clone(&event));
        WakeRegistration { control: self, event }
    }

    /// Why the exchange ended, if it has.
    pub(crate) fn cause(&self) -> Option<Cause> {
        Cause::from_number(self.cause.load(Ordering::SeqCst))
    }

    pub(crate) fn connection(&self) -> u64 {
        self.connection.load(Ordering::SeqCst)
    }

    pub(crate) fn set_connection(&self, connection: u64) {
        self.connection.store(connection, Ordering::SeqCst);
    }

    pub(super) fn ticket(&self) -> u64 {
        self.ticket.load(Ordering::Relaxed)
    }

    pub(super) fn set_ticket(&self, ticket: u64) {
        self.ticket.store(ticket, Ordering::Relaxed);
    }

    pub(super) fn is_detached(&self) -> bool {
        self.detached
    }
}

/// Keeps the registration of a wait; its drop takes it back.
pub(crate) struct WakeRegistration<'a> {
    control: &'a Control,
    event: Arc<Notify>,
}

impl Deref for WakeRegistration<'_> {
    type Target = Arc<Notify>;

    fn deref(&self) -> &Arc<Notify> {
        &self.event
    }
}

impl Drop for WakeRegistration<'_> {
    fn drop(&mut self) {
        let event = lock(&self.control.wake).take();
        drop(event);
    }
}

impl Watch for Control {
    fn fired(&self, why: Why) {
        self.end(why.into());
    }
}

impl From<Why> for Cause {
    fn from(why: Why) -> Self {
        match why {
            Why::Fired => Self::Cancelled,
            Why::Deadline => Self::TokenDeadline,
        }
    }
}

impl Cause {
    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Cancelled,
            2 => Self::TokenDeadline,
            3 => Self::ClosedById,
            4 => Self::ClosedByOrigin,
            5 => Self::ClosedByAll,
            6 => Self::ResponseClosed,
            7 => Self::ShutDown,
            8 => Self::Interrupted,
            9 => Self::Forked,
            10 => Self::Done,
            11 => Self::NetworkChanged,
            12 => Self::StreamClosed,
            _ => return None,
        })
    }
}

impl From<Cause> for CloseReason {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Cancelled | Cause::Interrupted => Self::Cancelled,
            Cause::TokenDeadline => Self::TimedOut,
            Cause::ClosedById => Self::ClosedById,
            Cause::ClosedByOrigin => Self::ClosedByOrigin,
            Cause::ClosedByAll => Self::ClosedByAll,
            Cause::ResponseClosed | Cause::Done => Self::BodyLeftUnread,
            Cause::ShutDown => Self::ManagerShutDown,
            Cause::Forked => Self::ForkedAway,
            Cause::NetworkChanged => Self::NetworkChanged,
            Cause::StreamClosed => Self::StreamClosed,
        }
    }
}
