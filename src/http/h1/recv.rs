//! What comes: whole heads, in the form that the engine takes, and pieces of body, fast enough.

use std::time::{Duration, Instant};

use super::transport::{Head, Seam, Stopped};
use crate::net::Stop;
use crate::response_head::{self, Look, Refusal};
use crate::runtime::{WaitUntil, on_thread_stack};
use crate::timeouts::Deadline;
use crate::vocabulary::{Kind, Phase, Timeout};

/// The minimum rate's window: what came in how much waiting.
#[derive(Debug, Default)]
pub(super) struct Window {
    waited: Duration,
    bytes: u64,
}

/// What a wait for a head came to.
pub(super) enum Awaited {
    /// The final one, for the engine: its status and its framing.
    Head(Vec<u8>),
    /// 100 Continue, where that was waited for.
    Continue,
    /// The wait for 100 Continue was in vain.
    Nothing,
}

impl Window {
    /// At its end: whether too little came. A new one begins if not.
    fn is_slower_than(&mut self, rate: u64, window: Duration) -> bool {
        let slower =
            u128::from(self.bytes) * 1000 < u128::from(rate).saturating_mul(window.as_millis());
        if !slower {
            *self = Self::default();
        }
        slower
    }
}

impl Seam {
    /// Waits until a whole head is there. Interim answers (RFC 9110 section 15.2) are passed over.
    /// `patience` is the wait for 100 Continue.
    pub(super) fn await_head(&mut self, patience: Option<Deadline>) -> Result<Awaited, Stopped> {
        let mut until = match patience {
            Some(patience) => WaitUntil::of(self.exchange.clocks().until(patience), Instant::now()),
            None => self.exchange.clocks().begin(Phase::Head),
        };
        let (mut seen, mut slow) = (0, false);
        loop {
            let Head::Awaited { before } = self.head else { return Ok(Awaited::Nothing) };
            let have = self.buffers.unconsumed().len();
            // Nothing is here yet: most heads are looked at once, when they have come whole.
            if have > 0
                && let Some((size, before)) = self.whole_head(seen)?
            {
                if let Some(awaited) = self.take_head(size, before, patience.is_some())? {
                    return Ok(awaited);
                }
                seen = 0;
                continue;
            }
            seen = have;
            if slow {
                until = until.later();
            }
            match self.fill(None, until) {
                // What is not there can't be truncated: an end of TCP without close_notify is an end.
                Ok(0) | Err(Stop::PeerClosed) => {
                    let what = if have + before == 0 {
                        "the peer closed the connection before any byte of the response"
                    } else {
                        "the peer closed the connection inside the head of the response"
                    };
                    return Err(self.refuse(Kind::PeerClosed, what));
                }
                Ok(_) => {
                    self.exchange.response_started();
                    slow = true;
                }
                // The wait for 100 Continue belongs to no timeout of the request.
                Err(Stop::Deadline(Timeout::None)) => return Ok(Awaited::Nothing),
                Err(stop) => return Err(self.fail(stop)),
            }
        }
    }

    /// Looks for a whole head among the bytes that are here, of which the first `seen` were looked at
    /// before: its size, and the size of the interim heads before it.
    #[inline(always)] // Once in the wait for a head, and once where that is rare.
    pub(super) fn whole_head(&mut self, seen: usize) -> Result<Option<(usize, usize)>, Stopped> {
        let Head::Awaited { before } = self.head else { return Ok(None) };
        let have = self.buffers.unconsumed().len();
        let look = match have {
            0 => return Ok(None),
            _ => response_head::look(self.buffers.unconsumed(), seen),
        };
        match look {
            Look::Wrong(what) => Err(self.refuse(Kind::Protocol, what)),
            Look::Incomplete if before + have > self.exchange.max_head() => Err(self.too_large()),
            Look::Incomplete => Ok(None),
            Look::Complete(size) if before + size > self.exchange.max_head() => {
                Err(self.too_large())
            }
            Look::Complete(size) => Ok(Some((size, before))),
        }
    }

    /// A whole head is here; `None` for an interim one, which is over.
    #[inline(never)] // Nobody waits here.
    pub(super) fn take_head(
        &mut self,
        size: usize,
        before: usize,
        awaits_100: bool,
    ) -> Result<Option<Awaited>, Stopped> {
        let bytes = &self.buffers.unconsumed()[..size];
        // A table of fields: stack that is needed for a moment only.
        let to = self.exchange.response_to();
        let framing = match on_thread_stack(|| response_head::read(bytes, to)) {
            Ok(framing) => framing,
            Err(refusal @ Refusal::TooManyFields) => {
                return Err(self.refuse(Kind::TooLarge, refusal.words()));
            }
            Err(refusal) => return Err(self.refuse(Kind::Protocol, refusal.words())),
        };
        self.buffers.consume(size);
        match framing.head.status {
            status @ (100 | 102..=199) => {
                self.head = Head::Awaited { before: before + size };
                Ok((status == 100 && awaits_100).then_some(Awaited::Continue))
            }
            status => {
                self.unfit |= framing.ambiguous || !framing.keeps || status == 101;
                self.exchange.take_head(framing.head);
                Ok(Some(Awaited::Head(framing.for_ureq)))
            }
        }
    }

    /// More of a chunked body; `false` if the peer closed.
    pub(super) fn await_body(&mut self) -> Result<bool, Stopped> {
        match self.await_bytes(None)? {
            0 => Ok(false),
            // Endless trailers or chunk extensions are the head's bound again.
            got if self.exchange.count_framing(got) > self.exchange.max_head() as u64 => {
                let what = "the body's chunk framing or trailers are larger than a head may be";
                Err(self.refuse(Kind::TooLarge, what))
            }
            _ => Ok(true),
        }
    }

    /// Whether a read of a body of which so much is left goes into the caller's buffer of that size, if
    /// nothing is in ours.
    pub(super) fn goes_straight(&self, room: usize, left: u64) -> bool {
        room as u64 >= STRAIGHT && left >= STRAIGHT
    }

    /// A piece of a body, or of a chunk, of which so much is left; 0 if the peer closed.
    pub(in crate::http) fn read_body(
        &mut self,
        into: &mut [u8],
        left: Option<u64>,
    ) -> Result<usize, Stopped> {
        let most = left.map_or(into.len(), |left| usize::try_from(left).unwrap_or(into.len()));
        let size = into.len().min(most);
        let into = &mut into[..size];
        if self.buffers.unconsumed().is_empty() {
            if into.len() as u64 >= STRAIGHT {
                return self.await_bytes(Some(into));
            }
            if self.await_bytes(None)? == 0 {
                return Ok(0);
            }
        }
        Ok(self.buffers.take_into(into))
    }

    /// Waits for bytes of the body within its clocks; 0 if the peer closed.
    fn await_bytes(&mut self, mut into: Option<&mut [u8]>) -> Result<usize, Stopped> {
        let mut now = Instant::now();
        let mut read =
            Deadline::after(now, self.exchange.clocks().limit(Timeout::Read), Timeout::Read);
        if let Some(polite) = self.exchange.polite().until() {
            read = read.or(Deadline { at: Some(polite), timeout: Timeout::None });
        }
        let got = loop {
            let Some((rate, window)) = self.exchange.clocks().min_rate() else {
                break self.fill(
                    into.as_deref_mut(),
                    WaitUntil::of(self.exchange.clocks().until(read), now),
                );
            };
            let left = window.saturating_sub(self.window.waited);
            let own = read.or(Deadline::after(now, Some(left), Timeout::MinRate));
            let got = self
                .fill(into.as_deref_mut(), WaitUntil::of(self.exchange.clocks().until(own), now));
            let later = Instant::now();
            self.window.waited += later.saturating_duration_since(now);
            self.window.bytes += *got.as_ref().unwrap_or(&0) as u64;
            now = later;
            if self.window.waited >= window && self.window.is_slower_than(rate, window) {
                self.exchange.fail(Stop::Deadline(Timeout::MinRate));
                return Err(Stopped);
            }
            match got {
                Err(Stop::Deadline(Timeout::MinRate)) => {}
                other => break other,
            }
        };
        match got {
            Ok(got) => {
                if got == 0 {
                    self.exchange.peer_closed();
                }
                Ok(got)
            }
            // A polite close has other things to do than to wait; nothing has failed.
            Err(Stop::Deadline(Timeout::None)) if self.exchange.polite().pause() => Err(Stopped),
            Err(stop) => {
                self.exchange.fail(stop);
                Err(Stopped)
            }
        }
    }

    #[cold]
    fn too_large(&mut self) -> Stopped {
        let what = format!("the response head is larger than {} bytes", self.exchange.max_head());
        self.refuse(Kind::TooLarge, &what)
    }
}

/// Reads of this size and more go straight into the caller's buffer; smaller ones are served
/// from ours, so that a caller who reads byte by byte does not make a system call for each.
const STRAIGHT: u64 = 16 * 1024;
