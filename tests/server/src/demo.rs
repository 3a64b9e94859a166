//! A server whose URLs select its behaviour, for `make demo` and for manual experiments.
//!
//! Unlike a scripted server it does not know what will be asked. Plain and TLS side by side,
//! keep-alive.

use crate::acceptor::{Acceptor, Bounds, listen};
use crate::certs::{Certificate, certs};
use crate::latch::Latch;
use crate::message::{self, Head, reason, response};
use crate::scratch::Scratch;
use crate::script::Answer;
use crate::wire::{Halt, Wire, Woke};
use socket2::Socket;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io};

/// A running demo server. Begins with `start`, ends when dropped or after ten minutes.
#[derive(Debug)]
pub struct DemoServer {
    http: Acceptor,
    https: Acceptor,
    scratch: Scratch,
}

impl DemoServer {
    /// Starts on two free ports of 127.0.0.1. Panics if there are none.
    pub fn start() -> DemoServer {
        DemoServer::start_on(0, 0).expect("two listening sockets")
    }

    /// Starts on these ports; 0 picks a free one.
    pub fn start_on(http: u16, https: u16) -> io::Result<DemoServer> {
        let scratch = Scratch::new()?;
        certs().write_to(scratch.path())?;
        let bounds = Bounds { life: LIFE, accepts: usize::MAX };
        let plain = Acceptor::spawn(
            listen((Ipv4Addr::LOCALHOST, http).into())?,
            bounds,
            |tcp, _, stop| {
                serve(tcp, stop, None);
            },
        )?;
        let secure = Acceptor::spawn(
            listen((Ipv4Addr::LOCALHOST, https).into())?,
            bounds,
            |tcp, _, stop| {
                serve(tcp, stop, Some(Certificate::Good));
            },
        )?;
        Ok(DemoServer { http: plain, https: secure, scratch })
    }

    /// The URL of a path (with its slash) over plain HTTP.
    pub fn http_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http_port())
    }

    /// The URL of a path (with its slash) over TLS with the `Good` certificate.
    pub fn https_url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.https_port())
    }

    /// The plain port.
    pub fn http_port(&self) -> u16 {
        self.http.addr().port()
    }

    /// The TLS port.
    pub fn https_port(&self) -> u16 {
        self.https.addr().port()
    }

    /// The CA that a client must trust, as a PEM file that lives as long as this server.
    pub fn ca_path(&self) -> PathBuf {
        fs::canonicalize(self.scratch.path().join("ca.pem")).unwrap_or_default()
    }
}

fn serve(socket: Socket, stop: &Arc<Latch>, tls: Option<Certificate>) {
    let Ok(mut wire) = Wire::new(socket, Arc::clone(stop)) else {
        return;
    };
    // However it ends, it ends with this connection only.
    let _ = converse(&mut wire, tls);
    let _ = wire.close_notify();
    wire.close();
}

fn converse(wire: &mut Wire, tls: Option<Certificate>) -> Result<(), Halt> {
    if let Some(which) = tls {
        wire.handshake(certs().config(which).map_err(Halt::Broken)?)?;
    }
    loop {
        let head = message::read_head(wire)?;
        let target = head.target().to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let expects = head.header("expect").is_some_and(|e| e.eq_ignore_ascii_case("100-continue"));
        if expects {
            wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut body = Vec::new();
        let echo = path == "/echo";
        message::read_body(wire, &head, |piece| {
            if echo && body.len() < ECHO_LIMIT {
                body.extend_from_slice(piece);
            }
        })?;
        let closing = head.wants_close() || path == "/close";
        respond(wire, &head, path, query, &body, closing)?;
        if closing {
            return Ok(());
        }
    }
}

fn respond(
    wire: &mut Wire,
    head: &Head,
    path: &str,
    query: &str,
    body: &[u8],
    closing: bool,
) -> Result<(), Halt> {
    let number = |name: &str, default: u64| parameter(query, name).unwrap_or(default);
    let method = head.method();
    match path {
        "/" => text(wire, method, 200, INDEX, closing),
        "/fast" => text(wire, method, 200, "fast\n", closing),
        "/slow" => {
            pause(wire, number("ms", 1000))?;
            text(wire, method, 200, "slow\n", closing)
        }
        "/stall" => wire.idle(None, None).map(drop),
        "/stall-body" => {
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nten bytes\n")?;
            wire.idle(None, None).map(drop)
        }
        "/stream" => stream(wire, method, number("chunks", 10), number("every_ms", 100), closing),
        "/bytes" => bytes(wire, method, number("n", 1000), closing),
        "/echo" => {
            wire.send(&opening(200, &format!("Content-Length: {}\r\n", body.len()), closing))?;
            if method == "HEAD" { Ok(()) } else { wire.send(body) }
        }
        "/close" => text(wire, method, 200, "closing\n", true),
        "/status" => {
            let code = u16::try_from(number("code", 200)).unwrap_or(500).clamp(200, 999);
            text(wire, method, code, &format!("{code} {}\n", reason(code)), closing)
        }
        _ => text(wire, method, 404, "no such page; / lists them\n", closing),
    }
}

fn text(wire: &mut Wire, method: &str, status: u16, body: &str, closing: bool) -> Result<(), Halt> {
    let mut headers = vec![("Content-Type".to_owned(), "text/plain".to_owned())];
    if closing {
        headers.push(("Connection".to_owned(), "close".to_owned()));
    }
    wire.send(&response(&Answer { status, headers, body: body.to_owned() }, method))
}

fn stream(
    wire: &mut Wire,
    method: &str,
    chunks: u64,
    every_ms: u64,
    closing: bool,
) -> Result<(), Halt> {
    wire.send(&opening(200, "Transfer-Encoding: chunked\r\n", closing))?;
    if method == "HEAD" {
        return Ok(());
    }
    for number in 0..chunks {
        if number > 0 {
            pause(wire, every_ms)?;
        }
        let line = format!("chunk {number}\n");
        wire.send(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes())?;
    }
    wire.send(b"0\r\n\r\n")
}

fn bytes(wire: &mut Wire, method: &str, mut left: u64, closing: bool) -> Result<(), Halt> {
    wire.send(&opening(200, &format!("Content-Length: {left}\r\n"), closing))?;
    if method == "HEAD" {
        return Ok(());
    }
    let block = [b'x'; 64 * 1024];
    while left > 0 {
        let part = left.min(block.len() as u64);
        wire.send(&block[..part as usize])?;
        left -= part;
    }
    Ok(())
}

fn opening(status: u16, fields: &str, closing: bool) -> Vec<u8> {
    let close = if closing { "Connection: close\r\n" } else { "" };
    format!("HTTP/1.1 {status} {}\r\n{fields}{close}\r\n", reason(status)).into_bytes()
}

fn pause(wire: &Wire, millis: u64) -> Result<(), Halt> {
    let until = Instant::now() + Duration::from_millis(millis.min(LIFE.as_millis() as u64));
    while wire.idle(Some(until), None)? != Woke::Time {}
    Ok(())
}

fn parameter(query: &str, name: &str) -> Option<u64> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        if key == name { value.parse().ok() } else { None }
    })
}

/// Long enough for a demonstration, short enough to leave nothing running over night.
const LIFE: Duration = Duration::from_secs(600);

/// What `/echo` gives back of a body.
const ECHO_LIMIT: usize = 64 * 1024 * 1024;

const INDEX: &str = "\
/fast                        a small answer
/slow?ms=N                   the same, N ms later
/stall                       takes the request and never answers
/stall-body                  a head, ten bytes, then nothing
/stream?chunks=N&every_ms=M  a chunked body in pieces
/bytes?n=N                   N bytes
/echo                        the request's body
/close                       answers and closes
/status?code=N               that status
";
