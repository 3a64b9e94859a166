//! The body of a request while it is sent: exactly as long as it said, and no longer than the
//! peer wants to hear it.

use std::io::{self, Read};
use std::sync::Arc;

use super::exchange::Exchange;
use crate::error::{Error, Kind};

/// There is no more of it than there should be; the exchange knows why.
#[derive(Debug)]
pub(super) struct Failed;

/// Threads: one at a time.
pub(crate) struct Upload<'a> {
    source: &'a mut dyn Read,
    /// The first bytes are here already: they may share a packet with the head.
    at_hand: bool,
    /// What is still to be given; `None` if the length is not known.
    left: Option<u64>,
    given: u64,
    exchange: Option<Arc<Exchange>>,
}

impl<'a> Upload<'a> {
    pub(crate) fn new(source: &'a mut dyn Read, length: Option<u64>, at_hand: bool) -> Self {
        let at_hand = at_hand && length != Some(0);
        Self { source, at_hand, left: length, given: 0, exchange: None }
    }

    /// How much is still to be given, if that is known.
    pub(super) fn left(&self) -> Option<u64> {
        self.left
    }

    pub(super) fn is_at_hand(&self) -> bool {
        self.at_hand
    }

    pub(super) fn belongs_to(&mut self, exchange: &Arc<Exchange>) {
        self.exchange = Some(Arc::clone(exchange));
    }

    /// Interrupted means "again" (std::io::Read); a reader that says so for ever is ended by the clock.
    fn read_source(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.source.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    if self.exchange.as_ref().is_some_and(|exchange| exchange.must_stop()) {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
    }

    fn fail(&self, what: String) -> Failed {
        if let Some(exchange) = &self.exchange {
            exchange.fail_with(Error::new(Kind::BodyFailed, what));
        }
        Failed
    }

    /// The next piece; 0 is the end.
    pub(super) fn next(&mut self, into: &mut [u8]) -> Result<usize, Failed> {
        let room = self
            .left
            .map_or(into.len(), |left| into.len().min(usize::try_from(left).unwrap_or(into.len())));
        if room == 0 {
            return Ok(0);
        }
        match self.read_source(&mut into[..room]) {
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
