//! The manager: every open connection, its limits and its clocks; list them, close them.
//!
//! Knows nothing of HTTP. A request enters through [`Lease::acquire`]; a close enters through
//! the [`Manager`]'s verbs and reaches the exchange through its [`Control`].

mod connection;
mod control;
mod dial;
mod event_log;
mod events;
mod key;
mod lease;
mod limits;
mod pool;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;

use crate::vocabulary::{CloseMode, CloseReason};
pub use connection::ConnectionInfo;
pub(crate) use control::{Cause, Control, WakeRegistration};
pub use event_log::EventKind;
pub use events::{Event, Events, EventsCloser};
pub(crate) use key::{Origin, PoolKey};
pub(crate) use lease::{Lease, LeaseRequest};
pub use limits::{Limits, Stats};
pub(crate) use pool::{LeaseError, Pool};

use crate::error::Error;
use crate::net::Stop;
use crate::runtime::{Notify, Spawner, WaitFor, WaitUntil, WakeReason, close_unused_wakeups, wait};
use crate::timeouts::{Deadline, not_zero};
use crate::vocabulary::{Kind, Timeout};

/// The pool that clients share: every open connection, its limits and its clocks.
///
/// Begins: [`shared`](Self::shared) or [`new`](Self::new). Ends: with its last share; exchanges
/// and responses keep one. Threads: any thread at any time.
#[derive(Debug)]
pub struct Manager {
    id: u64,
    pool: Arc<Pool>,
    /// It began with limits that [`Limits::check`] refuses, and has them still.
    is_unusable: AtomicBool,
    spawner: Arc<Spawner>,
}

impl Drop for Manager {
    /// What its waits needed is given back to the system.
    fn drop(&mut self) {
        close_unused_wakeups();
    }
}

/// A function that looks names up, see [`Manager::set_resolver`].
pub type Resolve = Arc<dyn Fn(&str) -> Result<Vec<IpAddr>, String> + Send + Sync>;

impl Manager {
    /// The process's own manager: all who name none share it.
    pub fn shared() -> Arc<Self> {
        static SHARED: OnceCell<Arc<Manager>> = OnceCell::new();
        Arc::clone(SHARED.get_or_init(|| Arc::new(Self::new(Limits::default()))))
    }

    /// A manager of one's own. With limits that [`Limits::check`] refuses, every request fails at once with what that
    /// says, until [`set_limits`](Self::set_limits) has set others.
    pub fn new(limits: Limits) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Two copies of the library in one process must not give out equal ids: an address inside
        // this copy is in it.
        let copy = (&raw const NEXT).addr() as u64;
        let id = (copy << 16).wrapping_add(number);
        let is_unusable = AtomicBool::new(limits.check().is_err());
        Self { id, pool: Pool::new(limits), is_unusable, spawner: Arc::new(Spawner::new()) }
    }

    /// Runs what is submitted to clients of this manager.
    pub(crate) fn spawner(&self) -> &Arc<Spawner> {
        &self.spawner
    }

    /// Closes one connection.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if none with that id is open.
    pub fn close_connection(&self, id: u64, how: CloseMode) -> Result<(), Error> {
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
    pub fn close_origin(&self, origin: &str, how: CloseMode) -> Result<usize, Error> {
        let origin = Origin::parse(origin)?;
        Ok(self.pool.close(how, Cause::ClosedByOrigin, |record| record.key.origin == origin))
    }

    /// Closes what has been idle for at least `idle_for`; answers how many.
    pub fn close_idle(&self, idle_for: Duration) -> usize {
        self.pool.close_idle(idle_for, CloseReason::IdleTooLong, Instant::now())
    }

    /// Closes every connection; answers how many were closed or, gracefully, marked.
    pub fn close_all(&self, how: CloseMode) -> usize {
        self.pool.close(how, Cause::ClosedByAll, |_| true)
    }

    /// The network is another one now: what is idle is closed, what is in use is closed after its
    /// exchange, and no address that was looked up before is believed. Answers how many connections
    /// were closed or marked.
    pub fn network_changed(&self) -> usize {
        self.pool.resolver().clear();
        self.pool.close(CloseMode::Graceful, Cause::NetworkChanged, |_| true)
    }

    /// Ends the manager, but lets what runs finish: from now on every request is refused with
    /// [`Kind::ShutDown`], those that wait for a connection too; what is idle is closed, the rest
    /// when its exchange ends. Returns when nothing is open any more. It can be called again, and
    /// [`shutdown`](Self::shutdown) ends what is left.
    ///
    /// # Errors
    /// [`Kind::TimedOut`] after `limit`; [`Error::left`] says how many are left.
    /// [`Kind::InvalidTimeout`] for zero. [`Kind::Cancelled`] if a signal ended the wait.
    pub fn drain(&self, limit: Option<Duration>) -> Result<(), Error> {
        let deadline = Deadline::after(Instant::now(), not_zero(limit)?, Timeout::Total).at;
        let failed = |error| Error::from_os(Kind::System, "can't wait for the connections", &error);
        let empty = Arc::new(Notify::new().map_err(failed)?);
        if self.pool.drain(&empty) {
            return Ok(());
        }
        let woken = wait(WaitFor { fd: None, notify: Some(&empty) }, WaitUntil::new(deadline));
        match (woken.map_err(failed)?, self.pool.stop_waiting_for_drain(&empty)) {
            (_, 0) | (WakeReason::Notified, _) => Ok(()),
            (WakeReason::Interrupted, left) => {
                let what = format!("interrupted by a signal; {left} connections are left");
                Err(Error::new(Kind::Cancelled, what).with_left(left as u64))
            }
            (_, left) => {
                let what = format!(
                    "timed out: {left} connections are still in use; drain again, or shut down"
                );
                let error = Error::new(Kind::TimedOut, what).by_clock(Timeout::Total);
                Err(error.with_left(left as u64))
            }
        }
    }

    /// Ends the manager now, for good. Every exchange ends with [`Kind::ShutDown`].
    pub fn shutdown(&self) {
        self.pool.shut_down();
    }

    /// Changes the limits. Lowered ones apply to what is idle at once.
    ///
    /// # Errors
    /// Those of [`Limits::check`]; then nothing is changed.
    pub fn set_limits(&self, limits: Limits) -> Result<(), Error> {
        self.change_limits(|now| {
            *now = limits;
            Ok(())
        })
    }

    /// Changes some of them in one step; none if `change` fails or a manager can't work with them.
    ///
    /// # Errors
    /// Those of `change` and of [`Limits::check`].
    pub fn change_limits(
        &self,
        change: impl FnOnce(&mut Limits) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.pool.change_limits(Instant::now(), |limits| {
            change(limits)?;
            limits.check()
        })?;
        self.is_unusable.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// An error if no request can be served with the limits that it began with.
    ///
    /// # Errors
    /// Those of [`Limits::check`].
    pub(crate) fn check_limits(&self) -> Result<(), Error> {
        if self.is_unusable.load(Ordering::Relaxed) { self.limits().check() } else { Ok(()) }
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
    pub fn why_closed(&self, connection: u64) -> Option<CloseReason> {
        self.pool.close_reason_of(connection)
    }

    /// Listens to what happens to connections from now on; at most `capacity` happenings wait to be
    /// read, the oldest are lost first. Nothing is recorded while nobody listens.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for a capacity of 0, [`Kind::System`].
    pub fn events(&self, capacity: usize) -> Result<Events, Error> {
        Events::subscribe(&self.pool, capacity)
    }

    /// Gives a host name these addresses, whatever anybody else says about it; none takes that back.
    /// Connections that are open stay.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for a host that is no name.
    pub fn set_address(&self, host: &str, addresses: &[IpAddr]) -> Result<(), Error> {
        if host.is_empty() || host.contains([':', '/', ' ', '\0']) {
            let what = format!("{host:?} is no host name; give one without scheme and port");
            return Err(Error::new(Kind::InvalidArgument, what));
        }
        let addresses = (!addresses.is_empty()).then(|| addresses.to_vec());
        self.pool.resolver().set_address(host, addresses);
        Ok(())
    }

    /// Has names looked up by this function instead of getaddrinfo(3); `None` is getaddrinfo again.
    ///
    /// It runs on a thread of the library's, never on the caller's; it may block, and many of it may
    /// run at once. An error's text becomes part of [`Kind::ResolveFailed`]'s.
    pub fn set_resolver(&self, resolver: Option<Resolve>) {
        self.pool.resolver().set_hook(resolver);
    }

    /// Forgets every address that was looked up.
    pub fn clear_addresses(&self) {
        self.pool.resolver().clear();
    }

    /// Its number: equal numbers are the same manager.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Dials ahead until `wanted` connections of that key are idle, in the background and within the
    /// limits; answers how many dials were begun.
    pub(crate) fn preconnect(&self, key: &Arc<PoolKey>, wanted: usize) -> Result<usize, Error> {
        self.check_limits()?;
        dial::begin_background_dials(&self.pool, key, wanted).map_err(|no_dial| match no_dial {
            LeaseError::Stop(Stop::NoThread(error)) => Error::no_thread(&error),
            _ => Error::new(Kind::ShutDown, "the manager was shut down"),
        })
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }
}
