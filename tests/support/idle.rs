//! What is idle: how much of it, for how long, and what the sweep finds (R12, L6-L8). Part of `pool.rs`.

use std::thread;
use std::time::{Duration, Instant};

use hangup::{Body, Client, Limits, Reason};
use testserver::{Script, Server, Step};

use super::support::look::{assert_at_rest, assert_sockets, sockets};
use super::support::{PATIENCE, client, fetch, get, ms, post, until};
use super::{limited, per_origin};

/// So many connections to that server, idle in the order of their ids.
fn idle(client: &Client, server: &Server, count: usize) -> Vec<u64> {
    let all: Vec<_> = (0..count).map(|_| get(client, &server.url("/")).unwrap()).collect();
    let ids = all.iter().map(hangup::Response::connection).collect();
    for mut response in all {
        assert_eq!(response.read_all(10).unwrap(), b"ok");
    }
    ids
}

fn ids(client: &Client) -> Vec<u64> {
    client.manager().connections().iter().map(|row| row.id).collect()
}

#[test]
fn l6_the_least_recently_used_idle_connection_goes_first() {
    let (one, other) =
        (Server::start(Script::answering("ok")), Server::start(Script::answering("ok")));
    let client = limited(Limits { idle_per_origin: 2, idle_total: 3, ..Limits::default() });
    let first = idle(&client, &one, 3);
    assert_eq!(ids(&client), first[1..]);
    assert_eq!(client.manager().why_closed(first[0]), Some(Reason::PoolFull));
    // The most recently used one is used again, so that the other stays the oldest.
    assert_eq!(idle(&client, &one, 1), first[2..]);
    let second = idle(&client, &other, 2);
    assert_eq!(client.manager().stats().idle, 3);
    assert_eq!(ids(&client), [first[2], second[0], second[1]]);
    assert_at_rest(client.manager());
}

#[test]
fn l6_a_connection_that_served_enough_goes_when_it_comes_back_and_not_before() {
    let server = Server::start(Script::answering("ok"));
    let client = limited(Limits { max_requests: Some(3), ..Limits::default() });
    let used: Vec<u64> = (0..7).map(|_| idle(&client, &server, 1)[0]).collect();
    assert!(used[0] == used[2] && used[3] == used[5] && used[2] != used[3], "{used:?}");
    assert_eq!(client.manager().why_closed(used[0]), Some(Reason::ServedEnough));
    assert_eq!(server.connections(), 3);
}

#[test]
fn l6_a_connection_that_is_too_old_is_closed_between_exchanges_only() {
    let steps = vec![Step::head(), Step::send(HALF), Step::wait_for("rest"), Step::send("others")];
    let server = Server::start(Script::every([steps, vec![Step::Stall]].concat()));
    let other = Server::start(Script::answering("ok"));
    let client = limited(Limits { max_age: Some(ms(200)), ..Limits::default() });
    let mut response = get(&client, &server.url("/")).unwrap();
    assert_eq!(response.read(&mut [0; 4]).unwrap(), 4);
    let swept = idle(&client, &other, 1)[0];
    // The sweep comes and goes, and takes the idle one.
    until("the sweep", || client.manager().why_closed(swept) == Some(Reason::TooOld));
    assert_eq!(client.manager().stats().in_use, 1);
    server.release("rest");
    assert_eq!(response.read_all(100).unwrap(), b"others");
    assert_eq!(client.manager().why_closed(response.connection()), Some(Reason::TooOld));
    assert_at_rest(client.manager());
}

const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";

#[test]
fn l7_an_idle_timeout_closes_the_socket_and_nobody_has_to_call() {
    let server = Server::start(Script::answering("ok"));
    let client = limited(Limits { idle_for: Some(ms(300)), ..Limits::default() });
    let begun = Instant::now();
    let id = idle(&client, &server, 1)[0];
    assert_sockets(server.port(), 1);
    until("the close", || sockets(server.port()).is_empty());
    assert!(begun.elapsed() >= ms(300));
    assert_eq!(client.manager().why_closed(id), Some(Reason::IdleTooLong));
    // One that is lowered while the sweep sleeps counts at once.
    client.manager().set_limits(Limits { idle_for: None, ..Limits::default() });
    idle(&client, &server, 1);
    client.manager().set_limits(Limits { idle_for: Some(ms(100)), ..Limits::default() });
    until("the close", || sockets(server.port()).is_empty());
}

#[test]
fn l7_a_timer_that_races_a_checkout_fails_no_request() {
    let server = Server::start(Script::answering("ok"));
    let client = limited(Limits { idle_for: Some(ms(5)), ..Limits::default() });
    let mut reused = 0;
    for round in 0..300 {
        let mut response = get(&client, &server.url("/")).unwrap();
        reused += usize::from(response.reused());
        assert_eq!(response.read_all(10).unwrap(), b"ok");
        thread::sleep(Duration::from_micros(4000 + 10 * (round % 200)));
    }
    println!("{reused} of 300 came before the timer");
    assert_eq!(client.manager().stats().stale, 0, "only the timer closes, and never a leased one");
}

#[test]
fn l7_a_sweep_that_closes_hundreds_holds_nobody_up() {
    let server = Server::start(Script::answering("ok"));
    let other = Server::start(Script::answering("ok"));
    let limits = Limits {
        idle_for: Some(ms(300)),
        idle_per_origin: 500,
        idle_total: 500,
        ..Limits::default()
    };
    let client = limited(limits);
    idle(&client, &server, 300);
    let mut slowest = Duration::ZERO;
    while !sockets(server.port()).is_empty() {
        let begun = Instant::now();
        assert_eq!(fetch(&client, &other.url("/")).unwrap(), b"ok");
        slowest = slowest.max(begun.elapsed());
    }
    println!("the slowest request beside the sweep took {slowest:?}");
    assert!(slowest < ms(1000));
}

#[test]
fn l8_lowered_limits_apply_to_what_is_idle_at_once_and_to_the_rest_on_return() {
    let server = Server::start(Script::answering("ok"));
    let client = client();
    let first = idle(&client, &server, 4);
    client.manager().set_limits(Limits { idle_per_origin: 3, ..Limits::default() });
    assert_eq!(ids(&client), first[1..]);
    client.manager().set_limits(Limits { idle_total: 2, ..Limits::default() });
    assert_eq!(ids(&client), first[2..]);
    client.manager().set_limits(per_origin(1));
    assert_eq!(ids(&client), first[3..]);
    client.manager().set_limits(Limits::default());
    let open: Vec<_> = (0..4).map(|_| get(&client, &server.url("/")).unwrap()).collect();
    client.manager().set_limits(Limits { total: 2, ..Limits::default() });
    assert_eq!(client.manager().stats().in_use, 4, "in use is in use");
    for (mut response, left) in open.into_iter().zip([3, 2, 2, 2]) {
        assert_eq!(response.read_all(10).unwrap(), b"ok");
        assert_eq!(client.manager().connections().len(), left);
    }
    assert_eq!(client.manager().stats().idle, 2);
    // Raised ones let those go on that wait.
    client.manager().set_limits(per_origin(0));
    assert_eq!(client.manager().stats().idle, 0);
    thread::scope(|scope| {
        let waits = scope.spawn(|| fetch(&client, &server.url("/")));
        until("one in the queue", || client.manager().stats().queued == 1);
        client.manager().set_limits(per_origin(1));
        assert_eq!(waits.join().unwrap().unwrap(), b"ok");
    });
}

#[test]
fn r12_what_a_peer_does_to_an_idle_connection_is_found_by_the_sweep_and_never_parsed() {
    let said = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let cases: [(Step, &[Reason]); 4] = [
        (Step::send(said), &[Reason::ProtocolError]),
        (Step::send("junk"), &[Reason::ProtocolError]),
        (Step::Fin, &[Reason::PeerClosed]),
        (Step::Rst, &[Reason::PeerReset]),
    ];
    for (step, reasons) in cases {
        let first = vec![Step::answer(200, "ok"), Step::wait_for("now"), step, Step::Stall];
        let next = vec![Step::forever(vec![Step::answer(200, "ok")])];
        let server = Server::start(Script::new(vec![first, next]));
        let client = client();
        let id = idle(&client, &server, 1)[0];
        server.release("now");
        // Nobody asks for a connection.
        until("the sweep", || client.manager().why_closed(id).is_some());
        until("the close", || sockets(server.port()).is_empty());
        let why = client.manager().why_closed(id).unwrap();
        assert!(reasons.contains(&why), "{why} instead of {reasons:?}");
        let stats = client.manager().stats();
        assert_eq!((stats.swept, stats.stale, stats.idle), (1, 0, 0));
        let mut response = client.send(&mut post(&server.url("/"), Body::bytes(b"once"))).unwrap();
        assert_eq!((response.status(), response.reused()), (200, false));
        assert_eq!(response.read_all(10).unwrap(), b"ok");
    }
}

#[test]
fn another_network_closes_what_is_idle_and_the_rest_when_it_comes_back() {
    let server = Server::start(Script::answering("ok"));
    let client = client();
    let first = idle(&client, &server, 2);
    let mut open = get(&client, &server.url("/")).unwrap();
    assert_eq!(open.connection(), first[1]);
    assert_eq!(client.manager().network_changed(), 2);
    assert_eq!(ids(&client), first[1..]);
    assert_eq!(open.read_all(10).unwrap(), b"ok");
    assert!(ids(&client).is_empty());
    let why = |id: u64| client.manager().why_closed(id);
    assert_eq!(why(first[0]), Some(Reason::NetworkChanged));
    assert_eq!(why(first[1]), Some(Reason::NetworkChanged));
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
    assert!(server.wait_connections(3, PATIENCE));
}
