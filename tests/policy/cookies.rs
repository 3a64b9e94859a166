//! Cookies: what a response sets, deletes or cannot set, and what the next request sends.

use testserver::{Certificate, Script, Server, Step};

use crate::support::form::{Client, Form, in_both_forms};
use crate::support::get;

in_both_forms! {
    a_cookie_is_deleted_by_every_form_of_a_date_in_the_past,
    an_empty_max_age_is_ignored,
    cookie_bytes_that_are_not_utf_8_are_sent_back_unchanged,
    a_full_jar_accepts_changes_deletions_and_new_cookies,
    a_flood_of_cookies_does_not_evict_those_of_other_sites,
    a_plain_text_response_does_not_replace_a_secure_cookie,
}

/// The head of an answer without a body.
fn answer(fields: &[u8]) -> Step {
    Step::SendHex([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", fields, b"\r\n"].concat())
}

fn setting(cookie: &[u8]) -> Step {
    answer(&[b"Set-Cookie: ", cookie, b"\r\n"].concat())
}

/// Steps that answer the requests of one connection, one after the other.
fn script(answers: impl IntoIterator<Item = Step>) -> Script {
    let steps = answers.into_iter().flat_map(|answer| [Step::head(), answer]).collect();
    Script::new(vec![steps])
}

fn keeping(client: Client) -> Client {
    client.set_cookies(true);
    client
}

/// The Cookie field of the last request.
fn cookie(server: &Server) -> Option<Vec<u8>> {
    let received = server.received(0);
    let requests: Vec<&[u8]> = received.split(|byte| *byte == b'\n').collect();
    let last = requests.iter().rposition(|line| line.ends_with(b" HTTP/1.1\r")).unwrap();
    requests[last..].iter().find_map(|line| {
        let name = line.get(..8)?;
        name.eq_ignore_ascii_case(b"cookie: ").then(|| line[8..].trim_ascii_end().to_vec())
    })
}

fn a_cookie_is_deleted_by_every_form_of_a_date_in_the_past(form: Form) {
    for date in [
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Thu, 1 Jan 1970 00:00:00 GMT",
        "Thu, 01 Jan 1970 00:00:00 UTC",
        "Thu, 01 Jan 1970 00:00:00",
        "thu, 01 jan 1970 00:00:00 gmt",
        "Thu, 01-Jan-1970 00:00:01 GMT",
        "Thu Jan  1 00:00:00 1970",
    ] {
        let deletes = setting(format!("sid=; Path=/; Expires={date}").as_bytes());
        let server = Server::start(script([setting(b"sid=1; Path=/"), deletes, answer(b"")]));
        let client = keeping(form.client());
        get(&client, &server.url("/in")).unwrap();
        get(&client, &server.url("/out")).unwrap();
        assert_eq!(cookie(&server).as_deref(), Some(&b"sid=1"[..]));
        get(&client, &server.url("/")).unwrap();
        assert_eq!(cookie(&server), None, "{date}");
    }
}

fn an_empty_max_age_is_ignored(form: Form) {
    let deletes = setting(b"sid=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=");
    let server = Server::start(script([setting(b"sid=1; Path=/"), deletes, answer(b"")]));
    let client = keeping(form.client());
    for path in ["/in", "/out", "/"] {
        get(&client, &server.url(path)).unwrap();
    }
    assert_eq!(cookie(&server), None);
}

fn cookie_bytes_that_are_not_utf_8_are_sent_back_unchanged(form: Form) {
    for (set, sent) in [
        (&b"name=caf\xe9; Path=/"[..], &b"name=caf\xe9"[..]),
        (b"n\xffame=1; Path=/", b"n\xffame=1"),
        (b"sid=1; Path=/; Comment=caf\xe9", b"sid=1"),
        (b"name=caf\xc3\xa9; Path=/", b"name=caf\xc3\xa9"),
    ] {
        let server = Server::start(script([setting(set), answer(b"")]));
        let client = keeping(form.client());
        get(&client, &server.url("/set")).unwrap();
        get(&client, &server.url("/")).unwrap();
        assert_eq!(cookie(&server).as_deref(), Some(sent));
        let shown = String::from_utf8_lossy(sent).into_owned();
        assert_eq!(client.cookies_for(&server.url("/")).unwrap(), Some(shown));
    }
}

fn a_full_jar_accepts_changes_deletions_and_new_cookies(form: Form) {
    let changes = [&b"sid=new; Path=/"[..], b"sid=; Path=/; Max-Age=0", b"late=1; Path=/"];
    let answers = changes.iter().map(|cookie| setting(cookie)).chain([answer(b"")]);
    let server = Server::start(script(answers));
    let client = keeping(form.client());
    client.add_cookie(&server.url("/"), "sid=old; Path=/").unwrap();
    for number in 0..3000 {
        let other = format!("http://site{}.example/", number % 100);
        client.add_cookie(&other, &format!("t{number}=1; Path=/t")).unwrap();
    }
    for expected in [Some(&b"sid=old"[..]), Some(b"sid=new"), None, Some(b"late=1")] {
        get(&client, &server.url("/")).unwrap();
        assert_eq!(cookie(&server).as_deref(), expected);
    }
}

fn a_flood_of_cookies_does_not_evict_those_of_other_sites(form: Form) {
    let flood = |turn: usize| {
        let fields = (0..1800).map(|number| format!("Set-Cookie:{turn}.{number}=;Path=/z\r\n"));
        answer(fields.collect::<String>().as_bytes())
    };
    let server = Server::start(script((0..5).map(flood).chain([answer(b"")])));
    let client = keeping(form.client());
    client.add_cookie("http://a.example/", "sid=1").unwrap();
    for _ in 0..5 {
        get(&client, &server.url("/")).unwrap();
    }
    assert_eq!(client.cookies_for("http://a.example/").unwrap().as_deref(), Some("sid=1"));
    // The newest cookies of the site, up to the limit of a site.
    get(&client, &server.url("/z")).unwrap();
    let sent = String::from_utf8(cookie(&server).unwrap()).unwrap();
    let sent: Vec<&str> = sent.split("; ").collect();
    assert_eq!((sent.len(), sent[0], sent[179]), (180, "4.1620=", "4.1799="));
}

fn a_plain_text_response_does_not_replace_a_secure_cookie(form: Form) {
    let secure = script([setting(b"sid=good; Secure; Path=/"), answer(b"")]);
    let secure = Server::start_tls(Certificate::Good, secure);
    let client = keeping(form.tls_client());
    get(&client, &secure.url("/")).unwrap();
    let plain = [&b"sid=evil; Path=/"[..], b"sid=evil; Path=/x", b"sid=; Path=/; Max-Age=0"];
    let plain = Server::start(script(plain.map(setting)));
    // Cookies ignore ports (RFC 6265 section 8.5): both servers are the same host.
    for _ in 0..3 {
        let host = secure.url("/").split(':').nth(1).map(str::to_owned).unwrap();
        get(&client, &format!("http:{host}:{}/", plain.port())).unwrap();
    }
    get(&client, &secure.url("/x")).unwrap();
    assert_eq!(cookie(&secure).as_deref(), Some(&b"sid=good"[..]));
}
