//! Content codings: bodies are decoded to their end, within bounds, and truncated data is an error (R8, W12).

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use hangup::{CancelToken, CloseMode, CloseReason, Kind, Response, Timeout};
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
    r8_a_request_decides_whether_its_body_is_decoded,
    r8_a_coded_body_can_be_read_raw,
    w12_what_is_decoded_is_returned_before_more_is_waited_for,
    w6_what_was_decoded_before_a_broken_chunk_is_returned_before_the_error,
    w12_a_window_that_is_too_large_is_refused,
    w12_a_whole_body_has_a_bound_of_the_client,
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

fn br(data: &[u8]) -> Vec<u8> {
    br_with_window(data, 22)
}

fn br_with_window(data: &[u8], bits: i32) -> Vec<u8> {
    let params = brotli::enc::BrotliEncoderParams {
        quality: 5,
        lgwin: bits,
        large_window: bits > 24,
        ..Default::default()
    };
    let mut coded = Vec::new();
    brotli::BrotliCompress(&mut &*data, &mut coded, &params).unwrap();
    coded
}

fn zstd(data: &[u8]) -> Vec<u8> {
    let mut coded = Vec::with_capacity(zstd_safe::compress_bound(data.len()));
    zstd_safe::compress(&mut coded, data, 3).unwrap();
    coded
}

/// A frame of Zstandard whose window has that many bits, and which holds a checksum.
fn zstd_with_window(data: &[u8], bits: u32) -> Vec<u8> {
    use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};
    let mut encoder = CCtx::create();
    encoder.set_parameter(CParameter::WindowLog(bits)).unwrap();
    encoder.set_parameter(CParameter::ContentSizeFlag(false)).unwrap();
    encoder.set_parameter(CParameter::ChecksumFlag(true)).unwrap();
    let mut coded = Vec::with_capacity(zstd_safe::compress_bound(data.len()) + 100);
    let mut output = OutBuffer::around(&mut coded);
    // In two steps, so that the encoder does not know the size when it begins.
    encoder.compress_stream(&mut output, &mut InBuffer::around(data)).unwrap();
    while encoder.end_stream(&mut output).unwrap() > 0 {}
    coded
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
        ("br", br(&text)),
        ("BR", br_with_window(&text, 24)),
        ("zstd", zstd(&text)),
        (
            "zstd",
            [zstd(&text[..100]), zstd(b""), skippable(1000), zstd_with_window(&text[100..], 23)]
                .concat(),
        ),
        ("br, zstd", zstd(&br(&text))),
        ("zstd, gzip, br", br(&gzip(&zstd(&text)))),
        ("gzip, deflate, gzip, deflate", raw(&gzip(&zlib(&gzip(&text))))),
    ];
    for (coding, body) in cases {
        for chunked in [false, true] {
            let server = coded(coding, &body, chunked);
            let client = decoding(form);
            client.set_max_codings(4).unwrap();
            let mut whole = get(&client, &server.url("/")).unwrap();
            assert!(whole.read_all(text.len()).unwrap() == text, "{coding}, chunked: {chunked}");
            assert!(header(&server, 0, "accept-encoding").unwrap() == "gzip, deflate, br, zstd");
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
    for coding in ["compress", "gzip, compress"] {
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
    let (b, zs) = (br(&text), zstd_with_window(&text, 20));
    let mut zs_wrong_sum = zs.clone();
    *zs_wrong_sum.last_mut().unwrap() ^= 1;
    let mut br_in_the_middle = b.clone();
    br_in_the_middle[b.len() / 2..].fill(0xff);
    let cases: [(&str, Vec<u8>, &str); 20] = [
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
        ("br", b[..b.len() - 1].to_vec(), "truncated"),
        ("br", b[..b.len() / 2].to_vec(), "truncated"),
        ("br", br_in_the_middle, "coding"),
        ("br", [b.clone(), b"x".to_vec()].concat(), "coding"),
        ("zstd", zs[..zs.len() - 1].to_vec(), "truncated"),
        ("zstd", zs[..zs.len() / 2].to_vec(), "truncated"),
        ("zstd", zs_wrong_sum, "coding"),
        ("zstd", b"this is no zstd at all".to_vec(), "coding"),
        ("zstd", [zs.clone(), b"garbage that is no frame".to_vec()].concat(), "coding"),
        ("zstd, br", br(&zs[..zs.len() / 2]), "truncated"),
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
    let zeros = vec![0; 50_000_000];
    for (coding, bomb) in [
        ("gzip, gzip", gzip(&gzip(&zeros))),
        ("br", br(&zeros)),
        ("zstd", zstd(&zeros)),
        ("br, zstd", zstd(&br(&zeros))),
    ] {
        assert!(bomb.len() < 10_000);
        let server = coded(coding, &bomb, false);
        let client = decoding(form);
        let error = get(&client, &server.url("/")).unwrap().read_all(100_000).unwrap_err();
        assert_eq!(error.kind(), Kind::TooLarge, "{coding}");
    }
    let client = decoding(form);
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

/// A frame of Zstandard that is to be skipped, with that many bytes (RFC 8878 section 3.1.2).
fn skippable(bytes: u32) -> Vec<u8> {
    let mut frame = vec![0x50, 0x2a, 0x4d, 0x18];
    frame.extend(bytes.to_le_bytes());
    frame.resize(8 + bytes as usize, b'x');
    frame
}

/// A Brotli stream with that many bytes of empty metablocks (RFC 7932 section 9.2): metadata of no bytes.
fn empty_metablocks(bytes: usize) -> Vec<u8> {
    // A window of 16 bits (one 0), then: not the last one, three bits for "no size", reserved, no bytes of a
    // length, and padding to the byte.
    let mut body = vec![0b0000_1100];
    body.resize(bytes, 0b0000_0110);
    // The last one, and empty.
    body.push(0b0000_0011);
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
        ("zstd", zstd(b"").repeat(MUCH / 9)),
        ("zstd", skippable(MUCH as u32)),
        ("br", empty_metablocks(MUCH)),
        ("zstd, gzip", gzip(&zstd(b"").repeat(MUCH / 9))),
        ("br, gzip", gzip(&empty_metablocks(MUCH))),
        ("gzip, zstd", zstd(&empty_members(MUCH))),
        ("gzip, br", br(&empty_members(MUCH))),
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
    let (br, zstd) = (br(&vec![0; 50_000_000]), zstd(&vec![0; 50_000_000]));
    for (coding, body) in [("gzip, gzip", twice), ("gzip", once), ("br", br), ("zstd", zstd)] {
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

fn r8_a_request_decides_whether_its_body_is_decoded(form: Form) {
    let body = gzip(b"body");
    let server = coded("gzip", &body, false);
    for on in [false, true] {
        let client = form.client();
        client.set_decode(!on);
        let mut request = request("GET", &server.url("/"));
        request.set_decode(on);
        let got = client.send(&mut request.try_clone().unwrap()).unwrap().bytes().unwrap();
        assert_eq!(got, if on { b"body".to_vec() } else { body.clone() });
        let asked = header(&server, server.connections() - 1, "accept-encoding");
        assert_eq!(asked.is_some(), on);
    }
}

fn r8_a_coded_body_can_be_read_raw(form: Form) {
    let body = gzip(&zlib(b"body"));
    let server = coded("deflate, gzip", &body, true);
    let client = decoding(form);
    for _ in 0..2 {
        let mut response = get(&client, &server.url("/")).unwrap();
        response.body().set_raw().unwrap();
        assert_eq!(response.read_all(1000).unwrap(), body);
        assert_eq!(client.manager().stats().idle, 1);
    }
    let mut response = get(&client, &server.url("/")).unwrap();
    assert_eq!(response.read(&mut [0]).unwrap(), 1);
    assert_eq!(response.body().set_raw().unwrap_err().kind(), Kind::InvalidState);
    assert_eq!(response.read_all(1000).unwrap(), b"ody");
    // A body without codings is raw, at any time.
    let plain = coded("identity", b"body", true);
    let mut response = get(&client, &plain.url("/")).unwrap();
    assert_eq!(response.read(&mut [0]).unwrap(), 1);
    response.body().set_raw().unwrap();
    assert_eq!(response.read_all(1000).unwrap(), b"ody");
    assert_eq!(server.connections(), 1);
}

/// A server that sends the first part of a coded body, and the rest when it is released.
fn in_two_parts(coding: &str, first: &[u8], rest: &[u8]) -> Server {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
        first.len() + rest.len()
    );
    Server::start(Script::every(vec![
        Step::head(),
        Step::send(&head),
        Step::SendHex(first.to_vec()),
        Step::wait_for("rest"),
        Step::SendHex(rest.to_vec()),
    ]))
}

/// What an encoder makes of a text after a flush, and of a second text.
fn flushed(coding: &str, text: &[u8], more: &[u8]) -> (Vec<u8>, Vec<u8>) {
    fn both<W: Write>(
        mut encoder: W,
        (text, more): (&[u8], &[u8]),
        len: impl Fn(&W) -> usize,
        finish: impl FnOnce(W) -> Vec<u8>,
    ) -> (Vec<u8>, Vec<u8>) {
        encoder.write_all(text).unwrap();
        encoder.flush().unwrap();
        let at = len(&encoder);
        encoder.write_all(more).unwrap();
        let mut first = finish(encoder);
        let rest = first.split_off(at);
        (first, rest)
    }
    let (level, texts) = (Compression::default(), (text, more));
    match coding {
        "gzip" => both(
            GzEncoder::new(vec![], level),
            texts,
            |e| e.get_ref().len(),
            |e| e.finish().unwrap(),
        ),
        "deflate" => both(
            ZlibEncoder::new(vec![], level),
            texts,
            |e| e.get_ref().len(),
            |e| e.finish().unwrap(),
        ),
        "br" => both(
            brotli::CompressorWriter::new(vec![], 4096, 5, 22),
            texts,
            |e| e.get_ref().len(),
            brotli::CompressorWriter::into_inner,
        ),
        _ => (zstd(text), zstd(more)),
    }
}

fn w12_what_is_decoded_is_returned_before_more_is_waited_for(form: Form) {
    // Much larger than any buffer on the way, and small in each coding.
    let (text, more) = (b"abcdefgh".repeat(100_000), b"the rest".to_vec());
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let (first, rest) = flushed(coding, &text, &more);
        for room in [7, 1000, 300_000] {
            let server = in_two_parts(coding, &first, &rest);
            let mut response = get(&decoding(form), &server.url("/")).unwrap();
            let (mut got, mut piece) = (Vec::new(), vec![0; room]);
            while got.len() < text.len() {
                let size = response.read(&mut piece).unwrap();
                assert!(size > 0, "{coding}");
                got.extend_from_slice(&piece[..size]);
            }
            assert!(got == text, "{coding}");
            server.release("rest");
            assert_eq!(response.read_all(100).unwrap(), more, "{coding}");
        }
    }
}

fn w6_what_was_decoded_before_a_broken_chunk_is_returned_before_the_error(form: Form) {
    let (text, more) = (text(), b"the rest".to_vec());
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let (first, _) = flushed(coding, &text, &more);
        for (broken, kind) in [("XYZ\r\n", Kind::Protocol), ("", Kind::PeerClosed)] {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
                first.len()
            );
            let steps = vec![
                Step::head(),
                Step::send(&head),
                Step::SendHex(first.clone()),
                Step::send(&format!("\r\n{broken}")),
            ];
            let server = Server::start(Script::every(steps));
            let mut response = get(&decoding(form), &server.url("/")).unwrap();
            let (mut got, mut piece) = (Vec::new(), vec![0; 10_000]);
            let error = loop {
                match response.read(&mut piece) {
                    Ok(0) => panic!("{coding}: a broken body has no end"),
                    Ok(size) => got.extend_from_slice(&piece[..size]),
                    Err(error) => break error,
                }
            };
            assert!(got == text, "{coding}: {} of {} bytes", got.len(), text.len());
            assert_eq!(error.kind(), kind, "{coding}: {error}");
        }
    }
}

fn w12_a_window_that_is_too_large_is_refused(form: Form) {
    let text = text();
    let cases = [("zstd", zstd_with_window(&text, 24)), ("br", br_with_window(&text, 25))];
    for (coding, body) in cases {
        let server = coded(coding, &body, false);
        let error = get(&decoding(form), &server.url("/")).unwrap().bytes().unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{coding}: {error:?}");
    }
}

fn w12_a_whole_body_has_a_bound_of_the_client(form: Form) {
    let server = coded("gzip", &gzip(&[7; 5000]), true);
    let client = decoding(form);
    client.set_max_body(5000);
    assert_eq!(get(&client, &server.url("/")).unwrap().bytes().unwrap().len(), 5000);
    client.set_max_body(4999);
    for whole in [
        |response: &mut Response| response.bytes(),
        |response: &mut Response| response.read_all(usize::MAX),
    ] {
        let error = whole(&mut get(&client, &server.url("/")).unwrap()).unwrap_err();
        assert_eq!(error.kind(), Kind::TooLarge);
        assert!(error.message().contains("4999 bytes that max_body allows"), "{error}");
    }
    let mut buffered = request("GET", &server.url("/"));
    buffered.set_buffer_body(Some(usize::MAX));
    assert_eq!(client.send(&mut buffered).unwrap_err().kind(), Kind::TooLarge);
    // A bound of the call counts, and pieces have none.
    assert_eq!(get(&client, &server.url("/")).unwrap().read_all(5000).unwrap().len(), 5000);
    let mut all = Vec::new();
    let mut pieces = get(&client, &server.url("/")).unwrap().into_inner();
    std::io::Read::read_to_end(&mut pieces, &mut all).unwrap();
    assert_eq!(all.len(), 5000);
}
