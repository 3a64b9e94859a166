//! Errors and connections as JSON text (RFC 8259), for languages and logs that would otherwise need a call for each
//! property. Numbers of C's enumerations are not in it: names are.

use std::error::Error as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::manager::ConnectionInfo;
use crate::tcp_facts::TcpFacts;
use crate::timings::Timings;
use crate::vocabulary::{Acknowledged, Timeout};

impl Error {
    /// All of it as one JSON object on one line. Members that have no value are null; later versions may add members.
    ///
    /// | member | value |
    /// |---|---|
    /// | `status` | the kind, for example `"TIMED_OUT"` |
    /// | `message` | the sentence |
    /// | `reason` | what was given to the cancel token, or null |
    /// | `causes` | the messages of the errors below this one, the nearest first |
    /// | `phase`, `timeout` | names, or null |
    /// | `method`, `url`, `origin` | of the request; the URL has neither user information nor a fragment |
    /// | `connection_id`, `reused` | the connection; the id is null if there was none |
    /// | `sent`, `bytes_sent` | `"nothing"`, `"part"` or `"all"` of the request; how many bytes |
    /// | `response_started`, `status_code` | whether a byte of the response came; the HTTP status code, or null |
    /// | `retry_safe`, `retry_may_help` | see [`retry_safe`](Self::retry_safe), [`retry_may_help`](Self::retry_may_help) |
    /// | `attempts` | how many times the request was tried |
    /// | `os_code`, `resolver_code` | errno and the `EAI_` number, or null |
    /// | `open_connections` | after a drain that ran out of time |
    /// | `timings_us` | an object with microseconds for each phase and `total`, or null |
    /// | `acknowledged` | `"nothing"`, `"part"` or `"all"` of the request, or null; see [`acknowledged`](Self::acknowledged) |
    /// | `tcp_facts` | an object with `rtt_us`, `silence_ms`, `unacked_bytes`, `unsent_bytes`, `retransmissions`, `retransmissions_in_row` and `unanswered_probes`, or null |
    ///
    /// ```
    /// let error = hangup::Request::new("GET", "nonsense").unwrap_err();
    /// assert!(error.to_json().contains(r#""status":"INVALID_URL""#));
    /// ```
    pub fn to_json(&self) -> String {
        let mut causes = Vec::new();
        let mut cause = self.source();
        // A chain of errors of other libraries has no bound of its own.
        while let Some(error) = cause.filter(|_| causes.len() < MAX_CAUSES) {
            causes.push(Value::from(error.to_string()));
            cause = error.source();
        }
        let timeout = Some(self.timeout()).filter(|timeout| *timeout != Timeout::None);
        let phase = Some(self.phase().name()).filter(|phase| *phase != "none");
        object([
            ("status", json!(self.kind().name())),
            ("message", json!(self.message())),
            ("reason", json!(self.reason())),
            ("causes", Value::Array(causes)),
            ("phase", json!(phase)),
            ("timeout", json!(timeout.map(Timeout::name))),
            ("method", json!(self.method())),
            ("url", json!(self.url())),
            ("origin", json!(self.origin())),
            ("connection_id", json!(self.connection_id())),
            ("reused", json!(self.reused())),
            ("sent", json!(self.sent().name())),
            ("bytes_sent", json!(self.bytes_sent())),
            ("response_started", json!(self.response_started())),
            ("status_code", json!(self.status_code())),
            ("retry_safe", json!(self.retry_safe())),
            ("retry_may_help", json!(self.retry_may_help())),
            ("attempts", json!(self.attempts())),
            ("os_code", json!(self.os_code())),
            ("resolver_code", json!(self.resolver_code())),
            ("open_connections", json!(self.open_connections())),
            ("timings_us", timings(self.timings())),
            ("acknowledged", json!(self.acknowledged().map(Acknowledged::name))),
            ("tcp_facts", tcp_facts(self.tcp_facts())),
        ])
        .to_string()
    }
}

impl ConnectionInfo {
    /// A list of connections as a JSON array on one line, an object for each connection with the names of this
    /// structure: `id`, `origin`, `peer`, `local`, `tls`, `state`, `closing`, `age_ms`, `idle_ms`, `requests`,
    /// `bytes_in`, `bytes_out`, and `tcp_facts` as in the JSON of an error. Members that have no value are null; later versions may add members.
    ///
    /// ```
    /// let manager = hangup::Manager::new(hangup::Limits::default());
    /// assert_eq!(hangup::ConnectionInfo::list_to_json(&manager.connections()), "[]");
    /// ```
    pub fn list_to_json(list: &[Self]) -> String {
        list.iter().map(Self::json).collect::<Value>().to_string()
    }

    fn json(&self) -> Value {
        let text = |address: Option<std::net::SocketAddr>| address.map(|a| a.to_string());
        object([
            ("id", json!(self.id)),
            ("origin", json!(self.origin)),
            ("peer", json!(text(self.peer))),
            ("local", json!(text(self.local))),
            ("tls", json!(self.tls)),
            ("state", json!(self.state.name())),
            ("closing", json!(self.closing)),
            ("age_ms", json!(milliseconds(self.age))),
            ("idle_ms", json!(self.idle.map(milliseconds))),
            ("requests", json!(self.requests)),
            ("bytes_in", json!(self.bytes_in)),
            ("bytes_out", json!(self.bytes_out)),
            ("tcp_facts", tcp_facts(self.tcp_facts)),
        ])
    }
}

fn timings(timings: Timings) -> Value {
    if timings == Timings::default() {
        return Value::Null;
    }
    let Timings { pool, resolve, connect, proxy, tls, write, head, read, total } = timings;
    let parts = [
        ("pool", pool),
        ("resolve", resolve),
        ("connect", connect),
        ("proxy", proxy),
        ("tls", tls),
        ("write", write),
        ("head", head),
        ("read", read),
        ("total", total),
    ];
    object(parts.map(|(name, part)| (name, json!(part.map(microseconds)))))
}

fn tcp_facts(facts: Option<TcpFacts>) -> Value {
    let Some(facts) = facts else { return Value::Null };
    object([
        ("rtt_us", json!(facts.rtt.map(microseconds))),
        ("silence_ms", json!(milliseconds(facts.silence))),
        ("unacked_bytes", json!(facts.unacked_bytes)),
        ("unsent_bytes", json!(facts.unsent_bytes)),
        ("retransmissions", json!(facts.retransmissions)),
        ("retransmissions_in_row", json!(facts.retransmissions_in_row)),
        ("unanswered_probes", json!(facts.unanswered_probes)),
    ])
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let members = members.into_iter().map(|(name, value)| (name.to_owned(), value));
    Value::Object(members.collect::<Map<_, _>>())
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

const MAX_CAUSES: usize = 16;
