//! A listener with a thread for each connection, and a way to end all of them.
//!
//! All servers but `Origins` share it. It promises that `stop` returns with every thread joined and
//! every socket closed, and that everything ends with the server's life span even without `stop`.

use crate::latch::{Latch, entry, poll};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Begins listening when made, ends with `stop` or when dropped.
#[derive(Debug)]
pub(crate) struct Acceptor {
    /// None on a Unix-domain socket.
    addr: Option<SocketAddr>,
    stop: Arc<Latch>,
    thread: Option<JoinHandle<()>>,
}

/// The bounds of an acceptor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// After this the acceptor stops by itself.
    pub(crate) life: Duration,
    /// After so many connections the listener is closed.
    pub(crate) accepts: usize,
}

impl Acceptor {
    /// Serves each connection in a thread of its own with `serve(socket, index, stop)`. `serve`
    /// must return soon after `stop` is set.
    pub(crate) fn spawn(
        listener: Socket,
        bounds: Bounds,
        serve: impl Fn(Socket, usize, &Arc<Latch>) + Send + Sync + 'static,
    ) -> io::Result<Acceptor> {
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?.as_socket();
        let stop = Arc::new(Latch::new()?);
        let theirs = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("testserver-accept".to_owned())
            .spawn(move || accept_loop(listener, bounds, &theirs, Arc::new(serve)))?;
        Ok(Acceptor { addr, stop, thread: Some(thread) })
    }

    /// Where it listens. Panics if that is a Unix-domain socket, which has no such address.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr.expect("this server listens on a Unix-domain socket")
    }

    /// Closes the listener and every connection, and waits until that is done. Idempotent.
    pub(crate) fn stop(&mut self) {
        self.stop.set();
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed already.
            let _ = thread.join();
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A listener on loopback, or in a network of the tests' own; port 0 picks a free one. Any other
/// address is refused: nothing here is meant to be met from outside.
pub(crate) fn listen(addr: SocketAddr) -> io::Result<Socket> {
    if !addr.ip().is_loopback() && !crate::network::is_far(addr.ip()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{addr} is no loopback")));
    }
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    // For servers on a chosen port that were just restarted.
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// A listener on a Unix-domain socket, at a path where nothing is yet.
pub(crate) fn listen_unix(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// What runs in a connection's thread: the socket, its number, the stop latch.
type Serve = dyn Fn(Socket, usize, &Arc<Latch>) + Send + Sync;

fn accept_loop(listener: Socket, bounds: Bounds, stop: &Arc<Latch>, serve: Arc<Serve>) {
    let until = Instant::now() + bounds.life;
    let mut listener = Some(listener).filter(|_| bounds.accepts > 0);
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    let mut index = 0;
    loop {
        let fd = listener.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        let mut table = [entry(stop.fd(), libc::POLLIN), entry(fd, libc::POLLIN)];
        if poll(&mut table, Some(until)) == 0 || table[0].revents != 0 {
            break;
        }
        let Some(Ok((socket, _))) = listener.as_ref().map(Socket::accept) else {
            // Most likely out of descriptors, on purpose: the listener stays readable, so do not
            // spin.
            poll(&mut table[..1], Some(Instant::now() + Duration::from_millis(10)));
            continue;
        };
        threads.retain(|thread| !thread.is_finished());
        if threads.len() >= MAX_LIVE {
            continue;
        }
        // Before the last connection writes a byte, so that its peer then finds the port closed.
        if index + 1 >= bounds.accepts {
            listener = None;
        }
        let (serve, stop) = (Arc::clone(&serve), Arc::clone(stop));
        let spawned = thread::Builder::new()
            .name(format!("testserver-{index}"))
            .stack_size(STACK)
            .spawn(move || serve(socket, index, &stop));
        if let Ok(thread) = spawned {
            threads.push(thread);
            index += 1;
        }
    }
    drop(listener);
    stop.set();
    for thread in threads {
        let _ = thread.join();
    }
}

/// That of a busy server, so that a test that opens hundreds of connections at once meets no dropped
/// SYN.
pub(crate) const BACKLOG: i32 = 1024;

/// More connections at a time than any test opens; the next one is closed at once.
const MAX_LIVE: usize = 4096;

/// Enough for an unoptimised TLS handshake, little enough for thousands of threads.
const STACK: usize = 512 * 1024;
