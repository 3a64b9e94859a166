//! A dial: from a host and port to a stream that is connected, through the proxy, in TLS.
//!
//! A dial is one value that can be left at any wait and resumed by another thread or task: the steps that are
//! done stay done. It waits for its sockets and for a notification at once, so that it can be stopped without
//! a way to find its socket. Knows nothing of pools and requests: a [`DialObserver`] says how long a phase
//! may take.

mod happy_eyeballs;
mod lookup;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockAddr;

use self::happy_eyeballs::HappyEyeballs;
use self::lookup::HostLookup;
use super::Stop;
use super::dns::{Resolver, parse_literal};
use super::proxy::{Proxy, ProxyHandshake, TunnelTarget};
use super::route::Route;
use super::stream::{Stream, TlsPeer};
use super::sys::is_exhaustion;
use super::tls::{self, Tls};
use super::wait_context::WaitContext;
use crate::error::Error;
use crate::runtime::Notify;
use crate::timeouts::Deadline;
use crate::vocabulary::{Kind, Phase};

/// What to dial. Threads: a value.
#[derive(Debug)]
pub(crate) struct DialConfig {
    /// As URLs have it; the name in the certificate too.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// A Unix-domain socket to connect to instead: nothing is resolved, and no proxy asked.
    pub(crate) unix: Option<PathBuf>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) route: Arc<Route>,
    /// How long a connection is silent before the system probes it.
    pub(crate) keep_alive: Option<Duration>,
}

/// Observes a dial while it runs, and bounds it in time.
pub(crate) trait DialObserver {
    /// A phase begins, or goes on when a dial is resumed. Returns when it must be over.
    fn begin(&self, phase: Phase) -> Deadline;
    /// There is a socket now. The handshake with the proxy or TLS comes next.
    fn connected(&self, stream: &Stream);
    /// Asked before each phase and after each wake-up by the event: whether the dial shall stop.
    fn must_stop(&self) -> bool;
}

/// A dial in progress. Dropping it closes what it has. Threads: one at a time, any.
pub(crate) struct Dial {
    config: DialConfig,
    resolver: Arc<Resolver>,
    step: Step,
    /// The name that is connected to, and the one that a proxy wants the address of.
    connect_to: HostLookup,
    target: HostLookup,
    attempts: Option<HappyEyeballs>,
    stream: Option<Stream>,
    proxy_handshake: Option<ProxyHandshake>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Resolve,
    Connect,
    SecureProxy,
    ProxyHandshake,
    Secure,
    /// There is a stream, or there will never be one.
    Over,
}

impl Dial {
    pub(crate) fn new(config: DialConfig, resolver: Arc<Resolver>) -> Self {
        let (connect_to, target) = (HostLookup::NotStarted, HostLookup::NotStarted);
        let (attempts, stream, proxy_handshake) = (None, None, None);
        Self {
            config,
            resolver,
            step: Step::Resolve,
            connect_to,
            target,
            attempts,
            stream,
            proxy_handshake,
        }
    }

    /// Goes on until there is a stream or something stops it. After [`Stop::Ended`], [`Stop::Deadline`] and
    /// [`Stop::Interrupted`] it can be resumed, on any thread and with another notification.
    pub(crate) fn run(
        &mut self,
        progress: &dyn DialObserver,
        event: &Arc<Notify>,
    ) -> Result<Stream, Stop> {
        let mut phase = None;
        while self.step != Step::Over {
            if let Err(failure) = self.run_step(progress, event, &mut phase) {
                return Err(self.stopped(failure));
            }
        }
        self.stream.take().ok_or(Stop::Ended)
    }

    /// Whether there is a socket in it already, connecting or further.
    pub(crate) fn has_socket(&self) -> bool {
        self.stream.is_some() || self.attempts.as_ref().is_some_and(HappyEyeballs::is_running)
    }

    /// One step. `phase`: the one that was begun last in this run, and when it must be over.
    fn run_step(
        &mut self,
        progress: &dyn DialObserver,
        event: &Arc<Notify>,
        phase: &mut Option<(Phase, Deadline)>,
    ) -> Result<(), Stop> {
        if progress.must_stop() {
            return Err(Stop::Ended);
        }
        if self.step == Step::Resolve && self.needs_no_name() {
            self.step = Step::Connect;
        }
        let now = self.step.phase();
        let deadline = match *phase {
            Some((begun, deadline)) if begun == now => deadline,
            _ => {
                let deadline = progress.begin(now);
                *phase = Some((now, deadline));
                deadline
            }
        };
        let context = WaitContext { deadline, event, must_stop: &|| progress.must_stop() };
        self.step = match self.step {
            Step::Resolve => self.resolve(&context, event)?,
            Step::Connect => self.connect(&context, progress)?,
            Step::SecureProxy => self.secure_proxy(&context)?,
            Step::ProxyHandshake => self.proxy_handshake(&context)?,
            Step::Secure => self.secure(&context)?,
            Step::Over => Step::Over,
        };
        Ok(())
    }

    /// What is returned for a failure; the dial is over unless it can be resumed.
    fn stopped(&mut self, failure: Stop) -> Stop {
        let ended = self.stream.as_ref().is_some_and(|stream| stream.socket().is_ended());
        let resumable = matches!(failure, Stop::Ended | Stop::Deadline(_) | Stop::Interrupted);
        if resumable && !ended {
            return failure;
        }
        self.step = Step::Over;
        (self.attempts, self.stream) = (None, None);
        // What a socket reports after it was ended from outside is only the consequence.
        if ended && !resumable { Stop::Ended } else { failure }
    }

    fn proxy(&self) -> Option<&Arc<Proxy>> {
        self.config.route.proxy.as_ref().filter(|_| self.config.unix.is_none())
    }

    /// The host and port to connect to: the proxy's, or the origin's.
    fn connect_to(&self) -> (&str, u16) {
        match self.proxy() {
            Some(proxy) => (proxy.host(), proxy.port()),
            None => (&self.config.host, self.config.port),
        }
    }

    /// Whether the proxy gets the origin's address instead of its name.
    fn wants_target_address(&self) -> bool {
        self.proxy().is_some_and(|proxy| proxy.wants_address())
    }

    fn needs_no_name(&self) -> bool {
        self.config.unix.is_some()
            || (parse_literal(self.connect_to().0).is_some()
                && (!self.wants_target_address() || parse_literal(&self.config.host).is_some()))
    }

    fn resolve(&mut self, context: &WaitContext<'_>, event: &Arc<Notify>) -> Result<Step, Stop> {
        let (host, port) = self.connect_to();
        let (host, port) = (host.to_owned(), port);
        let found = self.connect_to.resolve(&self.resolver, &host, port, context, event);
        found.map_err(|failure| match (failure, self.proxy()) {
            (Stop::Failed(error), Some(proxy)) => {
                Error::new(error.kind(), format!("{proxy}: {}", error.message())).into()
            }
            (failure, _) => failure,
        })?;
        if self.wants_target_address() {
            let DialConfig { host, port, .. } = &self.config;
            self.target.resolve(&self.resolver, host, *port, context, event)?;
        }
        Ok(Step::Connect)
    }

    fn connect(
        &mut self,
        context: &WaitContext<'_>,
        progress: &dyn DialObserver,
    ) -> Result<Step, Stop> {
        let mut attempts = match self.attempts.take() {
            Some(attempts) => attempts,
            None => self.begin_connect()?,
        };
        let outcome = attempts.run(context);
        match outcome {
            Ok(socket) => {
                let stream = self.stream.insert(Stream::plain(socket));
                progress.connected(stream);
                Ok(self.after_connect())
            }
            Err(stop) => {
                // The name may lead elsewhere by now.
                if let Stop::Io(error) = &stop
                    && !is_exhaustion(error)
                {
                    self.resolver.forget(self.connect_to().0);
                }
                let failure = self.unconnected(stop, &attempts);
                self.attempts = Some(attempts);
                Err(failure)
            }
        }
    }

    /// Why no address could be connected to, with a message of its own if the local address is the cause.
    fn unconnected(&self, stop: Stop, attempts: &HappyEyeballs) -> Stop {
        match (stop, self.config.route.local) {
            (Stop::Io(error), Some(local)) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                let why = if attempts.is_unbound() {
                    // bind(2).
                    "it is no address of this machine".to_owned()
                } else {
                    // connect(2).
                    format!("all of its ports are in use to {}", self.connect_to().0)
                };
                let what = format!("can't connect from {local}: {why}");
                Error::from_os(Kind::ConnectFailed, &what, &error).into()
            }
            (stop, _) => stop,
        }
    }

    fn begin_connect(&self) -> Result<HappyEyeballs, Stop> {
        if let Some(path) = &self.config.unix {
            return Ok(HappyEyeballs::to(SockAddr::unix(path).map_err(Stop::Io)?));
        }
        let (host, port) = self.connect_to();
        let literal = parse_literal(host).map(|address| [SocketAddr::new(address, port)]);
        let addresses = match (&literal, &self.connect_to) {
            (Some(address), _) => address.as_slice(),
            (None, HostLookup::Known(addresses)) => addresses,
            (None, _) => &[],
        };
        if let Some(local) = self.config.route.local
            && !addresses.iter().any(|address| address.is_ipv4() == local.is_ipv4())
        {
            let family = if local.is_ipv4() { "IPv4" } else { "IPv6" };
            let what = format!("{host} has no {family} address to be reached from {local}");
            return Err(Error::new(Kind::ConnectFailed, what).into());
        }
        Ok(HappyEyeballs::between(addresses, self.config.route.local, self.config.keep_alive))
    }

    fn after_connect(&self) -> Step {
        match self.proxy() {
            Some(proxy) if proxy.tls().is_some() => Step::SecureProxy,
            Some(_) => self.after_proxy(),
            None => self.after_tunnel(),
        }
    }

    /// A HTTP proxy reads a plain request itself (RFC 9112 section 3.2.2); all else goes through a tunnel.
    fn after_proxy(&self) -> Step {
        let secure = self.config.tls.is_some();
        if self.config.route.is_read_by_proxy(secure) { Step::Over } else { Step::ProxyHandshake }
    }

    fn after_tunnel(&self) -> Step {
        if self.config.tls.is_some() { Step::Secure } else { Step::Over }
    }

    fn secure_proxy(&mut self, context: &WaitContext<'_>) -> Result<Step, Stop> {
        if let Some(proxy) = self.proxy().map(Arc::clone)
            && let Some(tls) = proxy.tls()
        {
            let stream = self.stream.as_mut().ok_or(Stop::Ended)?;
            if !stream.has_tls() {
                stream.begin_tls(tls, proxy.host(), TlsPeer::Proxy)?;
            }
            let proxy_failed =
                |what: String| Error::new(Kind::ProxyFailed, format!("{proxy}: {what}"));
            stream.handshake(context).map_err(|stop| match stop {
                Stop::Tls(error) => {
                    proxy_failed(format!("TLS with it: {}", tls::explain(&error))).into()
                }
                Stop::PeerClosed => {
                    proxy_failed("it closed the connection inside the TLS handshake".into()).into()
                }
                Stop::Io(error) => {
                    let what = format!("{proxy}: the connection broke inside the TLS handshake");
                    Error::from_os(Kind::ProxyFailed, &what, &error).into()
                }
                stop => stop,
            })?;
        }
        Ok(self.after_proxy())
    }

    fn proxy_handshake(&mut self, context: &WaitContext<'_>) -> Result<Step, Stop> {
        let mut handshake = match self.proxy_handshake.take() {
            Some(handshake) => handshake,
            None => self.begin_proxy_handshake()?,
        };
        let stream = self.stream.as_mut().ok_or(Stop::Ended)?;
        let outcome = handshake.run(stream, context);
        self.proxy_handshake = Some(handshake);
        outcome?;
        Ok(self.after_tunnel())
    }

    fn begin_proxy_handshake(&self) -> Result<ProxyHandshake, Stop> {
        let proxy = self.proxy().ok_or(Stop::Ended)?;
        let first = match &self.target {
            HostLookup::Known(addresses) => addresses.first(),
            _ => None,
        };
        let to = match first {
            Some(first) => TunnelTarget::Address(first.ip()),
            None => TunnelTarget::host(&self.config.host),
        };
        Ok(ProxyHandshake::begin(proxy, to, self.config.port)?)
    }

    fn secure(&mut self, context: &WaitContext<'_>) -> Result<Step, Stop> {
        let stream = self.stream.as_mut().ok_or(Stop::Ended)?;
        if let Some(tls) = &self.config.tls {
            if !stream.is_tls() {
                stream.begin_tls(tls, &self.config.host, TlsPeer::Origin)?;
            }
            let outcome = stream.handshake(context);
            outcome.map_err(|stop| self.unsecured(stop))?;
        }
        Ok(Step::Over)
    }

    /// Why there is no TLS with the origin. It can't be known whether the origin or the proxy closed the
    /// tunnel, so the message names both.
    fn unsecured(&self, stop: Stop) -> Stop {
        let Some(proxy) = self.proxy() else { return stop };
        let host = &self.config.host;
        match stop {
            Stop::PeerClosed => {
                let what =
                    format!("{proxy}: the tunnel was closed inside the TLS handshake with {host}");
                Error::new(Kind::PeerClosed, what).into()
            }
            Stop::Io(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                let what =
                    format!("{proxy}: the tunnel broke inside the TLS handshake with {host}");
                Error::from_os(Kind::PeerReset, &what, &error).into()
            }
            stop => stop,
        }
    }
}

impl Step {
    fn phase(self) -> Phase {
        match self {
            Self::Resolve => Phase::Resolve,
            Self::Connect => Phase::Connect,
            Self::SecureProxy | Self::ProxyHandshake => Phase::Proxy,
            Self::Secure | Self::Over => Phase::Tls,
        }
    }
}

#[cfg(test)]
mod tests;
