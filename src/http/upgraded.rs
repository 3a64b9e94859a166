//! A connection that a response handed over: it is read and written as a stream, by two tasks at once.
//!
//! The exchange goes on until the stream is closed, so everything that ends an exchange ends the stream: its token, a
//! close of its connection, the shutdown of its manager. Of the timeouts only those of a read and of a write are left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::acknowledged::Asked;
use super::exchange::{Exchange, ExchangeInfo};
use super::failure::close_reason;
use super::h1::Http1Body;
use crate::error::Error;
use crate::manager::Lease;
use crate::net::Stop;
use crate::net::stream::DuplexStream;
use crate::runtime::{Descriptor, WaitUntil};
use crate::sync::{Mutex, lock};
use crate::timeouts::Deadline;
use crate::vocabulary::{CloseReason, Kind, Phase, Timeout};

/// Threads: one reads and one writes at a time, which it checks; any thread closes it. Its drop closes the connection.
pub(crate) struct UpgradedConnection {
    exchange: Box<Exchange>,
    info: ExchangeInfo,
    stream: DuplexStream,
    /// `None` after the end.
    lease: Mutex<Option<Lease>>,
    /// Bytes that came together with the head, and how many of them are left.
    early: Mutex<Vec<u8>>,
    early_left: AtomicUsize,
    timeouts: Mutex<Timeouts>,
    reading: AtomicBool,
    writing: AtomicBool,
    /// The direction of writing was ended.
    write_ended: AtomicBool,
    /// Why it ended: the first failure.
    failed: Mutex<Option<Error>>,
}

#[derive(Clone, Copy)]
struct Timeouts {
    read: Option<Duration>,
    write: Option<Duration>,
}

/// The right to read; its drop gives it back. Threads: one at a time.
pub(crate) struct ReadTurn(Arc<UpgradedConnection>);

/// The right to write; its drop gives it back. Threads: one at a time.
pub(crate) struct WriteTurn(Arc<UpgradedConnection>);

impl UpgradedConnection {
    pub(super) fn begin(
        exchange: Box<Exchange>,
        mut body: Http1Body,
        info: ExchangeInfo,
    ) -> Result<Self, Error> {
        let handed_over = body.hand_over().and_then(|(mut lease, early)| {
            let stream = lease.take_stream()?;
            Some((lease, stream, early))
        });
        let Some((lease, stream, early)) = handed_over else {
            return Err(exchange.fail(Stop::Ended));
        };
        let timing = exchange.timing();
        let timeouts =
            Timeouts { read: timing.limit(Timeout::Read), write: timing.limit(Timeout::Write) };
        Ok(Self {
            info,
            stream,
            lease: Mutex::new(Some(lease)),
            early_left: AtomicUsize::new(early.len()),
            early: Mutex::new(early),
            timeouts: Mutex::new(timeouts),
            reading: AtomicBool::new(false),
            writing: AtomicBool::new(false),
            write_ended: AtomicBool::new(false),
            failed: Mutex::new(None),
            exchange,
        })
    }

    /// Begins a read.
    ///
    /// # Errors
    /// [`Kind::InvalidState`] while another one is under way; what ended the stream.
    pub(crate) fn begin_read(self: &Arc<Self>) -> Result<ReadTurn, Error> {
        self.check_process(Phase::Read)?;
        if self.reading.swap(true, Ordering::SeqCst) {
            let what = "another read of this stream is under way; one reads at a time";
            return Err(Error::new(Kind::InvalidState, what));
        }
        let turn = ReadTurn(Arc::clone(self));
        self.check(Phase::Read).map(|()| turn)
    }

    /// Begins a write.
    ///
    /// # Errors
    /// [`Kind::InvalidState`] while another one is under way; what ended the stream.
    pub(crate) fn begin_write(self: &Arc<Self>) -> Result<WriteTurn, Error> {
        self.check_process(Phase::Write)?;
        if self.writing.swap(true, Ordering::SeqCst) {
            let what = "another write to this stream is under way; one writes at a time";
            return Err(Error::new(Kind::InvalidState, what));
        }
        let turn = WriteTurn(Arc::clone(self));
        self.check(Phase::Write).map(|()| turn)
    }

    /// Closes the connection: reads and writes that are under way fail with [`Kind::Closed`]. Never waits.
    pub(crate) fn close(&self) {
        if self.exchange.shared().is_forked() {
            return;
        }
        if !self.exchange.shared().is_ended() {
            self.stream.send_close_notify();
        }
        self.exchange.shared().close_stream();
        self.end(CloseReason::StreamClosed);
    }

    /// Sets the timeout of a read or of a write.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for other timeouts.
    pub(crate) fn set_timeout(&self, which: Timeout, limit: Option<Duration>) -> Result<(), Error> {
        self.check_process(Phase::None)?;
        let mut timeouts = lock(&self.timeouts);
        match which {
            Timeout::Read => timeouts.read = limit,
            Timeout::Write => timeouts.write = limit,
            other => {
                let what = format!(
                    "the timeout {other} has no meaning for a stream: it has one for a read and one for a write"
                );
                return Err(Error::new(Kind::InvalidArgument, what));
            }
        }
        Ok(())
    }

    /// How many bytes came together with the head and were not read.
    pub(crate) fn buffered(&self) -> usize {
        self.early_left.load(Ordering::SeqCst)
    }

    /// The socket, if its bytes are those of the stream and it is open.
    pub(crate) fn descriptor(&self) -> Option<Descriptor> {
        let socket = self.stream.socket();
        (self.stream.is_plain() && !socket.is_ended()).then(|| socket.source().descriptor())
    }

    pub(crate) fn info(&self) -> ExchangeInfo {
        self.info
    }

    /// Whether a graceful close or a drain waits for the end of the stream.
    pub(crate) fn is_closing(&self) -> bool {
        !self.exchange.shared().is_forked()
            && lock(&self.lease).as_ref().is_some_and(Lease::is_closing)
    }

    /// Whether nothing can be read or written any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.exchange.shared().is_ended()
    }

    /// Fails in the child of a fork, in which the parent's threads may be reading for ever.
    fn check_process(&self, phase: Phase) -> Result<(), Error> {
        if self.exchange.shared().is_forked() {
            return Err(self.exchange.fail_in(phase, Stop::Ended, Asked::Nothing));
        }
        Ok(())
    }

    /// Fails if the stream has ended.
    fn check(&self, phase: Phase) -> Result<(), Error> {
        let shared = self.exchange.shared();
        shared.end_if_forked();
        if shared.is_ended() { Err(self.fail(phase, Stop::Ended)) } else { Ok(()) }
    }

    fn take_early(&self, into: &mut [u8]) -> Option<usize> {
        if self.buffered() == 0 {
            return None;
        }
        let mut early = lock(&self.early);
        let rest = &early[early.len() - self.buffered()..];
        let size = into.len().min(rest.len());
        into[..size].copy_from_slice(&rest[..size]);
        let left = rest.len() - size;
        self.early_left.store(left, Ordering::SeqCst);
        if left == 0 {
            *early = Vec::new();
        }
        Some(size)
    }

    /// The stream failed: closes its connection. Returns the error, which later calls return again.
    #[cold]
    #[inline(never)]
    fn fail(&self, phase: Phase, stop: Stop) -> Error {
        if let Err(forked) = self.check_process(phase) {
            // A lock may be held for ever by a thread of the parent.
            return forked;
        }
        let mut failed = lock(&self.failed);
        if let Some(error) = &*failed {
            return error.clone();
        }
        // What was said on the stream can't be said again.
        let asked = Asked::Handover(&self.stream);
        let error = self.exchange.fail_in(phase, stop, asked).safe_to_retry(false);
        *failed = Some(error.clone());
        drop(failed);
        self.end(close_reason(&error));
        error
    }

    /// Closes the connection, unless that was done.
    fn end(&self, reason: CloseReason) {
        let lease = lock(&self.lease).take();
        if let Some(lease) = lease {
            lease.close(reason);
            self.exchange.finish(Instant::now);
        }
    }
}

impl Drop for UpgradedConnection {
    fn drop(&mut self) {
        self.close();
    }
}

impl ReadTurn {
    /// Waits for bytes and reads them: at least one; 0 if the peer ended its direction.
    ///
    /// # Errors
    /// Any [`Kind`]. All but [`Kind::TimedOut`] by the read timeout end the stream, and are returned again.
    pub(crate) fn read(&self, into: &mut [u8]) -> Result<usize, Error> {
        let Self(connection) = self;
        if let Some(got) = connection.take_early(into) {
            return Ok(got);
        }
        let limit = lock(&connection.timeouts).read;
        match connection.stream.read(into, until(limit, Timeout::Read)) {
            Ok(got) => connection.check(Phase::Read).map(|()| got),
            // Nothing was lost: the caller may read on.
            Err(Stop::Deadline(_)) if !connection.is_closed() => {
                let error = timed_out("came", limit, Timeout::Read);
                let exchange = &connection.exchange;
                let error = exchange.describe(error, Phase::Read).safe_to_retry(false);
                let asked = Asked::Handover(&connection.stream);
                Err(exchange.explain_silence(error, Phase::Read, asked))
            }
            Err(stop) => Err(connection.fail(Phase::Read, stop)),
        }
    }
}

impl ReadTurn {
    /// Reads what is here already: at least one byte; 0 if the peer ended its direction, and `None` if nothing is
    /// here. Doesn't wait.
    ///
    /// # Errors
    /// As [`read`](Self::read), but for the timeout.
    pub(crate) fn read_here(&self, into: &mut [u8]) -> Result<Option<usize>, Error> {
        let Self(connection) = self;
        if let Some(got) = connection.take_early(into) {
            return Ok(Some(got));
        }
        match connection.stream.read_here(into) {
            Ok(Some(got)) => connection.check(Phase::Read).map(|()| Some(got)),
            Ok(None) => Ok(None),
            Err(stop) => Err(connection.fail(Phase::Read, stop)),
        }
    }
}

impl WriteTurn {
    /// Sends some of the bytes, at least one. Returns how many.
    ///
    /// # Errors
    /// Any [`Kind`]. All but [`Kind::InvalidState`] end the stream, and are returned again.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<usize, Error> {
        let Self(connection) = self;
        if connection.write_ended.load(Ordering::SeqCst) {
            let what = "the direction of writing was ended before (shutdown_write)";
            return Err(Error::new(Kind::InvalidState, what));
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        let limit = lock(&connection.timeouts).write;
        let sent = connection.stream.write(bytes, until(limit, Timeout::Write));
        sent.map_err(|stop| self.failed(stop, limit))
    }

    /// Sends all of the bytes. Each step has the write timeout for itself.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(crate) fn write_all(&self, mut bytes: &[u8]) -> Result<(), Error> {
        loop {
            bytes = &bytes[self.write(bytes)?..];
            if bytes.is_empty() {
                return Ok(());
            }
            // A stream that always has room never waits, and so never notices its end.
            self.0.check(Phase::Write)?;
        }
    }

    /// Ends the direction of writing: the peer reads an end. Does nothing the second time.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(crate) fn shutdown_write(&self) -> Result<(), Error> {
        let Self(connection) = self;
        if connection.write_ended.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let limit = lock(&connection.timeouts).write;
        let ended = connection.stream.shutdown_write(until(limit, Timeout::Write));
        ended.map_err(|stop| self.failed(stop, limit))
    }

    #[cold]
    fn failed(&self, stop: Stop, limit: Option<Duration>) -> Error {
        let stop = match stop {
            Stop::Deadline(_) => timed_out("could be sent", limit, Timeout::Write).into(),
            stop => stop,
        };
        self.0.fail(Phase::Write, stop)
    }
}

impl Drop for ReadTurn {
    fn drop(&mut self) {
        self.0.reading.store(false, Ordering::SeqCst);
    }
}

impl Drop for WriteTurn {
    fn drop(&mut self) {
        self.0.writing.store(false, Ordering::SeqCst);
    }
}

fn until(limit: Option<Duration>, timeout: Timeout) -> WaitUntil {
    let now = Instant::now();
    WaitUntil::of(Deadline::after(now, limit, timeout), now)
}

fn timed_out(what: &str, limit: Option<Duration>, timeout: Timeout) -> Error {
    let limit = limit.map_or(0, |limit| limit.as_millis());
    let what = format!("timed out: nothing {what} within the {timeout} timeout of {limit} ms");
    Error::new(Kind::TimedOut, what).by_clock(timeout)
}
