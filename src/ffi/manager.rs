//! `hangup_manager`: the pool, and how connections are closed.

use std::ffi::c_char;
use std::mem::offset_of;
use std::sync::Arc;
use std::time::Duration;

use super::enums::{hangup_close_mode, hangup_close_reason, hangup_status};
use super::error::hangup_error;
use super::guard::{Handle, Report, count_to, guard, magic, or_default, out, report, status, text};
use super::limits::{self, hangup_options};
use super::milliseconds::limit_ms;
use crate::client::Client;
use crate::error::Error;
use crate::manager::{Limits, Manager};
use crate::vocabulary::Kind;

/// The pool: every open connection, its limits and its clocks.
///
/// Begins: hangup_manager_shared (one for the whole process, the default everywhere) or hangup_manager_new.
/// Can: list, close, count, limit, tell its events, drain. Clients, requests in progress and responses keep it alive.
/// Ends: hangup_manager_free gives one share back; the last one closes the idle connections.
/// Threads: any thread at any time.
pub struct hangup_manager {
    _opaque: [u8; 0],
}

impl Handle for hangup_manager {
    type Target = Manager;
    const MAGIC: u64 = magic(b"hang-mgr");
}

/// Counters of a manager since it began. Begin it with HANGUP_STATS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hangup_stats {
    /// In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled.
    pub size: usize,
    /// Open now: dialling, in use and idle together.
    pub open: u64,
    /// Being resolved, connected or in a handshake now.
    pub dialling: u64,
    /// Serving an exchange now.
    pub in_use: u64,
    /// Idle now.
    pub idle: u64,
    /// Opened since the beginning.
    pub opened: u64,
    /// Closed since the beginning, for whatever reason.
    pub closed: u64,
    /// Requests that found an idle connection.
    pub reused: u64,
    /// Dials that failed, were cancelled or timed out.
    pub dials_failed: u64,
    /// Idle connections that the look at checkout found dead.
    pub stale: u64,
    /// Requests waiting for a connection now.
    pub queued: u64,
    /// Idle connections that the look in the background found closed by the peer, or talking.
    pub swept: u64,
    /// Requests that had to wait for a connection.
    pub waited: u64,
    /// Requests that were refused because the queue was full.
    pub refused: u64,
    /// Requests that were sent again, because a kept connection broke before the response.
    pub retried: u64,
}

// SAFETY: `repr(C)`, `size` first, and no padding: the fields of 64 bits come before pairs of 32.
unsafe impl Report for hangup_stats {
    const FIRST: usize = offset_of!(hangup_stats, retried) + size_of::<u64>();
}

/// The process's own manager: C, C++ and Python code that names none shares this one.
///
/// Returns a new share, to be given back with hangup_manager_free; NULL only after a defect in the library.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_manager_shared() -> *mut hangup_manager {
    or_default(std::ptr::null_mut(), || Ok(hangup_manager::give(Manager::shared())))
}

/// A manager of one's own. `options` may be NULL: the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_new(
    options: *const hangup_options,
    manager: *mut *mut hangup_manager,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let place = unsafe { out(manager)? };
        let limits = if options.is_null() {
            Limits::default()
        } else {
            limits::of(unsafe { hangup_options::borrow(options)? })
        };
        *place = hangup_manager::give(Arc::new(Manager::new(limits)));
        Ok(())
    })
}

/// One more share of the same manager; NULL for NULL. To be freed as well.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_ref(manager: *const hangup_manager) -> *mut hangup_manager {
    or_default(std::ptr::null_mut(), || {
        Ok(hangup_manager::give(Arc::clone(unsafe { hangup_manager::borrow(manager)? })))
    })
}

/// Gives one share back. NULL is a no-op. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_free(manager: *mut hangup_manager) {
    unsafe { hangup_manager::free(manager) }
}

/// The manager's number. Equal numbers mean the same manager, whoever asks: C, C++, Python or another language
/// in this process. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_id(manager: *const hangup_manager) -> u64 {
    or_default(0, || Ok(unsafe { hangup_manager::borrow(manager)? }.id()))
}

/// Fills the counters. `stats->size` is sizeof(*stats) or 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_stats(
    manager: *const hangup_manager,
    stats: *mut hangup_stats,
) -> hangup_status {
    status(|| {
        let now = unsafe { hangup_manager::borrow(manager)? }.stats();
        let filled = hangup_stats {
            size: size_of::<hangup_stats>(),
            open: now.dialling + now.in_use + now.idle,
            dialling: now.dialling,
            in_use: now.in_use,
            idle: now.idle,
            opened: now.opened,
            closed: now.closed,
            reused: now.reused,
            dials_failed: now.dials_failed,
            stale: now.stale,
            queued: now.queued,
            swept: now.swept,
            waited: now.waited,
            refused: now.refused,
            retried: now.retried,
        };
        unsafe { report(stats, filled) }
    })
}

/// Dials ahead, in the background, until `wanted` connections to the origin ("https://example.org", the default port
/// may be left out) are idle, within the limits and with the settings of a new client: only clients that set neither
/// TLS nor proxy nor local address find them (hangup_client_preconnect is for the others). `begun` may be NULL; it gets
/// the number of dials that were begun. What becomes of them is seen in the list and in the events.
///
/// Fails: HANGUP_INVALID_URL, HANGUP_INVALID_ARGUMENT for a proxy of the environment that is none, HANGUP_SHUT_DOWN,
/// HANGUP_SYSTEM without a thread for any of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_preconnect(
    manager: *mut hangup_manager,
    origin: *const c_char,
    wanted: usize,
    begun: *mut usize,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let manager = unsafe { hangup_manager::borrow(manager)? };
        let origin = unsafe { text(origin, "origin")? };
        let count = Client::new(Arc::clone(manager)).preconnect(origin, wanted)?;
        unsafe { count_to(begun, count) };
        Ok(())
    })
}

/// Closes one connection by its id. HANGUP_CLOSE_MODE_GRACEFUL lets an exchange in progress finish well first; HANGUP_CLOSE_MODE_NOW
/// ends it with HANGUP_CLOSED.
///
/// Fails: HANGUP_NOT_FOUND if no connection with that id is open (ids are never used again).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_close_connection(
    manager: *mut hangup_manager,
    id: u64,
    mode: hangup_close_mode,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || unsafe { hangup_manager::borrow(manager)? }.close_connection(id, mode.get()?))
}

/// Closes the connections of one origin ("https://example.org", the default port may be left out).
///
/// `closed` may be NULL; it gets the number of connections that were closed or, for HANGUP_CLOSE_MODE_GRACEFUL, marked.
/// Fails: HANGUP_INVALID_URL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_close_origin(
    manager: *mut hangup_manager,
    origin: *const c_char,
    mode: hangup_close_mode,
    closed: *mut usize,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let manager = unsafe { hangup_manager::borrow(manager)? };
        let origin = unsafe { text(origin, "origin")? };
        let count = manager.close_origin(origin, mode.get()?)?;
        unsafe { count_to(closed, count) };
        Ok(())
    })
}

/// Closes the connections that have been idle for at least `idle_for_ms` milliseconds; 0 means every idle one.
/// Connections in use are not touched. `closed` may be NULL.
///
/// Fails: HANGUP_INVALID_ARGUMENT for a negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_close_idle(
    manager: *mut hangup_manager,
    idle_for_ms: i64,
    closed: *mut usize,
) -> hangup_status {
    status(|| {
        let manager = unsafe { hangup_manager::borrow(manager)? };
        let idle_for = u64::try_from(idle_for_ms).map_err(|_| {
            Error::new(
                Kind::InvalidArgument,
                "idle_for_ms is negative; 0 means every idle connection",
            )
        })?;
        let count = manager.close_idle(Duration::from_millis(idle_for));
        unsafe { count_to(closed, count) };
        Ok(())
    })
}

/// Closes every connection: idle ones at once, those in use as `mode` says. The manager can be used on.
/// `closed` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_close_all(
    manager: *mut hangup_manager,
    mode: hangup_close_mode,
    closed: *mut usize,
) -> hangup_status {
    status(|| {
        let manager = unsafe { hangup_manager::borrow(manager)? };
        let count = manager.close_all(mode.get()?);
        unsafe { count_to(closed, count) };
        Ok(())
    })
}

/// The network is another one now (another Wi-Fi, a VPN, back from sleep): closes what is idle, has what is in use
/// closed after its exchange, and forgets the addresses that were looked up. `closed` may be NULL; it gets the number
/// of connections that were closed or marked. Nothing is asked again by itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_network_changed(
    manager: *mut hangup_manager,
    closed: *mut usize,
) -> hangup_status {
    status(|| {
        let count = unsafe { hangup_manager::borrow(manager)? }.network_changed();
        unsafe { count_to(closed, count) };
        Ok(())
    })
}

/// Forgets every address that was looked up: the next dial asks again. Connections are not touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_clear_addresses(
    manager: *mut hangup_manager,
) -> hangup_status {
    status(|| {
        unsafe { hangup_manager::borrow(manager)? }.clear_addresses();
        Ok(())
    })
}

/// Why a connection ended: `reason` gets one of HANGUP_CLOSE_REASON_*. The last 256 that ended are remembered.
///
/// Fails: HANGUP_NOT_FOUND if it is still open, never was, or ended too long ago.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_close_reason(
    manager: *const hangup_manager,
    id: u64,
    reason: *mut hangup_close_reason,
) -> hangup_status {
    status(|| {
        let place = unsafe { out(reason)? };
        let manager = unsafe { hangup_manager::borrow(manager)? };
        let why = manager.why_closed(id).ok_or_else(|| {
            Error::new(Kind::NotFound, format!("no ending of a connection {id} is remembered"))
        })?;
        *place = why.into();
        Ok(())
    })
}

/// Ends the manager, but lets what runs finish: from now on every request is refused with HANGUP_SHUT_DOWN, those
/// that wait for a connection too; what is idle is closed at once, the rest when its exchange ends. Blocks this thread
/// until nothing is open any more, at most `timeout_ms`; HANGUP_NO_LIMIT: for as long as it takes.
///
/// There is no way back. It can be called again, from any thread; hangup_manager_shutdown ends what is left.
/// Fails: HANGUP_TIMED_OUT, and hangup_error_open_connections says how many connections are left; HANGUP_INVALID_TIMEOUT for zero
/// or another negative number; HANGUP_CANCELLED if the thread's interrupt check ended the wait; HANGUP_SYSTEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_drain(
    manager: *mut hangup_manager,
    timeout_ms: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let manager = unsafe { hangup_manager::borrow(manager)? };
        manager.drain(limit_ms(timeout_ms)?)
    })
}

/// Ends the manager now, for good: every exchange ends with HANGUP_SHUT_DOWN, every connection is closed and
/// every later request is refused. Never blocks. Twice is once.
///
/// Shutting down the shared manager is legal, and final for the process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_shutdown(manager: *mut hangup_manager) -> hangup_status {
    status(|| {
        unsafe { hangup_manager::borrow(manager)? }.shutdown();
        Ok(())
    })
}
