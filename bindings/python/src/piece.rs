//! A piece of a body as a `bytes` object, which the library reads into.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::failure::{Failure, call};
use crate::handle::Owned;
use crate::interrupt::blocking;
use crate::room::Room;
use crate::sys::*;

/// A piece, which is empty at the end of the body, and what ended the body behind it.
pub type Piece<'py> = (Bound<'py, PyBytes>, Option<Failure>);

/// Reads the next bytes of a body, at most `room`: what is here, or as many as there is room for (`full`). A body that is
/// cut off gives what came before; the failure is beside it. `Ok(Err(_))` is a failure of the library.
pub fn read_piece<'py>(
    py: Python<'py>,
    response: &Owned<hangup_response>,
    room: usize,
    full: bool,
) -> PyResult<Result<Piece<'py>, Failure>> {
    // SAFETY: a live response.
    let left = usize::try_from(unsafe { hangup_response_left(response.as_ptr()) });
    // The last piece fits its object as well.
    let room = Room::new(py, left.map_or(room, |left| room.min(left)))?;
    let (at, size) = (room.address(), room.size());
    let (got, failure) = blocking(py, || {
        let mut got = 0;
        loop {
            match read(response, at + got, size - got) {
                Ok(0) => return (got, None),
                Ok(more) => got += more,
                Err(failure) => return (got, Some(failure)),
            }
            if !full || got >= size {
                return (got, None);
            }
        }
    })?;
    match failure {
        Some(failure) if got == 0 || !is_cut_off(&failure) => Ok(Err(failure)),
        // SAFETY: the library has written that many bytes.
        failure => Ok(Ok((unsafe { room.filled(got) }?, failure))),
    }
}

/// Whether the body was cut off or is malformed: the error comes after the data that came before it.
fn is_cut_off(failure: &Failure) -> bool {
    matches!(
        failure.status(),
        HANGUP_PEER_CLOSED | HANGUP_PEER_RESET | HANGUP_PEER_SILENT | HANGUP_PROTOCOL
    )
}

/// At most `room` bytes to that address; 0 at the end. Blocks.
fn read(response: &Owned<hangup_response>, at: usize, room: usize) -> Result<usize, Failure> {
    let mut got = 0;
    // SAFETY: a live response, and memory of the caller's with that much room.
    call(|error| unsafe {
        hangup_response_read(response.as_ptr(), at as *mut _, room, &raw mut got, error)
    })?;
    Ok(got.min(room))
}
