//! Ownership of C handles: one Rust value owns a handle and frees it once.

use std::ptr::NonNull;

use crate::sys;

/// A handle type of the header, and its `_free` function.
pub trait Handle: Sized {
    /// `hangup_x_free`: never blocks, and is legal on any thread.
    const FREE: unsafe extern "C" fn(*mut Self);
}

macro_rules! handles {
    ($($name:ident: $free:ident,)*) => {
        $(impl Handle for sys::$name {
            const FREE: unsafe extern "C" fn(*mut Self) = sys::$free;
        })*
    };
}

handles! {
    hangup_cancel: hangup_cancel_free,
    hangup_client: hangup_client_free,
    hangup_connections: hangup_connections_free,
    hangup_cookies: hangup_cookies_free,
    hangup_error: hangup_error_free,
    hangup_events: hangup_events_free,
    hangup_manager: hangup_manager_free,
    hangup_options: hangup_options_free,
    hangup_form: hangup_form_free,
    hangup_progress: hangup_progress_free,
    hangup_queue: hangup_queue_free,
    hangup_request: hangup_request_free,
    hangup_response: hangup_response_free,
    hangup_stream: hangup_stream_free,
    hangup_string: hangup_string_free,
    hangup_tls: hangup_tls_free,
    hangup_upload: hangup_upload_free,
}

/// An owned handle of the C library.
pub struct Owned<T: Handle>(NonNull<T>);

// SAFETY: the header lets every handle move between threads. A handle of the class "one thread at a time"
// returns HANGUP_INVALID_STATE to a second thread, so that sharing it is an error and not a data race.
unsafe impl<T: Handle> Send for Owned<T> {}
// SAFETY: as above.
unsafe impl<T: Handle> Sync for Owned<T> {}

impl<T: Handle> Owned<T> {
    /// Takes ownership of a handle that the library returned; `None` for NULL.
    pub fn new(pointer: *mut T) -> Option<Self> {
        NonNull::new(pointer).map(Owned)
    }

    pub fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }

    /// The pointer as a number, for ctypes and cffi.
    pub fn address(&self) -> usize {
        self.as_ptr() as usize
    }
}

impl<T: Handle> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: this value is the only owner of the handle, and it is not used again.
        unsafe { T::FREE(self.as_ptr()) }
    }
}
