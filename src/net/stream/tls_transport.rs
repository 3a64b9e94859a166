//! What a TLS layer sends its records over: the socket, or the TLS with a proxy over the socket (TLS in TLS).
//! Both have the same interface.

use std::io::{self, Read, Write};

use rustls::ClientConnection;

use super::tls_layer::TlsLayer;
use super::traffic::Traffic;
use crate::net::socket::InUse;
use crate::runtime::yield_if_due;

/// The socket with the traits of std::io; it counts the bytes.
pub(super) struct CountingSocket<'a> {
    socket: &'a InUse<'a>,
    traffic: &'a Traffic,
    /// The next read waits.
    waits: bool,
}

/// What the origin's TLS is written to and read from. Never blocks: `WouldBlock` means that the caller has to
/// wait for the socket.
pub(super) struct TlsTransport<'a> {
    pub(super) wire: CountingSocket<'a>,
    /// The proxy's TLS, if there is one in between.
    pub(super) tunnel: Option<&'a mut TlsLayer>,
}

impl<'a> CountingSocket<'a> {
    pub(super) fn new(socket: &'a InUse<'a>, traffic: &'a Traffic) -> Self {
        Self { socket, traffic, waits: false }
    }

    /// The next read, and no other, waits for input; see [`InUse::recv_waiting`].
    pub(super) fn waiting(self, waits: bool) -> Self {
        Self { waits, ..self }
    }

    pub(super) fn send(&mut self, bytes: &[u8], more: bool) -> io::Result<usize> {
        let sent = self.socket.send(bytes, more)?;
        self.traffic.add_out(sent);
        Ok(sent)
    }
}

impl Read for CountingSocket<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = match std::mem::take(&mut self.waits) {
            true => self.socket.recv_waiting(into)?,
            false => self.socket.recv(into)?,
        };
        self.traffic.add_in(got);
        Ok(got)
    }
}

impl Write for CountingSocket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes, false)
    }

    fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let sent = self.socket.send_vectored(pieces)?;
        self.traffic.add_out(sent);
        Ok(sent)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TlsTransport<'_> {
    /// Whether the tunnel holds bytes that it took and the socket did not. They are sent before a wait for
    /// the peer, which waits for them.
    pub(super) fn wants_write(&self) -> bool {
        self.tunnel.as_ref().is_some_and(|tunnel| tunnel.wants_write())
    }

    /// Sends what the tunnel holds.
    fn push(&mut self) -> io::Result<()> {
        if let Some(tunnel) = &mut self.tunnel {
            while tunnel.wants_write() {
                tunnel.write_tls(&mut self.wire)?;
            }
        }
        Ok(())
    }
}

impl Read for TlsTransport<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(tunnel) = &mut self.tunnel else { return self.wire.read(into) };
        loop {
            match tunnel.read_plaintext(into) {
                // The tunnel was cut off. The TLS layer above decides whether that is an end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) if blocked(&error) => {}
                done => return done,
            }
            let got = tunnel.read_tls(&mut self.wire)?;
            tunnel
                .process(got)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            yield_if_due();
            flush_if_possible(tunnel, &mut self.wire);
        }
    }
}

impl Write for TlsTransport<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[io::IoSlice::new(bytes)])
    }

    /// Takes no more while the tunnel holds what the socket did not take, so that what waits
    /// here is bounded by one write.
    fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        if self.tunnel.is_none() {
            return self.wire.write_vectored(pieces);
        }
        self.push()?;
        let took = match &mut self.tunnel {
            Some(tunnel) => tunnel.writer().write_vectored(pieces)?,
            None => 0,
        };
        match self.push() {
            Err(error) if !blocked(&error) => Err(error),
            _ => Ok(took),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push()
    }
}

/// Sends what TLS holds, as far as the transport takes it now. Its failure does not matter: the next read or
/// write reports it.
pub(super) fn flush_if_possible(tls: &mut ClientConnection, below: &mut dyn Write) {
    while tls.wants_write() && tls.write_tls(below).is_ok_and(|sent| sent > 0) {}
    let _ = below.flush();
}

pub(super) fn blocked(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
