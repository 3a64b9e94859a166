//! `CancelToken`: an owned C token, so that C can cancel the requests of Python, and Python those of C.

use std::ptr::null_mut;

use pyo3::prelude::*;

use crate::failure::{Failure, OrRaise, checked};
use crate::handle::Owned;
use crate::sys::*;

/// An owned cancel token. Threads: any, at any time.
#[pyclass(frozen, subclass, module = "hangup._native")]
pub struct CancelToken {
    handle: Owned<hangup_cancel>,
}

#[pymethods]
impl CancelToken {
    #[new]
    #[pyo3(signature = (parent = None))]
    fn new(py: Python<'_>, parent: Option<&CancelToken>) -> PyResult<Self> {
        let handle = token(parent).or_raise(py)?;
        Ok(CancelToken { handle })
    }

    /// Fires the token. The first reason is kept as `Cancelled.reason`. Never blocks.
    #[pyo3(signature = (reason = None))]
    fn cancel(&self, reason: Option<&str>) {
        // A NUL is replaced: it would end the text, and a bad reason must not prevent the cancellation.
        let reason = reason.map(|text| text.replace('\0', " ") + "\0");
        let reason = reason.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
        // SAFETY: a live token; NULL or NUL-terminated text, which is copied.
        unsafe { hangup_cancel_fire(self.as_ptr(), reason.cast()) }
    }

    /// Fires the token in `ms` milliseconds.
    #[pyo3(name = "_after_ms")]
    fn after_ms(&self, py: Python<'_>, ms: i64) -> PyResult<()> {
        // SAFETY: a live token.
        checked(unsafe { hangup_cancel_fire_after(self.as_ptr(), ms) }).or_raise(py)
    }

    /// Whether the token or one of its parents was fired or has passed its deadline.
    #[getter]
    fn is_cancelled(&self) -> bool {
        // SAFETY: a live token.
        unsafe { hangup_cancel_is_fired(self.as_ptr()) != 0 }
    }

    #[getter(_address)]
    fn address(&self) -> usize {
        self.handle.address()
    }
}

impl CancelToken {
    pub fn as_ptr(&self) -> *mut hangup_cancel {
        self.handle.as_ptr()
    }
}

/// A new token; a child of `parent` if there is one.
pub fn token(parent: Option<&CancelToken>) -> Result<Owned<hangup_cancel>, Failure> {
    let mut token = null_mut();
    if let Some(parent) = parent {
        // SAFETY: a live token, and room for the child.
        checked(unsafe { hangup_cancel_child(parent.as_ptr(), &raw mut token) })?;
    } else {
        // SAFETY: no arguments.
        token = unsafe { hangup_cancel_new() };
    }
    Owned::new(token).ok_or_else(|| Failure::local(HANGUP_PANIC, "the library returned no token"))
}
