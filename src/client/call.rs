//! One call, from a request to its response: each hop of it (the first request, then what redirects
//! make of it), and each attempt at a hop. One total timeout and one token are for all of them.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::http::header::{LOCATION, RETRY_AFTER};

use super::auth::{self, HopAuth};
use super::config::Config;
use super::cookies::parse_date;
use super::redirect::{RedirectDecision, RequestHop};
use super::request_head::{announced_length, request_head};
use super::retry::{self, RetryContext};
use super::retry_policy::Circumstances;
use crate::auth::{TokenRequest, TokenSource};
use crate::cancel::CancelToken;
use crate::error::Error;
use crate::headers::EXPECT;
use crate::headers::{Headers, UPGRADE};
use crate::http;
use crate::http::decode::Content;
use crate::http::exchange::{Exchange, ExchangeConfig};
use crate::http::h1::Message;
use crate::http::handover::Handover;
use crate::http::request_body::{BodyLength, BodyReader, BodySource};
use crate::http::response_body::IncomingBody;
use crate::manager::{Manager, PoolKey};
use crate::net::proxy::Proxy;
use crate::net::tls::Tls;
use crate::request::{Request, is_repeatable, needs_length};
use crate::response::{Redirect, Response};
use crate::response_head::{RawHead, ResponseTo};
use crate::timeouts::Timeouts;
use crate::trace::Tracer;
use crate::transfer::Transfer;
use crate::vocabulary::{ConnectionMode, Kind, RetryReason, Sent, Timeout};

/// Which attempt at a hop.
#[derive(Clone, Copy)]
struct Attempt {
    /// From 1.
    number: u32,
    /// How many of those before it broke a reused connection.
    lost: u32,
    /// If a reused connection breaks before the response, there will be another one.
    retry_covers_loss: bool,
}

/// What one hop has come to: its attempts so far, and what the next one is made with.
struct HopState<'a> {
    key: &'a Arc<PoolKey>,
    repeatable: bool,
    /// `None`: there are no credentials but those of headers and URLs.
    auth: Option<Box<HopAuth<'a>>>,
    attempts: u32,
    /// Attempts that broke a reused connection.
    lost: u32,
    /// Responses with 407 of a proxy that reads the request.
    proxy_refusals: u32,
}

/// A request is to be sent again.
struct Again {
    reason: RetryReason,
    delay: Duration,
    connection: u64,
}

/// A response whose body is not read yet.
struct Received {
    head: RawHead,
    body: Box<IncomingBody>,
}

/// What stays the same from the call to the response.
struct Call<'a> {
    manager: &'a Arc<Manager>,
    config: &'a Config,
    request: &'a Request,
    /// The total timeout counts from here.
    called: Instant,
    /// The first attempt.
    start: Instant,
    mode: ConnectionMode,
    timeouts: Cow<'a, Timeouts>,
    /// Doing all of it twice is the same as once.
    repeatable: bool,
    transfer: Option<Arc<Transfer>>,
    /// A server did not know `Expect: 100-continue`, so it is not sent any more.
    without_expect: Cell<bool>,
}

/// Sends the request and follows its redirects, to the head of the last response, or to the end of
/// its body if the request wants it buffered. The total timeout counts from `called`, if that was before
/// now.
pub(super) fn run(
    manager: &Arc<Manager>,
    config: &Config,
    request: &mut Request,
    called: Option<Instant>,
) -> Result<Response, Error> {
    let mut body = request.body.0.take()?;
    let outcome = hops(manager, config, request, &mut body, called);
    if let Err(error) = &outcome {
        body.call_failed(error);
    }
    outcome
}

#[inline] // It has one caller.
fn hops(
    manager: &Arc<Manager>,
    config: &Config,
    request: &Request,
    body: &mut BodySource,
    called: Option<Instant>,
) -> Result<Response, Error> {
    let start = Instant::now();
    let call = Call {
        manager,
        config,
        request,
        called: called.unwrap_or(start),
        start,
        mode: request.mode.unwrap_or(config.mode),
        timeouts: match request.over.is_empty() {
            true => Cow::Borrowed(&config.timeouts),
            false => Cow::Owned(config.timeouts.with(&request.over)),
        },
        repeatable: is_repeatable(&request.method, &request.headers),
        transfer: Transfer::of(config.transfer.as_deref(), request.transfer.as_deref()),
        without_expect: Cell::new(false),
    };
    // A tunnel is asked of this one peer.
    let most = match &request.connect {
        None => request.redirects.unwrap_or(config.redirects),
        Some(_) => 0,
    };
    let mut hop = RequestHop::first(&request.target, &request.method);
    let mut history = Vec::new();
    loop {
        let received = call.attempts(&hop, body)?;
        let received = match call.redirects(&hop, &received.head, most) {
            false => Some(received),
            true => call.redirect(&mut hop, &mut history, received, most, body.is_replayable())?,
        };
        if let Some(received) = received {
            return call.build_response(received, history);
        }
    }
}

impl Call<'_> {
    /// One hop: an attempt, and others for the reasons of [`RetryReason`].
    #[inline(never)] // As for `build_response`.
    fn attempts(&self, hop: &RequestHop, body: &mut BodySource) -> Result<Received, Error> {
        let repeatable = is_repeatable(&hop.method, &self.request.headers);
        let retries = self.request.retries.unwrap_or(self.config.retries);
        let key = self.key(hop)?;
        let pool = self.manager.pool();
        if pool.has_subscribers() && self.config.proxies.must_report_ignored() {
            pool.note_no_proxy_ignored(&key);
        }
        let mut state = HopState {
            key: &key,
            repeatable,
            auth: HopAuth::of(self.config, self.request, hop),
            attempts: 0,
            lost: 0,
            proxy_refusals: 0,
        };
        loop {
            let credentials = match state.auth {
                None => None,
                Some(_) => self.credentials(hop, &mut state)?,
            };
            state.attempts += 1;
            let retry_covers_loss = retries && repeatable && !(hop.has_body && body.is_some());
            let (number, lost) = (state.attempts, state.lost);
            let attempt = Attempt { number, lost, retry_covers_loss };
            let outcome = self.attempt(hop, &key, body, attempt, credentials.as_deref());
            if let Ok(received) = &outcome
                && received.head.status < 400
                && state.auth.is_none()
            {
                self.note_response(received.head.status);
                return outcome;
            }
            if let Some(received) = self.after_attempt(hop, &mut state, outcome, body, retries)? {
                return Ok(received);
            }
        }
    }

    /// What an attempt came to, if it was the last one of the hop; `None` if the request is sent again. It waits
    /// before that as long as the policy says.
    #[inline(never)] // As for `build_response`.
    fn after_attempt(
        &self,
        hop: &RequestHop,
        state: &mut HopState<'_>,
        outcome: Result<Received, Error>,
        body: &mut BodySource,
        retries: bool,
    ) -> Result<Option<Received>, Error> {
        let again = match outcome {
            Ok(received) => match self.after_response(hop, state, received, body, retries)? {
                Ok(received) => return Ok(Some(received)),
                Err(again) => again,
            },
            Err(failure) => self.after_failure(hop, state, failure, body, retries)?,
        };
        self.wait_before_again(hop, state, &again)?;
        Ok(None)
    }

    #[cold]
    #[inline(never)]
    fn wait_before_again(
        &self,
        hop: &RequestHop,
        state: &HopState<'_>,
        again: &Again,
    ) -> Result<(), Error> {
        let Again { reason, delay, connection } = *again;
        self.manager.pool().note_retry(connection, state.key, reason, delay);
        if let Some(tracer) = self.tracer() {
            let text = format!("the request is sent again in {} ms: {reason}", delay.as_millis());
            tracer.info(connection, &text);
        }
        if delay.is_zero() {
            return Ok(());
        }
        let paused = self.between(hop, state).and_then(|exchange| exchange.pause(delay));
        paused.map_err(|error| self.between_attempts(hop, state, error))
    }

    /// The credentials of the next attempt.
    #[cold]
    #[inline(never)]
    fn credentials(
        &self,
        hop: &RequestHop,
        state: &mut HopState<'_>,
    ) -> Result<Option<String>, Error> {
        let Some(mut auth) = state.auth.take() else { return Ok(None) };
        let field = auth.field(hop, &|source, asked| self.ask(hop, state, source, asked));
        state.auth = Some(auth);
        field.map_err(|error| {
            let error = match self.between(hop, state) {
                Ok(exchange) if error.kind() == Kind::AuthFailed => {
                    exchange.shared().describe(error)
                }
                _ => error,
            };
            self.between_attempts(hop, state, error)
        })
    }

    /// An error of what was waited for between two attempts, or before the first one.
    #[cold]
    fn between_attempts(&self, hop: &RequestHop, state: &HopState<'_>, error: Error) -> Error {
        // As for a failure: the hops before this one were sent.
        let safe = error.retry_safe() && (self.repeatable || self.is_first(hop));
        error.after_attempts(state.attempts).safe_to_retry(safe)
    }

    /// Whether a response is the hop's, or the request is sent again.
    #[inline(never)] // As for `build_response`.
    fn after_response(
        &self,
        hop: &RequestHop,
        state: &mut HopState<'_>,
        received: Received,
        body: &mut BodySource,
        retries: bool,
    ) -> Result<Result<Received, Again>, Error> {
        if self.refuses_expect(hop, &received, body) {
            self.without_expect.set(true);
            let connection = received.body.info().connection;
            received.body.discard()?;
            let (reason, delay) = (RetryReason::ExpectRefused, Duration::ZERO);
            return Ok(Err(Again { reason, delay, connection }));
        }
        let body_replayable = !hop.has_body || body.is_replayable();
        let context =
            RetryContext { repeatable: state.repeatable, body_replayable, lost: state.lost };
        let info = received.body.info();
        if retries && retry::crossed_a_timeout(&received.head, info.reused, context) {
            received.body.discard()?;
            state.lost += 1;
            let (reason, delay) = (RetryReason::ConnectionLost, Duration::ZERO);
            return Ok(Err(Again { reason, delay, connection: info.connection }));
        }
        let head = &received.head;
        let challenged = match self.is_challenge(hop, state, head, body_replayable) {
            Ok(challenged) => challenged,
            Err(error) if error.kind() == Kind::AuthFailed => {
                return Err(self.rejected(received, Kind::AuthFailed, error.message().to_owned()));
            }
            Err(error) => return Err(error),
        };
        let retrying = self.config.retrying.as_deref().filter(|_| retries);
        let delay = match (challenged, retrying) {
            (true, _) => Some(Duration::ZERO),
            (false, None) => None,
            (false, Some(retrying)) => {
                let retry_after = head.values(&RETRY_AFTER).next();
                let case = self.circumstances(state, body_replayable);
                retrying.after_status(head.status, retry_after.as_deref(), &case, parse_date)
            }
        };
        let Some(delay) = delay else {
            self.note_response(head.status);
            return Ok(Ok(received));
        };
        self.store_cookies(hop, head);
        let reason = if challenged { RetryReason::Challenge } else { RetryReason::StatusCode };
        let connection = received.body.info().connection;
        received.body.discard()?;
        Ok(Err(Again { reason, delay, connection }))
    }

    /// Whether the request is sent again after a failure; the failure otherwise.
    #[inline(never)] // As for `build_response`.
    fn after_failure(
        &self,
        hop: &RequestHop,
        state: &mut HopState<'_>,
        failure: Error,
        body: &mut BodySource,
        retries: bool,
    ) -> Result<Again, Error> {
        let body_replayable = body.is_replayable();
        let context =
            RetryContext { repeatable: state.repeatable, body_replayable, lost: state.lost };
        let connection = failure.connection_id().unwrap_or(0);
        if retries && retry::should_retry(&failure, context) {
            state.lost += 1;
            let (reason, delay) = (RetryReason::ConnectionLost, Duration::ZERO);
            return Ok(Again { reason, delay, connection });
        }
        // The proxy gave a nonce with its refusal, and closed the connection.
        let proxy = state.key.route.proxy.as_deref().filter(|_| state.proxy_refusals < 2);
        if failure.kind() == Kind::ProxyFailed
            && failure.status_code() == Some(407)
            && proxy.is_some_and(Proxy::knows_nonce)
        {
            state.proxy_refusals += 1;
            let (reason, delay) = (RetryReason::Challenge, Duration::ZERO);
            return Ok(Again { reason, delay, connection });
        }
        if retries && let Some(retrying) = &self.config.retrying {
            let case = self.circumstances(state, body_replayable);
            if let Some(delay) = retrying.after_failure(&failure, &case) {
                return Ok(Again { reason: RetryReason::ConnectFailed, delay, connection });
            }
        }
        // "No byte was sent" is about this hop; the ones before it were sent.
        let safe = failure.retry_safe() && (self.repeatable || self.is_first(hop));
        Err(failure.safe_to_retry(safe))
    }

    /// Whether a response asks for credentials that there are and that were not refused.
    fn is_challenge(
        &self,
        hop: &RequestHop,
        state: &mut HopState<'_>,
        head: &RawHead,
        body_replayable: bool,
    ) -> Result<bool, Error> {
        let origin = &hop.target.origin;
        let is_read_by_proxy =
            origin.unix.is_none() && state.key.route.is_read_by_proxy(origin.secure);
        if head.status == 407 && is_read_by_proxy {
            return auth::again_for_proxy(
                state.key,
                head,
                &mut state.proxy_refusals,
                body_replayable,
            );
        }
        let Some(mut auth) = state.auth.take() else { return Ok(false) };
        let ask = |source, asked| self.ask(hop, state, source, asked);
        let again = auth.again(head, body_replayable, &ask);
        state.auth = Some(auth);
        again
    }

    /// Asks a function of the program for a token.
    #[cold]
    fn ask(
        &self,
        hop: &RequestHop,
        state: &HopState<'_>,
        source: TokenSource,
        asked: TokenRequest,
    ) -> Result<auth::Answer, Error> {
        self.between(hop, state)?.ask(move || source.provide(&asked))
    }

    /// An exchange that only waits: with it a cancel, the total timeout and a shutdown end the wait.
    fn between(&self, hop: &RequestHop, state: &HopState<'_>) -> Result<Box<Exchange>, Error> {
        let (number, lost) = (state.attempts.max(1), state.lost);
        let attempt = Attempt { number, lost, retry_covers_loss: false };
        let config = self.exchange_config(hop, state.key, attempt);
        Exchange::begin(config, &self.timeouts, self.called, Instant::now())
    }

    fn circumstances(&self, state: &HopState<'_>, body_replayable: bool) -> Circumstances {
        let total = self.timeouts.get(Timeout::Total);
        let total = total.and_then(|total| self.called.checked_add(total));
        let token = self.request.token.as_ref().and_then(CancelToken::deadline);
        Circumstances {
            attempts: state.attempts,
            called: self.called,
            deadline: total.into_iter().chain(token).min(),
            now: Instant::now(),
            repeatable: state.repeatable,
            body_replayable,
        }
    }

    /// The budget of retries grows with the requests that were served.
    fn note_response(&self, status: u16) {
        if let Some(retrying) = &self.config.retrying {
            retrying.note_response(status);
        }
    }

    fn store_cookies(&self, hop: &RequestHop, head: &RawHead) {
        if let Some(jar) = &self.config.jar {
            jar.store_from_response(&hop.target, head);
        }
    }

    fn exchange_config(
        &self,
        hop: &RequestHop,
        key: &Arc<PoolKey>,
        Attempt { number, lost, retry_covers_loss }: Attempt,
    ) -> ExchangeConfig {
        ExchangeConfig {
            manager: Arc::clone(self.manager),
            key: Arc::clone(key),
            method: Some(hop.method.clone()),
            target: Arc::clone(&hop.target),
            token: self.request.token.clone(),
            close_after: self.mode == ConnectionMode::CloseAfter,
            fresh: self.mode == ConnectionMode::Fresh || lost >= retry::MAX_REUSED_ATTEMPTS,
            attempt: number,
            repeatable: self.repeatable,
            retry_covers_loss,
            detects_loss: self.config.detects_loss,
            max_head: self.config.max_head,
            response_to: ResponseTo::of(&hop.method),
            handover: Handover::None,
            tracer: self.tracer(),
            transfer: self.transfer.clone(),
        }
    }

    fn key(&self, hop: &RequestHop) -> Result<Arc<PoolKey>, Error> {
        let origin = &hop.target.origin;
        let route = self.config.proxies.route(origin)?;
        let own;
        let tls = match &self.request.tls {
            None => &self.config.tls,
            Some(tls) => {
                own = self.tls_of_hop(tls, hop);
                &own
            }
        };
        // Only a tunnel can become a stream: a proxy that reads the requests would take the switch for itself.
        if route.is_read_by_proxy(origin.secure) && self.wants_stream() {
            return Ok(hop.target.key(tls, &route.tunnelled()));
        }
        Ok(hop.target.key(tls, route))
    }

    /// Whether the connection shall become a stream.
    #[cold]
    fn wants_stream(&self) -> bool {
        let has_upgrade = |headers: &Headers| headers.contains(UPGRADE);
        self.request.connect.is_some()
            || has_upgrade(&self.request.headers)
            || has_upgrade(&self.config.headers)
    }

    /// The request's own TLS settings for a hop. The server name was given for the first one's origin.
    #[cold]
    fn tls_of_hop(&self, tls: &Arc<Tls>, hop: &RequestHop) -> Arc<Tls> {
        if hop.target.origin == self.request.target.origin {
            Arc::clone(tls)
        } else {
            tls.without_server_name()
        }
    }

    fn attempt(
        &self,
        hop: &RequestHop,
        key: &Arc<PoolKey>,
        body: &mut BodySource,
        attempt: Attempt,
        credentials: Option<&str>,
    ) -> Result<Received, Error> {
        let mut body = match hop.has_body && body.is_some() || needs_length(&hop.method) {
            true => Some(self.open_body(hop, body)?),
            false => None,
        };
        let length = body.as_ref().map_or(BodyLength::None, |body| body.length());
        let is_buffered = body.as_ref().is_some_and(|body| body.is_buffered());
        let (exchange, message) =
            self.prepare(hop, key, length, is_buffered, attempt, credentials)?;
        let (head, body) = http::run(exchange, message, body.as_deref_mut())?;
        Ok(Received { head, body })
    }

    /// The body of a hop that has one.
    #[inline(never)] // Most requests have none: keeps its frame out of their waits.
    fn open_body<'a>(
        &self,
        hop: &RequestHop,
        body: &'a mut BodySource,
    ) -> Result<Box<BodyReader<'a>>, Error> {
        if !hop.has_body || !body.is_some() {
            // RFC 9110 section 8.6: such a request announces a body of no bytes.
            return Ok(Box::new(BodyReader::empty()));
        }
        let mut reader = Box::new(body.open()?);
        if reader.length() == BodyLength::Chunked
            && let Some(length) = announced_length(&self.request.headers)?
        {
            reader.announce(length);
        }
        Ok(reader)
    }

    /// The exchange of an attempt, and its message.
    #[inline(never)] // Keeps its frame out of the wait for the response.
    fn prepare(
        &self,
        hop: &RequestHop,
        key: &Arc<PoolKey>,
        length: BodyLength,
        body_is_buffered: bool,
        attempt: Attempt,
        credentials: Option<&str>,
    ) -> Result<(Box<Exchange>, Message), Error> {
        Message::prepare(body_is_buffered, || {
            let (config, request) = (self.config, self.request);
            let mut request = request_head(config, request, hop, self.mode, length, credentials)?;
            if self.expects_continue(length) && !request.headers.contains(EXPECT) {
                Arc::make_mut(&mut request.headers).add(EXPECT, b"100-continue");
                request.is_plain = false;
            }
            let mut config = self.exchange_config(hop, key, attempt);
            if !request.is_plain || self.request.connect.is_some() {
                config.handover = Handover::of(&request.headers, self.request.connect.as_ref());
            }
            let is_first = attempt.number == 1 && self.is_first(hop);
            let start = if is_first { self.start } else { Instant::now() };
            let exchange = Exchange::begin(config, &self.timeouts, self.called, start)?;
            Ok((exchange, request))
        })
    }

    /// Whether a request with such a body is sent with `Expect: 100-continue` because of a setting.
    #[inline]
    fn expects_continue(&self, length: BodyLength) -> bool {
        let Some(transfer) = &self.transfer else { return false };
        transfer.expect_continue.is_some()
            && !self.without_expect.get()
            && !matches!(length, BodyLength::None | BodyLength::Known(0))
    }

    /// Whether the server does not know the `Expect` that was sent because of a setting, and the request can be sent
    /// again without it (RFC 9110 section 15.5.18).
    #[inline]
    fn refuses_expect(&self, hop: &RequestHop, received: &Received, body: &mut BodySource) -> bool {
        received.head.status == 417
            && self.transfer.as_ref().is_some_and(|transfer| transfer.expect_continue.is_some())
            && !self.without_expect.get()
            && !self.request.headers.contains(EXPECT)
            && hop.has_body
            && body.is_some()
            && body.is_replayable()
    }

    /// Keeps the cookies of a hop's response. Whether the response may be a redirect: most are none, and their
    /// fields are not parsed.
    fn redirects(&self, hop: &RequestHop, head: &RawHead, most: u32) -> bool {
        self.store_cookies(hop, head);
        most != 0 && (300..400).contains(&head.status)
    }

    /// Makes the hop the one that a response redirects to, or returns a response that redirects nowhere.
    #[cold]
    #[inline(never)] // As for `build_response`.
    fn redirect(
        &self,
        hop: &mut RequestHop,
        history: &mut Vec<Redirect>,
        received: Received,
        most: u32,
        body_replayable: bool,
    ) -> Result<Option<Received>, Error> {
        let status = received.head.status;
        let locations = received.head.values(&LOCATION);
        let next = match hop.redirect(status, locations, body_replayable) {
            RedirectDecision::Return => return Ok(Some(received)),
            RedirectDecision::Follow(next) if history.len() as u64 == u64::from(most) => {
                let what =
                    format!("more than {most} redirects; the last one to {}", next.target.url());
                return Err(self.rejected(received, Kind::RedirectRefused, what));
            }
            RedirectDecision::Follow(next) => next,
            RedirectDecision::Reject(what) => {
                return Err(self.rejected(received, Kind::RedirectRefused, what));
            }
        };
        received.body.discard()?;
        history.push(Redirect::new(status, &hop.target));
        *hop = next;
        Ok(None)
    }

    /// The response, with its body if the request wants it buffered.
    #[inline(never)] // Its frame may lie where that of the attempts was.
    fn build_response(
        &self,
        received: Received,
        history: Vec<Redirect>,
    ) -> Result<Response, Error> {
        let Received { head, body } = received;
        let decodes = self.request.decode.unwrap_or(self.config.decode);
        let content = Content::begin(body, &head, decodes.then_some(self.config.max_codings))?;
        let mut response = Response::new(self.manager.spawner(), content, head, history);
        response.body().set_max(self.config.max_body);
        if let Some(at_most) = self.request.buffer_body
            && !response.body().is_longer(self.request.buffer_up_to, at_most)
        {
            response.body().fill_buffer(at_most).map_err(|error| self.in_body(error))?;
        }
        Ok(response)
    }

    /// A redirect that is not followed, or a challenge that is not answered. The request itself was answered, so its connection is kept.
    fn rejected(&self, received: Received, kind: Kind, what: String) -> Error {
        let Received { head, mut body } = received;
        body.close_gracefully();
        let info = body.info();
        body.shared()
            .describe(Error::new(kind, what))
            .with_status_code(head.status)
            .on_connection(info.connection, info.reused)
            .after_sending(Sent::All, info.bytes_sent, true)
            .after_attempts(info.attempt)
            .safe_to_retry(self.repeatable)
    }

    /// An error in a body that the call waited for: the server has done its work by then.
    fn in_body(&self, error: Error) -> Error {
        let safe = error.retry_safe() && self.repeatable;
        error.safe_to_retry(safe)
    }

    /// What records this exchange, if the client has a trace.
    fn tracer(&self) -> Option<Box<Tracer>> {
        let trace = self.config.trace.as_ref()?;
        let secret = self.config.sensitive.iter().map(AsRef::as_ref);
        Some(Box::new(Tracer::new(trace, secret)))
    }

    fn is_first(&self, hop: &RequestHop) -> bool {
        Arc::ptr_eq(&hop.target, &self.request.target)
    }
}
