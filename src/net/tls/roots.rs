//! Root certificates: the system's and the caller's own, from PEM text, files and directories.

use std::fs;
use std::hash::Hash;
use std::path::Path;
use std::sync::Arc;

use once_cell::sync::OnceCell;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::failure::explain;
use super::foreign_format;
use super::provider::sha256;
use crate::error::Error;
use crate::process::PerProcess;
use crate::vocabulary::Kind;

/// Which root certificates are trusted. Threads: a value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Roots {
    /// The system's, SSL_CERT_FILE's and SSL_CERT_DIR's.
    system: bool,
    own: Arc<[CertificateDer<'static>]>,
}

/// The roots as a verifier needs them.
#[derive(Clone)]
pub(super) struct Trusted {
    pub(super) store: RootCertStore,
    /// The SHA-256 of each root, sorted: a server may show a root itself.
    hashes: Vec<[u8; 32]>,
}

impl Roots {
    /// These and no others.
    pub(crate) fn only(own: Vec<CertificateDer<'static>>) -> Self {
        Self { system: false, own: own.into() }
    }

    /// These in addition.
    pub(super) fn add(&mut self, more: Vec<CertificateDer<'static>>) {
        self.own = self.own.iter().cloned().chain(more).collect();
    }

    pub(super) fn trusted(&self) -> Result<Trusted, Error> {
        let mut trusted = if self.system { system()? } else { Trusted::none() };
        for certificate in self.own.iter() {
            trusted.add(certificate.clone())?;
        }
        trusted.hashes.sort_unstable();
        Ok(trusted)
    }
}

impl Default for Roots {
    fn default() -> Self {
        Self { system: true, own: Arc::default() }
    }
}

impl Trusted {
    fn none() -> Self {
        Self { store: RootCertStore::empty(), hashes: Vec::new() }
    }

    /// Whether a certificate is one of the roots, byte by byte.
    pub(super) fn contain(&self, certificate: &CertificateDer<'_>) -> bool {
        self.hashes.binary_search(&sha256(certificate)).is_ok()
    }

    fn add(&mut self, certificate: CertificateDer<'static>) -> Result<(), Error> {
        let hash = sha256(&certificate);
        self.store.add(certificate).map_err(|error| {
            let what = format!("a root certificate can't be used: {}", explain(&error));
            Error::new(Kind::InvalidArgument, what)
        })?;
        self.hashes.push(hash);
        Ok(())
    }
}

/// The certificates in a PEM text that are to be trusted; at least one, and each can be used.
pub(super) fn roots(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = certificates(pem)?;
    Roots::only(found.clone()).trusted()?;
    Ok(found)
}

/// Those of a file, or of all files of a directory. In a directory, files without usable certificates are passed over.
pub(super) fn roots_at(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unreadable = |error: &std::io::Error| {
        Error::from_os(Kind::System, &format!("can't read {}", path.display()), error)
    };
    if !path.is_dir() {
        let pem = fs::read(path).map_err(|error| unreadable(&error))?;
        return roots(&pem).map_err(|error| {
            Error::new(error.kind(), format!("{}: {}", path.display(), error.message()))
        });
    }
    let mut found: Vec<CertificateDer<'static>> = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| unreadable(&error))? {
        let Ok(entry) = entry else { continue };
        // Not a FIFO, nor anything else whose reading may never end. Links are followed: OpenSSL's names by hash are.
        let is_file = fs::metadata(entry.path())
            .is_ok_and(|facts| facts.is_file() && facts.len() <= LARGEST_FILE);
        let Some(pem) = fs::read(entry.path()).ok().filter(|_| is_file) else { continue };
        let new = roots(&pem).unwrap_or_default();
        found.extend(new);
    }
    // A file and the link to it, and an order that does not depend on the directory's.
    found.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
    found.dedup();
    if found.is_empty() {
        let what = format!("{}: no file in this directory holds a PEM certificate", path.display());
        return Err(Error::new(Kind::InvalidArgument, what));
    }
    Ok(found)
}

/// Every certificate in a PEM text; at least one.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let bad = |what: String| Err(Error::new(Kind::InvalidArgument, what));
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => bad(foreign_format::of(pem).unwrap_or_else(|| {
            "no certificate in the PEM text: it has no line -----BEGIN CERTIFICATE-----".into()
        })),
        Err(error) => bad(format!("a certificate can't be read: {}", damaged(&error))),
    }
}

/// Why a PEM text can't be read.
pub(super) fn damaged(error: &rustls::pki_types::pem::Error) -> &'static str {
    use rustls::pki_types::pem::Error as Pem;
    match error {
        Pem::MissingSectionEnd { .. } => {
            "the PEM text ends before its -----END line; it was cut off"
        }
        Pem::IllegalSectionStart { .. } => "a -----BEGIN line of the PEM text is malformed",
        Pem::Base64Decode(_) => "between -----BEGIN and -----END there is no valid base64",
        _ => "the PEM text is malformed",
    }
}

/// The system's roots (or SSL_CERT_FILE's, SSL_CERT_DIR's), read once; Mozilla's where the system has none.
fn system() -> Result<Trusted, Error> {
    static SYSTEM: PerProcess<OnceCell<Trusted>> = PerProcess::new();
    // The child of a fork takes the parent's if it is complete, and waits for no thread of its parent.
    let system = SYSTEM.get(|parents| {
        parents.and_then(OnceCell::get).map_or_else(OnceCell::new, |read| read.clone().into())
    });
    let trusted = system.get_or_try_init(|| {
        let mut trusted = Trusted::none();
        for certificate in rustls_native_certs::load_native_certs().certs {
            // Some systems hold certificates that no verifier can use.
            let _ = trusted.add(certificate);
        }
        if !trusted.store.is_empty() {
            return Ok(trusted);
        }
        for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
            if let Some(path) = std::env::var_os(name) {
                let path = path.to_string_lossy();
                let what = format!(
                    "{name} names {path}, but there is no PEM certificate to be read; correct it or unset it"
                );
                return Err(Error::new(Kind::TlsFailed, what));
            }
        }
        trusted.store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        Ok(trusted)
    })?;
    Ok(trusted.clone())
}

/// The bundles of whole systems have 300 KB.
const LARGEST_FILE: u64 = 16 << 20;
