//! The proxy and the SOCKS server against plain sockets: what passes, what is refused, what is
//! recorded.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use testserver::{
    Addresses, Answer, BlackHole, Certificate, Conduct, Ended, Hosts, Manner, Proxy, ProxyOptions,
    ProxyStep, Script, Server, Socks, SocksAddress, SocksConduct, SocksOptions, SocksStep, Step,
    Until, certs,
};

const SOON: Duration = Duration::from_secs(5);

fn connect(addr: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(addr).unwrap();
    tcp.set_read_timeout(Some(SOON)).unwrap();
    tcp
}

fn read_some(from: &mut impl Read) -> String {
    let mut block = [0; 4096];
    let got = from.read(&mut block).unwrap();
    String::from_utf8_lossy(&block[..got]).into_owned()
}

/// Reads until the text ends so.
fn read_to(from: &mut impl Read, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let more = read_some(from);
        assert!(!more.is_empty(), "{text:?}");
        text.push_str(&more);
    }
    text
}

fn names(server: &Server) -> Hosts {
    [("origin.test".to_owned(), server.addr())].into()
}

fn proxy(conduct: Conduct, hosts: Hosts) -> Proxy {
    Proxy::start_with(ProxyOptions { conduct, hosts, ..ProxyOptions::default() }).unwrap()
}

/// Opens a tunnel; what comes after the 200 is yet unread.
fn tunnel(proxy: &Proxy, to: &str) -> TcpStream {
    let mut tcp = connect(proxy.addr());
    write!(tcp, "CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tcp.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head));
    tcp
}

#[test]
fn a_tunnel_leads_to_the_origin_and_ends_with_the_client() {
    let server = Server::start(Script::answering("through"));
    let proxy = proxy(Conduct::Forward, names(&server));
    let mut tcp = tunnel(&proxy, "origin.test:443");
    for _ in 0..2 {
        tcp.write_all(b"GET /in HTTP/1.1\r\nHost: origin.test\r\n\r\n").unwrap();
        assert!(read_to(&mut tcp, "through").starts_with("HTTP/1.1 200 "));
    }
    assert_eq!((proxy.tunnels(), proxy.open_tunnels()), (vec!["origin.test:443".to_owned()], 1));
    assert_eq!((proxy.heads(0).len(), server.heads(0).len()), (1, 2));
    drop(tcp);
    assert_eq!(proxy.wait_ended(0, SOON).unwrap().0, Ended::Fin);
    assert_eq!(server.wait_ended(0, SOON).unwrap().0, Ended::Fin);
    assert!(proxy.wait_idle(SOON));
    assert_eq!((proxy.tunnels().len(), proxy.open_tunnels()), (1, 0));
}

#[test]
fn a_tunnel_passes_fin_and_rst_both_ways() {
    let lists = vec![
        vec![Step::eof(), Step::send("heard you out")],
        vec![Step::Recv(Until::Bytes(1)), Step::Rst],
        vec![Step::send("unread"), Step::mark("sent"), Step::Stall],
    ];
    let server = Server::start(Script::new(lists));
    let proxy = proxy(Conduct::Forward, Hosts::new());
    let to = server.addr().to_string();
    let mut half = tunnel(&proxy, &to);
    half.write_all(b"and now the end").unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to(&mut half, "out"), "heard you out");
    assert_eq!(half.read(&mut [0]).unwrap(), 0);
    assert_eq!(server.received(0), b"and now the end");
    let mut reset = tunnel(&proxy, &to);
    reset.write_all(b"x").unwrap();
    let error = reset.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let unread = tunnel(&proxy, &to);
    unread.peek(&mut [0]).unwrap();
    drop(unread);
    assert_eq!(proxy.wait_ended(2, SOON).unwrap().0, Ended::Rst);
    assert!(server.wait_ended(2, SOON).is_some());
}

#[test]
fn a_tunnel_moves_much_both_ways_at_once() {
    const MUCH: usize = 8 << 20;
    let fill = Step::Fill { bytes: MUCH as u64, byte: 'x' };
    let lists = vec![fill, Step::Recv(Until::Bytes(MUCH as u64)), Step::mark("all")];
    let server = Server::start(Script::every(lists));
    let proxy = proxy(Conduct::Forward, Hosts::new());
    let tcp = tunnel(&proxy, &server.addr().to_string());
    let mut up = tcp.try_clone().unwrap();
    let sender = thread::spawn(move || up.write_all(&vec![b'y'; MUCH]).unwrap());
    let mut got = Vec::new();
    (&tcp).take(MUCH as u64).read_to_end(&mut got).unwrap();
    sender.join().unwrap();
    assert!(got.len() == MUCH && got.iter().all(|byte| *byte == b'x'));
    assert!(server.wait_mark("all", SOON));
}

#[test]
fn plain_requests_are_forwarded_on_a_kept_connection() {
    let server = Server::start(Script::by_path([
        ("/answer", vec![Step::answer(200, "by length")]),
        ("/post", vec![Step::answer(201, "posted")]),
        (
            "/chunks",
            vec![
                Step::head(),
                Step::send(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
                ),
            ],
        ),
        (
            "/close",
            vec![Step::head(), Step::send("HTTP/1.0 200 OK\r\n\r\nto the end"), Step::Close],
        ),
    ]));
    let proxy = proxy(Conduct::Forward, names(&server));
    let mut tcp = connect(proxy.addr());
    let mut ask = |line: &str, end: &str| {
        let text =
            format!("{line} HTTP/1.1\r\nHost: origin.test\r\nProxy-Authorization: Basic eA==");
        let (head, body) = match line.starts_with("POST") {
            true => {
                ("\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue", "1\r\nz\r\n0\r\n\r\n")
            }
            false => ("", ""),
        };
        write!(tcp, "{text}{head}\r\n\r\n{body}").unwrap();
        read_to(&mut tcp, end)
    };
    assert!(ask("GET http://origin.test/answer?a", "by length").contains("Content-Length: 9\r\n"));
    assert!(ask("HEAD http://origin.test/answer", "\r\n\r\n").contains("Content-Length: 9\r\n"));
    let posted = ask("POST http://origin.test/post", "posted");
    assert!(posted.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 "), "{posted}");
    ask("GET http://origin.test/chunks", "2\r\nab\r\n0\r\n\r\n");
    assert!(ask("GET http://origin.test/close", "to the end").contains("Connection: close\r\n"));
    assert_eq!(tcp.read(&mut [0]).unwrap(), 0);
    assert_eq!((proxy.connections(), proxy.heads(0).len()), (1, 5));
    assert!(server.heads(0)[0].starts_with("GET /answer?a HTTP/1.1\r\nHost: origin.test\r\n"));
    assert!(server.accepted_order().iter().all(|(_, head)| !head.contains("Proxy-")));
    assert_eq!(server.bodies(2), [b"z"]);
    assert!(proxy.accepted_order().iter().all(|(_, head)| head.contains("Proxy-Authorization")));
}

#[test]
fn a_client_that_leaves_takes_the_origins_connection_along() {
    let server = Server::start(Script::every(vec![Step::head(), Step::mark("in"), Step::Stall]));
    let proxy = proxy(Conduct::Forward, names(&server));
    let mut tcp = connect(proxy.addr());
    tcp.write_all(b"GET http://origin.test/ HTTP/1.1\r\n\r\n").unwrap();
    assert!(server.wait_mark("in", SOON));
    drop(tcp);
    assert_eq!(proxy.wait_ended(0, SOON).unwrap().0, Ended::Fin);
    assert!(server.wait_ended(0, SOON).is_some());
    // A dial that hangs, too.
    let hole = BlackHole::new();
    let mut tcp = connect(proxy.addr());
    write!(tcp, "CONNECT {} HTTP/1.1\r\n\r\n", hole.addr()).unwrap();
    assert!(proxy.wait_heads(2, SOON));
    drop(tcp);
    assert_eq!(proxy.wait_ended(1, SOON).unwrap().0, Ended::Fin);
}

#[test]
fn credentials_are_asked_for() {
    let server = Server::start(Script::answering("in"));
    let options = ProxyOptions {
        credentials: Some(("user".to_owned(), "pass".to_owned())),
        hosts: names(&server),
        ..ProxyOptions::default()
    };
    let proxy = Proxy::start_with(options).unwrap();
    let mut tcp = connect(proxy.addr());
    for (line, end) in [
        ("CONNECT origin.test:80 HTTP/1.1\r\n", "please\n"),
        ("GET http://origin.test/ HTTP/1.1\r\nProxy-Authorization: Basic eDp5\r\n", "please\n"),
        ("GET http://origin.test/ HTTP/1.1\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n", "in"),
    ] {
        write!(tcp, "{line}\r\n").unwrap();
        let text = read_to(&mut tcp, end);
        assert_eq!(text.contains("HTTP/1.1 407 "), end == "please\n", "{text}");
        assert_eq!(text.contains("\r\nProxy-Authenticate: Basic "), end == "please\n", "{text}");
    }
    assert_eq!((proxy.connections(), server.connections()), (1, 1));
}

#[test]
fn a_proxy_misbehaves_as_configured() {
    let server = Server::start(Script::answering("in"));
    let to = server.addr().to_string();
    let connect_with = |conduct| {
        let proxy = proxy(conduct, Hosts::new());
        let mut tcp = connect(proxy.addr());
        // Fails if the proxy has closed already, as its conduct may require.
        let _ = tcp.write_all(format!("CONNECT {to} HTTP/1.1\r\n\r\n").as_bytes());
        (proxy, tcp)
    };
    let refusal = Answer {
        status: 405,
        headers: vec![("Content-Type".to_owned(), "text/html".to_owned())],
        body: "<html>no</html>".to_owned(),
    };
    let (_proxy, mut tcp) = connect_with(Conduct::Refuse(refusal));
    assert!(read_to(&mut tcp, "</html>").starts_with("HTTP/1.1 405 "));
    let (_proxy, mut tcp) = connect_with(Conduct::Extra("junk".to_owned()));
    assert!(read_to(&mut tcp, "\r\n\r\njunk").starts_with("HTTP/1.1 200 "));
    for step in [ProxyStep::Accept, ProxyStep::Request, ProxyStep::Tunnel] {
        let heads = usize::from(step != ProxyStep::Accept);
        let (proxy, mut tcp) = connect_with(Conduct::Close(step));
        let mut text = String::new();
        let _ = tcp.read_to_string(&mut text);
        assert_eq!(text.starts_with("HTTP/1.1 200 "), step == ProxyStep::Tunnel);
        let (silent, mut tcp) = connect_with(Conduct::Silent(step));
        if step == ProxyStep::Tunnel {
            read_to(&mut tcp, "\r\n\r\n");
        }
        assert!(silent.wait_heads(heads, SOON) && silent.wait_connections(1, SOON));
        tcp.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        assert_eq!(tcp.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(tcp);
        assert!(silent.wait_ended(0, SOON).is_some());
        assert_eq!((proxy.heads(0).len(), silent.heads(0).len()), (heads, heads));
    }
    let (proxy, mut tcp) = connect_with(Conduct::EndlessHead);
    std::io::copy(&mut (&mut tcp).take(1 << 20), &mut std::io::sink()).unwrap();
    drop(tcp);
    assert!(proxy.wait_ended(0, SOON).is_some());
}

#[test]
fn an_unknown_or_unreachable_host_is_a_502() {
    let refusing = Addresses::open(&[("127.0.0.1", Manner::Refuses)]).unwrap();
    let hosts = [("origin.test".to_owned(), refusing.addrs()[0])].into();
    let proxy = proxy(Conduct::Forward, hosts);
    for target in ["GET http://10.0.0.1/", "GET http://origin.test/", "CONNECT other.test:443"] {
        let mut tcp = connect(proxy.addr());
        write!(tcp, "{target} HTTP/1.1\r\n\r\n").unwrap();
        let mut text = String::new();
        tcp.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 502 "), "{text}");
    }
    assert_eq!(proxy.tunnels(), [""; 0]);
}

#[test]
fn a_proxy_stops_at_once_with_its_tunnels() {
    let server = Server::start(Script::every(vec![Step::Stall]));
    let mut proxy = proxy(Conduct::Forward, Hosts::new());
    let mut tcp = tunnel(&proxy, &server.addr().to_string());
    let begun = Instant::now();
    proxy.stop();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(tcp.read(&mut [0]).unwrap(), 0);
    assert!(server.wait_ended(0, SOON).is_some());
    assert_eq!(proxy.ended(0), Some(Ended::ByServer));
}

#[test]
fn tls_to_the_proxy_and_through_it() {
    let server = Server::start_tls(Certificate::Good, Script::answering("deep"));
    let options = ProxyOptions { tls: Some(Certificate::Good), ..ProxyOptions::default() };
    let proxy = Proxy::start_with(options).unwrap();
    assert!(proxy.url().starts_with("https://localhost:"));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certs().ca().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    let tls = || {
        let name = ServerName::try_from("localhost").unwrap();
        ClientConnection::new(Arc::clone(&config), name).unwrap()
    };
    let mut outer = StreamOwned::new(tls(), connect(proxy.addr()));
    write!(outer, "CONNECT {} HTTP/1.1\r\n\r\n", server.addr()).unwrap();
    assert!(read_to(&mut outer, "\r\n\r\n").starts_with("HTTP/1.1 200 "));
    let mut inner = StreamOwned::new(tls(), outer);
    for _ in 0..2 {
        inner.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        assert!(read_to(&mut inner, "deep").starts_with("HTTP/1.1 200 "));
    }
    drop(inner);
    assert!(server.wait_ended(0, SOON).is_some());
    assert!(proxy.wait_idle(SOON));
}

fn socks(conduct: SocksConduct, hosts: Hosts) -> Socks {
    Socks::start_with(SocksOptions { conduct, hosts, ..SocksOptions::default() }).unwrap()
}

fn exchange(tcp: &mut TcpStream, message: &[u8], length: usize) -> Vec<u8> {
    tcp.write_all(message).unwrap();
    let mut reply = vec![0; length];
    tcp.read_exact(&mut reply).unwrap();
    reply
}

const TO_ORIGIN: &[u8] = b"\x05\x01\x00\x03\x0borigin.test\x00\x50";

#[test]
fn socks_takes_names_and_addresses() {
    let server = Server::start(Script::answering("in"));
    let socks = socks(SocksConduct::Forward, names(&server));
    let [high, low] = server.port().to_be_bytes();
    let by_address = [5, 1, 0, 1, 127, 0, 0, 1, high, low];
    for request in [TO_ORIGIN, &by_address] {
        let mut tcp = connect(socks.addr());
        assert_eq!(exchange(&mut tcp, &[5, 2, 0, 2], 2), [5, 0]);
        assert_eq!(exchange(&mut tcp, request, 10)[..2], [5, 0]);
        tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        read_to(&mut tcp, "in");
    }
    let [name, address] = &socks.asked()[..] else { panic!("{:?}", socks.asked()) };
    assert_eq!((name.kind, name.host.as_str()), (Some(SocksAddress::Name), "origin.test"));
    assert_eq!((name.command, name.port, name.methods.as_slice()), (1, 80, &[0u8, 2][..]));
    assert_eq!((address.kind, address.host.as_str()), (Some(SocksAddress::Ipv4), "127.0.0.1"));
    assert_eq!(socks.tunnels()[0], "origin.test:80");
    assert!(socks.wait_open(0, SOON) && socks.wait_idle(SOON));
    assert_eq!(socks.open_tunnels(), 0);
}

#[test]
fn socks_checks_credentials() {
    let server = Server::start(Script::answering("in"));
    let credentials = Some(("user".to_owned(), "pass".to_owned()));
    let options = SocksOptions { credentials, hosts: names(&server), ..SocksOptions::default() };
    let socks = Socks::start_with(options).unwrap();
    let mut tcp = connect(socks.addr());
    assert_eq!(exchange(&mut tcp, &[5, 1, 0], 2), [5, 0xff]);
    for (message, verdict) in [(b"\x01\x04user\x04fail", 1), (b"\x01\x04user\x04pass", 0)] {
        let mut tcp = connect(socks.addr());
        assert_eq!(exchange(&mut tcp, &[5, 2, 0, 2], 2), [5, 2]);
        assert_eq!(exchange(&mut tcp, message, 2), [1, verdict]);
        if verdict == 0 {
            assert_eq!(exchange(&mut tcp, TO_ORIGIN, 10)[1], 0);
        } else {
            assert_eq!(tcp.read(&mut [0]).unwrap(), 0);
        }
    }
    let sent = socks.asked()[1].credentials.clone().unwrap();
    assert_eq!(sent, ("user".to_owned(), "fail".to_owned()));
}

#[test]
fn a_socks_proxy_misbehaves_as_configured() {
    let server = Server::start(Script::answering("in"));
    let begin = |conduct| {
        let socks = socks(conduct, names(&server));
        let tcp = connect(socks.addr());
        (socks, tcp)
    };
    for code in [1, 2, 3, 4, 5, 6, 7, 8, 99] {
        let (_socks, mut tcp) = begin(SocksConduct::Refuse(code));
        exchange(&mut tcp, &[5, 1, 0], 2);
        assert_eq!(exchange(&mut tcp, TO_ORIGIN, 10)[..2], [5, code]);
        assert_eq!(tcp.read(&mut [0]).unwrap(), 0);
    }
    let (_socks, mut tcp) = begin(SocksConduct::WrongVersion(SocksStep::Greeting));
    assert_eq!(exchange(&mut tcp, &[5, 1, 0], 2), [4, 0]);
    let (_socks, mut tcp) = begin(SocksConduct::WrongVersion(SocksStep::Request));
    exchange(&mut tcp, &[5, 1, 0], 2);
    assert_eq!(exchange(&mut tcp, TO_ORIGIN, 10)[..2], [4, 0]);
    let (_socks, mut tcp) = begin(SocksConduct::Bound(SocksAddress::Name));
    exchange(&mut tcp, &[5, 1, 0], 2);
    assert_eq!(exchange(&mut tcp, TO_ORIGIN, 17), b"\x05\x00\x00\x03\x0abound.test\x00\x50");

    let steps = [(SocksStep::Accept, 0), (SocksStep::Greeting, 0), (SocksStep::Request, 2)];
    for (step, replied) in steps.into_iter().chain([(SocksStep::Tunnel, 12)]) {
        for conduct in [SocksConduct::Silent(step), SocksConduct::Close(step)] {
            let (socks, mut tcp) = begin(conduct);
            // Fails if the server has closed already, as its conduct may require.
            let _ = tcp.write_all(&[5, 1, 0]).and_then(|()| tcp.write_all(TO_ORIGIN));
            tcp.read_exact(&mut vec![0; replied]).unwrap();
            if conduct == SocksConduct::Close(step) {
                // A FIN, or a RST for what came too late.
                assert!(!matches!(tcp.read(&mut [0]), Ok(1)));
                continue;
            }
            tcp.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            assert_eq!(tcp.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            drop(tcp);
            assert!(socks.wait_ended(0, SOON).is_some(), "{step:?}");
        }
    }
}
