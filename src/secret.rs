//! What must not be seen in a log: a value that `{:?}` shows as `***`. Header values have a mark of
//! their own for that ([`http::HeaderValue::set_sensitive`]).

use std::fmt;

/// A value that is taken out by name only. Threads: as the value.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Secret<T>(T);

impl<T> Secret<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }

    /// For use, not for texts.
    pub(crate) fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new("password");
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "*** Some(\n    ***,\n)");
        assert_eq!(*secret.reveal(), "password");
    }
}
