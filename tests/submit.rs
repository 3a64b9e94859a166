//! Requests and reads in the background, as futures: each has exactly one outcome, whoever waits for it and wherever
//! it is read on; what is dropped is ended. The completion queue of the C ABI is `tests/c/queue.c`.

mod support;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use hangup::{
    Body, CancelToken, Client, Clock, Error, Kind, Phase, Reason, Request, Response, Submission,
};
use support::alone::alone;
use support::look::{assert_at_rest, assert_gone, sockets, wait_at_rest, wait_gone};
use support::source::Source;
use support::verdict::{REASON, assert_cancelled, assert_consistent, assert_timed_out};
use support::{
    PATIENCE, client, client_with, fetch, get, ms, per_origin, post, request, tls_client, until,
};
use testserver::{BlackHole, Script, Server, Step};

/// The head of a response whose body has 100 bytes, and ten of them.
const TEN_OF_100: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.";

/// Wakes a thread that is parked: the smallest executor there is.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn waker() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = waker();
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park_timeout(PATIENCE),
        }
    }
}

/// The outcomes of all of them, in the order in which they were submitted.
fn join_all(submissions: Vec<Submission>) -> Vec<Result<Response, Error>> {
    let waker = waker();
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

/// Whether it is over, without waiting for that.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    match Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// GET with the whole body.
fn whole(url: &str, at_most: usize) -> Request {
    let mut request = request("GET", url);
    request.whole(Some(at_most));
    request
}

fn with_token(mut request: Request, token: &CancelToken) -> Request {
    request.cancel_with(Some(token.clone()));
    request
}

/// Sends a head and ten bytes of a hundred, and then nothing.
fn half() -> Server {
    Server::start(Script::every(vec![Step::head(), Step::send(TEN_OF_100), Step::Stall]))
}

/// Soon no socket is left: whoever read last closes it, when it hears of the end.
#[track_caller]
fn wait_closed(client: &Client, server: &Server) {
    until("the end of the last socket", || sockets(server.port()).is_empty());
    wait_gone(client.manager(), server.port());
}

/// Ten bytes of a hundred were read, and nothing more will come.
fn at_the_stall(client: &Client, server: &Server) -> Response {
    let mut response = client.submit(request("GET", &server.url("/"))).wait().unwrap();
    let mut read = 0;
    while read < 10 {
        read += block_on(response.read_soon(100)).unwrap().len();
    }
    response
}

#[test]
fn what_is_submitted_ends_as_a_call_does() {
    fn anywhere<T: Send + 'static>(_: &T) {}
    let server = Server::start(Script::answering("hello"));
    let client = client();
    for reused in [false, true] {
        let submission = client.submit(request("GET", &server.url("/")));
        anywhere(&submission);
        let mut response = submission.wait().unwrap();
        assert_eq!((response.status(), response.reused()), (200, reused));
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
fn it_begins_at_the_call_and_with_the_settings_of_then() {
    let server = Server::start(Script::echoing());
    let client = client();
    client.set_header("x-then", Some("1")).unwrap();
    let submission = client.submit(request("GET", &server.url("/")));
    client.set_header("x-then", None).unwrap();
    assert!(server.wait_heads(1, PATIENCE), "nobody polls, and still it is sent");
    // The client is not needed any more.
    drop(client);
    let body = submission.wait().unwrap().read_all(usize::MAX).unwrap();
    assert!(String::from_utf8(body).unwrap().contains("x-then: 1"));
}

#[test]
fn many_share_what_connections_there_may_be() {
    let server = Server::start(Script::answering("hello"));
    let client = client_with(per_origin(4));
    let url = server.url("/");
    let submissions = (0..100).map(|_| client.submit(whole(&url, 5))).collect();
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
    request.timeout(Clock::Total, Some(ms(50))).unwrap();
    let error = client.submit(request).wait().unwrap_err();
    assert_timed_out(&error, Clock::Total, Phase::Head);
    assert_gone(client.manager(), server.port());
}

#[test]
fn a_token_ends_it_in_every_phase() {
    let silent = Server::start(Script::every(vec![Step::Stall]));
    let (half, hole) = (half(), BlackHole::new());
    let answers = Server::start(Script::answering("hello"));
    let full = client_with(per_origin(1));
    let _in_use = get(&full, &half.url("/")).unwrap();
    let secure = format!("https://localhost:{}/", silent.port());
    let (source, account) = Source::endless();
    let cases = [
        (Phase::Pool, full, request("GET", &half.url("/"))),
        (Phase::Connect, client(), request("GET", &hole.url("/"))),
        (Phase::Tls, tls_client(), request("GET", &secure)),
        (Phase::Write, client(), post(&silent.url("/"), source.chunked())),
        (Phase::Head, client(), request("GET", &silent.url("/"))),
        (Phase::Read, client(), whole(&half.url("/"), 100)),
    ];
    for (phase, client, request) in cases {
        let token = CancelToken::new();
        let mut submission = client.submit(with_token(request, &token));
        match phase {
            Phase::Pool => until("a request that waits", || client.manager().stats().queued == 1),
            Phase::Write => until("a body under way", || account.reads() > 10),
            Phase::Head => until("a request that was sent", || {
                client.manager().connections().iter().any(|one| one.bytes_out > 0)
            }),
            Phase::Read => until("a response that began", || {
                client.manager().connections().iter().any(|one| one.bytes_in > 0)
            }),
            _ => until("a dial", || client.manager().stats().dialling == 1),
        }
        // What came is looked at in a moment.
        thread::sleep(ms(20));
        assert!(poll_once(&mut submission).is_none(), "{phase}");
        token.fire(Some(REASON));
        let error = submission.wait().unwrap_err();
        if phase == Phase::Connect || phase == Phase::Tls {
            assert_eq!(error.kind(), Kind::Cancelled);
        } else {
            assert_cancelled(&error, phase);
        }
        // What was cancelled is no reason for the next one to fail.
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
fn dropped_before_its_end_it_is_cancelled_and_nobody_else() {
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
    until("the end of the other's work", || client.manager().connections().len() == 1);
    assert_eq!(client.manager().why_closed(ids[1]), Some(Reason::Cancelled));
    // The token is the parent of both: it was not fired by that.
    assert!(!token.is_fired());
    token.fire(Some(REASON));
    assert_cancelled(&other.wait().unwrap_err(), Phase::Head);
    wait_closed(&client, &server);
}

#[test]
fn an_outcome_that_nobody_takes_closes_its_response() {
    let server = half();
    let client = client();
    let mut submission = client.submit(request("GET", &server.url("/")));
    assert!(server.wait_heads(1, PATIENCE));
    thread::sleep(ms(30));
    drop(submission);
    wait_closed(&client, &server);
    // Taken and dropped is the same; a second look is no second outcome.
    submission = client.submit(request("GET", &server.url("/")));
    until("an outcome", || poll_once(&mut submission).is_some());
    assert!(poll_once(&mut submission).is_none());
    wait_closed(&client, &server);
}

#[test]
fn a_shutdown_ends_all_of_it() {
    let server = half();
    let client = client();
    let mut response = at_the_stall(&client, &server);
    let heads: Vec<_> = (0..20).map(|_| client.submit(whole(&server.url("/"), 100))).collect();
    assert!(server.wait_heads(1, PATIENCE));
    let reading = response.read_soon(100);
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
fn a_whole_body_comes_with_its_response() {
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\n you.\r\n0\r\n\r\n";
    let gone = "HTTP/1.1 200 OK\r\n\r\nhello you.";
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello you.";
    for (answer, kept) in [(chunks, true), (length, true), (gone, false)] {
        let server = Server::start(Script::replying(answer));
        let client = client();
        let blocking = || client.send(&mut whole(&server.url("/"), 10));
        let submitted = || client.submit(whole(&server.url("/"), 10)).wait();
        for mut response in [blocking().unwrap(), submitted().unwrap()] {
            assert_at_rest(client.manager());
            let mut room = [0; 3];
            assert_eq!((response.read(&mut room).unwrap(), &room), (3, b"hel"));
            assert_eq!(block_on(response.read_soon(2)).unwrap(), b"lo");
            // A bound does not hurt what is here already.
            assert_eq!(response.read_all(4).unwrap_err().kind(), Kind::TooLarge);
            assert_eq!(response.read_all(5).unwrap(), b" you.");
            assert_eq!(response.read(&mut room).unwrap(), 0);
            assert_eq!(block_on(response.read_soon(2)).unwrap(), b"");
        }
        // Nothing was left to close.
        let reasons: Vec<_> = (1..3).filter_map(|id| client.manager().why_closed(id)).collect();
        assert!(kept || !reasons.contains(&Reason::BodyLeftUnread), "{reasons:?}");
    }
}

#[test]
fn a_body_that_is_too_large_fails_the_call_that_wanted_it_whole() {
    let server = Server::start(Script::answering("hello"));
    let client = client();
    let error = client.submit(whole(&server.url("/"), 4)).wait().unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::TooLarge, Phase::Read));
    assert!(error.connection().is_some() && error.response_started() && error.retry_safe());
    assert_consistent(&error);
    wait_closed(&client, &server);
    // The server has done what it was asked.
    let mut post = post(&server.url("/"), Body::bytes(b"do it"));
    post.whole(Some(4));
    assert!(!client.send(&mut post).unwrap_err().retry_safe());
    // No byte is a bound, too; and the bound can be taken away.
    assert_eq!(client.send(&mut whole(&server.url("/"), 0)).unwrap_err().kind(), Kind::TooLarge);
    let mut head = request("HEAD", &server.url("/"));
    head.whole(Some(0));
    assert_eq!(client.send(&mut head).unwrap().read_all(0).unwrap(), b"");
    head.whole(None);
    client.send(&mut head).unwrap();
}

#[test]
fn a_body_is_read_piece_by_piece_as_it_comes() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    let steps =
        vec![Step::head(), Step::send(head), Step::wait_for("go"), Step::send("hello you.")];
    let server = Server::start(Script::every(steps));
    let client = client();
    let mut response = client.submit(request("GET", &server.url("/"))).wait().unwrap();
    let mut reading = response.read_soon(4);
    assert!(poll_once(&mut reading).is_none());
    server.release("go");
    let mut body = block_on(reading).unwrap();
    loop {
        let piece = block_on(response.read_soon(4)).unwrap();
        assert!(piece.len() <= 4);
        if piece.is_empty() {
            break;
        }
        body.extend(piece);
    }
    assert_eq!(body, b"hello you.");
    assert_eq!(block_on(response.read_soon(4)).unwrap(), b"");
    let refused = block_on(response.read_soon(0)).unwrap_err();
    assert_eq!(refused.kind(), Kind::InvalidArgument);
    assert_eq!(response.read(&mut [0]).unwrap(), 0);
}

#[test]
fn what_is_begun_here_is_read_there() {
    let size = 300_000;
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
    let fill = Step::Fill { bytes: size, byte: 'x' };
    let server = Server::start(Script::every(vec![Step::forever(vec![
        Step::head(),
        Step::send(&large),
        fill,
    ])]));
    let client = client();
    for begin in 0..2 {
        let mut response = match begin {
            0 => get(&client, &server.url("/")).unwrap(),
            _ => client.submit(request("GET", &server.url("/"))).wait().unwrap(),
        };
        let mut read = block_on(response.read_soon(usize::MAX)).unwrap().len();
        read += response.read(&mut [0; 1000]).unwrap();
        read += block_on(response.read_soon(100)).unwrap().len();
        // On any thread.
        read += thread::spawn(move || response.read_all(usize::MAX).unwrap().len()).join().unwrap();
        assert_eq!(read as u64, size);
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_read_that_is_dropped_closes_the_response() {
    let server = half();
    let client = client();
    let mut response = at_the_stall(&client, &server);
    let id = response.connection();
    let mut reading = response.read_soon(100);
    assert!(poll_once(&mut reading).is_none());
    drop(reading);
    assert_eq!(response.read(&mut [0]).unwrap_err().kind(), Kind::InvalidState);
    assert_eq!(block_on(response.read_soon(1)).unwrap_err().kind(), Kind::InvalidState);
    wait_closed(&client, &server);
    assert_eq!(client.manager().why_closed(id), Some(Reason::BodyLeftUnread));
    assert!(server.wait_ended(0, PATIENCE).is_some());
}

#[test]
fn while_a_read_is_under_way_there_is_no_other() {
    let server = half();
    let client = client();
    let mut response = at_the_stall(&client, &server);
    // Forgotten, it is neither taken nor ended.
    std::mem::forget(response.read_soon(100));
    for error in [
        response.read(&mut [0]).unwrap_err(),
        response.read_all(100).unwrap_err(),
        block_on(response.read_soon(1)).unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::InvalidState);
        assert!(error.message().contains("under way"), "{error}");
    }
    drop(response);
    wait_closed(&client, &server);
}

#[test]
fn a_stopper_ends_a_read_that_is_under_way() {
    let server = half();
    let client = client();
    let mut response = at_the_stall(&client, &server);
    let stopper = response.stopper();
    let reading = response.read_soon(100);
    stopper.stop();
    let error = block_on(reading).unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::Closed, Phase::Read));
    assert_gone(client.manager(), server.port());
}

#[test]
fn a_body_that_takes_its_time_keeps_nobody_waiting() {
    let server = Server::start(Script::answering("hello"));
    let client = client();
    let (go, gone) = mpsc::channel::<()>();
    let (source, account) = Source::pieces(1, 5, move |_| gone.recv().unwrap());
    let upload = client.submit(post(&server.url("/"), source.chunked()));
    until("an upload that waits", || account.reads() > 0);
    let submissions = (0..20).map(|_| client.submit(whole(&server.url("/"), 5))).collect();
    join_all(submissions).into_iter().for_each(|outcome| drop(outcome.unwrap()));
    go.send(()).unwrap();
    assert_eq!(upload.wait().unwrap().status(), 200);
    account.assert_dropped_once();
}

#[test]
fn other_peoples_panics_are_told_and_hurt_nobody() {
    let server = Server::start(Script::answering("hello"));
    let client = client();
    let (source, account) = Source::pieces(1, 5, |_| panic!("on purpose"));
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
        until("an outcome", || poll_once(&mut submission).is_some());
    }
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"hello");
}

#[test]
fn the_child_of_a_fork_begins_anew() {
    alone("the_child_of_a_fork_begins_anew", || {
        let (server, answers) = (half(), Server::start(Script::answering("hello")));
        let client = client();
        let mut response = at_the_stall(&client, &server);
        let submission = client.submit(whole(&server.url("/"), 100));
        assert!(server.wait_heads(2, PATIENCE));
        let reading = response.read_soon(100);
        // SAFETY: no pointers. The child uses what this test is about, and its own memory.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: no pointers. A child that hangs is ended.
            unsafe { libc::alarm(30) };
            assert_eq!(block_on(reading).unwrap_err().kind(), Kind::Forked);
            assert_eq!(submission.wait().unwrap_err().kind(), Kind::Forked);
            let mut own = client.submit(whole(&answers.url("/"), 100)).wait().unwrap();
            assert_eq!(own.read_all(100).unwrap(), b"hello");
            drop(response);
            // SAFETY: handlers of atexit(3) run, as they would in any program.
            unsafe { libc::exit(0) };
        }
        let mut status = 0;
        // SAFETY: a valid pointer to where the status goes.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
        // Here it goes on.
        drop(reading);
        drop(submission);
        wait_closed(&client, &server);
    });
}
