//! Requests: what must never be sent, what is sent, and bodies, which are read to their end and dropped exactly once (Q1,
//! Q2, Q7).

use std::fs;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hangup::{
    Body, CancelToken, CloseMode, CloseReason, Error, Kind, Phase, Request, Sent, Timeout,
};
use testserver::{Options, Script, Server, Step};

use crate::support::counted_reader::CountedReader;
use crate::support::form::{Client, Form, Response, in_both_forms};
use crate::support::inspect::{assert_at_rest, assert_gone, assert_sockets, sockets};
use crate::support::{PATIENCE, fetch, get, post, request, wait_until};

in_both_forms! {
    q7_bytes_files_and_readers_arrive_complete,
    q7_a_request_without_a_body_sends_length_zero_where_the_method_expects_one,
    q7_a_reader_is_read_to_its_length_and_dropped_once,
    q7_a_reader_that_fails_ends_the_exchange_with_its_own_error,
    q7_a_reader_that_is_short_ends_the_exchange_with_its_own_error,
    q7_a_file_that_shrinks_or_does_not_exist_is_an_error,
    q7_a_file_with_an_unreliable_size_is_sent_to_its_end,
    q7_a_file_that_grows_while_it_is_sent_is_an_error_and_never_cut_off,
    q7_a_reader_can_be_sent_once_and_other_bodies_repeatedly,
    a_reader_that_panics_leaks_no_connection_and_no_slot,
    a_reader_may_send_a_request_of_its_own,
    an_early_response_ends_the_upload_and_the_connection,
    q1_text_that_could_split_a_request_is_refused_before_anything_is_opened,
    q1_urls_are_sent_as_the_url_standard_defines,
    q1_ipv6_literals_work,
    q2_the_librarys_own_headers_cannot_be_contradicted,
    request_heads_of_up_to_a_mebibyte_are_sent,
    a_larger_head_is_refused_before_a_byte_is_sent,
}

/// Reads complete requests and answers each with "ok".
fn taking() -> Server {
    Server::start(Script::answering("ok"))
}

fn send(client: &Client, server: &Server, body: Body) -> Result<Vec<u8>, Error> {
    client.send(&mut post(&server.url("/"), body))?.read_all(100)
}

/// The header lines of the last request with this beginning.
fn lines(server: &Server, start: &str) -> Vec<String> {
    let head = server.heads(server.connections() - 1).pop().unwrap();
    let lines = head.lines().filter(|line| line.to_lowercase().starts_with(start));
    lines.map(str::to_lowercase).collect()
}

fn scratch(form: Form, name: &str, content: &[u8]) -> PathBuf {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("q7-{name}-{form:?}-{}", std::process::id()));
    fs::write(&path, content).unwrap();
    path
}

fn q7_bytes_files_and_readers_arrive_complete(form: Form) {
    let client = form.client();
    for size in [0, 1, 1000, 70_000, 1_000_000] {
        let data: Vec<u8> = (0..size).map(|n: usize| (n * 7 % 251) as u8).collect();
        let path = scratch(form, &format!("file-{size}"), &data);
        let (copy, same) = (data.clone(), data.clone());
        let bodies = [
            (Body::bytes(&data), true),
            (Body::shared(data.clone()), true),
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
        fs::remove_file(path).unwrap();
    }
}

fn q7_a_request_without_a_body_sends_length_zero_where_the_method_expects_one(form: Form) {
    let server = taking();
    let client = form.client();
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

fn q7_a_reader_is_read_to_its_length_and_dropped_once(form: Form) {
    let server = taking();
    let client = form.client();
    // The reader has more bytes than its length: the rest is not read.
    let (source, account) = CountedReader::endless();
    assert_eq!(send(&client, &server, source.of_length(100_000)).unwrap(), b"ok");
    assert_eq!(server.bodies(0)[0].len(), 100_000);
    account.assert_dropped_once();
    // One byte at a time, with interruptions.
    let (source, account) = CountedReader::new(|number, into| match number {
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

/// A body that fails, and the error that it must cause.
#[track_caller]
fn fails(form: Form, what: &str, body: Body, parts: &[&str]) -> Error {
    let server = taking();
    let client = form.client();
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
    // The server got no complete request, and the client serves requests as before.
    assert!(server.bodies(0).is_empty(), "{what}");
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
    error
}

fn q7_a_reader_that_fails_ends_the_exchange_with_its_own_error(form: Form) {
    for (fine, length) in [(0, None), (3, None), (0, Some(10_000)), (3, Some(10_000))] {
        let (source, account) = CountedReader::new(move |number, into| {
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
        fails(form, "a reader that fails", body, &["the disk is on fire"]);
        account.assert_dropped_once();
        assert_eq!(account.reads(), fine + 1, "not read again after it failed");
    }
}

fn q7_a_reader_that_is_short_ends_the_exchange_with_its_own_error(form: Form) {
    for pieces in [0, 3] {
        let (source, account) = CountedReader::pieces(pieces, 100, |_| {});
        let error = fails(form, "short", source.of_length(1000), &["short", "1000"]);
        assert!(error.message().contains(&(pieces * 100).to_string()), "{error}");
        account.assert_dropped_once();
    }
}

fn q7_a_file_that_shrinks_or_does_not_exist_is_an_error(form: Form) {
    let path = scratch(form, "shrinks", &[b'f'; 100_000]);
    let server = taking();
    let client = form.client();
    let mut request = post(&server.url("/"), Body::file(&path).unwrap());
    // The file is opened, and its length taken, when it is sent and not when it is set.
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

fn q7_a_file_with_an_unreliable_size_is_sent_to_its_end(form: Form) {
    let client = form.client();
    // proc(5) reports a size of zero, sysfs(5) of a page. The content of these files is constant.
    let small =
        ["/proc/version", "/proc/filesystems", "/sys/kernel/mm/transparent_hugepage/enabled"];
    for path in small.into_iter().filter(|path| std::path::Path::new(path).exists()) {
        let whole = fs::read(path).unwrap();
        assert_ne!(fs::metadata(path).unwrap().len(), whole.len() as u64);
        let server = taking();
        assert_eq!(send(&client, &server, Body::file(path).unwrap()).unwrap(), b"ok");
        assert!(server.bodies(0)[0] == whole, "{path}");
        let length = vec![format!("content-length: {}", whole.len())];
        assert_eq!(lines(&server, "content-length:"), length, "{path}");
    }
    // More than the library reads ahead.
    let path = "/proc/kallsyms";
    if let Some(whole) = fs::read(path).ok().filter(|whole| whole.len() > 100_000) {
        let server = taking();
        assert_eq!(send(&client, &server, Body::file(path).unwrap()).unwrap(), b"ok");
        assert!(server.bodies(0)[0] == whole, "{path}");
        assert_eq!(lines(&server, "transfer-encoding:"), ["transfer-encoding: chunked"]);
    }
    assert_at_rest(client.manager());
}

fn q7_a_file_that_grows_while_it_is_sent_is_an_error_and_never_cut_off(form: Form) {
    const SIZE: usize = 16_000_000;
    let path = scratch(form, "grows", &vec![b'f'; SIZE]);
    // The server reads nothing before the file has grown: the buffers cannot hold that much.
    let steps = vec![Step::head(), Step::wait_for("grown"), Step::eof()];
    let server = Server::start(Script::every(steps));
    let client = form.client();
    let mut request = post(&server.url("/"), Body::file(&path).unwrap());
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(server.wait_heads(1, PATIENCE));
            let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(b"more").unwrap();
            server.release("grown");
        });
        client.send(&mut request).unwrap_err()
    });
    assert_eq!((error.kind(), error.phase()), (Kind::BodyFailed, Phase::Write), "{error:?}");
    assert!(error.message().contains("grew") && error.message().contains("16000000"), "{error}");
    assert_ne!(error.sent(), Sent::All);
    assert_gone(client.manager(), server.port());
    fs::remove_file(path).unwrap();
}

#[test]
fn q7_a_fifo_and_a_device_are_refused_at_once_without_disturbing_a_writer() {
    let path = scratch(Form::Blocking, "fifo", b"");
    fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let (sender, receiver) = mpsc::channel();
    let opened = {
        let path = path.clone();
        std::thread::spawn(move || {
            for path in [path, "/dev/zero".into(), "/dev/tty".into(), "/".into()] {
                let error = Body::file(&path).unwrap_err();
                assert_eq!(error.kind(), Kind::System, "{}: {error}", path.display());
            }
            sender.send(()).unwrap();
        })
    };
    receiver.recv_timeout(PATIENCE).unwrap();
    opened.join().unwrap();
    // A path that is a file when it is set, and a FIFO when it is sent.
    let server = taking();
    let file = scratch(Form::Blocking, "was-a-file", b"content");
    let mut request = post(&server.url("/"), Body::file(&file).unwrap());
    fs::rename(&path, &file).unwrap();
    let error = crate::support::client().send(&mut request).unwrap_err();
    assert_eq!(error.kind(), Kind::System, "{error}");
    assert!(error.message().contains("no regular file"), "{error}");
    assert_eq!(server.connections(), 0);
    fs::remove_file(file).unwrap();
}

fn q7_a_reader_can_be_sent_once_and_other_bodies_repeatedly(form: Form) {
    let server = taking();
    let client = form.client();
    let (source, account) = CountedReader::pieces(2, 10, |_| {});
    let mut request = post(&server.url("/"), source.chunked());
    assert_eq!(request.try_clone().unwrap_err().kind(), Kind::InvalidState);
    client.send(&mut request).unwrap().read_all(10).unwrap();
    account.assert_dropped_once();
    // A submission consumes its request, so it cannot be sent twice.
    if form == Form::Blocking {
        let heads = server.heads(0).len();
        let error = client.send(&mut request).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidState, "{error:?}");
        assert!(error.message().contains("sent before"), "{error}");
        assert_eq!(server.heads(0).len(), heads, "nothing was sent");
    }
    let mut request = post(&server.url("/"), Body::bytes(b"again"));
    let mut copy = request.try_clone().unwrap();
    for request in [&mut request, &mut copy] {
        client.send(request).unwrap().read_all(10).unwrap();
        client.send(request).unwrap().read_all(10).unwrap();
    }
    assert_eq!(server.bodies(0)[1..], vec![b"again".to_vec(); 4]);
    // A reader that is never sent is dropped with its request.
    let (source, account) = CountedReader::endless();
    drop(post(&server.url("/"), source.chunked()));
    account.assert_dropped_once();
}

fn a_reader_that_panics_leaks_no_connection_and_no_slot(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    let (source, account) = CountedReader::new(|number, into| {
        assert_ne!(number, 2, "a bug in the caller's reader");
        Ok(into.len().min(100))
    });
    let mut request = post(&server.url("/"), source.chunked());
    let outcome = catch_unwind(AssertUnwindSafe(|| client.send(&mut request).map(drop)));
    match (form, outcome) {
        // On the caller's own thread the panic of the caller's reader unwinds through the call.
        (Form::Blocking, outcome) => assert!(outcome.is_err(), "{outcome:?}"),
        (Form::Submitted, outcome) => {
            assert_eq!(outcome.unwrap().unwrap_err().kind(), Kind::Panic);
        }
    }
    account.assert_dropped_once();
    assert_gone(client.manager(), server.port());
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
}

/// In the submitted form only: in the blocking form the stalled reader occupies the caller's thread.
#[test]
fn q7_a_reader_that_stalls_does_not_delay_the_end_of_its_submission() {
    type End = (&'static str, Kind, fn(&hangup::Client, &CancelToken, &mut Request, bool));
    let ends: [End; 6] = [
        ("total", Kind::TimedOut, |_, _, request, begun| {
            if !begun {
                request.set_timeout(Timeout::Total, Some(Duration::from_millis(300))).unwrap();
            }
        }),
        ("token deadline", Kind::TimedOut, |_, token, _, begun| {
            if begun {
                token.after(Duration::from_millis(20));
            }
        }),
        ("token", Kind::Cancelled, |_, token, _, begun| {
            if begun {
                token.fire(None);
            }
        }),
        ("its connection", Kind::Closed, |client, _, _, begun| {
            if begun {
                let id = client.manager().connections()[0].id;
                client.manager().close_connection(id, CloseMode::Now).unwrap();
            }
        }),
        ("all", Kind::Closed, |client, _, _, begun| {
            if begun {
                client.manager().close_all(CloseMode::Now);
            }
        }),
        ("shutdown", Kind::ShutDown, |client, _, _, begun| {
            if begun {
                client.manager().shutdown();
            }
        }),
    ];
    for (what, kind, end) in ends {
        for (fine, length) in [(0, None), (2, None), (0, Some(10_000)), (2, Some(10_000))] {
            let server = taking();
            let client = crate::support::client();
            let (stalls, stalled) = mpsc::channel();
            let (go_on, released) = mpsc::channel::<()>();
            let (source, account) = CountedReader::new(move |number, into| {
                if number == fine {
                    stalls.send(()).unwrap();
                    let _ = released.recv();
                }
                into[..100].fill(b'u');
                Ok(100)
            });
            let body = match length {
                None => source.chunked(),
                Some(length) => source.of_length(length),
            };
            let token = CancelToken::new();
            let mut request = post(&server.url("/"), body);
            request.set_cancel(Some(token.clone()));
            end(&client, &token, &mut request, false);
            let submission = client.submit(request);
            stalled.recv_timeout(PATIENCE).unwrap();
            end(&client, &token, &mut post(&server.url("/"), Body::none()), true);
            let error = submission.wait().unwrap_err();
            assert_eq!((error.kind(), error.phase()), (kind, Phase::Write), "{what}: {error:?}");
            assert_gone(client.manager(), server.port());
            assert_eq!(account.drops.load(Ordering::SeqCst), 0, "{what}: it is read from");
            drop(go_on);
            account.assert_dropped_once();
            assert_eq!(account.reads(), fine + 1, "{what}");
        }
    }
}

#[test]
fn q7_dropping_a_submission_releases_a_reader_that_stalls() {
    let server = taking();
    let client = crate::support::client();
    let (stalls, stalled) = mpsc::channel();
    let (go_on, released) = mpsc::channel::<()>();
    let (source, account) = CountedReader::new(move |_, _| {
        stalls.send(()).unwrap();
        let _ = released.recv();
        panic!("after the submission was dropped");
    });
    let submission = client.submit(post(&server.url("/"), source.chunked()));
    stalled.recv_timeout(PATIENCE).unwrap();
    drop(submission);
    wait_until("the connection is gone", || client.manager().connections().is_empty());
    drop(go_on);
    account.assert_dropped_once();
}

fn a_reader_may_send_a_request_of_its_own(form: Form) {
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
    let client = form.client();
    let nested = Nested(client.sibling(), inner.url("/"), None);
    assert_eq!(send(&client, &outer, Body::reader(nested, None)).unwrap(), b"ok");
    assert_eq!(outer.bodies(0)[0], b"from inside");
    assert_eq!(client.manager().stats().idle, 2);
}

fn an_early_response_ends_the_upload_and_the_connection(form: Form) {
    // R10, W11: refused during the upload.
    let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
    let steps = vec![Step::head(), Step::send(answer), Step::eof()];
    let server = Server::start(Script::every(steps));
    let client = form.client();
    let (source, account) = CountedReader::endless();
    let mut request = post(&server.url("/"), source.of_length(1 << 40));
    request.set_timeout(Timeout::Total, Some(PATIENCE)).unwrap();
    let begun = Instant::now();
    let mut response = client.send(&mut request).unwrap();
    // Regardless of the number of bytes that were still to be sent.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!((response.status_code(), response.read_all(10).unwrap()), (403, b"no".to_vec()));
    account.assert_dropped_once();
    assert_eq!(sockets(server.port()), []);
    let why = client.manager().close_reason(response.connection_id());
    assert_eq!(why, Some(CloseReason::AskedByResponse));
}

/// The request as the server received it.
fn seen(client: &Client, server: &Server, request: &mut Request) -> String {
    let _: Response = client.send(request).unwrap();
    assert!(server.wait_heads(1, PATIENCE));
    server.heads(server.connections() - 1).pop().unwrap()
}

fn q1_text_that_could_split_a_request_is_refused_before_anything_is_opened(form: Form) {
    let server = Server::start(Script::echoing());
    let client = form.client();
    let bad = ["\r", "\n", "\r\n", "\0", " ", "\r\nX: y", "a\r\n\r\nGET / HTTP/1.1"];
    let check = |outcome: Result<(), Error>, kind: Kind, what: &str| {
        let error = outcome.expect_err(what);
        assert_eq!(error.kind(), kind, "{what:?}: {error:?}");
        assert_eq!(
            (error.phase(), error.connection_id(), error.bytes_sent()),
            (Phase::None, None, 0)
        );
    };
    for text in bad {
        for url in [
            // A space inside is encoded; only at the end it could be meant in two ways.
            server.url(&format!("/{text}x{}", if text == " " { " " } else { "" })),
            server.url(&format!("/?q={text}")),
            server.url(&format!("/#{text}")),
            format!("http://127.0.0.1{text}:{}/", server.port()),
            format!("http://us{text}er@127.0.0.1:{}/", server.port()),
        ] {
            check(get(&client, &url).map(drop), Kind::InvalidUrl, &url);
        }
        check(
            Request::new(&format!("G{text}T"), &server.url("/")).map(drop),
            Kind::InvalidMethod,
            text,
        );
        let mut request = request("GET", &server.url("/"));
        check(request.add_header(&format!("X{text}Y"), "v"), Kind::InvalidHeader, text);
        if text != " " {
            check(request.add_header("X", format!("a{text}b")), Kind::InvalidHeader, text);
            check(client.set_header("X", Some(&format!("a{text}b"))), Kind::InvalidHeader, text);
        }
        check(client.set_header(&format!("X{text}Y"), Some("v")), Kind::InvalidHeader, text);
    }
    for method in ["", "GET,", "(GET)", "G\u{e9}T", "CONNECT"] {
        check(Request::new(method, &server.url("/")).map(drop), Kind::InvalidMethod, method);
    }
    for url in [
        "",
        "/",
        "127.0.0.1",
        "ftp://127.0.0.1/",
        "http://",
        "http://[::1/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:65536/",
    ] {
        check(get(&client, url).map(drop), Kind::InvalidUrl, url);
    }
    assert_eq!((server.connections(), client.manager().stats().opened), (0, 0));
}

fn q1_urls_are_sent_as_the_url_standard_defines(form: Form) {
    let server = Server::start(Script::echoing());
    let port = server.port();
    let cases = [
        ("/a/../b/./c".to_owned(), "GET /b/c HTTP/1.1"),
        ("/%41%2f%20?q=%2B+&x#fragment".to_owned(), "GET /%41%2f%20?q=%2B+&x HTTP/1.1"),
        ("/\u{e9}?\u{fc}".to_owned(), "GET /%C3%A9?%C3%BC HTTP/1.1"),
        ("".to_owned(), "GET / HTTP/1.1"),
        ("?q".to_owned(), "GET /?q HTTP/1.1"),
        ("/'\"<>`{}|^".to_owned(), "GET /'%22%3C%3E%60%7B%7D|^ HTTP/1.1"),
        ("/a b?c d#e f".to_owned(), "GET /a%20b?c%20d HTTP/1.1"),
        ("/a/%2e%2e/b?q=it's\\".to_owned(), "GET /a/%2e%2e/b?q=it's\\ HTTP/1.1"),
    ];
    for (path, line) in cases {
        let client = form.client();
        let mut request = request("GET", &format!("http://127.0.0.1:{port}{path}"));
        let head = seen(&client, &server, &mut request);
        assert_eq!(head.lines().next(), Some(line), "{path:?}");
        assert!(head.to_lowercase().contains(&format!("\r\nhost: 127.0.0.1:{port}\r\n")), "{head}");
    }
    // User information becomes credentials and is sent nowhere else; a header of the caller takes precedence.
    let url = format!("http://us%3Aer:p%40ss@127.0.0.1:{port}/");
    let mut request = request("GET", &url);
    let head = seen(&form.client(), &server, &mut request);
    assert!(head.contains("Basic dXM6ZXI6cEBzcw=="), "{head}");
    assert!(!head.contains("p%40ss") && !head.contains("p@ss"), "{head}");
    request.add_header("Authorization", "Bearer mine").unwrap();
    let head = seen(&form.client(), &server, &mut request);
    assert_eq!(head.to_lowercase().matches("authorization").count(), 1, "{head}");
    assert!(head.contains("Bearer mine"), "{head}");
}

fn q1_ipv6_literals_work(form: Form) {
    let options = Options { ipv6: true, ..Options::default() };
    let server = Server::start_with(options, Script::echoing()).unwrap();
    let client = form.client();
    let url = format!("http://[0:0::1]:{}/", server.port());
    let body = String::from_utf8(fetch(&client, &url).unwrap()).unwrap().to_lowercase();
    assert!(body.contains(&format!("\r\nhost: [::1]:{}\r\n", server.port())), "{body}");
    assert_eq!(client.manager().connections()[0].peer, Some(server.addr()));
    assert_sockets(server.port(), 1);
}

fn q2_the_librarys_own_headers_cannot_be_contradicted(form: Form) {
    let server = Server::start(Script::echoing());
    let client = form.client();
    let host = format!("127.0.0.1:{}", server.port());
    let refused = |name: &str, value: &str| {
        let mut request = post(&server.url("/"), Body::bytes(b"12345"));
        let outcome =
            request.add_header(name, value).and_then(|()| client.send(&mut request).map(drop));
        let error = outcome.expect_err(&format!("{name}: {value}"));
        assert_eq!(error.kind(), Kind::InvalidHeader, "{name}: {value}: {error:?}");
        assert!(error.message().to_lowercase().contains(&name.to_lowercase()), "{error}");
    };
    for (name, value) in [
        ("Host", "other example"),
        ("host", "us@other.example"),
        ("HOST", "other.example/path"),
        ("Content-Length", "4"),
        ("content-length", "6"),
        ("Content-Length", "05x"),
        ("Content-Length", "-5"),
        ("Transfer-Encoding", "chunked"),
        ("transfer-encoding", "gzip"),
        ("Transfer-Encoding", "identity"),
        ("Connection", "upgrade"),
        ("connection", "Content-Length"),
        ("Connection", "close, x"),
    ] {
        refused(name, value);
    }
    for name in ["Host", "Content-Length", "Transfer-Encoding", "Connection"] {
        assert_eq!(client.set_header(name, Some("x")).unwrap_err().kind(), Kind::InvalidHeader);
    }
    assert_eq!(server.connections(), 0, "refused before anything was opened");
    // An equal header is no contradiction and is sent once.
    let mut request = post(&server.url("/"), Body::bytes(b"12345"));
    for (name, value) in
        [("Host", host.as_str()), ("Content-Length", "5"), ("Connection", "keep-alive")]
    {
        request.add_header(name, value).unwrap();
    }
    let head = seen(&client, &server, &mut request).to_lowercase();
    for name in ["\r\nhost:", "\r\ncontent-length:"] {
        assert_eq!(head.matches(name).count(), 1, "{head}");
    }
    assert!(!head.contains("transfer-encoding"));
}

/// GETs with heads longer than that, each for one reason, and a text that the head contains.
fn large(server: &Server, size: usize) -> [(Request, String); 3] {
    let text = "x".repeat(size);
    let query = &text[..size.min(1_000_000)];
    let url = request("GET", &server.url(&format!("/?{query}")));
    let mut one = request("GET", &server.url("/"));
    one.add_header("Authorization", format!("Negotiate {text}")).unwrap();
    let mut many = request("GET", &server.url("/"));
    let mut fields = String::new();
    for number in 0..=size / 1000 {
        many.add_header(&format!("x-{number}"), &text[..1000]).unwrap();
        fields += &format!("x-{number}: {}\r\n", &text[..1000]);
    }
    [(url, format!("/?{query} HTTP")), (one, format!("Negotiate {text}\r\n")), (many, fields)]
}

fn request_heads_of_up_to_a_mebibyte_are_sent(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    for size in [16_300, 16_384, 17_000, 40_000, 900_000] {
        for (mut request, text) in large(&server, size) {
            let mut response = client.send(&mut request).unwrap();
            assert_eq!(response.read_all(10).unwrap(), b"ok");
            assert!(server.heads(0).pop().unwrap().contains(&text), "{size}: {text:.20}");
        }
    }
    assert_eq!(server.connections(), 1);
}

fn a_larger_head_is_refused_before_a_byte_is_sent(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    let [_, one, many] = large(&server, 1_200_000);
    for (mut request, text) in [one, many] {
        let error = client.send(&mut request).unwrap_err();
        assert_eq!(error.sent(), Sent::Nothing, "{text:.20}");
        assert_eq!(error.kind(), Kind::InvalidHeader, "{error}");
        assert!(error.message().contains("larger than 1048576"), "{error}");
    }
    let error = Request::new("GET", &server.url(&"/x".repeat(600_000))).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidUrl);
    assert!(error.message().contains("at most 1048576"), "{error}");
    assert_eq!((server.received(0), server.received(1)), (Vec::new(), Vec::new()));
}
