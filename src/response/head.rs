//! The head of a response: status, headers, and the redirects that led to it.

use std::sync::Arc;

use crate::http::exchange::{ExchangeInfo, ExchangeShared};
use crate::response_head::RawHead;
use crate::target::Target;
use crate::timings::Timings;

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
    history: Vec<Redirect>,
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
    pub(super) fn new(
        exchange: Arc<ExchangeShared>,
        info: ExchangeInfo,
        head: RawHead,
        history: Vec<Redirect>,
    ) -> Self {
        Self { exchange, info, head, history }
    }

    /// The status code, 100 to 999.
    pub fn status_code(&self) -> u16 {
        self.head.status
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
