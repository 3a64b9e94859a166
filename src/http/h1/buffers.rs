//! The bytes between a message and its socket. A buffer is held only while there are bytes in it: an
//! exchange that waits has none, and thousands that wait on one thread share a few.

use std::cell::RefCell;
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
}

impl IoBuffers {
    /// Before a wait: an empty buffer goes back to those that the thread keeps.
    pub(super) fn release_if_empty(&mut self) {
        if self.start == self.end && self.input.len() == SIZE {
            (self.start, self.end) = (0, 0);
            keep(&mut self.input);
        }
    }

    /// The request is sent: its buffer goes back to those that the thread keeps.
    pub(super) fn request_is_sent(&mut self) {
        keep(&mut self.output);
    }

    /// Bytes that came and were not consumed.
    pub(super) fn unconsumed(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    /// A part of what was written.
    pub(super) fn written(&self, part: Range<usize>) -> &[u8] {
        &self.output[part]
    }

    /// Room for what comes next. It grows while a body fills it: fewer, larger reads.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.input.is_empty() {
            self.input = spare();
        } else if self.start == self.end {
            if self.end == self.input.len() && self.input.len() < MAX_INPUT {
                self.input.resize((self.input.len() * 4).min(MAX_INPUT), 0);
            }
            (self.start, self.end) = (0, 0);
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
        let Self { input: _, start, end, output } = self;
        write!(f, "{} bytes of input, {} of output", end - start, output.len())
    }
}

impl Drop for IoBuffers {
    fn drop(&mut self) {
        keep(&mut self.input);
        keep(&mut self.output);
    }
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

thread_local! {
    /// Used before, so that they need not be cleared again.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// How many a thread keeps.
const SPARES: usize = 4;
/// Of input, as long as it does not grow, and of output.
const SIZE: usize = 16 * 1024;
/// More than this does not make a large body faster, and falls out of the second-level cache.
const MAX_INPUT: usize = 256 * 1024;
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
