//! `hangup_text`: text that has no other handle to be borrowed from.

use std::ffi::{CString, c_char};
use std::sync::Arc;

use super::guard::{Handle, lend, magic, or_default};

/// A text that the library made.
///
/// Begins: hangup_client_cookies_for. Can: hangup_text_value. Ends: hangup_text_free.
/// Threads: immutable; any thread at any time.
pub struct hangup_text {
    _opaque: [u8; 0],
}

impl Handle for hangup_text {
    type Target = CString;
    const MAGIC: u64 = magic(b"hang-txt");
}

impl hangup_text {
    pub(super) fn begin(text: String) -> *mut Self {
        Self::give(Arc::new(CString::new(text).unwrap_or_default()))
    }
}

/// The text itself. `size` may be NULL; it gets the length without the NUL. Borrowed from the handle. "" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_text_value(
    text: *const hangup_text,
    size: *mut usize,
) -> *const c_char {
    or_default(c"".as_ptr(), || Ok(unsafe { lend(hangup_text::borrow(text)?, size) }))
}

/// Frees a text. NULL is a no-op.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_text_free(text: *mut hangup_text) {
    unsafe { hangup_text::free(text) }
}
