//! The inside of a tunnel: bytes both ways between a client and an origin until both have ended.
//!
//! One poll(2) for both sides and the stop latch. What one side does is done to the other: a FIN is
//! passed on when all before it is through, a reset at once.

use crate::attend::WayOut;
use crate::latch::{entry, poll};
use crate::ledger::{Ended, Ledger};
use crate::wire::{Halt, Wire};

/// Runs until both sides have ended, and returns how the client's connection is to be closed. Records
/// the client's FIN in the ledger when it comes.
pub(crate) fn relay(
    client: &mut Wire,
    origin: Wire,
    index: usize,
    ledger: &Ledger,
) -> Result<WayOut, Halt> {
    let mut near = Side::new(client);
    let mut origin = origin;
    let mut far = Side::new(&mut origin);
    // What came together with the request, before anything new.
    near.ready = true;
    let ended = loop {
        let step = (|| {
            if near.pump(&mut far).map_err(Trouble::Near)? {
                ledger.note_end(index, Ended::Fin);
            }
            far.pump(&mut near).map_err(Trouble::Far)?;
            near.push().map_err(Trouble::Near)?;
            far.push().map_err(Trouble::Far)
        })();
        if let Err(trouble) = step {
            break Err(trouble);
        }
        if near.over() && far.over() {
            break Ok(());
        }
        let (may_near, may_far) = (far.has_room(), near.has_room());
        let mut table =
            [entry(near.wire.stop().fd(), libc::POLLIN), near.entry(may_near), far.entry(may_far)];
        poll(&mut table, None);
        if table[0].revents != 0 {
            break Err(Trouble::Near(Halt::Stopped));
        }
        near.ready = table[1].revents & !libc::POLLOUT != 0;
        far.ready = table[2].revents & !libc::POLLOUT != 0;
    };
    match ended {
        Ok(()) => Ok(WayOut::Close),
        Err(Trouble::Far(Halt::PeerRst)) => Ok(WayOut::Reset),
        Err(Trouble::Far(_)) => Ok(WayOut::Truncate),
        Err(Trouble::Near(halt)) => {
            if halt == Halt::PeerRst {
                origin.reset();
            } else {
                origin.close();
            }
            Err(halt)
        }
    }
}

/// On which side something went wrong.
enum Trouble {
    Near(Halt),
    Far(Halt),
}

/// One end of the tunnel.
struct Side<'a> {
    wire: &'a mut Wire,
    /// Something may be read without waiting.
    ready: bool,
    /// Its end of stream was read.
    ended: bool,
    /// The other side's end of stream was passed on to it.
    fin_sent: bool,
    /// The other side has ended: after the bytes below comes a FIN.
    closing: bool,
    /// What the other side sent, as it goes on this side's wire.
    out: Vec<u8>,
}

impl<'a> Side<'a> {
    fn new(wire: &'a mut Wire) -> Side<'a> {
        Side { wire, ready: false, ended: false, fin_sent: false, closing: false, out: Vec::new() }
    }

    /// Moves the buffered bytes to the other side's buffer. True at the end of the stream.
    fn pump(&mut self, to: &mut Side<'_>) -> Result<bool, Halt> {
        if !self.ready || self.ended || !to.has_room() {
            return Ok(false);
        }
        let got = self.wire.try_fill()?;
        let all = self.wire.inbox().len();
        let bytes = self.wire.take(all);
        to.out.extend(to.wire.seal(&bytes)?);
        if got != Some(0) {
            return Ok(false);
        }
        self.ended = true;
        to.closing = true;
        to.out.extend(to.wire.close_notify_bytes()?);
        Ok(true)
    }

    fn push(&mut self) -> Result<(), Halt> {
        self.wire.try_write(&mut self.out)?;
        if self.closing && self.out.is_empty() && !self.fin_sent {
            self.wire.fin();
            self.fin_sent = true;
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.out.len() < ROOM
    }

    fn over(&self) -> bool {
        self.ended && self.fin_sent
    }

    fn entry(&self, may_read: bool) -> libc::pollfd {
        let reading = if may_read && !self.ended { libc::POLLIN } else { 0 };
        let writing = if self.out.is_empty() { 0 } else { libc::POLLOUT };
        let wanted = reading | writing;
        // poll(2) reports a hang-up whether wanted or not, and after both FINs it always is one.
        let fd = if wanted == 0 && (self.ended || self.fin_sent) { -1 } else { self.wire.fd() };
        entry(fd, wanted)
    }
}

/// Bytes that may be under way in one direction before that side is no longer read.
const ROOM: usize = 256 * 1024;
