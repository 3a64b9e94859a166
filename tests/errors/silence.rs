//! What an error after a silent wait, and the list of connections, tell of TCP. Loopback acknowledges everything: that a
//! request is not acknowledged is tested in `src/client/silence.rs` with numbers that are put in the system's place, and in
//! `tests/network`.

use hangup::{
    Acknowledged, Body, CancelToken, ConnectionState, Error, Kind, Phase, TcpFacts, Timeout,
};
use serde_json::Value;
use testserver::{Certificate, Options, Script, Server, Step};

use crate::support::form::{Form, in_both_forms};
use crate::support::{PATIENCE, fetch, get, ms, post, request, wait_until};

in_both_forms! {
    a_server_that_does_not_answer_has_acknowledged_the_request,
    the_deadline_of_a_token_tells_as_much_as_a_timeout,
    a_server_that_reads_nothing_acknowledges_a_part_and_takes_no_more,
    a_body_that_stops_is_told_from_a_request_that_is_lost,
    a_stream_that_is_silent_has_acknowledged_what_was_written,
    a_failure_that_is_no_silence_and_a_unix_domain_socket_have_no_facts_of_tcp,
    the_list_shows_what_tcp_knows_of_each_connection,
}

/// A plain server and one in TLS.
fn both(steps: Vec<Step>) -> [Server; 2] {
    let script = Script::every(steps);
    [Server::start(script.clone()), Server::start_tls(Certificate::Good, script)]
}

fn json(error: &Error) -> Value {
    serde_json::from_str(&error.to_json()).unwrap()
}

/// The facts of an error by that timeout.
#[track_caller]
fn after(error: &Error, timeout: Timeout, phase: Phase) -> TcpFacts {
    assert_eq!((error.kind(), error.timeout(), error.phase()), (Kind::TimedOut, timeout, phase));
    let facts = error.tcp_facts().unwrap_or_else(|| panic!("no facts: {error}"));
    let json = json(error);
    assert_eq!(json["acknowledged"], error.acknowledged().unwrap().name());
    let tcp = &json["tcp_facts"];
    assert_eq!(tcp["rtt_us"].as_u64(), facts.rtt.map(|rtt| rtt.as_micros() as u64));
    assert_eq!(tcp["silence_ms"], facts.silence.as_millis() as u64);
    assert_eq!(tcp["unacked_bytes"], facts.unacked_bytes);
    assert_eq!(tcp["unsent_bytes"], facts.unsent_bytes);
    assert_eq!(tcp["retransmissions"], facts.retransmissions);
    assert_eq!(tcp["retransmissions_in_row"], facts.retransmissions_in_row);
    assert_eq!(tcp["unanswered_probes"], facts.unanswered_probes);
    assert!(error.message().ends_with(&format!(" ({facts:#})")), "{error}");
    assert!(format!("{error:?}").contains("TcpFacts"), "{error:?}");
    facts
}

fn a_server_that_does_not_answer_has_acknowledged_the_request(form: Form) {
    for server in both(vec![Step::head(), Step::wait_for("the end")]) {
        for timeout in [Timeout::Head, Timeout::Total] {
            let client = form.tls_client();
            let mut request = request("GET", &server.url("/"));
            request.set_timeout(timeout, Some(ms(300))).unwrap();
            let error = client.send(&mut request).unwrap_err();
            let facts = after(&error, timeout, Phase::Head);
            assert_eq!(error.acknowledged(), Some(Acknowledged::All));
            assert_eq!((facts.unacked_bytes, facts.retransmissions_in_row), (0, 0));
            assert!(facts.rtt.is_some() && facts.silence >= ms(100), "{facts:?}");
            let says =
                "; the request was acknowledged, and there is no answer yet (round-trip time ";
            assert!(error.message().contains(says), "{error}");
        }
    }
}

fn the_deadline_of_a_token_tells_as_much_as_a_timeout(form: Form) {
    for server in both(vec![Step::head(), Step::wait_for("the end")]) {
        let client = form.tls_client();
        // The token may end the exchange, or the wait ends by itself.
        for _ in 0..8 {
            let mut request = request("GET", &server.url("/"));
            let token = CancelToken::new();
            token.after(ms(60));
            request.set_cancel(Some(token));
            let error = client.send(&mut request).unwrap_err();
            // A dial of a busy machine may take that long.
            if error.phase() == Phase::Head {
                after(&error, Timeout::Token, Phase::Head);
                assert_eq!(error.acknowledged(), Some(Acknowledged::All));
            }
        }
    }
}

fn a_server_that_reads_nothing_acknowledges_a_part_and_takes_no_more(form: Form) {
    for server in both(vec![Step::head(), Step::wait_for("the end")]) {
        let client = form.tls_client();
        let mut request = post(&server.url("/"), Body::reader(std::io::repeat(b'x'), None));
        request.set_timeout(Timeout::Write, Some(ms(300))).unwrap();
        let error = client.send(&mut request).unwrap_err();
        let facts = after(&error, Timeout::Write, Phase::Write);
        assert_eq!(error.acknowledged(), Some(Acknowledged::Part));
        assert!(facts.unsent_bytes > 0 && facts.unsent_bytes <= facts.unacked_bytes, "{facts:?}");
        let says =
            format!("(its receive window is full), so that {} bytes wait", facts.unsent_bytes);
        assert!(error.message().contains(&says), "{error}");
    }
}

fn a_body_that_stops_is_told_from_a_request_that_is_lost(form: Form) {
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    let head_begun = "HTTP/1.1 200 OK\r\nContent-";
    for (sends, phase, says) in [
        (
            begun,
            Phase::Read,
            "; the peer acknowledged the request and sends no more of its answer (",
        ),
        (
            head_begun,
            Phase::Head,
            "; the peer acknowledged the request and sends no more of its response head (",
        ),
    ] {
        for server in both(vec![Step::head(), Step::send(sends), Step::wait_for("the end")]) {
            let client = form.tls_client();
            client.set_timeout(Timeout::Head, Some(ms(300))).unwrap();
            client.set_timeout(Timeout::Read, Some(ms(300))).unwrap();
            let error = fetch(&client, &server.url("/")).unwrap_err();
            let timeout = if phase == Phase::Read { Timeout::Read } else { Timeout::Head };
            after(&error, timeout, phase);
            assert_eq!(error.acknowledged(), Some(Acknowledged::All));
            assert!(error.message().contains(says), "{error}");
        }
    }
}

fn a_stream_that_is_silent_has_acknowledged_what_was_written(form: Form) {
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n";
    for server in both(vec![Step::head(), Step::send(switch), Step::wait_for("the end")]) {
        let client = form.tls_client();
        let mut request = request("GET", &server.url("/"));
        request.add_header("Upgrade", "lines").unwrap();
        let stream = client.send(&mut request).unwrap().take_stream().unwrap();
        stream.write_all(b"hello").unwrap();
        stream.set_timeout(Timeout::Read, Some(ms(100))).unwrap();
        let error = stream.read(8).unwrap_err();
        after(&error, Timeout::Read, Phase::Read);
        assert_eq!(error.acknowledged(), Some(Acknowledged::All));
        assert!(
            error.message().contains("; the peer acknowledged all that was written ("),
            "{error}"
        );
        // Until no more goes in.
        stream.set_timeout(Timeout::Write, Some(ms(100))).unwrap();
        let error = loop {
            if let Err(error) = stream.write_all(&[b'x'; 64 * 1024]) {
                break error;
            }
        };
        let facts = after(&error, Timeout::Write, Phase::Write);
        assert_eq!(error.acknowledged(), Some(Acknowledged::Part));
        assert!(facts.unsent_bytes > 0 && error.message().contains("takes no more"), "{error}");
    }
}

fn a_failure_that_is_no_silence_and_a_unix_domain_socket_have_no_facts_of_tcp(form: Form) {
    let closes = Server::start(Script::every(vec![Step::head()]));
    let error = get(&form.client(), &closes.url("/")).unwrap_err();
    assert_eq!(
        (error.kind(), error.acknowledged(), error.tcp_facts()),
        (Kind::PeerClosed, None, None)
    );
    let (nothing, json) = (Value::Null, json(&error));
    assert_eq!((&json["acknowledged"], &json["tcp_facts"]), (&nothing, &nothing));

    let silent = Script::every(vec![Step::head(), Step::wait_for("the end")]);
    let unix = Server::start_with(Options { unix: true, ..Options::default() }, silent).unwrap();
    let path = unix.socket_path().unwrap().to_str().unwrap().replace('/', "%2F");
    let client = form.client();
    client.set_timeout(Timeout::Head, Some(ms(30))).unwrap();
    let error = get(&client, &format!("http+unix://{path}/")).unwrap_err();
    assert_eq!(
        (error.kind(), error.acknowledged(), error.tcp_facts()),
        (Kind::TimedOut, None, None)
    );
    assert_eq!(error.message(), "timed out: the head limit of 30 ms ran out (phase: head)");
}

fn the_list_shows_what_tcp_knows_of_each_connection(form: Form) {
    for server in both(vec![Step::forever(vec![Step::answer(200, "ok")])]) {
        let client = form.tls_client();
        assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
        let row = || client.manager().connections().remove(0);
        let idle = row();
        assert_eq!(idle.state, ConnectionState::Idle);
        let facts = idle.tcp_facts.unwrap();
        assert!(facts.rtt.is_some(), "{facts:?}");
        assert_eq!((facts.retransmissions_in_row, facts.unanswered_probes), (0, 0));
        wait_until("the server acknowledges all", || row().tcp_facts.unwrap().unacked_bytes == 0);
        wait_until("it is silent", || row().tcp_facts.unwrap().silence >= ms(40));
        assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
        let again = row();
        assert!(again.tcp_facts.unwrap().silence < PATIENCE);
        let list: Value = serde_json::from_str(&hangup::ConnectionInfo::list_to_json(
            std::slice::from_ref(&again),
        ))
        .unwrap();
        let tcp = again.tcp_facts.unwrap();
        assert_eq!(list[0]["tcp_facts"]["silence_ms"], tcp.silence.as_millis() as u64);
        assert_eq!(list[0]["tcp_facts"]["retransmissions"], tcp.retransmissions);
        let mut nowhere = again;
        nowhere.tcp_facts = None;
        let list: Value =
            serde_json::from_str(&hangup::ConnectionInfo::list_to_json(&[nowhere])).unwrap();
        assert!(list[0]["tcp_facts"].is_null());
    }
    // What a server does not read is not acknowledged.
    let server = Server::start(Script::every(vec![Step::head(), Step::wait_for("the end")]));
    let client = form.client();
    let mut upload = post(&server.url("/"), Body::reader(std::io::repeat(b'x'), None));
    upload.set_timeout(Timeout::Write, Some(PATIENCE)).unwrap();
    let token = hangup::CancelToken::new();
    upload.set_cancel(Some(token.clone()));
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| client.send(&mut upload).map(drop));
        wait_until("the window is full", || {
            let list = client.manager().connections();
            list.iter().any(|row| row.tcp_facts.is_some_and(|facts| facts.unsent_bytes > 100_000))
        });
        token.fire(None);
        assert_eq!(sending.join().unwrap().unwrap_err().kind(), Kind::Cancelled);
    });
}
