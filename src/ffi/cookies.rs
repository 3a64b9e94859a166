//! The cookies of a client.

use std::ffi::c_char;

use super::client::hangup_client;
use super::enums::hangup_status;
use super::error::hangup_error;
use super::guard::{Handle, guard, out, status, text};
use super::string::hangup_string;

/// With 1, keeps cookies: those of every response, redirects included, are sent where RFC 6265 says so. 0, the
/// default, stops that and forgets them. A request that has a Cookie header of its own sends that one, and nothing
/// that was kept. At most 3000 cookies are kept, and 180 of a site (a registrable domain and all below it): those that
/// have ended go first, then the least recently used of the site, or of the site with most.
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

/// Keeps a cookie as if a response from that URL had set it: "name=value", then attributes as in a Set-Cookie header,
/// for example "id=7; Path=/; Max-Age=3600".
///
/// Fails: HANGUP_INVALID_URL; HANGUP_INVALID_ARGUMENT for a cookie that a response couldn't set;
/// HANGUP_INVALID_STATE if cookies are not kept.
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

/// The Cookie header that a request for that URL would have, for example "id=7; theme=dark"; an empty text if it
/// would have none. Bytes that are no UTF-8 are shown as U+FFFD; they are sent as they came. `cookies` gets a text of
/// its own, to be freed with hangup_string_free.
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

/// Forgets all cookies; more are kept if they were before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_clear_cookies(client: *mut hangup_client) -> hangup_status {
    status(|| {
        unsafe { hangup_client::borrow(client)? }.clear_cookies();
        Ok(())
    })
}
