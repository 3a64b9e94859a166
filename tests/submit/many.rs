//! Thousands of concurrent submissions on one thread: they end together, each once and in time. Their fairness is in
//! `fairness.rs`, the start and end of their thread in `io_thread.rs`, random ends of every kind in `chaos.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use hangup::{Body, CancelToken, Client, Kind, Limits, Phase, Submission, Timeout};
use testserver::{
    BlackHole, Certificate, Conduct, Proxy, ProxyOptions, ProxyStep, Script, Server, Step,
};

use super::fairness::fifty_small_ones;
use crate::support::counted_reader::CountedReader;
use crate::support::form::block_on;
use crate::support::held_responses::{holding, release_response, targets};
use crate::support::inspect::{
    assert_at_rest, count_sockets, io_sleeps, sockets, threads, threads_named, wait_at_rest,
};
use crate::support::outcome::{REASON, assert_cancelled, assert_consistent, report};
use crate::support::own_process::{in_own_process, in_own_process_with};
use crate::support::submissions::{
    PolledSubmission, SilentServer, TEN_OF_100, buffered_get, errors, with_token, without_timeouts,
};
use crate::support::{
    MARGIN, PATIENCE, Random, client, client_with, ms, per_origin, post, request, tls_client,
    trusting, wait_until,
};

/// Cancels `count` requests that wait for a head at once: by a token for each, and by one token for all.
fn cancel_at_once(count: usize) {
    let client = client();
    let server = Server::start(Script::answering("ok"));
    // The first submission starts the I/O thread.
    client.submit(buffered_get(&server.url("/"), 10)).wait().unwrap();
    for one_for_all in [false, true] {
        let silent = SilentServer::start();
        let before = threads();
        let parent = CancelToken::new();
        let tokens: Vec<CancelToken> = (0..count).map(|_| parent.child()).collect();
        let submit = |token| {
            let request = without_timeouts(request("GET", &silent.url()));
            PolledSubmission::new(client.submit(with_token(request, token)))
        };
        let all: Vec<PolledSubmission> = tokens.iter().map(submit).collect();
        wait_until("all of the heads", || silent.heads() == count);
        let stats = client.manager().stats();
        assert_eq!((stats.in_use, stats.dialling), (count as u64, 0));
        // Dials may have used workers; requests in progress use none.
        assert!(threads() <= before, "{} threads for {count} requests", threads());
        assert_eq!(threads_named("hangup-io").len(), 1);
        assert!(!all.iter().any(PolledSubmission::is_done));
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
        let connections: BTreeSet<_> =
            errors.iter().map(|error| error.connection_id().unwrap()).collect();
        assert_eq!(connections.len(), count);
        // No socket is left, and the server has seen every close.
        assert_at_rest(client.manager());
        assert_eq!(sockets(silent.port), []);
        wait_until("every close", || silent.ended() == count);
        // The manager serves requests as before.
        let mut next = client.submit(buffered_get(&server.url("/"), 10)).wait().unwrap();
        assert!(next.reused());
        assert_eq!(next.read_all(10).unwrap(), b"ok");
    }
    let stats = client.manager().stats();
    assert_eq!((stats.queued, stats.in_use, stats.idle), (0, 0, 1));
    assert_eq!(stats.opened - stats.closed, 1);
}

#[test]
fn a_thousand_are_cancelled_at_once_and_each_ends_once() {
    in_own_process("many::a_thousand_are_cancelled_at_once_and_each_ends_once", || {
        cancel_at_once(1000)
    });
}

/// Shuts a manager down from another thread while `count` submissions are in each of eight phases.
fn shut_down_in_every_phase(each: usize) {
    let open = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let hole = BlackHole::new();
    let fillers = count_sockets(hole.port());
    let [silent, upload, head] = [(); 3].map(|()| SilentServer::start());
    let half = vec![Step::head(), Step::send(TEN_OF_100), Step::Stall];
    let body = Server::start(Script::every(half));
    let conduct = Conduct::Silent(ProxyStep::Request);
    let proxy = Proxy::start_with(ProxyOptions { conduct, ..ProxyOptions::default() }).unwrap();
    let client = trusting(client_with(per_origin(each)));
    let proxied = trusting(Client::new(Arc::clone(client.manager())));
    proxied.set_proxy(Some(&proxy.url())).unwrap();
    proxied.set_no_proxy("").unwrap();
    let (is_open, asks) = (Arc::clone(&open), Arc::clone(&asked));
    client.manager().set_resolver(Some(Arc::new(move |_| {
        asks.fetch_add(1, Ordering::SeqCst);
        wait_until("the end of the test", || is_open.load(Ordering::SeqCst));
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
        // One more than the limit of the origin.
        (Phase::Pool, head.url()),
    ];
    let mut accounts = Vec::new();
    let mut all = Vec::new();
    for (phase, url) in &urls {
        if *phase == Phase::Pool {
            wait_until("what is before them", || head.heads() == each);
        }
        for _ in 0..each {
            let request = match phase {
                Phase::Write => {
                    let (source, account) = CountedReader::endless();
                    accounts.push(account);
                    post(url, source.chunked())
                }
                _ => buffered_get(url, 100),
            };
            let client = if *phase == Phase::Proxy { &proxied } else { &client };
            all.push((*phase, PolledSubmission::new(client.submit(without_timeouts(request)))));
        }
    }
    let manager = client.manager();
    let count = each as u64;
    wait_until("all of them in their phases", || {
        let stats = manager.stats();
        (stats.dialling, stats.in_use, stats.queued) == (4 * count, 3 * count, count)
    });
    wait_until("a lookup", || asked.load(Ordering::SeqCst) > 0);
    wait_until("SYNs", || sockets(hole.port()).len() >= fillers + each);
    assert!(proxy.wait_heads(each, PATIENCE));
    wait_until("bodies", || {
        let began = |row: &&hangup::ConnectionInfo| row.bytes_in as usize == TEN_OF_100.len();
        manager.connections().iter().filter(began).count() == each
    });
    // The server has stopped reading, so the upload is blocked.
    let mut sent = Vec::new();
    wait_until("full sockets", || {
        thread::sleep(ms(50));
        let now: Vec<u64> = manager.connections().iter().map(|row| row.bytes_out).collect();
        std::mem::replace(&mut sent, now) == sent
    });
    wait_until("a thread with nothing to do", io_sleeps);
    assert!(!all.iter().any(|(_, one)| one.is_done()));
    let begun = Instant::now();
    thread::scope(|scope| scope.spawn(|| manager.shutdown()).join().unwrap());
    let (phases, all): (Vec<Phase>, Vec<PolledSubmission>) = all.into_iter().unzip();
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
        wait_until("the last socket's end", || sockets(port).is_empty());
    }
    wait_until("the SYNs' end", || sockets(hole.port()).len() <= fillers);
    wait_at_rest(manager);
    assert_eq!((manager.stats().queued, manager.stats().idle), (0, 0));
    for server in [&silent, &upload, &head] {
        wait_until("every close", || server.ended() == each);
    }
    open.store(true, Ordering::SeqCst);
}

#[test]
fn a_thousand_in_every_phase_end_once_when_it_is_shut_down() {
    in_own_process("many::a_thousand_in_every_phase_end_once_when_it_is_shut_down", || {
        shut_down_in_every_phase(125);
    });
}

#[test]
fn without_fibers_threads_do_the_same() {
    let name = "many::without_fibers_threads_do_the_same";
    in_own_process_with(name, &[("HANGUP_ENGINE", "threads")], || {
        let client = client();
        let (silent, server) = (SilentServer::start(), Server::start(Script::answering("ok")));
        let token = CancelToken::new();
        let submit = || client.submit(with_token(request("GET", &silent.url()), &token));
        let all: Vec<_> = (0..100).map(|_| PolledSubmission::new(submit())).collect();
        wait_until("all of the heads", || silent.heads() == 100);
        // Each submission has a thread, and all end at once.
        assert!(threads_named("hangup-io").len() >= 100);
        fifty_small_ones(&client, &server.url("/"));
        token.fire(Some(REASON));
        errors(all).iter().for_each(|error| assert_cancelled(error, Phase::Head));
        wait_until("every close", || silent.ended() == 100);
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
            _ => post(&server.url("/"), CountedReader::pieces(30, 10_000, |_| {}).0.chunked()),
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
fn limits_hold_for_submitted_requests() {
    // L1, L4: requests are served in the order of their arrival, and a full queue refuses at once.
    let server = Server::start(holding(&["/held"]));
    let client = client_with(Limits { queue: 200, ..per_origin(1) });
    let held = client.submit(buffered_get(&server.url("/held"), 10));
    assert!(server.wait_mark("/held", PATIENCE));
    let all: Vec<_> = (0..200)
        .map(|number| client.submit(buffered_get(&server.url(&format!("/{number}")), 10)))
        .collect();
    wait_until("the queue", || client.manager().stats().queued == 200);
    let error = client.submit(buffered_get(&server.url("/refused"), 10)).wait().unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::QueueFull, Phase::Pool));
    release_response(&server, "/held");
    assert_eq!(held.wait().unwrap().read_all(10).unwrap(), b"/held");
    for one in all {
        assert_eq!(one.wait().unwrap().read_all(10).unwrap(), b"ok");
    }
    let expected: Vec<String> = (0..200).map(|number| format!("/{number}")).collect();
    assert_eq!(targets(&server)[1..], expected);
    assert_eq!((server.connections(), client.manager().stats().refused), (1, 1));
}

#[test]
fn a_thousand_timeouts_expire_each_at_its_time() {
    let silent = SilentServer::start();
    let client = client();
    let all: Vec<_> = (0..1000)
        .map(|number| {
            // In random order, several at once, and after all requests were sent, because sending keeps the thread busy.
            let limit = ms(2500 + number * 7919 % 997);
            let mut request = request("GET", &silent.url());
            request.set_timeout(Timeout::Total, Some(limit)).unwrap();
            let set = Instant::now();
            (limit, set, PolledSubmission::new(client.submit(request)))
        })
        .collect();
    wait_until("all of the heads", || silent.heads() == 1000);
    wait_until("every outcome", || all.iter().all(|(.., one)| one.is_done()));
    let mut latest = Duration::ZERO;
    for (limit, set, one) in all {
        let took = one.wakes.at().expect("no outcome at the first poll") - set;
        assert!(took >= limit, "{took:?} instead of {limit:?}");
        latest = latest.max(took - limit);
        let error = one.outcome().unwrap_err();
        assert_eq!((error.kind(), error.timeout()), (Kind::TimedOut, Timeout::Total), "{error:?}");
        assert_consistent(&error);
    }
    report("the latest of a thousand", "clock", latest);
    assert!(latest < MARGIN, "{latest:?}");
    wait_until("every close", || silent.ended() == 1000);
    assert_at_rest(client.manager());
}

#[test]
fn a_kept_connection_serves_both_forms_in_turn() {
    let (plain, secure) = (
        Server::start(Script::answering("0123456789")),
        Server::start_tls(Certificate::Good, Script::answering("0123456789")),
    );
    let client = tls_client();
    for server in [&plain, &secure] {
        let mut random = Random::new(5);
        for round in 0..200 {
            let request = || request("GET", &server.url("/"));
            let mut response = match random.below(2) {
                0 => client.send(&mut request()).unwrap(),
                _ => client.submit(request()).wait().unwrap(),
            };
            assert_eq!(response.reused(), round > 0);
            // The same within one body.
            let mut body = Vec::new();
            while body.len() < 10 {
                let mut piece = [0; 3];
                match random.below(2) {
                    0 => {
                        let got = response.read(&mut piece).unwrap();
                        body.extend(&piece[..got]);
                    }
                    _ => body.extend(block_on(response.read_async(3)).unwrap()),
                }
            }
            assert_eq!(body, b"0123456789");
        }
        assert_eq!(server.connections(), 1);
    }
    assert_at_rest(client.manager());
}

#[test]
fn a_waker_may_submit_at_once() {
    /// Submits the next request when it is woken, until the count is reached.
    struct Chain {
        client: Client,
        url: String,
        left: AtomicUsize,
        current: Mutex<Option<Submission>>,
    }

    impl Chain {
        fn go_on(self: &Arc<Self>) {
            let mut current = self.current.lock().unwrap();
            loop {
                let Some(one) = &mut *current else { return };
                let waker = Waker::from(Arc::clone(self));
                match Pin::new(one).poll(&mut Context::from_waker(&waker)) {
                    Poll::Pending => return,
                    Poll::Ready(outcome) => {
                        assert_eq!(outcome.unwrap().read_all(10).unwrap(), b"ok");
                        let left = self.left.fetch_sub(1, Ordering::SeqCst) - 1;
                        let next = || self.client.submit(buffered_get(&self.url, 10));
                        *current = (left > 0).then(next);
                    }
                }
            }
        }
    }

    impl Wake for Chain {
        fn wake(self: Arc<Self>) {
            self.go_on();
        }
    }

    let server = Server::start(Script::answering("ok"));
    let client = client();
    let first = client.submit(buffered_get(&server.url("/"), 10));
    let chain = Arc::new(Chain {
        client,
        url: server.url("/"),
        left: AtomicUsize::new(500),
        current: Mutex::new(Some(first)),
    });
    chain.go_on();
    wait_until("the end of the chain", || chain.left.load(Ordering::SeqCst) == 0);
    assert_eq!(server.connections(), 1);
}
