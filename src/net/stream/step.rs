//! One step on a connection's socket: what a call that did not block came to, and the wait for the next one.
//! Knows nothing of TLS but its errors.

use std::io;

use super::tls_transport::blocked;
use crate::net::Stop;
use crate::net::socket::InUse;
use crate::runtime::{Interest, WaitUntil, WakeReason, wait_fd};

/// `None` if the call has to wait. An error that is no system call's is that of a TLS layer.
#[inline]
pub(super) fn not_yet<T>(result: io::Result<T>) -> Result<Option<T>, Stop> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if blocked(&error) => Ok(None),
        Err(error) => Err(stop_of(error)),
    }
}

#[cold]
fn stop_of(error: io::Error) -> Stop {
    if error.raw_os_error().is_some() {
        return Stop::Io(error);
    }
    Stop::Tls(match error.downcast::<rustls::Error>() {
        Ok(error) => error,
        Err(other) => rustls::Error::General(other.to_string()),
    })
}

/// Waits until the socket is ready: to read, to write.
pub(super) fn ready(
    socket: &InUse<'_>,
    interest: Interest,
    until: WaitUntil,
) -> Result<(bool, bool), Stop> {
    match wait_fd(socket.source(), interest, until).map_err(Stop::Io)? {
        WakeReason::Ready { read, write } => Ok((read, write)),
        WakeReason::Notified => Err(Stop::Ended),
        WakeReason::Deadline => Err(Stop::Deadline(until.timeout)),
        WakeReason::Interrupted => Err(Stop::Interrupted),
    }
}
