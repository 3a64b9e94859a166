//! How much of a fiber's stack each kind of exchange needs. Thousands of fibers wait at once, each with
//! the memory that its deepest call has touched: a frame that grows shows here.
//!
//! The attributes `#[inline(never)]` of `client`, `http` and `manager` that name a frame are for this: without all
//! of them a dial over plain TCP needs 62 KiB instead of 9, and waits at that depth.

use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use testserver::{Certificate, Script, Server, Step, certs};

use super::Client;
use crate::request::{Body, Request};
use crate::runtime::stack_probe::{StackProbe, StackUse};

/// Runs something as a fiber, and measures it.
fn measure(client: &Arc<Client>, call: impl FnOnce(&Client) + Send + 'static) -> StackUse {
    let (send, receive) = mpsc::channel();
    let runs = Arc::clone(client);
    let work = move || {
        let probe = StackProbe::begin();
        call(&runs);
        probe.end()
    };
    client.manager().spawner().spawn(work, move |used| {
        let _ = send.send(used.unwrap());
    });
    receive.recv_timeout(Duration::from_secs(20)).unwrap()
}

fn get(url: String) -> impl FnOnce(&Client) {
    move |client| {
        let mut response = client.get(&url, None).unwrap();
        assert_eq!(response.read_all(1 << 20).unwrap().len(), 64 * 1024);
    }
}

fn put(url: String) -> impl FnOnce(&Client) {
    move |client| {
        let mut request = Request::new("PUT", &url).unwrap();
        request.set_body(Body::reader(std::io::repeat(b'x').take(100_000), None));
        client.send(&mut request).unwrap().read_all(1 << 20).unwrap();
    }
}

fn paths() -> Step {
    let chunk = format!("{:x}\r\n{}\r\n", 32 * 1024, "x".repeat(32 * 1024));
    let chunked =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n");
    let plain = format!("HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n{}", "x".repeat(65536));
    let reply = |bytes: &str| vec![Step::head(), Step::sleep(5), Step::send(bytes)];
    let put = vec![
        Step::head(),
        Step::body(),
        Step::sleep(5),
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ];
    let steps = [("/plain", reply(&plain)), ("/chunked", reply(&chunked)), ("/put", put)];
    let steps = steps.map(|(path, steps)| (path.to_owned(), steps));
    Step::Repeat { times: 0, steps: vec![Step::ByPath(steps.into())] }
}

/// The bounds are what was measured, and a few percent: one that is exceeded names a frame that has grown.
/// Without optimization frames are several times larger: `cargo test --release` is what counts.
#[test]
fn the_stack_of_an_exchange_stays_as_small_as_it_is() {
    let plain = Server::start(Script::every(vec![paths()]));
    let secure = Server::start(Script::every(vec![Step::Tls(Certificate::Good), paths()]));
    let client = Arc::new(Client::default());
    client.set_tls_roots(certs().ca().as_bytes()).unwrap();
    for (what, used, bound) in [
        ("a dial", measure(&client, get(plain.url("/plain"))), BOUNDS[0]),
        ("a reused connection", measure(&client, get(plain.url("/plain"))), BOUNDS[1]),
        ("a chunked body", measure(&client, get(plain.url("/chunked"))), BOUNDS[2]),
        ("an upload", measure(&client, put(plain.url("/put"))), BOUNDS[3]),
        ("a dial with TLS", measure(&client, get(secure.url("/plain"))), BOUNDS[4]),
        ("a reused connection with TLS", measure(&client, get(secure.url("/plain"))), BOUNDS[5]),
    ] {
        println!("{what}: {used:?}");
        let (peak, wait) = bound;
        assert!(used.peak <= peak, "{what}: the deepest call: {used:?}, the bound is {peak}");
        assert!(used.wait <= wait, "{what}: the deepest wait: {used:?}, the bound is {wait}");
    }
}

/// The deepest call and the deepest wait, in bytes.
const BOUNDS: [(usize, usize); 6] = if cfg!(debug_assertions) {
    [
        (24_000, 14_000),
        (17_000, 14_000),
        (20_800, 14_000),
        (22_300, 19_000),
        (32_000, 29_500),
        (23_600, 14_000),
    ]
} else {
    [
        (9_900, 3_000),
        (3_500, 3_000),
        (5_500, 3_000),
        (4_700, 4_150),
        (14_400, 13_900),
        (4_800, 3_000),
    ]
};
