//! `hangup_request`: its headers, body and settings.

use std::ffi::{CString, c_char, c_void};
use std::io::{self, Read};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use super::callback::{self, Thrown};
use super::cancel::hangup_cancel;
use super::enums::{HANGUP_NO_LIMIT, hangup_connection_mode, hangup_status, hangup_timeout};
use super::error::hangup_error;
use super::guard::{
    Handle, bytes, guard, lock_for_one_thread, magic, or_default, out, status, text, text_bytes,
};
use super::milliseconds::{limit_ms, positive_ms};
use super::redirects::redirects_of;
use crate::error::Error;
use crate::request::{Body, Request};
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

/// Reads a piece of a request's body: writes at most `room` bytes to `into` and returns how many; 0 at the end; a negative
/// number ends the exchange with HANGUP_BODY_FAILED.
///
/// It is called with no lock held; it may block, and it may call hangup. For hangup_client_send it is called on the thread
/// that sends. For hangup_client_submit it is called on threads of the library: not always the same one, never two at once.
///
/// When a timeout, a cancel, a close or a shutdown ends a submitted request, that completes at once: it does not wait for a
/// running callback, whose result is dropped. A blocking hangup_client_send returns after the callback has returned.
pub type hangup_body_read_fn =
    Option<unsafe extern "C-unwind" fn(user_data: *mut c_void, into: *mut u8, room: usize) -> i64>;

/// Called exactly once with the body's `user_data`, when the body was sent, failed or is no longer needed; also when the
/// function that set the body failed. It may run on any thread. If the request completes while a hangup_body_read_fn is
/// running, it is called after that has returned. It may be NULL.
pub type hangup_body_end_fn = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void)>;

/// A new request. The URL is absolute, http or https; its fragment is not sent, its user information becomes Basic
/// credentials. Path and query are sent as they are written, except that the path segments "." and ".." are followed, and that
/// spaces and other characters that no request can hold are percent-encoded. A Unix-domain socket is named by its
/// percent-encoded path, "http+unix://%2Frun%2Fapp.sock/path", an abstract one (Linux) by "%40" and its name:
/// "http+unix://%40name/path".
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

/// Sets the body to a copy of these bytes. (NULL, 0) is an empty body.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_body(
    request: *mut hangup_request,
    data: *const u8,
    size: usize,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let data = unsafe { bytes(data, size, "body")? };
        lock(request)?.set_body(Body::bytes(data));
        Ok(())
    })
}

/// Sets the body to `size` bytes at `data` without copying them. They must not change until `end` is called with `user_data`.
/// That happens exactly once, when no request and no exchange needs them any more, also when this call fails. Copies of the
/// request share them.
///
/// Fails: HANGUP_NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_body_borrowed(
    request: *mut hangup_request,
    data: *const u8,
    size: usize,
    end: hangup_body_end_fn,
    user_data: *mut c_void,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let end = End { end, user_data };
        let request = unsafe { hangup_request::borrow(request)? };
        // They stay until `end` is dropped, which is together with the borrow.
        let bytes = unsafe { bytes(data, size, "body")? };
        lock(request)?.set_body(Body::shared(BorrowedBody { bytes, _end: end }));
        Ok(())
    })
}

/// Sets the body to the contents of a regular file, which is opened and read when the request is sent. It is sent with its
/// length, or chunked if the file's size can't be relied on, as in /proc. If the file grows or shrinks during the exchange, that
/// fails with HANGUP_BODY_FAILED.
///
/// Fails: HANGUP_SYSTEM if it can't be opened or is not a regular file, such as a FIFO; a FIFO is not waited for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_body_file(
    request: *mut hangup_request,
    path: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let body = Body::file(unsafe { text(path, "path")? })?;
        lock(request)?.set_body(body);
        Ok(())
    })
}

/// Sets the body to what a callback returns. `length` is the number of bytes, or HANGUP_NO_LIMIT if it is not known; the body
/// is then sent chunked (RFC 9112 section 7.1). If the callback returns fewer bytes, the exchange fails. `end` is called
/// exactly once, also when this call fails.
///
/// Fails: HANGUP_NULL; HANGUP_INVALID_ARGUMENT for another negative length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_body_reader(
    request: *mut hangup_request,
    read: hangup_body_read_fn,
    end: hangup_body_end_fn,
    user_data: *mut c_void,
    length: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let reader = ForeignBody { read, end: End { end, user_data } };
        let request = unsafe { hangup_request::borrow(request)? };
        if read.is_none() {
            return Err(Error::new(Kind::Null, "a NULL body reader"));
        }
        let length = match length {
            HANGUP_NO_LIMIT => None,
            known => Some(u64::try_from(known).map_err(|_| {
                let what = "a negative body length; HANGUP_NO_LIMIT means that it is not known";
                Error::new(Kind::InvalidArgument, what)
            })?),
        };
        lock(request)?.set_body(Body::reader(reader, length));
        Ok(())
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

/// A body reader of the caller's.
struct ForeignBody {
    read: hangup_body_read_fn,
    end: End,
}

/// Bytes of the caller's.
struct BorrowedBody {
    bytes: &'static [u8],
    _end: End,
}

/// Its drop is the one call of `end`.
struct End {
    end: hangup_body_end_fn,
    user_data: *mut c_void,
}

// SAFETY: the header says that `read` runs on the sending thread and `end` on any, never both at once: the
// reader has one owner.
unsafe impl Send for End {}
// SAFETY: `&End` offers nothing.
unsafe impl Sync for End {}

impl AsRef<[u8]> for BorrowedBody {
    fn as_ref(&self) -> &[u8] {
        self.bytes
    }
}

impl Read for ForeignBody {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(read) = self.read else { return Ok(0) };
        // SAFETY: `into` is writable for its length; `user_data` is the caller's own.
        let got =
            callback::call(|| unsafe { read(self.end.user_data, into.as_mut_ptr(), into.len()) })
                .map_err(|Thrown| io::Error::other("the body reader threw an exception"))?;
        match usize::try_from(got) {
            Ok(got) if got <= into.len() => Ok(got),
            Ok(got) => {
                let what = format!("the body reader says it wrote {got} bytes into {}", into.len());
                Err(io::Error::other(what))
            }
            Err(_) => Err(io::Error::other(format!("the body reader returned {got}"))),
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            // SAFETY: once, by `Drop`; `user_data` is the caller's own.
            // There is no call to report an exception to.
            let _ = callback::call(|| unsafe { end(self.user_data) });
        }
    }
}
