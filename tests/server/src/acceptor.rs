//! A listener with a thread for each connection, and an end to all of them.
//!
//! Scripted and demo servers share it. It promises that `stop` returns with every thread joined and
//! every socket closed, and that nothing outlives the server's life span even if nobody stops it.

use crate::latch::{Latch, entry, poll};
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Begins listening when made, ends with `stop` or when dropped.
#[derive(Debug)]
pub(crate) struct Acceptor {
    addr: SocketAddr,
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
        listener: TcpListener,
        bounds: Bounds,
        serve: impl Fn(TcpStream, usize, &Arc<Latch>) + Send + Sync + 'static,
    ) -> io::Result<Acceptor> {
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let stop = Arc::new(Latch::new()?);
        let theirs = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("testserver-accept".to_owned())
            .spawn(move || accept_loop(listener, bounds, &theirs, Arc::new(serve)))?;
        Ok(Acceptor { addr, stop, thread: Some(thread) })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes the listener and every connection, and waits until that is done. Twice is harmless.
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

/// A listener on loopback; port 0 picks a free one. The backlog is that of a busy server, so that a
/// test that opens hundreds of connections at once meets no dropped SYN.
pub(crate) fn listen(ipv6: bool, port: u16) -> io::Result<TcpListener> {
    let (domain, addr) = if ipv6 {
        (Domain::IPV6, SocketAddr::from((Ipv6Addr::LOCALHOST, port)))
    } else {
        (Domain::IPV4, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    // For servers on a chosen port that were just restarted.
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

/// What runs in a connection's thread: the socket, its number, the stop latch.
type Serve = dyn Fn(TcpStream, usize, &Arc<Latch>) + Send + Sync;

fn accept_loop(listener: TcpListener, bounds: Bounds, stop: &Arc<Latch>, serve: Arc<Serve>) {
    let until = Instant::now() + bounds.life;
    let mut listener = Some(listener);
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    let mut index = 0;
    loop {
        if index >= bounds.accepts {
            listener = None;
        }
        let fd = listener.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        let mut table = [entry(stop.fd(), libc::POLLIN), entry(fd, libc::POLLIN)];
        if poll(&mut table, Some(until)) == 0 || table[0].revents != 0 {
            break;
        }
        let Some(Ok((socket, _))) = listener.as_ref().map(TcpListener::accept) else {
            // Most likely out of descriptors, on purpose: the listener stays readable, so do not
            // spin.
            poll(&mut table[..1], Some(Instant::now() + Duration::from_millis(10)));
            continue;
        };
        threads.retain(|thread| !thread.is_finished());
        if threads.len() >= MAX_LIVE {
            continue;
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

/// More connections at a time than any test opens; the next one is closed at once.
const MAX_LIVE: usize = 4096;

/// Enough for an unoptimised TLS handshake, little enough for thousands of threads.
const STACK: usize = 512 * 1024;
