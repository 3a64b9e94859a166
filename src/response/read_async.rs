//! Reading a body in the background: the future of a read that was submitted.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::body::ResponseBody;
use super::piece::Piece;
use crate::error::Error;
use crate::runtime::Oneshot;
use crate::vocabulary::{CloseMode, Kind};

/// The next piece of a body as a future: at least one byte; an empty piece is the end.
///
/// Create: [`Response::read_async`](crate::Response::read_async) or [`ResponseBody::read_async`], which begin the
/// read at once. Dropped before its outcome is there, it closes the response. Threads: a value; any executor may
/// poll it.
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

impl ResponseBody {
    /// Reads the next piece in the background; see [`Response::read_async`](crate::Response::read_async).
    ///
    /// ```no_run
    /// # async fn example(mut response: hangup::Response) -> Result<(), hangup::Error> {
    /// loop {
    ///     let piece = response.read_async(65536).await?;
    ///     if piece.is_empty() {
    ///         break;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_async(&mut self, at_most: usize) -> ReadFuture<'_> {
        let oneshot = Oneshot::new();
        let outcome = Arc::clone(&oneshot);
        let state = match self.begin_read(at_most, move |piece| outcome.put(piece)) {
            Ok(()) => State::UnderWay(self, oneshot),
            Err(error) => State::Refused(error),
        };
        ReadFuture { state }
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
