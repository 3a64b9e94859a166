//! What an error tells after the peer was silent: whether its TCP acknowledged the request, how far away it is, and what was
//! sent again. One look at the system's TCP, after the exchange has failed and before its connection is closed.
//!
//! It does not decide why an exchange failed: see [`failure`](super::failure).

use std::time::Duration;

use super::exchange::Exchange;
use crate::error::Error;
use crate::manager::EventKind;
use crate::net::stream::{DuplexStream, Stream};
use crate::net::tcp_info::TcpInfo;
use crate::vocabulary::{Acknowledged, Kind, Phase};

/// The connection of an exchange that failed, as far as it can be asked.
#[derive(Clone, Copy)]
pub(super) enum Asked<'a> {
    Nothing,
    /// It has a request, or the response to one.
    Request(&'a Stream),
    /// It was handed over as a stream.
    Handover(&'a DuplexStream),
}

/// What was waited for.
#[derive(Clone, Copy)]
struct SilentWait {
    phase: Phase,
    acknowledged: Acknowledged,
    info: TcpInfo,
    /// A byte of the response came.
    response_started: bool,
    /// Since when there could be bytes of the request to acknowledge.
    sent_for: Duration,
}

impl Exchange {
    /// Adds to an error after a silent wait what TCP knows. Other errors stay as they are.
    #[cold]
    #[inline(never)]
    pub(super) fn explain_silence(&self, error: Error, phase: Phase, asked: Asked<'_>) -> Error {
        let is_silence = matches!(error.kind(), Kind::TimedOut | Kind::PeerSilent)
            && matches!(phase, Phase::Write | Phase::Head | Phase::Read);
        match asked {
            Asked::Request(stream) if is_silence => self.explain_request(error, phase, stream),
            Asked::Handover(stream) if is_silence => explain_stream(error, stream),
            _ => error,
        }
    }

    /// Records in the trace what was found out about a connection whose peer does not acknowledge a request.
    #[cold]
    #[inline(never)]
    pub(super) fn trace_silence(&self, what: EventKind, meaning: &str, info: &TcpInfo) {
        self.trace(|tracer| {
            tracer.info(self.connection, &format!("{what}: {meaning} ({})", info.facts()));
        });
    }

    fn explain_request(&self, error: Error, phase: Phase, stream: &Stream) -> Error {
        let Some(info) = stream.tcp_info() else { return error };
        if self.bytes_sent == 0 {
            let meaning = format!("nothing of the request was sent ({:#})", info.facts());
            return error.with_tcp_facts(info.facts(), Acknowledged::Nothing, &meaning);
        }
        let is_sent = self.request_sent && !stream.holds_output();
        let on_wire = stream.request_on_wire(self.bytes_sent);
        let timings = self.shared().timings();
        let sent_for = [timings.write, timings.head, timings.read].into_iter().flatten().sum();
        let wait = SilentWait {
            phase,
            acknowledged: acknowledged(&info, on_wire, is_sent),
            info,
            response_started: self.response_started,
            sent_for,
        };
        error.with_tcp_facts(info.facts(), wait.acknowledged, &wait.meaning())
    }
}

/// The bytes of a stream belong to no request, so that there is no beginning from which they are counted.
fn explain_stream(error: Error, stream: &DuplexStream) -> Error {
    let Some(info) = stream.tcp_info() else { return error };
    let (acknowledged, meaning) = match info.unacked_bytes() {
        0 => (Acknowledged::All, "the peer acknowledged all that was written".to_owned()),
        _ if is_all_unsent(&info) => (Acknowledged::Part, unsent(&info)),
        more => {
            (Acknowledged::Part, format!("{more} bytes of what was written are unacknowledged"))
        }
    };
    let meaning = format!("{meaning} ({:#})", info.facts());
    error.with_tcp_facts(info.facts(), acknowledged, &meaning)
}

impl SilentWait {
    fn meaning(&self) -> String {
        format!("{} ({:#})", self.what(), self.info.facts())
    }

    fn what(&self) -> String {
        let unacked = self.info.unacked_bytes();
        // The last acknowledgement may be one of an earlier request.
        let for_ms = self.info.last_ack_received.min(self.sent_for).as_millis();
        match self.acknowledged {
            Acknowledged::Nothing if is_all_unsent(&self.info) => {
                format!("no byte of the request was sent: {} bytes wait", self.info.unsent)
            }
            Acknowledged::Nothing => {
                format!("no byte of the request was acknowledged within {for_ms} ms")
            }
            _ if is_all_unsent(&self.info) => unsent(&self.info),
            Acknowledged::Part if unacked > 0 => {
                format!("{unacked} bytes of the request have not been acknowledged for {for_ms} ms")
            }
            Acknowledged::Part => "the peer acknowledged all that was sent so far".to_owned(),
            Acknowledged::All if self.phase == Phase::Read => {
                "the peer acknowledged the request and sends no more of its answer".to_owned()
            }
            Acknowledged::All if self.response_started => {
                "the peer acknowledged the request and sends no more of its response head"
                    .to_owned()
            }
            Acknowledged::All => {
                "the request was acknowledged, and there is no answer yet".to_owned()
            }
        }
    }
}

/// How much of a request was acknowledged of which the system got so many bytes. `is_sent`: it got all of them.
fn acknowledged(info: &TcpInfo, on_wire: u64, is_sent: bool) -> Acknowledged {
    match info.unacked_bytes() {
        0 if is_sent => Acknowledged::All,
        // Bytes of an earlier request were acknowledged before this one was sent: the response to it came.
        unacked if unacked >= on_wire => Acknowledged::Nothing,
        _ => Acknowledged::Part,
    }
}

/// Whether all that was sent was acknowledged, and more is to be sent.
fn is_all_unsent(info: &TcpInfo) -> bool {
    info.unsent > 0 && info.unacked_bytes() == u64::from(info.unsent)
}

fn unsent(info: &TcpInfo) -> String {
    let bytes = info.unsent;
    if bytes < info.send_mss {
        // The system may wait for more to send in one segment (MSG_MORE, tcp(7)).
        return format!("the peer acknowledged all that was sent, and {bytes} bytes wait");
    }
    format!(
        "the peer acknowledged all that was sent and takes no more (its receive window is full), so that {bytes} bytes wait"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn info(sent: u64, acked: u64, unsent: u32) -> TcpInfo {
        TcpInfo {
            unacked: u32::from(sent > acked),
            bytes_sent: sent,
            bytes_acked: acked + 1,
            unsent,
            rtt: 40 * MS,
            last_ack_received: 700 * MS,
            last_data_received: 700 * MS,
            ..TcpInfo::default()
        }
    }

    fn wait(info: TcpInfo, on_wire: u64, is_sent: bool) -> SilentWait {
        SilentWait {
            phase: Phase::Head,
            acknowledged: acknowledged(&info, on_wire, is_sent),
            info,
            response_started: false,
            sent_for: 500 * MS,
        }
    }

    #[test]
    fn a_request_is_acknowledged_as_a_whole_in_part_or_not_at_all() {
        use Acknowledged::{All, Nothing, Part};
        for (info, on_wire, is_sent, expected) in [
            (info(100, 100, 0), 100, true, All),
            (info(300, 300, 0), 100, true, All), // the third request
            (info(100, 0, 0), 100, true, Nothing),
            (info(300, 200, 0), 100, true, Nothing),
            (info(300, 250, 0), 100, true, Part),
            (info(100, 100, 0), 100, false, Part), // the rest of its body is still to come
            (info(100, 100, 900), 1000, false, Part),
            (info(100, 0, 900), 1000, false, Nothing),
        ] {
            assert_eq!(acknowledged(&info, on_wire, is_sent), expected, "{info:?}");
        }
    }

    #[test]
    fn the_message_says_what_the_peer_acknowledged() {
        let says = |wait: SilentWait| wait.meaning();
        assert_eq!(
            says(wait(info(100, 100, 0), 100, true)),
            "the request was acknowledged, and there is no answer yet (round-trip time 40.0 ms, no retransmission, \
             silent for 700 ms)"
        );
        let lost = TcpInfo { total_retransmits: 2, retransmits: 2, ..info(100, 0, 0) };
        assert_eq!(
            says(wait(lost, 100, true)),
            "no byte of the request was acknowledged within 500 ms (round-trip time 40.0 ms, 2 retransmissions, 2 in a \
             row, silent for 700 ms)"
        );
        let in_upload = SilentWait { sent_for: 9000 * MS, ..wait(info(100, 60, 900), 1000, false) };
        assert!(
            says(in_upload)
                .starts_with("940 bytes of the request have not been acknowledged for 700 ms (")
        );
        let full = wait(info(100, 100, 900), 1000, false);
        assert!(says(full).ends_with(
            "(its receive window is full), so that 900 bytes wait (round-trip time 40.0 ms, no retransmission, silent \
             for 700 ms)"
        ));
        let held = wait(TcpInfo { send_mss: 1448, ..info(100, 100, 900) }, 1000, false);
        assert!(
            says(held).starts_with("the peer acknowledged all that was sent, and 900 bytes wait (")
        );
        let unsent = wait(info(100, 100, 80), 80, true);
        assert!(says(unsent).starts_with("no byte of the request was sent: 80 bytes wait ("));
        let begun = SilentWait { response_started: true, ..wait(info(9, 9, 0), 9, true) };
        assert!(says(begun).starts_with(
            "the peer acknowledged the request and sends no more of its response head"
        ));
        let body = SilentWait { phase: Phase::Read, ..begun };
        assert!(
            says(body)
                .starts_with("the peer acknowledged the request and sends no more of its answer")
        );
        let uploading = wait(info(100, 100, 0), 100, false);
        assert!(says(uploading).starts_with("the peer acknowledged all that was sent so far"));
    }
}
