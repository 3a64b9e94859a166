//! The head of a request as the server receives it, over several requests and redirects (Q8). What one request sends is in
//! the corpus.

use std::io::{self, Read};

use hangup::{Body, Error, Kind, Request, Sent};
use testserver::{Answer, Script, Server, Step};

use crate::support::form::{Client, Form, in_both_forms};
use crate::support::inspect::assert_gone;
use crate::support::{fetch, post, request};

in_both_forms! {
    q8_a_default_of_the_client_can_be_taken_away,
    q8_each_head_is_made_of_the_settings_of_its_time,
    q8_a_host_of_the_callers_is_not_sent_to_another_origin,
    q8_a_target_is_for_the_first_request_and_redirects_follow_the_url,
    q8_a_signed_location_stays_signed,
    q8_an_announced_length_is_checked_for_bodies_of_any_size,
    connect_with_a_body_is_refused,
}

fn heads(server: &Server) -> Vec<String> {
    server.accepted_order().into_iter().map(|(_, head)| head).collect()
}

fn redirecting(to: &str) -> Step {
    let headers = vec![("Location".to_owned(), to.to_owned())];
    Step::Answer(Answer { status: 302, headers, body: String::new() })
}

fn q8_a_default_of_the_client_can_be_taken_away(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    client.set_decode(true);
    client.set_cookies(true);
    client.add_cookie(&server.url("/"), "a=b").unwrap();
    let host = format!("Host: 127.0.0.1:{}\r\n", server.port());
    let agent = concat!("User-Agent: hangup/", env!("CARGO_PKG_VERSION"), "\r\n");
    let sent = |client: &Client| {
        fetch(client, &server.url("/")).unwrap();
        let head = heads(&server).pop().unwrap();
        head.strip_prefix(&format!("GET / HTTP/1.1\r\n{host}")).unwrap().to_owned()
    };
    let all = sent(&client);
    let own = all.strip_prefix(&format!("{agent}Accept: */*\r\n")).unwrap();
    assert!(
        own.starts_with("Accept-Encoding: gzip, ") && own.ends_with("Cookie: a=b\r\n\r\n"),
        "{own}"
    );
    for name in ["accept", "User-Agent", "ACCEPT-encoding"] {
        client.set_header(name, None).unwrap();
    }
    assert_eq!(sent(&client), "Cookie: a=b\r\n\r\n");
    // A value that is set later is sent again, where the other defaults are.
    client.set_header("accept-encoding", Some("identity")).unwrap();
    client.set_header_bytes("X-Name", Some(b"caf\xe9")).unwrap();
    client.set_header("Cookie", None).unwrap();
    assert_eq!(sent(&client), "accept-encoding: identity\r\nX-Name: caf\u{fffd}\r\n\r\n");
    // Of the request: credentials in the URL, and a default of the client.
    let url = format!("http://us:er@127.0.0.1:{}/", server.port());
    let mut one = request("GET", &url);
    for name in ["authorization", "x-name", "accept-encoding"] {
        one.remove_header(name).unwrap();
    }
    client.send(&mut one).unwrap().read_all(10).unwrap();
    assert_eq!(heads(&server).pop().unwrap(), format!("GET / HTTP/1.1\r\n{host}\r\n"));
}

/// Heads are kept for requests that are sent again: each change of what they are made of counts at once.
fn q8_each_head_is_made_of_the_settings_of_its_time(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let (client, other) = (form.client(), form.client());
    for client in [&client, &other] {
        client.set_header("User-Agent", None).unwrap();
        client.set_header("Accept", Some("a")).unwrap();
    }
    other.set_header("X-Other", Some("o")).unwrap();
    let host = format!("Host: 127.0.0.1:{}\r\n", server.port());
    let check = |client: &Client, sent: &mut Request, method: &str, rest: &str| {
        client.send(sent).unwrap().read_all(10).unwrap();
        let head = heads(&server).pop().unwrap();
        assert_eq!(head, format!("{method} / HTTP/1.1\r\n{host}{rest}\r\n"));
    };
    let url = server.url("/");
    let mut get = request("GET", &url);
    for _ in 0..3 {
        check(&client, &mut get, "GET", "Accept: a\r\n");
        // Other clients and requests have other heads for the same URL.
        check(&other, &mut get, "GET", "Accept: a\r\nX-Other: o\r\n");
        check(&client, &mut request("HEAD", &url), "HEAD", "Accept: a\r\n");
        let own = &mut request("GET", &url);
        own.add_header("Accept", "b").unwrap();
        check(&client, own, "GET", "Accept: b\r\n");
        let body = &mut post(&url, Body::from("seven"));
        check(&client, body, "POST", "Accept: a\r\nContent-Length: 5\r\n");
        let none = &mut request("POST", &url);
        check(&client, none, "POST", "Accept: a\r\nContent-Length: 0\r\n");
        let without = &mut request("GET", &url);
        without.remove_header("Accept").unwrap();
        check(&client, without, "GET", "");
        let closing = &mut request("GET", &url);
        closing.set_connection_mode(hangup::ConnectionMode::CloseAfter);
        check(&client, closing, "GET", "Accept: a\r\nConnection: close\r\n");
    }
    client.set_header("Accept", Some("c")).unwrap();
    check(&client, &mut get, "GET", "Accept: c\r\n");
    for value in ["1", "2"] {
        get.add_header("X", value).unwrap();
        let both = if value == "1" { "X: 1\r\n" } else { "X: 1\r\nX: 2\r\n" };
        for _ in 0..3 {
            check(&client, &mut get, "GET", &format!("{both}Accept: c\r\n"));
        }
    }
    client.set_cookies(true);
    for _ in 0..3 {
        check(&client, &mut get, "GET", "X: 1\r\nX: 2\r\nAccept: c\r\n");
    }
    client.add_cookie(&url, "a=b").unwrap();
    check(&client, &mut get, "GET", "X: 1\r\nX: 2\r\nAccept: c\r\nCookie: a=b\r\n");
    client.set_cookies(false);
    check(&client, &mut get, "GET", "X: 1\r\nX: 2\r\nAccept: c\r\n");
    get.set_target(Some(b"/")).unwrap();
    check(&client, &mut get, "GET", "X: 1\r\nX: 2\r\nAccept: c\r\n");
    get.set_auth(Some(hangup::Auth::bearer("t").unwrap()));
    check(&client, &mut get, "GET", "X: 1\r\nX: 2\r\nAccept: c\r\nAuthorization: Bearer t\r\n");
}

fn q8_a_host_of_the_callers_is_not_sent_to_another_origin(form: Form) {
    let other = Server::start(Script::answering("there"));
    let steps = vec![redirecting("/again"), redirecting(&other.url("/"))];
    let server = Server::start(Script::every(steps));
    let mut request = request("GET", &server.url("/"));
    request.add_header("X-A", "1").unwrap();
    request.add_header("Host", "virtual.example").unwrap();
    assert_eq!(form.client().send(&mut request).unwrap().read_all(10).unwrap(), b"there");
    for head in heads(&server) {
        assert!(head.contains("\r\nX-A: 1\r\nHost: virtual.example\r\n"), "{head}");
        assert_eq!(head.matches("Host:").count(), 1, "{head}");
    }
    let head = heads(&other).pop().unwrap();
    let expected = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nX-A: 1\r\n", other.port());
    assert!(head.starts_with(&expected), "{head}");
}

fn q8_a_target_is_for_the_first_request_and_redirects_follow_the_url(form: Form) {
    let steps = vec![redirecting("next"), Step::answer(200, "there")];
    let server = Server::start(Script::every(steps));
    let mut request = request("GET", &server.url("/folder/file"));
    request.set_target(Some(b"/'\\%2e%2e\xff")).unwrap();
    let mut response = form.client().send(&mut request).unwrap();
    assert_eq!(response.read_all(10).unwrap(), b"there");
    assert_eq!(response.head().url(), server.url("/folder/next"));
    let received = server.received(0);
    assert!(
        received.starts_with(b"GET /'\\%2e%2e\xff HTTP/1.1\r\n"),
        "{}",
        received.escape_ascii()
    );
    assert!(heads(&server)[1].starts_with("GET /folder/next HTTP/1.1\r\n"));
    // And a URL that is sent as it is written.
    let server =
        Server::start(Script::every(vec![redirecting("next"), Step::answer(200, "there")]));
    let url = server.url("/fol\\der/file?q=/../'");
    let mut request = Request::new_as_given("GET", &url).unwrap();
    assert_eq!(request.url(), url);
    form.client().send(&mut request).unwrap().read_all(10).unwrap();
    let lines = ["GET /fol\\der/file?q=/../' HTTP/1.1\r\n", "GET /fol%5Cder/next HTTP/1.1\r\n"];
    for (head, line) in heads(&server).iter().zip(lines) {
        assert!(head.starts_with(line), "{head}");
    }
}

fn q8_a_signed_location_stays_signed(form: Form) {
    let signed = "/a/%2e%2e/b'c?X-Sig='%2F|^\\&response=a%20b";
    let steps = vec![redirecting(signed), Step::answer(200, "there")];
    let server = Server::start(Script::every(steps));
    fetch(&form.client(), &server.url("/")).unwrap();
    let head = heads(&server).pop().unwrap();
    assert!(head.starts_with(&format!("GET {signed} HTTP/1.1\r\n")), "{head}");
}

/// Gives so many bytes, in pieces of any size.
struct Bytes(u64);

impl Read for Bytes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let size = into.len().min(usize::try_from(self.0).unwrap_or(usize::MAX));
        into[..size].fill(b'b');
        self.0 -= size as u64;
        Ok(size)
    }
}

fn q8_an_announced_length_is_checked_for_bodies_of_any_size(form: Form) {
    let send = |client: &Client, server: &Server, announced: u64, given: u64| {
        let mut request = post(&server.url("/"), Body::reader(Bytes(given), None));
        request.add_header("Content-Length", announced.to_string()).unwrap();
        let outcome: Result<Vec<u8>, Error> = client.send(&mut request)?.read_all(10);
        outcome
    };
    let client = form.client();
    for size in [1, 16 * 1024, 16 * 1024 + 1, 1_000_000] {
        let server = Server::start(Script::answering("ok"));
        assert_eq!(send(&client, &server, size, size).unwrap(), b"ok");
        assert_eq!(server.bodies(0)[0].len() as u64, size);
        assert!(heads(&server)[0].contains(&format!("\r\nContent-Length: {size}\r\n")));
        assert!(!heads(&server)[0].contains("Transfer-Encoding"));
        for wrong in [size - 1, size + 1, size + 1_000_000] {
            let (client, server) = (form.client(), Server::start(Script::answering("ok")));
            let error = send(&client, &server, size, wrong).unwrap_err();
            assert_eq!(error.kind(), Kind::BodyFailed, "{wrong} of {size}: {error}");
            let said = if wrong < size { "short" } else { "longer than its Content-Length" };
            assert!(error.message().contains(said), "{error}");
            assert_ne!(error.sent(), Sent::All, "{wrong} of {size}");
            assert_gone(client.manager(), server.port());
            assert!(
                server.bodies(0).is_empty(),
                "{wrong} of {size}: the server has no whole request"
            );
        }
    }
    let server = Server::start(Script::answering("ok"));
    assert_eq!(send(&client, &server, 0, 0).unwrap(), b"ok");
    let error = send(&client, &server, 0, 1).unwrap_err();
    assert_eq!((error.kind(), error.sent()), (Kind::BodyFailed, Sent::Nothing), "{error}");
}

fn connect_with_a_body_is_refused(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let mut request = Request::connect(&server.url("/"), "example.org:443").unwrap();
    for body in [Body::bytes(b"a"), Body::reader(Bytes(1), None)] {
        request.set_body(body);
        let error = form.client().send(&mut request).unwrap_err();
        assert_eq!((error.kind(), error.sent()), (Kind::InvalidHeader, Sent::Nothing), "{error}");
    }
}
