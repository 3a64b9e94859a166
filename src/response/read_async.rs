//! Reading a body in the background: what a submitted read brings back, and the future of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::ResponseBody;
use crate::error::Error;
use crate::http::decode::Content;
use crate::runtime::Oneshot;
use crate::vocabulary::{CloseMode, Kind, Phase};

/// What a submitted read brings back: what it was lent, and what it read. Threads: a value.
pub(crate) struct Piece {
    /// `None` if it got lost on the way, and its connection with it.
    content: Option<Content>,
    outcome: Result<Vec<u8>, Error>,
}

/// The next piece of a body as a future: at least one byte; empty is the end.
///
/// Begins: [`Response::read_async`](super::Response::read_async), and with it the read. Dropped before its end, it closes the
/// response. Threads: a value; any executor may poll it.
#[must_use = "dropping it closes the response"]
#[derive(Debug)]
pub struct ReadFuture<'a> {
    state: State<'a>,
}

#[derive(Debug)]
enum State<'a> {
    UnderWay(&'a mut ResponseBody, Arc<Oneshot<Piece>>),
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

    pub(super) fn into_parts(self) -> (Option<Content>, Result<Vec<u8>, Error>) {
        (self.content, self.outcome)
    }

    /// What is said to whoever asked for it and closed the response meanwhile. Closes it, too.
    pub(crate) fn closed_error(self) -> Error {
        let Self { content, outcome } = self;
        let info = content.map(|content| content.body().info());
        match (outcome, info) {
            // It had failed before, or because of that.
            (Err(error), _) => error,
            (Ok(_), info) => {
                let error = Error::new(Kind::Closed, "the response was closed (phase: read)");
                let error = error.in_phase(Phase::Read);
                match info {
                    Some(info) => error.on_connection(info.connection, info.reused),
                    None => error,
                }
            }
        }
    }
}

impl<'a> ReadFuture<'a> {
    pub(super) fn begin(body: &'a mut ResponseBody, at_most: usize) -> Self {
        let oneshot = Oneshot::new();
        let outcome = Arc::clone(&oneshot);
        let state = match body.begin_read(at_most, move |piece| outcome.put(piece)) {
            Ok(()) => State::UnderWay(body, oneshot),
            Err(error) => State::Refused(error),
        };
        Self { state }
    }
}

impl Future for ReadFuture<'_> {
    type Output = Result<Vec<u8>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let piece = match &self.state {
            State::UnderWay(_, oneshot) => match oneshot.poll(cx.waker()) {
                Ok(Poll::Ready(piece)) => piece,
                Ok(Poll::Pending) => return Poll::Pending,
                Err(forked) => Piece::lost(forked),
            },
            State::Refused(_) | State::Over => {
                Piece::lost(Error::new(Kind::InvalidState, "this read is over; begin a new one"))
            }
        };
        Poll::Ready(match std::mem::replace(&mut self.state, State::Over) {
            State::UnderWay(body, _) => body.finish_read(piece),
            State::Refused(error) => Err(error),
            State::Over => Err(piece.closed_error()),
        })
    }
}

impl Drop for ReadFuture<'_> {
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
