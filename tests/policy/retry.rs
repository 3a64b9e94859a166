//! Automatic retries: which requests are retried, which never are, and the bounds (Y1-Y6, T2).

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Instant;

use hangup::{Body, CloseMode, ConnectionMode, Kind, Phase, Request, Sent, Timeout};
use testserver::{Script, Server, Step};

use crate::support::counted_reader::CountedReader;
use crate::support::form::{Client, Form, Response, in_both_forms};
use crate::support::inspect::{assert_at_rest, only_socket};
use crate::support::outcome::{
    assert_consistent, assert_in_time, assert_timed_out, ended_from_outside,
};
use crate::support::{PATIENCE, fetch, get, ms, post, request};

in_both_forms! {
    y1_an_idempotent_request_is_retried_on_another_connection,
    y1_a_post_is_not_retried_after_a_byte_was_sent_and_its_error_reports_that,
    y1_a_file_is_read_again_from_its_beginning,
    y1_a_retry_may_use_another_idle_connection,
    y1_after_three_lost_connections_the_last_attempt_uses_a_new_one,
    y1_a_408_that_crosses_a_request_is_followed_by_another_attempt,
    a_408_that_is_the_answer_to_the_request_is_returned,
    y2_if_no_byte_was_sent_any_method_is_retried_with_any_body_that_was_not_read,
    y2_with_retries_off_the_error_is_safe_to_retry,
    y3_a_fresh_connection_is_never_retried,
    y4_after_one_byte_of_the_response_nothing_is_retried,
    y5_a_reader_is_read_and_closed_once_and_its_failure_is_never_retried,
    y6_with_retries_off_nothing_is_retried,
    an_exchange_that_the_caller_ended_is_not_retried,
    t2_the_total_spans_all_attempts,
}

/// Serves one request, reads another one completely, and closes without a response.
fn loses_the_second(end: &Step) -> Vec<Step> {
    vec![Step::answer(200, "first"), Step::head(), Step::body(), end.clone()]
}

fn honest() -> Vec<Step> {
    vec![Step::forever(vec![Step::answer(200, "honest")])]
}

/// A client with one idle connection, on which the next request is lost; all other connections respond.
fn losing(form: Form, end: &Step) -> (Server, Client) {
    let server = Server::start(Script::new(vec![loses_the_second(end), honest()]));
    let client = form.client();
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"first");
    assert_eq!(client.manager().stats().idle, 1);
    (server, client)
}

#[track_caller]
fn assert_sent_again(mut response: Response, server: &Server) {
    assert_eq!((response.attempts(), response.reused()), (2, false));
    let body = response.read_all(100).unwrap();
    let head = &server.heads(1)[0];
    assert!(body == b"honest" || head.starts_with("HEAD "), "{head}");
    assert_eq!(head, &server.heads(0)[1], "the same message");
    assert_eq!(server.bodies(0)[1], server.bodies(1)[0]);
    assert_eq!(server.connections(), 2);
}

const TIMED_OUT: &str =
    "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlate";

fn y1_a_408_that_crosses_a_request_is_followed_by_another_attempt(form: Form) {
    let crossing = loses_the_second(&Step::send(TIMED_OUT));
    let server = Server::start(Script::new(vec![crossing, honest()]));
    let client = form.client();
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"first");
    assert_sent_again(client.send(&mut request("GET", &server.url("/again"))).unwrap(), &server);
    assert_at_rest(client.manager());
}

fn a_408_that_is_the_answer_to_the_request_is_returned(form: Form) {
    let kept = TIMED_OUT.replace("Connection: close\r\n", "");
    for (method, retries, answer, first) in [
        ("POST", true, TIMED_OUT, true),
        ("GET", false, TIMED_OUT, true),
        ("GET", true, TIMED_OUT, false),
        ("GET", true, kept.as_str(), true),
    ] {
        let mut steps = vec![Step::head(), Step::send(answer), Step::eof()];
        if first {
            steps.insert(0, Step::answer(200, "first"));
        }
        let server = Server::start(Script::new(vec![steps, honest()]));
        let client = form.client();
        if first {
            fetch(&client, &server.url("/")).unwrap();
        }
        let mut request = request(method, &server.url("/"));
        request.set_retries(retries);
        let mut response = client.send(&mut request).unwrap();
        assert_eq!((response.status_code(), response.attempts()), (408, 1), "{method} {answer:?}");
        assert_eq!(response.read_all(10).unwrap(), b"late");
    }
}

fn y1_an_idempotent_request_is_retried_on_another_connection(form: Form) {
    for end in [Step::Close, Step::Rst] {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
            let (server, client) = losing(form, &end);
            let mut request = request(method, &server.url("/again"));
            if method == "PUT" {
                request.set_body(Body::bytes(b"to be put twice"));
            }
            assert_sent_again(client.send(&mut request).unwrap(), &server);
            assert_at_rest(client.manager());
        }
        let (server, client) = losing(form, &end);
        let mut keyed = post(&server.url("/"), Body::bytes(b"paid once"));
        keyed.add_header("Idempotency-Key", "\"8e03978e\"").unwrap();
        assert_sent_again(client.send(&mut keyed).unwrap(), &server);
    }
}

fn y1_a_post_is_not_retried_after_a_byte_was_sent_and_its_error_reports_that(form: Form) {
    for end in [Step::Close, Step::Rst] {
        for method in ["POST", "PATCH", "PROPFIND"] {
            let (server, client) = losing(form, &end);
            let mut request = request(method, &server.url("/"));
            request.set_body(Body::bytes(b"paid once"));
            let error = client.send(&mut request).unwrap_err();
            assert!(matches!(error.kind(), Kind::PeerClosed | Kind::PeerReset), "{error:?}");
            assert_eq!((error.retry_safe(), error.reused()), (false, true));
            assert_eq!((error.attempts(), error.sent()), (1, Sent::All));
            assert_consistent(&error);
            assert_eq!(server.connections(), 1);
            assert_at_rest(client.manager());
        }
    }
}

fn y1_a_file_is_read_again_from_its_beginning(form: Form) {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("y1-{form:?}-{}", std::process::id()));
    std::fs::write(&path, "a file".repeat(1000)).unwrap();
    let (server, client) = losing(form, &Step::Close);
    let mut put = request("PUT", &server.url("/"));
    put.set_body(Body::file(&path).unwrap());
    assert_sent_again(client.send(&mut put).unwrap(), &server);
    assert_eq!(server.bodies(1)[0].len(), 6000);
    std::fs::remove_file(&path).unwrap();
}

/// Opens that many idle connections.
fn keep(client: &Client, server: &Server, count: usize) {
    let open: Vec<Response> = (0..count).map(|_| get(client, &server.url("/")).unwrap()).collect();
    for mut response in open {
        response.read_all(100).unwrap();
    }
    assert_eq!(client.manager().stats().idle, count as u64);
}

fn y1_a_retry_may_use_another_idle_connection(form: Form) {
    let lists = vec![honest(), loses_the_second(&Step::Close)];
    let server = Server::start(Script::new(lists));
    let client = form.client();
    keep(&client, &server, 2);
    let mut response = get(&client, &server.url("/")).unwrap();
    assert_eq!((response.attempts(), response.reused()), (2, true));
    assert_eq!(response.read_all(100).unwrap(), b"honest");
    assert_eq!(server.connections(), 2);
}

fn y1_after_three_lost_connections_the_last_attempt_uses_a_new_one(form: Form) {
    for last_is_honest in [true, false] {
        let mut lists = vec![loses_the_second(&Step::Close); 5];
        lists.push(if last_is_honest { honest() } else { vec![Step::head(), Step::Close] });
        let server = Server::start(Script::new(lists));
        let client = form.client();
        keep(&client, &server, 5);
        let outcome = get(&client, &server.url("/"));
        assert_eq!(server.connections(), 6);
        assert_eq!(client.manager().stats().idle, 2, "two are left of five");
        // The last attempt sends the headers of the first one: it does not ask for a close.
        assert!(!server.heads(5)[0].to_lowercase().contains("connection:"));
        if last_is_honest {
            let mut response = outcome.unwrap();
            assert_eq!((response.attempts(), response.reused()), (4, false));
            assert_eq!(response.read_all(100).unwrap(), b"honest");
        } else {
            let error = outcome.unwrap_err();
            assert_eq!((error.kind(), error.attempts()), (Kind::PeerClosed, 4));
            assert_eq!((error.reused(), error.retry_safe()), (false, true));
        }
    }
}

/// A client with one idle connection on which every write fails before its first byte, although the server has not closed
/// it. Later connections are answered. Returns the client and the port.
fn takes_no_byte(form: Form) -> (Client, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        // Kept, so that the server closes nothing.
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut seen = Vec::new();
            let mut byte = [0];
            while !seen.ends_with(b"done") && stream.read(&mut byte).unwrap_or(0) == 1 {
                seen.push(byte[0]);
                if seen.starts_with(b"GET") && seen.ends_with(b"\r\n\r\n") {
                    break;
                }
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            held.push(stream);
        }
    });
    let client = form.client();
    fetch(&client, &format!("http://127.0.0.1:{port}/")).unwrap();
    // SAFETY: no pointers; the descriptor is this process's own.
    assert_eq!(unsafe { libc::shutdown(only_socket(port).fd, libc::SHUT_WR) }, 0);
    (client, port)
}

fn y2_if_no_byte_was_sent_any_method_is_retried_with_any_body_that_was_not_read(form: Form) {
    let reader = std::io::Cursor::new(b"to be done".to_vec());
    for body in [Body::bytes(b"to be done"), Body::reader(reader, Some(10))] {
        let (client, port) = takes_no_byte(form);
        let mut post = post(&format!("http://127.0.0.1:{port}/"), body);
        let mut response = client.send(&mut post).unwrap();
        assert_eq!((response.attempts(), response.reused()), (2, false));
        assert_eq!(response.read_all(10).unwrap(), b"ok");
    }
}

fn y2_with_retries_off_the_error_is_safe_to_retry(form: Form) {
    let (client, port) = takes_no_byte(form);
    client.set_retries(false);
    let mut post = post(&format!("http://127.0.0.1:{port}/"), Body::bytes(b"to be done"));
    let error = client.send(&mut post).unwrap_err();
    assert_eq!((error.kind(), error.bytes_sent()), (Kind::PeerReset, 0), "{error:?}");
    assert_eq!((error.retry_safe(), error.reused(), error.attempts()), (true, true, 1));
    assert_consistent(&error);
}

fn y3_a_fresh_connection_is_never_retried(form: Form) {
    for end in [Step::Close, Step::Rst] {
        let server = Server::start(Script::every(vec![Step::head(), end]));
        let client = form.client();
        for round in 1..3 {
            let error = get(&client, &server.url("/")).unwrap_err();
            assert!(matches!(error.kind(), Kind::PeerClosed | Kind::PeerReset), "{error:?}");
            assert_eq!((error.attempts(), error.reused()), (1, false));
            assert_eq!(server.connections(), round);
        }
    }
    let (server, client) = losing(form, &Step::Close);
    let mut fresh = request("GET", &server.url("/"));
    fresh.set_connection_mode(ConnectionMode::Fresh);
    assert_eq!(client.send(&mut fresh).unwrap().attempts(), 1);
}

fn y4_after_one_byte_of_the_response_nothing_is_retried(form: Form) {
    for bytes in ["H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 102 Processing\r\n\r\n"] {
        let lost = vec![Step::answer(200, "first"), Step::head(), Step::send(bytes), Step::Close];
        let server = Server::start(Script::new(vec![lost, honest()]));
        let client = form.client();
        fetch(&client, &server.url("/")).unwrap();
        let error = get(&client, &server.url("/")).unwrap_err();
        assert_eq!((error.kind(), error.phase()), (Kind::PeerClosed, Phase::Head), "{error:?}");
        assert_eq!((error.attempts(), error.response_started()), (1, true));
        assert_eq!(server.connections(), 1);
    }
}

fn y5_a_reader_is_read_and_closed_once_and_its_failure_is_never_retried(form: Form) {
    let (server, client) = losing(form, &Step::Close);
    let (source, account) = CountedReader::new(|_, _| Err(std::io::Error::other("no more paper")));
    let mut put = request("PUT", &server.url("/"));
    put.set_body(source.of_length(10));
    let error = client.send(&mut put).unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (Kind::BodyFailed, 1), "{error:?}");
    assert_eq!(account.reads(), 1);
    account.assert_dropped_once();
    assert_eq!(server.connections(), 1);

    // A reader that did not fail but was read.
    let (server, client) = losing(form, &Step::Close);
    let (source, account) = CountedReader::pieces(1, 10, |_| ());
    let mut put = request("PUT", &server.url("/"));
    put.set_body(source.of_length(10));
    let error = client.send(&mut put).unwrap_err();
    assert!(matches!(error.kind(), Kind::PeerClosed | Kind::PeerReset), "{error:?}");
    assert_eq!((error.attempts(), error.retry_safe()), (1, true));
    account.assert_dropped_once();
    assert_eq!(server.connections(), 1);
    // A submission consumes its request, so it cannot be sent twice.
    if form == Form::Blocking {
        let again = client.send(&mut put).unwrap_err();
        assert_eq!((again.kind(), again.attempts()), (Kind::InvalidState, 0));
    }
}

fn y6_with_retries_off_nothing_is_retried(form: Form) {
    let attempt = |of_client: bool, of_request: Option<bool>| {
        let (server, client) = losing(form, &Step::Close);
        client.set_retries(of_client);
        let mut request = request("GET", &server.url("/"));
        if let Some(on) = of_request {
            request.set_retries(on);
        }
        let outcome = client.send(&mut request);
        (outcome.is_ok(), server.connections())
    };
    assert_eq!(attempt(false, None), (false, 1));
    assert_eq!(attempt(true, Some(false)), (false, 1));
    assert_eq!(attempt(false, Some(true)), (true, 2));
    assert_eq!(attempt(true, None), (true, 2));
}

fn an_exchange_that_the_caller_ended_is_not_retried(form: Form) {
    let stalls = vec![Step::answer(200, "first"), Step::head(), Step::mark("asked"), Step::Stall];
    for close in [true, false] {
        let server = Server::start(Script::new(vec![stalls.clone(), honest()]));
        let client = form.client();
        fetch(&client, &server.url("/")).unwrap();
        let id = client.manager().connections()[0].id;
        if close {
            let work = || get(&client, &server.url("/")).map(drop);
            let ready = |_| assert!(server.wait_mark("asked", PATIENCE));
            let end = || assert!(client.manager().close_connection(id, CloseMode::Now).is_ok());
            let error = ended_from_outside(work, ready, end).0.unwrap_err();
            assert_eq!((error.kind(), error.attempts()), (Kind::Closed, 1));
        } else {
            let mut request = within(request("GET", &server.url("/")), Timeout::Head, 50);
            let error = client.send(&mut request).unwrap_err();
            assert_timed_out(&error, Timeout::Head, Phase::Head);
            assert_eq!(error.attempts(), 1);
        }
        assert_eq!(server.connections(), 1);
    }
}

fn within(mut request: Request, clock: Timeout, millis: u64) -> Request {
    request.set_timeout(clock, Some(ms(millis))).unwrap();
    request
}

fn t2_the_total_spans_all_attempts(form: Form) {
    let slow = vec![Step::answer(200, "first"), Step::head(), Step::sleep(70), Step::Close];
    let mut lists = vec![slow; 3];
    lists.push(vec![Step::head(), Step::Stall]);
    let server = Server::start(Script::new(lists));
    let client = form.client();
    keep(&client, &server, 3);
    let begun = Instant::now();
    let error = client.send(&mut within(request("GET", &server.url("/")), Timeout::Total, 300));
    let error = error.map(drop).unwrap_err();
    assert_timed_out(&error, Timeout::Total, Phase::Head);
    assert_in_time("the total, in the fourth attempt", ms(300), begun.elapsed());
    assert_eq!(error.attempts(), 4);
    assert_at_rest(client.manager());
}
