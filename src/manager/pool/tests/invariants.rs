//! What is always so in the pool's state, written down as a check. For tests: it looks at everything.

use std::collections::{BTreeMap, BTreeSet};

use super::super::state::{Entry, Stage, State};

impl State {
    /// Panics if something is not as it must be between two critical sections.
    pub(super) fn check(&self) {
        self.check_slots();
        self.check_idle();
        self.check_waiters();
        self.check_lines();
        let open = self.connections().count() as u64;
        assert_eq!(self.counters.opened, self.counters.closed + open, "{:?}", self.counters);
    }

    /// Every slot belongs to an entry, or to something that is about to go.
    fn check_slots(&self) {
        let count = |lines: &BTreeSet<usize>| {
            let of = |line: usize| lines.contains(&line);
            let entries = self.entries.values().filter(|entry| of(entry.slot.line())).count();
            entries + self.parting.values().filter(|slot| of(slot.line())).count()
        };
        for (index, line) in &self.lines {
            let falling = self.groups[line.group].falling;
            assert!(
                line.open >= count(&[index].into())
                    && line.open <= count(&[index].into()) + falling
            );
        }
        for (_, group) in &self.groups {
            let lines: BTreeSet<usize> = group.lines.iter().copied().collect();
            let open: usize = lines.iter().map(|line| self.lines[*line].open).sum();
            assert_eq!(group.open, open);
            let parting = self.parting.values().filter(|slot| lines.contains(&slot.line())).count();
            assert_eq!(group.open, count(&lines) + group.falling - parting);
        }
        assert_eq!(self.open, self.groups.iter().map(|(_, group)| group.open).sum::<usize>());
        assert_eq!(self.falling, self.groups.iter().map(|(_, group)| group.falling).sum::<usize>());
    }

    /// The rows of `by_age`, the lines and the entries tell of the same idle connections in the
    /// same order.
    fn check_idle(&self) {
        let stamps: Vec<u64> = self.ages.from(0).map(|row| row.stamp).collect();
        assert!(stamps.is_sorted_by(|a, b| a < b), "{stamps:?}");
        let by_age: Vec<u64> = self.ages.from(0).map(|row| row.id).collect();
        for row in self.ages.from(0) {
            assert_eq!(self.idle_since(row.id, row.stamp), Some(row.since));
        }
        let is_idle = |stage: &Stage| matches!(stage, Stage::Idle { .. });
        let idle = self.entries.values().filter(|entry| is_idle(&entry.stage)).count();
        assert_eq!((by_age.len(), self.ages.len()), (idle, idle));
        for (index, line) in &self.lines {
            let of_line = |id: &&u64| self.entries[*id].slot.line() == index;
            let expected: Vec<u64> = by_age.iter().filter(of_line).copied().collect();
            assert_eq!(line.idle.from(0).map(|row| row.id).collect::<Vec<_>>(), expected);
        }
        for (_, group) in &self.groups {
            let idle: usize = group.lines.iter().map(|line| self.lines[*line].idle.len()).sum();
            assert_eq!(group.idle, idle);
            assert!(idle <= self.limits.idle_per_origin);
        }
        assert!(idle <= self.limits.idle_total);
        if self.closed.is_some() {
            assert_eq!(idle, 0, "nobody will ever take it");
        }
    }

    /// Who waits is where it belongs, and nobody waits for what is there.
    fn check_waiters(&self) {
        let mut blocked = BTreeSet::new();
        let mut hungry = BTreeMap::new();
        for (index, group) in &self.groups {
            blocked.extend(group.blocked.iter().copied());
            assert!(group.blocked.iter().all(|ticket| self.group_of(*ticket) == index));
            if let Some(first) = group.blocked.first()
                && group.open < self.limits.per_origin
            {
                hungry.insert(*first, index);
            }
        }
        assert_eq!((self.queued, &self.hungry), (blocked.len(), &hungry));
        let is_live = |ticket: &u64| self.waiters[ticket].control.cause().is_none();
        if self.closed.is_none() {
            let served = hungry.keys().all(|ticket| !is_live(ticket));
            assert!(served || self.open >= self.limits.total, "a slot that nobody is given");
            assert!(served || self.ages.len() == 0 || self.falling > 0, "nobody makes room");
        }
        for (ticket, waiter) in &self.waiters {
            let line = &self.lines[waiter.line];
            assert_eq!(line.takers.contains(ticket), !waiter.fresh);
            assert!(!waiter.fresh || blocked.contains(ticket) || !is_live(ticket));
            if is_live(ticket) && !waiter.fresh {
                assert!(line.idle.len() == 0, "it waits, and there is one");
            }
            if is_live(ticket) && !blocked.contains(ticket) && !line.promised.contains(ticket) {
                assert!(waiter.dial.is_some(), "it waits for nothing");
            }
        }
    }

    fn group_of(&self, ticket: u64) -> usize {
        self.lines[self.waiters[&ticket].line].group
    }

    /// There is a line for each key that somebody needs, and a group for each origin, and no more.
    fn check_lines(&self) {
        assert_eq!((self.keys.len(), self.origins.len()), (self.lines.len(), self.groups.len()));
        for (index, line) in &self.lines {
            let waiting = self.waiters.values().filter(|waiter| waiter.line == index).count();
            assert_eq!(line.waiting, waiting);
            let ahead = |entry: &&Entry| entry.ahead && entry.slot.line() == index;
            assert_eq!(line.ahead, self.entries.values().filter(ahead).count());
            assert!(line.promised.len() <= line.ahead, "waits for a dial that is none");
            assert!(line.promised.is_subset(&line.takers));
            assert!(line.open > 0 || waiting > 0, "a line that nobody needs");
            assert_eq!(self.keys.get(&line.key), Some(&index));
            assert_eq!(self.origins.get(&line.key.origin), Some(&line.group));
            assert!(self.groups[line.group].lines.contains(&index));
        }
        let lines: usize = self.groups.iter().map(|(_, group)| group.lines.len()).sum();
        assert_eq!(lines, self.lines.len());
    }

    /// Nothing is left of anything.
    pub(super) fn assert_empty(&self) {
        self.check();
        assert!(self.entries.is_empty() && self.parting.is_empty() && self.waiters.is_empty());
        assert!(self.lines.is_empty() && self.groups.is_empty() && self.hungry.is_empty());
        assert_eq!((self.open, self.falling, self.queued, self.ages.len()), (0, 0, 0, 0));
        assert!(self.drains.is_empty());
    }
}
