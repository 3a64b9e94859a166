//! The limits of a manager, as pairs of a HANGUP_LIMIT_* number and a value.

use pyo3::prelude::*;

use crate::failure::{Failure, OrRaise, call};
use crate::handle::Owned;
use crate::sys::*;

/// Pairs of a limit and its value; a value of -1 is no limit.
pub type LimitPairs = Vec<(i32, i64)>;

/// Raises the exception that `Manager(limits)` would raise for these limits.
#[pyfunction]
pub fn check_limits(py: Python<'_>, limits: LimitPairs) -> PyResult<()> {
    options(&limits).map(drop).or_raise(py)
}

/// The options of a new manager with these limits.
pub fn options(limits: &LimitPairs) -> Result<Owned<hangup_options>, Failure> {
    // SAFETY: no arguments.
    let options = Owned::new(unsafe { hangup_options_new() })
        .ok_or_else(|| Failure::local(HANGUP_PANIC, "the library gave no options"))?;
    for (limit, value) in limits {
        // SAFETY: `options` is live.
        call(|error| unsafe { hangup_options_set_limit(options.as_ptr(), *limit, *value, error) })?;
    }
    Ok(options)
}
