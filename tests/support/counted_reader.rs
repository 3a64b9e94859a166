//! A request body's reader that counts its reads and drops. Every reader must be dropped exactly once.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};

use hangup::Body;

use super::wait_until;

/// Performs the read with this number; 0 bytes is the end.
type Next = Box<dyn FnMut(usize, &mut [u8]) -> io::Result<usize> + Send>;

/// A reader for a request body: made by one of its constructors, consumed by [`Self::chunked`] or [`Self::of_length`].
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
    /// Whether another thread than its maker has read from it.
    on_another_thread: AtomicBool,
}

impl CountedReader {
    /// Calls `next` for each read with the number of the read, from 0.
    pub fn new(
        next: impl FnMut(usize, &mut [u8]) -> io::Result<usize> + Send + 'static,
    ) -> (Self, Arc<Usage>) {
        let account = Arc::new(Usage::default());
        let home = thread::current().id();
        let source = Self { next: Box::new(next), account: Arc::clone(&account), home };
        (source, account)
    }

    /// A reader without an end.
    pub fn endless() -> (Self, Arc<Usage>) {
        Self::new(|_, into| {
            into.fill(b'u');
            Ok(into.len())
        })
    }

    /// `count` pieces of `size` bytes; `before` is called before each.
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

    /// As a body of this length.
    pub fn of_length(self, length: u64) -> Body {
        Body::reader(self, Some(length))
    }
}

impl Usage {
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// Asserts that the reader was dropped exactly once. An ended submission does not wait for a read in progress on another
    /// thread: the reader is dropped when that read returns.
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
