//! Response bodies of submissions: buffered with the response, in pieces as they arrive, or read in the other form.

use std::thread;
use std::time::Instant;

use hangup::{Body, CloseReason, Kind, Phase};
use testserver::{Certificate, Script, Server, Step};

use super::{at_the_stall, block_on, buffered_get, half, poll_once, wait_closed};
use crate::support::inspect::{assert_at_rest, assert_gone, wait_unread};
use crate::support::outcome::assert_consistent;
use crate::support::{PATIENCE, client, get, post, request, tls_client};

#[test]
fn a_buffered_body_arrives_with_its_response() {
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\n you.\r\n0\r\n\r\n";
    let gone = "HTTP/1.1 200 OK\r\n\r\nhello you.";
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello you.";
    for (answer, kept) in [(chunks, true), (length, true), (gone, false)] {
        let server = Server::start(Script::replying(answer));
        let client = client();
        let blocking = || client.send(&mut buffered_get(&server.url("/"), 10));
        let submitted = || client.submit(buffered_get(&server.url("/"), 10)).wait();
        for mut response in [blocking().unwrap(), submitted().unwrap()] {
            assert_at_rest(client.manager());
            let mut room = [0; 3];
            assert_eq!((response.read(&mut room).unwrap(), &room), (3, b"hel"));
            assert_eq!(block_on(response.read_async(2)).unwrap(), b"lo");
            // The bound does not apply to a body that has arrived already.
            assert_eq!(response.read_all(4).unwrap_err().kind(), Kind::TooLarge);
            assert_eq!(response.read_all(5).unwrap(), b" you.");
            assert_eq!(response.read(&mut room).unwrap(), 0);
            assert_eq!(block_on(response.read_async(2)).unwrap(), b"");
        }
        // The connection was idle already.
        let reasons: Vec<_> = (1..3).filter_map(|id| client.manager().close_reason(id)).collect();
        assert!(kept || !reasons.contains(&CloseReason::BodyLeftUnread), "{reasons:?}");
    }
}

#[test]
fn a_buffered_body_that_is_too_large_fails_the_request() {
    let server = Server::start(Script::answering("hello"));
    let client = client();
    let error = client.submit(buffered_get(&server.url("/"), 4)).wait().unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::TooLarge, Phase::Read));
    assert!(error.connection_id().is_some() && error.response_started() && error.retry_safe());
    assert_consistent(&error);
    wait_closed(&client, &server);
    // The server has sent the complete response.
    let mut post = post(&server.url("/"), Body::bytes(b"do it"));
    post.set_buffer_body(Some(4));
    assert!(!client.send(&mut post).unwrap_err().retry_safe());
    // A bound of zero bytes is valid, and the bound can be removed.
    assert_eq!(
        client.send(&mut buffered_get(&server.url("/"), 0)).unwrap_err().kind(),
        Kind::TooLarge
    );
    let mut head = request("HEAD", &server.url("/"));
    head.set_buffer_body(Some(0));
    assert_eq!(client.send(&mut head).unwrap().read_all(0).unwrap(), b"");
    head.set_buffer_body(None);
    client.send(&mut head).unwrap();
}

#[test]
fn a_body_is_read_in_pieces_as_they_arrive() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    let steps =
        vec![Step::head(), Step::send(head), Step::wait_for("go"), Step::send("hello you.")];
    let server = Server::start(Script::every(steps));
    let client = client();
    let mut response = client.submit(request("GET", &server.url("/"))).wait().unwrap();
    let mut reading = response.read_async(4);
    assert!(poll_once(&mut reading).is_none());
    server.release("go");
    let mut body = block_on(reading).unwrap();
    loop {
        let piece = block_on(response.read_async(4)).unwrap();
        assert!(piece.len() <= 4);
        if piece.is_empty() {
            break;
        }
        body.extend(piece);
    }
    assert_eq!(body, b"hello you.");
    assert_eq!(block_on(response.read_async(4)).unwrap(), b"");
    let refused = block_on(response.read_async(0)).unwrap_err();
    assert_eq!(refused.kind(), Kind::InvalidArgument);
    assert_eq!(response.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_submitted_read_of_a_chunked_body_returns_all_that_is_here() {
    let large = "y".repeat(40_000);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n \r\n";
    let later = format!("4\r\nyou.\r\n9c40\r\n{large}\r\n0\r\nA: b\r\n\r\n");
    let steps =
        vec![Step::head(), Step::send(head), Step::wait_for("go"), Step::send(&later), Step::Stall];
    for server in [
        Server::start(Script::every(steps.clone())),
        Server::start_tls(Certificate::Good, Script::every(steps)),
    ] {
        let client = tls_client();
        let mut response = get(&client, &server.url("/")).unwrap();
        // With the head, or on the way.
        let mut body = block_on(response.read_async(100)).unwrap();
        while body.len() < 6 {
            body.extend(block_on(response.read_async(100)).unwrap());
        }
        assert_eq!(body, b"hello ");
        server.release("go");
        // It is in the socket, and no other thread is asked.
        wait_unread(server.port(), later.len());
        let mut pieces = Vec::new();
        while body.len() < 10 + large.len() {
            let piece =
                poll_once(&mut response.read_async(usize::MAX)).expect("the bytes are here");
            let piece = piece.unwrap();
            pieces.push(piece.len());
            body.extend(piece);
        }
        assert_eq!(body, format!("hello you.{large}").as_bytes());
        // They are as large as the room, which begins with 4 KiB and grows.
        assert!(pieces.len() <= 4, "{pieces:?}");
        assert_eq!(block_on(response.read_async(1)).unwrap(), b"", "the end");
        assert_at_rest(client.manager());
        assert_eq!(response.trailers().collect::<Vec<_>>(), [("a", &b"b"[..])]);
    }
}

#[test]
fn what_has_arrived_is_read_without_a_wait() {
    let steps = vec![
        Step::head(),
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
        Step::wait_for("hello"),
        Step::send("hello"),
        Step::wait_for("you"),
        Step::send(" you."),
    ];
    let server = Server::start(Script::every(steps));
    let client = client();
    let mut response = client.submit(request("GET", &server.url("/"))).wait().unwrap();
    let mut room = [0; 100];
    assert_eq!(response.read_available(&mut room).unwrap(), None);
    assert_eq!(response.read_available(&mut []).unwrap_err().kind(), Kind::InvalidArgument);
    for (name, piece) in [("hello", "hello"), ("you", " you.")] {
        server.release(name);
        let begin = Instant::now();
        let got = loop {
            assert!(begin.elapsed() < PATIENCE);
            match response.read_available(&mut room).unwrap() {
                Some(got) => break got,
                None => thread::yield_now(),
            }
        };
        assert_eq!(&room[..got], piece.as_bytes());
    }
    assert_at_rest(client.manager());
    assert_eq!(response.read_available(&mut room).unwrap(), Some(0));
}

#[test]
fn nothing_has_arrived_while_another_read_is_under_way_and_a_cut_is_no_end() {
    let server = half();
    let client = client();
    let mut response = at_the_stall(&client, &server);
    let mut reading = response.read_async(4);
    assert!(poll_once(&mut reading).is_none());
    drop(reading);
    assert_eq!(response.read_available(&mut [0; 4]).unwrap_err().kind(), Kind::InvalidState);

    let part = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    let cut = Server::start(Script::every(vec![Step::head(), Step::send(part), Step::Close]));
    let mut response = get(&client, &cut.url("/")).unwrap();
    let mut room = [0; 100];
    let mut all = 0;
    let begin = Instant::now();
    let error = loop {
        assert!(begin.elapsed() < PATIENCE);
        match response.read_available(&mut room) {
            Ok(Some(0)) => panic!("a body that was cut off has no end"),
            Ok(got) => all += got.unwrap_or(0),
            Err(error) => break error,
        }
        thread::yield_now();
    };
    assert_eq!((all, error.kind(), error.phase()), (5, Kind::PeerClosed, Phase::Read));
}

#[test]
fn a_body_that_is_known_to_be_longer_is_not_buffered() {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello you.";
    let chunks =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello you.\r\n0\r\n\r\n";
    for (answer, up_to, is_buffered) in [
        (length, Some(9), false),
        (length, Some(10), true),
        (length, None, true),
        (chunks, Some(9), true),
        (chunks, Some(0), true),
    ] {
        let server = Server::start(Script::replying(answer));
        let client = client();
        let mut get = buffered_get(&server.url("/"), 10);
        get.set_buffer_up_to(up_to);
        for is_submitted in [false, true] {
            let mut response = if is_submitted {
                client.submit(get.try_clone().unwrap()).wait().unwrap()
            } else {
                client.send(&mut get).unwrap()
            };
            assert_eq!(response.left(), Some(10));
            assert_eq!(client.manager().stats().in_use == 0, is_buffered);
            let mut whole = [0; 11];
            assert_eq!(response.read_full(&mut whole, 10).unwrap(), 10);
            assert_eq!(&whole[..10], b"hello you.");
        }
    }
    // The bound counts in any case, and without buffering the length is of no meaning.
    let server = Server::start(Script::replying(length));
    let client = client();
    let mut get = buffered_get(&server.url("/"), 9);
    get.set_buffer_up_to(Some(5));
    assert_eq!(client.send(&mut get).unwrap_err().kind(), Kind::TooLarge);
    get.set_buffer_body(None);
    assert_eq!(client.submit(get).wait().unwrap().left(), Some(10));
}

#[test]
fn a_response_can_be_read_on_another_thread_or_in_the_other_form() {
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
        let mut read = block_on(response.read_async(usize::MAX)).unwrap().len();
        read += response.read(&mut [0; 1000]).unwrap();
        read += block_on(response.read_async(100)).unwrap().len();
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
    let id = response.connection_id();
    let mut reading = response.read_async(100);
    assert!(poll_once(&mut reading).is_none());
    drop(reading);
    assert_eq!(response.read(&mut [0]).unwrap_err().kind(), Kind::InvalidState);
    assert_eq!(block_on(response.read_async(1)).unwrap_err().kind(), Kind::InvalidState);
    wait_closed(&client, &server);
    assert_eq!(client.manager().close_reason(id), Some(CloseReason::BodyLeftUnread));
    assert!(server.wait_ended(0, PATIENCE).is_some());
}

#[test]
fn a_second_read_is_refused_while_one_is_in_progress() {
    let server = half();
    let client = client();
    let mut response = at_the_stall(&client, &server);
    // A forgotten future neither takes the outcome nor ends the read.
    std::mem::forget(response.read_async(100));
    for error in [
        response.read(&mut [0]).unwrap_err(),
        response.read_all(100).unwrap_err(),
        block_on(response.read_async(1)).unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::InvalidState);
        assert!(error.message().contains("under way"), "{error}");
    }
    drop(response);
    wait_closed(&client, &server);
}

#[test]
fn a_close_handle_ends_a_read_in_progress() {
    let server = half();
    let client = client();
    let mut response = at_the_stall(&client, &server);
    let stopper = response.close_handle();
    let reading = response.read_async(100);
    stopper.close();
    let error = block_on(reading).unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::Closed, Phase::Read));
    assert_gone(client.manager(), server.port());
}

/// Reads to the end in pieces, and returns their sizes.
fn piece_sizes(response: &mut hangup::Response) -> Vec<usize> {
    let mut sizes = Vec::new();
    loop {
        match block_on(response.read_async(usize::MAX)).unwrap().len() {
            0 => return sizes,
            size => sizes.push(size),
        }
    }
}

/// The readers of a submitted read are on an I/O thread; what is here already is returned by the call that asks.
#[test]
fn a_submitted_read_returns_at_once_what_is_here_already() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    let steps = vec![Step::head(), Step::send(head), Step::wait_for("go"), Step::send(" you.")];
    let server = Server::start(Script::every(steps));
    let client = client();
    let mut response = get(&client, &server.url("/")).unwrap();
    // It came with the head, or it comes a moment later.
    let mut here = Vec::new();
    while here.len() < 5 {
        here.extend(block_on(response.read_async(100)).unwrap());
    }
    assert_eq!(here, b"hello");
    let mut reading = response.read_async(100);
    assert!(poll_once(&mut reading).is_none(), "nothing is here");
    server.release("go");
    assert_eq!(block_on(reading).unwrap(), b" you.");
    assert_eq!(poll_once(&mut response.read_async(100)).unwrap().unwrap(), b"");
    assert_at_rest(client.manager());
}

#[test]
fn bytes_that_came_with_the_head_need_no_job() {
    let server = Server::start(Script::answering("hello"));
    let client = client();
    for _ in 0..3 {
        let mut response = client.submit(request("GET", &server.url("/"))).wait().unwrap();
        // The server sends head and body in one piece.
        let piece = poll_once(&mut response.read_async(3)).expect("it is here").unwrap();
        assert_eq!(piece, b"hel");
        let rest = poll_once(&mut response.read_async(3)).expect("it is here").unwrap();
        assert_eq!(rest, b"lo");
    }
    assert_at_rest(client.manager());
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_submitted_read_is_cancelled_though_bytes_are_here() {
    let server = Server::start(Script::answering("hello"));
    let client = client();
    let token = hangup::CancelToken::new();
    let mut asked = request("GET", &server.url("/"));
    asked.set_cancel(Some(token.clone()));
    let mut response = client.submit(asked).wait().unwrap();
    token.fire(None);
    assert_eq!(block_on(response.read_async(3)).unwrap_err().kind(), Kind::Cancelled);
    assert_eq!(block_on(response.read_async(3)).unwrap_err().kind(), Kind::Cancelled);
}

#[test]
fn pieces_grow_to_a_quarter_of_a_mebibyte() {
    let size = 64 << 20;
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
    let fill = Step::Fill { bytes: size, byte: 'x' };
    let server = Server::start(Script::every(vec![Step::head(), Step::send(&large), fill]));
    let client = client();
    let mut response = client.submit(request("GET", &server.url("/"))).wait().unwrap();
    let sizes = piece_sizes(&mut response);
    assert_eq!(sizes.iter().sum::<usize>() as u64, size);
    assert!(sizes.iter().all(|size| *size <= 256 * 1024));
    assert!(sizes.iter().any(|size| *size > 64 * 1024), "{} pieces", sizes.len());
}

#[test]
fn a_truncated_body_gives_its_bytes_before_the_error() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    let steps = vec![Step::head(), Step::send(head), Step::send("hello")];
    let server = Server::start(Script::every(steps));
    let client = client();
    let mut response = client.submit(request("GET", &server.url("/"))).wait().unwrap();
    let mut got = Vec::new();
    let error = loop {
        match block_on(response.read_async(100)) {
            Ok(piece) => {
                assert!(!piece.is_empty(), "a truncated body has no end");
                got.extend(piece);
            }
            Err(error) => break error,
        }
    };
    assert_eq!((got.as_slice(), error.kind()), (&b"hello"[..], Kind::PeerClosed));
    assert_eq!(block_on(response.read_async(100)).unwrap_err().kind(), Kind::PeerClosed);
}

#[test]
fn a_buffer_of_the_callers_is_filled_in_steps_whatever_the_framing() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\n you.\r\n0\r\n\r\n";
    let closed = "HTTP/1.1 200 OK\r\n\r\nhello you.";
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello you.";
    for (answer, known) in [(chunked, false), (length, true), (closed, false)] {
        let server = Server::start(Script::replying(answer));
        let client = client();
        let open = || get(&client, &server.url("/")).unwrap();
        let mut response = open();
        assert_eq!(response.left(), known.then_some(10));
        let mut room = [0; 7];
        assert_eq!(response.read_full(&mut room, 10).unwrap(), 7);
        assert_eq!(&room, b"hello y");
        assert_eq!(response.left(), known.then_some(3));
        assert_eq!(
            response.read_full(&mut room, 10).unwrap(),
            3,
            "the end comes before it is full"
        );
        assert_eq!((&room[..3], response.left()), (&b"ou."[..], Some(0)));
        assert_eq!(response.read_full(&mut room, 10).unwrap(), 0);
        assert_eq!(response.read_full(&mut [], 10).unwrap_err().kind(), Kind::InvalidArgument);
        // The bound is one for all calls, and what is known to be larger is refused before anything is read.
        for (mut response, before) in [(open(), 0), (open(), 4)] {
            if before > 0 && !known {
                assert_eq!(response.read_full(&mut room[..before], 9).unwrap(), before);
            }
            let error = response.read_full(&mut [0; 20], 9).unwrap_err();
            assert_eq!((error.kind(), error.phase()), (Kind::TooLarge, Phase::Read));
            assert!(error.message().contains("9 bytes that this call allows"), "{error}");
        }
        let limited = crate::support::client();
        limited.set_max_body(9);
        let mut response = get(&limited, &server.url("/")).unwrap();
        let error = response.read_full(&mut [0; 20], usize::MAX).unwrap_err();
        assert!(error.message().contains("9 bytes that max_body allows"), "{error}");
        // A body that is here already.
        let mut response = client.send(&mut buffered_get(&server.url("/"), 10)).unwrap();
        assert_eq!((response.left(), response.read_full(&mut room, 10).unwrap()), (Some(10), 7));
        assert_eq!((response.left(), response.read_full(&mut room, 10).unwrap()), (Some(3), 3));
    }
}

#[test]
fn a_whole_body_is_what_the_server_sent_whatever_its_size_and_framing() {
    for size in [0, 1, 8191, 8192, 8193, 70_000, 1 << 20, (1 << 20) + 1, 3_000_000] {
        let body: String = (0..size).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
        for head in [format!("Content-Length: {size}\r\n"), "Connection: close\r\n".to_owned()] {
            let server =
                Server::start(Script::replying(&format!("HTTP/1.1 200 OK\r\n{head}\r\n{body}")));
            let client = client();
            // The memory of the first one may be used again for the second one.
            for _ in 0..2 {
                let whole = get(&client, &server.url("/")).unwrap().bytes().unwrap();
                assert!(whole == body.as_bytes(), "{} of {size} bytes after {head}", whole.len());
            }
        }
    }
}
