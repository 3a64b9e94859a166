//! Requests through a proxy: what the proxy can read, where credentials are sent, which proxy is used, and which requests
//! share a connection (Q4, R13). Refusals are in `refusals.rs`, cancels in `cancel.rs`.

#[path = "../support/mod.rs"]
mod support;

mod cancel;
mod refusals;
mod socks;

use std::net::IpAddr;

use hangup::{Body, CloseMode, Error, EventKind, Kind, Phase, Request};
use testserver::{
    Certificate, Options, Proxy, ProxyOptions, Script, Server, Socks, SocksAddress, SocksConduct,
    SocksOptions, Step,
};

use crate::support::form::{Client, Form, in_both_forms};
use crate::support::own_process::in_own_process;
use crate::support::{PATIENCE, fetch, get, post, request};

in_both_forms! {
    a_tunnel_to_an_https_origin_is_opened_once_and_hides_the_request_from_the_proxy,
    a_plain_request_goes_to_the_proxy_and_proxy_credentials_stay_there,
    large_bodies_pass_in_both_directions_through_tls_in_tls,
    a_socks_proxy_gets_a_name_or_an_address,
    socks_without_credentials_offers_none,
    r13_another_proxy_is_another_connection_and_the_same_proxy_the_same,
    hosts_in_no_proxy_are_connected_to_directly,
    proxy_credentials_are_not_sent_to_an_origin_without_a_proxy,
    proxies_come_from_the_environment_unless_it_is_ignored,
    an_unknown_entry_of_the_environments_no_proxy_is_passed_over_with_an_event,
    an_unreachable_proxy_is_named_without_its_credentials,
}

/// The secrets that only proxies may get: the password, and the Basic encoding of both credentials.
const SECRETS: [&str; 2] = ["pass-proxy", "dXM6cGFzcy1wcm94eQ=="];

/// The credentials that the proxies require.
fn credentials() -> Option<(String, String)> {
    Some(("us".into(), "pass-proxy".into()))
}

/// A proxy's URL with its credentials.
fn with_credentials(url: &str) -> String {
    url.replacen("://", "://us:pass-proxy@", 1)
}

fn start(options: ProxyOptions) -> Proxy {
    Proxy::start_with(options).unwrap()
}

fn https() -> ProxyOptions {
    ProxyOptions { tls: Some(Certificate::Good), ..ProxyOptions::default() }
}

/// A proxy of each kind that speaks HTTP. Each requires credentials.
fn both() -> [Proxy; 2] {
    [ProxyOptions::default(), https()]
        .map(|options| start(ProxyOptions { credentials: credentials(), ..options }))
}

/// A client that trusts the test CA, through this proxy.
fn through(form: Form, proxy: &str) -> Client {
    let client = form.tls_client();
    client.set_proxy(Some(proxy)).unwrap();
    client
}

/// A client that trusts the test CA and uses this proxy with its credentials.
fn admitted(form: Form, proxy: &str) -> Client {
    through(form, &with_credentials(proxy))
}

/// GET with credentials for the origin, and others for proxies that the caller made up.
fn private(url: &str) -> Request {
    let mut request = request("GET", url);
    request.add_header("Authorization", "Bearer for-the-origin").unwrap();
    request
}

fn text(body: Vec<u8>) -> String {
    String::from_utf8(body).unwrap()
}

/// Asserts that no text of an error contains a proxy's credentials.
#[track_caller]
fn assert_no_secret(error: &Error) {
    let shown = format!("{error} {error:?}");
    assert!(SECRETS.iter().all(|secret| !shown.contains(secret)), "{shown}");
}

fn a_tunnel_to_an_https_origin_is_opened_once_and_hides_the_request_from_the_proxy(form: Form) {
    for proxy in both() {
        let origin = Server::start_tls(Certificate::Good, Script::echoing());
        let client = admitted(form, &proxy.url());
        let url = origin.url("/path");
        for _ in 0..3 {
            let mut request = private(&url);
            request.add_header("Proxy-Authorization", "Mine").unwrap();
            let head = text(client.send(&mut request).unwrap().read_all(10_000).unwrap());
            assert!(head.starts_with("GET /path HTTP/1.1\r\n"), "{head}");
            assert!(head.contains("Bearer for-the-origin"), "{head}");
            assert!(!head.to_lowercase().contains("proxy-"), "{head}");
        }
        let said = proxy.heads(0);
        assert_eq!((said.len(), proxy.connections(), origin.connections()), (1, 1, 1));
        let to = format!("localhost:{}", origin.port());
        let start = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
        assert!(said[0].starts_with(&start), "{}", said[0]);
        assert!(said[0].contains("Proxy-Authorization: Basic dXM6cGFzcy1wcm94eQ==\r\n"));
        assert!(!said[0].contains("for-the-origin") && !said[0].contains("Mine"), "{}", said[0]);
        assert_eq!(proxy.tunnels(), [to]);
        let open = client.manager().connections();
        assert_eq!((open.len(), open[0].requests), (1, 3));
        assert_eq!(open[0].peer.map(|peer| peer.port()), Some(proxy.port()));
        assert!(open[0].tls.is_some());
        // Both the proxy and the origin see the close.
        client.manager().close_all(CloseMode::Now);
        assert!(proxy.wait_ended(0, PATIENCE).is_some());
        assert!(origin.wait_ended(0, PATIENCE).is_some());
    }
}

fn a_plain_request_goes_to_the_proxy_and_proxy_credentials_stay_there(form: Form) {
    for proxy in both() {
        let origin = Server::start(Script::echoing());
        let client = admitted(form, &proxy.url());
        let url = origin.url("/path?query");
        for _ in 0..2 {
            let head = text(client.send(&mut private(&url)).unwrap().read_all(10_000).unwrap());
            assert!(head.starts_with("GET /path?query HTTP/1.1\r\n"), "{head}");
            assert!(head.contains("Bearer for-the-origin"), "{head}");
            assert!(!head.to_lowercase().contains("proxy-authorization"), "{head}");
        }
        assert_eq!((proxy.connections(), proxy.tunnels().len()), (1, 0));
        let (said, host) = (proxy.heads(0), format!("host: 127.0.0.1:{}\r\n", origin.port()));
        assert_eq!(said.len(), 2, "the second request goes over the same connection");
        for head in said {
            assert!(head.starts_with(&format!("GET {url} HTTP/1.1\r\n")), "{head}");
            assert!(head.to_lowercase().contains(&host), "{head}");
            assert!(head.contains("Basic dXM6cGFzcy1wcm94eQ==\r\n"), "{head}");
        }
        let open = client.manager().connections();
        assert_eq!((open.len(), open[0].tls), (1, None), "the origin is spoken to in the clear");
    }
}

fn large_bodies_pass_in_both_directions_through_tls_in_tls(form: Form) {
    let size = 3_000_000;
    let steps = vec![
        Step::head(),
        Step::body(),
        Step::send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")),
        Step::Fill { bytes: size, byte: 'x' },
    ];
    let origin = Server::start_tls(Certificate::Good, Script::every(vec![Step::forever(steps)]));
    let proxy = start(https());
    let client = through(form, &proxy.url());
    for _ in 0..2 {
        let mut post = post(&origin.url("/"), Body::bytes(&[b'y'; 2_000_000]));
        let body = client.send(&mut post).unwrap().read_all(usize::MAX).unwrap();
        assert!(body.len() as u64 == size && body.iter().all(|byte| *byte == b'x'));
    }
    assert!(origin.bodies(0).iter().all(|body| *body == [b'y'; 2_000_000]));
    assert_eq!((origin.connections(), proxy.tunnels().len()), (1, 1));
    let open = client.manager().connections();
    assert!(open[0].bytes_out > 4_000_000 && open[0].bytes_in > 2 * size);
}

fn a_socks_proxy_gets_a_name_or_an_address(form: Form) {
    let v4 = Server::start(Script::echoing());
    let v6 = Options { ipv6: true, ..Options::default() };
    let v6 = Server::start_with(v6, Script::echoing()).unwrap();
    let secure = Server::start_tls(Certificate::Good, Script::echoing());
    let local = |ip: &str| vec![ip.parse::<IpAddr>().unwrap()];
    for (scheme, url, resolved, kind, host) in [
        (
            "socks5h",
            format!("http://only-there.test:{}/", v4.port()),
            None,
            SocksAddress::Name,
            "only-there.test",
        ),
        ("socks5h", secure.url("/"), None, SocksAddress::Name, "localhost"),
        ("socks5", secure.url("/"), Some("127.0.0.1"), SocksAddress::Ipv4, "127.0.0.1"),
        (
            "socks5",
            format!("http://here.test:{}/", v4.port()),
            Some("127.0.0.1"),
            SocksAddress::Ipv4,
            "127.0.0.1",
        ),
        (
            "socks5",
            format!("http://here.test:{}/", v6.port()),
            Some("::1"),
            SocksAddress::Ipv6,
            "::1",
        ),
        ("socks5h", v6.url("/"), None, SocksAddress::Ipv6, "::1"),
    ] {
        for bound in [SocksAddress::Ipv4, SocksAddress::Name, SocksAddress::Ipv6] {
            let hosts = [("only-there.test".to_owned(), "127.0.0.1:0".parse().unwrap())].into();
            let options = SocksOptions {
                credentials: credentials(),
                hosts,
                conduct: SocksConduct::Bound(bound),
                ..SocksOptions::default()
            };
            let proxy = Socks::start_with(options).unwrap();
            let client = admitted(form, &proxy.url(scheme));
            if let Some(ip) = resolved {
                let name = if url.contains("here.test") { "here.test" } else { "localhost" };
                client.manager().set_address(name, &local(ip)).unwrap();
            }
            for _ in 0..2 {
                let mut request = private(&url);
                request.add_header("Proxy-Authorization", "Mine").unwrap();
                let head = text(client.send(&mut request).unwrap().read_all(10_000).unwrap());
                assert!(head.contains("Bearer for-the-origin"), "{head}");
                assert!(!head.to_lowercase().contains("proxy-"), "{head}");
            }
            let asked = proxy.asked();
            assert_eq!(asked.len(), 1, "one tunnel for both");
            assert_eq!(asked[0].methods, [0, 2]);
            assert_eq!(asked[0].credentials, credentials());
            assert_eq!(asked[0].command, 1);
            assert_eq!((asked[0].kind, asked[0].host.as_str()), (Some(kind), host), "{url}");
            assert!(url.contains(&format!(":{}/", asked[0].port)));
        }
    }
}

fn socks_without_credentials_offers_none(form: Form) {
    let origin = Server::start(Script::answering("ok"));
    let proxy = Socks::start();
    assert_eq!(fetch(&through(form, &proxy.url("socks5h")), &origin.url("/")).unwrap(), b"ok");
    let asked = proxy.asked();
    assert_eq!((&asked[0].methods, &asked[0].credentials), (&vec![0], &None));
}

fn r13_another_proxy_is_another_connection_and_the_same_proxy_the_same(form: Form) {
    let plain = Server::start(Script::answering("ok"));
    let secure = Server::start_tls(Certificate::Good, Script::answering("ok"));
    let (one, other) = (Proxy::start(), Proxy::start());
    let encrypted = start(https());
    let socks = Socks::start();
    for origin in [&plain, &secure] {
        let client = form.tls_client();
        let ways: Vec<(Option<String>, Option<IpAddr>)> = vec![
            (None, None),
            (Some(one.url()), None),
            (Some(with_credentials(&one.url())), None),
            (Some(one.url().replacen("://", "://us:other@", 1)), None),
            (Some(other.url()), None),
            (Some(encrypted.url()), None),
            (Some(socks.url("socks5")), None),
            (Some(socks.url("socks5h")), None),
            (None, "127.0.0.9".parse().ok()),
            (Some(one.url()), "127.0.0.9".parse().ok()),
        ];
        let mut ids = Vec::new();
        for round in 0..2 {
            for (number, (proxy, local)) in ways.iter().enumerate() {
                client.set_proxy(proxy.as_deref()).unwrap();
                client.set_local_address(*local);
                // "localhost" may resolve to IPv6 first, which cannot use 127.0.0.9 as its local address.
                let ip = "127.0.0.1".parse().unwrap();
                client.manager().set_address("localhost", &[ip]).unwrap();
                let mut response = get(&client, &origin.url("/")).unwrap();
                assert_eq!(response.read_all(10).unwrap(), b"ok");
                let way = format!("{proxy:?} from {local:?}");
                assert_eq!(response.reused(), round == 1, "{way}");
                if round == 0 {
                    assert!(!ids.contains(&response.connection_id()), "{way}");
                    ids.push(response.connection_id());
                }
                assert_eq!(response.connection_id(), ids[number], "{way}");
            }
        }
        let open = client.manager().connections();
        assert_eq!(open.len(), ways.len());
        let from = |at: usize| open[at].local.map(|local| local.ip().to_string());
        assert_eq!(from(8).as_deref(), Some("127.0.0.9"));
        assert_eq!(from(9).as_deref(), Some("127.0.0.9"));
        // Another client with the same settings shares the connection.
        let same = client.sibling();
        same.set_tls_roots(testserver::certs().ca().as_bytes()).unwrap();
        same.set_proxy(Some(&with_credentials(&one.url()))).unwrap();
        assert_eq!(get(&same, &origin.url("/")).unwrap().connection_id(), ids[2]);
    }
}

fn hosts_in_no_proxy_are_connected_to_directly(form: Form) {
    let (origin, proxy) = (Server::start(Script::answering("ok")), Proxy::start());
    let port = origin.port();
    let client = through(form, &proxy.url());
    for name in ["corp.test", "www.corp.test", "notcorp.test"] {
        client.manager().set_address(name, &["127.0.0.1".parse().unwrap()]).unwrap();
    }
    let mut asked = 0;
    for (list, host, direct) in [
        ("corp.test", "corp.test", true),
        ("corp.test", "www.corp.test", true),
        (".corp.test", "WWW.corp.test", true),
        ("*.corp.test", "www.corp.test", true),
        ("corp.test", "notcorp.test", false),
        ("10.0.0.0/8, 127.0.0.0/8", "127.0.0.1", true),
        ("127.0.0.0/31", "127.0.0.1", true),
        ("10.0.0.0/8", "127.0.0.1", false),
        // A network in no_proxy matches addresses only: names are not looked up for it.
        ("127.0.0.0/8", "corp.test", false),
        (&format!("corp.test:{port}"), "corp.test", true),
        ("corp.test:1", "corp.test", false),
        (&format!("127.0.0.0/8:{port}"), "127.0.0.1", true),
        ("127.0.0.0/8:1", "127.0.0.1", false),
        ("*", "notcorp.test", true),
        ("", "corp.test", false),
    ] {
        client.set_no_proxy(list).unwrap();
        let outcome = get(&client, &format!("http://{host}:{port}/")).unwrap();
        // The proxy cannot resolve the name and reports that.
        let by_name = host.ends_with(".test");
        assert_eq!(
            outcome.status_code(),
            if direct || !by_name { 200 } else { 502 },
            "{list}: {host}"
        );
        asked += usize::from(!direct);
        assert_eq!(proxy.accepted_order().len(), asked, "{list:?} for {host}");
    }
    let error = client.set_no_proxy("10.0.0.0/33").unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidArgument);
}

fn proxy_credentials_are_not_sent_to_an_origin_without_a_proxy(form: Form) {
    let proxy = Server::start(Script::echoing());
    let plain = Server::start(Script::echoing());
    let secure = Server::start_tls(Certificate::Good, Script::echoing());
    let client = through(form, &proxy.url("/"));
    client.set_header("Proxy-Authorization", Some("Basic pass-proxy")).unwrap();
    client.manager().set_address("origin.test", &["127.0.0.1".parse().unwrap()]).unwrap();
    let says = |url: &str, own: bool| {
        let mut request = request("GET", url);
        if own {
            request.add_header("Proxy-Authorization", "Basic pass-proxy").unwrap();
        }
        text(client.send(&mut request).unwrap().read_all(4096).unwrap()).contains("pass-proxy")
    };
    for own in [false, true] {
        client.set_no_proxy("127.0.0.1, localhost").unwrap();
        assert!(says("http://origin.test/", own), "the proxy gets it");
        assert!(!says(&plain.url("/"), own) && !says(&secure.url("/"), own));
        client.set_no_proxy("").unwrap();
        assert!(says(&plain.url("/"), own), "the proxy gets it");
    }
    client.set_proxy(None).unwrap();
    for own in [false, true] {
        assert!(!says(&plain.url("/"), own) && !says(&secure.url("/"), own));
    }
}

fn proxies_come_from_the_environment_unless_it_is_ignored(form: Form) {
    in_own_process(&form.name("proxies_come_from_the_environment_unless_it_is_ignored"), || {
        let plain = Server::start(Script::answering("ok"));
        let secure = Server::start_tls(Certificate::Good, Script::answering("ok"));
        let [one, other] = both();
        // SAFETY: no other thread of this process reads the environment meanwhile.
        let set = |name: &str, value: &str| unsafe { std::env::set_var(name, value) };
        let counts = || (one.accepted_order().len(), other.accepted_order().len());
        let ask = |client: &Client| {
            client.set_tls_roots(testserver::certs().ca().as_bytes()).unwrap();
            let all = [plain.url("/"), secure.url("/")];
            all.iter().for_each(|url| assert_eq!(fetch(client, url).unwrap(), b"ok"));
            counts()
        };
        let before = form.client();
        set("http_proxy", &with_credentials(&one.url()));
        set("HTTPS_PROXY", &with_credentials(&other.url()));
        assert_eq!(ask(&before), (0, 0), "the environment is read when a client is made");
        assert_eq!(ask(&form.client()), (1, 1));
        before.set_proxy_from_env();
        assert_eq!(ask(&before), (2, 2), "or when that is asked for");
        let ignoring = form.client();
        ignoring.set_proxy(None).unwrap();
        assert_eq!(ask(&ignoring), (2, 2));
        set("no_proxy", "127.0.0.1");
        assert_eq!(ask(&form.client()), (2, 3), "the list has the plain origin only");
        let own = form.client();
        own.set_no_proxy("localhost").unwrap();
        assert_eq!(ask(&own), (3, 3), "a list of one's own counts instead");
        // With a proxy set by the client the environment's exceptions do not apply.
        let named = form.client();
        named.set_proxy(Some(&with_credentials(&one.url()))).unwrap();
        assert_eq!(ask(&named), (5, 3));
        set("HTTPS_PROXY", "ftp://us:pass-proxy@nowhere.test");
        let error = get(&form.client(), &secure.url("/")).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument);
        assert!(error.message().contains("HTTPS_PROXY"), "{error}");
        assert_no_secret(&error);
        set("no_proxy", "localhost");
        set("https_proxy", &with_credentials(&other.url()));
        assert_eq!(ask(&form.client()), (6, 3));
    });
}

fn an_unknown_entry_of_the_environments_no_proxy_is_passed_over_with_an_event(form: Form) {
    let test = "an_unknown_entry_of_the_environments_no_proxy_is_passed_over_with_an_event";
    in_own_process(&form.name(test), || {
        let origin = Server::start(Script::answering("ok"));
        let proxy = Proxy::start();
        // SAFETY: no other thread of this process reads the environment meanwhile.
        let set = |name: &str, value: &str| unsafe { std::env::set_var(name, value) };
        // A path says nothing about a proxy.
        set("http_proxy", &format!("{}/a/path", proxy.url()));
        set("no_proxy", "/var/run/docker.sock,127.0.0.1:1 192.168.*,http://us:pass-proxy@x");
        let client = form.client();
        let ignored = ["/var/run/docker.sock", "192.168.*", "http://***@x"];
        assert_eq!(client.ignored_no_proxy(), ignored);
        assert_eq!(fetch(&client, &origin.url("/")).unwrap(), b"ok");
        assert_eq!(proxy.accepted_order().len(), 1);
        // It is reported when there is a subscription to report it to, and once.
        let mut events = client.manager().events(100).unwrap();
        let mut reports = || {
            let next = || events.next(Some(std::time::Duration::ZERO)).unwrap();
            let all = std::iter::from_fn(next);
            all.filter(|event| event.kind == EventKind::NoProxyIgnored).collect::<Vec<_>>()
        };
        for _ in 0..2 {
            assert_eq!(fetch(&client, &origin.url("/")).unwrap(), b"ok");
        }
        let reported = reports();
        assert_eq!((reported.len(), reported[0].connection), (1, 0));
        assert_eq!(format!("{}/", reported[0].origin), origin.url("/"));
        let mine = client.sibling();
        mine.set_no_proxy("127.0.0.1").unwrap();
        mine.set_proxy(None).unwrap();
        assert!(mine.ignored_no_proxy().is_empty());
        assert_eq!(fetch(&mine, &origin.url("/")).unwrap(), b"ok");
        assert!(reports().is_empty());
        let error = mine.set_no_proxy("localhost, 192.168.*").unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument);
    });
}

fn an_unreachable_proxy_is_named_without_its_credentials(form: Form) {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (scheme, url) in [
        ("http", "http://origin.test/"),
        ("http", "https://origin.test/"),
        ("https", "https://origin.test/"),
        ("socks5h", "http://origin.test/"),
    ] {
        let client = admitted(form, &format!("{scheme}://{dead}"));
        let error = get(&client, url).unwrap_err();
        assert_eq!((error.kind(), error.phase()), (Kind::ConnectFailed, Phase::Connect), "{error}");
        assert_eq!(error.os_code(), Some(libc::ECONNREFUSED));
        assert!(error.message().contains(&format!("proxy {scheme}://{dead}")), "{error}");
        assert!(error.message().contains("origin.test"), "{error}");
        assert_no_secret(&error);
        let client = admitted(form, &format!("{scheme}://no-such-proxy.test:1"));
        client
            .manager()
            .set_resolver(Some(std::sync::Arc::new(|host: &str| Err(format!("no {host}")))));
        let error = get(&client, url).unwrap_err();
        assert_eq!((error.kind(), error.phase()), (Kind::ResolveFailed, Phase::Resolve), "{error}");
        let named = format!("proxy {scheme}://no-such-proxy.test:1");
        assert!(error.message().contains(&named), "{error}");
        assert_no_secret(&error);
    }
}
