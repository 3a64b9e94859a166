//! Each phase against a server or a resolver that stalls there: it is ended by the phase's own timeout, by the request's
//! total timeout and by its token's deadline (T1).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hangup::{CancelToken, CloseReason, Phase, Request, Sent, Timeout};
use testserver::{BlackHole, Script, Server, Step};

use super::{LIMIT, TEN_OF_100, within};
use crate::support::counted_reader::CountedReader;
use crate::support::form::{Form, in_both_forms};
use crate::support::inspect::{
    assert_at_rest, assert_gone, assert_sockets, count_sockets, wait_at_rest, wait_gone,
};
use crate::support::outcome::{assert_in_time, assert_timed_out, timed_out};
use crate::support::own_process::{BLOCKED, blocking_resolver, in_own_process_with};
use crate::support::{PATIENCE, fetch, ms, post, request};

in_both_forms! {
    t1_resolve_against_a_resolver_that_blocks,
    t1_connect_against_a_black_hole,
    t1_tls_against_a_silent_server,
    t1_write_against_a_server_that_does_not_read,
    t1_head_against_a_server_that_is_slow_to_answer,
    t1_head_and_read_on_a_connection_that_served_other_requests,
    t1_a_head_that_drips_is_one_wait,
    t1_read_against_a_body_that_stalls,
}

/// After so many requests a thread waits for its connection in another way than in the first one.
const SERVED: usize = 4;

/// Sets a limit.
type Set = Box<dyn Fn(&mut Request)>;

/// The three timeouts that can end a phase: its own, the total, and the token's deadline.
fn three(own: Timeout, limit: Duration) -> [(Timeout, Set); 3] {
    let set = move |clock| -> Set {
        Box::new(move |request| request.set_timeout(clock, Some(limit)).unwrap())
    };
    let token: Set = Box::new(move |request| {
        let token = CancelToken::new();
        token.after(limit);
        request.set_cancel(Some(token));
    });
    [(own, set(own)), (Timeout::Total, set(Timeout::Total)), (Timeout::Token, token)]
}

fn t1_resolve_against_a_resolver_that_blocks(form: Form) {
    let name = &form.name("phases::t1_resolve_against_a_resolver_that_blocks");
    let shim = blocking_resolver();
    in_own_process_with(name, &[("LD_PRELOAD", shim.to_str().unwrap())], || {
        for (clock, set) in three(Timeout::Resolve, LIMIT) {
            let client = form.client();
            let mut request = request("GET", &format!("http://{BLOCKED}:8000/"));
            set(&mut request);
            let what = format!("resolve by {clock}");
            let work = || client.send(&mut request);
            let error = timed_out(&what, clock, Phase::Resolve, LIMIT, work);
            assert_eq!((error.sent(), error.retry_safe()), (Sent::Nothing, true));
            assert_gone(client.manager(), 8000);
        }
    });
}

fn t1_connect_against_a_black_hole(form: Form) {
    for (clock, set) in three(Timeout::Connect, LIMIT) {
        let hole = BlackHole::new();
        let fillers = count_sockets(hole.port());
        let client = form.client();
        let mut request = request("GET", &hole.url("/"));
        set(&mut request);
        let what = format!("connect by {clock}");
        let error = timed_out(&what, clock, Phase::Connect, LIMIT, || client.send(&mut request));
        assert_eq!((error.sent(), error.retry_safe()), (Sent::Nothing, true));
        // The connect timeout ends the dial; otherwise it goes on in the background for a moment.
        match clock {
            Timeout::Connect => assert_at_rest(client.manager()),
            _ => wait_at_rest(client.manager()),
        }
        assert_sockets(hole.port(), fillers);
    }
}

fn t1_tls_against_a_silent_server(form: Form) {
    for (clock, set) in three(Timeout::Tls, LIMIT) {
        let server = Server::start(Script::every(vec![Step::Stall]));
        let client = form.tls_client();
        let mut request = request("GET", &format!("https://localhost:{}/", server.port()));
        set(&mut request);
        let what = format!("tls by {clock}");
        let error = timed_out(&what, clock, Phase::Tls, LIMIT, || client.send(&mut request));
        assert_eq!((error.sent(), error.retry_safe()), (Sent::Nothing, true));
        match clock {
            Timeout::Tls => assert_gone(client.manager(), server.port()),
            _ => wait_gone(client.manager(), server.port()),
        }
        assert!(server.wait_ended(0, PATIENCE).is_some());
    }
}

fn t1_write_against_a_server_that_does_not_read(form: Form) {
    for (clock, set) in three(Timeout::Write, LIMIT) {
        let server = Server::start(Script::every(vec![Step::head(), Step::Stall]));
        let client = form.client();
        // The last read of the body: the write timeout runs from there.
        let begun = Instant::now();
        let last = Arc::new(AtomicU64::new(0));
        let noted = Arc::clone(&last);
        let (source, account) = CountedReader::new(move |_, into| {
            noted.store(begun.elapsed().as_nanos() as u64, Ordering::SeqCst);
            Ok(into.len())
        });
        let mut request = post(&server.url("/"), source.of_length(1 << 40));
        set(&mut request);
        let error = client.send(&mut request).unwrap_err();
        let took = begun.elapsed();
        assert_timed_out(&error, clock, Phase::Write);
        let since = match clock {
            Timeout::Write => took - Duration::from_nanos(last.load(Ordering::SeqCst)),
            _ => took,
        };
        assert_in_time(&format!("write by {clock}"), LIMIT, since);
        assert_eq!((error.sent(), error.retry_safe()), (Sent::Part, false));
        account.assert_dropped_once();
        assert_gone(client.manager(), server.port());
        let why = client.manager().close_reason(error.connection_id().unwrap());
        assert_eq!(why, Some(CloseReason::TimedOut));
    }
}

fn t1_head_against_a_server_that_is_slow_to_answer(form: Form) {
    for said in ["", "HTTP/1.1 200 OK\r\nConte", "HTTP/1.1 103 Early Hints\r\n\r\n"] {
        for (clock, set) in three(Timeout::Head, LIMIT) {
            let server =
                Server::start(Script::every(vec![Step::head(), Step::send(said), Step::Stall]));
            let client = form.client();
            let mut request = request("GET", &server.url("/"));
            set(&mut request);
            let what = format!("head by {clock}");
            let error = timed_out(&what, clock, Phase::Head, LIMIT, || client.send(&mut request));
            assert_eq!((error.sent(), error.retry_safe()), (Sent::All, true));
            assert_gone(client.manager(), server.port());
            assert!(server.wait_ended(0, PATIENCE).is_some());
        }
    }
}

fn t1_head_and_read_on_a_connection_that_served_other_requests(form: Form) {
    for (said, own, phase) in
        [("", Timeout::Head, Phase::Head), (TEN_OF_100, Timeout::Read, Phase::Read)]
    {
        for limit in [LIMIT, ms(60)] {
            for (clock, set) in three(own, limit) {
                let mut steps = vec![Step::answer(200, "ok"); SERVED];
                steps.extend([Step::head(), Step::send(said), Step::Stall]);
                let server = Server::start(Script::every(steps));
                let client = form.client();
                for _ in 0..SERVED {
                    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
                }
                let mut last = request("GET", &server.url("/"));
                set(&mut last);
                let what = format!("{phase} of a later request by {clock}");
                let work = || client.send(&mut last)?.read_all(100);
                let error = timed_out(&what, clock, phase, limit, work);
                assert!(error.reused());
                assert_gone(client.manager(), server.port());
            }
        }
    }
}

fn t1_a_head_that_drips_is_one_wait(form: Form) {
    let drip = Step::Drip { bytes: 1000, every_ms: 10, chunk: 1 };
    let steps = vec![Step::head(), Step::send("HTTP/1.1 200 OK\r\nX: "), drip];
    let server = Server::start(Script::every(steps));
    let client = form.client();
    let mut request = within(request("GET", &server.url("/")), Timeout::Head, LIMIT);
    timed_out("a head that drips", Timeout::Head, Phase::Head, LIMIT, || client.send(&mut request));
    assert_gone(client.manager(), server.port());
}

fn t1_read_against_a_body_that_stalls(form: Form) {
    for (clock, set) in three(Timeout::Read, LIMIT) {
        let server =
            Server::start(Script::every(vec![Step::head(), Step::send(TEN_OF_100), Step::Stall]));
        let client = form.client();
        let mut request = request("GET", &server.url("/"));
        set(&mut request);
        let begun = Instant::now();
        let mut response = client.send(&mut request).unwrap();
        assert_eq!(response.read(&mut [0; 100]).unwrap(), 10);
        let blocked = Instant::now();
        let error = response.read(&mut [0; 100]).unwrap_err();
        assert_timed_out(&error, clock, Phase::Read);
        let since = if clock == Timeout::Read { blocked } else { begun };
        assert_in_time(&format!("read by {clock}"), LIMIT, since.elapsed());
        // The error stays the same, and the end of the body is never reported.
        assert_timed_out(&response.read(&mut [0; 100]).unwrap_err(), clock, Phase::Read);
        assert_gone(client.manager(), server.port());
    }
}
