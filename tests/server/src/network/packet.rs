//! What the relay has to know of a packet: its length, and of a TCP segment the ports, the flags and the payload.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An IP packet.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    bytes: &'a [u8],
    addresses: Option<(IpAddr, IpAddr)>,
    segment: Option<Segment>,
}

/// The header of a TCP segment (RFC 9293 section 3.1).
#[derive(Debug, Clone, Copy)]
pub struct Segment {
    /// The sender's port.
    pub source: u16,
    /// The receiver's port.
    pub destination: u16,
    /// It asks for a connection, or agrees to one.
    pub syn: bool,
    /// It acknowledges something.
    pub ack: bool,
    /// It is the sender's last.
    pub fin: bool,
    /// It resets the connection.
    pub rst: bool,
    /// Bytes of payload.
    pub payload: usize,
}

/// A TCP connection, as both of its directions show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The client's end.
    pub near: SocketAddr,
    /// The server's end.
    pub far: SocketAddr,
}

impl<'a> Packet<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Packet<'a> {
        let (addresses, segment) = match bytes.first().map(|first| first >> 4) {
            Some(4) => v4(bytes),
            Some(6) => v6(bytes),
            _ => None,
        }
        .map_or((None, None), |(addresses, segment)| (Some(addresses), segment));
        Packet { bytes, addresses, segment }
    }

    /// Its length with the IP header.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The TCP segment in it.
    pub fn segment(&self) -> Option<&Segment> {
        self.segment.as_ref()
    }

    /// The connection that it belongs to; `to_far` says in which direction it goes.
    pub(super) fn flow(&self, to_far: bool) -> Option<Flow> {
        let ((from, to), segment) = (self.addresses?, self.segment?);
        let (source, target) = ((from, segment.source).into(), (to, segment.destination).into());
        Some(match to_far {
            true => Flow { near: source, far: target },
            false => Flow { near: target, far: source },
        })
    }
}

type Parsed = ((IpAddr, IpAddr), Option<Segment>);

fn v4(bytes: &[u8]) -> Option<Parsed> {
    let header = usize::from(bytes[0] & 15) * 4;
    let address = |at: usize| -> Option<IpAddr> {
        let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets).into())
    };
    let segment = (bytes.get(9) == Some(&TCP)).then(|| bytes.get(header..)).flatten();
    Some(((address(12)?, address(16)?), segment.and_then(tcp)))
}

fn v6(bytes: &[u8]) -> Option<Parsed> {
    let address = |at: usize| -> Option<IpAddr> {
        let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
        Some(Ipv6Addr::from(octets).into())
    };
    // Linux sends TCP without extension headers.
    let segment = (bytes.get(6) == Some(&TCP)).then(|| bytes.get(40..)).flatten();
    Some(((address(8)?, address(24)?), segment.and_then(tcp)))
}

fn tcp(bytes: &[u8]) -> Option<Segment> {
    let port = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let (header, flags) = (usize::from(bytes.get(12)? >> 4) * 4, *bytes.get(13)?);
    Some(Segment {
        source: port(0)?,
        destination: port(2)?,
        fin: flags & 1 != 0,
        syn: flags & 2 != 0,
        rst: flags & 4 != 0,
        ack: flags & 16 != 0,
        payload: bytes.len().saturating_sub(header),
    })
}

const TCP: u8 = 6;
