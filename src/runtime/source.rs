//! A descriptor as its waiters see it, and what is remembered of it between two waits.
//!
//! A thread asks the kernel each time. A fiber's descriptor stays registered with the reactor of its loop,
//! edge-triggered (epoll(7)): what the kernel reported is kept here until a wait takes it. That may be more
//! than is still true, never less: after "ready" a waiter tries, and waits again if there was nothing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::interest::Interest;
use super::reactor::Reactor;
use super::readiness::{Readiness, ReadyState};
use super::sys::{self, Descriptor};
use crate::sync::{Mutex, lock};

/// Threads: any thread at any time; one task waits for it.
#[derive(Debug)]
pub(crate) struct Source {
    descriptor: Descriptor,
    /// Its waiter is a fiber of the reactor in `home`.
    ready_state: ReadyState,
    /// The id of the reactor in `home`, so that most calls need not lock it; 0 for none.
    home_id: AtomicU64,
    home: Mutex<Option<Home>>,
    /// The id of the reactor whose fiber has read all that came; 0 for none, or if more may have come since.
    read_by: AtomicU64,
    /// A wait reported that there is something to read, and no read has found it yet.
    promised: AtomicBool,
}

/// Where a source is registered.
#[derive(Debug)]
struct Home {
    reactor: Arc<Reactor>,
    token: usize,
}

impl Source {
    pub(crate) fn new(descriptor: Descriptor) -> Arc<Self> {
        Arc::new(Self {
            descriptor,
            ready_state: ReadyState::new(),
            home_id: AtomicU64::new(0),
            home: Mutex::new(None),
            read_by: AtomicU64::new(0),
            promised: AtomicBool::new(false),
        })
    }

    pub(crate) fn descriptor(&self) -> Descriptor {
        self.descriptor
    }

    /// A read took bytes. `filled`: it took as many as it had room for, so there may be more, of which the
    /// kernel does not report again.
    #[inline]
    pub(crate) fn was_read(&self, filled: bool) {
        if self.is_registered() {
            self.promised.store(false, Ordering::Relaxed);
            if filled || self.ready_state.has_short_reads() {
                self.ready_state.add(Readiness::READ);
            }
        }
    }

    /// Reads of this descriptor may stop before the end of what came.
    pub(crate) fn reads_may_be_short(&self) {
        self.ready_state.add(Readiness::SHORT_READS);
    }

    /// There is something to read that was not read.
    pub(crate) fn may_have_more(&self) {
        if self.is_registered() {
            self.ready_state.add(Readiness::READ);
        }
    }

    /// A read found nothing. If a wait had promised something, this may have been a failure that passes: the
    /// kernel is asked once more, because it does not report again.
    pub(crate) fn found_nothing(&self) {
        if self.promised.load(Ordering::Relaxed) {
            self.look_again(Interest::Read, Readiness::READ);
        }
    }

    /// A write found no room. The kernel is asked once more, for the same reason.
    pub(crate) fn found_no_room(&self) {
        if self.is_registered() {
            self.look_again(Interest::Write, Readiness::WRITE);
        }
    }

    #[cold]
    fn look_again(&self, interest: Interest, readiness: Readiness) {
        self.promised.store(false, Ordering::Relaxed);
        if sys::is_ready(self.descriptor, interest) {
            self.ready_state.add(readiness);
        }
    }

    /// A wait of a fiber ended because there is something to read.
    pub(super) fn promise_input(&self) {
        self.promised.store(true, Ordering::Relaxed);
    }

    /// It was shut down: its waiter is woken now, before the kernel's report of it is read.
    pub(crate) fn ended(&self) {
        if self.home_id.load(Ordering::SeqCst) == 0 {
            return;
        }
        if let Some(waiter) = self.ready_state.add(Readiness::ENDED)
            && let Some(home) = &*lock(&self.home)
        {
            home.reactor.wake_fiber(waiter);
        }
    }

    /// The descriptor is being closed, which ends the kernel's registration.
    pub(crate) fn retire(&self) {
        if self.home_id.load(Ordering::SeqCst) != 0
            && let Some(home) = lock(&self.home).take()
        {
            home.reactor.forget(home.token);
        }
    }

    /// It is not waited for any more, and may stay open. Ends the kernel's registration.
    pub(crate) fn withdraw(&self) {
        if self.home_id.load(Ordering::SeqCst) != 0
            && let Some(home) = lock(&self.home).take()
        {
            home.reactor.deregister(self.descriptor);
            home.reactor.forget(home.token);
        }
    }

    /// All that came was read. `reactor`: whose fiber read it; `None` if a thread did.
    pub(super) fn set_read_by(&self, reactor: Option<u64>) {
        self.read_by.store(reactor.unwrap_or(0), Ordering::Relaxed);
    }

    /// Whether that reactor's fiber has read all that came, and the reactor has reported nothing since.
    pub(super) fn is_silent_for(&self, reactor: u64) -> bool {
        reactor == self.read_by.load(Ordering::Relaxed) && !self.ready_state.may_have_read()
    }

    /// Whether it is registered with the event loop of that number: a wait there needs no system call for it.
    pub(crate) fn is_at(&self, event_loop: u64) -> bool {
        self.home_id() == event_loop
    }

    /// The id of the reactor that it is registered with; 0 for none.
    pub(super) fn home_id(&self) -> u64 {
        self.home_id.load(Ordering::Relaxed)
    }

    pub(super) fn ready_state(&self) -> &ReadyState {
        &self.ready_state
    }

    /// Registers it with this reactor, unless it is. `add` gives it its token there.
    pub(super) fn register_with(
        &self,
        reactor: &Arc<Reactor>,
        add: impl FnOnce() -> usize,
    ) -> io::Result<()> {
        if self.home_id() == reactor.id() {
            return Ok(());
        }
        let mut home = lock(&self.home);
        if let Some(former) = home.take() {
            former.reactor.deregister(self.descriptor);
            former.reactor.forget(former.token);
            self.home_id.store(0, Ordering::SeqCst);
        }
        let token = add();
        if let Err(error) = reactor.register(self.descriptor, token) {
            reactor.forget(token);
            return Err(error);
        }
        *home = Some(Home { reactor: Arc::clone(reactor), token });
        self.home_id.store(reactor.id(), Ordering::SeqCst);
        Ok(())
    }

    /// That reactor's loop has ended. The next reactor's kernel registration reports anew what the descriptor
    /// is ready for.
    pub(super) fn reactor_ended(&self, reactor: &Reactor) {
        let mut home = lock(&self.home);
        if home.as_ref().is_some_and(|home| home.reactor.id() == reactor.id()) {
            self.home_id.store(0, Ordering::SeqCst);
            let former = home.take();
            drop((home, former));
        }
    }

    fn is_registered(&self) -> bool {
        self.home_id() != 0
    }
}
