//! The body of a response: on its way, here already, or lent to a read that was submitted.
//!
//! It does not matter where the response was begun: whoever reads waits in the way of its own task.

use std::sync::Arc;

use super::read_async::{Piece, ReadFuture};
use crate::error::Error;
use crate::http::Timings;
use crate::http::decode::Content;
use crate::http::exchange::ExchangeShared;
use crate::manager::Manager;
use crate::process::fork_generation;
use crate::runtime::Spawner;
use crate::vocabulary::{CloseMode, Kind, Phase, Sent};

/// The body as a stream. Threads: one at a time.
pub struct ResponseBody {
    place: Place,
    /// All of it, if the request asked for that.
    whole: Option<Whole>,
    exchange: Arc<ExchangeShared>,
    spawner: Arc<Spawner>,
    /// What the next submitted read makes room for: a body that comes in drops needs little.
    room: usize,
}

/// Where what is to be read from is.
enum Place {
    Here(Content),
    /// With a submitted read of this process.
    Lent(u32),
    /// With a submitted read that nobody waits for any more, or lost with it.
    Gone,
}

/// A body that came before its response was handed out, and how far it was read.
struct Whole {
    bytes: Vec<u8>,
    read: usize,
}

/// Ends a response from any thread, while another one is blocked in a read.
#[derive(Clone, Debug)]
pub struct CloseHandle(Arc<ExchangeShared>);

impl ResponseBody {
    pub(super) fn new(manager: &Arc<Manager>, content: Content) -> Self {
        let exchange = Arc::clone(content.body().shared());
        let spawner = Arc::clone(manager.spawner());
        Self { place: Place::Here(content), whole: None, exchange, spawner, room: FIRST_ROOM }
    }

    /// Reads a piece; 0 is the end.
    ///
    /// # Errors
    /// Any [`Kind`]; [`Kind::InvalidState`] while a submitted read is under way.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        if into.is_empty() {
            return Err(no_room("a buffer"));
        }
        let Here { content, whole } = self.here()?;
        match whole {
            Some(whole) => Ok(whole.read(into)),
            None => content.read(into),
        }
    }

    /// Reads the rest, at most `at_most` bytes.
    ///
    /// # Errors
    /// Any [`Kind`]; [`Kind::TooLarge`] if there is more.
    pub fn read_all(&mut self, at_most: usize) -> Result<Vec<u8>, Error> {
        let Here { content, whole } = self.here()?;
        match whole {
            Some(whole) => whole.take(at_most).ok_or_else(|| too_large(content, at_most)),
            None => read_to_end(content, at_most),
        }
    }

    /// The next piece as a future; see [`Response::read_async`](super::Response::read_async).
    pub fn read_async(&mut self, at_most: usize) -> ReadFuture<'_> {
        ReadFuture::begin(self, at_most)
    }

    /// Closes it early. A submitted read that is under way ends with [`Kind::Closed`].
    pub fn close(&mut self, how: CloseMode) {
        match (&mut self.place, how) {
            (Place::Here(content), CloseMode::Graceful) => content.body_mut().close_gracefully(),
            (Place::Here(content), CloseMode::Now) => content.body_mut().close(),
            (Place::Lent(_), _) => {
                self.place = Place::Gone;
                self.exchange.close();
            }
            (Place::Gone, _) => {}
        }
    }

    /// What ends it from another thread.
    pub fn close_handle(&self) -> CloseHandle {
        CloseHandle(Arc::clone(&self.exchange))
    }

    /// Waits for all of it, at most so many bytes; reading hands it out without waiting then.
    pub(crate) fn fetch(&mut self, at_most: usize) -> Result<(), Error> {
        let bytes = self.read_all(at_most)?;
        self.whole = Some(Whole { bytes, read: 0 });
        Ok(())
    }

    /// What of it is here already and was not read: all that is left, if the request asked for that.
    pub(crate) fn at_hand(&self) -> Option<&[u8]> {
        self.whole.as_ref().map(|whole| &whole.bytes[whole.read..])
    }

    /// Begins a submitted read of at most so many bytes. `done` is called once, with what
    /// [`finish_read`](Self::finish_read) wants. After an error it is not called.
    pub(crate) fn begin_read(
        &mut self,
        at_most: usize,
        done: impl FnOnce(Piece) + Send + 'static,
    ) -> Result<(), Error> {
        if at_most == 0 {
            return Err(no_room("a piece"));
        }
        self.here()?;
        let room = at_most.min(self.room);
        let Place::Here(mut content) =
            std::mem::replace(&mut self.place, Place::Lent(fork_generation()))
        else {
            return Ok(());
        };
        if let Some(whole) = &mut self.whole {
            let bytes = whole.piece(at_most.min(LARGEST_PIECE));
            done(Piece::new(content, Ok(bytes)));
        } else if content.body().is_over() {
            // There is nothing to wait for.
            let bytes = piece(&mut content, room);
            done(Piece::new(content, bytes));
        } else {
            let read = move || {
                let bytes = piece(&mut content, room);
                Piece::new(content, bytes)
            };
            let done = |outcome: Result<Piece, Error>| done(outcome.unwrap_or_else(Piece::lost));
            self.spawner.spawn(read, done);
        }
        Ok(())
    }

    /// Ends a submitted read: from here on others may read.
    pub(crate) fn finish_read(&mut self, piece: Piece) -> Result<Vec<u8>, Error> {
        if !matches!(self.place, Place::Lent(_)) {
            return Err(piece.closed_error());
        }
        let (content, outcome) = piece.into_parts();
        // As much again and more after a full one; it is held while the read waits.
        self.room = match &outcome {
            Ok(bytes) if bytes.len() >= self.room => (self.room * 4).min(LARGEST_PIECE),
            Ok(bytes) if bytes.len() < self.room / 8 => (self.room / 2).max(FIRST_ROOM),
            _ => self.room,
        };
        self.place = content.map_or(Place::Gone, Place::Here);
        outcome
    }

    fn here(&mut self) -> Result<Here<'_>, Error> {
        match &mut self.place {
            Place::Here(content) => Ok(Here { content, whole: self.whole.as_mut() }),
            Place::Lent(process) if *process != fork_generation() => Err(Error::new(
                Kind::Forked,
                "this response is read by the parent of this process; send a new request",
            )),
            Place::Lent(_) => Err(Error::new(
                Kind::InvalidState,
                "a submitted read of this response is under way; take its outcome first",
            )),
            Place::Gone => {
                Err(Error::new(Kind::InvalidState, "the response was closed before its body ended"))
            }
        }
    }
}

/// A body that can be read.
struct Here<'a> {
    content: &'a mut Content,
    whole: Option<&'a mut Whole>,
}

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

impl Drop for ResponseBody {
    /// Who reads has a share of the exchange, and ends with it.
    fn drop(&mut self) {
        if matches!(self.place, Place::Lent(process) if process == fork_generation()) {
            self.exchange.close();
        }
    }
}

impl Whole {
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
    /// Ends it; a read that is blocked answers [`Kind::Closed`]. After the end it does nothing.
    pub fn close(&self) {
        self.0.close();
    }

    /// How long each part took so far.
    pub fn timings(&self) -> Timings {
        self.0.timings()
    }
}

/// What one read gives, at most so many bytes.
fn piece(content: &mut Content, room: usize) -> Result<Vec<u8>, Error> {
    let left = content.left().and_then(|left| usize::try_from(left).ok());
    let room = room.min(left.unwrap_or(usize::MAX)).max(1);
    let mut bytes = vec![0; room];
    let got = content.read(&mut bytes)?;
    bytes.truncate(got);
    if got < room / 2 {
        bytes.shrink_to_fit();
    }
    Ok(bytes)
}

/// The rest, at most so many bytes.
fn read_to_end(content: &mut Content, at_most: usize) -> Result<Vec<u8>, Error> {
    let expected = content.left().and_then(|left| usize::try_from(left).ok());
    if expected.is_some_and(|size| size > at_most) {
        return Err(too_large(content, at_most));
    }
    let mut whole = Vec::new();
    // Address space is not memory: this is touched step by step as well.
    let _ = whole.try_reserve_exact(expected.unwrap_or(0).min(LARGEST_RESERVE));
    // A length that the peer made up must not make us allocate: it is believed step by step.
    let mut step = expected.unwrap_or(FIRST_STEP).clamp(1, LARGEST_STEP);
    loop {
        let end = whole.len();
        if content.is_over() {
            return content.read(&mut [0]).map(|_| whole);
        }
        if end == at_most || expected == Some(end) {
            // Full: one byte more tells whether that was all.
            return match content.read(&mut [0])? {
                0 => Ok(whole),
                _ => Err(too_large(content, at_most)),
            };
        }
        whole.resize(end.saturating_add(step).min(at_most), 0);
        let mut filled = end;
        while filled < whole.len() {
            match content.read(&mut whole[filled..])? {
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

fn too_large(content: &mut Content, at_most: usize) -> Error {
    let info = content.body().info();
    content.body_mut().close();
    let what = format!("the body is larger than the {at_most} bytes that were allowed");
    Error::new(Kind::TooLarge, what)
        .in_phase(Phase::Read)
        .on_connection(info.connection, info.reused)
        .after_sending(Sent::All, info.bytes_sent, true)
        .after_attempts(info.attempt)
}

fn no_room(what: &str) -> Error {
    Error::new(Kind::InvalidArgument, format!("{what} of 0 bytes can't tell data from the end"))
}

const FIRST_STEP: usize = 8 * 1024;
const LARGEST_STEP: usize = 8 * 1024 * 1024;
const LARGEST_RESERVE: usize = 256 * 1024 * 1024;
/// What a submitted read makes room for, at first.
const FIRST_ROOM: usize = 4 * 1024;
/// What it makes room for at most: a socket rarely has more to give at once.
const LARGEST_PIECE: usize = 64 * 1024;
