//! Very many origins in very few threads: each a port that answers every request with the same few
//! bytes and keeps the connection.
//!
//! For tests with a thousand origins and benchmarks with ten thousand idle connections, where a
//! scripted server's thread for each would be what is measured. Understands no more of HTTP than
//! heads, Content-Length and HEAD.

use crate::acceptor::listen;
use crate::descriptors::raise_descriptor_limit;
use crate::latch::{Latch, entry, poll};
use crate::message::{Head, response};
use crate::script::Answer;
use socket2::Socket;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Many ports of 127.0.0.1. Begins with `open`, ends when dropped or after ten minutes. All methods
/// from any thread.
#[derive(Debug)]
pub struct Origins {
    ports: Vec<u16>,
    descriptors: u64,
    counts: Arc<Counts>,
    stop: Arc<Latch>,
    threads: Vec<JoinHandle<()>>,
}

impl Origins {
    /// The most ports that `open` takes.
    pub const MOST: usize = 2000;

    /// Opens `count` ports, at most [`Origins::MOST`], that answer with this body, at most 16 KiB.
    /// Raises the limit of descriptors first, for the whole process.
    pub fn open(count: usize, body: &str) -> io::Result<Origins> {
        if count > Origins::MOST || body.len() > LONGEST_BODY {
            return Err(ErrorKind::InvalidInput.into());
        }
        let descriptors = raise_descriptor_limit();
        let answer = Answer { body: body.to_owned(), ..Answer::default() };
        let answer = Arc::new((response(&answer, "GET"), response(&answer, "HEAD")));
        let stop = Arc::new(Latch::new()?);
        let counts = Arc::new(Counts::default());
        counts.lock().accepted.resize(count, 0);

        let listeners: io::Result<Vec<Socket>> =
            (0..count).map(|_| listen((Ipv4Addr::LOCALHOST, 0).into())).collect();
        let mut listeners = listeners?;
        let mut ports = Vec::new();
        for listener in &listeners {
            listener.set_nonblocking(true)?;
            let addr = listener.local_addr()?.as_socket().ok_or(ErrorKind::AddrNotAvailable)?;
            ports.push(addr.port());
        }
        // From here on dropping it stops the threads that run already.
        let mut origins = Origins { ports, descriptors, counts, stop, threads: Vec::new() };
        let share = count.div_ceil(THREADS);
        for number in 0..THREADS {
            let first = number * share;
            let mine = listeners.drain(..share.min(listeners.len())).collect();
            let part = Part {
                epoll: Epoll::new()?,
                listeners: mine,
                first,
                answer: Arc::clone(&answer),
                counts: Arc::clone(&origins.counts),
                visitors: HashMap::new(),
            };
            let stop = Arc::clone(&origins.stop);
            let thread = thread::Builder::new()
                .name(format!("testserver-origins-{number}"))
                .spawn(move || part.run(&stop))?;
            origins.threads.push(thread);
        }
        Ok(origins)
    }

    /// The ports, by origin.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// The URL of a path (with its slash) at an origin, counted from 0. Panics if there is none.
    pub fn url(&self, origin: usize, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ports[origin])
    }

    /// The limit of descriptors that this process got: with 20,000, both ends of fewer than 10,000
    /// connections. A benchmark with more has the origins in another process.
    pub fn descriptors(&self) -> u64 {
        self.descriptors
    }

    /// How many connections all origins accepted.
    pub fn connections(&self) -> usize {
        self.counts.lock().accepted.iter().sum()
    }

    /// How many connections one origin accepted.
    pub fn connections_to(&self, origin: usize) -> usize {
        self.counts.lock().accepted.get(origin).copied().unwrap_or(0)
    }

    /// How many connections are open, as far as these threads have seen.
    pub fn open_connections(&self) -> usize {
        self.counts.lock().open
    }

    /// The highest number of connections that were open at the same time, as these threads saw it.
    pub fn most_open(&self) -> usize {
        self.counts.lock().most_open
    }

    /// How many requests were answered in all.
    pub fn requests(&self) -> usize {
        self.counts.lock().requests
    }

    /// Waits until exactly `count` connections are open. False when the time is up.
    pub fn wait_open(&self, count: usize, timeout: Duration) -> bool {
        let guard = self.counts.lock();
        let waited = self.counts.changed.wait_timeout_while(guard, timeout, |s| s.open != count);
        waited.unwrap_or_else(PoisonError::into_inner).0.open == count
    }
}

impl Drop for Origins {
    fn drop(&mut self) {
        self.stop.set();
        for thread in self.threads.drain(..) {
            // A panic in there has been printed already.
            let _ = thread.join();
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    accepted: Vec<usize>,
    requests: usize,
    open: usize,
    most_open: usize,
}

impl Counts {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self, origin: usize) {
        let mut state = self.lock();
        state.accepted[origin] += 1;
        state.open += 1;
        state.most_open = state.most_open.max(state.open);
        self.changed.notify_all();
    }

    fn closed(&self) {
        self.lock().open -= 1;
        self.changed.notify_all();
    }
}

/// One thread's share of the origins.
struct Part {
    epoll: Epoll,
    listeners: Vec<Socket>,
    /// The number of the first of them.
    first: usize,
    /// To GET and all others, and to HEAD.
    answer: Arc<(Vec<u8>, Vec<u8>)>,
    counts: Arc<Counts>,
    visitors: HashMap<RawFd, Visitor>,
}

/// One connection.
struct Visitor {
    socket: Socket,
    /// The beginning of a head.
    inbox: Vec<u8>,
    /// Bytes of a request body that are still to come.
    skip: u64,
}

impl Part {
    fn run(mut self, stop: &Latch) {
        let until = Instant::now() + LIFE;
        let all = self.listeners.iter().map(Socket::as_raw_fd);
        let watched = self.epoll.add(stop.fd(), STOP).and_then(|()| {
            all.enumerate().try_for_each(|(i, fd)| self.epoll.add(fd, LISTENER | i as u64))
        });
        if let Err(e) = watched {
            return eprintln!("testserver-origins: {e}");
        }
        loop {
            let ready = self.epoll.wait(until);
            if ready.is_empty() || ready.contains(&STOP) {
                return;
            }
            for what in ready {
                if what & LISTENER != 0 {
                    self.accept((what & !LISTENER) as usize, stop);
                } else {
                    self.visit(what as RawFd);
                }
            }
        }
    }

    fn accept(&mut self, number: usize, stop: &Latch) {
        loop {
            match self.listeners[number].accept() {
                Ok((socket, _)) => {
                    let fd = socket.as_raw_fd();
                    let set =
                        socket.set_nonblocking(true).and_then(|()| socket.set_tcp_nodelay(true));
                    if set.and_then(|()| self.epoll.add(fd, fd as u64)).is_ok() {
                        self.counts.opened(self.first + number);
                        let visitor = Visitor { socket, inbox: Vec::new(), skip: 0 };
                        self.visitors.insert(fd, visitor);
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    // Out of descriptors: the listener stays readable, so do not spin.
                    let pause = Instant::now() + Duration::from_millis(10);
                    poll(&mut [entry(stop.fd(), libc::POLLIN)], Some(pause));
                    return;
                }
            }
        }
    }

    fn visit(&mut self, fd: RawFd) {
        // A connection that ended earlier in this round may have events left.
        let Some(visitor) = self.visitors.get_mut(&fd) else {
            return;
        };
        if visitor.converse(&self.answer, &self.counts).is_err() {
            // Closing takes it out of the epoll as well (epoll(7)).
            self.visitors.remove(&fd);
            self.counts.closed();
        }
    }
}

impl Visitor {
    /// Reads what is there and answers the requests in it; an error is the end.
    fn converse(&mut self, answer: &(Vec<u8>, Vec<u8>), counts: &Counts) -> io::Result<()> {
        let mut block = [0; 4096];
        loop {
            match self.socket.read(&mut block) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(got) => self.inbox.extend_from_slice(&block[..got]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
            while self.request(answer, counts)? {}
        }
    }

    /// Answers the next request, if its head is complete; the body is skipped as it comes.
    fn request(&mut self, answer: &(Vec<u8>, Vec<u8>), counts: &Counts) -> io::Result<bool> {
        let skipped = self.skip.min(self.inbox.len() as u64);
        self.inbox.drain(..skipped as usize);
        self.skip -= skipped;
        let Some(end) = self.inbox.windows(4).position(|four| four == b"\r\n\r\n") else {
            return if self.inbox.len() > LONGEST_HEAD {
                Err(ErrorKind::InvalidData.into())
            } else {
                Ok(false)
            };
        };
        let head: Vec<u8> = self.inbox.drain(..end + 4).collect();
        let head = Head(String::from_utf8_lossy(&head).into_owned());
        if head.header("transfer-encoding").is_some() {
            return Err(ErrorKind::Unsupported.into());
        }
        self.skip = head.header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
        let bytes = if head.method() == "HEAD" { &answer.1 } else { &answer.0 };
        // Before the client can observe it.
        counts.lock().requests += 1;
        // Short enough for an empty buffer; a peer that does not read what it asked for is dropped.
        if self.socket.write(bytes)? < bytes.len() {
            return Err(ErrorKind::WriteZero.into());
        }
        Ok(true)
    }
}

/// epoll(7), level-triggered, for reading only.
struct Epoll(OwnedFd);

impl Epoll {
    fn new() -> io::Result<Epoll> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and valid, and nothing else owns it.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn add(&self, fd: RawFd, name: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: name };
        // SAFETY: the event is valid for the call, which copies it.
        let done =
            unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// The names of what is ready; none when the time is up.
    fn wait(&self, until: Instant) -> Vec<u64> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
        // poll(2) knows how to wait until an instant; an epoll is itself a descriptor to poll.
        if poll(&mut [entry(self.0.as_raw_fd(), libc::POLLIN)], Some(until)) == 0 {
            return Vec::new();
        }
        // SAFETY: the pointer and the length describe one live, exclusively borrowed array.
        let ready = unsafe {
            libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), events.len() as i32, 0)
        };
        events[..usize::try_from(ready).unwrap_or(0)].iter().map(|event| event.u64).collect()
    }
}

/// As many as the machine that this is meant for has processors.
const THREADS: usize = 2;

/// Longer than any benchmark, short enough to leave nothing running over night.
const LIFE: Duration = Duration::from_secs(600);

/// Fits into an empty socket's buffer.
const LONGEST_BODY: usize = 16 * 1024;

/// Far above what any test sends.
const LONGEST_HEAD: usize = 64 * 1024;

/// The name of the stop latch in an epoll.
const STOP: u64 = u64::MAX;

/// Set in the names of listeners; a connection's name is its descriptor.
const LISTENER: u64 = 1 << 62;
