//! Connections that a connector of the program makes: pooled, listed, timed out, cancelled and closed like any other.

use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use hangup::{
    CancelToken, CloseMode, CloseReason, ConnectRequest, ConnectedSocket, ConnectionMode,
    ConnectionState, Kind, Phase, Timeout,
};
use testserver::{Certificate, Options, Proxy, Script, Server, Step};

use crate::support::form::{Client, Form, in_both_forms};
use crate::support::inspect::assert_at_rest;
use crate::support::outcome::{assert_timed_out, cancelled};
use crate::support::own_process::in_own_process;
use crate::support::{PATIENCE, fetch, get, ms, request, wait_until};

in_both_forms! {
    a_connector_makes_the_connections_and_they_are_pooled_listed_and_closed,
    tls_is_added_for_https,
    a_unix_stream_and_a_socket_pair_carry_requests,
    sockets_of_a_connector_are_watched_while_they_are_idle_and_probed,
    a_connector_that_blocks_delays_no_cancel_or_timeout_and_its_late_socket_is_closed,
    what_a_connector_fails_with_is_the_error_of_the_request,
    what_is_no_connected_stream_socket_is_refused,
    another_connector_is_another_connection,
    a_connector_is_asked_for_a_proxy_that_was_set_and_not_for_one_of_the_environment,
    a_connector_is_dropped_with_its_last_use,
}

/// What a connector was asked for.
type Asked = Arc<Mutex<Vec<(String, String, u16)>>>;

/// Has the client connect by that function. Returns what it is asked for.
fn set(
    client: &Client,
    connect: impl Fn(&ConnectRequest<'_>) -> io::Result<ConnectedSocket> + Send + Sync + 'static,
) -> Asked {
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    client.set_connector(Some(Arc::new(move |request: &ConnectRequest<'_>| {
        let row = (request.origin.to_owned(), request.host.to_owned(), request.port);
        noted.lock().unwrap().push(row);
        connect(request)
    })));
    asked
}

/// A connector that connects to that port, whatever it is asked for.
fn to(port: u16) -> impl Fn(&ConnectRequest<'_>) -> io::Result<ConnectedSocket> {
    move |_| Ok(TcpStream::connect(("127.0.0.1", port))?.into())
}

fn rows(asked: &Asked) -> Vec<(String, String, u16)> {
    asked.lock().unwrap().clone()
}

fn a_connector_makes_the_connections_and_they_are_pooled_listed_and_closed(form: Form) {
    let server = Server::start(Script::echoing());
    let client = form.client();
    let asked = set(&client, to(server.port()));
    // The name is not looked up, and neither local address nor interface is used.
    client.set_local_address("198.51.100.7".parse().ok());
    client.set_interface(Some("nowhere0")).unwrap();
    for _ in 0..3 {
        let head = fetch(&client, "http://service.invalid:81/a").unwrap();
        assert!(String::from_utf8(head).unwrap().contains("Host: service.invalid:81\r\n"));
    }
    let once = ("http://service.invalid:81".to_owned(), "service.invalid".to_owned(), 81);
    assert_eq!(rows(&asked), [once]);
    let open = client.manager().connections();
    assert_eq!((open.len(), open[0].requests, open[0].state), (1, 3, ConnectionState::Idle));
    assert_eq!(open[0].origin, "http://service.invalid:81");
    assert_eq!(open[0].peer.map(|peer| peer.port()), Some(server.port()));
    assert!(open[0].bytes_in > 0 && open[0].bytes_out > 0);
    client.manager().close_connection(open[0].id, CloseMode::Now).unwrap();
    assert_eq!(client.manager().close_reason(open[0].id), Some(CloseReason::ClosedById));
    assert!(server.wait_ended(0, PATIENCE).is_some());
    // Dialled ahead, too.
    assert_eq!(client.preconnect("http://service.invalid:81/", 1).unwrap(), 1);
    wait_until("the background dial", || client.manager().stats().idle == 1);
    assert!(get(&client, "http://service.invalid:81/").unwrap().reused());
    client.set_connector(None);
    client.set_local_address(None);
    client.set_interface(None).unwrap();
    assert_eq!(get(&client, "http://service.invalid:81/").unwrap_err().kind(), Kind::ResolveFailed);
}

fn tls_is_added_for_https(form: Form) {
    let server = Server::start_tls(Certificate::Good, Script::answering("ok"));
    let client = form.tls_client();
    let asked = set(&client, to(server.port()));
    assert_eq!(fetch(&client, "https://localhost/").unwrap(), b"ok");
    assert_eq!(rows(&asked), [("https://localhost:443".into(), "localhost".into(), 443)]);
    assert_eq!(client.manager().connections()[0].tls, Some("TLSv1.3"));
    let error = get(&client, "https://other.test/").unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::TlsFailed, Phase::Tls));
}

fn a_unix_stream_and_a_socket_pair_carry_requests(form: Form) {
    let options = Options { unix: true, ..Options::default() };
    let server = Server::start_with(options, Script::answering("ok")).unwrap();
    let path = server.socket_path().unwrap();
    let client = form.client();
    set(&client, move |_| Ok(UnixStream::connect(&path)?.into()));
    for _ in 0..2 {
        assert_eq!(fetch(&client, "http://a.test/").unwrap(), b"ok");
    }
    assert_eq!(server.connections(), 1);
    // The other end of a pair is served by this process. A body larger than any buffer is written in small pieces.
    set(&client, |_| {
        let (ours, mut theirs) = UnixStream::pair()?;
        thread::spawn(move || {
            use std::io::{Read, Write};
            let mut head = [0; 1000];
            while theirs.read(&mut head).is_ok_and(|got| got > 0) {
                theirs.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n").unwrap();
                (0..3000).for_each(|_| theirs.write_all(&[b'x'; 1000]).unwrap());
            }
        });
        Ok(OwnedFd::from(ours).into())
    });
    for round in 0..2 {
        let mut response = get(&client, "http://b.test/").unwrap();
        assert_eq!(response.read_all(usize::MAX).unwrap(), vec![b'x'; 3_000_000]);
        assert_eq!(response.reused(), round == 1);
    }
}

fn sockets_of_a_connector_are_watched_while_they_are_idle_and_probed(form: Form) {
    use std::os::fd::{AsRawFd, FromRawFd};
    let steps = vec![Step::answer(200, "ok"), Step::wait_for("close"), Step::Close];
    let server = Server::start(Script::every(steps));
    let client = form.client();
    let copies = Arc::new(Mutex::new(Vec::new()));
    let (kept, port) = (Arc::clone(&copies), server.port());
    set(&client, move |_| {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        // SAFETY: no pointers; the copy is owned by what is made of it.
        let copy = unsafe { OwnedFd::from_raw_fd(libc::dup(socket.as_raw_fd())) };
        kept.lock().unwrap().push(copy);
        Ok(socket.into())
    });
    assert_eq!(fetch(&client, "http://a.test/").unwrap(), b"ok");
    let option = |level, name| {
        let (mut value, mut size) = (0, size_of::<libc::c_int>() as libc::socklen_t);
        let copy = copies.lock().unwrap()[0].as_raw_fd();
        let place = (&raw mut value).cast();
        // SAFETY: an open descriptor, and as many writable bytes as `size` says.
        let done = unsafe { libc::getsockopt(copy, level, name, place, &raw mut size) };
        assert_eq!(done, 0);
        value
    };
    assert_eq!(option(libc::SOL_SOCKET, libc::SO_KEEPALIVE), 1);
    let numbers = [libc::TCP_KEEPIDLE, libc::TCP_KEEPINTVL, libc::TCP_KEEPCNT];
    assert_eq!(numbers.map(|name| option(libc::IPPROTO_TCP, name)), [15, 3, 3]);
    server.release("close");
    wait_until("the sweep", || client.manager().stats().swept == 1);
    assert_at_rest(client.manager());
}

fn a_connector_that_blocks_delays_no_cancel_or_timeout_and_its_late_socket_is_closed(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let port = server.port();
    let client = form.client();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let asked = set(&client, move |request| {
        let _ = gate.lock().unwrap().recv();
        to(port)(request)
    });
    let mut limited = request("GET", "http://slow.test/");
    limited.set_timeout(Timeout::Connect, Some(ms(50))).unwrap();
    assert_timed_out(&client.send(&mut limited).unwrap_err(), Timeout::Connect, Phase::Connect);
    assert_at_rest(client.manager());
    go.send(()).unwrap();
    // The socket comes late, and the server sees it closed.
    assert!(server.wait_connections(1, PATIENCE) && server.wait_ended(0, PATIENCE).is_some());
    let token = CancelToken::new();
    let mut asks = request("GET", "http://slow.test/");
    asks.set_cancel(Some(token.clone()));
    let ready = |_| {
        wait_until("the second call", || rows(&asked).len() == 2);
        assert_eq!(client.manager().connections()[0].state, ConnectionState::Connecting);
    };
    cancelled("in a connector", &token, Phase::Connect, || client.send(&mut asks), ready);
    assert_at_rest(client.manager());
    go.send(()).unwrap();
    assert!(server.wait_connections(2, PATIENCE) && server.wait_ended(1, PATIENCE).is_some());
    // One that hangs does not hold up the others.
    go.send(()).unwrap();
    assert_eq!(fetch(&client, "http://quick.test/").unwrap(), b"ok");
}

fn what_a_connector_fails_with_is_the_error_of_the_request(form: Form) {
    let client = form.client();
    let failure = |connect: fn() -> io::Result<ConnectedSocket>| {
        set(&client, move |_| connect());
        let error = get(&client, "http://a.test:81/").unwrap_err();
        assert_eq!((error.kind(), error.phase()), (Kind::ConnectFailed, Phase::Connect), "{error}");
        assert!(error.message().contains("a.test:81") && error.retry_safe(), "{error}");
        assert_at_rest(client.manager());
        error
    };
    let error = failure(|| Err(io::Error::from_raw_os_error(libc::EHOSTUNREACH)));
    assert_eq!(error.os_code(), Some(libc::EHOSTUNREACH));
    let error = failure(|| Err(io::Error::other("the tunnel is down")));
    assert!(error.message().contains("the tunnel is down"), "{error}");
    let error = failure(|| panic!("a test's panic, on purpose"));
    assert!(error.message().contains("panicked"), "{error}");
}

fn what_is_no_connected_stream_socket_is_refused(form: Form) {
    let client = form.client();
    let refusal = |connect: fn() -> io::Result<ConnectedSocket>| {
        set(&client, move |_| connect());
        let error = get(&client, "http://a.test/").unwrap_err();
        assert_eq!((error.kind(), error.phase()), (Kind::ConnectFailed, Phase::Connect), "{error}");
        error.message().to_owned()
    };
    let message = refusal(|| Ok(OwnedFd::from(std::fs::File::open("/dev/null")?).into()));
    assert!(message.contains("no socket"), "{message}");
    let message = refusal(|| Ok(OwnedFd::from(UdpSocket::bind("127.0.0.1:0")?).into()));
    assert!(message.contains("no stream socket"), "{message}");
    let message = refusal(|| Ok(OwnedFd::from(TcpListener::bind("127.0.0.1:0")?).into()));
    assert!(message.contains("not connected"), "{message}");
}

fn another_connector_is_another_connection(form: Form) {
    let (one, other) =
        (Server::start(Script::answering("1")), Server::start(Script::answering("2")));
    let (first, second) = (form.client(), form.client());
    let second = second.sibling();
    let shared = first.sibling();
    let connect: hangup::Connect = Arc::new(to(one.port()));
    first.set_connector(Some(Arc::clone(&connect)));
    shared.set_connector(Some(connect));
    set(&second, to(other.port()));
    for _ in 0..2 {
        assert_eq!(fetch(&first, "http://a.test/").unwrap(), b"1");
        assert_eq!(fetch(&second, "http://a.test/").unwrap(), b"2");
    }
    // The same function is the same route.
    assert!(get(&shared, "http://a.test/").unwrap().reused());
    set(&first, to(other.port()));
    assert_eq!(fetch(&first, "http://a.test/").unwrap(), b"2");
    assert_eq!((one.connections(), other.connections()), (1, 2));
}

fn a_connector_is_asked_for_a_proxy_that_was_set_and_not_for_one_of_the_environment(form: Form) {
    let name = "connector::a_connector_is_asked_for_a_proxy_that_was_set_and_not_for_one_of_the_environment";
    in_own_process(&form.name(name), || {
        // SAFETY: no other thread of this process reads the environment meanwhile.
        unsafe { std::env::set_var("http_proxy", "http://127.0.0.1:1") };
        let server = Server::start(Script::answering("ok"));
        let (proxy, client) = (Proxy::start(), form.client());
        let asked = set(&client, to(server.port()));
        assert_eq!(fetch(&client, "http://a.test/").unwrap(), b"ok");
        assert_eq!(rows(&asked)[0].1, "a.test");
        let asked = set(&client, to(proxy.port()));
        client.set_proxy(Some("http://proxy.test:3128")).unwrap();
        client.set_no_proxy("near.test").unwrap();
        assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
        let origin = server.url("/").trim_end_matches('/').to_owned();
        assert_eq!(rows(&asked), [(origin, "proxy.test".into(), 3128)]);
        assert_eq!(proxy.accepted_order().len(), 1);
        client.add_connect_to("near.test", "elsewhere.test:82", None).unwrap();
        let _ = get(&client, "http://near.test/");
        let near = ("http://near.test:80".into(), "elsewhere.test".into(), 82);
        assert_eq!(rows(&asked)[1], near);
    });
}

fn a_connector_is_dropped_with_its_last_use(form: Form) {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let server = Server::start(Script::every(vec![Step::forever(vec![Step::answer(200, "ok")])]));
    let client = form.client();
    let dropped = Arc::new(AtomicUsize::new(0));
    let (counted, port) = (Counted(Arc::clone(&dropped)), server.port());
    set(&client, move |request| {
        assert_eq!(counted.0.load(Ordering::SeqCst), 0);
        to(port)(request)
    });
    let mut first = request("GET", "http://a.test/");
    first.set_connection_mode(ConnectionMode::Keep);
    assert_eq!(client.send(&mut first).unwrap().read_all(10).unwrap(), b"ok");
    client.set_connector(None);
    assert_eq!(dropped.load(Ordering::SeqCst), 0, "its connection is open");
    client.manager().close_all(CloseMode::Now);
    wait_until("its drop", || dropped.load(Ordering::SeqCst) == 1);
}
