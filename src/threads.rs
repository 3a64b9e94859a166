//! Process-wide and thread-wide settings of how the library uses threads: how many threads of its own
//! run what is submitted, and how a signal ends a blocking call.

use std::time::Duration;

use crate::error::Error;
use crate::runtime::{self, Engine, InterruptCheck};
use crate::timeouts::not_zero;
use crate::vocabulary::Kind;

/// Sets how many threads of the library run submitted requests and reads, in the whole process: 1 to 64.
///
/// The default is one thread, which is enough for thousands of requests unless TLS or decoding keeps it
/// busy. The number applies to what is submitted from then on; surplus threads end when what they run has
/// ended.
///
/// ```
/// hangup::set_io_threads(2)?;
/// assert!(hangup::set_io_threads(0).is_err());
/// # hangup::set_io_threads(1)?;
/// # Ok::<(), hangup::Error>(())
/// ```
///
/// # Errors
/// [`Kind::InvalidArgument`] for a number out of that range.
pub fn set_io_threads(count: usize) -> Result<(), Error> {
    if !(1..=MAX_IO_THREADS).contains(&count) {
        let what = format!("{count} I/O threads: use 1 to {MAX_IO_THREADS}");
        return Err(Error::new(Kind::InvalidArgument, what));
    }
    Engine::set_threads(count);
    Ok(())
}

/// Sets the calling thread's interrupt check; `None` removes it.
///
/// Each blocking call of this thread asks the check when a signal interrupts its wait (EINTR) and, if there
/// is a `tick`, that often as well, for signals that were delivered to another thread. If the check returns
/// true, the call fails with [`Kind::Cancelled`] and the reason `interrupted`. The check may run any code,
/// but must not use the request or response of the call.
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use std::time::Duration;
///
/// /// Set by a signal handler.
/// static STOP: AtomicBool = AtomicBool::new(false);
///
/// let check = Box::new(|| STOP.load(Ordering::Relaxed));
/// hangup::set_interrupt_check(Some(check), Some(Duration::from_millis(100)))?;
/// # Ok::<(), hangup::Error>(())
/// ```
///
/// # Errors
/// [`Kind::InvalidTimeout`] for a tick of zero.
pub fn set_interrupt_check(
    check: Option<Box<dyn Fn() -> bool>>,
    tick: Option<Duration>,
) -> Result<(), Error> {
    let tick = not_zero(tick)?;
    runtime::set_interrupt_check(check.map(|ask| InterruptCheck { tick, ask }));
    Ok(())
}

/// More threads would only wait for each other.
const MAX_IO_THREADS: usize = 64;
