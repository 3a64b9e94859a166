//! The deadlines of fibers: a heap with at most a few entries for each slot of a fiber.
//!
//! Almost no deadline comes: most are a minute away, and the wait takes a millisecond. So no entry is removed.
//! A slot whose entry is early enough gets no new one, and when an entry expires too early, the caller looks
//! what the fiber waits for by then.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Threads: a part of one.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, usize)>>,
    /// When the entry of each slot expires; its other entries in the heap are stale.
    set: Vec<Option<Instant>>,
}

impl Timers {
    /// The slot expires at that time, or earlier.
    pub(super) fn set(&mut self, index: usize, at: Instant) {
        if self.set.len() <= index {
            self.set.resize(index + 1, None);
        }
        if self.set[index].is_none_or(|earlier| at < earlier) {
            self.set[index] = Some(at);
            self.heap.push(Reverse((at, index)));
        }
    }

    /// Removes and returns a slot that has expired.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<usize> {
        while let Some(Reverse((at, index))) = self.heap.peek().copied()
            && at <= now
        {
            self.heap.pop();
            if self.set[index] == Some(at) {
                self.set[index] = None;
                return Some(index);
            }
        }
        None
    }

    /// When the first entry expires.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_slot_expires_in_time_and_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        timers.set(1, at(60));
        timers.set(0, at(30));
        // An earlier time replaces the entry, a later one does not.
        timers.set(1, at(10));
        timers.set(1, at(50));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop_expired(at(9)), None);
        assert_eq!(timers.pop_expired(at(40)), Some(1));
        assert_eq!(timers.pop_expired(at(40)), Some(0));
        assert_eq!(timers.pop_expired(at(40)), None);
        // The first entry is stale.
        assert_eq!(timers.pop_expired(at(100)), None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn many_short_waits_with_far_deadlines_leave_one_entry() {
        let start = Instant::now();
        let mut timers = Timers::default();
        for wait in 0..10_000 {
            timers.set(7, start + Duration::from_secs(60) + Duration::from_micros(wait));
        }
        assert_eq!(timers.heap.len(), 1);
    }
}
