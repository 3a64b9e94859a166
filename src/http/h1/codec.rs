//! What ureq's engine does: it keeps account of the bodies of requests, and of what may follow a head that asks for
//! 100 Continue. The only file that names `ureq_proto`.
//!
//! A request without a body never meets the engine, because nothing follows its head: `head_writer` writes it, as it does
//! all others. Nor is the engine asked how the body of a response is framed: [`response_head`] reads each field of the
//! head once and decides by the same rules (RFC 9112 section 6.3). A test here compares both over all kinds of
//! heads. What the engine would look at besides, `Connection` and `Location`, is not its business here.
//!
//! Nothing here waits, and the engine moves large values, so every call of it runs on the thread's
//! stack: a fiber's stack is small and stays allocated while the fiber waits.

use std::ops::Range;

use http::Method;
use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use ureq_proto::client::state::{Await100, SendBody, SendRequest};
use ureq_proto::client::{Await100Result, Call, SendRequestResult};

use super::head_writer::write_head;
use super::proxy_form::set_proxy_credentials;
use crate::error::Error;
use crate::headers::{EXPECT, Headers};
use crate::http::exchange::{Exchange, ExchangeConfig};
use crate::http::request_body::BodyLength;
use crate::http::request_head::RequestHead;
use crate::keep_alive::KeepAlive;
use crate::net::Stop;
use crate::response_head::{self, BodyFraming, Framing, RawHead, Refusal, ResponseTo};
use crate::runtime::on_thread_stack;
use crate::vocabulary::Kind;

/// A message whose head is not written yet. Threads: one at a time.
pub(crate) struct Message {
    head: RequestHead,
    /// `None` if no byte of a body follows the head.
    call: Option<Box<Call<SendRequest>>>,
    /// The first bytes of the body are sent together with the head.
    pub(super) body_follows: bool,
}

/// What follows a head that was sent.
pub(super) enum AfterHead {
    /// Nothing of the request: it was sent.
    Response,
    Body(BodyEncoder),
    Await100(Await100Continue),
}

/// A message whose body is being sent.
pub(super) struct BodyEncoder(Box<Call<SendBody>>);

/// A message whose body is sent when the peer asks for it (RFC 9110 section 10.1.1).
pub(super) struct Await100Continue(Box<Call<Await100>>);

/// The head of a response, and what it means for the connection.
pub(super) struct ReceivedHead {
    pub(super) head: RawHead,
    /// The connection can't be used again.
    pub(super) must_close: bool,
    pub(super) keep_alive: Option<KeepAlive>,
    /// How the body that follows is framed, or what is wrong with the fields that say so.
    body: Result<BodyFraming, &'static str>,
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
    /// What `build` returns; [`Kind::InvalidHeader`] for what the engine does not send: a body that the method does not have.
    pub(crate) fn prepare(
        body_is_buffered: bool,
        build: impl FnOnce() -> Result<(Box<Exchange>, RequestHead), Error>,
    ) -> Result<(Box<Exchange>, Self), Error> {
        on_thread_stack(|| {
            let (exchange, mut head) = build()?;
            let config = &exchange.config;
            let method = config.method.as_ref().unwrap_or(&Method::GET);
            // The peer of a request for a tunnel is a proxy itself.
            if *method != Method::CONNECT {
                set_proxy_credentials(&config.key, method, &config.target, &mut head);
            }
            let call = match head.body {
                BodyLength::None | BodyLength::Known(0) => None,
                length => match begin(method, length, &head.headers) {
                    Ok(call) => Some(call),
                    Err(error) => return Err(exchange.fail(request_error(&error))),
                },
            };
            let body_follows = body_is_buffered && !head.headers.contains(EXPECT);
            Ok((exchange, Self { head, call, body_follows }))
        })
    }

    /// Writes the head into the output that `output` returns for its size.
    pub(super) fn write_head<'a>(
        &self,
        config: &ExchangeConfig,
        output: impl FnOnce(usize) -> &'a mut [u8],
    ) -> Result<usize, Stop> {
        Ok(write_head(&self.head, config, output)?)
    }

    pub(super) fn head_sent(self) -> Result<AfterHead, Stop> {
        match self.call {
            None => Ok(AfterHead::Response),
            Some(call) => after_head(call),
        }
    }
}

/// Begins a message in the engine. The engine is given the fields that decide the framing; what it writes
/// of the head is dropped.
#[inline(never)] // Most requests have no body.
fn begin(
    method: &Method,
    length: BodyLength,
    headers: &Headers,
) -> Result<Box<Call<SendRequest>>, ureq_proto::Error> {
    let mut request = request_of(method.clone());
    let fields = request.headers_mut();
    match length {
        BodyLength::Known(length) => drop(fields.insert(CONTENT_LENGTH, length.into())),
        BodyLength::Chunked => {
            drop(fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked")))
        }
        BodyLength::None => {}
    }
    for value in headers.values(EXPECT) {
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
    Ok(Box::new(call))
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

#[inline(never)] // As for `begin`.
fn after_head(call: Box<Call<SendRequest>>) -> Result<AfterHead, Stop> {
    on_thread_stack(|| match call.proceed() {
        Ok(Some(SendRequestResult::RecvResponse(_))) => Ok(AfterHead::Response),
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

impl Await100Continue {
    /// The peer asked for the body or did not respond in time (`None`), or sent a final head: then the body is not
    /// sent.
    pub(super) fn proceed(self, head: Option<&ReceivedHead>) -> Result<AfterHead, Stop> {
        if head.is_some() {
            return Ok(AfterHead::Response);
        }
        on_thread_stack(|| match self.0.proceed().map_err(|error| request_error(&error))? {
            Await100Result::RecvResponse(_) => Ok(AfterHead::Response),
            Await100Result::SendBody(call) => Ok(AfterHead::Body(BodyEncoder(Box::new(call)))),
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

    /// Writes the last chunk, and no trailers. Returns how long that is.
    pub(super) fn write_last_chunk(&mut self, output: &mut [u8]) -> Result<usize, Stop> {
        let written = self.0.write(&[], output).map_err(|error| request_error(&error))?;
        Ok(written.1)
    }

    /// So many bytes of a body of known length are sent as they are.
    pub(super) fn count(&mut self, bytes: usize) -> Result<(), Stop> {
        self.0.consume_direct_write(bytes).map_err(|error| request_error(&error))
    }
}

impl From<Framing> for ReceivedHead {
    #[inline]
    fn from(framing: Framing) -> Self {
        let must_close = framing.ambiguous || !framing.keeps || framing.head.status == 101;
        let Framing { head, keep_alive, body, .. } = framing;
        Self { head, must_close, keep_alive, body }
    }
}

impl ReceivedHead {
    /// How the body that follows this head is framed.
    pub(super) fn framing(&self) -> Result<BodyFraming, Stop> {
        self.body.map_err(|what| protocol_error(&format!("malformed response: {what}")))
    }
}

/// Reads the head that the bytes begin with, if it is whole and of the form that nearly all have. Returns how long it is.
#[inline]
pub(super) fn plain_head(bytes: &[u8], to: ResponseTo) -> Option<(Box<ReceivedHead>, usize)> {
    let (framing, size) = response_head::read_plain(bytes, to)?;
    Some((Box::new(framing.into()), size))
}

/// Reads a whole head. The parser has room for many fields on the stack.
pub(super) fn parse_head(bytes: &[u8], to: ResponseTo) -> Result<Box<ReceivedHead>, Stop> {
    match on_thread_stack(|| response_head::read(bytes, to)) {
        Ok(framing) => Ok(Box::new(framing.into())),
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
pub(super) fn protocol_error(what: &str) -> Stop {
    Error::new(Kind::Protocol, what).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What follows such a head.
    fn after(method: &Method, body: BodyLength, headers: &Headers) -> Result<&'static str, String> {
        let call = begin(method, body, headers).map_err(|error| error.to_string())?;
        match after_head(call) {
            Ok(AfterHead::Response) => Ok("nothing"),
            Ok(AfterHead::Await100(_)) => Ok("100"),
            Ok(AfterHead::Body(mut encoder)) if encoder.is_chunked() => {
                let mut last = [0; 16];
                assert!(!encoder.is_complete());
                let size = encoder.write_last_chunk(&mut last).unwrap();
                assert_eq!((&last[..size], encoder.is_complete()), (&b"0\r\n\r\n"[..], true));
                Ok("chunks")
            }
            Ok(AfterHead::Body(_)) => Ok("bytes"),
            Err(_) => panic!(),
        }
    }

    #[test]
    fn the_head_of_a_request_decides_what_follows() {
        let expects: [(&[&str], bool); 6] = [
            (&[], false),
            (&["100-continue"], true),
            (&["100-Continue"], true),
            (&["x, 100-continue "], true),
            (&["x", "100-continue"], true),
            (&["100-continued"], false),
        ];
        let methods =
            ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "QUERY"];
        for method in methods.map(|name| Method::from_bytes(name.as_bytes()).unwrap()) {
            for (body, what) in [(BodyLength::Known(7), "bytes"), (BodyLength::Chunked, "chunks")] {
                for (expect, waits) in expects {
                    let mut headers = Headers::default();
                    expect.iter().for_each(|value| headers.add(EXPECT, value.as_bytes()));
                    let wanted = match method {
                        Method::HEAD | Method::CONNECT => None,
                        _ if waits => Some("100"),
                        _ => Some(what),
                    };
                    let got = after(&method, body, &headers);
                    assert_eq!(got.clone().ok(), wanted, "{method} {body:?} {expect:?}: {got:?}");
                }
            }
        }
    }

    #[test]
    fn no_more_of_a_body_is_counted_than_its_head_announces() {
        let encoder = |length| {
            let call = begin(&Method::POST, length, &Headers::default()).unwrap();
            let Ok(AfterHead::Body(encoder)) = after_head(call) else { panic!() };
            encoder
        };
        let mut counted = encoder(BodyLength::Known(3));
        assert!(counted.count(2).is_ok() && !counted.is_complete());
        assert!(counted.count(2).is_err() && !counted.is_complete());
        assert!(counted.count(1).is_ok() && counted.is_complete());
        assert!(encoder(BodyLength::Chunked).count(1).is_err());
    }

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

    /// What ureq's engine says of the body behind a head.
    fn by_engine(method: Method, head: &str) -> Result<BodyFraming, String> {
        use ureq_proto::BodyMode;
        use ureq_proto::client::RecvResponseResult;
        let mut request = http::Request::new(());
        *request.uri_mut() = http::Uri::from_static("http://a/");
        *request.method_mut() = method;
        let mut call = Call::new(request).unwrap().proceed();
        while !call.can_proceed() {
            call.write(&mut [0; 512]).unwrap();
        }
        let Ok(Some(SendRequestResult::RecvResponse(mut call))) = call.proceed() else { panic!() };
        call.try_response(head.as_bytes(), false).map_err(|error| error.to_string())?;
        Ok(match call.proceed() {
            Some(RecvResponseResult::RecvBody(call)) => match call.body_mode() {
                BodyMode::NoBody => BodyFraming::None,
                BodyMode::LengthDelimited(length) => BodyFraming::Length(length),
                BodyMode::CloseDelimited => BodyFraming::UntilClose,
                BodyMode::Chunked => BodyFraming::Chunked,
            },
            _ => BodyFraming::None,
        })
    }

    #[test]
    fn a_body_is_framed_as_the_engine_frames_it() {
        let lengths = [
            "",
            "0",
            "3",
            "003",
            "3, 3",
            "3,03",
            "3, 4",
            "3,",
            ",",
            "+3",
            "-3",
            " 3 ",
            "3 3",
            "0x3",
            "3\t",
            "3.0",
            "18446744073709551615",
            "18446744073709551616",
            "99999999999999999999999",
            "3, x",
        ];
        let lengths = lengths.map(|value| format!("Content-Length: {value}\r\n"));
        let twice = ["3\r\nContent-Length: 3", "3\r\ncontent-length: 4", "3\r\nContent-Length:"];
        let twice = twice.map(|value| format!("Content-Length: {value}\r\n"));
        let none = [String::new(), "Connection: close\r\n".to_owned()];
        for length in lengths.iter().chain(&twice).chain(&none) {
            for coding in ["", "Transfer-Encoding: chunked\r\n", "transfer-encoding: CHUNKED\r\n"] {
                for (method, status, version) in [
                    (Method::GET, 200, "1.1"),
                    (Method::GET, 200, "1.0"),
                    (Method::GET, 302, "1.1"),
                    (Method::GET, 404, "1.1"),
                    (Method::DELETE, 205, "1.1"),
                    (Method::CONNECT, 403, "1.1"),
                    (Method::GET, 999, "1.1"),
                ] {
                    let head = format!("HTTP/{version} {status} OK\r\n{length}{coding}\r\n");
                    let Ok(read) = response_head::read(head.as_bytes(), ResponseTo::of(&method))
                    else {
                        assert!(version == "1.0" && !coding.is_empty(), "{head:?}");
                        continue;
                    };
                    let ours = match read.body {
                        // There is nothing to read of it either way.
                        Ok(BodyFraming::Length(0)) => Ok(BodyFraming::None),
                        other => other.map_err(str::to_owned),
                    };
                    assert_eq!(ours, by_engine(method, &head), "{head:?}");
                }
            }
        }
        for (method, status) in [
            (Method::HEAD, 200),
            (Method::CONNECT, 200),
            (Method::CONNECT, 204),
            (Method::GET, 204),
            (Method::GET, 304),
            (Method::GET, 101),
        ] {
            for fields in ["", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n"] {
                let head = format!("HTTP/1.1 {status} OK\r\n{fields}\r\n");
                let read = response_head::read(head.as_bytes(), ResponseTo::of(&method));
                let ours = read.unwrap().body;
                assert_eq!(ours, Ok(BodyFraming::None), "{head:?}");
                assert_eq!(by_engine(method.clone(), &head), Ok(BodyFraming::None), "{head:?}");
            }
        }
    }
}
