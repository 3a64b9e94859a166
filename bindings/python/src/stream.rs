//! `Stream`: a connection that a response handed over.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::failure::{Failure, OrRaise, call, checked};
use crate::handle::Owned;
use crate::interrupt::blocking;
use crate::loan::Loan;
use crate::pending::{Pending, PendingKind};
use crate::port::Port;
use crate::room::Room;
use crate::sys::*;

/// A stream. Threads: any at any time; one reads and one writes, and the library returns HANGUP_INVALID_STATE to a second
/// one.
#[pyclass(frozen, module = "hangup._native")]
pub struct Stream {
    handle: Owned<hangup_stream>,
    method: Py<PyString>,
    url: Py<PyString>,
}

#[pymethods]
impl Stream {
    /// At most `room` bytes, at least one; none if the peer ended its direction.
    fn read<'py>(&self, py: Python<'py>, room: usize) -> PyResult<Bound<'py, PyBytes>> {
        let handle = &self.handle;
        let piece = Room::new(py, room)?;
        let at = piece.address();
        let read = blocking(py, || {
            let mut got = 0;
            // SAFETY: a live stream and a buffer with that much room.
            call(|error| unsafe {
                hangup_stream_read(handle.as_ptr(), at as *mut _, room, &raw mut got, error)
            })?;
            Ok(got)
        });
        let got = read?.map_err(|failure| self.raise(py, failure))?;
        // SAFETY: the library has written that many bytes.
        unsafe { piece.filled(got) }
    }

    /// Sends all of it.
    fn write_all(&self, py: Python<'_>, data: Loan) -> PyResult<()> {
        let handle = &self.handle;
        let (at, size) = (data.address(), data.size());
        let wrote = blocking(py, || {
            // SAFETY: a live stream, and bytes that are lent until `data` is dropped.
            call(|error| unsafe {
                hangup_stream_write_all(handle.as_ptr(), at as *const u8, size, error)
            })
        });
        wrote?.map_err(|failure| self.raise(py, failure))
    }

    fn shutdown_write(&self, py: Python<'_>) -> PyResult<()> {
        let handle = &self.handle;
        let ended = blocking(py, || {
            // SAFETY: a live stream.
            call(|error| unsafe { hangup_stream_shutdown_write(handle.as_ptr(), error) })
        });
        ended?.map_err(|failure| self.raise(py, failure))
    }

    /// Closes the connection. Never blocks.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        // SAFETY: a live stream; the call is legal on any thread.
        checked(unsafe { hangup_stream_close(self.as_ptr()) }).or_raise(py)
    }

    /// `which` is HANGUP_TIMEOUT_READ or HANGUP_TIMEOUT_WRITE.
    fn set_timeout(&self, py: Python<'_>, which: i32, ms: i64) -> PyResult<()> {
        // SAFETY: a live stream.
        call(|error| unsafe { hangup_stream_set_timeout(self.as_ptr(), which, ms, error) })
            .or_raise(py)
    }

    #[getter]
    fn buffered(&self) -> usize {
        // SAFETY: a live stream.
        unsafe { hangup_stream_buffered(self.as_ptr()) }
    }

    fn fileno(&self) -> i32 {
        // SAFETY: a live stream.
        unsafe { hangup_stream_fd(self.as_ptr()) }
    }

    #[getter]
    fn connection(&self) -> u64 {
        // SAFETY: a live stream.
        unsafe { hangup_stream_connection_id(self.as_ptr()) }
    }

    #[getter]
    fn is_closing(&self) -> bool {
        // SAFETY: a live stream.
        unsafe { hangup_stream_is_closing(self.as_ptr()) != 0 }
    }

    #[getter]
    fn is_closed(&self) -> bool {
        // SAFETY: a live stream.
        unsafe { hangup_stream_is_closed(self.as_ptr()) != 0 }
    }

    /// Submits a read of at most `at_most` bytes and returns its tag in `port`. `future` gets the bytes.
    fn submit_read(
        slf: Bound<'_, Self>,
        at_most: usize,
        port: &Port,
        future: Py<PyAny>,
    ) -> PyResult<u64> {
        let stream = slf.get().as_ptr();
        Self::submit(&slf, port, future, PendingKind::StreamRead, |queue, tag| {
            // SAFETY: a live stream and a live queue.
            call(|error| unsafe { hangup_stream_submit_read(stream, at_most, queue, tag, error) })
        })
    }

    /// Submits a write and returns its tag in `port`. `future` gets None when all was sent.
    fn submit_write(
        slf: Bound<'_, Self>,
        data: &[u8],
        port: &Port,
        future: Py<PyAny>,
    ) -> PyResult<u64> {
        let stream = slf.get().as_ptr();
        Self::submit(&slf, port, future, PendingKind::StreamWrite, |queue, tag| {
            let (data, size) = (data.as_ptr(), data.len());
            // SAFETY: a live stream and a live queue; the bytes are copied.
            call(|error| unsafe {
                hangup_stream_submit_write(stream, data, size, queue, tag, error)
            })
        })
    }

    /// Submits the end of the direction of writing and returns its tag in `port`. `future` gets None.
    fn submit_shutdown_write(
        slf: Bound<'_, Self>,
        port: &Port,
        future: Py<PyAny>,
    ) -> PyResult<u64> {
        let stream = slf.get().as_ptr();
        Self::submit(&slf, port, future, PendingKind::StreamWrite, |queue, tag| {
            // SAFETY: a live stream and a live queue.
            call(|error| unsafe { hangup_stream_submit_shutdown_write(stream, queue, tag, error) })
        })
    }
}

impl Stream {
    pub fn new(handle: Owned<hangup_stream>, method: Py<PyString>, url: Py<PyString>) -> Self {
        Stream { handle, method, url }
    }

    /// The result of a submitted read or write: `value`, unless it failed.
    pub fn finish<'py>(
        &self,
        py: Python<'py>,
        failure: Option<Failure>,
        value: impl FnOnce() -> Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match failure {
            Some(failure) => Err(self.raise(py, failure)),
            None => Ok(value()),
        }
    }

    fn submit(
        slf: &Bound<'_, Self>,
        port: &Port,
        future: Py<PyAny>,
        kind: impl FnOnce(Py<Self>) -> PendingKind,
        submit: impl FnOnce(*mut hangup_queue, u64) -> Result<(), Failure>,
    ) -> PyResult<u64> {
        let pending = Pending { future: Some(future), kind: kind(slf.clone().unbind()) };
        port.submit(pending, submit).map_err(|failure| slf.get().raise(slf.py(), failure))
    }

    fn as_ptr(&self) -> *mut hangup_stream {
        self.handle.as_ptr()
    }

    fn raise(&self, py: Python<'_>, failure: Failure) -> PyErr {
        failure.raise(py, Some((self.method.bind(py), self.url.bind(py))))
    }
}
