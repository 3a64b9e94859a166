//! The way to an origin: through which proxy, and from which address.

use std::ffi::c_char;
use std::net::IpAddr;

use super::client::hangup_client;
use super::enums::hangup_status;
use super::error::hangup_error;
use super::guard::{Handle, guard, text};
use crate::error::Error;
use crate::vocabulary::Kind;

/// Sends every request through this proxy: "[scheme://][user:password@]host[:port]" with a scheme of http (the
/// default), https, socks5 or socks5h. NULL: through none. A new client does what the environment says, as after
/// hangup_client_set_proxy_from_env.
///
/// Connections through different proxies, or with different credentials, are never mixed up.
/// Fails: HANGUP_INVALID_ARGUMENT if that is no proxy. A request answers HANGUP_PROXY_FAILED if the proxy refuses it,
/// and hangup_error_status_code has what it said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_proxy(
    client: *mut hangup_client,
    proxy: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        client.set_proxy(unsafe { text_or_null(proxy, "proxy")? })
    })
}

/// Does what the environment says now: `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, each in lower or upper
/// case (`HTTP_PROXY` counts only outside of CGI). The default.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_proxy_from_env(
    client: *mut hangup_client,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        unsafe { hangup_client::borrow(client)? }.set_proxy_from_env();
        Ok(())
    })
}

/// Reaches these hosts without a proxy, separated by commas: "example.org" (itself and all below it), addresses,
/// networks such as "10.0.0.0/8", each with ":port" if only that port is meant; "*" for all; "" for none. In place of
/// the environment's `no_proxy`.
///
/// Fails: HANGUP_INVALID_ARGUMENT for what is none of these.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_no_proxy(
    client: *mut hangup_client,
    list: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        client.set_no_proxy(unsafe { text(list, "list")? })
    })
}

/// Connects from this address of the machine, for example "192.0.2.7" or "2001:db8::7"; NULL leaves it to the system,
/// which is the default.
///
/// Fails: HANGUP_INVALID_ARGUMENT if that is no address. A request answers HANGUP_CONNECT_FAILED if the machine does
/// not have it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_local_address(
    client: *mut hangup_client,
    address: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        let address = unsafe { text_or_null(address, "address")? };
        client.set_local_address(address.map(address_of).transpose()?);
        Ok(())
    })
}

/// An address as text: no name, no port, no brackets.
pub(super) fn address_of(text: &str) -> Result<IpAddr, Error> {
    text.parse().map_err(|_| {
        let what = format!("{text:?} is no address; give one such as 192.0.2.7 or 2001:db8::7");
        Error::new(Kind::InvalidArgument, what)
    })
}

/// # Safety
/// As for [`text`].
unsafe fn text_or_null<'a>(place: *const c_char, what: &str) -> Result<Option<&'a str>, Error> {
    if place.is_null() {
        return Ok(None);
    }
    // SAFETY: as for the caller.
    unsafe { text(place, what) }.map(Some)
}
