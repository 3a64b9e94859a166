//! What is known of a connection from its dial on: the addresses of both ends, and what its TLS handshake
//! agreed on. It is a value that outlives the connection.

use std::fmt;
use std::net::SocketAddr;

use rustls::{ClientConnection, HandshakeKind, ProtocolVersion};

/// What is known of a connection since it was made; also after it was closed.
///
/// ```no_run
/// let response = hangup::Client::default().get("https://example.org/", None)?;
/// let facts = response.connection_facts();
/// println!("{:?}", facts.peer);
/// if let Some(tls) = &facts.tls {
///     println!("{} {}, {} certificates", tls.version, tls.cipher, tls.certificates.len());
/// }
/// # Ok::<(), hangup::Error>(())
/// ```
///
/// Threads: immutable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionFacts {
    /// The id of the connection.
    pub id: u64,
    /// The address and port of the peer: the origin, or the proxy if there is one. `None` for a Unix-domain socket.
    pub peer: Option<SocketAddr>,
    /// The local address and port. `None` for a Unix-domain socket.
    pub local: Option<SocketAddr>,
    /// TLS with the origin; `None` without it. TLS with a proxy does not count.
    pub tls: Option<TlsFacts>,
}

/// What a TLS handshake with an origin agreed on.
///
/// ```no_run
/// let response = hangup::Client::default().get("https://example.org/", None)?;
/// let resumed = response.connection_facts().tls.as_ref().is_some_and(|tls| tls.resumed);
/// # Ok::<(), hangup::Error>(())
/// ```
///
/// Threads: immutable.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFacts {
    /// "TLSv1.2" or "TLSv1.3".
    pub version: &'static str,
    /// The cipher suite by its name in the IANA registry, for example "TLS_AES_128_GCM_SHA256".
    pub cipher: String,
    /// The key exchange by its name in the IANA registry of TLS groups, for example "X25519"; "" if there was none
    /// because a session of TLS 1.2 was resumed.
    pub key_exchange: String,
    /// The protocol that ALPN (RFC 7301) selected, for example "http/1.1"; "" if the peer selected none.
    pub alpn: String,
    /// Whether the handshake resumed an earlier session instead of verifying the peer's certificate again.
    pub resumed: bool,
    /// The peer's certificates as it sent them, DER, its own one first. After a resumption they are those of the
    /// session that was resumed.
    pub certificates: Vec<Vec<u8>>,
}

impl TlsFacts {
    /// Of a handshake that is complete.
    pub(super) fn of(tls: &ClientConnection) -> Self {
        let text = |name: Option<&str>| name.unwrap_or_default().to_owned();
        let cipher = text(tls.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()));
        // rustls tells the suites of TLS 1.3 apart by a name of its own.
        let cipher = match cipher.strip_prefix("TLS13_") {
            Some(rest) => format!("TLS_{rest}"),
            None => cipher,
        };
        let group = tls.negotiated_key_exchange_group().map(|group| group.name());
        let alpn = tls.alpn_protocol().unwrap_or_default();
        let certificates = tls.peer_certificates().unwrap_or_default();
        Self {
            version: match tls.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "TLS",
            },
            cipher,
            key_exchange: text(group.and_then(|name| name.as_str())),
            alpn: String::from_utf8_lossy(alpn).into_owned(),
            resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
            certificates: certificates.iter().map(|one| one.to_vec()).collect(),
        }
    }
}

/// The certificates are long, and are counted only.
impl fmt::Debug for TlsFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, cipher, key_exchange, alpn, resumed, certificates } = self;
        f.debug_struct("TlsFacts")
            .field("version", version)
            .field("cipher", cipher)
            .field("key_exchange", key_exchange)
            .field("alpn", alpn)
            .field("resumed", resumed)
            .field("certificates", &certificates.len())
            .finish()
    }
}
