//! The settings of TLS, as one value that the pool key holds, and the rustls configuration made from them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use once_cell::sync::OnceCell;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use crate::error::Error;
use crate::process::PerProcess;
use crate::vocabulary::Kind;

/// Everything that shapes a TLS connection. Two are equal if a connection made with one may be
/// used by the other. Threads: immutable.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Settings {
    /// Trusted certificates; `None` is the system's.
    pub(crate) roots: Option<Vec<CertificateDer<'static>>>,
    pub(crate) identity: Option<Identity>,
    pub(crate) accept_any_certificate: bool,
}

/// A client certificate with its private key.
#[derive(Clone)]
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

/// [`Settings`] with the configuration made from them, once. Sessions are resumed within one.
pub(crate) struct Tls {
    settings: Settings,
    /// A child of a fork makes its own: a thread of its parent may be making the parent's, and the
    /// sessions in it have a lock.
    config: PerProcess<OnceCell<Arc<ClientConfig>>>,
}

impl Tls {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        let tls = Self { settings, config: PerProcess::new() };
        // Made now, because the child of a fork finds out by it that it is one.
        tls.config.get(|_| OnceCell::new());
        Arc::new(tls)
    }

    /// The default settings. They are shared, so that sessions are resumed in all clients with default
    /// settings.
    pub(crate) fn standard() -> Arc<Self> {
        static STANDARD: OnceCell<Arc<Tls>> = OnceCell::new();
        Arc::clone(STANDARD.get_or_init(|| Self::new(Settings::default())))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The configuration. It is made by the first call, because reading the system's roots takes long.
    pub(crate) fn config(&self) -> Result<&Arc<ClientConfig>, Error> {
        let config = self.config.get(|_| OnceCell::new());
        config.get_or_try_init(|| self.settings.build().map(Arc::new))
    }
}

impl Settings {
    fn build(&self) -> Result<ClientConfig, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| broken(&error))?;
        let builder = if self.accept_any_certificate {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate(provider)))
        } else {
            builder.with_root_certificates(self.root_store()?)
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(Identity { chain, key }) => builder
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|error| broken(&error))?,
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    fn root_store(&self) -> Result<RootCertStore, Error> {
        match &self.roots {
            None => system_roots(),
            Some(own) => {
                let mut store = RootCertStore::empty();
                for certificate in own {
                    store.add(certificate.clone()).map_err(|error| broken(&error))?;
                }
                Ok(store)
            }
        }
    }
}

impl Identity {
    /// From PEM: the chain, the client's own certificate first, and its key.
    pub(crate) fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, Error> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            Error::new(Kind::InvalidArgument, format!("no private key in the PEM text: {error}"))
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

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("accept_any_certificate", &self.accept_any_certificate)
            .finish_non_exhaustive()
    }
}

/// Every certificate in a PEM text; at least one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Error::new(Kind::InvalidArgument, "no certificate in the PEM text")),
        Err(error) => {
            Err(Error::new(Kind::InvalidArgument, format!("a certificate can't be read: {error}")))
        }
    }
}

/// A message for an error. The reason why a certificate is refused is spelled out.
pub(crate) fn explain(error: &rustls::Error) -> String {
    let fault = match error {
        rustls::Error::InvalidCertificate(fault) => fault,
        rustls::Error::General(words) => return words.clone(),
        other => return other.to_string(),
    };
    let what = match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet"
        }
        CertificateError::Revoked => "it was revoked",
        CertificateError::UnknownIssuer => {
            "its issuer is not trusted (self-signed, or an unknown root)"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another host name"
        }
        other => return format!("the server's certificate is refused: {other:?}"),
    };
    format!("the server's certificate is refused: {what}")
}

/// The system's roots (or SSL_CERT_FILE's, SSL_CERT_DIR's), read once; Mozilla's where the
/// system has none.
fn system_roots() -> Result<RootCertStore, Error> {
    static SYSTEM: PerProcess<OnceCell<RootCertStore>> = PerProcess::new();
    // The child of a fork takes the parent's if it is complete, and waits for no thread of its parent.
    let system = SYSTEM.get(|parents| {
        parents.and_then(OnceCell::get).map_or_else(OnceCell::new, |read| read.clone().into())
    });
    let store = system.get_or_try_init(|| {
        let mut store = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(found.certs);
        if !store.is_empty() {
            return Ok(store);
        }
        for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
            if let Some(path) = std::env::var_os(name) {
                let path = path.to_string_lossy();
                let what = format!("{name} names {path}, but there is no certificate to be read");
                return Err(Error::new(Kind::TlsFailed, what));
            }
        }
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        Ok(store)
    })?;
    Ok(store.clone())
}

fn broken(error: &rustls::Error) -> Error {
    Error::new(Kind::InvalidArgument, format!("the TLS settings don't work: {error}"))
}

/// Accepts any certificate. The handshake's signature is still checked: the peer has the key of the
/// certificate that it sent.
#[derive(Debug)]
struct AcceptAnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
