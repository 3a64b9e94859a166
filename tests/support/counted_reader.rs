//! A request body that keeps account of how it is used: every source must be dropped exactly once.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};

use hangup::Body;

use super::wait_until;

/// What the next read does; 0 bytes is the end.
type Next = Box<dyn FnMut(usize, &mut [u8]) -> io::Result<usize> + Send>;

/// A body source. Begins with one of its constructors; ends in a request.
pub struct CountedReader {
    next: Next,
    account: Arc<Usage>,
    home: ThreadId,
}

/// How a [`CountedReader`] was used so far.
#[derive(Debug, Default)]
pub struct Usage {
    pub reads: AtomicUsize,
    pub drops: AtomicUsize,
    /// It was read from on another thread than the one that made it.
    on_another_thread: AtomicBool,
}

impl CountedReader {
    /// Asks `next` with the number of the read, from 0.
    pub fn new(
        next: impl FnMut(usize, &mut [u8]) -> io::Result<usize> + Send + 'static,
    ) -> (Self, Arc<Usage>) {
        let account = Arc::new(Usage::default());
        let home = thread::current().id();
        let source = Self { next: Box::new(next), account: Arc::clone(&account), home };
        (source, account)
    }

    /// Never ends.
    pub fn endless() -> (Self, Arc<Usage>) {
        Self::new(|_, into| {
            into.fill(b'u');
            Ok(into.len())
        })
    }

    /// So many pieces of so many bytes each, with something done before each.
    pub fn pieces(
        count: usize,
        size: usize,
        mut before: impl FnMut(usize) + Send + 'static,
    ) -> (Self, Arc<Usage>) {
        let mut left = 0;
        let mut begun = 0;
        Self::new(move |_, into| {
            if left == 0 {
                if begun == count {
                    return Ok(0);
                }
                before(begun);
                begun += 1;
                left = size;
            }
            let part = left.min(into.len());
            into[..part].fill(b'u');
            left -= part;
            Ok(part)
        })
    }

    /// As a body whose length is not known.
    pub fn chunked(self) -> Body {
        Body::reader(self, None)
    }

    /// As a body that says how long it is.
    pub fn of_length(self, length: u64) -> Body {
        Body::reader(self, Some(length))
    }
}

impl Usage {
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// Dropped, and once only. A submission that is ended does not wait for a read that is under way
    /// on another thread: then it is dropped when that has returned.
    #[track_caller]
    pub fn assert_dropped_once(&self) {
        if self.on_another_thread.load(Ordering::SeqCst) {
            wait_until("the body source is dropped", || self.drops.load(Ordering::SeqCst) > 0);
        }
        assert_eq!(self.drops.load(Ordering::SeqCst), 1, "drops of the body source");
    }
}

impl Read for CountedReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if thread::current().id() != self.home {
            self.account.on_another_thread.store(true, Ordering::SeqCst);
        }
        let number = self.account.reads.fetch_add(1, Ordering::SeqCst);
        (self.next)(number, into)
    }
}

impl Drop for CountedReader {
    fn drop(&mut self) {
        self.account.drops.fetch_add(1, Ordering::SeqCst);
    }
}
