//! Interrupt checks: they let signal handlers, such as that of Ctrl-C, end a blocking call.

use std::ffi::c_void;

use super::callback;
use super::enums::hangup_status;
use super::guard::status;
use crate::threads::set_interrupt_check;

/// Called on a blocked thread when a signal interrupted its wait. 0 continues the wait. Anything else ends the exchange with
/// HANGUP_CANCELLED and the reason "interrupted". It may run the signal handlers of a language. It must not call hangup for the
/// same request or response.
pub type hangup_interrupt_check_fn =
    Option<unsafe extern "C-unwind" fn(user_data: *mut c_void) -> i32>;

/// Sets the interrupt check of the calling thread; NULL removes it. Every blocking call of this thread calls it when poll(2)
/// was interrupted (EINTR) and, if `tick_ms` is not HANGUP_NO_LIMIT, every `tick_ms` milliseconds, for signals that were
/// delivered to another thread.
///
/// Fails: HANGUP_INVALID_TIMEOUT for a tick of zero or another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_set_interrupt_check(
    check: hangup_interrupt_check_fn,
    user_data: *mut c_void,
    tick_ms: i64,
) -> hangup_status {
    status(|| {
        let tick = super::milliseconds::limit_ms(tick_ms)?;
        set_interrupt_check(check.map(|check| interrupt_check(check, user_data)), tick)
    })
}

fn interrupt_check(
    check: unsafe extern "C-unwind" fn(*mut c_void) -> i32,
    user_data: *mut c_void,
) -> Box<dyn Fn() -> bool> {
    // An exception of the function ends the call, as a result other than 0 does.
    // SAFETY: the caller's own function and data, on the thread that registered them.
    Box::new(move || callback::call(|| unsafe { check(user_data) }) != Ok(0))
}
