//! A whole body as a `bytes` object, of which there is no second copy at any time.
//!
//! A body of known length is read into the object. Its memory is address space until bytes come: a false Content-Length costs
//! nothing. For one of unknown length the object becomes larger while the body comes.

use std::ffi::c_void;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::failure::{Failure, call};
use crate::handle::Owned;
use crate::interrupt::blocking;
use crate::room::Room;
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
        Some((bytes, false)) => return read_growing(py, response, &bytes, at_most),
        None => {}
    }
    // SAFETY: a live response.
    match usize::try_from(unsafe { hangup_response_left(response.as_ptr()) }) {
        Ok(size) if size <= MAX_SIZE => read_known(py, response, size, at_most),
        _ => read_growing(py, response, &[], at_most),
    }
}

/// A body of so many bytes.
fn read_known<'py>(
    py: Python<'py>,
    response: &Owned<hangup_response>,
    size: usize,
    at_most: usize,
) -> PyResult<Result<Bound<'py, PyBytes>, Failure>> {
    // An empty one has room for a byte as well: the call fails if the response was closed.
    let room = Room::new(py, size)?;
    let (at, most) = (room.address(), room.size());
    match blocking(py, || fill(response, at, most, at_most))? {
        // SAFETY: the library wrote that many bytes there.
        Ok(got) => unsafe { room.filled(got) }.map(Ok),
        Err(failure) => Ok(Err(failure)),
    }
}

/// A body of unknown length, after its beginning. The object becomes larger with it.
fn read_growing<'py>(
    py: Python<'py>,
    response: &Owned<hangup_response>,
    beginning: &[u8],
    at_most: usize,
) -> PyResult<Result<Bound<'py, PyBytes>, Failure>> {
    let mut room = Room::new(py, beginning.len() + SMALL)?;
    let mut size = beginning.len();
    // SAFETY: a new object, which has room for that.
    unsafe {
        let to = room.address() as *mut u8;
        std::ptr::copy_nonoverlapping(beginning.as_ptr(), to, size);
    }
    let mut is_first = beginning.is_empty();
    loop {
        let (at, most) = (room.address() + size, room.size() - size);
        let got = match blocking(py, || fill(response, at, most, at_most))? {
            Ok(got) => got.min(most),
            // Another thread closed it between two reads.
            Err(failure) if !is_first && failure.status() == HANGUP_INVALID_STATE => {
                let closed = "the response was closed (phase: read)";
                return Ok(Err(Failure::local(HANGUP_CLOSED, closed)));
            }
            Err(failure) => return Ok(Err(failure)),
        };
        (size, is_first) = (size + got, false);
        // SAFETY: the beginning and all that the library wrote behind it.
        unsafe {
            if got < most {
                return room.filled(size).map(Ok);
            }
            // Twice as much: what is not used stays address space.
            room = room.resized(size, size.saturating_add(size.min(MAX_SIZE)))?;
        }
    }
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
/// The largest object that is allocated before anything of a body has come, and by how much one grows at most.
const MAX_SIZE: usize = 256 * 1024 * 1024;
