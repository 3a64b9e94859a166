//! The body of a `hangup_request`: bytes, a file, a callback or a descriptor.

use std::ffi::{c_char, c_void};
use std::io::{self, Read};
use std::os::fd::{FromRawFd, OwnedFd};

use super::callback::{self, Thrown};
use super::enums::{HANGUP_NO_LIMIT, hangup_status};
use super::error::hangup_error;
use super::guard::{Handle, bytes, guard, text};
use super::request::{hangup_request, lock};
use crate::caller_reader::{CallerReader, SlowRead};
use crate::error::Error;
use crate::request::Body;
use crate::vocabulary::Kind;

/// Reads a piece of a request's body: writes at most `room` bytes to `into` and returns how many; 0 at the end; a negative
/// number ends the exchange with HANGUP_BODY_FAILED. The room is 16 KiB at first, and 128 KiB as soon as a piece has filled it (in
/// chunks, the room that their framing leaves of it); what is returned is sent at once, and larger pieces take less CPU.
///
/// It is called with no lock held; it may block, and it may call hangup. For hangup_client_send it is called on the thread
/// that sends. For hangup_client_submit it is called on threads of the library: not always the same one, never two at once.
///
/// When a timeout, a cancel, a close or a shutdown ends a submitted request, that completes at once: it does not wait for a
/// running callback, whose result is dropped. A blocking hangup_client_send returns after the callback has returned.
pub type hangup_body_read_fn =
    Option<unsafe extern "C-unwind" fn(user_data: *mut c_void, into: *mut u8, room: usize) -> i64>;

/// Goes back to where the first hangup_body_read_fn began, because the body is sent again after a redirect or a retry. Returns 0; any
/// other number ends the exchange with HANGUP_BODY_FAILED. It is called as hangup_body_read_fn is, never while that runs.
pub type hangup_body_rewind_fn = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void) -> i32>;

/// Called exactly once with the body's `user_data`, when the body was sent, failed or is no longer needed; also when the
/// function that set the body failed. It may run on any thread. If the request completes while a hangup_body_read_fn is
/// running, it is called after that has returned. It may be NULL.
pub type hangup_body_end_fn = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void)>;

/// Sets the body to a copy of these bytes. (NULL, 0) is an empty body.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_body(
    request: *mut hangup_request,
    data: *const u8,
    size: usize,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let data = unsafe { bytes(data, size, "body")? };
        lock(request)?.set_body(Body::bytes(data));
        Ok(())
    })
}

/// Sets the body to `size` bytes at `data` without copying them. They must not change until `end` is called with `user_data`.
/// That happens exactly once, when no request and no exchange needs them any more, also when this call fails. Copies of the
/// request share them.
///
/// Fails: HANGUP_NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_body_borrowed(
    request: *mut hangup_request,
    data: *const u8,
    size: usize,
    end: hangup_body_end_fn,
    user_data: *mut c_void,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let end = End { end, user_data };
        let request = unsafe { hangup_request::borrow(request)? };
        // They stay until `end` is dropped, which is together with the borrow.
        let bytes = unsafe { bytes(data, size, "body")? };
        lock(request)?.set_body(Body::shared(BorrowedBody { bytes, _end: end }));
        Ok(())
    })
}

/// Sets the body to the contents of a regular file, which is opened and read when the request is sent. It is sent with its
/// length, or chunked if the file's size can't be relied on, as in /proc. If the file grows or shrinks during the exchange, that
/// fails with HANGUP_BODY_FAILED.
///
/// Fails: HANGUP_SYSTEM if it can't be opened or is not a regular file, such as a FIFO; a FIFO is not waited for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_body_file(
    request: *mut hangup_request,
    path: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let body = Body::file(unsafe { text(path, "path")? })?;
        lock(request)?.set_body(body);
        Ok(())
    })
}

/// Sets the body to what a callback returns. `length` is the number of bytes, or HANGUP_NO_LIMIT if it is not known; the body
/// is then sent chunked (RFC 9112 section 7.1). If the callback returns fewer bytes, the exchange fails. Such a body is sent
/// once. `end` is called exactly once, also when this call fails.
///
/// Fails: HANGUP_NULL; HANGUP_INVALID_ARGUMENT for another negative length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_body_reader(
    request: *mut hangup_request,
    read: hangup_body_read_fn,
    end: hangup_body_end_fn,
    user_data: *mut c_void,
    length: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let reader = ForeignBody::new(read, None, end, user_data);
        let request = unsafe { hangup_request::borrow(request)? };
        let body = reader.into_body(body_length(length)?)?;
        lock(request)?.set_body(body);
        Ok(())
    })
}

/// hangup_request_set_body_reader for a source that can go back to its beginning, such as a file: after a redirect, and when a
/// lost connection is replaced (hangup_request_set_retries), `rewind` is called and the body is sent again. One call of
/// hangup_client_send or hangup_client_submit takes the source; for another call set a new body.
///
/// Fails: HANGUP_NULL, also for a NULL `rewind`; HANGUP_INVALID_ARGUMENT for another negative length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_body_rewindable(
    request: *mut hangup_request,
    read: hangup_body_read_fn,
    rewind: hangup_body_rewind_fn,
    end: hangup_body_end_fn,
    user_data: *mut c_void,
    length: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let reader = ForeignBody::new(read, rewind, end, user_data);
        let request = unsafe { hangup_request::borrow(request)? };
        if rewind.is_none() {
            return Err(Error::new(Kind::Null, "a NULL rewind callback"));
        }
        let body = reader.into_body(body_length(length)?)?;
        lock(request)?.set_body(body);
        Ok(())
    })
}

/// Sets the body to what is read from a descriptor: a pipe, a socket, a device or a file. `length` is the number of bytes, or
/// HANGUP_NO_LIMIT for all up to the end, which is then sent chunked (RFC 9112 section 7.1).
///
/// The descriptor is duplicated: the caller can close its own at once. Both share one offset and one set of flags, which are not
/// changed. Only the exchange may read meanwhile. A file is sent from its current offset, and again from there after a redirect or
/// a retry; all others can be sent once. A cancel, a timeout or a close ends the wait for the descriptor at once, also in a
/// blocking hangup_client_send.
///
/// Fails: HANGUP_SYSTEM for a descriptor that is not open; HANGUP_INVALID_ARGUMENT for another negative length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_body_fd(
    request: *mut hangup_request,
    fd: i32,
    length: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let length = body_length(length)?;
        let copy = duplicate(fd).map_err(|error| {
            Error::from_os(Kind::System, "can't duplicate the body's descriptor", &error)
        })?;
        let body = Body::descriptor(copy, length)?;
        lock(request)?.set_body(body);
        Ok(())
    })
}

/// The length of a body, of which the caller may know nothing.
pub(super) fn body_length(length: i64) -> Result<Option<u64>, Error> {
    if length == HANGUP_NO_LIMIT {
        return Ok(None);
    }
    u64::try_from(length).map(Some).map_err(|_| {
        let what = "a negative body length; HANGUP_NO_LIMIT means that it is not known";
        Error::new(Kind::InvalidArgument, what)
    })
}

/// A copy of a descriptor, closed on exec.
fn duplicate(fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; a number that is no descriptor is an error.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the system has just made this descriptor, and only this value owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// A body reader of the caller's.
pub(super) struct ForeignBody {
    read: hangup_body_read_fn,
    rewind: hangup_body_rewind_fn,
    end: End,
}

impl ForeignBody {
    pub(super) fn new(
        read: hangup_body_read_fn,
        rewind: hangup_body_rewind_fn,
        end: hangup_body_end_fn,
        user_data: *mut c_void,
    ) -> Self {
        Self { read, rewind, end: End { end, user_data } }
    }

    pub(super) fn into_body(self, length: Option<u64>) -> Result<Body, Error> {
        if self.read.is_none() {
            return Err(Error::new(Kind::Null, "a NULL body reader"));
        }
        Ok(match self.rewind {
            None => Body::reader(self, length),
            Some(_) => Body::from_caller(CallerReader::rewindable(self), length),
        })
    }
}

/// Bytes of the caller's.
struct BorrowedBody {
    bytes: &'static [u8],
    _end: End,
}

/// Its drop is the one call of `end`.
struct End {
    end: hangup_body_end_fn,
    user_data: *mut c_void,
}

// SAFETY: the header says that `read` runs on the sending thread and `end` on any, never both at once: the
// reader has one owner.
unsafe impl Send for End {}
// SAFETY: `&End` offers nothing.
unsafe impl Sync for End {}

impl AsRef<[u8]> for BorrowedBody {
    fn as_ref(&self) -> &[u8] {
        self.bytes
    }
}

impl Read for ForeignBody {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(read) = self.read else { return Ok(0) };
        // SAFETY: `into` is writable for its length; `user_data` is the caller's own.
        let got =
            callback::call(|| unsafe { read(self.end.user_data, into.as_mut_ptr(), into.len()) })
                .map_err(|Thrown| io::Error::other("the body reader threw an exception"))?;
        match usize::try_from(got) {
            Ok(got) if got <= into.len() => Ok(got),
            Ok(got) => {
                let what = format!("the body reader says it wrote {got} bytes into {}", into.len());
                Err(io::Error::other(what))
            }
            Err(_) => Err(io::Error::other(format!("the body reader returned {got}"))),
        }
    }
}

impl SlowRead for ForeignBody {
    fn rewind(&mut self) -> io::Result<()> {
        let Some(rewind) = self.rewind else { return Err(io::Error::other("it has no rewind")) };
        // SAFETY: `user_data` is the caller's own.
        match callback::call(|| unsafe { rewind(self.end.user_data) }) {
            Ok(0) => Ok(()),
            Ok(other) => Err(io::Error::other(format!("the rewind callback returned {other}"))),
            Err(Thrown) => Err(io::Error::other("the rewind callback threw an exception")),
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            // SAFETY: once, by `Drop`; `user_data` is the caller's own.
            // There is no call to report an exception to.
            let _ = callback::call(|| unsafe { end(self.user_data) });
        }
    }
}
