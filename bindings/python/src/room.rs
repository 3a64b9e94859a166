//! `Room`: a `bytes` object that a read fills, so that what arrives is not copied again.

use std::ptr::null;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::response::bytes;

/// A `bytes` object whose memory is not initialised, and to which nothing else refers until [`filled`](Self::filled). Its
/// pages are address space until bytes come.
pub struct Room<'py> {
    object: Bound<'py, PyBytes>,
    size: usize,
}

impl<'py> Room<'py> {
    /// One of at least one byte: the empty object is shared, and has no room. Raises MemoryError, also for a size that no
    /// object can have.
    pub fn new(py: Python<'py>, size: usize) -> PyResult<Self> {
        let size = size.max(1);
        let wanted = ffi::Py_ssize_t::try_from(size).unwrap_or(ffi::Py_ssize_t::MAX);
        // SAFETY: the thread is attached, and the size is not negative; NULL leaves the bytes uninitialised.
        let object = unsafe { ffi::PyBytes_FromStringAndSize(null(), wanted) };
        // SAFETY: NULL with an exception, or an owned reference to a bytes object.
        let object = unsafe { Bound::from_owned_ptr_or_err(py, object)?.cast_into_unchecked() };
        Ok(Room { object, size })
    }

    pub fn size(&self) -> usize {
        self.size
    }

    /// Where the memory begins, as a number, which a thread without the interpreter lock can use. The memory lives as long as
    /// this, and is written to as that of an object that is being made.
    pub fn address(&self) -> usize {
        // SAFETY: a bytes object.
        unsafe { ffi::PyBytes_AsString(self.object.as_ptr()) as usize }
    }

    /// The object itself, of which nothing is written yet. It must not be given to Python before that.
    pub fn unfilled(self) -> Bound<'py, PyBytes> {
        self.object
    }

    /// The object after `got` bytes were written; if it is not full, a new one of that size, because the stable ABI of Python
    /// has no way to make one smaller.
    ///
    /// # Safety
    /// The first `got` bytes are initialised.
    pub unsafe fn filled(self, got: usize) -> Bound<'py, PyBytes> {
        if got == self.size {
            return self.object;
        }
        // SAFETY: by this function's contract, and there is no more than that.
        let written = unsafe { bytes(self.address() as *const u8, got.min(self.size)) };
        PyBytes::new(self.object.py(), written)
    }
}
