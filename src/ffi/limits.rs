//! `hangup_options`, and how C passes the limits of a manager.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::enums::{HANGUP_NO_LIMIT, hangup_limit, hangup_status};
use super::error::hangup_error;
use super::guard::{Handle, guard, magic, or_default};
use crate::error::Error;
use crate::manager::Limits;
use crate::sync::lock;
use crate::vocabulary::{Kind, Limit};

/// The limits of a manager that is to be created.
///
/// Create: hangup_options_new. Use: hangup_options_set_limit, hangup_manager_new. The manager copies them.
/// Free: hangup_options_free.
/// Threads: any thread at any time.
pub struct hangup_options {
    _opaque: [u8; 0],
}

impl Handle for hangup_options {
    type Target = Mutex<Limits>;
    const MAGIC: u64 = magic(b"hang-opt");
}

/// Options with the defaults. Free them with hangup_options_free.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_options_new() -> *mut hangup_options {
    or_default(std::ptr::null_mut(), || {
        Ok(hangup_options::into_raw(Arc::new(Mutex::new(Limits::default()))))
    })
}

/// Sets a limit, as hangup_manager_set_limit does for a manager.
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

/// Frees options. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_options_free(options: *mut hangup_options) {
    unsafe { hangup_options::free(options) }
}

/// The limits of the options.
pub(super) fn of(options: &Mutex<Limits>) -> Limits {
    *lock(options)
}

pub(super) fn change(limits: &mut Limits, limit: hangup_limit, value: i64) -> Result<(), Error> {
    let value = match value {
        HANGUP_NO_LIMIT => None,
        value => Some(u64::try_from(value).map_err(|_| {
            Error::new(Kind::InvalidArgument, "a limit is not negative; HANGUP_NO_LIMIT removes it")
        })?),
    };
    let limit = limit.get()?;
    if value == Some(0) {
        refuse_zero(limit)?;
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

/// The value that [`change`] would take. A count that i64 can't hold is no limit.
pub(super) fn value_of(limits: &Limits, limit: hangup_limit) -> Result<i64, Error> {
    let count = |count: usize| i64::try_from(count).unwrap_or(HANGUP_NO_LIMIT);
    // Rounded up: a limit of microseconds, set in Rust, is not zero.
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

/// Refuses a zero that the limit can't have, with a message that names the alternative in the header's terms.
fn refuse_zero(limit: Limit) -> Result<(), Error> {
    let (kind, instead) = match limit {
        Limit::Requests => (Kind::InvalidArgument, "give 1 or more"),
        Limit::IdleMs => {
            (Kind::InvalidTimeout, "HANGUP_LIMIT_IDLE_TOTAL of 0 keeps no idle connection")
        }
        Limit::AgeMs => (
            Kind::InvalidTimeout,
            "HANGUP_LIMIT_REQUESTS of 1 closes each connection after a request",
        ),
        Limit::KeepAliveMs => (Kind::InvalidTimeout, "give at least 1 ms"),
        // The core refuses those that would let no request pass.
        _ => return Ok(()),
    };
    let name = limit.name();
    let what = format!(
        "a limit {name} of 0 is refused: {instead}; HANGUP_NO_LIMIT (None in Python) removes the limit"
    );
    Err(Error::new(kind, what))
}
