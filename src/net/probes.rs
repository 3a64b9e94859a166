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

    /// Those of a connection that is dialled under that limit. Without one the library has none sent, but a connector may:
    /// then this says from when on the system is asked.
    pub(crate) fn after_limit(keep_alive: Option<Duration>) -> Self {
        Self::after(keep_alive.unwrap_or(UNLIMITED))
    }

    /// Has the system probe a silent peer of this socket. Without probes the connection works as well.
    pub(super) fn begin(self, socket: &socket2::Socket) {
        let interval = self.after.min(INTERVAL);
        let probes = TcpKeepalive::new().with_time(self.after).with_interval(interval);
        let _ = socket.set_tcp_keepalive(&probes.with_retries(COUNT));
    }

    /// The silence before the first probe.
    pub(crate) fn silence(self) -> Duration {
        self.after
    }

    /// Whether the peer was asked for a sign of life and did not give one in time: by a probe, for a retransmission
    /// timeout, or by bytes, for the time until the second probe. A peer that was not asked may be silent and well.
    pub(crate) fn are_unanswered(self, info: &TcpInfo) -> bool {
        let silent_for = info.silent_for();
        let probed = info.probes > 0 && silent_for >= self.after + info.rto;
        probed || (info.unacked > 0 && silent_for >= self.after + self.after.min(INTERVAL))
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
        let seen = |silent: Duration, probes, unacked| TcpInfo {
            last_data_received: secs(40),
            last_ack_received: silent,
            rto: ms(400),
            probes,
            unacked,
            ..TcpInfo::default()
        };
        for (what, info, silent) in [
            ("a probe is on its way", seen(ms(15_300), 1, 0), false),
            ("its answer is overdue", seen(ms(15_400), 1, 0), true),
            ("two are unanswered", seen(secs(18), 2, 0), true),
            ("the last one was answered", seen(secs(3), 0, 0), false),
            ("the system's clock is late", seen(secs(19), 0, 0), false),
            ("a zero-window probe beside acknowledgements", seen(secs(2), 1, 0), false),
            ("bytes are unacknowledged for long", seen(secs(18), 0, 1), true),
            ("bytes were just sent", seen(ms(17_900), 0, 1), false),
        ] {
            assert_eq!(probes.are_unanswered(&info), silent, "{what}");
        }
        // Bytes that came count as acknowledgements do.
        let info = TcpInfo { last_data_received: secs(1), ..seen(secs(40), 2, 1) };
        assert!(!probes.are_unanswered(&info));
    }
}
