//! `hangup_timings`: how long each part of an exchange took, also of one that failed.

use std::mem::offset_of;

use super::enums::hangup_status;
use super::error::hangup_error;
use super::guard::{Handle, Report, report, status};
use crate::timings::Timings;

/// Durations in microseconds; -1 for a part that did not take place. Initialise it with HANGUP_TIMINGS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hangup_timings {
    /// In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled.
    pub size: usize,
    /// Waiting for a connection slot.
    pub pool_us: i64,
    /// Resolving the host name.
    pub resolve_us: i64,
    /// Connecting.
    pub connect_us: i64,
    /// The handshake with a proxy.
    pub proxy_us: i64,
    /// The TLS handshake.
    pub tls_us: i64,
    /// Sending the request.
    pub write_us: i64,
    /// From the request's last byte to the whole head.
    pub head_us: i64,
    /// From the head to the end of the body, or until now.
    pub read_us: i64,
    /// From the call to the end of the body, or until now.
    pub total_us: i64,
}

// SAFETY: `repr(C)`, `size` first, and no padding: the fields of 64 bits come before pairs of 32.
unsafe impl Report for hangup_timings {
    const FIRST: usize = offset_of!(hangup_timings, total_us) + size_of::<i64>();
}

/// Fills the durations up to the failure; all -1 if there was no exchange. `timings->size` is sizeof(*timings) or 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_timings(
    error: *const hangup_error,
    timings: *mut hangup_timings,
) -> hangup_status {
    status(|| {
        let error = unsafe { hangup_error::borrow(error)? };
        unsafe { report(timings, hangup_timings::of(error.timings())) }
    })
}

impl hangup_timings {
    pub(super) fn of(t: Timings) -> Self {
        let us = |part: Option<std::time::Duration>| {
            part.map_or(-1, |part| i64::try_from(part.as_micros()).unwrap_or(i64::MAX))
        };
        Self {
            size: size_of::<Self>(),
            pool_us: us(t.pool),
            resolve_us: us(t.resolve),
            connect_us: us(t.connect),
            proxy_us: us(t.proxy),
            tls_us: us(t.tls),
            write_us: us(t.write),
            head_us: us(t.head),
            read_us: us(t.read),
            total_us: us(t.total),
        }
    }
}
