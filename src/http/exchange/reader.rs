//! The body of a response as it comes, and how it is ended early.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Exchange;
use crate::cancel::Watching;
use crate::error::{Error, Kind, Phase};
use crate::manager::Cause;
use crate::net::Stop;

/// The body of a response as it comes. Threads: one at a time.
pub(crate) struct Reader {
    pub(super) exchange: Arc<Exchange>,
    pub(super) body: Option<ureq::BodyReader<'static>>,
    /// What is still to come, if the head said so.
    pub(super) left: Option<u64>,
    total: Option<u64>,
    got: u64,
    /// Closed before its end: reading on is a mistake, not an end.
    pub(super) closed: bool,
    watching: Option<Watching>,
}

impl Reader {
    /// The head is here; so may be the end.
    pub(super) fn begin(
        exchange: Arc<Exchange>,
        body: ureq::BodyReader<'static>,
        parts: &http::response::Parts,
        is_head: bool,
        watching: Option<Watching>,
    ) -> Self {
        let total = if is_head { Some(0) } else { length_of(parts) };
        let over = exchange.control.cause() == Some(Cause::Done);
        if !over {
            exchange.clocks.begin(Phase::Read);
        }
        let (left, body) = (total, Some(body));
        let mut reader = Self { exchange, body, left, total, got: 0, closed: false, watching };
        if over {
            reader.finish();
        }
        reader
    }

    /// A piece of the body: at least one byte, or 0 for the end.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        if self.closed {
            return Err(Error::new(
                Kind::InvalidState,
                "the response was closed before its body ended",
            ));
        }
        let Some(body) = &mut self.body else {
            return self.exchange.failure.get().map_or(Ok(0), |failure| Err(failure.clone()));
        };
        // Bytes may be here already, but a cancelled exchange has none to give.
        if self.exchange.control.cause().is_some() || self.exchange.clocks.total_passed().is_some()
        {
            let failure = self.exchange.fail(Stop::Deadline);
            self.finish();
            return Err(failure);
        }
        match body.read(into) {
            Ok(0) => self.end(),
            Ok(got) => {
                self.got += got as u64;
                self.exchange.framing.store(0, Ordering::Relaxed);
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(got as u64);
                    if *left == 0 {
                        // The end is here: the connection goes back now, not when it is asked for.
                        self.end()?;
                    }
                }
                Ok(got)
            }
            // Only a polite close is ever paused, and that does not look at the error.
            Err(_) if self.exchange.polite.is_paused() => {
                Err(Error::new(Kind::InvalidState, "the response is being closed"))
            }
            Err(error) => Err(self.broken(Some(&error))),
        }
    }

    /// What is left to read, for somebody else to read it. This one is closed.
    pub(super) fn take_over(&mut self) -> Self {
        self.closed = true;
        Self {
            exchange: Arc::clone(&self.exchange),
            body: self.body.take(),
            left: self.left,
            total: self.total,
            got: self.got,
            closed: false,
            watching: self.watching.take(),
        }
    }

    /// Takes ureq through the end of the body, which gives the connection back.
    fn end(&mut self) -> Result<usize, Error> {
        if let Some(mut body) = self.body.take() {
            let mut nothing = [0];
            if !matches!(body.read(&mut nothing), Ok(0)) {
                self.body = Some(body);
                return Err(self.broken(None));
            }
        }
        self.finish();
        self.exchange.failure.get().map_or(Ok(0), |failure| Err(failure.clone()))
    }

    fn broken(&mut self, error: Option<&std::io::Error>) -> Error {
        let failure = match self.exchange.failure.get() {
            Some(failure) => failure.clone(),
            None if self.exchange.peer_closed.load(Ordering::Relaxed) => {
                let of = self.total.map_or(String::new(), |total| format!(" of {total}"));
                let what = format!(
                    "truncated: the peer closed the connection after {}{of} bytes of the body",
                    self.got
                );
                self.exchange.fail_with(Error::new(Kind::PeerClosed, what))
            }
            None => {
                let what =
                    error.map_or("it does not end where it should".to_owned(), ToString::to_string);
                let what = format!("malformed response: the framing of the body is broken: {what}");
                self.exchange.fail_with(Error::new(Kind::Protocol, what))
            }
        };
        self.body = None;
        self.exchange.clocks.finish(Instant::now);
        failure
    }

    fn finish(&mut self) {
        self.body = None;
        // Nothing is left that a token could end.
        self.watching = None;
        self.exchange.clocks.finish(Instant::now);
    }

    /// Closes the connection now, unless the body is over. What is read afterwards is an error.
    pub(crate) fn close(&mut self) {
        if let Some(body) = self.body.take() {
            self.closed = true;
            self.exchange.abandoned.store(true, Ordering::Relaxed);
            drop(body);
            self.exchange.clocks.finish(Instant::now);
        }
    }

    pub(crate) fn exchange(&self) -> &Arc<Exchange> {
        &self.exchange
    }

    /// How long the body is, if the head said so.
    pub(crate) fn total(&self) -> Option<u64> {
        self.total
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.close();
    }
}

/// The body's length as the head has it; ureq has refused what contradicts itself.
fn length_of(parts: &http::response::Parts) -> Option<u64> {
    if parts.headers.contains_key(http::header::TRANSFER_ENCODING) {
        return None;
    }
    let value = parts.headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?;
    value.split(',').next()?.trim().parse().ok()
}
