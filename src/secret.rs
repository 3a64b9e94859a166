//! Values that must not appear in a log: `{:?}` shows them as `***`. Header fields have a list of their own that shows no
//! value ([`crate::headers::Headers`]).

use std::fmt;

use base64::Engine;

/// A value that only [`reveal`](Self::reveal) gives out. Threads: as the value.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Secret<T>(T);

impl<T> Secret<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for use, not for messages.
    pub(crate) fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Credentials as an Authorization or Proxy-Authorization field carries them (RFC 7617).
pub(crate) fn basic_credentials(user: &[u8], password: &[u8]) -> String {
    let pair = [user, b":".as_slice(), password].concat();
    format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair))
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
