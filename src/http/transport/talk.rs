//! One exchange from its first byte to the head of the response: ureq's engine says what goes out
//! and what the answer means, the [`Seam`] carries it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq_proto::BodyMode;
use ureq_proto::client::state::{Await100, RecvResponse, SendBody};
use ureq_proto::client::{Await100Result, Call, RecvResponseResult, SendRequestResult};

use super::chunks::Chunks;
use super::input::Awaited;
use super::{Broken, Seam, Stopped};
use crate::error::{Clock, Error, Kind};
use crate::http::exchange::Exchange;
use crate::http::upload::Upload;
use crate::limits::Deadline;
use crate::wait::on_thread_stack;

/// What follows the head.
pub(in crate::http) enum Incoming {
    /// Nothing; the connection is back, or closed.
    Nothing,
    /// So many bytes.
    Length(Seam, u64),
    /// All until the peer closes.
    UntilClose(Seam),
    Chunks(Box<Chunks>),
}

/// Sends the request and waits for the head of the response.
///
/// # Errors
/// Why not, written down in the exchange.
pub(in crate::http) fn run(
    exchange: &Arc<Exchange>,
    request: http::Request<()>,
    upload: Option<&mut Upload<'_>>,
) -> Result<Incoming, Error> {
    let prepared = Call::new(request);
    let mut call = prepared.map_err(|error| exchange.translate(&error))?;
    call.allow_non_standard_methods(true);
    let lease = exchange.acquire().map_err(|Stopped| exchange.failed())?;
    let mut seam = Seam::new(exchange, lease)?;
    let told = match tell(&mut seam, call.proceed(), upload) {
        Ok(told) => told,
        Err(broken) => return Err(seam.broken(&broken)),
    };
    hear(seam, told)
}

/// What was told, and the head of the answer if it came already.
type Told = (Call<RecvResponse>, Option<Vec<u8>>);

/// Sends the head and the body, if the peer wants it.
fn tell(
    seam: &mut Seam,
    mut call: Call<ureq_proto::client::state::SendRequest>,
    upload: Option<&mut Upload<'_>>,
) -> Result<Told, Broken> {
    while !call.can_proceed() {
        let amount = call.write(seam.buffers.output())?;
        seam.send(amount)?;
    }
    match (call.proceed()?, upload) {
        (Some(SendRequestResult::RecvResponse(call)), _) => Ok((call, None)),
        (Some(SendRequestResult::SendBody(call)), Some(upload)) => {
            Ok((send_body(seam, call, upload)?, None))
        }
        (Some(SendRequestResult::Await100(call)), Some(upload)) => ask_first(seam, call, upload),
        // A body that is announced is there, and a head that was sent is done with.
        _ => Err(ureq_proto::Error::BodyNotAllowed.into()),
    }
}

/// Waits for 100 Continue, but not for long (RFC 9110 section 10.1.1).
fn ask_first(
    seam: &mut Seam,
    mut call: Call<Await100>,
    upload: &mut Upload<'_>,
) -> Result<Told, Broken> {
    let patience = Deadline::after(Instant::now(), Some(CONTINUE), Clock::None);
    let head = match seam.await_head(Some(patience))? {
        Awaited::Head(head) => {
            call.try_read_100(&head)?;
            Some(head)
        }
        Awaited::Continue => {
            call.try_read_100(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            None
        }
        Awaited::Nothing => None,
    };
    match call.proceed()? {
        Await100Result::RecvResponse(call) => Ok((call, head)),
        Await100Result::SendBody(call) => Ok((send_body(seam, call, upload)?, head)),
    }
}

fn send_body(
    seam: &mut Seam,
    mut call: Call<SendBody>,
    upload: &mut Upload<'_>,
) -> Result<Call<RecvResponse>, Broken> {
    while !call.can_proceed() {
        let (scratch, output) = seam.buffers.scratch_and_output();
        // The peer has answered: nothing more is sent, and nobody is asked for what would be thrown
        // away. The engine only has to see its count fulfilled.
        let cut = seam.exchange.upload_cut();
        let amount = if call.is_chunked() {
            let most = scratch.len().min(call.calculate_max_input(output.len()));
            let got = if cut { 0 } else { upload.next(&mut scratch[..most])? };
            call.write(&scratch[..got], output)?.1
        } else if cut {
            let left = upload.left().unwrap_or(0);
            call.consume_direct_write(usize::try_from(left).unwrap_or(usize::MAX))?;
            break;
        } else {
            let got = upload.next(output)?;
            call.consume_direct_write(got)?;
            got
        };
        seam.send(amount)?;
    }
    let sent = call.proceed();
    sent.ok_or_else(|| ureq_proto::Error::BodyContentAfterFinish.into())
}

/// Waits for the head, and sees what follows it.
fn hear(mut seam: Seam, (mut call, head): Told) -> Result<Incoming, Error> {
    seam.exchange.request_sent();
    seam.buffers.sent();
    let head = match head {
        Some(head) => head,
        None => match seam.await_head(None) {
            Ok(Awaited::Head(head)) => head,
            Ok(Awaited::Continue | Awaited::Nothing) => {
                return Err(seam.refused(Kind::Protocol, "malformed response: no head"));
            }
            Err(Stopped) => return Err(seam.exchange.failed()),
        },
    };
    // It takes a lot of stack, and nobody waits in it.
    let parsed = on_thread_stack(|| call.try_response(&head, false));
    if let Err(error) = parsed {
        return Err(seam.broken(&error.into()));
    }
    let Some(next) = call.proceed() else {
        return Err(seam.refused(Kind::Protocol, "malformed response: the head does not end"));
    };
    seam.head_is_here();
    let must_close = match next {
        RecvResponseResult::RecvBody(call) => {
            return Ok(match call.body_mode() {
                BodyMode::LengthDelimited(length) => Incoming::Length(seam, length),
                BodyMode::CloseDelimited => Incoming::UntilClose(seam),
                BodyMode::Chunked => Incoming::Chunks(Box::new(Chunks::new(seam, call))),
                BodyMode::NoBody => Incoming::Nothing,
            });
        }
        RecvResponseResult::Redirect(call) => call.must_close_connection(),
        RecvResponseResult::Cleanup(call) => call.must_close_connection(),
    };
    if !must_close {
        seam.ends_well();
    }
    Ok(Incoming::Nothing)
}

/// How long to wait for 100 Continue before the body is sent all the same.
const CONTINUE: Duration = Duration::from_secs(1);
