//! Fairness: an exchange that keeps its I/O thread busy, or a reader that blocks a worker, must not delay other requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use hangup::{Client, ConnectionMode, Kind, Submission, Timeout};
use testserver::{Certificate, Script, Server, Step};

use crate::support::counted_reader::CountedReader;
use crate::support::form::block_on;
use crate::support::inspect::assert_at_rest;
use crate::support::outcome::report;
use crate::support::own_process::in_own_process;
use crate::support::submissions::{PolledSubmission, buffered_get};
use crate::support::{client, fetch, ms, post, request, tls_client, wait_until};

/// Sends fifty small requests, each of which must end within [`WIDE`]. Returns the longest duration.
#[track_caller]
pub(super) fn fifty_small_ones(client: &Client, url: &str) -> Duration {
    let begun = Instant::now();
    let mut all: Vec<_> = (0..50)
        .map(|_| PolledSubmission::new(client.submit(buffered_get(url, 10))))
        .collect::<Vec<_>>();
    let mut slowest = Duration::ZERO;
    while !all.is_empty() {
        let (done, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(PolledSubmission::is_done);
        for one in done {
            slowest = slowest.max(begun.elapsed());
            assert_eq!(one.outcome().unwrap().read_all(10).unwrap(), b"ok");
        }
        all = rest;
        assert!(begun.elapsed() < WIDE, "{} of 50 still wait", all.len());
        thread::sleep(ms(1));
    }
    slowest
}

/// A generous bound for a request that takes milliseconds.
const WIDE: Duration = Duration::from_secs(5);

/// Repeats work on a thread of its own until it is dropped.
struct Meanwhile {
    done: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Meanwhile {
    fn again_and_again(mut what: impl FnMut() + Send + 'static) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&done);
        let work = move || {
            while !over.load(Ordering::SeqCst) {
                what();
            }
        };
        Self { done, thread: Some(thread::spawn(work)) }
    }
}

impl Drop for Meanwhile {
    fn drop(&mut self) {
        self.done.store(true, Ordering::SeqCst);
        let ended = self.thread.take().unwrap().join();
        assert!(thread::panicking() || ended.is_ok());
    }
}

/// A body without an end, sent as fast as it is read.
fn endless() -> Server {
    let fast = Step::Fill { bytes: 1 << 40, byte: 'x' };
    // With a length the buffered request would be refused at once.
    Server::start(Script::every(vec![Step::head(), Step::send("HTTP/1.1 200 OK\r\n\r\n"), fast]))
}

fn under_way(client: &Client) {
    let fast = |row: &hangup::ConnectionInfo| row.bytes_in > 1 << 20;
    wait_until("a fast body", || client.manager().connections().iter().any(fast));
}

#[test]
fn an_endless_buffered_body_delays_no_other_request() {
    let (endless, server) = (endless(), Server::start(Script::answering("ok")));
    let client = Arc::new(client());
    let (theirs, url) = (Arc::clone(&client), endless.url("/"));
    let _meanwhile = Meanwhile::again_and_again(move || {
        // The body never ends: it is read to this bound, again and again.
        let error = theirs.submit(buffered_get(&url, 64 << 20)).wait().unwrap_err();
        assert_eq!(error.kind(), Kind::TooLarge);
    });
    under_way(&client);
    let slowest = fifty_small_ones(&client, &server.url("/"));
    report("fifty beside an endless body, whole", "fair", slowest);
}

#[test]
fn an_endless_body_read_without_pause_delays_no_other_request() {
    let (endless, server) = (endless(), Server::start(Script::answering("ok")));
    let client = Arc::new(client());
    let mut response = client.submit(request("GET", &endless.url("/"))).wait().unwrap();
    let _meanwhile = Meanwhile::again_and_again(move || {
        assert!(!block_on(response.read_async(64 << 10)).unwrap().is_empty());
    });
    under_way(&client);
    let slowest = fifty_small_ones(&client, &server.url("/"));
    report("fifty beside an endless body, piece by piece", "fair", slowest);
}

#[test]
fn a_hundred_handshakes_delay_no_other_request() {
    let secure = Server::start_tls(Certificate::Good, Script::answering("ok"));
    let server = Server::start(Script::answering("ok"));
    let client = tls_client();
    fetch(&client, &server.url("/")).unwrap();
    let storm: Vec<_> = (0..100)
        .map(|_| {
            let mut fresh = buffered_get(&secure.url("/"), 10);
            fresh.set_connection_mode(ConnectionMode::Fresh);
            PolledSubmission::new(client.submit(fresh))
        })
        .collect();
    let (mut slowest, mut beside) = (Duration::ZERO, 0);
    while !storm.iter().all(PolledSubmission::is_done) {
        let begun = Instant::now();
        let mut response = client.submit(buffered_get(&server.url("/"), 10)).wait().unwrap();
        assert_eq!(response.read_all(10).unwrap(), b"ok");
        slowest = slowest.max(begun.elapsed());
        beside += 1;
    }
    report(&format!("the slowest of {beside} beside a hundred handshakes"), "fair", slowest);
    assert!(slowest < WIDE && beside > 1, "{slowest:?}, {beside}");
    for one in storm {
        assert_eq!(one.outcome().unwrap().read_all(10).unwrap(), b"ok");
    }
    assert_eq!(secure.connections(), 100);
    assert_at_rest(client.manager());
}

#[test]
fn an_endless_decoded_body_delays_no_other_request() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, &[0; 1_000_000]).unwrap();
    // Each member of a kilobyte decodes to a megabyte.
    let member = Step::SendHex(encoder.finish().unwrap());
    let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n";
    let steps = vec![Step::head(), Step::send(head), Step::forever(vec![member])];
    let (endless, server) =
        (Server::start(Script::every(steps)), Server::start(Script::answering("ok")));
    let client = Arc::new(client());
    client.set_decode(true);
    let (theirs, url) = (Arc::clone(&client), endless.url("/"));
    let rounds = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&rounds);
    let _meanwhile = Meanwhile::again_and_again(move || {
        let error = theirs.submit(buffered_get(&url, 64 << 20)).wait().unwrap_err();
        assert_eq!(error.kind(), Kind::TooLarge);
        counted.fetch_add(1, Ordering::SeqCst);
    });
    wait_until("a body that is decoded", || rounds.load(Ordering::SeqCst) > 0);
    let slowest = fifty_small_ones(&client, &server.url("/"));
    report("fifty beside an endless body, decoded", "fair", slowest);
}

/// Readers that block until this is dropped, more than a pool has workers.
struct Blocked {
    uploads: Vec<Submission>,
    go: Vec<Sender<()>>,
}

impl Blocked {
    fn begin(client: &Client, url: &str) -> Self {
        let inside = Arc::new(AtomicUsize::new(0));
        let upload = |_| {
            let (go, gone) = channel();
            let inside = Arc::clone(&inside);
            let (source, _) = CountedReader::pieces(1, 5, move |_| {
                inside.fetch_add(1, Ordering::SeqCst);
                let _ = gone.recv();
            });
            (client.submit(post(url, source.chunked())), go)
        };
        let (uploads, go) = (0..READERS).map(upload).unzip();
        wait_until("readers that block", || inside.load(Ordering::SeqCst) == READERS);
        Self { uploads, go }
    }

    fn end(self) {
        drop(self.go);
        for one in self.uploads {
            assert_eq!(one.wait().unwrap().read_all(10).unwrap(), b"ok");
        }
    }
}

const READERS: usize = 300;

#[test]
fn readers_that_block_delay_only_their_own_uploads() {
    in_own_process("fairness::readers_that_block_delay_only_their_own_uploads", || {
        let server = Server::start(Script::answering("ok"));
        let client = client();
        let blocked = Blocked::begin(&client, &server.url("/"));
        fifty_small_ones(&client, &server.url("/"));
        for _ in 0..3 {
            let (source, account) = CountedReader::pieces(1, 5, |_| {});
            let mut late = post(&server.url("/"), source.chunked());
            late.set_timeout(Timeout::Total, Some(ms(10_000))).unwrap();
            let mut response = client.submit(late).wait().unwrap();
            assert_eq!(response.read_all(10).unwrap(), b"ok");
            account.assert_dropped_once();
        }
        blocked.end();
    });
}
