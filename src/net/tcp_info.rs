//! What the system knows of a TCP connection: whether the peer acknowledges, and how far away it is.

use std::time::Duration;

use crate::tcp_facts::TcpFacts;

/// A snapshot of a connection, as TCP_INFO of Linux has it (tcp(7), linux/tcp.h). Threads: a value.
///
/// A number that an older kernel does not know is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpInfo {
    /// How often the oldest unacknowledged segment was sent again, without any acknowledgement in between.
    pub(crate) retransmits: u32,
    /// Keep-alive and zero-window probes that were sent in a row and not answered.
    pub(crate) probes: u32,
    /// How often the retransmission timeout was doubled.
    pub(crate) backoff: u32,
    /// The retransmission timeout, doubled as `backoff` says (RFC 6298).
    pub(crate) rto: Duration,
    /// The size of the largest segment that is sent, in bytes of data.
    pub(crate) send_mss: u32,
    /// Segments that were sent and not acknowledged.
    pub(crate) unacked: u32,
    /// Since bytes were sent last, for the first time or again.
    pub(crate) last_data_sent: Duration,
    /// Since bytes of the peer came last.
    pub(crate) last_data_received: Duration,
    /// Since an acknowledgement of the peer came last.
    pub(crate) last_ack_received: Duration,
    /// The smoothed round-trip time.
    pub(crate) rtt: Duration,
    /// Its variance.
    pub(crate) rtt_variance: Duration,
    /// Segments that were sent again in the connection's life.
    pub(crate) total_retransmits: u32,
    /// Bytes that the peer acknowledged in the connection's life.
    pub(crate) bytes_acked: u64,
    /// Bytes that were written and never left this machine.
    pub(crate) unsent: u32,
    /// Bytes that were sent in the connection's life, those that were sent again included.
    pub(crate) bytes_sent: u64,
    /// Those that were sent again.
    pub(crate) bytes_resent: u64,
    /// The system has given the connection up, or the peer has reset it: no segment of it is kept any more.
    pub(crate) is_closed: bool,
}

impl TcpInfo {
    /// The retransmission timeout before it was doubled.
    pub(crate) fn base_rto(&self) -> Duration {
        self.rto / 2_u32.saturating_pow(self.backoff.min(16))
    }

    /// Bytes that were written and not acknowledged, those that never left this machine included.
    pub(crate) fn unacked_bytes(&self) -> u64 {
        let in_flight = if self.unacked == 0 && !self.is_closed {
            0
        } else if self.bytes_sent == 0 {
            u64::from(self.unacked) * u64::from(self.send_mss)
        } else {
            // The acknowledgement of the SYN counts as one byte.
            let acked = self.bytes_acked.saturating_sub(1);
            let in_flight = self.bytes_sent.saturating_sub(self.bytes_resent).saturating_sub(acked);
            in_flight.max(u64::from(self.unacked > 0))
        };
        in_flight + u64::from(self.unsent)
    }

    /// What of it is shown to the caller.
    pub(crate) fn facts(&self) -> TcpFacts {
        TcpFacts {
            rtt: Some(self.rtt).filter(|rtt| !rtt.is_zero()),
            silence: self.silent_for(),
            unacked_bytes: self.unacked_bytes(),
            unsent_bytes: u64::from(self.unsent),
            retransmissions: self.total_retransmits,
            retransmissions_in_row: self.retransmits,
            unanswered_probes: self.probes,
        }
    }

    /// Since the peer gave any sign of life.
    pub(crate) fn silent_for(&self) -> Duration {
        self.last_data_received.min(self.last_ack_received)
    }
}

/// For tests: what the system says of connections can be changed. It is a part of [`Socket`](super::socket::Socket)
/// that asks here, so that all that is above is tested as it is.
#[cfg(test)]
pub(crate) mod fake {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use super::TcpInfo;
    use crate::sync::lock;

    type Change = Arc<dyn Fn(TcpInfo) -> Option<TcpInfo> + Send + Sync>;

    /// Tests run beside each other, and one gets a port that another one had: the fake that was made last counts.
    static CHANGES: Mutex<Vec<(u64, u16, Change)>> = Mutex::new(Vec::new());
    static NEXT: AtomicU64 = AtomicU64::new(0);

    /// While it lives, what the system says of the connections to a port is changed.
    pub(crate) struct FakeTcpInfo(u64);

    impl FakeTcpInfo {
        /// The function gets what the system says, and returns what is seen of it. The port is that of the peer, or
        /// the local one, which names one connection.
        pub(crate) fn of_port(
            port: u16,
            change: impl Fn(TcpInfo) -> Option<TcpInfo> + Send + Sync + 'static,
        ) -> Self {
            let id = NEXT.fetch_add(1, Ordering::Relaxed);
            lock(&CHANGES).push((id, port, Arc::new(change)));
            Self(id)
        }
    }

    impl Drop for FakeTcpInfo {
        fn drop(&mut self) {
            lock(&CHANGES).retain(|(id, ..)| *id != self.0);
        }
    }

    /// What is seen of a connection with these addresses.
    pub(in crate::net) fn changed(
        real: Option<TcpInfo>,
        peer: Option<SocketAddr>,
        local: Option<SocketAddr>,
    ) -> Option<TcpInfo> {
        let change = {
            let changes = lock(&CHANGES);
            let of = |address: Option<SocketAddr>| {
                let port = address?.port();
                changes.iter().rfind(|(_, other, _)| *other == port).map(|row| Arc::clone(&row.2))
            };
            of(local).or_else(|| of(peer))
        };
        match change {
            None => real,
            Some(change) => change(real.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unacknowledged_is_counted_in_bytes() {
        let sent =
            TcpInfo { bytes_sent: 1500, bytes_resent: 300, bytes_acked: 201, ..TcpInfo::default() };
        assert_eq!(sent.unacked_bytes(), 0, "nothing is in flight, whatever the counters say");
        assert_eq!(TcpInfo { unacked: 1, unsent: 50, ..sent }.unacked_bytes(), 1050);
        // The system drops the segments of a connection that it gives up.
        assert_eq!(TcpInfo { is_closed: true, ..sent }.unacked_bytes(), 1000);
        let old = TcpInfo { unacked: 2, send_mss: 1448, unsent: 4, ..TcpInfo::default() };
        assert_eq!(old.unacked_bytes(), 2900, "a system that does not count bytes");
        let facts = TcpInfo { rtt: Duration::ZERO, ..old }.facts();
        assert_eq!((facts.rtt, facts.unacked_bytes, facts.unsent_bytes), (None, 2900, 4));
    }

    #[test]
    fn a_doubled_timeout_is_known_undoubled() {
        let ms = Duration::from_millis;
        for (rto, backoff, base) in [(ms(200), 0, ms(200)), (ms(1600), 3, ms(200))] {
            assert_eq!(TcpInfo { rto, backoff, ..TcpInfo::default() }.base_rto(), base);
        }
        let longest = TcpInfo { rto: ms(120_000), backoff: 255, ..TcpInfo::default() };
        assert!(longest.base_rto() < ms(200));
    }
}
