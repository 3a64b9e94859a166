//! Digests that a server announces (RFC 9530): Repr-Digest of the whole representation, Content-Digest of the
//! bytes of this one message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Algorithm, Context, SHA256, SHA512};

use crate::response::ResponseHead;

/// The digests that one stream of bytes is to have. Threads: one at a time.
pub(super) struct Digests(Vec<Digest>);

struct Digest {
    name: &'static str,
    expected: Vec<u8>,
    running: Context,
}

impl Digests {
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// What a field announces, in the algorithms that are known here and that RFC 9530 does not advise against.
    pub(super) fn announced(head: &ResponseHead, field: &str) -> Self {
        let values = head.header_values(field).filter_map(|value| std::str::from_utf8(value).ok());
        Self(values.flat_map(|value| value.split(',')).filter_map(digest).take(MAX).collect())
    }

    pub(super) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        for digest in &mut self.0 {
            digest.running.update(bytes);
        }
    }

    /// Whether all of them are as announced; otherwise the name of one that is not.
    pub(super) fn check(self) -> Result<(), &'static str> {
        self.0.into_iter().try_for_each(|digest| {
            let got = digest.running.finish();
            if got.as_ref() == digest.expected { Ok(()) } else { Err(digest.name) }
        })
    }
}

/// A member of the dictionary: `sha-256=:base64:`, perhaps with parameters.
fn digest(member: &str) -> Option<Digest> {
    let (name, value) = member.trim().split_once('=')?;
    let (name, algorithm): (_, &'static Algorithm) = match name.trim() {
        "sha-256" => ("sha-256", &SHA256),
        "sha-512" => ("sha-512", &SHA512),
        _ => return None,
    };
    let value = value.trim().strip_prefix(':')?;
    let expected = STANDARD.decode(&value[..value.find(':')?]).ok()?;
    Some(Digest { name, expected, running: Context::new(algorithm) })
}

/// More than that no server announces.
const MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_known_algorithms_are_read() {
        let empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert!(digest(&format!(" sha-256=:{empty}: ;a=1")).is_some());
        for wrong in ["md5=:AAAA:", "sha-256=AAAA", "sha-256=:A", "sha-256", "sha-256=:!:"] {
            assert!(digest(wrong).is_none(), "{wrong:?}");
        }
        let check = |text: &[u8]| {
            let mut digests = Digests(vec![digest(&format!("sha-256=:{empty}:")).unwrap()]);
            digests.update(text);
            digests.check()
        };
        assert_eq!((check(b""), check(b"x")), (Ok(()), Err("sha-256")));
    }
}
