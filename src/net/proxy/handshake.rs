//! The handshake with a proxy before there is a tunnel: it can be left and resumed. The protocols are
//! [`http_connect`](super::http_connect), [`socks4`](super::socks4) and [`socks5`](super::socks5), which know nothing
//! of sockets.

use std::sync::Arc;

use super::http_connect::HttpConnect;
use super::socks4::Socks4;
use super::socks5::Socks5;
use super::tunnel::{Next, TunnelTarget, failed};
use super::{Proxy, Scheme};
use crate::error::Error;
use crate::net::stream::{Stream, is_broken};
use crate::net::wait_context::WaitContext;
use crate::net::{Stop, tls};
use crate::response_head;
use crate::runtime::Interest;
use crate::vocabulary::{Kind, TraceType};

/// Threads: one at a time.
pub(in crate::net) struct ProxyHandshake {
    protocol: Protocol,
    /// What is to be sent, and how many bytes of it were.
    outgoing: Vec<u8>,
    sent: usize,
    incoming: Vec<u8>,
    proxy: Arc<Proxy>,
    /// For error messages.
    proxy_name: String,
}

enum Protocol {
    /// With what is asked for.
    Http(HttpConnect, String),
    Socks4,
    Socks5(Socks5),
}

impl ProxyHandshake {
    /// With this proxy, for a tunnel to that host and port.
    pub(in crate::net) fn begin(
        proxy: &Arc<Proxy>,
        to: TunnelTarget,
        port: u16,
    ) -> Result<Self, Error> {
        let proxy_name = proxy.to_string();
        let (protocol, outgoing) = match proxy.scheme {
            Scheme::Http | Scheme::Https => {
                let target = HttpConnect::target(&to, port);
                let authorization = proxy.authorization("CONNECT", &target);
                let outgoing = HttpConnect::request(&target, authorization.as_deref());
                (Protocol::Http(HttpConnect::default(), target), outgoing)
            }
            Scheme::Socks4 | Scheme::Socks4a => {
                let socks = Socks4::new(to, port, proxy.credentials.as_ref())
                    .map_err(|why| failed(&proxy_name, &why))?;
                (Protocol::Socks4, socks.request())
            }
            Scheme::Socks5 | Scheme::Socks5h => {
                let socks = Socks5::new(to, port, proxy.credentials.as_ref())
                    .map_err(|why| failed(&proxy_name, &why))?;
                let outgoing = socks.greeting();
                (Protocol::Socks5(socks), outgoing)
            }
        };
        let (proxy, incoming) = (Arc::clone(proxy), Vec::new());
        Ok(Self { protocol, outgoing, sent: 0, incoming, proxy, proxy_name })
    }

    /// Goes on until the tunnel is open. `seen` is given the heads that a HTTP proxy is sent and sends.
    pub(in crate::net) fn run(
        &mut self,
        stream: &mut Stream,
        context: &WaitContext<'_>,
        seen: &dyn Fn(TraceType, &[u8]),
    ) -> Result<(), Stop> {
        let is_http = matches!(self.protocol, Protocol::Http(..));
        loop {
            if is_http && self.sent == 0 {
                seen(TraceType::RequestHead, &self.outgoing);
            }
            self.send(stream, context)?;
            let mut bytes = [0; 1024];
            match stream.try_read(&mut bytes) {
                Ok(Some(0)) | Err(Stop::PeerClosed) => return Err(self.closed().into()),
                Ok(Some(got)) => self.incoming.extend_from_slice(&bytes[..got]),
                Ok(None) => {
                    wait(stream, context, Interest::Read)?;
                    continue;
                }
                Err(stop) => return Err(self.broken(stop)),
            }
            let next = match &mut self.protocol {
                Protocol::Socks4 => {
                    Socks4::receive(&self.incoming).map_err(|why| failed(&self.proxy_name, &why))?
                }
                Protocol::Http(http, target) => {
                    let answer = http.receive(&self.incoming, &self.proxy, &self.proxy_name);
                    if answer.is_err()
                        && let Some(size) = response_head::end_of_fields(&self.incoming, 0)
                    {
                        seen(TraceType::ResponseHead, &self.incoming[..size]);
                    }
                    match answer? {
                        Next::Challenged(size) => {
                            seen(TraceType::ResponseHead, &self.incoming[..size]);
                            http.answered();
                            self.incoming.drain(..size);
                            let authorization = self.proxy.authorization("CONNECT", target);
                            Next::Send(HttpConnect::request(target, authorization.as_deref()))
                        }
                        next => next,
                    }
                }
                Protocol::Socks5(socks) => {
                    let next = socks
                        .receive(&self.incoming)
                        .map_err(|why| failed(&self.proxy_name, &why))?;
                    if matches!(next, Next::Send(_)) {
                        self.incoming.clear();
                    }
                    next
                }
            };
            if is_http && let Next::Open(size) = next {
                seen(TraceType::ResponseHead, &self.incoming[..size.min(self.incoming.len())]);
            }
            match next {
                Next::NeedMore | Next::Challenged(_) => {}
                Next::Send(outgoing) => (self.outgoing, self.sent) = (outgoing, 0),
                // The origin sends nothing before the client does, so these bytes are not from the origin.
                Next::Open(ours) if ours < self.incoming.len() => {
                    return Err(failed(&self.proxy_name, "it sent unexpected bytes").into());
                }
                Next::Open(_) => return Ok(()),
            }
        }
    }

    fn send(&mut self, stream: &mut Stream, context: &WaitContext<'_>) -> Result<(), Stop> {
        loop {
            let done = if self.sent < self.outgoing.len() {
                match stream.try_send(&self.outgoing[self.sent..]) {
                    Ok(sent) => {
                        self.sent += sent.unwrap_or(0);
                        sent.is_some()
                    }
                    // What the proxy sent before it closed explains more than this error.
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
                wait(stream, context, Interest::Write)?;
            }
        }
    }

    fn closed(&self) -> Error {
        failed(&self.proxy_name, "it closed the connection instead of an answer")
    }

    /// The error for a connection to the proxy, or for TLS with it, that failed.
    fn broken(&self, stop: Stop) -> Stop {
        match stop {
            Stop::Io(error) => {
                let what = format!("{}: the connection broke", self.proxy_name);
                Error::from_os(Kind::ProxyFailed, &what, &error).into()
            }
            Stop::Tls(error) => {
                let why = format!("TLS with it: {}", tls::explain(&error));
                failed(&self.proxy_name, &why).into()
            }
            stop => stop,
        }
    }
}

fn wait(stream: &Stream, context: &WaitContext<'_>, interest: Interest) -> Result<(), Stop> {
    let socket = stream.socket().enter().ok_or(Stop::Ended)?;
    context.ready(&socket, interest)
}
