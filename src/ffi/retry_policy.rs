//! `hangup_client`: the retry policy.

use std::mem::offset_of;
use std::time::Duration;

use super::client::hangup_client;
use super::enums::{HANGUP_NO_LIMIT, hangup_status};
use super::error::hangup_error;
use super::guard::{Handle, guard};
use crate::client::RetryPolicy;
use crate::error::Error;
use crate::vocabulary::Kind;

/// When a client sends a request again that was not served. Initialise it with HANGUP_RETRY_POLICY_INIT; a field of 0 is
/// its default.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hangup_retry_policy {
    /// sizeof the structure as the caller compiled it.
    pub size: usize,
    /// The delay before the second attempt, in milliseconds. Each delay is twice the one before it, less a random part of up
    /// to a half. Default: 500.
    pub first_delay_ms: i64,
    /// The longest delay, in milliseconds. A response whose Retry-After names a longer one is returned. Default: 30,000.
    pub max_delay_ms: i64,
    /// The time from the call in which the last attempt must begin, in milliseconds; HANGUP_NO_LIMIT is any. Default: 60,000.
    pub max_total_ms: i64,
    /// How many retries all requests of the client have saved together at most. Default: 10; HANGUP_NO_LIMIT is no budget.
    pub budget: i64,
    /// The status codes after which a request is sent again, from 400 to 599. NULL is the default: 429 and 503.
    pub status_codes: *const i32,
    /// How many these are.
    pub status_code_count: usize,
    /// How often a request is sent at most, the first time included. Default: 3.
    pub max_attempts: i32,
    /// 1 (the default) sends a request again if no connection could be made for it; -1 does not.
    pub connect_errors: i32,
    /// By how much the budget grows with each request that is served, in percent of a retry, at most 100; -1: not at all.
    /// Default: 10.
    pub budget_percent: i32,
}

/// Sends a request again that was not served, by this policy, which is copied. NULL, the default, never does. The budget
/// begins anew. A request for which hangup_request_set_retries is off is not sent again.
///
/// After a response with a status code of the policy: a GET, HEAD, OPTIONS, TRACE, PUT or DELETE, or a request with an
/// Idempotency-Key header; any other method only after 429 (RFC 6585 section 4), and after 503 with a Retry-After (RFC 9110
/// section 15.6.4), with which the server says that it did nothing. (curl's --retry repeats every method, urllib3 only
/// idempotent ones.) A Retry-After, in seconds or as a date, sets the delay.
///
/// After a failure to connect, whatever the method, as nothing was sent: the name was not resolved, no address accepted the
/// connection, the proxy failed, the connection broke in the proxy's or the TLS handshake, or the timeout of one of these ran
/// out. What a later attempt can't mend (hangup_error_retry_may_help), a refused certificate for example, is not tried again.
///
/// In both cases the body must be one that can be read again. A cancel, the total timeout and a shutdown end the delay at
/// once; a delay that would last longer than the total timeout or `max_total_ms` is not begun. Each retry is a
/// HANGUP_EVENT_TYPE_RETRIED. hangup_response_attempts and hangup_error_attempts count the attempts.
///
/// Fails: HANGUP_INVALID_ARGUMENT for a policy that makes no sense; the message says why.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_retry_policy(
    client: *mut hangup_client,
    policy: *const hangup_retry_policy,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        let policy = match policy.is_null() {
            true => None,
            false => Some(unsafe { policy_of(policy)? }),
        };
        client.set_retry_policy(policy)
    })
}

/// # Safety
/// `policy` points to a structure whose size field is its own size, and its list has the length that it says.
unsafe fn policy_of(policy: *const hangup_retry_policy) -> Result<RetryPolicy, Error> {
    let bad = |what: String| Error::new(Kind::InvalidArgument, what);
    // SAFETY: as for the caller: the first field is the size.
    let size = unsafe { policy.cast::<usize>().read() };
    if size < LEAST {
        let what = "the size of the retry policy is too small: use HANGUP_RETRY_POLICY_INIT";
        return Err(bad(what.to_owned()));
    }
    // SAFETY: at least as large as this library knows the structure.
    let given = unsafe { policy.read() };
    let ms = |value: i64, what: &str| match u64::try_from(value) {
        Ok(value) => Ok(Duration::from_millis(value)),
        Err(_) => Err(bad(format!("{what} of a retry policy is {value} ms"))),
    };
    let or = |value: i64, default: i64| if value == 0 { default } else { value };
    let mut made = RetryPolicy::new()
        .delays(
            ms(or(given.first_delay_ms, 500), "the first delay")?,
            ms(or(given.max_delay_ms, 30_000), "the longest delay")?,
        )
        .max_total(match or(given.max_total_ms, 60_000) {
            HANGUP_NO_LIMIT => None,
            total => Some(ms(total, "the total time")?),
        })
        .connect_errors(match given.connect_errors {
            0 | 1 => true,
            -1 => false,
            other => return Err(bad(format!("connect_errors is {other}: give 1 or -1"))),
        });
    let attempts = or(given.max_attempts.into(), 3);
    made = made.max_attempts(
        u32::try_from(attempts)
            .map_err(|_| bad(format!("a retry policy of {attempts} attempts")))?,
    );
    let percent = match given.budget_percent {
        -1 => 0,
        0 => 10,
        percent => u32::try_from(percent)
            .map_err(|_| bad(format!("a retry budget of {percent} percent: give at most 100")))?,
    };
    let budget = match or(given.budget, 10) {
        HANGUP_NO_LIMIT => u32::MAX,
        budget => {
            u32::try_from(budget).map_err(|_| bad(format!("a budget of {budget} retries")))?
        }
    };
    made = made.budget(budget, percent);
    if !given.status_codes.is_null() {
        if given.status_code_count > 200 {
            return Err(bad("a retry policy has at most 200 status codes".to_owned()));
        }
        // SAFETY: as for the caller.
        let codes =
            unsafe { std::slice::from_raw_parts(given.status_codes, given.status_code_count) };
        // Zero is refused as any number that is no status code of an error.
        let codes: Vec<u16> = codes.iter().map(|code| u16::try_from(*code).unwrap_or(0)).collect();
        made = made.status_codes(&codes);
    }
    Ok(made)
}

const LEAST: usize = offset_of!(hangup_retry_policy, budget_percent) + size_of::<i32>();
