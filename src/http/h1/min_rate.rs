//! The minimum rate of a body: how many bytes came during a window of waiting. Time in which nothing is
//! awaited does not count.

use std::time::Duration;

/// What came in how much waiting. Threads: one at a time.
#[derive(Debug, Default)]
pub(super) struct RateWindow {
    pub(super) waited: Duration,
    pub(super) bytes: u64,
}

impl RateWindow {
    /// At its end: whether too little came. A new one begins if not.
    pub(super) fn is_slower_than(&mut self, rate: u64, window: Duration) -> bool {
        let slower =
            u128::from(self.bytes) * 1000 < u128::from(rate).saturating_mul(window.as_millis());
        if !slower {
            *self = Self::default();
        }
        slower
    }
}
