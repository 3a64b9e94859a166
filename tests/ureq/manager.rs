//! What the manager does for ureq's connections.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use hangup::{
    CancelToken, Client, CloseMode, CloseReason, ConnectionState, Kind, Limits, Manager, Phase,
    Timeout,
};
use testserver::{Script, Server, Step};

use super::{agent, config, inner};
use crate::support::form::Form;
use crate::support::{fetch, wait_until};

#[test]
fn ureq_and_the_librarys_own_client_share_connections() {
    let server = Server::start(Script::answering("ok"));
    let (client, agent) = agent();
    client.set_proxy(None).unwrap();
    for _ in 0..2 {
        agent.get(server.url("/")).call().unwrap().body_mut().read_to_string().unwrap();
        let own = Form::Blocking.of(Client::new(Arc::clone(client.manager())));
        own.set_proxy(None).unwrap();
        assert_eq!(fetch(&own, &server.url("/")).unwrap(), b"ok");
    }
    assert_eq!(server.connections(), 1);
    let rows = client.manager().connections();
    assert_eq!((rows.len(), rows[0].requests, rows[0].state), (1, 4, ConnectionState::Idle));
}

#[test]
fn the_limits_of_the_manager_hold() {
    let server = Server::start(Script::by_path([(
        "*",
        vec![
            Step::head(),
            Step::mark("asked"),
            Step::wait_for("go"),
            Step::send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ],
    )]));
    let limits = Limits { per_origin: 1, ..Limits::default() };
    let client = Client::new(Arc::new(Manager::new(limits)));
    let agent = hangup::ureq::agent(&client, config().build());
    let calls: Vec<_> = (0..2)
        .map(|_| {
            let (agent, url) = (agent.clone(), server.url("/"));
            std::thread::spawn(move || agent.get(url).call().unwrap().status().as_u16())
        })
        .collect();
    assert!(server.wait_mark("asked", crate::support::PATIENCE));
    wait_until("the other one waits", || client.manager().stats().queued == 1);
    assert_eq!(client.manager().connections().len(), 1);
    server.release("go");
    assert!(calls.into_iter().all(|call| call.join().unwrap() == 200));
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_connection_that_is_closed_by_its_id_ends_the_call() {
    let server = Server::start(Script::every(vec![
        Step::head(),
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
        Step::Stall,
    ]));
    let (client, agent) = agent();
    let mut response = agent.get(server.url("/")).call().unwrap();
    let row = client.manager().connections().remove(0);
    assert_eq!(row.state, ConnectionState::InUse);
    let manager = Arc::clone(client.manager());
    let closing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        manager.close_connection(row.id, CloseMode::Now).unwrap();
    });
    let mut body = Vec::new();
    let error = response.body_mut().as_reader().read_to_end(&mut body).unwrap_err();
    closing.join().unwrap();
    assert_eq!(body, b"abc");
    let error = ureq::Error::from(error);
    assert_eq!(inner(&error).kind(), Kind::Closed);
    drop(response);
    assert_eq!(client.manager().close_reason(row.id), Some(CloseReason::ClosedById));
}

#[test]
fn a_token_cancels_a_call_in_each_phase() {
    let server = Server::start(Script::by_path([
        ("/head", vec![Step::head(), Step::mark("head"), Step::Stall]),
        (
            "/body",
            vec![
                Step::head(),
                Step::send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
                Step::mark("body"),
                Step::Stall,
            ],
        ),
    ]));
    let (client, agent) = agent();
    for phase in ["head", "body"] {
        let token = CancelToken::new();
        let (agent, its_token) = (agent.clone(), token.clone());
        let url = server.url(&format!("/{phase}"));
        let call = std::thread::spawn(move || {
            let outcome = hangup::ureq::with_cancel(&its_token, || agent.get(url).call());
            outcome.and_then(|mut response| response.body_mut().read_to_string()).unwrap_err()
        });
        assert!(server.wait_mark(phase, crate::support::PATIENCE));
        token.fire(Some("enough"));
        let error = call.join().unwrap();
        assert_eq!(
            (inner(&error).kind(), inner(&error).reason()),
            (Kind::Cancelled, Some("enough"))
        );
        wait_until("the connection is closed", || client.manager().connections().is_empty());
    }
    // Outside the scope a call has no token, and a fired token ends a call before it dials.
    let token = CancelToken::new();
    token.fire(Some("too early"));
    let url = server.url("/head");
    let error = hangup::ureq::with_cancel(&token, || agent.get(&url).call()).unwrap_err();
    assert_eq!(inner(&error).kind(), Kind::Cancelled);
    let quick = Server::start(Script::answering("ok"));
    assert_eq!(agent.get(quick.url("/")).call().unwrap().status(), 200);
}

#[test]
fn the_deadline_of_a_token_ends_a_call_on_a_new_and_on_a_kept_connection() {
    let server = Server::start(Script::by_path([
        ("/quick", vec![Step::answer(200, "ok")]),
        ("/head", vec![Step::head(), Step::Stall]),
        (
            "/body",
            vec![
                Step::head(),
                Step::send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
                Step::Stall,
            ],
        ),
    ]));
    let (client, agent) = agent();
    for (path, phase) in [("/head", Phase::Head), ("/body", Phase::Read)] {
        for kept in [false, true] {
            if kept {
                agent
                    .get(server.url("/quick"))
                    .call()
                    .unwrap()
                    .body_mut()
                    .read_to_string()
                    .unwrap();
            }
            let token = CancelToken::new();
            token.after(Duration::from_millis(60));
            let outcome = hangup::ureq::with_cancel(&token, || agent.get(server.url(path)).call());
            let outcome = outcome.and_then(|mut response| response.body_mut().read_to_string());
            let error = outcome.unwrap_err();
            let error = inner(&error);
            assert_eq!((error.kind(), error.timeout()), (Kind::TimedOut, Timeout::Token));
            assert_eq!((error.phase(), error.reused()), (phase, kept), "{error:?}");
            assert!(client.manager().connections().is_empty());
        }
    }
}

#[test]
fn a_connection_with_anything_unclear_is_not_used_again() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let server =
            Server::start(Script::every(vec![Step::head(), Step::send(response), Step::Stall]));
        let (client, agent) = agent();
        for _ in 0..2 {
            match agent.get(server.url("/")).call() {
                Ok(mut got) => {
                    assert_eq!(got.body_mut().read_to_string().unwrap(), "ok", "{response}")
                }
                Err(error) => assert!(matches!(error, ureq::Error::Protocol(_)), "{error:?}"),
            }
        }
        assert_eq!(server.connections(), 2, "{response}");
        assert_eq!(client.manager().stats().reused, 0, "{response}");
    }
}

#[test]
fn a_response_that_is_dropped_unread_closes_its_connection() {
    let server = Server::start(Script::every(vec![
        Step::head(),
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
        Step::Stall,
    ]));
    let (client, agent) = agent();
    let response = agent.get(server.url("/")).call().unwrap();
    let id = client.manager().connections()[0].id;
    drop(response);
    assert!(client.manager().connections().is_empty());
    assert_eq!(client.manager().close_reason(id), Some(CloseReason::BodyLeftUnread));
}

#[test]
fn a_shut_down_manager_refuses_calls() {
    let server = Server::start(Script::answering("ok"));
    let (client, agent) = agent();
    client.manager().shutdown();
    let error = agent.get(server.url("/")).call().unwrap_err();
    assert_eq!(inner(&error).kind(), Kind::ShutDown);
}
