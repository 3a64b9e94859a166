//! `hangup_cancel`: a token that ends work from any thread.

use std::ffi::c_char;
use std::sync::Arc;

use super::enums::hangup_status;
use super::guard::{Handle, magic, or_default, out, status, text};
use super::milliseconds::positive_ms;
use crate::cancel::CancelToken;

/// A cancel token: fire it from any thread, in any state, any number of times.
///
/// Firing ends every exchange that was sent with this token or with a child of it, in whatever phase: waiting
/// for a slot, resolving, connecting, in a handshake, sending, waiting, reading. The call that was blocked
/// answers HANGUP_CANCELLED in well under a millisecond, and the connection is closed. A token that is fired
/// after its exchange ended does nothing to the connection's next user.
///
/// Begins: hangup_cancel_new, hangup_cancel_child. Can: _fire, _fire_after, _is_fired, _ref.
/// Ends: hangup_cancel_free gives a share back; freeing never fires.
/// Threads: any thread at any time.
pub struct hangup_cancel {
    _opaque: [u8; 0],
}

impl Handle for hangup_cancel {
    type Target = CancelToken;
    const MAGIC: u64 = magic(b"hang-cnl");
}

/// A new token. To be freed with hangup_cancel_free.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_cancel_new() -> *mut hangup_cancel {
    or_default(std::ptr::null_mut(), || Ok(hangup_cancel::give(Arc::new(CancelToken::new()))))
}

/// A child: fired with its parent, and by itself without its parent. The parent may be freed first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_cancel_child(
    parent: *mut hangup_cancel,
    child: *mut *mut hangup_cancel,
) -> hangup_status {
    status(|| {
        let place = unsafe { out(child)? };
        let parent = unsafe { hangup_cancel::borrow(parent)? };
        *place = hangup_cancel::give(Arc::new(parent.child()));
        Ok(())
    })
}

/// One more share of the same token; NULL for NULL. To be freed as well.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_cancel_ref(cancel: *const hangup_cancel) -> *mut hangup_cancel {
    or_default(std::ptr::null_mut(), || {
        Ok(hangup_cancel::give(Arc::clone(unsafe { hangup_cancel::borrow(cancel)? })))
    })
}

/// Gives the token a deadline, `ms` milliseconds from now, for everything that uses it or a child of it. Work
/// that it ends answers HANGUP_TIMED_OUT with the limit HANGUP_TIMEOUT_TOKEN. Of several deadlines the earliest
/// counts.
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

/// Fires the token. The first call counts: its `reason`, which may be NULL, stands in hangup_error_reason.
/// Never blocks; a NULL token is a no-op.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_cancel_fire(cancel: *mut hangup_cancel, reason: *const c_char) {
    let _ = status(|| {
        let cancel = unsafe { hangup_cancel::borrow(cancel)? };
        // A reason that can't be read must not keep the token from firing.
        cancel.fire(unsafe { text(reason, "reason") }.ok());
        Ok(())
    });
}

/// 1 if the token or one of its parents was fired or has passed its deadline, else 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_cancel_is_fired(cancel: *const hangup_cancel) -> i32 {
    or_default(0, || Ok(i32::from(unsafe { hangup_cancel::borrow(cancel)? }.is_fired())))
}

/// Gives one share back. NULL is a no-op. Work that uses the token goes on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_cancel_free(cancel: *mut hangup_cancel) {
    unsafe { hangup_cancel::free(cancel) }
}
