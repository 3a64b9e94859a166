//! Values of the caller's: a reader, and bytes that are not copied. They are dropped on a thread where
//! foreign code may run. Where a reader is read is decided by [`BodyReader`](crate::http::request_body::BodyReader) ; it may
//! block, and use any amount of stack.

use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::runtime::{WorkerPool, run_on_worker_soon};

/// What is read on a thread that may block: a file, or a reader of the caller's.
pub(crate) trait SlowRead: Read + Send {
    /// Goes back to where the first read began.
    fn rewind(&mut self) -> io::Result<()> {
        Err(io::Error::other("the reader can't be rewound"))
    }

    /// A read of what is here; `None` if a read might wait, or fail, or find the end.
    fn read_here(&mut self, _into: &mut [u8]) -> Option<usize> {
        None
    }

    /// A read, from the beginning if `rewind` says so.
    fn read_on(&mut self, rewind: bool, into: &mut [u8]) -> io::Result<usize> {
        if rewind {
            self.rewind().map_err(|error| {
                io::Error::new(error.kind(), format!("it can't be rewound: {error}"))
            })?;
        }
        self.read(into)
    }
}

pub(crate) type SlowReader = Box<dyn SlowRead>;

/// A reader of the caller's. Threads: one at a time.
pub(crate) struct CallerReader {
    reader: Option<Box<dyn SlowRead>>,
    can_rewind: bool,
}

impl CallerReader {
    /// One that can be read once.
    pub(crate) fn once(reader: impl Read + Send + 'static) -> Self {
        Self { reader: Some(Box::new(Once(reader))), can_rewind: false }
    }

    /// One that goes back to where it is now.
    ///
    /// # Errors
    /// It does not say where it is.
    pub(crate) fn seekable(mut reader: impl Read + Seek + Send + 'static) -> io::Result<Self> {
        let start = reader.stream_position()?;
        Ok(Self::rewindable(Seekable { reader, start }))
    }

    /// One that has a way of its own to go back.
    pub(crate) fn rewindable(reader: impl SlowRead + 'static) -> Self {
        Self { reader: Some(Box::new(reader)), can_rewind: true }
    }

    pub(crate) fn can_rewind(&self) -> bool {
        self.can_rewind
    }
}

impl Read for CallerReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.reader {
            Some(reader) => reader.read(into),
            None => Ok(0),
        }
    }
}

impl SlowRead for CallerReader {
    fn rewind(&mut self) -> io::Result<()> {
        self.reader.as_mut().map_or(Ok(()), |reader| reader.rewind())
    }
}

impl Drop for CallerReader {
    fn drop(&mut self) {
        drop_on_worker(self.reader.take());
    }
}

struct Once<R>(R);

impl<R: Read> Read for Once<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl<R: Read + Send> SlowRead for Once<R> {}

struct Seekable<R> {
    reader: R,
    start: u64,
}

impl<R: Read> Read for Seekable<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reader.read(into)
    }
}

impl<R: Read + Seek + Send> SlowRead for Seekable<R> {
    fn rewind(&mut self) -> io::Result<()> {
        self.reader.seek(SeekFrom::Start(self.start)).map(drop)
    }
}

/// Bytes of the caller's. Threads: immutable.
pub(crate) struct CallerBytes(Option<Box<Shared>>);

type Shared = dyn AsRef<[u8]> + Send + Sync;

impl CallerBytes {
    pub(crate) fn new(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(bytes)))
    }
}

impl AsRef<[u8]> for CallerBytes {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |bytes| (**bytes).as_ref())
    }
}

impl Drop for CallerBytes {
    fn drop(&mut self) {
        drop_on_worker(self.0.take());
    }
}

fn drop_on_worker<T: ?Sized + Send>(owned: Option<Box<T>>) {
    let Some(owned) = owned else { return };
    // A panic in the drop can't be reported to any call.
    let _ = catch_unwind(AssertUnwindSafe(|| run_on_worker_soon(&DROPS, || drop(owned))));
}

static DROPS: WorkerPool = WorkerPool::for_blocking("hangup-upload-end");
