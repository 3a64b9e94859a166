//! One request and its response: the clocks, the control by which others end it, and the one
//! place that says who ended it and why.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use super::drain::Polite;
use super::h1::{self, Stopped};
use super::request_body::BodyReader;
pub(crate) use super::response_body::Reader;
use super::timing::{Clocks, Timings};
use crate::cancel::{CancelToken, Watch, Watching, Why};
use crate::error::Error;
use crate::manager::{
    Cause, Control, Lease, Manager, NoLease, PoolKey, Progress, Refused, WakeRegistration, Wish,
};
use crate::net::Stop;
use crate::process::fork_generation;
use crate::response_head::{RawHead, ResponseTo};
use crate::timeouts::{Deadline, Timeouts};
use crate::vocabulary::{Kind, Phase};

/// What an exchange needs to know. Built by the client from its settings and the request's.
pub(crate) struct Order<'a> {
    pub(crate) manager: &'a Arc<Manager>,
    pub(crate) key: Arc<PoolKey>,
    pub(crate) request: http::Request<()>,
    /// The first bytes of the body are here already.
    pub(crate) body_at_hand: bool,
    pub(crate) timeouts: &'a Timeouts,
    /// The call: the total limit counts from here, whatever came before this exchange.
    pub(crate) call: Instant,
    /// This exchange.
    pub(crate) start: Instant,
    pub(crate) token: Option<CancelToken>,
    /// A short connection: close it afterwards.
    pub(crate) short: bool,
    /// Never an idle connection.
    pub(crate) fresh: bool,
    /// Which one it is at the same message, from 1.
    pub(crate) attempt: u32,
    /// Sending it twice is the same as once (RFC 9110 section 9.2.2, or an Idempotency-Key).
    pub(crate) repeatable: bool,
    /// What a kept connection loses before the first byte of the response is sent again.
    pub(crate) made_good: bool,
    pub(crate) max_head: usize,
}

/// Threads: run and read by one at a time; ended through its [`Control`] by any.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(super) control: Arc<Control>,
    /// The process that it belongs to.
    pub(super) process: u32,
    pub(super) manager: Arc<Manager>,
    pub(super) key: Arc<PoolKey>,
    pub(super) clocks: Clocks,
    pub(super) token: Option<CancelToken>,
    pub(super) short: bool,
    pub(super) fresh: bool,
    pub(super) attempt: u32,
    pub(super) repeatable: bool,
    pub(super) made_good: bool,
    pub(super) body_at_hand: bool,
    pub(super) response_to: ResponseTo,
    pub(super) max_head: usize,
    pub(super) connection: AtomicU64,
    /// It had to wait for its connection, in the queue or for a dial.
    pub(super) waited: AtomicBool,
    pub(super) reused: AtomicBool,
    pub(super) bytes_sent: AtomicU64,
    pub(super) all_sent: AtomicBool,
    pub(super) started: AtomicBool,
    pub(super) upload_cut: AtomicBool,
    pub(super) peer_closed: AtomicBool,
    pub(super) abandoned: AtomicBool,
    /// Bytes that came without becoming body: chunk framing and trailers.
    pub(super) framing: AtomicU64,
    pub(super) polite: Polite,
    pub(super) head: OnceLock<RawHead>,
    pub(super) failure: OnceLock<Error>,
}

/// An exchange that is about to begin. Threads: a value.
pub(crate) struct Prepared {
    exchange: Arc<Exchange>,
    watching: Option<Watching>,
    call: Box<h1::Prepared>,
}

/// Makes everything ready. It never waits.
pub(crate) fn prepare(order: Order<'_>) -> Result<Prepared, Error> {
    let Order { mut request, token, .. } = order;
    h1::credentials(&order.key, request.headers_mut());
    let control = Control::new(order.manager.pool());
    let watching = token.as_ref().map(|token| watch(token, &control)).transpose();
    // After the token knows us: a deadline that it is given from here on reaches us by itself.
    let deadline = token.as_ref().and_then(CancelToken::deadline);
    let clocks = Clocks::start(order.timeouts, deadline, order.call, order.start);
    let exchange = Arc::new(Exchange {
        process: fork_generation(),
        manager: Arc::clone(order.manager),
        key: order.key,
        short: order.short,
        fresh: order.fresh,
        attempt: order.attempt,
        made_good: order.made_good,
        repeatable: order.repeatable,
        body_at_hand: order.body_at_hand && !request.headers().contains_key(http::header::EXPECT),
        response_to: match *request.method() {
            http::Method::HEAD => ResponseTo::Head,
            _ => ResponseTo::Other,
        },
        max_head: order.max_head,
        connection: AtomicU64::new(0),
        waited: AtomicBool::new(false),
        reused: AtomicBool::new(false),
        bytes_sent: AtomicU64::new(0),
        all_sent: AtomicBool::new(false),
        started: AtomicBool::new(false),
        upload_cut: AtomicBool::new(false),
        peer_closed: AtomicBool::new(false),
        abandoned: AtomicBool::new(false),
        framing: AtomicU64::new(0),
        polite: Polite::new(clocks.started()),
        clocks,
        head: OnceLock::new(),
        failure: OnceLock::new(),
        token,
        control,
    });
    let watching = watching.map_err(|why| exchange.too_late(why))?;
    let call = h1::prepare(&exchange, request)?;
    Ok(Prepared { exchange, watching, call })
}

/// Sends the request and waits for the head of the response.
pub(crate) fn run(
    prepared: Prepared,
    mut body: Option<BodyReader<'_>>,
) -> Result<Box<Reader>, Error> {
    let Prepared { exchange, watching, call } = prepared;
    let incoming = h1::run(&exchange, call, body.as_mut())?;
    // A body of no bytes is over already; then the connection went back, unless somebody ended it first.
    if let Some(failure) = exchange.failure.get() {
        return Err(failure.clone());
    }
    Ok(Reader::begin(exchange, incoming, watching))
}

/// Puts the exchange on its token's list, or says why it is too late.
fn watch(token: &CancelToken, control: &Arc<Control>) -> Result<Watching, Why> {
    if let Some(why) = token.why(Instant::now) {
        return Err(why);
    }
    let control: Weak<Control> = Arc::downgrade(control);
    let watcher: Weak<dyn Watch> = control;
    token.watch(watcher)
}

impl Exchange {
    fn too_late(&self, why: Why) -> Error {
        self.control.try_finish(why.into());
        self.fail(Stop::Ended)
    }

    /// A connection to work with.
    #[inline(never)] // Who waits for the answer has no need of its frame.
    pub(in crate::http) fn acquire(&self) -> Result<Lease, Stopped> {
        let start = self.clocks.started();
        self.clocks.enter(Phase::Pool, start);
        if let Err(error) = self.manager.check_limits() {
            self.fail_with(error);
            return Err(Stopped);
        }
        let wish = Wish {
            key: &self.key,
            fresh: self.fresh,
            short: self.short,
            made_good: self.made_good,
            now: start,
            progress: self,
        };
        match Lease::acquire(self.manager.pool(), &self.control, &wish) {
            Ok(lease) => {
                // A kept connection takes no time worth a look at the clock.
                let at_once = lease.reused() && !self.waited.load(Ordering::Relaxed);
                let now = if at_once { start } else { Instant::now() };
                self.clocks.enter(Phase::Write, now);
                self.connection.store(lease.id(), Ordering::Relaxed);
                self.reused.store(lease.reused(), Ordering::Relaxed);
                Ok(lease)
            }
            Err(no_lease) => {
                self.has_none(no_lease);
                Err(Stopped)
            }
        }
    }

    #[cold]
    fn has_none(&self, no_lease: NoLease) -> Error {
        match no_lease {
            NoLease::Refused(Refused::ShutDown) => {
                self.control.try_finish(Cause::ShutDown);
                self.fail(Stop::Ended)
            }
            NoLease::Refused(Refused::Ended) => self.fail(Stop::Ended),
            NoLease::Refused(Refused::QueueFull(waiting)) => {
                let what = format!(
                    "{waiting} requests wait for a connection already: that is the queue's limit"
                );
                self.fail_with(Error::new(Kind::QueueFull, what))
            }
            NoLease::Stop(stop) => self.fail(stop),
        }
    }

    /// Whether this process is a child that has it with its parent's memory: then it is over here.
    pub(in crate::http) fn is_the_parents(&self) -> bool {
        let forked = self.process != fork_generation();
        if forked {
            self.control.try_finish(Cause::Forked);
        }
        forked
    }

    pub(in crate::http) fn clocks(&self) -> &Clocks {
        &self.clocks
    }

    /// Fails if the exchange was ended or its time is over: for work that does not wait.
    pub(in crate::http) fn check(&self) -> Result<(), Stop> {
        if self.control.cause().is_some() {
            return Err(Stop::Ended);
        }
        self.clocks.total_passed().map_or(Ok(()), |timeout| Err(Stop::Deadline(timeout)))
    }

    /// An event that is set when the exchange is ended from outside, for a wait that has no socket.
    pub(in crate::http) fn register_wake(&self) -> WakeRegistration<'_> {
        self.control.register_wake()
    }

    pub(in crate::http) fn polite(&self) -> &Polite {
        &self.polite
    }

    pub(in crate::http) fn key(&self) -> &PoolKey {
        &self.key
    }

    /// What decides, beside the head, whether a body follows the head.
    pub(in crate::http) fn response_to(&self) -> ResponseTo {
        self.response_to
    }

    pub(in crate::http) fn max_head(&self) -> usize {
        self.max_head
    }

    pub(in crate::http) fn is_short(&self) -> bool {
        self.short
    }

    /// Whether body follows the head at once.
    pub(in crate::http) fn body_at_hand(&self) -> bool {
        self.body_at_hand
    }

    pub(in crate::http) fn count_sent(&self, bytes: usize) {
        self.bytes_sent
            .store(self.bytes_sent.load(Ordering::Relaxed) + bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn bytes_sent(&self) -> u64 {
        self.bytes_sent.load(Ordering::Relaxed)
    }

    /// The request was sent from its first byte to its last.
    pub(in crate::http) fn request_sent(&self) {
        self.all_sent.store(true, Ordering::Relaxed);
    }

    pub(in crate::http) fn response_started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    pub(in crate::http) fn cut_upload(&self) {
        self.upload_cut.store(true, Ordering::Relaxed);
    }

    pub(in crate::http) fn upload_cut(&self) -> bool {
        self.upload_cut.load(Ordering::Relaxed)
    }

    pub(in crate::http) fn peer_closed(&self) {
        self.peer_closed.store(true, Ordering::Relaxed);
    }

    /// Counts bytes that came; answers how many had come before without becoming body.
    pub(in crate::http) fn count_framing(&self, bytes: usize) -> u64 {
        let before = self.framing.load(Ordering::Relaxed);
        self.framing.store(before + bytes as u64, Ordering::Relaxed);
        before
    }

    pub(in crate::http) fn take_head(&self, head: RawHead) {
        let _ = self.head.set(head);
    }

    /// The head of the response. There is one in every exchange that [`run`] gave out.
    pub(crate) fn head(&self) -> Option<&RawHead> {
        self.head.get()
    }

    pub(in crate::http) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    pub(crate) fn connection(&self) -> u64 {
        self.connection.load(Ordering::Relaxed)
    }

    pub(crate) fn reused(&self) -> bool {
        self.reused.load(Ordering::Relaxed)
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(crate) fn timings(&self) -> Timings {
        self.clocks.timings()
    }

    /// It is over. Whoever listens to the manager hears how long each phase took.
    pub(in crate::http) fn finish(&self, now: impl FnOnce() -> Instant) {
        let pool = self.manager.pool();
        if self.clocks.finish(now) && pool.has_subscribers() {
            pool.note_phases(self.connection(), &self.key, &self.clocks.phases());
        }
    }

    /// Ends it because its response was closed by another thread.
    pub(crate) fn stop(&self) {
        self.control.end(Cause::ResponseClosed);
    }
}

impl Progress for Exchange {
    fn begin(&self, phase: Phase) -> Deadline {
        self.waited.store(true, Ordering::Relaxed);
        let until = self.clocks.begin(phase);
        Deadline { at: until.at, timeout: until.timeout }
    }
}
