//! How C passes a number of redirects.

use super::enums::HANGUP_NO_LIMIT;
use crate::error::Error;
use crate::vocabulary::Kind;

/// A number of redirects; more than u32 holds is no limit that is ever met.
pub(super) fn redirects_of(max: i64) -> Result<u32, Error> {
    match max {
        HANGUP_NO_LIMIT => Ok(u32::MAX),
        max if max < 0 => {
            let what = format!("{max} redirects: 0 follows none, HANGUP_NO_LIMIT any number");
            Err(Error::new(Kind::InvalidArgument, what))
        }
        max => Ok(u32::try_from(max).unwrap_or(u32::MAX)),
    }
}
