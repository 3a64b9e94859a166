//! `Response`: the head of a response, and the reads of its body.

use std::ffi::c_char;
use std::ptr::null;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::arrived::{self, Step, Whole};
use crate::content::read_content;
use crate::failure::{Failure, OrRaise, call, checked, create, text};
use crate::handle::Owned;
use crate::interrupt::blocking;
use crate::pending::{Pending, PendingKind};
use crate::piece::read_piece;
use crate::port::Port;
use crate::stream::Stream;
use crate::sys::*;

/// A response. Threads: any for the head; one at a time reads the body, and the library returns
/// HANGUP_INVALID_STATE to a second one.
#[pyclass(frozen, module = "hangup._native")]
pub struct Response {
    handle: Owned<hangup_response>,
    method: Py<PyString>,
    url: Py<PyString>,
    /// Whether the body was read to its end, failed or was closed.
    ended: AtomicBool,
    /// Whether the library has the whole body, so that reading it does not block.
    in_library: bool,
    /// Whether a thread reads, also between two calls of the library.
    reading: AtomicBool,
    /// What ended the body behind the piece that was read last.
    cut_off: Mutex<Option<Failure>>,
    /// The whole body after it was read; a copy of the library's was freed then.
    content: Mutex<Option<Py<PyBytes>>>,
}

/// pool, resolve, connect, proxy, tls, write, head, read, total, in microseconds; -1: the phase did not take
/// place.
pub type Times = (i64, i64, i64, i64, i64, i64, i64, i64, i64);

/// The durations of the library in the order of Python's `Timings`.
pub fn microseconds(t: &hangup_timings) -> Times {
    let dial = (t.pool_us, t.resolve_us, t.connect_us, t.proxy_us, t.tls_us);
    let (write, head, read) = (t.write_us, t.head_us, t.read_us);
    (dial.0, dial.1, dial.2, dial.3, dial.4, write, head, read, t.total_us)
}

/// The name and the value of a header or trailer field.
type Field<'py> = (String, Bound<'py, PyBytes>);

/// Peer, local address, TLS version, cipher, key exchange, ALPN, resumed, certificates.
type Facts<'py> = (String, String, String, String, String, String, bool, Vec<Bound<'py, PyBytes>>);

#[pymethods]
impl Response {
    #[getter]
    fn status(&self) -> i32 {
        // SAFETY: a live response.
        unsafe { hangup_response_status_code(self.as_ptr()) }
    }

    #[getter]
    fn version(&self) -> i32 {
        // SAFETY: a live response.
        unsafe { hangup_response_version(self.as_ptr()) }
    }

    #[getter]
    fn url(&self) -> String {
        // SAFETY: a live response, from which the text is borrowed.
        unsafe { text(hangup_response_url(self.as_ptr())) }.into_owned()
    }

    #[getter]
    fn connection(&self) -> u64 {
        // SAFETY: a live response.
        unsafe { hangup_response_connection_id(self.as_ptr()) }
    }

    #[getter]
    fn reused(&self) -> bool {
        // SAFETY: a live response.
        unsafe { hangup_response_reused(self.as_ptr()) != 0 }
    }

    #[getter]
    fn attempts(&self) -> u32 {
        // SAFETY: a live response.
        unsafe { hangup_response_attempts(self.as_ptr()) }
    }

    /// The redirects that were followed: the status and the URL of each.
    fn history(&self) -> Vec<(i32, String)> {
        // SAFETY: a live response.
        let count = unsafe { hangup_response_history_count(self.as_ptr()) };
        let hop = |index| {
            let mut status = 0;
            // SAFETY: a live response, from which the text is borrowed, and room for the status.
            let url = unsafe { hangup_response_history_at(self.as_ptr(), index, &raw mut status) };
            // SAFETY: NUL-terminated unless it is NULL, and copied at once.
            (!url.is_null()).then(|| (status, unsafe { text(url) }.into_owned()))
        };
        (0..count).filter_map(hop).collect()
    }

    #[getter]
    fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Names in lower case, and values as they were received.
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Vec<Field<'py>>> {
        // SAFETY: a live response.
        let count = unsafe { hangup_response_header_count(self.as_ptr()) };
        // SAFETY: a live response, and room for the results.
        let at = |i, n, v, size| unsafe { hangup_response_header_at(self.as_ptr(), i, n, v, size) };
        fields(py, count, at)
    }

    /// Names in the case in which they came.
    fn raw_headers<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>> {
        // SAFETY: a live response.
        let count = unsafe { hangup_response_header_count(self.as_ptr()) };
        // SAFETY: a live response, and room for the results.
        let at =
            |i, n, v, size| unsafe { hangup_response_raw_header_at(self.as_ptr(), i, n, v, size) };
        let all = fields(py, count, at)?.into_iter();
        Ok(all.map(|(name, value)| (PyBytes::new(py, name.as_bytes()), value)).collect())
    }

    /// The bytes of the head as they came.
    fn raw_head<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let (mut data, mut size) = (null(), 0);
        // SAFETY: a live response, and room for the results.
        let found =
            unsafe { hangup_response_raw_head(self.as_ptr(), &raw mut data, &raw mut size) };
        checked(found).or_raise(py)?;
        // SAFETY: `size` bytes, borrowed from the response.
        Ok(PyBytes::new(py, unsafe { bytes(data, size) }))
    }

    /// The reason phrase as it came.
    fn reason<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let mut size = 0;
        // SAFETY: a live response, from which the text is borrowed, and room for its length.
        let reason = unsafe { hangup_response_reason(self.as_ptr(), &raw mut size) };
        // SAFETY: `size` bytes, borrowed from the response.
        PyBytes::new(py, unsafe { bytes(reason.cast(), size) })
    }

    #[getter]
    fn content_length(&self) -> Option<i64> {
        // SAFETY: a live response.
        let length = unsafe { hangup_response_content_length(self.as_ptr()) };
        (length >= 0).then_some(length)
    }

    /// The status and the headers of each interim response.
    fn interim<'py>(&self, py: Python<'py>) -> PyResult<Vec<(i32, Vec<Field<'py>>)>> {
        let response = self.as_ptr();
        // SAFETY: a live response.
        let count = unsafe { hangup_response_interim_count(response) };
        let one = |index| {
            // SAFETY: a live response.
            let (status, count) = unsafe {
                (
                    hangup_response_interim_status_code(response, index),
                    hangup_response_interim_header_count(response, index),
                )
            };
            // SAFETY: a live response, and room for the results.
            let at = |i, n, v, size| unsafe {
                hangup_response_interim_header_at(response, index, i, n, v, size)
            };
            Ok((status, fields(py, count, at)?))
        };
        (0..count).map(one).collect()
    }

    /// The trailer fields; none before the end of the body.
    fn trailers<'py>(&self, py: Python<'py>) -> PyResult<Vec<Field<'py>>> {
        // SAFETY: a live response.
        let count = unsafe { hangup_response_trailer_count(self.as_ptr()) };
        // SAFETY: a live response, and room for the results.
        let at =
            |i, n, v, size| unsafe { hangup_response_trailer_at(self.as_ptr(), i, n, v, size) };
        fields(py, count, at)
    }

    fn connection_facts<'py>(&self, py: Python<'py>) -> PyResult<Facts<'py>> {
        // SAFETY: numbers, for which zero is a value, and pointers, for which it is NULL.
        let mut facts: hangup_connection_facts = unsafe { std::mem::zeroed() };
        facts.size = size_of_val(&facts);
        // SAFETY: a live response and a structure with its size set.
        let filled = unsafe { hangup_response_connection_facts(self.as_ptr(), &raw mut facts) };
        checked(filled).or_raise(py)?;
        let certificate = |index| {
            let (mut data, mut size) = (null(), 0);
            // SAFETY: a live response, and room for the results.
            let found = unsafe {
                hangup_response_certificate_at(self.as_ptr(), index, &raw mut data, &raw mut size)
            };
            checked(found).or_raise(py)?;
            // SAFETY: `size` bytes, borrowed from the response.
            Ok(PyBytes::new(py, unsafe { bytes(data, size) }))
        };
        let certificates = (0..facts.certificate_count).map(certificate);
        let certificates = certificates.collect::<PyResult<Vec<_>>>()?;
        // SAFETY: NUL-terminated, borrowed from the response.
        let owned = |name| unsafe { text(name) }.into_owned();
        let addresses = (owned(facts.peer), owned(facts.local));
        let (version, cipher) = (owned(facts.tls_version), owned(facts.cipher));
        let (exchange, alpn) = (owned(facts.key_exchange), owned(facts.alpn));
        let resumed = facts.resumed != 0;
        Ok((addresses.0, addresses.1, version, cipher, exchange, alpn, resumed, certificates))
    }

    fn timings(&self, py: Python<'_>) -> PyResult<Times> {
        // SAFETY: every field is a number, for which zero is a value.
        let mut t: hangup_timings = unsafe { std::mem::zeroed() };
        t.size = size_of_val(&t);
        // SAFETY: a live response and a structure with its size set.
        checked(unsafe { hangup_response_timings(self.as_ptr(), &raw mut t) }).or_raise(py)?;
        Ok(microseconds(&t))
    }

    /// The rest of the body, of at most `at_most` bytes. A second call returns the same object.
    fn read_all<'py>(&self, py: Python<'py>, at_most: usize) -> PyResult<Bound<'py, PyBytes>> {
        if let Some(content) = &*self.content() {
            return Ok(content.bind(py).clone());
        }
        let content = if self.in_library {
            // The library has the body or refuses the call: neither blocks.
            read_all(&self.handle, at_most).map(|(data, size)| {
                // Locked until the borrowed bytes are freed: another thread may have read and freed them already.
                let mut slot = self.content();
                if let Some(content) = &*slot {
                    return content.bind(py).clone();
                }
                // SAFETY: the bytes live until `hangup_response_free_body` below, or until the response is freed,
                // which `&self` prevents.
                let content = PyBytes::new(py, unsafe { bytes(data.0, size) });
                *slot = Some(content.clone().unbind());
                // SAFETY: a live response; its borrowed bytes are not used after this.
                unsafe { hangup_response_free_body(self.as_ptr()) };
                content
            })
        } else {
            let _turn = self.take_turn(py)?;
            read_content(py, &self.handle, None, at_most).inspect_err(|_| self.end())?
        };
        let content = content.map_err(|failure| self.failed(py, failure))?;
        self.end();
        Ok(self.content().get_or_insert(content.unbind()).bind(py).clone())
    }

    /// What was downloaded: bytes, received, resumed_at, resumes, verified; None if nothing was.
    fn download(&self) -> Option<(u64, u64, u64, u32, bool)> {
        // SAFETY: every field is a number, for which zero is a value.
        let mut done: hangup_download = unsafe { std::mem::zeroed() };
        done.size = size_of_val(&done);
        // SAFETY: a live response and a structure with its size set.
        let status = unsafe { hangup_response_download(self.as_ptr(), &raw mut done) };
        (status == HANGUP_OK).then_some((
            done.bytes,
            done.received,
            done.resumed_at,
            done.resumes,
            done.verified != 0,
        ))
    }

    /// From here on the body is read as it arrives.
    fn set_raw(&self, py: Python<'_>) -> PyResult<()> {
        // SAFETY: a live response.
        call(|error| unsafe { hangup_response_set_raw(self.as_ptr(), error) })
            .map_err(|failure| self.raise(py, failure))
    }

    /// A piece of the body, at most `room` bytes; empty at its end.
    fn read<'py>(&self, py: Python<'py>, room: usize) -> PyResult<Bound<'py, PyBytes>> {
        self.next_piece(py, room, false)
    }

    /// The next `room` bytes of the body, fewer only at its end, or where it was cut off: then the next call raises.
    fn read_full<'py>(&self, py: Python<'py>, room: usize) -> PyResult<Bound<'py, PyBytes>> {
        self.next_piece(py, room, true)
    }

    /// What has arrived of the body, at most `room` bytes; empty at its end, None if nothing has. Never waits.
    fn read_available<'py>(
        &self,
        py: Python<'py>,
        room: usize,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let _turn = self.take_turn(py)?;
        let piece = arrived::piece(py, &self.handle, room)?;
        let piece = piece.map_err(|failure| self.failed(py, failure))?;
        if piece.as_ref().is_some_and(|piece| piece.as_bytes().is_empty()) {
            self.end();
        }
        Ok(piece)
    }

    /// How many bytes are left to read; None if that is not known.
    #[getter]
    fn left(&self) -> Option<i64> {
        // SAFETY: a live response.
        let left = unsafe { hangup_response_left(self.as_ptr()) };
        (left >= 0).then_some(left)
    }

    /// Room for all that is left; None if its length is not known, or is 0 or very large.
    fn begin_whole(&self, py: Python<'_>) -> PyResult<Option<Whole>> {
        match self.left().map(usize::try_from) {
            Some(Ok(size)) => Whole::new(py, size),
            _ => Ok(None),
        }
    }

    /// Reads what has arrived into it: True at the end, None if nothing has. Never waits.
    fn fill(&self, py: Python<'_>, whole: &Whole) -> PyResult<Option<bool>> {
        let _turn = self.take_turn(py)?;
        let step = whole.fill(py, &self.handle);
        Ok(self.stepped(step.map_err(|failure| self.failed(py, failure))?))
    }

    /// Adds a piece of a submitted read to it: True at the end.
    fn add(&self, py: Python<'_>, whole: &Whole, piece: &[u8]) -> Option<bool> {
        self.stepped(whole.add(py, piece))
    }

    /// Submits a read of at most `at_most` bytes and returns its tag in `port`. `future` gets the bytes; none at
    /// the end of the body.
    fn submit_read(
        slf: Bound<'_, Self>,
        at_most: usize,
        port: &Port,
        future: Py<PyAny>,
    ) -> PyResult<u64> {
        let (py, this) = (slf.py(), slf.get());
        let response = this.as_ptr();
        let pending =
            Pending { future: Some(future), kind: PendingKind::Read(slf.clone().unbind()) };
        port.submit(pending, |queue, tag| {
            // SAFETY: a live response and a live queue.
            call(|error| unsafe {
                hangup_response_submit_read(response, at_most, queue, tag, error)
            })
        })
        .map_err(|failure| this.failed(py, failure))
    }

    /// Takes the connection of a response that hands it over.
    fn take_stream(&self, py: Python<'_>) -> PyResult<Stream> {
        let response = self.as_ptr();
        // SAFETY: a live response, and room for the stream.
        let stream =
            create(|out, error| unsafe { hangup_response_take_stream(response, out, error) });
        let stream = stream.map_err(|failure| self.failed(py, failure))?;
        self.end();
        Ok(Stream::new(stream, self.method.clone_ref(py), self.url.clone_ref(py)))
    }

    /// Closes the response; `mode` is HANGUP_CLOSE_MODE_GRACEFUL or HANGUP_CLOSE_MODE_NOW.
    fn close(&self, py: Python<'_>, mode: i32) -> PyResult<()> {
        let handle = &self.handle;
        let closed = blocking(py, || {
            // SAFETY: a live response; the call is legal on any thread.
            checked(unsafe { hangup_response_close(handle.as_ptr(), mode) })
        });
        self.end();
        closed?.map_err(|failure| self.raise(py, failure))
    }
}

impl Response {
    pub fn new(
        handle: Owned<hangup_response>,
        method: &Bound<'_, PyString>,
        url: &Bound<'_, PyString>,
        ended: bool,
    ) -> Self {
        let (method, url) = (method.clone().unbind(), url.clone().unbind());
        let (in_library, ended, content) = (ended, AtomicBool::new(ended), Mutex::new(None));
        let (reading, cut_off) = (AtomicBool::new(false), Mutex::new(None));
        Response { handle, method, url, ended, in_library, reading, cut_off, content }
    }

    /// A response whose whole body was read.
    pub fn with_content(self, content: Bound<'_, PyBytes>) -> Self {
        let content = Mutex::new(Some(content.unbind()));
        Response { content, in_library: false, ended: AtomicBool::new(true), ..self }
    }

    /// The result of a submitted read.
    pub fn finish_read<'py>(
        &self,
        py: Python<'py>,
        failure: Option<Failure>,
        piece: impl FnOnce() -> Bound<'py, PyBytes>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(failure) = failure {
            return Err(self.failed(py, failure));
        }
        let piece = piece();
        if piece.as_bytes().is_empty() {
            self.end();
        }
        Ok(piece.into_any())
    }

    fn next_piece<'py>(
        &self,
        py: Python<'py>,
        room: usize,
        full: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let _turn = self.take_turn(py)?;
        let late = self.cut_off.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(failure) = late {
            return Err(self.failed(py, failure));
        }
        let (piece, failure) = read_piece(py, &self.handle, room, full)
            .inspect_err(|_| self.end())?
            .map_err(|failure| self.failed(py, failure))?;
        if failure.is_some() {
            *self.cut_off.lock().unwrap_or_else(PoisonError::into_inner) = failure;
        } else if piece.as_bytes().is_empty() {
            self.end();
        }
        Ok(piece)
    }

    fn stepped(&self, step: Step) -> Option<bool> {
        match step {
            Step::Waits => None,
            Step::GoesOn => Some(false),
            Step::Full => {
                self.end();
                Some(true)
            }
        }
    }

    /// The right to read, which one thread has at a time.
    fn take_turn(&self, py: Python<'_>) -> PyResult<Turn<'_>> {
        if self.reading.swap(true, Ordering::Acquire) {
            let what = "this response is read by another thread right now";
            return Err(self.raise(py, Failure::local(HANGUP_INVALID_STATE, what)));
        }
        Ok(Turn(&self.reading))
    }

    fn content(&self) -> MutexGuard<'_, Option<Py<PyBytes>>> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn as_ptr(&self) -> *mut hangup_response {
        self.handle.as_ptr()
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// The exception of a failed read. The failure ends the body, except the one that a second reader gets.
    fn failed(&self, py: Python<'_>, failure: Failure) -> PyErr {
        if failure.status() != HANGUP_INVALID_STATE {
            self.end();
        }
        self.raise(py, failure)
    }

    fn raise(&self, py: Python<'_>, failure: Failure) -> PyErr {
        failure.raise(py, Some((self.method.bind(py), self.url.bind(py))))
    }
}

/// See [`Response::take_turn`].
struct Turn<'a>(&'a AtomicBool);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// All of so many fields, which are borrowed from the response until they are copied here.
fn fields(
    py: Python<'_>,
    count: usize,
    at: impl Fn(usize, *mut *const c_char, *mut *const c_char, *mut usize) -> hangup_status,
) -> PyResult<Vec<Field<'_>>> {
    let field = |index| {
        let (mut name, mut value, mut size) = (null(), null(), 0);
        checked(at(index, &raw mut name, &raw mut value, &raw mut size)).or_raise(py)?;
        // SAFETY: `size` bytes, borrowed from the response.
        let value = PyBytes::new(py, unsafe { bytes(value.cast(), size) });
        // SAFETY: NUL-terminated, borrowed from the response.
        Ok((unsafe { text(name) }.into_owned(), value))
    };
    (0..count).map(field).collect()
}

/// A pointer to bytes that the library owns, which `blocking` can return.
pub struct Borrowed(*const u8);

// SAFETY: the library does not write to the bytes while the response lives.
unsafe impl Send for Borrowed {}

/// Reads the rest of the body into the library's memory. Blocks: call it without the interpreter lock.
pub fn read_all(
    response: &Owned<hangup_response>,
    at_most: usize,
) -> Result<(Borrowed, usize), Failure> {
    let (mut data, mut size) = (null(), 0);
    // SAFETY: a live response, and room for the results.
    call(|error| unsafe {
        let (data, size) = (&raw mut data, &raw mut size);
        hangup_response_read_all(response.as_ptr(), at_most, data, size, error)
    })?;
    Ok((Borrowed(data), size))
}

/// # Safety
/// (NULL, 0), or `size` readable bytes that live as long as `'a`.
pub unsafe fn bytes<'a>(data: *const u8, size: usize) -> &'a [u8] {
    match size {
        0 => &[],
        // SAFETY: by this function's contract.
        _ => unsafe { std::slice::from_raw_parts(data, size) },
    }
}
