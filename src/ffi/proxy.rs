//! `hangup_client`: proxies and the local address.

use std::ffi::c_char;
use std::net::IpAddr;

use super::client::hangup_client;
use super::enums::hangup_status;
use super::error::hangup_error;
use super::guard::{Handle, guard, text};
use crate::error::Error;
use crate::vocabulary::Kind;

/// Sends every request through this proxy: "[scheme://][user:password@]host[:port]" with the scheme http (the default),
/// https, socks5 or socks5h. NULL uses no proxy. By default the environment decides (hangup_client_set_proxy_from_env).
///
/// Connections through different proxies, or with different credentials, are never mixed.
/// Fails: HANGUP_INVALID_ARGUMENT for an invalid proxy. If the proxy refuses a request, that fails with
/// HANGUP_PROXY_FAILED, and hangup_error_status_code is the proxy's status code.
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

/// Takes the proxies from the environment as it is now: `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, each in
/// lower or upper case (`HTTP_PROXY` is ignored in CGI). The default.
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

/// The hosts that are reached without a proxy, separated by commas: "example.org" (with its subdomains), addresses, networks
/// such as "10.0.0.0/8", each with ":port" if it applies to that port only; "*" for all, "" for none. Replaces `no_proxy` of
/// the environment.
///
/// Fails: HANGUP_INVALID_ARGUMENT for anything else.
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

/// Connects from this address of the machine, for example "192.0.2.7" or "2001:db8::7". NULL, the default, lets the system
/// choose.
///
/// Fails: HANGUP_INVALID_ARGUMENT for an invalid address. If the machine does not have the address, a request fails with
/// HANGUP_CONNECT_FAILED.
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
