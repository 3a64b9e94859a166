//! The head of a response: status, headers, and the redirects that led to it.

use std::borrow::Cow;
use std::sync::Arc;

use super::downloaded::Downloaded;
use super::interim::InterimResponse;
use crate::error::Error;
use crate::http::exchange::{ExchangeInfo, ExchangeShared};
use crate::http::response_body::IncomingBody;
use crate::net::facts::ConnectionFacts;
use crate::response_head::RawHead;
use crate::target::Target;
use crate::timings::Timings;
use crate::vocabulary::Sent;

/// The head of a response: everything before its body.
///
/// ```no_run
/// let response = hangup::Client::default().get("https://example.org/", None)?;
/// let length = response.head().header("content-length").and_then(|value| std::str::from_utf8(value).ok());
/// println!("{length:?}");
/// # Ok::<(), hangup::Error>(())
/// ```
///
/// Threads: immutable.
#[derive(Debug)]
pub struct ResponseHead {
    exchange: Arc<ExchangeShared>,
    info: ExchangeInfo,
    head: RawHead,
    content_length: ContentLength,
    history: Vec<Redirect>,
    download: Option<Box<Downloaded>>,
}

/// How long the body is.
#[derive(Clone, Copy, Debug)]
enum ContentLength {
    Framed(Option<u64>),
    /// The head describes a body that is not sent: its Content-Length counts.
    Announced,
}

/// A redirect that was followed. Threads: immutable.
///
/// ```no_run
/// let client = hangup::Client::default();
/// let response = client.get("http://example.org/", None)?;
/// for redirect in response.history() {
///     println!("{redirect:?}");
/// }
/// # Ok::<(), hangup::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Redirect {
    /// The status code of the response that redirected: 301, 302, 303, 307 or 308.
    pub status_code: u16,
    /// The URL of that response, without user information and fragment.
    pub url: String,
}

impl ResponseHead {
    pub(super) fn new(body: &IncomingBody, head: RawHead, history: Vec<Redirect>) -> Self {
        let content_length = match body.is_to_head() {
            true => ContentLength::Announced,
            false => ContentLength::Framed(body.total()),
        };
        let exchange = Arc::clone(body.shared());
        Self { exchange, info: body.info(), head, content_length, history, download: None }
    }

    /// The status code, 100 to 999.
    pub fn status_code(&self) -> u16 {
        self.head.status
    }

    /// The reason phrase of the status line as it came: any bytes but control characters, often none. It has no
    /// meaning for a program (RFC 9112 section 4).
    ///
    /// ```no_run
    /// let response = hangup::Client::default().get("https://example.org/", None)?;
    /// println!("{}", String::from_utf8_lossy(response.head().reason()));
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn reason(&self) -> &[u8] {
        self.head.reason()
    }

    /// The protocol version times ten: 10 or 11.
    pub fn version(&self) -> i32 {
        i32::from(self.head.version)
    }

    /// The URL of this response, after all redirects, without user information and fragment.
    pub fn url(&self) -> String {
        self.exchange.target().url()
    }

    /// The redirects that led here, the first one first.
    pub fn history(&self) -> &[Redirect] {
        &self.history
    }

    /// How many times the last request of the call was sent, or an attempt to send it was made; 1 without a
    /// retry.
    pub fn attempts(&self) -> u32 {
        self.info.attempt
    }

    /// The value of the first header with that name, in which case does not matter.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Every header in the order of arrival: its name in lower case, and its value.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let fields = self.head.fields();
        fields.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Every value of the headers with that name, in which case does not matter, in the order of arrival. A value is
    /// not split at its commas.
    ///
    /// ```no_run
    /// let response = hangup::Client::default().get("https://example.org/", None)?;
    /// let cookies = response.head().header_values("set-cookie").count();
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn header_values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let all = self.headers().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        all.map(|(_, value)| value)
    }

    /// Every header in the order of arrival, its name in the case in which it came. The values are those of
    /// [`headers`](Self::headers): without white space around them, and with each line fold as one space
    /// (RFC 9112 section 5.2). [`raw_head`](Self::raw_head) has them without any change.
    ///
    /// ```no_run
    /// let response = hangup::Client::default().get("https://example.org/", None)?;
    /// for (name, value) in response.head().raw_headers() {
    ///     println!("{name}: {}", String::from_utf8_lossy(&value));
    /// }
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn raw_headers(&self) -> impl Iterator<Item = (&str, Cow<'_, [u8]>)> {
        self.head.raw_fields().into_iter()
    }

    /// The bytes of the head, from the status line to the empty line, as they came.
    pub fn raw_head(&self) -> &[u8] {
        self.head.bytes()
    }

    /// How many bytes the body has on the wire, before content codings are undone: 0 if there is none, `None` if that
    /// is not known, as in a chunked body. In a response to HEAD it is what Content-Length says of the body that is
    /// not sent.
    ///
    /// ```no_run
    /// let response = hangup::Client::default().get("https://example.org/", None)?;
    /// println!("{:?} bytes", response.head().content_length());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn content_length(&self) -> Option<u64> {
        match self.content_length {
            ContentLength::Framed(length) => length,
            ContentLength::Announced => self.head.announced_length(),
        }
    }

    /// The interim responses (1xx) that came before this one, in the order of arrival, 100 Continue included. The
    /// first 100 are kept. All of them together are no larger than a head may be
    /// ([`Client::set_max_head`](crate::Client::set_max_head)).
    ///
    /// ```no_run
    /// let response = hangup::Client::default().get("https://example.org/", None)?;
    /// for interim in response.head().interim_responses() {
    ///     println!("{}: {:?}", interim.status_code(), interim.header("link"));
    /// }
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn interim_responses(&self) -> impl ExactSizeIterator<Item = InterimResponse<'_>> {
        self.exchange.interim().iter().map(InterimResponse::new)
    }

    /// The trailer fields behind a chunked body, in the order of arrival: names in lower case, and values as they
    /// came. There are none before the body was read to its end.
    ///
    /// They are never merged into the headers (RFC 9110 section 6.5.2). Fields that have to be known before the content
    /// are left out: those about framing, routing, authentication, caching, conditions and the format of the content,
    /// and cookies (section 6.5.1).
    pub fn trailers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.exchange.trailers().into_iter().flat_map(RawHead::trailer_fields)
    }

    /// What is known of the connection: addresses and TLS. Also after it was closed.
    pub fn connection_facts(&self) -> &ConnectionFacts {
        static NONE: ConnectionFacts =
            ConnectionFacts { id: 0, peer: None, local: None, tls: None };
        self.exchange.facts().map_or(&NONE, |facts| facts)
    }

    /// What was downloaded, if this is the response of a [`download`](crate::Client::download).
    ///
    /// ```no_run
    /// let response = hangup::Client::default().get("https://example.org/", None)?;
    /// assert!(response.head().download().is_none());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn download(&self) -> Option<&Downloaded> {
        self.download.as_deref()
    }

    pub(super) fn set_download(&mut self, download: Downloaded) {
        self.download = Some(Box::new(download));
    }

    /// Adds to an error what is known of the exchange, whose request was sent.
    pub(super) fn describe(&self, error: Error) -> Error {
        let ExchangeInfo { connection, reused, attempt, bytes_sent } = self.info;
        self.exchange
            .describe(error)
            .on_connection(connection, reused)
            .after_sending(Sent::All, bytes_sent, true)
            .after_attempts(attempt)
    }

    /// The id of the connection that serves it.
    pub fn connection_id(&self) -> u64 {
        self.info.connection
    }

    /// Whether that connection had served a request before.
    pub fn reused(&self) -> bool {
        self.info.reused
    }

    /// How long each part took so far.
    pub fn timings(&self) -> Timings {
        self.exchange.timings()
    }
}

impl Redirect {
    pub(crate) fn new(status_code: u16, target: &Target) -> Self {
        Self { status_code, url: target.url() }
    }
}
