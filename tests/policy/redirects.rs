//! Redirects: which are followed, with which method, body, headers and cookies (Q3, R9, T2).

use std::time::Instant;

use hangup::{Body, CancelToken, ConnectionMode, Error, Kind, Phase, Timeout};
use testserver::{Answer, Certificate, Script, Server, Step};

use crate::support::counted_reader::CountedReader;
use crate::support::form::{Form, Response, in_both_forms};
use crate::support::inspect::{assert_at_rest, assert_gone};
use crate::support::outcome::{assert_in_time, assert_timed_out, cancelled};
use crate::support::{PATIENCE, fetch, get, ms, post, request};

in_both_forms! {
    r9_the_next_hop_uses_the_same_connection,
    r9_a_redirect_with_a_long_or_slow_body_costs_its_connection_and_little_time,
    q3_methods_and_bodies_follow_the_status,
    q3_a_body_that_was_read_can_not_be_repeated_and_the_error_names_the_reason,
    q3_headers_for_one_origin_are_dropped_at_the_next_and_stay_dropped,
    q3_user_information_of_a_location_is_for_that_hop_only,
    q3_a_redirect_from_https_to_http_drops_private_headers,
    q3_targets_that_are_broken_or_not_http_are_refused_by_name,
    q3_targets_that_two_parsers_read_as_two_hosts_are_refused_without_their_password,
    q3_two_locations_must_agree,
    q3_a_response_that_is_not_a_redirect_is_returned_as_it_is,
    q3_redirects_are_bounded,
    q3_an_error_after_a_redirect_describes_the_whole_call,
    t2_the_total_and_the_token_span_all_hops,
    t2_timings_of_the_last_hop_and_a_total_from_the_call,
    a_cancel_ends_a_later_hop,
    a_short_connection_is_short_at_every_hop,
    cookies_of_every_hop_are_stored_and_sent_to_their_own_site,
    cookies_are_stored_only_when_they_are_enabled,
    a_cookie_crosses_to_another_origin_only_if_it_is_meant_for_it,
}

/// Reads a request with its body and answers with these headers and this body.
fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Step {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let headers = headers.iter().map(owned).collect();
    Step::Answer(Answer { status, headers, body: body.to_owned() })
}

fn redirect(status: u16, to: &str) -> Step {
    answer(status, &[("Location", to)], "this way")
}

/// One connection that does this and then answers "there" to every request; later connections answer "elsewhere".
fn then_there(mut steps: Vec<Step>) -> Server {
    steps.push(Step::forever(vec![Step::answer(200, "there")]));
    let other = vec![Step::forever(vec![Step::answer(200, "elsewhere")])];
    Server::start(Script::new(vec![steps, other]))
}

/// A header of the last request on a connection.
fn header(server: &Server, connection: usize, name: &str) -> Option<String> {
    let head = server.heads(connection).pop().unwrap();
    let found = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    found.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_owned()).next()
}

#[track_caller]
fn refused(outcome: Result<Response, Error>, status: u16, target: &str) -> Error {
    let error = outcome.expect_err("a redirect that is not followed");
    assert_eq!((error.kind(), error.status_code()), (Kind::RedirectRefused, Some(status)));
    assert!(error.message().contains(target), "{error}");
    assert!(error.response_started() && error.connection_id().is_some());
    error
}

fn r9_the_next_hop_uses_the_same_connection(form: Form) {
    let chunked = "HTTP/1.1 302 Found\r\nLocation: /b\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nthis way\r\n0\r\n\r\n";
    let server = then_there(vec![
        redirect(301, "/a"),
        Step::head(),
        Step::send(chunked),
        redirect(307, "../c?d#e"),
    ]);
    let client = form.client();
    let mut response = get(&client, &server.url("/start?x#y")).unwrap();
    assert_eq!(response.read_all(100).unwrap(), b"there");
    let hop = |status_code, path: &str| (status_code, server.url(path));
    let history = response.history().iter().map(|hop| (hop.status_code, hop.url.clone()));
    assert_eq!(history.collect::<Vec<_>>(), [hop(301, "/start?x"), hop(302, "/a"), hop(307, "/b")]);
    assert_eq!((response.url(), response.status_code()), (server.url("/c?d"), 200));
    assert_eq!((response.attempts(), response.reused()), (1, true));
    assert_eq!(server.connections(), 1);
    assert_eq!(client.manager().stats().idle, 1);
}

fn r9_a_redirect_with_a_long_or_slow_body_costs_its_connection_and_little_time(form: Form) {
    let long = "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 1000000\r\n\r\nthis way";
    let endless = "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\nthis way";
    for head in [long, endless] {
        let server = then_there(vec![Step::head(), Step::send(head), Step::Stall]);
        let client = form.client();
        let begun = Instant::now();
        let response = get(&client, &server.url("/")).unwrap();
        assert!(begun.elapsed() < ms(50) + crate::support::MARGIN);
        assert!(!response.reused());
        assert_eq!(server.connections(), 2);
        assert_eq!(client.manager().stats().in_use, 1);
        assert!(server.wait_ended(0, PATIENCE).is_some());
    }
}

fn q3_methods_and_bodies_follow_the_status(form: Form) {
    for (status, method, becomes) in [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "PUT", "GET"),
        (301, "PUT", "PUT"),
        (302, "PATCH", "PATCH"),
        (302, "DELETE", "DELETE"),
        (303, "DELETE", "GET"),
        (302, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (308, "PUT", "PUT"),
        (307, "HEAD", "HEAD"),
    ] {
        let server = then_there(vec![redirect(status, "/next")]);
        let mut request = request(method, &server.url("/"));
        if method != "HEAD" {
            request.set_body(Body::bytes(b"a body"));
            request.add_header("Content-Type", "text/plain").unwrap();
            request.add_header("Content-Length", "6").unwrap();
        }
        request.add_header("X-Kept", "yes").unwrap();
        form.client().send(&mut request).unwrap();
        let heads = server.heads(0);
        assert!(heads[1].starts_with(&format!("{becomes} /next HTTP/1.1\r\n")), "{}", heads[1]);
        assert_eq!(header(&server, 0, "x-kept").as_deref(), Some("yes"));
        let repeated = becomes == method && method != "HEAD";
        let expected: &[u8] = if repeated { b"a body" } else { b"" };
        assert_eq!(server.bodies(0)[1], expected, "{status} {method}");
        assert_eq!(header(&server, 0, "content-type").is_some(), repeated);
        assert_eq!(header(&server, 0, "content-length").is_some(), repeated);
    }
}

fn q3_a_body_that_was_read_can_not_be_repeated_and_the_error_names_the_reason(form: Form) {
    let server = then_there(vec![redirect(307, "/next")]);
    let (source, account) = CountedReader::pieces(2, 3, |_| ());
    let error =
        refused(form.client().send(&mut post(&server.url("/"), source.chunked())), 307, "/next");
    assert!(error.message().contains("reader"), "{error}");
    assert!(!error.retry_safe());
    account.assert_dropped_once();
    assert_eq!(server.heads(0).len(), 1);
    // If the redirect drops the body, a reader is accepted.
    let server = then_there(vec![redirect(303, "/next")]);
    let (source, _) = CountedReader::pieces(2, 3, |_| ());
    form.client().send(&mut post(&server.url("/"), source.chunked())).unwrap();
}

fn q3_headers_for_one_origin_are_dropped_at_the_next_and_stay_dropped(form: Form) {
    let secrets = ["authorization", "cookie", "proxy-authorization", "x-api-key", "x-default-key"];
    for by_url in [false, true] {
        let back =
            Server::start(Script::new(vec![vec![Step::forever(vec![Step::answer(200, "")])]]));
        let there = then_there(vec![redirect(302, "/same"), redirect(302, &back.url("/back"))]);
        let here = then_there(vec![redirect(302, "/same"), redirect(302, &there.url("/there"))]);
        let client = form.client();
        client.set_header("X-Default-Key", Some("k1")).unwrap();
        client.set_header("X-Public", Some("p")).unwrap();
        client.add_sensitive_header("x-default-key").unwrap();
        client.add_sensitive_header("X-API-Key").unwrap();
        let url = here.url("/");
        let url = if by_url { url.replace("://", "://us:er@") } else { url };
        let mut request = request("GET", &url);
        if !by_url {
            request.add_header("Authorization", "Bearer t").unwrap();
        }
        for (name, value) in [("Cookie", "c=1"), ("Proxy-Authorization", "x"), ("X-API-Key", "k2")]
        {
            request.add_header(name, value).unwrap();
        }
        let response = client.send(&mut request).unwrap();
        assert_eq!(response.history().len(), 4);
        assert!(response.history().iter().all(|hop| !hop.url.contains('@')));
        for secret in secrets {
            // Headers for a proxy are not sent without a proxy.
            let expected = secret != "proxy-authorization";
            assert_eq!(header(&here, 0, secret).is_some(), expected, "{secret}");
            assert!(there.heads(0).iter().all(|head| !head.to_lowercase().contains(secret)));
            assert_eq!(header(&back, 0, secret), None);
        }
        assert_eq!(header(&back, 0, "x-public").as_deref(), Some("p"));
    }
}

fn q3_user_information_of_a_location_is_for_that_hop_only(form: Form) {
    let there = then_there(vec![redirect(302, "/two")]);
    let to = there.url("/one").replace("://", "://us:er@");
    let here = then_there(vec![redirect(302, &to)]);
    let response = get(&form.client(), &here.url("/")).unwrap();
    assert_eq!(response.url(), there.url("/two"));
    let heads = there.heads(0);
    assert!(heads[0].contains("uthorization: Basic dXM6ZXI=\r\n"), "{}", heads[0]);
    assert!(!heads[1].contains("Basic"), "{}", heads[1]);
}

fn q3_a_redirect_from_https_to_http_drops_private_headers(form: Form) {
    let plain = then_there(vec![]);
    let steps = vec![redirect(302, &plain.url("/plain"))];
    let secure = Server::start_tls(Certificate::Good, Script::every(steps));
    let mut request = request("GET", &secure.url("/"));
    request.add_header("Authorization", "Bearer t").unwrap();
    let response = form.tls_client().send(&mut request).unwrap();
    assert_eq!(response.url(), plain.url("/plain"));
    assert_eq!(header(&plain, 0, "authorization"), None);
}

fn q3_targets_that_are_broken_or_not_http_are_refused_by_name(form: Form) {
    for target in [
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "data:text/plain,x",
        "http+unix://%2Frun%2Fdocker.sock/",
        "http:////x/",
        "http://[::1/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:99999/",
    ] {
        let server = then_there(vec![redirect(302, target)]);
        let client = form.client();
        let error = refused(get(&client, &server.url("/")), 302, target);
        assert!(error.retry_safe());
        // The response itself was valid, so its connection is kept.
        assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"there");
        assert_eq!(server.connections(), 1);
    }
}

fn q3_targets_that_two_parsers_read_as_two_hosts_are_refused_without_their_password(form: Form) {
    for (target, shown) in [
        ("http://a.test\\@127.0.0.1/", "http://***@127.0.0.1/"),
        ("http:\\\\127.0.0.1/", "http:\\\\127.0.0.1/"),
        ("/\\127.0.0.1/", "/\\127.0.0.1/"),
        ("a\\b", "a\\b"),
        ("http:127.0.0.1/", "http:127.0.0.1/"),
        ("http:///127.0.0.1/", "http:///127.0.0.1/"),
        ("/\t/127.0.0.1/", "/%09/127.0.0.1/"),
        ("http://u:secret@a.test@127.0.0.1/", "http://***@127.0.0.1/"),
        ("http://[::1]@127.0.0.1/", "http://***@127.0.0.1/"),
        ("//127.1/", "//127.1/"),
        ("http://0x7f000001/", "http://0x7f000001/"),
        ("http://loc%61lhost/", "http://loc%61lhost/"),
        ("ftp://u:secret@127.0.0.1/", "ftp://***@127.0.0.1/"),
    ] {
        let server = then_there(vec![redirect(302, target)]);
        let error = refused(get(&form.client(), &server.url("/")), 302, shown);
        assert!(!error.message().contains("secret"), "{error}");
    }
    // A relative reference may contain these characters where they cannot name a host.
    for target in ["/a//b", "./b:c/@d", "/http://b", "b?a=http:\\\\b", "/%5Cb", "b c", "#b\\c"] {
        let server = then_there(vec![redirect(302, target)]);
        assert_eq!(fetch(&form.client(), &server.url("/")).unwrap(), b"there", "{target}");
    }
}

fn q3_two_locations_must_agree(form: Form) {
    let twice = |a, b| answer(302, &[("Location", a), ("location", b)], "");
    let server = then_there(vec![twice("/a", "/a"), redirect(302, "/c")]);
    let client = form.client();
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"there");
    let server = then_there(vec![twice("/x", "/y")]);
    refused(get(&client, &server.url("/")), 302, "/x and /y");
    assert_eq!(server.heads(0).len(), 1);
}

fn q3_a_response_that_is_not_a_redirect_is_returned_as_it_is(form: Form) {
    for status in [300, 304, 305, 306] {
        let server = then_there(vec![redirect(status, "/next")]);
        assert_eq!(get(&form.client(), &server.url("/")).unwrap().status_code(), status);
    }
    let server = then_there(vec![answer(302, &[], "nowhere")]);
    let mut response = get(&form.client(), &server.url("/")).unwrap();
    assert_eq!((response.status_code(), response.history().len()), (302, 0));
    assert_eq!(response.read_all(100).unwrap(), b"nowhere");
}

fn q3_redirects_are_bounded(form: Form) {
    let server = Server::start(Script::every(vec![Step::forever(vec![redirect(302, "/again")])]));
    let client = form.client();
    let error = refused(get(&client, &server.url("/")), 302, "/again");
    assert!(error.message().contains("more than 10 redirects"), "{error}");
    assert_eq!(server.heads(0).len(), 11);
    // The limit of the client, and of one request.
    client.set_redirects(2);
    let error = refused(get(&client, &server.url("/")), 302, "/again");
    assert!(error.message().contains("more than 2 redirects"), "{error}");
    let mut none = request("GET", &server.url("/"));
    none.set_redirects(Some(0));
    let mut response = client.send(&mut none).unwrap();
    assert_eq!(
        (response.status_code(), response.head().header("location")),
        (302, Some(&b"/again"[..]))
    );
    assert_eq!(response.read_all(100).unwrap(), b"this way");
    none.set_redirects(None);
    refused(client.send(&mut none), 302, "/again");
    client.set_redirects(0);
    assert_eq!(get(&client, &server.url("/")).unwrap().status_code(), 302);
    assert_eq!(server.connections(), 1);
}

fn q3_an_error_after_a_redirect_describes_the_whole_call(form: Form) {
    for (method, safe) in [("POST", false), ("PUT", true)] {
        let gone = Server::start(Script::every(vec![]));
        let url = gone.url("/gone");
        let server = then_there(vec![redirect(303, &url)]);
        drop(gone);
        let error = form.client().send(&mut request(method, &server.url("/"))).unwrap_err();
        assert_eq!((error.kind(), error.retry_safe()), (Kind::ConnectFailed, safe), "{error:?}");
    }
}

fn t2_the_total_and_the_token_span_all_hops(form: Form) {
    let slow = || vec![Step::sleep(60), redirect(302, "/again")];
    let server = Server::start(Script::every(vec![Step::forever(slow())]));
    let client = form.client();
    client.set_redirects(1000);
    let mut bounded = request("GET", &server.url("/"));
    bounded.set_timeout(Timeout::Total, Some(ms(250))).unwrap();
    let begun = Instant::now();
    // In any phase of any hop.
    let error = client.send(&mut bounded).unwrap_err();
    assert_timed_out(&error, Timeout::Total, error.phase());
    assert_in_time("the total, after some redirects", ms(250), begun.elapsed());
    assert_at_rest(&client.manager().clone());

    let token = CancelToken::new();
    token.after(ms(150));
    let mut bounded = request("GET", &server.url("/"));
    bounded.set_cancel(Some(token));
    let begun = Instant::now();
    let error = client.send(&mut bounded).unwrap_err();
    assert_timed_out(&error, Timeout::Token, error.phase());
    assert_in_time("a token, after some redirects", ms(150), begun.elapsed());

    // Also in the body of the redirect, which is discarded.
    let stuck = "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 9\r\n\r\nthis";
    let server = Server::start(Script::every(vec![Step::head(), Step::send(stuck), Step::Stall]));
    let mut bounded = request("GET", &server.url("/"));
    bounded.set_timeout(Timeout::Total, Some(ms(20))).unwrap();
    assert_eq!(client.send(&mut bounded).unwrap_err().timeout(), Timeout::Total);
    assert_gone(client.manager(), server.port());
}

fn t2_timings_of_the_last_hop_and_a_total_from_the_call(form: Form) {
    let server = then_there(vec![Step::sleep(60), redirect(302, "/next")]);
    let mut response = get(&form.client(), &server.url("/")).unwrap();
    response.read_all(100).unwrap();
    let timings = response.timings();
    assert!(timings.total.unwrap() >= ms(60), "{timings:?}");
    assert!(timings.head.unwrap() < ms(60), "{timings:?}");
}

fn a_cancel_ends_a_later_hop(form: Form) {
    let steps = vec![redirect(302, "/next"), Step::head(), Step::mark("there"), Step::Stall];
    let server = Server::start(Script::every(steps));
    let client = form.client();
    let token = CancelToken::new();
    let mut request = request("GET", &server.url("/"));
    request.set_cancel(Some(token.clone()));
    let ready = |_| assert!(server.wait_mark("there", PATIENCE));
    cancelled("a later hop", &token, Phase::Head, || client.send(&mut request), ready);
    assert_gone(client.manager(), server.port());
}

fn a_short_connection_is_short_at_every_hop(form: Form) {
    let server = Server::start(Script::new(vec![
        vec![redirect(302, "/next")],
        vec![Step::answer(200, "there")],
    ]));
    let client = form.client();
    client.set_connection_mode(ConnectionMode::CloseAfter);
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"there");
    assert_eq!(server.connections(), 2);
    assert_eq!(header(&server, 0, "connection").as_deref(), Some("close"));
    assert_eq!(header(&server, 1, "connection").as_deref(), Some("close"));
}

fn cookies_of_every_hop_are_stored_and_sent_to_their_own_site(form: Form) {
    let set = |status, to, cookie| answer(status, &[("Location", to), ("Set-Cookie", cookie)], "");
    let server = then_there(vec![
        set(302, "/one/a", "first=1; Path=/"),
        set(302, "/one/b", "second=2"),
        set(302, "/two", "third=3; Secure"),
        set(200, "", "fourth=4; Path=/"),
        set(200, "", "; nonsense"),
    ]);
    let client = form.client();
    client.set_cookies(true);
    get(&client, &server.url("/")).unwrap();
    let heads = server.heads(0);
    assert!(!heads[0].to_lowercase().contains("cookie"));
    assert!(heads[1].contains("ookie: first=1\r\n"), "{}", heads[1]);
    assert!(heads[2].contains("ookie: second=2; first=1\r\n"), "{}", heads[2]);
    assert!(heads[3].contains("ookie: first=1\r\n"), "{}", heads[3]);
    assert_eq!(client.cookies_for(&server.url("/")).unwrap().as_deref(), Some("first=1; fourth=4"));
    // A Cookie header of the request is sent unchanged, and the jar adds nothing.
    let mut own = request("GET", &server.url("/"));
    own.add_header("Cookie", "mine=0").unwrap();
    client.send(&mut own).unwrap();
    assert_eq!(header(&server, 0, "cookie").as_deref(), Some("mine=0"));
    client.add_cookie(&server.url("/"), "fifth=5; Path=/").unwrap();
    client.clear_cookies();
    client.add_cookie(&server.url("/"), "sixth=6; Path=/").unwrap();
    get(&client, &server.url("/")).unwrap();
    assert_eq!(header(&server, server.connections() - 1, "cookie").as_deref(), Some("sixth=6"));
    let refused = client.add_cookie(&server.url("/"), "x=1; Domain=example.org").unwrap_err();
    assert_eq!(refused.kind(), Kind::InvalidArgument);
}

fn cookies_are_stored_only_when_they_are_enabled(form: Form) {
    let server = then_there(vec![answer(200, &[("Set-Cookie", "a=1")], "")]);
    let client = form.client();
    fetch(&client, &server.url("/")).unwrap();
    fetch(&client, &server.url("/")).unwrap();
    assert_eq!(header(&server, 0, "cookie"), None);
    assert_eq!(client.cookies_for(&server.url("/")).unwrap(), None);
    let error = client.add_cookie(&server.url("/"), "a=1").unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidState);
    client.set_cookies(true);
    client.add_cookie(&server.url("/"), "a=1").unwrap();
    client.set_cookies(true);
    assert_eq!(client.cookies_for(&server.url("/")).unwrap().as_deref(), Some("a=1"));
    client.set_cookies(false);
    client.set_cookies(true);
    assert_eq!(client.cookies_for(&server.url("/")).unwrap(), None);
    assert_eq!(client.cookies_for("nonsense").unwrap_err().kind(), Kind::InvalidUrl);
}

fn a_cookie_crosses_to_another_origin_only_if_it_is_meant_for_it(form: Form) {
    // Cookies depend on the host name and not on the port (RFC 6265 section 8.5).
    let named = then_there(vec![]);
    let to_name = format!("http://localhost:{}/", named.port());
    let number = then_there(vec![answer(
        302,
        &[("Location", to_name.as_str()), ("Set-Cookie", "a=1; Path=/")],
        "",
    )]);
    let client = form.client();
    client.set_cookies(true);
    get(&client, &number.url("/")).unwrap();
    assert_eq!(header(&named, 0, "cookie"), None);
    get(&client, &number.url("/")).unwrap();
    assert_eq!(header(&number, number.connections() - 1, "cookie").as_deref(), Some("a=1"));
}
