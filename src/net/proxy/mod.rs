//! A proxy: its scheme, address and credentials, and how they are parsed. The protocols are in [`handshake`].
//!
//! It is part of the pool key: a connection through another proxy, or with other credentials, is another
//! connection. Credentials never show in its messages.

mod handshake;
mod http_connect;
mod socks4;
mod socks5;
mod tunnel;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use percent_encoding::percent_decode_str;

pub(super) use self::handshake::ProxyHandshake;
pub(crate) use self::http_connect::USER_AGENT;
pub(super) use self::tunnel::TunnelTarget;
use super::tls::Tls;
use crate::auth::{DigestCredentials, Learned, Sessions};
use crate::authority;
use crate::error::Error;
use crate::secret::basic_credentials;
use crate::vocabulary::Kind;

/// Threads: immutable.
#[derive(Clone)]
pub(crate) struct Proxy {
    scheme: Scheme,
    /// Lower case; an IPv6 literal keeps its brackets.
    host: String,
    port: u16,
    credentials: Option<Credentials>,
    /// The credentials are for Digest: the nonces of the proxy. Otherwise they are for Basic.
    digest: Option<Arc<Sessions>>,
    /// The TLS settings for a https proxy itself; those for the origin are not here.
    tls: Option<Arc<Tls>>,
}

/// The protocol of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    Http,
    Https,
    /// The origin's name is resolved here. IPv4 only.
    Socks4,
    /// The origin's name is resolved by the proxy.
    Socks4a,
    /// The origin's name is resolved here (RFC 1928).
    Socks5,
    /// The origin's name is resolved by the proxy.
    Socks5h,
}

/// Decoded: what goes on the wire.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Proxy {
    /// From `scheme://user:password@host:port`; only the host is needed, and a path is ignored. `tls` is for a
    /// https proxy.
    pub(crate) fn parse(text: &str, tls: &Arc<Tls>) -> Result<Self, Error> {
        let bad = |why: &str| {
            let shown = shown(text);
            let what = format!(
                "{shown:?} is no proxy ({why}); give [scheme://][user:password@]host[:port], the \
                 scheme one of http, https, socks4, socks4a, socks5, socks5h"
            );
            Error::new(Kind::InvalidArgument, what)
        };
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(bad("it holds a space or a control character"));
        }
        // As curl has it: a proxy without a scheme is a http proxy.
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        // In "http:user@host", "http" could be a scheme or a user.
        let first = text.split(':').next().unwrap_or_default();
        if !text.contains("://") && first != text && Scheme::of(first).is_some() {
            return Err(bad("two slashes must follow its scheme"));
        }
        let scheme =
            Scheme::of(scheme).ok_or_else(|| bad("its scheme is none that is spoken here"))?;
        // The URL is parsed with a scheme that has no default port, so that an explicit port 80 is not
        // removed.
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority::check_authority(authority).map_err(|why| bad(&why))?;
        let url =
            url::Url::parse(&format!("proxy://{rest}")).map_err(|error| bad(&error.to_string()))?;
        // A path means nothing for a proxy, and is often there: other clients ignore it.
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("it has a query or a fragment"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| bad("no host"))?;
        let host = percent_decode_str(host).decode_utf8().map_err(|_| bad("no host"))?;
        let host = url::Host::parse(&host).map_err(|error| bad(&error.to_string()))?.to_string();
        let port = match url.port() {
            Some(0) => return Err(bad("port 0 can't be connected to")),
            Some(port) => port,
            None => scheme.default_port(),
        };
        let credentials = Credentials::of(&url);
        if let Some(why) = credentials.as_ref().and_then(|credentials| scheme.refuses(credentials))
        {
            return Err(bad(why));
        }
        let tls = (scheme == Scheme::Https).then(|| tls.for_proxy());
        Ok(Self { scheme, host, port, credentials, digest: None, tls })
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether the proxy is a HTTP proxy: then it reads a plain request itself (RFC 9112 section 3.2.2). Any
    /// other request goes through a tunnel.
    pub(crate) fn speaks_http(&self) -> bool {
        !self.scheme.is_socks()
    }

    /// The TLS settings for a https proxy itself.
    pub(crate) fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    /// The same proxy, which gets its credentials as answers to its challenges (RFC 7616) and not as Basic.
    pub(crate) fn with_digest(self) -> Self {
        Self { digest: self.credentials.is_some().then(Arc::default), ..self }
    }

    /// The value of the Proxy-Authorization field (RFC 9110 section 11.7.2): Basic (RFC 7617), or Digest if a nonce of
    /// the proxy is known. `uri`: what the request asks for.
    pub(crate) fn authorization(&self, method: &str, uri: &str) -> Option<String> {
        let credentials = self.credentials.as_ref()?;
        match &self.digest {
            None => Some(basic_credentials(&credentials.user, &credentials.password)),
            Some(sessions) => {
                sessions.answer(&self.to_string(), &credentials.for_digest(), method, uri)
            }
        }
    }

    /// Reads the challenges of a response with 407.
    ///
    /// # Errors
    /// [`Kind::AuthFailed`] for digest authentication in a form that is not supported.
    pub(crate) fn learn<'a>(
        &self,
        challenges: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Learned, Error> {
        match (&self.digest, &self.credentials) {
            (Some(sessions), Some(credentials)) => {
                sessions.learn(&self.to_string(), &credentials.for_digest(), challenges)
            }
            _ => Ok(Learned::Nothing),
        }
    }

    /// The user or the password is wrong.
    pub(crate) fn forget_nonce(&self) {
        if let (Some(sessions), Some(credentials)) = (&self.digest, &self.credentials) {
            sessions.forget(&self.to_string(), &credentials.for_digest());
        }
    }

    /// Whether a nonce of the proxy is known: another request may pass where the last one did not.
    pub(crate) fn knows_nonce(&self) -> bool {
        match (&self.digest, &self.credentials) {
            (Some(sessions), Some(credentials)) => {
                sessions.knows(&self.to_string(), &credentials.for_digest())
            }
            _ => false,
        }
    }

    /// Whether the origin's name is to be resolved here.
    pub(crate) fn wants_address(&self) -> bool {
        matches!(self.scheme, Scheme::Socks4 | Scheme::Socks5)
    }

    /// Whether the proxy takes IPv4 addresses only.
    pub(crate) fn wants_ipv4(&self) -> bool {
        matches!(self.scheme, Scheme::Socks4 | Scheme::Socks4a)
    }

    /// What is compared. All fields are named, so that a new one does not compile until it is added here.
    fn parts(&self) -> (Scheme, &str, u16, Option<&Credentials>, bool, Option<&Tls>) {
        let Self { scheme, host, port, credentials, digest, tls } = self;
        (*scheme, host, *port, credentials.as_ref(), digest.is_some(), tls.as_deref())
    }
}

/// A text that is no proxy, for a message. What stands before the last @ may be a password, and so may what
/// stands in the place of a port and is no number.
fn shown(text: &str) -> String {
    let text = text.rsplit('@').next().unwrap_or("");
    let host = text.find("://").map_or(0, |at| at + 3);
    match text[host..].split_once(':') {
        Some((name, port))
            if !name.starts_with('[')
                && !port.trim_end_matches('/').bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            format!("{}{name}:***", &text[..host])
        }
        _ => text.to_owned(),
    }
}

impl Scheme {
    fn of(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            "socks4" => Some(Self::Socks4),
            "socks4a" => Some(Self::Socks4a),
            "socks" | "socks5" => Some(Self::Socks5),
            "socks5h" => Some(Self::Socks5h),
            _ => None,
        }
    }

    fn is_socks(self) -> bool {
        !matches!(self, Self::Http | Self::Https)
    }

    /// Why these credentials can't be sent by this protocol, if they can't.
    fn refuses(self, Credentials { user, password }: &Credentials) -> Option<&'static str> {
        match self {
            Self::Http | Self::Https => None,
            Self::Socks4 | Self::Socks4a if !password.is_empty() => {
                Some("SOCKS 4 knows a user, but no password")
            }
            Self::Socks4 | Self::Socks4a => {
                let fits = user.len() <= 255 && !user.contains(&0);
                (!fits).then_some("SOCKS 4 has room for a user of 255 bytes without a zero byte")
            }
            // RFC 1929 section 2: each has one byte for its length.
            Self::Socks5 | Self::Socks5h => {
                let fits = !user.is_empty() && user.len() <= 255 && password.len() <= 255;
                (!fits).then_some("SOCKS 5 has room for a user and a password of 1 to 255 bytes")
            }
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Socks4 | Self::Socks4a | Self::Socks5 | Self::Socks5h => 1080,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks4 => "socks4",
            Self::Socks4a => "socks4a",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
        }
    }
}

impl Credentials {
    fn of(url: &url::Url) -> Option<Self> {
        if url.username().is_empty() && url.password().is_none() {
            return None;
        }
        let decoded = |text: &str| percent_decode_str(text).collect();
        let (user, password) = (decoded(url.username()), decoded(url.password().unwrap_or("")));
        Some(Self { user, password })
    }

    fn for_digest(&self) -> DigestCredentials {
        let text = String::from_utf8_lossy;
        DigestCredentials::new(&text(&self.user), &text(&self.password))
    }
}

impl PartialEq for Proxy {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Proxy {}

impl Hash for Proxy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

/// "proxy http://proxy.example:80", without the credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proxy {}://{}:{}", self.scheme.name(), self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Proxy, Error> {
        Proxy::parse(text, &Tls::standard())
    }

    #[test]
    fn a_proxy_is_a_scheme_a_host_and_a_port() {
        for (text, shown) in [
            ("proxy.example", "http://proxy.example:80"),
            ("proxy.example:3128", "http://proxy.example:3128"),
            ("PROXY.example:3128/", "http://proxy.example:3128"),
            ("http://proxy.example:80", "http://proxy.example:80"),
            ("HTTPS://proxy.example", "https://proxy.example:443"),
            ("socks://proxy.example", "socks5://proxy.example:1080"),
            ("socks5://127.0.0.1:80", "socks5://127.0.0.1:80"),
            ("socks5h://[::1]:9", "socks5h://[::1]:9"),
            ("socks4://me@proxy.example", "socks4://proxy.example:1080"),
            ("SOCKS4A://proxy.example:9/", "socks4a://proxy.example:9"),
            ("http://u:secret@proxy.example:3128/a/path", "http://proxy.example:3128"),
            ("http://u:secret@b\u{fc}cher.example", "http://xn--bcher-kva.example:80"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), format!("proxy {shown}"), "{text}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_its_password() {
        for text in [
            "",
            "http://",
            "ftp://u:secret@proxy.example",
            "socks4://u:secret@proxy.example",
            "socks4a://secret%00@proxy.example",
            "http://u:secret@proxy.example/path?x",
            "http://u:secret@proxy.example:99999",
            "http://u:secret@proxy.example:0",
            "http://u:secret@pro xy",
            "http://u:secret@proxy.example?x",
            "socks5://:secret@proxy.example",
            "http://u:secret",
            "u:secret/",
            "http://u:se@secret@proxy.example",
            "http://u:secret\\@proxy.example",
            "http://u:secret@%70roxy.example",
            "http://u:secret@127.1",
            "http:///u:secret@proxy.example",
            "http:\\\\u:secret@proxy.example",
            "http:u:secret@proxy.example",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument, "{text}");
            assert!(!error.message().contains("secret"), "{}", error.message());
            assert!(error.message().contains("socks5h"), "{}", error.message());
        }
        let long = format!("socks5://{}@proxy.example", "u".repeat(256));
        assert!(parse(&long).is_err());
    }

    #[test]
    fn credentials_are_decoded_and_never_shown() {
        let proxy = parse("http://us%3Aer:p%40ss@proxy.example").unwrap();
        let sent = proxy.authorization("GET", "/");
        assert_eq!(sent.as_deref(), Some("Basic dXM6ZXI6cEBzcw=="));
        assert!(!format!("{proxy:?} {proxy}").contains("ss"));
        assert_eq!(parse("proxy.example").unwrap().authorization("GET", "/"), None);
    }

    #[test]
    fn everything_that_shapes_the_connection_separates() {
        let one = parse("http://u:p@proxy.example").unwrap();
        assert_eq!(one, parse("u:p@proxy.example:80").unwrap());
        for other in [
            "http://u:q@proxy.example",
            "http://proxy.example",
            "http://u:p@proxy.example:81",
            "https://u:p@proxy.example:80",
            "http://u:p@other.example",
        ] {
            assert_ne!(one, parse(other).unwrap(), "{other}");
        }
        let mut trusting = Tls::new();
        trusting.set_dangerously_accept_any_certificate(true);
        let trusting = Arc::new(trusting);
        let trusted = |text| Proxy::parse(text, &trusting).unwrap();
        assert_ne!(trusted("https://a"), parse("https://a").unwrap());
        assert_eq!(trusted("http://a"), parse("http://a").unwrap());
    }
}
