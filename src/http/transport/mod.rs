//! The seam with ureq: its connector, transport and resolver, over a lease.
//!
//! ureq asks a transport `is_open()` when an exchange ended well and the connection may be kept,
//! and then drops it. The answer is always "no", so that ureq's own pool stays empty and its
//! lock is not taken; the question itself is what tells us. A transport that is dropped
//! without being asked closes.

mod input;

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use ureq::Timeout;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

pub(super) use self::input::Stopped;
use self::input::Window;
use super::buffers::Exchanged;
use super::exchange::Exchange;
use super::proxied;
use crate::error::{Clock, Error, Kind};
use crate::limits::Deadline;
use crate::manager::{Lease, Reason};
use crate::net::Stop;
use crate::net::stream::Sending;
use crate::wait::{Until, take_turns};

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
        let exchange = CURRENT.take().ok_or_else(stopped)?;
        let mut lease = exchange.acquire().ok_or_else(stopped)?;
        let secure = lease.stream().is_some_and(|stream| stream.is_tls());
        Ok(Some(Seam {
            exchange,
            lease: Some(lease),
            secure,
            buffers: Exchanged::default(),
            head: Head::Awaited { before: 0, answered: false },
            ended_well: false,
            unfit: false,
            window: Window::default(),
        }))
    }
}

/// Runs ureq for one exchange. Our connector finds the exchange where it is put here, before
/// anything waits: other tasks of this thread may come this way then.
pub(super) fn run(
    exchange: &Arc<Exchange>,
    request: http::Request<ureq::SendBody<'_>>,
) -> Result<http::Response<ureq::Body>, ureq::Error> {
    CURRENT.set(Some(Arc::clone(exchange)));
    let answer = AGENT.with(|agent| agent.run(request));
    // Nobody came for it if ureq refused the request; whose it is by now is not known.
    CURRENT.with_borrow_mut(|current| {
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, exchange)) {
            *current = None;
        }
    });
    answer
}

/// Takes the connection out of a response whose body ureq has nothing to do with: one that has
/// a length, or ends with the connection. What is left of ureq goes.
pub(super) fn take_over(body: ureq::Body) -> Option<Seam> {
    HANDOVER.set(Some(None));
    drop(body);
    HANDOVER.take().flatten()
}

thread_local! {
    /// Where a transport goes that is dropped while somebody waits for it.
    static HANDOVER: RefCell<Option<Option<Seam>>> = const { RefCell::new(None) };
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

/// One exchange's connection as ureq sees it, and for a body without chunks as the reader does.
#[derive(Debug)]
pub(super) struct Seam {
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

impl Transport for Seam {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        // What goes out first is the head.
        let is_head = self.exchange.bytes_sent() == 0;
        let more = is_head && self.exchange.body_at_hand();
        let proxied = is_head
            .then(|| proxied::absolute(self.exchange.key(), self.buffers.written(amount)))
            .flatten();
        let amount = proxied.as_ref().map_or(amount, Vec::len);
        let mut sent = 0;
        while sent < amount {
            // A send that always finds room never waits, and so never looks at its deadline.
            if self.exchange.must_stop() {
                return Err(self.fail(Stop::Deadline));
            }
            if self.exchange.upload_cut() {
                return Ok(());
            }
            let exchange = &self.exchange;
            let Some(stream) = self.lease.as_mut().and_then(Lease::stream) else {
                return Err(stopped());
            };
            let bytes = proxied.as_deref().unwrap_or_else(|| self.buffers.written(amount));
            match stream.send(&bytes[sent..], more, &|| exchange.clocks().step()) {
                Ok(Sending::Took(took)) => {
                    sent += took;
                    self.exchange.count_sent(took);
                    take_turns();
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
                self.buffers.sent();
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
                self.buffers.swallow();
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

    /// Waits for bytes and takes them, into the buffers or straight to where they shall go.
    fn fill(&mut self, mut into: Option<&mut [u8]>, mut until: Until) -> Result<usize, Stop> {
        let stream = self.lease.as_mut().and_then(Lease::stream).ok_or(Stop::Ended)?;
        let mut looks_first = stream.may_hold_input();
        loop {
            if looks_first {
                let into = into.as_deref_mut();
                let direct = into.is_some();
                let place = into.unwrap_or_else(|| self.buffers.room());
                if let Some(got) = stream.try_read(place)? {
                    if !direct {
                        self.buffers.filled(got);
                    }
                    take_turns();
                    return Ok(got);
                }
                until = until.later();
            }
            self.buffers.rest();
            stream.await_input(until)?;
            looks_first = true;
        }
    }

    /// The exchange ended well: what becomes of the connection is decided when this is dropped.
    pub(super) fn ends_well(mut self) {
        self.ended_well = true;
    }

    /// Everything of it, for somebody else to hold.
    fn moved(&mut self) -> Option<Self> {
        Some(Self {
            exchange: Arc::clone(&self.exchange),
            lease: Some(self.lease.take()?),
            secure: self.secure,
            buffers: std::mem::take(&mut self.buffers),
            head: Head::Delivered,
            ended_well: false,
            unfit: self.unfit,
            window: std::mem::take(&mut self.window),
        })
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
        let waited_for =
            HANDOVER.try_with(|place| place.borrow().as_ref().is_some_and(Option::is_none));
        if waited_for == Ok(true)
            && let Some(moved) = self.moved()
        {
            return HANDOVER.set(Some(Some(moved)));
        }
        let Some(lease) = self.lease.take() else { return };
        let exchange = &self.exchange;
        if exchange.is_the_parents() {
            return lease.forget();
        }
        if let Some(reason) = exchange.failed_for() {
            return lease.close(reason);
        }
        if exchange.is_abandoned() {
            return lease.close(Reason::BodyLeftUnread);
        }
        if matches!(self.head, Head::Awaited { answered: false, .. }) || self.buffers.is_refused() {
            return lease.close(Reason::ProtocolError);
        }
        let now = Instant::now();
        let well = if exchange.is_short() {
            lease.part(Reason::AskedByRequest)
        } else if !self.buffers.unconsumed().is_empty() {
            // Bytes that nobody asked for: they must never be read as the next response.
            lease.part(Reason::ProtocolError)
        } else if self.unfit || !self.ended_well {
            lease.part(Reason::AskedByResponse)
        } else {
            lease.give_back(now)
        };
        if !well {
            exchange.fail(Stop::Ended);
        }
        exchange.finish(|| now);
    }
}

/// What ureq is told when it shall stop; the exchange knows why. (ureq takes some kinds of
/// I/O error for the end of a body; this is none of them.)
fn stopped() -> ureq::Error {
    io::Error::from(io::ErrorKind::Other).into()
}

fn is_broken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
