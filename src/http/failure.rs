//! Why an exchange failed: decided here, once, and told whole.
//!
//! Whoever ended it from outside comes first; what the socket said then is only the consequence.

use std::sync::atomic::Ordering;

use super::exchange::Exchange;
use crate::cancel::CancelToken;
use crate::error::Error;
use crate::manager::Cause;
use crate::net::{Stop, dial, tls};
use crate::vocabulary::{CloseReason, Kind, Phase, Sent, Timeout};

impl Exchange {
    /// Writes down why it failed, unless that is known; answers what is known. Whoever ended it
    /// from outside comes first: what we saw then is only the consequence.
    pub(in crate::http) fn fail(&self, stop: Stop) -> Error {
        if matches!(stop, Stop::Interrupted) {
            self.control.end(Cause::Interrupted);
        }
        let error = match self.ended_by() {
            Some(cause) => self.explain_cause(cause),
            None => self.explain(stop),
        };
        self.note(error)
    }

    /// As [`fail`](Self::fail), for what has its own words.
    pub(in crate::http) fn fail_with(&self, error: Error) -> Error {
        let error = match self.ended_by() {
            Some(cause) => self.explain_cause(cause),
            None => error,
        };
        self.note(error)
    }

    /// Who ended it from outside. If nobody did, nobody can from here on.
    fn ended_by(&self) -> Option<Cause> {
        if self.control.try_finish(Cause::Done) {
            return None;
        }
        self.control.cause().filter(|cause| *cause != Cause::Done)
    }

    fn note(&self, error: Error) -> Error {
        let sent = match (
            self.all_sent.load(Ordering::Relaxed),
            self.bytes_sent.load(Ordering::Relaxed),
        ) {
            (_, 0) => Sent::Nothing,
            (true, _) => Sent::All,
            (false, _) => Sent::Part,
        };
        let bytes = self.bytes_sent.load(Ordering::Relaxed);
        let mut error = error
            .in_phase(self.clocks.phase())
            .after_sending(sent, bytes, self.started.load(Ordering::Relaxed))
            .after_attempts(self.attempt)
            .safe_to_retry(bytes == 0 || self.repeatable);
        let connection = match self.connection.load(Ordering::Relaxed) {
            0 => self.control.connection(),
            id => id,
        };
        if connection != 0 {
            error = error.on_connection(connection, self.reused.load(Ordering::Relaxed));
        }
        self.failure.get_or_init(|| error).clone()
    }

    fn explain_cause(&self, cause: Cause) -> Error {
        let phase = self.clocks.phase();
        let during =
            if phase == Phase::None { String::new() } else { format!(" (phase: {phase})") };
        match cause {
            Cause::Cancelled => {
                let reason = self.token.as_ref().and_then(CancelToken::shared_reason);
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
            Cause::Forked => Error::new(
                Kind::Forked,
                "this exchange belongs to the parent of this process; begin a new one",
            ),
        }
    }

    fn explain(&self, stop: Stop) -> Error {
        let phase = self.clocks.phase();
        let origin = &self.key.origin;
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
            Stop::Io(error) if dial::is_exhaustion(&error) => Error::from_os(
                Kind::System,
                "the operating system is out of descriptors or memory",
                &error,
            ),
            Stop::Io(error) if matches!(phase, Phase::Resolve | Phase::Connect | Phase::Pool) => {
                let to = if self.goes_through_a_proxy() {
                    format!("the {} on the way to {origin}", self.key.route)
                } else {
                    origin.to_string()
                };
                Error::from_os(Kind::ConnectFailed, &format!("can't connect to {to}"), &error)
            }
            Stop::Io(error) => match error.kind() {
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => {
                    Error::from_os(Kind::PeerReset, "the peer reset the connection", &error)
                }
                _ => Error::from_os(Kind::System, "the connection failed", &error),
            },
        }
    }

    /// What ureq's engine says of the message: ours, until an answer came.
    pub(in crate::http) fn translate(&self, error: &ureq_proto::Error) -> Error {
        if self.started.load(Ordering::Relaxed) {
            return self
                .fail_with(Error::new(Kind::Protocol, format!("malformed response: {error}")));
        }
        self.fail_with(Error::new(
            Kind::InvalidHeader,
            format!("the request can't be sent: {error}"),
        ))
    }

    /// Why it failed, as it was written down.
    pub(in crate::http) fn failed(&self) -> Error {
        match self.failure.get() {
            Some(failure) => failure.clone(),
            None => self.fail(Stop::Ended),
        }
    }

    /// Why the connection of a failed exchange is closed.
    pub(in crate::http) fn failed_for(&self) -> Option<CloseReason> {
        Some(match self.failure.get()?.kind() {
            // What a polite close runs into is not a failure of the exchange.
            _ if self.polite.until().is_some() => CloseReason::BodyLeftUnread,
            Kind::TimedOut => CloseReason::TimedOut,
            Kind::Cancelled => CloseReason::Cancelled,
            Kind::PeerClosed => CloseReason::PeerClosed,
            Kind::PeerReset => CloseReason::PeerReset,
            Kind::Protocol | Kind::TooLarge => CloseReason::ProtocolError,
            Kind::BodyFailed => CloseReason::Cancelled,
            _ => CloseReason::BodyLeftUnread,
        })
    }

    fn timed_out(&self, clock: Timeout, phase: Phase) -> Error {
        let limit = match clock {
            Timeout::Token => None,
            clock => self.clocks.limit(clock),
        };
        let limit = limit.map_or(String::new(), |limit| format!(" of {} ms", limit.as_millis()));
        let what = match clock {
            Timeout::Token => "the cancel token's deadline".to_owned(),
            Timeout::MinRate => "the minimum rate".to_owned(),
            clock => format!("the {clock} limit{limit}"),
        };
        let at = match phase {
            Phase::None => String::new(),
            Phase::Connect | Phase::Proxy if self.goes_through_a_proxy() => {
                format!(" (phase: {phase}, {})", self.key.route)
            }
            phase => format!(" (phase: {phase})"),
        };
        let verb = if clock == Timeout::MinRate { "was not kept" } else { "ran out" };
        Error::new(Kind::TimedOut, format!("timed out: {what} {verb}{at}")).by_clock(clock)
    }

    fn goes_through_a_proxy(&self) -> bool {
        self.key.route.proxy.is_some() && self.key.origin.unix.is_none()
    }
}
