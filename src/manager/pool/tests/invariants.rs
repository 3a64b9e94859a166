//! The invariants of the pool's state between two critical sections, as one check for tests. It
//! walks through everything.

use std::collections::{BTreeMap, BTreeSet};

use super::super::entry::{Entry, Stage, StageCounts};
use super::super::state::{OriginEntry, State};

impl State {
    /// Panics if an invariant is violated.
    pub(super) fn check(&self) {
        self.check_stages();
        self.check_slots();
        self.check_idle();
        self.check_waiters();
        self.check_keys();
        let open = self.connections().count() as u64;
        assert_eq!(self.counters.opened, self.counters.closed + open, "{:?}", self.counters);
    }

    /// The counters are those of a recount, and so are the times of expiry.
    fn check_stages(&self) {
        let mut counts = StageCounts::default();
        let mut expiries = BTreeSet::new();
        for entry in self.entries.values() {
            assert!(!matches!(entry.stage(), Stage::Taken), "{entry:?}");
            counts.enter(entry.stage());
            expiries.extend(entry.expires.map(|at| (at, entry.record.id)));
        }
        assert_eq!(self.entries.counts(), counts);
        assert_eq!(self.expiries.rows(), &expiries);
        assert!(self.watch.is_none() || self.open > 0, "a descriptor for nothing");
    }

    /// Every slot belongs to an entry, or to a connection that is about to be closed.
    fn check_slots(&self) {
        let count = |key_ids: &BTreeSet<usize>| {
            let of = |key_id: usize| key_ids.contains(&key_id);
            let entries = self.entries.values().filter(|entry| of(entry.slot.key_id())).count();
            entries + self.closing_dials.values().filter(|slot| of(slot.key_id())).count()
        };
        for (key_id, key) in &self.keys {
            let closing = self.origins[key.origin_id].closing;
            let counted = count(&[key_id].into());
            assert!(key.open >= counted && key.open <= counted + closing);
        }
        for (_, origin) in &self.origins {
            let key_ids: BTreeSet<usize> = origin.key_ids.iter().copied().collect();
            let open: usize = key_ids.iter().map(|key_id| self.keys[*key_id].open).sum();
            assert_eq!(origin.open, open);
            let dials = self.closing_dials.values();
            let dials = dials.filter(|slot| key_ids.contains(&slot.key_id())).count();
            assert_eq!(origin.open, count(&key_ids) + origin.closing - dials);
        }
        let sum = |of: fn(&OriginEntry) -> usize| {
            self.origins.iter().map(|(_, origin)| of(origin)).sum::<usize>()
        };
        assert_eq!(self.open, sum(|origin| origin.open));
        assert_eq!(self.closing, sum(|origin| origin.closing));
    }

    /// The lists of idle connections (of all, and of each key) and the entries agree, in the same
    /// order.
    fn check_idle(&self) {
        let seqs: Vec<u64> = self.idle.iter_from(0).map(|row| row.seq).collect();
        assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
        let by_age: Vec<u64> = self.idle.iter_from(0).map(|row| row.id).collect();
        for row in self.idle.iter_from(0) {
            assert_eq!(self.idle_since(row.id, row.seq), Some(row.since));
        }
        let is_idle = |stage: &Stage| matches!(stage, Stage::Idle { .. });
        let idle = self.entries.values().filter(|entry| is_idle(entry.stage())).count();
        assert_eq!((by_age.len(), self.idle.len()), (idle, idle));
        for (key_id, key) in &self.keys {
            let of_key = |id: &&u64| self.entries.get(**id).unwrap().slot.key_id() == key_id;
            let expected: Vec<u64> = by_age.iter().filter(of_key).copied().collect();
            assert_eq!(key.idle.iter_from(0).map(|row| row.id).collect::<Vec<_>>(), expected);
        }
        for (_, origin) in &self.origins {
            let idle: usize =
                origin.key_ids.iter().map(|key_id| self.keys[*key_id].idle.len()).sum();
            assert_eq!(origin.idle, idle);
            assert!(idle <= self.limits.idle_per_origin);
        }
        assert!(idle <= self.limits.idle_total);
        if self.closed.is_some() {
            assert_eq!(idle, 0, "a closed pool gives no leases, so idle connections are useless");
        }
    }

    /// Each waiter is in the lists where it belongs, and waits for nothing that is available.
    fn check_waiters(&self) {
        let mut slot_waiters = BTreeSet::new();
        let mut waiting_origins = BTreeMap::new();
        for (origin_id, origin) in &self.origins {
            slot_waiters.extend(origin.slot_waiters.iter().copied());
            assert!(origin.port_limit.is_none() || !origin.slot_waiters.is_empty());
            assert!(origin.slot_waiters.iter().all(|ticket| self.origin_of(*ticket) == origin_id));
            if let Some(first) = origin.slot_waiters.first()
                && origin.open < origin.limit(&self.limits)
            {
                waiting_origins.insert(*first, origin_id);
            }
        }
        assert_eq!((self.queued, &self.waiting_origins), (slot_waiters.len(), &waiting_origins));
        let is_live = |ticket: &u64| self.waiters[ticket].control.cause().is_none();
        if self.closed.is_none() {
            let served = waiting_origins.keys().all(|ticket| !is_live(ticket));
            assert!(served || self.open >= self.limits.total, "a free slot, and a waiter for one");
            assert!(served || self.idle.is_empty() || self.closing > 0, "no idle one makes room");
        }
        for (ticket, waiter) in &self.waiters {
            let key = &self.keys[waiter.key_id];
            assert_eq!(key.reuse_waiters.contains(ticket), !waiter.fresh);
            assert!(!waiter.fresh || slot_waiters.contains(ticket) || !is_live(ticket));
            if is_live(ticket) && !waiter.fresh {
                assert!(key.idle.is_empty(), "it waits, and there is an idle connection");
            }
            if is_live(ticket) && !slot_waiters.contains(ticket) && !key.promised.contains(ticket) {
                assert!(waiter.dial.is_some(), "it waits for nothing");
            }
        }
    }

    fn origin_of(&self, ticket: u64) -> usize {
        self.keys[self.waiters[&ticket].key_id].origin_id
    }

    /// There is one entry for each key and each origin in use, and no other.
    fn check_keys(&self) {
        assert_eq!(
            (self.key_index.len(), self.origin_index.len()),
            (self.keys.len(), self.origins.len())
        );
        for (key_id, key) in &self.keys {
            let waiting = self.waiters.values().filter(|waiter| waiter.key_id == key_id).count();
            assert_eq!(key.waiting, waiting);
            let background = |entry: &&Entry| entry.background && entry.slot.key_id() == key_id;
            assert_eq!(key.background_dials, self.entries.values().filter(background).count());
            assert!(key.promised.len() <= key.background_dials, "it waits for no existing dial");
            assert!(key.promised.is_subset(&key.reuse_waiters));
            assert!(key.open > 0 || waiting > 0, "an unused key");
            assert_eq!(self.key_index.get(&key.key), Some(&key_id));
            assert_eq!(self.origin_index.get(&key.key.origin), Some(&key.origin_id));
            assert!(self.origins[key.origin_id].key_ids.contains(&key_id));
        }
        let keys: usize = self.origins.iter().map(|(_, origin)| origin.key_ids.len()).sum();
        assert_eq!(keys, self.keys.len());
    }

    /// Panics if a connection, a waiter or a key is left.
    pub(super) fn assert_empty(&self) {
        self.check();
        assert!(self.entries.len() == 0 && self.closing_dials.is_empty());
        assert!(self.expiries.rows().is_empty() && self.watch.is_none());
        assert!(self.waiters.is_empty() && self.waiting_origins.is_empty());
        assert!(self.keys.is_empty() && self.origins.is_empty());
        assert_eq!((self.open, self.closing, self.queued, self.idle.len()), (0, 0, 0, 0));
        assert!(self.drains.is_empty());
    }
}
