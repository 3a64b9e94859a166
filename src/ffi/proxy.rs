//! `hangup_client`: proxies.

use std::ffi::c_char;
use std::net::IpAddr;

use super::client::hangup_client;
use super::enums::hangup_status;
use super::error::hangup_error;
use super::guard::{Handle, guard, out, text, text_or_null};
use super::string::hangup_string;
use crate::error::Error;
use crate::vocabulary::Kind;

/// Sends every request through this proxy: "[scheme://][user:password@]host[:port]" with the scheme http (the default),
/// https, socks4, socks4a, socks5 or socks5h. NULL uses no proxy. By default the environment decides
/// (hangup_client_set_proxy_from_env). A path is ignored. With socks4 and socks5 names are resolved here, after the proxy was
/// connected to; with socks4a and socks5h by the proxy. SOCKS 4 has a user but no password, and no IPv6.
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
/// lower or upper case (`HTTP_PROXY` is ignored in CGI). The default. Entries of `no_proxy` that hangup_client_set_no_proxy
/// would refuse are passed over, as other clients do; hangup_client_ignored_no_proxy returns them.
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

/// The entries of the environment's `no_proxy` that are not understood and were passed over, separated by commas: these hosts
/// are connected to through the proxy. An empty string if there are none, or if the proxy is not the environment's.
/// HANGUP_EVENT_TYPE_NO_PROXY_IGNORED tells that there are some. Free `entries` with hangup_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_ignored_no_proxy(
    client: *const hangup_client,
    entries: *mut *mut hangup_string,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let place = unsafe { out(entries)? };
        let ignored = unsafe { hangup_client::borrow(client)? }.ignored_no_proxy();
        *place = hangup_string::begin(ignored.join(","));
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
