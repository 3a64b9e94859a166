//! Dials that outlive their request, that fail, or that no request made: what happens to the connection and to its slot
//! (R14, L2, L5, L9, preconnect).

use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hangup::{
    CancelToken, CloseMode, CloseReason, ConnectionMode, ConnectionState, Error, Kind, Limits,
    Phase, Stats, Timeout,
};
use testserver::{BlackHole, Certificate, Ended, Script, Server, Step};

use crate::support::form::{Client, Form, in_both_forms};
use crate::support::held_responses::{enqueue, held, holding, occupy, release_response, start};
use crate::support::inspect::{
    assert_at_rest, assert_gone, assert_sockets, count_sockets, sockets, wait_at_rest,
};
use crate::support::outcome::{REASON, assert_cancelled, assert_timed_out};
use crate::support::{MARGIN, PATIENCE, fetch, get, ms, per_origin, request, trusting, wait_until};

in_both_forms! {
    r14_the_dial_of_a_cancelled_request_becomes_idle_and_serves_the_next,
    r14_a_request_waits_for_a_background_dial_instead_of_dialling,
    r14_a_dial_outlives_a_total_timeout_too_and_in_connect,
    r14_the_dial_of_a_short_connection_ends_with_its_request,
    r14_the_timeout_of_its_own_phase_ends_a_dial_at_once,
    a_background_dial_is_closed_by_id_and_by_close_all,
    l2_a_dial_in_progress_counts_and_a_failed_dial_gives_its_slot_to_the_next_waiter,
    l2_a_connect_that_times_out_gives_its_slot_to_the_next_waiter,
    l5_a_black_holed_dial_whose_request_was_cancelled_frees_its_slot_soon,
    l5_a_request_that_waits_for_a_failed_background_dial_dials_itself,
    l9_a_dialling_request_takes_a_connection_that_becomes_free_and_the_late_dial_ends_idle,
    l9_a_late_dial_that_fails_fails_no_request,
    preconnect_opens_connections_without_a_request,
    preconnect_respects_the_limits_and_displaces_no_request_or_idle_connection,
    preconnect_to_a_silent_peer_frees_its_slots,
    preconnected_connections_serve_waiting_requests,
    a_request_takes_over_from_a_dial_at_the_limit_in_the_order_of_the_queue,
    r13_other_trust_is_another_connection_and_equal_settings_are_the_same,
}

/// A TLS handshake that waits for "shake"; then every request is answered.
fn shaking_late() -> Vec<Step> {
    let answers = Step::forever(vec![held(&["/held"])]);
    vec![Step::mark("dial"), Step::wait_for("shake"), Step::Tls(Certificate::Good), answers]
}

/// The URL of that server. Its script, not TLS, begins the connection.
fn https(server: &Server) -> String {
    format!("https://127.0.0.1:{}/", server.port())
}

fn dialling(client: &Client, state: ConnectionState) {
    wait_until("a dial", || client.manager().connections().iter().any(|row| row.state == state));
}

fn counts(stats: &Stats) -> (u64, u64, u64, u64) {
    (stats.dialling, stats.in_use, stats.idle, stats.queued)
}

/// Cancels a request while it dials.
#[track_caller]
fn cancel_in_dial(
    client: &Client,
    url: &str,
    mode: ConnectionMode,
    state: ConnectionState,
) -> Error {
    let token = CancelToken::new();
    let mut request = request("GET", url);
    request.set_cancel(Some(token.clone()));
    request.set_connection_mode(mode);
    thread::scope(|scope| {
        let running = start(scope, client, request);
        dialling(client, state);
        let fired = Instant::now();
        token.fire(Some(REASON));
        let error = running.join().unwrap().unwrap_err();
        assert!(fired.elapsed() < MARGIN);
        assert_eq!(error.kind(), Kind::Cancelled, "{error:?}");
        error
    })
}

fn r14_the_dial_of_a_cancelled_request_becomes_idle_and_serves_the_next(form: Form) {
    for mode in [ConnectionMode::Keep, ConnectionMode::Fresh] {
        let server = Server::start(Script::every(shaking_late()));
        let client = form.tls_client();
        let error = cancel_in_dial(&client, &https(&server), mode, ConnectionState::Tls);
        assert_cancelled(&error, Phase::Tls);
        // The background dial belongs to no request, is not idle yet, and is listed.
        assert_eq!(counts(&client.manager().stats()), (1, 0, 0, 0));
        server.release("shake");
        wait_until("an idle connection", || client.manager().stats().idle == 1);
        let mut next = get(&client, &https(&server)).unwrap();
        assert_eq!((next.reused(), Some(next.connection_id())), (true, error.connection_id()));
        assert_eq!(next.read_all(10).unwrap(), b"ok");
        assert_eq!(server.connections(), 1);
        assert_at_rest(client.manager());
    }
}

fn r14_a_request_waits_for_a_background_dial_instead_of_dialling(form: Form) {
    let server = Server::start(Script::every(shaking_late()));
    let client = form.tls_client();
    let error =
        cancel_in_dial(&client, &https(&server), ConnectionMode::Keep, ConnectionState::Tls);
    thread::scope(|scope| {
        let next = enqueue(scope, &client, request("GET", &https(&server)));
        server.release("shake");
        assert_eq!(next.join().unwrap().unwrap(), b"ok");
    });
    assert_eq!(server.connections(), 1);
    let list = client.manager().connections();
    assert_eq!((list.len(), Some(list[0].id)), (1, error.connection_id()));
    assert_eq!(client.manager().stats().opened, 1);
}

fn r14_a_dial_outlives_a_total_timeout_too_and_in_connect(form: Form) {
    let hole = BlackHole::new();
    let client = form.client();
    let mut request = request("GET", &hole.url("/"));
    request.set_timeout(Timeout::Total, Some(ms(150))).unwrap();
    let error = client.send(&mut request).unwrap_err();
    assert_timed_out(&error, Timeout::Total, Phase::Connect);
    // The kernel repeats its SYN after a second.
    let server = hole.open(Script::answering("ok")).unwrap();
    wait_until("an idle connection", || client.manager().stats().idle == 1);
    let next = get(&client, &server.url("/")).unwrap();
    assert_eq!((next.reused(), server.connections()), (true, 1));
}

fn r14_the_dial_of_a_short_connection_ends_with_its_request(form: Form) {
    let server = Server::start(Script::every(shaking_late()));
    let client = form.tls_client();
    let error =
        cancel_in_dial(&client, &https(&server), ConnectionMode::CloseAfter, ConnectionState::Tls);
    assert_gone(client.manager(), server.port());
    let why = client.manager().close_reason(error.connection_id().unwrap());
    assert_eq!(why, Some(CloseReason::Cancelled));
    assert_eq!(server.wait_ended(0, PATIENCE).unwrap().0, Ended::Fin);
}

fn r14_the_timeout_of_its_own_phase_ends_a_dial_at_once(form: Form) {
    let server = Server::start(Script::every(shaking_late()));
    let client = form.tls_client();
    let mut request = request("GET", &https(&server));
    request.set_timeout(Timeout::Tls, Some(ms(100))).unwrap();
    assert_timed_out(&client.send(&mut request).unwrap_err(), Timeout::Tls, Phase::Tls);
    assert_gone(client.manager(), server.port());
}

fn a_background_dial_is_closed_by_id_and_by_close_all(form: Form) {
    let server = Server::start(Script::every(shaking_late()));
    for by_id in [true, false] {
        let client = form.tls_client();
        let error =
            cancel_in_dial(&client, &https(&server), ConnectionMode::Keep, ConnectionState::Tls);
        let id = error.connection_id().unwrap();
        let why = match by_id {
            true => {
                client.manager().close_connection(id, CloseMode::Now).unwrap();
                CloseReason::ClosedById
            }
            false => {
                assert_eq!(client.manager().close_all(CloseMode::Now), 1);
                CloseReason::ClosedByAll
            }
        };
        assert_eq!(counts(&client.manager().stats()), (0, 0, 0, 0));
        assert_eq!(client.manager().close_reason(id), Some(why));
        wait_until("its socket's end", || sockets(server.port()).is_empty());
    }
}

/// Sets a resolver that returns the results sent to it. Returns the sender, and the receiver of its calls.
fn scripted_resolver(client: &Client) -> (Sender<Result<(), String>>, Receiver<String>) {
    let (answer, answers) = channel::<Result<(), String>>();
    let (ask, asked) = channel();
    let both = Mutex::new((answers, ask));
    let here = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    client.manager().set_resolver(Some(Arc::new(move |host| {
        let both = both.lock().unwrap();
        both.1.send(host.to_owned()).unwrap();
        both.0.recv_timeout(PATIENCE).unwrap().map(|()| here.clone())
    })));
    (answer, asked)
}

fn l2_a_dial_in_progress_counts_and_a_failed_dial_gives_its_slot_to_the_next_waiter(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client_with(per_origin(1));
    let (answer, asked) = scripted_resolver(&client);
    let url = format!("http://somewhere.test:{}/", server.port());
    thread::scope(|scope| {
        let first = start(scope, &client, request("GET", &url));
        assert_eq!(asked.recv_timeout(PATIENCE).unwrap(), "somewhere.test");
        let second = enqueue(scope, &client, request("GET", &url));
        let third = enqueue(scope, &client, request("GET", &url));
        assert_eq!(counts(&client.manager().stats()), (1, 0, 0, 2));
        answer.send(Err("unknown name".to_owned())).unwrap();
        assert_eq!(first.join().unwrap().unwrap_err().kind(), Kind::ResolveFailed);
        // The second request dials now, with a lookup of its own.
        asked.recv_timeout(PATIENCE).unwrap();
        assert_eq!(counts(&client.manager().stats()), (1, 0, 0, 1));
        answer.send(Err("still unknown".to_owned())).unwrap();
        assert_eq!(second.join().unwrap().unwrap_err().kind(), Kind::ResolveFailed);
        asked.recv_timeout(PATIENCE).unwrap();
        answer.send(Ok(())).unwrap();
        assert_eq!(third.join().unwrap().unwrap(), b"ok");
    });
    let stats = client.manager().stats();
    assert_eq!((stats.opened, stats.dials_failed, stats.queued, stats.idle), (3, 2, 0, 1));
    assert_eq!(server.connections(), 1);
}

fn l2_a_connect_that_times_out_gives_its_slot_to_the_next_waiter(form: Form) {
    let hole = BlackHole::new();
    let client = form.client_with(per_origin(1));
    // Before the second attempt at the address, which would connect.
    let (url, short) = (hole.url("/"), ms(200));
    thread::scope(|scope| {
        let mut first = request("GET", &url);
        first.set_timeout(Timeout::Connect, Some(short)).unwrap();
        let first = start(scope, &client, first);
        dialling(&client, ConnectionState::Connecting);
        let second = enqueue(scope, &client, request("GET", &url));
        let server = hole.open(Script::answering("ok")).unwrap();
        assert_timed_out(&first.join().unwrap().unwrap_err(), Timeout::Connect, Phase::Connect);
        assert_eq!(second.join().unwrap().unwrap(), b"ok");
        assert_eq!(server.most_open(), 1);
    });
    assert_eq!(client.manager().stats().dials_failed, 1);
}

fn l5_a_black_holed_dial_whose_request_was_cancelled_frees_its_slot_soon(form: Form) {
    let hole = BlackHole::new();
    let fillers = count_sockets(hole.port());
    let other = Server::start(Script::answering("ok"));
    let client = form.client_with(Limits { total: 1, ..Limits::default() });
    cancel_in_dial(&client, &hole.url("/"), ConnectionMode::Keep, ConnectionState::Connecting);
    let cancelled = Instant::now();
    // Another origin gets the slot as soon as it is free, long before a connect timeout.
    assert_eq!(fetch(&client, &other.url("/")).unwrap(), b"ok");
    let took = cancelled.elapsed();
    println!("the slot was free after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_sockets(hole.port(), fillers);
    assert_eq!(client.manager().stats().dials_failed, 1);
    assert_at_rest(client.manager());
}

fn l5_a_request_that_waits_for_a_failed_background_dial_dials_itself(form: Form) {
    let hole = BlackHole::new();
    let client = form.client_with(per_origin(1));
    cancel_in_dial(&client, &hole.url("/"), ConnectionMode::Keep, ConnectionState::Connecting);
    let mut next = request("GET", &hole.url("/"));
    next.set_timeout(Timeout::Connect, Some(ms(200))).unwrap();
    let begun = Instant::now();
    // The request had a dial of its own, which failed.
    assert_timed_out(&client.send(&mut next).unwrap_err(), Timeout::Connect, Phase::Connect);
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    let stats = client.manager().stats();
    assert_eq!((stats.opened, stats.dials_failed), (2, 2));
    wait_at_rest(client.manager());
}

fn l9_a_dialling_request_takes_a_connection_that_becomes_free_and_the_late_dial_ends_idle(
    form: Form,
) {
    let script = vec![vec![Step::Tls(Certificate::Good), Step::forever(vec![held(&["/held"])])]];
    let server = Server::start(Script::new([script, vec![shaking_late()]].concat()));
    let client = form.tls_client();
    let url = https(&server);
    thread::scope(|scope| {
        let mut first = request("GET", &format!("{url}held"));
        first.set_connection_mode(ConnectionMode::Keep);
        let first = start(scope, &client, first);
        assert!(server.wait_mark("/held", PATIENCE));
        let second = scope.spawn(|| {
            let mut response = get(&client, &url).unwrap();
            (response.read_all(10).unwrap(), response.reused(), response.connection_id())
        });
        assert!(server.wait_mark("dial", PATIENCE));
        release_response(&server, "/held");
        first.join().unwrap().unwrap();
        let (body, reused, connection) = second.join().unwrap();
        assert_eq!((body, reused), (b"ok".to_vec(), true));
        let list = client.manager().connections();
        assert_eq!((list.len(), list[0].id, list[0].requests), (2, connection, 2));
        // The server has accepted the late dial, which may not know it yet.
        let state = || client.manager().connections()[1].state;
        wait_until("the handshake of the late dial", || state() == ConnectionState::Tls);
    });
    assert_eq!(counts(&client.manager().stats()), (1, 0, 1, 0));
    server.release("shake");
    wait_until("the late dial", || client.manager().stats().idle == 2);
    assert_eq!((server.connections(), client.manager().stats().opened), (2, 2));
    assert_at_rest(client.manager());
}

fn l9_a_late_dial_that_fails_fails_no_request(form: Form) {
    let script = vec![
        vec![Step::Tls(Certificate::Good), Step::forever(vec![held(&["/held"])])],
        vec![Step::mark("dial"), Step::wait_for("shake"), Step::Rst],
    ];
    let server = Server::start(Script::new(script));
    let client = form.tls_client();
    let url = https(&server);
    thread::scope(|scope| {
        let first = start(scope, &client, request("GET", &format!("{url}held")));
        assert!(server.wait_mark("/held", PATIENCE));
        let second = start(scope, &client, request("GET", &url));
        assert!(server.wait_mark("dial", PATIENCE));
        release_response(&server, "/held");
        first.join().unwrap().unwrap();
        assert_eq!(second.join().unwrap().unwrap(), b"ok");
    });
    server.release("shake");
    wait_at_rest(client.manager());
    let stats = client.manager().stats();
    assert_eq!((stats.idle, stats.dials_failed, stats.opened), (1, 1, 2));
}

fn preconnect_opens_connections_without_a_request(form: Form) {
    let server = Server::start_tls(Certificate::Good, Script::answering("ok"));
    let client = form.tls_client();
    assert_eq!(client.preconnect(&server.url("/"), 3).unwrap(), 3);
    wait_until("three idle connections", || client.manager().stats().idle == 3);
    assert_eq!((server.connections(), client.preconnect(&server.url("/"), 3).unwrap()), (3, 0));
    assert!((0..3).all(|connection| server.heads(connection).is_empty()));
    let list = client.manager().connections();
    assert!(
        list.iter().all(|row| (row.state, row.requests) == (ConnectionState::Idle, 0)),
        "{list:?}"
    );
    let next = get(&client, &server.url("/")).unwrap();
    assert!(next.reused());
    // Connections in use are not idle, so preconnect opens one more.
    assert_eq!(client.preconnect(&server.url("/"), 3).unwrap(), 1);
    drop(next);
    assert_eq!(client.preconnect("nonsense", 1).unwrap_err().kind(), Kind::InvalidUrl);
}

fn preconnect_respects_the_limits_and_displaces_no_request_or_idle_connection(form: Form) {
    let (server, other) =
        (Server::start(Script::answering("ok")), Server::start(Script::answering("ok")));
    for (limits, expected) in [
        (per_origin(2), 2),
        (Limits { total: 3, ..Limits::default() }, 2),
        (Limits { idle_per_origin: 1, ..Limits::default() }, 1),
        (Limits { idle_total: 0, ..Limits::default() }, 0),
    ] {
        let client = form.client_with(limits);
        fetch(&client, &other.url("/")).unwrap();
        let before = client.manager().stats().idle;
        assert_eq!(client.preconnect(&server.url("/"), 5).unwrap(), expected, "{limits:?}");
        wait_until("its dials", || client.manager().stats().dialling == 0);
        let idle = client.manager().stats().idle;
        assert_eq!(idle, (before + expected as u64).min(limits.idle_total as u64), "{limits:?}");
    }
}

fn preconnect_to_a_silent_peer_frees_its_slots(form: Form) {
    let hole = BlackHole::new();
    let fillers = count_sockets(hole.port());
    let client = form.client();
    assert_eq!(client.preconnect(&hole.url("/"), 3).unwrap(), 3);
    wait_until("three dials", || sockets(hole.port()).len() >= fillers + 3);
    assert_eq!(counts(&client.manager().stats()), (3, 0, 0, 0));
    // These dials are given up after about ten seconds.
    wait_at_rest(client.manager());
    assert_sockets(hole.port(), fillers);
    assert_eq!(client.manager().stats().dials_failed, 3);
    // A refusal ends a dial sooner.
    drop(hole);
    let gone = Server::start(Script::answering("ok"));
    let url = gone.url("/");
    drop(gone);
    assert_eq!(client.preconnect(&url, 2).unwrap(), 2);
    wait_at_rest(client.manager());
    assert_eq!((client.manager().stats().dials_failed, client.manager().stats().idle), (5, 0));
}

fn preconnected_connections_serve_waiting_requests(form: Form) {
    let server = Server::start(Script::every(shaking_late()));
    let client = trusting(form.client_with(per_origin(2)));
    assert_eq!(client.preconnect(&https(&server), 2).unwrap(), 2);
    assert!(server.wait_marks("dial", 2, PATIENCE));
    thread::scope(|scope| {
        let all = [0, 1, 2].map(|_| enqueue(scope, &client, request("GET", &https(&server))));
        server.release("shake");
        all.into_iter().for_each(|one| assert_eq!(one.join().unwrap().unwrap(), b"ok"));
    });
    assert_eq!((server.connections(), client.manager().stats().opened), (2, 2));
    wait_at_rest(client.manager());
}

fn a_request_takes_over_from_a_dial_at_the_limit_in_the_order_of_the_queue(form: Form) {
    // A preconnect has the only slot: a request waits for the dial and then for its connection.
    let server = Server::start(holding(&["/held"]));
    let client = form.client_with(per_origin(1));
    assert_eq!(client.preconnect(&server.url("/"), 1).unwrap(), 1);
    thread::scope(|scope| {
        let first = occupy(scope, &client, &server, "/held");
        let second = enqueue(scope, &client, request("GET", &server.url("/")));
        release_response(&server, "/held");
        assert_eq!(first.join().unwrap().unwrap(), b"/held");
        assert_eq!(second.join().unwrap().unwrap(), b"ok");
    });
    assert_eq!((server.connections(), client.manager().stats().opened), (1, 1));
}

fn r13_other_trust_is_another_connection_and_equal_settings_are_the_same(form: Form) {
    let server = Server::start_tls(Certificate::Good, Script::answering("ok"));
    let one = form.tls_client();
    let new = || trusting(one.sibling());
    let (same, unverified) = (new(), new());
    unverified.set_tls_dangerously_accept_any_certificate(true).unwrap();
    fetch(&one, &server.url("/")).unwrap();
    assert!(get(&same, &server.url("/")).unwrap().reused());
    assert!(!get(&unverified, &server.url("/")).unwrap().reused());
}
