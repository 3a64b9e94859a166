//! The manager: every open connection, the limits of their numbers and ages, and the functions that
//! list and close them.
//!
//! Knows nothing of HTTP. A request enters through [`Lease::acquire`]; a close enters through the
//! [`Manager`]'s methods and reaches the exchange through its [`Control`].

mod connection;
mod control;
mod dial;
mod event_log;
mod events;
mod key;
mod lease;
mod limits;
mod pool;
mod second_dial;

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
pub(crate) use second_dial::{DialOutcome, SecondDial};

use crate::error::Error;
use crate::net::Stop;
pub use crate::net::dns::Addresses;
use crate::runtime::{Notify, Spawner, WaitFor, WaitUntil, WakeReason, close_unused_wakeups, wait};
use crate::timeouts::{Deadline, not_zero};
use crate::vocabulary::{Kind, Timeout};

/// The pool of connections that clients share, with its limits.
///
/// Create: [`shared`](Self::shared) or [`new`](Self::new). It lives as long as the last `Arc` of it;
/// clients, exchanges and responses hold one. Threads: any thread at any time.
///
/// ```
/// use hangup::{Limits, Manager};
///
/// let manager = Manager::new(Limits { per_origin: 8, ..Limits::default() });
/// assert_eq!(manager.limits().per_origin, 8);
/// assert_eq!(manager.stats().idle, 0);
/// ```
#[derive(Debug)]
pub struct Manager {
    id: u64,
    pool: Arc<Pool>,
    /// It was made with limits that [`Limits::check`] refuses, and no others were set since.
    is_unusable: AtomicBool,
    spawner: Arc<Spawner>,
}

impl Drop for Manager {
    /// Closes the descriptors that were kept for later waits.
    fn drop(&mut self) {
        close_unused_wakeups();
    }
}

/// Looks a host name up, see [`Manager::set_resolver`].
pub type Resolve = Arc<dyn Fn(&str) -> Result<Vec<IpAddr>, String> + Send + Sync>;

/// Looks a host name up, see [`Manager::set_resolver_with_ttl`].
pub type ResolveWithTtl = Arc<dyn Fn(&str) -> Result<Addresses, String> + Send + Sync>;

impl Manager {
    /// The process's default manager: clients that are given no other share it.
    ///
    /// ```
    /// let manager = hangup::Manager::shared();
    /// assert_eq!(manager.id(), hangup::Client::default().manager().id());
    /// ```
    pub fn shared() -> Arc<Self> {
        static SHARED: OnceCell<Arc<Manager>> = OnceCell::new();
        Arc::clone(SHARED.get_or_init(|| Arc::new(Self::new(Limits::default()))))
    }

    /// A new manager. With limits that [`Limits::check`] refuses, every request fails at once with
    /// that error, until [`set_limits`](Self::set_limits) has set others.
    pub fn new(limits: Limits) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Two copies of the library in one process must not give equal ids, so an address inside
        // this copy is part of it.
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
    ///
    /// ```
    /// let manager = hangup::Manager::new(hangup::Limits::default());
    /// let error = manager.close_connection(1, hangup::CloseMode::Now).unwrap_err();
    /// assert_eq!(error.kind(), hangup::Kind::NotFound);
    /// ```
    pub fn close_connection(&self, id: u64, how: CloseMode) -> Result<(), Error> {
        if self.pool.close_one(id, how) {
            return Ok(());
        }
        let what = format!(
            "no connection {id} is open in this manager: it was closed before, or never was"
        );
        Err(Error::new(Kind::NotFound, what))
    }

    /// Closes the connections of one origin. Returns how many were closed or, gracefully, marked.
    ///
    /// # Errors
    /// [`Kind::InvalidUrl`] if that is no origin.
    ///
    /// ```
    /// let manager = hangup::Manager::new(hangup::Limits::default());
    /// assert_eq!(manager.close_origin("https://example.org", hangup::CloseMode::Graceful)?, 0);
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn close_origin(&self, origin: &str, how: CloseMode) -> Result<usize, Error> {
        let origin = Origin::parse(origin)?;
        Ok(self.pool.close(how, Cause::ClosedByOrigin, |record| record.key.origin == origin))
    }

    /// Closes the connections that have been idle for at least `idle_for`. Returns how many.
    ///
    /// ```
    /// let manager = hangup::Manager::new(hangup::Limits::default());
    /// assert_eq!(manager.close_idle(std::time::Duration::ZERO), 0);
    /// ```
    pub fn close_idle(&self, idle_for: Duration) -> usize {
        self.pool.close_idle(idle_for, CloseReason::IdleTooLong, Instant::now())
    }

    /// Closes every connection. Returns how many were closed or, gracefully, marked.
    ///
    /// ```
    /// let manager = hangup::Manager::new(hangup::Limits::default());
    /// assert_eq!(manager.close_all(hangup::CloseMode::Graceful), 0);
    /// ```
    pub fn close_all(&self, how: CloseMode) -> usize {
        self.pool.close(how, Cause::ClosedByAll, |_| true)
    }

    /// To be called when the network has changed. Idle connections are closed, those in use are
    /// closed after their exchange, and all cached addresses are forgotten, with what is remembered of
    /// them. Returns how many connections were closed or marked.
    ///
    /// On Linux the library notices most changes itself ([`set_network_watch`](Self::set_network_watch)); this is for
    /// other systems, and for changes that a program alone knows of, such as a wake-up from sleep.
    ///
    /// ```
    /// let manager = hangup::Manager::new(hangup::Limits::default());
    /// assert_eq!(manager.network_changed(), 0);
    /// ```
    pub fn network_changed(&self) -> usize {
        self.pool.network_changed_by_hand()
    }

    /// Whether changes of the network of which the system tells are acted on. Default: yes. Takes effect at once: changes
    /// that were acted on before stay so, and what changes while it is off is not made up for.
    ///
    /// Linux tells of them through rtnetlink(7). When an address of this machine goes, or its interface is switched off,
    /// idle connections from that address are closed ([`CloseReason::NetworkChanged`]), and those in use are closed after
    /// their exchange. When an address goes or comes or the default route is another one, cached addresses of names
    /// are forgotten, and connections for which the system would choose another local address now are closed, too: a VPN
    /// has taken over the way to their peers. The others stay, and so do all of them when only a cable was pulled: they
    /// live on if it is put back, and otherwise the address goes soon. Addresses of loopback and link-local ones
    /// concern their own connections only.
    ///
    /// It is noticed within half a second while connections are idle, and then also before each dial and before each
    /// request that could not be sent again. All managers of a process share one descriptor, which is opened when a
    /// connection has become idle, in the network namespace that the process has then, and closed when none is idle;
    /// the child of a fork opens its own. Where a sandbox forbids netlink sockets nothing is noticed; a sandbox that
    /// ends a process for trying needs the switch to be off. On other systems it does nothing: call
    /// [`network_changed`](Self::network_changed).
    ///
    /// ```
    /// let manager = hangup::Manager::new(hangup::Limits::default());
    /// assert!(manager.network_watch());
    /// manager.set_network_watch(false);
    /// assert!(!manager.network_watch());
    /// ```
    pub fn set_network_watch(&self, on: bool) {
        self.pool.set_network_watch(on);
    }

    /// See [`set_network_watch`](Self::set_network_watch).
    pub fn network_watch(&self) -> bool {
        self.pool.watches_network()
    }

    /// Ends the manager, but lets exchanges in progress finish. Every later request is refused with
    /// [`Kind::ShutDown`], and so are those that wait for a connection. Idle connections are closed at
    /// once, the others when their exchange ends; one that was handed over as a [`Stream`](crate::Stream)
    /// when its owner closes it. Returns when no connection is open. It can be called
    /// again, and [`shutdown`](Self::shutdown) ends the exchanges that are left.
    ///
    /// # Errors
    /// [`Kind::TimedOut`] after `limit`; [`Error::open_connections`] says how many are left.
    /// [`Kind::InvalidTimeout`] for zero. [`Kind::Cancelled`] if a signal ended the wait.
    ///
    /// ```
    /// let manager = hangup::Manager::new(hangup::Limits::default());
    /// manager.drain(Some(std::time::Duration::from_secs(5)))?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
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
                Err(Error::new(Kind::Cancelled, what).with_open_connections(left as u64))
            }
            (_, left) => {
                let what = format!(
                    "timed out: {left} connections are still in use; drain again, or shut down"
                );
                let error = Error::new(Kind::TimedOut, what).by_clock(Timeout::Total);
                Err(error.with_open_connections(left as u64))
            }
        }
    }

    /// Ends the manager now, for good. Every exchange ends with [`Kind::ShutDown`].
    ///
    /// ```
    /// let manager = hangup::Manager::new(hangup::Limits::default());
    /// manager.shutdown();
    /// ```
    pub fn shutdown(&self) {
        self.pool.shut_down();
    }

    /// Sets all limits. Lowered limits close idle connections at once.
    ///
    /// # Errors
    /// Those of [`Limits::check`]; then nothing is changed.
    ///
    /// ```
    /// let manager = hangup::Manager::new(hangup::Limits::default());
    /// manager.set_limits(hangup::Limits { total: 10, ..hangup::Limits::default() })?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_limits(&self, limits: Limits) -> Result<(), Error> {
        self.change_limits(|now| {
            *now = limits;
            Ok(())
        })
    }

    /// Changes some of the limits in one step. Changes none if `change` fails or the result is
    /// refused by [`Limits::check`].
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

    /// Fails if the manager was made with limits that it can't work with.
    ///
    /// # Errors
    /// Those of [`Limits::check`].
    pub(crate) fn check_limits(&self) -> Result<(), Error> {
        if self.is_unusable.load(Ordering::Relaxed) { self.limits().check() } else { Ok(()) }
    }

    /// The current limits.
    pub fn limits(&self) -> Limits {
        self.pool.limits()
    }

    /// The open connections, oldest first. Each is listed once.
    ///
    /// ```
    /// let manager = hangup::Manager::new(hangup::Limits::default());
    /// for connection in manager.connections() {
    ///     println!("{} {} {}", connection.id, connection.origin, connection.state);
    /// }
    /// ```
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.pool.list(Instant::now())
    }

    /// The counters.
    ///
    /// ```
    /// let manager = hangup::Manager::new(hangup::Limits::default());
    /// assert_eq!(manager.stats().in_use, 0);
    /// ```
    pub fn stats(&self) -> Stats {
        self.pool.stats(Instant::now())
    }

    /// Why a connection was closed, if it was among the last 256.
    ///
    /// ```
    /// let manager = hangup::Manager::new(hangup::Limits::default());
    /// assert_eq!(manager.close_reason(1), None);
    /// ```
    pub fn close_reason(&self, connection: u64) -> Option<CloseReason> {
        self.pool.close_reason_of(connection)
    }

    /// Subscribes to the events of the connections from now on. At most `capacity` events are kept
    /// until they are read; then the oldest are lost. All subscriptions share one buffer, of the
    /// largest capacity that was asked for. Without a subscription nothing is recorded.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for a capacity of 0, [`Kind::System`].
    ///
    /// ```
    /// let manager = hangup::Manager::new(hangup::Limits::default());
    /// let mut events = manager.events(1024)?;
    /// assert!(events.next(Some(std::time::Duration::ZERO))?.is_none());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn events(&self, capacity: usize) -> Result<Events, Error> {
        Events::subscribe(&self.pool, capacity)
    }

    /// Gives a host name these addresses, instead of a lookup. An empty slice takes that back. Open
    /// connections stay.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for a host that is no name.
    ///
    /// ```
    /// let manager = hangup::Manager::new(hangup::Limits::default());
    /// manager.set_address("example.org", &[[127, 0, 0, 1].into()])?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_address(&self, host: &str, addresses: &[IpAddr]) -> Result<(), Error> {
        if host.is_empty() || host.contains([':', '/', ' ', '\0']) {
            let what = format!("{host:?} is no host name; give one without scheme and port");
            return Err(Error::new(Kind::InvalidArgument, what));
        }
        let addresses = (!addresses.is_empty()).then(|| addresses.to_vec());
        self.pool.resolver().set_address(host, addresses);
        Ok(())
    }

    /// Looks names up with this function instead of getaddrinfo(3); `None` returns to getaddrinfo.
    ///
    /// It runs on a thread of the library, never on the caller's. It may block, and it may be called
    /// from several threads at once. The text of its error becomes part of the message of
    /// [`Kind::ResolveFailed`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// let manager = hangup::Manager::new(hangup::Limits::default());
    /// manager.set_resolver(Some(Arc::new(|name: &str| match name {
    ///     "service.internal" => Ok(vec![[10, 0, 0, 7].into()]),
    ///     other => Err(format!("{other} is not known")),
    /// })));
    /// ```
    pub fn set_resolver(&self, resolver: Option<Resolve>) {
        let with_ttl = |resolve: Resolve| -> ResolveWithTtl {
            Arc::new(move |host: &str| resolve(host).map(Addresses::from))
        };
        self.pool.resolver().set_hook(resolver.map(with_ttl));
    }

    /// [`set_resolver`](Self::set_resolver) by a function that knows how long the addresses are valid: they are
    /// cached for that time, and not for a minute.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use hangup::Addresses;
    ///
    /// let manager = hangup::Manager::new(hangup::Limits::default());
    /// manager.set_resolver_with_ttl(Some(Arc::new(|_name: &str| {
    ///     let addresses = vec![[10, 0, 0, 7].into()];
    ///     Ok(Addresses { addresses, ttl: Some(Duration::from_secs(30)) })
    /// })));
    /// ```
    pub fn set_resolver_with_ttl(&self, resolver: Option<ResolveWithTtl>) {
        self.pool.resolver().set_hook(resolver);
    }

    /// Forgets all cached addresses, and what is remembered of them: which one connected last, and to which large packets
    /// get lost.
    pub fn clear_addresses(&self) {
        self.pool.resolver().clear();
    }

    /// Its number: managers with equal numbers are the same.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Dials in the background, within the limits, until `wanted` connections of that key are idle.
    /// Returns how many dials were begun.
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
