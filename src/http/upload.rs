//! The body of a request while it is sent: exactly as long as it said, and no longer than the
//! peer wants to hear it.

use std::io::{self, Read};
use std::sync::Arc;

use super::exchange::Exchange;
use super::transport::Stopped;
use crate::error::{Error, Kind};
use crate::net::Stop;
use crate::wait::{Crew, apart, apart_unless};

/// Where a body comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Memory,
    /// It may take its time.
    Disk,
    /// Code of the caller's: it may take as long as it likes.
    Caller,
}

/// Threads: one at a time.
pub(crate) struct Upload<'a> {
    source: &'a mut (dyn Read + Send),
    origin: Origin,
    /// What is still to be given; `None` if the length is not known.
    left: Option<u64>,
    given: u64,
    exchange: Option<Arc<Exchange>>,
}

impl<'a> Upload<'a> {
    pub(crate) fn new(
        source: &'a mut (dyn Read + Send),
        length: Option<u64>,
        origin: Origin,
    ) -> Self {
        Self { source, origin, left: length, given: 0, exchange: None }
    }

    /// How much is still to be given, if that is known.
    pub(super) fn left(&self) -> Option<u64> {
        self.left
    }

    /// Whether the first bytes are here already: they may share a packet with the head.
    pub(crate) fn is_at_hand(&self) -> bool {
        self.origin != Origin::Caller && self.left != Some(0)
    }

    pub(super) fn belongs_to(&mut self, exchange: &Arc<Exchange>) {
        self.exchange = Some(Arc::clone(exchange));
    }

    /// `None` if the exchange is over before anything was read. Interrupted means "again"
    /// (std::io::Read); a reader that says so for ever is ended by the clock.
    fn read_source(&mut self, into: &mut [u8]) -> Option<io::Result<usize>> {
        let must_stop = || self.exchange.as_ref().is_some_and(|exchange| exchange.must_stop());
        let source = &mut *self.source;
        loop {
            let read = match self.origin {
                Origin::Memory => source.read(into),
                Origin::Disk => apart(&DISKS, || source.read(into)),
                Origin::Caller => apart_unless(&READERS, || source.read(into), &must_stop)?,
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    if must_stop() {
                        return None;
                    }
                }
                other => return Some(other),
            }
        }
    }

    fn fail(&self, what: String) -> Stopped {
        if let Some(exchange) = &self.exchange {
            exchange.fail_with(Error::new(Kind::BodyFailed, what));
        }
        Stopped
    }

    /// The next piece; 0 is the end.
    pub(super) fn next(&mut self, into: &mut [u8]) -> Result<usize, Stopped> {
        let room = self
            .left
            .map_or(into.len(), |left| into.len().min(usize::try_from(left).unwrap_or(into.len())));
        if room == 0 {
            return Ok(0);
        }
        let Some(read) = self.read_source(&mut into[..room]) else {
            if let Some(exchange) = &self.exchange {
                exchange.fail(Stop::Deadline);
            }
            return Err(Stopped);
        };
        match read {
            Ok(0) => match self.left {
                Some(left) if left > 0 => {
                    let whole = left + self.given;
                    Err(self.fail(format!(
                        "the request's body is short: {} of {whole} bytes",
                        self.given
                    )))
                }
                _ => Ok(0),
            },
            Ok(got) => {
                self.given += got as u64;
                if let Some(left) = &mut self.left {
                    *left -= got as u64;
                }
                Ok(got)
            }
            Err(error) => Err(self.fail(format!("the request's body failed: {error}"))),
        }
    }
}

static DISKS: Crew = Crew::new("hangup-file", 16);
/// So many readers of callers may block at once; more wait until one of them comes back.
static READERS: Crew = Crew::new("hangup-upload", 256);
