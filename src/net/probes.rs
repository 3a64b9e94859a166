//! TCP keep-alive (tcp(7)): when the system probes a silent peer, and when unanswered probes say that the peer is gone.
//!
//! The clocks fit the other ones: with 15 s of silence, three probes 3 s apart end a dead connection after 24 s, long
//! before the timeouts of 60 s for a head and for a piece of a body.

use std::time::Duration;

use socket2::TcpKeepalive;

use super::tcp_info::TcpInfo;

/// When a connection is probed. Threads: a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probes {
    /// The silence before the first probe.
    after: Duration,
}

impl Probes {
    /// After so much silence; TCP_KEEPIDLE counts in seconds and has no zero.
    pub(crate) fn after(silence: Duration) -> Self {
        Self { after: silence.max(Duration::from_secs(1)) }
    }

    /// The silence before the first probe, as the system counts it.
    pub(super) fn seconds(self) -> u32 {
        u32::try_from(self.after.as_secs()).unwrap_or(u32::MAX)
    }

    /// Those of a connection that is dialled under that limit. Without one the library has none sent, but a connector may:
    /// then this says from when on the system is asked.
    pub(crate) fn after_limit(keep_alive: Option<Duration>) -> Self {
        Self::after(keep_alive.unwrap_or(UNLIMITED))
    }

    /// Has the system probe a silent peer of this socket. Without probes the connection works as well.
    pub(super) fn begin(self, socket: &socket2::Socket) {
        let probes = TcpKeepalive::new().with_time(self.after).with_interval(self.interval());
        let _ = socket.set_tcp_keepalive(&probes.with_retries(COUNT));
    }

    /// After how much silence it can be known that the peer does not answer: the second probe is sent then.
    #[inline]
    pub(crate) fn judged_after(self) -> Duration {
        self.after.saturating_add(self.interval())
    }

    /// Whether the peer was asked for a sign of life, by probes or by bytes, and gave none in time. A peer that was not
    /// asked may be silent and well. One unanswered probe says nothing: its answer may be on its way, and the timer of the
    /// system that sends it is late by up to an eighth.
    pub(crate) fn are_unanswered(self, info: &TcpInfo) -> bool {
        let in_time = self.judged_after().max(self.after.saturating_add(info.base_rto()));
        info.silent_for() >= in_time && (info.probes >= 2 || info.retransmits >= 2)
    }

    #[inline]
    fn interval(self) -> Duration {
        self.after.min(INTERVAL)
    }
}

/// Between two probes, if the silence before the first one is not shorter.
const INTERVAL: Duration = Duration::from_secs(3);
/// As the default limit.
const UNLIMITED: Duration = Duration::from_secs(15);
/// How many unanswered probes end a connection.
const COUNT: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_gets_all_three_numbers() {
        let secs = Duration::from_secs;
        for (after, expected, interval) in [
            (secs(15), secs(15), secs(3)),
            (secs(600), secs(600), secs(3)),
            (secs(2), secs(2), secs(2)),
            (Duration::from_millis(1), secs(1), secs(1)),
        ] {
            let socket =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            assert!(!socket.keepalive().unwrap());
            Probes::after(after).begin(&socket);
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), expected);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), interval);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        }
    }

    #[test]
    fn a_peer_is_silent_if_it_was_asked_and_did_not_answer_in_time() {
        let (secs, ms) = (Duration::from_secs, Duration::from_millis);
        let probes = Probes::after(secs(15));
        let seen = |silent: Duration, probes, retransmits| TcpInfo {
            last_data_received: secs(40),
            last_ack_received: silent,
            rto: ms(400),
            probes,
            retransmits,
            ..TcpInfo::default()
        };
        for (what, info, silent) in [
            ("a probe is on its way", seen(ms(15_001), 1, 0), false),
            ("a probe that was sent late is on its way", seen(ms(18_500), 1, 0), false),
            ("the last one was answered", seen(secs(3), 0, 0), false),
            ("the system's timer is late", seen(secs(19), 0, 0), false),
            ("two are unanswered", seen(secs(18), 2, 0), true),
            ("zero-window probes beside acknowledgements", seen(secs(2), 3, 0), false),
            ("bytes are unacknowledged for long", seen(secs(18), 0, 5), true),
            ("bytes are unacknowledged for a while", seen(ms(17_900), 0, 5), false),
            ("bytes were sent again once", seen(secs(18), 0, 1), false),
            ("far away", TcpInfo { rto: secs(5), ..seen(secs(19), 2, 0) }, false),
            ("too far away", TcpInfo { rto: secs(5), ..seen(secs(20), 2, 0) }, true),
        ] {
            assert_eq!(probes.are_unanswered(&info), silent, "{what}");
        }
        // Bytes that came count as acknowledgements do.
        let info = TcpInfo { last_data_received: secs(1), ..seen(secs(40), 2, 5) };
        assert!(!probes.are_unanswered(&info));
        assert_eq!(probes.judged_after(), secs(18));
        assert_eq!(Probes::after(secs(2)).judged_after(), secs(4));
    }
}
