//! `hangup_options` and the limits of a manager.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::hangup_error;
use super::guard::{Handle, guard, magic, or_default, out, status};
use super::manager::hangup_manager;
use super::status::{HANGUP_NO_LIMIT, hangup_status};
use crate::error::Error;
use crate::manager::Limits;
use crate::vocabulary::Kind;

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

/// Which limit of a manager. HANGUP_NO_LIMIT takes each of them away.
pub type hangup_limit = i32;
/// Open connections in all: being dialled, in use and idle. Default: no limit; 0 is refused (hangup_manager_drain
/// and hangup_manager_shutdown end a manager). At the limit the least recently used idle connection makes room;
/// without one, requests queue, for at most HANGUP_TIMEOUT_POOL.
pub const HANGUP_LIMIT_TOTAL: hangup_limit = 1;
/// Open connections of one origin, counted as HANGUP_LIMIT_TOTAL does. Default: no limit; 0 is refused.
pub const HANGUP_LIMIT_PER_ORIGIN: hangup_limit = 2;
/// Idle connections in all. Default 256; 0 keeps none. Over it, the least recently used one is closed.
pub const HANGUP_LIMIT_IDLE_TOTAL: hangup_limit = 3;
/// Idle connections of one origin. Default 64; 0 keeps none.
pub const HANGUP_LIMIT_IDLE_PER_ORIGIN: hangup_limit = 4;
/// Requests that may wait for a connection. Default 10,000; one more answers HANGUP_QUEUE_FULL at once. With 0
/// nobody waits.
pub const HANGUP_LIMIT_QUEUE: hangup_limit = 5;
/// How long a connection may be idle, in milliseconds. Default 90,000; zero is refused. Looked at in the
/// background.
pub const HANGUP_LIMIT_IDLE_MS: hangup_limit = 6;
/// How old a connection may become, in milliseconds; each one gets up to a tenth less, so that those that were
/// opened together don't close together. Default: no limit; zero is refused. It is closed between exchanges,
/// never inside one.
pub const HANGUP_LIMIT_AGE_MS: hangup_limit = 7;
/// Requests that one connection may serve. Default: no limit; 0 is refused. It is closed after the last one.
pub const HANGUP_LIMIT_REQUESTS: hangup_limit = 8;
/// After how many milliseconds of silence the kernel probes whether the peer is still there (SO_KEEPALIVE,
/// tcp(7)), for connections that are opened from now on. Default 15,000; zero is refused; HANGUP_NO_LIMIT: never.
pub const HANGUP_LIMIT_KEEP_ALIVE_MS: hangup_limit = 9;

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
    let count = || value.map_or(usize::MAX, |value| usize::try_from(value).unwrap_or(usize::MAX));
    let time = || value.map(Duration::from_millis);
    match limit {
        HANGUP_LIMIT_TOTAL => limits.total = count(),
        HANGUP_LIMIT_PER_ORIGIN => limits.per_origin = count(),
        HANGUP_LIMIT_IDLE_TOTAL => limits.idle_total = count(),
        HANGUP_LIMIT_IDLE_PER_ORIGIN => limits.idle_per_origin = count(),
        HANGUP_LIMIT_QUEUE => limits.queue = count(),
        HANGUP_LIMIT_IDLE_MS => limits.idle_for = time(),
        HANGUP_LIMIT_AGE_MS => limits.max_age = time(),
        HANGUP_LIMIT_REQUESTS => limits.max_requests = value,
        HANGUP_LIMIT_KEEP_ALIVE_MS => limits.keep_alive = time(),
        other => return Err(unknown_limit(other)),
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
    Ok(match limit {
        HANGUP_LIMIT_TOTAL => count(limits.total),
        HANGUP_LIMIT_PER_ORIGIN => count(limits.per_origin),
        HANGUP_LIMIT_IDLE_TOTAL => count(limits.idle_total),
        HANGUP_LIMIT_IDLE_PER_ORIGIN => count(limits.idle_per_origin),
        HANGUP_LIMIT_QUEUE => count(limits.queue),
        HANGUP_LIMIT_IDLE_MS => time(limits.idle_for),
        HANGUP_LIMIT_AGE_MS => time(limits.max_age),
        HANGUP_LIMIT_REQUESTS => limits.max_requests.map_or(HANGUP_NO_LIMIT, requests),
        HANGUP_LIMIT_KEEP_ALIVE_MS => time(limits.keep_alive),
        other => return Err(unknown_limit(other)),
    })
}

fn unknown_limit(limit: hangup_limit) -> Error {
    let what = format!("limit {limit} is not known: use one of HANGUP_LIMIT_*");
    Error::new(Kind::InvalidArgument, what)
}
