//! SOCKS 4, and SOCKS 4A, in which the proxy resolves the name: bytes in, bytes out.
//!
//! There is no RFC: "SOCKS: A protocol for TCP proxy across firewalls" (Ying-Da Lee) is the source, and its
//! "Simple Extension to SOCKS 4 Protocol" that of 4A. It knows a user, no password, and no IPv6.

use std::net::IpAddr;

use super::Credentials;
use super::tunnel::{Next, TunnelTarget};

/// The request, which is the only message. Threads: a value.
pub(super) struct Socks4 {
    request: Vec<u8>,
}

impl Socks4 {
    /// A name is for SOCKS 4A.
    pub(super) fn new(
        to: TunnelTarget,
        port: u16,
        credentials: Option<&Credentials>,
    ) -> Result<Self, String> {
        let (address, name) = match to {
            TunnelTarget::Address(IpAddr::V4(address)) => (address.octets(), None),
            TunnelTarget::Address(IpAddr::V6(address)) => {
                return Err(format!(
                    "SOCKS 4 has no IPv6 addresses, and {address} is one; use socks5"
                ));
            }
            TunnelTarget::Name(name) if name.len() > MAX_NAME => {
                return Err(format!("a name of more than {MAX_NAME} bytes can't be resolved"));
            }
            // An address that can't be is the mark of a name.
            TunnelTarget::Name(name) => ([0, 0, 0, 1], Some(name)),
        };
        let mut request = vec![VERSION, CONNECT];
        request.extend(port.to_be_bytes());
        request.extend(address);
        // It has no zero in it: that was checked when the proxy was read.
        request.extend(credentials.map_or(&[][..], |credentials| &credentials.user));
        request.push(0);
        if let Some(name) = name {
            request.extend(name.into_bytes());
            request.push(0);
        }
        Ok(Self { request })
    }

    pub(super) fn request(&self) -> Vec<u8> {
        self.request.clone()
    }

    /// `incoming` is all that came.
    pub(super) fn receive(incoming: &[u8]) -> Result<Next, String> {
        let [version, code, rest @ ..] = incoming else { return Ok(Next::NeedMore) };
        // The version of the reply is 0; some servers repeat that of the request.
        if !matches!(*version, 0 | VERSION) {
            return Err("its answer is no SOCKS 4".into());
        }
        if *code != GRANTED {
            return Err(format!("it refused the tunnel: {}", words(*code)));
        }
        Ok(if rest.len() < REPLY - 2 { Next::NeedMore } else { Next::Open(REPLY) })
    }
}

fn words(code: u8) -> String {
    let words = match code {
        91 => "it does not let us through, or the origin can't be reached from there",
        92 => "it can't ask the identd of this machine who we are",
        93 => "the identd of this machine names another user",
        _ => return format!("code {code}, which SOCKS 4 does not know"),
    };
    words.to_owned()
}

const VERSION: u8 = 4;
const CONNECT: u8 = 1;
const GRANTED: u8 = 90;
/// The size of a reply.
const REPLY: usize = 8;
/// RFC 1035 section 2.3.4.
const MAX_NAME: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(host: &str, user: Option<&str>) -> Vec<u8> {
        let credentials =
            user.map(|user| Credentials { user: user.as_bytes().to_vec(), password: Vec::new() });
        Socks4::new(TunnelTarget::host(host), 443, credentials.as_ref()).unwrap().request()
    }

    #[test]
    fn an_address_is_sent_as_one_and_a_name_behind_the_user() {
        assert_eq!(request("127.0.0.1", None), [4, 1, 1, 0xbb, 127, 0, 0, 1, 0]);
        assert_eq!(request("127.0.0.1", Some("me")), b"\x04\x01\x01\xbb\x7f\0\0\x01me\0");
        assert_eq!(request("a.test", Some("me")), b"\x04\x01\x01\xbb\0\0\0\x01me\0a.test\0");
        assert!(Socks4::new(TunnelTarget::host("[::1]"), 1, None).is_err());
        assert!(Socks4::new(TunnelTarget::Name("x".repeat(256)), 1, None).is_err());
    }

    #[test]
    fn a_reply_grants_or_refuses() {
        let granted = [0, 90, 0, 80, 127, 0, 0, 1];
        for cut in 0..granted.len() {
            assert_eq!(Socks4::receive(&granted[..cut]).unwrap(), Next::NeedMore);
        }
        assert_eq!(Socks4::receive(&granted).unwrap(), Next::Open(8));
        assert_eq!(Socks4::receive(b"\x04\x5a\0\0\0\0\0\0x").unwrap(), Next::Open(8));
        for code in 91..=94 {
            let why = Socks4::receive(&[0, code]).unwrap_err();
            assert!(why.starts_with("it refused the tunnel: "), "{why}");
        }
        for wrong in [&b"HTTP/1.1 400"[..], &[5, 0]] {
            assert!(Socks4::receive(wrong).unwrap_err().contains("no SOCKS 4"));
        }
    }
}
