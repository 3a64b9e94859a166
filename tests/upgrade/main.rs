//! Connections that a response hands over: 101 Switching Protocols and CONNECT (U1-U9). Ends of their streams are in
//! `ends.rs`, tunnels in `tunnels.rs`.

#[path = "../support/mod.rs"]
mod support;

mod ends;
mod tunnels;

use std::thread;

use hangup::{CloseMode, CloseReason, ConnectionState, Error, Kind, Phase, Request, Timeout};
use testserver::{Certificate, Script, Server, Step, Until};

use crate::support::form::{Client, Form, Stream, in_both_forms};
use crate::support::inspect::{assert_gone, assert_sockets, sockets, wait_unread};
use crate::support::{PATIENCE, Random, fetch, get, ms, request, wait_until};

in_both_forms! {
    u1_after_101_the_connection_is_a_stream_in_both_directions,
    u1_bytes_that_came_with_the_head_are_read_first,
    u1_the_response_keeps_its_head_and_has_an_empty_body,
    u2_a_refused_upgrade_is_an_ordinary_response_and_its_connection_is_kept,
    u2_a_switch_that_was_not_asked_for_is_a_protocol_error,
    u2_a_request_says_upgrade_once_in_connection,
    u3_the_manager_lists_and_counts_it_and_never_reuses_it,
    u4_both_directions_at_once_carry_large_data,
    u4_each_side_can_end_its_direction_first,
    u4_a_second_reader_or_writer_is_refused,
    u5_a_read_that_timed_out_loses_nothing,
    u5_a_write_that_finds_no_room_times_out_and_closes,
    u5_the_total_timeout_ends_with_the_head,
}

/// A switch to the protocol "lines".
const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n";

/// Switches, and does these steps.
fn switching(steps: Vec<Step>) -> Script {
    Script::every([vec![Step::head(), Step::send(SWITCH)], steps].concat())
}

/// Sends back what comes.
fn echo() -> Script {
    switching(vec![Step::Echo])
}

/// A plain server and one in TLS.
fn both(script: &Script) -> [Server; 2] {
    [Server::start(script.clone()), Server::start_tls(Certificate::Good, script.clone())]
}

/// A request for that switch.
fn asking(url: &str) -> Request {
    let mut request = request("GET", url);
    request.add_header("Upgrade", "lines").unwrap();
    request
}

fn open(client: &Client, server: &Server) -> Stream {
    let mut response = client.send(&mut asking(&server.url("/"))).unwrap();
    assert_eq!(response.status_code(), 101);
    response.take_stream().unwrap()
}

/// Asserts that the stream's connection is closed for that reason and has left nothing.
#[track_caller]
fn assert_closed(client: &Client, server: &Server, id: u64, reason: CloseReason) {
    assert_eq!(client.manager().close_reason(id), Some(reason));
    assert_gone(client.manager(), server.port());
    assert_eq!(client.manager().stats().closed, client.manager().stats().opened);
}

fn u1_after_101_the_connection_is_a_stream_in_both_directions(form: Form) {
    for server in both(&echo()) {
        let client = form.tls_client();
        let stream = open(&client, &server);
        for line in ["one\n", "two\n", "and a longer third one\n"] {
            stream.write_all(line.as_bytes()).unwrap();
            assert_eq!(stream.read_exactly(line.len()).unwrap(), line.as_bytes());
        }
        stream.write_all(b"").unwrap();
        let id = stream.connection_id();
        stream.close();
        assert!(stream.is_closed());
        assert_closed(&client, &server, id, CloseReason::StreamClosed);
        assert!(server.wait_ended(0, PATIENCE).is_some());
    }
}

fn u1_bytes_that_came_with_the_head_are_read_first(form: Form) {
    let early = format!("{SWITCH}early");
    let steps = vec![
        Step::head(),
        Step::Cork(true),
        Step::send(&early),
        Step::Cork(false),
        Step::wait_for("more"),
        Step::send("late"),
        Step::eof(),
    ];
    for server in both(&Script::every(steps)) {
        let client = form.tls_client();
        let stream = open(&client, &server);
        assert_eq!(stream.buffered(), 5);
        assert_eq!(stream.read(2).unwrap(), b"ea");
        assert_eq!(stream.buffered(), 3);
        assert_eq!(stream.read(100).unwrap(), b"rly");
        assert_eq!(stream.buffered(), 0);
        server.release("more");
        assert_eq!(stream.read_exactly(4).unwrap(), b"late");
    }
}

fn u1_the_response_keeps_its_head_and_has_an_empty_body(form: Form) {
    let server = Server::start(echo());
    let client = form.client();
    let mut response = client.send(&mut asking(&server.url("/"))).unwrap();
    assert_eq!(response.read_all(10).unwrap(), b"");
    assert_eq!(client.manager().stats().in_use, 1, "it waits to be taken");
    let stream = response.take_stream().unwrap();
    assert_eq!(response.head().header("upgrade"), Some(&b"lines"[..]));
    assert_eq!(response.take_stream().unwrap_err().kind(), Kind::InvalidState);
    response.close(CloseMode::Now);
    drop(response);
    stream.write_all(b"still open").unwrap();
    assert_eq!(stream.read_exactly(10).unwrap(), b"still open");
    // A request that has its body buffered as well.
    let mut whole = asking(&server.url("/"));
    whole.set_buffer_body(Some(0));
    let stream = client.send(&mut whole).unwrap().take_stream().unwrap();
    stream.write_all(b"x").unwrap();
    assert_eq!(stream.read(1).unwrap(), b"x");
}

fn u2_a_refused_upgrade_is_an_ordinary_response_and_its_connection_is_kept(form: Form) {
    let refusals = vec![Step::answer(426, "no"), Step::answer(200, "no")];
    let server = Server::start(Script::every(vec![Step::forever(refusals)]));
    let client = form.client();
    for status in [426, 200] {
        let mut response = client.send(&mut asking(&server.url("/"))).unwrap();
        assert_eq!(response.status_code(), status);
        assert_eq!(response.take_stream().unwrap_err().kind(), Kind::InvalidState);
        assert_eq!(response.read_all(10).unwrap(), b"no");
        assert_eq!(response.take_stream().unwrap_err().kind(), Kind::InvalidState);
        assert_eq!(client.manager().stats().idle, 1);
    }
    assert_eq!(server.connections(), 1);
}

fn u2_a_switch_that_was_not_asked_for_is_a_protocol_error(form: Form) {
    let other = SWITCH.replace("lines", "other");
    let unnamed = SWITCH.replace("Upgrade: lines\r\n", "");
    let twice = SWITCH.replace("lines", "lines, other");
    for (asked, answer, says) in [
        (None, SWITCH, "did not ask"),
        (Some("lines"), &other, "\"other\""),
        (Some("lines"), &unnamed, "does not say"),
        (Some("lines"), &twice, "\"other\""),
    ] {
        let server =
            Server::start(Script::every(vec![Step::head(), Step::send(answer), Step::eof()]));
        let client = form.client();
        let mut request = request("GET", &server.url("/"));
        if let Some(asked) = asked {
            request.add_header("upgrade", asked).unwrap();
        }
        let error = client.send(&mut request).unwrap_err();
        assert_eq!((error.kind(), error.phase()), (Kind::Protocol, Phase::Head), "{error}");
        assert!(error.message().contains(says), "{error}");
        let id = error.connection_id().unwrap();
        assert_closed(&client, &server, id, CloseReason::ProtocolError);
    }
    // Any of several protocols may be chosen, in any case.
    let server = Server::start(Script::every(vec![
        Step::head(),
        Step::send(&SWITCH.replace("lines", "LINES")),
        Step::Echo,
    ]));
    let client = form.client();
    let mut request = request("GET", &server.url("/"));
    request.add_header("Upgrade", "other/2, Lines").unwrap();
    client.send(&mut request).unwrap().take_stream().unwrap();
}

fn u2_a_request_says_upgrade_once_in_connection(form: Form) {
    let server = Server::start(Script::echoing());
    let client = form.client();
    let connection = |request: &mut Request| {
        let head = client.send(request).unwrap().read_all(10_000).unwrap();
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let lines = head.lines().filter(|line| line.starts_with("connection:"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let url = server.url("/");
    assert_eq!(connection(&mut asking(&url)), ["connection: upgrade"]);
    let mut both = asking(&url);
    both.add_header("Connection", "Upgrade").unwrap();
    assert_eq!(connection(&mut both), ["connection: upgrade"]);
    let mut closing = asking(&url);
    closing.add_header("Connection", "close").unwrap();
    assert_eq!(connection(&mut closing), ["connection: upgrade, close"]);
    assert_eq!(connection(&mut request("GET", &url)), [""; 0]);
    let mut alone = request("GET", &url);
    alone.add_header("Connection", "Upgrade").unwrap();
    assert_eq!(client.send(&mut alone).unwrap_err().kind(), Kind::InvalidHeader);
}

fn u3_the_manager_lists_and_counts_it_and_never_reuses_it(form: Form) {
    let switching = vec![Step::head(), Step::send(SWITCH), Step::Echo];
    let answering = vec![Step::forever(vec![Step::answer(200, "ordinary")])];
    let server = Server::start(Script::new(vec![switching, answering]));
    let client = form.client();
    let mut events = client.manager().events(100).unwrap();
    let mut response = client.send(&mut asking(&server.url("/"))).unwrap();
    let state = |client: &Client| client.manager().connections()[0].state;
    assert_eq!(state(&client), ConnectionState::Upgraded, "before it is taken");
    let stream = response.take_stream().unwrap();
    let row = client.manager().connections().remove(0);
    assert_eq!((row.id, row.state), (stream.connection_id(), ConnectionState::Upgraded));
    assert_eq!(client.manager().stats().in_use, 1);
    let before = (row.bytes_in, row.bytes_out);
    stream.write_all(b"12345").unwrap();
    stream.read_exactly(5).unwrap();
    let row = client.manager().connections().remove(0);
    assert_eq!((row.bytes_in, row.bytes_out), (before.0 + 5, before.1 + 5));
    // Another request opens another connection.
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ordinary");
    assert_eq!(server.connections(), 2);
    stream.close();
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ordinary");
    assert_eq!(server.connections(), 2, "the kept one serves it");
    let mut closes = 0;
    while let Some(event) = events.next(Some(ms(0))).unwrap() {
        if event.connection == stream.connection_id() {
            closes += i32::from(event.kind == hangup::EventKind::Closed(CloseReason::StreamClosed));
            assert_ne!(event.kind, hangup::EventKind::Returned);
        }
    }
    assert_eq!(closes, 1);
}

fn u4_both_directions_at_once_carry_large_data(form: Form) {
    const SIZE: usize = 8 << 20;
    for server in both(&echo()) {
        let client = form.tls_client();
        let stream = open(&client, &server);
        let mut random = Random::new(7);
        let data: Vec<u8> = (0..SIZE).map(|_| random.below(256) as u8).collect();
        let got = thread::scope(|scope| {
            let reader = scope.spawn(|| stream.read_exactly(SIZE).unwrap());
            for piece in data.chunks(100_003) {
                stream.write_all(piece).unwrap();
            }
            reader.join().unwrap()
        });
        assert!(got == data, "what came back is something else");
        stream.close();
        assert_gone(client.manager(), server.port());
    }
}

#[test]
fn a_read_of_a_stream_in_tls_takes_several_records() {
    // Three and a bit.
    const SIZE: u64 = 50_000;
    let steps = vec![Step::wait_for("go"), Step::Fill { bytes: SIZE, byte: 'x' }, Step::Stall];
    let server = Server::start_tls(Certificate::Good, switching(steps));
    let stream = open(&Form::Blocking.tls_client(), &server);
    server.release("go");
    wait_unread(server.port(), SIZE as usize);
    assert_eq!(stream.read(128 * 1024).unwrap().len() as u64, SIZE);
}

fn u4_each_side_can_end_its_direction_first(form: Form) {
    // The client ends first, and reads on.
    for server in both(&switching(vec![Step::Recv(Until::HalfClose), Step::send("the rest")])) {
        let client = form.tls_client();
        let stream = open(&client, &server);
        stream.write_all(b"all").unwrap();
        stream.shutdown_write().unwrap();
        stream.shutdown_write().unwrap();
        assert_eq!(stream.read_exactly(100).unwrap(), b"the rest");
        assert_eq!(stream.read(10).unwrap(), b"", "the end again");
        assert_eq!(stream.write_all(b"x").unwrap_err().kind(), Kind::InvalidState);
        assert!(!stream.is_closed());
        assert_eq!(client.manager().stats().in_use, 1);
        drop(stream);
        assert_gone(client.manager(), server.port());
    }
    // The server ends first, and reads on.
    let last = |end: Step| switching(vec![Step::send("bye"), end, Step::eof(), Step::mark("all")]);
    let plain = Server::start(last(Step::Fin));
    let secure = Server::start_tls(Certificate::Good, last(Step::CloseNotify));
    for server in [plain, secure] {
        let client = form.tls_client();
        let stream = open(&client, &server);
        assert_eq!(stream.read_exactly(100).unwrap(), b"bye");
        stream.write_all(b"one more thing").unwrap();
        stream.close();
        assert!(server.wait_mark("all", PATIENCE));
        assert!(server.received(0).ends_with(b"one more thing"));
    }
}

fn u4_a_second_reader_or_writer_is_refused(form: Form) {
    let server = Server::start(switching(vec![Step::mark("switched"), Step::Stall]));
    let client = form.client();
    let stream = open(&client, &server);
    let pending = stream.read_async(10);
    assert_eq!(stream.read(10).unwrap_err().kind(), Kind::InvalidState);
    // Writing is another direction.
    stream.write_all(b"x").unwrap();
    let big = vec![0; 64 << 20];
    let writing = stream.write_async(big);
    assert_eq!(stream.write_all(b"y").unwrap_err().kind(), Kind::InvalidState);
    assert_eq!(stream.shutdown_write().unwrap_err().kind(), Kind::InvalidState);
    assert!(!stream.is_closed());
    drop(writing);
    assert!(stream.is_closed(), "a write that is dropped may have sent a part");
    let error = support::form::block_on(pending).unwrap_err();
    assert_eq!(error.kind(), Kind::Closed, "{error}");
    // The write in the background uses the descriptor for a moment longer.
    wait_until("the close of the socket", || sockets(server.port()).is_empty());
    assert_gone(client.manager(), server.port());
}

fn u5_a_read_that_timed_out_loses_nothing(form: Form) {
    for server in both(&switching(vec![Step::wait_for("go"), Step::send("now"), Step::eof()])) {
        let client = form.tls_client();
        let stream = open(&client, &server);
        stream.set_timeout(Timeout::Read, Some(ms(30))).unwrap();
        for _ in 0..2 {
            let error = stream.read(10).unwrap_err();
            assert_eq!((error.kind(), error.timeout()), (Kind::TimedOut, Timeout::Read), "{error}");
            assert_eq!((error.phase(), error.retry_safe()), (Phase::Read, false));
            assert_eq!(error.connection_id(), Some(stream.connection_id()));
        }
        stream.set_timeout(Timeout::Read, None).unwrap();
        server.release("go");
        assert_eq!(stream.read_exactly(3).unwrap(), b"now");
        for wrong in [Timeout::Total, Timeout::Head, Timeout::MinRate] {
            let error = stream.set_timeout(wrong, None).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument);
        }
        let error = stream.set_timeout(Timeout::Read, Some(ms(0))).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidTimeout);
    }
}

fn u5_a_write_that_finds_no_room_times_out_and_closes(form: Form) {
    for server in both(&switching(vec![Step::Stall])) {
        let client = form.tls_client();
        let mut request = asking(&server.url("/"));
        request.set_timeout(Timeout::Write, Some(ms(50))).unwrap();
        let stream = client.send(&mut request).unwrap().take_stream().unwrap();
        let error = stream.write_all(&vec![0; 64 << 20]).unwrap_err();
        assert_eq!((error.kind(), error.timeout()), (Kind::TimedOut, Timeout::Write), "{error}");
        assert_eq!(error.phase(), Phase::Write);
        let id = stream.connection_id();
        assert_closed(&client, &server, id, CloseReason::TimedOut);
        let again: Error = stream.read(1).unwrap_err();
        assert_eq!((again.kind(), again.timeout()), (Kind::TimedOut, Timeout::Write));
    }
}

fn u5_the_total_timeout_ends_with_the_head(form: Form) {
    let server = Server::start(switching(vec![Step::Recv(Until::Bytes(1)), Step::send("y")]));
    let client = form.client();
    let mut request = asking(&server.url("/"));
    request.set_timeout(Timeout::Total, Some(ms(500))).unwrap();
    let mut response = client.send(&mut request).unwrap();
    thread::sleep(ms(600));
    let stream = response.take_stream().unwrap();
    stream.write_all(b"x").unwrap();
    assert_eq!(stream.read(1).unwrap(), b"y");
    assert_sockets(server.port(), 1);
    let _ = get(&client, &server.url("/"));
}
