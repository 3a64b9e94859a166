//! The timeouts of a request: each ends its own phase in time, and the error names it (T2-T8; T1 is in `phases.rs`).

#[path = "../support/mod.rs"]
mod support;

mod phases;

use std::thread;
use std::time::{Duration, Instant};

use hangup::{
    Body, CancelToken, CloseMode, ConnectionState, Error, Kind, Limits, Phase, Request, Timeout,
};
use testserver::{Certificate, Script, Server, Step, Until};

use crate::support::counted_reader::CountedReader;
use crate::support::form::{Form, Response, in_both_forms};
use crate::support::inspect::{assert_gone, threads};
use crate::support::outcome::{assert_in_time, assert_timed_out, timed_out};
use crate::support::own_process::{in_own_process, run_again_on_threads};
use crate::support::{MARGIN, PATIENCE, fetch, get, ms, post, request, wait_until};

in_both_forms! {
    t2_the_total_runs_across_dial_upload_and_body,
    t2_the_total_counts_time_that_the_caller_spends_between_reads,
    t3_the_head_timeout_runs_neither_during_the_upload_nor_during_the_body,
    t3_the_head_timeout_starts_when_the_request_is_sent,
    t4_a_body_that_drips_keeps_read_alive_and_is_ended_by_the_total,
    t4_a_body_that_drips_is_ended_by_the_minimum_rate,
    t4_a_minimum_rate_never_keeps_the_read_timeout_from_firing,
    t5_a_timeout_that_was_not_hit_leaves_no_trace,
    t5_the_longest_duration_means_no_timeout_in_every_setter,
    t6_zero_is_refused_and_the_message_names_the_value_for_no_timeout,
    t7_a_timeout_in_one_exchange_does_not_affect_idle_connections_or_other_exchanges,
    t8_ten_thousand_requests_with_a_total_timeout_start_no_thread,
    the_error_names_the_timeout_that_expired_first,
    a_deadline_that_is_set_while_the_call_waits_ends_it,
}

#[test]
fn submissions_on_a_pool_of_threads_time_out_too() {
    run_again_on_threads(&["submitted::t1_", "submitted::t2_", "submitted::t4_"]);
}

fn within(mut request: Request, clock: Timeout, limit: Duration) -> Request {
    request.set_timeout(clock, Some(limit)).unwrap();
    request
}

const LIMIT: Duration = ms(150);
const TEN_OF_100: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.";

fn t2_the_total_runs_across_dial_upload_and_body(form: Form) {
    // Each phase takes some time, and none alone exceeds the limit.
    let total = ms(400);
    let steps = vec![
        Step::sleep(60),
        Step::Tls(Certificate::Good),
        Step::head(),
        Step::body(),
        Step::sleep(60),
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
        Step::Drip { bytes: 100_000, every_ms: 10, chunk: 1 },
    ];
    let server = Server::start(Script::every(steps));
    let client = form.tls_client();
    let (source, account) = CountedReader::pieces(3, 100, |_| thread::sleep(ms(20)));
    let url = format!("https://localhost:{}/", server.port());
    let mut request = within(post(&url, source.chunked()), Timeout::Total, total);
    for clock in [
        Timeout::Resolve,
        Timeout::Connect,
        Timeout::Tls,
        Timeout::Write,
        Timeout::Head,
        Timeout::Read,
    ] {
        request.set_timeout(clock, Some(total - ms(10))).unwrap();
    }
    let begun = Instant::now();
    let mut response = client.send(&mut request).unwrap();
    account.assert_dropped_once();
    let error = response.read_all(usize::MAX).unwrap_err();
    assert_timed_out(&error, Timeout::Total, Phase::Read);
    assert_in_time("the total, in the body", total, begun.elapsed());
    let timings = response.timings();
    assert!(timings.tls.unwrap() >= ms(50) && timings.write.unwrap() >= ms(50), "{timings:?}");
    assert!(timings.head.unwrap() >= ms(50) && timings.read.unwrap() > ms(0), "{timings:?}");
    let parts = [timings.pool, timings.resolve, timings.connect, timings.tls, timings.write];
    let parts = parts.into_iter().chain([timings.head, timings.read]).flatten();
    assert!(parts.sum::<Duration>() <= timings.total.unwrap() + ms(5), "{timings:?}");
    assert_gone(client.manager(), server.port());
    // The same in the upload, with a slow reader.
    let server = Server::start(Script::every(vec![Step::head(), Step::body(), Step::Stall]));
    let (source, account) = CountedReader::pieces(1000, 10, |_| thread::sleep(ms(20)));
    let mut request = within(post(&server.url("/"), source.chunked()), Timeout::Total, LIMIT);
    let begun = Instant::now();
    let error = client.send(&mut request).unwrap_err();
    assert_timed_out(&error, Timeout::Total, Phase::Write);
    assert_in_time("the total, in a slow reader", LIMIT, begun.elapsed());
    account.assert_dropped_once();
}

fn t2_the_total_counts_time_that_the_caller_spends_between_reads(form: Form) {
    let server = Server::start(Script::answering("here at once, and whole"));
    let client = form.client();
    let mut response = client.get(&server.url("/"), Some(LIMIT)).unwrap();
    assert_eq!(response.read(&mut [0; 4]).unwrap(), 4);
    thread::sleep(LIMIT + ms(5));
    let error = response.read(&mut [0; 4]).unwrap_err();
    assert_timed_out(&error, Timeout::Total, Phase::Read);
    assert_gone(client.manager(), server.port());
    // The exchange is over, so its timeouts do not run.
    let over = response.timings();
    thread::sleep(ms(20));
    assert_eq!(response.timings(), over);
}

fn t3_the_head_timeout_runs_neither_during_the_upload_nor_during_the_body(form: Form) {
    let head = LIMIT;
    let steps = vec![
        Step::head(),
        Step::body(),
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n"),
        Step::Drip { bytes: 30, every_ms: 10, chunk: 1 },
    ];
    let server = Server::start(Script::every(vec![Step::forever(steps)]));
    let client = form.client();
    let (source, _) = CountedReader::pieces(20, 10, move |_| thread::sleep(head / 10));
    let mut request = within(post(&server.url("/"), source.chunked()), Timeout::Head, head);
    let begun = Instant::now();
    let mut response = client.send(&mut request).unwrap();
    assert!(begun.elapsed() >= head * 2);
    assert_eq!(response.read_all(100).unwrap().len(), 30);
    assert!(begun.elapsed() >= head * 2 + ms(290));
}

fn t3_the_head_timeout_starts_when_the_request_is_sent(form: Form) {
    let steps = vec![Step::head(), Step::body(), Step::Stall];
    let server = Server::start(Script::every(steps));
    let client = form.client();
    let (source, _) = CountedReader::pieces(10, 10, |_| thread::sleep(ms(20)));
    let mut request = within(post(&server.url("/"), source.chunked()), Timeout::Head, LIMIT);
    let begun = Instant::now();
    let error = client.send(&mut request).unwrap_err();
    assert_timed_out(&error, Timeout::Head, Phase::Head);
    let took = begun.elapsed();
    assert!(took >= ms(200) + LIMIT && took < ms(200) + LIMIT + MARGIN * 2, "{took:?}");
}

/// A body without an end, one byte every 10 ms.
fn dripping() -> Server {
    Server::start(Script::every(vec![
        Step::head(),
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
        Step::Drip { bytes: 100_000, every_ms: 10, chunk: 1 },
    ]))
}

/// Reads the body until it fails. Returns the error and the duration since the head.
fn drain(mut response: Response) -> (Error, Duration, Response) {
    let begun = Instant::now();
    let error = response.read_all(usize::MAX).unwrap_err();
    (error, begun.elapsed(), response)
}

fn t4_a_body_that_drips_keeps_read_alive_and_is_ended_by_the_total(form: Form) {
    let server = dripping();
    let client = form.client();
    let request = within(request("GET", &server.url("/")), Timeout::Read, ms(200));
    let mut request = within(request, Timeout::Total, ms(600));
    let begun = Instant::now();
    let (error, ..) = drain(client.send(&mut request).unwrap());
    assert_timed_out(&error, Timeout::Total, Phase::Read);
    assert_in_time("a drip, by the total", ms(600), begun.elapsed());
    assert_gone(client.manager(), server.port());
}

fn t4_a_body_that_drips_is_ended_by_the_minimum_rate(form: Form) {
    let server = dripping();
    let client = form.client();
    let mut request = request("GET", &server.url("/"));
    request.set_min_rate(Some((10_000, ms(200)))).unwrap();
    let (error, took, _) = drain(client.send(&mut request).unwrap());
    assert_timed_out(&error, Timeout::MinRate, Phase::Read);
    assert_in_time("a drip, by the minimum rate", ms(190), took);
    assert_gone(client.manager(), server.port());
    // A body above the minimum rate is not ended.
    request.set_min_rate(Some((20, ms(200)))).unwrap();
    request.set_timeout(Timeout::Total, Some(ms(700))).unwrap();
    let (error, ..) = drain(client.send(&mut request).unwrap());
    assert_timed_out(&error, Timeout::Total, Phase::Read);
}

fn t4_a_minimum_rate_never_keeps_the_read_timeout_from_firing(form: Form) {
    for (rate, window) in [(0, ms(10)), (0, ms(0)), (100, ms(0))] {
        let refused = request("GET", "http://127.0.0.1/").set_min_rate(Some((rate, window)));
        let kind = refused.unwrap_err().kind();
        assert!(matches!(kind, Kind::InvalidArgument | Kind::InvalidTimeout), "{kind:?}");
    }
    // Less than one byte in each window; the windows are shorter than the limit.
    for (rate, window) in [(1, ms(40)), (1, ms(1))] {
        let server =
            Server::start(Script::every(vec![Step::head(), Step::send(TEN_OF_100), Step::Stall]));
        let client = form.client();
        let mut request = within(request("GET", &server.url("/")), Timeout::Read, LIMIT);
        request.set_timeout(Timeout::Total, Some(ms(2000))).unwrap();
        request.set_min_rate(Some((rate, window))).unwrap();
        let (error, took, _) = drain(client.send(&mut request).unwrap());
        assert_eq!(error.kind(), Kind::TimedOut, "{error:?}");
        assert_ne!(
            error.timeout(),
            Timeout::Total,
            "{rate} bytes/s over {window:?}: after {took:?}"
        );
        assert_gone(client.manager(), server.port());
    }
}

fn t5_a_timeout_that_was_not_hit_leaves_no_trace(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    let mut request = request("GET", &server.url("/"));
    for clock in [
        Timeout::Total,
        Timeout::Pool,
        Timeout::Connect,
        Timeout::Write,
        Timeout::Head,
        Timeout::Read,
    ] {
        request.set_timeout(clock, Some(ms(250))).unwrap();
    }
    let mut response = client.send(&mut request).unwrap();
    assert_eq!(response.read_all(10).unwrap(), b"ok");
    thread::sleep(ms(260));
    // The connection is reused, and its next exchange has no timeout.
    assert_eq!(response.read(&mut [0; 10]).unwrap(), 0);
    let list = client.manager().connections();
    assert_eq!((list.len(), list[0].state), (1, ConnectionState::Idle));
    let mut next = get(&client, &server.url("/")).unwrap();
    assert!(next.reused());
    thread::sleep(ms(260));
    assert_eq!(next.read_all(10).unwrap(), b"ok");
    assert_eq!(server.connections(), 1);
}

fn t5_the_longest_duration_means_no_timeout_in_every_setter(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let longest = Some(Duration::MAX);
    let client = form.client_with(Limits {
        idle_for: longest,
        max_age: longest,
        keep_alive: longest,
        ..Limits::default()
    });
    let token = CancelToken::new();
    token.after(Duration::MAX);
    let mut request = request("GET", &server.url("/"));
    request.set_cancel(Some(token.clone()));
    for clock in Timeout::ALL.iter().filter(|clock| clock.can_be_set()) {
        client.set_timeout(*clock, longest).unwrap();
        request.set_timeout(*clock, longest).unwrap();
    }
    request.set_min_rate(Some((u64::MAX, Duration::MAX))).unwrap();
    for reused in [false, true] {
        let mut response = client.send(&mut request).unwrap();
        assert_eq!(response.read_all(10).unwrap(), b"ok");
        assert_eq!(response.reused(), reused);
    }
    let manager = client.manager();
    assert!(!token.is_fired());
    assert_eq!((manager.close_idle(Duration::MAX), manager.stats().idle), (0, 1));
    let mut events = manager.events(16).unwrap();
    manager.close_all(CloseMode::Now);
    assert!(events.next(longest).unwrap().is_some());
    manager.drain(longest).unwrap();
}

fn t6_zero_is_refused_and_the_message_names_the_value_for_no_timeout(form: Form) {
    let client = form.client();
    let mut request = request("GET", "http://127.0.0.1:1/");
    let zero = Some(Duration::ZERO);
    let mut errors = vec![client.get("http://127.0.0.1:1/", zero).unwrap_err()];
    for clock in Timeout::ALL.iter().copied().filter(|clock| clock.can_be_set()) {
        errors.push(client.set_timeout(clock, zero).unwrap_err());
        errors.push(request.set_timeout(clock, zero).unwrap_err());
        request.set_timeout(clock, None).unwrap();
        request.set_timeout(clock, Some(Duration::MAX)).unwrap();
    }
    for error in errors {
        assert_eq!(error.kind(), Kind::InvalidTimeout, "{error:?}");
        assert!(
            error.message().contains("None") && error.message().contains("no limit"),
            "{error}"
        );
    }
    for clock in [Timeout::None, Timeout::MinRate, Timeout::Token] {
        for limit in [Some(ms(1)), None] {
            for refused in [request.set_timeout(clock, limit), client.set_timeout(clock, limit)] {
                assert_eq!(refused.unwrap_err().kind(), Kind::InvalidArgument);
            }
        }
    }
    assert_eq!(client.manager().stats().opened, 0);
    // The longest duration means no timeout and does not overflow.
    let server = Server::start(Script::answering("ok"));
    let mut response = client.get(&server.url("/"), Some(Duration::MAX)).unwrap();
    assert_eq!(response.read_all(10).unwrap(), b"ok");
}

fn t7_a_timeout_in_one_exchange_does_not_affect_idle_connections_or_other_exchanges(form: Form) {
    let quick = vec![Step::forever(vec![Step::answer(200, "ok")])];
    let slow = vec![Step::head(), Step::Stall];
    let held = vec![
        Step::Recv(Until::Head),
        Step::send(TEN_OF_100),
        Step::wait_for("go"),
        Step::Fill { bytes: 90, byte: 'x' },
    ];
    let server = Server::start(Script::new(vec![quick, held, slow]));
    let client = form.client();
    let mut idle = get(&client, &server.url("/")).unwrap();
    let mut open = {
        let mut fresh = request("GET", &server.url("/"));
        fresh.set_connection_mode(hangup::ConnectionMode::Fresh);
        client.send(&mut fresh).unwrap()
    };
    let mut slow = within(request("GET", &server.url("/")), Timeout::Head, LIMIT);
    slow.set_connection_mode(hangup::ConnectionMode::Fresh);
    assert_eq!(idle.read_all(10).unwrap(), b"ok");
    timed_out("beside others", Timeout::Head, Phase::Head, LIMIT, || client.send(&mut slow));
    let stats = client.manager().stats();
    assert_eq!((stats.idle, stats.in_use), (1, 1));
    server.release("go");
    assert_eq!(open.read_all(1000).unwrap().len(), 100);
    assert!(get(&client, &server.url("/")).unwrap().reused());
}

fn t8_ten_thousand_requests_with_a_total_timeout_start_no_thread(form: Form) {
    in_own_process(
        &form.name("t8_ten_thousand_requests_with_a_total_timeout_start_no_thread"),
        || {
            let server = Server::start(Script::answering("ok"));
            let client = form.client();
            fetch(&client, &server.url("/")).unwrap();
            let before = threads();
            let mut request = within(request("GET", &server.url("/")), Timeout::Total, ms(60_000));
            let mut most = 0;
            for round in 0..10_000 {
                let mut response = client.send(&mut request).unwrap();
                if round % 100 == 0 {
                    most = most.max(threads());
                }
                assert_eq!(response.read_all(10).unwrap(), b"ok");
            }
            assert_eq!((most, threads()), (before, before));
            // Tokens with deadlines need no thread or one for all of them.
            for round in 0..1000 {
                let token = CancelToken::new();
                request.set_cancel(Some(token.clone()));
                let mut response = client.send(&mut request).unwrap();
                token.after(ms(60_000 + round));
                assert_eq!(response.read_all(10).unwrap(), b"ok");
            }
            assert!(threads() <= before + 1, "{} threads instead of {before}", threads());
            assert_eq!(server.connections(), 1);
        },
    );
}

fn the_error_names_the_timeout_that_expired_first(form: Form) {
    let server = Server::start(Script::every(vec![Step::head(), Step::Stall]));
    let client = form.client();
    let orders = [(Timeout::Head, Timeout::Total), (Timeout::Total, Timeout::Head)];
    for (first, second) in orders {
        let request = within(request("GET", &server.url("/")), first, ms(60));
        let mut request = within(request, second, ms(90));
        timed_out("the first of two", first, Phase::Head, ms(60), || client.send(&mut request));
    }
    // The client's timeout applies if the request has none of its own.
    client.set_timeout(Timeout::Head, Some(ms(60))).unwrap();
    let work = || get(&client, &server.url("/"));
    timed_out("the client's own", Timeout::Head, Phase::Head, ms(60), work);
    let mut request = within(request("GET", &server.url("/")), Timeout::Head, LIMIT);
    timed_out("over the client's own", Timeout::Head, Phase::Head, LIMIT, || {
        client.send(&mut request)
    });
    assert_gone(client.manager(), server.port());
    wait_until("the server's ends", || server.open_connections() == 0);
}

fn a_deadline_that_is_set_while_the_call_waits_ends_it(form: Form) {
    let server = Server::start(Script::every(vec![Step::head(), Step::mark("head"), Step::Stall]));
    let client = form.client();
    let token = CancelToken::new();
    let mut request = post(&server.url("/"), Body::bytes(b"x"));
    request.set_cancel(Some(token.clone()));
    thread::scope(|scope| {
        let work = scope.spawn(|| (client.send(&mut request).unwrap_err(), Instant::now()));
        assert!(server.wait_mark("head", PATIENCE));
        let set = Instant::now();
        token.after(LIMIT);
        let (error, ended) = work.join().unwrap();
        assert_timed_out(&error, Timeout::Token, Phase::Head);
        assert_in_time("a deadline set late", LIMIT, ended - set);
    });
    assert_gone(client.manager(), server.port());
}
