//! What ureq's engine does: it frames the bodies of requests, and decides how the body of a response is framed. The
//! heads of requests are written by `head_writer`. The only file that names `ureq_proto`.
//!
//! Nothing here waits, and the engine moves large values, so every call of it runs on the thread's
//! stack: a fiber's stack is small and stays allocated while the fiber waits.

use std::ops::Range;

use http::Method;
use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use ureq_proto::BodyMode;
use ureq_proto::client::state::{Await100, RecvResponse, SendBody, SendRequest};
use ureq_proto::client::{Await100Result, Call, RecvResponseResult, SendRequestResult};

use super::head_writer::write_head;
use super::proxy_form::set_proxy_credentials;
use crate::error::Error;
use crate::headers::EXPECT;
use crate::http::exchange::Exchange;
use crate::http::request_body::BodyLength;
use crate::http::request_head::RequestHead;
use crate::keep_alive::KeepAlive;
use crate::manager::PoolKey;
use crate::net::Stop;
use crate::response_head::{self, RawHead, Refusal, ResponseTo};
use crate::runtime::on_thread_stack;
use crate::vocabulary::Kind;

/// A message whose head is not written yet. Threads: one at a time.
pub(crate) struct Message {
    /// In a box: it is passed down through the wait for a connection.
    head: Box<RequestHead>,
    /// `None` for a message without a body: what the engine knows of it then is its method.
    call: Option<Box<Call<SendRequest>>>,
    /// The first bytes of the body are sent together with the head.
    pub(super) body_follows: bool,
}

/// What follows a head that was sent.
pub(super) enum AfterHead {
    Response(AwaitedResponse),
    Body(BodyEncoder),
    Await100(Await100Continue),
}

/// A message that was sent.
pub(in crate::http) enum AwaitedResponse {
    /// It had a body.
    Begun(Box<Call<RecvResponse>>),
    /// It had none. The engine begins when the response is here: an exchange that waits does not hold it.
    WithoutBody(Method),
}

/// A message whose body is being sent.
pub(super) struct BodyEncoder(Box<Call<SendBody>>);

/// A message whose body is sent when the peer asks for it (RFC 9110 section 10.1.1).
pub(super) struct Await100Continue(Box<Call<Await100>>);

/// How the body of a response is framed (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum BodyFraming {
    None,
    Length(u64),
    UntilClose,
    Chunked,
}

/// The head of a response, and what it means for the connection.
pub(super) struct ReceivedHead {
    pub(super) head: RawHead,
    /// The connection can't be used again.
    pub(super) must_close: bool,
    pub(super) keep_alive: Option<KeepAlive>,
    /// A head with the same meaning for the framing, as the engine reads it.
    for_engine: Vec<u8>,
}

/// A head that came.
pub(super) enum HeadEvent {
    /// In a box: it is passed up from the wait for it.
    Final(Box<ReceivedHead>),
    /// A 1xx head (RFC 9110 section 15.2).
    Interim { status: u16 },
}

impl Message {
    /// Makes an exchange and its message. `body_is_buffered`: sending the body's first bytes needs no
    /// wait.
    ///
    /// # Errors
    /// What `build` returns; [`Kind::InvalidHeader`] for what the engine does not send.
    pub(crate) fn prepare(
        body_is_buffered: bool,
        build: impl FnOnce() -> Result<(Box<Exchange>, Box<RequestHead>), Error>,
    ) -> Result<(Box<Exchange>, Self), Error> {
        on_thread_stack(|| {
            let (exchange, mut head) = build()?;
            // The peer of a request for a tunnel is a proxy itself.
            if head.method != Method::CONNECT {
                set_proxy_credentials(&exchange.config.key, &mut head);
            }
            let body_follows = body_is_buffered && !head.headers.contains(EXPECT);
            let call = match head.body {
                BodyLength::None => None,
                _ => match begin(&head) {
                    Ok(call) => Some(Box::new(call)),
                    Err(error) => return Err(exchange.fail(request_error(&error))),
                },
            };
            Ok((exchange, Self { head, call, body_follows }))
        })
    }

    /// Writes the head into the output that `output` returns for its size.
    pub(super) fn write_head<'a>(
        &self,
        key: &PoolKey,
        output: impl FnOnce(usize) -> &'a mut [u8],
    ) -> Result<usize, Stop> {
        Ok(write_head(&self.head, key, output)?)
    }

    pub(super) fn head_sent(self) -> Result<AfterHead, Stop> {
        let Some(call) = self.call else {
            return Ok(AfterHead::Response(AwaitedResponse::WithoutBody(self.head.method)));
        };
        on_thread_stack(|| match call.proceed() {
            Ok(Some(SendRequestResult::RecvResponse(call))) => {
                Ok(AfterHead::Response(AwaitedResponse::Begun(Box::new(call))))
            }
            Ok(Some(SendRequestResult::SendBody(call))) => {
                Ok(AfterHead::Body(BodyEncoder(Box::new(call))))
            }
            Ok(Some(SendRequestResult::Await100(call))) => {
                Ok(AfterHead::Await100(Await100Continue(Box::new(call))))
            }
            Ok(None) => Err(request_error(&ureq_proto::Error::OutputOverflow)),
            Err(error) => Err(request_error(&error)),
        })
    }
}

/// Begins a message in the engine. The engine is given the fields that decide the framing; what it writes
/// of the head is dropped.
fn begin(head: &RequestHead) -> Result<Call<SendRequest>, ureq_proto::Error> {
    let mut request = request_of(head.method.clone());
    let fields = request.headers_mut();
    match head.body {
        BodyLength::Known(length) => drop(fields.insert(CONTENT_LENGTH, length.into())),
        BodyLength::Chunked => {
            drop(fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked")))
        }
        BodyLength::None => {}
    }
    for value in head.headers.values(EXPECT) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            fields.append(http::header::EXPECT, value);
        }
    }
    let mut call = Call::new(request)?;
    call.allow_non_standard_methods(true);
    let mut call = call.proceed();
    let mut dropped = [0; 512];
    while !call.can_proceed() {
        call.write(&mut dropped)?;
    }
    Ok(call)
}

impl Await100Continue {
    /// The peer asked for the body or did not respond in time (`None`), or sent a final head.
    pub(super) fn proceed(mut self, head: Option<&ReceivedHead>) -> Result<AfterHead, Stop> {
        let response = head.map(|head| head.for_engine.as_slice());
        on_thread_stack(|| {
            if let Some(response) = response {
                self.0.try_read_100(response).map_err(|error| response_error(&error))?;
            }
            match self.0.proceed().map_err(|error| request_error(&error))? {
                Await100Result::RecvResponse(call) => {
                    Ok(AfterHead::Response(AwaitedResponse::Begun(Box::new(call))))
                }
                Await100Result::SendBody(call) => Ok(AfterHead::Body(BodyEncoder(Box::new(call)))),
            }
        })
    }
}

impl BodyEncoder {
    pub(super) fn is_complete(&self) -> bool {
        self.0.can_proceed()
    }

    pub(super) fn is_chunked(&self) -> bool {
        self.0.is_chunked()
    }

    /// Where the data of a chunk is put in such a buffer: its framing goes around it.
    pub(super) fn chunk_data(buffer: usize) -> Range<usize> {
        CHUNK_BEGIN
            ..buffer.saturating_sub(LINE_END.len()).clamp(CHUNK_BEGIN, CHUNK_BEGIN + MAX_CHUNK)
    }

    /// Frames a chunk of so many bytes (RFC 9112 section 7.1). Returns where it is.
    pub(super) fn frame_chunk(buffer: &mut [u8], size: usize) -> Range<usize> {
        let mut begin = CHUNK_BEGIN - LINE_END.len();
        buffer[begin..CHUNK_BEGIN].copy_from_slice(LINE_END);
        let mut left = size.min(MAX_CHUNK);
        loop {
            begin -= 1;
            buffer[begin] = b"0123456789abcdef"[left % 16];
            left /= 16;
            if left == 0 {
                break;
            }
        }
        let end = CHUNK_BEGIN + size;
        buffer[end..end + LINE_END.len()].copy_from_slice(LINE_END);
        begin..end + LINE_END.len()
    }

    /// Writes the last chunk. Returns how long that is.
    pub(super) fn write_last_chunk(&mut self, output: &mut [u8]) -> Result<usize, Stop> {
        let written = self.0.write(&[], output).map_err(|error| request_error(&error))?;
        Ok(written.1)
    }

    /// So many bytes of a body of known length are sent as they are.
    pub(super) fn count(&mut self, bytes: usize) -> Result<(), Stop> {
        self.0.consume_direct_write(bytes).map_err(|error| request_error(&error))
    }

    pub(super) fn finish(self) -> Result<AwaitedResponse, Stop> {
        let call = on_thread_stack(|| self.0.proceed().map(Box::new));
        let incomplete = || request_error(&ureq_proto::Error::BodyContentAfterFinish);
        call.map(AwaitedResponse::Begun).ok_or_else(incomplete)
    }
}

impl AwaitedResponse {
    /// How the body that follows this head is framed.
    pub(super) fn framing(self, head: &ReceivedHead) -> Result<BodyFraming, Stop> {
        on_thread_stack(|| {
            let mut call = match self {
                Self::Begun(call) => *call,
                Self::WithoutBody(method) => {
                    awaiting(method).map_err(|error| request_error(&error))?
                }
            };
            call.try_response(&head.for_engine, false).map_err(|error| response_error(&error))?;
            match call.proceed() {
                Some(RecvResponseResult::RecvBody(call)) => Ok(match call.body_mode() {
                    BodyMode::NoBody => BodyFraming::None,
                    BodyMode::LengthDelimited(length) => BodyFraming::Length(length),
                    BodyMode::CloseDelimited => BodyFraming::UntilClose,
                    BodyMode::Chunked => BodyFraming::Chunked,
                }),
                Some(_) => Ok(BodyFraming::None),
                None => Err(protocol_error("malformed response: the head does not end")),
            }
        })
    }
}

fn request_of(method: Method) -> http::Request<()> {
    let mut request = http::Request::new(());
    if method == Method::CONNECT {
        // It takes the target from there, and writes it into what is dropped.
        *request.uri_mut() = http::Uri::from_static("http://dropped/");
    }
    *request.method_mut() = method;
    request
}

/// The engine behind a message without a body, whose head has no field that it looks at.
fn awaiting(method: Method) -> Result<Call<RecvResponse>, ureq_proto::Error> {
    let request = request_of(method);
    let mut call = Call::new(request)?;
    call.allow_non_standard_methods(true);
    let mut call = call.proceed();
    let mut dropped = [0; 512];
    call.write(&mut dropped)?;
    match call.proceed()? {
        Some(SendRequestResult::RecvResponse(call)) => Ok(call),
        _ => Err(ureq_proto::Error::BodyNotAllowed),
    }
}

/// Reads a whole head.
pub(super) fn parse_head(bytes: &[u8], to: ResponseTo) -> Result<Box<ReceivedHead>, Stop> {
    match on_thread_stack(|| response_head::read(bytes, to)) {
        Ok(framing) => {
            let must_close = framing.ambiguous || !framing.keeps || framing.head.status == 101;
            let keep_alive = framing.keep_alive;
            let (head, for_engine) = (framing.head, framing.for_engine);
            Ok(Box::new(ReceivedHead { head, must_close, keep_alive, for_engine }))
        }
        Err(refusal @ Refusal::TooManyFields) => {
            Err(Error::new(Kind::TooLarge, refusal.words()).into())
        }
        Err(refusal) => Err(protocol_error(refusal.words())),
    }
}

const LINE_END: &[u8] = b"\r\n";
/// What is written of a chunk before its data: five digits at most, and the line end.
const CHUNK_BEGIN: usize = 7;
const MAX_CHUNK: usize = 0xf_ffff;

/// A request that announces a body has one.
#[cold]
pub(super) fn no_body_to_send() -> Stop {
    request_error(&ureq_proto::Error::BodyNotAllowed)
}

#[cold]
fn request_error(error: &ureq_proto::Error) -> Stop {
    Error::new(Kind::InvalidHeader, format!("the request can't be sent: {error}")).into()
}

#[cold]
fn response_error(error: &ureq_proto::Error) -> Stop {
    protocol_error(&format!("malformed response: {error}"))
}

#[cold]
pub(super) fn protocol_error(what: &str) -> Stop {
    Error::new(Kind::Protocol, what).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_framed_where_its_data_is() {
        for size in [1, 9, 10, 15, 16, 255, 256, 4095, 0xffff, 0x1_0000, 0x1_fff7] {
            let mut buffer = vec![b'x'; 128 * 1024];
            let room = BodyEncoder::chunk_data(buffer.len());
            assert!(size <= room.len());
            let framed = BodyEncoder::frame_chunk(&mut buffer, size);
            let expected =
                [format!("{size:x}\r\n").as_bytes(), &vec![b'x'; size], b"\r\n"].concat();
            assert!(buffer[framed] == expected, "{size}");
        }
        let most = BodyEncoder::chunk_data(usize::MAX).len();
        assert_eq!(BodyEncoder::frame_chunk(&mut vec![0; most + 9], most), 0..most + 9);
        assert_eq!(BodyEncoder::chunk_data(3).len(), 0);
    }
}
