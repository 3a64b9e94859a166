//! A completion queue: many senders, many receivers, and a descriptor for callers with an event loop of
//! their own.
//!
//! The descriptor becomes readable with the first item and unreadable with the last, both under the lock:
//! it has no spurious readability, and a busy queue makes no system call. Items that an I/O thread puts in
//! within a few turns of its event loop share one wake-up. The descriptor is not written while nothing
//! waits for it: if that is allowed ([`Queue::set_caller_runs`]), the only waiting receiver runs the event
//! loop itself.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;

use crate::error::Error;
use crate::process::fork_generation;
use crate::runtime::{
    AloneTurn, Descriptor, Driver, Engine, HostLoop, Notify, OwnLoop, SpawnPlace, WaitFor,
    WaitUntil, WakeReason, WakeTarget, wait, wake_deferred, was_interrupted,
};
use crate::sync::{Mutex, lock};
use crate::timeouts::Deadline;
use crate::vocabulary::{Kind, Timeout};

/// The receiving end. Dropping it drops the items in the queue, and those that are put in later.
/// Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    shared: Arc<Shared<T>>,
    /// The oldest items, moved here together, so that senders and receivers rarely contend for a lock.
    fetched: Mutex<VecDeque<T>>,
    /// Set while there is something to take, and from the close on.
    notify: Arc<Notify>,
    /// A receiver that waits may run the event loop.
    caller_runs: AtomicBool,
    /// The loop of the work that is submitted to this queue, which its host drives. Inner `None`: there are no
    /// coroutines.
    host: OnceCell<Option<Arc<HostLoop>>>,
    /// The loop of the work that is submitted while a receiver that waits may run it. Inner `None`: there is none, and the
    /// work is the engine's.
    own: OnceCell<Option<OwnLoop>>,
}

/// Where a thread spawns the work of a queue. Threads: its own.
#[derive(Debug)]
pub(crate) struct Place {
    // Dropped in this order: what is begun may itself spawn.
    /// `None`: wherever the thread spawns else.
    _place: Option<SpawnPlace>,
    _begins: Option<AloneTurn>,
}

/// A sending end, which may outlive the receiving end. Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct QueueSender<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    inner: Mutex<Inner<T>>,
    /// The items that were put in and not taken.
    count: AtomicUsize,
    /// How many threads wait for the descriptor; a caller that asked for it counts as one from then on.
    listeners: AtomicUsize,
    process: u32,
}

#[derive(Debug)]
struct Inner<T> {
    items: VecDeque<T>,
    life: Life,
    signal: Signal,
    /// The caller asked for the descriptor.
    is_watched: bool,
    /// Wakes the receiver that runs the event loop.
    driver: Option<Arc<dyn WakeTarget>>,
}

/// The state of the descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Unreadable,
    /// A sender is about to set it.
    Due,
    Readable,
}

#[derive(Debug)]
enum Life {
    /// Receivers may wait for more items, with this.
    Open(Arc<Notify>),
    /// Receivers take what is there and don't wait.
    Closed,
    /// The receiving end was dropped.
    Dropped,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> io::Result<Self> {
        let notify = Arc::new(Notify::new()?);
        let life = Life::Open(Arc::clone(&notify));
        let inner = Inner {
            items: VecDeque::new(),
            life,
            signal: Signal::Unreadable,
            is_watched: false,
            driver: None,
        };
        let shared = Arc::new(Shared {
            inner: Mutex::new(inner),
            count: AtomicUsize::new(0),
            listeners: AtomicUsize::new(0),
            process: fork_generation(),
        });
        Ok(Self {
            shared,
            fetched: Mutex::default(),
            notify,
            caller_runs: AtomicBool::new(false),
            host: OnceCell::new(),
            own: OnceCell::new(),
        })
    }

    /// Whether a thread that waits in [`next`](Self::next) may run the event loop meanwhile. It then runs
    /// fibers, whose stacks are not the thread's: a signal handler that looks for the thread's own stack
    /// there, as those of some garbage collectors do, ends the process. So it is off unless a caller
    /// allows it. To hold signals back instead while a fiber runs would not be safe: a collector stops one
    /// thread while it holds a lock of ours or of malloc(3), and the thread that runs the fiber would wait
    /// for that lock and never see its own signal.
    pub(crate) fn set_caller_runs(&self, allowed: bool) {
        self.caller_runs.store(allowed, Ordering::Relaxed);
    }

    /// Takes the oldest; waits for one, at most `limit` (`None` waits for ever, [`Duration::ZERO`]
    /// not at all). `Ok(None)`: nothing came in that time.
    ///
    /// # Errors
    /// [`Kind::Closed`] after [`close`](Self::close), when nothing is left; [`Kind::Cancelled`] if a
    /// signal ended the wait; [`Kind::Forked`] in the child of a fork; [`Kind::System`].
    pub(crate) fn next(&self, limit: Option<Duration>) -> Result<Option<T>, Error> {
        self.shared.check_process()?;
        let deadline = Deadline::after(Instant::now(), limit, Timeout::Total).at;
        loop {
            if let Some(item) = self.take()? {
                return Ok(Some(item));
            }
            let until = WaitUntil::new(deadline);
            if until.has_come() {
                return Ok(None);
            }
            match self.wait(until) {
                Ok(WakeReason::Notified | WakeReason::Ready { .. }) => {}
                Ok(WakeReason::Deadline) => return Ok(None),
                Ok(WakeReason::Interrupted) => {
                    return Err(Error::new(Kind::Cancelled, "interrupted by a signal"));
                }
                Err(error) => return Err(Error::from_os(Kind::System, "can't wait", &error)),
            }
        }
    }

    /// Waits until there may be an item. If that is allowed and no other thread waits for this engine's work,
    /// this thread runs the event loop, and no thread has to be woken when the work is done.
    fn wait(&self, until: WaitUntil) -> io::Result<WakeReason> {
        if let Some(driver) = self.host().and_then(|host| host.try_drive()) {
            return Ok(self.wait_as_host(&driver, until));
        }
        if let Some(driver) = self.try_drive() {
            let woken = driver.run(until, || self.is_waiting());
            lock(&self.shared.inner).driver = None;
            let is_alone = self.shared.listeners.load(Ordering::SeqCst) == 0;
            driver.leave(if is_alone { self.shared.senders() } else { 0 });
            return Ok(match woken {
                WakeReason::Interrupted if !was_interrupted() => WakeReason::Notified,
                woken => woken,
            });
        }
        self.shared.listeners.fetch_add(1, Ordering::SeqCst);
        let woken = if self.is_waiting() {
            wait(WaitFor { fd: None, notify: Some(&self.notify) }, until)
        } else {
            Ok(WakeReason::Notified)
        };
        self.shared.listeners.fetch_sub(1, Ordering::SeqCst);
        woken
    }

    /// This thread is the host, and waits by running the loop of this queue.
    fn wait_as_host(&self, driver: &Driver, until: WaitUntil) -> WakeReason {
        lock(&self.shared.inner).driver = Some(driver.waker());
        // The host does not wait for the descriptor meanwhile.
        self.shared.listeners.fetch_sub(1, Ordering::SeqCst);
        let woken = driver.run(until, || self.is_waiting());
        let mut inner = lock(&self.shared.inner);
        inner.driver = None;
        self.shared.listeners.fetch_add(1, Ordering::SeqCst);
        // This thread takes one; the descriptor shows the others.
        if self.shared.count.load(Ordering::SeqCst) > 1 {
            self.shared.update_signal(&mut inner);
        }
        drop(inner);
        match woken {
            WakeReason::Interrupted if !was_interrupted() => WakeReason::Notified,
            woken => woken,
        }
    }

    /// A descriptor for a host that drives: readable while there is an item, after [`close`](Self::close), and while
    /// [`drive`](Self::drive) has something to do. From the first call on, what is submitted with
    /// [`place`](Self::place) runs in a loop of this queue's own. It is closed with the queue.
    ///
    /// # Errors
    /// [`Kind::Forked`], [`Kind::System`].
    pub(crate) fn drive_descriptor(&self) -> Result<Descriptor, Error> {
        self.shared.check_process()?;
        let beside = self.descriptor();
        let host =
            self.host.get_or_try_init(|| HostLoop::start(Some(beside))).map_err(|error| {
                Error::from_os(Kind::System, "can't start the event loop of a queue", &error)
            })?;
        Ok(host.as_ref().map_or(beside, |host| host.group().descriptor()))
    }

    /// Runs on this thread what is ready. Doesn't wait. After it the items are to be taken until there is none:
    /// the descriptor does not show those that came meanwhile.
    ///
    /// # Errors
    /// [`Kind::Forked`]; [`Kind::InvalidState`] before [`drive_descriptor`](Self::drive_descriptor).
    pub(crate) fn drive(&self) -> Result<(), Error> {
        self.shared.check_process()?;
        let Some(host) = self.host.get() else {
            let what = "this queue has no event loop to drive: call hangup_queue_drive_fd first, and poll what it returns";
            return Err(Error::new(Kind::InvalidState, what));
        };
        if let Some(host) = host {
            self.shared.listeners.fetch_sub(1, Ordering::SeqCst);
            host.visit();
            self.shared.listeners.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    /// What this thread spawns while that lives is this queue's work. In the loop of a host that allows it, it is begun at the
    /// end, if there is no other work: the host need not come for it.
    pub(crate) fn place(&self) -> Place {
        let begins = |host: &Arc<HostLoop>| {
            self.caller_runs.load(Ordering::Relaxed).then(|| host.begin_alone()).flatten()
        };
        match self.host() {
            Some(host) => {
                Place { _begins: begins(host), _place: Some(SpawnPlace::enter(Some(host))) }
            }
            None => Place { _begins: None, _place: self.own_loop().map(SpawnPlace::enter_own) },
        }
    }

    /// The loop of a queue whose receivers run it while they wait, so that queues of several threads share none.
    fn own_loop(&self) -> Option<&OwnLoop> {
        if !self.caller_runs.load(Ordering::Relaxed) || Engine::has_set_threads() {
            return None;
        }
        // Without a thread for it the work is the engine's.
        self.own.get_or_init(|| OwnLoop::start().ok().flatten()).as_ref()
    }

    fn host(&self) -> Option<&Arc<HostLoop>> {
        self.host.get()?.as_ref()
    }

    fn try_drive(&self) -> Option<Driver> {
        let allowed = self.caller_runs.load(Ordering::Relaxed);
        if !allowed || Engine::has_set_threads() || self.shared.listeners.load(Ordering::SeqCst) > 0
        {
            return None;
        }
        let driver = match self.own.get() {
            Some(Some(own)) => own.try_drive()?,
            _ => Engine::try_drive(self.shared.senders())?,
        };
        let mut inner = lock(&self.shared.inner);
        // There can be two engines for a moment, one starting and one ending.
        if inner.driver.is_some() {
            return None;
        }
        inner.driver = Some(driver.waker());
        Some(driver)
    }

    /// Whether there is no item, and one may come.
    fn is_waiting(&self) -> bool {
        self.shared.count.load(Ordering::SeqCst) == 0 && self.shared.is_open()
    }

    fn take(&self) -> Result<Option<T>, Error> {
        let mut fetched = lock(&self.fetched);
        if fetched.is_empty() {
            let mut inner = lock(&self.shared.inner);
            std::mem::swap(&mut *fetched, &mut inner.items);
            if fetched.is_empty() && !inner.is_open() {
                return Err(Error::new(
                    Kind::Closed,
                    "the queue was closed, and nothing is left in it",
                ));
            }
        }
        let item = fetched.pop_front();
        drop(fetched);
        if item.is_some() && self.shared.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            let mut inner = lock(&self.shared.inner);
            let is_empty = self.shared.count.load(Ordering::SeqCst) == 0;
            if is_empty && inner.is_open() && inner.signal == Signal::Readable {
                inner.signal = Signal::Unreadable;
                self.notify.clear();
            }
        }
        Ok(item)
    }

    /// Ends all waits, now and later: [`next`](Self::next) returns [`Kind::Closed`] when no item is left,
    /// and [`sender`](Self::sender) fails. In the child of a fork it does nothing.
    pub(crate) fn close(&self) {
        if self.shared.check_process().is_ok() {
            let mut inner = lock(&self.shared.inner);
            inner.life = Life::Closed;
            let driver = inner.driver.clone();
            drop(inner);
            self.notify.set();
            if let Some(driver) = driver {
                driver.wake();
            }
        }
    }

    /// A sending end, for one item or many.
    ///
    /// # Errors
    /// [`Kind::Closed`], [`Kind::Forked`].
    pub(crate) fn sender(&self) -> Result<QueueSender<T>, Error> {
        self.shared.check_process()?;
        if !matches!(lock(&self.shared.inner).life, Life::Open(_)) {
            return Err(Error::new(Kind::Closed, "the queue was closed; make a new one"));
        }
        Ok(QueueSender(Arc::clone(&self.shared)))
    }

    /// A descriptor that is readable while there is an item, and after [`close`](Self::close). It is closed with
    /// the queue.
    pub(crate) fn descriptor(&self) -> Descriptor {
        let mut inner = lock(&self.shared.inner);
        if !inner.is_watched {
            inner.is_watched = true;
            self.shared.listeners.fetch_add(1, Ordering::SeqCst);
            self.shared.update_signal(&mut inner);
        }
        self.notify.descriptor()
    }
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        if self.shared.check_process().is_ok() {
            let mut inner = lock(&self.shared.inner);
            inner.life = Life::Dropped;
            let items = std::mem::take(&mut inner.items);
            drop(inner);
            // Dropped without the lock: items close their connections, which takes other locks.
            drop((items, std::mem::take(&mut *lock(&self.fetched))));
        }
    }
}

impl<T: Send + 'static> QueueSender<T> {
    /// Puts an item in. If the receiving end was dropped, the item is dropped.
    pub(crate) fn put(&self, item: T) {
        let mut inner = lock(&self.0.inner);
        if matches!(inner.life, Life::Dropped) {
            drop(inner);
            return drop(item);
        }
        inner.items.push_back(item);
        self.0.count.fetch_add(1, Ordering::SeqCst);
        let is_first = inner.signal == Signal::Unreadable;
        if is_first {
            inner.signal = Signal::Due;
        }
        drop(inner);
        if is_first {
            let waker: Arc<dyn WakeTarget> = Arc::<Shared<T>>::clone(&self.0);
            wake_deferred(waker);
        }
    }
}

impl<T> Inner<T> {
    fn is_open(&self) -> bool {
        matches!(self.life, Life::Open(_))
    }
}

impl<T: Send> WakeTarget for Shared<T> {
    fn wake(&self) {
        self.update_signal(&mut lock(&self.inner));
    }
}

impl<T> Shared<T> {
    /// Makes the descriptor readable if there is an item and a thread waits, and wakes the receiver that runs
    /// the event loop.
    fn update_signal(&self, inner: &mut Inner<T>) {
        let is_empty = self.count.load(Ordering::SeqCst) == 0;
        let is_awaited = self.listeners.load(Ordering::SeqCst) > 0;
        if !is_empty && let Some(driver) = &inner.driver {
            driver.wake();
        }
        inner.signal = if is_empty || !is_awaited { Signal::Unreadable } else { Signal::Readable };
        if inner.signal == Signal::Readable
            && let Life::Open(notify) = &inner.life
        {
            notify.set();
        }
    }

    /// How many sending ends there are: at most as many items may still come.
    fn senders(self: &Arc<Self>) -> usize {
        Arc::strong_count(self) - 1
    }

    fn is_open(&self) -> bool {
        lock(&self.inner).is_open()
    }

    /// In the child of a fork the lock may be held forever by a thread that does not exist there, and the
    /// descriptor is shared with the parent, which would lose wake-ups if the child cleared it.
    fn check_process(&self) -> Result<(), Error> {
        if self.process == fork_generation() {
            return Ok(());
        }
        let what = "this queue is of the parent of this process; make a new one";
        Err(Error::new(Kind::Forked, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::are_readable;

    #[test]
    fn the_descriptor_tells_whether_there_is_something() {
        let queue = Queue::new().unwrap();
        let sender = queue.sender().unwrap();
        let readable = || are_readable(&[queue.descriptor()])[0];
        for _ in 0..2 {
            assert!(!readable());
            sender.put(1);
            sender.put(2);
            assert!(readable());
            assert_eq!(queue.next(None).unwrap(), Some(1));
            assert!(readable());
            assert_eq!(queue.next(None).unwrap(), Some(2));
        }
        assert!(!readable());
        assert_eq!(queue.next(Some(Duration::ZERO)).unwrap(), None);
        assert_eq!(queue.next(Some(Duration::from_millis(2))).unwrap(), None);
    }

    #[test]
    fn a_closed_queue_is_taken_to_its_end() {
        let queue = Queue::new().unwrap();
        let sender = queue.sender().unwrap();
        sender.put(1);
        queue.close();
        assert_eq!(queue.sender().unwrap_err().kind(), Kind::Closed);
        assert_eq!(queue.next(None).unwrap(), Some(1));
        assert_eq!(queue.next(None).unwrap_err().kind(), Kind::Closed);
        // A sending end from before the close still works.
        sender.put(2);
        assert_eq!(queue.next(None).unwrap(), Some(2));
        assert_eq!(queue.next(None).unwrap_err().kind(), Kind::Closed);
        assert!(are_readable(&[queue.descriptor()])[0]);
    }

    #[test]
    fn nothing_stays_in_a_queue_whose_receiving_end_was_dropped() {
        let (before, after) = (Arc::new(()), Arc::new(()));
        let queue = Queue::new().unwrap();
        let sender = queue.sender().unwrap();
        sender.put(Arc::clone(&before));
        drop(queue);
        sender.put(Arc::clone(&after));
        assert_eq!((Arc::strong_count(&before), Arc::strong_count(&after)), (1, 1));
    }

    #[test]
    fn each_item_goes_to_one_of_many_takers() {
        let queue = Queue::new().unwrap();
        let all: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| std::iter::from_fn(|| queue.next(None).ok()?).sum::<usize>())
                })
                .collect();
            let putters: Vec<_> = (0..4)
                .map(|part| {
                    let sender = queue.sender().unwrap();
                    scope.spawn(move || (0..1000).for_each(|n| sender.put(part * 1000 + n)))
                })
                .collect();
            putters.into_iter().for_each(|putter| putter.join().unwrap());
            queue.close();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum::<usize>()
        });
        assert_eq!(all, (0..4000).sum::<usize>());
    }
}
