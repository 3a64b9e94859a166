//! A chunked body as it comes: ureq's engine takes the chunks apart.

use ureq_proto::client::state::RecvBody;
use ureq_proto::client::{Call as Message, RecvBodyResult};

use super::{Seam, Stopped};

/// Threads: one at a time.
pub(in crate::http) struct Chunks {
    seam: Option<Seam>,
    call: Option<Box<Message<RecvBody>>>,
}

/// Why there is no more.
#[derive(Debug)]
pub(in crate::http) enum Cut {
    /// The exchange knows.
    Stopped,
    /// The peer closed before the last chunk.
    Short,
    Malformed(ureq_proto::Error),
}

impl Chunks {
    pub(super) fn new(seam: Seam, call: Box<Message<RecvBody>>) -> Self {
        Self { seam: Some(seam), call: Some(call) }
    }

    /// A piece; 0 is the end, and the connection is back or closed.
    pub(in crate::http) fn read(&mut self, into: &mut [u8]) -> Result<usize, Cut> {
        loop {
            let (Some(seam), Some(call)) = (&mut self.seam, &mut self.call) else { return Ok(0) };
            if call.can_proceed() {
                self.end(false);
                return Ok(0);
            }
            let input = seam.buffers.unconsumed();
            if !input.is_empty() {
                let (used, got) = call.read(input, into).map_err(Cut::Malformed)?;
                seam.buffers.consume(used);
                if got > 0 {
                    return Ok(got);
                }
                if used > 0 {
                    continue;
                }
            }
            match seam.await_body() {
                Ok(true) => {}
                // Some say "0" and hang up without the last line: the body is whole.
                Ok(false) if call.is_ended_chunked() => {
                    self.end(true);
                    return Ok(0);
                }
                Ok(false) => return Err(Cut::Short),
                Err(Stopped) => return Err(Cut::Stopped),
            }
        }
    }

    fn end(&mut self, cut: bool) {
        let (Some(seam), Some(call)) = (self.seam.take(), self.call.take()) else { return };
        let must_close = match call.proceed() {
            Some(RecvBodyResult::Redirect(call)) => call.must_close_connection(),
            Some(RecvBodyResult::Cleanup(call)) => call.must_close_connection(),
            None => true,
        };
        if !cut && !must_close {
            seam.ends_well();
        }
    }
}
