//! The border between C and Rust: every exported function crosses it here.
//!
//! Pointers become references, text becomes `&str`, errors become a status and a panic
//! becomes `HANGUP_PANIC`. No other file but `handle.rs` casts a pointer that C passed.

use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, TryLockError};

use super::enums::hangup_status;
use super::error::hangup_error;
use super::handle::Uncancelled;
pub(super) use super::handle::{Handle, magic, query};
use crate::error::Error;
use crate::vocabulary::Kind;

/// Runs the body of an exported function; nothing unwinds out of it, and a failure is
/// written to `error` if the caller wants it.
pub(super) fn guard(
    error: *mut *mut hangup_error,
    body: impl FnOnce() -> Result<(), Error>,
) -> hangup_status {
    let _here = Uncancelled::begin();
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return hangup_status::OK,
        Ok(Err(failure)) => failure,
        Err(_) => Error::new(Kind::Panic, "a defect in hangup: please report it"),
    };
    let status = failure.kind().into();
    if !error.is_null() {
        // SAFETY: the caller passes NULL or a place for one pointer (the header's contract).
        unsafe { error.write(hangup_error::begin(failure)) };
    }
    status
}

/// [`guard`] for functions that return a value: `default` if the handle is NULL or of another type.
pub(super) fn or_default<T>(default: T, body: impl FnOnce() -> Result<T, Error>) -> T {
    let _here = Uncancelled::begin();
    query(default, body)
}

/// [`guard`] for functions without an error object.
pub(super) fn status(body: impl FnOnce() -> Result<(), Error>) -> hangup_status {
    guard(std::ptr::null_mut(), body)
}

/// The place for an output: checked before the work is done, so that its result can't leak.
///
/// # Safety
/// `out` is NULL or a place for one `T`.
pub(super) unsafe fn out<'a, T>(out: *mut T) -> Result<&'a mut T, Error> {
    // SAFETY: as for the caller.
    unsafe { out.as_mut() }.ok_or_else(|| Error::new(Kind::Null, "a NULL output argument"))
}

/// Text from C.
///
/// # Safety
/// `text` is NULL or NUL-terminated and not changed during the call.
pub(super) unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str, Error> {
    // SAFETY: as for the caller.
    let bytes = unsafe { text_bytes(text, what)? };
    std::str::from_utf8(bytes)
        .map_err(|_| Error::new(Kind::InvalidArgument, format!("the {what} is not valid UTF-8")))
}

/// Text from C in any encoding.
///
/// # Safety
/// `text` is NULL or NUL-terminated and not changed during the call.
pub(super) unsafe fn text_bytes<'a>(text: *const c_char, what: &str) -> Result<&'a [u8], Error> {
    if text.is_null() {
        return Err(Error::new(Kind::Null, format!("a NULL {what}")));
    }
    // SAFETY: as for the caller.
    Ok(unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// Text from C, or nothing for NULL.
///
/// # Safety
/// As for [`text`].
pub(super) unsafe fn text_or_null<'a>(
    place: *const c_char,
    what: &str,
) -> Result<Option<&'a str>, Error> {
    if place.is_null() {
        return Ok(None);
    }
    // SAFETY: as for the caller.
    unsafe { text(place, what) }.map(Some)
}

/// Bytes from C; (NULL, 0) is the empty slice.
///
/// # Safety
/// `data` is NULL or points to `size` readable bytes that are not changed during the call.
pub(super) unsafe fn bytes<'a>(
    data: *const u8,
    size: usize,
    what: &str,
) -> Result<&'a [u8], Error> {
    match (data.is_null(), size) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Error::new(Kind::Null, format!("a NULL {what} of {size} bytes"))),
        // SAFETY: as for the caller; not NULL, not empty.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(data, size) }),
    }
}

/// A buffer of the caller's, to be filled. At least one byte, as none could not tell data from the end.
///
/// # Safety
/// `into` is NULL or points to `room` writable bytes that only the library uses during the call. They are only written,
/// never read, before they are filled.
pub(super) unsafe fn buffer<'a>(into: *mut c_void, room: usize) -> Result<&'a mut [u8], Error> {
    if into.is_null() {
        return Err(Error::new(Kind::Null, "a NULL buffer"));
    }
    if room == 0 {
        let what = "a buffer of 0 bytes can't tell data from the end";
        return Err(Error::new(Kind::InvalidArgument, what));
    }
    // SAFETY: as for the caller; not NULL, not empty.
    Ok(unsafe { std::slice::from_raw_parts_mut(into.cast::<u8>(), room) })
}

/// Locks what one thread at a time may use; fails while another one does. What a panic left is usable: every change
/// leaves it whole at each step.
pub(super) fn lock_for_one_thread<'a, T>(
    mutex: &'a Mutex<T>,
    message: &'static str,
) -> Result<MutexGuard<'a, T>, Error> {
    match mutex.try_lock() {
        Ok(locked) => Ok(locked),
        Err(TryLockError::Poisoned(locked)) => Ok(locked.into_inner()),
        Err(TryLockError::WouldBlock) => Err(Error::new(Kind::InvalidState, message)),
    }
}

/// A structure that the library fills: its first field is its size, as the caller knows it.
///
/// # Safety
/// It is `repr(C)`, begins with `size: usize` and has no padding. [`FIRST`](Self::FIRST) ends at the end of
/// a field.
pub(super) unsafe trait Report: Copy {
    /// The size of the layout of version 0.1, which never changes. A caller that left the size at 0 gets
    /// this much: its structure is at least as large.
    const FIRST: usize;
}

/// Looks at a report structure before the work is done that fills it; returns how much of it the caller knows of.
///
/// # Safety
/// `place` is NULL or points to a structure whose size field is 0 or its own size in bytes.
pub(super) unsafe fn struct_size<T: Report>(place: *mut T) -> Result<usize, Error> {
    const { assert!(T::FIRST >= 2 * size_of::<usize>() && T::FIRST <= size_of::<T>()) }
    if place.is_null() {
        return Err(Error::new(Kind::Null, "a NULL report structure"));
    }
    // SAFETY: as for the caller: the first field is the size.
    let room = match unsafe { place.cast::<usize>().read() } {
        0 => T::FIRST,
        room => room,
    };
    if room < 2 * size_of::<usize>() {
        let what =
            "the report's size field is too small: set it to sizeof(*report) before the call";
        return Err(Error::new(Kind::InvalidArgument, what));
    }
    Ok(room.min(size_of::<T>()))
}

/// Writes a report structure: at most as much as the caller knows of, and into its size field how much that was.
///
/// # Safety
/// As for [`struct_size`].
pub(super) unsafe fn report<T: Report>(place: *mut T, mut value: T) -> Result<(), Error> {
    // SAFETY: as for the caller.
    let known = unsafe { struct_size(place)? };
    // SAFETY: `T: Report` begins with a `usize` and has no padding; `known` bytes are within both.
    unsafe {
        (&raw mut value).cast::<usize>().write(known);
        std::ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), place.cast::<u8>(), known);
    }
    Ok(())
}

/// Borrowed text and, if the caller wants it, its length.
///
/// # Safety
/// `size` is NULL or a place for one `size_t`.
pub(super) unsafe fn write_str(value: &CStr, size: *mut usize) -> *const c_char {
    // SAFETY: as for the caller.
    if let Some(size) = unsafe { size.as_mut() } {
        *size = value.count_bytes();
    }
    value.as_ptr()
}

/// Writes a count, unless the caller passed NULL for it.
///
/// # Safety
/// `place` is NULL or a place for one `size_t`.
pub(super) unsafe fn count_to(place: *mut usize, count: usize) {
    // SAFETY: as for the caller.
    if let Some(place) = unsafe { place.as_mut() } {
        *place = count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status_and_an_error() {
        let mut error = std::ptr::null_mut();
        let status = guard(&raw mut error, || panic!("on purpose"));
        assert_eq!(status, Kind::Panic.into());
        // SAFETY: `guard` wrote a live handle.
        unsafe {
            assert_eq!(hangup_error::borrow(error).unwrap().kind(), Kind::Panic);
            hangup_error::free(error);
        }
        assert_eq!(or_default(7, || panic!("on purpose")), 7);
    }

    #[test]
    fn null_and_foreign_handles_are_errors() {
        // SAFETY: NULL, and eight readable bytes: what `borrow` asks for.
        unsafe {
            assert_eq!(hangup_error::borrow(std::ptr::null()).unwrap_err().kind(), Kind::Null);
            let other = [0u64; 4];
            let foreign = other.as_ptr().cast::<hangup_error>();
            assert_eq!(hangup_error::borrow(foreign).unwrap_err().kind(), Kind::BadHandle);
            hangup_error::free(foreign.cast_mut());
        }
    }
}
