//! Whether a failed attempt is followed by another one: pure policy. A server may close an idle
//! connection just when a request is sent on it (RFC 9112 section 9.3.1), and the network may have lost
//! it without a word. Only that is retried.

use http::header::{self, HeaderName};

use crate::error::Error;
use crate::response_head::RawHead;
use crate::vocabulary::Kind;

/// What an attempt could be repeated with.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryContext {
    /// Sending it twice is the same as once.
    pub(super) repeatable: bool,
    /// The body can be given from its beginning.
    pub(super) body_replayable: bool,
    /// Attempts that were lost before.
    pub(super) lost: u32,
}

/// Whether to make another attempt after this failure.
pub(super) fn should_retry(failure: &Error, context: RetryContext) -> bool {
    // A new connection that fails is no accident of keeping connections, and would fail again; but for one with large
    // segments, if the next one has small ones.
    let may_be_better =
        failure.reused() || (failure.lost_large_segments() && context.lost < MAX_REUSED_ATTEMPTS);
    may_be_better
        // An end from outside, a timeout and a broken body have kinds of their own.
        && matches!(failure.kind(), Kind::PeerClosed | Kind::PeerReset | Kind::PeerSilent)
        // With the first byte of the response the server has processed the request.
        && !failure.response_started()
        && (failure.bytes_sent() == 0 || context.repeatable)
        && context.body_replayable
}

/// Whether this 408 is that of a server which gave up an idle connection just when the request was sent on it: it
/// closes, too. The request may be repeated then (RFC 9110 section 15.5.9).
pub(super) fn crossed_a_timeout(head: &RawHead, reused: bool, context: RetryContext) -> bool {
    let closes = |(name, value): &(HeaderName, Vec<u8>)| {
        let mut options = value.split(|byte| *byte == b',');
        *name == header::CONNECTION
            && options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
    };
    head.status == 408
        && reused
        && context.repeatable
        && context.body_replayable
        && (head.version == 10 || head.fields().iter().any(closes))
}

/// Attempts on reused connections. The next one opens a new connection: idle connections often break
/// together, and are not tried one by one.
pub(super) const MAX_REUSED_ATTEMPTS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::Sent;

    fn lost(kind: Kind, bytes: u64, started: bool, reused: bool) -> Error {
        let sent = if bytes == 0 { Sent::Nothing } else { Sent::All };
        Error::new(kind, "").on_connection(1, reused).after_sending(sent, bytes, started)
    }

    const YES: RetryContext = RetryContext { repeatable: true, body_replayable: true, lost: 0 };
    const POST: RetryContext = RetryContext { repeatable: false, ..YES };

    #[test]
    fn only_what_a_kept_connection_lost_before_the_first_byte_is_sent_again() {
        for kind in Kind::ALL {
            let peer = matches!(kind, Kind::PeerClosed | Kind::PeerReset | Kind::PeerSilent);
            assert_eq!(should_retry(&lost(*kind, 10, false, true), YES), peer, "{kind}");
            assert!(!should_retry(&lost(*kind, 10, false, false), YES), "fresh, {kind}");
            assert!(!should_retry(&lost(*kind, 10, true, true), YES), "a byte came, {kind}");
        }
    }

    #[test]
    fn what_must_not_be_done_twice_is_sent_again_only_if_no_byte_went_out() {
        assert!(should_retry(&lost(Kind::PeerReset, 0, false, true), POST));
        assert!(!should_retry(&lost(Kind::PeerReset, 1, false, true), POST));
    }

    #[test]
    fn after_a_new_connection_with_large_segments_there_are_attempts_with_small_ones() {
        let failure = lost(Kind::PeerSilent, 10, false, false).after_losing_large_segments();
        assert!(should_retry(&failure, YES) && !should_retry(&failure, POST));
        let often = RetryContext { lost: MAX_REUSED_ATTEMPTS, ..YES };
        assert!(!should_retry(&failure, often), "not for ever");
        assert!(should_retry(&lost(Kind::PeerSilent, 10, false, true), often), "as before");
    }

    #[test]
    fn a_body_that_was_read_is_gone() {
        let gone = RetryContext { body_replayable: false, ..YES };
        assert!(!should_retry(&lost(Kind::PeerClosed, 0, false, true), gone));
        assert!(!should_retry(&lost(Kind::PeerClosed, 10, false, true), gone));
    }
}
