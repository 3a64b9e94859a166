//! Closing connections during their exchanges: by id, by origin and all of them; and the list of open connections
//! (X1-X4, X7).

#[path = "../support/mod.rs"]
mod support;

mod drain;

use std::collections::BTreeSet;
use std::thread;

use hangup::{
    CloseMode, CloseReason, ConnectionInfo, ConnectionMode, ConnectionState, Error, Kind, Phase,
};
use testserver::{BlackHole, Certificate, Ended, Script, Server, Step};

use crate::support::counted_reader::CountedReader;
use crate::support::form::{Client, Form, Response, in_both_forms};
use crate::support::inspect::{
    assert_at_rest, assert_gone, assert_sockets, count_sockets, sockets, wait_full,
};
use crate::support::outcome::{assert_consistent, ended_from_outside, report};
use crate::support::{MARGIN, PATIENCE, fetch, get, ms, post, request, wait_until};

in_both_forms! {
    x1_by_id_graceful_lets_the_exchange_end_well_and_then_closes,
    x1_by_id_graceful_closes_an_idle_connection_at_once,
    x2_by_id_now_ends_a_dial_with_closed,
    x2_by_id_now_ends_upload_head_and_body_with_closed,
    a_close_handle_ends_a_blocked_read_from_another_thread_and_does_nothing_after_the_end,
    x3_close_by_origin_counts_what_it_closed_and_keeps_other_origins,
    x3_idle_only_older_than_and_all,
    x4_an_unknown_id_is_a_not_found_error_and_nothing_else,
    x7_the_list_shows_what_a_connection_is_and_does,
    x7_the_list_never_shows_a_connection_twice_or_one_that_is_closed,
}

const TEN_OF_20: &str = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nten bytes.";

/// Marks "head" when a request head has come. After "go" it sends the first half of the response, after "more" the rest.
fn in_two_halves() -> Script {
    Script::every(vec![Step::forever(vec![
        Step::head(),
        Step::mark("head"),
        Step::wait_for("go"),
        Step::send(TEN_OF_20),
        Step::wait_for("more"),
        Step::send("ten others"),
    ])])
}

/// The only connection of that client.
fn only(client: &Client) -> ConnectionInfo {
    let mut list = client.manager().connections();
    assert_eq!(list.len(), 1, "{list:?}");
    list.remove(0)
}

fn x1_by_id_graceful_lets_the_exchange_end_well_and_then_closes(form: Form) {
    let server = Server::start(in_two_halves());
    let client = form.client();
    let mut response = thread::scope(|scope| {
        let work = scope.spawn(|| get(&client, &server.url("/")));
        assert!(server.wait_mark("head", PATIENCE));
        let before = only(&client);
        assert!(!before.closing);
        client.manager().close_connection(before.id, CloseMode::Graceful).unwrap();
        // A second call is no error: the connection is still open.
        client.manager().close_connection(before.id, CloseMode::Graceful).unwrap();
        let marked = only(&client);
        assert!(marked.closing && marked.state == ConnectionState::InUse);
        server.release("go");
        work.join().unwrap().unwrap()
    });
    assert_eq!(only(&client).id, response.connection_id());
    server.release("more");
    assert_eq!(response.read_all(100).unwrap(), b"ten bytes.ten others");
    assert_gone(client.manager(), server.port());
    assert_eq!(
        client.manager().close_reason(response.connection_id()),
        Some(CloseReason::ClosedById)
    );
    assert_eq!(server.wait_ended(0, PATIENCE).unwrap().0, Ended::Fin);
    // The next one has a connection of its own.
    let next = fetch(&client, &server.url("/")).unwrap();
    assert_eq!((next.len(), server.connections()), (20, 2));
}

fn x1_by_id_graceful_closes_an_idle_connection_at_once(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    fetch(&client, &server.url("/")).unwrap();
    let id = only(&client).id;
    client.manager().close_connection(id, CloseMode::Graceful).unwrap();
    assert_gone(client.manager(), server.port());
    assert_eq!(client.manager().close_reason(id), Some(CloseReason::ClosedById));
}

/// Closes the only connection while `work` is blocked on it, and checks the outcome.
fn closed_now<T: Send>(
    what: &str,
    client: &Client,
    phase: Phase,
    work: impl FnOnce() -> Result<T, Error> + Send,
    ready: impl FnOnce(),
) -> Error {
    let mut id = 0;
    let close = || {
        id = only(client).id;
        client.manager().close_connection(id, CloseMode::Now).unwrap();
    };
    let (outcome, took) = ended_from_outside(work, |_| ready(), close);
    report(what, "close", took);
    let error = outcome.err().expect("a closed exchange is an error");
    assert_eq!((error.kind(), error.phase()), (Kind::Closed, phase), "{error:?}");
    assert_eq!(error.connection_id(), Some(id));
    assert_consistent(&error);
    assert!(error.message().contains("closed by its id"), "{error}");
    assert!(took < MARGIN, "{what}: the close took {took:?}");
    assert_eq!(client.manager().close_reason(id), Some(CloseReason::ClosedById));
    assert_at_rest(client.manager());
    error
}

fn x2_by_id_now_ends_a_dial_with_closed(form: Form) {
    let hole = BlackHole::new();
    let fillers = count_sockets(hole.port());
    let client = form.client();
    let dialling = || wait_until("a SYN", || sockets(hole.port()).len() > fillers);
    closed_now("in connect", &client, Phase::Connect, || get(&client, &hole.url("/")), dialling);
    assert_sockets(hole.port(), fillers);

    let server = Server::start(Script::every(vec![Step::Stall]));
    let client = form.tls_client();
    let url = format!("https://127.0.0.1:{}/", server.port());
    let in_tls = || client.manager().connections().iter().any(|c| c.state == ConnectionState::Tls);
    let dialling = || wait_until("the handshake", in_tls);
    closed_now("in the TLS handshake", &client, Phase::Tls, || get(&client, &url), dialling);
    assert_gone(client.manager(), server.port());
}

fn x2_by_id_now_ends_upload_head_and_body_with_closed(form: Form) {
    let steps = vec![Step::head(), Step::mark("head"), Step::Stall];
    let server = Server::start(Script::every(steps));
    let client = form.client();
    let (source, account) = CountedReader::endless();
    let mut upload = post(&server.url("/"), source.chunked());
    let full = || {
        assert!(server.wait_mark("head", PATIENCE));
        wait_full(server.port());
    };
    closed_now("in an upload", &client, Phase::Write, || client.send(&mut upload), full);
    account.assert_dropped_once();

    let sent = || assert!(server.wait_marks("head", 2, PATIENCE));
    closed_now("in the head", &client, Phase::Head, || get(&client, &server.url("/")), sent);
    assert_gone(client.manager(), server.port());

    let server =
        Server::start(Script::every(vec![Step::head(), Step::send(TEN_OF_20), Step::Stall]));
    let mut response = get(&client, &server.url("/")).unwrap();
    assert_eq!(response.read(&mut [0; 100]).unwrap(), 10);
    closed_now("in the body", &client, Phase::Read, || response.read(&mut [0; 100]), || {});
    // The error stays the same.
    assert_eq!(response.read(&mut [0; 100]).unwrap_err().kind(), Kind::Closed);
    assert_gone(client.manager(), server.port());
}

fn a_close_handle_ends_a_blocked_read_from_another_thread_and_does_nothing_after_the_end(
    form: Form,
) {
    let server = Server::start(in_two_halves());
    server.release("go");
    let client = form.client();
    let mut response = get(&client, &server.url("/")).unwrap();
    assert_eq!(response.read(&mut [0; 100]).unwrap(), 10);
    let stopper = response.close_handle();
    let read = || response.read(&mut [0; 100]);
    let (outcome, took) = ended_from_outside(read, |_| {}, || stopper.close());
    report("a stopped response", "close", took);
    assert_eq!(outcome.unwrap_err().kind(), Kind::Closed);
    assert!(took < MARGIN);
    assert_gone(client.manager(), server.port());
    server.release("more");
    let mut response = get(&client, &server.url("/")).unwrap();
    assert_eq!(response.read_all(100).unwrap().len(), 20);
    response.close_handle().close();
    stopper.close();
    assert_eq!(client.manager().stats().idle, 1);
}

/// One connection idle, and one in the middle of a body.
fn one_idle_one_open(client: &Client, server: &Server) -> Response {
    server.release("go");
    let mut idle = get(client, &server.url("/")).unwrap();
    let mut open = get(client, &server.url("/")).unwrap();
    assert_eq!(open.read(&mut [0; 10]).unwrap(), 10);
    server.release("more");
    assert_eq!(idle.read_all(100).unwrap().len(), 20);
    open
}

fn halves_that_wait_once() -> Server {
    // The second connection never gets its other half.
    let both = vec![
        Step::head(),
        Step::send(TEN_OF_20),
        Step::wait_for("more"),
        Step::send("ten others"),
        Step::eof(),
    ];
    let half = vec![
        Step::head(),
        Step::send(TEN_OF_20),
        Step::wait_for("the rest"),
        Step::send("ten others"),
        Step::eof(),
    ];
    Server::start(Script::new(vec![both, half]))
}

fn x3_close_by_origin_counts_what_it_closed_and_keeps_other_origins(form: Form) {
    let (here, there) = (halves_that_wait_once(), halves_that_wait_once());
    let client = form.client();
    let mut open_here = one_idle_one_open(&client, &here);
    let mut open_there = one_idle_one_open(&client, &there);
    let manager = client.manager();
    let origin = format!("http://127.0.0.1:{}", here.port());
    assert_eq!(manager.close_origin("http://127.0.0.1:1", CloseMode::Now).unwrap(), 0);
    assert_eq!(manager.close_origin("https://127.0.0.1", CloseMode::Now).unwrap(), 0);
    assert_eq!(
        manager.close_origin("nonsense", CloseMode::Now).unwrap_err().kind(),
        Kind::InvalidUrl
    );
    assert_eq!(manager.stats().idle + manager.stats().in_use, 4);
    assert_eq!(manager.close_origin(&origin, CloseMode::Graceful).unwrap(), 2);
    // The idle one is closed, the other one is marked; it can still be closed immediately.
    assert_eq!(manager.stats().idle, 1);
    assert_eq!(manager.connections().iter().filter(|c| c.closing).count(), 1);
    assert_eq!(manager.close_origin(&origin, CloseMode::Now).unwrap(), 1);
    assert_eq!(sockets(here.port()), []);
    let error = open_here.read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), Kind::Closed);
    let why = manager.close_reason(open_here.connection_id());
    assert_eq!(why, Some(CloseReason::ClosedByOrigin));
    // The others were not touched.
    there.release("the rest");
    assert_eq!(open_there.read_all(100).unwrap(), b"ten others");
    assert_eq!(manager.stats().idle, 2);
    assert_eq!(manager.stats().closed, 2);
}

fn x3_idle_only_older_than_and_all(form: Form) {
    let (one, other) = (halves_that_wait_once(), Server::start(Script::answering("ok")));
    let client = form.client();
    let mut open = one_idle_one_open(&client, &one);
    let manager = client.manager();
    let old = manager.connections()[0].id;
    thread::sleep(ms(100));
    fetch(&client, &other.url("/")).unwrap();
    assert_eq!(manager.close_idle(ms(60_000)), 0);
    // Only the connection that has been idle for longer is closed.
    assert_eq!(manager.close_idle(ms(100)), 1);
    assert_eq!(manager.close_reason(old), Some(CloseReason::IdleTooLong));
    let stats = manager.stats();
    assert_eq!((stats.idle, stats.in_use), (1, 1));
    assert_eq!(manager.close_idle(ms(0)), 1);
    assert_eq!(manager.close_idle(ms(0)), 0);
    assert_eq!(sockets(other.port()), []);
    // Close all includes connections in use.
    fetch(&client, &other.url("/")).unwrap();
    assert_eq!(manager.close_all(CloseMode::Now), 2);
    assert_eq!(open.read(&mut [0; 10]).unwrap_err().kind(), Kind::Closed);
    assert_eq!(manager.close_reason(open.connection_id()), Some(CloseReason::ClosedByAll));
    assert_gone(manager, one.port());
    assert_eq!(manager.close_all(CloseMode::Now), 0);
    // Requests after a close of all succeed.
    assert_eq!(fetch(&client, &other.url("/")).unwrap(), b"ok");
}

fn x4_an_unknown_id_is_a_not_found_error_and_nothing_else(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    fetch(&client, &server.url("/")).unwrap();
    let id = only(&client).id;
    client.manager().close_connection(id, CloseMode::Now).unwrap();
    fetch(&client, &server.url("/")).unwrap();
    let before = client.manager().stats();
    for gone in [id, 0, u64::MAX] {
        for how in [CloseMode::Now, CloseMode::Graceful] {
            let error = client.manager().close_connection(gone, how).unwrap_err();
            assert_eq!(error.kind(), Kind::NotFound);
            assert!(error.message().contains(&gone.to_string()), "{error}");
        }
    }
    assert_eq!(client.manager().stats(), before);
    assert_ne!(only(&client).id, id, "an id is never used again");
}

fn x7_the_list_shows_what_a_connection_is_and_does(form: Form) {
    let plain = Server::start(in_two_halves());
    let secure = Server::start_tls(Certificate::Good, Script::answering("ok"));
    let client = form.tls_client();
    let manager = client.manager();
    assert!(manager.connections().is_empty());
    for _ in 0..2 {
        fetch(&client, &secure.url("/")).unwrap();
    }
    plain.release("go");
    let mut open = get(&client, &plain.url("/")).unwrap();
    thread::sleep(ms(20));
    let list = manager.connections();
    let [idle, busy] = &list[..] else { panic!("{list:?}") };
    assert_eq!((idle.state, busy.state), (ConnectionState::Idle, ConnectionState::InUse));
    assert_eq!(idle.origin, format!("https://localhost:{}", secure.port()));
    assert_eq!(busy.origin, format!("http://127.0.0.1:{}", plain.port()));
    assert_eq!((idle.requests, busy.requests), (2, 1));
    assert_eq!((idle.tls, busy.tls), (Some("TLSv1.3"), None));
    assert_eq!(busy.id, open.connection_id());
    for (row, server) in [(idle, &secure), (busy, &plain)] {
        let held = sockets(server.port());
        assert_eq!(row.peer, Some(server.addr()));
        assert_eq!(row.local, Some(held[0].local));
        assert!(row.age >= ms(20) && row.age < PATIENCE && !row.closing);
    }
    assert!(idle.idle.unwrap() >= ms(20) && idle.idle.unwrap() <= idle.age);
    assert_eq!(busy.idle, None);
    // Bytes as they are on the wire.
    assert_eq!(busy.bytes_in as usize, TEN_OF_20.len());
    assert_eq!(busy.bytes_out as usize, plain.heads(0)[0].len());
    assert!(idle.bytes_out as usize > secure.heads(0).concat().len(), "TLS adds to it");
    // Closed connections are not listed.
    plain.release("more");
    open.read_all(100).unwrap();
    manager.close_connection(open.connection_id(), CloseMode::Now).unwrap();
    assert_eq!(only(&client).id, idle.id);
}

fn x7_the_list_never_shows_a_connection_twice_or_one_that_is_closed(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    let done = std::sync::atomic::AtomicBool::new(false);
    let order = std::sync::atomic::Ordering::SeqCst;
    thread::scope(|scope| {
        for worker in 0..4 {
            let (client, server, done) = (&client, &server, &done);
            scope.spawn(move || {
                for round in 0..300 {
                    let mut request = request("GET", &server.url("/"));
                    if (round + worker) % 3 == 0 {
                        request.set_connection_mode(ConnectionMode::CloseAfter);
                    }
                    client.send(&mut request).unwrap().read_all(10).unwrap();
                }
                done.store(true, order);
            });
        }
        let mut gone = BTreeSet::new();
        let mut last = BTreeSet::new();
        while !done.load(order) {
            let list = client.manager().connections();
            let ids: BTreeSet<u64> = list.iter().map(|row| row.id).collect();
            assert_eq!(ids.len(), list.len(), "{list:?}");
            assert!(ids.is_disjoint(&gone), "one that was gone came back");
            gone.extend(last.difference(&ids).copied());
            assert!(
                list.iter().all(|row| row.idle.is_some() == (row.state == ConnectionState::Idle))
            );
            last = ids;
        }
    });
    assert_at_rest(client.manager());
}
