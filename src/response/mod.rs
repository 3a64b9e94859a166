//! One response: the head that came, and the body as it comes.

use std::sync::Arc;

use crate::error::{Error, Kind};
use crate::http::Timings;
use crate::http::decode::Content;
use crate::http::exchange::Exchange;
use crate::manager::How;
use crate::target::Target;

/// A response. Dropped before its body ended, it closes its connection at once.
///
/// Threads: one at a time; a [`Stopper`] ends it from any.
#[derive(Debug)]
pub struct Response {
    head: Head,
    body: Body,
}

/// Everything before the body. Threads: immutable.
#[derive(Debug)]
pub struct Head {
    target: Arc<Target>,
    exchange: Arc<Exchange>,
    history: Vec<Hop>,
}

/// A response that redirected. Threads: immutable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Its status: 301, 302, 303, 307 or 308.
    pub status: u16,
    /// The URL that gave it, without user information and fragment.
    pub url: String,
}

/// The body as a stream. Threads: one at a time.
pub struct Body {
    content: Content,
}

/// Ends a response from any thread, while another one is blocked in a read.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Exchange>);

impl Response {
    pub(crate) fn new(content: Content, target: Arc<Target>, history: Vec<Hop>) -> Self {
        let exchange = Arc::clone(content.reader().exchange());
        Self { head: Head { target, exchange, history }, body: Body { content } }
    }

    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The body.
    pub fn body(&mut self) -> &mut Body {
        &mut self.body
    }

    /// Both, apart.
    pub fn into_parts(self) -> (Head, Body) {
        (self.head, self.body)
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// The URL that answered, after all redirects, without user information and fragment.
    pub fn url(&self) -> String {
        self.head.url()
    }

    /// Every response that redirected on the way here, the first one first.
    pub fn history(&self) -> &[Hop] {
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
    /// Any [`Kind`]; a body that was cut off is an error, never an end.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        self.body.read(into)
    }

    /// Reads the rest of the body, at most `at_most` bytes.
    ///
    /// # Errors
    /// Any [`Kind`]; [`Kind::TooLarge`] if there is more.
    pub fn read_all(&mut self, at_most: usize) -> Result<Vec<u8>, Error> {
        self.body.read_all(at_most)
    }

    /// Closes it early: [`How::Graceful`] reads on for a little so that the connection can be kept.
    pub fn close(&mut self, how: How) {
        self.body.close(how);
    }

    /// What ends it from another thread.
    pub fn stopper(&self) -> Stopper {
        self.body.stopper()
    }
}

impl Head {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.exchange.head().map_or(0, |head| head.status)
    }

    /// The protocol version times ten: 10 or 11.
    pub fn version(&self) -> i32 {
        self.exchange.head().map_or(0, |head| i32::from(head.version))
    }

    /// The URL that answered, after all redirects, without user information and fragment.
    pub fn url(&self) -> String {
        self.target.url()
    }

    /// Every response that redirected on the way here, the first one first.
    pub fn history(&self) -> &[Hop] {
        &self.history
    }

    /// How often the last request of the call was sent or tried to be; 1 is no retry.
    pub fn attempts(&self) -> u32 {
        self.exchange.attempt()
    }

    /// The first header of that name (case does not matter).
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Every header in the order in which it came: name in lower case, value.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let fields = self.exchange.head().map_or(&[][..], |head| head.fields());
        fields.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The connection that serves it.
    pub fn connection(&self) -> u64 {
        self.exchange.connection()
    }

    /// Whether that connection had served a request before.
    pub fn reused(&self) -> bool {
        self.exchange.reused()
    }
}

impl Hop {
    pub(crate) fn new(status: u16, target: &Target) -> Self {
        Self { status, url: target.url() }
    }
}

impl Body {
    /// Reads a piece; 0 is the end.
    ///
    /// # Errors
    /// Any [`Kind`].
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        if into.is_empty() {
            return Err(Error::new(
                Kind::InvalidArgument,
                "a buffer of 0 bytes can't tell data from the end",
            ));
        }
        self.content.read(into)
    }

    /// Reads the rest, at most `at_most` bytes.
    ///
    /// # Errors
    /// Any [`Kind`]; [`Kind::TooLarge`] if there is more.
    pub fn read_all(&mut self, at_most: usize) -> Result<Vec<u8>, Error> {
        let expected = self.content.total().and_then(|total| usize::try_from(total).ok());
        if expected.is_some_and(|size| size > at_most) {
            return Err(self.too_large(at_most));
        }
        let mut whole = Vec::new();
        // Address space is not memory: this is touched step by step as well.
        let _ = whole.try_reserve_exact(expected.unwrap_or(0).min(LARGEST_RESERVE));
        // A length that the peer made up must not make us allocate: it is believed step by step.
        let mut step = expected.unwrap_or(FIRST_STEP).clamp(1, LARGEST_STEP);
        loop {
            let end = whole.len();
            if end == at_most {
                // Full: one byte more tells whether that was all.
                return match self.content.read(&mut [0])? {
                    0 => Ok(whole),
                    _ => Err(self.too_large(at_most)),
                };
            }
            whole.resize(end.saturating_add(step).min(at_most), 0);
            let mut filled = end;
            while filled < whole.len() {
                match self.content.read(&mut whole[filled..])? {
                    0 => {
                        whole.truncate(filled);
                        return Ok(whole);
                    }
                    got => filled += got,
                }
            }
            step = whole.len().clamp(FIRST_STEP, LARGEST_STEP);
        }
    }

    /// Closes it early.
    pub fn close(&mut self, how: How) {
        match how {
            How::Graceful => self.content.reader_mut().close_politely(),
            How::Now => self.content.reader_mut().close(),
        }
    }

    /// What ends it from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(self.content.reader().exchange()))
    }

    fn too_large(&mut self, at_most: usize) -> Error {
        self.content.reader_mut().close();
        Error::new(
            Kind::TooLarge,
            format!("the body is larger than the {at_most} bytes that were allowed"),
        )
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

impl Stopper {
    /// Ends it; a read that is blocked answers [`Kind::Closed`]. After the end it does nothing.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// How long each part took so far.
    pub fn timings(&self) -> Timings {
        self.0.timings()
    }
}

const FIRST_STEP: usize = 8 * 1024;
const LARGEST_STEP: usize = 8 * 1024 * 1024;
const LARGEST_RESERVE: usize = 256 * 1024 * 1024;
