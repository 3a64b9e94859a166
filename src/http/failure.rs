//! Why an exchange failed: the one place that decides it.
//!
//! The first cause wins. If the exchange was ended from outside, that is the reason, whatever the socket
//! reported then: that is only the consequence.

use super::acknowledged::Asked;
use super::exchange::Exchange;
use crate::cancel::CancelToken;
use crate::error::Error;
use crate::manager::Cause;
use crate::net::stream::{Loss, Stream};
use crate::net::{Stop, is_exhaustion, tls};
use crate::vocabulary::{CloseReason, Kind, Phase, Sent, Timeout};

impl Exchange {
    /// The error of an exchange that stopped, with all that is known of the exchange. From here on
    /// nothing ends it from outside.
    #[cold]
    #[inline(never)]
    pub(crate) fn fail(&self, stop: Stop) -> Error {
        self.fail_in(self.timing().phase(), stop, Asked::Nothing)
    }

    /// [`fail`](Self::fail) before the connection is closed, which is asked what it knows of the peer.
    #[cold]
    #[inline(never)]
    pub(crate) fn fail_on(&self, stream: Option<&Stream>, stop: Stop) -> Error {
        let asked = stream.map_or(Asked::Nothing, Asked::Request);
        self.fail_in(self.timing().phase(), stop, asked)
    }

    /// [`fail`](Self::fail) in that phase: after a connection was handed over, one task reads and another one writes.
    #[cold]
    #[inline(never)]
    pub(super) fn fail_in(&self, phase: Phase, stop: Stop, asked: Asked<'_>) -> Error {
        self.shared().end_if_forked();
        let control = &self.shared().control;
        if matches!(stop, Stop::Interrupted) {
            control.end(Cause::Interrupted);
        }
        let cause = if control.try_finish(Cause::Done) { None } else { control.cause() };
        let error = match cause.filter(|cause| *cause != Cause::Done) {
            Some(cause) => self.ended_by(cause, phase),
            None => self.stopped_by(stop, phase),
        };
        let error = self.explain_silence(self.describe(error, phase), phase, asked);
        self.trace(|tracer| {
            let text = format!("failed: {}: {error}", error.kind());
            tracer.info(error.connection_id().unwrap_or(0), &text);
        });
        error
    }

    /// Adds what is known of the exchange.
    pub(super) fn describe(&self, error: Error, phase: Phase) -> Error {
        let sent = match (self.request_sent, self.bytes_sent) {
            (_, 0) => Sent::Nothing,
            (true, _) => Sent::All,
            (false, _) => Sent::Part,
        };
        let error = self
            .shared()
            .describe(error)
            .in_phase(phase)
            .after_sending(sent, self.bytes_sent, self.response_started)
            .after_attempts(self.config.attempt)
            .safe_to_retry(self.bytes_sent == 0 || self.config.repeatable);
        // Before there is a lease, the control has the connection that is being dialled.
        match if self.connection == 0 {
            self.shared().control.connection()
        } else {
            self.connection
        } {
            0 => error,
            id => error.on_connection(id, self.reused),
        }
    }

    fn ended_by(&self, cause: Cause, phase: Phase) -> Error {
        let during =
            if phase == Phase::None { String::new() } else { format!(" (phase: {phase})") };
        match cause {
            Cause::Cancelled => {
                let reason = self.config.token.as_ref().and_then(CancelToken::shared_reason);
                Error::new(Kind::Cancelled, format!("cancelled{during}")).because(reason.as_deref())
            }
            Cause::Interrupted => {
                Error::new(Kind::Cancelled, format!("interrupted by a signal{during}"))
                    .because(Some("interrupted"))
            }
            Cause::TokenDeadline => self.timed_out(Timeout::Token, phase),
            Cause::ClosedById => {
                Error::new(Kind::Closed, format!("the connection was closed by its id{during}"))
            }
            Cause::ClosedByOrigin => Error::new(
                Kind::Closed,
                format!("the connection was closed with its origin{during}"),
            ),
            Cause::ClosedByAll | Cause::NetworkChanged => Error::new(
                Kind::Closed,
                format!("the connection was closed with all others{during}"),
            ),
            Cause::ResponseClosed | Cause::Done => {
                Error::new(Kind::Closed, format!("the response was closed{during}"))
            }
            Cause::ShutDown => {
                let what = format!("the manager is shut down, or being drained{during}");
                Error::new(Kind::ShutDown, what)
            }
            Cause::StreamClosed => {
                Error::new(Kind::Closed, format!("the stream was closed{during}"))
            }
            Cause::Forked => Error::new(
                Kind::Forked,
                "this exchange belongs to the parent of this process; begin a new one",
            ),
        }
    }

    fn stopped_by(&self, stop: Stop, phase: Phase) -> Error {
        let origin = &self.config.key.origin;
        match stop {
            Stop::Deadline(timeout) => self.timed_out(timeout, phase),
            Stop::Failed(error) => error,
            Stop::Interrupted | Stop::Ended => {
                Error::new(Kind::Closed, "the connection was closed")
            }
            Stop::PeerClosed if phase == Phase::Tls => Error::new(
                Kind::PeerClosed,
                "the peer closed the connection inside the TLS handshake",
            ),
            Stop::PeerClosed => Error::new(
                Kind::PeerClosed,
                "truncated: the peer closed the connection without ending TLS",
            ),
            Stop::Tls(error) => {
                Error::new(Kind::TlsFailed, format!("TLS with {origin}: {}", tls::explain(&error)))
                    .caused_by(error)
            }
            Stop::NoThread(error) => Error::no_thread(&error),
            Stop::Io(error) if is_exhaustion(&error) => Error::from_os(
                Kind::System,
                "the operating system is out of descriptors or memory",
                &error,
            ),
            Stop::Io(error) if matches!(phase, Phase::Resolve | Phase::Connect | Phase::Pool) => {
                let to = if self.goes_through_a_proxy() {
                    format!("the {} on the way to {origin}", self.config.key.route)
                } else {
                    origin.to_string()
                };
                Error::from_os(Kind::ConnectFailed, &format!("can't connect to {to}"), &error)
            }
            Stop::Io(error) => match Loss::of(&error) {
                Some(Loss::Reset) => {
                    Error::from_os(Kind::PeerReset, "the peer reset the connection", &error)
                }
                Some(Loss::Unreachable) => {
                    let what =
                        "the peer can't be reached any more, and the system gave the connection up";
                    Error::from_os(Kind::PeerSilent, what, &error)
                }
                None => Error::from_os(Kind::System, "the connection failed", &error),
            },
        }
    }

    fn timed_out(&self, timeout: Timeout, phase: Phase) -> Error {
        let limit = match timeout {
            Timeout::Token => None,
            timeout => self.timing().limit(timeout),
        };
        let limit = limit.map_or(String::new(), |limit| format!(" of {} ms", limit.as_millis()));
        let what = match timeout {
            Timeout::Token => "the cancel token's deadline".to_owned(),
            Timeout::MinRate => "the minimum rate".to_owned(),
            timeout => format!("the {timeout} limit{limit}"),
        };
        let at = match phase {
            Phase::None => String::new(),
            Phase::Connect | Phase::Proxy if self.goes_through_a_proxy() => {
                format!(" (phase: {phase}, {})", self.config.key.route)
            }
            phase => format!(" (phase: {phase})"),
        };
        let verb = if timeout == Timeout::MinRate { "was not kept" } else { "ran out" };
        Error::new(Kind::TimedOut, format!("timed out: {what} {verb}{at}")).by_clock(timeout)
    }

    fn goes_through_a_proxy(&self) -> bool {
        self.config.key.route.proxy.is_some() && self.config.key.origin.unix.is_none()
    }
}

/// Why the connection of an exchange that failed is closed.
pub(crate) fn close_reason(error: &Error) -> CloseReason {
    match error.kind() {
        Kind::TimedOut => CloseReason::TimedOut,
        Kind::Cancelled | Kind::BodyFailed => CloseReason::Cancelled,
        Kind::PeerClosed => CloseReason::PeerClosed,
        Kind::PeerReset => CloseReason::PeerReset,
        // With an error number the system has given the connection up.
        Kind::PeerSilent if error.os_code().is_some() => CloseReason::PeerUnreachable,
        Kind::PeerSilent => CloseReason::PeerSilent,
        Kind::Protocol | Kind::TooLarge => CloseReason::ProtocolError,
        _ => CloseReason::BodyLeftUnread,
    }
}
