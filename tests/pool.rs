//! The pool as users see it: limits and who waits for them, what is idle and for how long, late binding, and what can
//! be heard of it (R12-R14, L1-L9, C2).

mod support;

#[path = "support/idle.rs"]
mod idle;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use hangup::{
    CancelToken, Client, Clock, Error, Happened, How, Kind, Limits, Manager, Mode, Phase, Reason,
    Request,
};
use support::look::{assert_at_rest, assert_gone, assert_sockets};
use support::verdict::{REASON, assert_cancelled, assert_timed_out, cancelled};
use support::{Dice, MARGIN, PATIENCE, client, fetch, get, ms, request, tls_client, until};
use testserver::{BlackHole, Certificate, Script, Server, Step};

/// A client of a manager with these limits.
fn limited(limits: Limits) -> Client {
    Client::new(Arc::new(Manager::new(limits)))
}

fn per_origin(per_origin: usize) -> Limits {
    Limits { per_origin, ..Limits::default() }
}

/// Answers the first request of each connection on "go", and all others at once.
fn held() -> Script {
    Script::every(vec![
        Step::head(),
        Step::mark("head"),
        Step::wait_for("go"),
        Step::send(OK),
        Step::forever(vec![Step::answer(200, "ok")]),
    ])
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

type Work<'a> = ScopedJoinHandle<'a, Result<Vec<u8>, Error>>;

fn send(client: &Client, mut request: Request) -> Result<Vec<u8>, Error> {
    client.send(&mut request)?.read_all(1000)
}

/// Sends requests for `/0`, `/1` and so on, each once the one before it waits in the queue. The first has the
/// connection.
fn one_by_one<'a>(
    scope: &'a thread::Scope<'a, '_>,
    client: &'a Client,
    server: &Server,
    count: u64,
    prepare: impl Fn(u64, &mut Request),
) -> Vec<Work<'a>> {
    let mut all = Vec::new();
    for number in 0..count {
        let mut request = request("GET", &server.url(&format!("/{number}")));
        prepare(number, &mut request);
        all.push(scope.spawn(move || send(client, request)));
        match number {
            0 => assert!(server.wait_mark("head", PATIENCE)),
            _ => until("one more in the queue", || client.manager().stats().queued == number),
        }
    }
    all
}

/// The paths that a connection was asked for, in order.
fn paths(server: &Server, connection: usize) -> Vec<String> {
    let path = |head: &String| head.split(' ').nth(1).unwrap_or_default().to_owned();
    server.heads(connection).iter().map(path).collect()
}

fn dialling(client: &Client) -> bool {
    client.manager().stats().dialling == 1
}

#[test]
fn l1_ten_requests_through_one_connection_are_served_in_their_order() {
    let server = Server::start(held());
    let client = limited(per_origin(1));
    thread::scope(|scope| {
        let all = one_by_one(scope, &client, &server, 10, |_, _| {});
        server.release("go");
        all.into_iter().for_each(|one| assert_eq!(one.join().unwrap().unwrap(), b"ok"));
    });
    assert_eq!(server.connections(), 1);
    assert_eq!(paths(&server, 0), (0..10).map(|n| format!("/{n}")).collect::<Vec<_>>());
    let stats = client.manager().stats();
    assert_eq!((stats.opened, stats.waited, stats.reused, stats.queued), (1, 9, 9, 0));
    assert_at_rest(client.manager());
}

#[test]
fn l1_the_total_limit_is_first_come_first_served_over_all_origins() {
    let (one, other) = (Server::start(held()), Server::start(Script::answering("ok")));
    let client = limited(Limits { total: 1, ..Limits::default() });
    thread::scope(|scope| {
        let first = scope.spawn(|| fetch(&client, &one.url("/first")));
        assert!(one.wait_mark("head", PATIENCE));
        let elsewhere = scope.spawn(|| fetch(&client, &other.url("/")));
        until("one in the queue", || client.manager().stats().queued == 1);
        let last = scope.spawn(|| fetch(&client, &one.url("/last")));
        until("two in the queue", || client.manager().stats().queued == 2);
        one.release("go");
        for work in [first, elsewhere, last] {
            assert_eq!(work.join().unwrap().unwrap(), b"ok");
        }
    });
    // The last one did not get the connection that was there, because another came before it.
    assert_eq!((one.connections(), other.connections()), (2, 1));
    assert_eq!(client.manager().stats().idle, 1);
}

#[test]
fn l2_a_dial_counts_and_one_that_fails_hands_its_slot_to_the_next() {
    let hole = BlackHole::new();
    let client = limited(per_origin(1));
    let server = thread::scope(|scope| {
        let mut first = request("GET", &hole.url("/first"));
        first.timeout(Clock::Connect, Some(ms(300))).unwrap();
        let first = scope.spawn(|| send(&client, first));
        until("a dial", || dialling(&client));
        let (client, url) = (&client, hole.url("/second"));
        let second = scope.spawn(move || fetch(client, &url));
        until("one in the queue", || client.manager().stats().queued == 1);
        assert_eq!(client.manager().stats().opened, 1);
        assert_timed_out(&first.join().unwrap().unwrap_err(), Clock::Connect, Phase::Connect);
        until("the second dials", || client.manager().stats().opened == 2);
        let server = hole.open(Script::answering("ok")).unwrap();
        assert_eq!(second.join().unwrap().unwrap(), b"ok");
        server
    });
    let stats = client.manager().stats();
    assert_eq!((stats.opened, stats.dials_failed, stats.idle, stats.queued), (2, 1, 1, 0));
    assert_eq!(server.connections(), 1);
}

#[test]
fn c2_l3_who_leaves_the_queue_is_gone_at_once_and_the_order_of_the_others_stands() {
    let server = Server::start(held());
    let client = limited(per_origin(1));
    let tokens: Vec<CancelToken> = (0..10).map(|_| CancelToken::new()).collect();
    thread::scope(|scope| {
        let mut all = one_by_one(scope, &client, &server, 10, |number, request| {
            request.cancel_with(Some(tokens[number as usize].clone()));
            if number == 5 {
                request.timeout(Clock::Pool, Some(ms(2000))).unwrap();
            }
        });
        let mut queued = 9;
        let mut gone = |one: Work<'_>| {
            let error = one.join().unwrap().unwrap_err();
            queued -= 1;
            assert_eq!(client.manager().stats().queued, queued);
            assert_eq!(error.connection(), None);
            error
        };
        // From the end, so that the numbers stay.
        for number in [9, 7, 3] {
            let fired = Instant::now();
            tokens[number].fire(Some(REASON));
            let one = all.remove(number);
            until("its end", || one.is_finished());
            assert!(fired.elapsed() < MARGIN);
            assert_cancelled(&gone(one), Phase::Pool);
        }
        // By then two before it are gone.
        assert_timed_out(&gone(all.remove(4)), Clock::Pool, Phase::Pool);
        server.release("go");
        all.into_iter().for_each(|one| assert_eq!(one.join().unwrap().unwrap(), b"ok"));
    });
    assert_eq!(paths(&server, 0), ["/0", "/1", "/2", "/4", "/6", "/8"]);
    assert_eq!(server.connections(), 1);
    assert_at_rest(client.manager());
}

#[test]
fn l3_after_a_thousand_random_cancels_and_timeouts_every_counter_is_back() {
    let server = Server::start(Script::answering("ok"));
    let client = limited(per_origin(3));
    let well = thread::scope(|scope| {
        let worker = |seed| {
            let (client, server) = (&client, &server);
            move || {
                let mut dice = Dice::new(seed);
                let go = |_: &u32| {
                    let token = CancelToken::new();
                    let mut request = request("GET", &server.url("/"));
                    request.cancel_with(Some(token.clone()));
                    let short = Duration::from_micros(1 + dice.roll(3000));
                    match dice.roll(4) {
                        0 => request.timeout(Clock::Pool, Some(short)).unwrap(),
                        1 => request.timeout(Clock::Total, Some(short)).unwrap(),
                        2 => token.after(short),
                        _ => {}
                    }
                    match dice.roll(4) {
                        0 => request.connection(Mode::CloseAfter),
                        1 => request.connection(Mode::Fresh),
                        _ => {}
                    }
                    let cancel = dice.roll(3) == 0;
                    thread::scope(|scope| {
                        scope.spawn(move || {
                            thread::sleep(short);
                            if cancel {
                                token.fire(None);
                            }
                        });
                        match send(client, request) {
                            Ok(body) => assert_eq!(body, b"ok"),
                            Err(error) => {
                                let kinds = [Kind::Cancelled, Kind::TimedOut];
                                assert!(kinds.contains(&error.kind()), "{error:?}");
                                return false;
                            }
                        }
                        true
                    })
                };
                (0..80).filter(go).count()
            }
        };
        let all: Vec<_> = (0..16).map(|seed| scope.spawn(worker(seed))).collect();
        all.into_iter().map(|one| one.join().unwrap()).sum::<usize>()
    });
    println!("{well} of 1280 went well; {:?}", client.manager().stats());
    assert!(well > 0 && well < 1280);
    // Dials whose exchange was ended go on for a moment.
    until("rest", || client.manager().stats().dialling == 0);
    assert_eq!(client.manager().stats().queued, 0);
    assert_at_rest(client.manager());
    assert_sockets(server.port(), client.manager().stats().idle as usize);
    client.manager().close_all(How::Now);
    assert_gone(client.manager(), server.port());
    // And nothing is held up.
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
}

#[test]
fn l4_a_full_queue_refuses_at_once_with_its_own_status() {
    let server = Server::start(held());
    let client = limited(Limits { queue: 2, ..per_origin(1) });
    thread::scope(|scope| {
        let all = one_by_one(scope, &client, &server, 3, |_, _| {});
        let error = fetch(&client, &server.url("/")).unwrap_err();
        assert_eq!((error.kind(), error.phase()), (Kind::QueueFull, Phase::Pool), "{error:?}");
        assert!(error.retry_safe() && error.message().contains('2'), "{error}");
        assert_eq!(client.manager().stats().refused, 1);
        server.release("go");
        all.into_iter().for_each(|one| drop(one.join().unwrap().unwrap()));
    });
    assert_at_rest(client.manager());
}

#[test]
fn l5_a_black_holed_dial_that_was_cancelled_frees_its_slot() {
    let hole = BlackHole::new();
    let client = limited(per_origin(1));
    let (first, second) = (CancelToken::new(), CancelToken::new());
    let with = |token: &CancelToken| {
        let mut request = request("GET", &hole.url("/"));
        request.cancel_with(Some(token.clone()));
        request
    };
    thread::scope(|scope| {
        let (mut one, other) = (with(&first), with(&second));
        let ready = || until("a dial", || dialling(&client));
        cancelled("a dial", &first, Phase::Connect, || client.send(&mut one), |_| ready());
        let other = scope.spawn(|| send(&client, other));
        // Its slot is taken for a moment longer, and then it is the other's.
        until("the other dials", || client.manager().stats().opened == 2);
        assert_eq!(client.manager().stats().queued, 0);
        second.fire(None);
        assert_eq!(other.join().unwrap().unwrap_err().phase(), Phase::Connect);
    });
    until("the end of all dials", || client.manager().stats().dialling == 0);
    assert_at_rest(client.manager());
}

#[test]
fn r14_a_dial_that_was_cancelled_ends_idle_and_the_next_request_uses_it() {
    let hole = BlackHole::new();
    let client = client();
    let url = hole.url("/");
    let token = CancelToken::new();
    let mut one = request("GET", &url);
    one.cancel_with(Some(token.clone()));
    let ready = || until("a dial", || dialling(&client));
    cancelled("a dial", &token, Phase::Connect, || client.send(&mut one), |_| ready());
    assert!(dialling(&client), "it goes on for a moment");
    let server = hole.open(Script::answering("ok")).unwrap();
    until("the late connection", || client.manager().stats().idle == 1);
    let mut next = get(&client, &url).unwrap();
    assert!(next.reused());
    assert_eq!(next.read_all(10).unwrap(), b"ok");
    assert_eq!((server.connections(), client.manager().stats().opened), (1, 1));
}

#[test]
fn r14_the_dial_of_a_short_connection_does_not_go_on() {
    let hole = BlackHole::new();
    let client = client();
    let token = CancelToken::new();
    let mut one = request("GET", &hole.url("/"));
    one.cancel_with(Some(token.clone()));
    one.connection(Mode::CloseAfter);
    let ready = || until("a dial", || dialling(&client));
    cancelled("a dial", &token, Phase::Connect, || client.send(&mut one), |_| ready());
    assert_at_rest(client.manager());
}

#[test]
fn l9_a_connection_that_becomes_free_is_taken_by_who_dials_and_the_late_dial_ends_idle() {
    let first = vec![
        Step::Tls(Certificate::Good),
        Step::head(),
        Step::mark("head"),
        Step::wait_for("go"),
        Step::send(OK),
        Step::forever(vec![Step::answer(200, "ok")]),
    ];
    let late = vec![
        Step::wait_for("late"),
        Step::Tls(Certificate::Good),
        Step::forever(vec![Step::answer(200, "ok")]),
    ];
    let server = Server::start(Script::new(vec![first, late]));
    let client = tls_client();
    thread::scope(|scope| {
        let one = scope.spawn(|| fetch(&client, &server.url("/one")));
        assert!(server.wait_mark("head", PATIENCE));
        let two = scope.spawn(|| {
            let mut response = get(&client, &server.url("/two"))?;
            assert!(response.reused());
            response.read_all(10)
        });
        assert!(server.wait_connections(2, PATIENCE));
        until("a dial", || dialling(&client));
        server.release("go");
        assert_eq!(one.join().unwrap().unwrap(), b"ok");
        assert_eq!(two.join().unwrap().unwrap(), b"ok", "with its dial still in the handshake");
    });
    assert_eq!(paths(&server, 0), ["/one", "/two"]);
    assert!(dialling(&client));
    server.release("late");
    until("the late dial", || client.manager().stats().idle == 2);
    assert_at_rest(client.manager());
}

#[test]
fn preconnected_connections_are_idle_before_anybody_asks_and_within_the_limits() {
    let server = Server::start(Script::answering("ok"));
    let client = limited(per_origin(3));
    assert_eq!(client.preconnect(&server.url("/"), 2).unwrap(), 2);
    until("two idle connections", || client.manager().stats().idle == 2);
    assert_eq!(client.preconnect(&server.url("/"), 2).unwrap(), 0);
    assert_eq!(client.preconnect(&server.url("/"), 9).unwrap(), 1);
    until("three idle connections", || client.manager().stats().idle == 3);
    assert!(get(&client, &server.url("/")).unwrap().reused());
}

#[test]
fn r13_another_identity_towards_the_peer_is_another_connection() {
    let server = Server::start_tls(Certificate::Good, Script::answering("ok"));
    let manager = Arc::new(Manager::new(Limits::default()));
    let new = || {
        let client = Client::new(Arc::clone(&manager));
        client.tls_roots(testserver::certs().ca().as_bytes()).unwrap();
        client
    };
    let (one, same, trusting) = (new(), new(), new());
    trusting.tls_dangerously_trust_anybody(true).unwrap();
    let first = get(&one, &server.url("/")).unwrap().read_all(10);
    assert_eq!(first.unwrap(), b"ok");
    assert!(get(&same, &server.url("/")).unwrap().reused(), "equal settings, equal connections");
    assert!(!get(&trusting, &server.url("/")).unwrap().reused());
}

/// What a listener heard, without phases.
fn heard(events: &mut hangup::Events) -> Vec<(Happened, u64)> {
    let mut all = Vec::new();
    while let Some(it) = events.next(Some(Duration::ZERO)).unwrap() {
        if !matches!(it.what, Happened::Phase(..)) {
            all.push((it.what, it.connection));
        }
    }
    all
}

#[test]
fn events_are_heard_in_their_order_and_only_from_when_somebody_listens() {
    let server = Server::start(Script::answering("ok"));
    let client = limited(per_origin(1));
    let manager = client.manager();
    // Nobody listens.
    fetch(&client, &server.url("/")).unwrap();
    let old = manager.connections()[0].id;
    let mut events = manager.events(100).unwrap();
    assert_eq!(heard(&mut events), []);
    fetch(&client, &server.url("/")).unwrap();
    manager.close_connection(old, How::Now).unwrap();
    let response = get(&client, &server.url("/")).unwrap();
    let new = response.connection();
    let mut waits = request("GET", &server.url("/"));
    waits.timeout(Clock::Pool, Some(ms(20))).unwrap();
    let held = Server::start(held());
    drop(response);
    thread::scope(|scope| {
        let one = scope.spawn(|| fetch(&client, &held.url("/")));
        assert!(held.wait_mark("head", PATIENCE));
        let mut waits = request("GET", &held.url("/"));
        waits.timeout(Clock::Pool, Some(ms(20))).unwrap();
        assert_eq!(send(&client, waits).unwrap_err().phase(), Phase::Pool);
        held.release("go");
        one.join().unwrap().unwrap();
    });
    let last = manager.connections().iter().map(|row| row.id).max().unwrap();
    let expected = [
        (Happened::Leased, old),
        (Happened::Returned, old),
        (Happened::Closed(Reason::ClosedById), old),
        (Happened::Opened, new),
        (Happened::Leased, new),
    ];
    let all = heard(&mut events);
    assert_eq!(all[..5], expected);
    let rest = [
        (Happened::Opened, last),
        (Happened::Leased, last),
        (Happened::Queued, 0),
        (Happened::Returned, last),
    ];
    assert_eq!(all[all.len() - 4..], rest, "{all:?}");
    assert_eq!(events.lost(), 0);
}

#[test]
fn a_slow_listener_loses_the_oldest_and_knows_how_many() {
    let server = Server::start(Script::answering("ok"));
    let client = client();
    let mut slow = client.manager().events(3).unwrap();
    for _ in 0..10 {
        fetch(&client, &server.url("/")).unwrap();
    }
    let first = slow.next(Some(ms(1000))).unwrap().unwrap();
    assert_eq!(slow.lost(), first.number - 1);
    assert!(slow.lost() > 0);
    let mut numbers = vec![first.number];
    while let Some(it) = slow.next(Some(Duration::ZERO)).unwrap() {
        numbers.push(it.number);
    }
    assert_eq!(numbers, [first.number, first.number + 1, first.number + 2]);
    // Who comes now hears what comes now.
    let mut late = client.manager().events(1).unwrap();
    assert!(late.next(Some(Duration::ZERO)).unwrap().is_none());
    client.manager().close_all(How::Now);
    let it = late.next(Some(ms(1000))).unwrap().unwrap();
    assert_eq!(it.what, Happened::Closed(Reason::ClosedByAll));
}

#[test]
fn the_counters_agree_with_each_other_at_any_time_and_with_the_list() {
    let server = Server::start(Script::answering("ok"));
    let client = limited(Limits { total: 6, ..per_origin(4) });
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..6 {
            let (client, server, done) = (&client, &server, &done);
            scope.spawn(move || {
                let mut dice = Dice::new(seed);
                for _ in 0..300 {
                    let mut request = request("GET", &server.url("/"));
                    match dice.roll(6) {
                        0 => request.connection(Mode::CloseAfter),
                        1 => request.connection(Mode::Fresh),
                        2 => drop(client.manager().close_idle(Duration::ZERO)),
                        _ => {}
                    }
                    assert_eq!(send(client, request).unwrap(), b"ok");
                }
                done.store(true, Ordering::SeqCst);
            });
        }
        let mut before = client.manager().stats();
        while !done.load(Ordering::SeqCst) {
            let now = client.manager().stats();
            let open = now.dialling + now.in_use + now.idle;
            assert_eq!(now.opened, now.closed + open, "{now:?}");
            assert!(open <= 4, "{now:?}");
            assert!(now.opened >= before.opened && now.closed >= before.closed);
            assert!(client.manager().connections().len() <= 4);
            before = now;
        }
    });
    assert_at_rest(client.manager());
}
