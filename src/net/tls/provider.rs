//! The cryptography that TLS uses: ring, or AWS-LC with the feature `aws-lc`, which adds the post-quantum key exchange
//! X25519MLKEM768.

use std::sync::Arc;

use once_cell::sync::OnceCell;
#[cfg(feature = "aws-lc")]
use rustls::crypto::aws_lc_rs as chosen;
#[cfg(not(feature = "aws-lc"))]
use rustls::crypto::ring as chosen;
use rustls::crypto::{CryptoProvider, hash::Hash};

/// The provider, made once.
pub(super) fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceCell<Arc<CryptoProvider>> = OnceCell::new();
    PROVIDER.get_or_init(|| Arc::new(chosen::default_provider()))
}

/// SHA-256.
pub(super) fn sha256(data: &[u8]) -> [u8; 32] {
    let suite = chosen::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13();
    let hash: Option<&dyn Hash> = suite.map(|suite| suite.common.hash_provider);
    let output = hash.map(|hash| hash.hash(data));
    // Both hold for the suite that is named above.
    output.and_then(|output| output.as_ref().try_into().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "aws-lc")]
    fn the_post_quantum_key_exchange_is_offered_first() {
        let offered = provider().kx_groups.first().map(|group| group.name());
        assert_eq!(offered, Some(rustls::NamedGroup::X25519MLKEM768));
    }

    #[test]
    fn the_hash_is_sha_256() {
        // FIPS 180-4, the example "abc".
        assert_eq!(sha256(b"abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
