//! A C request from Python values.
//!
//! The values are in their plainest form: names, encodings and defaults were dealt with in Python.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::failure::{Asked, Failure, c_string, call, checked, create};
use crate::handle::Owned;
use crate::sys::*;
use crate::upload::{self, Raised, Upload};

/// A request, ready to be sent once.
pub struct Request<'a, 'py> {
    handle: Owned<hangup_request>,
    asked: Asked<'a, 'py>,
    raised: Option<Raised>,
}

impl<'a, 'py> Request<'a, 'py> {
    pub fn new(asked: Asked<'a, 'py>) -> PyResult<Self> {
        let (method, url) = asked;
        let made = || {
            let method = c_string(HANGUP_INVALID_METHOD, "method", utf8(method)?.as_bytes())?;
            let url = c_string(HANGUP_INVALID_URL, "URL", utf8(url)?.as_bytes())?;
            // SAFETY: NUL-terminated text, which is copied.
            create(|out, error| unsafe {
                hangup_request_new(method.as_ptr(), url.as_ptr(), out, error)
            })
        };
        let handle = made().map_err(|failure| failure.raise(method.py(), Some(asked)))?;
        Ok(Request { handle, asked, raised: None })
    }

    /// What was said of it; `None` is the client's.
    #[allow(clippy::too_many_arguments)] // the hot path: no object in between
    pub fn fill(
        &mut self,
        headers: Option<&Bound<'py, PyAny>>,
        body: Option<&Bound<'py, PyAny>>,
        limits: &Bound<'py, PyTuple>,
        mode: Option<i32>,
        redirects: Option<i64>,
        retries: Option<bool>,
        min_rate: Option<(i64, i64)>,
    ) -> PyResult<()> {
        headers.map_or(Ok(()), |headers| self.headers(headers))?;
        body.map_or(Ok(()), |body| self.body(body))?;
        self.limits(limits)?;
        mode.map_or(Ok(()), |mode| self.connection(mode))?;
        redirects.map_or(Ok(()), |max| self.redirects(max))?;
        retries.map_or(Ok(()), |on| self.retries(on))?;
        min_rate.map_or(Ok(()), |rate| self.min_rate(rate))
    }

    /// Pairs of name and value, each text or bytes.
    fn headers(&self, headers: &Bound<'py, PyAny>) -> PyResult<()> {
        for pair in headers.try_iter()? {
            let (name, value): (Bound<'py, PyAny>, Bound<'py, PyAny>) = pair?.extract()?;
            let (name, value) = (raw(&name, "header name")?, raw(&value, "header value")?);
            self.checked(header(name, value, |name, value, error| {
                // SAFETY: a live request, NUL-terminated text, which is copied.
                unsafe { hangup_request_add_header(self.handle.as_ptr(), name, value, error) }
            }))?;
        }
        Ok(())
    }

    /// Bytes as they are, the path of a file, or a callable with its length (-1: not known).
    fn body(&mut self, body: &Bound<'py, PyAny>) -> PyResult<()> {
        let request = self.handle.as_ptr();
        if let Ok(bytes) = body.cast::<PyBytes>() {
            let owner = bytes;
            let bytes = bytes.as_bytes();
            if bytes.len() >= BORROWED {
                let (end, data) = (Some(upload::let_go as _), owner.clone().into_ptr().cast());
                // SAFETY: a live request; bytes don't change, and `let_go` gives back the share that keeps
                // them, also when this fails.
                return self.checked(call(|error| unsafe {
                    let (bytes, size) = (bytes.as_ptr(), bytes.len());
                    hangup_request_set_body_borrowed(request, bytes, size, end, data, error)
                }));
            }
            // SAFETY: a live request; the bytes are copied.
            return self.checked(call(|error| unsafe {
                hangup_request_set_body(request, bytes.as_ptr(), bytes.len(), error)
            }));
        }
        if let Ok(path) = body.cast::<PyString>() {
            let path = c_string(HANGUP_INVALID_ARGUMENT, "path", path.to_str()?.as_bytes());
            return self.checked(path.and_then(|path| {
                // SAFETY: a live request, NUL-terminated text.
                call(|error| unsafe { hangup_request_set_body_file(request, path.as_ptr(), error) })
            }));
        }
        let (source, length): (Py<PyAny>, i64) = body.cast::<PyTuple>()?.extract()?;
        let (upload, raised) = Upload::new(source);
        self.raised = Some(raised);
        let data = Box::into_raw(upload).cast();
        let (read, end) = (Some(upload::read as _), Some(upload::end as _));
        // SAFETY: a live request; `end` takes the box back, also when this fails.
        self.checked(call(|error| unsafe {
            hangup_request_set_body_reader(request, read, end, data, length, error)
        }))
    }

    /// Pairs of a clock and milliseconds.
    fn limits(&self, limits: &Bound<'py, PyTuple>) -> PyResult<()> {
        for limit in limits {
            let (which, ms): (i32, i64) = limit.extract()?;
            // SAFETY: a live request.
            self.checked(call(|error| unsafe {
                hangup_request_set_timeout(self.handle.as_ptr(), which, ms, error)
            }))?;
        }
        Ok(())
    }

    fn connection(&self, mode: i32) -> PyResult<()> {
        // SAFETY: a live request.
        self.checked(call(|error| unsafe {
            hangup_request_set_connection_mode(self.handle.as_ptr(), mode, error)
        }))
    }

    /// How many redirects are followed; -1: any number.
    fn redirects(&self, max: i64) -> PyResult<()> {
        // SAFETY: a live request.
        self.checked(call(|error| unsafe {
            hangup_request_set_redirects(self.handle.as_ptr(), max, error)
        }))
    }

    fn retries(&self, on: bool) -> PyResult<()> {
        // SAFETY: a live request.
        self.checked(call(|error| unsafe {
            hangup_request_set_retries(self.handle.as_ptr(), on.into(), error)
        }))
    }

    /// Bytes per second, over a window of so many milliseconds.
    fn min_rate(&self, (rate, window_ms): (i64, i64)) -> PyResult<()> {
        // SAFETY: a live request.
        self.checked(call(|error| unsafe {
            hangup_request_set_min_rate(self.handle.as_ptr(), rate, window_ms, error)
        }))
    }

    pub fn cancel_with(&self, token: *mut hangup_cancel) -> PyResult<()> {
        // SAFETY: a live request and a live token, of which the request takes a share.
        self.checked(checked(unsafe { hangup_request_set_cancel(self.handle.as_ptr(), token) }))
    }

    /// A submitted request is complete when its whole body is here, as much as memory holds.
    pub fn whole(&self) -> PyResult<()> {
        // SAFETY: a live request.
        self.checked(call(|error| unsafe {
            hangup_request_set_buffer_body(self.handle.as_ptr(), i64::MAX, error)
        }))
    }

    /// Where the exception of its body will be.
    pub fn raised(&self) -> Option<Raised> {
        self.raised.clone()
    }

    /// What the exchange ended with: a body's own exception comes before the library's error.
    pub fn outcome<T>(&self, outcome: Result<T, Failure>) -> PyResult<T> {
        match self.raised.as_ref().and_then(Raised::take) {
            Some(raised) => Err(raised),
            None => self.checked(outcome),
        }
    }

    pub fn handle(&self) -> &Owned<hangup_request> {
        &self.handle
    }

    fn checked<T>(&self, outcome: Result<T, Failure>) -> PyResult<T> {
        outcome.map_err(|failure| failure.raise(self.asked.0.py(), Some(self.asked)))
    }
}

/// Bytes of this size and more are borrowed for as long as they are sent. Of fewer a copy is cheaper than the end of the
/// loan, for which a thread has to wait for the interpreter lock.
const BORROWED: usize = 256 * 1024;

/// Calls a function that takes a header.
pub fn header(
    name: &[u8],
    value: &[u8],
    set: impl FnOnce(
        *const std::ffi::c_char,
        *const std::ffi::c_char,
        *mut *mut hangup_error,
    ) -> hangup_status,
) -> Result<(), Failure> {
    let name = c_string(HANGUP_INVALID_HEADER, "header name", name)?;
    let value = c_string(HANGUP_INVALID_HEADER, "header value", value)?;
    call(|error| set(name.as_ptr(), value.as_ptr(), error))
}

/// The bytes of a text (UTF-8) or of bytes.
pub fn raw<'a>(value: &'a Bound<'_, PyAny>, what: &str) -> PyResult<&'a [u8]> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(text.to_str()?.as_bytes());
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.as_bytes());
    }
    let kind = value.get_type();
    Err(PyTypeError::new_err(format!("a {what} is str or bytes, not {kind}")))
}

fn utf8<'a>(text: &'a Bound<'_, PyString>) -> Result<&'a str, Failure> {
    text.to_str().map_err(|_| Failure::local(HANGUP_INVALID_URL, "text that is not valid Unicode"))
}
