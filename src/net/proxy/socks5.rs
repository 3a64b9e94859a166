//! SOCKS 5 (RFC 1928) with user and password (RFC 1929): bytes in, bytes out.

use std::net::IpAddr;

use super::Credentials;
use super::tunnel::{Next, TunnelTarget};

/// The state of the negotiation. Threads: a value.
pub(super) struct Socks5 {
    step: Step,
    /// The request. It is made first, so that a name that has no room in it is refused before anything is
    /// sent.
    request: Vec<u8>,
    /// The sub-negotiation's only message, if there are credentials (RFC 1929 section 2).
    login: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Method,
    Login,
    Reply,
}

impl Socks5 {
    pub(super) fn new(
        to: TunnelTarget,
        port: u16,
        credentials: Option<&Credentials>,
    ) -> Result<Self, String> {
        let mut request = vec![VERSION, CONNECT, 0];
        match to {
            TunnelTarget::Name(name) => {
                let size = u8::try_from(name.len())
                    .map_err(|_| "SOCKS has no room for a name of more than 255 bytes")?;
                request.extend([NAME, size]);
                request.extend(name.into_bytes());
            }
            TunnelTarget::Address(IpAddr::V4(address)) => {
                request.push(IPV4);
                request.extend(address.octets());
            }
            TunnelTarget::Address(IpAddr::V6(address)) => {
                request.push(IPV6);
                request.extend(address.octets());
            }
        }
        request.extend(port.to_be_bytes());
        let login = credentials.map(|Credentials { user, password }| {
            // Their lengths were checked when the proxy was read.
            let size = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap_or(u8::MAX);
            [&[USER_PASSWORD_VERSION, size(user)][..], user, &[size(password)], password].concat()
        });
        Ok(Self { step: Step::Method, request, login })
    }

    /// The first message: the authentication methods that the client supports.
    pub(super) fn greeting(&self) -> Vec<u8> {
        if self.login.is_some() {
            vec![VERSION, 2, NO_AUTHENTICATION, USER_PASSWORD]
        } else {
            vec![VERSION, 1, NO_AUTHENTICATION]
        }
    }

    /// `incoming` is all that came since the last message was sent.
    pub(super) fn receive(&mut self, incoming: &[u8]) -> Result<Next, String> {
        if self.step == Step::Reply {
            return reply(incoming);
        }
        let [version, what, rest @ ..] = incoming else { return Ok(Next::NeedMore) };
        if !rest.is_empty() {
            return Err("it speaks out of turn".into());
        }
        match (self.step, *version, *what) {
            (Step::Method, VERSION, NO_AUTHENTICATION)
            | (Step::Login, USER_PASSWORD_VERSION, 0) => {
                self.step = Step::Reply;
                Ok(Next::Send(std::mem::take(&mut self.request)))
            }
            (Step::Method, VERSION, USER_PASSWORD) => {
                self.step = Step::Login;
                let why = "it wants credentials: give them as user:password@ before its host";
                self.login.take().map(Next::Send).ok_or_else(|| why.into())
            }
            (Step::Method, VERSION, NO_ACCEPTABLE_METHOD) if self.login.is_none() => {
                Err("it wants credentials: give them as user:password@ before its host".into())
            }
            (Step::Method, VERSION, _) => {
                Err("it requires an authentication method that is not supported".into())
            }
            (Step::Login, USER_PASSWORD_VERSION, _) => {
                Err("it refuses the user or the password".into())
            }
            _ => Err(NO_SOCKS.into()),
        }
    }
}

/// RFC 1928 section 6.
fn reply(incoming: &[u8]) -> Result<Next, String> {
    let [version, code, ..] = *incoming else { return Ok(Next::NeedMore) };
    if version != VERSION {
        return Err(NO_SOCKS.into());
    }
    if code != 0 {
        return Err(format!("it refused the tunnel: {}", words(code)));
    }
    let [_, _, _, kind, first, ..] = *incoming else { return Ok(Next::NeedMore) };
    let address = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => 1 + usize::from(first),
        _ => return Err(NO_SOCKS.into()),
    };
    let size = 4 + address + 2;
    Ok(if incoming.len() < size { Next::NeedMore } else { Next::Open(size) })
}

fn words(code: u8) -> String {
    let words = match code {
        1 => "its own failure",
        2 => "its rules forbid it",
        3 => "the network can't be reached from there",
        4 => "the host can't be reached from there",
        5 => "the origin refused the connection",
        6 => "the way is too long (TTL expired)",
        7 => "it knows no CONNECT",
        8 => "it knows no addresses of that kind",
        _ => return format!("code {code}, which RFC 1928 does not know"),
    };
    words.to_owned()
}

const VERSION: u8 = 5;
const USER_PASSWORD_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
const NO_AUTHENTICATION: u8 = 0;
const USER_PASSWORD: u8 = 2;
const NO_ACCEPTABLE_METHOD: u8 = 0xff;
const NO_SOCKS: &str = "its answer is no SOCKS 5";

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials { user: b"me".to_vec(), password: b"secret".to_vec() }
    }

    fn socks(credentials: Option<&Credentials>) -> Socks5 {
        Socks5::new(TunnelTarget::host("example.org"), 443, credentials).unwrap()
    }

    #[test]
    fn a_tunnel_without_credentials() {
        let mut talk = socks(None);
        assert_eq!(talk.greeting(), [5, 1, 0]);
        assert_eq!(talk.receive(&[5]).unwrap(), Next::NeedMore);
        let request = b"\x05\x01\x00\x03\x0bexample.org\x01\xbb".to_vec();
        assert_eq!(talk.receive(&[5, 0]).unwrap(), Next::Send(request));
        let reply = [5, 0, 0, 1, 127, 0, 0, 1, 0, 80];
        for cut in 0..reply.len() {
            assert_eq!(talk.receive(&reply[..cut]).unwrap(), Next::NeedMore);
        }
        assert_eq!(talk.receive(&reply).unwrap(), Next::Open(10));
        assert_eq!(talk.receive(b"\x05\0\0\x03\x02ab\0\x50").unwrap(), Next::Open(9));
    }

    #[test]
    fn credentials_are_given_when_they_are_asked_for() {
        let mut talk = socks(Some(&credentials()));
        assert_eq!(talk.greeting(), [5, 2, 0, 2]);
        let login = b"\x01\x02me\x06secret".to_vec();
        assert_eq!(talk.receive(&[5, 2]).unwrap(), Next::Send(login));
        assert!(matches!(talk.receive(&[1, 0]).unwrap(), Next::Send(_)));
        let mut talk = socks(Some(&credentials()));
        talk.receive(&[5, 2]).unwrap();
        assert!(talk.receive(&[1, 1]).unwrap_err().contains("password"));
        assert!(socks(None).receive(&[5, 2]).unwrap_err().contains("wants credentials"));
        assert!(socks(None).receive(&[5, 255]).unwrap_err().contains("wants credentials"));
    }

    #[test]
    fn every_refusal_has_its_words() {
        for code in 1..=9 {
            let mut talk = socks(None);
            talk.receive(&[5, 0]).unwrap();
            let why = talk.receive(&[5, code]).unwrap_err();
            assert!(why.starts_with("it refused the tunnel: "), "{why}");
        }
    }

    #[test]
    fn what_is_no_socks_is_refused() {
        assert!(socks(None).receive(b"HTTP/1.1 400").is_err());
        assert_eq!(socks(None).receive(&[4, 0]).unwrap_err(), NO_SOCKS);
        assert!(socks(None).receive(&[5, 0, 5]).unwrap_err().contains("out of turn"));
        let mut talk = socks(None);
        talk.receive(&[5, 0]).unwrap();
        assert_eq!(talk.receive(&[5, 0, 0, 9, 0]).unwrap_err(), NO_SOCKS);
        let long = TunnelTarget::Name("x".repeat(256));
        assert!(Socks5::new(long, 1, None).is_err());
    }

    #[test]
    fn addresses_go_as_they_are() {
        let request = |host| Socks5::new(TunnelTarget::host(host), 80, None).unwrap().request;
        assert_eq!(request("127.0.0.1"), [5, 1, 0, 1, 127, 0, 0, 1, 0, 80]);
        assert_eq!(request("[::1]")[..4], [5, 1, 0, 4]);
    }
}
