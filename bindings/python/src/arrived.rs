//! What has arrived of a body, for an event loop: read without a wait, without the interpreter lock, and as far as possible into
//! the `bytes` object that Python gets.

use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::failure::{Failure, call};
use crate::handle::Owned;
use crate::room::Room;
use crate::sys::*;

/// A body of known length that is read as it arrives. Threads: any; it is locked for each step.
#[pyclass(frozen, module = "hangup._native")]
pub struct Whole(Mutex<Filling>);

struct Filling {
    /// Nothing else refers to it until it is full.
    content: Py<PyBytes>,
    size: usize,
    filled: usize,
}

/// How a step of a [`Whole`] ended.
pub enum Step {
    /// Nothing has arrived.
    Waits,
    /// There may be more.
    GoesOn,
    Full,
}

impl Whole {
    /// Room for so many bytes, at least one; `None` if that is more than is allocated before anything has arrived.
    pub fn new(py: Python<'_>, size: usize) -> PyResult<Option<Self>> {
        if size == 0 || size > MAX_SIZE {
            return Ok(None);
        }
        let content = Room::new(py, size)?.unfilled().unbind();
        Ok(Some(Self(Mutex::new(Filling { content, size, filled: 0 }))))
    }

    /// Reads what has arrived, at most [`PIECE`] bytes.
    pub fn fill(&self, py: Python<'_>, response: &Owned<hangup_response>) -> Result<Step, Failure> {
        let mut filling = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = (filling.size - filling.filled).min(PIECE);
        let at = address(filling.content.bind(py)) + filling.filled;
        let got = match available(py, response, at, room)? {
            None => return Ok(Step::Waits),
            Some(got) => got,
        };
        filling.filled += got;
        Ok(if got == 0 || filling.filled == filling.size { Step::Full } else { Step::GoesOn })
    }

    /// Adds a piece that was read in another way, as far as there is room.
    pub fn add(&self, py: Python<'_>, piece: &[u8]) -> Step {
        let mut filling = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let size = piece.len().min(filling.size - filling.filled);
        let at = address(filling.content.bind(py)) + filling.filled;
        // SAFETY: within the object, to which nothing else refers, and the piece is another object.
        unsafe { std::ptr::copy_nonoverlapping(piece.as_ptr(), at as *mut u8, size) };
        filling.filled += size;
        if size == 0 || filling.filled == filling.size { Step::Full } else { Step::GoesOn }
    }
}

#[pymethods]
impl Whole {
    /// What was read so far: the object itself if that is all.
    fn content<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let filling = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if filling.filled == filling.size {
            return filling.content.bind(py).clone();
        }
        PyBytes::new(py, &filling.content.bind(py).as_bytes()[..filling.filled])
    }
}

/// What has arrived, at most `room` bytes; empty at the end, `None` if nothing has.
pub fn piece<'py>(
    py: Python<'py>,
    response: &Owned<hangup_response>,
    room: usize,
) -> PyResult<Result<Option<Bound<'py, PyBytes>>, Failure>> {
    let kept = SPARE.lock().unwrap_or_else(PoisonError::into_inner).take();
    let spare = match kept {
        Some(spare) => spare.into_bound(py),
        None => Room::new(py, PIECE)?.unfilled(),
    };
    let read = available(py, response, address(&spare), room.min(PIECE));
    let piece = match read {
        // It is filled, and goes to Python itself.
        Ok(Some(PIECE)) => return Ok(Ok(Some(spare))),
        Ok(got) => Ok(got.map(|got| PyBytes::new(py, &spare.as_bytes()[..got]))),
        Err(failure) => Err(failure),
    };
    // Dropped without the mutex, if there is one already.
    let other = SPARE.lock().unwrap_or_else(PoisonError::into_inner).replace(spare.unbind());
    drop(other);
    Ok(piece)
}

/// Reads what has arrived into memory of the caller's.
fn available(
    py: Python<'_>,
    response: &Owned<hangup_response>,
    at: usize,
    room: usize,
) -> Result<Option<usize>, Failure> {
    let (mut got, mut is_here) = (0, 0);
    // Decryption takes long enough for other threads to do something meanwhile.
    py.detach(|| {
        // SAFETY: a live response, and memory of the caller's with that much room, which only this call uses.
        call(|error| unsafe {
            let (response, into) = (response.as_ptr(), at as *mut c_void);
            let (got, is_here) = (&raw mut got, &raw mut is_here);
            hangup_response_read_available(response, into, room, got, is_here, error)
        })
    })?;
    Ok((is_here != 0).then_some(got))
}

/// Where the bytes of an object are that nothing else refers to, so that they can be written.
fn address(content: &Bound<'_, PyBytes>) -> usize {
    // SAFETY: a bytes object.
    unsafe { ffi::PyBytes_AsString(content.as_ptr()) as usize }
}

/// An object of [`PIECE`] bytes for the next piece, to which nothing refers: most pieces are smaller and are copied out of it.
static SPARE: Mutex<Option<Py<PyBytes>>> = Mutex::new(None);
/// The most bytes of one step: other tasks of the loop wait meanwhile.
const PIECE: usize = 256 * 1024;
/// The largest object that is allocated before anything of a body has arrived.
const MAX_SIZE: usize = 256 * 1024 * 1024;
/// A longer body is read into a `bytes` object; a shorter one is copied out of the library.
pub const SMALL: i64 = 64 * 1024;
