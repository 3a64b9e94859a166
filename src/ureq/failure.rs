//! Errors of the library as ureq's.

use std::io;

use ::ureq::{Error as UreqError, Timeout as UreqTimeout};

use crate::error::Error;
use crate::vocabulary::{Kind, Timeout};

/// The error of a dial. `reason`: the timeout of ureq's that the whole dial had.
pub(super) fn dial_error(error: Error, reason: UreqTimeout) -> UreqError {
    match error.kind() {
        Kind::TimedOut => match error.timeout() {
            Timeout::Total => UreqError::Timeout(reason),
            Timeout::Resolve => UreqError::Timeout(UreqTimeout::Resolve),
            Timeout::Token => UreqError::Io(io::Error::from(error)),
            _ => UreqError::Timeout(UreqTimeout::Connect),
        },
        Kind::ResolveFailed => UreqError::HostNotFound,
        Kind::ProxyFailed => UreqError::ConnectProxyFailed(error.to_string()),
        Kind::InvalidUrl => UreqError::BadUri(error.to_string()),
        _ => UreqError::Io(with_system_kind(error)),
    }
}

/// The error of an exchange that failed. Within a body ureq takes a closed or reset connection for the body's end, so
/// its kind is another one there.
pub(super) fn exchange_error(error: Error, in_body: bool) -> UreqError {
    UreqError::Io(if in_body { io::Error::other(error) } else { with_system_kind(error) })
}

/// An I/O error of the kind that the operating system's would have, with the error inside.
fn with_system_kind(error: Error) -> io::Error {
    match error.os_code().map(|code| io::Error::from_raw_os_error(code).kind()) {
        Some(kind) => io::Error::new(kind, error),
        None => io::Error::from(error),
    }
}
