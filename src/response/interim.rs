//! An interim response (1xx): what came before the head of the response.

use std::borrow::Cow;
use std::fmt;

use crate::response_head::RawHead;

/// An interim response (RFC 9110 section 15.2), such as 103 Early Hints. It has no body.
///
/// Create: [`ResponseHead::interim_responses`](crate::ResponseHead::interim_responses).
///
/// ```no_run
/// let response = hangup::Client::default().get("https://example.org/", None)?;
/// let hints = response.head().interim_responses().find(|interim| interim.status_code() == 103);
/// if let Some(hints) = hints {
///     println!("{:?}", hints.header("link"));
/// }
/// # Ok::<(), hangup::Error>(())
/// ```
///
/// Threads: immutable.
#[derive(Clone, Copy)]
pub struct InterimResponse<'a>(&'a RawHead);

impl<'a> InterimResponse<'a> {
    pub(crate) fn new(head: &'a RawHead) -> Self {
        Self(head)
    }

    /// The status code: 100, or 102 to 199.
    pub fn status_code(&self) -> u16 {
        self.0.status
    }

    /// The reason phrase as it came.
    pub fn reason(&self) -> &'a [u8] {
        self.0.reason()
    }

    /// The value of the first header with that name, in which case does not matter.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Every header in the order of arrival: its name in lower case, and its value.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.0.fields().iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Every header in the order of arrival, its name in the case in which it came.
    pub fn raw_headers(&self) -> impl Iterator<Item = (&'a str, Cow<'a, [u8]>)> + use<'a> {
        self.0.raw_fields().into_iter()
    }
}

impl fmt::Debug for InterimResponse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}
