//! Handles: the opaque pointers by which C holds the library's objects.
//!
//! A handle owns one share of its object. A magic number at its beginning finds handles of another type and, mostly,
//! handles that were freed. With `guard.rs` this is where pointers that C passed become references.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::error::Error;
use crate::vocabulary::Kind;

/// What a handle points to: the magic tells a foreign or freed handle from a live one.
pub(super) struct HandleBox<T> {
    magic: u64,
    target: Arc<T>,
}

/// A C handle: an opaque pointer that owns one share of a `Target`.
///
/// `Send + Sync` is what makes "any thread" in the header true; the types that are for one
/// thread at a time check that themselves and return `HANGUP_INVALID_STATE`.
pub(super) trait Handle: Sized {
    type Target: Send + Sync + 'static;
    const MAGIC: u64;

    /// Hands a share to C. It comes back through [`Handle::free`].
    fn into_raw(target: Arc<Self::Target>) -> *mut Self {
        Box::into_raw(Box::new(HandleBox { magic: Self::MAGIC, target })).cast()
    }

    /// # Safety
    /// `handle` is NULL or points to at least eight readable bytes; a live handle of this
    /// type stays alive for `'a` (the header's contract: not freed during the call).
    unsafe fn borrow<'a>(handle: *const Self) -> Result<&'a Arc<Self::Target>, Error> {
        if handle.is_null() {
            return Err(Error::new(Kind::Null, format!("a NULL {}", name::<Self>())));
        }
        let boxed = handle.cast::<HandleBox<Self::Target>>();
        // SAFETY: not NULL, and every handle of this library begins with its magic. It is read
        // alone first: only if it is ours may the rest be looked at.
        let magic = unsafe { (&raw const (*boxed).magic).read_unaligned() };
        if magic != Self::MAGIC || !boxed.is_aligned() {
            let what = format!("not a live {}: freed, or a handle of another type", name::<Self>());
            return Err(Error::new(Kind::BadHandle, what));
        }
        // SAFETY: the magic says `into_raw` made it and `free` has not taken it back.
        Ok(unsafe { &(*boxed).target })
    }

    /// # Safety
    /// As for [`Handle::borrow`], and the handle is not used afterwards.
    unsafe fn free(handle: *mut Self) {
        let _here = Uncancelled::begin();
        let _ = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: as for the caller.
            if unsafe { Self::borrow(handle) }.is_err() {
                return;
            }
            let boxed = handle.cast::<HandleBox<Self::Target>>();
            // SAFETY: live, so made by `Box::into_raw` in `into_raw`; the magic is wiped first (volatile:
            // the write is for a later misuse to find, which the optimiser may not assume).
            unsafe {
                (&raw mut (*boxed).magic).write_volatile(0);
                drop(Box::from_raw(boxed));
            }
        }));
    }
}

/// Runs a body that only reads memory; `default` if it fails or panics. No system call is made, so there is no
/// cancellation point.
pub(super) fn query<T>(default: T, body: impl FnOnce() -> Result<T, Error>) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => value,
        Ok(Err(_)) | Err(_) => default,
    }
}

/// While it lives, this thread is not cancelled (pthread_cancel(3)): that unwinds the stack, which ends the process
/// where it meets Rust, and would leave locks and slots behind if it did not. poll(2), recv(2) and close(2), among
/// others, are cancellation points. A thread that was cancelled meanwhile ends at its next one after that.
pub(super) struct Uncancelled {
    #[cfg(target_os = "linux")]
    before: std::ffi::c_int,
}

impl Uncancelled {
    /// It takes no system call.
    #[cfg(target_os = "linux")]
    pub(super) fn begin() -> Self {
        let mut before = 0;
        // SAFETY: a state of the two there are, and a place for the other.
        unsafe {
            pthread::pthread_setcancelstate(pthread::PTHREAD_CANCEL_DISABLE, &raw mut before)
        };
        Self { before }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn begin() -> Self {
        Self {}
    }
}

#[cfg(target_os = "linux")]
impl Drop for Uncancelled {
    fn drop(&mut self) {
        // SAFETY: the state that it had, and a place for the other.
        unsafe { pthread::pthread_setcancelstate(self.before, &raw mut self.before) };
    }
}

/// glibc's and musl's: the crate libc has these for other systems only.
///
/// cbindgen:ignore
#[cfg(target_os = "linux")]
mod pthread {
    use std::ffi::c_int;

    unsafe extern "C" {
        pub(super) fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
    }
    pub(super) const PTHREAD_CANCEL_DISABLE: c_int = 1;
}

/// Eight letters as a number that memory rarely holds by chance.
pub(super) const fn magic(letters: &[u8; 8]) -> u64 {
    u64::from_ne_bytes(*letters)
}

fn name<T>() -> &'static str {
    std::any::type_name::<T>().rsplit("::").next().unwrap_or("handle")
}
