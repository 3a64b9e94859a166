//! The manager: every open connection, its limits and its clocks; list them, close them.
//!
//! Knows nothing of HTTP. A request enters through [`Lease::acquire`]; a close enters through
//! the [`Manager`]'s verbs and reaches the exchange through its [`Control`].

mod connection;
mod control;
mod key;
mod lease;
mod pool;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;

pub use connection::{ConnectionInfo, Reason, State};
pub(crate) use control::{Cause, Control};
pub(crate) use key::{Origin, PoolKey};
pub(crate) use lease::{Lease, NoLease, Progress};
pub(crate) use pool::{Pool, Refused};

use crate::error::{Error, Kind};

/// The pool that clients share: every open connection, its limits and its clocks.
///
/// Begins: [`shared`](Self::shared) or [`new`](Self::new). Ends: with its last share; exchanges
/// and responses keep one. Threads: any thread at any time.
#[derive(Debug)]
pub struct Manager {
    id: u64,
    pool: Arc<Pool>,
}

/// How to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Let the exchange in progress finish, then close.
    Graceful,
    /// At once; the exchange in progress ends with [`Kind::Closed`].
    Now,
}

/// The bounds of a manager. Threads: a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Idle connections in all. Default 256.
    pub idle_total: usize,
    /// Idle connections of one origin. Default 64.
    pub idle_per_origin: usize,
    /// How long a connection may be idle; `None` is for ever. Default 90 s.
    pub idle_for: Option<Duration>,
}

/// Counters of a manager. The first three are of now, the others since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Being dialled.
    pub dialling: u64,
    /// Serving an exchange.
    pub in_use: u64,
    /// Idle.
    pub idle: u64,
    /// Opened.
    pub opened: u64,
    /// Closed, for whatever reason.
    pub closed: u64,
    /// Requests that found an idle connection.
    pub reused: u64,
    /// Dials that did not become a connection.
    pub dials_failed: u64,
    /// Idle connections that the look at checkout found dead.
    pub stale: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { idle_total: 256, idle_per_origin: 64, idle_for: Some(Duration::from_secs(90)) }
    }
}

impl Manager {
    /// The process's own manager: all who name none share it.
    pub fn shared() -> Arc<Self> {
        static SHARED: OnceCell<Arc<Manager>> = OnceCell::new();
        Arc::clone(SHARED.get_or_init(|| Arc::new(Self::new(Limits::default()))))
    }

    /// A manager of one's own.
    pub fn new(limits: Limits) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Two copies of the library in one process must not give out equal ids: an address inside
        // this copy is in it.
        let copy = (&raw const NEXT).addr() as u64;
        Self { id: (copy << 16).wrapping_add(number), pool: Pool::new(limits) }
    }

    /// Closes one connection.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if none with that id is open.
    pub fn close_connection(&self, id: u64, how: How) -> Result<(), Error> {
        if self.pool.close_one(id, how) {
            return Ok(());
        }
        let what = format!(
            "no connection {id} is open in this manager: it was closed before, or never was"
        );
        Err(Error::new(Kind::NotFound, what))
    }

    /// Closes the connections of one origin; answers how many were closed or, gracefully, marked.
    ///
    /// # Errors
    /// [`Kind::InvalidUrl`] if that is no origin.
    pub fn close_origin(&self, origin: &str, how: How) -> Result<usize, Error> {
        let origin = Origin::parse(origin)?;
        Ok(self.pool.close(how, Cause::ClosedByOrigin, |record| record.key.origin == origin))
    }

    /// Closes what has been idle for at least `idle_for`; answers how many.
    pub fn close_idle(&self, idle_for: Duration) -> usize {
        self.pool.close_idle(idle_for, Instant::now())
    }

    /// Closes every connection; answers how many were closed or, gracefully, marked.
    pub fn close_all(&self, how: How) -> usize {
        self.pool.close(how, Cause::ClosedByAll, |_| true)
    }

    /// Ends the manager now, for good. Every exchange ends with [`Kind::ShutDown`].
    pub fn shutdown(&self) {
        self.pool.shut_down();
    }

    /// Changes the limits. Lowered ones apply to what is idle at once.
    pub fn set_limits(&self, limits: Limits) {
        let _ = self.change_limits(|now| {
            *now = limits;
            Ok(())
        });
    }

    /// Changes some of them in one step; none if `change` fails.
    ///
    /// # Errors
    /// Those of `change`.
    pub fn change_limits(
        &self,
        change: impl FnOnce(&mut Limits) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.pool.change_limits(Instant::now(), change)
    }

    /// The limits as they are.
    pub fn limits(&self) -> Limits {
        self.pool.limits()
    }

    /// The open connections, by age. None twice, none that is closed.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.pool.list(Instant::now())
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.pool.stats(Instant::now())
    }

    /// Why a connection ended, if it was among the last 256 that did.
    pub fn why_closed(&self, connection: u64) -> Option<Reason> {
        self.pool.why_ended(connection)
    }

    /// Its number: equal numbers are the same manager.
    pub fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }
}
