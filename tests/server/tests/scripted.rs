//! The scripted server against plain sockets: what it promises to the tests that lean on it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};
use testserver::{BlackHole, Ended, Options, Script, Server, Step, Then};

const SOON: Duration = Duration::from_secs(5);

fn connect(server: &Server) -> TcpStream {
    let tcp = TcpStream::connect(server.addr()).unwrap();
    tcp.set_read_timeout(Some(SOON)).unwrap();
    tcp
}

fn ask(tcp: &mut TcpStream, request: &str) {
    tcp.write_all(request.as_bytes()).unwrap();
}

fn read_all(tcp: &mut TcpStream) -> String {
    let mut text = String::new();
    tcp.read_to_string(&mut text).unwrap();
    text
}

fn read_some(tcp: &mut TcpStream) -> String {
    let mut block = [0; 4096];
    let got = tcp.read(&mut block).unwrap();
    String::from_utf8_lossy(&block[..got]).into_owned()
}

#[test]
fn answers_requests_with_bodies_on_one_connection() {
    let server = Server::start(Script::answering("hello"));
    let mut tcp = connect(&server);
    ask(&mut tcp, "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc");
    assert!(read_some(&mut tcp).ends_with("\r\n\r\nhello"));
    ask(&mut tcp, "POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\n");
    assert!(read_some(&mut tcp).ends_with("\r\n\r\nhello"));
    ask(&mut tcp, "HEAD /c HTTP/1.1\r\n\r\n");
    assert!(read_some(&mut tcp).ends_with("Content-Length: 5\r\n\r\n"));
    assert_eq!(server.connections(), 1);
    assert_eq!(server.heads(0).len(), 3);
    assert_eq!(server.bodies(0), [&b"abc"[..], b"xyz", b""]);
    assert_eq!(server.ended(0), None);
    drop(tcp);
    assert_eq!(server.wait_ended(0, SOON).map(|(how, _)| how), Some(Ended::Fin));
}

#[test]
fn the_end_of_the_list_is_a_fin_even_over_unread_bytes() {
    let server = Server::start(Script::every(vec![Step::head(), Step::send("bye")]));
    let mut tcp = connect(&server);
    ask(&mut tcp, "GET / HTTP/1.1\r\n\r\nunread");
    assert_eq!(read_all(&mut tcp), "bye");
    assert_eq!(server.wait_ended(0, SOON).unwrap().0, Ended::ByServer);
}

#[test]
fn rst_is_a_reset() {
    let server = Server::start(Script::every(vec![Step::Rst]));
    let error = connect(&server).read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_stalling_connection_sees_fin_and_rst_at_once() {
    let script = vec![Step::head(), Step::send("unread"), Step::mark("stalling"), Step::Stall];
    for (read_first, expected) in [(true, Ended::Fin), (false, Ended::Rst)] {
        let server = Server::start(Script::every(script.clone()));
        let mut tcp = connect(&server);
        ask(&mut tcp, "GET / HTTP/1.1\r\n\r\n");
        assert!(server.wait_mark("stalling", SOON));
        if read_first {
            assert_eq!(read_some(&mut tcp), "unread");
        } else {
            // Peeked, so that it has arrived and a close is one over unread bytes.
            tcp.peek(&mut [0]).unwrap();
        }
        let closed = Instant::now();
        drop(tcp);
        let (how, when) = server.wait_ended(0, SOON).unwrap();
        assert_eq!(how, expected);
        assert!(when - closed < Duration::from_secs(1), "{:?}", when - closed);
        assert!(server.wait_idle(SOON));
    }
}

#[test]
fn a_barrier_holds_until_released() {
    let script = vec![Step::head(), Step::mark("there"), Step::wait_for("go"), Step::send("gone")];
    let server = Server::start(Script::every(script));
    let mut tcp = connect(&server);
    ask(&mut tcp, "GET / HTTP/1.1\r\n\r\n");
    assert!(server.wait_mark("there", SOON));
    tcp.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
    assert_eq!(tcp.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    tcp.set_read_timeout(Some(SOON)).unwrap();
    server.release("go");
    assert_eq!(read_all(&mut tcp), "gone");
}

#[test]
fn each_connection_has_its_script() {
    let lists = || vec![vec![Step::send("0")], vec![Step::send("1")]];
    let repeating = Server::start(Script::new(lists()));
    let closing = Server::start(Script { connections: lists(), then: Then::Close });
    let said = |server: &Server| read_all(&mut connect(server));
    assert_eq!([said(&repeating), said(&repeating), said(&repeating)], ["0", "1", "1"]);
    assert_eq!([said(&closing), said(&closing), said(&closing)], ["0", "1", ""]);
    let refusing = Server::start(Script { connections: lists(), then: Then::Refuse });
    assert_eq!([said(&refusing), said(&refusing)], ["0", "1"]);
    let error = TcpStream::connect(refusing.addr()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn stops_at_once_whatever_the_connections_do() {
    let forever = Step::forever(vec![Step::Fill { bytes: 1 << 20, byte: 'x' }]);
    let lists = vec![
        vec![Step::Stall],
        vec![Step::sleep(60_000)],
        vec![Step::head()],
        vec![Step::wait_for("never")],
        vec![forever],
        vec![Step::forever(vec![])],
    ];
    let count = lists.len();
    let mut server = Server::start(Script::new(lists));
    let clients: Vec<TcpStream> = (0..count).map(|_| connect(&server)).collect();
    assert!(server.wait_connections(count, SOON));
    assert_eq!(server.open_connections(), count);
    let begun = Instant::now();
    server.stop();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!((0..count).all(|i| server.ended(i) == Some(Ended::ByServer)));
    drop(clients);
}

#[test]
fn a_life_ends() {
    let options = Options { life: Duration::from_millis(50), ..Options::default() };
    let server = Server::start_with(options, Script::every(vec![Step::Stall])).unwrap();
    assert_eq!(connect(&server).read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_half_closed_client_still_gets_the_rest() {
    let script = vec![Step::eof(), Step::send("rest")];
    let server = Server::start(Script::every(script));
    let mut tcp = connect(&server);
    ask(&mut tcp, "all of it");
    tcp.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut tcp), "rest");
    assert_eq!(server.received(0), b"all of it");
}

#[test]
fn listens_on_ipv6() {
    let options = Options { ipv6: true, ..Options::default() };
    let server = Server::start_with(options, Script::every(vec![Step::send("six")])).unwrap();
    assert!(server.url("/").starts_with("http://[::1]:"));
    assert_eq!(read_all(&mut connect(&server)), "six");
}

#[test]
fn connecting_to_a_black_hole_hangs_until_it_is_opened() {
    let hole = BlackHole::new();
    let error = TcpStream::connect_timeout(&hole.addr(), Duration::from_millis(200)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let addr = hole.addr();
    let dial = std::thread::spawn(move || TcpStream::connect_timeout(&addr, SOON));
    // Long enough for the first SYN to be dropped; the second comes after a second.
    std::thread::sleep(Duration::from_millis(50));
    let server = hole.open(Script::every(vec![Step::send("in")])).unwrap();
    assert_eq!(read_all(&mut dial.join().unwrap().unwrap()), "in");
    assert_eq!(server.connections(), 1);
}
