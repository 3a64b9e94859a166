//! Bytes over a socket, plain or through TLS, with a deadline for each step.
//!
//! Ending the socket from another thread ends every wait here; what that means is for the
//! layers above to say.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::Stop;
use super::resolve::without_brackets;
use super::socket::{InUse, Socket};
use super::tls::Tls;
use crate::error::{Error, Kind};
use crate::wait::{Interest, Until, Woken, wait_fd};

/// One connection's bytes. Threads: one at a time; its [`Socket`] may be ended by any.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: Arc<Socket>,
    tls: Option<Box<ClientConnection>>,
    traffic: Arc<Traffic>,
}

/// Bytes on the wire so far. One thread counts, any may look.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
}

/// What came of trying to send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// This many bytes were taken; all of them for TLS.
    Took(usize),
    /// The peer says something while we can't go on: it may have answered already.
    PeerSpeaks,
}

impl Stream {
    pub(crate) fn plain(socket: Arc<Socket>) -> Self {
        Self { socket, tls: None, traffic: Arc::default() }
    }

    /// Begins TLS on a fresh stream; [`handshake`](Self::handshake) does the talking.
    pub(crate) fn begin_tls(&mut self, tls: &Tls, host: &str) -> Result<(), Error> {
        let name = ServerName::try_from(without_brackets(host).to_owned()).map_err(|_| {
            Error::new(Kind::InvalidUrl, format!("{host} is no name that a certificate can be for"))
        })?;
        let connection = ClientConnection::new(Arc::clone(tls.config()?), name)
            .map_err(|error| Error::new(Kind::TlsFailed, error.to_string()))?;
        self.tls = Some(Box::new(connection));
        Ok(())
    }

    pub(crate) fn handshake(&mut self, deadline: Option<Instant>) -> Result<(), Stop> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let socket = self.socket.enter().ok_or(Stop::Ended)?;
        let mut wire = Wire { socket: &socket, traffic: &self.traffic };
        loop {
            while tls.wants_write() {
                match tls.write_tls(&mut wire) {
                    Ok(_) => {}
                    Err(error) if blocked(&error) => {
                        ready(&socket, Interest::Write, Until::new(deadline)).map(drop)?
                    }
                    Err(error) => return Err(Stop::Io(error)),
                }
            }
            if !tls.is_handshaking() {
                return Ok(());
            }
            match tls.read_tls(&mut wire) {
                Ok(0) => return Err(Stop::PeerClosed),
                Ok(_) => {
                    if let Err(error) = tls.process_new_packets() {
                        // The alert tells the peer why (RFC 8446 section 6); it may not want to know.
                        flush_if_possible(tls, &mut wire);
                        return Err(Stop::Tls(error));
                    }
                }
                Err(error) if blocked(&error) => {
                    ready(&socket, Interest::Read, Until::new(deadline)).map(drop)?
                }
                Err(error) => return Err(Stop::Io(error)),
            }
        }
    }

    /// Waits for bytes and takes what is there: at least one, or 0 for the end.
    pub(crate) fn read(&mut self, into: &mut [u8], mut until: Until) -> Result<usize, Stop> {
        if self.tls.is_none() {
            let socket = self.socket.enter().ok_or(Stop::Ended)?;
            let mut wire = Wire { socket: &socket, traffic: &self.traffic };
            loop {
                // Waiting first saves a call that would only say "not yet".
                ready(&socket, Interest::Read, until)?;
                if let Some(got) = not_yet(wire.read(into))? {
                    return Ok(got);
                }
                until = until.later();
            }
        }
        loop {
            // Decrypted bytes may be there already.
            if let Some(got) = self.try_read(into)? {
                return Ok(got);
            }
            let unsent = self.tls.as_ref().is_some_and(|tls| tls.wants_write());
            let interest = if unsent { Interest::Either } else { Interest::Read };
            let socket = self.socket.enter().ok_or(Stop::Ended)?;
            ready(&socket, interest, until)?;
            until = until.later();
        }
    }

    /// Takes what is there; `None` if nothing is yet.
    pub(crate) fn try_read(&mut self, into: &mut [u8]) -> Result<Option<usize>, Stop> {
        let socket = self.socket.enter().ok_or(Stop::Ended)?;
        let mut wire = Wire { socket: &socket, traffic: &self.traffic };
        let Some(tls) = &mut self.tls else { return not_yet(wire.read(into)) };
        loop {
            match tls.reader().read(into) {
                Ok(got) => return Ok(Some(got)),
                // End of the stream without close_notify: cut off, not ended.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(Stop::PeerClosed);
                }
                Err(error) if blocked(&error) => {}
                Err(error) => return Err(Stop::Io(error)),
            }
            match not_yet(tls.read_tls(&mut wire))? {
                None => return Ok(None),
                Some(_) => tls.process_new_packets().map(drop).map_err(Stop::Tls)?,
            }
            // Key updates and the like want an answer; it may wait for the next write if it doesn't fit.
            flush_if_possible(tls, &mut wire);
        }
    }

    /// Sends `bytes`, or as many as can be sent at once. `more`: the rest of the message follows.
    /// `until` is asked for the deadline only if there is something to wait for.
    pub(crate) fn send(
        &mut self,
        bytes: &[u8],
        more: bool,
        until: &dyn Fn() -> Until,
    ) -> Result<Sending, Stop> {
        let socket = self.socket.enter().ok_or(Stop::Ended)?;
        let mut wire = Wire { socket: &socket, traffic: &self.traffic };
        let Some(tls) = &mut self.tls else {
            loop {
                match not_yet(wire.send(bytes, more))? {
                    Some(sent) => return Ok(Sending::Took(sent)),
                    None if may_write(&socket, until())? => {}
                    None => return Ok(Sending::PeerSpeaks),
                }
            }
        };
        // What an earlier call left behind goes first, so that at most one call's bytes wait here.
        loop {
            if !tls.wants_write() {
                break;
            }
            if not_yet(tls.write_tls(&mut wire))?.is_none() && !may_write(&socket, until())? {
                return Ok(Sending::PeerSpeaks);
            }
        }
        let took = tls.writer().write(bytes).map_err(Stop::Io)?;
        while tls.wants_write() {
            if not_yet(tls.write_tls(&mut wire))?.is_none() && !may_write(&socket, until())? {
                // The rest goes with the next call; TLS has it.
                break;
            }
        }
        Ok(Sending::Took(took))
    }

    /// Says goodbye if that is possible at once. For a connection that is closed between two exchanges.
    pub(crate) fn say_goodbye(&mut self) {
        let Some(tls) = &mut self.tls else { return };
        if let Some(socket) = self.socket.enter() {
            tls.send_close_notify();
            flush_if_possible(tls, &mut Wire { socket: &socket, traffic: &self.traffic });
        }
    }

    /// Whether an idle connection is fit for another exchange: open, and silent.
    pub(crate) fn is_quiet(&mut self) -> bool {
        if self.tls.is_none() {
            return self.socket.enter().is_some_and(|socket| socket.is_quiet());
        }
        // TLS may have sent session tickets (RFC 8446 section 4.6.1): they are taken, nothing else is legal.
        matches!(self.try_read(&mut [0]), Ok(None))
    }

    pub(crate) fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    pub(crate) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The protocol version as text, for example "TLSv1.3".
    pub(crate) fn tls_version(&self) -> Option<&'static str> {
        match self.tls.as_ref()?.protocol_version()? {
            rustls::ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
            rustls::ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
            _ => Some("TLS"),
        }
    }
}

/// The socket as std's traits want it, counting.
struct Wire<'a> {
    socket: &'a InUse<'a>,
    traffic: &'a Traffic,
}

impl Wire<'_> {
    fn send(&mut self, bytes: &[u8], more: bool) -> io::Result<usize> {
        let sent = self.socket.send(bytes, more)?;
        count(&self.traffic.bytes_out, sent);
        Ok(sent)
    }
}

impl Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.socket.recv(into)?;
        count(&self.traffic.bytes_in, got);
        Ok(got)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes, false)
    }

    fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let sent = self.socket.send_vectored(pieces)?;
        count(&self.traffic.bytes_out, sent);
        Ok(sent)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends what TLS has to say and the socket takes now. A peer that is gone will not miss it.
fn flush_if_possible(tls: &mut ClientConnection, wire: &mut Wire<'_>) {
    while tls.wants_write() && tls.write_tls(wire).is_ok_and(|sent| sent > 0) {}
}

/// One thread counts at a time, so that a load and a store do: no locked instruction.
fn count(counter: &AtomicU64, more: usize) {
    counter.store(counter.load(Ordering::Relaxed) + more as u64, Ordering::Relaxed);
}

fn blocked(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn not_yet<T>(result: io::Result<T>) -> Result<Option<T>, Stop> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if blocked(&error) => Ok(None),
        Err(error) => Err(Stop::Io(error)),
    }
}

/// Waits until bytes can be sent; `false` if the peer says something first.
fn may_write(socket: &InUse<'_>, until: Until) -> Result<bool, Stop> {
    let (_, write) = ready(socket, Interest::Either, until)?;
    Ok(write)
}

fn ready(socket: &InUse<'_>, interest: Interest, until: Until) -> Result<(bool, bool), Stop> {
    match wait_fd(socket.fd(), interest, until).map_err(Stop::Io)? {
        Woken::Ready { read, write } => Ok((read, write)),
        Woken::Event => Err(Stop::Ended),
        Woken::Deadline => Err(Stop::Deadline),
        Woken::Interrupted => Err(Stop::Interrupted),
    }
}
