//! How the body of a request is cut into system calls and TLS records (RFC 8446 section 5.1), wherever its bytes come
//! from, and that they arrive as they are.

use std::io::{Cursor, Read, Write};
use std::os::unix::net::UnixListener;
use std::thread;

use hangup::{Body, Form as Fields, Part};
use testserver::{Certificate, Options, Script, Server, Step};

use crate::support::form::{Client, Form, in_both_forms};
use crate::support::post;

in_both_forms! {
    a_body_arrives_as_it_is_wherever_it_comes_from,
    parts_of_all_sizes_arrive_as_they_are,
    one_call_sends_a_head_and_a_small_body,
    one_record_holds_a_head_and_a_small_body,
    a_large_body_fills_its_records,
}

/// Some pieces of every size, and an odd rest.
const SIZE: usize = (3 << 20) + 12_345;
/// What TLS 1.3 adds to a record: its header, the type of its content, and the tag.
const OVERHEAD: u64 = 5 + 1 + 16;
const RECORD: u64 = 16 * 1024;

/// Bytes of which no two pieces are alike.
fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

fn server(tls: bool) -> Server {
    let tls = tls.then_some(Certificate::Good);
    let answers = Script::every(vec![Step::forever(vec![Step::answer(200, "ok")])]);
    Server::start_with(Options { tls, ..Options::default() }, answers).unwrap()
}

fn send(client: &Client, url: &str, body: Body) {
    let mut response = client.send(&mut post(url, body)).unwrap();
    assert_eq!(response.read_all(9).unwrap(), b"ok");
}

/// Those bytes from each place that a body can come from, with its name.
fn bodies(data: &[u8], file: &std::path::Path) -> Vec<(&'static str, Body)> {
    let known = Some(data.len() as u64);
    let (pushed, writer) = Body::pushed(None);
    let written = data.to_vec();
    thread::spawn(move || {
        let mut writer = writer;
        writer.write(&written).unwrap();
        writer.finish().unwrap();
    });
    let ragged = Ragged { data: data.to_vec(), at: 0, turn: 0 };
    vec![
        ("memory", Body::bytes(data)),
        ("shared", Body::shared(data.to_vec())),
        ("file", Body::file(file).unwrap()),
        ("reader", Body::reader(Cursor::new(data.to_vec()), known)),
        ("chunked", Body::reader(Cursor::new(data.to_vec()), None)),
        ("ragged reader", Body::reader(ragged.clone(), known)),
        ("ragged chunks", Body::reader(ragged, None)),
        ("pushed", pushed),
    ]
}

/// Gives pieces of all sizes.
#[derive(Clone)]
struct Ragged {
    data: Vec<u8>,
    at: usize,
    turn: usize,
}

impl Read for Ragged {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.turn += 1;
        let most = [1, 15, 16, 4095, 1 << 20, 70_000][self.turn % 6];
        let size = most.min(into.len()).min(self.data.len() - self.at);
        into[..size].copy_from_slice(&self.data[self.at..self.at + size]);
        self.at += size;
        Ok(size)
    }
}

fn a_body_arrives_as_it_is_wherever_it_comes_from(form: Form) {
    let path = std::env::temp_dir().join(format!("hangup-pieces-{form:?}-{}", std::process::id()));
    for size in [1, RECORD as usize, SIZE] {
        let data = pattern(size);
        std::fs::write(&path, &data).unwrap();
        for tls in [false, true] {
            let server = server(tls);
            let client = form.tls_client();
            for (at, (name, body)) in bodies(&data, &path).into_iter().enumerate() {
                send(&client, &server.url("/"), body);
                let came = server.bodies(0);
                assert_eq!(came.len(), at + 1);
                assert!(came[at] == data, "{name}, {size} bytes, TLS: {tls}: other bytes came");
            }
        }
    }
    std::fs::remove_file(&path).unwrap();
}

fn parts_of_all_sizes_arrive_as_they_are(form: Form) {
    for tls in [false, true] {
        let mut fields = Fields::new();
        fields.set_boundary("limit").unwrap();
        let mut expected = Vec::new();
        for size in [10, SIZE, 20_000, 0, RECORD as usize, 5] {
            let data = pattern(size);
            fields.add_part("part", Part::bytes(&data)).unwrap();
            expected.extend(b"--limit\r\nContent-Disposition: form-data; name=\"part\"\r\n\r\n");
            expected.extend(data);
            expected.extend(b"\r\n");
        }
        expected.extend(b"--limit--\r\n");
        let server = server(tls);
        let mut request = post(&server.url("/"), Body::none());
        request.set_form(fields).unwrap();
        form.tls_client().send(&mut request).unwrap().read_all(9).unwrap();
        assert!(server.bodies(0) == [&expected[..]], "TLS: {tls}: other bytes came");
    }
}

fn one_call_sends_a_head_and_a_small_body(form: Form) {
    let path =
        std::env::temp_dir().join(format!("hangup-one-call-{form:?}-{}", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let host = path.to_str().unwrap().replace('/', "%2F");
    let serving = thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut room = [0; 4096];
        for _ in 0..TIMES {
            // On a socket of this kind, each call of the sender's can be read as soon as it returns.
            let got = peer.read(&mut room).unwrap();
            let message = &room[..got];
            assert!(message.starts_with(b"POST / HTTP/1.1\r\n"));
            assert!(message.ends_with(&[b'x'; 1024]), "the body came later");
            peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
    });
    let client = form.client();
    for _ in 0..TIMES {
        send(&client, &format!("http+unix://{host}/"), Body::bytes(&[b'x'; 1024]));
    }
    serving.join().unwrap();
    std::fs::remove_file(&path).unwrap();
}

/// So often that two calls would be noticed.
const TIMES: usize = 200;

/// How many bytes the next request adds to what its connection has sent, without its head.
fn sent_for(client: &Client, server: &Server, body: Body) -> (u64, u64) {
    let out = || client.manager().connections()[0].bytes_out;
    let before = out();
    send(client, &server.url("/"), body);
    let head = server.heads(0).pop().unwrap().len() as u64;
    (out() - before, head)
}

fn one_record_holds_a_head_and_a_small_body(form: Form) {
    let (server, client) = (server(true), form.tls_client());
    send(&client, &server.url("/"), Body::none());
    let (sent, head) = sent_for(&client, &server, Body::bytes(&[b'x'; 1024]));
    assert_eq!(sent, head + 1024 + OVERHEAD);
}

fn a_large_body_fills_its_records(form: Form) {
    let (server, client) = (server(true), form.tls_client());
    send(&client, &server.url("/"), Body::none());
    let data = pattern(SIZE);
    let (sent, head) = sent_for(&client, &server, Body::bytes(&data));
    let records = (head + SIZE as u64).div_ceil(RECORD);
    assert_eq!(sent, head + SIZE as u64 + records * OVERHEAD, "from memory");
    // The head, the first piece, which is small, and the end of the chunks have a record each.
    for length in [Some(SIZE as u64), None] {
        let body = Body::reader(Cursor::new(data.clone()), length);
        let (sent, head) = sent_for(&client, &server, body);
        let records = (SIZE as u64).div_ceil(RECORD) + 4;
        let framing = if length.is_some() { 0 } else { 400 };
        let most = head + SIZE as u64 + records * OVERHEAD + framing;
        assert!(sent <= most, "a reader of {length:?} bytes: {sent} of at most {most}");
    }
}
