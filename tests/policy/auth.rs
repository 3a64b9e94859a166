//! Credentials: to which requests they belong, what a challenge makes of them, and where they never go.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use hangup::{Auth, Body, CancelToken, Client, EventKind, Kind, RetryReason, Timeout};
use testserver::{Answer, Script, Server, Step};

use crate::support::form::{Form, in_both_forms};
use crate::support::inspect::assert_at_rest;
use crate::support::{PATIENCE, fetch, get, ms, post, request};

in_both_forms! {
    basic_bearer_and_netrc_go_out_with_every_request,
    the_nearest_credentials_count,
    credentials_never_go_to_another_origin,
    a_digest_challenge_is_answered_on_the_same_connection_and_later_requests_need_none,
    a_digest_answer_that_is_refused_is_not_repeated_but_a_stale_nonce_is_replaced,
    a_digest_challenge_that_is_not_supported_is_refused_by_name,
    a_body_that_can_not_be_read_again_gets_the_challenge,
    a_token_is_asked_for_before_a_request_and_once_more_after_a_refusal,
    a_token_function_that_fails_or_repeats_itself_ends_the_call,
    a_cancel_and_a_timeout_do_not_wait_for_a_token_function,
    a_proxy_asks_for_digest_before_a_plain_request_and_a_tunnel,
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Step {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let headers = headers.iter().map(owned).collect();
    Step::Answer(Answer { status, headers, body: body.to_owned() })
}

fn challenge(value: &str) -> Step {
    answer(401, &[("WWW-Authenticate", value)], "who are you?")
}

/// One connection with these steps, and then "in" for every request.
fn then_in(mut steps: Vec<Step>) -> Server {
    steps.push(Step::forever(vec![Step::answer(200, "in")]));
    Server::start(Script::new(vec![steps]))
}

/// A header of each request on the first connection, in their order.
fn sent(server: &Server, name: &str) -> Vec<Option<String>> {
    let of = |head: &String| {
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_owned()).next()
    };
    server.heads(0).iter().map(of).collect()
}

fn authorization(server: &Server) -> Vec<String> {
    sent(server, "authorization").into_iter().map(Option::unwrap_or_default).collect()
}

fn basic_bearer_and_netrc_go_out_with_every_request(form: Form) {
    let server = then_in(vec![]);
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("netrc-{form:?}-{}", std::process::id()));
    std::fs::write(&path, "machine 127.0.0.1 login u password p\n").unwrap();
    let client = form.client();
    for auth in [
        Auth::basic("Aladdin", "open sesame"),
        Auth::bearer("mF_9.B5f-4.1JqM"),
        Auth::netrc(Some(&path)),
    ] {
        client.set_auth(Some(auth.unwrap()));
        assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"in");
    }
    client.set_auth(None);
    fetch(&client, &server.url("/")).unwrap();
    std::fs::remove_file(&path).unwrap();
    let expected =
        ["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Bearer mF_9.B5f-4.1JqM", "Basic dTpw", ""];
    assert_eq!(authorization(&server), expected);
}

fn the_nearest_credentials_count(form: Form) {
    let server = then_in(vec![]);
    let client = form.client();
    client.set_auth(Some(Auth::bearer("client").unwrap()));
    let own = || Some(Auth::bearer("request").unwrap());
    let user = server.url("/").replacen("://", "://u:p@", 1);
    for (url, header, auth) in [
        (&server.url("/"), None, None),
        (&user, None, None),
        (&user, None, Some(own())),
        (&server.url("/"), Some("Own"), Some(own())),
        (&server.url("/"), None, Some(None)),
    ] {
        let mut request = request("GET", url);
        if let Some(value) = header {
            request.add_header("Authorization", value).unwrap();
        }
        if let Some(auth) = auth {
            request.set_auth(auth);
        }
        client.send(&mut request).unwrap().read_all(100).unwrap();
    }
    let expected = ["Bearer client", "Basic dTpw", "Bearer request", "Own", ""];
    assert_eq!(authorization(&server), expected);
}

fn credentials_never_go_to_another_origin(form: Form) {
    for auth in [
        Auth::basic("u", "p").unwrap(),
        Auth::digest("u", "p").unwrap(),
        Auth::token(|_| Ok("token".into())),
    ] {
        let other = then_in(vec![challenge("Digest realm=\"r\", nonce=\"n\", qop=\"auth\"")]);
        let there = answer(302, &[("Location", &other.url("/"))], "");
        let server = Server::start(Script::every(vec![there]));
        let client = form.client();
        client.set_auth(Some(auth));
        let response = get(&client, &server.url("/")).unwrap();
        assert_eq!(response.status_code(), 401, "the other origin's challenge is not answered");
        assert_eq!(authorization(&other), [""]);
    }
}

fn a_digest_challenge_is_answered_on_the_same_connection_and_later_requests_need_none(form: Form) {
    let asks = challenge(
        "Basic realm=\"b\", Digest realm=\"r\", nonce=\"n1\", qop=\"auth\", \
                          algorithm=SHA-256, opaque=\"o\"",
    );
    let next = answer(200, &[("Authentication-Info", "nextnonce=\"n2\"")], "in");
    let server = then_in(vec![asks, next]);
    let client = form.client();
    let mut events = client.manager().events(100).unwrap();
    client.set_auth(Some(Auth::digest("u", "p").unwrap()));
    let mut put = request("PUT", &server.url("/a?b=c"));
    put.set_body(Body::bytes(b"twice"));
    let mut response = client.send(&mut put).unwrap();
    assert_eq!((response.status_code(), response.attempts()), (200, 2));
    assert_eq!(response.read_all(100).unwrap(), b"in");
    fetch(&client, &server.url("/")).unwrap();
    fetch(&client, &server.url("/")).unwrap();
    let sent = authorization(&server);
    assert_eq!((server.connections(), sent.len()), (1, 4));
    assert_eq!(server.bodies(0)[..2], [b"twice".to_vec(), b"twice".to_vec()]);
    assert_eq!(sent[0], "");
    for (field, parts) in [
        (&sent[1], ["nonce=\"n1\"", "nc=00000001", "uri=\"/a?b=c\"", "algorithm=SHA-256"]),
        (&sent[2], ["nonce=\"n2\"", "nc=00000001", "uri=\"/\"", "opaque=\"o\""]),
        (&sent[3], ["nonce=\"n2\"", "nc=00000002", "username=\"u\"", "qop=auth"]),
    ] {
        for part in parts {
            assert!(field.starts_with("Digest ") && field.contains(part), "{part}: {field}");
        }
    }
    let mut reasons = Vec::new();
    while let Some(event) = events.next(Some(ms(1))).unwrap() {
        if let EventKind::Retried(reason, delay) = event.kind {
            assert!(delay.is_zero() && event.connection != 0);
            reasons.push(reason);
        }
    }
    assert_eq!(reasons, [RetryReason::Challenge]);
    assert_at_rest(client.manager());
}

fn a_digest_answer_that_is_refused_is_not_repeated_but_a_stale_nonce_is_replaced(form: Form) {
    let asks = |nonce: &str, more: &str| {
        challenge(&format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"{more}"))
    };
    let server = Server::start(Script::every(vec![asks("1", ""), asks("2", ""), asks("3", "")]));
    let client = form.client();
    client.set_auth(Some(Auth::digest("u", "wrong").unwrap()));
    let mut response = get(&client, &server.url("/")).unwrap();
    assert_eq!((response.status_code(), response.attempts()), (401, 2));
    assert_eq!(response.read_all(100).unwrap(), b"who are you?");

    let stale = ", stale=true";
    let server = then_in(vec![asks("1", ""), asks("2", stale), Step::answer(200, "in")]);
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"in");
    assert!(authorization(&server)[2].contains("nonce=\"2\""));

    // A server that calls every nonce stale is not asked for ever.
    let server = Server::start(Script::every(vec![Step::forever(vec![asks("1", stale)])]));
    let response = get(&client, &server.url("/")).unwrap();
    assert_eq!((response.status_code(), response.attempts()), (401, 3));
}

fn a_digest_challenge_that_is_not_supported_is_refused_by_name(form: Form) {
    for (value, word) in [
        ("Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\"", "auth-int"),
        ("Digest realm=\"r\", nonce=\"n\", algorithm=SHA-1", "SHA-1"),
    ] {
        let server = then_in(vec![challenge(value)]);
        let client = form.client();
        client.set_auth(Some(Auth::digest("u", "p").unwrap()));
        let error = get(&client, &server.url("/")).unwrap_err();
        assert_eq!((error.kind(), error.status_code()), (Kind::AuthFailed, Some(401)));
        assert!(error.message().contains(word), "{error}");
        assert_at_rest(client.manager());
    }
}

fn a_body_that_can_not_be_read_again_gets_the_challenge(form: Form) {
    let asks = challenge("Digest realm=\"r\", nonce=\"n\", qop=\"auth\"");
    let server = then_in(vec![asks]);
    let client = form.client();
    client.set_auth(Some(Auth::digest("u", "p").unwrap()));
    let body = || Body::reader(std::io::Cursor::new(b"once"), Some(4));
    let mut response = client.send(&mut post(&server.url("/"), body())).unwrap();
    assert_eq!(response.status_code(), 401);
    response.read_all(100).unwrap();
    // The nonce is known by now.
    let response = client.send(&mut post(&server.url("/"), body())).unwrap();
    assert_eq!((response.status_code(), response.attempts()), (200, 1));
}

fn a_token_is_asked_for_before_a_request_and_once_more_after_a_refusal(form: Form) {
    let server =
        then_in(vec![Step::answer(401, "no"), Step::answer(200, "in"), Step::answer(401, "no")]);
    let client = form.client();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (list, count) = (Arc::clone(&asked), AtomicUsize::new(0));
    client.set_auth(Some(Auth::token(move |request| {
        list.lock().unwrap().push((request.origin.clone(), request.refused_token.clone()));
        Ok(format!("t{}", count.fetch_add(1, Ordering::SeqCst)))
    })));
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"in");
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"in");
    assert_eq!(authorization(&server), ["Bearer t0", "Bearer t1", "Bearer t2", "Bearer t3"]);
    let origin = server.url("");
    let origin = origin.trim_end_matches('/').to_owned();
    let first = (origin.clone(), None);
    let after = |token: &str| (origin.clone(), Some(token.to_owned()));
    assert_eq!(*asked.lock().unwrap(), [first.clone(), after("t0"), first, after("t2")]);
}

fn a_token_function_that_fails_or_repeats_itself_ends_the_call(form: Form) {
    let server = Server::start(Script::every(vec![Step::forever(vec![Step::answer(401, "no")])]));
    let client = form.client();
    client.set_auth(Some(Auth::token(|_| Ok("same".into()))));
    let response = get(&client, &server.url("/")).unwrap();
    assert_eq!((response.status_code(), response.attempts()), (401, 1));
    drop(response);
    for (auth, word) in [
        (Auth::token(|_| Err("the vault is closed".into())), "the vault is closed"),
        (Auth::token(|_| Ok("two words".into())), "space"),
    ] {
        client.set_auth(Some(auth));
        let error = get(&client, &server.url("/")).unwrap_err();
        assert_eq!((error.kind(), error.bytes_sent()), (Kind::AuthFailed, 0));
        assert!(error.message().contains(word), "{error}");
        assert!(!error.message().contains("two words"), "{error}");
        assert_eq!((error.method(), error.attempts()), (Some("GET"), 0));
        assert_eq!(error.url(), Some(server.url("/").as_str()));
    }
}

fn a_cancel_and_a_timeout_do_not_wait_for_a_token_function(form: Form) {
    let server = then_in(vec![]);
    let client = form.client();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let (entered, inside) = std::sync::mpsc::channel();
    let entered = Mutex::new(entered);
    client.set_auth(Some(Auth::token(move |_| {
        let _ = entered.lock().unwrap().send(());
        let _ = held.lock().unwrap().recv_timeout(PATIENCE);
        Ok("late".into())
    })));
    let mut timed = request("GET", &server.url("/"));
    timed.set_timeout(Timeout::Total, Some(ms(50))).unwrap();
    let start = Instant::now();
    let error = client.send(&mut timed).unwrap_err();
    assert_eq!((error.kind(), error.timeout()), (Kind::TimedOut, Timeout::Total));
    assert!(start.elapsed() < PATIENCE, "the function is not waited for");
    inside.recv_timeout(PATIENCE).unwrap();

    let token = CancelToken::new();
    let mut request = request("GET", &server.url("/"));
    request.set_cancel(Some(token.clone()));
    let error = std::thread::scope(|scope| {
        let call = scope.spawn(|| client.send(&mut request).map(drop).unwrap_err());
        inside.recv_timeout(PATIENCE).unwrap();
        token.fire(Some("enough"));
        call.join().unwrap()
    });
    assert_eq!(error.kind(), Kind::Cancelled);
    drop(release);
    assert_eq!(server.connections(), 0);
}

fn a_proxy_asks_for_digest_before_a_plain_request_and_a_tunnel(form: Form) {
    let asks = |length: &str| {
        let fields = "Proxy-Authenticate: Digest realm=\"p\", nonce=\"n\", qop=\"auth\"\r\n";
        Step::send(&format!("HTTP/1.1 407 No\r\n{fields}{length}\r\n"))
    };
    let kept = "Content-Length: 2\r\n";
    let tunnel = vec![Step::head(), Step::send("HTTP/1.1 503 Enough\r\nContent-Length: 0\r\n\r\n")];
    for (url, first, connection) in [
        ("http://origin.example/a", vec![Step::head(), asks(kept), Step::send("no")], 0),
        ("https://origin.example/", vec![Step::head(), asks(kept), Step::send("no")], 0),
        ("https://origin.example/", vec![Step::head(), asks("Connection: close\r\n")], 1),
    ] {
        let script = match connection {
            0 => Script::new(vec![[first, tunnel.clone()].concat()]),
            _ => Script::new(vec![first, tunnel.clone()]),
        };
        let proxy = Server::start(script);
        let client = form.client();
        let text = proxy.url("").replacen("://", "://u:p@", 1);
        client.set_proxy(Some(text.trim_end_matches('/'))).unwrap();
        client.set_proxy_digest(true);
        let outcome = get(&client, url);
        let status = match outcome {
            Ok(response) => Some(response.status_code()),
            Err(error) => error.status_code(),
        };
        assert_eq!(status, Some(503), "{url}");
        let heads: Vec<String> =
            [proxy.heads(0), if connection == 0 { vec![] } else { proxy.heads(1) }].concat();
        assert_eq!(heads.len(), 2, "{heads:?}");
        let uri = if url.starts_with("https") { "origin.example:443" } else { "/a" };
        assert!(!heads[0].to_lowercase().contains("proxy-authorization"), "{}", heads[0]);
        assert!(heads[1].contains("Digest username=\"u\""), "{}", heads[1]);
        assert!(heads[1].contains(&format!("uri=\"{uri}\"")), "{}", heads[1]);
    }
}

#[test]
fn no_credentials_are_shown() {
    let client = Client::default();
    for auth in [
        Auth::basic("name", "secret").unwrap(),
        Auth::bearer("secret").unwrap(),
        Auth::digest("name", "secret").unwrap(),
    ] {
        assert!(!format!("{auth:?}").contains("secret"));
        client.set_auth(Some(auth));
        assert!(!format!("{client:?}").contains("secret"));
    }
}
