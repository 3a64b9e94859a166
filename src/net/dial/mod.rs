//! A dial: from a host and port to a stream that is connected, through the proxy, in TLS.
//!
//! A dial is one value that can be left at any wait and resumed by another thread or task: the steps that are
//! done stay done. It waits for its sockets and for a notification at once, so that it can be stopped without
//! a way to find its socket. Knows nothing of pools and requests: a [`DialObserver`] says how long a phase
//! may take.

mod connector_call;
mod happy_eyeballs;
mod lookup;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::SockAddr;

use self::connector_call::ConnectorCall;
use self::happy_eyeballs::{HappyEyeballs, SmallSegments, Unbound};
use self::lookup::HostLookup;
use super::Stop;
use super::connect_to::{ConnectTo, Place};
use super::dns::{Resolver, parse_literal};
use super::paths::{HostKey, Source};
use super::probes::Probes;
use super::proxy::{Proxy, ProxyHandshake, TunnelTarget};
use super::route::Route;
use super::socket::Socket;
use super::stream::{Stream, TlsPeer};
use super::sys::{interface_index, is_exhaustion, is_forbidden};
use super::tls::{self, Tls};
use super::wait_context::WaitContext;
use crate::error::Error;
use crate::runtime::{Notify, on_thread_stack};
use crate::timeouts::Deadline;
use crate::vocabulary::{AddressFamily, Kind, Phase, TraceType};

/// What to dial. Threads: a value.
#[derive(Debug)]
pub(crate) struct DialConfig {
    /// As URLs have it; the name in the certificate too.
    pub(crate) host: String,
    /// The network interface that a link-local IPv6 address is one of, by its name or number.
    pub(crate) zone: Option<Arc<str>>,
    pub(crate) port: u16,
    /// A Unix-domain socket to connect to instead: nothing is resolved, and no proxy asked.
    pub(crate) unix: Option<Arc<Path>>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) route: Arc<Route>,
    /// How long a connection is silent before the system probes it.
    pub(crate) keep_alive: Option<Duration>,
    /// Segments are small, whatever is known of the way.
    pub(crate) small_segments: bool,
}

impl DialConfig {
    /// Scheme, host and port, for the program's connector.
    fn origin(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

/// Observes a dial while it runs, and bounds it in time.
pub(crate) trait DialObserver {
    /// A phase begins, or goes on when a dial is resumed. Returns when it must be over.
    fn begin(&self, phase: Phase) -> Deadline;
    /// There is a socket now, connected to that address if it is known. The handshake with the proxy or TLS comes next.
    fn connected(&self, stream: &Stream, peer: Option<SocketAddr>);
    /// Asked before each phase and after each wake-up by the event: whether the dial shall stop.
    fn must_stop(&self) -> bool;

    /// A HTTP proxy was sent this request for a tunnel, or answered with this head.
    fn proxy_head(&self, _kind: TraceType, _head: &[u8]) {}
}

/// A dial in progress. Dropping it closes what it has. Threads: one at a time, any.
pub(crate) struct Dial {
    config: DialConfig,
    resolver: Arc<Resolver>,
    step: Step,
    /// The name that is connected to, and the one that a proxy wants the address of.
    connect_to: HostLookup,
    target: HostLookup,
    /// In a box, as the steps of a dial are deep enough without it.
    attempts: Option<Box<HappyEyeballs>>,
    connector_call: Option<ConnectorCall>,
    stream: Option<Stream>,
    proxy_handshake: Option<ProxyHandshake>,
    /// It failed because all local ports are in use to the peer.
    lacks_port: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Resolve,
    Connect,
    SecureProxy,
    /// For a proxy that wants the address of the origin. The proxy is connected by then: what it says of itself comes
    /// before what the name of the origin says.
    ResolveTarget,
    ProxyHandshake,
    Secure,
    /// There is a stream, or there will never be one.
    Over,
}

impl Dial {
    pub(crate) fn new(config: DialConfig, resolver: Arc<Resolver>) -> Self {
        let (connect_to, target) = (HostLookup::NotStarted, HostLookup::NotStarted);
        let (attempts, connector_call, stream, proxy_handshake) = (None, None, None, None);
        Self {
            config,
            resolver,
            step: Step::Resolve,
            connect_to,
            target,
            attempts,
            connector_call,
            stream,
            proxy_handshake,
            lacks_port: false,
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
        self.stream.is_some()
            || self.attempts.as_ref().is_some_and(|attempts| attempts.is_running())
    }

    /// Whether the dial failed because there is no free local port for another connection to that peer (connect(2),
    /// EADDRNOTAVAIL).
    pub(crate) fn lacks_port(&self) -> bool {
        self.lacks_port
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
            Step::Connect => self.connect(&context, progress, event)?,
            Step::SecureProxy => self.secure_proxy(&context)?,
            Step::ResolveTarget => self.resolve_target(&context, event)?,
            Step::ProxyHandshake => self.proxy_handshake(&context, progress)?,
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
        (self.attempts, self.connector_call, self.stream) = (None, None, None);
        // What a socket reports after it was ended from outside is only the consequence.
        if ended && !resumable { Stop::Ended } else { failure }
    }

    /// The Unix-domain socket to connect to, if it is one.
    fn unix(&self) -> Option<&Arc<Path>> {
        match (&self.config.unix, self.config.route.connect_to.as_deref()) {
            (None, Some(ConnectTo { place: Place::Unix(path), .. })) => Some(path),
            (unix, _) => unix.as_ref(),
        }
    }

    fn proxy(&self) -> Option<&Arc<Proxy>> {
        self.config.route.proxy.as_ref().filter(|_| self.unix().is_none())
    }

    /// Where the origin is: its own host and port, or those that it was given.
    fn target(&self) -> (&str, u16) {
        let DialConfig { host: own_host, port: own_port, route, .. } = &self.config;
        match route.connect_to.as_deref().map(|to| &to.place) {
            Some(Place::Tcp { host, port }) => {
                (host.as_deref().unwrap_or(own_host), port.unwrap_or(*own_port))
            }
            Some(Place::Unix(_)) | None => (own_host, *own_port),
        }
    }

    /// The zone of the address to connect to, if that is the origin's own.
    fn zone(&self) -> Option<&str> {
        let is_own = self.proxy().is_none() && self.config.route.connect_to.is_none();
        self.config.zone.as_deref().filter(|_| is_own)
    }

    /// The host and port to connect to: the proxy's, or the origin's.
    fn connect_to(&self) -> (&str, u16) {
        match self.proxy() {
            Some(proxy) => (proxy.host(), proxy.port()),
            None => self.target(),
        }
    }

    /// Whether the proxy gets the origin's address instead of its name.
    fn wants_target_address(&self) -> bool {
        self.proxy().is_some_and(|proxy| proxy.wants_address())
    }

    /// Whether the first connection needs no lookup.
    fn needs_no_name(&self) -> bool {
        self.unix().is_some()
            || self.config.route.connector.is_some()
            || parse_literal(self.connect_to().0).is_some()
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
        Ok(Step::Connect)
    }

    fn resolve_target(
        &mut self,
        context: &WaitContext<'_>,
        event: &Arc<Notify>,
    ) -> Result<Step, Stop> {
        let (host, port) = self.target();
        let (host, port) = (host.to_owned(), port);
        self.target.resolve(&self.resolver, &host, port, context, event)?;
        Ok(Step::ProxyHandshake)
    }

    fn connect(
        &mut self,
        context: &WaitContext<'_>,
        progress: &dyn DialObserver,
        event: &Arc<Notify>,
    ) -> Result<Step, Stop> {
        if self.unix().is_none() && self.config.route.connector.is_some() {
            let socket = self.call_connector(context, event)?;
            return Ok(self.connected(socket, None, progress));
        }
        let mut attempts = match self.attempts.take() {
            Some(attempts) => attempts,
            None => self.begin_connect()?,
        };
        let outcome = attempts.run(context);
        match outcome {
            Ok(socket) => {
                if let Some(winner) = attempts.winner() {
                    let (path, now) = (self.path(), Instant::now());
                    self.resolver.with_paths(|paths| paths.connected(path, winner, now));
                }
                let peer = attempts.winner().map(|winner| winner.address);
                Ok(self.connected(socket, peer, progress))
            }
            Err(stop) => {
                // The name may lead elsewhere by now, and another address may be better.
                if let Stop::Io(error) = &stop
                    && !is_exhaustion(error)
                {
                    self.resolver.forget(self.connect_to().0);
                    self.lacks_port = attempts.unbound().is_none()
                        && error.kind() == io::ErrorKind::AddrNotAvailable;
                }
                if matches!(stop, Stop::Io(_) | Stop::Deadline(_)) {
                    self.resolver.with_paths(|paths| paths.failed(&self.path()));
                }
                let failure = self.unconnected(stop, &attempts);
                self.attempts = Some(attempts);
                Err(failure)
            }
        }
    }

    fn connected(
        &mut self,
        socket: Arc<Socket>,
        peer: Option<SocketAddr>,
        progress: &dyn DialObserver,
    ) -> Step {
        let stream = self.stream.insert(Stream::plain(socket));
        progress.connected(stream, peer);
        let step = self.after_connect();
        if step != Step::Over
            && let Some(stream) = &self.stream
        {
            // A handshake waits for the peer, too.
            stream.socket().begin_probes();
        }
        step
    }

    /// Waits for the program's connector.
    #[inline(never)] // Most connections are made without one.
    fn call_connector(
        &mut self,
        context: &WaitContext<'_>,
        event: &Arc<Notify>,
    ) -> Result<Arc<Socket>, Stop> {
        let mut call = match self.connector_call.take() {
            Some(call) => call,
            None => {
                let connector = self.config.route.connector.as_ref().ok_or(Stop::Ended)?;
                let origin = self.config.origin();
                ConnectorCall::start(connector, origin, self.connect_to())
                    .map_err(Stop::NoThread)?
            }
        };
        let socket = match call.run(context, event) {
            Ok(socket) => socket,
            Err(Stop::Io(error)) => {
                let (host, port) = self.connect_to();
                let what = format!("the connector has no connection to {host}:{port}");
                return Err(Error::from_os(Kind::ConnectFailed, &what, &error).into());
            }
            Err(stop) => {
                self.connector_call = Some(call);
                return Err(stop);
            }
        };
        if let Some(after) = self.config.keep_alive {
            Probes::after(after).begin(&socket);
        }
        let socket = Socket::new(socket);
        // Only of TCP it is known that a short read took all that was there.
        socket.source().reads_may_be_short();
        Ok(socket)
    }

    /// Why no address could be connected to, with a message of its own if the local address or the interface is
    /// the cause.
    fn unconnected(&self, stop: Stop, attempts: &HappyEyeballs) -> Stop {
        let Stop::Io(error) = stop else { return stop };
        let Route { local, interface, .. } = &*self.config.route;
        let what = match (attempts.unbound(), local, interface) {
            (Some(Unbound::Interface), _, Some(interface)) => {
                let why = if is_forbidden(&error) {
                    "the system does not permit it to this user"
                } else {
                    "it is no network interface of this machine"
                };
                format!("can't connect through {interface}: {why}")
            }
            (unbound, Some(local), _) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                let why = if unbound.is_some() {
                    // bind(2).
                    "it is no address of this machine".to_owned()
                } else {
                    // connect(2).
                    format!("all of its ports are in use to {}", self.connect_to().0)
                };
                format!("can't connect from {local}: {why}")
            }
            _ => return Stop::Io(error),
        };
        Error::from_os(Kind::ConnectFailed, &what, &error).into()
    }

    #[inline(never)]
    fn begin_connect(&self) -> Result<Box<HappyEyeballs>, Stop> {
        if let Some(path) = self.unix() {
            return Ok(Box::new(HappyEyeballs::to(SockAddr::unix(path).map_err(Stop::Io)?)));
        }
        let (host, port) = self.connect_to();
        let mut literal = parse_literal(host).map(|address| [SocketAddr::new(address, port)]);
        if let (Some([SocketAddr::V6(address)]), Some(zone)) = (&mut literal, self.zone()) {
            let index = zone.parse().ok().or_else(|| interface_index(zone)).ok_or_else(|| {
                let what = format!(
                    "{host} is of the zone {zone}, which is no network interface of this machine"
                );
                Error::new(Kind::ConnectFailed, what)
            })?;
            address.set_scope_id(index);
        }
        let addresses = match (&literal, &self.connect_to) {
            (Some(address), _) => address.as_slice(),
            (None, HostLookup::Known(addresses)) => addresses,
            (None, _) => &[],
        };
        let route = &*self.config.route;
        if let Some(family) = route.wanted_family()
            && !addresses.iter().any(|address| route.permits(address.ip()))
        {
            let why = match route.local {
                Some(local) => format!("to be reached from {local}"),
                None => format!("and only {family} is to be used"),
            };
            let what = format!("{host} has no {family} address {why}");
            return Err(Error::new(Kind::ConnectFailed, what).into());
        }
        let (path, now) = (self.path(), Instant::now());
        let (known, small) = self.resolver.with_paths(|paths| {
            let small = addresses.iter().map(SocketAddr::ip);
            let small: Vec<_> =
                small.filter(|to| paths.needs_small_segments(*to, &path.1, now)).collect();
            (paths.winner(&path, now), small)
        });
        let keep_alive = self.config.keep_alive;
        // An address is large in the system's form, and each one is moved several times.
        let mut attempts = on_thread_stack(|| {
            Box::new(HappyEyeballs::between(addresses, route, keep_alive, known))
        });
        if self.config.small_segments {
            attempts.use_small_segments(SmallSegments::ToAll);
        } else if !small.is_empty() {
            attempts.use_small_segments(SmallSegments::To(small));
        }
        Ok(attempts)
    }

    /// Under what it is remembered which address connected.
    fn path(&self) -> (HostKey, Source) {
        let (host, port) = self.connect_to();
        ((host.to_ascii_lowercase(), port), Source::of(&self.config.route))
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
        if self.config.route.is_read_by_proxy(self.config.tls.is_some()) {
            Step::Over
        } else if self.wants_target_address() {
            Step::ResolveTarget
        } else {
            Step::ProxyHandshake
        }
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

    fn proxy_handshake(
        &mut self,
        context: &WaitContext<'_>,
        progress: &dyn DialObserver,
    ) -> Result<Step, Stop> {
        let mut handshake = match self.proxy_handshake.take() {
            Some(handshake) => handshake,
            None => self.begin_proxy_handshake()?,
        };
        let stream = self.stream.as_mut().ok_or(Stop::Ended)?;
        let seen = |kind, head: &[u8]| progress.proxy_head(kind, head);
        let outcome = handshake.run(stream, context, &seen);
        self.proxy_handshake = Some(handshake);
        outcome?;
        Ok(self.after_tunnel())
    }

    fn begin_proxy_handshake(&self) -> Result<ProxyHandshake, Stop> {
        let proxy = self.proxy().ok_or(Stop::Ended)?;
        let (host, port) = self.target();
        let to = match &self.target {
            HostLookup::Known(addresses) => {
                let permitted = |address: &IpAddr| match self.config.route.family {
                    AddressFamily::Ipv4 => address.is_ipv4(),
                    AddressFamily::Ipv6 => address.is_ipv6(),
                    AddressFamily::Any => address.is_ipv4() || !proxy.wants_ipv4(),
                };
                let address = addresses.iter().map(SocketAddr::ip).find(permitted);
                TunnelTarget::Address(address.ok_or_else(|| {
                    let family = match self.config.route.family {
                        AddressFamily::Ipv6 => "IPv6",
                        _ => "IPv4",
                    };
                    let why = format!("and only {family} can be asked for");
                    let what = format!("{proxy}: {host} has no {family} address, {why}");
                    Error::new(Kind::ProxyFailed, what)
                })?)
            }
            _ => TunnelTarget::host(host),
        };
        Ok(ProxyHandshake::begin(proxy, to, port)?)
    }

    fn secure(&mut self, context: &WaitContext<'_>) -> Result<Step, Stop> {
        let stream = self.stream.as_mut().ok_or(Stop::Ended)?;
        if let Some(tls) = &self.config.tls {
            if !stream.is_tls() {
                let given = self.config.route.connect_to.as_deref();
                let given = given.and_then(|to| to.server_name.as_deref());
                stream.begin_tls(tls, given.unwrap_or(&self.config.host), TlsPeer::Origin)?;
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
            Self::Resolve | Self::ResolveTarget => Phase::Resolve,
            Self::Connect => Phase::Connect,
            Self::SecureProxy | Self::ProxyHandshake => Phase::Proxy,
            Self::Secure | Self::Over => Phase::Tls,
        }
    }
}

#[cfg(test)]
mod tests;
