//! The corpus: cases about bytes on the wire, one notation for the Rust, C and Python runners.
//!
//! A case is a request, the server's script and what a caller must see. This file knows the
//! notation and loads it; it checks no outcome.

use crate::script::Script;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One case.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Unique; begins with the behaviour.
    pub name: String,
    /// The code in `tests/BEHAVIOURS.md` that it tests, such as `W1`.
    pub behaviour: String,
    /// The reason for the expected outcome, where it is not obvious.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What the caller does.
    #[serde(default)]
    pub request: CaseRequest,
    /// What the server does.
    pub script: Script,
    /// What the caller must see.
    pub expect: Expect,
}

/// The request of a case, sent `repeat` times, one after the other, each body read to its end.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaseRequest {
    /// GET unless given.
    pub method: String,
    /// `/` unless given.
    pub path: String,
    /// 1 unless given.
    pub repeat: u32,
    /// Header fields to send. Each character of a value is one byte (Latin-1).
    pub headers: Vec<(String, String)>,
    /// Headers of the client and the library that are taken away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// What is sent as the request target instead of the URL's path and query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The URL is sent as it is written.
    pub as_given: bool,
    /// The request body.
    pub body: Option<String>,
    /// The body comes from a reader of unknown length.
    pub reader: bool,
    /// The body is written piece by piece, one byte each, before the request is sent.
    #[serde(skip_serializing_if = "is_off")]
    pub pushed: bool,
    /// The body is a form (multipart/form-data) with the boundary `limit`: each line of `body` is a field, its name, its
    /// file name (empty: none) and its content, with a vertical line between.
    #[serde(skip_serializing_if = "is_off")]
    pub form: bool,
    /// The body is sent after 100 (Continue), or after a minute.
    #[serde(skip_serializing_if = "is_off")]
    pub expect_continue: bool,
    /// Whether content codings are undone; not unless given.
    pub decode: bool,
}

/// What a caller must see. Absent or null: not checked. With `repeat`, every field describes the
/// *last* request, `bodies` each one; all requests before the last must be HANGUP_OK.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The outcome of the request and of reading its whole body, by its name in the C header.
    pub status: String,
    /// The response's status.
    #[serde(default)]
    pub http_status: Option<u16>,
    /// The whole body.
    #[serde(default)]
    pub body: Option<String>,
    /// With an error in the body: what must have been delivered before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<String>,
    /// The whole body of each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bodies: Option<Vec<String>>,
    /// Response header fields that must be present, names in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// All that the server must have received on its last connection, each character one byte (Latin-1), without
    /// the framing of chunks; `{host}` is the URL's host and port, `{agent}` the library's User-Agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<String>,
    /// The reason phrase as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The version of the response times ten: 10 or 11.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u8>,
    /// All header fields in their order, names in the case in which they came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_headers: Option<Vec<(String, String)>>,
    /// How many bytes the body has on the wire; -1 if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_length: Option<i64>,
    /// All trailer fields in their order, names in lower case, after the end of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trailers: Option<Vec<(String, String)>>,
    /// The 1xx statuses seen before the response, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub informational: Option<Vec<u16>>,
    /// A fragment of the error's message, in lower case; runners compare without regard to case.
    #[serde(default)]
    pub message: Option<String>,
    /// How many connections the server must have seen in the end.
    #[serde(default)]
    pub connections: Option<usize>,
}

impl Default for CaseRequest {
    fn default() -> Self {
        CaseRequest {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            repeat: 1,
            headers: Vec::new(),
            without: Vec::new(),
            target: None,
            as_given: false,
            body: None,
            reader: false,
            pushed: false,
            form: false,
            expect_continue: false,
            decode: false,
        }
    }
}

/// Loads every case of every `*.json` in a directory, by file name and then in the order of the
/// file.
pub fn load(dir: &Path) -> Result<Vec<Case>, String> {
    let named = |path: &Path, e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .map_err(|e| named(dir, &e))?
        .filter_map(|item| item.ok().map(|item| item.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .collect();
    files.sort();
    let mut cases: Vec<Case> = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).map_err(|e| named(&file, &e))?;
        let group: Vec<Case> = serde_json::from_str(&text).map_err(|e| named(&file, &e))?;
        cases.extend(group);
    }
    check(&cases)?;
    Ok(cases)
}

/// The case as one line for a runner without a JSON parser: name, url, method, status name, HTTP
/// status, body, message fragment, repeat, connections, the request's headers (a name alone is taken away), its body, its
/// target, the letters g for a URL as it is given, r for a body from a reader and d for decoding,
/// the part of the body before an error, headers, raw headers, trailers, statuses of interim responses
/// with a comma behind each, reason phrase, version, content length; separated by tabs, `-` where nothing is
/// given or expected. In texts `\n`, `\r`, `\t` and `\\` stand for those characters; an empty text is an
/// empty field. In a list of fields each one is name, ": ", value, `\n`.
pub fn line(case: &Case, url: &str) -> Vec<u8> {
    let absent = || "-".to_owned();
    let expect = &case.expect;
    let body = expect.bodies.as_ref().and_then(|all| all.last()).or(expect.body.as_ref());
    let request = &case.request;
    let removed = request.without.iter().map(|name| escape(&format!("{name}\n")));
    let headers = removed.collect::<String>() + &list(&request.headers);
    let letters = [
        (request.as_given, 'g'),
        (request.reader, 'r'),
        (request.decode, 'd'),
        (request.pushed, 'p'),
        (request.form, 'f'),
        (request.expect_continue, 'e'),
    ];
    let options: String = letters.iter().filter(|(on, _)| *on).map(|(_, letter)| letter).collect();
    let fields = [
        case.name.clone(),
        url.to_owned(),
        case.request.method.clone(),
        expect.status.clone(),
        expect.http_status.map_or_else(absent, |n| n.to_string()),
        body.map_or_else(absent, |text| escape(text)),
        expect.message.as_deref().map_or_else(absent, escape),
        case.request.repeat.to_string(),
        expect.connections.map_or_else(absent, |n| n.to_string()),
        if headers.is_empty() { absent() } else { headers },
        case.request.body.as_deref().map_or_else(absent, escape),
        case.request.target.clone().unwrap_or_else(absent),
        if options.is_empty() { absent() } else { options },
        expect.partial.as_deref().map_or_else(absent, escape),
        if expect.headers.is_empty() { absent() } else { list(&expect.headers) },
        expect.raw_headers.as_deref().map_or_else(absent, list),
        expect.trailers.as_deref().map_or_else(absent, list),
        expect
            .informational
            .as_ref()
            .map_or_else(absent, |all| all.iter().map(|status| format!("{status},")).collect()),
        expect.reason.as_deref().map_or_else(absent, escape),
        expect.version.map_or_else(absent, |version| version.to_string()),
        expect.content_length.map_or_else(absent, |length| length.to_string()),
    ];
    let bytes = |(at, field): (usize, &String)| match at {
        SENT_HEADERS | SENT_TARGET => latin1(field),
        _ => field.clone().into_bytes(),
    };
    fields.iter().enumerate().map(bytes).collect::<Vec<_>>().join(&b'\t')
}

fn is_off(option: &bool) -> bool {
    !option
}

/// The places of those fields of a line in which each character is one byte.
const SENT_HEADERS: usize = 9;
const SENT_TARGET: usize = 11;

/// What the server of a case at that host and port must have received.
pub fn received(case: &Case, host: &str, agent: &str) -> Option<Vec<u8>> {
    let text = case.expect.received.as_ref()?;
    Some(latin1(&text.replace("{host}", host).replace("{agent}", agent)))
}

/// Each character as one byte.
pub fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect()
}

/// Checks for the mistakes that the notation allows, so that no runner has to.
fn check(cases: &[Case]) -> Result<(), String> {
    let mut names = HashSet::new();
    for case in cases {
        let name = &case.name;
        if !names.insert(name) {
            return Err(format!("{name}: twice"));
        }
        if !name.starts_with(&format!("{}_", case.behaviour)) {
            return Err(format!("{name}: does not begin with {}_", case.behaviour));
        }
        if !case.expect.status.starts_with("HANGUP_") || case.request.repeat == 0 {
            return Err(format!("{name}: no status name, or no request"));
        }
        let bodies = case.expect.bodies.as_ref();
        if bodies.is_some_and(|all| all.len() != case.request.repeat as usize) {
            return Err(format!("{name}: as many bodies as requests"));
        }
        if case.script.connections.is_empty() {
            return Err(format!("{name}: an empty script"));
        }
    }
    Ok(())
}

fn list(fields: &[(String, String)]) -> String {
    fields.iter().map(|(name, value)| escape(&format!("{name}: {value}\n"))).collect()
}

fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\t', "\\t");
    text.replace('\r', "\\r").replace('\n', "\\n")
}
