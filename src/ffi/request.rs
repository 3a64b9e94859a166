//! `hangup_request`: its headers and settings. Its body has a file of its own.

use std::ffi::{CString, c_char};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use super::cancel::hangup_cancel;
use super::enums::{HANGUP_NO_LIMIT, hangup_connection_mode, hangup_status, hangup_timeout};
use super::error::hangup_error;
use super::guard::{
    Handle, guard, lock_for_one_thread, magic, or_default, out, status, text, text_bytes,
};
use super::milliseconds::{limit_ms, positive_ms};
use super::redirects::redirects_of;
use crate::error::Error;
use crate::request::Request;
use crate::vocabulary::Kind;

/// One request.
///
/// Create: hangup_request_new, hangup_request_new_connect, hangup_request_copy. Use: hangup_request_set_*, hangup_client_send,
/// hangup_client_submit. It can be sent more than once.
/// Free: hangup_request_free.
/// Threads: one thread at a time; a second one gets HANGUP_INVALID_STATE.
pub struct hangup_request {
    _opaque: [u8; 0],
}

impl Handle for hangup_request {
    type Target = RequestHandle;
    const MAGIC: u64 = magic(b"hang-req");
}

/// A new request. The URL is absolute, http or https; its fragment is not sent, its user information becomes Basic
/// credentials. Path and query are sent as they are written, except that the path segments "." and ".." are followed, and that
/// spaces and other characters that no request can hold are percent-encoded. A Unix-domain socket is named by its
/// percent-encoded path, "http+unix://%2Frun%2Fapp.sock/path", an abstract one (Linux) by "%40" and its name:
/// "http+unix://%40name/path". A link-local IPv6 address has a zone, which is a network interface: "http://[fe80::1%25eth0]/".
///
/// Fails: HANGUP_INVALID_URL, HANGUP_INVALID_METHOD.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_new(
    method: *const c_char,
    url: *const c_char,
    request: *mut *mut hangup_request,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let place = unsafe { out(request)? };
        let made = Request::new(unsafe { text(method, "method")? }, unsafe { text(url, "url")? })?;
        *place = hangup_request::begin(made);
        Ok(())
    })
}

/// A new request for a tunnel, with the method CONNECT (RFC 9110 section 9.3.6). `proxy` is the URL of an HTTP proxy;
/// `target` is the host and port that it shall connect to, such as "example.org:443". After a success (2xx) the connection is a
/// stream to the target: hangup_response_take_stream. Any other response is an ordinary one; redirects are not followed. User
/// information in the URL becomes Basic credentials in Proxy-Authorization.
///
/// To send requests through a proxy, use hangup_client_set_proxy instead.
///
/// Fails: HANGUP_INVALID_URL, also for a target that is not a host and a port.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_new_connect(
    proxy: *const c_char,
    target: *const c_char,
    request: *mut *mut hangup_request,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let place = unsafe { out(request)? };
        let (proxy, target) = unsafe { (text(proxy, "proxy")?, text(target, "target")?) };
        *place = hangup_request::begin(Request::connect(proxy, target)?);
        Ok(())
    })
}

/// As hangup_request_new, but everything in the URL between its host and its fragment is sent exactly as it is written: no space
/// is encoded and no ".." is followed. A backslash is sent, too. A URL that was signed and holds such characters stays signed.
///
/// Fails: HANGUP_INVALID_URL, also for a space or a control character; HANGUP_INVALID_METHOD.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_new_as_given(
    method: *const c_char,
    url: *const c_char,
    request: *mut *mut hangup_request,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let place = unsafe { out(request)? };
        let (method, url) = unsafe { (text(method, "method")?, text(url, "url")?) };
        *place = hangup_request::begin(Request::new_as_given(method, url)?);
        Ok(())
    })
}

/// A copy that can be changed independently. It shares the cancel token.
///
/// Fails: HANGUP_INVALID_STATE for a body from a reader, which can't be copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_copy(
    request: *const hangup_request,
    copy: *mut *mut hangup_request,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let place = unsafe { out(copy)? };
        let request = unsafe { hangup_request::borrow(request)? };
        let copy = lock(request)?.try_clone()?;
        *place = hangup_request::begin(copy);
        Ok(())
    })
}

/// Frees a request. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_free(request: *mut hangup_request) {
    unsafe { hangup_request::free(request) }
}

/// Adds a header. A name can be added several times. Names are sent with the case and in the order in which they were added, in
/// front of the client's defaults. The value is any bytes but control characters other than tab, in any encoding (RFC 9110
/// section 5.5).
///
/// Host replaces the URL's host in the message: it has no influence on the connection and on TLS, and is not sent to another
/// origin after a redirect. Content-Length must be the length of the body; for a body whose length is not known it announces
/// that length, and another length fails the exchange with HANGUP_BODY_FAILED. Transfer-Encoding can only repeat what the
/// library sends. "Connection: close" is HANGUP_CONNECTION_MODE_CLOSE_AFTER.
///
/// "Upgrade" asks for another protocol (RFC 9110 section 7.8), such as "websocket"; the library adds "Connection: Upgrade". If
/// the response is 101, hangup_response_take_stream returns the connection; any other response is an ordinary one. A server
/// that switches without having been asked, or to a protocol that was not named, is HANGUP_PROTOCOL. Such a request goes
/// through an HTTP proxy in a tunnel.
///
/// Fails: HANGUP_INVALID_HEADER, here or when the request is sent, for a value that contradicts what the library sends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_add_header(
    request: *mut hangup_request,
    name: *const c_char,
    value: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let (name, value) =
            unsafe { (text(name, "header name")?, text_bytes(value, "header value")?) };
        lock(request)?.add_header(name, value)
    })
}

/// Removes a header from the request, and from what the client and the library would add to it: the client's defaults such as
/// Accept and User-Agent, Accept-Encoding, Cookie, and Authorization from the URL's user information. A header of that name
/// that is added later is sent.
///
/// Fails: HANGUP_INVALID_HEADER, also for Host, Connection, Content-Length and Transfer-Encoding, which the library sends where
/// HTTP needs them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_remove_header(
    request: *mut hangup_request,
    name: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let name = unsafe { text(name, "header name")? };
        lock(request)?.remove_header(name)
    })
}

/// Sets what is sent as the request target (RFC 9112 section 3.2) instead of the URL's path and query, byte for byte: "*" for
/// OPTIONS of a server as a whole, or a path that the URL standard would change. Connection, Host, TLS and cookies follow the
/// URL, and a redirect is resolved against it and has its own target. NULL, the default, is the URL's target.
///
/// Fails: HANGUP_INVALID_ARGUMENT for a target that is empty or holds a space or a control character.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_target(
    request: *mut hangup_request,
    target: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let target = match target.is_null() {
            true => None,
            false => Some(unsafe { text_bytes(target, "target")? }),
        };
        lock(request)?.set_target(target)
    })
}

/// Sets a timeout of this request (HANGUP_TIMEOUT_TOTAL to HANGUP_TIMEOUT_READ) in milliseconds; HANGUP_NO_LIMIT removes it.
///
/// Fails: HANGUP_INVALID_TIMEOUT for zero or another negative number; HANGUP_INVALID_ARGUMENT for another timeout.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_timeout(
    request: *mut hangup_request,
    which: hangup_timeout,
    ms: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        lock(request)?.set_timeout(which.get_settable()?, limit_ms(ms)?)
    })
}

/// Ends the exchange with HANGUP_TIMED_OUT (timeout HANGUP_TIMEOUT_MIN_RATE) when the body arrives more slowly than
/// `bytes_per_second` over `window_ms` milliseconds of waiting. Time outside of reads does not count. HANGUP_NO_LIMIT as rate,
/// the default, removes it.
///
/// Fails: HANGUP_INVALID_ARGUMENT for a rate of zero; HANGUP_INVALID_TIMEOUT for a window of zero or less.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_min_rate(
    request: *mut hangup_request,
    bytes_per_second: i64,
    window_ms: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let rate = match bytes_per_second {
            HANGUP_NO_LIMIT => None,
            rate => {
                let rate = u64::try_from(rate).ok().filter(|rate| *rate > 0).ok_or_else(|| {
                    let what = "a minimum rate is greater than zero; HANGUP_NO_LIMIT removes it";
                    Error::new(Kind::InvalidArgument, what)
                })?;
                Some((rate, positive_ms(window_ms)?))
            }
        };
        lock(request)?.set_min_rate(rate)
    })
}

/// How long the connection lives.
///
/// Fails: HANGUP_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_connection_mode(
    request: *mut hangup_request,
    mode: hangup_connection_mode,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        lock(request)?.set_connection_mode(mode.get()?);
        Ok(())
    })
}

/// Whether the request is sent again if a reused connection breaks before the response: 1 or 0. Overrides
/// hangup_client_set_retries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_retries(
    request: *mut hangup_request,
    on: i32,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        lock(request)?.set_retries(on != 0);
        Ok(())
    })
}

/// The largest number of redirects that are followed. Overrides hangup_client_set_redirects. With 0 a redirect is returned as
/// the response; HANGUP_NO_LIMIT follows any number.
///
/// Fails: HANGUP_INVALID_ARGUMENT for another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_redirects(
    request: *mut hangup_request,
    max: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        lock(request)?.set_redirects(Some(redirects_of(max)?));
        Ok(())
    })
}

/// Waits for the whole body, of at most `at_most` bytes: the call returns after the last byte of the body instead of after
/// the head, and reading the body does not wait. HANGUP_NO_LIMIT, the default, returns after the head.
///
/// A larger body fails the call with HANGUP_TOO_LARGE and closes the connection. 0 allows only an empty body; INT64_MAX is the
/// client's limit (hangup_client_set_max_body), 256 MiB by default.
///
/// Fails: HANGUP_INVALID_ARGUMENT for another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_buffer_body(
    request: *mut hangup_request,
    at_most: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let at_most = match at_most {
            HANGUP_NO_LIMIT => None,
            // The client's limit.
            i64::MAX => Some(usize::MAX),
            // More than memory holds is as good as all of it.
            bytes if bytes >= 0 => Some(usize::try_from(bytes).unwrap_or(usize::MAX - 1)),
            _ => {
                let what = "a negative size of a body; HANGUP_NO_LIMIT ends the call at the head";
                return Err(Error::new(Kind::InvalidArgument, what));
            }
        };
        lock(request)?.set_buffer_body(at_most);
        Ok(())
    })
}

/// Buffers only bodies that are not known to be longer, where hangup_request_set_buffer_body asks for it: with a Content-Length of
/// more than `length` bytes, within the bound there, the call returns after the head, and hangup_response_left says how much is to be
/// read, for example into memory of the caller's by hangup_response_read_full or hangup_response_read_available. A body whose length is
/// not known is buffered. HANGUP_NO_LIMIT, the default: all are.
///
/// Fails: HANGUP_INVALID_ARGUMENT for another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_buffer_up_to(
    request: *mut hangup_request,
    length: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let length = match (length, u64::try_from(length)) {
            (HANGUP_NO_LIMIT, _) => None,
            (_, Ok(length)) => Some(length),
            _ => {
                let what =
                    "a negative length of a body; HANGUP_NO_LIMIT buffers bodies of any length";
                return Err(Error::new(Kind::InvalidArgument, what));
            }
        };
        lock(request)?.set_buffer_up_to(length);
        Ok(())
    })
}

/// Whether the request asks for content codings and its body is decoded: 1 or 0. Overrides hangup_client_set_decode.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_decode(
    request: *mut hangup_request,
    on: i32,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        lock(request)?.set_decode(on != 0);
        Ok(())
    })
}

/// Sets the cancel token: firing it ends the exchange, its body included. The request keeps its own handle of the token. NULL
/// removes it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_cancel(
    request: *mut hangup_request,
    cancel: *mut hangup_cancel,
) -> hangup_status {
    status(|| {
        let request = unsafe { hangup_request::borrow(request)? };
        let token = if cancel.is_null() {
            None
        } else {
            Some(unsafe { hangup_cancel::borrow(cancel)? }.as_ref().clone())
        };
        lock(request)?.set_cancel(token);
        Ok(())
    })
}

/// The method. Borrowed until the request is changed or freed. "" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_method(request: *const hangup_request) -> *const c_char {
    or_default(c"".as_ptr(), || {
        let request = unsafe { hangup_request::borrow(request)? };
        if let Some(method) = request.method.get() {
            return Ok(method.as_ptr());
        }
        // A method is a token, which holds no NUL byte.
        let method = CString::new(lock(request)?.method()).unwrap_or_default();
        Ok(request.method.get_or_init(|| method).as_ptr())
    })
}

/// A request, and its method as a C string, which is made when it is first asked for. The method never changes.
pub struct RequestHandle {
    request: Mutex<Request>,
    method: OnceLock<CString>,
}

impl hangup_request {
    fn begin(request: Request) -> *mut Self {
        Self::into_raw(Arc::new(RequestHandle {
            request: Mutex::new(request),
            method: OnceLock::new(),
        }))
    }
}

impl Deref for RequestHandle {
    type Target = Mutex<Request>;

    fn deref(&self) -> &Mutex<Request> {
        &self.request
    }
}

/// Fails while another thread uses the request.
pub(super) fn lock(request: &Mutex<Request>) -> Result<MutexGuard<'_, Request>, Error> {
    let message = "this request is used by another thread right now; copy it for a second one";
    lock_for_one_thread(request, message)
}
