//! Reading a body in the background: what a submitted read brings back, and the future of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Body;
use crate::error::Error;
use crate::http::decode::Content;
use crate::submit::Slot;
use crate::vocabulary::{CloseMode, Kind, Phase};

/// What a submitted read brings back: what it was lent, and what it read. Threads: a value.
pub(crate) struct Piece {
    /// `None` if it got lost on the way, and its connection with it.
    content: Option<Content>,
    outcome: Result<Vec<u8>, Error>,
}

/// The next piece of a body as a future: at least one byte; empty is the end.
///
/// Begins: [`Response::read_soon`](super::Response::read_soon), and with it the read. Dropped before its end, it closes the
/// response. Threads: a value; any executor may poll it.
#[must_use = "dropping it closes the response"]
#[derive(Debug)]
pub struct Reading<'a> {
    state: State<'a>,
}

#[derive(Debug)]
enum State<'a> {
    UnderWay(&'a mut Body, Arc<Slot<Piece>>),
    Refused(Error),
    Over,
}

impl Piece {
    pub(super) fn new(content: Content, outcome: Result<Vec<u8>, Error>) -> Self {
        Self { content: Some(content), outcome }
    }

    pub(super) fn lost(error: Error) -> Self {
        Self { content: None, outcome: Err(error) }
    }

    pub(super) fn run_on_worker(self) -> (Option<Content>, Result<Vec<u8>, Error>) {
        (self.content, self.outcome)
    }

    /// What is said to whoever asked for it and closed the response meanwhile. Closes it, too.
    pub(crate) fn of_nobody(self) -> Error {
        let Self { content, outcome } = self;
        let exchange = content.map(|content| Arc::clone(content.reader().exchange()));
        match (outcome, exchange) {
            // It had failed before, or because of that.
            (Err(error), _) => error,
            (Ok(_), exchange) => {
                let error = Error::new(Kind::Closed, "the response was closed (phase: read)");
                let error = error.in_phase(Phase::Read);
                match exchange {
                    Some(exchange) => error.on_connection(exchange.connection(), exchange.reused()),
                    None => error,
                }
            }
        }
    }
}

impl<'a> Reading<'a> {
    pub(super) fn begin(body: &'a mut Body, at_most: usize) -> Self {
        let slot = Slot::new();
        let outcome = Arc::clone(&slot);
        let state = match body.lend(at_most, move |piece| outcome.put(piece)) {
            Ok(()) => State::UnderWay(body, slot),
            Err(error) => State::Refused(error),
        };
        Self { state }
    }
}

impl Future for Reading<'_> {
    type Output = Result<Vec<u8>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let piece = match &self.state {
            State::UnderWay(_, slot) => match slot.poll(cx.waker()) {
                Ok(Poll::Ready(piece)) => piece,
                Ok(Poll::Pending) => return Poll::Pending,
                Err(forked) => Piece::lost(forked),
            },
            State::Refused(_) | State::Over => {
                Piece::lost(Error::new(Kind::InvalidState, "this read is over; begin a new one"))
            }
        };
        Poll::Ready(match std::mem::replace(&mut self.state, State::Over) {
            State::UnderWay(body, _) => body.take_back(piece),
            State::Refused(error) => Err(error),
            State::Over => Err(piece.of_nobody()),
        })
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if let State::UnderWay(body, _) = &mut self.state {
            body.close(CloseMode::Now);
        }
    }
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Piece").finish_non_exhaustive()
    }
}
