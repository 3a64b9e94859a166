//! A reader of decoded bytes: it gives a decoder its input, piece by piece, and knows where the stream may end.

use std::io::{self, BufRead, BufReader, Read};

use crate::runtime::on_thread_stack;

/// What undoes one coding. Threads: one at a time.
pub(in crate::http) trait Decode: Send + Sync {
    /// Whether another stream may follow the end of one: members of gzip, frames of zstd.
    fn has_members(&self) -> bool;

    /// A stream begins, the first one or the next one. `input` is its beginning and has at least one byte.
    fn begin(&mut self, input: &[u8]) -> io::Result<()>;

    /// Decodes some of `input`, which may be empty, to some of `into`, which is not. Unless it fills `into`, it has
    /// taken all of `input` or is at the end of the stream.
    fn step(&mut self, input: &[u8], into: &mut [u8]) -> io::Result<Step>;
}

/// What one step did.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Step {
    pub(super) read: usize,
    pub(super) wrote: usize,
    /// The stream is at its end.
    pub(super) is_over: bool,
}

/// Reads decoded bytes. The error at the end of an input that is no end of a stream is
/// [`io::ErrorKind::UnexpectedEof`]; errors of the input come through unchanged. Threads: one at a time.
pub(in crate::http) struct Decoded<R> {
    decoder: Box<dyn Decode>,
    input: BufReader<R>,
    state: State,
}

/// Where the decoder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first stream.
    Begin,
    /// In a stream, and it may have more output without more input.
    Full,
    /// In a stream.
    Hungry,
    /// Behind a stream.
    Behind,
}

impl<R: Read> Decoded<R> {
    /// Nothing is read yet.
    pub(in crate::http) fn new(decoder: Box<dyn Decode>, input: R) -> Self {
        Self { decoder, input: BufReader::with_capacity(PIECE, input), state: State::Begin }
    }

    pub(in crate::http) fn input(&self) -> &R {
        self.input.get_ref()
    }

    pub(in crate::http) fn input_mut(&mut self) -> &mut R {
        self.input.get_mut()
    }

    pub(in crate::http) fn into_input(self) -> R {
        self.input.into_inner()
    }

    /// A step with what is here already. Returns what it wrote.
    fn step(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (decoder, input) = (&mut self.decoder, self.input.buffer());
        let step = on_thread_stack(|| decoder.step(input, into))?;
        if step.read == 0 && step.wrote == 0 && !step.is_over && !input.is_empty() {
            return Err(io::Error::other("corrupt data"));
        }
        self.input.consume(step.read);
        self.state = match step {
            Step { is_over: true, .. } => State::Behind,
            Step { wrote, .. } if wrote == into.len() => State::Full,
            _ => State::Hungry,
        };
        Ok(step.wrote)
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            // More input is waited for only when nothing more can be made of what came.
            if self.state != State::Full && self.input.fill_buf()?.is_empty() {
                return match self.state {
                    State::Behind => Ok(0),
                    _ => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
            if matches!(self.state, State::Begin | State::Behind) {
                if self.state == State::Behind && !self.decoder.has_members() {
                    return Err(io::Error::other("bytes behind its end"));
                }
                self.decoder.begin(self.input.buffer())?;
            }
            let wrote = self.step(into)?;
            if wrote > 0 {
                return Ok(wrote);
            }
        }
    }
}

/// How much input a decoder buffers.
const PIECE: usize = 8 * 1024;
