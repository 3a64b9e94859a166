//! CONNECT (RFC 9110 section 9.3.6): asks a HTTP proxy for a tunnel, and reads its response.
//!
//! The one place in `net` that knows HTTP. What is sent here never reaches the origin.

use std::net::IpAddr;

use http::Method;
use http::header::{CONTENT_LENGTH, PROXY_AUTHENTICATE, TRANSFER_ENCODING};

use super::Proxy;
use super::tunnel::{Next, TunnelTarget, failed};
use crate::auth::Learned;
use crate::error::Error;
use crate::response_head::{self, Look, ResponseTo};
use crate::runtime::on_thread_stack;

/// How much of the response is read. Threads: a value.
#[derive(Debug, Default)]
pub(super) struct HttpConnect {
    /// The size of the interim responses (1xx), which are skipped.
    interim: usize,
    /// How often the proxy asked for credentials.
    refusals: u32,
}

impl HttpConnect {
    /// What the request asks for: a host and a port (RFC 9112 section 3.2.3).
    pub(super) fn target(to: &TunnelTarget, port: u16) -> String {
        match to {
            TunnelTarget::Name(name) => format!("{name}:{port}"),
            TunnelTarget::Address(IpAddr::V6(address)) => format!("[{address}]:{port}"),
            TunnelTarget::Address(address) => format!("{address}:{port}"),
        }
    }

    /// The request.
    pub(super) fn request(target: &str, authorization: Option<&str>) -> Vec<u8> {
        let mut request =
            format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {USER_AGENT}\r\n");
        if let Some(authorization) = authorization {
            request.push_str("Proxy-Authorization: ");
            request.push_str(authorization);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        request.into_bytes()
    }

    /// `incoming` is all that came so far. Content-Length and Transfer-Encoding of the response that opens
    /// the tunnel are ignored (RFC 9110 section 9.3.6).
    pub(super) fn receive(
        &mut self,
        incoming: &[u8],
        proxy: &Proxy,
        proxy_name: &str,
    ) -> Result<Next, Error> {
        loop {
            let size = match response_head::look(&incoming[self.interim..], 0) {
                Look::Complete(size) if self.interim + size <= MAX_HEAD => size,
                Look::Incomplete if incoming.len() < MAX_HEAD => return Ok(Next::NeedMore),
                Look::Complete(_) | Look::Incomplete => {
                    let why = format!("its answer is longer than {MAX_HEAD} bytes");
                    return Err(failed(proxy_name, &why));
                }
                Look::Wrong(what) => {
                    return Err(failed(proxy_name, &format!("its answer is not HTTP: {what}")));
                }
            };
            let bytes = &incoming[self.interim..self.interim + size];
            match on_thread_stack(|| response_head::read_connect(bytes)) {
                Ok((100..=199, _)) => self.interim += size,
                Ok((200..=299, _)) => return Ok(Next::Open(self.interim + size)),
                Ok((407, reason)) if self.is_answerable(bytes, proxy)? => {
                    // The response is skipped with its body, if that has a length and the connection stays open.
                    let whole = rest_of_refusal(bytes).map(|body| self.interim + size + body);
                    return match whole {
                        Some(whole) if whole <= incoming.len() => Ok(Next::Challenged(whole)),
                        Some(whole) if whole <= MAX_HEAD + MAX_BODY => Ok(Next::NeedMore),
                        // The next connection answers the challenge.
                        _ => Err(refused(proxy, proxy_name, 407, &reason)),
                    };
                }
                Ok((status, reason)) => return Err(refused(proxy, proxy_name, status, &reason)),
                Err(refusal) => {
                    let why = format!("its answer is not HTTP: {}", refusal.words());
                    return Err(failed(proxy_name, &why));
                }
            }
        }
    }
}

impl HttpConnect {
    /// Whether another request may pass: the proxy gave a nonce for digest authentication.
    fn is_answerable(&mut self, head: &[u8], proxy: &Proxy) -> Result<bool, Error> {
        let fields = on_thread_stack(|| response_head::fields_of_refusal(head));
        let named = fields.iter().filter(|(name, _)| *name == PROXY_AUTHENTICATE);
        let stale = match proxy.learn(named.map(|(_, value)| value.as_slice()))? {
            Learned::Nonce { stale } => stale,
            Learned::Nothing => return Ok(false),
        };
        let answerable = self.refusals == 0 || (stale && self.refusals < 2);
        if !answerable {
            proxy.forget_nonce();
        }
        Ok(answerable)
    }

    /// The challenge was read, and is answered.
    pub(super) fn answered(&mut self) {
        self.refusals += 1;
        self.interim = 0;
    }
}

/// How long the body of a refusal is, if the connection can be used after it.
fn rest_of_refusal(head: &[u8]) -> Option<usize> {
    let framing =
        on_thread_stack(|| response_head::read(head, ResponseTo::of(&Method::GET))).ok()?;
    if !framing.keeps || framing.ambiguous {
        return None;
    }
    let fields = framing.head.fields();
    if fields.iter().any(|(name, _)| *name == TRANSFER_ENCODING) {
        return None;
    }
    let length = fields.iter().find(|(name, _)| *name == CONTENT_LENGTH)?;
    let length = std::str::from_utf8(&length.1).ok()?.trim().parse().ok()?;
    (length <= MAX_BODY).then_some(length)
}

fn refused(proxy: &Proxy, proxy_name: &str, status: u16, reason: &str) -> Error {
    let why = match status {
        407 if proxy.credentials.is_none() => {
            "; it wants credentials: give them as user:password@ before its host"
        }
        407 if proxy.digest.is_some() => {
            "; it wants credentials other than the user and the password of its URL, which it does not accept, or does not ask for by digest"
        }
        407 => {
            "; it wants credentials other than the user and the password of its URL, which it does not accept"
        }
        401 | 403 => "; it does not let us through",
        405 | 501 => "; it opens no tunnels",
        502..=504 => "; it could not reach the origin",
        _ => "",
    };
    let space = if reason.is_empty() { "" } else { " " };
    failed(proxy_name, &format!("it refused the tunnel with {status}{space}{reason}{why}"))
        .with_status_code(status)
}

/// The User-Agent field of requests and of CONNECT.
pub(crate) const USER_AGENT: &str = concat!("hangup/", env!("CARGO_PKG_VERSION"));
/// The largest body of a refusal that is read so that the connection can be used again.
const MAX_BODY: usize = 64 * 1024;
/// More than any proxy sends.
const MAX_HEAD: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::Tls;
    use crate::vocabulary::Kind;

    fn receive(text: &str) -> Result<Next, Error> {
        let proxy = Proxy::parse("http://p", &Tls::standard()).unwrap();
        HttpConnect::default().receive(text.as_bytes(), &proxy, "proxy http://p:80")
    }

    #[test]
    fn the_request_names_the_origin_and_carries_the_credentials() {
        let target = HttpConnect::target(&TunnelTarget::host("example.org"), 443);
        let request = HttpConnect::request(&target, Some("Basic eDp5"));
        assert_eq!(
            String::from_utf8(request).unwrap(),
            format!(
                "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\nUser-Agent: \
                 {USER_AGENT}\r\nProxy-Authorization: Basic eDp5\r\n\r\n"
            )
        );
        let target = HttpConnect::target(&TunnelTarget::host("[::1]"), 8443);
        let request = HttpConnect::request(&target, None);
        assert!(request.starts_with(b"CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n"));
    }

    #[test]
    fn two_hundreds_open_the_tunnel_and_interim_answers_are_passed_over() {
        let answer = "HTTP/1.1 200 Connection established\r\n\r\n";
        assert_eq!(receive(answer).unwrap(), Next::Open(answer.len()));
        let answer = "HTTP/1.1 103 Early\r\nX: y\r\n\r\nHTTP/1.0 204\r\nContent-Length: 7\r\n\r\n";
        assert_eq!(receive(answer).unwrap(), Next::Open(answer.len()));
        assert_eq!(receive(&format!("{answer}stray")).unwrap(), Next::Open(answer.len()));
        for cut in 0..answer.len() {
            assert_eq!(receive(&answer[..cut]).unwrap(), Next::NeedMore, "{cut}");
        }
    }

    #[test]
    fn credentials_that_were_refused_are_not_asked_for() {
        let proxy = Proxy::parse("http://u:p@p", &Tls::standard()).unwrap();
        let basic = "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=r\r\n\r\n";
        for (proxy, word) in [(proxy.clone(), "of its URL"), (proxy.with_digest(), "digest")] {
            let received = HttpConnect::default().receive(basic.as_bytes(), &proxy, "proxy");
            let error = received.unwrap_err();
            assert_eq!((error.kind(), error.status_code()), (Kind::ProxyFailed, Some(407)));
            let message = error.message();
            assert!(message.contains(word) && message.contains("does not accept"), "{message}");
        }
    }

    #[test]
    fn a_refusal_is_told_with_its_status() {
        for (status, word) in [(405, "tunnels"), (407, "wants credentials"), (302, "302")] {
            let error = receive(&format!("HTTP/1.1 {status} No\r\n\r\n<html>")).unwrap_err();
            assert_eq!((error.kind(), error.status_code()), (Kind::ProxyFailed, Some(status)));
            assert!(error.message().contains(word) && error.message().contains("http://p:80"));
        }
    }

    #[test]
    fn what_is_no_http_or_has_no_end_is_a_failure_of_the_proxy() {
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(MAX_HEAD));
        let interim = "HTTP/1.1 103 Early\r\n\r\n".repeat(MAX_HEAD / 20);
        for text in ["<html>no</html>", "\x05\x00", "HTTP/2 200\r\n\r\n", &endless, &interim] {
            let error = receive(text).unwrap_err();
            assert_eq!(
                (error.kind(), error.status_code()),
                (Kind::ProxyFailed, None),
                "{text:.20}"
            );
        }
    }
}
