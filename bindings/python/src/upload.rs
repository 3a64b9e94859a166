//! A request body that Python makes while it is sent, or whose memory it lends.
//!
//! The library calls [`read`] on the thread that sends, which does not hold the interpreter lock, and
//! [`end`] once when it needs no more. An exception ends the exchange and waits in [`Raised`] until the
//! sending call is back, which raises it as it is.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::below;

/// Where the exception of a body is found after the exchange.
#[derive(Clone, Default)]
pub struct Raised(Arc<Mutex<Option<PyErr>>>);

impl Raised {
    pub fn take(&self) -> Option<PyErr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, raised: PyErr) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(raised);
    }
}

/// What the library holds while it sends: a callable that takes how many bytes there is room for and
/// answers some, none for the end. It may answer more than there is room for; the rest is kept.
pub struct Upload {
    source: Py<PyAny>,
    rest: Option<(Py<PyBytes>, usize)>,
    raised: Raised,
}

impl Upload {
    pub fn new(source: Py<PyAny>) -> (Box<Self>, Raised) {
        let raised = Raised::default();
        (Box::new(Upload { source, rest: None, raised: raised.clone() }), raised)
    }

    fn fill(&mut self, py: Python<'_>, into: &mut [u8]) -> PyResult<usize> {
        let (piece, from) = match self.rest.take() {
            Some((piece, from)) => (piece.into_bound(py), from),
            None => (below::call(py, &self.source, (into.len(),))?.cast_into::<PyBytes>()?, 0),
        };
        let left = &piece.as_bytes()[from..];
        let now = left.len().min(into.len());
        into[..now].copy_from_slice(&left[..now]);
        if now < left.len() {
            self.rest = Some((piece.unbind(), from + now));
        }
        Ok(now)
    }
}

/// # Safety
/// `upload` comes from `Box::into_raw` and is used by one thread at a time; `into` has `room` writable
/// bytes. That is what the library promises.
pub unsafe extern "C" fn read(upload: *mut c_void, into: *mut u8, room: usize) -> i64 {
    // SAFETY: as for the caller.
    let (upload, into) =
        unsafe { (&mut *upload.cast::<Upload>(), std::slice::from_raw_parts_mut(into, room)) };
    // A panic must not unwind into C; -1 ends the exchange.
    let filled = catch_unwind(AssertUnwindSafe(|| {
        Python::try_attach(|py| upload.fill(py, into).map_err(|raised| upload.raised.put(raised)))
    }));
    match filled {
        Ok(Some(Ok(count))) => i64::try_from(count).unwrap_or(-1),
        _ => -1,
    }
}

/// # Safety
/// `upload` comes from `Box::into_raw` and is not used afterwards.
pub unsafe extern "C" fn end(upload: *mut c_void) {
    // SAFETY: as for the caller.
    let upload = unsafe { Box::from_raw(upload.cast::<Upload>()) };
    // With the lock, so that the source is let go of now and not at some later moment.
    let _ = Python::try_attach(|py| below::let_go(py, upload.source));
}

/// Ends the loan of an object's memory.
///
/// # Safety
/// `object` is a share of a Python object, and is not used afterwards.
pub unsafe extern "C" fn let_go(object: *mut c_void) {
    let _ = Python::try_attach(|py| {
        // SAFETY: as for the caller.
        below::let_go(py, unsafe { Bound::from_owned_ptr(py, object.cast()) }.unbind());
    });
}
