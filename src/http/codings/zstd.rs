//! zstd: Zstandard (RFC 8878), with the window of at most 8 MiB that RFC 9659 sets for HTTP.

use std::io;

use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use super::decoded::{Decode, Step};

/// Frames of Zstandard, one after the other; skippable ones are skipped. Threads: one at a time.
pub(super) struct Zstd(Option<DCtx<'static>>);

impl Zstd {
    pub(super) fn new() -> Self {
        Self(None)
    }
}

impl Decode for Zstd {
    fn has_members(&self) -> bool {
        true
    }

    fn begin(&mut self, _input: &[u8]) -> io::Result<()> {
        if self.0.is_some() {
            // Behind a frame it expects the next one.
            return Ok(());
        }
        let mut decoder = DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_BITS)).map_err(corrupt)?;
        self.0 = Some(decoder);
        Ok(())
    }

    fn step(&mut self, input: &[u8], into: &mut [u8]) -> io::Result<Step> {
        let Some(decoder) = &mut self.0 else { return Err(io::ErrorKind::InvalidInput.into()) };
        let (mut from, mut to) = (InBuffer { src: input, pos: 0 }, OutBuffer::around(into));
        // 0: a frame is at its end, and all of it is written.
        let left = decoder.decompress_stream(&mut to, &mut from).map_err(corrupt)?;
        Ok(Step { read: from.pos, wrote: to.pos(), is_over: left == 0 })
    }
}

fn corrupt(code: usize) -> io::Error {
    io::Error::other(format!(
        "corrupt zstd stream, or a window of more than 8 MiB: {}",
        get_error_name(code)
    ))
}

/// 8 MiB (RFC 9659 section 3).
const WINDOW_BITS: u32 = 23;
