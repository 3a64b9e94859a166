//! The head of a request: the client's defaults, the request's headers, and those that the library sets
//! itself. Knows nothing of connections and of responses.

use http::header::{self, HeaderMap, HeaderValue};

use super::config::Config;
use super::redirect::RequestHop;
use crate::error::Error;
use crate::http::request_body::BodyLength;
use crate::request::{Request, own};
use crate::vocabulary::{ConnectionMode, Kind};

/// The head of one hop of a call.
pub(super) fn request_head(
    config: &Config,
    request: &Request,
    hop: &RequestHop,
    mode: ConnectionMode,
    body: BodyLength,
) -> Result<http::Request<()>, Error> {
    let mut headers = HeaderMap::with_capacity(config.headers.len() + request.headers.len() + 4);
    // First, as RFC 9110 section 7.2 asks for; the engine would make the same, and take longer.
    headers.insert(header::HOST, hop.target.host.clone());
    for (name, value) in &config.headers {
        if hop.forwards_header(name, &config.sensitive) {
            headers.insert(name, value.clone());
        }
    }
    if !request.headers.is_empty() {
        // Without the body its headers go as well, and have nothing to contradict.
        if hop.has_body {
            check_framing(&request.headers, body)?;
        }
        for name in request.headers.keys() {
            headers.remove(name);
        }
        for (name, value) in &request.headers {
            if hop.forwards_header(name, &config.sensitive) {
                headers.append(name, value.clone());
            }
        }
    }
    match body {
        BodyLength::Known(length) => drop(headers.insert(header::CONTENT_LENGTH, length.into())),
        BodyLength::Chunked => {
            drop(headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked")))
        }
        BodyLength::None => {}
    }
    let close = mode == ConnectionMode::CloseAfter;
    if headers.contains_key(header::UPGRADE) {
        // RFC 9110 section 7.8: the sender of Upgrade names it in Connection, too.
        let options = if close { "Upgrade, close" } else { "Upgrade" };
        headers.insert(header::CONNECTION, HeaderValue::from_static(options));
    } else if request.says_upgrade {
        let what =
            "Connection: Upgrade needs an Upgrade header beside it, which names the protocol";
        return Err(Error::new(Kind::InvalidHeader, what));
    } else if close {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    // The peer of CONNECT is a proxy, which has a field of its own (RFC 9110 section 11.7.2).
    let authorization = match request.connect {
        None => header::AUTHORIZATION,
        Some(_) => header::PROXY_AUTHORIZATION,
    };
    if let Some(credentials) = hop.credentials(&request.target)
        && !headers.contains_key(&authorization)
    {
        headers.insert(authorization, credentials.clone());
    }
    if let Some(target) = &request.connect {
        // RFC 9112 section 3.2.3. What describes a response to others has no meaning for a tunnel.
        if let Ok(target) = HeaderValue::from_str(target) {
            headers.insert(header::HOST, target);
        }
        return Ok(message(hop, headers));
    }
    if config.decode
        && !headers.contains_key(header::ACCEPT_ENCODING)
        // A range of a compressed body can't be decoded.
        && !headers.contains_key(header::RANGE)
    {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate"));
    }
    if let Some(jar) = &config.jar
        && !headers.contains_key(header::COOKIE)
        && let Some(cookies) = jar.send(&hop.target)
    {
        headers.insert(header::COOKIE, cookies);
    }
    Ok(message(hop, headers))
}

fn message(hop: &RequestHop, headers: HeaderMap) -> http::Request<()> {
    let mut message = http::Request::new(());
    *message.method_mut() = hop.method.clone();
    *message.uri_mut() = hop.target.uri.clone();
    *message.headers_mut() = headers;
    message
}

/// Framing fields of the caller must agree with what the library does: a message that can be read in two
/// ways is how requests are smuggled (RFC 9112 section 11.2).
fn check_framing(headers: &HeaderMap, body: BodyLength) -> Result<(), Error> {
    let length = match body {
        BodyLength::None => Some(0),
        BodyLength::Known(length) => Some(length),
        BodyLength::Chunked => None,
    };
    for value in headers.get_all(header::CONTENT_LENGTH) {
        let given = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
        if given.is_none() || given != length {
            let why = match length {
                Some(length) => format!("the body has {length} bytes"),
                None => "the body's length is not known".to_owned(),
            };
            return Err(own(&header::CONTENT_LENGTH, &why));
        }
    }
    for value in headers.get_all(header::TRANSFER_ENCODING) {
        if !value.as_bytes().eq_ignore_ascii_case(b"chunked") || body != BodyLength::Chunked {
            return Err(own(
                &header::TRANSFER_ENCODING,
                "give the body as a reader of unknown length instead",
            ));
        }
    }
    Ok(())
}
