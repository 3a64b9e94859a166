//! One request and its response: the clocks, the control by which others end it, and the one
//! place that says who ended it and why.

use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use super::clocks::{Clocks, Timings};
use super::transport;
use super::upload::Upload;
use crate::cancel::{CancelToken, Watch, Watching, Why};
use crate::error::{Clock, Error, Kind, Phase, Sent};
use crate::limits::{Deadline, Timeouts};
use crate::manager::{Cause, Control, Lease, Manager, NoLease, PoolKey, Progress, Reason, Refused};
use crate::net::{Stop, dial, tls};

/// What an exchange needs to know. Built by the client from its settings and the request's.
pub(crate) struct Order<'a> {
    pub(crate) manager: &'a Arc<Manager>,
    pub(crate) key: Arc<PoolKey>,
    pub(crate) request: http::Request<()>,
    pub(crate) body: Option<Upload<'a>>,
    pub(crate) timeouts: Timeouts,
    pub(crate) token: Option<CancelToken>,
    /// A short connection: close it afterwards.
    pub(crate) short: bool,
    /// Never an idle connection.
    pub(crate) fresh: bool,
    /// Sending it twice is the same as once (RFC 9110 section 9.2.2, or an Idempotency-Key).
    pub(crate) repeatable: bool,
    pub(crate) max_head: usize,
}

/// Threads: run and read by one at a time; ended through its [`Control`] by any.
#[derive(Debug)]
pub(crate) struct Exchange {
    control: Arc<Control>,
    manager: Arc<Manager>,
    key: Arc<PoolKey>,
    clocks: Clocks,
    token: Option<CancelToken>,
    short: bool,
    fresh: bool,
    repeatable: bool,
    body_follows: bool,
    max_head: usize,
    connection: AtomicU64,
    reused: AtomicBool,
    bytes_sent: AtomicU64,
    all_sent: AtomicBool,
    started: AtomicBool,
    upload_cut: AtomicBool,
    peer_closed: AtomicBool,
    abandoned: AtomicBool,
    /// Bytes that came without becoming body: chunk framing and trailers.
    framing: AtomicU64,
    polite_until: OnceLock<Instant>,
    aside: OnceLock<Vec<(http::HeaderName, http::HeaderValue)>>,
    failure: OnceLock<Error>,
}

/// The body of a response as it comes. Threads: one at a time.
pub(crate) struct Reader {
    exchange: Arc<Exchange>,
    body: Option<ureq::BodyReader<'static>>,
    /// What is still to come, if the head said so.
    left: Option<u64>,
    total: Option<u64>,
    got: u64,
    /// Closed before its end: reading on is a mistake, not an end.
    closed: bool,
    _watching: Option<Watching>,
}

/// Sends the request and waits for the head of the response.
pub(crate) fn run(order: Order<'_>) -> Result<(http::response::Parts, Reader), Error> {
    let Order { request, body, token, .. } = order;
    let deadline = token.as_ref().and_then(CancelToken::deadline);
    let control = Control::new(order.manager.pool());
    let exchange = Arc::new(Exchange {
        manager: Arc::clone(order.manager),
        key: order.key,
        clocks: Clocks::start(order.timeouts, deadline),
        short: order.short,
        fresh: order.fresh,
        repeatable: order.repeatable,
        body_follows: body.is_some() && !request.headers().contains_key(http::header::EXPECT),
        max_head: order.max_head,
        connection: AtomicU64::new(0),
        reused: AtomicBool::new(false),
        bytes_sent: AtomicU64::new(0),
        all_sent: AtomicBool::new(false),
        started: AtomicBool::new(false),
        upload_cut: AtomicBool::new(false),
        peer_closed: AtomicBool::new(false),
        abandoned: AtomicBool::new(false),
        framing: AtomicU64::new(0),
        polite_until: OnceLock::new(),
        aside: OnceLock::new(),
        failure: OnceLock::new(),
        token,
        control,
    });
    let watching = exchange.watch()?;
    let is_head = request.method() == http::Method::HEAD;
    let answer = match body {
        None => transport::run(&exchange, request.map(|()| ureq::SendBody::none())),
        Some(mut upload) => {
            upload.belongs_to(&exchange);
            transport::run(&exchange, request.map(|()| ureq::SendBody::from_reader(&mut upload)))
        }
    };
    let (mut parts, body) = match answer {
        Ok(response) => response.into_parts(),
        Err(error) => return Err(exchange.translate(&error)),
    };
    // A body of no bytes is over already; then the connection went back, unless somebody ended it first.
    if let Some(failure) = exchange.failure.get() {
        return Err(failure.clone());
    }
    exchange.clocks.begin(Phase::Read);
    for (name, value) in exchange.aside.get().into_iter().flatten() {
        parts.headers.append(name, value.clone());
    }
    let total = if is_head { Some(0) } else { length_of(&parts) };
    let body = body.into_with_config().limit(u64::MAX).reader();
    let mut reader = Reader {
        exchange,
        body: Some(body),
        left: total,
        total,
        got: 0,
        closed: false,
        _watching: watching,
    };
    if reader.exchange.control.cause() == Some(Cause::Done) {
        reader.finish();
    }
    Ok((parts, reader))
}

impl Exchange {
    fn watch(self: &Arc<Self>) -> Result<Option<Watching>, Error> {
        let Some(token) = &self.token else { return Ok(None) };
        if let Some(why) = token.why(Instant::now) {
            return Err(self.too_late(why));
        }
        let control: Weak<Control> = Arc::downgrade(&self.control);
        let watcher: Weak<dyn Watch> = control;
        token.watch(watcher).map(Some).map_err(|why| self.too_late(why))
    }

    fn too_late(&self, why: Why) -> Error {
        self.control.settle(match why {
            Why::Fired => Cause::Cancelled,
            Why::Deadline => Cause::TokenDeadline,
        });
        self.fail(Stop::Ended)
    }

    /// A connection to work with; `None` after a failure that was written down.
    pub(super) fn acquire(&self) -> Option<Lease> {
        self.clocks.begin(Phase::Pool);
        let pool = self.manager.pool();
        match Lease::acquire(pool, &self.key, &self.control, self.fresh, self) {
            Ok(lease) => {
                self.connection.store(lease.id(), Ordering::Relaxed);
                self.reused.store(lease.reused(), Ordering::Relaxed);
                Some(lease)
            }
            Err(NoLease::Refused(Refused::ShutDown)) => {
                self.control.settle(Cause::ShutDown);
                self.fail(Stop::Ended);
                None
            }
            Err(NoLease::Refused(Refused::Ended)) => {
                self.fail(Stop::Ended);
                None
            }
            Err(NoLease::Stop(stop)) => {
                self.fail(stop);
                None
            }
            Err(NoLease::Error(error)) => {
                self.fail_with(error);
                None
            }
        }
    }

    /// Writes down why it failed, unless that is known; answers what is known. Whoever ended it
    /// from outside comes first: what we saw then is only the consequence.
    pub(super) fn fail(&self, stop: Stop) -> Error {
        if matches!(stop, Stop::Interrupted) {
            self.control.end(Cause::Interrupted);
        }
        let error = match self.ended_by() {
            Some(cause) => self.explain_cause(cause),
            None => self.explain(stop),
        };
        self.note(error)
    }

    /// As [`fail`](Self::fail), for what has its own words.
    pub(super) fn fail_with(&self, error: Error) -> Error {
        let error = match self.ended_by() {
            Some(cause) => self.explain_cause(cause),
            None => error,
        };
        self.note(error)
    }

    /// Who ended it from outside. If nobody did, nobody can from here on.
    fn ended_by(&self) -> Option<Cause> {
        if self.control.settle(Cause::Done) {
            return None;
        }
        self.control.cause().filter(|cause| *cause != Cause::Done)
    }

    fn note(&self, error: Error) -> Error {
        let sent = match (
            self.all_sent.load(Ordering::Relaxed),
            self.bytes_sent.load(Ordering::Relaxed),
        ) {
            (_, 0) => Sent::Nothing,
            (true, _) => Sent::All,
            (false, _) => Sent::Part,
        };
        let bytes = self.bytes_sent.load(Ordering::Relaxed);
        let mut error = error
            .in_phase(self.clocks.phase())
            .after_sending(sent, bytes, self.started.load(Ordering::Relaxed))
            .safe_to_retry(bytes == 0 || self.repeatable);
        let connection = match self.connection.load(Ordering::Relaxed) {
            0 => self.control.connection(),
            id => id,
        };
        if connection != 0 {
            error = error.on_connection(connection, self.reused.load(Ordering::Relaxed));
        }
        self.failure.get_or_init(|| error).clone()
    }

    fn explain_cause(&self, cause: Cause) -> Error {
        let phase = self.clocks.phase();
        let during =
            if phase == Phase::None { String::new() } else { format!(" (phase: {phase})") };
        match cause {
            Cause::Cancelled => {
                let reason = self.token.as_ref().and_then(CancelToken::shared_reason);
                Error::new(Kind::Cancelled, format!("cancelled{during}")).because(reason.as_deref())
            }
            Cause::Interrupted => {
                Error::new(Kind::Cancelled, format!("interrupted by a signal{during}"))
                    .because(Some("interrupted"))
            }
            Cause::TokenDeadline => timed_out(Clock::Token, phase, None),
            Cause::ClosedById => {
                Error::new(Kind::Closed, format!("the connection was closed by its id{during}"))
            }
            Cause::ClosedByOrigin => Error::new(
                Kind::Closed,
                format!("the connection was closed with its origin{during}"),
            ),
            Cause::ClosedByAll => Error::new(
                Kind::Closed,
                format!("the connection was closed with all others{during}"),
            ),
            Cause::ResponseClosed | Cause::Done => {
                Error::new(Kind::Closed, format!("the response was closed{during}"))
            }
            Cause::ShutDown => {
                Error::new(Kind::ShutDown, format!("the manager was shut down{during}"))
            }
            Cause::Forked => Error::new(
                Kind::Forked,
                "this exchange belongs to the parent of this process; begin a new one",
            ),
        }
    }

    fn explain(&self, stop: Stop) -> Error {
        let phase = self.clocks.phase();
        let origin = &self.key.origin;
        match stop {
            Stop::Deadline => {
                let clock = self.clocks.total_passed().unwrap_or_else(|| self.clocks.armed());
                // Between two addresses the dial's own turn may have ended it.
                let clock = if clock == Clock::None { Clock::Connect } else { clock };
                timed_out(clock, phase, self.clocks.limit(clock))
            }
            Stop::Interrupted | Stop::Ended => {
                Error::new(Kind::Closed, "the connection was closed")
            }
            Stop::PeerClosed if phase == Phase::Tls => Error::new(
                Kind::PeerClosed,
                "the peer closed the connection inside the TLS handshake",
            ),
            Stop::PeerClosed => Error::new(
                Kind::PeerClosed,
                "truncated: the peer closed the connection without ending TLS",
            ),
            Stop::Tls(error) => {
                Error::new(Kind::TlsFailed, format!("TLS with {origin}: {}", tls::explain(&error)))
            }
            Stop::Io(error) if dial::is_exhaustion(&error) => Error::from_os(
                Kind::System,
                "the operating system is out of descriptors or memory",
                &error,
            ),
            Stop::Io(error) if matches!(phase, Phase::Resolve | Phase::Connect | Phase::Pool) => {
                Error::from_os(Kind::ConnectFailed, &format!("can't connect to {origin}"), &error)
            }
            Stop::Io(error) => match error.kind() {
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => {
                    Error::from_os(Kind::PeerReset, "the peer reset the connection", &error)
                }
                _ => Error::from_os(Kind::System, "the connection failed", &error),
            },
        }
    }

    /// What ureq says, if we did not stop it ourselves.
    fn translate(&self, error: &ureq::Error) -> Error {
        if let Some(failure) = self.failure.get() {
            return failure.clone();
        }
        match error {
            ureq::Error::Http(inner) => self.fail_with(Error::new(
                Kind::InvalidHeader,
                format!("the request can't be sent: {inner}"),
            )),
            ureq::Error::BadUri(_) => self.fail_with(Error::new(
                Kind::InvalidUrl,
                format!("the request can't be sent: {error}"),
            )),
            other => {
                self.fail_with(Error::new(Kind::Protocol, format!("malformed response: {other}")))
            }
        }
    }

    pub(super) fn begin(&self, phase: Phase) -> Option<Instant> {
        self.clocks.begin(phase)
    }

    pub(super) fn step(&self, now: Instant) -> Option<Instant> {
        self.clocks.step(now)
    }

    pub(super) fn until(&self, own: Deadline) -> Option<Instant> {
        self.clocks.until(own)
    }

    pub(super) fn armed(&self) -> Clock {
        self.clocks.armed()
    }

    pub(super) fn min_rate_failed(&self) {
        self.clocks.set_armed(Clock::MinRate);
    }

    pub(super) fn limit(&self, clock: Clock) -> Option<Duration> {
        self.clocks.limit(clock)
    }

    pub(super) fn min_rate(&self) -> Option<(u64, Duration)> {
        self.clocks.min_rate()
    }

    pub(super) fn polite_until(&self) -> Option<Instant> {
        self.polite_until.get().copied()
    }

    pub(super) fn max_head(&self) -> usize {
        self.max_head
    }

    pub(super) fn is_short(&self) -> bool {
        self.short
    }

    pub(super) fn body_follows(&self) -> bool {
        self.body_follows
    }

    pub(super) fn count_sent(&self, bytes: usize) {
        self.bytes_sent
            .store(self.bytes_sent.load(Ordering::Relaxed) + bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn request_sent(&self) {
        self.all_sent.store(!self.upload_cut(), Ordering::Relaxed);
    }

    pub(super) fn response_started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    pub(super) fn cut_upload(&self) {
        self.upload_cut.store(true, Ordering::Relaxed);
    }

    pub(super) fn upload_cut(&self) -> bool {
        self.upload_cut.load(Ordering::Relaxed)
    }

    pub(super) fn peer_closed(&self) {
        self.peer_closed.store(true, Ordering::Relaxed);
    }

    /// Counts bytes that came; answers how many had come before without becoming body.
    pub(super) fn count_framing(&self, bytes: usize) -> u64 {
        let before = self.framing.load(Ordering::Relaxed);
        self.framing.store(before + bytes as u64, Ordering::Relaxed);
        before
    }

    pub(super) fn set_aside(&self, fields: Vec<(http::HeaderName, http::HeaderValue)>) {
        let _ = self.aside.set(fields);
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Why the connection of a failed exchange is closed.
    pub(super) fn failed_for(&self) -> Option<Reason> {
        Some(match self.failure.get()?.kind() {
            // What a polite close runs into is not a failure of the exchange.
            _ if self.polite_until.get().is_some() => Reason::BodyLeftUnread,
            Kind::TimedOut => Reason::TimedOut,
            Kind::Cancelled => Reason::Cancelled,
            Kind::PeerClosed => Reason::PeerClosed,
            Kind::PeerReset => Reason::PeerReset,
            Kind::Protocol | Kind::TooLarge => Reason::ProtocolError,
            Kind::BodyFailed => Reason::Cancelled,
            _ => Reason::BodyLeftUnread,
        })
    }

    pub(crate) fn connection(&self) -> u64 {
        self.connection.load(Ordering::Relaxed)
    }

    pub(crate) fn reused(&self) -> bool {
        self.reused.load(Ordering::Relaxed)
    }

    pub(crate) fn timings(&self) -> Timings {
        self.clocks.timings()
    }

    /// Ends it because its response was closed by another thread.
    pub(crate) fn stop(&self) {
        self.control.end(Cause::ResponseClosed);
    }
}

impl Progress for Exchange {
    fn begin(&self, phase: Phase) -> Option<Instant> {
        self.clocks.begin(phase)
    }
}

impl Reader {
    /// A piece of the body: at least one byte, or 0 for the end.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        if self.closed {
            return Err(Error::new(
                Kind::InvalidState,
                "the response was closed before its body ended",
            ));
        }
        let Some(body) = &mut self.body else {
            return self.exchange.failure.get().map_or(Ok(0), |failure| Err(failure.clone()));
        };
        // Bytes may be here already, but a cancelled exchange has none to give.
        if self.exchange.control.cause().is_some() || self.exchange.clocks.total_passed().is_some()
        {
            let failure = self.exchange.fail(Stop::Deadline);
            self.body = None;
            return Err(failure);
        }
        match body.read(into) {
            Ok(0) => self.end(),
            Ok(got) => {
                self.got += got as u64;
                self.exchange.framing.store(0, Ordering::Relaxed);
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(got as u64);
                    if *left == 0 {
                        // The end is here: the connection goes back now, not when it is asked for.
                        self.end()?;
                    }
                }
                Ok(got)
            }
            Err(error) => Err(self.broken(Some(&error))),
        }
    }

    /// Takes ureq through the end of the body, which gives the connection back.
    fn end(&mut self) -> Result<usize, Error> {
        if let Some(mut body) = self.body.take() {
            let mut nothing = [0];
            if !matches!(body.read(&mut nothing), Ok(0)) {
                self.body = Some(body);
                return Err(self.broken(None));
            }
        }
        self.finish();
        self.exchange.failure.get().map_or(Ok(0), |failure| Err(failure.clone()))
    }

    fn broken(&mut self, error: Option<&std::io::Error>) -> Error {
        let failure = match self.exchange.failure.get() {
            Some(failure) => failure.clone(),
            None if self.exchange.peer_closed.load(Ordering::Relaxed) => {
                let of = self.total.map_or(String::new(), |total| format!(" of {total}"));
                let what = format!(
                    "truncated: the peer closed the connection after {}{of} bytes of the body",
                    self.got
                );
                self.exchange.fail_with(Error::new(Kind::PeerClosed, what))
            }
            None => {
                let what =
                    error.map_or("it does not end where it should".to_owned(), ToString::to_string);
                let what = format!("malformed response: the framing of the body is broken: {what}");
                self.exchange.fail_with(Error::new(Kind::Protocol, what))
            }
        };
        self.body = None;
        self.exchange.clocks.finish();
        failure
    }

    fn finish(&mut self) {
        self.body = None;
        self.exchange.clocks.finish();
    }

    /// Reads on for a little so that the connection can be kept; closes it if that is not enough.
    pub(crate) fn close_politely(&mut self) {
        if self.body.is_none() {
            return;
        }
        if self.left.is_none_or(|left| left <= POLITE_BYTES) {
            let _ = self.exchange.polite_until.set(Instant::now() + POLITE_TIME);
            let mut scratch = [0; 8 * 1024];
            let mut read = 0;
            while read <= POLITE_BYTES {
                match self.read(&mut scratch) {
                    Ok(0) => break,
                    Ok(got) => read += got as u64,
                    Err(_) => break,
                }
            }
        }
        self.close();
        self.closed = true;
    }

    /// Closes the connection now, unless the body is over. What is read afterwards is an error.
    pub(crate) fn close(&mut self) {
        if let Some(body) = self.body.take() {
            self.closed = true;
            self.exchange.abandoned.store(true, Ordering::Relaxed);
            drop(body);
            self.exchange.clocks.finish();
        }
    }

    pub(crate) fn exchange(&self) -> &Arc<Exchange> {
        &self.exchange
    }

    /// How long the body is, if the head said so.
    pub(crate) fn total(&self) -> Option<u64> {
        self.total
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.close();
    }
}

fn timed_out(clock: Clock, phase: Phase, limit: Option<Duration>) -> Error {
    let limit = limit.map_or(String::new(), |limit| format!(" of {} ms", limit.as_millis()));
    let what = match clock {
        Clock::Token => "the cancel token's deadline".to_owned(),
        Clock::MinRate => "the minimum rate".to_owned(),
        clock => format!("the {clock} limit{limit}"),
    };
    let at = if phase == Phase::None { String::new() } else { format!(" (phase: {phase})") };
    let verb = if clock == Clock::MinRate { "was not kept" } else { "ran out" };
    Error::new(Kind::TimedOut, format!("timed out: {what} {verb}{at}")).by_clock(clock)
}

/// The body's length as the head has it; ureq has refused what contradicts itself.
fn length_of(parts: &http::response::Parts) -> Option<u64> {
    if parts.headers.contains_key(http::header::TRANSFER_ENCODING) {
        return None;
    }
    let value = parts.headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?;
    value.split(',').next()?.trim().parse().ok()
}

/// How much a polite close reads on (Go 1.27's numbers, golang/go#77370).
const POLITE_BYTES: u64 = 256 * 1024;
/// How long a polite close may take.
const POLITE_TIME: Duration = Duration::from_millis(50);
