//! `hangup_client`: connections that the caller makes itself.

use std::ffi::{CString, c_char, c_void};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::Arc;

use super::callback::{self, Thrown};
use super::client::hangup_client;
use super::enums::hangup_status;
use super::error::hangup_error;
use super::guard::{Handle, guard};
use crate::net::connector::{Connect, ConnectRequest, ConnectedSocket};

/// Makes a connection in place of a name lookup and a connect. Returns the descriptor of a connected stream socket, which
/// belongs to the library from then on; or a negative errno such as -ECONNREFUSED, which the error of the request has
/// (hangup_error_os_code). INT32_MIN is a failure without a number.
///
/// `origin` is that of the request, for example "https://example.org:443". `host` and `port` are what is to be connected to:
/// the origin's, those of hangup_client_add_connect_to, or those of the proxy that was set by hangup_client_set_proxy; an IPv6
/// address has brackets. The strings are valid until the function returns.
///
/// It is called on threads of the library, never on one of the caller's, possibly on several at once, with no lock held. It
/// may block: a request that is cancelled or times out (HANGUP_TIMEOUT_CONNECT) does not wait for it, and the descriptor that it
/// returns then is closed.
pub type hangup_connect_fn = Option<
    unsafe extern "C-unwind" fn(
        user_data: *mut c_void,
        origin: *const c_char,
        host: *const c_char,
        port: i32,
    ) -> i32,
>;

/// Called exactly once with the connector's `user_data`, when no client and no connection uses it any more and no call of it is
/// running; also when hangup_client_set_connector failed. It may run on any thread. It may be NULL.
pub type hangup_connect_end_fn = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void)>;

/// Has this function make the client's connections: for vsock, SSH tunnels, or the socket pairs of a test. NULL, the default,
/// lets the library connect.
///
/// TLS is added for https. The connections are pooled, listed and closed like any other; no other connector and no other
/// client's connections are mixed with them. They go through a proxy if one was set by hangup_client_set_proxy; proxies of the
/// environment are not used. Local address, interface and address family have no effect. A URL that names a Unix-domain socket
/// is connected to without the connector. `end` is called exactly once, also when this call fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_connector(
    client: *mut hangup_client,
    connect: hangup_connect_fn,
    end: hangup_connect_end_fn,
    user_data: *mut c_void,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let foreign = ForeignConnector { connect, end, user_data };
        let client = unsafe { hangup_client::borrow(client)? };
        let connector: Option<Connect> = connect.is_some().then(|| {
            Arc::new(move |request: &ConnectRequest<'_>| foreign.connect(request)) as Connect
        });
        client.set_connector(connector);
        Ok(())
    })
}

/// A connector of the caller's; its drop is the one call of `end`.
struct ForeignConnector {
    connect: hangup_connect_fn,
    end: hangup_connect_end_fn,
    user_data: *mut c_void,
}

// SAFETY: the header says that `connect` runs on several threads at once, and `end` on any.
unsafe impl Send for ForeignConnector {}
// SAFETY: as above.
unsafe impl Sync for ForeignConnector {}

impl ForeignConnector {
    fn connect(&self, request: &ConnectRequest<'_>) -> io::Result<ConnectedSocket> {
        let Some(connect) = self.connect else { return Err(io::ErrorKind::Unsupported.into()) };
        let text = |text| CString::new(text).map_err(|_| io::Error::other("a NUL in its name"));
        let (origin, host) = (text(request.origin)?, text(request.host)?);
        let port = i32::from(request.port);
        // SAFETY: both strings live until the function returns; `user_data` is the caller's own.
        let returned = callback::call(|| unsafe {
            connect(self.user_data, origin.as_ptr(), host.as_ptr(), port)
        });
        match returned {
            Ok(descriptor) if descriptor >= 0 => take(descriptor),
            // INT32_MIN is no negative errno.
            Ok(failure) => Err(match failure.checked_neg() {
                Some(errno) => io::Error::from_raw_os_error(errno),
                None => io::Error::other("the connector failed"),
            }),
            Err(Thrown) => Err(io::Error::other("the connector threw an exception")),
        }
    }
}

impl Drop for ForeignConnector {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            // SAFETY: once, by `Drop`; `user_data` is the caller's own.
            // There is no call to report an exception to.
            let _ = callback::call(|| unsafe { end(self.user_data) });
        }
    }
}

/// The socket behind a descriptor that the caller gave away.
fn take(descriptor: i32) -> io::Result<ConnectedSocket> {
    // SAFETY: asks for the flags of a descriptor number.
    if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and the header says that it belongs to the library from here on.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }.into())
}
