//! The same malformed responses read by hangup, by Python's http.client and by curl. Each difference has a reason in
//! `differences.json`; a difference that is not listed is a failure.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use hangup::{Request, Timeout};
use serde::Deserialize;

use crate::origin::{Answer, Origin};
use crate::responses::Generator;
use crate::support::Random;

/// The outcome of a response for one client.
#[derive(Debug, PartialEq)]
enum Made {
    Response { status: u16, body: Vec<u8> },
    Error(String),
}

/// A way in which another client may differ, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    /// "http.client" or "curl".
    peer: String,
    /// A part of hangup's outcome: an error's kind and message, or "response" and its status.
    ours: String,
    /// A part of the other client's outcome: its error, or "response" and its status.
    theirs: String,
    /// A part of the response's bytes, compared without regard to case, if the difference is right for these only.
    #[serde(default)]
    bytes: String,
    /// Why hangup's outcome is right.
    #[allow(dead_code)]
    reason: String,
}

pub struct Differential {
    generator: Generator,
    origin: Origin,
    client: hangup::Client,
    python: Python,
    differences: Vec<Difference>,
}

struct Python {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Differential {
    pub fn new() -> Self {
        let client = crate::support::client();
        client.set_decode(false);
        let differences: Vec<Difference> =
            serde_json::from_str(include_str!("differences.json")).expect("the list");
        let (generator, origin) = (Generator::new(), Origin::start(false));
        Self { generator, origin, client, python: Python::start(), differences }
    }

    /// Runs case `number`.
    pub fn run(&mut self, number: u64) -> Result<(), String> {
        let mut random = Random::new(number ^ 0xd1ff);
        let bytes = self.generator.bytes(number, &mut random);
        // The connection is closed afterwards, so that the end is the same for all clients.
        let answer = Answer { pieces: vec![bytes.clone()], close: true };
        let url = self.origin.url(number);
        let made = |ask: &mut dyn FnMut(&str) -> Made| {
            self.origin.expect(number, answer.clone());
            let made = ask(&url);
            self.origin.is_over(number);
            self.origin.forget(number);
            made
        };
        let ours = made(&mut |url| by_hangup(&self.client, url));
        let peers =
            [("http.client", made(&mut |url| self.python.ask(url))), ("curl", made(&mut by_curl))];
        for (peer, theirs) in peers {
            if ours != theirs && !self.is_explained(peer, &ours, &theirs, &bytes) {
                let bytes = bytes.escape_ascii();
                return Err(format!("hangup: {ours:?}\n{peer}: {theirs:?}\nof \"{bytes}\""));
            }
        }
        Ok(())
    }

    fn is_explained(&self, peer: &str, ours: &Made, theirs: &Made, bytes: &[u8]) -> bool {
        let (ours, theirs) = match (ours, theirs) {
            // Both refuse it; their messages may differ.
            (Made::Error(_), Made::Error(_)) => return true,
            _ => (ours.text(), theirs.text()),
        };
        let bytes: String =
            bytes.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect();
        let applies = |known: &Difference| {
            known.peer == peer
                && ours.contains(&known.ours)
                && theirs.contains(&known.theirs)
                && bytes.contains(&known.bytes.to_ascii_lowercase())
        };
        self.differences.iter().any(applies)
    }
}

impl Made {
    fn text(&self) -> String {
        match self {
            Self::Response { status, .. } => format!("response {status}"),
            Self::Error(why) => why.clone(),
        }
    }
}

fn by_hangup(client: &hangup::Client, url: &str) -> Made {
    let made = || {
        let mut request = Request::new("GET", url)?;
        request.set_timeout(Timeout::Total, Some(Duration::from_secs(20)))?;
        request.set_redirects(Some(0));
        let mut response = client.send(&mut request)?;
        Ok((response.status_code(), response.read_all(1 << 20)?))
    };
    match made() {
        Ok((status, body)) => Made::Response { status, body },
        Err(error) => {
            let error: hangup::Error = error;
            Made::Error(format!("{}: {}", error.kind(), error.message()))
        }
    }
}

fn by_curl(url: &str) -> Made {
    let mut curl = Command::new("curl");
    curl.args(["-q", "--silent", "--noproxy", "*", "--max-time", "20"]);
    // curl prints the status after the body.
    let output = curl.args(["--write-out", "%{http_code}", url]).output();
    let output = output.expect("curl (apt-get install curl)");
    let (body, status) = output.stdout.split_at(output.stdout.len().saturating_sub(3));
    let status = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok());
    match (output.status.code(), status) {
        (Some(0), Some(status)) => Made::Response { status, body: body.to_vec() },
        (code, _) => Made::Error(format!("exit code {code:?}")),
    }
}

impl Python {
    fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/reference.py");
        let mut child = Command::new(std::env::var_os("PYTHON").unwrap_or("python3".into()))
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python 3");
        let asks = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, asks, answers }
    }

    fn ask(&mut self, url: &str) -> Made {
        let mut line = String::new();
        writeln!(self.asks, "{url}").expect("Python reads");
        self.answers.read_line(&mut line).expect("Python writes");
        match line.trim_end().split_once(' ') {
            Some(("error", why)) => Made::Error(why.to_owned()),
            Some((status, body)) => {
                let digits = |at: usize| u8::from_str_radix(&body[at..at + 2], 16).ok();
                let body = (0..body.len()).step_by(2).filter_map(digits).collect();
                Made::Response { status: status.parse().expect("a status"), body }
            }
            // Nothing after the space: an empty body.
            None => Made::Response {
                status: line.trim_end().parse().expect("a status"),
                body: Vec::new(),
            },
        }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // The process has ended, or is killed now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
