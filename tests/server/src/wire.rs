//! One accepted connection: bytes in and out, plain or TLS, never deaf.
//!
//! The socket is non-blocking and every wait goes through one poll(2) that also watches the
//! server's stop latch and the peer's FIN or RST. That is what lets a script stall or sleep and
//! still report the instant at which the client hung up. Knows nothing of scripts or HTTP.

use crate::latch::{Latch, entry, poll};
use crate::tickets::Tickets;
use rustls::{ServerConfig, ServerConnection};
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why a connection goes no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Halt {
    /// The peer closed its side in good order.
    PeerFin,
    /// The peer reset the connection.
    PeerRst,
    /// The proxy's client hung up while the proxy waited for the other side.
    PartnerGone,
    /// The server is being stopped, or its life is over.
    Stopped,
    /// This side is done with the connection.
    Done,
    /// The peer sent what this side cannot read: broken TLS, a request without framing.
    Broken(String),
}

/// What ended a wait that was not cut short.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Woke {
    Socket,
    Latch,
    Time,
}

pub(crate) struct Wire {
    socket: Socket,
    tls: Option<Box<ServerConnection>>,
    stop: Arc<Latch>,
    /// The socket of the proxy's client that this connection serves.
    partner: Option<RawFd>,
    /// Plain bytes that were read and not yet taken.
    inbox: Vec<u8>,
    /// The peer's end of stream was read on purpose: from then on its FIN no longer interrupts.
    heard_out: bool,
    /// A close_notify ends the stream, before the end of TCP.
    close_notify_ends: bool,
}

impl Wire {
    pub(crate) fn new(socket: Socket, stop: Arc<Latch>) -> io::Result<Wire> {
        socket.set_nonblocking(true)?;
        // Scripts decide what goes out in which segment; Nagle would merge it. Unix-domain sockets
        // have no Nagle and say so.
        let _ = socket.set_tcp_nodelay(true);
        Ok(Wire {
            socket,
            tls: None,
            stop,
            partner: None,
            inbox: Vec::new(),
            heard_out: false,
            close_notify_ends: false,
        })
    }

    /// Dials for a proxy. Every wait on this wire also ends, with `PartnerGone`, when the client on
    /// the other wire hangs up. The inner error is the dial's.
    pub(crate) fn dial(to: SocketAddr, client: &Wire) -> Result<io::Result<Wire>, Halt> {
        let begun = Socket::new(Domain::for_address(to), Type::STREAM, None)
            .and_then(|socket| Wire::new(socket, Arc::clone(&client.stop)));
        let mut wire = match begun {
            Ok(wire) => wire,
            Err(e) => return Ok(Err(e)),
        };
        wire.partner = Some(client.fd());
        match wire.socket.connect(&to.into()) {
            Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(e) => return Ok(Err(e)),
            Ok(()) => return Ok(Ok(wire)),
        }
        match wire.wait(libc::POLLOUT, None, None) {
            // A server that closes at once is connected, too.
            Ok(_) | Err(Halt::PeerFin) => Ok(Ok(wire)),
            Err(Halt::PeerRst) => {
                let why = wire.socket.take_error().ok().flatten();
                Ok(Err(why.unwrap_or_else(|| ErrorKind::ConnectionReset.into())))
            }
            Err(other) => Err(other),
        }
    }

    /// Runs the server's half of a TLS handshake on this connection.
    pub(crate) fn handshake(&mut self, config: Arc<ServerConfig>) -> Result<(), Halt> {
        let mut tls = ServerConnection::new(config).map_err(|e| Halt::Broken(e.to_string()))?;
        // The first flight may already be here if the script received something before.
        let mut early = std::mem::take(&mut self.inbox);
        while tls.is_handshaking() {
            self.flush_tls(&mut tls)?;
            if !tls.is_handshaking() {
                break;
            }
            self.read_tls(&mut tls, &mut early)?;
        }
        self.flush_tls(&mut tls)?;
        self.tls = Some(Box::new(tls));
        Ok(())
    }

    /// Waits for more bytes and appends them to the inbox. `Ok(0)` is the peer's end of stream.
    pub(crate) fn fill(&mut self) -> Result<usize, Halt> {
        let mut block = [0u8; 16 * 1024];
        let got = match self.tls.take() {
            None => self.fill_plain(&mut block)?,
            Some(mut tls) => {
                let got = self.fill_tls(&mut tls, &mut block);
                self.tls = Some(tls);
                got?
            }
        };
        self.inbox.extend_from_slice(&block[..got]);
        self.heard_out |= got == 0;
        Ok(got)
    }

    /// From here on a close_notify is an end of stream, whatever TCP does: the peer has ended one direction.
    pub(crate) fn end_at_close_notify(&mut self) {
        self.close_notify_ends = true;
    }

    pub(crate) fn inbox(&self) -> &[u8] {
        &self.inbox
    }

    /// Takes the first `count` bytes out of the inbox, which must hold them.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        self.inbox.drain(..count).collect()
    }

    /// Sends everything, waiting for room as long as the peer is there.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        let Some(mut tls) = self.tls.take() else {
            return self.send_plain(bytes);
        };
        let sent = bytes.chunks(16 * 1024).try_for_each(|part| {
            tls.writer().write_all(part).map_err(|e| Halt::Broken(e.to_string()))?;
            self.flush_tls(&mut tls)
        });
        self.tls = Some(tls);
        sent
    }

    /// Sends bytes of which the last is urgent data, beneath TLS.
    pub(crate) fn send_urgent(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        self.wait(libc::POLLOUT, None, None)?;
        self.socket.send_out_of_band(bytes).map(drop).map_err(|e| halt_of(&e))
    }

    /// Sends session tickets; 0 is for ever. The TLS machine is spent by it.
    pub(crate) fn send_tickets(&mut self, count: u64) -> Result<(), Halt> {
        let tls = self.tls.take().ok_or_else(|| Halt::Broken("tickets without TLS".to_owned()))?;
        let mut tickets = Tickets::new(*tls).map_err(Halt::Broken)?;
        let mut sent = 0;
        while count == 0 || sent < count {
            let records = tickets.records(TICKETS_AT_ONCE).map_err(Halt::Broken)?;
            self.send_plain(&records)?;
            sent += TICKETS_AT_ONCE;
        }
        Ok(())
    }

    /// Holds back what is sent, or lets it go together (TCP_CORK, tcp(7)).
    pub(crate) fn cork(&mut self, on: bool) -> Result<(), Halt> {
        self.socket.set_tcp_cork(on).map_err(|e| halt_of(&e))
    }

    /// Lets time pass until an instant (`None`: for ever) or until a latch is set, without reading:
    /// what the peer sends meanwhile stays in the kernel, until its buffers are full.
    pub(crate) fn idle(&self, until: Option<Instant>, latch: Option<&Latch>) -> Result<Woke, Halt> {
        self.wait(0, until, latch)
    }

    /// Sends close_notify and keeps TCP open. Does nothing on a plain connection.
    pub(crate) fn close_notify(&mut self) -> Result<(), Halt> {
        let bytes = self.close_notify_bytes()?;
        self.send_plain(&bytes)
    }

    /// The bytes of that.
    pub(crate) fn close_notify_bytes(&mut self) -> Result<Vec<u8>, Halt> {
        let Some(tls) = &mut self.tls else {
            return Ok(Vec::new());
        };
        tls.send_close_notify();
        ciphertext(tls)
    }

    /// Half-closes: the peer sees the end of stream and may go on sending.
    pub(crate) fn fin(&self) {
        // Fails only when the peer is gone already.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Closes with a FIN. What has arrived and was not read is discarded first, because Linux
    /// answers a close over unread bytes with a RST (tcp_close in net/ipv4/tcp.c).
    pub(crate) fn close(mut self) {
        let mut block = [0u8; 16 * 1024];
        for _ in 0..64 {
            if !matches!(self.socket.read(&mut block), Ok(n) if n > 0) {
                break;
            }
        }
    }

    /// Closes with a RST.
    pub(crate) fn reset(self) {
        // A linger time of zero turns close(2) into an abort (socket(7), SO_LINGER).
        let _ = socket2::SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }

    /// Waits up to `limit` for the peer's close and returns which kind it was.
    pub(crate) fn peer_end(&self, limit: Duration) -> Option<Halt> {
        self.wait(libc::POLLRDHUP, Some(Instant::now() + limit), None).err()
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(crate) fn stop(&self) -> &Latch {
        &self.stop
    }

    /// Reads what is there into the inbox without waiting: `None` if nothing is, `Some(0)` at the
    /// peer's end of stream.
    pub(crate) fn try_fill(&mut self) -> Result<Option<usize>, Halt> {
        let mut block = [0u8; 16 * 1024];
        let mut all = 0;
        loop {
            let got = match &mut self.tls {
                None => self.socket.read(&mut block),
                Some(tls) => tls.reader().read(&mut block),
            };
            match got {
                Ok(0) => break,
                Ok(got) => {
                    self.inbox.extend_from_slice(&block[..got]);
                    all += got;
                    if self.tls.is_none() {
                        return Ok(Some(all));
                    }
                    continue;
                }
                // A client that leaves without close_notify leaves, all the same.
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => break,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(halt_of(&e)),
            }
            let Some(tls) = &mut self.tls else {
                return Ok(None);
            };
            // The TLS machine is empty now, so poll(2) reports further bytes.
            if all >= PLENTY {
                return Ok(Some(all));
            }
            match tls.read_tls(&mut self.socket) {
                Ok(_) => {
                    tls.process_new_packets().map_err(|e| Halt::Broken(e.to_string()))?;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    return Ok((all > 0).then_some(all));
                }
                Err(e) => return Err(halt_of(&e)),
            }
        }
        self.heard_out |= all == 0;
        Ok(Some(all))
    }

    /// These bytes as they go on the wire: encrypted, if there is TLS.
    pub(crate) fn seal(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Halt> {
        let Some(tls) = &mut self.tls else {
            return Ok(bytes.to_vec());
        };
        let mut cipher = Vec::new();
        for part in bytes.chunks(16 * 1024) {
            tls.writer().write_all(part).map_err(|e| Halt::Broken(e.to_string()))?;
            cipher.extend(ciphertext(tls)?);
        }
        Ok(cipher)
    }

    /// Writes sealed bytes as far as there is room, and takes them out of the buffer.
    pub(crate) fn try_write(&mut self, sealed: &mut Vec<u8>) -> Result<(), Halt> {
        while !sealed.is_empty() {
            match self.socket.write(sealed) {
                Ok(sent) => drop(sealed.drain(..sent)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(halt_of(&e)),
            }
        }
        Ok(())
    }

    fn fill_plain(&mut self, block: &mut [u8]) -> Result<usize, Halt> {
        loop {
            match self.socket.read(block) {
                Ok(got) => return Ok(got),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.wait(libc::POLLIN, None, None)?;
                }
                Err(e) => return Err(halt_of(&e)),
            }
        }
    }

    fn fill_tls(&mut self, tls: &mut ServerConnection, block: &mut [u8]) -> Result<usize, Halt> {
        loop {
            match tls.reader().read(block) {
                Ok(0) if self.close_notify_ends => return Ok(0),
                Ok(0) => {
                    // close_notify. The end of the connection is the end of TCP, so wait for that
                    // one too.
                    let end = self.wait(libc::POLLRDHUP, None, None);
                    return match end {
                        Ok(_) | Err(Halt::PeerFin) => Ok(0),
                        Err(other) => Err(other),
                    };
                }
                Ok(got) => return Ok(got),
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(Halt::Broken(e.to_string())),
            }
            self.flush_tls(tls)?;
            match self.read_tls(tls, &mut Vec::new()) {
                // rustls has seen the end of TCP, and its reader returns it.
                Ok(()) | Err(Halt::PeerFin) => {}
                Err(other) => return Err(other),
            }
        }
    }

    /// Moves one batch of ciphertext from `early`, else from the socket, into the TLS machine.
    fn read_tls(&mut self, tls: &mut ServerConnection, early: &mut Vec<u8>) -> Result<(), Halt> {
        let got = if early.is_empty() {
            self.wait(libc::POLLIN, None, None)?;
            match tls.read_tls(&mut self.socket) {
                Ok(got) => got,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(halt_of(&e)),
            }
        } else {
            let got = tls.read_tls(&mut early.as_slice()).map_err(|e| halt_of(&e))?;
            early.drain(..got);
            got
        };
        if let Err(e) = tls.process_new_packets() {
            // The alert with the reason.
            let _ = self.flush_tls(tls);
            return Err(Halt::Broken(e.to_string()));
        }
        if got == 0 { Err(Halt::PeerFin) } else { Ok(()) }
    }

    fn flush_tls(&mut self, tls: &mut ServerConnection) -> Result<(), Halt> {
        let cipher = ciphertext(tls)?;
        self.send_plain(&cipher)
    }

    fn send_plain(&mut self, mut bytes: &[u8]) -> Result<(), Halt> {
        while !bytes.is_empty() {
            // Waiting first, even with room: writing to a peer that has closed would turn its FIN
            // into a RST.
            self.wait(libc::POLLOUT, None, None)?;
            match self.socket.write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(halt_of(&e)),
            }
        }
        Ok(())
    }

    /// The one place that waits. The peer's FIN interrupts unless this wait is for reading it.
    fn wait(
        &self,
        interest: libc::c_short,
        until: Option<Instant>,
        latch: Option<&Latch>,
    ) -> Result<Woke, Halt> {
        let reading = interest & libc::POLLIN != 0;
        let watch_fin = if reading || self.heard_out { 0 } else { libc::POLLRDHUP };
        let mut table = [
            entry(self.stop.fd(), libc::POLLIN),
            entry(self.socket.as_raw_fd(), interest | watch_fin),
            // poll(2) skips negative descriptors.
            entry(latch.map_or(-1, Latch::fd), libc::POLLIN),
            entry(self.partner.unwrap_or(-1), libc::POLLRDHUP),
        ];
        if poll(&mut table, until) == 0 {
            return Ok(Woke::Time);
        }
        let [stop, socket, latch, partner] = table.map(|line| line.revents);
        if stop != 0 {
            return Err(Halt::Stopped);
        }
        if partner != 0 {
            return Err(Halt::PartnerGone);
        }
        if reading && socket != 0 {
            return Ok(Woke::Socket);
        }
        if socket & libc::POLLERR != 0 {
            return Err(Halt::PeerRst);
        }
        if socket & (libc::POLLRDHUP | libc::POLLHUP) != 0 {
            return Err(Halt::PeerFin);
        }
        Ok(if socket != 0 || latch == 0 { Woke::Socket } else { Woke::Latch })
    }
}

/// What the TLS machine wants to send.
fn ciphertext(tls: &mut ServerConnection) -> Result<Vec<u8>, Halt> {
    let mut cipher = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut cipher).map_err(|e| Halt::Broken(e.to_string()))?;
    }
    Ok(cipher)
}

fn halt_of(error: &io::Error) -> Halt {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Halt::PeerRst,
        _ => Halt::Broken(error.to_string()),
    }
}

const TICKETS_AT_ONCE: u64 = 100;
/// What one `try_fill` takes at most, and a record of TLS.
const PLENTY: usize = 64 * 1024;
