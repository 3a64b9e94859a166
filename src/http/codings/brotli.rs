//! br: Brotli (RFC 7932).

use std::io;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::decoded::{Decode, Step};

/// One stream of Brotli. Its window is at most 16 MiB; "large windows", which are not RFC 7932, are refused. The
/// window's memory grows with what is decoded. Threads: one at a time.
pub(super) struct Brotli(Option<Box<Decoder>>);

type Decoder = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

impl Brotli {
    pub(super) fn new() -> Self {
        Self(None)
    }
}

impl Decode for Brotli {
    fn has_members(&self) -> bool {
        false
    }

    #[inline(never)] // The decoder is built on the stack before it is in its box.
    fn begin(&mut self, _input: &[u8]) -> io::Result<()> {
        let alloc = StandardAlloc::default;
        self.0 = Some(Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())));
        Ok(())
    }

    fn step(&mut self, input: &[u8], into: &mut [u8]) -> io::Result<Step> {
        let corrupt = || io::Error::other("corrupt br stream");
        let decoder = self.0.as_mut().ok_or_else(corrupt)?;
        let (mut left, mut read) = (input.len(), 0);
        let (mut room, mut wrote) = (into.len(), 0);
        let result = BrotliDecompressStream(
            &mut left, &mut read, input, &mut room, &mut wrote, into, &mut 0, decoder,
        );
        let is_over = match result {
            BrotliResult::ResultFailure => return Err(corrupt()),
            BrotliResult::ResultSuccess => true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => false,
        };
        Ok(Step { read, wrote, is_over })
    }
}
