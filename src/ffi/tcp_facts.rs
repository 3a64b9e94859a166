//! `hangup_tcp_facts`: what TCP knew of a connection when a wait for its peer ended.

use std::mem::offset_of;
use std::time::Duration;

use super::enums::hangup_status;
use super::error::hangup_error;
use super::guard::{Handle, Report, report, status};
use crate::error::Error;
use crate::tcp_facts::TcpFacts;
use crate::vocabulary::Kind;

/// What the operating system's TCP knows of a connection at one moment: TCP_INFO of Linux (tcp(7)). TLS does not hide it, as it
/// is below TLS. On a connection through a proxy it is about the way to the proxy. Initialise it with HANGUP_TCP_FACTS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hangup_tcp_facts {
    /// In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled.
    pub size: usize,
    /// The smoothed round-trip time in microseconds (RFC 6298 section 2); -1 before it was measured.
    pub rtt_us: i64,
    /// How many milliseconds ago the last byte or acknowledgement of the peer came: its last sign of life.
    pub silence_ms: i64,
    /// Bytes that were written to the connection and that the peer has not acknowledged. The peer may have received them:
    /// acknowledgements get lost, too.
    pub unacked_bytes: i64,
    /// Those of them that were not sent yet, because the peer or the network takes no more for now.
    pub unsent_bytes: i64,
    /// Segments that were sent again since the connection was made.
    pub retransmissions: i64,
    /// How often the oldest unacknowledged segment was sent again, without an acknowledgement in between.
    pub retransmissions_in_row: i32,
    /// Keep-alive probes (HANGUP_LIMIT_KEEP_ALIVE_MS) and probes of a full receive window that were sent in a row and not
    /// answered.
    pub unanswered_probes: i32,
}

// SAFETY: `repr(C)`, `size` first, and no padding: the fields of 64 bits come before pairs of 32.
unsafe impl Report for hangup_tcp_facts {
    const FIRST: usize = offset_of!(hangup_tcp_facts, unanswered_probes) + size_of::<i32>();
}

/// Fills what TCP knew of the connection when the wait for the peer ended, before the connection was closed. `facts->size` is
/// sizeof(*facts) or 0.
///
/// Fails: HANGUP_NOT_FOUND if hangup_error_acknowledged is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_error_tcp_facts(
    error: *const hangup_error,
    facts: *mut hangup_tcp_facts,
) -> hangup_status {
    status(|| {
        let known = unsafe { hangup_error::borrow(error)? }.tcp_facts().ok_or_else(|| {
            Error::new(Kind::NotFound, "TCP was not asked about the connection of this error")
        })?;
        unsafe { report(facts, hangup_tcp_facts::of(Some(known))) }
    })
}

impl hangup_tcp_facts {
    /// All of them are -1 if there are none.
    pub(super) fn of(facts: Option<TcpFacts>) -> Self {
        let count = |of: fn(&TcpFacts) -> u64| {
            facts.as_ref().map_or(-1, |facts| i64::try_from(of(facts)).unwrap_or(i64::MAX))
        };
        let few = |of: fn(&TcpFacts) -> u32| {
            facts.as_ref().map_or(-1, |facts| i32::try_from(of(facts)).unwrap_or(i32::MAX))
        };
        let number = |number: u128| i64::try_from(number).unwrap_or(i64::MAX);
        let rtt = facts.and_then(|facts| facts.rtt);
        let silence = facts.map(|facts| facts.silence);
        Self {
            size: size_of::<Self>(),
            rtt_us: rtt.as_ref().map(Duration::as_micros).map_or(-1, number),
            silence_ms: silence.as_ref().map(Duration::as_millis).map_or(-1, number),
            unacked_bytes: count(|facts| facts.unacked_bytes),
            unsent_bytes: count(|facts| facts.unsent_bytes),
            retransmissions: count(|facts| facts.retransmissions.into()),
            retransmissions_in_row: few(|facts| facts.retransmissions_in_row),
            unanswered_probes: few(|facts| facts.unanswered_probes),
        }
    }
}
