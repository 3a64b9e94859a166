//! Content codings: bodies are decoded to their end, within bounds, and truncated data is an error (R8, W12).

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use hangup::{CancelToken, CloseMode, CloseReason, Kind, Timeout};
use testserver::{Script, Server, Step};

use crate::support::form::{Client, Form, in_both_forms};
use crate::support::inspect::assert_gone;
use crate::support::{fetch, get, request, wait_until};

in_both_forms! {
    r8_a_connection_is_reused_after_a_decoded_body,
    r8_a_coding_that_was_not_requested_or_is_unknown_is_not_decoded,
    r8_no_body_needs_no_decoding,
    w12_a_broken_coding_is_an_error_after_the_good_data,
    w12_a_bomb_stops_at_the_bound_on_decoded_bytes,
    r8_headers_of_a_decoded_response_are_unchanged,
    w12_a_body_that_decodes_to_nothing_is_refused_after_bounded_work,
    w12_empty_members_and_blocks_between_the_data_are_decoded,
    w12_more_than_two_codings_are_decoded_only_when_allowed,
    c12_cancel_close_shutdown_and_total_end_decoding_after_all_bytes_came,
    r8_a_complete_body_keeps_its_connection_even_if_it_is_not_decoded_to_its_end,
}

/// A header of the last request on a connection.
fn header(server: &Server, connection: usize, name: &str) -> Option<String> {
    let head = server.heads(connection).pop().unwrap();
    let found = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    found.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_owned()).next()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn raw(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Answers every request with that body in that coding: chunked in pieces of 1000 bytes, or with a length.
fn coded(coding: &str, body: &[u8], chunked: bool) -> Server {
    let mut steps = vec![Step::head()];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n");
    if chunked {
        steps.push(Step::send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n")));
        for piece in body.chunks(1000) {
            steps.push(Step::send(&format!("{:x}\r\n", piece.len())));
            steps.push(Step::SendHex(piece.to_vec()));
            steps.push(Step::send("\r\n"));
        }
        steps.push(Step::send("0\r\n\r\n"));
    } else {
        steps.push(Step::send(&format!("{head}Content-Length: {}\r\n\r\n", body.len())));
        steps.push(Step::SendHex(body.to_vec()));
    }
    Server::start(Script::every(vec![Step::forever(steps)]))
}

fn decoding(form: Form) -> Client {
    let client = form.client();
    client.set_decode(true);
    client
}

fn text() -> Vec<u8> {
    (0..60_000u32).flat_map(|n| (n * 7919 % 1013).to_string().into_bytes()).collect()
}

fn r8_a_connection_is_reused_after_a_decoded_body(form: Form) {
    let text = text();
    let members = [gzip(&text[..100]), gzip(b""), gzip(&text[100..])].concat();
    let cases = [
        ("gzip", gzip(&text)),
        ("X-Gzip", gzip(&text)),
        ("deflate", zlib(&text)),
        ("deflate", raw(&text)),
        ("identity, gzip", members),
        ("deflate, gzip", gzip(&zlib(&text))),
        ("gzip, deflate, gzip, deflate", raw(&gzip(&zlib(&gzip(&text))))),
    ];
    for (coding, body) in cases {
        for chunked in [false, true] {
            let server = coded(coding, &body, chunked);
            let client = decoding(form);
            client.set_max_codings(4).unwrap();
            let mut whole = get(&client, &server.url("/")).unwrap();
            assert!(whole.read_all(text.len()).unwrap() == text, "{coding}, chunked: {chunked}");
            assert!(header(&server, 0, "accept-encoding").unwrap() == "gzip, deflate");
            // The headers are unchanged.
            assert_eq!(whole.head().header("content-encoding"), Some(coding.as_bytes()));
            let mut pieces = get(&client, &server.url("/")).unwrap();
            let (mut all, mut piece) = (Vec::new(), [0; 777]);
            loop {
                match pieces.read(&mut piece).unwrap() {
                    0 => break,
                    got => all.extend_from_slice(&piece[..got]),
                }
            }
            assert!(all == text, "{coding}, chunked: {chunked}");
            assert_eq!(pieces.read(&mut piece).unwrap(), 0);
            assert_eq!((server.connections(), client.manager().stats().idle), (1, 1));
        }
    }
}

fn r8_a_coding_that_was_not_requested_or_is_unknown_is_not_decoded(form: Form) {
    let body = gzip(b"body");
    let server = coded("gzip", &body, false);
    assert_eq!(fetch(&form.client(), &server.url("/")).unwrap(), body);
    assert_eq!(header(&server, 0, "accept-encoding"), None);
    for coding in ["br", "gzip, br"] {
        let server = coded(coding, &body, true);
        assert_eq!(fetch(&decoding(form), &server.url("/")).unwrap(), body);
    }
    // The request's own Accept-Encoding is sent, and the response is decoded.
    let mut own = request("GET", &server.url("/"));
    own.add_header("Accept-Encoding", "gzip;q=0.5").unwrap();
    assert_eq!(decoding(form).send(&mut own).unwrap().read_all(100).unwrap(), b"body");
    assert_eq!(header(&server, server.connections() - 1, "accept-encoding").unwrap(), "gzip;q=0.5");
    let mut range = request("GET", &server.url("/"));
    range.add_header("Range", "bytes=0-9").unwrap();
    decoding(form).send(&mut range).unwrap();
    assert_eq!(header(&server, server.connections() - 1, "accept-encoding"), None);
}

fn r8_no_body_needs_no_decoding(form: Form) {
    let empty = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n";
    let chunks =
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 700\r\n\r\n";
    let not = "HTTP/1.1 304 Not Modified\r\nContent-Encoding: gzip\r\n\r\n";
    for (method, answer) in [("GET", empty), ("GET", chunks), ("HEAD", head), ("GET", not)] {
        let steps = vec![Step::forever(vec![Step::head(), Step::send(answer)])];
        let server = Server::start(Script::every(steps));
        let client = decoding(form);
        for _ in 0..2 {
            let mut response = client.send(&mut request(method, &server.url("/"))).unwrap();
            assert_eq!(response.read_all(10).unwrap(), b"");
            assert_eq!(response.read(&mut [0; 10]).unwrap(), 0);
        }
        assert_eq!((server.connections(), client.manager().stats().idle), (1, 1));
    }
}

fn w12_a_broken_coding_is_an_error_after_the_good_data(form: Form) {
    let text = text();
    let (gz, z) = (gzip(&text), zlib(&text));
    let mut wrong_sum = gz.clone();
    let at = gz.len() - 5;
    wrong_sum[at] ^= 1;
    let mut in_the_middle = gz.clone();
    in_the_middle[gz.len() / 2..].fill(0xff);
    let cases: [(&str, Vec<u8>, &str); 10] = [
        ("gzip", gz[..gz.len() - 1].to_vec(), "truncated"),
        ("gzip", gz[..gz.len() / 2].to_vec(), "truncated"),
        ("gzip", gz[..5].to_vec(), "truncated"),
        ("gzip", b"this is no gzip at all".to_vec(), "coding"),
        ("gzip", [gz.clone(), b"garbage that is no member".to_vec()].concat(), "coding"),
        ("gzip", wrong_sum, "coding"),
        ("gzip", in_the_middle, "coding"),
        ("deflate", z[..z.len() / 2].to_vec(), "truncated"),
        ("deflate", [z.clone(), b"x".to_vec()].concat(), "coding"),
        ("deflate, gzip", gzip(&z[..z.len() / 2]), "truncated"),
    ];
    for (number, (coding, body, says)) in cases.into_iter().enumerate() {
        for chunked in [false, true] {
            let server = coded(coding, &body, chunked);
            let client = decoding(form);
            let mut response = get(&client, &server.url("/")).unwrap();
            let error = response.read_all(usize::MAX).unwrap_err();
            assert_eq!(error.kind(), Kind::Protocol, "case {number}: {error:?}");
            assert!(error.message().contains(says), "case {number}: {error}");
            // The error stays the same.
            let again = response.read(&mut [0; 10]).unwrap_err();
            assert_eq!(again.kind(), Kind::Protocol);
            assert_eq!(client.manager().stats().in_use, 0);
        }
    }
    let many = vec!["gzip"; 100].join(", ");
    let server = coded(&many, &gz, false);
    let client = decoding(form);
    let error = get(&client, &server.url("/")).unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
    assert!(error.message().contains("100 content codings"), "{error}");
    assert_gone(client.manager(), server.port());
}

fn w12_a_bomb_stops_at_the_bound_on_decoded_bytes(form: Form) {
    let bomb = gzip(&gzip(&vec![0; 50_000_000]));
    assert!(bomb.len() < 10_000);
    let server = coded("gzip, gzip", &bomb, false);
    let client = decoding(form);
    let error = get(&client, &server.url("/")).unwrap().read_all(100_000).unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge);
    // A bound that equals the length is not exceeded.
    let server = coded("gzip", &gzip(&[7; 5000]), true);
    assert_eq!(get(&client, &server.url("/")).unwrap().read_all(5000).unwrap(), [7; 5000]);
}

fn r8_headers_of_a_decoded_response_are_unchanged(form: Form) {
    let body = gzip(&text());
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let half =
        || vec![Step::head(), Step::send(&head), Step::SendHex(body[..body.len() / 2].to_vec())];
    for (end, kind) in [(Step::Close, Kind::PeerClosed), (Step::Rst, Kind::PeerReset)] {
        let mut steps = half();
        // A reset discards bytes that were not read: it follows after the client has begun to read.
        steps.extend([Step::wait_for("read"), end]);
        let server = Server::start(Script::every(steps));
        let client = decoding(form);
        let mut response = get(&client, &server.url("/")).unwrap();
        assert_eq!(response.read(&mut [0]).unwrap(), 1);
        server.release("read");
        assert_eq!(response.read_all(usize::MAX).unwrap_err().kind(), kind);
        assert_gone(client.manager(), server.port());
    }
    // Cancelled between two reads: data that is decoded already is not returned.
    let mut steps = half();
    steps.push(Step::Stall);
    let server = Server::start(Script::every(steps));
    let client = decoding(form);
    let token = CancelToken::new();
    let mut request = request("GET", &server.url("/"));
    request.set_cancel(Some(token.clone()));
    let mut response = client.send(&mut request).unwrap();
    assert_eq!(response.read(&mut [0]).unwrap(), 1);
    token.fire(None);
    assert_eq!(response.read(&mut [0]).unwrap_err().kind(), Kind::Cancelled);
    assert_gone(client.manager(), server.port());
    // The response is returned at its head, although its body stalls.
    let steps = vec![Step::head(), Step::send(&head), Step::Stall];
    let server = Server::start(Script::every(steps));
    let mut response = get(&client, &server.url("/")).unwrap();
    let id = response.connection_id();
    response.close(CloseMode::Now);
    assert_eq!(response.read(&mut [0]).unwrap_err().kind(), Kind::InvalidState);
    assert_eq!(client.manager().close_reason(id), Some(CloseReason::BodyLeftUnread));
    wait_until("the server sees it", || server.open_connections() == 0);
}

/// At least that many bytes of empty gzip members.
fn empty_members(bytes: usize) -> Vec<u8> {
    let member = gzip(b"");
    member.repeat(bytes / member.len() + 1)
}

/// A zlib body with that many bytes of empty stored blocks, which RFC 1951 section 3.2.4 allows.
fn empty_blocks(bytes: usize) -> Vec<u8> {
    let mut body = vec![0x78, 0x9c];
    body.extend([0, 0, 0, 0xff, 0xff].repeat(bytes / 5 + 1));
    // An empty last block of fixed codes, and the checksum of no data.
    body.extend([3, 0, 0, 0, 0, 1]);
    body
}

fn w12_a_body_that_decodes_to_nothing_is_refused_after_bounded_work(form: Form) {
    const MUCH: usize = 3 * 1024 * 1024;
    let drops = [gzip(b"x"), empty_members(2000)].concat().repeat(MUCH / 2000);
    let cases = [
        ("gzip, gzip", gzip(&empty_members(MUCH))),
        ("gzip, deflate", zlib(&empty_members(MUCH))),
        ("deflate, gzip", gzip(&empty_blocks(MUCH))),
        ("deflate, deflate", raw(&empty_blocks(MUCH))),
        // Single bytes between the empty parts do not raise the bound.
        ("gzip, gzip", gzip(&drops)),
        // A single coding has no amplification, but the body does not end either.
        ("gzip", empty_members(2 * 1024 * 1024)),
        ("deflate", empty_blocks(2 * 1024 * 1024)),
        ("gzip, gzip, gzip", gzip(&gzip(&empty_members(MUCH)))),
        ("deflate, gzip, deflate", zlib(&gzip(&empty_blocks(MUCH)))),
    ];
    for (number, (coding, body)) in cases.into_iter().enumerate() {
        for chunked in [false, body.len() < 100_000] {
            let server = coded(coding, &body, chunked);
            let client = decoding(form);
            client.set_max_codings(3).unwrap();
            let mut response = get(&client, &server.url("/")).unwrap();
            let outcome = response.read_all(usize::MAX).map(|all| all.len());
            let error = outcome.expect_err("nothing has an end");
            assert_eq!(error.kind(), Kind::Protocol, "case {number}: {error:?}");
            assert!(error.message().contains("next to nothing"), "case {number}: {error}");
            assert_gone(client.manager(), server.port());
        }
    }
}

fn w12_empty_members_and_blocks_between_the_data_are_decoded(form: Form) {
    let text = text();
    let mut flushed = ZlibEncoder::new(Vec::new(), Compression::default());
    let mut members = Vec::new();
    for piece in text.chunks(1000) {
        flushed.write_all(piece).unwrap();
        flushed.flush().unwrap();
        members.extend([empty_members(1000), gzip(piece), empty_members(1000)].concat());
    }
    let single: Vec<u8> = text[..5000].iter().flat_map(|byte| gzip(&[*byte])).collect();
    let cases = [
        ("gzip", members.clone(), &text[..]),
        ("deflate", flushed.finish().unwrap(), &text),
        ("gzip", single, &text[..5000]),
        ("deflate", empty_blocks(100_000), b""),
        ("gzip, gzip", gzip(&[empty_members(100_000), gzip(&text)].concat()), &text),
    ];
    for (number, (coding, body, whole)) in cases.into_iter().enumerate() {
        let server = coded(coding, &body, true);
        let client = decoding(form);
        let mut response = get(&client, &server.url("/")).unwrap();
        assert!(response.read_all(text.len()).unwrap() == whole, "case {number}");
        assert_eq!(client.manager().stats().idle, 1, "case {number}");
    }
}

fn w12_more_than_two_codings_are_decoded_only_when_allowed(form: Form) {
    let body = gzip(&zlib(&gzip(b"body")));
    let server = coded("gzip, deflate, gzip", &body, false);
    let client = decoding(form);
    let error = get(&client, &server.url("/")).unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
    assert!(error.message().contains("3 content codings"), "{error}");
    assert_gone(client.manager(), server.port());
    client.set_max_codings(3).unwrap();
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"body");
    client.set_max_codings(1).unwrap();
    assert_eq!(get(&client, &server.url("/")).unwrap_err().kind(), Kind::Protocol);
    assert_eq!(client.set_max_codings(0).unwrap_err().kind(), Kind::InvalidArgument);
    // `identity` is no coding.
    let server = coded("identity, gzip, identity, identity", &gzip(b"body"), false);
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"body");
}

fn c12_cancel_close_shutdown_and_total_end_decoding_after_all_bytes_came(form: Form) {
    let twice = gzip(&gzip(&vec![0; 50_000_000]));
    let once = gzip(&vec![0; 7_000_000]);
    assert!(once.len() < 8 * 1024 && twice.len() < 8 * 1024, "one read takes all of it");
    for (coding, body) in [("gzip, gzip", twice), ("gzip", once)] {
        for chunked in [false, true] {
            let ended =
                |kind: Kind, total: Option<Duration>, end: &dyn Fn(&Client, u64, &CancelToken)| {
                    let server = coded(coding, &body, chunked);
                    let client = decoding(form);
                    let token = CancelToken::new();
                    let mut request = request("GET", &server.url("/"));
                    request.set_cancel(Some(token.clone()));
                    request.set_timeout(Timeout::Total, total).unwrap();
                    let mut response = client.send(&mut request).unwrap();
                    assert_eq!(response.read(&mut [1]).unwrap(), 1);
                    end(&client, response.connection_id(), &token);
                    let mut got = 0;
                    let error = loop {
                        match response.read(&mut [1]) {
                            Ok(1) => got += 1,
                            Ok(_) => panic!("the end after {got} bytes"),
                            Err(error) => break error,
                        }
                    };
                    assert_eq!(error.kind(), kind, "{coding}, chunked: {chunked}: {error}");
                    assert_eq!(got, 0, "bytes after the end");
                    assert_gone(client.manager(), server.port());
                };
            ended(Kind::Cancelled, None, &|_, _, token| token.fire(None));
            ended(Kind::Closed, None, &|client, id, _| {
                client.manager().close_connection(id, CloseMode::Now).unwrap();
            });
            ended(Kind::ShutDown, None, &|client, _, _| client.manager().shutdown());
            // Longer than the response takes to arrive.
            let total = Duration::from_secs(2);
            ended(Kind::TimedOut, Some(total), &|_, _, _| std::thread::sleep(total));
        }
    }
}

fn r8_a_complete_body_keeps_its_connection_even_if_it_is_not_decoded_to_its_end(form: Form) {
    for how in [None, Some(CloseMode::Now), Some(CloseMode::Graceful)] {
        let server = coded("gzip", &gzip(&text()[..1000]), false);
        let client = decoding(form);
        let mut response = get(&client, &server.url("/")).unwrap();
        assert_eq!(response.read(&mut [0]).unwrap(), 1);
        assert_eq!(client.manager().stats().in_use, 1, "it can still be cancelled");
        match how {
            None => drop(response),
            Some(how) => {
                response.close(how);
                assert_eq!(response.read(&mut [0]).unwrap_err().kind(), Kind::InvalidState);
            }
        }
        assert_eq!((client.manager().stats().idle, client.manager().stats().in_use), (1, 0));
        assert!(fetch(&client, &server.url("/")).is_ok());
        assert_eq!(server.connections(), 1);
    }
}
