//! Memory of bodies that is kept for the next ones: the system need not find and clear its pages anew. It knows nothing of
//! bodies.
//!
//! Many bodies may end together, and as many begin after that: so much is kept. What was not needed for a second or two is
//! freed, down to a little.

use std::mem::take as take_all;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::process::PerProcess;
use crate::timer::{self, TimerTarget};

/// An empty vector with at least that capacity that was kept, if one fits.
pub(crate) fn take(size: usize) -> Option<Vec<u8>> {
    if size < MIN_KEPT / 2 {
        return None;
    }
    spare().kept()?.take(size)
}

/// Keeps the memory of a vector that is not needed any more, or frees it.
pub(crate) fn give_back(mut memory: Vec<u8>) {
    if !is_kept(&memory) {
        return;
    }
    memory.clear();
    let spare = spare();
    if spare.kept().is_some_and(|mut kept| kept.keep(memory)) {
        let spare: Arc<dyn TimerTarget> = Arc::clone(spare) as _;
        timer::at(Instant::now() + TRIM_INTERVAL, Arc::downgrade(&spare));
    }
}

/// Whether its memory is of a size that is kept.
pub(crate) fn is_kept(memory: &Vec<u8>) -> bool {
    (MIN_KEPT..=MAX_KEPT).contains(&memory.capacity())
}

/// Threads: any.
#[derive(Default)]
struct Spare(Mutex<Kept>);

/// What is kept, the newest last.
#[derive(Default)]
struct Kept {
    memory: Vec<Vec<u8>>,
    bytes: usize,
    /// The fewest that were left since the last trim, which were not needed.
    fewest: usize,
    /// It will be trimmed.
    timed: bool,
}

impl Spare {
    /// `None` while another thread is here, or was during a fork.
    fn kept(&self) -> Option<MutexGuard<'_, Kept>> {
        self.0.try_lock().ok()
    }
}

impl TimerTarget for Spare {
    fn expired(&self, now: Instant) -> Option<Instant> {
        let again = Some(now + TRIM_INTERVAL);
        let Some(mut kept) = self.kept() else { return again };
        let unneeded = kept.trim();
        kept.timed = kept.bytes > FEW;
        let timed = kept.timed;
        drop(kept);
        drop(unneeded);
        again.filter(|_| timed)
    }
}

impl Kept {
    fn take(&mut self, size: usize) -> Option<Vec<u8>> {
        let fits = |memory: &Vec<u8>| (size..=size * 2).contains(&memory.capacity());
        let at = self.memory.iter().rposition(fits)?;
        let memory = self.memory.remove(at);
        self.fewest = self.fewest.min(self.memory.len());
        self.bytes -= memory.capacity();
        Some(memory)
    }

    /// Whether a trim has to be planned now.
    fn keep(&mut self, memory: Vec<u8>) -> bool {
        if self.bytes + memory.capacity() > MANY {
            return false;
        }
        self.bytes += memory.capacity();
        self.memory.push(memory);
        let is_new = self.bytes > FEW && !self.timed;
        if is_new {
            (self.timed, self.fewest) = (true, self.memory.len());
        }
        is_new
    }

    /// Takes out the oldest of what was not needed since the last time, down to a little.
    fn trim(&mut self) -> Vec<Vec<u8>> {
        let mut count = 0;
        while count < self.fewest && self.bytes > FEW {
            self.bytes -= self.memory[count].capacity();
            count += 1;
        }
        let unneeded = self.memory.drain(..count).collect();
        self.fewest = self.memory.len();
        unneeded
    }
}

/// This process's. A child takes its parent's over.
fn spare() -> &'static Arc<Spare> {
    static SPARE: PerProcess<Arc<Spare>> = PerProcess::new();
    SPARE.get(|parent| {
        let kept = parent.and_then(|parent| parent.kept().map(|mut kept| take_all(&mut *kept)));
        Arc::new(Spare(Mutex::new(Kept { timed: false, ..kept.unwrap_or_default() })))
    })
}

/// How much is kept: as much as sixteen bodies of a megabyte that end together.
const MANY: usize = 16 * MEGABYTE;
/// How much of it is kept for long.
const FEW: usize = 4 * MEGABYTE;
/// Smaller ones come from malloc(3) without a system call.
const MIN_KEPT: usize = 128 * 1024;
const MAX_KEPT: usize = 4 * MEGABYTE;
/// With room for what is read behind it.
const MEGABYTE: usize = 1024 * 1024 + 1024;
const TRIM_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn memory(size: usize) -> Vec<u8> {
        Vec::with_capacity(size)
    }

    #[test]
    fn memory_that_was_given_back_is_used_again() {
        let size = 777 * 1024;
        let mut kept = Kept::default();
        let body = vec![1; size];
        let at = body.as_ptr();
        kept.keep(body);
        assert!(kept.take(size / 4).is_none(), "it is too large for that");
        assert!(kept.take(size + 1).is_none(), "it is too small for that");
        let again = kept.take(size - 1).unwrap();
        assert_eq!(again.as_ptr(), at);
        assert_eq!(kept.bytes, 0);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut kept = Kept::default();
        for _ in 0..100 {
            kept.keep(memory(MEGABYTE));
        }
        assert_eq!(kept.memory.len(), 16);
        assert_eq!(kept.bytes, kept.memory.iter().map(Vec::capacity).sum::<usize>());
    }

    #[test]
    fn what_is_not_needed_between_two_trims_is_freed_down_to_a_little() {
        let mut kept = Kept::default();
        let planned = (0..16).filter(|_| kept.keep(memory(MEGABYTE))).count();
        assert_eq!(planned, 1, "one trim for all");
        for _ in 0..3 {
            let taken: Vec<_> = (0..14).map_while(|_| kept.take(MEGABYTE)).collect();
            assert_eq!(taken.len(), 14, "these are needed");
            for memory in taken {
                kept.keep(memory);
            }
            kept.trim();
        }
        assert!(kept.memory.len() >= 14);
        kept.trim();
        assert_eq!((kept.memory.len(), kept.bytes), (4, FEW), "nothing was needed");
        kept.trim();
        assert_eq!(kept.bytes, FEW);
    }

    #[test]
    fn the_timer_trims() {
        let spare = Spare::default();
        for _ in 0..16 {
            spare.kept().unwrap().keep(memory(MEGABYTE));
        }
        let now = Instant::now();
        let mut again = Some(now);
        for _ in 0..3 {
            again = again.and_then(|now| spare.expired(now));
        }
        assert!(again.is_none() && !spare.kept().unwrap().timed);
        assert_eq!(spare.kept().unwrap().bytes, FEW);
    }
}
