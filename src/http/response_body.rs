//! The body of a response as it comes, and how it is ended early.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::exchange::Exchange;
use super::h1::{Chunks, Cut, Incoming, Seam, Stopped};
use crate::cancel::Watching;
use crate::error::Error;
use crate::net::Stop;
use crate::runtime::work_is_interrupted;
use crate::vocabulary::{Kind, Phase};

/// The body of a response as it comes. Threads: one at a time.
pub(crate) struct Reader {
    pub(super) exchange: Arc<Exchange>,
    pub(super) body: Option<Source>,
    /// What is still to come, if the head said so.
    pub(super) left: Option<u64>,
    total: Option<u64>,
    got: u64,
    /// Closed before its end: reading on is a mistake, not an end.
    pub(super) closed: bool,
    held: Held,
    watching: Option<Watching>,
}

/// Whether the exchange goes on after the body's last byte was read, for a decoder that has not come
/// to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    No,
    Yes,
    /// The last byte was read.
    AtEnd,
}

/// Where a body comes from.
// There is one of it in a response: a box would only be one more thing to allocate.
#[allow(clippy::large_enum_variant)]
pub(super) enum Source {
    Chunks(Box<Chunks>),
    /// The connection itself: so many bytes, or all until it ends.
    Plain(Seam),
}

impl Reader {
    /// The head is here; so may be the end.
    #[inline(never)] // As for `Exchange::acquire`.
    pub(super) fn begin(
        exchange: Arc<Exchange>,
        incoming: Incoming,
        watching: Option<Watching>,
    ) -> Box<Self> {
        let (body, total) = match incoming {
            Incoming::Nothing => (None, Some(0)),
            Incoming::Length(seam, length) => (Some(Source::Plain(seam)), Some(length)),
            Incoming::UntilClose(seam) => (Some(Source::Plain(seam)), None),
            Incoming::Chunks(chunks) => (Some(Source::Chunks(chunks)), None),
        };
        let left = total;
        let (closed, held) = (false, Held::No);
        let reader = Self { exchange, body, left, total, got: 0, closed, held, watching };
        // It is handed up through many layers: one allocation is less than all those copies.
        let mut reader = Box::new(reader);
        if reader.body.is_none() {
            reader.finish();
        } else {
            reader.exchange.clocks.begin(Phase::Read);
        }
        reader
    }

    /// A piece of the body: at least one byte, or 0 for the end.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        self.go_on()?;
        let Some(body) = self.body.as_mut().filter(|_| self.held != Held::AtEnd) else {
            return Ok(0);
        };
        let read = match body {
            Source::Chunks(chunks) => chunks.read(into),
            Source::Plain(seam) => seam.read_body(into, self.left).map_err(|Stopped| Cut::Stopped),
        };
        match read {
            Ok(0) => self.last_byte_is_read(),
            Ok(got) => {
                self.got += got as u64;
                self.exchange.framing.store(0, Ordering::Relaxed);
                if matches!(&self.body, Some(Source::Chunks(chunks)) if chunks.is_over()) {
                    self.last_byte_is_read()?;
                } else if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(got as u64);
                    if *left == 0 {
                        // The end is here: the connection goes back now, not when it is asked for.
                        self.last_byte_is_read()?;
                    }
                }
                Ok(got)
            }
            // Only a polite close is ever paused, and that does not look at the error.
            Err(_) if self.exchange.polite.is_paused() => {
                Err(Error::new(Kind::InvalidState, "the response is being closed"))
            }
            Err(cut) => Err(self.broken(&cut)),
        }
    }

    /// Keeps the exchange, and its connection with it, until [`let_go`](Self::let_go): the call is
    /// not over with the body's last byte, and can be ended until it is.
    pub(crate) fn hold(&mut self) {
        self.held = Held::Yes;
    }

    /// Ends the exchange now if the last byte was read, and otherwise with that.
    pub(crate) fn let_go(&mut self) -> Result<(), Error> {
        match std::mem::replace(&mut self.held, Held::No) {
            Held::AtEnd if self.body.is_some() => self.end().map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Whether only [`let_go`](Self::let_go) is missing to the end of the exchange.
    pub(super) fn is_held_at_end(&self) -> bool {
        self.held == Held::AtEnd
    }

    /// [`go_on`](Self::go_on), from within work that does not wait and so is interrupted by no
    /// signal.
    pub(crate) fn go_on_working(&mut self) -> Result<(), Error> {
        if self.body.is_some() && work_is_interrupted() {
            let failure = self.exchange.fail(Stop::Interrupted);
            self.finish();
            return Err(failure);
        }
        self.go_on()
    }

    /// Whether there is anything to go on with: it was neither closed, nor has it failed, nor did
    /// somebody end it. After the end nobody can.
    pub(crate) fn go_on(&mut self) -> Result<(), Error> {
        if self.closed {
            return Err(Error::new(
                Kind::InvalidState,
                "the response was closed before its body ended",
            ));
        }
        if self.body.is_none() {
            return self.exchange.failure.get().map_or(Ok(()), |failure| Err(failure.clone()));
        }
        // Bytes may be here already, but a cancelled exchange has none to give.
        let stop = if self.exchange.is_the_parents() {
            Some(Stop::Ended)
        } else {
            self.exchange.check().err()
        };
        if let Some(stop) = stop {
            let failure = self.exchange.fail(stop);
            self.finish();
            return Err(failure);
        }
        Ok(())
    }

    /// Whether nothing of the body is left.
    pub(crate) fn is_over(&self) -> bool {
        self.body.is_none()
    }

    /// What came is not what it should be, by whoever looks at it: the exchange fails with that.
    pub(crate) fn refuse(&mut self, error: Error) -> Error {
        let failure = self.exchange.fail_with(error);
        self.finish();
        // The exchange may be over by now, but whoever reads the body does not know that.
        failure.in_phase(Phase::Read)
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
            held: Held::No,
            watching: self.watching.take(),
        }
    }

    /// The body is at its end, or the peer is at its own.
    fn last_byte_is_read(&mut self) -> Result<usize, Error> {
        if matches!(self.body, Some(Source::Plain(_))) && self.left.is_some_and(|left| left > 0) {
            return Err(self.broken(&Cut::Short));
        }
        if self.held == Held::No {
            return self.end();
        }
        self.held = Held::AtEnd;
        Ok(0)
    }

    /// Gives the connection back, or closes it.
    fn end(&mut self) -> Result<usize, Error> {
        match self.body.take() {
            Some(Source::Plain(seam)) if self.total.is_some() => seam.ends_well(),
            Some(Source::Chunks(chunks)) => chunks.finish(),
            // A body that ends with its connection leaves nothing to keep.
            body => drop(body),
        }
        self.finish();
        self.exchange.failure.get().map_or(Ok(0), |failure| Err(failure.clone()))
    }

    fn broken(&mut self, cut: &Cut) -> Error {
        let failure = match (self.exchange.failure.get(), cut) {
            (Some(failure), _) => failure.clone(),
            (None, Cut::Malformed(why)) => {
                let what = format!("malformed response: the framing of the body is broken: {why}");
                self.exchange.fail_with(Error::new(Kind::Protocol, what))
            }
            (None, Cut::Short | Cut::Stopped) => {
                let of = self.total.map_or(String::new(), |total| format!(" of {total}"));
                let what = format!(
                    "truncated: the peer closed the connection after {}{of} bytes of the body",
                    self.got
                );
                self.exchange.fail_with(Error::new(Kind::PeerClosed, what))
            }
        };
        self.body = None;
        self.exchange.finish(Instant::now);
        failure
    }

    fn finish(&mut self) {
        self.body = None;
        // Nothing is left that a token could end.
        self.watching = None;
        self.exchange.finish(Instant::now);
    }

    /// Closes the connection now, unless the body is over. What is read afterwards is an error.
    pub(crate) fn close(&mut self) {
        if self.is_held_at_end() && self.body.is_some() {
            // Nothing is left that would have to be read for the next exchange.
            self.closed = true;
            let _ = self.let_go();
        }
        if let Some(body) = self.body.take() {
            self.closed = true;
            self.exchange.abandoned.store(true, Ordering::Relaxed);
            drop(body);
            self.exchange.finish(Instant::now);
        }
    }

    pub(crate) fn exchange(&self) -> &Arc<Exchange> {
        &self.exchange
    }

    /// How much is left of the body, if the head said how long it is.
    pub(crate) fn left(&self) -> Option<u64> {
        self.left
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.close();
    }
}
