//! A whole body as a `bytes` object, of which there is no second copy at any time.
//!
//! A body of known length is read into the object. Its memory is address space until bytes come: a false Content-Length costs
//! nothing. One of unknown length comes in pieces, which are freed while they are put together: the stable ABI of Python has no
//! way to make a `bytes` object larger or smaller.

use std::ffi::c_void;
use std::ptr::null;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::failure::{Failure, call};
use crate::handle::Owned;
use crate::interrupt::blocking;
use crate::sys::*;

/// The beginning of a body, which was read without the interpreter lock.
pub enum Beginning {
    /// The library has all of it.
    InLibrary,
    /// The first bytes of a body of unknown length.
    Part { bytes: Vec<u8>, ended: bool },
    /// It is large, and nothing was read yet.
    Unread,
}

/// Reads a small body, and the beginning of one of unknown length. Blocks: call it without the interpreter lock.
pub fn begin(response: &Owned<hangup_response>, at_most: usize) -> Result<Beginning, Failure> {
    // SAFETY: a live response.
    match usize::try_from(unsafe { hangup_response_left(response.as_ptr()) }) {
        Ok(left) if left <= SMALL => {
            crate::response::read_all(response, at_most).map(|_| Beginning::InLibrary)
        }
        Ok(_) => Ok(Beginning::Unread),
        Err(_) => {
            let mut bytes: Vec<u8> = Vec::with_capacity(SMALL);
            let got = fill(response, bytes.as_mut_ptr() as usize, SMALL, at_most)?;
            // SAFETY: the library initialised that many bytes, and never more than there is room for.
            unsafe { bytes.set_len(got.min(SMALL)) };
            Ok(Beginning::Part { bytes, ended: got < SMALL })
        }
    }
}

/// The whole body after its beginning, or the rest of it if nothing was read. `Ok(Err(_))` is a failure of the library.
pub fn read_content<'py>(
    py: Python<'py>,
    response: &Owned<hangup_response>,
    beginning: Option<(Vec<u8>, bool)>,
    at_most: usize,
) -> PyResult<Result<Bound<'py, PyBytes>, Failure>> {
    match beginning {
        Some((bytes, true)) => return Ok(Ok(PyBytes::new(py, &bytes))),
        Some((bytes, false)) => return read_pieces(py, response, bytes, at_most),
        None => {}
    }
    // SAFETY: a live response.
    match usize::try_from(unsafe { hangup_response_left(response.as_ptr()) }) {
        Ok(size) if size <= MAX_SIZE => read_known(py, response, size, at_most),
        _ => read_pieces(py, response, Vec::new(), at_most),
    }
}

/// A body of so many bytes.
fn read_known<'py>(
    py: Python<'py>,
    response: &Owned<hangup_response>,
    size: usize,
    at_most: usize,
) -> PyResult<Result<Bound<'py, PyBytes>, Failure>> {
    let content = match size {
        0 => PyBytes::new(py, &[]),
        _ => {
            // SAFETY: the interpreter lock is held; NULL leaves the bytes uninitialised, and the size fits, as it is small.
            let object = unsafe { ffi::PyBytes_FromStringAndSize(null(), size as _) };
            // SAFETY: NULL with an exception, or an owned reference to a bytes object.
            unsafe { Bound::from_owned_ptr_or_err(py, object)?.cast_into_unchecked() }
        }
    };
    // SAFETY: a bytes object. Nothing else refers to it until it is filled, and it lives until then: `content` is dropped by
    // this thread, which waits for the read. So its memory is written to as that of an object that is being made.
    let at = unsafe { ffi::PyBytes_AsString(content.as_ptr()) } as usize;
    // An empty one is shared, and has no room; the call fails if the response was closed.
    let mut none = 0_u8;
    let (at, room) = if size == 0 { (&raw mut none as usize, 1) } else { (at, size) };
    match blocking(py, || fill(response, at, room, at_most))? {
        Ok(got) if got == size => Ok(Ok(content)),
        Ok(got) => {
            // SAFETY: the library wrote that many bytes there.
            let read = unsafe { crate::response::bytes(at as *const u8, got) };
            Ok(Ok(PyBytes::new(py, read)))
        }
        Err(failure) => Ok(Err(failure)),
    }
}

/// A body of unknown length, after its beginning.
fn read_pieces<'py>(
    py: Python<'py>,
    response: &Owned<hangup_response>,
    beginning: Vec<u8>,
    at_most: usize,
) -> PyResult<Result<Bound<'py, PyBytes>, Failure>> {
    let read = blocking(py, || {
        let mut pieces = vec![beginning];
        let mut room = SMALL;
        loop {
            let mut piece: Vec<u8> = Vec::with_capacity(room);
            let got = match fill(response, piece.as_mut_ptr() as usize, room, at_most) {
                Ok(got) => got.min(room),
                // Another thread closed it between two reads.
                Err(failure) if pieces.len() > 1 && failure.status() == HANGUP_INVALID_STATE => {
                    let closed = "the response was closed (phase: read)";
                    return Err(Failure::local(HANGUP_CLOSED, closed));
                }
                Err(failure) => return Err(failure),
            };
            // SAFETY: the library initialised that many bytes.
            unsafe { piece.set_len(got) };
            pieces.push(piece);
            if got < room {
                return Ok(pieces);
            }
            room = (room * 2).min(MAX_PIECE);
        }
    })?;
    let mut pieces = match read {
        Ok(pieces) => pieces,
        Err(failure) => return Ok(Err(failure)),
    };
    let size = pieces.iter().map(Vec::len).sum();
    if pieces.len() == 2 && pieces[0].is_empty() {
        return Ok(Ok(PyBytes::new(py, &pieces[1])));
    }
    // SAFETY: the interpreter lock is held; NULL leaves the bytes uninitialised, and the size fits, as so much is here.
    let object = unsafe { ffi::PyBytes_FromStringAndSize(null(), size as _) };
    // SAFETY: NULL with an exception, or an owned reference to a bytes object.
    let content: Bound<'_, PyBytes> =
        unsafe { Bound::from_owned_ptr_or_err(py, object)?.cast_into_unchecked() };
    // SAFETY: a bytes object.
    let begin = unsafe { ffi::PyBytes_AsString(content.as_ptr()) }.cast::<u8>();
    let mut end = size;
    // From the end, so that malloc(3) can return the memory of each one to the system.
    while let Some(piece) = pieces.pop() {
        end -= piece.len();
        // SAFETY: all pieces together are as long as the object, to which nothing else refers yet.
        unsafe { std::ptr::copy_nonoverlapping(piece.as_ptr(), begin.add(end), piece.len()) };
    }
    Ok(Ok(content))
}

/// Fills memory with the next bytes of the body, fewer only at its end. Blocks.
fn fill(
    response: &Owned<hangup_response>,
    at: usize,
    room: usize,
    at_most: usize,
) -> Result<usize, Failure> {
    let mut got = 0;
    // SAFETY: a live response, and memory of the caller's with that much room.
    call(|error| unsafe {
        let (response, into) = (response.as_ptr(), at as *mut c_void);
        hangup_response_read_full(response, into, room, at_most, &raw mut got, error)
    })?;
    Ok(got)
}

/// A body that is copied rather than read into its place, which saves a wait for the interpreter lock.
const SMALL: usize = 64 * 1024;
/// The largest object that is allocated before anything of a body has come.
const MAX_SIZE: usize = 256 * 1024 * 1024;
const MAX_PIECE: usize = 4 * 1024 * 1024;
