//! The trace of a client.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hangup::{Body, RetryPolicy, Timeout, Trace, TraceType};
use testserver::{Script, Server, Step};

use crate::support::form::{Form, in_both_forms};
use crate::support::{fetch, get, post, request};

in_both_forms! {
    a_trace_has_every_head_and_piece_in_order,
    secrets_are_hidden_and_bodies_are_there_on_demand,
    interim_heads_and_failures_are_recorded,
    a_trace_file_is_appended_to,
    a_trace_of_a_proxied_request_has_the_line_that_is_sent,
    the_heads_of_a_tunnel_are_recorded,
    redirects_and_retries_are_recorded,
}

type Records = Arc<Mutex<Vec<(TraceType, u64, u64, String)>>>;

fn collecting() -> (Trace, Records) {
    let records = Records::default();
    let into = Arc::clone(&records);
    let trace = Trace::new(move |record| {
        let text = String::from_utf8_lossy(record.data).into_owned();
        into.lock().unwrap().push((record.kind, record.connection_id, record.size, text));
    });
    (trace, records)
}

fn of(records: &Records, kind: TraceType) -> Vec<String> {
    let records = records.lock().unwrap();
    records.iter().filter(|record| record.0 == kind).map(|record| record.3.clone()).collect()
}

fn a_trace_has_every_head_and_piece_in_order(form: Form) {
    let server = Server::start(Script::answering("hello"));
    let client = form.client();
    let (trace, records) = collecting();
    client.set_trace(Some(trace));
    let mut response = client.send(&mut post(&server.url("/a"), Body::from("data"))).unwrap();
    assert_eq!(response.read_all(100).unwrap(), b"hello");
    let taken = records.lock().unwrap().clone();
    let wire: Vec<_> = taken.iter().filter(|record| record.0 != TraceType::Info).collect();
    let kinds: Vec<_> = wire.iter().map(|record| record.0).collect();
    use TraceType::{RequestBody, RequestHead, ResponseBody, ResponseHead};
    assert_eq!(kinds, [RequestHead, RequestBody, ResponseHead, ResponseBody]);
    assert!(wire.iter().all(|record| record.1 == response.connection_id()));
    assert_eq!(wire[0].3, server.heads(0)[0]);
    assert_eq!((wire[1].2, wire[3].2), (4, 5));
    assert!(wire[1].3.is_empty() && wire[3].3.is_empty());
    let info = of(&records, TraceType::Info);
    assert_eq!(info[0], format!("POST {}: waiting for a connection", server.url("/a")));
    assert!(info.iter().any(|text| text.starts_with("new connection to http://127.0.0.1:")));
    assert_eq!(info.last().unwrap(), "connection kept for the next request");
    // Switched off, nothing more is recorded.
    client.set_trace(None);
    fetch(&client, &server.url("/")).unwrap();
    assert_eq!(records.lock().unwrap().len(), taken.len());
}

fn secrets_are_hidden_and_bodies_are_there_on_demand(form: Form) {
    let head = "HTTP/1.1 200 OK\r\nset-cookie: id=secret\r\nContent-Length: 2\r\n\r\nok";
    let server = Server::start(Script::replying(head));
    let client = form.client();
    client.add_sensitive_header("X-Key").unwrap();
    let (trace, records) = collecting();
    client.set_trace(Some(trace.with_bodies(true)));
    let url = server.url("/").replace("http://", "http://user:secret@");
    let mut request = request("GET", &url);
    request.add_header("x-key", "secret").unwrap();
    request.add_header("Cookie", "secret").unwrap();
    client.send(&mut request).unwrap().read_all(10).unwrap();
    let all = format!("{:?}", records.lock().unwrap());
    assert!(!all.contains("secret") && !all.contains("dXNlcjpzZWNyZXQ"), "{all}");
    assert!(all.contains("set-cookie: [9 bytes hidden]"), "{all}");
    assert_eq!(of(&records, TraceType::ResponseBody), ["ok"]);
}

fn interim_heads_and_failures_are_recorded(form: Form) {
    let server = Server::start(Script::every(vec![
        Step::head(),
        Step::send("HTTP/1.1 103 Early Hints\r\n\r\n"),
        Step::wait_for("the end"),
    ]));
    let client = form.client();
    let (trace, records) = collecting();
    client.set_trace(Some(trace));
    client.set_timeout(Timeout::Head, Some(Duration::from_millis(100))).unwrap();
    get(&client, &server.url("/")).unwrap_err();
    assert_eq!(of(&records, TraceType::ResponseHead), ["HTTP/1.1 103 Early Hints\r\n\r\n"]);
    let info = of(&records, TraceType::Info);
    assert!(info.last().unwrap().starts_with("failed: TIMED_OUT: "), "{info:?}");
}

fn a_trace_file_is_appended_to(form: Form) {
    let server = Server::start(Script::answering("hello"));
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("trace-{form:?}"));
    let _ = std::fs::remove_file(&path);
    for _ in 0..2 {
        let client = form.client();
        client.set_trace(Some(Trace::to_file(&path).unwrap()));
        fetch(&client, &server.url("/")).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches(" > GET / HTTP/1.1\n").count(), 2, "{text}");
    assert_eq!(text.matches(" { [5 bytes]\n").count(), 2, "{text}");
    assert!(Trace::to_file("/no/such/folder/trace").is_err());
}

fn a_trace_of_a_proxied_request_has_the_line_that_is_sent(form: Form) {
    let proxy = Server::start(Script::answering("hello"));
    let client = form.client();
    client.set_proxy(Some(&format!("http://u:secret@127.0.0.1:{}", proxy.port()))).unwrap();
    client.set_no_proxy("").unwrap();
    let (trace, records) = collecting();
    client.set_trace(Some(trace));
    fetch(&client, "http://origin.test/a").unwrap();
    let heads = of(&records, TraceType::RequestHead);
    assert!(heads[0].starts_with("GET http://origin.test/a HTTP/1.1\r\n"), "{heads:?}");
    assert!(
        heads[0].to_lowercase().contains("proxy-authorization: [18 bytes hidden]"),
        "{heads:?}"
    );
}

fn the_heads_of_a_tunnel_are_recorded(form: Form) {
    for answer in
        ["HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 Open\r\nVia: p\r\n\r\n"]
    {
        let server = Server::start(Script::every(vec![Step::head(), Step::send(answer)]));
        let client = form.client();
        client.set_proxy(Some(&format!("http://u:secret@127.0.0.1:{}", server.port()))).unwrap();
        client.set_no_proxy("").unwrap();
        let (trace, records) = collecting();
        client.set_trace(Some(trace));
        get(&client, "https://origin.test/").unwrap_err();
        let heads = of(&records, TraceType::RequestHead);
        assert!(heads[0].starts_with("CONNECT origin.test:443 HTTP/1.1\r\n"), "{heads:?}");
        assert!(heads[0].contains("Proxy-Authorization: [18 bytes hidden]"), "{heads:?}");
        let answers = of(&records, TraceType::ResponseHead);
        assert_eq!(answers, [answer]);
    }
}

fn redirects_and_retries_are_recorded(form: Form) {
    let server = Server::start(Script::by_path([
        (
            "/a",
            vec![
                Step::head(),
                Step::send("HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"),
            ],
        ),
        ("/b", vec![Step::answer(200, "there")]),
        ("/c", vec![Step::answer(503, "")]),
    ]));
    let client = form.client();
    let soon = Duration::from_millis(1);
    let policy = RetryPolicy::new().max_attempts(2).delays(soon, soon);
    client.set_retry_policy(Some(policy)).unwrap();
    let (trace, records) = collecting();
    client.set_trace(Some(trace));
    fetch(&client, &server.url("/a")).unwrap();
    let info = of(&records, TraceType::Info);
    for path in ["/a", "/b"] {
        let begun = format!("GET {}: waiting for a connection", server.url(path));
        assert!(info.contains(&begun), "{info:?}");
    }
    fetch(&client, &server.url("/c")).unwrap();
    let info = of(&records, TraceType::Info);
    assert!(info.iter().any(|text| text.starts_with("the request is sent again in ")), "{info:?}");
}
