//! The Rust runner of the corpus of scripted cases. The C and the Python runner read the same files.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hangup::{Body, Kind, Part, Request};
use testserver::corpus::{Case, latin1, load, received};
use testserver::{Certificate, Options, Segments, Server};

use crate::support::form::{Client, Form, in_both_forms};

in_both_forms! {
    every_case_of_the_corpus_has_the_expected_outcome,
    every_case_has_the_same_outcome_over_tls,
}

fn every_case_of_the_corpus_has_the_expected_outcome(form: Form) {
    every_case(form, None);
}

fn every_case_has_the_same_outcome_over_tls(form: Form) {
    every_case(form, Some(Certificate::Good));
}

/// How the bytes are split into pieces does not matter: each case is run with each of these sizes.
fn every_case(form: Form, tls: Option<Certificate>) {
    let cases =
        load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")).expect("the corpus");
    assert!(cases.len() > 300);
    let only = std::env::var("HANGUP_CASE").unwrap_or_default();
    let chosen = cases.iter().filter(|case| case.name.contains(&only));
    let runs: Vec<_> =
        chosen.flat_map(|case| Segments::ALL.map(|segments| (case, segments))).collect();
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    // Many servers wait on purpose, so the cases run beside each other.
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((case, segments)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = check(form, case, tls, *segments) {
                        let what = format!("{} ({segments:?}): {why}", case.name);
                        wrong.lock().unwrap().push(what);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} runs went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn check(
    form: Form,
    case: &Case,
    tls: Option<Certificate>,
    segments: Segments,
) -> Result<(), String> {
    let server =
        Server::start_with(Options { tls, ..Options::default() }, segments.of(&case.script))
            .map_err(|error| error.to_string())?;
    let client = if tls.is_some() { form.tls_client() } else { form.client() };
    for round in 1..=case.request.repeat {
        let last = round == case.request.repeat;
        let seen = exchange(&client, &server, case);
        if let Some(bodies) = &case.expect.bodies {
            same("body", &seen.body, bodies[round as usize - 1].as_bytes())?;
        }
        if last {
            judge(case, &seen)?;
        } else {
            same("status", &seen.outcome, "HANGUP_OK")?;
            // Bytes that the server sends after a response must arrive before the next request. A server that
            // stalls on purpose has nothing more to send.
            server.wait_listening(Duration::from_millis(500));
        }
    }
    let url = server.url("");
    let host = url.split("://").nth(1).unwrap_or_default();
    if let Some(expected) = received(case, host, AGENT) {
        let bytes = server.received(server.connections().saturating_sub(1));
        same("received", &bytes.escape_ascii().to_string(), &*expected.escape_ascii().to_string())?;
    }
    if let Some(connections) = case.expect.connections {
        same("connections", &server.connections(), &connections)?;
    }
    Ok(())
}

/// The outcome of one exchange for its caller, with the body read to the end.
#[derive(Default)]
struct Seen {
    outcome: String,
    message: String,
    status: Option<u16>,
    reason: String,
    version: u8,
    content_length: Option<u64>,
    headers: Vec<(String, String)>,
    raw_headers: Vec<(String, String)>,
    informational: Vec<u16>,
    trailers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The form of a case: each line is a field, its name, its file name and its content.
fn form(lines: &str) -> Result<hangup::Form, hangup::Error> {
    let mut form = hangup::Form::new();
    form.set_boundary("limit")?;
    for line in lines.split('\n') {
        let mut parts = line.splitn(3, '|').map(str::to_owned);
        let mut next = || parts.next().expect("name, file name and content");
        let (name, file, content) = (next(), next(), next());
        match file.is_empty() {
            true => form.add_text(&name, &content)?,
            false => {
                let part = Part::bytes(content.as_bytes()).file_name(&file);
                form.add_part(&name, part.content_type("text/plain")?)?;
            }
        }
    }
    Ok(form)
}

fn exchange(client: &Client, server: &Server, case: &Case) -> Seen {
    let mut seen = Seen::default();
    let outcome = (|| {
        let (method, url) = (&case.request.method, server.url(&case.request.path));
        let mut request = match case.request.as_given {
            true => Request::new_as_given(method, &url)?,
            false => Request::new(method, &url)?,
        };
        for name in &case.request.without {
            request.remove_header(name)?;
        }
        for (name, value) in &case.request.headers {
            request.add_header(name, latin1(value))?;
        }
        request.set_target(case.request.target.as_ref().map(String::as_bytes))?;
        if let Some(body) = case.request.body.clone() {
            if case.request.form {
                request.set_form(form(&body)?)?;
            } else if case.request.pushed {
                let (pushed, mut writer) = Body::pushed(None);
                for byte in body.as_bytes() {
                    writer.write(&[*byte])?;
                }
                writer.finish()?;
                request.set_body(pushed);
            } else if case.request.reader {
                request.set_body(Body::reader(std::io::Cursor::new(body), None));
            } else {
                request.set_body(Body::from(body));
            }
        }
        if case.request.expect_continue {
            request.set_expect_continue(Some(Duration::from_secs(60)))?;
        }
        if case.request.decode {
            request.set_decode(true);
        }
        let mut response = client.send(&mut request)?;
        seen.status = Some(response.status_code());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let head = response.head();
        seen.reason = text(head.reason());
        seen.version = u8::try_from(head.version()).unwrap_or_default();
        seen.content_length = head.content_length();
        seen.headers = head.headers().map(|(n, v)| (n.to_owned(), text(v))).collect();
        seen.raw_headers = head.raw_headers().map(|(n, v)| (n.to_owned(), text(&v))).collect();
        seen.informational = head.interim_responses().map(|one| one.status_code()).collect();
        let mut piece = [0; 4096];
        loop {
            match response.read(&mut piece)? {
                0 => {
                    let trailers = response.trailers();
                    seen.trailers = trailers.map(|(n, v)| (n.to_owned(), text(v))).collect();
                    return Ok(());
                }
                got => seen.body.extend_from_slice(&piece[..got]),
            }
        }
    })();
    seen.outcome = "HANGUP_OK".to_owned();
    if let Err(error) = outcome {
        let error: hangup::Error = error;
        seen.outcome = status_name(error.kind());
        seen.message = error.to_string();
    }
    seen
}

fn judge(case: &Case, seen: &Seen) -> Result<(), String> {
    let expect = &case.expect;
    if seen.outcome != expect.status {
        return Err(format!("{} instead of {} ({})", seen.outcome, expect.status, seen.message));
    }
    if expect.http_status.is_some() {
        same("HTTP status", &seen.status, &expect.http_status)?;
    }
    if let Some(body) = expect.body.as_ref().or(expect.partial.as_ref()) {
        same("body", &seen.body, body.as_bytes())?;
    }
    for header in &expect.headers {
        if !seen.headers.contains(header) {
            return Err(format!("no header {header:?} in {:?}", seen.headers));
        }
    }
    if let Some(reason) = &expect.reason {
        same("reason", &seen.reason, reason)?;
    }
    if let Some(version) = expect.version {
        same("version", &seen.version, &version)?;
    }
    if let Some(length) = expect.content_length {
        same("content length", &seen.content_length, &u64::try_from(length).ok())?;
    }
    if let Some(raw) = &expect.raw_headers {
        same("raw headers", &seen.raw_headers, raw)?;
    }
    if let Some(informational) = &expect.informational {
        same("interim responses", &seen.informational, informational)?;
    }
    if let Some(trailers) = &expect.trailers {
        same("trailers", &seen.trailers, trailers)?;
    }
    match &expect.message {
        Some(part) if !seen.message.to_lowercase().contains(part) => {
            Err(format!("the message {:?} does not say {part:?}", seen.message))
        }
        _ => Ok(()),
    }
}

const AGENT: &str = concat!("hangup/", env!("CARGO_PKG_VERSION"));
/// How many cases run beside each other.
const THREADS: usize = 8;

fn status_name(kind: Kind) -> String {
    format!("HANGUP_{kind}")
}

fn same<A: PartialEq<B> + std::fmt::Debug, B: ?Sized + std::fmt::Debug>(
    what: &str,
    seen: &A,
    expected: &B,
) -> Result<(), String> {
    if seen == expected { Ok(()) } else { Err(format!("{what} {seen:?} instead of {expected:?}")) }
}
