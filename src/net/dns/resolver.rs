//! The resolver of a manager. getaddrinfo(3) can't be interrupted, so it runs on a worker that is waited for
//! and never joined: a caller that is cancelled or out of time leaves it. A name that hangs has a worker of
//! its own, so it holds up only those that ask for it.
//!
//! Results are kept for a minute, or for as long as the hook says, in a small cache. Callers that ask for a name that is being looked up share
//! the result. A hook may replace getaddrinfo, and overrides give a name fixed addresses. Knows nothing of
//! its callers: it sets their [`Notify`].

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::cache::Cache;
use super::system::{ResolverCode, look_up};
use crate::net::paths::Paths;
use crate::process::PerProcess;
use crate::runtime::{Notify, THREAD_WAIT, WorkerPool, on_thread_stack};
use crate::sync::lock;

/// Replaces getaddrinfo, on a worker. Returns the addresses of a name, or why there are none.
pub(crate) type Hook = Arc<dyn Fn(&str) -> Result<Addresses, String> + Send + Sync>;

/// What a resolver found: addresses, and how long they may be kept. Threads: a value.
///
/// ```
/// let found = hangup::Addresses {
///     addresses: vec![[10, 0, 0, 7].into()],
///     ttl: Some(std::time::Duration::from_secs(30)),
/// };
/// assert_eq!(hangup::Addresses::from(found.addresses.clone()).ttl, None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// They are tried in this order, IPv6 and IPv4 alternately (RFC 8305).
    pub addresses: Vec<IpAddr>,
    /// How long they are cached: the smallest TTL of the records (RFC 1035 section 3.2.1). `None` is a minute, zero
    /// is not at all.
    pub ttl: Option<Duration>,
}

impl From<Vec<IpAddr>> for Addresses {
    fn from(addresses: Vec<IpAddr>) -> Self {
        Self { addresses, ttl: None }
    }
}

/// The names of one manager. Threads: any thread at any time.
pub(crate) struct Resolver {
    /// Used by the child of a fork, too, so it has no lock that a thread of the parent may hold.
    settings: ArcSwap<Settings>,
    names: PerProcess<Mutex<Names>>,
}

/// A lookup in progress, or its result. Dropping it abandons the lookup: one that has not begun is not done
/// at all.
pub(crate) struct Lookup {
    found: Found,
    port: u16,
    /// When it is given up, unless a worker has begun it.
    begin_by: Instant,
}

/// Addresses with the port that was asked for, or why there are none.
pub(crate) type Answer = Result<Vec<SocketAddr>, Unresolved>;

/// Why a name has no addresses.
#[derive(Clone, Debug)]
pub(crate) enum Unresolved {
    /// The message of getaddrinfo and its code, or the message of the hook.
    Failed(String, Option<ResolverCode>),
    /// There is no thread to look it up.
    NoThread,
}

enum Found {
    /// By override or cache.
    Known(Arc<[SocketAddr]>),
    Asked(Arc<Job>),
}

#[derive(Clone, Default)]
struct Settings {
    overrides: HashMap<String, Arc<[SocketAddr]>>,
    hook: Option<Hook>,
}

#[derive(Default)]
struct Names {
    known: Cache,
    asked: HashMap<String, Weak<Job>>,
    /// What is remembered of the ways to them.
    paths: Paths,
    /// Counts [`Resolver::clear`]: the result of a lookup that began before it is not cached after it.
    epoch: u64,
}

struct Job {
    host: String,
    hook: Option<Hook>,
    epoch: u64,
    /// A worker has begun it.
    begun: AtomicBool,
    answer: OnceLock<Result<Arc<[SocketAddr]>, Unresolved>>,
    /// To be set when there is a result. A dropped one has left.
    waiting: Mutex<Vec<Weak<Notify>>>,
}

impl Resolver {
    pub(crate) fn new() -> Self {
        let resolver = Self { settings: ArcSwap::default(), names: PerProcess::new() };
        // Made now, because the child of a fork finds out by it that it is one.
        drop(lock(resolver.names()));
        resolver
    }

    /// Starts to look a name up. `event` is set when [`Lookup::answer`] returns a result, unless it does so
    /// at once. An error means that there is no thread for it.
    pub(crate) fn start(
        self: &Arc<Self>,
        host: &str,
        port: u16,
        event: &Arc<Notify>,
    ) -> io::Result<Lookup> {
        let host = host.to_ascii_lowercase();
        let now = Instant::now();
        let begin_by = now + THREAD_WAIT;
        let settings = self.settings.load();
        if let Some(addresses) = settings.overrides.get(&host) {
            return Ok(Lookup { found: Found::Known(Arc::clone(addresses)), port, begin_by });
        }
        let mut names = lock(self.names());
        if let Some(addresses) = names.known.get(&host, now) {
            return Ok(Lookup { found: Found::Known(addresses), port, begin_by });
        }
        if let Some(job) = names.asked.get(&host).and_then(Weak::upgrade) {
            drop(names);
            let lookup = Lookup { found: Found::Asked(job), port, begin_by };
            lookup.tell(event);
            return Ok(lookup);
        }
        let job = Arc::new(Job {
            hook: settings.hook.clone(),
            epoch: names.epoch,
            begun: AtomicBool::new(false),
            answer: OnceLock::new(),
            waiting: Mutex::new(vec![Arc::downgrade(event)]),
            host,
        });
        // Removes the names of lookups that were abandoned.
        names.asked.retain(|_, job| job.strong_count() > 0);
        names.asked.insert(job.host.clone(), Arc::downgrade(&job));
        drop(names);
        let (abandoned, resolver) = (Arc::downgrade(&job), Arc::downgrade(self));
        let begun = WORKERS.run(move || {
            if let Some(job) = abandoned.upgrade() {
                job.run(&resolver);
            }
        });
        if let Err(error) = begun {
            // Another caller may share the lookup by now.
            job.settle(&mut lock(self.names()), &Err(Unresolved::NoThread), None);
            job.tell(Err(Unresolved::NoThread));
            return Err(error);
        }
        Ok(Lookup { found: Found::Asked(job), port, begin_by })
    }

    /// Forgets all results, also of lookups that are in progress, and what is remembered of addresses.
    pub(crate) fn clear(&self) {
        let mut names = lock(self.names());
        names.epoch += 1;
        names.known.clear();
        names.asked.clear();
        names.paths.clear();
    }

    /// Looks at what is remembered of addresses, or changes it. It must not wait for anything.
    pub(crate) fn with_paths<T>(&self, look: impl FnOnce(&mut Paths) -> T) -> T {
        // Its hashes were the deepest calls of a dial, and a page of each fiber's stack that nothing else touched.
        on_thread_stack(|| look(&mut lock(self.names()).paths))
    }

    /// Forgets the result for a name: no address of it could be connected to.
    pub(crate) fn forget(&self, host: &str) {
        lock(self.names()).known.remove(&host.to_ascii_lowercase());
    }

    /// Gives a name these addresses, which come before the hook and getaddrinfo; `None` removes them.
    pub(crate) fn set_address(&self, host: &str, addresses: Option<Vec<IpAddr>>) {
        let host = host.to_ascii_lowercase();
        let addresses: Option<Arc<[SocketAddr]>> = addresses.map(without_ports);
        self.settings.rcu(|settings| {
            let mut settings = Settings::clone(settings);
            match &addresses {
                Some(addresses) => settings.overrides.insert(host.clone(), Arc::clone(addresses)),
                None => settings.overrides.remove(&host),
            };
            settings
        });
        // The order of the new ones counts.
        self.with_paths(|paths| paths.forget_host(&host));
    }

    /// Has names looked up by this instead of getaddrinfo; `None` is getaddrinfo again. All results are
    /// forgotten.
    pub(crate) fn set_hook(&self, hook: Option<Hook>) {
        self.settings.rcu(|settings| {
            let mut settings = Settings::clone(settings);
            settings.hook.clone_from(&hook);
            settings
        });
        self.clear();
    }

    /// The child of a fork starts with no names: to copy the parent's it would have to wait for a lock whose
    /// holder may not exist.
    fn names(&self) -> &Mutex<Names> {
        self.names.get(|_| Mutex::default())
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl Lookup {
    /// The result, if there is one.
    pub(crate) fn answer(&self) -> Option<Answer> {
        let found = match &self.found {
            Found::Known(addresses) => Ok(addresses),
            Found::Asked(job) => job.answer.get()?.as_ref(),
        };
        Some(match found {
            Ok(addresses) if addresses.is_empty() => {
                Err(Unresolved::Failed("it has no address".into(), None))
            }
            Ok(addresses) => {
                let mut addresses = addresses.to_vec();
                addresses.iter_mut().for_each(|address| address.set_port(self.port));
                Ok(addresses)
            }
            Err(why) => Err(why.clone()),
        })
    }

    /// When it is to be given up because no worker has begun it: there are too many, and the system makes no
    /// more threads. `None` if a worker has begun it.
    pub(crate) fn begin_by(&self) -> Option<Instant> {
        match &self.found {
            Found::Asked(job) if !job.begun.load(Ordering::Relaxed) => Some(self.begin_by),
            _ => None,
        }
    }

    /// Has this notification set, too; [`answer`](Self::answer) is to be called after this. For a lookup that
    /// is resumed with another notification.
    pub(crate) fn tell(&self, event: &Arc<Notify>) {
        if let Found::Asked(job) = &self.found {
            let mut waiting = lock(&job.waiting);
            waiting.retain(|known| known.strong_count() > 0);
            waiting.push(Arc::downgrade(event));
            drop(waiting);
            // The result may have come before `event` was on the list.
            if job.answer.get().is_some() {
                event.set();
            }
        }
    }
}

impl Job {
    fn run(self: Arc<Self>, resolver: &Weak<Resolver>) {
        self.begun.store(true, Ordering::Relaxed);
        // The hook is a callback of the program: a panic in it is a failed lookup.
        let mut ttl = None;
        let answer = catch_unwind(AssertUnwindSafe(|| match &self.hook {
            Some(hook) => hook(&self.host)
                .map(|found| {
                    ttl = found.ttl;
                    without_ports(found.addresses)
                })
                .map_err(|why| Unresolved::Failed(why, None)),
            None => look_up(&self.host).map_err(|(why, code)| Unresolved::Failed(why, code)),
        }))
        .unwrap_or_else(|_| Err(Unresolved::Failed("the resolver hook panicked".into(), None)));
        if let Some(resolver) = resolver.upgrade() {
            self.settle(&mut lock(resolver.names()), &answer, ttl);
        }
        self.tell(answer);
    }

    fn tell(&self, answer: Result<Arc<[SocketAddr]>, Unresolved>) {
        let _ = self.answer.set(answer);
        for event in lock(&self.waiting).drain(..) {
            if let Some(event) = event.upgrade() {
                event.set();
            }
        }
    }

    fn settle(
        self: &Arc<Self>,
        names: &mut Names,
        answer: &Result<Arc<[SocketAddr]>, Unresolved>,
        ttl: Option<Duration>,
    ) {
        if names.epoch != self.epoch {
            return;
        }
        names.asked.remove(&self.host);
        if let Ok(addresses) = answer
            && !addresses.is_empty()
        {
            names.known.put(&self.host, Arc::clone(addresses), ttl, Instant::now());
        }
    }
}

/// The address a literal host stands for; no lookup is needed then.
pub(crate) fn parse_literal(host: &str) -> Option<IpAddr> {
    without_brackets(host).parse().ok()
}

/// A host without the brackets of an IPv6 literal (RFC 3986 section 3.2.2).
pub(crate) fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn without_ports(addresses: Vec<IpAddr>) -> Arc<[SocketAddr]> {
    addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect()
}

static WORKERS: WorkerPool = WorkerPool::for_blocking("hangup-resolve");

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::sync::mpsc;

    use super::*;
    use crate::runtime::{WaitFor, WaitUntil, wait};

    fn ask(resolver: &Arc<Resolver>, host: &str) -> Answer {
        let event = Arc::new(Notify::new().unwrap());
        let lookup = resolver.start(host, 80, &event).unwrap();
        loop {
            if let Some(answer) = lookup.answer() {
                return answer;
            }
            wait(WaitFor { fd: None, notify: Some(&event) }, WaitUntil::new(None)).unwrap();
            event.clear();
        }
    }

    /// A resolver whose hook counts, and returns `127.0.0.<count>`.
    fn counting() -> (Arc<Resolver>, Arc<AtomicU32>) {
        let (resolver, count) = (Arc::new(Resolver::new()), Arc::new(AtomicU32::new(0)));
        let counted = Arc::clone(&count);
        resolver.set_hook(Some(Arc::new(move |_| {
            let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
            Ok(vec![IpAddr::from([127, 0, 0, u8::try_from(number % 256).unwrap()])].into())
        })));
        (resolver, count)
    }

    #[test]
    fn literals_need_no_lookup() {
        assert!(parse_literal("127.0.0.1").is_some() && parse_literal("[::1]").is_some());
        assert!(parse_literal("localhost").is_none());
    }

    #[test]
    fn a_name_is_looked_up_on_a_worker() {
        let resolver = Arc::new(Resolver::new());
        let addresses = ask(&resolver, "localhost").unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
        assert!(ask(&resolver, "no-such-host.invalid").is_err());
    }

    #[test]
    fn answers_are_kept_until_they_are_forgotten() {
        let (resolver, count) = counting();
        let first = ask(&resolver, "a.test").unwrap();
        assert_eq!(ask(&resolver, "A.Test").unwrap(), first);
        assert_eq!(count.load(Ordering::SeqCst), 1);
        resolver.forget("A.test");
        assert_ne!(ask(&resolver, "a.test").unwrap(), first);
        resolver.clear();
        ask(&resolver, "a.test").unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn addresses_given_by_hand_beat_everything() {
        let (resolver, count) = counting();
        ask(&resolver, "a.test").unwrap();
        resolver.set_address("A.test", Some(vec!["::1".parse().unwrap()]));
        assert_eq!(ask(&resolver, "a.test").unwrap(), ["[::1]:80".parse().unwrap()]);
        resolver.set_address("a.test", Some(vec![]));
        assert!(ask(&resolver, "a.test").is_err());
        resolver.set_address("a.test", None);
        ask(&resolver, "a.test").unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn who_asks_for_a_name_that_is_being_looked_up_shares_the_answer() {
        let resolver = Arc::new(Resolver::new());
        let (go, gate) = mpsc::channel::<()>();
        let (gate, count) = (Mutex::new(gate), Arc::new(AtomicU32::new(0)));
        let counted = Arc::clone(&count);
        resolver.set_hook(Some(Arc::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = lock(&gate).recv();
            Ok(vec![IpAddr::from([127, 0, 0, 1])].into())
        })));
        let events: Vec<_> = (0..3).map(|_| Arc::new(Notify::new().unwrap())).collect();
        let lookups: Vec<_> =
            events.iter().map(|event| resolver.start("a.test", 1, event).unwrap()).collect();
        // One is resumed with another notification.
        let other = Arc::new(Notify::new().unwrap());
        lookups[0].tell(&other);
        go.send(()).unwrap();
        for event in events.iter().chain([&other]) {
            wait(WaitFor { fd: None, notify: Some(event) }, WaitUntil::new(None)).unwrap();
        }
        assert!(lookups.iter().all(|lookup| lookup.answer().unwrap().is_ok()));
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_panic_in_the_hook_is_a_failed_lookup_and_failures_are_not_kept() {
        let resolver = Arc::new(Resolver::new());
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        resolver.set_hook(Some(Arc::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            panic!("a test's panic, on purpose")
        })));
        for _ in 0..2 {
            let said = ask(&resolver, "a.test");
            assert!(
                matches!(said, Err(Unresolved::Failed(words, _)) if words.contains("panicked"))
            );
        }
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }
}
