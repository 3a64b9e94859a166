//! `Response`: the head, and the body as it is read.

use std::ptr::null;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::failure::{Failure, call, checked, text};
use crate::handle::Owned;
use crate::interrupt::blocking;
use crate::port::Port;
use crate::sys::*;
use crate::waiting::{Waiting, Work};

/// A response. Its head may be asked from any thread; its body is read by one thread at a time, and a
/// second one gets InvalidState from the library.
#[pyclass(frozen, module = "hangup._native")]
pub struct Response {
    handle: Owned<hangup_response>,
    method: Py<PyString>,
    url: Py<PyString>,
    /// The body was read to its end, failed or was closed.
    ended: AtomicBool,
    /// The whole body, once it was asked for: the library has freed its own.
    content: Mutex<Option<Py<PyBytes>>>,
}

/// pool, resolve, connect, proxy, tls, write, head, read, total, in microseconds; -1: did not take place.
type Times = (i64, i64, i64, i64, i64, i64, i64, i64, i64);

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
        unsafe { hangup_response_connection(self.as_ptr()) }
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

    /// The redirects that led here: the status and the URL of each.
    fn history(&self) -> Vec<(i32, String)> {
        // SAFETY: a live response.
        let count = unsafe { hangup_response_history_count(self.as_ptr()) };
        let hop = |index| {
            let mut status = 0;
            // SAFETY: a live response, from which the text is borrowed, and a place for the status.
            let url = unsafe { hangup_response_history_at(self.as_ptr(), index, &raw mut status) };
            // SAFETY: NUL-terminated, if there is one, and copied at once.
            (!url.is_null()).then(|| (status, unsafe { text(url) }.into_owned()))
        };
        (0..count).filter_map(hop).collect()
    }

    #[getter]
    fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Names in lower case, and values as they came.
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyBytes>)>> {
        // SAFETY: a live response.
        let count = unsafe { hangup_response_header_count(self.as_ptr()) };
        let header = |index| {
            let (mut name, mut value, mut size) = (null(), null(), 0);
            let (to_name, to_value) = (&raw mut name, &raw mut value);
            // SAFETY: a live response, from which name and value are borrowed, and places for them.
            checked(unsafe {
                hangup_response_header_at(self.as_ptr(), index, to_name, to_value, &raw mut size)
            })
            .map_err(|failure| failure.raise(py, None))?;
            // SAFETY: `size` bytes, borrowed from the response.
            let value = unsafe { bytes(value.cast(), size) };
            // SAFETY: NUL-terminated, borrowed from the response.
            Ok((unsafe { text(name) }.into_owned(), PyBytes::new(py, value)))
        };
        (0..count).map(header).collect()
    }

    fn timings(&self, py: Python<'_>) -> PyResult<Times> {
        // SAFETY: every field is a number, for which zero is a value.
        let mut t: hangup_timings = unsafe { std::mem::zeroed() };
        t.size = size_of_val(&t);
        // SAFETY: a live response and a structure that says its size.
        checked(unsafe { hangup_response_timings(self.as_ptr(), &raw mut t) })
            .map_err(|failure| failure.raise(py, None))?;
        let dial = (t.pool_us, t.resolve_us, t.connect_us, t.proxy_us, t.tls_us);
        let (write, head, read) = (t.write_us, t.head_us, t.read_us);
        Ok((dial.0, dial.1, dial.2, dial.3, dial.4, write, head, read, t.total_us))
    }

    /// The rest of the body, at most `at_most` bytes of it. A second call answers the same.
    fn read_all<'py>(&self, py: Python<'py>, at_most: usize) -> PyResult<Bound<'py, PyBytes>> {
        let handle = &self.handle;
        if let Some(content) = &*self.content() {
            return Ok(content.bind(py).clone());
        }
        let whole = if self.ended() {
            // Lent already, or refused: nothing to wait for.
            read_all(handle, at_most)
        } else {
            blocking(py, || read_all(handle, at_most)).inspect_err(|_| self.end())?
        };
        let (data, size) = whole.map_err(|failure| self.failed(py, failure))?;
        self.end();
        // Held until the lent bytes are freed: another thread may have read the same ones, and freed them.
        let mut place = self.content();
        if let Some(content) = &*place {
            return Ok(content.bind(py).clone());
        }
        // SAFETY: lent until they are freed below, or with the response, which this borrow of it prevents.
        let content = PyBytes::new(py, unsafe { bytes(data.0, size) });
        *place = Some(content.clone().unbind());
        // SAFETY: a live response; its lent bytes are not used from here on.
        unsafe { hangup_response_free_body(self.as_ptr()) };
        Ok(content)
    }

    /// A piece of the body, at most `room` bytes; empty at its end.
    fn read<'py>(&self, py: Python<'py>, room: usize) -> PyResult<Bound<'py, PyBytes>> {
        let handle = &self.handle;
        let piece = blocking(py, || {
            let mut piece: Vec<u8> = Vec::with_capacity(room);
            let (into, mut got) = (piece.as_mut_ptr(), 0);
            // SAFETY: a live response and a buffer with room for so many bytes.
            call(|error| unsafe {
                hangup_response_read(handle.as_ptr(), into.cast(), room, &raw mut got, error)
            })?;
            // SAFETY: the library filled that many, and never more than the room.
            unsafe { piece.set_len(got.min(room)) };
            Ok(piece)
        })
        .inspect_err(|_| self.end())?
        .map_err(|failure| self.failed(py, failure))?;
        if piece.is_empty() {
            self.end();
        }
        Ok(PyBytes::new(py, &piece))
    }

    /// Submits a read of a piece of at most `at_most` bytes, which `future` will get; empty at the end.
    fn submit_read(
        slf: Bound<'_, Self>,
        at_most: usize,
        port: &Port,
        future: Py<PyAny>,
    ) -> PyResult<u64> {
        let (py, this) = (slf.py(), slf.get());
        let response = this.as_ptr();
        let waiting = Waiting { future: Some(future), work: Work::Read(slf.clone().unbind()) };
        port.submit(waiting, |queue, tag| {
            // SAFETY: a live response and a live queue.
            call(|error| unsafe {
                hangup_response_submit_read(response, at_most, queue, tag, error)
            })
        })
        .map_err(|failure| this.failed(py, failure))
    }

    /// Ends the response: HANGUP_CLOSE_MODE_GRACEFUL or HANGUP_CLOSE_MODE_NOW.
    fn close(&self, py: Python<'_>, how: i32) -> PyResult<()> {
        let handle = &self.handle;
        let closed = blocking(py, || {
            // SAFETY: a live response; this call is for any thread.
            checked(unsafe { hangup_response_close(handle.as_ptr(), how) })
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
        let (ended, content) = (AtomicBool::new(ended), Mutex::new(None));
        Response { handle, method, url, ended, content }
    }

    /// What a submitted read ended with.
    pub fn was_read<'py>(
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

    fn content(&self) -> MutexGuard<'_, Option<Py<PyBytes>>> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn as_ptr(&self) -> *mut hangup_response {
        self.handle.as_ptr()
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// A read that fails ends the body, but for the second of two readers.
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

/// Bytes that the library lends; they may cross the line where the interpreter lock is released.
pub struct Lent(*const u8);

// SAFETY: a pointer to bytes that nobody writes as long as the response lives.
unsafe impl Send for Lent {}

/// Reads the rest of the body into the library's own memory. To be called without the interpreter lock.
pub fn read_all(
    response: &Owned<hangup_response>,
    at_most: usize,
) -> Result<(Lent, usize), Failure> {
    let (mut data, mut size) = (null(), 0);
    // SAFETY: a live response, and places for the answer.
    call(|error| unsafe {
        let (data, size) = (&raw mut data, &raw mut size);
        hangup_response_read_all(response.as_ptr(), at_most, data, size, error)
    })?;
    Ok((Lent(data), size))
}

/// # Safety
/// (NULL, 0), or `size` readable bytes that live as long as `'a`.
pub unsafe fn bytes<'a>(data: *const u8, size: usize) -> &'a [u8] {
    match size {
        0 => &[],
        // SAFETY: as for the caller.
        _ => unsafe { std::slice::from_raw_parts(data, size) },
    }
}
