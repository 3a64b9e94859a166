//! From a plan to a stream: names resolved, connected, through the proxy, in TLS.
//!
//! A dial is one value that can be left at any wait and taken up again by anybody: what was
//! reached stays reached. It waits for its sockets and for an event at once, so that whoever
//! wants it to stop never has to find its socket. Knows nothing of pools and requests: who
//! watches over it says how long a phase may take ([`Progress`]).

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockAddr;

use super::Stop;
use super::name::Name;
use super::patience::Patience;
use super::proxy::{Proxy, Talk, Towards};
use super::race::Race;
pub(crate) use super::race::is_exhaustion;
use super::resolve::{Resolver, literal};
use super::route::Route;
use super::stream::{End, Stream};
use super::tls::{self, Tls};
use crate::error::Error;
use crate::runtime::Notify;
use crate::timeouts::Deadline;
use crate::vocabulary::{Kind, Phase};

/// What to dial. Threads: a value.
#[derive(Debug)]
pub(crate) struct Plan {
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

/// Who watches over a dial while it runs.
pub(crate) trait Progress {
    /// A phase begins, or goes on when a dial is taken up again. Returns when it must be over.
    fn begin(&self, phase: Phase) -> Deadline;
    /// There is a socket now; its stream will talk to the proxy or begin TLS next.
    fn connected(&self, stream: &Stream);
    /// Asked before each phase and after each wake-up by the event: whether the dial shall stop.
    fn must_stop(&self) -> bool;
}

/// A dial in progress. Dropping it closes what it has. Threads: one at a time, any.
pub(crate) struct Dial {
    plan: Plan,
    resolver: Arc<Resolver>,
    step: Step,
    /// The name that is connected to, and the one that a proxy wants the address of.
    near: Name,
    far: Name,
    race: Option<Race>,
    stream: Option<Stream>,
    talk: Option<Talk>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Resolve,
    Connect,
    SecureProxy,
    TalkToProxy,
    Secure,
    /// There is a stream, or there will never be one.
    Over,
}

impl Dial {
    pub(crate) fn new(plan: Plan, resolver: Arc<Resolver>) -> Self {
        let (near, far) = (Name::Unasked, Name::Unasked);
        let (race, stream, talk) = (None, None, None);
        Self { plan, resolver, step: Step::Resolve, near, far, race, stream, talk }
    }

    /// Goes on until there is a stream or something stops it. After [`Stop::Ended`],
    /// [`Stop::Deadline`] and [`Stop::Interrupted`] it can be taken up again, on any thread, by
    /// somebody else with another event.
    pub(crate) fn run(
        &mut self,
        progress: &dyn Progress,
        event: &Arc<Notify>,
    ) -> Result<Stream, Stop> {
        let mut phase = None;
        while self.step != Step::Over {
            if let Err(failure) = self.go_on(progress, event, &mut phase) {
                return Err(self.stopped(failure));
            }
        }
        self.stream.take().ok_or(Stop::Ended)
    }

    /// Whether there is a socket in it already, connecting or further.
    pub(crate) fn has_socket(&self) -> bool {
        self.stream.is_some() || self.race.as_ref().is_some_and(Race::is_running)
    }

    /// One step. `phase`: the one that was begun last in this run, and when it must be over.
    fn go_on(
        &mut self,
        progress: &dyn Progress,
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
        let patience = Patience { deadline, event, must_stop: &|| progress.must_stop() };
        self.step = match self.step {
            Step::Resolve => self.resolve(&patience, event)?,
            Step::Connect => self.connect(&patience, progress)?,
            Step::SecureProxy => self.secure_proxy(&patience)?,
            Step::TalkToProxy => self.talk(&patience)?,
            Step::Secure => self.secure(&patience)?,
            Step::Over => Step::Over,
        };
        Ok(())
    }

    /// What a failure means for the dial, and who is behind it.
    fn stopped(&mut self, failure: Stop) -> Stop {
        let ended = self.stream.as_ref().is_some_and(|stream| stream.socket().is_ended());
        let resumable = matches!(failure, Stop::Ended | Stop::Deadline(_) | Stop::Interrupted);
        if resumable && !ended {
            return failure;
        }
        self.step = Step::Over;
        (self.race, self.stream) = (None, None);
        // What a socket that was ended from outside says is only the consequence.
        if ended && !resumable { Stop::Ended } else { failure }
    }

    fn proxy(&self) -> Option<&Arc<Proxy>> {
        self.plan.route.proxy.as_ref().filter(|_| self.plan.unix.is_none())
    }

    /// Whose name is connected to.
    fn near(&self) -> (&str, u16) {
        match self.proxy() {
            Some(proxy) => (proxy.host(), proxy.port()),
            None => (&self.plan.host, self.plan.port),
        }
    }

    /// Whether a proxy wants the origin's address from us.
    fn wants_far(&self) -> bool {
        self.proxy().is_some_and(|proxy| proxy.wants_address())
    }

    fn needs_no_name(&self) -> bool {
        self.plan.unix.is_some()
            || (literal(self.near().0).is_some()
                && (!self.wants_far() || literal(&self.plan.host).is_some()))
    }

    fn resolve(&mut self, patience: &Patience<'_>, event: &Arc<Notify>) -> Result<Step, Stop> {
        let (host, port) = self.near();
        let (host, port) = (host.to_owned(), port);
        let found = self.near.resolve(&self.resolver, &host, port, patience, event);
        found.map_err(|failure| match (failure, self.proxy()) {
            (Stop::Failed(error), Some(proxy)) => {
                Error::new(error.kind(), format!("{proxy}: {}", error.message())).into()
            }
            (failure, _) => failure,
        })?;
        if self.wants_far() {
            let Plan { host, port, .. } = &self.plan;
            self.far.resolve(&self.resolver, host, *port, patience, event)?;
        }
        Ok(Step::Connect)
    }

    fn connect(&mut self, patience: &Patience<'_>, progress: &dyn Progress) -> Result<Step, Stop> {
        let mut race = match self.race.take() {
            Some(race) => race,
            None => self.race()?,
        };
        let outcome = race.run(patience);
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
                    self.resolver.forget(self.near().0);
                }
                let failure = self.unconnected(stop, &race);
                self.race = Some(race);
                Err(failure)
            }
        }
    }

    /// Why nothing was connected to, with words of its own where it is our own address's fault.
    fn unconnected(&self, stop: Stop, race: &Race) -> Stop {
        match (stop, self.plan.route.local) {
            (Stop::Io(error), Some(local)) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                let why = if race.is_unbound() {
                    // bind(2).
                    "it is no address of this machine".to_owned()
                } else {
                    // connect(2).
                    format!("all of its ports are in use to {}", self.near().0)
                };
                let what = format!("can't connect from {local}: {why}");
                Error::from_os(Kind::ConnectFailed, &what, &error).into()
            }
            (stop, _) => stop,
        }
    }

    fn race(&self) -> Result<Race, Stop> {
        if let Some(path) = &self.plan.unix {
            return Ok(Race::to(SockAddr::unix(path).map_err(Stop::Io)?));
        }
        let (host, port) = self.near();
        let literal = literal(host).map(|address| [SocketAddr::new(address, port)]);
        let addresses = match (&literal, &self.near) {
            (Some(address), _) => address.as_slice(),
            (None, Name::Known(addresses)) => addresses,
            (None, _) => &[],
        };
        if let Some(local) = self.plan.route.local
            && !addresses.iter().any(|address| address.is_ipv4() == local.is_ipv4())
        {
            let family = if local.is_ipv4() { "IPv4" } else { "IPv6" };
            let what = format!("{host} has no {family} address to be reached from {local}");
            return Err(Error::new(Kind::ConnectFailed, what).into());
        }
        Ok(Race::between(addresses, self.plan.route.local, self.plan.keep_alive))
    }

    fn after_connect(&self) -> Step {
        match self.proxy() {
            Some(proxy) if proxy.tls().is_some() => Step::SecureProxy,
            Some(_) => self.after_proxy(),
            None => self.after_tunnel(),
        }
    }

    /// A plain request is for a HTTP proxy itself to read; all else goes through a tunnel.
    fn after_proxy(&self) -> Step {
        match self.proxy() {
            Some(proxy) if proxy.speaks_http() && self.plan.tls.is_none() => Step::Over,
            _ => Step::TalkToProxy,
        }
    }

    fn after_tunnel(&self) -> Step {
        if self.plan.tls.is_some() { Step::Secure } else { Step::Over }
    }

    fn secure_proxy(&mut self, patience: &Patience<'_>) -> Result<Step, Stop> {
        if let Some(proxy) = self.proxy().map(Arc::clone)
            && let Some(tls) = proxy.tls()
        {
            let stream = self.stream.as_mut().ok_or(Stop::Ended)?;
            if !stream.has_tls() {
                stream.begin_tls(tls, proxy.host(), End::Proxy)?;
            }
            let words = |what: String| Error::new(Kind::ProxyFailed, format!("{proxy}: {what}"));
            stream.handshake(patience).map_err(|stop| match stop {
                Stop::Tls(error) => words(format!("TLS with it: {}", tls::explain(&error))).into(),
                Stop::PeerClosed => {
                    words("it closed the connection inside the TLS handshake".into()).into()
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

    fn talk(&mut self, patience: &Patience<'_>) -> Result<Step, Stop> {
        let mut talk = match self.talk.take() {
            Some(talk) => talk,
            None => self.begin_talk()?,
        };
        let stream = self.stream.as_mut().ok_or(Stop::Ended)?;
        let outcome = talk.run(stream, patience);
        self.talk = Some(talk);
        outcome?;
        Ok(self.after_tunnel())
    }

    fn begin_talk(&self) -> Result<Talk, Stop> {
        let proxy = self.proxy().ok_or(Stop::Ended)?;
        let to = match &self.far {
            Name::Known(addresses) if let Some(first) = addresses.first() => {
                Towards::Address(first.ip())
            }
            _ => Towards::host(&self.plan.host),
        };
        Ok(Talk::begin(proxy, to, self.plan.port)?)
    }

    fn secure(&mut self, patience: &Patience<'_>) -> Result<Step, Stop> {
        let stream = self.stream.as_mut().ok_or(Stop::Ended)?;
        if let Some(tls) = &self.plan.tls {
            if !stream.is_tls() {
                stream.begin_tls(tls, &self.plan.host, End::Origin)?;
            }
            let outcome = stream.handshake(patience);
            outcome.map_err(|stop| self.unsecured(stop))?;
        }
        Ok(Step::Over)
    }

    /// Why there is no TLS with the origin. From in here nobody can tell whether it was the origin
    /// that closed a tunnel, or the proxy: both are named.
    fn unsecured(&self, stop: Stop) -> Stop {
        let Some(proxy) = self.proxy() else { return stop };
        let host = &self.plan.host;
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
            Self::SecureProxy | Self::TalkToProxy => Phase::Proxy,
            Self::Secure | Self::Over => Phase::Tls,
        }
    }
}

#[cfg(test)]
mod tests;
