//! `hangup_upload`: a body that is written piece by piece, without a callback.

use std::ffi::c_char;
use std::sync::{Arc, Mutex, MutexGuard};

use super::body::body_length;
use super::enums::hangup_status;
use super::error::hangup_error;
use super::guard::{Handle, bytes, guard, lock_for_one_thread, magic, or_default, out, text};
use super::request::{hangup_request, lock as lock_request};
use crate::error::Error;
use crate::request::Body;
use crate::sync::lock;
use crate::upload::BodyWriter;
use crate::vocabulary::Kind;

/// The body of a request that the caller writes piece by piece while the request is sent by another thread or in the
/// background. At most 64 KiB of it are buffered.
///
/// Create: hangup_upload_new. Use: hangup_request_set_body_upload; hangup_upload_write_all, hangup_upload_try_write or
/// hangup_upload_submit_write; then hangup_upload_finish.
/// Free: hangup_upload_free. If the body was not finished, the exchange fails with HANGUP_BODY_FAILED.
/// Threads: one thread at a time; a second one gets HANGUP_INVALID_STATE. But hangup_upload_abort may be called from any thread
/// while another one is blocked in hangup_upload_write_all; that then returns HANGUP_INVALID_STATE.
pub struct hangup_upload {
    _opaque: [u8; 0],
}

impl Handle for hangup_upload {
    type Target = UploadHandle;
    const MAGIC: u64 = magic(b"hang-upl");
}

/// What a handle points to. The lock refuses a second thread that writes.
pub struct UploadHandle {
    pub(super) writer: BodyWriter,
    writing: Mutex<()>,
    /// Until a request has it.
    body: Mutex<Option<Body>>,
}

impl UploadHandle {
    /// # Errors
    /// [`Kind::InvalidState`](crate::Kind::InvalidState) while another thread writes.
    pub(super) fn enter(&self) -> Result<MutexGuard<'_, ()>, Error> {
        lock_for_one_thread(&self.writing, "this upload is used by another thread right now")
    }
}

/// A body of `length` bytes, or of any number if that is HANGUP_NO_LIMIT; it is then sent chunked (RFC 9112 section 7.1). Give it
/// to a request with hangup_request_set_body_upload; what is written before is buffered.
///
/// Fails: HANGUP_INVALID_ARGUMENT for another negative length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_upload_new(
    length: i64,
    upload: *mut *mut hangup_upload,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let place = unsafe { out(upload)? };
        let (body, writer) = Body::pushed(body_length(length)?);
        let body = Mutex::new(Some(body));
        let upload = UploadHandle { writer, writing: Mutex::new(()), body };
        *place = hangup_upload::into_raw(Arc::new(upload));
        Ok(())
    })
}

/// Sets the request's body to what is written to the upload. Such a body is sent once, by one request. The request must be sent by
/// another thread, or submitted, for writes to go on when the buffer is full.
///
/// Fails: HANGUP_INVALID_STATE if a request has it already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_body_upload(
    request: *mut hangup_request,
    upload: *mut hangup_upload,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let upload = unsafe { hangup_upload::borrow(upload)? };
        let mut request = lock_request(request)?;
        let body = lock(&upload.body).take().ok_or_else(|| {
            let what = "a request has this upload as its body already, and it is sent once: make another one";
            Error::new(Kind::InvalidState, what)
        })?;
        request.set_body(body);
        Ok(())
    })
}

/// Writes all of these bytes, which are copied. Blocks this thread while the buffer is full. The timeouts of the exchange bound
/// that: HANGUP_TIMEOUT_WRITE if the server takes nothing. Before the exchange begins, it waits 60 seconds at most.
///
/// Fails: the error of the exchange, if that has failed; HANGUP_CLOSED if the server responded without waiting for the rest of
/// the body; HANGUP_BODY_FAILED for more bytes than the length; HANGUP_TIMED_OUT if no exchange begins; HANGUP_CANCELLED if the
/// thread's interrupt check ended the wait; HANGUP_INVALID_STATE after hangup_upload_finish or hangup_upload_abort, or while a
/// submitted write is in progress; HANGUP_FORKED in the child of a fork.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_upload_write_all(
    upload: *mut hangup_upload,
    data: *const u8,
    size: usize,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let upload = unsafe { hangup_upload::borrow(upload)? };
        let data = unsafe { bytes(data, size, "body")? };
        let _writing = upload.enter()?;
        upload.writer.write_shared(data)
    })
}

/// Writes as many of these bytes as there is room for, without waiting, and sets `taken` to their number. 0 means that there is
/// no room: wait for hangup_upload_fd.
///
/// Fails: as hangup_upload_write_all, except for HANGUP_TIMED_OUT and HANGUP_CANCELLED of its wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_upload_try_write(
    upload: *mut hangup_upload,
    data: *const u8,
    size: usize,
    taken: *mut usize,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let taken = unsafe { out(taken)? };
        let upload = unsafe { hangup_upload::borrow(upload)? };
        let data = unsafe { bytes(data, size, "body")? };
        let _writing = upload.enter()?;
        *taken = upload.writer.try_write_shared(data)?;
        Ok(())
    })
}

/// A descriptor that is readable while there is room for at least 32 KiB, and after the end of the exchange: for poll(2), epoll(7)
/// or any event loop, beside hangup_upload_try_write. Only poll it; it is closed with the upload. -1 for NULL, and if the process
/// has no free descriptor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_upload_fd(upload: *const hangup_upload) -> i32 {
    or_default(-1, || {
        let upload = unsafe { hangup_upload::borrow(upload)? };
        Ok(upload.writer.descriptor()?.number())
    })
}

/// The body is complete. Never blocks: what was written is sent.
///
/// Fails: HANGUP_BODY_FAILED if fewer bytes than the length were written, which fails the exchange as well; the error of the
/// exchange, if that has failed; HANGUP_CLOSED if it ended without waiting for the rest; HANGUP_INVALID_STATE while a submitted
/// write is in progress, or after an earlier call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_upload_finish(
    upload: *mut hangup_upload,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let upload = unsafe { hangup_upload::borrow(upload)? };
        let _writing = upload.enter()?;
        upload.writer.finish_shared()
    })
}

/// Gives the body up: the exchange fails with HANGUP_BODY_FAILED, and its message has this reason, which may be NULL. The bytes
/// that were written may have been sent. From any thread; never blocks.
///
/// Fails: HANGUP_NULL, HANGUP_INVALID_ARGUMENT for a reason that is not UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_upload_abort(
    upload: *mut hangup_upload,
    reason: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let upload = unsafe { hangup_upload::borrow(upload)? };
        let reason = if reason.is_null() {
            "no reason was given"
        } else {
            unsafe { text(reason, "reason")? }
        };
        upload.writer.abort_shared(reason);
        Ok(())
    })
}

/// Frees an upload. If its body was not finished, that is given up. NULL does nothing. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_upload_free(upload: *mut hangup_upload) {
    unsafe { hangup_upload::free(upload) }
}
