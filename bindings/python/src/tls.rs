//! `Tls`: the settings of TLS, as `python/hangup/_tls.py` makes them.

use std::ptr::null;

use pyo3::prelude::*;

use crate::failure::{Failure, OrRaise, c_string, call};
use crate::handle::Owned;
use crate::sys::*;

/// Settings that are made once and then given to clients and requests. Threads: any, at any time.
#[pyclass(frozen, module = "hangup._native")]
pub struct Tls {
    handle: Owned<hangup_tls>,
}

#[pymethods]
impl Tls {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        // SAFETY: no arguments.
        let handle = Owned::new(unsafe { hangup_tls_new() })
            .ok_or_else(|| Failure::local(HANGUP_PANIC, "the library gave no TLS settings"));
        Ok(Tls { handle: handle.or_raise(py)? })
    }

    fn set_roots(&self, py: Python<'_>, pem: &[u8]) -> PyResult<()> {
        // SAFETY: live settings; the data is copied.
        self.set(py, |tls, error| unsafe {
            hangup_tls_set_roots(tls, pem.as_ptr(), pem.len(), error)
        })
    }

    fn add_roots(&self, py: Python<'_>, pem: &[u8]) -> PyResult<()> {
        // SAFETY: live settings; the data is copied.
        self.set(py, |tls, error| unsafe {
            hangup_tls_add_roots(tls, pem.as_ptr(), pem.len(), error)
        })
    }

    fn set_roots_path(&self, py: Python<'_>, path: &str) -> PyResult<()> {
        self.set_text(py, "path", path, hangup_tls_set_roots_path)
    }

    fn add_roots_path(&self, py: Python<'_>, path: &str) -> PyResult<()> {
        self.set_text(py, "path", path, hangup_tls_add_roots_path)
    }

    fn set_certificate(
        &self,
        py: Python<'_>,
        certificate: &[u8],
        key: &[u8],
        password: Option<&str>,
    ) -> PyResult<()> {
        let (c, k) = (certificate, key);
        let password = password
            .map(|password| c_string(HANGUP_INVALID_ARGUMENT, "password", password.as_bytes()));
        let password = password.transpose().or_raise(py)?;
        let password = password.as_ref().map_or(null(), |password| password.as_ptr());
        // SAFETY: live settings; the data is copied.
        self.set(py, |tls, error| unsafe {
            hangup_tls_set_certificate(
                tls,
                c.as_ptr(),
                c.len(),
                k.as_ptr(),
                k.len(),
                password,
                error,
            )
        })
    }

    fn set_versions(&self, py: Python<'_>, min: i32, max: i32) -> PyResult<()> {
        // SAFETY: live settings.
        self.set(py, |tls, error| unsafe { hangup_tls_set_versions(tls, min, max, error) })
    }

    fn add_pin(&self, py: Python<'_>, pin: &str) -> PyResult<()> {
        self.set_text(py, "pin", pin, hangup_tls_add_pin)
    }

    fn set_server_name(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        self.set_text(py, "server name", name, hangup_tls_set_server_name)
    }

    fn set_key_log(&self, py: Python<'_>, path: &str) -> PyResult<()> {
        self.set_text(py, "path", path, hangup_tls_set_key_log)
    }

    fn set_key_log_from_env(&self, py: Python<'_>) -> PyResult<()> {
        // SAFETY: live settings.
        self.set(py, |tls, error| unsafe { hangup_tls_set_key_log_from_env(tls, error) })
    }

    fn accept_any_certificate(&self, py: Python<'_>) -> PyResult<()> {
        // SAFETY: live settings.
        self.set(py, |tls, error| unsafe {
            hangup_tls_set_dangerously_accept_any_certificate(tls, 1, error)
        })
    }
}

/// A setter that takes text.
type TextSetter = unsafe extern "C" fn(
    *mut hangup_tls,
    *const std::ffi::c_char,
    *mut *mut hangup_error,
) -> hangup_status;

impl Tls {
    pub fn as_ptr(&self) -> *mut hangup_tls {
        self.handle.as_ptr()
    }

    fn set(
        &self,
        py: Python<'_>,
        setter: impl FnOnce(*mut hangup_tls, *mut *mut hangup_error) -> hangup_status,
    ) -> PyResult<()> {
        call(|error| setter(self.as_ptr(), error)).or_raise(py)
    }

    fn set_text(&self, py: Python<'_>, what: &str, text: &str, setter: TextSetter) -> PyResult<()> {
        let text = c_string(HANGUP_INVALID_ARGUMENT, what, text.as_bytes()).or_raise(py)?;
        // SAFETY: live settings, NUL-terminated text, which is copied.
        self.set(py, |tls, error| unsafe { setter(tls, text.as_ptr(), error) })
    }
}
