//! The retry policy: requests that are sent again because the server was busy or could not be reached, the delay before
//! that, and what ends it.

use std::time::{Duration, Instant};

use hangup::{
    Body, CancelToken, EventKind, Kind, Limits, Manager, RetryPolicy, RetryReason, Timeout,
};
use testserver::{Answer, Script, Server, Step};

use crate::support::form::{Client, Form, in_both_forms};
use crate::support::inspect::assert_at_rest;
use crate::support::{PATIENCE, fetch, get, ms, post, request};

in_both_forms! {
    without_a_policy_nothing_is_sent_again,
    a_busy_server_is_asked_again_after_the_time_that_it_names,
    only_what_may_be_repeated_is_sent_again,
    a_delay_that_is_too_long_is_not_begun,
    what_can_not_be_connected_to_is_tried_again,
    a_cancel_a_timeout_and_a_shutdown_end_the_delay,
    a_post_that_was_redirected_is_not_called_unsent,
    the_budget_bounds_the_retries_of_all_requests,
    a_request_can_be_left_out,
}

fn busy(status: u16, retry_after: Option<&str>) -> Step {
    let header = |value: &str| ("Retry-After".to_owned(), value.to_owned());
    let headers = retry_after.map(header).into_iter().collect();
    Step::Answer(Answer { status, headers, body: "busy".to_owned() })
}

fn quick() -> RetryPolicy {
    RetryPolicy::new().delays(ms(1), Duration::from_secs(60)).max_total(None)
}

fn client(form: Form, policy: RetryPolicy) -> Client {
    let client = form.client();
    client.set_retry_policy(Some(policy)).unwrap();
    client
}

/// One connection that does this and then answers "served".
fn then_served(mut steps: Vec<Step>) -> Server {
    steps.push(Step::forever(vec![Step::answer(200, "served")]));
    Server::start(Script::new(vec![steps]))
}

fn without_a_policy_nothing_is_sent_again(form: Form) {
    let server = then_served(vec![busy(503, Some("0"))]);
    let client = form.client();
    assert_eq!(get(&client, &server.url("/")).unwrap().status_code(), 503);
    assert!(client.set_retry_policy(Some(RetryPolicy::new().max_attempts(0))).is_err());
}

fn a_busy_server_is_asked_again_after_the_time_that_it_names(form: Form) {
    let past = "Thu, 01 Jan 1970 00:00:00 GMT";
    for (status, retry_after, least) in
        [(429, Some("0"), 0), (503, None, 0), (503, Some("1"), 1000), (429, Some(past), 0)]
    {
        let server = then_served(vec![busy(status, retry_after)]);
        let client = client(form, quick());
        let mut events = client.manager().events(100).unwrap();
        let start = Instant::now();
        let mut response = get(&client, &server.url("/")).unwrap();
        assert!(start.elapsed() >= ms(least), "{retry_after:?}");
        assert_eq!((response.status_code(), response.attempts()), (200, 2));
        assert_eq!(response.read_all(100).unwrap(), b"served");
        assert_eq!(server.connections(), 1);
        let mut found = Vec::new();
        while let Some(event) = events.next(Some(ms(1))).unwrap() {
            if let EventKind::Retried(reason, delay) = event.kind {
                assert_ne!(event.connection, 0);
                assert!(retry_after.is_none() || delay == ms(least), "{delay:?}");
                found.push(reason);
            }
        }
        assert_eq!(found, [RetryReason::StatusCode]);
        assert_eq!(client.manager().stats().retried, 1);
        assert_at_rest(client.manager());
    }
}

fn only_what_may_be_repeated_is_sent_again(form: Form) {
    let policy = || quick().status_codes(&[429, 502, 503]);
    for (method, status, retry_after, again) in [
        ("POST", 429, None, true),
        ("POST", 503, Some("0"), true),
        ("POST", 503, None, false),
        ("POST", 502, Some("0"), false),
        ("PUT", 502, None, true),
        ("GET", 500, None, false),
    ] {
        let server = then_served(vec![busy(status, retry_after)]);
        let client = client(form, policy());
        let mut request = request(method, &server.url("/"));
        request.set_body(Body::bytes(b"body"));
        let response = client.send(&mut request).unwrap();
        let expected = if again { 200 } else { status };
        assert_eq!(response.status_code(), expected, "{method} {status} {retry_after:?}");
    }
    let server = then_served(vec![busy(429, None)]);
    let client = client(form, quick());
    let reader = Body::reader(std::io::Cursor::new(b"once"), Some(4));
    let response = client.send(&mut post(&server.url("/"), reader)).unwrap();
    assert_eq!(response.status_code(), 429, "the body was read");
}

fn a_delay_that_is_too_long_is_not_begun(form: Form) {
    let server = Server::start(Script::every(vec![Step::forever(vec![busy(503, Some("20"))])]));
    let short = quick().delays(ms(1), ms(100));
    let soon = quick().max_total(Some(ms(500)));
    for policy in [short, soon] {
        let client = client(form, policy);
        let start = Instant::now();
        let response = get(&client, &server.url("/")).unwrap();
        assert_eq!((response.status_code(), response.attempts()), (503, 1));
        assert!(start.elapsed() < Duration::from_secs(10), "the server named 20 seconds");
    }
    let client = client(form, quick());
    let mut request = request("GET", &server.url("/"));
    request.set_timeout(Timeout::Total, Some(Duration::from_secs(10))).unwrap();
    let start = Instant::now();
    assert_eq!(client.send(&mut request).unwrap().status_code(), 503);
    assert!(start.elapsed() < Duration::from_secs(10), "the server named 20 seconds");
}

fn what_can_not_be_connected_to_is_tried_again(form: Form) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let client = client(form, quick());
    let error = client.send(&mut post(&url, Body::bytes(b"x"))).map(drop).unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (Kind::ConnectFailed, 3));
    assert!(error.retry_safe());
    assert_eq!(client.manager().stats().retried, 2);
    client.set_retry_policy(Some(quick().connect_errors(false))).unwrap();
    assert_eq!(get(&client, &url).map(drop).unwrap_err().attempts(), 1);
}

fn a_cancel_a_timeout_and_a_shutdown_end_the_delay(form: Form) {
    let server = Server::start(Script::every(vec![Step::forever(vec![busy(503, Some("20"))])]));
    let manager = std::sync::Arc::new(Manager::new(Limits::default()));
    let own = hangup::Client::new(std::sync::Arc::clone(&manager));
    own.set_retry_policy(Some(quick())).unwrap();
    let client = form.of(own);
    let mut events = manager.events(100).unwrap();
    let mut until_it_waits = || loop {
        let event = events.next(Some(PATIENCE)).unwrap().expect("a retry");
        if matches!(event.kind, EventKind::Retried(..)) {
            return;
        }
    };
    let token = CancelToken::new();
    let mut cancelled = request("GET", &server.url("/"));
    cancelled.set_cancel(Some(token.clone()));
    let error = std::thread::scope(|scope| {
        let call = scope.spawn(|| client.send(&mut cancelled).map(drop).unwrap_err());
        until_it_waits();
        token.fire(None);
        call.join().unwrap()
    });
    assert_eq!(error.kind(), Kind::Cancelled);

    // A deadline that the token gets while the call waits.
    let token = CancelToken::new();
    let mut late = request("GET", &server.url("/"));
    late.set_cancel(Some(token.clone()));
    let error = std::thread::scope(|scope| {
        let call = scope.spawn(|| client.send(&mut late).map(drop).unwrap_err());
        until_it_waits();
        token.after(ms(20));
        call.join().unwrap()
    });
    assert_eq!((error.kind(), error.timeout()), (Kind::TimedOut, Timeout::Token));

    let mut open = request("GET", &server.url("/"));
    let start = Instant::now();
    let error = std::thread::scope(|scope| {
        let call = scope.spawn(|| client.send(&mut open).map(drop).unwrap_err());
        until_it_waits();
        manager.shutdown();
        call.join().unwrap()
    });
    assert_eq!(error.kind(), Kind::ShutDown);
    assert!(start.elapsed() < Duration::from_secs(15), "the server named 20 seconds");
}

fn a_post_that_was_redirected_is_not_called_unsent(form: Form) {
    let away = Step::Answer(Answer {
        status: 307,
        headers: vec![("Location".to_owned(), "/next".to_owned())],
        body: String::new(),
    });
    let server = then_served(vec![away, busy(503, Some("60"))]);
    let manager = std::sync::Arc::new(Manager::new(Limits::default()));
    let own = hangup::Client::new(std::sync::Arc::clone(&manager));
    own.set_retry_policy(Some(quick())).unwrap();
    let client = form.of(own);
    let mut events = manager.events(100).unwrap();
    let token = CancelToken::new();
    let mut request = post(&server.url("/"), Body::bytes(b"once"));
    request.set_cancel(Some(token.clone()));
    let error = std::thread::scope(|scope| {
        let call = scope.spawn(|| client.send(&mut request).map(drop).unwrap_err());
        let mut next = || events.next(Some(PATIENCE)).unwrap().expect("a retry");
        while !matches!(next().kind, EventKind::Retried(..)) {}
        token.fire(None);
        call.join().unwrap()
    });
    assert_eq!((error.kind(), error.attempts()), (Kind::Cancelled, 1));
    assert!(!error.retry_safe(), "the first request was answered with 307");
}

fn the_budget_bounds_the_retries_of_all_requests(form: Form) {
    let server = Server::start(Script::every(vec![Step::forever(vec![busy(503, None)])]));
    let client = client(form, quick().budget(3, 10).max_attempts(100));
    let attempts = |_| get(&client, &server.url("/")).unwrap().attempts();
    let all: Vec<u32> = (0..3).map(attempts).collect();
    assert_eq!(all, [4, 1, 1]);
}

fn a_request_can_be_left_out(form: Form) {
    let server = then_served(vec![busy(503, None)]);
    let client = client(form, quick());
    let mut request = request("GET", &server.url("/"));
    request.set_retries(false);
    assert_eq!(client.send(&mut request).unwrap().status_code(), 503);
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"served");
}
