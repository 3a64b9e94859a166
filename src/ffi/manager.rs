//! `hangup_manager`: its counters, and the functions that open and close connections.

use std::ffi::c_char;
use std::mem::offset_of;
use std::sync::Arc;
use std::time::Duration;

use super::enums::{hangup_close_mode, hangup_close_reason, hangup_limit, hangup_status};
use super::error::hangup_error;
use super::guard::{Handle, Report, count_to, guard, magic, or_default, out, report, status, text};
use super::limits::{self, hangup_options};
use super::milliseconds::limit_ms;
use crate::client::Client;
use crate::error::Error;
use crate::manager::{Limits, Manager};
use crate::vocabulary::Kind;

/// A connection manager: its open connections, their limits and their events.
///
/// Create: hangup_manager_new, or hangup_manager_shared for the one of the process, which is the default everywhere.
/// Use: hangup_manager_*. Clients, requests in progress, responses and event subscriptions keep it alive.
/// Free: hangup_manager_free. When nothing keeps it alive any more, its idle connections are closed.
/// Threads: any thread at any time.
pub struct hangup_manager {
    _opaque: [u8; 0],
}

impl Handle for hangup_manager {
    type Target = Manager;
    const MAGIC: u64 = magic(b"hang-mgr");
}

/// Counters of a manager since its creation. Initialise it with HANGUP_STATS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hangup_stats {
    /// In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled.
    pub size: usize,
    /// Open now: being dialled, in use and idle together.
    pub open: u64,
    /// Being resolved, connected or in a handshake now.
    pub dialling: u64,
    /// Serving an exchange now.
    pub in_use: u64,
    /// Idle now.
    pub idle: u64,
    /// Opened since the manager's creation.
    pub opened: u64,
    /// Closed since the manager's creation, for any reason.
    pub closed: u64,
    /// Requests that used an idle connection.
    pub reused: u64,
    /// Dials that failed, were cancelled or timed out.
    pub dials_failed: u64,
    /// Idle connections that the check at checkout found unusable: closed by the peer, with unexpected data, or silent.
    pub stale: u64,
    /// Requests waiting for a connection now.
    pub queued: u64,
    /// Idle connections that the check in the background found closed by the peer, with unexpected data, or silent.
    pub swept: u64,
    /// Requests that had to wait for a connection.
    pub waited: u64,
    /// Requests that were refused because too many were waiting (HANGUP_LIMIT_QUEUE).
    pub refused: u64,
    /// Requests that were sent again because a reused connection broke before the response.
    pub retried: u64,
}

// SAFETY: `repr(C)`, `size` first, and no padding: the fields of 64 bits come before pairs of 32.
unsafe impl Report for hangup_stats {
    const FIRST: usize = offset_of!(hangup_stats, retried) + size_of::<u64>();
}

/// The manager of the process, which C, C++ and Python code in it shares by default.
///
/// Returns a handle that must be freed with hangup_manager_free; NULL only after a defect in the library.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_manager_shared() -> *mut hangup_manager {
    or_default(std::ptr::null_mut(), || Ok(hangup_manager::into_raw(Manager::shared())))
}

/// A new manager. `options` may be NULL for the defaults.
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
        *place = hangup_manager::into_raw(Arc::new(Manager::new(limits)));
        Ok(())
    })
}

/// Sets a limit, at any time; HANGUP_NO_LIMIT removes it. A lower limit applies to idle connections at once and to the
/// others when their exchange ends; a higher one lets waiting requests continue.
///
/// Fails: HANGUP_INVALID_ARGUMENT for an unknown limit, a negative number, or 0 where the limit refuses it;
/// HANGUP_INVALID_TIMEOUT for 0 ms.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_set_limit(
    manager: *mut hangup_manager,
    limit: hangup_limit,
    value: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let manager = unsafe { hangup_manager::borrow(manager)? };
        manager.change_limits(|limits| limits::change(limits, limit, value))
    })
}

/// The value of a limit, as hangup_manager_set_limit takes it; HANGUP_NO_LIMIT if there is none.
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
        *place = limits::value_of(&limits, limit)?;
        Ok(())
    })
}

/// Another handle for the same manager, which must be freed as well. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_ref(manager: *const hangup_manager) -> *mut hangup_manager {
    or_default(std::ptr::null_mut(), || {
        Ok(hangup_manager::into_raw(Arc::clone(unsafe { hangup_manager::borrow(manager)? })))
    })
}

/// Frees a handle. NULL does nothing. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_free(manager: *mut hangup_manager) {
    unsafe { hangup_manager::free(manager) }
}

/// The number of the manager. Equal numbers are the same manager, in any language of the process. 0 for NULL.
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

/// Opens connections in the background until `wanted` connections to the origin are idle, within the limits. The origin is
/// for example "https://example.org"; the default port may be omitted. The settings are those of a new client: only clients
/// that set neither TLS nor proxy nor local address use these connections (otherwise see hangup_client_preconnect). `begun`
/// may be NULL; it is set to the number of dials that were started. Their outcome is visible in the connection list and in
/// the events.
///
/// Fails: HANGUP_INVALID_URL; HANGUP_INVALID_ARGUMENT for an invalid proxy in the environment; HANGUP_SHUT_DOWN;
/// HANGUP_SYSTEM if no thread could be started for any of them.
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

/// Closes one connection by its id. HANGUP_CLOSE_MODE_GRACEFUL lets an exchange in progress finish first;
/// HANGUP_CLOSE_MODE_NOW ends it with HANGUP_CLOSED.
///
/// Fails: HANGUP_NOT_FOUND if no connection with that id is open. Ids are never reused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_close_connection(
    manager: *mut hangup_manager,
    id: u64,
    mode: hangup_close_mode,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || unsafe { hangup_manager::borrow(manager)? }.close_connection(id, mode.get()?))
}

/// Closes the connections of one origin, for example "https://example.org"; the default port may be omitted. `closed` may be
/// NULL; it is set to the number of connections that were closed or, for HANGUP_CLOSE_MODE_GRACEFUL, marked.
///
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

/// Closes the connections that have been idle for at least `idle_for_ms` milliseconds; 0 closes all idle ones. Connections
/// in use are not affected. `closed` may be NULL; it is set to their number.
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

/// Closes every connection: idle ones at once, those in use as `mode` says. The manager can still be used. `closed` may be
/// NULL; it is set to the number of connections that were closed or marked.
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

/// To be called when the machine's network changed (another Wi-Fi, a VPN, wake-up from sleep): closes idle connections,
/// closes those in use after their exchange, and forgets resolved addresses and what is remembered of them. `closed` may be
/// NULL; it is set to the number of connections that were closed or marked. Requests are not retried.
///
/// On Linux the library notices most changes itself (hangup_manager_set_network_watch); this is for other systems, and for
/// changes that a program alone knows of.
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

/// With 1 (the default), the manager acts on changes of the network that the system tells of; with 0 it does not. Takes
/// effect at once; what changes while it is off is not made up for.
///
/// Linux tells of them through rtnetlink(7). When an address of this machine goes, or its interface is switched off, idle
/// connections from that address are closed (HANGUP_CLOSE_REASON_NETWORK_CHANGED), and those in use are closed after their
/// exchange. When an address goes or comes, or the default route is another one, resolved addresses are forgotten
/// (HANGUP_EVENT_TYPE_NETWORK_CHANGED), and connections for which the system would choose another local address now are closed,
/// too: a VPN has taken over the way to their peers. The others stay, and so do all of them when only a cable was pulled: they
/// live on if it is put back, and otherwise the address goes soon. Addresses of loopback and link-local ones concern their own
/// connections only.
///
/// It is noticed within half a second while connections are idle, and then also before each dial and before each request
/// that could not be sent again. All managers of a process share one descriptor, which is opened when a connection has
/// become idle, in the network namespace that the process has then, and closed when none is idle; the child of a fork opens
/// its own. Where a sandbox forbids netlink sockets nothing is noticed; a sandbox that ends a process for trying needs 0.
/// On other systems it does nothing: call hangup_manager_network_changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_set_network_watch(
    manager: *mut hangup_manager,
    on: i32,
) -> hangup_status {
    status(|| {
        unsafe { hangup_manager::borrow(manager)? }.set_network_watch(on != 0);
        Ok(())
    })
}

/// The setting of hangup_manager_set_network_watch: 1 or 0; 0 for NULL. It does not tell whether the system permits it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_network_watch(manager: *const hangup_manager) -> i32 {
    or_default(0, || Ok(unsafe { hangup_manager::borrow(manager)? }.network_watch().into()))
}

/// Forgets all resolved addresses, so that the next dial resolves again, and what is remembered of them: which one connected last,
/// and to which large packets get lost. Connections are not affected.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_clear_addresses(
    manager: *mut hangup_manager,
) -> hangup_status {
    status(|| {
        unsafe { hangup_manager::borrow(manager)? }.clear_addresses();
        Ok(())
    })
}

/// Why a connection was closed. The last 256 closed connections are remembered.
///
/// Fails: HANGUP_NOT_FOUND if it is open, never existed, or was closed too long ago.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_close_reason(
    manager: *const hangup_manager,
    id: u64,
    reason: *mut hangup_close_reason,
) -> hangup_status {
    status(|| {
        let place = unsafe { out(reason)? };
        let manager = unsafe { hangup_manager::borrow(manager)? };
        let why = manager.close_reason(id).ok_or_else(|| {
            Error::new(Kind::NotFound, format!("no ending of a connection {id} is remembered"))
        })?;
        *place = why.into();
        Ok(())
    })
}

/// Shuts the manager down after the exchanges in progress. From now on every request, also one that waits for a connection,
/// fails with HANGUP_SHUT_DOWN; idle connections are closed at once, the others when their exchange ends. Blocks this thread
/// until no connection is open, at most `timeout_ms`; HANGUP_NO_LIMIT waits without limit. A connection that was handed over
/// (hangup_stream) is open until its owner closes it; hangup_stream_is_closing tells the owner.
///
/// It can't be undone. It can be called again, from any thread; hangup_manager_shutdown ends the remaining exchanges.
/// Fails: HANGUP_TIMED_OUT, and hangup_error_open_connections is the number of open connections; HANGUP_INVALID_TIMEOUT for
/// zero or another negative number; HANGUP_CANCELLED if the thread's interrupt check ended the wait; HANGUP_SYSTEM.
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

/// Shuts the manager down at once, for good: every exchange ends with HANGUP_SHUT_DOWN, every connection is closed, and every
/// later request fails. Never blocks. Can be called again.
///
/// Shutting down the shared manager is legal, and final for the process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_shutdown(manager: *mut hangup_manager) -> hangup_status {
    status(|| {
        unsafe { hangup_manager::borrow(manager)? }.shutdown();
        Ok(())
    })
}
