//! Where connections lead: one family of addresses, the delay between attempts, a network interface, abstract
//! Unix-domain sockets, and another place for an origin.

use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::{Duration, Instant};

use hangup::{AddressFamily, CloseMode, Kind, Phase, Timeout};
use testserver::{
    Addresses, Certificate, Manner, Options, Proxy, ProxyOptions, Script, Server, Socks,
};

use super::addresses::NAME;
use crate::support::form::{Client, Form, in_both_forms};
use crate::support::inspect::assert_at_rest;
use crate::support::own_process::in_own_process;
use crate::support::{fetch, get, ms, request};

in_both_forms! {
    a_client_connects_to_addresses_of_one_family_only,
    the_delay_between_attempts_is_the_clients,
    connections_go_through_the_configured_interface,
    an_interface_that_is_none_or_forbidden_is_an_error_that_names_it,
    an_abstract_unix_socket_is_named_in_the_url,
    an_origin_is_connected_elsewhere_and_its_requests_stay_as_they_are,
    a_server_name_replaces_that_of_the_origin_in_tls,
    an_origin_that_is_connected_elsewhere_goes_through_a_proxy_by_a_tunnel,
    settings_of_the_way_separate_connections,
    a_link_local_address_needs_a_zone_that_is_an_interface,
    a_link_local_address_is_reached_by_its_zone_or_by_the_interface,
}

fn on_v6(script: Script) -> Server {
    Server::start_with(Options { ipv6: true, ..Options::default() }, script).unwrap()
}

fn text(body: Vec<u8>) -> String {
    String::from_utf8(body).unwrap()
}

fn a_client_connects_to_addresses_of_one_family_only(form: Form) {
    let places = [
        ("127.0.0.1", Manner::Serves(Script::answering("4"))),
        ("::1", Manner::Serves(Script::answering("6"))),
    ];
    let server = Addresses::open(&places).unwrap();
    for (order, any) in [(["::1", "127.0.0.1"], b"6"), (["127.0.0.1", "::1"], b"4")] {
        let client = form.client();
        let ips: Vec<IpAddr> = order.iter().map(|ip| ip.parse().unwrap()).collect();
        client.manager().set_address(NAME, &ips).unwrap();
        let url = server.url(NAME, "/");
        assert_eq!(fetch(&client, &url).unwrap(), any);
        for (family, body) in [(AddressFamily::Ipv4, b"4"), (AddressFamily::Ipv6, b"6")] {
            client.set_address_family(family);
            // No idle connection of another setting is used.
            assert_eq!(fetch(&client, &url).unwrap(), body, "{family}");
        }
        client.set_address_family(AddressFamily::Ipv4);
        client.manager().set_address("six.test", &["::1".parse().unwrap()]).unwrap();
        for host in ["six.test", "[::1]"] {
            let error = get(&client, &server.url(host, "/")).unwrap_err();
            assert_eq!((error.kind(), error.phase()), (Kind::ConnectFailed, Phase::Connect));
            assert!(error.message().contains("no IPv4 address"), "{error}");
        }
    }
}

fn the_delay_between_attempts_is_the_clients(form: Form) {
    let places =
        [("127.0.0.1", Manner::Silent), ("127.0.0.2", Manner::Serves(Script::answering("ok")))];
    let server = Addresses::open(&places).unwrap();
    let client = form.client();
    let ips: Vec<IpAddr> = server.addrs().iter().map(|at| at.ip()).collect();
    client.manager().set_address(NAME, &ips).unwrap();
    let url = server.url(NAME, "/");
    client.set_happy_eyeballs_delay(Some(ms(600))).unwrap();
    let start = Instant::now();
    assert_eq!(fetch(&client, &url).unwrap(), b"ok");
    assert!(start.elapsed() >= ms(600));
    // Without a delay the second address waits for the failure of the first one, which does not come.
    client.set_happy_eyeballs_delay(None).unwrap();
    client.manager().close_all(CloseMode::Now);
    // The second one has connected, and would be the first.
    client.manager().clear_addresses();
    let mut limited = request("GET", &url);
    limited.set_timeout(Timeout::Connect, Some(ms(700))).unwrap();
    let error = client.send(&mut limited).unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::TimedOut, Phase::Connect));
    client.set_happy_eyeballs_delay(Some(ms(1))).unwrap();
    assert_eq!(fetch(&client, &url).unwrap(), b"ok");
    let error = client.set_happy_eyeballs_delay(Some(Duration::ZERO)).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidTimeout);
}

fn connections_go_through_the_configured_interface(form: Form) {
    let (v4, v6) = (Server::start(Script::answering("4")), on_v6(Script::answering("6")));
    let client = form.client();
    client.set_interface(Some("lo")).unwrap();
    assert_eq!(fetch(&client, &v4.url("/")).unwrap(), b"4");
    assert_eq!(fetch(&client, &v6.url("/")).unwrap(), b"6");
    // It goes together with a local address.
    client.set_local_address("127.0.0.5".parse().ok());
    assert_eq!(fetch(&client, &v4.url("/")).unwrap(), b"4");
    let open = client.manager().connections();
    assert_eq!(open[2].local.map(|at| at.ip()), "127.0.0.5".parse().ok());
}

fn an_interface_that_is_none_or_forbidden_is_an_error_that_names_it(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    client.set_interface(Some("nowhere0")).unwrap();
    let error = get(&client, &server.url("/")).unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::ConnectFailed, Phase::Connect), "{error}");
    assert_eq!(error.os_code(), Some(libc::ENODEV));
    assert!(
        error.message().contains("nowhere0") && error.message().contains("no network interface"),
        "{error}"
    );
    assert_at_rest(client.manager());
    for name in ["", "a/b", "sixteen-bytes-up", "a b", "a\0"] {
        let error = client.set_interface(Some(name)).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument, "{name:?}");
    }
}

/// Answers each request of a connection with its head.
fn echo_heads(mut stream: impl Read + Write) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
        if head.ends_with(b"\r\n\r\n") {
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", head.len());
            let _ = stream.write_all(&std::mem::take(&mut head));
        }
    }
}

/// An HTTP server on an abstract Unix-domain socket, which answers each request with its head.
fn serve_abstract(name: &str) {
    let address = SocketAddr::from_abstract_name(name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            std::thread::spawn(move || echo_heads(stream));
        }
    });
}

fn an_abstract_unix_socket_is_named_in_the_url(form: Form) {
    let name = format!("hangup test {form:?} {}", std::process::id());
    serve_abstract(&name);
    let client = form.client();
    let encoded = name.replace(' ', "%20");
    // Both spellings are one origin.
    for mark in ["%40", "%00"] {
        let head = fetch(&client, &format!("http+unix://{mark}{encoded}/a")).unwrap();
        assert!(text(head).starts_with("GET /a HTTP/1.1\r\nHost: localhost\r\n"));
    }
    let open = client.manager().connections();
    assert_eq!((open.len(), open[0].requests), (1, 2));
    assert_eq!(open[0].origin, format!("http+unix://%40{encoded}"));
    assert_eq!(client.manager().close_origin(&open[0].origin, CloseMode::Now).unwrap(), 1);
    let error = get(&client, "http+unix://%40hangup-without-a-listener/").unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::ConnectFailed, Phase::Connect));
    // And by a rule, with a name of its own in the request.
    client.add_connect_to("app.test", &format!("unix:@{name}"), None).unwrap();
    client.set_proxy(Some("http://127.0.0.1:1")).unwrap();
    let head = fetch(&client, "http://app.test/b").unwrap();
    assert!(text(head).starts_with("GET /b HTTP/1.1\r\nHost: app.test\r\n"));
}

fn an_origin_is_connected_elsewhere_and_its_requests_stay_as_they_are(form: Form) {
    let plain = Server::start(Script::echoing());
    let secure = Server::start_tls(Certificate::Good, Script::echoing());
    let client = form.tls_client();
    let there = |server: &Server| format!("127.0.0.1:{}", server.port());
    // The certificate is for localhost.
    client.add_connect_to("localhost:443", &there(&secure), None).unwrap();
    client.add_connect_to("Origin.test:80", &there(&plain), None).unwrap();
    client.add_connect_to("*:81", &format!(":{}", plain.port()), None).unwrap();
    for _ in 0..2 {
        let head = text(fetch(&client, "http://origin.test/a?b").unwrap());
        assert!(head.starts_with("GET /a?b HTTP/1.1\r\nHost: origin.test\r\n"), "{head}");
        let head = text(fetch(&client, "https://localhost/").unwrap());
        assert!(head.contains("Host: localhost\r\n"), "{head}");
    }
    let head = text(fetch(&client, "http://127.0.0.1:81/").unwrap());
    assert!(head.contains("Host: 127.0.0.1:81\r\n"), "{head}");
    let open = client.manager().connections();
    let origins: Vec<&str> = open.iter().map(|one| one.origin.as_str()).collect();
    assert_eq!(origins, ["http://origin.test:80", "https://localhost:443", "http://127.0.0.1:81"]);
    assert_eq!(open[0].peer.map(|at| at.port()), Some(plain.port()));
    // Without the rules it is another route, and the idle connections are not used.
    client.clear_connect_to();
    assert_eq!(get(&client, "http://origin.test/").unwrap_err().kind(), Kind::ResolveFailed);
    for (origin, place, name) in [
        ("", "a", None),
        ("a:b", "a", None),
        ("a", "", None),
        ("a", "unix:relative", None),
        ("a", "b", Some("c:1")),
    ] {
        let error = client.add_connect_to(origin, place, name).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument, "{origin} {place}");
    }
}

fn a_server_name_replaces_that_of_the_origin_in_tls(form: Form) {
    let server = Server::start_tls(Certificate::Good, Script::answering("ok"));
    let place = format!("127.0.0.1:{}", server.port());
    let client = form.tls_client();
    client.add_connect_to("front.test", &place, None).unwrap();
    let error = get(&client, "https://front.test/").unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::TlsFailed, Phase::Tls));
    client.clear_connect_to();
    client.add_connect_to("front.test", &place, Some("localhost")).unwrap();
    assert_eq!(fetch(&client, "https://front.test/").unwrap(), b"ok");
}

fn an_origin_that_is_connected_elsewhere_goes_through_a_proxy_by_a_tunnel(form: Form) {
    let plain = Server::start(Script::echoing());
    let secure = Server::start_tls(Certificate::Good, Script::echoing());
    let credentials = Some(("us".to_owned(), "pass".to_owned()));
    let proxy = Proxy::start_with(ProxyOptions { credentials, ..Default::default() }).unwrap();
    let socks = Socks::start();
    let client = form.tls_client();
    let at = |server: &Server| format!("127.0.0.1:{}", server.port());
    client.add_connect_to("origin.test", &at(&plain), None).unwrap();
    client.add_connect_to("localhost", &at(&secure), None).unwrap();
    client.set_proxy(Some(&proxy.url().replace("://", "://us:pass@"))).unwrap();
    let ask = |client: &Client| {
        let head = text(fetch(client, "http://origin.test/").unwrap());
        assert!(head.starts_with("GET / HTTP/1.1\r\nHost: origin.test\r\n"), "{head}");
        assert!(!head.to_lowercase().contains("proxy-"), "{head}");
        fetch(client, "https://localhost/").unwrap();
    };
    ask(&client);
    assert_eq!(proxy.tunnels(), [at(&plain), at(&secure)]);
    client.set_proxy(Some(&socks.url("socks5h"))).unwrap();
    ask(&client);
    assert_eq!(socks.tunnels(), [at(&plain), at(&secure)]);
}

fn a_link_local_address_needs_a_zone_that_is_an_interface(form: Form) {
    // The system answers for a link-local address of an interface only if the machine has it; that there is none is
    // found on the way through the interface, and without a zone before that (RFC 4007 section 6).
    let client = form.client();
    let fails = |url: &str| {
        let mut limited = request("GET", url);
        limited.set_timeout(Timeout::Connect, Some(ms(300))).unwrap();
        let error = client.send(&mut limited).unwrap_err();
        assert_eq!(error.phase(), Phase::Connect, "{error}");
        error
    };
    assert_eq!(fails("http://[fe80::1]:1/").os_code(), Some(libc::EINVAL));
    for zone in ["lo", "1"] {
        let error = fails(&format!("http://[fe80::1%25{zone}]:1/"));
        assert_ne!(error.os_code(), Some(libc::EINVAL), "{error}");
    }
    let error = fails("http://[fe80::1%25nowhere0]:1/");
    assert_eq!(error.kind(), Kind::ConnectFailed);
    assert!(error.message().contains("nowhere0"), "{error}");
    client.set_interface(Some("lo")).unwrap();
    assert_ne!(fails("http://[fe80::1]:1/").os_code(), Some(libc::EINVAL));
}

/// Gives this thread, and those that it starts, a network of their own, whose loopback interface has this address.
/// Returns `false` if the user is not permitted to.
fn enter_a_network_with(address: std::net::Ipv6Addr) -> bool {
    // SAFETY: no pointers.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return false;
    }
    // SAFETY: netdevice(7) and ipv6(7): requests that name the interface and what it gets, for the calls only.
    unsafe {
        let socket = libc::socket(libc::AF_INET6, libc::SOCK_DGRAM, 0);
        let mut up: libc::ifreq = std::mem::zeroed();
        up.ifr_name[..2].copy_from_slice(&[b'l' as _, b'o' as _]);
        up.ifr_ifru.ifru_flags = libc::IFF_UP as _;
        assert_eq!(libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const up), 0);
        let mut gets: libc::in6_ifreq = std::mem::zeroed();
        gets.ifr6_addr.s6_addr = address.octets();
        gets.ifr6_prefixlen = 64;
        gets.ifr6_ifindex = 1;
        assert_eq!(libc::ioctl(socket, libc::SIOCSIFADDR, &raw const gets), 0);
        libc::close(socket);
    }
    true
}

fn a_link_local_address_is_reached_by_its_zone_or_by_the_interface(form: Form) {
    let test = "elsewhere::a_link_local_address_is_reached_by_its_zone_or_by_the_interface";
    in_own_process(&form.name(test), || {
        if !enter_a_network_with("fe80::7".parse().unwrap()) {
            println!("no network of one's own: this user may not make one");
            return;
        }
        let listener = std::net::TcpListener::bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                std::thread::spawn(move || echo_heads(stream));
            }
        });
        let client = form.client();
        for zone in ["lo", "1"] {
            let url = format!("http://[fe80::7%25{zone}]:{port}/a");
            let mut response = get(&client, &url).unwrap();
            // The zone means nothing to the server (RFC 6874 section 4).
            let head = text(response.read_all(1000).unwrap());
            assert!(head.contains(&format!("Host: [fe80::7]:{port}\r\n")), "{head}");
            assert_eq!(response.head().url(), url);
        }
        let open = client.manager().connections();
        assert_eq!(open.len(), 2);
        assert_eq!(open[0].origin, format!("http://[fe80::7%25lo]:{port}"));
        assert_eq!(client.manager().close_origin(&open[0].origin, CloseMode::Now).unwrap(), 1);
        client.set_interface(Some("lo")).unwrap();
        fetch(&client, &format!("http://[fe80::7]:{port}/")).unwrap();
    });
}

fn settings_of_the_way_separate_connections(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    let set: [&dyn Fn(&Client); 5] = [
        &|_| {},
        &|client| client.set_address_family(AddressFamily::Ipv4),
        &|client| client.set_interface(Some("lo")).unwrap(),
        &|client| client.set_happy_eyeballs_delay(None).unwrap(),
        &|client| {
            client.add_connect_to("127.0.0.1", "127.0.0.1", None).unwrap();
        },
    ];
    for (number, set) in set.iter().enumerate() {
        set(&client);
        for round in 0..2 {
            let mut response = get(&client, &server.url("/")).unwrap();
            assert_eq!(response.reused(), round == 1, "setting {number}");
            assert_eq!(response.read_all(10).unwrap(), b"ok");
        }
    }
    assert_eq!(server.connections(), 5);
}
