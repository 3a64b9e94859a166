//! `hangup_client`: settings for requests over a manager, and the functions that send.

use std::ffi::c_char;
use std::sync::Arc;

use super::enums::{HANGUP_NO_LIMIT, hangup_connection_mode, hangup_status, hangup_timeout};
use super::error::hangup_error;
use super::guard::{Handle, count_to, guard, magic, or_default, out, text, text_bytes};
use super::manager::hangup_manager;
use super::milliseconds::{limit_ms, positive_ms};
use super::request::{hangup_request, lock as lock_request};
use super::response::hangup_response;
use crate::client::Client;
use crate::manager::Manager;
use crate::request::Request;

/// Settings for requests, over a manager: timeouts, headers, redirects, cookies, TLS, proxy. Several clients can share a
/// manager.
///
/// Create: hangup_client_new. Use: hangup_client_set_*, hangup_client_send, hangup_client_submit. A setting applies to
/// requests that are sent or submitted later.
/// Free: hangup_client_free. Requests in progress go on.
/// Threads: any thread at any time.
pub struct hangup_client {
    _opaque: [u8; 0],
}

impl Handle for hangup_client {
    type Target = Client;
    const MAGIC: u64 = magic(b"hang-cli");
}

/// A new client. `manager` may be NULL for the shared manager.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_new(
    manager: *mut hangup_manager,
    client: *mut *mut hangup_client,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let place = unsafe { out(client)? };
        let manager = if manager.is_null() {
            Manager::shared()
        } else {
            Arc::clone(unsafe { hangup_manager::borrow(manager)? })
        };
        *place = hangup_client::into_raw(Arc::new(Client::new(manager)));
        Ok(())
    })
}

/// Another handle for the same client, which must be freed as well. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_ref(client: *const hangup_client) -> *mut hangup_client {
    or_default(std::ptr::null_mut(), || {
        Ok(hangup_client::into_raw(Arc::clone(unsafe { hangup_client::borrow(client)? })))
    })
}

/// Frees a handle. NULL does nothing. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_free(client: *mut hangup_client) {
    unsafe { hangup_client::free(client) }
}

/// The client's manager, as a new handle that must be freed. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_manager(
    client: *const hangup_client,
) -> *mut hangup_manager {
    or_default(std::ptr::null_mut(), || {
        let client = unsafe { hangup_client::borrow(client)? };
        Ok(hangup_manager::into_raw(Arc::clone(client.manager())))
    })
}

/// Sets the default of a timeout (HANGUP_TIMEOUT_TOTAL to HANGUP_TIMEOUT_READ) in milliseconds; HANGUP_NO_LIMIT removes it.
///
/// Fails: HANGUP_INVALID_TIMEOUT for zero or another negative number; HANGUP_INVALID_ARGUMENT for another timeout.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_timeout(
    client: *mut hangup_client,
    which: hangup_timeout,
    ms: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        let (clock, limit) = (which.get_settable()?, limit_ms(ms)?);
        client.set_timeout(clock, limit)
    })
}

/// Sets a header for every request that has no header of that name. It replaces an earlier value. NULL as value removes it, and
/// what the library would add under that name: Accept-Encoding, Cookie, and Authorization from a URL's user information. The
/// defaults are User-Agent and Accept. They are sent behind the request's own headers.
///
/// Fails: HANGUP_INVALID_HEADER, also for Host, Connection, Content-Length and Transfer-Encoding.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_header(
    client: *mut hangup_client,
    name: *const c_char,
    value: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        let name = unsafe { text(name, "header name")? };
        let value = if value.is_null() {
            None
        } else {
            Some(unsafe { text_bytes(value, "header value")? })
        };
        client.set_header_bytes(name, value)
    })
}

/// How long the connections of requests live by default.
///
/// Fails: HANGUP_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_connection_mode(
    client: *mut hangup_client,
    mode: hangup_connection_mode,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        let mode = mode.get()?;
        client.set_connection_mode(mode);
        Ok(())
    })
}

/// The largest size of a response head in bytes, together with all 1xx heads before it. Default: 65,536.
///
/// Fails: HANGUP_INVALID_ARGUMENT for less than 256.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_max_head(
    client: *mut hangup_client,
    bytes: usize,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        client.set_max_head(bytes)
    })
}

/// Sends a GET request. `total_ms` bounds the whole exchange, until the last byte of the body; HANGUP_NO_LIMIT leaves the
/// client's timeouts. Blocks this thread until the response head is there.
///
/// Fails: any status; HANGUP_INVALID_TIMEOUT for a total of zero or another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_get(
    client: *mut hangup_client,
    url: *const c_char,
    total_ms: i64,
    response: *mut *mut hangup_response,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let place = unsafe { out(response)? };
        let client = unsafe { hangup_client::borrow(client)? };
        let mut request = Request::new("GET", unsafe { text(url, "url")? })?;
        if total_ms != HANGUP_NO_LIMIT {
            request.set_timeout(crate::vocabulary::Timeout::Total, Some(positive_ms(total_ms)?))?;
        }
        *place = hangup_response::begin(client.send(&mut request)?);
        Ok(())
    })
}

/// Opens connections in the background until `wanted` connections to the URL's origin are idle, with this client's settings
/// and within the manager's limits. `begun` may be NULL; it is set to the number of dials that were started. Their outcome is
/// visible in the manager's connection list and events.
///
/// Fails: HANGUP_INVALID_URL; HANGUP_INVALID_ARGUMENT for an invalid proxy in the environment; HANGUP_SHUT_DOWN;
/// HANGUP_SYSTEM if no thread could be started for any of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_preconnect(
    client: *mut hangup_client,
    url: *const c_char,
    wanted: usize,
    begun: *mut usize,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        let count = client.preconnect(unsafe { text(url, "url")? }, wanted)?;
        unsafe { count_to(begun, count) };
        Ok(())
    })
}

/// Sends a request and waits for the response head. Follows redirects (hangup_client_set_redirects) and retries when a reused
/// connection breaks before the response (hangup_client_set_retries); one total timeout bounds all of it. Blocks this thread;
/// hangup_cancel_fire and hangup_manager_close_* end it from another one. The request can be changed, sent again or freed
/// afterwards; a body from a reader can be sent only once.
///
/// Fails: any status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_send(
    client: *mut hangup_client,
    request: *mut hangup_request,
    response: *mut *mut hangup_response,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let place = unsafe { out(response)? };
        let client = unsafe { hangup_client::borrow(client)? };
        let request = unsafe { hangup_request::borrow(request)? };
        *place = hangup_response::begin(client.send(&mut *lock_request(request)?)?);
        Ok(())
    })
}
