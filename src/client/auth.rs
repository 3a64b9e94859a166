//! The credentials of one hop: the field that carries them, and what a challenge (401, or 407 of a proxy that reads the
//! request itself) makes of them. They go to the origin of the first request alone.

use std::sync::Arc;

use http::header::{HeaderName, PROXY_AUTHENTICATE, WWW_AUTHENTICATE};

use super::config::Config;
use super::redirect::RequestHop;
use crate::auth::{Auth, Learned, Scheme, Sessions, TokenRequest, TokenSource, bearer_field};
use crate::error::Error;
use crate::headers::{AUTHORIZATION, PROXY_AUTHORIZATION};
use crate::manager::PoolKey;
use crate::request::Request;
use crate::response_head::RawHead;
use crate::vocabulary::Kind;

/// Threads: one at a time.
pub(super) struct HopAuth<'a> {
    scheme: &'a Scheme,
    sessions: &'a Sessions,
    /// The origin, as messages show it.
    place: String,
    host: &'a str,
    /// The authority that a CONNECT asks a tunnel to: its peer is a proxy, which has fields of its own.
    connect: Option<&'a str>,
    /// What is sent as the request target instead of the URL's path and query.
    given_target: Option<&'a [u8]>,
    /// The last answer was refused so many times.
    refusals: u32,
    token: Option<String>,
}

/// Runs a function of the program, and waits for it.
pub(super) type Ask<'a> = &'a dyn Fn(TokenSource, TokenRequest) -> Result<Answer, Error>;

/// A token, or why there is none.
pub(super) type Answer = Result<String, String>;

impl<'a> HopAuth<'a> {
    /// `None` if the hop has no credentials but those of a URL or a header. The request's come before those of its
    /// URL, and these before the client's.
    pub(super) fn of(
        config: &'a Config,
        request: &'a Request,
        hop: &'a RequestHop,
    ) -> Option<Box<Self>> {
        if config.auth.is_none() && request.auth.is_none() {
            return None;
        }
        let auth = chosen(config, request, hop)?;
        let origin = &hop.target.origin;
        Some(Box::new(Self {
            scheme: auth.scheme(),
            sessions: &config.digest_sessions,
            place: origin.to_string(),
            host: &origin.host,
            connect: request.connect.as_deref(),
            given_target: request
                .given_target
                .as_deref()
                .filter(|_| Arc::ptr_eq(&hop.target, &request.target)),
            refusals: 0,
            token: None,
        }))
    }

    /// The value of the Authorization field.
    ///
    /// # Errors
    /// [`Kind::AuthFailed`] if the program's function fails; what ends the call while it is asked.
    pub(super) fn field(
        &mut self,
        hop: &RequestHop,
        ask: Ask<'_>,
    ) -> Result<Option<String>, Error> {
        let text = match self.scheme {
            Scheme::Fixed(field) => field.reveal().to_string(),
            Scheme::Netrc(file) => match file.field(self.host) {
                Some(field) => field,
                None => return Ok(None),
            },
            Scheme::Digest(credentials) => {
                let given = self.given_target.map(String::from_utf8_lossy);
                let uri = match (self.connect, &given) {
                    (Some(authority), _) => authority,
                    (None, Some(given)) => given,
                    (None, None) => hop.target.request_target(),
                };
                match self.sessions.answer(&self.place, credentials, hop.method.as_str(), uri) {
                    Some(field) => field,
                    None => return Ok(None),
                }
            }
            Scheme::Token(source) => {
                let token = match self.token.take() {
                    Some(token) => token,
                    None => {
                        let asked = TokenRequest::new(self.place.clone(), None);
                        ask(source.clone(), asked)?.map_err(|why| self.no_token(&why))?
                    }
                };
                let field = bearer_field(&token)
                    .map_err(|why| self.no_token(&format!("the token {why}")))?;
                self.token = Some(token);
                field
            }
        };
        Ok(Some(text))
    }

    /// Whether the request is to be sent again after this response. `body_replayable`: its body can be.
    ///
    /// # Errors
    /// [`Kind::AuthFailed`] if the program's function fails, or for a challenge that can't be answered; what ends the
    /// call while the function is asked.
    pub(super) fn again(
        &mut self,
        head: &RawHead,
        body_replayable: bool,
        ask: Ask<'_>,
    ) -> Result<bool, Error> {
        let (status, asks, info) = match self.connect {
            None => (401, &WWW_AUTHENTICATE, &AUTHENTICATION_INFO),
            Some(_) => (407, &PROXY_AUTHENTICATE, &PROXY_AUTHENTICATION_INFO),
        };
        if head.status != status {
            if let Scheme::Digest(credentials) = self.scheme {
                for info in values(head, info) {
                    self.sessions.read_info(&self.place, credentials, info);
                }
            }
            return Ok(false);
        }
        self.refusals += 1;
        match self.scheme {
            Scheme::Fixed(_) | Scheme::Netrc(_) => Ok(false),
            Scheme::Digest(credentials) => {
                let challenges = values(head, asks);
                match self.sessions.learn(&self.place, credentials, challenges)? {
                    Learned::Nothing => Ok(false),
                    Learned::Nonce { stale } if is_new_chance(self.refusals, stale) => {
                        Ok(body_replayable)
                    }
                    Learned::Nonce { .. } => {
                        self.sessions.forget(&self.place, credentials);
                        Ok(false)
                    }
                }
            }
            Scheme::Token(source) => {
                let Some(refused) = self.token.take() else { return Ok(false) };
                if self.refusals > 1 || !body_replayable {
                    return Ok(false);
                }
                let asked = TokenRequest::new(self.place.clone(), Some(refused.clone()));
                let token = ask(source.clone(), asked)?.map_err(|why| self.no_token(&why))?;
                let is_new = token != refused;
                self.token = Some(token);
                Ok(is_new)
            }
        }
    }

    fn no_token(&self, why: &str) -> Error {
        Error::new(Kind::AuthFailed, format!("no token for {}: {why}", self.place))
    }
}

/// Whether the request is to be sent again after a response with 407 of the proxy, which reads the request itself.
///
/// # Errors
/// [`Kind::AuthFailed`] for a challenge that can't be answered.
#[cold]
pub(super) fn again_for_proxy(
    key: &Arc<PoolKey>,
    head: &RawHead,
    refusals: &mut u32,
    body_replayable: bool,
) -> Result<bool, Error> {
    let Some(proxy) = key.route.proxy.as_deref() else { return Ok(false) };
    *refusals += 1;
    let learned = proxy.learn(values(head, &PROXY_AUTHENTICATE))?;
    Ok(match learned {
        Learned::Nonce { stale } => body_replayable && is_new_chance(*refusals, stale),
        Learned::Nothing => false,
    })
}

/// Whether a nonce that came with a refusal is worth another request: the first one may have gone out without an answer or
/// with an old nonce; after that the user or the password is wrong, unless the server says that the nonce was stale.
pub(crate) fn is_new_chance(refusals: u32, stale: bool) -> bool {
    refusals == 1 || (stale && refusals < MAX_REFUSALS)
}

fn chosen<'a>(config: &'a Config, request: &'a Request, hop: &RequestHop) -> Option<&'a Auth> {
    if hop.cross_origin || request.headers.contains(field_of(request)) {
        return None;
    }
    if let Some(own) = request.auth.as_deref() {
        return own.as_ref();
    }
    let of_url = hop.credentials(&request.target).is_some();
    let of_header = config.headers.contains(AUTHORIZATION);
    config.auth.as_ref().filter(|_| !of_url && !of_header)
}

/// The field that carries the credentials of a request (RFC 9110 section 11.7.2).
pub(super) fn field_of(request: &Request) -> &'static str {
    match request.connect {
        None => AUTHORIZATION,
        Some(_) => PROXY_AUTHORIZATION,
    }
}

fn values<'a>(head: &'a RawHead, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let fields = head.fields().iter().filter(move |(known, _)| known == name);
    fields.map(|(_, value)| value.as_slice())
}

/// RFC 7615 section 3.
const AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("authentication-info");
const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");
/// A server that calls every nonce stale is not asked again for ever.
const MAX_REFUSALS: u32 = 3;
