//! The frame around one accepted connection: from its entry in the ledger to its end there.
//!
//! The bytes in between belong to a script, a proxy or a SOCKS server. This file records for all of them
//! which side closed, and does so only after the socket is closed.

use crate::latch::Latch;
use crate::ledger::{Ended, Ledger};
use crate::wire::{Halt, Wire};
use socket2::Socket;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

/// How this side ends the connection if the peer does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WayOut {
    /// With a FIN, after close_notify if there is TLS.
    Close,
    /// With a FIN only.
    Truncate,
    /// With a RST.
    Reset,
}

/// Lets `talk` have the connection, then closes it, and notes both ends of its life.
pub(crate) fn attend(
    socket: Socket,
    index: usize,
    ledger: &Ledger,
    stop: &Arc<Latch>,
    talk: impl FnOnce(&mut Wire) -> Result<WayOut, Halt>,
) {
    ledger.accepted(index, socket.as_raw_fd());
    match Wire::new(socket, Arc::clone(stop)) {
        Ok(mut wire) => {
            let way_out = talk(&mut wire).unwrap_or_else(|halt| {
                note(&halt, index, &wire, ledger);
                WayOut::Close
            });
            ledger.leaving(index);
            leave(wire, way_out);
        }
        Err(e) => {
            ledger.leaving(index);
            ledger.record(index, |record| record.broken = Some(e.to_string()));
        }
    }
    // After the socket is gone, so that a test that sees this can count descriptors.
    ledger.note_end(index, Ended::ByServer);
    ledger.record(index, |record| record.closed = true);
}

fn note(halt: &Halt, index: usize, wire: &Wire, ledger: &Ledger) {
    match halt {
        Halt::Done | Halt::Stopped => {}
        Halt::PeerFin => ledger.note_end(index, Ended::Fin),
        Halt::PeerRst => ledger.note_end(index, Ended::Rst),
        Halt::PartnerGone => {
            // The wait of another wire saw the close; this wire can find out which kind it was.
            if let Some(halt) = wire.peer_end(Duration::ZERO) {
                note(&halt, index, wire, ledger);
            }
        }
        Halt::Broken(why) => {
            ledger.record(index, |record| record.broken = Some(why.clone()));
            // Most often the peer refused the certificate and is about to close; let it be the
            // first.
            match wire.peer_end(GRACE) {
                Some(Halt::PeerFin) => ledger.note_end(index, Ended::Fin),
                Some(Halt::PeerRst) => ledger.note_end(index, Ended::Rst),
                _ => {}
            }
        }
    }
}

fn leave(mut wire: Wire, way_out: WayOut) {
    match way_out {
        WayOut::Reset => wire.reset(),
        WayOut::Truncate => wire.close(),
        WayOut::Close => {
            // A peer that has closed gets no close_notify.
            let _ = wire.close_notify();
            wire.close();
        }
    }
}

/// How long a broken connection waits for the peer to close it.
const GRACE: Duration = Duration::from_secs(1);
