//! Where the connections of an origin lead if not to the host and port of its URLs: another host or port, or a
//! Unix-domain socket, and the name that its certificate must be for.
//!
//! The request is the same, whatever stands here. Which origins it is for is the client's business.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sys;
use crate::authority;

/// Threads: immutable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConnectTo {
    pub(crate) place: Place,
    /// The name for SNI and for the certificate; `None` is the origin's host.
    pub(crate) server_name: Option<String>,
}

/// Threads: immutable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// `None` is that of the origin.
    Tcp {
        host: Option<String>,
        port: Option<u16>,
    },
    Unix(Arc<Path>),
}

impl Place {
    /// From `host:port`, `host`, `:port`, or `unix:` and a path, which is that of an abstract socket if it begins
    /// with `@`. The error says why it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_path(path.as_bytes().to_vec()).map(|path| Self::Unix(path.into()));
        }
        let (host, port) = host_and_port(text)?;
        if host.is_none() && port.is_none() {
            return Err("it has neither a host nor a port".into());
        }
        Ok(Self::Tcp { host, port })
    }
}

/// Splits `host:port`, of which either may be missing. The host is as URLs have it: lower case, international
/// names encoded, IPv6 addresses in brackets.
pub(crate) fn host_and_port(text: &str) -> Result<(Option<String>, Option<u16>), String> {
    let (host, port) = match text.rfind(':') {
        Some(at) if !text[at..].contains(']') => (&text[..at], Some(&text[at + 1..])),
        _ => (text, None),
    };
    if host.contains(':') && !host.starts_with('[') {
        return Err("an IPv6 address must stand in brackets".into());
    }
    let port = port.map(|port| match port.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("its port is no number from 1 to 65535".to_owned()),
    });
    let port = port.transpose()?;
    if host.is_empty() {
        return Ok((None, port));
    }
    if host.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err("it holds a space or a control character".into());
    }
    if host.contains('*') {
        return Err("* stands for all hosts only".into());
    }
    authority::check_authority(host)?;
    let host = url::Host::parse(host).map_err(|error| error.to_string())?;
    Ok((Some(host.to_string()), port))
}

/// The path of a Unix-domain socket. One that begins with a zero byte, or with the `@` that stands for it in most
/// tools, is a name in the abstract namespace (unix(7)), which only Linux has.
pub(crate) fn socket_path(mut path: Vec<u8>) -> Result<PathBuf, String> {
    match path.first() {
        Some(b'/') => {}
        Some(b'@' | 0) if !sys::HAS_ABSTRACT_SOCKETS => {
            return Err("this system has no abstract Unix-domain sockets".into());
        }
        Some(b'@' | 0) if path.len() == 1 => {
            return Err("the name of the abstract Unix-domain socket is missing".into());
        }
        Some(b'@' | 0) => path[0] = 0,
        _ => {
            let what = "it must be the absolute path of a Unix-domain socket, such as \
                        /run/app.sock, or @ and the name of an abstract one";
            return Err(what.into());
        }
    }
    if path.len() > LONGEST_PATH {
        return Err(format!("the path of a Unix-domain socket has at most {LONGEST_PATH} bytes"));
    }
    if path[1..].contains(&0) {
        return Err("the path of a Unix-domain socket holds no zero byte".into());
    }
    Ok(sys::path_from_bytes(path))
}

/// The size of sun_path (unix(7)) without the terminating zero.
pub(crate) const LONGEST_PATH: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_host_a_port_both_or_a_socket() {
        let tcp = |host: Option<&str>, port| Place::Tcp { host: host.map(Into::into), port };
        for (text, place) in [
            ("Example.org:8443", tcp(Some("example.org"), Some(8443))),
            ("b\u{fc}cher.example", tcp(Some("xn--bcher-kva.example"), None)),
            (":81", tcp(None, Some(81))),
            ("192.0.2.7:1", tcp(Some("192.0.2.7"), Some(1))),
            ("[2001:db8::7]:65535", tcp(Some("[2001:db8::7]"), Some(65535))),
            ("[::1]", tcp(Some("[::1]"), None)),
            ("unix:/run/a b", Place::Unix(Path::new("/run/a b").into())),
            ("unix:@name", Place::Unix(Path::new("\0name").into())),
        ] {
            assert_eq!(Place::parse(text), Ok(place), "{text}");
        }
        let long = format!("unix:/{}", "x".repeat(LONGEST_PATH));
        for (text, word) in [
            ("", "neither"),
            (":", "port"),
            ("a:0", "port"),
            ("a:65536", "port"),
            ("a:http", "port"),
            ("::1", "brackets"),
            ("::1:80", "brackets"),
            ("a b", "space"),
            ("127.1", "127.0.0.1"),
            ("u@a:80", ""),
            ("unix:app.sock", "absolute"),
            ("unix:", "absolute"),
            ("unix:@", "name"),
            (&*long, "107"),
        ] {
            let why = Place::parse(text).expect_err(text);
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}
