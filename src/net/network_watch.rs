//! Notices when the network of the machine changes: an address went or came, or the default route is another one.
//! One listener serves all managers of a process.
//!
//! It has no thread. The sweep over idle connections and each dial ask it whether something was heard, which costs
//! one system call. What was heard is no more than a reason to compare the addresses with those of before, so that
//! what is undone at once is no change, and lost messages do no harm. It listens while any connection is idle.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::sys::{self, Heard, LocalAddress, RouteSocket};
use crate::process::PerProcess;
use crate::runtime::on_thread_stack;

/// A manager, which is called when the network has changed.
pub(crate) trait NetworkUser: Send + Sync {
    /// Whether it is to be called.
    fn wants_changes(&self) -> bool;

    /// Whether it is to be called, and has idle connections, which may be lost unnoticed.
    fn needs_changes(&self) -> bool;

    fn network_changed(&self, change: &NetworkChange);
}

/// How the network differs from before. Threads: immutable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NetworkChange {
    /// A name may have other addresses now, and other ways may lead to them.
    pub(crate) is_other_network: bool,
    /// Sorted.
    gone: Vec<IpAddr>,
    /// The addresses that there are now, if it was not listened until now. Sorted.
    unheard: Option<Vec<LocalAddress>>,
}

impl NetworkChange {
    /// Whether this, from which there is a connection, is no address of the machine any more. May ask the system.
    pub(crate) fn is_gone(&self, local: IpAddr) -> bool {
        let local = local.to_canonical();
        let is_unknown = |now: &Vec<LocalAddress>| {
            !local.is_loopback() && !is_among(local, now) && !can_be_bound(local)
        };
        self.gone.binary_search(&local).is_ok() || self.unheard.as_ref().is_some_and(is_unknown)
    }

    /// Whether it was not listened until now, so that an address that is gone is all that is known of the change.
    pub(crate) fn is_unheard(&self) -> bool {
        self.unheard.is_some()
    }

    /// The same if it was not listened until now: an address may have come and gone that was never known.
    fn unheard(change: Option<Self>, now: &[LocalAddress]) -> Self {
        let unheard = Some(now.to_vec());
        match change {
            Some(change) => Self { unheard, ..change },
            None => Self { is_other_network: false, gone: Vec::new(), unheard },
        }
    }

    /// `None` if nothing has changed that matters. The lists are sorted.
    fn between(before: &[LocalAddress], now: &[LocalAddress], heard: Heard) -> Option<Self> {
        // All of 127.0.0.0/8 is local as long as any address of it is.
        let lost = before.iter().map(|address| address.ip).filter(|ip| !ip.is_loopback());
        let gone: Vec<IpAddr> = lost.filter(|ip| !is_among(*ip, now)).collect();
        let is_other_network = heard.default_route || outer(before) != outer(now);
        let is_change = is_other_network || !gone.is_empty();
        is_change.then_some(Self { is_other_network, gone, unheard: None })
    }
}

/// Whether the system would choose another local address for a connection to that peer now. `false` if it knows no way to
/// it, because that may be back soon.
pub(crate) fn leads_elsewhere(local: IpAddr, peer: SocketAddr) -> bool {
    // To connect a socket of UDP sends nothing: it only chooses the way.
    let chosen = || {
        let socket = Socket::new(Domain::for_address(peer), Type::DGRAM, None)?;
        socket.connect(&peer.into())?;
        socket.local_addr()
    };
    let chosen = chosen().ok().and_then(|address| address.as_socket());
    chosen.is_some_and(|chosen| chosen.ip().to_canonical() != local.to_canonical())
}

/// Tells `user` of all changes from now on. For a manager that is about to dial for the first time in this process.
pub(crate) fn join(user: Weak<dyn NetworkUser>) {
    lock(&watch().users).push(user);
}

/// Tells the users what has changed, and listens from now on. For a sweep that leaves idle connections. Doesn't wait, but
/// is no work for the thread of a request.
pub(crate) fn listen() {
    watch().look(true);
}

/// Tells the users what has changed, if it has listened before. For a dial. Doesn't wait.
pub(crate) fn look() {
    watch().look(false);
}

/// Whether it was looked less than a [`MOMENT`] before that time, and nothing was heard of a change.
pub(crate) fn has_just_looked(now: Instant) -> bool {
    watch().has_just_looked(now)
}

/// A user is gone, wants no changes any more, or has no idle connections: if no other one has any, the socket is closed.
pub(crate) fn leave() {
    let watch = watch();
    let users = watch.users();
    let mut listening = lock(&watch.listening);
    if !users.iter().any(|user| user.needs_changes())
        && let Listening::Yes { addresses, .. } = &mut *listening
    {
        let paused = Listening::not(Some(std::mem::take(addresses)));
        drop(watch.set(&mut listening, paused));
    }
}

struct Watch {
    users: Mutex<Vec<Weak<dyn NetworkUser>>>,
    listening: Mutex<Listening>,
    /// The socket's descriptor, for the child of a fork; -1 for none.
    descriptor: AtomicI32,
    begin: Instant,
    /// When a look found no change, in nanoseconds since the beginning; 0 for never, and while it does not listen.
    looked: AtomicU64,
}

enum Listening {
    Yes {
        socket: RouteSocket,
        /// When something was heard last. Sorted.
        addresses: Vec<LocalAddress>,
    },
    No {
        /// The addresses of the time when it listened. Sorted.
        known: Option<Vec<LocalAddress>>,
        /// The system refused: when to try again.
        refused_until: Option<Instant>,
        /// The addresses were compared without listening: when to do that again.
        compared_until: Option<Instant>,
    },
}

/// The child of a fork listens with a socket of its own: two readers of one would take each other's messages.
fn watch() -> &'static Watch {
    static WATCH: PerProcess<Watch> = PerProcess::new();
    WATCH.get(|parents| {
        let inherited =
            parents.map_or(NONE, |parents| parents.descriptor.swap(NONE, Ordering::SeqCst));
        if inherited != NONE {
            sys::close_inherited(inherited);
        }
        Watch::new()
    })
}

impl Watch {
    fn new() -> Self {
        Self {
            users: Mutex::default(),
            listening: Mutex::new(Listening::not(None)),
            descriptor: AtomicI32::new(NONE),
            begin: Instant::now(),
            looked: AtomicU64::new(0),
        }
    }

    fn has_just_looked(&self, now: Instant) -> bool {
        let (looked, now) = (self.looked.load(Ordering::Relaxed), self.nanos(now));
        looked != 0 && now >= looked && u128::from(now - looked) < MOMENT.as_nanos()
    }

    fn nanos(&self, now: Instant) -> u64 {
        let nanos = now.saturating_duration_since(self.begin).as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    fn look(&self, begin: bool) {
        // Before the socket is read: what comes behind this time is heard by the next look.
        let now = Instant::now();
        let mut listening = match self.listening.try_lock() {
            Ok(listening) => listening,
            Err(TryLockError::Poisoned(listening)) => listening.into_inner(),
            // Another thread is about to tell.
            Err(TryLockError::WouldBlock) => return,
        };
        let heard = match &*listening {
            Listening::Yes { socket, .. } => socket.read(),
            Listening::No { known, refused_until, compared_until } => {
                let waits = |until: Option<Instant>| until.is_some_and(|at| Instant::now() < at);
                let until = if begin { *refused_until } else { *compared_until };
                if waits(until) || !begin && known.is_none() {
                    return;
                }
                Ok(Heard::UNKNOWN)
            }
        };
        match heard {
            Ok(heard) if heard.is_nothing() => {
                self.looked.store(self.nanos(now), Ordering::Relaxed);
            }
            // What follows needs much stack.
            Ok(heard) => on_thread_stack(|| self.compare(listening, heard, begin)),
            Err(_) => drop(self.set(&mut listening, Listening::refused(None))),
        }
    }

    /// Compares the addresses with those of before, and tells the users of a difference. If it does not listen, it begins
    /// to, or not (`begin`).
    #[inline(never)]
    fn compare(&self, mut listening: MutexGuard<'_, Listening>, heard: Heard, begin: bool) {
        let users = self.users();
        let (before, socket) = match &mut *listening {
            Listening::Yes { addresses, .. } => (Some(std::mem::take(addresses)), None),
            // Under the lock: a user that leaves finds the socket open, or is not counted here.
            Listening::No { known, .. }
                if begin && users.iter().any(|user| user.needs_changes()) =>
            {
                (known.take(), Some(RouteSocket::open()))
            }
            Listening::No { known, .. } => (known.take(), None),
        };
        // After the socket was opened, so that no change is between the two.
        let now = sys::local_addresses();
        // If the system does not say which addresses there are, those of before count.
        let change = match (&before, &now) {
            (Some(before), Ok(now)) => NetworkChange::between(before, now, heard),
            _ => None,
        };
        let change = match &now {
            Ok(now) if socket.is_some() => Some(NetworkChange::unheard(change, now)),
            _ => change,
        };
        let known = now.ok().or(before);
        let next = match (socket, &mut *listening) {
            (Some(Ok(socket)), _) => {
                Some(Listening::Yes { socket, addresses: known.unwrap_or_default() })
            }
            // It is tried again as soon as there may be a descriptor.
            (Some(Err(error)), _) if sys::is_exhaustion(&error) => Some(Listening::not(known)),
            (Some(Err(_)), _) => Some(Listening::refused(known)),
            (None, Listening::Yes { addresses, .. }) => {
                *addresses = known.unwrap_or_default();
                None
            }
            (None, Listening::No { refused_until, .. }) => {
                let (refused_until, again) = (*refused_until, Instant::now() + COMPARED);
                Some(Listening::No { known, refused_until, compared_until: Some(again) })
            }
        };
        if let Some(next) = next {
            drop(self.set(&mut listening, next));
        }
        drop(listening);
        if let Some(change) = change {
            let wanting = users.iter().filter(|user| user.wants_changes());
            wanting.for_each(|user| user.network_changed(&change));
        }
    }

    /// Returns what was there before, to be dropped.
    fn set(&self, listening: &mut Listening, to: Listening) -> Listening {
        let number = match &to {
            Listening::Yes { socket, .. } => socket.number(),
            Listening::No { .. } => NONE,
        };
        // Before the old socket is closed: a child that is forked in between must not close another file.
        self.descriptor.store(number, Ordering::SeqCst);
        self.looked.store(0, Ordering::Relaxed);
        std::mem::replace(listening, to)
    }

    /// The users that there are. The result must be dropped without a lock: the last share of a user [`leave`]s.
    fn users(&self) -> Vec<Arc<dyn NetworkUser>> {
        let mut users = lock(&self.users);
        users.retain(|user| user.strong_count() > 0);
        users.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Listening {
    /// It may listen at any time.
    fn not(known: Option<Vec<LocalAddress>>) -> Self {
        Self::No { known, refused_until: None, compared_until: None }
    }

    /// The system permits no such socket.
    fn refused(known: Option<Vec<LocalAddress>>) -> Self {
        let again = Instant::now() + AGAIN;
        Self::No { known, refused_until: Some(again), compared_until: None }
    }
}

/// `list` is sorted.
fn is_among(ip: IpAddr, list: &[LocalAddress]) -> bool {
    list.binary_search_by_key(&ip, |address| address.ip).is_ok()
}

/// Whether an address is one of this machine without being one of an interface: a whole network may be local (ip-route(8),
/// type "local").
fn can_be_bound(ip: IpAddr) -> bool {
    let any_port = SocketAddr::new(ip, 0);
    let bind =
        || Socket::new(Domain::for_address(any_port), Type::DGRAM, None)?.bind(&any_port.into());
    // Another failure says nothing about the address.
    !matches!(bind(), Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable)
}

/// The addresses by which the machine is part of a network. A container's interface has one of its own link at most.
fn outer(addresses: &[LocalAddress]) -> BTreeSet<IpAddr> {
    let is_outer = |address: &&LocalAddress| {
        let is_link_local = match address.ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        !address.on_loopback && !is_link_local
    };
    addresses.iter().filter(is_outer).map(|address| address.ip).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// No descriptor.
const NONE: i32 = -1;
/// When it is tried again to listen, after the system refused.
const AGAIN: Duration = Duration::from_secs(60);
/// How old a look may be before a request that can't be sent again: less than most networks take to lose its packets.
const MOMENT: Duration = Duration::from_millis(1);
/// How long no other dial compares the addresses after one has, while it does not listen.
const COMPARED: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ip: &str) -> LocalAddress {
        let ip: IpAddr = ip.parse().unwrap();
        LocalAddress { ip, on_loopback: ip.is_loopback() }
    }

    fn sorted(list: &[LocalAddress]) -> Vec<LocalAddress> {
        let mut list = list.to_vec();
        list.sort_unstable();
        list
    }

    #[test]
    fn a_look_is_as_good_as_another_one_for_a_moment() {
        let watch = Watch::new();
        let at = |nanos: u64| watch.begin + Duration::from_nanos(nanos);
        assert!(!watch.has_just_looked(at(0)) && !watch.has_just_looked(at(5)), "it never looked");
        watch.looked.store(watch.nanos(at(1_000_000)), Ordering::Relaxed);
        for (now, has) in
            [(0, false), (999_999, false), (1_000_000, true), (1_999_999, true), (2_000_000, false)]
        {
            assert_eq!(watch.has_just_looked(at(now)), has, "{now}");
        }
        let not = Listening::not(None);
        drop(watch.set(&mut lock(&watch.listening), not));
        assert!(!watch.has_just_looked(at(1_000_000)), "it listens no more");
    }

    const ADDRESSES: Heard = Heard { addresses: true, default_route: false };

    #[test]
    fn a_change_is_what_differs_and_not_what_was_heard() {
        let home = sorted(&[at("127.0.0.1"), at("::1"), at("192.0.2.7"), at("fe80::1")]);
        assert_eq!(NetworkChange::between(&home, &home, ADDRESSES), None);

        let moved = sorted(&[at("127.0.0.1"), at("::1"), at("198.51.100.4"), at("fe80::1")]);
        let change = NetworkChange::between(&home, &moved, ADDRESSES).unwrap();
        assert!(change.is_other_network);
        assert!(change.is_gone("192.0.2.7".parse().unwrap()));
        assert!(change.is_gone("::ffff:192.0.2.7".parse().unwrap()), "IPv4 on a socket of IPv6");
        assert!(!change.is_gone("127.0.0.1".parse().unwrap()));
        assert!(!change.is_gone("198.51.100.4".parse().unwrap()));

        // Another default route: names may mean other addresses, but no connection is lost by that.
        let routed = Heard { addresses: false, default_route: true };
        let change = NetworkChange::between(&home, &home, routed).unwrap();
        assert!(change.is_other_network && !change.is_gone("192.0.2.7".parse().unwrap()));
    }

    #[test]
    fn what_went_unheard_is_gone_but_not_what_the_machine_has() {
        let change = NetworkChange::unheard(None, &sorted(&[at("127.0.0.1"), at("192.0.2.7")]));
        assert!(!change.is_other_network);
        // An address of documentation (RFC 5737) is none of this machine; all of 127.0.0.0/8 is.
        for (ip, is_gone) in [("192.0.2.8", true), ("192.0.2.7", false), ("127.1.2.3", false)] {
            assert_eq!(change.is_gone(ip.parse().unwrap()), is_gone, "{ip}");
        }
    }

    #[test]
    fn addresses_of_loopback_and_of_links_are_no_network() {
        let before = sorted(&[at("127.0.0.1"), at("192.0.2.7")]);
        let alias = LocalAddress { ip: [10, 9, 8, 7].into(), on_loopback: true };
        for more in [alias, at("127.1.2.3"), at("fe80::2"), at("169.254.7.7")] {
            let now = sorted(&[at("127.0.0.1"), at("192.0.2.7"), more]);
            assert_eq!(NetworkChange::between(&before, &now, ADDRESSES), None, "{more:?}");
            // Its own connections are lost with it, but those of 127.0.0.0/8 are not.
            let back = NetworkChange::between(&now, &before, ADDRESSES);
            let gone = back.is_some_and(|change| {
                assert!(!change.is_other_network);
                change.is_gone(more.ip)
            });
            assert_eq!(gone, !more.ip.is_loopback(), "{more:?}");
        }
    }
}
