//! Refusals and failures of proxies: each is an error of its own that names the proxy, with its status code if it sent
//! one (Q4).

use std::collections::HashSet;
use std::thread;

use hangup::{Error, Kind, Phase, Timeout};
use testserver::{
    Answer, Certificate, Conduct, Proxy, ProxyOptions, ProxyStep, Script, Server, Socks,
    SocksConduct, SocksOptions, SocksStep, Step,
};

use super::{admitted, assert_no_secret, credentials, https, start, through};
use crate::support::form::{Form, in_both_forms};
use crate::support::inspect::assert_gone;
use crate::support::outcome::{assert_consistent, assert_timed_out};
use crate::support::{PATIENCE, get, ms};

in_both_forms! {
    q4_a_refused_tunnel_is_an_error_with_its_status,
    q4_a_proxy_that_requires_credentials_is_an_error_of_its_own,
    q4_a_malformed_answer_to_connect_is_the_proxys_failure,
    q4_a_https_proxy_is_held_to_its_certificate,
    q4_a_tunnel_that_closes_is_an_error_that_names_the_proxy,
    q4_silence_at_each_step_is_ended_by_the_timeout_of_its_phase,
    q4_every_socks_refusal_has_its_own_message,
    q4_a_socks_proxy_that_refuses_credentials_or_speaks_another_protocol_is_an_error,
    bytes_after_the_reply_of_a_socks_proxy_are_an_error,
}

const ORIGIN: &str = "https://127.0.0.1:1/";

/// A proxy of each kind that speaks HTTP, with this conduct.
fn of_each_kind(conduct: &Conduct) -> [Proxy; 2] {
    [ProxyOptions::default(), https()]
        .map(|options| start(ProxyOptions { conduct: conduct.clone(), ..options }))
}

/// The error of a GET through this proxy, which must be the proxy's fault and name it.
#[track_caller]
fn refused(form: Form, proxy: &str, origin: &str) -> Error {
    let client = admitted(form, proxy);
    let error = get(&client, origin).map(drop).unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::ProxyFailed, Phase::Proxy), "{error}");
    assert!(error.message().contains(&format!("proxy {proxy}")), "{error}");
    assert!(error.retry_safe(), "nothing reached the origin");
    assert_consistent(&error);
    assert_no_secret(&error);
    let port = proxy.rsplit(':').next().unwrap().parse().unwrap();
    assert_gone(client.manager(), port);
    error
}

fn q4_a_refused_tunnel_is_an_error_with_its_status(form: Form) {
    let html = "<html><body>Your administrator says no.</body></html>";
    let mut messages = HashSet::new();
    for (status, word) in [
        (405, "opens no tunnels"),
        (407, "wants credentials"),
        (403, "does not let us through"),
        (502, "could not reach the origin"),
        (302, "302"),
        (500, "500"),
    ] {
        let headers = vec![("Content-Type".to_owned(), "text/html".to_owned())];
        let refusal = Answer { status, headers, body: html.to_owned() };
        for proxy in of_each_kind(&Conduct::Refuse(refusal)) {
            let error = refused(form, &proxy.url(), ORIGIN);
            assert_eq!(error.status_code(), Some(status));
            assert!(error.message().contains(word), "{error}");
            assert!(!error.message().contains("html"), "{error}");
            assert_eq!(proxy.heads(0).len(), 1, "asked once");
            assert!(messages.insert(error.message().to_owned()));
        }
    }
}

fn q4_a_proxy_that_requires_credentials_is_an_error_of_its_own(form: Form) {
    let [one, other] = [ProxyOptions::default(), https()]
        .map(|options| start(ProxyOptions { credentials: credentials(), ..options }));
    for proxy in [&one, &other] {
        let wrong = proxy.url().replacen("://", "://us:pass-wrong@", 1);
        for client in [through(form, &proxy.url()), through(form, &wrong)] {
            let error = get(&client, ORIGIN).map(drop).unwrap_err();
            assert_eq!((error.kind(), error.status_code()), (Kind::ProxyFailed, Some(407)));
            assert!(error.message().contains("wants credentials"), "{error}");
            assert!(!error.message().contains("pass-wrong"), "{error}");
            // A plain request gets the proxy's own response, as HTTP defines it.
            let mut response = get(&client, "http://127.0.0.1:1/").unwrap();
            assert_eq!(response.status_code(), 407);
            assert!(response.read_all(1000).is_ok());
        }
    }
}

fn q4_a_malformed_answer_to_connect_is_the_proxys_failure(form: Form) {
    let mut messages = HashSet::new();
    for (conduct, words) in [
        (Conduct::EndlessHead, vec!["longer than", "not HTTP"]),
        (Conduct::Extra("junk".into()), vec!["unexpected bytes"]),
        (Conduct::Close(ProxyStep::Accept), vec!["closed", "broke"]),
        (Conduct::Close(ProxyStep::Request), vec!["closed", "broke"]),
    ] {
        for proxy in of_each_kind(&conduct) {
            let origin = Server::start(Script::every(vec![Step::Stall]));
            let error =
                refused(form, &proxy.url(), &format!("https://127.0.0.1:{}/", origin.port()));
            assert_eq!(error.status_code(), None);
            assert!(words.iter().any(|word| error.message().contains(word)), "{error}");
            assert!(messages.insert(error.message().to_owned()));
        }
    }
    // Raw bytes, over TLS and in plain text.
    for (answer, word) in [
        ("<html>no</html>", "not HTTP"),
        ("SSH-2.0-OpenSSH_9.6\r\n", "not HTTP"),
        ("\u{5}\u{1}", "not HTTP"),
        ("HTTP/1.1 200 OK\r\nX: half a", "closed"),
        ("", "closed"),
    ] {
        for tls in [false, true] {
            let script = Script::replying(answer);
            let (proxy, scheme) = match tls {
                false => (Server::start(script), "http"),
                true => (Server::start_tls(Certificate::Good, script), "https"),
            };
            let error = refused(form, &format!("{scheme}://localhost:{}", proxy.port()), ORIGIN);
            assert!(error.message().contains(word), "{answer:?}: {error}");
        }
    }
}

fn q4_a_https_proxy_is_held_to_its_certificate(form: Form) {
    for certificate in [Certificate::Expired, Certificate::WrongHost, Certificate::SelfSigned] {
        let proxy = start(ProxyOptions { tls: Some(certificate), ..ProxyOptions::default() });
        for origin in [ORIGIN, "http://127.0.0.1:1/"] {
            let error = refused(form, &proxy.url(), origin);
            assert!(error.message().contains("certificate is refused"), "{error}");
        }
        assert_eq!(proxy.accepted_order().len(), 0, "no credentials for a stranger");
    }
    // A peer that does not speak TLS, and one that closes.
    let resets = vec![Step::Recv(testserver::Until::Bytes(50)), Step::Rst];
    let speaks_http = vec![Step::send("HTTP/1.1 400 Bad Request\r\n\r\n")];
    for steps in [speaks_http, resets, vec![]] {
        let proxy = Server::start(Script::every(steps));
        refused(form, &format!("https://localhost:{}", proxy.port()), ORIGIN);
    }
}

fn q4_a_tunnel_that_closes_is_an_error_that_names_the_proxy(form: Form) {
    let origin = Server::start(Script::every(vec![Step::Stall]));
    let url = format!("https://localhost:{}/", origin.port());
    let check = |proxy: String| {
        let error = get(&through(form, &proxy), &url).map(drop).unwrap_err();
        assert!(matches!(error.kind(), Kind::PeerClosed | Kind::PeerReset), "{error:?}");
        assert_eq!(error.phase(), Phase::Tls);
        assert!(error.message().contains(&format!("proxy {proxy}")), "{error}");
    };
    for proxy in of_each_kind(&Conduct::Close(ProxyStep::Tunnel)) {
        check(proxy.url());
    }
    let options =
        SocksOptions { conduct: SocksConduct::Close(SocksStep::Tunnel), ..Default::default() };
    check(Socks::start_with(options).unwrap().url("socks5h"));
}

/// Each kind of proxy with each step at which it may be silent, and the phase of that step.
pub(super) fn silences() -> Vec<(String, Silent, Phase)> {
    let mut all = Vec::new();
    for step in [ProxyStep::Accept, ProxyStep::Request, ProxyStep::Tunnel] {
        let phase = if step == ProxyStep::Tunnel { Phase::Tls } else { Phase::Proxy };
        for proxy in of_each_kind(&Conduct::Silent(step)) {
            all.push((format!("{step:?} of {}", proxy.url()), Silent::Http(proxy, step), phase));
        }
    }
    let steps = [
        SocksStep::Accept,
        SocksStep::Greeting,
        SocksStep::Credentials,
        SocksStep::Request,
        SocksStep::Tunnel,
    ];
    for step in steps {
        let phase = if step == SocksStep::Tunnel { Phase::Tls } else { Phase::Proxy };
        let conduct = SocksConduct::Silent(step);
        let options = SocksOptions { conduct, credentials: credentials(), ..Default::default() };
        let socks = Socks::start_with(options).unwrap();
        all.push((format!("{step:?} of SOCKS"), Silent::Socks(socks, step), phase));
    }
    all
}

/// A proxy that stops answering at a step.
pub(super) enum Silent {
    Http(Proxy, ProxyStep),
    Socks(Socks, SocksStep),
}

impl Silent {
    pub(super) fn url(&self) -> String {
        match self {
            Self::Http(proxy, _) => proxy.url(),
            Self::Socks(socks, _) => socks.url("socks5h"),
        }
    }

    pub(super) fn port(&self) -> u16 {
        match self {
            Self::Http(proxy, _) => proxy.port(),
            Self::Socks(socks, _) => socks.port(),
        }
    }

    pub(super) fn ledger(&self) -> &testserver::Ledger {
        match self {
            Self::Http(proxy, _) => proxy,
            Self::Socks(socks, _) => socks,
        }
    }

    /// Whether the proxy has reached that step.
    pub(super) fn is_there(&self) -> bool {
        match self {
            Self::Http(proxy, ProxyStep::Accept) => proxy.connections() > 0,
            Self::Http(proxy, ProxyStep::Request) => proxy.accepted_order().len() == 1,
            Self::Http(proxy, ProxyStep::Tunnel) => proxy.tunnels().len() == 1,
            Self::Socks(socks, SocksStep::Accept) => socks.connections() > 0,
            Self::Socks(socks, SocksStep::Greeting) => socks.asked().len() == 1,
            Self::Socks(socks, SocksStep::Credentials) => {
                socks.asked().iter().any(|asked| asked.credentials.is_some())
            }
            Self::Socks(socks, SocksStep::Request) => {
                socks.asked().iter().any(|asked| asked.command == 1)
            }
            Self::Socks(socks, SocksStep::Tunnel) => socks.tunnels().len() == 1,
        }
    }
}

fn q4_silence_at_each_step_is_ended_by_the_timeout_of_its_phase(form: Form) {
    let origin = Server::start(Script::every(vec![Step::Stall]));
    let url = format!("https://localhost:{}/", origin.port());
    thread::scope(|scope| {
        for (what, proxy, phase) in silences() {
            let url = &url;
            scope.spawn(move || {
                let client = admitted(form, &proxy.url());
                let clock = if phase == Phase::Tls { Timeout::Tls } else { Timeout::Connect };
                client.set_timeout(clock, Some(ms(400))).unwrap();
                let error = get(&client, url).map(drop).unwrap_err();
                assert_timed_out(&error, clock, phase);
                assert!(proxy.is_there(), "{what}");
                assert_no_secret(&error);
                assert_gone(client.manager(), proxy.port());
                assert!(proxy.ledger().wait_ended(0, PATIENCE).is_some(), "{what}");
            });
        }
    });
}

fn q4_every_socks_refusal_has_its_own_message(form: Form) {
    let mut messages = HashSet::new();
    for code in (1..=9).chain([255]) {
        let options = SocksOptions { conduct: SocksConduct::Refuse(code), ..Default::default() };
        let proxy = Socks::start_with(options).unwrap();
        let error = refused(form, &proxy.url("socks5h"), ORIGIN);
        assert_eq!(error.status_code(), None);
        let words = error.message().split("it refused the tunnel: ").nth(1).unwrap().to_owned();
        assert!(messages.insert(words), "{error}");
    }
    // An origin that really refuses the connection, and one that the proxy cannot resolve.
    let proxy = Socks::start();
    let error = refused(form, &proxy.url("socks5"), "http://127.0.0.1:1/");
    assert!(error.message().contains("the origin refused the connection"), "{error}");
    let error = refused(form, &proxy.url("socks5h"), "http://unknown.test/");
    assert!(error.message().contains("host can't be reached"), "{error}");
}

fn q4_a_socks_proxy_that_refuses_credentials_or_speaks_another_protocol_is_an_error(form: Form) {
    let wanting = SocksOptions { credentials: credentials(), ..Default::default() };
    let proxy = Socks::start_with(wanting).unwrap();
    for (user, word) in [("", "wants credentials"), ("us:pass-wrong@", "refuses the user")] {
        let url = proxy.url("socks5h").replacen("://", &format!("://{user}"), 1);
        let error = get(&through(form, &url), ORIGIN).map(drop).unwrap_err();
        assert_eq!((error.kind(), error.phase()), (Kind::ProxyFailed, Phase::Proxy));
        assert!(error.message().contains(word), "{error}");
        assert!(!error.message().contains("pass-"), "{error}");
    }
    let steps = [SocksStep::Greeting, SocksStep::Credentials, SocksStep::Request];
    for step in steps {
        for conduct in [SocksConduct::WrongVersion(step), SocksConduct::Close(step)] {
            let options =
                SocksOptions { conduct, credentials: credentials(), ..Default::default() };
            let proxy = Socks::start_with(options).unwrap();
            let error = refused(form, &proxy.url("socks5h"), ORIGIN);
            let word =
                if matches!(conduct, SocksConduct::Close(_)) { "closed" } else { "no SOCKS" };
            assert!(error.message().contains(word), "{conduct:?}: {error}");
        }
    }
    let conduct = SocksConduct::Close(SocksStep::Accept);
    let proxy = Socks::start_with(SocksOptions { conduct, ..Default::default() }).unwrap();
    refused(form, &proxy.url("socks5h"), ORIGIN);
    // A web server in place of a SOCKS proxy, and bytes after the reply.
    for (bytes, word) in
        [("HTTP/1.1 400 Bad Request\r\n\r\n", "SOCKS"), ("\u{5}\u{0}and more", "out of turn")]
    {
        let steps = vec![Step::Recv(testserver::Until::Bytes(4)), Step::send(bytes), Step::Stall];
        let proxy = Server::start(Script::every(steps));
        let url = format!("socks5h://127.0.0.1:{}", proxy.port());
        let error = refused(form, &url, ORIGIN);
        assert!(error.message().contains(word) || error.message().contains("turn"), "{error}");
    }
}

fn bytes_after_the_reply_of_a_socks_proxy_are_an_error(form: Form) {
    let greeting = Step::Recv(testserver::Until::Bytes(3));
    let open = Step::SendHex(vec![5, 0]);
    let request = Step::Recv(testserver::Until::Bytes(10));
    let mut reply = vec![5, 0, 0, 1, 127, 0, 0, 1, 0, 80];
    reply.extend(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    let steps = vec![greeting, open, request, Step::SendHex(reply), Step::Stall];
    let proxy = Server::start(Script::every(steps));
    let client = through(form, &format!("socks5h://127.0.0.1:{}", proxy.port()));
    let error = get(&client, "http://127.0.0.1:1/").map(drop).unwrap_err();
    assert_eq!(error.kind(), Kind::ProxyFailed);
    assert!(error.message().contains("unexpected bytes"), "{error}");
}
