//! Everything that shapes a TLS connection, as one value that pool keys compare.

use std::fmt;
use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::pki_types::ServerName;

use super::identity::Identity;
use super::key_log::KeyLogFile;
use super::pin::Pin;
use super::roots::Roots;
use crate::vocabulary::TlsVersion;

/// Two are equal if a connection made with one may be used by the other. Threads: a value.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Settings {
    pub(crate) roots: Roots,
    pub(crate) identity: Option<Identity>,
    pub(crate) accept_any_certificate: bool,
    pub(crate) versions: Versions,
    /// The keys that the server's certificate may have; empty: any.
    pub(crate) pins: Vec<Pin>,
    /// The name that is sent (SNI, RFC 6066 section 3) and that the certificate must be for, in place of the origin's.
    pub(crate) server_name: Option<ServerName<'static>>,
    pub(crate) key_log: Option<Arc<KeyLogFile>>,
}

/// The least and the greatest version.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Versions {
    pub(super) min: TlsVersion,
    pub(super) max: TlsVersion,
}

impl Versions {
    pub(super) fn supported(self) -> &'static [&'static SupportedProtocolVersion] {
        match (self.min, self.max) {
            (TlsVersion::Tls12, TlsVersion::Tls12) => ONLY_12,
            (TlsVersion::Tls13, _) => ONLY_13,
            _ => rustls::DEFAULT_VERSIONS,
        }
    }
}

impl Default for Versions {
    fn default() -> Self {
        Self { min: TlsVersion::Tls12, max: TlsVersion::Tls13 }
    }
}

const ONLY_12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
const ONLY_13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// Without the certificates and the key.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            roots: _,
            identity,
            accept_any_certificate,
            versions,
            pins,
            server_name,
            key_log,
        } = self;
        f.debug_struct("Tls")
            .field("certificate", &identity.is_some())
            .field("accept_any_certificate", accept_any_certificate)
            .field("versions", &(versions.min, versions.max))
            .field("pins", pins)
            .field("server_name", server_name)
            .field("key_log", key_log)
            .finish_non_exhaustive()
    }
}
