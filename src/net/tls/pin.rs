//! Pins: the public keys that a server may have, by their hashes.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::provider::sha256;
use crate::error::Error;
use crate::vocabulary::Kind;

/// The SHA-256 of a public key (the DER of a SubjectPublicKeyInfo, RFC 7469 section 2.4). Threads: a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pin([u8; 32]);

impl Pin {
    /// From `sha256//` and the hash in base64.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let hash = text.strip_prefix("sha256//").and_then(|hash| STANDARD.decode(hash).ok());
        hash.and_then(|hash| hash.try_into().ok()).map(Self).ok_or_else(|| {
            let what = format!(
                "{text:?} is no pin: give sha256// and the base64 of the 32 bytes that `openssl x509 -in CERTIFICATE \
                 -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64` writes"
            );
            Error::new(Kind::InvalidArgument, what)
        })
    }

    /// Of a SubjectPublicKeyInfo in DER.
    pub(super) fn of(key: &[u8]) -> Self {
        Self(sha256(key))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256//{}", STANDARD.encode(self.0))
    }
}

/// A certificate whose key is not pinned.
#[derive(Debug)]
pub(super) struct PinMismatch(String);

impl PinMismatch {
    #[cfg(test)]
    pub(super) fn new(hash: [u8; 32]) -> Self {
        Self::of(Pin(hash))
    }

    pub(super) fn of(found: Pin) -> Self {
        Self(found.to_string())
    }
}

impl fmt::Display for PinMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "its public key is none of the pinned ones; add the pin {} if it is the right one",
            self.0
        )
    }
}

impl std::error::Error for PinMismatch {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_the_hash_in_base64() {
        let pin = Pin::of(b"abc");
        let text = "sha256//ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        assert_eq!(pin.to_string(), text);
        assert!(Pin::parse(text).unwrap() == pin);
        for bad in ["", "sha256//", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", "sha256//ungW"]
        {
            let error = Pin::parse(bad).map(drop).unwrap_err();
            assert!(error.message().contains("openssl"), "{error}");
        }
    }
}
