//! One exchange of ureq's over a lease.

use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ::ureq::Error;
use ::ureq::config::Config;
use ::ureq::unversioned::transport::{
    Buffers, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
};

use super::failure::exchange_error;
use super::message_watch::MessageWatch;
use crate::http::exchange::Exchange;
use crate::manager::Lease;
use crate::net::Stop;
use crate::net::socket::InUse;
use crate::net::stream::Sending;
use crate::runtime::WaitUntil;
use crate::timeouts::Deadline;
use crate::vocabulary::{CloseReason, Phase, Timeout};

/// A connection of the manager while ureq uses it. ureq asks [`is_open`](Transport::is_open) when it is done with it: the
/// connection goes back to the manager then, and is gone for ureq. Dropped before, it is closed.
///
/// Threads: one at a time; its exchange is ended by any.
pub struct ManagedTransport {
    // Its parts are used by one thread at a time, which ureq's trait does not say.
    inner: Mutex<Inner>,
    buffers: LazyBuffers,
    /// How large the buffers are, for input and for output.
    sizes: (usize, usize),
    is_tls: bool,
    _handle: Arc<dyn ShutdownHandle>,
}

struct Inner {
    exchange: Exchange,
    /// `None` after the end of the exchange.
    lease: Option<Lease>,
    watch: MessageWatch,
    /// The deadline of the call's token, which ends each wait: the token does not fire by it.
    token_deadline: Option<Instant>,
    /// Why the connection is closed if it is dropped now.
    on_drop: CloseReason,
}

impl ManagedTransport {
    pub(super) fn new(
        exchange: Exchange,
        mut lease: Lease,
        handle: Arc<dyn ShutdownHandle>,
        token_deadline: Option<Instant>,
        config: &Config,
    ) -> Self {
        let is_tls = lease.stream().is_some_and(|stream| stream.is_tls());
        let inner = Inner {
            exchange,
            lease: Some(lease),
            watch: MessageWatch::new(),
            token_deadline,
            on_drop: CloseReason::BodyLeftUnread,
        };
        let sizes = (config.input_buffer_size(), config.output_buffer_size());
        let buffers = spare_buffers(sizes);
        Self { inner: Mutex::new(inner), buffers, sizes, is_tls, _handle: handle }
    }
}

impl Transport for ManagedTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        let timeout = timeout.for_write();
        let bytes = &self.buffers.output()[..amount];
        inner.send(bytes, inner.until(timeout)).map_err(|stop| inner.failed(stop, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        let timeout = timeout.for_read();
        let into = self.buffers.input_append_buf();
        if into.is_empty() {
            // Full: ureq says which of its bounds that is.
            return Ok(false);
        }
        let got = inner
            .receive(into, inner.until(timeout))
            .map_err(|stop| inner.failed(stop, timeout))?;
        inner.watch.received(&into[..got]);
        self.buffers.input_appended(got);
        Ok(got > 0)
    }

    /// ureq has read the response to its end: gives the connection back to the manager. It is closed for ureq, which
    /// keeps none itself.
    fn is_open(&mut self) -> bool {
        let is_empty = self.buffers.input().is_empty();
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        inner.finish(is_empty);
        if is_empty {
            keep_buffers(std::mem::replace(&mut self.buffers, LazyBuffers::new(1, 1)), self.sizes);
        }
        false
    }

    fn is_tls(&self) -> bool {
        self.is_tls
    }
}

impl Inner {
    /// When a wait with this timeout of ureq's is over.
    fn until(&self, timeout: NextTimeout) -> WaitUntil {
        let now = Instant::now();
        let own = (!timeout.after.is_not_happening()).then(|| now.checked_add(*timeout.after));
        let own = Deadline { at: own.flatten(), timeout: Timeout::None };
        let token = Deadline { at: self.token_deadline, timeout: Timeout::Token };
        WaitUntil::of(own.or(token), now)
    }

    fn send(&mut self, bytes: &[u8], until: WaitUntil) -> Result<(), Stop> {
        self.watch.sent(bytes);
        let stream = self.lease.as_mut().and_then(Lease::stream).ok_or(Stop::Ended)?;
        let (mut sent, until) = (0, Cell::new(until));
        while sent < bytes.len() {
            if self.exchange.was_ended() {
                return Err(Stop::Ended);
            }
            let deadline = |_: bool, _: &InUse<'_>| {
                until.set(until.get().later());
                until.get()
            };
            match stream.send(&bytes[sent..], &[], false, false, &deadline)? {
                Sending::Took(took) | Sending::Held(took) => {
                    sent += took;
                    self.exchange.note_sent(took as u64);
                }
                // It was not asked for.
                Sending::PeerReadable => {}
            }
        }
        Ok(())
    }

    /// Waits for bytes; 0 if the peer closed.
    fn receive(&mut self, into: &mut [u8], mut until: WaitUntil) -> Result<usize, Stop> {
        self.exchange.enter_phase(if self.watch.has_head() { Phase::Read } else { Phase::Head });
        let stream = self.lease.as_mut().and_then(Lease::stream).ok_or(Stop::Ended)?;
        let mut reads_first = stream.may_hold_input();
        loop {
            if self.exchange.was_ended() {
                return Err(Stop::Ended);
            }
            if reads_first {
                match stream.try_read(into)? {
                    // A close by this process looks the same.
                    Some(0) if self.exchange.was_ended() => return Err(Stop::Ended),
                    Some(got) => {
                        if got > 0 {
                            self.exchange.note_response_started();
                        }
                        return Ok(got);
                    }
                    None => {}
                }
                until = until.later();
                // A peer that always sends something, but no data, is never waited for.
                if until.has_come() {
                    return Err(Stop::Deadline(until.timeout));
                }
            }
            stream.await_input(until)?;
            reads_first = true;
        }
    }

    /// The response was read to its end. `is_empty`: no byte is left behind it.
    fn finish(&mut self, is_empty: bool) {
        let Some(mut lease) = self.lease.take() else { return };
        let now = Instant::now();
        if !is_empty || lease.holds_input() {
            // Bytes behind the response: they must never be read as the next one.
            lease.close_cleanly(CloseReason::ProtocolError);
        } else if self.watch.is_reusable() {
            lease.give_back(now);
        } else {
            lease.close_cleanly(CloseReason::AskedByResponse);
        }
        self.exchange.finish(|| now);
    }

    fn failed(&mut self, stop: Stop, timeout: NextTimeout) -> Error {
        let is_ureqs = matches!(stop, Stop::Deadline(which) if which != Timeout::Token);
        if is_ureqs && !self.exchange.was_ended() {
            // The exchange is not over by that: ureq waits for 100 Continue only for a while.
            self.on_drop = CloseReason::TimedOut;
            return Error::Timeout(timeout.reason);
        }
        let in_body = self.watch.has_head();
        let stream = self.lease.as_mut().and_then(Lease::stream);
        let error = self.exchange.fail_on(stream.map(|stream| &*stream), stop);
        if let Some(lease) = self.lease.take() {
            lease.close(crate::http::close_reason(&error));
        }
        exchange_error(error, in_body)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.close(self.on_drop);
            self.exchange.finish(Instant::now);
        }
    }
}

impl fmt::Debug for ManagedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagedTransport").field("is_tls", &self.is_tls).finish_non_exhaustive()
    }
}

/// Buffers of these sizes, those of the thread's last exchange if they fit: new ones are zeroed pages of the system, and
/// made up half of the CPU of a small GET.
fn spare_buffers(sizes: (usize, usize)) -> LazyBuffers {
    match SPARE.try_with(Cell::take).ok().flatten() {
        Some((buffers, its_sizes)) if its_sizes == sizes => buffers,
        _ => LazyBuffers::new(sizes.0, sizes.1),
    }
}

/// Keeps buffers without input for the thread's next exchange.
fn keep_buffers(buffers: LazyBuffers, sizes: (usize, usize)) {
    let _ = SPARE.try_with(|spare| spare.set(Some((buffers, sizes))));
}

type Spare = Option<(LazyBuffers, (usize, usize))>;

thread_local! {
    static SPARE: Cell<Spare> = const { Cell::new(None) };
}
