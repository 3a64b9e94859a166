//! The bytes between a message and its socket. A buffer is held only while there are bytes in it: an
//! exchange that waits has none, and thousands that wait on one thread share a few.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;

/// Input and output of one exchange. Threads: one at a time.
#[derive(Default)]
pub(super) struct IoBuffers {
    /// Empty while nothing is in it; so is `output`.
    input: Vec<u8>,
    start: usize,
    end: usize,
    output: Vec<u8>,
    /// So many reads in a row filled the input.
    full_reads: u8,
    /// The input was a large buffer.
    grew: bool,
}

impl IoBuffers {
    /// Before a wait: an empty buffer goes back to those that the thread keeps.
    pub(super) fn release_if_empty(&mut self) {
        if self.start == self.end && !self.input.is_empty() {
            (self.start, self.end) = (0, 0);
            keep_input(&mut self.input);
        }
    }

    /// The request is sent: its buffer is that of the response, or goes back to those that the thread keeps.
    pub(super) fn request_is_sent(&mut self) {
        if self.input.is_empty() && self.output.len() == SIZE {
            self.input = std::mem::take(&mut self.output);
        } else {
            keep(&mut self.output);
        }
    }

    /// Bytes that came and were not consumed.
    pub(super) fn unconsumed(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    /// A part of what was written.
    pub(super) fn written(&self, part: Range<usize>) -> &[u8] {
        &self.output[part]
    }

    /// Room for what comes next. It is larger while a body fills it: fewer, larger reads.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.full_reads >= FULL_READS && self.input.len() < LARGE {
                keep(&mut self.input);
                self.input = large();
                self.grew = true;
            } else if self.input.is_empty() {
                self.input = spare();
            }
        } else if self.end == self.input.len() {
            if self.start > 0 {
                self.input.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            } else {
                let larger = self.input.len() * 2;
                self.input.resize(larger, 0);
            }
        }
        &mut self.input[self.end..]
    }

    pub(super) fn filled(&mut self, amount: usize) {
        self.end += amount;
        let is_full = self.end == self.input.len();
        self.full_reads = if is_full { self.full_reads.saturating_add(1) } else { 0 };
    }

    /// Bytes that came elsewhere and are to be consumed next. The input is empty.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.room().len() < bytes.len() {
            self.input.resize(self.end + bytes.len(), 0);
        }
        self.input[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Takes bytes out, as many as there are and fit.
    pub(super) fn take_into(&mut self, into: &mut [u8]) -> usize {
        let size = into.len().min(self.end - self.start);
        into[..size].copy_from_slice(&self.input[self.start..self.start + size]);
        self.start += size;
        size
    }

    /// Bytes that were read.
    pub(super) fn consume(&mut self, amount: usize) {
        self.start += amount;
    }

    /// Where what is sent next is written, with room for so many bytes.
    pub(super) fn output_for(&mut self, size: usize) -> &mut [u8] {
        if size > SIZE {
            keep(&mut self.output);
            self.output = vec![0; size];
        }
        self.output()
    }

    /// Where what is sent next is written.
    pub(super) fn output(&mut self) -> &mut [u8] {
        if self.output.is_empty() {
            self.output = spare();
        }
        &mut self.output
    }

    /// Where a piece of a request's body is put that is not in memory. `large`: the body filled the last one.
    pub(super) fn upload(&mut self, large: bool) -> &mut Vec<u8> {
        if large && self.output.len() < UPLOAD {
            keep(&mut self.output);
            self.output = vec![0; UPLOAD];
        }
        self.output();
        &mut self.output
    }
}

/// A message holds secrets.
impl fmt::Debug for IoBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input: _, start, end, output, full_reads: _, grew: _ } = self;
        write!(f, "{} bytes of input, {} of output", end - start, output.len())
    }
}

impl Drop for IoBuffers {
    fn drop(&mut self) {
        keep(&mut self.input);
        keep(&mut self.output);
        if self.grew {
            // The next large body may be far away.
            drop(LARGE_SPARE.try_with(Cell::take));
        }
    }
}

/// A large buffer; its bytes are any.
#[inline(never)] // Few exchanges need one.
fn large() -> Vec<u8> {
    let kept = LARGE_SPARE.try_with(Cell::take).ok().flatten();
    kept.unwrap_or_else(|| vec![0; LARGE])
}

/// A buffer; its bytes are any.
fn spare() -> Vec<u8> {
    let kept = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
    kept.unwrap_or_else(|| vec![0; SIZE])
}

/// Keeps a buffer for another exchange.
fn keep(buffer: &mut Vec<u8>) {
    let buffer = std::mem::take(buffer);
    if buffer.len() == SIZE {
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARES {
                spare.push(buffer);
            }
        });
    }
}

/// As [`keep`], for input, which may be large.
fn keep_input(buffer: &mut Vec<u8>) {
    if buffer.len() == LARGE {
        let buffer = std::mem::take(buffer);
        let _ = LARGE_SPARE.try_with(|spare| spare.set(Some(buffer)));
    } else {
        keep(buffer);
    }
}

thread_local! {
    /// Used before, so that they need not be cleared again.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    /// For the exchanges of the thread whose bodies fill it, until one of them ends.
    static LARGE_SPARE: Cell<Option<Vec<u8>>> = const { Cell::new(None) };
}

/// How many a thread keeps.
const SPARES: usize = 4;
/// Of input, as long as it does not grow, and of output.
const SIZE: usize = 16 * 1024;
/// Of input that a body fills. More than this does not make it faster, and falls out of the second-level cache.
const LARGE: usize = 128 * 1024;
/// How many reads in a row fill the input before it is large.
const FULL_READS: u8 = 2;
/// Of a large body's pieces: whole TLS records (RFC 8446 section 5.1), and few system calls.
const UPLOAD: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_survives_growing() {
        let mut buffers = IoBuffers::default();
        let size = buffers.room().len();
        buffers.room().fill(b'a');
        buffers.filled(size);
        buffers.consume(size - 3);
        buffers.room()[..2].copy_from_slice(b"bc");
        buffers.filled(2);
        assert_eq!(buffers.unconsumed(), b"aaabc");
    }

    #[test]
    fn input_that_is_filled_is_large_also_behind_a_wait_and_held_by_none() {
        let mut buffers = IoBuffers::default();
        for _ in 0..FULL_READS {
            let size = buffers.room().len();
            assert_eq!(size, SIZE);
            buffers.filled(size);
            buffers.consume(size);
            buffers.release_if_empty();
            assert!(buffers.input.is_empty());
        }
        assert_eq!(buffers.room().len(), LARGE);
        buffers.filled(LARGE);
        buffers.consume(LARGE);
        buffers.release_if_empty();
        assert!(buffers.input.is_empty(), "the large buffer is held over a wait");
        let first = buffers.room().as_ptr();
        buffers.release_if_empty();
        assert_eq!(buffers.room().as_ptr(), first, "each wait costs a new large buffer");
        buffers.filled(5);
        buffers.consume(5);
        buffers.release_if_empty();
        assert_eq!(buffers.room().len(), SIZE, "the body fills it no longer");
        drop(buffers);
        assert!(LARGE_SPARE.take().is_none(), "the thread keeps a large buffer for no body");
    }

    #[test]
    fn bytes_from_elsewhere_come_next() {
        let mut buffers = IoBuffers::default();
        for size in [0, 3, SIZE, 3 * SIZE] {
            let bytes = vec![b'x'; size];
            buffers.put(&bytes);
            assert_eq!(buffers.unconsumed(), bytes);
            buffers.consume(size);
            buffers.release_if_empty();
        }
    }

    #[test]
    fn nothing_is_held_over_a_wait_but_what_is_there() {
        let mut buffers = IoBuffers::default();
        buffers.output()[..3].copy_from_slice(b"GET");
        buffers.room()[..2].copy_from_slice(b"ab");
        buffers.filled(2);
        buffers.release_if_empty();
        assert_eq!(buffers.unconsumed(), b"ab");
        assert_eq!(buffers.written(0..3), b"GET");
        buffers.request_is_sent();
        buffers.consume(2);
        buffers.release_if_empty();
        assert!(buffers.input.is_empty() && buffers.output.is_empty());
        assert!(buffers.unconsumed().is_empty());
    }
}
