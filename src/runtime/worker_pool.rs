//! A pool of threads for one kind of work. They start when there is work, end when there is none for
//! [`LINGER`], and are never joined.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::process::{PerProcess, start_thread};

/// Threads of one kind. Threads: any thread at any time.
pub(crate) struct WorkerPool {
    name: &'static str,
    max: usize,
    /// The threads of this process: the child of a fork has none of its parent's.
    workers: PerProcess<Arc<Workers>>,
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Workers {
    queue: Mutex<Queue>,
    work: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    running: usize,
    idle: usize,
}

impl WorkerPool {
    /// At most so many threads at once; more work waits.
    pub(crate) const fn new(name: &'static str, max: usize) -> Self {
        Self { name, max, workers: PerProcess::new() }
    }

    /// For work that may block for any time, because it calls code of the program or of the system's resolver:
    /// each piece of work has a thread of its own, so that one that hangs does not hold up the others.
    pub(crate) const fn for_blocking(name: &'static str) -> Self {
        Self::new(name, MAX_BLOCKED)
    }

    /// Has a job done now, or not at all: an error means that every thread there may be is busy, or
    /// that none can be made; the job is dropped then.
    pub(crate) fn run_now(&self, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let workers = self.workers.get(|_| Arc::default());
        let queue = workers.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.jobs.len() >= queue.idle && queue.running >= self.max {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        drop(queue);
        self.run(job)
    }

    /// Has a job done. An error means that there is no thread and none can be made; the job is
    /// dropped then.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let workers = self.workers.get(|_| Arc::default());
        let mut queue = workers.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.jobs.push_back(Box::new(job));
        if queue.idle >= queue.jobs.len() || queue.running >= self.max {
            workers.work.notify_one();
            return Ok(());
        }
        let mine = Arc::clone(workers);
        match start_thread(self.name, Some(STACK), move || mine.work()) {
            Ok(()) => queue.running += 1,
            // A thread that there is does it later.
            Err(_) if queue.running > 0 => workers.work.notify_one(),
            Err(error) => {
                let job = queue.jobs.pop_back();
                drop(queue);
                drop(job);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Workers {
    fn work(&self) {
        IS_WORKER.set(true);
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                job();
                queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            queue.idle += 1;
            let waited =
                self.work.wait_timeout(queue, LINGER).unwrap_or_else(PoisonError::into_inner);
            queue = waited.0;
            queue.idle -= 1;
            if waited.1.timed_out() && queue.jobs.is_empty() {
                queue.running -= 1;
                return;
            }
        }
    }
}

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Whether this is a thread of a pool.
pub(super) fn is_worker() -> bool {
    IS_WORKER.try_with(Cell::get).unwrap_or(true)
}

/// The library needs little, but the modules of the system's resolver (nsswitch.conf(5)) may need more.
const STACK: usize = 512 * 1024;
/// Threads that may be blocked at once. Each costs about 20 KiB. It is bounded, because the process needs
/// threads for other things as well (pthread_create(3), EAGAIN).
const MAX_BLOCKED: usize = 4096;
/// How long work waits for a thread if the system makes none, before it is given up: a thread that there is
/// may soon be free.
pub(crate) const THREAD_WAIT: Duration = Duration::from_secs(1);
/// How long a thread stays without work.
const LINGER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn every_job_is_done_by_no_more_threads_than_allowed() {
        static POOL: WorkerPool = WorkerPool::new("hangup-test", 2);
        let (done, jobs) = mpsc::channel();
        for number in 0..100 {
            let done = done.clone();
            let job = move || done.send((number, std::thread::current().id())).unwrap_or(());
            POOL.run(job).unwrap();
        }
        let (mut numbers, threads): (Vec<i32>, std::collections::HashSet<_>) =
            jobs.iter().take(100).unzip();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
        assert!(threads.len() <= 2);
    }
}
