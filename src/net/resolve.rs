//! Names to addresses. getaddrinfo(3) can't be interrupted, so it runs on a worker that is
//! waited for and never joined: a caller that is cancelled or out of time just leaves.
//!
//! Workers are kept for a while and there is a bound on them; a literal address needs none.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::process::generation;
use crate::wait::Event;

/// A lookup in progress. Dropping it abandons the lookup; the worker finishes it for nobody.
pub(crate) struct Lookup {
    job: Arc<Job>,
}

/// The address a literal host stands for; no lookup is needed then.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

/// Starts to look a name up; `done` is set when [`Lookup::answer`] has one.
pub(crate) fn start(host: &str, port: u16, done: &Arc<Event>) -> io::Result<Lookup> {
    let job = Arc::new(Job {
        host: host.to_owned(),
        port,
        answer: OnceLock::new(),
        done: Arc::clone(done),
    });
    Workers::current().take(&job)?;
    Ok(Lookup { job })
}

impl Lookup {
    /// The answer, if it is there. An error is getaddrinfo's.
    pub(crate) fn answer(&self) -> Option<&Answer> {
        self.job.answer.get()
    }
}

pub(crate) type Answer = Result<Vec<SocketAddr>, String>;

struct Job {
    host: String,
    port: u16,
    answer: OnceLock<Answer>,
    done: Arc<Event>,
}

impl Job {
    fn run(&self) {
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let answer = found.map(Iterator::collect).map_err(|error| error.to_string());
        let _ = self.answer.set(answer);
        self.done.set();
    }
}

#[derive(Default)]
struct Workers {
    queue: Mutex<Queue>,
    work: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<std::sync::Weak<Job>>,
    running: usize,
    idle: usize,
}

impl Workers {
    /// This process's workers: a forked child has none of its parent's threads.
    fn current() -> Arc<Self> {
        static CURRENT: Mutex<Option<(u32, Arc<Workers>)>> = Mutex::new(None);
        let now = generation();
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            Some((then, workers)) if *then == now => Arc::clone(workers),
            _ => Arc::clone(&current.insert((now, Arc::default())).1),
        }
    }

    fn take(self: Arc<Self>, job: &Arc<Job>) -> io::Result<()> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.jobs.push_back(Arc::downgrade(job));
        if queue.idle >= queue.jobs.len() || queue.running >= MOST_WORKERS {
            self.work.notify_one();
            return Ok(());
        }
        let me = Arc::clone(&self);
        let thread = std::thread::Builder::new().name("hangup-resolve".into()).stack_size(STACK);
        match thread.spawn(move || me.work()) {
            Ok(_) => queue.running += 1,
            // Somebody is there who will come to it.
            Err(_) if queue.running > 0 => self.work.notify_one(),
            Err(error) => {
                queue.jobs.pop_back();
                return Err(error);
            }
        }
        Ok(())
    }

    fn work(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                // An abandoned job that nobody began is not done at all.
                if let Some(job) = job.upgrade() {
                    job.run();
                }
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

/// Lookups that run at once; more wait. A resolver that hangs holds its worker until it gives up.
const MOST_WORKERS: usize = 64;
/// getaddrinfo needs little, but NSS modules are other people's code.
const STACK: usize = 512 * 1024;
/// How long a worker stays without work.
const LINGER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::{Until, Want, wait};

    #[test]
    fn literals_need_no_lookup() {
        assert!(literal("127.0.0.1").is_some() && literal("[::1]").is_some());
        assert!(literal("localhost").is_none());
    }

    #[test]
    fn a_name_is_looked_up_on_a_worker() {
        let done = Arc::new(Event::new().unwrap());
        let lookup = start("localhost", 80, &done).unwrap();
        wait(Want { fd: None, event: Some(&done) }, Until::new(None)).unwrap();
        let addresses = lookup.answer().unwrap().as_ref().unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
        let lookup = start("no-such-host.invalid", 80, &done).unwrap();
        while lookup.answer().is_none() {
            std::thread::yield_now();
        }
        assert!(lookup.answer().unwrap().is_err());
    }
}
