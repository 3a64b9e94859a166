//! `hangup_client`: defaults over a manager, and the verbs.

use std::ffi::c_char;
use std::sync::Arc;

use super::enums::{HANGUP_NO_LIMIT, hangup_connection_mode, hangup_status, hangup_timeout};
use super::error::hangup_error;
use super::guard::{Handle, count_to, guard, magic, or_default, out, text};
use super::manager::hangup_manager;
use super::milliseconds::{limit_ms, positive_ms};
use super::request::{hangup_request, lock as lock_request};
use super::response::hangup_response;
use crate::client::Client;
use crate::manager::Manager;
use crate::request::Request;

/// Defaults over a manager: timeouts, headers, redirects, cookies, TLS, proxy. Many clients may share one manager.
///
/// Begins: hangup_client_new. Can: be set up, send requests from many threads at once, submit them to a queue. A setting
/// applies to requests that are sent or submitted after it. Ends: hangup_client_free; requests in progress go on.
/// Threads: any thread at any time.
pub struct hangup_client {
    _opaque: [u8; 0],
}

impl Handle for hangup_client {
    type Target = Client;
    const MAGIC: u64 = magic(b"hang-cli");
}

/// A client. `manager` may be NULL: the shared one.
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
        *place = hangup_client::give(Arc::new(Client::new(manager)));
        Ok(())
    })
}

/// One more share of the same client; NULL for NULL. To be freed as well.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_ref(client: *const hangup_client) -> *mut hangup_client {
    or_default(std::ptr::null_mut(), || {
        Ok(hangup_client::give(Arc::clone(unsafe { hangup_client::borrow(client)? })))
    })
}

/// Gives one share back. NULL is a no-op. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_free(client: *mut hangup_client) {
    unsafe { hangup_client::free(client) }
}

/// The client's manager: a new share, to be freed. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_manager(
    client: *const hangup_client,
) -> *mut hangup_manager {
    or_default(std::ptr::null_mut(), || {
        let client = unsafe { hangup_client::borrow(client)? };
        Ok(hangup_manager::give(Arc::clone(client.manager())))
    })
}

/// Sets a default limit (HANGUP_TIMEOUT_TOTAL to _READ) in milliseconds; HANGUP_NO_LIMIT takes it away.
///
/// Fails: HANGUP_INVALID_TIMEOUT for zero or less, HANGUP_INVALID_ARGUMENT for an unknown clock.
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

/// A header for every request, unless the request has one of the same name. Setting a name again replaces the
/// value; a NULL value takes it away.
///
/// Fails: HANGUP_INVALID_HEADER.
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
        let value =
            if value.is_null() { None } else { Some(unsafe { text(value, "header value")? }) };
        client.set_header(name, value)
    })
}

/// How long connections live by default: one of HANGUP_CONNECTION_MODE_KEEP, HANGUP_CONNECTION_MODE_CLOSE_AFTER, HANGUP_CONNECTION_MODE_FRESH.
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

/// The most bytes a response head may have, all 1xx heads before it included. Default 65,536.
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

/// GET in one call. `total_ms` bounds everything, the body's last byte included; HANGUP_NO_LIMIT leaves the
/// client's own limits. Blocks this thread until the response head is there.
///
/// Fails: any status; HANGUP_INVALID_TIMEOUT for a total of zero.
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

/// Dials ahead, in the background, until `wanted` connections to the URL's origin are idle, with this client's settings
/// and within the manager's limits. `begun` may be NULL; it gets the number of dials that were begun. What becomes of
/// them is seen in the manager's list and events.
///
/// Fails: HANGUP_INVALID_URL, HANGUP_INVALID_ARGUMENT for a proxy of the environment that is none, HANGUP_SHUT_DOWN,
/// HANGUP_SYSTEM without a thread for any of them.
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

/// Sends a request and waits for the response head: redirects are followed (hangup_client_set_redirects), and what a kept
/// connection lost is sent again (hangup_client_set_retries); one total limit spans all of it. Blocks this thread; hangup_cancel_fire and the closers of
/// the manager end it from any other. The request can be changed, sent again or freed afterwards; a body that
/// came from a reader can be sent only once.
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
