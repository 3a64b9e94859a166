//! What only submitted requests can show: thousands at once on one thread, that end together, keep nobody else waiting,
//! and leave neither threads nor descriptors behind.

mod support;

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use hangup::{
    Body, CancelToken, Client, Clock, Error, Kind, Limits, Manager, Mode, Phase, Request, Response,
    Submission,
};
use support::alone::{alone, alone_with};
use support::form::block_on;
use support::look::{assert_at_rest, descriptors, sockets, threads, threads_named, wait_at_rest};
use support::source::Source;
use support::verdict::{REASON, assert_cancelled, assert_consistent, report};
use support::{
    PATIENCE, client, client_with, fetch, ms, per_origin, post, request, tls_client, trusting,
    until,
};
use testserver::{
    BlackHole, Certificate, Conduct, Proxy, ProxyOptions, ProxyStep, Script, Server, Step,
};

/// The head of a response whose body has 100 bytes, and ten of them.
const TEN_OF_100: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.";

/// Takes every connection and never says a word: a thread and a descriptor for each connection would be more of the
/// server's than of the client's.
struct Silent {
    port: u16,
    held: Arc<Mutex<Vec<TcpStream>>>,
}

impl Silent {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let held = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&held);
        thread::spawn(move || {
            for stream in listener.incoming() {
                theirs.lock().unwrap().push(stream.unwrap());
            }
        });
        Self { port, held }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// On how many connections a whole head has come.
    fn heads(&self) -> usize {
        let came = |stream: &&TcpStream| {
            let mut piece = [0; 1000];
            stream.set_nonblocking(true).unwrap();
            let got = stream.peek(&mut piece).unwrap_or(0);
            piece[..got].ends_with(b"\r\n\r\n")
        };
        self.held.lock().unwrap().iter().filter(came).count()
    }

    /// How many connections have been closed by the client.
    fn ended(&self) -> usize {
        let over = |mut stream: &TcpStream| {
            stream.set_nonblocking(true).unwrap();
            let mut piece = [0; 1000];
            loop {
                match stream.read(&mut piece) {
                    Ok(0) => return true,
                    Ok(_) => {}
                    Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
                }
            }
        };
        self.held.lock().unwrap().iter().filter(|stream| over(stream)).count()
    }
}

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A submission that was polled once, and how often its outcome was told since.
struct Watched {
    submission: Submission,
    /// What was there at once.
    early: Option<Result<Response, Error>>,
    told: Arc<Count>,
}

impl Watched {
    fn new(mut submission: Submission) -> Self {
        let told = Arc::<Count>::default();
        let waker = Waker::from(Arc::clone(&told));
        let early = Pin::new(&mut submission).poll(&mut Context::from_waker(&waker));
        let early = match early {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        };
        Self { submission, early, told }
    }

    fn is_told(&self) -> bool {
        self.early.is_some() || self.told.0.load(Ordering::SeqCst) > 0
    }

    /// The outcome, which was told once.
    #[track_caller]
    fn outcome(mut self) -> Result<Response, Error> {
        let told = self.told.0.load(Ordering::SeqCst);
        assert_eq!(told, usize::from(self.early.is_none()));
        let mut look =
            || Pin::new(&mut self.submission).poll(&mut Context::from_waker(Waker::noop()));
        let outcome = self.early.unwrap_or_else(|| match look() {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => panic!("told, and not there"),
        });
        assert!(look().is_pending(), "an outcome is there once");
        outcome
    }
}

/// Waits until all of them are told; answers their errors.
#[track_caller]
fn errors(all: Vec<Watched>) -> Vec<Error> {
    until("every outcome", || all.iter().all(Watched::is_told));
    all.into_iter().map(|one| one.outcome().expect_err("nobody is answered")).collect()
}

fn without_limits(mut request: Request) -> Request {
    for clock in Clock::ALL.iter().copied().filter(|clock| clock.can_be_set()) {
        request.timeout(clock, None).unwrap();
    }
    request
}

/// GET with the whole body.
fn whole(url: &str, at_most: usize) -> Request {
    let mut request = request("GET", url);
    request.whole(Some(at_most));
    request
}

fn with_token(mut request: Request, token: &CancelToken) -> Request {
    request.cancel_with(Some(token.clone()));
    request
}

/// So many requests that wait for a head, and so many cancels at once: by a token each and by one for all.
fn cancel_at_once(count: usize) {
    let client = client();
    let server = Server::start(Script::answering("ok"));
    // Whatever is started with the first submission, is.
    client.submit(whole(&server.url("/"), 10)).wait().unwrap();
    for one_for_all in [false, true] {
        let silent = Silent::start();
        let before = threads();
        let parent = CancelToken::new();
        let tokens: Vec<CancelToken> = (0..count).map(|_| parent.child()).collect();
        let submit = |token| {
            let request = without_limits(request("GET", &silent.url()));
            Watched::new(client.submit(with_token(request, token)))
        };
        let all: Vec<Watched> = tokens.iter().map(submit).collect();
        until("all of the heads", || silent.heads() == count);
        let stats = client.manager().stats();
        assert_eq!((stats.in_use, stats.dialling), (count as u64, 0));
        // The dials may have had workers; requests under way have none.
        assert!(threads() <= before, "{} threads for {count} requests", threads());
        assert_eq!(threads_named("hangup-io").len(), 1);
        assert!(!all.iter().any(Watched::is_told));
        let fired = Instant::now();
        if one_for_all {
            parent.fire(Some(REASON));
        } else {
            thread::scope(|scope| {
                for part in tokens.chunks(count.div_ceil(4)) {
                    scope.spawn(|| part.iter().for_each(|token| token.fire(Some(REASON))));
                }
            });
        }
        let errors = errors(all);
        report(&format!("{count} submissions at once"), "cancel", fired.elapsed());
        errors.iter().for_each(|error| assert_cancelled(error, Phase::Head));
        let connections: std::collections::BTreeSet<_> =
            errors.iter().map(|error| error.connection().unwrap()).collect();
        assert_eq!(connections.len(), count);
        // Nothing is left here, and the server has seen every close.
        assert_at_rest(client.manager());
        assert_eq!(sockets(silent.port), []);
        until("every close", || silent.ended() == count);
        // And the manager is as good as new.
        let mut next = client.submit(whole(&server.url("/"), 10)).wait().unwrap();
        assert!(next.reused());
        assert_eq!(next.read_all(10).unwrap(), b"ok");
    }
    let stats = client.manager().stats();
    assert_eq!((stats.queued, stats.in_use, stats.idle), (0, 0, 1));
    assert_eq!(stats.opened - stats.closed, 1);
}

#[test]
fn a_thousand_are_cancelled_at_once_and_each_ends_once() {
    alone("a_thousand_are_cancelled_at_once_and_each_ends_once", || cancel_at_once(1000));
}

/// So many in each of eight phases, and a shutdown from another thread.
fn shut_down_in_every_phase(each: usize) {
    let open = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let hole = BlackHole::new();
    let fillers = support::look::count_sockets(hole.port());
    let [silent, upload, head] = [(); 3].map(|()| Silent::start());
    let half = vec![Step::head(), Step::send(TEN_OF_100), Step::Stall];
    let body = Server::start(Script::every(half));
    let conduct = Conduct::Silent(ProxyStep::Request);
    let proxy = Proxy::start_with(ProxyOptions { conduct, ..ProxyOptions::default() }).unwrap();
    let client = trusting(client_with(per_origin(each)));
    let proxied = trusting(Client::new(Arc::clone(client.manager())));
    proxied.proxy(Some(&proxy.url())).unwrap();
    proxied.no_proxy("").unwrap();
    let (is_open, asks) = (Arc::clone(&open), Arc::clone(&asked));
    client.manager().set_resolver(Some(Arc::new(move |_| {
        asks.fetch_add(1, Ordering::SeqCst);
        until("the end of the test", || is_open.load(Ordering::SeqCst));
        Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])
    })));
    let urls = [
        (Phase::Resolve, "http://stuck.test:8000/".to_owned()),
        (Phase::Connect, hole.url("/")),
        (Phase::Tls, silent.url().replace("http:", "https:")),
        (Phase::Proxy, "https://127.0.0.1:1/".to_owned()),
        (Phase::Write, upload.url()),
        (Phase::Head, head.url()),
        (Phase::Read, body.url("/")),
        // More than the origin may have.
        (Phase::Pool, head.url()),
    ];
    let mut accounts = Vec::new();
    let mut all = Vec::new();
    for (phase, url) in &urls {
        if *phase == Phase::Pool {
            until("what is before them", || head.heads() == each);
        }
        for _ in 0..each {
            let request = match phase {
                Phase::Write => {
                    let (source, account) = Source::endless();
                    accounts.push(account);
                    post(url, source.chunked())
                }
                _ => whole(url, 100),
            };
            let client = if *phase == Phase::Proxy { &proxied } else { &client };
            all.push((*phase, Watched::new(client.submit(without_limits(request)))));
        }
    }
    let manager = client.manager();
    let count = each as u64;
    until("all of them in their phases", || {
        let stats = manager.stats();
        (stats.dialling, stats.in_use, stats.queued) == (4 * count, 3 * count, count)
    });
    until("a look-up", || asked.load(Ordering::SeqCst) > 0);
    until("SYNs", || sockets(hole.port()).len() >= fillers + each);
    assert!(proxy.wait_heads(each, PATIENCE));
    until("bodies", || {
        let began = |row: &&hangup::ConnectionInfo| row.bytes_in as usize == TEN_OF_100.len();
        manager.connections().iter().filter(began).count() == each
    });
    // What a server does not read any more: nothing goes out.
    let mut sent = Vec::new();
    until("full sockets", || {
        thread::sleep(ms(50));
        let now: Vec<u64> = manager.connections().iter().map(|row| row.bytes_out).collect();
        std::mem::replace(&mut sent, now) == sent
    });
    until("a thread with nothing to do", support::look::io_sleeps);
    assert!(!all.iter().any(|(_, one)| one.is_told()));
    let begun = Instant::now();
    thread::scope(|scope| scope.spawn(|| manager.shutdown()).join().unwrap());
    let (phases, all): (Vec<Phase>, Vec<Watched>) = all.into_iter().unzip();
    let errors = errors(all);
    report(&format!("{} submissions", errors.len()), "shutdown", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let mut seen = BTreeMap::new();
    for (error, phase) in errors.iter().zip(phases) {
        assert_eq!((error.kind(), error.phase()), (Kind::ShutDown, phase), "{error:?}");
        assert_consistent(error);
        *seen.entry(phase.to_string()).or_insert(0) += 1;
    }
    assert_eq!((seen.len(), seen.values().sum::<usize>()), (8, 8 * each));
    accounts.iter().for_each(|account| account.assert_dropped_once());
    let ports = [silent.port, upload.port, head.port, body.port(), proxy.port(), 8000];
    for port in ports {
        until("the last socket's end", || sockets(port).is_empty());
    }
    until("the SYNs' end", || sockets(hole.port()).len() <= fillers);
    wait_at_rest(manager);
    assert_eq!((manager.stats().queued, manager.stats().idle), (0, 0));
    for server in [&silent, &upload, &head] {
        until("every close", || server.ended() == each);
    }
    open.store(true, Ordering::SeqCst);
}

#[test]
fn a_thousand_in_every_phase_end_once_when_it_is_shut_down() {
    alone("a_thousand_in_every_phase_end_once_when_it_is_shut_down", || {
        shut_down_in_every_phase(125);
    });
}

/// Fifty small ones, each within a bound that a busy machine keeps, while something else is under way. Answers the
/// slowest.
#[track_caller]
fn fifty_small_ones(client: &Client, url: &str) -> Duration {
    let begun = Instant::now();
    let mut all: Vec<_> =
        (0..50).map(|_| Watched::new(client.submit(whole(url, 10)))).collect::<Vec<_>>();
    let mut slowest = Duration::ZERO;
    while !all.is_empty() {
        let (told, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(Watched::is_told);
        for one in told {
            slowest = slowest.max(begun.elapsed());
            assert_eq!(one.outcome().unwrap().read_all(10).unwrap(), b"ok");
        }
        all = rest;
        assert!(begun.elapsed() < WIDE, "{} of 50 still wait", all.len());
        thread::sleep(ms(1));
    }
    slowest
}

/// A bound for what is a matter of milliseconds.
const WIDE: Duration = Duration::from_secs(5);

/// Does that on a thread of its own, over and over, until it is dropped.
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

/// A body without an end, as fast as it is read.
fn endless() -> Server {
    let fast = Step::Fill { bytes: 1 << 40, byte: 'x' };
    // A length that is said would be refused at once by who wants it whole.
    Server::start(Script::every(vec![Step::head(), Step::send("HTTP/1.1 200 OK\r\n\r\n"), fast]))
}

fn under_way(client: &Client) {
    let fast = |row: &hangup::ConnectionInfo| row.bytes_in > 1 << 20;
    until("a fast body", || client.manager().connections().iter().any(fast));
}

#[test]
fn an_endless_body_that_is_wanted_whole_keeps_nobody_waiting() {
    let (endless, server) = (endless(), Server::start(Script::answering("ok")));
    let client = Arc::new(client());
    let (theirs, url) = (Arc::clone(&client), endless.url("/"));
    let _meanwhile = Meanwhile::again_and_again(move || {
        // It is never whole: as much as that, and once more.
        let error = theirs.submit(whole(&url, 64 << 20)).wait().unwrap_err();
        assert_eq!(error.kind(), Kind::TooLarge);
    });
    under_way(&client);
    let slowest = fifty_small_ones(&client, &server.url("/"));
    report("fifty beside an endless body, whole", "fair", slowest);
}

#[test]
fn an_endless_body_that_is_read_on_and_on_keeps_nobody_waiting() {
    let (endless, server) = (endless(), Server::start(Script::answering("ok")));
    let client = Arc::new(client());
    let mut response = client.submit(request("GET", &endless.url("/"))).wait().unwrap();
    let _meanwhile = Meanwhile::again_and_again(move || {
        assert!(!block_on(response.read_soon(64 << 10)).unwrap().is_empty());
    });
    under_way(&client);
    let slowest = fifty_small_ones(&client, &server.url("/"));
    report("fifty beside an endless body, piece by piece", "fair", slowest);
}

#[test]
fn a_hundred_handshakes_keep_nobody_waiting() {
    let secure = Server::start_tls(Certificate::Good, Script::answering("ok"));
    let server = Server::start(Script::answering("ok"));
    let client = tls_client();
    fetch(&client, &server.url("/")).unwrap();
    let storm: Vec<_> = (0..100)
        .map(|_| {
            let mut fresh = whole(&secure.url("/"), 10);
            fresh.connection(Mode::Fresh);
            Watched::new(client.submit(fresh))
        })
        .collect();
    let (mut slowest, mut beside) = (Duration::ZERO, 0);
    while !storm.iter().all(Watched::is_told) {
        let begun = Instant::now();
        let mut response = client.submit(whole(&server.url("/"), 10)).wait().unwrap();
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
fn the_io_thread_begins_with_the_first_submission_and_ends_with_the_last_manager() {
    let name = "the_io_thread_begins_with_the_first_submission_and_ends_with_the_last_manager";
    alone(name, || {
        let server = Server::start(Script::answering("ok"));
        let there = || threads_named("hangup-io").len();
        fetch(&client(), &server.url("/")).unwrap();
        let gone = |before: &[i32]| {
            until("the end of the thread", || there() == 0);
            let new = || descriptors().into_iter().filter(|fd| !before.contains(fd)).count();
            until("the descriptors of before", || new() == 0);
        };
        let before = descriptors();
        for _ in 0..3 {
            let (one, other) = (client(), client());
            fetch(&one, &server.url("/")).unwrap();
            assert_eq!(there(), 0, "blocking calls need none");
            one.submit(whole(&server.url("/"), 10)).wait().unwrap();
            assert_eq!(there(), 1);
            let mut last = other.submit(request("GET", &server.url("/"))).wait().unwrap();
            assert_eq!(there(), 1, "all share it");
            drop(one);
            other.submit(whole(&server.url("/"), 10)).wait().unwrap();
            assert_eq!(there(), 1);
            // A response has a share of its manager.
            drop(other);
            assert_eq!(block_on(last.read_soon(10)).unwrap(), b"ok");
            assert_eq!(there(), 1);
            drop(last);
            until("the server's ends", || server.open_connections() == 0);
            gone(&before);
        }
        // What is under way is still done: its outcome is somebody's.
        let (silent, token) = (Silent::start(), CancelToken::new());
        let before = descriptors();
        let client = client();
        let late = Watched::new(client.submit(with_token(request("GET", &silent.url()), &token)));
        drop(client);
        until("its head", || silent.heads() == 1);
        assert_eq!(there(), 1);
        token.fire(Some(REASON));
        assert_cancelled(&errors(vec![late])[0], Phase::Head);
        silent.held.lock().unwrap().clear();
        gone(&before);
    });
}

#[test]
fn after_a_fork_the_child_submits_and_the_parents_go_on() {
    alone("after_a_fork_the_child_submits_and_the_parents_go_on", || {
        let half = vec![Step::head(), Step::send(TEN_OF_100), Step::wait_for("rest")];
        let rest = vec![Step::Fill { bytes: 90, byte: 'x' }, Step::eof()];
        let slow = Server::start(Script::every([half, rest].concat()));
        let answers = Server::start(Script::answering("ok"));
        let client = client();
        let all: Vec<_> =
            (0..50).map(|_| Watched::new(client.submit(whole(&slow.url("/"), 100)))).collect();
        assert!(slow.wait_heads(50, PATIENCE));
        let shared = Manager::shared();
        let other = Client::new(Arc::clone(&shared));
        other.submit(whole(&answers.url("/"), 10)).wait().unwrap();
        for round in 0..3 {
            // SAFETY: no pointers. The child uses what this test is about, and its own memory.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: no pointers. A child that hangs is ended.
                unsafe { libc::alarm(30) };
                assert!(threads_named("hangup-io").is_empty());
                // On the manager that had submissions, on the shared one, and on one of its own.
                for client in [&client, &other, &support::client()] {
                    let mine: Vec<_> =
                        (0..20).map(|_| client.submit(whole(&answers.url("/"), 10))).collect();
                    for one in mine {
                        assert_eq!(one.wait().unwrap().read_all(10).unwrap(), b"ok");
                    }
                }
                assert_eq!(threads_named("hangup-io").len(), 1);
                drop(client);
                // SAFETY: handlers of atexit(3) run, as they would in any program.
                unsafe { libc::exit(0) };
            }
            if round == 0 {
                // Meanwhile more is submitted here.
                other.submit(whole(&answers.url("/"), 10)).wait().unwrap();
            }
            let mut status = 0;
            // SAFETY: a valid pointer to where the status goes.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0);
        }
        assert!(!all.iter().any(Watched::is_told));
        assert_eq!(threads_named("hangup-io").len(), 1);
        slow.release("rest");
        until("every outcome", || all.iter().all(Watched::is_told));
        for one in all {
            assert_eq!(one.outcome().unwrap().read_all(100).unwrap().len(), 100);
        }
        assert_eq!(slow.connections(), 50);
    });
}

// The C ABI's; there is none of Rust's.
unsafe extern "C" {
    fn hangup_io_threads(count: usize, error: *mut *mut std::ffi::c_void) -> i32;
}

#[test]
fn several_io_threads_share_the_work_and_end_it_as_one() {
    alone("several_io_threads_share_the_work_and_end_it_as_one", || {
        // SAFETY: NULL for an error that nobody wants.
        assert_eq!(unsafe { hangup_io_threads(3, std::ptr::null_mut()) }, 0);
        let (silent, client) = (Silent::start(), client());
        let token = CancelToken::new();
        let submit = || client.submit(with_token(request("GET", &silent.url()), &token));
        let all: Vec<_> = (0..300).map(|_| Watched::new(submit())).collect();
        until("all of the heads", || silent.heads() == 300);
        assert_eq!(threads_named("hangup-io").len(), 3);
        token.fire(Some(REASON));
        errors(all).iter().for_each(|error| assert_cancelled(error, Phase::Head));
        until("every close", || silent.ended() == 300);
        assert_at_rest(client.manager());
        // A kept connection is read by whichever thread has the request.
        let server = Server::start(Script::answering("ok"));
        for round in 0..20 {
            let mut response = client.submit(whole(&server.url("/"), 10)).wait().unwrap();
            assert_eq!(response.reused(), round > 0);
            assert_eq!(response.read_all(10).unwrap(), b"ok");
            let mut body = client.submit(request("GET", &server.url("/"))).wait().unwrap();
            assert_eq!(block_on(body.read_soon(10)).unwrap(), b"ok");
        }
        assert_eq!(server.connections(), 1);
        drop(client);
        until("the end of the threads", || threads_named("hangup-io").is_empty());
    });
}

#[test]
fn threads_do_the_same_where_there_are_no_fibers() {
    let name = "threads_do_the_same_where_there_are_no_fibers";
    alone_with(name, &[("HANGUP_ENGINE", "threads")], || {
        let client = client();
        let (silent, server) = (Silent::start(), Server::start(Script::answering("ok")));
        let token = CancelToken::new();
        let submit = || client.submit(with_token(request("GET", &silent.url()), &token));
        let all: Vec<_> = (0..100).map(|_| Watched::new(submit())).collect();
        until("all of the heads", || silent.heads() == 100);
        // A thread each, and still they end at once.
        assert!(threads_named("hangup-io").len() >= 100);
        fifty_small_ones(&client, &server.url("/"));
        token.fire(Some(REASON));
        errors(all).iter().for_each(|error| assert_cancelled(error, Phase::Head));
        until("every close", || silent.ended() == 100);
        assert_at_rest(client.manager());
        shut_down_in_every_phase(5);
    });
}

#[test]
fn bodies_of_bytes_and_files_are_sent_side_by_side() {
    let server = Server::start(Script::answering("ok"));
    let client = client();
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("fibers-{}", std::process::id()));
    std::fs::write(&path, vec![b'f'; 300_000]).unwrap();
    let bytes = vec![b'b'; 300_000];
    let all: Vec<_> = (0..30)
        .map(|number| match number % 3 {
            0 => post(&server.url("/"), Body::bytes(&bytes)),
            1 => post(&server.url("/"), Body::file(&path).unwrap()),
            _ => post(&server.url("/"), Source::pieces(30, 10_000, |_| {}).0.chunked()),
        })
        .map(|request| client.submit(request))
        .collect();
    for one in all {
        assert_eq!(one.wait().unwrap().read_all(10).unwrap(), b"ok");
    }
    std::fs::remove_file(&path).unwrap();
    let bodies: Vec<Vec<u8>> =
        (0..server.connections()).flat_map(|connection| server.bodies(connection)).collect();
    assert_eq!(bodies.len(), 30);
    for byte in *b"bfu" {
        let like = |body: &&Vec<u8>| body.len() == 300_000 && body.iter().all(|b| *b == byte);
        assert_eq!(bodies.iter().filter(like).count(), 10, "{}", byte as char);
    }
    assert_at_rest(client.manager());
}

#[test]
fn limits_hold_for_what_is_submitted() {
    // L1, L4: first come, first served, and a queue that is full refuses at once.
    let server = Server::start(support::queue::holding(&["/held"]));
    let client = client_with(Limits { queue: 200, ..per_origin(1) });
    let held = client.submit(whole(&server.url("/held"), 10));
    assert!(server.wait_mark("/held", PATIENCE));
    let all: Vec<_> = (0..200)
        .map(|number| client.submit(whole(&server.url(&format!("/{number}")), 10)))
        .collect();
    until("the queue", || client.manager().stats().queued == 200);
    let error = client.submit(whole(&server.url("/refused"), 10)).wait().unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::QueueFull, Phase::Pool));
    support::queue::let_go(&server, "/held");
    assert_eq!(held.wait().unwrap().read_all(10).unwrap(), b"/held");
    for one in all {
        assert_eq!(one.wait().unwrap().read_all(10).unwrap(), b"ok");
    }
    let expected: Vec<String> = (0..200).map(|number| format!("/{number}")).collect();
    assert_eq!(support::queue::targets(&server)[1..], expected);
    assert_eq!((server.connections(), client.manager().stats().refused), (1, 1));
}
