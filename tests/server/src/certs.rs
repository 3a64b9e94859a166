//! Certificates for every way in which TLS can be right or wrong, made once per process.
//!
//! Nothing is stored in the repository, so nothing expires there. Serves the scripted server, nginx
//! and the demo; `write_to` hands the files to tests in other languages.

use crate::network::FAR_NAMES;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::{fs, io};

/// The certificates that a server can show, by what a client should think of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certificate {
    /// For localhost, 127.0.0.1, ::1 and the servers of a `Network`, under the test CA.
    Good,
    /// Like `Good`, but it expired in 2021.
    Expired,
    /// Under the test CA, for `elsewhere.invalid`.
    WrongHost,
    /// For localhost, self-signed.
    SelfSigned,
    /// For localhost, under a CA that no client trusts.
    UnknownRoot,
    /// `Good`, and the client must show a certificate under the client CA.
    ClientAuth,
    /// `Good`, and the server speaks TLS 1.2 only.
    Tls12,
    /// `Good`, and the server resumes sessions of TLS 1.3.
    Resumed,
    /// `Good`, and the server speaks TLS 1.2 only and resumes sessions.
    Resumed12,
    /// For localhost, self-signed, and that of an authority (CA:TRUE), as `openssl req -x509` makes it.
    OwnAuthority,
    /// Like `OwnAuthority`, but it expired in 2021.
    ExpiredAuthority,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub cert: String,
    /// Its private key, PKCS#8.
    pub key: String,
}

/// All of the process's certificates. Get it with [`certs`]; it lives as long as the process.
#[derive(Debug)]
pub struct Certs {
    ca: String,
    client_ca: String,
    client: Pair,
    good: Pair,
    expired: Pair,
    wrong_host: Pair,
    self_signed: Pair,
    own_authority: Pair,
    expired_authority: Pair,
    unknown_root: Pair,
}

/// The certificates of this process, made at the first call. Any thread.
pub fn certs() -> &'static Certs {
    static CERTS: OnceLock<Certs> = OnceLock::new();
    // Fails only if the system has no randomness, and then no test can run.
    CERTS.get_or_init(|| Certs::generate().expect("certificates for the tests"))
}

impl Certs {
    fn generate() -> Result<Certs, rcgen::Error> {
        let (ca, issuer) = authority("hangup test CA")?;
        let (_, stranger) = authority("hangup unknown CA")?;
        let (client_ca, client_issuer) = authority("hangup client CA")?;
        let server = ExtendedKeyUsagePurpose::ServerAuth;
        let everywhere = [&LOCAL[..], &FAR_NAMES].concat();
        let local = || leaf(&everywhere, "hangup test server", server.clone());

        let mut past = local()?;
        past.not_before = date_time_ymd(2020, 1, 1);
        past.not_after = date_time_ymd(2021, 1, 1);
        let alone = |params: &CertificateParams| {
            let key = KeyPair::generate()?;
            Ok(Pair { cert: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
        };
        let mut own_authority = CertificateParams::new(LOCAL.map(String::from).to_vec())?;
        own_authority.distinguished_name.push(DnType::CommonName, "localhost");
        own_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let mut expired_authority = own_authority.clone();
        expired_authority.not_before = past.not_before;
        expired_authority.not_after = past.not_after;
        let elsewhere = leaf(&["elsewhere.invalid"], "elsewhere", server.clone())?;
        let client = leaf(&["client.invalid"], "client", ExtendedKeyUsagePurpose::ClientAuth)?;
        Ok(Certs {
            ca,
            client_ca,
            client: issue(&client, &client_issuer)?,
            good: issue(&local()?, &issuer)?,
            expired: issue(&past, &issuer)?,
            wrong_host: issue(&elsewhere, &issuer)?,
            self_signed: alone(&local()?)?,
            own_authority: alone(&own_authority)?,
            expired_authority: alone(&expired_authority)?,
            unknown_root: issue(&local()?, &stranger)?,
        })
    }

    /// The CA that a client must trust to accept `Good`, in PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// The CA that a `ClientAuth` server trusts, in PEM.
    pub fn client_ca(&self) -> &str {
        &self.client_ca
    }

    /// A certificate that a `ClientAuth` server accepts.
    pub fn client(&self) -> &Pair {
        &self.client
    }

    /// What a server shows under this name.
    pub fn server(&self, which: Certificate) -> &Pair {
        match which {
            Certificate::Good
            | Certificate::ClientAuth
            | Certificate::Tls12
            | Certificate::Resumed
            | Certificate::Resumed12 => &self.good,
            Certificate::Expired => &self.expired,
            Certificate::WrongHost => &self.wrong_host,
            Certificate::SelfSigned => &self.self_signed,
            Certificate::OwnAuthority => &self.own_authority,
            Certificate::ExpiredAuthority => &self.expired_authority,
            Certificate::UnknownRoot => &self.unknown_root,
        }
    }

    /// Writes everything into a directory that exists: `ca.pem`, `client_ca.pem`, and `<name>.pem`
    /// with `<name>.key` for client, good, expired, wrong_host, self_signed, own_authority,
    /// expired_authority and unknown_root.
    pub fn write_to(&self, dir: &Path) -> io::Result<()> {
        fs::write(dir.join("ca.pem"), &self.ca)?;
        fs::write(dir.join("client_ca.pem"), &self.client_ca)?;
        let pairs = [
            ("client", &self.client),
            ("good", &self.good),
            ("expired", &self.expired),
            ("wrong_host", &self.wrong_host),
            ("self_signed", &self.self_signed),
            ("own_authority", &self.own_authority),
            ("expired_authority", &self.expired_authority),
            ("unknown_root", &self.unknown_root),
        ];
        for (name, pair) in pairs {
            fs::write(dir.join(format!("{name}.pem")), &pair.cert)?;
            fs::write(dir.join(format!("{name}.key")), &pair.key)?;
        }
        Ok(())
    }

    /// The server's half of TLS with this certificate.
    pub(crate) fn config(&self, which: Certificate) -> Result<Arc<ServerConfig>, String> {
        static RESUMED: OnceLock<Arc<ServerConfig>> = OnceLock::new();
        static RESUMED12: OnceLock<Arc<ServerConfig>> = OnceLock::new();
        let sessions = match which {
            Certificate::Resumed => &RESUMED,
            Certificate::Resumed12 => &RESUMED12,
            _ => return self.new_config(which),
        };
        if sessions.get().is_none() {
            let _ = sessions.set(self.new_config(which)?);
        }
        sessions.get().map(Arc::clone).ok_or_else(|| "no configuration".into())
    }

    /// Session tickets are off but for `Resumed`: a resumed handshake would show no certificate, and the tests want to
    /// see one each time.
    fn new_config(&self, which: Certificate) -> Result<Arc<ServerConfig>, String> {
        let pair = self.server(which);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(match which {
                Certificate::Tls12 | Certificate::Resumed12 => ONLY_TLS12,
                _ => rustls::DEFAULT_VERSIONS,
            })
            .map_err(|e| e.to_string())?;
        let builder = if which == Certificate::ClientAuth {
            let mut roots = RootCertStore::empty();
            roots.add(der(&self.client_ca)?).map_err(|e| e.to_string())?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(|e| e.to_string())?)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(|e| e.to_string())?;
        let mut config =
            builder.with_single_cert(vec![der(&pair.cert)?], key).map_err(|e| e.to_string())?;
        if which != Certificate::Resumed {
            config.send_tls13_tickets = 0;
        }
        // The step `tickets` writes records of its own.
        config.enable_secret_extraction = true;
        Ok(Arc::new(config))
    }
}

fn der(pem: &str) -> Result<CertificateDer<'static>, String> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| e.to_string())
}

/// A CA certificate in PEM, and what signs in its name.
fn authority(name: &str) -> Result<(String, Issuer<'static, KeyPair>), rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let cert = params.self_signed(&key)?;
    Ok((cert.pem(), Issuer::new(params, key)))
}

fn leaf(
    names: &[&str],
    common: &str,
    purpose: ExtendedKeyUsagePurpose,
) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    // Python 3.13 verifies strictly (RFC 5280 section 4.2.1.1) and wants the issuer's key named.
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn issue(params: &CertificateParams, by: &Issuer<'_, KeyPair>) -> Result<Pair, rcgen::Error> {
    let key = KeyPair::generate()?;
    Ok(Pair { cert: params.signed_by(&key, by)?.pem(), key: key.serialize_pem() })
}

const ONLY_TLS12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
