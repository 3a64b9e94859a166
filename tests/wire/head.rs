//! The head of a response as its caller sees it: the bytes as they came, every value of a name, the length of the
//! body, the interim responses before it and the trailers behind the body.

use hangup::Kind;
use testserver::{Script, Server, Step};

use crate::support::form::{Form, in_both_forms};
use crate::support::{get, request};

in_both_forms! {
    the_head_is_there_as_it_came,
    the_length_of_the_body_is_that_of_its_framing,
    w9_interim_responses_are_kept_with_the_response,
    w9_the_first_hundred_interim_responses_are_kept,
    interim_responses_during_an_upload_are_kept,
    trailers_are_there_after_the_end_of_the_body,
    trailers_of_a_body_that_was_cut_off_are_not_there,
}

/// A server that answers each request with these bytes.
fn answering(bytes: &[u8]) -> Server {
    Server::start(Script::every(vec![Step::head(), Step::SendHex(bytes.to_vec())]))
}

fn the_head_is_there_as_it_came(form: Form) {
    let head = b"HTTP/1.1 200 Tr\xe8s  bien \r\nX-B: 1\r\nx-a: caf\xe9 \r\nX-b:2\r\nContent-LENGTH: 0\r\n\r\n";
    let server = answering(head);
    let response = get(&form.client(), &server.url("/")).unwrap();
    let seen = response.head();
    assert_eq!(seen.raw_head(), head);
    assert_eq!(seen.reason(), b"Tr\xe8s  bien ");
    let raw: Vec<_> = seen.raw_headers().map(|(name, value)| (name, value.into_owned())).collect();
    let expected = [("X-B", "1"), ("x-a", "caf\u{e9}"), ("X-b", "2"), ("Content-LENGTH", "0")]
        .map(|(name, value)| (name, value.chars().map(|letter| letter as u8).collect::<Vec<_>>()));
    assert_eq!(raw, expected);
    assert_eq!(seen.header_values("X-B").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(seen.header_values("absent").count(), 0);
}

fn the_length_of_the_body_is_that_of_its_framing(form: Form) {
    let chunked = "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for (method, status, rest, length) in [
        ("GET", 200, "Content-Length: 5\r\n\r\nhello", Some(5)),
        ("GET", 200, "Content-Length: 0\r\n\r\n", Some(0)),
        ("GET", 200, "\r\nhello", None),
        ("GET", 200, chunked, None),
        ("GET", 200, &format!("Content-Length: 5\r\n{chunked}"), None),
        ("GET", 204, "Content-Length: 5\r\n\r\n", Some(0)),
        ("GET", 304, "Content-Length: 5\r\n\r\n", Some(0)),
        ("HEAD", 200, "Content-Length: 5\r\n\r\n", Some(5)),
        ("HEAD", 200, "Content-Length: five\r\n\r\n", None),
        ("HEAD", 200, "\r\n", None),
    ] {
        let server = answering(format!("HTTP/1.1 {status} X\r\n{rest}").as_bytes());
        let mut response = form.client().send(&mut request(method, &server.url("/"))).unwrap();
        assert_eq!(response.head().content_length(), length, "{method} {status} {rest:?}");
        response.read_all(100).unwrap();
        assert_eq!(response.head().content_length(), length, "after the body");
    }
}

fn w9_interim_responses_are_kept_with_the_response(form: Form) {
    let interim =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nlink: </b>\r\n\r\n";
    let server =
        answering(format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").as_bytes());
    let client = form.client();
    let response = get(&client, &server.url("/")).unwrap();
    let seen: Vec<_> = response.head().interim_responses().collect();
    assert_eq!(seen.len(), 2);
    assert_eq!((seen[0].status_code(), seen[0].reason()), (100, &b"Continue"[..]));
    assert_eq!(seen[0].headers().count(), 0);
    assert_eq!((seen[1].status_code(), seen[1].header("LINK")), (103, Some(&b"</a>"[..])));
    let raw: Vec<_> =
        seen[1].raw_headers().map(|(name, value)| (name, value.into_owned())).collect();
    assert_eq!(raw, [("Link", b"</a>".to_vec()), ("link", b"</b>".to_vec())]);
    // They belong to one exchange.
    let server = Server::start(Script::answering("hello"));
    let response = get(&client, &server.url("/")).unwrap();
    assert_eq!(response.head().interim_responses().len(), 0);
}

fn w9_the_first_hundred_interim_responses_are_kept(form: Form) {
    let one = |number: usize| format!("HTTP/1.1 103 Early Hints\r\nX-Number: {number}\r\n\r\n");
    let interim: String = (0..150).map(one).collect();
    let server =
        answering(format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").as_bytes());
    let response = get(&form.client(), &server.url("/")).unwrap();
    let numbers = response.head().interim_responses().filter_map(|one| one.header("x-number"));
    let numbers: Vec<_> = numbers.map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    assert_eq!(numbers, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
}

fn interim_responses_during_an_upload_are_kept(form: Form) {
    // The body is longer than what the sockets hold, so the interim response is seen before the upload is done.
    let length = 64 << 20;
    let server = Server::start(Script::every(vec![
        Step::head(),
        Step::send("HTTP/1.1 102 Processing\r\n\r\n"),
        Step::body(),
        Step::send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ]));
    let mut request = request("POST", &server.url("/"));
    request.set_body(hangup::Body::from(vec![b'x'; length]));
    let response = form.client().send(&mut request).unwrap();
    let seen: Vec<_> = response.head().interim_responses().map(|one| one.status_code()).collect();
    assert_eq!(seen, [102, 103]);
}

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\n";

fn trailers_are_there_after_the_end_of_the_body(form: Form) {
    let section = "X-Sum: 1\r\nContent-Length: 5\r\nx-sum: caf\u{e9}\r\nSet-Cookie: a=b\r\n\r\n";
    let server = answering(format!("{CHUNKED}{section}").as_bytes());
    let client = form.client();
    let mut response = get(&client, &server.url("/")).unwrap();
    assert_eq!(response.read_all(100).unwrap(), b"hello");
    let seen: Vec<_> = response.trailers().collect();
    assert_eq!(seen, [("x-sum", &b"1"[..]), ("x-sum", "caf\u{e9}".as_bytes())]);
    assert_eq!(response.head().header("x-sum"), None, "trailers are no headers");
    // Also of a body that was buffered, and of one that nothing reads.
    let mut whole = request("GET", &server.url("/"));
    whole.set_buffer_body(Some(100));
    let response = client.send(&mut whole).unwrap();
    assert_eq!(response.trailers().count(), 2);
    let server = answering(format!("{CHUNKED}\r\n").as_bytes());
    let mut response = get(&client, &server.url("/")).unwrap();
    response.read_all(100).unwrap();
    assert_eq!(response.trailers().count(), 0);
}

fn trailers_of_a_body_that_was_cut_off_are_not_there(form: Form) {
    let server = answering(format!("{CHUNKED}X-Sum: 1\r\n").as_bytes());
    let mut response = get(&form.client(), &server.url("/")).unwrap();
    let mut whole = Vec::new();
    let mut piece = [0; 100];
    let error = loop {
        match response.read(&mut piece) {
            Ok(0) => panic!("a body that was cut off has an end"),
            Ok(got) => whole.extend_from_slice(&piece[..got]),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), whole.as_slice()), (Kind::PeerClosed, &b"hello"[..]));
    assert_eq!(response.trailers().count(), 0);
}
