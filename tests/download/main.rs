//! Downloads: the file is there when it is complete, is continued where it broke off, and is what was announced
//! (RFC 9110 sections 13.1.5 and 14, RFC 9530).

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use hangup::{CancelToken, DownloadOptions, Downloaded, Error, Kind, Response, Timeout};
use ring::digest::{SHA256, SHA512, digest};
use testserver::{Script, Server, Step};

use support::form::{Client, Form, in_both_forms};
use support::request;

in_both_forms! {
    a_file_is_there_when_it_is_complete,
    a_download_that_broke_off_is_continued_by_the_next_call,
    a_download_continues_within_its_call,
    another_version_is_received_from_its_beginning,
    a_range_that_does_not_fit_is_not_appended,
    a_complete_part_needs_no_bytes,
    the_end_of_another_version_is_not_that_of_this_one,
    dates_tell_versions_apart,
    without_a_strong_validator_nothing_is_kept,
    digests_are_checked,
    a_status_that_is_no_success_writes_nothing,
    a_body_is_written_as_it_arrives_unless_the_request_decodes,
    a_bound_on_the_size_is_kept,
    a_disk_that_is_full_or_a_path_that_is_no_file_is_an_error,
    a_cancelled_download_is_continued,
    one_download_at_a_time_writes_to_a_file,
    a_crash_loses_nothing_that_can_be_relied_on,
    permissions_are_those_of_the_file_that_is_replaced,
}

/// A directory that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("hangup-download-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("file")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn download_with(
    client: &Client,
    mut request: hangup::Request,
    folder: &Folder,
    options: &DownloadOptions,
) -> Result<Response, Error> {
    match client.form() {
        Form::Blocking => client.download(&mut request, folder.file(), options),
        Form::Submitted => client.submit_download(request, folder.file(), options).wait(),
    }
}

fn download(client: &Client, server: &Server, folder: &Folder) -> Result<Downloaded, Error> {
    let options = DownloadOptions::default();
    let response = download_with(client, request("GET", &server.url("/")), folder, &options)?;
    Ok(response.head().download().unwrap().clone())
}

fn text() -> Vec<u8> {
    (0..100_000u32).flat_map(|n| (n * 7919 % 1013).to_string().into_bytes()).collect()
}

const ETAG: &str = "ETag: \"v1\"\r\n";

/// The whole body, of which so many bytes are sent before the connection ends.
fn whole(more: &str, body: &[u8], sent: usize) -> Vec<Step> {
    let head = format!("HTTP/1.1 200 OK\r\n{more}Content-Length: {}\r\n\r\n", body.len());
    vec![Step::head(), Step::send(&head), Step::SendHex(body[..sent].to_vec())]
}

/// The rest from there on.
fn rest(more: &str, body: &[u8], from: usize) -> Vec<Step> {
    let (length, size) = (body.len() - from, body.len());
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\n{more}Content-Range: bytes {from}-{}/{size}\r\nContent-Length: {length}\r\n\r\n",
        size - 1
    );
    vec![Step::head(), Step::send(&head), Step::SendHex(body[from..].to_vec())]
}

/// A range in chunks, with more bytes than it says.
fn longer(rest: &[u8]) -> Vec<Step> {
    let (from, size) = (1000, 1000 + rest.len());
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\n{ETAG}Content-Range: bytes {from}-{}/{size}\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        size - 1,
        rest.len()
    );
    vec![
        Step::head(),
        Step::send(&head),
        Step::SendHex(rest.to_vec()),
        Step::send("\r\n4\r\nmore\r\n0\r\n\r\n"),
    ]
}

fn each(connections: Vec<Vec<Step>>) -> Server {
    Server::start(Script { connections, then: Default::default() })
}

fn header(server: &Server, connection: usize, name: &str) -> Option<String> {
    let head = server.heads(connection).pop().unwrap();
    let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    fields.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_owned())
}

fn a_file_is_there_when_it_is_complete(form: Form) {
    let (folder, body) = (Folder::new(), text());
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        body.len(),
        String::from_utf8(body.clone()).unwrap()
    );
    let server = each(vec![
        [whole("", &body, body.len()), vec![Step::head(), Step::send(&chunked)]].concat(),
    ]);
    let client = form.client();
    for _ in 0..2 {
        fs::write(folder.file(), "old").unwrap();
        let response = download_with(
            &client,
            request("GET", &server.url("/")),
            &folder,
            &DownloadOptions::default(),
        )
        .unwrap();
        assert_eq!(response.status_code(), 200);
        let done = response.head().download().unwrap();
        assert_eq!((done.bytes, done.received), (body.len() as u64, body.len() as u64));
        assert_eq!((done.resumed_at, done.resumes, done.verified), (0, 0, false));
        assert_eq!(done.path, folder.file());
        assert!(fs::read(folder.file()).unwrap() == body);
        assert_eq!(folder.names(), ["file"]);
    }
    assert_eq!((server.connections(), client.manager().stats().idle), (1, 1));
    assert_eq!(header(&server, 0, "accept-encoding").unwrap(), "identity");
    assert_eq!(header(&server, 0, "range"), None);
}

fn a_download_that_broke_off_is_continued_by_the_next_call(form: Form) {
    let body = text();
    for (name, validator) in [
        ("etag", ETAG),
        (
            "date",
            "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nDate: Tue, 02 Jan 2024 00:00:00 GMT\r\n",
        ),
    ] {
        let folder = Folder::new();
        fs::write(folder.file(), "old").unwrap();
        let server = each(vec![
            whole(validator, &body, 1000),
            rest(validator, &body[..70_000], 1000)
                .into_iter()
                .map(|step| match step {
                    // The second part breaks off, too.
                    Step::SendHex(_) => Step::SendHex(body[1000..5000].to_vec()),
                    Step::Send(head) => {
                        Step::send(&head.replace("/70000", &format!("/{}", body.len())))
                    }
                    step => step,
                })
                .collect(),
            rest(validator, &body, 5000),
        ]);
        let client = form.client();
        for at in ["1000", "5000"] {
            let error = download(&client, &server, &folder).unwrap_err();
            assert_eq!(error.kind(), Kind::PeerClosed, "{error:?}");
            assert_eq!(folder.names(), ["file", "file.part", "file.part.state"]);
            assert_eq!(fs::metadata(folder.0.join("file.part")).unwrap().len().to_string(), at);
            assert_eq!(fs::read(folder.file()).unwrap(), b"old");
        }
        let done = download(&client, &server, &folder).unwrap();
        assert_eq!((done.resumed_at, done.bytes), (5000, body.len() as u64), "{name}");
        assert_eq!(done.received, body.len() as u64 - 5000);
        assert!(fs::read(folder.file()).unwrap() == body);
        assert_eq!(folder.names(), ["file"]);
        assert_eq!(header(&server, 2, "range").unwrap(), "bytes=5000-");
        let if_range = header(&server, 2, "if-range").unwrap();
        assert_eq!(
            if_range,
            if name == "etag" { "\"v1\"" } else { "Mon, 01 Jan 2024 00:00:00 GMT" }
        );
    }
}

fn a_download_continues_within_its_call(form: Form) {
    let (folder, body) = (Folder::new(), text());
    let mut broken = whole(ETAG, &body, 3000);
    broken.push(Step::Rst);
    let server = each(vec![broken, vec![Step::head()], rest(ETAG, &body, 3000)]);
    // What a reset takes with it is not known: the range is the one that was asked for.
    let client = form.client();
    client.set_retries(false);
    let options = DownloadOptions { resumes: 2, ..DownloadOptions::default() };
    match download_with(&client, request("GET", &server.url("/")), &folder, &options) {
        Ok(response) => {
            let done = response.head().download().unwrap();
            assert_eq!((done.resumes, done.resumed_at), (2, 0));
            assert!(fs::read(folder.file()).unwrap() == body);
        }
        // The reset came before the bytes were read.
        Err(error) => {
            assert!(matches!(error.kind(), Kind::PeerClosed | Kind::PeerReset | Kind::Protocol))
        }
    }
    // With an orderly end all is known.
    let folder = Folder::new();
    let server = each(vec![whole(ETAG, &body, 3000), vec![Step::head()], rest(ETAG, &body, 3000)]);
    let response =
        download_with(&client, request("GET", &server.url("/")), &folder, &options).unwrap();
    let done = response.head().download().unwrap();
    assert_eq!((done.resumes, done.resumed_at, done.received), (2, 0, body.len() as u64));
    assert!(fs::read(folder.file()).unwrap() == body);
    // One more than allowed.
    let folder = Folder::new();
    let server = each(vec![
        whole(ETAG, &body, 3000),
        vec![Step::head()],
        vec![Step::head()],
        rest(ETAG, &body, 3000),
    ]);
    let error =
        download_with(&client, request("GET", &server.url("/")), &folder, &options).unwrap_err();
    assert_eq!(error.kind(), Kind::PeerClosed);
    assert!(download(&client, &server, &folder).is_ok());
    assert!(fs::read(folder.file()).unwrap() == body);
}

fn another_version_is_received_from_its_beginning(form: Form) {
    let (folder, body) = (Folder::new(), text());
    let new = b"the new version".to_vec();
    let server = each(vec![whole(ETAG, &body, 1000), whole("ETag: \"v2\"\r\n", &new, new.len())]);
    let client = form.client();
    assert!(download(&client, &server, &folder).is_err());
    let done = download(&client, &server, &folder).unwrap();
    assert_eq!((done.resumed_at, done.bytes), (0, new.len() as u64));
    assert_eq!(fs::read(folder.file()).unwrap(), new);
    // Without the option nothing is continued.
    let folder = Folder::new();
    let server = each(vec![whole(ETAG, &body, 1000), whole(ETAG, &body, body.len())]);
    assert!(download(&client, &server, &folder).is_err());
    let options = DownloadOptions { resume: false, ..DownloadOptions::default() };
    download_with(&client, request("GET", &server.url("/")), &folder, &options).unwrap();
    assert_eq!(header(&server, 1, "range"), None);
    assert!(fs::read(folder.file()).unwrap() == body);
    // Another URL is another download.
    let folder = Folder::new();
    let server = each(vec![whole(ETAG, &body, 1000), whole(ETAG, &body, body.len())]);
    assert!(download(&client, &server, &folder).is_err());
    let other = request("GET", &server.url("/other"));
    download_with(&client, other, &folder, &DownloadOptions::default()).unwrap();
    assert_eq!(header(&server, 1, "range"), None);
}

fn a_range_that_does_not_fit_is_not_appended(form: Form) {
    let body = text();
    let replace = |from: &str, to: &str| {
        let steps = rest(ETAG, &body, 1000).into_iter();
        let change = |step| match step {
            Step::Send(head) => Step::send(&head.replace(from, to)),
            step => step,
        };
        steps.map(change).collect::<Vec<_>>()
    };
    for wrong in [
        replace("bytes 1000-", "bytes 999-"),
        replace("Content-Range: ", "Content-Strange: "),
        replace(&format!("/{}", body.len()), "/9999999"),
        replace("\"v1\"", "\"v2\""),
        replace("bytes ", "items "),
        longer(&body[1000..]),
    ] {
        let folder = Folder::new();
        let server = each(vec![whole(ETAG, &body, 1000), wrong, whole(ETAG, &body, body.len())]);
        let client = form.client();
        assert!(download(&client, &server, &folder).is_err());
        let done = download(&client, &server, &folder).unwrap();
        assert_eq!((done.resumed_at, done.bytes), (0, body.len() as u64));
        assert!(fs::read(folder.file()).unwrap() == body);
        assert_eq!((server.connections(), header(&server, 2, "range")), (3, None));
    }
    // A part of the rest is a part; the next call asks for what is missing.
    let folder = Folder::new();
    let some = {
        let last = body.len() - 2;
        let length = body.len() - 1001;
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\n{ETAG}Content-Range: bytes 1000-{last}/{}\r\nContent-Length: {length}\r\n\r\n",
            body.len()
        );
        vec![Step::head(), Step::send(&head), Step::SendHex(body[1000..=last].to_vec())]
    };
    let server = each(vec![whole(ETAG, &body, 1000), some, rest(ETAG, &body, body.len() - 1)]);
    let client = form.client();
    assert!(download(&client, &server, &folder).is_err());
    assert_eq!(download(&client, &server, &folder).unwrap_err().kind(), Kind::PeerClosed);
    assert_eq!(download(&client, &server, &folder).unwrap().received, 1);
    assert!(fs::read(folder.file()).unwrap() == body);
    // A partial response that was not asked for.
    let folder = Folder::new();
    let server = each(vec![rest(ETAG, &body, 1000)]);
    let error = download(&client, &server, &folder).unwrap_err();
    assert_eq!((error.kind(), error.status_code()), (Kind::UnexpectedStatus, Some(206)));
}

fn a_complete_part_needs_no_bytes(form: Form) {
    let body = text();
    for (range, ends) in
        [(format!("bytes */{}", body.len()), true), ("bytes */5".to_owned(), false)]
    {
        let folder = Folder::new();
        let none = format!(
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: {range}\r\nContent-Length: 0\r\n\r\n"
        );
        let server = each(vec![
            whole(ETAG, &body, 1000),
            vec![Step::head(), Step::send(&none)],
            whole(ETAG, &body, body.len()),
        ]);
        let client = form.client();
        assert!(download(&client, &server, &folder).is_err());
        // As a call leaves it that ended before it gave the file its name.
        fs::write(folder.0.join("file.part"), &body).unwrap();
        let done = download(&client, &server, &folder).unwrap();
        assert_eq!(done.received, if ends { 0 } else { body.len() as u64 });
        assert!(fs::read(folder.file()).unwrap() == body);
        assert_eq!(folder.names(), ["file"]);
    }
}

/// Servers that do not know If-Range answer for the version that they have.
fn the_end_of_another_version_is_not_that_of_this_one(form: Form) {
    let body = text();
    let chunked = {
        let head = format!(
            "HTTP/1.1 200 OK\r\n{ETAG}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
            body.len()
        );
        vec![Step::head(), Step::send(&head), Step::SendHex(body[..1000].to_vec())]
    };
    for (first, more) in [
        (whole(ETAG, &body, 1000), ""),
        (whole(ETAG, &body, 1000), ETAG),
        (chunked, "ETag: \"v2\"\r\n"),
    ] {
        let folder = Folder::new();
        let none = format!(
            "HTTP/1.1 416 Range Not Satisfiable\r\n{more}Content-Range: bytes */1000\r\nContent-Length: 0\r\n\r\n"
        );
        let server = each(vec![
            first,
            vec![Step::head(), Step::send(&none)],
            whole("ETag: \"v2\"\r\n", &body[..1000], 1000),
        ]);
        let client = form.client();
        assert!(download(&client, &server, &folder).is_err());
        let done = download(&client, &server, &folder).unwrap();
        assert_eq!((done.resumed_at, done.received, server.connections()), (0, 1000, 3));
        assert!(fs::read(folder.file()).unwrap() == body[..1000]);
    }
}

fn dates_tell_versions_apart(form: Form) {
    let body = text();
    let dated = |modified: &str| {
        format!("Last-Modified: {modified}\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n")
    };
    let old = dated("Sat, 05 Nov 1994 08:49:37 GMT");
    let new = dated("Sun, 06 Nov 1994 08:00:00 GMT");
    let folder = Folder::new();
    let other = vec![b'x'; body.len()];
    let server = each(vec![
        whole(&old, &body, 1000),
        rest(&new, &other, 1000),
        whole(&new, &other, other.len()),
    ]);
    let client = form.client();
    assert!(download(&client, &server, &folder).is_err());
    let done = download(&client, &server, &folder).unwrap();
    assert_eq!(header(&server, 1, "if-range").unwrap(), "Sat, 05 Nov 1994 08:49:37 GMT");
    assert_eq!((done.resumed_at, server.connections()), (0, 3));
    assert!(fs::read(folder.file()).unwrap() == other);
    // A date that is not before that of the response is no strong validator (RFC 9110 section 8.8.2.2).
    for late in ["Sun, 06 Nov 1994 08:49:37 GMT", "Mon, 07 Nov 1994 08:49:37 GMT", "yesterday"] {
        let folder = Folder::new();
        let server =
            each(vec![whole(&dated(late), &body, 1000), whole(&dated(late), &body, body.len())]);
        assert!(download(&client, &server, &folder).is_err());
        assert!(folder.names().is_empty(), "{late}: {:?}", folder.names());
        download(&client, &server, &folder).unwrap();
        assert_eq!(header(&server, 1, "range"), None);
    }
}

fn without_a_strong_validator_nothing_is_kept(form: Form) {
    let body = text();
    let same = "Mon, 01 Jan 2024 00:00:00 GMT";
    for more in [
        "".to_owned(),
        "ETag: W/\"v1\"\r\n".to_owned(),
        format!("Last-Modified: {same}\r\nDate: {same}\r\n"),
        format!("Last-Modified: {same}\r\n"),
        format!(
            "ETag: W/\"v1\"\r\nLast-Modified: {same}\r\nDate: Tue, 02 Jan 2024 00:00:00 GMT\r\n"
        ),
    ] {
        let folder = Folder::new();
        let server = each(vec![whole(&more, &body, 1000), whole(&more, &body, body.len())]);
        let client = form.client();
        assert!(download(&client, &server, &folder).is_err());
        assert!(folder.names().is_empty(), "{more}");
        assert_eq!(download(&client, &server, &folder).unwrap().resumed_at, 0);
        assert_eq!(header(&server, 1, "range"), None);
    }
}

fn digests_are_checked(form: Form) {
    let body = text();
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let sha256 = encode(digest(&SHA256, &body).as_ref());
    let sha512 = encode(digest(&SHA512, &body).as_ref());
    let part = encode(digest(&SHA256, &body[1000..]).as_ref());
    let client = form.client();
    for (field, is_right, verified) in [
        (format!("Repr-Digest: sha-256=:{sha256}:\r\n"), true, true),
        (format!("Repr-Digest: md5=:AAAA:, sha-512=:{sha512}:\r\n"), true, true),
        (
            format!("Content-Digest: sha-512=:{sha512}:\r\nRepr-Digest: sha-256=:{sha256}:\r\n"),
            true,
            true,
        ),
        ("Repr-Digest: md5=:AAAA:\r\n".to_owned(), true, false),
        (format!("Repr-Digest: sha-256=:{part}:\r\n"), false, true),
        (format!("Repr-Digest: sha-512=:{sha512}:, sha-256=:{part}:\r\n"), false, true),
        (format!("Content-Digest: sha-256=:{part}:\r\n"), false, true),
    ] {
        let folder = Folder::new();
        let server = each(vec![whole(&format!("{ETAG}{field}"), &body, body.len())]);
        match download(&client, &server, &folder) {
            Ok(done) => assert_eq!((is_right, verified), (true, done.verified), "{field}"),
            Err(error) => {
                assert_eq!((error.kind(), is_right), (Kind::DigestMismatch, false), "{error}");
                assert!(folder.names().is_empty());
            }
        }
    }
    // Of the whole and of the part, when it was received in two.
    for (field, is_right) in [
        (format!("Repr-Digest: sha-256=:{sha256}:\r\nContent-Digest: sha-256=:{part}:\r\n"), true),
        (format!("Repr-Digest: sha-256=:{part}:\r\n"), false),
        (format!("Content-Digest: sha-256=:{sha256}:\r\n"), false),
    ] {
        let folder = Folder::new();
        let field = format!("{ETAG}{field}");
        let server = each(vec![whole(ETAG, &body, 1000), rest(&field, &body, 1000)]);
        assert!(download(&client, &server, &folder).is_err());
        let outcome = download(&client, &server, &folder);
        assert_eq!(
            outcome.as_ref().err().map(Error::kind),
            (!is_right).then_some(Kind::DigestMismatch)
        );
        assert_eq!(folder.names().len(), usize::from(is_right));
    }
}

fn a_status_that_is_no_success_writes_nothing(form: Form) {
    let (folder, body) = (Folder::new(), text());
    fs::write(folder.file(), "old").unwrap();
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone";
    let busy = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    let server = each(vec![
        vec![Step::head(), Step::send(missing)],
        whole(ETAG, &body, 1000),
        vec![Step::head(), Step::send(busy)],
        rest(ETAG, &body, 1000),
    ]);
    let client = form.client();
    let error = download(&client, &server, &folder).unwrap_err();
    assert_eq!((error.kind(), error.status_code()), (Kind::UnexpectedStatus, Some(404)));
    assert!(error.message().contains("404 Not Found") && !error.retry_may_help(), "{error}");
    assert_eq!(
        (folder.names(), fs::read(folder.file()).unwrap()),
        (vec!["file".to_owned()], b"old".to_vec())
    );
    // What is there of it stays.
    assert!(download(&client, &server, &folder).is_err());
    let error = download(&client, &server, &folder).unwrap_err();
    assert!(error.status_code() == Some(503) && error.retry_may_help());
    assert_eq!(download(&client, &server, &folder).unwrap().resumed_at, 1000);
    assert!(fs::read(folder.file()).unwrap() == body);
}

fn a_body_is_written_as_it_arrives_unless_the_request_decodes(form: Form) {
    use std::io::Write;
    let text = text();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&text).unwrap();
    let packed = encoder.finish().unwrap();
    let more = format!("{ETAG}Content-Encoding: gzip\r\n");
    let steps = || whole(&more, &packed, packed.len());
    let server = each(vec![steps(), steps(), whole(&more, &packed, 1000)]);
    let client = form.client();
    client.set_decode(true);
    let folder = Folder::new();
    assert_eq!(download(&client, &server, &folder).unwrap().bytes, packed.len() as u64);
    assert!(fs::read(folder.file()).unwrap() == packed);
    for is_whole in [true, false] {
        let mut decoding = request("GET", &server.url("/"));
        decoding.set_decode(true);
        let outcome = download_with(&client, decoding, &folder, &DownloadOptions::default());
        assert_eq!(outcome.is_ok(), is_whole);
        assert!(fs::read(folder.file()).unwrap() == text);
        assert_eq!(folder.names(), ["file"]);
    }
    assert!(header(&server, 1, "accept-encoding").unwrap().contains("gzip"));
}

fn a_bound_on_the_size_is_kept(form: Form) {
    let body = text();
    let chunk = format!("HTTP/1.1 200 OK\r\n{ETAG}Transfer-Encoding: chunked\r\n\r\n");
    let endless = vec![
        Step::head(),
        Step::send(&chunk),
        Step::send("3e8\r\n"),
        Step::SendHex(body[..1000].to_vec()),
    ];
    let server =
        each(vec![whole(ETAG, &body, body.len()), endless, whole(ETAG, &body, body.len())]);
    let (client, folder) = (form.client(), Folder::new());
    for (most, fits) in [(body.len() - 1, false), (999, false), (body.len(), true)] {
        let options =
            DownloadOptions { max_bytes: Some(most as u64), ..DownloadOptions::default() };
        let outcome = download_with(&client, request("GET", &server.url("/")), &folder, &options);
        assert_eq!(outcome.err().map(|error| error.kind()), (!fits).then_some(Kind::TooLarge));
        assert_eq!(folder.names().len(), usize::from(fits));
    }
}

fn a_disk_that_is_full_or_a_path_that_is_no_file_is_an_error(form: Form) {
    let body = text();
    let server = each(vec![whole(ETAG, &body, body.len())]);
    let client = form.client();
    let options = DownloadOptions::default();
    for (path, kind) in [
        ("/dev/null", Kind::InvalidArgument),
        ("/tmp", Kind::InvalidArgument),
        ("/", Kind::InvalidArgument),
        ("", Kind::InvalidArgument),
        ("/no/such/folder/file", Kind::System),
    ] {
        let mut request = request("GET", &server.url("/"));
        let outcome = match form {
            Form::Blocking => client.download(&mut request, path, &options),
            Form::Submitted => client.submit_download(request, path, &options).wait(),
        };
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), kind, "{path}: {error}");
        assert!(!error.message().starts_with(' '), "{path:?}: {error}");
        assert_eq!(error.os_code().is_some(), kind == Kind::System);
    }
    let mut own = request("GET", &server.url("/"));
    own.add_header("Range", "bytes=0-1").unwrap();
    let folder = Folder::new();
    let error = download_with(&client, own, &folder, &options).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidArgument);
    // A symbolic link in the place of the part is not followed.
    std::os::unix::fs::symlink(folder.0.join("elsewhere"), folder.0.join("file.part")).unwrap();
    assert_eq!(download(&client, &server, &folder).unwrap_err().kind(), Kind::System);
    assert_eq!((folder.names(), server.connections()), (vec!["file.part".to_owned()], 0));
}

fn a_cancelled_download_is_continued(form: Form) {
    let (folder, body) = (Folder::new(), text());
    let mut stalled = whole(ETAG, &body, 1000);
    stalled.push(Step::Stall);
    let server = each(vec![stalled, rest(ETAG, &body, 1000)]);
    let client = form.client();
    let token = CancelToken::new();
    let mut cancelled = request("GET", &server.url("/"));
    cancelled.set_cancel(Some(token.clone()));
    let part = folder.0.join("file.part");
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let options = DownloadOptions { resumes: 5, ..DownloadOptions::default() };
            download_with(&client, cancelled, &folder, &options).unwrap_err()
        });
        support::wait_until("the first bytes are in the file", || {
            fs::metadata(&part).is_ok_and(|facts| facts.len() == 1000)
        });
        token.fire(None);
        assert_eq!(running.join().unwrap().kind(), Kind::Cancelled);
    });
    assert_eq!(download(&client, &server, &folder).unwrap().resumed_at, 1000);
    assert!(fs::read(folder.file()).unwrap() == body);
    // The total timeout is for all of it.
    let folder = Folder::new();
    let mut stalled = whole(ETAG, &body, 1000);
    stalled.push(Step::Stall);
    let server = each(vec![stalled]);
    let mut timed = request("GET", &server.url("/"));
    timed.set_timeout(Timeout::Total, Some(Duration::from_millis(300))).unwrap();
    let options = DownloadOptions { resumes: 5, ..DownloadOptions::default() };
    let error = download_with(&client, timed, &folder, &options).unwrap_err();
    assert_eq!(
        (error.kind(), error.timeout(), server.connections()),
        (Kind::TimedOut, Timeout::Total, 1)
    );
}

fn one_download_at_a_time_writes_to_a_file(form: Form) {
    let (folder, body) = (Folder::new(), text());
    let mut slow = whole(ETAG, &body, 1000);
    slow.extend([Step::wait_for("rest"), Step::SendHex(body[1000..].to_vec())]);
    let server = each(vec![slow]);
    let client = form.client();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| download(&client, &server, &folder).unwrap());
        support::wait_until("the first one has begun", || server.connections() == 1);
        let error = download(&client, &server, &folder).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidState, "{error}");
        server.release("rest");
        assert_eq!(first.join().unwrap().bytes, body.len() as u64);
    });
    assert!(fs::read(folder.file()).unwrap() == body);
}

fn a_crash_loses_nothing_that_can_be_relied_on(form: Form) {
    let body = text();
    let client = form.client();
    // What is in the state: the same boot, another one, another one with a flushed length, and damaged texts.
    let same = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    for (flushed, boot, cut, expected) in [
        (0, same.trim(), 0, 1000),
        (0, "another", 0, 0),
        (600, "another", 0, 600),
        (5000, "another", 0, 1000),
        (600, same.trim(), 1, 0),
        (600, same.trim(), 60, 0),
    ] {
        let folder = Folder::new();
        let second = match expected {
            0 => whole(ETAG, &body, body.len()),
            from => rest(ETAG, &body, from),
        };
        let server = each(vec![whole(ETAG, &body, 1000), second]);
        assert!(download(&client, &server, &folder).is_err());
        let path = folder.0.join("file.part.state");
        let state = fs::read_to_string(&path).unwrap();
        assert!(!state.contains("127.0.0.1"), "a URL may have secrets");
        let mut state: String = state
            .lines()
            .map(|line| match line.split_once(' ').unwrap().0 {
                "flushed" => format!("flushed {flushed}\n"),
                "boot" => format!("boot {boot}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        state.truncate(state.len() - cut);
        fs::write(&path, state).unwrap();
        let done = download(&client, &server, &folder).unwrap();
        assert_eq!(done.resumed_at, expected as u64, "{flushed} {boot} {cut}");
        assert!(fs::read(folder.file()).unwrap() == body);
    }
}

fn permissions_are_those_of_the_file_that_is_replaced(form: Form) {
    let (folder, body) = (Folder::new(), text());
    let server = each(vec![vec![Step::forever(whole("", &body, body.len()))]]);
    let client = form.client();
    let mode = || fs::metadata(folder.file()).unwrap().permissions().mode() & 0o777;
    fs::write(folder.0.join("new"), "").unwrap();
    let of_new = fs::metadata(folder.0.join("new")).unwrap().permissions().mode() & 0o777;
    download(&client, &server, &folder).unwrap();
    assert_eq!(mode(), of_new);
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o600)).unwrap();
    download(&client, &server, &folder).unwrap();
    assert_eq!(mode(), 0o600);
}
