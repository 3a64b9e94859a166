//! A client certificate with its private key, from PEM; the key may be encrypted.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pkcs8::{EncryptedPrivateKeyInfoRef, pkcs5};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::failure::explain;
use super::foreign_format;
use super::provider::provider;
use super::roots::{certificates, damaged};
use crate::error::Error;
use crate::vocabulary::Kind;

/// A client certificate with its private key. Threads: a value.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: Arc<PrivateKeyDer<'static>>,
}

impl Identity {
    /// From PEM: the chain, the client's own certificate first, and its key.
    pub(super) fn from_pem(
        chain: &[u8],
        key: &[u8],
        password: Option<&[u8]>,
    ) -> Result<Self, Error> {
        let chain = certificates(chain)?;
        let key = private_key(key, password)?;
        CertifiedKey::from_der(chain.clone(), key.clone_key(), provider()).map_err(|error| {
            let what = match &error {
                rustls::Error::InconsistentKeys(_) => explain(&error),
                rustls::Error::InvalidCertificate(_) => {
                    "the client certificate can't be parsed; use one of version 3 of X.509".into()
                }
                _ => "the private key is of a kind that is not supported; use RSA of 2048 to 8192 bits, ECDSA with \
                      P-256 or P-384, or Ed25519"
                    .into(),
            };
            Error::new(Kind::InvalidArgument, what)
        })?;
        Ok(Self { chain, key: Arc::new(key) })
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain && self.key.secret_der() == other.key.secret_der()
    }
}

impl Eq for Identity {}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.chain.hash(state);
    }
}

/// The first private key of a PEM text.
fn private_key(pem: &[u8], password: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, Error> {
    let bad = |what: String| Err(Error::new(Kind::InvalidArgument, what));
    if contains(pem, b"Proc-Type: 4,ENCRYPTED") {
        return bad("the private key is encrypted in an old, unsafe format (\"Proc-Type: 4,ENCRYPTED\"); convert it by \
                    `openssl pkcs8 -topk8 -in KEY -out KEY.p8`, which asks for both passwords"
            .into());
    }
    if let Some(encrypted) = section(pem, "ENCRYPTED PRIVATE KEY") {
        let Some(password) = password else {
            return bad("the private key is encrypted; give its password".into());
        };
        return decrypt(encrypted, password);
    }
    match PrivateKeyDer::pem_slice_iter(pem).next() {
        Some(Ok(key)) => Ok(key),
        Some(Err(error)) => bad(format!("the private key can't be read: {}", damaged(&error))),
        None => bad(foreign_format::of(pem).unwrap_or_else(|| {
            "no private key in the PEM text: it has no line such as -----BEGIN PRIVATE KEY-----"
                .into()
        })),
    }
}

/// PKCS#8 with PKCS#5's second scheme (RFC 8018 section 6.2).
fn decrypt(base64: &[u8], password: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    let bad = |what: &str| Err(Error::new(Kind::InvalidArgument, what));
    let text: Vec<u8> = base64.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let Ok(der) = STANDARD.decode(text) else {
        return bad(
            "the private key can't be read: between -----BEGIN and -----END there is no valid base64",
        );
    };
    let Ok(encrypted) = EncryptedPrivateKeyInfoRef::try_from(&*der) else {
        return bad(OTHER_ENCRYPTION);
    };
    match encrypted.decrypt(password) {
        Ok(key) => Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into()),
        Err(pkcs8::Error::EncryptedPrivateKey(
            pkcs5::Error::UnsupportedAlgorithm { .. }
            | pkcs5::Error::NoPbes1CryptSupport
            | pkcs5::Error::AlgorithmParametersInvalid { .. },
        )) => bad(OTHER_ENCRYPTION),
        // By chance, one wrong password in 256 gives data that is not a key instead of wrong padding.
        Err(_) => bad("the password does not decrypt the private key; give the right one"),
    }
}

/// What stands between the lines that begin and end a section of a PEM text.
fn section<'a>(pem: &'a [u8], label: &str) -> Option<&'a [u8]> {
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let from = find(pem, begin.as_bytes())? + begin.len();
    let length = find(&pem[from..], end.as_bytes())?;
    Some(&pem[from..from + length])
}

fn contains(data: &[u8], needle: &[u8]) -> bool {
    find(data, needle).is_some()
}

fn find(data: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(data, needle)
}

const OTHER_ENCRYPTION: &str = "the private key is encrypted in a way that is not supported; encrypt it again by \
                                `openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY -out KEY.p8`, which asks for both passwords";
