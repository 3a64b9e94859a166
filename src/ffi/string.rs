//! `hangup_string`: a string that can't be borrowed from another handle.

use std::ffi::{CString, c_char};
use std::sync::Arc;

use super::guard::{Handle, magic, or_default, write_str};

/// A string that the caller owns.
///
/// Create: hangup_client_cookies_for. Use: hangup_string_value. Free: hangup_string_free.
/// Threads: immutable; any thread at any time.
pub struct hangup_string {
    _opaque: [u8; 0],
}

impl Handle for hangup_string {
    type Target = CString;
    const MAGIC: u64 = magic(b"hang-txt");
}

impl hangup_string {
    pub(super) fn begin(text: String) -> *mut Self {
        Self::into_raw(Arc::new(CString::new(text).unwrap_or_default()))
    }
}

/// The string. `size` may be NULL; it is set to the length without the NUL. Borrowed from the handle. "" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_string_value(
    text: *const hangup_string,
    size: *mut usize,
) -> *const c_char {
    or_default(c"".as_ptr(), || Ok(unsafe { write_str(hangup_string::borrow(text)?, size) }))
}

/// Frees a string. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_string_free(text: *mut hangup_string) {
    unsafe { hangup_string::free(text) }
}
