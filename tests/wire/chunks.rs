//! Chunked bodies, whatever the sizes of their chunks and of the caller's buffer are, and however they arrive.

use hangup::{Kind, Response};
use testserver::{Script, Server, Step};

use crate::support::form::{Form, in_both_forms};
use crate::support::get;

in_both_forms! {
    a_chunked_body_is_the_same_whatever_the_buffer_is,
    bytes_behind_a_chunked_body_end_its_connection,
    what_came_before_broken_framing_is_read_first,
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
/// The library reads into the largest directly.
const ROOMS: [usize; 4] = [100, 5000, 16 * 1024, 300 * 1024];

/// A body in chunks of about these sizes, its framing, and its trailers.
fn chunked(sizes: &[usize]) -> (Vec<u8>, Vec<u8>) {
    let (mut body, mut wire) = (Vec::new(), Vec::new());
    for (number, size) in sizes.iter().enumerate() {
        let data: Vec<u8> = (0..*size).map(|at| (at * 31 + number * 7) as u8).collect();
        let extension = if number % 3 == 1 { " ;n=\"v\"" } else { "" };
        wire.extend_from_slice(format!("{size:X}{extension}\r\n").as_bytes());
        wire.extend_from_slice(&data);
        wire.extend_from_slice(b"\r\n");
        body.extend_from_slice(&data);
    }
    wire.extend_from_slice(b"0\r\nX-Sum: 5\r\n\r\n");
    (body, wire)
}

/// Sends the head alone, and the rest in pieces of that size once the head was read.
fn answering(wire: &[u8], piece: usize) -> Server {
    let mut steps = vec![Step::head(), Step::send(HEAD), Step::Await("body".to_owned())];
    steps.extend(wire.chunks(piece).map(|piece| Step::SendHex(piece.to_vec())));
    Server::start(Script::every(vec![Step::Repeat { times: 2, steps }]))
}

/// Reads to the end, or to an error, into a buffer of that size.
fn read_into(response: &mut Response, room: usize) -> (Vec<u8>, Option<hangup::Error>) {
    let (mut all, mut buffer) = (Vec::new(), vec![0; room]);
    loop {
        match response.read(&mut buffer) {
            Ok(0) => return (all, None),
            Ok(got) => all.extend_from_slice(&buffer[..got]),
            Err(error) => return (all, Some(error)),
        }
    }
}

fn a_chunked_body_is_the_same_whatever_the_buffer_is(form: Form) {
    let small = vec![16; 3000];
    let mixed: Vec<usize> = (1..200).chain([20_000, 1, 40_000, 15, 100_000, 33]).collect();
    for sizes in [&small[..], &mixed, &[600_000]] {
        let (body, wire) = chunked(sizes);
        for piece in [1009, wire.len()] {
            for room in ROOMS {
                let server = answering(&wire, piece);
                let client = form.client();
                let mut ids = Vec::new();
                for _ in 0..2 {
                    let mut response = get(&client, &server.url("/")).unwrap();
                    server.release("body");
                    let (read, error) = read_into(&mut response, room);
                    assert!(error.is_none(), "{error:?}, room for {room}");
                    assert!(read == body, "room for {room}, pieces of {piece}");
                    let trailers: Vec<_> = response.trailers().collect();
                    assert_eq!(trailers, [("x-sum", &b"5"[..])]);
                    ids.push(response.connection_id());
                }
                assert_eq!(ids[0], ids[1], "the connection was not kept");
            }
        }
    }
}

fn bytes_behind_a_chunked_body_end_its_connection(form: Form) {
    for room in ROOMS {
        let server = answering(b"5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 1000);
        let client = form.client();
        let mut ids = Vec::new();
        for _ in 0..2 {
            let mut response = get(&client, &server.url("/")).unwrap();
            server.release("body");
            assert_eq!(read_into(&mut response, room).0, b"hello");
            ids.push(response.connection_id());
        }
        assert_ne!(ids[0], ids[1], "a connection with bytes of nothing was used again");
    }
}

fn what_came_before_broken_framing_is_read_first(form: Form) {
    for room in ROOMS {
        let server = answering(b"5\r\nhello\r\n6\r\n world\r\nno size\r\n", 1000);
        let mut response = get(&form.client(), &server.url("/")).unwrap();
        server.release("body");
        let (read, error) = read_into(&mut response, room);
        assert_eq!(read, b"hello world");
        assert_eq!(error.map(|error| error.kind()), Some(Kind::Protocol));
    }
}
