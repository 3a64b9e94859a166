//! A connection that was handed over, as a stream: read and written, by blocking calls or in the background.
//!
//! What travels on it is the caller's business; this file knows no protocol.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::Error;
use crate::http::upgraded::UpgradedConnection;
use crate::process::fork_generation;
use crate::runtime::{Oneshot, Spawner};
use crate::timeouts::not_zero;
use crate::vocabulary::{Kind, Timeout};

/// A connection that speaks another protocol than HTTP: after 101 Switching Protocols, or a tunnel.
///
/// Create: [`Response::take_stream`](crate::Response::take_stream). Use: read and write, also both at the same time
/// from two threads. It is closed by [`close`](Self::close) or with the drop of its last clone.
///
/// The manager still has the connection: it lists it as [`ConnectionState::Upgraded`](crate::ConnectionState::Upgraded),
/// counts it as in use, and never gives it to another request. Everything that ends an exchange ends the stream: the
/// request's [`CancelToken`](crate::CancelToken) and its deadline, a close of the connection by id, by origin or with all
/// others ([`CloseMode::Now`](crate::CloseMode::Now)), [`Manager::shutdown`](crate::Manager::shutdown). A graceful close
/// and [`Manager::drain`](crate::Manager::drain) leave it to its owner to close it; a drain waits for that, and closes
/// it when its time is over.
///
/// Of the request's timeouts two remain: [`Timeout::Read`] for each read and [`Timeout::Write`] for each step of a
/// write ([`set_timeout`](Self::set_timeout)). The total timeout ends with the head of the response, as a stream may
/// live for days. A read that timed out has lost nothing, and the stream can be read again. Any other failure closes
/// the connection, and later calls return it again.
///
/// In TLS an end of the connection without close_notify is the failure [`Kind::PeerClosed`], and no end.
///
/// ```no_run
/// use std::io::{BufRead, BufReader};
///
/// let mut request = hangup::Request::new("GET", "http://localhost:8080/chat")?;
/// request.add_header("upgrade", "lines")?;
/// let stream = hangup::Client::default().send(&mut request)?.take_stream()?;
/// stream.write_all(b"hello\n")?;
/// let mut line = String::new();
/// BufReader::new(&stream).read_line(&mut line)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Threads: any thread at any time; one reads and one writes at a time, and a second one gets [`Kind::InvalidState`].
#[derive(Clone)]
pub struct Stream(Arc<Owned>);

/// What the clones share. Its drop closes the connection, also while background work goes on.
struct Owned {
    connection: Arc<UpgradedConnection>,
    spawner: Arc<Spawner>,
    /// How many bytes the next submitted read allocates.
    room: AtomicUsize,
}

/// The next bytes of a [`Stream`] as a future: at least one byte; none if the peer ended its direction.
///
/// Create: [`Stream::read_async`], which begins the read at once. Dropped before its outcome is there, it closes the
/// stream. Threads: a value; any executor may poll it.
#[must_use = "dropping it closes the stream"]
#[derive(Debug)]
pub struct StreamRead(Work<Vec<u8>>);

/// A write to a [`Stream`] as a future.
///
/// Create: [`Stream::write_async`], which begins the write at once. Dropped before its outcome is there, it closes the
/// stream. Threads: a value; any executor may poll it.
#[must_use = "dropping it closes the stream"]
#[derive(Debug)]
pub struct StreamWrite(Work<()>);

/// Work in the background, or why there is none.
#[derive(Debug)]
struct Work<T> {
    /// `None` when it is over.
    stream: Option<Stream>,
    outcome: Arc<Oneshot<Result<T, Error>>>,
    process: u32,
}

impl Stream {
    pub(crate) fn new(connection: UpgradedConnection, spawner: &Arc<Spawner>) -> Self {
        let (connection, spawner) = (Arc::new(connection), Arc::clone(spawner));
        Self(Arc::new(Owned { connection, spawner, room: AtomicUsize::new(FIRST_ROOM) }))
    }

    /// Waits for bytes and reads them: at least one; 0 if the peer ended its direction.
    ///
    /// # Errors
    /// Any [`Kind`]; [`Kind::TimedOut`] if nothing comes within the read timeout, after which it can be read again;
    /// [`Kind::InvalidState`] while another read is under way; [`Kind::InvalidArgument`] for an empty buffer.
    pub fn read(&self, into: &mut [u8]) -> Result<usize, Error> {
        if into.is_empty() {
            return Err(no_room("a buffer"));
        }
        self.0.connection.begin_read()?.read(into)
    }

    /// Sends all of the bytes. With the return they are on their way; that the peer got them only its answer shows.
    ///
    /// # Errors
    /// Any [`Kind`], and the connection is closed, because a part may have been sent; [`Kind::TimedOut`] if nothing
    /// can be sent for as long as the write timeout. [`Kind::InvalidState`] while another write is under way, or after
    /// [`shutdown_write`](Self::shutdown_write): then the stream stays as it is.
    pub fn write_all(&self, bytes: &[u8]) -> Result<(), Error> {
        self.0.connection.begin_write()?.write_all(bytes)
    }

    /// Ends the direction of writing: the peer reads an end, and what it sends can still be read. Does nothing the
    /// second time. In TLS it sends close_notify.
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all).
    pub fn shutdown_write(&self) -> Result<(), Error> {
        self.0.connection.begin_write()?.shutdown_write()
    }

    /// Reads in the background, at most `at_most` and at most 256 KiB, and returns the future, which any executor can
    /// await. The read begins at the call.
    ///
    /// ```no_run
    /// # async fn copy(stream: &hangup::Stream) -> Result<(), hangup::Error> {
    /// loop {
    ///     let bytes = stream.read_async(4096).await?;
    ///     if bytes.is_empty() {
    ///         break;
    ///     }
    ///     stream.write_async(bytes).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_async(&self, at_most: usize) -> StreamRead {
        StreamRead(self.work(|outcome| self.submit_read(at_most, move |read| outcome.put(read))))
    }

    /// Sends all of the bytes in the background and returns the future, which any executor can await. The write
    /// begins at the call.
    ///
    /// # Errors
    /// Of the future: as [`write_all`](Self::write_all).
    pub fn write_async(&self, bytes: impl Into<Vec<u8>>) -> StreamWrite {
        let bytes = bytes.into();
        StreamWrite(self.work(|outcome| self.submit_write(bytes, move |wrote| outcome.put(wrote))))
    }

    /// [`shutdown_write`](Self::shutdown_write) in the background.
    pub fn shutdown_write_async(&self) -> StreamWrite {
        StreamWrite(
            self.work(|outcome| self.submit_shutdown_write(move |ended| outcome.put(ended))),
        )
    }

    /// Closes the connection: reads and writes that are under way, here or in other clones, fail with
    /// [`Kind::Closed`]. Never waits. In TLS it sends close_notify if that is possible at once.
    pub fn close(&self) {
        self.0.connection.close();
    }

    /// Sets [`Timeout::Read`] or [`Timeout::Write`] for the calls that begin after this one; `None` is no timeout. They
    /// begin with those of the request.
    ///
    /// # Errors
    /// [`Kind::InvalidTimeout`] for zero; [`Kind::InvalidArgument`] for any other timeout.
    pub fn set_timeout(&self, which: Timeout, limit: Option<Duration>) -> Result<(), Error> {
        self.0.connection.set_timeout(which, not_zero(limit)?)
    }

    /// How many bytes came together with the head and were not read yet: they are here, and not in the socket.
    pub fn buffered(&self) -> usize {
        self.0.connection.buffered()
    }

    /// The socket, for poll(2) and its like: readable when a read would not wait, unless bytes are
    /// [`buffered`](Self::buffered). Only poll it. It belongs to the stream and is closed with it. `None` for a stream
    /// in TLS, in which bytes may be here that the socket does not show, and after the end.
    pub fn descriptor(&self) -> Option<i32> {
        self.0.connection.descriptor().map(|descriptor| descriptor.number())
    }

    /// The id of the connection.
    pub fn connection_id(&self) -> u64 {
        self.0.connection.info().connection
    }

    /// Whether its owner is asked to end it: a graceful close of the connection, or
    /// [`Manager::drain`](crate::Manager::drain), waits for that.
    pub fn is_closing(&self) -> bool {
        self.0.connection.is_closing()
    }

    /// Whether it was closed, or has failed.
    pub fn is_closed(&self) -> bool {
        self.0.connection.is_closed()
    }

    /// Reads in the background; `done` is called once. If this fails, it is not called.
    pub(crate) fn submit_read(
        &self,
        at_most: usize,
        done: impl FnOnce(Result<Vec<u8>, Error>) + Send + 'static,
    ) -> Result<(), Error> {
        if at_most == 0 {
            return Err(no_room("a read"));
        }
        let turn = self.0.connection.begin_read()?;
        let room = at_most.min(self.0.room.load(Ordering::Relaxed));
        let owner = Arc::downgrade(&self.0);
        let mut bytes = vec![0; room];
        // What is here already needs no job.
        let here = match turn.read_here(&mut bytes) {
            Ok(None) => None,
            Ok(Some(got)) => {
                bytes.truncate(got);
                self.0.adapt_room(room, got);
                Some(Ok(std::mem::take(&mut bytes)))
            }
            Err(error) => Some(Err(error)),
        };
        if let Some(outcome) = here {
            drop(turn);
            done(outcome);
            return Ok(());
        }
        let read = move || {
            let mut got = turn.read(&mut bytes)?;
            // All that is here by then; the next read returns a failure, or the end.
            if got > 0
                && got < room
                && let Ok(Some(more)) = turn.read_here(&mut bytes[got..])
            {
                got += more;
            }
            bytes.truncate(got);
            Ok(bytes)
        };
        self.0.spawner.spawn(read, move |outcome: Result<Result<Vec<u8>, Error>, Error>| {
            let outcome = outcome.and_then(|read| read);
            if let (Ok(bytes), Some(owner)) = (&outcome, owner.upgrade()) {
                owner.adapt_room(room, bytes.len());
            }
            done(outcome);
        });
        Ok(())
    }

    /// Sends all of the bytes in the background; `done` is called once. If this fails, it is not called.
    pub(crate) fn submit_write(
        &self,
        bytes: Vec<u8>,
        done: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) -> Result<(), Error> {
        let turn = self.0.connection.begin_write()?;
        let write = move || turn.write_all(&bytes);
        self.0.spawner.spawn(write, move |outcome| done(outcome.and_then(|wrote| wrote)));
        Ok(())
    }

    /// Ends the direction of writing in the background; `done` is called once. If this fails, it is not called.
    pub(crate) fn submit_shutdown_write(
        &self,
        done: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) -> Result<(), Error> {
        let turn = self.0.connection.begin_write()?;
        let end = move || turn.shutdown_write();
        self.0.spawner.spawn(end, move |outcome| done(outcome.and_then(|ended| ended)));
        Ok(())
    }

    fn work<T>(
        &self,
        begin: impl FnOnce(Arc<Oneshot<Result<T, Error>>>) -> Result<(), Error>,
    ) -> Work<T> {
        let outcome = Oneshot::new();
        let stream = match begin(Arc::clone(&outcome)) {
            Ok(()) => Some(self.clone()),
            Err(error) => {
                outcome.put(Err(error));
                None
            }
        };
        Work { stream, outcome, process: fork_generation() }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("connection", &self.connection_id()).finish_non_exhaustive()
    }
}

/// Reads. The inner error is an [`Error`]; that of the read timeout has the kind [`io::ErrorKind::TimedOut`].
impl io::Read for &Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        Ok(Stream::read(self, into)?)
    }
}

/// Writes. Nothing is held back, so there is nothing to flush.
impl io::Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.0.connection.begin_write()?.write(bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut &*self, into)
    }
}

impl io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut &*self, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Owned {
    /// The room is allocated while a read waits: four times as much after a full one, half after small ones.
    fn adapt_room(&self, room: usize, got: usize) {
        let next = match got {
            _ if got >= room => (room * 4).min(MAX_PIECE),
            _ if got < room / 8 => room / 2,
            _ => return,
        };
        self.room.store(next.max(FIRST_ROOM), Ordering::Relaxed);
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.connection.close();
    }
}

impl<T> Work<T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        let outcome = match self.outcome.poll(cx.waker()) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(outcome)) => outcome,
            Err(forked) => Err(forked),
        };
        self.stream = None;
        Poll::Ready(outcome)
    }
}

impl<T> Drop for Work<T> {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream
            && self.process == fork_generation()
        {
            stream.close();
        }
    }
}

impl Future for StreamRead {
    type Output = Result<Vec<u8>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx)
    }
}

impl Future for StreamWrite {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx)
    }
}

fn no_room(what: &str) -> Error {
    Error::new(Kind::InvalidArgument, format!("{what} of 0 bytes can't tell data from the end"))
}

/// How many bytes a submitted read allocates at first.
const FIRST_ROOM: usize = 4 * 1024;
/// How many it allocates at most.
const MAX_PIECE: usize = 256 * 1024;
