//! The body of a response: still arriving, buffered, or taken by a read that was submitted.
//!
//! It does not matter how the request was sent: a read waits as its own thread or task does.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::piece::Piece;
use super::whole::{Bound, read_here, read_more, read_to_end, room_for, too_large};
use crate::error::Error;
use crate::http::decode::Content;
use crate::http::exchange::ExchangeShared;
use crate::process::fork_generation;
use crate::runtime::Spawner;
use crate::spare_memory;
use crate::stream::Stream;
use crate::timings::Timings;
use crate::vocabulary::{CloseMode, Kind};

/// The body of a response, as a stream.
///
/// Create: [`Response::body`](crate::Response::body) or [`Response::into_parts`](crate::Response::into_parts). Dropped
/// before its end, it closes the connection. Threads: one at a time; a [`CloseHandle`] ends it from any other.
///
/// ```no_run
/// let client = hangup::Client::default();
/// let mut response = client.get("https://example.org/", None)?;
/// std::io::copy(response.body(), &mut std::io::sink()).unwrap();
/// # Ok::<(), hangup::Error>(())
/// ```
pub struct ResponseBody {
    state: State,
    /// All of it, if the request had it buffered.
    buffer: Option<Buffer>,
    exchange: Arc<ExchangeShared>,
    spawner: Arc<Spawner>,
    /// How many bytes the next submitted read allocates: a body that arrives in small pieces needs few.
    room: usize,
    /// The bound on all of it where a call gives none.
    max: usize,
    /// How many bytes `read_full` has returned.
    filled: u64,
}

/// Where the content is that reads are made from.
enum State {
    Open(Content),
    /// Taken by a submitted read, in the process with this fork generation.
    Reading(u32),
    /// Closed while a submitted read had it, or lost with that read.
    Closed,
}

/// A body that arrived before its response was returned, and how far it was read.
struct Buffer {
    bytes: Vec<u8>,
    read: usize,
}

/// Closes a response from any thread, also while another thread is blocked in a read.
///
/// ```no_run
/// use std::time::Duration;
///
/// let mut response = hangup::Client::default().get("https://example.org/stream", None)?;
/// let handle = response.close_handle();
/// std::thread::spawn(move || {
///     std::thread::sleep(Duration::from_secs(10));
///     handle.close();
/// });
/// let outcome = response.read_all(1 << 30); // after ten seconds: Kind::Closed
/// # drop(outcome);
/// # Ok::<(), hangup::Error>(())
/// ```
///
/// Threads: any thread at any time.
#[derive(Clone, Debug)]
pub struct CloseHandle(Arc<ExchangeShared>);

impl ResponseBody {
    pub(super) fn new(spawner: &Arc<Spawner>, content: Content) -> Self {
        let exchange = Arc::clone(content.body().shared());
        let spawner = Arc::clone(spawner);
        Self {
            state: State::Open(content),
            buffer: None,
            exchange,
            spawner,
            room: FIRST_ROOM,
            max: usize::MAX,
            filled: 0,
        }
    }

    /// Reads a piece; 0 is the end.
    ///
    /// # Errors
    /// Any [`Kind`]; [`Kind::InvalidState`] while a submitted read is under way; [`Kind::InvalidArgument`] for
    /// an empty buffer.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        if into.is_empty() {
            return Err(no_room("a buffer"));
        }
        let Source { content, buffer } = self.source()?;
        match buffer {
            Some(buffer) => Ok(buffer.read(into)),
            None => {
                let got = content.read(into)?;
                if got < LARGE || into.len().saturating_sub(got) < LARGE || !content.may_hold_more()
                {
                    return Ok(got);
                }
                // Over TLS a large body comes in records: those that are here belong to the same piece. The next read
                // returns a failure, or the end.
                match content.read_here(&mut into[got..]) {
                    Ok(Some(more)) => Ok(got + more),
                    Ok(None) | Err(_) => Ok(got),
                }
            }
        }
    }

    /// Reads the rest, at most `at_most` bytes; `usize::MAX` is the client's bound
    /// ([`Client::set_max_body`](crate::Client::set_max_body)).
    ///
    /// # Errors
    /// Any [`Kind`]; [`Kind::TooLarge`] if there is more.
    pub fn read_all(&mut self, at_most: usize) -> Result<Vec<u8>, Error> {
        let bound = self.bound(at_most);
        let Source { content, buffer } = self.source()?;
        match buffer {
            Some(buffer) => buffer.take(bound.bytes).ok_or_else(|| too_large(content, bound)),
            None => read_to_end(content, bound),
        }
    }

    /// Fills `into`, with fewer bytes only at the end; see [`Response::read_full`](crate::Response::read_full).
    ///
    /// # Errors
    /// As there.
    pub fn read_full(&mut self, into: &mut [u8], at_most: usize) -> Result<usize, Error> {
        if into.is_empty() {
            return Err(no_room("a buffer"));
        }
        let bound = self.bound(at_most);
        let allowed =
            usize::try_from(self.filled).map_or(0, |filled| bound.bytes.saturating_sub(filled));
        let Source { content, buffer } = self.source()?;
        let left = match &buffer {
            Some(buffer) => Some(buffer.left() as u64),
            None => content.left(),
        };
        if left.is_some_and(|left| left > allowed as u64) {
            return Err(too_large(content, bound));
        }
        let most = into.len().min(allowed);
        let mut filled = 0;
        match buffer {
            Some(buffer) => filled = buffer.read(&mut into[..most]),
            None => {
                while filled < most {
                    match content.read(&mut into[filled..most])? {
                        0 => break,
                        got => filled += got,
                    }
                }
                // Nothing more is allowed: one more byte shows whether that was all.
                if filled == allowed && filled < into.len() && content.read(&mut [0])? > 0 {
                    return Err(too_large(content, bound));
                }
            }
        }
        self.filled += filled as u64;
        Ok(filled)
    }

    /// Reads what has arrived; see [`Response::read_available`](crate::Response::read_available).
    ///
    /// # Errors
    /// As there.
    pub fn read_available(&mut self, into: &mut [u8]) -> Result<Option<usize>, Error> {
        if into.is_empty() {
            return Err(no_room("a buffer"));
        }
        let Source { content, buffer } = self.source()?;
        match buffer {
            Some(buffer) => Ok(Some(buffer.read(into))),
            // At the end there is nothing to wait for.
            None if content.is_over() => content.read(into).map(Some),
            None => content.read_here(into),
        }
    }

    /// How many bytes are left to read, if that is known; see [`Response::left`](crate::Response::left).
    pub fn left(&self) -> Option<u64> {
        match (&self.state, &self.buffer) {
            (_, Some(buffer)) => Some(buffer.left() as u64),
            (State::Open(content), None) if content.body().was_cut() => None,
            (State::Open(content), None) if content.is_over() => Some(0),
            (State::Open(content), None) => content.left(),
            (State::Reading(_) | State::Closed, None) => None,
        }
    }

    /// Reads the rest, at most as many bytes as the client allows; see [`Response::bytes`](crate::Response::bytes).
    ///
    /// # Errors
    /// As [`read_all`](Self::read_all).
    pub fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        self.read_all(usize::MAX)
    }

    /// Reads the body as it arrives; see [`Response::set_raw`](crate::Response::set_raw).
    ///
    /// # Errors
    /// [`Kind::InvalidState`] after the first read, and while a submitted read is under way.
    pub fn set_raw(&mut self) -> Result<(), Error> {
        self.source()?;
        let late = || {
            let what =
                "a part of the body was decoded already; ask for raw bytes before the first read";
            Error::new(Kind::InvalidState, what)
        };
        if self.buffer.is_some() {
            return Err(late());
        }
        let State::Open(content) = std::mem::replace(&mut self.state, State::Closed) else {
            return Ok(());
        };
        let (content, is_raw) = content.leave_coded();
        self.state = State::Open(content);
        if is_raw { Ok(()) } else { Err(late()) }
    }

    /// Sets the bound on all of it where a call gives none.
    pub(crate) fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// Closes it before its end, as [`Response::close`](crate::Response::close) does. A submitted read that is under
    /// way ends with [`Kind::Closed`].
    pub fn close(&mut self, how: CloseMode) {
        match (&mut self.state, how) {
            (State::Open(content), CloseMode::Graceful) => content.body_mut().close_gracefully(),
            (State::Open(content), CloseMode::Now) => content.body_mut().close(),
            (State::Reading(_), _) => {
                self.state = State::Closed;
                self.exchange.close();
            }
            (State::Closed, _) => {}
        }
    }

    /// Takes the connection, if the response hands it over; see
    /// [`Response::take_stream`](crate::Response::take_stream).
    ///
    /// # Errors
    /// As there.
    pub fn take_stream(&mut self) -> Result<Stream, Error> {
        let connection = self.source()?.content.body_mut().take_upgraded()?;
        Ok(Stream::new(connection, &self.spawner))
    }

    /// A handle that closes it from any thread.
    pub fn close_handle(&self) -> CloseHandle {
        CloseHandle(Arc::clone(&self.exchange))
    }

    /// Waits for all of it, at most so many bytes, and keeps it: reads don't wait then.
    pub(crate) fn fill_buffer(&mut self, at_most: usize) -> Result<(), Error> {
        let bytes = self.read_all(at_most)?;
        self.buffer = Some(Buffer { bytes, read: 0 });
        Ok(())
    }

    /// Whether more than so many bytes are left, as is known, and no more than `at_most` allows.
    pub(crate) fn is_longer(&self, length: u64, at_most: usize) -> bool {
        let most = self.bound(at_most).bytes as u64;
        length != u64::MAX && self.left().is_some_and(|left| left > length && left <= most)
    }

    /// The part that is in memory already and was not read: all that is left, if it was buffered.
    pub(crate) fn buffered(&self) -> Option<&[u8]> {
        self.buffer.as_ref().map(|buffer| &buffer.bytes[buffer.read..])
    }

    /// Begins a submitted read of at most so many bytes. `done` is called once, with the piece that
    /// [`finish_read`](Self::finish_read) takes. If this fails, it is not called.
    pub(crate) fn begin_read(
        &mut self,
        at_most: usize,
        done: impl FnOnce(Piece) + Send + 'static,
    ) -> Result<(), Error> {
        if at_most == 0 {
            return Err(no_room("a piece"));
        }
        self.source()?;
        let room = at_most.min(self.room);
        let State::Open(mut content) =
            std::mem::replace(&mut self.state, State::Reading(fork_generation()))
        else {
            return Ok(());
        };
        if let Some(buffer) = &mut self.buffer {
            let bytes = buffer.piece(at_most.min(MAX_PIECE));
            done(Piece::new(content, Ok(bytes)));
        } else if content.body().is_over() {
            // At the end there is nothing to wait for.
            let bytes = fill(&mut content, Vec::new(), room);
            done(Piece::new(content, bytes));
        } else {
            let mut bytes = room_for(largest(&content, room));
            // What is here already needs no job.
            match read_here(&mut content, &mut bytes, room) {
                Ok(None) => {}
                Ok(Some(_)) => {
                    done(Piece::new(content, Ok(shortened(bytes))));
                    return Ok(());
                }
                Err(error) => {
                    done(Piece::new(content, Err(error)));
                    return Ok(());
                }
            }
            let read = move || {
                let bytes = fill(&mut content, bytes, room);
                Piece::new(content, bytes)
            };
            let done = |outcome: Result<Piece, Error>| done(outcome.unwrap_or_else(Piece::lost));
            self.spawner.spawn(read, done);
        }
        Ok(())
    }

    /// Ends a submitted read: from here on other reads may begin.
    pub(crate) fn finish_read(&mut self, piece: Piece) -> Result<Vec<u8>, Error> {
        if !matches!(self.state, State::Reading(_)) {
            return Err(piece.closed_error());
        }
        let (content, outcome) = piece.into_parts();
        // The room is allocated while the read waits: four times as much after a full piece, half after small
        // ones.
        self.room = match &outcome {
            Ok(bytes) if bytes.len() >= self.room => (self.room * 4).min(MAX_PIECE),
            Ok(bytes) if bytes.len() < self.room / 8 => (self.room / 2).max(FIRST_ROOM),
            _ => self.room,
        };
        self.state = content.map_or(State::Closed, State::Open);
        outcome
    }

    fn bound(&self, at_most: usize) -> Bound {
        match at_most {
            usize::MAX => Bound { bytes: self.max, of: "max_body" },
            _ => Bound { bytes: at_most, of: "this call" },
        }
    }

    fn source(&mut self) -> Result<Source<'_>, Error> {
        match &mut self.state {
            State::Open(content) => Ok(Source { content, buffer: self.buffer.as_mut() }),
            State::Reading(process) if *process != fork_generation() => Err(Error::new(
                Kind::Forked,
                "this response is read by the parent of this process; send a new request",
            )),
            State::Reading(_) => Err(Error::new(
                Kind::InvalidState,
                "a submitted read of this response is under way; take its outcome first",
            )),
            State::Closed => {
                Err(Error::new(Kind::InvalidState, "the response was closed before its body ended"))
            }
        }
    }
}

/// What a body is read from.
struct Source<'a> {
    content: &'a mut Content,
    buffer: Option<&'a mut Buffer>,
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

/// Reads the body. The inner error is an [`Error`].
impl io::Read for ResponseBody {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        Ok(Self::read(self, into)?)
    }
}

impl Drop for ResponseBody {
    /// Ends a submitted read, which has the content. Dropping the content ends all others.
    fn drop(&mut self) {
        if matches!(self.state, State::Reading(process) if process == fork_generation()) {
            self.exchange.close();
        }
    }
}

/// The next body is read into its memory.
impl Drop for Buffer {
    fn drop(&mut self) {
        spare_memory::give_back(std::mem::take(&mut self.bytes));
    }
}

impl Buffer {
    fn left(&self) -> usize {
        self.bytes.len() - self.read
    }

    fn read(&mut self, into: &mut [u8]) -> usize {
        let rest = &self.bytes[self.read..];
        let size = rest.len().min(into.len());
        into[..size].copy_from_slice(&rest[..size]);
        self.read += size;
        size
    }

    fn piece(&mut self, at_most: usize) -> Vec<u8> {
        let end = self.bytes.len().min(self.read.saturating_add(at_most));
        let piece = self.bytes[self.read..end].to_vec();
        self.read = end;
        piece
    }

    /// All that is left; `None` if that is more than `at_most`.
    fn take(&mut self, at_most: usize) -> Option<Vec<u8>> {
        if self.bytes.len() - self.read > at_most {
            return None;
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.drain(..std::mem::take(&mut self.read));
        Some(bytes)
    }
}

impl CloseHandle {
    /// Closes the response: a read that is blocked fails with [`Kind::Closed`]. After the end of the body it does
    /// nothing.
    pub fn close(&self) {
        self.0.close();
    }

    /// How long each part took so far.
    pub fn timings(&self) -> Timings {
        self.0.timings()
    }
}

/// How large a piece can be that has at most so many bytes.
fn largest(content: &Content, room: usize) -> usize {
    let left = content.left().and_then(|left| usize::try_from(left).ok());
    room.min(left.unwrap_or(usize::MAX)).max(1)
}

/// Waits for a piece of at most so many bytes, and takes all that is here by then.
fn fill(content: &mut Content, mut bytes: Vec<u8>, room: usize) -> Result<Vec<u8>, Error> {
    let most = largest(content, room);
    bytes.reserve(most);
    let got = read_more(content, &mut bytes, most)?;
    if got > 0 && got < most {
        // The next read returns a failure, or the end.
        let _ = read_here(content, &mut bytes, most - got);
    }
    Ok(shortened(bytes))
}

fn shortened(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() < bytes.capacity() / 2 {
        if spare_memory::is_kept(&bytes) {
            let short = bytes.to_vec();
            spare_memory::give_back(bytes);
            return short;
        }
        bytes.shrink_to_fit();
    }
    bytes
}

fn no_room(what: &str) -> Error {
    Error::new(Kind::InvalidArgument, format!("{what} of 0 bytes can't tell data from the end"))
}

/// A piece that ended a read of TLS records, and room for which more are looked for.
const LARGE: usize = 16 * 1024;
/// How many bytes a submitted read allocates at first.
const FIRST_ROOM: usize = 4 * 1024;
/// How many it allocates at most.
const MAX_PIECE: usize = 256 * 1024;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_buffered_body_is_used_again() {
        let bytes = vec![0; 1_234_567];
        let at = bytes.as_ptr();
        drop(Buffer { bytes, read: 0 });
        let again = spare_memory::take(1_234_567).unwrap();
        assert_eq!(again.as_ptr(), at);
    }
}
