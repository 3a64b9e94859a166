//! A server that answers exchange `n` (`GET /n`) with the bytes of case `n`, also over TLS, and reports when the client's
//! socket has all of them. A client that sends its next request after that would see every unsolicited byte.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use testserver::{Certificate, certs};

/// The bytes of a response in pieces, and whether the connection is closed after them.
#[derive(Clone)]
pub struct Answer {
    pub pieces: Vec<Vec<u8>>,
    pub close: bool,
}

/// Serves the responses. Begins with `start`; lives as long as the process.
pub struct Origin {
    port: u16,
    secure: bool,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    exchanges: Mutex<HashMap<u64, Exchange>>,
    changed: Condvar,
    /// Violations: requests that no client may send.
    complaints: Mutex<Vec<String>>,
}

struct Exchange {
    answer: Answer,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Waiting,
    Sending,
    Sent,
    Closing,
    Closed,
    /// The client has its outcome.
    Over,
}

impl Origin {
    pub fn start(secure: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listening socket");
        let port = listener.local_addr().expect("its address").port();
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let config = secure.then(config);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (shared, config) = (Arc::clone(&theirs), config.clone());
                // An error ends this connection only.
                thread::spawn(move || drop(serve(socket, config, &shared)));
            }
        });
        Self { port, secure, shared }
    }

    pub fn url(&self, number: u64) -> String {
        match self.secure {
            true => format!("https://localhost:{}/{number}", self.port),
            false => format!("http://127.0.0.1:{}/{number}", self.port),
        }
    }

    /// Registers the next exchange.
    pub fn expect(&self, number: u64, answer: Answer) {
        lock(&self.shared.exchanges).insert(number, Exchange { answer, stage: Stage::Waiting });
    }

    /// Records that the client has its outcome. Returns when the client's socket has all bytes of the response.
    pub fn is_over(&self, number: u64) {
        let mut exchanges = lock(&self.shared.exchanges);
        let end = Instant::now() + Duration::from_secs(10);
        while let Some(exchange) = exchanges.get_mut(&number) {
            match exchange.stage {
                Stage::Sending | Stage::Closing if Instant::now() < end => {}
                _ => {
                    exchange.stage = Stage::Over;
                    return;
                }
            }
            let waited = self.shared.changed.wait_timeout(exchanges, Duration::from_secs(1));
            exchanges = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Removes the exchange.
    pub fn forget(&self, number: u64) {
        lock(&self.shared.exchanges).remove(&number);
    }

    pub fn complaints(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.shared.complaints))
    }
}

impl Shared {
    fn step(&self, number: u64, stage: Stage) {
        if let Some(exchange) = lock(&self.exchanges).get_mut(&number) {
            exchange.stage = stage;
        }
        self.changed.notify_all();
    }

    /// Whether the server must close the connection: the client does not have its outcome yet.
    fn closes(&self, number: u64) -> bool {
        let mut exchanges = lock(&self.exchanges);
        match exchanges.get_mut(&number) {
            Some(exchange) if exchange.stage == Stage::Sent => {
                exchange.stage = Stage::Closing;
                true
            }
            _ => false,
        }
    }
}

/// One connection, plain or not.
enum Wire {
    Plain(TcpStream),
    Secure(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(wire) => wire.read(into),
            Self::Secure(wire) => wire.read(into),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(wire) => wire.write_all(bytes),
            Self::Secure(wire) => wire.write_all(bytes).and_then(|()| wire.flush()),
        }
    }

    fn close(&mut self) {
        // The peer may have closed.
        let _ = match self {
            Self::Plain(wire) => wire.shutdown(Shutdown::Write),
            Self::Secure(wire) => {
                wire.conn.send_close_notify();
                wire.flush().and_then(|()| wire.sock.shutdown(Shutdown::Write))
            }
        };
    }
}

fn serve(socket: TcpStream, config: Option<Arc<ServerConfig>>, shared: &Shared) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut wire = match config {
        None => Wire::Plain(socket),
        Some(config) => {
            let connection = ServerConnection::new(config).map_err(io::Error::other)?;
            Wire::Secure(Box::new(StreamOwned::new(connection, socket)))
        }
    };
    let mut last = None;
    let mut inbox = Vec::new();
    loop {
        let Some(head) = read_head(&mut wire, &mut inbox, last, shared)? else { return Ok(()) };
        let Some(number) = head.split(['/', ' ']).nth(2).and_then(|number| number.parse().ok())
        else {
            lock(&shared.complaints).push(format!("a request that was never made: {head:?}"));
            return Ok(());
        };
        last = Some(number);
        let known = lock(&shared.exchanges).get(&number).map(|exchange| exchange.answer.clone());
        // The exchange is over: no client may send it again.
        let Some(answer) = known else { return Ok(()) };
        let lower = head.to_ascii_lowercase();
        let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        // With Expect the response comes before the body, which may not come at all.
        let early = lower.contains("expect: 100-continue");
        if !early {
            read_body(&mut wire, &mut inbox, &mut body, last, shared)?;
        }
        shared.step(number, Stage::Sending);
        let sent = answer.pieces.iter().try_for_each(|piece| wire.send(piece));
        if answer.close || sent.is_err() {
            wire.close();
        }
        shared.step(number, Stage::Sent);
        sent?;
        if !read_body(&mut wire, &mut inbox, &mut body, last, shared)? {
            return Ok(());
        }
    }
}

/// The next head; `None` at the end of the connection.
fn read_head(
    wire: &mut Wire,
    inbox: &mut Vec<u8>,
    last: Option<u64>,
    shared: &Shared,
) -> io::Result<Option<String>> {
    loop {
        if let Some(end) = inbox.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = inbox.split_off(end + 4);
            let head = std::mem::replace(inbox, rest);
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
        if !receive(wire, inbox, last, shared)? {
            return Ok(None);
        }
    }
}

/// Reads a body, which consists of one letter; `false` at the end of the connection.
fn read_body(
    wire: &mut Wire,
    inbox: &mut Vec<u8>,
    left: &mut usize,
    last: Option<u64>,
    shared: &Shared,
) -> io::Result<bool> {
    while *left > 0 {
        let here = inbox.len().min(*left);
        if inbox[..here].iter().any(|byte| *byte != b'u') {
            let text = String::from_utf8_lossy(&inbox[..here]).into_owned();
            lock(&shared.complaints).push(format!("inside the body of {last:?}: {text:?}"));
            return Ok(false);
        }
        inbox.drain(..here);
        *left -= here;
        if *left > 0 && !receive(wire, inbox, last, shared)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads more bytes; `false` at the end of the connection. A client that waits for bytes that will not come gets a close.
fn receive(
    wire: &mut Wire,
    inbox: &mut Vec<u8>,
    last: Option<u64>,
    shared: &Shared,
) -> io::Result<bool> {
    let mut piece = [0; 4096];
    loop {
        match wire.read(&mut piece) {
            Ok(0) => return Ok(false),
            Ok(got) => {
                inbox.extend_from_slice(&piece[..got]);
                return Ok(true);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if let Some(last) = last
                    && shared.closes(last)
                {
                    wire.close();
                    shared.step(last, Stage::Closed);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

fn config() -> Arc<ServerConfig> {
    let pair = certs().server(Certificate::Good);
    let cert = CertificateDer::from_pem_slice(pair.cert.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions");
    Arc::new(builder.with_no_client_auth().with_single_cert(vec![cert], key).expect("a pair"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a client may wait for more than the case has before the connection is closed.
const PATIENCE: Duration = Duration::from_millis(15);
