//! No byte of one exchange reaches another: bytes after a response are never read as the next response, and a request
//! that was not sent completely is never completed by the next one. Each layer that buffers bytes is tested: the socket,
//! urgent data in it, TLS, and the TLS of a proxy below it (R11, W10).

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc;

use hangup::{Body, CloseMode, Request};
use testserver::{Certificate, Options, Proxy, ProxyOptions, Script, Server, Step};

use crate::support::form::{Client, Form, Response, in_both_forms};
use crate::support::{PATIENCE, post, request};

in_both_forms! {
    bytes_after_a_response_in_tls_are_not_the_next_response,
    bytes_after_a_response_in_the_tls_of_a_proxy_are_not_the_next_response,
    bytes_after_urgent_data_are_not_the_next_response,
    urgent_data_inside_a_body_does_not_stop_it,
    bytes_after_descriptors_that_a_unix_peer_passes_are_not_the_next_response,
    a_body_that_was_announced_and_not_sent_is_not_the_next_request,
    a_redirect_instead_of_100_continue_is_followed_on_another_connection,
}

/// A response that the server sends without a request.
const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON";

/// A response of that many bytes, head and body together.
fn response(size: usize) -> String {
    let head = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length:06}\r\n\r\n");
    let length = size - head(0).len();
    head(length) + &"a".repeat(length)
}

/// A server that sends each response together with an unsolicited one. In TLS each is a record of its own, and both are
/// in one segment.
fn poisoning(size: usize, tls: Option<Certificate>) -> Server {
    let answer = vec![
        Step::head(),
        Step::Cork(true),
        Step::send(&response(size)),
        Step::send(POISON),
        Step::Cork(false),
    ];
    let options = Options { tls, ..Options::default() };
    Server::start_with(options, Script::every(vec![Step::forever(answer)])).unwrap()
}

/// Sizes around those of a TLS record (16 KiB), of the buffers, and of reads directly into the caller's buffer.
const SIZES: [usize; 6] = [60, 16_383, 16_384, 16_385, 32_768, 70_000];

/// Sends several requests in a row and reads in pieces of this size: each gets its own response.
fn all_are_their_own(client: &Client, server: &Server, size: usize, piece: usize) {
    let rounds = 3;
    let mut connections = Vec::new();
    for _ in 0..rounds {
        let mut response = client.send(&mut request("GET", &server.url("/"))).unwrap();
        let body = read(&mut response, piece);
        assert!(body.iter().all(|byte| *byte == b'a'), "{size}, {piece}: another response");
        connections.push(response.connection_id());
        // The bytes after the response have arrived before the next request.
        assert!(server.wait_listening(PATIENCE));
    }
    connections.dedup();
    assert_eq!(connections.len(), rounds, "{size}, {piece}: a connection was used again");
}

fn read(response: &mut Response, piece: usize) -> Vec<u8> {
    let (mut body, mut into) = (Vec::new(), vec![0; piece]);
    loop {
        match response.read(&mut into).unwrap() {
            0 => return body,
            got => body.extend_from_slice(&into[..got]),
        }
    }
}

fn bytes_after_a_response_in_tls_are_not_the_next_response(form: Form) {
    for version in [Certificate::Good, Certificate::Tls12] {
        for size in SIZES {
            let server = poisoning(size, Some(version));
            for piece in [1000, 16 * 1024, 64 * 1024] {
                all_are_their_own(&form.tls_client(), &server, size, piece);
            }
        }
    }
}

fn bytes_after_a_response_in_the_tls_of_a_proxy_are_not_the_next_response(form: Form) {
    let options = ProxyOptions { tls: Some(Certificate::Good), ..ProxyOptions::default() };
    let proxy = Proxy::start_with(options).unwrap();
    for size in SIZES {
        let server = poisoning(size, Some(Certificate::Good));
        let client = form.tls_client();
        client.set_proxy(Some(&proxy.url())).unwrap();
        all_are_their_own(&client, &server, size, 16 * 1024);
    }
}

fn bytes_after_urgent_data_are_not_the_next_response(form: Form) {
    // A read stops before urgent data, regardless of the buffer's size (tcp(7)).
    let answer = vec![
        Step::head(),
        Step::Cork(true),
        Step::send(&response(60)),
        Step::Urgent("!".to_owned()),
        Step::send(POISON),
        Step::Cork(false),
    ];
    let server = Server::start(Script::every(vec![Step::forever(answer)]));
    all_are_their_own(&form.client(), &server, 60, 1000);
}

fn urgent_data_inside_a_body_does_not_stop_it(form: Form) {
    let answer = vec![
        Step::head(),
        Step::Cork(true),
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\naaaa"),
        Step::Urgent("a!".to_owned()),
        Step::send("aaaaa"),
        Step::Cork(false),
        Step::eof(),
    ];
    let server = Server::start(Script::every(answer));
    let mut response = form.client().get(&server.url("/"), Some(PATIENCE)).unwrap();
    // The urgent byte itself is not part of the stream.
    assert_eq!(read(&mut response, 1000), b"a".repeat(10));
}

fn bytes_after_descriptors_that_a_unix_peer_passes_are_not_the_next_response(form: Form) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("passes-{form:?}-{}", std::process::id()));
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let (sent, was_sent) = mpsc::channel();
    let server = std::thread::spawn(move || {
        for _ in 0..3 {
            let (mut peer, _) = listener.accept().unwrap();
            peer.set_read_timeout(Some(PATIENCE)).unwrap();
            let _ = peer.read(&mut [0; 1000]).unwrap();
            // A read stops after bytes that carry descriptors (unix(7)).
            send_with_a_descriptor(&peer, response(60).as_bytes());
            let _ = peer.write_all(POISON.as_bytes());
            sent.send(()).unwrap();
            let _ = peer.read(&mut [0; 1]);
        }
    });
    let client = form.client();
    let url = format!("http+unix://{}/", path.to_str().unwrap().replace('/', "%2F"));
    for _ in 0..3 {
        let mut response = client.get(&url, Some(PATIENCE)).unwrap();
        let body = read(&mut response, 1000);
        assert!(body.iter().all(|byte| *byte == b'a'), "another response: {body:?}");
        was_sent.recv_timeout(PATIENCE).unwrap();
    }
    client.manager().close_all(CloseMode::Now);
    server.join().unwrap();
    fs::remove_file(&path).unwrap();
}

/// Sends bytes together with the descriptor of the socket itself.
fn send_with_a_descriptor(peer: &UnixStream, bytes: &[u8]) {
    let mut piece =
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // The size of CMSG_SPACE for one descriptor, with the alignment of cmsghdr.
    let mut control = [0u64; 4];
    // SAFETY: the message, its piece and its control data outlive the call; one header and one descriptor fit.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut piece;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(header).cast::<i32>().write_unaligned(peer.as_raw_fd());
        libc::sendmsg(peer.as_raw_fd(), &raw const message, 0)
    };
    assert_eq!(usize::try_from(sent), Ok(bytes.len()));
}

/// A request with `Expect: 100-continue`.
fn expecting(url: &str) -> Request {
    let mut request = post(url, Body::bytes(&[b'x'; 100]));
    request.add_header("Expect", "100-continue").unwrap();
    request
}

fn a_body_that_was_announced_and_not_sent_is_not_the_next_request(form: Form) {
    for tls in [None, Some(Certificate::Good)] {
        for status in [200, 401, 404, 413, 500] {
            for rest in [
                "Content-Length: 2\r\n\r\nno",
                "Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
                "Content-Length: 0\r\n\r\n",
            ] {
                let answer = format!("HTTP/1.1 {status} No\r\n{rest}");
                let steps = vec![Step::head(), Step::send(&answer), Step::eof()];
                let options = Options { tls, ..Options::default() };
                let server = Server::start_with(options, Script::every(steps)).unwrap();
                let client = form.tls_client();
                let mut refused = client.send(&mut expecting(&server.url("/"))).unwrap();
                refused.read_all(10).unwrap();
                assert_eq!(refused.status_code(), status);
                let mut secret = request("GET", &server.url("/"));
                secret.add_header("Authorization", "Bearer secret").unwrap();
                let next = client.send(&mut secret).unwrap();
                assert_ne!(next.connection_id(), refused.connection_id(), "{answer:?}");
                assert!(server.wait_ended(0, PATIENCE).is_some());
                let first = String::from_utf8(server.received(0)).unwrap();
                assert!(!first.contains("secret"), "{answer:?}: {first}");
            }
        }
    }
}

fn a_redirect_instead_of_100_continue_is_followed_on_another_connection(form: Form) {
    for status in [301, 303, 307, 308] {
        let answer =
            format!("HTTP/1.1 {status} X\r\nLocation: /there\r\nContent-Length: 2\r\n\r\nno");
        let refused = vec![Step::head(), Step::send(&answer), Step::eof()];
        let taken = vec![
            Step::head(),
            Step::send("HTTP/1.1 100 Continue\r\n\r\n"),
            Step::body(),
            Step::send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ];
        let plain = vec![Step::answer(200, "ok")];
        let second = if status < 304 { plain } else { taken };
        let server = Server::start(Script::new(vec![refused, second]));
        let mut response = form.client().send(&mut expecting(&server.url("/"))).unwrap();
        assert_eq!(response.read_all(10).unwrap(), b"ok");
        assert!(server.wait_ended(0, PATIENCE).is_some());
        let first = String::from_utf8(server.received(0)).unwrap();
        assert!(first.ends_with("\r\n\r\n"), "{status}: more than the head: {first}");
        assert_eq!(server.connections(), 2);
    }
}
