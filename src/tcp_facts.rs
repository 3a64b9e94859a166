//! What TCP knows of a connection at one moment, as a value: how far away the peer is, and whether it still acknowledges.
//!
//! It does not know where the numbers come from: `net/tcp_info.rs` asks the system.

use std::fmt;
use std::time::Duration;

/// What the operating system's TCP knows of a connection at one moment: TCP_INFO of Linux (tcp(7)). TLS does not hide it, as
/// it is below TLS. On a connection through a proxy it is about the way to the proxy.
///
/// [`Error::tcp_facts`](crate::Error::tcp_facts) has it as it was when a wait ended without an answer,
/// [`ConnectionInfo::tcp_facts`](crate::ConnectionInfo::tcp_facts) as it was when the list was made. There is none for
/// Unix-domain sockets, and on other systems than Linux and Android.
///
/// ```no_run
/// for connection in hangup::Manager::shared().connections() {
///     if let Some(tcp) = connection.tcp_facts {
///         println!("{}: {tcp}", connection.id);
///         println!("silent for {:?}, {} bytes unacknowledged", tcp.silence, tcp.unacked_bytes);
///     }
/// }
/// ```
///
/// Threads: a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpFacts {
    /// The smoothed round-trip time (RFC 6298 section 2); `None` before it was measured.
    pub rtt: Option<Duration>,
    /// How long ago the last byte or acknowledgement of the peer came: its last sign of life. In milliseconds; the
    /// system counts them in steps of up to 10.
    pub silence: Duration,
    /// Bytes that were written to the connection and that the peer has not acknowledged. The peer may have received them:
    /// acknowledgements get lost, too.
    pub unacked_bytes: u64,
    /// Those of them that were not sent yet, because the peer or the network takes no more for now.
    pub unsent_bytes: u64,
    /// Segments that were sent again since the connection was made.
    pub retransmissions: u32,
    /// How often the oldest unacknowledged segment was sent again, without an acknowledgement in between.
    pub retransmissions_in_row: u32,
    /// Keep-alive probes ([`Limits::keep_alive`](crate::Limits::keep_alive)) and probes of a full receive window that were
    /// sent in a row and not answered.
    pub unanswered_probes: u32,
}

/// For a sentence: "round-trip time 41.3 ms, 2 retransmissions, 2 in a row, 118 bytes unacknowledged, silent for 1008 ms".
/// What is zero is left out, but for the number of retransmissions; `{:#}` leaves out the bytes.
impl fmt::Display for TcpFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rtt {
            Some(rtt) => write!(f, "round-trip time {}", Milliseconds(rtt))?,
            None => f.write_str("no round-trip time yet")?,
        }
        match self.retransmissions {
            0 => f.write_str(", no retransmission")?,
            1 => f.write_str(", 1 retransmission")?,
            more => write!(f, ", {more} retransmissions")?,
        }
        if self.retransmissions_in_row > 0 {
            write!(f, ", {} in a row", self.retransmissions_in_row)?;
        }
        if self.unanswered_probes > 0 {
            write!(f, ", {} probes unanswered", self.unanswered_probes)?;
        }
        if self.unacked_bytes > 0 && !f.alternate() {
            write!(f, ", {} bytes unacknowledged", self.unacked_bytes)?;
        }
        if self.unsent_bytes > 0 && !f.alternate() {
            write!(f, ", {} of them not sent yet", self.unsent_bytes)?;
        }
        write!(f, ", silent for {} ms", self.silence.as_millis())
    }
}

/// A duration with as many digits as are of use.
struct Milliseconds(Duration);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_secs_f64() * 1e3;
        let digits = if ms < 1.0 {
            2
        } else if ms < 100.0 {
            1
        } else {
            0
        };
        write!(f, "{ms:.digits$} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_a_part_of_a_sentence() {
        let quiet = TcpFacts {
            rtt: Some(Duration::from_micros(43)),
            silence: Duration::from_millis(500),
            ..TcpFacts::default()
        };
        assert_eq!(
            quiet.to_string(),
            "round-trip time 0.04 ms, no retransmission, silent for 500 ms"
        );
        let lost = TcpFacts {
            rtt: Some(Duration::from_micros(41_260)),
            silence: Duration::from_millis(1008),
            unacked_bytes: 118,
            unsent_bytes: 7,
            retransmissions: 2,
            retransmissions_in_row: 1,
            unanswered_probes: 3,
        };
        assert_eq!(
            lost.to_string(),
            "round-trip time 41.3 ms, 2 retransmissions, 1 in a row, 3 probes unanswered, 118 bytes unacknowledged, \
             7 of them not sent yet, silent for 1008 ms"
        );
        assert_eq!(
            format!("{lost:#}"),
            "round-trip time 41.3 ms, 2 retransmissions, 1 in a row, 3 probes unanswered, silent for 1008 ms"
        );
        let far = TcpFacts { rtt: Some(Duration::from_millis(1234)), ..quiet };
        assert!(far.to_string().starts_with("round-trip time 1234 ms"), "{far}");
        assert!(TcpFacts::default().to_string().starts_with("no round-trip time yet"));
    }
}
