//! One accepted connection: bytes in and out, plain or TLS, never deaf.
//!
//! The socket is non-blocking and every wait goes through one poll(2) that also watches the
//! server's stop latch and the peer's FIN or RST. That is what lets a script stall or sleep and
//! still report the instant at which the client hung up. Knows nothing of scripts or HTTP.

use crate::latch::{Latch, entry, poll};
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why a connection goes no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Halt {
    /// The peer closed its side in good order.
    PeerFin,
    /// The peer reset the connection.
    PeerRst,
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
    tcp: TcpStream,
    tls: Option<Box<ServerConnection>>,
    stop: Arc<Latch>,
    /// Plain bytes that were read and not yet taken.
    inbox: Vec<u8>,
    /// The peer's end of stream was read on purpose: from then on its FIN no longer interrupts.
    heard_out: bool,
}

impl Wire {
    pub(crate) fn new(tcp: TcpStream, stop: Arc<Latch>) -> io::Result<Wire> {
        tcp.set_nonblocking(true)?;
        // Scripts decide what goes out in which segment; Nagle would merge it.
        tcp.set_nodelay(true)?;
        Ok(Wire { tcp, tls: None, stop, inbox: Vec::new(), heard_out: false })
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

    /// Lets time pass until an instant (`None`: for ever) or until a latch is set, without reading:
    /// what the peer sends meanwhile stays in the kernel and in the end blocks it.
    pub(crate) fn idle(&self, until: Option<Instant>, latch: Option<&Latch>) -> Result<Woke, Halt> {
        self.wait(0, until, latch)
    }

    /// Says goodbye in TLS and keeps TCP open. Nothing on a plain connection.
    pub(crate) fn close_notify(&mut self) -> Result<(), Halt> {
        let Some(mut tls) = self.tls.take() else {
            return Ok(());
        };
        tls.send_close_notify();
        let sent = self.flush_tls(&mut tls);
        self.tls = Some(tls);
        sent
    }

    /// Half-closes: the peer sees the end of stream and may go on sending.
    pub(crate) fn fin(&self) {
        // Fails only when the peer is gone already.
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    /// Closes with a FIN. What has arrived and was not read is discarded first, because Linux
    /// answers a close over unread bytes with a RST (tcp_close in net/ipv4/tcp.c).
    pub(crate) fn close(mut self) {
        let mut block = [0u8; 16 * 1024];
        for _ in 0..64 {
            if !matches!(self.tcp.read(&mut block), Ok(n) if n > 0) {
                break;
            }
        }
    }

    /// Closes with a RST.
    pub(crate) fn reset(self) {
        // A linger time of zero turns close(2) into an abort (socket(7), SO_LINGER).
        let _ = socket2::SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
    }

    /// Waits up to `limit` for the peer's close and says which it was.
    pub(crate) fn peer_end(&self, limit: Duration) -> Option<Halt> {
        self.wait(libc::POLLRDHUP, Some(Instant::now() + limit), None).err()
    }

    fn fill_plain(&mut self, block: &mut [u8]) -> Result<usize, Halt> {
        loop {
            match self.tcp.read(block) {
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
                // rustls has seen the end of TCP and tells it through the reader.
                Ok(()) | Err(Halt::PeerFin) => {}
                Err(other) => return Err(other),
            }
        }
    }

    /// Moves one batch of ciphertext from `early`, else from the socket, into the TLS machine.
    fn read_tls(&mut self, tls: &mut ServerConnection, early: &mut Vec<u8>) -> Result<(), Halt> {
        let got = if early.is_empty() {
            self.wait(libc::POLLIN, None, None)?;
            match tls.read_tls(&mut self.tcp) {
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
            // The alert that says why.
            let _ = self.flush_tls(tls);
            return Err(Halt::Broken(e.to_string()));
        }
        if got == 0 { Err(Halt::PeerFin) } else { Ok(()) }
    }

    fn flush_tls(&mut self, tls: &mut ServerConnection) -> Result<(), Halt> {
        let mut cipher = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut cipher).map_err(|e| Halt::Broken(e.to_string()))?;
        }
        self.send_plain(&cipher)
    }

    fn send_plain(&mut self, mut bytes: &[u8]) -> Result<(), Halt> {
        while !bytes.is_empty() {
            // Waiting first, even with room: writing to a peer that has closed would turn its FIN
            // into a RST.
            self.wait(libc::POLLOUT, None, None)?;
            match self.tcp.write(bytes) {
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
            entry(self.tcp.as_raw_fd(), interest | watch_fin),
            // poll(2) skips negative descriptors.
            entry(latch.map_or(-1, Latch::fd), libc::POLLIN),
        ];
        if poll(&mut table, until) == 0 {
            return Ok(Woke::Time);
        }
        let [stop, socket, latch] = table.map(|line| line.revents);
        if stop != 0 {
            return Err(Halt::Stopped);
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

fn halt_of(error: &io::Error) -> Halt {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Halt::PeerRst,
        _ => Halt::Broken(error.to_string()),
    }
}
