//! Credentials of clients and requests, and functions of the caller that give tokens.

use std::ffi::{CString, c_char, c_void};
use std::path::Path;
use std::ptr::null;
use std::sync::{Arc, Mutex};

use super::callback::{self, Thrown};
use super::client::hangup_client;
use super::enums::hangup_status;
use super::error::hangup_error;
use super::guard::{Handle, guard, magic, status, text};
use super::request::{hangup_request, lock as lock_request};
use crate::auth::{Auth, TokenRequest};
use crate::error::Error;
use crate::sync::lock;
use crate::vocabulary::Kind;

/// The token that a hangup_token_fn gives.
///
/// Create: the library passes it to that function. Use: hangup_token_set_value. Free: the library does, when the function returns.
/// Threads: any thread at any time, until the function returns.
pub struct hangup_token {
    _opaque: [u8; 0],
}

impl Handle for hangup_token {
    type Target = Mutex<Option<String>>;
    const MAGIC: u64 = magic(b"hang-tok");
}

/// Gives a bearer token for an origin, for example "https://example.org:443": sets it with hangup_token_set_value and returns 0, or
/// returns another number, which becomes part of the message of HANGUP_AUTH_FAILED. `refused` is NULL before a request is
/// sent; after the server refused a token with 401 it is that token. Both texts are valid until the function returns.
///
/// It is called on threads of the library, never on one of the caller's, possibly on several at once, with no lock held. It
/// may block: a request that is cancelled or times out does not wait for it.
pub type hangup_token_fn = Option<
    unsafe extern "C-unwind" fn(
        user_data: *mut c_void,
        origin: *const c_char,
        refused: *const c_char,
        token: *mut hangup_token,
    ) -> i32,
>;

/// Called exactly once with the `user_data` of a hangup_token_fn, when it was replaced or its client or request is gone, and
/// no call of it is running; also when the function that set it failed. It may run on any thread. It may be NULL.
pub type hangup_token_end_fn = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void)>;

/// Sets the token: visible ASCII characters, without "Bearer ". It is copied.
///
/// Fails: HANGUP_INVALID_ARGUMENT if it is not UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_token_set_value(
    token: *mut hangup_token,
    value: *const c_char,
) -> hangup_status {
    status(|| {
        let token = unsafe { hangup_token::borrow(token)? };
        let value = unsafe { text(value, "token")? }.to_owned();
        *lock(token) = Some(value);
        Ok(())
    })
}

/// Sends this user and password to the origin of each request as Basic credentials (RFC 7617): readable by all who see the
/// request, so use https.
///
/// Credentials go to the origin of the request's URL and never to another one: a redirect to another scheme, host or port drops
/// them for the rest of the call. Those of a request come first: its Authorization header, then hangup_request_set_auth_*, then
/// the user information of its URL. Then comes an Authorization header of the client, and then these. A client has one
/// kind: each hangup_client_set_auth_* replaces the others. For a request with CONNECT they go into the
/// Proxy-Authorization header.
///
/// Fails: HANGUP_INVALID_ARGUMENT for a user with a colon, and for control characters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_auth_basic(
    client: *mut hangup_client,
    user: *const c_char,
    password: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        let (user, password) = unsafe { (text(user, "user")?, text(password, "password")?) };
        let auth = Auth::basic(user, password)?;
        client.set_auth(Some(auth));
        Ok(())
    })
}

/// Sends this bearer token (RFC 6750) to the origin of each request.
///
/// Fails: HANGUP_INVALID_ARGUMENT for a token that is empty or has other characters than the visible ones of ASCII.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_auth_bearer(
    client: *mut hangup_client,
    token: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        let auth = Auth::bearer(unsafe { text(token, "token")? })?;
        client.set_auth(Some(auth));
        Ok(())
    })
}

/// Answers the challenges of servers with this user and password (digest authentication, RFC 7616, with MD5, SHA-256,
/// SHA-512-256 and their "-sess" forms; the quality of protection is "auth", or none as in RFC 2069).
///
/// The first request to an origin goes out without credentials; after a 401 it is sent again on the same connection, and later
/// requests of the client use the same nonce at once. The 401 is returned if the body can't be read again, or if the server
/// refuses the answer. A server that offers only other forms, "auth-int" for example, fails the call with HANGUP_AUTH_FAILED.
///
/// Fails: HANGUP_INVALID_ARGUMENT for control characters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_auth_digest(
    client: *mut hangup_client,
    user: *const c_char,
    password: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        let (user, password) = unsafe { (text(user, "user")?, text(password, "password")?) };
        let auth = Auth::digest(user, password)?;
        client.set_auth(Some(auth));
        Ok(())
    })
}

/// Sends the users and passwords of a netrc file, which is read now, as Basic credentials to the hosts that it names. `path`
/// NULL is the file that the environment variable NETRC names, or else .netrc in the home directory; if that one does not
/// exist, nothing is sent.
///
/// Fails: HANGUP_SYSTEM if the file can't be read; HANGUP_INVALID_ARGUMENT if it is malformed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_auth_netrc(
    client: *mut hangup_client,
    path: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        let path = match path.is_null() {
            true => None,
            false => Some(Path::new(unsafe { text(path, "path")? })),
        };
        let auth = Auth::netrc(path)?;
        client.set_auth(Some(auth));
        Ok(())
    })
}

/// Sends bearer tokens that this function gives. It is asked before each request; if the server refuses that token with 401, it
/// is asked once more, and the request is sent again. If it gives the same token then, or the body can't be read again, the
/// 401 is returned. `end` is called exactly once, also when this call fails.
///
/// Fails: HANGUP_NULL for no function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_auth_token(
    client: *mut hangup_client,
    provide: hangup_token_fn,
    end: hangup_token_end_fn,
    user_data: *mut c_void,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let foreign = ForeignTokens { provide, end, user_data };
        let client = unsafe { hangup_client::borrow(client)? };
        let auth = foreign.auth()?;
        client.set_auth(Some(auth));
        Ok(())
    })
}

/// Sends no credentials of the client any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_clear_auth(client: *mut hangup_client) -> hangup_status {
    status(|| {
        unsafe { hangup_client::borrow(client)? }.set_auth(None);
        Ok(())
    })
}

/// With 1, a HTTP proxy gets the user and the password of its URL as answers to its challenges (digest authentication, RFC
/// 7616), so that the password itself is never sent; with 0, the default, as Basic credentials with each request. A 407 is
/// answered on the same connection if the proxy keeps it, and on a new one otherwise. A plain request whose body can't be
/// read again gets the 407.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_proxy_digest(
    client: *mut hangup_client,
    on: i32,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        unsafe { hangup_client::borrow(client)? }.set_proxy_digest(on != 0);
        Ok(())
    })
}

/// As hangup_client_set_auth_basic, for this request, in place of the client's credentials and of the URL's user information.
///
/// Fails: as that one; HANGUP_INVALID_STATE while another thread uses the request.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_auth_basic(
    request: *mut hangup_request,
    user: *const c_char,
    password: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let (user, password) = unsafe { (text(user, "user")?, text(password, "password")?) };
        let auth = Auth::basic(user, password)?;
        lock_request(request)?.set_auth(Some(auth));
        Ok(())
    })
}

/// As hangup_client_set_auth_bearer, for this request.
///
/// Fails: as that one; HANGUP_INVALID_STATE while another thread uses the request.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_auth_bearer(
    request: *mut hangup_request,
    token: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let auth = Auth::bearer(unsafe { text(token, "token")? })?;
        lock_request(request)?.set_auth(Some(auth));
        Ok(())
    })
}

/// As hangup_client_set_auth_digest, for this request. The client keeps the nonces for other requests of the same user.
///
/// Fails: as that one; HANGUP_INVALID_STATE while another thread uses the request.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_auth_digest(
    request: *mut hangup_request,
    user: *const c_char,
    password: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let (user, password) = unsafe { (text(user, "user")?, text(password, "password")?) };
        let auth = Auth::digest(user, password)?;
        lock_request(request)?.set_auth(Some(auth));
        Ok(())
    })
}

/// As hangup_client_set_auth_netrc, for this request.
///
/// Fails: as that one; HANGUP_INVALID_STATE while another thread uses the request.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_auth_netrc(
    request: *mut hangup_request,
    path: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let path = match path.is_null() {
            true => None,
            false => Some(Path::new(unsafe { text(path, "path")? })),
        };
        let auth = Auth::netrc(path)?;
        lock_request(request)?.set_auth(Some(auth));
        Ok(())
    })
}

/// As hangup_client_set_auth_token, for this request.
///
/// Fails: as that one; HANGUP_INVALID_STATE while another thread uses the request.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_auth_token(
    request: *mut hangup_request,
    provide: hangup_token_fn,
    end: hangup_token_end_fn,
    user_data: *mut c_void,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let foreign = ForeignTokens { provide, end, user_data };
        let request = unsafe { hangup_request::borrow(request)? };
        let auth = foreign.auth()?;
        lock_request(request)?.set_auth(Some(auth));
        Ok(())
    })
}

/// Sends no credentials with this request but those of its URL and of its own headers, whatever the client has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_clear_auth(request: *mut hangup_request) -> hangup_status {
    status(|| {
        let request = unsafe { hangup_request::borrow(request)? };
        lock_request(request)?.set_auth(None);
        Ok(())
    })
}

/// A function of the caller's that gives tokens; its drop is the one call of `end`.
struct ForeignTokens {
    provide: hangup_token_fn,
    end: hangup_token_end_fn,
    user_data: *mut c_void,
}

// SAFETY: the header says that `provide` runs on several threads at once, and `end` on any.
unsafe impl Send for ForeignTokens {}
// SAFETY: as above.
unsafe impl Sync for ForeignTokens {}

impl ForeignTokens {
    fn auth(self) -> Result<Auth, Error> {
        if self.provide.is_none() {
            return Err(Error::new(Kind::Null, "a NULL function for tokens"));
        }
        Ok(Auth::token(move |asked| self.token(asked)))
    }

    fn token(&self, asked: &TokenRequest) -> Result<String, String> {
        let Some(provide) = self.provide else { return Err("no function".to_owned()) };
        let c = |text: &str| CString::new(text).map_err(|_| "a NUL character".to_owned());
        let origin = c(&asked.origin)?;
        let refused = asked.refused_token.as_deref().map(c).transpose()?;
        let refused = refused.as_ref().map_or(null(), |token| token.as_ptr());
        let given = Arc::new(Mutex::new(None));
        let handle = hangup_token::into_raw(Arc::clone(&given));
        // SAFETY: the pointers live until the function returns; `user_data` is the caller's own.
        let returned =
            callback::call(|| unsafe { provide(self.user_data, origin.as_ptr(), refused, handle) });
        // SAFETY: made above, and the function has returned.
        unsafe { hangup_token::free(handle) };
        match returned {
            Ok(0) => {
                let token = lock(&given).take();
                token
                    .ok_or_else(|| "the function for tokens returned 0 and set no token".to_owned())
            }
            Ok(failure) => Err(format!("the function for tokens returned {failure}")),
            Err(Thrown) => Err("the function for tokens threw an exception".to_owned()),
        }
    }
}

impl Drop for ForeignTokens {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            // SAFETY: once, by `Drop`; `user_data` is the caller's own.
            // There is no call to report an exception to.
            let _ = callback::call(|| unsafe { end(self.user_data) });
        }
    }
}
