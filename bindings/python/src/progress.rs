//! `Progress`: an owned C progress handle, which any thread can ask while a request runs.

use pyo3::prelude::*;

use crate::failure::{Failure, OrRaise};
use crate::handle::Owned;
use crate::sys::*;

/// An owned progress handle. Threads: any, at any time.
#[pyclass(frozen, subclass, module = "hangup._native")]
pub struct Progress {
    handle: Owned<hangup_progress>,
}

#[pymethods]
impl Progress {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        // SAFETY: no arguments.
        let handle = Owned::new(unsafe { hangup_progress_new() });
        let failure = || Failure::local(HANGUP_PANIC, "the library returned no progress handle");
        Ok(Progress { handle: handle.ok_or_else(failure).or_raise(py)? })
    }

    /// How many bytes of the request's body were sent.
    #[getter]
    fn bytes_sent(&self) -> u64 {
        // SAFETY: a live handle.
        unsafe { hangup_progress_bytes_sent(self.as_ptr()) }
    }

    /// The length of the request's body; None while it is not known.
    #[getter]
    fn bytes_to_send(&self) -> Option<u64> {
        // SAFETY: a live handle.
        u64::try_from(unsafe { hangup_progress_bytes_to_send(self.as_ptr()) }).ok()
    }

    /// How many bytes of the response's body were read, before they are decoded.
    #[getter]
    fn bytes_received(&self) -> u64 {
        // SAFETY: a live handle.
        unsafe { hangup_progress_bytes_received(self.as_ptr()) }
    }

    /// The length of the response's body; None while it is not known.
    #[getter]
    fn bytes_to_receive(&self) -> Option<u64> {
        // SAFETY: a live handle.
        u64::try_from(unsafe { hangup_progress_bytes_to_receive(self.as_ptr()) }).ok()
    }
}

impl Progress {
    pub fn as_ptr(&self) -> *mut hangup_progress {
        self.handle.as_ptr()
    }
}
