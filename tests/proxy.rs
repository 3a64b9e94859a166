//! Through a proxy: tunnels and plain requests, what a proxy may refuse, and whose credentials go where (Q4, C6).

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hangup::{Body, CancelToken, Client, Clock, Error, Kind, Phase};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use testserver::{Certificate, Script, Server, Step, certs};

use support::{PATIENCE, client, fetch, get, request, tls_client};

/// What was said to the proxy, request by request.
type Said = Arc<Mutex<Vec<String>>>;

/// A proxy that opens tunnels, and passes plain requests on to `origin`.
struct Proxy {
    port: u16,
    said: Said,
}

#[derive(Clone, Copy, PartialEq)]
enum Speaks {
    Http,
    Https,
    Socks,
}

impl Proxy {
    fn start(speaks: Speaks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let said = Said::default();
        let log = Arc::clone(&said);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                std::thread::spawn(move || match speaks {
                    Speaks::Http => serve_http(stream, &log),
                    Speaks::Https => {
                        let tls = rustls::ServerConnection::new(server_config()).unwrap();
                        serve_http(rustls::StreamOwned::new(tls, stream), &log);
                    }
                    Speaks::Socks => serve_socks(stream, &log),
                });
            }
        });
        Self { port, said }
    }

    fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }
}

/// Bytes that can be relayed.
trait Line: Read + Write {
    fn socket(&self) -> &TcpStream;
}

impl Line for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Line for rustls::StreamOwned<rustls::ServerConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

fn server_config() -> Arc<rustls::ServerConfig> {
    let pair = certs().server(Certificate::Good);
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pair.cert.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

fn serve_http(mut line: impl Line, said: &Said) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match line.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    said.lock().unwrap().push(head.clone());
    let target = head.split(' ').nth(1).unwrap();
    if head.starts_with("CONNECT") {
        let origin = TcpStream::connect(target).unwrap();
        line.write_all(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n").unwrap();
        return relay(line, origin);
    }
    let authority = target.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut origin = TcpStream::connect(authority).unwrap();
    origin.write_all(head.as_bytes()).unwrap();
    relay(line, origin);
}

fn serve_socks(line: TcpStream, said: &Said) {
    let take = |size: u8| {
        let mut bytes = vec![0; size.into()];
        (&line).read_exact(&mut bytes).unwrap();
        bytes
    };
    let text = |size: u8| String::from_utf8(take(size)).unwrap();
    let say = |bytes: &[u8]| (&line).write_all(bytes).unwrap();
    let methods = take(2)[1];
    if take(methods).contains(&2) {
        say(&[5, 2]);
        let user = text(take(2)[1]);
        let password = text(take(1)[0]);
        said.lock().unwrap().push(format!("{user}:{password}"));
        say(&[1, 0]);
    } else {
        say(&[5, 0]);
    }
    let host = match take(4)[3] {
        1 => take(4).iter().map(u8::to_string).collect::<Vec<_>>().join("."),
        3 => text(take(1)[0]),
        _ => {
            take(16);
            "[::1]".to_owned()
        }
    };
    let port = take(2);
    let target = format!("{host}:{}", u16::from_be_bytes([port[0], port[1]]));
    said.lock().unwrap().push(target.clone());
    let Ok(origin) = TcpStream::connect(target) else {
        return say(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
    };
    say(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    relay(line, origin);
}

/// Passes bytes on in both directions until either side ends.
fn relay(mut line: impl Line, mut origin: TcpStream) {
    line.socket().set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    origin.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let mut bytes = vec![0; 64 * 1024];
    let quiet = |error: &std::io::Error| {
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
    };
    loop {
        match line.read(&mut bytes) {
            Ok(0) => return,
            Ok(got) => origin.write_all(&bytes[..got]).unwrap(),
            Err(error) if quiet(&error) => {}
            Err(_) => return,
        }
        match origin.read(&mut bytes) {
            Ok(0) => return,
            Ok(got) => {
                if line.write_all(&bytes[..got]).and_then(|()| line.flush()).is_err() {
                    return;
                }
            }
            Err(error) if quiet(&error) => {}
            Err(_) => return,
        }
    }
}

fn through(client: Client, proxy: &str) -> Client {
    client.proxy(Some(proxy)).unwrap();
    client
}

fn refused(client: &Client, url: &str) -> Error {
    let error = get(client, url).map(drop).unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::ProxyFailed, Phase::Proxy), "{error}");
    assert!(error.retry_safe(), "nothing reached the origin");
    assert_eq!(client.manager().connections().len(), 0);
    error
}

#[test]
fn a_tunnel_to_a_https_origin_is_opened_once_and_kept() {
    let origin = Server::start_tls(Certificate::Good, Script::echoing());
    let proxy = Proxy::start(Speaks::Http);
    let client = through(tls_client(), &format!("http://us:er@127.0.0.1:{}", proxy.port));
    let url = format!("https://localhost:{}/path", origin.port());
    for _ in 0..3 {
        let mut request = request("GET", &url);
        request.header("Proxy-Authorization", "Mine").unwrap();
        let head = client.send(&mut request).unwrap().read_all(10_000).unwrap();
        let head = String::from_utf8(head.to_vec()).unwrap().to_lowercase();
        assert!(head.starts_with("get /path http/1.1") && !head.contains("proxy-"), "{head}");
    }
    let said = proxy.said();
    assert_eq!(said.len(), 1);
    let start = format!("CONNECT localhost:{0} HTTP/1.1\r\nHost: localhost:{0}\r\n", origin.port());
    assert!(said[0].starts_with(&start), "{}", said[0]);
    assert!(said[0].contains("Proxy-Authorization: Basic dXM6ZXI=\r\n"));
    let open = client.manager().connections();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].peer.map(|peer| peer.port()), Some(proxy.port));
    assert!(open[0].tls.is_some());
}

#[test]
fn a_plain_request_is_for_the_proxy_to_read() {
    for speaks in [Speaks::Http, Speaks::Https] {
        let origin = Server::start(Script::echoing());
        let proxy = Proxy::start(speaks);
        let scheme = if speaks == Speaks::Http { "http" } else { "https" };
        let client = through(tls_client(), &format!("{scheme}://us:er@localhost:{}", proxy.port));
        let url = format!("http://127.0.0.1:{}/path?query", origin.port());
        for _ in 0..2 {
            fetch(&client, &url).unwrap();
        }
        let said = proxy.said();
        assert_eq!(said.len(), 1, "the second request goes over the same connection");
        assert!(said[0].starts_with(&format!("GET {url} HTTP/1.1\r\nhost: ")), "{}", said[0]);
        assert!(said[0].contains("proxy-authorization: Basic dXM6ZXI=\r\n"), "{}", said[0]);
        let second = &origin.heads(0)[1];
        assert!(second.starts_with(&format!("GET {url} HTTP/1.1\r\n")), "{second}");
        let open = client.manager().connections();
        assert_eq!(open[0].tls, None, "the origin is spoken to in the clear");
    }
}

#[test]
fn tls_runs_inside_the_tls_of_a_https_proxy() {
    let size = 3_000_000;
    let steps = vec![
        Step::head(),
        Step::body(),
        Step::send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")),
        Step::Fill { bytes: size, byte: 'x' },
    ];
    let origin = Server::start_tls(Certificate::Good, Script::every(vec![Step::forever(steps)]));
    let proxy = Proxy::start(Speaks::Https);
    let client = through(tls_client(), &format!("https://localhost:{}", proxy.port));
    let url = format!("https://localhost:{}/", origin.port());
    for _ in 0..2 {
        let mut post = support::post(&url, Body::bytes(&[b'y'; 2_000_000]));
        let mut response = client.send(&mut post).unwrap();
        let body = response.read_all(usize::MAX).unwrap();
        assert!(body.len() as u64 == size && body.iter().all(|byte| *byte == b'x'));
    }
    assert!(origin.bodies(0).iter().all(|body| body.len() == 2_000_000));
    assert_eq!((origin.connections(), proxy.said().len()), (1, 1));
    client.manager().close_all(hangup::How::Now);
    assert!(origin.wait_ended(0, PATIENCE).is_some());
}

#[test]
fn socks_resolves_here_or_there() {
    let origin = Server::start(Script::echoing());
    let secure = Server::start_tls(Certificate::Good, Script::echoing());
    let proxy = Proxy::start(Speaks::Socks);
    let urls = [
        format!("http://localhost:{}/", origin.port()),
        format!("https://localhost:{}/", secure.port()),
    ];
    let there = through(tls_client(), &format!("socks5h://us:er@127.0.0.1:{}", proxy.port));
    let here = through(tls_client(), &format!("socks5://127.0.0.1:{}", proxy.port));
    for url in &urls {
        let mut request = request("GET", url);
        request.header("Proxy-Authorization", "Mine").unwrap();
        let head = there.send(&mut request).unwrap().read_all(10_000).unwrap();
        assert!(!String::from_utf8_lossy(&head).to_lowercase().contains("proxy-"));
    }
    let said = proxy.said();
    let (one, two) = (origin.port(), secure.port());
    assert_eq!(
        said,
        ["us:er".into(), format!("localhost:{one}"), "us:er".into(), format!("localhost:{two}")]
    );
    // The server listens on IPv4 only, and "localhost" may be IPv6 first.
    let error = get(&here, &urls[0]).map(drop);
    let last = proxy.said().pop().unwrap();
    assert!(!last.contains("localhost"), "{last}");
    if let Err(error) = error {
        assert!(error.message().contains("refused the connection"), "{error}");
    }
}

#[test]
fn q4_what_a_proxy_refuses_is_told_with_its_status() {
    for (answer, status, word) in [
        ("HTTP/1.1 405 Method Not Allowed\r\n\r\n", Some(405), "405"),
        ("HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic\r\n\r\n", Some(407), "wants credentials"),
        ("<html>no</html>", None, "no HTTP"),
        ("HTTP/1.1 200 OK\r\n\r\nstray", None, "nobody asked"),
        ("", None, "closed"),
    ] {
        let proxy = Server::start(Script::replying(answer));
        let client = through(client(), &format!("127.0.0.1:{}", proxy.port()));
        let error = refused(&client, "https://origin.test/");
        assert_eq!(error.http_status(), status, "{error}");
        let name = format!("proxy http://127.0.0.1:{}", proxy.port());
        assert!(error.message().contains(word) && error.message().contains(&name), "{error}");
    }
    let endless = vec![
        Step::head(),
        Step::send("HTTP/1.1 200 OK\r\nX: "),
        Step::Fill { bytes: 1 << 20, byte: 'x' },
    ];
    let proxy = Server::start(Script::every(endless));
    let client = through(client(), &format!("127.0.0.1:{}", proxy.port()));
    assert!(refused(&client, "https://origin.test/").message().contains("no end"));
}

#[test]
fn q4_a_silent_proxy_is_bounded_and_can_be_left() {
    for (scheme, steps) in [
        ("http", vec![Step::head(), Step::Stall]),
        ("https", vec![Step::Stall]),
        ("socks5h", vec![Step::Stall]),
    ] {
        let proxy = Server::start(Script::every(steps));
        let client = through(tls_client(), &format!("{scheme}://localhost:{}", proxy.port()));
        client.timeout(Clock::Connect, Some(Duration::from_millis(100))).unwrap();
        let error = get(&client, "https://origin.test/").map(drop).unwrap_err();
        assert_eq!((error.kind(), error.phase()), (Kind::TimedOut, Phase::Proxy), "{error}");
        assert!(proxy.wait_ended(0, PATIENCE).is_some());
        client.timeout(Clock::Connect, None).unwrap();
        let token = CancelToken::new();
        let mut request = request("GET", "https://origin.test/");
        request.cancel_with(Some(token.clone()));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(proxy.wait_connections(2, PATIENCE));
                std::thread::sleep(Duration::from_millis(20));
                token.fire(Some("enough"));
            });
            let error = client.send(&mut request).map(drop).unwrap_err();
            assert_eq!((error.kind(), error.phase()), (Kind::Cancelled, Phase::Proxy), "{error}");
        });
        assert!(proxy.wait_ended(1, PATIENCE).is_some());
        assert_eq!(client.manager().connections().len(), 0);
    }
}

#[test]
fn another_proxy_is_another_connection_and_some_hosts_need_none() {
    let origin = Server::start(Script::echoing());
    let proxy = Proxy::start(Speaks::Http);
    let client = client();
    let url = origin.url("/");
    fetch(&client, &url).unwrap();
    client.proxy(Some(&format!("127.0.0.1:{}", proxy.port))).unwrap();
    fetch(&client, &url).unwrap();
    client.proxy(Some(&format!("u:p@127.0.0.1:{}", proxy.port))).unwrap();
    fetch(&client, &url).unwrap();
    assert_eq!((origin.connections(), proxy.said().len()), (3, 2));
    client.no_proxy("127.0.0.0/8").unwrap();
    fetch(&client, &url).unwrap();
    assert_eq!((origin.connections(), proxy.said().len()), (3, 2));
    client.local_address("127.0.0.9".parse().ok());
    fetch(&client, &url).unwrap();
    let open = client.manager().connections();
    assert_eq!(open.len(), 4);
    assert_eq!(open[3].local.map(|local| local.ip().to_string()).as_deref(), Some("127.0.0.9"));
}
