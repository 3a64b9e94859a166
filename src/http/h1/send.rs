//! One exchange from its first byte to the head of the response: ureq's engine says what goes out
//! and what the answer means, the [`Seam`] carries it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq_proto::BodyMode;
use ureq_proto::client::Call as Message;
use ureq_proto::client::state::{Await100, RecvResponse, SendBody, SendRequest};
use ureq_proto::client::{Await100Result, RecvResponseResult, SendRequestResult};

use super::chunked::Chunks;
use super::recv::Awaited;
use super::transport::{Broken, Seam, Stopped};
use crate::error::Error;
use crate::http::exchange::Exchange;
use crate::http::request_body::{BodyLength, BodyReader};
use crate::net::Stop;
use crate::runtime::on_thread_stack;
use crate::timeouts::Deadline;
use crate::vocabulary::{Kind, Timeout};

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

/// A message that is about to be sent.
pub(in crate::http) type Prepared = Message<SendRequest>;

/// Takes a message that the engine can send.
pub(in crate::http) fn prepare(
    exchange: &Arc<Exchange>,
    request: http::Request<()>,
) -> Result<Box<Prepared>, Error> {
    let mut call = Message::new(request).map_err(|error| exchange.translate(&error))?;
    call.allow_non_standard_methods(true);
    Ok(Box::new(call.proceed()))
}

/// Sends the request and waits for the head of the response.
///
/// # Errors
/// Why not, written down in the exchange.
pub(in crate::http) fn run(
    exchange: &Arc<Exchange>,
    call: Box<Prepared>,
    body: Option<&mut BodyReader<'_>>,
) -> Result<Incoming, Error> {
    let lease = exchange.acquire().map_err(|Stopped| exchange.failed())?;
    let mut seam = Seam::new(exchange, lease)?;
    let told = match body {
        None => tell(&mut seam, call),
        Some(body) => tell_with(&mut seam, call, body),
    };
    match told {
        Ok((call, head)) => hear(seam, call, head),
        Err(broken) => Err(seam.broken(&broken)),
    }
}

/// What follows a head that was sent. In boxes, as it is made elsewhere and moved.
enum Onward {
    Answer(Box<Message<RecvResponse>>),
    Body(Box<Message<SendBody>>),
    Question(Box<Message<Await100>>),
}

/// What was told, and the head of the answer if it came already.
type Told = (Box<Message<RecvResponse>>, Option<Vec<u8>>);

/// Sends a message without a body.
#[inline(never)] // What is moved about here is gone before the wait for the answer.
fn tell(seam: &mut Seam, call: Box<Prepared>) -> Result<Told, Broken> {
    match tell_head(seam, call)? {
        Onward::Answer(call) => Ok((call, None)),
        // A body that is announced is there.
        _ => Err(ureq_proto::Error::BodyNotAllowed.into()),
    }
}

/// Sends a message with a body, if the peer wants it.
#[inline(never)] // Few have one, and all would have its frame.
fn tell_with(
    seam: &mut Seam,
    call: Box<Prepared>,
    body: &mut BodyReader<'_>,
) -> Result<Told, Broken> {
    match tell_head(seam, call)? {
        Onward::Answer(call) => Ok((call, None)),
        Onward::Body(call) => send_body(seam, *call, body),
        Onward::Question(call) => ask_first(seam, *call, body),
    }
}

fn tell_head(seam: &mut Seam, mut call: Box<Prepared>) -> Result<Onward, Broken> {
    let output = seam.buffers.output();
    let mut amount = match on_thread_stack(|| call.write(output)) {
        Ok(amount) => amount,
        Err(ureq_proto::Error::OutputOverflow) => 0,
        Err(error) => return Err(error.into()),
    };
    if !call.can_proceed() {
        amount = write_large_head(seam, &mut call, amount)?;
    }
    seam.send(amount)?;
    // A head that was sent is done with.
    let onward = on_thread_stack(|| onward(call))?;
    seam.request_is_whole = matches!(onward, Onward::Answer(_));
    Ok(onward)
}

/// The head does not fit into the usual buffer, of which it fills so many bytes: writes the rest of it into a
/// larger one. Nothing is sent before the head is known to be no larger than it may be.
#[cold]
#[inline(never)]
fn write_large_head(seam: &mut Seam, call: &mut Prepared, filled: usize) -> Result<usize, Broken> {
    let output = seam.buffers.grow_output(LARGEST_HEAD);
    let mut amount = filled;
    while !call.can_proceed() {
        match on_thread_stack(|| call.write(&mut output[amount..])) {
            Ok(more) => amount += more,
            Err(ureq_proto::Error::OutputOverflow) => {
                let what = format!(
                    "the head of the request, its URL and all its headers and cookies, is larger than \
                     {LARGEST_HEAD} bytes: no more is sent"
                );
                return Err(seam.refuse(Kind::InvalidHeader, &what).into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(amount)
}

fn onward(call: Box<Prepared>) -> Result<Onward, ureq_proto::Error> {
    Ok(match call.proceed()?.ok_or(ureq_proto::Error::OutputOverflow)? {
        SendRequestResult::RecvResponse(call) => Onward::Answer(Box::new(call)),
        SendRequestResult::SendBody(call) => Onward::Body(Box::new(call)),
        SendRequestResult::Await100(call) => Onward::Question(Box::new(call)),
    })
}

/// Waits for 100 Continue, but not for long (RFC 9110 section 10.1.1).
fn ask_first(
    seam: &mut Seam,
    mut call: Message<Await100>,
    body: &mut BodyReader<'_>,
) -> Result<Told, Broken> {
    let patience = Deadline::after(Instant::now(), Some(CONTINUE), Timeout::None);
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
        // The announced body is not sent, so the request stays incomplete.
        Await100Result::RecvResponse(call) => Ok((Box::new(call), head)),
        Await100Result::SendBody(call) => send_body(seam, call, body),
    }
}

fn send_body(
    seam: &mut Seam,
    mut call: Message<SendBody>,
    body: &mut BodyReader<'_>,
) -> Result<Told, Broken> {
    while !call.can_proceed() {
        let (scratch, output) = seam.buffers.scratch_and_output();
        // The peer does not want the rest: it is neither read nor sent. The engine only has to see its
        // count fulfilled.
        let cut = seam.exchange.upload_cut();
        let amount = if call.is_chunked() {
            let most = scratch.len().min(call.calculate_max_input(output.len()));
            let got = if cut {
                0
            } else {
                body.read(&mut scratch[..most], &seam.exchange)
                    .map_err(|stop| failed(&seam.exchange, stop))?
            };
            call.write(&scratch[..got], output)?.1
        } else if cut {
            let left = match body.length() {
                BodyLength::Known(left) => usize::try_from(left).unwrap_or(usize::MAX),
                BodyLength::None | BodyLength::Chunked => 0,
            };
            call.consume_direct_write(left)?;
            break;
        } else {
            let got =
                body.read(output, &seam.exchange).map_err(|stop| failed(&seam.exchange, stop))?;
            call.consume_direct_write(got)?;
            got
        };
        seam.send(amount)?;
    }
    seam.request_is_whole = !seam.exchange.upload_cut();
    let sent = call.proceed().ok_or(ureq_proto::Error::BodyContentAfterFinish)?;
    Ok((Box::new(sent), seam.early.take().map(Vec::from)))
}

#[cold]
fn failed(exchange: &Exchange, stop: Stop) -> Broken {
    exchange.fail(stop);
    Broken::Stopped
}

/// Waits for the head, and sees what follows it.
fn hear(
    mut seam: Seam,
    call: Box<Message<RecvResponse>>,
    head: Option<Vec<u8>>,
) -> Result<Incoming, Error> {
    if seam.request_is_whole {
        seam.exchange.request_sent();
    }
    seam.buffers.sent();
    let head = match head {
        Some(head) => head,
        None => match seam.await_head(None) {
            Ok(Awaited::Head(head)) => head,
            Ok(Awaited::Continue | Awaited::Nothing) => {
                seam.refuse(Kind::Protocol, "malformed response: no head");
                return Err(seam.exchange.failed());
            }
            Err(Stopped) => return Err(seam.exchange.failed()),
        },
    };
    answered(seam, call, &head)
}

/// The head came.
#[inline(never)] // It does not wait, and who waited above has no need of its frame.
fn answered(seam: Seam, call: Box<Message<RecvResponse>>, head: &[u8]) -> Result<Incoming, Error> {
    match on_thread_stack(|| follows(call, head)) {
        Ok(follows) => Ok(incoming(seam, follows)),
        Err(error) => Err(seam.broken(&error.into())),
    }
}

/// What the engine makes of a head: how its body is framed (RFC 9112 section 6.3).
fn follows(
    mut call: Box<Message<RecvResponse>>,
    head: &[u8],
) -> Result<BodyMode, ureq_proto::Error> {
    call.try_response(head, false)?;
    match call.proceed() {
        Some(RecvResponseResult::RecvBody(call)) => Ok(call.body_mode()),
        Some(_) => Ok(BodyMode::NoBody),
        None => Err(ureq_proto::Error::HttpParseFail("the head does not end".into())),
    }
}

fn incoming(mut seam: Seam, follows: BodyMode) -> Incoming {
    seam.head_is_here();
    match follows {
        BodyMode::NoBody | BodyMode::LengthDelimited(0) => {
            seam.ends_well();
            Incoming::Nothing
        }
        BodyMode::LengthDelimited(length) => Incoming::Length(seam, length),
        BodyMode::CloseDelimited => Incoming::UntilClose(seam),
        BodyMode::Chunked => Incoming::Chunks(Box::new(Chunks::new(seam))),
    }
}

/// The largest head of a request. Servers refuse far smaller ones (nginx 32 KiB, Node 16 KiB, Go 1 MiB), with
/// a status that says so.
const LARGEST_HEAD: usize = 1024 * 1024;
/// How long to wait for 100 Continue before the body is sent all the same.
const CONTINUE: Duration = Duration::from_secs(1);
