//! A descriptor as those who wait for it see it, and what is remembered of it between two waits.
//!
//! Threads ask the kernel each time. A fiber's descriptor stays registered with its reactor,
//! edge-triggered (epoll(7)): what the kernel said is kept here until a wait takes it. That may be
//! more than is true by now, never less, so whoever is told "ready" tries, and waits again if
//! there was nothing.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::Interest;
use super::reactor::Reactor;
use crate::sync::{Mutex, lock};

/// Threads: any thread at any time; waited for by one task.
#[derive(Debug)]
pub(crate) struct Source {
    fd: RawFd,
    ready: AtomicU8,
    /// Who waits, and for what: a fiber of the reactor in `home`. 0 for nobody.
    waiter: AtomicU64,
    wanted: AtomicU8,
    /// Which reactor is in `home`, so that most need not look there; 0 for none.
    home_id: AtomicU64,
    home: Mutex<Option<Home>>,
}

/// Where it is registered.
#[derive(Debug)]
struct Home {
    reactor: Arc<Reactor>,
    token: usize,
}

/// What a descriptor is ready for. The two ends are for good: reading or writing there never
/// waits again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Readiness(u8);

impl Readiness {
    pub(super) const READ: Self = Self(1);
    pub(super) const WRITE: Self = Self(2);
    const READ_ENDED: Self = Self(4);
    const WRITE_ENDED: Self = Self(8);
    pub(super) const NONE: Self = Self(0);
    const ENDED: Self = Self(4 | 8);

    pub(super) fn of(event: &mio::event::Event) -> Self {
        let mut ready = Self::NONE;
        let mut add = |is: bool, what: Self| ready.0 |= if is { what.0 } else { 0 };
        add(event.is_readable(), Self::READ);
        add(event.is_writable(), Self::WRITE);
        add(event.is_read_closed(), Self::READ_ENDED);
        add(event.is_write_closed(), Self::WRITE_ENDED);
        add(event.is_error(), Self::ENDED);
        ready
    }

    pub(super) fn read(self) -> bool {
        self.0 & (Self::READ.0 | Self::READ_ENDED.0) != 0
    }

    pub(super) fn write(self) -> bool {
        self.0 & (Self::WRITE.0 | Self::WRITE_ENDED.0) != 0
    }

    pub(super) fn any(self) -> bool {
        self.0 != 0
    }

    fn wanted(interest: Interest) -> Self {
        match interest {
            Interest::Read => Self(Self::READ.0 | Self::READ_ENDED.0),
            Interest::Write => Self(Self::WRITE.0 | Self::WRITE_ENDED.0),
            Interest::Either => Self(Self::READ.0 | Self::WRITE.0 | Self::ENDED.0),
        }
    }
}

impl Source {
    pub(crate) fn new(fd: RawFd) -> Arc<Self> {
        Arc::new(Self {
            fd,
            ready: AtomicU8::new(0),
            waiter: AtomicU64::new(0),
            wanted: AtomicU8::new(0),
            home_id: AtomicU64::new(0),
            home: Mutex::new(None),
        })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd
    }

    /// A read took as much as it had room for: there may be more, of which the kernel will not
    /// tell again.
    pub(crate) fn may_have_more(&self) {
        if self.home_id.load(Ordering::Relaxed) != 0 {
            self.ready.fetch_or(Readiness::READ.0, Ordering::SeqCst);
        }
    }

    /// It was shut down: whoever waits for it is woken now, and not when the kernel's word of it
    /// gets its turn.
    pub(crate) fn ended(&self) {
        if self.home_id.load(Ordering::SeqCst) == 0 {
            return;
        }
        self.ready.fetch_or(Readiness::ENDED.0, Ordering::SeqCst);
        let waiter = self.waiter.load(Ordering::SeqCst);
        if waiter != 0
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

    /// What it is ready for, of what is wanted; it counts as taken.
    pub(super) fn take(&self, interest: Interest) -> Readiness {
        let hit = self.ready.load(Ordering::SeqCst) & Readiness::wanted(interest).0;
        let passing = hit & (Readiness::READ.0 | Readiness::WRITE.0);
        if passing != 0 {
            self.ready.fetch_and(!passing, Ordering::SeqCst);
        }
        Readiness(hit)
    }

    /// A fiber begins to wait. What is taken after this is not missed.
    pub(super) fn waits(&self, fiber: u64, interest: Interest) {
        self.wanted.store(Readiness::wanted(interest).0, Ordering::Relaxed);
        self.waiter.store(fiber, Ordering::SeqCst);
    }

    pub(super) fn waits_no_more(&self) {
        self.waiter.store(0, Ordering::Relaxed);
    }

    /// Notes what the kernel says; answers who waits for just that.
    pub(super) fn happened(&self, ready: Readiness) -> Option<u64> {
        self.ready.fetch_or(ready.0, Ordering::SeqCst);
        let waiter = self.waiter.load(Ordering::SeqCst);
        (waiter != 0 && self.wanted.load(Ordering::Relaxed) & ready.0 != 0).then_some(waiter)
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
