//! A request body that a Python callable makes while it is sent, or whose memory Python lends.
//!
//! The library calls [`read`] on the thread that sends, which does not hold the interpreter lock, and
//! [`end`] once, after the last read. An exception of the callable ends the exchange and is kept in a
//! [`BodyException`] until the sending call returns, which raises it unchanged.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::callback;

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
    /// A callable that goes back to the beginning.
    rewind: Option<Py<PyAny>>,
    /// The piece that did not fit, and the offset of its unread part.
    rest: Option<(Py<PyBytes>, usize)>,
    exception: BodyException,
}

impl Upload {
    pub fn new(
        source: Py<PyAny>,
        rewind: Option<Py<PyAny>>,
        exception: BodyException,
    ) -> Box<Self> {
        Box::new(Upload { source, rewind, rest: None, exception })
    }

    fn go_back(&mut self, py: Python<'_>) -> PyResult<()> {
        self.rest = None;
        match &self.rewind {
            Some(rewind) => callback::call(py, rewind, ()).map(drop),
            None => Ok(()),
        }
    }

    fn fill(&mut self, py: Python<'_>, into: &mut [u8]) -> PyResult<usize> {
        let (piece, from) = match self.rest.take() {
            Some((piece, from)) => (piece.into_bound(py), from),
            None => (callback::call(py, &self.source, (into.len(),))?.cast_into::<PyBytes>()?, 0),
        };
        let unread = &piece.as_bytes()[from..];
        let count = unread.len().min(into.len());
        into[..count].copy_from_slice(&unread[..count]);
        if count < unread.len() {
            self.rest = Some((piece.unbind(), from + count));
        }
        Ok(count)
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
        callback::release(py, upload.source);
        if let Some(rewind) = upload.rewind {
            callback::release(py, rewind);
        }
    });
}

/// Ends the loan of the memory of a `bytes` object.
///
/// # Safety
/// `object` is an owned reference to a Python object, and is not used afterwards.
pub unsafe extern "C" fn release(object: *mut c_void) {
    let _ = Python::try_attach(|py| {
        // SAFETY: by this function's contract.
        callback::release(py, unsafe { Bound::from_owned_ptr(py, object.cast()) }.unbind());
    });
}
