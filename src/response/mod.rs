//! A response: its head, which is complete, and its body, which is read as it arrives.

mod body;
mod downloaded;
mod head;
mod interim;
mod piece;
mod read_async;
mod whole;

use std::io;
use std::sync::Arc;

pub use self::body::{CloseHandle, ResponseBody};
pub use self::downloaded::Downloaded;
pub use self::head::{Redirect, ResponseHead};
pub use self::interim::InterimResponse;
pub(crate) use self::piece::Piece;
pub use self::read_async::ReadFuture;
use crate::error::Error;
use crate::http::decode::Content;
use crate::net::facts::ConnectionFacts;
use crate::response_head::RawHead;
use crate::runtime::Spawner;
use crate::stream::Stream;
use crate::timings::Timings;
use crate::vocabulary::CloseMode;

/// A response.
///
/// Create: [`Client::get`](crate::Client::get), [`Client::send`](crate::Client::send) or
/// [`Client::submit`](crate::Client::submit). Use: look at the head, and read the body to its end, which returns the
/// connection to the manager before the end is reported. Dropped before the end of its body, it closes its
/// connection at once. It does not matter which thread or form of call created it: any may read it.
///
/// ```no_run
/// let mut response = hangup::Client::default().get("https://example.org/", None)?;
/// if response.status_code() == 200 {
///     let text = response.read_all(1 << 20)?;
///     println!("{}", String::from_utf8_lossy(&text));
/// }
/// # Ok::<(), hangup::Error>(())
/// ```
///
/// Threads: one at a time; a [`CloseHandle`] ends it from any other.
#[derive(Debug)]
pub struct Response {
    head: ResponseHead,
    body: ResponseBody,
}

impl Response {
    pub(crate) fn new(
        spawner: &Arc<Spawner>,
        content: Content,
        head: RawHead,
        history: Vec<Redirect>,
    ) -> Self {
        let head = ResponseHead::new(content.body(), head, history);
        Self { head, body: ResponseBody::new(spawner, content) }
    }

    /// The body.
    pub fn body(&mut self) -> &mut ResponseBody {
        &mut self.body
    }

    /// Splits the response into its head and its body.
    ///
    /// ```no_run
    /// let client = hangup::Client::default();
    /// let mut response = client.get("https://example.org/", None)?;
    /// let (head, mut body) = response.into_parts();
    /// println!("{} {}", head.status_code(), body.read_all(1 << 20)?.len());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn into_parts(self) -> (ResponseHead, ResponseBody) {
        (self.head, self.body)
    }

    /// Reads a piece of the body; 0 is the end, and the connection is idle again or closed by then. The bytes of `into`
    /// behind the piece are any: the call may use all of it.
    ///
    /// # Errors
    /// Any [`Kind`](crate::Kind); a body that is cut off is an error, never an end.
    /// [`Kind::InvalidArgument`](crate::Kind::InvalidArgument) for an empty buffer.
    ///
    /// ```no_run
    /// let client = hangup::Client::default();
    /// let mut response = client.get("https://example.org/", None)?;
    /// let mut piece = [0; 8192];
    /// while response.read(&mut piece)? > 0 {}
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        self.body.read(into)
    }

    /// Reads the rest of the body, at most `at_most` bytes; `usize::MAX` is the client's bound
    /// ([`Client::set_max_body`](crate::Client::set_max_body)), as in [`bytes`](Self::bytes).
    ///
    /// # Errors
    /// Any [`Kind`](crate::Kind); [`Kind::TooLarge`](crate::Kind::TooLarge) if there is more, and the connection is
    /// closed.
    ///
    /// ```no_run
    /// let client = hangup::Client::default();
    /// let mut response = client.get("https://example.org/", None)?;
    /// let body = response.read_all(1 << 20)?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn read_all(&mut self, at_most: usize) -> Result<Vec<u8>, Error> {
        self.body.read_all(at_most)
    }

    /// Reads the rest of the body, at most as many bytes as the client allows: 256 MiB unless
    /// [`Client::set_max_body`](crate::Client::set_max_body) changed that.
    ///
    /// # Errors
    /// As [`read_all`](Self::read_all).
    ///
    /// ```no_run
    /// let body = hangup::Client::default().get("https://example.org/", None)?.bytes()?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        self.body.bytes()
    }

    /// Fills a buffer with the next bytes of the body, and returns how many they are: fewer than the buffer has room for only
    /// at the end. So a body whose size is known is read into memory of the caller's, without a copy: see [`left`](Self::left).
    ///
    /// `at_most` bounds the body as a whole, that is the bytes of all calls; `usize::MAX` is the client's bound
    /// ([`Client::set_max_body`](crate::Client::set_max_body)).
    ///
    /// # Errors
    /// Any [`Kind`](crate::Kind), also if a part of the buffer was filled; [`Kind::TooLarge`](crate::Kind::TooLarge) if the body
    /// is larger than that, and the connection is closed; [`Kind::InvalidArgument`](crate::Kind::InvalidArgument) for an empty
    /// buffer.
    ///
    /// ```no_run
    /// let mut response = hangup::Client::default().get("https://example.org/picture", None)?;
    /// let mut picture = vec![0; 4096 * 2048 * 3];
    /// let size = response.read_full(&mut picture, usize::MAX)?;
    /// # let _ = size;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn read_full(&mut self, into: &mut [u8], at_most: usize) -> Result<usize, Error> {
        self.body.read_full(into, at_most)
    }

    /// Reads what has arrived of the body and was not read, as far as it fits, and never waits. `None`: nothing has arrived; then
    /// [`read_async`](Self::read_async) or [`read`](Self::read) waits. `Some(0)` is the end. Of a body that is decoded, and with a
    /// trace ([`Client::set_trace`](crate::Client::set_trace)) or a maximum rate, nothing counts as arrived before the end.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// ```no_run
    /// # async fn example(mut response: hangup::Response) -> Result<(), hangup::Error> {
    /// let mut piece = vec![0; 65536];
    /// loop {
    ///     let got = match response.read_available(&mut piece)? {
    ///         Some(got) => got,
    ///         None => response.read_async(65536).await?.len(),
    ///     };
    ///     if got == 0 {
    ///         break;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_available(&mut self, into: &mut [u8]) -> Result<Option<usize>, Error> {
        self.body.read_available(into)
    }

    /// How many bytes of the body are left to read; `None` if that is not known: of a body that is chunked or decoded, while a
    /// submitted read is under way, and after a close. It is what the head says, and the peer may send less.
    ///
    /// ```no_run
    /// let response = hangup::Client::default().get("https://example.org/", None)?;
    /// println!("{:?} bytes to come", response.left());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn left(&self) -> Option<u64> {
        self.body.left()
    }

    /// From here on the body is read as it arrives, and its content codings are not undone.
    ///
    /// # Errors
    /// [`Kind::InvalidState`](crate::Kind::InvalidState) after the first read of a body that is decoded.
    ///
    /// ```no_run
    /// let client = hangup::Client::default();
    /// client.set_decode(true);
    /// let mut response = client.get("https://example.org/archive.tar.gz", None)?;
    /// response.set_raw()?; // the archive itself, whether or not the server calls gzip a coding
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_raw(&mut self) -> Result<(), Error> {
        self.body.set_raw()
    }

    /// Reads the next piece of the body in the background and returns its future, which any executor can
    /// await: at least one byte, at most `at_most` and at most 256 KiB; an empty piece is the end.
    ///
    /// The read begins at the call, not at the first poll. Until its outcome is taken, other reads fail with
    /// [`Kind::InvalidState`](crate::Kind::InvalidState). Dropping the future before its outcome is there closes the
    /// response.
    ///
    /// ```no_run
    /// # async fn copy(mut response: hangup::Response) -> Result<(), hangup::Error> {
    /// loop {
    ///     let piece = response.read_async(64 * 1024).await?;
    ///     if piece.is_empty() {
    ///         break;
    ///     }
    ///     println!("{} bytes", piece.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_async(&mut self, at_most: usize) -> ReadFuture<'_> {
        self.body.read_async(at_most)
    }

    /// Takes the connection as a stream, if the response hands it over: 101 Switching Protocols after a request with
    /// an `Upgrade` header (RFC 9110 section 7.8), or a success after [`Request::connect`](crate::Request::connect).
    /// Bytes that came together with the head are read first. The response keeps its head, and its body is empty.
    ///
    /// Until it is taken, the connection waits, and closes with the response.
    ///
    /// # Errors
    /// [`Kind::InvalidState`](crate::Kind::InvalidState) for any other response, and the second time; what ended the
    /// exchange meanwhile.
    ///
    /// ```no_run
    /// let mut request = hangup::Request::new("GET", "http://localhost:8080/events")?;
    /// request.add_header("upgrade", "echo")?;
    /// let mut response = hangup::Client::default().send(&mut request)?;
    /// if response.status_code() == 101 {
    ///     let stream = response.take_stream()?;
    ///     stream.write_all(b"hello")?;
    /// }
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn take_stream(&mut self) -> Result<Stream, Error> {
        self.body.take_stream()
    }

    /// Closes the response before its end. [`CloseMode::Graceful`] first discards a small rest of the body (at
    /// most 256 KiB), so that the connection can be used again; it is closed if that takes longer than 50 ms or three
    /// round trips, whichever is longer, and one second at most. The call itself takes at most 2 ms; the rest happens
    /// in the background, where the connection counts as in use. [`CloseMode::Now`] closes the connection at once.
    /// After the end of the body it does nothing.
    ///
    /// ```no_run
    /// let client = hangup::Client::default();
    /// let mut response = client.get("https://example.org/", None)?;
    /// response.close(hangup::CloseMode::Now);
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn close(&mut self, how: CloseMode) {
        self.body.close(how);
    }

    /// A handle that closes this response from any thread.
    pub fn close_handle(&self) -> CloseHandle {
        self.body.close_handle()
    }

    /// It is the response of a download.
    pub(crate) fn set_download(&mut self, download: Downloaded) {
        self.head.set_download(download);
    }

    /// Adds to an error what is known of the exchange.
    pub(crate) fn describe(&self, error: Error) -> Error {
        self.head.describe(error)
    }

    /// The head.
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// The status code, 100 to 999.
    pub fn status_code(&self) -> u16 {
        self.head.status_code()
    }

    /// The URL of this response, after all redirects, without user information and fragment.
    pub fn url(&self) -> String {
        self.head.url()
    }

    /// The redirects that led here, the first one first.
    pub fn history(&self) -> &[Redirect] {
        self.head.history()
    }

    /// How many times the last request of the call was sent, or an attempt to send it was made; 1 without a
    /// retry.
    pub fn attempts(&self) -> u32 {
        self.head.attempts()
    }

    /// The trailer fields behind the body, in the order of arrival: names in lower case, and values as they came. There
    /// are none before the body was read to its end. Fields that have no meaning in a trailer section are left out; see
    /// [`ResponseHead::trailers`].
    ///
    /// ```no_run
    /// let client = hangup::Client::default();
    /// let mut response = client.get("https://example.org/", None)?;
    /// response.read_all(1 << 20)?;
    /// for (name, value) in response.trailers() {
    ///     println!("{name}: {}", String::from_utf8_lossy(value));
    /// }
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn trailers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.head.trailers()
    }

    /// What is known of the connection: addresses and TLS. Also after it was closed.
    pub fn connection_facts(&self) -> &ConnectionFacts {
        self.head.connection_facts()
    }

    /// The id of the connection that serves it.
    pub fn connection_id(&self) -> u64 {
        self.head.connection_id()
    }

    /// Whether that connection had served a request before.
    pub fn reused(&self) -> bool {
        self.head.reused()
    }

    /// How long each part took so far.
    pub fn timings(&self) -> Timings {
        self.head.timings()
    }

    /// The part of the body that is in memory already and was not read: all that is left if the request had
    /// its body buffered ([`Request::set_buffer_body`](crate::Request::set_buffer_body)), else none.
    pub(crate) fn buffered(&self) -> Option<&[u8]> {
        self.body.buffered()
    }
}

/// Reads the body, for example with [`std::io::copy`]. The inner error is an [`Error`].
///
/// ```no_run
/// let mut response = hangup::Client::default().get("https://example.org/file", None)?;
/// let mut file = std::fs::File::create("file")?;
/// std::io::copy(&mut response, &mut file)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl io::Read for Response {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut self.body, into)
    }
}
