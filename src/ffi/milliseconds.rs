//! Durations as the C ABI has them: milliseconds, and HANGUP_NO_LIMIT for none.

use std::time::Duration;

use crate::error::Error;
use crate::vocabulary::Kind;

/// A duration in milliseconds, or HANGUP_NO_LIMIT. Zero and other negative numbers are refused.
pub(super) fn limit_ms(ms: i64) -> Result<Option<Duration>, Error> {
    if ms == -1 { Ok(None) } else { positive_ms(ms).map(Some) }
}

/// How long to wait: 0 does not wait, HANGUP_NO_LIMIT waits without limit.
pub(super) fn wait_ms(ms: i64) -> Result<Option<Duration>, Error> {
    if ms == 0 { Ok(Some(Duration::ZERO)) } else { limit_ms(ms) }
}

/// A duration in milliseconds. Zero and negative numbers are refused.
pub(super) fn positive_ms(ms: i64) -> Result<Duration, Error> {
    match u64::try_from(ms) {
        Ok(ms) if ms > 0 => Ok(Duration::from_millis(ms)),
        // hangup.hpp makes this number of negative durations: -1 would mean "no limit".
        _ if ms == i64::MIN => Err(refused("less than zero, or of what is not a number,")),
        _ => Err(refused(&format!("{ms} ms"))),
    }
}

fn refused(what: &str) -> Error {
    let what = format!(
        "a timeout of {what} is refused: give a positive time, or HANGUP_NO_LIMIT (-1; None in Python) \
         for no limit"
    );
    Error::new(Kind::InvalidTimeout, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_negatives_are_refused_with_a_message_that_names_the_way_out() {
        for ms in [0, -2, i64::MIN] {
            let error = limit_ms(ms).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidTimeout);
            assert!(error.message().contains("HANGUP_NO_LIMIT"));
        }
        assert_eq!(limit_ms(-1).unwrap(), None);
        assert_eq!(limit_ms(5).unwrap(), Some(Duration::from_millis(5)));
        assert_eq!(positive_ms(-1).unwrap_err().kind(), Kind::InvalidTimeout);
    }
}
