//! Work that a fiber must not do on its I/O thread, because it takes long, blocks, or is somebody
//! else's code: a worker does it, and the fiber waits. On a thread of the caller's own it is done
//! right there.

#![allow(unsafe_code)] // A worker borrows what lies on a fiber's stack.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::{Crew, Event, Until, Waiter, Want, fiber};
use crate::sync::{Mutex, lock};

/// Does the work by one of that crew if this is a fiber, and right here otherwise, or if there is
/// no thread for it. A panic of it is a panic here.
pub(crate) fn apart<T: Send>(crew: &'static Crew, work: impl FnOnce() -> T + Send) -> T {
    let Some(fiber) = fiber::current() else { return work() };
    let event = Arc::new(fiber.event());
    let work = Mutex::new(Some(work));
    let done = Mutex::new(None);
    let run = || {
        let Some(work) = lock(&work).take() else { return };
        *lock(&done) = Some(catch_unwind(AssertUnwindSafe(work)));
    };
    let run: &(dyn Fn() + Sync) = &run;
    // SAFETY: what it borrows lies on this fiber's stack, and the fiber does not leave this
    // function before the worker has dropped its `Ticket`, the last thing it does: fibers are
    // never dropped before their end, and a job that is not run is dropped, and its ticket with it.
    let run: &'static (dyn Fn() + Sync) = unsafe { std::mem::transmute(run) };
    let ticket = Ticket(Arc::clone(&event));
    // A failure drops the job and so the ticket.
    let _ = crew.run(move || {
        run();
        drop(ticket);
    });
    while !event.is_set() {
        // It can't fail: there is no descriptor in it.
        let _ = fiber.wait(Want { fd: None, event: Some(&event) }, Until::new(None));
    }
    let over = lock(&done).take();
    match over {
        Some(Ok(answer)) => answer,
        Some(Err(panic)) => resume_unwind(panic),
        // Nobody did it.
        None => match lock(&work).take() {
            Some(work) => work(),
            None => unreachable!("work that was begun has an outcome"),
        },
    }
}

/// Tells the fiber that nobody uses what it lent any more.
struct Ticket(Arc<Event>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.set();
    }
}
