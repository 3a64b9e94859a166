//! `hangup_options` and the limits of a manager.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::hangup_error;
use super::guard::{Handle, guard, magic, or_default};
use super::manager::hangup_manager;
use super::status::{HANGUP_NO_LIMIT, hangup_status};
use crate::error::{Error, Kind};
use crate::manager::Limits;

/// Settings for a new manager.
///
/// Begins: hangup_options_new. Can: hangup_options_limit. Ends: hangup_options_free; hangup_manager_new only reads it.
/// Threads: any thread at any time.
pub struct hangup_options {
    _opaque: [u8; 0],
}

impl Handle for hangup_options {
    type Target = Mutex<Limits>;
    const MAGIC: u64 = magic(b"hang-opt");
}

/// Which limit of a manager.
pub type hangup_limit = i32;
/// Idle connections in all. Default 256; 0 keeps none. Over it, the least recently used one is closed.
pub const HANGUP_LIMIT_IDLE_TOTAL: hangup_limit = 3;
/// Idle connections of one origin. Default 64; 0 keeps none.
pub const HANGUP_LIMIT_IDLE_PER_ORIGIN: hangup_limit = 4;
/// How long a connection may be idle, in milliseconds. Default 90,000; zero is refused. Looked at whenever
/// the manager is used.
pub const HANGUP_LIMIT_IDLE_MS: hangup_limit = 6;

/// Sets one limit (HANGUP_LIMIT_*), at any time; HANGUP_NO_LIMIT takes it away. A lowered limit applies to what
/// is idle at once.
///
/// Fails: HANGUP_INVALID_ARGUMENT (unknown limit, negative number), HANGUP_INVALID_TIMEOUT (0 ms).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_limit(
    manager: *mut hangup_manager,
    limit: hangup_limit,
    value: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let manager = unsafe { hangup_manager::borrow(manager)? };
        manager.change_limits(|limits| change(limits, limit, value))
    })
}

/// Options with the defaults. To be freed with hangup_options_free.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_options_new() -> *mut hangup_options {
    or_default(std::ptr::null_mut(), || {
        Ok(hangup_options::give(Arc::new(Mutex::new(Limits::default()))))
    })
}

/// Sets one limit, as hangup_manager_limit does on a manager.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_options_limit(
    options: *mut hangup_options,
    limit: hangup_limit,
    value: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let limits = unsafe { hangup_options::borrow(options)? };
        change(&mut lock(limits), limit, value)
    })
}

/// Frees options. NULL is a no-op.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_options_free(options: *mut hangup_options) {
    unsafe { hangup_options::free(options) }
}

/// A copy of what the options hold.
pub(super) fn of(options: &Mutex<Limits>) -> Limits {
    *lock(options)
}

/// Every value of `Limits` is legal by itself, so a panic in between leaves nothing half done.
fn lock(limits: &Mutex<Limits>) -> MutexGuard<'_, Limits> {
    limits.lock().unwrap_or_else(PoisonError::into_inner)
}

fn change(limits: &mut Limits, limit: hangup_limit, value: i64) -> Result<(), Error> {
    let value = match value {
        HANGUP_NO_LIMIT => None,
        value => Some(u64::try_from(value).map_err(|_| {
            Error::new(
                Kind::InvalidArgument,
                "a limit is not negative; HANGUP_NO_LIMIT takes it away",
            )
        })?),
    };
    let count = || value.map_or(usize::MAX, |value| usize::try_from(value).unwrap_or(usize::MAX));
    match limit {
        HANGUP_LIMIT_IDLE_TOTAL => limits.idle_total = count(),
        HANGUP_LIMIT_IDLE_PER_ORIGIN => limits.idle_per_origin = count(),
        HANGUP_LIMIT_IDLE_MS if value == Some(0) => {
            let what = "an idle limit of 0 ms: use HANGUP_NO_LIMIT for none, or HANGUP_LIMIT_IDLE_TOTAL 0 to keep no connection";
            return Err(Error::new(Kind::InvalidTimeout, what));
        }
        HANGUP_LIMIT_IDLE_MS => limits.idle_for = value.map(Duration::from_millis),
        other => {
            let what = format!("limit {other} is not known: use one of HANGUP_LIMIT_*");
            return Err(Error::new(Kind::InvalidArgument, what));
        }
    }
    Ok(())
}
