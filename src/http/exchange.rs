//! One exchange, that is a request and its response: what it is allowed, how far it is, and the part
//! of it by which other threads end it.
//!
//! It is owned by one thread at a time: first by what sends the request, then by the body of the
//! response. It does not know how messages are written, and it owns no socket: it is given a
//! [`Lease`].

use std::cell::Cell;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use ::http::Method;

use super::handover::Handover;
use super::timing::Timing;
use crate::cancel::{CancelToken, Watch, Watching, Why};
use crate::error::Error;
use crate::manager::{
    Cause, Control, Lease, LeaseError, LeaseRequest, Manager, PoolKey, WakeRegistration,
};
use crate::net::Stop;
use crate::net::facts::ConnectionFacts;
use crate::process::fork_generation;
use crate::response_head::{RawHead, ResponseTo};
use crate::target::Target;
use crate::timeouts::{Deadline, Timeouts};
use crate::timings::Timings;
use crate::trace::Tracer;
use crate::transfer::Transfer;
use crate::vocabulary::{Kind, Phase};

/// What an exchange is allowed to do, from the settings of its client and of its request.
pub(crate) struct ExchangeConfig {
    pub(crate) manager: Arc<Manager>,
    pub(crate) key: Arc<PoolKey>,
    /// `None`: the caller writes the message itself.
    pub(crate) method: Option<Method>,
    pub(crate) target: Arc<Target>,
    pub(crate) token: Option<CancelToken>,
    /// Close the connection afterwards.
    pub(crate) close_after: bool,
    /// Don't use an idle connection.
    pub(crate) fresh: bool,
    /// Which attempt at the same message this is, from 1.
    pub(crate) attempt: u32,
    /// Sending the message twice is the same as once (RFC 9110 section 9.2.2, or an Idempotency-Key).
    pub(crate) repeatable: bool,
    /// If a reused connection breaks before the response, there will be another attempt.
    pub(crate) retry_covers_loss: bool,
    /// A long wait finds out whether the peer is still there, and whether large segments reach it.
    pub(crate) detects_loss: bool,
    /// The largest response head, in bytes, interim responses included.
    pub(crate) max_head: usize,
    /// What decides, beside the head, whether a body follows the head.
    pub(crate) response_to: ResponseTo,
    /// What the response may make of the connection.
    pub(crate) handover: Handover,
    pub(crate) tracer: Option<Box<Tracer>>,
    /// Rates, progress, and the wait for 100 Continue; `None` if none of it was set.
    pub(crate) transfer: Option<Arc<Transfer>>,
}

/// Threads: one at a time; ended through its [`ExchangeShared`] by any.
pub(crate) struct Exchange {
    shared: Arc<ExchangeShared>,
    pub(super) config: ExchangeConfig,
    /// The entry in the token's list.
    _watching: Option<Watching>,
    /// 0 before there is one.
    pub(super) connection: u64,
    pub(super) reused: bool,
    pub(super) bytes_sent: u64,
    /// The request was sent from its first byte to its last.
    pub(super) request_sent: bool,
    pub(super) response_started: bool,
}

/// The part of an exchange that other threads use while it runs. Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct ExchangeShared {
    pub(super) control: Arc<Control>,
    pub(super) timing: Timing,
    method: Option<Method>,
    target: Arc<Target>,
    /// The status code of the final response; 0 before there is one.
    status_code: AtomicU16,
    /// Of the connection that it has, or had.
    facts: OnceLock<Arc<ConnectionFacts>>,
    /// The interim heads that came before the response; unset if there were none.
    pub(super) interim: OnceLock<Vec<RawHead>>,
    /// The trailer section, once the body was read to its end; unset if it is empty.
    pub(super) trailers: OnceLock<Box<RawHead>>,
    /// The process that the exchange belongs to.
    process: u32,
}

/// What is known of an exchange whose request was sent. Threads: a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExchangeInfo {
    pub(crate) connection: u64,
    pub(crate) reused: bool,
    pub(crate) attempt: u32,
    pub(crate) bytes_sent: u64,
}

impl Exchange {
    /// Begins an exchange: its timeouts count from `start`, and the total timeout from `called`. It does
    /// not wait.
    ///
    /// # Errors
    /// [`Kind::Cancelled`] or [`Kind::TimedOut`] if the token has fired already.
    pub(crate) fn begin(
        config: ExchangeConfig,
        timeouts: &Timeouts,
        called: Instant,
        start: Instant,
    ) -> Result<Box<Self>, Error> {
        let control = Control::new(config.manager.pool());
        let watching = config.token.as_ref().map(|token| watch(token, &control)).transpose();
        // The token knows the exchange by now, so a deadline that the token gets later ends it directly.
        let deadline = config.token.as_ref().and_then(CancelToken::deadline);
        let timing = Timing::start(timeouts, deadline, called, start);
        let (watching, too_late) = match watching {
            Ok(watching) => (watching, None),
            Err(why) => (None, Some(why)),
        };
        // In a box: it is passed down through the wait for the response, and up with its body.
        let exchange = Box::new(Self {
            shared: Arc::new(ExchangeShared {
                control,
                timing,
                method: config.method.clone(),
                target: Arc::clone(&config.target),
                status_code: AtomicU16::new(0),
                facts: OnceLock::new(),
                interim: OnceLock::new(),
                trailers: OnceLock::new(),
                process: fork_generation(),
            }),
            config,
            _watching: watching,
            connection: 0,
            reused: false,
            bytes_sent: 0,
            request_sent: false,
            response_started: false,
        });
        match too_late {
            None => Ok(exchange),
            Some(why) => {
                exchange.shared.control.try_finish(why.into());
                Err(exchange.fail(Stop::Ended))
            }
        }
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// Any [`Kind`] of a dial, [`Kind::QueueFull`], or what ended the exchange.
    #[inline(never)] // Keeps its frame out of the wait for the response.
    pub(crate) fn checkout(&mut self) -> Result<Lease, Error> {
        let timing = &self.shared.timing;
        let start = timing.started();
        timing.enter(Phase::Pool, start);
        let config = &self.config;
        if let Err(error) = config.manager.check_limits() {
            return Err(self.fail(error.into()));
        }
        let waited = Cell::new(false);
        self.trace(|tracer| {
            let method = self.shared.method.as_ref().map_or("", Method::as_str);
            let url = self.shared.target.url();
            tracer.info(0, &format!("{method} {url}: waiting for a connection"));
        });
        let proxy_head = |kind, head: &[u8]| {
            self.trace(|tracer| tracer.head(kind, self.shared.control.connection(), head));
        };
        let request = LeaseRequest {
            key: &config.key,
            fresh: config.fresh,
            close_after: config.close_after,
            retry_covers_loss: config.retry_covers_loss,
            now: start,
            begin_phase: &|phase| {
                waited.set(true);
                self.trace(|tracer| {
                    tracer.info(self.shared.control.connection(), &format!("phase: {phase}"));
                });
                timing.begin(phase).deadline()
            },
            proxy_head: config.tracer.is_some().then_some(&proxy_head as &dyn Fn(_, &[u8])),
        };
        let lease = match Lease::acquire(config.manager.pool(), &self.shared.control, &request) {
            Ok(lease) => lease,
            Err(error) => return Err(self.fail_without_lease(error)),
        };
        // A reused connection that needed no wait is here at once: the clock is not read again.
        let at_once = lease.reused() && !waited.get();
        timing.enter(Phase::Write, if at_once { start } else { Instant::now() });
        (self.connection, self.reused) = (lease.id(), lease.reused());
        if let Some(facts) = lease.facts() {
            let _ = self.shared.facts.set(facts);
        }
        self.trace(|tracer| trace_lease(tracer, &lease));
        Ok(lease)
    }

    /// Records something if the client has a trace; otherwise this costs one comparison.
    #[inline]
    pub(super) fn trace(&self, record: impl FnOnce(&Tracer)) {
        if let Some(tracer) = &self.config.tracer {
            record(tracer);
        }
    }

    /// The exchange is over. The first call reports to the manager's subscriptions how long each phase
    /// took.
    pub(crate) fn finish(&self, now: impl FnOnce() -> Instant) {
        let pool = self.config.manager.pool();
        if self.shared.timing.finish(now) && pool.has_subscribers() {
            pool.note_phases(self.connection, &self.config.key, &self.shared.timing.phases());
        }
    }

    /// Whether it was ended from outside, or by a fork.
    #[cfg(feature = "ureq")]
    pub(crate) fn was_ended(&self) -> bool {
        self.shared.end_if_forked();
        self.shared.control.cause().is_some()
    }

    /// A phase begins, unless it is the current one.
    #[cfg(feature = "ureq")]
    pub(crate) fn enter_phase(&self, phase: Phase) {
        if self.timing().phase() != phase {
            self.timing().enter(phase, Instant::now());
        }
    }

    /// So many bytes of the request were sent.
    #[cfg(feature = "ureq")]
    pub(crate) fn note_sent(&mut self, bytes: u64) {
        self.bytes_sent += bytes;
    }

    /// A byte of the response was received.
    #[cfg(feature = "ureq")]
    pub(crate) fn note_response_started(&mut self) {
        self.response_started = true;
    }

    /// Fails if the exchange was ended or its time is over: for work that does not wait.
    pub(super) fn check(&self) -> Result<(), Stop> {
        self.shared.check()
    }

    pub(crate) fn shared(&self) -> &Arc<ExchangeShared> {
        &self.shared
    }

    pub(super) fn timing(&self) -> &Timing {
        &self.shared.timing
    }

    pub(crate) fn info(&self) -> ExchangeInfo {
        let Self { connection, reused, bytes_sent, .. } = *self;
        ExchangeInfo { connection, reused, attempt: self.config.attempt, bytes_sent }
    }

    #[cold]
    fn fail_without_lease(&self, error: LeaseError) -> Error {
        match error {
            LeaseError::ShutDown => {
                self.shared.control.try_finish(Cause::ShutDown);
                self.fail(Stop::Ended)
            }
            LeaseError::QueueFull(waiting) => {
                let what = format!(
                    "{waiting} requests wait for a connection already: that is the queue's limit"
                );
                self.fail(Error::new(Kind::QueueFull, what).into())
            }
            LeaseError::NoPort(timeout) => {
                let what = "there is no free local port for another connection (EADDRNOTAVAIL)";
                self.fail(Stop::Deadline(timeout)).also(what)
            }
            LeaseError::Stop(stop) => self.fail(stop),
        }
    }
}

impl ExchangeShared {
    /// Ends the exchange because its response was closed by another thread.
    pub(crate) fn close(&self) {
        self.control.end(Cause::ResponseClosed);
    }

    /// What is known of its connection; `None` before it has one.
    pub(crate) fn facts(&self) -> Option<&Arc<ConnectionFacts>> {
        self.facts.get()
    }

    /// The interim heads that came before the response, the first ones only.
    pub(crate) fn interim(&self) -> &[RawHead] {
        self.interim.get().map_or(&[], Vec::as_slice)
    }

    /// The trailer section; `None` before the end of the body, and if it is empty.
    pub(crate) fn trailers(&self) -> Option<&RawHead> {
        self.trailers.get().map(|trailers| &**trailers)
    }

    /// How long each part took so far.
    pub(crate) fn timings(&self) -> Timings {
        self.timing.timings()
    }

    /// The URL that is requested.
    pub(crate) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// The head of the final response was received.
    pub(super) fn set_status_code(&self, status_code: u16) {
        self.status_code.store(status_code, Ordering::Relaxed);
    }

    /// Adds to an error what is known of the request, of its response, and of the time that each part took.
    #[cold]
    pub(crate) fn describe(&self, error: Error) -> Error {
        let error = error
            .about_request(
                self.method.as_ref(),
                &self.target.url(),
                &self.target.origin.to_string(),
            )
            .with_timings(self.timings());
        match self.status_code.load(Ordering::Relaxed) {
            0 => error,
            status_code => error.with_status_code(status_code),
        }
    }

    /// The body is at its end, and these well-formed fields are behind it.
    pub(super) fn keep_trailers(&self, section: &[u8]) {
        let _ = self.trailers.set(Box::new(RawHead::of_trailers(section)));
    }

    /// Fails if the exchange was ended or its time is over: for work that does not wait.
    pub(super) fn check(&self) -> Result<(), Stop> {
        self.end_if_forked();
        if self.control.cause().is_some() {
            return Err(Stop::Ended);
        }
        self.timing.total_passed().map_or(Ok(()), |timeout| Err(Stop::Deadline(timeout)))
    }

    /// A child of this process has the exchange with its parent's memory; there it is over.
    pub(super) fn end_if_forked(&self) {
        if self.process != fork_generation() {
            self.control.try_finish(Cause::Forked);
        }
    }

    /// A notification for a wait that has no socket: it is set when the exchange is ended.
    pub(super) fn register_wake(&self) -> WakeRegistration<'_> {
        self.control.register_wake()
    }

    /// Whether the exchange belongs to the parent of this process.
    pub(super) fn is_forked(&self) -> bool {
        self.process != fork_generation()
    }

    /// Ends the exchange because the stream that its connection became was closed.
    pub(super) fn close_stream(&self) {
        self.control.end(Cause::StreamClosed);
    }

    /// Whether the exchange was ended from outside.
    pub(super) fn is_ended(&self) -> bool {
        self.control.cause().is_some()
    }

    /// The deadline of the whole request.
    pub(super) fn total_deadline(&self) -> Deadline {
        self.timing.until(Deadline::NEVER)
    }
}

/// Records which connection the exchange has.
#[cold]
#[inline(never)]
fn trace_lease(tracer: &Tracer, lease: &Lease) {
    let Some(info) = lease.info() else { return };
    let how = if lease.reused() { "reused" } else { "new" };
    let mut text = format!("{how} connection to {}", info.origin);
    if let (Some(peer), Some(local)) = (info.peer, info.local) {
        text += &format!(", peer {peer}, local {local}");
    }
    if let Some(tls) = info.tls {
        text += &format!(", {tls}");
    }
    tracer.info(lease.id(), &text);
}

/// Puts the exchange on its token's list, or returns why it is too late.
fn watch(token: &CancelToken, control: &Arc<Control>) -> Result<Watching, Why> {
    if let Some(why) = token.why(Instant::now) {
        return Err(why);
    }
    let control: Weak<Control> = Arc::downgrade(control);
    let watcher: Weak<dyn Watch> = control;
    token.watch(watcher)
}
