//! The seam between the message and the connection: what ureq's engine wants sent goes out over a
//! lease, what comes in is cut into heads and bodies, and what becomes of the connection is
//! decided when this is dropped.

mod chunks;
mod input;
mod talk;

use std::io;
use std::sync::Arc;
use std::time::Instant;

pub(super) use self::chunks::{Chunks, Cut};
use self::input::Window;
pub(super) use self::talk::{Incoming, Prepared, prepare, run};
use super::buffers::Exchanged;
use super::exchange::Exchange;
use super::proxied;
use crate::error::{Error, Kind};
use crate::manager::{Lease, Reason};
use crate::net::Stop;
use crate::net::stream::Sending;
use crate::wait::{Until, take_turns};

/// One exchange's connection, from the request to the end of the body. Threads: one at a time.
#[derive(Debug)]
pub(super) struct Seam {
    exchange: Arc<Exchange>,
    lease: Option<Lease>,
    buffers: Exchanged,
    head: Head,
    /// The exchange ended well, and nobody asked for a close.
    ended_well: bool,
    /// It can't serve another exchange, however well this one ends.
    unfit: bool,
    window: Window,
}

/// How far the response head is.
#[derive(Debug, PartialEq, Eq)]
enum Head {
    /// Not there. `before`: bytes of interim heads.
    Awaited { before: usize },
    /// What comes is body.
    Here,
}

/// There is no more to do; the exchange knows why.
#[derive(Debug)]
pub(super) struct Stopped;

/// What broke an exchange off.
#[derive(Debug)]
enum Broken {
    /// The exchange knows.
    Stopped,
    /// What ureq's engine says of the message.
    Engine(ureq_proto::Error),
}

impl Seam {
    fn new(exchange: &Arc<Exchange>, mut lease: Lease) -> Result<Self, Error> {
        let secure = lease.stream().is_some_and(|stream| stream.is_tls());
        if exchange.key().origin.secure && !secure {
            let what = "a connection in the clear for a https URL: a defect in hangup";
            return Err(exchange.fail_with(Error::new(Kind::TlsFailed, what)));
        }
        Ok(Self {
            exchange: Arc::clone(exchange),
            lease: Some(lease),
            buffers: Exchanged::default(),
            head: Head::Awaited { before: 0 },
            ended_well: false,
            unfit: false,
            window: Window::default(),
        })
    }

    /// Sends the first bytes of the output.
    fn send(&mut self, amount: usize) -> Result<(), Stopped> {
        // What goes out first is the head.
        let is_head = self.exchange.bytes_sent() == 0;
        let more = is_head && self.exchange.body_at_hand();
        let proxied = is_head
            .then(|| proxied::absolute(self.exchange.key(), self.buffers.written(amount)))
            .flatten();
        let amount = proxied.as_ref().map_or(amount, Vec::len);
        let mut sent = 0;
        while sent < amount {
            // A send that always finds room never waits, and so never looks at its deadline.
            if self.exchange.must_stop() {
                return Err(self.fail(Stop::Deadline));
            }
            if self.exchange.upload_cut() {
                return Ok(());
            }
            let exchange = &self.exchange;
            let Some(stream) = self.lease.as_mut().and_then(Lease::stream) else {
                return Err(Stopped);
            };
            let bytes = proxied.as_deref().unwrap_or_else(|| self.buffers.written(amount));
            match stream.send(&bytes[sent..], more, &|| exchange.clocks().step()) {
                Ok(Sending::Took(took)) => {
                    sent += took;
                    self.exchange.count_sent(took);
                    take_turns();
                }
                Ok(Sending::PeerSpeaks) => self.hear_out(None)?,
                Err(Stop::Io(error)) if is_broken(&error) => {
                    self.hear_out(Some(Stop::Io(error)))?
                }
                Err(stop) => return Err(self.fail(stop)),
            }
        }
        Ok(())
    }

    /// The peer speaks, or broke off, while we still send: it may have answered early (RFC 9110
    /// section 10.1.1 on large uploads). Then the rest of the upload is not sent, the answer counts,
    /// and the connection is of no further use.
    fn hear_out(&mut self, broken: Option<Stop>) -> Result<(), Stopped> {
        let heard = match self.lease.as_mut().and_then(Lease::stream) {
            Some(stream) => stream.try_read(self.buffers.room()),
            None => return Err(Stopped),
        };
        match heard {
            Ok(Some(got)) if got > 0 => {
                self.buffers.filled(got);
                self.exchange.response_started();
                self.exchange.cut_upload();
                self.unfit = true;
                Ok(())
            }
            Ok(Some(_)) if broken.is_none() => {
                let what = "the peer closed the connection before the request was sent";
                Err(self.refuse(Kind::PeerClosed, what))
            }
            Ok(None) if broken.is_none() => Ok(()),
            Err(stop) if broken.is_none() => Err(self.fail(stop)),
            _ => Err(self.fail(broken.unwrap_or(Stop::PeerClosed))),
        }
    }

    /// Waits for bytes and takes them, into the buffers or straight to where they shall go.
    fn fill(&mut self, mut into: Option<&mut [u8]>, mut until: Until) -> Result<usize, Stop> {
        let stream = self.lease.as_mut().and_then(Lease::stream).ok_or(Stop::Ended)?;
        let mut looks_first = stream.may_hold_input();
        loop {
            if looks_first {
                let into = into.as_deref_mut();
                let direct = into.is_some();
                let place = into.unwrap_or_else(|| self.buffers.room());
                if let Some(got) = stream.try_read(place)? {
                    if !direct {
                        self.buffers.filled(got);
                    }
                    take_turns();
                    return Ok(got);
                }
                until = until.later();
            }
            self.buffers.rest();
            stream.await_input(until)?;
            looks_first = true;
        }
    }

    /// The exchange ended well: what becomes of the connection is decided when this is dropped.
    pub(super) fn ends_well(mut self) {
        self.ended_well = true;
    }

    /// The head came and is understood.
    fn head_is_here(&mut self) {
        self.head = Head::Here;
    }

    #[cold]
    fn refuse(&mut self, kind: Kind, what: &str) -> Stopped {
        self.exchange.fail_with(Error::new(kind, what));
        Stopped
    }

    #[cold]
    fn fail(&mut self, stop: Stop) -> Stopped {
        self.exchange.fail(stop);
        Stopped
    }

    /// What broke the exchange off, written down.
    #[cold]
    fn broken(self, broken: &Broken) -> Error {
        match broken {
            Broken::Stopped => self.exchange.failed(),
            Broken::Engine(error) => self.exchange.translate(error),
        }
    }
}

impl From<Stopped> for Broken {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<ureq_proto::Error> for Broken {
    fn from(error: ureq_proto::Error) -> Self {
        Self::Engine(error)
    }
}

impl Drop for Seam {
    #[inline(never)] // Where it is dropped, nobody else needs its frame.
    fn drop(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        let exchange = &self.exchange;
        if exchange.is_the_parents() {
            return lease.forget();
        }
        if let Some(reason) = exchange.failed_for() {
            return lease.close(reason);
        }
        if exchange.is_abandoned() {
            return lease.close(Reason::BodyLeftUnread);
        }
        if self.head != Head::Here {
            return lease.close(Reason::ProtocolError);
        }
        let now = Instant::now();
        let well = if exchange.is_short() {
            lease.part(Reason::AskedByRequest)
        } else if !self.buffers.unconsumed().is_empty() {
            // Bytes that nobody asked for: they must never be read as the next response.
            lease.part(Reason::ProtocolError)
        } else if self.unfit || !self.ended_well {
            lease.part(Reason::AskedByResponse)
        } else {
            lease.give_back(now)
        };
        if !well {
            exchange.fail(Stop::Ended);
        }
        exchange.finish(|| now);
    }
}

fn is_broken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
