//! Digest access authentication (RFC 7616): which challenge is answered, the answer, and the nonces that are known
//! already, so that most requests need no challenge.
//!
//! The algorithms are MD5, SHA-256, SHA-512-256 and their `-sess` forms; the quality of protection is `auth`, or none,
//! as in RFC 2069. Random bytes are passed in, so that the examples of the RFC are tests.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use md5::{Digest as _, Md5};
use sha2::{Sha256, Sha512_256};

use super::challenge::{Challenge, parse_params};
use crate::error::Error;
use crate::secret::Secret;
use crate::sync::lock;
use crate::vocabulary::Kind;

/// A user and a password for Digest. Threads: immutable.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct DigestCredentials {
    pub(super) user: Secret<Arc<str>>,
    pub(super) password: Secret<Arc<str>>,
}

/// The nonces of the servers that were asked before. Threads: any thread at any time.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<VecDeque<Session>>);

/// What a response with a challenge means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learned {
    /// There is a nonce for the next answer. `stale`: the server knew the user, and only the nonce was too old (RFC 7616
    /// section 3.3).
    Nonce { stale: bool },
    /// There is no challenge for Digest.
    Nothing,
}

/// A challenge that was accepted, and how often it was answered.
#[derive(Clone)]
struct Session {
    /// The origin or the proxy.
    place: Arc<str>,
    user: Secret<Arc<str>>,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// Whether the answer has a count and a cnonce; the older form of RFC 2069 has neither.
    has_qop: bool,
    userhash: bool,
    is_utf8: bool,
    count: u32,
    /// The A1 of a `-sess` algorithm holds the first nonces (RFC 7616 section 3.4.2).
    first: Option<(String, String)>,
}

/// RFC 7616 section 6.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Algorithm {
    hash: Hash,
    sess: bool,
    /// The server named it; otherwise it is not sent back.
    named: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Md5,
    Sha256,
    Sha512_256,
}

impl DigestCredentials {
    pub(crate) fn new(user: &str, password: &str) -> Self {
        Self { user: Secret::new(user.into()), password: Secret::new(password.into()) }
    }
}

impl Sessions {
    /// The value of the Authorization or Proxy-Authorization field for a request; `None` if no nonce of that place is
    /// known. `uri` is the request's target as it is sent.
    pub(crate) fn answer(
        &self,
        place: &str,
        credentials: &DigestCredentials,
        method: &str,
        uri: &str,
    ) -> Option<String> {
        self.answer_with(place, credentials, method, uri, random_text)
    }

    fn answer_with(
        &self,
        place: &str,
        credentials: &DigestCredentials,
        method: &str,
        uri: &str,
        cnonce: impl FnOnce() -> String,
    ) -> Option<String> {
        let mut sessions = lock(&self.0);
        let at = sessions.iter().position(|one| one.is_of(place, credentials))?;
        let mut session = sessions.remove(at)?;
        // The count has eight digits (RFC 7616 section 3.4).
        session.count = session.count.checked_add(1)?;
        let cnonce = cnonce();
        if session.algorithm.sess && session.first.is_none() {
            session.first = Some((session.nonce.clone(), cnonce.clone()));
        }
        let value = session.field(credentials, method, uri, &cnonce);
        // The one that was used last is the last one.
        sessions.push_back(session);
        Some(value)
    }

    /// Reads the challenges of a response with 401 or 407.
    ///
    /// # Errors
    /// [`Kind::AuthFailed`] if the server asks for Digest with an algorithm or a quality of protection that is not
    /// supported.
    pub(crate) fn learn<'a>(
        &self,
        place: &str,
        credentials: &DigestCredentials,
        challenges: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Learned, Error> {
        let challenges = Challenge::parse_all(challenges);
        let mut unsupported = None;
        let mut found = None;
        // The server's order is its order of preference (RFC 7616 section 3.7).
        for challenge in challenges.iter().filter(|one| one.scheme == "digest") {
            match Session::of(challenge, place, credentials) {
                Ok(session) => {
                    let stale =
                        challenge.param("stale").is_some_and(|v| v.eq_ignore_ascii_case("true"));
                    found = Some((session, stale));
                    break;
                }
                Err(why) => unsupported = unsupported.or(Some(why)),
            }
        }
        let Some((session, stale)) = found else {
            return match unsupported {
                Some(why) => {
                    let what = format!("{place} asks for digest authentication {why}");
                    Err(Error::new(Kind::AuthFailed, what))
                }
                None => Ok(Learned::Nothing),
            };
        };
        let mut sessions = lock(&self.0);
        sessions.retain(|one| !one.is_of(place, credentials));
        if sessions.len() >= MAX_SESSIONS {
            sessions.pop_front();
        }
        sessions.push_back(session);
        Ok(Learned::Nonce { stale })
    }

    /// Whether a nonce of that place is known.
    pub(crate) fn knows(&self, place: &str, credentials: &DigestCredentials) -> bool {
        lock(&self.0).iter().any(|one| one.is_of(place, credentials))
    }

    /// Forgets the nonce of a place: the user or the password was refused.
    pub(crate) fn forget(&self, place: &str, credentials: &DigestCredentials) {
        lock(&self.0).retain(|one| !one.is_of(place, credentials));
    }

    /// Reads an Authentication-Info or Proxy-Authentication-Info field: the server may name the nonce for the next
    /// request (RFC 7616 section 3.5). The rest of it is ignored.
    pub(crate) fn read_info(&self, place: &str, credentials: &DigestCredentials, field: &[u8]) {
        let info = parse_params(field);
        let is_usable = |next: &&str| next.len() <= MAX_TEXT && is_quotable(next);
        let Some(next) = info.param("nextnonce").filter(is_usable) else { return };
        let mut sessions = lock(&self.0);
        if let Some(session) = sessions.iter_mut().find(|one| one.is_of(place, credentials))
            && session.nonce != next
        {
            session.nonce = next.to_owned();
            session.count = 0;
        }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} nonces", lock(&self.0).len())
    }
}

impl fmt::Debug for DigestCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Session {
    /// The session that a challenge begins, or why it can't be answered.
    fn of(
        challenge: &Challenge,
        place: &str,
        credentials: &DigestCredentials,
    ) -> Result<Self, String> {
        let algorithm = Algorithm::of(challenge.param("algorithm"))?;
        let has_qop = match challenge.param("qop") {
            None => false,
            Some(offered) => {
                let mut values = offered.split(',').map(str::trim);
                if !values.any(|one| one.eq_ignore_ascii_case("auth")) {
                    return Err(format!(
                        "with the quality of protection {offered:?}; only \"auth\" is supported, \
                         auth-int is not"
                    ));
                }
                true
            }
        };
        let text = |name: &str| match challenge.param(name) {
            Some(value) if value.len() > MAX_TEXT => {
                Err(format!("with a {name} of more than {MAX_TEXT} bytes"))
            }
            Some(value) if !is_quotable(value) => {
                Err(format!("with control characters in its {name}"))
            }
            value => Ok(value.map(str::to_owned)),
        };
        let nonce = text("nonce")?.ok_or("without a nonce")?;
        Ok(Self {
            place: place.into(),
            user: credentials.user.clone(),
            realm: text("realm")?.unwrap_or_default(),
            nonce,
            opaque: text("opaque")?,
            algorithm,
            has_qop,
            userhash: challenge.param("userhash").is_some_and(|v| v.eq_ignore_ascii_case("true")),
            is_utf8: challenge.param("charset").is_some_and(|v| v.eq_ignore_ascii_case("utf-8")),
            count: 0,
            first: None,
        })
    }

    fn is_of(&self, place: &str, credentials: &DigestCredentials) -> bool {
        *self.place == *place && self.user == credentials.user
    }

    /// The value of the field (RFC 7616 section 3.4).
    fn field(
        &self,
        credentials: &DigestCredentials,
        method: &str,
        uri: &str,
        cnonce: &str,
    ) -> String {
        let hash = |parts: &[&str]| self.algorithm.hash.of(&parts.join(":"));
        let user = &**credentials.user.reveal();
        let mut a1 = hash(&[user, &self.realm, credentials.password.reveal()]);
        if let Some((nonce, cnonce)) = &self.first {
            a1 = hash(&[&a1, nonce, cnonce]);
        }
        let a2 = hash(&[method, uri]);
        let count = format!("{:08x}", self.count);
        let response = match self.has_qop {
            true => hash(&[&a1, &self.nonce, &count, cnonce, "auth", &a2]),
            false => hash(&[&a1, &self.nonce, &a2]),
        };
        let mut field = String::from("Digest ");
        if self.userhash {
            let name = hash(&[user, &self.realm]);
            field.push_str(&format!("username=\"{name}\""));
        } else if self.is_utf8 && !user.is_ascii() {
            // RFC 8187: the name as UTF-8, percent-encoded.
            let set = percent_encoding::NON_ALPHANUMERIC;
            let name = percent_encoding::utf8_percent_encode(user, set);
            field.push_str(&format!("username*=UTF-8''{name}"));
        } else {
            field.push_str(&format!("username=\"{}\"", quoted(user)));
        }
        let realm = quoted(&self.realm);
        let (nonce, uri) = (quoted(&self.nonce), quoted(uri));
        field.push_str(&format!(", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\""));
        if self.algorithm.named {
            field.push_str(&format!(", algorithm={}", self.algorithm.name()));
        }
        field.push_str(&format!(", response=\"{response}\""));
        if self.has_qop {
            field.push_str(&format!(", qop=auth, nc={count}, cnonce=\"{cnonce}\""));
        } else if self.first.is_some() {
            // The server can't compute A1 without it.
            field.push_str(&format!(", cnonce=\"{cnonce}\""));
        }
        if let Some(opaque) = &self.opaque {
            field.push_str(&format!(", opaque=\"{}\"", quoted(opaque)));
        }
        if self.userhash {
            field.push_str(", userhash=true");
        }
        field
    }
}

impl Algorithm {
    fn of(name: Option<&str>) -> Result<Self, String> {
        let Some(name) = name else {
            return Ok(Self { hash: Hash::Md5, sess: false, named: false });
        };
        let lower = name.to_ascii_lowercase();
        let (base, sess) = match lower.strip_suffix("-sess") {
            Some(base) => (base, true),
            None => (lower.as_str(), false),
        };
        let hash = match base {
            "md5" => Hash::Md5,
            "sha-256" => Hash::Sha256,
            "sha-512-256" => Hash::Sha512_256,
            _ => {
                let known = "MD5, SHA-256, SHA-512-256 and their -sess forms are supported";
                return Err(format!("with the algorithm {name:?}; {known}"));
            }
        };
        Ok(Self { hash, sess, named: true })
    }

    fn name(self) -> &'static str {
        match (self.hash, self.sess) {
            (Hash::Md5, false) => "MD5",
            (Hash::Md5, true) => "MD5-sess",
            (Hash::Sha256, false) => "SHA-256",
            (Hash::Sha256, true) => "SHA-256-sess",
            (Hash::Sha512_256, false) => "SHA-512-256",
            (Hash::Sha512_256, true) => "SHA-512-256-sess",
        }
    }
}

impl Hash {
    /// In hexadecimal digits.
    fn of(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
            Self::Sha512_256 => hex(&Sha512_256::digest(text)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The inside of a quoted string (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Whether a text can be sent back in a quoted string.
fn is_quotable(text: &str) -> bool {
    !text.chars().any(|c| c.is_ascii_control() && c != '\t')
}

/// A cnonce: it need not be secret, but no server should be able to choose or foresee it (RFC 7616 section 5.9).
fn random_text() -> String {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // The system has no random bytes: what the standard library keys its hash tables with is the next best.
        use std::hash::{BuildHasher, RandomState};
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&RandomState::new().hash_one(0_u8).to_ne_bytes());
        }
    }
    hex(&bytes)
}

/// Servers whose nonces are kept.
const MAX_SESSIONS: usize = 64;
/// Bytes of a realm, a nonce or an opaque text; more than any server sends.
const MAX_TEXT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = "http://www.example.org:80";

    fn learn(
        sessions: &Sessions,
        user: &DigestCredentials,
        challenges: &[&str],
    ) -> Result<Learned, Error> {
        sessions.learn(PLACE, user, challenges.iter().map(|text| text.as_bytes()))
    }

    fn answer(
        sessions: &Sessions,
        user: &DigestCredentials,
        uri: &str,
        cnonce: &str,
    ) -> Option<String> {
        sessions.answer_with(PLACE, user, "GET", uri, || cnonce.to_owned())
    }

    fn once(user: &DigestCredentials, challenges: &[&str], uri: &str, cnonce: &str) -> String {
        let sessions = Sessions::default();
        assert_eq!(learn(&sessions, user, challenges).unwrap(), NEW);
        answer(&sessions, user, uri, cnonce).unwrap()
    }

    const NEW: Learned = Learned::Nonce { stale: false };
    const SHA: &str = r#"Digest realm="http-auth@example.org", qop="auth, auth-int",
        algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#;
    const MD5: &str = r#"Digest realm="http-auth@example.org", qop="auth, auth-int",
        algorithm=MD5, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#;
    const CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

    fn one_line(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_first_examples_of_rfc_7616() {
        // Section 3.9.1.
        let mufasa = DigestCredentials::new("Mufasa", "Circle of Life");
        let field = once(&mufasa, &[&one_line(SHA), &one_line(MD5)], "/dir/index.html", CNONCE);
        assert_eq!(
            field,
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", uri=\"/dir/index.html\", \
             algorithm=SHA-256, \
             response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\", \
             qop=auth, nc=00000001, cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        );
        let field = once(&mufasa, &[&one_line(MD5)], "/dir/index.html", CNONCE);
        assert!(field.contains("response=\"8ca523f5e9506fed4657c9700eebdbec\""), "{field}");
    }

    #[test]
    fn the_example_of_rfc_7616_with_a_hashed_user() {
        // Section 3.9.2 as the erratum 4897 has it: SHA-512-256 is SHA-512/256, which the RFC's own numbers are not.
        let user = DigestCredentials::new("J\u{e4}s\u{f8}n Doe", "Secret, or not?");
        let challenge = r#"Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256,
            nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true"#;
        let cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v";
        let field = once(&user, &[&one_line(challenge)], "/doe.json", cnonce);
        let name = Hash::Sha512_256.of("J\u{e4}s\u{f8}n Doe:api@example.org");
        assert!(field.starts_with(&format!("Digest username=\"{name}\"")), "{field}");
        assert_eq!(name, "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b");
        assert!(field.ends_with(", userhash=true"), "{field}");
        assert!(
            field.contains(
                "response=\"3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5\""
            ),
            "{field}"
        );
    }

    #[test]
    fn the_example_of_rfc_2617_and_the_older_form_without_qop() {
        let mufasa = DigestCredentials::new("Mufasa", "Circle Of Life");
        let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
        // RFC 2617 section 3.5.
        let challenge = format!(
            "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", nonce=\"{nonce}\""
        );
        let field = once(&mufasa, &[&challenge], "/dir/index.html", "0a4f113b");
        assert!(field.contains("response=\"6629fae49393a05397450978507c4ef1\""), "{field}");
        assert!(!field.contains("algorithm"), "{field}");
        // RFC 2069 section 2.4, with the response that its erratum 749 gives.
        let old = DigestCredentials::new("Mufasa", "CircleOfLife");
        let challenge = format!("Digest realm=\"testrealm@host.com\", nonce=\"{nonce}\"");
        let field = once(&old, &[&challenge], "/dir/index.html", "x");
        assert!(field.contains("response=\"1949323746fe6a43ef61f9606e7febea\""), "{field}");
        assert!(!field.contains("nc=") && !field.contains("cnonce"), "{field}");
    }

    #[test]
    fn a_session_algorithm_keeps_its_first_nonces() {
        let user = DigestCredentials::new("u", "p");
        let sessions = Sessions::default();
        let challenge = "Digest realm=\"r\", nonce=\"n\", qop=auth, algorithm=MD5-sess";
        assert_eq!(learn(&sessions, &user, &[challenge]).unwrap(), NEW);
        let a1 = Hash::Md5.of(&format!("{}:n:c1", Hash::Md5.of("u:r:p")));
        for (count, cnonce) in [("00000001", "c1"), ("00000002", "c2")] {
            let field = answer(&sessions, &user, "/", cnonce).unwrap();
            let a2 = Hash::Md5.of("GET:/");
            let response = Hash::Md5.of(&format!("{a1}:n:{count}:{cnonce}:auth:{a2}"));
            assert!(field.contains(&format!("response=\"{response}\"")), "{field}");
            assert!(field.contains(&format!("nc={count}")), "{field}");
        }
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        let user = DigestCredentials::new("u", "p");
        let sessions = Sessions::default();
        for (challenge, word) in [
            ("Digest realm=r, nonce=n, qop=\"auth-int\"", "auth-int"),
            ("Digest realm=r, nonce=n, algorithm=SHA-1", "SHA-1"),
            ("Digest realm=r, qop=auth", "nonce"),
        ] {
            let error = learn(&sessions, &user, &[challenge]).unwrap_err();
            assert_eq!(error.kind(), Kind::AuthFailed);
            assert!(error.message().contains(word), "{}", error.message());
        }
        let both =
            ["Digest realm=r, nonce=n, algorithm=SHA-1", "Digest realm=r, nonce=n, qop=auth"];
        assert_eq!(learn(&sessions, &user, &both).unwrap(), NEW);
        let basic = ["Basic realm=\"r\""];
        assert_eq!(learn(&sessions, &user, &basic).unwrap(), Learned::Nothing);
    }

    #[test]
    fn a_nonce_may_be_stale_or_forgotten() {
        let user = DigestCredentials::new("u", "p");
        let sessions = Sessions::default();
        assert_eq!(learn(&sessions, &user, &["Digest realm=r, nonce=n1, qop=auth"]).unwrap(), NEW);
        let stale = ["Digest realm=r, nonce=n2, qop=auth, stale=TRUE"];
        assert_eq!(learn(&sessions, &user, &stale).unwrap(), Learned::Nonce { stale: true });
        assert!(answer(&sessions, &user, "/", "c").unwrap().contains("nonce=\"n2\""));
        sessions.forget(PLACE, &user);
        assert_eq!(answer(&sessions, &user, "/", "c"), None);
    }

    #[test]
    fn the_server_names_the_next_nonce() {
        let user = DigestCredentials::new("u", "p");
        let sessions = Sessions::default();
        learn(&sessions, &user, &["Digest realm=r, nonce=n1, qop=auth"]).unwrap();
        answer(&sessions, &user, "/", "c").unwrap();
        sessions.read_info(PLACE, &user, b"qop=auth, nextnonce=\"n2\", rspauth=\"x\"");
        let field = answer(&sessions, &user, "/", "c").unwrap();
        assert!(field.contains("nonce=\"n2\"") && field.contains("nc=00000001"), "{field}");
    }

    #[test]
    fn texts_that_no_server_needs_are_refused() {
        let user = DigestCredentials::new("u", "p");
        let sessions = Sessions::default();
        let long = "x".repeat(MAX_TEXT + 1);
        for name in ["nonce", "realm", "opaque"] {
            for (value, word) in [(long.as_str(), "4096 bytes"), ("a\u{1}b", "control")] {
                let challenge = format!("Digest qop=auth, {name}=\"{value}\", realm=r, nonce=n");
                let error = learn(&sessions, &user, &[&challenge]).unwrap_err();
                assert!(error.message().contains(word), "{}", error.message());
                assert!(error.message().contains(name), "{}", error.message());
            }
        }
        learn(&sessions, &user, &["Digest realm=r, nonce=n1, qop=auth"]).unwrap();
        let next = format!("nextnonce=\"{long}\"");
        sessions.read_info(PLACE, &user, next.as_bytes());
        let field = answer(&sessions, &user, "/", "c").unwrap();
        assert!(field.contains("nonce=\"n1\""), "{field}");
    }

    #[test]
    fn nonces_belong_to_a_place_and_a_user_and_are_bounded() {
        let (user, other) = (DigestCredentials::new("u", "p"), DigestCredentials::new("v", "p"));
        let sessions = Sessions::default();
        learn(&sessions, &user, &["Digest realm=r, nonce=n, qop=auth"]).unwrap();
        assert_eq!(answer(&sessions, &other, "/", "c"), None);
        assert!(sessions.answer("https://elsewhere.example:443", &user, "GET", "/").is_none());
        for n in 0..2 * MAX_SESSIONS {
            let challenge = [&b"Digest realm=r, nonce=n, qop=auth"[..]];
            let place = format!("https://{n}.example:443");
            sessions.learn(&place, &user, challenge.into_iter()).unwrap();
        }
        assert_eq!(lock(&sessions.0).len(), MAX_SESSIONS);
        assert_eq!(format!("{user:?}"), "***");
    }

    #[test]
    fn quotes_in_a_name_are_escaped() {
        let user = DigestCredentials::new("a\"b\\c", "p");
        let field = once(&user, &["Digest realm=\"r\\\"s\", nonce=n, qop=auth"], "/", "c");
        assert!(field.contains("username=\"a\\\"b\\\\c\", realm=\"r\\\"s\""), "{field}");
    }
}
