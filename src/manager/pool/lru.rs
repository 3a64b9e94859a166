//! Idle connections in the order of their last use: all of them, or those of one key. The newest is
//! reused first, the oldest is evicted first.

use std::collections::VecDeque;
use std::time::Instant;

/// Rows in the order of their sequence numbers. A row that is removed from the middle stays as a
/// dead one until those are the majority; the first and the last row are never dead.
#[derive(Debug, Default)]
pub(super) struct LruList {
    rows: VecDeque<IdleRow>,
    live: usize,
}

/// One idle connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdleRow {
    /// The connection; 0 in a dead row.
    pub(super) id: u64,
    /// Unique, and higher for a connection that became idle later.
    pub(super) seq: u64,
    pub(super) since: Instant,
}

impl LruList {
    /// Adds a connection that became idle: at the end, or at its old place after a probe.
    pub(super) fn add(&mut self, idle: IdleRow) {
        self.live += 1;
        if self.rows.back().is_none_or(|last| last.seq < idle.seq) {
            return self.rows.push_back(idle);
        }
        match self.rows.binary_search_by_key(&idle.seq, |row| row.seq) {
            Ok(dead) => self.rows[dead] = idle,
            Err(at) => self.rows.insert(at, idle),
        }
    }

    /// Removes the row with that number. Nearly always it is the first or the last one.
    pub(super) fn remove(&mut self, seq: u64) {
        if self.rows.back().is_some_and(|row| row.seq == seq) {
            self.rows.pop_back();
            while self.rows.back().is_some_and(IdleRow::is_dead) {
                self.rows.pop_back();
            }
        } else if self.rows.front().is_some_and(|row| row.seq == seq) {
            self.rows.pop_front();
            while self.rows.front().is_some_and(IdleRow::is_dead) {
                self.rows.pop_front();
            }
        } else {
            let Ok(at) = self.rows.binary_search_by_key(&seq, |row| row.seq) else { return };
            self.rows[at].id = 0;
        }
        self.live -= 1;
        // At most two thirds are dead, so that a removal takes constant time on average.
        if self.rows.len() > 2 * self.live + 64 {
            self.rows.retain(|row| !row.is_dead());
        }
    }

    pub(super) fn newest(&self) -> Option<&IdleRow> {
        self.rows.back()
    }

    /// All rows, the newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &IdleRow> {
        self.rows.iter().rev().filter(|row| !row.is_dead())
    }

    pub(super) fn oldest(&self) -> Option<&IdleRow> {
        self.rows.front()
    }

    /// The rows from that number on, oldest first.
    pub(super) fn iter_from(&self, seq: u64) -> impl Iterator<Item = &IdleRow> {
        let start = self.rows.partition_point(|row| row.seq < seq);
        self.rows.range(start..).filter(|row| !row.is_dead())
    }

    pub(super) fn len(&self) -> usize {
        self.live
    }

    pub(super) fn is_empty(&self) -> bool {
        self.live == 0
    }
}

impl IdleRow {
    fn is_dead(&self) -> bool {
        self.id == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_survives_removals_at_every_place() {
        let mut list = LruList::default();
        let since = Instant::now();
        // The numbers have gaps, as those of one key have.
        let all = 1..=300;
        all.clone().for_each(|id| list.add(IdleRow { id, seq: 10 * id, since }));
        let mut left: Vec<u64> = all.collect();
        // From the middle and from both ends, and so many that the dead rows are discarded.
        for id in (100..200).chain(1..50).chain((250..=300).rev()).chain(60..100) {
            list.remove(10 * id);
            left.retain(|other| *other != id);
            let ids: Vec<u64> = list.iter_from(0).map(|row| row.id).collect();
            assert_eq!((&ids, list.len()), (&left, left.len()));
            let ends = (list.oldest().map(|row| row.id), list.newest().map(|row| row.id));
            assert_eq!(ends, (left.first().copied(), left.last().copied()));
            if let Some(probed) = left.get(id as usize % left.len()) {
                list.remove(10 * probed);
                list.add(IdleRow { id: *probed, seq: 10 * probed, since });
                assert_eq!(list.iter_from(0).map(|row| row.id).collect::<Vec<_>>(), left);
            }
        }
        assert!(list.rows.len() <= 2 * list.len() + 64);
        assert_eq!(list.iter_from(2001).next().map(|row| row.id), Some(201));
        list.remove(1);
        for id in left {
            list.remove(10 * id);
        }
        assert!(list.is_empty() && list.rows.is_empty());
    }
}
