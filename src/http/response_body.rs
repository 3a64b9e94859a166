//! The body of a response as it comes, and how it is ended early. It owns the exchange until that is
//! over.

use std::sync::Arc;
use std::time::Instant;

use super::exchange::{Exchange, ExchangeInfo, ExchangeShared};
use super::failure::close_reason;
use super::h1::Http1Body;
use super::rate::RateLimit;
use super::upgraded::UpgradedConnection;
use crate::error::Error;
use crate::net::Stop;
use crate::response_head::ResponseTo;
use crate::runtime::work_is_interrupted;
use crate::transfer::{Progress, Transfer};
use crate::vocabulary::{CloseReason, Kind, Phase, TraceType};

/// Threads: one at a time.
pub(crate) struct IncomingBody {
    /// `None` after the end of the exchange.
    pub(super) running: Option<Running>,
    shared: Arc<ExchangeShared>,
    info: ExchangeInfo,
    /// What is still to come, if the head said so.
    pub(super) left: Option<u64>,
    total: Option<u64>,
    to: ResponseTo,
    got: u64,
    /// Closed before its end: reading on is an error of the caller's.
    pub(super) closed: bool,
    hold: Hold,
    /// The connection waits to be taken as a stream.
    upgraded: bool,
    /// The rest is read only to be thrown away.
    pub(super) draining: bool,
    pub(super) failed: Option<Error>,
    watch: Option<Box<TransferWatch>>,
}

/// What few bodies have: a maximum rate, and a handle that counts them.
struct TransferWatch {
    rate: Option<RateLimit>,
    progress: Option<Progress>,
}

/// An exchange whose response is being read.
pub(super) struct Running {
    exchange: Box<Exchange>,
    pub(super) body: Http1Body,
}

/// Whether the exchange goes on after the body's last byte was read, for a decoder that has not come
/// to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    No,
    Yes,
    /// The last byte was read.
    AtEnd,
}

impl IncomingBody {
    /// The head is here. A body of no bytes is over at once, and its connection is given back.
    ///
    /// # Errors
    /// The exchange was ended before that.
    #[inline(never)] // Keeps its frame out of the wait for the response.
    pub(super) fn begin(
        exchange: Box<Exchange>,
        body: Http1Body,
        upgraded: bool,
    ) -> Result<Box<Self>, Error> {
        let total = body.length();
        // In a box: it is passed up through many layers.
        let mut incoming = Box::new(Self {
            shared: Arc::clone(exchange.shared()),
            info: exchange.info(),
            to: exchange.config.response_to,
            running: Some(Running { exchange, body }),
            left: total,
            total,
            got: 0,
            closed: false,
            hold: Hold::No,
            upgraded,
            draining: false,
            failed: None,
            watch: None,
        });
        if let Some(Running { exchange, .. }) = &incoming.running
            && let Some(transfer) = &exchange.config.transfer
        {
            incoming.watch = TransferWatch::begin(transfer, total);
        }
        if upgraded {
            incoming.hold_for_handover();
        } else if total == Some(0) {
            incoming.finish().map_err(|stop| incoming.fail(stop))?;
        } else {
            incoming.shared.timing.enter(Phase::Read, Instant::now());
        }
        Ok(incoming)
    }

    /// A piece of the body: at least one byte, or 0 for the end.
    ///
    /// # Errors
    /// Any [`Kind`]; the same one again after the first.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        self.check()?;
        self.read_piece(into).map_err(|stop| self.fail(stop))
    }

    /// Reads what is here already, as far as it fits; `None` if nothing is. Doesn't wait. A failure after the first
    /// bytes is returned by the next read.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn read_here(&mut self, into: &mut [u8]) -> Result<Option<usize>, Error> {
        self.check()?;
        let mut filled = 0;
        while filled < into.len() {
            match self.piece_here(&mut into[filled..]) {
                Ok(None) if filled == 0 => return Ok(None),
                Ok(None | Some(0)) => break,
                Ok(Some(got)) => filled += got,
                Err(stop) => {
                    let error = self.fail(stop);
                    return if filled == 0 { Err(error) } else { Ok(Some(filled)) };
                }
            }
            // A short read may have emptied the socket.
            if !self.may_hold_more() {
                break;
            }
        }
        Ok(Some(filled))
    }

    /// Whether more may be here after a read that was shorter than its room.
    pub(crate) fn may_hold_more(&mut self) -> bool {
        self.running.as_mut().is_some_and(|running| running.body.may_hold_more())
    }

    /// Takes the connection of a response that hands it over.
    ///
    /// # Errors
    /// [`Kind::InvalidState`] if the response hands over no connection, or did before; what ended the exchange.
    #[cold]
    pub(crate) fn take_upgraded(&mut self) -> Result<UpgradedConnection, Error> {
        if !std::mem::take(&mut self.upgraded) {
            let what = "this response has no connection to hand over: that is done by 101 Switching Protocols, by a \
                        success to CONNECT, and once";
            return Err(Error::new(Kind::InvalidState, what));
        }
        self.check_handover()?;
        match self.running.take() {
            Some(Running { exchange, body }) => {
                UpgradedConnection::begin(exchange, body, self.info)
            }
            None => Err(Error::new(Kind::InvalidState, "the response was closed")),
        }
    }

    #[cold]
    fn hold_for_handover(&mut self) {
        self.shared.timing.enter(Phase::Read, Instant::now());
        if let Some(running) = &self.running {
            running.body.mark_upgraded();
        }
    }

    /// Fails if the exchange was ended from outside before its connection was taken. The total timeout does not count
    /// any more.
    fn check_handover(&mut self) -> Result<(), Error> {
        self.shared.end_if_forked();
        if self.shared.is_ended() {
            return Err(self.fail(Stop::Ended));
        }
        Ok(())
    }

    /// Keeps the exchange, and its connection with it, until [`let_go`](Self::let_go): the call is
    /// not over with the body's last byte, and can be ended until it is.
    pub(crate) fn hold(&mut self) {
        self.hold = Hold::Yes;
    }

    /// Ends the exchange now if the last byte was read, and otherwise with that.
    pub(crate) fn let_go(&mut self) -> Result<(), Error> {
        match std::mem::replace(&mut self.hold, Hold::No) {
            Hold::AtEnd => self.finish().map_err(|stop| self.fail(stop)),
            Hold::No | Hold::Yes => Ok(()),
        }
    }

    /// The body is refused by the code that reads it: the exchange fails with that error.
    pub(crate) fn refuse(&mut self, error: Error) -> Error {
        self.fail(error.into()).in_phase(Phase::Read)
    }

    /// Closes the connection now, unless the body is over. What is read afterwards is an error.
    pub(crate) fn close(&mut self) {
        if self.is_held_at_end() {
            // Nothing is left that would have to be read for the next exchange.
            self.closed = true;
            let _ = self.let_go();
        }
        if let Some(running) = &mut self.running {
            self.closed = true;
            self.upgraded = false;
            running.body.close(CloseReason::BodyLeftUnread);
            running.exchange.finish(Instant::now);
            self.running = None;
        }
    }

    /// Fails if there is nothing to go on with: the body was closed, has failed, or the exchange was
    /// ended. After the end of the body nothing ends it.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        if self.closed {
            return Err(Error::new(
                Kind::InvalidState,
                "the response was closed before its body ended",
            ));
        }
        match &self.running {
            Some(_) if self.upgraded => Ok(()),
            // Bytes may be here already, but a cancelled exchange has none to give.
            Some(running) => running.exchange.check().map_err(|stop| self.fail(stop)),
            None => self.failed.clone().map_or(Ok(()), Err),
        }
    }

    /// [`check`](Self::check), for work that does not wait and so is not interrupted by a signal.
    pub(crate) fn check_during_work(&mut self) -> Result<(), Error> {
        if self.running.is_some() && work_is_interrupted() {
            return Err(self.fail(Stop::Interrupted));
        }
        self.check()
    }

    /// Whether nothing of the body is left.
    pub(crate) fn is_over(&self) -> bool {
        self.running.is_none() || self.upgraded
    }

    /// Whether it ended before its end: it was closed, or failed.
    pub(crate) fn was_cut(&self) -> bool {
        self.closed || self.failed.is_some()
    }

    /// How much is left of the body, if the head said how long it is.
    pub(crate) fn left(&self) -> Option<u64> {
        self.left
    }

    /// How long the body is on the wire, if the head says so: 0 if there is none.
    pub(crate) fn total(&self) -> Option<u64> {
        self.total
    }

    /// Whether the response is to HEAD, and so its head describes a body that is not sent.
    pub(crate) fn is_to_head(&self) -> bool {
        self.to == ResponseTo::Head
    }

    pub(crate) fn shared(&self) -> &Arc<ExchangeShared> {
        &self.shared
    }

    pub(crate) fn info(&self) -> ExchangeInfo {
        self.info
    }

    /// Whether only [`let_go`](Self::let_go) is missing to the end of the exchange.
    pub(super) fn is_held_at_end(&self) -> bool {
        self.hold == Hold::AtEnd && self.running.is_some()
    }

    /// What is left to read, to be read by another thread. This one is closed.
    pub(super) fn detach(&mut self) -> Self {
        self.closed = true;
        Self {
            running: self.running.take(),
            shared: Arc::clone(&self.shared),
            info: self.info,
            left: self.left,
            total: self.total,
            to: self.to,
            got: self.got,
            closed: false,
            hold: Hold::No,
            upgraded: self.upgraded,
            draining: self.draining,
            failed: None,
            watch: None,
        }
    }

    /// [`read`](Self::read) without the check before it. An error here is not yet the exchange's.
    pub(super) fn read_piece(&mut self, mut into: &mut [u8]) -> Result<usize, Stop> {
        if self.hold == Hold::AtEnd || self.upgraded {
            return Ok(0);
        }
        let Some(Running { exchange, body }) = &mut self.running else { return Ok(0) };
        if let Some(watch) = &mut self.watch
            && !self.draining
        {
            let most = watch.before_read(exchange.shared())?.min(into.len());
            into = &mut into[..most];
        }
        let got = body.read(into, self.left, exchange)?;
        self.took(got, into).map(|()| got)
    }

    /// One step of [`read_here`](Self::read_here).
    fn piece_here(&mut self, into: &mut [u8]) -> Result<Option<usize>, Stop> {
        if self.is_over() {
            return Ok(Some(0));
        }
        // What decides when the exchange ends, or when the next piece may be read, is behind a wait.
        if self.hold != Hold::No || self.watch.as_ref().is_some_and(|watch| watch.rate.is_some()) {
            return Ok(None);
        }
        let Some(Running { exchange, body }) = &mut self.running else { return Ok(Some(0)) };
        // A trace is a callback of the caller's, which a submission does not call.
        if exchange.config.tracer.is_some() {
            return Ok(None);
        }
        exchange.check()?;
        let Some(got) = body.read_here(into, self.left, exchange)? else { return Ok(None) };
        self.took(got, into).map(|()| Some(got))
    }

    /// So many bytes of the body were read; none are its end.
    #[inline]
    fn took(&mut self, got: usize, into: &[u8]) -> Result<(), Stop> {
        let Some(Running { exchange, body }) = &mut self.running else { return Ok(()) };
        self.got += got as u64;
        if let Some(watch) = &mut self.watch {
            watch.after_read(got);
        }
        exchange.trace(|tracer| {
            tracer.body(TraceType::ResponseBody, self.info.connection, &into[..got]);
        });
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(got as u64);
        }
        if got == 0 && !body.is_whole(self.left) {
            return Err(self.truncated());
        }
        // The connection goes back with the last byte, before the end is asked for.
        if got == 0 || body.is_at_end(self.left) {
            match self.hold {
                Hold::No => self.finish()?,
                Hold::Yes | Hold::AtEnd => self.hold = Hold::AtEnd,
            }
        }
        Ok(())
    }

    /// Gives the connection back, or closes it: the exchange is over.
    fn finish(&mut self) -> Result<(), Stop> {
        if let Some(Running { exchange, body }) = &mut self.running {
            body.finish(exchange)?;
        }
        self.running = None;
        Ok(())
    }

    /// The exchange failed: closes its connection. Returns the error, which later reads return again.
    #[cold]
    #[inline(never)]
    pub(super) fn fail(&mut self, stop: Stop) -> Error {
        let Some(Running { exchange, body }) = &mut self.running else {
            return self.failed.clone().unwrap_or_else(|| {
                Error::new(Kind::Closed, "the response was closed before its body ended")
            });
        };
        let error = exchange.fail_on(body.stream(), stop);
        let unread = CloseReason::BodyLeftUnread;
        body.close(if self.draining { unread } else { close_reason(&error) });
        exchange.finish(Instant::now);
        self.running = None;
        self.failed.insert(error).clone()
    }

    #[cold]
    fn truncated(&self) -> Stop {
        let of = self.total.map_or(String::new(), |total| format!(" of {total}"));
        let got = self.got;
        let what =
            format!("truncated: the peer closed the connection after {got}{of} bytes of the body");
        Error::new(Kind::PeerClosed, what).into()
    }
}

impl TransferWatch {
    #[cold]
    #[inline(never)]
    fn begin(transfer: &Transfer, total: Option<u64>) -> Option<Box<Self>> {
        let progress = transfer.progress.clone();
        if let Some(progress) = &progress {
            progress.expect(total);
        }
        let rate = transfer.max_download.map(RateLimit::new);
        (rate.is_some() || progress.is_some()).then(|| Box::new(Self { rate, progress }))
    }

    /// Waits until the rate allows the next piece, and returns how large that may be.
    fn before_read(&mut self, exchange: &ExchangeShared) -> Result<usize, Stop> {
        let Some(rate) = &self.rate else { return Ok(usize::MAX) };
        if let Some(at) = rate.pause(Instant::now()) {
            exchange.pause(at)?;
        }
        Ok(rate.max_piece())
    }

    fn after_read(&mut self, got: usize) {
        if let Some(rate) = &mut self.rate {
            rate.moved(got, Instant::now());
        }
        if let Some(progress) = &self.progress {
            progress.received(got);
        }
    }
}

impl Drop for IncomingBody {
    fn drop(&mut self) {
        self.close();
    }
}
