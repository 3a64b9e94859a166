//! Happy eyeballs (RFC 8305): several addresses are tried, and the first that connects is used.
//!
//! The families alternate. An attempt has some time before the next one starts beside it, and one that fails is
//! followed at once. The last address gets a second attempt beside the first: a SYN that is lost would be sent again
//! after a second only (RFC 6298 section 2), and by then the answer to another one is there. The race can be left and
//! resumed; the attempts go on meanwhile. Knows nothing of names: it is given addresses, and a Unix-domain socket is
//! one too.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr};

use crate::net::Stop;
use crate::net::paths::{Winner, small_segment};
use crate::net::probes::Probes;
use crate::net::route::{ATTEMPT_DELAY, Route};
use crate::net::socket::{InUse, Socket};
use crate::net::sys::{
    POLL_TELLS_OF_CONNECT, bind_address, bind_interface, descriptor_limit, is_again, is_connecting,
    is_exhaustion, is_unusable, open_stream, set_largest_segment,
};
use crate::net::wait_context::WaitContext;
use crate::process::PerProcess;
use crate::runtime::{Interest, PollEntry, WaitUntil, WakeReason, wait_any};

/// Threads: one at a time.
pub(super) struct HappyEyeballs {
    waiting: VecDeque<SockAddr>,
    /// In the order in which they started.
    running: Vec<Attempt>,
    /// When the next address may be tried.
    next: Instant,
    /// The last address got its second attempt, or gets none.
    second_begun: bool,
    /// What is remembered of the host.
    known: Option<Winner>,
    small: SmallSegments,
    /// What connected.
    winner: Option<Winner>,
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

struct Attempt {
    socket: Arc<Socket>,
    /// `None`: a Unix-domain socket.
    address: Option<SocketAddr>,
    began: Instant,
    /// It is the second one at its address, and has this permission.
    second: Option<Permission>,
}

/// The right to have a second attempt. Descriptors are for the first ones: of those that the process may have, one in
/// 32 may be used for second ones at the same time.
type Permission = Arc<()>;

/// To which addresses the segments are small, as larger ones get lost on the way.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum SmallSegments {
    #[default]
    ToNone,
    To(Vec<IpAddr>),
    ToAll,
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
    /// Of those of these addresses that the route permits, in the order of RFC 8305 section 4: the one that is known
    /// to have connected last is the first one.
    pub(super) fn between(
        addresses: &[SocketAddr],
        route: &Route,
        keep_alive: Option<Duration>,
        known: Option<Winner>,
    ) -> Self {
        let usable = addresses.iter().copied().filter(|address| route.permits(address.ip()));
        let usable: Vec<_> = usable.map(|address| route.with_zone(address)).collect();
        let mut order = interleaved(&usable);
        if let Some(known) = known
            && let Some(at) = order.iter().position(|address| *address == known.address)
        {
            order[..=at].rotate_right(1);
        }
        let waiting = order.into_iter().take(MAX_ADDRESSES).map(SockAddr::from).collect();
        let local = route.local.map(|local| route.with_zone(SocketAddr::new(local, 0)).into());
        Self {
            local,
            interface: route.interface.clone(),
            delay: route.attempt_delay,
            second_begun: route.attempt_delay.is_none(),
            known,
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
            second_begun: true,
            known: None,
            small: SmallSegments::default(),
            winner: None,
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

    pub(super) fn use_small_segments(&mut self, small: SmallSegments) {
        self.small = small;
    }

    /// The address that connected, and how long that took; `None` before, and for a Unix-domain socket.
    pub(super) fn winner(&self) -> Option<Winner> {
        self.winner
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
            let began = Instant::now();
            let attempt =
                |socket| Attempt { socket, address: address.as_socket(), began, second: None };
            match self.start(&address) {
                Start::Connected(socket) => return Ok(Some(self.won(attempt(socket)))),
                Start::Running(socket) => {
                    self.running.push(attempt(socket));
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
        match self.second() {
            Some((address, due)) if due <= Instant::now() => Ok(self.start_second(address)),
            _ => Ok(None),
        }
    }

    /// Starts the second attempt at the last address. If it can't start, the first one goes on alone.
    fn start_second(&mut self, address: SocketAddr) -> Option<Arc<Socket>> {
        self.second_begun = true;
        let permission = permission(descriptor_limit())?;
        let began = Instant::now();
        let second = Some(permission);
        let attempt = |socket| Attempt { socket, address: Some(address), began, second };
        match self.start(&address.into()) {
            Start::Connected(socket) => Some(self.won(attempt(socket))),
            Start::Running(socket) => {
                self.running.push(attempt(socket));
                None
            }
            Start::Unbound(..) | Start::Failed(_) => None,
        }
    }

    /// The address that gets a second attempt, and when: the only one that is left.
    fn second(&self) -> Option<(SocketAddr, Instant)> {
        if self.second_begun || !self.waiting.is_empty() {
            return None;
        }
        let Attempt { address, began, .. } = self.running.last()?;
        let address = (*address)?;
        let known = self.known.filter(|known| known.address == address);
        // An address that is far away is not dialled twice each time.
        let far = known.map(|known| known.took.saturating_mul(3)).unwrap_or_default();
        let delay = SECOND_ATTEMPT_DELAY.max(far).max(self.delay?);
        Some((address, began.checked_add(delay)?))
    }

    /// Whether the next address may be tried now.
    fn is_due(&self) -> bool {
        self.next <= Instant::now() && !self.waits_for_failure()
    }

    /// When the next attempt starts, if no other one fails before.
    fn next_start(&self) -> Option<Instant> {
        if self.waiting.is_empty() {
            return self.second().map(|(_, due)| due);
        }
        (!self.waits_for_failure()).then_some(self.next)
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
        match self.keep_alive {
            _ if address.is_unix() => socket.source().reads_may_be_short(),
            Some(after) => socket.probe_later(Probes::after(after)),
            None => {}
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
        let until = match (context.deadline.at, self.next_start()) {
            (Some(deadline), Some(turn)) => Some(deadline.min(turn)),
            (deadline, turn) => deadline.or(turn),
        };
        let (reason, ready) = {
            let inside: Vec<_> = self.running.iter().filter_map(|one| one.socket.enter()).collect();
            if inside.len() < self.running.len() {
                return Err(Stop::Ended);
            }
            let sources = inside.iter().map(InUse::source);
            let mut fds: Vec<_> =
                sources.map(|source| PollEntry::new(source, Interest::Write)).collect();
            let reason =
                wait_any(&mut fds, context.event, WaitUntil::new(until)).map_err(Stop::Io)?;
            (reason, fds.iter().map(|one| (one.ready, one.broken)).collect::<Vec<_>>())
        };
        match reason {
            WakeReason::Ready { .. } => self.take_ended(&ready),
            WakeReason::Deadline if context.deadline.at.is_none_or(|at| Instant::now() < at) => {
                Ok(None)
            }
            reason => context.check(reason).map(|()| None),
        }
    }

    /// Attempts ended: for each one in progress, whether it is ready, and whether it is broken.
    #[inline(never)] // Keeps its frame out of the wait.
    fn take_ended(&mut self, ready: &[(bool, bool)]) -> Result<Option<Arc<Socket>>, Stop> {
        let mut lost = Vec::new();
        for index in (0..self.running.len()).rev() {
            let (true, broken) = ready[index] else { continue };
            let attempt = self.running.remove(index);
            if POLL_TELLS_OF_CONNECT && !broken {
                return Ok(Some(self.won(attempt)));
            }
            // connect(2): the outcome of a connect in progress is SO_ERROR.
            let outcome = match attempt.socket.enter() {
                Some(inside) => inside.take_error(),
                None => return Err(Stop::Ended),
            };
            match outcome {
                Ok(None) => return Ok(Some(self.won(attempt))),
                Ok(Some(error)) | Err(error) => lost.push((attempt, error)),
            }
        }
        for (attempt, error) in lost {
            self.lost(&attempt, error);
        }
        Ok(None)
    }

    fn won(&mut self, attempt: Attempt) -> Arc<Socket> {
        let Attempt { socket, address, began, .. } = attempt;
        self.winner = address.map(|address| Winner { address, took: connect_time(&socket, began) });
        socket
    }

    fn lost(&mut self, attempt: &Attempt, error: io::Error) {
        let of_pair = |other: &Attempt| {
            other.address == attempt.address && other.second.is_some() != attempt.second.is_some()
        };
        if let Some(other) = self.running.iter().position(of_pair) {
            if attempt.second.is_some() {
                // The first one may connect as if there had been no second one.
                return;
            }
            if error.kind() == io::ErrorKind::ConnectionRefused {
                // The peer's word is for the address: the second one has no time of its own.
                self.running.remove(other);
            }
        }
        self.failed(error);
    }

    fn failed(&mut self, error: io::Error) {
        self.next = Instant::now();
        // "This family can't be used here" explains less than the failure of an address that can be reached.
        if self.failure.is_none() || !is_unusable(&error) {
            self.failure = Some(error);
        }
    }

    fn open(&self, address: &SockAddr) -> io::Result<socket2::Socket> {
        let socket = open_stream(address.domain())?;
        if address.domain() == Domain::UNIX {
            return Ok(socket);
        }
        // A request is written whole; waiting for an acknowledgement first only adds latency.
        socket.set_tcp_nodelay(true)?;
        if let Some(address) = address.as_socket()
            && self.small.are_for(address.ip())
        {
            set_largest_segment(&socket, small_segment(address.ip()));
        }
        Ok(socket)
    }
}

impl SmallSegments {
    fn are_for(&self, address: IpAddr) -> bool {
        match self {
            Self::ToNone => false,
            Self::To(addresses) => addresses.contains(&address),
            Self::ToAll => true,
        }
    }
}

/// The permission for another second attempt in a process that may have so many descriptors, if there is one left.
fn permission(descriptors: usize) -> Option<Permission> {
    static PERMISSIONS: PerProcess<Arc<()>> = PerProcess::new();
    let all = PERMISSIONS.get(|_| Arc::new(()));
    (Arc::strong_count(all) <= descriptors / 32).then(|| Arc::clone(all))
}

/// From the SYN of a connected socket to its acknowledgement.
fn connect_time(socket: &Socket, began: Instant) -> Duration {
    let took = began.elapsed();
    if took < SYN_SENT_AGAIN {
        return took;
    }
    // It is not known which of the SYNs was acknowledged; timestamps may tell (RFC 7323 section 4).
    let info = socket.enter().and_then(|inside| inside.tcp_info());
    info.map(|info| info.rtt).filter(|rtt| !rtt.is_zero()).unwrap_or(took)
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

/// How long the last address has before its second attempt starts. Nearly every round trip on the internet is shorter,
/// and with it a dial whose first SYN was lost is done well before the system sends that SYN again.
const SECOND_ATTEMPT_DELAY: Duration = Duration::from_millis(300);
/// When the system sends a SYN again (RFC 6298 section 2.1).
const SYN_SENT_AGAIN: Duration = Duration::from_secs(1);
/// How often a full Unix-domain listener is asked again.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);
/// A name with more addresses than this is an attack or a mistake.
const MAX_ADDRESSES: usize = 32;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use testserver::{BlackHole, Script};

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
        HappyEyeballs::between(addresses, &Route::default(), Some(Duration::from_secs(30)), None)
    }

    fn with_known(addresses: &[SocketAddr], known: SocketAddr, took: Duration) -> HappyEyeballs {
        let known = Some(Winner { address: known, took });
        HappyEyeballs::between(addresses, &Route::default(), None, known)
    }

    /// The addresses that are tried, in their order.
    fn order(race: &HappyEyeballs) -> Vec<u16> {
        race.waiting.iter().filter_map(SockAddr::as_socket).map(|address| address.port()).collect()
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
        let mut race = HappyEyeballs::between(&[silent, here], &patient, None, None);
        let stopped = run(&mut race, Some(ATTEMPT_DELAY * 2));
        assert!(matches!(stopped, Err(Stop::Deadline(Timeout::Connect))));
        let mut race = HappyEyeballs::between(&[dead(), dead(), here], &patient, None, None);
        assert!(run(&mut race, None).is_ok());
        // And with a shorter one it waits for less.
        let hasty = Route { attempt_delay: Some(Duration::from_millis(20)), ..Route::default() };
        let mut race = HappyEyeballs::between(&[silent, here], &hasty, None, None);
        assert!(run(&mut race, Some(Duration::from_secs(5))).is_ok());
        assert!(race.is_running(), "the silent attempt goes on");
    }

    /// How many attempts at that address are on their way, and how many of them are second ones.
    fn running(race: &HappyEyeballs, address: SocketAddr) -> (usize, usize) {
        let those = || race.running.iter().filter(|one| one.address == Some(address));
        (those().count(), those().filter(|one| one.second.is_some()).count())
    }

    #[test]
    fn the_last_address_gets_a_second_attempt_after_300_ms() {
        let hole = BlackHole::new();
        let silent = SocketAddr::from(([127, 0, 0, 1], hole.port()));
        let before = SECOND_ATTEMPT_DELAY / 3;
        let mut race = between(&[silent]);
        assert!(run(&mut race, Some(before)).is_err());
        assert_eq!(running(&race, silent), (1, 0));
        for _ in 0..2 {
            // There is never a third one.
            assert!(run(&mut race, Some(SECOND_ATTEMPT_DELAY * 2)).is_err());
            assert_eq!(running(&race, silent), (2, 1));
        }
        // The last one of several addresses is one, too; so is the only one whose attempt has not failed.
        for addresses in [[dead(), silent], [silent, dead()]] {
            let mut race = between(&addresses);
            assert!(run(&mut race, Some(SECOND_ATTEMPT_DELAY * 2)).is_err());
            assert_eq!(running(&race, silent), (2, 1));
        }
        // The address before it gets none.
        let other = BlackHole::new();
        let last = SocketAddr::from(([127, 0, 0, 1], other.port()));
        let mut race = between(&[silent, last]);
        assert!(run(&mut race, Some(ATTEMPT_DELAY + SECOND_ATTEMPT_DELAY * 2)).is_err());
        assert_eq!((running(&race, silent), running(&race, last)), ((1, 0), (2, 1)));
    }

    #[test]
    fn a_far_address_and_one_that_is_tried_alone_get_no_second_attempt_at_300_ms() {
        let hole = BlackHole::new();
        let silent = SocketAddr::from(([127, 0, 0, 1], hole.port()));
        let far = with_known(&[silent], silent, Duration::from_secs(10));
        let patient = Route { attempt_delay: None, ..Route::default() };
        let patient = HappyEyeballs::between(&[silent], &patient, None, None);
        let slow = Route { attempt_delay: Some(Duration::from_secs(30)), ..Route::default() };
        let slow = HappyEyeballs::between(&[silent], &slow, None, None);
        for mut race in [far, patient, slow] {
            assert!(run(&mut race, Some(SECOND_ATTEMPT_DELAY * 2)).is_err());
            assert_eq!(running(&race, silent), (1, 0));
        }
        // An address that is known to be near gets it, and so does one of which nothing is known.
        let near = with_known(&[silent], silent, Duration::from_millis(1));
        let elsewhere = with_known(&[silent], dead(), Duration::from_secs(10));
        for mut race in [near, elsewhere] {
            assert!(run(&mut race, Some(SECOND_ATTEMPT_DELAY * 2)).is_err());
            assert_eq!(running(&race, silent), (2, 1));
        }
    }

    #[test]
    fn the_second_attempt_connects_when_the_first_syn_was_lost() {
        let hole = BlackHole::new();
        let silent = SocketAddr::from(([127, 0, 0, 1], hole.port()));
        let mut race = between(&[silent]);
        let start = Instant::now();
        assert!(run(&mut race, Some(SECOND_ATTEMPT_DELAY / 3)).is_err());
        let _server = hole.open(Script::answering("ok"));
        let _socket = run(&mut race, Some(Duration::from_secs(10))).unwrap();
        let winner = race.winner().unwrap();
        assert_eq!(winner.address, silent);
        println!("connected after {:?} in {:?}", start.elapsed(), winner.took);
        if start.elapsed() < SYN_SENT_AGAIN {
            // The first one is still on its way: its SYN is sent again after a second.
            assert_eq!(running(&race, silent), (1, 0));
            assert!(winner.took < SECOND_ATTEMPT_DELAY * 2);
        }
    }

    #[test]
    fn what_the_first_attempt_is_told_counts_and_the_second_only_helps() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let attempt = |second: bool| {
            let socket = socket2::Socket::new(Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            let (socket, began) = (Socket::new(socket), Instant::now());
            Attempt { socket, address: Some(address), began, second: second.then(Arc::default) }
        };
        let refused = || io::ErrorKind::ConnectionRefused.into();
        let unreachable = || io::ErrorKind::HostUnreachable.into();
        let (with_second, with_first) = ((1, 1), (1, 0));
        for (second, error, left) in [
            (true, refused(), with_first),
            (true, unreachable(), with_first),
            (false, unreachable(), with_second),
            (false, refused(), (0, 0)),
        ] {
            let mut race = between(&[]);
            race.running.push(attempt(!second));
            race.lost(&attempt(second), error);
            assert_eq!(running(&race, address), left);
            assert_eq!(race.failure.is_some(), !second, "the failure of the first one is reported");
        }
        // The last that is left.
        let mut race = between(&[]);
        race.lost(&attempt(true), refused());
        assert!(race.failure.is_some());
    }

    #[test]
    fn a_refusal_of_the_first_attempt_ends_the_race() {
        let hole = BlackHole::new();
        let silent = SocketAddr::from(([127, 0, 0, 1], hole.port()));
        let mut race = between(&[silent]);
        assert!(run(&mut race, Some(SECOND_ATTEMPT_DELAY * 2)).is_err());
        assert_eq!(running(&race, silent), (2, 1));
        // The SYNs that are sent again are refused.
        drop(hole);
        let refused = run(&mut race, Some(Duration::from_secs(30)));
        assert!(
            matches!(refused, Err(Stop::Io(error)) if error.kind() == io::ErrorKind::ConnectionRefused)
        );
        assert!(!race.is_running());
    }

    #[test]
    fn segments_are_small_in_both_directions_where_large_ones_get_lost() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let mss = |small| {
            let mut race = between(&[here]);
            race.use_small_segments(small);
            let socket = run(&mut race, None).unwrap();
            let theirs = socket2::SockRef::from(&listener.accept().unwrap().0).tcp_mss().unwrap();
            (socket.enter().unwrap().tcp_info().unwrap().send_mss, theirs)
        };
        let small = small_segment(here.ip());
        for those in [SmallSegments::ToAll, SmallSegments::To(vec![here.ip()])] {
            let (ours, theirs) = mss(those);
            assert!(ours <= small && theirs <= small, "{ours} {theirs}");
        }
        let elsewhere = SmallSegments::To(vec!["127.0.0.2".parse().unwrap()]);
        for those in [SmallSegments::ToNone, elsewhere] {
            let (ours, theirs) = mss(those);
            assert!(ours > small && theirs > small, "{ours} {theirs}");
        }
    }

    #[test]
    fn second_attempts_use_few_of_the_descriptors() {
        assert!(permission(31).is_none());
        let permissions: Vec<_> = (0..1000).map_while(|_| permission(640)).collect();
        // Other tests may have some.
        assert!(permissions.len() <= 20 && permission(640).is_none());
        drop(permissions);
        assert!(permission(usize::MAX).is_some());
    }

    /// How long 95 of 100 dials take at most when each packet is lost with this probability, with attempts that begin
    /// at these times. The system sends a SYN again after 1, 3 and 7 s (RFC 6298).
    fn percentile_95(loss: f64, round_trip: Duration, attempts: &[Duration]) -> Duration {
        let again = [0, 1, 3, 7].map(Duration::from_secs);
        let mut syns: Vec<Duration> =
            attempts.iter().flat_map(|began| again.map(|later| *began + later)).collect();
        syns.sort();
        let mut all_lost = 1.0;
        for sent in syns {
            all_lost *= 1.0 - (1.0 - loss) * (1.0 - loss);
            if all_lost <= 0.05 {
                return sent + round_trip;
            }
        }
        Duration::MAX
    }

    #[test]
    fn at_5_percent_loss_95_of_100_dials_are_done_in_450_ms() {
        let (loss, round_trip) = (0.05, Duration::from_millis(100));
        let alone = percentile_95(loss, round_trip, &[Duration::ZERO]);
        assert!(alone > Duration::from_secs(1), "{alone:?}");
        let both = percentile_95(loss, round_trip, &[Duration::ZERO, SECOND_ATTEMPT_DELAY]);
        assert!(both <= Duration::from_millis(450), "{both:?}");
    }

    #[test]
    fn the_address_that_connected_last_is_the_first_and_the_others_follow_as_before() {
        let addresses: Vec<SocketAddr> = ["[::1]:1", "[::1]:2", "1.1.1.1:3", "1.1.1.1:4"]
            .map(|text| text.parse().unwrap())
            .into();
        let with = |known| order(&with_known(&addresses, known, Duration::ZERO));
        assert_eq!(with("1.1.1.1:9".parse().unwrap()), [1, 3, 2, 4], "it is none of them any more");
        assert_eq!(with(addresses[0]), [1, 3, 2, 4]);
        assert_eq!(with(addresses[2]), [3, 1, 2, 4]);
        assert_eq!(with(addresses[3]), [4, 1, 3, 2]);
    }

    #[test]
    fn a_family_leaves_out_the_other_one() {
        let addresses = ["[::1]:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()];
        for (family, port) in [(AddressFamily::Ipv4, 2), (AddressFamily::Ipv6, 1)] {
            let route = Route { family, ..Route::default() };
            let race = HappyEyeballs::between(&addresses, &route, None, None);
            let ports: Vec<_> = race.waiting.iter().filter_map(SockAddr::as_socket).collect();
            assert_eq!(ports.iter().map(SocketAddr::port).collect::<Vec<_>>(), [port]);
        }
    }

    #[test]
    fn a_link_local_address_is_one_of_the_interface() {
        let route = Route { interface: Some("lo".into()), ..Route::default() };
        let addresses = ["[fe80::1]:1", "[fe80::1%7]:1", "[2001:db8::1]:1"];
        let addresses = addresses.map(|text| text.parse().unwrap());
        let race = HappyEyeballs::between(&addresses, &route, None, None);
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
        let mut race = HappyEyeballs::between(&[other, here], &route, None, None);
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
    fn a_socket_is_non_blocking_and_has_its_peer_probed_when_it_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let mut race = between(&[here]);
        assert!(race.open(&here.into()).unwrap().nonblocking().unwrap());
        let socket = run(&mut race, None).unwrap();
        let inside = socket.enter().unwrap();
        assert_eq!(inside.peer_address(), Some(here));
        assert_eq!(race.winner().map(|winner| winner.address), Some(here));
        assert_eq!(inside.keep_alive_time(), None);
        socket.begin_probes();
        assert_eq!(inside.keep_alive_time(), Some(Duration::from_secs(30)));
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
