//! What a program gives to be authenticated with: a user and a password, a token, a function that gives tokens, or a
//! netrc file.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::digest::DigestCredentials;
use super::netrc::Netrc;
use crate::error::Error;
use crate::secret::{Secret, basic_credentials};
use crate::vocabulary::Kind;

/// Credentials for the origin of a request, sent as its Authorization header (RFC 9110 section 11.6.2).
///
/// Create: [`basic`](Self::basic), [`bearer`](Self::bearer), [`digest`](Self::digest), [`netrc`](Self::netrc),
/// [`token`](Self::token). Use: [`Client::set_auth`](crate::Client::set_auth),
/// [`Request::set_auth`](crate::Request::set_auth). Copies share what they stand for, and `{:?}` shows no secrets.
///
/// They go to the origin of the request's URL and never to another one: a redirect to another scheme, host or port
/// drops them for the rest of the call. A request with an Authorization header of its own sends that one.
///
/// ```
/// use hangup::{Auth, Client};
///
/// let client = Client::default();
/// client.set_auth(Some(Auth::basic("alice", "secret")?));
/// assert!(!format!("{client:?}").contains("secret"));
/// # Ok::<(), hangup::Error>(())
/// ```
///
/// Threads: immutable.
#[derive(Clone)]
pub struct Auth(Scheme);

/// How the credentials are used.
#[derive(Clone)]
pub(crate) enum Scheme {
    /// The value of the header, which is always the same.
    Fixed(Secret<Arc<str>>),
    Digest(DigestCredentials),
    Netrc(Arc<NetrcFile>),
    Token(TokenSource),
}

/// A netrc file that was read.
pub(crate) struct NetrcFile(Netrc);

/// A function of the program that gives tokens.
#[derive(Clone)]
pub(crate) struct TokenSource(Arc<Provide>);

type Provide = dyn Fn(&TokenRequest) -> Result<String, String> + Send + Sync;

/// What a token is asked for, see [`Auth::token`]. Threads: a value.
///
/// ```
/// use hangup::{Auth, TokenRequest};
///
/// let auth = Auth::token(|asked: &TokenRequest| match &asked.refused_token {
///     None => Ok("the token that is known".to_owned()),
///     Some(_) => Err(format!("no newer token for {}", asked.origin)),
/// });
/// # drop(auth);
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenRequest {
    /// Scheme, host and port of the request, for example `https://example.org:443`.
    pub origin: String,
    /// The token that the server has just refused with 401; `None` before the request is sent.
    pub refused_token: Option<String>,
}

impl Auth {
    /// Basic (RFC 7617): the user and the password, as UTF-8, go out with every request, readable by all who see it: use
    /// https.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for a user with a colon, which Basic can't carry, and for control characters.
    ///
    /// ```
    /// assert!(hangup::Auth::basic("alice", "secret").is_ok());
    /// assert!(hangup::Auth::basic("al:ice", "secret").is_err());
    /// ```
    pub fn basic(user: &str, password: &str) -> Result<Self, Error> {
        check_text("user", user)?;
        check_text("password", password)?;
        if user.contains(':') {
            let what =
                "a user with a colon can't be sent as Basic credentials (RFC 7617 section 2)";
            return Err(Error::new(Kind::InvalidArgument, what));
        }
        Ok(Self::fixed(basic_credentials(user.as_bytes(), password.as_bytes())))
    }

    /// Bearer (RFC 6750): this token goes out with every request.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for a token that is empty or has other characters than the visible ones of ASCII.
    ///
    /// ```
    /// assert!(hangup::Auth::bearer("mF_9.B5f-4.1JqM").is_ok());
    /// assert!(hangup::Auth::bearer("two words").is_err());
    /// ```
    pub fn bearer(token: &str) -> Result<Self, Error> {
        match bearer_field(token) {
            Ok(field) => Ok(Self::fixed(field)),
            Err(why) => Err(Error::new(Kind::InvalidArgument, format!("the token {why}"))),
        }
    }

    /// Digest (RFC 7616) with MD5, SHA-256, SHA-512-256 and their `-sess` forms; the quality of protection is `auth`, or
    /// none as in RFC 2069. A server that offers only other ones, `auth-int` for example, fails the call with
    /// [`Kind::AuthFailed`].
    ///
    /// The first request to an origin goes out without credentials. Its challenge (401) is answered by sending the request
    /// again on the same connection, and later requests of the client use the same nonce without a challenge. A request
    /// whose body can't be read again is not sent again: the 401 is returned. So it is if the server refuses the answer.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for control characters.
    ///
    /// ```
    /// assert!(hangup::Auth::digest("Mufasa", "Circle of Life").is_ok());
    /// ```
    pub fn digest(user: &str, password: &str) -> Result<Self, Error> {
        check_text("user", user)?;
        check_text("password", password)?;
        Ok(Self(Scheme::Digest(DigestCredentials::new(user, password))))
    }

    /// The users and passwords of a netrc file, which is read now; they are sent as Basic credentials to the hosts that
    /// it names. `None` is the file that the environment variable NETRC names, or else `.netrc` in the home directory
    /// (if that one does not exist, nothing is sent).
    ///
    /// # Errors
    /// [`Kind::System`] if the file can't be read, [`Kind::InvalidArgument`] if it is malformed.
    ///
    /// ```
    /// assert!(hangup::Auth::netrc(Some("/no/such/file".as_ref())).is_err());
    /// ```
    pub fn netrc(path: Option<&Path>) -> Result<Self, Error> {
        Ok(Self(Scheme::Netrc(Arc::new(NetrcFile(Netrc::read(path)?)))))
    }

    /// Bearer with the tokens of a function. It is asked before each request; and if the server refuses that token with
    /// 401, it is asked once more, and the request is sent again with the new token. If the function returns the same token,
    /// or the body can't be read again, the 401 is returned. The function keeps tokens itself: it is asked often.
    ///
    /// An error of the function fails the call with [`Kind::AuthFailed`] and that message.
    ///
    /// The function runs on threads of the library, never on one of the caller's, possibly on several at once. It may block: a
    /// request that is cancelled or times out does not wait for it.
    ///
    /// ```
    /// use hangup::{Auth, Client};
    ///
    /// let client = Client::default();
    /// client.set_auth(Some(Auth::token(|asked| {
    ///     Ok(if asked.refused_token.is_some() { "a new token" } else { "a token" }.replace(' ', "-"))
    /// })));
    /// ```
    pub fn token(
        provide: impl Fn(&TokenRequest) -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        Self(Scheme::Token(TokenSource(Arc::new(provide))))
    }

    pub(crate) fn scheme(&self) -> &Scheme {
        &self.0
    }

    fn fixed(field: String) -> Self {
        Self(Scheme::Fixed(Secret::new(field.into())))
    }
}

impl NetrcFile {
    /// The value of the Authorization header for a host, if the file has it.
    pub(crate) fn field(&self, host: &str) -> Option<String> {
        let (user, password) = self.0.of(host)?;
        Some(basic_credentials(user.as_bytes(), password.as_bytes()))
    }
}

impl TokenSource {
    /// The function's token, or why there is none. It takes as long as the function does.
    pub(crate) fn provide(&self, asked: &TokenRequest) -> Result<String, String> {
        (self.0)(asked)
    }
}

impl TokenRequest {
    pub(crate) fn new(origin: String, refused_token: Option<String>) -> Self {
        Self { origin, refused_token }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Scheme::Fixed(_) => "fixed ***",
            Scheme::Digest(_) => "digest ***",
            Scheme::Netrc(_) => "netrc ***",
            Scheme::Token(_) => "token ***",
        })
    }
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = if self.refused_token.is_some() { "after a refusal" } else { "first" };
        write!(f, "TokenRequest({}, {refused})", self.origin)
    }
}

/// The value of the header, or what is wrong with the token (RFC 6750 section 2.1, more generously).
pub(crate) fn bearer_field(token: &str) -> Result<String, &'static str> {
    if token.is_empty() {
        return Err("is empty");
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("has a space, a control character or one that is not ASCII");
    }
    Ok(format!("Bearer {token}"))
}

fn check_text(what: &str, text: &str) -> Result<(), Error> {
    if text.chars().any(char::is_control) {
        let what = format!("the {what} holds a control character (RFC 7617 section 2)");
        return Err(Error::new(Kind::InvalidArgument, what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_sent_is_refused_without_being_shown() {
        for refused in [
            Auth::basic("a:b", "secret"),
            Auth::basic("a", "secret\n"),
            Auth::digest("a\r", "secret"),
            Auth::bearer(""),
            Auth::bearer("secret secret"),
            Auth::bearer("secret\u{e9}"),
        ] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument);
            assert!(!error.message().contains("secret"), "{}", error.message());
        }
    }

    #[test]
    fn basic_is_utf_8() {
        // RFC 7617 section 2.1.
        match Auth::basic("test", "123\u{a3}").unwrap().scheme() {
            Scheme::Fixed(field) => assert_eq!(&**field.reveal(), "Basic dGVzdDoxMjPCow=="),
            _ => panic!("it is always the same"),
        }
    }
}
