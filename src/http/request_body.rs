//! The body of a request: what it is made from, and how it is read while it is sent.
//!
//! A [`BodySource`] is opened once for each attempt. Bytes and files can be read again; a reader of the caller's only if
//! it can be rewound, or nothing was read from it. A [`BodyReader`] gives exactly as many bytes as were announced. It does
//! not know how they are framed.

use std::fmt;
use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::exchange::ExchangeShared;
use super::sent_file::{DISKS, SentFile};
use crate::caller_reader::{CallerBytes, CallerReader, SlowReader};
use crate::error::Error;
use crate::net::Stop;
use crate::runtime::{
    InputDescriptor, NotDone, Notify, Source, WorkerPool, is_on_fiber, run_on_own_worker,
};
use crate::upload::PipeReader;
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
        /// It can be read again after it was rewound.
        can_rewind: bool,
    },
    /// What a [`BodyWriter`](crate::upload::BodyWriter) writes; `None` once it was sent.
    Pushed {
        pipe: Option<PipeReader>,
        length: Option<u64>,
        consumed: bool,
    },
    /// What is read from a pipe, a socket or a device; `None` once it was sent.
    Descriptor {
        input: Option<InputDescriptor>,
        length: Option<u64>,
        consumed: bool,
    },
    /// One after the other.
    Sequence(Vec<BodySource>),
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
        /// It was read before, and is rewound before it is read again.
        rewind: bool,
    },
    Pushed {
        pipe: &'a PipeReader,
        consumed: &'a mut bool,
    },
    Descriptor {
        input: &'a mut InputDescriptor,
        consumed: &'a mut bool,
    },
    Sequence(Box<Parts<'a>>),
}

/// The parts of a body that are not read to their end, the next one last.
struct Parts<'a>(Vec<BodyReader<'a>>);

impl BodySource {
    pub(crate) fn reader(reader: CallerReader, length: Option<u64>) -> Self {
        let can_rewind = reader.can_rewind();
        let reader: SlowReader = Box::new(reader);
        Self::Reader { reader: Mutex::new(Some(reader)), length, consumed: false, can_rewind }
    }

    pub(crate) fn pushed(pipe: PipeReader, length: Option<u64>) -> Self {
        Self::Pushed { pipe: Some(pipe), length, consumed: false }
    }

    pub(crate) fn descriptor(input: InputDescriptor, length: Option<u64>) -> Self {
        Self::Descriptor { input: Some(input), length, consumed: false }
    }

    /// The source for one call; what can be sent only once is taken for good.
    ///
    /// # Errors
    /// [`Kind::InvalidState`] if it was taken before.
    #[inline]
    pub(crate) fn take(&mut self) -> Result<Self, Error> {
        // Most requests have none.
        if let Self::None = self { Ok(Self::None) } else { self.take_some() }
    }

    #[inline(never)]
    fn take_some(&mut self) -> Result<Self, Error> {
        Ok(match self {
            Self::Reader { reader, length, consumed, can_rewind } => Self::Reader {
                reader: Mutex::new(Some(taken(unlocked(reader), "a reader")?)),
                length: *length,
                consumed: *consumed,
                can_rewind: *can_rewind,
            },
            Self::Pushed { pipe, length, consumed } => Self::Pushed {
                pipe: Some(taken(pipe, "a writer")?),
                length: *length,
                consumed: *consumed,
            },
            Self::Descriptor { input, length, consumed } => Self::Descriptor {
                input: Some(taken(input, "a descriptor")?),
                length: *length,
                consumed: *consumed,
            },
            Self::Sequence(parts) => {
                Self::Sequence(parts.iter_mut().map(Self::take).collect::<Result<_, _>>()?)
            }
            _ => self.try_clone()?,
        })
    }

    /// # Errors
    /// [`Kind::InvalidState`] for what can be read only once.
    pub(crate) fn try_clone(&self) -> Result<Self, Error> {
        let once = |what: &str| {
            let what = format!("a body that comes from {what} can't be copied");
            Err(Error::new(Kind::InvalidState, what))
        };
        Ok(match self {
            Self::None => Self::None,
            Self::Bytes(bytes) => Self::Bytes(Arc::clone(bytes)),
            Self::Shared(bytes) => Self::Shared(Arc::clone(bytes)),
            Self::File(path) => Self::File(path.clone()),
            Self::Reader { .. } => return once("a reader"),
            Self::Pushed { .. } => return once("a writer"),
            Self::Descriptor { .. } => return once("a descriptor"),
            Self::Sequence(parts) => {
                Self::Sequence(parts.iter().map(Self::try_clone).collect::<Result<_, _>>()?)
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
            Self::Reader { reader, length, consumed, can_rewind } => {
                let rewind = *can_rewind && *consumed;
                (Input::Caller { reader: unlocked(reader), consumed, rewind }, *length)
            }
            Self::Pushed { pipe, length, consumed } => match pipe {
                Some(pipe) => {
                    pipe.begin();
                    (Input::Pushed { pipe, consumed }, *length)
                }
                None => return Err(sent_before("a writer")),
            },
            Self::Descriptor { input, length, consumed } => match input {
                Some(input) => (Input::Descriptor { input, consumed }, *length),
                None => return Err(sent_before("a descriptor")),
            },
            Self::Sequence(parts) => return Self::open_sequence(parts),
        };
        Ok(BodyReader { input, left: length, must_end: false, given: 0 })
    }

    #[inline(never)] // Few bodies are one, and its frame is not needed for the others.
    fn open_sequence(parts: &mut [Self]) -> Result<BodyReader<'_>, Error> {
        let mut opened = Vec::with_capacity(parts.len());
        for part in parts.iter_mut().rev() {
            opened.push(part.open()?);
        }
        let length = opened
            .iter()
            .try_fold(0u64, |sum, part| part.left.and_then(|one| sum.checked_add(one)));
        let input = Input::Sequence(Box::new(Parts(opened)));
        Ok(BodyReader { input, left: length, must_end: false, given: 0 })
    }

    pub(crate) fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether it can be read from its beginning (still, or again).
    pub(crate) fn is_replayable(&mut self) -> bool {
        match self {
            Self::Reader { reader, consumed, can_rewind, .. } => {
                !*consumed || (*can_rewind && unlocked(reader).is_some())
            }
            Self::Pushed { consumed, .. } | Self::Descriptor { consumed, .. } => !*consumed,
            Self::Sequence(parts) => parts.iter_mut().all(Self::is_replayable),
            Self::None | Self::Bytes(_) | Self::Shared(_) | Self::File(_) => true,
        }
    }

    /// The call that sends it failed: what writes it learns why.
    #[cold]
    pub(crate) fn call_failed(&mut self, error: &Error) {
        if let Self::Pushed { pipe: Some(pipe), .. } = self {
            pipe.end(error.clone());
        }
    }
}

fn taken<T>(place: &mut Option<T>, what: &str) -> Result<T, Error> {
    place.take().ok_or_else(|| sent_before(what))
}

#[cold]
fn sent_before(what: &str) -> Error {
    let what =
        format!("the request's body came from {what} and was sent before; give it a new one");
    Error::new(Kind::InvalidState, what)
}

impl fmt::Debug for BodySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Shared(bytes) => write!(f, "{} bytes", (**bytes).as_ref().len()),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Reader { length, .. } => write!(f, "reader of {length:?} bytes"),
            Self::Pushed { length, .. } => write!(f, "writer of {length:?} bytes"),
            Self::Descriptor { length, .. } => write!(f, "descriptor of {length:?} bytes"),
            Self::Sequence(parts) => f.debug_list().entries(parts).finish(),
        }
    }
}

fn unlocked<T>(mutex: &mut Mutex<T>) -> &mut T {
    mutex.get_mut().unwrap_or_else(PoisonError::into_inner)
}

impl BodyReader<'_> {
    /// A body of no bytes.
    pub(crate) fn empty() -> Self {
        Self { input: Input::Memory(&[]), left: Some(0), must_end: false, given: 0 }
    }

    /// The bytes that come next, if they are in memory: they can be sent from there, and [`sent`](Self::sent) goes on
    /// behind them. `None` if there are no such bytes, or so few that a piece had better hold more.
    pub(super) fn in_memory(&self) -> Option<&[u8]> {
        if self.must_end {
            return None;
        }
        let bytes = match &self.input {
            Input::Memory(bytes) => *bytes,
            Input::SmallFile(bytes) => {
                let from = usize::try_from(bytes.position()).unwrap_or(usize::MAX);
                bytes.get_ref().get(from..).unwrap_or_default()
            }
            Input::Sequence(parts) => match &parts.0[..] {
                [] => &[],
                [part] => part.in_memory()?,
                [.., part] => part.in_memory().filter(|bytes| bytes.len() >= LARGE_PART)?,
            },
            Input::File(_)
            | Input::Caller { .. }
            | Input::Pushed { .. }
            | Input::Descriptor { .. } => &[],
        };
        (!bytes.is_empty()).then_some(bytes)
    }

    /// The first of the bytes in memory were sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        match &mut self.input {
            Input::Memory(memory) => *memory = memory.get(bytes..).unwrap_or_default(),
            Input::SmallFile(file) => file.set_position(file.position() + bytes as u64),
            Input::Sequence(parts) => {
                if let Some(part) = parts.0.last_mut() {
                    part.sent(bytes);
                }
            }
            Input::File(_)
            | Input::Caller { .. }
            | Input::Pushed { .. }
            | Input::Descriptor { .. } => {}
        }
        self.given += bytes as u64;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(bytes as u64);
        }
    }

    /// Reads the next piece into that part of the buffer; 0 is the end. `None`: there is nothing yet, and
    /// [`arm`](Self::arm) says what to wait for. The buffer may be gone if the exchange ended.
    ///
    /// # Errors
    /// [`Stop::Failed`] with [`Kind::BodyFailed`] if reading fails or gives another length than was
    /// announced; what ended the exchange otherwise.
    pub(super) fn read(
        &mut self,
        buffer: &mut Vec<u8>,
        part: Range<usize>,
        exchange: &ExchangeShared,
    ) -> Result<Option<usize>, Stop> {
        let left = self.left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
        let room = part.len().min(left);
        if room == 0 {
            return Ok(Some(0));
        }
        let part = part.start..part.start + room;
        let Some(got) = self.read_some(buffer, part, exchange)? else { return Ok(None) };
        if got == 0 {
            return match self.left {
                Some(left) if left > 0 => {
                    let (whole, given) = (left + self.given, self.given);
                    let what = format!("the request's body is short: {given} of {whole} bytes");
                    Err(body_failed(what))
                }
                _ => Ok(Some(0)),
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
        Ok(Some(got))
    }

    fn read_some(
        &mut self,
        buffer: &mut Vec<u8>,
        part: Range<usize>,
        exchange: &ExchangeShared,
    ) -> Result<Option<usize>, Stop> {
        self.read_input(buffer, part, exchange)?.map_err(|error| {
            let what = format!("the request's body failed: {error}");
            Error::new(Kind::BodyFailed, what).caused_by(error).into()
        })
    }

    /// Fails if no byte was announced, but there are some. No piece of such a body is ever asked for.
    pub(super) fn check_announced_empty(&mut self, exchange: &ExchangeShared) -> Result<(), Stop> {
        if self.must_end && self.left == Some(0) { self.check_end(exchange) } else { Ok(()) }
    }

    /// Fails if the input has more than was announced. It does not wait for a writer or a descriptor that may have more.
    fn check_end(&mut self, exchange: &ExchangeShared) -> Result<(), Stop> {
        if matches!(self.read_some(&mut vec![0], 0..1, exchange)?, None | Some(0)) {
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

    /// After a read that found nothing: sets the notification as soon as there is more, or returns what to wait for
    /// beside it.
    pub(super) fn arm(&self, notify: &Arc<Notify>) -> Option<Arc<Source>> {
        match &self.input {
            Input::Pushed { pipe, .. } => {
                pipe.arm(notify);
                None
            }
            Input::Descriptor { input, .. } => Some(Arc::clone(input.source())),
            Input::Sequence(parts) => parts.0.last().and_then(|part| part.arm(notify)),
            Input::Memory(_) | Input::SmallFile(_) | Input::File(_) | Input::Caller { .. } => None,
        }
    }

    /// How long what is left is.
    pub(crate) fn length(&self) -> BodyLength {
        self.left.map_or(BodyLength::Chunked, BodyLength::Known)
    }

    pub(super) fn known_length(&self) -> Option<u64> {
        self.left
    }

    /// Whether the first bytes can be had without a wait and without running the caller's code: they may share a
    /// packet with the head.
    pub(crate) fn is_buffered(&self) -> bool {
        let at_once = match &self.input {
            Input::Memory(_) | Input::SmallFile(_) | Input::File(_) => true,
            Input::Caller { .. } | Input::Pushed { .. } | Input::Descriptor { .. } => false,
            Input::Sequence(parts) => parts.0.last().is_some_and(Self::is_buffered),
        };
        at_once && self.left != Some(0)
    }

    /// Whether it is a file of more than one small piece, which comes without waiting for the caller.
    pub(super) fn is_large_file(&self) -> bool {
        matches!(self.input, Input::File(_))
    }

    fn read_input(
        &mut self,
        buffer: &mut Vec<u8>,
        part: Range<usize>,
        exchange: &ExchangeShared,
    ) -> Result<io::Result<Option<usize>>, Stop> {
        loop {
            let into = &mut buffer[part.clone()];
            let read = match &mut self.input {
                Input::Memory(bytes) => bytes.read(into),
                Input::SmallFile(bytes) => bytes.read(into),
                Input::File(file) => {
                    read_slow(file, &DISKS, buffer, (part.clone(), false), exchange)?
                }
                Input::Caller { reader, consumed, rewind } => {
                    **consumed = true;
                    let rewind = std::mem::take(rewind);
                    read_slow(reader, &READERS, buffer, (part.clone(), rewind), exchange)?
                }
                Input::Pushed { pipe, consumed } => {
                    let read = pipe.take(into);
                    **consumed |= matches!(read, Ok(Some(_)));
                    return Ok(read);
                }
                Input::Descriptor { input, consumed } => match input.read(into) {
                    Ok(None) => return Ok(Ok(None)),
                    Ok(Some(got)) => {
                        **consumed = true;
                        Ok(got)
                    }
                    Err(error) => Err(error),
                },
                Input::Sequence(parts) => return parts.read(buffer, part, exchange).map(Ok),
            };
            match read {
                // `std::io::Read`: try again. A reader that always returns this is ended by a timeout.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => exchange.check()?,
                Ok(got) if got > part.len() => {
                    let what = format!("the reader says it wrote {got} bytes into {}", part.len());
                    return Ok(Err(io::Error::other(what)));
                }
                other => return Ok(other.map(Some)),
            }
        }
    }
}

impl Parts<'_> {
    /// As much as there is room for, as long as that needs neither a wait nor the caller's code; otherwise the next piece.
    fn read(
        &mut self,
        buffer: &mut Vec<u8>,
        into: Range<usize>,
        exchange: &ExchangeShared,
    ) -> Result<Option<usize>, Stop> {
        let mut filled = 0;
        while let Some(part) = self.0.last_mut() {
            if filled == into.len() || (filled > 0 && !part.is_buffered() && part.left != Some(0)) {
                break;
            }
            match part.read(buffer, into.start + filled..into.end, exchange)? {
                Some(0) => drop(self.0.pop()),
                Some(got) => filled += got,
                None => return Ok(None),
            }
        }
        Ok(Some(filled))
    }
}

/// Reads on the caller's own thread; on a fiber, has a worker read what is not here. The worker owns the reader and the buffer then,
/// so that the wait for it can be ended like any other wait. It is rewound first if `rewind` says so.
fn read_slow(
    place: &mut Option<SlowReader>,
    workers: &'static WorkerPool,
    buffer: &mut Vec<u8>,
    (part, rewind): (Range<usize>, bool),
    exchange: &ExchangeShared,
) -> Result<io::Result<usize>, Stop> {
    if !is_on_fiber() {
        let into = &mut buffer[part];
        return Ok(place.as_mut().map_or(Ok(0), |reader| reader.read_on(rewind, into)));
    }
    if let Some(reader) = place.as_mut().filter(|_| !rewind)
        && let Some(got) = reader.read_here(&mut buffer[part.clone()])
    {
        return Ok(Ok(got));
    }
    let Some(reader) = place.take() else { return Err(Stop::Ended) };
    let mut job = SlowRead::new(reader, std::mem::take(buffer), part, rewind);
    let work = move || {
        job.run();
        job
    };
    let wake = exchange.register_wake();
    let until = exchange.total_deadline().at;
    match run_on_own_worker(workers, work, &wake, until, &|| exchange.check().is_err()) {
        Ok(job) => {
            *place = Some(job.reader);
            *buffer = job.bytes;
            Ok(job.read)
        }
        Err(NotDone::GivenUp) => Err(exchange.check().err().unwrap_or(Stop::Ended)),
        Err(NotDone::NoThread(error)) => Err(Stop::NoThread(error)),
    }
}

/// What a worker has of a read. In a box: the frames of the wait for it would hold it several times.
struct SlowRead {
    reader: SlowReader,
    bytes: Vec<u8>,
    part: Range<usize>,
    rewind: bool,
    read: io::Result<usize>,
}

impl SlowRead {
    fn new(reader: SlowReader, bytes: Vec<u8>, part: Range<usize>, rewind: bool) -> Box<Self> {
        Box::new(Self { reader, bytes, part, rewind, read: Ok(0) })
    }

    fn run(&mut self) {
        self.read = self.reader.read_on(self.rewind, &mut self.bytes[self.part.clone()]);
    }
}

fn body_failed(what: String) -> Stop {
    Error::new(Kind::BodyFailed, what).into()
}

static READERS: WorkerPool = WorkerPool::for_blocking("hangup-upload");
/// A part of a sequence that is sent from where it is; a smaller one shares a piece with its neighbours.
const LARGE_PART: usize = 16 * 1024;
