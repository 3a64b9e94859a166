//! `hangup_client`: cookies.

use std::ffi::c_char;

use super::client::hangup_client;
use super::enums::hangup_status;
use super::error::hangup_error;
use super::guard::{Handle, guard, out, status, text};
use super::string::hangup_string;

/// With 1, keeps the cookies of every response, redirects included, and sends them as RFC 6265 requires. 0, the default, stops
/// that and removes all cookies. A request with a Cookie header sends only that one. At most 3000 cookies are kept, and 180
/// of one site (a registrable domain and its subdomains). Expired cookies are removed first, then the least recently used of
/// the site, or of the site with most cookies.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_cookies(
    client: *mut hangup_client,
    on: i32,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        unsafe { hangup_client::borrow(client)? }.set_cookies(on != 0);
        Ok(())
    })
}

/// Adds a cookie as if a response from that URL had set it: "name=value", followed by attributes as in a Set-Cookie header,
/// for example "id=7; Path=/; Max-Age=3600".
///
/// Fails: HANGUP_INVALID_URL; HANGUP_INVALID_ARGUMENT for a cookie that a response couldn't set; HANGUP_INVALID_STATE if
/// cookies are not kept.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_add_cookie(
    client: *mut hangup_client,
    url: *const c_char,
    cookie: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        let (url, cookie) = unsafe { (text(url, "url")?, text(cookie, "cookie")?) };
        client.add_cookie(url, cookie)
    })
}

/// The Cookie header that a request for that URL would have, for example "id=7; theme=dark"; an empty string if it would have
/// none. Bytes that are not UTF-8 are shown as U+FFFD, but are sent unchanged. Free `cookies` with hangup_string_free.
///
/// Fails: HANGUP_INVALID_URL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_cookies_for(
    client: *const hangup_client,
    url: *const c_char,
    cookies: *mut *mut hangup_string,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let place = unsafe { out(cookies)? };
        let client = unsafe { hangup_client::borrow(client)? };
        let found = client.cookies_for(unsafe { text(url, "url")? })?;
        *place = hangup_string::begin(found.unwrap_or_default());
        Ok(())
    })
}

/// With 1, Secure cookies are also set by and sent to "localhost", names below it and loopback addresses without TLS, as
/// browsers have it for servers under development. 0 is the default.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_secure_cookies_on_localhost(
    client: *mut hangup_client,
    on: i32,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        unsafe { hangup_client::borrow(client)? }.set_secure_cookies_on_localhost(on != 0);
        Ok(())
    })
}

/// Removes all cookies. New ones are kept if hangup_client_set_cookies says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_clear_cookies(client: *mut hangup_client) -> hangup_status {
    status(|| {
        unsafe { hangup_client::borrow(client)? }.clear_cookies();
        Ok(())
    })
}
