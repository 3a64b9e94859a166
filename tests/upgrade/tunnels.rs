//! CONNECT of the caller, and upgrades through a proxy.

use hangup::{CloseReason, Kind, Request};
use testserver::{
    Certificate, Options, Proxy, ProxyOptions, Script, Server, Socks, SocksOptions, Step,
};

use super::{asking, assert_closed, both, echo, open};
use crate::support::form::{Form, in_both_forms};
use crate::support::inspect::assert_gone;

in_both_forms! {
    u9_connect_makes_a_tunnel_through_the_proxy_that_the_url_names,
    u9_the_proxy_gets_the_credentials_of_the_url,
    u9_a_refused_tunnel_is_an_ordinary_response,
    u9_the_fields_of_a_successful_connect_have_no_meaning_for_a_body,
    u9_an_upgrade_goes_through_a_proxy_in_a_tunnel,
}

#[test]
fn u9_the_target_of_a_tunnel_is_a_host_and_a_port() {
    for target in ["example.org:443", "127.0.0.1:1", "[::1]:65535", "a-b.c:8080"] {
        assert_eq!(Request::connect("http://proxy:3128", target).unwrap().method(), "CONNECT");
    }
    for target in [
        "",
        "example.org",
        ":443",
        "example.org:",
        "example.org:0",
        "example.org:65536",
        "example.org:+1",
        "::1:80",
        "[::1]",
        "a b:1",
        "a\r\nb:1",
        "user@host:1",
        "host/path:1",
        "http://host:1",
    ] {
        let error = Request::connect("http://proxy:3128", target).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidUrl, "{target:?}");
    }
    let error = Request::new("CONNECT", "http://proxy:3128/").unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidMethod);
    assert!(error.message().contains("Request::connect"), "{error}");
}

fn u9_connect_makes_a_tunnel_through_the_proxy_that_the_url_names(form: Form) {
    let tls = ProxyOptions { tls: Some(Certificate::Good), ..ProxyOptions::default() };
    for proxy in [ProxyOptions::default(), tls] {
        let proxy = Proxy::start_with(proxy).unwrap();
        let origin = Server::start(Script::every(vec![Step::send("welcome "), Step::Echo]));
        let client = form.tls_client();
        let target = format!("127.0.0.1:{}", origin.port());
        let mut request = Request::connect(&proxy.url(), &target).unwrap();
        let mut response = client.send(&mut request).unwrap();
        assert_eq!(response.status_code(), 200);
        let stream = response.take_stream().unwrap();
        assert_eq!(stream.read_exactly(8).unwrap(), b"welcome ");
        stream.write_all(b"and back").unwrap();
        assert_eq!(stream.read_exactly(8).unwrap(), b"and back");
        let said = &proxy.heads(0)[0];
        assert!(said.starts_with(&format!("CONNECT {target} HTTP/1.1\r\n")), "{said}");
        assert!(said.to_lowercase().contains(&format!("host: {target}\r\n")), "{said}");
        assert!(!said.to_lowercase().contains("accept-encoding"), "{said}");
        let id = stream.connection_id();
        drop(stream);
        assert_eq!(client.manager().close_reason(id), Some(CloseReason::StreamClosed));
        assert_gone(client.manager(), proxy.port());
    }
}

fn u9_the_proxy_gets_the_credentials_of_the_url(form: Form) {
    let credentials = Some(("us".into(), "pass-proxy".into()));
    let options = ProxyOptions { credentials, ..ProxyOptions::default() };
    let proxy = Proxy::start_with(options).unwrap();
    let origin = Server::start(Script::every(vec![Step::Echo]));
    let target = format!("127.0.0.1:{}", origin.port());
    let client = form.client();
    let url = proxy.url().replacen("://", "://us:pass-proxy@", 1);
    let mut response = client.send(&mut Request::connect(&url, &target).unwrap()).unwrap();
    assert_eq!(response.status_code(), 200);
    let stream = response.take_stream().unwrap();
    stream.write_all(b"x").unwrap();
    assert_eq!(stream.read(1).unwrap(), b"x");
    assert!(proxy.heads(0)[0].contains("Basic dXM6cGFzcy1wcm94eQ=="), "{:?}", proxy.heads(0));
    // Without them it is an ordinary response.
    let mut refused = client.send(&mut Request::connect(&proxy.url(), &target).unwrap()).unwrap();
    assert_eq!(refused.status_code(), 407);
    assert_eq!(refused.take_stream().unwrap_err().kind(), Kind::InvalidState);
}

fn u9_a_refused_tunnel_is_an_ordinary_response(form: Form) {
    let refusing = vec![Step::answer(403, "not there"), Step::answer(302, "")];
    let server = Server::start(Script::every(vec![Step::forever(refusing)]));
    let client = form.client();
    let mut request = Request::connect(&server.url("/"), "example.org:443").unwrap();
    let mut response = client.send(&mut request).unwrap();
    assert_eq!(response.status_code(), 403);
    assert_eq!(response.take_stream().unwrap_err().kind(), Kind::InvalidState);
    assert_eq!(response.read_all(100).unwrap(), b"not there");
    assert_eq!(client.manager().stats().idle, 1);
    // A redirect is not followed.
    assert_eq!(client.send(&mut request).unwrap().status_code(), 302);
    assert_eq!(server.connections(), 1);
}

fn u9_the_fields_of_a_successful_connect_have_no_meaning_for_a_body(form: Form) {
    let open = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nearly";
    for server in both(&Script::every(vec![Step::head(), Step::send(open), Step::Echo])) {
        let client = form.tls_client();
        let mut request = Request::connect(&server.url("/"), "example.org:443").unwrap();
        let mut response = client.send(&mut request).unwrap();
        assert_eq!(response.read_all(10).unwrap(), b"");
        let stream = response.take_stream().unwrap();
        assert_eq!(stream.read_exactly(5).unwrap(), b"early");
        stream.write_all(b"x").unwrap();
        assert_eq!(stream.read(1).unwrap(), b"x");
        let id = stream.connection_id();
        stream.close();
        assert_closed(&client, &server, id, CloseReason::StreamClosed);
    }
}

fn u9_an_upgrade_goes_through_a_proxy_in_a_tunnel(form: Form) {
    let https = ProxyOptions { tls: Some(Certificate::Good), ..ProxyOptions::default() };
    for options in [ProxyOptions::default(), https] {
        for server in both(&echo()) {
            let proxy = Proxy::start_with(options.clone()).unwrap();
            let client = form.tls_client();
            client.set_proxy(Some(&proxy.url())).unwrap();
            let stream = open(&client, &server);
            stream.write_all(&[7; 100_000]).unwrap();
            assert_eq!(stream.read_exactly(100_000).unwrap(), [7; 100_000]);
            assert_eq!((proxy.heads(0).len(), proxy.tunnels().len()), (1, 1));
            let head = server.heads(0).remove(0);
            assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
            stream.close();
            assert_gone(client.manager(), proxy.port());
        }
    }
    let socks = Socks::start_with(SocksOptions::default()).unwrap();
    for server in both(&echo()) {
        let client = form.tls_client();
        client.set_proxy(Some(&socks.url("socks5h"))).unwrap();
        let stream = open(&client, &server);
        stream.write_all(b"x").unwrap();
        assert_eq!(stream.read(1).unwrap(), b"x");
    }
    // A Unix-domain socket needs no proxy.
    let options = Options { unix: true, ..Options::default() };
    let server = Server::start_with(options, echo()).unwrap();
    let client = form.client();
    client.set_proxy(Some("http://127.0.0.1:1")).unwrap();
    let path = server.socket_path().unwrap().to_string_lossy().replace('/', "%2F");
    let mut request = asking(&format!("http+unix://{path}/"));
    let stream = client.send(&mut request).unwrap().take_stream().unwrap();
    stream.write_all(b"x").unwrap();
    assert_eq!(stream.read(1).unwrap(), b"x");
}
