//! Happy eyeballs (RFC 8305): several addresses are tried, and the first that connects is used.
//!
//! The families alternate. An attempt has some time before the next one starts beside it, and one that fails is
//! followed at once. It can be left and resumed; the attempts go on meanwhile. Knows nothing of names: it is
//! given addresses, and a Unix-domain socket is one too.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr};

use crate::net::Stop;
use crate::net::probes::Probes;
use crate::net::route::{ATTEMPT_DELAY, Route};
use crate::net::socket::Socket;
use crate::net::sys::{
    bind_address, bind_interface, is_again, is_connecting, is_exhaustion, is_unusable,
};
use crate::net::wait_context::WaitContext;
use crate::runtime::{Interest, PollEntry, WaitUntil, WakeReason, wait_any};

/// Threads: one at a time.
pub(super) struct HappyEyeballs {
    waiting: VecDeque<SockAddr>,
    running: Vec<Arc<Socket>>,
    /// When the next attempt may start.
    next: Instant,
    /// The failure that is reported if no attempt connects.
    failure: Option<io::Error>,
    local: Option<SockAddr>,
    interface: Option<Arc<str>>,
    /// The local address or the interface can't be used.
    unbound: Option<Unbound>,
    /// How long an attempt has before the next one starts; `None`: until it failed.
    delay: Option<Duration>,
    keep_alive: Option<Duration>,
}

/// What of a route could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unbound {
    Address,
    Interface,
}

/// How the start of an attempt went.
enum Start {
    Connected(Arc<Socket>),
    Running(Arc<Socket>),
    /// The local address or the interface was refused.
    Unbound(Unbound, io::Error),
    Failed(io::Error),
}

impl HappyEyeballs {
    /// Of those of these addresses that the route permits, in the order of RFC 8305 section 4.
    pub(super) fn between(
        addresses: &[SocketAddr],
        route: &Route,
        keep_alive: Option<Duration>,
    ) -> Self {
        let usable = addresses.iter().copied().filter(|address| route.permits(address.ip()));
        let usable: Vec<_> = usable.map(|address| route.with_zone(address)).collect();
        let waiting =
            interleaved(&usable).into_iter().take(MAX_ADDRESSES).map(SockAddr::from).collect();
        let local = route.local.map(|local| route.with_zone(SocketAddr::new(local, 0)).into());
        Self {
            local,
            interface: route.interface.clone(),
            delay: route.attempt_delay,
            keep_alive,
            ..Self::to_each(waiting)
        }
    }

    /// Of one address, which is a Unix-domain socket.
    pub(super) fn to(address: SockAddr) -> Self {
        Self::to_each([address].into())
    }

    fn to_each(waiting: VecDeque<SockAddr>) -> Self {
        Self {
            waiting,
            running: Vec::new(),
            next: Instant::now(),
            failure: None,
            local: None,
            interface: None,
            unbound: None,
            delay: Some(ATTEMPT_DELAY),
            keep_alive: None,
        }
    }

    /// What could not be used, if the failure is not that of a connect.
    pub(super) fn unbound(&self) -> Option<Unbound> {
        self.unbound
    }

    /// Whether an attempt is on its way.
    pub(super) fn is_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// Goes on until an attempt connects. `Stop::Io` means that all have failed; after any other stop it can
    /// be resumed.
    pub(super) fn run(&mut self, context: &WaitContext<'_>) -> Result<Arc<Socket>, Stop> {
        loop {
            if let Some(winner) = self.start_due()? {
                return Ok(winner);
            }
            if self.running.is_empty() && self.waiting.is_empty() {
                let nothing =
                    || io::Error::new(io::ErrorKind::NotFound, "no address to connect to");
                return Err(Stop::Io(self.failure.take().unwrap_or_else(nothing)));
            }
            if let Some(winner) = self.wait(context)? {
                return Ok(winner);
            }
        }
    }

    /// Starts the attempts that are due. Returns a socket that connected at once.
    fn start_due(&mut self) -> Result<Option<Arc<Socket>>, Stop> {
        while self.is_due()
            && let Some(address) = self.waiting.pop_front()
        {
            match self.start(&address) {
                Start::Connected(socket) => return Ok(Some(socket)),
                Start::Running(socket) => {
                    self.running.push(socket);
                    self.next = Instant::now() + self.delay.unwrap_or_default();
                }
                // unix(7): the listener's queue is full, and no event tells when it has room again.
                Start::Failed(error) if address.is_unix() && is_again(&error) => {
                    self.waiting.push_front(address);
                    self.next = Instant::now() + RETRY_INTERVAL;
                }
                Start::Failed(error) if is_exhaustion(&error) => {
                    // The next address would need a descriptor as well.
                    if self.running.is_empty() {
                        return Err(Stop::Io(error));
                    }
                    self.waiting.push_front(address);
                    self.next = Instant::now() + ATTEMPT_DELAY;
                }
                Start::Unbound(what, error) => {
                    self.unbound = Some(what);
                    self.failed(error);
                }
                Start::Failed(error) => self.failed(error),
            }
        }
        Ok(None)
    }

    /// Whether the next attempt may start now.
    fn is_due(&self) -> bool {
        self.next <= Instant::now() && !self.waits_for_failure()
    }

    /// Whether the next attempt starts only when those that are running have failed.
    fn waits_for_failure(&self) -> bool {
        self.delay.is_none() && !self.running.is_empty()
    }

    fn start(&self, address: &SockAddr) -> Start {
        let socket = match self.open(address) {
            Ok(socket) => socket,
            Err(error) => return Start::Failed(error),
        };
        if !address.is_unix() {
            if let Some(interface) = &self.interface
                && let Err(error) = bind_interface(&socket, interface)
            {
                return Start::Unbound(Unbound::Interface, error);
            }
            if let Some(local) = &self.local
                && let Err(error) = bind_address(&socket, local)
            {
                return Start::Unbound(Unbound::Address, error);
            }
        }
        let socket = Socket::new(socket);
        if address.is_unix() {
            socket.source().reads_may_be_short();
        }
        let outcome = match socket.enter() {
            Some(inside) => inside.connect(address),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        match outcome {
            Ok(()) => Start::Connected(socket),
            Err(error) if is_connecting(&error) => Start::Running(socket),
            Err(error) => Start::Failed(error),
        }
    }

    /// Waits until an attempt ends, or the next one is due.
    fn wait(&mut self, context: &WaitContext<'_>) -> Result<Option<Arc<Socket>>, Stop> {
        let turn = (!self.waiting.is_empty() && !self.waits_for_failure()).then_some(self.next);
        let until = match (context.deadline.at, turn) {
            (Some(deadline), Some(turn)) => Some(deadline.min(turn)),
            (deadline, turn) => deadline.or(turn),
        };
        let (reason, ready) = {
            let inside: Vec<_> = self.running.iter().filter_map(|socket| socket.enter()).collect();
            if inside.len() < self.running.len() {
                return Err(Stop::Ended);
            }
            let watch = |source| PollEntry { source, interest: Interest::Write, ready: false };
            let mut fds: Vec<_> = inside.iter().map(|socket| watch(socket.source())).collect();
            let reason =
                wait_any(&mut fds, context.event, WaitUntil::new(until)).map_err(Stop::Io)?;
            (reason, fds.iter().map(|one| one.ready).collect::<Vec<_>>())
        };
        match reason {
            WakeReason::Ready { .. } => {}
            WakeReason::Deadline if context.deadline.at.is_none_or(|at| Instant::now() < at) => {
                return Ok(None);
            }
            reason => return context.check(reason).map(|()| None),
        }
        for index in (0..self.running.len()).rev() {
            if !ready[index] {
                continue;
            }
            let socket = self.running.remove(index);
            // connect(2): the outcome of a connect in progress is SO_ERROR.
            let outcome = match socket.enter() {
                Some(inside) => inside.take_error(),
                None => return Err(Stop::Ended),
            };
            match outcome {
                Ok(None) => return Ok(Some(socket)),
                Ok(Some(error)) | Err(error) => self.failed(error),
            }
        }
        Ok(None)
    }

    fn failed(&mut self, error: io::Error) {
        self.next = Instant::now();
        // "This family can't be used here" explains less than the failure of an address that can be reached.
        if self.failure.is_none() || !is_unusable(&error) {
            self.failure = Some(error);
        }
    }

    fn open(&self, address: &SockAddr) -> io::Result<socket2::Socket> {
        // socket2 opens close-on-exec.
        let socket = socket2::Socket::new(address.domain(), socket2::Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        if address.domain() == Domain::UNIX {
            return Ok(socket);
        }
        // A request is written whole; waiting for an acknowledgement first only adds latency.
        socket.set_tcp_nodelay(true)?;
        if let Some(after) = self.keep_alive {
            Probes::after(after).begin(&socket);
        }
        Ok(socket)
    }
}

/// The families alternate, beginning with the one that the resolver put first.
fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (mut first, mut second): (VecDeque<SocketAddr>, VecDeque<_>) =
        addresses.iter().partition(|address| address.is_ipv4() == first_is_v4);
    let mut order = Vec::with_capacity(addresses.len());
    while !first.is_empty() || !second.is_empty() {
        order.extend(first.pop_front());
        order.extend(second.pop_front());
    }
    order
}

/// How often a full Unix-domain listener is asked again.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);
/// A name with more addresses than this is an attack or a mistake.
const MAX_ADDRESSES: usize = 32;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use testserver::BlackHole;

    use super::*;
    use crate::runtime::Notify;
    use crate::timeouts::Deadline;
    use crate::vocabulary::{AddressFamily, Timeout};

    fn run(race: &mut HappyEyeballs, limit: Option<Duration>) -> Result<Arc<Socket>, Stop> {
        let event = Notify::new().unwrap();
        let deadline = Deadline::after(Instant::now(), limit, Timeout::Connect);
        race.run(&WaitContext { deadline, event: &event, must_stop: &|| true })
    }

    fn between(addresses: &[SocketAddr]) -> HappyEyeballs {
        HappyEyeballs::between(addresses, &Route::default(), Some(Duration::from_secs(30)))
    }

    fn dead() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    #[test]
    fn a_refused_address_is_passed_over_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let start = Instant::now();
        assert!(run(&mut between(&[dead(), dead(), here]), None).is_ok());
        assert!(start.elapsed() < ATTEMPT_DELAY);
        let refused = run(&mut between(&[dead(), dead()]), None);
        assert!(
            matches!(refused, Err(Stop::Io(error)) if error.kind() == io::ErrorKind::ConnectionRefused)
        );
        assert!(matches!(run(&mut between(&[]), None), Err(Stop::Io(_))));
    }

    #[test]
    fn a_silent_address_is_joined_by_the_next_within_250_ms() {
        let hole = BlackHole::new();
        let silent = SocketAddr::from(([127, 0, 0, 1], hole.port()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let start = Instant::now();
        let mut race = between(&[silent, listener.local_addr().unwrap()]);
        run(&mut race, Some(Duration::from_secs(5))).unwrap();
        assert!(start.elapsed() >= ATTEMPT_DELAY && start.elapsed() < ATTEMPT_DELAY * 3);
    }

    #[test]
    fn without_a_delay_the_next_address_waits_for_the_failure_of_the_one_before() {
        let hole = BlackHole::new();
        let silent = SocketAddr::from(([127, 0, 0, 1], hole.port()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let patient = Route { attempt_delay: None, ..Route::default() };
        let mut race = HappyEyeballs::between(&[silent, here], &patient, None);
        let stopped = run(&mut race, Some(ATTEMPT_DELAY * 2));
        assert!(matches!(stopped, Err(Stop::Deadline(Timeout::Connect))));
        let mut race = HappyEyeballs::between(&[dead(), dead(), here], &patient, None);
        assert!(run(&mut race, None).is_ok());
        // And with a shorter one it waits for less.
        let hasty = Route { attempt_delay: Some(Duration::from_millis(20)), ..Route::default() };
        let mut race = HappyEyeballs::between(&[silent, here], &hasty, None);
        assert!(run(&mut race, Some(Duration::from_secs(5))).is_ok());
        assert!(race.is_running(), "the silent attempt goes on");
    }

    #[test]
    fn a_family_leaves_out_the_other_one() {
        let addresses = ["[::1]:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()];
        for (family, port) in [(AddressFamily::Ipv4, 2), (AddressFamily::Ipv6, 1)] {
            let route = Route { family, ..Route::default() };
            let race = HappyEyeballs::between(&addresses, &route, None);
            let ports: Vec<_> = race.waiting.iter().filter_map(SockAddr::as_socket).collect();
            assert_eq!(ports.iter().map(SocketAddr::port).collect::<Vec<_>>(), [port]);
        }
    }

    #[test]
    fn a_link_local_address_is_one_of_the_interface() {
        let route = Route { interface: Some("lo".into()), ..Route::default() };
        let addresses = ["[fe80::1]:1", "[fe80::1%7]:1", "[2001:db8::1]:1"];
        let addresses = addresses.map(|text| text.parse().unwrap());
        let race = HappyEyeballs::between(&addresses, &route, None);
        let zones = race.waiting.iter().filter_map(SockAddr::as_socket_ipv6);
        // netdevice(7): the loopback interface is the first one.
        assert_eq!(zones.map(|v6| v6.scope_id()).collect::<Vec<_>>(), [1, 7, 0]);
    }

    #[test]
    fn a_race_can_be_left_and_taken_up_again() {
        let hole = BlackHole::new();
        let silent = SocketAddr::from(([127, 0, 0, 1], hole.port()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut race = between(&[silent, listener.local_addr().unwrap()]);
        let stopped = run(&mut race, Some(Duration::from_millis(10)));
        assert!(matches!(stopped, Err(Stop::Deadline(Timeout::Connect))));
        assert!(race.is_running());
        let event = Notify::new().unwrap();
        event.set();
        let stopped = race.run(&WaitContext {
            deadline: Deadline::NEVER,
            event: &event,
            must_stop: &|| true,
        });
        assert!(matches!(stopped, Err(Stop::Ended)));
        assert!(run(&mut race, Some(Duration::from_secs(5))).is_ok());
    }

    #[test]
    fn families_take_turns_beginning_with_the_resolvers_first() {
        let addresses: Vec<SocketAddr> =
            ["[::1]:1", "[::1]:2", "[::1]:3", "1.1.1.1:4", "1.1.1.1:5"]
                .map(|text| text.parse().unwrap())
                .into();
        let ports = |addresses: &[SocketAddr]| {
            interleaved(addresses).iter().map(SocketAddr::port).collect::<Vec<_>>()
        };
        assert_eq!(ports(&addresses), [1, 4, 2, 5, 3]);
        assert_eq!(ports(&addresses[3..]), [4, 5]);
        assert_eq!(ports(&[]), [0; 0]);
    }

    #[test]
    fn a_local_address_is_connected_from_and_leaves_out_the_other_family() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let other = SocketAddr::new("::1".parse().unwrap(), here.port());
        let local = "127.0.0.7".parse().ok();
        let route = Route { local, ..Route::default() };
        let mut race = HappyEyeballs::between(&[other, here], &route, None);
        assert_eq!(race.waiting.len(), 1);
        let _socket = run(&mut race, None).unwrap();
        assert_eq!(listener.accept().unwrap().1.ip(), local.unwrap());
    }

    #[test]
    fn a_port_is_chosen_by_the_connect_and_not_before() {
        for local in ["127.0.0.1", "::1"] {
            let local = SocketAddr::new(local.parse().unwrap(), 0);
            let race = between(&[]);
            let socket = race.open(&local.into()).unwrap();
            bind_address(&socket, &local.into()).unwrap();
            assert_eq!(socket.local_addr().unwrap().as_socket(), Some(local));
        }
    }

    #[test]
    fn a_full_unix_listener_is_asked_again() {
        let path = std::env::temp_dir().join(format!("hangup-race-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = socket2::Socket::new(Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(0).unwrap();
        let address = || SockAddr::unix(&path).unwrap();
        let _first = run(&mut HappyEyeballs::to(address()), None).unwrap();
        let mut race = HappyEyeballs::to(address());
        let stopped = run(&mut race, Some(Duration::from_millis(30)));
        assert!(matches!(stopped, Err(Stop::Deadline(Timeout::Connect))));
        listener.accept().unwrap();
        assert!(run(&mut race, Some(Duration::from_secs(5))).is_ok());
        std::fs::remove_file(&path).unwrap();
    }
}
