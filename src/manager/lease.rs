//! The right to use a connection for one exchange, and how an exchange gets it: an idle connection, a
//! new one that is dialled, or the first of both after a wait.
//!
//! A lease ends exactly once: by [`Lease::give_back`], by [`Lease::close`], or by its drop, which
//! closes the connection. A lease is not a socket: an HTTP/2 connection will have many.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::connection::{Connection, ConnectionInfo, Placement, Record};
use super::control::{Cause, Control};
use super::dial::{self, Outcome};
use super::key::PoolKey;
use super::pool::{Checkout, LeaseError, Pool};
use super::second_dial::SecondDial;
use crate::keep_alive::KeepAlive;
use crate::net::Stop;
use crate::net::facts::ConnectionFacts;
use crate::net::stream::{DuplexStream, Stream};
use crate::process::fork_generation;
use crate::runtime::{Notify, WaitFor, WaitUntil, WakeReason, trim_stack, wait};
use crate::timeouts::Deadline;
use crate::trace::SeeHead;
use crate::vocabulary::{CloseReason, Phase};

/// Threads: one at a time; its exchange can be ended from any thread.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Arc<Pool>,
    control: Arc<Control>,
    connection: Option<Box<Connection>>,
    id: u64,
    reused: bool,
    /// The process that the connection belongs to. In a child of it the lease only closes its copy of the
    /// descriptor.
    process: u32,
}

/// What an exchange asks for.
pub(crate) struct LeaseRequest<'a> {
    pub(crate) key: &'a Arc<PoolKey>,
    /// Dial always; don't reuse an open connection.
    pub(crate) fresh: bool,
    /// The connection is closed after the exchange, so its dial does not go on without the exchange.
    pub(crate) close_after: bool,
    /// If a reused connection breaks before the response, the request is sent again on another one.
    pub(crate) retry_covers_loss: bool,
    /// The time of the call.
    pub(crate) now: Instant,
    /// A phase begins. Returns when it must be over.
    pub(crate) begin_phase: &'a dyn Fn(Phase) -> Deadline,
    /// Is given the heads that a HTTP proxy is sent and sends before there is a tunnel.
    pub(crate) proxy_head: Option<SeeHead<'a>>,
}

impl Lease {
    /// Returns a connection, or why there is none.
    pub(crate) fn acquire(
        pool: &Arc<Pool>,
        control: &Arc<Control>,
        request: &LeaseRequest<'_>,
    ) -> Result<Self, LeaseError> {
        if !request.retry_covers_loss {
            // A loss would be the caller's. The sweep notices a change soon, but it may be this very moment.
            pool.look_at_network_now_and_then(request.now);
        }
        let mut checkout = pool.checkout(request.key, control, request.fresh, request.now)?;
        loop {
            checkout = match checkout {
                Checkout::Open(connection) => {
                    let was_long_idle = connection.was_long_idle;
                    let mut lease = Self::new(pool, control, connection, true);
                    // The probe: the peer may have closed an idle connection, or sent something.
                    let is_reusable = lease
                        .stream()
                        .is_some_and(|stream| stream.is_reusable(request.retry_covers_loss));
                    match is_reusable {
                        true if was_long_idle && lease.is_silent() => {
                            lease.replace(CloseReason::PeerSilent, request.now)?
                        }
                        true => return Ok(lease),
                        false => lease.replace(CloseReason::StaleAtCheckout, request.now)?,
                    }
                }
                Checkout::Dial(record) => {
                    let begin_phase = request.begin_phase;
                    let outcome = match dial_with(pool, control, request, &record, begin_phase)? {
                        Outcome::Queued => dial_when_there_is_a_port(pool, control, request)?,
                        outcome => outcome,
                    };
                    match outcome {
                        Outcome::Dialled(connection) => {
                            trim_stack();
                            return Ok(Self::new(pool, control, connection, false));
                        }
                        Outcome::Given(connection) => Checkout::Open(connection),
                        Outcome::Queued => Checkout::Wait { promised: false },
                    }
                }
                Checkout::Wait { promised } => {
                    wait_in_line(pool, control, request.begin_phase, promised)?
                }
            }
        }
    }

    fn new(
        pool: &Arc<Pool>,
        control: &Arc<Control>,
        connection: Box<Connection>,
        reused: bool,
    ) -> Self {
        let id = connection.record.id;
        let (pool, control) = (Arc::clone(pool), Arc::clone(control));
        Self { pool, control, connection: Some(connection), id, reused, process: fork_generation() }
    }

    /// The connection is dead: gets another one, or dials in the same slot.
    #[cold]
    fn replace(mut self, reason: CloseReason, called: Instant) -> Result<Checkout, LeaseError> {
        // First the socket, then the slot.
        if let Some(connection) = self.connection.take() {
            connection.record.end();
        }
        // The call may have waited since then.
        self.pool.replace(self.id, &self.control, reason, called.max(Instant::now()))
    }

    /// Whether the system asked the peer for a sign of life, and got none in time.
    #[cold]
    fn is_silent(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.record.is_silent())
    }

    /// The connection's bytes; `None` only after the lease was given back.
    pub(crate) fn stream(&mut self) -> Option<&mut Stream> {
        self.connection.as_mut().map(|connection| &mut connection.stream)
    }

    /// Whether the connection shall be closed as soon as its exchange ends.
    pub(crate) fn is_closing(&self) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|connection| connection.record.close_reason().is_some())
    }

    /// Lists the connection as handed over: it speaks another protocol from here on, and is never reused.
    pub(crate) fn mark_upgraded(&self) {
        if let Some(connection) = &self.connection {
            connection.record.set_upgraded();
        }
    }

    /// Takes the connection's bytes. The lease still has the connection, and closes it.
    pub(crate) fn take_stream(&mut self) -> Option<DuplexStream> {
        let connection = self.connection.as_mut()?;
        let socket = Arc::clone(connection.stream.socket());
        Some(std::mem::replace(&mut connection.stream, Stream::plain(socket)).into_duplex())
    }

    /// The server said how long it keeps the connection.
    pub(crate) fn limit_idle(&self, said: KeepAlive) {
        if let (Some(connection), Some(idle_for)) = (&self.connection, said.idle_for()) {
            connection.record.limit_idle(idle_for);
        }
    }

    /// Whether bytes came behind the response: in TLS, decrypted ones that were not read.
    #[inline]
    pub(crate) fn holds_input(&mut self) -> bool {
        self.stream().is_some_and(Stream::holds_input)
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// What is known of the connection.
    pub(crate) fn facts(&self) -> Option<Arc<ConnectionFacts>> {
        self.connection.as_ref().and_then(|connection| connection.record.facts().map(Arc::clone))
    }

    /// The connection's row in the list.
    pub(crate) fn info(&self) -> Option<ConnectionInfo> {
        let record = &self.connection.as_ref()?.record;
        Some(record.info(Placement::InUse, Instant::now()))
    }

    /// Whether anything ever came on it, or it is so old that its peer must have taken it.
    pub(crate) fn has_shown_life(&self) -> bool {
        let Some(connection) = &self.connection else { return false };
        let received = connection.stream.traffic().bytes_in.load(Ordering::Relaxed);
        received > 0 || connection.record.opened_at.elapsed() > ACCEPTED
    }

    /// Begins to dial a second connection beside this one, whose peer is silent. `notify` is set when its outcome is
    /// known. `small_segments`: as larger ones may get lost on the way. `None` if the limits or the system allow none.
    pub(crate) fn dial_second(
        &self,
        notify: &Arc<Notify>,
        small_segments: bool,
    ) -> Option<SecondDial> {
        let record = &self.connection.as_ref()?.record;
        dial::begin_second_dial(&self.pool, record, notify, small_segments)
    }

    /// Whether this is its first exchange, soon after it was made.
    pub(crate) fn is_new(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| {
            let record = &connection.record;
            record.requests_served() <= 1 && record.opened_at.elapsed() < NEW
        })
    }

    /// Whether the connection was open already.
    pub(crate) fn reused(&self) -> bool {
        self.reused
    }

    /// Gives the connection back after its response was read to the end. Returns `false` if the exchange
    /// was ended before: then the connection is closed.
    pub(crate) fn give_back(mut self, now: Instant) -> bool {
        if self.is_forked() {
            return false;
        }
        match self.connection.take() {
            Some(mut connection) => {
                debug_assert!(!connection.stream.holds_input(), "bytes came behind the response");
                connection.stream.mark_idle();
                self.pool.give_back(connection, &self.control, now)
            }
            None => false,
        }
    }

    /// Closes the connection.
    pub(crate) fn close(mut self, reason: CloseReason) {
        self.end(reason);
    }

    /// Closes the connection after its response was read to the end, with TLS's close_notify. Returns
    /// `false` if the exchange was ended before.
    pub(crate) fn close_cleanly(mut self, reason: CloseReason) -> bool {
        if self.is_forked() {
            return false;
        }
        let first = self.control.try_finish(Cause::Done);
        if let Some(stream) = self.stream() {
            stream.send_close_notify();
        }
        self.end(reason);
        first
    }

    fn is_forked(&self) -> bool {
        self.process != fork_generation()
    }

    fn end(&mut self, reason: CloseReason) {
        let Some(connection) = self.connection.take() else { return };
        if self.is_forked() {
            // The parent goes on with it: nothing is sent or shut down.
            return connection.record.forget();
        }
        self.pool.close_lease(connection.record.id, &self.control, reason);
        connection.record.end();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end(CloseReason::BodyLeftUnread);
    }
}

/// Waits for a connection or a slot, in the order of arrival.
#[inline(never)] // Most exchanges don't wait, and don't need this stack frame.
fn wait_in_line(
    pool: &Arc<Pool>,
    control: &Arc<Control>,
    begin_phase: &dyn Fn(Phase) -> Deadline,
    promised: bool,
) -> Result<Checkout, LeaseError> {
    let deadline = begin_phase(Phase::Pool);
    // How long to wait for a background dial before dialling as well.
    let mut patience = promised.then(|| Instant::now() + LEASE_WAIT);
    let event = control.register_wake();
    let stop = loop {
        match pool.poll(control) {
            Ok(Checkout::Wait { .. }) => {}
            Ok(checkout) => return Ok(checkout),
            Err(refused) => break refused,
        }
        let soonest = patience.into_iter().chain(deadline.at).min();
        match wait(WaitFor { fd: None, notify: Some(&event) }, WaitUntil::new(soonest)) {
            Ok(WakeReason::Notified | WakeReason::Ready { .. }) => event.clear(),
            Ok(WakeReason::Deadline) if patience.is_some() && soonest == patience => {
                patience = None;
                pool.stop_waiting_for_dial(control);
            }
            Ok(WakeReason::Deadline) => break Stop::Deadline(deadline.timeout).into(),
            Ok(WakeReason::Interrupted) => {
                control.try_finish(Cause::Interrupted);
                break Stop::Interrupted.into();
            }
            Err(error) => break Stop::Io(error).into(),
        }
    };
    match pool.cancel_wait(control, Instant::now()) {
        Checkout::Wait { .. } => Err(stop),
        // Granted in the last moment.
        checkout => Ok(checkout),
    }
}

/// Waits for a connection that becomes free, or dials when another one may have left its port, as often as that is
/// needed. The timeout is one for all of the waits.
#[cold]
#[inline(never)]
fn dial_when_there_is_a_port(
    pool: &Arc<Pool>,
    control: &Arc<Control>,
    request: &LeaseRequest<'_>,
) -> Result<Outcome, LeaseError> {
    let first = Cell::new(None);
    let begin_phase = |phase| {
        let until = (request.begin_phase)(phase);
        if phase != Phase::Pool {
            return until;
        }
        let until = first.get().unwrap_or(until);
        first.set(Some(until));
        until
    };
    loop {
        let checkout = wait_in_line(pool, control, &begin_phase, false);
        let outcome = match checkout {
            Ok(Checkout::Open(connection)) => Outcome::Given(connection),
            Ok(Checkout::Dial(record)) => dial_with(pool, control, request, &record, &begin_phase)?,
            Ok(Checkout::Wait { .. }) => Outcome::Queued,
            Err(LeaseError::Stop(Stop::Deadline(timeout))) => {
                return Err(LeaseError::NoPort(timeout));
            }
            Err(error) => return Err(error),
        };
        if !matches!(outcome, Outcome::Queued) {
            return Ok(outcome);
        }
    }
}

#[inline]
fn dial_with(
    pool: &Arc<Pool>,
    control: &Arc<Control>,
    request: &LeaseRequest<'_>,
    record: &Arc<Record>,
    begin_phase: &dyn Fn(Phase) -> Deadline,
) -> Result<Outcome, LeaseError> {
    let how = (request.fresh, request.close_after);
    dial::dial(pool, control, record, how, begin_phase, request.proxy_head)
}

/// A listener that has not taken a connection after this time will not take it.
const ACCEPTED: Duration = Duration::from_secs(30);
/// No network forgets a connection so soon.
const NEW: Duration = Duration::from_secs(10);
/// How long an exchange waits for a background dial before it dials as well: as long as TCP waits
/// for the answer to a SYN (RFC 6298 section 2).
const LEASE_WAIT: Duration = Duration::from_secs(1);
