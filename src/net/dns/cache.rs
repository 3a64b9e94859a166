//! The addresses of names, for a minute or for as long as the resolver says. The number of names is bounded; the least recently used one is
//! removed. Time is passed in.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Threads: a value.
#[derive(Default)]
pub(super) struct Cache {
    names: HashMap<String, Known>,
    /// Counts uses: the name with the smallest one was used least recently.
    uses: u64,
}

struct Known {
    addresses: Arc<[SocketAddr]>,
    /// `None`: until it is forgotten.
    until: Option<Instant>,
    used: u64,
}

impl Cache {
    pub(super) fn get(&mut self, host: &str, now: Instant) -> Option<Arc<[SocketAddr]>> {
        self.uses += 1;
        let known = self.names.get_mut(host)?;
        if known.is_over(now) {
            self.names.remove(host);
            return None;
        }
        known.used = self.uses;
        Some(Arc::clone(&known.addresses))
    }

    /// Keeps the addresses for that time; `None` is the default.
    pub(super) fn put(
        &mut self,
        host: &str,
        addresses: Arc<[SocketAddr]>,
        ttl: Option<Duration>,
        now: Instant,
    ) {
        let ttl = ttl.unwrap_or(TIME_TO_LIVE);
        if ttl.is_zero() {
            return self.remove(host);
        }
        if self.is_full_for(host) {
            self.names.retain(|_, known| !known.is_over(now));
        }
        if self.is_full_for(host) {
            let oldest = self.names.iter().min_by_key(|(_, known)| known.used);
            if let Some(oldest) = oldest.map(|(host, _)| host.clone()) {
                self.names.remove(&oldest);
            }
        }
        self.uses += 1;
        let known = Known { addresses, until: now.checked_add(ttl), used: self.uses };
        self.names.insert(host.to_owned(), known);
    }

    pub(super) fn remove(&mut self, host: &str) {
        self.names.remove(host);
    }

    pub(super) fn clear(&mut self) {
        self.names.clear();
    }

    fn is_full_for(&self, host: &str) -> bool {
        self.names.len() >= MAX_NAMES && !self.names.contains_key(host)
    }
}

impl Known {
    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// getaddrinfo(3) does not say how long a result is valid. Browsers keep it for a minute.
const TIME_TO_LIVE: Duration = Duration::from_secs(60);
const MAX_NAMES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Arc<[SocketAddr]> {
        Arc::from([SocketAddr::from(([127, 0, 0, 1], 0))])
    }

    #[test]
    fn the_least_recently_used_name_goes() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put("first", addresses(), None, now);
        for number in 1..=MAX_NAMES {
            cache.put(&number.to_string(), addresses(), None, now);
            assert!(cache.get("first", now).is_some());
        }
        assert_eq!(cache.names.len(), MAX_NAMES);
        assert!(cache.get("1", now).is_none() && cache.get("2", now).is_some());
    }

    #[test]
    fn a_name_is_known_for_as_long_as_the_resolver_says() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        let second = Duration::from_secs(1);
        cache.put("a", addresses(), Some(5 * second), now);
        assert!(cache.get("a", now + 4 * second).is_some());
        assert!(cache.get("a", now + 5 * second).is_none());
        cache.put("a", addresses(), Some(Duration::MAX), now);
        assert!(cache.get("a", now + 1_000_000 * second).is_some());
        cache.put("a", addresses(), Some(Duration::ZERO), now);
        assert!(cache.get("a", now).is_none() && cache.names.is_empty());
    }

    #[test]
    fn what_is_too_old_is_not_known_any_more_and_goes_first() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put("old", addresses(), None, now);
        let later = now + TIME_TO_LIVE;
        assert!(cache.get("old", later - Duration::from_millis(1)).is_some());
        assert!(cache.get("old", later).is_none());
        cache.put("old", addresses(), None, now);
        for number in 0..MAX_NAMES {
            cache.put(&number.to_string(), addresses(), None, later);
        }
        assert!((0..MAX_NAMES).all(|number| cache.get(&number.to_string(), later).is_some()));
    }
}
