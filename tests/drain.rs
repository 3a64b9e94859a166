//! The end of a manager: drained, so that what runs finishes, or shut down at once, whatever runs (X5, X6).

mod support;

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use hangup::{Client, Clock, Error, Kind, Limits, Manager, Mode, Phase, Reason, State};
use support::look::{assert_gone, sockets};
use support::source::Source;
use support::verdict::{assert_consistent, assert_in_time};
use support::{PATIENCE, fetch, get, ms, post, request, until};
use testserver::{BlackHole, Script, Server, Step};

const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nten bytes.";

fn client(limits: Limits) -> Client {
    let client = Client::new(Arc::new(Manager::new(limits)));
    client.tls_roots(testserver::certs().ca().as_bytes()).unwrap();
    client
}

#[test]
fn x5_a_drain_refuses_new_requests_lets_running_ones_finish_and_returns_when_empty() {
    let steps =
        vec![Step::head(), Step::send(HALF), Step::wait_for("rest"), Step::send("ten others")];
    let server = Server::start(Script::every([steps, vec![Step::Stall]].concat()));
    let other = Server::start(Script::answering("ok"));
    let client = client(Limits { per_origin: 2, ..Limits::default() });
    let manager = client.manager();
    fetch(&client, &other.url("/")).unwrap();
    let mut open: Vec<_> = (0..2).map(|_| get(&client, &server.url("/")).unwrap()).collect();
    thread::scope(|scope| {
        let waits = scope.spawn(|| fetch(&client, &server.url("/")));
        until("one in the queue", || manager.stats().queued == 1);
        let drained = scope.spawn(|| manager.drain(None));
        // Who waits is refused, and what is idle is closed.
        assert_eq!(waits.join().unwrap().unwrap_err().kind(), Kind::ShutDown);
        until("the idle one's end", || sockets(other.port()).is_empty());
        let error = fetch(&client, &other.url("/")).unwrap_err();
        assert_eq!((error.kind(), error.connection()), (Kind::ShutDown, None));
        assert!(manager.connections().iter().all(|row| row.closing && row.state == State::InUse));
        assert!(!drained.is_finished());
        server.release("rest");
        for mut response in open.drain(..) {
            assert!(!drained.is_finished());
            assert_eq!(response.read_all(100).unwrap(), b"ten bytes.ten others");
            let why = manager.why_closed(response.connection());
            assert_eq!(why, Some(Reason::ManagerShutDown));
        }
        drained.join().unwrap().unwrap();
    });
    assert_gone(manager, server.port());
    // Once more is at once, and it stays so.
    manager.drain(Some(ms(1))).unwrap();
    assert_eq!(fetch(&client, &other.url("/")).unwrap_err().kind(), Kind::ShutDown);
}

#[test]
fn x5_a_drain_that_takes_too_long_says_how_many_are_left() {
    let server = Server::start(Script::every(vec![Step::head(), Step::send(HALF), Step::Stall]));
    let client = client(Limits::default());
    let mut open: Vec<_> = (0..3).map(|_| get(&client, &server.url("/")).unwrap()).collect();
    let begun = Instant::now();
    let error = client.manager().drain(Some(ms(100))).unwrap_err();
    assert_in_time("drain", ms(100), begun.elapsed());
    assert_eq!((error.kind(), error.limit(), error.left()), (Kind::TimedOut, Clock::Total, 3));
    drop(open.pop());
    assert_eq!(client.manager().drain(Some(ms(10))).unwrap_err().left(), 2);
    client.manager().shutdown();
    client.manager().drain(Some(ms(1000))).unwrap();
    assert_eq!(open[0].read_all(100).unwrap_err().kind(), Kind::ShutDown);
    assert_gone(client.manager(), server.port());
    let zero = client.manager().drain(Some(ms(0))).unwrap_err();
    assert_eq!(zero.kind(), Kind::InvalidTimeout);
}

#[test]
fn x5_a_drain_waits_for_no_dial_that_nobody_wants() {
    let hole = BlackHole::new();
    let client = client(Limits::default());
    assert_eq!(client.preconnect(&hole.url("/"), 3).unwrap(), 3);
    until("three dials", || client.manager().stats().dialling == 3);
    let begun = Instant::now();
    client.manager().drain(Some(ms(5000))).unwrap();
    assert!(begun.elapsed() < ms(3000), "at once, not when the dials give up");
    assert_eq!(client.manager().stats().dialling, 0);
}

type Job<'a> = Box<dyn FnOnce() -> Result<Vec<u8>, Error> + Send + 'a>;

/// How many of the hundred are in each phase.
const EACH: usize = 15;

#[test]
fn x6_a_shutdown_while_a_hundred_requests_run_in_every_phase_ends_each_of_them_once() {
    let hole = BlackHole::new();
    let fillers = sockets(hole.port()).len();
    let silent = Server::start(Script::every(vec![Step::Stall]));
    let deaf = Server::start(Script::every(vec![Step::head(), Step::mark("upload"), Step::Stall]));
    let thinking =
        Server::start(Script::every(vec![Step::head(), Step::mark("head"), Step::Stall]));
    let half = Server::start(Script::every(vec![
        Step::head(),
        Step::send(HALF),
        Step::mark("body"),
        Step::Stall,
    ]));
    let client = client(Limits { per_origin: EACH, ..Limits::default() });
    let manager = client.manager();
    let in_body = |url: &str| get(&client, url)?.read_all(100);
    let tls = format!("https://localhost:{}/", silent.port());
    let (sources, accounts): (Vec<_>, Vec<_>) = (0..EACH).map(|_| Source::endless()).unzip();
    thread::scope(|scope| {
        let mut jobs: Vec<(Phase, Job<'_>)> = Vec::new();
        let (client, tls) = (&client, &tls);
        for source in sources {
            jobs.push((Phase::Connect, Box::new(|| fetch(client, &hole.url("/")))));
            jobs.push((Phase::Tls, Box::new(|| fetch(client, tls))));
            jobs.push((Phase::Head, Box::new(|| fetch(client, &thinking.url("/")))));
            jobs.push((Phase::Read, Box::new(|| in_body(&half.url("/")))));
            let mut upload = post(&deaf.url("/"), source.chunked());
            jobs.push((Phase::Write, Box::new(move || client.send(&mut upload)?.read_all(100))));
        }
        let start = |(phase, job)| (phase, scope.spawn::<Job<'_>, _>(job));
        let mut all: Vec<_> = jobs.into_iter().map(start).collect();
        assert!(
            thinking.wait_marks("head", EACH, PATIENCE) && half.wait_marks("body", EACH, PATIENCE)
        );
        assert!(deaf.wait_marks("upload", EACH, PATIENCE));
        until("the dials", || manager.stats().dialling as usize == 2 * EACH);
        for _ in 0..(100 - 5 * EACH) {
            let work = || fetch(client, &thinking.url("/"));
            all.push((Phase::Pool, scope.spawn(Box::new(work) as Job<'_>)));
        }
        until("the queue", || manager.stats().queued as usize == 100 - 5 * EACH);
        let begun = Instant::now();
        thread::scope(|scope| {
            (0..3).for_each(|_| drop(scope.spawn(|| manager.shutdown())));
        });
        for (phase, one) in all {
            let error = one.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), Kind::ShutDown, "{error:?}");
            // An upload may be at work between two waits, and a dial in its next step.
            assert!(error.phase() == phase || phase == Phase::Write, "{phase}: {error:?}");
            assert_consistent(&error);
        }
        println!("a hundred ended in {:?}", begun.elapsed());
    });
    accounts.iter().for_each(|account| account.assert_dropped_once());
    manager.drain(Some(PATIENCE)).unwrap();
    for server in [&silent, &deaf, &thinking, &half] {
        assert_gone(manager, server.port());
    }
    assert_eq!(sockets(hole.port()).len(), fillers);
    let mut late = request("GET", &half.url("/"));
    late.connection(Mode::Fresh);
    assert_eq!(client.send(&mut late).unwrap_err().kind(), Kind::ShutDown);
}
