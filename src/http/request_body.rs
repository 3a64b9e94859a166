//! The body of a request: what it is made from, and how it is read while it is sent.
//!
//! A [`BodySource`] is opened once for each attempt; bytes and files can be read again, a reader of the
//! caller's only if nothing was read from it. A [`BodyReader`] gives exactly as many bytes as were
//! announced. It does not know how they are framed.

use std::fmt;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::exchange::ExchangeShared;
use super::sent_file::{DISKS, SentFile, SlowReader};
use crate::caller_reader::{CallerBytes, CallerReader};
use crate::error::Error;
use crate::net::Stop;
use crate::runtime::{NotDone, WorkerPool, is_on_fiber, run_on_own_worker};
use crate::vocabulary::Kind;

/// What a request's body is made from. Threads: one at a time.
pub(crate) enum BodySource {
    None,
    Bytes(Arc<[u8]>),
    Shared(Arc<CallerBytes>),
    File(PathBuf),
    /// `None` once it was sent, or while a worker reads from it: it can't be read again.
    Reader {
        /// The lock is never taken: it makes a request `Sync`, which its reader need not be.
        reader: Mutex<Option<SlowReader>>,
        /// `None` if it is not known.
        length: Option<u64>,
        /// Something was read from it.
        consumed: bool,
    },
}

/// How long a body is, as its message announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// There is no body.
    None,
    /// Content-Length.
    Known(u64),
    /// Not known: Transfer-Encoding.
    Chunked,
}

/// The body for one attempt. Threads: one at a time.
pub(crate) struct BodyReader<'a> {
    input: Input<'a>,
    /// What is still to be given; `None` if the length is not known.
    left: Option<u64>,
    /// The length was announced by the caller and not counted: the input must end where it says.
    must_end: bool,
    given: u64,
    /// Where a piece is read into on another thread.
    piece: Vec<u8>,
}

/// Where the bytes come from.
enum Input<'a> {
    Memory(&'a [u8]),
    SmallFile(Cursor<Vec<u8>>),
    File(Option<SlowReader>),
    /// It is taken while it is read on another thread. If the exchange ends meanwhile, it does not
    /// come back.
    Caller {
        reader: &'a mut Option<SlowReader>,
        consumed: &'a mut bool,
    },
}

impl BodySource {
    pub(crate) fn reader(reader: impl Read + Send + 'static, length: Option<u64>) -> Self {
        let reader: SlowReader = Box::new(CallerReader::new(reader));
        Self::Reader { reader: Mutex::new(Some(reader)), length, consumed: false }
    }

    /// The source for one call; a reader is taken for good.
    ///
    /// # Errors
    /// [`Kind::InvalidState`] if a reader was taken before.
    pub(crate) fn take(&mut self) -> Result<Self, Error> {
        match self {
            Self::Reader { reader, length, consumed } => {
                let what =
                    "the request's body came from a reader and was sent before; give it a new one";
                let reader =
                    unlocked(reader).take().ok_or_else(|| Error::new(Kind::InvalidState, what))?;
                Ok(Self::Reader {
                    reader: Mutex::new(Some(reader)),
                    length: *length,
                    consumed: *consumed,
                })
            }
            _ => self.try_clone(),
        }
    }

    /// # Errors
    /// [`Kind::InvalidState`] for a reader.
    pub(crate) fn try_clone(&self) -> Result<Self, Error> {
        Ok(match self {
            Self::None => Self::None,
            Self::Bytes(bytes) => Self::Bytes(Arc::clone(bytes)),
            Self::Shared(bytes) => Self::Shared(Arc::clone(bytes)),
            Self::File(path) => Self::File(path.clone()),
            Self::Reader { .. } => {
                let what = "a body that comes from a reader can't be copied";
                return Err(Error::new(Kind::InvalidState, what));
            }
        })
    }

    /// The body from its beginning.
    ///
    /// # Errors
    /// [`Kind::System`] if a file can't be opened.
    pub(crate) fn open(&mut self) -> Result<BodyReader<'_>, Error> {
        let (input, length) = match self {
            Self::None => (Input::Memory(&[]), Some(0)),
            Self::Bytes(bytes) => (Input::Memory(bytes), Some(bytes.len() as u64)),
            Self::Shared(bytes) => {
                let bytes = (**bytes).as_ref();
                (Input::Memory(bytes), Some(bytes.len() as u64))
            }
            Self::File(path) => match SentFile::open(path)? {
                SentFile::Small(bytes) => {
                    let length = bytes.len() as u64;
                    (Input::SmallFile(Cursor::new(bytes)), Some(length))
                }
                SentFile::Large(file, length) => (Input::File(Some(file)), length),
            },
            Self::Reader { reader, length, consumed } => {
                (Input::Caller { reader: unlocked(reader), consumed }, *length)
            }
        };
        Ok(BodyReader { input, left: length, must_end: false, given: 0, piece: Vec::new() })
    }

    pub(crate) fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether it can be read from its beginning (still, or again).
    pub(crate) fn is_replayable(&self) -> bool {
        !matches!(self, Self::Reader { consumed: true, .. })
    }
}

impl fmt::Debug for BodySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Shared(bytes) => write!(f, "{} bytes", (**bytes).as_ref().len()),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Reader { length, .. } => write!(f, "reader of {length:?} bytes"),
        }
    }
}

fn unlocked<T>(mutex: &mut Mutex<T>) -> &mut T {
    mutex.get_mut().unwrap_or_else(PoisonError::into_inner)
}

impl BodyReader<'_> {
    /// A body of no bytes.
    pub(crate) fn empty() -> Self {
        Self {
            input: Input::Memory(&[]),
            left: Some(0),
            must_end: false,
            given: 0,
            piece: Vec::new(),
        }
    }

    /// The next piece; 0 is the end.
    ///
    /// # Errors
    /// [`Stop::Failed`] with [`Kind::BodyFailed`] if reading fails or gives another length than was
    /// announced; what ended the exchange otherwise.
    pub(super) fn read(
        &mut self,
        into: &mut [u8],
        exchange: &ExchangeShared,
    ) -> Result<usize, Stop> {
        let room = self
            .left
            .map_or(into.len(), |left| into.len().min(usize::try_from(left).unwrap_or(into.len())));
        if room == 0 {
            return Ok(0);
        }
        let got = self.read_some(&mut into[..room], exchange)?;
        if got == 0 {
            return match self.left {
                Some(left) if left > 0 => {
                    let (whole, given) = (left + self.given, self.given);
                    let what = format!("the request's body is short: {given} of {whole} bytes");
                    Err(body_failed(what))
                }
                _ => Ok(0),
            };
        }
        self.given += got as u64;
        if let Some(left) = &mut self.left {
            *left -= got as u64;
            // Before the last piece is sent: the peer must not take a body that was cut for a whole one.
            if self.must_end && *left == 0 {
                self.check_end(exchange)?;
            }
        }
        Ok(got)
    }

    fn read_some(&mut self, into: &mut [u8], exchange: &ExchangeShared) -> Result<usize, Stop> {
        self.read_input(into, exchange)?.map_err(|error| {
            let what = format!("the request's body failed: {error}");
            Error::new(Kind::BodyFailed, what).caused_by(error).into()
        })
    }

    /// Fails if no byte was announced, but there are some. No piece of such a body is ever asked for.
    pub(super) fn check_announced_empty(&mut self, exchange: &ExchangeShared) -> Result<(), Stop> {
        if self.must_end && self.left == Some(0) { self.check_end(exchange) } else { Ok(()) }
    }

    /// Fails if the input has more than was announced.
    fn check_end(&mut self, exchange: &ExchangeShared) -> Result<(), Stop> {
        if self.read_some(&mut [0], exchange)? == 0 {
            return Ok(());
        }
        let what = format!(
            "the request's body is longer than its Content-Length: more than {} bytes",
            self.given
        );
        Err(body_failed(what))
    }

    /// Announces a length that is not known otherwise: another one fails the exchange.
    pub(crate) fn announce(&mut self, length: u64) {
        self.left = Some(length);
        self.must_end = true;
    }

    /// How long what is left is.
    pub(crate) fn length(&self) -> BodyLength {
        self.left.map_or(BodyLength::Chunked, BodyLength::Known)
    }

    /// Whether the first bytes can be had without running the caller's code: they may share a packet
    /// with the head.
    pub(crate) fn is_buffered(&self) -> bool {
        !matches!(self.input, Input::Caller { .. }) && self.left != Some(0)
    }

    fn read_input(
        &mut self,
        into: &mut [u8],
        exchange: &ExchangeShared,
    ) -> Result<io::Result<usize>, Stop> {
        loop {
            let read = match &mut self.input {
                Input::Memory(bytes) => bytes.read(into),
                Input::SmallFile(bytes) => bytes.read(into),
                Input::File(file) => read_slow(file, &DISKS, &mut self.piece, into, exchange)?,
                Input::Caller { reader, consumed } => {
                    **consumed = true;
                    read_slow(reader, &READERS, &mut self.piece, into, exchange)?
                }
            };
            match read {
                // `std::io::Read`: try again. A reader that always returns this is ended by a timeout.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => exchange.check()?,
                Ok(got) if got > into.len() => {
                    let what = format!("the reader says it wrote {got} bytes into {}", into.len());
                    return Ok(Err(io::Error::other(what)));
                }
                other => return Ok(other),
            }
        }
    }
}

/// Reads on the caller's own thread; on a fiber, has a worker read. The worker owns the reader then, so
/// that the wait for it can be ended like any other wait.
fn read_slow(
    place: &mut Option<SlowReader>,
    workers: &'static WorkerPool,
    piece: &mut Vec<u8>,
    into: &mut [u8],
    exchange: &ExchangeShared,
) -> Result<io::Result<usize>, Stop> {
    if !is_on_fiber() {
        return Ok(place.as_mut().map_or(Ok(0), |reader| reader.read(into)));
    }
    let Some(mut reader) = place.take() else { return Err(Stop::Ended) };
    let mut buffer = std::mem::take(piece);
    buffer.resize(into.len(), 0);
    let work = move || {
        let read = reader.read(&mut buffer);
        (reader, buffer, read)
    };
    let wake = exchange.register_wake();
    let until = exchange.total_deadline().at;
    match run_on_own_worker(workers, work, &wake, until, &|| exchange.check().is_err()) {
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
        Err(NotDone::GivenUp) => Err(exchange.check().err().unwrap_or(Stop::Ended)),
        Err(NotDone::NoThread(error)) => Err(Stop::NoThread(error)),
    }
}

fn body_failed(what: String) -> Stop {
    Error::new(Kind::BodyFailed, what).into()
}

static READERS: WorkerPool = WorkerPool::for_blocking("hangup-upload");
