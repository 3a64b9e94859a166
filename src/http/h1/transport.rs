//! One exchange's connection, from the request to the end of the response's body: sends bytes,
//! receives bytes, and gives the lease back or closes it. It does not know how a message is written.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::buffers::IoBuffers;
use super::codec::{HeadEvent, ReceivedHead};
use super::min_rate::RateWindow;
use super::silence::{Awaited, first_look, wait_in_silence};
use crate::error::Error;
use crate::http::exchange::Exchange;
use crate::http::request_body::BodyReader;
use crate::http::timing::Timing;
use crate::manager::Lease;
use crate::net::Stop;
use crate::net::socket::InUse;
use crate::net::stream::{Sending, Stream, is_broken};
use crate::response_head::RawHead;
use crate::runtime::{WaitUntil, yield_if_due};
use crate::timeouts::Deadline;
use crate::vocabulary::{CloseReason, Kind, Timeout, TraceType};

/// Threads: one at a time. Dropped before [`finish`](Self::finish) or [`close`](Self::close), it closes
/// the connection.
pub(in crate::http) struct Transport {
    /// `None` after the end of the exchange.
    pub(super) lease: Option<Lease>,
    pub(super) buffers: IoBuffers,
    /// Bytes of interim heads, which count as part of the head.
    pub(super) interim_bytes: usize,
    /// The first of those heads.
    pub(super) interim: Vec<RawHead>,
    /// The whole request was sent, its body included. A connection on which a part is missing can't
    /// be used again: the server would read the next request as the missing part (RFC 9112 section 9.3).
    pub(super) request_is_whole: bool,
    /// The peer does not want the rest of the request's body.
    pub(super) upload_cut: bool,
    /// What was sent last found room without a wait, which was made by what moved then.
    moved_at: Option<Instant>,
    /// Bytes that were sent since it was last checked whether the peer sends something.
    unchecked: u32,
    /// A final head that came while the body of the request was being sent.
    pub(super) early_head: Option<Box<ReceivedHead>>,
    /// The connection can't serve another exchange, however well this one ends.
    pub(super) must_close: bool,
    pub(super) rate_window: RateWindow,
    /// Bytes of chunk framing and trailers that came since the last byte of the body.
    pub(super) framing_bytes: u64,
    /// The last read had room for more than came.
    pub(super) is_emptied: bool,
    /// A long wait ends for a look at what the system knows of the connection; see [`silence`](super::silence).
    pub(super) detects_loss: bool,
    /// Reads of the body end at this time; see [`drain`](crate::http::drain).
    pub(super) drain_deadline: Option<Instant>,
}

impl Transport {
    pub(in crate::http) fn new(exchange: &Exchange, mut lease: Lease) -> Result<Self, Error> {
        let secure = lease.stream().is_some_and(|stream| stream.is_tls());
        if exchange.config.key.origin.secure && !secure {
            let what = "a connection in the clear for a https URL: a defect in hangup";
            return Err(exchange.fail(Error::new(Kind::TlsFailed, what).into()));
        }
        Ok(Self {
            lease: Some(lease),
            buffers: IoBuffers::default(),
            interim_bytes: 0,
            interim: Vec::new(),
            request_is_whole: false,
            upload_cut: false,
            moved_at: None,
            unchecked: 0,
            early_head: None,
            must_close: false,
            rate_window: RateWindow::default(),
            framing_bytes: 0,
            is_emptied: false,
            detects_loss: exchange.config.detects_loss,
            drain_deadline: None,
        })
    }

    /// Sends a part of the output and then these bytes of the body, or less if the peer does not want the rest.
    /// `body_follows`: of a head alone, that the body comes in the next call. Returns how many were sent.
    pub(super) fn send(
        &mut self,
        exchange: &mut Exchange,
        output: Range<usize>,
        body: &[u8],
        body_follows: bool,
    ) -> Result<usize, Stop> {
        // What goes out first is the head.
        let is_head = exchange.bytes_sent == 0;
        exchange.trace(|tracer| {
            let bytes = self.buffers.written(output.clone());
            match is_head {
                true => tracer.head(TraceType::RequestHead, exchange.connection, bytes),
                false if bytes.is_empty() => {}
                false => tracer.body(TraceType::RequestBody, exchange.connection, bytes),
            }
            if !body.is_empty() {
                tracer.body(TraceType::RequestBody, exchange.connection, body);
            }
        });
        let amount = output.len() + body.len();
        let mut sent = 0;
        // The write timeout counts from the last byte that was taken, whatever the peer sends meanwhile.
        let stalled: Cell<Option<Stall>> = Cell::new(None);
        let moved_at = Cell::new(self.moved_at.take());
        while sent < amount {
            // A send that always finds room never waits, and so never reaches its deadline.
            exchange.check()?;
            if self.upload_cut {
                return Ok(sent);
            }
            let listen =
                self.early_head.is_none() || self.buffers.unconsumed().len() < MAX_EARLY_BODY;
            let Some(stream) = self.lease.as_mut().and_then(Lease::stream) else {
                return Err(Stop::Ended);
            };
            let first = self.buffers.written((output.start + sent).min(output.end)..output.end);
            let rest = &body[sent.saturating_sub(output.len())..];
            let timing = exchange.timing();
            let looks = self.detects_loss;
            let until = |moved: bool, socket: &InUse<'_>| {
                let stall = match stalled.get() {
                    Some(stall) if !moved => stall.later(),
                    stall => {
                        let since = stall.and_then(|stall| stall.moved_at).or(moved_at.take());
                        Stall::begin(timing, since, looks, socket.queued())
                    }
                };
                stalled.set(Some(stall));
                stall.until_look()
            };
            match stream.send(first, rest, body_follows, listen, &until) {
                Ok(Sending::Took(took)) => {
                    sent += took;
                    if let Some(at) = stalled.take().and_then(|stall| stall.moved_at) {
                        moved_at.set(Some(at));
                    }
                    exchange.bytes_sent += took as u64;
                    yield_if_due();
                    let took = u32::try_from(took).unwrap_or(u32::MAX);
                    self.unchecked = self.unchecked.saturating_add(took);
                    if listen && self.unchecked >= CHECK_INTERVAL {
                        self.check_input(exchange)?;
                    }
                }
                Ok(Sending::Held(took)) => {
                    sent += took;
                    exchange.bytes_sent += took as u64;
                    stalled.set(self.stalled(exchange, listen, stalled.get())?);
                }
                Ok(Sending::PeerReadable) => self.check_early_response(exchange, None)?,
                Err(Stop::Io(error)) if is_broken(&error) => {
                    self.check_early_response(exchange, Some(Stop::Io(error)))?;
                }
                Err(Stop::Deadline(Timeout::None | Timeout::Write)) => {
                    stalled.set(self.stalled(exchange, listen, stalled.get())?);
                }
                Err(stop) => return Err(stop),
            }
        }
        self.moved_at = moved_at.get();
        Ok(sent)
    }

    /// Goes on with a long wait by a look at what the system knows of the connection.
    #[cold]
    pub(super) fn look_in_silence(
        &mut self,
        exchange: &Exchange,
        awaited: Awaited,
        began: Instant,
        until: WaitUntil,
    ) -> Result<(), Stop> {
        let lease = self.lease.as_mut().ok_or(Stop::Ended)?;
        self.detects_loss = wait_in_silence(lease, exchange, awaited, began, until)?;
        Ok(())
    }

    /// There was no room to send for so long that it is time to look why, or until the write timeout.
    #[cold]
    #[inline(never)]
    fn stalled(
        &mut self,
        exchange: &Exchange,
        listen: bool,
        stall: Option<Stall>,
    ) -> Result<Option<Stall>, Stop> {
        let Some(stall) = stall.map(Stall::later) else { return Ok(None) };
        if !stall.until.has_come() {
            let awaited = Awaited::Room { listen };
            match self.look_in_silence(exchange, awaited, stall.began, stall.until) {
                Ok(()) => return Ok(Some(Stall { looks: self.detects_loss, ..stall })),
                Err(Stop::Deadline(Timeout::Write)) => {}
                Err(stop) => return Err(stop),
            }
        }
        match self.moved_meanwhile(exchange, stall) {
            Some(since) => Ok(Some(since)),
            None => Err(Stop::Deadline(stall.until.timeout)),
        }
    }

    /// The system reports room only when much of its buffer is free (a third of it on Linux, of four megabytes), which takes
    /// minutes on a slow path. So the write timeout counts from the last time at which a segment left the buffer.
    fn moved_meanwhile(&mut self, exchange: &Exchange, stall: Stall) -> Option<Stall> {
        let stream = self.stream()?;
        let queued = stream.queued()?;
        let info = stream.tcp_info().unwrap_or_default();
        // A peer that reads nothing gets the rest of its window some time later, by a probe (RFC 9293 section 3.8.6.1): less than
        // a segment.
        let least = info.send_mss.max(1);
        let moved = stall.queued?.saturating_sub(queued);
        let limit = exchange.timing().limit(Timeout::Write)?;
        if stall.until.timeout != Timeout::Write || moved < least || limit < SHORTEST_COUNTED {
            return None;
        }
        let now = Instant::now();
        // A byte left it when the peer acknowledged it, at the latest with its last acknowledgement.
        let ago = info.last_ack_received;
        let began = now.checked_sub(ago).map_or(stall.began, |last| last.max(stall.began));
        let until = exchange.timing().step_since(began, now);
        let (looks, queued, moved_at) = (stall.looks, Some(queued), Some(began));
        (!until.has_come()).then_some(Stall { began, until, looks, queued, moved_at })
    }

    /// Waits until the body of the request has more, or until that time; returns earlier if the peer sends something,
    /// which may end the upload. The time belongs to no timeout but that of the whole request.
    #[cold]
    #[inline(never)]
    pub(super) fn await_more(
        &mut self,
        exchange: &mut Exchange,
        body: Option<&BodyReader<'_>>,
        at: Option<Instant>,
    ) -> Result<(), Stop> {
        let shared = Arc::clone(exchange.shared());
        let wake = shared.register_wake();
        wake.clear();
        let other = body.and_then(|body| body.arm(&wake));
        exchange.check()?;
        // Nothing is in them, and the wait may be long.
        self.buffers.request_is_sent();
        self.buffers.release_if_empty();
        let listen = self.early_head.is_none() || self.buffers.unconsumed().len() < MAX_EARLY_BODY;
        let now = Instant::now();
        let until = exchange.timing().until(Deadline { at, timeout: Timeout::None });
        let Some(stream) = self.lease.as_mut().and_then(Lease::stream) else {
            return Err(Stop::Ended);
        };
        match stream.await_beside(listen, &wake, other.as_ref(), WaitUntil::of(until, now)) {
            Ok(true) => self.check_early_response(exchange, None),
            Ok(false) => Ok(()),
            Err(Stop::Deadline(Timeout::None)) => Ok(()),
            Err(stop) => Err(stop),
        }
    }

    /// Checks whether the peer sends something, in the middle of an upload that always finds room.
    #[inline(never)]
    fn check_input(&mut self, exchange: &mut Exchange) -> Result<(), Stop> {
        self.unchecked = 0;
        match self.lease.as_mut().and_then(Lease::stream) {
            Some(stream) if stream.has_input() => self.check_early_response(exchange, None),
            _ => Ok(()),
        }
    }

    /// The peer sends, or the connection broke, while the request is still being sent. Interim
    /// responses are skipped. A final response below 300 may stream while the request is sent, so
    /// sending goes on, and the beginning of the response's body is kept. Any other final response means
    /// that the rest of the request is not wanted: it is not sent, and the connection is not used again
    /// (RFC 9112 section 9.5).
    #[cold]
    #[inline(never)]
    fn check_early_response(
        &mut self,
        exchange: &mut Exchange,
        broken: Option<Stop>,
    ) -> Result<(), Stop> {
        yield_if_due();
        let read = match self.lease.as_mut().and_then(Lease::stream) {
            Some(stream) => stream.try_read(self.buffers.room()),
            None => return Err(Stop::Ended),
        };
        let has_begun = self.early_head.is_some() || !self.buffers.unconsumed().is_empty();
        match (read, broken) {
            (Ok(Some(got)), broken) if got > 0 => {
                self.buffers.filled(got);
                exchange.response_started = true;
                self.take_early_heads(exchange)?;
                self.upload_cut |= broken.is_some();
                Ok(())
            }
            (Ok(None), None) => Ok(()),
            // What is here of the response is all that there will be; the wait for its head finds that.
            (Ok(_), _) if has_begun => {
                self.upload_cut = true;
                Ok(())
            }
            (Ok(_), None) => {
                let what = "the peer closed the connection before the request was sent";
                Err(Error::new(Kind::PeerClosed, what).into())
            }
            // The same, if the read is what finds that the connection broke.
            (Err(Stop::Io(error)), _) if has_begun && is_broken(&error) => {
                self.upload_cut = true;
                Ok(())
            }
            // An alert explains more than the failed write that followed it.
            (Err(stop @ Stop::Tls(_)), _) => Err(stop),
            (_, Some(broken)) => Err(broken),
            (Err(stop), None) => Err(stop),
        }
    }

    /// Takes the heads that are here whole, up to the final one.
    fn take_early_heads(&mut self, exchange: &Exchange) -> Result<(), Stop> {
        while self.early_head.is_none() {
            let head = match self.next_head(exchange, 0)? {
                None => return Ok(()),
                Some(HeadEvent::Interim { .. }) => continue,
                Some(HeadEvent::Final(head)) => head,
            };
            self.upload_cut |= head.head.status >= 300 || self.must_close;
            self.early_head = Some(head);
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
        let mut waits = stream.may_wait_in_read(until);
        let mut reads_first = waits || stream.may_hold_input();
        loop {
            if reads_first {
                let into = into.as_deref_mut();
                let direct = into.is_some();
                let place = into.unwrap_or_else(|| self.buffers.room());
                let room = place.len();
                let read = match std::mem::take(&mut waits) {
                    true => stream.read_waiting(place)?,
                    false => stream.try_read(place)?,
                };
                if let Some(got) = read {
                    self.is_emptied = got < room;
                    if !direct {
                        self.buffers.filled(got);
                    }
                    yield_if_due();
                    return Ok(got);
                }
                until = until.later();
                // A peer that always sends something, but no data, is never waited for.
                if until.has_come() {
                    return Err(Stop::Deadline(until.timeout));
                }
            }
            self.buffers.release_if_empty();
            stream.await_input(until)?;
            reads_first = true;
        }
    }

    /// The response was read to its end: gives the connection back, or closes it if it can't serve
    /// another exchange.
    ///
    /// # Errors
    /// The exchange was ended before; the connection is closed.
    pub(in crate::http) fn finish(
        &mut self,
        exchange: &Exchange,
        is_reusable: bool,
    ) -> Result<(), Stop> {
        let Some(mut lease) = self.lease.take() else { return Ok(()) };
        let now = Instant::now();
        let close = if exchange.config.close_after {
            Some(CloseReason::AskedByRequest)
        } else if !self.buffers.unconsumed().is_empty() || lease.holds_input() {
            // Bytes behind the response: they must never be read as the next one.
            Some(CloseReason::ProtocolError)
        } else if self.must_close || !self.request_is_whole || !is_reusable {
            Some(CloseReason::AskedByResponse)
        } else {
            None
        };
        exchange.trace(|tracer| match close {
            Some(reason) => tracer.info(lease.id(), &format!("connection closed: {reason}")),
            None => tracer.info(lease.id(), "connection kept for the next request"),
        });
        let first = match close {
            Some(reason) => lease.close_cleanly(reason),
            None => lease.give_back(now),
        };
        if !first {
            return Err(Stop::Ended);
        }
        exchange.finish(|| now);
        Ok(())
    }

    /// The connection is handed over: it is listed as that.
    pub(in crate::http) fn mark_upgraded(&self) {
        if let Some(lease) = &self.lease {
            lease.mark_upgraded();
        }
    }

    /// Takes the lease, and the bytes that came with the head: they belong to the protocol that follows.
    pub(in crate::http) fn hand_over(&mut self) -> Option<(Lease, Vec<u8>)> {
        let lease = self.lease.take()?;
        let early = self.buffers.unconsumed().to_vec();
        self.buffers.consume(early.len());
        Some((lease, early))
    }

    /// The connection's bytes, while it has the lease.
    #[cold]
    pub(in crate::http) fn stream(&mut self) -> Option<&Stream> {
        self.lease.as_mut().and_then(Lease::stream).map(|stream| &*stream)
    }

    pub(in crate::http) fn close(&mut self, reason: CloseReason) {
        if let Some(lease) = self.lease.take() {
            lease.close(reason);
        }
    }
}

/// A time in which nothing could be sent.
#[derive(Clone, Copy)]
struct Stall {
    began: Instant,
    /// When the write timeout runs out.
    until: WaitUntil,
    /// Whether it is looked at why, when it is long.
    looks: bool,
    /// Bytes that waited in the system when it began.
    queued: Option<u32>,
    /// When a segment left the buffer, if that is why it is not over, and nothing was waited for since.
    moved_at: Option<Instant>,
}

impl Stall {
    /// It begins now, or began at an earlier time.
    fn begin(timing: &Timing, since: Option<Instant>, looks: bool, queued: Option<u32>) -> Self {
        let now = Instant::now();
        let began = since.unwrap_or(now);
        let until = timing.step_since(began, now);
        Self { began, until, looks, queued, moved_at: None }
    }

    /// For the next wait of it.
    fn later(self) -> Self {
        Self { until: self.until.later(), moved_at: None, ..self }
    }

    /// The time of the look, if that comes before the timeout.
    fn until_look(self) -> WaitUntil {
        if self.looks { first_look(self.began, self.until) } else { self.until }
    }
}

/// In a shorter write timeout, a segment may leave the buffer to a peer that reads nothing: acknowledgements are delayed, and
/// what the peer's system had no memory for is sent again.
const SHORTEST_COUNTED: Duration = Duration::from_secs(1);
/// How much of an upload is sent between two checks for input: a check is a system call.
const CHECK_INTERVAL: u32 = 1024 * 1024;
/// How much of a response's body is kept while the request is still being sent. A server that sends
/// more than this before it has read the request makes both sides wait, until the write timeout.
const MAX_EARLY_BODY: usize = 1024 * 1024;
