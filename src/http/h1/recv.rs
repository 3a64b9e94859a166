//! Receives a response: whole heads, and pieces of the body, within the timeouts and the minimum rate.

use std::time::Instant;

use super::codec::{HeadEvent, ReceivedHead, parse_head, plain_head, protocol_error};
use super::send::SentRequest;
use super::silence::{Awaited, first_look};
use super::transport::Transport;
use crate::error::Error;
use crate::http::exchange::Exchange;
use crate::manager::Lease;
use crate::net::Stop;
use crate::response_head::{self, BodyFraming, Look, RawHead};
use crate::runtime::{WaitUntil, yield_if_due};
use crate::timeouts::Deadline;
use crate::vocabulary::{Kind, Phase, Timeout, TraceType};

/// The head of a response, and how the body that follows it is framed.
pub(in crate::http) struct ResponseStart {
    pub(in crate::http) head: RawHead,
    pub(in crate::http) framing: BodyFraming,
    /// The connection is the caller's from here on: there is no body.
    pub(in crate::http) upgraded: bool,
}

/// Waits for the head of the response.
pub(in crate::http) fn recv_head(
    transport: &mut Transport,
    exchange: &mut Exchange,
    sent: SentRequest,
) -> Result<ResponseStart, Stop> {
    exchange.request_sent = transport.request_is_whole;
    transport.buffers.request_is_sent();
    let received = match sent.early_head {
        Some(head) => head,
        None => match transport.await_final_head(exchange)? {
            HeadEvent::Final(head) => head,
            HeadEvent::Interim { .. } => {
                return Err(protocol_error("malformed response: no head"));
            }
        },
    };
    response_start(transport, exchange, *received)
}

/// What the final head means for what follows it.
#[inline(never)] // Keeps its frame out of the wait for the head.
fn response_start(
    transport: &mut Transport,
    exchange: &Exchange,
    received: ReceivedHead,
) -> Result<ResponseStart, Stop> {
    exchange.shared().set_status_code(received.head.status);
    if !transport.interim.is_empty() {
        // An exchange has one response, so this is the only one.
        let _ = exchange.shared().interim.set(std::mem::take(&mut transport.interim));
    }
    if exchange.config.handover.is_accepted_by(&received.head, exchange.request_sent)? {
        // A connection that speaks another protocol has no body.
        let framing = BodyFraming::None;
        return Ok(ResponseStart { head: received.head, framing, upgraded: true });
    }
    let framing = received.framing()?;
    Ok(ResponseStart { head: received.head, framing, upgraded: false })
}

impl Transport {
    /// Waits for the final head, and looks at the connection if that takes long.
    #[inline]
    fn await_final_head(&mut self, exchange: &mut Exchange) -> Result<HeadEvent, Stop> {
        let until = exchange.timing().begin(Phase::Head);
        if !self.detects_loss {
            return self.await_head(exchange, until, false);
        }
        match self.await_head(exchange, first_look(until.now, until), false) {
            Err(Stop::Deadline(Timeout::None)) => self.await_late_head(exchange, until),
            outcome => outcome,
        }
    }

    /// The head did not come soon.
    #[cold]
    #[inline(never)]
    fn await_late_head(
        &mut self,
        exchange: &mut Exchange,
        until: WaitUntil,
    ) -> Result<HeadEvent, Stop> {
        if !exchange.response_started {
            self.look_in_silence(exchange, Awaited::Head, until.now, until)?;
        }
        self.await_head(exchange, until.later(), false)
    }

    /// Waits for the final head, or for 100 Continue if that is awaited. Other interim heads are skipped.
    pub(super) fn await_head(
        &mut self,
        exchange: &mut Exchange,
        mut until: WaitUntil,
        awaits_100: bool,
    ) -> Result<HeadEvent, Stop> {
        let (mut seen, mut slow) = (0, false);
        loop {
            let have = self.buffers.unconsumed().len();
            // Nothing is here yet: most heads are parsed once, when they have come whole.
            if have > 0
                && let Some(event) = self.next_head(exchange, seen)?
            {
                match event {
                    HeadEvent::Interim { status } if status != 100 || !awaits_100 => {}
                    event => return Ok(event),
                }
                seen = 0;
                continue;
            }
            seen = have;
            if slow {
                until = until.later();
            }
            match self.fill(None, until) {
                // What is not there can't be truncated: an end of TCP without close_notify is an end.
                Ok(0) | Err(Stop::PeerClosed) => return Err(no_head(have + self.interim_bytes)),
                Ok(_) => {
                    exchange.response_started = true;
                    slow = true;
                }
                Err(stop) => return Err(stop),
            }
        }
    }

    /// Looks for a whole head among the bytes that are here, of which the first `seen` were looked at
    /// before. Returns its size.
    #[inline(always)] // Once in the wait for a head, and once where that is rare.
    fn whole_head(&self, exchange: &Exchange, seen: usize) -> Result<Option<usize>, Stop> {
        let bytes = self.buffers.unconsumed();
        let most = exchange.config.max_head;
        if bytes.is_empty() {
            return Ok(None);
        }
        match response_head::look(bytes, seen) {
            Look::Wrong(what) => Err(protocol_error(what)),
            Look::Incomplete if self.interim_bytes + bytes.len() > most => Err(too_large(most)),
            Look::Incomplete => Ok(None),
            Look::Complete(size) if self.interim_bytes + size > most => Err(too_large(most)),
            Look::Complete(size) => Ok(Some(size)),
        }
    }

    /// Takes the head that is next, if it is here whole; the first `seen` bytes of it were looked at before.
    #[inline(never)] // It does not wait.
    pub(super) fn next_head(
        &mut self,
        exchange: &Exchange,
        seen: usize,
    ) -> Result<Option<HeadEvent>, Stop> {
        let (bytes, to) = (self.buffers.unconsumed(), exchange.config.response_to);
        // What came in pieces is not read from its beginning with each piece.
        if seen == 0
            && let Some((received, size)) = plain_head(bytes, to)
            && self.interim_bytes + size <= exchange.config.max_head
        {
            exchange.trace(|tracer| {
                tracer.head(TraceType::ResponseHead, exchange.connection, &bytes[..size]);
            });
            return Ok(Some(self.took_head(received, size)));
        }
        let Some(size) = self.whole_head(exchange, seen)? else { return Ok(None) };
        exchange.trace(|tracer| {
            let head = &self.buffers.unconsumed()[..size];
            tracer.head(TraceType::ResponseHead, exchange.connection, head);
        });
        let received = parse_head(&self.buffers.unconsumed()[..size], to)?;
        Ok(Some(self.took_head(received, size)))
    }

    /// A whole head of that size was read.
    fn took_head(&mut self, received: Box<ReceivedHead>, size: usize) -> HeadEvent {
        self.buffers.consume(size);
        match received.head.status {
            status @ (100 | 102..=199) => {
                self.interim_bytes += size;
                if self.interim.len() < MAX_INTERIM {
                    self.interim.push(received.head);
                }
                HeadEvent::Interim { status }
            }
            _ => {
                self.must_close |= received.must_close;
                if let (Some(said), Some(lease)) = (received.keep_alive, &self.lease) {
                    lease.limit_idle(said);
                }
                HeadEvent::Final(received)
            }
        }
    }

    /// More of a chunked body, into the buffers or straight to where it shall go; 0 if the peer closed.
    pub(super) fn await_framed(
        &mut self,
        into: Option<&mut [u8]>,
        exchange: &Exchange,
    ) -> Result<usize, Stop> {
        let got = self.await_bytes(into, exchange)?;
        self.count_framing(got, exchange)?;
        Ok(got)
    }

    /// [`await_framed`](Self::await_framed) of what is here already; `None` if nothing is. Doesn't wait.
    pub(super) fn framed_here(
        &mut self,
        into: Option<&mut [u8]>,
        exchange: &Exchange,
    ) -> Result<Option<usize>, Stop> {
        let got = match into {
            Some(into) => self.bytes_here(into)?,
            None => {
                let stream = self.lease.as_mut().and_then(Lease::stream).ok_or(Stop::Ended)?;
                let room = self.buffers.room();
                let size = room.len();
                let got = stream.try_read(room)?;
                self.buffers.filled(got.unwrap_or(0));
                self.took_here(got, size);
                if got.is_none() {
                    self.buffers.release_if_empty();
                }
                got
            }
        };
        self.count_framing(got.unwrap_or(0), exchange)?;
        Ok(got)
    }

    /// Endless trailers and chunk extensions are bounded like a head.
    #[inline]
    fn count_framing(&mut self, got: usize, exchange: &Exchange) -> Result<(), Stop> {
        if got > 0 && self.framing_bytes > exchange.config.max_head as u64 {
            let what = "the body's chunk framing or trailers are larger than a head may be";
            return Err(Error::new(Kind::TooLarge, what).into());
        }
        self.framing_bytes += got as u64;
        Ok(())
    }

    /// A piece of a body of which so much is left; 0 if the peer closed.
    pub(super) fn read_body(
        &mut self,
        into: &mut [u8],
        left: Option<u64>,
        exchange: &Exchange,
    ) -> Result<usize, Stop> {
        let most = left.map_or(into.len(), |left| usize::try_from(left).unwrap_or(into.len()));
        let size = into.len().min(most);
        let into = &mut into[..size];
        if self.buffers.unconsumed().is_empty() {
            if into.len() as u64 >= DIRECT_READ {
                return self.await_bytes(Some(into), exchange);
            }
            if self.await_bytes(None, exchange)? == 0 {
                return Ok(0);
            }
        }
        Ok(self.buffers.take_into(into))
    }

    /// [`read_body`](Self::read_body) of what is here already; `None` if nothing is. Doesn't wait.
    pub(super) fn read_body_here(
        &mut self,
        into: &mut [u8],
        left: Option<u64>,
    ) -> Result<Option<usize>, Stop> {
        let most = left.map_or(into.len(), |left| usize::try_from(left).unwrap_or(into.len()));
        let size = into.len().min(most);
        let into = &mut into[..size];
        if !self.buffers.unconsumed().is_empty() {
            return Ok(Some(self.buffers.take_into(into)));
        }
        self.bytes_here(into)
    }

    /// Whether more may be here after a read that was shorter than its room.
    pub(super) fn may_hold_more(&mut self) -> bool {
        !self.is_emptied
            || self.lease.as_mut().and_then(Lease::stream).is_some_and(|s| s.may_hold_input())
    }

    /// Reads bytes of the body that are here already; `None` if none are. Nothing is in the buffers.
    fn bytes_here(&mut self, into: &mut [u8]) -> Result<Option<usize>, Stop> {
        let stream = self.lease.as_mut().and_then(Lease::stream).ok_or(Stop::Ended)?;
        let got = stream.try_read(into)?;
        self.took_here(got, into.len());
        Ok(got)
    }

    fn took_here(&mut self, got: Option<usize>, room: usize) {
        let got = got.unwrap_or(0);
        self.is_emptied = got < room;
        // A window of the minimum rate counts all that came, and of the time only what was waited.
        self.rate_window.bytes += got as u64;
        yield_if_due();
    }

    /// Waits for bytes of the body within its timeouts; 0 if the peer closed.
    fn await_bytes(
        &mut self,
        mut into: Option<&mut [u8]>,
        exchange: &Exchange,
    ) -> Result<usize, Stop> {
        let timing = exchange.timing();
        let mut now = Instant::now();
        let mut read = Deadline::after(now, timing.limit(Timeout::Read), Timeout::Read);
        if self.drain_deadline.is_some() {
            read = read.or(Deadline { at: self.drain_deadline, timeout: Timeout::None });
        }
        let Some((rate, window)) = timing.min_rate() else {
            return self.fill(into, WaitUntil::of(timing.until(read), now));
        };
        loop {
            let left = window.saturating_sub(self.rate_window.waited);
            let own = read.or(Deadline::after(now, Some(left), Timeout::MinRate));
            let got = self.fill(into.as_deref_mut(), WaitUntil::of(timing.until(own), now));
            let later = Instant::now();
            self.rate_window.waited += later.saturating_duration_since(now);
            self.rate_window.bytes += *got.as_ref().unwrap_or(&0) as u64;
            now = later;
            if self.rate_window.waited >= window && self.rate_window.is_slower_than(rate, window) {
                return Err(Stop::Deadline(Timeout::MinRate));
            }
            match got {
                // A window ended that was fast enough.
                Err(Stop::Deadline(Timeout::MinRate)) => {}
                other => return other,
            }
        }
    }
}

/// The peer closed after so many bytes of a head.
#[cold]
#[inline(never)]
fn no_head(bytes: usize) -> Stop {
    let what = match bytes {
        0 => "the peer closed the connection before any byte of the response",
        _ => "the peer closed the connection inside the head of the response",
    };
    Error::new(Kind::PeerClosed, what).into()
}

#[cold]
fn too_large(most: usize) -> Stop {
    Error::new(Kind::TooLarge, format!("the response head is larger than {most} bytes")).into()
}

/// How many interim heads are kept for the caller. Servers send one or two; all of them together are no larger
/// than a head may be.
const MAX_INTERIM: usize = 100;
/// Reads of this size and more go straight into the caller's buffer; smaller ones are served
/// from ours, so that a caller who reads byte by byte does not make a system call for each.
const DIRECT_READ: u64 = 16 * 1024;
