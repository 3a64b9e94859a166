//! A plain request through a proxy: absolute form in, origin form out, the response back.
//!
//! Each request has a connection of its own to the origin; the client's is kept as long as the
//! response's framing allows. `Expect: 100-continue` is answered here and not passed on.

use crate::attend::WayOut;
use crate::hosts::{Hosts, locate, split};
use crate::message::{self, Framing, Head};
use crate::script::Answer;
use crate::wire::{Halt, Wire};
use std::time::Duration;

/// Serves one request whose head was just read. `None`: the client may send another.
pub(crate) fn forward(
    client: &mut Wire,
    head: &Head,
    hosts: &Hosts,
) -> Result<Option<WayOut>, Halt> {
    let Some((authority, path)) = parts(head.target()) else {
        return refuse(client, head, 400, "not an absolute http URL\n");
    };
    let Some(to) = split(authority, 80).and_then(|(host, port)| locate(hosts, host, port)) else {
        return refuse(client, head, 502, "a host that this proxy does not know\n");
    };
    let origin = match Wire::dial(to, client)? {
        Ok(wire) => wire,
        Err(e) => return refuse(client, head, 502, &format!("{to}: {e}\n")),
    };
    let mut exchange = Exchange { client, origin, head, begun: false };
    match exchange.run(path) {
        Ok(next) => Ok(next),
        Err(Trouble::Client(halt)) => Err(halt),
        // Seen while waiting for the origin.
        Err(Trouble::Origin(Halt::PartnerGone)) => {
            Err(exchange.client.peer_end(Duration::ZERO).unwrap_or(Halt::PartnerGone))
        }
        Err(Trouble::Origin(Halt::Stopped)) => Err(Halt::Stopped),
        Err(Trouble::Origin(_)) if !exchange.begun => {
            refuse(exchange.client, head, 502, "the origin hung up\n")
        }
        Err(Trouble::Origin(Halt::PeerRst)) => Ok(Some(WayOut::Reset)),
        Err(Trouble::Origin(_)) => Ok(Some(WayOut::Truncate)),
    }
}

/// Answers in the proxy's own name and closes, since the request's body may be unread.
fn refuse(client: &mut Wire, head: &Head, status: u16, why: &str) -> Result<Option<WayOut>, Halt> {
    let headers = vec![("Connection".to_owned(), "close".to_owned())];
    let answer = Answer { status, headers, body: why.to_owned() };
    client.send(&message::response(&answer, head.method()))?;
    Ok(Some(WayOut::Close))
}

/// Authority, without user information, and path of an absolute http URL.
fn parts(target: &str) -> Option<(&str, &str)> {
    let rest = target.strip_prefix("http://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    Some((host, path))
}

/// On which side something went wrong.
enum Trouble {
    Client(Halt),
    Origin(Halt),
}

struct Exchange<'a> {
    client: &'a mut Wire,
    origin: Wire,
    head: &'a Head,
    /// A byte of the response may have reached the client.
    begun: bool,
}

impl Exchange<'_> {
    fn run(&mut self, path: &str) -> Result<Option<WayOut>, Trouble> {
        let slash = if path.starts_with('/') { "" } else { "/" };
        let line = format!("{} {slash}{path} HTTP/1.1\r\n", self.head.method());
        let fields = kept_fields(self.head, &["expect"]);
        let bytes = format!("{line}{fields}Via: 1.1 testserver\r\nConnection: close\r\n\r\n");
        self.origin.send(bytes.as_bytes()).map_err(Trouble::Origin)?;
        if self.head.header("expect").is_some() {
            self.client.send(b"HTTP/1.1 100 Continue\r\n\r\n").map_err(Trouble::Client)?;
        }
        let uploaded = self.upload().map_err(Trouble::Client)?;
        let kept = self.response(uploaded)?;
        Ok((!kept || self.head.wants_close()).then_some(WayOut::Close))
    }

    /// False if the origin stopped reading, most likely because it has answered.
    fn upload(&mut self) -> Result<bool, Halt> {
        let chunked = self.head.framing()? == Framing::Chunked;
        let Exchange { client, origin, head, .. } = self;
        let mut sent = Ok(());
        message::read_body(client, head, |piece| {
            if sent.is_ok() && chunked {
                let line = format!("{:x}\r\n", piece.len());
                sent = origin.send(&[line.as_bytes(), piece, b"\r\n"].concat());
            } else if sent.is_ok() {
                sent = origin.send(piece);
            }
        })?;
        if sent.is_ok() && chunked {
            sent = origin.send(b"0\r\n\r\n");
        }
        Ok(sent.is_ok())
    }

    /// Copies the response. True if its end was that of its framing.
    fn response(&mut self, uploaded: bool) -> Result<bool, Trouble> {
        let head = loop {
            let head = message::read_head(&mut self.origin).map_err(Trouble::Origin)?;
            if !head.target().starts_with('1') {
                break head;
            }
            self.deliver(head.0.as_bytes())?;
        };
        let bodiless = self.head.method() == "HEAD" || ["204", "304"].contains(&head.target());
        let framed =
            ["transfer-encoding", "content-length"].iter().any(|f| head.header(f).is_some());
        let keep = uploaded && (bodiless || framed);
        let line = head.0.lines().next().unwrap_or_default();
        let close = if keep { "" } else { "Connection: close\r\n" };
        let fields = kept_fields(&head, &[]);
        self.deliver(format!("{line}\r\n{fields}{close}\r\n").as_bytes())?;
        if !bodiless {
            self.body(framed.then(|| head.framing()).transpose().map_err(Trouble::Origin)?)?;
        }
        Ok(keep)
    }

    fn body(&mut self, framing: Option<Framing>) -> Result<(), Trouble> {
        match framing {
            Some(Framing::Length(length)) => self.copy(length),
            Some(Framing::Chunked) => loop {
                let line = self.copy_line()?;
                let digits = line.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(digits, 16)
                    .map_err(|_| Trouble::Origin(Halt::Broken(format!("chunk {digits:?}"))))?;
                if size == 0 {
                    while !self.copy_line()?.is_empty() {}
                    return Ok(());
                }
                self.copy(size + 2)?;
            },
            None => loop {
                let all = self.origin.inbox().len();
                let bytes = self.origin.take(all);
                self.deliver(&bytes)?;
                if self.origin.fill().map_err(Trouble::Origin)? == 0 {
                    return Ok(());
                }
            },
        }
    }

    fn copy_line(&mut self) -> Result<String, Trouble> {
        let line = message::read_line(&mut self.origin).map_err(Trouble::Origin)?;
        self.deliver(format!("{line}\r\n").as_bytes())?;
        Ok(line)
    }

    fn copy(&mut self, mut count: u64) -> Result<(), Trouble> {
        while count > 0 {
            if self.origin.inbox().is_empty() && self.origin.fill().map_err(Trouble::Origin)? == 0 {
                return Err(Trouble::Origin(Halt::PeerFin));
            }
            let part = count.min(self.origin.inbox().len() as u64);
            let bytes = self.origin.take(part as usize);
            self.deliver(&bytes)?;
            count -= part;
        }
        Ok(())
    }

    fn deliver(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.begun = true;
        self.client.send(bytes).map_err(Trouble::Client)
    }
}

/// The fields that concern the other end, one per line, but for those in `without`.
fn kept_fields(head: &Head, without: &[&str]) -> String {
    let mut kept = String::new();
    for line in head.0.lines().skip(1).take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if !HOP_BY_HOP.contains(&name.as_str()) && !without.contains(&name.as_str()) {
            kept.push_str(line);
            kept.push_str("\r\n");
        }
    }
    kept
}

/// RFC 9110 section 7.6.1, but for the fields that are part of the framing, which is kept, and those
/// of section 11.7, of which a client and its proxy speak.
const HOP_BY_HOP: [&str; 6] =
    ["connection", "proxy-connection", "keep-alive", "te", "upgrade", "proxy-authorization"];
