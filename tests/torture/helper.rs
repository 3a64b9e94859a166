//! A thread that runs jobs for a thread that is about to make a system call, and a watchdog that ends a process that
//! hangs. Their own system calls are neither counted nor made to fail.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::shim::Shim;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that runs jobs, one after the other.
pub struct Helper(Mutex<Sender<Job>>);

/// Ends the process when a run lasts too long.
pub struct Watchdog(Mutex<(Instant, String)>);

impl Helper {
    pub fn start(shim: &'static Shim) -> Self {
        let (give, jobs): (_, Receiver<Job>) = channel();
        std::thread::spawn(move || {
            shim.spare_this_thread();
            jobs.into_iter().for_each(|job| job());
        });
        Self(Mutex::new(give))
    }

    /// Runs a job soon.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        lock(&self.0).send(Box::new(job)).expect("the helper lives as long as the process");
    }
}

impl Watchdog {
    pub fn start(shim: &'static Shim) -> &'static Self {
        let watchdog: &'static Self =
            Box::leak(Box::new(Self(Mutex::new((Instant::now(), String::new())))));
        std::thread::spawn(move || {
            shim.spare_this_thread();
            loop {
                std::thread::sleep(Duration::from_secs(1));
                let (begun, run) = &*lock(&watchdog.0);
                if begun.elapsed() > TOO_LONG {
                    eprintln!("no outcome: {run}");
                    std::process::abort();
                }
            }
        });
        watchdog
    }

    /// A run begins.
    pub fn begins(&self, run: String) {
        *lock(&self.0) = (Instant::now(), run);
    }
}

/// Makes the helper run `job` before the call of [`before_the_call`] returns.
pub fn prepare_hook(helper: &'static Helper, job: impl FnOnce() + Send + 'static) {
    *lock(&HOOK) = Some((helper, Box::new(job)));
    STUCK.store(false, Ordering::SeqCst);
}

/// Called by the shim on a thread that is about to make a system call.
pub extern "C" fn before_the_call() {
    let Some((helper, job)) = lock(&HOOK).take() else { return };
    let (sender, receiver) = channel();
    helper.run(move || {
        job();
        // An error means that the hook has stopped waiting.
        let _ = sender.send(());
    });
    STUCK.store(receiver.recv_timeout(PATIENCE).is_err(), Ordering::SeqCst);
}

/// Drops the job of a call that did not come.
pub fn drop_hook() {
    lock(&HOOK).take();
}

/// Whether the job could not run while that thread was stopped, because that thread holds a lock over a system call.
pub fn was_stuck() -> bool {
    STUCK.load(Ordering::SeqCst)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

static HOOK: Mutex<Option<(&'static Helper, Job)>> = Mutex::new(None);
static STUCK: AtomicBool = AtomicBool::new(false);

const PATIENCE: Duration = Duration::from_secs(5);
const TOO_LONG: Duration = Duration::from_secs(60);
