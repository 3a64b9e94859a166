//! Whether a failed attempt is made again: pure policy. A server may close an idle connection
//! just when a request goes out on it (RFC 9112 section 9.3.1); that, and nothing else, is made good.

use crate::error::Error;
use crate::vocabulary::Kind;

/// What an attempt could be repeated with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Again {
    /// Sending it twice is the same as once.
    pub(super) repeatable: bool,
    /// The body can be given from its beginning.
    pub(super) body_whole: bool,
}

/// Whether to make another attempt after this failure.
pub(super) fn is_due(failure: &Error, again: Again) -> bool {
    // A new connection that fails is no accident of keeping connections.
    failure.reused()
        // Somebody who ended it, a clock and a broken body have kinds of their own.
        && matches!(failure.kind(), Kind::PeerClosed | Kind::PeerReset)
        // With the first byte the server has taken it.
        && !failure.response_started()
        && (failure.bytes_sent() == 0 || again.repeatable)
        && again.body_whole
}

/// Attempts on kept connections; the one after them makes a new one, so that a row of
/// connections that died together doesn't have to be used up one by one.
pub(super) const ON_KEPT: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::Sent;

    fn lost(kind: Kind, bytes: u64, started: bool, reused: bool) -> Error {
        let sent = if bytes == 0 { Sent::Nothing } else { Sent::All };
        Error::new(kind, "").on_connection(1, reused).after_sending(sent, bytes, started)
    }

    const YES: Again = Again { repeatable: true, body_whole: true };
    const POST: Again = Again { repeatable: false, body_whole: true };

    #[test]
    fn only_what_a_kept_connection_lost_before_the_first_byte_is_sent_again() {
        for kind in Kind::ALL {
            let peer = matches!(kind, Kind::PeerClosed | Kind::PeerReset);
            assert_eq!(is_due(&lost(*kind, 10, false, true), YES), peer, "{kind}");
            assert!(!is_due(&lost(*kind, 10, false, false), YES), "fresh, {kind}");
            assert!(!is_due(&lost(*kind, 10, true, true), YES), "a byte came, {kind}");
        }
    }

    #[test]
    fn what_must_not_be_done_twice_is_sent_again_only_if_no_byte_went_out() {
        assert!(is_due(&lost(Kind::PeerReset, 0, false, true), POST));
        assert!(!is_due(&lost(Kind::PeerReset, 1, false, true), POST));
    }

    #[test]
    fn a_body_that_was_read_is_gone() {
        let gone = Again { body_whole: false, ..YES };
        assert!(!is_due(&lost(Kind::PeerClosed, 0, false, true), gone));
        assert!(!is_due(&lost(Kind::PeerClosed, 10, false, true), gone));
    }
}
