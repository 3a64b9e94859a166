//! What ureq's documentation promises holds over the manager.

use std::io::Read;
use std::time::{Duration, Instant};

use testserver::{BlackHole, Script, Server, Step};
use ureq::{Error, SendBody, Timeout};

use super::{agent, agent_of, config, inner};

#[test]
fn the_programs_of_its_documentation_work() {
    let server = Server::start(Script::by_path([
        ("/text", vec![Step::answer(200, "hello")]),
        ("/json", vec![Step::answer(200, r#"{"name":"ureq"}"#)]),
        ("/form", vec![Step::answer(201, "made")]),
    ]));
    let (_, agent) = agent();
    // A simple request.
    let body: String = agent
        .get(server.url("/text"))
        .header("Example-Header", "header value")
        .call()
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap();
    assert_eq!(body, "hello");
    // JSON.
    let sent = serde_json::json!({"message": "hi"});
    let mut response = agent.post(server.url("/json")).send_json(&sent).unwrap();
    let got: serde_json::Value = response.body_mut().read_json().unwrap();
    assert_eq!(got["name"], "ureq");
    // A form, with a query.
    let response = agent
        .put(server.url("/form"))
        .query("page", "1 2")
        .send_form([("my form", "a&b"), ("x", "")])
        .unwrap();
    assert_eq!(response.status(), 201);
    let heads = server.heads(0).concat();
    assert!(heads.to_lowercase().contains("example-header: header value\r\n"), "{heads}");
    assert!(heads.contains("PUT /form?page=1%202 HTTP/1.1\r\n"), "{heads}");
    let bodies = server.bodies(0);
    let json: serde_json::Value = serde_json::from_slice(&bodies[1]).unwrap();
    assert_eq!((json, bodies[2].as_slice()), (sent, &b"my+form=a%26b&x="[..]));
    assert_eq!(server.connections(), 1);
}

#[test]
fn statuses_are_errors_unless_that_is_switched_off() {
    let server = Server::start(Script::by_path([("*", vec![Step::answer(404, "none")])]));
    let (_, agent) = agent();
    assert!(matches!(agent.get(server.url("/")).call(), Err(Error::StatusCode(404))));
    let request = agent.get(server.url("/")).config().http_status_as_error(false).build();
    let mut response = request.call().unwrap();
    assert_eq!(
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap().as_str()),
        (404, "none")
    );
}

#[test]
fn redirects_are_followed_and_bounded() {
    let redirect = |to: &str| {
        let text = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        vec![Step::head(), Step::send(&text)]
    };
    let server = Server::start(Script::by_path([
        ("/a", redirect("/b")),
        ("/b", vec![Step::answer(200, "there")]),
        ("/loop", redirect("/loop")),
    ]));
    let (_, agent) = agent();
    let mut response = agent.get(server.url("/a")).call().unwrap();
    assert_eq!(response.body_mut().read_to_string().unwrap(), "there");
    assert!(matches!(agent.get(server.url("/loop")).call(), Err(Error::TooManyRedirects)));
    let first =
        agent.get(server.url("/a")).config().max_redirects(0).max_redirects_will_error(false);
    assert_eq!(first.build().call().unwrap().status(), 302);
}

#[test]
fn bodies_stream_in_both_directions() {
    let server = Server::start(Script::every(vec![Step::forever(vec![
        Step::head(),
        Step::body(),
        Step::send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400000\r\n"),
        Step::Fill { bytes: 0x40_0000, byte: 'y' },
        Step::send("\r\n0\r\n\r\n"),
    ])]));
    let (client, agent) = agent();
    for _ in 0..2 {
        let mut source = std::io::repeat(b'x').take(3_000_000);
        let mut response =
            agent.post(server.url("/")).send(SendBody::from_reader(&mut source)).unwrap();
        let mut reader = response.body_mut().as_reader();
        let mut total = 0;
        let mut piece = [0; 10_000];
        loop {
            match reader.read(&mut piece).unwrap() {
                0 => break,
                got => total += got,
            }
        }
        assert_eq!(total, 0x40_0000);
    }
    assert!(server.bodies(0).iter().all(|body| body.len() == 3_000_000));
    assert_eq!((server.connections(), client.manager().stats().reused), (1, 1));
}

#[test]
fn header_values_of_any_bytes_and_the_reason_phrase_arrive() {
    let server = Server::start(Script::every(vec![
        Step::head(),
        Step::SendHex(
            b"HTTP/1.1 200 \xc4ll Right\r\nX-Name: caf\xe9\r\nContent-Length: 0\r\n\r\n".to_vec(),
        ),
    ]));
    let response = agent().1.get(server.url("/")).header("X-Mine", "plain").call();
    match response {
        Ok(response) => assert_eq!(response.headers()["x-name"].as_bytes(), b"caf\xe9"),
        // ureq's engine takes a reason phrase of ASCII only.
        Err(error) => assert!(matches!(error, Error::Protocol(_)), "{error:?}"),
    }
}

#[test]
fn expect_100_continue_waits_for_a_while_and_sends_then() {
    let server = Server::start(Script::every(vec![Step::forever(vec![
        Step::head(),
        Step::body(),
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ])]));
    let config = config().timeout_await_100(Some(Duration::from_millis(50))).build();
    let (client, agent) = agent_of(config);
    for _ in 0..2 {
        let request = agent.post(server.url("/")).header("Expect", "100-continue");
        let mut response = request.send("data").unwrap();
        assert_eq!(response.body_mut().read_to_string().unwrap(), "ok");
    }
    assert_eq!(client.manager().stats().reused, 1);
}

#[test]
fn each_timeout_keeps_its_name() {
    let silent = Server::start(Script::every(vec![Step::head(), Step::Stall]));
    let half = Server::start(Script::every(vec![
        Step::head(),
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
        Step::Stall,
    ]));
    let deaf = Server::start(Script::every(vec![Step::Stall]));
    let unreachable = BlackHole::new();
    let short = Some(Duration::from_millis(60));
    let call = |config, url: &str| {
        let (client, agent) = agent_of(config);
        let start = Instant::now();
        let outcome = agent
            .post(url)
            .send(SendBody::from_reader(&mut std::io::repeat(b'x').take(100_000_000)))
            .and_then(|mut response| response.body_mut().read_to_string());
        assert!(start.elapsed() < Duration::from_secs(8));
        assert!(client.manager().connections().is_empty(), "a connection is left");
        outcome.unwrap_err()
    };
    let get = |config, url: &str| {
        let (_, agent) = agent_of(config);
        agent
            .get(url)
            .call()
            .and_then(|mut response| response.body_mut().read_to_string())
            .unwrap_err()
    };
    for (config, url, timeout) in [
        (config().timeout_recv_response(short).build(), silent.url("/"), Timeout::RecvResponse),
        (config().timeout_global(short).build(), silent.url("/"), Timeout::Global),
        (config().timeout_per_call(short).build(), silent.url("/"), Timeout::PerCall),
        (config().timeout_per_read(short).build(), silent.url("/"), Timeout::PerRead),
        (config().timeout_recv_body(short).build(), half.url("/"), Timeout::RecvBody),
        (config().timeout_connect(short).build(), unreachable.url("/"), Timeout::Connect),
        (config().timeout_global(short).build(), unreachable.url("/"), Timeout::Global),
    ] {
        let error = get(config, &url);
        assert!(
            matches!(error, Error::Timeout(which) if which == timeout),
            "{timeout:?}: {error:?}"
        );
    }
    for (config, timeout) in [
        (config().timeout_send_body(short).build(), Timeout::SendBody),
        (config().timeout_per_write(short).build(), Timeout::PerWrite),
    ] {
        let error = call(config, &deaf.url("/"));
        assert!(
            matches!(error, Error::Timeout(which) if which == timeout),
            "{timeout:?}: {error:?}"
        );
    }
}

#[test]
fn failures_are_the_errors_that_ureq_has_for_them() {
    let (_, agent) = agent();
    let mut closed = Server::start(Script::answering("ok"));
    let url = closed.url("/");
    closed.stop();
    match agent.get(url).call() {
        Err(Error::Io(error)) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused),
        other => panic!("{other:?}"),
    }
    assert!(matches!(agent.get("http://no-such-host.invalid/").call(), Err(Error::HostNotFound)));
    let proxy = Server::start(Script::replying("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"));
    let through = ureq::Proxy::new(&format!("http://u:p@127.0.0.1:{}", proxy.port())).unwrap();
    let (_, proxied) = agent_of(config().proxy(Some(through)).build());
    assert!(matches!(proxied.get("http://a.test/").call(), Err(Error::ConnectProxyFailed(_))));
    assert!(proxy.heads(0)[0].starts_with("CONNECT a.test:80 HTTP/1.1\r\n"));
}

#[test]
fn a_response_that_is_cut_off_is_an_error() {
    for (head, then) in [
        ("Content-Length: 9\r\n", Step::Close),
        ("Transfer-Encoding: chunked\r\n", Step::Close),
        ("Content-Length: 9\r\n", Step::Rst),
        // Without a length the end of the connection is the end of the body, but not its reset.
        ("Connection: close\r\n", Step::Rst),
    ] {
        let start = format!("HTTP/1.1 200 OK\r\n{head}\r\n");
        let piece = if head.starts_with("Transfer") { "3\r\nabc\r\n" } else { "abc" };
        let server = Server::start(Script::every(vec![
            Step::head(),
            Step::send(&format!("{start}{piece}")),
            Step::wait_for("read"),
            then,
        ]));
        let mut response = agent().1.get(server.url("/")).call().unwrap();
        let mut reader = response.body_mut().as_reader();
        let mut piece = [0; 3];
        reader.read_exact(&mut piece).unwrap();
        server.release("read");
        assert!(reader.read(&mut piece).is_err(), "{head}");
    }
}

#[test]
fn a_shut_down_agent_ends_its_calls() {
    let server = Server::start(Script::every(vec![Step::head(), Step::mark("asked"), Step::Stall]));
    let (client, agent) = agent();
    let other = agent.clone();
    let url = server.url("/");
    let call = std::thread::spawn(move || other.get(url).call().unwrap_err());
    assert!(server.wait_mark("asked", crate::support::PATIENCE));
    agent.shutdown();
    let error = call.join().unwrap();
    assert_eq!(inner(&error).kind(), hangup::Kind::Closed);
    assert!(client.manager().connections().is_empty());
}
