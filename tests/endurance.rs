//! Many threads, few connections, and somebody who closes them at random: nothing is lost, nothing is left, and the
//! limits hold at every moment, as the other side sees them. Five seconds each; a minute with HANGUP_LONG=1.

mod support;

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hangup::{Client, How, Kind, Limits, Manager};
use support::alone::alone;
use support::look::{assert_gone, descriptors};
use support::{Dice, PATIENCE, fetch, until};

/// Answers every request on every connection, on one thread: so it sees closes before what was opened after them, and
/// its count of open connections is never too high. Ends when dropped.
struct Counting {
    port: u16,
    most: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Counting {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (most, accepted, stop) = (Arc::default(), Arc::default(), Arc::default());
        let mine = (Arc::clone(&most), Arc::clone(&accepted), Arc::clone(&stop));
        let thread = thread::spawn(move || attend(&listener, &mine.0, &mine.1, &mine.2));
        Self { port, most, accepted, stop, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn attend(listener: &TcpListener, most: &AtomicUsize, accepted: &AtomicUsize, stop: &AtomicBool) {
    let mut open: Vec<TcpStream> = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let all = std::iter::once(listener.as_raw_fd()).chain(open.iter().map(AsRawFd::as_raw_fd));
        let mut fds: Vec<_> =
            all.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect();
        // SAFETY: as many valid entries as are said.
        unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, 20) };
        // One at a time, and then the closes: whoever was closed before this one connected is gone then.
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true).unwrap();
            accepted.fetch_add(1, Ordering::SeqCst);
            open.push(stream);
        }
        open.retain(answer);
        most.fetch_max(open.len(), Ordering::SeqCst);
    }
}

/// Answers what has come; whether the peer is still there.
fn answer(mut stream: &TcpStream) -> bool {
    let mut request = [0; 4096];
    loop {
        match stream.read(&mut request) {
            Ok(0) => return false,
            // A GET comes in one piece here.
            Ok(_) => drop(stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

fn duration() -> Duration {
    let long = std::env::var_os("HANGUP_LONG").is_some();
    Duration::from_secs(if long { 60 } else { 5 })
}

const THREADS: u64 = 16;
const LIMIT: usize = 8;

/// Sixteen threads send to `urls`, one closes by id at random. Answers how many requests went well, how many ended with
/// CLOSED, and how many closes there were.
fn endure(client: &Client, urls: &[String]) -> (u64, u64, u64) {
    let end = Instant::now() + duration();
    let (well, ended, closes) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let (well, ended) = (&well, &ended);
            scope.spawn(move || {
                let mut dice = Dice::new(seed);
                while Instant::now() < end {
                    let url = &urls[dice.roll(urls.len() as u64) as usize];
                    match fetch(client, url) {
                        Ok(body) => {
                            assert_eq!(body, b"ok");
                            well.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), Kind::Closed, "{error:?}");
                            ended.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
        let mut dice = Dice::new(99);
        while Instant::now() < end {
            thread::sleep(Duration::from_micros(500 + dice.roll(3000)));
            let list = client.manager().connections();
            let ids: HashSet<u64> = list.iter().map(|row| row.id).collect();
            assert_eq!(ids.len(), list.len());
            assert!(list.len() <= LIMIT, "{list:?}");
            if list.is_empty() {
                continue;
            }
            let id = list[dice.roll(list.len() as u64) as usize].id;
            let how = if dice.roll(4) == 0 { How::Graceful } else { How::Now };
            // It may be gone by now.
            closes.fetch_add(
                u64::from(client.manager().close_connection(id, how).is_ok()),
                Ordering::SeqCst,
            );
        }
    });
    (well.into_inner(), ended.into_inner(), closes.into_inner())
}

/// Nothing runs, waits or is open any more.
fn at_the_end(client: &Client, servers: &[Counting]) {
    let manager = client.manager();
    until("the last dials", || manager.stats().dialling == 0);
    let stats = manager.stats();
    assert_eq!((stats.in_use, stats.queued, stats.refused), (0, 0, 0), "{stats:?}");
    manager.close_all(How::Now);
    servers.iter().for_each(|server| assert_gone(manager, server.port));
    let stats = manager.stats();
    assert_eq!(stats.opened, stats.closed);
    manager.drain(Some(PATIENCE)).unwrap();
}

#[test]
fn sixteen_threads_through_eight_connections_that_somebody_closes_at_random() {
    alone("sixteen_threads_through_eight_connections_that_somebody_closes_at_random", || {
        let before = descriptors().len();
        let server = Counting::start();
        let limits = Limits { per_origin: LIMIT, ..Limits::default() };
        let client = Client::new(Arc::new(Manager::new(limits)));
        let (well, ended, closes) = endure(&client, &[server.url()]);
        let stats = client.manager().stats();
        println!("{well} well, {ended} closed by {closes} closes; {stats:?}");
        assert!(well > 1000 && ended > 0 && ended <= closes);
        // Each close makes one dial necessary, and the first eight are.
        let possible = (well + ended).saturating_sub(closes + LIMIT as u64);
        assert!(stats.reused * 100 > possible * 95, "{} of {possible}", stats.reused);
        assert!(server.most.load(Ordering::SeqCst) <= LIMIT, "{:?}", server.most);
        at_the_end(&client, &[server]);
        drop(client);
        // The sweep and the dials have threads, but no descriptors.
        until("the descriptors of before", || descriptors().len() == before);
    });
}

#[test]
fn sixteen_threads_over_many_origins_through_eight_connections_in_all() {
    alone("sixteen_threads_over_many_origins_through_eight_connections_in_all", || {
        let before = descriptors().len();
        let servers: Vec<Counting> = (0..6).map(|_| Counting::start()).collect();
        let urls: Vec<String> = servers.iter().map(Counting::url).collect();
        let limits = Limits { total: LIMIT, per_origin: 3, ..Limits::default() };
        let client = Client::new(Arc::new(Manager::new(limits)));
        let (well, ended, closes) = endure(&client, &urls);
        let stats = client.manager().stats();
        println!("{well} well, {ended} closed by {closes} closes; {stats:?}");
        assert!(well > 500 && ended <= closes);
        for server in &servers {
            assert!(server.accepted.load(Ordering::SeqCst) > 0);
            assert!(server.most.load(Ordering::SeqCst) <= 3, "{:?}", server.most);
        }
        at_the_end(&client, &servers);
        drop((client, servers));
        until("the descriptors of before", || descriptors().len() == before);
    });
}
