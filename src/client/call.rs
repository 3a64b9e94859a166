//! One call, from a request to its response: each leg of it (the first, then what redirects
//! make of it), and each attempt at a leg. One total limit and one token span all of them.

use std::sync::Arc;
use std::time::Instant;

use super::Config;
use super::redirect::{Leg, Next};
use super::request_head::message;
use super::retry::{self, Again};
use crate::error::Error;
use crate::http::decode::Content;
use crate::http::exchange::{self, Order, Reader};
use crate::http::request_body::{BodyLength, BodyReader, BodySource};
use crate::manager::{Manager, PoolKey};
use crate::request::{Request, is_repeatable, needs_length};
use crate::response::{Redirect, Response};
use crate::runtime::on_thread_stack;
use crate::timeouts::Timeouts;
use crate::vocabulary::{ConnectionMode, Kind, Sent};

/// Which attempt at a leg.
#[derive(Clone, Copy)]
struct Nth {
    attempt: u32,
    /// If a kept connection loses it, there will be another one.
    made_good: bool,
}

/// What stays the same from the call to the response.
struct Call<'a> {
    manager: &'a Arc<Manager>,
    config: &'a Config,
    request: &'a Request,
    /// The total limit counts from here.
    called: Instant,
    /// The first attempt.
    start: Instant,
    mode: ConnectionMode,
    timeouts: Timeouts,
    /// Doing all of it twice is the same as once.
    repeatable: bool,
}

/// Sends the request and follows where it leads, to the head of the last response, or to the end of
/// its body if the request says so. The total limit counts from `called`, if that was before now.
pub(super) fn run(
    manager: &Arc<Manager>,
    config: &Config,
    request: &mut Request,
    called: Option<Instant>,
) -> Result<Response, Error> {
    let start = Instant::now();
    let mut body = request.body.0.take()?;
    let request = &*request;
    let call = Call {
        manager,
        config,
        request,
        called: called.unwrap_or(start),
        start,
        mode: request.mode.unwrap_or(config.mode),
        timeouts: config.timeouts.with(&request.over),
        repeatable: is_repeatable(&request.method, &request.headers),
    };
    let most = request.redirects.unwrap_or(config.redirects);
    let mut leg = Leg::first(&request.target, &request.method);
    let mut history = Vec::new();
    loop {
        let reader = call.attempts(&leg, &mut body)?;
        let (status, next) = call.look(&leg, &reader, most, body.is_replayable());
        let next = match next {
            Next::HandOut => return call.hand_out(reader, leg, history),
            Next::Follow(next) if history.len() as u64 == u64::from(most) => {
                let what =
                    format!("more than {most} redirects; the last one to {}", next.target.url());
                return Err(call.refused(reader, status, what));
            }
            Next::Follow(next) => next,
            Next::Refuse(what) => return Err(call.refused(reader, status, what)),
        };
        reader.pass_over()?;
        history.push(Redirect::new(status, &leg.target));
        leg = next;
    }
}

impl Call<'_> {
    /// One leg: an attempt, and others for what a kept connection lost.
    #[inline(never)] // As for `hand_out`.
    fn attempts(&self, leg: &Leg, body: &mut BodySource) -> Result<Box<Reader>, Error> {
        let repeatable = is_repeatable(&leg.method, &self.request.headers);
        let retries = self.request.retries.unwrap_or(self.config.retries);
        let route = self.config.proxies.route(&leg.target.origin)?;
        let key = leg.target.key(&self.config.tls, route);
        let mut attempt = 1;
        loop {
            let made_good = retries && repeatable && !(leg.has_body && body.is_some());
            let nth = Nth { attempt, made_good };
            let failure = match self.attempt(leg, &key, body, nth) {
                Ok(reader) => return Ok(reader),
                Err(failure) => failure,
            };
            let again = Again { repeatable, body_whole: body.is_replayable() };
            if !retries || !retry::is_due(&failure, again) {
                // "Not a byte went out" speaks of this leg; the ones before it are done.
                let safe = failure.retry_safe() && (self.repeatable || self.is_first(leg));
                return Err(failure.safe_to_retry(safe));
            }
            self.manager.pool().note_retry(failure.connection().unwrap_or(0), &key);
            attempt += 1;
        }
    }

    fn attempt(
        &self,
        leg: &Leg,
        key: &Arc<PoolKey>,
        body: &mut BodySource,
        nth: Nth,
    ) -> Result<Box<Reader>, Error> {
        let has_body = (leg.has_body && body.is_some()) || needs_length(&leg.method);
        let body = match has_body {
            true if leg.has_body => Some(body.open()?),
            true => Some(BodyReader::empty()),
            false => None,
        };
        let length = body.as_ref().map_or(BodyLength::None, BodyReader::length);
        let body_at_hand = body.as_ref().is_some_and(BodyReader::is_buffered);
        let prepared = self.prepared(leg, key, length, body_at_hand, nth)?;
        exchange::run(prepared, body)
    }

    /// Large values are put together and moved here: what never waits needs no stack that waits.
    #[inline(never)]
    fn prepared(
        &self,
        leg: &Leg,
        key: &Arc<PoolKey>,
        length: BodyLength,
        body_at_hand: bool,
        Nth { attempt, made_good }: Nth,
    ) -> Result<exchange::Prepared, Error> {
        on_thread_stack(|| {
            exchange::prepare(Order {
                manager: self.manager,
                key: Arc::clone(key),
                request: message(self.config, self.request, leg, self.mode, length)?,
                body_at_hand,
                timeouts: &self.timeouts,
                call: self.called,
                start: if attempt == 1 && self.is_first(leg) { self.start } else { Instant::now() },
                token: self.request.token.clone(),
                short: self.mode == ConnectionMode::CloseAfter,
                fresh: self.mode == ConnectionMode::Fresh || attempt > retry::ON_KEPT,
                attempt,
                repeatable: self.repeatable,
                made_good,
                max_head: self.config.max_head,
            })
        })
    }

    /// What a response asks for; its cookies are kept in any case.
    #[inline(never)] // As for `hand_out`.
    fn look(&self, leg: &Leg, reader: &Reader, most: u32, body_whole: bool) -> (u16, Next) {
        let Some(head) = reader.exchange().head() else { return (0, Next::HandOut) };
        if let Some(jar) = &self.config.jar {
            jar.store_from_response(&leg.target, head.fields());
        }
        // Most responses are none, and then nobody takes their heads apart.
        if most == 0 || !(300..400).contains(&head.status) {
            return (head.status, Next::HandOut);
        }
        let fields = head.fields().iter();
        let locations = fields.filter(|(name, _)| *name == http::header::LOCATION);
        let locations = locations.map(|(_, value)| value.as_slice());
        (head.status, leg.next(head.status, locations, body_whole))
    }

    /// The response, with its body if the request wants that.
    #[inline(never)] // Its frame may lie where that of the attempts was.
    fn hand_out(
        &self,
        reader: Box<Reader>,
        leg: Leg,
        history: Vec<Redirect>,
    ) -> Result<Response, Error> {
        let most = self.config.decode.then_some(self.config.max_codings);
        let content = Content::begin(reader, most)?;
        let mut response = Response::new(self.manager, content, leg.target, history);
        if let Some(at_most) = self.request.buffer_body {
            response.body().fetch(at_most).map_err(|error| self.in_body(error))?;
        }
        Ok(response)
    }

    /// A redirect that is not followed. The request itself went well, and so did its connection.
    fn refused(&self, mut reader: Box<Reader>, status: u16, what: String) -> Error {
        reader.close_politely();
        let exchange = reader.exchange();
        Error::new(Kind::RedirectRefused, what)
            .with_http_status(status)
            .on_connection(exchange.connection(), exchange.reused())
            .after_sending(Sent::All, exchange.bytes_sent(), true)
            .after_attempts(exchange.attempt())
            .safe_to_retry(self.repeatable)
    }

    /// What went wrong in a body that the call waited for: the server has done its work by then.
    fn in_body(&self, error: Error) -> Error {
        let safe = error.retry_safe() && self.repeatable;
        error.safe_to_retry(safe)
    }

    fn is_first(&self, leg: &Leg) -> bool {
        Arc::ptr_eq(&leg.target, &self.request.target)
    }
}
