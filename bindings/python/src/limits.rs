//! The limits of a manager, as pairs of a number (HANGUP_LIMIT_*) and a value.

use pyo3::prelude::*;

use crate::failure::{Failure, call};
use crate::handle::Owned;
use crate::sys::*;

/// Pairs of a limit and its value; -1 is no limit.
pub type Pairs = Vec<(i32, i64)>;

/// Raises what a manager would say to these limits.
#[pyfunction]
pub fn check_limits(py: Python<'_>, limits: Pairs) -> PyResult<()> {
    options(&limits).map(drop).map_err(|failure| failure.raise(py, None))
}

/// Settings for a new manager.
pub fn options(limits: &Pairs) -> Result<Owned<hangup_options>, Failure> {
    // SAFETY: no arguments.
    let options = Owned::new(unsafe { hangup_options_new() })
        .ok_or_else(|| Failure::local(HANGUP_PANIC, "the library gave no options"))?;
    for (limit, value) in limits {
        // SAFETY: live options.
        call(|error| unsafe { hangup_options_set_limit(options.as_ptr(), *limit, *value, error) })?;
    }
    Ok(options)
}
