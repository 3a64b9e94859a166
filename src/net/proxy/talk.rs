//! The conversation with a proxy before it is a tunnel, as steps that can be left and taken up
//! again: what is to be said, what was heard. What it means is [`connect`]'s and [`socks`]'s
//! to say; they know nothing of sockets.

use std::net::IpAddr;

use super::connect::Connect;
use super::socks::Socks;
use super::{Proxy, Scheme};
use crate::error::Error;
use crate::net::patience::Patience;
use crate::net::stream::{Stream, is_broken};
use crate::net::{Stop, resolve, tls};
use crate::runtime::Interest;
use crate::vocabulary::Kind;

/// Threads: one at a time.
pub(in crate::net) struct Talk {
    language: Language,
    /// What is to be said, and how much of it was.
    words: Vec<u8>,
    said: usize,
    heard: Vec<u8>,
    /// The proxy, for the errors.
    with: String,
}

enum Language {
    Http(Connect),
    Socks(Socks),
}

/// What follows from what was heard so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// More has to be heard.
    Listen,
    /// This is to be said.
    Say(Vec<u8>),
    /// The tunnel is open; so many bytes of what was heard belong to the talk.
    Open(usize),
}

/// Where the tunnel shall lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::net) enum Towards {
    Name(String),
    Address(IpAddr),
}

impl Towards {
    /// A host as URLs have it.
    pub(in crate::net) fn host(host: &str) -> Self {
        resolve::literal(host).map_or_else(|| Self::Name(host.to_owned()), Self::Address)
    }
}

impl Talk {
    /// To be had with this proxy for a tunnel to that host and port.
    pub(in crate::net) fn begin(proxy: &Proxy, to: Towards, port: u16) -> Result<Self, Error> {
        let with = proxy.to_string();
        let (language, words) = match proxy.scheme {
            Scheme::Http | Scheme::Https => {
                let words = Connect::words(&to, port, proxy.authorization().as_deref());
                (Language::Http(Connect::default()), words)
            }
            Scheme::Socks5 | Scheme::Socks5h => {
                let socks = Socks::new(to, port, proxy.credentials.as_ref())
                    .map_err(|why| failed(&with, &why))?;
                let words = socks.greeting();
                (Language::Socks(socks), words)
            }
        };
        Ok(Self { language, words, said: 0, heard: Vec::new(), with })
    }

    /// Goes on until the tunnel is open.
    pub(in crate::net) fn run(
        &mut self,
        stream: &mut Stream,
        patience: &Patience<'_>,
    ) -> Result<(), Stop> {
        loop {
            self.say(stream, patience)?;
            let mut bytes = [0; 1024];
            match stream.try_read(&mut bytes) {
                Ok(Some(0)) | Err(Stop::PeerClosed) => return Err(self.closed().into()),
                Ok(Some(got)) => self.heard.extend_from_slice(&bytes[..got]),
                Ok(None) => {
                    wait(stream, patience, Interest::Read)?;
                    continue;
                }
                Err(stop) => return Err(self.broken(stop)),
            }
            let next = match &mut self.language {
                Language::Http(http) => http.hear(&self.heard, &self.with)?,
                Language::Socks(socks) => {
                    let next = socks.hear(&self.heard).map_err(|why| failed(&self.with, &why))?;
                    if matches!(next, Next::Say(_)) {
                        self.heard.clear();
                    }
                    next
                }
            };
            match next {
                Next::Listen => {}
                Next::Say(words) => (self.words, self.said) = (words, 0),
                // The origin speaks when it is spoken to: whatever this is, it is not from there.
                Next::Open(ours) if ours < self.heard.len() => {
                    return Err(failed(&self.with, "it sent bytes that nobody asked for").into());
                }
                Next::Open(_) => return Ok(()),
            }
        }
    }

    fn say(&mut self, stream: &mut Stream, patience: &Patience<'_>) -> Result<(), Stop> {
        loop {
            let done = if self.said < self.words.len() {
                match stream.try_send(&self.words[self.said..]) {
                    Ok(sent) => {
                        self.said += sent.unwrap_or(0);
                        sent.is_some()
                    }
                    // What the proxy said before it closed explains more than this error.
                    Err(Stop::Io(error)) if is_broken(&error) => return Ok(()),
                    Err(stop) => return Err(self.broken(stop)),
                }
            } else {
                match stream.flush() {
                    Ok(true) => return Ok(()),
                    Ok(false) => false,
                    Err(Stop::Io(error)) if is_broken(&error) => return Ok(()),
                    Err(stop) => return Err(self.broken(stop)),
                }
            };
            if !done {
                wait(stream, patience, Interest::Write)?;
            }
        }
    }

    fn closed(&self) -> Error {
        failed(&self.with, "it closed the connection instead of an answer")
    }

    /// What the connection to the proxy, or the TLS with it, says of its end.
    fn broken(&self, stop: Stop) -> Stop {
        match stop {
            Stop::Io(error) => {
                let what = format!("{}: the connection broke", self.with);
                Error::from_os(Kind::ProxyFailed, &what, &error).into()
            }
            Stop::Tls(error) => {
                let why = format!("TLS with it: {}", tls::explain(&error));
                failed(&self.with, &why).into()
            }
            stop => stop,
        }
    }
}

fn wait(stream: &Stream, patience: &Patience<'_>, interest: Interest) -> Result<(), Stop> {
    let socket = stream.socket().enter().ok_or(Stop::Ended)?;
    patience.ready(&socket, interest)
}

/// A failure that names the proxy.
pub(super) fn failed(with: &str, why: &str) -> Error {
    Error::new(Kind::ProxyFailed, format!("{with}: {why}"))
}
