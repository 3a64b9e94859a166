//! A SOCKS server on loopback, of version 5 (RFC 1928, RFC 1929), 4 and 4A, or what one can do wrong. Each client
//! chooses the version by its first byte.
//!
//! Records the requests of each client, so that a test can distinguish a name (socks5h) from an address
//! (socks5). Knows hosts by its table only.

use crate::acceptor::{Acceptor, Bounds, listen};
use crate::attend::{WayOut, attend};
use crate::hosts::{Hosts, locate};
use crate::ledger::Ledger;
use crate::message::read_few;
use crate::proxy::millis;
use crate::relay::relay;
use crate::wire::{Halt, Wire};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A SOCKS server on a free port of 127.0.0.1. Begins with `start`; connections and tunnels are in
/// its [`Ledger`], what was asked for in `asked`; ends as a `Server` does. All methods from any
/// thread.
#[derive(Debug)]
pub struct Socks {
    acceptor: Acceptor,
    ledger: Arc<Ledger>,
    asked: Arc<Asked>,
}

/// How a SOCKS server behaves. `SocksOptions::default()` lets everybody through.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SocksOptions {
    /// The user and password that it wants; without them, no authentication.
    pub credentials: Option<(String, String)>,
    /// Names that it knows besides `localhost`.
    pub hosts: Hosts,
    /// What it does.
    pub conduct: SocksConduct,
    /// Listen on this address of loopback, or of a `Network`, in place of 127.0.0.1.
    pub ip: Option<IpAddr>,
    /// When it stops by itself.
    #[serde(rename = "life_ms", deserialize_with = "millis")]
    pub life: Duration,
}

/// What a SOCKS server does. In JSON: `"forward"`, `{"refuse":5}`, `{"silent":"greeting"}`,
/// `{"close":"request"}`, `{"wrong_version":"request"}`, `{"bound":"name"}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SocksConduct {
    /// Its work.
    #[default]
    Forward,
    /// Answers the request with this reply code (RFC 1928 section 6; 91 to 93 in SOCKS 4), and closes.
    Refuse(u8),
    /// Reads the message of this step and does nothing more, until the client closes.
    Silent(SocksStep),
    /// Reads the message of this step and closes.
    Close(SocksStep),
    /// Answers the message of this step with version 4 (in SOCKS 4 with 1), and then does its work.
    WrongVersion(SocksStep),
    /// Its work; the reply names an address of this type as the bound one.
    Bound(SocksAddress),
}

/// The moments of a SOCKS conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SocksStep {
    /// After accept, before the first byte is read.
    Accept,
    /// The client's list of methods.
    Greeting,
    /// The client's user and password, if they are wanted.
    Credentials,
    /// The client's request.
    Request,
    /// After the tunnel was opened and the client was informed. There is no version that could be wrong.
    Tunnel,
}

/// The type of an address (RFC 1928 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SocksAddress {
    /// 1.
    Ipv4,
    /// 3.
    Name,
    /// 4.
    Ipv6,
}

/// What a client asked a SOCKS server for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SocksRequest {
    /// The number of its connection.
    pub connection: usize,
    /// The version: 4 or 5.
    pub version: u8,
    /// The authentication methods that it offered: 0 is none, 2 user and password. None in SOCKS 4.
    pub methods: Vec<u8>,
    /// The user and password that it sent, right or wrong. In SOCKS 4 the password is empty.
    pub credentials: Option<(String, String)>,
    /// The command: 1 is CONNECT. 0 if it did not come so far, and then the rest is empty, too.
    pub command: u8,
    /// The type of the address.
    pub kind: Option<SocksAddress>,
    /// The name or address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Default for SocksOptions {
    fn default() -> Self {
        SocksOptions {
            credentials: None,
            hosts: Hosts::new(),
            conduct: SocksConduct::Forward,
            ip: None,
            life: Duration::from_secs(120),
        }
    }
}

impl Socks {
    /// Starts one that does its work. Panics if the system has no socket left.
    pub fn start() -> Socks {
        Socks::start_with(SocksOptions::default()).expect("a listening socket")
    }

    /// Starts as the options say.
    pub fn start_with(options: SocksOptions) -> io::Result<Socks> {
        let (ledger, asked) = (Arc::new(Ledger::default()), Arc::new(Asked::default()));
        let (books, notes) = (Arc::clone(&ledger), Arc::clone(&asked));
        let bounds = Bounds { life: options.life, accepts: usize::MAX };
        let listener = listen((options.ip.unwrap_or(Ipv4Addr::LOCALHOST.into()), 0).into())?;
        let acceptor = Acceptor::spawn(listener, bounds, move |socket, index, stop| {
            let visit = Visit { options: &options, index, ledger: &books, asked: &notes };
            attend(socket, index, &books, stop, |client| visit.converse(client));
        })?;
        Ok(Socks { acceptor, ledger, asked })
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

    /// Its URL with this scheme, such as `socks5h`, without a path.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.addr())
    }

    /// What clients asked for, in the order in which their greetings came. An entry is there, and
    /// fills up, before the server sends the reply that it describes.
    pub fn asked(&self) -> Vec<SocksRequest> {
        self.asked.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Deref for Socks {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

#[derive(Debug, Default)]
struct Asked(Mutex<Vec<SocksRequest>>);

/// One client's connection.
struct Visit<'a> {
    options: &'a SocksOptions,
    index: usize,
    ledger: &'a Ledger,
    asked: &'a Asked,
}

impl Visit<'_> {
    fn converse(&self, client: &mut Wire) -> Result<WayOut, Halt> {
        let Stage::On = self.stage(SocksStep::Accept, client)? else {
            return Ok(WayOut::Close);
        };
        let first = read_few(client, 2)?;
        let is_old = first[0] == OLD_VERSION;
        let asked = if is_old {
            self.old_request(first[1], client)?
        } else {
            if first[0] != VERSION {
                return Err(Halt::Broken(format!("SOCKS message of version {}", first[0])));
            }
            if !self.greeting(first[1], client)? || !self.credentials(client)? {
                return Ok(WayOut::Close);
            }
            self.request(client)?
        };
        let reply = |client: &mut Wire, code, old_code| match is_old {
            true => self.old_reply(client, old_code),
            false => self.reply(client, code),
        };
        let Some((host, port)) = asked else {
            return Ok(WayOut::Close);
        };
        let Some(to) = locate(&self.options.hosts, &host, port) else {
            reply(client, HOST_UNREACHABLE, OLD_REFUSED)?;
            return Ok(WayOut::Close);
        };
        let Ok(origin) = Wire::dial(to, client)? else {
            reply(client, CONNECTION_REFUSED, OLD_REFUSED)?;
            return Ok(WayOut::Close);
        };
        // Before the client can observe it.
        let target = format!("{host}:{port}");
        self.ledger.record(self.index, |record| record.tunnel = Some(target));
        reply(client, SUCCEEDED, OLD_GRANTED)?;
        match self.stage(SocksStep::Tunnel, client)? {
            Stage::On => relay(client, origin, self.index, self.ledger),
            Stage::Over => Ok(WayOut::Close),
        }
    }

    /// RFC 1928 section 3. False: over.
    fn greeting(&self, count: u8, client: &mut Wire) -> Result<bool, Halt> {
        let methods = read_few(client, count.into())?;
        let wanted = if self.options.credentials.is_some() { PASSWORD } else { NO_AUTHENTICATION };
        let chosen = if methods.contains(&wanted) { wanted } else { NO_METHOD };
        let blank = SocksRequest {
            connection: self.index,
            version: VERSION,
            methods,
            credentials: None,
            command: 0,
            kind: None,
            host: String::new(),
            port: 0,
        };
        self.asked.0.lock().unwrap_or_else(PoisonError::into_inner).push(blank);
        let Stage::On = self.stage(SocksStep::Greeting, client)? else {
            return Ok(false);
        };
        client.send(&[self.version(SocksStep::Greeting, VERSION), chosen])?;
        Ok(chosen != NO_METHOD)
    }

    /// RFC 1929 section 2. False: over.
    fn credentials(&self, client: &mut Wire) -> Result<bool, Halt> {
        let Some(wanted) = &self.options.credentials else {
            return Ok(true);
        };
        let [_, length] = opening(PASSWORD_VERSION, client)?;
        let user = text(read_few(client, length.into())?);
        let length = read_few(client, 1)?[0];
        let password = text(read_few(client, length.into())?);
        let given = (user, password);
        let right = given == *wanted;
        self.note(|request| request.credentials = Some(given));
        let Stage::On = self.stage(SocksStep::Credentials, client)? else {
            return Ok(false);
        };
        let version = self.version(SocksStep::Credentials, PASSWORD_VERSION);
        client.send(&[version, u8::from(!right)])?;
        Ok(right)
    }

    /// RFC 1928 section 4: the host and port to connect to. `None`: over.
    fn request(&self, client: &mut Wire) -> Result<Option<(String, u16)>, Halt> {
        let [_, command] = opening(VERSION, client)?;
        let reserved_and_type = read_few(client, 2)?;
        let (kind, host) = match reserved_and_type[1] {
            1 => {
                let bytes: [u8; 4] = read_few(client, 4)?.try_into().unwrap_or_default();
                (SocksAddress::Ipv4, Ipv4Addr::from(bytes).to_string())
            }
            3 => {
                let length = read_few(client, 1)?[0];
                (SocksAddress::Name, text(read_few(client, length.into())?))
            }
            4 => {
                let bytes: [u8; 16] = read_few(client, 16)?.try_into().unwrap_or_default();
                (SocksAddress::Ipv6, Ipv6Addr::from(bytes).to_string())
            }
            other => return Err(Halt::Broken(format!("SOCKS address of type {other}"))),
        };
        let port = read_few(client, 2)?;
        let port = u16::from_be_bytes([port[0], port[1]]);
        self.note(|request| {
            request.command = command;
            request.kind = Some(kind);
            request.host.clone_from(&host);
            request.port = port;
        });
        let Stage::On = self.stage(SocksStep::Request, client)? else {
            return Ok(None);
        };
        let refusal = match self.options.conduct {
            SocksConduct::Refuse(code) => Some(code),
            _ => (command != CONNECT).then_some(COMMAND_NOT_SUPPORTED),
        };
        if let Some(code) = refusal {
            self.reply(client, code)?;
            return Ok(None);
        }
        Ok(Some((host, port)))
    }

    /// The one message of SOCKS 4: the host and port to connect to. `None`: over.
    fn old_request(&self, command: u8, client: &mut Wire) -> Result<Option<(String, u16)>, Halt> {
        let port = read_few(client, 2)?;
        let port = u16::from_be_bytes([port[0], port[1]]);
        let address: [u8; 4] = read_few(client, 4)?.try_into().unwrap_or_default();
        let user = until_zero(client)?;
        let (kind, host) = match address {
            [0, 0, 0, last] if last != 0 => (SocksAddress::Name, until_zero(client)?),
            address => (SocksAddress::Ipv4, Ipv4Addr::from(address).to_string()),
        };
        let credentials = (!user.is_empty()).then(|| (user.clone(), String::new()));
        let request = SocksRequest {
            connection: self.index,
            version: OLD_VERSION,
            methods: Vec::new(),
            credentials,
            command,
            kind: Some(kind),
            host: host.clone(),
            port,
        };
        self.asked.0.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        let Stage::On = self.stage(SocksStep::Request, client)? else {
            return Ok(None);
        };
        let wanted = self.options.credentials.as_ref();
        let refusal = match self.options.conduct {
            SocksConduct::Refuse(code) => Some(code),
            _ if command != CONNECT => Some(OLD_REFUSED),
            _ => wanted.filter(|(wanted, _)| *wanted != user).map(|_| OLD_OTHER_USER),
        };
        if let Some(code) = refusal {
            self.old_reply(client, code)?;
            return Ok(None);
        }
        Ok(Some((host, port)))
    }

    fn old_reply(&self, client: &mut Wire, code: u8) -> Result<(), Halt> {
        let wrong = self.options.conduct == SocksConduct::WrongVersion(SocksStep::Request);
        client.send(&[u8::from(wrong), code, 0, 80, 127, 0, 0, 1])
    }

    /// RFC 1928 section 6.
    fn reply(&self, client: &mut Wire, code: u8) -> Result<(), Halt> {
        let bound: &[u8] = match self.options.conduct {
            SocksConduct::Bound(SocksAddress::Name) => b"\x03\x0abound.test",
            SocksConduct::Bound(SocksAddress::Ipv6) => {
                &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
            }
            _ => &[1, 127, 0, 0, 1],
        };
        let version = self.version(SocksStep::Request, VERSION);
        client.send(&[&[version, code, 0], bound, &[0, 80]].concat())
    }

    fn stage(&self, step: SocksStep, client: &Wire) -> Result<Stage, Halt> {
        match self.options.conduct {
            SocksConduct::Silent(at) if at == step => loop {
                client.idle(None, None)?;
            },
            SocksConduct::Close(at) if at == step => Ok(Stage::Over),
            _ => Ok(Stage::On),
        }
    }

    fn version(&self, step: SocksStep, right: u8) -> u8 {
        if self.options.conduct == SocksConduct::WrongVersion(step) { WRONG_VERSION } else { right }
    }

    /// Changes this connection's entry, which the greeting has made.
    fn note(&self, change: impl FnOnce(&mut SocksRequest)) {
        let mut all = self.asked.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(request) = all.iter_mut().find(|request| request.connection == self.index) {
            change(request);
        }
    }
}

/// Whether the conversation goes on.
enum Stage {
    On,
    Over,
}

/// The first two bytes of a message, whose first is its version.
fn opening(right: u8, client: &mut Wire) -> Result<[u8; 2], Halt> {
    let bytes = read_few(client, 2)?;
    if bytes[0] != right {
        return Err(Halt::Broken(format!("SOCKS message of version {}", bytes[0])));
    }
    Ok([bytes[0], bytes[1]])
}

/// The text before a zero byte.
fn until_zero(client: &mut Wire) -> Result<String, Halt> {
    let mut bytes = Vec::new();
    while bytes.len() < 1024 {
        match read_few(client, 1)?[0] {
            0 => return Ok(text(bytes)),
            byte => bytes.push(byte),
        }
    }
    Err(Halt::Broken("a SOCKS 4 text without an end".to_owned()))
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

const VERSION: u8 = 5;
const OLD_VERSION: u8 = 4;
const WRONG_VERSION: u8 = 4;
const PASSWORD_VERSION: u8 = 1;

const NO_AUTHENTICATION: u8 = 0;
const PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;

const CONNECT: u8 = 1;

const SUCCEEDED: u8 = 0;
const OLD_GRANTED: u8 = 90;
const OLD_REFUSED: u8 = 91;
const OLD_OTHER_USER: u8 = 93;
const HOST_UNREACHABLE: u8 = 4;
const CONNECTION_REFUSED: u8 = 5;
const COMMAND_NOT_SUPPORTED: u8 = 7;
