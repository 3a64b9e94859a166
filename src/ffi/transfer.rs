//! Maximum rates, and the wait for 100 Continue, of `hangup_client` and `hangup_request`.

use super::client::hangup_client;
use super::enums::{HANGUP_NO_LIMIT, hangup_status};
use super::error::hangup_error;
use super::guard::{Handle, guard};
use super::milliseconds::limit_ms;
use super::request::{hangup_request, lock as lock_request};
use crate::error::Error;
use crate::vocabulary::Kind;

/// The maximum rates of each request in bytes per second: `upload` of its body, `download` of the response's body.
/// HANGUP_NO_LIMIT, the default, is no maximum. Details: hangup_request_set_max_rate.
///
/// Fails: HANGUP_INVALID_ARGUMENT for zero or another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_max_rate(
    client: *mut hangup_client,
    upload: i64,
    download: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        client.set_max_rate(rate(upload)?, rate(download)?)
    })
}

/// The maximum rates of this request in bytes per second: `upload` of its body, `download` of the response's body;
/// HANGUP_NO_LIMIT is no maximum. Overrides hangup_client_set_max_rate.
///
/// The rate is kept over any second. The time of a pause counts for the total timeout only, and not for the minimum rate; a
/// cancel ends it at once.
///
/// Fails: HANGUP_INVALID_ARGUMENT for zero or another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_max_rate(
    request: *mut hangup_request,
    upload: i64,
    download: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        lock_request(request)?.set_max_rate(rate(upload)?, rate(download)?)
    })
}

/// Whether requests with a body are sent with "Expect: 100-continue", and for how many milliseconds they wait for the server to
/// ask for the body. HANGUP_NO_LIMIT, the default, sends the body at once. Details: hangup_request_set_expect_continue.
///
/// Fails: HANGUP_INVALID_TIMEOUT for zero or another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_expect_continue(
    client: *mut hangup_client,
    wait_ms: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        client.set_expect_continue(limit_ms(wait_ms)?)
    })
}

/// Sends the head with "Expect: 100-continue", and the body when the server asks for it, or has not responded for `wait_ms`
/// milliseconds (RFC 9110 section 10.1.1). HANGUP_NO_LIMIT sends the body at once. Overrides hangup_client_set_expect_continue.
///
/// A final response in place of 100 is returned, and the body is not sent. After 417, by which a server says that it does not know
/// the expectation, the request is sent again without it, once, if the body can be sent again. A request without a body has no
/// Expect. For an Expect header that was added by hangup_request_add_header the wait is one second, and 417 is returned.
///
/// Fails: HANGUP_INVALID_TIMEOUT for zero or another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_expect_continue(
    request: *mut hangup_request,
    wait_ms: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        lock_request(request)?.set_expect_continue(limit_ms(wait_ms)?)
    })
}

fn rate(bytes_per_second: i64) -> Result<Option<u64>, Error> {
    if bytes_per_second == HANGUP_NO_LIMIT {
        return Ok(None);
    }
    u64::try_from(bytes_per_second).ok().filter(|rate| *rate > 0).map(Some).ok_or_else(|| {
        let what = "a maximum rate is greater than zero; HANGUP_NO_LIMIT removes it";
        Error::new(Kind::InvalidArgument, what)
    })
}
