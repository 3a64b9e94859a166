//! What is remembered of the paths to hosts, for ten minutes: which address of a host connected last, and how long that
//! took; and the addresses to which only small segments get through.
//!
//! RFC 8305 section 4 recommends to prefer addresses that were used before, and to keep what is known of one network
//! interface apart from the others. The numbers of entries are bounded; the least recently used one is removed. Time is
//! passed in. Knows nothing of sockets.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::route::Route;

/// The paths of one manager. Threads: a value.
#[derive(Default)]
pub(crate) struct Paths {
    winners: Remembered<(HostKey, Source), Winner>,
    /// To these addresses large segments get lost.
    small: Remembered<(IpAddr, Source), ()>,
}

/// A host as it is connected to: its name in small letters, and a port.
pub(crate) type HostKey = (String, u16);

/// Where connections come from, as far as it was chosen: what is known of one network interface says nothing of
/// another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    pub(crate) local: Option<IpAddr>,
    pub(crate) interface: Option<Arc<str>>,
}

impl Source {
    /// Where the connections of a route come from.
    pub(crate) fn of(route: &Route) -> Self {
        Self { local: route.local, interface: route.interface.clone() }
    }
}

/// The address of a host that connected last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Winner {
    pub(crate) address: SocketAddr,
    /// From the SYN to its acknowledgement.
    pub(crate) took: Duration,
}

struct Remembered<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Counts uses: the entry with the smallest number was used least recently.
    uses: u64,
}

struct Entry<V> {
    value: V,
    until: Instant,
    used: u64,
}

impl Paths {
    /// The address of a host that connected last.
    pub(crate) fn winner(&mut self, of: &(HostKey, Source), now: Instant) -> Option<Winner> {
        self.winners.get(of, now).copied()
    }

    /// An address of a host connected. What was known of it already is not known for longer than before: an address
    /// that the resolver prefers is tried again after ten minutes, however often the host is dialled.
    pub(crate) fn connected(&mut self, of: (HostKey, Source), winner: Winner, now: Instant) {
        match self.winners.get(&of, now) {
            Some(known) if known.address == winner.address => *known = winner,
            _ => self.winners.put(of, winner, now),
        }
    }

    /// No address of a host could be connected to.
    pub(crate) fn failed(&mut self, of: &(HostKey, Source)) {
        self.winners.entries.remove(of);
    }

    /// The addresses of a host were changed by hand.
    pub(crate) fn forget_host(&mut self, host: &str) {
        self.winners.entries.retain(|((known, _), _), _| known != host);
    }

    /// Whether only small segments get through to an address.
    pub(crate) fn needs_small_segments(&mut self, to: IpAddr, from: &Source, now: Instant) -> bool {
        // Nearly always there is none, and nothing is copied for the question.
        !self.small.entries.is_empty() && self.small.get(&(to, from.clone()), now).is_some()
    }

    /// Large segments get lost on the way to an address.
    pub(crate) fn use_small_segments(&mut self, to: IpAddr, from: Source, now: Instant) {
        self.small.put((to, from), (), now);
    }

    pub(crate) fn clear(&mut self) {
        self.winners.entries.clear();
        self.small.entries.clear();
    }
}

impl<K: Clone + Eq + Hash, V> Remembered<K, V> {
    fn get(&mut self, key: &K, now: Instant) -> Option<&mut V> {
        if self.entries.get(key)?.until <= now {
            self.entries.remove(key);
            return None;
        }
        self.uses += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used = self.uses;
        Some(&mut entry.value)
    }

    fn put(&mut self, key: K, value: V, now: Instant) {
        if self.is_full_for(&key) {
            self.entries.retain(|_, entry| entry.until > now);
        }
        if self.is_full_for(&key) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.entries.remove(&oldest);
            }
        }
        self.uses += 1;
        self.entries.insert(key, Entry { value, until: now + TIME_TO_LIVE, used: self.uses });
    }

    fn is_full_for(&self, key: &K) -> bool {
        self.entries.len() >= MAX_ENTRIES && !self.entries.contains_key(key)
    }
}

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), uses: 0 }
    }
}

/// The largest segment that gets through where large ones get lost, in bytes without headers: what each host must take
/// if nothing else was agreed on (RFC 9293 section 3.7.1), so that no smaller one is worth a try. The packets are of 576 bytes,
/// which IPv4 reassembles everywhere (RFC 791), and of 1280, which each link of IPv6 carries (RFC 8200 section 5).
pub(crate) fn small_segment(peer: IpAddr) -> u32 {
    if peer.is_ipv4() { 536 } else { 1220 }
}

/// RFC 8201 section 4 recommends to wait for so long before larger packets are tried again.
const TIME_TO_LIVE: Duration = Duration::from_secs(600);
const MAX_ENTRIES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> (HostKey, Source) {
        ((name.to_owned(), 80), Source::default())
    }

    fn winner(last: u8, ms: u64) -> Winner {
        let address = SocketAddr::from(([127, 0, 0, last], 80));
        Winner { address, took: Duration::from_millis(ms) }
    }

    #[test]
    fn a_winner_is_known_for_ten_minutes_however_often_it_wins() {
        let (mut paths, now) = (Paths::default(), Instant::now());
        paths.connected(host("a"), winner(1, 20), now);
        paths.connected(host("a"), winner(1, 30), now + TIME_TO_LIVE / 2);
        let late = now + TIME_TO_LIVE - Duration::from_millis(1);
        assert_eq!(paths.winner(&host("a"), late), Some(winner(1, 30)));
        assert_eq!(paths.winner(&host("a"), now + TIME_TO_LIVE), None);
        // Another one that wins is known from then on.
        paths.connected(host("a"), winner(1, 20), now);
        paths.connected(host("a"), winner(2, 20), late);
        assert_eq!(paths.winner(&host("a"), late + TIME_TO_LIVE / 2), Some(winner(2, 20)));
    }

    #[test]
    fn what_failed_or_was_changed_is_forgotten_and_the_rest_is_not() {
        let (mut paths, now) = (Paths::default(), Instant::now());
        for name in ["a", "b", "c"] {
            paths.connected(host(name), winner(1, 20), now);
        }
        paths.failed(&host("a"));
        paths.forget_host("b");
        assert_eq!(paths.winner(&host("a"), now), None);
        assert_eq!(paths.winner(&host("b"), now), None);
        assert!(paths.winner(&host("c"), now).is_some());
        paths.clear();
        assert_eq!(paths.winner(&host("c"), now), None);
    }

    #[test]
    fn interfaces_and_local_addresses_are_kept_apart() {
        let (mut paths, now) = (Paths::default(), Instant::now());
        let through = |name: &str| Source { interface: Some(name.into()), local: None };
        let from = Source { interface: None, local: Some([127, 0, 0, 1].into()) };
        let (key, to) = (("a".to_owned(), 80), IpAddr::from([10, 0, 0, 1]));
        paths.connected((key.clone(), through("eth0")), winner(1, 20), now);
        paths.use_small_segments(to, through("eth0"), now);
        for other in [through("eth1"), from, Source::default()] {
            assert_eq!(paths.winner(&(key.clone(), other.clone()), now), None);
            assert!(!paths.needs_small_segments(to, &other, now));
        }
        assert!(paths.winner(&(key, through("eth0")), now).is_some());
        assert!(paths.needs_small_segments(to, &through("eth0"), now));
        assert!(!paths.needs_small_segments(to, &through("eth0"), now + TIME_TO_LIVE));
    }

    #[test]
    fn the_least_recently_used_one_goes() {
        let (mut paths, now) = (Paths::default(), Instant::now());
        paths.connected(host("first"), winner(1, 20), now);
        for number in 1..=MAX_ENTRIES {
            paths.connected(host(&number.to_string()), winner(1, 20), now);
            assert!(paths.winner(&host("first"), now).is_some());
        }
        assert_eq!(paths.winners.entries.len(), MAX_ENTRIES);
        assert_eq!(paths.winner(&host("1"), now), None);
        assert!(paths.winner(&host("2"), now).is_some());
    }
}
