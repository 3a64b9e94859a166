//! A completion queue: many who put, many who take, and a descriptor for whoever has an event loop
//! of its own.
//!
//! The descriptor is set and cleared under the lock, when the queue gets its first and loses its
//! last, so it is never readable for nothing, and a busy queue costs no system call. What is put in
//! by an event loop rings together with what its next few turns put in. It is left alone while nobody
//! listens to it: where that was allowed ([`Queue::set_caller_runs`]), a taker that waits alone runs the
//! event loop itself.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::process::fork_generation;
use crate::runtime::{
    Descriptor, Driver, Engine, Notify, WaitFor, WaitUntil, WakeReason, WakeTarget, wait,
    wake_deferred, was_interrupted,
};
use crate::sync::{Mutex, lock};
use crate::timeouts::Deadline;
use crate::vocabulary::{Kind, Timeout};

/// A queue as those see it who take from it. Its end drops what is in it, and what is put into it
/// afterwards. Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    shared: Arc<Shared<T>>,
    /// The oldest items, fetched together, so that who puts and who takes rarely meet.
    fetched: Mutex<VecDeque<T>>,
    /// Set while there is something to take, and from the close on.
    event: Arc<Notify>,
    /// A taker that waits may run the event loop.
    caller_runs: AtomicBool,
}

/// The same queue as those see it who put something in; it may outlive its takers. Threads: any
/// thread at any time.
#[derive(Debug)]
pub(crate) struct QueueSender<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    inner: Mutex<Inner<T>>,
    /// How many were put and not taken.
    count: AtomicUsize,
    /// How many wait for the descriptor; whoever asked for it counts as one for ever.
    listeners: AtomicUsize,
    process: u32,
}

#[derive(Debug)]
struct Inner<T> {
    items: VecDeque<T>,
    life: Life,
    waker: Bell,
    /// Somebody asked for the descriptor.
    is_watched: bool,
    /// Whom to tell while a taker does the work.
    guest: Option<Arc<dyn WakeTarget>>,
}

/// The descriptor, while the queue is open and somebody listens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bell {
    Silent,
    /// Somebody is about to ring it.
    Due,
    Rung,
}

#[derive(Debug)]
enum Life {
    /// Somebody may wait for more, by this event.
    Open(Arc<Notify>),
    /// Nobody shall wait for more.
    Closed,
    /// Nobody can take anything.
    Over,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> io::Result<Self> {
        let event = Arc::new(Notify::new()?);
        let life = Life::Open(Arc::clone(&event));
        let inner = Inner {
            items: VecDeque::new(),
            life,
            waker: Bell::Silent,
            is_watched: false,
            guest: None,
        };
        let shared = Arc::new(Shared {
            inner: Mutex::new(inner),
            count: AtomicUsize::new(0),
            listeners: AtomicUsize::new(0),
            process: fork_generation(),
        });
        Ok(Self { shared, fetched: Mutex::default(), event, caller_runs: AtomicBool::new(false) })
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
        self.shared.is_ours()?;
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

    /// Waits until there may be something to take. If that is allowed and nobody else waits for what is
    /// under way, this thread does the work: it is here when it is done, and nobody has to wake it.
    fn wait(&self, until: WaitUntil) -> io::Result<WakeReason> {
        if let Some(guest) = self.try_drive() {
            let woken = guest.run(until, || self.is_quiet());
            lock(&self.shared.inner).guest = None;
            let is_alone = self.shared.listeners.load(Ordering::SeqCst) == 0;
            guest.leave(if is_alone { self.shared.promised() } else { 0 });
            return Ok(match woken {
                WakeReason::Interrupted if !was_interrupted() => WakeReason::Notified,
                woken => woken,
            });
        }
        self.shared.listeners.fetch_add(1, Ordering::SeqCst);
        let woken = if self.is_quiet() {
            wait(WaitFor { fd: None, notify: Some(&self.event) }, until)
        } else {
            Ok(WakeReason::Notified)
        };
        self.shared.listeners.fetch_sub(1, Ordering::SeqCst);
        woken
    }

    fn try_drive(&self) -> Option<Driver> {
        let allowed = self.caller_runs.load(Ordering::Relaxed);
        if !allowed || self.shared.listeners.load(Ordering::SeqCst) > 0 {
            return None;
        }
        let guest = Engine::try_drive(self.shared.promised())?;
        let mut inner = lock(&self.shared.inner);
        // Two engines can be there at once, one beginning and one ending.
        if inner.guest.is_some() {
            return None;
        }
        inner.guest = Some(guest.waker());
        Some(guest)
    }

    /// Whether there is nothing to take, and something may come.
    fn is_quiet(&self) -> bool {
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
            if is_empty && inner.is_open() && inner.waker == Bell::Rung {
                inner.waker = Bell::Silent;
                self.event.clear();
            }
        }
        Ok(item)
    }

    /// From now on nobody waits: [`next`](Self::next) answers [`Kind::Closed`] when nothing is left,
    /// and nobody gets an intake. In the child of a fork it does nothing.
    pub(crate) fn close(&self) {
        if self.shared.is_ours().is_ok() {
            let mut inner = lock(&self.shared.inner);
            inner.life = Life::Closed;
            let guest = inner.guest.clone();
            drop(inner);
            self.event.set();
            if let Some(guest) = guest {
                guest.wake();
            }
        }
    }

    /// A way in, for one or many.
    ///
    /// # Errors
    /// [`Kind::Closed`], [`Kind::Forked`].
    pub(crate) fn sender(&self) -> Result<QueueSender<T>, Error> {
        self.shared.is_ours()?;
        if !matches!(lock(&self.shared.inner).life, Life::Open(_)) {
            return Err(Error::new(Kind::Closed, "the queue was closed; make a new one"));
        }
        Ok(QueueSender(Arc::clone(&self.shared)))
    }

    /// A descriptor that is readable while there is something to take, or nothing to wait for. It is
    /// closed with the queue.
    pub(crate) fn descriptor(&self) -> Descriptor {
        let mut inner = lock(&self.shared.inner);
        if !inner.is_watched {
            inner.is_watched = true;
            self.shared.listeners.fetch_add(1, Ordering::SeqCst);
            self.shared.tell(&mut inner);
        }
        self.event.descriptor()
    }
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        if self.shared.is_ours().is_ok() {
            let mut inner = lock(&self.shared.inner);
            inner.life = Life::Over;
            let items = std::mem::take(&mut inner.items);
            drop(inner);
            // Closing what is in them takes its time, and locks of its own.
            drop((items, std::mem::take(&mut *lock(&self.fetched))));
        }
    }
}

impl<T: Send + 'static> QueueSender<T> {
    /// Puts something in. If nobody can take it any more, it is dropped.
    pub(crate) fn put(&self, item: T) {
        let mut inner = lock(&self.0.inner);
        if matches!(inner.life, Life::Over) {
            drop(inner);
            return drop(item);
        }
        inner.items.push_back(item);
        self.0.count.fetch_add(1, Ordering::SeqCst);
        let is_first_word = inner.waker == Bell::Silent;
        if is_first_word {
            inner.waker = Bell::Due;
        }
        drop(inner);
        if is_first_word {
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
        self.tell(&mut lock(&self.inner));
    }
}

impl<T> Shared<T> {
    /// Tells those who wait whether there is something.
    fn tell(&self, inner: &mut Inner<T>) {
        let is_empty = self.count.load(Ordering::SeqCst) == 0;
        let is_heard = self.listeners.load(Ordering::SeqCst) > 0;
        if !is_empty && let Some(guest) = &inner.guest {
            guest.wake();
        }
        inner.waker = if is_empty || !is_heard { Bell::Silent } else { Bell::Rung };
        if inner.waker == Bell::Rung
            && let Life::Open(event) = &inner.life
        {
            event.set();
        }
    }

    /// How many completions may still come.
    fn promised(self: &Arc<Self>) -> usize {
        Arc::strong_count(self) - 1
    }

    fn is_open(&self) -> bool {
        lock(&self.inner).is_open()
    }

    /// In the child of a fork the lock may be held for ever by a thread that is not there, and the
    /// descriptor is the parent's, too: to clear it would be to deafen the parent.
    fn is_ours(&self) -> Result<(), Error> {
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
        // What was promised before still comes.
        sender.put(2);
        assert_eq!(queue.next(None).unwrap(), Some(2));
        assert_eq!(queue.next(None).unwrap_err().kind(), Kind::Closed);
        assert!(are_readable(&[queue.descriptor()])[0]);
    }

    #[test]
    fn nothing_stays_in_a_queue_that_nobody_takes_from() {
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
