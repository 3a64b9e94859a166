//! `hangup_client`: redirects, retries and content codings.

use std::ffi::c_char;

use super::client::hangup_client;
use super::enums::{HANGUP_NO_LIMIT, hangup_status};
use super::error::hangup_error;
use super::guard::{Handle, guard, text};
use super::redirects::redirects_of;
use crate::error::Error;
use crate::vocabulary::Kind;

/// The largest number of redirects that a call follows. Default: 10. With 0 a redirect is returned as the response;
/// HANGUP_NO_LIMIT follows any number.
///
/// After 303 the next request is a GET without a body (HEAD stays HEAD); after 301 and 302 so is that of a POST, and any
/// other method is repeated with its body, as after 307 and 308 (RFC 9110 section 15.4; the fetch standard). Authorization,
/// Cookie, Proxy-Authorization, the credentials of hangup_client_set_auth_* and hangup_request_set_auth_*, user information of the first URL and headers named by hangup_client_add_sensitive_header are
/// dropped for the rest of the call once scheme, host or port changes. If the target is not allowed, the call fails with
/// HANGUP_REDIRECT_REFUSED, and hangup_error_status_code is the redirect's status code.
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

/// With 1 (the default), a request is sent again if a reused connection breaks before the response; with 0 it fails.
///
/// A request is sent again only if that is safe. The connection had served a request before, or large packets vanish on its
/// path (hangup_client_set_detect_lost_connections). The peer closed or reset it, the system gave it up, or it was lost, before
/// the first byte of the response. The body can be repeated. And either no byte was sent, or the method is GET, HEAD, OPTIONS,
/// TRACE, PUT or DELETE, or there is an Idempotency-Key header. After three broken connections the last attempt uses a new one.
/// hangup_response_attempts and hangup_error_attempts count the attempts.
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

/// With 1 (the default), a request that waits long on a reused connection finds out whether that connection is lost; with 0
/// it waits for its timeouts.
///
/// Networks lose connections without a word: a NAT forgets them, a cable is pulled. After a second of waiting, for the
/// response or for room to send, the system is asked (TCP_INFO, tcp(7)). If bytes of the request have not been acknowledged for
/// longer than a second, and longer than three retransmission timeouts (RFC 6298), and nothing came, a second connection to the
/// origin is dialled in the background, within the limits. If that is made and the first one is still not acknowledged, the first one is
/// lost. It is closed with HANGUP_CLOSE_REASON_PEER_SILENT, together with the idle connections of its origin that have not been
/// in use since; the request is sent again as hangup_client_set_retries says, or fails with HANGUP_PEER_SILENT.
///
/// A server that is slow, stopped or busy is never called lost: its system acknowledges what arrives. If nothing can be
/// connected to, the network is away and not this connection, and nothing changes. Where the limits leave no room for a second
/// connection, and on systems other than Linux, the timeouts decide. HANGUP_EVENT_TYPE_SUSPECTED, _PROBED, _LOST and _RECOVERED
/// report each step. Shorter waits cost nothing.
///
/// A new connection is looked at, too, for an MTU black hole: a path on which large packets vanish and small ones pass. If nothing
/// larger than 536 bytes (1,220 with IPv6; RFC 9293 section 3.7.1) was ever acknowledged on it, and larger segments have not been
/// for that time, the second connection has segments of at most that size in both directions (TCP_MAXSEG, tcp(7)). If it is made
/// and a segment that was sent again is still not acknowledged, the request is sent again there, or fails with
/// HANGUP_PEER_SILENT and a message that says so. For ten minutes, or until hangup_manager_network_changed, other connections to
/// that address have small segments as well.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_detect_lost_connections(
    client: *mut hangup_client,
    on: i32,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        unsafe { hangup_client::borrow(client)? }.set_detect_lost_connections(on != 0);
        Ok(())
    })
}

/// Names a header that is dropped when a redirect leads to another origin, whether it is the request's or the client's. Can
/// be called for several names.
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

/// With 1, requests accept gzip, deflate, br and zstd, and such bodies are decoded. 0 is the default.
/// hangup_request_set_decode is for one request. A library that was built without some of these codings neither asks for them
/// nor decodes them.
///
/// Headers are not changed, Content-Encoding and Content-Length included. Size limits count decoded bytes. A body in any other
/// coding, and any part of a body (206), is returned as it is. Accept-Encoding is not sent if the request, or the client's
/// defaults, have an Accept-Encoding or a Range header.
///
/// gzip may have several members and zstd several frames. A br window has at most 16 MiB, a zstd window 8 MiB (RFC 9659). What
/// was decoded before an error of the connection, the framing or the coding is returned before the error.
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

/// The largest number of content codings, applied one over the other, of a decoded body. Default: 2. A response with more
/// fails with HANGUP_PROTOCOL, because each coding can multiply the size of the body by about a thousand. HANGUP_NO_LIMIT
/// allows any number.
///
/// With any number, a body that is long but decodes to almost nothing, such as a series of empty gzip members, fails with
/// HANGUP_PROTOCOL, and a cancel, a close, a shutdown and the total timeout end the decoding.
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

/// The largest size in bytes of a body that is read as a whole without a limit of its own: by hangup_response_read_all with
/// SIZE_MAX, and for hangup_request_set_buffer_body with INT64_MAX. Decoded bytes count. Default: 268,435,456 (256 MiB). A
/// larger body fails with HANGUP_TOO_LARGE, and its connection is closed. HANGUP_NO_LIMIT allows any size. Bodies that are
/// read in pieces have no limit.
///
/// Fails: HANGUP_INVALID_ARGUMENT for another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_max_body(
    client: *mut hangup_client,
    bytes: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        client.set_max_body(match bytes {
            HANGUP_NO_LIMIT => usize::MAX,
            bytes => usize::try_from(bytes).map_err(|_| {
                let what = "a negative size of a body; HANGUP_NO_LIMIT allows any size";
                Error::new(Kind::InvalidArgument, what)
            })?,
        });
        Ok(())
    })
}
