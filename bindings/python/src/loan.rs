//! `Loan`: the memory of a Python object, which the library reads without a copy.
//!
//! The memory of `bytes` never changes. That of a `bytearray` or behind a `memoryview` keeps its size and its place during the
//! loan, and the program promises not to change it; if it does, other bytes are sent, as by the `send` of a socket.

use std::ffi::c_void;

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};

use crate::callback;

/// Bytes that a Python object lends until this is dropped or given back.
pub struct Loan {
    owner: Py<PyAny>,
    /// None of a `bytes` object, of which a reference is enough.
    buffer: Option<PyUntypedBuffer>,
    address: usize,
    size: usize,
}

impl Loan {
    /// The loan of a `bytes`, a `bytearray` or a contiguous `memoryview`; `None` for any other object.
    pub fn of(object: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let owner = object.clone().unbind();
        if let Ok(object) = object.cast::<PyBytes>() {
            let (address, size) = (object.as_bytes().as_ptr() as usize, object.as_bytes().len());
            return Ok(Some(Loan { owner, buffer: None, address, size }));
        }
        if !object.is_instance_of::<PyByteArray>() && !object.is_instance_of::<PyMemoryView>() {
            return Ok(None);
        }
        let buffer = PyUntypedBuffer::get(object)?;
        if !buffer.is_c_contiguous() {
            return Err(PyBufferError::new_err(
                "this memoryview is not contiguous: send bytes(view)",
            ));
        }
        let (address, size) = (buffer.buf_ptr() as usize, buffer.len_bytes());
        Ok(Some(Loan { owner, buffer: Some(buffer), address, size }))
    }

    /// Where the bytes begin, as a number, which a thread without the interpreter lock can use; any for none.
    pub fn address(&self) -> usize {
        self.address
    }

    pub fn size(&self) -> usize {
        self.size
    }

    /// Ends the loan on any thread.
    fn give_back(self) {
        let _ = Python::try_attach(|py| {
            // The buffer first: it is never the last reference.
            if let Some(buffer) = self.buffer {
                buffer.release(py);
            }
            callback::release(py, self.owner);
        });
    }

    /// The loan as the data pointer of [`end`].
    pub fn into_raw(self) -> *mut c_void {
        Box::into_raw(Box::new(self)).cast()
    }
}

impl<'py> FromPyObject<'_, 'py> for Loan {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let kind = || {
            let kind =
                object.get_type().name().map_or_else(|_| "it".into(), |name| name.to_string());
            PyTypeError::new_err(format!("data is bytes, bytearray or memoryview, not {kind}"))
        };
        Loan::of(&object)?.ok_or_else(kind)
    }
}

/// A loan that is read from its beginning to its end, as the data pointer of [`read`], [`rewind`] and [`end_reading`]. None of
/// them but the last one needs the interpreter lock.
pub struct Reading {
    loan: Loan,
    read: usize,
}

impl Reading {
    pub fn of(loan: Loan) -> *mut c_void {
        Box::into_raw(Box::new(Reading { loan, read: 0 })).cast()
    }
}

/// Reads the next bytes of a loan.
///
/// # Safety
/// `reading` comes from [`Reading::of`] and is used by one thread at a time; `into` has `room` writable bytes.
pub unsafe extern "C" fn read(reading: *mut c_void, into: *mut u8, room: usize) -> i64 {
    // SAFETY: by this function's contract.
    let reading = unsafe { &mut *reading.cast::<Reading>() };
    let count = (reading.loan.size() - reading.read).min(room);
    // SAFETY: so many bytes are lent there and unread, and the library's memory is not Python's.
    unsafe {
        let unread = (reading.loan.address() as *const u8).add(reading.read);
        std::ptr::copy_nonoverlapping(unread, into, count);
    }
    reading.read += count;
    i64::try_from(count).unwrap_or(-1)
}

/// Goes back to the beginning of a loan.
///
/// # Safety
/// `reading` comes from [`Reading::of`] and is used by one thread at a time.
pub unsafe extern "C" fn rewind(reading: *mut c_void) -> i32 {
    // SAFETY: by this function's contract.
    unsafe { (*reading.cast::<Reading>()).read = 0 };
    0
}

/// Ends the loan of a reading.
///
/// # Safety
/// `reading` comes from [`Reading::of`] and is not used afterwards.
pub unsafe extern "C" fn end_reading(reading: *mut c_void) {
    // SAFETY: by this function's contract.
    unsafe { Box::from_raw(reading.cast::<Reading>()) }.loan.give_back();
}

/// Ends a loan.
///
/// # Safety
/// `loan` comes from [`Loan::into_raw`] and is not used afterwards.
pub unsafe extern "C" fn end(loan: *mut c_void) {
    // SAFETY: by this function's contract.
    unsafe { Box::from_raw(loan.cast::<Loan>()) }.give_back();
}
