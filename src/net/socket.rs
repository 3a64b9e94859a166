//! A connected socket that any thread may end while another one waits on it.
//!
//! No call on a descriptor waits, unless a thread of the caller waits for input in a read. Each is closed on exec, and
//! written to without SIGPIPE. To end a
//! socket is to shut it down, which ends every poll(2) of it, and to close it as soon as no thread is inside a
//! call on it.

#![allow(unsafe_code)] // The last user closes.

use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use socket2::SockAddr;

use super::gate::{Gate, Shut};
use super::probes::Probes;
use super::sys;
use super::tcp_info::TcpInfo;
use crate::process::fork_generation;
use crate::runtime::{Descriptor, READ_WAIT, Source};

/// Threads: any thread at any time; bytes are read and written by one at a time.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: ManuallyDrop<socket2::Socket>,
    source: Arc<Source>,
    gate: Gate,
    /// The same connection under a second descriptor, for a second task that waits for it.
    second: OnceLock<Arc<Self>>,
    /// What the system knew of the connection when it was last to be kept.
    kept_info: OnceLock<Box<TcpInfo>>,
    /// After how many seconds of silence the peer is to be probed, until the system was asked to; 0 for never.
    probes_later: AtomicU32,
    /// How many waits of threads for input were made with poll(2); [`IN_READS`] from when on they are made in the read.
    waits: AtomicU8,
    /// Where it was made: see [`fork_generation`].
    process: u32,
}

/// The right to use the descriptor: it stays open for as long as this lives.
pub(crate) struct InUse<'a>(&'a Socket);

impl Socket {
    pub(crate) fn new(socket: socket2::Socket) -> Arc<Self> {
        let source = Source::new(sys::descriptor(&socket));
        let inner = ManuallyDrop::new(socket);
        let (gate, second, kept_info) = (Gate::new(), OnceLock::new(), OnceLock::new());
        Arc::new(Self {
            inner,
            source,
            gate,
            second,
            kept_info,
            probes_later: AtomicU32::new(0),
            waits: AtomicU8::new(0),
            process: fork_generation(),
        })
    }

    /// Enters the socket; `None` if it was ended.
    pub(crate) fn enter(&self) -> Option<InUse<'_>> {
        self.gate.enter().then(|| InUse(self))
    }

    /// The same connection under a second descriptor, for a second task that waits for it at the same time; `None`
    /// if the socket was ended. The first call makes the descriptor. It ends together with this one.
    pub(crate) fn second(&self) -> io::Result<Option<Arc<Self>>> {
        if self.second.get().is_none() {
            let Some(inside) = self.enter() else { return Ok(None) };
            let second = Self::new(inside.0.inner.try_clone()?);
            // Another thread may have been quicker; the one made here is closed then, without ending the connection.
            if let Err(unused) = self.second.set(second) {
                unused.forget();
            }
        }
        let second = self.second_if_made();
        if self.is_ended()
            && let Some(second) = &second
        {
            // It may have been made after the end.
            second.end();
        }
        Ok(second)
    }

    /// The second descriptor, if [`second`](Self::second) was called.
    pub(crate) fn second_if_made(&self) -> Option<Arc<Self>> {
        self.second.get().map(Arc::clone)
    }

    /// What the system knows of the connection; after the end, what [`keep_tcp_info`](Self::keep_tcp_info) kept. `None` if it
    /// is not one of TCP, if nothing was kept, or on a system that does not say.
    #[cold]
    pub(crate) fn tcp_info(&self) -> Option<TcpInfo> {
        match self.enter() {
            Some(inside) => inside.tcp_info(),
            None => self.kept_info.get().map(|info| **info),
        }
    }

    /// Keeps what the system knows now, for a caller that asks after the end. The first call counts: the end follows it.
    #[cold]
    pub(crate) fn keep_tcp_info(&self) {
        if let Some(info) = self.enter().and_then(|inside| inside.tcp_info()) {
            let _ = self.kept_info.set(Box::new(info));
        }
    }

    /// Its peer is to be probed when it is silent. The system is asked for it by [`begin_probes`](InUse::begin_probes): that takes
    /// four system calls, which a connection of one short exchange does not need.
    pub(super) fn probe_later(&self, probes: Probes) {
        self.probes_later.store(probes.seconds(), Ordering::Relaxed);
    }

    /// Has the system probe the peer from now on, if it was not asked before. For a socket that becomes idle.
    #[inline]
    pub(crate) fn begin_probes(&self) {
        if self.probes_later.load(Ordering::Relaxed) != 0
            && let Some(inside) = self.enter()
        {
            inside.ask_for_probes();
        }
    }

    /// What the runtime needs to wait for it.
    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Whether it was ended. What reads and writes report from then on is only the consequence.
    pub(crate) fn is_ended(&self) -> bool {
        self.gate.is_shut()
    }

    /// Ends it: the peer sees the close, threads and fibers that wait on it are woken, and the descriptor is
    /// closed at once or by the last user to leave. Never blocks. Idempotent. A concurrent second caller also
    /// shuts the socket down, so that it can't return, and free the slot, before the connection has ended. In
    /// the child of a fork it only [`forget`](Self::forget)s: the connection is its parent's.
    pub(crate) fn end(&self) {
        if self.process != fork_generation() {
            return self.forget();
        }
        if self.gate.shut() == Shut::Wake || self.gate.join() {
            // The error (not connected any more) says that there is nothing left to wake.
            let _ = self.inner.shutdown(std::net::Shutdown::Both);
            self.source.ended();
            self.leave();
        }
        if let Some(second) = self.second.get() {
            second.end();
        }
    }

    /// Closes the descriptor and sends nothing: for the child of a fork, whose parent
    /// still uses the connection.
    pub(crate) fn forget(&self) {
        if self.gate.shut() == Shut::Wake {
            self.leave();
        }
        if let Some(second) = self.second.get() {
            second.forget();
        }
    }

    fn leave(&self) {
        if self.gate.leave() {
            self.close();
        }
    }

    fn close(&self) {
        self.source.retire();
        // SAFETY: the gate keeps the invariant that exactly one caller comes here, the last user of a shut gate,
        // and that no thread enters it again: the descriptor is closed once and not used afterwards.
        drop(unsafe { std::ptr::read(&*self.inner) });
    }
}

impl Drop for Socket {
    /// Ends it. A close alone would not: a child of a fork may have a copy of the descriptor.
    fn drop(&mut self) {
        self.end();
    }
}

impl InUse<'_> {
    pub(crate) fn descriptor(&self) -> Descriptor {
        self.0.source.descriptor()
    }

    pub(crate) fn source(&self) -> &Arc<Source> {
        self.0.source()
    }

    /// Whether the system is still to be asked to probe the peer.
    #[inline]
    pub(crate) fn probes_are_due(&self) -> bool {
        self.0.probes_later.load(Ordering::Relaxed) != 0
    }

    /// Has the system probe the peer from now on, if it was not asked before. For a wait that may be long.
    #[inline]
    pub(crate) fn begin_probes(&self) {
        if self.probes_are_due() {
            self.ask_for_probes();
        }
    }

    /// The silence after which the system probes the peer; `None` if it does not.
    #[cfg(test)]
    pub(crate) fn keep_alive_time(&self) -> Option<Duration> {
        let is_on = self.0.inner.keepalive().unwrap();
        is_on.then(|| self.0.inner.tcp_keepalive_time().unwrap())
    }

    #[cold]
    #[inline(never)]
    fn ask_for_probes(&self) {
        let seconds = self.0.probes_later.swap(0, Ordering::Relaxed);
        if seconds != 0 {
            Probes::after(Duration::from_secs(seconds.into())).begin(&self.0.inner);
        }
    }

    /// Reads what is there. `WouldBlock` if nothing is.
    pub(crate) fn recv(&self, into: &mut [u8]) -> io::Result<usize> {
        let Some(got) = sys::recv(&self.0.inner, into) else { return self.recv_again(into) };
        self.0.source.was_read(got == into.len());
        Ok(got)
    }

    /// Whether a thread may wait for input with [`recv_waiting`](Self::recv_waiting). The first waits on a connection are
    /// made with poll(2): to prepare the other way takes two system calls, which short connections do not need.
    #[inline]
    pub(crate) fn may_wait_in_read(&self) -> bool {
        match self.0.waits.load(Ordering::Relaxed) {
            IN_READS => true,
            NEVER_IN_READS => false,
            before => self.count_wait(before),
        }
    }

    #[cold]
    #[inline(never)]
    fn count_wait(&self, before: u8) -> bool {
        let now = match before + 1 {
            few @ ..=WAITS_IN_POLL => few,
            _ if sys::let_reads_wait(&self.0.inner, READ_WAIT) => IN_READS,
            _ => NEVER_IN_READS,
        };
        self.0.waits.store(now, Ordering::Relaxed);
        now == IN_READS
    }

    /// Waits for something to read, and reads it: one system call instead of two. `WouldBlock` if nothing came in
    /// [`READ_WAIT`], or if a signal came. Only after [`may_wait_in_read`](Self::may_wait_in_read), and not on a fiber.
    pub(crate) fn recv_waiting(&self, into: &mut [u8]) -> io::Result<usize> {
        let got = sys::recv_waiting(&self.0.inner, into)?;
        self.0.source.was_read(got == into.len());
        Ok(got)
    }

    /// A [`recv`](Self::recv) failed; a signal may have interrupted it.
    #[inline(never)]
    fn recv_again(&self, into: &mut [u8]) -> io::Result<usize> {
        let result = sys::recv_again(&self.0.inner, into);
        match &result {
            Ok(got) => self.0.source.was_read(*got == into.len()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.0.source.found_nothing()
            }
            Err(_) => {}
        }
        result
    }

    /// Sends what fits. `more`: the rest of the packet follows at once.
    pub(crate) fn send(&self, bytes: &[u8], more: bool) -> io::Result<usize> {
        self.sent(sys::send(&self.0.inner, bytes, more))
    }

    /// [`send`](Self::send) from several places: a TLS flight is one segment, not one a record.
    pub(crate) fn send_vectored(&self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.sent(sys::send_vectored(&self.0.inner, pieces))
    }

    fn sent(&self, result: io::Result<usize>) -> io::Result<usize> {
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.0.source.found_no_room();
        }
        result
    }

    /// Bytes that were sent and that the peer's system has not acknowledged, or on a Unix-domain socket, that its program has
    /// not read; `None` on a system that does not say. It only falls while nothing is sent.
    pub(crate) fn queued(&self) -> Option<u32> {
        sys::queued(&self.0.inner)
    }

    /// Whether an idle connection may serve another exchange: it is open, and has not a byte to read.
    pub(crate) fn is_reusable(&self) -> bool {
        sys::has_nothing_to_read(&self.0.inner)
    }

    /// Ends the direction of writing: the peer reads an end.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        self.0.inner.shutdown(std::net::Shutdown::Write)
    }

    /// The address of the peer; `None` if it is not one of IP.
    pub(crate) fn peer_address(&self) -> Option<SocketAddr> {
        self.0.inner.peer_addr().ok()?.as_socket()
    }

    /// The local address; `None` if it is not one of IP.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        self.0.inner.local_addr().ok()?.as_socket()
    }

    /// What the system knows of the connection; `None` if it is not one of TCP, or on a system that does not say.
    #[cold]
    #[inline(never)]
    pub(crate) fn tcp_info(&self) -> Option<TcpInfo> {
        let info = sys::tcp_info(&self.0.inner);
        #[cfg(test)]
        let info = {
            let (peer, local) = (self.peer_address(), self.local_address());
            super::tcp_info::fake::changed(info, peer, local)
        };
        info
    }

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.inner.take_error()
    }

    pub(crate) fn connect(&self, address: &SockAddr) -> io::Result<()> {
        self.0.inner.connect(address)
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// After how many waits with poll(2) a thread waits in its reads: a kept connection has that many in its first exchange.
const WAITS_IN_POLL: u8 = 2;
const IN_READS: u8 = u8::MAX;
/// The system does not permit it.
const NEVER_IN_READS: u8 = u8::MAX - 1;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::runtime::{Interest, WaitUntil, WakeReason, wait_fd};

    fn pair() -> (Arc<Socket>, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let here = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Socket::new(socket2::Socket::from(here)), listener.accept().unwrap().0)
    }

    #[test]
    fn ending_a_socket_wakes_its_waiter_and_closes_it_once() {
        let (socket, _peer) = pair();
        let waiter = Arc::clone(&socket);
        let thread = std::thread::spawn(move || {
            let inside = waiter.enter().unwrap();
            let soon = WaitUntil::new(Some(Instant::now() + Duration::from_secs(10)));
            wait_fd(inside.source(), Interest::Read, soon)
        });
        std::thread::sleep(Duration::from_millis(20));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| socket.end());
            }
        });
        assert!(matches!(thread.join().unwrap().unwrap(), WakeReason::Ready { read: true, .. }));
        assert!(socket.enter().is_none());
    }

    #[test]
    fn a_refused_entry_does_not_close_under_those_inside() {
        let (socket, _peer) = pair();
        let inside = socket.enter().unwrap();
        let fd = inside.descriptor().number();
        socket.end();
        for _ in 0..3 {
            assert!(socket.enter().is_none());
        }
        // SAFETY: asks for the flags of a descriptor number.
        assert!(unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0, "closed under its user");
        drop(inside);
    }

    #[test]
    fn a_wait_in_a_read_ends_by_input_by_time_and_by_an_end_and_no_other_call_waits() {
        use std::io::{ErrorKind, Write};
        let (socket, mut peer) = pair();
        let inside = socket.enter().unwrap();
        for _ in 0..WAITS_IN_POLL {
            assert!(!inside.may_wait_in_read());
        }
        assert!(inside.may_wait_in_read() && inside.may_wait_in_read());
        let begun = Instant::now();
        let error = inside.recv_waiting(&mut [0; 9]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        // The kernel counts in ticks of 10 ms at most.
        assert!(begun.elapsed() >= READ_WAIT - Duration::from_millis(10));
        peer.write_all(b"abc").unwrap();
        assert_eq!(inside.recv_waiting(&mut [0; 9]).unwrap(), 3);
        // None of these waits, neither for input nor for room.
        assert_eq!(inside.recv(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(inside.is_reusable());
        let piece = vec![0; 1 << 20];
        while inside.send(&piece, false).is_ok() {}
        let pieces = [io::IoSlice::new(&piece)];
        assert_eq!(inside.send_vectored(&pieces).unwrap_err().kind(), ErrorKind::WouldBlock);
        let (waiter, begun) = (Arc::clone(&socket), Instant::now());
        let thread = std::thread::spawn(move || {
            let inside = waiter.enter().unwrap();
            let mut waits = 0;
            loop {
                match inside.recv_waiting(&mut [0; 9]) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => waits += 1,
                    other => return (waits, other),
                }
            }
        });
        std::thread::sleep(READ_WAIT / 2);
        drop(inside);
        socket.end();
        let (waits, end) = thread.join().unwrap();
        // Without the wake-up it would read again for ever.
        assert_eq!(end.unwrap(), 0, "after {waits} waits and {:?}", begun.elapsed());
    }

    #[test]
    fn a_second_end_of_a_socket_returns_when_its_peer_can_see_the_end() {
        use std::io::Read;
        let (socket, mut peer) = pair();
        // Another thread has begun to end it, and does not get to run.
        assert_eq!(socket.gate.shut(), Shut::Wake);
        socket.end();
        peer.set_nonblocking(true).unwrap();
        assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
        socket.end();
        socket.leave();
        assert!(!socket.gate.join(), "it is closed");
        socket.end();
    }

    #[test]
    fn the_system_knows_whether_the_peer_acknowledges() {
        use crate::net::tcp_info::fake::FakeTcpInfo;
        let (socket, peer) = pair();
        let inside = socket.enter().unwrap();
        assert_eq!(inside.send(b"hello", false).unwrap(), 5);
        let info = inside.tcp_info().unwrap();
        assert!(info.rto >= Duration::from_millis(1) && info.send_mss > 500, "{info:?}");
        assert_eq!((info.unacked, info.probes, info.unsent), (0, 0, 0), "{info:?}");
        assert!(info.bytes_acked >= 5 && info.bytes_sent >= 5, "{info:?}");
        let fake = FakeTcpInfo::of_port(peer.local_addr().unwrap().port(), |info| {
            Some(TcpInfo { unacked: 1, ..info })
        });
        assert_eq!(inside.tcp_info().unwrap().unacked, 1);
        drop(fake);
        assert_eq!(inside.tcp_info().unwrap().unacked, 0);
        let (unix, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let unix = Socket::new(socket2::Socket::from(std::os::fd::OwnedFd::from(unix)));
        assert_eq!(unix.enter().unwrap().tcp_info(), None);
    }

    #[test]
    fn a_socket_is_reusable_until_the_peer_sends_something() {
        use std::io::Write;
        let (socket, mut peer) = pair();
        assert!(socket.enter().unwrap().is_reusable());
        peer.write_all(b"x").unwrap();
        let inside = socket.enter().unwrap();
        wait_fd(inside.source(), Interest::Read, WaitUntil::new(None)).unwrap();
        assert!(!inside.is_reusable());
    }
}
