//! The body of a response over HTTP/1.1, without its framing (RFC 9112 section 6.3).

use std::time::Instant;

use super::chunked::ChunkedDecoder;
use super::transport::Transport;
use crate::http::exchange::Exchange;
use crate::manager::Lease;
use crate::net::Stop;
use crate::net::stream::Stream;
use crate::response_head::BodyFraming;
use crate::vocabulary::CloseReason;

/// Threads: one at a time.
pub(in crate::http) struct Http1Body {
    transport: Transport,
    framing: Framing,
}

enum Framing {
    /// The head said how long the body is, or that there is none.
    Length(u64),
    UntilClose,
    Chunked(ChunkedDecoder),
}

impl Transport {
    /// What the connection is after the head.
    pub(in crate::http) fn with_body(self, framing: BodyFraming) -> Http1Body {
        let framing = match framing {
            BodyFraming::None => Framing::Length(0),
            BodyFraming::Length(length) => Framing::Length(length),
            BodyFraming::UntilClose => Framing::UntilClose,
            BodyFraming::Chunked => Framing::Chunked(ChunkedDecoder::new()),
        };
        Http1Body { transport: self, framing }
    }
}

impl Http1Body {
    /// A piece: at least one byte; 0 if the body is at its end or the peer closed, which
    /// [`is_whole`](Self::is_whole) tells apart. `left`: what is still to come, if that is known.
    pub(in crate::http) fn read(
        &mut self,
        into: &mut [u8],
        left: Option<u64>,
        exchange: &Exchange,
    ) -> Result<usize, Stop> {
        match &mut self.framing {
            Framing::Chunked(chunked) => {
                let got = chunked.read(&mut self.transport, into, exchange)?;
                if got > 0 {
                    self.transport.framing_bytes = 0;
                }
                Ok(got)
            }
            _ => self.transport.read_body(into, left, exchange),
        }
    }

    /// [`read`](Self::read) of what is here already; `None` if nothing is. Doesn't wait.
    pub(in crate::http) fn read_here(
        &mut self,
        into: &mut [u8],
        left: Option<u64>,
        exchange: &Exchange,
    ) -> Result<Option<usize>, Stop> {
        match &mut self.framing {
            Framing::Chunked(chunked) => {
                let got = chunked.read_here(&mut self.transport, into, exchange)?;
                if got > Some(0) {
                    self.transport.framing_bytes = 0;
                }
                Ok(got)
            }
            Framing::Length(_) | Framing::UntilClose => self.transport.read_body_here(into, left),
        }
    }

    /// Whether [`read_here`](Self::read_here) may find more after one that was shorter than its room.
    pub(in crate::http) fn may_hold_more(&mut self) -> bool {
        self.transport.may_hold_more()
    }

    /// Gives the connection back after the body was read to its end, or closes it if it can't be used
    /// again.
    ///
    /// # Errors
    /// The exchange was ended before.
    pub(in crate::http) fn finish(&mut self, exchange: &Exchange) -> Result<(), Stop> {
        let is_reusable = match &self.framing {
            Framing::Length(_) => true,
            Framing::UntilClose => false,
            Framing::Chunked(chunked) => chunked.is_reusable(),
        };
        self.transport.finish(exchange, is_reusable)
    }

    /// See [`Transport::mark_upgraded`].
    pub(in crate::http) fn mark_upgraded(&self) {
        self.transport.mark_upgraded();
    }

    /// See [`Transport::stream`].
    pub(in crate::http) fn stream(&mut self) -> Option<&Stream> {
        self.transport.stream()
    }

    /// See [`Transport::hand_over`].
    pub(in crate::http) fn hand_over(&mut self) -> Option<(Lease, Vec<u8>)> {
        self.transport.hand_over()
    }

    pub(in crate::http) fn close(&mut self, reason: CloseReason) {
        self.transport.close(reason);
    }

    /// From here on a read that would wait longer than this ends with a deadline of no timeout.
    pub(in crate::http) fn set_drain_deadline(&mut self, deadline: Instant) {
        self.transport.drain_deadline = Some(deadline);
    }

    /// How long the body is, if the head said so.
    pub(in crate::http) fn length(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(length) => Some(length),
            Framing::UntilClose | Framing::Chunked(_) => None,
        }
    }

    /// Whether the last byte was read. A body that ends with its connection never knows.
    pub(in crate::http) fn is_at_end(&self, left: Option<u64>) -> bool {
        match &self.framing {
            Framing::Length(_) => left == Some(0),
            Framing::UntilClose => false,
            Framing::Chunked(chunked) => chunked.is_over(),
        }
    }

    /// Whether nothing of the body is missing, now that the peer has closed.
    pub(in crate::http) fn is_whole(&self, left: Option<u64>) -> bool {
        matches!(self.framing, Framing::UntilClose) || self.is_at_end(left)
    }
}
