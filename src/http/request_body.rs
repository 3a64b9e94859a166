//! The body of a request while it is sent: exactly as long as it said, and no longer than the
//! peer wants to hear it.

use std::io::{self, Read};
use std::sync::Arc;

use super::exchange::Exchange;
use super::h1::Stopped;
use crate::error::Error;
use crate::net::Stop;
use crate::runtime::{NotDone, WorkerPool, is_on_fiber, run_on_own_worker};
use crate::timeouts::Deadline;
use crate::vocabulary::Kind;

/// A reader that may take its time: a file, or code of the caller's.
pub(crate) type Slow = Box<dyn Read + Send>;

/// Where a body comes from.
pub(crate) enum Source<'a> {
    Memory(&'a [u8]),
    File(&'a mut Option<Slow>),
    /// Code of the caller's: it may take as long as it likes. It is taken while it is read; when
    /// the exchange ends meanwhile, it does not come back. And whether it was read from.
    Reader(&'a mut Option<Slow>, &'a mut bool),
}

/// Threads: one at a time.
pub(crate) struct Upload<'a> {
    source: Source<'a>,
    /// What is still to be given; `None` if the length is not known.
    left: Option<u64>,
    given: u64,
    exchange: Option<Arc<Exchange>>,
    /// Where a piece is read into on another thread.
    piece: Vec<u8>,
}

impl<'a> Upload<'a> {
    pub(crate) fn new(source: Source<'a>, length: Option<u64>) -> Self {
        Self { source, left: length, given: 0, exchange: None, piece: Vec::new() }
    }

    /// How much is still to be given, if that is known.
    pub(super) fn left(&self) -> Option<u64> {
        self.left
    }

    /// Whether the first bytes are here already: they may share a packet with the head.
    pub(crate) fn is_at_hand(&self) -> bool {
        !matches!(self.source, Source::Reader(..)) && self.left != Some(0)
    }

    pub(super) fn belongs_to(&mut self, exchange: &Arc<Exchange>) {
        self.exchange = Some(Arc::clone(exchange));
    }

    /// Interrupted means "again" (std::io::Read); a reader that says so for ever is ended by the
    /// clock.
    fn read_source(&mut self, into: &mut [u8]) -> Result<io::Result<usize>, Stopped> {
        loop {
            let read = match &mut self.source {
                Source::Memory(bytes) => bytes.read(into),
                Source::File(file) => {
                    read_slow(file, &DISKS, &mut self.piece, into, self.exchange.as_deref())?
                }
                Source::Reader(reader, touched) => {
                    **touched = true;
                    read_slow(reader, &READERS, &mut self.piece, into, self.exchange.as_deref())?
                }
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    if let Some(exchange) = &self.exchange
                        && let Err(stop) = exchange.check()
                    {
                        exchange.fail(stop);
                        return Err(Stopped);
                    }
                }
                Ok(got) if got > into.len() => {
                    let what = format!("the reader says it wrote {got} bytes into {}", into.len());
                    return Ok(Err(io::Error::other(what)));
                }
                other => return Ok(other),
            }
        }
    }

    fn fail(&self, what: String) -> Stopped {
        if let Some(exchange) = &self.exchange {
            exchange.fail_with(Error::new(Kind::BodyFailed, what));
        }
        Stopped
    }

    /// The next piece; 0 is the end.
    pub(super) fn next(&mut self, into: &mut [u8]) -> Result<usize, Stopped> {
        let room = self
            .left
            .map_or(into.len(), |left| into.len().min(usize::try_from(left).unwrap_or(into.len())));
        if room == 0 {
            return Ok(0);
        }
        match self.read_source(&mut into[..room])? {
            Ok(0) => match self.left {
                Some(left) if left > 0 => {
                    let whole = left + self.given;
                    Err(self.fail(format!(
                        "the request's body is short: {} of {whole} bytes",
                        self.given
                    )))
                }
                _ => Ok(0),
            },
            Ok(got) => {
                self.given += got as u64;
                if let Some(left) = &mut self.left {
                    *left -= got as u64;
                }
                Ok(got)
            }
            Err(error) => Err(self.fail(format!("the request's body failed: {error}"))),
        }
    }
}

/// Reads on the caller's own thread, or has a worker read where others share the thread. The worker
/// owns the reader then, and the wait for it is ended like any other wait.
fn read_slow(
    place: &mut Option<Slow>,
    crew: &'static WorkerPool,
    piece: &mut Vec<u8>,
    into: &mut [u8],
    exchange: Option<&Exchange>,
) -> Result<io::Result<usize>, Stopped> {
    let Some(exchange) = exchange.filter(|_| is_on_fiber()) else {
        return Ok(place.as_mut().map_or(Ok(0), |reader| reader.read(into)));
    };
    let Some(mut reader) = place.take() else { return Err(Stopped) };
    let mut piece_of_it = std::mem::take(piece);
    piece_of_it.resize(into.len(), 0);
    let work = move || {
        let read = reader.read(&mut piece_of_it);
        (reader, piece_of_it, read)
    };
    let event = exchange.register_wake();
    let until = exchange.clocks().until(Deadline::NEVER).at;
    match run_on_own_worker(crew, work, &event, until, &|| exchange.check().is_err()) {
        Ok((reader, bytes, read)) => {
            *place = Some(reader);
            if let Ok(got) = read
                && got <= into.len()
            {
                into[..got].copy_from_slice(&bytes[..got]);
            }
            *piece = bytes;
            Ok(read)
        }
        Err(NotDone::GivenUp) => {
            exchange.fail(exchange.check().err().unwrap_or(Stop::Ended));
            Err(Stopped)
        }
        Err(NotDone::NoThread(error)) => {
            exchange.fail(Stop::NoThread(error));
            Err(Stopped)
        }
    }
}

pub(super) static DISKS: WorkerPool = WorkerPool::for_blocking("hangup-file");
static READERS: WorkerPool = WorkerPool::for_blocking("hangup-upload");
