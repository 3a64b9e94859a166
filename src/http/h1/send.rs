//! Sends a request: its head, and its body as the peer wants it.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::codec::{
    AfterHead, Await100Continue, BodyEncoder, HeadEvent, Message, ReceivedHead, no_body_to_send,
};
use super::transport::Transport;
use crate::http::exchange::Exchange;
use crate::http::rate::RateLimit;
use crate::http::request_body::BodyReader;
use crate::net::Stop;
use crate::runtime::{WaitUntil, is_on_fiber};
use crate::timeouts::Deadline;
use crate::transfer::Transfer;
use crate::vocabulary::Timeout;

/// A request that was sent, and the head of its response if that came already.
pub(in crate::http) struct SentRequest {
    pub(super) early_head: Option<Box<ReceivedHead>>,
}

/// Sends a request without a body.
#[inline(never)] // Its frame is gone before the wait for the response.
pub(in crate::http) fn send_request(
    transport: &mut Transport,
    exchange: &mut Exchange,
    message: Message,
) -> Result<SentRequest, Stop> {
    match send_head(transport, exchange, message)? {
        AfterHead::Response => Ok(SentRequest { early_head: None }),
        AfterHead::Body(_) | AfterHead::Await100(_) => Err(no_body_to_send()),
    }
}

/// Sends a request with a body, if the peer wants that.
#[inline(never)] // Few requests have a body, and all would have its frame.
pub(in crate::http) fn send_request_with_body(
    transport: &mut Transport,
    exchange: &mut Exchange,
    message: Message,
    body: &mut BodyReader<'_>,
) -> Result<SentRequest, Stop> {
    body.check_announced_empty(exchange.shared())?;
    if message.body_follows && body.in_memory().is_some() {
        // One call sends the head and the beginning of the body.
        let head = write_head(transport, exchange, &message)?;
        return match message.head_sent()? {
            AfterHead::Body(encoder) => send_body(transport, exchange, encoder, body, head),
            AfterHead::Response | AfterHead::Await100(_) => Err(no_body_to_send()),
        };
    }
    match send_head(transport, exchange, message)? {
        AfterHead::Response => Ok(SentRequest { early_head: None }),
        AfterHead::Body(encoder) => send_body(transport, exchange, encoder, body, 0),
        AfterHead::Await100(waiting) => await_continue(transport, exchange, waiting, body),
    }
}

/// Nothing is sent of a head that is larger than it may be.
fn send_head(
    transport: &mut Transport,
    exchange: &mut Exchange,
    message: Message,
) -> Result<AfterHead, Stop> {
    let amount = write_head(transport, exchange, &message)?;
    transport.send(exchange, 0..amount, &[], message.body_follows)?;
    let after = message.head_sent()?;
    transport.request_is_whole = matches!(after, AfterHead::Response);
    Ok(after)
}

/// Returns how long it is.
fn write_head(
    transport: &mut Transport,
    exchange: &Exchange,
    message: &Message,
) -> Result<usize, Stop> {
    let buffers = &mut transport.buffers;
    message.write_head(&exchange.config, |size| buffers.output_for(size))
}

/// Waits for 100 Continue, but not for long (RFC 9110 section 10.1.1).
fn await_continue(
    transport: &mut Transport,
    exchange: &mut Exchange,
    waiting: Await100Continue,
    body: &mut BodyReader<'_>,
) -> Result<SentRequest, Stop> {
    let now = Instant::now();
    let transfer = exchange.config.transfer.as_ref();
    let wait = transfer.and_then(|transfer| transfer.expect_continue).unwrap_or(CONTINUE_WAIT);
    let own = Deadline::after(now, Some(wait), Timeout::None);
    let until = WaitUntil::of(exchange.timing().until(own), now);
    let head = match transport.await_head(exchange, until, true) {
        Ok(HeadEvent::Final(head)) => Some(head),
        // The wait belongs to no timeout of the request: after it the body is sent all the same.
        Ok(HeadEvent::Interim { .. }) | Err(Stop::Deadline(Timeout::None)) => None,
        Err(stop) => return Err(stop),
    };
    match waiting.proceed(head.as_deref())? {
        // The announced body is not sent, so the request stays incomplete.
        AfterHead::Response => Ok(SentRequest { early_head: head }),
        AfterHead::Body(encoder) => send_body(transport, exchange, encoder, body, 0),
        AfterHead::Await100(_) => Err(no_body_to_send()),
    }
}

/// `head`: how much of the output is the head, which is sent together with the first bytes of a body in memory.
fn send_body(
    transport: &mut Transport,
    exchange: &mut Exchange,
    mut encoder: BodyEncoder,
    body: &mut BodyReader<'_>,
    mut head: usize,
) -> Result<SentRequest, Stop> {
    let transfer = exchange.config.transfer.clone();
    let mut pace = Pace::begin(transfer.as_ref());
    let mut large = body.is_large_file();
    while !encoder.is_complete() {
        let most = match &pace {
            None => usize::MAX,
            Some(pace) => pace.before_piece(transport, exchange)?,
        };
        // The peer does not want the rest: it is neither read nor sent.
        if transport.upload_cut {
            break;
        }
        let sent = if !encoder.is_chunked() && body.in_memory().is_some() {
            let head = std::mem::take(&mut head);
            send_from_memory(transport, exchange, &mut encoder, body, head, most)?
        } else {
            let Some((output, got)) =
                read_piece(transport, exchange, &mut encoder, body, &mut large, most)?
            else {
                transport.await_more(exchange, Some(body), None)?;
                large = false;
                continue;
            };
            transport.send(exchange, output, &[], false)?.min(got)
        };
        if let Some(pace) = &mut pace {
            pace.after_piece(sent);
        }
    }
    transport.request_is_whole = !transport.upload_cut;
    Ok(SentRequest { early_head: transport.early_head.take() })
}

/// Sends a piece of a body in memory from where it is, behind so many bytes of the head. Returns how much of the body was
/// sent.
#[inline(never)] // Keeps its frame out of the waits of other bodies.
fn send_from_memory(
    transport: &mut Transport,
    exchange: &mut Exchange,
    encoder: &mut BodyEncoder,
    body: &mut BodyReader<'_>,
    head: usize,
    most: usize,
) -> Result<usize, Stop> {
    let Some(bytes) = body.in_memory() else { return Ok(0) };
    // With the head, so that the pieces of TLS are whole records.
    let largest = if is_on_fiber() { FIBER_PIECE } else { THREAD_PIECE };
    let piece = &bytes[..bytes.len().min(most).min(largest - head.min(largest / 2))];
    let sent = transport.send(exchange, 0..head, piece, false)?;
    let size = piece.len();
    body.sent(size);
    encoder.count(size)?;
    Ok(sent.saturating_sub(head))
}

/// Reads a piece of the body into the output, framed as it is sent. Returns where it is there, and how much of it is of the
/// body; `None` if the body has nothing for now.
#[inline(never)] // Keeps its frame out of the wait for room.
fn read_piece(
    transport: &mut Transport,
    exchange: &Exchange,
    encoder: &mut BodyEncoder,
    body: &mut BodyReader<'_>,
    large: &mut bool,
    most: usize,
) -> Result<Option<(Range<usize>, usize)>, Stop> {
    let is_chunked = encoder.is_chunked();
    let buffer = transport.buffers.upload(*large);
    let room = match is_chunked {
        true => BodyEncoder::chunk_data(buffer.len()),
        false => 0..buffer.len(),
    };
    let part = room.start..room.end.min(room.start.saturating_add(most));
    let Some(got) = body.read(buffer, part, exchange.shared())? else { return Ok(None) };
    let output = match (is_chunked, got) {
        (true, 0) => 0..encoder.write_last_chunk(buffer)?,
        (true, _) => BodyEncoder::frame_chunk(buffer, got),
        (false, _) => {
            encoder.count(got)?;
            0..got
        }
    };
    *large |= got == room.len();
    Ok(Some((output, got)))
}

/// What few uploads have: a maximum rate, and a handle that counts them.
struct Pace {
    rate: Option<RateLimit>,
    transfer: Arc<Transfer>,
}

impl Pace {
    fn begin(transfer: Option<&Arc<Transfer>>) -> Option<Box<Self>> {
        let transfer = Arc::clone(transfer?);
        let rate = transfer.max_upload.map(RateLimit::new);
        Some(Box::new(Self { rate, transfer }))
    }

    /// Waits until the rate allows the next piece, and returns how large that may be.
    fn before_piece(
        &self,
        transport: &mut Transport,
        exchange: &mut Exchange,
    ) -> Result<usize, Stop> {
        let unlimited = if self.transfer.progress.is_some() { PROGRESS_PIECE } else { usize::MAX };
        let Some(rate) = &self.rate else { return Ok(unlimited) };
        while let Some(at) = rate.pause(Instant::now())
            && !transport.upload_cut
        {
            transport.await_more(exchange, None, Some(at))?;
        }
        Ok(rate.max_piece().min(unlimited))
    }

    fn after_piece(&mut self, bytes: usize) {
        if let Some(rate) = &mut self.rate {
            rate.moved(bytes, Instant::now());
        }
        if let Some(progress) = &self.transfer.progress {
            progress.sent(bytes);
        }
    }
}

/// How much of a body in memory is sent before something else has its turn. The fewer calls, the less often the system
/// switches to the peer's program where that runs on the same machine.
const THREAD_PIECE: usize = 4 * 1024 * 1024;
/// On a fiber others wait for their turn meanwhile: some 100 microseconds.
const FIBER_PIECE: usize = 1024 * 1024;
/// How much is sent between two reports of how far an upload is.
const PROGRESS_PIECE: usize = 64 * 1024;
/// How long to wait for 100 Continue before the body is sent all the same.
const CONTINUE_WAIT: Duration = Duration::from_secs(1);
