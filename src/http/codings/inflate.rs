//! gzip (RFC 1952) and deflate (RFC 1950 and 1951).

use std::io;

use flate2::{Decompress, FlushDecompress, Status};

use super::decoded::{Decode, Step};

/// Members of gzip, one after the other. Threads: one at a time.
pub(super) struct Gzip(Option<Decompress>);

/// "deflate" is the zlib format (RFC 9110 section 8.4.1.2), and without its wrapper from servers
/// that took the name at its word. Threads: one at a time.
pub(super) struct Deflate(Option<Decompress>);

impl Gzip {
    pub(super) fn new() -> Self {
        Self(None)
    }
}

impl Deflate {
    pub(super) fn new() -> Self {
        Self(None)
    }
}

impl Decode for Gzip {
    fn has_members(&self) -> bool {
        true
    }

    fn begin(&mut self, _input: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            // It stays a decoder of gzip.
            Some(inflate) => inflate.reset(true),
            None => self.0 = Some(Decompress::new_gzip(WINDOW_BITS)),
        }
        Ok(())
    }

    fn step(&mut self, input: &[u8], into: &mut [u8]) -> io::Result<Step> {
        step(&mut self.0, input, into, "corrupt gzip stream")
    }
}

impl Decode for Deflate {
    fn has_members(&self) -> bool {
        false
    }

    fn begin(&mut self, input: &[u8]) -> io::Result<()> {
        // A zlib header names method 8 (RFC 1950 section 2.2); a deflate stream that begins
        // with these bits would be a stored block with padding that no compressor writes.
        let is_zlib = input.first().is_some_and(|first| first & 0x0f == 8);
        self.0 = Some(Decompress::new(is_zlib));
        Ok(())
    }

    fn step(&mut self, input: &[u8], into: &mut [u8]) -> io::Result<Step> {
        step(&mut self.0, input, into, "corrupt deflate stream")
    }
}

fn step(
    inflate: &mut Option<Decompress>,
    input: &[u8],
    into: &mut [u8],
    corrupt: &'static str,
) -> io::Result<Step> {
    let corrupt = || io::Error::other(corrupt);
    let inflate = inflate.as_mut().ok_or_else(corrupt)?;
    let (read, wrote) = (inflate.total_in(), inflate.total_out());
    let status = inflate.decompress(input, into, FlushDecompress::None).map_err(|_| corrupt())?;
    let difference = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
    Ok(Step {
        read: difference(inflate.total_in(), read).min(input.len()),
        wrote: difference(inflate.total_out(), wrote).min(into.len()),
        is_over: status == Status::StreamEnd,
    })
}

/// The largest window that there is, 32 KiB.
const WINDOW_BITS: u8 = 15;
