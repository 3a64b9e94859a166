//! Idle connections in the order in which they became idle, all of them or those of one key: who is
//! used next, and who has to go first.

use std::collections::VecDeque;
use std::time::Instant;

/// Rows in the order of their stamps. Who is taken out of the middle leaves a dead row behind, until
/// those are the most; at the ends there is none.
#[derive(Debug, Default)]
pub(super) struct Ages {
    rows: VecDeque<Idle>,
    live: usize,
}

/// One idle connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Idle {
    /// 0 in a dead row.
    pub(super) id: u64,
    /// Unique, and higher than those before it.
    pub(super) stamp: u64,
    pub(super) since: Instant,
}

impl Ages {
    /// A connection is idle: the youngest, or one that was only looked at and keeps its place.
    pub(super) fn add(&mut self, idle: Idle) {
        self.live += 1;
        if self.rows.back().is_none_or(|last| last.stamp < idle.stamp) {
            return self.rows.push_back(idle);
        }
        match self.rows.binary_search_by_key(&idle.stamp, |row| row.stamp) {
            Ok(dead) => self.rows[dead] = idle,
            Err(at) => self.rows.insert(at, idle),
        }
    }

    /// The one with that stamp is not idle any more. Nearly always it is at one of the ends.
    pub(super) fn remove(&mut self, stamp: u64) {
        if self.rows.back().is_some_and(|row| row.stamp == stamp) {
            self.rows.pop_back();
            while self.rows.back().is_some_and(Idle::is_dead) {
                self.rows.pop_back();
            }
        } else if self.rows.front().is_some_and(|row| row.stamp == stamp) {
            self.rows.pop_front();
            while self.rows.front().is_some_and(Idle::is_dead) {
                self.rows.pop_front();
            }
        } else {
            let Ok(at) = self.rows.binary_search_by_key(&stamp, |row| row.stamp) else { return };
            self.rows[at].id = 0;
        }
        self.live -= 1;
        // Constant time for each that was taken out.
        if self.rows.len() > 2 * self.live + 64 {
            self.rows.retain(|row| !row.is_dead());
        }
    }

    pub(super) fn youngest(&self) -> Option<&Idle> {
        self.rows.back()
    }

    pub(super) fn oldest(&self) -> Option<&Idle> {
        self.rows.front()
    }

    /// All from that stamp on.
    pub(super) fn from(&self, stamp: u64) -> impl Iterator<Item = &Idle> {
        let start = self.rows.partition_point(|row| row.stamp < stamp);
        self.rows.range(start..).filter(|row| !row.is_dead())
    }

    pub(super) fn len(&self) -> usize {
        self.live
    }
}

impl Idle {
    fn is_dead(&self) -> bool {
        self.id == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_survives_whoever_is_taken_out() {
        let mut ages = Ages::default();
        let since = Instant::now();
        // Stamps have gaps: others have become idle in between.
        let all = 1..=300;
        all.clone().for_each(|id| ages.add(Idle { id, stamp: 10 * id, since }));
        let mut left: Vec<u64> = all.collect();
        // From the middle, from both ends, and so many that the dead rows are thrown away.
        for id in (100..200).chain(1..50).chain((250..=300).rev()).chain(60..100) {
            ages.remove(10 * id);
            left.retain(|other| *other != id);
            let ids: Vec<u64> = ages.from(0).map(|row| row.id).collect();
            assert_eq!((&ids, ages.len()), (&left, left.len()));
            let ends = (ages.oldest().map(|row| row.id), ages.youngest().map(|row| row.id));
            assert_eq!(ends, (left.first().copied(), left.last().copied()));
            if let Some(looked_at) = left.get(id as usize % left.len()) {
                ages.remove(10 * looked_at);
                ages.add(Idle { id: *looked_at, stamp: 10 * looked_at, since });
                assert_eq!(ages.from(0).map(|row| row.id).collect::<Vec<_>>(), left);
            }
        }
        assert!(ages.rows.len() <= 2 * ages.len() + 64);
        assert_eq!(ages.from(2001).next().map(|row| row.id), Some(201));
        ages.remove(1);
        for id in left {
            ages.remove(10 * id);
        }
        assert!(ages.len() == 0 && ages.rows.is_empty());
    }
}
