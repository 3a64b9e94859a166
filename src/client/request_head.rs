//! The head of a request: the request's headers, the client's defaults, and those that the library sets
//! itself. Knows nothing of connections and of responses.

use std::sync::Arc;

use super::auth::field_of;
use super::config::Config;
use super::redirect::RequestHop;
use crate::error::Error;
use crate::headers::{
    self, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST,
    Headers, PROXY_AUTHORIZATION, RANGE, TRANSFER_ENCODING, UPGRADE,
};
use crate::http::codings;
use crate::http::request_body::BodyLength;
use crate::http::request_head::RequestHead;
use crate::request::{Request, has_option, own};
use crate::target::HeadOrigin;
use crate::vocabulary::{ConnectionMode, Kind};

/// The head of one hop of a call. Its fields are Host, unless the request has it at a place of its own; those of the
/// request; the client's defaults that the request does not have; and what the library adds. `credentials` are those that
/// the hop has beside headers and URL.
pub(super) fn request_head(
    config: &Config,
    request: &Request,
    hop: &RequestHop,
    mode: ConnectionMode,
    body: BodyLength,
    credentials: Option<&str>,
) -> Result<RequestHead, Error> {
    let of = origin_of(config, request, hop, mode, body, credentials);
    let own = request.headers.as_bytes();
    let kept = of.as_ref().and_then(|of| hop.target.kept_head(of, own));
    let headers = match kept {
        Some(kept) => Arc::clone(kept),
        None => Arc::new(fields(config, request, hop, mode, body, credentials)?),
    };
    let is_plain = kept.is_some() || !NOT_PLAIN.iter().any(|name| headers.contains(name));
    if let Some(of) = of
        && kept.is_none()
        && is_plain
        && !SECRET.iter().any(|name| headers.contains(name))
    {
        hop.target.keep_head(of, own, &headers);
    }
    let is_first = Arc::ptr_eq(&hop.target, &request.target);
    let given_target = match &request.connect {
        // RFC 9112 section 3.2.3.
        Some(target) => Some(target.as_bytes().into()),
        None if is_first => request.given_target.clone(),
        None => None,
    };
    Ok(RequestHead { given_target, headers, is_plain, body })
}

/// What the fields are made of, if nothing else has an influence on them: no credentials and no cookies, no redirect before
/// it, and no setting that few requests have.
#[inline]
fn origin_of(
    config: &Config,
    request: &Request,
    hop: &RequestHop,
    mode: ConnectionMode,
    body: BodyLength,
    credentials: Option<&str>,
) -> Option<HeadOrigin> {
    let is_usual = credentials.is_none()
        && hop.target.credentials.is_none()
        && Arc::ptr_eq(&hop.target, &request.target)
        && request.removed.is_empty()
        && request.connect.is_none()
        && !request.says_upgrade
        && mode != ConnectionMode::CloseAfter
        && config.jar.as_ref().is_none_or(|jar| !jar.has_any());
    let length = match body {
        BodyLength::None => None,
        BodyLength::Known(length) => Some(length),
        BodyLength::Chunked => return None,
    };
    let decodes = request.decode.unwrap_or(config.decode);
    is_usual.then(|| HeadOrigin { config: config.id.number(), decodes, length })
}

/// All fields, in their order.
#[inline(never)] // A request that is sent again has them already.
fn fields(
    config: &Config,
    request: &Request,
    hop: &RequestHop,
    mode: ConnectionMode,
    body: BodyLength,
    credentials: Option<&str>,
) -> Result<Headers, Error> {
    let mut head = Headers::with_room(
        config.headers.len() + request.headers.len() + 4,
        config.headers.as_bytes().len() + request.headers.as_bytes().len() + 256,
    );
    let given_host = request.headers.contains(HOST) && hop.forwards_header(HOST, &[]);
    if !given_host {
        // First, as RFC 9110 section 7.2 asks for.
        head.add(HOST, request.connect.as_deref().unwrap_or(&hop.target.host).as_bytes());
    }
    if request.headers.is_empty() && request.removed.is_empty() && hop.forwards_all() {
        head.add_all(&config.headers);
    } else {
        // Without the body its headers go as well, and have nothing to contradict.
        if hop.has_body {
            check_framing(&request.headers, body)?;
        }
        for (name, value) in request.headers.iter() {
            // The body's length is said once, however often the caller says it (RFC 9110 section 8.6).
            let repeated = headers::is(name, CONTENT_LENGTH) && head.contains(CONTENT_LENGTH);
            if hop.forwards_header(name, &config.sensitive) && !repeated {
                head.add(name, value);
            }
        }
        for (name, value) in config.headers.iter() {
            let has_own = request.headers.contains(name) || is_removed(&request.removed, name);
            if hop.forwards_header(name, &config.sensitive) && !has_own {
                head.add(name, value);
            }
        }
    }
    let is_free = |head: &Headers, name: &str| {
        !head.contains(name)
            && !is_removed(&request.removed, name)
            && !is_removed(&config.removed, name)
    };
    let authorization = field_of(request);
    if let Some(credentials) = credentials {
        head.set(authorization, credentials.as_bytes());
    } else if let Some(credentials) = hop.credentials(&request.target)
        && is_free(&head, authorization)
    {
        head.add(authorization, credentials.as_bytes());
    }
    // What describes a response to other methods has no meaning for a tunnel.
    if request.connect.is_none() {
        add_preferences(config, request, hop, &mut head, is_free);
    }
    match body {
        BodyLength::Known(length) if !head.contains(CONTENT_LENGTH) => {
            head.add(CONTENT_LENGTH, length.to_string().as_bytes());
        }
        BodyLength::Chunked if !head.contains(TRANSFER_ENCODING) => {
            head.add(TRANSFER_ENCODING, b"chunked");
        }
        _ => {}
    }
    add_connection(request, mode, &mut head)?;
    Ok(head)
}

/// What few requests have, and what decides more than a field.
const NOT_PLAIN: [&str; 3] = [EXPECT, PROXY_AUTHORIZATION, UPGRADE];
/// What is not kept for longer than the request that has it.
const SECRET: [&str; 2] = [AUTHORIZATION, COOKIE];

/// Accept-Encoding and Cookie.
fn add_preferences(
    config: &Config,
    request: &Request,
    hop: &RequestHop,
    head: &mut Headers,
    is_free: impl Fn(&Headers, &str) -> bool,
) {
    if let Some(accepted) = codings::ACCEPT_ENCODING
        && request.decode.unwrap_or(config.decode)
        // A range of a compressed body can't be decoded.
        && !head.contains(RANGE)
        && is_free(head, ACCEPT_ENCODING)
    {
        head.add(ACCEPT_ENCODING, accepted.as_bytes());
    }
    if let Some(jar) = &config.jar
        && jar.has_any()
        && is_free(head, COOKIE)
        && let Some(cookies) = jar.send(&hop.target)
    {
        head.add(COOKIE, &cookies);
    }
}

/// Connection with all its options, unless the caller's fields have them.
fn add_connection(
    request: &Request,
    mode: ConnectionMode,
    head: &mut Headers,
) -> Result<(), Error> {
    let close = mode == ConnectionMode::CloseAfter;
    let upgrade = head.contains(UPGRADE);
    if request.says_upgrade && !upgrade {
        let what =
            "Connection: Upgrade needs an Upgrade header beside it, which names the protocol";
        return Err(Error::new(Kind::InvalidHeader, what));
    }
    let fields = || head.values(CONNECTION);
    let has = |option: &[u8]| fields().any(|value| has_option(value, option));
    let is_whole = (!upgrade || has(b"upgrade")) && (!close || has(b"close"));
    // "keep-alive, close" says two things, and two fields say one twice.
    let is_plain = !close || (fields().count() == 1 && !has(b"keep-alive"));
    if !(is_whole && is_plain) {
        // RFC 9110 section 7.8: the sender of Upgrade names it in Connection, too.
        let options: &[u8] = match (upgrade, close) {
            (true, true) => b"Upgrade, close",
            (true, false) => b"Upgrade",
            _ => b"close",
        };
        head.set(CONNECTION, options);
    }
    Ok(())
}

fn is_removed(removed: &[Box<str>], name: &str) -> bool {
    removed.iter().any(|known| headers::is(known, name))
}

/// The length that the caller's Content-Length announces for a body whose length is not known otherwise.
///
/// # Errors
/// [`Kind::InvalidHeader`](crate::Kind::InvalidHeader) if it is no length, or if two differ.
pub(super) fn announced_length(headers: &Headers) -> Result<Option<u64>, Error> {
    let mut announced = None;
    for value in headers.values(CONTENT_LENGTH) {
        let given =
            length_of(value).ok_or_else(|| own(CONTENT_LENGTH, "it is no number of bytes"))?;
        if announced.is_some_and(|announced| announced != given) {
            return Err(own(CONTENT_LENGTH, "two of them differ"));
        }
        announced = Some(given);
    }
    if announced.is_some() && headers.contains(TRANSFER_ENCODING) {
        // RFC 9112 section 6.1.
        return Err(own(TRANSFER_ENCODING, "the request has a Content-Length as well"));
    }
    Ok(announced)
}

/// RFC 9110 section 8.6: digits and nothing else.
fn length_of(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value.trim_ascii()).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Framing fields of the caller must agree with what the library does: a message that can be read in two
/// ways is how requests are smuggled (RFC 9112 section 11.2).
fn check_framing(headers: &Headers, body: BodyLength) -> Result<(), Error> {
    let length = match body {
        BodyLength::None => Some(0),
        BodyLength::Known(length) => Some(length),
        BodyLength::Chunked => None,
    };
    for value in headers.values(CONTENT_LENGTH) {
        let given = length_of(value);
        if given.is_none() || given != length {
            let why = match length {
                Some(length) => format!("the body has {length} bytes"),
                None => "the body's length is not known".to_owned(),
            };
            return Err(own(CONTENT_LENGTH, &why));
        }
    }
    for value in headers.values(TRANSFER_ENCODING) {
        if !value.eq_ignore_ascii_case(b"chunked") || body != BodyLength::Chunked {
            let why = "give the body as a reader of unknown length instead";
            return Err(own(TRANSFER_ENCODING, why));
        }
    }
    if headers.values(TRANSFER_ENCODING).count() > 1 {
        return Err(own(TRANSFER_ENCODING, "a body is chunked once"));
    }
    Ok(())
}
