//! A pool of one connection with the rules of the library's pool. A waiter is granted the connection
//! under the lock, and takes it when it is to_wake. An ended waiter gives it to the next one. An
//! exchange that is ended while it uses the connection loses it. The slot is freed after the lock
//! was released.

use std::collections::VecDeque;

use loom::sync::atomic::{AtomicUsize, Ordering};

use super::control::{Control, EndLease};
use crate::sync::{Arc, Mutex, Weak, lock};
use crate::vocabulary::CloseReason;

#[path = "../../../../src/manager/pool/slot.rs"]
mod slot;

use slot::{FreeSlots, Slot};

#[derive(Debug)]
pub(crate) struct Pool {
    me: Weak<Self>,
    state: Mutex<State>,
    released: AtomicUsize,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    slot: Option<Slot>,
    waiting: VecDeque<Arc<Control>>,
}

#[derive(Debug)]
enum Stage {
    Idle,
    InUse(Arc<Control>),
    Granted(Arc<Control>),
    Closed,
}

#[derive(Debug, PartialEq, Eq)]
enum Checkout {
    Open,
    Wait,
    Ended,
}

/// The only connection.
const ID: u64 = 1;

impl Pool {
    fn new() -> Arc<Self> {
        Arc::new_cyclic(|me: &Weak<Self>| {
            let owner: Weak<dyn FreeSlots> = me.clone();
            let slot = Some(Slot::new(owner, 0));
            let state = State { stage: Stage::Idle, slot, waiting: VecDeque::new() };
            Self { me: Weak::clone(me), state: Mutex::new(state), released: AtomicUsize::new(0) }
        })
    }

    fn checkout(&self, control: &Arc<Control>) -> Checkout {
        let mut state = lock(&self.state);
        if control.cause().is_some() {
            return Checkout::Ended;
        }
        if !matches!(state.stage, Stage::Idle) {
            state.waiting.push_back(Arc::clone(control));
            return Checkout::Wait;
        }
        state.stage = Stage::InUse(Arc::clone(control));
        control.set_connection(ID);
        Checkout::Open
    }

    fn poll(&self, control: &Arc<Control>) -> Checkout {
        let mut state = lock(&self.state);
        if control.cause().is_some() {
            return Checkout::Ended;
        }
        if state.is_granted_to(control) {
            state.stage = Stage::InUse(Arc::clone(control));
            return Checkout::Open;
        }
        Checkout::Wait
    }

    /// Stops waiting. What was granted in the last moment it gets, or gives to the next waiter.
    fn cancel_wait(&self, control: &Arc<Control>) -> Checkout {
        let mut state = lock(&self.state);
        state.waiting.retain(|other| !Arc::ptr_eq(other, control));
        if !state.is_granted_to(control) {
            return Checkout::Ended;
        }
        if control.cause().is_none() {
            state.stage = Stage::InUse(Arc::clone(control));
            return Checkout::Open;
        }
        let to_wake = state.offer();
        drop(state);
        wake(to_wake);
        Checkout::Ended
    }

    fn give_back(&self) {
        let mut state = lock(&self.state);
        let to_wake = state.offer();
        drop(state);
        wake(to_wake);
    }

    /// Waits as an exchange does.
    fn wait(&self, control: &Arc<Control>) -> Checkout {
        let event = control.register_wake();
        loop {
            match self.poll(control) {
                Checkout::Wait => event.wait_and_clear(),
                Checkout::Ended => return self.cancel_wait(control),
                Checkout::Open => return Checkout::Open,
            }
        }
    }
}

impl EndLease for Pool {
    fn end_lease(&self, control: &Control, _: CloseReason) {
        let mut state = lock(&self.state);
        let id = control.connection();
        if id == ID
            && matches!(&state.stage, Stage::InUse(owner) if std::ptr::eq(&**owner, control))
        {
            state.stage = Stage::Closed;
            let slot = state.slot.take();
            drop(state);
            drop(slot);
        }
    }
}

impl FreeSlots for Pool {
    fn free_slots(&self, key_ids: &[usize]) {
        // A slot that is dropped under the lock would deadlock here.
        drop(lock(&self.state));
        self.released.fetch_add(key_ids.len(), Ordering::SeqCst);
    }
}

impl State {
    fn is_granted_to(&self, control: &Arc<Control>) -> bool {
        matches!(&self.stage, Stage::Granted(owner) if Arc::ptr_eq(owner, control))
    }

    /// The connection is free: grants it to the first waiter that was not ended.
    fn offer(&mut self) -> Option<Arc<Control>> {
        let next = self.waiting.iter().position(|waiter| waiter.cause().is_none());
        let next = next.and_then(|index| self.waiting.remove(index));
        match &next {
            Some(control) => {
                control.set_connection(ID);
                self.stage = Stage::Granted(Arc::clone(control));
            }
            None => self.stage = Stage::Idle,
        }
        next
    }
}

fn wake(to_wake: Option<Arc<Control>>) {
    if let Some(control) = to_wake {
        control.wake();
    }
}

#[cfg(test)]
mod tests {
    use loom::thread;

    use super::super::control::Cause;
    use super::*;

    /// A pool whose connection is in use, and exchanges that wait for it.
    fn taken<const N: usize>() -> (Arc<Pool>, [Arc<Control>; N]) {
        let pool = Pool::new();
        let user = Control::new(&pool);
        assert_eq!(pool.checkout(&user), Checkout::Open);
        let waiters = [(); N].map(|()| Control::new(&pool));
        for waiter in &waiters {
            assert_eq!(pool.checkout(waiter), Checkout::Wait);
        }
        (pool, waiters)
    }

    fn cancel(control: &Arc<Control>) -> thread::JoinHandle<()> {
        let control = Arc::clone(control);
        thread::spawn(move || control.end(Cause::Cancelled))
    }

    fn give_back(pool: &Arc<Pool>) -> thread::JoinHandle<()> {
        let pool = Arc::clone(pool);
        thread::spawn(move || pool.give_back())
    }

    #[test]
    fn a_connection_that_is_granted_while_its_waiter_is_cancelled_has_one_owner() {
        // All orders of the three threads take minutes.
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(4);
        model.check(|| {
            let (pool, [waiter]) = taken();
            let others = [give_back(&pool), cancel(&waiter)];
            let got = pool.wait(&waiter);
            others.into_iter().for_each(|other| other.join().unwrap());
            let state = lock(&pool.state);
            assert!(state.waiting.is_empty());
            match got {
                // Granted, used, and then ended; or given to the next one.
                Checkout::Open => {
                    assert!(matches!(state.stage, Stage::Closed), "{:?}", state.stage)
                }
                _ => assert!(matches!(state.stage, Stage::Idle), "{:?}", state.stage),
            }
            drop(state);
            assert_eq!(pool.released.load(Ordering::SeqCst), usize::from(got == Checkout::Open));
        });
    }

    #[test]
    fn a_waiter_behind_a_cancelled_one_gets_the_connection() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let (pool, [first, second]) = taken();
            let waiting = {
                let (pool, first) = (Arc::clone(&pool), Arc::clone(&first));
                thread::spawn(move || {
                    // The exchange gives its connection back, if it got it.
                    if pool.wait(&first) == Checkout::Open && first.try_finish(Cause::Done) {
                        pool.give_back();
                    }
                })
            };
            // Cancelled from the thread that gives back, before or after the other has stopped waiting.
            let giving = {
                let (pool, first) = (Arc::clone(&pool), Arc::clone(&first));
                thread::spawn(move || {
                    pool.give_back();
                    first.end(Cause::Cancelled);
                })
            };
            waiting.join().unwrap();
            giving.join().unwrap();
            let closed = matches!(lock(&pool.state).stage, Stage::Closed);
            // Unless the first lost it in the middle of its exchange, the second was granted it.
            assert!(closed || pool.poll(&second) == Checkout::Open);
        });
    }

    #[test]
    fn a_grant_at_the_deadline_of_its_waiter_is_taken_or_goes_to_others() {
        loom::model(|| {
            let (pool, [waiter]) = taken();
            let giving = give_back(&pool);
            let got = pool.cancel_wait(&waiter);
            giving.join().unwrap();
            let state = lock(&pool.state);
            match got {
                Checkout::Open => assert!(matches!(state.stage, Stage::InUse(_))),
                _ => assert!(matches!(state.stage, Stage::Idle)),
            }
            assert!(state.waiting.is_empty());
        });
    }

    #[test]
    fn a_cancel_at_the_moment_of_the_lease_is_seen_or_ends_it() {
        loom::model(|| {
            let pool = Pool::new();
            let control = Control::new(&pool);
            let cancelling = cancel(&control);
            let got = pool.checkout(&control);
            cancelling.join().unwrap();
            let closed = matches!(lock(&pool.state).stage, Stage::Closed);
            assert_eq!(
                closed,
                got == Checkout::Open,
                "the connection of a cancelled exchange lives"
            );
            assert_eq!(pool.released.load(Ordering::SeqCst), usize::from(closed));
        });
    }

    #[test]
    fn several_threads_that_end_one_lease_free_its_slot_once() {
        loom::model(|| {
            let pool = Pool::new();
            let control = Control::new(&pool);
            assert_eq!(pool.checkout(&control), Checkout::Open);
            let others = [cancel(&control), cancel(&control)];
            control.end(Cause::ClosedById);
            others.into_iter().for_each(|other| other.join().unwrap());
            assert_eq!(pool.released.load(Ordering::SeqCst), 1);
            assert!(Weak::strong_count(&pool.me) > 0);
        });
    }
}
