//! Idle connections: how many are kept, for how long, and what the sweep notices (R12, L6, L7).

use std::thread;
use std::time::{Duration, Instant};

use hangup::{Body, CloseReason, ConnectionState, Limits};
use testserver::{Certificate, Ended, Script, Server, Step};

use crate::support::form::{Client, Form, Response, in_both_forms};
use crate::support::held_responses::holding;
use crate::support::inspect::{
    assert_at_rest, assert_gone, descriptor_target, only_socket, sockets,
};
use crate::support::{PATIENCE, Random, fetch, get, ms, post, request, trusting, wait_until};

in_both_forms! {
    r12_the_sweep_closes_idle_connections_that_the_server_closed_or_wrote_to,
    r12_a_hundred_connections_closed_by_the_server_are_removed_together_and_the_others_stay,
    r12_tls_messages_on_an_idle_connection_do_not_close_it,
    l6_idle_limit_per_origin_the_least_recently_used_goes,
    l6_idle_limit_in_total_the_least_recently_used_of_all_goes,
    l6_no_idle_connection_at_all_is_a_limit_too,
    l6_too_old_is_closed_at_the_next_return_and_never_in_mid_exchange,
    l6_too_old_is_closed_by_the_sweep_without_any_call,
    l6_after_so_many_requests_a_connection_is_closed_when_the_last_one_is_whole,
    l7_an_idle_timeout_closes_the_socket_without_any_call,
    l7_a_timer_that_races_a_checkout_never_fails_the_request,
    l7_the_sweep_never_blocks_the_pool_on_a_slow_close,
    l7_a_servers_keep_alive_timeout_shortens_the_idle_time_and_never_lengthens_it,
    l7_a_server_that_keeps_no_connection_has_it_closed_after_the_response,
    an_idle_connection_of_a_manager_that_is_gone_is_closed,
}

/// A script that answers once and performs `idle` on the idle connection after "go". Other connections answer all
/// requests.
fn disturbed(tls: bool, idle: Vec<Step>) -> Server {
    let first = [vec![Step::answer(200, "first"), Step::wait_for("go")], idle].concat();
    let next = vec![Step::forever(vec![Step::answer(200, "next")])];
    let script = Script::new(vec![first, next]);
    match tls {
        true => {
            let handshake = |steps: &Vec<Step>| [vec![Step::Tls(Certificate::Good)], steps.clone()];
            let lists = script.connections.iter().map(|steps| handshake(steps).concat()).collect();
            Server::start(Script::new(lists))
        }
        false => Server::start(script),
    }
}

/// What the server does on an idle connection, and the close reason. The client makes no call meanwhile.
#[track_caller]
fn swept(form: Form, what: &str, tls: bool, idle: Vec<Step>, why: CloseReason) {
    let server = disturbed(tls, idle);
    let client = form.tls_client();
    client.set_retries(false);
    let mut first = get(&client, &server.url("/")).unwrap();
    assert_eq!(first.read_all(100).unwrap(), b"first");
    let fd = only_socket(server.port()).fd;
    let socket = descriptor_target(fd);
    server.release("go");
    // After a reset the kernel's table has no row for the socket, although its descriptor is open.
    wait_until("the sweep", || descriptor_target(fd) != socket);
    let stats = client.manager().stats();
    assert_eq!((stats.swept, stats.stale, stats.closed, stats.idle), (1, 0, 1, 0), "{what}");
    assert_eq!(client.manager().close_reason(first.connection_id()), Some(why), "{what}");
    assert_gone(client.manager(), server.port());
    // The bytes are no response, and a POST succeeds at its first attempt.
    let mut request = post(&server.url("/"), Body::bytes(b"once"));
    let mut next = client.send(&mut request).unwrap();
    assert_eq!((next.reused(), next.attempts()), (false, 1), "{what}");
    assert_eq!(
        (next.status_code(), next.read_all(100).unwrap()),
        (200, b"next".to_vec()),
        "{what}"
    );
    assert_eq!(server.bodies(1), [b"once"]);
}

fn r12_the_sweep_closes_idle_connections_that_the_server_closed_or_wrote_to(form: Form) {
    let timeout =
        "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlate";
    let said = |text: &str| vec![Step::send(text), Step::Stall];
    for tls in [false, true] {
        swept(form, "408", tls, said(timeout), CloseReason::ProtocolError);
        swept(form, "408 and a close", tls, vec![Step::send(timeout)], CloseReason::ProtocolError);
        swept(form, "junk", tls, said("\0"), CloseReason::ProtocolError);
        swept(form, "a close", tls, vec![Step::Close], CloseReason::PeerClosed);
        swept(form, "a reset", tls, vec![Step::Rst], CloseReason::PeerReset);
    }
    swept(form, "a FIN", false, vec![Step::Fin, Step::Stall], CloseReason::PeerClosed);
    swept(
        form,
        "close_notify",
        true,
        vec![Step::CloseNotify, Step::Stall],
        CloseReason::PeerClosed,
    );
    swept(form, "a FIN without goodbye", true, vec![Step::Truncate], CloseReason::PeerClosed);
}

fn r12_a_hundred_connections_closed_by_the_server_are_removed_together_and_the_others_stay(
    form: Form,
) {
    let closing = vec![
        Step::head(),
        Step::send(EMPTY),
        Step::mark("idle"),
        Step::wait_for("go"),
        Step::Close,
    ];
    let (going, staying) =
        (Server::start(Script::every(closing)), Server::start(Script::answering("ok")));
    let client = form.client_with(Limits { idle_per_origin: 200, ..Limits::default() });
    fetch(&client, &staying.url("/")).unwrap();
    thread::scope(|scope| {
        for _ in 0..100 {
            let (client, going) = (&client, &going);
            scope.spawn(move || {
                let mut fresh = request("GET", &going.url("/"));
                fresh.set_connection_mode(hangup::ConnectionMode::Fresh);
                client.send(&mut fresh).unwrap().read_all(10).unwrap();
            });
        }
    });
    assert!(going.wait_marks("idle", 100, PATIENCE));
    assert_eq!(client.manager().stats().idle, 101);
    going.release("go");
    wait_until("the sweep", || sockets(going.port()).is_empty());
    let stats = client.manager().stats();
    assert_eq!((stats.swept, stats.idle, stats.closed), (100, 1, 100), "{stats:?}");
    assert!(get(&client, &staying.url("/")).unwrap().reused());
}

fn r12_tls_messages_on_an_idle_connection_do_not_close_it(form: Form) {
    // Session tickets come after the handshake, and the sweep runs several times.
    let server = Server::start_tls(Certificate::Good, Script::answering("ok"));
    let client = form.tls_client();
    fetch(&client, &server.url("/")).unwrap();
    let before = client.manager().connections().remove(0);
    thread::sleep(ms(1300));
    let after = client.manager().connections().remove(0);
    assert_eq!((after.id, after.state), (before.id, ConnectionState::Idle));
    assert!(after.idle.unwrap() >= ms(1300), "to be looked at is not to be used: {after:?}");
    assert!(get(&client, &server.url("/")).unwrap().reused());
    assert_eq!(client.manager().stats().swept, 0);
}

/// That many responses of which nothing was read yet: each has a connection.
pub fn open(client: &Client, server: &Server, count: usize) -> Vec<Response> {
    (0..count).map(|_| get(client, &server.url("/")).unwrap()).collect()
}

/// Reads the responses in their order, in which their connections become idle. Returns the ids.
pub fn read(responses: Vec<Response>) -> Vec<u64> {
    let finish = |mut response: Response| {
        response.read_all(100).unwrap();
        response.connection_id()
    };
    responses.into_iter().map(finish).collect()
}

pub fn idle(client: &Client) -> Vec<u64> {
    let list = client.manager().connections();
    list.iter().filter(|row| row.state == ConnectionState::Idle).map(|row| row.id).collect()
}

fn l6_idle_limit_per_origin_the_least_recently_used_goes(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client_with(Limits { idle_per_origin: 2, ..Limits::default() });
    let ids = read(open(&client, &server, 5));
    assert_eq!(idle(&client), ids[3..]);
    for gone in &ids[..3] {
        assert_eq!(client.manager().close_reason(*gone), Some(CloseReason::PoolFull));
    }
    assert_eq!(sockets(server.port()).len(), 2);
    // The most recently used connection is taken first.
    let mut again = get(&client, &server.url("/")).unwrap();
    assert_eq!(again.connection_id(), ids[4]);
    again.read_all(10).unwrap();
    let mut three = open(&client, &server, 3);
    assert_eq!(three[1].connection_id(), ids[3]);
    // The order in which connections become idle counts.
    three.swap(0, 1);
    let three = read(three);
    assert_eq!(three, [ids[3], ids[4], three[2]]);
    assert_eq!(idle(&client), three[1..]);
}

fn l6_idle_limit_in_total_the_least_recently_used_of_all_goes(form: Form) {
    let servers = [0, 1, 2].map(|_| Server::start(Script::answering("ok")));
    let client = form.client_with(Limits { idle_total: 3, ..Limits::default() });
    let all: Vec<Response> =
        [0, 1, 2, 0, 1].iter().flat_map(|which| open(&client, &servers[*which], 1)).collect();
    let ids = read(all);
    assert_eq!(idle(&client), ids[2..]);
    // A reused connection is the most recently used one, regardless of its age.
    let mut again = get(&client, &servers[2].url("/")).unwrap();
    assert_eq!(again.connection_id(), ids[2]);
    let more = open(&client, &servers[2], 1);
    again.read_all(10).unwrap();
    let new = read(more)[0];
    assert_eq!(idle(&client), [ids[2], ids[4], new]);
    assert_eq!(client.manager().close_reason(ids[3]), Some(CloseReason::PoolFull));
}

fn l6_no_idle_connection_at_all_is_a_limit_too(form: Form) {
    let server = Server::start(Script::answering("ok"));
    for limits in [
        Limits { idle_total: 0, ..Limits::default() },
        Limits { idle_per_origin: 0, ..Limits::default() },
    ] {
        let client = form.client_with(limits);
        for _ in 0..3 {
            let ids = read(open(&client, &server, 2));
            assert_gone(client.manager(), server.port());
            assert_eq!(client.manager().close_reason(ids[0]), Some(CloseReason::PoolFull));
        }
    }
}

fn l6_too_old_is_closed_at_the_next_return_and_never_in_mid_exchange(form: Form) {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nten bytes.";
    let steps = [Step::head(), Step::send(half), Step::wait_for("rest"), Step::send("ten others")];
    let server = Server::start(Script::every(steps.to_vec()));
    let client = form.client_with(Limits { max_age: Some(ms(200)), ..Limits::default() });
    let mut response = get(&client, &server.url("/")).unwrap();
    // Long enough for several sweeps; the sweep runs while there is an idle connection.
    let other = Server::start(Script::answering("ok"));
    fetch(&client, &other.url("/")).unwrap();
    wait_until("the sweep of an idle one", || sockets(other.port()).is_empty());
    thread::sleep(ms(250));
    let row = client.manager().connections().remove(0);
    assert_eq!((row.id, row.state), (response.connection_id(), ConnectionState::InUse));
    server.release("rest");
    assert_eq!(response.read_all(100).unwrap(), b"ten bytes.ten others");
    assert_gone(client.manager(), server.port());
    assert_eq!(client.manager().close_reason(response.connection_id()), Some(CloseReason::TooOld));
}

fn l6_too_old_is_closed_by_the_sweep_without_any_call(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client_with(Limits { max_age: Some(ms(600)), ..Limits::default() });
    let begun = Instant::now();
    let ids = read(open(&client, &server, 5));
    wait_until("the sweep", || sockets(server.port()).is_empty());
    // The lifetime is shortened by up to a tenth, so that connections do not all close at once.
    assert!(begun.elapsed() >= ms(540), "{:?}", begun.elapsed());
    for id in ids {
        assert_eq!(client.manager().close_reason(id), Some(CloseReason::TooOld));
    }
    assert_eq!(client.manager().stats().swept, 0);
}

fn l6_after_so_many_requests_a_connection_is_closed_when_the_last_one_is_whole(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client_with(Limits { max_requests: Some(3), ..Limits::default() });
    let mut ids = Vec::new();
    for round in 0..7 {
        let mut response = get(&client, &server.url("/")).unwrap();
        assert_eq!(response.reused(), round % 3 > 0);
        assert_eq!(response.read_all(10).unwrap(), b"ok");
        ids.push(response.connection_id());
    }
    assert_eq!((ids[0], ids[3], server.connections()), (ids[2], ids[5], 3));
    assert_eq!(client.manager().close_reason(ids[0]), Some(CloseReason::ServedEnough));
    assert_eq!(client.manager().close_reason(ids[3]), Some(CloseReason::ServedEnough));
    assert_eq!((0..3).map(|c| server.heads(c).len()).collect::<Vec<_>>(), [3, 3, 1]);
    assert_eq!(idle(&client), [ids[6]]);
}

fn l7_an_idle_timeout_closes_the_socket_without_any_call(form: Form) {
    for tls in [false, true] {
        let script = Script::answering("ok");
        let server = match tls {
            false => Server::start(script),
            true => Server::start_tls(Certificate::Good, script),
        };
        let limit = ms(300);
        let limits = Limits { idle_for: Some(limit), ..Limits::default() };
        let client = trusting(form.client_with(limits));
        let mut response = get(&client, &server.url("/")).unwrap();
        only_socket(server.port());
        let begun = Instant::now();
        response.read_all(10).unwrap();
        wait_until("the idle timeout", || sockets(server.port()).is_empty());
        assert!(begun.elapsed() >= limit, "{:?}", begun.elapsed());
        assert_eq!(server.wait_ended(0, PATIENCE).unwrap().0, Ended::Fin);
        let why = client.manager().close_reason(response.connection_id());
        assert_eq!(why, Some(CloseReason::IdleTooLong));
        assert_gone(client.manager(), server.port());
    }
}

/// A server that answers with this Keep-Alive field.
fn keeping(value: &str) -> Server {
    let answer = format!("HTTP/1.1 200 OK\r\nKeep-Alive: {value}\r\nContent-Length: 2\r\n\r\nok");
    Server::start(Script::every(vec![Step::forever(vec![Step::head(), Step::send(&answer)])]))
}

fn l7_a_servers_keep_alive_timeout_shortens_the_idle_time_and_never_lengthens_it(form: Form) {
    // Half a second of one, and less than that by the limit. No call is made meanwhile.
    for (value, idle_for, least) in
        [("timeout=1, max=100", ms(90_000), ms(500)), ("timeout=100", ms(200), ms(200))]
    {
        let server = keeping(value);
        let limits = Limits { idle_for: Some(idle_for), ..Limits::default() };
        let client = form.client_with(limits);
        let mut response = get(&client, &server.url("/")).unwrap();
        assert_eq!(response.read_all(10).unwrap(), b"ok");
        let idle_from = Instant::now();
        assert!(server.wait_ended(0, PATIENCE).is_some(), "{value}");
        // The connection was idle a moment before the clock was read.
        assert!(idle_from.elapsed() + ms(50) >= least, "{value}: {:?}", idle_from.elapsed());
        let id = response.connection_id();
        let closed = || client.manager().close_reason(id) == Some(CloseReason::IdleTooLong);
        wait_until("its reason", closed);
        assert!(!get(&client, &server.url("/")).unwrap().reused());
    }
    // A connection that serves requests in time is kept, and the last response counts.
    let server = keeping("timeout=100");
    let client = form.client();
    for round in 0..3 {
        let mut response = get(&client, &server.url("/")).unwrap();
        assert_eq!(response.read_all(10).unwrap(), b"ok");
        assert_eq!(response.reused(), round > 0);
    }
}

fn l7_a_server_that_keeps_no_connection_has_it_closed_after_the_response(form: Form) {
    for value in ["timeout=0", "timeout=5, max=0"] {
        let server = keeping(value);
        let client = form.client();
        let mut response = get(&client, &server.url("/")).unwrap();
        assert_eq!(response.read_all(10).unwrap(), b"ok");
        let reason = client.manager().close_reason(response.connection_id());
        assert_eq!(reason, Some(CloseReason::AskedByResponse), "{value}");
        assert_gone(client.manager(), server.port());
    }
}

fn l7_a_timer_that_races_a_checkout_never_fails_the_request(form: Form) {
    let server = Server::start(Script::echoing());
    let limits = Limits { idle_for: Some(ms(3)), ..Limits::default() };
    let client = form.client_with(limits);
    // Failures must not be hidden by a retry.
    client.set_retries(false);
    thread::scope(|scope| {
        for worker in 0..4 {
            let (client, server) = (&client, &server);
            scope.spawn(move || {
                let mut random = Random::new(worker);
                for round in 0..400 {
                    let mut request =
                        post(&server.url(&format!("/{worker}/{round}")), Body::bytes(b""));
                    let body = client.send(&mut request).and_then(|mut r| r.read_all(10_000));
                    let line = format!("POST /{worker}/{round} ");
                    assert!(body.unwrap().starts_with(line.as_bytes()));
                    thread::sleep(Duration::from_micros(1500 + random.below(3000)));
                }
            });
        }
    });
    assert_at_rest(client.manager());
    let stats = client.manager().stats();
    println!("{stats:?}");
    assert!(stats.reused > 20 && stats.opened > 20, "they never met: {stats:?}");
    wait_until("the last one's end", || sockets(server.port()).is_empty());
}

fn l7_the_sweep_never_blocks_the_pool_on_a_slow_close(form: Form) {
    // The peers read no close_notify, and there are many of them.
    let steps = vec![Step::Tls(Certificate::Good), Step::head(), Step::send(EMPTY), Step::Stall];
    let (many, other) = (Server::start(Script::every(steps)), Server::start(holding(&[])));
    let client = trusting(form.client_with(Limits { idle_per_origin: 100, ..Limits::default() }));
    thread::scope(|scope| {
        for _ in 0..60 {
            let (client, many) = (&client, &many);
            scope.spawn(move || {
                let mut fresh = request("GET", &many.url("/"));
                fresh.set_connection_mode(hangup::ConnectionMode::Fresh);
                client.send(&mut fresh).unwrap().read_all(10).unwrap();
            });
        }
    });
    assert_eq!(client.manager().stats().idle, 60);
    let now = Limits { idle_for: Some(ms(700)), ..client.manager().limits() };
    client.manager().set_limits(now).unwrap();
    let mut slowest = Duration::ZERO;
    wait_until("the sweep", || {
        let begun = Instant::now();
        assert_eq!(fetch(&client, &other.url("/")).unwrap(), b"ok");
        slowest = slowest.max(begun.elapsed());
        sockets(many.port()).is_empty()
    });
    println!("the slowest request meanwhile: {slowest:?}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

fn an_idle_connection_of_a_manager_that_is_gone_is_closed(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    fetch(&client, &server.url("/")).unwrap();
    drop(client);
    assert_eq!(sockets(server.port()), []);
    assert_eq!(server.wait_ended(0, PATIENCE).unwrap().0, Ended::Fin);
}

const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
