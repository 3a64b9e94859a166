//! Names to addresses. getaddrinfo(3) can't be interrupted, so it runs on a worker that is
//! waited for and never joined: a caller that is cancelled or out of time just leaves.
//!
//! Workers are kept for a while and there is a bound on them; a literal address needs none.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, OnceLock};

use crate::wait::{Crew, Event};

/// A lookup in progress. Dropping it abandons the lookup; the worker finishes it for nobody.
pub(crate) struct Lookup {
    job: Arc<Job>,
}

/// The address a literal host stands for; no lookup is needed then.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    without_brackets(host).parse().ok()
}

/// An IPv6 literal as it is without its URL (RFC 3986 section 3.2.2); other hosts as they are.
pub(crate) fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Starts to look a name up; `done` is set when [`Lookup::answer`] has one.
pub(crate) fn start(host: &str, port: u16, done: &Arc<Event>) -> io::Result<Lookup> {
    let job = Arc::new(Job {
        host: host.to_owned(),
        port,
        answer: OnceLock::new(),
        done: Arc::clone(done),
    });
    let abandoned = Arc::downgrade(&job);
    WORKERS.run(move || {
        // A lookup that nobody waits for any more is not done at all.
        if let Some(job) = abandoned.upgrade() {
            job.run();
        }
    })?;
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

/// Lookups that run at once; more wait. A resolver that hangs holds its worker until it gives up.
const MOST_WORKERS: usize = 64;
static WORKERS: Crew = Crew::new("hangup-resolve", MOST_WORKERS);

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
#[derive(Debug)]
pub(crate) struct Resolver;
impl Resolver {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self)
    }
    pub(crate) fn clear(&self) {}
}
