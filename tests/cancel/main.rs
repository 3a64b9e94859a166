//! Cancel: in every phase, from any thread and at any time it ends its own exchange at once, and nothing else (C1,
//! C3-C5, C7-C11, C13, C14). The races are in `races.rs`.

#[path = "../support/mod.rs"]
mod support;

mod races;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use hangup::{Body, CancelToken, CloseReason, ConnectionState, Error, Kind, Phase, Request, Sent};
use testserver::{BlackHole, Certificate, Ended, Options, Script, Server, Step};

use crate::support::counted_reader::CountedReader;
use crate::support::form::{Client, Form, in_both_forms};
use crate::support::inspect::{
    assert_at_rest, assert_gone, assert_sockets, count_sockets, sockets, wait_at_rest, wait_full,
    wait_gone,
};
use crate::support::outcome::{REASON, assert_cancelled, cancelled};
use crate::support::own_process::{
    BLOCKED, blocking_resolver, in_own_process_with, run_again_on_threads,
};
use crate::support::{PATIENCE, fetch, get, ms, post, request, wait_until};

in_both_forms! {
    c1_a_token_fired_before_the_call_means_no_dial_and_no_byte,
    c3_cancel_in_a_blocked_getaddrinfo,
    c4_cancel_in_connect_to_a_black_hole,
    c5_cancel_in_a_silent_tls_handshake_and_the_server_sees_the_close,
    c7_cancel_in_a_blocked_upload,
    c8_cancel_while_waiting_for_the_head,
    c8_c9_cancel_on_a_connection_that_served_other_requests,
    c9_cancel_in_a_blocked_body_read,
    c10_cancel_between_two_reads_closes_at_once_and_fails_the_next_read,
    c11_a_token_fired_after_the_end_does_not_affect_the_connections_next_user,
    c13_fired_from_inside_a_body_reader,
    c13_fired_after_everything_was_freed,
    c14_a_parent_cancels_its_children_and_a_child_not_its_parent,
}

#[test]
fn submissions_on_a_pool_of_threads_are_cancelled_too() {
    run_again_on_threads(&[
        "submitted::c3_",
        "submitted::c4_",
        "submitted::c5_",
        "submitted::c7_",
        "submitted::c8_",
        "submitted::c9_",
        "submitted::c10_",
        "submitted::c13_",
    ]);
}

/// A request with this cancel token.
fn with_token(mut request: Request, token: &CancelToken) -> Request {
    request.set_cancel(Some(token.clone()));
    request
}

fn get_with(client: &Client, url: &str, token: &CancelToken) -> Result<Vec<u8>, Error> {
    let mut request = with_token(request("GET", url), token);
    client.send(&mut request)?.read_all(usize::MAX)
}

/// The head of a response with a body of 100 bytes, and the first ten of them.
const TEN_OF_100: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.";

fn c1_a_token_fired_before_the_call_means_no_dial_and_no_byte(form: Form) {
    let server = Server::start(Script::answering("never asked for"));
    let token = CancelToken::new();
    token.fire(Some(REASON));
    // Also when there is an idle connection.
    for idle in [0, 1] {
        let client = form.client();
        (0..idle).for_each(|_| drop(fetch(&client, &server.url("/")).unwrap()));
        let (opened, connections) = (client.manager().stats().opened, server.connections());
        let (source, account) = CountedReader::endless();
        let mut request = with_token(post(&server.url("/"), source.chunked()), &token);
        let error = client.send(&mut request).unwrap_err();
        assert_cancelled(&error, Phase::None);
        assert_eq!(
            (error.connection_id(), error.sent(), error.retry_safe()),
            (None, Sent::Nothing, true)
        );
        account.assert_dropped_once();
        assert_eq!(account.reads(), 0);
        assert_eq!(client.manager().stats().opened, opened);
        assert_eq!(client.manager().stats().idle, idle);
        assert_eq!(server.connections(), connections);
        assert_at_rest(client.manager());
    }
}

fn c3_cancel_in_a_blocked_getaddrinfo(form: Form) {
    let name = &form.name("c3_cancel_in_a_blocked_getaddrinfo");
    let shim = blocking_resolver();
    in_own_process_with(name, &[("LD_PRELOAD", shim.to_str().unwrap())], || {
        let client = form.client();
        for round in 0..5 {
            let (source, account) = CountedReader::endless();
            let token = CancelToken::new();
            let url = format!("http://{BLOCKED}:{}/", 8000 + round);
            let mut request = with_token(post(&url, source.chunked()), &token);
            let error = cancelled(
                "in a blocked getaddrinfo",
                &token,
                Phase::Resolve,
                || client.send(&mut request),
                |_| wait_until("resolving", || client.manager().stats().dialling == 1),
            );
            assert_eq!((error.sent(), error.retry_safe()), (Sent::Nothing, true));
            account.assert_dropped_once();
            assert_eq!(account.reads(), 0);
            assert_gone(client.manager(), 8000 + round);
        }
        // The workers that still hang delay no other request.
        let server = Server::start(Script::answering("ok"));
        let url = format!("http://localhost:{}/", server.port());
        assert_eq!(fetch(&client, &url).unwrap(), b"ok");
    });
}

fn c4_cancel_in_connect_to_a_black_hole(form: Form) {
    let hole = BlackHole::new();
    let fillers = count_sockets(hole.port());
    let client = form.client();
    let (source, account) = CountedReader::endless();
    let token = CancelToken::new();
    let mut request = with_token(post(&hole.url("/"), source.chunked()), &token);
    let error = cancelled(
        "in connect",
        &token,
        Phase::Connect,
        || client.send(&mut request),
        |_| {
            wait_until("a SYN on its way", || sockets(hole.port()).len() > fillers);
            let list = client.manager().connections();
            assert_eq!(list[0].state, ConnectionState::Connecting);
        },
    );
    assert_eq!((error.sent(), error.retry_safe()), (Sent::Nothing, true));
    account.assert_dropped_once();
    // The call is over. Its dial goes on in the background for a moment and is then closed.
    assert_eq!(client.manager().stats().in_use, 0);
    wait_at_rest(client.manager());
    assert_sockets(hole.port(), fillers);
    assert_eq!(client.manager().stats().dials_failed, 1);
    let why = client.manager().close_reason(error.connection_id().unwrap());
    assert_eq!(why, Some(CloseReason::Cancelled));
}

fn c5_cancel_in_a_silent_tls_handshake_and_the_server_sees_the_close(form: Form) {
    // Silent from the start, and after it has read the beginning.
    let read_first = vec![Step::Recv(testserver::Until::Bytes(50)), Step::Stall];
    for script in [vec![Step::Stall], read_first] {
        let server = Server::start(Script::every(script));
        let client = form.tls_client();
        let token = CancelToken::new();
        let url = format!("https://127.0.0.1:{}/", server.port());
        let mut request = with_token(request("GET", &url), &token);
        let in_tls = || {
            client.manager().connections().first().is_some_and(|c| c.state == ConnectionState::Tls)
        };
        let error = cancelled(
            "in the TLS handshake",
            &token,
            Phase::Tls,
            || client.send(&mut request),
            |_| wait_until("the handshake", in_tls),
        );
        assert_eq!((error.sent(), error.retry_safe()), (Sent::Nothing, true));
        wait_gone(client.manager(), server.port());
        let why = client.manager().close_reason(error.connection_id().unwrap());
        assert_eq!(why, Some(CloseReason::Cancelled));
        let (ended, _) = server.wait_ended(0, PATIENCE).expect("the server sees the close");
        assert_eq!(ended, Ended::Fin);
    }
}

fn c7_cancel_in_a_blocked_upload(form: Form) {
    for tls in [false, true] {
        let steps =
            vec![Step::head(), Step::mark("head"), Step::wait_for("cancelled"), Step::eof()];
        let script = Script::every(steps);
        let server = match tls {
            false => Server::start(script),
            true => Server::start_tls(testserver::Certificate::Good, script),
        };
        let client = form.tls_client();
        let (source, account) = CountedReader::endless();
        let token = CancelToken::new();
        let mut request = with_token(post(&server.url("/"), source.chunked()), &token);
        let error = cancelled(
            if tls { "in a blocked upload over TLS" } else { "in a blocked upload" },
            &token,
            Phase::Write,
            || client.send(&mut request),
            |_| {
                assert!(server.wait_mark("head", PATIENCE));
                wait_full(server.port());
            },
        );
        assert_eq!((error.sent(), error.retry_safe()), (Sent::Part, false));
        assert!(error.bytes_sent() > 0);
        account.assert_dropped_once();
        assert!(account.reads() > 0);
        assert_gone(client.manager(), server.port());
        // What the kernel had taken may still arrive; it must not look like a whole upload.
        server.release("cancelled");
        assert!(server.wait_idle(PATIENCE));
        assert!(!server.received(0).ends_with(b"0\r\n\r\n"));
    }
}

fn c8_c9_cancel_on_a_connection_that_served_other_requests(form: Form) {
    // After a few requests a thread waits for its connection in another way than in the first one.
    let served = 4;
    for (said, phase, tls) in [
        ("", Phase::Head, false),
        (TEN_OF_100, Phase::Read, false),
        ("", Phase::Head, true),
        (TEN_OF_100, Phase::Read, true),
    ] {
        let mut steps = vec![Step::answer(200, "ok"); served];
        steps.extend([Step::head(), Step::send(said), Step::mark("waits"), Step::Stall]);
        let tls = tls.then_some(Certificate::Good);
        let options = Options { tls, ..Options::default() };
        let server = Server::start_with(options, Script::every(steps)).unwrap();
        let client = form.tls_client();
        for _ in 0..served {
            assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
        }
        let token = CancelToken::new();
        let error = cancelled(
            "a later request",
            &token,
            phase,
            || get_with(&client, &server.url("/"), &token),
            |_| {
                assert!(server.wait_mark("waits", PATIENCE));
                std::thread::sleep(ms(20)); // Mostly it waits by then.
            },
        );
        assert!(error.reused());
        assert_gone(client.manager(), server.port());
        assert!(server.wait_ended(0, PATIENCE).is_some());
    }
}

fn c8_cancel_while_waiting_for_the_head(form: Form) {
    let half_a_head = Step::send("HTTP/1.1 200 OK\r\nContent-Le");
    let interim = Step::send("HTTP/1.1 103 Early Hints\r\n\r\n");
    for (said, started) in [(Step::send(""), false), (half_a_head, true), (interim, true)] {
        let steps = vec![Step::head(), said, Step::mark("head"), Step::Stall];
        let server = Server::start(Script::every(steps));
        let client = form.client();
        let token = CancelToken::new();
        let mut request = with_token(post(&server.url("/"), Body::bytes(b"all of it")), &token);
        let error = cancelled(
            "waiting for the head",
            &token,
            Phase::Head,
            || client.send(&mut request),
            |_| {
                assert!(server.wait_mark("head", PATIENCE));
                let came = |c: &hangup::ConnectionInfo| c.bytes_in > 0;
                let list = || client.manager().connections();
                wait_until("what the server said", || !started || list().iter().all(came));
            },
        );
        assert_eq!((error.sent(), error.retry_safe()), (Sent::All, false));
        assert_eq!((error.response_started(), error.reused()), (started, false));
        assert_gone(client.manager(), server.port());
        assert!(server.wait_ended(0, PATIENCE).is_some());
    }
}

fn c9_cancel_in_a_blocked_body_read(form: Form) {
    for chunked in [false, true] {
        let said = match chunked {
            false => TEN_OF_100,
            true => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nten bytes.\r\n",
        };
        let steps = vec![Step::head(), Step::send(said), Step::Stall];
        let server = Server::start(Script::every(steps));
        let client = form.client();
        let token = CancelToken::new();
        let mut request = with_token(request("GET", &server.url("/")), &token);
        let mut response = client.send(&mut request).unwrap();
        assert_eq!(response.read(&mut [0; 100]).unwrap(), 10);
        let error = cancelled(
            "in a body read",
            &token,
            Phase::Read,
            || response.read(&mut [0; 100]),
            |_| {},
        );
        assert_eq!(error.connection_id(), Some(response.connection_id()));
        assert!(error.response_started());
        assert_gone(client.manager(), server.port());
        // The response stays cancelled: its end is never reported.
        for _ in 0..3 {
            assert_cancelled(&response.read(&mut [0; 100]).unwrap_err(), Phase::Read);
        }
        assert!(server.wait_ended(0, PATIENCE).is_some());
    }
}

fn c10_cancel_between_two_reads_closes_at_once_and_fails_the_next_read(form: Form) {
    // Ten bytes were read; the others are either still to come or here already.
    let rest = "x".repeat(90);
    for (rest, tail) in [("", Step::Stall), (rest.as_str(), Step::Stall)] {
        let steps = vec![Step::head(), Step::send(TEN_OF_100), Step::send(rest), tail];
        let server = Server::start(Script::every(steps));
        let client = form.client();
        let token = CancelToken::new();
        let mut request = with_token(request("GET", &server.url("/")), &token);
        let mut response = client.send(&mut request).unwrap();
        assert_eq!(response.read(&mut [0; 10]).unwrap(), 10);
        token.fire(Some(REASON));
        // Before the body is read.
        assert_gone(client.manager(), server.port());
        assert_eq!(
            client.manager().close_reason(response.connection_id()),
            Some(CloseReason::Cancelled)
        );
        assert_cancelled(&response.read(&mut [0; 10]).unwrap_err(), Phase::Read);
        assert_cancelled(&response.read_all(1000).unwrap_err(), Phase::Read);
        assert!(server.wait_ended(0, PATIENCE).is_some());
    }
}

fn c11_a_token_fired_after_the_end_does_not_affect_the_connections_next_user(form: Form) {
    let next = vec![
        Step::head(),
        Step::mark("next"),
        Step::wait_for("go"),
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"),
    ];
    let server = Server::start(Script::every([vec![Step::answer(200, "first")], next].concat()));
    let client = form.client();
    let token = CancelToken::new();
    let mut request = with_token(request("GET", &server.url("/")), &token);
    let mut first = client.send(&mut request).unwrap();
    assert_eq!(first.read_all(100).unwrap(), b"first");
    thread::scope(|scope| {
        let next = scope.spawn(|| get(&client, &server.url("/next")));
        assert!(server.wait_mark("next", PATIENCE));
        // The response is still alive, and the connection's next user is in the middle of its exchange.
        token.fire(Some(REASON));
        drop(first);
        assert_eq!(client.manager().stats().in_use, 1);
        server.release("go");
        let mut next = next.join().unwrap().unwrap();
        assert!(next.reused());
        assert_eq!(next.read_all(100).unwrap(), b"next");
    });
    assert_eq!(server.connections(), 1);
    assert_at_rest(client.manager());
}

fn c13_fired_from_inside_a_body_reader(form: Form) {
    // At the first piece, in the middle, and together with the end of the body.
    for at in [0, 3, 5] {
        let steps = vec![Step::head(), Step::body(), Step::send(TEN_OF_100), Step::Stall];
        let server = Server::start(Script::every(steps));
        let client = form.client();
        let token = CancelToken::new();
        let mine = token.clone();
        let (source, account) = CountedReader::new(move |number, into| {
            if number == at {
                mine.fire(Some(REASON));
            }
            if number == 5 {
                return Ok(0);
            }
            into[..100].fill(b'u');
            Ok(100)
        });
        let mut request = with_token(post(&server.url("/"), source.chunked()), &token);
        let error = client.send(&mut request).unwrap_err();
        assert_eq!((error.kind(), error.reason()), (Kind::Cancelled, Some(REASON)), "{error:?}");
        account.assert_dropped_once();
        assert!(account.reads() <= 6);
        assert_gone(client.manager(), server.port());
    }
}

fn c13_fired_after_everything_was_freed(form: Form) {
    let token = CancelToken::new();
    {
        let server = Server::start(Script::answering("ok"));
        let client = form.client();
        assert_eq!(get_with(&client, &server.url("/"), &token).unwrap(), b"ok");
        let mut request = with_token(request("GET", &server.url("/")), &token);
        drop(client.send(&mut request).unwrap());
    }
    token.fire(Some(REASON));
    token.fire(None);
    assert_eq!(token.reason().as_deref(), Some(REASON));
}

fn c14_a_parent_cancels_its_children_and_a_child_not_its_parent(form: Form) {
    let steps = vec![Step::head(), Step::mark("head"), Step::Stall];
    let server = Server::start(Script::every(steps));
    let client = form.client();
    let parent = CancelToken::new();
    let children: Vec<CancelToken> = (0..4).map(|_| parent.child()).collect();
    let ended = AtomicUsize::new(0);
    let (url, ended, client) = (server.url("/"), &ended, &client);
    let run = |token: CancelToken| {
        let mut request = with_token(request("GET", &url), &token);
        let outcome = client.send(&mut request).map(drop);
        ended.fetch_add(1, Ordering::SeqCst);
        outcome.unwrap_err()
    };
    thread::scope(|scope| {
        let runs: Vec<_> = children
            .iter()
            .cloned()
            // A grandchild too, and the parent itself.
            .chain([children[1].child(), parent.clone()])
            .map(|token| scope.spawn(|| run(token)))
            .collect();
        assert!(server.wait_marks("head", 6, PATIENCE));
        children[0].fire(Some("only the first"));
        wait_until("the first child's end", || ended.load(Ordering::SeqCst) == 1);
        assert!(!parent.is_fired() && !children[1].is_fired());
        assert_eq!(client.manager().stats().in_use, 5);
        parent.fire(Some(REASON));
        let errors: Vec<Error> = runs.into_iter().map(|run| run.join().unwrap()).collect();
        assert_eq!(errors[0].reason(), Some("only the first"));
        errors[1..].iter().for_each(|error| assert_cancelled(error, Phase::Head));
    });
    assert_gone(client.manager(), server.port());
}
