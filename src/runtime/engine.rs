//! The engine: runs submitted jobs, which may wait, on the process's I/O threads.
//!
//! It starts with the first [`Engine::running`] and ends when the last share of it is dropped. In the child of
//! a fork there is a new one. Where there are no coroutines, or the environment variable
//! `HANGUP_ENGINE` is `threads`, a pool of threads does the same work.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use super::io_thread::{Driver, IoThread};
use super::worker_pool::WorkerPool;
use super::{fiber, stackful};
use crate::process::PerProcess;
use crate::sync::{Mutex, MutexGuard, lock};

/// Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct Engine {
    form: Form,
}

#[derive(Debug)]
enum Form {
    Fibers {
        /// Locked for writing to add or remove threads.
        threads: RwLock<Threads>,
        /// Counts jobs: each thread gets one in turn.
        next: AtomicUsize,
    },
    Threads,
}

/// At least one.
type Threads = Vec<Arc<IoThread>>;

impl Engine {
    /// The process's engine; started by the first call.
    pub(crate) fn running() -> io::Result<Arc<Self>> {
        let mut running = Self::begun();
        if let Some(engine) = running.upgrade() {
            return Ok(engine);
        }
        let engine = Arc::new(Self { form: Form::begin()? });
        *running = Arc::downgrade(&engine);
        Ok(engine)
    }

    fn begun() -> MutexGuard<'static, Weak<Self>> {
        static RUNNING: PerProcess<Mutex<Weak<Engine>>> = PerProcess::new();
        lock(RUNNING.get(|_| Mutex::new(Weak::new())))
    }

    /// Sets how many I/O threads share the jobs that are given from now on. After that no thread of a caller
    /// runs a loop any more. Surplus threads end when they have nothing left to do.
    pub(crate) fn set_threads(count: usize) {
        WANTED_THREADS.store(count.max(1), Ordering::Relaxed);
        let running = Self::begun().upgrade();
        if let Some(engine) = running
            && let Form::Fibers { threads, .. } = &engine.form
        {
            let mut threads = write(threads);
            let wanted = wanted().min(threads.len());
            threads.drain(wanted..).for_each(|thread| thread.stop());
        }
    }

    /// Whether the number of I/O threads was set.
    pub(crate) fn has_set_threads() -> bool {
        WANTED_THREADS.load(Ordering::Relaxed) != UNSET
    }

    /// Lets the calling thread run the loop of the `ours` jobs that it would wait for. `None` if there are other
    /// jobs as well, if another thread does so already, or if the number of I/O threads was set.
    pub(crate) fn try_drive(ours: usize) -> Option<Driver> {
        if Self::has_set_threads() || fiber::current().is_some() {
            return None;
        }
        let running = Self::begun().upgrade()?;
        let Form::Fibers { threads, .. } = &running.form else { return None };
        let only = match &read(threads)[..] {
            [only] => Arc::clone(only),
            _ => return None,
        };
        // No share of the engine is held while the thread drives, which may be long.
        drop(running);
        only.try_drive(ours)
    }

    /// Runs a job. An error means that it can't be run, and it was dropped. A job that can't be
    /// run later on is called with an error: there is no memory for its stack.
    pub(crate) fn spawn(
        &self,
        mut job: impl FnMut(io::Result<()>) + Send + 'static,
    ) -> io::Result<()> {
        match &self.form {
            Form::Threads => POOL.run(move || job(Ok(()))),
            Form::Fibers { threads, next } => {
                let mut shared = read(threads);
                if shared.len() < wanted() {
                    drop(shared);
                    start_threads(&mut write(threads));
                    shared = read(threads);
                }
                let turn = next.fetch_add(1, Ordering::Relaxed) % shared.len();
                // Under the lock: a thread that ends has seen all jobs that it was given.
                shared[turn].give(Box::new(job));
                Ok(())
            }
        }
    }
}

impl Form {
    fn begin() -> io::Result<Self> {
        if stackful::are_off() {
            return Ok(Self::Threads);
        }
        let first = IoThread::start()?;
        Ok(Self::Fibers { threads: RwLock::new(vec![first]), next: AtomicUsize::new(0) })
    }
}

/// Starts the threads that are wanted.
#[cold]
fn start_threads(threads: &mut Threads) {
    while threads.len() < wanted() {
        match IoThread::start() {
            Ok(thread) => threads.push(thread),
            // The jobs are shared by fewer threads.
            Err(_) => break,
        }
    }
}

fn wanted() -> usize {
    WANTED_THREADS.load(Ordering::Relaxed).max(1)
}

fn read(threads: &RwLock<Threads>) -> RwLockReadGuard<'_, Threads> {
    threads.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(threads: &RwLock<Threads>) -> RwLockWriteGuard<'_, Threads> {
    threads.write().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Form {
    fn drop(&mut self) {
        if let Self::Fibers { threads, .. } = self {
            for thread in read(threads).iter() {
                thread.stop();
            }
        }
    }
}

static WANTED_THREADS: AtomicUsize = AtomicUsize::new(UNSET);
/// The number was not set: one thread, which shares the work with drivers.
const UNSET: usize = 0;
static POOL: WorkerPool = WorkerPool::for_blocking("hangup-io");

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::runtime::{
        Descriptor, Interest, Notify, PollEntry, Source, WaitFor, WaitUntil, WakeReason,
        run_on_worker, wait, wait_any, wait_fd, yield_if_due,
    };

    /// Runs something as a fiber, and returns what it returns.
    fn on_fiber<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
        let engine = Engine::running().unwrap();
        let (sender, receiver) = mpsc::channel();
        let mut job = Some(job);
        let job = move |_| drop(job.take().map(|job| sender.send(job())));
        engine.spawn(job).unwrap();
        receiver.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    #[test]
    fn a_fiber_waits_for_a_descriptor_a_deadline_and_a_notification() {
        let _it_stays = Engine::running().unwrap();
        let (here, mut there) = UnixStream::pair().unwrap();
        let source = Source::new(Descriptor::of(&here));
        let waits = Arc::clone(&source);
        let soon = || WaitUntil::new(Some(Instant::now() + Duration::from_millis(5)));
        let woken = on_fiber(move || wait_fd(&waits, Interest::Read, soon()).unwrap());
        assert_eq!(woken, WakeReason::Deadline);
        there.write_all(b"abc").unwrap();
        let waits = Arc::clone(&source);
        let woken =
            on_fiber(move || wait_fd(&waits, Interest::Read, WaitUntil::new(None)).unwrap());
        assert!(matches!(woken, WakeReason::Ready { read: true, .. }));
        // Readiness is reported once: the waiter is expected to read.
        let waits = Arc::clone(&source);
        let woken = on_fiber(move || wait_fd(&waits, Interest::Read, soon()).unwrap());
        assert_eq!(woken, WakeReason::Deadline);
        // It is reported again if there may be more, or if the peer closed.
        source.may_have_more();
        let waits = Arc::clone(&source);
        let woken = on_fiber(move || wait_fd(&waits, Interest::Read, soon()).unwrap());
        assert!(matches!(woken, WakeReason::Ready { read: true, .. }));
        drop(there);
        for _ in 0..3 {
            let waits = Arc::clone(&source);
            let woken =
                on_fiber(move || wait_fd(&waits, Interest::Read, WaitUntil::new(None)).unwrap());
            assert!(matches!(woken, WakeReason::Ready { read: true, .. }));
        }
        let (sender, receiver) = mpsc::channel();
        let setter = std::thread::spawn(move || {
            let notify: Arc<Notify> = receiver.recv().unwrap();
            notify.set();
        });
        let woken = on_fiber(move || {
            let notify = Notify::for_this_task();
            sender.send(Arc::clone(&notify)).unwrap();
            wait(WaitFor { fd: None, notify: Some(&notify) }, WaitUntil::new(None)).unwrap()
        });
        assert_eq!(woken, WakeReason::Notified);
        setter.join().unwrap();
    }

    #[test]
    fn an_idle_descriptor_was_silent_until_the_kernel_reports_something() {
        let _it_stays = Engine::running().unwrap();
        let (mut here, mut there) = UnixStream::pair().unwrap();
        let source = Source::new(Descriptor::of(&here));
        let known = |source: &Arc<Source>| {
            let source = Arc::clone(source);
            on_fiber(move || source.was_silent())
        };
        assert!(!known(&source), "it was not read");
        there.write_all(b"x").unwrap();
        let read = Arc::clone(&source);
        let _here = on_fiber(move || {
            wait_fd(&read, Interest::Read, WaitUntil::new(None)).unwrap();
            here.read_exact(&mut [0]).unwrap();
            read.mark_idle();
            here
        });
        assert!(known(&source));
        assert!(!source.was_silent(), "no loop runs here");
        // What came before a fiber began, it knows.
        there.write_all(b"y").unwrap();
        assert!(!known(&source));
        // A thread read it, of which the loop knows nothing.
        on_fiber({
            let source = Arc::clone(&source);
            move || wait_fd(&source, Interest::Read, WaitUntil::new(None)).unwrap()
        });
        source.mark_idle();
        assert!(!known(&source));
    }

    #[test]
    fn of_several_descriptors_a_fiber_learns_which_are_ready() {
        let (quiet_end, _peer) = UnixStream::pair().unwrap();
        let (speaks_end, mut peer) = UnixStream::pair().unwrap();
        peer.write_all(b"x").unwrap();
        let ready = on_fiber(move || {
            let notify = Notify::for_this_task();
            let sources = [&quiet_end, &speaks_end].map(|end| Source::new(Descriptor::of(end)));
            let mut fds =
                [0, 1].map(|index: usize| PollEntry::new(&sources[index], Interest::Read));
            let woken = wait_any(&mut fds, &notify, WaitUntil::new(None)).unwrap();
            assert!(matches!(woken, WakeReason::Ready { .. }));
            fds.map(|one| one.ready)
        });
        assert_eq!(ready, [false, true]);
    }

    #[test]
    fn a_busy_fiber_lets_other_fibers_run() {
        let (sender, receiver) = mpsc::channel();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let engine = Engine::running().unwrap();
        let busy = sender.clone();
        engine
            .spawn(move |_| {
                while !stopped.load(Ordering::SeqCst) {
                    yield_if_due();
                }
                busy.send("busy").unwrap();
            })
            .unwrap();
        engine.spawn(move |_| sender.send("other").unwrap()).unwrap();
        assert_eq!(receiver.recv_timeout(Duration::from_secs(20)).unwrap(), "other");
        stop.store(true, Ordering::SeqCst);
        assert_eq!(receiver.recv_timeout(Duration::from_secs(20)).unwrap(), "busy");
    }

    #[test]
    fn work_of_a_worker_is_done_on_another_thread_and_panics_here() {
        static POOL: WorkerPool = WorkerPool::new("hangup-test-apart", 2);
        let (here, there, panicked) = on_fiber(|| {
            let here = std::thread::current().id();
            let there = run_on_worker(&POOL, || std::thread::current().id());
            let panicked =
                std::panic::catch_unwind(|| run_on_worker(&POOL, || panic!("on purpose")));
            (here, there, panicked.is_err())
        });
        assert_ne!(here, there);
        assert!(panicked);
    }

    #[test]
    fn a_panic_on_a_fiber_ends_nothing_but_that_fiber() {
        let engine = Engine::running().unwrap();
        engine.spawn(|_| panic!("on purpose")).unwrap();
        assert_eq!(on_fiber(|| 7), 7);
    }

    #[test]
    fn a_driver_runs_the_loop_and_gives_it_back_to_its_thread() {
        let engine = Engine::running().unwrap();
        let (sender, receiver) = mpsc::channel();
        let (here, mut there) = UnixStream::pair().unwrap();
        let work = move |_| {
            let source = Source::new(Descriptor::of(&here));
            sender.send(std::thread::current().id()).unwrap();
            wait_fd(&source, Interest::Read, WaitUntil::new(None)).unwrap();
            sender.send(std::thread::current().id()).unwrap();
        };
        // The loop may be with its thread or another driver for a moment.
        let driver =
            std::iter::repeat_with(|| Engine::try_drive(usize::MAX)).flatten().next().unwrap();
        engine.spawn(work).unwrap();
        let mut begun = None;
        let soon = WaitUntil::new(Some(Instant::now() + Duration::from_secs(20)));
        let woken = driver.run(soon, || {
            begun = begun.or(receiver.try_recv().ok());
            begun.is_none()
        });
        assert_eq!((woken, begun), (WakeReason::Notified, Some(std::thread::current().id())));
        let soon = WaitUntil::new(Some(Instant::now() + Duration::from_millis(3)));
        assert_eq!(driver.run(soon, || true), WakeReason::Deadline);
        // This thread drives already.
        assert!(Engine::try_drive(usize::MAX).is_none());
        driver.leave(usize::MAX);
        there.write_all(b"x").unwrap();
        let ended = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_ne!(ended, std::thread::current().id());
    }

    #[test]
    fn thousands_wait_at_once() {
        let engine = Engine::running().unwrap();
        let (sender, receiver) = mpsc::channel();
        let mut peers = Vec::new();
        for _ in 0..200 {
            let (mut here, there) = UnixStream::pair().unwrap();
            peers.push(there);
            let sender = sender.clone();
            let job = move |_| {
                let source = Source::new(Descriptor::of(&here));
                let mut byte = [0];
                wait_fd(&source, Interest::Read, WaitUntil::new(None)).unwrap();
                here.read_exact(&mut byte).unwrap();
                sender.send(byte[0]).unwrap();
            };
            engine.spawn(job).unwrap();
        }
        for (number, peer) in peers.iter_mut().enumerate() {
            peer.write_all(&[u8::try_from(number).unwrap()]).unwrap();
        }
        let mut all: Vec<u8> = receiver.iter().take(200).collect();
        all.sort_unstable();
        assert_eq!(all, (0..200).collect::<Vec<u8>>());
    }
}
