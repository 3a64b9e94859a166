//! A connection's bytes over a socket, plain or through TLS, with a deadline for each step.
//!
//! TLS to an origin behind a https proxy runs inside the TLS to that proxy: see [`tls_transport`]. Ending the
//! socket from another thread ends every wait here, which returns [`Stop::Ended`].

mod duplex;
mod step;
mod tls_layer;
mod tls_transport;
mod traffic;

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConnection;

pub(crate) use self::duplex::DuplexStream;
use self::step::{not_yet, ready};
use self::tls_layer::{ROOM_FOR_RECORDS, TlsLayer};
use self::tls_transport::{CountingSocket, TlsTransport, blocked, flush_if_possible};
pub(crate) use self::traffic::Traffic;
use super::Stop;
use super::dns::without_brackets;
use super::facts::TlsFacts;
use super::socket::{InUse, Socket};
use super::tcp_info::TcpInfo;
use super::tls::{self, Tls};
use super::wait_context::WaitContext;
use crate::error::Error;
use crate::runtime::{
    Interest, Notify, PollEntry, Source, WaitFor, WaitUntil, WakeReason, WorkerPool,
    is_interrupted, is_ready, may_wait_in_read, run_on_worker, wait, wait_any, yield_if_due,
};
use crate::vocabulary::{Kind, Timeout};

/// One connection's bytes. Threads: one at a time; its [`Socket`] may be ended by any.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: Arc<Socket>,
    tls: Option<Box<TlsLayer>>,
    /// TLS with a proxy that `tls` runs inside of. Never without it.
    tunnel: Option<Box<TlsLayer>>,
    /// The peer of `tls`.
    secures: TlsPeer,
    traffic: Arc<Traffic>,
}

/// The peer of a TLS layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsPeer {
    Proxy,
    Origin,
}

/// The outcome of [`Stream::send`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// This many bytes were taken; TLS takes all of them.
    Took(usize),
    /// TLS took them, and there was no room for all of them until the deadline, at which it is the caller's time to look at
    /// the connection. They go with the next call.
    Held(usize),
    /// There is something to read while nothing can be sent: the peer may have responded already.
    PeerReadable,
}

impl Stream {
    pub(crate) fn plain(socket: Arc<Socket>) -> Self {
        Self { socket, tls: None, tunnel: None, secures: TlsPeer::Origin, traffic: Arc::default() }
    }

    /// Begins TLS over the connection; [`handshake`](Self::handshake) sends and receives.
    pub(crate) fn begin_tls(&mut self, tls: &Tls, host: &str, with: TlsPeer) -> Result<(), Error> {
        let name = tls.server_name(without_brackets(host))?;
        // The first one reads the system's roots; each one makes a key.
        let connection = run_on_worker(&CRYPTO, || {
            ClientConnection::new(Arc::clone(tls.config()?), name)
                .map_err(|error| Error::new(Kind::TlsFailed, tls::explain(&error)))
        })?;
        self.tunnel = self.tls.replace(Box::new(TlsLayer::new(connection)));
        self.secures = with;
        Ok(())
    }

    /// Goes on with the handshake. After a stop by deadline, notification or signal it can be resumed.
    pub(super) fn handshake(&mut self, context: &WaitContext<'_>) -> Result<(), Stop> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let socket = self.socket.enter().ok_or(Stop::Ended)?;
        let wire = CountingSocket::new(&socket, &self.traffic);
        let mut below = TlsTransport { wire, tunnel: self.tunnel.as_deref_mut() };
        let mut broken = None;
        loop {
            while tls.wants_write() || below.wants_write() {
                let sent = if tls.wants_write() {
                    tls.write_tls(&mut below).map(drop)
                } else {
                    below.flush()
                };
                match not_yet(sent) {
                    Ok(Some(())) => {}
                    Ok(None) => context.ready(&socket, Interest::Write)?,
                    // What the peer sent last, mostly an alert, is reported before the error of this write.
                    Err(Stop::Io(error)) if is_broken(&error) => {
                        broken = Some(error);
                        break;
                    }
                    Err(stop) => return Err(stop),
                }
            }
            if !tls.is_handshaking() && broken.is_none() {
                tls.begin_request(self.traffic.written());
                return Ok(());
            }
            match (not_yet(tls.read_tls(&mut below)), broken.take()) {
                (Ok(Some(0)) | Ok(None) | Err(_), Some(error)) => return Err(Stop::Io(error)),
                (Err(stop), None) => return Err(stop),
                (Ok(Some(0)), None) => return Err(Stop::PeerClosed),
                (Ok(Some(got)), _) => {
                    // Verifies signatures and makes keys: a millisecond, and the deepest stack of all calls.
                    if let Err(error) = run_on_worker(&CRYPTO, || tls.process(got)) {
                        // The alert tells the peer why (RFC 8446 section 6). Its failure does not matter.
                        flush_if_possible(tls, &mut below);
                        return Err(Stop::Tls(error));
                    }
                }
                (Ok(None), None) => context.ready(&socket, Interest::Read)?,
            }
        }
    }

    /// Whether there may be bytes without a wait, because TLS may have decrypted some already. Otherwise a
    /// wait first saves a read that would return `None`.
    pub(crate) fn may_hold_input(&self) -> bool {
        self.tls.is_some()
    }

    /// Waits until there may be bytes to read.
    pub(crate) fn await_input(&mut self, until: WaitUntil) -> Result<(), Stop> {
        // Flush first: the peer waits for these bytes. If they can't be sent any more, the read that follows
        // returns what the peer sent last, which explains more than the failed write.
        let interest = match self.flush() {
            Ok(true) => Interest::Read,
            Ok(false) => Interest::Either,
            Err(Stop::Io(error)) if is_broken(&error) => Interest::Read,
            Err(stop) => return Err(stop),
        };
        let socket = self.socket.enter().ok_or(Stop::Ended)?;
        if socket.probes_are_due() {
            return first_ready(&socket, interest, until);
        }
        ready(&socket, interest, until).map(drop)
    }

    /// Waits until the notification is set, another descriptor has something to read, or, if this listens, this one may have.
    /// Returns `true` for the last. What TLS still holds is sent meanwhile.
    #[inline(never)]
    pub(crate) fn await_beside(
        &mut self,
        listen: bool,
        notify: &Notify,
        other: Option<&Arc<Source>>,
        mut until: WaitUntil,
    ) -> Result<bool, Stop> {
        loop {
            let is_flushed = match self.flush() {
                Ok(is_flushed) => is_flushed,
                Err(Stop::Io(error)) if is_broken(&error) && listen => return Ok(true),
                Err(stop) => return Err(stop),
            };
            let socket = self.socket.enter().ok_or(Stop::Ended)?;
            let interest = match (listen, is_flushed) {
                (true, true) => Some(Interest::Read),
                (true, false) => Some(Interest::Either),
                (false, false) => Some(Interest::Write),
                (false, true) => None,
            };
            socket.begin_probes();
            let source = socket.source();
            let reason = match other {
                None => {
                    let fd = interest.map(|interest| (source, interest));
                    wait(WaitFor { fd, notify: Some(notify) }, until)
                }
                Some(other) => {
                    let mut entries = vec![PollEntry::new(other, Interest::Read)];
                    entries.extend(interest.map(|interest| PollEntry::new(source, interest)));
                    wait_any(&mut entries, notify, until).map(|reason| {
                        match (reason, &entries[..]) {
                            (WakeReason::Ready { .. }, [other, ..]) if other.ready => {
                                WakeReason::Notified
                            }
                            (reason, _) => reason,
                        }
                    })
                }
            };
            match reason.map_err(Stop::Io)? {
                WakeReason::Notified => return Ok(false),
                WakeReason::Ready { .. } if is_flushed => return Ok(listen),
                WakeReason::Ready { read, .. } if read && listen && other.is_none() => {
                    return Ok(true);
                }
                WakeReason::Ready { .. } => {}
                WakeReason::Deadline => return Err(Stop::Deadline(until.timeout)),
                WakeReason::Interrupted => return Err(Stop::Interrupted),
            }
            yield_if_due();
            until = until.later();
            if until.has_come() {
                return Err(Stop::Deadline(until.timeout));
            }
        }
    }

    /// Waits until the notification is set, or there may be bytes to read (if this listens) or room to write (if that
    /// is wanted, or TLS holds something). Returns `false` for the notification.
    #[cold]
    #[inline(never)]
    pub(crate) fn await_any(
        &mut self,
        listen: bool,
        wants_room: bool,
        notify: &Notify,
        until: WaitUntil,
    ) -> Result<bool, Stop> {
        let is_flushed = match self.flush() {
            Ok(is_flushed) => is_flushed,
            Err(Stop::Io(error)) if is_broken(&error) => return Ok(true),
            Err(stop) => return Err(stop),
        };
        let socket = self.socket.enter().ok_or(Stop::Ended)?;
        let interest = match (listen, wants_room || !is_flushed) {
            (true, true) => Interest::Either,
            (true, false) => Interest::Read,
            (false, _) => Interest::Write,
        };
        socket.begin_probes();
        let want = WaitFor { fd: Some((socket.source(), interest)), notify: Some(notify) };
        match wait(want, until).map_err(Stop::Io)? {
            WakeReason::Ready { read, .. } => {
                if read {
                    // It is not read here, and the next wait for it must not wait for more.
                    socket.source().may_have_more();
                }
                Ok(true)
            }
            WakeReason::Notified => Ok(false),
            WakeReason::Deadline => Err(Stop::Deadline(until.timeout)),
            WakeReason::Interrupted => Err(Stop::Interrupted),
        }
    }

    /// Whether the peer has sent something, or closed. Asks the kernel.
    pub(crate) fn has_input(&self) -> bool {
        self.socket.enter().is_some_and(|socket| is_ready(socket.descriptor(), Interest::Read))
    }

    /// Whether the wait for input may be made in [`read_waiting`](Self::read_waiting), and what TLS holds is sent.
    pub(crate) fn may_wait_in_read(&mut self, until: WaitUntil) -> bool {
        may_wait_in_read(until)
            && self.tunnel.is_none()
            && self.socket.enter().is_some_and(|socket| socket.may_wait_in_read())
            // The peer waits for these bytes.
            && matches!(self.flush(), Ok(true))
    }

    /// Waits for input for a short time, and reads it: one system call where a wait and a read are two. `None` if nothing
    /// came. Only after [`may_wait_in_read`](Self::may_wait_in_read).
    #[inline(never)] // Keeps its frame out of the waits of fibers.
    pub(crate) fn read_waiting(&mut self, into: &mut [u8]) -> Result<Option<usize>, Stop> {
        match self.read(into, true)? {
            None if is_interrupted() => Err(Stop::Interrupted),
            got => Ok(got),
        }
    }

    /// Reads what is there; `None` if nothing is.
    pub(crate) fn try_read(&mut self, into: &mut [u8]) -> Result<Option<usize>, Stop> {
        self.read(into, false)
    }

    fn read(&mut self, into: &mut [u8], waits: bool) -> Result<Option<usize>, Stop> {
        let socket = self.socket.enter().ok_or(Stop::Ended)?;
        let mut wire = CountingSocket::new(&socket, &self.traffic).waiting(waits);
        let Some(tls) = &mut self.tls else { return not_yet(wire.read(into)) };
        let mut below = TlsTransport { wire, tunnel: self.tunnel.as_deref_mut() };
        loop {
            match tls.read_plaintext(into) {
                Ok(got) => return Ok(Some(got)),
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
            if into.len() >= ROOM_FOR_RECORDS && below.tunnel.is_none() {
                match not_yet(tls.read_records(&mut below.wire, into))? {
                    None => return Ok(None),
                    Some(0) => {}
                    Some(got) => {
                        flush_if_possible(tls, &mut below);
                        return Ok(Some(got));
                    }
                }
            } else {
                match not_yet(tls.read_tls(&mut below))? {
                    None => return Ok(None),
                    Some(got) => tls.process_after_data(got),
                }
            }
            // The peer may send records without data for ever: other fibers get their turn in between.
            yield_if_due();
            // A key update wants an answer, which may wait for the next write if there is no room for it.
            flush_if_possible(tls, &mut below);
        }
    }

    /// Sends `first` and then `rest`, or as much as can be sent at once. `more`: the rest of the message follows.
    /// `listen`: returns when there is something to read while there is no room to go on. `until` is called for the
    /// deadline only if there is something to wait for; its arguments are whether bytes were sent since its last call, and the
    /// socket. Bytes that TLS took when the write timeout ran out are held as well.
    pub(crate) fn send(
        &mut self,
        first: &[u8],
        rest: &[u8],
        more: bool,
        listen: bool,
        until: &dyn Fn(bool, &InUse<'_>) -> WaitUntil,
    ) -> Result<Sending, Stop> {
        let (first, rest) = if first.is_empty() { (rest, first) } else { (first, rest) };
        let socket = self.socket.enter().ok_or(Stop::Ended)?;
        let mut wire = CountingSocket::new(&socket, &self.traffic);
        let Some(tls) = &mut self.tls else {
            loop {
                let sent = match rest {
                    [] => wire.send(first, more),
                    rest => write_both(&mut wire, first, rest),
                };
                match not_yet(sent)? {
                    Some(sent) => return Ok(Sending::Took(sent)),
                    None if may_write(&socket, listen, until(false, &socket))? => {}
                    None => return Ok(Sending::PeerReadable),
                }
            }
        };
        let mut below = TlsTransport { wire, tunnel: self.tunnel.as_deref_mut() };
        let mut written = self.traffic.written();
        let mut moved = || {
            let before = std::mem::replace(&mut written, self.traffic.written());
            before != written
        };
        // What an earlier call left behind goes first, so that at most one call's bytes wait here.
        while tls.wants_write() {
            if not_yet(tls.write_tls(&mut below))?.is_none()
                && !may_write(&socket, listen, until(moved(), &socket))?
            {
                return Ok(Sending::PeerReadable);
            }
        }
        let took = match rest {
            [] => tls.writer().write(first),
            rest => write_both(&mut tls.writer(), first, rest),
        };
        let took = took.map_err(Stop::Io)?;
        while tls.wants_write() || below.wants_write() {
            let sent =
                if tls.wants_write() { tls.write_tls(&mut below).map(drop) } else { below.flush() };
            if not_yet(sent)?.is_none() {
                match may_write(&socket, listen, until(moved(), &socket)) {
                    Ok(true) => {}
                    // The rest goes with the next call; TLS has it.
                    Ok(false) => break,
                    Err(Stop::Deadline(Timeout::None | Timeout::Write)) => {
                        return Ok(Sending::Held(took));
                    }
                    Err(stop) => return Err(stop),
                }
            }
        }
        Ok(Sending::Took(took))
    }

    /// Sends what can be sent at once; `None` if nothing can. For a caller that waits by itself.
    pub(super) fn try_send(&mut self, bytes: &[u8]) -> Result<Option<usize>, Stop> {
        if !self.flush()? {
            return Ok(None);
        }
        let socket = self.socket.enter().ok_or(Stop::Ended)?;
        let mut wire = CountingSocket::new(&socket, &self.traffic);
        let Some(tls) = &mut self.tls else { return not_yet(wire.send(bytes, false)) };
        let took = tls.writer().write(bytes).map_err(Stop::Io)?;
        let mut below = TlsTransport { wire, tunnel: self.tunnel.as_deref_mut() };
        flush_if_possible(tls, &mut below);
        Ok(Some(took))
    }

    /// Sends what TLS still holds, as far as that is possible at once. Returns `true` if nothing is left.
    pub(super) fn flush(&mut self) -> Result<bool, Stop> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        let tunnel_is_done = self.tunnel.as_ref().is_none_or(|tunnel| !tunnel.wants_write());
        if !tls.wants_write() && tunnel_is_done {
            return Ok(true);
        }
        let socket = self.socket.enter().ok_or(Stop::Ended)?;
        let wire = CountingSocket::new(&socket, &self.traffic);
        let mut below = TlsTransport { wire, tunnel: self.tunnel.as_deref_mut() };
        while tls.wants_write() {
            if not_yet(tls.write_tls(&mut below))?.is_none() {
                return Ok(false);
            }
        }
        Ok(not_yet(below.flush())?.is_some())
    }

    /// Sends close_notify in each TLS layer, if that is possible at once. For a connection that is closed
    /// between two exchanges.
    pub(crate) fn send_close_notify(&mut self) {
        let Some(tls) = &mut self.tls else { return };
        let Some(socket) = self.socket.enter() else { return };
        let wire = CountingSocket::new(&socket, &self.traffic);
        tls.send_close_notify();
        flush_if_possible(tls, &mut TlsTransport { wire, tunnel: self.tunnel.as_deref_mut() });
        if let Some(tunnel) = &mut self.tunnel {
            tunnel.send_close_notify();
            flush_if_possible(tunnel, &mut CountingSocket::new(&socket, &self.traffic));
        }
    }

    /// The same bytes, for one task that reads and another one that writes at the same time.
    pub(crate) fn into_duplex(self) -> DuplexStream {
        let Self { socket, tls, tunnel, secures: _, traffic } = self;
        socket.begin_probes();
        DuplexStream::new(socket, tls.map(|tls| (tls, tunnel)), traffic)
    }

    /// An exchange ended, and the connection is idle.
    pub(crate) fn mark_idle(&self) {
        self.socket.begin_probes();
        self.socket.source().mark_idle();
    }

    /// Whether the event loop of that number used it last.
    pub(crate) fn is_at(&self, event_loop: u64) -> bool {
        self.socket.source().is_at(event_loop)
    }

    /// Whether bytes came that were not read, as far as is known without asking the kernel: data that TLS
    /// decrypted, or an end. A connection that holds such bytes can't be kept: they are no part of the
    /// response that was read last.
    #[inline]
    pub(crate) fn holds_input(&mut self) -> bool {
        self.tls.is_some() && self.tls_holds_input()
    }

    #[inline(never)]
    fn tls_holds_input(&mut self) -> bool {
        let Some(tls) = &mut self.tls else { return false };
        // This is called when an exchange has ended.
        tls.begin_request(self.traffic.written());
        if tls.holds_plaintext() {
            return true;
        }
        // What the proxy's TLS decrypted may be a session ticket of the origin's TLS.
        self.tunnel.as_mut().is_some_and(|tunnel| tunnel.holds_plaintext())
            && !matches!(self.try_read(&mut [0]), Ok(None))
    }

    /// Whether an idle connection can serve another exchange: it is open, and nothing came. `trusts`: relies
    /// on what is known already, which may be a moment old; otherwise the kernel is asked.
    pub(crate) fn is_reusable(&mut self, trusts: bool) -> bool {
        // Only reads fill the TLS layers, and the end of each exchange calls `holds_input`.
        debug_assert!(!self.holds_input(), "an idle connection holds bytes that came");
        if trusts && !self.socket.is_ended() && self.socket.source().was_silent() {
            return true;
        }
        if self.tls.is_none() {
            return self.socket.enter().is_some_and(|socket| socket.is_reusable());
        }
        // The peer may have sent session tickets (RFC 8446 section 4.6.1), which are read; nothing else is
        // legal.
        matches!(self.try_read(&mut [0]), Ok(None))
    }

    /// What the system knows of the connection; see [`Socket::tcp_info`].
    #[cold]
    pub(crate) fn tcp_info(&self) -> Option<TcpInfo> {
        self.socket.tcp_info()
    }

    /// Bytes that wait in the system; see [`InUse::queued`].
    #[cold]
    pub(crate) fn queued(&self) -> Option<u32> {
        self.socket.enter()?.queued()
    }

    /// How many bytes the system has got of a request of which so many were sent: TLS makes more of them.
    #[cold]
    pub(crate) fn request_on_wire(&self, sent: u64) -> u64 {
        let begin = self.tls.as_ref().map(|tls| tls.request_begin());
        begin.map_or(sent, |begin| self.traffic.written().saturating_sub(begin))
    }

    /// Whether TLS has bytes that the system has not got yet.
    #[cold]
    pub(crate) fn holds_output(&self) -> bool {
        let layers = [&self.tls, &self.tunnel];
        layers.into_iter().flatten().any(|tls| tls.wants_write())
    }

    pub(crate) fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    pub(crate) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// Whether TLS was begun, with the proxy or with the origin.
    pub(super) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether there is TLS with the origin.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some() && self.secures == TlsPeer::Origin
    }

    /// What the handshake with the origin agreed on; `None` without TLS with it.
    pub(crate) fn tls_facts(&self) -> Option<TlsFacts> {
        self.tls.as_ref().filter(|_| self.is_tls()).map(|tls| TlsFacts::of(tls))
    }
}

/// Does the slow part of handshakes, so that other exchanges of an I/O thread need not wait for it.
static CRYPTO: WorkerPool = WorkerPool::new("hangup-crypto", 4);

/// Writes both, which are one segment or record if they fit into one.
#[inline(never)]
fn write_both(to: &mut dyn Write, first: &[u8], rest: &[u8]) -> io::Result<usize> {
    to.write_vectored(&[io::IoSlice::new(first), io::IoSlice::new(rest)])
}

/// Waits until bytes can be sent. Returns `false` if there is something to read first.
fn may_write(socket: &InUse<'_>, listen: bool, until: WaitUntil) -> Result<bool, Stop> {
    socket.begin_probes();
    let interest = if listen { Interest::Either } else { Interest::Write };
    let (read, write) = ready(socket, interest, until)?;
    if read && write {
        // What the peer sent is read only when there is no more room to send: it must not be forgotten until
        // then.
        socket.source().may_have_more();
    }
    Ok(write)
}

/// Waits until there is something to read on a connection that is closed after its exchange. If the wait is a long one, the
/// system probes the peer; an exchange without such a wait needs no probes.
#[cold]
#[inline(never)]
fn first_ready(socket: &InUse<'_>, interest: Interest, until: WaitUntil) -> Result<(), Stop> {
    let soon = until.now + SOON;
    let first = WaitUntil { at: Some(until.at.map_or(soon, |at| at.min(soon))), ..until };
    let outcome = ready(socket, interest, first);
    if !matches!(outcome, Err(Stop::Deadline(_))) {
        return outcome.map(drop);
    }
    socket.begin_probes();
    let until = until.later();
    if until.has_come() {
        return outcome.map(drop);
    }
    ready(socket, interest, until).map(drop)
}

/// How long a wait is before the system is asked to probe the peer: it begins after a second of silence at the earliest.
const SOON: Duration = Duration::from_secs(1);

/// How a connection that was open was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The peer reset it.
    Reset,
    /// The system gave it up, because the peer acknowledges nothing or a router says that it can't be reached.
    Unreachable,
}

impl Loss {
    /// Of an error that a read or a write of an open connection returned; `None` if that is no loss.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Some(Self::Reset),
            io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::ConnectionAborted => Some(Self::Unreachable),
            _ => None,
        }
    }
}

/// Whether a write failed because the connection is gone: what the peer sent before may still be here, and
/// explains it.
pub(crate) fn is_broken(error: &io::Error) -> bool {
    Loss::of(error).is_some()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::net::probes::Probes;

    fn pair() -> (Stream, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let here = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = Socket::new(socket2::Socket::from(here));
        socket.probe_later(Probes::after(Duration::from_secs(7)));
        (Stream::plain(socket), listener.accept().unwrap().0)
    }

    /// After how many seconds of silence the system probes the peer.
    fn probed_after(stream: &Stream) -> Option<u64> {
        let socket = stream.socket().enter().unwrap();
        socket.keep_alive_time().map(|time| time.as_secs())
    }

    #[test]
    fn the_system_is_told_to_probe_when_a_wait_is_long_or_the_connection_is_kept() {
        let (mut stream, mut peer) = pair();
        peer.write_all(b"x").unwrap();
        stream.await_input(WaitUntil::new(None)).unwrap();
        assert_eq!(probed_after(&stream), None, "what came soon needed no probes");
        stream.mark_idle();
        assert_eq!(probed_after(&stream), Some(7));

        let (mut stream, mut peer) = pair();
        let late = std::thread::spawn(move || {
            std::thread::sleep(SOON * 3 / 2);
            peer.write_all(b"x").unwrap();
            peer
        });
        stream.await_input(WaitUntil::new(None)).unwrap();
        assert_eq!(probed_after(&stream), Some(7));
        drop(late.join().unwrap());

        let (mut stream, _peer) = pair();
        let soon = std::time::Instant::now() + SOON / 20;
        let until = WaitUntil { timeout: Timeout::Total, ..WaitUntil::new(Some(soon)) };
        let stopped = stream.await_input(until);
        assert!(matches!(stopped, Err(Stop::Deadline(Timeout::Total))));
        assert_eq!(probed_after(&stream), Some(7), "short waits may follow each other for long");

        let (stream, _peer) = pair();
        let socket = Arc::clone(stream.socket());
        let _duplex = stream.into_duplex();
        assert_eq!(probed_after(&Stream::plain(socket)), Some(7), "another protocol may be silent");
    }

    #[test]
    fn what_the_network_does_to_an_open_connection_is_a_loss() {
        use io::ErrorKind as Kind;
        for (kind, loss) in [
            (Kind::BrokenPipe, Some(Loss::Reset)),
            (Kind::ConnectionReset, Some(Loss::Reset)),
            (Kind::TimedOut, Some(Loss::Unreachable)),
            (Kind::HostUnreachable, Some(Loss::Unreachable)),
            (Kind::NetworkUnreachable, Some(Loss::Unreachable)),
            (Kind::NetworkDown, Some(Loss::Unreachable)),
            (Kind::ConnectionAborted, Some(Loss::Unreachable)),
            (Kind::OutOfMemory, None),
            (Kind::WouldBlock, None),
        ] {
            assert_eq!(Loss::of(&kind.into()), loss, "{kind:?}");
        }
    }
}
