//! What a server does, written down: one list of steps for each connection.
//!
//! The JSON form is the contract with the C and Python tests and with the corpus; each variant's
//! doc shows it. Nothing here touches a socket.

use crate::certs::Certificate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The behaviour of a whole server: connection *i* runs list *i*.
///
/// In JSON either the list of lists, or `{"connections": [[..], ..], "then": "close"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Form", into = "Form")]
pub struct Script {
    /// One list of steps for each connection, in the order in which they are accepted.
    pub connections: Vec<Vec<Step>>,
    /// What happens to connections past the last list.
    pub then: Then,
}

/// What happens to connections that have no list of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// They run the last list again.
    #[default]
    Repeat,
    /// They are accepted and closed at once.
    Close,
    /// The listener is closed after the last listed connection, so that they are refused.
    Refuse,
}

/// One thing a server does on a connection. After the last step the connection is closed in good
/// order. A peer that closes ends the script at any step, except at `{"recv":"eof"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// `{"recv":"head"}`, `{"recv":"body"}`, `{"recv":"eof"}`, `{"recv":{"bytes":100}}`.
    Recv(Until),
    /// `{"send":"HTTP/1.1 200 OK\r\n"}`: these characters as UTF-8.
    Send(String),
    /// `{"send_hex":"1f8b08"}`: bytes that are no text.
    #[serde(with = "crate::hex")]
    SendHex(Vec<u8>),
    /// `{"fill":{"bytes":1000,"byte":"x"}}`: the same byte over and over.
    Fill {
        /// How many.
        bytes: u64,
        /// Which; `x` unless given.
        #[serde(default = "filler")]
        byte: char,
    },
    /// `{"drip":{"bytes":50,"every_ms":10,"chunk":1}}`: `chunk` bytes, then a pause, until all are
    /// out.
    Drip {
        /// How many in all.
        bytes: u64,
        /// The pause after each piece.
        every_ms: u64,
        /// The size of a piece; 1 unless given.
        #[serde(default = "one")]
        chunk: u64,
    },
    /// `{"urgent":"!"}`: sends these characters, the last one as urgent data (tcp(7)), beneath TLS.
    Urgent(String),
    /// `{"cork":true}`: what is sent is held back until `{"cork":false}`, and then goes out together.
    Cork(bool),
    /// `{"tickets":1000}`: sends so many session tickets of TLS 1.3 (RFC 8446 section 4.6.1), each in a record of its
    /// own; 0 is for ever. After it the connection can only be ended.
    Tickets(u64),
    /// `{"sleep_ms":50}`.
    SleepMs(u64),
    /// `"stall"`: neither reads nor writes until the peer closes or the server stops.
    Stall,
    /// `"echo"`: sends back what comes, up to the peer's end of stream, which is noted; the script goes on.
    Echo,
    /// `"rst"`: ends the connection with a RST.
    Rst,
    /// `"fin"`: half-closes; the script goes on and may read.
    Fin,
    /// `"close"`: ends the connection as the end of the list does, with close_notify if there is
    /// TLS.
    Close,
    /// `{"tls":"good"}`: a TLS handshake with this certificate. A peer that refuses it ends the
    /// script.
    Tls(Certificate),
    /// `"close_notify"`: sends close_notify and keeps TCP open.
    CloseNotify,
    /// `"truncate"`: ends TCP with a FIN and without close_notify.
    Truncate,
    /// `{"await":"name"}`: waits for `Server::release(name)`.
    Await(String),
    /// `{"mark":"name"}`: wakes `Server::wait_mark(name)`.
    Mark(String),
    /// `{"repeat":{"times":3,"steps":[..]}}`; 0 times is for ever.
    Repeat {
        /// How often; 0 is for ever.
        times: u64,
        /// What.
        steps: Vec<Step>,
    },
    /// `{"echo_head":true}`: reads a request and answers 200 with its head as the body. `false`
    /// does the same, with `Connection: close`, and closes.
    EchoHead(bool),
    /// `{"answer":{"status":200,"headers":[["k","v"]],"body":"ok"}}`: reads a request with its body
    /// and sends a well-formed response with a Content-Length, without the body if the request was
    /// a HEAD.
    Answer(Answer),
    /// `{"by_path":{"/a":[..],"/b":[..],"*":[..]}}`: looks at the next request head and runs the
    /// steps of its target, with or without the query; `*` is for all others, which otherwise get a
    /// 404. The head is left unread: the steps read it with `answer` or `recv`.
    ByPath(BTreeMap<String, Vec<Step>>),
}

/// How much a `recv` step reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// A request head with its blank line; it is added to `Server::heads`.
    Head,
    /// The body of the last head, by its Content-Length or chunked framing; it is added to
    /// `Server::bodies`.
    Body,
    /// Everything until the peer closes.
    Eof,
    /// Everything until the peer ends its direction: in TLS with a close_notify, which leaves TCP open.
    HalfClose,
    /// So many bytes.
    Bytes(u64),
}

/// A well-formed response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// The status; 200 unless given.
    pub status: u16,
    /// Header fields besides Content-Length.
    pub headers: Vec<(String, String)>,
    /// The body; empty unless given.
    pub body: String,
}

impl Script {
    /// Connection *i* runs list *i*; further ones repeat the last list.
    pub fn new(connections: Vec<Vec<Step>>) -> Script {
        Script { connections, then: Then::Repeat }
    }

    /// Every connection runs this list.
    pub fn every(steps: Vec<Step>) -> Script {
        Script::new(vec![steps])
    }

    /// Every connection answers every request with 200 and this body.
    pub fn answering(body: &str) -> Script {
        Script::every(vec![Step::forever(vec![Step::answer(200, body)])])
    }

    /// Every connection answers every request with its own head.
    pub fn echoing() -> Script {
        Script::every(vec![Step::forever(vec![Step::EchoHead(true)])])
    }

    /// Every connection answers every request with the steps of its path, `*` standing for all
    /// others: `Script::by_path([("/a", vec![Step::answer(200, "a")]), ("/b", vec![Step::Rst])])`.
    pub fn by_path<const N: usize>(paths: [(&str, Vec<Step>); N]) -> Script {
        Script::every(vec![Step::forever(vec![Step::by_path(paths)])])
    }

    /// Every connection receives a head, sends these bytes and closes.
    pub fn replying(bytes: &str) -> Script {
        Script::every(vec![Step::head(), Step::send(bytes)])
    }

    /// Reads the JSON form.
    pub fn from_json(text: &str) -> Result<Script, String> {
        serde_json::from_str(text).map_err(|e| format!("not a script: {e}"))
    }

    /// What connection `index` does.
    pub(crate) fn steps(&self, index: usize) -> &[Step] {
        match (self.connections.get(index), self.then) {
            (Some(steps), _) => steps,
            (None, Then::Repeat) => self.connections.last().map_or(&[], Vec::as_slice),
            (None, Then::Close | Then::Refuse) => &[],
        }
    }

    /// Whether clients should come with TLS: the first thing of the first connection is a
    /// handshake.
    pub(crate) fn starts_with_tls(&self) -> bool {
        matches!(self.connections.first().and_then(|steps| steps.first()), Some(Step::Tls(_)))
    }
}

impl Step {
    /// `{"recv":"head"}`.
    pub fn head() -> Step {
        Step::Recv(Until::Head)
    }

    /// `{"recv":"body"}`.
    pub fn body() -> Step {
        Step::Recv(Until::Body)
    }

    /// `{"recv":"eof"}`.
    pub fn eof() -> Step {
        Step::Recv(Until::Eof)
    }

    /// `{"send":text}`.
    pub fn send(text: &str) -> Step {
        Step::Send(text.to_owned())
    }

    /// `{"sleep_ms":millis}`.
    pub fn sleep(millis: u64) -> Step {
        Step::SleepMs(millis)
    }

    /// `{"await":name}`.
    pub fn wait_for(name: &str) -> Step {
        Step::Await(name.to_owned())
    }

    /// `{"mark":name}`.
    pub fn mark(name: &str) -> Step {
        Step::Mark(name.to_owned())
    }

    /// `{"repeat":{"times":0,"steps":steps}}`.
    pub fn forever(steps: Vec<Step>) -> Step {
        Step::Repeat { times: 0, steps }
    }

    /// `{"repeat":{"times":times,"steps":steps}}`.
    pub fn times(times: u64, steps: Vec<Step>) -> Step {
        Step::Repeat { times, steps }
    }

    /// `{"answer":{"status":status,"body":body}}`.
    pub fn answer(status: u16, body: &str) -> Step {
        Step::Answer(Answer { status, body: body.to_owned(), ..Answer::default() })
    }

    /// `{"by_path":paths}`.
    pub fn by_path<const N: usize>(paths: [(&str, Vec<Step>); N]) -> Step {
        Step::ByPath(paths.map(|(path, steps)| (path.to_owned(), steps)).into())
    }
}

impl Default for Answer {
    fn default() -> Self {
        Answer { status: 200, headers: Vec::new(), body: String::new() }
    }
}

/// The two JSON forms of a script.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    List(Vec<Vec<Step>>),
    Full {
        connections: Vec<Vec<Step>>,
        #[serde(default)]
        then: Then,
    },
}

impl From<Form> for Script {
    fn from(form: Form) -> Script {
        match form {
            Form::List(connections) => Script::new(connections),
            Form::Full { connections, then } => Script { connections, then },
        }
    }
}

impl From<Script> for Form {
    fn from(script: Script) -> Form {
        match script.then {
            Then::Repeat => Form::List(script.connections),
            then => Form::Full { connections: script.connections, then },
        }
    }
}

fn filler() -> char {
    'x'
}

fn one() -> u64 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_json_forms_are_read() {
        let list = Script::from_json(r#"[[{"recv":"head"},{"recv":{"bytes":3}},"stall","rst"]]"#);
        let steps = vec![Step::head(), Step::Recv(Until::Bytes(3)), Step::Stall, Step::Rst];
        assert_eq!(list, Ok(Script::every(steps)));
        let full = Script::from_json(r#"{"connections":[[{"fill":{"bytes":2}}]],"then":"refuse"}"#);
        let fill = Step::Fill { bytes: 2, byte: 'x' };
        assert_eq!(full, Ok(Script { connections: vec![vec![fill]], then: Then::Refuse }));
    }

    #[test]
    fn a_script_survives_json() {
        let script = Script::every(vec![
            Step::Tls(Certificate::WrongHost),
            Step::SendHex(vec![0, 255]),
            Step::forever(vec![Step::answer(404, "no"), Step::EchoHead(false)]),
            Step::wait_for("go"),
            Step::by_path([("/a", vec![Step::Rst]), ("*", vec![])]),
        ]);
        let text = serde_json::to_string(&script).unwrap();
        assert!(text.contains(r#"{"send_hex":"00ff"}"#), "{text}");
        assert_eq!(Script::from_json(&text), Ok(script));
    }

    #[test]
    fn a_misspelt_step_is_refused() {
        assert!(Script::from_json(r#"[["stal"]]"#).is_err());
    }
}
