//! `Room`: a `bytes` object that a read fills, so that what arrives is not copied again.
//!
//! Python's documented function for another size of such an object, `_PyBytes_Resize`, is not in its stable ABI. It is
//! looked up when it is needed first; without it the bytes are copied into a new object.

use std::ffi::{c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

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

    /// The object after `got` bytes were written, of that size.
    ///
    /// # Safety
    /// The first `got` bytes are initialised.
    pub unsafe fn filled(self, got: usize) -> PyResult<Bound<'py, PyBytes>> {
        if got == self.size {
            return Ok(self.object);
        }
        if got < SMALL {
            // SAFETY: by this function's contract.
            return Ok(PyBytes::new(self.object.py(), unsafe { self.written(got) }));
        }
        // SAFETY: by this function's contract.
        unsafe { self.resized(got, got) }.map(|room| room.object)
    }

    /// The same with another size, which is not 0; the first `got` bytes stay. A large object mostly keeps its pages.
    ///
    /// # Safety
    /// The first `got` bytes are initialised.
    pub unsafe fn resized(self, got: usize, size: usize) -> PyResult<Self> {
        let py = self.object.py();
        let Some(resize) = resize_function() else {
            let larger = Room::new(py, size)?;
            // SAFETY: by this function's contract.
            let written = unsafe { self.written(got.min(size)) };
            let to = larger.address() as *mut u8;
            // SAFETY: the new object has as much room, and is another one.
            unsafe { std::ptr::copy_nonoverlapping(written.as_ptr(), to, written.len()) };
            return Ok(larger);
        };
        let wanted = ffi::Py_ssize_t::try_from(size).unwrap_or(ffi::Py_ssize_t::MAX);
        let mut object = self.object.into_ptr();
        // SAFETY: the thread is attached; this is the only reference to the object, which the function takes, and returns one
        // to an object in its place, or NULL with an exception.
        let object = unsafe {
            resize(&raw mut object, wanted);
            Bound::from_owned_ptr_or_err(py, object)?.cast_into_unchecked()
        };
        Ok(Room { object, size })
    }

    /// # Safety
    /// The first `got` bytes are initialised.
    unsafe fn written(&self, got: usize) -> &[u8] {
        // SAFETY: by this function's contract, and there is no more than that.
        unsafe { bytes(self.address() as *const u8, got.min(self.size)) }
    }
}

type Resize = unsafe extern "C" fn(*mut *mut ffi::PyObject, ffi::Py_ssize_t) -> c_int;

fn resize_function() -> Option<Resize> {
    static FOUND: OnceLock<Option<Resize>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // SAFETY: NULL is RTLD_DEFAULT, and the name is NUL-terminated.
        let found = unsafe { dlsym(null_mut(), c"_PyBytes_Resize".as_ptr()) };
        // SAFETY: Python's function of this name has this type in every version, and it is never unloaded.
        (!found.is_null()).then(|| unsafe { std::mem::transmute::<*mut c_void, Resize>(found) })
    })
}

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// What is copied into an object of its own, so that few bytes don't keep a place that is larger.
const SMALL: usize = 4096;
