//! What a server may send during an upload: interim responses, an early response, a refusal, and the end of the
//! connection (RFC 9110 sections 10.1.1 and 15.2, RFC 9112 section 9.5; R10, W9 to W11).

use std::time::{Duration, Instant};

use hangup::{Body, Error, Kind, Phase, Timeout};
use testserver::{Certificate, Options, Script, Server, Step, Until};

use crate::support::form::{Client, Form, Response, in_both_forms};
use crate::support::{PATIENCE, post};

in_both_forms! {
    an_interim_response_during_an_upload_does_not_end_it,
    a_late_100_continue_does_not_end_the_upload,
    w10_417_is_returned_and_its_request_not_sent_again,
    a_response_below_300_may_begin_before_the_upload_is_over,
    a_refusal_during_an_upload_ends_it,
    a_response_that_asks_for_a_close_ends_the_upload,
    a_close_after_an_early_response_ends_the_upload,
    interim_responses_do_not_stop_the_write_timeout,
    a_slow_path_is_no_write_timeout_as_long_as_bytes_move,
    a_slow_path_on_which_nothing_moves_any_more_is_a_write_timeout,
    endless_interim_responses_during_an_upload_are_bounded,
    an_early_body_that_is_never_read_on_does_not_grow_without_bound,
}

/// More than the buffers of both sockets hold, so that the upload waits while the server does not read.
const SIZE: usize = 24 << 20;
/// Long enough for those buffers to be full.
const PAUSE: u64 = 100;

fn server(tls: Option<Certificate>, steps: Vec<Step>) -> Server {
    Server::start_with(Options { tls, ..Options::default() }, Script::every(steps)).unwrap()
}

const PLAIN_AND_TLS: [Option<Certificate>; 2] = [None, Some(Certificate::Good)];

/// Sends a body, from memory or in chunks, and reads the response.
fn upload(client: &Client, server: &Server, chunked: bool) -> Result<(u16, Vec<u8>), Error> {
    let data = vec![b'u'; SIZE];
    let body = match chunked {
        true => Body::reader(std::io::Cursor::new(data), None),
        false => Body::bytes(&data),
    };
    let mut request = post(&server.url("/"), body);
    request.set_timeout(Timeout::Total, Some(PATIENCE)).unwrap();
    let mut response = client.send(&mut request)?;
    let body = response.read_all(1 << 22)?;
    Ok((response.status_code(), body))
}

fn an_interim_response_during_an_upload_does_not_end_it(form: Form) {
    for interim in ["100 Continue", "102 Processing", "103 Early Hints\r\nLink: </a>"] {
        for (tls, chunked) in PLAIN_AND_TLS.into_iter().zip([false, true]) {
            let interim = format!("HTTP/1.1 {interim}\r\n\r\n");
            let server = server(
                tls,
                vec![
                    Step::head(),
                    Step::send(&interim.repeat(3)),
                    Step::sleep(PAUSE),
                    Step::body(),
                    Step::send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
                    Step::head(),
                    Step::send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
                ],
            );
            let client = form.tls_client();
            assert_eq!(upload(&client, &server, chunked).unwrap(), (200, b"ok".to_vec()));
            assert_eq!(server.bodies(0)[0].len(), SIZE.min(16 << 20), "{interim}");
            // The request was sent completely, so the connection is reused.
            client.get(&server.url("/"), Some(PATIENCE)).unwrap();
            assert_eq!(server.connections(), 1, "{interim}");
        }
    }
}

fn a_late_100_continue_does_not_end_the_upload(form: Form) {
    for tls in PLAIN_AND_TLS {
        let server = server(
            tls,
            vec![
                Step::head(),
                // Longer than the client waits for it.
                Step::sleep(1200),
                Step::send("HTTP/1.1 100 Continue\r\n\r\n"),
                Step::sleep(PAUSE),
                Step::body(),
                Step::send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            ],
        );
        let mut request = post(&server.url("/"), Body::bytes(&vec![b'u'; SIZE]));
        request.add_header("Expect", "100-continue").unwrap();
        request.set_timeout(Timeout::Total, Some(PATIENCE)).unwrap();
        let mut response = form.tls_client().send(&mut request).unwrap();
        assert_eq!(response.read_all(10).unwrap(), b"ok");
    }
}

fn w10_417_is_returned_and_its_request_not_sent_again(form: Form) {
    let refusal = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n";
    let server = server(None, vec![Step::head(), Step::send(refusal), Step::Stall]);
    let mut request = post(&server.url("/"), Body::bytes(b"body"));
    request.add_header("Expect", "100-continue").unwrap();
    let response = form.client().send(&mut request).unwrap();
    assert_eq!((response.status_code(), server.connections()), (417, 1));
    assert!(server.wait_open(0, PATIENCE));
    assert!(server.received(0).ends_with(b"\r\n\r\n"));
}

fn a_response_below_300_may_begin_before_the_upload_is_over(form: Form) {
    for (tls, chunked) in PLAIN_AND_TLS.into_iter().zip([true, false]) {
        let server = server(
            tls,
            vec![
                Step::head(),
                Step::send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nbegin \r\n"),
                Step::sleep(PAUSE),
                Step::send("a\r\n"),
                Step::Fill { bytes: 10, byte: '.' },
                Step::body(),
                Step::send("\r\n4\r\n end\r\n0\r\n\r\n"),
                Step::head(),
                Step::send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            ],
        );
        let client = form.tls_client();
        let (status, body) = upload(&client, &server, chunked).unwrap();
        assert_eq!((status, body.as_slice()), (200, &b"begin .......... end"[..]));
        assert_eq!(server.bodies(0)[0].len(), SIZE.min(16 << 20));
        client.get(&server.url("/"), Some(PATIENCE)).unwrap();
        assert_eq!(server.connections(), 1);
    }
}

fn a_refusal_during_an_upload_ends_it(form: Form) {
    for status in [302, 403, 413, 500] {
        for (tls, pause) in PLAIN_AND_TLS.into_iter().flat_map(|tls| [(tls, 0), (tls, PAUSE)]) {
            let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno");
            // With a server that reads, so that the upload is never blocked, and with one that does not.
            let steps = vec![Step::head(), Step::send(&answer), Step::sleep(pause), Step::eof()];
            let server = server(tls, steps);
            let client = form.tls_client();
            assert_eq!(upload(&client, &server, false).unwrap(), (status, b"no".to_vec()));
            assert!(
                server.wait_ended(0, PATIENCE).is_some(),
                "the connection is of no further use"
            );
        }
    }
}

fn a_response_that_asks_for_a_close_ends_the_upload(form: Form) {
    let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    let server =
        server(None, vec![Step::head(), Step::send(answer), Step::sleep(PAUSE), Step::eof()]);
    assert_eq!(upload(&form.client(), &server, false).unwrap(), (200, b"ok".to_vec()));
}

fn a_close_after_an_early_response_ends_the_upload(form: Form) {
    for end in [Step::Close, Step::Fin, Step::Rst] {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let steps = vec![Step::head(), Step::send(answer), Step::sleep(PAUSE), end, Step::eof()];
        let server = server(None, steps);
        assert_eq!(upload(&form.client(), &server, false).unwrap(), (200, b"ok".to_vec()));
    }
}

fn interim_responses_do_not_stop_the_write_timeout(form: Form) {
    let interim = vec![Step::send("HTTP/1.1 102 Processing\r\n\r\n"), Step::sleep(20)];
    let server = server(None, vec![Step::head(), Step::forever(interim)]);
    let mut request = post(&server.url("/"), Body::bytes(&vec![b'u'; SIZE]));
    request.set_timeout(Timeout::Write, Some(Duration::from_millis(300))).unwrap();
    request.set_timeout(Timeout::Total, Some(PATIENCE)).unwrap();
    let error = form.client().send(&mut request).unwrap_err();
    assert_eq!(
        (error.kind(), error.timeout(), error.phase()),
        (Kind::TimedOut, Timeout::Write, Phase::Write)
    );
}

/// Takes pieces with pauses, all together for longer than [`WRITE_TIMEOUT`], while the system of the client reports no room:
/// it does so when a third of its buffer is free, which is many pieces.
fn slow_reads() -> Step {
    Step::Repeat {
        times: 12,
        steps: vec![Step::Recv(Until::Bytes(64 * 1024)), Step::sleep(WRITE_TIMEOUT / 5)],
    }
}

/// In milliseconds; much longer than a pause of the server.
const WRITE_TIMEOUT: u64 = 2000;

fn slow_upload(client: &Client, server: &Server, reader: bool) -> Result<Response, Error> {
    let data = vec![b'u'; SIZE];
    let body = match reader {
        true => Body::reader(std::io::Cursor::new(data), Some(SIZE as u64)),
        false => Body::bytes(&data),
    };
    let mut request = post(&server.url("/"), body);
    request.set_timeout(Timeout::Write, Some(Duration::from_millis(WRITE_TIMEOUT))).unwrap();
    request.set_timeout(Timeout::Total, Some(PATIENCE)).unwrap();
    client.send(&mut request)
}

/// Does it without TLS and with it, at the same time.
fn plain_and_tls(test: impl Fn(Option<Certificate>) + Copy + Send) {
    std::thread::scope(|scope| {
        for tls in PLAIN_AND_TLS {
            scope.spawn(move || test(tls));
        }
    });
}

fn a_slow_path_is_no_write_timeout_as_long_as_bytes_move(form: Form) {
    plain_and_tls(|tls| {
        let reader = tls.is_some();
        // The head comes with the first bytes. The rest of the body is taken at once.
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let rest = Step::Recv(Until::Bytes(SIZE as u64 - 12 * 64 * 1024));
        let server = server(tls, vec![slow_reads(), rest, Step::send(answer), Step::Stall]);
        let response = slow_upload(&form.tls_client(), &server, reader).unwrap();
        assert_eq!(response.status_code(), 200);
    });
}

fn a_slow_path_on_which_nothing_moves_any_more_is_a_write_timeout(form: Form) {
    plain_and_tls(|tls| {
        let reader = tls.is_none();
        let server = server(tls, vec![slow_reads(), Step::Stall]);
        let begun = Instant::now();
        let error = slow_upload(&form.tls_client(), &server, reader).err().unwrap();
        let found = (error.kind(), error.timeout(), error.phase());
        assert_eq!(found, (Kind::TimedOut, Timeout::Write, Phase::Write));
        // The last but two of the pauses, and the timeout.
        let least = Duration::from_millis(WRITE_TIMEOUT / 5 * 10 + WRITE_TIMEOUT);
        assert!(begun.elapsed() >= least, "{:?}", begun.elapsed());
    });
}

fn endless_interim_responses_during_an_upload_are_bounded(form: Form) {
    let many = "HTTP/1.1 102 Processing\r\n\r\n".repeat(1000);
    let server = server(None, vec![Step::head(), Step::forever(vec![Step::send(&many)])]);
    let error = upload(&form.client(), &server, false).unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge, "{error}");
}

fn an_early_body_that_is_never_read_on_does_not_grow_without_bound(form: Form) {
    // The server sends and does not read: the buffered part of its body is bounded, and the write timeout ends the upload.
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
    let body = vec![Step::Fill { bytes: 1 << 20, byte: '.' }, Step::mark("a mebibyte")];
    let server = server(None, vec![Step::head(), Step::send(head), Step::forever(body)]);
    let mut request = post(&server.url("/"), Body::bytes(&vec![b'u'; SIZE]));
    request.set_timeout(Timeout::Write, Some(Duration::from_millis(300))).unwrap();
    request.set_timeout(Timeout::Total, Some(PATIENCE)).unwrap();
    let error = form.client().send(&mut request).unwrap_err();
    assert_eq!((error.kind(), error.timeout()), (Kind::TimedOut, Timeout::Write));
    // In addition to the buffers of both sockets.
    assert!(server.marks("a mebibyte") < 32);
}
