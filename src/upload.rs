//! A body that the caller pushes: the bounded pipe in memory between a [`BodyWriter`] and the exchange that sends it.
//!
//! Either side waits for the other without holding the lock. The exchange's end of the pipe closes it with the
//! exchange, so that the writer learns of its end. Knows nothing of HTTP: the framing is that of any body.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::process::fork_generation;
use crate::runtime::{
    Descriptor, Notify, Oneshot, WaitFor, WaitUntil, WakeReason, on_thread_stack, wait,
};
use crate::sync::{Mutex, lock};
use crate::timeouts::Deadline;
use crate::vocabulary::{Kind, Timeout};

/// Writes the body of a request while another thread, or the library, sends it.
///
/// Create: [`Body::pushed`](crate::Body::pushed). Use: [`write`](Self::write) or [`write_async`](Self::write_async), then
/// [`finish`](Self::finish). Between the writer and the connection there are at most 64 KiB. Dropped before
/// [`finish`](Self::finish), it fails the exchange with [`Kind::BodyFailed`]. Threads: a value; the exchange runs on another
/// thread, or was submitted.
///
/// ```no_run
/// use hangup::{Body, Client, Request};
///
/// let (body, mut writer) = Body::pushed(None);
/// let mut request = Request::new("POST", "https://example.org/log")?;
/// request.set_body(body);
/// let response = Client::default().submit(request);
/// for line in ["one\n", "two\n"] {
///     writer.write(line.as_bytes())?;
/// }
/// writer.finish()?;
/// println!("{}", response.wait()?.status_code());
/// # Ok::<(), hangup::Error>(())
/// ```
pub struct BodyWriter {
    pipe: Arc<Pipe>,
}

/// A write in the background as a future.
///
/// Create: [`BodyWriter::write_async`]. Dropped before its outcome is there, it aborts the body. Threads: a value; any
/// executor may poll it.
#[must_use = "dropping it aborts the body"]
#[derive(Debug)]
pub struct WriteFuture<'a> {
    state: WriteState<'a>,
}

#[derive(Debug)]
enum WriteState<'a> {
    UnderWay(&'a mut BodyWriter, Arc<Oneshot<Result<(), Error>>>),
    Refused(Error),
    Over,
}

/// The end of the pipe from which the body is sent. Dropped, it ends the writes. Threads: one at a time.
pub(crate) struct PipeReader(Arc<Pipe>);

/// A pipe for a body of so many bytes; `None` is a number that is not known.
pub(crate) fn pipe(length: Option<u64>) -> (BodyWriter, PipeReader) {
    let state = State {
        buffer: VecDeque::new(),
        left: length,
        length,
        writer: Writing::Open,
        reader: Reading::NotBegun,
        reader_wake: None,
        writer_wake: None,
        pending: None,
        signal: None,
    };
    let pipe = Arc::new(Pipe { state: Mutex::new(state), process: fork_generation() });
    (BodyWriter { pipe: Arc::clone(&pipe) }, PipeReader(pipe))
}

struct Pipe {
    state: Mutex<State>,
    process: u32,
}

struct State {
    buffer: VecDeque<u8>,
    /// How many bytes may still be written, if it is known how many there are.
    left: Option<u64>,
    length: Option<u64>,
    writer: Writing,
    reader: Reading,
    /// Set when there is something to take.
    reader_wake: Option<Arc<Notify>>,
    /// Set when there is room, and when the exchange begins or ends.
    writer_wake: Option<Arc<Notify>>,
    pending: Option<Pending>,
    /// Made when its descriptor is asked for.
    signal: Option<Signal>,
}

enum Writing {
    Open,
    Finished,
    Aborted(String),
}

enum Reading {
    NotBegun,
    Begun,
    /// Everything was taken.
    Complete,
    Ended(Error),
}

/// A write in the background that does not fit yet.
struct Pending {
    bytes: Vec<u8>,
    taken: usize,
    done: Done,
}

type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// A descriptor that is readable while there is room.
struct Signal {
    notify: Notify,
    is_set: bool,
}

/// What is to be done after the lock was released.
#[derive(Default)]
struct After {
    wake: Option<Arc<Notify>>,
    wake_writer: Option<Arc<Notify>>,
    done: Option<(Done, Result<(), Error>)>,
}

impl BodyWriter {
    /// Writes all of these bytes; waits while there is no room. Outside of the exchange this waits for its beginning, for
    /// 60 seconds at most; then the timeouts of the exchange end it, and the wait with it.
    ///
    /// # Errors
    /// The error of the exchange, if that has failed; [`Kind::Closed`] if it ended without the rest of the body, because
    /// the response came first; [`Kind::BodyFailed`] for more bytes than were announced; [`Kind::TimedOut`] if no
    /// exchange begins; [`Kind::InvalidState`] while a write in the background is under way; [`Kind::Cancelled`] if the
    /// thread's interrupt check ended the wait; [`Kind::Forked`] in the child of a fork.
    ///
    /// ```no_run
    /// # let (body, mut writer) = hangup::Body::pushed(None);
    /// writer.write(b"one line\n")?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.write_shared(bytes)
    }

    /// [`write`](Self::write) for a shared writer, of one thread at a time.
    pub(crate) fn write_shared(&self, mut bytes: &[u8]) -> Result<(), Error> {
        let begun = Instant::now();
        let notify = Notify::for_this_task();
        loop {
            // Cleared before the look: what happens after the look sets it again.
            notify.clear();
            let (took, has_begun) = self.pipe.put(bytes, Some(&notify))?;
            bytes = &bytes[took..];
            if bytes.is_empty() {
                return Ok(());
            }
            let own = Deadline::after(begun, Some(WAIT_FOR_EXCHANGE), Timeout::Write);
            let until = if has_begun { Deadline::NEVER } else { own };
            let want = WaitFor { fd: None, notify: Some(&notify) };
            match wait(want, WaitUntil::of(until, Instant::now())) {
                Ok(WakeReason::Notified | WakeReason::Ready { .. }) => {}
                Ok(WakeReason::Deadline) => {
                    let seconds = WAIT_FOR_EXCHANGE.as_secs();
                    let what = format!(
                        "the buffer of the body is full, and its request was not sent for {seconds} s: send or submit \
                         it, on another thread if that blocks"
                    );
                    return Err(Error::new(Kind::TimedOut, what).by_clock(Timeout::Write));
                }
                Ok(WakeReason::Interrupted) => {
                    let error = Error::new(Kind::Cancelled, "interrupted by a signal");
                    return Err(error.because(Some("interrupted")));
                }
                Err(error) => return Err(Error::from_os(Kind::System, "can't wait", &error)),
            }
        }
    }

    /// Writes as many of these bytes as there is room for, without a wait, and returns how many. 0 is no room: the
    /// [`write`](Self::write) of more would wait.
    ///
    /// # Errors
    /// As for [`write`](Self::write), except those of its wait.
    ///
    /// ```
    /// let (body, mut writer) = hangup::Body::pushed(None);
    /// assert_eq!(writer.try_write(b"hello")?, 5);
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn try_write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.try_write_shared(bytes)
    }

    /// [`try_write`](Self::try_write) for a shared writer, of one thread at a time.
    pub(crate) fn try_write_shared(&self, bytes: &[u8]) -> Result<usize, Error> {
        Ok(self.pipe.put(bytes, None)?.0)
    }

    /// Writes all of these bytes in the background.
    ///
    /// # Errors
    /// The future's are those of [`write`](Self::write), except those of its wait.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), hangup::Error> {
    /// let (body, mut writer) = hangup::Body::pushed(None);
    /// let mut request = hangup::Request::new("POST", "https://example.org/log")?;
    /// request.set_body(body);
    /// let response = hangup::Client::default().submit(request);
    /// writer.write_async(vec![b'x'; 1 << 20]).await?;
    /// writer.finish()?;
    /// println!("{}", response.await?.status_code());
    /// # Ok(())
    /// # }
    /// ```
    pub fn write_async(&mut self, bytes: Vec<u8>) -> WriteFuture<'_> {
        let oneshot = Oneshot::new();
        let outcome = Arc::clone(&oneshot);
        let state = match self.begin_write(bytes, move |written| outcome.put(written)) {
            Ok(()) => WriteState::UnderWay(self, oneshot),
            Err(error) => WriteState::Refused(error),
        };
        WriteFuture { state }
    }

    /// The body is complete. Does not wait: what was written is sent.
    ///
    /// # Errors
    /// [`Kind::BodyFailed`] if fewer bytes were written than were announced, which fails the exchange as well; the error
    /// of the exchange if that has failed; [`Kind::InvalidState`] while a write in the background is under way.
    ///
    /// ```
    /// let (body, writer) = hangup::Body::pushed(Some(5));
    /// assert_eq!(writer.finish().unwrap_err().kind(), hangup::Kind::BodyFailed);
    /// ```
    pub fn finish(self) -> Result<(), Error> {
        self.pipe.finish()
    }

    /// Gives the body up: the exchange fails with [`Kind::BodyFailed`] and this reason. The bytes that were written may
    /// have been sent.
    ///
    /// ```
    /// let (body, writer) = hangup::Body::pushed(None);
    /// writer.abort("the source of the data failed");
    /// ```
    pub fn abort(self, reason: &str) {
        self.pipe.abort(reason);
    }

    /// Begins a write in the background. `done` is called once; if this fails, it is not called.
    pub(crate) fn begin_write(
        &self,
        bytes: Vec<u8>,
        done: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) -> Result<(), Error> {
        self.pipe.begin_write(bytes, Box::new(done))
    }

    /// [`finish`](Self::finish) for a shared writer.
    pub(crate) fn finish_shared(&self) -> Result<(), Error> {
        self.pipe.finish()
    }

    /// [`abort`](Self::abort) for a shared writer.
    pub(crate) fn abort_shared(&self, reason: &str) {
        self.pipe.abort(reason);
    }

    /// A descriptor that is readable while there is room, and after the end of the exchange. It is closed with the pipe.
    pub(crate) fn descriptor(&self) -> Result<Descriptor, Error> {
        self.pipe.descriptor()
    }
}

/// Writes to the body. The inner error is an [`Error`].
impl io::Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::write(self, bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for BodyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyWriter").finish_non_exhaustive()
    }
}

impl Drop for BodyWriter {
    fn drop(&mut self) {
        self.pipe.abort("its writer was dropped before it was finished");
    }
}

impl Future for WriteFuture<'_> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match &self.state {
            WriteState::UnderWay(_, oneshot) => match oneshot.poll(cx.waker()) {
                Ok(Poll::Ready(outcome)) => outcome,
                Ok(Poll::Pending) => return Poll::Pending,
                Err(forked) => Err(forked),
            },
            WriteState::Refused(error) => Err(error.clone()),
            WriteState::Over => {
                Err(Error::new(Kind::InvalidState, "this write is over; begin a new one"))
            }
        };
        self.state = WriteState::Over;
        Poll::Ready(outcome)
    }
}

impl Drop for WriteFuture<'_> {
    fn drop(&mut self) {
        if let WriteState::UnderWay(writer, _) = &self.state {
            writer.abort_shared("a write of it was dropped before its end");
        }
    }
}

impl PipeReader {
    /// An exchange begins to send it: from here on its timeouts end the waits of the writer.
    pub(crate) fn begin(&self) {
        let mut state = lock(&self.0.state);
        if matches!(state.reader, Reading::NotBegun) {
            state.reader = Reading::Begun;
        }
        let wake = state.writer_wake.take();
        drop(state);
        wake_up(wake);
    }

    /// Takes what is there; `None` if nothing is. 0 is the end.
    ///
    /// # Errors
    /// The writer gave up.
    pub(crate) fn take(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        let mut state = lock(&self.0.state);
        if let Writing::Aborted(reason) = &state.writer {
            return Err(io::Error::other(reason.clone()));
        }
        let got = state.take(into);
        if got == 0 {
            if matches!(state.writer, Writing::Open) {
                return Ok(None);
            }
            state.reader = Reading::Complete;
            return Ok(Some(0));
        }
        let after = state.taken();
        drop(state);
        after.run();
        Ok(Some(got))
    }

    /// Has the notification set as soon as there is something to take.
    pub(crate) fn arm(&self, notify: &Arc<Notify>) {
        let mut state = lock(&self.0.state);
        if state.buffer.is_empty() && matches!(state.writer, Writing::Open) {
            let old = state.reader_wake.replace(Arc::clone(notify));
            drop(state);
            drop(old);
        } else {
            drop(state);
            notify.set();
        }
    }

    /// The exchange has failed with this error.
    pub(crate) fn end(&self, error: Error) {
        let mut state = lock(&self.0.state);
        let after = state.end(error);
        drop(state);
        after.run();
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        let what = "the exchange ended before the body was complete: the server responded without waiting for the rest, \
                    or the request was dropped";
        self.end(Error::new(Kind::Closed, what));
    }
}

impl Pipe {
    /// Puts as many bytes into the buffer as there is room for. Returns how many, and whether an exchange has begun. If
    /// it is not all of them, the notification is set when there is room.
    fn put(&self, bytes: &[u8], notify: Option<&Arc<Notify>>) -> Result<(usize, bool), Error> {
        self.check_process()?;
        let mut state = lock(&self.state);
        state.check_open()?;
        state.announce(bytes.len())?;
        let took = state.fill(bytes);
        if let Some(left) = &mut state.left {
            *left -= took as u64;
        }
        let has_begun = !matches!(state.reader, Reading::NotBegun);
        let mut old = None;
        if took < bytes.len() {
            if let Some(notify) = notify {
                old = state.writer_wake.replace(Arc::clone(notify));
            }
            state.set_signal(false);
        }
        let wake = if took > 0 { state.reader_wake.take() } else { None };
        drop(state);
        drop(old);
        wake_up(wake);
        Ok((took, has_begun))
    }

    fn begin_write(&self, bytes: Vec<u8>, done: Done) -> Result<(), Error> {
        self.check_process()?;
        let mut state = lock(&self.state);
        state.check_open()?;
        state.announce(bytes.len())?;
        if let Some(left) = &mut state.left {
            *left -= bytes.len() as u64;
        }
        let taken = state.fill(&bytes);
        let mut after = After { wake: state.reader_wake.take(), ..After::default() };
        if taken == bytes.len() {
            after.done = Some((done, Ok(())));
        } else {
            state.pending = Some(Pending { bytes, taken, done });
            state.set_signal(false);
        }
        drop(state);
        after.run();
        Ok(())
    }

    fn finish(&self) -> Result<(), Error> {
        self.check_process()?;
        let mut state = lock(&self.state);
        state.check_open()?;
        if let (Some(left @ 1..), Some(length)) = (state.left, state.length) {
            let what = format!("the request's body is short: {} of {length} bytes", length - left);
            state.writer = Writing::Aborted(what.clone());
            let wake = state.reader_wake.take();
            drop(state);
            wake_up(wake);
            return Err(Error::new(Kind::BodyFailed, what));
        }
        state.writer = Writing::Finished;
        let wake = state.reader_wake.take();
        drop(state);
        wake_up(wake);
        Ok(())
    }

    fn abort(&self, reason: &str) {
        if self.check_process().is_err() {
            return;
        }
        let mut state = lock(&self.state);
        if !matches!(state.writer, Writing::Open) {
            return;
        }
        state.writer = Writing::Aborted(reason.to_owned());
        state.buffer = VecDeque::new();
        let (wake, wake_writer) = (state.reader_wake.take(), state.writer_wake.take());
        state.set_signal(true);
        let error = || Error::new(Kind::BodyFailed, format!("the body was given up: {reason}"));
        let done = state.pending.take().map(|pending| (pending.done, Err(error())));
        drop(state);
        After { wake, wake_writer, done }.run();
    }

    fn descriptor(&self) -> Result<Descriptor, Error> {
        self.check_process()?;
        let mut state = lock(&self.state);
        if state.signal.is_none() {
            let notify = Notify::new().map_err(|error| {
                Error::from_os(Kind::System, "no descriptor for the writer of a body", &error)
            })?;
            state.signal = Some(Signal { notify, is_set: false });
            let is_open = matches!(
                (&state.reader, &state.writer),
                (Reading::NotBegun | Reading::Begun, Writing::Open)
            );
            let is_ready = state.has_room() || !is_open;
            state.set_signal(is_ready);
        }
        Ok(state.signal.as_ref().map_or(Descriptor::NONE, |signal| signal.notify.descriptor()))
    }

    fn check_process(&self) -> Result<(), Error> {
        if self.process == fork_generation() {
            return Ok(());
        }
        let what = "this body is written by the parent of this process; begin a new request";
        Err(Error::new(Kind::Forked, what))
    }
}

impl State {
    /// Whether the writer may write.
    fn check_open(&self) -> Result<(), Error> {
        if self.pending.is_some() {
            let what = "a submitted write of this body is under way; take its outcome first";
            return Err(Error::new(Kind::InvalidState, what));
        }
        // What the writer did itself comes first: the exchange ends some time after an abort, and a write would return one
        // error before that and another one after it.
        match (&self.writer, &self.reader) {
            (Writing::Open, Reading::Ended(error)) => Err(error.clone()),
            (Writing::Open, _) => Ok(()),
            (Writing::Finished, _) => Err(Error::new(Kind::InvalidState, "this body was finished")),
            (Writing::Aborted(reason), _) => {
                Err(Error::new(Kind::InvalidState, format!("this body was given up: {reason}")))
            }
        }
    }

    /// Refuses more bytes than were announced.
    fn announce(&self, more: usize) -> Result<(), Error> {
        match (self.left, self.length) {
            (Some(left), Some(length)) if more as u64 > left => {
                let what =
                    format!("the request's body is longer than the {length} bytes announced");
                Err(Error::new(Kind::BodyFailed, what))
            }
            _ => Ok(()),
        }
    }

    fn fill(&mut self, bytes: &[u8]) -> usize {
        let took = bytes.len().min(CAPACITY - self.buffer.len());
        self.buffer.extend(&bytes[..took]);
        took
    }

    fn take(&mut self, into: &mut [u8]) -> usize {
        let got = io::Read::read(&mut self.buffer, into).unwrap_or(0);
        if got < into.len() && !self.buffer.is_empty() {
            // The other half of the ring.
            return got + io::Read::read(&mut self.buffer, &mut into[got..]).unwrap_or(0);
        }
        got
    }

    /// Bytes were taken: there is room for others.
    fn taken(&mut self) -> After {
        let mut after = After::default();
        if let Some(mut pending) = self.pending.take() {
            pending.taken += self.fill(&pending.bytes[pending.taken..]);
            if pending.taken == pending.bytes.len() {
                after.done = Some((pending.done, Ok(())));
            } else {
                self.pending = Some(pending);
            }
        }
        if self.has_room() {
            self.set_signal(true);
            after.wake_writer = self.writer_wake.take();
        }
        after
    }

    fn end(&mut self, error: Error) -> After {
        // Of a body of known length nothing is missing: its end is not asked for.
        if self.left == Some(0) && self.buffer.is_empty() && self.pending.is_none() {
            self.reader = Reading::Complete;
        }
        if matches!(self.reader, Reading::Ended(_) | Reading::Complete) {
            return After::default();
        }
        let done = self.pending.take().map(|pending| (pending.done, Err(error.clone())));
        self.reader = Reading::Ended(error);
        self.buffer = VecDeque::new();
        self.set_signal(true);
        After { wake_writer: self.writer_wake.take(), done, ..After::default() }
    }

    /// Whether a writer that waits is woken: not for a few bytes.
    fn has_room(&self) -> bool {
        self.pending.is_none() && self.buffer.len() <= CAPACITY / 2
    }

    fn set_signal(&mut self, on: bool) {
        if let Some(signal) = &mut self.signal
            && signal.is_set != on
        {
            signal.is_set = on;
            if on {
                signal.notify.set();
            } else {
                signal.notify.clear();
            }
        }
    }
}

impl After {
    fn run(self) {
        wake_up(self.wake);
        wake_up(self.wake_writer);
        if let Some((done, outcome)) = self.done {
            // It may run code of the caller's, for which a fiber's stack is too small.
            on_thread_stack(|| done(outcome));
        }
    }
}

fn wake_up(notify: Option<Arc<Notify>>) {
    if let Some(notify) = notify {
        notify.set();
    }
}

/// How many bytes are between the writer and the exchange.
const CAPACITY: usize = 64 * 1024;
/// How long a write waits for an exchange that takes the bytes.
const WAIT_FOR_EXCHANGE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::are_readable;

    #[test]
    fn the_descriptor_is_readable_while_there_is_room() {
        let (mut writer, reader) = pipe(None);
        let descriptor = writer.descriptor().unwrap();
        let readable = || are_readable(&[descriptor])[0];
        assert!(readable());
        assert_eq!(writer.try_write(&[b'x'; CAPACITY]).unwrap(), CAPACITY);
        assert_eq!(writer.try_write(b"y").unwrap(), 0);
        assert!(!readable());
        let mut into = [0; CAPACITY / 2];
        assert_eq!(reader.take(&mut into[..10]).unwrap(), Some(10));
        assert!(!readable());
        assert_eq!(reader.take(&mut into).unwrap(), Some(into.len()));
        assert!(readable());
        assert_eq!(writer.try_write(&[b'x'; CAPACITY]).unwrap(), CAPACITY / 2 + 10);
        drop(reader);
        assert!(readable());
        assert_eq!(writer.try_write(b"z").unwrap_err().kind(), Kind::Closed);
    }

    #[test]
    fn bytes_come_out_in_their_order() {
        let (mut writer, reader) = pipe(None);
        let (mut written, mut read) = (0u32, Vec::<u8>::new());
        let mut into = [0; 4099];
        while read.len() < 500_000 {
            let piece: Vec<u8> = (written..written + 3001).map(|n| n as u8).collect();
            written += u32::try_from(writer.try_write(&piece).unwrap()).unwrap();
            let got = reader.take(&mut into).unwrap().unwrap_or(0);
            read.extend(&into[..got]);
        }
        assert!(read.iter().enumerate().all(|(at, byte)| *byte == at as u8));
    }

    #[test]
    fn a_write_in_the_background_is_over_when_all_its_bytes_were_taken_over() {
        let (writer, reader) = pipe(None);
        let over = Arc::new(std::sync::Mutex::new(None));
        let outcome = Arc::clone(&over);
        let bytes = vec![b'x'; CAPACITY + 1];
        writer.begin_write(bytes, move |done| *lock(&outcome) = Some(done)).unwrap();
        assert!(lock(&over).is_none());
        let refused = writer.begin_write(vec![1], |_| ()).unwrap_err();
        assert_eq!(refused.kind(), Kind::InvalidState);
        assert_eq!(reader.take(&mut [0; 1]).unwrap(), Some(1));
        assert!(matches!(*lock(&over), Some(Ok(()))));
    }

    #[test]
    fn a_short_body_and_a_long_one_are_refused() {
        let (mut writer, reader) = pipe(Some(3));
        assert_eq!(writer.try_write(b"four").unwrap_err().kind(), Kind::BodyFailed);
        assert_eq!(writer.try_write(b"ab").unwrap(), 2);
        assert_eq!(writer.finish().unwrap_err().kind(), Kind::BodyFailed);
        assert!(reader.take(&mut [0; 9]).unwrap_err().to_string().contains("2 of 3"));
    }

    #[test]
    fn the_error_of_a_write_after_the_end_does_not_depend_on_the_exchange() {
        for finishes in [false, true] {
            let (mut writer, reader) = pipe(None);
            if finishes {
                writer.finish_shared().unwrap()
            } else {
                writer.abort_shared("no more")
            }
            assert_eq!(writer.try_write(b"x").unwrap_err().kind(), Kind::InvalidState);
            reader.end(Error::new(Kind::BodyFailed, "the body failed"));
            assert_eq!(writer.try_write(b"x").unwrap_err().kind(), Kind::InvalidState);
            assert_eq!(writer.finish().unwrap_err().kind(), Kind::InvalidState);
        }
    }

    #[test]
    fn an_aborted_body_fails_its_reader_and_its_pending_write() {
        let (writer, reader) = pipe(None);
        let over = Arc::new(std::sync::Mutex::new(None));
        let outcome = Arc::clone(&over);
        let bytes = vec![b'x'; CAPACITY + 1];
        writer.begin_write(bytes, move |done| *lock(&outcome) = Some(done)).unwrap();
        writer.abort("no more");
        assert!(reader.take(&mut [0; 9]).unwrap_err().to_string().contains("no more"));
        let failed = lock(&over).take().unwrap().unwrap_err();
        assert_eq!(failed.kind(), Kind::BodyFailed);
    }
}
