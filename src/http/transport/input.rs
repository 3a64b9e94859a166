//! What comes: whole heads, in the form that ureq takes, and pieces of body, fast enough.

use std::io;
use std::time::{Duration, Instant};

use ureq::Timeout;

use super::{Head, Seam};
use crate::error::{Clock, Kind, Phase};
use crate::http::head::{self, Facts, Look};
use crate::limits::Deadline;
use crate::net::Stop;

/// The minimum rate's window: what came in how much waiting.
#[derive(Debug, Default)]
pub(super) struct Window {
    waited: Duration,
    bytes: u64,
}

impl Seam {
    /// Waits until a whole head is there and ureq can have it. Interim answers (RFC 9110 section
    /// 15.2) are taken out of its way. `patience` is the wait for 100 Continue.
    pub(super) fn await_head(&mut self, patience: Option<Deadline>) -> Result<bool, ureq::Error> {
        let deadline = match patience {
            Some(patience) => self.exchange.until(patience),
            None => self.exchange.begin(Phase::Head),
        };
        loop {
            let Head::Awaited { before, .. } = self.head else { return Ok(true) };
            let have = self.buffers.unconsumed().len();
            match head::look(self.buffers.unconsumed()) {
                Look::Wrong(what) => return Err(self.refuse(Kind::Protocol, what)),
                Look::Incomplete => {
                    if before + have > self.exchange.max_head() {
                        return Err(self.too_large());
                    }
                }
                Look::Complete(facts) if before + facts.size > self.exchange.max_head() => {
                    return Err(self.too_large());
                }
                Look::Complete(facts) if facts.status == 100 && patience.is_some() => {
                    self.go_on(&facts);
                    return Ok(true);
                }
                Look::Complete(facts) if facts.status < 200 && facts.status != 101 => {
                    self.buffers.skip(facts.size);
                    self.head = Head::Awaited { before: before + facts.size, answered: false };
                    continue;
                }
                Look::Complete(facts) => {
                    return self.deliver(&facts);
                }
            }
            match self.fill(deadline) {
                Ok(0) => {
                    let what = if have + before == 0 {
                        "the peer closed the connection before any byte of the response"
                    } else {
                        "the peer closed the connection inside the head of the response"
                    };
                    return Err(self.refuse(Kind::PeerClosed, what));
                }
                Ok(_) => self.exchange.response_started(),
                Err(Stop::Deadline)
                    if patience.is_some() && self.exchange.armed() == Clock::None =>
                {
                    return Err(ureq::Error::Timeout(Timeout::Await100));
                }
                Err(stop) => return Err(self.fail(stop)),
            }
        }
    }

    /// 100 Continue: ureq knows it without header fields only, so it gets it without.
    fn go_on(&mut self, facts: &Facts) {
        const BARE: &[u8] = b"HTTP/1.1 100\r\n\r\n";
        if facts.size > BARE.len() {
            self.buffers.unconsumed_mut()[..BARE.len()].copy_from_slice(BARE);
            self.buffers.cut(BARE.len(), facts.size - BARE.len());
        }
        self.buffers.offer();
    }

    fn deliver(&mut self, facts: &Facts) -> Result<bool, ureq::Error> {
        self.unfit |= facts.ambiguous || facts.status == 101;
        let mut size = facts.size;
        if facts.folded {
            let folds = head::folds(&self.buffers.unconsumed()[..size]);
            for (at, length) in folds.into_iter().rev() {
                self.buffers.unconsumed_mut()[at] = b' ';
                self.buffers.cut(at + 1, length - 1);
                size -= length - 1;
            }
        }
        if facts.fields > MOST_FIELDS {
            let what = format!("the response head has {} header lines", facts.fields);
            return Err(self.refuse(Kind::TooLarge, &what));
        }
        if facts.fields > FIELDS_FOR_UREQ {
            self.set_aside(size)?;
        }
        self.head = Head::Awaited { before: 0, answered: true };
        self.buffers.offer();
        Ok(true)
    }

    /// Takes header lines that ureq has no room for out of its way; the exchange adds them again.
    fn set_aside(&mut self, size: usize) -> Result<(), ureq::Error> {
        let lines = head::surplus(&self.buffers.unconsumed()[..size], FIELDS_FOR_UREQ);
        let parsed = lines
            .iter()
            .map(|(at, length)| head::parse(&self.buffers.unconsumed()[*at..at + length]));
        let Some(fields) = parsed.collect::<Option<Vec<_>>>() else {
            return Err(self.refuse(Kind::Protocol, "malformed response: a header line is none"));
        };
        for (at, length) in lines.into_iter().rev() {
            self.buffers.cut(at, length);
        }
        self.exchange.set_aside(fields);
        Ok(())
    }

    pub(super) fn await_body(&mut self) -> Result<bool, ureq::Error> {
        let now = Instant::now();
        let mut own = Deadline::after(now, self.exchange.limit(Clock::Read), Clock::Read);
        let rate = self.exchange.min_rate();
        if let Some((_, window)) = rate {
            let left = window.saturating_sub(self.window.waited);
            own = own.or(Deadline::after(now, Some(left), Clock::MinRate));
        }
        if let Some(polite) = self.exchange.polite_until() {
            own = own.or(Deadline { at: Some(polite), clock: Clock::None });
        }
        let deadline = self.exchange.until(own);
        let got = match self.fill(deadline) {
            Err(Stop::Deadline)
                if self.exchange.armed() == Clock::MinRate && !self.is_too_slow(rate, now) =>
            {
                return self.await_body();
            }
            other => other,
        };
        match got {
            // ureq knows whether the body may end here.
            Ok(0) => {
                self.exchange.peer_closed();
                Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
            }
            // Endless trailers or chunk extensions are the head's bound again.
            Ok(got) if self.exchange.count_framing(got) > self.exchange.max_head() as u64 => {
                let what = "the body's chunk framing or trailers are larger than a head may be";
                Err(self.refuse(Kind::TooLarge, what))
            }
            Ok(got) => {
                self.window.waited += now.elapsed();
                self.window.bytes += got as u64;
                if rate.is_some() && self.is_too_slow(rate, Instant::now()) {
                    return Err(self.fail(Stop::Deadline));
                }
                Ok(true)
            }
            Err(stop) => Err(self.fail(stop)),
        }
    }

    /// At the end of a window of waiting: whether too little came. A new window begins if not.
    fn is_too_slow(&mut self, rate: Option<(u64, Duration)>, since: Instant) -> bool {
        let Some((rate, window)) = rate else { return false };
        let waited = self.window.waited + since.elapsed();
        if waited < window {
            return false;
        }
        let wanted = u128::from(rate) * window.as_millis() / 1000;
        if u128::from(self.window.bytes) < wanted {
            self.exchange.min_rate_failed();
            return true;
        }
        self.window = Window::default();
        false
    }

    fn too_large(&mut self) -> ureq::Error {
        let what = format!("the response head is larger than {} bytes", self.exchange.max_head());
        self.refuse(Kind::TooLarge, &what)
    }
}

/// ureq-proto has room for 128; those about framing stay with it whatever their number.
const FIELDS_FOR_UREQ: usize = 100;
/// More than any answer needs, whatever the bound in bytes is.
const MOST_FIELDS: usize = 4096;
