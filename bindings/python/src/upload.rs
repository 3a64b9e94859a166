//! A request body that a Python callable makes while it is sent.
//!
//! The library calls [`read`] on the thread that sends, which does not hold the interpreter lock, and
//! [`end`] once, after the last read. An exception of the callable ends the exchange and is kept in a
//! [`BodyException`] until the sending call returns, which raises it unchanged.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::{ffi, intern};

use crate::callback;
use crate::loan::Loan;

/// The exception that the callable of a body raised, if it raised one.
#[derive(Clone, Default)]
pub struct BodyException(Arc<Mutex<Option<PyErr>>>);

impl BodyException {
    pub fn take(&self) -> Option<PyErr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, raised: PyErr) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(raised);
    }
}

/// The data pointer of the library's reader: a callable that takes the number of bytes there is room for and
/// returns bytes, an empty one at the end. It may return more than there is room for; the rest is kept.
pub struct Upload {
    source: Py<PyAny>,
    /// The callable takes a memoryview instead, which it fills, and returns how many bytes it wrote. It keeps no reference to
    /// the memory: only the file classes of Python itself are read in this way.
    fills: bool,
    /// A callable that goes back to the beginning.
    rewind: Option<Py<PyAny>>,
    /// The piece that did not fit, and the offset of its unread part.
    rest: Option<(Loan, usize)>,
    exception: BodyException,
}

impl Upload {
    pub fn new(
        source: Py<PyAny>,
        fills: bool,
        rewind: Option<Py<PyAny>>,
        exception: BodyException,
    ) -> Box<Self> {
        Box::new(Upload { source, fills, rewind, rest: None, exception })
    }

    fn go_back(&mut self, py: Python<'_>) -> PyResult<()> {
        self.rest = None;
        match &self.rewind {
            Some(rewind) => callback::call(py, rewind, ()).map(drop),
            None => Ok(()),
        }
    }

    fn fill(&mut self, py: Python<'_>, into: &mut [u8]) -> PyResult<usize> {
        if self.fills {
            return self.fill_in_place(py, into);
        }
        let (piece, from) = match self.rest.take() {
            Some(rest) => rest,
            None => (callback::call(py, &self.source, (into.len(),))?.extract::<Loan>()?, 0),
        };
        let count = (piece.size() - from).min(into.len());
        // SAFETY: so many bytes are lent there and unread, and the library's memory is not Python's.
        unsafe {
            let unread = (piece.address() as *const u8).add(from);
            std::ptr::copy_nonoverlapping(unread, into.as_mut_ptr(), count);
        }
        if from + count < piece.size() {
            self.rest = Some((piece, from + count));
        }
        Ok(count)
    }

    /// The callable writes straight to where the library sends from.
    fn fill_in_place(&self, py: Python<'_>, into: &mut [u8]) -> PyResult<usize> {
        let (at, room) = (into.as_mut_ptr().cast(), into.len());
        // SAFETY: the thread is attached, and the memory is the caller's; an owned reference, or NULL with an exception.
        let view = unsafe {
            let view = ffi::PyMemoryView_FromMemory(at, room as ffi::Py_ssize_t, ffi::PyBUF_WRITE);
            Bound::from_owned_ptr_or_err(py, view)?
        };
        let count = callback::call(py, &self.source, (&view,))?.extract::<usize>()?;
        // Raises BufferError if something refers to the memory still.
        view.call_method0(intern!(py, "release"))?;
        Ok(count.min(room))
    }
}

/// # Safety
/// `upload` comes from `Box::into_raw` and is used by one thread at a time; `into` has `room` writable
/// bytes. The header promises this for every reader.
pub unsafe extern "C" fn read(upload: *mut c_void, into: *mut u8, room: usize) -> i64 {
    // SAFETY: by this function's contract.
    let (upload, into) =
        unsafe { (&mut *upload.cast::<Upload>(), std::slice::from_raw_parts_mut(into, room)) };
    // A panic must not unwind into C; -1 ends the exchange.
    let filled = catch_unwind(AssertUnwindSafe(|| {
        Python::try_attach(|py| {
            upload.fill(py, into).map_err(|raised| upload.exception.set(raised))
        })
    }));
    match filled {
        Ok(Some(Ok(count))) => i64::try_from(count).unwrap_or(-1),
        _ => -1,
    }
}

/// # Safety
/// `upload` comes from `Box::into_raw` and is used by one thread at a time.
pub unsafe extern "C" fn rewind(upload: *mut c_void) -> i32 {
    // SAFETY: by this function's contract.
    let upload = unsafe { &mut *upload.cast::<Upload>() };
    // A panic must not unwind into C; -1 ends the exchange.
    let done = catch_unwind(AssertUnwindSafe(|| {
        Python::try_attach(|py| upload.go_back(py).map_err(|raised| upload.exception.set(raised)))
    }));
    if matches!(done, Ok(Some(Ok(())))) { 0 } else { -1 }
}

/// # Safety
/// `upload` comes from `Box::into_raw` and is not used afterwards.
pub unsafe extern "C" fn end(upload: *mut c_void) {
    // SAFETY: by this function's contract.
    let upload = unsafe { Box::from_raw(upload.cast::<Upload>()) };
    // With the interpreter lock, so that the source is dropped now: without it pyo3 drops it later.
    let _ = Python::try_attach(|py| {
        drop(upload.rest);
        callback::release(py, upload.source);
        if let Some(rewind) = upload.rewind {
            callback::release(py, rewind);
        }
    });
}
