//! A connected socket that any thread may end while another one waits on it.
//!
//! Every descriptor is non-blocking, closed on exec, and writes without SIGPIPE. To end a
//! socket is to shut it down (which wakes whoever polls it) and to close it as soon as nobody
//! is inside a call on it.

#![allow(unsafe_code)] // System calls.

use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use socket2::SockAddr;

use super::gate::{Gate, Shut};
use crate::process::fork_generation;
use crate::runtime::Source;

/// Threads: any thread at any time; bytes are read and written by one at a time.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: ManuallyDrop<socket2::Socket>,
    source: Arc<Source>,
    gate: Gate,
    /// Where it was made: see [`fork_generation`].
    process: u32,
}

/// The right to use the descriptor: it stays open for as long as this lives.
pub(crate) struct InUse<'a>(&'a Socket);

impl Socket {
    pub(crate) fn new(socket: socket2::Socket) -> Arc<Self> {
        let source = Source::new(socket.as_raw_fd());
        let inner = ManuallyDrop::new(socket);
        Arc::new(Self { inner, source, gate: Gate::new(), process: fork_generation() })
    }

    /// Enters the socket, or answers `None`: it was ended.
    pub(crate) fn enter(&self) -> Option<InUse<'_>> {
        self.gate.enter().then(|| InUse(self))
    }

    /// To wait for it, and what is known of it.
    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Whether it was ended: what its peer seems to do from then on is only the consequence.
    pub(crate) fn is_ended(&self) -> bool {
        self.gate.is_shut()
    }

    /// Ends it: the peer sees the close, whoever waits on it is woken, and the descriptor is closed
    /// at once or by the last to leave. Never blocks. Twice is once; but whoever comes second must not
    /// go on, and free a slot, while the first has only just begun: so it does the same. In the child
    /// of a fork it only [`forget`](Self::forget)s: the connection is its parent's.
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
    }

    /// Closes the descriptor without a word on the wire: for the child of a fork, whose parent
    /// still uses the connection.
    pub(crate) fn forget(&self) {
        if self.gate.shut() == Shut::Wake {
            self.leave();
        }
    }

    fn leave(&self) {
        if self.gate.leave() {
            self.close();
        }
    }

    fn close(&self) {
        self.source.retire();
        // SAFETY: the gate lets exactly one caller come here, the last user of a shut gate, and
        // nobody enters it again: the descriptor is closed once and not used afterwards.
        drop(unsafe { std::ptr::read(&*self.inner) });
    }
}

impl Drop for Socket {
    /// Ends it: a child of a fork may have a copy of the descriptor, and then a close alone is no
    /// end of the connection.
    fn drop(&mut self) {
        self.end();
    }
}

impl InUse<'_> {
    pub(crate) fn fd(&self) -> RawFd {
        self.0.inner.as_raw_fd()
    }

    pub(crate) fn source(&self) -> &Arc<Source> {
        self.0.source()
    }

    /// Takes what is there. `WouldBlock` if nothing is.
    pub(crate) fn recv(&self, into: &mut [u8]) -> io::Result<usize> {
        let Ok(got) = usize::try_from(self.try_recv(into)) else { return self.recv_again(into) };
        self.0.source.was_read(got == into.len());
        Ok(got)
    }

    #[inline]
    fn try_recv(&self, into: &mut [u8]) -> isize {
        // SAFETY: `into` is writable for its length and outlives the call.
        unsafe { libc::recv(self.fd(), into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT) }
    }

    /// A [`recv`](Self::recv) failed; a signal may have interrupted it.
    #[inline(never)]
    fn recv_again(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut error = io::Error::last_os_error();
        while error.kind() == io::ErrorKind::Interrupted {
            if let Ok(got) = usize::try_from(self.try_recv(into)) {
                self.0.source.was_read(got == into.len());
                return Ok(got);
            }
            error = io::Error::last_os_error();
        }
        if error.kind() == io::ErrorKind::WouldBlock {
            self.0.source.found_nothing();
        }
        Err(error)
    }

    /// Sends what fits. `more`: the rest of the packet follows at once (MSG_MORE, tcp(7)).
    pub(crate) fn send(&self, bytes: &[u8], more: bool) -> io::Result<usize> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
        self.sent(|| {
            // SAFETY: `bytes` is readable for its length and outlives the call.
            unsafe { libc::send(self.fd(), bytes.as_ptr().cast(), bytes.len(), flags) }
        })
    }

    /// [`send`](Self::send) from several places: a TLS flight is one segment, not one a record.
    pub(crate) fn send_vectored(&self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        // SAFETY: all-zero is a valid msghdr: no name, no control data.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        // IoSlice is an iovec on Unix (std::io::IoSlice).
        message.msg_iov = pieces.as_ptr().cast_mut().cast();
        message.msg_iovlen = pieces.len().min(MAX_PIECES) as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        self.sent(|| {
            // SAFETY: the pieces are readable for their lengths and outlive the call, which only reads.
            unsafe { libc::sendmsg(self.fd(), &raw const message, flags) }
        })
    }

    fn sent(&self, call: impl FnMut() -> isize) -> io::Result<usize> {
        let sent = uninterrupted(call);
        if matches!(&sent, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.0.source.found_no_room();
        }
        sent
    }

    /// Whether an idle connection is as it should be: open, and with not a byte to read.
    pub(crate) fn is_reusable(&self) -> bool {
        let mut byte = 0u8;
        let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK;
        let got = uninterrupted(|| {
            // SAFETY: one writable byte.
            unsafe { libc::recv(self.fd(), (&raw mut byte).cast(), 1, flags) }
        });
        matches!(got, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    pub(crate) fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let inet =
            |address: io::Result<socket2::SockAddr>| address.ok().and_then(|a| a.as_socket());
        (inet(self.0.inner.peer_addr()), inet(self.0.inner.local_addr()))
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

/// Gives a new socket its local address. Its port is chosen when it connects: then another connection
/// to another peer may have the same one, while a port that bind(2) chose is used up for all peers
/// (IP_BIND_ADDRESS_NO_PORT, ip(7)).
pub(super) fn bind_address(socket: &socket2::Socket, local: &SockAddr) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = size_of_val(&on) as libc::socklen_t;
    // Where there is no such option, bind(2) chooses the port. It is one of IPv6 sockets, too.
    // SAFETY: a descriptor that lives as long as `socket`, and a readable int of the size that is said.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size,
        )
    };
    socket.bind(local)
}

/// Less than IOV_MAX (limits.h) everywhere.
const MAX_PIECES: usize = 64;

/// The result of a system call that returns a count; it is made again if a signal interrupted it.
fn uninterrupted(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        if let Ok(count) = usize::try_from(call()) {
            return Ok(count);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

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
        let fd = inside.fd();
        socket.end();
        for _ in 0..3 {
            assert!(socket.enter().is_none());
        }
        // SAFETY: asks for the flags of a descriptor number.
        assert!(unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0, "closed under its user");
        drop(inside);
    }

    #[test]
    fn who_ends_a_socket_second_returns_when_its_peer_can_see_the_end() {
        use std::io::Read;
        let (socket, mut peer) = pair();
        // Somebody was about to end it, and does not get to run.
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
    fn a_quiet_socket_is_quiet_until_the_peer_says_something() {
        use std::io::Write;
        let (socket, mut peer) = pair();
        assert!(socket.enter().unwrap().is_reusable());
        peer.write_all(b"x").unwrap();
        let inside = socket.enter().unwrap();
        wait_fd(inside.source(), Interest::Read, WaitUntil::new(None)).unwrap();
        assert!(!inside.is_reusable());
    }
}
