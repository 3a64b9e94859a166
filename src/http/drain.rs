//! Closing a response early without losing its connection: the rest of the body is read and thrown
//! away, if it is short and comes soon. The caller waits 2 ms at most; a worker does the rest.

use std::time::{Duration, Instant};

use super::response_body::IncomingBody;
use crate::error::Error;
use crate::net::Stop;
use crate::runtime::WorkerPool;
use crate::vocabulary::{Kind, Timeout};

impl IncomingBody {
    /// Reads the rest for a short time, so that the connection can be kept; closes it if that is not
    /// enough.
    pub(crate) fn close_gracefully(&mut self) {
        if self.is_over() {
            // A connection that waits to be taken is in the way of nothing, and of no use to other requests.
            return self.close();
        }
        // The rest is thrown away, so it need not be held for a decoder.
        if self.is_held_at_end() {
            return self.close();
        }
        let _ = self.let_go();
        if self.left.is_some_and(|left| left > MAX_BYTES) {
            return self.close();
        }
        let start = Instant::now();
        let mut left = MAX_BYTES;
        if self.drain(start + DRAIN_WAIT, &mut left) {
            let mut rest = self.detach();
            // Without a thread for it the job is dropped, and the connection is closed by that.
            let _ = DRAINS.run(move || {
                rest.drain(start + MAX_TIME, &mut left);
                rest.close();
            });
        } else {
            self.close();
            self.closed = true;
        }
    }

    /// Reads a redirect's body and throws it away, so that the next hop can have the connection; closes
    /// it if that body is long or slow.
    ///
    /// # Errors
    /// An end of the exchange from outside is one of the whole call.
    #[cold]
    pub(crate) fn discard(mut self) -> Result<(), Error> {
        if self.left.is_none_or(|left| left <= MAX_REDIRECT_BYTES) {
            self.drain(Instant::now() + MAX_TIME, &mut { MAX_REDIRECT_BYTES });
        }
        self.close();
        let ends_the_call = |failure: &Error| match failure.kind() {
            Kind::TimedOut => matches!(failure.timeout(), Timeout::Total | Timeout::Token),
            kind => matches!(kind, Kind::Cancelled | Kind::ShutDown | Kind::Forked),
        };
        self.failed.take().filter(ends_the_call).map_or(Ok(()), Err)
    }

    /// Reads and throws away, until the end, a failure, or so many bytes. Returns `true` if the deadline
    /// came first.
    fn drain(&mut self, deadline: Instant, left: &mut u64) -> bool {
        self.draining = true;
        let mut scratch = [0; 8 * 1024];
        loop {
            if self.check().is_err() {
                return false;
            }
            let Some(running) = &mut self.running else { return false };
            running.body.set_drain_deadline(deadline);
            match self.read_piece(&mut scratch) {
                Ok(got) if got > 0 && got as u64 <= *left => *left -= got as u64,
                Ok(_) => return false,
                Err(Stop::Deadline(Timeout::None)) => return true,
                Err(stop) => {
                    self.fail(stop);
                    return false;
                }
            }
        }
    }
}

static DRAINS: WorkerPool = WorkerPool::new("hangup-drain", 8);
/// How much is read (Go 1.27's numbers, golang/go#77370).
const MAX_BYTES: u64 = 256 * 1024;
/// The same for a redirect, whose body is of no use and for which the caller waits.
const MAX_REDIRECT_BYTES: u64 = 64 * 1024;
/// How long, all in all.
const MAX_TIME: Duration = Duration::from_millis(50);
/// How long of that the caller waits: what is here already, or about to come.
const DRAIN_WAIT: Duration = Duration::from_millis(2);
