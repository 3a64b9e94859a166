//! Responses that the corpus does not have: cut or split at every position, every byte in a header, invalid lengths (W1,
//! W2, W4, W7, W8).

use std::time::{Duration, Instant};

use hangup::{CloseReason, ConnectionMode, Error, Kind, Phase};
use testserver::{Script, Server, Step};

use crate::support::form::{Client, Form, in_both_forms};
use crate::support::inspect::{assert_at_rest, assert_gone};
use crate::support::{MARGIN, fetch, get, request};

in_both_forms! {
    w7_a_response_cut_at_any_byte_is_an_error_that_names_the_place,
    a_response_split_at_any_byte_is_the_same_response,
    w1_status_lines_as_they_are_reported,
    w1_a_malformed_status_line_is_refused_at_once,
    w2_every_byte_in_a_header_value_is_refused_or_delivered_unchanged,
    w2_every_byte_in_a_header_name_is_refused_unless_it_is_a_token,
    w2_repeated_headers_are_all_there_in_order,
    w4_invalid_lengths_are_refused,
    w4_a_huge_length_allocates_nothing_in_advance,
    read_all_returns_the_rest_after_any_earlier_reads,
    w8_a_response_without_a_body_returns_at_once_despite_its_headers,
    a_head_that_never_ends_is_bounded_in_bytes_and_time,
}

const SHORT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nT: t\r\n\r\n";

/// A server with a connection for each of these responses, which ends with this step.
fn answering_each(answers: &[Vec<Step>]) -> Server {
    let steps = |answer: &Vec<Step>| [vec![Step::head()], answer.clone()].concat();
    Server::start(Script::new(answers.iter().map(steps).collect()))
}

/// The next response of such a server, on a connection of its own.
fn next(client: &Client, server: &Server) -> Result<Vec<u8>, Error> {
    let mut request = request("GET", &server.url("/"));
    request.set_connection_mode(ConnectionMode::Fresh);
    client.send(&mut request)?.read_all(usize::MAX)
}

fn w7_a_response_cut_at_any_byte_is_an_error_that_names_the_place(form: Form) {
    // The last chunk completes the body, even if the trailers are cut off (RFC 9112 section 8).
    let last_chunk = CHUNKED.find("T: t").unwrap();
    for (answer, body, complete) in
        [(SHORT, SHORT.find("hello"), SHORT.len()), (CHUNKED, CHUNKED.find("3;x"), last_chunk)]
    {
        let body = body.unwrap();
        for reset in [false, true] {
            let end = if reset { Step::Rst } else { Step::Close };
            let cut = |at| vec![Step::send(&answer[..at]), end.clone()];
            let server = answering_each(&(0..answer.len()).map(cut).collect::<Vec<_>>());
            let client = form.client();
            for at in 0..answer.len() {
                let error = match next(&client, &server) {
                    Err(error) => error,
                    Ok(whole) => {
                        assert_eq!(whole, b"hello");
                        assert!(at >= complete, "cut after {at} of {answer:?}");
                        assert_eq!(client.manager().stats().idle, 0);
                        continue;
                    }
                };
                let phase = if at < body { Phase::Head } else { Phase::Read };
                let kind = if reset { Kind::PeerReset } else { Kind::PeerClosed };
                assert_eq!(error.kind(), kind, "after {at} bytes: {error:?}");
                // A reset may discard the bytes before it.
                assert!(reset || error.phase() == phase, "after {at} bytes: {error:?}");
                assert!(reset || error.response_started() == (at > 0), "after {at}: {error:?}");
                let says = match at {
                    _ if reset => "reset",
                    0 => "before any byte",
                    _ if at < body => "inside the head",
                    _ => "truncated",
                };
                assert!(error.message().contains(says), "after {at} bytes: {error}");
                assert_at_rest(client.manager());
                let why = client.manager().close_reason(error.connection_id().unwrap());
                let expected = if reset { CloseReason::PeerReset } else { CloseReason::PeerClosed };
                assert_eq!(why, Some(expected), "after {at} bytes");
            }
            assert_gone(client.manager(), server.port());
        }
    }
}

fn a_response_split_at_any_byte_is_the_same_response(form: Form) {
    let folded = "HTTP/1.1 200 OK\r\nX: a\r\n  b\r\nContent-Length: 5\r\n\r\nhello";
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let bare = "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello";
    for answer in [SHORT, CHUNKED, folded, interim, bare] {
        // One connection. Between the two pieces the server waits until the first has been read.
        let torn = |at: usize| {
            let (first, second) = answer.split_at(at);
            vec![Step::head(), Step::send(first), Step::sleep(1), Step::send(second)]
        };
        let all: Vec<Step> = (1..answer.len()).flat_map(torn).collect();
        let server = Server::start(Script::every(all));
        let client = form.client();
        for at in 1..answer.len() {
            let body = fetch(&client, &server.url("/"))
                .unwrap_or_else(|error| panic!("torn after {at} of {answer:?}: {error:?}"));
            assert_eq!(body, b"hello", "torn after {at} of {answer:?}");
        }
        assert_eq!(server.connections(), 1, "kept: {answer:?}");
    }
}

fn w1_status_lines_as_they_are_reported(form: Form) {
    let cases = [
        ("HTTP/1.1 200 OK", 200, 11),
        ("HTTP/1.1 200", 200, 11),
        ("HTTP/1.1 200 ", 200, 11),
        ("HTTP/1.0 404 Not \u{e9}t\u{e9}", 404, 10),
        ("HTTP/1.1 999 Whatever", 999, 11),
        ("HTTP/1.1 599", 599, 11),
    ];
    for (line, status, version) in cases {
        let server =
            answering_each(&[vec![Step::send(&format!("{line}\r\nContent-Length: 0\r\n\r\n"))]]);
        let response =
            get(&form.client(), &server.url("/")).unwrap_or_else(|e| panic!("{line:?}: {e:?}"));
        assert_eq!(
            (response.status_code(), response.head().version()),
            (status, version),
            "{line:?}"
        );
    }
}

/// Asserts that a response with this line in its head is a protocol error and closes the connection.
#[track_caller]
fn refused(form: Form, answer: &[u8]) -> Error {
    let server = answering_each(&[vec![Step::SendHex(answer.to_vec()), Step::Stall]]);
    let client = form.client();
    let text = String::from_utf8_lossy(answer).into_owned();
    let error = fetch(&client, &server.url("/")).expect_err(&text);
    assert_eq!((error.kind(), error.phase()), (Kind::Protocol, Phase::Head), "{text:?}: {error:?}");
    assert!(error.response_started());
    assert_eq!(
        client.manager().close_reason(error.connection_id().unwrap()),
        Some(CloseReason::ProtocolError)
    );
    assert_at_rest(client.manager());
    assert_eq!(client.manager().stats().idle, 0);
    error
}

fn w1_a_malformed_status_line_is_refused_at_once(form: Form) {
    for line in [
        "HTTP/1.1 -12 X",
        "HTTP/1.1 2 X",
        "HTTP/1.2 200 X",
        "HTTP/2 200",
        "200 OK",
        "ICY 200 OK",
        " HTTP/1.1 200 X",
    ] {
        refused(form, format!("{line}\r\nContent-Length: 0\r\n\r\n").as_bytes());
    }
    refused(form, format!("HTTP/1.1 {} X\r\n\r\n", "1".repeat(100)).as_bytes());
    refused(form, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    // HTTP/0.9 and an SSH server: there is no end of a head.
    refused(form, b"<html><body>hello</body></html>");
    refused(form, b"SSH-2.0-OpenSSH_9.2\r\n");
}

fn w2_every_byte_in_a_header_value_is_refused_or_delivered_unchanged(form: Form) {
    for byte in 0..=255u8 {
        let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: a".to_vec();
        answer.extend([byte, b'b']);
        answer.extend(b"\r\n\r\n");
        match byte {
            0 | b'\r' => drop(refused(form, &answer)),
            // LF ends the line, and the rest has no colon.
            b'\n' => drop(refused(form, &answer)),
            // RFC 9110 section 5.5 lets the recipient accept other control characters; they must not be altered.
            1..=8 | 11 | 12 | 14..=31 | 127 => {
                let server = answering_each(&[vec![Step::SendHex(answer)]]);
                match get(&form.client(), &server.url("/")) {
                    Ok(response) => {
                        assert_eq!(response.head().header("x-a"), Some(&[b'a', byte, b'b'][..]))
                    }
                    Err(error) => assert_eq!(error.kind(), Kind::Protocol, "{byte:#x}: {error:?}"),
                }
            }
            _ => {
                let server = answering_each(&[vec![Step::SendHex(answer)]]);
                let response = get(&form.client(), &server.url("/"))
                    .unwrap_or_else(|e| panic!("{byte:#x}: {e:?}"));
                assert_eq!(
                    response.head().header("X-A"),
                    Some(&[b'a', byte, b'b'][..]),
                    "{byte:#x}"
                );
            }
        }
    }
}

fn w2_every_byte_in_a_header_name_is_refused_unless_it_is_a_token(form: Form) {
    for byte in (0..=255u8).filter(|byte| !b"\n:".contains(byte)) {
        let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX".to_vec();
        answer.extend([byte, b'y']);
        answer.extend(b": v\r\n\r\n");
        // RFC 9110 section 5.6.2.
        if byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte) {
            let server = answering_each(&[vec![Step::SendHex(answer)]]);
            let response = get(&form.client(), &server.url("/"))
                .unwrap_or_else(|e| panic!("{byte:#x}: {e:?}"));
            let name = String::from_utf8(vec![b'x', byte.to_ascii_lowercase(), b'y']).unwrap();
            assert_eq!(response.head().header(&name), Some(&b"v"[..]), "{name}");
        } else {
            refused(form, &answer);
        }
    }
}

fn w2_repeated_headers_are_all_there_in_order(form: Form) {
    let head = "HTTP/1.1 200 OK\r\nA: 1\r\nSet-Cookie: x=1\r\na: 2\r\nset-cookie: y=2\r\nContent-Length: 0\r\n\r\n";
    let server = answering_each(&[vec![Step::send(head)]]);
    let response = get(&form.client(), &server.url("/")).unwrap();
    let of = |name: &str| -> Vec<&[u8]> {
        response.head().headers().filter(|(n, _)| *n == name).map(|(_, value)| value).collect()
    };
    assert_eq!(of("a"), [b"1", b"2"]);
    assert_eq!(of("set-cookie"), [b"x=1", b"y=2"]);
    assert_eq!(response.head().header("SET-cookie"), Some(&b"x=1"[..]));
}

fn w4_invalid_lengths_are_refused(form: Form) {
    for value in [
        "-1",
        "+5",
        "0x5",
        "5 5",
        "5,6",
        "5, 5, 6",
        "",
        "5;",
        "five",
        "5.0",
        "1e3",
        "\u{665}",
        "18446744073709551616",
        "99999999999999999999999",
    ] {
        refused(
            form,
            format!("HTTP/1.1 200 OK\r\nContent-Length: {value}\r\n\r\nhello").as_bytes(),
        );
    }
    refused(
        form,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\ncontent-length: 6\r\n\r\nhello",
    );
}

fn w4_a_huge_length_allocates_nothing_in_advance(form: Form) {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nhello";
    let server =
        answering_each(&[vec![Step::send(head), Step::Stall], vec![Step::send(head), Step::Close]]);
    let client = form.client();
    let error = match form {
        Form::Blocking => get(&client, &server.url("/")).unwrap().read_all(1000).unwrap_err(),
        // Reads in pieces allocate one piece; a buffered read has its bound from the caller.
        Form::Submitted => {
            let mut whole = request("GET", &server.url("/"));
            whole.set_buffer_body(Some(1000));
            client.send(&mut whole).unwrap_err()
        }
    };
    assert_eq!(error.kind(), Kind::TooLarge, "{error:?}");
    assert_gone(client.manager(), server.port());
    // Without a bound the received bytes are returned, and no more is allocated than was received.
    client.set_max_body(usize::MAX);
    let error = fetch(&client, &server.url("/")).unwrap_err();
    assert_eq!(error.kind(), Kind::PeerClosed, "{error:?}");
    assert!(error.message().contains("after 5 of 9223372036854775807"), "{error}");
}

fn read_all_returns_the_rest_after_any_earlier_reads(form: Form) {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for answer in [length, chunks] {
        let server = answering_each(&[vec![Step::send(answer), Step::Stall]]);
        let client = form.client();
        let mut response = get(&client, &server.url("/")).unwrap();
        assert_eq!(response.read(&mut [0; 3]).unwrap(), 3);
        assert_eq!(response.read_all(2).unwrap(), b"lo");
        assert_eq!(client.manager().stats().idle, 1);
    }
}

fn w8_a_response_without_a_body_returns_at_once_despite_its_headers(form: Form) {
    let cases = [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ];
    for (method, head) in cases {
        let server = answering_each(&[vec![Step::send(head), Step::Stall]]);
        let client = form.client();
        let begun = Instant::now();
        let mut response = client.send(&mut request(method, &server.url("/"))).unwrap();
        assert_eq!(response.read_all(10).unwrap(), b"", "{method} {head:?}");
        assert!(begun.elapsed() < MARGIN, "{method} {head:?}: {:?}", begun.elapsed());
        assert_at_rest(client.manager());
    }
}

fn a_head_that_never_ends_is_bounded_in_bytes_and_time(form: Form) {
    // W3: the error comes as soon as the bound is reached, without a further byte.
    let server = answering_each(&[vec![
        Step::send("HTTP/1.1 200 OK\r\nX: "),
        Step::Fill { bytes: 1 << 24, byte: 'x' },
        Step::Stall,
    ]]);
    let client = form.client();
    let begun = Instant::now();
    let error = fetch(&client, &server.url("/")).unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::TooLarge, Phase::Head), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_gone(client.manager(), server.port());
}

#[test]
fn a_body_can_be_read_through_std_io_read() {
    let server = answering_each(&[
        vec![Step::send(SHORT)],
        vec![Step::send(&SHORT[..SHORT.len() - 1]), Step::Close],
    ]);
    let client = hangup::Client::default();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut client.get(&server.url("/"), None).unwrap(), &mut text)
        .unwrap();
    assert_eq!(text, "hello");
    client.manager().close_idle(Duration::ZERO);
    let mut response = client.get(&server.url("/"), None).unwrap();
    let error = std::io::copy(&mut response, &mut std::io::sink()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    assert_eq!(inner.map(Error::kind), Some(Kind::PeerClosed));
}
