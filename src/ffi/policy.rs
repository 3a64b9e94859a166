//! What a call does by itself: redirects, retries, decoding.

use std::ffi::c_char;

use super::client::hangup_client;
use super::enums::{HANGUP_NO_LIMIT, hangup_status};
use super::error::hangup_error;
use super::guard::{Handle, guard, text};
use crate::error::Error;
use crate::vocabulary::Kind;

/// How many redirects a call follows. Default 10; 0 hands a redirect out as it is; HANGUP_NO_LIMIT follows any number.
///
/// 301, 302 and 303 become GET without a body (HEAD stays HEAD), 307 and 308 repeat method and body. Authorization,
/// Cookie, Proxy-Authorization, user information of the first URL and what hangup_client_add_sensitive_header names are
/// dropped for the rest of the call once scheme, host or port changes. Where it can't be followed, the call answers
/// HANGUP_REDIRECT_REFUSED, and hangup_error_status_code has the redirect's status.
/// Fails: HANGUP_INVALID_ARGUMENT for another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_redirects(
    client: *mut hangup_client,
    max: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        client.set_redirects(redirects_of(max)?);
        Ok(())
    })
}

/// With 1 (the default), a request that a kept connection lost is sent again by itself; with 0 that is the caller's
/// to do.
///
/// Only what is safe: the connection had served a request before, the peer closed or reset it before the first byte
/// of the response, the body can be given again, and either not a byte went out or the method is GET, HEAD, OPTIONS,
/// TRACE, PUT or DELETE, or there is an Idempotency-Key. After three lost connections a new one is made, and that is
/// the last try. hangup_response_attempts and hangup_error_attempts count.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_retries(
    client: *mut hangup_client,
    on: i32,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        unsafe { hangup_client::borrow(client)? }.set_retries(on != 0);
        Ok(())
    })
}

/// Names a header that a redirect to another origin must not take along, whether a request or the client's defaults
/// have it. May be called for several names.
///
/// Fails: HANGUP_INVALID_HEADER.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_add_sensitive_header(
    client: *mut hangup_client,
    name: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        client.add_sensitive_header(unsafe { text(name, "header name")? })
    })
}

/// With 1, asks for gzip and deflate and decodes such bodies; 0 is the default.
///
/// Headers stay as they came, Content-Encoding and Content-Length included; bounds count decoded bytes. A body in any
/// other coding is handed out as it is. Nothing is asked for if the request (or the client's defaults) has an
/// Accept-Encoding or a Range header of its own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_decode(
    client: *mut hangup_client,
    on: i32,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        unsafe { hangup_client::borrow(client)? }.set_decode(on != 0);
        Ok(())
    })
}

/// How many content codings, one over the other, a decoded body may have; 2 is the default. A response with more fails
/// with HANGUP_PROTOCOL: each coding multiplies by about a thousand what a byte of the peer can cost. HANGUP_NO_LIMIT
/// allows any number.
///
/// Whatever the number: a body of which much decodes to next to nothing, such as a row of empty gzip members, fails
/// with HANGUP_PROTOCOL, and a cancel, a close, a shutdown and the total limit end the decoding.
///
/// Fails: HANGUP_INVALID_ARGUMENT for 0 or another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_max_codings(
    client: *mut hangup_client,
    max: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        match max {
            HANGUP_NO_LIMIT => client.set_max_codings(u32::MAX),
            max if max < 0 => {
                let what = format!("{max} content codings; HANGUP_NO_LIMIT allows any number");
                Err(Error::new(Kind::InvalidArgument, what))
            }
            max => client.set_max_codings(u32::try_from(max).unwrap_or(u32::MAX)),
        }
    })
}

/// A number of redirects; more than u32 holds is no limit that is ever met.
pub(super) fn redirects_of(max: i64) -> Result<u32, Error> {
    match max {
        HANGUP_NO_LIMIT => Ok(u32::MAX),
        max if max < 0 => {
            let what = format!("{max} redirects: 0 follows none, HANGUP_NO_LIMIT any number");
            Err(Error::new(Kind::InvalidArgument, what))
        }
        max => Ok(u32::try_from(max).unwrap_or(u32::MAX)),
    }
}
