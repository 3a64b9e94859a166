//! One response: the head that came, and the body as it comes.

mod body;
mod read_async;

use std::sync::Arc;

pub use self::body::{CloseHandle, ResponseBody};
pub(crate) use self::read_async::Piece;
pub use self::read_async::ReadFuture;
use crate::error::Error;
use crate::http::Timings;
use crate::http::decode::Content;
use crate::http::exchange::{ExchangeInfo, ExchangeShared};
use crate::manager::Manager;
use crate::response_head::RawHead;
use crate::target::Target;
use crate::vocabulary::CloseMode;

/// A response. Dropped before its body ended, it closes its connection at once.
///
/// Threads: one at a time; a [`CloseHandle`] ends it from any.
#[derive(Debug)]
pub struct Response {
    head: ResponseHead,
    body: ResponseBody,
}

/// Everything before the body. Threads: immutable.
#[derive(Debug)]
pub struct ResponseHead {
    target: Arc<Target>,
    exchange: Arc<ExchangeShared>,
    info: ExchangeInfo,
    head: RawHead,
    history: Vec<Redirect>,
}

/// A response that redirected. Threads: immutable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Its status: 301, 302, 303, 307 or 308.
    pub status_code: u16,
    /// The URL that gave it, without user information and fragment.
    pub url: String,
}

impl Response {
    pub(crate) fn new(
        manager: &Arc<Manager>,
        content: Content,
        head: RawHead,
        target: Arc<Target>,
        history: Vec<Redirect>,
    ) -> Self {
        let exchange = Arc::clone(content.body().shared());
        Self {
            head: ResponseHead { target, exchange, info: content.body().info(), head, history },
            body: ResponseBody::new(manager, content),
        }
    }

    /// The head.
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// The body.
    pub fn body(&mut self) -> &mut ResponseBody {
        &mut self.body
    }

    /// Both, apart.
    pub fn into_parts(self) -> (ResponseHead, ResponseBody) {
        (self.head, self.body)
    }

    /// The status code.
    pub fn status_code(&self) -> u16 {
        self.head.status_code()
    }

    /// The URL that answered, after all redirects, without user information and fragment.
    pub fn url(&self) -> String {
        self.head.url()
    }

    /// Every response that redirected on the way here, the first one first.
    pub fn history(&self) -> &[Redirect] {
        self.head.history()
    }

    /// How often the last request of the call was sent or tried to be; 1 is no retry.
    pub fn attempts(&self) -> u32 {
        self.head.attempts()
    }

    /// The connection that serves it.
    pub fn connection(&self) -> u64 {
        self.head.connection()
    }

    /// Whether that connection had served a request before.
    pub fn reused(&self) -> bool {
        self.head.reused()
    }

    /// How long each part took so far.
    pub fn timings(&self) -> Timings {
        self.head.exchange.timings()
    }

    /// Reads a piece of the body; 0 is the end, and the connection is idle again or closed.
    ///
    /// # Errors
    /// Any [`Kind`](crate::Kind); a body that was cut off is an error, never an end.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        self.body.read(into)
    }

    /// Reads the rest of the body, at most `at_most` bytes.
    ///
    /// # Errors
    /// Any [`Kind`](crate::Kind); [`Kind::TooLarge`](crate::Kind::TooLarge) if there is more.
    pub fn read_all(&mut self, at_most: usize) -> Result<Vec<u8>, Error> {
        self.body.read_all(at_most)
    }

    /// The next piece of the body, read in the background: a future that any executor can await. At
    /// least one byte, at most `at_most` and at most 64 KiB; empty is the end.
    ///
    /// The read begins at the call, not at the first poll. Until its outcome was taken nothing else
    /// reads: that is [`Kind::InvalidState`](crate::Kind::InvalidState). Dropping the future before
    /// its end closes the response.
    pub fn read_async(&mut self, at_most: usize) -> ReadFuture<'_> {
        self.body.read_async(at_most)
    }

    /// What of the body is here already and was not read; see [`Request::set_buffer_body`](crate::Request::set_buffer_body).
    pub(crate) fn at_hand(&self) -> Option<&[u8]> {
        self.body.at_hand()
    }

    /// Closes it early: [`CloseMode::Graceful`] reads on for a little so that the connection can be kept.
    pub fn close(&mut self, how: CloseMode) {
        self.body.close(how);
    }

    /// What ends it from another thread.
    pub fn close_handle(&self) -> CloseHandle {
        self.body.close_handle()
    }
}

impl ResponseHead {
    /// The status code.
    pub fn status_code(&self) -> u16 {
        self.head.status
    }

    /// The protocol version times ten: 10 or 11.
    pub fn version(&self) -> i32 {
        i32::from(self.head.version)
    }

    /// The URL that answered, after all redirects, without user information and fragment.
    pub fn url(&self) -> String {
        self.target.url()
    }

    /// Every response that redirected on the way here, the first one first.
    pub fn history(&self) -> &[Redirect] {
        &self.history
    }

    /// How often the last request of the call was sent or tried to be; 1 is no retry.
    pub fn attempts(&self) -> u32 {
        self.info.attempt
    }

    /// The first header of that name (case does not matter).
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Every header in the order in which it came: name in lower case, value.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let fields = self.head.fields();
        fields.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The connection that serves it.
    pub fn connection(&self) -> u64 {
        self.info.connection
    }

    /// Whether that connection had served a request before.
    pub fn reused(&self) -> bool {
        self.info.reused
    }
}

impl Redirect {
    pub(crate) fn new(status_code: u16, target: &Target) -> Self {
        Self { status_code, url: target.url() }
    }
}
