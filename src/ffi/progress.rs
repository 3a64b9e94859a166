//! `hangup_progress`: how far the bodies of an exchange are, for any thread.

use std::sync::Arc;

use super::enums::{HANGUP_NO_LIMIT, hangup_status};
use super::error::hangup_error;
use super::guard::{Handle, guard, magic, or_default, query};
use super::request::{hangup_request, lock as lock_request};
use crate::error::Error;
use crate::transfer::Progress;

/// How far the bodies of a request and of its response are. Only bytes of bodies count, without heads and framing; of a
/// compressed body those that are received, before they are decoded. A retry and a redirect begin again with 0. If it is set
/// for several requests, the last one that began counts.
///
/// Create: hangup_progress_new. Use: hangup_request_set_progress, then hangup_progress_* from any thread.
/// Free: hangup_progress_free. Requests have shares of their own.
/// Threads: any thread at any time.
pub struct hangup_progress {
    _opaque: [u8; 0],
}

impl Handle for hangup_progress {
    type Target = Progress;
    const MAGIC: u64 = magic(b"hang-prg");
}

/// A new progress handle that counts nothing yet. Free it with hangup_progress_free.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_progress_new() -> *mut hangup_progress {
    or_default(std::ptr::null_mut(), || Ok(hangup_progress::into_raw(Arc::new(Progress::new()))))
}

/// How many bytes of the request's body were sent, that is handed to the system or to TLS. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_progress_bytes_sent(progress: *const hangup_progress) -> u64 {
    query(0, || Ok(unsafe { hangup_progress::borrow(progress)? }.bytes_sent()))
}

/// The length of the request's body; -1 before the exchange has begun, for a body of unknown length and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_progress_bytes_to_send(progress: *const hangup_progress) -> i64 {
    query(HANGUP_NO_LIMIT, || {
        Ok(number(unsafe { hangup_progress::borrow(progress)? }.bytes_to_send()))
    })
}

/// How many bytes of the response's body were read. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_progress_bytes_received(progress: *const hangup_progress) -> u64 {
    query(0, || Ok(unsafe { hangup_progress::borrow(progress)? }.bytes_received()))
}

/// The length of the response's body; -1 before the response head, for a body of unknown length and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_progress_bytes_to_receive(progress: *const hangup_progress) -> i64 {
    query(HANGUP_NO_LIMIT, || {
        Ok(number(unsafe { hangup_progress::borrow(progress)? }.bytes_to_receive()))
    })
}

/// Frees a handle. NULL does nothing. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_progress_free(progress: *mut hangup_progress) {
    unsafe { hangup_progress::free(progress) }
}

/// Sets the handle that says how far the bodies of this request and of its response are. The request keeps a share of it. NULL
/// removes it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_progress(
    request: *mut hangup_request,
    progress: *mut hangup_progress,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let progress: Result<_, Error> = match progress.is_null() {
            true => Ok(None),
            false => unsafe { hangup_progress::borrow(progress) }.map(|one| Some((**one).clone())),
        };
        lock_request(request)?.set_progress(progress?);
        Ok(())
    })
}

fn number(length: Option<u64>) -> i64 {
    length.and_then(|length| i64::try_from(length).ok()).unwrap_or(HANGUP_NO_LIMIT)
}
