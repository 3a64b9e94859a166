//! `hangup_error`: the properties of one failure.

use std::ffi::{CStr, CString, c_char};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::enums::{hangup_acknowledged, hangup_phase, hangup_sent, hangup_status, hangup_timeout};
use super::handle::{Handle, magic, query};
use crate::error::Error;
use crate::vocabulary::{Phase, Sent, Timeout};

/// One failure: its kind, phase, timeout and connection, and whether the request can safely be sent again.
///
/// Create: a function that fails creates one in its `hangup_error **error`. Use: hangup_error_* return its properties. For
/// NULL they return HANGUP_OK, 0 or "".
/// Free: hangup_error_free.
/// Threads: immutable; any thread at any time.
pub struct hangup_error {
    _opaque: [u8; 0],
}

impl Handle for hangup_error {
    type Target = ErrorHandle;
    const MAGIC: u64 = magic(b"hang-err");
}

/// The status that the failed function returned. It never depends on the phase.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_status(error: *const hangup_error) -> hangup_status {
    query(hangup_status::OK, || Ok(unsafe { hangup_error::borrow(error)? }.kind().into()))
}

/// The phase that the exchange was in.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_phase(error: *const hangup_error) -> hangup_phase {
    query(Phase::None.into(), || Ok(unsafe { hangup_error::borrow(error)? }.phase().into()))
}

/// The timeout that expired; HANGUP_TIMEOUT_NONE unless the status is HANGUP_TIMED_OUT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_timeout(error: *const hangup_error) -> hangup_timeout {
    query(Timeout::None.into(), || Ok(unsafe { hangup_error::borrow(error)? }.timeout().into()))
}

/// One sentence for people: what happened and, for invalid input, what is valid. Borrowed from the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_message(error: *const hangup_error) -> *const c_char {
    query(c"".as_ptr(), || Ok(unsafe { hangup_error::borrow(error)? }.message().as_ptr()))
}

/// The reason that was given to hangup_cancel_fire; NULL without one. Borrowed from the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_reason(error: *const hangup_error) -> *const c_char {
    query(std::ptr::null(), || {
        let error = unsafe { hangup_error::borrow(error)? };
        Ok(error.reason().map_or(std::ptr::null(), |reason| reason.as_ptr()))
    })
}

/// The operating system's error number (errno), 0 if none was involved.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_os_code(error: *const hangup_error) -> i32 {
    query(0, || Ok(unsafe { hangup_error::borrow(error)? }.os_code().unwrap_or(0)))
}

/// 1 if sending the request again can't make the server perform it twice: no byte of it was sent, or its method is
/// idempotent (RFC 9110 section 9.2.2), or it has an Idempotency-Key header. 0 otherwise. Whether its body can be sent again
/// is not considered: a body from a reader can't. After a redirect this is about the whole call, from its first URL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_retry_safe(error: *const hangup_error) -> i32 {
    query(0, || Ok(i32::from(unsafe { hangup_error::borrow(error)? }.retry_safe())))
}

/// The id of the connection that was used; 0 if there was none yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_connection_id(error: *const hangup_error) -> u64 {
    query(0, || Ok(unsafe { hangup_error::borrow(error)? }.connection_id().unwrap_or(0)))
}

/// 1 if that connection had served a request before, else 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_reused(error: *const hangup_error) -> i32 {
    query(0, || Ok(i32::from(unsafe { hangup_error::borrow(error)? }.reused())))
}

/// How much of the request was sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_sent(error: *const hangup_error) -> hangup_sent {
    query(Sent::Nothing.into(), || Ok(unsafe { hangup_error::borrow(error)? }.sent().into()))
}

/// How many bytes of the request, head and body before TLS, the operating system accepted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_bytes_sent(error: *const hangup_error) -> u64 {
    query(0, || Ok(unsafe { hangup_error::borrow(error)? }.bytes_sent()))
}

/// How much of the request the peer's TCP acknowledged when the wait for the peer ended; 0 if that was not looked at.
///
/// It is looked at for HANGUP_TIMED_OUT and HANGUP_PEER_SILENT in the phases write, head and read, on connections of TCP, on
/// Linux and Android. HANGUP_ACKNOWLEDGED_ALL says that the peer's host is there and has the request, so that the server is slow
/// or hangs; HANGUP_ACKNOWLEDGED_NOTHING says that the way to it is gone. Whether sending the request again is safe is another question
/// (hangup_error_retry_safe): what is not acknowledged may have been received. hangup_error_tcp_facts has the numbers, and
/// hangup_error_message the sentence.
///
/// For a stream it is about what was written to it; HANGUP_ACKNOWLEDGED_PART says then that some bytes of it are not
/// acknowledged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_acknowledged(
    error: *const hangup_error,
) -> hangup_acknowledged {
    query(hangup_acknowledged::UNKNOWN, || {
        let acknowledged = unsafe { hangup_error::borrow(error)? }.acknowledged();
        Ok(acknowledged.map_or(hangup_acknowledged::UNKNOWN, Into::into))
    })
}

/// 1 if at least one byte of the response was received, else 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_response_started(error: *const hangup_error) -> i32 {
    query(0, || Ok(i32::from(unsafe { hangup_error::borrow(error)? }.response_started())))
}

/// How many times the request was tried: 1 without a retry (hangup_client_set_retries), 0 if it ended before the first
/// attempt. After a redirect this counts the attempts of the last request.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_attempts(error: *const hangup_error) -> u32 {
    query(0, || Ok(unsafe { hangup_error::borrow(error)? }.attempts()))
}

/// The HTTP status code that was received before the failure: of the response whose body failed, of the redirect that is
/// not allowed, or with which the proxy refused; 0 if there was none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_status_code(error: *const hangup_error) -> i32 {
    query(0, || Ok(unsafe { hangup_error::borrow(error)? }.status_code().map_or(0, i32::from)))
}

/// 1 if the same request may succeed when it is sent again: the failure comes from the network, from the server, or from
/// a limit that is reached for now. 0 if it comes from the request, from a setting or from the program: for every
/// HANGUP_INVALID_ status, HANGUP_TLS_FAILED, HANGUP_PROTOCOL, HANGUP_TOO_LARGE, HANGUP_BODY_FAILED,
/// HANGUP_REDIRECT_REFUSED, HANGUP_CANCELLED, HANGUP_CLOSED and HANGUP_SHUT_DOWN, for a host name that does not exist, and
/// for a proxy that refused with a status other than 429 and those from 500. Whether sending it again is safe is
/// hangup_error_retry_safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_retry_may_help(error: *const hangup_error) -> i32 {
    query(0, || Ok(i32::from(unsafe { hangup_error::borrow(error)? }.retry_may_help())))
}

/// The resolver's error code, EAI_NONAME, EAI_AGAIN or another of getaddrinfo(3); 0 if it gave none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_resolver_code(error: *const hangup_error) -> i32 {
    query(0, || Ok(unsafe { hangup_error::borrow(error)? }.resolver_code().unwrap_or(0)))
}

/// The method of the request; "" if there was no exchange. Borrowed from the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_method(error: *const hangup_error) -> *const c_char {
    query(c"".as_ptr(), || Ok(unsafe { hangup_error::borrow(error)? }.method().as_ptr()))
}

/// The URL that was requested, after redirects the last one, without user information and fragment; its query is included.
/// "" if there was no exchange. Borrowed from the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_url(error: *const hangup_error) -> *const c_char {
    query(c"".as_ptr(), || Ok(unsafe { hangup_error::borrow(error)? }.url().as_ptr()))
}

/// The origin of that URL, for example "https://example.org:443"; "" if there was no exchange. Borrowed from the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_origin(error: *const hangup_error) -> *const c_char {
    query(c"".as_ptr(), || Ok(unsafe { hangup_error::borrow(error)? }.origin().as_ptr()))
}

/// All of the error as one JSON object (RFC 8259) on one line, so that no other function is needed. Borrowed from the error;
/// "{}" for NULL. Members without a value are null; later versions may add members:
///
/// - "status": the status without its prefix, for example "TIMED_OUT"; "message", "reason": strings;
/// - "causes": messages of the errors that led to this one, the nearest first;
/// - "phase", "timeout", "sent": names, as hangup_phase_text and others give them;
/// - "method", "url", "origin", "connection_id", "reused", "attempts", "bytes_sent", "response_started", "status_code",
///   "retry_safe", "retry_may_help", "os_code", "resolver_code", "open_connections": as the functions of these names, with
///   null in place of 0 or "" for what there is not, and true and false in place of 1 and 0;
/// - "timings_us": an object with "pool", "resolve", "connect", "proxy", "tls", "write", "head", "read" and "total" in
///   microseconds;
/// - "acknowledged": the name, as hangup_acknowledged_text gives it; "tcp_facts": an object with the members of
///   hangup_tcp_facts but for `size`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_json(error: *const hangup_error) -> *const c_char {
    query(c"{}".as_ptr(), || Ok(unsafe { hangup_error::borrow(error)? }.json().as_ptr()))
}

/// How many connections were open when hangup_manager_drain timed out; 0 for any other error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_open_connections(error: *const hangup_error) -> u64 {
    query(0, || Ok(unsafe { hangup_error::borrow(error)? }.open_connections()))
}

/// Frees an error. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_free(error: *mut hangup_error) {
    unsafe { hangup_error::free(error) }
}

/// An error with its texts as C strings, which are made when they are first asked for.
#[derive(Debug)]
pub struct ErrorHandle {
    error: Error,
    message: OnceLock<CString>,
    reason: OnceLock<Option<CString>>,
    /// Its method, URL and origin.
    request: OnceLock<[CString; 3]>,
    json: OnceLock<CString>,
}

impl hangup_error {
    pub(super) fn begin(error: Error) -> *mut Self {
        Self::into_raw(Arc::new(ErrorHandle {
            error,
            message: OnceLock::new(),
            reason: OnceLock::new(),
            request: OnceLock::new(),
            json: OnceLock::new(),
        }))
    }
}

impl ErrorHandle {
    fn message(&self) -> &CStr {
        self.message.get_or_init(|| c_string(self.error.message()))
    }

    fn reason(&self) -> Option<&CStr> {
        self.reason.get_or_init(|| self.error.reason().map(c_string)).as_deref()
    }

    fn method(&self) -> &CStr {
        &self.request()[0]
    }

    fn url(&self) -> &CStr {
        &self.request()[1]
    }

    fn origin(&self) -> &CStr {
        &self.request()[2]
    }

    fn request(&self) -> &[CString; 3] {
        self.request.get_or_init(|| {
            [self.error.method(), self.error.url(), self.error.origin()]
                .map(|text| c_string(text.unwrap_or("")))
        })
    }

    fn json(&self) -> &CStr {
        self.json.get_or_init(|| c_string(&self.error.to_json()))
    }
}

impl Deref for ErrorHandle {
    type Target = Error;

    fn deref(&self) -> &Error {
        &self.error
    }
}

/// Texts of errors hold no NUL byte: `Error` removes them.
fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}
