//! What ends a stream: its owner, another thread, the manager, a token, the peer, a fork.

use std::thread;

use hangup::{CancelToken, CloseMode, CloseReason, Kind, Limits, Phase, Timeout};
use testserver::{Certificate, Server, Step};

use super::{asking, assert_closed, both, echo, open, switching};
use crate::support::form::{Client, Form, Stream, block_on, in_both_forms};
use crate::support::inspect::{assert_gone, sockets, wait_full};
use crate::support::{PATIENCE, fetch, ms, wait_until};

in_both_forms! {
    u6_every_close_ends_a_blocked_read_and_a_blocked_write,
    u6_a_token_ends_a_blocked_read_and_a_blocked_write,
    u6_a_fired_token_ends_a_stream_before_it_is_taken,
    u6_a_close_by_another_thread_ends_both_directions,
    u6_a_graceful_close_leaves_the_stream_to_its_owner,
    u6_a_drain_waits_for_the_stream_and_then_ends_it,
    u7_the_slot_is_free_once_after_the_stream_or_its_response_is_dropped,
    u7_a_dropped_stream_closes_also_while_it_is_read_in_the_background,
    u8_a_reset_and_a_cut_off_tls_are_failures,
}

/// What ends it from outside, the kind of failure, and the close reason.
type Ending = (fn(&Client, u64), Kind, CloseReason);

const ENDINGS: [Ending; 4] = [
    (
        |client, id| client.manager().close_connection(id, CloseMode::Now).unwrap(),
        Kind::Closed,
        CloseReason::ClosedById,
    ),
    (
        |client, _| {
            let origin = client.manager().connections().remove(0).origin;
            client.manager().close_origin(&origin, CloseMode::Now).unwrap();
        },
        Kind::Closed,
        CloseReason::ClosedByOrigin,
    ),
    (
        |client, _| assert_eq!(client.manager().close_all(CloseMode::Now), 1),
        Kind::Closed,
        CloseReason::ClosedByAll,
    ),
    (|client, _| client.manager().shutdown(), Kind::ShutDown, CloseReason::ManagerShutDown),
];

/// A server that neither reads nor writes after the switch.
fn silent() -> [Server; 2] {
    both(&switching(vec![Step::Stall]))
}

/// Reads and writes on threads of their own, until both are blocked; then ends the stream and returns what both got.
fn end_while_blocked(stream: &Stream, server: &Server, end: impl FnOnce()) -> [hangup::Error; 2] {
    thread::scope(|scope| {
        let reader = scope.spawn(|| stream.read(10).unwrap_err());
        let writer = scope.spawn(|| stream.write_all(&vec![0; 64 << 20]).unwrap_err());
        wait_full(server.port());
        end();
        [reader.join().unwrap(), writer.join().unwrap()]
    })
}

fn u6_every_close_ends_a_blocked_read_and_a_blocked_write(form: Form) {
    for (end, kind, reason) in ENDINGS {
        for server in silent() {
            let client = form.tls_client();
            let stream = open(&client, &server);
            let id = stream.connection_id();
            let [read, write] = end_while_blocked(&stream, &server, || end(&client, id));
            assert_eq!((read.kind(), write.kind()), (kind, kind), "{read}, {write}");
            assert!(!read.retry_safe() && read.connection_id() == Some(id));
            assert_closed(&client, &server, id, reason);
            let again = stream.write_all(b"x").unwrap_err();
            assert_eq!(again.kind(), kind);
            stream.close();
            drop(stream);
            assert_closed(&client, &server, id, reason);
        }
    }
}

fn u6_a_token_ends_a_blocked_read_and_a_blocked_write(form: Form) {
    for server in silent() {
        let client = form.tls_client();
        let token = CancelToken::new();
        let mut request = asking(&server.url("/"));
        request.set_cancel(Some(token.clone()));
        let stream = client.send(&mut request).unwrap().take_stream().unwrap();
        let [read, write] = end_while_blocked(&stream, &server, || token.fire(Some("left")));
        for error in [read, write] {
            assert_eq!((error.kind(), error.reason()), (Kind::Cancelled, Some("left")), "{error}");
        }
        assert_closed(&client, &server, stream.connection_id(), CloseReason::Cancelled);
        // A deadline of a token, too.
        let token = CancelToken::new();
        request.set_cancel(Some(token.clone()));
        let other = client.send(&mut request).unwrap().take_stream().unwrap();
        token.after(ms(20));
        let error = other.read(1).unwrap_err();
        assert_eq!((error.kind(), error.timeout()), (Kind::TimedOut, Timeout::Token), "{error}");
        // The timer's thread closes the descriptor a moment after it has ended the read.
        wait_until("the close of the socket", || sockets(server.port()).is_empty());
        assert_closed(&client, &server, other.connection_id(), CloseReason::TimedOut);
    }
}

fn u6_a_fired_token_ends_a_stream_before_it_is_taken(form: Form) {
    let server = Server::start(echo());
    let client = form.client();
    let token = CancelToken::new();
    let mut request = asking(&server.url("/"));
    request.set_cancel(Some(token.clone()));
    let mut response = client.send(&mut request).unwrap();
    token.fire(None);
    let error = response.take_stream().unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::Cancelled, Phase::Read), "{error}");
    assert_closed(&client, &server, response.connection_id(), CloseReason::Cancelled);
}

fn u6_a_close_by_another_thread_ends_both_directions(form: Form) {
    for server in silent() {
        let client = form.tls_client();
        let stream = open(&client, &server);
        let errors = end_while_blocked(&stream, &server, || stream.clone().close());
        assert!(errors.iter().all(|error| error.kind() == Kind::Closed), "{errors:?}");
        assert_closed(&client, &server, stream.connection_id(), CloseReason::StreamClosed);
    }
}

fn u6_a_graceful_close_leaves_the_stream_to_its_owner(form: Form) {
    let server = Server::start(echo());
    let client = form.client();
    let stream = open(&client, &server);
    client.manager().close_connection(stream.connection_id(), CloseMode::Graceful).unwrap();
    assert!(client.manager().connections()[0].closing && stream.is_closing());
    stream.write_all(b"going on").unwrap();
    assert_eq!(stream.read_exactly(8).unwrap(), b"going on");
    let id = stream.connection_id();
    drop(stream);
    assert_closed(&client, &server, id, CloseReason::StreamClosed);
}

fn u6_a_drain_waits_for_the_stream_and_then_ends_it(form: Form) {
    let server = Server::start(echo());
    let client = form.client();
    let stream = open(&client, &server);
    assert!(!stream.is_closing());
    let error = client.manager().drain(Some(ms(50))).unwrap_err();
    assert_eq!(error.kind(), Kind::TimedOut);
    assert!(stream.is_closing(), "its owner is asked to end it");
    stream.write_all(b"going on").unwrap();
    assert_eq!(stream.read_exactly(8).unwrap(), b"going on");
    let closer = stream.clone();
    thread::scope(|scope| {
        let drain = scope.spawn(|| client.manager().drain(Some(PATIENCE)));
        closer.close();
        drain.join().unwrap().unwrap();
    });
    assert_gone(client.manager(), server.port());
}

fn u7_the_slot_is_free_once_after_the_stream_or_its_response_is_dropped(form: Form) {
    let server = Server::start(echo());
    let client = form.client_with(Limits { total: 1, ..Limits::default() });
    for round in 0..8 {
        let mut response = client.send(&mut asking(&server.url("/"))).unwrap();
        assert_eq!(client.manager().stats().in_use, 1);
        if round % 2 == 0 {
            let stream = response.take_stream().unwrap();
            drop(response);
            stream.write_all(b"x").unwrap();
            let copy = stream.clone();
            drop(stream);
            assert_eq!(client.manager().stats().in_use, 1);
            // Twice, and dropped after it.
            copy.close();
            copy.close();
        } else {
            response.close(if round % 4 == 1 { CloseMode::Now } else { CloseMode::Graceful });
            assert_eq!(response.take_stream().unwrap_err().kind(), Kind::InvalidState);
        }
        assert_gone(client.manager(), server.port());
    }
    let stats = client.manager().stats();
    assert_eq!((stats.opened, stats.closed), (8, 8));
}

fn u7_a_dropped_stream_closes_also_while_it_is_read_in_the_background(form: Form) {
    let server = Server::start(switching(vec![Step::Stall]));
    let client = form.client();
    let stream = open(&client, &server);
    let read = stream.read_async(10);
    drop(read);
    assert!(stream.is_closed(), "what a dropped read gets is lost");
    let id = stream.connection_id();
    // The read in the background uses the descriptor for a moment longer.
    wait_until("the close of the socket", || sockets(server.port()).is_empty());
    assert_closed(&client, &server, id, CloseReason::StreamClosed);
    assert_eq!(stream.read(1).unwrap_err().kind(), Kind::Closed);
    // A stream whose last handle is dropped while the future of a read lives goes on with the future.
    let stream = open(&client, &server);
    let id = stream.connection_id();
    let read = stream.read_async(10);
    drop(stream);
    client.manager().close_connection(id, CloseMode::Now).unwrap();
    assert_eq!(block_on(read).unwrap_err().kind(), Kind::Closed);
    wait_until("the end of both", || client.manager().stats().in_use == 0);
}

fn u8_a_reset_and_a_cut_off_tls_are_failures(form: Form) {
    let server = Server::start(switching(vec![Step::send("x"), Step::wait_for("go"), Step::Rst]));
    let client = form.client();
    let stream = open(&client, &server);
    assert_eq!(stream.read(1).unwrap(), b"x");
    server.release("go");
    let error = stream.read(1).unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::PeerReset, Phase::Read), "{error}");
    assert_eq!(stream.write_all(b"x").unwrap_err().kind(), Kind::PeerReset);
    assert_closed(&client, &server, stream.connection_id(), CloseReason::PeerReset);

    let cut = switching(vec![Step::send("x"), Step::Truncate]);
    let server = Server::start_tls(Certificate::Good, cut);
    let client = form.tls_client();
    let stream = open(&client, &server);
    assert_eq!(stream.read(1).unwrap(), b"x");
    let error = stream.read(1).unwrap_err();
    assert_eq!(error.kind(), Kind::PeerClosed, "{error}");
    assert_closed(&client, &server, stream.connection_id(), CloseReason::PeerClosed);
    assert!(fetch(&client, &server.url("/")).is_err());
}
