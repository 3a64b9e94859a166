//! Credentials of clients and requests, and bearer tokens from a Python callable.
//!
//! The library calls [`provide`] on its own threads, several at a time, and [`end`] once, after the last call. The
//! interpreter lock is held only while the callable runs.

use std::ffi::{CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::callback;
use crate::failure::{Failure, c_string, call, checked, text};
use crate::sys::*;

/// What credentials are set for.
#[derive(Clone, Copy)]
pub enum Holder {
    Client(*mut hangup_client),
    Request(*mut hangup_request),
}

/// Sets credentials: a tuple of the kind ("none", "basic", "bearer", "digest", "netrc", "token") and its values.
/// The outer error is one of Python.
pub fn set_auth(holder: Holder, auth: &Bound<'_, PyTuple>) -> PyResult<Result<(), Failure>> {
    let kind: String = auth.get_item(0)?.extract()?;
    if kind == "token" {
        let callable: Py<PyAny> = auth.get_item(1)?.unbind();
        return Ok(set_token(auth.py(), holder, callable));
    }
    let value = |index: usize| -> PyResult<Result<Option<CString>, Failure>> {
        if index >= auth.len() {
            return Ok(Ok(None));
        }
        let given: Option<Bound<'_, PyString>> = auth.get_item(index)?.extract()?;
        let Some(given) = given else { return Ok(Ok(None)) };
        let given = given.to_str()?;
        Ok(c_string(HANGUP_INVALID_ARGUMENT, "credential", given.as_bytes()).map(Some))
    };
    let (first, second) = match (value(1)?, value(2)?) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(failure), _) | (_, Err(failure)) => return Ok(Err(failure)),
    };
    let pointer = |text: &Option<CString>| text.as_ref().map_or(null(), |text| text.as_ptr());
    let (first, second) = (pointer(&first), pointer(&second));
    // SAFETY: a live client or request; NULL or NUL-terminated texts, which are copied.
    let outcome = unsafe {
        match (holder, kind.as_str()) {
            (Holder::Client(c), "none") => checked(hangup_client_clear_auth(c)),
            (Holder::Request(r), "none") => checked(hangup_request_clear_auth(r)),
            (Holder::Client(c), "basic") => {
                call(|e| hangup_client_set_auth_basic(c, first, second, e))
            }
            (Holder::Request(r), "basic") => {
                call(|e| hangup_request_set_auth_basic(r, first, second, e))
            }
            (Holder::Client(c), "digest") => {
                call(|e| hangup_client_set_auth_digest(c, first, second, e))
            }
            (Holder::Request(r), "digest") => {
                call(|e| hangup_request_set_auth_digest(r, first, second, e))
            }
            (Holder::Client(c), "bearer") => call(|e| hangup_client_set_auth_bearer(c, first, e)),
            (Holder::Request(r), "bearer") => call(|e| hangup_request_set_auth_bearer(r, first, e)),
            (Holder::Client(c), "netrc") => call(|e| hangup_client_set_auth_netrc(c, first, e)),
            (Holder::Request(r), "netrc") => call(|e| hangup_request_set_auth_netrc(r, first, e)),
            _ => return Err(PyValueError::new_err(format!("no kind of credentials: {kind}"))),
        }
    };
    Ok(outcome)
}

fn set_token(py: Python<'_>, holder: Holder, callable: Py<PyAny>) -> Result<(), Failure> {
    let data = Box::into_raw(Box::new(callable)) as usize;
    let (client, request) = match holder {
        Holder::Client(client) => (client as usize, 0),
        Holder::Request(request) => (0, request as usize),
    };
    // Without the interpreter lock: the library may call `end` for the previous callable on another thread.
    py.detach(|| {
        // SAFETY: a live client or request; `end` takes the box back, also when this fails.
        call(|error| unsafe {
            let data = data as *mut c_void;
            match request {
                0 => {
                    let client = client as *mut hangup_client;
                    hangup_client_set_auth_token(client, Some(provide), Some(end), data, error)
                }
                request => {
                    let request = request as *mut hangup_request;
                    hangup_request_set_auth_token(request, Some(provide), Some(end), data, error)
                }
            }
        })
    })
}

/// # Safety
/// `callable` comes from `Box::into_raw`, and `end` was not called for it; the texts are NUL-terminated, and `token` is
/// live. The header promises this.
unsafe extern "C" fn provide(
    callable: *mut c_void,
    origin: *const c_char,
    refused: *const c_char,
    token: *mut hangup_token,
) -> i32 {
    // SAFETY: by this function's contract.
    let (callable, origin, refused) = unsafe {
        let refused = (!refused.is_null()).then(|| text(refused).into_owned());
        (&*callable.cast::<Py<PyAny>>(), text(origin).into_owned(), refused)
    };
    // A panic must not unwind into C.
    let code = catch_unwind(AssertUnwindSafe(|| {
        Python::try_attach(|py| match call_provider(py, callable, origin, refused, token) {
            Ok(()) => 0,
            Err(raised) => {
                callback::write_unraisable(py, raised, callable);
                FAILED
            }
        })
    }));
    code.ok().flatten().unwrap_or(FAILED)
}

fn call_provider(
    py: Python<'_>,
    callable: &Py<PyAny>,
    origin: String,
    refused: Option<String>,
    token: *mut hangup_token,
) -> PyResult<()> {
    let given = callback::call(py, callable, (origin, refused))?;
    let wrong = || PyTypeError::new_err("a token is a str without NUL characters");
    let given: String = given.extract().map_err(|_| wrong())?;
    let given = CString::new(given).map_err(|_| wrong())?;
    // SAFETY: a live token, NUL-terminated text.
    checked(unsafe { hangup_token_set_value(token, given.as_ptr()) }).map_err(|_| wrong())
}

/// # Safety
/// `callable` comes from `Box::into_raw` and is not used afterwards.
unsafe extern "C" fn end(callable: *mut c_void) {
    // SAFETY: by this function's contract.
    let callable = *unsafe { Box::from_raw(callable.cast::<Py<PyAny>>()) };
    // With the interpreter lock, so that the callable is dropped now: without it pyo3 drops it later.
    let _ = Python::try_attach(|py| callback::release(py, callable));
}

/// What a callable that raised an exception returns to the library.
const FAILED: i32 = 1;
