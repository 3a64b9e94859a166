//! Decides whether a server's certificate is accepted: by a chain to a trusted root, because it is itself a trusted root,
//! or because any is; and then by its key, if keys are pinned.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use super::pin::{Pin, PinMismatch};
use super::provider::provider;
use super::roots::Trusted;
use crate::error::Error;
use crate::vocabulary::Kind;

/// Threads: any thread at any time.
#[derive(Debug)]
pub(super) struct Verifier {
    /// `None`: any certificate is accepted. The handshake's signature is still checked: the peer has the key of the
    /// certificate that it sent.
    chain: Option<Chain>,
    /// Empty: any key is accepted.
    pins: Vec<Pin>,
    algorithms: WebPkiSupportedAlgorithms,
}

struct Chain {
    verifier: Arc<WebPkiServerVerifier>,
    trusted: Trusted,
}

impl Verifier {
    /// `trusted`: the roots; `None` accepts any certificate.
    pub(super) fn new(trusted: Option<Trusted>, pins: Vec<Pin>) -> Result<Self, Error> {
        let chain = trusted.map(|mut trusted| {
            let store = Arc::new(std::mem::replace(&mut trusted.store, RootCertStore::empty()));
            let builder =
                WebPkiServerVerifier::builder_with_provider(store, Arc::clone(provider()));
            let verifier = builder.build().map_err(|_| {
                Error::new(Kind::InvalidArgument, "no certificate is trusted; trust at least one")
            })?;
            Ok::<_, Error>(Chain { verifier, trusted })
        });
        let algorithms = provider().signature_verification_algorithms;
        Ok(Self { chain: chain.transpose()?, pins, algorithms })
    }

    fn check_pins(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        if self.pins.is_empty() {
            return Ok(());
        }
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        let found = Pin::of(&key);
        if self.pins.contains(&found) {
            return Ok(());
        }
        Err(CertificateError::Other(OtherError(Arc::new(PinMismatch::of(found)))).into())
    }
}

impl Chain {
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let outcome =
            self.verifier.verify_server_cert(certificate, intermediates, name, ocsp, now).map(drop);
        match &outcome {
            // A server that shows a certificate which is trusted itself needs no chain. webpki checks the validity of a
            // certificate before it looks at what kind it is and who issued it, so that both errors mean that the
            // certificate is valid now. The name was not checked.
            Err(rustls::Error::InvalidCertificate(fault))
                if is_about_the_chain(fault) && self.trusted.contain(certificate) =>
            {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)
            }
            _ => outcome,
        }
    }
}

/// Whether a certificate was refused because it is that of an authority, or because its issuer is not trusted.
fn is_about_the_chain(fault: &CertificateError) -> bool {
    match fault {
        CertificateError::UnknownIssuer => true,
        CertificateError::Other(cause) => matches!(
            cause.0.downcast_ref::<webpki::Error>(),
            Some(webpki::Error::CaUsedAsEndEntity)
        ),
        _ => false,
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(chain) = &self.chain {
            chain.verify(certificate, intermediates, name, ocsp, now)?;
        }
        self.check_pins(certificate)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chain")
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}
