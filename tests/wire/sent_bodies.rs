//! Where the body of a request can come from, and how it is sent: readers that are rewound, bodies that are pushed,
//! descriptors, forms, rates, progress, and `Expect: 100-continue` by a setting.

use std::fs::File;
use std::io::{Cursor, Seek, SeekFrom, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use hangup::{Body, CancelToken, Form, Kind, Part, Progress, Request, Timeout};
use testserver::{Script, Server, Step};

use crate::support::form::{Form as Sending, in_both_forms};
use crate::support::{PATIENCE, post, request};

in_both_forms! {
    a_seekable_body_is_sent_again_after_a_redirect,
    a_seekable_body_is_sent_again_when_a_kept_connection_was_lost,
    a_reader_that_can_not_be_rewound_fails_the_exchange,
    a_pushed_body_is_sent_as_it_is_written,
    a_pushed_body_of_known_length_has_a_content_length,
    a_writer_that_is_dropped_or_aborted_fails_the_exchange,
    a_write_returns_the_error_of_its_exchange,
    a_response_that_refuses_a_pushed_body_ends_the_wait_for_it,
    a_cancel_ends_the_wait_for_a_pushed_body_and_for_a_descriptor,
    the_bytes_of_a_pipe_a_socket_and_a_file_are_a_body,
    a_descriptor_that_is_short_fails_the_exchange,
    a_form_is_sent_as_rfc_7578_has_it,
    a_form_is_sent_again_after_a_redirect,
    a_form_with_a_reader_of_unknown_length_is_chunked,
    a_urlencoded_form_is_sent_with_its_content_type,
    w10_expect_by_a_setting_waits_for_100_and_sends_again_after_417,
    w10_expect_by_a_setting_ends_its_wait,
    progress_counts_both_bodies_and_begins_again,
    a_maximum_rate_is_kept_in_both_directions,
    a_pause_of_the_maximum_rate_trips_no_other_clock,
    a_cancel_ends_a_pause_of_the_maximum_rate,
    an_early_response_ends_a_pause_of_the_maximum_rate,
}

fn ok() -> Step {
    Step::forever(vec![Step::answer(200, "ok")])
}

/// Redirects /from with 307 to /to.
fn redirecting() -> Server {
    let moved = "HTTP/1.1 307 Moved\r\nLocation: /to\r\nContent-Length: 0\r\n\r\n";
    let from = vec![Step::head(), Step::body(), Step::send(moved)];
    Server::start(Script::by_path([("/from", from), ("/to", vec![Step::answer(200, "ok")])]))
}

/// A reader at its fourth byte, which a body begins with.
fn seekable() -> Cursor<&'static [u8]> {
    let mut reader = Cursor::new(&b"...the body"[..]);
    reader.seek(SeekFrom::Start(3)).unwrap();
    reader
}

fn header(server: &Server, name: &str) -> Option<String> {
    let head = server.heads(0).pop().unwrap();
    let mut found = head.lines().filter_map(|line| line.split_once(": "));
    found.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_owned())
}

fn a_seekable_body_is_sent_again_after_a_redirect(form: Sending) {
    for length in [Some(8), None] {
        let server = redirecting();
        let body = Body::seekable(seekable(), length).unwrap();
        let response = form.client().send(&mut post(&server.url("/from"), body)).unwrap();
        assert_eq!((response.status_code(), response.history().len()), (200, 1));
        assert_eq!(server.bodies(0), [b"the body", b"the body"]);
    }
}

fn a_seekable_body_is_sent_again_when_a_kept_connection_was_lost(form: Sending) {
    let first = vec![Step::answer(200, "ok"), Step::head(), Step::body(), Step::Close];
    let server = Server::start(Script::new(vec![first, vec![ok()]]));
    let client = form.client();
    client.get(&server.url("/"), Some(PATIENCE)).unwrap().read_all(9).unwrap();
    let mut put = request("PUT", &server.url("/"));
    put.set_body(Body::seekable(seekable(), Some(8)).unwrap());
    let response = client.send(&mut put).unwrap();
    assert_eq!((response.status_code(), response.attempts()), (200, 2));
    assert_eq!(server.bodies(1), [b"the body"]);
}

fn a_reader_that_can_not_be_rewound_fails_the_exchange(form: Sending) {
    /// Seeks only to ask where it is.
    struct Stuck(Cursor<&'static [u8]>);
    impl std::io::Read for Stuck {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(into)
        }
    }
    impl Seek for Stuck {
        fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
            match to {
                SeekFrom::Current(0) => self.0.seek(to),
                _ => Err(std::io::Error::other("the tape is stuck")),
            }
        }
    }
    let server = redirecting();
    let body = Body::seekable(Stuck(seekable()), Some(8)).unwrap();
    let error = form.client().send(&mut post(&server.url("/from"), body)).unwrap_err();
    assert_eq!(error.kind(), Kind::BodyFailed);
    assert!(error.message().contains("can't be rewound: the tape is stuck"), "{error}");
}

fn a_pushed_body_is_sent_as_it_is_written(form: Sending) {
    let begun = vec![Step::head(), Step::mark("head"), Step::Recv(testserver::Until::Bytes(10))];
    let rest = vec![Step::mark("piece"), Step::Recv(testserver::Until::Eof)];
    let server = Server::start(Script::every([begun, rest].concat()));
    let (body, mut writer) = Body::pushed(None);
    let mut upload = post(&server.url("/"), body);
    let sending = thread::spawn(move || form.client().send(&mut upload).map(|_| ()));
    // The head is sent before there is any byte of the body, and each piece before the next is written.
    assert!(server.wait_mark("head", PATIENCE));
    writer.write(b"01234").unwrap();
    assert!(server.wait_mark("piece", PATIENCE));
    writer.abort("enough");
    assert_eq!(sending.join().unwrap().unwrap_err().kind(), Kind::BodyFailed);

    let server = Server::start(Script::every(vec![ok()]));
    let (body, mut writer) = Body::pushed(None);
    let mut upload = post(&server.url("/"), body);
    let sending = thread::spawn(move || form.client().send(&mut upload).unwrap().status_code());
    let data: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    for piece in data.chunks(100_001) {
        writer.write(piece).unwrap();
    }
    writer.finish().unwrap();
    assert_eq!(sending.join().unwrap(), 200);
    assert!(server.bodies(0)[0] == data);
}

fn a_pushed_body_of_known_length_has_a_content_length(form: Sending) {
    let server = Server::start(Script::every(vec![ok()]));
    let (body, mut writer) = Body::pushed(Some(10));
    writer.write(b"0123456789").unwrap();
    let client = form.client();
    let response = client.send(&mut post(&server.url("/"), body)).unwrap();
    assert_eq!(response.status_code(), 200);
    writer.finish().unwrap();
    assert_eq!(header(&server, "Content-Length").as_deref(), Some("10"));
    assert_eq!(server.bodies(0), [b"0123456789"]);
}

fn a_writer_that_is_dropped_or_aborted_fails_the_exchange(form: Sending) {
    let server = Server::start(Script::every(vec![Step::head(), Step::Stall]));
    for (abort, words) in [(true, "the disk failed"), (false, "dropped")] {
        let (body, mut writer) = Body::pushed(None);
        writer.write(b"begin").unwrap();
        match abort {
            true => writer.abort("the disk failed"),
            false => drop(writer),
        }
        let error = form.client().send(&mut post(&server.url("/"), body)).unwrap_err();
        assert_eq!(error.kind(), Kind::BodyFailed);
        assert!(error.message().contains(words), "{error}");
    }
}

fn a_write_returns_the_error_of_its_exchange(form: Sending) {
    // The server reads nothing: when the sockets are full, the write timeout ends the exchange.
    let server = Server::start(Script::every(vec![Step::head(), Step::Stall]));
    let (body, mut writer) = Body::pushed(None);
    let mut upload = post(&server.url("/"), body);
    upload.set_timeout(Timeout::Write, Some(Duration::from_millis(200))).unwrap();
    let sending = thread::spawn(move || form.client().send(&mut upload).map(|_| ()));
    let piece = vec![b'x'; 1 << 20];
    let error = (0..1000).find_map(|_| writer.write(&piece).err()).unwrap();
    assert_eq!((error.kind(), error.timeout()), (Kind::TimedOut, Timeout::Write));
    assert_eq!(sending.join().unwrap().unwrap_err().kind(), Kind::TimedOut);
    assert_eq!(writer.finish().unwrap_err().kind(), Kind::TimedOut);
}

fn a_response_that_refuses_a_pushed_body_ends_the_wait_for_it(form: Sending) {
    let refusal = "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n";
    let steps = vec![Step::head(), Step::send(refusal), Step::Stall];
    let server = Server::start(Script::every(steps));
    let (body, mut writer) = Body::pushed(None);
    let response = form.client().send(&mut post(&server.url("/"), body)).unwrap();
    assert_eq!(response.status_code(), 413);
    let error = writer.write(b"late").unwrap_err();
    assert_eq!(error.kind(), Kind::Closed);
    assert!(server.wait_open(0, PATIENCE));
}

fn a_cancel_ends_the_wait_for_a_pushed_body_and_for_a_descriptor(form: Sending) {
    let server = Server::start(Script::every(vec![Step::head(), Step::mark("head"), Step::Stall]));
    let (silent, pipe) = UnixStream::pair().unwrap();
    let (pushed, mut writer) = Body::pushed(None);
    for (nth, body) in [pushed, Body::descriptor(pipe, None).unwrap()].into_iter().enumerate() {
        let token = CancelToken::new();
        let mut upload = post(&server.url("/"), body);
        upload.set_cancel(Some(token.clone()));
        let sending = thread::spawn(move || form.client().send(&mut upload).map(|_| ()));
        assert!(server.wait_marks("head", nth + 1, PATIENCE));
        token.fire(None);
        assert_eq!(sending.join().unwrap().unwrap_err().kind(), Kind::Cancelled);
    }
    assert_eq!(writer.write(b"x").unwrap_err().kind(), Kind::Cancelled);
    drop(silent);
}

fn the_bytes_of_a_pipe_a_socket_and_a_file_are_a_body(form: Sending) {
    let data = vec![b'd'; 300_000];
    let server = Server::start(Script::every(vec![ok()]));
    let client = form.client();
    for length in [None, Some(data.len() as u64)] {
        let (mut feed, pipe) = UnixStream::pair().unwrap();
        let body = Body::descriptor(pipe, length).unwrap();
        let written = data.clone();
        let feeding = thread::spawn(move || {
            for piece in written.chunks(10_000) {
                feed.write_all(piece).unwrap();
            }
        });
        assert_eq!(
            client.send(&mut post(&server.url("/"), body)).unwrap().read_all(9).unwrap(),
            b"ok"
        );
        feeding.join().unwrap();
    }
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"through a pipe").unwrap();
    drop(writer);
    let body = Body::descriptor(reader, None).unwrap();
    assert_eq!(client.send(&mut post(&server.url("/"), body)).unwrap().read_all(9).unwrap(), b"ok");
    let sent = server.bodies(0);
    assert!(sent[0] == data && sent[1] == data);
    assert_eq!(sent[2], b"through a pipe");

    // A file is sent from its offset, and again from there.
    let path = std::env::temp_dir().join(format!("hangup-offset-{}-{form:?}", std::process::id()));
    std::fs::write(&path, b"...the body").unwrap();
    let mut file = File::open(&path).unwrap();
    file.seek(SeekFrom::Start(3)).unwrap();
    let server = redirecting();
    let body = Body::descriptor(file, Some(8)).unwrap();
    assert_eq!(client.send(&mut post(&server.url("/from"), body)).unwrap().status_code(), 200);
    assert_eq!(server.bodies(0), [b"the body", b"the body"]);
    std::fs::remove_file(&path).unwrap();
}

fn a_descriptor_that_is_short_fails_the_exchange(form: Sending) {
    let server = Server::start(Script::every(vec![Step::head(), Step::Stall]));
    let (mut feed, pipe) = UnixStream::pair().unwrap();
    feed.write_all(b"short").unwrap();
    drop(feed);
    let body = Body::descriptor(pipe, Some(6)).unwrap();
    let error = form.client().send(&mut post(&server.url("/"), body)).unwrap_err();
    assert_eq!(error.kind(), Kind::BodyFailed);
    assert!(error.message().contains("5 of 6"), "{error}");
}

/// A form with each kind of part; `reader` is the length of one that comes from a reader.
fn sample_form(path: &std::path::Path, reader: Option<Option<u64>>) -> Form {
    let mut form = Form::new();
    form.set_boundary("limit").unwrap();
    form.add_text("name", "Zoë").unwrap();
    form.add_text("a\"b\r\n", "").unwrap();
    let json = Part::bytes(b"{}").file_name("q\"\n.json").content_type("application/json").unwrap();
    form.add_part("json", json).unwrap();
    form.add_part("file", Part::file(path).unwrap()).unwrap();
    if let Some(length) = reader {
        let body = Body::seekable(Cursor::new("read"), length).unwrap();
        form.add_part("reader", Part::new(body)).unwrap();
    }
    form
}

const SAMPLE: &str = "--limit\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nZoë\r\n\
     --limit\r\nContent-Disposition: form-data; name=\"a%22b%0D%0A\"\r\n\r\n\r\n\
     --limit\r\nContent-Disposition: form-data; name=\"json\"; filename=\"q%22%0A.json\"\r\n\
     Content-Type: application/json\r\n\r\n{}\r\n\
     --limit\r\nContent-Disposition: form-data; name=\"file\"; filename=\"FILE\"\r\n\
     Content-Type: application/octet-stream\r\n\r\nin the file\r\n";
const READER: &str = "--limit\r\nContent-Disposition: form-data; name=\"reader\"\r\n\r\nread\r\n";

/// What the server shall get.
fn sample_bytes(path: &std::path::Path, reader: bool) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    format!("{}{}--limit--\r\n", SAMPLE.replace("FILE", name), if reader { READER } else { "" })
}

fn sample_file(test: &str, form: Sending) -> std::path::PathBuf {
    let name = format!("hangup-form-{test}-{}-{form:?}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, b"in the file").unwrap();
    path
}

fn a_form_is_sent_as_rfc_7578_has_it(form: Sending) {
    let path = sample_file("sent", form);
    let server = Server::start(Script::every(vec![ok()]));
    let mut upload = Request::new("POST", &server.url("/")).unwrap();
    upload.set_form(sample_form(&path, None)).unwrap();
    let client = form.client();
    // It can be sent again.
    for _ in 0..2 {
        client.send(&mut upload).unwrap().read_all(9).unwrap();
    }
    let expected = sample_bytes(&path, false);
    for body in server.bodies(0) {
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }
    let kind = header(&server, "Content-Type");
    assert_eq!(kind.as_deref(), Some("multipart/form-data; boundary=limit"));
    assert_eq!(header(&server, "Content-Length"), Some(expected.len().to_string()));
    std::fs::remove_file(&path).unwrap();
}

fn a_form_is_sent_again_after_a_redirect(form: Sending) {
    let path = sample_file("again", form);
    let server = redirecting();
    let mut upload = Request::new("POST", &server.url("/from")).unwrap();
    upload.set_form(sample_form(&path, Some(Some(4)))).unwrap();
    assert_eq!(form.client().send(&mut upload).unwrap().status_code(), 200);
    let expected = sample_bytes(&path, true);
    let sent = server.bodies(0);
    assert_eq!(sent.len(), 2);
    for body in sent {
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }
    std::fs::remove_file(&path).unwrap();
}

fn a_form_with_a_reader_of_unknown_length_is_chunked(form: Sending) {
    let path = sample_file("chunked", form);
    let server = Server::start(Script::every(vec![ok()]));
    let mut upload = Request::new("POST", &server.url("/")).unwrap();
    upload.set_form(sample_form(&path, Some(None))).unwrap();
    assert_eq!(form.client().send(&mut upload).unwrap().status_code(), 200);
    assert_eq!(header(&server, "Transfer-Encoding").as_deref(), Some("chunked"));
    assert_eq!(server.bodies(0), [sample_bytes(&path, true).as_bytes()]);
    std::fs::remove_file(&path).unwrap();
}

fn a_urlencoded_form_is_sent_with_its_content_type(form: Sending) {
    let server = Server::start(Script::every(vec![ok()]));
    let client = form.client();
    let mut upload = Request::new("POST", &server.url("/")).unwrap();
    upload.set_form_urlencoded([("a b", "1&2"), ("ü", "=")]).unwrap();
    client.send(&mut upload).unwrap().read_all(9).unwrap();
    assert_eq!(server.bodies(0), [b"a+b=1%262&%C3%BC=%3D"]);
    let kind = header(&server, "Content-Type");
    assert_eq!(kind.as_deref(), Some("application/x-www-form-urlencoded"));
    // A type that the request has is kept.
    let mut upload = Request::new("POST", &server.url("/")).unwrap();
    upload.add_header("Content-Type", "text/plain").unwrap();
    upload.set_form_urlencoded([("a", "b")]).unwrap();
    client.send(&mut upload).unwrap().read_all(9).unwrap();
    assert_eq!(header(&server, "Content-Type").as_deref(), Some("text/plain"));
}

fn w10_expect_by_a_setting_waits_for_100_and_sends_again_after_417(form: Sending) {
    let asked = vec![
        Step::head(),
        Step::mark("asked"),
        Step::send("HTTP/1.1 100 Continue\r\n\r\n"),
        Step::body(),
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ];
    let server = Server::start(Script::every(asked));
    let client = form.client();
    client.set_expect_continue(Some(PATIENCE)).unwrap();
    assert_eq!(client.send(&mut post(&server.url("/"), "body".into())).unwrap().status_code(), 200);
    assert_eq!(header(&server, "Expect").as_deref(), Some("100-continue"));
    assert_eq!(server.bodies(0), [b"body"]);

    // A server that does not know it gets the request again, and each later one of the call without it.
    let refusal = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n";
    let first = vec![Step::head(), Step::send(refusal), Step::Stall];
    let server = Server::start(Script::new(vec![first, vec![ok()]]));
    let response = client.send(&mut post(&server.url("/"), "body".into())).unwrap();
    assert_eq!((response.status_code(), response.attempts()), (200, 2));
    assert!(server.received(0).ends_with(b"\r\n\r\n"));
    assert_eq!(server.bodies(1), [b"body"]);
    assert!(!server.heads(1)[0].to_lowercase().contains("expect"));

    // Without a body there is nothing to expect, and a request overrides its client.
    let server = Server::start(Script::every(vec![ok()]));
    client.get(&server.url("/"), Some(PATIENCE)).unwrap().read_all(9).unwrap();
    assert_eq!(header(&server, "Expect"), None);
    let mut upload = post(&server.url("/"), "body".into());
    upload.set_expect_continue(None).unwrap();
    client.send(&mut upload).unwrap();
    assert_eq!(header(&server, "Expect"), None);
}

fn w10_expect_by_a_setting_ends_its_wait(form: Sending) {
    // The server never says 100.
    let server = Server::start(Script::every(vec![ok()]));
    let mut upload = post(&server.url("/"), "body".into());
    upload.set_expect_continue(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(form.client().send(&mut upload).unwrap().status_code(), 200);
    assert_eq!(server.bodies(0), [b"body"]);
    let refused = upload.set_expect_continue(Some(Duration::ZERO)).unwrap_err();
    assert_eq!(refused.kind(), Kind::InvalidTimeout);
}

fn progress_counts_both_bodies_and_begins_again(form: Sending) {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n";
    let reply = |rest: &str| {
        let rest = vec![Step::Await(rest.to_owned()), Step::send("bytes")];
        [vec![Step::head(), Step::body(), Step::send(answer), Step::send("twelve ")], rest].concat()
    };
    let server = Server::start(Script::every([reply("first"), reply("second")].concat()));
    let progress = Progress::new();
    let mut upload = post(&server.url("/"), Body::bytes(&[b'u'; 100_000]));
    upload.set_progress(Some(progress.clone()));
    let client = form.client();
    for rest in ["first", "second"] {
        let mut response = client.send(&mut upload).unwrap();
        assert_eq!((progress.bytes_sent(), progress.bytes_to_send()), (100_000, Some(100_000)));
        assert_eq!((progress.bytes_received(), progress.bytes_to_receive()), (0, Some(12)));
        let mut piece = [0; 64];
        let mut got = 0;
        while got < 7 {
            got += response.read(&mut piece).unwrap();
        }
        assert_eq!(progress.bytes_received(), 7);
        server.release(rest);
        response.read_all(99).unwrap();
        assert_eq!(progress.bytes_received(), 12);
    }
}

fn a_maximum_rate_is_kept_in_both_directions(form: Sending) {
    let server = Server::start(Script::every(vec![Step::forever(vec![
        Step::head(),
        Step::body(),
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n"),
        Step::Fill { bytes: 20_000, byte: '.' },
    ])]));
    let client = form.client();
    for (upload, download) in [(Some(50_000), None), (None, Some(50_000))] {
        let mut put = post(&server.url("/"), Body::bytes(&[b'u'; 20_000]));
        put.set_max_rate(upload, download).unwrap();
        let begun = Instant::now();
        let mut response = client.send(&mut put).unwrap();
        let until_head = begun.elapsed();
        assert_eq!(response.read_all(1 << 20).unwrap().len(), 20_000);
        // The first tenth of a second's bytes go at once.
        let slow = Duration::from_millis(290);
        assert_eq!(until_head >= slow, upload.is_some(), "{until_head:?}");
        assert!(begun.elapsed() >= slow, "{:?}", begun.elapsed());
    }
}

fn a_pause_of_the_maximum_rate_trips_no_other_clock(form: Sending) {
    let server = Server::start(Script::every(vec![Step::forever(vec![
        Step::head(),
        Step::body(),
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n"),
        Step::Fill { bytes: 4_000, byte: '.' },
    ])]));
    let client = form.client();
    client.set_max_rate(Some(2_000), Some(2_000)).unwrap();
    let mut put = post(&server.url("/"), Body::bytes(&[b'u'; 500]));
    // A piece every 100 ms: the bytes are here, so neither clock has anything to wait for.
    put.set_timeout(Timeout::Write, Some(Duration::from_millis(60))).unwrap();
    put.set_min_rate(Some((1_000_000, Duration::from_millis(1500)))).unwrap();
    let mut response = client.send(&mut put).unwrap();
    assert_eq!(response.read_all(1 << 20).unwrap().len(), 4_000);
}

fn a_cancel_ends_a_pause_of_the_maximum_rate(form: Sending) {
    let server = Server::start(Script::every(vec![Step::head(), Step::mark("head"), Step::Stall]));
    let token = CancelToken::new();
    let mut put = post(&server.url("/"), Body::bytes(b"0123456789"));
    put.set_max_rate(Some(1), None).unwrap();
    put.set_cancel(Some(token.clone()));
    let begun = Instant::now();
    let sending = thread::spawn(move || form.client().send(&mut put).map(|_| ()));
    assert!(server.wait_mark("head", PATIENCE));
    token.fire(None);
    assert_eq!(sending.join().unwrap().unwrap_err().kind(), Kind::Cancelled);
    assert!(begun.elapsed() < Duration::from_secs(8));
    let mut wrong = post(&server.url("/"), Body::none());
    assert_eq!(wrong.set_max_rate(Some(0), None).unwrap_err().kind(), Kind::InvalidArgument);
}

fn an_early_response_ends_a_pause_of_the_maximum_rate(form: Sending) {
    let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    let steps = vec![Step::head(), Step::send(refusal), Step::Stall];
    let server = Server::start(Script::every(steps));
    let mut put = post(&server.url("/"), Body::bytes(&[0; 1000]));
    put.set_max_rate(Some(1), None).unwrap();
    let begun = Instant::now();
    assert_eq!(form.client().send(&mut put).unwrap().status_code(), 403);
    assert!(begun.elapsed() < Duration::from_secs(100));
}
