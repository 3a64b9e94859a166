//! `hangup_options` and the limits of a manager.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::enums::{HANGUP_NO_LIMIT, hangup_limit, hangup_status};
use super::error::hangup_error;
use super::guard::{Handle, guard, magic, or_default, out, status};
use super::manager::hangup_manager;
use crate::error::Error;
use crate::manager::Limits;
use crate::vocabulary::{Kind, Limit};

/// Settings for a new manager.
///
/// Begins: hangup_options_new. Can: hangup_options_set_limit. Ends: hangup_options_free; hangup_manager_new only reads it.
/// Threads: any thread at any time.
pub struct hangup_options {
    _opaque: [u8; 0],
}

impl Handle for hangup_options {
    type Target = Mutex<Limits>;
    const MAGIC: u64 = magic(b"hang-opt");
}

/// Sets one limit (HANGUP_LIMIT_*), at any time; HANGUP_NO_LIMIT takes it away. A lowered limit applies to what
/// is idle at once and to the rest when its exchange ends; a raised one lets in who waits.
///
/// Fails: HANGUP_INVALID_ARGUMENT (unknown limit, negative number, 0 where the limit refuses it),
/// HANGUP_INVALID_TIMEOUT (0 ms).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_set_limit(
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

/// Tells one limit (HANGUP_LIMIT_*): `value` gets what hangup_manager_set_limit would set; HANGUP_NO_LIMIT is none.
///
/// Fails: HANGUP_INVALID_ARGUMENT for an unknown limit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_limit(
    manager: *const hangup_manager,
    limit: hangup_limit,
    value: *mut i64,
) -> hangup_status {
    status(|| {
        let place = unsafe { out(value)? };
        let limits = unsafe { hangup_manager::borrow(manager)? }.limits();
        *place = value_of(&limits, limit)?;
        Ok(())
    })
}

/// Options with the defaults. To be freed with hangup_options_free.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_options_new() -> *mut hangup_options {
    or_default(std::ptr::null_mut(), || {
        Ok(hangup_options::give(Arc::new(Mutex::new(Limits::default()))))
    })
}

/// Sets one limit, as hangup_manager_set_limit does on a manager.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_options_set_limit(
    options: *mut hangup_options,
    limit: hangup_limit,
    value: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let mut limits = lock(unsafe { hangup_options::borrow(options)? });
        let mut changed = *limits;
        change(&mut changed, limit, value)?;
        changed.check()?;
        *limits = changed;
        Ok(())
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
    let limit = limit.get()?;
    if value == Some(0) {
        zero_ms(limit)?;
    }
    let count = || value.map_or(usize::MAX, |value| usize::try_from(value).unwrap_or(usize::MAX));
    let time = || value.map(Duration::from_millis);
    match limit {
        Limit::Total => limits.total = count(),
        Limit::PerOrigin => limits.per_origin = count(),
        Limit::IdleTotal => limits.idle_total = count(),
        Limit::IdlePerOrigin => limits.idle_per_origin = count(),
        Limit::Queue => limits.queue = count(),
        Limit::IdleMs => limits.idle_for = time(),
        Limit::AgeMs => limits.max_age = time(),
        Limit::Requests => limits.max_requests = value,
        Limit::KeepAliveMs => limits.keep_alive = time(),
    }
    Ok(())
}

/// What `change` would be given to set it so. A count that i64 can't hold is no limit that is ever met.
fn value_of(limits: &Limits, limit: hangup_limit) -> Result<i64, Error> {
    let count = |count: usize| i64::try_from(count).unwrap_or(HANGUP_NO_LIMIT);
    // Up, as a Rust caller's microseconds are not zero.
    let ms = |time: Duration| i64::try_from(time.as_nanos().div_ceil(1_000_000));
    let time = |time: Option<Duration>| time.map_or(HANGUP_NO_LIMIT, |t| ms(t).unwrap_or(i64::MAX));
    let requests = |most: u64| i64::try_from(most).unwrap_or(i64::MAX);
    Ok(match limit.get()? {
        Limit::Total => count(limits.total),
        Limit::PerOrigin => count(limits.per_origin),
        Limit::IdleTotal => count(limits.idle_total),
        Limit::IdlePerOrigin => count(limits.idle_per_origin),
        Limit::Queue => count(limits.queue),
        Limit::IdleMs => time(limits.idle_for),
        Limit::AgeMs => time(limits.max_age),
        Limit::Requests => limits.max_requests.map_or(HANGUP_NO_LIMIT, requests),
        Limit::KeepAliveMs => time(limits.keep_alive),
    })
}

/// Refuses a time of zero, in the terms of the header.
fn zero_ms(limit: Limit) -> Result<(), Error> {
    let instead = match limit {
        Limit::IdleMs => "HANGUP_LIMIT_IDLE_TOTAL of 0 keeps no idle connection",
        Limit::AgeMs => "HANGUP_LIMIT_REQUESTS of 1 closes each connection after one request",
        Limit::KeepAliveMs => "HANGUP_NO_LIMIT never probes",
        _ => return Ok(()),
    };
    let what = format!("a limit of 0 ms is refused: HANGUP_NO_LIMIT removes it; {instead}");
    Err(Error::new(Kind::InvalidTimeout, what))
}
