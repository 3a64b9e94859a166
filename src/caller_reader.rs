//! Values of the caller's: a reader, and bytes that are not copied. They are dropped on a thread where
//! foreign code may run. Where a reader is read is decided by [`BodyReader`](crate::http::request_body::BodyReader) ; it may
//! block, and use any amount of stack.

use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::runtime::{WorkerPool, run_on_worker_soon};

/// A reader of the caller's. Threads: one at a time.
pub(crate) struct CallerReader(Option<Box<dyn Read + Send>>);

impl CallerReader {
    pub(crate) fn new(reader: impl Read + Send + 'static) -> Self {
        Self(Some(Box::new(reader)))
    }
}

impl Read for CallerReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Some(reader) => reader.read(into),
            None => Ok(0),
        }
    }
}

impl Drop for CallerReader {
    fn drop(&mut self) {
        drop_on_worker(self.0.take());
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
