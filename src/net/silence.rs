//! Whether a peer has gone silent: what the system knows of a connection tells a dead one from a slow server.
//! Pure arithmetic: what is known and the time are passed in.
//!
//! A server may be as slow as it likes, its system acknowledges what arrives. If what was sent is not acknowledged for
//! longer than a few retransmissions explain, either the network is away or only this connection is. A dial to the
//! same place tells the two apart; that is done by the layers above.

use std::time::{Duration, Instant};

use super::tcp_info::TcpInfo;

/// What a look at a connection says, on which something was sent and nothing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// All that was sent was acknowledged.
    Acknowledged,
    /// It is too early to tell: look again after this time.
    Early(Duration),
    /// The peer gave no sign of life for longer than lost packets explain.
    Silent,
}

impl Look {
    /// At a connection on which this process waits since `began`.
    pub(crate) fn at(info: &TcpInfo, began: Instant, now: Instant) -> Self {
        // A peer without room answers the probes of its window (RFC 9293 section 3.8.6.1).
        if info.unacked == 0 && info.probes < UNANSWERED_PROBES {
            return Self::Acknowledged;
        }
        let silent = info.silent_for().min(now.saturating_duration_since(began));
        let patience = patience(info);
        match patience.checked_sub(silent) {
            None | Some(Duration::ZERO) => Self::Silent,
            Some(left) => Self::Early(left.max(SHORTEST_PAUSE)),
        }
    }
}

/// How long it takes until something that was sent since the peer's last sign of life should be acknowledged, or until a
/// next look; `None` if that time is over. What was sent before it may have been lost while the network was away, and a system that has
/// waited for long sends nothing for long.
pub(crate) fn time_for_an_answer(info: &TcpInfo) -> Option<Duration> {
    let answer = info.base_rto().min(LONGEST_PATIENCE / 3);
    if info.unacked == 0 {
        return None;
    }
    if info.last_data_sent > info.silent_for() {
        // It is sent again when the timeout that was doubled is over.
        let left = info.rto.saturating_sub(info.last_data_sent) + answer;
        return Some(left.clamp(SHORTEST_PAUSE, FIRST_LOOK));
    }
    let left = answer.checked_sub(info.last_data_sent).filter(|left| !left.is_zero());
    left.map(|left| left.clamp(SHORTEST_PAUSE, FIRST_LOOK))
}

/// How long a living peer may be silent: the first transmission and two more of a segment may be lost
/// (RFC 6298 section 5; the measurements are that 3 times the timeout is exceeded once in some 5,000 requests at a
/// round-trip time of 100 ms and 5 % loss).
pub(crate) fn patience(info: &TcpInfo) -> Duration {
    (3 * info.base_rto()).clamp(FIRST_LOOK, LONGEST_PATIENCE)
}

/// Whether no segment that is larger than a small one was ever acknowledged on a connection, and such ones are on their
/// way.
pub(crate) fn are_large_segments_lost(info: &TcpInfo, small: u32) -> bool {
    let on_their_way = info.unacked_bytes().saturating_sub(u64::from(info.unsent));
    info.unacked > 0
        && info.send_mss > small
        && on_their_way > u64::from(small)
        // Fewer bytes than one of full size has.
        && info.bytes_acked <= u64::from(info.send_mss)
}

/// Nothing is asked about a wait that is shorter.
pub(crate) const FIRST_LOOK: Duration = Duration::from_secs(1);
/// For a path with a round-trip time that no path has.
const LONGEST_PATIENCE: Duration = Duration::from_secs(30);
/// The system does not count in finer steps.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// One probe may be lost.
const UNANSWERED_PROBES: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A connection on which something was sent so long ago, with a round-trip time of some 20 ms.
    fn sent(unacked: u32, silent: Duration) -> TcpInfo {
        TcpInfo {
            unacked,
            rto: ms(220),
            rtt: ms(20),
            last_ack_received: silent,
            last_data_received: silent,
            last_data_sent: silent / 2,
            ..TcpInfo::default()
        }
    }

    fn look(info: &TcpInfo, waited: Duration) -> Look {
        let began = Instant::now();
        Look::at(info, began, began + waited)
    }

    #[test]
    fn a_slow_server_acknowledges_and_is_never_called_silent() {
        for waited in [ms(1000), ms(30_000), ms(3_600_000)] {
            assert_eq!(look(&sent(0, waited), waited), Look::Acknowledged);
        }
        // Its receive buffer is full, and it answers the probes of its window.
        let full = TcpInfo { probes: 1, unsent: 100_000, ..sent(0, ms(60_000)) };
        assert_eq!(look(&full, ms(60_000)), Look::Acknowledged);
    }

    #[test]
    fn what_is_not_acknowledged_for_a_second_is_suspect() {
        assert_eq!(look(&sent(1, ms(1000)), ms(1000)), Look::Silent);
        assert_eq!(look(&sent(1, ms(999_000)), ms(400)), Look::Early(ms(600)), "just sent");
        assert_eq!(
            look(&sent(3, ms(200)), ms(5000)),
            Look::Early(ms(800)),
            "a part was acknowledged"
        );
        assert_eq!(look(&sent(1, ms(995)), ms(9000)), Look::Early(ms(10)), "no shorter pause");
    }

    #[test]
    fn nothing_is_suspect_that_nothing_was_sent_after() {
        // The network was away, the peer has shown a sign of life, and the request is sent again in three seconds only.
        let rto = ms(6400);
        let away = TcpInfo { rto, backoff: 5, last_data_sent: ms(3400), ..sent(1, ms(1100)) };
        assert_eq!(time_for_an_answer(&away), Some(FIRST_LOOK));
        let soon = TcpInfo { last_data_sent: ms(6300), ..away };
        assert_eq!(time_for_an_answer(&soon), Some(ms(300)));
        let just = TcpInfo { last_data_sent: ms(50), ..away };
        assert_eq!(time_for_an_answer(&just), Some(ms(150)), "a round trip has not passed");
        let again = TcpInfo { last_data_sent: ms(200), ..away };
        assert_eq!(time_for_an_answer(&again), None);
        let idle = TcpInfo { last_data_sent: ms(0), ..sent(0, ms(9000)) };
        assert_eq!(time_for_an_answer(&idle), None, "the probes tell");
    }

    #[test]
    fn any_byte_of_the_peer_is_a_sign_of_life() {
        let info = TcpInfo { last_data_received: ms(100), ..sent(2, ms(10_000)) };
        assert_eq!(look(&info, ms(10_000)), Look::Early(ms(900)));
    }

    #[test]
    fn a_distant_peer_has_more_time() {
        let far = TcpInfo { rto: ms(900), ..sent(1, ms(1000)) };
        assert_eq!(look(&far, ms(1000)), Look::Early(ms(1700)));
        // The timeout that was doubled three times by now is that of a near peer.
        let near = TcpInfo { rto: ms(1600), backoff: 3, ..sent(1, ms(1000)) };
        assert_eq!(look(&near, ms(1000)), Look::Silent);
        let mars = TcpInfo { rto: ms(120_000), ..sent(1, ms(40_000)) };
        assert_eq!(look(&mars, ms(40_000)), Look::Silent);
    }

    #[test]
    fn large_segments_are_lost_if_none_was_ever_acknowledged() {
        let of = |bytes: u64, acked: u64| TcpInfo {
            send_mss: 1448,
            bytes_sent: bytes,
            bytes_acked: acked + 1,
            ..sent(u32::from(bytes > acked), ms(1000))
        };
        assert!(are_large_segments_lost(&of(10_000, 0), 536));
        assert!(are_large_segments_lost(&of(10_000, 600), 536), "a handshake of TLS");
        assert!(!are_large_segments_lost(&of(10_000, 1448), 536), "one was acknowledged");
        assert!(!are_large_segments_lost(&of(500, 0), 536), "it is small");
        assert!(!are_large_segments_lost(&of(10_000, 10_000), 536), "none is on its way");
        assert!(!are_large_segments_lost(&TcpInfo { send_mss: 524, ..of(10_000, 0) }, 536));
        // They are written, and the peer has no room for them.
        let waits = TcpInfo { unsent: 9_800, ..of(200, 0) };
        assert!(!are_large_segments_lost(&waits, 536), "{waits:?}");
    }

    #[test]
    fn a_peer_without_room_that_does_not_answer_is_suspect() {
        let gone = TcpInfo { probes: 2, unsent: 100_000, ..sent(0, ms(3000)) };
        assert_eq!(look(&gone, ms(3000)), Look::Silent);
    }
}
