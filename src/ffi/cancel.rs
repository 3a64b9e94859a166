//! `hangup_cancel`: a token that ends work from any thread.

use std::ffi::c_char;
use std::sync::Arc;

use super::enums::hangup_status;
use super::guard::{Handle, magic, or_default, out, status, text};
use super::milliseconds::positive_ms;
use crate::cancel::CancelToken;

/// A cancel token: it can be fired from any thread, at any time, any number of times.
///
/// Firing ends every exchange that was sent with this token or a child of it, in any phase. The blocked call returns
/// HANGUP_CANCELLED in less than a millisecond, and the connection is closed. Firing it after an exchange ended does not
/// affect the connection's next exchange.
///
/// Create: hangup_cancel_new, hangup_cancel_child. Use: hangup_request_set_cancel, hangup_cancel_fire.
/// Free: hangup_cancel_free, which never fires it.
/// Threads: any thread at any time.
pub struct hangup_cancel {
    _opaque: [u8; 0],
}

impl Handle for hangup_cancel {
    type Target = CancelToken;
    const MAGIC: u64 = magic(b"hang-cnl");
}

/// A new token. Free it with hangup_cancel_free.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_cancel_new() -> *mut hangup_cancel {
    or_default(std::ptr::null_mut(), || Ok(hangup_cancel::into_raw(Arc::new(CancelToken::new()))))
}

/// A child of the token: it is fired together with its parent, and can be fired alone. The parent can be freed first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_cancel_child(
    parent: *mut hangup_cancel,
    child: *mut *mut hangup_cancel,
) -> hangup_status {
    status(|| {
        let place = unsafe { out(child)? };
        let parent = unsafe { hangup_cancel::borrow(parent)? };
        *place = hangup_cancel::into_raw(Arc::new(parent.child()));
        Ok(())
    })
}

/// Another handle for the same token, which must be freed as well. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_cancel_ref(cancel: *const hangup_cancel) -> *mut hangup_cancel {
    or_default(std::ptr::null_mut(), || {
        Ok(hangup_cancel::into_raw(Arc::clone(unsafe { hangup_cancel::borrow(cancel)? })))
    })
}

/// Sets a deadline, `ms` milliseconds from now, for everything that uses the token or a child of it. What it ends fails with
/// HANGUP_TIMED_OUT and the timeout HANGUP_TIMEOUT_TOKEN. The earliest of several deadlines counts.
///
/// Fails: HANGUP_INVALID_TIMEOUT for zero or less.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_cancel_fire_after(
    cancel: *mut hangup_cancel,
    ms: i64,
) -> hangup_status {
    status(|| {
        let cancel = unsafe { hangup_cancel::borrow(cancel)? };
        cancel.after(positive_ms(ms)?);
        Ok(())
    })
}

/// Fires the token. Only the first call has an effect; hangup_error_reason returns its `reason`, which may be NULL. Never
/// blocks. NULL as token does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_cancel_fire(cancel: *mut hangup_cancel, reason: *const c_char) {
    let _ = status(|| {
        let cancel = unsafe { hangup_cancel::borrow(cancel)? };
        // A reason that can't be read must not keep the token from firing.
        cancel.fire(unsafe { text(reason, "reason") }.ok());
        Ok(())
    });
}

/// 1 if the token or one of its parents was fired or its deadline has passed, else 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_cancel_is_fired(cancel: *const hangup_cancel) -> i32 {
    or_default(0, || Ok(i32::from(unsafe { hangup_cancel::borrow(cancel)? }.is_fired())))
}

/// Frees a handle. NULL does nothing. Work that uses the token goes on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_cancel_free(cancel: *mut hangup_cancel) {
    unsafe { hangup_cancel::free(cancel) }
}
