//! An HTTP proxy on loopback: CONNECT tunnels and plain requests, or what a proxy can do wrong.
//!
//! Serves everybody the same; for a proxy that changes from connection to connection a scripted
//! `Server` will do. Knows hosts by its table only.

use crate::acceptor::{Acceptor, Bounds, listen};
use crate::attend::{WayOut, attend};
use crate::certs::{Certificate, certs};
use crate::forward::forward;
use crate::hosts::{Hosts, locate, split};
use crate::ledger::Ledger;
use crate::message::{self, Head};
use crate::relay::relay;
use crate::script::Answer;
use crate::wire::{Halt, Wire};
use serde::{Deserialize, Deserializer};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// A proxy on a free port of 127.0.0.1. Begins with `start`; what it sees is in its [`Ledger`]: every
/// request head that came on a connection (what goes through a tunnel is not looked at), and the
/// tunnels; ends as a `Server` does. All methods from any thread.
#[derive(Debug)]
pub struct Proxy {
    acceptor: Acceptor,
    ledger: Arc<Ledger>,
    https: bool,
}

/// How a proxy behaves. `ProxyOptions::default()` lets everybody through, in plain HTTP.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyOptions {
    /// Speak TLS with clients, with this certificate.
    pub tls: Option<Certificate>,
    /// The user and password without which there is a 407.
    pub credentials: Option<(String, String)>,
    /// Names that this proxy knows besides `localhost`.
    pub hosts: Hosts,
    /// What it does with a request that may pass.
    pub conduct: Conduct,
    /// Listen on this address of loopback, or of a `Network`, in place of 127.0.0.1.
    pub ip: Option<IpAddr>,
    /// When it stops by itself.
    #[serde(rename = "life_ms", deserialize_with = "millis")]
    pub life: Duration,
}

/// What a proxy does. In JSON: `"forward"`, `{"refuse":{"status":405}}`, `{"silent":"request"}`,
/// `{"close":"accept"}`, `"endless_head"`, `{"extra":"junk"}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conduct {
    /// Its work.
    #[default]
    Forward,
    /// Sends this response, and then closes if it has `Connection: close`.
    Refuse(Answer),
    /// Does nothing more from here on, until the client closes.
    Silent(ProxyStep),
    /// Closes here.
    Close(ProxyStep),
    /// Begins a 200 whose head has no end.
    EndlessHead,
    /// Forwards, and sends these characters right after the head of the 200 to a CONNECT.
    Extra(String),
}

/// The moments at which a proxy may stop working.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyStep {
    /// After accept, before TLS and before the first byte is read.
    Accept,
    /// When the head of a request was read.
    Request,
    /// When a CONNECT was answered with 200. Plain requests pass.
    Tunnel,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        ProxyOptions {
            tls: None,
            credentials: None,
            hosts: Hosts::new(),
            conduct: Conduct::Forward,
            ip: None,
            life: Duration::from_secs(120),
        }
    }
}

impl Proxy {
    /// Starts one that does its work. Panics if the system has no socket left.
    pub fn start() -> Proxy {
        Proxy::start_with(ProxyOptions::default()).expect("a listening socket")
    }

    /// Starts as the options say.
    pub fn start_with(options: ProxyOptions) -> io::Result<Proxy> {
        if options.tls.is_some() {
            // Made now, not while the first client's clock runs.
            certs();
        }
        let https = options.tls.is_some();
        let ledger = Arc::new(Ledger::default());
        let theirs = Arc::clone(&ledger);
        let bounds = Bounds { life: options.life, accepts: usize::MAX };
        let listener = listen((options.ip.unwrap_or(Ipv4Addr::LOCALHOST.into()), 0).into())?;
        let acceptor = Acceptor::spawn(listener, bounds, move |socket, index, stop| {
            let visit = Visit { options: &options, index, ledger: &theirs };
            attend(socket, index, &theirs, stop, |client| visit.converse(client));
        })?;
        Ok(Proxy { acceptor, ledger, https })
    }

    /// Closes everything and returns when that is done; what was recorded can still be read.
    pub fn stop(&mut self) {
        self.acceptor.stop();
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.acceptor.addr()
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.addr().port()
    }

    /// Its URL, without a path: `http://127.0.0.1:1`, or `https://localhost:1` with TLS.
    pub fn url(&self) -> String {
        match self.https {
            false => format!("http://{}", self.addr()),
            true => format!("https://localhost:{}", self.port()),
        }
    }
}

impl Deref for Proxy {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

/// One client's connection.
struct Visit<'a> {
    options: &'a ProxyOptions,
    index: usize,
    ledger: &'a Ledger,
}

impl Visit<'_> {
    fn converse(&self, client: &mut Wire) -> Result<WayOut, Halt> {
        if let Some(way_out) = self.stops_at(ProxyStep::Accept, client)? {
            return Ok(way_out);
        }
        if let Some(which) = self.options.tls {
            client.handshake(certs().config(which).map_err(Halt::Broken)?)?;
        }
        loop {
            let head = message::read_head(client)?;
            self.ledger.head(self.index, &head.0);
            if let Some(way_out) = self.request(client, &head)? {
                return Ok(way_out);
            }
        }
    }

    /// `None`: the client may send another request.
    fn request(&self, client: &mut Wire, head: &Head) -> Result<Option<WayOut>, Halt> {
        if let Some(way_out) = self.stops_at(ProxyStep::Request, client)? {
            return Ok(Some(way_out));
        }
        if !self.admits(head) {
            let challenge = ("Proxy-Authenticate".to_owned(), "Basic realm=\"test\"".to_owned());
            let body = "credentials, please\n".to_owned();
            return answer(client, head, &Answer { status: 407, headers: vec![challenge], body });
        }
        match &self.options.conduct {
            Conduct::Refuse(refusal) => answer(client, head, refusal),
            Conduct::EndlessHead => {
                client.send(b"HTTP/1.1 200 OK\r\n")?;
                loop {
                    client.send(&b"X-More: and more of it, and more of it\r\n".repeat(100))?;
                }
            }
            _ if head.method() == "CONNECT" => self.tunnel(client, head).map(Some),
            _ => forward(client, head, &self.options.hosts),
        }
    }

    fn tunnel(&self, client: &mut Wire, head: &Head) -> Result<WayOut, Halt> {
        let refusal = |status, why: String| {
            let headers = vec![("Connection".to_owned(), "close".to_owned())];
            message::response(&Answer { status, headers, body: why }, head.method())
        };
        let hosts = &self.options.hosts;
        let to = split(head.target(), 443).and_then(|(host, port)| locate(hosts, host, port));
        let Some(to) = to else {
            client.send(&refusal(502, "a host that this proxy does not know\n".to_owned()))?;
            return Ok(WayOut::Close);
        };
        let origin = match Wire::dial(to, client)? {
            Ok(wire) => wire,
            Err(e) => {
                client.send(&refusal(502, format!("{to}: {e}\n")))?;
                return Ok(WayOut::Close);
            }
        };
        // Before the client can observe it.
        self.ledger.record(self.index, |record| record.tunnel = Some(head.target().to_owned()));
        let extra = match &self.options.conduct {
            Conduct::Extra(text) => text,
            _ => "",
        };
        client.send(format!("HTTP/1.1 200 Connection established\r\n\r\n{extra}").as_bytes())?;
        match self.stops_at(ProxyStep::Tunnel, client)? {
            Some(way_out) => Ok(way_out),
            None => relay(client, origin, self.index, self.ledger),
        }
    }

    fn stops_at(&self, step: ProxyStep, client: &Wire) -> Result<Option<WayOut>, Halt> {
        match self.options.conduct {
            Conduct::Silent(at) if at == step => loop {
                client.idle(None, None)?;
            },
            Conduct::Close(at) if at == step => Ok(Some(WayOut::Close)),
            _ => Ok(None),
        }
    }

    fn admits(&self, head: &Head) -> bool {
        self.options.credentials.as_ref().is_none_or(|(user, password)| {
            let expected = format!("Basic {}", base64(format!("{user}:{password}").as_bytes()));
            head.header("proxy-authorization") == Some(expected.as_str())
        })
    }
}

fn answer(client: &mut Wire, head: &Head, answer: &Answer) -> Result<Option<WayOut>, Halt> {
    let closing = answer.headers.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close")
    });
    if !closing {
        message::read_body(client, head, |_| ())?;
    }
    client.send(&message::response(answer, head.method()))?;
    Ok(closing.then_some(WayOut::Close))
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    let digit = |n: u32| char::from(BASE64[n as usize & 63]);
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let at = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        let digits = [bits >> 18, bits >> 12, bits >> 6, bits].map(digit);
        text.extend(&digits[..=group.len()]);
        text.extend(std::iter::repeat_n('=', 3 - group.len()));
    }
    text
}

/// `life_ms` and the like.
pub(crate) fn millis<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    u64::deserialize(from).map(Duration::from_millis)
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads() {
        let all = ["", "f", "fo", "foo"].map(|text| base64(text.as_bytes()));
        assert_eq!(all, ["", "Zg==", "Zm8=", "Zm9v"]);
    }
}
