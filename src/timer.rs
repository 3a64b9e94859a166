//! Deadlines that are set while somebody already waits: one thread for all of them, started
//! when first needed and gone when there is nothing left to wait for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc as StdArc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Node, Why};
use crate::process::{PerProcess, start_thread};
use crate::sync::{Arc, Weak};

/// Ends `node` at `at`.
pub(super) fn at(at: Instant, node: &Arc<Node>) {
    static TIMERS: PerProcess<StdArc<Timers>> = PerProcess::new();
    let timers = TIMERS.get(|_| StdArc::default());
    let mut queue = timers.queue.lock().unwrap_or_else(PoisonError::into_inner);
    queue.due.push(Reverse(Due { at, node: Arc::downgrade(node) }));
    if queue.running {
        timers.changed.notify_one();
        return;
    }
    let for_thread = StdArc::clone(timers);
    // Without a thread (out of resources) the deadline still holds for every wait that begins
    // after it was set.
    queue.running = start_thread("hangup-timer", Some(STACK), move || for_thread.run()).is_ok();
}

#[derive(Default)]
struct Timers {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    due: BinaryHeap<Reverse<Due>>,
    running: bool,
}

struct Due {
    at: Instant,
    node: Weak<Node>,
}

impl Timers {
    fn run(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let now = Instant::now();
            let nap = match queue.due.peek() {
                Some(Reverse(next)) if next.at <= now => {
                    let due = queue.due.pop();
                    drop(queue);
                    if let Some(node) = due.and_then(|Reverse(due)| due.node.upgrade()) {
                        node.end(Why::Deadline, None);
                    }
                    queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                Some(Reverse(next)) => next.at - now,
                None => LINGER,
            };
            let waited =
                self.changed.wait_timeout(queue, nap).unwrap_or_else(PoisonError::into_inner);
            queue = waited.0;
            if waited.1.timed_out() && queue.due.is_empty() {
                queue.running = false;
                return;
            }
        }
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// It runs nothing but what a token's end wakes.
const STACK: usize = 64 * 1024;
/// How long the thread stays without work.
const LINGER: Duration = Duration::from_secs(2);
