//! What becomes of requests on connections whose peer is silent. What the system says of them is made up here: on
//! loopback a peer that is not dead acknowledges. (tests/network has connections that are dead.)

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use testserver::{Certificate, Script, Server, Step, certs};

use super::Client;
use crate::error::Error;
use crate::manager::{EventKind, Events, Limits, Manager};
use crate::net::paths::Source;
use crate::net::tcp_info::TcpInfo;
use crate::net::tcp_info::fake::FakeTcpInfo;
use crate::request::{Body, Request};
use crate::trace::Trace;
use crate::vocabulary::{Acknowledged, CloseReason, Kind, Timeout, TraceType};

/// A call on this thread, or on a fiber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Blocking,
    Submitted,
}

const FORMS: [Form; 2] = [Form::Blocking, Form::Submitted];

/// What a response was, in the end.
#[derive(Debug, PartialEq, Eq)]
struct Got {
    body: String,
    attempts: u32,
    connection: u64,
    local_port: u16,
}

fn send(form: Form, client: &Arc<Client>, request: Request) -> Result<Got, Error> {
    let client = Arc::clone(client);
    let call = move |mut request: Request, client: &Client| {
        let mut response = client.send(&mut request)?;
        let local = response.connection_facts().local.expect("TCP");
        Ok(Got {
            body: String::from_utf8(response.read_all(1 << 20)?).unwrap(),
            attempts: response.attempts(),
            connection: response.connection_id(),
            local_port: local.port(),
        })
    };
    if form == Form::Blocking {
        return call(request, &client);
    }
    let (done, wait) = mpsc::channel();
    let spawner = Arc::clone(client.manager().spawner());
    spawner.spawn(move || call(request, &client), move |outcome| drop(done.send(outcome.unwrap())));
    wait.recv_timeout(Duration::from_secs(60)).unwrap()
}

fn request(method: &str, url: &str) -> Request {
    let mut request = Request::new(method, url).unwrap();
    request.set_timeout(Timeout::Total, Some(Duration::from_secs(30))).unwrap();
    request
}

fn client(limits: Limits) -> (Arc<Client>, Events) {
    let manager = Arc::new(Manager::new(limits));
    let events = manager.events(4096).unwrap();
    let client = Client::new(manager);
    client.set_tls_roots(certs().ca().as_bytes()).unwrap();
    (Arc::new(client), events)
}

/// What happened to one connection, without the phases of its exchanges.
fn story(events: &mut Events, connection: u64) -> Vec<EventKind> {
    let mut story = Vec::new();
    while let Some(event) = events.next(Some(Duration::ZERO)).unwrap() {
        if event.connection == connection && !matches!(event.kind, EventKind::Phase(..)) {
            story.push(event.kind);
        }
    }
    story
}

/// The system says of the connection from that local port that the peer is silent.
fn silence(local_port: u16) -> FakeTcpInfo {
    FakeTcpInfo::of_port(local_port, |info| Some(silent(info)))
}

fn silent(info: TcpInfo) -> TcpInfo {
    let long_ago = Duration::from_secs(3600);
    TcpInfo { unacked: 1, last_ack_received: long_ago, last_data_received: long_ago, ..info }
}

/// A connection that answers once, and another one that answers always.
fn answers_once(tls: bool) -> Script {
    let handshake = || tls.then_some(Step::Tls(Certificate::Good));
    let once = handshake().into_iter().chain([Step::answer(200, "first"), Step::Stall]);
    let always = Step::forever(vec![Step::answer(200, "second")]);
    Script::new(vec![once.collect(), handshake().into_iter().chain([always]).collect()])
}

#[test]
fn a_request_on_a_lost_connection_is_sent_again_on_the_one_that_was_dialled_meanwhile() {
    for form in FORMS {
        for tls in [false, true] {
            let server = Server::start(answers_once(tls));
            let (client, mut events) = client(Limits::default());
            let first = send(form, &client, request("GET", &server.url("/a"))).unwrap();
            let _fake = silence(first.local_port);
            let second = send(form, &client, request("GET", &server.url("/b"))).unwrap();
            assert_eq!((&*second.body, second.attempts), ("second", 2), "{form:?} {tls}");
            assert_ne!(second.connection, first.connection);
            assert_eq!(server.connections(), 2, "the connection of the second dial is used");
            let lost = CloseReason::PeerSilent;
            let story = story(&mut events, first.connection);
            let [.., suspected, probed, lost_event, closed, _retried] = &story[..] else {
                panic!("{story:?}")
            };
            assert_eq!(
                [*suspected, *probed, *lost_event, *closed],
                [EventKind::Suspected, EventKind::Probed, EventKind::Lost, EventKind::Closed(lost)]
            );
            assert_eq!(client.manager().close_reason(first.connection), Some(lost));
        }
    }
}

#[test]
fn a_post_on_a_lost_connection_fails_with_its_own_kind_and_is_sent_once() {
    for form in FORMS {
        let server = Server::start(answers_once(false));
        let (client, _events) = client(Limits::default());
        let first = send(form, &client, request("POST", &server.url("/a"))).unwrap();
        let _fake = silence(first.local_port);
        let mut post = request("POST", &server.url("/b"));
        post.set_body(Body::from("order"));
        let error = send(form, &client, post).unwrap_err();
        assert_eq!((error.kind(), error.retry_safe()), (Kind::PeerSilent, false), "{error}");
        assert!(error.retry_may_help() && error.reused());
        assert_eq!(error.connection_id(), Some(first.connection));
        let next = send(form, &client, request("POST", &server.url("/c"))).unwrap();
        assert_eq!((&*next.body, next.attempts), ("second", 1), "the second connection was kept");
        assert_eq!(server.heads(1).len(), 1, "the failed request went nowhere else");
    }
}

#[test]
fn a_slow_server_is_never_suspected() {
    for form in FORMS {
        let script = vec![Step::answer(200, "first"), Step::head(), Step::sleep(2500)];
        let reply = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow";
        let server = Server::start(Script::every([script, vec![Step::send(reply)]].concat()));
        let (client, mut events) = client(Limits::default());
        let first = send(form, &client, request("GET", &server.url("/a"))).unwrap();
        let second = send(form, &client, request("GET", &server.url("/b"))).unwrap();
        assert_eq!((&*second.body, second.attempts, server.connections()), ("slow", 1, 1));
        assert!(!story(&mut events, first.connection).contains(&EventKind::Suspected));
    }
}

#[test]
fn a_peer_that_acknowledges_after_the_second_dial_keeps_its_connection() {
    for form in FORMS {
        let late = [
            Step::answer(200, "first"),
            Step::head(),
            Step::wait_for("connected"),
            Step::sleep(300),
            Step::send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate"),
        ];
        let second = vec![Step::mark("second"), Step::Stall];
        let server = Server::start(Script::new(vec![late.to_vec(), second]));
        let (client, mut events) = client(Limits::default());
        let first = send(form, &client, request("GET", &server.url("/a"))).unwrap();
        let (line, lines) = mpsc::channel();
        client.set_trace(Some(Trace::new(move |record| {
            let _ = line.send(String::from_utf8_lossy(record.data).into_owned());
        })));
        let suspected = Arc::new(AtomicBool::new(false));
        let looked = Arc::clone(&suspected);
        // Silent at the first look only.
        let _fake = FakeTcpInfo::of_port(first.local_port, move |info| {
            Some(if looked.swap(true, Ordering::SeqCst) { info } else { silent(info) })
        });
        let response = std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(server.wait_mark("second", Duration::from_secs(20)));
                server.release("connected");
            });
            send(form, &client, request("GET", &server.url("/b"))).unwrap()
        });
        assert_eq!((&*response.body, response.attempts), ("late", 1), "{form:?}");
        let recovered = "recovered: the peer has shown a sign of life (round-trip time ";
        assert!(lines.try_iter().any(|line| line.starts_with(recovered)));
        let story = story(&mut events, first.connection);
        let expected = [EventKind::Suspected, EventKind::Probed, EventKind::Recovered];
        assert!(story.windows(3).any(|three| three == expected), "{story:?}");
        assert_eq!(client.manager().stats().idle, 2, "the second connection is kept, too");
    }
}

/// A server on a listener that can be closed: the first connection answers at once, and then when it may.
fn closing_listener(may_answer: mpsc::Receiver<()>) -> (String, std::thread::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let thread = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        drop(listener);
        let mut requests = 0;
        loop {
            let mut head = [0; 4096];
            match std::io::Read::read(&mut connection, &mut head).unwrap_or(0) {
                0 => return requests,
                _ => requests += 1,
            }
            if requests > 1 && may_answer.recv_timeout(Duration::from_secs(30)).is_err() {
                return requests;
            }
            connection.write_all(reply).unwrap();
        }
    });
    (url, thread)
}

#[test]
fn nothing_changes_while_nothing_can_be_connected_to() {
    for form in FORMS {
        let (answer, may_answer) = mpsc::channel();
        let (url, server) = closing_listener(may_answer);
        let (client, mut events) = client(Limits::default());
        let first = send(form, &client, request("POST", &url)).unwrap();
        let fake = silence(first.local_port);
        let second = std::thread::scope(|scope| {
            scope.spawn(|| {
                let dials = || client.manager().stats().dials_failed;
                let start = Instant::now();
                while dials() < 2 && start.elapsed() < Duration::from_secs(20) {
                    std::thread::sleep(Duration::from_millis(20));
                }
                assert!(dials() >= 2, "it is dialled again after a while");
                drop(fake);
                answer.send(()).unwrap();
            });
            send(form, &client, request("POST", &url))
        });
        let story = story(&mut events, first.connection);
        let second = second.unwrap_or_else(|error| panic!("{error} {story:?}"));
        assert_eq!((&*second.body, second.attempts), ("ok", 1), "{form:?}");
        assert_eq!(second.connection, first.connection);
        assert!(!story.contains(&EventKind::Lost), "{story:?}");
        assert_eq!(story.iter().filter(|kind| **kind == EventKind::Suspected).count(), 1);
        assert!(story.contains(&EventKind::Recovered), "{story:?}");
        client.manager().shutdown();
        assert_eq!(server.join().unwrap(), 2);
    }
}

/// A server that answers one connection, and whose queue for others is full until the test sends a message; it
/// answers the second request after another message.
fn full_queue(go: mpsc::Receiver<()>) -> (String, std::thread::JoinHandle<()>) {
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let fill = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        let fillers: Vec<_> = std::iter::from_fn(fill).take(16).collect();
        assert!(fillers.len() < 16, "the queue is not full");
        for number in 0..2 {
            std::io::Read::read(&mut connection, &mut [0; 4096]).unwrap();
            if number == 1 {
                go.recv().unwrap();
                fillers.iter().for_each(|_| drop(listener.accept().unwrap()));
                go.recv().unwrap();
            }
            connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
        // The client closes.
        let _ = std::io::Read::read(&mut connection, &mut [0; 1]);
    });
    (format!("http://{address}/"), thread)
}

#[test]
fn a_dial_that_is_answered_late_says_that_the_network_was_away_and_not_that_the_connection_is_lost()
{
    for form in FORMS {
        let (go, wait) = mpsc::channel();
        let (url, server) = full_queue(wait);
        let (client, mut events) = client(Limits::default());
        let first = send(form, &client, request("POST", &url)).unwrap();
        let back = Arc::new(AtomicBool::new(false));
        let is_back = Arc::clone(&back);
        // Nothing is sent again for a long time, and then it is acknowledged.
        let _fake = FakeTcpInfo::of_port(first.local_port, move |info| {
            let away = TcpInfo { last_data_sent: Duration::from_secs(3600), ..silent(info) };
            Some(if is_back.load(Ordering::SeqCst) { info } else { away })
        });
        let second = std::thread::scope(|scope| {
            scope.spawn(|| {
                let until = |what: &str, holds: &dyn Fn() -> bool| {
                    let end = Instant::now() + Duration::from_secs(20);
                    while !holds() {
                        assert!(Instant::now() < end, "{what}");
                        std::thread::sleep(Duration::from_millis(5));
                    }
                };
                until("the second dial", &|| client.manager().stats().dialling > 0);
                // Longer than an answer takes.
                std::thread::sleep(Duration::from_millis(600));
                go.send(()).unwrap();
                until("the second connection", &|| client.manager().stats().idle > 0);
                std::thread::sleep(Duration::from_millis(500));
                back.store(true, Ordering::SeqCst);
                go.send(()).unwrap();
            });
            send(form, &client, request("POST", &url)).unwrap()
        });
        assert_eq!((second.attempts, second.connection), (1, first.connection), "{form:?}");
        let story = story(&mut events, first.connection);
        let expected = [EventKind::Suspected, EventKind::Probed, EventKind::Recovered];
        assert!(story.windows(3).any(|three| three == expected), "{story:?}");
        client.manager().shutdown();
        server.join().unwrap();
    }
}

#[test]
fn the_limits_count_the_second_connection() {
    for form in FORMS {
        let server = Server::start(answers_once(false));
        let (client, mut events) = client(Limits { per_origin: 1, ..Limits::default() });
        let first = send(form, &client, request("GET", &server.url("/a"))).unwrap();
        let _fake = silence(first.local_port);
        let mut second = request("GET", &server.url("/b"));
        second.set_timeout(Timeout::Head, Some(Duration::from_millis(3000))).unwrap();
        let error = send(form, &client, second).unwrap_err();
        assert_eq!((error.kind(), error.timeout()), (Kind::TimedOut, Timeout::Head), "{error}");
        assert_eq!(server.connections(), 1);
        let story = story(&mut events, first.connection);
        assert!(story.contains(&EventKind::Suspected) && !story.contains(&EventKind::Probed));
    }
}

/// So many connections of one origin that are idle at once.
fn idle_connections(client: &Arc<Client>, server: &Server, count: usize) -> Vec<Got> {
    let gots: Vec<Got> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..count)
            .map(|_| {
                scope.spawn(|| {
                    send(Form::Blocking, client, request("GET", &server.url("/first"))).unwrap()
                })
            })
            .collect();
        assert!(server.wait_marks("asked", count, Duration::from_secs(20)));
        server.release("all");
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(client.manager().stats().idle, count as u64);
    gots
}

#[test]
fn of_eight_lost_connections_one_delays_a_request() {
    let reply = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst";
    let dies = vec![
        Step::head(),
        // Each request has its own connection by then.
        Step::mark("asked"),
        Step::wait_for("all"),
        Step::send(reply),
        Step::Stall,
    ];
    for per_origin in [usize::MAX, 8] {
        let mut connections = vec![dies.clone(); 8];
        connections.push(vec![Step::forever(vec![Step::answer(200, "second")])]);
        let server = Server::start(Script::new(connections));
        let (client, _events) = client(Limits { per_origin, ..Limits::default() });
        let idle = idle_connections(&client, &server, 8);
        let _fakes: Vec<_> = idle.iter().map(|got| silence(got.local_port)).collect();
        let attempts: Vec<u32> = (0..8)
            .map(|_| {
                let got = send(Form::Blocking, &client, request("GET", &server.url("/b"))).unwrap();
                assert_eq!(got.body, "second");
                got.attempts
            })
            .collect();
        assert_eq!(attempts, [2, 1, 1, 1, 1, 1, 1, 1], "at most {per_origin}");
        let reasons = idle.iter().map(|got| client.manager().close_reason(got.connection));
        let silent = reasons.filter(|reason| *reason == Some(CloseReason::PeerSilent)).count();
        // With eight at most, one of them made room for the dial.
        assert_eq!(silent, if per_origin == 8 { 7 } else { 8 });
        assert_eq!(server.connections(), 9);
    }
}

#[test]
fn an_upload_that_finds_no_room_is_sent_again_on_a_new_connection() {
    for form in FORMS {
        for tls in [false, true] {
            let server = Server::start(answers_once(tls));
            let (client, _events) = client(Limits::default());
            let first = send(form, &client, request("GET", &server.url("/a"))).unwrap();
            let _fake = silence(first.local_port);
            let mut put = request("PUT", &server.url("/b"));
            let body = vec![b'x'; 12 << 20];
            put.set_body(Body::from(body.clone()));
            let second = send(form, &client, put).unwrap();
            assert_eq!((&*second.body, second.attempts), ("second", 2), "{form:?} {tls}");
            let bodies: Vec<usize> = server.bodies(1).iter().map(Vec::len).collect();
            assert_eq!(bodies, [body.len()], "{form:?} {tls}");
        }
    }
}

/// The system says of each connection with large segments to that port that none of them was acknowledged.
fn lose_large_segments(port: u16) -> FakeTcpInfo {
    let looks = AtomicU32::new(0);
    FakeTcpInfo::of_port(port, move |info| {
        if info.send_mss <= 536 {
            return Some(info);
        }
        let total_retransmits = looks.fetch_add(1, Ordering::SeqCst);
        let lost =
            TcpInfo { bytes_sent: 10_000, bytes_resent: 0, bytes_acked: 1, unsent: 0, ..info };
        Some(TcpInfo { send_mss: 1448, total_retransmits, ..silent(lost) })
    })
}

#[test]
fn an_upload_whose_large_segments_get_lost_is_sent_again_in_small_ones() {
    for form in FORMS {
        let server = Server::start(Script::new(vec![
            vec![Step::Stall],
            vec![Step::forever(vec![Step::answer(200, "second")])],
        ]));
        let (client, mut events) = client(Limits::default());
        let _fake = lose_large_segments(server.port());
        let mut put = request("PUT", &server.url("/"));
        put.set_body(Body::from(vec![b'x'; 100_000]));
        let got = send(form, &client, put).unwrap();
        assert_eq!((&*got.body, got.attempts), ("second", 2), "{form:?}");
        let bodies: Vec<usize> = server.bodies(1).iter().map(Vec::len).collect();
        assert_eq!((server.connections(), bodies), (2, vec![100_000]));
        let next = || events.next(Some(Duration::ZERO)).unwrap();
        let seen = std::iter::from_fn(next).filter(|event| {
            let kinds = [EventKind::Suspected, EventKind::Probed, EventKind::Lost];
            kinds.contains(&event.kind)
        });
        let (kinds, ids): (Vec<_>, Vec<_>) =
            seen.map(|event| (event.kind, event.connection)).unzip();
        assert_eq!(kinds, [EventKind::Suspected, EventKind::Probed, EventKind::Lost]);
        assert!(ids.iter().all(|id| *id == ids[0] && *id != got.connection));
        assert_eq!(client.manager().close_reason(ids[0]), Some(CloseReason::PeerSilent));
        let small = || {
            let (to, from) = ([127, 0, 0, 1].into(), Source::default());
            let resolver = client.manager().pool().resolver();
            resolver.with_paths(|paths| paths.needs_small_segments(to, &from, Instant::now()))
        };
        assert!(small(), "the next connections have small ones");
        client.manager().network_changed();
        assert!(!small());
    }
}

#[test]
fn a_post_whose_large_segments_get_lost_says_so() {
    for form in FORMS {
        let server = Server::start(Script::every(vec![Step::Stall]));
        let (client, _events) = client(Limits::default());
        let _fake = lose_large_segments(server.port());
        let mut post = request("POST", &server.url("/"));
        post.set_body(Body::from(vec![b'x'; 100_000]));
        let error = send(form, &client, post).unwrap_err();
        assert_eq!((error.kind(), error.retry_safe()), (Kind::PeerSilent, false), "{error}");
        assert!(error.message().contains("(an MTU black hole)"), "{error}");
        assert!(!error.reused() && error.retry_may_help() && error.attempts() == 1);
    }
}

#[test]
fn it_can_be_switched_off() {
    let server = Server::start(answers_once(false));
    let (client, mut events) = client(Limits::default());
    client.set_detect_lost_connections(false);
    let first = send(Form::Blocking, &client, request("GET", &server.url("/a"))).unwrap();
    let _fake = silence(first.local_port);
    let mut second = request("GET", &server.url("/b"));
    second.set_timeout(Timeout::Head, Some(Duration::from_millis(2500))).unwrap();
    let error = send(Form::Blocking, &client, second).unwrap_err();
    assert_eq!(error.timeout(), Timeout::Head);
    assert!(!story(&mut events, first.connection).contains(&EventKind::Suspected));
}

#[test]
fn a_cancel_and_a_close_end_the_wait_for_the_second_dial() {
    for form in FORMS {
        // The second connection is accepted by the system only, and TLS waits for ever.
        let stall = vec![Step::Stall];
        let once = vec![Step::Tls(Certificate::Good), Step::answer(200, "first"), Step::Stall];
        let server = Server::start(Script::new(vec![once, stall]));
        let (client, _events) = client(Limits::default());
        let first = send(form, &client, request("GET", &server.url("/a"))).unwrap();
        let _fake = silence(first.local_port);
        let token = crate::cancel::CancelToken::new();
        let mut second = request("GET", &server.url("/b"));
        second.set_cancel(Some(token.clone()));
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(server.wait_connections(2, Duration::from_secs(20)));
                token.fire(None);
            });
            send(form, &client, second).unwrap_err()
        });
        assert_eq!(error.kind(), Kind::Cancelled, "{error}");
    }
}

/// What the error of a request on a kept connection tells that waits for 300 ms, while the system says this of it.
fn error_while(
    form: Form,
    tls: bool,
    says: impl Fn(TcpInfo) -> Option<TcpInfo> + Send + Sync + 'static,
) -> Error {
    let server = Server::start(answers_once(tls));
    let (client, _events) = client(Limits::default());
    let first = send(form, &client, request("GET", &server.url("/a"))).unwrap();
    let _fake = FakeTcpInfo::of_port(first.local_port, says);
    let mut late = request("GET", &server.url("/b"));
    late.set_timeout(Timeout::Head, Some(Duration::from_millis(300))).unwrap();
    let error = send(form, &client, late).unwrap_err();
    assert_eq!((error.kind(), error.timeout()), (Kind::TimedOut, Timeout::Head));
    error
}

/// Of all that was sent so many bytes were not acknowledged.
fn unacknowledged(info: TcpInfo, bytes: u64) -> TcpInfo {
    let acked = info.bytes_sent - info.bytes_resent - bytes;
    TcpInfo { unacked: 1, bytes_acked: acked + 1, total_retransmits: 3, retransmits: 2, ..info }
}

#[test]
fn a_timeout_tells_a_request_that_is_not_acknowledged_from_one_that_is() {
    for (form, tls) in FORMS.into_iter().flat_map(|form| [(form, false), (form, true)]) {
        let all = |info: TcpInfo| Some(TcpInfo { unacked: 1, bytes_acked: 1, ..silent(info) });
        let error = error_while(form, tls, move |info| all(unacknowledged(info, 0)));
        assert_eq!(error.acknowledged(), Some(Acknowledged::Nothing), "{error}");
        let facts = error.tcp_facts().unwrap();
        assert!(facts.unacked_bytes >= error.bytes_sent(), "{facts:?}");
        assert_eq!((facts.retransmissions, facts.retransmissions_in_row), (3, 2));
        assert_eq!(facts.silence, Duration::from_secs(3600));
        let message = error.message();
        assert!(message.contains("; no byte of the request was acknowledged within "), "{message}");
        assert!(message.contains(" 3 retransmissions, 2 in a row, "), "{message}");

        let error = error_while(form, tls, |info| Some(unacknowledged(info, 5)));
        assert_eq!(error.acknowledged(), Some(Acknowledged::Part), "{error}");
        let says = "; 5 bytes of the request have not been acknowledged for ";
        assert!(error.message().contains(says), "{error}");
        let json: serde_json::Value = serde_json::from_str(&error.to_json()).unwrap();
        assert_eq!(
            (&json["acknowledged"], &json["tcp_facts"]["unacked_bytes"]),
            (&"part".into(), &5.into())
        );
        assert_eq!(json["tcp_facts"]["retransmissions"], 3, "{json}");

        let error = error_while(form, tls, Some);
        assert_eq!(error.acknowledged(), Some(Acknowledged::All), "{error}");
        assert!(
            error
                .message()
                .contains("; the request was acknowledged, and there is no answer yet (")
        );

        let error = error_while(form, tls, |_| None);
        assert_eq!((error.acknowledged(), error.tcp_facts()), (None, None));
        assert!(error.message().ends_with("(phase: head)"), "a system that does not say: {error}");
    }
}

#[test]
fn the_error_of_a_lost_connection_has_what_the_system_knew_of_it() {
    for form in FORMS {
        let server = Server::start(answers_once(false));
        let (client, _events) = client(Limits::default());
        let first = send(form, &client, request("GET", &server.url("/a"))).unwrap();
        let _fake = FakeTcpInfo::of_port(first.local_port, |info| {
            Some(TcpInfo { bytes_acked: 1, ..silent(unacknowledged(info, 0)) })
        });
        let mut post = request("POST", &server.url("/b"));
        post.set_body(Body::from("order"));
        let error = send(form, &client, post).unwrap_err();
        assert_eq!(
            (error.kind(), error.acknowledged()),
            (Kind::PeerSilent, Some(Acknowledged::Nothing))
        );
        assert_eq!(error.tcp_facts().map(|facts| facts.retransmissions), Some(3));
        assert!(
            error.message().contains("no byte of the request was acknowledged within "),
            "{error}"
        );
    }
}

#[test]
fn each_step_of_a_suspicion_is_recorded_with_its_numbers() {
    for form in FORMS {
        let server = Server::start(answers_once(false));
        let (client, _events) = client(Limits::default());
        let (lines, records) = mpsc::channel();
        client.set_trace(Some(Trace::new(move |record| {
            if record.kind == TraceType::Info {
                let text = String::from_utf8_lossy(record.data).into_owned();
                let _ = lines.send((record.connection_id, text));
            }
        })));
        let first = send(form, &client, request("GET", &server.url("/a"))).unwrap();
        let _fake =
            FakeTcpInfo::of_port(first.local_port, |info| Some(silent(unacknowledged(info, 5))));
        send(form, &client, request("GET", &server.url("/b"))).unwrap();
        let steps: Vec<String> = records
            .try_iter()
            .filter(|(connection, _)| *connection == first.connection)
            .map(|(_, text)| text)
            .filter(|text| {
                ["suspected", "probed", "lost"].iter().any(|step| text.starts_with(step))
            })
            .collect();
        let [suspected, probed, lost] = &steps[..] else { panic!("{steps:?}") };
        assert!(suspected.starts_with("suspected: the peer does not acknowledge the request ("));
        assert!(probed.starts_with("probed: a second connection is dialled, "), "{probed}");
        assert!(lost.starts_with("lost: the second connection was made, "), "{lost}");
        for step in &steps {
            assert!(step.contains("(round-trip time "), "{step}");
            let numbers =
                ", 3 retransmissions, 2 in a row, 5 bytes unacknowledged, silent for 3600000 ms)";
            assert!(step.ends_with(numbers), "{step}");
        }
    }
}

#[test]
fn the_list_of_connections_shows_what_the_system_knows() {
    let server = Server::start(Script::answering("ok"));
    let (client, _events) = client(Limits::default());
    let first = send(Form::Blocking, &client, request("GET", &server.url("/a"))).unwrap();
    let list = || client.manager().connections().remove(0);
    let fake = FakeTcpInfo::of_port(first.local_port, |info| {
        let rtt = Duration::from_micros(41_260);
        let info = TcpInfo { probes: 2, unsent: 7, rtt, ..silent(unacknowledged(info, 5)) };
        Some(info)
    });
    let facts = list().tcp_facts.unwrap();
    assert_eq!((facts.rtt, facts.silence.as_secs()), (Some(Duration::from_micros(41_260)), 3600));
    assert_eq!((facts.unacked_bytes, facts.unsent_bytes), (12, 7));
    assert_eq!((facts.retransmissions, facts.retransmissions_in_row), (3, 2));
    assert_eq!(facts.unanswered_probes, 2);
    drop(fake);
    let _none = FakeTcpInfo::of_port(first.local_port, |_| None);
    assert_eq!(list().tcp_facts, None);
}
