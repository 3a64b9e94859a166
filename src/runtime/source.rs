//! A descriptor as those who wait for it see it, and what is remembered of it between two waits.
//!
//! Threads ask the kernel each time. A fiber's descriptor stays registered with its reactor,
//! edge-triggered (epoll(7)): what the kernel said is kept here until a wait takes it. That may be
//! more than is true by now, never less, so whoever is told "ready" tries, and waits again if
//! there was nothing.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Interest;
use super::fiber;
use super::reactor::Reactor;
use super::readiness::{Readiness, ReadyState};
use super::thread::ready_now;
use crate::sync::{Mutex, lock};

/// Threads: any thread at any time; waited for by one task.
#[derive(Debug)]
pub(crate) struct Source {
    fd: RawFd,
    /// Who waits is a fiber of the reactor in `home`.
    notes: ReadyState,
    /// Which reactor is in `home`, so that most need not look there; 0 for none.
    home_id: AtomicU64,
    home: Mutex<Option<Home>>,
    /// The reactor of the fiber that read all that came; 0 for none, or if more may have come since.
    read_by: AtomicU64,
    /// A wait said that there is something to read, and no read has found it yet.
    promised: AtomicBool,
}

/// Where it is registered.
#[derive(Debug)]
struct Home {
    reactor: Arc<Reactor>,
    token: usize,
}

impl Source {
    pub(crate) fn new(fd: RawFd) -> Arc<Self> {
        Arc::new(Self {
            fd,
            notes: ReadyState::new(),
            home_id: AtomicU64::new(0),
            home: Mutex::new(None),
            read_by: AtomicU64::new(0),
            promised: AtomicBool::new(false),
        })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd
    }

    /// A read took bytes. `filled`: as many as it had room for, so that there may be more, of which the
    /// kernel will not tell again.
    #[inline]
    pub(crate) fn was_read(&self, filled: bool) {
        if self.home_id.load(Ordering::Relaxed) != 0 {
            self.promised.store(false, Ordering::Relaxed);
            if filled || self.notes.has_short_reads() {
                self.notes.happened(Readiness::READ);
            }
        }
    }

    /// Reads of this descriptor may stop before the end of what came.
    pub(crate) fn reads_may_be_short(&self) {
        self.notes.happened(Readiness::SHORT_READS);
    }

    /// There is something to read that was not read.
    pub(crate) fn may_have_more(&self) {
        if self.home_id.load(Ordering::Relaxed) != 0 {
            self.notes.happened(Readiness::READ);
        }
    }

    /// A read found nothing. If a wait had promised something, this may have been a failure that passes:
    /// the kernel is asked once more, as it will not tell again.
    pub(crate) fn found_nothing(&self) {
        if self.promised.load(Ordering::Relaxed) {
            self.look_again(Interest::Read, Readiness::READ);
        }
    }

    /// A write found no room. The kernel is asked once more, for the same reason.
    pub(crate) fn found_no_room(&self) {
        if self.home_id.load(Ordering::Relaxed) != 0 {
            self.look_again(Interest::Write, Readiness::WRITE);
        }
    }

    #[cold]
    fn look_again(&self, interest: Interest, readiness: Readiness) {
        self.promised.store(false, Ordering::Relaxed);
        if ready_now(self.fd, interest) {
            self.notes.happened(readiness);
        }
    }

    /// A wait of a fiber ended because there is something to read.
    pub(super) fn promises_input(&self) {
        self.promised.store(true, Ordering::Relaxed);
    }

    /// It was shut down: whoever waits for it is woken now, and not when the kernel's word of it
    /// gets its turn.
    pub(crate) fn ended(&self) {
        if self.home_id.load(Ordering::SeqCst) == 0 {
            return;
        }
        if let Some(waiter) = self.notes.happened(Readiness::ENDED)
            && let Some(home) = &*lock(&self.home)
        {
            home.reactor.wake(waiter);
        }
    }

    /// The descriptor is being closed, and with that the kernel's registration ends.
    pub(crate) fn retire(&self) {
        if self.home_id.load(Ordering::SeqCst) != 0
            && let Some(home) = lock(&self.home).take()
        {
            home.reactor.forget(home.token);
        }
    }

    /// All that came was read, and nothing shall come for now.
    pub(crate) fn mark_idle(&self) {
        self.read_by.store(self.home_here().unwrap_or(0), Ordering::Relaxed);
    }

    /// Whether nothing has come since it came to rest, no byte and no end, as far as the kernel has said
    /// when the loop that runs here last looked: a moment ago, and without a system call.
    pub(crate) fn was_silent(&self) -> bool {
        let read_by = self.read_by.load(Ordering::Relaxed);
        self.home_here() == Some(read_by) && !self.notes.may_have_read()
    }

    /// Where it is registered, if that is with the loop that runs here.
    fn home_here(&self) -> Option<u64> {
        let home = self.home_id.load(Ordering::Relaxed);
        (home != 0 && fiber::current()?.reactor_id() == home).then_some(home)
    }

    pub(super) fn notes(&self) -> &ReadyState {
        &self.notes
    }

    /// That reactor's loop has ended. Where it is registered next, the kernel says anew what it is
    /// ready for.
    pub(super) fn lives_no_more_with(&self, reactor: &Reactor) {
        let mut home = lock(&self.home);
        if home.as_ref().is_some_and(|home| home.reactor.id() == reactor.id()) {
            self.home_id.store(0, Ordering::SeqCst);
            let left = home.take();
            drop((home, left));
        }
    }

    /// Registers it with this reactor, unless it is. `enter` gives it its token there.
    pub(super) fn live_with(
        &self,
        reactor: &Arc<Reactor>,
        enter: impl FnOnce() -> usize,
    ) -> std::io::Result<()> {
        if self.home_id.load(Ordering::Relaxed) == reactor.id() {
            return Ok(());
        }
        let mut home = lock(&self.home);
        if let Some(known) = home.take() {
            // Another I/O thread had it last.
            known.reactor.unregister(self.fd);
            known.reactor.forget(known.token);
            self.home_id.store(0, Ordering::SeqCst);
        }
        let token = enter();
        if let Err(error) = reactor.register(self.fd, token) {
            reactor.forget(token);
            return Err(error);
        }
        *home = Some(Home { reactor: Arc::clone(reactor), token });
        self.home_id.store(reactor.id(), Ordering::SeqCst);
        Ok(())
    }
}
