//! A connection's bytes in both directions at once: one task reads while another one writes.
//!
//! Both directions of TLS are one state, which is locked for each step that does not wait, and never for a wait.
//! Knows nothing of HTTP: the connection was handed over.

use std::io::{self, Write};
use std::sync::Arc;

use super::step::{not_yet, ready};
use super::tls_layer::{ROOM_FOR_RECORDS, TlsLayer};
use super::tls_transport::{CountingSocket, TlsTransport, blocked, flush_if_possible};
use super::traffic::Traffic;
use crate::net::Stop;
use crate::net::socket::{InUse, Socket};
use crate::net::tcp_info::TcpInfo;
use crate::runtime::{Interest, WaitUntil, on_thread_stack, yield_if_due};
use crate::sync::{Mutex, lock};

/// Threads: one reads and one writes at a time; its [`Socket`] may be ended by any.
#[derive(Debug)]
pub(crate) struct DuplexStream {
    socket: Arc<Socket>,
    tls: Option<Mutex<Layers>>,
    traffic: Arc<Traffic>,
}

/// The TLS of the stream, and the proxy's TLS that it may run inside of.
#[derive(Debug)]
struct Layers {
    tls: Box<TlsLayer>,
    tunnel: Option<Box<TlsLayer>>,
}

/// What one step came to.
enum Step<T> {
    Done(T),
    /// Wait for this.
    Blocked(Interest),
}

impl DuplexStream {
    pub(super) fn new(
        socket: Arc<Socket>,
        tls: Option<(Box<TlsLayer>, Option<Box<TlsLayer>>)>,
        traffic: Arc<Traffic>,
    ) -> Self {
        let tls = tls.map(|(tls, tunnel)| Mutex::new(Layers { tls, tunnel }));
        Self { socket, tls, traffic }
    }

    /// Waits for bytes and reads them; 0 if the peer ended its direction.
    pub(crate) fn read(&self, into: &mut [u8], mut until: WaitUntil) -> Result<usize, Stop> {
        loop {
            match self.try_read(into)? {
                Step::Done(got) => {
                    yield_if_due();
                    return Ok(got);
                }
                Step::Blocked(interest) => {
                    until = until.later();
                    // A peer that always sends something, but no data, is never waited for.
                    if until.has_come() {
                        return Err(Stop::Deadline(until.timeout));
                    }
                    let socket = self.socket.enter().ok_or(Stop::Ended)?;
                    ready(&socket, interest, until)?;
                }
            }
        }
    }

    /// Reads what is here already; `None` if nothing is. Doesn't wait.
    pub(crate) fn read_here(&self, into: &mut [u8]) -> Result<Option<usize>, Stop> {
        let mut filled = 0;
        while filled < into.len() {
            match self.try_read(&mut into[filled..]) {
                Ok(Step::Blocked(_)) if filled == 0 => return Ok(None),
                Err(stop) if filled == 0 => return Err(stop),
                // The next read finds the failure, and the end, again.
                Ok(Step::Blocked(_) | Step::Done(0)) | Err(_) => break,
                Ok(Step::Done(got)) => filled += got,
            }
            yield_if_due();
            // Without TLS a short read has emptied the socket.
            if self.is_plain() {
                break;
            }
        }
        Ok(Some(filled))
    }

    /// Sends at least one byte; TLS sends all that it takes. Returns how many were sent.
    pub(crate) fn write(&self, bytes: &[u8], until: WaitUntil) -> Result<usize, Stop> {
        let Some(tls) = &self.tls else {
            return self.write_step(until, |socket| {
                let sent = not_yet(self.wire(socket).send(bytes, false))?;
                Ok(sent.map_or(Step::Blocked(Interest::Write), Step::Done))
            });
        };
        // What an earlier step left behind goes first, so that at most one call's bytes wait here.
        self.flush(tls, until)?;
        let took = on_thread_stack(|| lock(tls).tls.writer().write(bytes)).map_err(Stop::Io)?;
        self.flush(tls, until)?;
        Ok(took)
    }

    /// Ends the direction of writing: the peer reads an end. In TLS that is a close_notify (RFC 8446 section 6.1).
    pub(crate) fn shutdown_write(&self, until: WaitUntil) -> Result<(), Stop> {
        let Some(tls) = &self.tls else {
            let socket = self.socket.enter().ok_or(Stop::Ended)?;
            return socket.shutdown_write().map_err(Stop::Io);
        };
        lock(tls).tls.send_close_notify();
        self.flush(tls, until)
    }

    /// Sends close_notify in each TLS layer, if that is possible at once. For a stream that is closed.
    pub(crate) fn send_close_notify(&self) {
        let Some(tls) = &self.tls else { return };
        let Some(socket) = self.socket.enter() else { return };
        let Layers { tls, tunnel } = &mut *lock(tls);
        tls.send_close_notify();
        let wire = self.wire(&socket);
        flush_if_possible(tls, &mut TlsTransport { wire, tunnel: tunnel.as_deref_mut() });
        if let Some(tunnel) = tunnel {
            tunnel.send_close_notify();
            flush_if_possible(tunnel, &mut self.wire(&socket));
        }
    }

    /// What the system knows of the connection; see [`Socket::tcp_info`].
    #[cold]
    pub(crate) fn tcp_info(&self) -> Option<TcpInfo> {
        self.socket.tcp_info()
    }

    /// Whether the bytes on the socket are those of the stream.
    pub(crate) fn is_plain(&self) -> bool {
        self.tls.is_none()
    }

    pub(crate) fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    fn try_read(&self, into: &mut [u8]) -> Result<Step<usize>, Stop> {
        let socket = self.socket.enter().ok_or(Stop::Ended)?;
        let Some(tls) = &self.tls else {
            let got = not_yet(io::Read::read(&mut self.wire(&socket), into))?;
            return Ok(got.map_or(Step::Blocked(Interest::Read), Step::Done));
        };
        // On the thread's stack there are no turns of other fibers, one of which may want this lock. What is
        // read without a wait is bounded: see `TlsLayer::process`.
        on_thread_stack(|| {
            let Layers { tls, tunnel } = &mut *lock(tls);
            let mut below =
                TlsTransport { wire: self.wire(&socket), tunnel: tunnel.as_deref_mut() };
            loop {
                // A key update wants an answer.
                flush_if_possible(tls, &mut below);
                match tls.read_plaintext(into) {
                    Ok(got) => return Ok(Step::Done(got)),
                    // The stream ended without close_notify: it was cut off (RFC 8446 section 6.1).
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        return Err(Stop::PeerClosed);
                    }
                    Err(error) if blocked(&error) => {}
                    Err(error) => return Err(Stop::Io(error)),
                }
                if let Some(error) = tls.take_failure() {
                    return Err(Stop::Tls(error));
                }
                let got = if into.len() >= ROOM_FOR_RECORDS && below.tunnel.is_none() {
                    match not_yet(tls.read_records(&mut below.wire, into))? {
                        // Records without data, or the end, which the next look at the data finds.
                        Some(0) => continue,
                        Some(got) => {
                            flush_if_possible(tls, &mut below);
                            return Ok(Step::Done(got));
                        }
                        None => None,
                    }
                } else {
                    not_yet(tls.read_tls(&mut below))?
                };
                match got {
                    Some(got) => tls.process_after_data(got),
                    None if tls.wants_write() || below.wants_write() => {
                        return Ok(Step::Blocked(Interest::Either));
                    }
                    None => return Ok(Step::Blocked(Interest::Read)),
                }
            }
        })
    }

    /// Sends all that TLS holds.
    fn flush(&self, tls: &Mutex<Layers>, until: WaitUntil) -> Result<(), Stop> {
        self.write_step(until, |socket| {
            on_thread_stack(|| {
                let Layers { tls, tunnel } = &mut *lock(tls);
                let mut below =
                    TlsTransport { wire: self.wire(socket), tunnel: tunnel.as_deref_mut() };
                while tls.wants_write() || below.wants_write() {
                    let sent = if tls.wants_write() {
                        tls.write_tls(&mut below).map(drop)
                    } else {
                        below.flush()
                    };
                    if not_yet(sent)?.is_none() {
                        return Ok(Step::Blocked(Interest::Write));
                    }
                }
                Ok(Step::Done(()))
            })
        })
    }

    /// Takes a step until it is done. It waits under a descriptor of its own, because a fiber may wait for the
    /// other one meanwhile, and a [`Source`](crate::runtime::Source) has one waiter.
    fn write_step<T>(
        &self,
        mut until: WaitUntil,
        step: impl Fn(&InUse<'_>) -> Result<Step<T>, Stop>,
    ) -> Result<T, Stop> {
        let mut own: Option<Arc<Socket>> = self.socket.second_if_made();
        loop {
            let socket = own.as_ref().unwrap_or(&self.socket).enter().ok_or(Stop::Ended)?;
            match step(&socket)? {
                Step::Done(done) => {
                    yield_if_due();
                    return Ok(done);
                }
                Step::Blocked(interest) => {
                    until = until.later();
                    if until.has_come() {
                        return Err(Stop::Deadline(until.timeout));
                    }
                    if own.is_some() {
                        ready(&socket, interest, until)?;
                    } else {
                        drop(socket);
                        own = Some(self.socket.second().map_err(Stop::Io)?.ok_or(Stop::Ended)?);
                    }
                }
            }
        }
    }

    fn wire<'a>(&'a self, socket: &'a InUse<'a>) -> CountingSocket<'a> {
        CountingSocket::new(socket, &self.traffic)
    }
}
