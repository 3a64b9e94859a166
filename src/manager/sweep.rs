//! The sweep: looks at idle connections so that nobody has to ask. One thread for all managers of
//! a process, there only while something is idle.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Instant;

use super::pool::Pool;
use crate::process::{PerProcess, start_thread};

/// Has a pool swept at that time, and from then on for as long as it has idle connections.
pub(super) fn at(at: Instant, pool: Weak<Pool>) {
    static SWEEPER: PerProcess<Arc<Sweeper>> = PerProcess::new();
    let sweeper = SWEEPER.get(|_| Arc::default());
    let mut round = sweeper.round.lock().unwrap_or_else(PoisonError::into_inner);
    match round.due.iter_mut().find(|(_, known)| Weak::ptr_eq(known, &pool)) {
        Some((planned, _)) => *planned = at.min(*planned),
        None => round.due.push((at, pool)),
    }
    if round.running {
        sweeper.changed.notify_one();
        return;
    }
    let mine = Arc::clone(sweeper);
    // Without a thread (out of resources) the look at checkout is still there, and whatever becomes
    // idle next tries again.
    round.running = start_thread("hangup-sweep", Some(STACK), move || mine.run()).is_ok();
    if !round.running {
        round.due.clear();
    }
}

#[derive(Default)]
struct Sweeper {
    round: Mutex<Round>,
    changed: Condvar,
}

#[derive(Default)]
struct Round {
    due: Vec<(Instant, Weak<Pool>)>,
    running: bool,
}

impl Sweeper {
    fn run(&self) {
        let mut round = self.round.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            round.due.retain(|(_, pool)| pool.strong_count() > 0);
            let Some(index) = (0..round.due.len()).min_by_key(|index| round.due[*index].0) else {
                round.running = false;
                return;
            };
            let (at, now) = (round.due[index].0, Instant::now());
            if at > now {
                let waited = self.changed.wait_timeout(round, at - now);
                round = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let (_, pool) = round.due.swap_remove(index);
            drop(round);
            let next = pool.upgrade().and_then(|pool| pool.sweep(now));
            round = self.round.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(next) = next {
                match round.due.iter_mut().find(|(_, known)| Weak::ptr_eq(known, &pool)) {
                    Some((planned, _)) => *planned = next.min(*planned),
                    None => round.due.push((next, pool)),
                }
            }
        }
    }
}

/// TLS is asked for what came, which takes some.
const STACK: usize = 256 * 1024;
