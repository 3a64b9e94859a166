//! The seam with ureq: its connector, transport and resolver, over a lease.
//!
//! ureq asks a transport `is_open()` when an exchange ended well and the connection may be kept,
//! and then drops it. The answer is always "no", so that ureq's own pool stays empty and its
//! lock is not taken; the question itself is what tells us. A transport that is dropped
//! without being asked closes.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::Timeout;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use super::buffers::Exchanged;
use super::exchange::Exchange;
use super::head::{self, Facts, Look};
use crate::error::{Clock, Error, Kind, Phase};
use crate::limits::Deadline;
use crate::manager::{Lease, Reason};
use crate::net::Stop;
use crate::net::stream::Sending;

/// Resolving is part of dialling; for a kept connection there is nothing to resolve.
#[derive(Debug)]
struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

#[derive(Debug)]
struct LeaseConnector;

impl Connector for LeaseConnector {
    type Out = Seam;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Seam>, ureq::Error> {
        let exchange = CURRENT.with_borrow(Clone::clone).ok_or_else(stopped)?;
        let mut lease = exchange.acquire().ok_or_else(stopped)?;
        let secure = lease.stream().is_some_and(|stream| stream.is_tls());
        exchange.begin(Phase::Write);
        Ok(Some(Seam {
            exchange,
            lease: Some(lease),
            secure,
            buffers: Exchanged::take(),
            head: Head::Awaited { before: 0, answered: false },
            ended_well: false,
            unfit: false,
            window: Window::default(),
        }))
    }
}

/// Runs ureq for one exchange on this thread. Our connector finds the exchange where it is put here.
pub(super) fn run(
    exchange: &Arc<Exchange>,
    request: http::Request<ureq::SendBody<'_>>,
) -> Result<http::Response<ureq::Body>, ureq::Error> {
    /// Takes the exchange away again, also when a body reader panics.
    struct Seat(Option<Arc<Exchange>>);
    impl Drop for Seat {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    // A body reader may send a request of its own: the seat is given back to whoever had it.
    let _seat = Seat(CURRENT.replace(Some(Arc::clone(exchange))));
    AGENT.with(|agent| agent.run(request))
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Exchange>>> = const { RefCell::new(None) };
    /// One a thread: an agent has a lock of its own, which nobody shall wait for.
    static AGENT: ureq::Agent = agent();
}

fn agent() -> ureq::Agent {
    let config = Config::builder()
        .max_idle_connections(0)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_response_header_size(usize::MAX)
        .proxy(None)
        .user_agent("")
        .accept("")
        .accept_encoding("")
        .build();
    ureq::Agent::with_parts(config, LeaseConnector, NoResolver)
}

/// One exchange's connection as ureq sees it.
#[derive(Debug)]
struct Seam {
    exchange: Arc<Exchange>,
    lease: Option<Lease>,
    secure: bool,
    buffers: Exchanged,
    head: Head,
    /// ureq asked whether it is open: the exchange ended well.
    ended_well: bool,
    /// It can't serve another exchange, however well this one ends.
    unfit: bool,
    window: Window,
}

/// How far the response head is.
#[derive(Debug, PartialEq, Eq)]
enum Head {
    /// Not there. `before`: bytes of interim heads; `answered`: a final head waits for ureq.
    Awaited { before: usize, answered: bool },
    /// ureq has it; what comes is body.
    Delivered,
}

/// The minimum rate's window: what came in how much waiting.
#[derive(Debug, Default)]
struct Window {
    waited: Duration,
    bytes: u64,
}

impl Transport for Seam {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        // ureq tells the head of the request from its body by the clock it would use.
        let more = timeout.reason == Timeout::SendRequest && self.exchange.body_follows();
        let mut sent = 0;
        while sent < amount {
            if self.exchange.upload_cut() {
                return Ok(());
            }
            let deadline = self.exchange.step(Instant::now());
            let Some(stream) = self.lease.as_mut().and_then(Lease::stream) else {
                return Err(stopped());
            };
            match stream.send(&self.buffers.written(amount)[sent..], more, deadline) {
                Ok(Sending::Took(took)) => {
                    sent += took;
                    self.exchange.count_sent(took);
                }
                Ok(Sending::PeerSpeaks) => self.hear_out(None)?,
                Err(Stop::Io(error)) if is_broken(&error) => {
                    self.hear_out(Some(Stop::Io(error)))?
                }
                Err(stop) => return Err(self.fail(stop)),
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        match self.head {
            Head::Delivered => self.await_body(),
            Head::Awaited { answered: true, .. } => {
                self.head = Head::Delivered;
                self.await_body()
            }
            Head::Awaited { .. } if timeout.reason == Timeout::Await100 => {
                let patience = Deadline::after(Instant::now(), Some(*timeout.after), Clock::None);
                self.await_head(Some(patience))
            }
            Head::Awaited { .. } => {
                self.exchange.request_sent();
                self.await_head(None)
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.ended_well = true;
        false
    }

    fn is_tls(&self) -> bool {
        // Asked once, to be sure that https is not sent in the clear.
        self.secure
    }
}

impl Seam {
    /// Waits until a whole head is there and ureq can have it. Interim answers (RFC 9110 section
    /// 15.2) are taken out of its way. `patience` is the wait for 100 Continue.
    fn await_head(&mut self, patience: Option<Deadline>) -> Result<bool, ureq::Error> {
        let deadline = match patience {
            Some(patience) => self.exchange.until(patience),
            None => self.exchange.begin(Phase::Head),
        };
        loop {
            let Head::Awaited { before, .. } = self.head else { return Ok(true) };
            let have = self.buffers.unconsumed().len();
            match head::look(self.buffers.unconsumed()) {
                Look::Wrong(what) => return Err(self.refuse(Kind::Protocol, what)),
                Look::Incomplete => {
                    if before + have > self.exchange.max_head() {
                        return Err(self.too_large());
                    }
                }
                Look::Complete(facts) if before + facts.size > self.exchange.max_head() => {
                    return Err(self.too_large());
                }
                Look::Complete(facts) if facts.status == 100 && patience.is_some() => {
                    self.go_on(&facts);
                    return Ok(true);
                }
                Look::Complete(facts) if facts.status < 200 && facts.status != 101 => {
                    self.buffers.skip(facts.size);
                    self.head = Head::Awaited { before: before + facts.size, answered: false };
                    continue;
                }
                Look::Complete(facts) => {
                    return self.deliver(&facts);
                }
            }
            match self.fill(deadline) {
                Ok(0) => {
                    let what = if have + before == 0 {
                        "the peer closed the connection before any byte of the response"
                    } else {
                        "the peer closed the connection inside the head of the response"
                    };
                    return Err(self.refuse(Kind::PeerClosed, what));
                }
                Ok(_) => self.exchange.response_started(),
                Err(Stop::Deadline)
                    if patience.is_some() && self.exchange.armed() == Clock::None =>
                {
                    return Err(ureq::Error::Timeout(Timeout::Await100));
                }
                Err(stop) => return Err(self.fail(stop)),
            }
        }
    }

    /// 100 Continue: ureq knows it without header fields only, so it gets it without.
    fn go_on(&mut self, facts: &Facts) {
        const BARE: &[u8] = b"HTTP/1.1 100\r\n\r\n";
        if facts.size > BARE.len() {
            self.buffers.unconsumed_mut()[..BARE.len()].copy_from_slice(BARE);
            self.buffers.cut(BARE.len(), facts.size - BARE.len());
        }
        self.buffers.offer();
    }

    fn deliver(&mut self, facts: &Facts) -> Result<bool, ureq::Error> {
        self.unfit |= facts.ambiguous || facts.status == 101;
        let mut size = facts.size;
        if facts.folded {
            let folds = head::folds(&self.buffers.unconsumed()[..size]);
            for (at, length) in folds.into_iter().rev() {
                self.buffers.unconsumed_mut()[at] = b' ';
                self.buffers.cut(at + 1, length - 1);
                size -= length - 1;
            }
        }
        if facts.fields > MOST_FIELDS {
            let what = format!("the response head has {} header lines", facts.fields);
            return Err(self.refuse(Kind::TooLarge, &what));
        }
        if facts.fields > FIELDS_FOR_UREQ {
            self.set_aside(size)?;
        }
        self.head = Head::Awaited { before: 0, answered: true };
        self.buffers.offer();
        Ok(true)
    }

    /// Takes header lines that ureq has no room for out of its way; the exchange adds them again.
    fn set_aside(&mut self, size: usize) -> Result<(), ureq::Error> {
        let lines = head::surplus(&self.buffers.unconsumed()[..size], FIELDS_FOR_UREQ);
        let parsed = lines
            .iter()
            .map(|(at, length)| head::parse(&self.buffers.unconsumed()[*at..at + length]));
        let Some(fields) = parsed.collect::<Option<Vec<_>>>() else {
            return Err(self.refuse(Kind::Protocol, "malformed response: a header line is none"));
        };
        for (at, length) in lines.into_iter().rev() {
            self.buffers.cut(at, length);
        }
        self.exchange.set_aside(fields);
        Ok(())
    }

    fn await_body(&mut self) -> Result<bool, ureq::Error> {
        let now = Instant::now();
        let mut own = Deadline::after(now, self.exchange.limit(Clock::Read), Clock::Read);
        let rate = self.exchange.min_rate();
        if let Some((_, window)) = rate {
            let left = window.saturating_sub(self.window.waited);
            own = own.or(Deadline::after(now, Some(left), Clock::MinRate));
        }
        if let Some(polite) = self.exchange.polite_until() {
            own = own.or(Deadline { at: Some(polite), clock: Clock::None });
        }
        let deadline = self.exchange.until(own);
        let got = match self.fill(deadline) {
            Err(Stop::Deadline)
                if self.exchange.armed() == Clock::MinRate && !self.is_too_slow(rate, now) =>
            {
                return self.await_body();
            }
            other => other,
        };
        match got {
            // ureq knows whether the body may end here.
            Ok(0) => {
                self.exchange.peer_closed();
                Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
            }
            // Endless trailers or chunk extensions are the head's bound again.
            Ok(got) if self.exchange.count_framing(got) > self.exchange.max_head() as u64 => {
                let what = "the body's chunk framing or trailers are larger than a head may be";
                Err(self.refuse(Kind::TooLarge, what))
            }
            Ok(got) => {
                self.window.waited += now.elapsed();
                self.window.bytes += got as u64;
                if rate.is_some() && self.is_too_slow(rate, Instant::now()) {
                    return Err(self.fail(Stop::Deadline));
                }
                Ok(true)
            }
            Err(stop) => Err(self.fail(stop)),
        }
    }

    /// At the end of a window of waiting: whether too little came. A new window begins if not.
    fn is_too_slow(&mut self, rate: Option<(u64, Duration)>, since: Instant) -> bool {
        let Some((rate, window)) = rate else { return false };
        let waited = self.window.waited + since.elapsed();
        if waited < window {
            return false;
        }
        let wanted = u128::from(rate) * window.as_millis() / 1000;
        if u128::from(self.window.bytes) < wanted {
            self.exchange.min_rate_failed();
            return true;
        }
        self.window = Window::default();
        false
    }

    /// The peer speaks, or broke off, while we still send: it may have answered early (RFC 9110
    /// section 10.1.1 on large uploads). Then the rest of the upload is not sent, the answer counts,
    /// and the connection is of no further use.
    fn hear_out(&mut self, broken: Option<Stop>) -> Result<(), ureq::Error> {
        let heard = match self.lease.as_mut().and_then(Lease::stream) {
            Some(stream) => stream.try_read(self.buffers.room()),
            None => return Err(stopped()),
        };
        match heard {
            Ok(Some(got)) if got > 0 => {
                self.buffers.filled(got);
                self.exchange.response_started();
                self.exchange.cut_upload();
                self.unfit = true;
                Ok(())
            }
            Ok(Some(_)) if broken.is_none() => {
                let what = "the peer closed the connection before the request was sent";
                Err(self.refuse(Kind::PeerClosed, what))
            }
            Ok(None) if broken.is_none() => Ok(()),
            Err(stop) if broken.is_none() => Err(self.fail(stop)),
            _ => Err(self.fail(broken.unwrap_or(Stop::PeerClosed))),
        }
    }

    fn fill(&mut self, deadline: Option<Instant>) -> Result<usize, Stop> {
        let stream = self.lease.as_mut().and_then(Lease::stream).ok_or(Stop::Ended)?;
        let got = stream.read(self.buffers.room(), deadline)?;
        self.buffers.filled(got);
        Ok(got)
    }

    fn too_large(&mut self) -> ureq::Error {
        let what = format!("the response head is larger than {} bytes", self.exchange.max_head());
        self.refuse(Kind::TooLarge, &what)
    }

    fn refuse(&mut self, kind: Kind, what: &str) -> ureq::Error {
        self.exchange.fail_with(Error::new(kind, what));
        stopped()
    }

    fn fail(&mut self, stop: Stop) -> ureq::Error {
        self.exchange.fail(stop);
        stopped()
    }
}

impl Drop for Seam {
    fn drop(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        let exchange = &self.exchange;
        if let Some(reason) = exchange.failed_for() {
            return lease.close(reason);
        }
        if exchange.is_abandoned() {
            return lease.close(Reason::BodyLeftUnread);
        }
        if matches!(self.head, Head::Awaited { answered: false, .. }) {
            return lease.close(Reason::ProtocolError);
        }
        let well = if exchange.is_short() {
            lease.part(Reason::AskedByRequest)
        } else if !self.buffers.unconsumed().is_empty() {
            // Bytes that nobody asked for: they must never be read as the next response.
            lease.part(Reason::ProtocolError)
        } else if self.unfit || !self.ended_well {
            lease.part(Reason::AskedByResponse)
        } else {
            lease.give_back()
        };
        if !well {
            exchange.fail(Stop::Ended);
        }
    }
}

/// What ureq is told when it shall stop; the exchange knows why. (ureq takes some kinds of
/// I/O error for the end of a body; this is none of them.)
fn stopped() -> ureq::Error {
    io::Error::from(io::ErrorKind::Other).into()
}

/// ureq-proto has room for 128; those about framing stay with it whatever their number.
const FIELDS_FOR_UREQ: usize = 100;
/// More than any answer needs, whatever the bound in bytes is.
const MOST_FIELDS: usize = 4096;

fn is_broken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
