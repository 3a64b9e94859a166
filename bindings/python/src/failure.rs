//! Failures of the library, and their Python exceptions.
//!
//! A [`Failure`] needs no interpreter lock; [`Failure::raise`] does. It calls `hangup._errors.from_native`,
//! so that the tree of exception classes is plain Python.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char};
use std::ptr::null_mut;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use crate::handle::{Handle, Owned};
use crate::sys::*;
use crate::tcp_facts;

/// The method and the URL of a request, for the `request` attribute of its exception.
pub type MethodAndUrl<'a, 'py> = (&'a Bound<'py, PyString>, &'a Bound<'py, PyString>);

/// An unsuccessful status of the library, and its error object if it made one.
pub struct Failure {
    status: hangup_status,
    error: Option<Owned<hangup_error>>,
    message: Option<String>,
}

impl Failure {
    /// A failure that this crate found itself, without a call of the library.
    pub fn local(status: hangup_status, message: impl Into<String>) -> Self {
        Failure { status, error: None, message: Some(message.into()) }
    }

    /// The failure of a completion.
    pub fn completion(status: hangup_status, error: Option<Owned<hangup_error>>) -> Self {
        Failure { status, error, message: None }
    }

    pub fn status(&self) -> hangup_status {
        self.status
    }

    /// The exception for this failure.
    pub fn raise(self, py: Python<'_>, request: Option<MethodAndUrl<'_, '_>>) -> PyErr {
        self.exception(py, request).unwrap_or_else(|broken| broken)
    }

    fn exception(self, py: Python<'_>, request: Option<MethodAndUrl<'_, '_>>) -> PyResult<PyErr> {
        static BUILD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let build = BUILD.import(py, "hangup._errors", "from_native")?;
        let raised = build.call1((self.status, self.message(), self.fields(py)?, request))?;
        Ok(PyErr::from_value(raised))
    }

    fn message(&self) -> Cow<'_, str> {
        match (&self.message, &self.error) {
            (Some(message), _) => Cow::from(message),
            // SAFETY: the error is live; the text is borrowed from it.
            (None, Some(error)) => unsafe { text(hangup_error_message(error.as_ptr())) },
            // SAFETY: static text.
            (None, None) => unsafe { text(hangup_status_text(self.status)) },
        }
    }

    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fields = PyDict::new(py);
        // Every query of a NULL error returns a default (the header's contract).
        let e = self.error.as_ref().map_or(null_mut(), Owned::as_ptr);
        // SAFETY: `e` is NULL or live; the texts are borrowed from it or static, and copied at once.
        unsafe {
            let (phase, timeout) = (hangup_error_phase(e), hangup_error_timeout(e));
            fields.set_item(intern!(py, "phase"), text(hangup_phase_text(phase)))?;
            fields.set_item(intern!(py, "timeout"), text(hangup_timeout_text(timeout)))?;
            let reason = hangup_error_reason(e);
            if !reason.is_null() {
                fields.set_item(intern!(py, "reason"), text(reason))?;
            }
            fields.set_item(intern!(py, "os_code"), hangup_error_os_code(e))?;
            fields.set_item(intern!(py, "retry_safe"), hangup_error_retry_safe(e) != 0)?;
            fields.set_item(intern!(py, "connection"), hangup_error_connection_id(e))?;
            fields.set_item(intern!(py, "reused"), hangup_error_reused(e) != 0)?;
            fields.set_item(intern!(py, "sent"), hangup_error_sent(e))?;
            fields.set_item(intern!(py, "bytes_sent"), hangup_error_bytes_sent(e))?;
            let started = hangup_error_response_started(e) != 0;
            fields.set_item(intern!(py, "response_started"), started)?;
            if let Some(facts) = tcp_facts::of_error(e) {
                let acknowledged = text(hangup_acknowledged_text(hangup_error_acknowledged(e)));
                fields.set_item(intern!(py, "acknowledged"), acknowledged)?;
                fields.set_item(intern!(py, "tcp_facts"), facts)?;
            }
            fields.set_item(intern!(py, "attempts"), hangup_error_attempts(e))?;
            let status_code = hangup_error_status_code(e);
            if status_code != 0 {
                fields.set_item(intern!(py, "status_code"), status_code)?;
            }
            let resolver_code = hangup_error_resolver_code(e);
            fields.set_item(intern!(py, "resolver_code"), resolver_code)?;
            fields.set_item(intern!(py, "retry_may_help"), hangup_error_retry_may_help(e) != 0)?;
            let origin = hangup_error_origin(e);
            if *origin != 0 {
                fields.set_item(intern!(py, "origin"), text(origin))?;
                fields.set_item(intern!(py, "url"), text(hangup_error_url(e)))?;
                let mut t: hangup_timings = std::mem::zeroed();
                t.size = size_of_val(&t);
                if hangup_error_timings(e, &raw mut t) == HANGUP_OK {
                    fields.set_item(intern!(py, "timings"), crate::response::microseconds(&t))?;
                }
            }
            fields.set_item(intern!(py, "_json"), text(hangup_error_json(e)))?;
            let open = hangup_error_open_connections(e);
            if open != 0 {
                fields.set_item(intern!(py, "open_connections"), open)?;
            }
        }
        Ok(fields)
    }
}

/// Raises the failure of a call that belongs to no request.
pub trait OrRaise<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for Result<T, Failure> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|failure| failure.raise(py, None))
    }
}

/// Calls a function that writes an error object when it fails.
pub fn call(function: impl FnOnce(*mut *mut hangup_error) -> hangup_status) -> Result<(), Failure> {
    let mut error = null_mut();
    match function(&raw mut error) {
        HANGUP_OK => Ok(()),
        status => Err(Failure { status, error: Owned::new(error), message: None }),
    }
}

/// Calls a function that writes a new handle, or an error object when it fails.
pub fn create<T: Handle>(
    function: impl FnOnce(*mut *mut T, *mut *mut hangup_error) -> hangup_status,
) -> Result<Owned<T>, Failure> {
    let mut handle = null_mut();
    call(|error| function(&raw mut handle, error))?;
    Owned::new(handle).ok_or_else(|| Failure::local(HANGUP_PANIC, "the library returned no handle"))
}

/// The result of a function that returns only a status.
pub fn checked(status: hangup_status) -> Result<(), Failure> {
    call(|_| status)
}

/// Text for the library. A NUL is refused: the library would ignore what follows it.
pub fn c_string(status: hangup_status, what: &str, value: &[u8]) -> Result<CString, Failure> {
    CString::new(value)
        .map_err(|_| Failure::local(status, format!("a NUL character in the {what}: take it out")))
}

/// Text from the library.
///
/// # Safety
/// `text` is NUL-terminated and lives as long as `'a`.
pub unsafe fn text<'a>(text: *const c_char) -> Cow<'a, str> {
    // SAFETY: by this function's contract.
    unsafe { CStr::from_ptr(text) }.to_string_lossy()
}
