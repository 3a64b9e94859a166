//! `BodyWriter`: the body of a request that Python writes piece by piece, an owned C upload.

use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::failure::{Failure, MethodAndUrl, OrRaise, c_string, call, create};
use crate::handle::Owned;
use crate::interrupt::blocking;
use crate::loan::Loan;
use crate::pending::{Pending, PendingKind};
use crate::port::Port;
use crate::sys::*;

/// The writer of a body. Threads: one writes, and the library returns HANGUP_INVALID_STATE to a second one; any aborts.
#[pyclass(frozen, module = "hangup._native")]
pub struct BodyWriter {
    handle: Owned<hangup_upload>,
    /// Method and URL of the request that has this body, for exceptions.
    request: OnceLock<(Py<PyString>, Py<PyString>)>,
}

#[pymethods]
impl BodyWriter {
    /// `length` is -1 for a body that is sent chunked.
    #[new]
    fn new(py: Python<'_>, length: i64) -> PyResult<Self> {
        // SAFETY: a number.
        let made = create(|out, error| unsafe { hangup_upload_new(length, out, error) });
        Ok(BodyWriter { handle: made.or_raise(py)?, request: OnceLock::new() })
    }

    /// Writes all of it; waits while the buffer is full.
    fn write_all(&self, py: Python<'_>, data: Loan) -> PyResult<()> {
        let handle = &self.handle;
        let (at, size) = (data.address(), data.size());
        let wrote = blocking(py, || {
            // SAFETY: a live upload, and bytes that are lent until `data` is dropped.
            call(|error| unsafe {
                hangup_upload_write_all(handle.as_ptr(), at as *const u8, size, error)
            })
        });
        self.finished(py, wrote?.err())
    }

    /// Writes what there is room for, and returns how much.
    fn try_write(&self, py: Python<'_>, data: Loan) -> PyResult<usize> {
        let mut taken = 0;
        // SAFETY: a live upload, and bytes that are copied.
        let wrote = call(|error| unsafe {
            let (data, size) = (data.address() as *const u8, data.size());
            hangup_upload_try_write(self.as_ptr(), data, size, &raw mut taken, error)
        });
        self.finished(py, wrote.err()).map(|()| taken)
    }

    fn fileno(&self) -> i32 {
        // SAFETY: a live upload.
        unsafe { hangup_upload_fd(self.as_ptr()) }
    }

    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        // SAFETY: a live upload; the call never blocks.
        let finished = call(|error| unsafe { hangup_upload_finish(self.as_ptr(), error) });
        self.finished(py, finished.err())
    }

    fn abort(&self, py: Python<'_>, reason: &str) -> PyResult<()> {
        let aborted =
            c_string(HANGUP_INVALID_ARGUMENT, "reason", reason.as_bytes()).and_then(|reason| {
                // SAFETY: a live upload, NUL-terminated text; the call is legal on any thread and never blocks.
                call(|error| unsafe { hangup_upload_abort(self.as_ptr(), reason.as_ptr(), error) })
            });
        self.finished(py, aborted.err())
    }

    /// Submits a write and returns its tag in `port`. `future` gets None when all is in the buffer.
    fn submit_write(
        slf: Bound<'_, Self>,
        data: &[u8],
        port: &Port,
        future: Py<PyAny>,
    ) -> PyResult<u64> {
        let upload = slf.get().as_ptr();
        let kind = PendingKind::UploadWrite(slf.clone().unbind());
        let submitted = port.submit(Pending { future: Some(future), kind }, |queue, tag| {
            // SAFETY: a live upload and a live queue; the bytes are copied.
            call(|error| unsafe {
                hangup_upload_submit_write(upload, data.as_ptr(), data.len(), queue, tag, error)
            })
        });
        submitted.map_err(|failure| slf.get().raise(slf.py(), failure))
    }
}

impl BodyWriter {
    pub fn as_ptr(&self) -> *mut hangup_upload {
        self.handle.as_ptr()
    }

    /// A request has this body: exceptions name it.
    pub fn set_request(&self, (method, url): MethodAndUrl<'_, '_>) {
        // A second request was refused.
        let _ = self.request.set((method.clone().unbind(), url.clone().unbind()));
    }

    /// The result of a call that may have failed.
    pub fn finished(&self, py: Python<'_>, failure: Option<Failure>) -> PyResult<()> {
        failure.map_or(Ok(()), |failure| Err(self.raise(py, failure)))
    }

    fn raise(&self, py: Python<'_>, failure: Failure) -> PyErr {
        let request = self.request.get().map(|(method, url)| (method.bind(py), url.bind(py)));
        failure.raise(py, request)
    }
}
