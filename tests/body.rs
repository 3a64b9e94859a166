//! What a request carries: bytes, a file, or what a reader gives, to its end exactly once (Q7).

mod support;

use std::fs;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hangup::{Body, Client, Error, Kind, Phase, Reason, Sent};
use support::look::{assert_at_rest, assert_gone, sockets};
use support::source::Source;
use support::{client, fetch, post, request};
use testserver::{Script, Server, Step};

/// Takes whole requests and answers each with "ok".
fn taking() -> Server {
    Server::start(Script::answering("ok"))
}

fn send(client: &Client, server: &Server, body: Body) -> Result<Vec<u8>, Error> {
    client.send(&mut post(&server.url("/"), body))?.read_all(100)
}

/// The header lines of the last request that begin with that.
fn lines(server: &Server, start: &str) -> Vec<String> {
    let head = server.heads(server.connections() - 1).pop().unwrap();
    let lines = head.lines().filter(|line| line.to_lowercase().starts_with(start));
    lines.map(str::to_lowercase).collect()
}

fn scratch(name: &str, content: &[u8]) -> PathBuf {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("q7-{name}"));
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn q7_bytes_a_file_and_readers_arrive_whole() {
    let client = client();
    for size in [0, 1, 1000, 70_000, 1_000_000] {
        let data: Vec<u8> = (0..size).map(|n: usize| (n * 7 % 251) as u8).collect();
        let path = scratch(&format!("file-{size}"), &data);
        let (copy, same) = (data.clone(), data.clone());
        let bodies = [
            (Body::bytes(&data), true),
            (Body::file(&path).unwrap(), true),
            (Body::reader(io::Cursor::new(copy), Some(size as u64)), true),
            (Body::reader(io::Cursor::new(same), None), false),
        ];
        for (body, known) in bodies {
            let server = taking();
            assert_eq!(send(&client, &server, body).unwrap(), b"ok");
            assert!(server.bodies(0)[0] == data, "{size} bytes, length known: {known}");
            let (length, coding) =
                (lines(&server, "content-length:"), lines(&server, "transfer-encoding:"));
            match known {
                true => {
                    assert_eq!((length, coding.len()), (vec![format!("content-length: {size}")], 0))
                }
                false => assert_eq!(
                    (length.len(), coding),
                    (0, vec!["transfer-encoding: chunked".to_owned()])
                ),
            }
            assert_at_rest(client.manager());
        }
    }
}

#[test]
fn q7_no_body_says_so_where_the_method_expects_one() {
    let server = taking();
    let client = client();
    for (method, expected) in
        [("POST", 1), ("PUT", 1), ("PATCH", 1), ("GET", 0), ("HEAD", 0), ("DELETE", 0)]
    {
        client.send(&mut request(method, &server.url("/"))).unwrap().read_all(10).unwrap();
        let lengths = lines(&server, "content-length:");
        assert_eq!(lengths, vec!["content-length: 0"; expected], "{method}");
        assert!(lines(&server, "transfer-encoding:").is_empty());
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn q7_a_reader_is_read_to_its_length_and_dropped_once() {
    let server = taking();
    let client = client();
    // It would give more than it said: the rest is not asked for.
    let (source, account) = Source::endless();
    assert_eq!(send(&client, &server, source.of_length(100_000)).unwrap(), b"ok");
    assert_eq!(server.bodies(0)[0].len(), 100_000);
    account.assert_dropped_once();
    // One byte at a time, with interruptions.
    let (source, account) = Source::new(|number, into| match number {
        _ if number % 2 == 0 => Err(io::ErrorKind::Interrupted.into()),
        201.. => Ok(0),
        _ => {
            into[0] = b'i';
            Ok(1)
        }
    });
    assert_eq!(send(&client, &server, source.chunked()).unwrap(), b"ok");
    assert_eq!(server.bodies(0)[1], [b'i'; 100]);
    account.assert_dropped_once();
    assert_eq!(server.connections(), 1, "and the connection is kept");
}

/// A body that goes wrong, and what must come of it.
#[track_caller]
fn fails(what: &str, body: Body, parts: &[&str]) -> Error {
    let server = taking();
    let client = client();
    let error = send(&client, &server, body).unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (Kind::BodyFailed, Phase::Write),
        "{what}: {error:?}"
    );
    for part in parts {
        assert!(error.message().contains(part), "{what}: {error} does not say {part:?}");
    }
    assert_ne!(error.sent(), Sent::All);
    assert_gone(client.manager(), server.port());
    // The server never saw a whole request; and the client is as good as new.
    assert!(server.bodies(0).is_empty(), "{what}");
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
    error
}

#[test]
fn q7_a_reader_that_fails_ends_the_exchange_with_its_own_error() {
    for (fine, length) in [(0, None), (3, None), (0, Some(10_000)), (3, Some(10_000))] {
        let (source, account) = Source::new(move |number, into| {
            if number == fine {
                return Err(io::Error::other("the disk is on fire"));
            }
            into[..100].fill(b'u');
            Ok(100)
        });
        let body = match length {
            None => source.chunked(),
            Some(length) => source.of_length(length),
        };
        fails("a reader that fails", body, &["the disk is on fire"]);
        account.assert_dropped_once();
        assert_eq!(account.reads(), fine + 1, "not read again after it failed");
    }
}

#[test]
fn q7_a_reader_that_is_short_ends_the_exchange_with_its_own_error() {
    for pieces in [0, 3] {
        let (source, account) = Source::pieces(pieces, 100, |_| {});
        let error = fails("short", source.of_length(1000), &["short", "1000"]);
        assert!(error.message().contains(&(pieces * 100).to_string()), "{error}");
        account.assert_dropped_once();
    }
}

#[test]
fn q7_a_file_that_shrinks_or_is_none_is_an_error() {
    let path = scratch("shrinks", &[b'f'; 100_000]);
    let server = taking();
    let client = client();
    let mut request = post(&server.url("/"), Body::file(&path).unwrap());
    // Its length is taken when it is sent, not when it is named; so is the file.
    fs::write(&path, "short now").unwrap();
    client.send(&mut request).unwrap().read_all(10).unwrap();
    assert_eq!(server.bodies(0)[0], b"short now");
    fs::remove_file(&path).unwrap();
    let error = client.send(&mut request).unwrap_err();
    assert_eq!(error.kind(), Kind::System, "{error:?}");
    assert!(
        error.message().contains("q7-shrinks") && error.os_code() == Some(libc::ENOENT),
        "{error:?}"
    );
    for none in ["/nowhere/file", "/", "/dev/null"] {
        let error = Body::file(none).unwrap_err();
        assert_eq!(error.kind(), Kind::System, "{none}");
        assert!(error.message().contains(none), "{error}");
    }
    assert_at_rest(client.manager());
}

#[test]
fn q7_a_readers_body_can_be_sent_once_and_others_again() {
    let server = taking();
    let client = client();
    let (source, account) = Source::pieces(2, 10, |_| {});
    let mut request = post(&server.url("/"), source.chunked());
    assert_eq!(request.try_clone().unwrap_err().kind(), Kind::InvalidState);
    client.send(&mut request).unwrap().read_all(10).unwrap();
    account.assert_dropped_once();
    let heads = server.heads(0).len();
    let error = client.send(&mut request).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidState, "{error:?}");
    assert!(error.message().contains("sent before"), "{error}");
    assert_eq!(server.heads(0).len(), heads, "nothing was sent");
    let mut request = post(&server.url("/"), Body::bytes(b"again"));
    let mut copy = request.try_clone().unwrap();
    for request in [&mut request, &mut copy] {
        client.send(request).unwrap().read_all(10).unwrap();
        client.send(request).unwrap().read_all(10).unwrap();
    }
    assert_eq!(server.bodies(0)[1..], vec![b"again".to_vec(); 4]);
    // A reader that is never sent is dropped with its request.
    let (source, account) = Source::endless();
    drop(post(&server.url("/"), source.chunked()));
    account.assert_dropped_once();
}

#[test]
fn a_reader_that_panics_leaves_no_connection_and_no_slot_behind() {
    let server = Server::start(Script::answering("ok"));
    let client = client();
    let (source, account) = Source::new(|number, into| {
        assert_ne!(number, 2, "a bug in the caller's reader");
        Ok(into.len().min(100))
    });
    let mut request = post(&server.url("/"), source.chunked());
    let outcome = catch_unwind(AssertUnwindSafe(|| client.send(&mut request).map(drop)));
    assert!(outcome.is_err(), "the panic is the caller's: it goes through, {outcome:?}");
    account.assert_dropped_once();
    assert_gone(client.manager(), server.port());
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
}

#[test]
fn a_reader_may_send_a_request_of_its_own() {
    struct Nested(Client, String, Option<io::Cursor<Vec<u8>>>);
    impl Read for Nested {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.2.is_none() {
                let fetched = fetch(&self.0, &self.1).map_err(io::Error::other)?;
                self.2 = Some(io::Cursor::new(fetched));
            }
            self.2.as_mut().unwrap().read(into)
        }
    }
    let (inner, outer) = (Server::start(Script::answering("from inside")), taking());
    let client = client();
    let nested = Nested(Client::new(std::sync::Arc::clone(client.manager())), inner.url("/"), None);
    assert_eq!(send(&client, &outer, Body::reader(nested, None)).unwrap(), b"ok");
    assert_eq!(outer.bodies(0)[0], b"from inside");
    assert_eq!(client.manager().stats().idle, 2);
}

#[test]
fn an_early_answer_ends_the_upload_and_the_connection() {
    // R10, W11: refused while the upload is under way.
    let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
    let steps = vec![Step::head(), Step::send(answer), Step::eof()];
    let server = Server::start(Script::every(steps));
    let client = client();
    let (source, account) = Source::endless();
    let mut request = post(&server.url("/"), source.of_length(1 << 40));
    let begun = Instant::now();
    let mut response = client.send(&mut request).unwrap();
    // However much was still to be sent.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!((response.status(), response.read_all(10).unwrap()), (403, b"no".to_vec()));
    account.assert_dropped_once();
    assert_eq!(sockets(server.port()), []);
    let why = client.manager().why_closed(response.connection());
    assert_eq!(why, Some(Reason::AskedByResponse));
}
