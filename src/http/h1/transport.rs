//! The seam between the message and the connection: what ureq's engine wants sent goes out over a
//! lease, what comes in is cut into heads and bodies, and what becomes of the connection is
//! decided when this is dropped.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use super::buffers::Exchanged;
use super::proxy_form;
use super::recv::{Awaited, Window};
use crate::error::Error;
use crate::http::exchange::Exchange;
use crate::manager::Lease;
use crate::net::Stop;
use crate::net::stream::{Sending, is_broken};
use crate::runtime::{WaitUntil, yield_if_due};
use crate::vocabulary::{CloseReason, Kind};

/// One exchange's connection, from the request to the end of the body. Threads: one at a time.
#[derive(Debug)]
pub(in crate::http) struct Seam {
    pub(super) exchange: Arc<Exchange>,
    pub(super) lease: Option<Lease>,
    pub(super) buffers: Exchanged,
    pub(super) head: Head,
    /// The whole request was sent, its body included. A connection on which a part is missing can't
    /// be used again: the server would read the next request as the missing part (RFC 9112 section 9.3).
    pub(super) request_is_whole: bool,
    /// Bytes that were sent since it was last looked whether the peer sends something.
    pub(super) unheard: u32,
    /// A final head that came while the body of the request was being sent.
    pub(super) early: Option<Box<[u8]>>,
    /// The body of the response was read to its end.
    pub(super) ended_well: bool,
    /// It can't serve another exchange, however well this one ends.
    pub(super) unfit: bool,
    pub(super) window: Window,
}

/// How far the response head is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// Not there. `before`: bytes of interim heads.
    Awaited { before: usize },
    /// What comes is body.
    Here,
}

/// There is no more to do; the exchange knows why.
#[derive(Debug)]
pub(in crate::http) struct Stopped;

/// What broke an exchange off.
#[derive(Debug)]
pub(super) enum Broken {
    /// The exchange knows.
    Stopped,
    /// What ureq's engine says of the message.
    Engine(ureq_proto::Error),
}

impl Seam {
    pub(super) fn new(exchange: &Arc<Exchange>, mut lease: Lease) -> Result<Self, Error> {
        let secure = lease.stream().is_some_and(|stream| stream.is_tls());
        if exchange.key().origin.secure && !secure {
            let what = "a connection in the clear for a https URL: a defect in hangup";
            return Err(exchange.fail_with(Error::new(Kind::TlsFailed, what)));
        }
        Ok(Self {
            exchange: Arc::clone(exchange),
            lease: Some(lease),
            buffers: Exchanged::default(),
            head: Head::Awaited { before: 0 },
            request_is_whole: false,
            unheard: 0,
            early: None,
            ended_well: false,
            unfit: false,
            window: Window::default(),
        })
    }

    /// Sends the first bytes of the output.
    pub(super) fn send(&mut self, amount: usize) -> Result<(), Stopped> {
        // What goes out first is the head.
        let is_head = self.exchange.bytes_sent() == 0;
        let more = is_head && self.exchange.body_at_hand();
        let proxied = is_head
            .then(|| proxy_form::absolute(self.exchange.key(), self.buffers.written(amount)))
            .flatten();
        let amount = proxied.as_ref().map_or(amount, Vec::len);
        let mut sent = 0;
        // The write timeout counts from the last byte that was taken, whatever the peer says meanwhile.
        let stalled = Cell::new(None);
        while sent < amount {
            // A send that always finds room never waits, and so never looks at its deadline.
            if let Err(stop) = self.exchange.check() {
                return Err(self.fail(stop));
            }
            if self.exchange.upload_cut() {
                return Ok(());
            }
            let listen = self.early.is_none() || self.buffers.unconsumed().len() < EARLY_BODY;
            let exchange = &self.exchange;
            let Some(stream) = self.lease.as_mut().and_then(Lease::stream) else {
                return Err(Stopped);
            };
            let bytes = proxied.as_deref().unwrap_or_else(|| self.buffers.written(amount));
            let until = || {
                let until = stalled
                    .get()
                    .map_or_else(|| exchange.clocks().step(), |until: WaitUntil| until.later());
                stalled.set(Some(until));
                until
            };
            match stream.send(&bytes[sent..], more, listen, &until) {
                Ok(Sending::Took(took)) => {
                    sent += took;
                    stalled.set(None);
                    self.exchange.count_sent(took);
                    yield_if_due();
                    self.unheard =
                        self.unheard.saturating_add(u32::try_from(took).unwrap_or(u32::MAX));
                    if listen && self.unheard >= LISTEN_EVERY {
                        self.listen()?;
                    }
                }
                Ok(Sending::PeerReadable) => self.hear_out(None)?,
                Err(Stop::Io(error)) if is_broken(&error) => {
                    self.hear_out(Some(Stop::Io(error)))?
                }
                Err(stop) => return Err(self.fail(stop)),
            }
        }
        Ok(())
    }

    /// Looks whether the peer sends something, in the middle of an upload that always finds room.
    #[inline(never)]
    fn listen(&mut self) -> Result<(), Stopped> {
        self.unheard = 0;
        match self.lease.as_mut().and_then(Lease::stream) {
            Some(stream) if stream.has_input() => self.hear_out(None),
            _ => Ok(()),
        }
    }

    /// The peer sends, or the connection broke, while the request is still being sent. Interim
    /// responses are passed over. A final response below 300 may stream while the request is sent, so
    /// sending goes on, and the beginning of the response's body is kept. Any other final response says
    /// that the rest of the request is not wanted: it is not sent, and the connection is not used again
    /// (RFC 9112 section 9.5).
    #[cold]
    #[inline(never)]
    fn hear_out(&mut self, broken: Option<Stop>) -> Result<(), Stopped> {
        yield_if_due();
        let heard = match self.lease.as_mut().and_then(Lease::stream) {
            Some(stream) => stream.try_read(self.buffers.room()),
            None => return Err(Stopped),
        };
        let has_begun = self.early.is_some() || !self.buffers.unconsumed().is_empty();
        match (heard, broken) {
            (Ok(Some(got)), broken) if got > 0 => {
                self.buffers.filled(got);
                self.exchange.response_started();
                self.take_early_heads()?;
                if broken.is_some() {
                    self.exchange.cut_upload();
                }
                Ok(())
            }
            (Ok(None), None) => Ok(()),
            // What is here of the response is all that there will be; the wait for it sees that.
            (Ok(_), _) if has_begun => {
                self.exchange.cut_upload();
                Ok(())
            }
            (Ok(_), None) => {
                let what = "the peer closed the connection before the request was sent";
                Err(self.refuse(Kind::PeerClosed, what))
            }
            // An alert says more than the failed write that followed it.
            (Err(stop @ Stop::Tls(_)), _) => Err(self.fail(stop)),
            (_, Some(broken)) => Err(self.fail(broken)),
            (Err(stop), None) => Err(self.fail(stop)),
        }
    }

    /// Takes the heads that are here whole, up to the final one.
    fn take_early_heads(&mut self) -> Result<(), Stopped> {
        while self.early.is_none() {
            let Some((size, before)) = self.whole_head(0)? else { return Ok(()) };
            let Some(Awaited::Head(head)) = self.take_head(size, before, false)? else { continue };
            let status = self.exchange.head().map_or(0, |head| head.status);
            if status >= 300 || self.unfit {
                self.exchange.cut_upload();
            }
            self.early = Some(head.into());
        }
        Ok(())
    }

    /// Waits for bytes and takes them, into the buffers or straight to where they shall go.
    pub(super) fn fill(
        &mut self,
        mut into: Option<&mut [u8]>,
        mut until: WaitUntil,
    ) -> Result<usize, Stop> {
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
                    yield_if_due();
                    return Ok(got);
                }
                until = until.later();
                // A peer that always has something to say, but no data, is never waited for.
                if until.has_come() {
                    return Err(Stop::Deadline(until.timeout));
                }
            }
            self.buffers.rest();
            stream.await_input(until)?;
            looks_first = true;
        }
    }

    /// The exchange ended well: what becomes of the connection is decided when this is dropped.
    pub(in crate::http) fn ends_well(mut self) {
        self.ended_well = true;
    }

    /// The head came and is understood.
    pub(super) fn head_is_here(&mut self) {
        self.head = Head::Here;
    }

    #[cold]
    pub(super) fn refuse(&mut self, kind: Kind, what: &str) -> Stopped {
        self.exchange.fail_with(Error::new(kind, what));
        Stopped
    }

    #[cold]
    pub(super) fn fail(&mut self, stop: Stop) -> Stopped {
        self.exchange.fail(stop);
        Stopped
    }

    /// What broke the exchange off, written down.
    #[cold]
    pub(super) fn broken(self, broken: &Broken) -> Error {
        match broken {
            Broken::Stopped => self.exchange.failed(),
            Broken::Engine(error) => self.exchange.translate(error),
        }
    }
}

impl From<Stopped> for Broken {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<ureq_proto::Error> for Broken {
    fn from(error: ureq_proto::Error) -> Self {
        Self::Engine(error)
    }
}

impl Drop for Seam {
    #[inline(never)] // Where it is dropped, nobody else needs its frame.
    fn drop(&mut self) {
        let Some(mut lease) = self.lease.take() else { return };
        let exchange = &self.exchange;
        if exchange.is_the_parents() {
            return lease.forget();
        }
        if let Some(reason) = exchange.failed_for() {
            return lease.close(reason);
        }
        if exchange.is_abandoned() {
            return lease.close(CloseReason::BodyLeftUnread);
        }
        if self.head != Head::Here {
            return lease.close(CloseReason::ProtocolError);
        }
        let now = Instant::now();
        let well = if exchange.is_short() {
            lease.part(CloseReason::AskedByRequest)
        } else if !self.buffers.unconsumed().is_empty() || lease.holds_input() {
            // Bytes behind the response: they must never be read as the next one.
            lease.part(CloseReason::ProtocolError)
        } else if self.unfit || !self.request_is_whole || !self.ended_well {
            lease.part(CloseReason::AskedByResponse)
        } else {
            lease.give_back(now)
        };
        if !well {
            exchange.fail(Stop::Ended);
        }
        exchange.finish(|| now);
    }
}

/// How much of an upload is sent between two looks at what the peer sends: a look is a system call.
const LISTEN_EVERY: u32 = 256 * 1024;
/// How much of a response's body is kept while the request is still being sent. A server that sends
/// more than this before it has read the request makes both sides wait, until the write timeout.
const EARLY_BODY: usize = 1024 * 1024;
