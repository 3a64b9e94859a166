//! Submitted requests and reads, as futures: each has exactly one outcome, on any thread that waits for it, and a dropped
//! future ends its exchange. The completion queue of the C ABI is tested in `tests/c/queue.c`.

#[path = "../support/mod.rs"]
mod support;

mod bodies;
mod chaos;
mod driver;
mod fairness;
mod io_thread;
mod many;

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use hangup::{
    CancelToken, Client, CloseReason, Error, Kind, Phase, Request, Response, Submission, Timeout,
};
use testserver::{BlackHole, Script, Server, Step};

use crate::support::counted_reader::CountedReader;
use crate::support::form::{block_on, unparking};
use crate::support::inspect::{assert_at_rest, assert_gone, sockets, wait_at_rest, wait_gone};
use crate::support::outcome::{REASON, assert_cancelled, assert_consistent, assert_timed_out};
use crate::support::own_process::in_own_process;
use crate::support::{
    Aim, PATIENCE, client, client_with, fetch, get, ms, per_origin, post, request, tls_client,
    wait_until,
};

/// The head of a response with a body of 100 bytes, and the first ten of them.
const TEN_OF_100: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.";

/// The outcomes of all of them, in the order in which they were submitted.
fn join_all(submissions: Vec<Submission>) -> Vec<Result<Response, Error>> {
    let waker = unparking();
    let mut all: Vec<_> = submissions.into_iter().map(|one| (Some(one), None)).collect();
    while all.iter().any(|(one, _)| one.is_some()) {
        for (one, outcome) in &mut all {
            let Some(submission) = one else { continue };
            if let Poll::Ready(is) = Pin::new(submission).poll(&mut Context::from_waker(&waker)) {
                *outcome = Some(is);
                *one = None;
            }
        }
        thread::park_timeout(ms(10));
    }
    all.into_iter().filter_map(|(_, outcome)| outcome).collect()
}

/// Whether the outcome is there; does not wait for it.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    match Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// GET that buffers the whole body of at most `at_most` bytes.
fn buffered_get(url: &str, at_most: usize) -> Request {
    let mut request = request("GET", url);
    request.set_buffer_body(Some(at_most));
    request
}

fn with_token(mut request: Request, token: &CancelToken) -> Request {
    request.set_cancel(Some(token.clone()));
    request
}

/// Sends a head and ten bytes of a hundred, and then nothing.
fn half() -> Server {
    Server::start(Script::every(vec![Step::head(), Step::send(TEN_OF_100), Step::Stall]))
}

/// Waits until no socket is left: the last reader closes it.
#[track_caller]
fn wait_closed(client: &Client, server: &Server) {
    wait_until("the end of the last socket", || sockets(server.port()).is_empty());
    wait_gone(client.manager(), server.port());
}

/// Ten of a hundred bytes were read, and the server sends no more.
fn at_the_stall(client: &Client, server: &Server) -> Response {
    let mut response = client.submit(request("GET", &server.url("/"))).wait().unwrap();
    let mut read = 0;
    while read < 10 {
        read += block_on(response.read_async(100)).unwrap().len();
    }
    response
}

#[test]
fn a_submission_ends_as_a_blocking_call_does() {
    fn anywhere<T: Send + 'static>(_: &T) {}
    let server = Server::start(Script::answering("hello"));
    let client = client();
    for reused in [false, true] {
        let submission = client.submit(request("GET", &server.url("/")));
        anywhere(&submission);
        let mut response = submission.wait().unwrap();
        assert_eq!((response.status_code(), response.reused()), (200, reused));
        assert_eq!(response.read_all(100).unwrap(), b"hello");
        assert_at_rest(client.manager());
        let mut response = block_on(client.submit(request("GET", &server.url("/")))).unwrap();
        assert_eq!(response.read_all(100).unwrap(), b"hello");
    }
    assert_eq!(server.connections(), 1);
    let error = client.submit(request("GET", "http://127.0.0.1:1/")).wait().unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::ConnectFailed, Phase::Connect));
}

#[test]
fn a_submission_begins_at_the_call_with_the_settings_of_that_moment() {
    let server = Server::start(Script::echoing());
    let client = client();
    client.set_header("x-then", Some("1")).unwrap();
    let submission = client.submit(request("GET", &server.url("/")));
    client.set_header("x-then", None).unwrap();
    assert!(server.wait_heads(1, PATIENCE), "it is sent without a poll");
    // A submission does not need its client.
    drop(client);
    let body = submission.wait().unwrap().read_all(usize::MAX).unwrap();
    assert!(String::from_utf8(body).unwrap().contains("x-then: 1"));
}

#[test]
fn many_submissions_share_the_connections_that_the_limits_allow() {
    let server = Server::start(Script::answering("hello"));
    let client = client_with(per_origin(4));
    let url = server.url("/");
    let submissions = (0..100).map(|_| client.submit(buffered_get(&url, 5))).collect();
    for outcome in join_all(submissions) {
        assert_eq!(outcome.unwrap().read_all(5).unwrap(), b"hello");
    }
    assert!(server.connections() <= 4);
    assert_at_rest(client.manager());
}

#[test]
fn the_total_limit_counts_from_the_call() {
    let server = Server::start(Script::every(vec![Step::Stall]));
    let client = client();
    let mut request = request("GET", &server.url("/"));
    request.set_timeout(Timeout::Total, Some(ms(50))).unwrap();
    let error = client.submit(request).wait().unwrap_err();
    assert_timed_out(&error, Timeout::Total, Phase::Head);
    assert_gone(client.manager(), server.port());
}

#[test]
fn a_token_ends_a_submission_in_every_phase() {
    let silent = Server::start(Script::every(vec![Step::Stall]));
    let (half, hole) = (half(), BlackHole::new());
    let answers = Server::start(Script::answering("hello"));
    let full = client_with(per_origin(1));
    let _in_use = get(&full, &half.url("/")).unwrap();
    let secure = format!("https://localhost:{}/", silent.port());
    let (source, account) = CountedReader::endless();
    let cases = [
        (Phase::Pool, full, request("GET", &half.url("/"))),
        (Phase::Connect, client(), request("GET", &hole.url("/"))),
        (Phase::Tls, tls_client(), request("GET", &secure)),
        (Phase::Write, client(), post(&silent.url("/"), source.chunked())),
        (Phase::Head, client(), request("GET", &silent.url("/"))),
        (Phase::Read, client(), buffered_get(&half.url("/"), 100)),
    ];
    for (phase, client, request) in cases {
        let token = CancelToken::new();
        let mut submission = client.submit(with_token(request, &token));
        match phase {
            Phase::Pool => {
                wait_until("a request that waits", || client.manager().stats().queued == 1)
            }
            Phase::Write => wait_until("a body under way", || account.reads() > 10),
            Phase::Head => wait_until("a request that was sent", || {
                client.manager().connections().iter().any(|one| one.bytes_out > 0)
            }),
            Phase::Read => wait_until("a response that began", || {
                client.manager().connections().iter().any(|one| one.bytes_in > 0)
            }),
            _ => wait_until("a dial", || client.manager().stats().dialling == 1),
        }
        // The outcome arrives in a moment.
        thread::sleep(ms(20));
        assert!(poll_once(&mut submission).is_none(), "{phase}");
        token.fire(Some(REASON));
        let error = submission.wait().unwrap_err();
        if phase == Phase::Connect || phase == Phase::Tls {
            assert_eq!(error.kind(), Kind::Cancelled);
        } else {
            assert_cancelled(&error, phase);
        }
        // A cancelled submission does not affect the next one.
        if phase != Phase::Pool {
            wait_at_rest(client.manager());
            assert_eq!(fetch(&client, &answers.url("/")).unwrap(), b"hello");
        }
    }
    account.assert_dropped_once();
}

#[test]
fn a_token_that_was_fired_before_means_no_byte() {
    let server = Server::start(Script::answering("never asked for"));
    let client = client();
    let token = CancelToken::new();
    token.fire(Some(REASON));
    let error = client.submit(with_token(request("GET", &server.url("/")), &token)).wait();
    assert_cancelled(&error.unwrap_err(), Phase::None);
    assert_eq!(server.connections(), 0);
}

#[test]
fn dropping_a_submission_cancels_it_and_nothing_else() {
    let server = Server::start(Script::every(vec![Step::head(), Step::Stall]));
    let client = client();
    let token = CancelToken::new();
    let other = client.submit(with_token(request("GET", &server.url("/")), &token));
    assert!(server.wait_heads(1, PATIENCE));
    let submission = client.submit(with_token(request("GET", &server.url("/")), &token));
    assert!(server.wait_heads(2, PATIENCE));
    let ids: Vec<_> = client.manager().connections().iter().map(|one| one.id).collect();
    drop(submission);
    assert!(server.wait_ended(1, PATIENCE).is_some());
    wait_until("the end of the other's work", || client.manager().connections().len() == 1);
    assert_eq!(client.manager().close_reason(ids[1]), Some(CloseReason::Cancelled));
    // The token is the parent of both and was not fired by the drop.
    assert!(!token.is_fired());
    token.fire(Some(REASON));
    assert_cancelled(&other.wait().unwrap_err(), Phase::Head);
    wait_closed(&client, &server);
}

#[test]
fn an_outcome_that_is_never_taken_closes_its_response() {
    let server = half();
    let client = client();
    let mut submission = client.submit(request("GET", &server.url("/")));
    assert!(server.wait_heads(1, PATIENCE));
    thread::sleep(ms(30));
    drop(submission);
    wait_closed(&client, &server);
    // An outcome that was taken and dropped has the same effect, and a second poll returns no second outcome.
    submission = client.submit(request("GET", &server.url("/")));
    wait_until("an outcome", || poll_once(&mut submission).is_some());
    assert!(poll_once(&mut submission).is_none());
    wait_closed(&client, &server);
}

/// A waker that sends a message when it is woken, and the receiver.
fn channel_waker() -> (Waker, mpsc::Receiver<()>) {
    struct SendOnWake(mpsc::Sender<()>);
    impl Wake for SendOnWake {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(());
        }
    }
    let (sender, receiver) = mpsc::channel();
    (Waker::from(Arc::new(SendOnWake(sender))), receiver)
}

/// Like the losing branch of a select: it was polled, its outcome arrived, and it is dropped with the outcome.
#[test]
fn a_submission_that_is_dropped_with_its_outcome_leaves_no_connection_in_use() {
    let server = half();
    let client = client_with(per_origin(1));
    for _ in 0..5 {
        let (waker, receiver) = channel_waker();
        let mut submission = client.submit(request("GET", &server.url("/")));
        let early = Pin::new(&mut submission).poll(&mut Context::from_waker(&waker));
        if early.is_pending() {
            receiver.recv_timeout(PATIENCE).unwrap();
        }
        assert_eq!(client.manager().stats().in_use, 1);
        drop((early, submission));
        wait_closed(&client, &server);
    }
}

#[test]
fn a_read_that_is_dropped_with_its_piece_leaves_no_connection_in_use() {
    let server = Server::start(Script::every(vec![
        Step::head(),
        Step::send(TEN_OF_100),
        Step::wait_for("go"),
        Step::send("more"),
        Step::Stall,
    ]));
    let client = client_with(per_origin(1));
    let mut response = at_the_stall(&client, &server);
    let (waker, receiver) = channel_waker();
    let mut reading = response.read_async(100);
    assert!(Pin::new(&mut reading).poll(&mut Context::from_waker(&waker)).is_pending());
    server.release("go");
    receiver.recv_timeout(PATIENCE).unwrap();
    drop(reading);
    wait_closed(&client, &server);
    // The response still exists and reports that it was closed.
    assert_eq!(response.read_all(100).unwrap_err().kind(), Kind::InvalidState);
}

#[test]
fn a_submission_dropped_by_its_own_waker_leaves_no_connection_in_use() {
    struct Drops(mpsc::Sender<()>, Mutex<Option<Submission>>);
    impl Wake for Drops {
        fn wake(self: Arc<Self>) {
            drop(self.1.lock().unwrap().take());
            let _ = self.0.send(());
        }
    }
    let server = Server::start(Script::every(vec![
        Step::head(),
        Step::wait_for("go"),
        Step::send(TEN_OF_100),
        Step::Stall,
    ]));
    let client = client_with(per_origin(1));
    let (sender, receiver) = mpsc::channel();
    let drops = Arc::new(Drops(sender, Mutex::new(None)));
    let mut submission = client.submit(request("GET", &server.url("/")));
    let waker = Waker::from(Arc::clone(&drops));
    assert!(Pin::new(&mut submission).poll(&mut Context::from_waker(&waker)).is_pending());
    *drops.1.lock().unwrap() = Some(submission);
    server.release("go");
    receiver.recv_timeout(PATIENCE).unwrap();
    wait_closed(&client, &server);
}

#[test]
fn a_drop_that_races_with_the_outcome_leaves_no_connection_in_use() {
    const ROUNDS: usize = 40;
    let round = |n| {
        let go = Step::wait_for(&format!("go {n}"));
        vec![Step::head(), go, Step::send(TEN_OF_100), Step::Stall]
    };
    let server = Server::start(Script::new((0..ROUNDS).map(round).collect()));
    let client = client_with(per_origin(1));
    let mut aim = Aim::new(9);
    for round in 0..ROUNDS {
        let (waker, receiver) = channel_waker();
        let mut submission = client.submit(request("GET", &server.url("/")));
        let _ = Pin::new(&mut submission).poll(&mut Context::from_waker(&waker));
        assert!(server.wait_heads(round + 1, PATIENCE));
        server.release(&format!("go {round}"));
        aim.wait();
        drop(submission);
        aim.was(receiver.try_recv().is_err());
        wait_closed(&client, &server);
    }
    assert_eq!(server.connections(), ROUNDS);
}

#[test]
fn a_shutdown_ends_submissions_in_every_phase() {
    let server = half();
    let client = client();
    let mut response = at_the_stall(&client, &server);
    let heads: Vec<_> =
        (0..20).map(|_| client.submit(buffered_get(&server.url("/"), 100))).collect();
    assert!(server.wait_heads(1, PATIENCE));
    let reading = response.read_async(100);
    client.manager().shutdown();
    assert_eq!(block_on(reading).unwrap_err().kind(), Kind::ShutDown);
    for outcome in join_all(heads) {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), Kind::ShutDown);
        assert_consistent(&error);
    }
    let late = client.submit(request("GET", &server.url("/"))).wait();
    assert_eq!(late.unwrap_err().kind(), Kind::ShutDown);
    wait_closed(&client, &server);
}

#[test]
fn a_slow_body_delays_no_other_request() {
    let server = Server::start(Script::answering("hello"));
    let client = client();
    let (go, gone) = mpsc::channel::<()>();
    let (source, account) = CountedReader::pieces(1, 5, move |_| gone.recv().unwrap());
    let upload = client.submit(post(&server.url("/"), source.chunked()));
    wait_until("an upload that waits", || account.reads() > 0);
    let submissions = (0..20).map(|_| client.submit(buffered_get(&server.url("/"), 5))).collect();
    join_all(submissions).into_iter().for_each(|outcome| drop(outcome.unwrap()));
    go.send(()).unwrap();
    assert_eq!(upload.wait().unwrap().status_code(), 200);
    account.assert_dropped_once();
}

#[test]
fn panics_of_callbacks_are_reported_and_affect_no_other_request() {
    let server = Server::start(Script::answering("hello"));
    let client = client();
    let (source, account) = CountedReader::pieces(1, 5, |_| panic!("on purpose"));
    let error = client.submit(post(&server.url("/"), source.chunked())).wait().unwrap_err();
    assert_eq!(error.kind(), Kind::Panic);
    account.assert_dropped_once();
    wait_at_rest(client.manager());

    struct Bad;
    impl Wake for Bad {
        fn wake(self: Arc<Self>) {
            panic!("on purpose");
        }
    }
    let mut submission = client.submit(request("GET", &server.url("/")));
    let bad = Waker::from(Arc::new(Bad));
    let early = Pin::new(&mut submission).poll(&mut Context::from_waker(&bad));
    if early.is_pending() {
        wait_until("an outcome", || poll_once(&mut submission).is_some());
    }
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"hello");
}

#[test]
fn the_child_of_a_fork_submits_with_threads_of_its_own() {
    in_own_process("the_child_of_a_fork_submits_with_threads_of_its_own", || {
        let (server, answers) = (half(), Server::start(Script::answering("hello")));
        let client = client();
        let mut response = at_the_stall(&client, &server);
        let submission = client.submit(buffered_get(&server.url("/"), 100));
        assert!(server.wait_heads(2, PATIENCE));
        let reading = response.read_async(100);
        // SAFETY: no pointers. The child uses what this test is about, and its own memory.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: no pointers. A child that hangs is ended.
            unsafe { libc::alarm(30) };
            assert_eq!(block_on(reading).unwrap_err().kind(), Kind::Forked);
            assert_eq!(submission.wait().unwrap_err().kind(), Kind::Forked);
            let mut own = client.submit(buffered_get(&answers.url("/"), 100)).wait().unwrap();
            assert_eq!(own.read_all(100).unwrap(), b"hello");
            drop(response);
            // SAFETY: handlers of atexit(3) run, as they would in any program.
            unsafe { libc::exit(0) };
        }
        let mut status = 0;
        // SAFETY: a valid pointer to where the status goes.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
        // In the parent the exchange goes on.
        drop(reading);
        drop(submission);
        wait_closed(&client, &server);
    });
}
