//! A cancel or a close in each step of each kind of proxy handshake, and the slot that a silent proxy holds (C6, L5).

use std::thread;
use std::time::{Duration, Instant};

use hangup::{CancelToken, CloseMode, ConnectionState, Kind, Limits, Phase, Timeout};
use testserver::{Certificate, Script, Server, Step};

use super::refusals::silences;
use super::{admitted, through};
use crate::support::form::{Form, in_both_forms};
use crate::support::inspect::{assert_gone, assert_sockets, sockets};
use crate::support::outcome::{assert_cancelled, cancelled};
use crate::support::{PATIENCE, get, ms, request, wait_until};

in_both_forms! {
    c6_cancel_in_each_step_of_each_kind_of_proxy,
    x2_close_now_in_each_step_of_each_kind_of_proxy_is_immediate,
    l5_the_slot_of_a_silent_proxy_is_free_again_soon,
    r14_the_tunnel_of_a_cancelled_request_serves_the_next,
}

/// How long the dial of a cancelled exchange goes on, and what a busy machine adds to it.
const GRACE: Duration = Duration::from_millis(1500);
const LATE: Duration = Duration::from_millis(1500);

fn c6_cancel_in_each_step_of_each_kind_of_proxy(form: Form) {
    let origin = Server::start(Script::every(vec![Step::Stall]));
    let url = format!("https://localhost:{}/", origin.port());
    thread::scope(|scope| {
        for (what, proxy, phase) in silences() {
            let url = &url;
            scope.spawn(move || {
                let client = admitted(form, &proxy.url());
                let token = CancelToken::new();
                let mut request = request("GET", url);
                request.set_cancel(Some(token.clone()));
                let state =
                    if phase == Phase::Tls { ConnectionState::Tls } else { ConnectionState::Proxy };
                let error = cancelled(
                    &what,
                    &token,
                    phase,
                    || client.send(&mut request),
                    |_| {
                        let list = || client.manager().connections();
                        wait_until(&what, || proxy.is_there() && list()[0].state == state);
                    },
                );
                let fired = Instant::now();
                assert!(error.retry_safe());
                let (_, at) = proxy.ledger().wait_ended(0, PATIENCE).expect("the proxy sees it");
                let after = at.saturating_duration_since(fired);
                assert!(after < GRACE + LATE, "{what}: {after:?}");
                wait_until("the end of the dial", || client.manager().stats().dialling == 0);
                // The connection is counted as closed first, and its socket is closed before its slot is given away.
                wait_until("the end of its socket", || sockets(proxy.port()).is_empty());
                assert_gone(client.manager(), proxy.port());
                assert_eq!(client.manager().stats().dials_failed, 1, "{what}");
            });
        }
    });
}

fn x2_close_now_in_each_step_of_each_kind_of_proxy_is_immediate(form: Form) {
    let origin = Server::start(Script::every(vec![Step::Stall]));
    let url = format!("https://localhost:{}/", origin.port());
    for (what, proxy, phase) in silences() {
        let client = admitted(form, &proxy.url());
        thread::scope(|scope| {
            let work = scope.spawn(|| get(&client, &url).map(drop).unwrap_err());
            let state =
                if phase == Phase::Tls { ConnectionState::Tls } else { ConnectionState::Proxy };
            let list = || client.manager().connections();
            wait_until(&what, || proxy.is_there() && list()[0].state == state);
            client.manager().close_all(CloseMode::Now);
            let error = work.join().unwrap();
            assert_eq!((error.kind(), error.phase()), (Kind::Closed, phase), "{what}: {error}");
        });
        assert_gone(client.manager(), proxy.port());
        assert!(proxy.ledger().wait_ended(0, PATIENCE).is_some(), "{what}");
    }
}

/// A proxy and its origin in one: silent on the first connection, then it opens tunnels.
fn silent_once() -> Server {
    let works = vec![
        Step::head(),
        Step::send("HTTP/1.1 200 OK\r\n\r\n"),
        Step::Tls(Certificate::Good),
        Step::forever(vec![Step::answer(200, "ok")]),
    ];
    Server::start(Script::new(vec![vec![Step::head(), Step::Stall], works]))
}

fn l5_the_slot_of_a_silent_proxy_is_free_again_soon(form: Form) {
    for by in ["cancel", "connect", "total"] {
        let proxy = silent_once();
        let client = through(form, &format!("http://127.0.0.1:{}", proxy.port()));
        let limits = Limits { per_origin: 1, ..Limits::default() };
        client.manager().set_limits(limits).unwrap();
        let token = CancelToken::new();
        let mut first = request("GET", "https://localhost:1/");
        first.set_cancel(Some(token.clone()));
        match by {
            "connect" => first.set_timeout(Timeout::Connect, Some(ms(300))).unwrap(),
            "total" => first.set_timeout(Timeout::Total, Some(ms(300))).unwrap(),
            _ => {}
        }
        thread::scope(|scope| {
            let work = scope.spawn(|| client.send(&mut first).map(drop).unwrap_err());
            assert!(proxy.wait_heads(1, PATIENCE));
            if by == "cancel" {
                token.fire(Some(crate::support::outcome::REASON));
            }
            let error = work.join().unwrap();
            match by {
                "cancel" => assert_cancelled(&error, Phase::Proxy),
                _ => assert_eq!((error.kind(), error.phase()), (Kind::TimedOut, Phase::Proxy)),
            }
        });
        let begun = Instant::now();
        let mut response = get(&client, "https://localhost:1/").unwrap();
        let took = begun.elapsed();
        assert_eq!(response.read_all(10).unwrap(), b"ok");
        println!("the slot after {by}: {took:?}");
        assert!(took < GRACE + LATE, "{by}: {took:?}");
        assert_eq!(proxy.connections(), 2);
        assert_sockets(proxy.port(), 1);
    }
}

fn r14_the_tunnel_of_a_cancelled_request_serves_the_next(form: Form) {
    let works = vec![
        Step::head(),
        Step::wait_for("go"),
        Step::send("HTTP/1.1 200 OK\r\n\r\n"),
        Step::Tls(Certificate::Good),
        Step::forever(vec![Step::answer(200, "ok")]),
    ];
    let proxy = Server::start(Script::every(works));
    let client = through(form, &format!("http://127.0.0.1:{}", proxy.port()));
    let token = CancelToken::new();
    let mut request = request("GET", "https://localhost:1/");
    request.set_cancel(Some(token.clone()));
    let ready = |_| assert!(proxy.wait_heads(1, PATIENCE));
    cancelled("in a slow CONNECT", &token, Phase::Proxy, || client.send(&mut request), ready);
    proxy.release("go");
    let mut response = get(&client, "https://localhost:1/").unwrap();
    assert_eq!(response.read_all(10).unwrap(), b"ok");
    assert_eq!(proxy.connections(), 1);
    assert_eq!(sockets(proxy.port()).len(), 1);
    assert_eq!(client.manager().connections()[0].requests, 1);
}
