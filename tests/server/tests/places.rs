//! Where servers listen, and how many at once: chosen addresses, Unix-domain sockets, one port on
//! several addresses, very many origins; and what the ledger records of concurrent connections.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;
use testserver::{Addresses, Ended, Manner, Options, Origins, Place, Script, Server, Step};

const SOON: Duration = Duration::from_secs(5);

fn connect(addr: std::net::SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(addr).unwrap();
    tcp.set_read_timeout(Some(SOON)).unwrap();
    tcp
}

/// One exchange on a connection; the response is complete when it has this end.
fn ask(stream: &mut (impl Read + Write), line: &str, end: &str) -> String {
    // One write: small ones would wait for each other's ACKs.
    let request = format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let mut block = [0; 4096];
        let got = stream.read(&mut block).unwrap();
        assert!(got > 0, "{}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&block[..got]);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn a_server_binds_the_address_and_port_that_it_is_given() {
    let first = Server::start(Script::answering("one"));
    let ip = Some(IpAddr::from([127, 0, 0, 2]));
    let options = Options { ip, port: first.port(), ..Options::default() };
    let second = Server::start_with(options, Script::answering("two")).unwrap();
    assert_eq!(second.url("/"), format!("http://127.0.0.2:{}/", first.port()));
    ask(&mut connect(first.addr()), "GET /", "one");
    ask(&mut connect(second.addr()), "GET /", "two");
    let outside = Options { ip: Some(IpAddr::from([0, 0, 0, 0])), ..Options::default() };
    let error = Server::start_with(outside, Script::answering("")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_unix_domain_socket_has_the_same_scripts_and_ledger() {
    let options = Options { unix: true, ..Options::default() };
    let server = Server::start_with(options, Script::answering("by path")).unwrap();
    let path = server.socket_path().unwrap();
    assert_eq!(server.url("/a"), "http://localhost/a");
    let mut unix = UnixStream::connect(&path).unwrap();
    unix.set_read_timeout(Some(SOON)).unwrap();
    ask(&mut unix, "GET /a", "by path");
    ask(&mut unix, "GET /b", "by path");
    assert_eq!((server.connections(), server.heads(0).len()), (1, 2));
    drop(unix);
    assert_eq!(server.wait_ended(0, SOON).unwrap().0, Ended::Fin);
    drop(server);
    assert!(!path.exists() && !path.parent().unwrap().exists());
}

#[test]
fn a_unix_domain_socket_tells_of_a_close_while_the_script_stalls() {
    let options = Options { unix: true, ..Options::default() };
    let script = vec![Step::send("unread"), Step::mark("sent"), Step::Stall];
    let mut server = Server::start_with(options, Script::every(script)).unwrap();
    let path = server.socket_path().unwrap();
    let unix = UnixStream::connect(&path).unwrap();
    assert!(server.wait_mark("sent", SOON));
    drop(unix);
    assert_eq!(server.wait_ended(0, SOON).unwrap().0, Ended::Rst);
    let mut unix = UnixStream::connect(&path).unwrap();
    assert!(server.wait_marks("sent", 2, SOON));
    server.stop();
    let mut text = String::new();
    unix.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), server.ended(1)), ("unread", Some(Ended::ByServer)));
}

#[test]
fn one_port_behaves_differently_on_each_address() {
    let addresses = Addresses::open(&[
        ("::1", Manner::Refuses),
        ("127.0.0.2", Manner::Silent),
        ("127.0.0.1", Manner::Serves(Script::answering("here"))),
    ])
    .unwrap();
    let addrs = addresses.addrs();
    assert!(addrs.iter().all(|addr| addr.port() == addresses.port()));
    let tried = addrs.iter().map(|addr| {
        TcpStream::connect_timeout(addr, Duration::from_millis(100)).map_err(|e| e.kind())
    });
    let tried: Vec<_> = tried.collect();
    assert_eq!(tried[0].as_ref().unwrap_err(), &ErrorKind::ConnectionRefused);
    assert_eq!(tried[1].as_ref().unwrap_err(), &ErrorKind::TimedOut);
    assert!(tried[2].is_ok());
    assert!(addresses.server("127.0.0.1").wait_connections(1, SOON));
    assert!(addresses.url("two.test", "/a").starts_with("http://two.test:"));
    let places = addresses.into_places();
    assert!(matches!(&places[1], (_, Place::BlackHole(hole)) if hole.addr() == addrs[1]));
    assert!(Addresses::open(&[("nowhere", Manner::Silent)]).is_err());
}

#[test]
fn the_ledger_tells_how_many_were_open_at_once() {
    let server = Server::start(Script::answering("in"));
    for _ in 0..50 {
        ask(&mut connect(server.addr()), "GET /", "in");
    }
    assert_eq!((server.connections(), server.most_open()), (50, 1));
    let mut three: Vec<TcpStream> = (0..3).map(|_| connect(server.addr())).collect();
    three.iter_mut().for_each(|tcp| drop(ask(tcp, "GET /", "in")));
    drop(three);
    assert!(server.wait_open(0, SOON));
    ask(&mut connect(server.addr()), "GET /", "in");
    assert_eq!((server.connections(), server.most_open()), (54, 3));
}

#[test]
fn heads_are_listed_in_the_order_of_their_arrival() {
    let server = Server::start(Script::answering("in"));
    let mut two = [connect(server.addr()), connect(server.addr())];
    assert!(server.wait_connections(2, SOON));
    for turn in [1, 0, 1] {
        ask(&mut two[turn], &format!("GET /{turn}"), "in");
    }
    let order: Vec<(usize, String)> = server.accepted_order();
    let lines = order.iter().map(|(at, head)| (*at, head.split(' ').nth(1).unwrap()));
    assert_eq!(lines.collect::<Vec<_>>(), [(1, "/1"), (0, "/0"), (1, "/1")]);
}

#[test]
fn a_script_answers_by_path() {
    let script = Script::new(vec![
        vec![Step::forever(vec![Step::by_path([
            ("/a", vec![Step::answer(200, "first a")]),
            ("/b?exact", vec![Step::answer(200, "exact b")]),
            ("/b", vec![Step::answer(200, "any b")]),
        ])])],
        vec![
            Step::by_path([("/a", vec![Step::answer(200, "second a")])]),
            Step::by_path([("*", vec![Step::head(), Step::send("bye"), Step::Close])]),
        ],
    ]);
    let server = Server::start(script);
    let mut tcp = connect(server.addr());
    ask(&mut tcp, "GET /b?exact", "exact b");
    ask(&mut tcp, "GET /b?more", "any b");
    ask(&mut tcp, "GET /a", "first a");
    assert!(ask(&mut tcp, "GET /c", "\r\n\r\n").starts_with("HTTP/1.1 404 "));
    let mut tcp = connect(server.addr());
    ask(&mut tcp, "GET /a", "second a");
    assert_eq!(ask(&mut tcp, "GET /a", "bye"), "bye");
    assert_eq!((server.heads(0).len(), server.heads(1).len()), (4, 2));
}

#[test]
fn many_origins_answer_and_keep_their_connections() {
    let origins = Origins::open(300, "ok").unwrap();
    assert!(origins.descriptors() > 1000);
    let mut all: Vec<TcpStream> =
        origins.ports().iter().map(|port| connect(([127, 0, 0, 1], *port).into())).collect();
    for tcp in &mut all {
        assert!(ask(tcp, "GET /", "ok").contains("Content-Length: 2\r\n"));
        ask(tcp, "HEAD /", "\r\n\r\n");
    }
    let post = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n";
    all[0].write_all(post.as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(5));
    all[0].write_all(b"abc").unwrap();
    let mut block = [0; 4096];
    assert!(all[0].read(&mut block).unwrap() > 0);
    ask(&mut all[0], "GET /", "ok");
    assert_eq!((origins.connections(), origins.most_open(), origins.requests()), (300, 300, 602));
    assert_eq!((origins.connections_to(299), origins.url(1, "/").len()), (1, 23));
    all.truncate(100);
    assert!(origins.wait_open(100, SOON));
    drop(origins);
    assert_eq!(all[0].read(&mut block).unwrap(), 0);
    assert!(Origins::open(Origins::MOST + 1, "").is_err());
}
