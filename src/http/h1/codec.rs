//! What a message means for what follows it: the body of a request behind its head, and that of a response behind its
//! head. Knows nothing of connections, and nothing here waits.
//!
//! Which body follows a request's head was decided when the head was made (RFC 9112 section 6): its fields say so. How
//! the body of a response is framed, [`response_head`] decides while it reads each field once (RFC 9112 section 6.3).
//! ureq's engine is asked for neither: a test here compares both with it, over all kinds of heads.

use std::ops::Range;

use http::Method;

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
pub(super) enum BodyEncoder {
    /// So many bytes are still to be sent, as they are.
    Length(u64),
    Chunked {
        /// The last chunk was written.
        ended: bool,
    },
}

/// A message whose body is sent when the peer asks for it (RFC 9110 section 10.1.1).
pub(super) struct Await100Continue(BodyEncoder);

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
    /// What `build` returns; [`Kind::InvalidHeader`] for a body that the method does not have.
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
            if BodyEncoder::of(head.body).is_some()
                && matches!(*method, Method::HEAD | Method::CONNECT)
            {
                return Err(exchange.fail(no_body_to_send()));
            }
            let body_follows = body_is_buffered && !head.headers.contains(EXPECT);
            Ok((exchange, Self { head, body_follows }))
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

    pub(super) fn head_sent(self) -> AfterHead {
        match BodyEncoder::of(self.head.body) {
            None => AfterHead::Response,
            Some(body) if expects_continue(&self.head.headers) => {
                AfterHead::Await100(Await100Continue(body))
            }
            Some(body) => AfterHead::Body(body),
        }
    }
}

/// Whether the peer is asked to say first whether it wants the body (RFC 9110 section 10.1.1).
fn expects_continue(headers: &Headers) -> bool {
    let mut options = headers.values(EXPECT).flat_map(|value| value.split(|byte| *byte == b','));
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"100-continue"))
}

impl Await100Continue {
    /// The peer asked for the body or did not respond in time (`None`), or sent a final head: then the body is not
    /// sent.
    pub(super) fn proceed(self, head: Option<&ReceivedHead>) -> AfterHead {
        match head {
            Some(_) => AfterHead::Response,
            None => AfterHead::Body(self.0),
        }
    }
}

impl BodyEncoder {
    /// `None` if no byte of a body follows the head.
    fn of(body: BodyLength) -> Option<Self> {
        match body {
            BodyLength::None | BodyLength::Known(0) => None,
            BodyLength::Known(length) => Some(Self::Length(length)),
            BodyLength::Chunked => Some(Self::Chunked { ended: false }),
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked { ended: true })
    }

    pub(super) fn is_chunked(&self) -> bool {
        matches!(self, Self::Chunked { .. })
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
        let Self::Chunked { ended } = self else { return Err(too_much()) };
        let place = output.get_mut(..LAST_CHUNK.len()).ok_or_else(too_much)?;
        place.copy_from_slice(LAST_CHUNK);
        *ended = true;
        Ok(LAST_CHUNK.len())
    }

    /// So many bytes of a body of known length are sent as they are.
    pub(super) fn count(&mut self, bytes: usize) -> Result<(), Stop> {
        let Self::Length(left) = self else { return Err(too_much()) };
        *left = left.checked_sub(bytes as u64).ok_or_else(too_much)?;
        Ok(())
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
/// RFC 9112 section 7.1, without trailers.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// What is written of a chunk before its data: five digits at most, and the line end.
const CHUNK_BEGIN: usize = 7;
const MAX_CHUNK: usize = 0xf_ffff;

/// RFC 9110 section 9.3: content has no meaning in such a request, and a message without it is no chunk of another one.
#[cold]
pub(super) fn no_body_to_send() -> Stop {
    let what = "the request can't be sent: its method has no body";
    Error::new(Kind::InvalidHeader, what).into()
}

/// The body is framed by another length than its head says: a defect here, and nothing of it may be sent.
#[cold]
fn too_much() -> Stop {
    let what = "the request's body is not as long as its head says: a defect in hangup";
    Error::new(Kind::BodyFailed, what).into()
}

#[cold]
pub(super) fn protocol_error(what: &str) -> Stop {
    Error::new(Kind::Protocol, what).into()
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
    use ureq_proto::client::state::SendRequest;
    use ureq_proto::client::{Call, SendRequestResult};

    use super::*;

    /// What ureq's engine sends behind such a head.
    fn sent_by_engine(method: Method, body: BodyLength, expect: &[&str]) -> Result<String, String> {
        let mut request = http::Request::new(());
        // For CONNECT it takes the target from there.
        *request.uri_mut() = http::Uri::from_static("http://a/");
        *request.method_mut() = method;
        let fields = request.headers_mut();
        match body {
            BodyLength::Known(length) => drop(fields.insert(CONTENT_LENGTH, length.into())),
            BodyLength::Chunked => {
                drop(fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked")))
            }
            BodyLength::None => {}
        }
        for value in expect {
            fields.append(http::header::EXPECT, HeaderValue::from_str(value).unwrap());
        }
        let mut call = Call::new(request).unwrap();
        call.allow_non_standard_methods(true);
        let mut call: Call<SendRequest> = call.proceed();
        while !call.can_proceed() {
            call.write(&mut [0; 512]).map_err(|error| error.to_string())?;
        }
        Ok(match call.proceed() {
            Ok(Some(SendRequestResult::RecvResponse(_))) => "nothing".to_owned(),
            Ok(Some(SendRequestResult::SendBody(mut call))) => {
                if call.is_chunked() {
                    let mut last = [0; 16];
                    let (_, size) = call.write(&[], &mut last).unwrap();
                    assert!(call.can_proceed());
                    format!("chunks, {:?}", String::from_utf8_lossy(&last[..size]))
                } else {
                    "bytes".to_owned()
                }
            }
            Ok(Some(SendRequestResult::Await100(_))) => "100".to_owned(),
            _ => panic!(),
        })
    }

    #[test]
    fn the_body_of_a_request_is_framed_as_the_engine_frames_it() {
        let lengths =
            [BodyLength::None, BodyLength::Known(0), BodyLength::Known(7), BodyLength::Chunked];
        let expects: [&[&str]; 6] = [
            &[],
            &["100-continue"],
            &["100-Continue"],
            &["x, 100-continue "],
            &["x", "100-continue"],
            &["100-continued"],
        ];
        let methods =
            ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "QUERY"];
        for method in methods.map(|name| Method::from_bytes(name.as_bytes()).unwrap()) {
            for body in lengths {
                // The engine would add a field for the body of such a request; ours are told of a length of 0 then.
                if body == BodyLength::None && crate::request::needs_length(&method) {
                    continue;
                }
                for expect in expects {
                    let mut headers = Headers::default();
                    expect.iter().for_each(|value| headers.add(EXPECT, value.as_bytes()));
                    let has_none = matches!(method, Method::HEAD | Method::CONNECT);
                    let ours = match BodyEncoder::of(body) {
                        None => Ok("nothing".to_owned()),
                        Some(_) if has_none => Err("body not allowed by method".to_owned()),
                        Some(_) if expects_continue(&headers) => Ok("100".to_owned()),
                        Some(mut encoder) if encoder.is_chunked() => {
                            let mut last = [0; 16];
                            assert!(!encoder.is_complete());
                            let size = encoder.write_last_chunk(&mut last).unwrap();
                            assert!(encoder.is_complete());
                            Ok(format!("chunks, {:?}", String::from_utf8_lossy(&last[..size])))
                        }
                        Some(_) => Ok("bytes".to_owned()),
                    };
                    let engine = sent_by_engine(method.clone(), body, expect);
                    assert_eq!(ours, engine, "{method} {body:?} {expect:?}");
                }
            }
        }
    }

    #[test]
    fn no_more_of_a_body_is_counted_than_its_head_announces() {
        let mut encoder = BodyEncoder::of(BodyLength::Known(3)).unwrap();
        assert!(encoder.count(2).is_ok() && !encoder.is_complete());
        assert!(encoder.count(2).is_err() && encoder.write_last_chunk(&mut [0; 16]).is_err());
        assert!(encoder.count(1).is_ok() && encoder.is_complete());
        let mut encoder = BodyEncoder::of(BodyLength::Chunked).unwrap();
        assert!(encoder.count(1).is_err());
        assert!(encoder.write_last_chunk(&mut [0; 4]).is_err() && !encoder.is_complete());
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
