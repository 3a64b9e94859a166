//! Dials: those that the exchange that needs a connection runs on its own thread, and background
//! dials.
//!
//! A dial outlives its exchange in two cases. If the exchange was granted a connection that became
//! free first, the dial goes on for any waiter. If the exchange was ended, the dial goes on for
//! [`GRACE`] only: a peer that is about to accept is not dialled again, and a silent one keeps its
//! slot for a short time only.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::connection::{Connection, Record};
use super::control::{Cause, Control};
use super::key::PoolKey;
use super::pool::{Dialled, LeaseError, Pool};
use super::second_dial::{DialReport, SecondDial};
use crate::net::Stop;
use crate::net::dial::{self, Dial, DialConfig};
use crate::net::stream::Stream;
use crate::runtime::{Notify, WorkerPool};
use crate::timeouts::Deadline;
use crate::trace::SeeHead;
use crate::vocabulary::{CloseReason, ConnectionState, Phase, Timeout, TraceType};

/// The connection that an exchange gets from its dial.
pub(super) enum Outcome {
    Dialled(Box<Connection>),
    /// Another one, which became free first.
    Given(Box<Connection>),
    /// None yet: there is no free local port, and the exchange waits for another connection of its origin.
    Queued,
}

/// Dials for an exchange.
#[inline(never)] // Most exchanges reuse a connection, and don't need this stack frame.
pub(super) fn dial(
    pool: &Arc<Pool>,
    control: &Arc<Control>,
    record: &Arc<Record>,
    (fresh, close_after): (bool, bool),
    begin_phase: &dyn Fn(Phase) -> Deadline,
    proxy_head: Option<SeeHead<'_>>,
) -> Result<Outcome, LeaseError> {
    let mut dial = Some(prepare(pool, record, false));
    let observer = DialOfExchange { record, control, begin_phase, proxy_head };
    let result = match &mut dial {
        Some(dial) => dial.run(&observer, &control.register_wake()),
        None => Err(Stop::Ended),
    };
    let now = Instant::now();
    let failure = match result {
        Ok(stream) => {
            let connection = dialled(record, stream);
            if !close_after {
                record.begin_probes();
            }
            return Ok(match pool.dialled(connection, control, close_after, now)? {
                Dialled::Mine(connection) => Outcome::Dialled(connection),
                Dialled::Other(connection) => {
                    // The one that was dialled is idle, or another exchange has it.
                    record.begin_probes();
                    Outcome::Given(connection)
                }
            });
        }
        Err(failure) => failure,
    };
    if dial.as_ref().is_some_and(|dial| dial.lacks_port()) {
        // First the sockets, then the slot.
        dial = None;
        if pool.wait_for_port(record.id, control, fresh) {
            return Ok(Outcome::Queued);
        }
    }
    let goes_on = match &failure {
        Stop::Interrupted => control.try_finish(Cause::Interrupted),
        Stop::Ended => true,
        Stop::Deadline(timeout) => matches!(timeout, Timeout::Total | Timeout::Token),
        _ => false,
    };
    let has_socket = dial.as_ref().is_some_and(|dial| dial.has_socket());
    let background = (goes_on && has_socket && !close_after)
        .then(|| Control::detached(pool))
        .filter(|background| pool.detach_dial(record.id, control, background));
    if background.is_none() {
        // First the sockets, then the slot.
        dial = None;
    }
    let reason = control.cause().map_or(CloseReason::DialFailed, CloseReason::from);
    let given = pool.stop_dialling(record.id, control, reason, now);
    if let (Some(control), Some(dial)) = (background, dial) {
        let patience = if given.is_some() { LONGEST } else { GRACE };
        let mut job = BackgroundDial::new(pool, Arc::clone(record), control, dial, now + patience);
        job.reason = reason;
        // If there is no thread for it, the dial is dropped, which closes it.
        let _ = job.start();
    }
    given.map(Outcome::Given).ok_or_else(|| failure.into())
}

/// Begins as many background dials as are missing for `wanted` idle connections, if the limits allow.
/// Returns how many were begun; an error if there was no thread for any of them.
pub(super) fn begin_background_dials(
    pool: &Arc<Pool>,
    key: &Arc<PoolKey>,
    wanted: usize,
) -> Result<usize, LeaseError> {
    let slots = pool.reserve_background_dials(key, wanted, || Control::detached(pool))?;
    let mut begun = 0;
    let mut refused = None;
    for (record, control) in slots {
        let (dial, until) = (prepare(pool, &record, false), Instant::now() + LONGEST);
        match BackgroundDial::new(pool, record, control, dial, until).start() {
            Ok(()) => begun += 1,
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if begun == 0 => Err(Stop::NoThread(error).into()),
        _ => Ok(begun),
    }
}

/// Begins to dial a second connection beside that one, whose peer is silent. `notify` is set when its outcome is known.
/// `small_segments`: as larger ones may get lost on the way. `None` if the limits or the system allow none.
#[cold]
pub(super) fn begin_second_dial(
    pool: &Arc<Pool>,
    suspected: &Record,
    notify: &Arc<Notify>,
    small_segments: bool,
) -> Option<SecondDial> {
    let new_control = || Control::detached(pool);
    let slot = pool.reserve_second_dial(suspected.id, &suspected.key, new_control);
    let (record, control) = slot?;
    let (dial, until) = (prepare(pool, &record, small_segments), Instant::now() + LONGEST);
    let (second, report) = SecondDial::new(notify);
    let mut job = BackgroundDial::new(pool, record, control, dial, until);
    job.report = Some(report);
    // Without a thread for it the job is dropped, and with it the report.
    let _ = job.start();
    Some(second)
}

/// In a box: the frames of a wait for a dial would hold it, and move it when it goes on in the background.
#[inline(never)]
fn prepare(pool: &Arc<Pool>, record: &Record, small_segments: bool) -> Box<Dial> {
    pool.look_at_network();
    let key = &record.key;
    let plan = DialConfig {
        host: key.origin.host.clone(),
        zone: key.origin.zone.clone(),
        port: key.origin.port,
        unix: key.origin.unix.clone(),
        tls: key.tls.clone(),
        route: Arc::clone(&key.route),
        keep_alive: pool.limits().keep_alive,
        small_segments,
    };
    Box::new(Dial::new(plan, Arc::clone(pool.resolver())))
}

fn dialled(record: &Arc<Record>, stream: Stream) -> Box<Connection> {
    record.dialled(&stream);
    Connection::new(Arc::clone(record), stream)
}

/// A dial that its exchange waits for.
struct DialOfExchange<'a> {
    record: &'a Record,
    control: &'a Control,
    begin_phase: &'a dyn Fn(Phase) -> Deadline,
    proxy_head: Option<SeeHead<'a>>,
}

impl dial::DialObserver for DialOfExchange<'_> {
    fn begin(&self, phase: Phase) -> Deadline {
        // The phase's clock starts before the state is published.
        let until = (self.begin_phase)(phase);
        step(self.record, phase);
        until
    }

    fn connected(&self, stream: &Stream, peer: Option<SocketAddr>) {
        self.record.connected(stream, peer);
    }

    fn proxy_head(&self, kind: TraceType, head: &[u8]) {
        if let Some(proxy_head) = self.proxy_head {
            proxy_head(kind, head);
        }
    }

    fn must_stop(&self) -> bool {
        self.control.cause().is_some() || self.control.connection() != self.record.id
    }
}

/// A background dial. It ends with a connection in the pool, or its drop closes it.
struct BackgroundDial {
    pool: Weak<Pool>,
    record: Arc<Record>,
    control: Arc<Control>,
    dial: Option<Box<Dial>>,
    until: Instant,
    /// Why its connection is closed if the dial fails.
    reason: CloseReason,
    /// To an exchange that waits for its outcome.
    report: Option<DialReport>,
    /// When it began to connect.
    connecting: Cell<Option<Instant>>,
    /// The pool has its connection.
    done: bool,
}

impl BackgroundDial {
    fn new(
        pool: &Arc<Pool>,
        record: Arc<Record>,
        control: Arc<Control>,
        dial: Box<Dial>,
        until: Instant,
    ) -> Self {
        Self {
            pool: Arc::downgrade(pool),
            record,
            control,
            dial: Some(dial),
            until,
            reason: CloseReason::DialFailed,
            report: None,
            connecting: Cell::new(None),
            done: false,
        }
    }

    /// If there is no thread for it, the job is dropped, which closes the dial.
    fn start(self) -> io::Result<()> {
        DIALS.run_now(move || self.run())
    }

    fn run(mut self) {
        let Some(mut dial) = self.dial.take() else { return };
        if let Ok(stream) = dial.run(&self, &self.control.register_wake())
            && let Some(pool) = self.pool.upgrade()
        {
            let connection = dialled(&self.record, stream);
            self.record.begin_probes();
            self.done = true;
            pool.background_dialled(connection, &self.control, Instant::now());
            if let Some(report) = &self.report {
                report.connected();
            }
        }
    }
}

impl dial::DialObserver for BackgroundDial {
    fn begin(&self, phase: Phase) -> Deadline {
        step(&self.record, phase);
        if phase == Phase::Connect && self.connecting.get().is_none() {
            self.connecting.set(Some(Instant::now()));
        }
        Deadline { at: Some(self.until), timeout: Timeout::Connect }
    }

    fn connected(&self, stream: &Stream, peer: Option<SocketAddr>) {
        self.record.connected(stream, peer);
        if let (Some(report), Some(began)) = (&self.report, self.connecting.get()) {
            report.accepted(began.elapsed());
        }
    }

    fn must_stop(&self) -> bool {
        self.control.cause().is_some()
    }
}

impl Drop for BackgroundDial {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        // First the sockets, then the slot.
        self.dial = None;
        self.record.end();
        if let Some(pool) = self.pool.upgrade() {
            pool.close_lease(self.record.id, &self.control, self.reason);
        }
    }
}

fn step(record: &Record, phase: Phase) {
    match phase {
        Phase::Resolve => record.set_dial_state(ConnectionState::Resolving),
        Phase::Connect => record.set_dial_state(ConnectionState::Connecting),
        Phase::Proxy => record.set_dial_state(ConnectionState::Proxy),
        Phase::Tls => record.set_dial_state(ConnectionState::Tls),
        _ => {}
    }
}

static DIALS: WorkerPool = WorkerPool::new("hangup-dial", 64);
/// How long the dial of an exchange that was ended goes on. Long enough for a peer that is about
/// to answer, even if the first SYN was lost (it is sent again after a second: RFC 6298).
const GRACE: Duration = Duration::from_millis(1500);
/// How long any other background dial may take in all.
const LONGEST: Duration = Duration::from_secs(10);
